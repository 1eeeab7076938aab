"""What an optimisation wants and what it must not do, and how a trial's runs are scored by that.

Everything is turned so that less is better: the *loss* of an objective is its metric with the sign that makes it so,
and the *excess* of a bound is how far it is exceeded. Both are per seed, and less those of the base with the same seed
where the plan says so. In several worlds each objective and each bound counts in every world; a trial is then scored
by its regret, the most that it loses in any world against the best that was found for that world.

References
----------
Savage (1951), "The theory of statistical decision": minimax regret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from experiments.plans.racing import Standing, Values, adjusted_means, mean_of, not_beaten
from experiments.plans.search import Record, Tried

MetricValues = Mapping[str, Sequence[float]]
"""By metric, a value for each seed."""


@dataclass(frozen=True)
class Goal:
    """One objective.

    Parameters
    ----------
    metric : str
    sign : int
        +1 if more is better, -1 if less is.
    minus_base : bool
        Whether what counts is the difference from the base with the same seed.
    """

    metric: str
    sign: int
    minus_base: bool = False

    @property
    def label(self) -> str:
        """For tables."""
        return f"{self.metric} minus base" if self.minus_base else self.metric


@dataclass(frozen=True)
class Bound:
    """One side of one constraint.

    Parameters
    ----------
    metric : str
    side : int
        +1 for a maximum, -1 for a minimum.
    limit : float
    minus_base : bool
        As in :class:`Goal`.
    confidence : float
        One-sided, with which it has to hold when the choice is confirmed.
    """

    metric: str
    side: int
    limit: float
    minus_base: bool = False
    confidence: float = 0.95

    @property
    def label(self) -> str:
        """For tables."""
        return (
            f"{self.metric}{' minus base' if self.minus_base else ''} {'<=' if self.side > 0 else '>='} {self.limit:g}"
        )


@dataclass(frozen=True)
class Scorer:
    """Scores trials.

    Parameters
    ----------
    goals : sequence of Goal
        At least one.
    bounds : sequence of Bound
    worlds : sequence of str
        At least one.
    base : mapping of str to mapping
        By world, what the base's runs gave, a value for each seed; may be empty if nothing is compared with it.
    seeds : int
        Of a whole trial.
    """

    goals: Sequence[Goal]
    bounds: Sequence[Bound]
    worlds: Sequence[str]
    base: Mapping[str, MetricValues]
    seeds: int

    @property
    def counted(self) -> list[Goal | Bound]:
        """Goals, then bounds."""
        return [*self.goals, *self.bounds]

    @property
    def metrics(self) -> list[str]:
        """What trials have to be measured by."""
        return list(dict.fromkeys(one.metric for one in self.counted))

    def per_seed(self, values: Mapping[str, MetricValues], of: Goal | Bound, world: str) -> Values:
        """Return a goal's or bound's metric in a world, less that of the base if it says so; shape (seeds run,)."""
        own = np.asarray(values[world][of.metric], np.float64)
        return own - np.asarray(self.base[world][of.metric], np.float64)[: own.size] if of.minus_base else own

    def standing(self, number: int, values: Mapping[str, MetricValues]) -> Standing:
        """Return what a trial has shown so far.

        Parameters
        ----------
        number : int
            Of the trial.
        values : mapping
            By world and metric, a value for each seed run.
        """
        losses = [-goal.sign * self.per_seed(values, goal, world) for goal in self.goals for world in self.worlds]
        excess = [
            bound.side * (self.per_seed(values, bound, world) - bound.limit)
            for bound in self.bounds
            for world in self.worlds
        ]
        seeds = len(losses[0])
        return Standing(number, np.array(losses), np.array(excess, np.float64).reshape(-1, seeds))

    def score(self, records: Sequence[Record]) -> Scores:
        """Score finished trials against each other."""
        standings = [self.standing(record.number, record.values) for record in records]
        whole = np.array([not record.pruned for record in records], bool)
        complete = [standing.losses for standing, kept in zip(standings, whole, strict=True) if kept]
        shape = (len(records), len(self.goals), len(self.worlds))
        losses = np.array([adjusted_means(standing.losses, complete) for standing in standings]).reshape(shape)
        excess = np.array([mean_of(standing.excess) for standing in standings])
        excess = excess.reshape(len(records), len(self.bounds) * len(self.worlds))
        # A bound that no run has a value for is not exceeded; reports say that it has no data.
        allowed = ~(excess > 0).any(axis=1) & np.isfinite(losses).all(axis=(1, 2))
        return Scores(list(records), standings, losses, excess, whole & allowed, allowed)


@dataclass(frozen=True)
class Scores:
    """Trials with their scores.

    Parameters
    ----------
    records : list of Record
    standings : list of Standing
    losses : ndarray, shape (trials, goals, worlds)
        Means over seeds; for a stopped trial what they would probably have been.
    excess : ndarray, shape (trials, bounds x worlds)
        Means over seeds; above zero is not allowed.
    eligible : ndarray of bool, shape (trials,)
        Allowed, and not stopped: one of these will be chosen.
    allowed : ndarray of bool, shape (trials,)
        Keeping every bound on average.
    """

    records: list[Record]
    standings: list[Standing]
    losses: Values
    excess: Values
    eligible: npt.NDArray[np.bool_]
    allowed: npt.NDArray[np.bool_]

    @property
    def regrets(self) -> Values:
        """Loss against the best eligible trial of each world, shape (trials, goals, worlds)."""
        pool = self.losses[self.eligible] if self.eligible.any() else self.losses
        best = np.nanmin(np.where(np.isfinite(pool), pool, np.inf), axis=0, initial=np.inf)
        return self.losses - np.where(np.isfinite(best), best, 0.0)

    @property
    def objectives(self) -> Values:
        """What is minimised, shape (trials, goals): the loss, or with several worlds the largest regret."""
        return self.losses[:, :, 0] if self.losses.shape[2] == 1 else self.regrets.max(axis=2)

    def best(self) -> list[int]:
        """Return positions of the eligible trials that no other beats, the best by the first goal first."""
        objectives = np.where(self.eligible[:, None], self.objectives, np.nan)
        front = np.flatnonzero(not_beaten(objectives))
        return [int(i) for i in front[np.argsort(objectives[front, 0], kind="stable")]]

    def ranked(self) -> list[int]:
        """Return positions of the eligible trials by the first goal."""
        order = np.argsort(self.objectives[:, 0], kind="stable")
        return [int(i) for i in order if self.eligible[i]]

    def rivals(self) -> list[Standing]:
        """Return the eligible trials that no other beats in every goal and world."""
        trials, goals, worlds = self.losses.shape
        losses = np.where(self.eligible[:, None], self.losses.reshape(trials, goals * worlds), np.nan)
        return [self.standings[i] for i in np.flatnonzero(not_beaten(losses))]

    def tried(self, world: int | None, limits: Sequence[float]) -> list[Tried]:
        """Return what the sampler is told.

        Parameters
        ----------
        world : int or None
            Position of the world for which to look for the best; None for what is minimised.
        limits : sequence of float
            Of the bounds in each world, in the order of `excess`: an excess counts in shares of its limit.
        """
        losses = self.objectives if world is None else self.losses[:, :, world]
        scale = np.array([abs(limit) or 1.0 for limit in limits])
        return [
            Tried(record.unit, tuple(loss.tolist()), tuple((excess / scale).tolist()))
            for record, loss, excess in zip(self.records, losses, self.excess, strict=True)
        ]
