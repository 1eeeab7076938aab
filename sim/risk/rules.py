"""The rules of risk control as kernels: who may sign up, who gets a discount or a reward, and who is suspect by
yesterday's logs.
"""

from __future__ import annotations

import numba as nb
import numpy as np

from sim.core.draws import Stream, philox
from sim.core.prefetch import AHEAD, prefetch
from sim.core.turns import turns
from sim.people import NEVER

NO_LIMIT = int(np.iinfo(np.int64).max)
NOT_YET = -1
_RISK = np.uint32(Stream.RISK)


@nb.njit(cache=True)
def admitted_signups(  # type: ignore[no-untyped-def]
    seed, tick, person, uid, is_out, barred, by_device, by_address, attempts, refused, caught
):
    """Decide who may sign up, count what was tried, and note who is caught.

    Parameters
    ----------
    seed : uint32
    tick : int
    person : int32 ndarray, shape (n,)
        Each once.
    uid : uint32 ndarray, shape (persons,)
        Of :class:`sim.people.People`.
    is_out : bool
        Whether an outage lets everybody pass.
    barred : bool ndarray, shape (n,) or (0,)
        Who may not for other reasons.
    by_device, by_address : tuple
        The device (address) of each, int32 of shape (n,); how many accounts one may carry; and the columns ``accounts``
        and ``tried`` of its :class:`sim.risk.controls.Tally`, changed in place.
    attempts, refused, caught : int32 ndarray, shape (persons,)
        Columns of :class:`sim.risk.controls.Cases`, changed in place.

    Returns
    -------
    admitted : bool ndarray, shape (n,)
    rejected : int32 ndarray
        The others.
    """
    words = np.empty(person.size, np.uint32)
    for n in range(person.size):
        words[n] = philox(seed, _RISK, uid[person[n]], 0, np.uint32(tick), 0)[0]
    order = turns(words)
    admitted = np.ones(person.size, np.bool_)
    _refuse_where_full(order, by_device, admitted)
    _refuse_where_full(order, by_address, admitted)
    rejected = np.empty(person.size, person.dtype)
    size = 0
    for n in range(person.size):
        i = person[n]
        admitted[n] = is_out or (admitted[n] and not (barred.size > 0 and barred[n]))
        attempts[i] += 1
        if admitted[n]:
            by_device[2][by_device[0][n]] += 1
            by_address[2][by_address[0][n]] += 1
        else:
            refused[i] += 1
            if caught[i] == NOT_YET:
                caught[i] = tick
            rejected[size] = i
            size += 1
    return admitted, rejected[:size].copy()


@nb.njit(cache=True)
def _refuse_where_full(order, places, admitted):  # type: ignore[no-untyped-def]
    """Refuse sign-ups for which there is no room on their device, even if all that come before them are let in.

    Parameters
    ----------
    order : uint32 ndarray, shape (n,)
        Positions of the sign-ups, in their order of precedence.
    places : tuple
        ``by_device`` of :func:`admitted_signups`.
    admitted : bool ndarray, shape (n,)
        Changed in place.
    """
    device, limit, accounts, tried = places
    if limit == NO_LIMIT:
        return
    before = tried[device]
    for n in order:
        rank = tried[device[n]] - before[n]  # among those of this batch
        tried[device[n]] += 1
        if accounts[device[n]] + rank >= limit:
            admitted[n] = False


@nb.njit(cache=True)
def discounts_allowed(person, discount, flagged, joined, latest):  # type: ignore[no-untyped-def]
    """Return which orders pass: those without a discount, or by accounts that may have one.

    Parameters
    ----------
    person : int32 ndarray, shape (n,)
    discount : int64 ndarray, shape (n, schemes)
        Fen.
    flagged : bool ndarray, shape (persons,)
    joined : int32 ndarray, shape (persons,)
        Ticks.
    latest : int
        Tick; accounts that were opened later are too young.
    """
    passed = np.ones(person.size, np.bool_)
    for n in range(person.size):
        later = np.uint32(person[min(n + AHEAD, person.size - 1)])
        prefetch(flagged, later)
        prefetch(joined, later)
        for scheme in range(discount.shape[1]):
            if discount[n, scheme] != 0:
                passed[n] = not flagged[person[n]] and joined[person[n]] <= latest
    return passed


@nb.njit(cache=True)
def rewards_allowed(inviter, invitee, flagged, joined, latest):  # type: ignore[no-untyped-def]
    """Return which rewards for invitations pass: neither side is flagged, and the inviter not too young.

    Parameters
    ----------
    inviter, invitee : int32 ndarray, shape (n,)
    flagged ... latest
        As of :func:`discounts_allowed`.
    """
    allowed = np.empty(inviter.size, np.bool_)
    for n in range(inviter.size):
        i = inviter[n]
        allowed[n] = not (flagged[i] or flagged[invitee[n]]) and joined[i] <= latest
    return allowed


@nb.njit(cache=True)
def judge(person, passed, attempts, refused):  # type: ignore[no-untyped-def]
    """Count what persons tried, and return those who were refused.

    Parameters
    ----------
    person : int32 ndarray, shape (n,)
    passed : bool ndarray, shape (n,)
    attempts, refused : int32 ndarray, shape (persons,)
        Columns of :class:`sim.risk.controls.Cases`, changed in place.
    """
    rejected = np.empty(person.size, person.dtype)
    size = 0
    for n in range(person.size):
        prefetch(attempts, np.uint32(person[min(n + AHEAD, person.size - 1)]))
        attempts[person[n]] += 1
        if not passed[n]:
            refused[person[n]] += 1
            rejected[size] = person[n]
            size += 1
    return rejected[:size].copy()


@nb.njit(cache=True)
def suspects(joined, flagged, invited_today, most_invited, device, overrun_device, address, overrun_address):  # type: ignore[no-untyped-def]
    """Return the accounts to be flagged: not yet flagged, on an overrun device or at an overrun address, or by whom too
    many were invited today.

    Parameters
    ----------
    joined, device, address : int32 ndarray, shape (persons,)
        Columns of :class:`sim.people.People`. Accounts from before the run are no suspects for where they are: they
        signed up when nobody counted.
    flagged, invited_today : ndarray, shape (persons,)
        Columns of :class:`sim.risk.controls.Cases`.
    most_invited : int
        Invitations a day.
    overrun_device, overrun_address : bool ndarray
        By device and by address.
    """
    found = np.empty(joined.size, np.int64)
    size = 0
    for i in range(joined.size):  # without branches, which would be guessed wrong half of the time
        found[size] = i
        is_overrun = overrun_device[np.uint32(device[i])] | overrun_address[np.uint32(address[i])]
        is_suspect = (is_overrun & (joined[i] >= 0)) | (invited_today[i] > most_invited)
        size += is_suspect & (joined[i] > NEVER) & (not flagged[i])
    return found[:size].copy()
