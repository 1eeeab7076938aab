"""Wallets: the claims on one coupon scheme, who holds them, and what became of each.

A claim is LIVE until it is used in an order or expires; a refunded order may bring it back to life. At every moment
``issued == used + live + expired``.

Two orders make this cheap. Each person's live claims form a linked list, most valuable first, so that the claim a
visitor would use is one look-up. And all claims of a scheme are valid equally long, so the table is sorted by expiry
and what expires in a tick is the next stretch of rows: nobody is scanned.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.ledger import in_billionths, part_of
from sim.core.prefetch import AHEAD, prefetch
from sim.core.scatter import add_to_all
from sim.core.table import Column, Table, column

Array = npt.NDArray[Any]
NONE = -1


class ClaimState(IntEnum):
    """What became of a claim."""

    LIVE = 0
    USED = 1
    EXPIRED = 2  # or withdrawn because the order that earned it was refunded


_LIVE, _USED, _EXPIRED = np.int8(ClaimState.LIVE), np.int8(ClaimState.USED), np.int8(ClaimState.EXPIRED)


class Claims(Table):
    """Coupons in wallets, one row each, sorted by ``expires``."""

    person: Column = column(np.int32)
    face: Column = column(np.int64)  # what it takes off, fen; for a percentage, what it is expected to
    issued: Column = column(np.int32)  # tick
    begins: Column = column(np.int32)  # first tick in which it is valid
    expires: Column = column(np.int32)  # last tick in which it is valid
    state: Column = column(np.int8)
    order: Column = column(np.int32, fill=NONE)  # row of the order that used it
    origin: Column = column(np.int32, fill=NONE)  # row of the order that earned it
    next: Column = column(np.int32, fill=NONE)  # the person's next best live claim


class Purses(Table):
    """What a scheme notes of each person."""

    best: Column = column(np.int32, fill=NONE)  # most valuable live claim
    received: Column = column(np.int32)  # claims received or promised by a red packet
    packet: Column = column(np.int32, fill=NONE, on_demand=True)  # their open red packet, if there are any
    knows_code: Column = column(np.bool_)


class Uses(Table):
    """Which order used which claim, sorted by order."""

    order: Column = column(np.int32)
    claim: Column = column(np.int32)
    filled_up: Column = column(np.bool_)  # whether the order was, for the coupon


class Wallets:
    """The claims on one scheme.

    Attributes
    ----------
    claims : Claims
    purses : Purses
    issued, used, expired : int
        Claims issued in all, used and not given back, expired or withdrawn.
    live_face : int
        Face value of live claims, fen.
    """

    def __init__(self) -> None:
        self.claims = Claims()
        self.purses = Purses()
        self.issued = 0
        self.used = 0
        self.expired = 0
        self.live_face = 0
        self._uses = Uses()
        self._swept = 0  # claims before this row have reached their expiry

    @property
    def live(self) -> int:
        """Claims that may still be used."""
        return self.issued - self.used - self.expired

    def issue(
        self, person: Array, face: Array | int, now: int, begins: int, expires: int, origin: Array | int = NONE
    ) -> Array:
        """Put a claim into each person's wallet and return the rows.

        Parameters
        ----------
        person : int32 ndarray
            May name a person several times.
        face : int64 ndarray or int
            Fen.
        now, begins, expires : int
            Ticks; ``expires`` never less than that of earlier claims.
        origin : int ndarray or int
            Order that earned each, -1 for none; not descending.
        """
        rows = self.claims.append(
            len(person), person=person, face=face, issued=now, begins=begins, expires=expires, origin=origin
        )
        self.live_face += self._enter(rows)
        add_to_all(self.purses.received, person, 1)
        self.issued += len(rows)
        return rows

    @property
    def filled_up(self) -> int:
        """Claims used, and not given back, in an order that was filled up for the coupon."""
        uses = self._uses
        filled = np.flatnonzero(uses.filled_up)
        return int((self.claims.order[uses.claim[filled]] == uses.order[filled]).sum())

    def use(self, person: Array, order: Array, filled_up: Array | bool = False) -> Array:
        """Use each person's best claim, persons once each, in an order (ascending rows); return the claims."""
        claims, rows = self.claims, np.empty(len(person), np.int64)
        self.live_face -= _use(
            person, order, claims.face, claims.state, claims.order, claims.next, self.purses.best, rows
        )
        self._uses.append(len(rows), order=order, claim=rows, filled_up=filled_up)
        self.used += len(rows)
        return rows

    def earned_by(self, order: Array) -> Array:
        """Return the claims that the given orders earned their buyers."""
        earned: Array = matches(self.claims.origin, order)
        return earned

    def give_back(self, order: Array) -> int:
        """Make the claims that were used in the given orders live again, or expired if their time is over; return how
        many live.
        """
        claims, uses = self.claims, self._uses
        number, alive, worth = _give_back(
            order, uses.order, uses.claim, self._swept, claims.person, claims.face, claims.expires, claims.state,
            claims.order, claims.next, self.purses.best,
        )  # fmt: skip
        self.live_face += worth
        self.used -= number
        self.expired += number - alive
        return int(alive)

    def withdraw(self, rows: Array) -> int:
        """Let those of the given claims expire that are still live; return how many."""
        rows = rows[self.claims.state[rows] == ClaimState.LIVE]
        self._leave(rows, ClaimState.EXPIRED)
        self.expired += len(rows)
        return len(rows)

    def expire(self, tick: int) -> int:
        """Let every live claim expire whose last tick is over at the end of ``tick``; return how many."""
        first = self._swept
        self._swept = first + count_up_to(self.claims.expires[first:], tick)
        if self._swept == first:
            return 0
        return self.withdraw(np.arange(first, self._swept))

    def _enter(self, rows: Array) -> int:
        """Put claims into their owners' lists and return what they are worth together, fen."""
        claims = self.claims
        return int(_link(rows, claims.person, claims.face, claims.expires, claims.next, self.purses.best))

    def _leave(self, rows: Array, state: ClaimState) -> None:
        claims = self.claims
        self.live_face -= int(
            _unlink(rows, np.int8(state), claims.person, claims.face, claims.state, claims.next, self.purses.best)
        )


