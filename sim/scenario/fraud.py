"""The scenario's section ``fraud``: who robs the shop, and at what cost."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sim.core.config import Section, assume
from sim.core.units import Fen, Hours, PositiveHours, Share

ASSUMED = "assumption"


class SecondAccountsConfig(Section):
    """Ordinary people who open a second account for what newcomers get."""

    share: Share = assume(
        0.22,
        source="US consumers who say that they used several accounts for offers (PYMNTS 2022)",
        unit="people who would, if it pays",
    )
    scruple: Fen = assume(1500, source=ASSUMED, unit="gain up to which the median of them does not")
    scruple_sigma: Annotated[float, Field(ge=0, le=4)] = assume(0.8, source=ASSUMED, unit="log-sd between them")


class FollowersConfig(Section):
    """Opinion leaders who buy followers that are not people, because fees are paid by the thousand."""

    kols: Share = assume(0.3, source=ASSUMED, unit="opinion leaders who would, if it pays")
    price: Fen = assume(3000, source=ASSUMED, unit="a thousand bought followers")
    batch: Share = assume(0.2, source=ASSUMED, unit="of what a KOL claims, bought at a time", gt=0)
    audit: Share = assume(
        0.1, source=ASSUMED, unit="chance that a post of a KOL whose followers are all bought is audited"
    )
    ban: Hours = assume(28 * 24.0, source=ASSUMED, unit="merchants pay nothing for so long after an audit")


class BrushingConfig(Section):
    """Merchants who have their own goods ordered by hired accounts, to be shown more."""

    merchants: Share = assume(0.1, source=ASSUMED, unit="merchants who would, if it pays")
    every: PositiveHours = assume(168.0, source=ASSUMED, unit="between looks at what it brought")
    orders: int = assume(10, source=ASSUMED, unit="orders at a time, of one product", ge=1, le=10_000)
    fee: Fen = assume(500, source=ASSUMED, unit="an order, to the hired buyer")
    account_cost: Fen = assume(300, source=ASSUMED, unit="an account that is hired for the first time")
    hope: Annotated[float, Field(ge=0, le=100)] = assume(
        1.0, source=ASSUMED, unit="units sold besides for each unit ordered so, as expected at first"
    )
    learning: Share = assume(0.3, source=ASSUMED, unit="weight of the last outcome in that belief")


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
    skill: Share = assume(
        0.5,
        source=ASSUMED,
        unit="chance that an account hides one of the facets it can be told by, if its ring does its best",
    )
    effort: Share | None = Field(
        None, description="of its skill that a ring uses; default: nothing, half or all of it, whichever pays best"
    )
    hiding_cost: Fen = assume(
        50, source=ASSUMED, unit="a facet that is hidden; an own device costs identity_cost besides"
    )
    identity_cost: Fen = assume(
        500, source=ASSUMED, unit="a device that is an account's own: an emulator, or a phone that is reset for each"
    )
    hiding_time: PositiveHours = assume(
        72.0, source=ASSUMED, unit="over which sign-ups are spread, and from then to the first order, if hidden"
    )
    device_cost: Fen = assume(2000, source=ASSUMED, unit="another device, with an address of its own")
    resale: Share = assume(0.75, source=ASSUMED, unit="of list price that goods bring")
    learning: Share = assume(0.3, source=ASSUMED, unit="weight of the last decision's outcome in a ring's belief")
    suspicion: Share = assume(
        0.0, source=ASSUMED, unit="of what is promised, that rings at first expect to lose if they hide nothing"
    )
    brushing: BrushingConfig | None = Field(None, description="brushing merchants; default: none")
    followers: FollowersConfig | None = Field(None, description="bought followers of KOLs; default: none")
    second_accounts: SecondAccountsConfig | None = Field(None, description="soft fraud; default: none")
    caution: Share = assume(0.1, source=ASSUMED, unit="profit over cost up to which a ring does not act")
