"""Merchants: what they earn, and how they answer with prices, promotion money and stock.

:class:`MerchantBooks` keeps running totals as orders come and go, so that a review never scans the order book. Every
``review_every`` a :class:`Merchant` looks back, on the period since the last review most and on earlier ones less and
less, so that a single order or return sways no small merchant, and

- stops paying for promotions if its realised margin is below ``margin_floor``, and resumes once it is not;
- raises its prices by ``price_step`` if the margin is below the floor or demand is strong, lowers them if demand is
  weak, within ``price_band`` of where they began and never below cost;
- sets its promotion budget until the next review, a share of its usual sales a period (until the first review it has
  nothing to go by and pays for every promotion);
- reorders what its stock, with what is coming, does not cover.

Demand is strong or weak against the market, as shops publish it: a merchant compares its orders of the period with its
usual share of all orders, and takes for luck what two standard deviations of Poisson counts explain. So merchants as a
whole do not drift when the shop grows or shrinks.

The budget counts what the merchant pays of discounts and rewards, and fees and commissions of KOLs. It is looked at
before a promotion is granted, tick by tick, so the promotions of one tick may pass it.

References
----------
Anscombe (1948), "The transformation of Poisson, binomial and negative-binomial data", Biometrika 35.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mesa
import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.ledger import share_of, share_of_one
from sim.core.scatter import add_each
from sim.core.table import Column, Table, column
from sim.labels import Fraud
from sim.orders import OrderStatus

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
UNLIMITED = np.iinfo(np.int64).max
_BY_LUCK = 2.0  # standard deviations of a count that chance explains
_FADING = 0.75  # weight of a period relative to the one after it


class Shelves(Table):
    """What merchants noted of each product at the last review, one row a product."""

    sold: Column = column(np.int64)  # units, since the start
    short: Column = column(np.int64)  # orders refused for want of stock, since the start
    demand: Column = column(np.float64)  # units a review period


class MerchantBooks(Table):
    """What each merchant earned and paid, one row each; money in fen.

    Parameters
    ----------
    shop : Shop
        Its catalogue says how many merchants there are.
    """

    # Since the start.
    sales: Column = column(np.int64)  # list value of orders, those taken back taken off
    costs: Column = column(np.int64)  # goods, shipping, and the platform's commission
    promotions: Column = column(np.int64)  # the merchant's part of discounts and rewards; fees and commissions of KOLs
    orders: Column = column(np.int64)
    # At the last review.
    sales_then: Column = column(np.int64)
    costs_then: Column = column(np.int64)
    promotions_then: Column = column(np.int64)
    orders_then: Column = column(np.int64)
    all_orders_then: Column = column(np.int64)  # of all merchants
    # Sums over reviewed periods, fading.
    periods: Column = column(np.float64)
    usual_sales: Column = column(np.float64)
    usual_costs: Column = column(np.float64)
    usual_promotions: Column = column(np.float64)
    usual_orders: Column = column(np.float64)
    usual_all_orders: Column = column(np.float64)
    # Decided at the last review.
    willing: Column = column(np.bool_, fill=True)  # to pay for promotions
    budget: Column = column(np.int64, fill=UNLIMITED)

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop.config.catalog.merchants)
        self.shop = shop
        self.shelves = Shelves(len(shop.products))

    @property
    def budget_left(self) -> Array:
        """Fen that each merchant would still spend on promotions in this period."""
        left: Array = np.maximum(0, self.budget - (self.promotions - self.promotions_then))
        return left

    @property
    def funds(self) -> Array:
        """Mask of the merchants who pay for promotions now."""
        funds: Array = self.willing & (self.budget_left > 0)
        return funds

    def charge(self, merchants: Array, amounts: Array) -> None:
        """Write down what merchants pay for promotions, fen each."""
        add_each(self.promotions, merchants, np.asarray(amounts, np.int64))

    def sell(self, rows: Array) -> None:
        """Write down accepted orders (rows of the order book), but for those that merchants placed themselves."""
        self._trade(rows, 1, parcels=1)

    def take_back(self, rows: Array, status: OrderStatus) -> None:
        """Write down refunded orders, as far as they were written down: as if never sold, except that a returned parcel
        travels twice.
        """
        self._trade(rows, -1, parcels=1 if status == OrderStatus.RETURNED else -1)

    def _trade(self, rows: Array, sign: int, parcels: int) -> None:
        book, config = self.shop.book, self.shop.config
        if self.shop.brushers:
            rows = rows[self.shop.people.fraud[book.person[rows]] != Fraud.BRUSHING]
        _trade(
            rows, sign, parcels * config.operations.shipping, config.catalog.take_rate, book.merchant, book.worth,
            book.cost, book.merchant_discount, self.sales, self.costs, self.promotions, self.orders,
        )  # fmt: skip


@nb.njit(cache=True)
def _trade(rows, sign, shipping, take_rate, merchant, worth, cost, discount, sales, costs, promotions, orders):  # type: ignore[no-untyped-def]
    """Add orders to their merchants' books (``sign`` 1), or take them back (-1): they still count as orders then.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
        Of the order book.
    sign, shipping : int
        Fen that are paid for parcels of each, whatever the sign.
    take_rate : float
        The platform's commission.
    merchant ... discount : ndarray
        Columns of the order book.
    sales ... orders : int64 ndarray, shape (merchants,)
        Columns of the books, changed in place.
    """
    for row in rows:
        whose = merchant[row]
        sales[whose] += sign * worth[row]
        costs[whose] += sign * (cost[row] + share_of_one(worth[row], take_rate)) + shipping
        promotions[whose] += sign * discount[row]
        orders[whose] += sign == 1


def create(shop: Shop) -> list[Merchant]:
    """Create the merchants of a run; ``shop.merchant_books`` must be there."""
    order = np.argsort(shop.products.merchant, kind="stable")
    bounds = np.searchsorted(shop.products.merchant[order], np.arange(1, shop.config.catalog.merchants))
    return [Merchant(shop, number, rows) for number, rows in enumerate(np.split(order, bounds))]


class Merchant(mesa.Agent):  # type: ignore[misc]
    """A merchant and its products.

    Parameters
    ----------
    shop : Shop
    number : int
        Its row in ``shop.merchant_books``.
    products : int64 ndarray
        Rows of the catalogue that it owns; may be none.

    Attributes
    ----------
    wakes : int
        Tick before which a step would do nothing (:meth:`sim.shop.Shop.step`).
    """

    def __init__(self, shop: Shop, number: int, products: Array) -> None:
        super().__init__(shop)
        self.shop, self.number, self.products = shop, number, products
        self.wakes = self._every = shop.clock.ticks(shop.config.merchants.review_every)

    def step(self) -> None:
        """Review the period, if one is over."""
        tick = self.shop.clock.tick
        if tick == 0 or tick % self._every:
            return
        self.wakes = tick + self._every
        if self.products.size:
            self.review()

    def review(self) -> None:
        """Look back on the period since the last review and decide for the next; see the module's docstring."""
        books, config, number = self.shop.merchant_books, self.shop.config.merchants, self.number
        demand = self.demand()
        books.periods[number] = _FADING * books.periods[number] + 1
        for name in ("sales", "costs", "promotions", "orders"):
            self._look_back(name, int(books[name][number]))
        self._look_back("all_orders", int(books.orders.sum()))
        sales, costs = books.usual_sales[number], books.usual_costs[number]
        earns_enough = bool(sales - costs - books.usual_promotions[number] >= config.margin_floor * sales)
        books.willing[number] = earns_enough
        books.budget[number] = share_of(max(0.0, sales / books.periods[number]), config.promotion_budget)
        if demand > 0 or not earns_enough:
            self.reprice(1 + config.price_step)
        elif demand < 0:
            self.reprice(1 - config.price_step)
        self.restock()

    def _look_back(self, name: str, total: int) -> None:
        """Add what a running total grew by since the last review to its fading sum."""
        books, number = self.shop.merchant_books, self.number
        usual, then = books[f"usual_{name}"], books[f"{name}_then"]
        usual[number] = _FADING * usual[number] + total - then[number]
        then[number] = total

    def demand(self) -> int:
        """Return 1 if the merchant got more of all orders than usual, -1 if fewer, 0 if luck explains it.

        Notes
        -----
        Counts are compared on Anscombe's scale, ``2 sqrt(n + 3/8)``, where a Poisson count has a standard deviation of
        one even if few are expected.
        """
        books, number = self.shop.merchant_books, self.number
        usual = books.usual_all_orders[number]
        if usual <= 0:
            return 0
        orders = books.orders[number] - books.orders_then[number]
        everybodys = books.orders.sum() - books.all_orders_then[number]
        expected = books.usual_orders[number] / usual * everybodys
        surprise = 2 * (math.sqrt(orders + 0.375) - math.sqrt(expected + 0.375))
        return int(surprise > _BY_LUCK) - int(surprise < -_BY_LUCK)

    def reprice(self, factor: float) -> None:
        """Change list prices by a factor, in whole fen, within the band and not below cost."""
        products, rows, band = self.shop.products, self.products, self.shop.config.merchants.price_band
        start = products.start_price[rows]
        low = np.maximum(np.ceil(start * (1 - band)), np.minimum(start, products.cost[rows]))
        high = np.floor(start * (1 + band))
        products.price[rows] = np.clip(np.rint(products.price[rows] * factor), np.maximum(low, 1), high)

    def restock(self) -> None:
        """Order up to the demand of cover and lead time; what ran out is taken to be wanted no less than before."""
        stock = self.shop.config.catalog.stock
        if stock.initial is None:
            return
        products, rows, shelves = self.shop.products, self.products, self.shop.merchant_books.shelves
        wanted = products.sold[rows] - shelves.sold[rows] + products.short[rows] - shelves.short[rows]
        ran_out = products.stock[rows] <= 0
        shelves.demand[rows] = np.where(ran_out, np.maximum(wanted, shelves.demand[rows]), np.maximum(wanted, 0))
        shelves.sold[rows] = products.sold[rows]
        shelves.short[rows] = products.short[rows]
        periods = (stock.cover + stock.lead_time) / self.shop.config.merchants.review_every
        target = np.ceil(shelves.demand[rows] * periods).astype(np.int64)
        units = np.maximum(0, target - products.stock[rows] - products.coming[rows])
        if units.any():
            self.shop.operations.reorder(rows[units > 0], units[units > 0])
