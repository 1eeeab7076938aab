"""The report of a study: the verdict, the panels of its kind, and where it comes from.

Each kind of plan has a module here, ``experiments.report.<kind>``, with ``panels(study) -> list[Panel]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from experiments.plans.study import Study
from experiments.report.drawing import Picture, styled
from experiments.runs import seeds_in_name

RUN = ["point", "seed", "world"]
"""What tells runs apart, as far as a table has it."""


@dataclass(frozen=True)
class Grid:
    """A table of the report.

    Parameters
    ----------
    columns : sequence of str
        Headings.
    rows : sequence of sequence of str
        Cells, the first of each being the row's heading.
    caption : str
        Above the table.
    note : str
        Below it.
    numbers : int
        So many columns, counted from the right, are aligned right.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""
    note: str = ""
    numbers: int = 0


@dataclass(frozen=True)
class Panel:
    """A section of the report: paragraphs, then pictures, then tables.

    Parameters
    ----------
    title : str
    text : sequence of str
        Plain text; everything is escaped.
    pictures : sequence of Picture
    tables : sequence of Grid
    """

    title: str
    text: Sequence[str] = ()
    pictures: Sequence[Picture] = ()
    tables: Sequence[Grid] = ()


def study_contents(study: Study) -> dict[str, Any]:
    """Return what ``study.html.j2`` is filled with."""
    with styled():
        panels = import_module(f"experiments.report.{study.kind}").panels(study)
    manifest, summary = study.manifest, study.summary
    tables = [study.runs, *(study.table(name) for name in study.tables if name.endswith("_runs"))]
    runs = sum(len(table[table.columns.intersection(RUN)].drop_duplicates()) for table in tables)
    sweep = study.kind == "sweep"  # its first point is the base, which no other count of points includes
    points = f"{len(study.points) - sweep} points{' and the base' if sweep else ''}"
    return {
        "title": study.name,
        "lead": f"{study.kind} of {manifest['scenario']}: {points}, {runs} runs, "
        f"seeds {seeds_in_name(manifest['seeds'])[1:]}",
        "question": manifest["question"],
        "verdict": summary["verdict"],
        "panels": panels,
        "failures": summary["failures"],
        "provenance": {
            "plan digest": manifest["digest"][:16],
            "scenario digest": manifest["scenario_digest"][:16],
            "created": manifest["created"],
            "elapsed": f"{summary['elapsed_s']:.1f} s",
            "platform": manifest["platform"],
        },
        "engine": manifest["engine"],
        "plan": (study.folder / "plan.yaml").read_text(encoding="utf-8"),
    }
