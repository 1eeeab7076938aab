"""Consumers: what each visitor picks.

The pick is a random-utility choice::

    U = intercept + quality + taste_weight * taste . topic - price_sensitivity * ln(pay / (worth * reference))
        + conformity * ln(1 + friends who bought) + appeal + Gumbel(person, product, tick)

against an outside option of utility Gumbel. Ways of buying one product share its shock; ways other than solo add a
whim of their own, a logistic of scale ``way_noise``.

References
----------
McFadden (1974), "Conditional logit analysis of qualitative choice behavior".
Winer (1986), "A reference price model of brand choice for frequently purchased products".
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from sim.core.draws import Stream, gumbel_of, philox, u01, unit

_CHOICE = np.uint32(Stream.CHOICE)
_HISTORY = np.uint32(Stream.HISTORY)
_DROPOUT = np.uint32(Stream.DROPOUT)
_OUTSIDE = np.uint32(0xFFFFFFFF)  # the address of buying nothing
_SURELY = 1.0 + 1e-6  # above one by more than rounding
_CHEAPEST = 0.02  # free goods count as 2% of their price, so that the logarithm stays finite
_AT_ONCE = 64  # visitors whose traits are fetched in one go


@nb.njit(inline="always", cache=True)
def _taste_match(taste, topic, i, j):  # type: ignore[no-untyped-def]
    match = 0.0
    for d in range(taste.shape[1]):
        match += taste[i, d] * topic[j, d]
    return match


@nb.njit(inline="always", cache=True)
def _may_reach(gap, left):  # type: ignore[no-untyped-def]
    """Whether a shock may reach ``gap``; told without logarithms or branches, and never a false no.

    Notes
    -----
    A Gumbel or logistic shock from the uniform u is at most ``-ln(1 - u)``, and ``ln(1 / left) < gap`` follows from
    ``left (1 + gap / 8)^8 > 1``. With ``left`` the product of several ``1 - u``, it holds for the sum of their shocks.
    """
    room = max(0.0, 1.0 + gap / 8.0)
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
    heard : int32 ndarray, shape (persons, memory)
        What each person has noticed, a ring; changed in place.
    heard_next : uint8 ndarray, shape (persons,)
        Where the next one goes; changed in place.
    """
    size = heard.shape[1]
    tied = indptr.size - 1
    for n in range(person.size):
        if person[n] >= tied:
            continue
        for e in range(indptr[person[n]], indptr[person[n] + 1]):
            f = indices[e]
            heard[f, heard_next[f]] = product[n]
            heard_next[f] = (heard_next[f] + 1) % size


