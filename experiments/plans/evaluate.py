"""Points and seeds in, a tidy frame out: what every method of designing experiments is written against.

A method takes an :data:`Evaluate` and knows nothing of shops, so that the same code is tested on functions whose answer
is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.outcome import RunResult
from experiments.plans.parameters import Point
from experiments.plans.plan import Plan
from experiments.replication import Progress, RunFailure, Task, Work, execute
from experiments.store import Store

COLUMNS = ("point", "seed", "metric", "value")

Evaluate = Callable[[Sequence[Point], Sequence[int]], pd.DataFrame]
"""Evaluate points, each with every seed: a tidy frame ``point`` (position among the given points), ``seed``,
``metric``, ``value``; a run that failed has no rows, a metric without enough data is NaN."""


@dataclass
class Runner:
    """How runs are made, and what became of them over all calls.

    Parameters
    ----------
    workers, store, executor, progress, fresh
        As in :func:`experiments.replication.execute`.
    folder : Path, optional
        Of the study, for a method that keeps a state of its own between calls.
    planned : int
        Runs that are expected in all, for the progress; 0 if that is known only as they are asked for.

    Attributes
    ----------
    made, found : int
        Runs that ended, and those of them that the store had.
    failures : list of RunFailure
    """

    workers: int = 1
    store: Store | None = None
    executor: Executor | None = None
    progress: Progress | None = None
    fresh: bool = False
    folder: Path | None = None
    planned: int = 0
    made: int = 0
    found: int = 0
    failures: list[RunFailure] = field(default_factory=list)

    def execute(self, tasks: Sequence[Task], *, light: bool = False) -> list[RunResult]:
        """Make runs; those that failed twice are left out and kept in ``failures``.

        Raises
        ------
        Interrupted
            On Ctrl-C.
        """
        execution = execute(
            tasks,
            workers=self.workers,
            store=self.store,
            executor=self.executor,
            progress=self._watch if self.progress else None,
            fresh=self.fresh,
            light=light,
        )
        self.made += len({task.key for task in tasks})
        self.found += execution.found
        self.failures += execution.failures
        return execution.results

    def _watch(self, done: float, total: int) -> None:
        assert self.progress is not None
        self.progress(self.made + done, max(self.planned, self.made + total))


def shop_evaluator(
    plan: Plan[Any], runner: Runner, metrics: Sequence[str] | None = None, work: Work | None = None
) -> Evaluate:
    """Return an evaluator that runs the plan's scenario at each point.

    Parameters
    ----------
    plan : Plan
    runner : Runner
        Makes the runs; what failed is in its ``failures``.
    metrics : sequence of str, optional
        What to keep; by default what the plan lists.
    work : Work, optional
        As in :class:`experiments.replication.Task`.

    Returns
    -------
    Evaluate
        Raises ScenarioError if the values of a point do not fit together, before anything runs.
    """
    names = list(plan.config.metrics if metrics is None else metrics)

    def evaluate(points: Sequence[Point], seeds: Sequence[int]) -> pd.DataFrame:
        # A name of its own for each point tells failures apart; it does not count for what determines a run.
        named = [plan.at(point, f"{plan.scenario.name[:60]}-point-{number}") for number, point in enumerate(points)]
        tasks = [Task(scenario, seed, work) for scenario in named for seed in seeds]
        results = {(run.digest, run.seed): run for run in runner.execute(tasks, light=True)}
        rows = [
            (number // len(seeds), task.seed, name, results[task.key].metrics.get(name, float("nan")))
            for number, task in enumerate(tasks)
            if task.key in results
            for name in names
        ]
        return pd.DataFrame(rows, columns=list(COLUMNS)).astype({"point": "int64", "seed": "int64", "value": "float64"})

    return evaluate
