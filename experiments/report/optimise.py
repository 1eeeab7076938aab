"""The report of an optimisation: what to choose, where it is good, what the worlds cost, and what was only luck."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plans.optimise_output import amount, short_names
from experiments.plans.parameters import Parameter
from experiments.plans.study import Study
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
from experiments.tables import short, unit_of
from experiments.wording import number

KINDS = {
    "within the bounds": (COLOURS[0], "o"),
    "stopped early": (RULE, "v"),
    "not allowed": (COLOURS[1], "x"),
}
MOST_COLUMNS = 4


def panels(study: Study) -> list[Panel]:
    """Return the sections of the report of an optimisation."""
    confirmed = study.table("confirmed")
    labels = [one["label"] for one in study.summary["objectives"]]
    found = [_answer(study, confirmed)]
    if len(labels) > 1:
        found.append(Panel("What trades against what", pictures=[_front(study, confirmed, labels)]))
    found.append(Panel("Where it is good", [_counts(study)], [_slices(study, confirmed, label) for label in labels]))
    if "regrets" in study.tables:
        found.append(Panel("If the world is another", pictures=[_regrets(study)]))
    found.append(Panel("Luck of the search", pictures=[_luck(study, confirmed, label) for label in labels]))
    return found


def _counts(study: Study) -> str:
    trials = study.summary["trials"]
    return (
        f"{trials['finished']} trials: {trials['allowed']} keep every bound on average, {trials['pruned']} were "
        f"stopped before their last seed because they were surely worse than a finished trial on the same seeds, or "
        f"surely not allowed. That spared {trials['runs_spared']} of {trials['runs'] + trials['runs_spared']} runs."
    )


def _answer(study: Study, confirmed: pd.DataFrame) -> Panel:
    """Say what each candidate gave on fresh seeds."""
    if confirmed.empty:
        return Panel("The best points", ["No trial keeps every bound, so there is nothing to confirm."])
    points = study.points.set_index("point")
    several = len(study.summary["worlds"]) > 1
    counted = confirmed.drop_duplicates(["role", "label"])
    rows = []
    for (point, world), part in confirmed.groupby(["point", "world"], sort=False):
        cells = [cell for row in part.to_dict("records") for cell in _cells(row)]
        place = [one.label(points.at[point, one.path]) for one in study.parameters]
        rows.append([f"trial {point}", *place, *([str(world)] if several else []), *cells])
    columns = ["", *short_names(study.parameters), *(["world"] if several else [])]
    for row in counted.to_dict("records"):
        label = str(row["label"]).replace("_", " ")
        columns += [label, "gain over the base"] if row["role"] == "objective" and not _is_gain(row) else [label]
    note = (
        f"Means over {len(study.summary['fresh_seeds'])} fresh seeds with 95% intervals; gains are paired with the "
        "base seed by seed. A bound passes if its one-sided confidence limit is within it, fails if the opposite "
        "limit is outside; else it is open, and more replicates are needed."
    )
    chosen = study.summary["choice"]
    text = []
    if chosen:
        text = [
            f"Trial {chosen['trial']} is the choice: the best of the search of which no bound is shown to be broken."
        ]
    numbers = len(columns) - 1 - len(study.parameters) - several
    return Panel("The best points", text, tables=[Grid(columns, rows, note=note, numbers=numbers)])


def _is_gain(row: Mapping[Hashable, Any]) -> bool:
    return str(row["label"]).endswith("minus base")


def _cells(row: Mapping[Hashable, Any]) -> list[str]:
    if row["role"] == "objective":
        return [amount(row)] if _is_gain(row) else [amount(row), amount(row, "gain")]
    mark = {"pass": "✓", "fail": "✗ broken", "undecided": "· open"}[row["state"]]
    return [f"{amount(row)} {mark}"]


def _kinds(study: Study) -> pd.Series[Any]:
    """Say of each trial which of the kinds it is."""
    trials = study.table("trials")
    kinds = np.where(trials["allowed"], "within the bounds", "not allowed")
    return pd.Series(np.where(trials["allowed"] & (trials["state"] == "pruned"), "stopped early", kinds))


def _scatter(axes: Axes, x: pd.Series[Any], y: pd.Series[Any], kinds: pd.Series[Any]) -> None:
    for kind in reversed(KINDS):
        colour, marker = KINDS[kind]
        chosen = (kinds == kind).to_numpy()
        axes.scatter(x[chosen], y[chosen], s=16, color=colour, marker=marker, linewidths=1, label=kind, zorder=2)


def _axis(axes: Axes, metric: str, which: str) -> None:
    percent_axis(axes, which) if unit_of(metric) == "share" else plain_axis(axes, which)


def _metric(study: Study, label: str) -> str:
    return next(str(one["metric"]) for one in study.summary["objectives"] if one["label"] == label)


def _objective(confirmed: pd.DataFrame, label: str) -> pd.DataFrame:
    rows = confirmed[(confirmed["role"] == "objective") & (confirmed["label"] == label)]
    return rows.groupby("point", sort=False)[["search_mean", "mean", "ci_low", "ci_high"]].mean().reset_index()


def _slices(study: Study, confirmed: pd.DataFrame, label: str) -> Picture:
    """Draw every trial over each parameter."""
    trials, kinds = study.table("trials"), _kinds(study)
    shown = study.parameters[:MOST_COLUMNS]
    figure = Figure(figsize=(WIDTH, 2.7))
    grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    best = _objective(confirmed, label) if not confirmed.empty else None
    for axes, one in zip(grid, shown, strict=True):
        column = study.points[one.path]
        place, ticks = _places(one, column)
        _scatter(axes, place, trials[label], kinds)
        if best is not None:
            at = place[best["point"].to_numpy()]
            bars = np.abs(best[["ci_low", "ci_high"]].to_numpy().T - best["mean"].to_numpy())
            axes.errorbar(at, best["mean"], bars, fmt="D", color=INK, markersize=4, capsize=2, label="on fresh seeds")
        if ticks:
            axes.set_xticks(range(len(ticks)), ticks)
        else:
            value_axis(axes, one)
        axes.set_xlabel(one.path if len(one.path) < 30 else f"…{one.path[-28:]}")
    grid[0].set_ylabel(label.replace("_", " "))
    _axis(grid[0], _metric(study, label), "y")
    figure.legend(*grid[0].get_legend_handles_labels(), loc="upper center", ncol=4, bbox_to_anchor=(0.5, 1.07))
    figure.tight_layout()
    caption = (
        "Every trial by the value of each parameter; black are the best on fresh seeds with 95% intervals. A clear "
        "hill says that the parameter matters and where; a level cloud says that it may be chosen for other reasons. "
        "Best points at the edge ask for a wider range."
    )
    if len(study.parameters) > len(shown):
        caption += f" Not drawn: {', '.join(one.path for one in study.parameters[MOST_COLUMNS:])}."
    described = "; ".join(f"trial {i}: {short(value)}" for i, value in enumerate(trials[label][:60]))
    return picture(figure, f"slices-{_identifier(label)}", f"{label} by parameter", described, caption)


def value_axis(axes: Axes, one: Parameter) -> None:
    """Write the values of a parameter below an axis, on the scale on which it was searched."""
    if one.log:
        axes.set_xscale("log")
        middle = one.from_unit(0.5)
        axes.set_xticks([one.low, middle, one.high], [one.label(value) for value in (one.low, middle, one.high)])
        axes.minorticks_off()
    elif one.unit == "share":
        percent_axis(axes, "x")


def _places(one: Parameter, column: pd.Series[Any]) -> tuple[pd.Series[Any], list[str]]:
    """Return where values of a parameter stand on an axis, and labels if they are not numbers."""
    if one.numeric:
        return column.astype(float), []
    options = list(dict.fromkeys(column))
    return column.map({value: float(i) for i, value in enumerate(options)}), [str(value) for value in options]


def _identifier(label: str) -> str:
    return label.replace(" ", "-").replace(".", "-").replace("_", "-")


def _front(study: Study, confirmed: pd.DataFrame, labels: list[str]) -> Picture:
    """Draw what trades against what: the first objective against each other one."""
    trials, kinds = study.table("trials"), _kinds(study)
    figure = Figure(figsize=(WIDTH * min(1.0, 0.55 * (len(labels) - 1)), 3.6))
    grid = figure.subplots(1, len(labels) - 1, squeeze=False)[0]
    front = trials[trials["best"]].sort_values(labels[0])
    for axes, other in zip(grid, labels[1:], strict=True):
        _scatter(axes, trials[labels[0]], trials[other], kinds)
        if len(labels) == 2:
            axes.plot(front[labels[0]], front[other], color=COLOURS[2], linewidth=1.2, label="Pareto front", zorder=1)
        if not confirmed.empty:
            one, two = _objective(confirmed, labels[0]), _objective(confirmed, other)
            bars = [np.abs(t[["ci_low", "ci_high"]].to_numpy().T - t["mean"].to_numpy()) for t in (two, one)]
            axes.errorbar(
                one["mean"],
                two["mean"],
                *bars,
                fmt="D",
                color=INK,
                markersize=4,
                elinewidth=0.9,
                label="on fresh seeds",
            )
            for number_, x, y in zip(one["point"], one["mean"], two["mean"], strict=True):
                axes.annotate(str(number_), (x, y), textcoords="offset points", xytext=(5, 4), fontsize=8)
        axes.set_xlabel(labels[0].replace("_", " "))
        axes.set_ylabel(other.replace("_", " "))
        _axis(axes, _metric(study, labels[0]), "x")
        _axis(axes, _metric(study, other), "y")
    grid[0].legend()
    figure.tight_layout()
    wanted = "; ".join(f"{one['label']}: {one['direction']}" for one in study.summary["objectives"])
    caption = (
        f"{wanted}. On the front more of one costs some of the other. Black are points of the front on fresh seeds "
        "with 95% intervals, by number of trial: points whose intervals overlap in both are no different as far as "
        "one can tell."
    )
    described = "; ".join(
        f"trial {row['point']}: " + ", ".join(f"{label} {short(row[label])}" for label in labels)
        for row in front.to_dict("records")
    )
    return picture(figure, "front", "Pareto front", described, caption)


def _regrets(study: Study) -> Picture:
    """Draw what each candidate loses in each world."""
    table = study.table("regrets")
    order = list(dict.fromkeys(table["point"]))
    loss = table.pivot(index="point", columns="world", values="regret").loc[order, study.summary["worlds"]]
    loss.insert(len(loss.columns), "worst", loss.max(axis=1))
    figure = Figure(figsize=(min(WIDTH, 2.4 + 1.1 * loss.shape[1]), 1.4 + 0.4 * len(loss)))
    axes = figure.subplots()
    unit = unit_of(study.summary["objectives"][0]["metric"])
    sns.heatmap(
        loss, ax=axes, cmap="rocket_r", vmin=0, annot=loss.map(lambda value: number(value, unit)).to_numpy(), fmt="",
        linewidths=0.6, cbar=False, annot_kws={"fontsize": 8},
    )  # fmt: skip
    axes.axvline(loss.shape[1] - 1, color=INK, linewidth=1.5)
    axes.set(xlabel="", ylabel="trial")
    axes.tick_params(axis="x", rotation=20)
    figure.tight_layout()
    caption = (
        f"What each candidate loses in each world against the best for that world ({unit or 'plain numbers'}), on "
        "fresh seeds. The choice has the smallest number in the last column by the search: whichever of these worlds "
        "is the real one, one will not regret it by more. Below zero: fresh seeds found it better than what the search "
        "held for the best."
    )
    rows = [f"trial {point}: worst {short(row['worst'])}" for point, row in loss.iterrows()]
    return picture(figure, "regrets", "Regret by world", "; ".join(rows), caption)


def _luck(study: Study, confirmed: pd.DataFrame, label: str) -> Picture:
    """Draw what the search promised beside what fresh seeds gave."""
    if confirmed.empty:
        return nothing("n/a: no trial keeps every bound.")
    best = _objective(confirmed, label)
    figure = Figure(figsize=(WIDTH * 0.75, 0.8 + 0.34 * len(best)))
    axes = figure.subplots()
    place = np.arange(len(best))
    bars = np.abs(best[["ci_low", "ci_high"]].to_numpy().T - best["mean"].to_numpy())
    axes.errorbar(best["mean"], place, xerr=bars, fmt="D", color=INK, markersize=5, capsize=3, label="fresh seeds")
    axes.scatter(best["search_mean"], place, marker="o", facecolors="none", edgecolors=QUIET, label="search", zorder=3)
    axes.set_yticks(place, [f"trial {i}" for i in best["point"]])
    axes.set_xlabel(label.replace("_", " "))
    axes.set_ylim(len(best) - 0.5, -0.5)
    _axis(axes, _metric(study, label), "x")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    figure.tight_layout()
    caption = (
        "The best of many noisy trials looks better than it is, because luck helped to choose it. Rings are what the "
        "search saw, diamonds what fresh seeds gave, with 95% intervals: plan with the diamonds."
    )
    rows = [
        f"trial {r['point']}: search {short(r['search_mean'])}, fresh {short(r['mean'])}"
        for r in best.to_dict("records")
    ]
    return picture(figure, f"luck-{_identifier(label)}", f"{label}: search and fresh seeds", "; ".join(rows), caption)
