"""What ``shopsim baseline`` and ``shopsim check`` do."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sim
from experiments import engine, tables
from experiments.check import present
from experiments.check.baseline import Baseline, metrics_to_write
from experiments.check.checking import Outcome, Request, check
from experiments.commands import DONE, FAILED, INTERRUPTED, cores, print_failures, progress, refuse_unwritable
from experiments.files import to_json, write_text
from experiments.outcome import RunResult
from experiments.replication import MAX_SEED, Execution, Interrupted, Task, execute
from experiments.resources import workers_that_fit
from experiments.scenario_commands import load_scenario
from sim.scenario import Problem, Scenario, ScenarioFileError, ScenarioValueError

FOLDER = Path("results/baselines")


@dataclass(frozen=True)
class Work:
    """How to run, and how much to say.

    Parameters
    ----------
    workers : int or None
        Processes; None: one for each core.
    as_json, quiet : bool
    """

    workers: int | None
    as_json: bool = False
    quiet: bool = False

    def run(self, scenario: Scenario, seeds: Sequence[int]) -> Execution:
        """Make runs anew, whatever is stored: a check that believes stored results checks nothing.

        Raises
        ------
        Interrupted
            On Ctrl-C.
        """
        if engine.must_compile():
            self.note("compiling: the first run takes a minute or two longer")
        workers, remark = workers_that_fit([scenario], self.workers or cores())
        self.note(remark)
        with progress(self.quiet) as watch:
            return execute([Task(scenario, seed) for seed in seeds], workers=workers, progress=watch, light=True)

    def note(self, text: str) -> None:
        """Say something on stderr, unless asked to be quiet."""
        if text and not self.quiet:
            print(text, file=sys.stderr)


@dataclass(frozen=True)
class Reports:
    """What else a check writes, and what makes it fail.

    Parameters
    ----------
    junit, markdown : Path or None
        Files to write.
    strict : bool
        Whether an undecided metric fails the check.
    update : bool
        Whether what is found becomes the baseline.
    """

    junit: Path | None = None
    markdown: Path | None = None
    strict: bool = False
    update: bool = False


def baseline(
    source: Path, changes: Sequence[str], seeds: range, metrics: Sequence[str], out: Path | None, work: Work
) -> int:
    """Write what a scenario comes to, and return the exit code.

    Parameters
    ----------
    source : Path
        Scenario file.
    changes : sequence of str
        ``path=value`` each.
    seeds : range
    metrics : sequence of str
        Which; none for all.
    out : Path or None
        The file; None for ``results/baselines/NAME.json`` with the scenario's name.
    work : Work
    """
    if seeds[-1] > MAX_SEED:
        message = f"must leave room for {len(seeds)} seeds up to {MAX_SEED}. Got {seeds[0]}."
        raise ScenarioValueError(Problem(message, path="--seed"))
    scenario = load_scenario(source, changes)
    file = out or FOLDER / f"{scenario.name}.json"
    earlier = Baseline.read(file, sealed=False) if file.is_file() else None
    _refuse_file(file)
    results: list[RunResult] = []
    names: list[str] = []
    try:
        for part in [seeds[:1], seeds[1:]] if metrics else [seeds]:  # a misspelt metric costs one run
            execution = work.run(scenario, part)
            if execution.failures:
                print_failures(execution.failures)
                return FAILED
            results += execution.results
            names = metrics_to_write(metrics, list(results[0].metrics))
    except Interrupted:
        return _interrupted("no baseline is written")
    written = Baseline.of(file, source, scenario, changes, results, names, kept=earlier)
    written.write()
    content = written.content
    if work.as_json:
        print(to_json({"baseline": str(file), **content.model_dump()}))
    else:
        print(
            f"wrote {file}: {len(content.metrics)} metrics, {len(seeds)} seeds, outcome {content.outcome_digest[:16]}"
        )
    if earlier is not None:
        work.note("tolerances and confidence of the earlier file are kept")
    return DONE


def check_baselines(files: Sequence[Path], request: Request, reports: Reports, work: Work) -> int:
    """Check baselines and return the exit code.

    Parameters
    ----------
    files : sequence of Path
        None for all of ``results/baselines``.
    request : Request
    reports : Reports
    work : Work
    """
    started = time.perf_counter()
    baselines = _read(files)
    _refuse_conflicts(request, reports)
    for one in baselines:  # find bad input before hours of simulation
        request.seeds(one, request.looks(one)[-1])
        one.scenario(request.changes)
    for path in filter(None, (reports.junit, reports.markdown)):
        _refuse_file(path)
    outcomes = []
    for one in baselines:
        try:
            outcomes.append(check(one, request, work.run))
        except Interrupted:
            return _interrupted(f"{len(outcomes)} of {len(baselines)} baselines were checked, and none is rewritten")
        print_failures(outcomes[-1].failures)
        if not work.as_json:
            present.print_outcome(tables.console(), outcomes[-1])
    _write_reports(outcomes, reports)
    updated = [_update(outcome) for outcome in outcomes if reports.update and not outcome.failures]
    ok = all(outcome.passes(strict=reports.strict) for outcome in outcomes)
    if work.as_json:
        found = {"ok": ok, "version": sim.__version__, "baselines": [outcome.to_dict() for outcome in outcomes]}
        print(to_json({**found, "updated": updated, "elapsed_s": round(time.perf_counter() - started, 3)}))
    else:
        present.print_end(tables.console(), outcomes, strict=reports.strict, updated=updated)
    if reports.update:
        return FAILED if any(outcome.failures for outcome in outcomes) else DONE
    return DONE if ok else FAILED


def _baseline_of(file: Path) -> Path:
    """Return a baseline's file; a scenario's stands for the one that is kept of it."""
    return FOLDER / f"{load_scenario(file, ()).name}.json" if file.suffix in (".yaml", ".yml") else file


def _read(files: Sequence[Path]) -> list[Baseline]:
    """Read the baselines that were named, or all that there are."""
    found = list(dict.fromkeys(map(_baseline_of, files))) or sorted(FOLDER.glob("*.json"))
    if not found:
        message = "there is no baseline here; write one with shopsim baseline SCENARIO, or name a file."
        raise ScenarioFileError(Problem(message, str(FOLDER)))
    return [Baseline.read(file) for file in found]


def _refuse_conflicts(request: Request, reports: Reports) -> None:
    """Refuse to make a baseline of anything but the whole scenario with the baseline's own seeds."""
    if reports.update and request != Request():
        message = "rewrites each baseline with its own seeds and changes, and goes with none of --replicates, "
        message += "--until-decided, --seeds-from and --set; use shopsim baseline for these."
        raise ScenarioValueError(Problem(message, path="--update"))


