"""The search of ``optimise``: trials in batches, raced seed by seed against the best so far, kept in a journal.

A batch is proposed from what was finished before it, so its trials can run side by side, and which they are depends
neither on the number of workers nor on where a killed search was interrupted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from experiments.plans.evaluate import Evaluate
from experiments.plans.goals import Scorer, Scores
from experiments.plans.parameters import Parameter, Point
from experiments.plans.racing import Race
from experiments.plans.search import Journal, Record, Sampler, Unit, propose

ATTEMPTS = 50
"""Proposals in a row that were all tried before, after which a search gives up."""
Worlds = Mapping[str, Evaluate]
"""By name, what evaluates points in each world."""
WorldValues = dict[str, dict[str, list[float]]]
"""By world and metric, a value for each seed."""


def measure(
    worlds: Worlds, points: Sequence[Point], seeds: Sequence[int], metrics: Sequence[str]
) -> tuple[list[WorldValues], list[bool]]:
    """Evaluate points in every world.

    Parameters
    ----------
    worlds : mapping of str to Evaluate
    points : sequence of mapping
    seeds : sequence of int
    metrics : sequence of str
        What to keep.

    Returns
    -------
    values : list of dict
        Of each point; NaN where a run failed or has no value.
    whole : list of bool
        Whether no run of a point failed.
    """
    found: list[WorldValues] = [{} for _ in points]
    whole = np.ones(len(points), bool)
    everything = pd.MultiIndex.from_product([range(len(points)), metrics])
    for world, evaluate in worlds.items():
        frame = evaluate(points, seeds)
        runs = frame[["point", "seed"]].drop_duplicates()["point"].value_counts()
        whole &= runs.reindex(range(len(points)), fill_value=0).to_numpy() == len(seeds)
        table = frame.pivot(index=["point", "metric"], columns="seed", values="value")
        full = table.reindex(index=everything, columns=list(seeds))
        for number, values in enumerate(found):
            rows = full.to_numpy(np.float64)[number * len(metrics) : (number + 1) * len(metrics)]
            values[world] = dict(zip(metrics, rows.tolist(), strict=True))
    return found, whole.tolist()


@dataclass(frozen=True)
class Contest:
    """A search, before it begins.

    Parameters
    ----------
    parameters : sequence of Parameter
        What varies.
    scorer : Scorer
    race : Race
    worlds : mapping of str to Evaluate
    seeds : sequence of int
        Of a whole trial.
    trials, batch, seed : int
        How many, how many at once, and the seed of the search.
    sampler : str
        As in :func:`experiments.plans.search.propose`.
    """

    parameters: Sequence[Parameter]
    scorer: Scorer
    race: Race
    worlds: Worlds
    seeds: Sequence[int]
    trials: int
    batch: int
    seed: int
    sampler: Sampler = "tpe"

    def run(self, journal: Journal, watch: Callable[[int, int], None] = lambda finished, runs: None) -> list[Record]:
        """Search to the end, going on from what the journal has.

        Parameters
        ----------
        journal : Journal
        watch : callable
            Told after each batch how many trials are finished, and how many runs were spared so far.

        Returns
        -------
        list of Record
            In the order of their numbers; fewer than `trials` if every point there is was tried, or if a run of every
            trial of a batch failed.
        """
        records = journal.records()
        while len(records) < self.trials:
            begin = len(records) // self.batch * self.batch
            scores = self.scorer.score(records[:begin])
            batch = self._proposals(scores, begin)[len(records) - begin :]
            if not batch:
                break
            raced, whole = self._raced(batch, scores, len(records))
            for record, kept in zip(raced, whole, strict=True):
                records.append(record)
                if kept:  # another attempt may have more luck with runs that failed
                    one = self.scorer.score([record])
                    journal.add(record, one.losses[0].mean(axis=1).tolist(), self._named(one))
            if not any(whole):
                break
            watch(len(records), sum(len(self.seeds) - record.seeds for record in records) * len(self.worlds))
        return records

    def point(self, unit: Unit) -> dict[str, Any]:
        """Return a point's values."""
        return {one.path: one.from_unit(share) for one, share in zip(self.parameters, unit, strict=True)}

    def _proposals(self, scores: Scores, begin: int) -> list[Unit]:
        """Return the points of the batch that begins with a number; none twice, and none that was tried before."""
        batch_number = begin // self.batch
        worlds = len(self.worlds)
        # Regret is measured against the best of each world, so every other batch looks for these in turn.
        target = batch_number // 2 % worlds if worlds > 1 and batch_number % 2 else None
        tried = scores.tried(target, [bound.limit for bound in self.scorer.bounds for _ in self.worlds])
        known = [dict(record.point) for record in scores.records]
        found: list[Unit] = []
        for number in range(begin, min(begin + self.batch, self.trials)):
            for attempt in range(ATTEMPTS):
                unit = propose(tried, len(self.parameters), self.seed, number, self.sampler, attempt)
                if self.point(unit) not in known:
                    known.append(self.point(unit))
                    found.append(unit)
                    break
            else:
                break
        return found

    def _raced(self, units: Sequence[Unit], scores: Scores, first: int) -> tuple[list[Record], list[bool]]:
        """Run a batch, block of seeds by block of seeds; return its records, and whether no run of them failed."""
        points = [self.point(unit) for unit in units]
        values: list[WorldValues] = [{} for _ in units]
        pruned = ["" for _ in units]
        whole = [True for _ in units]
        rivals = scores.rivals()
        running = list(range(len(units)))
        for block in self.race.blocks():
            seeds = [self.seeds[position] for position in block]
            measured, made = measure(self.worlds, [points[i] for i in running], seeds, self.scorer.metrics)
            for i, more, kept in zip(running, measured, made, strict=True):
                values[i] = _joined(values[i], more)
                whole[i] &= kept
                if block.stop < len(self.seeds):
                    pruned[i] = self.race.verdict(self.scorer.standing(first + i, values[i]), rivals)
            running = [i for i in running if not pruned[i]]
            if not running:
                break
        return [Record(first + i, units[i], points[i], values[i], pruned[i]) for i in range(len(units))], whole

    def _named(self, one: Scores) -> dict[str, float]:
        """Return the excess of each bound, the worst over worlds, by the bound's label."""
        excess = one.excess[0].reshape(len(self.scorer.bounds), len(self.worlds))
        return {
            bound.label: float(np.nanmax(row)) if np.isfinite(row).any() else math.nan
            for bound, row in zip(self.scorer.bounds, excess, strict=True)
        }


def _joined(values: WorldValues, more: WorldValues) -> WorldValues:
    """Append the values of further seeds."""
    if not values:
        return more
    return {
        world: {metric: [*values[world][metric], *further] for metric, further in metrics.items()}
        for world, metrics in more.items()
    }
