"""When the accounts of a ring do what: the steps of plans as rows with a moment, and what they are sent for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents import hiding
from agents.actions import ORDERS, Deed, Plan
from agents.hiding import Facet
from sim.core.table import Column, Table, column
from sim.offers import A_TEAM_OF_ITS_OWN, NONE

if TYPE_CHECKING:
    from agents.fraudsters import Ring
    from agents.playbooks import Course

Array = npt.NDArray[Any]
_LEAST_LOSS = 0.01  # where dearer goods cost nothing, as if they cost this share of what they are dearer


class Errands(Table):
    """Steps of one ring's accounts, one row each; accounts are rows of its table."""

    account: Column = column(np.int32)
    deed: Column = column(np.int8)
    other: Column = column(np.int32, fill=NONE)  # who invited it, or whose team it joins
    product: Column = column(np.int32, fill=NONE)
    units: Column = column(np.int32)
    due: Column = column(np.int32)  # tick

    def teams(self, rows: Array, last_orders: Array, team_of: Array) -> tuple[Array, Array]:
        """Return the orders among some rows that can be placed, and the team of each.

        Parameters
        ----------
        rows : int ndarray
            Orders.
        last_orders : int ndarray
            The row in the order book of each account's last order, -1: none; needed if any of the rows joins a team.
        team_of : int32 ndarray
            The team of each row of the order book.

        Returns
        -------
        rows : int ndarray
            Without those whose team does not exist.
        team : int64 ndarray
            As :meth:`sim.shop.Shop.queue_visits` takes it.
        """
        team = np.where(self.deed[rows] == Deed.OPEN_TEAM, A_TEAM_OF_ITS_OWN, NONE)
        joins = np.flatnonzero(self.deed[rows] == Deed.JOIN_TEAM)
        if joins.size == 0:
            return rows, team
        order = last_orders[self.other[rows[joins]]]
        team[joins] = np.where(order >= 0, team_of[order], NONE)
        lost = joins[team[joins] == NONE]
        return np.delete(rows, lost), np.delete(team, lost)


def timetable(
    plan: Plan, now: int, is_new: Array, before: Array, between: Array, ticks_a_day: float = 1.0
) -> tuple[Array, Array, Array, Array]:
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
    ticks_a_day : float
        For the days that an account waits before it orders.

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
    waits = np.zeros(plan.accounts, np.int64)
    for step in plan.steps:
        waits[step.account] = max(waits[step.account], math.ceil(step.after * ticks_a_day))
    orders = np.full(is_new.shape, -1, np.int64)
    for at, step in enumerate(plan.steps):
        who = step.account
        if step.deed == Deed.OPEN:
            moment = now + before[:, who]
            if step.other >= 0:
                moment = np.maximum(moment, last[:, step.other] + 1)
            signs_up[:, who] = np.where(is_new[:, who], moment, now - 1)
            ready[:, who] = signs_up[:, who] + np.maximum(between[:, who], waits[who])
        elif step.deed == Deed.OPEN_TEAM:
            moment = np.maximum(ready[:, [s.account for s in plan.team_at(at)]].max(axis=1), last.max(axis=1) + 1)
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
        least = int(products.price[best]) * step.units
        serves = step.goods.members_of(products) & (products.stock > 0)
        taken, number = hiding.baskets(ring.shop, ring.number, who, least, int(least + slack), serves)
        plain = ~ring.accounts.hidden[who, Facet.CHOICE] | (taken < 0)
        taken[plain], number[plain] = best, step.units
        if step.deed == Deed.JOIN_TEAM:
            taken = opened[step.other]
            needed, afforded = -(-least // products.price[taken]), int(least + slack) // products.price[taken]
            number = np.maximum(np.minimum(np.where(plain, 0, number), afforded), needed)
        opened[step.account], product[:, at], units[:, at] = taken, taken, number
    return product, np.minimum(units, ring.market.most_units())
