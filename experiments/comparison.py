"""Compare arms with a base: paired effects, person-level twins, guardrails, and a verdict in a sentence.

>>> from experiments import compare
>>> study = compare(["baseline.yaml", "group_buy.yaml"], replicates=20, workers=2)  # doctest: +SKIP
>>> study.effects()  # doctest: +SKIP

Every arm runs with the same seeds as the base, and only seeds that finished in both are compared.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments import fork, guardrails, stats
from experiments.outcome import RunResult
from experiments.replication import Execution, Progress, RunFailure, Task, Work, execute
from experiments.store import Store
from experiments.twins import Twins, compare_twins
from experiments.verdicts import RIVALRY, Verdicts
from sim.metrics import METRICS

if TYPE_CHECKING:
    from sim.scenario import Scenario

INCREMENTS: dict[str, tuple[str, int, str]] = {
    "persuaded": ("persons", 1, "bought in this arm, their twins in the base arm did not"),
    "anyway": ("persons", 0, "bought in both arms"),
    "put_off": ("persons", -1, "bought in the base arm, not in this one"),
    "unmoved": ("persons", 0, "bought in neither arm"),
    "anyway_benefit_share": ("share", -1, "share of real persons' benefits that went to those who bought in both"),
    "incremental_members": ("persons", 1, METRICS["incremental_members"].formula),
    "incremental_gmv": ("yuan", 1, METRICS["incremental_gmv"].formula),
    "incremental_contribution": ("yuan", 1, METRICS["incremental_contribution"].formula),
    "incremental_cost": ("yuan", -1, "incentive_cost + kol_cost less the base arm's"),
    "roi": ("yuan a yuan", 1, "incremental_contribution / incremental_cost"),
    "cost_per_extra_member": ("yuan a person", -1, "incremental_cost / incremental_members"),
    "hit_gmv": ("yuan", -1, "what twins of the real persons whom risk control hit here paid, less what they did"),
}
"""Unit, direction and formula of what only a comparison can tell."""
RATIOS = {
    "roi": ("incremental_contribution", "incremental_cost"),
    "cost_per_extra_member": ("incremental_cost", "incremental_members"),
    "anyway_benefit_share": ("anyway_benefit", "benefit"),
}
"""Numerator and denominator of what is a ratio of sums over replicates, so that each counts by what it weighs."""
DIFFERENCES = ("incremental_cost", "incremental_members")
"""Denominators that may be below zero: until they are surely not, a ratio says nothing, not even by its sign."""


def direction_of(metric: str) -> int:
    """Return +1 if more of a metric is better, -1 if less is, 0 if neither or if nobody says.

    A scheme with a name of its own reports as ``name.metric``.
    """
    if metric in INCREMENTS:
        return INCREMENTS[metric][1]
    known = METRICS.get(metric) or METRICS.get(metric.rpartition(".")[2])
    return known.direction if known is not None else 0


@dataclass
class Arm:
    """One scenario of a comparison and its finished runs, by seed."""

    name: str
    scenario: Scenario
    runs: dict[int, RunResult] = field(default_factory=dict)

    def values(self, metric: str, seeds: Sequence[int]) -> np.ndarray:
        """Return a metric's final values, shape (seeds,); NaN where a run does not have it."""
        return np.array([self.runs[seed].metrics.get(metric, np.nan) for seed in seeds], np.float64)

    def metrics(self) -> list[str]:
        """Return the names of all metrics, in the order in which they first appear."""
        return list(dict.fromkeys(name for run in self.runs.values() for name in run.metrics))


