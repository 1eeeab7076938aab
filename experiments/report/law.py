"""Facts on law in a report: a table of figures beside those of rules, without a verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.report.folder import Study
from experiments.report.studies import Grid, Panel
from experiments.wording import UNKNOWN, number

TITLE = "Facts on law"
TEXT = (
    "What rules on chains of promoters ask about, and what this scenario says of it. These are facts and no verdict: "
    "whether a programme is lawful depends on more than a simulation knows."
)
NOTE = (
    "Came to: the largest of all runs. Everybody who is bound to a promoter counts as a person below, buyers too "
    "who never bring anybody. Article 7 names no figure, so any amount is what it looks at."
)
COLUMNS = ("scheme", "rule", "looks at", "the rule says", "the scenario says", "it came to")


def law_rows(facts: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """Return the cells of a table of :func:`sim.law.facts`, as :data:`COLUMNS` has them."""
    return [
        [row["scheme"], row["rule"], row["looks_at"], row["rule_figure"], row["configured"], _measured(row)]
        for row in facts
    ]


def of_folder(study: Study) -> list[dict[str, Any]]:
    """Return what the report of a run or a comparison shows: for each scenario with such facts ``run`` and ``rows``."""
    told = study.comparison.get("law", {}) if study.is_comparison else {study.base.name: study.base.summary.get("law")}
    return [{"run": run, "rows": law_rows(facts)} for run, facts in told.items() if facts]


def _measured(row: Mapping[str, Any]) -> str:
    if row["measured"] is None:
        return UNKNOWN
    text = number(float(row["measured"]), row["unit"])
    return f"{text} {row['unit']}" if text != UNKNOWN else text


def law_panel(facts: Sequence[Mapping[str, Any]]) -> Panel:
    """Return the section of a study's report."""
    if not facts:
        return Panel(
            TITLE, ["No scheme pays anybody for bringing others, so there is nothing that rules on chains ask about."]
        )
    return Panel(TITLE, [TEXT], tables=[Grid(COLUMNS, law_rows(facts), note=NOTE, numbers=1)])
