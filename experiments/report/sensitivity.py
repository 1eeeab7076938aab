"""The report of a sensitivity analysis: what matters, how surely, and how much of it is noise."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from experiments.plans.indices import MAIN
from experiments.plans.sensitivity import HEADINGS, index_text, place_text
from experiments.plans.study import Study
from experiments.report.drawing import COLOURS, INK, QUIET, WIDTH, Picture, nothing, percent_axis, picture, plain_axis
from experiments.report.studies import Grid, Panel
from experiments.tables import label, unit_of
from experiments.wording import number, percent

MOST_METRICS, MOST_BARS = 6, 20
EXPLAINED = {
    "sobol": (
        "Alone: the share of a metric's variance that goes away if this parameter is known. In all: the share that "
        "stays if everything else is known, interactions with others included. Where both agree the parameter acts "
        "by itself; where the total is larger, what it does depends on other parameters."
    ),
    "morris": (
        "Mean absolute effect: how much the metric moves if the parameter crosses its whole range, on average over "
        "where the others stand. Mean effect has the sign; where it is much smaller, the direction changes. Spread: "
        "how much the effect depends on where all parameters stand, by curvature or interaction."
    ),
}


def panels(study: Study) -> list[Panel]:
    """Return the sections of the report of a sensitivity analysis."""
    table, kind = study.table("indices"), study.summary["method"]
    metrics = list(dict.fromkeys(table["metric"]))
    noise = study.table("noise").set_index("metric")
    drawn = [
        _bars(study, table[table["metric"] == metric], metric, float(noise.loc[metric, "floor"])) for metric in metrics
    ]
    text = [EXPLAINED[kind]]
    if len(metrics) > MOST_METRICS:
        text.append(f"Drawn are the first {MOST_METRICS} metrics.")
    found = [Panel("What matters", text, drawn[:MOST_METRICS])]
    found.append(
        Panel("Indices", tables=[_grid(study, table[table["metric"] == metric], metric) for metric in metrics])
    )
    found.append(_noise_panel(study, noise))
    gaps = [f"{metric}: {reason}" for metric, reason in study.summary["refused"].items()]
    gaps += [
        f"{metric}: {count['values']} of {count['of']} values are imputed means."
        for metric, count in study.summary["imputed"].items()
    ]
    if gaps:
        found.append(Panel("Missing runs", gaps))
    return found


def _bars(study: Study, rows: pd.DataFrame, metric: str, floor: float) -> Picture:
    """Draw each parameter's indices with their intervals, the strongest on top."""
    kind = study.summary["method"]
    names = ("ST", "S1") if kind == "sobol" else ("mu_star", "mu")
    shown = rows[:MOST_BARS].reset_index(drop=True)
    if shown[names[0]].isna().all():
        return nothing(f"{label(metric)}: n/a, it does not vary with any of these parameters.")
    figure = Figure(figsize=(WIDTH, 0.8 + 0.36 * len(shown)))
    axes = figure.subplots()
    y = np.arange(len(shown), dtype=float)
    axes.barh(y, shown[names[0]], height=0.5, color=COLOURS[0], alpha=0.25)
    for name, shift, colour, marker in ((names[0], -0.1, COLOURS[0], "o"), (names[1], 0.14, COLOURS[1], "D")):
        low, high = (shown[f"{name}_{end}"] for end in ("low", "high"))
        bars = [np.maximum(shown[name] - low, 0), np.maximum(high - shown[name], 0)]
        axes.errorbar(
            shown[name], y + shift, xerr=bars, fmt=marker, color=colour, markersize=4, elinewidth=1.3, capsize=2,
            label=HEADINGS[name],
        )  # fmt: skip
    axes.axvline(0, color=INK, linewidth=0.9)
    if math.isfinite(floor):
        axes.axvline(floor, color=QUIET, linewidth=0.9, linestyle=(0, (2, 2)), label="noise alone")
    axes.set_yticks(y, shown["parameter"])
    axes.set(ylim=(len(shown) - 0.5, -0.5), title=label(metric))
    axes.grid(visible=False, axis="y")
    share = kind == "sobol"
    (percent_axis if share or unit_of(metric) == "share" else plain_axis)(axes, "x")
    axes.set_xlabel("share of the variance" if share else "change over the whole range of the parameter")
    axes.legend(loc="lower right", ncols=1)
    figure.tight_layout()
    caption = (
        f"{percent(study.summary['confidence'])} bootstrap intervals. Left of the dashed line an index is no larger "
        "than what the noise of the seeds alone could make of a parameter without effect."
    )
    texts = [f"{row['parameter']}: {HEADINGS[names[0]]} {row[names[0]]:.3g}" for _, row in shown.iterrows()]
    return picture(figure, f"bars-{metric.replace('.', '-')}", f"What moves {metric}", "; ".join(texts), caption)


def _grid(study: Study, rows: pd.DataFrame, metric: str) -> Grid:
    kind = study.summary["method"]
    columns = [name for name in HEADINGS if name in rows]
    ranges = {
        one.path: ", ".join(map(one.label, one.values))
        if one.values
        else f"{one.label(one.low)} to {one.label(one.high)}{', log scale' if one.log else ''}"
        for one in study.parameters
    }
    cells = [
        [
            row["parameter"],
            ranges[row["parameter"]],
            *(index_text(kind, metric, row, name) for name in columns),
            place_text(row),
        ]
        for row in rows.to_dict("records")
    ]
    headings = ["parameter", "varied over", *(HEADINGS[name] for name in columns), "place"]
    note = "Place: by the " + HEADINGS[MAIN[kind]] + " index, and in brackets the places it takes in the bootstrap."
    return Grid(headings, cells, label(metric), note, len(columns) + 1)


def _noise_panel(study: Study, noise: pd.DataFrame) -> Panel:
    """Say what common random numbers do here."""
    kind, count = study.summary["method"], len(study.manifest["seeds"])
    text = [
        f"Every point ran with the same {count} seed{'s' if count > 1 else ''} (common random numbers). What a seed "
        "does to all points alike drops out of every index; independent seeds would have added it to the variance. "
        "What it does to single points is left, shrinks with more replicates, and looks like an interaction.",
    ]
    if count < 2:
        return Panel(
            "Noise", [*text, "With one seed nobody can say how much that is: replicates: 2 or more would tell."]
        )
    rows = [
        [
            label(str(metric)),
            _share(row["removed"]),
            _share(row["left"]),
            _share(row["floor"]) if kind == "sobol" else number(row["floor"], unit_of(str(metric))),
        ]
        for metric, row in noise.iterrows()
    ]
    headings = ["metric", "taken out", "left", "index by noise alone"]
    caption = "Noise of the seeds, as shares of the variance between points"
    note = "Index by noise alone: what the main index of a parameter without effect may look like."
    return Panel("Noise", text, tables=[Grid(headings, rows, caption, note, 3)])


def _share(value: float) -> str:
    return percent(value) if math.isfinite(value) else "n/a"
