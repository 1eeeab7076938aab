"""From offers to accepted orders: what visitors can buy, what they choose, what can be honoured, and who pays.

Each function is a stage of :meth:`sim.shop.Shop.step`, which binds them as methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import consumers
from sim.core import lanes
from sim.core.draws import Stream, philox
from sim.core.ledger import Account
from sim.core.prefetch import AHEAD, prefetch
from sim.core.scatter import add_to_all
from sim.offers import (
    A_TEAM_OF_ITS_OWN,
    NONE,
    Mode,
    Offers,
    Orders,
    Source,
    Visits,
    for_sale,
)
from sim.schemes import Scheme

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
_SOLO, _OPEN_TEAM, _JOIN_TEAM = np.int8(Mode.SOLO), np.int8(Mode.OPEN_TEAM), np.int8(Mode.JOIN_TEAM)
_KOL, _RING = np.int8(Source.KOL), np.int8(Source.RING)
_SCREEN = np.uint32(Stream.SCREEN)
WORTH_A_THREAD = 512  # visitors who pick


def offer(shop: Shop, visits: Visits, slates: Array) -> Offers:
    """Return what every visitor can buy: their slates at list price, and what the schemes make of it."""
    schemes = [scheme for scheme in shop._offer_order if scheme.is_open]
    room = sum(scheme.options(slates.shape[1]) for scheme in schemes)
    offers = Offers.solo(visits, slates, shop.products.price, room)
    for scheme in schemes:
        width = offers.width
        scheme.offer(offers)
        if scheme.config.merchant_share > 0 or scheme.assignment is not None:
            _withdraw(shop, scheme, offers, width)
    _keep_to_errand(visits.source, visits.team, offers.product, offers.mode, offers.ref)
    sharing, kols = shop.config.sharing, shop.config.kols
    _endorse(
        visits.person, visits.source, visits.product, shop.people.trust, np.float32(sharing.interest),
        np.float32(sharing.endorsement), np.float32(kols.endorsement), offers.product, offers.appeal,
    )  # fmt: skip
    shop.shocks.tempt_away(offers)
    return offers


@nb.njit(cache=True)
def _keep_to_errand(source, team, product, mode, ref):  # type: ignore[no-untyped-def]
    """Leave accounts that were sent to buy the way they were sent for: alone, in a new team, or in a certain one.

    Parameters
    ----------
    source, team : ndarray, shape (V,)
        Columns of :class:`sim.offers.Visits`.
    product, mode, ref : ndarray, shape (V, W)
        Of :class:`sim.offers.Offers`; ``product`` is changed in place.
    """
    for v in range(source.size):
        if source[v] != _RING:
            continue
        way = _JOIN_TEAM if team[v] >= 0 else _OPEN_TEAM if team[v] == A_TEAM_OF_ITS_OWN else _SOLO
        for w in range(product.shape[1]):
            if mode[v, w] != way or (team[v] >= 0 and ref[v, w] != team[v]):
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


@nb.njit(cache=True)
def _endorse(person, source, wanted, trust, interest, by_friend, by_kol, product, appeal):  # type: ignore[no-untyped-def]
    """Make what a visitor clicked on more appealing: they want it, and trust who recommended it.

    Parameters
    ----------
    person, source, wanted : ndarray, shape (V,)
        Of the visits; the last is the product clicked on, -1: none.
    trust : float32 ndarray, shape (persons,)
    interest, by_friend, by_kol : float32
        Logits for wanting it, for the word of a friend who is trusted fully, and for that of a KOL.
    product, appeal : ndarray, shape (V, W)
        Of :class:`sim.offers.Offers`; ``appeal`` is changed in place.
    """
    for v in range(person.size):
        if wanted[v] < 0 or source[v] == _RING:
            continue
        more = interest + (by_kol if source[v] == _KOL else by_friend * trust[person[v]])
        for w in range(product.shape[1]):
            if product[v, w] == wanted[v]:
                appeal[v, w] += more


def choose(shop: Shop, offers: Offers) -> Orders:
    """Let each visitor pick one option or none; return the picks as proposed orders."""
    visits = offers.visits
    rows, column, person, product, quantity, mode, ref, worth, pay, source, sharer, kol, row = _propose(
        _pick(shop, offers), visits.person, visits.quantity, visits.source, visits.sharer, visits.kol,
        offers.product, offers.mode, offers.ref, offers.worth, offers.pay,
    )  # fmt: skip
    discount = np.zeros((rows.size, max(1, len(shop.schemes))), np.int64)
    for number, taken in offers.discounts.items():
        _note_discount(taken, rows, column, discount[:, number - 1])
    orders = Orders(person, product, quantity, mode, ref, worth, pay, discount, source, sharer, kol, row)
    if rows.size:
        for scheme in shop._offer_order:
            scheme.check_out(orders)
    return orders


@nb.njit(cache=True)
def _propose(picked, person, quantity, source, sharer, kol, product, mode, ref, worth, pay):  # type: ignore[no-untyped-def]
    """Return the rows and columns of the picks, and what they are as columns of :class:`sim.offers.Orders`, in its
    order but without the discounts.

    Parameters
    ----------
    picked : int32 ndarray, shape (V,)
        Column of each visitor's pick, -1: none.
    person ... kol : ndarray, shape (V,)
        Columns of :class:`sim.offers.Visits`.
    product ... pay : ndarray, shape (V, W)
        Of :class:`sim.offers.Offers`.
    """
    n = 0
    for v in range(picked.size):
        n += picked[v] >= 0
    rows, column, row = np.empty(n, np.int64), np.empty(n, np.int64), np.full(n, -1)
    list_price, paid = np.empty(n, np.int64), np.empty(n, np.int64)
    who, what, units = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    team, by, by_kol = np.empty(n, np.int32), np.empty(n, np.int32), np.empty(n, np.int32)
    way, brought = np.empty(n, np.int8), np.empty(n, np.int8)
    n = 0
    for v in range(picked.size):
        w = picked[v]
        if w < 0:
            continue
        rows[n], column[n] = v, w
        who[n], what[n], units[n], way[n], team[n] = person[v], product[v, w], quantity[v], mode[v, w], ref[v, w]
        list_price[n], paid[n] = worth[v, w], pay[v, w]
        brought[n], by[n], by_kol[n] = source[v], sharer[v], kol[v]
        n += 1
    return rows, column, who, what, units, way, team, list_price, paid, brought, by, by_kol, row


@nb.njit(cache=True)
def _note_discount(taken, rows, column, discount):  # type: ignore[no-untyped-def]
    """Write down what a scheme took off the options picked; it took nothing off columns that came after it."""
    for n in range(rows.size):
        if column[n] < taken.shape[1]:
            discount[n] = taken[rows[n], column[n]]


def _pick(shop: Shop, offers: Offers) -> Array:
    """Return the column of each visitor's pick, or -1."""
    people, products, config = shop.people, shop.products, shop.config
    if shop.keeps_utilities:
        shop.last_utilities = np.empty(offers.product.shape, np.float32)

    def pick(part: slice) -> Array:
        picked: Array = consumers.choose(
            np.uint32(shop.seed), np.uint32(shop.clock.tick), offers.slate, offers.visits.person[part],
            offers.product[part], offers.mode[part], offers.pay[part], offers.worth[part], offers.appeal[part],
            people.uid, people.taste, people.intercept, people.price_sensitivity, people.conformity, people.reference,
            people.heard, people.deal_prone, products.topic, products.quality,
            config.people.taste_weight, config.people.deal_proneness.strength, config.people.way_noise,
            config.people.reference_memory,
            shop.last_utilities[part] if shop.keeps_utilities else shop.last_utilities,
        )  # fmt: skip
        return picked

    picked: Array = lanes.collect(pick, len(offers.visits), WORTH_A_THREAD)
    return picked


