"""Figures over time: growth, K-factor, retention cohorts, fraud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.report.drawing import (
    QUIET,
    WIDTH,
    Look,
    Picture,
    looks,
    nothing,
    percent_axis,
    picture,
    plain_axis,
)
from experiments.report.folder import Run
from experiments.wording import listed

LEAST_RANGE = 0.2  # of the colours of a heat map, so that small differences look small
MANY_WEEKS = 14  # more cohorts than this are drawn without numbers in the cells
ENOUGH = 10  # new members, before a K-factor says anything
BAND = (0.025, 0.975)
INVITED: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.55}
"""Thin and pale: dashes already tell runs apart."""


def growth(runs: Sequence[Run]) -> Picture:
    """Draw members, sign-ups, invited sign-ups and the K-factor, day by day."""
    figure = Figure(figsize=(WIDTH, 5.6))
    panels = figure.subplots(2, 2)
    series = {run.name: _growth_of(run) for run in runs}
    titles = (
        ("members", "Members"),
        ("daily", "New members a day, mean of the last 7 days"),
        ("origin", "New members so far: all, and by invitation"),
        ("k", "K-factor so far"),
    )
    for axes, (key, title) in zip(panels.flat, titles, strict=True):
        axes.set_title(title)
        for name, look in looks([run.name for run in runs]).items():
            if key == "origin":
                _line(axes, series[name]["all"], look, "")
                _line(axes, series[name]["invited"], look, "", invited=True)
            elif series[name][key].notna().to_numpy().any():
                _line(axes, series[name][key], look, name)
        axes.set(xlabel="day", ylabel="", xlim=(0, None), ylim=(None if key == "members" else 0, None))
        plain_axis(axes)
    handles = [Line2D([], [], color=QUIET), Line2D([], [], color=QUIET, **INVITED)]
    panels[1, 0].legend(handles, ["all", "invited"], loc="upper left")
    _legend(figure, panels[0, 0], len(runs))
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    caption = (
        "Real persons only: fake accounts are left out. Lines are means over replicates, bands hold 95% of the "
        "replicates. The K-factor is how many sign-ups a member has brought by invitation so far, members at the start "
        f"included; it is drawn from the {ENOUGH}th new member on."
    )
    text = f"Line charts of members, new members and K-factor: {_ends(runs)}"
    return picture(figure, "growth", "Growth over time", text, caption)


def _growth_of(run: Run) -> dict[str, pd.DataFrame]:
    joined = run.joined
    every, invited = run.joins(~joined["fake"]), run.joins(~joined["fake"] & joined["invited"])
    by_member = run.joins(~joined["fake"] & joined["by_member"])
    so_far = every.cumsum()
    return {
        "members": run.daily("members"),
        "daily": every.rolling(7, min_periods=1).mean(),
        "all": so_far,
        "invited": invited.cumsum(),
        "k": (by_member.cumsum() / (so_far + run.members_at_start)).where(so_far >= ENOUGH),
    }


def _line(axes: Axes, table: pd.DataFrame, look: Look, label: str, *, invited: bool = False) -> None:
    """Draw the mean of a table of shape (days, replicates) with its band."""
    days, ends = table.index.to_numpy(), table.quantile(BAND, axis=1).to_numpy()
    style = INVITED if invited else {"linewidth": 1.6}
    (line,) = axes.plot(days, table.mean(axis=1), color=look.colour, **style)
    line.set_label(label or "_unnamed")
    if look.dashes:
        line.set_dashes(look.dashes)
    if invited:
        return
    axes.fill_between(days, ends[0], ends[1], color=look.colour, alpha=0.12, linewidth=0)


def _legend(figure: Figure, axes: Axes, entries: int) -> None:
    """Name the runs once, above all panels."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper left", ncols=min(entries, 6), bbox_to_anchor=(0.02, 1.0), handlelength=3)


def _ends(runs: Sequence[Run]) -> str:
    parts = [f"{run.name} ends with {run.mean('new_members'):,.0f} new members" for run in runs]
    return listed(parts) + "."


