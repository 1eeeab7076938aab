"""The rewards of one scheme as tables, and kernels that go through them; what is done with them is in
:mod:`sim.schemes.commission`.
"""

from __future__ import annotations

from enum import IntEnum

import numba as nb
import numpy as np

from sim.core.prefetch import prefetch
from sim.core.table import Column, Table, column
from sim.offers import NONE
from sim.orders import OrderStatus
from sim.schemes.earnings import RewardKind


class RewardState(IntEnum):
    """Where a reward stands."""

    FROZEN = 0
    RELEASED = 1
    CANCELLED = 2  # by risk control, while frozen
    CLAWED_BACK = 3  # its order was refunded


_FROZEN, _RELEASED = np.int8(RewardState.FROZEN), np.int8(RewardState.RELEASED)
_INVITER_BONUS, _INVITEE_BONUS = np.int8(RewardKind.INVITER_BONUS), np.int8(RewardKind.INVITEE_BONUS)
_WAITING, _CONFIRMED = np.int8(OrderStatus.WAITING), np.int8(OrderStatus.CONFIRMED)


_ANY_TIME = int(np.iinfo(np.int32).max)


class Rewards(Table):
    """Rewards in the order in which they were granted; money in fen, moments in ticks.

    All rewards of one scheme are frozen equally long, so ``due`` is in order too.
    """

    person: Column = column(np.int32)
    origin: Column = column(np.int32)  # whose sign-up or order earned it
    kind: Column = column(np.int8)
    level: Column = column(np.int8)  # of a commission: 1 for the promoter of the buyer; 0 for other kinds
    order: Column = column(np.int64, fill=NONE)  # row of the order book
    latest: Column = column(np.int64, fill=NONE)  # of its order and those of all rewards before it: in order too
    amount: Column = column(np.int64)
    merchant_part: Column = column(np.int64)
    accrued: Column = column(np.int32)
    due: Column = column(np.int32)
    state: Column = column(np.int8)


class Purses(Table):
    """What each person has or owes, in fen; one row a person."""

    balance: Column = column(np.int64)  # released and not yet withdrawn; negative: to be set against later rewards

    @property
    def wallet(self) -> Column:
        """What each person could withdraw, int64."""
        return np.maximum(self.balance, 0)

    @property
    def debt(self) -> Column:
        """What each person owes, int64."""
        return np.maximum(-self.balance, 0)


@nb.njit(cache=True)
def of_orders(wanted, tick, order_of, latest, state, due, of_order):  # type: ignore[no-untyped-def]
    """Return the rewards for some orders: those that are frozen, but due by a tick, and those that are released.

    Parameters
    ----------
    wanted : int64 ndarray
        Rows of the order book.
    tick : int
    order_of, latest, state, due : ndarray
        Columns of :class:`Rewards`.
    of_order : int64 ndarray
        The column rewards of :class:`sim.orders.OrderBook`: most orders have caused none that are left.
    """
    frozen, released = np.empty(16, np.int64), np.empty(16, np.int64)
    f = r = 0
    for order in wanted:
        prefetch(of_order, order)
    for order in wanted:
        if of_order[order] == 0:
            continue
        row = np.searchsorted(latest, order)
        while row < latest.size and latest[row] == order:
            is_for_it = order_of[row] == order  # and not for a sign-up after it
            if is_for_it and state[row] == _FROZEN and due[row] <= tick:
                if f == frozen.size:
                    frozen = np.append(frozen, frozen)
                frozen[f] = row
                f += 1
            elif is_for_it and state[row] == _RELEASED:
                if r == released.size:
                    released = np.append(released, released)
                released[r] = row
                r += 1
            row += 1
    return frozen[:f].copy(), released[:r].copy()


@nb.njit(cache=True)
def still_frozen(held, first, end, state):  # type: ignore[no-untyped-def]
    """Return the frozen ones among some rewards (rows), and among those from row ``first`` to before row ``end``."""
    rows = np.empty(held.size + end - first, np.int64)
    size = 0
    for n in range(rows.size):
        row = held[n] if n < held.size else first + n - held.size
        if state[row] == _FROZEN:
            rows[size] = row
            size += 1
    return rows[:size].copy()


