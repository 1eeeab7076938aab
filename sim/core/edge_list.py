"""Edge list files, a line for each tie, and lists of degrees.

The first line of an edge list is ``source,target`` or ``source,target,weight``; each further line names two persons, by
whole numbers or by any other text, and says how strong their tie is. Where all are numbers, 3.0 is 3. Empty lines are
skipped. Files ending in ``.gz`` are unpacked.
"""

from __future__ import annotations

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:  # imported when a file is read, so that scenario files are checked without it
    import pandas as pd

HEADERS = (["source", "target"], ["source", "target", "weight"])
_WHOLE_NUMBER = r"-?(?:0|[1-9][0-9]{0,17})"
_NUMBER = rf"{_WHOLE_NUMBER}(?:\.[0-9]*)?"
_FIELDS = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")  # as pandas says it
_OPEN_QUOTE = re.compile(r"EOF inside string starting at row (\d+)")


@dataclass(frozen=True)
class EdgeList:
    """Ties as a file names them, persons numbered from 0 in the order of their labels.

    Attributes
    ----------
    source, target : ndarray of int64, shape (ties,)
    weight : ndarray of float64, shape (ties,), or None
    persons : int
    labels : ndarray, shape (persons,), or None
        What the file calls them: int64, ascending, or text, sorted. None if that is 0 to persons - 1.
    """

    source: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    weight: npt.NDArray[np.float64] | None
    persons: int
    labels: npt.NDArray[Any] | None


def read_edge_list(path: str | Path) -> EdgeList:
    """Read an edge list from a csv or csv.gz file.

    Raises
    ------
    ValueError
        If the file is not such a list; the message begins with the file's name and the line's number.
    OSError
        If it cannot be read.
    """
    import pandas as pd

    lines = _lines(path)
    header = [str(word).strip() for word in lines.iloc[0]]
    if header not in HEADERS:
        allowed = " or ".join(",".join(names) for names in HEADERS)
        raise ValueError(f"{path}:1: the first line must be {allowed}. Got {','.join(header)}.")
    lines = lines.iloc[1:].set_axis(header, axis="columns")
    lines = lines[(lines != "").any(axis="columns")]
    if lines.empty:
        raise ValueError(f"{path}: the file has no ties.")
    for name in header:
        _refuse(path, lines[name], lines[name] == "", f"has no {name}")
    weight = None
    if "weight" in header:
        weight = pd.to_numeric(lines["weight"], errors="coerce").to_numpy(np.float64)
        _refuse(path, lines["weight"], ~(np.isfinite(weight) & (weight > 0)), "weight must be a positive number")
    ends = pd.concat([lines["source"], lines["target"]])
    if ends.str.fullmatch(_NUMBER).all():
        ends = ends.str.replace(r"\.0*$", "", regex=True)
    if ends.str.fullmatch(_WHOLE_NUMBER).all():
        labels, number = np.unique(ends.to_numpy(object).astype(np.int64), return_inverse=True)
    else:
        number, names = pd.factorize(ends.to_numpy(object), sort=True)
        labels = np.asarray(names)
    source, target = np.split(number.astype(np.int64), 2)
    as_numbered = labels.dtype.kind == "i" and np.array_equal(labels, np.arange(labels.size))
    return EdgeList(source, target, weight, labels.size, None if as_numbered else labels)


def read_degrees(path: str | Path) -> npt.NDArray[np.int64]:
    """Read a degree for each person from a csv or csv.gz file: the header ``degree``, then a whole number a line.

    Raises
    ------
    ValueError, OSError
        As :func:`read_edge_list`.
    """
    lines = _lines(path)
    header = ",".join(str(word) for word in lines.iloc[0])
    if header != "degree":
        raise ValueError(f"{path}:1: the first line must be degree. Got {header}.")
    degrees = lines[0].iloc[1:]
    degrees = degrees[degrees != ""]
    if degrees.empty:
        raise ValueError(f"{path}: the file has no degrees.")
    _refuse(path, degrees, ~degrees.str.fullmatch("[0-9]{1,9}").to_numpy(bool), "must be a whole number of 0 or more")
    return degrees.to_numpy(object).astype(np.int64)


def _lines(path: str | Path) -> pd.DataFrame:
    """Return the fields of every line as text, stripped; the row numbered i is line i + 1."""
    import pandas as pd

    try:
        frame = pd.read_csv(
            path, header=None, dtype=str, keep_default_na=False, skip_blank_lines=False, encoding="utf-8-sig",
            quotechar='"', low_memory=False,
        )  # fmt: skip
    except pd.errors.EmptyDataError:
        raise ValueError(f"{path}:1: the file is empty.") from None
    except pd.errors.ParserError as problem:
        raise ValueError(_explained(path, str(problem))) from None
    except UnicodeDecodeError as problem:
        raise ValueError(f"{path}:{_line_that_is_not_text(path)}: is not UTF-8 text ({problem.reason}).") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as problem:
        raise ValueError(f"{path}: {problem}") from None
    stripped: pd.DataFrame = frame.fillna("").apply(lambda field: field.str.strip())
    return stripped


def _explained(path: str | Path, problem: str) -> str:
    """Say in the words of other errors what pandas could not read."""
    if match := _FIELDS.search(problem):
        expected, line, fields = match.groups()
        return f"{path}:{line}: must have {expected} fields, as the first line has. Got {fields}."
    if match := _OPEN_QUOTE.search(problem):
        return f"{path}:{int(match[1]) + 1}: a quote is opened and never closed."
    return f"{path}: {problem}"


def _line_that_is_not_text(path: str | Path) -> int:
    content = Path(path).read_bytes()
    if str(path).endswith(".gz"):
        content = gzip.decompress(content)
    try:
        content.decode()
    except UnicodeDecodeError as problem:
        return content.count(b"\n", 0, problem.start) + 1
    return 1


def _refuse(path: str | Path, field: pd.Series, wrong: Any, message: str) -> None:
    """Raise for the first line that is wrong."""
    places = np.flatnonzero(wrong)
    if places.size:
        text = str(field.iloc[places[0]])
        raise ValueError(f"{path}:{field.index[places[0]] + 1}: {message}" + (f". Got {text}." if text else "."))
