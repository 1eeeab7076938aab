"""How a ring opens groups of accounts: on which devices, disguised how, invited by whom, and with which errands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents import hiding
from agents.actions import NOBODY, ORDERS, Deed, Plan
from agents.errands import goods_for, timetable
from agents.hiding import Facet
from sim.core import draws
from sim.core.draws import Stream

if TYPE_CHECKING:
    from agents.fraudsters import Ring
    from agents.playbooks import Course
    from sim.shop import Shop

Array = npt.NDArray[Any]


def free_places(ring: Ring) -> Array:
    """Return own devices (rows), each as often as it is believed to take another account; emptiest first."""
    return _in_turn(*_room(ring))


def count_free_places(ring: Ring) -> int:
    """Return how many accounts own devices are believed to take besides those that they carry."""
    return int(_room(ring)[1].sum())


def _room(ring: Ring) -> tuple[Array, Array, Array]:
    """Return own devices (rows), how many more accounts each is believed to take, and how many it holds."""
    mine = np.flatnonzero(ring.devices.ring == ring.number)
    held = ring.held()[mine]
    return mine, np.clip(ring.devices.takes[mine] - held, 0, ring.config.batch), held


def places_of_a_new_device(ring: Ring) -> int:
    """Return how many accounts a bought device is believed to take: as many as the best of its own."""
    takes = ring.devices.takes[ring.devices.ring == ring.number]
    return max(1, int(takes.max()))


def open_groups(ring: Ring, course: Course, count: int) -> None:
    """Open the accounts of groups that play a plan; without a free place on its devices, the ring buys new ones.

    Parameters
    ----------
    ring : Ring
    course : Course
    count : int
        Groups; as many of them are opened as its capacity allows.
    """
    config, shop, play, tick = ring.config, ring.shop, course.play, ring.shop.clock.tick
    plan, roots = play.exploit.plan, ring.roots(course.hidden)
    is_new = _who_is_new(ring, plan, roots, count)
    number = len(ring.accounts) + np.arange(is_new.sum())
    row = np.empty(is_new.shape, np.int64)
    row[is_new] = number
    row[~is_new] = roots[: (~is_new).sum()]
    slot = np.broadcast_to(np.arange(plan.accounts), is_new.shape)[is_new]
    orders_something = np.isin(slot, [s.account for s in plan.steps if s.deed in ORDERS])
    hidden = hiding.disguises(shop, ring.number, number, course.hidden, orders_something)
    device = _devices_of(ring, hidden)
    ordinary = hiding.addresses(shop, ring.number, number)
    address = np.where(hidden[:, Facet.ADDRESS], ordinary, ring.devices.address[device])
    persons = shop.add_fakes(ring.number, number.size, shop.graph.persons + device, address, play.exploit.fraud)
    before, between = (_laid_out(waits, is_new) for waits in hiding.waits(shop, ring.number, number, hidden))
    due, signs_up, orders, over = timetable(plan, tick, is_new, before, between, 1 / shop.clock.days_a_tick)
    ring.accounts.append(
        number.size, person=persons, device=device, hidden=hidden, signs_up=signs_up[is_new], orders=orders[is_new],
        group=(len(ring.groups) + np.nonzero(is_new)[0]), serves=(slot == 0) & plan.root_only_invites,
        looks_around=_chance_to_look_around(shop, persons),
    )  # fmt: skip
    ring.groups.append(
        len(is_new),
        course=ring.beliefs.number_of(course),
        hidden=course.hidden,
        root=row[:, 0],
        bonus=play.bonus,
        discount=play.discount,
        over=over,
    )
    _note_inviters(ring, plan, roots, row, is_new)
    _plan_errands(ring, plan, row, due, goods_for(ring, course, row), is_new)
    ring.spent += number.size * config.account_cost + int(hidden.sum()) * config.hiding_cost


def _chance_to_look_around(shop: Shop, persons: Array) -> Array:
    """Return the chance that honest people drawn like fake accounts come in a tick."""
    rate = shop.demand.visit_rates(draws.uniform(shop.seed, Stream.RATE, shop.people.uid[persons]))
    chance: Array = -np.expm1(-rate * shop.clock.days_a_tick)
    return chance


def _plan_errands(ring: Ring, plan: Plan, row: Array, due: Array, goods: tuple[Array, Array], is_new: Array) -> None:
    """Write down who does which step when, (groups, steps), and what each account orders first."""
    deed = np.array([step.deed for step in plan.steps])
    product, units = goods
    account, other = (row[:, [getattr(step, name) for step in plan.steps]] for name in ("account", "other"))
    other[:, [step.other < 0 for step in plan.steps]] = NOBODY
    to_do = (deed != Deed.OPEN) | is_new[:, [step.account for step in plan.steps]]
    ring.errands.append(
        int(to_do.sum()), account=account[to_do], deed=np.broadcast_to(deed, to_do.shape)[to_do],
        other=other[to_do], product=product[to_do], units=units[to_do], due=due[to_do],
    )  # fmt: skip
    for at in reversed(np.flatnonzero((deed >= Deed.BUY) & (deed <= Deed.JOIN_TEAM)).tolist()):
        ring.accounts.product[account[:, at]] = product[:, at]


def _who_is_new(ring: Ring, plan: Plan, roots: Array, count: int) -> Array:
    """Return which accounts of so many groups are to be opened, bool (groups, accounts); no more than capacity."""
    is_new = np.ones((count, plan.accounts), bool)
    if plan.root_only_invites:
        is_new[: roots.size, 0] = False
    fits: Array = np.cumsum(is_new.sum(axis=1)) <= ring.config.capacity - len(ring.accounts)
    return np.asarray(is_new[fits])


def _devices_of(ring: Ring, hidden: Array) -> Array:
    """Return the device of each new account: its own where that is hidden, else a free place on a shared one."""
    alone = hidden[:, Facet.DEVICE]
    free = free_places(ring)
    if missing := max(0, int((~alone).sum()) - free.size):
        free = np.concatenate([free, _buy_shared_devices(ring, missing)])
    bought = ring.devices.append(int(alone.sum()), ring=ring.number, address=ring.home, takes=1)
    ring.spent += bought.size * ring.config.identity_cost
    device = np.empty(alone.size, np.int64)
    device[alone], device[~alone] = bought, free[: alone.size - bought.size]
    return device


def _buy_shared_devices(ring: Ring, accounts: int) -> Array:
    """Buy devices, each with an address of its own, for several accounts each; return their places (rows)."""
    places = places_of_a_new_device(ring)
    number = -(-accounts // places)
    addresses = ring.shop.graph.persons + 2 * (len(ring.devices) + np.arange(number))
    bought = ring.devices.append(number, ring=ring.number, address=addresses, takes=places)
    ring.spent += number * ring.config.device_cost
    return np.repeat(bought, places)


def _note_inviters(ring: Ring, plan: Plan, roots: Array, row: Array, is_new: Array) -> None:
    """Note who invites whom: as planned, but for accounts that hide it behind another that serves."""
    accounts = ring.accounts
    for step in plan.steps:
        if step.deed != Deed.OPEN or step.other < 0:
            continue
        who = row[is_new[:, step.account], step.account]
        inviter = row[is_new[:, step.account], step.other]
        spread = accounts.hidden[who, Facet.INVITER] & (roots.size > 0) & plan.root_only_invites
        inviter[spread] = np.resize(roots, spread.sum()) if spread.any() else inviter[spread]
        accounts.inviter[who] = inviter
        np.add.at(accounts.invited, inviter, np.int32(1))


def _laid_out(values: Array, is_new: Array) -> Array:
    """Return values of new accounts as a matrix of all accounts of groups; 0 for the others."""
    matrix = np.zeros(is_new.shape, values.dtype)
    matrix[is_new] = values
    return matrix


def _in_turn(rows: Array, free: Array, held: Array) -> Array:
    """Return each row as often as it has places free; those that hold least come first, one place after the other."""
    row, place = np.repeat(np.arange(rows.size), free), np.arange(free.sum()) - np.repeat(np.cumsum(free) - free, free)
    turn: Array = rows[row[np.argsort(place + held[row], kind="stable")]]
    return turn
