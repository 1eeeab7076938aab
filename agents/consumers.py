"""Consumers: what each visitor picks.

The pick is a random-utility choice::

    U = intercept + quality + taste_weight * taste . topic - price_sensitivity * ln(pay / (worth * reference))
        + conformity * ln(1 + friends who bought) + thrill * (1 - pay / worth) + appeal + Gumbel(person, product, tick)

against an outside option of utility Gumbel. Ways of buying one product share its shock; ways other than solo add a
whim of their own, a logistic of scale ``way_noise``. The thrill is that of deal-prone people, to whom a good deal is
worth something beside what it saves; to others it is zero.

References
----------
McFadden (1974), "Conditional logit analysis of qualitative choice behavior".
Thaler (1985), "Mental accounting and consumer choice" (transaction utility).
Winer (1986), "A reference price model of brand choice for frequently purchased products".
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from sim.core.draws import Stream, gumbel_of, philox, u01, unit
from sim.core.prefetch import AHEAD, prefetch
from sim.offers import CHEAPEST

_CHOICE = np.uint32(Stream.CHOICE)
_HISTORY = np.uint32(Stream.HISTORY)
_DROPOUT = np.uint32(Stream.DROPOUT)
_OUTSIDE = np.uint32(0xFFFFFFFF)  # the address of buying nothing
_SURELY = 1.0 + 1e-6  # above one by more than rounding
_LANES = 8  # single-precision numbers that a processor multiplies at once
_ROUGHLY = 1e-3  # taste matches that are told to single precision are off by far less


@nb.njit(inline="always", cache=True)
def _taste_match(taste, topic, i, j):  # type: ignore[no-untyped-def]
    match = 0.0
    for d in range(taste.shape[1]):
        match += taste[i, d] * topic[j, d]
    return match


# The additions may be made in any order, and so at once.
@nb.njit(cache=True, error_model="numpy", fastmath={"reassoc", "nsz"})
def _at_most(normal, likes, friendly, known, topics, quality, taste_weight, product):  # type: ignore[no-untyped-def]
    """Return what a product may be worth to a person at most, at its normal price; see :func:`choose`.

    Parameters
    ----------
    normal : float
        Logits that all products have in common.
    likes, topics : float32 ndarray, shape (D,) and (products, D)
        Taste and topics, filled up with zeros to whole ``_LANES``.
    friendly : float
        Logits if all that friends bought was this product.
    known : uint64
        What friends bought: bit ``product % 64``.
    """
    if product < 0:
        return -math.inf
    j = np.uint32(product)  # unsigned: numba then need not ask whether an index counts from the end
    match = np.float32(0.0)
    for first in range(0, likes.size, _LANES):
        for lane in range(_LANES):
            d = np.uint32(first + lane)
            match += likes[d] * topics[j, d]
    by_friends = friendly * ((known >> np.uint64(j & 63)) & np.uint64(1))
    return normal + quality[j] + taste_weight * (match + _ROUGHLY) + by_friends


@nb.njit(inline="always", cache=True)
def _may_reach(gap, left):  # type: ignore[no-untyped-def]
    """Whether a shock may reach ``gap``; told without logarithms or branches, and never a false no.

    Notes
    -----
    A Gumbel or logistic shock from the uniform u is at most ``-ln(1 - u)``, and ``ln(1 / left) < gap`` follows from
    ``left (1 + gap / 32)^32 > 1``. With ``left`` the product of several ``1 - u``, it holds for the sum of their
    shocks.
    """
    room = max(0.0, 1.0 + gap / 32.0)
    room *= room
    room *= room
    room *= room
    room *= room
    return left * room * room <= _SURELY


@nb.njit(inline="always", cache=True)
def _times(heard, i, j):  # type: ignore[no-untyped-def]
    """Count how often product j is among those that i's friends bought."""
    count = 0
    for r in range(heard.shape[1]):
        count += heard[i, r] == j
    return count


