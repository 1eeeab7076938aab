"""``shopsim sweep``: a scenario at many points of its parameters.

What a point changes is told against a stated base point: every point runs with the same seeds, so each difference is
paired by seed (common random numbers) and its interval is far shorter than that of independent runs.

References
----------
McKay, Beckman & Conover (1979), "A comparison of three methods for selecting values of input variables": Latin
hypercubes. Sobol' (1967), Owen (1998), scrambled as in :class:`scipy.stats.qmc.Sobol`.
"""

from __future__ import annotations

import itertools
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
from scipy.stats import qmc

from experiments import stats
from experiments.comparison import direction_of
from experiments.plans.command import PlanOptions, conduct
from experiments.plans.evaluate import Evaluate, Runner, shop_evaluator
from experiments.plans.parameters import Parameter, Point, current_value
from experiments.plans.plan import Metrics, Parameters, Plan, PlanConfig
from experiments.plans.study import Findings, Study, points_table
from experiments.replication import MAX_SEED
from experiments.tables import interval, label, unit_of
from experiments.wording import listed, number
from sim.core.config import Section
from sim.scenario import Problem

MOST_POINTS = 10_000
BEST = 10
CONFIRMED = 3
MOST_LEVELS, BINS = 12, 5
BASE = 0
"""Number of the base point."""
EFFECTS = [
    "point", "metric", "mean", "ci_low", "ci_high", "pairs", "difference", "difference_low", "difference_high",
    "p_better", "variance_reduction", "verdict",
]  # fmt: skip


class GridDesign(Section):
    """Every combination of levels."""

    kind: Literal["grid"]
    levels: int = Field(5, ge=2, le=1000, description="of each range, both ends included; a choice has its own")


class HypercubeDesign(Section):
    """Points at random, each parameter's range being covered evenly."""

    kind: Literal["latin_hypercube"]
    points: int = Field(ge=2, le=MOST_POINTS)
    seed: int = Field(1, ge=0, le=2**32 - 1, description="of the design, not of the runs")


class SobolDesign(Section):
    """Scrambled Sobol points, which fill the whole space evenly."""

    kind: Literal["sobol"]
    points: int = Field(ge=2, le=MOST_POINTS, description="a power of 2")
    seed: int = Field(1, ge=0, le=2**32 - 1, description="of the design, not of the runs")


class SweepPlan(PlanConfig):
    """A scenario at many points of its parameters."""

    kind: Literal["sweep"]
    parameters: Parameters
    metrics: Metrics
    design: Annotated[GridDesign | HypercubeDesign | SobolDesign, Field(discriminator="kind")]
    base: dict[str, Any] = Field(
        {}, description="parameter: value, of the point that all are compared with; else as the scenario has it"
    )
    best_by: str | None = Field(None, description="metric that ranks the points; default: the first of metrics")
    confirm: int = Field(0, ge=0, le=1000, description="replicates with fresh seeds for the base and the best points")

    def problems(self, plan: Plan[SweepPlan]) -> Iterator[Problem]:
        """Yield what does not fit together."""
        if self.best_by is not None and self.best_by not in self.metrics:
            message = f"must be one of the plan's metrics: {', '.join(self.metrics)}. Got {self.best_by}."
            yield plan.error(("best_by",), message)
        names = [one.path for one in plan.parameters]
        for path in self.base:
            if path not in names:
                yield plan.error(("base", path), f"is not a parameter of this plan; those are {', '.join(names)}.")
                return
        if self.seed + self.replicates + self.confirm - 1 > MAX_SEED:
            yield plan.error(("seed",), "must leave room for the seeds of replicates and of confirm.")
        base_point(plan)  # refuses values that the scenario does not allow
        if isinstance(self.design, SobolDesign) and self.design.points & (self.design.points - 1):
            near = 2 ** (self.design.points.bit_length() - 1)
            message = f"must be a power of 2 for Sobol points, such as {near} or {2 * near}. Got {self.design.points}."
            yield plan.error(("design", "points"), message)
        if isinstance(self.design, GridDesign):
            count = np.prod([float(len(one.levels(self.design.levels))) for one in plan.parameters])
            if count > MOST_POINTS:
                message = f"makes {count:,.0f} points, more than {MOST_POINTS:,}; use fewer levels or latin_hypercube."
                yield plan.error(("design",), message)


