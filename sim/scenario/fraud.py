"""The scenario's section ``fraud``: who robs the shop, and at what cost."""

from __future__ import annotations

from pydantic import Field

from sim.core.config import Section, assume
from sim.core.units import Fen, Hours, PositiveHours, Share

ASSUMED = "assumption"


class FraudConfig(Section):
    """Rings of accounts that farm bonuses and newcomer coupons while it pays."""

    rings: int = Field(0, ge=0, le=10_000, description="number of rings")
    capacity: int = Field(200, ge=1, le=60_000, description="accounts a ring can open in all")
    batch: int = Field(10, ge=1, le=60_000, description="accounts a ring opens at a decision")
    enter: Hours = assume(72.0, source=ASSUMED, unit="rings discover the shop within")
    decide_every: PositiveHours = assume(
        24.0, source=ASSUMED, description="at least four ticks, until a batch has gone through"
    )
    account_cost: Fen = assume(300, source=ASSUMED, unit="an account: number, identity, warming up")
    action_cost: Fen = assume(50, source=ASSUMED, unit="an order placed by hand")
    devices: int = Field(4, ge=1, le=100_000, description="devices a ring owns, all at one address")
    device_cost: Fen = assume(2000, source=ASSUMED, unit="another device, with an address of its own")
    resale: Share = assume(0.75, source=ASSUMED, unit="of list price that goods bring")
    learning: Share = assume(0.3, source=ASSUMED, unit="weight of the last decision's outcome in a ring's belief")
    caution: Share = assume(0.1, source=ASSUMED, unit="profit over cost up to which a ring does not act")
