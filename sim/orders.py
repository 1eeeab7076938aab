"""The order book: every accepted order and where it stands."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.prefetch import AHEAD, prefetch
from sim.core.table import Column, Table, column
from sim.offers import Mode, Orders
from sim.people import NEVER

if TYPE_CHECKING:
    from sim.catalog import Products
    from sim.people import People

Array = npt.NDArray[Any]
NOT_YET = -1


class OrderStatus(IntEnum):
    """Where an order stands. Money is in escrow until CONFIRMED, REFUNDED or RETURNED."""

    WAITING = 0  # for its team
    PAID = 1  # to be dispatched
    SHIPPED = 2
    DELIVERED = 3  # may be returned
    CONFIRMED = 4  # final
    REFUNDED = 5  # never shipped: the team failed, or the order was cancelled
    RETURNED = 6


OPEN = (OrderStatus.WAITING, OrderStatus.PAID, OrderStatus.SHIPPED, OrderStatus.DELIVERED)


_SOLO = np.int8(Mode.SOLO)
_WAITING, _PAID = np.int8(OrderStatus.WAITING), np.int8(OrderStatus.PAID)
_REFUNDED = np.int8(OrderStatus.REFUNDED)


class OrderBook(Table):
    """Accepted orders, one row each; money in fen, moments in ticks."""

    person: Column = column(np.int32)
    product: Column = column(np.int32)
    merchant: Column = column(np.int32)
    quantity: Column = column(np.int32)
    mode: Column = column(np.int8)
    team: Column = column(np.int32, fill=-1)
    source: Column = column(np.int8)
    sharer: Column = column(np.int32, fill=-1)
    kol: Column = column(np.int16, fill=-1)
    tick: Column = column(np.int32)
    worth: Column = column(np.int64)  # quantity x list price
    pay: Column = column(np.int64)  # what the buyer paid
    cost: Column = column(np.int64)  # of the goods
    discount: Column = column(np.int64, width=1)  # what each scheme took off
    merchant_discount: Column = column(np.int64)  # part of the discounts that the merchant pays
    rewards: Column = column(np.int64)  # commissions, rebates and bonuses it caused, claw-backs taken off
    status: Column = column(np.int8)
    due: Column = column(np.int32, fill=NOT_YET)  # next moment that falls due: delivery, then return or confirmation
    will_return: Column = column(np.bool_)  # set before delivery: whatever it is like
    shipped: Column = column(np.int32, fill=NOT_YET)
    delivered: Column = column(np.int32, fill=NOT_YET)
    closed: Column = column(np.int32, fill=NOT_YET)  # tick of confirmation, refund or return

    def record(
        self, orders: Orders, tick: int, people: People, products: Products, merchant_part: Array
    ) -> tuple[Array, Array]:
        """Add accepted orders, write their rows into ``orders.row``, and note them for the buyers and the goods.

        Parameters
        ----------
        orders : Orders
            Of each person at most one.
        tick : int
        people : People
        products : Products
        merchant_part : ndarray of int64
            The part of each order's discount that its merchant pays.

        Returns
        -------
        taken_off : int64 ndarray, shape (schemes, n)
            What each scheme took off, fen.
        used : int64 ndarray, shape (schemes,)
            Off how many orders each did.
        """
        first, count, schemes = len(self), len(orders), orders.discount.shape[1]
        self.append(count)
        taken_off, used = np.empty((schemes, count), np.int64), np.zeros(schemes, np.int64)
        _record(
            first, tick, people.orders, people.spend, people.first_order, people.last_order, products.merchant,
            products.cost, products.stock, products.sold,
            orders.person, orders.product, orders.quantity, orders.mode, orders.ref, orders.source, orders.sharer,
            orders.kol, orders.worth, orders.pay, orders.discount, merchant_part, orders.row,
            self.person, self.product, self.merchant, self.quantity, self.mode, self.team, self.source, self.sharer,
            self.kol, self.tick, self.worth, self.pay, self.cost, self.discount, self.merchant_discount, self.status,
            taken_off, used,
        )  # fmt: skip
        return taken_off, used


@nb.njit(cache=True)
def _record(  # type: ignore[no-untyped-def]
    first, tick, ordered, spend, first_order, last_order, merchant, cost, stock, sold,
    person, product, quantity, mode, ref, source, sharer, kol, worth, pay, discount, merchant_part, row,
    person_, product_, merchant_, quantity_, mode_, team_, source_, sharer_, kol_, tick_, worth_, pay_, cost_,
    discount_, merchant_discount_, status_, taken_off, used,
):  # fmt: skip
    """Write orders into the book: those bought alone are paid, the others wait for their team.

    Beside that, note them for their buyers and the goods, as :func:`undo` takes them off again.

    Parameters
    ----------
    first : int
        Row of the first of them.
    tick : int
    ordered, spend, first_order, last_order : ndarray, shape (persons,)
        The columns orders, spend, first_order and last_order of :class:`sim.people.People`, changed in place.
    merchant, cost, stock, sold : ndarray, shape (products,)
        Columns of :class:`sim.catalog.Products`; cost in fen a unit. The last two are changed in place.
    person ... row : ndarray, shape (n,); ``discount`` of shape (n, schemes)
        Columns of :class:`sim.offers.Orders`, and the merchants' part of their discounts; ``row`` is changed in place.
    person_ ... status_ : ndarray
        Columns of :class:`OrderBook`, changed in place.
    taken_off, used
        As :meth:`OrderBook.record` returns them; ``used`` is zero before. Changed in place.
    """
    for n in range(person.size):
        later = np.uint32(person[min(n + AHEAD, person.size - 1)])
        prefetch(ordered, later)
        prefetch(spend, later)
        prefetch(last_order, later)
        i, j = np.uint32(person[n]), np.uint32(product[n])
        ordered[i] += 1
        spend[i] += pay[n]
        last_order[i] = tick
        if ordered[i] == 1:
            first_order[i] = tick
        stock[j] -= quantity[n]
        sold[j] += quantity[n]
        r = np.uint32(first + n)
        row[n] = r
        person_[r], product_[r], quantity_[r] = person[n], product[n], quantity[n]
        merchant_[r], cost_[r] = merchant[j], cost[j] * quantity[n]
        mode_[r], team_[r], status_[r] = mode[n], ref[n], _PAID if mode[n] == _SOLO else _WAITING
        source_[r], sharer_[r], kol_[r] = source[n], sharer[n], kol[n]
        tick_[r], worth_[r], pay_[r], merchant_discount_[r] = tick, worth[n], pay[n], merchant_part[n]
        for scheme in range(discount.shape[1]):
            discount_[r, scheme] = taken_off[scheme, n] = discount[n, scheme]
            used[scheme] += discount[n, scheme] != 0


@nb.njit(cache=True)
def undo(  # type: ignore[no-untyped-def]
    rows, becomes, tick, person, product, quantity, pay, discount, status, closed,
    spend, ordered, first_order, satisfaction, spoils, stock, sold,
):  # fmt: skip
    """Take orders off the accounts of their buyers, who are disappointed, and put the goods back on the shelf.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
        Of the order book.
    becomes : int8
        The status that they get: REFUNDED orders were never shipped, so they do not count as orders of their buyers;
        RETURNED ones do.
    tick : int
        Now.
    person ... closed : ndarray
        Columns of :class:`OrderBook`; ``status`` and ``closed`` are changed in place.
    spend, ordered, first_order, satisfaction : ndarray, shape (persons,)
        The columns spend, orders, first_order and satisfaction of :class:`sim.people.People`, changed in place.
    spoils : float32
        Factor on satisfaction; of several orders of a person, one counts.
    stock, sold : int64 ndarray, shape (products,)
        Changed in place.

    Returns
    -------
    int64 ndarray, shape (2 + schemes, n)
        Who had ordered, what they paid, and what each scheme took off; fen.

    Raises
    ------
    ValueError
        If one of them is closed already; nothing is changed then.
    """
    for row in rows:
        prefetch(person, row)
        prefetch(product, row)
        prefetch(pay, row)
        prefetch(quantity, row)
        prefetch(discount, row)
        prefetch(status, row)
        if closed[row] >= 0:
            raise ValueError("an order that is confirmed, refunded or returned cannot be refunded")
    schemes = discount.shape[1]
    undone, before = np.empty((2 + schemes, rows.size), np.int64), np.empty(rows.size, np.float32)
    for n in range(rows.size):
        row = rows[n]
        i, j = person[row], product[row]
        undone[0, n], undone[1, n], before[n] = i, pay[row], satisfaction[i]
        for scheme in range(schemes):
            undone[2 + scheme, n] = discount[row, scheme]
        status[row], closed[row] = becomes, tick
        spend[i] -= pay[row]
        stock[j] += quantity[row]
        sold[j] -= quantity[row]
        if becomes == _REFUNDED:
            ordered[i] -= 1
    for n in range(rows.size):
        i = undone[0, n]
        satisfaction[i] = before[n] * spoils
        if becomes == _REFUNDED and ordered[i] == 0:
            first_order[i] = NEVER
    return undone