def design_points(design: GridDesign | HypercubeDesign | SobolDesign, parameters: Sequence[Parameter]) -> list[Point]:
    """Return the points of a design.

    Parameters
    ----------
    design : GridDesign, HypercubeDesign or SobolDesign
    parameters : sequence of Parameter

    Returns
    -------
    list of Point
        The same for the same design. Of a hypercube or Sobol design in the order of the sequence.
    """
    paths = [one.path for one in parameters]
    if isinstance(design, GridDesign):
        return [
            dict(zip(paths, values, strict=True))
            for values in itertools.product(*(one.levels(design.levels) for one in parameters))
        ]
    sampler: qmc.QMCEngine
    if isinstance(design, SobolDesign):
        sampler = qmc.Sobol(len(parameters), rng=np.random.default_rng(design.seed))
    else:
        sampler = qmc.LatinHypercube(len(parameters), rng=np.random.default_rng(design.seed))
    return [
        {one.path: one.from_unit(float(share)) for one, share in zip(parameters, row, strict=True)}
        for row in sampler.random(design.points)
    ]


def base_point(plan: Plan[SweepPlan]) -> Point:
    """Return the point that all are compared with: what the scenario says, unless the plan says otherwise."""
    scenario = plan.scenario
    for path in plan.config.base:
        node = plan.tree.at(("base", path))
        assert node is not None, "the schema has found it"
        scenario = scenario.override({path: node}, origin=str(node.place))
    return {one.path: current_value(scenario, one.path) for one in plan.parameters}


def effects(runs: pd.DataFrame, base: int = BASE) -> pd.DataFrame:
    """Compare each point with the base, paired by seed.

    Parameters
    ----------
    runs : DataFrame
        ``point``, ``seed``, ``metric``, ``value``.
    base : int
        Number of the base point.

    Returns
    -------
    DataFrame
        A row for each point but the base, and metric: ``mean`` with ``ci_low``, ``ci_high`` (95%, Student's t over
        seeds); ``pairs``: seeds with a value at both points; ``difference`` with ``difference_low``,
        ``difference_high`` (paired t); ``p_better``; ``variance_reduction`` by pairing; ``verdict``.
    """
    rows = []
    for metric, table in runs.groupby("metric", sort=False):
        wide = table.pivot(index="seed", columns="point", values="value")
        before = wide[base] if base in wide else pd.Series(np.nan, wide.index)
        direction = direction_of(str(metric))
        for point in (point for point in wide if point != base):
            own = stats.mean_estimate(wide[point])
            difference = stats.mean_estimate(wide[point] - before)
            rows.append(
                {
                    "point": point,
                    "metric": metric,
                    "mean": own.mean,
                    "ci_low": own.low,
                    "ci_high": own.high,
                    "pairs": difference.replicates,
                    "difference": difference.mean,
                    "difference_low": difference.low,
                    "difference_high": difference.high,
                    "p_better": stats.probability_positive(direction * (wide[point] - before)) if direction else np.nan,
                    "variance_reduction": stats.variance_reduction(before, wide[point]),
                    "verdict": stats.verdict(difference, direction),
                }
            )
    return pd.DataFrame(rows, columns=EFFECTS)


def main_effects(points: pd.DataFrame, runs: pd.DataFrame, parameters: Sequence[Parameter], grid: bool) -> pd.DataFrame:
    """Average what points change over all parameters but one.

    Parameters
    ----------
    points : DataFrame
        ``point`` and a column for each parameter; the first row is the base.
    runs : DataFrame
        ``point``, ``seed``, ``metric``, ``value``.
    parameters : sequence of Parameter
    grid : bool
        Whether each value of a parameter meets all values of the others. Then the average is exact for a seed, and
        intervals are over seeds; else points are a sample too, see :func:`sampled_effect`.

    Returns
    -------
    DataFrame
        ``parameter``, ``value`` (plain; the mean of a bin where there are many), ``label``, ``metric``, ``points``,
        ``difference`` from the base, ``difference_low``, ``difference_high`` (95%).
    """
    rows = []
    for metric, table in runs.groupby("metric", sort=False):
        wide = table.pivot(index="seed", columns="point", values="value")
        if BASE not in wide:
            continue
        differences = wide.drop(columns=BASE).sub(wide[BASE], axis=0)  # seeds x points
        for one in parameters:
            for values, members in _groups(points.set_index("point").loc[differences.columns, one.path]):
                chosen = differences[members]
                found = stats.mean_estimate(chosen.mean(axis=1, skipna=False)) if grid else sampled_effect(chosen)
                value = values[0] if len(set(values)) == 1 else float(np.mean(values))
                rows.append(
                    {
                        "parameter": one.path,
                        "value": value if isinstance(value, int | float) else np.nan,
                        "label": one.label(value),
                        "metric": metric,
                        "points": len(members),
                        "difference": found.mean,
                        "difference_low": found.low,
                        "difference_high": found.high,
                    }
                )
    columns = ["parameter", "value", "label", "metric", "points", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=columns)


