"""Brushing merchants (刷单): they have their own goods ordered by hired accounts, so that the shop shows them more.

A part of the merchants would. Every so often such a merchant looks at its books and has some of a product's units
ordered by accounts that are hired for it, if it expects more than that costs::

    cost   = fee + take_rate pay + shipping      of an order: the hired buyer, the platform's part, an empty parcel
    income = discount + lift margin              what schemes add to its own money, and what it will sell besides

``lift`` is a belief: organic units sold until the next look, beyond those of the period before, for each unit that was
ordered so. It starts with hope, follows what happened by ``learning``, and hope comes back slowly, so that who gave up
tries again. The product is the one that promises most. The money of an order goes round in a circle, and so do the
goods: they come back to the shelf once the order is final. Neither is counted as trade of the merchant or of the shop.

References
----------
Xu, Liu, Wang & Stavrou (2015), "E-commerce reputation manipulation: the emergence of
reputation-escalation-as-a-service".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
import numpy.typing as npt

from agents.bounties import read_rules
from agents.ring_tables import Devices
from sim.core import draws
from sim.core.draws import Stream
from sim.core.table import Column, Table, column
from sim.labels import Fraud
from sim.offers import NONE, Source
from sim.orders import OrderStatus
from sim.people import NEVER

if TYPE_CHECKING:
    from sim.scenario.fraud import BrushingConfig
    from sim.shop import Shop

Array = npt.NDArray[Any]
_HOPE_RETURNS = 0.05  # of the way back to where hope began, at each look
_WOULD, _FIRST_LOOK = range(2)


class Hired(Table):
    """Accounts that one merchant has hired, or tried to."""

    person: Column = column(np.int32)
    product: Column = column(np.int32)  # to order next, -1: none


def create(shop: Shop) -> list[Brusher]:
    """Create the brushing merchants of a run: those of lowest scruple, at least one if there are to be any."""
    config = shop.config.fraud.brushing
    if config is None:
        return []
    sellers = np.unique(shop.products.merchant)
    scruple = draws.uniform(shop.seed, Stream.BRUSHING, sellers, k=_WOULD)
    number = max(1, round(config.merchants * sellers.size)) if config.merchants > 0 else 0
    would = np.sort(sellers[np.argsort(scruple, kind="stable")[:number]])
    devices = shop.rings[0].devices if shop.rings else Devices()
    return [Brusher(shop, int(merchant), config, devices) for merchant in would]


class Brusher(mesa.Agent):  # type: ignore[misc]
    """A merchant who has its own goods ordered.

    Parameters
    ----------
    shop : Shop
    merchant : int
    config : BrushingConfig
    devices : Devices
        Of all rings and hired accounts.

    Attributes
    ----------
    lift : float
        Belief: organic units for each unit ordered so.
    brushed : int
        Orders placed so far.
    spent : float
        Fen so far, what schemes added taken off.
    """

    def __init__(self, shop: Shop, merchant: int, config: BrushingConfig, devices: Devices) -> None:
        super().__init__(shop)
        self.shop, self.merchant, self.config, self._devices = shop, merchant, config, devices
        self.ring = len(shop.rings) + merchant
        self.products = np.flatnonzero(shop.products.merchant == merchant)
        self.hired = Hired()
        self.lift = config.hope
        self.brushed = 0
        self.spent = 0.0
        self._every = shop.clock.ticks(config.every)
        self._first = int(draws.integers(shop.seed, Stream.BRUSHING, merchant, self._every, k=_FIRST_LOOK))
        self._book_read = 0
        self._to_come = np.zeros(0, np.int64)  # own orders that are not final
        self._organic = np.zeros(self.products.size, np.int64)  # units since the last look
        self._before = np.zeros(self.products.size, np.int64)  # and in the period before
        self._last = NONE, 0  # column of the product brushed last, and units

    def step(self) -> None:
        """Let hired accounts order; look at the books, if it is time."""
        self._read_books()
        ready = np.flatnonzero(self.hired.product >= 0)
        if ready.size:
            person, product = self.hired.person[ready], self.hired.product[ready]
            self.hired.product[ready] = NONE
            is_in = self.shop.people.joined[person] > NEVER
            self.shop.queue_visits(person[is_in], product[is_in])
        if self.shop.clock.tick % self._every == self._first:
            self.learn()
            self.decide()

    def _read_books(self) -> None:
        """Count organic sales and own orders; put goods back that have come round."""
        shop, book = self.shop, self.shop.book
        fresh = np.arange(self._book_read, len(book))
        self._book_read = len(book)
        fresh = fresh[book.merchant[fresh] == self.merchant]
        own = shop.people.ring[book.person[fresh]] == self.ring
        np.add.at(self._organic, np.searchsorted(self.products, book.product[fresh[~own]]), book.quantity[fresh[~own]])
        mine = fresh[own]
        if mine.size:
            self.brushed += mine.size
            paid = book.pay[mine] + book.merchant_discount[mine]
            self.spent += float((paid - (1 - shop.config.catalog.take_rate) * book.worth[mine]).sum())
            self.spent += mine.size * (self.config.fee + shop.config.operations.shipping)
        self._to_come = np.concatenate([self._to_come, mine])
        if self._to_come.size:
            status = book.status[self._to_come]
            final = self._to_come[status == OrderStatus.CONFIRMED]
            np.add.at(shop.products.stock, book.product[final], book.quantity[final])
            over = (OrderStatus.CONFIRMED, OrderStatus.RETURNED, OrderStatus.REFUNDED)
            self._to_come = self._to_come[~np.isin(status, over)]

    def learn(self) -> None:
        """Compare organic sales of the product brushed last with those of the period before."""
        at, units = self._last
        if units > 0:
            seen = float(self._organic[at] - self._before[at]) / units
            self.lift += self.config.learning * (max(0.0, seen) - self.lift)
        self.lift += _HOPE_RETURNS * (self.config.hope - self.lift)
        self._before, self._organic = self._organic, np.zeros_like(self._organic)
        self._last = NONE, 0

    def decide(self) -> None:
        """Have the product ordered that promises most, if it promises anything."""
        shop, config = self.shop, self.config
        price, cost = shop.products.price[self.products], shop.products.cost[self.products]
        take_rate = shop.config.catalog.take_rate
        discount = read_rules(shop).by_platform[self.products]
        margin = (1 - take_rate) * price - cost - shop.config.operations.shipping
        newcomers = discount > config.account_cost  # worth a fresh account for every order
        gain = self.lift * margin + np.where(newcomers, discount - config.account_cost, 0)
        gain -= config.fee + shop.config.operations.shipping + take_rate * price
        gain[shop.products.stock[self.products] < config.orders] = -np.inf
        best = int(gain.argmax())
        if gain[best] > 0:
            self._brush(best, fresh=bool(newcomers[best]))

    def _brush(self, at: int, fresh: bool) -> None:
        """Order some units of a product through fresh accounts, or through those that are there already."""
        shop, number = self.shop, self.config.orders
        self._last = at, number
        idle = np.flatnonzero(shop.people.joined[self.hired.person] > NEVER)[: 0 if fresh else number]
        self.hired.product[idle] = self.products[at]
        missing = number - idle.size
        if missing == 0:
            return
        # Each hired account is a stranger's: a device and an address of its own.
        rows = self._devices.append(missing, ring=self.ring, takes=1)
        self._devices.address[rows] = shop.graph.persons + 2 * rows
        device, address = shop.graph.persons + rows, self._devices.address[rows]
        persons = shop.add_fakes(self.ring, missing, device, address, Fraud.BRUSHING)
        self.hired.append(missing, person=persons, product=self.products[at])
        self.spent += missing * self.config.account_cost
        shop.queue_signups(persons, np.full(missing, NONE), Source.RING)


def metrics(shop: Shop) -> dict[str, float]:
    """Return ``brushed_orders``; NaN where no merchant would."""
    brushers = list(shop.agents_by_type.get(Brusher, ()))
    return {"brushed_orders": float(sum(b.brushed for b in brushers)) if brushers else float("nan")}
