"""The baseline file: what a scenario came to, seed by seed, and how far each metric may move.

A small JSON file that is reviewed like code. A person may edit tolerances and the confidence; everything
else is sealed by digests, so that nobody makes a check pass by hand. One metric takes two lines, so that a diff shows
which one moved::

    "gmv": {"tolerance": {"relative": 0.02, "absolute": 0.01}, "mean": 1543.2,
      "values": [1502.3, 1584.1]},
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge, Gt, Len, Lt

import sim
from experiments.files import write_text
from experiments.outcome import RunResult
from sim.core.config import Section
from sim.metrics import METRICS
from sim.scenario import Problem, Scenario, ScenarioFileError, ScenarioValueError, reading
from sim.scenario.overrides import COMMAND_LINE, parse_assignment
from sim.scenario.problems import nearest, problem_at, shown, validated
from sim.scenario.tree import Node

FORMAT: Final = 2
CONFIDENCE = 0.95
FEWEST_SEEDS = 2
SIGNIFICANT_DIGITS = 10  # a fen in 99 million yuan; the last bits of a double differ between machines
Values = npt.NDArray[np.float64]


class Tolerance(Section):
    """How far the mean of a metric may move and still count as the same; the larger of the two holds."""

    relative: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Of the baseline's mean."""
    absolute: Annotated[float, Ge(0)] = 0.0
    """In the unit of the metric."""

    def around(self, mean: float) -> float:
        """Return the tolerance in the unit of the metric; `mean` may be NaN."""
        return max(self.absolute, 0.0 if math.isnan(mean) else self.relative * abs(mean))


# The absolute parts are floors for means near zero: a fen, one in ten thousand. Larger ones would hold in a small shop
# instead of the relative part, and half a yuan of a mean of ten is no longer the same.
SHARE = Tolerance(relative=0.02, absolute=0.0001)
AMOUNT = Tolerance(relative=0.02, absolute=0.01)
TIME = Tolerance(relative=0.05, absolute=0.01)
EXACT = Tolerance()
UNKNOWN = Tolerance(relative=0.02)
TOLERANCES = {
    "share": SHARE, "probability": SHARE, "gini": SHARE, "0 to 1": SHARE,
    "invited per member": SHARE, "invited per new member": SHARE, "shares a visit": SHARE, "yuan a yuan": SHARE,
    "days": TIME, "hours": TIME, "steps": TIME,
    "levels": EXACT,
}  # fmt: skip
"""By unit; everything else is an amount: money, persons, orders."""


class Tracked(Section):
    """One metric of a baseline."""

    tolerance: Tolerance
    mean: float | None
    """Over the seeds that have a value; for readers."""
    values: list[float | None]
    """One for each seed; null where a run has too little data."""

    @property
    def array(self) -> Values:
        """The values, NaN for null."""
        return np.array([math.nan if value is None else value for value in self.values], np.float64)


class Content(Section):
    """What a baseline file holds."""

    format: Literal[2]
    scenario: str
    """The scenario file, relative to the baseline file."""
    set: list[str]
    """``path=value`` each, as given to ``--set``."""
    version: str
    """Of shopsim."""
    scenario_digest: str
    outcome_digest: str
    """SHA-256 of seeds and values."""
    seal: str
    """SHA-256 of everything but tolerances and confidence; of the values by their digest."""
    confidence: Annotated[float, Gt(0.5), Lt(1)] = CONFIDENCE
    """That no metric of this file is called changed while none has; and that each one called equivalent is."""
    seeds: Annotated[list[Annotated[int, Ge(0), Lt(2**32)]], Len(FEWEST_SEEDS)]
    metrics: Annotated[dict[str, Tracked], Len(1)]


