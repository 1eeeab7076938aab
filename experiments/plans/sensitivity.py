"""``shopsim sensitivity``: which parameters move a metric, and how sure that is.

Every point of the design runs with the same seeds; see :mod:`experiments.plans.indices` for what that does, for the
estimators and for their intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.comparison import plain_records
from experiments.plans.command import PlanOptions, conduct
from experiments.plans.evaluate import Evaluate, Runner, shop_evaluator
from experiments.plans.indices import MAIN, Method, MorrisMethod, SobolMethod, estimate, noise
from experiments.plans.parameters import Parameter
from experiments.plans.plan import Metrics, Parameters, Plan, PlanConfig
from experiments.plans.study import Findings, Study, points_table
from experiments.tables import label, unit_of
from experiments.wording import listed, number, percent
from sim.core.units import Share
from sim.scenario import Problem

MOST_IMPUTED = 0.2
NAMED = 5
WEAK = 0.1
"""A parameter hardly matters if its index is surely below this share of the largest, or below what noise alone does."""
HEADINGS = {"mu_star": "mean absolute effect", "mu": "mean effect", "sigma": "spread", "S1": "alone", "ST": "in all"}
"""What the indices are called in tables."""


class SensitivityPlan(PlanConfig):
    """Which parameters move a metric."""

    kind: Literal["sensitivity"]
    parameters: Parameters
    metrics: Metrics
    method: Annotated[MorrisMethod | SobolMethod, Field(discriminator="kind")]
    resamples: int = Field(1000, ge=100, le=100_000, description="of the bootstrap")
    confidence: Share = Field(0.95, gt=0.5, lt=1, description="of the intervals")
    impute: Literal["mean"] | None = Field(
        None, description="put means where runs failed or have no value; default: refuse such a metric"
    )

    def problems(self, plan: Plan[SensitivityPlan]) -> Iterator[Problem]:
        """Yield what does not fit together."""
        points = getattr(self.method, "points", 2)
        if points & (points - 1):
            near = 2 ** (points.bit_length() - 1)
            message = f"must be a power of 2, such as {near} or {2 * near}. Got {points}."
            yield plan.error(("method", "points"), message)
        if len(plan.parameters) < 2:
            yield plan.error(("parameters",), "must be at least two, so that there is something to rank.")
        for one in plan.parameters:
            if len(one.values) == 1:
                yield plan.error(("parameters", one.path), "has one value, which cannot move anything.")


def experiment(plan: Plan[SensitivityPlan], runner: Runner) -> Findings:
    """Run the design and estimate the indices of each metric."""
    config = plan.config
    design = config.method.design(len(plan.parameters))
    points = [
        {one.path: one.from_unit(float(share)) for one, share in zip(plan.parameters, row, strict=True)}
        for row in design
    ]
    distinct = {tuple(str(value) for value in point.values()) for point in points}
    runner.planned = len(distinct) * len(plan.seeds)
    return investigate(
        config.method, design, points, plan.parameters, config.metrics, shop_evaluator(plan, runner), plan.seeds,
        config.resamples, config.confidence, config.impute,
    )  # fmt: skip


def investigate(
    method: Method,
    design: np.ndarray,
    points: Sequence[dict[str, Any]],
    parameters: Sequence[Parameter],
    metrics: Sequence[str],
    evaluate: Evaluate,
    seeds: Sequence[int],
    resamples: int = 1000,
    confidence: float = 0.95,
    impute: str | None = None,
) -> Findings:
    """Evaluate a design and estimate the indices of each metric.

    Parameters
    ----------
    method : MorrisMethod or SobolMethod
    design : ndarray, shape (points, parameters)
        In the unit cube.
    points : sequence of dict
        The same as plain values.
    parameters : sequence of Parameter
    metrics : sequence of str
    evaluate : Evaluate
    seeds : sequence of int
        The same at every point.
    resamples, confidence
        Of the bootstrap.
    impute : {"mean"}, optional
        What to do about values that are missing.

    Returns
    -------
    Findings
        ``passed`` is False if a metric was refused. Tables: ``indices``, and ``noise`` with a row for each metric.
    """
    runs = evaluate(points, seeds)
    found, noises, refused, imputed = [], [], {}, {}
    for metric in metrics:
        values = _matrix(runs[runs["metric"] == metric], len(points), seeds)
        gaps = int(np.isnan(values).sum())
        if gaps and (impute is None or gaps > MOST_IMPUTED * values.size):
            refused[metric] = _refusal(values, seeds, gaps, impute)
            continue
        if gaps:
            imputed[metric] = {"values": gaps, "of": values.size}
            values = filled(values)
        table = estimate(method, design, values, [one.path for one in parameters], resamples, confidence)
        table.insert(0, "metric", metric)
        found.append(table)
        noises.append({"metric": metric, **vars(noise(method, values)), "imputed": gaps})
    indices = pd.concat(found, ignore_index=True) if found else pd.DataFrame({"metric": [], "parameter": []})
    table = pd.DataFrame(noises, columns=["metric", "left", "removed", "floor", "imputed"])
    summary = {
        "method": method.kind,
        "points": len(points),
        "runs": len(runs[["point", "seed"]].drop_duplicates()),
        "confidence": confidence,
        "indices": plain_records(indices),
        "noise": plain_records(table),
        "refused": refused,
        "imputed": imputed,
        "verdict": _verdict(
            method.kind, indices, dict(zip(table["metric"], table["floor"], strict=True)), refused, imputed
        ),
    }
    tables = {"indices": indices, "noise": table}
    return Findings(points_table(points, parameters), runs, summary, tables, passed=not refused)


def _matrix(rows: pd.DataFrame, points: int, seeds: Sequence[int]) -> np.ndarray:
    """Return values, shape (points, seeds); NaN where there is none."""
    wide = rows.pivot(index="point", columns="seed", values="value").reindex(index=range(points), columns=list(seeds))
    return wide.to_numpy(np.float64)


def _refusal(values: np.ndarray, seeds: Sequence[int], gaps: int, impute: str | None) -> str:
    """Say where values are missing and what can be done."""
    where = [f"point {point} with seed {seeds[seed]}" for point, seed in np.argwhere(np.isnan(values))[:NAMED]]
    more = f" and {gaps - NAMED} more" if gaps > NAMED else ""
    text = f"{gaps} of {values.size} runs failed or have no value ({', '.join(where)}{more})"
    if impute is None:
        return f"{text}; indices of an incomplete design would be wrong. impute: mean puts means there and says so."
    return f"{text}, more than the {percent(MOST_IMPUTED)} that may be imputed."


def filled(values: np.ndarray) -> np.ndarray:
    """Put means where values are missing: of the point's other seeds, moved by what the seed does on average.

    Parameters
    ----------
    values : ndarray, shape (points, seeds)
        At least one value in it. A point without any value gets the mean of all points.

    Returns
    -------
    ndarray, shape (points, seeds)
        Additive two-way means: the row's mean + the column's mean - the mean of all.
    """
    known = ~np.isnan(values)
    overall = values[known].mean()

    def means(axis: int) -> np.ndarray:
        count = known.sum(axis=axis, keepdims=True)
        total = np.where(known, values, 0.0).sum(axis=axis, keepdims=True)
        return np.where(count > 0, total / np.maximum(count, 1), overall)

    return np.where(known, values, means(1) + means(0) - overall)


def _verdict(
    kind: str,
    indices: pd.DataFrame,
    floors: dict[str, float],
    refused: dict[str, str],
    imputed: dict[str, dict[str, int]],
) -> str:
    """Say what moves each metric most."""
    main, parts = MAIN[kind], []
    for metric, rows in indices.groupby("metric", sort=False):
        if rows[main].isna().all():
            parts.append(f"{metric} does not vary with any of these parameters.")
            continue
        top = rows.iloc[0]
        sure = _sureness(top, main, floors[str(metric)])
        small = np.fmax(WEAK * top[main], floors[str(metric)])
        weak = rows.loc[rows[f"{main}_high"] < small, "parameter"].tolist()
        text = f"{metric} is moved most by {top['parameter']} ({_told(kind, str(metric), top)}), {sure}"
        if len(rows) > 1 and (second := rows.iloc[1])[main] > 0:
            text += f"; then by {second['parameter']} ({_told(kind, str(metric), second)})"
        parts.append(text + (f"; hardly, or no more than noise would seem to, by {listed(weak)}." if weak else "."))
        if kind == "sobol" and (rows[[main, f"{main}_high"]] > 1).any(axis=None):
            parts.append("Shares above 100% of its variance say that the design is too small: more points would tell.")
    parts += [f"{metric} is refused: {reason}" for metric, reason in refused.items()]
    parts += [
        f"In {metric} {count['values']} of {count['of']} values are imputed means, which blurs its indices."
        for metric, count in imputed.items()
    ]
    return " ".join(parts)


def _sureness(top: Any, main: str, floor: float) -> str:
    """Say how sure it is that the strongest parameter is that; `floor` is NaN for one seed, which cannot tell noise."""
    if math.isnan(floor):
        return "though with one seed nobody can say how much of that is noise"
    if top[f"{main}_low"] <= floor:
        return "though noise alone could look like that"
    return "beyond doubt" if top["rank_high"] == 1 else f"though it may be number {int(top['rank_high'])}"


def _told(kind: str, metric: str, row: Any) -> str:
    """Write the main index of a row with its interval."""
    main = MAIN[kind]
    write = percent if kind == "sobol" else lambda value: number(value, unit_of(metric))
    text = f"{write(row[main])}, {write(row[f'{main}_low'])} to {write(row[f'{main}_high'])}"
    return f"{text} of its variance" if kind == "sobol" else f"{text} over its range"


def show(out: Console, study: Study) -> None:
    """Print the indices of each metric, and the verdict."""
    kind, table = study.summary["method"], study.table("indices")
    out.print(Text(study.name, style="bold") + Text(f"  {study.manifest['question']}"))
    for metric, rows in table.groupby("metric", sort=False):
        printed = Table(box=None, pad_edge=False, header_style="bold", title=label(str(metric)), title_justify="left")
        columns = [name for name in HEADINGS if name in rows]
        for heading in ("", *(HEADINGS[name] for name in columns), "place"):
            printed.add_column(heading, justify="right" if heading else "left")
        for row in rows.to_dict("records"):
            cells = [index_text(kind, str(metric), row, name) for name in columns]
            printed.add_row(row["parameter"], *cells, place_text(row))
        out.print(printed)
    out.print(f"With {percent(study.summary['confidence'])} bootstrap intervals over the design.", style="dim")
    out.print()
    out.print(study.summary["verdict"], style="bold", markup=False, soft_wrap=True)


def index_text(kind: str, metric: str, row: Any, name: str) -> str:
    """Write an index with its interval."""
    if not math.isfinite(row[name]):
        return "n/a"
    unit = "share" if kind == "sobol" else unit_of(metric)
    return f"{number(row[name], unit)} ({number(row[f'{name}_low'], unit)} to {number(row[f'{name}_high'], unit)})"


def place_text(row: Any) -> str:
    """Write the rank of a parameter, and between which ranks it may be."""
    if not math.isfinite(row["rank"]):
        return "n/a"
    low, high = int(row["rank_low"]), int(row["rank_high"])
    return f"{int(row['rank'])}" if low == high == row["rank"] else f"{int(row['rank'])} ({low} to {high})"


def command(path: Path, options: PlanOptions) -> int:
    """Carry out a sensitivity analysis and return the exit code."""
    return conduct(path, options, "sensitivity", experiment, show)