def screen(shop: Shop, orders: Orders) -> Orders:
    """Drop what cannot be honoured. Rivals for the last unit, place or yuan go in the order of an addressed
    draw. Who wants more than there is goes first, and takes no place or yuan from others.
    """
    if len(orders) == 0:
        return orders
    if shop.second_accounts is not None:
        orders = shop.second_accounts.divert(orders)
    proposed = len(orders)
    seed, tick = np.uint32(shop.seed), np.uint32(shop.clock.tick)
    orders = orders.take(_by_lot(seed, tick, orders.person, orders.product, shop.people.uid))
    orders = orders.keep(shop.risk.screen(orders))
    stock = shop.products.stock.copy()
    shop.shocks.withhold(stock)
    orders = _refuse(
        shop, orders, _there_is(orders.product, orders.quantity, orders.mode, shop.products.set_aside, stock)
    )
    for scheme in shop.schemes:
        mask = scheme.screen(orders)
        if mask is not None:
            orders = orders.keep(mask)
    for scheme in shop.schemes:
        if scheme.config.budget is not None:
            discount = orders.discount[:, scheme.number - 1]
            orders = orders.keep((discount == 0) | scheme.within_budget(discount))
    orders = _refuse(
        shop, orders, _ration(orders.product, orders.quantity, orders.mode, shop.products.set_aside, stock)
    )
    shop.count("refused_orders", proposed - len(orders))
    return orders


