"""Losses over a period by Monte Carlo: how many events come, what each costs, and how bad the worst periods are.

A :class:`Risk` has a law of frequency (how many events come in a period) and one of severity (what one costs): either
what replicates lost, each as likely as its weight says, or a log-normal law with a stated mean. Events are independent
of each other. :func:`simulate` draws periods, :func:`tail` measures them; :func:`closed_form` is what they have to come
to where that is known.

These draws are no part of a run, so they come from a numpy Generator with a seed of the plan.

References
----------
Klugman, Panjer & Willmot (2019), "Loss models", 5th ed., chapters 3.5 (value at risk, tail value at risk) and 9
(aggregate losses).
Acerbi & Tasche (2002), "On the coherence of expected shortfall": the shortfall where the distribution has atoms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Frequency:
    """How many events come in a period.

    Parameters
    ----------
    mean : float
        Expected number. If `repeats`, the number is Poisson; else it is one with this probability and none otherwise.
    repeats : bool
    """

    mean: float
    repeats: bool

    @classmethod
    def of(cls, years: float, *, probability: float | None, rate: float | None) -> Frequency:
        """Return the law over a period.

        Parameters
        ----------
        years : float
            Length of the period.
        probability : float or None
            Chance that the event comes in a year, at most once a period; over other periods by a constant hazard.
        rate : float or None
            Events a year, which come independently of each other; give this or `probability`.
        """
        if probability is not None:
            return cls(1.0 - (1.0 - probability) ** years, False)
        if rate is None:
            raise ValueError("give probability or rate")
        return cls(rate * years, True)

    def draw(self, periods: int, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        """Return the number of events of each of so many periods."""
        if self.repeats:
            return generator.poisson(self.mean, periods)
        return (generator.random(periods) < self.mean).astype(np.int64)

    @property
    def any(self) -> float:
        """Chance that there is at least one event in a period."""
        return -math.expm1(-self.mean) if self.repeats else self.mean


@dataclass(frozen=True)
class Sample:
    """Losses as replicates had them.

    Parameters
    ----------
    losses : ndarray, shape (n,)
        Yuan; negative for a gain.
    weights : ndarray, shape (n,)
        How likely each is; sums to 1.
    """

    losses: Array
    weights: Array

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Return so many losses."""
        return generator.choice(self.losses, count, p=self.weights)

    @property
    def mean(self) -> float:
        """Expected loss of an event."""
        return float(self.losses @ self.weights)

    @property
    def second_moment(self) -> float:
        """Expected square of it."""
        return float(self.losses**2 @ self.weights)


@dataclass(frozen=True)
class LogNormal:
    """A log-normal loss with a stated mean.

    Parameters
    ----------
    mean : float
        Yuan.
    spread : float
        Standard deviation of the logarithm; 0 makes every loss the mean.
    """

    mean: float
    spread: float

    def draw(self, count: int, generator: np.random.Generator) -> Array:
        """Return so many losses."""
        return self.mean * np.exp(self.spread * generator.standard_normal(count) - self.spread**2 / 2)

    @property
    def second_moment(self) -> float:
        """Expected square of a loss."""
        return float(self.mean**2 * math.exp(self.spread**2))


@dataclass(frozen=True)
class Risk:
    """What may happen, how often, and what it costs.

    Parameters
    ----------
    frequency : Frequency
    severity : Sample or LogNormal
        Of one event.
    standing : float
        Yuan a period that are lost whether anything happens or not, such as what a response costs.
    deductible, cover, limit : float
        Of an insurance, for each event: above the deductible it pays this share of the loss, at most the limit.
    """

    frequency: Frequency
    severity: Sample | LogNormal
    standing: float = 0.0
    deductible: float = 0.0
    cover: float = 0.0
    limit: float = math.inf

    def simulate(self, periods: int, generator: np.random.Generator) -> Array:
        """Return the loss of each of so many periods, in yuan."""
        events = self.frequency.draw(periods, generator)
        losses = self.severity.draw(int(events.sum()), generator)
        losses = losses - recovered(losses, self.deductible, self.cover, self.limit)
        which = np.repeat(np.arange(periods), events)
        total: Array = self.standing + np.bincount(which, losses, minlength=periods)
        return total


def recovered(losses: Array, deductible: float, cover: float, limit: float) -> Array:
    """Return what an insurance pays for each loss."""
    paid: Array = np.minimum(cover * np.maximum(losses - deductible, 0.0), limit)
    return paid


