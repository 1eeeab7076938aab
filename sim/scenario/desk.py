"""The scenario's section ``risk.review``: who looks into cases by hand, how fast, and how well."""

from __future__ import annotations

from pydantic import Field, model_validator

from sim.core.config import Section, assume
from sim.core.units import Hours, PositiveHours, Share

ASSUMED = "assumption"
_MIDNIGHT = 24.0


class DeskConfig(Section):
    """The manual review desk: analysts who take the earliest open case and clear or confirm it."""

    analysts: int = Field(3, ge=1, le=10_000, description="who review at the same time")
    case_time: PositiveHours = assume(
        0.2, source=ASSUMED, unit="work that a case takes, mean; exponential between cases"
    )
    opens: Hours = assume(9.0, source=ASSUMED, unit="after midnight: work begins", lt=_MIDNIGHT)
    closes: PositiveHours = assume(
        18.0, source=ASSUMED, unit="after midnight: work ends, and cases under review wait for the next opening",
        le=_MIDNIGHT,
    )  # fmt: skip
    weekends: bool = Field(False, description="whether analysts work on them; a run begins on a Monday")
    sensitivity: Share = assume(0.9, source=ASSUMED, unit="fraudulent cases that are confirmed")
    specificity: Share = assume(0.97, source=ASSUMED, unit="honest cases that are cleared")

    @model_validator(mode="after")
    def _opens_before_it_closes(self) -> DeskConfig:
        if self.closes <= self.opens:
            raise ValueError("closes must be later than opens")
        return self
