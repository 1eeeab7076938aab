"""The report of a laboratory study: what each experiment would have told, how often it is right, whom to treat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments import stats
from experiments.lab.terms import OUTCOMES
from experiments.lab.wording import called, effect, limits, seen, size, what
from experiments.plans.study import Study
from experiments.report.drawing import COLOURS, INK, QUIET, RULE, WIDTH, Picture, nothing, percent_axis, picture
from experiments.report.individual import individual
from experiments.report.studies import Grid, Panel
from experiments.wording import UNKNOWN, percent

ROW = 0.24  # inches


def panels(study: Study) -> list[Panel]:
    """Return the sections of the report of a laboratory study."""
    found = study.table("performance")
    estimates = study.table("estimates")
    outcomes: list[str] = study.summary["outcomes"]
    sections = [
        Panel(
            f"What each experiment would have told: {what(outcome)}",
            pictures=[_told(found, estimates, outcome, f"told-{outcome}"), _sure(study, found, outcome)],
            tables=[_grid(study, found, outcome)],
        )
        for outcome in outcomes
    ]
    sections.append(Panel("The designs on this network", tables=[_designs(study)]))
    if "individual" in study.summary:
        sections.append(individual(study))
    return sections


def _rows(found: pd.DataFrame, outcome: str) -> list[dict[str, Any]]:
    """Return the rows of one outcome that have an estimate."""
    rows = found[(found["outcome"] == outcome) & np.isfinite(found["estimate"])]
    return [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]


def _told(found: pd.DataFrame, estimates: pd.DataFrame, outcome: str, name: str) -> Picture:
    """Draw the estimates of all replicates by design and estimator, and the true effect."""
    rows = _rows(found, outcome)
    if not rows:
        return nothing("n/a: no experiment could be set beside the truth.")
    part = estimates[(estimates["outcome"] == outcome) & np.isfinite(estimates["value"])]
    truths = part.drop_duplicates("seed")["truth"]
    low, high = _reach(part["value"].to_numpy(), truths.to_numpy())
    figure = Figure(figsize=(WIDTH, ROW * len(rows) + 1.0))
    axes = figure.subplots()
    axes.axvspan(float(truths.min()), float(truths.max()), color=RULE, alpha=0.45, linewidth=0)
    axes.axvline(float(truths.mean()), color=INK, linewidth=1.2)
    axes.axvline(0, color=QUIET, linewidth=0.8, linestyle=(0, (2, 2)))
    designs = list(dict.fromkeys(row["design"] for row in rows))
    for y, row in enumerate(rows):
        colour = COLOURS[designs.index(row["design"]) % len(COLOURS)]
        values = part.loc[
            (part["design"] == row["design"]) & (part["estimator"] == row["estimator"]), "value"
        ].to_numpy()
        inside = (values >= low) & (values <= high)
        axes.plot(values[inside], np.full(inside.sum(), y), "o", color=colour, alpha=0.35, markersize=4, mew=0)
        for beyond, edge, marker in ((values < low, low, "<"), (values > high, high, ">")):
            if beyond.any():
                axes.plot([edge], [y], marker, color=colour, alpha=0.6, markersize=5, clip_on=False)
        mean = min(max(row["estimate"], low), high)
        ends = np.clip([row["truth"] + row["bias_low"], row["truth"] + row["bias_high"]], low, high)
        axes.plot(ends, [y, y], color=colour, linewidth=2.2, solid_capstyle="butt", zorder=3)
        axes.plot([mean], [y], "D", color=colour, markersize=6, mec="white", clip_on=False, zorder=4)
        axes.annotate(
            f"sees {seen(row)}", (1, y), (8, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
            va="center", size=8, color=QUIET,
        )  # fmt: skip
    _label(axes, rows)
    axes.set(xlim=(low, high), xlabel=f"{what(outcome)} per 1,000 persons, treated less untreated")
    figure.tight_layout()
    caption = (
        "Each pale dot is one experiment in one shop, each diamond the mean of a design, its bar the 95% interval of "
        "the bias, which is settled where the bar leaves out the black line. That line is the mean true effect, "
        "everybody treated against nobody, and the grey band its range over the shops. Bias stays however large the "
        "experiment is; dots far apart are noise, which a larger experiment cures. Arrows: estimates beyond the edge."
    )
    found_truth = stats.mean_estimate(truths)
    if not (found_truth.low > 0 or found_truth.high < 0):
        caption += " With these replicates the true effect may as well be zero, so no share of it can be told."
    told = "; ".join(f"{called(row['design'], row['estimator'])}: mean {effect(row['estimate'])}" for row in rows)
    text = f"True effect {effect(float(truths.mean()))}; {told}."
    return picture(figure, name, f"Estimates and truth, {what(outcome)}", text, caption)


def _reach(values: np.ndarray[Any, Any], truths: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Return an axis that holds the truths and most estimates, but not the wildest of the most variable design."""
    low, high = np.quantile(values, [0.08, 0.92])
    low, high = min(low, truths.min(), 0.0), max(high, truths.max(), 0.0)
    margin = 0.08 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def _label(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    """Write designs and estimators at the left, a line between designs."""
    axes.set_yticks(range(len(rows)), [called(row["design"], row["estimator"]) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    for y in range(1, len(rows)):
        if rows[y]["design"] != rows[y - 1]["design"]:
            axes.axhline(y - 0.5, color=RULE, linewidth=0.6)


def _sure(study: Study, found: pd.DataFrame, outcome: str) -> Picture:
    """Draw coverage and power with their Monte Carlo intervals."""
    rows = [row for row in _rows(found, outcome) if math.isfinite(row["coverage"])]
    if not rows:
        return nothing("n/a: no experiment has an interval.")
    figure = Figure(figsize=(WIDTH, ROW * len(rows) + 0.9))
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, key, level, title in (
        (left, "coverage", study.summary["confidence"], "intervals that hold the truth"),
        (right, "power", study.summary["power"], "experiments that find the effect"),
    ):
        axes.axvline(level, color=INK, linewidth=1.0)
        for y, row in enumerate(rows):
            colour = COLOURS[0] if row[f"{key}_high"] >= level else COLOURS[1]
            axes.plot([row[f"{key}_low"], row[f"{key}_high"]], [y, y], color=colour, linewidth=1.4)
            axes.plot([row[key]], [y], "o", color=colour, markersize=5)
        _label(axes, rows)
        axes.set(xlim=(-0.03, 1.03), title=title)
        percent_axis(axes, "x")
    right.tick_params(axis="y", labelleft=False)
    figure.tight_layout()
    caption = (
        f"Left: how often the {percent(study.summary['confidence'])} interval of an experiment holds the true effect; "
        "orange lies below what it says, beyond chance. Right: how often it leaves out zero on the true side; the line "
        f"is the power of {percent(study.summary['power'])} that was asked for. Bars are 95% intervals of the shares."
    )
    text = "; ".join(
        f"{called(row['design'], row['estimator'])}: coverage {percent(row['coverage'])}, power {percent(row['power'])}"
        for row in rows
    )
    return picture(figure, f"sure-{outcome}", "Coverage and power", f"{text}.", caption)


def _share(row: dict[str, Any], key: str) -> str:
    if not math.isfinite(row[key]):
        return UNKNOWN
    return f"{percent(row[key])} ({percent(row[f'{key}_low']).removesuffix('%')} to {percent(row[f'{key}_high'])})"


def _grid(study: Study, found: pd.DataFrame, outcome: str) -> Grid:
    kinds = {name: terms["kind"] for name, terms in study.summary["designs"].items()}
    rows = [
        [
            called(row["design"], row["estimator"]), effect(row["estimate"]), effect(row["bias"]),
            limits(row["bias_low"], row["bias_high"]), seen(row), effect(row["deviation"], signed=False),
            effect(row["reported_error"], signed=False), _share(row, "coverage"), _share(row, "power"),
            effect(row["detectable"], signed=False), size(row, kinds[row["design"]]),
        ]
        for row in _rows(found, outcome)
    ]  # fmt: skip
    columns = (
        "experiment", "estimate", "bias", "95% interval", "seen", "spread", "reported error", "coverage", "power",
        "detectable", "size",
    )  # fmt: skip
    return Grid(
        columns, rows, f"{what(outcome).capitalize()} per 1,000 persons",
        "Spread is the standard deviation of the error over replicates; where the reported error is smaller, an "
        "experiment believes too much in itself. Detectable is the effect that is found with the power asked for. "
        "The size needed is the one at which the design finds, with that power, what it sees of the true effect: a "
        "biased design also needs more because it sees less. Unknown where it is not settled that a design sees any.",
        numbers=10,
    )  # fmt: skip


def _designs(study: Study) -> Grid:
    """Return what a reader should know of each design: units, and how many ties stay within them."""
    rows = []
    for name, figures in study.summary["figures"].items():
        known = {key: float("nan") if value is None else value for key, value in figures.items()}
        get = known.get
        rows.append(
            [
                name, study.summary["designs"][name]["kind"], _number(get("units")), _number(get("largest_unit")),
                _percent(get("within_share")), _number(get("analysed_degree")), _number(get("degree")),
                _percent(get("comparable_share")),
            ]
        )  # fmt: skip
    columns = ("design", "kind", "units", "largest", "friends in one's unit", "ties of the analysed", "ties of all",
               "comparable by exposure")  # fmt: skip
    note = (
        "Friends in one's unit is what a design can catch of an effect that comes through friends: where it is 90%, a "
        "tenth is lost. Egos with fewer ties than others see less of such an effect than there is. Comparable are "
        f"persons whose chances to be exposed and to be spared are both large enough. {_counted(study)}"
    )
    return Grid(columns, rows, "Means over replicates", note, numbers=6)


def _counted(study: Study) -> str:
    return "Counted are " + "; ".join(f"{what(name)}: {OUTCOMES[name]}" for name in study.summary["outcomes"]) + "."


def _number(value: float | None) -> str:
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:,.1f}".removesuffix(".0")


def _percent(value: float | None) -> str:
    return UNKNOWN if value is None or not math.isfinite(value) else percent(value)
