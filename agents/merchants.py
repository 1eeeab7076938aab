"""Merchants: what they earn, and how they answer with prices, promotion money and stock.

:class:`MerchantBooks` keeps running totals as orders come and go, so that a review never scans the order book. Every
``review_every`` a :class:`Merchant` looks at what happened since the last review and

- stops paying for promotions if its realised margin is below ``margin_floor``, and resumes once it is not;
- raises its prices by ``price_step`` if the margin is below the floor or demand is strong, lowers them if demand is
  weak, within ``price_band`` of where they began and never below cost;
- sets its promotion budget of the next period, a share of the sales of this one (until the first review it has
  nothing to go by and pays for every promotion);
- reorders what its stock, with what is coming, does not cover.

Demand is strong or weak against the market, as shops publish it: a merchant compares the units it sold with its usual
share of all units sold, and takes a difference of two Poisson standard deviations for more than luck. So merchants as a
whole do not drift when the shop grows or shrinks.

The budget counts what the merchant pays of discounts, and fees and commissions of KOLs. It is looked at before a
promotion is granted, tick by tick, so the promotions of one tick may pass it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
import numpy.typing as npt

from sim.core.ledger import share_of
from sim.core.table import Column, Table, column
from sim.orders import OrderStatus

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
UNLIMITED = np.iinfo(np.int64).max
_BY_LUCK = 2.0  # standard deviations of a count that chance explains
_ADAPTATION = 0.5  # weight of the last period in what a merchant takes for its usual share


class Shelves(Table):
    """What merchants noted of each product at the last review, one row a product."""

    sold: Column = column(np.int64)  # units, since the start
    short: Column = column(np.int64)  # orders refused for want of stock, since the start
    demand: Column = column(np.float64)  # units a review period


class MerchantBooks(Table):
    """Running totals of each merchant since the start, and what they were at the last review; money in fen.

    Parameters
    ----------
    shop : Shop
        Its catalogue says how many merchants there are.
    """

    sales: Column = column(np.int64)  # list value of orders, those taken back taken off
    costs: Column = column(np.int64)  # goods, shipping, and the platform's commission
    promotions: Column = column(np.int64)  # the merchant's part of discounts; fees and commissions of KOLs
    units: Column = column(np.int64)
    sales_then: Column = column(np.int64)
    costs_then: Column = column(np.int64)
    promotions_then: Column = column(np.int64)
    units_then: Column = column(np.int64)
    market_then: Column = column(np.int64)  # units of all merchants
    # Set at reviews.
    willing: Column = column(np.bool_, fill=True)
    budget: Column = column(np.int64, fill=UNLIMITED)
    usual_share: Column = column(np.float64, fill=np.nan)  # of all units sold

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
        np.add.at(self.promotions, merchants, amounts)

    def sell(self, rows: Array) -> None:
        """Write down accepted orders (rows of the order book)."""
        self._trade(rows, 1, parcels=1)

    def take_back(self, rows: Array, status: OrderStatus) -> None:
        """Write down refunded orders: as if never sold, except that a returned parcel travels twice."""
        self._trade(rows, -1, parcels=1 if status == OrderStatus.RETURNED else -1)

    def _trade(self, rows: Array, sign: int, parcels: int) -> None:
        book, config = self.shop.book, self.shop.config
        merchant, worth = book.merchant[rows], book.worth[rows]
        taken = share_of(worth, config.catalog.take_rate)
        np.add.at(self.sales, merchant, sign * worth)
        np.add.at(self.costs, merchant, sign * (book.cost[rows] + taken) + parcels * config.operations.shipping)
        np.add.at(self.promotions, merchant, sign * book.merchant_discount[rows])
        np.add.at(self.units, merchant, sign * book.quantity[rows].astype(np.int64))


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
    """

    def __init__(self, shop: Shop, number: int, products: Array) -> None:
        super().__init__(shop)
        self.shop, self.number, self.products = shop, number, products
        self._every = shop.clock.ticks(shop.config.merchants.review_every)

    def step(self) -> None:
        """Review the period, if one is over."""
        tick = self.shop.clock.tick
        if tick > 0 and tick % self._every == 0 and self.products.size:
            self.review()

    def review(self) -> None:
        """Look back on the period since the last review and decide for the next; see the module's docstring."""
        books, config, number = self.shop.merchant_books, self.shop.config.merchants, self.number
        sales = int(books.sales[number] - books.sales_then[number])
        costs = int(books.costs[number] - books.costs_then[number])
        promotions = int(books.promotions[number] - books.promotions_then[number])
        earns_enough = sales - costs - promotions >= config.margin_floor * sales
        demand = self.demand()
        books.willing[number] = earns_enough
        books.budget[number] = share_of(max(0, sales), config.promotion_budget)
        if demand > 0 or not earns_enough:
            self.reprice(1 + config.price_step)
        elif demand < 0:
            self.reprice(1 - config.price_step)
        self.restock()
        for name in ("sales", "costs", "promotions", "units"):
            books[f"{name}_then"][number] = books[name][number]
        books.market_then[number] = books.units.sum()

    def demand(self) -> int:
        """Return 1 if the merchant sold more of the market than usual, -1 if less, 0 if luck explains it."""
        books, number = self.shop.merchant_books, self.number
        units = int(books.units[number] - books.units_then[number])
        market = int(books.units.sum() - books.market_then[number])
        usual = float(books.usual_share[number])
        if market <= 0:
            return 0
        share = units / market
        books.usual_share[number] = share if math.isnan(usual) else usual + _ADAPTATION * (share - usual)
        expected = usual * market
        if math.isnan(usual) or abs(units - expected) <= _BY_LUCK * math.sqrt(max(1.0, expected)):
            return 0
        return 1 if units > expected else -1

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
