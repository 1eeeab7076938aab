"""The order book: every accepted order and where it stands."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.table import Column, Table, column
from sim.offers import Mode, Orders
from sim.people import NEVER

if TYPE_CHECKING:
    from sim.catalog import Products

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

    def record(self, orders: Orders, tick: int, products: Products, merchant_part: Array) -> tuple[Array, Array]:
        """Add accepted orders and write their rows into ``orders.row``.

        Parameters
        ----------
        orders : Orders
        tick : int
        products : Products
            The catalogue: whose goods they are, and what these cost.
        merchant_part : ndarray of int64
            The part of each order's discount that its merchant pays.

        Returns
        -------
        taken_off : int64 ndarray, shape (schemes, n)
            What each scheme took off, fen.
        used : int64 ndarray, shape (schemes,)
            Off how many orders each did.
        """
        first = len(self)
        self.append(len(orders))
        new = slice(first, None)
        recorded: tuple[Array, Array] = _record(
            first, tick, products.merchant, products.cost, orders.person, orders.product, orders.quantity, orders.mode,
            orders.ref, orders.source, orders.sharer, orders.kol, orders.worth, orders.pay, orders.discount,
            merchant_part, orders.row,
            self.person[new], self.product[new], self.merchant[new], self.quantity[new], self.mode[new],
            self.team[new], self.source[new], self.sharer[new], self.kol[new], self.tick[new], self.worth[new],
            self.pay[new], self.cost[new], self.discount[new], self.merchant_discount[new], self.status[new],
        )  # fmt: skip
        return recorded


@nb.njit(cache=True)
def _record(  # type: ignore[no-untyped-def]
    first, tick, merchant, cost,
    person, product, quantity, mode, ref, source, sharer, kol, worth, pay, discount, merchant_part, row,
    person_, product_, merchant_, quantity_, mode_, team_, source_, sharer_, kol_, tick_, worth_, pay_, cost_,
    discount_, merchant_discount_, status_,
):  # fmt: skip
    """Write orders into the book: those bought alone are paid, the others wait for their team.

    Parameters
    ----------
    first : int
        Row of the first of them.
    tick : int
    merchant, cost : ndarray, shape (products,)
        Columns of :class:`sim.catalog.Products`; cost in fen a unit.
    person ... row : ndarray, shape (n,); ``discount`` of shape (n, schemes)
        Columns of :class:`sim.offers.Orders`, and the merchants' part of their discounts; ``row`` is changed in place.
    person_ ... status_ : ndarray, shape (n,); ``discount_`` of shape (n, schemes)
        The new rows of columns of :class:`OrderBook`, changed in place.

    Returns
    -------
    taken_off, used
        As :meth:`OrderBook.record` has them.
    """
    schemes = discount.shape[1]
    taken_off, used = np.empty((schemes, person.size), np.int64), np.zeros(schemes, np.int64)
    for n in range(person.size):
        row[n] = first + n
        person_[n], product_[n], quantity_[n] = person[n], product[n], quantity[n]
        mode_[n], team_[n] = mode[n], ref[n]
        source_[n], sharer_[n], kol_[n] = source[n], sharer[n], kol[n]
        tick_[n], worth_[n], pay_[n] = tick, worth[n], pay[n]
        merchant_discount_[n] = merchant_part[n]
        merchant_[n], cost_[n] = merchant[product[n]], cost[product[n]] * quantity[n]
        status_[n] = _PAID if mode[n] == _SOLO else _WAITING
        for scheme in range(schemes):
            discount_[n, scheme] = taken_off[scheme, n] = discount[n, scheme]
            used[scheme] += discount[n, scheme] != 0
    return taken_off, used


@nb.njit(cache=True)
def undo(  # type: ignore[no-untyped-def]
    rows, becomes, tick, person, product, quantity, pay, discount, status, closed,
    spend, ordered, first_order, stock, sold,
):  # fmt: skip
    """Take orders off the accounts of their buyers and put the goods back on the shelf.

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
    spend, ordered, first_order : ndarray, shape (persons,)
        The columns spend, orders and first_order of :class:`sim.people.People`, changed in place.
    stock, sold : int64 ndarray, shape (products,)
        Changed in place.

    Returns
    -------
    who : int32 ndarray, shape (n,)
    paid : int64 ndarray, shape (n,)
        Fen.
    taken_off : int64 ndarray, shape (schemes, n)
        What each scheme took off, fen.

    Raises
    ------
    ValueError
        If one of them is closed already; nothing is changed then.
    """
    for row in rows:
        if closed[row] >= 0:
            raise ValueError("an order that is confirmed, refunded or returned cannot be refunded")
    schemes = discount.shape[1]
    who, paid = np.empty(rows.size, np.int32), np.empty(rows.size, np.int64)
    taken_off = np.empty((schemes, rows.size), np.int64)
    for n in range(rows.size):
        row = rows[n]
        i, j = person[row], product[row]
        who[n], paid[n] = i, pay[row]
        for scheme in range(schemes):
            taken_off[scheme, n] = discount[row, scheme]
        status[row], closed[row] = becomes, tick
        spend[i] -= pay[row]
        stock[j] += quantity[row]
        sold[j] -= quantity[row]
        if becomes == _REFUNDED:
            ordered[i] -= 1
    if becomes == _REFUNDED:
        for i in who:
            if ordered[i] == 0:
                first_order[i] = NEVER
    return who, paid, taken_off
