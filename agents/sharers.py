"""Sharers: who passes something on, to whom, and what a message does to its reader.

A member shares after something happened (an order, a team, a visit, a sign-up) or unprompted. The chance of each
occasion is
the scenario's, shifted in logits by how inclined the member is, what the share is expected to earn, and how often they
bothered their friends of late. A reader's response to one exposure is a logit of tie strength, trust, relevance, the
promised gift and fatigue.

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

_RECIPIENT = np.uint32(Stream.RECIPIENT)
_CLICK = np.uint32(Stream.CLICK)
_SHARE = np.uint32(Stream.SHARE)
_KOL_SENDER = np.uint32(0x40000000)  # addresses of KOLs as senders of posts start here
PROSPECT, MEMBER, CHURNED = 0, 1, 2
TEAM, INVITE, POST = 1, 2, 3


@nb.njit(cache=True, error_model="numpy")
def takers(  # type: ignore[no-untyped-def]
    seed, tick, person, kind, reward, chance,
    uid, social_cost, shares, talk_rate, last_share, log_activity, reward_weight, days, cap, cooldown,
):  # fmt: skip
    """Decide who takes an occasion to share; for the rule see :meth:`sim.feed.Feed.takers`.

    Parameters
    ----------
    seed, tick : uint32
    person, kind, reward, chance : ndarray, shape (n,)
        The occasions. The chance is NaN for those who may talk unprompted.
    uid ... last_share : ndarray
        Columns of :class:`sim.people.People`.
    log_activity : float32 ndarray, shape (n,)
        Logarithm of each person's activity.
    reward_weight, days, cap, cooldown : float
        Logits per ``ln(1 + yuan)``; length of the tick; most that rewards can multiply unprompted talk by; ticks
        between a
        person's shares.

    Returns
    -------
    bool ndarray, shape (n,)
    """
    takes = np.zeros(person.size, np.bool_)
    for n in range(person.size):
        i = person[n]
        if tick - last_share[i] < cooldown:
            continue
        unprompted = math.isnan(chance[n])
        u = u01(seed, _SHARE, uid[i], kind[n], tick, unprompted)
        keenness = reward_weight * math.log1p(reward[n]) - social_cost[i] * np.log1p(shares[i])
        if unprompted:
            dense = -talk_rate[i] * np.float32(days)
            thinned = dense * math.exp(min(keenness, math.log(cap))) / cap
            takes[n] = u < math.expm1(thinned) / np.expm1(dense)
        else:
            logit = math.log(chance[n]) - math.log1p(-chance[n]) + log_activity[n] + keenness
            takes[n] = u < 1.0 / (1.0 + math.exp(-logit))
    return takes


@nb.njit(cache=True)
def recipients(seed, tick, sharer, kind, uid, indptr, indices, strength, audience, team_audience, delay_ticks):  # type: ignore[no-untyped-def]
    """Choose who is told by each share, and when they read it.

    Parameters
    ----------
    seed, tick : uint32
    sharer : int32 ndarray, shape (n,)
    kind : int8 ndarray, shape (n,)
    uid : uint32 ndarray, shape (persons,)
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
        one row
        for each message.
    """
    most = 0
    for s in range(sharer.size):
        most += indptr[sharer[s] + 1] - indptr[sharer[s]]
    share = np.empty(most, np.int32)
    recipient = np.empty(most, np.int32)
    tie = np.empty(most, np.float32)
    due = np.empty(most, np.int32)
    n = 0
    for s in range(sharer.size):
        i = sharer[s]
        degree = indptr[i + 1] - indptr[i]
        told = team_audience if kind[s] == TEAM else audience
        for e in range(indptr[i], indptr[i + 1]):
            f = indices[e]
            a, b, _, _ = philox(seed, _RECIPIENT, uid[i], uid[f], tick, kind[s])
            if degree > told and unit(a) * degree >= told:
                continue
            share[n], recipient[n], tie[n] = s, f, strength[e]
            due[n] = 1 + int(exponential_of(b) * delay_ticks)
            n += 1
    return share[:n].copy(), recipient[:n].copy(), tie[:n].copy(), due[:n].copy()


@nb.njit(cache=True)
def tire(exposures, recipient):  # type: ignore[no-untyped-def]
    """Count a message read by each recipient named, again for each."""
    for r in recipient:
        exposures[r] += np.float32(1)


@nb.njit(cache=True)
def respond(  # type: ignore[no-untyped-def]
    seed, tick, sharer, recipient, kind, product, kol, tie, gift,
    uid, status, taste, trust, exposures, topic, kol_click,
    base, strength_effect, trust_effect, relevance_effect, invitation, team_call, fatigue_effect, gift_effect, win_back,
):  # fmt: skip
    """Decide which exposures are clicked on.

    Parameters
    ----------
    sharer ... gift : ndarray, shape (n,)
        The messages read in this tick (:class:`sim.offers.Shares`; ``tie`` is its strength).
    uid ... exposures : ndarray
        Columns of :class:`sim.people.People`.
    topic : float32 ndarray, shape (products, d)
    kol_click : float32 ndarray
        Logit of the click chance of a post, for each KOL.
    base ... gift_effect : float
        Logits; see ``sharing.click`` of a scenario.
    win_back : float
        Click chance of people who left, relative to others.

    Returns
    -------
    float64 ndarray, shape (n,)
        For an exposure that is clicked on, the draw that decided it, in (0, 1), so that of several the keenest can be
        taken; 2 for one that is not.
    """
    outcome = np.full(sharer.size, 2.0)
    for e in range(sharer.size):
        r = recipient[e]
        if kind[e] == INVITE and status[r] == MEMBER:
            continue
        if kind[e] == POST:
            logit = kol_click[kol[e]]
            sender = _KOL_SENDER + np.uint32(kol[e])
        else:
            logit = base + strength_effect * (tie[e] - 0.5) + trust_effect * (trust[r] - 0.5)
            if kind[e] == TEAM:
                logit += team_call
            elif kind[e] == INVITE:
                logit += invitation
            sender = uid[sharer[e]]
        if product[e] >= 0 and relevance_effect != 0.0:
            match = 0.0
            for d in range(taste.shape[1]):
                match += taste[r, d] * topic[product[e], d]
            logit += relevance_effect * match
        logit += gift_effect * math.log1p(gift[e]) * (status[r] == PROSPECT) - fatigue_effect * math.log1p(exposures[r])
        chance = 1.0 / (1.0 + math.exp(-logit))
        if status[r] == CHURNED:
            chance *= win_back
        u = u01(seed, _CLICK, uid[r], sender, tick, kind[e])
        if u < chance:
            outcome[e] = u / chance
    return outcome
