"""The moments that a calibration has to meet, read from a CSV file.

::

    metric,value,se,held_out
    repeat_rate,0.31,0.012,
    conversion,3.1%,0.1%,
    aov,182,4.5,yes

``se`` is the standard error of the value; without it the value is taken for that of one shop like the simulated one,
and its error is what simulated shops differ by. ``weight`` overrules how much a moment counts. What is held out is not
fitted but predicted, and checked.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sim.core.units import read_share
from sim.scenario import Problem, ScenarioError, ScenarioFileError, ScenarioValueError
from sim.scenario.problems import nearest, shown

COLUMNS = ("metric", "value", "se", "weight", "held_out")
YES, NO = ("yes", "true", "1"), ("", "no", "false", "0")
MOST_ROWS = 1000


@dataclass(frozen=True)
class Target:
    """One moment.

    Parameters
    ----------
    metric : str
    value : float
    se : float
        Its standard error; NaN if unknown.
    weight : float
        Of its squared distance; NaN for one over its variance.
    held_out : bool
    line : int
        In the file.
    """

    metric: str
    value: float
    se: float = math.nan
    weight: float = math.nan
    held_out: bool = False
    line: int = 0


def read_targets(file: Path, name: str) -> list[Target]:
    """Read a CSV file of targets.

    Parameters
    ----------
    file : Path
    name : str
        As the user knows it, for messages.

    Raises
    ------
    ScenarioError
        With file, line and column, if anything is wrong.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as problem:
        reason = getattr(problem, "strerror", None) or "it is not UTF-8 text"
        raise ScenarioFileError(Problem(f"cannot be read ({reason}).", name)) from None
    reader = csv.reader(text.splitlines())
    header = [column.strip() for column in next(reader, [])]
    if missing := [column for column in COLUMNS[:2] if column not in header]:
        raise _wrong(name, 1, missing[0], "is a column that the first line must name.", ", ".join(COLUMNS))
    for column in header:
        if column not in COLUMNS or header.count(column) > 1:
            raise _wrong(name, 1, column, "is not a column here.", ", ".join(COLUMNS), nearest(column, list(COLUMNS)))
    targets: list[Target] = []
    problems: list[Problem] = []
    for row in reader:
        line = reader.line_num
        if not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#"):
            continue
        try:
            target = _target(name, line, header, row)
            if target.metric in (one.metric for one in targets):
                raise _wrong(name, line, "metric", f"is given twice. Got {shown(target.metric)}.")
            targets.append(target)
        except ScenarioError as error:
            problems += error.problems
        if line > MOST_ROWS:
            raise _wrong(name, line, "", f"has more than {MOST_ROWS} lines.")
    if problems:
        raise ScenarioValueError(*problems)
    if not targets:
        raise _wrong(name, 1, "", "has no targets below its first line.")
    return targets


def _target(name: str, line: int, header: Sequence[str], row: Sequence[str]) -> Target:
    if len(row) != len(header):
        raise _wrong(name, line, "", f"must have {len(header)} cells, as the first line has. Got {len(row)}.")
    cells = {column: cell.strip() for column, cell in zip(header, row, strict=True)}
    numbers = {}
    for column in ("value", "se", "weight"):
        numbers[column] = _number(name, line, column, cells.get(column, ""))
    if not math.isfinite(numbers["value"]):
        raise _wrong(name, line, "value", "is missing.", "a number or a percentage")
    for column in ("se", "weight"):
        if numbers[column] <= 0:
            raise _wrong(name, line, column, f"must be above 0. Got {shown(cells[column])}.", "a number above 0")
    if not cells["metric"]:
        raise _wrong(name, line, "metric", "is missing.")
    said = cells.get("held_out", "").lower()
    if said not in YES + NO:
        allowed = "yes, no or nothing"
        raise _wrong(name, line, "held_out", f"must be {allowed}. Got {shown(cells['held_out'])}.", allowed)
    return Target(cells["metric"], numbers["value"], numbers["se"], numbers["weight"], said in YES, line)


def _number(name: str, line: int, column: str, cell: str) -> float:
    """Read a number or a percentage; NaN for an empty cell."""
    if not cell:
        return math.nan
    try:
        number = read_share(cell) if cell.endswith(("%", "％")) else float(cell)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(
            name, line, column, f"must be a number or a percentage. Got {shown(cell)}.", "a number or a percentage"
        )
    return number


def _wrong(
    name: str, line: int, column: str, message: str, allowed: str = "", suggestion: str = ""
) -> ScenarioValueError:
    return ScenarioValueError(Problem(message, name, line, column, allowed, suggestion))
