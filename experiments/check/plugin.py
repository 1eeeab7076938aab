"""The pytest plugin: test a scenario as code is tested.

::

    @pytest.mark.shopsim(scenario="scenarios/referral.yaml", replicates=10)
    def test_rings_cost_little(shopsim_run):
        shopsim_run.holds("fraud_loss_share", max=0.03)

pytest loads this at every start, so that everything but pytest is imported when a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pandas as pd

    from experiments.comparison import Comparison
    from experiments.outcome import RunResult
    from experiments.replication import Execution
    from sim.scenario import Scenario

MARKER = (
    "shopsim(scenario, replicates=4, seed=1, changes=None, workers=1): the scenario that shopsim_run and "
    "shopsim_compare run, a path relative to pytest's root folder; changes are a mapping of dotted path to value"
)


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, also where markers are strict."""
    config.addinivalue_line("markers", MARKER)


@dataclass
class Laboratory:
    """Makes runs, each once in a session.

    Parameters
    ----------
    root : Path
        What relative paths are relative to.
    """

    root: Path
    made: dict[tuple[str, int], RunResult] = field(default_factory=dict)

    def load(self, scenario: str | Path | Scenario, changes: Mapping[str, Any] | None) -> Scenario:
        """Return a scenario of a file, or the given one, with changes."""
        from sim.scenario import Scenario

        loaded = scenario if isinstance(scenario, Scenario) else Scenario.load(self.root / scenario)
        return loaded.override(changes) if changes else loaded

    def run(self, scenario: Scenario, seeds: Sequence[int], workers: int = 1) -> Execution:
        """Run what was not run before; a failure is part of what is returned."""
        from experiments.replication import Execution, Task, execute

        tasks = [Task(scenario, seed) for seed in seeds]
        missing = execute([task for task in tasks if task.key not in self.made], workers=workers)
        self.made |= {(run.digest, run.seed): run for run in missing.results}
        done = [self.made[task.key].named(scenario.name) for task in tasks if task.key in self.made]
        return Execution(done, missing.failures)


@dataclass(frozen=True)
class ScenarioRuns:
    """The finished runs of one scenario.

    Parameters
    ----------
    scenario : Scenario
    results : list of RunResult
        One for each seed.
    """

    scenario: Scenario
    results: list[RunResult]

    def frame(self) -> pd.DataFrame:
        """Return the final metrics, a row for each seed."""
        import pandas as pd

        return pd.DataFrame([run.metrics for run in self.results], index=pd.Index(self.seeds, name="seed"))

    @property
    def seeds(self) -> list[int]:
        """With which it ran."""
        return [run.seed for run in self.results]

    def holds(
        self, metric: str, *, min: float | None = None, max: float | None = None, confidence: float = 0.95
    ) -> None:
        """Fail the test unless the mean of a metric is within bounds, with one-sided confidence for each.

        Parameters
        ----------
        metric : str
        min, max : float, optional
            In the metric's unit: yuan, shares of 1.
        confidence : float
            In (0.5, 1); a single replicate has none, and is undecided, which fails.
        """
        from types import SimpleNamespace

        from experiments import guardrails, stats
        from experiments.wording import number, percent
        from sim.metrics import METRICS

        __tracebackhide__ = True
        columns = self.frame()
        _refuse_unknown(metric, [str(name) for name in columns.columns])
        if min is None and max is None:
            raise ValueError("holds() needs min, max or both")
        bound = SimpleNamespace(metric=metric, min=min, max=max, confidence=confidence)
        checks = guardrails.check(
            self.scenario.name, [bound], lambda name, sure: stats.mean_estimate(columns[name].to_numpy(), sure)
        )
        unit = METRICS[metric].unit if metric in METRICS else ""
        wrong = [
            f"{metric} of {check.scenario} is {number(check.mean, unit)} over {len(self.results)} replicates; "
            f"{check.bound} {number(check.limit, unit)}: {check.state}, its one-sided {percent(confidence)} limit is "
            f"{number(check.confidence_limit, unit)}{'; ' + check.reason if check.reason else ''}"
            for check in checks
            if check.state != "pass"
        ]
        if wrong:
            pytest.fail("\n".join(wrong), pytrace=False)


@dataclass(frozen=True)
class ComparedRuns:
    """A base and an arm with the same seeds.

    Parameters
    ----------
    study : Comparison
        Everything there is to know; `effects` is its table.
    arm : str
        Name of the arm.
    """

    study: Comparison
    arm: str

    def effects(self) -> pd.DataFrame:
        """Return what the arm changes, a row for each metric; see :meth:`experiments.comparison.Comparison.effects`."""
        return self.study.effects().set_index("metric")

    def shows(self, metric: str, verdict: str) -> None:
        """Fail the test unless a metric's verdict is ``better``, ``worse``, ``higher``, ``lower``, ``same`` or
        ``undecided``.
        """
        __tracebackhide__ = True
        effects = self.effects()
        _refuse_unknown(metric, list(effects.index))
        row = effects.loc[metric]
        if row["verdict"] != verdict:
            limits = f"{row['ci_low']:.4g} to {row['ci_high']:.4g}"
            found = f"{metric}: {row['base_mean']:.4g} in {self.study.base.name}, {row['arm_mean']:.4g} in {self.arm}, "
            found += f"difference {row['mean_difference']:.4g} (95% interval {limits}, {row['pairs']} pairs)"
            pytest.fail(f"{found}: {row['verdict']}, and not {verdict}", pytrace=False)


