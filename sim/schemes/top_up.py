"""Filling up a basket (凑单): a buyer who falls short of a coupon's threshold may take more units to reach it.

It happens at the check-out, as apps ask for it ("another 12 yuan and the coupon takes 20 off"): the buyer has chosen,
and now weighs what the units cost on top against what they are worth to somebody who came for fewer. That is a share of
their list price, drawn for each person and occasion from the power distribution with the mean
``people.spare_worth``. Deal-prone people enjoy besides that the discount becomes deeper. So real orders gather above
thresholds, as those of rings do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.offers import Mode, Orders, Source

if TYPE_CHECKING:
    from sim.schemes.coupon import Coupon

Array = npt.NDArray[Any]
_SOLO, _RING = np.int8(Mode.SOLO), np.int8(Source.RING)


def fill_up(coupon: Coupon, orders: Orders) -> int:
    """Let buyers take more units where the coupon makes that worth while; change the orders and return how many did.

    Parameters
    ----------
    coupon : Coupon
    orders : Orders
        As proposed; those that rings send are left as they are.
    """
    shop, products = coupon.shop, coupon.shop.products
    short, units = _fall_short(
        orders.person, orders.product, orders.quantity, orders.mode, orders.pay, orders.source,
        coupon.wallets.purses.best, products.stock, products.set_aside, coupon.config.threshold,
    )  # fmt: skip
    if short.size == 0:
        return 0
    before = orders.take(short)
    discount = np.zeros_like(before.discount)  # what each scheme would take off, -1: it would not allow it
    for scheme in shop.schemes:
        discount[:, scheme.number - 1] = scheme.discount_for_units(before, units)
    worth, pay, possible = _as_many(units, before.product, products.price, discount)
    taken = {n + 1: discount[:, n, None] for n in np.flatnonzero(discount.any(axis=0)).tolist()}
    off, _, _ = coupon.take_off(before.person, before.product[:, None], before.mode[:, None], pay[:, None], taken)
    more = units - before.quantity
    spare = more * products.price[before.product] * _spare_worth(coupon, before.person)
    spare += _thrill(coupon, before, before.pay / before.worth - pay / worth)
    takes = np.flatnonzero(possible & (off[:, 0] > 0) & (spare > pay - before.pay))
    if takes.size == 0:
        return 0
    rows, discount = short[takes], discount[takes]
    discount[:, coupon.number - 1] = off[takes, 0]
    orders.quantity[rows], orders.worth[rows], orders.pay[rows] = units[takes], worth[takes], pay[takes]
    orders.discount[rows] = discount
    return int(takes.size)


@nb.njit(cache=True)
def _fall_short(person, product, quantity, mode, pay, source, best, stock, set_aside, threshold):  # type: ignore[no-untyped-def]
    """Return the positions of orders that fall short of a threshold although a coupon is at hand, with the units at
    which they would reach it; only those that the stock covers.

    Parameters
    ----------
    person ... source : ndarray, shape (n,)
        Columns of :class:`sim.offers.Orders`.
    best : int32 ndarray, shape (persons,)
        Each person's best live claim, -1: none.
    stock, set_aside : int64 ndarray, shape (products,)
        Units; what is set aside is not for solo buyers.
    threshold : int
        Fen.
    """
    short, units = np.empty(person.size, np.int64), np.empty(person.size, np.int64)
    size = 0
    for n in range(person.size):
        if best[person[n]] < 0 or not 0 < pay[n] < threshold or source[n] == _RING:
            continue
        needed = -(-threshold * quantity[n] // pay[n])
        kept = set_aside[product[n]] if mode[n] == _SOLO else 0
        if needed <= stock[product[n]] - kept:
            short[size], units[size] = n, needed
            size += 1
    return short[:size].copy(), units[:size].copy()


@nb.njit(cache=True)
def _as_many(units, product, price, discount):  # type: ignore[no-untyped-def]
    """Return what so many units of products are worth, what is paid for them, and whether all schemes allow it.

    Parameters
    ----------
    units : int64 ndarray, shape (n,)
    product : int32 ndarray, shape (n,)
    price : int64 ndarray, shape (products,)
        Fen a unit.
    discount : int64 ndarray, shape (n, schemes)
        Fen; -1 where a scheme does not allow it.
    """
    worth, pay = np.empty(units.size, np.int64), np.empty(units.size, np.int64)
    possible = np.ones(units.size, np.bool_)
    for n in range(units.size):
        worth[n] = pay[n] = units[n] * price[product[n]]
        for scheme in range(discount.shape[1]):
            pay[n] -= discount[n, scheme]
            possible[n] &= discount[n, scheme] >= 0
    return worth, pay, possible


def _spare_worth(coupon: Coupon, persons: Array) -> Array:
    """Return what a further unit is worth to each person now, as a share of its list price.

    Notes
    -----
    ``u ** ((1 - m) / m)`` with u uniform has the mean m.
    """
    mean = coupon.shop.config.people.spare_worth
    if mean == 0:
        return np.zeros(persons.size)
    u: Array = coupon.draw(coupon.TOPS_UP, persons, 0, coupon.shop.clock.tick)
    return u ** ((1 - mean) / mean)


def _thrill(coupon: Coupon, orders: Orders, deeper: Array) -> Array:
    """Return what it is worth to deal-prone buyers that a larger share of the list price is taken off, fen.

    Notes
    -----
    It makes up for a price that is higher by the factor ``exp(strength * deeper / price_sensitivity)``.
    """
    people, strength = coupon.shop.people, coupon.shop.config.people.deal_proneness.strength
    logits = strength * deeper * people.deal_prone[orders.person]
    thrill: Array = orders.pay * np.expm1(logits / people.price_sensitivity[orders.person])
    return thrill
