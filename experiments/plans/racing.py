"""When a trial need not run its remaining seeds: it is surely worse than one that is finished, or surely not allowed.

A trial is compared with a finished one seed by seed, because runs with the same seed share their draws, so that their
difference is far less noisy than either. The test is a one-sided paired t-test. It is made after each block of seeds
and against each finished trial that could win, so its level is divided by the number of both (Bonferroni): the chance
that a trial is stopped although it is no worse than all of these stays below ``1 - confidence``.

References
----------
Maron and Moore (1997), "The racing algorithm: model selection for lazy learners".
Birattari, Stutzle, Paquete and Varrentrapp (2002), "A racing algorithm for configuring metaheuristics".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from experiments.stats import known, standard_error

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Standing:
    """What a trial has shown so far, per seed, in the order of the plan's seeds.

    Parameters
    ----------
    number : int
        Of the trial.
    losses : ndarray, shape (criteria, seeds)
        Less is better. A criterion is an objective in a world.
    excess : ndarray, shape (bounds, seeds)
        By how much each bound is exceeded in each world; below zero is within.
    """

    number: int
    losses: Values
    excess: Values


@dataclass(frozen=True)
class Race:
    """The rules by which trials are stopped.

    Parameters
    ----------
    after : int
        Seeds that every trial gets, at least 2.
    confidence : float
        In (0, 1): at most 1 - confidence of the trials that should go on are stopped.
    seeds : int
        Of a whole trial.
    every : int
        Seeds from one look to the next.
    """

    after: int
    confidence: float
    seeds: int
    every: int = 1

    def blocks(self) -> list[range]:
        """Return the seeds' positions in the blocks in which they run."""
        first = min(self.after, self.seeds)
        return [
            range(first),
            *(range(i, min(i + self.every, self.seeds)) for i in range(first, self.seeds, self.every)),
        ]

    def verdict(self, trial: Standing, rivals: Sequence[Standing]) -> str:
        """Say why a trial should stop; nothing if it should go on.

        Parameters
        ----------
        trial : Standing
            With the seeds that it has run.
        rivals : sequence of Standing
            Finished trials that are allowed and that no other finished one beats in every criterion.
        """
        looks = len(self.blocks()) - 1
        level = (1.0 - self.confidence) / max(1, looks)
        if any(surely_positive(bound, level / len(trial.excess)) for bound in trial.excess):
            return "surely not allowed"
        seeds = trial.losses.shape[1]
        for rival in rivals:
            behind = trial.losses - rival.losses[:, :seeds]
            # Each criterion at the full level: all of them must be worse (an intersection-union test, Berger 1982).
            if all(surely_positive(criterion, level / len(rivals)) for criterion in behind):
                return f"surely worse than trial {rival.number}"
        return ""


def surely_positive(sample: npt.ArrayLike, level: float) -> bool:
    """Test whether a mean is above zero.

    Parameters
    ----------
    sample : array_like, shape (seeds,)
        NaN where a seed has no value.
    level : float
        Chance of saying so if the mean is zero.

    Returns
    -------
    bool
        False for fewer than two values, and for values without any spread: equal values are no measure of how
        precise their mean is.
    """
    (values,) = known(sample)
    if values.size < 2:
        return False
    error = standard_error(values)
    if error == 0.0:
        return False
    return bool(stats.t.sf(float(values.mean()) / error, values.size - 1) < level)


def not_beaten(losses: Values) -> npt.NDArray[np.bool_]:
    """Mark the rows that no other row beats: the Pareto front.

    Parameters
    ----------
    losses : ndarray, shape (points, criteria)
        Less is better. A row with NaN is beaten.

    Returns
    -------
    ndarray of bool, shape (points,)
        Of equal rows, the first.
    """
    front = np.isfinite(losses).all(axis=1)
    for i in np.flatnonzero(front):
        no_worse = (losses <= losses[i]).all(axis=1) & front
        better = (losses < losses[i]).any(axis=1)
        equal_before = ~better & (np.arange(len(losses)) < i)
        front[i] = not (no_worse & (better | equal_before)).any()
    return front


def adjusted_means(trial: Values, finished: Sequence[Values]) -> Values:
    """Return means that a stopped trial would have had with all seeds, as far as one can tell.

    Seeds are harder or easier for all trials alike; the finished ones tell how much.

    Parameters
    ----------
    trial : ndarray, shape (criteria, seeds run)
    finished : sequence of ndarray, shape (criteria, seeds)

    Returns
    -------
    ndarray, shape (criteria,)
        Without finished trials, or if none was stopped, the mean over the seeds run.
    """
    seeds = trial.shape[1]
    means = mean_of(trial)
    if not finished or seeds >= finished[0].shape[1]:
        return means
    shifts = np.array([mean_of(values) - mean_of(values[:, :seeds]) for values in finished])
    return means + np.where(np.isfinite(shifts).any(axis=0), mean_of(shifts.T), 0.0)


def mean_of(values: Values) -> Values:
    """Return means over the last axis, leaving out what is not finite; NaN where nothing is left."""
    finite = np.isfinite(values)
    count = finite.sum(axis=-1)
    total = np.where(finite, values, 0.0).sum(axis=-1)
    return np.where(count > 0, total / np.maximum(count, 1), math.nan)
