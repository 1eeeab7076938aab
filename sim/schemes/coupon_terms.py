"""What a coupon scheme can be told: every key of its section in a scenario.

A key that has no effect for the kind of coupon at hand is refused, so that nothing is said in vain.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from sim.core.config import assume
from sim.core.units import Fen, Hours, PositiveCount, PositiveFen, PositiveHours, Share
from sim.schemes.base import SchemeConfig
from sim.schemes.fission import FissionConfig
from sim.schemes.scope import Scope

ASSUMED = "assumption"
CLAIMED = ("general", "code", "member")  # coupons that a visitor must bother to claim

# Which ways of issuing a key has a meaning for; keys that are not listed have one for all.
_MEANT_FOR: dict[str, tuple[str, ...]] = {
    "claim_rate": (*CLAIMED, "purchase"),
    "per_person": (*CLAIMED, "gift", "purchase"),
    "segment": (*CLAIMED, "gift"),
    "code_known": ("code",),
    "code_passed_on": ("code",),
    "member_after": ("member",),
    "min_orders": ("member",),
    "dates": ("gift",),
    "order_at_least": ("purchase",),
    "fission": ("purchase",),
}


class CouponConfig(SchemeConfig):
    """Rules of a coupon."""

    kind: Literal["coupon"] = "coupon"
    coupon: Literal["general", "newcomer", "code", "gift", "member", "purchase"] = Field(
        "general", description="how it gets into wallets; see sim/schemes/coupon.py"
    )
    amount: PositiveFen | None = Field(None, description="what it takes off; give one of amount, percent, fission")
    percent: Share | None = Field(None, description="share of the price it takes off", gt=0)
    cap: PositiveFen | None = Field(None, description="most that a percentage takes off; default: no cap")
    threshold: Fen = Field(0, description="满减: the order must be worth at least so much before this coupon")
    scope: Scope = Field("all", description="what it can be used for")
    total: PositiveCount | None = Field(None, description="most coupons issued in all; default: no limit")
    per_person: PositiveCount | None = assume(
        1, source="usual setting of open-source malls", unit="most coupons a person; null: no limit"
    )
    claim_rate: Share = assume(
        0.3, source=ASSUMED, unit="of those who see it (purchase: of those who may start a red packet) bother"
    )
    valid_for: PositiveHours = assume(
        720.0, source="covers three quarters of redemptions (28 days, Complete Journey)", unit="from being issued"
    )
    valid_from: Hours = Field(0.0, description="first date of use, with valid_until")
    valid_until: Hours | None = Field(None, description="last date of use, instead of valid_for")
    segment: Literal["all", "new", "active", "lapsed", "never_bought"] = Field(
        "all",
        description="who may have it, by what the platform knows. new: signed up less than new_within ago; active, "
        "lapsed: bought before, and for the last time less than lapsed_after ago, or longer ago",
    )
    new_within: PositiveHours = assume(
        720.0, source="published platform practice: at most a month ago", unit="for segment: new"
    )
    lapsed_after: PositiveHours = assume(1440.0, source=ASSUMED, unit="for segment: active and lapsed")
    code_known: Share = assume(0.01, source=ASSUMED, unit="persons who know the code at the start")
    code_passed_on: Share = assume(0.5, source=ASSUMED, unit="messages of those who know the code that carry it")
    member_after: Hours | None = Field(None, description="member coupon: with the shop for so long, or with min_orders")
    min_orders: PositiveCount | None = Field(None, description="member coupon: so many orders, or member_after")
    dates: list[Hours] = Field([], description="gift: when the shop gives it, one each time")
    order_at_least: Fen = Field(0, description="purchase: what the buyer must pay for the order that earns it")
    fission: FissionConfig | None = Field(
        None, description="裂变红包: the order earns a red packet that friends help to fill"
    )
    stacks_with: list[str] | None = Field(
        None, description="kinds of schemes it combines with; default: all that stacking.combine pairs with coupon"
    )
    given_back: Literal["never", "unshipped", "always"] = Field(
        "unshipped", description="refunded orders that give their coupon back, if it is still valid then"
    )

    @model_validator(mode="after")
    def _says_nothing_in_vain(self) -> CouponConfig:
        for key, kinds in _MEANT_FOR.items():
            if self.coupon not in kinds and self._says(key):
                raise ValueError(f"{key} has no effect for coupon: {self.coupon} (only for {', '.join(kinds)})")
        if sum(value is not None for value in (self.amount, self.percent, self.fission)) != 1:
            raise ValueError("give exactly one of amount, percent and fission")
        if self.cap is not None and self.percent is None:
            raise ValueError("cap has no effect without percent")
        if self.coupon == "purchase" and self.fission is None and self._says("claim_rate"):
            raise ValueError("claim_rate has no effect for coupon: purchase without fission; the coupon is given")
        if self.fission is not None and self.total is not None and self.total <= self.fission.helpers:
            raise ValueError("total must cover a red packet: its sharer and fission.helpers")
        if self.segment != "new" and self._says("new_within"):
            raise ValueError("new_within has no effect without segment: new")
        if self.segment not in ("active", "lapsed") and self._says("lapsed_after"):
            raise ValueError("lapsed_after has no effect without segment: active or lapsed")
        return self

    @model_validator(mode="after")
    def _can_be_had_and_used(self) -> CouponConfig:
        if self.coupon == "member" and self.member_after is None and self.min_orders is None:
            raise ValueError("a member coupon needs member_after or min_orders")
        if self.coupon == "gift" and not self.dates:
            raise ValueError("a gift coupon needs dates")
        if any(date < self.start or (self.end is not None and date >= self.end) for date in self.dates):
            raise ValueError("dates must lie between start and end")
        if self.valid_until is not None and any(date >= self.valid_until for date in self.dates):
            raise ValueError("dates must lie before valid_until")
        if self.valid_until is None:
            if self.valid_from:
                raise ValueError("valid_from goes with valid_until")
        elif self._says("valid_for"):
            raise ValueError("give either valid_for or valid_until")
        elif self.valid_until <= max(self.start, self.valid_from):
            raise ValueError("valid_until must be later than start and valid_from")
        return self

    def _says(self, key: str) -> bool:
        """Whether a key differs from its default: a resolved file spells every default out."""
        return bool(getattr(self, key) != type(self).model_fields[key].default)
