"""What rings keep: devices, accounts, and groups of accounts that play a plan together; and kernels that read it."""

from __future__ import annotations

import numba as nb
import numpy as np

from agents.hiding import Facet
from sim.core.draws import Stream, u01
from sim.core.table import Column, Table, column
from sim.offers import NONE
from sim.orders import OrderStatus
from sim.people import NEVER

_HIDING = np.uint32(Stream.HIDING)
_WARM_UP, _AFTER_LIFE = int(Facet.WARM_UP), int(Facet.AFTER_LIFE)
_DELIVERED, _REFUNDED = np.int8(OrderStatus.DELIVERED), np.int8(OrderStatus.REFUNDED)
PRETENCES = [Facet.WARM_UP, Facet.AFTER_LIFE]  # before the order, and afterwards
_LOOKS = 3  # which of the draws of a tick says whether an account comes to look around


class Devices(Table):
    """Devices of all rings, one row each; the platform sees row r as device ``persons + r``.

    Of the addresses beyond those of honest people, even ones are devices', odd ones single accounts'.
    """

    ring: Column = column(np.int32)
    address: Column = column(np.int32)
    takes: Column = column(np.int32)  # accounts that the ring believes it takes


class Accounts(Table):
    """Accounts that one ring has opened, or tried to; ``person`` ascends."""

    person: Column = column(np.int32)
    device: Column = column(np.int32)  # row of Devices
    group: Column = column(np.int32)  # row of Groups
    product: Column = column(np.int32, fill=NONE)  # what it is to order first, -1: nothing
    inviter: Column = column(np.int32, fill=NONE)  # row of this table
    invited: Column = column(np.int32)  # accounts that it has invited
    serves: Column = column(np.bool_)  # it only invites, and may do so for further groups
    signs_up: Column = column(np.int32)  # tick
    asked: Column = column(np.bool_)  # whether beliefs know if it was let in
    orders: Column = column(np.int32)  # tick of the first order, or of the sign-up if there is none
    hidden: Column = column(np.bool_, width=len(Facet))
    looks_around: Column = column(np.float64)  # chance that it comes in a tick if it pretends, as honest people do

    def __init__(self) -> None:
        super().__init__()
        self._any_pretends = False
        self._read = 0

    def any_pretends(self) -> bool:
        """Whether any of them pretends to be interested, and so looks around before its order or afterwards."""
        if self._read < self._length:
            self._any_pretends |= bool(self.hidden[self._read :, PRETENCES].any())
            self._read = self._length
        return self._any_pretends


class Groups(Table):
    """Groups of accounts that play a plan together; fen."""

    course: Column = column(np.int32)  # index of what the ring has tried
    hidden: Column = column(np.float64)  # chance that an account disguises one of its facets
    root: Column = column(np.int32)  # the account that is the plan's first, a row of Accounts
    bonus: Column = column(np.float64)  # promised by the rules
    discount: Column = column(np.float64)
    over: Column = column(np.int32)  # first tick in which all that it does is done
    judged: Column = column(np.bool_)  # whether beliefs know what became of it
    had: Column = column(np.float64)  # rewards and discounts that they know of


@nb.njit(cache=True)
def whose_turn(seed, tick, due, account, person, product, orders, hidden, looks_around, uid, joined):  # type: ignore[no-untyped-def]
    """Return the errands that are due in a tick, and the persons who pretend to be interested and look around.

    These come before their order or afterwards, as often as honest people drawn like them, unless they have an errand.

    Parameters
    ----------
    seed, tick : uint32
    due, account : int32 ndarray, shape (errands,)
        Columns of :class:`agents.errands.Errands`.
    person ... looks_around : ndarray, shape (accounts, ...)
        Columns of :class:`agents.ring_tables.Accounts`.
    uid, joined : ndarray
        Columns of :class:`sim.people.People`.
    """
    now = np.empty(due.size, np.int64)
    is_busy = np.zeros(person.size, np.bool_)
    n = 0
    for row in range(due.size):
        if due[row] == tick:
            now[n] = row
            is_busy[account[row]] = True
            n += 1
    visitors = np.empty(person.size, np.int64)
    v = 0
    for a in range(person.size):
        is_early = product[a] >= 0 and tick < orders[a]
        mimics = hidden[a, _WARM_UP] if is_early else hidden[a, _AFTER_LIFE]
        if not mimics or is_busy[a] or joined[person[a]] <= NEVER:
            continue
        if u01(seed, _HIDING, uid[person[a]], 0, tick, _LOOKS) < looks_around[a]:
            visitors[v] = person[a]
            v += 1
    return now[:n].copy(), visitors[:v].copy()