def count_up_to(sorted_values: Array, limit: int) -> int:
    """Return how many values of a sorted column do not exceed a limit."""
    return int(sorted_values.searchsorted(sorted_values.dtype.type(limit), side="right"))


@nb.njit(cache=True)
def matches(sorted_values, wanted):  # type: ignore[no-untyped-def]
    """Return where values of a sorted column are that equal one of ``wanted``, int64; values occur once each."""
    found = np.empty(wanted.size, np.int64)
    size = 0
    for value in wanted:
        at = np.searchsorted(sorted_values, value)
        if at < sorted_values.size and sorted_values[at] == value:
            found[size] = at
            size += 1
    return found[:size].copy()


@nb.njit(cache=True)
def _link(rows, person, face, expires, following, best):  # type: ignore[no-untyped-def]
    """Insert claims into their owners' lists: dearest first, then the one that expires first; return their worth."""
    worth = 0
    for row in rows:
        worth += face[row]
        _insert(row, person, face, expires, following, best)
    return worth


@nb.njit(cache=True)
def _insert(row, person, face, expires, following, best):  # type: ignore[no-untyped-def]
    """Insert a claim into its owner's list."""
    owner = person[row]
    before, after = -1, best[owner]
    while after >= 0 and (face[after] > face[row] or (face[after] == face[row] and expires[after] <= expires[row])):
        before, after = after, following[after]
    following[row] = after
    if before < 0:
        best[owner] = row
    else:
        following[before] = row


@nb.njit(cache=True)
def _give_back(orders, used_in, used, swept, person, face, expires, state, order_of, following, best):  # type: ignore[no-untyped-def]
    """Take back the use of claims in some orders.

    Parameters
    ----------
    orders : int64 ndarray
        Rows of the order book.
    used_in, used : int32 ndarray
        Columns of :class:`Uses`.
    swept : int
        Claims before this row have expired.
    person ... following : ndarray
        The columns person, face, expires, state, order and next of :class:`Claims`, the last three changed in place.
    best : int32 ndarray, shape (persons,)
        Each person's best claim, changed in place.

    Returns
    -------
    number, alive, worth : int
        How many claims there were, how many of them live again, and what these are worth together, fen.
    """
    number = alive = worth = 0
    for order in orders:
        at = np.searchsorted(used_in, order)
        if at == used_in.size or used_in[at] != order:
            continue
        row = used[at]
        number += 1
        order_of[row] = NONE
        if row < swept:
            state[row] = _EXPIRED
            continue
        state[row] = _LIVE
        alive += 1
        worth += face[row]
        _insert(row, person, face, expires, following, best)
    return number, alive, worth


