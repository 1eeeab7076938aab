"""What every incentive scheme is: a config, its tables, and the hooks it needs.

A scheme subclasses :class:`Scheme`, declares a pydantic ``Config`` (a :class:`SchemeConfig` with a literal ``kind``)
and implements only the hooks it needs. The shop calls them in the order of a day:

=================  ====================================================================================
hook               when, and what for
=================  ====================================================================================
``on_signup``      persons became members (bonuses, newcomer coupons)
``gift``           what a share promises its recipient for signing up, yuan
``least_worth``    what an order must be worth for visitors to profit
``offer``          add options for the visitors, or take something off their prices
``screen``         which proposed orders the scheme can honour (team places, stock set aside, limits, budget)
``settle``         orders were accepted: book money and state
``reward``         what a share is expected to earn its sharer, yuan
``calls``          who needs friends to complete something (a team, a red packet)
``on_exposure``    who saw which shares
``on_click``       who clicked on which shares
``on_refund``      orders were refunded: claw back
``on_confirm``     orders can no longer be returned: release what waited for it
``close``          end of the tick: deadlines, expiries, payouts
``metrics``        figures of this scheme for the report
``facts``          what a reader should know of how it was used
=================  ====================================================================================

All money moves through ``self.pay``; a budget, if set, is never overspent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sim.core.clock import first_tick
from sim.core.config import Section, assume
from sim.core.ledger import Account, share_of
from sim.core.units import Fen, Hours, Share

if TYPE_CHECKING:
    from sim.assignment import Assignment
    from sim.offers import Offers, Orders, Shares, Signups
    from sim.shop import Shop

Array = npt.NDArray[Any]
UNLIMITED = int(np.iinfo(np.int64).max)


class SchemeConfig(Section):
    """What every scheme can be told."""

    kind: str
    name: str | None = Field(None, description="what reports, calendar and --set call it; default: its kind")
    start: Hours = assume(0.0, source="scheme opens with the run", unit="since the start of the run")
    end: Hours | None = Field(None, description="since the start of the run; default: the end of the run")
    budget: Fen | None = Field(None, description="most that it may cost, never overspent; default: no limit")
    merchant_share: Share = assume(
        0.0, source="the platform pays unless the scenario says otherwise", unit="of the cost that merchants pay"
    )

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> SchemeConfig:
        if self.end is not None and self.end <= self.start:
            raise ValueError("end must be later than start")
        return self


class Scheme:
    """An incentive mechanism within one run.

    Parameters
    ----------
    shop : Shop
        The shop it works in.
    config : SchemeConfig
        Its section of the scenario.
    number : int
        Its number in the ledger, from 1; 0 is the shop's own trade.
    """

    Config: ClassVar[type[SchemeConfig]]
    kind: ClassVar[str]
    combines_with: ClassVar[Literal["all", "listed"]] = "listed"
    gift_follows: ClassVar[Literal["sharer", "recipient"]] = "recipient"  # whose treatment decides, in an experiment
    assignment: Assignment | None = None  # on whom, where and when it is tried; None: no experiment

    def __init__(self, shop: Shop, config: Any, number: int) -> None:
        self.shop = shop
        self.config = config
        self.number = number
        self.name: str = config.name or config.kind
        self.spent = 0
        self.used = 0
        clock = shop.clock
        self._first = first_tick(config.start, clock.tick_hours)
        self._last = clock.horizon if config.end is None else clock.ticks(config.end)

    def rank_among(self, family: type[SchemeConfig]) -> int:
        """Return how many schemes of a family of kinds stand before this one in the scenario."""
        return sum(isinstance(section, family) for section in self.shop.config.schemes[: self.number - 1])

    @property
    def is_open(self) -> bool:
        """Whether the scheme runs in this tick: its own dates, the campaign calendar, and an experiment's schedule."""
        tick = self.shop.clock.tick
        if self.assignment is not None and not self.assignment.runs(tick):
            return False
        return self._first <= tick < self._last and self.name not in self.shop.operations.closed

    def admits(self, persons: Array) -> Array:
        """Return a mask of the persons who may take part; all, unless an experiment tries the scheme on some."""
        if self.assignment is None:
            return np.ones(persons.shape, bool)
        return self.assignment.has(self.shop.people, persons)

    @property
    def budget_left(self) -> int:
        """Fen that may still be spent (a very large number without a budget)."""
        return UNLIMITED if self.config.budget is None else max(0, self.config.budget - self.spent)

    def within_budget(self, amounts: Array) -> Array:
        """Return a mask of the amounts (fen, in order of precedence) that the budget still covers."""
        if self.config.budget is None:
            return np.ones(len(amounts), bool)
        return np.cumsum(amounts) <= self.budget_left

    def pay(
        self, target: Account, amounts: Array, persons: Array | int = -1, *, source: Account = Account.PLATFORM
    ) -> int:
        """Move money on behalf of this scheme; what the platform or merchants pay counts against the budget.

        Parameters
        ----------
        target, source : Account
            Who receives, who pays.
        amounts : ndarray of int64
            Fen.
        persons : ndarray of int, optional
            The person concerned by each.

        Returns
        -------
        int
            Fen moved.
        """
        moved = self.shop.post(source, target, amounts, self.number, persons)
        if source in (Account.PLATFORM, Account.MERCHANTS):
            self.spent += moved
        if target in (Account.PLATFORM, Account.MERCHANTS):
            self.spent -= moved
        return moved

    def fund(self, account: Account, amounts: Array, persons: Array) -> None:
        """Let platform and merchants pay into an account what persons get, fen each, and note their benefit."""
        for payer, part in self._payers(amounts):
            self.pay(account, part, persons, source=payer)
        self.shop.benefit(persons, amounts, self.number)

    def take_back(self, account: Account, amounts: Array, persons: Array) -> None:
        """Undo :meth:`fund`."""
        for payer, part in self._payers(amounts):
            self.pay(payer, part, persons, source=account)
        self.shop.benefit(persons, -amounts, self.number)

    def by_merchants(self, amounts: Array) -> Array:
        """Return the part of amounts that merchants pay, fen."""
        part: Array = share_of(amounts, self.config.merchant_share)
        return part

    def _payers(self, amounts: Array) -> list[tuple[Account, Array]]:
        """Return who pays which part of amounts, fen: the platform, and merchants if they have a share in it."""
        if self.config.merchant_share == 0:
            return [(Account.PLATFORM, amounts)]
        by_merchants = self.by_merchants(amounts)
        return [(Account.PLATFORM, amounts - by_merchants), (Account.MERCHANTS, by_merchants)]

    # Hooks, in the order of a day. The defaults do nothing.

    def on_signup(self, signups: Signups) -> None:
        """Persons became members."""

    def gift(self, sharers: Array, kind: int) -> Array | float:
        """Return what a share of a kind promises its recipient for signing up, in yuan, shape of ``sharers``."""
        return 0.0

    def least_worth(self, persons: Array) -> Array | None:
        """Return what an order must be worth for each person to profit now, fen, 0 if that does not matter; None: to
        nobody it does.
        """
        return None

    def options(self, slate: int) -> int:
        """Return how many columns of options :meth:`offer` will add beside slates of so many products; what is
        announced here is added without moving the others.
        """
        return 0

    def offer(self, offers: Offers) -> None:
        """Add options for the visitors, or take something off their prices."""

    def check_out(self, orders: Orders) -> None:
        """Let buyers change the orders that they are about to place."""

    def discount_for_units(self, orders: Orders, units: Array) -> Array:
        """Return what the scheme would take off orders of so many units instead, fen; -1 where it would not allow that.

        By default, orders from which it takes nothing off may have any number of units, and the others no other.
        """
        discount: Array = -(orders.discount[:, self.number - 1] > 0).astype(np.int64)
        return discount

    def screen(self, orders: Orders) -> Array | None:
        """Return a mask of the proposed orders that the scheme can honour, or None for all."""
        return None

    def settle(self, orders: Orders) -> None:
        """Book money and state of accepted orders. Orders' rows in the order book are ``orders.row``."""

    def reward(self, sharers: Array, kind: int) -> Array | float:
        """Return what a share of a kind is expected to earn its sharer, in yuan, shape of ``sharers``."""
        return 0.0

    def calls(self, persons: Array) -> Array | None:
        """Return a mask of persons who need friends to complete something, or None for nobody."""
        return None

    def on_exposure(self, shares: Shares) -> None:
        """Persons saw these shares."""

    def on_click(self, shares: Shares) -> None:
        """Persons clicked on these shares."""

    def on_refund(self, rows: Array) -> None:
        """Orders (rows of the order book) were refunded: claw back."""

    def on_confirm(self, rows: Array) -> None:
        """Orders (rows of the order book) can no longer be returned."""

    def close(self) -> None:
        """Deadlines, expiries and payouts that fall due at the end of this tick."""

    def metrics(self) -> dict[str, float]:
        """Return figures of this scheme by metric name."""
        return {}

    def facts(self) -> dict[str, Any]:
        """Return what a reader should know: how often it was used, what it cost."""
        return {"used": self.used, "spent_yuan": self.spent / 100}