class Baseline:
    """A baseline, and where it is or will be written.

    Parameters
    ----------
    file : Path
    content : Content
    """

    def __init__(self, file: Path, content: Content) -> None:
        self.file = file
        self.content = content

    @classmethod
    def read(cls, file: Path, *, sealed: bool = True) -> Baseline:
        """Read a baseline file.

        Parameters
        ----------
        file : Path
        sealed : bool
            Whether to refuse values that were edited.

        Raises
        ------
        ScenarioError
            If it is missing, of another format, broken, or its values are not those that were written.
        """
        if file.is_dir():
            raise ScenarioFileError(Problem("is a folder, not a baseline file.", str(file)))
        tree = reading.read(file)
        found = tree.child("format")
        if found is not None and found.value != FORMAT:
            message = f"this shopsim reads format {FORMAT}; delete the file and write it anew with shopsim baseline. "
            raise ScenarioValueError(
                problem_at(tree, ("format",), message + f"Got {shown(found.plain())}.", str(FORMAT))
            )
        baseline = cls(file, validated(Content, tree))
        if sealed:
            _refuse_edited(baseline.content, tree)
        return baseline

    @classmethod
    def of(
        cls,
        file: Path,
        source: Path,
        scenario: Scenario,
        changes: Sequence[str],
        runs: Sequence[RunResult],
        metrics: Iterable[str],
        *,
        kept: Baseline | None = None,
    ) -> Baseline:
        """Make a baseline of finished runs.

        Parameters
        ----------
        file : Path
            Where it will be written.
        source : Path
            The scenario file.
        scenario : Scenario
            The same, read and changed.
        changes : sequence of str
            What ``--set`` said.
        runs : sequence of RunResult
            One for each seed.
        metrics : iterable of str
            Which to write.
        kept : Baseline, optional
            An earlier one, whose tolerances and confidence stay.
        """
        values = {name: [_written(run.metrics.get(name, math.nan)) for run in runs] for name in metrics}
        tolerances = {} if kept is None else {name: item.tolerance for name, item in kept.content.metrics.items()}
        seeds = [run.seed for run in runs]
        content = Content(
            format=FORMAT,
            scenario=Path(os.path.relpath(source.resolve(), file.parent.resolve())).as_posix(),
            set=list(changes),
            version=sim.__version__,
            scenario_digest=scenario.digest,
            outcome_digest=outcome_digest(seeds, values),
            seal="",
            confidence=CONFIDENCE if kept is None else kept.content.confidence,
            seeds=seeds,
            metrics={
                name: Tracked(
                    tolerance=tolerances.get(name) or default_tolerance(name), mean=_mean(column), values=column
                )
                for name, column in values.items()
            },
        )
        return cls(file, content.model_copy(update={"seal": seal_of(content)}))

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.file.stem

    @property
    def source(self) -> Path:
        """The scenario file."""
        return Path(os.path.normpath(self.file.parent / self.content.scenario))

    def scenario(self, more: Sequence[str] = ()) -> Scenario:
        """Return the scenario as it is now, with the baseline's own changes and then `more`.

        Raises
        ------
        ScenarioError
            If there is none, or anything is wrong with it.
        """
        if not self.source.is_file():
            message = f"{self.content.scenario}: there is no such file; it is looked up from the baseline's folder."
            raise ScenarioFileError(Problem(message, str(self.file), path="scenario"))
        scenario = Scenario.load(self.source)
        changes = dict(map(parse_assignment, [*self.content.set, *more]))
        return scenario.override(changes, origin=COMMAND_LINE) if changes else scenario

    def write(self) -> None:
        """Write the file, whole or not at all."""
        write_text(self.file, self.text())

    def text(self) -> str:
        """Return what the file says."""
        head = self.content.model_dump(exclude={"metrics"})
        lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}," for key, value in head.items()]
        metrics = [f"    {json.dumps(name)}: {_entry(item)}" for name, item in self.content.metrics.items()]
        return "\n".join(["{", *lines, '  "metrics": {', ",\n".join(metrics), "  }", "}", ""])


