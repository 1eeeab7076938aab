"""Finished replicates on disk: written whole or not at all, found again by what determines them, checked when found.

::

    <root>/replicates/<digest>/seed-3/
        manifest.json     digest, seed, engine, SHA-256 of every other file, and of itself
        outcome.json      final metrics, facts of the schemes
        history.parquet   people.parquet   ledger.parquet   ...

An experiment resumes by looking: a replicate of the same digest, seed and engine whose files are as they were written
stands in for a new run. Anything else (a truncated file, an edited one, another engine) is run again and replaced.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.engine import versions
from experiments.files import to_json, write_table, write_text
from experiments.outcome import RunResult

MANIFEST, OUTCOME = "manifest.json", "outcome.json"


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

    def find(self, scenario: str, digest: str, seed: int) -> RunResult | None:
        """Return a stored replicate, or None if there is none that is whole and of this engine.

        Parameters
        ----------
        scenario : str
            Name to give the result; names do not determine a run.
        digest : str
            Of the scenario.
        seed : int
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
        if manifest.get("checksum") != _checksum(manifest) or manifest.get("files") != _sums(folder):
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
            "files": _sums(folder),
        }
        write_text(folder / MANIFEST, to_json({**manifest, "checksum": _checksum(manifest)}))


def _sums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of a folder but the manifest, by name."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST)
    return {file.relative_to(folder).as_posix(): _sum(file) for file in files}


def _sum(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _checksum(manifest: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest without its own checksum."""
    content = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
