"""The terms of a group-buy: its section of the scenario, what can be bought in teams, and what a unit costs there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BeforeValidator, Field, model_validator

from sim.core.config import assume
from sim.core.ledger import share_of
from sim.core.units import Count, Hours, PositiveCount, PositiveFen, PositiveHours, Share
from sim.schemes.base import SchemeConfig
from sim.schemes.scope import Scope, in_scope

if TYPE_CHECKING:
    from sim.catalog import Products

Array = npt.NDArray[Any]
ASSUMED = "assumption"
PRACTICE = "published platform practice"
NEW_MEMBER_WITHIN = 30 * 24.0


def _number(key: object) -> object:
    return int(key) if isinstance(key, str) and key.isdecimal() else key  # JSON has no keys but text


ProductNumber = Annotated[int, BeforeValidator(_number), Field(ge=0)]


class GroupBuyConfig(SchemeConfig):
    """Rules of a group-buy."""

    kind: Literal["group_buy"] = "group_buy"
    scope: Scope = Field("all", description="what can be bought in teams")
    team_size: int = Field(3, ge=2, le=100, description="places of a team, the opener's included")
    discount: Share = assume(0.15, source=ASSUMED, unit="off the list price of a unit")
    discounts: dict[ProductNumber, Share] = Field({}, description="discount of single products, by number")
    prices: dict[ProductNumber, PositiveFen] = Field({}, description="team price of a unit of single products")
    window: PositiveHours = assume(24.0, source=PRACTICE, unit="from opening to deadline")
    units_per_order: PositiveCount | None = Field(None, description="most units an order; default: no limit")
    orders_per_person: PositiveCount | None = Field(None, description="most orders a person, refunded ones taken off")
    orders_in_all: PositiveCount | None = Field(None, description="most orders in all, refunded ones taken off")
    set_aside: Share = Field(0.0, description="part of each product's stock kept for teams, which then get no other")
    set_aside_units: Count = Field(0, description="the same in units of each product")
    join: Literal["anyone", "new_members"] = Field("anyone", description="who may join; anyone may open a team")
    new_member_within: PositiveHours = assume(
        NEW_MEMBER_WITHIN, source=PRACTICE, unit="a new member signed up at most so long ago, and has no order"
    )
    virtual_places: Count = Field(0, description="places (a head count) that the house fills at the deadline")
    leader: Literal["none", "free", "discount", "rebate"] = Field(
        "none",
        description="what the opener gets. free: their money back when the team fills; discount: leader_rate off the "
        "team price at once; rebate: leader_rate of what they paid, once it can no longer be returned",
    )
    leader_rate: Share = Field(0.0, description="for leader: discount and leader: rebate")
    lobby: Share = assume(
        0.1, source=ASSUMED, unit="chance that who sees a product sees an open team of it; 0: teams of friends only"
    )
    nearly_full_appeal: Annotated[float, Field(ge=-10, le=10)] = assume(
        0.5, source="assumption; a nearly full team looks safe", unit="logits for a full team, in proportion before"
    )
    friend_appeal: Annotated[float, Field(ge=-10, le=10)] = assume(
        2.2,
        source="calibrated with sharing.click.team_call: about a fifth of teams of three fill (operators claim up to "
        "25%) and a third of teams of two (BeiBei, ICDE 2021, in a far larger market: 77% of mostly two)",
        unit="logits for the team that a friend called to",
    )
    wariness: Annotated[float, Field(ge=0, le=10)] = assume(
        1.0,
        source="assumption; a team that never fills is worth nothing",
        unit="logits lost per ln(1 / chance of filling, as seen so far)",
    )
    expected_fill: Annotated[float, Field(gt=0, le=1)] = assume(
        0.5, source=ASSUMED, unit="chance of filling that people expect at first; weighs as 20 teams that are over"
    )
    refund_after: Hours = assume(0.0, source=PRACTICE, unit="from a failed team's deadline to the refund")

    @model_validator(mode="after")
    def _says_nothing_in_vain(self) -> GroupBuyConfig:
        if (self.leader in ("discount", "rebate")) != (self.leader_rate > 0):
            raise ValueError("leader_rate goes with leader: discount or rebate, and these need it to be above 0")
        if self.join == "anyone" and self.new_member_within != NEW_MEMBER_WITHIN:
            raise ValueError("new_member_within has no effect without join: new_members")
        if self.virtual_places >= self.team_size:
            raise ValueError("virtual_places is a head count below team_size, because the opener is never virtual")
        if self.set_aside and self.set_aside_units:
            raise ValueError("give either set_aside (a share) or set_aside_units")
        if twice := sorted(self.prices.keys() & self.discounts.keys()):
            raise ValueError(f"product {twice[0]} has both a price and a discount")
        return self


class Terms:
    """What can be bought in teams, and for how much.

    Parameters
    ----------
    config : GroupBuyConfig
    products : Products
        The catalogue.

    Attributes
    ----------
    in_scope : bool ndarray, shape (products,)
    saving, opener_saving : int64 ndarray, shape (products,)
        Fen off a unit for those who join and for those who open a team, as of the last :meth:`reckon`.

    Raises
    ------
    ValueError
        If the config names a category or product that the catalogue does not have, or prices a product out of scope.
    """

    def __init__(self, config: GroupBuyConfig, products: Products) -> None:
        self.config = config
        name = config.name or config.kind
        self.in_scope = in_scope(config.scope, products, name)
        for key in ("discounts", "prices"):
            for number in getattr(config, key):
                if number >= len(products) or not self.in_scope[number]:
                    raise ValueError(f"{name}: {key} names product {number}, which is not in scope")
        self._priced = np.zeros(0, np.int64)
        self.reckon(products.price)

    def reckon(self, price: Array) -> None:
        """Reckon savings anew if list prices (fen, shape (products,)) have changed."""
        if np.array_equal(price, self._priced):
            return
        config = self.config
        self._priced = price.copy()
        rate = np.full(price.size, config.discount)
        rate[list(config.discounts)] = list(config.discounts.values())
        self.saving = share_of(price, rate)
        fixed = list(config.prices)
        self.saving[fixed] = np.maximum(0, price[fixed] - np.array(list(config.prices.values()), np.int64))
        at_once = config.leader_rate if config.leader == "discount" else 0.0
        self.opener_saving = self.saving + share_of(price - self.saving, at_once)

    def promise(self, pay: Array) -> Array:
        """Return what openers who pay so much (fen) will get back if their team fills, in fen."""
        return share_of(pay, self.promised_share)

    @property
    def promised_share(self) -> float:
        """Part of what openers pay that they get back if their team fills."""
        return {"free": 1.0, "rebate": self.config.leader_rate}.get(self.config.leader, 0.0)
