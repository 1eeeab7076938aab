"""What the chosen points are worth on seeds that did not choose them.

The best of many noisy means is too good to be true (the winner's curse): it was chosen for its luck too. So the points
that a search ends with run once more with fresh seeds, beside the base, and what is reported is that.

References
----------
Smith and Winkler (2006), "The optimizer's curse: skepticism and postdecision surprise in decision analysis".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from experiments import guardrails
from experiments.plans.contest import WorldValues
from experiments.plans.goals import Bound, Goal, Scorer, Scores
from experiments.plans.racing import Values, mean_of
from experiments.stats import Estimate, mean_estimate
from sim.scenario.schema import Guardrail

COLUMNS = (
    "point", "world", "role", "label", "metric", "search_mean", "mean", "ci_low", "ci_high", "gain", "gain_low",
    "gain_high", "state", "reason",
)  # fmt: skip


def candidates(scores: Scores, most: int) -> list[int]:
    """Return positions of the trials to confirm.

    Parameters
    ----------
    scores : Scores
        Of the finished search.
    most : int
        So many of the best; in several worlds the best of each world is added, against which regret is measured.

    Returns
    -------
    list of int
        The best first; with several goals the front, thinned evenly along the first goal. Empty if no trial is
        allowed.
    """
    if not scores.eligible.any():
        return []
    if scores.losses.shape[1] == 1:
        found = scores.ranked()[:most]
    else:
        front = scores.best()
        picked = np.unique(np.linspace(0, len(front) - 1, min(most, len(front))).round().astype(int))
        found = [front[i] for i in picked]
    if scores.losses.shape[2] > 1:
        losses = np.where(scores.eligible[:, None, None], scores.losses, np.inf)
        found += [int(i) for i in losses.argmin(axis=0).ravel()]
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class Confirmation:
    """Candidates with what fresh seeds gave.

    Parameters
    ----------
    scores : Scores
        Of the search.
    positions : sequence of int
        Of the candidates in it, the best first.
    values : sequence of dict
        Of each candidate on the fresh seeds.
    scorer : Scorer
        With the base on the fresh seeds.
    """

    scores: Scores
    positions: Sequence[int]
    values: Sequence[WorldValues]
    scorer: Scorer

    def table(self) -> pd.DataFrame:
        """Return a row for each candidate, world, and objective or bound.

        Returns
        -------
        DataFrame
            ``point`` (trial), ``world``, ``role`` (objective or bound), ``label``, ``metric``; ``search_mean``;
            ``mean`` with its 95% interval ``ci_low``, ``ci_high`` on the fresh seeds; ``gain`` over the base (paired
            by seed) with ``gain_low``, ``gain_high``; for a bound its ``state``: pass, fail or undecided, and why.
        """
        rows = []
        for position, values in zip(self.positions, self.values, strict=True):
            record = self.scores.records[position]
            for world in self.scorer.worlds:
                for one in self.scorer.counted:
                    sample = self.scorer.per_seed(values, one, world)
                    base = np.asarray(self.scorer.base[world][one.metric], np.float64)
                    found = mean_estimate(sample)
                    gain = found if one.minus_base else mean_estimate(sample - base)
                    check = _check(one, sample) if isinstance(one, Bound) else None
                    rows.append(
                        {
                            "point": record.number,
                            "world": world,
                            "role": "objective" if check is None else "bound",
                            "label": one.label,
                            "metric": one.metric,
                            "search_mean": float(mean_of(self._searched(position, one, world))),
                            "mean": found.mean,
                            "ci_low": found.low,
                            "ci_high": found.high,
                            "gain": gain.mean,
                            "gain_low": gain.low,
                            "gain_high": gain.high,
                            "state": "" if check is None else check.state,
                            "reason": "" if check is None else check.reason,
                        }
                    )
        return pd.DataFrame(rows, columns=list(COLUMNS))

    def _searched(self, position: int, one: Goal | Bound, world: str) -> Values:
        standing = self.scores.standings[position]
        index = self.scorer.worlds.index(world)
        if isinstance(one, Bound):
            row = self.scorer.bounds.index(one) * len(self.scorer.worlds) + index
            return np.asarray(one.limit + one.side * standing.excess[row])
        row = self.scorer.goals.index(one) * len(self.scorer.worlds) + index
        return np.asarray(-one.sign * standing.losses[row])

    def broken(self) -> set[int]:
        """Return the trials of which fresh seeds show that a bound does not hold."""
        table = self.table()
        return set(table.loc[table["state"] == "fail", "point"])

    def choice(self) -> int | None:
        """Return the trial to recommend for a single goal.

        Returns
        -------
        int or None
            Number of the first candidate, in the order of the search, of which no bound is shown to be broken: fresh
            values do not choose, so those of the choice are not flattered. None if there is none.
        """
        broken = self.broken()
        numbers = [self.scores.records[position].number for position in self.positions]
        return next((number for number in numbers if number not in broken), None)

    def regrets(self) -> pd.DataFrame:
        """Return how much each candidate loses in each world against the best candidate there, by the first goal.

        Returns
        -------
        DataFrame
            ``point``, ``world``, ``search_regret``; ``regret`` on the fresh seeds with its 95% interval (paired by
            seed) ``ci_low``, ``ci_high``; the best of a world is the one of the search, so that luck on the fresh
            seeds does not choose it, and a regret can be negative.
        """
        rows = []
        search = self.scores.regrets
        for index, world in enumerate(self.scorer.worlds):
            losses = self._losses(world)
            best = self._best_of(world)
            for position, loss in zip(self.positions, losses, strict=True):
                found = mean_estimate(loss - losses[best])
                rows.append(
                    {
                        "point": self.scores.records[position].number,
                        "world": world,
                        "search_regret": float(search[position, 0, index]),
                        "regret": found.mean,
                        "ci_low": found.low,
                        "ci_high": found.high,
                    }
                )
        return pd.DataFrame(rows)

    def lead(self, chosen: int, other: int) -> Estimate:
        """Return by how much one candidate's largest regret is smaller than another's, on the fresh seeds.

        Paired by seed, each in the world where its mean regret is largest.

        Parameters
        ----------
        chosen, other : int
            Numbers of trials.
        """
        table = self.regrets().set_index(["point", "world"])["regret"]
        if table.loc[[chosen, other]].isna().any():
            return Estimate(float("nan"))
        chosen_worst, other_worst = (self._regret_per_seed(one, table.loc[one].idxmax()) for one in (chosen, other))
        return mean_estimate(other_worst - chosen_worst)

    def runner_up(self) -> int | None:
        """Return the trial that the search would choose next to :meth:`choice`; None if there is none."""
        number, broken = self.choice(), self.broken()
        others = [i for i in self.positions if self.scores.records[i].number not in broken | {number}]
        if not others:
            return None
        return self.scores.records[min(others, key=lambda i: self.scores.objectives[i, 0])].number

    def _losses(self, world: str) -> list[Values]:
        """Return the losses of each candidate on the fresh seeds by the first goal."""
        goal = self.scorer.goals[0]
        return [-goal.sign * self.scorer.per_seed(values, goal, world) for values in self.values]

    def _best_of(self, world: str) -> int:
        """Return which candidate is the best of a world by the search, counted from 0."""
        index = self.scorer.worlds.index(world)
        return min(range(len(self.positions)), key=lambda i: self.scores.losses[self.positions[i], 0, index])

    def _regret_per_seed(self, number: int, world: str) -> Values:
        losses = self._losses(world)
        own = next(i for i, position in enumerate(self.positions) if self.scores.records[position].number == number)
        return losses[own] - losses[self._best_of(world)]


def _check(bound: Bound, sample: Values) -> guardrails.Check:
    """Judge a bound on replicates as guardrails are judged."""
    sides = {"max": bound.limit} if bound.side > 0 else {"min": bound.limit}
    rail = Guardrail(metric=bound.metric, confidence=bound.confidence, **sides)

    def estimate(metric: str, confidence: float) -> Estimate:
        return mean_estimate(sample, confidence)

    (check,) = guardrails.check(bound.metric, [rail], estimate)
    return check
