"""Sharers: who passes something on, and to whom; what a message does to its reader is in :mod:`agents.readers`.

A member shares after something happened (an order, a team, a visit, a sign-up) or unprompted. The chance of each
occasion is the scenario's, shifted in logits by how inclined the member is, what the share is expected to earn, and how
often they bothered their friends of late.

References
----------
Aral & Walker (2011), "Creating social contagion through viral product design".
Leskovec, Adamic & Huberman (2007), "The dynamics of viral marketing".
Kempe, Kleinberg & Tardos (2003), "Maximizing the spread of influence" (independent cascade, linear threshold).
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from sim.core.draws import Stream, exponential_of, philox, u01, unit
from sim.core.prefetch import AHEAD, prefetch
from sim.offers import NONE, ShareKind

_RECIPIENT = np.uint32(Stream.RECIPIENT)
_SHARE = np.uint32(Stream.SHARE)
_PRODUCT, _TEAM, _INVITE = np.int8(ShareKind.PRODUCT), np.int8(ShareKind.TEAM), np.int8(ShareKind.INVITE)
CHAINS = 8  # into which the messages of a tick are put in turn: so many are fetched at once


@nb.njit(cache=True)
def with_an_occasion(buyers, visitors, talkers, people):  # type: ignore[no-untyped-def]
    """Return who has an occasion to share, each person once: buyers, then other visitors, then those who only talk.

    Parameters
    ----------
    buyers, visitors, talkers : int32 ndarray
        Each person at most once in each.
    people : int
        Rows of :class:`sim.people.People`.

    Returns
    -------
    persons : int32 ndarray
    idle : int
        How many of them are visitors who buy nothing.
    """
    is_done = np.zeros(people, np.bool_)
    found = np.empty(buyers.size + visitors.size + talkers.size, np.int32)
    found[: buyers.size] = buyers
    n = buyers.size
    for i in buyers:
        is_done[i] = True
    for i in visitors:
        if not is_done[i]:
            found[n] = i
            n += 1
    idle = n - buyers.size
    for i in visitors:
        is_done[i] = True
    for i in talkers:
        if not is_done[i]:
            found[n] = i
            n += 1
    return found[:n], idle


@nb.njit(cache=True, nogil=True)
def occasions(  # type: ignore[no-untyped-def]
    seed, tick, person, idle, calls, team, invitation, by_team, reward, uid, joined, reward_weight,
    after_team, after_order, after_sign_up, after_visit,
):  # fmt: skip
    """Return what each person would share, and the chance of an average member to do so without reward.

    Parameters
    ----------
    seed, tick : uint32
    person, idle
        As :func:`with_an_occasion` returns them.
    calls : bool ndarray, shape (buyers,)
        Who needs friends to complete something that a scheme promised them.
    team : int32 ndarray, shape (buyers,)
        That they are in, -1: none.
    invitation : float64 ndarray
        Yuan that those who bought nothing expect of an invitation.
    by_team : float64 ndarray, shape (buyers,)
        Yuan that buyers expect of calling friends to their team.
    reward : float64 ndarray
        Yuan that each person expects of sharing a product; changed in place to that of what they would share.
    uid, joined : ndarray
        Columns of :class:`sim.people.People`.
    reward_weight : float
        Logits per ``ln(1 + yuan)``.
    after_team, after_order, after_sign_up, after_visit : float
        Chances.

    Returns
    -------
    kind : int8 ndarray
    chance : float64 ndarray
        NaN for those who only talk.

    Notes
    -----
    The odds of an invitation against what one bought last grow with what it is expected to earn as those of sharing do:
    to ``(1 + yuan)^w - 1`` against one, with ``w`` the ``reward_weight``. So a reward of nothing changes nothing.
    """
    buyers = calls.size
    kind = np.full(person.size, _PRODUCT)
    chance = np.full(person.size, np.nan)
    for n in range(buyers):
        chance[n] = after_team if calls[n] else after_order
        if calls[n] and team[n] >= 0:
            kind[n], reward[n] = _TEAM, by_team[n]
    others = person.size - buyers
    subject, u = np.empty(others, np.uint32), np.empty(others)
    for n in range(others):
        later = np.uint32(person[buyers + min(n + AHEAD, others - 1)])
        prefetch(uid, later)
        prefetch(joined, later)
        i = np.uint32(person[buyers + n])
        subject[n] = uid[i]
        if n < idle:
            chance[buyers + n] = after_sign_up if joined[i] == tick else after_visit
    for n in range(others):  # a loop of draws alone is several times as fast as one with branches
        u[n] = u01(seed, _SHARE, subject[n], 0, tick, 2)
    usual, prefers = 0.0, 0.0  # most expect the same
    for n in range(others):
        yuan = invitation[n]
        if yuan > 0.0:
            if yuan != usual:
                usual, prefers = yuan, -math.expm1(-reward_weight * math.log1p(yuan))
            if u[n] < prefers:
                kind[buyers + n], reward[buyers + n] = _INVITE, yuan
    return kind, chance


@nb.njit(cache=True, nogil=True, error_model="numpy")
def takers(  # type: ignore[no-untyped-def]
    seed, tick, person, kind, reward, chance, most,
    uid, social_cost, shares, talk_rate, last_share, activity, reward_weight, days, cap, cooldown,
):  # fmt: skip
    """Decide who takes an occasion to share; for the rule see :meth:`sim.feed.Feed.takers`.

    Parameters
    ----------
    seed, tick : uint32
    person, kind, reward, chance : ndarray, shape (n,)
        The occasions. The chance is NaN for those who may talk unprompted.
    most : float
        That anybody expects of theirs, yuan.
    uid ... activity : ndarray
        Columns of :class:`sim.people.People`.
    reward_weight, days, cap, cooldown : float
        Logits per ``ln(1 + yuan)``; length of the tick; most that rewards can multiply unprompted talk by; ticks
        between a person's
        shares.

    Returns
    -------
    int64 ndarray
        Positions of those who do.
    """
    takes = np.empty(person.size, np.int64)
    subject, u = np.empty(person.size, np.uint32), np.empty(person.size)
    for n in range(person.size):
        later = np.uint32(person[min(n + AHEAD, person.size - 1)])
        prefetch(uid, later)
        prefetch(activity, later)  # and what is kept beside it
        subject[n] = uid[np.uint32(person[n])]
    for n in range(person.size):  # a loop of draws alone is several times as fast as one with branches
        u[n] = u01(seed, _SHARE, subject[n], kind[n], tick, math.isnan(chance[n]))
    count = 0
    keenest = math.exp(reward_weight * math.log1p(most))  # social cost only lowers it
    for n in range(person.size):
        i = np.uint32(person[n])
        if tick - last_share[i] < cooldown:
            continue
        unprompted = math.isnan(chance[n])
        # Most do not: their draw exceeds the odds of even the keenest, which takes no logarithm to tell.
        if not unprompted and u[n] * (1.0 - chance[n]) > chance[n] * activity[i] * keenest:
            continue
        keenness = reward_weight * math.log1p(reward[n]) - social_cost[i] * np.log1p(shares[i])
        if unprompted:
            dense = -talk_rate[i] * np.float32(days)
            thinned = dense * math.exp(min(keenness, math.log(cap))) / cap
            does = u[n] < math.expm1(thinned) / np.expm1(dense)
        else:
            logit = math.log(chance[n]) - math.log1p(-chance[n]) + np.log(activity[i]) + keenness
            does = u[n] < 1.0 / (1.0 + math.exp(-logit))
        if does:
            takes[count] = n
            count += 1
    return takes[:count].copy()


@nb.njit(cache=True)
def passed_on(taken, person, kind, product, team, recent, tied):  # type: ignore[no-untyped-def]
    """Return what is passed on, a share each, as columns: sharer, kind, product and team.

    Parameters
    ----------
    taken : int64 ndarray
        Positions of those who do.
    person, kind : ndarray, shape (n,)
        The occasions, buyers first.
    product, team : int32 ndarray, shape (buyers,)
        What buyers bought, and the team that they are in, -1: none. Others speak of what they bought last.
    recent : ndarray, shape (persons, RECENT)
        Of :class:`sim.people.People`.
    tied : int
        Accounts from this row on were opened later than the network was drawn: they have nobody to tell.
    """
    sharer, kind_ = np.empty(taken.size, np.int32), np.empty(taken.size, np.int8)
    product_, team_ = np.empty(taken.size, np.int32), np.empty(taken.size, np.int32)
    n = 0
    for t in taken:
        if person[t] >= tied:
            continue
        bought = t < product.size
        sharer[n], kind_[n], team_[n] = person[t], kind[t], team[t] if bought else NONE
        product_[n] = NONE if kind[t] == _INVITE else product[t] if bought else recent[person[t], 0]
        n += 1
    return sharer[:n], kind_[:n], product_[:n], team_[:n]


@nb.njit(cache=True)
def recipients(  # type: ignore[no-untyped-def]
    seed, tick, sharer, kind, uid, last_share, shares, indptr, indices, strength, audience, team_audience, delay_ticks
):
    """Write down who shares, and choose who is told by each share, and when they read it.

    Parameters
    ----------
    seed, tick : uint32
    sharer : int32 ndarray, shape (n,)
        Each once.
    kind : int8 ndarray, shape (n,)
    uid, last_share, shares : ndarray, shape (persons,)
        Columns of :class:`sim.people.People`, the last two changed in place.
    indptr, indices, strength : ndarray
        The network.
    audience, team_audience : float
        Friends told by a share, and by a call to join a team, mean; each is told with that number over their degree
        as chance; infinite: all are.
    delay_ticks : float
        Mean ticks until a message is read, exponential; it is read in the next tick at the earliest.

    Returns
    -------
    tuple
        ``share`` int32 (which share), ``recipient`` int32, ``strength`` float32 and ``due`` int32 (ticks from now),
        one row for each message.
    """
    most = 0
    for s in range(sharer.size):
        most += indptr[sharer[s] + 1] - indptr[sharer[s]]
    share, recipient = np.empty(most, np.int32), np.empty(most, np.int32)
    tie, due = np.empty(most, np.float32), np.empty(most, np.int32)
    subject, obj, luck = np.empty(most, np.uint32), np.empty(most, np.uint32), np.empty((2, most), np.uint32)
    n = 0
    for s in range(sharer.size):
        if s + 2 < sharer.size:  # ask for whose turn is next: their ties, and then their friends
            later = np.uint32(indptr[sharer[s + 2]])
            prefetch(indices, later)
            prefetch(strength, later)
        if s + 1 < sharer.size:
            for e in range(indptr[sharer[s + 1]], indptr[sharer[s + 1] + 1]):
                prefetch(uid, np.uint32(indices[e]))
        i = sharer[s]
        last_share[i] = tick
        shares[i] += np.float32(1)
        for e in range(indptr[i], indptr[i + 1]):
            share[n], recipient[n], tie[n] = s, indices[e], strength[e]
            subject[n], obj[n] = uid[i], uid[np.uint32(indices[e])]
            n += 1
    for n in range(most):  # a loop of draws alone is several times as fast as one with branches
        luck[0, n], luck[1, n], _, _ = philox(seed, _RECIPIENT, subject[n], obj[n], tick, kind[share[n]])
    told = 0
    for n in range(most):
        s = share[n]
        degree = indptr[sharer[s] + 1] - indptr[sharer[s]]
        usual = team_audience if kind[s] == _TEAM else audience
        if degree > usual and unit(luck[0, n]) * degree >= usual:
            continue
        share[told], recipient[told], tie[told] = s, recipient[n], tie[n]
        due[told] = 1 + int(exponential_of(luck[1, n]) * delay_ticks)
        told += 1
    return share[:told], recipient[:told], tie[:told], due[:told]


@nb.njit(cache=True)
def enqueue(  # type: ignore[no-untyped-def]
    tick, horizon, kol, wait, share, recipient, strength, sharer, kind, product, team, gift,
    records, vacant, first, last, messages,
):  # fmt: skip
    """Put messages that will be read before the horizon into vacant rows, at the ends of their tick's chains.

    Parameters
    ----------
    tick, horizon, kol : int
    wait, share, recipient, strength : ndarray, shape (messages,)
        Ticks until each is read, its share, who reads it, and the tie's strength.
    sharer, kind, product, team, gift : ndarray, shape (shares,)
    records : ndarray
        Of :class:`sim.feed.Messages`, changed in place.
    vacant : int32 ndarray
        Vacant rows, at least as many as there are messages; the last are used first.
    first, last, messages : int32 ndarray, shape (ticks, CHAINS), (ticks, CHAINS) and (ticks,)
        Columns of :class:`sim.feed.Moments`, changed in place.

    Returns
    -------
    int32 ndarray
        The rows in which the messages are.
    """
    rows = np.empty(wait.size, np.int32)
    n = 0
    for m in range(wait.size):
        due = tick + wait[m]
        if due >= horizon:
            continue
        prefetch(records, np.uint32(vacant[max(vacant.size - 1 - n - AHEAD, 0)]))
        row, s = vacant[vacant.size - 1 - n], share[m]
        record = records[row]
        record.sharer, record.recipient, record.kind, record.kol = sharer[s], recipient[m], kind[s], kol
        record.product, record.team, record.strength, record.gift = product[s], team[s], strength[m], gift[s]
        record.following = -1
        chain = messages[due] % CHAINS
        if messages[due] < CHAINS:
            first[due, chain] = row
        else:
            records[last[due, chain]].following = row
        last[due, chain] = row
        messages[due] += 1
        rows[n] = row
        n += 1
    return rows[:n]


@nb.njit(cache=True, nogil=True)
def follow(messages, first, records):  # type: ignore[no-untyped-def]
    """Return the messages of a tick, in the order in which they were sent, as columns of :class:`sim.offers.Shares`.

    Parameters
    ----------
    messages : int
        How many there are.
    first : int32 ndarray, shape (CHAINS,)
        Where their chains begin.
    records : ndarray
        Of :class:`sim.feed.Messages`.

    Returns
    -------
    tuple of ndarray
        The columns, and after them the rows of ``records``, int32.
    """
    sharer, recipient = np.empty(messages, np.int32), np.empty(messages, np.int32)
    kind, kol = np.empty(messages, np.int8), np.empty(messages, np.int16)
    product, team = np.empty(messages, np.int32), np.empty(messages, np.int32)
    strength, gift = np.empty(messages, np.float32), np.empty(messages, np.float32)
    rows, turn = np.empty(messages, np.int32), first.copy()
    for m in range(messages):
        rows[m] = turn[m % CHAINS]
        record = records[rows[m]]
        turn[m % CHAINS] = record.following
        prefetch(records, np.uint32(max(record.following, 0)))
        sharer[m], recipient[m], kind[m], kol[m] = record.sharer, record.recipient, record.kind, record.kol
        product[m], team[m], strength[m], gift[m] = record.product, record.team, record.strength, record.gift
    return sharer, recipient, kind, product, team, kol, strength, gift, rows