def _refuse_file(file: Path) -> None:
    """Find out before hours of simulation whether a file can be written."""
    refuse_unwritable(file.parent)
    if file.is_dir():
        raise ScenarioFileError(Problem("cannot be written (it is a folder).", str(file)))


def _write_reports(outcomes: Sequence[Outcome], reports: Reports) -> None:
    if reports.junit is not None:
        write_text(reports.junit, present.junit(outcomes, strict=reports.strict))
    if reports.markdown is not None:
        write_text(reports.markdown, present.markdown(outcomes, strict=reports.strict))


def _update(outcome: Outcome) -> dict[str, Any]:
    """Make what was found the baseline; return which metrics moved and by how much."""
    old = outcome.baseline
    new = Baseline.of(
        old.file, old.source, outcome.scenario, old.content.set, outcome.runs, list(old.content.metrics), kept=old
    )
    if new.content != old.content:
        new.write()
    moved = {
        finding.metric: {"before": finding.baseline, "after": finding.now, "difference": finding.difference}
        for finding in outcome.findings
        if finding.verdict != "equal"
    }
    return {"baseline": str(old.file), "rewritten": new.content != old.content, "moved": moved}


def _interrupted(remark: str) -> int:
    print(f"interrupted: {remark}", file=sys.stderr)
    return INTERRUPTED