def sampled_effect(differences: pd.DataFrame) -> stats.Estimate:
    """Estimate a mean over points and seeds, both of which are samples.

    Parameters
    ----------
    differences : DataFrame, shape (seeds, points)
        NaN where a run is missing.

    Returns
    -------
    Estimate
        Its half-width is the root of the sum of squares of two: Student's interval over points of their means over
        seeds, and over seeds of their means over points. Errors of the two are independent; what is noise of single
        runs is in both, so the interval is rather too long. Without limits for a single point or seed.
    """
    points, seeds = stats.mean_estimate(differences.mean(axis=0)), stats.mean_estimate(differences.mean(axis=1))
    half = math.hypot(points.high - points.low, seeds.high - seeds.low) / 2
    return stats.Estimate(points.mean, points.mean - half, points.mean + half, seeds.replicates)


def _groups(values: pd.Series[Any]) -> Iterator[tuple[list[Any], list[int]]]:
    """Yield values that belong together and their points: each value, or bins of equal count if there are many."""
    if values.nunique() > MOST_LEVELS and pd.api.types.is_numeric_dtype(values):
        keys: Any = pd.qcut(values.rank(method="first"), BINS, labels=False)
    else:
        keys = values
    for _, members in values.groupby(keys, sort=pd.api.types.is_numeric_dtype(values)):
        yield members.tolist(), [int(point) for point in members.index]


def experiment(plan: Plan[SweepPlan], runner: Runner) -> Findings:
    """Run the base and every point with every seed, and tell what each changes."""
    config = plan.config
    points = [base_point(plan), *design_points(config.design, plan.parameters)]
    fresh = [plan.seeds[-1] + 1 + number for number in range(config.confirm)]
    confirmed = min(CONFIRMED, len(points) - 1) if fresh else 0
    runner.planned = len(points) * len(plan.seeds) + (confirmed + 1 if fresh else 0) * len(fresh)
    return analyse(plan, points, shop_evaluator(plan, runner), fresh, confirmed)


def analyse(
    plan: Plan[SweepPlan], points: Sequence[Point], evaluate: Evaluate, fresh: Sequence[int], confirmed: int
) -> Findings:
    """Evaluate points, the base being the first, and put together what the study keeps.

    Parameters
    ----------
    plan : Plan
    points : sequence of Point
    evaluate : Evaluate
    fresh : sequence of int
        Seeds that confirm the best points; none if empty.
    confirmed : int
        How many points to confirm.
    """
    runs = evaluate(points, plan.seeds)
    table = points_table(points, plan.parameters)
    found = effects(runs)
    metric = plan.config.best_by or plan.config.metrics[0]
    ranked = ranking(found, metric)
    tables = {
        "effects": found,
        "main_effects": main_effects(table, runs, plan.parameters, isinstance(plan.config.design, GridDesign)),
    }
    made = len(runs[["point", "seed"]].drop_duplicates())
    best = [int(point) for point in ranked["point"][:confirmed]]
    if best:
        again = evaluate([points[BASE], *(points[point] for point in best)], fresh)
        again["point"] = again["point"].map(dict(enumerate([BASE, *best])))
        tables["confirmed_runs"] = again
        made += len(again[["point", "seed"]].drop_duplicates())
        tables["confirmed"] = effects(again)
    names = {number: _described(point, plan.parameters) for number, point in enumerate(points)}
    summary: dict[str, Any] = {"points": len(points) - 1, "runs": made, "best_by": metric, "base": dict(points[BASE])}
    summary["best"] = [
        {**{str(key): value for key, value in row.items()}, "parameters": dict(points[row["point"]])}
        for row in ranked[:BEST].to_dict("records")
    ]
    summary["verdict"] = _verdict(metric, ranked, names, tables.get("confirmed"))
    return Findings(table, runs, summary, tables)