def unit_of(metric: str) -> str:
    """Return a metric's unit, also where a scheme with a name of its own reports it as ``name.metric``."""
    known = METRICS.get(metric) or METRICS.get(metric.rpartition(".")[2])
    return known.unit if known is not None else ""


def default_tolerance(metric: str) -> Tolerance:
    """Return the tolerance that a new baseline gives a metric, by its unit."""
    unit = unit_of(metric)
    return TOLERANCES.get(unit, AMOUNT) if unit else UNKNOWN


def outcome_digest(seeds: Sequence[int], values: Mapping[str, Sequence[float | None]]) -> str:
    """Return the SHA-256 of all values of all seeds, whatever the order of the metrics."""
    plain = {name: [None if value is None else float(value) for value in column] for name, column in values.items()}
    return hashlib.sha256(json.dumps([list(seeds), plain], sort_keys=True).encode()).hexdigest()


def seal_of(content: Content) -> str:
    """Return the SHA-256 of all that a person may not edit: values and means by the digest that they must fit."""
    plain = content.model_dump(exclude={"seal", "confidence", "metrics"})
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def rounded(values: npt.ArrayLike) -> Values:
    """Round as a file does; shape (seeds,)."""
    return np.array([_round(float(value)) for value in np.asarray(values, np.float64)], np.float64)


def _round(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") + 0.0  # adding zero makes -0.0 plain


def _written(value: float) -> float | None:
    return _round(value) if math.isfinite(value) else None


def _mean(column: Sequence[float | None]) -> float | None:
    known = [value for value in column if value is not None]
    return _round(math.fsum(known) / len(known)) if known else None


def _entry(item: Tracked) -> str:
    tolerance = json.dumps(item.tolerance.model_dump())
    values = ", ".join(map(_number, item.values))
    return f'{{"tolerance": {tolerance}, "mean": {_number(item.mean)},\n      "values": [{values}]}}'


def _number(value: float | None) -> str:
    return "null" if value is None else f"{value:.{SIGNIFICANT_DIGITS}g}"


def _refuse_edited(content: Content, tree: Node) -> None:
    """Raise if anything but tolerances and confidence is not as it was written."""
    seeds, problems = content.seeds, []
    if len(set(seeds)) < len(seeds):
        problems.append(problem_at(tree, ("seeds",), "must not hold a seed twice."))
    for name, item in content.metrics.items():
        if len(item.values) != len(seeds):
            message = f"must hold a value for each of the {len(seeds)} seeds. Got {len(item.values)}."
            problems.append(problem_at(tree, ("metrics", name, "values"), message))
        elif item.mean != _mean(item.values):
            message = f"must be {_number(_mean(item.values))}, the mean of the values. Got {_number(item.mean)}."
            problems.append(problem_at(tree, ("metrics", name, "mean"), message))
    columns = {name: item.values for name, item in content.metrics.items()}
    if not problems and outcome_digest(seeds, columns) != content.outcome_digest:
        message = "does not fit seeds and values: they were edited. Only tolerances and confidence are for editing; "
        message += "write the baseline anew with shopsim baseline, which keeps these."
        problems.append(problem_at(tree, ("outcome_digest",), message))
    if not problems and seal_of(content) != content.seal:
        message = "does not fit the file: its scenario, set, version or a digest was edited. Only tolerances and "
        message += "confidence are for editing; write the baseline anew with shopsim baseline, which keeps these."
        problems.append(problem_at(tree, ("seal",), message))
    if problems:
        raise ScenarioValueError(*problems)


def metrics_to_write(wanted: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the metrics to write: those wanted, in their order, or all that the runs have.

    Raises
    ------
    ScenarioError
        If a run has no such metric.
    """
    if missing := [name for name in wanted if name not in known]:
        raise ScenarioValueError(
            *(
                Problem(f"this scenario has no metric {name!r}.", path="--metrics", suggestion=nearest(name, known))
                for name in missing
            )
        )
    return list(dict.fromkeys(wanted)) or list(known)
