"""When the accounts of a ring do what: the steps of plans as rows with a moment, and what they are sent for."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import hiding
from agents.actions import Deed
from agents.hiding import Facet
from sim.core.table import Column, Table, column
from sim.offers import A_TEAM_OF_ITS_OWN, NONE
from sim.people import NEVER

if TYPE_CHECKING:
    from agents.fraudsters import Ring
    from agents.playbooks import Course

Array = npt.NDArray[Any]
_OPEN, _BUY, _OPEN_TEAM, _JOIN_TEAM, _RETURN = (int(deed) for deed in Deed)  # orders stand beside each other
_CHOICE = int(Facet.CHOICE)
_NOT_YET = np.int64(-1)
_LEAST_LOSS = 0.01  # where dearer goods cost nothing, as if they cost this share of what they are dearer


class Errands(Table):
    """Steps of one ring's accounts, one row each; accounts are rows of its table."""

    account: Column = column(np.int32)
    deed: Column = column(np.int8)
    other: Column = column(np.int32, fill=NONE)  # who invited it, or whose team it joins
    product: Column = column(np.int32, fill=NONE)
    units: Column = column(np.int32)
    due: Column = column(np.int32)  # tick

    def __init__(self) -> None:
        super().__init__()
        self._moments: list[int] = []  # when any is due, a heap
        self._read = 0

    def next_due(self, tick: int) -> float:
        """Return the first tick, from this one on, in which there is anything to do; infinite if there is none."""
        if self._read < self._length:
            for moment in set(self.due[self._read :].tolist()):
                heappush(self._moments, moment)
            self._read = self._length
        while self._moments and self._moments[0] < tick:
            heappop(self._moments)
        return self._moments[0] if self._moments else math.inf


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


@nb.njit(cache=True)
def timetable(deed, account, other, apart, now, known, row, before, between):  # type: ignore[no-untyped-def]
    """Return when groups of accounts do the steps of a plan.

    Parameters
    ----------
    deed, account, other : int64 ndarray, shape (steps,)
        Of :class:`agents.actions.Columns`.
    apart : int64 ndarray, shape (accounts,)
        Ticks that each account lets pass at least before it orders.
    now : int
        Tick.
    known : int
        Accounts from this row on are still to be opened.
    row : int64 ndarray, shape (groups, accounts)
        The account in each place of each group.
    before, between : int ndarray, shape (new accounts,)
        Ticks that each account waits before it signs up, and from then to its first order.

    Returns
    -------
    due : int64 ndarray, shape (groups, steps)
    signs_up, orders : int64 ndarray, shape (new accounts,)
        Of the first order; of the sign-up where there is none.
    over : int64 ndarray, shape (groups,)
        First tick in which all is done.

    Notes
    -----
    A step is due a tick after what the accounts concerned did before, for so long it takes to go through. A team is
    opened when all who will join it are ready, and they join it at once.
    """
    groups, accounts = row.shape
    due, over = np.empty((groups, deed.size), np.int64), np.empty(groups, np.int64)
    signs_up, orders = np.empty(before.size, np.int64), np.full(before.size, _NOT_YET)
    last, ready, acted = np.empty(accounts, np.int64), np.empty(accounts, np.int64), np.empty(accounts, np.bool_)
    for g in range(groups):
        is_new = row[g] >= known
        last[:] = np.where(is_new, now, now - 1)
        ready[:] = last  # when each account may order first
        acted[:] = ~is_new
        for at in range(deed.size):
            who, new = account[at], row[g, account[at]] - known
            if deed[at] == _OPEN:
                moment = now + before[new] if new >= 0 else now
                if other[at] >= 0:
                    moment = max(moment, last[other[at]] + 1)
                if new >= 0:
                    signs_up[new], ready[who] = moment, moment + max(between[new], apart[who])
                else:
                    ready[who] = now - 1 + apart[who]
            elif deed[at] == _OPEN_TEAM:
                moment = max(ready[who], last.max() + 1)
                for joins in range(at + 1, deed.size):
                    if deed[joins] == _OPEN_TEAM and account[joins] == who:
                        break  # those who follow join this one
                    if deed[joins] == _JOIN_TEAM and other[joins] == who:
                        moment = max(moment, ready[account[joins]])
            else:
                moment = max(ready[who], last[who] + acted[who])
                if deed[at] == _JOIN_TEAM:
                    moment = max(moment, last[other[at]] + 1)
            if _BUY <= deed[at] <= _JOIN_TEAM and new >= 0 and orders[new] == _NOT_YET:
                orders[new] = moment
            due[g, at] = last[who] = moment
            acted[who] |= deed[at] != _OPEN
        over[g] = due[g].max() + 2
    return due, signs_up, np.where(orders == _NOT_YET, signs_up, orders), over


