"""What ``shopsim run``, ``compare`` and ``report`` do."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

import sim
from experiments import comparison, engine, fork, guardrails, replication, runs, stats, tables
from experiments.files import to_json
from experiments.resources import executor_for, workers_that_fit
from experiments.scenario_commands import load_scenario
from experiments.store import Store
from sim import law
from sim.scenario import Problem, Scenario, ScenarioFileError, ScenarioValueError
from sim.scenario.overrides import COMMAND_LINE
from sim.scenario.problems import nearest
from sim.scenario.schema import ScenarioConfig

DONE, FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


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
    dask : str or None
        Address of a Dask scheduler, which then makes the runs.
    fork_at : str or None
        Day from which on the scenarios run, in a shop that was warmed up until then.

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
    dask: str | None = None
    fork_at: str | None = None

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
        return self.workers or cores()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(file: Path, options: Options, fork_from: Path | None = None) -> int:
    """Run one scenario and return the exit code.

    With ``fork_at``, the shop is warmed up under ``fork_from``, by default the file without ``--set``.
    """
    started = time.perf_counter()
    scenario = load_scenario(file, options.changes)
    if fork_from is not None and options.fork_at is None:
        raise ScenarioValueError(Problem("needs --fork-at, the day of the fork.", path="--fork-from"))
    work = _fork(options, load_scenario(fork_from or file), [scenario]) if options.fork_at else None
    folder = options.out or _marked(runs.run_folder(options.root, scenario, options.seeds), work)
    refuse_unwritable(folder)
    execution = _execute([replication.Task(scenario, seed, work) for seed in options.seeds], options, work)
    if execution is None:
        return INTERRUPTED
    print_failures(execution.failures)
    finished = execution.results
    if not finished:
        return exit_code(execution.failures, broken=True)
    arm = comparison.Arm(scenario.name, scenario, {result.seed: result for result in finished})
    checks = guardrails.check(scenario.name, scenario.config.guardrails, _estimator(arm))
    summary = {
        "scenario": scenario.name,
        "digest": scenario.digest,
        "version": sim.__version__,
        "seeds": list(arm.runs),
        **({"fork": work.to_dict()} if work else {}),
        "metrics": comparison.summarise(finished),
        "guardrails": [asdict(check) for check in checks],
        "law": law.facts(scenario.config, [result.facts for result in finished]),
        "failures": plain_failures(execution.failures),
        "elapsed_s": round(time.perf_counter() - started, 3),
    }
    runs.write_run(folder, scenario, finished, summary)
    report_file = render(folder)
    if options.as_json:
        print(to_json(summary))
    else:
        tables.print_run(tables.console(), scenario.name, scenario.config.question, summary, checks)
    _note(options, f"written to {report_file}")
    return exit_code(execution.failures, broken=any(check.state == "fail" for check in checks))


def compare(files: Sequence[Path], options: Options) -> int:
    """Compare arms with a base and return the exit code."""
    started = time.perf_counter()
    arms = comparison.named_arms([_arm(file, files, options.changes) for file in files])
    scenarios = [arm.scenario for arm in arms]
    work = _fork(options, scenarios[0], scenarios[1:]) if options.fork_at else None
    folder = options.out or _marked(runs.comparison_folder(options.root, arms, options.seeds), work)
    refuse_unwritable(folder)
    tasks = [replication.Task(arm.scenario, seed, work) for seed in options.seeds for arm in arms]
    execution = _execute(tasks, options, work)
    if execution is None:
        return INTERRUPTED
    print_failures(execution.failures)
    study = comparison.assemble(arms, execution, work)
    if not all(study.seeds(arm) for arm in study.arms):
        return exit_code(execution.failures, broken=True)
    forked = {"fork": work.to_dict()} if work else {}
    told = {
        arm.name: law.facts(arm.scenario.config, [run.facts for run in arm.runs.values()])
        for arm in (study.base, *study.arms.values())
    }
    summary = {**study.to_dict(), "law": told, **forked, "elapsed_s": round(time.perf_counter() - started, 3)}
    runs.write_comparison(folder, study, summary)
    report_file = render(folder)
    if options.as_json:
        print(to_json(summary))
    else:
        tables.print_comparison(tables.console(), study)
    _note(options, f"written to {report_file}")
    return exit_code(execution.failures, broken=bool(study.broken))


def _arm(file: Path, files: Sequence[Path], changes: Sequence[str]) -> Scenario:
    """Read one scenario of a comparison; ``--set ARM:path=value`` changes that of this name only."""
    named = [one.stem for one in files]
    own = []
    for change in changes:
        arm, _, rest = change.partition(":")
        if arm not in named:
            if ":" in change.partition("=")[0] and arm.partition(".")[0] not in ScenarioConfig.model_fields:
                message = f"'{arm}' is not an arm; arms: {', '.join(named)}."
                raise ScenarioValueError(
                    Problem(
                        message, COMMAND_LINE, None, change.partition("=")[0], ", ".join(named), nearest(arm, named)
                    )
                )
            own.append(change)
        elif arm == file.stem:
            own.append(rest)
    try:
        return load_scenario(file, own)
    except ScenarioValueError as error:
        if error.problems[0].file != COMMAND_LINE:
            raise
        hint = f"This is for {file}; --set {files[-1].stem}:... changes that arm only."
        raise ScenarioValueError(*(replace(one, message=f"{one.message} {hint}") for one in error.problems)) from None


def report(folder: Path) -> int:
    """Write ``report.html`` of a finished folder anew and return the exit code."""
    if not (folder / "manifest.json").is_file():
        raise ScenarioFileError(
            Problem("is not the folder of a run, a comparison or a study: it has no manifest.json.", str(folder))
        )
    print(render(folder))
    return DONE


def _fork(options: Options, base: Scenario, arms: Sequence[Scenario]) -> fork.FromDay:
    """Return the work of running arms from the day that was asked for."""
    assert options.fork_at is not None
    work = fork.from_day(options.fork_at, base, arms, options.root.resolve())
    _note(options, f"fork: {base.name} warms up for {options.fork_at}, then every scenario goes on from there")
    return work


def _marked(folder: Path, work: fork.FromDay | None) -> Path:
    """Add to a folder's name where its runs forked from."""
    return folder if work is None else folder.with_name(f"{folder.name}-from-{work.day}-{work.base.short_digest[:8]}")


