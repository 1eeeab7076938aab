"""The report of a sweep: what each parameter does, the map of two, the best points."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plans.parameters import Parameter
from experiments.plans.study import Study
from experiments.plans.sweep import BASE, ranking
from experiments.report.drawing import (
    COLOURS,
    INK,
    QUIET,
    RULE,
    WIDTH,
    Picture,
    nothing,
    percent_axis,
    picture,
    plain_axis,
)
from experiments.report.studies import Grid, Panel
from experiments.tables import interval, label, short, unit_of
from experiments.wording import number

MOST_METRICS, MOST_COLUMNS, MOST_ROWS, MOST_CELLS = 4, 4, 20, 400


def panels(study: Study) -> list[Panel]:
    """Return the sections of the report of a sweep."""
    effects = study.table("effects")
    metrics = list(dict.fromkeys(effects["metric"]))
    found = [Panel("What each parameter does", pictures=[_curves(study, effects, metrics[:MOST_METRICS])])]
    if len(metrics) > MOST_METRICS:
        found[0] = Panel(found[0].title, [f"Drawn are the first {MOST_METRICS} metrics; "
                                          "main_effects.parquet has all."], found[0].pictures)  # fmt: skip
    if maps := [_map(study, effects, metric) for metric in metrics[:MOST_METRICS]] if _is_grid(study) else []:
        found.append(Panel("Two parameters at once", pictures=maps))
    found.append(Panel("Best points", tables=_best(study, effects, metrics)))
    return found


def _is_grid(study: Study) -> bool:
    """Whether every value of a parameter meets all values of the others, and there are at least two to map."""
    points = study.points.iloc[1:]
    counts = [points[one.path].nunique() for one in study.parameters]
    return len(counts) > 1 and math.prod(counts) == len(points) and math.prod(sorted(counts)[-2:]) <= MOST_CELLS


def _curves(study: Study, effects: pd.DataFrame, metrics: list[str]) -> Picture:
    """Draw what each parameter changes on average over the others: a row a metric, a column a parameter."""
    table = study.table("main_effects")
    shown = study.parameters[:MOST_COLUMNS]
    if table.empty:
        return nothing("n/a: no point can be compared with the base.")
    columns = len(shown)
    figure = Figure(figsize=(WIDTH, 1.9 * len(metrics) + 0.5))
    grid = figure.subplots(len(metrics), columns, squeeze=False, sharey="row", sharex="col")
    points = study.points.set_index("point")
    for row, metric in enumerate(metrics):
        single = effects[effects["metric"] == metric]
        for column, one in enumerate(shown):
            axes = grid[row, column]
            part = table[(table["metric"] == metric) & (table["parameter"] == one.path)].reset_index(drop=True)
            place = _places(one, part)
            axes.axhline(0, color=INK, linewidth=0.9)
            base: Any = points.at[BASE, one.path]
            if one.numeric and _finite(base):
                axes.axvline(base, color=QUIET, linewidth=0.9, linestyle=(0, (2, 2)))
            if one.numeric and len(part) < len(single):
                axes.scatter(points.loc[single["point"], one.path], single["difference"], s=7, color=RULE, zorder=1)
            bars = np.abs(part[["difference_low", "difference_high"]].to_numpy().T - part["difference"].to_numpy())
            axes.errorbar(
                place, part["difference"], np.nan_to_num(bars), color=COLOURS[row % len(COLOURS)], marker="o",
                markersize=4, linewidth=1.4 if one.numeric else 0, elinewidth=1.1, capsize=2,
            )  # fmt: skip
            _axis(axes, one, part)
            percent_axis(axes) if unit_of(metric) == "share" else plain_axis(axes)
            if column == 0:
                axes.set_ylabel(f"{label(metric)}\nagainst the base")
            if row == len(metrics) - 1:
                axes.set_xlabel(_short_path(one))
    figure.tight_layout()
    caption = (
        "Change against the base point on average over all other parameters, with 95% intervals; the dashed line is "
        "the base. Grey dots are single points of the design. An interval that leaves zero out is a change beyond "
        "doubt; a line that is flat is a parameter that does not matter here on its own."
    )
    if len(study.parameters) > columns:
        caption += f" Not drawn: {', '.join(one.path for one in study.parameters[columns:])}; see main_effects.parquet."
    parts = [
        f"{row['parameter']} {row['label']}: {row['metric']} {short(row['difference'])}"
        for row in table[table["metric"].isin(metrics)].to_dict("records")
    ]
    return picture(figure, "curves", "Main effects of the parameters", "; ".join(parts), caption)


def _places(one: Parameter, part: pd.DataFrame) -> Any:
    return part["value"] if one.numeric else part.index


def _axis(axes: Axes, one: Parameter, part: pd.DataFrame) -> None:
    """Write the values of a parameter below its column."""
    if not one.numeric:
        axes.set_xticks(range(len(part)), part["label"], rotation=20 if len(part) > 3 else 0)
        return
    if one.log:
        axes.set_xscale("log")
    if len(part) <= 6:
        axes.set_xticks(part["value"], part["label"])
        axes.minorticks_off()
    elif one.unit == "share":
        percent_axis(axes, "x")
    axes.tick_params(axis="x", labelrotation=20 if len(part) > 4 else 0)


def _map(study: Study, effects: pd.DataFrame, metric: str) -> Picture:
    """Draw the change of one metric over the two parameters that move it most, on average over the others."""
    name = f"map-{metric.replace('.', '-')}"
    rows = effects[effects["metric"] == metric].merge(study.points, on="point")
    if rows["difference"].notna().sum() == 0:
        return nothing(f"{metric}: n/a, no point can be compared with the base.")
    down, across = sorted(study.parameters, key=lambda one: -_spread(rows, one))[:2]
    cells = rows.groupby([down.path, across.path], sort=False)
    change = cells["difference"].mean().unstack()
    if down.numeric:
        change = change.sort_index(ascending=False)
    if across.numeric:
        change = change.sort_index(axis=1)
    settled = ((rows["difference_low"] > 0) | (rows["difference_high"] < 0)).groupby(
        [rows[down.path], rows[across.path]], sort=False
    )
    sure = settled.all().unstack().reindex_like(change)
    share = unit_of(metric) == "share"
    write = (
        (lambda value: f"{100 * value:+.1f}") if share else (lambda value: f"{'+' if value > 0 else ''}{short(value)}")
    )
    texts = change.map(write) + sure.map(lambda known: "" if known else " ?")
    figure = Figure(figsize=(min(WIDTH, 2.2 + 0.95 * change.shape[1]), 1.0 + 0.42 * change.shape[0]))
    axes = figure.subplots()
    reach = float(np.nanmax(np.abs(change.to_numpy()))) or 1.0
    sns.heatmap(
        change, ax=axes, cmap="vlag_r", center=0, vmin=-reach, vmax=reach, annot=texts.to_numpy(), fmt="",
        linewidths=0.6, cbar=False, annot_kws={"fontsize": 8},
        xticklabels=[across.label(value) for value in change.columns],
        yticklabels=[down.label(value) for value in change.index],
    )  # fmt: skip
    axes.set(xlabel=_short_path(across), ylabel=_short_path(down), title=label(metric) + (", points" if share else ""))
    axes.tick_params(axis="y", labelrotation=0)
    rest = " on average over the other parameters" if len(study.parameters) > 2 else ""
    caption = (
        f"Change of {metric.replace('_', ' ')} against the base{rest}: blue is more, red is less. A question mark: the "
        "95% interval of a point holds zero."
    )
    parts = [
        f"{down.label(first)}, {across.label(second)}: {short(float(change.loc[first, second]))}"
        for first in change.index
        for second in change.columns
    ]
    return picture(figure, name, f"{metric} over {down.path} and {across.path}", "; ".join(parts), caption)


def _spread(rows: pd.DataFrame, one: Parameter) -> float:
    means = rows.groupby(one.path)["difference"].mean()
    return float(means.max() - means.min())


def _best(study: Study, effects: pd.DataFrame, metrics: list[str]) -> list[Grid]:
    """Return the tables of best points, and of what became of them with fresh seeds."""
    metric = study.summary["best_by"]
    ranked = ranking(effects, metric)
    note = (
        "Intervals are 95%, paired by seed with the base, and each stands for itself: of points without any effect "
        "one in forty seems better. Pairing: how many times smaller the variance of the difference is than with "
        "independent runs."
    )
    tables = [_grid(study, ranked[:MOST_ROWS], metric, f"Points by {metric}, the best first", note)]
    by_point = effects.set_index(["point", "metric"])
    best = [int(point) for point in ranked["point"][:5]]
    rows = [
        [f"point {point}", *(_change(by_point.loc[(point, other)], unit_of(other)) for other in metrics)]
        for point in best
    ]
    tables.append(Grid(["", *map(label, metrics)], rows, "What the best points do to every metric", "", len(metrics)))
    if "confirmed" in study.tables:
        again = study.table("confirmed")
        again = again[again["metric"] == metric]
        caption = (
            f"The best points again, with fresh seeds: these intervals do not suffer from having been picked ({metric})"
        )
        tables.append(_grid(study, again, metric, caption, ""))
    return tables


def _grid(study: Study, rows: pd.DataFrame, metric: str, caption: str, note: str) -> Grid:
    unit, points = unit_of(metric), study.points.set_index("point")
    paths = [one.path for one in study.parameters]
    headings = ["point", *paths, "mean", "against the base", "P(better)", "pairs", "pairing", "verdict"]
    runs = study.runs
    own = runs.loc[(runs["point"] == BASE) & (runs["metric"] == metric), "value"].mean()
    cells = [
        ["base", *(one.label(points.at[BASE, one.path]) for one in study.parameters), number(own, unit), *[""] * 5]
    ]
    for row in rows.to_dict("records"):
        chance = row["p_better"]
        cells.append(
            [
                str(row["point"]),
                *(one.label(points.at[row["point"], one.path]) for one in study.parameters),
                number(row["mean"], unit),
                _change(row, unit),
                f"{chance:.3f}" if _finite(chance) else "–",
                str(row["pairs"]),
                f"{row['variance_reduction']:.1f}x" if _finite(row["variance_reduction"]) else "–",
                row["verdict"],
            ]
        )
    return Grid(headings, cells, caption, note, len(headings) - 1)


def _change(row: Any, unit: str) -> str:
    limits = interval(row["difference_low"], row["difference_high"], unit, signed=True)
    return number(row["difference"], unit, signed=True) + (f" ({limits})" if limits else "")


def _short_path(one: Parameter) -> str:
    """Write a path as an axis has room for it: the last two words, or three if there is an index among them."""
    words = one.path.split(".")
    return ".".join(words[-3:] if words[-2:-1] and words[-2].isdigit() else words[-2:])


def _finite(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and math.isfinite(value)
