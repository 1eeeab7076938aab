"""What ``shopsim run``, ``compare`` and ``report`` do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import sim
from experiments import comparison, engine, guardrails, replication, runs, stats, tables
from experiments.files import to_json
from experiments.scenario_commands import load_scenario
from experiments.store import Store
from sim.scenario import Problem, ScenarioFileError, ScenarioValueError

DONE, FAILED, INTERRUPTED = 0, 1, 130


@dataclass(frozen=True)
class Options:
    """What ``run`` and ``compare`` have in common.

    Parameters
    ----------
    seed : int
        The first.
    replicates : int
    workers : int or None
        None: one for each core.
    changes : sequence of str
        ``path=value`` each, for every scenario.
    out : Path or None
        Folder to write to; None: one below ``results/runs`` that is named by what was run.
    as_json, quiet, fresh : bool

    Raises
    ------
    ScenarioValueError
        If the last seed is beyond the largest.
    """

    seed: int
    replicates: int
    workers: int | None
    changes: Sequence[str]
    out: Path | None
    as_json: bool
    quiet: bool
    fresh: bool

    def __post_init__(self) -> None:
        if self.seeds[-1] > replication.MAX_SEED:
            allowed = f"seeds up to {replication.MAX_SEED}"
            message = f"must leave room for {self.replicates} {allowed}. Got {self.seed}."
            raise ScenarioValueError(Problem(message, path="--seed", allowed=allowed))

    @property
    def seeds(self) -> range:
        """All of them."""
        return range(self.seed, self.seed + self.replicates)

    @property
    def root(self) -> Path:
        """Where finished replicates are kept."""
        return self.out or runs.ROOT

    def processes(self) -> int:
        """Return how many processes to use."""
        if self.workers is not None:
            return self.workers
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(file: Path, options: Options) -> int:
    """Run one scenario and return the exit code."""
    started = time.perf_counter()
    scenario = load_scenario(file, options.changes)
    folder = options.out or runs.run_folder(options.root, scenario, options.seeds)
    _refuse_unwritable(folder)
    execution = _execute([replication.Task(scenario, seed) for seed in options.seeds], options)
    if execution is None:
        return INTERRUPTED
    _print_failures(execution.failures)
    finished = execution.results
    if not finished:
        return FAILED
    arm = comparison.Arm(scenario.name, scenario, {result.seed: result for result in finished})
    checks = guardrails.check(scenario.name, scenario.config.guardrails, _estimator(arm))
    summary = {
        "scenario": scenario.name,
        "digest": scenario.digest,
        "version": sim.__version__,
        "seeds": list(arm.runs),
        "metrics": comparison.summarise(finished),
        "guardrails": [asdict(check) for check in checks],
        "failures": _plain_failures(execution.failures),
        "elapsed_s": round(time.perf_counter() - started, 3),
    }
    runs.write_run(folder, scenario, finished, summary)
    report_file = _render(folder)
    if options.as_json:
        print(to_json(summary))
    else:
        tables.print_run(tables.console(), scenario.name, scenario.config.question, summary, checks)
    _note(options, f"written to {report_file}")
    return FAILED if execution.failures or any(check.state == "fail" for check in checks) else DONE


def compare(files: Sequence[Path], options: Options) -> int:
    """Compare arms with a base and return the exit code."""
    started = time.perf_counter()
    arms = comparison.named_arms([load_scenario(file, options.changes) for file in files])
    folder = options.out or runs.comparison_folder(options.root, arms, options.seeds)
    _refuse_unwritable(folder)
    tasks = [replication.Task(arm.scenario, seed) for seed in options.seeds for arm in arms]
    execution = _execute(tasks, options)
    if execution is None:
        return INTERRUPTED
    _print_failures(execution.failures)
    study = comparison.assemble(arms, execution)
    if not all(study.seeds(arm) for arm in study.arms):
        return FAILED
    summary = {**study.to_dict(), "elapsed_s": round(time.perf_counter() - started, 3)}
    runs.write_comparison(folder, study, summary)
    report_file = _render(folder)
    if options.as_json:
        print(to_json(summary))
    else:
        tables.print_comparison(tables.console(), study)
    _note(options, f"written to {report_file}")
    return FAILED if execution.failures or study.broken else DONE


def report(folder: Path) -> int:
    """Write ``report.html`` of a finished folder anew and return the exit code."""
    if not (folder / "manifest.json").is_file():
        raise ScenarioFileError(
            Problem("is not the folder of a run or a comparison: it has no manifest.json.", str(folder))
        )
    print(_render(folder))
    return DONE


def _execute(tasks: Sequence[replication.Task], options: Options) -> replication.Execution | None:
    """Make the runs, showing progress; None if the user interrupts."""
    store = Store(options.root)
    if engine.must_compile():
        _note(options, "compiling: the first run takes a minute or two longer")
    try:
        with _progress(options.quiet) as progress:
            execution = replication.execute(
                tasks, workers=options.processes(), progress=progress, store=store, fresh=options.fresh
            )
    except replication.Interrupted as stopped:
        kept = f"{len(stopped.finished)} of {stopped.total} runs are kept in {store.root}"
        print(f"interrupted; {kept}: the same command goes on from there", file=sys.stderr)
        return None
    if execution.found:
        _note(options, f"{execution.found} of {len(tasks)} runs were found in {store.root} (--fresh runs them again)")
    return execution


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[float, int], None] | None]:
    """Show how many runs are done and how long the rest will take, on stderr."""
    if quiet:
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("runs,"), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=tables.console(stderr=True), transient=True) as bar:
        task = bar.add_task("runs", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _estimator(arm: comparison.Arm) -> guardrails.Estimator:
    known = set(arm.metrics())

    def estimate(metric: str, confidence: float) -> stats.Estimate | None:
        if metric not in known:
            return None
        return stats.mean_estimate(arm.values(metric, list(arm.runs)), confidence)

    return estimate


def _refuse_unwritable(folder: Path) -> None:
    """Find out before hours of simulation whether their result can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as problem:
        raise ScenarioFileError(Problem(f"cannot be written ({problem.strerror}).", str(folder))) from None
    if not writable:
        raise ScenarioFileError(Problem("cannot be written.", str(folder)))


def _render(folder: Path) -> Path:
    """Write the report, and return what to look at."""
    spec = find_spec("experiments.report")
    if spec is None or spec.origin is None:
        return folder
    import_module("experiments.report").render(folder)
    return folder / "report.html"


def _plain_failures(failures: Sequence[replication.RunFailure]) -> list[dict[str, Any]]:
    return [{"scenario": failure.scenario, "seed": failure.seed, "reason": failure.reason} for failure in failures]


def _print_failures(failures: Sequence[replication.RunFailure]) -> None:
    """Print each traceback once, under all runs that ended with it."""
    runs_of: dict[str, list[str]] = {}
    for failure in failures:
        runs_of.setdefault(failure.traceback, []).append(f"{failure.scenario} with seed {failure.seed}")
    for text, names in runs_of.items():
        print(f"{', '.join(names)} failed twice:\n{text}", file=sys.stderr)


def _note(options: Options, text: str) -> None:
    if not options.quiet:
        print(text, file=sys.stderr)
