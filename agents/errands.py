"""When the accounts of a ring do what: the steps of plans as rows with a moment, and what they are sent for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import hiding
from agents.actions import ORDERS, Deed, Plan
from agents.hiding import Facet
from sim.core.table import Column, Table, column
from sim.offers import A_TEAM_OF_ITS_OWN, NONE
from sim.people import NEVER

if TYPE_CHECKING:
    from agents.fraudsters import Ring
    from agents.playbooks import Course

Array = npt.NDArray[Any]
_OPEN, _OPEN_TEAM, _JOIN_TEAM, _RETURN = int(Deed.OPEN), int(Deed.OPEN_TEAM), int(Deed.JOIN_TEAM), int(Deed.RETURN)
_LEAST_LOSS = 0.01  # where dearer goods cost nothing, as if they cost this share of what they are dearer


class Errands(Table):
    """Steps of one ring's accounts, one row each; accounts are rows of its table."""

    account: Column = column(np.int32)
    deed: Column = column(np.int8)
    other: Column = column(np.int32, fill=NONE)  # who invited it, or whose team it joins
    product: Column = column(np.int32, fill=NONE)
    units: Column = column(np.int32)
    due: Column = column(np.int32)  # tick


@nb.njit(cache=True)
def carry_out(  # type: ignore[no-untyped-def]
    tick, now, deed, account, other, product, units, group, person, inviter, signs_up, joined, orders, buyer, team_of
):
    """Return what accounts do of the errands that are due: who signs up, who comes for what, and what is sent back.

    Whoever was not let in does nothing more; nobody opens a team unless the whole group was let in, and nobody joins
    one that does not exist.

    Parameters
    ----------
    tick : int
    now : int64 ndarray
        The errands that are due, rows.
    deed ... units : ndarray, shape (errands,)
        Columns of :class:`Errands`.
    group ... signs_up : ndarray, shape (accounts,)
        Columns of :class:`agents.ring_tables.Accounts`.
    joined : int32 ndarray
        Of :class:`sim.people.People`.
    orders : int64 ndarray
        The ring's orders, rows of the order book; they ascend.
    buyer, team_of : int32 ndarray
        The columns ``person`` and ``team`` of the order book.

    Returns
    -------
    opens, invited_by : int64 ndarray
        Persons who sign up; ``NONE`` for those whom nobody invites.
    visits : int64 ndarray, shape (4, visits)
        Who comes, for which product, to which team (as :meth:`sim.shop.Shop.queue_visits` takes it) and for how many
        units.
    back : int64 ndarray
        Orders that are sent back, rows of the order book.
    """
    last = np.full(person.size, NONE)  # order of each account
    for row in orders:
        last[np.searchsorted(person, buyer[row])] = row
    opens, invited_by, back = np.empty(now.size, np.int64), np.empty(now.size, np.int64), np.empty(now.size, np.int64)
    visits = np.empty((4, now.size), np.int64)
    n_opens = n_visits = n_back = 0
    for row in now:
        who, does = account[row], deed[row]
        if does == _OPEN:
            opens[n_opens] = person[who]
            invited_by[n_opens] = person[inviter[who]] if inviter[who] >= 0 else NONE
            n_opens += 1
            continue
        if joined[person[who]] <= NEVER and signs_up[who] != tick:
            continue
        if does == _RETURN:
            if last[who] >= 0:
                back[n_back] = last[who]
                n_back += 1
            continue
        team = NONE
        if does == _OPEN_TEAM:
            team = A_TEAM_OF_ITS_OWN
            if (joined[person[group == group[who]]] <= NEVER).any():
                continue
        elif does == _JOIN_TEAM:
            order = last[other[row]]
            team = team_of[order] if order >= 0 else NONE
            if team == NONE:
                continue
        visits[0, n_visits], visits[1, n_visits] = person[who], product[row]
        visits[2, n_visits], visits[3, n_visits] = team, units[row]
        n_visits += 1
    return opens[:n_opens].copy(), invited_by[:n_opens].copy(), visits[:, :n_visits].copy(), back[:n_back].copy()