@nb.njit(cache=True)
def carried(devices, tick, device, signs_up, person, joined):  # type: ignore[no-untyped-def]
    """Return how many accounts of a ring each device carries, or is to carry.

    Parameters
    ----------
    devices : int
        Of all rings.
    tick : int
    device, signs_up, person : int32 ndarray, shape (accounts,)
        Columns of :class:`Accounts`.
    joined : int32 ndarray
        Of :class:`sim.people.People`.
    """
    held = np.zeros(devices, np.int64)
    for a in range(person.size):
        if signs_up[a] >= tick or joined[person[a]] > NEVER:
            held[device[a]] += 1
    return held


@nb.njit(cache=True)
def room_on_devices(ring, tick, most, owner, takes, device, signs_up, person, joined):  # type: ignore[no-untyped-def]
    """Return a ring's devices (rows), how many more accounts each is believed to take, and how many it holds.

    Parameters
    ----------
    ring, tick : int
    most : int
        Accounts beyond which it does not matter whether there is room for more.
    owner, takes : int32 ndarray
        Columns of :class:`Devices`.
    device ... joined : ndarray
        See :func:`carried`.
    """
    rows = np.flatnonzero(owner == ring)
    held = carried(owner.size, tick, device, signs_up, person, joined)[rows]
    return rows, np.minimum(np.maximum(takes[rows] - held, 0), most), held


@nb.njit(cache=True)
def most_taken(ring, owner, takes):  # type: ignore[no-untyped-def]
    """Return how many accounts that device of a ring is believed to take which takes most, at least one.

    Parameters
    ----------
    ring : int
    owner, takes : int32 ndarray
        Columns of :class:`Devices`.
    """
    most = 1
    for row in range(owner.size):
        if owner[row] == ring:
            most = max(most, takes[row])
    return most


@nb.njit(cache=True)
def in_turn(rows, free, held):  # type: ignore[no-untyped-def]
    """Return each row as often as it has places free; those that hold least come first, one place after the other."""
    turn = np.empty(free.sum(), np.int64)
    n = level = 0
    while n < turn.size:
        for r in range(rows.size):
            if held[r] <= level < held[r] + free[r]:
                turn[n] = rows[r]
                n += 1
        level += 1
    return turn


@nb.njit(cache=True)
def inviters(chance, serves, group, person, hidden, joined):  # type: ignore[no-untyped-def]
    """Return the accounts (rows) that can invite for further groups and disguise their facets with some chance.

    Parameters
    ----------
    chance : float
    serves, group, person : ndarray, shape (accounts,)
        Columns of :class:`Accounts`.
    hidden : float64 ndarray, shape (groups,)
        Of :class:`Groups`.
    joined : int32 ndarray
        Of :class:`sim.people.People`.
    """
    rows = np.empty(person.size, np.int64)
    n = 0
    for a in range(person.size):
        if serves[a] and hidden[group[a]] == chance and joined[person[a]] > NEVER:
            rows[n] = a
            n += 1
    return rows[:n].copy()


@nb.njit(cache=True)
def have_inviters(chances, serves, group, person, hidden, joined):  # type: ignore[no-untyped-def]
    """Return for which of some chances there are any :func:`inviters`, bool."""
    have = np.zeros(chances.size, np.bool_)
    for a in range(person.size):
        if serves[a] and joined[person[a]] > NEVER:
            have |= chances == hidden[group[a]]
    return have


