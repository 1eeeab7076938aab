"""Finished replicates on disk: written whole or not at all, found again by what determines them, checked when found.

::

    <root>/replicates/<digest>/seed-3/
        manifest.json     digest, seed, engine, names of the tables, SHA-256 of every other file, and of itself
        outcome.json      final metrics, facts of the schemes
        history.parquet   people.parquet   ledger.parquet   ...      not of a light run

An experiment resumes by looking: a replicate of the same digest, seed and engine whose files are as they were written
stands in for a new run. Anything else (a truncated file, an edited one, another engine) is run again and replaced.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from experiments.engine import versions
from experiments.files import to_json, write_table, write_text
from experiments.outcome import RunResult
from sim.core.sealed import MANIFEST, checksum, file_sums, is_whole

OUTCOME = "outcome.json"


class StoredTables(Mapping[str, pd.DataFrame]):
    """The tables of a stored replicate, read when asked for and not kept, so that many replicates fit into memory."""

    def __init__(self, folder: Path) -> None:
        self._files = {file.relative_to(folder).with_suffix("").as_posix(): file for file in folder.rglob("*.parquet")}

    def __getitem__(self, name: str) -> pd.DataFrame:
        return pd.read_parquet(self._files[name])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files))

    def __len__(self) -> int:
        return len(self._files)


class Store:
    """The finished replicates under one folder.

    Parameters
    ----------
    root : Path
        Where ``replicates/`` is, or will be.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, digest: str, seed: int) -> Path:
        """Return where a replicate is, or would be."""
        return self.root / "replicates" / digest[:16] / f"seed-{seed}"

    def find(self, scenario: str, digest: str, seed: int, *, light: bool = False) -> RunResult | None:
        """Return a stored replicate, or None if there is none that is whole and of this engine.

        Parameters
        ----------
        scenario : str
            Name to give the result; names do not determine a run.
        digest : str
            Of the task: the scenario, and what was done with it.
        seed : int
        light : bool
            Whether a run of which only metrics and facts were kept will do.
        """
        folder = self.folder(digest, seed)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            outcome = json.loads((folder / OUTCOME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        expected = {"digest": digest, "seed": seed, "engine": versions()}
        if not isinstance(manifest, dict) or {key: manifest.get(key) for key in expected} != expected:
            return None
        if not (light or manifest.get("tables")):
            return None
        if not is_whole(folder, manifest):
            return None
        metrics = {name: math.nan if value is None else float(value) for name, value in outcome["metrics"].items()}
        tables = StoredTables(folder)
        return RunResult(scenario, digest, seed, metrics, tables, outcome["facts"], manifest["elapsed_s"])

    def keep(self, result: RunResult) -> RunResult:
        """Write a replicate, and return it with tables that are read from there when asked for."""
        folder = self.folder(result.digest, result.seed)
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
        try:
            self._write(temporary, result)
            temporary.chmod(0o755)  # mkdtemp keeps folders to their owner
            shutil.rmtree(folder, ignore_errors=True)
            temporary.rename(folder)
        except OSError:
            # Another command may have finished the same replicate meanwhile: then theirs is as good.
            if self.find(result.scenario, result.digest, result.seed) is None:
                raise
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        for leftover in folder.parent.glob(f".{folder.name}.*.part"):  # of commands that were killed while they wrote
            shutil.rmtree(leftover, ignore_errors=True)
        return replace(result, tables=StoredTables(folder))

    def _write(self, folder: Path, result: RunResult) -> None:
        for name, table in result.tables.items():
            write_table(folder / f"{name}.parquet", table)
        write_text(folder / OUTCOME, to_json({"metrics": result.metrics, "facts": result.facts}))
        manifest = {
            "digest": result.digest,
            "seed": result.seed,
            "engine": versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "elapsed_s": result.elapsed_s,
            "tables": list(result.tables),
            "files": file_sums(folder),
        }
        write_text(folder / MANIFEST, to_json({**manifest, "checksum": checksum(manifest)}))
