"""Readers: what messages do to those who read them.

The response to one exposure is a logit of tie strength, trust, relevance, the promised gift and fatigue. Of all that
somebody reads in a tick they click on one message at most, and a prospect who clicks may sign up.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from sim.core.draws import Stream, u01
from sim.core.prefetch import AHEAD, prefetch
from sim.core.turns import turns
from sim.offers import ShareKind, Source
from sim.people import Status

_CLICK, _SIGN_UP = np.uint32(Stream.CLICK), np.uint32(Stream.SIGN_UP)
_BY_SHARE, _BY_KOL = np.int8(Source.SHARE), np.int8(Source.KOL)
_KOL_SENDER = np.uint32(0x40000000)  # addresses of KOLs as senders of posts start here
_PROSPECT, _MEMBER, _CHURNED = np.int8(Status.PROSPECT), np.int8(Status.MEMBER), np.int8(Status.CHURNED)
_TEAM, _INVITE, _POST = np.int8(ShareKind.TEAM), np.int8(ShareKind.INVITE), np.int8(ShareKind.POST)


@nb.njit(cache=True, nogil=True)
def respond(  # type: ignore[no-untyped-def]
    seed, tick, sharer, recipient, kind, product, kol, tie, gift,
    uid, status, taste, trust, exposures, deal_prone, topic, kol_click,
    base, strength_effect, trust_effect, relevance_effect, invitation, team_call, fatigue_effect, gift_effect, pull,
    win_back,
):  # fmt: skip
    """Decide which exposures are clicked on.

    Parameters
    ----------
    sharer ... gift : ndarray, shape (n,)
        The messages read in this tick (:class:`sim.offers.Shares`; ``tie`` is its strength).
    uid ... deal_prone : ndarray
        Columns of :class:`sim.people.People`.
    topic : float32 ndarray, shape (products, d)
    kol_click : float32 ndarray
        Logit of the click chance of a post, for each KOL.
    base ... gift_effect : float
        Logits; see ``sharing.click`` of a scenario.
    pull : float
        How many times as much a gift attracts deal-prone people.
    win_back : float
        Click chance of people who left, relative to others.

    Returns
    -------
    float64 ndarray, shape (n,)
        For an exposure that is clicked on, the draw that decided it, in (0, 1), so that of several the keenest can be
        taken; 2 for one that is not.
    """
    outcome, u = np.full(sharer.size, 2.0), np.empty(sharer.size)
    reader, sender = np.empty(sharer.size, np.uint32), np.empty(sharer.size, np.uint32)
    for e in range(sharer.size):
        later = np.uint32(min(e + AHEAD, sharer.size - 1))
        prefetch(uid, np.uint32(recipient[later]))
        prefetch(uid, np.uint32(max(sharer[later], 0)))  # of a KOL's post it may be nobody
        reader[e] = uid[np.uint32(recipient[e])]
        sender[e] = _KOL_SENDER + np.uint32(kol[e]) if kind[e] == _POST else uid[np.uint32(max(sharer[e], 0))]
    for e in range(sharer.size):  # a loop of draws alone is several times as fast as one with branches
        u[e] = u01(seed, _CLICK, reader[e], sender[e], tick, kind[e])
    for e in range(sharer.size):
        later = np.uint32(recipient[min(e + AHEAD, sharer.size - 1)])
        prefetch(status, later)
        prefetch(trust, later)  # and exposures, kept beside it
        prefetch(taste, later)
        r, j = np.uint32(recipient[e]), product[e]
        stands = status[r]
        if kind[e] == _INVITE and stands == _MEMBER:
            continue
        match = 0.0
        if j >= 0 and relevance_effect != 0.0:
            for d in range(taste.shape[1]):
                match += taste[r, d] * topic[j, d]
        if kind[e] == _POST:
            logit = kol_click[kol[e]]
        else:
            logit = base + strength_effect * (tie[e] - 0.5) + trust_effect * (nb.float64(trust[r]) - 0.5)
            if kind[e] == _TEAM:
                logit += team_call
            elif kind[e] == _INVITE:
                logit += invitation
        logit += relevance_effect * match - fatigue_effect * math.log1p(nb.float64(exposures[r]))
        if stands == _PROSPECT:
            logit += gift_effect * (pull if deal_prone[r] else 1.0) * math.log1p(gift[e])
        chance = 1.0 / (1.0 + math.exp(-logit))
        if stands == _CHURNED:
            chance *= win_back
        if u[e] < chance:
            outcome[e] = u[e] / chance
    return outcome


@nb.njit(cache=True)
def clicked(outcome, recipient, exposures):  # type: ignore[no-untyped-def]
    """Count each message that was read, and return the positions of those that are clicked on.

    Parameters
    ----------
    outcome : float64 ndarray, shape (n,)
        What :func:`respond` returned.
    recipient : int32 ndarray, shape (n,)
    exposures : float32 ndarray, shape (persons,)
        Of :class:`sim.people.People`, changed in place.

    Returns
    -------
    int64 ndarray
        In ascending order of the recipients, one each: of several the keenest, and of equally keen ones the first.
    """
    hits, persons = np.empty(outcome.size, np.int64), np.empty(outcome.size, np.int32)
    n = 0
    for e in range(outcome.size):
        exposures[recipient[e]] += np.float32(1)
        if outcome[e] <= 1.0:
            hits[n], persons[n] = e, recipient[e]
            n += 1
    rows = np.empty(n, np.int64)
    count = 0
    for turn in turns(persons[:n]):
        e = hits[turn]
        if count == 0 or recipient[e] != recipient[rows[count - 1]]:
            rows[count] = e
            count += 1
        elif outcome[e] < outcome[rows[count - 1]]:
            rows[count - 1] = e
    return rows[:count]


@nb.njit(cache=True)
def sign_ups(seed, tick, sharer, recipient, kind, gift, uid, status, deal_prone, chance, gift_effect, pull):  # type: ignore[no-untyped-def]
    """Return which of those who click would sign up, as the columns of :class:`sim.offers.Signups`.

    Parameters
    ----------
    seed, tick : uint32
    sharer, recipient, kind, gift : ndarray, shape (n,)
        Columns of the clicks (:class:`sim.offers.Shares`).
    uid, status, deal_prone : ndarray
        Columns of :class:`sim.people.People`.
    chance : float
        Of prospects who click and were promised nothing.
    gift_effect, pull : float
        As of :func:`respond`.
    """
    person, inviter = np.empty(recipient.size, np.int32), np.empty(recipient.size, np.int32)
    source = np.empty(recipient.size, np.int8)
    n = 0
    for e in range(recipient.size):
        r = np.uint32(recipient[e])
        if status[r] != _PROSPECT:
            continue
        odds = math.exp(gift_effect * (pull if deal_prone[r] else 1.0) * np.log1p(gift[e]))
        if u01(seed, _SIGN_UP, uid[r], 0, tick, 0) < chance * odds / (1 - chance + chance * odds):
            person[n], inviter[n] = recipient[e], sharer[e]
            source[n] = _BY_KOL if kind[e] == _POST else _BY_SHARE
            n += 1
    return person[:n], inviter[:n], source[:n]