@nb.njit(cache=True)
def written_down(deed, account, other, known, row, product, units, due, first_product):  # type: ignore[no-untyped-def]
    """Return the steps that are to be done as columns of errands, and note what each account orders first.

    Parameters
    ----------
    deed, account, other, known, row
        See :func:`timetable`; accounts that stand already are not opened again.
    product, units, due : int64 ndarray, shape (groups, steps)
    first_product : int32 ndarray
        The column ``product`` of :class:`agents.ring_tables.Accounts`; changed in place.

    Returns
    -------
    int64 ndarray, shape (6, errands)
        The columns of :class:`Errands`, in their order.
    """
    groups, steps = product.shape
    columns = np.empty((6, groups * steps), np.int64)
    n = 0
    for g in range(groups):
        for at in range(steps):
            who = row[g, account[at]]
            if deed[at] == _OPEN and who < known:
                continue
            columns[0, n], columns[1, n] = who, deed[at]
            columns[2, n] = row[g, other[at]] if other[at] >= 0 else NONE
            columns[3, n], columns[4, n], columns[5, n] = product[g, at], units[g, at], due[g, at]
            n += 1
        for at in range(steps - 1, -1, -1):
            if _BUY <= deed[at] <= _JOIN_TEAM:
                first_product[row[g, account[at]]] = product[g, at]
    return columns[:, :n]


def goods_for(ring: Ring, course: Course, row: Array) -> tuple[Array, Array]:
    """Return what each step of each group buys, and how many units, int64 (groups, steps); -1 and 0: nothing.

    Those who hide their choice take what sells most among what serves as well and still pays. All who join a team take
    what its opener took, in units of their own.
    """
    play, plan, config, products = course.play, course.play.exploit.plan, ring.config, ring.shop.products
    profit, cost = ring.expected(course, plan.accounts)
    loss = 1 - config.resale - play.exploit.on_top  # by each fen that goods are dearer
    slack = max(0.0, profit - config.caution * cost) / max(1, plan.orders) / max(loss, _LEAST_LOSS)
    hides, product, units = _plain_goods(plan.columns.account, play.buys, plan.units, row, ring.accounts.hidden)
    for basket in plan.baskets if hides.any() else ():
        group, step = np.nonzero(hides & np.array([step.basket == basket for step in plan.steps]))
        who = row[group, plan.columns.account[step]]
        least = basket.units * int(products.price[play.product[basket.goods]])
        serves = ring.market.members_of(basket.goods) & (products.stock > 0)
        taken, number = hiding.baskets(ring.shop, ring.number, who, least, int(least + slack), serves)
        fits = taken >= 0
        product[group[fits], step[fits]], units[group[fits], step[fits]] = taken[fits], number[fits]
    _agree_in_teams(*plan.columns, play.buys, plan.units, products.price, slack, hides, product, units)
    return product, np.minimum(units, ring.market.most_units())


@nb.njit(cache=True)
def _plain_goods(account, best, needed, row, hidden):  # type: ignore[no-untyped-def]
    """Return which orders disguise the choice, and the product and units of each as if none did: what pays best.

    Parameters
    ----------
    account, best, needed : int64 ndarray, shape (steps,)
        See :func:`_agree_in_teams`.
    row : int64 ndarray, shape (groups, accounts)
    hidden : bool ndarray, shape (accounts, facets)

    Returns
    -------
    bool, int64 and int64 ndarray, shape (groups, steps)
    """
    shape = row.shape[0], account.size
    hides, product, units = np.zeros(shape, np.bool_), np.full(shape, NONE), np.zeros(shape, np.int64)
    for g in range(row.shape[0]):
        for at in range(account.size):
            if best[at] >= 0:
                hides[g, at] = hidden[row[g, account[at]], _CHOICE]
                product[g, at], units[g, at] = best[at], needed[at]
    return hides, product, units


@nb.njit(cache=True)
def _agree_in_teams(deed, account, other, best, needed, price, slack, hides, product, units):  # type: ignore[no-untyped-def]
    """Let all who join a team take what its opener took, as many units as are needed, or more if they are afforded.

    Parameters
    ----------
    deed, account, other : int64 ndarray, shape (steps,)
        Of :class:`agents.actions.Columns`.
    best : int64 ndarray, shape (steps,)
        The product of each step that pays best, -1: nothing is bought.
    needed : int64 ndarray, shape (steps,)
        Units of it.
    price : int64 ndarray
        Of :class:`sim.catalog.Products`.
    slack : float
        Fen by which goods may be dearer.
    hides : bool ndarray, shape (groups, steps)
        Who disguises the choice; others take no more than they need.
    product, units : int64 ndarray, shape (groups, steps)
        Changed in place.
    """
    for g in range(product.shape[0]):
        for at in range(deed.size):
            if best[at] < 0 or deed[at] != _JOIN_TEAM:
                continue
            opened = at - 1
            while best[opened] < 0 or account[opened] != other[at]:
                opened -= 1
            one, least = price[product[g, opened]], price[best[at]] * needed[at]
            enough, afforded = -(-least // one), int(least + slack) // one
            product[g, at], units[g, at] = product[g, opened], max(min(units[g, at] * hides[g, at], afforded), enough)