def cohorts(runs: Sequence[Run]) -> Picture:
    """Draw which share of each week's new members came back in each later week, a heat map a run."""
    shares = {run.name: _cohort_shares(run) for run in runs}
    shares = {name: share for name, share in shares.items() if share.size}
    if not shares:
        return nothing("n/a: the run is too short: cohorts are weeks, and need two whole ones.")
    columns = min(2, len(shares))
    rows = -(-len(shares) // columns)
    weeks = max(len(share) for share in shares.values())
    height = max(1.7, 0.24 * weeks + 0.8)
    figure = Figure(figsize=(WIDTH * (0.62 if columns == 1 else 1), rows * height))
    panels = np.atleast_1d(figure.subplots(rows, columns, squeeze=False).ravel())
    cells = np.concatenate([share.to_numpy().ravel() for share in shares.values()])
    low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
    high = max(high, low + LEAST_RANGE)
    for axes, (name, share) in zip(panels, shares.items(), strict=False):
        sns.heatmap(
            share, ax=axes, cmap="crest", vmin=low, vmax=high, linewidths=0.6, linecolor="white",
            annot=share.to_numpy() * 100 if weeks <= MANY_WEEKS else False, fmt=".0f", annot_kws={"size": 7},
            cbar=False, mask=share.isna(),
        )  # fmt: skip
        axes.set_title(name)
        axes.set(xlabel="weeks since sign-up", ylabel="")
        axes.tick_params(axis="y", rotation=0, length=0)
        axes.tick_params(axis="x", rotation=0, length=0)
        axes.grid(visible=False)
    for axes in panels[len(shares) :]:
        axes.set_visible(False)
    figure.tight_layout(h_pad=1.6)
    caption = (
        "Each row is the new members of a week (how many: n, mean of the replicates); each cell says which "
        "percentage of them came back in a later week, darker is more (one scale for all maps). Read down a column "
        "to see whether later cohorts are better or worse than early ones. The week of sign-up is 100% and left "
        "out, as are weeks that the end of the run cuts short."
    )
    means = [f"{name}: {100 * np.nanmean(share.to_numpy()):.0f}%" for name, share in shares.items()]
    text = f"Heat maps of the share of new members who came back; the mean over cells is {listed(means)}."
    return picture(figure, "cohorts", "Retention by cohort", text, caption)


def _cohort_shares(run: Run) -> pd.DataFrame:
    table = run.cohorts[run.cohorts["age"] > 0]
    share = (table["active"] / table["members"].where(table["members"] > 0)).rename("share")
    wide = table.assign(share=share).pivot_table(index="cohort", columns="age", values="share", dropna=False)
    sizes = table.groupby("cohort")["members"].first()
    wide.index = pd.Index([f"week {cohort + 1} (n={sizes[cohort]:.0f})" for cohort in wide.index])
    return wide


def fraud(runs: Sequence[Run]) -> Picture:
    """Draw how many fake accounts got in, how many were refused, and which share of the subsidy they took."""
    if not any(run.mean("fraud_accounts") > 0 or run.daily("signups_refused").to_numpy().any() for run in runs):
        return nothing("No fake account tried to sign up in these runs, so there is nothing to draw.")
    figure = Figure(figsize=(WIDTH, 2.9))
    panels = figure.subplots(1, 3)
    titles = ("Fake accounts that got in", "Sign-ups refused", "Fake accounts' share of the subsidy")
    drawn: list[dict[str, pd.DataFrame]] = [{}, {}, {}]
    for name, look in looks([run.name for run in runs]).items():
        run = next(run for run in runs if run.name == name)
        accounts = run.joins(run.joined["fake"]).cumsum()
        subsidy = run.daily("incentive_cost").cumsum()
        share = (run.daily("fraud_loss") / subsidy).where(subsidy > 0)
        tables = (accounts, run.daily("signups_refused").cumsum(), share)
        for axes, table, lines in zip(panels, tables, drawn, strict=True):
            if table.notna().to_numpy().any():
                _line(axes, table, look, name)
                lines[name] = table
    for axes, title, lines in zip(panels, titles, drawn, strict=True):
        axes.set_title(title)
        axes.set(
            xlabel="\n".join(["day", *_coinciding(lines)]),
            ylabel="",
            xlim=(0, max(run.days for run in runs)),
            ylim=(0, None),
        )
        plain_axis(axes)
    percent_axis(panels[2])
    _legend(figure, panels[0], len(runs))
    figure.tight_layout(rect=(0, 0, 1, 0.9))
    caption = (
        "All since the first day. Refused sign-ups include those of real persons; what of all refusals was wrong is "
        "in the table below. The share is what fake accounts got out of incentives, what was taken back taken off, "
        "over what incentives cost; before the first subsidy there is none. Runs whose lines are one line are named "
        "below the panel."
    )
    parts = [f"{run.name}: {run.mean('fraud_accounts'):,.0f} fake accounts" for run in runs]
    return picture(figure, "fraud", "Fraud over time", f"Line charts; {listed(parts)} at the end.", caption)


def _coinciding(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    """Return a line of text for each group of runs that are drawn on top of each other."""
    groups: dict[bytes, list[str]] = {}
    for name, table in tables.items():
        groups.setdefault(table.to_numpy(float).tobytes(), []).append(name)
    return [fill(f"{listed(names)}: the same line", 44) for names in groups.values() if len(names) > 1]
