"""Filling up a basket (凑单): a buyer who falls short of a coupon's threshold may take more units to reach it.

It happens at the check-out, as apps ask for it ("another 12 yuan and the coupon takes 20 off"): the buyer has chosen,
and now weighs what the units cost on top against what they are worth to somebody who came for fewer. That is a share of
their list price, drawn for each person and occasion from the power distribution with the mean
``people.spare_worth``. Deal-prone people enjoy besides that the discount becomes deeper. So real orders gather above
thresholds, as those of rings do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.offers import Orders, Source, for_sale

if TYPE_CHECKING:
    from sim.schemes.coupon import Coupon

Array = npt.NDArray[Any]
_RING = np.int8(Source.RING)


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
    people, config = shop.people, shop.config.people
    takes = _worth_while(
        coupon.draw(coupon.TOPS_UP, before.person, 0, shop.clock.tick), possible, off,
        before.person, before.product, before.quantity, before.pay, before.worth, units, pay, worth,
        products.price, people.deal_prone, people.price_sensitivity, config.spare_worth, config.deal_proneness.strength,
    )  # fmt: skip
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
        if needed <= for_sale(product[n], mode[n], stock, set_aside):
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


@nb.njit(cache=True)
def _worth_while(  # type: ignore[no-untyped-def]
    u, possible, off, person, product, quantity, pay, worth, units, pays, is_worth,
    price, deal_prone, sensitivity, spare_worth, strength,
):  # fmt: skip
    """Return the positions of buyers to whom further units are worth more than what they cost on top.

    Parameters
    ----------
    u : float64 ndarray, shape (n,)
        A uniform each.
    possible : bool ndarray, shape (n,)
    off : int64 ndarray, shape (n, 1)
        Fen that the coupon takes off; without it there is no reason.
    person, product, quantity, pay, worth : ndarray, shape (n,)
        Columns of :class:`sim.offers.Orders`.
    units, pays, is_worth : int64 ndarray, shape (n,)
        What quantity, payment and worth would be.
    price : int64 ndarray, shape (products,)
        Fen a unit.
    deal_prone, sensitivity : ndarray, shape (persons,)
        Columns of :class:`sim.people.People`.
    spare_worth : float
        What a further unit is worth on average, as a share of its list price.
    strength : float
        Logits of the whole list price taken off, to deal-prone people.

    Notes
    -----
    ``u ** ((1 - m) / m)`` with u uniform has the mean m. A discount that is deeper makes up for a price that is higher
    by the factor ``exp(strength * deeper / price_sensitivity)``, to deal-prone buyers; to those who do not look at
    prices at all, any that is deeper makes up for everything.
    """
    takes = np.empty(u.size, np.int64)
    size = 0
    for n in range(u.size):
        if not possible[n] or off[n, 0] == 0:
            continue
        more, deeper = units[n] - quantity[n], pay[n] / worth[n] - pays[n] / is_worth[n]
        spare = more * price[product[n]] * u[n] ** ((1 - spare_worth) / spare_worth) if spare_worth > 0.0 else 0.0
        thrill, minds = strength * deeper, nb.float64(sensitivity[person[n]])
        if deal_prone[person[n]] and thrill != 0.0:
            spare += pay[n] * math.expm1(thrill / minds if minds > 0.0 else math.copysign(math.inf, thrill))
        if spare > pays[n] - pay[n]:
            takes[size] = n
            size += 1
    return takes[:size].copy()
