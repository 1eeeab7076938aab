"""What all plan commands have in common: reading the plan, making the runs, the folder, the report, the exit code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

import sim
from experiments import commands, engine, tables
from experiments.files import to_json
from experiments.plans.evaluate import Runner
from experiments.plans.plan import Plan, load_plan
from experiments.plans.study import Findings, Study, write_study
from experiments.replication import Interrupted, RunFailure
from experiments.resources import executor_for, workers_that_fit
from experiments.runs import ROOT
from experiments.store import Store


@dataclass(frozen=True)
class PlanOptions:
    """What every plan command takes.

    Parameters
    ----------
    workers : int or None
        None: one for each core.
    changes : sequence of str
        ``path=value`` each, for the plan.
    out : Path or None
        Folder to write to; None: one below ``results/runs`` that is named by the plan.
    as_json, quiet, fresh : bool
    dask : str or None
        Address of a Dask scheduler, which then makes the runs.
    """

    workers: int | None = None
    changes: Sequence[str] = ()
    out: Path | None = None
    as_json: bool = False
    quiet: bool = False
    fresh: bool = False
    dask: str | None = None

    def note(self, text: str) -> None:
        """Say something on stderr, unless asked to be quiet."""
        if not self.quiet and text:
            print(text, file=sys.stderr)


def conduct(
    path: Path,
    options: PlanOptions,
    kind: str,
    experiment: Callable[[Plan[Any], Runner], Findings],
    show: Callable[[Console, Study], None],
) -> int:
    """Read a plan of a kind and carry it out; see :func:`carry_out`."""
    return carry_out(load_plan(path, options.changes, kind), options, experiment, show)


def carry_out(
    plan: Plan[Any],
    options: PlanOptions,
    experiment: Callable[[Plan[Any], Runner], Findings],
    show: Callable[[Console, Study], None],
) -> int:
    """Carry out a plan and return the exit code.

    Parameters
    ----------
    plan : Plan
    options : PlanOptions
        Whose changes are in the plan already.
    experiment : callable
        The method: makes runs with the runner and returns what it found.
    show : callable
        Prints the finished study as rich tables.

    Raises
    ------
    ScenarioError
        If the plan's scenario is wrong, or the folder cannot be written.
    """
    started = time.perf_counter()
    folder = folder_of(plan, options)
    commands.refuse_unwritable(folder)
    try:
        with runner_for(plan, options) as runner:
            findings = experiment(plan, runner)
    except Interrupted as stopped:
        kept = f"{runner.made + len(stopped.finished)} runs are kept in {store_of(options).root}"
        print(f"interrupted; {kept}: the same command goes on from there", file=sys.stderr)
        return commands.INTERRUPTED
    _print_failures(runner.failures)
    if runner.found:
        where = store_of(options).root
        options.note(f"{runner.found} of {runner.made} runs were found in {where} (--fresh runs them again)")
    summary = {
        "kind": plan.config.kind,
        "name": plan.name,
        "question": plan.config.question,
        "scenario": plan.scenario.name,
        "digest": plan.digest,
        "version": sim.__version__,
        "seeds": plan.seeds,
        **findings.summary,
        "failures": commands.plain_failures(runner.failures),
        "elapsed_s": round(time.perf_counter() - started, 3),
    }
    study = write_study(folder, plan, findings, summary)
    report = commands.render(folder)
    if options.as_json:
        print(to_json(summary))
    else:
        show(tables.console(), study)
    options.note(f"written to {report}")
    return commands.FAILED if runner.failures or not findings.passed else commands.DONE


def _print_failures(failures: Sequence[RunFailure]) -> None:
    """Print each reason once, under all points and seeds that it stopped; a point that cannot be built is one."""
    runs_of: dict[str, list[str]] = {}
    for failure in failures:
        reason = commands.bad_input(failure.traceback)
        text = f"failed: {reason}" if reason else f"failed twice:\n{failure.traceback}"
        runs_of.setdefault(text, []).append(f"{failure.scenario} with seed {failure.seed}")
    for text, names in runs_of.items():
        print(f"{', '.join(names)} {text}", file=sys.stderr)


def folder_of(plan: Plan[Any], options: PlanOptions) -> Path:
    """Return the folder of a study, which is named by what determines it."""
    return options.out or ROOT / f"{plan.name}-{plan.digest[:16]}"


def store_of(options: PlanOptions) -> Store:
    """Return where runs are kept: beside those of ``run`` and ``compare``, or in the folder that was asked for."""
    return Store(options.out or ROOT)


@contextmanager
def runner_for(plan: Plan[Any], options: PlanOptions) -> Iterator[Runner]:
    """Prepare to make runs: with Dask or with as many processes as there is memory for, and with progress shown."""
    if engine.must_compile():
        options.note("compiling: the first run takes a minute or two longer")
    workers = options.workers or commands.cores()
    if options.dask is None:
        workers, remark = workers_that_fit([plan.scenario], workers)
        options.note(remark)
    with executor_for(options.dask) as executor, commands.progress(options.quiet) as progress:
        yield Runner(workers, store_of(options), executor, progress, options.fresh, folder_of(plan, options))
