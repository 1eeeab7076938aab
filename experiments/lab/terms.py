"""What a plan may say about a design, and about exposure."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sim.core.clock import HOURS_A_DAY
from sim.core.config import Section, assume
from sim.core.units import Hours, PositiveHours, Share

NAME = Field(None, pattern=r"^[A-Za-z0-9_-]{1,40}$", description="what the report calls it; default: its kind")
Outcome = Literal["joined", "brought", "bought", "orders", "gmv"]
OUTCOMES: dict[str, str] = {
    "joined": "persons who signed up",
    "brought": "persons who signed up by the inviter's message",
    "bought": "persons with an order",
    "orders": "orders that were not undone before shipping",
    "gmv": "yuan paid for these orders",
}
"""Each outcome of a person, counted from the start of the experiment."""


class DesignTerms(Section):
    """What designs of every kind can be told."""

    kind: str
    name: str | None = NAME

    @property
    def label(self) -> str:
        """What the report calls it."""
        return self.name or self.kind

    @property
    def outcomes(self) -> tuple[str, ...]:
        """Outcomes that the design can tell about."""
        return tuple(OUTCOMES)


class PersonTerms(DesignTerms):
    """A coin for each person: what most companies do."""

    kind: Literal["person"]


class ClusterTerms(DesignTerms):
    """Whole communities of the network, found by the Leiden method."""

    kind: Literal["cluster"]
    resolution: float = assume(
        1.0, source="modularity (Traag, Waltman & van Eck 2019)", description="above 1: more and smaller communities",
        gt=0, le=1000,
    )  # fmt: skip


class EgoTerms(DesignTerms):
    """Egos together with all their neighbours; egos that share no neighbour."""

    kind: Literal["ego"]


class SwitchbackTerms(DesignTerms):
    """On and off for everybody, by blocks of days."""

    kind: Literal["switchback"]
    block: PositiveHours = assume(72.0, source="assumption", unit="whole days on or off at a stretch")
    washout: Hours = assume(24.0, source="assumption", unit="whole days at the beginning of a block, not looked at")

    @model_validator(mode="after")
    def _whole_days(self) -> SwitchbackTerms:
        for key in ("block", "washout"):
            if getattr(self, key) % HOURS_A_DAY:
                raise ValueError(f"{key} must be whole days")
        if self.washout >= self.block:
            raise ValueError("washout must be shorter than block")
        return self

    @property
    def outcomes(self) -> tuple[str, ...]:
        """All that add up over days: not whether somebody bought at all."""
        return tuple(name for name in OUTCOMES if name != "bought")


class MerchantTerms(DesignTerms):
    """On the products of some merchants only."""

    kind: Literal["merchant"]

    @property
    def outcomes(self) -> tuple[str, ...]:
        """What merchants have a share in."""
        return ("orders", "gmv")


AnyDesign = Annotated[
    PersonTerms | ClusterTerms | EgoTerms | SwitchbackTerms | MerchantTerms, Field(discriminator="kind")
]


class ExposureTerms(Section):
    """When a person counts as exposed to the treatment of neighbours, for Horvitz-Thompson and Hajek."""

    threshold: Share = assume(0.75, source="assumption", unit="of the neighbours, like oneself", gt=0.5, le=1.0)
    overlap: Share = assume(
        0.01, source="assumption", unit="least chance of either exposure; others are left out", lt=0.5
    )
    draws: int = assume(200, source="assumption", unit="repetitions of the design", ge=20, le=10_000)


def plain(terms: DesignTerms) -> dict[str, Any]:
    """Return what determines a design, without its name."""
    return terms.model_dump(mode="json", exclude={"name"})
