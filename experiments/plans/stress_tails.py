"""The worst periods: value at risk, shortfall and the reserve, with what so few seeds leave open.

Expected losses, with their intervals, come from each seed's runs (:func:`expected_loss`); how bad the worst periods are
comes from simulated periods (:mod:`experiments.plans.stress_losses`), and its interval from resampled seeds. How many
seeds such a tail needs at all is :func:`experiments.plans.stress_chances.runs_for_a_tail`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments import stats
from experiments.plans.stress import Response, Shock, StressPlan
from experiments.plans.stress_chances import runs_for_a_tail
from experiments.plans.stress_losses import LogNormal, Risk, Sample, simulate, tail
from sim.core.config import FEN_PER_YUAN

Array = npt.NDArray[np.float64]
ALL = "all risks"
RESAMPLED_PERIODS = 20_000
HIGHEST_LEVEL = 0.99
LEAST_RESAMPLED = 10
"""Seeds below which resampling them says little: tail measures then have no interval."""


@dataclass(frozen=True)
class Answer:
    """A response to a shock, as it stands in the Monte Carlo.

    Parameters
    ----------
    response : Response
    risk : Risk
    per_seed : ndarray, shape (seeds,)
        Expected net loss of a period by the runs of each seed, in yuan; of a stated law by each seed's revenue.
    events : ndarray, shape (sizes, seeds), or None
        Loss of an event of each size in each run, in yuan; None of a stated law, and if there is never an event.
    """

    response: Response
    risk: Risk
    per_seed: Array
    events: Array | None = None

    @property
    def costs_in_runs(self) -> bool:
        """Whether an event costs or brings anything in any run."""
        return self.events is not None and bool(self.events.any())


def expected_loss(*per_seed: Array) -> stats.Estimate:
    """Return the expected net loss of a period with its interval (Student's t): of one risk, or of several together.

    Parameters
    ----------
    *per_seed : ndarray, shape (seeds,)
        Of each risk, in yuan; see :class:`Answer`.
    """
    return stats.mean_estimate(np.sum(per_seed, axis=0))


class Tails:
    """Losses of periods if every risk is accepted.

    Parameters
    ----------
    config : StressPlan
    answers : sequence of Answer
        To each shock of the plan: accepting it.
    revenue : ndarray, shape (seeds,)
        What buyers pay in the calm run of each seed, relative to the mean; NaN where the run failed.
    """

    def __init__(self, config: StressPlan, answers: Sequence[Answer], revenue: Array) -> None:
        self.config, self.answers, self.revenue = config, answers, revenue

    @cached_property
    def losses(self) -> dict[str, Array]:
        """Simulated losses of periods: of each shock, and of all together."""
        drawn = simulate([answer.risk for answer in self.answers], self.config.draws, self.config.seed)
        found = {shock.name: drawn[row] for row, shock in enumerate(self.config.shocks)}
        return {**found, ALL: drawn.sum(axis=0)}

    def table(self) -> pd.DataFrame:
        """Return expected loss, value at risk and shortfall of each risk and of all.

        The expected loss and its interval are those of :func:`expected_loss`. ``value_at_risk_low`` and the like are
        95% intervals from resampled seeds, which hold what Monte Carlo leaves open too; NaN where there are fewer
        ``runs`` than ``runs_needed`` for such a tail, or too few to resample.
        """
        rows = []
        per_seed = {shock.name: answer.per_seed for shock, answer in self._risks}
        for name, losses in self.losses.items():
            own = expected_loss(*(per_seed.values() if name == ALL else [per_seed[name]]))
            runs = own.replicates
            for level in self.config.levels:
                found, needed = tail(losses, level), self.runs_needed(name, level)
                value, shortfall = (self._limits((name, level, which), runs, needed) for which in (0, 1))
                rows.append(
                    {
                        "risk": name, "level": level, "mean": own.mean, "mean_low": own.low, "mean_high": own.high,
                        "value_at_risk": found.value_at_risk, "value_at_risk_monte_carlo_low": found.value_low,
                        "value_at_risk_monte_carlo_high": found.value_high, "shortfall": found.shortfall,
                        "shortfall_error": found.shortfall_error, "value_at_risk_low": value[0],
                        "value_at_risk_high": value[1], "shortfall_low": shortfall[0], "shortfall_high": shortfall[1],
                        "runs": runs, "runs_needed": needed,
                    }
                )  # fmt: skip
        return pd.DataFrame(rows)

    def runs_needed(self, name: str, level: float) -> int:
        """Return how many seeds a tail measure needs to rest on more than luck; 0 if no run has a part in it.

        Parameters
        ----------
        name : str
            Of a shock, or :data:`ALL`.
        level : float
        """
        named = [answer for shock, answer in self._risks if name in (shock.name, ALL)]
        spared = math.prod(1 - answer.risk.frequency.any for answer in named if answer.costs_in_runs)
        return runs_for_a_tail(level, 1 - spared)

    @property
    def _risks(self) -> list[tuple[Shock, Answer]]:
        return list(zip(self.config.shocks, self.answers, strict=True))

    def _limits(self, key: tuple[str, float, int], runs: int, needed: int) -> tuple[float, float]:
        """Return the 95% interval of what was resampled; NaN if seeds are too few."""
        if runs < max(needed, LEAST_RESAMPLED):
            return math.nan, math.nan
        low, high = np.quantile(self._resampled[key], (0.025, 0.975))
        return float(low), float(high)

    @cached_property
    def _resampled(self) -> dict[tuple[str, float, int], list[float]]:
        """Tail measures under resampled seeds: by risk and level value at risk (0) and shortfall (1).

        ``(ALL, 0.0, 0)`` is the chance that the reserve is exhausted.
        """
        generator, seeds = np.random.default_rng([self.config.seed, 1]), self.revenue.size
        reserve = math.inf if self.config.reserve is None else self.config.reserve / FEN_PER_YUAN
        found: dict[tuple[str, float, int], list[float]] = {}
        for resample in range(self.config.resamples):
            chosen = generator.integers(0, seeds, seeds)
            risks = [self._with_seeds(shock, answer, chosen) for shock, answer in self._risks]
            drawn = simulate(risks, RESAMPLED_PERIODS, self.config.seed + 1 + resample)
            for name, losses in zip([*(s.name for s in self.config.shocks), ALL], [*drawn, drawn.sum(0)], strict=True):
                for level in self.config.levels:
                    one = tail(losses, level)
                    found.setdefault((name, level, 0), []).append(one.value_at_risk)
                    found.setdefault((name, level, 1), []).append(one.shortfall)
            found.setdefault((ALL, 0.0, 0), []).append(float((drawn.sum(0) > reserve).mean()))
        return found

    def _with_seeds(self, shock: Shock, answer: Answer, chosen: npt.NDArray[np.int64]) -> Risk:
        """Return a risk as it would be, had these been the seeds."""
        risk = answer.risk
        if answer.events is not None:
            return Risk(risk.frequency, sample(answer.events[:, chosen], shock))
        assert isinstance(risk.severity, LogNormal)
        scale = stats.mean_estimate(self.revenue[chosen]).mean
        return Risk(risk.frequency, LogNormal(risk.severity.mean * scale, risk.severity.spread))

    def reserve(self) -> dict[str, Any] | None:
        """Return how likely the losses of a period exceed what is set aside, if anything is.

        ``low`` and ``high`` are its interval from resampled seeds, and ``runs_needed`` what they take: so many as the
        value at risk does of which the reserve is the amount, of a level of 99% at most.
        """
        if self.config.reserve is None:
            return None
        amount = self.config.reserve / FEN_PER_YUAN
        losses = self.losses[ALL]
        chance = float((losses > amount).mean())
        needed = self.runs_needed(ALL, min(1 - chance, HIGHEST_LEVEL))
        runs = expected_loss(*(answer.per_seed for answer in self.answers)).replicates
        low, high = self._limits((ALL, 0.0, 0), runs, needed)
        return {"reserve": amount, "chance": chance, "low": low, "high": high, "runs": runs, "runs_needed": needed}


def sample(losses: Array, shock: Shock) -> Sample:
    """Return what happened in runs, shape (sizes, seeds), as a law; runs that failed are left out."""
    chances = np.array([weight for _, weight in shock.chances])
    weights = np.broadcast_to(chances[:, None], losses.shape)
    known = np.isfinite(losses)
    if not known.any():
        return Sample(np.array([math.nan]), np.array([1.0]))
    return Sample(losses[known], weights[known] / weights[known].sum())