def _execute(
    tasks: Sequence[replication.Task], options: Options, work: fork.FromDay | None = None
) -> replication.Execution | None:
    """Make the runs, showing progress; None if the user interrupts."""
    store = Store(options.root)
    if engine.must_compile():
        _note(options, "compiling: the first run takes a minute or two longer")
    workers, remark = options.processes(), ""
    if options.dask is None:
        workers, remark = workers_that_fit([task.scenario for task in tasks], workers)
    if remark:
        _note(options, remark)
    try:
        with executor_for(options.dask) as executor, progress(options.quiet) as watch:
            if work is not None:
                warm_ups = fork.warm_ups(work, tasks, store, options.fresh)
                replication.execute(warm_ups, workers=workers, progress=watch, executor=executor, light=True)
            execution = replication.execute(
                tasks, workers=workers, progress=watch, store=store, executor=executor, fresh=options.fresh
            )
    except replication.Interrupted as stopped:
        kept = f"{len(stopped.finished)} of {stopped.total} runs are kept in {store.root}"
        print(f"interrupted; {kept}: the same command goes on from there", file=sys.stderr)
        return None
    if execution.found:
        _note(options, f"{execution.found} of {len(tasks)} runs were found in {store.root} (--fresh runs them again)")
    return execution


@contextmanager
def progress(quiet: bool) -> Iterator[Callable[[float, int], None] | None]:
    """Show how many runs are done and how long the rest will take, on stderr."""
    if quiet:
        yield None
        return
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("runs,"), TimeRemainingColumn(), TextColumn("left"))
    with Progress(*columns, console=tables.console(stderr=True), transient=True) as bar:
        task = bar.add_task("runs", total=None)

        def watch(done: float, total: int) -> None:
            if bar.tasks[0].total is None:  # what was found says nothing of how long the rest will take
                bar.reset(task, completed=int(done), total=total)
            bar.update(task, completed=done, total=total)

        yield watch


def _estimator(arm: comparison.Arm) -> guardrails.Estimator:
    known = set(arm.metrics())

    def estimate(metric: str, confidence: float) -> stats.Estimate | None:
        if metric not in known:
            return None
        return stats.mean_estimate(arm.values(metric, list(arm.runs)), confidence)

    return estimate


def refuse_unwritable(folder: Path) -> None:
    """Find out before hours of simulation whether their result can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError as problem:
        raise ScenarioFileError(Problem(f"cannot be written ({problem.strerror}).", str(folder))) from None
    if not writable:
        raise ScenarioFileError(Problem("cannot be written.", str(folder)))


def render(folder: Path) -> Path:
    """Write the report, and return what to look at."""
    spec = find_spec("experiments.report")
    if spec is None or spec.origin is None:
        return folder
    import_module("experiments.report").render(folder)
    return folder / "report.html"


def plain_failures(failures: Sequence[replication.RunFailure]) -> list[dict[str, Any]]:
    """Return failed runs as ``--json`` prints them."""
    return [{"scenario": failure.scenario, "seed": failure.seed, "reason": failure.reason} for failure in failures]


def print_failures(failures: Sequence[replication.RunFailure]) -> None:
    """Print each traceback once, under all runs that ended with it; of bad input, the message alone."""
    runs_of: dict[str, list[str]] = {}
    for failure in failures:
        runs_of.setdefault(failure.traceback, []).append(f"{failure.scenario} with seed {failure.seed}")
    for text, names in runs_of.items():
        message = bad_input(text)
        print(message or f"{', '.join(names)} failed twice:\n{text}", file=sys.stderr)


def bad_input(traceback: str) -> str:
    """Return what a scenario got wrong that only building its world found out; empty if something else failed."""
    kind, _, message = traceback.strip().splitlines()[-1].partition(": ")
    return message if kind.startswith("sim.scenario.errors.") else ""


def exit_code(failures: Sequence[replication.RunFailure], *, broken: bool) -> int:
    """Return how a command ends whose runs failed, or whose guardrails are broken."""
    if any(bad_input(failure.traceback) for failure in failures):
        return BAD_INPUT
    return FAILED if failures or broken else DONE


def _note(options: Options, text: str) -> None:
    if not options.quiet:
        print(text, file=sys.stderr)