def timetable(plan: Plan, now: int, is_new: Array, before: Array, between: Array) -> tuple[Array, Array, Array, Array]:
    """Return when groups of accounts do the steps of a plan.

    Parameters
    ----------
    plan : Plan
    now : int
        Tick.
    is_new : bool ndarray, shape (groups, accounts)
        Whether an account is still to be opened.
    before, between : int ndarray, shape (groups, accounts)
        Ticks that each account waits before it signs up, and from then to its first order.

    Returns
    -------
    due : int64 ndarray, shape (groups, steps)
    signs_up, orders : int64 ndarray, shape (groups, accounts)
        Of the first order; of the sign-up where there is none.
    over : int64 ndarray, shape (groups,)
        First tick in which all is done.

    Notes
    -----
    A step is due a tick after what the accounts concerned did before, for so long it takes to go through. A team is
    opened when all who will join it are ready, and they join it at once.
    """
    due = np.empty((len(is_new), len(plan.steps)), np.int64)
    last = np.where(is_new, now, now - 1)
    ready = last + 0  # when each account may order first
    acted = ~is_new
    signs_up = last + 0
    orders = np.full(is_new.shape, -1, np.int64)
    for at, step in enumerate(plan.steps):
        who = step.account
        if step.deed == Deed.OPEN:
            moment = now + before[:, who]
            if step.other >= 0:
                moment = np.maximum(moment, last[:, step.other] + 1)
            signs_up[:, who] = np.where(is_new[:, who], moment, now - 1)
            ready[:, who] = signs_up[:, who] + between[:, who]
        elif step.deed == Deed.OPEN_TEAM:
            team = [who, *(s.account for s in plan.steps if s.deed == Deed.JOIN_TEAM and s.other == who)]
            moment = np.maximum(ready[:, team].max(axis=1), last.max(axis=1) + 1)
        else:
            moment = np.maximum(ready[:, who], last[:, who] + acted[:, who])
            if step.deed == Deed.JOIN_TEAM:
                moment = np.maximum(moment, last[:, step.other] + 1)
        if step.deed in ORDERS:
            orders[:, who] = np.where(orders[:, who] < 0, moment, orders[:, who])
        due[:, at] = last[:, who] = moment
        acted[:, who] |= step.deed != Deed.OPEN
    orders = np.where(orders < 0, signs_up, orders)
    return due, signs_up, orders, due.max(axis=1) + 2


def goods_for(ring: Ring, course: Course, row: Array) -> tuple[Array, Array]:
    """Return what each step of each group buys, and how many units, int64 (groups, steps); -1 and 0: nothing.

    Those who hide their choice take what sells most among what serves as well and still pays. All who join a team take
    what its opener took, in units of their own.
    """
    play, plan, config, products = course.play, course.play.exploit.plan, ring.config, ring.shop.products
    profit, cost = ring.expected(course, plan.accounts)
    loss = 1 - config.resale - play.exploit.on_top  # by each fen that goods are dearer
    slack = max(0.0, profit - config.caution * cost) / max(1, plan.orders) / max(loss, _LEAST_LOSS)
    product = np.full((len(row), len(plan.steps)), NONE, np.int64)
    units = np.zeros(product.shape, np.int64)
    opened: dict[int, Array] = {}
    for at, step in enumerate(plan.steps):
        if step.goods is None:
            continue
        who, best = row[:, step.account], play.product[step.goods]
        least = int(products.price[best])
        serves = step.goods.members_of(products) & (products.stock > 0)
        taken, number = hiding.baskets(ring.shop, ring.number, who, least, int(least + slack), serves)
        plain = ~ring.accounts.hidden[who, Facet.CHOICE] | (taken < 0)
        taken[plain], number[plain] = best, 1
        if step.deed == Deed.JOIN_TEAM:
            taken = opened[step.other]
            needed, afforded = -(-least // products.price[taken]), int(least + slack) // products.price[taken]
            number = np.maximum(np.minimum(number, afforded), needed)
        opened[step.account], product[:, at], units[:, at] = taken, taken, number
    return product, np.minimum(units, ring.market.most_units())
