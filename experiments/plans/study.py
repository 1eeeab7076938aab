"""The folder that a plan leaves: what was asked, where, with which seeds, every number, and what follows.

::

    results/runs/<name>-<digest>/
        plan.yaml        scenario.yaml     resolved, defaults and all; `shopsim sweep plan.yaml` repeats the study
        manifest.json    kind, digest, seeds, parameters with units, versions, platform, when
        points.parquet   point, and a column for each parameter (yuan, hours, shares of 1)
        runs.parquet     point, seed, metric, value
        <table>.parquet  what the kind of plan adds
        summary.json     what --json prints
        report.html

Every file is whole or absent; ``summary.json`` is written last, so a folder that has it is finished.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from experiments.files import read_json, read_table, to_json, write_table, write_text
from experiments.plans.evaluate import COLUMNS
from experiments.plans.parameters import Parameter, Point, column
from experiments.plans.plan import Plan
from experiments.runs import provenance
from sim.scenario import Problem, ScenarioFileError

POINTS, RUNS, MANIFEST, SUMMARY = "points.parquet", "runs.parquet", "manifest.json", "summary.json"


@dataclass(frozen=True)
class Findings:
    """What a kind of plan found, before it is written.

    Parameters
    ----------
    points : DataFrame
        ``point`` and a column for each parameter; see :func:`points_table`.
    runs : DataFrame
        Tidy: ``point``, ``seed``, ``metric``, ``value``.
    summary : dict
        The kind's own part of ``--json``; ``verdict`` is a sentence that answers the plan's question.
    tables : mapping of str to DataFrame
        Further Parquet files, by name without suffix.
    passed : bool
        Whether everything that the plan demands holds; else the exit code is 1.
    """

    points: pd.DataFrame
    runs: pd.DataFrame
    summary: dict[str, Any]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    passed: bool = True


def points_table(points: Sequence[Point], parameters: Sequence[Parameter]) -> pd.DataFrame:
    """Return points as a table: ``point`` from 0, and a column for each parameter."""
    table = pd.DataFrame({one.path: column([point.get(one.path) for point in points]) for one in parameters})
    table.insert(0, "point", range(len(points)))
    return table


@dataclass(frozen=True)
class Study:
    """A finished study, read from its folder when asked.

    Parameters
    ----------
    folder : Path

    Examples
    --------
    >>> study = Study.load("results/runs/discounts-0123456789abcdef")  # doctest: +SKIP
    >>> study.frame().groupby(["point", "metric"])["value"].mean()  # doctest: +SKIP
    """

    folder: Path

    @classmethod
    def load(cls, folder: str | Path) -> Study:
        """Open a folder that a plan left.

        Raises
        ------
        ScenarioFileError
            If it is none.
        """
        study = cls(Path(folder))
        missing = [name for name in (MANIFEST, SUMMARY, POINTS, RUNS) if not (study.folder / name).is_file()]
        if missing:
            message = f"is not the folder of a finished study: it has no {missing[0]}."
            raise ScenarioFileError(Problem(message, str(folder)))
        return study

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """``manifest.json``."""
        return dict(read_json(self.folder / MANIFEST, "kind"))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``summary.json``; a number that is missing or not finite is None."""
        return dict(read_json(self.folder / SUMMARY, "verdict"))

    @property
    def kind(self) -> str:
        """Of the plan."""
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        """Of the plan."""
        return str(self.manifest["name"])

    @cached_property
    def parameters(self) -> list[Parameter]:
        """What was varied."""
        return [_parameter(one) for one in self.manifest["parameters"]]

    def table(self, name: str) -> pd.DataFrame:
        """Read a Parquet file of the folder by its name without suffix.

        Raises
        ------
        ScenarioFileError
            If it is missing or damaged.
        """
        return read_table(self.folder / f"{name}.parquet")

    @property
    def tables(self) -> list[str]:
        """Names that :meth:`table` knows."""
        return ["points", "runs", *self.manifest["tables"]]

    @property
    def points(self) -> pd.DataFrame:
        """``point``, and a column for each parameter."""
        return self.table("points")

    @property
    def runs(self) -> pd.DataFrame:
        """``point``, ``seed``, ``metric``, ``value``."""
        return self.table("runs")

    def frame(self) -> pd.DataFrame:
        """Return every value with its point: ``point``, the parameters, ``seed``, ``metric``, ``value``."""
        joined = self.runs.merge(self.points, on="point", how="left", validate="many_to_one")
        return joined[["point", *(name for name in self.points if name != "point"), *COLUMNS[1:]]]


def _parameter(one: Mapping[str, Any]) -> Parameter:
    """Read a parameter of the manifest; a choice has no bounds, which JSON writes as null."""
    bounds = {key: math.nan if one[key] is None else one[key] for key in ("low", "high")}
    return Parameter(**{**one, **bounds, "values": tuple(one["values"])})


def write_study(folder: Path, plan: Plan[Any], findings: Findings, summary: Mapping[str, Any]) -> Study:
    """Write the folder of a study, but for its report.

    Parameters
    ----------
    folder : Path
    plan : Plan
    findings : Findings
    summary : mapping
        For ``summary.json``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / SUMMARY).unlink(missing_ok=True)
    write_text(folder / "scenario.yaml", plan.scenario.to_yaml(folder))
    write_text(folder / "plan.yaml", plan.to_yaml())
    write_table(folder / POINTS, findings.points)
    write_table(folder / RUNS, findings.runs)
    for name, table in findings.tables.items():
        write_table(folder / f"{name}.parquet", table)
    manifest = {
        "kind": plan.config.kind,
        "name": plan.name,
        "question": plan.config.question,
        "digest": plan.digest,
        "scenario": plan.scenario.name,
        "scenario_digest": plan.scenario.digest,
        "seeds": plan.seeds,
        "parameters": [vars(one) for one in plan.parameters],
        "tables": [*findings.tables],
        **provenance(),
    }
    write_text(folder / MANIFEST, to_json(manifest))
    write_text(folder / SUMMARY, to_json(summary))
    return Study(folder)