@nb.njit(cache=True)
def sorted_out(rows, withheld, kind, order, status):  # type: ignore[no-untyped-def]
    """Split rewards that are due into those to be released now, and those that must wait; others wait to be confirmed.

    What is for an order that may still be returned is released when it is confirmed; bonuses do not wait for that, but
    for the order's team.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
        Of the rewards.
    withheld : bool ndarray, shape (n,)
        Which wait for the review desk.
    kind, order : ndarray
        Columns of :class:`Rewards`.
    status : int8 ndarray
        Of the order book.
    """
    free, held = np.empty(rows.size, np.int64), np.empty(rows.size, np.int64)
    f = h = 0
    for n in range(rows.size):
        row = rows[n]
        is_bonus = kind[row] == _INVITER_BONUS or kind[row] == _INVITEE_BONUS
        stands = status[order[row]] if order[row] >= 0 else _CONFIRMED
        if withheld[n] or (is_bonus and stands == _WAITING):
            held[h] = row
            h += 1
        elif is_bonus or stands == _CONFIRMED:
            free[f] = row
            f += 1
    return free[:f].copy(), held[:h].copy()


@nb.njit(cache=True)
def release(rows, person, amount, state, balance):  # type: ignore[no-untyped-def]
    """Put frozen rewards into their earners' wallets.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
    person, amount, state : ndarray
        Columns of :class:`Rewards`; ``state`` is changed in place.
    balance : int64 ndarray
        Column of :class:`Purses`, changed in place.

    Returns
    -------
    released : int64 ndarray, shape (3, n)
        The earners, what they get, and how much of it goes to what they owe; fen.
    owes : bool
        Whether any of the earners had debts.
    """
    released, owes = np.empty((3, rows.size), np.int64), False
    for row in rows:
        prefetch(balance, np.uint32(person[row]))
    for n in range(rows.size):
        row = rows[n]
        earner = person[row]
        repaid = min(amount[row], max(0, -balance[earner]))
        released[0, n], released[1, n], released[2, n] = earner, amount[row], repaid
        state[row] = _RELEASED
        balance[earner] += amount[row]
        owes |= repaid > 0
    return released, owes


@nb.njit(cache=True)
def end(rows, becomes, person, origin, order, amount, merchant_part, state, of_order):  # type: ignore[no-untyped-def]
    """Let rewards end, and take them off the accounts of the orders that caused them.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
    becomes : int8
        The state that they get.
    person ... state : ndarray
        Columns of :class:`Rewards`; ``state`` is changed in place.
    of_order : int64 ndarray
        The column rewards of :class:`sim.orders.OrderBook`, changed in place.

    Returns
    -------
    int64 ndarray, shape (5, n)
        The rewards; who had earned them, by whose sign-up or order, what they were, and the merchants' part in it, fen.
    """
    ended = np.empty((5, rows.size), np.int64)
    for n in range(rows.size):
        row = rows[n]
        ended[0, n], ended[1, n], ended[2, n], ended[3, n] = row, person[row], origin[row], amount[row]
        ended[4, n] = merchant_part[row]
        state[row] = becomes
        if order[row] >= 0:
            of_order[order[row]] -= amount[row]
    return ended


@nb.njit(cache=True)
def claw_back(  # type: ignore[no-untyped-def]
    orders, becomes, person, origin, order, latest, amount, merchant_part, due, state, of_order
):
    """Let the frozen rewards for some orders (rows of the book) end; return them as :func:`end` does, and the rows of
    those that were released. Parameters are those of :func:`of_orders` and :func:`end`.
    """
    frozen, released = of_orders(orders, _ANY_TIME, order, latest, state, due, of_order)
    return end(frozen, becomes, person, origin, order, amount, merchant_part, state, of_order), released


@nb.njit(cache=True)
def may_be_earned_again(rows, kind, origin, pending):  # type: ignore[no-untyped-def]
    """Let those who had earned the bonuses among some rewards (rows) wait for an order again.

    Parameters
    ----------
    rows : int64 ndarray
    kind, origin : ndarray
        Columns of :class:`Rewards`.
    pending : bool ndarray, shape (persons,)
        Changed in place.
    """
    for row in rows:
        if kind[row] == _INVITER_BONUS or kind[row] == _INVITEE_BONUS:
            pending[origin[row]] = True