@nb.njit(cache=True)
def newly_asked(tick, asked, signs_up):  # type: ignore[no-untyped-def]
    """Return the accounts (rows) of which it can be asked for the first time if they were let in, and note that.

    Parameters
    ----------
    tick : int
    asked, signs_up : ndarray, shape (accounts,)
        Columns of :class:`Accounts`; ``asked`` is changed in place.
    """
    rows = np.flatnonzero(~asked & (signs_up < tick))
    asked[rows] = True
    return rows


@nb.njit(cache=True)
def judgeable(tick, received, to_come, over, judged, had, group, person, joined, told):  # type: ignore[no-untyped-def]
    """Return the groups (rows) that teach something now, and the part of every group that did as it was to.

    Those teach that are over for the first time, all goods come, and those from which something was taken back; what
    trickles in does not. The part is of those who were let in and could pay: what others lost tells nothing of hiding.

    Parameters
    ----------
    tick : int
    received, to_come : ndarray, shape (groups,)
        Fen so far, and orders that have not been delivered.
    over, judged, had : ndarray, shape (groups,)
        Columns of :class:`Groups`.
    group, person : int32 ndarray, shape (accounts,)
        Columns of :class:`Accounts`.
    joined : int32 ndarray
        Of :class:`sim.people.People`.
    told : bool ndarray, shape (accounts,)
        Who was told to pay otherwise.
    """
    teaches = np.where(judged, received < had, (over <= tick) & (to_come == 0))
    size, inside = np.zeros(over.size, np.int64), np.zeros(over.size)
    for a in range(person.size):
        size[group[a]] += 1
        inside[group[a]] += joined[person[a]] > NEVER and not told[a]
    return np.flatnonzero(teaches), inside / np.maximum(size, 1)


@nb.njit(cache=True)
def orders_of(ring, first, ring_of, buyer, start):  # type: ignore[no-untyped-def]
    """Return the rows of the order book, from ``start`` on, that are a ring's orders.

    Parameters
    ----------
    ring : int
    first : int
        Person before whom nobody is of a ring.
    ring_of : int16 ndarray
        Of :class:`sim.people.People`.
    buyer : int32 ndarray
        Of :class:`sim.orders.OrderBook`.
    start : int
    """
    rows = np.empty(buyer.size - start, np.int64)
    n = 0
    for row in range(start, buyer.size):
        if buyer[row] >= first and ring_of[buyer[row]] == ring:
            rows[n] = row
            n += 1
    return rows[:n].copy()


@nb.njit(cache=True)
def received_by_group(groups, orders, person, group, brought, buyer, status, discount, will_return):  # type: ignore[no-untyped-def]
    """Return the fen of rewards, and of discounts on goods that came and are kept, that each group brought.

    And how many of its orders are still to come. What was taken back is taken off. An account that invites for several
    groups earns for each what that one caused.

    Parameters
    ----------
    groups : int
    orders : int64 ndarray
        The ring's orders, rows of the order book.
    person, group : int32 ndarray, shape (accounts,)
        Columns of :class:`agents.ring_tables.Accounts`.
    brought : int64 ndarray, shape (accounts,)
        Column of :class:`sim.people.Fakes`.
    buyer ... will_return : ndarray
        Columns of :class:`sim.orders.OrderBook`.
    """
    rewards, discounts, to_come = np.zeros(groups), np.zeros(groups), np.zeros(groups, np.int64)
    for a in range(person.size):
        rewards[group[a]] += brought[a]
    for row in orders:
        if status[row] >= _REFUNDED:
            continue
        at, off = group[np.searchsorted(person, buyer[row])], 0
        for scheme in range(discount.shape[1]):
            off += discount[row, scheme]
        rewards[at] -= off
        if status[row] < _DELIVERED:
            to_come[at] += 1
        elif not will_return[row]:
            discounts[at] += off
    return rewards, discounts, to_come