def _refuse(shop: Shop, orders: Orders, fits: Array) -> Orders:
    """Return the orders that the stock covers; note of which products there was too little for the others."""
    if fits.all():
        return orders
    add_to_all(shop.products.short, orders.product[~fits], 1)
    return orders.take(fits)


@nb.njit(cache=True)
def _by_lot(seed, tick, person, product, uid):  # type: ignore[no-untyped-def]
    """Return the positions of orders, int64 (n,), in the order of what is drawn for each; of equals, of the uids.

    Parameters
    ----------
    seed, tick : uint32
    person, product : int32 ndarray, shape (n,)
        Columns of :class:`sim.offers.Orders`.
    uid : uint32 ndarray, shape (persons,)
    """
    lot = np.empty(person.size, np.uint64)
    for n in range(person.size):
        prefetch(uid, np.uint32(person[min(n + AHEAD, person.size - 1)]))
        who = uid[np.uint32(person[n])]
        word = philox(seed, _SCREEN, who, nb.uint32(product[n]), tick, 0)[0]
        lot[n] = nb.uint64(word) << nb.uint64(32) | nb.uint64(who)
    return np.argsort(lot)


def settle(shop: Shop, orders: Orders) -> None:
    """Write accepted orders into the book, put their worth into escrow, and tell everyone concerned."""
    if len(orders) == 0:
        return
    who, merchant_part = orders.person, paid_by_merchants(shop, orders.discount)
    taken_off, used = shop.book.record(orders, shop.clock.tick, shop.people, shop.products, merchant_part)
    shop.risk.note_orders(orders)
    gmv = shop.post(Account.BUYERS, Account.ESCROW, orders.pay, 0, who)
    for scheme, discount, times in zip(shop.schemes, taken_off, used.tolist(), strict=False):
        if times:
            scheme.used += times
            scheme.fund(Account.ESCROW, discount, who)
    shop.count("orders", len(orders))
    shop.count("gmv", gmv)
    shop.merchant_books.sell(orders.row)
    shop.recommender.observe_orders(orders)
    for scheme in shop.schemes:
        scheme.settle(orders)
    shop._unpaid = np.concatenate([shop._unpaid, orders.row])


def paid_by_merchants(shop: Shop, discount: Array) -> Array:
    """Return what merchants pay of the discounts of orders, fen; ``discount`` has a row an order, a column a scheme."""
    part = np.zeros(len(discount), np.int64)
    for scheme in shop.schemes:
        if scheme.config.merchant_share > 0:
            part += scheme.by_merchants(discount[:, scheme.number - 1])
    return part


@nb.njit(cache=True)
def _there_is(product, quantity, mode, set_aside, stock):  # type: ignore[no-untyped-def]
    """Return which orders the stock would cover if each were the only one."""
    fits = np.empty(product.size, np.bool_)
    for i in range(product.size):
        fits[i] = for_sale(product[i], mode[i], stock, set_aside) >= quantity[i]
    return fits


@nb.njit(cache=True)
def _ration(product, quantity, mode, set_aside, stock):  # type: ignore[no-untyped-def]
    """Return which orders the stock covers, in order of precedence; ``stock`` is changed in place."""
    fits = np.zeros(product.size, np.bool_)
    for i in range(product.size):
        if for_sale(product[i], mode[i], stock, set_aside) >= quantity[i]:
            stock[product[i]] -= quantity[i]
            fits[i] = True
    return fits