class Comparison:
    """What a comparison found; see :func:`compare`.

    Parameters
    ----------
    base : Arm
    arms : sequence of Arm
    failures : sequence of RunFailure
        Runs that are missing.

    Attributes
    ----------
    base, arms, failures
        As given.
    """

    def __init__(self, base: Arm, arms: Sequence[Arm], failures: Sequence[RunFailure] = ()) -> None:
        self.base = base
        self.arms = {arm.name: arm for arm in arms}
        self.failures = list(failures)

    def seeds(self, arm: str) -> list[int]:
        """Return the seeds that finished both in the base and in an arm."""
        return [seed for seed in self.base.runs if seed in self.arms[arm].runs]

    @cached_property
    def _effects(self) -> pd.DataFrame:
        rows = [self._effect(arm, metric) for arm in self.arms.values() for metric in self._metrics(arm)]
        return pd.DataFrame(rows).astype({"replicates_needed": "Int64"})

    def effects(self) -> pd.DataFrame:
        """Return what each arm changes, a row for each arm and metric.

        Returns
        -------
        DataFrame
            ``arm``, ``metric``; ``pairs``: seeds with a value in both; ``base_mean``, ``arm_mean`` over these,
            or if there are none over the seeds with a value;
            ``mean_difference`` with its 95% interval ``ci_low``, ``ci_high`` (paired t); ``relative_difference`` =
            arm_mean / base_mean - 1 with ``relative_low``, ``relative_high`` (Fieller), NaN unless base_mean is above
            zero; ``p_better``: posterior
            probability that the arm moves the metric in the better direction (NaN if there is none);
            ``variance_reduction``: how many times pairing shrinks the variance of the difference; ``verdict``;
            ``replicates_needed`` to settle what is undecided. See :mod:`experiments.stats` for the formulas.
        """
        return self._effects.copy()

    def _metrics(self, arm: Arm) -> list[str]:
        return list(dict.fromkeys([*self.base.metrics(), *arm.metrics()]))

    def _effect(self, arm: Arm, metric: str) -> dict[str, Any]:
        seeds = self.seeds(arm.name)
        own = self.base.values(metric, seeds), arm.values(metric, seeds)
        before, after = stats.known(*own)
        difference = stats.mean_estimate(after - before)
        relative = stats.ratio_estimate(after, before) if before.sum() > 0 else stats.Estimate(np.nan)
        direction = direction_of(metric)
        verdict = stats.verdict(difference, direction)
        needed = stats.replicates_needed(after - before) if verdict == "undecided" else None
        return {
            "arm": arm.name,
            "metric": metric,
            "pairs": difference.replicates,
            "base_mean": stats.mean_estimate(before if before.size else own[0]).mean,
            "arm_mean": stats.mean_estimate(after if after.size else own[1]).mean,
            "mean_difference": difference.mean,
            "ci_low": difference.low,
            "ci_high": difference.high,
            "relative_difference": relative.mean - 1,
            "relative_low": relative.low - 1,
            "relative_high": relative.high - 1,
            "p_better": stats.probability_positive(direction * (after - before)) if direction else np.nan,
            "variance_reduction": stats.variance_reduction(before, after),
            "verdict": verdict,
            "replicates_needed": needed,
        }

    @cached_property
    def _twins(self) -> pd.DataFrame:
        rows = []
        for seed, run in self.base.runs.items():
            people = run.tables["people"]
            for arm in self.arms.values():
                if seed in arm.runs:
                    twins = compare_twins(people, arm.runs[seed].tables["people"])
                    rows.append({"arm": arm.name, "seed": seed, **asdict(twins), **self._money(arm, seed)})
        columns = ["arm", "seed", *Twins.__dataclass_fields__, "incremental_contribution", "incremental_cost"]
        return pd.DataFrame(rows, columns=columns)

    def twins(self) -> pd.DataFrame:
        """Return what twins tell, a row for each arm and seed: the columns of :class:`experiments.twins.Twins`, and
        ``incremental_contribution`` and ``incremental_cost`` in yuan, which count fake accounts too.
        """
        return self._twins.copy()

    def _money(self, arm: Arm, seed: int) -> dict[str, float]:
        before, after = self.base.runs[seed].metrics, arm.runs[seed].metrics
        cost = after["incentive_cost"] + after["kol_cost"] - before["incentive_cost"] - before["kol_cost"]
        return {
            "incremental_contribution": after["contribution"] - before["contribution"],
            "incremental_cost": cost,
        }

    def increment(self, arm: str, name: str, confidence: float = stats.CONFIDENCE) -> stats.Estimate:
        """Estimate one of :data:`INCREMENTS`; ratios are of means over replicates, with Fieller's interval.

        A ratio by a difference has no value unless that is above zero with this confidence; with one replicate, at all.
        """
        rows = self._twins[self._twins["arm"] == arm]
        if name in RATIOS:
            top, bottom = RATIOS[name]
            below = stats.mean_estimate(rows[bottom], confidence)
            sure = below.low if below.replicates > 1 else below.mean
            if bottom in DIFFERENCES and not sure > 0:
                return stats.Estimate(np.nan, replicates=below.replicates)
            return stats.ratio_estimate(rows[top], rows[bottom], confidence)
        return stats.mean_estimate(rows[name], confidence)

    def increments(self) -> pd.DataFrame:
        """Return what only a comparison can tell: ``arm``, ``metric``, ``mean``, ``ci_low``, ``ci_high``, ``unit``."""
        rows = []
        for arm in self.arms:
            for name, (unit, _, _) in INCREMENTS.items():
                found = self.increment(arm, name)
                rows.append(
                    {
                        "arm": arm,
                        "metric": name,
                        "mean": found.mean,
                        "ci_low": found.low,
                        "ci_high": found.high,
                        "unit": unit,
                    }
                )
        return pd.DataFrame(rows)

    @cached_property
    def checks(self) -> list[guardrails.Check]:
        """What became of the guardrails of the base and of each arm."""
        checks = []
        for arm in (self.base, *self.arms.values()):
            checks += guardrails.check(arm.name, arm.scenario.config.guardrails, self._estimator(arm))
        return checks

    def _estimator(self, arm: Arm) -> guardrails.Estimator:
        known = set(arm.metrics())

        def estimate(metric: str, confidence: float) -> stats.Estimate | None:
            if metric in INCREMENTS:
                return self.increment(arm.name, metric, confidence) if arm is not self.base else None
            if metric not in known:
                return stats.Estimate(np.nan)
            return stats.mean_estimate(arm.values(metric, list(arm.runs)), confidence)

        return estimate

    def guardrails(self) -> pd.DataFrame:
        """Return a row for each bound of each scenario: the fields of :class:`experiments.guardrails.Check`."""
        return pd.DataFrame(map(asdict, self.checks), columns=list(guardrails.Check.__dataclass_fields__))

    @property
    def broken(self) -> bool:
        """Whether any guardrail fails."""
        return any(check.state == "fail" for check in self.checks)

    def verdict(self, arm: str | None = None) -> str:
        """Return the finding in a sentence: of one arm, or by default of the whole comparison."""
        return self._verdicts.of(arm) if arm is not None else self._verdicts.of_all()

    def rivals(self) -> pd.DataFrame:
        """Return how the arm that the verdict chooses does beside each arm that it was chosen over, in new members.

        Returns
        -------
        DataFrame
            ``arm``, ``rival``; ``pairs``: seeds that finished in both; ``mean_difference`` of arm minus rival with its
            95% interval ``ci_low``, ``ci_high`` (paired t); ``p_value`` (paired t, two-sided); ``p_adjusted`` by Holm
            over all pairs of these arms, as any of them could have been chosen; ``verdict``: ``better`` if the arm is
            above the rival and ``p_adjusted`` at most 5%, ``same`` if no replicate differs, else ``undecided`` (``no
            data`` for fewer than two pairs); ``replicates_needed`` to settle what is undecided, at least. Empty if no
            arm is chosen, or if there is only one.
        """
        return pd.DataFrame(self._verdicts.rivals, columns=RIVALRY).astype({"replicates_needed": "Int64"})

    @cached_property
    def _verdicts(self) -> Verdicts:
        return Verdicts(self)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data, as ``--json`` prints it; without ``elapsed_s``."""
        import sim

        return {
            "scenario": self.base.name,
            "digest": self.base.scenario.digest,
            "version": sim.__version__,
            "seeds": list(self.base.runs),
            "metrics": summarise(list(self.base.runs.values())),
            "base": self.base.name,
            "arms": {
                arm.name: {"digest": arm.scenario.digest, "metrics": summarise(list(arm.runs.values()))}
                for arm in self.arms.values()
            },
            "effects": plain_records(self._effects),
            "increments": plain_records(self.increments()),
            "guardrails": plain_records(self.guardrails()),
            "verdict": self.verdict(),
            "verdicts": {arm: self.verdict(arm) for arm in self.arms},
            "choice": {**self._verdicts.chosen, "rivals": plain_records(self.rivals())},
            "failures": [{"scenario": f.scenario, "seed": f.seed, "reason": f.reason} for f in self.failures],
        }


def summarise(runs: Sequence[RunResult]) -> dict[str, dict[str, Any]]:
    """Return each metric's mean, 95% interval and values over the runs of one scenario."""
    names = list(dict.fromkeys(name for run in runs for name in run.metrics))
    summary = {}
    for name in names:
        values = [run.metrics.get(name, np.nan) for run in runs]
        found = stats.mean_estimate(values)
        summary[name] = {"mean": found.mean, "ci_low": found.low, "ci_high": found.high, "values": values}
    return summary