@nb.njit(cache=True)
def _use(person, order, face, state, order_of, following, best, used):  # type: ignore[no-untyped-def]
    """Take each person's best claim out of their list, for an order; write the claims down and return their worth.

    Parameters
    ----------
    person, order : ndarray, shape (n,)
    face, state, order_of, following : ndarray
        The columns face, state, order and next of :class:`Claims`; all but the first are changed in place.
    best : int32 ndarray, shape (persons,)
        Each person's best claim, changed in place.
    used : int64 ndarray, shape (n,)
        Changed in place.
    """
    worth = 0
    for n in range(person.size):
        row = used[n] = best[person[n]]
        worth += face[row]
        state[row], order_of[row] = _USED, order[n]
        best[person[n]] = following[row]
        following[row] = -1
    return worth


@nb.njit(cache=True)
def _unlink(rows, becomes, person, face, state, following, best):  # type: ignore[no-untyped-def]
    """Take claims, which get another state, out of their owners' lists; return their worth."""
    worth = 0
    for row in rows:
        worth += face[row]
        state[row] = becomes
        owner = person[row]
        before, here = -1, best[owner]
        while here != row:
            before, here = here, following[here]
        if before < 0:
            best[owner] = following[row]
        else:
            following[before] = following[row]
        following[row] = -1
    return worth


@nb.njit(cache=True)
def take_best(  # type: ignore[no-untyped-def]
    tick, person, best, begins, face, product, mode,
    rivals, barred, in_scope, open_modes, threshold, percent, cap, most, pay, discount,
):  # fmt: skip
    """Take each visitor's coupon off each option, unless a rival takes off as much; return whether any was.

    Parameters
    ----------
    tick : int
    person : int32 ndarray, shape (V,)
    best : int32 ndarray, shape (persons,)
        Each person's best live claim, -1 for none.
    begins, face : ndarray, shape (claims,)
        First tick of use, and fen off.
    product, mode : ndarray, shape (V, W)
        The options (:class:`sim.offers.Offers`).
    rivals, barred : int64 ndarray, shape (V, W) or (0, 0)
        Fen that coupons took off which give way to a better one; fen that schemes took off which rule a coupon out.
    in_scope : bool ndarray, shape (products,)
    open_modes : bool ndarray
        Ways of buying that a coupon may fall on.
    threshold : int
        Fen that the option must cost before coupons.
    percent : float
        Of the price before coupons, rounded like :func:`sim.core.ledger.share_of`; 0: the claim's face instead.
    cap, most : int
        Fen that a percentage takes off at most; fen that the budget still covers.
    pay, discount : int64 ndarray, shape (V, W)
        What the options cost, and what is taken off them, zero before; fen, changed in place.
    """
    visits, width = product.shape
    any_better = False
    has_rivals, has_barred, is_share = rivals.size > 0, barred.size > 0, percent > 0.0
    billionths = in_billionths(percent)
    for v in range(visits):
        prefetch(best, np.uint32(person[min(v + AHEAD, visits - 1)]))
        claim = best[np.uint32(person[v])]
        if claim < 0 or begins[claim] > tick:
            continue
        amount = face[claim]
        for w in range(width):
            j = product[v, w]
            rival = rivals[v, w] if has_rivals else 0
            price = pay[v, w] + rival
            if j < 0 or price < threshold or (has_barred and barred[v, w] > 0):
                continue
            # Unsigned: numba then need not ask whether an index counts from the end.
            if not in_scope[np.uint32(j)] or not open_modes[np.uint8(mode[v, w])]:
                continue
            off = min(cap, part_of(price, percent, billionths)) if is_share else amount
            off = min(off, price)
            if rival < off <= most:
                pay[v, w], discount[v, w] = price - off, off
                any_better = True
    return any_better
