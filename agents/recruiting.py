"""How a ring opens groups of accounts: on which devices, disguised how, invited by whom, and with which errands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import hiding
from agents.actions import Deed
from agents.errands import goods_for, timetable, written_down
from agents.hiding import Facet
from agents.ring_tables import PRETENCES, in_turn, most_taken, room_on_devices
from sim.core import draws
from sim.core.draws import Stream

if TYPE_CHECKING:
    from agents.fraudsters import Ring
    from agents.playbooks import Course
    from sim.shop import Shop

Array = npt.NDArray[Any]
_OPEN, _INVITER = int(Deed.OPEN), int(Facet.INVITER)
_NO_ROOTS = np.zeros(0, np.int64)


def free_places(ring: Ring) -> Array:
    """Return own devices (rows), each as often as it is believed to take another account; emptiest first."""
    places: Array = in_turn(*_room(ring))
    return places


def count_free_places(ring: Ring) -> int:
    """Return how many accounts own devices are believed to take besides those that they carry."""
    return int(_room(ring)[1].sum())


def _room(ring: Ring) -> tuple[Array, Array, Array]:
    """Return own devices (rows), how many more accounts each is believed to take, and how many it holds."""
    devices, accounts, shop = ring.devices, ring.accounts, ring.shop
    room: tuple[Array, Array, Array] = room_on_devices(
        ring.number, shop.clock.tick, ring.config.batch, devices.ring, devices.takes,
        accounts.device, accounts.signs_up, accounts.person, shop.people.joined,
    )  # fmt: skip
    return room


def places_of_a_new_device(ring: Ring) -> int:
    """Return how many accounts a bought device is believed to take: as many as the best of its own."""
    places: int = most_taken(ring.number, ring.devices.ring, ring.devices.takes)
    return places


def open_groups(ring: Ring, course: Course, count: int) -> None:
    """Open the accounts of groups that play a plan; without a free place on its devices, the ring buys new ones.

    Parameters
    ----------
    ring : Ring
    course : Course
    count : int
        Groups; as many of them are opened as its capacity allows.
    """
    config, shop, accounts, play, tick = ring.config, ring.shop, ring.accounts, course.play, ring.shop.clock.tick
    plan, known = play.exploit.plan, len(accounts)
    roots = ring.roots(course.hidden) if plan.root_only_invites else _NO_ROOTS
    row = _seated(count, plan.accounts, roots, known, config.capacity)
    group, place = np.nonzero(row >= known)
    number = known + np.arange(group.size)
    hidden = hiding.disguises(shop, ring.number, number, course.hidden, plan.buyers[place])
    device = _devices_of(ring, hidden)
    ordinary = hiding.addresses(shop, ring.number, number)
    address = np.where(hidden[:, Facet.ADDRESS], ordinary, ring.devices.address[device])
    persons = shop.add_fakes(ring.number, number.size, shop.graph.persons + device, address, play.exploit.fraud)
    before, between = hiding.waits(shop, ring.number, number, hidden)
    apart = np.ceil(plan.days_apart / shop.clock.days_a_tick).astype(np.int64)
    due, signs_up, orders, over = timetable(*plan.columns, apart, tick, known, row, before, between)
    accounts.append(
        number.size, person=persons, device=device, hidden=hidden, signs_up=signs_up, orders=orders,
        group=len(ring.groups) + group, serves=(place == 0) & plan.root_only_invites,
        looks_around=_chance_to_look_around(shop, persons, hidden),
    )  # fmt: skip
    ring.groups.append(
        len(row), course=ring.beliefs.number_of(course), hidden=course.hidden, root=row[:, 0], bonus=play.bonus,
        discount=play.discount, over=over,
    )  # fmt: skip
    _note_inviters(*plan.columns, known, row, roots, accounts.hidden, accounts.inviter, accounts.invited)
    product, units = goods_for(ring, course, row)
    errands = written_down(*plan.columns, known, row, product, units, due, accounts.product)
    ring.errands.append(errands.shape[1], **dict(zip(ring.errands, errands, strict=True)))
    ring.spent += number.size * config.account_cost + int(hidden.sum()) * config.hiding_cost


def _chance_to_look_around(shop: Shop, persons: Array, hidden: Array) -> Array:
    """Return the chance that honest people drawn like fake accounts come in a tick; 0 for who does not pretend."""
    chance = np.zeros(persons.size)
    pretends = hidden[:, PRETENCES].any(axis=1)
    if pretends.any():
        uid = shop.people.uid[persons[pretends]]
        rate = shop.demand.visit_rates(draws.uniform(shop.seed, Stream.RATE, uid))
        chance[pretends] = -np.expm1(-rate * shop.clock.days_a_tick)
    return chance


@nb.njit(cache=True)
def _seated(groups, places, roots, known, capacity):  # type: ignore[no-untyped-def]
    """Return the account (row) in each place of groups of a plan, as many groups as the ring's capacity allows.

    Parameters
    ----------
    groups, places : int
        A plan has a place for each of its accounts.
    roots : int64 ndarray
        Accounts that stand already, each of which can take the first place of a group.
    known : int
        Accounts that were opened before; new ones are numbered from here.
    capacity : int
    """
    row = np.empty((groups, places), np.int64)
    following = known
    for g in range(groups):
        if g < roots.size:
            row[g, 0] = roots[g]
        for place in range(int(g < roots.size), places):
            row[g, place] = following
            following += 1
        if following > capacity:
            return row[:g].copy()
    return row


def _devices_of(ring: Ring, hidden: Array) -> Array:
    """Return the device of each new account: its own where that is hidden, else a free place on a shared one."""
    alone = hidden[:, Facet.DEVICE]
    own = int(np.count_nonzero(alone))
    free, shared = free_places(ring), alone.size - own
    if missing := max(0, shared - free.size):
        free = np.concatenate([free, _buy_shared_devices(ring, missing)])
    if own == 0:
        return free[:shared]
    device = np.empty(alone.size, np.int64)
    device[alone], device[~alone] = _buy_own_devices(ring, own), free[:shared]
    return device


def _buy_own_devices(ring: Ring, accounts: int) -> Array:
    """Buy devices for an account each, at the ring's address; return them (rows)."""
    ring.spent += accounts * ring.config.identity_cost
    return ring.devices.append(accounts, ring=ring.number, address=ring.home, takes=1)