def plain_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table's rows as plain dicts, missing values as None."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return [{str(key): value for key, value in row.items()} for row in rows]


def compare(
    scenarios: Sequence[Scenario | str | os.PathLike[str]],
    replicates: int = 20,
    workers: int = 1,
    seed: int = 1,
    *,
    progress: Progress | None = None,
    store: Store | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    fork_at: str | None = None,
) -> Comparison:
    """Run a base and its arms with the same seeds, and compare them.

    Parameters
    ----------
    scenarios : sequence of Scenario or path
        The base first, then at least one arm.
    replicates : int
        Seeds ``seed``, ``seed + 1``, ...
    workers, progress, store, executor, fresh
        As in :func:`experiments.replication.execute`.
    seed : int
        The first.
    fork_at : str, optional
        Run the base to this day ("30d"), once for each seed, and branch all arms off there; see
        :mod:`experiments.fork`.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        If there is no arm or no replicate.
    Interrupted
        On Ctrl-C.
    """
    if len(scenarios) < 2:
        raise ValueError("a comparison needs a base and at least one arm")
    if replicates < 1:
        raise ValueError(f"replicates must be at least 1. Got {replicates}.")
    arms = named_arms(scenarios)
    seeds = range(seed, seed + replicates)
    root = None if store is None else store.root.resolve()
    base, *others = (arm.scenario for arm in arms)
    work = None if fork_at is None else fork.from_day(fork_at, base, others, root)
    tasks = [Task(arm.scenario, number, work) for number in seeds for arm in arms]
    if work is not None:
        warm_ups = fork.warm_ups(work, tasks, store, fresh)
        execute(warm_ups, workers=workers, progress=progress, executor=executor, light=True)
    execution = execute(tasks, workers=workers, progress=progress, store=store, executor=executor, fresh=fresh)
    return assemble(arms, execution, work)


def assemble(arms: Sequence[Arm], execution: Execution, work: Work | None = None) -> Comparison:
    """Give each arm its finished runs, made by some work, and compare the first arm with the others."""
    for arm in arms:
        digest = Task(arm.scenario, 0, work).digest
        arm.runs = {run.seed: run for run in execution.results if run.digest == digest}
    return Comparison(arms[0], arms[1:], execution.failures)


def named_arms(scenarios: Sequence[Scenario | str | os.PathLike[str]]) -> list[Arm]:
    """Load scenarios where only a path is given, and give each a name of its own."""
    from sim.scenario import Scenario

    arms: list[Arm] = []
    for item in scenarios:
        scenario = Scenario.load(item) if isinstance(item, str | os.PathLike) else item
        taken = {arm.name for arm in arms}
        name, number = scenario.name, 2
        while name in taken:
            name, number = f"{scenario.name}-{number}", number + 1
        arms.append(Arm(name, scenario))
    return arms
