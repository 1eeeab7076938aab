"""Soft fraud: ordinary people who open a second account for what newcomers get.

A part of the people would, if it pays. Whoever is about to buy reads the public rules (:mod:`agents.bounties`): what
a new account that they invite themselves would earn on the same purchase, less the discounts that they would give up.
If that exceeds their scruple, they do not order; a second account signs up on their own device and address, invited
by the first if the first may invite, and orders the same product. Nobody does it twice. Whoever's second account is
refused has lost their order.

The order is real demand that moved to another account: it counts as the owner's in all figures of trade
(:func:`owners`), and as fraud only by what the account got.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
import numpy.typing as npt

from agents.bounties import read_rules, referrals
from sim.core import draws
from sim.core.draws import Stream
from sim.core.table import Column, Table, column
from sim.offers import NONE, Orders, Source
from sim.people import NEVER, Status

if TYPE_CHECKING:
    from sim.scenario.fraud import SecondAccountsConfig
    from sim.shop import Shop

Array = npt.NDArray[Any]
_WOULD, _SCRUPLE = range(2)


class Accounts(Table):
    """Second accounts, one row each."""

    owner: Column = column(np.int32)
    account: Column = column(np.int32, fill=NONE)  # a row of People once it is opened
    product: Column = column(np.int32)
    units: Column = column(np.int32)
    ordered: Column = column(np.bool_)


def create(shop: Shop) -> SecondAccounts | None:
    """Create what stands for everybody's temptation; None if the scenario has none."""
    config = shop.config.fraud.second_accounts
    return None if config is None else SecondAccounts(shop, config)


def owners(shop: Shop) -> Array:
    """Return whose account each is, rows of People: one's own, but second accounts are their owner's."""
    rows = np.arange(len(shop.people))
    if shop.second_accounts is not None:
        accounts = shop.second_accounts.accounts
        opened = np.flatnonzero(accounts.account >= 0)
        rows[accounts.account[opened]] = accounts.owner[opened]
    return rows


class SecondAccounts(mesa.Agent):  # type: ignore[misc]
    """Everybody's second accounts: one agent for the whole crowd.

    Parameters
    ----------
    shop : Shop
    config : SecondAccountsConfig

    Attributes
    ----------
    accounts : Accounts
    """

    def __init__(self, shop: Shop, config: SecondAccountsConfig) -> None:
        super().__init__(shop)
        self.shop, self.config = shop, config
        self.accounts = Accounts()

    def divert(self, orders: Orders) -> Orders:
        """Take out the orders that are to be placed by second accounts, and return the others."""
        tempted = self._would(orders.person)
        if not tempted.any():
            return orders
        rows = np.flatnonzero(tempted)
        rows = rows[self._gain(orders.take(rows)) > self._scruple(orders.person[rows])]
        self.accounts.append(
            rows.size, owner=orders.person[rows], product=orders.product[rows], units=orders.quantity[rows]
        )
        left = np.ones(len(orders), bool)
        left[rows] = False
        return orders.keep(left)

    def _would(self, persons: Array) -> Array:
        """Return who is of that kind and has not done it yet."""
        u = draws.uniform(self.shop.seed, Stream.SECOND_ACCOUNT, self.shop.people.uid[persons], k=_WOULD)
        mask: Array = (u < self.config.share) & (persons < self.shop.graph.persons)
        return mask & ~np.isin(persons, self.accounts.owner)

    def _gain(self, orders: Orders) -> Array:
        """Return the fen that each order would bring more from a second account."""
        bounty, paying = read_rules(self.shop, orders.product, orders.quantity), referrals(self.shop)
        invites = np.full(len(orders), bool(paying))
        for scheme in paying:
            invites &= scheme.promoters.may_promote(orders.person)
        reward = np.where(invites, bounty.on_sign_up + bounty.on_order, 0.0)
        gain: Array = reward + bounty.discount - orders.discount.sum(axis=1)
        return gain

    def _scruple(self, persons: Array) -> Array:
        config = self.config
        z = draws.normal(self.shop.seed, Stream.SECOND_ACCOUNT, self.shop.people.uid[persons], k=_SCRUPLE)
        scruple: Array = config.scruple * np.exp(config.scruple_sigma * z)
        return scruple

    def step(self) -> None:
        """Open the accounts that were thought of in this tick; let those that got in order."""
        shop, people, accounts = self.shop, self.shop.people, self.accounts
        opened = np.flatnonzero((accounts.account >= 0) & ~accounts.ordered)
        accounts.ordered[opened] = True
        rows = opened[people.joined[accounts.account[opened]] > NEVER]
        if rows.size:
            shop.queue_visits(accounts.account[rows], accounts.product[rows], units=accounts.units[rows])
        fresh = np.flatnonzero(accounts.account == NONE)
        if fresh.size:
            self._open(fresh)

    def _open(self, rows: Array) -> None:
        shop, people, owner = self.shop, self.shop.people, self.accounts.owner[rows]
        account = shop.add_second_accounts(owner)
        self.accounts.account[rows] = account
        by = np.where(people.status[owner] == Status.MEMBER, owner, NONE)
        for scheme in referrals(shop):
            by = np.where(scheme.promoters.may_promote(owner), by, NONE)
        shop.queue_signups(account, by, Source.RING)
        shop.count("second_accounts", rows.size)