def _refuse_unknown(metric: str, known: Sequence[str]) -> None:
    from sim.scenario.problems import nearest

    if metric not in known:
        hint = nearest(metric, known)
        raise KeyError(f"these runs have no metric {metric!r}" + (f"; did you mean {hint!r}?" if hint else ""))


@pytest.fixture(scope="session")
def shopsim_laboratory(pytestconfig: pytest.Config) -> Iterator[Laboratory]:
    """Make runs, each once in a session, for the other fixtures."""
    yield Laboratory(pytestconfig.rootpath)


@dataclass(frozen=True)
class _Marked:
    """What the marker says."""

    scenario: str | Path | Scenario
    replicates: int = 4
    seed: int = 1
    changes: Mapping[str, Any] | None = None
    workers: int = 1

    @classmethod
    def of(cls, request: pytest.FixtureRequest) -> _Marked:
        marker = request.node.get_closest_marker("shopsim")
        if marker is None:
            raise pytest.UsageError(f"{request.node.nodeid} needs @pytest.mark.shopsim(scenario=...)")
        try:
            return cls(*marker.args, **marker.kwargs)
        except TypeError:
            raise pytest.UsageError(f"{request.node.nodeid}: the marker takes {MARKER.partition(':')[0]}") from None

    @property
    def seeds(self) -> range:
        return range(self.seed, self.seed + self.replicates)


def _finished(execution: Execution) -> list[RunResult]:
    """Return the runs, or fail the test with the traceback of one that failed."""
    if execution.failures:
        failure = execution.failures[0]
        pytest.fail(f"{failure.scenario} with seed {failure.seed} failed twice:\n{failure.traceback}", pytrace=False)
    return execution.results


@pytest.fixture
def shopsim_run(request: pytest.FixtureRequest, shopsim_laboratory: Laboratory) -> ScenarioRuns:
    """Run the marker's scenario and return its runs."""
    marked = _Marked.of(request)
    scenario = shopsim_laboratory.load(marked.scenario, marked.changes)
    return ScenarioRuns(scenario, _finished(shopsim_laboratory.run(scenario, marked.seeds, marked.workers)))


@pytest.fixture
def shopsim_compare(request: pytest.FixtureRequest, shopsim_laboratory: Laboratory) -> Callable[..., ComparedRuns]:
    """Return a function that compares the marker's scenario with another, or with itself after changes.

    ``shopsim_compare("scenarios/teams.yaml")``, ``shopsim_compare(changes={"schemes.0.discount": "20%"})``.
    """
    marked = _Marked.of(request)

    def compare(
        scenario: str | Path | Scenario | None = None, changes: Mapping[str, Any] | None = None
    ) -> ComparedRuns:
        from experiments.comparison import Comparison, named_arms

        if scenario is None and not changes:
            raise ValueError("shopsim_compare needs another scenario, changes, or both")
        base = shopsim_laboratory.load(marked.scenario, marked.changes)
        other = base if scenario is None else shopsim_laboratory.load(scenario, None)
        arms = named_arms([base, shopsim_laboratory.load(other, changes)])
        for arm in arms:
            found = _finished(shopsim_laboratory.run(arm.scenario, marked.seeds, marked.workers))
            arm.runs = {run.seed: run for run in found}
        return ComparedRuns(Comparison(arms[0], arms[1:]), arms[1].name)

    return compare


@pytest.fixture
def shopsim_check(shopsim_laboratory: Laboratory) -> Callable[..., None]:
    """Return a function that fails the test if a baseline file does not hold, and says which metric moved.

    ``shopsim_check("results/baselines/referral.json")``; see :class:`experiments.check.checking.Request` for
    ``replicates``, ``until_decided`` and ``seeds_from``.
    """

    def check(file: str | Path, *, strict: bool = False, workers: int = 1, **request: Any) -> None:
        from experiments.check import checking, present
        from experiments.check.baseline import Baseline

        __tracebackhide__ = True
        outcome = checking.check(
            Baseline.read(shopsim_laboratory.root / file),
            checking.Request(**request),
            lambda scenario, seeds: shopsim_laboratory.run(scenario, seeds, workers),
        )
        if not outcome.passes(strict=strict):
            pytest.fail(present.plain(outcome), pytrace=False)

    return check