@nb.njit(cache=True, nogil=True)
def choose(  # type: ignore[no-untyped-def]
    seed, tick, slate, person, product, mode, pay, worth, appeal,
    uid, taste, intercept, price_sensitivity, conformity, reference, heard,
    topic, quality, taste_weight, way_noise, memory, utilities,
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
    uid ... heard : ndarray
        Columns of :class:`sim.people.People`; ``reference`` is changed in place.
    topic, quality : ndarray
        Columns of :class:`sim.catalog.Products`.
    taste_weight, way_noise, memory : float
        Logits a standard deviation of taste match; scale of whim between ways of buying; weight of one visit in the
        reference price.
    utilities : float32 ndarray, shape (V, W) or (0, 0)
        Filled, unless empty, with what each option is worth without shock and whim: for checks against the logit's
        closed form.

    Returns
    -------
    int32 ndarray, shape (V,)
        Column of the pick, or -1.

    Notes
    -----
    Nobody takes a logarithm in vain: most options cannot reach what buying nothing is worth, which a few
    multiplications tell, with ``-ln(r) <= 1 / r - 1`` for the price. The picks are the same to the bit.
    """
    visits, width = product.shape
    dimensions = taste.shape[1]
    picked = np.full(visits, -1, np.int32)
    loudest = max(1.0, way_noise)
    values = np.empty(width)  # what each product is worth at its normal price
    ratios = np.empty(width)  # of what is paid to the list price
    shocks, whims = np.empty(width), np.empty(width)  # uniforms
    may_win = np.empty(width, np.bool_)
    # Persons are anywhere in memory. Fetching a few at once, with nothing to wait for in between, hides the way there.
    uids = np.empty(_AT_ONCE, np.uint32)
    likes = np.empty((_AT_ONCE, dimensions), np.float32)
    start, drive, sensitivity = np.empty(_AT_ONCE), np.empty(_AT_ONCE), np.empty(_AT_ONCE)
    expects = np.empty(_AT_ONCE)
    known = np.empty(_AT_ONCE, np.uint64)  # what friends bought, one bit for 64 products: most products nobody bought
    for v in range(visits):
        b = v % _AT_ONCE
        if b == 0:
            for n in range(min(_AT_ONCE, visits - v)):
                i = person[v + n]
                uids[n], start[n], drive[n] = uid[i], intercept[i], conformity[i]
                sensitivity[n], expects[n] = price_sensitivity[i], reference[i]
                for d in range(dimensions):
                    likes[n, d] = taste[i, d]
                bits = np.uint64(0)
                for r in range(heard.shape[1]):
                    bits |= np.uint64(1) << np.uint64(heard[i, r] & 63)
                known[n] = bits
        i, who = person[v], uids[b]
        for w in range(min(slate, width)):
            shocks[w] = u01(seed, _CHOICE, who, nb.uint32(product[v, w]), tick, 0)
            whims[w] = 0.0
        for w in range(slate, width):
            whims[w] = u01(seed, _CHOICE, who, nb.uint32(product[v, w]), tick, nb.uint32(mode[v, w]))
        best = gumbel_of(philox(seed, _CHOICE, who, _OUTSIDE, tick, 0)[0])
        normal = start[b] + sensitivity[b] * math.log(expects[b])
        options = 0
        for w in range(width):
            j = product[v, w]
            ratios[w] = 1.0
            if j < 0:
                values[w], shocks[w] = -math.inf, 0.0
                continue
            options += 1
            if pay[v, w] < worth[v, w]:
                ratios[w] = max(_CHEAPEST, pay[v, w] / worth[v, w])
            if w >= slate:
                if mode[v, w] == 0 or way_noise == 0.0:
                    whims[w] = 0.0
                if product[v, w - slate] == j:
                    values[w], shocks[w] = values[w - slate], shocks[w - slate]
                    continue
                shocks[w] = u01(seed, _CHOICE, who, nb.uint32(j), tick, 0)
            values[w] = normal + quality[j] + taste_weight * _taste_match(likes, topic, b, j)
            if (known[b] >> np.uint64(j & 63)) & np.uint64(1):
                values[w] += drive[b] * math.log1p(_times(heard, i, j))
        total = 0.0
        for w in range(width):
            at_most = values[w] + appeal[v, w] + sensitivity[b] * (1.0 / ratios[w] - 1.0)
            may_win[w] = _may_reach((best - at_most) / loudest, (1.0 - shocks[w]) * (1.0 - whims[w]))
            total += ratios[w]
        if utilities.size > 0:
            for w in range(width):
                utilities[v, w] = values[w] + appeal[v, w] - sensitivity[b] * math.log(ratios[w])
        for w in range(width):
            if not may_win[w]:
                continue
            utility = values[w] + appeal[v, w]
            if ratios[w] < 1.0:
                utility -= sensitivity[b] * math.log(ratios[w])
            utility += -math.log(-math.log(shocks[w]))
            if whims[w] > 0.0:
                utility += way_noise * math.log(whims[w] / (1.0 - whims[w]))
            if utility > best:
                best = utility
                picked[v] = w
        if options > 0:
            reference[i] += memory * ((total - (width - options)) / options - reference[i])
    return picked


@nb.njit(cache=True)
def calibrate(conversion, slates, taste, topic, quality, taste_weight, intercept):  # type: ignore[no-untyped-def]
    """Set each person's intercept so that they buy with the given chance from their slate at list price, friends aside.

    Parameters
    ----------
    conversion : float
        In (0, 1).
    slates : int32 ndarray, shape (n, K)
        What each person is shown.
    intercept : float32 ndarray, shape (n,)
        Changed in place.

    Notes
    -----
    The logit's inclusive value: ``intercept = logit(conversion) - ln(sum over the slate of exp(quality + match))``.
    """
    target = math.log(conversion / (1.0 - conversion))
    for i in range(slates.shape[0]):
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
    purchase_rate, dropout : ndarray, shape (persons,)
        Purchases a day while active; chance to leave after a repeat purchase.
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
            if k > 0 and u01(seed, _DROPOUT, uid[i], k, 0, 0) < dropout[i]:
                left[r] = True
                break
            if purchase_rate[i] <= 0.0:
                break
            moment += math.log(u01(seed, _HISTORY, uid[i], 0, k, 1)) / purchase_rate[i]
            k += 1
    return person[:n].copy(), product[:n].copy(), days_ago[:n].copy(), left
