"""Filling up a basket (凑单): a buyer who falls short of a coupon's threshold may take more units to reach it.

It happens at the check-out, as apps ask for it ("another 12 yuan and the coupon takes 20 off"): the buyer has chosen,
and now weighs what the units cost on top against what they are worth to somebody who came for fewer. That is a share of
their list price, drawn for each person and occasion from the power distribution with the mean
``people.spare_worth``. So real orders gather above thresholds, as those of coupon hunters do.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.offers import Mode, Offers, Orders, Source, Visits

if TYPE_CHECKING:
    from sim.schemes.coupon import Coupon

Array = npt.NDArray[Any]


def fill_up(coupon: Coupon, orders: Orders) -> int:
    """Let buyers take more units where the coupon makes that worth while; change the orders and return how many did.

    Parameters
    ----------
    coupon : Coupon
    orders : Orders
        As proposed; those that rings send are left as they are.
    """
    short = np.flatnonzero(
        (coupon.wallets.purses.best[orders.person] >= 0)
        & (orders.pay > 0)
        & (orders.pay < coupon.config.threshold)
        & (orders.source != Source.RING)
    )
    if short.size == 0:
        return 0
    before = orders.take(short)
    longer, possible = _with_more_units(coupon, before)
    off, _, _ = coupon.reckon(longer.person, _as_offers(longer))
    units = longer.quantity - before.quantity
    on_top = longer.pay - off[:, 0] - before.pay
    spare = units * coupon.shop.products.price[before.product] * _spare_worth(coupon, before.person)
    takes = np.flatnonzero(possible & (off[:, 0] > 0) & (spare > on_top))
    if takes.size == 0:
        return 0
    rows, longer, off = short[takes], longer.take(takes), off[takes, 0]
    orders.quantity[rows], orders.worth[rows], orders.pay[rows] = longer.quantity, longer.worth, longer.pay - off
    orders.discount[rows] = longer.discount
    orders.discount[rows, coupon.number - 1] = off
    return int(takes.size)


def _with_more_units(coupon: Coupon, orders: Orders) -> tuple[Orders, Array]:
    """Return orders with as many units as reach the threshold, before the coupon, and which of them can be had."""
    shop, threshold = coupon.shop, coupon.config.threshold
    units = -(-threshold * orders.quantity.astype(np.int64) // orders.pay)
    kept = np.where(orders.mode == Mode.SOLO, shop.products.set_aside[orders.product], 0)
    possible = units <= shop.products.stock[orders.product] - kept
    discount = np.zeros_like(orders.discount)
    for scheme in shop.schemes:
        taken = scheme.discount_for_units(orders, units)
        possible &= taken >= 0
        discount[:, scheme.number - 1] = taken
    worth = shop.products.price[orders.product] * units
    pay = worth - discount.sum(axis=1)
    return replace(orders, quantity=units.astype(np.int32), worth=worth, discount=discount, pay=pay), possible


def _as_offers(orders: Orders) -> Offers:
    """Return orders as offers of one option each."""
    taken = {n + 1: orders.discount[:, n, None] for n in np.flatnonzero(orders.discount.any(axis=0)).tolist()}
    return Offers(
        Visits.of(orders.person, orders.source), orders.product[:, None], orders.mode[:, None], orders.ref[:, None],
        orders.worth[:, None], orders.pay[:, None], np.zeros((len(orders), 1), np.float32), taken,
    )  # fmt: skip


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
