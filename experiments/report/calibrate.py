"""The report of a calibration: estimates, whether the targets are met, what cannot be told apart, and the search."""

from __future__ import annotations

import math

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from experiments.plans.calibrate_output import precise
from experiments.plans.study import Study
from experiments.report.drawing import COLOURS, INK, QUIET, RULE, WIDTH, Picture, nothing, picture, plain_axis
from experiments.report.optimise import value_axis
from experiments.report.studies import Grid, Panel
from experiments.tables import short, unit_of


def panels(study: Study) -> list[Panel]:
    """Return the sections of the report of a calibration."""
    warnings = study.summary["identifiability"]["warnings"]
    apart = warnings or ["Each parameter is told apart from the others by the targets."]
    return [
        Panel("Parameters", pictures=[_intervals(study)], tables=[_estimates(study)]),
        Panel("Are the targets met?", _fit_text(study), [_predictions(study)], [_moments(study)]),
        Panel("Can they be told apart?", apart, [_correlation(study)], [_directions(study)]),
        Panel("The search", pictures=[_search(study)]),
    ]


def _percent(study: Study) -> str:
    return f"{100 * study.summary['confidence']:g}%"


def _intervals(study: Study) -> Picture:
    """Draw each interval within its range."""
    rows = study.summary["parameters"]
    figure = Figure(figsize=(WIDTH, 0.7 + 0.42 * len(rows)))
    axes = figure.subplots()
    for place, (one, row) in enumerate(zip(study.parameters, rows, strict=True)):
        colour = COLOURS[0] if row["known"] else COLOURS[1]
        axes.plot([0, 1], [place, place], color=RULE, linewidth=1, zorder=1)
        axes.plot(
            [row["share_low"], row["share_high"]], [place, place], color=colour, linewidth=5, alpha=0.35, zorder=2
        )
        axes.plot(row["share"], place, marker="D", color=colour, markersize=6, zorder=3)
        text = f"{one.label(row['estimate'])}  ({one.label(row['ci_low'])} to {one.label(row['ci_high'])})"
        axes.annotate(text, (1.02, place), va="center", annotation_clip=False, fontsize=8.5)
    axes.set_yticks(range(len(rows)), [row["parameter"] for row in rows])
    axes.set_xticks([0, 1], ["lowest of its range", "highest"])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlim=(-0.01, 1.01))
    axes.grid(False)
    figure.subplots_adjust(left=0.3, right=0.72)
    caption = (
        f"Estimates with {_percent(study)} intervals within the range that the plan allows. Orange: the targets "
        "cannot tell, so the interval is the range. An interval that touches the end of its range asks for a wider one."
    )
    parts = [f"{row['parameter']} {short(row['estimate'])}" for row in rows]
    return picture(figure, "intervals", "Estimates within their ranges", "; ".join(parts), caption)


def _estimates(study: Study) -> Grid:
    rows = []
    for one, row in zip(study.parameters, study.summary["parameters"], strict=True):
        single = f"{one.label(row['ci_low'])} to {one.label(row['ci_high'])}"
        together = f"{one.label(row['all_low'])} to {one.label(row['all_high'])}"
        whole = f"{one.label(one.low)} to {one.label(one.high)}"
        rows.append([row["parameter"], one.label(row["estimate"]), single, together, whole])
    columns = ["parameter", "estimate", f"{_percent(study)} interval", "all at once", "range"]
    return Grid(columns, rows, note="All at once: intervals that hold together with that confidence.", numbers=4)


def _fit_text(study: Study) -> list[str]:
    fit = study.summary["fit"]
    if fit["p_value"] is None:
        return ["There are no more targets than parameters, so whether the model can meet them cannot be tested."]
    text = (
        f"Were the model right, targets would be missed by this much or more with probability {fit['p_value']:.2g} "
        f"(Hansen's test, {fit['spare_moments']} targets to spare)."
    )
    return (
        [text] if fit["p_value"] >= 0.01 else [text, "So the model is not right: estimates are the best of a bad fit."]
    )


