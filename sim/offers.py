"""The batches that flow through a day: visits, slates, offers, orders, shares, sign-ups.

Each stage of :meth:`sim.shop.Shop.step` takes and returns one of these: a small dataclass of equal-length numpy arrays.
Rows of :class:`People` are called persons here, rows of the catalogue products. ``-1`` means none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core import lanes

Array = npt.NDArray[Any]
NONE = -1
WORTH_A_THREAD = 4096  # visitors to whom something is offered
CHEAPEST = 0.02  # free goods count as 2% of their price, so that the logarithm stays finite
A_TEAM_OF_ITS_OWN = -2  # in the place of a team: what an account is sent to open


class Mode(IntEnum):
    """Ways of buying. A mode's number addresses its draws, so a number once given is never reused."""

    SOLO = 0
    OPEN_TEAM = 1
    JOIN_TEAM = 2


class Source(IntEnum):
    """What brought a visitor."""

    OWN = 0
    SHARE = 1
    KOL = 2
    RING = 3


class ShareKind(IntEnum):
    """What a share is about."""

    PRODUCT = 0
    TEAM = 1
    INVITE = 2
    POST = 3  # a KOL's post


@dataclass(slots=True)
class Batch:  # type: ignore[misc]
    """Equal-length arrays, one row an event."""

    if TYPE_CHECKING:
        __slots__: ClassVar[tuple[str, ...]]  # type: ignore[misc]

    def __len__(self) -> int:
        return len(getattr(self, self.__slots__[0]))

    def take(self, rows: Array) -> Self:
        """Return the chosen rows (a mask or row numbers)."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        return type(self)(*[getattr(self, name).take(rows, axis=0) for name in self.__slots__])

    def keep(self, mask: Array) -> Self:
        """Return the rows of a mask; the batch itself if that is all of them."""
        return self if mask.all() else self.take(mask)

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """Return several batches as one."""
        parts = [p for p in parts if len(p)] or parts[:1]
        if len(parts) == 1:
            return parts[0]
        return cls(*[np.concatenate([getattr(p, name) for p in parts]) for name in cls.__slots__])


def one_each(value: Any, persons: Array, dtype: npt.DTypeLike) -> Array:
    """Return a value, or one each, as an array of the length of ``persons``."""
    return value.astype(dtype) if isinstance(value, np.ndarray) else np.full(persons.size, value, dtype)


@dataclass(slots=True)
class Shares(Batch):
    """Messages on their way, one row for each recipient.

    Attributes
    ----------
    sharer, recipient : int32
        Persons. For a KOL's post the sharer is the KOL's own person, or -1 if they are not one of the people.
    kind : int8
        :class:`ShareKind`.
    product, team : int32
        What it is about, -1 for none.
    kol : int16
        Number of the KOL, -1 for none.
    strength : float32
        Strength of the tie that carries it, in (0, 1].
    gift : float32
        What the recipient is promised for signing up, in yuan.
    """

    sharer: Array
    recipient: Array
    kind: Array
    product: Array
    team: Array
    kol: Array
    strength: Array
    gift: Array


@dataclass(slots=True)
class Visits(Batch):
    """Members who open the shop in this tick, at most once each.

    Attributes
    ----------
    person : int32
    source : int8
        :class:`Source`.
    sharer, product, team, kol : int32
        What they clicked on, -1 for none. Of a visit that a ring sends: the product to buy, and the team to join, or
        ``A_TEAM_OF_ITS_OWN``; -1: to buy alone.
    quantity : int32
        Units they would buy.
    """

    person: Array
    source: Array
    sharer: Array
    product: Array
    team: Array
    kol: Array
    quantity: Array

    @classmethod
    def of(
        cls, person: Array, source: Any, sharer: Any = NONE, product: Any = NONE, team: Any = NONE, kol: Any = NONE
    ) -> Visits:
        """Return visits for a unit each; other values are one for all or one for each person."""
        return cls(
            person.astype(np.int32), one_each(source, person, np.int8), one_each(sharer, person, np.int32),
            one_each(product, person, np.int32), one_each(team, person, np.int32), one_each(kol, person, np.int32),
            np.ones(person.size, np.int32),
        )  # fmt: skip


@dataclass(slots=True)
class Signups(Batch):
    """Persons who become members in this tick.

    Attributes
    ----------
    person : int32
    inviter : int32
        Whose share they clicked on, -1 for none.
    source : int8
        :class:`Source`.
    """

    person: Array
    inviter: Array
    source: Array


_OPTION_TYPES = (np.int32, np.int8, np.int32, np.int64, np.int64, np.float32)  # product ... appeal, see below
_SOLO = np.int8(Mode.SOLO)


@dataclass(slots=True)
class Offers:
    """What each visitor can buy: one row a visit, one column an option.

    The first ``slate`` columns are the slate, bought alone at first; ``width`` columns are in use, and those that wait
    for schemes' options hold none.

    Attributes
    ----------
    visits : Visits
        Of length V.
    slate, width : int
        Number of columns.
    product : int32, shape (V, W)
        -1 where there is no option.
    mode : int8, shape (V, W)
        :class:`Mode`.
    ref : int32, shape (V, W)
        What the mode refers to (the team to join), -1 for none.
    worth : int64, shape (V, W)
        Quantity times list price, fen.
    pay : int64, shape (V, W)
        What the visitor would pay now, fen: worth less all discounts.
    appeal : float32, shape (V, W)
        Utility beside price (social proof, endorsement, hassle), in logits.
    discounts : dict
        Scheme number -> int64 (V, W'): what each scheme takes off, for columns that existed when it did; fen.
    """

    visits: Visits
    slate: int
    width: int
    product: Array
    mode: Array
    ref: Array
    worth: Array
    pay: Array
    appeal: Array
    discounts: dict[int, Array] = field(default_factory=dict)

    @classmethod
    def solo(cls, visits: Visits, slates: Array, price: Array, room: int = 0) -> Offers:
        """Return the slates' products at list price, with room for so many columns of options that schemes add."""
        places = slates.shape[1]
        shape = len(visits), places + room
        product, mode, ref, worth, pay, appeal = (np.empty(shape, dtype) for dtype in _OPTION_TYPES)

        def fill_in(part: slice) -> None:
            _sell_alone(
                slates[part], visits.quantity[part], price,
                product[part], mode[part], ref[part], worth[part], pay[part], appeal[part],
            )  # fmt: skip

        lanes.share_out(fill_in, len(visits), WORTH_A_THREAD)
        return cls(visits, places, places, product, mode, ref, worth, pay, appeal)

    def widen(self, more: int) -> slice:
        """Append columns, without options until they are filled in place, and return where they stand."""
        start, stop = self.width, self.width + more
        columns = (self.product, self.mode, self.ref, self.worth, self.pay, self.appeal)
        if stop > self.product.shape[1]:  # a scheme that did not say that it would
            wide = [np.empty((len(self.visits), stop), dtype) for dtype in _OPTION_TYPES]
            _widen(*columns, *wide)
            self.product, self.mode, self.ref, self.worth, self.pay, self.appeal = wide
        self.width = stop
        return slice(start, stop)

    def discount(self, scheme: int) -> Array:
        """Return what a scheme takes off each option so far, int64 (V, W), to be changed in place beside ``pay``."""
        whole = self.discounts.get(scheme)
        if whole is None or whole.shape != self.pay.shape:
            fresh = np.zeros(self.pay.shape, np.int64)
            if whole is not None:
                fresh[:, : whole.shape[1]] = whole
            whole = self.discounts[scheme] = fresh
        return whole

    def add(self, product: Array, mode: Array, ref: Array, worth: Array, appeal: Array) -> slice:
        """Append columns of options at their list price and return where they stand."""
        columns = self.widen(product.shape[1])
        self.product[:, columns] = product
        self.mode[:, columns] = mode
        self.ref[:, columns] = ref
        self.worth[:, columns] = self.pay[:, columns] = worth
        self.appeal[:, columns] = appeal
        return columns

    def take_off(self, scheme: int, discount: Array, columns: slice = slice(None)) -> None:
        """Lower what is paid by a scheme's discount, never below zero.

        Parameters
        ----------
        scheme : int
            The scheme's number.
        discount : int64, shape (V, W) or the shape of the chosen columns
            Fen, not negative.
        columns : slice
            The columns it holds for.
        """
        _take_off(discount, self.pay[:, columns], self.discount(scheme)[:, columns])


@nb.njit(cache=True, nogil=True)
def _sell_alone(slates, units, price, product, mode, ref, worth, pay, appeal):  # type: ignore[no-untyped-def]
    """Fill in options, shape (V, W): so many units of each product of slates, shape (V, K), alone, at list price."""
    places, width = slates.shape[1], product.shape[1]
    for v in range(slates.shape[0]):
        for k in range(places):
            j = slates[v, k]
            product[v, k] = j
            worth[v, k] = units[v] * price[np.uint32(max(j, 0))] if j >= 0 else 0
            pay[v, k] = worth[v, k]
        for w in range(width):
            mode[v, w], ref[v, w], appeal[v, w] = _SOLO, NONE, 0.0
        for w in range(places, width):
            product[v, w], worth[v, w], pay[v, w] = NONE, 0, 0


@nb.njit(cache=True)
def _widen(product, mode, ref, worth, pay, appeal, product_, mode_, ref_, worth_, pay_, appeal_):  # type: ignore[no-untyped-def]
    """Copy options, shape (V, W), into the first columns of wider arrays, and fill those up with no options."""
    visits, width = product.shape
    for v in range(visits):
        for w in range(width):
            product_[v, w], mode_[v, w], ref_[v, w] = product[v, w], mode[v, w], ref[v, w]
            worth_[v, w], pay_[v, w], appeal_[v, w] = worth[v, w], pay[v, w], appeal[v, w]
        for w in range(width, product_.shape[1]):
            product_[v, w], mode_[v, w], ref_[v, w] = NONE, _SOLO, NONE
            worth_[v, w], pay_[v, w], appeal_[v, w] = 0, 0, 0.0


@nb.njit(cache=True)
def _take_off(discount, pay, whole):  # type: ignore[no-untyped-def]
    """Lower ``pay`` by ``discount``, never below zero, and add what was applied to ``whole``; all of shape (V, W)."""
    for v in range(pay.shape[0]):
        for w in range(pay.shape[1]):
            applied = min(discount[v, w], pay[v, w])
            pay[v, w] -= applied
            whole[v, w] += applied


@dataclass(slots=True)
class Orders(Batch):
    """Purchases proposed in this tick, one row each.

    Attributes
    ----------
    person, product : int32
    quantity : int32
        Units.
    mode : int8
        :class:`Mode`.
    ref : int32
        Team to join, -1 for none; after ``settle`` of a group-buy, the team they are in.
    worth : int64
        Quantity times list price, fen.
    pay : int64
        What the buyer pays, fen.
    discount : int64, shape (n, schemes)
        What each scheme took off, fen; ``worth - discount.sum(1) == pay``.
    source : int8
    sharer, kol : int32
        Whose link brought the buyer, -1 for none.
    row : int64
        Row in the order book; -1 until accepted.
    """

    person: Array
    product: Array
    quantity: Array
    mode: Array
    ref: Array
    worth: Array
    pay: Array
    discount: Array
    source: Array
    sharer: Array
    kol: Array
    row: Array

    def take(self, rows: Array) -> Self:
        """Return the chosen rows (a mask or row numbers)."""
        rows = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
        mine = [getattr(self, name) for name in self.__slots__]
        chosen = [np.empty((rows.size, *values.shape[1:]), values.dtype) for values in mine]
        _take_orders(rows, *mine, *chosen)
        return type(self)(*chosen)


@nb.njit(cache=True)
def _take_orders(  # type: ignore[no-untyped-def]
    rows, person, product, quantity, mode, ref, worth, pay, discount, source, sharer, kol, row,
    person_, product_, quantity_, mode_, ref_, worth_, pay_, discount_, source_, sharer_, kol_, row_,
):  # fmt: skip
    """Copy some rows of :class:`Orders` into the columns of others, in their order."""
    for n in range(rows.size):
        at = rows[n]
        person_[n], product_[n], quantity_[n] = person[at], product[at], quantity[at]
        mode_[n], ref_[n], worth_[n], pay_[n] = mode[at], ref[at], worth[at], pay[at]
        for scheme in range(discount.shape[1]):
            discount_[n, scheme] = discount[at, scheme]
        source_[n], sharer_[n], kol_[n], row_[n] = source[at], sharer[at], kol[at], row[at]


@nb.njit(cache=True)
def for_sale(product, mode, stock, set_aside):  # type: ignore[no-untyped-def]
    """Return how many units of a product may be sold in some way: what is set aside is not for solo buyers."""
    return stock[product] - (set_aside[product] if mode == _SOLO else 0)
