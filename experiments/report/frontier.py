"""The report of a search for safe rewards: the frontier of each policy, growth against loss, and the way back."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from experiments.plans.frontier_output import (
    beyond_text,
    bounds,
    frontier_text,
    hysteresis_text,
    of_study,
    policies_text,
    price_text,
    remarks,
    scope_text,
)
from experiments.plans.frontier_reward import Reward
from experiments.plans.study import Study
from experiments.report.drawing import BASE_COLOUR, COLOURS, INK, QUIET, WIDTH, Picture, nothing, picture, plain_axis
from experiments.report.law import law_panel
from experiments.report.studies import Grid, Panel
from experiments.tables import interval, label, short, unit_of
from experiments.wording import number

DRAWN = ("new_members", "incentive_cost", "fraud_loss", "ring_profit")
TABLED = ("new_members", "fraud_accounts", "fraud_loss", "incentive_cost", "contribution", "ring_profit", "honest_hit")


def panels(study: Study) -> list[Panel]:
    """Return the sections of the report of a search for frontiers."""
    summary, reward = study.summary, of_study(study)
    note = (
        f"{summary['criterion'][0].upper()}{summary['criterion'][1:]}. Frozen rewards are not earned yet. "
        f"{scope_text(summary)} Policies: {policies_text(summary)}."
    )
    beyond = [beyond_text(row, reward) for row in summary["beyond"]]
    price = price_text(summary["prices"], reward)
    found = [
        Panel(
            "The safe-reward frontier",
            [note, *([price] if price else [])],
            [_frontiers(study, reward)],
            [_table(study, reward)],
        ),
        Panel("What a reward buys, and what it loses", beyond, [_curves(study, reward)], _values(study, reward)),
    ]  # fmt: skip
    if told := hysteresis_text(summary, reward):
        found.append(Panel("Raised and lowered again", [told], [_branches(study, reward)], _differences(study, reward)))
    return [*found, law_panel(summary["law"])]


def _reward_axis(axes: Axes, reward: Reward) -> None:
    if reward.unit == "share":
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g}%")
    else:
        plain_axis(axes, "x")


def _frontiers(study: Study, reward: Reward) -> Picture:
    """Draw the frontier of each policy: every seed, the mean with its interval, and what the scenario pays."""
    rows, seeds = study.summary["frontiers"], study.table("frontiers")
    figure = Figure(figsize=(WIDTH * 0.8, 1.0 + 0.5 * len(rows)))
    axes = figure.subplots()
    parts = []
    for place, row in enumerate(rows):
        own = seeds[seeds["policy"] == row["policy"]]
        colour = COLOURS[place % len(COLOURS)]
        values = own["safe"].fillna(reward.low)
        open_ended = own["pays"].isna()
        axes.scatter(
            values[~open_ended], [place] * int((~open_ended).sum()), color=colour, alpha=0.5, s=26, linewidths=0
        )
        axes.scatter(values[open_ended], [place] * int(open_ended.sum()), color=colour, alpha=0.7, s=40, marker=">")
        low, mean, high = (_float(row[key]) for key in ("frontier_low", "frontier", "frontier_high"))
        if math.isfinite(low):
            axes.plot([low, high], [place - 0.22] * 2, color=colour, linewidth=2)
        if math.isfinite(mean):
            inside = "white" if row["never_pays"] or row["always_pays"] else colour
            axes.scatter([mean], [place - 0.22], facecolor=inside, edgecolor=colour, s=44, marker="D", zorder=3)
        parts.append(f"{row['policy']}: {frontier_text(row, reward)}")
    if math.isfinite(reward.current):
        axes.axvline(reward.current, color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
        axes.annotate("the scenario", (reward.current, 1), (3, 3), xycoords=("data", "axes fraction"),
                      textcoords="offset points", color=QUIET, fontsize=8)  # fmt: skip
    axes.set_yticks(range(len(rows)), [row["policy"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.7)
    axes.set_xlim(reward.low, reward.high * 1.03)
    axes.grid(axis="y", visible=False)
    _reward_axis(axes, reward)
    axes.set_xlabel(f"largest {reward.name} at which farming does not pay")
    caption = (
        "Dots are single seeds (an arrow: farming pays at no reward that was tried), the diamond their mean with "
        "its 95% interval (open: a bound, as some seeds have no frontier within the range). Left of the leftmost dot a "
        "reward is safe with every seed. The dashed line is what the scenario pays."
    )
    return picture(figure, "frontier", "Safe-reward frontier by policy", "; ".join(parts), caption)


def _table(study: Study, reward: Reward) -> Grid:
    rows = []
    for row in study.summary["frontiers"]:
        safe, untouched = bounds(row, reward)
        rows.append(
            [row["policy"], frontier_text(row, reward), safe, untouched, str(row["seeds"]), remarks(row) or "–"]
        )
    note = (
        f"Known to {reward.label(study.summary['resolution'])} or finer, the gap at which bisection stops. Intervals "
        "are 95%, Student's t over seeds; where some seeds have no frontier within the range, the mean is a bound "
        "only. Below the frontier farms may enter as well, and lose, which costs the shop too: the fourth column "
        "says from where on."
    )
    columns = ["policy", "largest safe reward", "safe with every seed", "no farm enters up to", "seeds", "remarks"]
    return Grid(columns, rows, note=note)


def _curves(study: Study, reward: Reward) -> Picture:
    """Draw growth, cost, loss and the rings' profit over the reward, a line for each policy."""
    table = study.table("curves")
    figure = Figure(figsize=(WIDTH, 4.6))
    grid = figure.subplots(2, 2, sharex=True).ravel()
    policies = list(dict.fromkeys(table["policy"]))
    for axes, metric in zip(grid, DRAWN, strict=True):
        for place, policy in enumerate(policies):
            part = table[(table["policy"] == policy) & (table["metric"] == metric)].sort_values("reward")
            colour = COLOURS[place % len(COLOURS)]
            axes.plot(
                part["reward"], part["mean"], color=colour, marker="o", markersize=3.5, linewidth=1.5, label=policy
            )
            low = part["low"] if metric == "ring_profit" else part["low"].clip(lower=0)  # others are never below 0
            axes.fill_between(part["reward"], low, part["high"], color=colour, alpha=0.12, linewidth=0)
        for place, row in enumerate(study.summary["frontiers"]):
            mean = _float(row["frontier"])
            if math.isfinite(mean) and not row["never_pays"] and not row["always_pays"]:
                axes.axvline(mean, color=COLOURS[place % len(COLOURS)], linewidth=0.9, linestyle=(0, (2, 2)))
        axes.axhline(0, color=INK, linewidth=0.8)
        axes.set_title(label(metric))
        plain_axis(axes)
        _reward_axis(axes, reward)
    grid[1].legend(loc="upper left")  # where cost is low, at low rewards
    for axes in grid[2:]:
        axes.set_xlabel(reward.name)
    figure.tight_layout()
    parts = [
        f"{row['policy']} at {reward.label(row['reward'])}: {row['metric']} {short(row['mean'])}"
        for row in table[table["metric"].isin(DRAWN)].to_dict("records")
    ]
    caption = (
        "What a reward brings and costs under each policy: means over seeds with 95% intervals. Dashed lines are the "
        "frontiers. Right of them farms enter and earn, and what is lost grows faster than membership."
    )
    return picture(figure, "curves", "Growth and loss over the reward", "; ".join(parts), caption)