def _predictions(study: Study) -> Picture:
    """Draw targets within the band of what the calibrated model predicts."""
    rows, drawn = study.summary["moments"], study.table("predictions")
    figure = Figure(figsize=(WIDTH, 0.9 + 0.36 * len(rows)))
    axes = figure.subplots()
    axes.axvspan(-1, 1, color=RULE, alpha=0.45, linewidth=0)
    axes.axvline(0, color=QUIET, linewidth=0.9)
    reach = 1.5
    for place, row in enumerate(rows):
        half = (row["high"] - row["low"]) / 2 or math.nan
        simulated = (drawn.loc[drawn["metric"] == row["metric"], "mean"] - row["predicted"]) / half
        axes.scatter(simulated, np.full(len(simulated), place), s=8, color=QUIET, alpha=0.5, zorder=2)
        off = (row["target"] - row["predicted"]) / half
        reach = max(reach, 1.15 * abs(off))
        colour = COLOURS[0] if row["meets"] else COLOURS[1]
        face = "none" if row["held_out"] else colour
        axes.scatter(off, place, s=55, marker="D", edgecolors=colour, facecolors=face, linewidths=1.6, zorder=3)
    names = [f"{row['metric'].replace('_', ' ')}{' (held out)' if row['held_out'] else ''}" for row in rows]
    axes.set_yticks(range(len(rows)), names)
    axes.set(
        ylim=(len(rows) - 0.5, -0.5),
        xlim=(-reach, reach),
        xlabel="target less prediction, in half-widths of its interval",
    )
    figure.tight_layout()
    caption = (
        f"Grey band: where a target should lie with {_percent(study)} confidence if the calibrated model is right. "
        "Diamonds: the targets, hollow if they were held out; orange if outside. Dots: simulated shops at parameters "
        "drawn from the estimate. Held-out targets count most: nothing was fitted to them."
    )
    parts = [f"{row['metric']}: target {short(row['target'])}, predicted {short(row['predicted'])}" for row in rows]
    return picture(figure, "predictions", "Targets and predictions", "; ".join(parts), caption)


def _moments(study: Study) -> Grid:
    rows = []
    for row in study.summary["moments"]:
        unit = unit_of(row["metric"])
        use = "held out" if row["held_out"] else "fitted"
        between = f"{precise(row['low'], unit)} to {precise(row['high'], unit)}"
        verdict = "met" if row["meets"] else "missed"
        rows.append(
            [row["metric"], use, precise(row["target"], unit), precise(row["predicted"], unit), between, verdict]
        )
    return Grid(["target", "use", "value", "predicted", "between", ""], rows, numbers=4)


def _correlation(study: Study) -> Picture:
    """Draw how the errors of estimates go together."""
    table = study.table("correlation").set_index("parameter")
    if len(table) < 2:
        return nothing("There is only one parameter.")
    figure = Figure(figsize=(min(WIDTH, 2.5 + 0.9 * len(table)), 0.9 + 0.42 * len(table)))
    axes = figure.subplots()
    sns.heatmap(
        table, ax=axes, cmap="vlag", vmin=-1, vmax=1, annot=True, fmt=".2f", linewidths=0.6, cbar=False,
        annot_kws={"fontsize": 8},
    )  # fmt: skip
    axes.set(xlabel="", ylabel="")
    axes.tick_params(axis="x", rotation=20)
    figure.tight_layout()
    caption = (
        "Correlation of the estimates' errors. Near 1 or -1 the targets fix a combination of two parameters and not "
        "each: what was overestimated in one is made up for by the other. Another target that only one of them moves "
        "helps."
    )
    described = (
        f"{len(table)} parameters; largest correlation {np.abs(table.to_numpy() - np.eye(len(table))).max():.2f}"
    )
    return picture(figure, "correlation", "Correlation of estimates", described, caption)


def _directions(study: Study) -> Grid:
    table = study.table("directions")
    paths = [one.path for one in study.parameters]
    rows = [
        ["told" if row["told"] else "cannot be told", f"{row['slope']:.3g}", *(f"{row[path]:+.2f}" for path in paths)]
        for row in table.to_dict("records")
    ]
    note = (
        "Directions of the parameters, each in shares of its range, from the one that moves the targets most to the "
        "one that moves them least; the slope is how many standard errors the targets move over a whole range."
    )
    return Grid(["", "slope", *paths], rows, note=note, numbers=1 + len(paths))


def _search(study: Study) -> Picture:
    """Draw the distance from the targets over each parameter."""
    trials = study.table("trials")
    shown = study.parameters[:4]
    figure = Figure(figsize=(WIDTH, 2.4))
    grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
    for axes, one, row in zip(grid, shown, study.summary["parameters"], strict=False):
        axes.scatter(study.points[one.path], trials["distance"], s=14, color=COLOURS[0])
        axes.axvline(row["estimate"], color=INK, linewidth=1)
        axes.axvspan(row["ci_low"], row["ci_high"], color=RULE, alpha=0.5, linewidth=0)
        if (trials["distance"] > 0).any():
            axes.set_yscale("log")
        value_axis(axes, one)
        axes.set_xlabel(one.path if len(one.path) < 30 else f"…{one.path[-28:]}")
    plain_axis(grid[0])
    grid[0].yaxis.set_minor_formatter(NullFormatter())  # on a log axis the default writes TeX
    grid[0].set_ylabel("distance from the targets")
    figure.tight_layout()
    caption = (
        "Every point of the search by its weighted squared distance from the fitted targets; the line is the "
        "estimate, the band its interval. A valley around the line says that the search found one place; several say "
        "that there may be several answers."
    )
    described = f"{len(trials)} points; smallest distance {short(float(trials['distance'].min()))}"
    return picture(figure, "search", "Distance from the targets", described, caption)
