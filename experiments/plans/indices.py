"""Morris and Sobol indices of a matrix of values, points x seeds, with bootstrap intervals.

Estimates are SALib's, of the mean over seeds. Intervals are percentiles of a bootstrap that draws the independent rows
of the design again, with replacement: trajectories, or base samples with all that belongs to them. They hold what
another design would change, given the seeds.

Common random numbers: every point runs with the same seeds. What a seed does to all points alike (a lucky network) then
drops out of every difference that indices are made of, where independent seeds would add it to the variance of the
output and hide weak parameters. What a seed does to single points remains, shrinks with the number of seeds, and cannot
be told from an interaction. :class:`Noise` says how much that is, and how large the index of a parameter without any
effect could look because of it.

References
----------
Morris (1991), "Factorial sampling plans for preliminary computational experiments". Campolongo, Cariboni & Saltelli
(2007): mu*. Sobol' (1993), "Sensitivity estimates for nonlinear mathematical models". Saltelli et al. (2010), "Variance
based sensitivity analysis of model output": the estimators, that of total indices being Jansen's (1999).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import Field

from sim.core.config import Section

Values = npt.NDArray[np.float64]


class MorrisMethod(Section):
    """Elementary effects: few runs, finds the parameters that matter."""

    kind: Literal["morris"]
    trajectories: int = Field(20, ge=2, le=10_000, description="each has a run for every parameter and one more")
    levels: int = Field(4, ge=4, le=100, multiple_of=2, description="of each parameter; even")
    seed: int = Field(1, ge=0, le=2**32 - 1, description="of the design and the bootstrap, not of the runs")

    def design(self, count: int) -> Values:
        """Return points in the unit cube, shape (trajectories * (count + 1), count)."""
        from SALib.sample.morris import sample

        found: Values = sample(_problem(count), self.trajectories, num_levels=self.levels, seed=self.seed)
        return found

    def rows(self, design: Values, values: Values) -> Values:
        """Return elementary effects, shape (trajectories, count): change of value by change of the parameter."""
        count = design.shape[1]
        steps = np.diff(design.reshape(-1, count + 1, count), axis=1)
        changes = np.diff(values.reshape(-1, count + 1), axis=1)
        moved = np.abs(steps).argmax(axis=2)  # each step moves one parameter
        size = np.take_along_axis(steps, moved[:, :, None], axis=2)[:, :, 0]
        effects = np.empty_like(changes)
        np.put_along_axis(effects, moved, changes / size, axis=1)
        return effects

    def indices(self, rows: Values) -> dict[str, Values]:
        """Return ``mu_star``, ``mu`` and ``sigma``, in the unit of the values over a whole range.

        Parameters
        ----------
        rows : ndarray, shape (trajectories, count) or (trajectories, count, resamples)
            Elementary effects; what is returned lacks the first axis.
        """
        return {
            "mu_star": np.abs(rows).mean(axis=0),
            "mu": rows.mean(axis=0),
            "sigma": rows.std(axis=0, ddof=1),
        }


class SobolMethod(Section):
    """Shares of variance: more runs, tells own effects from interactions."""

    kind: Literal["sobol"]
    points: int = Field(
        128, ge=2, le=2**16, description="base samples, a power of 2; each has a run a parameter and two"
    )
    seed: int = Field(1, ge=0, le=2**32 - 1, description="of the design and the bootstrap, not of the runs")

    def design(self, count: int) -> Values:
        """Return points in the unit cube, shape (points * (count + 2), count)."""
        from SALib.sample.sobol import sample

        found: Values = sample(_problem(count), self.points, calc_second_order=False, seed=self.seed)
        return found

    def rows(self, design: Values, values: Values) -> Values:
        """Return values by base sample, shape (points, count + 2): A, A with one column of B each, B; standardised."""
        spread = values.std()
        standard = (values - values.mean()) / (spread if spread > 0 else 1.0)  # as SALib does
        blocks: Values = standard.reshape(-1, design.shape[1] + 2)
        return blocks

    def indices(self, rows: Values) -> dict[str, Values]:
        """Return first-order ``S1`` and total ``ST``, shares of the variance.

        Parameters
        ----------
        rows : ndarray, shape (points, count + 2) or (points, count + 2, resamples)
            Values by base sample; what is returned has `count` where they have two more, and lacks the first axis.
        """
        from SALib.analyze.sobol import first_order, total_order

        first, last, between = rows[:, 0], rows[:, -1], range(1, rows.shape[1] - 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a resample without variance has no shares: zero
            return {
                "S1": np.stack([first_order(first, rows[:, j], last) for j in between]),
                "ST": np.stack([total_order(first, rows[:, j], last) for j in between]),
            }


Method = MorrisMethod | SobolMethod
MAIN = {"morris": "mu_star", "sobol": "ST"}
"""The index that ranks parameters."""


def _problem(count: int) -> dict[str, Any]:
    return {"num_vars": count, "names": [f"x{number}" for number in range(count)], "bounds": [[0.0, 1.0]] * count}


@dataclass(frozen=True)
class Noise:
    """What seeds add to the variance of the output, by a two-way analysis of variance without interaction.

    Parameters
    ----------
    left : float
        Share of the variance between points that comes from seeds acting on single points; NaN for one seed.
    removed : float
        What independent seeds would add, as a share of the same variance: common random numbers take it away.
    floor : float
        The main index that a parameter without effect would have if changing it drew that noise anew: of Sobol `left`,
        of Morris the mean absolute difference of two noises by the step.
    """

    left: float
    removed: float
    floor: float


def noise(method: Method, values: Values) -> Noise:
    """Return how much of the variance between points is noise; `values` has shape (points, seeds)."""
    points, seeds = values.shape
    between = float(values.mean(axis=1).var(ddof=1))
    if seeds < 2 or between == 0.0:
        return Noise(np.nan, np.nan, np.nan)
    residual = values - values.mean(axis=1, keepdims=True) - values.mean(axis=0, keepdims=True) + values.mean()
    single = float((residual**2).sum()) / ((points - 1) * (seeds - 1))
    alike = max(0.0, float(values.mean(axis=0).var(ddof=1)) - single / points)
    left = single / seeds / between
    if isinstance(method, SobolMethod):
        floor = left  # half the mean square of a difference of two noises, by the variance
    else:
        step = method.levels / (2 * (method.levels - 1))
        floor = 2 * np.sqrt(single / seeds / np.pi) / step  # E|N(0, 2 s^2)| = 2 s / sqrt(pi)
    return Noise(left, alike / seeds / between, float(floor))


def estimate(
    method: Method, design: Values, values: Values, names: list[str], resamples: int, confidence: float
) -> pd.DataFrame:
    """Estimate the indices of every parameter, with intervals and ranks.

    Parameters
    ----------
    method : MorrisMethod or SobolMethod
    design : ndarray, shape (points, parameters)
        Of the method, in the unit cube.
    values : ndarray, shape (points, seeds)
        Without gaps.
    names : list of str
        Of the parameters.
    resamples : int
        Of the bootstrap.
    confidence : float
        Of the intervals, in (0, 1).

    Returns
    -------
    DataFrame
        A row for each parameter, the strongest first: ``parameter``; each index with ``_low`` and ``_high``; ``rank``
        with ``rank_low`` and ``rank_high``, the places that it takes in the bootstrap. All NaN if the values do not
        vary between points.
    """
    main = MAIN[method.kind]
    rows = method.rows(design, values.mean(axis=1))
    found = method.indices(rows)
    drawn = np.random.default_rng(method.seed).integers(len(rows), size=(len(rows), resamples))
    again = method.indices(rows[drawn].swapaxes(1, 2))
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    places = (-again[main]).argsort(axis=0, kind="stable").argsort(axis=0, kind="stable") + 1
    constant = bool(np.ptp(values.mean(axis=1)) == 0.0)
    table: dict[str, Any] = {"parameter": names}
    for name, index in found.items():
        low, high = np.quantile(again[name], ends, axis=1)
        table |= {name: index, f"{name}_low": low, f"{name}_high": high}
    low, high = np.quantile(places, ends, axis=1, method="nearest")
    table |= {
        "rank": (-found[main]).argsort(kind="stable").argsort(kind="stable") + 1,
        "rank_low": low,
        "rank_high": high,
    }
    frame = pd.DataFrame(table)
    if constant:
        frame[[name for name in table if name != "parameter"]] = np.nan
    return frame.sort_values("rank", kind="stable", ignore_index=True)