def simulate(risks: Sequence[Risk], periods: int, seed: int) -> Array:
    """Return losses of all risks, shape (risks, periods), in yuan; each risk has a stream of its own."""
    return np.array([risk.simulate(periods, stream(seed, number)) for number, risk in enumerate(risks)])


def stream(seed: int, number: int) -> np.random.Generator:
    """Return the stream of a risk, by its number; whatever else is drawn for it from there agrees with it."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


@dataclass(frozen=True)
class Tail:
    """How bad it gets; yuan a period.

    Attributes
    ----------
    mean, mean_error : float
        Expected loss, and the Monte Carlo standard error of it.
    level : float
        Of the value at risk, such as 0.95.
    value_at_risk : float
        The smallest loss that a period exceeds with probability of at most 1 - level.
    value_low, value_high : float
        Its 95% interval for what Monte Carlo leaves open, from order statistics.
    shortfall, shortfall_error : float
        Mean loss of the worst 1 - level of all periods, and its standard error.
    """

    mean: float
    mean_error: float
    level: float
    value_at_risk: float
    value_low: float = field(default=math.nan)
    value_high: float = field(default=math.nan)
    shortfall: float = field(default=math.nan)
    shortfall_error: float = field(default=math.nan)


def tail(losses: Array, level: float) -> Tail:
    """Measure simulated losses.

    Parameters
    ----------
    losses : ndarray, shape (periods,)
        Yuan.
    level : float
        In (0, 1).
    """
    n = losses.size
    value = float(np.quantile(losses, level, method="inverted_cdf"))
    low, high = (float(stats.binom.ppf((1 + side * CONFIDENCE) / 2, n, level)) for side in (-1, 1))
    ordered = np.partition(losses, [max(int(low) - 1, 0), min(int(high), n - 1)])
    excess = np.maximum(losses - value, 0.0)
    # The mean over the worst share; what stands at the value at risk itself counts as far as it is needed to fill it.
    shortfall = value + float(excess.mean()) / (1 - level)
    return Tail(
        float(losses.mean()), _standard_error(losses), level, value, float(ordered[max(int(low) - 1, 0)]),
        float(ordered[min(int(high), n - 1)]), shortfall, _standard_error(excess) / (1 - level),
    )  # fmt: skip


def _standard_error(values: Array) -> float:
    return float(values.std(ddof=1)) / math.sqrt(values.size)


def closed_form(frequency: Frequency, severity: LogNormal, level: float) -> tuple[float, float, float, float]:
    """Return mean, variance, value at risk and shortfall of a period's loss, as far as they are known.

    Notes
    -----
    The mean is E[N] E[X]; the variance E[N] E[X^2], less (E[N] E[X])^2 if there is at most one event. Of at most one
    event, with probability p, the value at risk is 0 if p is at most 1 - level, else the quantile of X at
    1 - (1 - level) / p; the shortfall follows from the partial expectation of the log-normal law. Both are NaN if
    events repeat.
    """
    mean = frequency.mean * severity.mean
    variance = frequency.mean * severity.second_moment
    if frequency.repeats:
        return mean, variance, math.nan, math.nan
    variance -= mean**2
    worst = 1 - level
    if frequency.mean <= worst:
        return mean, variance, 0.0, mean / worst
    sigma = severity.spread
    z = float(stats.norm.ppf(1 - worst / frequency.mean))
    value = severity.mean * math.exp(sigma * z - sigma**2 / 2)
    beyond = frequency.mean * severity.mean * float(stats.norm.sf(z - sigma))
    return mean, variance, value, beyond / worst


def exceedance(losses: Array, points: int = 200) -> tuple[Array, Array]:
    """Return amounts of loss and the chance that a period loses more than each.

    Parameters
    ----------
    losses : ndarray, shape (periods,)
        Yuan.
    points : int
        At most so many amounts: quantiles whose chances of being exceeded are evenly spaced ratios.
    """
    ordered = np.sort(losses)
    asked = np.append(np.geomspace(1.0, 1.0 / ordered.size, points - 1), 0.0)
    amounts = np.unique(np.quantile(ordered, 1.0 - asked, method="inverted_cdf"))
    chance: Array = 1.0 - np.searchsorted(ordered, amounts, side="right") / ordered.size
    return amounts, chance