def _values(study: Study, reward: Reward) -> list[Grid]:
    table = study.table("curves")
    grids = []
    for policy, own in table.groupby("policy", sort=False):
        cells: dict[float, dict[str, str]] = {}
        for row in own[own["metric"].isin(TABLED)].to_dict("records"):
            cells.setdefault(row["reward"], {})[row["metric"]] = _with_limits(row)
        rows = [
            [reward.label(value), *(metrics.get(name, "–") for name in TABLED)]
            for value, metrics in sorted(cells.items())
        ]
        grids.append(Grid([reward.path, *map(label, TABLED)], rows, f"Policy: {policy}", "", len(TABLED)))
    return grids


def _with_limits(row: Any) -> str:
    unit = unit_of(row["metric"])
    limits = interval(_float(row["low"]), _float(row["high"]), unit)
    return number(_float(row["mean"]), unit) + (f" ({limits})" if limits else "")


def _branches(study: Study, reward: Reward) -> Picture:
    """Draw what farms do from the fork on, by where the reward came from."""
    table = study.table("branches")
    if table.empty:
        return nothing(f"Not looked at: {study.summary['no_branches']}.")
    policies = list(dict.fromkeys(table["policy"]))
    figure = Figure(figsize=(WIDTH * (0.55 if len(policies) == 1 else 1.0), 2.6 * math.ceil(len(policies) / 2) + 0.4))
    grid = figure.subplots(math.ceil(len(policies) / 2), min(2, len(policies)), squeeze=False).ravel()
    parts = []
    for axes, policy in zip(grid, policies, strict=False):
        for origin, colour, shift in (("below", COLOURS[0], -1), ("above", COLOURS[1], 1)):
            part = table[(table["policy"] == policy) & (table["origin"] == origin)]
            means = part.groupby("reward")["fraud_accounts"].agg(["mean", "min", "max"])
            gap = shift * 0.004 * (reward.high - reward.low)
            bars = [means["mean"] - means["min"], means["max"] - means["mean"]]
            axes.errorbar(means.index + gap, means["mean"], bars, color=colour, marker="o", markersize=4, linewidth=1.5,
                          elinewidth=1.0, capsize=2, label=f"coming from {origin}")  # fmt: skip
            parts += [f"{policy}, from {origin}, {reward.label(float(value))}: {short(mean)}"
                      for value, mean in means["mean"].items()]  # fmt: skip
        axes.set_title(policy)
        axes.axhline(0, color=BASE_COLOUR, linewidth=0.8)
        axes.set(xlabel=f"{reward.name} from the fork on", ylabel="fake accounts let in since")
        plain_axis(axes)
        _reward_axis(axes, reward)
    for axes in grid[len(policies) :]:
        axes.set_visible(False)
    grid[0].legend(loc="upper left")
    figure.tight_layout()
    caption = (
        f"From day {study.summary['fork_day']:g} on both branches pay the same rewards: one shop had paid the "
        "lowest of them before, the other the highest. Means over seeds with the range of all. Where the lines lie "
        "apart, it matters where a reward comes from."
    )
    return picture(figure, "branches", "Hysteresis", "; ".join(parts), caption)


def _differences(study: Study, reward: Reward) -> list[Grid]:
    table: pd.DataFrame = study.table("hysteresis")
    if table.empty:
        return []
    rows = []
    for row in table.to_dict("records"):
        unit = unit_of(row["figure"])
        limits = interval(_float(row["low"]), _float(row["high"]), unit, signed=True)
        change = number(row["difference"], unit, signed=True) + (f" ({limits})" if limits else "")
        where = f"{row['policy']}, {reward.label(row['reward'])}"
        means = (number(row[origin], unit) for origin in ("below", "above"))
        rows.append([where, label(row["figure"]), *means, change])
    note = (
        "From the fork to the end of the run; rings active at its end. Differences with 95% intervals, paired by seed. "
        "Rings that came from above have fewer places left: less farming at high rewards may be no more than that."
    )
    columns = ["policy, reward since", "figure", "coming from below", "coming from above", "difference"]
    return [Grid(columns, rows, "At equal rewards", note, 3)]


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
