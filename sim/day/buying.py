"""From offers to accepted orders: what visitors can buy, what they choose, what can be honoured, and who pays.

Each function is a stage of :meth:`sim.shop.Shop.step`, which binds them as methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import consumers
from sim.core import draws, lanes
from sim.core.draws import Stream
from sim.core.ledger import Account, share_of
from sim.core.scatter import add_each, add_to_all
from sim.offers import (
    A_TEAM_OF_ITS_OWN,
    NONE,
    Mode,
    Offers,
    Orders,
    Source,
    Visits,
    one_each,
)
from sim.orders import OrderStatus
from sim.schemes import Scheme

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
_SOLO = np.int8(Mode.SOLO)
_PAID, _WAITING = np.int8(OrderStatus.PAID), np.int8(OrderStatus.WAITING)
WORTH_A_THREAD = 512  # visitors who pick


def offer(shop: Shop, visits: Visits, slates: Array) -> Offers:
    """Return what every visitor can buy: their slates at list price, and what the schemes make of it."""
    offers = Offers.solo(visits, slates, shop.products.price)
    for scheme in shop._offer_order:
        if scheme.is_open:
            width = offers.product.shape[1]
            scheme.offer(offers)
            if scheme.config.merchant_share > 0 or scheme.assignment is not None:
                _withdraw(shop, scheme, offers, width)
    _keep_to_errand(offers)
    _endorse(shop, offers)
    shop.shocks.tempt_away(offers)
    return offers


def _keep_to_errand(offers: Offers) -> None:
    """Leave accounts that were sent to buy the way they were sent for: alone, in a new team, or in a certain one."""
    sent = (offers.visits.source == Source.RING).nonzero()[0]
    if sent.size == 0:
        return
    team = offers.visits.team[sent]
    way = np.where(team >= 0, Mode.JOIN_TEAM, np.where(team == A_TEAM_OF_ITS_OWN, Mode.OPEN_TEAM, Mode.SOLO))
    _keep_to(sent, way, team, offers.product, offers.mode, offers.ref)


@nb.njit(cache=True)
def _keep_to(rows, way, team, product, mode, ref):  # type: ignore[no-untyped-def]
    """Leave each of some rows the options of one way of buying, and of one team if its number is not negative."""
    for n in range(rows.size):
        v = rows[n]
        for w in range(product.shape[1]):
            if mode[v, w] != way[n] or (team[n] >= 0 and ref[v, w] != team[n]):
                product[v, w] = NONE


def _withdraw(shop: Shop, scheme: Scheme, offers: Offers, width: int) -> None:
    """Take back what a scheme offers at the cost of merchants who have stopped paying for promotions, or to whom
    an experiment does not offer it.
    """
    barred, funds = np.zeros(offers.product.shape, bool), shop.merchant_books.funds
    if scheme.config.merchant_share > 0 and not funds.all():
        barred |= ~funds[shop.products.merchant[offers.product]]
    if scheme.assignment is not None:
        barred |= scheme.assignment.bars(shop, offers.visits.person, offers.product)
    barred &= offers.product >= 0
    if not barred.any():
        return
    discount = offers.discounts.get(scheme.number)
    if discount is not None:
        columns = barred[:, : discount.shape[1]]
        offers.pay[:, : discount.shape[1]] += np.where(columns, discount, 0)
        discount[columns] = 0
    offers.product[:, width:][barred[:, width:]] = NONE


def _endorse(shop: Shop, offers: Offers) -> None:
    """Make what a visitor clicked on more appealing: they want it, and trust who recommended it."""
    visits = offers.visits
    rows = np.flatnonzero((visits.product >= 0) & (visits.source != Source.RING))
    if rows.size:
        sharing = shop.config.sharing
        by_friend = sharing.endorsement * shop.people.trust[visits.person[rows]]
        appeal = sharing.interest + np.where(visits.source[rows] == Source.KOL, shop.config.kols.endorsement, by_friend)
        _add_appeal(offers.appeal, offers.product, rows, visits.product[rows], appeal.astype(np.float32))


@nb.njit(cache=True)
def _add_appeal(appeal, product, rows, wanted, more):  # type: ignore[no-untyped-def]
    """Add to the appeal of the options that are of the product wanted, one product a row."""
    for n in range(rows.size):
        v = rows[n]
        for w in range(product.shape[1]):
            if product[v, w] == wanted[n]:
                appeal[v, w] += more[n]


def choose(shop: Shop, offers: Offers) -> Orders:
    """Let each visitor pick one option or none; return the picks as proposed orders."""
    visits = offers.visits
    picked = _pick(shop, offers)
    rows = (picked >= 0).nonzero()[0]
    column = picked[rows]
    at = rows * offers.product.shape[1] + column
    discount = np.zeros((rows.size, max(1, len(shop.schemes))), np.int64)
    for number, taken in offers.discounts.items():
        within = column < taken.shape[1]
        discount[within, number - 1] = taken[rows[within], column[within]]
    orders = Orders(
        visits.person[rows], offers.product.take(at), visits.quantity[rows], offers.mode.take(at), offers.ref.take(at),
        offers.worth.take(at), offers.pay.take(at), discount, visits.source[rows], visits.sharer[rows],
        visits.kol[rows], one_each(NONE, rows, np.int64),
    )  # fmt: skip
    if rows.size:
        for scheme in shop._offer_order:
            scheme.check_out(orders)
    return orders


def _pick(shop: Shop, offers: Offers) -> Array:
    """Return the column of each visitor's pick, or -1."""
    people, products, config = shop.people, shop.products, shop.config
    if shop.keeps_utilities:
        shop.last_utilities = np.empty(offers.product.shape, np.float32)

    def pick(part: slice) -> Array:
        picked: Array = consumers.choose(
            np.uint32(shop.seed), np.uint32(shop.clock.tick), config.recommendation.slate, offers.visits.person[part],
            offers.product[part], offers.mode[part], offers.pay[part], offers.worth[part], offers.appeal[part],
            people.uid, people.taste, people.intercept, people.price_sensitivity, people.conformity, people.reference,
            people.heard, products.topic, products.quality,
            config.people.taste_weight, config.people.way_noise, config.people.reference_memory,
            shop.last_utilities[part] if shop.keeps_utilities else shop.last_utilities,
        )  # fmt: skip
        return picked

    picked: Array = lanes.collect(pick, len(offers.visits), WORTH_A_THREAD)
    return picked