@nb.njit(cache=True)
def tell_friends(person, product, indptr, indices, heard, heard_next):  # type: ignore[no-untyped-def]
    """Let friends of buyers notice what was bought; of many purchases each remembers the last.

    Parameters
    ----------
    person, product : int32 ndarray, shape (n,)
        Purchases. Persons beyond the network have no friends.
    indptr, indices : ndarray
        The network.
    heard : int ndarray, shape (persons, memory)
        What each person has noticed, a ring; changed in place.
    heard_next : uint8 ndarray, shape (persons,)
        Where the next one goes; changed in place.
    """
    size = heard.shape[1]
    tied = indptr.size - 1
    ties = 0
    for n in range(person.size):
        if person[n] < tied:
            ties += indptr[person[n] + 1] - indptr[person[n]]
            prefetch(indices, indptr[person[n]])
    friend, news = np.empty(ties, np.uint32), np.empty(ties, np.int32)
    t = 0
    for n in range(person.size):
        if person[n] < tied:
            for e in range(indptr[person[n]], indptr[person[n] + 1]):
                friend[t], news[t] = indices[e], product[n]
                t += 1
    for t in range(ties):
        later = friend[min(t + AHEAD, ties - 1)]
        prefetch(heard, later)
        prefetch(heard_next, later)
        f = friend[t]
        heard[f, heard_next[f]] = news[t]
        heard_next[f] = (heard_next[f] + 1) % size


