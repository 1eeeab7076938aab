"""The scenario's section ``shocks``: what goes wrong, and when; :mod:`sim.shocks` says what each does."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sim.core.clock import first_tick
from sim.core.config import Section, assume
from sim.core.units import Hours, PositiveHours, Share

ASSUMED = "assumption"


class Shock(Section):
    """Something that goes wrong at a moment of the run."""

    kind: str
    start: Hours = Field(description="since the start of the run")

    def first_tick(self, tick_hours: float) -> int:
        """Return the tick in which it strikes, the first that does not begin before ``start``."""
        return first_tick(self.start, tick_hours)


class Spell(Shock):
    """A shock that passes."""

    length: PositiveHours = Field(description="until it is over")

    @property
    def end(self) -> float:
        """When it is over, hours since the start of the run."""
        return self.start + self.length


class Attack(Shock):
    """Fraud rings beyond those of ``fraud.rings`` discover the shop, all at once."""

    kind: Literal["attack"]
    rings: int = Field(ge=1, le=1000, description="how many more")


class LeakedCode(Spell):
    """A coupon that is not for everyone can be had by some who were not meant to, until the shop notices."""

    kind: Literal["leaked_code"]
    scheme: str = Field(description="name of a coupon; any but a general one for all")
    reach: Share = Field(gt=0, description="persons who hear of it; fraud rings all do")


class KolScandal(Shock):
    """The opinion leaders with the largest audiences lose their name, and take trust in the shop with them."""

    kind: Literal["kol_scandal"]
    kols: int = Field(1, ge=1, le=10_000, description="how many, the largest audience first")
    trust_loss: Share = assume(
        0.3, source=ASSUMED, gt=0,
        unit="of trust and satisfaction of who follows or bought from them; their friends lose half of it",
    )  # fmt: skip


class StockOut(Spell):
    """Products cannot be sold, whatever is in stock."""

    kind: Literal["stock_out"]
    products: Share = Field(gt=0, description="share of the catalogue, drawn at random")


class WarehouseHalt(Spell):
    """No parcel leaves the warehouse."""

    kind: Literal["warehouse_halt"]


class DetectorOutage(Spell):
    """Risk control neither refuses nor flags anybody."""

    kind: Literal["detector_outage"]


class RivalSubsidy(Spell):
    """Another shop sells the same things for less."""

    kind: Literal["rival_subsidy"]
    discount: Share = Field(gt=0, le=0.95, description="off list prices")
    visit_elasticity: float = assume(
        0.5, source=ASSUMED, ge=0, le=5, unit="visits of own will are multiplied by (1 - discount)^visit_elasticity"
    )


AnyShock = Annotated[
    Attack | LeakedCode | KolScandal | StockOut | WarehouseHalt | DetectorOutage | RivalSubsidy,
    Field(discriminator="kind"),
]