def ranking(found: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Return the rows of one metric, the best point first; the largest first if neither direction is better."""
    rows = found[(found["metric"] == metric) & found["difference"].notna()]
    order = rows["difference"] * (direction_of(metric) or 1)
    return rows.loc[order.sort_values(ascending=False, kind="stable").index].reset_index(drop=True)


def _described(point: Point, parameters: Sequence[Parameter]) -> str:
    return ", ".join(f"{one.path} {one.label(point[one.path])}" for one in parameters)


def _verdict(metric: str, ranked: pd.DataFrame, names: dict[int, str], confirmed: pd.DataFrame | None) -> str:
    """Say which point is best and how sure that is."""
    if ranked.empty:
        return f"No point can be compared with the base by {metric}: runs failed or have no data."
    unit = unit_of(metric)
    best = ranked.iloc[0]
    counts = ranked["verdict"].value_counts()
    told = listed([f"{count} {verdict}" for verdict, count in counts.items()])
    change = f"{names[int(best['point'])]}: {number(best['difference'], unit, signed=True)}{_limits(best, unit)}"
    if direction_of(metric) and "better" not in counts:
        text = f"By {metric}, no point is shown to be better than the base ({names[BASE]}); the first is {change}."
    else:
        text = f"By {metric}, the best of {len(ranked)} points is {change} against the base ({names[BASE]})."
    if ties := int((ranked["difference"] == best["difference"]).sum()) - 1:
        text += f" {ties} more {'does' if ties == 1 else 'do'} exactly as well."
    text += f" Of all points, against the base: {told}."
    if confirmed is None:
        return f"{text} The best of many looks better than it is; confirm: N runs it again with fresh seeds."
    again = confirmed[(confirmed["metric"] == metric) & (confirmed["point"] == best["point"])]
    if again.empty:
        return f"{text} With fresh seeds it did not run to its end."
    row = again.iloc[0]
    return (
        f"{text} Run again with fresh seeds it changes {metric} by "
        f"{number(row['difference'], unit, signed=True)}{_limits(row, unit)}: {row['verdict']}."
    )


def _limits(row: Any, unit: str) -> str:
    text = interval(row["difference_low"], row["difference_high"], unit, signed=True)
    return f" (95% interval {text})" if text else ""


def show(out: Console, study: Study) -> None:
    """Print the best points and the verdict."""
    metric = study.summary["best_by"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("point", *(one.path for one in study.parameters), label(metric), "against the base", ""):
        table.add_column(heading, justify="right")
    points, unit = study.points.set_index("point"), unit_of(metric)
    runs = study.runs
    own = runs.loc[(runs["point"] == BASE) & (runs["metric"] == metric), "value"].mean()
    values = [one.label(points.at[BASE, one.path]) for one in study.parameters]
    table.add_row("base", *values, number(own, unit), "", "", style="dim")
    for row in study.summary["best"]:
        mean, difference = (math.nan if row[key] is None else row[key] for key in ("mean", "difference"))
        low, high = (math.nan if row[key] is None else row[key] for key in ("difference_low", "difference_high"))
        limits = interval(low, high, unit, signed=True)
        table.add_row(
            str(row["point"]),
            *(one.label(points.at[row["point"], one.path]) for one in study.parameters),
            number(mean, unit),
            f"{number(difference, unit, signed=True)}" + (f" ({limits})" if limits else ""),
            row["verdict"],
        )
    out.print(Text(study.name, style="bold") + Text(f"  {study.manifest['question']}"))
    out.print(table)
    out.print("Changes with 95% intervals, paired by seed; each interval stands for itself.", style="dim")
    out.print()
    out.print(study.summary["verdict"], style="bold", markup=False, soft_wrap=True)


def command(path: Path, options: PlanOptions) -> int:
    """Carry out a sweep and return the exit code."""
    return conduct(path, options, "sweep", experiment, show)