def screen(shop: Shop, orders: Orders) -> Orders:
    """Drop what cannot be honoured. Rivals for the last unit, place or yuan go in the order of an addressed
    draw.
    """
    if len(orders) == 0:
        return orders
    if shop.second_accounts is not None:
        orders = shop.second_accounts.divert(orders)
    proposed = len(orders)
    uid = shop.people.uid[orders.person]
    u = draws.uniform(shop.seed, Stream.SCREEN, uid, orders.product, shop.clock.tick)
    orders = orders.take(np.lexsort((uid, u)))
    orders = orders.keep(shop.risk.screen(orders))
    for scheme in shop.schemes:
        mask = scheme.screen(orders)
        if mask is not None:
            orders = orders.keep(mask)
    for scheme in shop.schemes:
        if scheme.config.budget is not None:
            discount = orders.discount[:, scheme.number - 1]
            orders = orders.keep((discount == 0) | scheme.within_budget(discount))
    stock = shop.products.stock.copy()
    shop.shocks.withhold(stock)
    fits = _ration(orders.product, orders.quantity, orders.mode, shop.products.set_aside, stock)
    if not fits.all():
        add_to_all(shop.products.short, orders.product[~fits], 1)
        orders = orders.take(fits)
    shop.count("refused_orders", proposed - len(orders))
    return orders


def settle(shop: Shop, orders: Orders) -> None:
    """Write accepted orders into the book, put their worth into escrow, and tell everyone concerned."""
    if len(orders) == 0:
        return
    people, products, who = shop.people, shop.products, orders.person
    units = orders.quantity.astype(np.int64)
    merchant_part = paid_by_merchants(shop, orders.discount)
    status = np.where(orders.mode == Mode.SOLO, _PAID, _WAITING)
    shop.book.record(
        orders, shop.clock.tick, products.merchant[orders.product], products.cost[orders.product] * units,
        status, merchant_part.sum(axis=1),
    )  # fmt: skip
    shop.risk.note_orders(orders)
    shop.post(Account.BUYERS, Account.ESCROW, orders.pay, 0, who)
    for scheme in shop.schemes:
        column = scheme.number - 1
        if used := int(np.count_nonzero(orders.discount[:, column])):
            discount, by_merchants = orders.discount[:, column], merchant_part[:, column]
            scheme.used += used
            scheme.pay(Account.ESCROW, discount - by_merchants, who)
            if scheme.config.merchant_share > 0:
                scheme.pay(Account.ESCROW, by_merchants, who, source=Account.MERCHANTS)
            shop.benefit(who, discount, scheme.number)
    add_each(products.stock, orders.product, -units)
    add_each(products.sold, orders.product, units)
    _note_buyers(who, orders.pay, shop.clock.tick, people.orders, people.spend, people.first_order, people.last_order)
    shop.count("orders", len(orders))
    shop.count("gmv", float(orders.pay.sum()))
    shop.merchant_books.sell(orders.row)
    shop.recommender.observe_orders(orders)
    for scheme in shop.schemes:
        scheme.settle(orders)
    shop._unpaid = np.concatenate([shop._unpaid, orders.row])


@nb.njit(cache=True)
def _note_buyers(person, pay, tick, orders, spend, first_order, last_order):  # type: ignore[no-untyped-def]
    """Note what persons, each at most once, bought now."""
    for n in range(person.size):
        i = np.uint32(person[n])
        orders[i] += 1
        spend[i] += pay[n]
        last_order[i] = tick
        if orders[i] == 1:
            first_order[i] = tick


def paid_by_merchants(shop: Shop, discount: Array) -> Array:
    """Return the part of each order's discounts, by scheme, that its merchant pays; fen."""
    if not shop._merchant_share.any():
        return np.zeros(discount.shape, np.int64)
    return share_of(discount, shop._merchant_share)


@nb.njit(cache=True)
def _ration(product, quantity, mode, set_aside, stock):  # type: ignore[no-untyped-def]
    """Return which orders the stock covers, in order of precedence; what is set aside is not for solo buyers."""
    fits = np.zeros(product.size, np.bool_)
    for i in range(product.size):
        kept = set_aside[product[i]] if mode[i] == _SOLO else 0
        if stock[product[i]] - kept >= quantity[i]:
            stock[product[i]] -= quantity[i]
            fits[i] = True
    return fits
