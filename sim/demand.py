"""How often people buy when nobody pushes them: NBD visits with BG/NBD dropout, and what a basket is worth.

A demand profile is a small YAML file (``scenarios/profiles``) with figures fitted to real purchase logs, each with its
source. The scenario may replace single figures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy import stats

from sim.core.clock import HOURS_A_DAY
from sim.core.config import Section
from sim.people import beta_quantile, gamma_quantile

if TYPE_CHECKING:
    from sim.scenario.schema import DemandConfig

Array = npt.NDArray[Any]
DAYS_A_WEEK = 7
WEB_SHOPS = "assumption; web shops convert 2-4% of visits"
PROFILES = Path(__file__).parents[1] / "scenarios" / "profiles"


class RateFigures(Section):
    """Gamma distributed purchase rates: shape, and mean purchases a customer-week while active."""

    shape: float = Field(gt=0)
    mean: float = Field(gt=0)
    source: str


class DropoutFigures(Section):
    """Beta distributed chance to leave after a repeat purchase."""

    a: float = Field(gt=0)
    b: float = Field(gt=0)
    source: str


class UnitsFigures(Section):
    """Mean units an order."""

    mean: float = Field(ge=1)
    source: str


class BasketFigures(Section):
    """Order value in some currency, and how many yuan one unit of it is."""

    mean: float = Field(gt=0)
    median: float = Field(gt=0)
    currency: str
    yuan: float = Field(gt=0)
    source: str


class ConversionFigures(Section):
    """Orders a visit."""

    mean: float = Field(gt=0, lt=1)
    source: str


class Profile(Section):
    """A demand profile file."""

    name: str
    rate: RateFigures
    dropout: DropoutFigures | Literal["none"]
    units: UnitsFigures
    basket: BasketFigures
    conversion: ConversionFigures = ConversionFigures(mean=0.04, source=WEB_SHOPS)


def profile_path(name: str) -> Path:
    """Return the file of a profile: a shipped name, or a path."""
    shipped = PROFILES / f"{name}.yaml"
    return shipped if shipped.is_file() else Path(name)


@dataclass(frozen=True)
class Demand:
    """Demand of one run.

    Attributes
    ----------
    shape : float
        Of the Gamma distribution of purchase rates.
    mean : float
        Purchases a customer-day while active.
    dropout : tuple of float or None
        Beta parameters of the chance to leave after a repeat purchase; None: nobody leaves.
    units : float
        Mean units an order; an order has one plus a Poisson number.
    price : tuple of float
        Median (fen) and log-standard deviation of unit prices that make order values like the profile's.
    conversion : float
        Orders a visit without schemes.
    """

    shape: float
    mean: float
    dropout: tuple[float, float] | None
    units: float
    price: tuple[float, float]
    conversion: float

    @classmethod
    def resolve(cls, config: DemandConfig, profile: Profile) -> Demand:
        """Combine what the scenario says with its profile."""
        rate = config.rate or profile.rate
        dropout = config.dropout or profile.dropout
        units = config.units or profile.units.mean
        return cls(
            shape=rate.shape,
            mean=rate.mean / DAYS_A_WEEK,
            dropout=None if isinstance(dropout, str) else (dropout.a, dropout.b),
            units=units,
            price=unit_price(profile.basket, units),
            conversion=config.conversion or profile.conversion.mean,
        )

    def visit_rates(self, u: Array) -> Array:
        """Return visits a day for uniforms ``u``: purchase rates over the conversion."""
        return gamma_quantile(u, self.shape, self.mean / self.conversion)

    def visits_lost(self, hours: float) -> float:
        """Return the share of visits that do not take place because nobody comes twice in a tick of so many hours.

        Notes
        -----
        ``E[max(0, X - 1)] / E[X]`` for X, the visits that a person's rate means for a tick, of the Gamma distribution.
        """
        expected = self.mean / self.conversion * hours / HOURS_A_DAY
        scale = expected / self.shape
        beyond, alone = (float(stats.gamma.sf(1, shape, scale=scale)) for shape in (self.shape + 1, self.shape))
        return beyond - alone / expected

    def dropout_chances(self, u: Array) -> Array:
        """Return the chance to leave after a repeat purchase for uniforms ``u``."""
        return np.zeros(u.shape) if self.dropout is None else beta_quantile(u, *self.dropout)

    def quantities(self, u: Array) -> Array:
        """Return units an order, one plus Poisson, for uniforms ``u``; int32."""
        return (1 + np.searchsorted(self.extra_units, u)).astype(np.int32)

    @cached_property
    def extra_units(self) -> Array:
        """Chances of at most 0, 1, ... units beyond the first, float64; empty if there never are any."""
        if self.units == 1:
            return np.empty(0)
        table: Array = stats.poisson.cdf(np.arange(64), self.units - 1)
        return table


def unit_price(basket: BasketFigures, units: float) -> tuple[float, float]:
    """Return median (fen) and log-sd of unit prices so that baskets of ``1 + Poisson(units - 1)`` units match.

    The basket is taken as log-normal: log-variance ``2 ln(mean / median)``. What the number of units does
    not explain of it is the price's.
    """
    variance = 2 * math.log(basket.mean / basket.median)
    counts = np.arange(1, 65)
    weights = stats.poisson.pmf(counts - 1, units - 1)
    log_mean = float(weights @ np.log(counts))
    log_variance = float(weights @ np.log(counts) ** 2) - log_mean**2
    median = basket.median * basket.yuan * 100 / math.exp(log_mean)
    return median, math.sqrt(max(0.0, variance - log_variance))
