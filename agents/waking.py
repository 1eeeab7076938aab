"""Waking: who visits, talks about the shop or signs up of their own will.

People visit at a Gamma rate (NBD) and at most once a tick: with as great a chance as visits are expected in it, so that
they are as many as the rate says while it is below one a tick. Occasions to talk are Poisson, thinned to one a tick.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np

from sim.core.draws import Stream, philox, unit

_VISIT = np.uint32(Stream.VISIT)
_BLOCK = 1024  # persons whose draws are made in one go, which the compiler turns into vector instructions
_LANES = 8  # persons who are dismissed at once if none of them may act
_SURELY = 1.0 + 1e-6  # above one by more than rounding
_COARSE = np.uint32(8)  # bits of a draw that single precision cannot hold
MEMBER = 1
PROSPECT = 0


@nb.njit(cache=True, nogil=True)
def scan(seed, tick, status, uid, visit_rate, talk_rate, days, factor, organic, first_fake):  # type: ignore[no-untyped-def]
    """Return who visits, who may talk about the shop and who signs up unprompted in this tick.

    Parameters
    ----------
    seed, tick : uint32
    status, uid, visit_rate, talk_rate : ndarray, shape (persons,)
        Rates are per day.
    days : float
        Length of the tick.
    factor : float
        On visit rates (campaigns).
    organic : float
        Chance that a prospect signs up unprompted in this tick.
    first_fake : uint32
        Fake accounts, from this uid, do nothing of their own will.

    Returns
    -------
    tuple of three int32 ndarrays
        Rows of visitors, talkers and new members.

    Notes
    -----
    Nobody does anything whose draw exceeds the rate. That is told of all in single precision, of a draw without its
    last bits and with a little to spare, in loops without branches; few persons are left to look at.
    """
    visitors = np.empty(status.size, np.int32)
    talkers = np.empty(status.size, np.int32)
    joiners = np.empty(status.size, np.int32)
    v = t = j = 0
    to_come, to_talk = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK, np.uint32)
    may_act = np.zeros(_BLOCK, np.uint8)
    any_may_act = may_act.view(np.uint64)
    whole = _SURELY * 2.0 ** (32 - _COARSE)
    come, talk, join = np.float32(whole * days * factor), np.float32(whole * days), np.float32(whole * organic)
    for first in range(0, status.size, _BLOCK):
        size = min(_BLOCK, status.size - first)
        for n in range(size):
            to_come[n], to_talk[n], _, _ = philox(seed, _VISIT, uid[first + n], 0, tick, 0)
        for n in range(size):
            i = first + n
            is_member, is_prospect = np.float32(status[i] == MEMBER), np.float32(status[i] == PROSPECT)
            comes = np.float32(np.int32(to_come[n] >> _COARSE)) < is_member * visit_rate[i] * come + is_prospect * join
            may_act[n] = comes | (np.float32(np.int32(to_talk[n] >> _COARSE)) < is_member * talk_rate[i] * talk)
        may_act[size:] = 0
        for lanes in range(any_may_act.size):
            if any_may_act[lanes] == 0:
                continue
            for n in range(_LANES * lanes, _LANES * (lanes + 1)):
                i = first + n
                if not may_act[n] or uid[i] >= first_fake:
                    continue
                if status[i] == PROSPECT:
                    if unit(to_come[n]) < organic:
                        joiners[j] = i
                        j += 1
                    continue
                if unit(to_come[n]) < visit_rate[i] * days * factor:
                    visitors[v] = i
                    v += 1
                events = talk_rate[i] * days
                if unit(to_talk[n]) < events and unit(to_talk[n]) < -math.expm1(-events):
                    talkers[t] = i
                    t += 1
    return visitors[:v].copy(), talkers[:t].copy(), joiners[:j].copy()
