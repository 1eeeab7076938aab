"""How result files are written, under a temporary name until they are whole, and how they are read back."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from sim.scenario import Problem, ScenarioFileError


def to_json(value: Any) -> str:
    """Write JSON as it is specified: numpy values become plain ones, and what is not a finite number becomes null."""
    return json.dumps(_plain(value), ensure_ascii=False, allow_nan=False, indent=2)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path`; what was written there takes the name `path` if all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)  # mkstemp keeps files to their owner
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet file whole or not at all."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False, compression="zstd")


def read_json(path: Path, *keys: str) -> Any:
    """Read a JSON file of a result folder; if keys are named, a mapping that has them.

    Raises
    ------
    ScenarioFileError
        If it is missing or damaged.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise _not_whole(path) from None
    if keys and not (isinstance(value, dict) and value.keys() >= set(keys)):
        raise _not_whole(path)
    return value


def read_table(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file of a result folder, or some of its columns.

    Raises
    ------
    ScenarioFileError
        If it is missing or damaged.
    """
    try:
        return pd.read_parquet(path, columns=None if columns is None else list(columns))
    except (OSError, pa.ArrowException):
        raise _not_whole(path) from None


def _not_whole(path: Path) -> ScenarioFileError:
    return ScenarioFileError(Problem("is not whole; run the scenario or plan again.", str(path)))
