"""Figures of what an arm changes: the forest plot, who bought because of it, the funnel."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.report.drawing import (
    INK,
    QUIET,
    RULE,
    WIDTH,
    Look,
    Picture,
    looks,
    nothing,
    percent_axis,
    picture,
    plain_axis,
)
from experiments.report.folder import Run, Study
from experiments.report.tables import change, changes
from experiments.tables import short, unit_of
from experiments.wording import TOO_WIDE, listed, percent, possible_change, tells_relative

FOREST = {
    "growth": ("new_members", "gmv", "buyers", "orders", "k_factor"),
    "retention": ("repeat_rate", "retention_d7", "retention_d30"),
    "money": ("contribution", "incentive_cost", "subsidy_rate", "cac"),
    "fraud": ("fraud_loss", "fraud_loss_share"),
}
"""Metrics in the forest plot, by group; one that the base has none of has no relative difference, and is left out."""
ROW = 0.19  # inches


def forest(study: Study) -> Picture:
    """Draw mean differences with their intervals, by metric and arm: in percent of the base, shares in points."""
    names = [arm.name for arm in study.arms]
    look = looks([study.base.name, *names])
    rows = [
        (group, metric, [(name, _change(study.effects[name, metric], metric)) for name in names])
        for group, metrics in FOREST.items()
        for metric in metrics
        if all((name, metric) in study.effects for name in names)
    ]
    drawn = [
        (group, metric, found)
        for group, metric, all_found in rows
        if (found := [(name, effect) for name, effect in all_found if effect is not None])
    ]
    left_out = [metric for _, metric, _ in rows if metric not in {metric for _, metric, _ in drawn}]
    if not drawn:
        return nothing("n/a: no metric has a relative difference; see the table for differences in their own units.")
    reach = _reach([effect for _, _, found in drawn for _, effect in found])
    lines = sum(len(found) + 0.7 for _, _, found in drawn)
    figure = Figure(figsize=(WIDTH, ROW * lines + 0.9))
    axes = figure.subplots()
    y = 0.0
    for index, (group, metric, found) in enumerate(drawn):
        if index == 0 or drawn[index - 1][0] != group:
            axes.annotate(
                group, (0, y), (-150, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                color=QUIET, va="center", style="italic",
            )  # fmt: skip
        middle = y + (len(found) - 1) / 2
        axes.annotate(
            metric.replace("_", " "), (0, middle), (-8, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", va="center", weight="bold",
        )  # fmt: skip
        for name, effect in found:
            _effect(axes, y, effect, look[name], reach)
            y += 1
        y += 0.7
        axes.axhline(y - 0.85, color=RULE, linewidth=0.5)
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set(
        xlim=(-reach, reach),
        ylim=(y - 0.7, -0.7),
        yticks=[],
        xlabel=f"change against {study.base.name} (of shares: in points)",
    )
    axes.grid(visible=False, axis="y")
    percent_axis(axes, "x")
    handles = [_handle(look[name]) for name in names]
    figure.legend(handles, names, loc="upper left", ncols=min(len(names), 6), bbox_to_anchor=(0.02, 1.0))
    height = figure.get_figheight()
    figure.subplots_adjust(left=0.22, right=0.83, top=1 - 0.34 / height, bottom=0.45 / height)
    caption = (
        f"Dots are mean changes in percent of the mean of {study.base.name}; of shares, in points. Bars are their 95% "
        "intervals over paired replicates, written out on the right: those of the tables, which also count how little "
        "the base is known; where that leaves too little to say, the base is held fixed. Full dots are settled: the "
        "interval leaves zero out, or nothing changes. Hollow dots are not settled yet. An arrow means that something "
        "lies beyond the edge."
    )
    if left_out:
        names_left_out = listed([metric.replace("_", " ") for metric in left_out])
        caption += f" Not drawn, as {study.base.name} has none, too little or no data: {names_left_out}."
    parts = [
        f"{name}: {metric.replace('_', ' ')} {effect.text}" for _, metric, found in drawn for name, effect in found
    ]
    return picture(figure, "forest", "Relative changes with 95% intervals", "; ".join(parts) + ".", caption)


class Change(NamedTuple):
    """What an arm changes, in parts of what the base has; shares: in points of 1."""

    mean: float
    low: float
    high: float
    settled: bool
    text: str


def _change(row: Mapping[str, Any], metric: str) -> Change | None:
    """Return what to draw; None if there is no change to draw, or if the base has too little to divide by."""
    unit = unit_of(metric)
    whole = 1.0 if unit == "share" else row["base_mean"]
    if not (math.isfinite(row["mean_difference"]) and whole > 0):
        return None
    if tells_relative(row, unit):  # as the tables tell it
        mean, low, high = (row[f"relative_{key}"] for key in ("difference", "low", "high"))
    else:
        mean = row["mean_difference"] / whole
        low, high = (possible_change(row[key], row, unit, metric) / whole for key in ("ci_low", "ci_high"))
    if high - low >= TOO_WIDE:
        return None
    settled = row["verdict"] in ("better", "worse", "higher", "lower")
    if row["verdict"] == "same":
        return Change(mean, low, high, True, "as in the base")
    if unit == "share":
        return Change(mean, low, high, settled, f"{change(mean, metric)}  ({changes(row, metric)})")
    limits = f"{percent(low).removesuffix('%')} to {percent(high)}" if math.isfinite(low) else "no interval"
    return Change(mean, low, high, settled, f"{percent(mean, signed=True)}  ({limits})")


def _reach(found: Sequence[Change]) -> float:
    """Return how far the axis goes: to most changes and most ends of intervals, so that none dwarfs the rest."""
    means = [abs(change.mean) for change in found]
    ends = [abs(end) for change in found for end in (change.low, change.high) if math.isfinite(end)]
    most = [1.15 * float(np.quantile(values, 0.8)) for values in (means, ends) if values]
    return float(max(0.05, min(max(most), 1.15 * max([*means, *ends]))))


def _effect(axes: Any, y: float, effect: Change, look: Look, reach: float) -> None:
    low, high = effect.low, effect.high
    if math.isfinite(low) and math.isfinite(high):
        ends = np.clip([low, high], -reach, reach)
        axes.plot(ends, [y, y], color=look.colour, linewidth=1.4, solid_capstyle="butt")
        for end, edge, marker in ((low, -reach, "<"), (high, reach, ">")):
            if abs(end) > reach and np.sign(end) == np.sign(edge):
                axes.plot([edge], [y], marker=marker, color=look.colour, markersize=5, clip_on=False)
    beyond = abs(effect.mean) > reach
    axes.plot(
        [np.clip(effect.mean, -reach, reach)], [y], color=look.colour, clip_on=False, markersize=6, linestyle="none",
        marker=(">" if effect.mean > 0 else "<") if beyond else look.marker,
        markeredgewidth=1.4, markerfacecolor=look.colour if effect.settled else "white",
    )  # fmt: skip
    axes.annotate(
        effect.text, (1, y), (8, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="center",
        size=8, color=INK if effect.settled else QUIET,
    )  # fmt: skip


def _handle(look: Look) -> Line2D:
    return Line2D([], [], color=look.colour, marker=look.marker, linewidth=1.4)


TWINS = {
    "put_off": ("put off", "#d55e00", -1),
    "anyway": ("would have bought anyway", "#9aa5b1", 1),
    "persuaded": ("persuaded", "#0072b2", 1),
}
"""Label, colour and side of each kind of buyer."""


def twins(study: Study) -> Picture:
    """Draw who bought only because of an arm, who would have anyway, and who was put off."""
    names = [arm.name for arm in study.arms]
    counts = {name: {kind: float(study.increments[name, kind]["mean"]) for kind in TWINS} for name in names}
    if not any(math.isfinite(count) for kinds in counts.values() for count in kinds.values()):
        return nothing("n/a: no replicate finished in both the base and an arm.")
    figure = Figure(figsize=(WIDTH, 0.42 * len(names) + 1.0))
    axes = figure.subplots()
    span = max(sum(kinds.values()) for kinds in counts.values()) or 1.0
    for row, name in enumerate(names):
        left = 0.0
        for kind, (_, colour, side) in TWINS.items():
            value = counts[name][kind]
            start = -value if side < 0 else left
            axes.barh(row, value, left=start, height=0.62, color=colour, edgecolor="white")
            left += value if side > 0 else 0.0
            if value > 0.05 * span:
                axes.text(start + value / 2, row, short(value), ha="center", va="center", color="white", weight="bold")
    axes.axvline(0, color=INK, linewidth=0.9)
    axes.set_yticks(range(len(names)), names)
    axes.set(ylim=(len(names) - 0.5, -0.5), xlabel="real persons, mean of the replicates")
    axes.grid(visible=False, axis="y")
    axes.xaxis.set_major_formatter(lambda value, _: short(abs(value)))
    handles = [Patch(color=colour) for _, colour, _ in TWINS.values()]
    labels = [label for label, _, _ in TWINS.values()]
    figure.legend(handles, labels, loc="upper left", ncols=3, bbox_to_anchor=(0.02, 1.0))
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.3 / figure.get_figheight()))
    caption = (
        f"Every person lives twice, once under {study.base.name} and once under the arm, with the same tastes and "
        "moods. Blue bought only under the arm, grey bought under both, orange bought only without it. Blue and orange "
        "hold people as well whom the scheme never reached, but who bought or did not because others did: blue less "
        "orange is what the arm adds. Those whom nothing moved are in the table below."
    )
    parts = [", ".join(f"{short(count)} {TWINS[kind][0]}" for kind, count in counts[name].items()) for name in names]
    text = "; ".join(f"{name}: {part}" for name, part in zip(names, parts, strict=True))
    return picture(figure, "twins", "Who bought only because of it", text, caption)


OPEN = "sign-ups"
"""The stage that persons also reach without the one before."""


def funnel(runs: Sequence[Run]) -> Picture:
    """Draw how many remain from messages read to second orders, a panel a stage."""
    funnels = {run.name: run.funnel for run in runs}
    stages = list(next(iter(funnels.values())))
    figure = Figure(figsize=(WIDTH, 0.34 * len(runs) + 0.8))
    panels = figure.subplots(1, len(stages), sharey=True)
    names = list(funnels)
    look = looks(names)
    for index, (axes, stage) in enumerate(zip(panels, stages, strict=True)):
        values = [funnels[name][stage] for name in names]
        colours = [look[name].colour for name in names]
        sns.barplot(x=values, y=names, hue=names, palette=colours, ax=axes, legend=False, saturation=1)
        axes.set_title(stage)
        axes.set(xlabel="", ylabel="", xlim=(0, 1.85 * max(*values, 1.0)), xticks=[])
        axes.grid(visible=False)
        sns.despine(ax=axes, bottom=True)
        plain_axis(axes, "x")
        for row, (name, value) in enumerate(zip(names, values, strict=True)):
            before = funnels[name][stages[index - 1]] if index else 0.0
            step = f" ({percent(value / before)})" if before > 0 and stage != OPEN else ""
            axes.text(value + 0.04 * axes.get_xlim()[1], row, f"{short(value)}{step}", va="center", size=8)
    figure.tight_layout(w_pad=0.6)
    caption = (
        "Means over replicates, each stage on a scale of its own; in brackets which part of the stage before it is. "
        "Messages and clicks count everyone; from sign-up on only real new members count. Many sign up by "
        "themselves, without any message: so there is no such part for sign-ups."
    )
    parts = [f"{n}: " + ", ".join(f"{short(v)} {s}" for s, v in funnels[n].items()) for n in names]
    return picture(figure, "funnel", "Funnel", "; ".join(parts), caption)
