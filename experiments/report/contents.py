"""Everything that the template shows, put together."""

from __future__ import annotations

from typing import Any

from experiments.report import facts, law, tables
from experiments.report.drawing import styled
from experiments.report.figures_effects import forest, funnel, twins
from experiments.report.figures_money import flows
from experiments.report.figures_time import cohorts, fraud, growth
from experiments.report.folder import Study


def contents(study: Study) -> dict[str, Any]:
    """Return what the template is filled with.

    Parameters
    ----------
    study : Study

    Returns
    -------
    dict
        Plain values, lists of rows and pictures, by the names that the template uses.
    """
    with styled():
        figures = {
            "growth": growth(study.runs),
            "cohorts": cohorts(study.runs),
            "funnel": funnel(study.runs),
            "flows": flows(study.runs),
            "fraud": fraud(study.runs),
        }
        if study.is_comparison:
            figures |= {"forest": forest(study), "twins": twins(study)}
    return {
        "study": study,
        "title": tables.title(study),
        "lead": tables.lead(study),
        "verdicts": tables.verdicts(study),
        "checks": tables.checks(study),
        "key_figures": tables.key_figures(study),
        "effects": tables.effects(study),
        "luck": tables.luck(study),
        "twins": tables.twins(study),
        "values": tables.values(study),
        "flow_tables": tables.flows(study),
        "fraud_rows": tables.fraud(study),
        "schemes": facts.schemes(study),
        "law": {"text": law.TEXT, "note": law.NOTE, "columns": law.COLUMNS, "runs": law.of_folder(study)},
        "assumptions": facts.assumptions(study),
        "provenance": facts.provenance(study),
        "definitions": tables.definitions(study),
        "figures": figures,
    }