def _buy_shared_devices(ring: Ring, accounts: int) -> Array:
    """Buy devices, each with an address of its own, for several accounts each; return their places (rows)."""
    places = places_of_a_new_device(ring)
    number = -(-accounts // places)
    addresses = ring.shop.graph.persons + 2 * (len(ring.devices) + np.arange(number))
    bought = ring.devices.append(number, ring=ring.number, address=addresses, takes=places)
    ring.spent += number * ring.config.device_cost
    return np.repeat(bought, places)


@nb.njit(cache=True)
def _note_inviters(deed, account, other, known, row, roots, hidden, inviter, invited):  # type: ignore[no-untyped-def]
    """Note who invites whom: as planned, but for accounts that hide it behind another that serves.

    Parameters
    ----------
    deed, account, other, known, row
        See :func:`agents.errands.timetable`.
    roots : int64 ndarray
        Accounts that serve for the plan.
    hidden, inviter, invited : ndarray, shape (accounts, ...)
        Columns of :class:`agents.ring_tables.Accounts`; the last two are changed in place.
    """
    for at in range(deed.size):
        if deed[at] != _OPEN or other[at] < 0:
            continue
        spread = 0
        for g in range(row.shape[0]):
            who, by = row[g, account[at]], row[g, other[at]]
            if who < known:
                continue
            if hidden[who, _INVITER] and roots.size > 0:
                by = roots[spread % roots.size]
                spread += 1
            inviter[who] = by
            invited[by] += 1
