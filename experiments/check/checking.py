"""Run a baseline's scenario again and decide, with more seeds where something stays undecided."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np

from experiments.check.baseline import FEWEST_SEEDS, Baseline, Values
from experiments.check.decide import Finding, decide
from experiments.outcome import RunResult
from experiments.replication import MAX_SEED, Execution, RunFailure
from sim.scenario import Problem, Scenario, ScenarioValueError

Run = Callable[[Scenario, Sequence[int]], Execution]
"""Makes runs of a scenario with some seeds."""
State = Literal["equal", "equivalent", "changed", "undecided", "failed"]
SMALLEST_LOOK = 5


@dataclass(frozen=True)
class Request:
    """With which seeds to check.

    Parameters
    ----------
    changes : sequence of str
        ``path=value`` each, to see what a change would do.
    replicates : int, optional
        How many seeds at first; default: as many as the baseline has, or with `until_decided` a quarter of that.
    until_decided : int, optional
        Go on with up to so many seeds while a metric is undecided; the seeds double from look to look.
    seeds_from : int, optional
        Other seeds than the baseline's, from this one on; as many of the baseline's own are compared with them.
    """

    changes: Sequence[str] = ()
    replicates: int | None = None
    until_decided: int | None = None
    seeds_from: int | None = None

    def looks(self, baseline: Baseline) -> list[int]:
        """Return how many seeds each look at a baseline has.

        Raises
        ------
        ScenarioValueError
            If the baseline has too few.
        """
        own = len(baseline.content.seeds)
        last = self.until_decided or self.replicates or own
        first = self.replicates or (max(SMALLEST_LOOK, math.ceil(last / 4)) if self.until_decided else own)
        for option, asked in (("--replicates", self.replicates), ("--until-decided", self.until_decided)):
            if asked is not None and asked > own:
                message = f"must be at most {own}, the seeds of {baseline.file}: write it with more (shopsim baseline "
                message += f"--replicates {asked}). Got {asked}."
                raise ScenarioValueError(Problem(message, path=option))
            if asked is not None and asked < FEWEST_SEEDS:
                raise ScenarioValueError(Problem(f"must be at least {FEWEST_SEEDS}. Got {asked}.", path=option))
        sizes = [min(first, last)]
        while sizes[-1] < last:
            sizes.append(min(2 * sizes[-1], last))
        return sizes

    def seeds(self, baseline: Baseline, count: int) -> list[int]:
        """Return the first seeds to run.

        Raises
        ------
        ScenarioValueError
            If other seeds are wanted and are not other ones, or there are not so many.
        """
        own = baseline.content.seeds
        if self.seeds_from is None:
            return own[:count]
        seeds = range(self.seeds_from, self.seeds_from + count)
        if shared := sorted(set(own) & set(seeds)):
            message = f"must leave out the seeds of {baseline.file}, such as {shared[0]}: the same seeds give the same "
            message += f"values, which Welch's test would take for evidence. Got {self.seeds_from}."
            raise ScenarioValueError(Problem(message, path="--seeds-from"))
        if seeds[-1] > MAX_SEED:
            message = f"must leave room for {count} seeds up to {MAX_SEED}. Got {self.seeds_from}."
            raise ScenarioValueError(Problem(message, path="--seeds-from"))
        return list(seeds)


@dataclass(frozen=True)
class Outcome:
    """What a check of one baseline found.

    Parameters
    ----------
    baseline : Baseline
    scenario : Scenario
        As it is now.
    runs : list of RunResult
    paired : bool
        Whether the seeds are those of the baseline.
    looks : int
        At how many numbers of seeds the check may have looked.
    findings : list of Finding
        One for each metric of the baseline; none if no run finished.
    failures : list of RunFailure
    """

    baseline: Baseline
    scenario: Scenario
    runs: list[RunResult]
    paired: bool
    looks: int
    findings: list[Finding]
    failures: list[RunFailure] = field(default_factory=list)

    def those(self, *verdicts: str) -> list[Finding]:
        """Return the findings with any of these verdicts."""
        return [finding for finding in self.findings if finding.verdict in verdicts]

    @property
    def state(self) -> State:
        """The worst verdict of any metric; ``failed`` if a run did."""
        if self.failures:
            return "failed"
        for verdict in ("changed", "undecided", "equivalent"):
            if self.those(verdict):
                return verdict
        return "equal"

    def passes(self, *, strict: bool) -> bool:
        """Whether nothing changed; if `strict`, also whether everything is decided."""
        return self.state in ("equal", "equivalent") or (self.state == "undecided" and not strict)

    @property
    def scenario_edited(self) -> bool:
        """Whether the scenario or the version of shopsim, which its digest holds, differs from the baseline's."""
        return self.scenario.digest != self.baseline.content.scenario_digest

    @property
    def unlisted(self) -> int:
        """How many metrics the runs have that the baseline does not."""
        return len({name for run in self.runs for name in run.metrics} - set(self.baseline.content.metrics))

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        content = self.baseline.content
        return {
            "baseline": str(self.baseline.file),
            "state": self.state,
            "scenario": content.scenario,
            "digest": self.scenario.digest,
            "baseline_digest": content.scenario_digest,
            "baseline_version": content.version,
            "seeds": [run.seed for run in self.runs],
            "paired": self.paired,
            "confidence": content.confidence,
            "looks": self.looks,
            "metrics": {finding.metric: asdict(finding) for finding in self.findings},
            "failures": [{"seed": failure.seed, "reason": failure.reason} for failure in self.failures],
        }


def check(baseline: Baseline, request: Request, run: Run) -> Outcome:
    """Run a baseline's scenario again and compare.

    Parameters
    ----------
    baseline : Baseline
    request : Request
    run : callable
        Makes runs.

    Raises
    ------
    ScenarioError
        If the scenario is gone or broken, or the request does not fit the baseline.
    """
    sizes = request.looks(baseline)
    seeds = request.seeds(baseline, sizes[-1])
    scenario = baseline.scenario(request.changes)
    paired = request.seeds_from is None
    runs: list[RunResult] = []
    failures: list[RunFailure] = []
    done = 0
    for size in sizes:
        execution = run(scenario, seeds[done:size])
        runs += execution.results
        failures += execution.failures
        done = size
        findings = compare(baseline, runs, paired=paired, looks=len(sizes)) if runs else []
        if not any(finding.verdict == "undecided" for finding in findings):
            break
    return Outcome(baseline, scenario, runs, paired, len(sizes), findings, failures)


def compare(baseline: Baseline, runs: Sequence[RunResult], *, paired: bool, looks: int = 1) -> list[Finding]:
    """Compare finished runs with a baseline, metric by metric.

    Parameters
    ----------
    baseline : Baseline
    runs : sequence of RunResult
        At least one and at most as many as the baseline's; with seeds of it if `paired`.
    paired : bool
    looks : int
        See :func:`experiments.check.decide.decide`.
    """
    tracked = baseline.content.metrics
    # Of other seeds as many on either side: then what is skewed is so on both, and the difference is not.
    rows = [baseline.content.seeds.index(run.seed) if paired else row for row, run in enumerate(runs)]
    return decide(
        {name: item.array[rows] for name, item in tracked.items()},
        {name: _column(runs, name) for name in tracked},
        {name: item.tolerance for name, item in tracked.items()},
        paired=paired,
        confidence=baseline.content.confidence,
        looks=looks,
    )


def _column(runs: Sequence[RunResult], metric: str) -> Values:
    return np.array([run.metrics.get(metric, math.nan) for run in runs], np.float64)
