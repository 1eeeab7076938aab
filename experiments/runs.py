"""Run folders: what a finished experiment leaves behind, for reports and for people.

::

    results/runs/<scenario>-<digest>-s<seeds>/
        scenario.yaml      resolved, defaults and all
        manifest.json      digest, seeds, versions, platform, when, how long
        summary.json       what --json prints
        metrics.parquet    replicate, day, metric, value; day -1 holds the final values
        ledger.parquet     replicate, day, scheme, source, target, amount_yuan
        people.parquet     replicate, uid, ...                 see experiments.outcome for these
        cohorts.parquet    funnel.parquet    facts.json
        parameters.json    every value with its unit, its source and the place that set it
        journal.parquet    events/*.parquet                    if the scenario records them
        report.html

    results/runs/<base>-vs-<arm>...-<digest>-s<seeds>/
        manifest.json      comparison.json (what --json prints)
        effects.parquet    increments.parquet   twins.parquet   guardrails.parquet
        arms/<name>/       a run folder for the base and for each arm, in this order in the manifest
        report.html

Beside them, ``replicates/`` keeps the single runs (see :mod:`experiments.store`). Every file is whole or absent.
"""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from experiments.engine import versions
from experiments.files import replacing, to_json, write_table, write_text
from experiments.outcome import RunResult

if TYPE_CHECKING:
    from experiments.comparison import Arm, Comparison
    from sim.scenario import Scenario

FINAL = -1
ROOT = Path("results/runs")


def seeds_in_name(seeds: Sequence[int]) -> str:
    """Write seeds as a folder's name has them: s3, s1-20, s1,4,9."""
    numbers = sorted(set(seeds))
    if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"s{numbers[0]}-{numbers[-1]}"
    return "s" + ",".join(map(str, numbers))


def run_folder(root: Path, scenario: Scenario, seeds: Sequence[int]) -> Path:
    """Return the folder of a scenario's replicates."""
    return root / f"{scenario.name}-{scenario.short_digest}-{seeds_in_name(seeds)}"


def comparison_folder(root: Path, arms: Sequence[Arm], seeds: Sequence[int]) -> Path:
    """Return the folder of a comparison; the base comes first."""
    digest = hashlib.sha256(" ".join(arm.scenario.digest for arm in arms).encode()).hexdigest()[:16]
    names = "-".join(arm.name for arm in arms[1:])[:80]
    return root / f"{arms[0].name}-vs-{names}-{digest}-{seeds_in_name(seeds)}"


def write_run(folder: Path, scenario: Scenario, runs: Sequence[RunResult], summary: dict[str, Any]) -> None:
    """Write the folder of one scenario.

    Parameters
    ----------
    folder : Path
    scenario : Scenario
    runs : sequence of RunResult
        At least one; their tables are read one replicate at a time.
    summary : dict
        For ``summary.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "scenario.yaml", scenario.to_yaml(folder))
    write_table(folder / "metrics.parquet", _metrics(runs))
    for name in runs[0].tables:
        if name != "history":
            _write_joined(folder / f"{name}.parquet", name, runs)
    write_text(folder / "facts.json", to_json({run.seed: run.facts for run in runs}))
    write_text(folder / "parameters.json", to_json([asdict(parameter) for parameter in scenario.parameters()]))
    write_text(folder / "summary.json", to_json(summary))
    manifest = {
        "kind": "run",
        "scenario": scenario.name,
        "question": scenario.config.question,
        "digest": scenario.digest,
        "horizon_days": scenario.config.horizon / 24,
        "seeds": [run.seed for run in runs],
        **_fork(summary),
        "elapsed_s": {run.seed: run.elapsed_s for run in runs},
        **provenance(),
    }
    write_text(folder / "manifest.json", to_json(manifest))


def write_comparison(folder: Path, study: Comparison, summary: dict[str, Any]) -> None:
    """Write the folder of a comparison, and in it those of its scenarios.

    Parameters
    ----------
    folder : Path
    study : Comparison
        A scenario of which no run finished gets no folder.
    summary : dict
        For ``comparison.json``.
    """
    arms = [study.base, *study.arms.values()]
    for arm in (arm for arm in arms if arm.runs):
        runs = list(arm.runs.values())
        own = {"scenario": arm.name, "digest": arm.scenario.digest, "seeds": list(arm.runs), **_fork(summary)}
        metrics = summary["metrics"] if arm is study.base else summary["arms"][arm.name]["metrics"]
        write_run(folder / "arms" / arm.name, arm.scenario, runs, {**own, "metrics": metrics})
    for name in ("effects", "increments", "twins", "guardrails"):
        write_table(folder / f"{name}.parquet", getattr(study, name)())
    write_text(folder / "comparison.json", to_json(summary))
    manifest = {
        "kind": "comparison",
        "base": study.base.name,
        "arms": list(study.arms),
        "seeds": list(study.base.runs),
        **_fork(summary),
        **provenance(),
    }
    write_text(folder / "manifest.json", to_json(manifest))


def _fork(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what a summary says of the fork, if its runs come from one."""
    return {"fork": summary["fork"]} if "fork" in summary else {}


def provenance() -> dict[str, Any]:
    """Return what a manifest says of engine, machine and time."""
    import numba

    return {
        "engine": versions(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "numba_threads": numba.get_num_threads(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _metrics(runs: Sequence[RunResult]) -> pd.DataFrame:
    """Return daily and final metrics of all replicates in long form; what never happened in one of them is zero."""
    histories = [run.tables["history"].assign(replicate=run.seed) for run in runs]
    daily = pd.concat(histories, ignore_index=True)
    for name in daily.columns:
        present = {run.seed for run, history in zip(runs, histories, strict=True) if name in history}
        absent = ~daily["replicate"].isin(present)
        daily.loc[absent, name] = 0.0
    long = daily.melt(["replicate", "day"], var_name="metric", value_name="value")
    final = pd.DataFrame(
        [(run.seed, FINAL, name, value) for run in runs for name, value in run.metrics.items()],
        columns=["replicate", "day", "metric", "value"],
    )
    return pd.concat([long, final], ignore_index=True).astype(
        {"day": "int32", "metric": "category", "value": "float64"}
    )


def _write_joined(path: Path, name: str, runs: Sequence[RunResult]) -> None:
    """Write a table of all replicates, holding one of them at a time in memory.

    One without rows, such as losses where nobody cheated, does not know the types of its columns.
    """
    filled = (table for table in _with_replicate(name, runs) if table.num_rows)
    first = next(filled, None)
    if first is None:
        first = next(_with_replicate(name, runs))
    with replacing(path) as temporary, pq.ParquetWriter(temporary, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in filled:
            writer.write_table(table.cast(first.schema))


def _with_replicate(name: str, runs: Sequence[RunResult]) -> Iterator[pa.Table]:
    for run in runs:
        table = run.tables[name].copy(deep=False)
        table.insert(0, "replicate", run.seed)
        yield pa.Table.from_pandas(table, preserve_index=False)