@nb.njit(cache=True, nogil=True, error_model="numpy")
def choose(  # type: ignore[no-untyped-def]
    seed, tick, slate, person, product, mode, pay, worth, appeal,
    uid, taste, intercept, price_sensitivity, conformity, reference, heard, deal_prone,
    topic, quality, taste_weight, thrill, way_noise, memory, utilities,
):  # fmt: skip
    """Let every visitor pick one option or none, and let reference prices drift.

    Parameters
    ----------
    seed, tick : uint32
    slate : int
        How many of the columns are the slate, bought alone; an option ``slate`` columns further on is often the same
        product.
    person : int32 ndarray, shape (V,)
        Each at most once.
    product, mode, pay, worth, appeal : ndarray, shape (V, W)
        The options (:class:`sim.offers.Offers`); product -1 is no option.
    uid ... deal_prone : ndarray
        Columns of :class:`sim.people.People`; ``reference`` is changed in place.
    topic, quality : ndarray
        Columns of :class:`sim.catalog.Products`.
    taste_weight, thrill, way_noise, memory : float
        Logits a standard deviation of taste match; logits of the whole list price taken off, to deal-prone people;
        scale of whim between ways of buying; weight of one visit in the reference price.
    utilities : float32 ndarray, shape (V, W) or (0, 0)
        Filled, unless empty, with what each option is worth without shock and whim: for checks against the logit's
        closed form.

    Returns
    -------
    int32 ndarray, shape (V,)
        Column of the pick, or -1.

    Notes
    -----
    Nobody is reckoned exactly in vain: most options cannot reach what buying nothing is worth. That is told for all
    options at once, from bounds: the taste match to single precision, friends' purchases as if all that a person
    remembers were of the product, if any can be, and ``-ln(r) <= 1 / r - 1`` for the price. The picks are the same to
    the bit.
    """
    visits, width = product.shape
    slate = min(slate, width)
    picked = np.full(visits, -1, np.int32)
    friendliest = math.log1p(heard.shape[1])
    softer = 1.0 / max(1.0, way_noise)  # what the loudest of the shocks is divided by
    dimensions = taste.shape[1]
    topics = np.zeros((topic.shape[0], -(-dimensions // _LANES) * _LANES), np.float32)
    topics[:, :dimensions] = topic
    likes = np.zeros(topics.shape[1], np.float32)
    words = np.empty(width, np.uint32)  # the shock of an option of the slate, the whim of another
    at_most = np.empty(width)  # what each product is worth at its normal price
    left = np.empty(width)  # one less the uniforms of shock and whim, multiplied
    ratios = np.empty(width)  # of what is paid to the list price
    may_win = np.empty(width, np.bool_)
    subject, outside = np.empty(visits, np.uint32), np.empty(visits, np.uint32)
    for v in range(visits):
        prefetch(uid, np.uint32(person[min(v + AHEAD, visits - 1)]))
        subject[v] = uid[np.uint32(person[v])]
    for v in range(visits):
        outside[v] = philox(seed, _CHOICE, subject[v], _OUTSIDE, tick, nb.uint32(0))[0]
    for v in range(visits):
        later = np.uint32(person[min(v + AHEAD, visits - 1)])
        prefetch(taste, later)
        prefetch(intercept, later)  # and what is kept beside it
        prefetch(heard, later)
        prefetch(deal_prone, later)
        i = np.uint32(person[v])
        who, sensitivity, drive = subject[v], nb.float64(price_sensitivity[i]), nb.float64(conformity[i])
        for w in range(width):
            words[w] = philox(seed, _CHOICE, who, nb.uint32(product[v, w]), tick, nb.uint32(mode[v, w]))[0]
        best = gumbel_of(outside[v])
        normal = intercept[i] + sensitivity * math.log(nb.float64(reference[i]))
        by_deals = thrill if deal_prone[i] else 0.0

        # What each option may be worth at most.
        for d in range(dimensions):
            likes[d] = taste[i, d]
        known = np.uint64(0)  # what friends bought, one bit for 64 products: most products nobody bought
        for r in range(heard.shape[1]):
            known |= np.uint64(1) << np.uint64(heard[i, r] & 63)
        friendly = drive * friendliest
        for w in range(slate):
            at_most[w] = _at_most(normal, likes, friendly, known, topics, quality, taste_weight, product[v, w])
            left[w] = 1.0 - unit(words[w])
        for w in range(slate, width):
            at_most[w], left[w] = at_most[w - slate], left[w - slate]
        for w in range(slate, width):
            j = product[v, w]
            if w >= 2 * slate or product[v, w - slate] != j:  # the option that a friend shared, mostly none
                at_most[w] = _at_most(normal, likes, friendly, known, topics, quality, taste_weight, j)
                left[w] = 1.0 - _shock(seed, who, j, tick) if j >= 0 else 1.0
        for w in range(slate, width):
            left[w] *= 1.0 - unit(words[w]) if mode[v, w] != 0 and way_noise > 0.0 else 1.0
        for w in range(width):
            ratio = max(CHEAPEST, pay[v, w] / worth[v, w])
            ratios[w] = ratio if (pay[v, w] < worth[v, w]) & (product[v, w] >= 0) else 1.0
        for w in range(width):
            worth_at_most = at_most[w] + appeal[v, w] + sensitivity * (1.0 / ratios[w] - 1.0)
            worth_at_most += by_deals * (1.0 - ratios[w])
            may_win[w] = _may_reach((best - worth_at_most) * softer, left[w])

        for w in range(width):
            if not may_win[w] and utilities.size == 0:
                continue
            j = np.uint32(product[v, w])
            if product[v, w] < 0:
                utilities[v, w] = -math.inf
                continue
            utility = normal + quality[j] + taste_weight * _taste_match(taste, topic, i, j)
            times = _times(heard, i, product[v, w])
            if times > 0:
                utility += drive * math.log1p(times)
            utility += appeal[v, w]
            if ratios[w] < 1.0:
                utility -= sensitivity * math.log(ratios[w])
                utility += by_deals * (1.0 - ratios[w])
            if utilities.size > 0:
                utilities[v, w] = utility
            utility += -math.log(-math.log(_shock(seed, who, j, tick)))
            if w >= slate and mode[v, w] != 0 and way_noise > 0.0:
                whim = unit(words[w])
                utility += way_noise * math.log(whim / (1.0 - whim))
            if utility > best:
                best = utility
                picked[v] = w
        _drift(reference, i, ratios, product[v], memory)
    return picked


@nb.njit(cache=True)
def _shock(seed, who, product, tick):  # type: ignore[no-untyped-def]
    """Return the uniform of a person's shock of a product."""
    return u01(seed, _CHOICE, who, nb.uint32(product), tick, nb.uint32(0))


@nb.njit(cache=True, error_model="numpy")
def _drift(reference, i, ratios, product, memory):  # type: ignore[no-untyped-def]
    """Let a person's reference price move towards the mean of what is asked of them; no option has a ratio of one."""
    total = 0.0
    options = 0
    for w in range(product.size):
        total += ratios[w]
        options += product[w] >= 0
    if options > 0:
        reference[i] += memory * ((total - (product.size - options)) / options - reference[i])


@nb.njit(cache=True)
def calibrate(chance, slates, taste, topic, quality, taste_weight, intercept):  # type: ignore[no-untyped-def]
    """Set each person's intercept so that they buy with a given chance from their slate at list price, friends aside.

    Parameters
    ----------
    chance : float64 ndarray, shape (n,)
        In (0, 1).
    slates : int32 ndarray, shape (n, K)
        What each person is shown.
    intercept : float32 ndarray, shape (n,)
        Changed in place.

    Notes
    -----
    The logit's inclusive value: ``intercept = logit(chance) - ln(sum over the slate of exp(quality + match))``.
    """
    for i in range(slates.shape[0]):
        target = math.log(chance[i] / (1.0 - chance[i]))
        total = 0.0
        for s in range(slates.shape[1]):
            j = slates[i, s]
            if j >= 0:
                total += math.exp(quality[j] + taste_weight * _taste_match(taste, topic, i, j))
        intercept[i] = target - math.log(total) if total > 0.0 else target


@nb.njit(cache=True)
def past_orders(seed, rows, uid, purchase_rate, dropout, age, slate, products, taste, topic, quality, taste_weight):  # type: ignore[no-untyped-def]
    """Simulate what members did before the run: BG/NBD purchase moments, each a pick from a random slate.

    Parameters
    ----------
    rows : int32 ndarray, shape (m,)
        Members at the start.
    purchase_rate : ndarray, shape (persons,)
        Purchases a day while active.
    dropout : float32 ndarray, shape (persons,) or (0,)
        Chance to leave after a repeat purchase; empty if nobody leaves.
    age : float ndarray, shape (m,)
        Days since each joined, with their first order.
    slate, products : int
        Size of the random slates and of the catalogue.

    Returns
    -------
    tuple
        ``person`` int32, ``product`` int32 and ``days_ago`` float64 of each order, in each person's order of time; and
        ``left`` bool (m,), who had left before the run.
    """
    person = np.empty(1024, np.int32)
    product = np.empty(1024, np.int32)
    days_ago = np.empty(1024)
    left = np.zeros(rows.size, np.bool_)
    n = 0
    for r in range(rows.size):
        i = rows[r]
        moment = age[r]
        k = 0
        while moment >= 0.0:
            best, pick = -math.inf, -1
            for s in range(slate):
                a, b, _, _ = philox(seed, _HISTORY, uid[i], s, k, 0)
                j = int(unit(a) * products)
                utility = quality[j] + taste_weight * _taste_match(taste, topic, i, j) + gumbel_of(b)
                if utility > best:
                    best, pick = utility, j
            if n == person.size:
                person = np.append(person, np.empty(n, np.int32))
                product = np.append(product, np.empty(n, np.int32))
                days_ago = np.append(days_ago, np.empty(n))
            person[n], product[n], days_ago[n] = i, pick, moment
            n += 1
            if k > 0 and dropout.size and u01(seed, _DROPOUT, uid[i], k, 0, 0) < dropout[i]:
                left[r] = True
                break
            if purchase_rate[i] <= 0.0:
                break
            moment += math.log(u01(seed, _HISTORY, uid[i], 0, k, 1)) / purchase_rate[i]
            k += 1
    return person[:n].copy(), product[:n].copy(), days_ago[:n].copy(), left
