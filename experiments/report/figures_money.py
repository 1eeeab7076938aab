"""Who pays whom: the flows of the ledger as a diagram."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline

from experiments.report.drawing import COLOURS, INK, QUIET, WIDTH, Picture, nothing, picture
from experiments.report.folder import Run
from experiments.tables import short
from experiments.wording import listed, yuan

SHOP = "shop"
GAP = 0.09  # between two parties, of the height of all bars
BAR = 0.025
FEWEST_ROWS = 2


def flows(runs: Sequence[Run]) -> Picture:
    """Draw for each run what parties paid each other: the shop's own trade, and what schemes move."""
    with_money = [run for run in runs if len(run.flows)]
    if not with_money:
        return nothing("No money moved in these runs.")
    schemes = list(dict.fromkeys(name for run in with_money for name in run.flows["scheme"] if name != SHOP))
    colours = {SHOP: "#9aa5b1"} | {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(schemes)}
    heights = [_rows(run) * 0.34 + 0.55 for run in with_money]
    figure = Figure(figsize=(WIDTH, sum(heights)))
    panels = figure.subplots(len(with_money), 2, squeeze=False, height_ratios=heights)
    for (trade, incentives), run in zip(panels, with_money, strict=True):
        own = run.flows["scheme"] == SHOP
        _diagram(trade, run.flows[own], colours, f"{run.name}: trade")
        _diagram(incentives, run.flows[~own], colours, f"{run.name}: what schemes move")
    if schemes:
        handles = [Rectangle((0, 0), 1, 1, color=colours[name], alpha=0.6) for name in schemes]
        top = 1 + 0.3 / figure.get_figheight()
        figure.legend(handles, schemes, loc="upper right", ncols=min(len(schemes), 6), bbox_to_anchor=(1, top))
    figure.tight_layout(h_pad=1.5, w_pad=3)
    caption = (
        "Yuan in the mean of the replicates: who paid on the left, who received on the right; the width of a band is the amount. Each half has "
        "a scale of its own. Escrow holds what buyers paid until a delivery stands; frozen commission and wallets are rewards on their way "
        "to those who earned them."
    )
    parts = [f"{run.name}: {listed(_sentences(run.flows.head(4)))}" for run in with_money]
    return picture(figure, "flows", "Who pays whom", "The largest flows. " + "; ".join(parts) + ".", caption)


def _rows(run: Run) -> int:
    own = run.flows["scheme"] == SHOP
    halves = (run.flows[own], run.flows[~own])
    return max(FEWEST_ROWS, *(half[side].nunique() for half in halves for side in ("source", "target")))


def _sentences(table: pd.DataFrame) -> list[str]:
    rows = table.itertuples(index=False)
    return [f"{_party(row.source)} to {_party(row.target)} {yuan(float(row.yuan))}" for row in rows]


def _party(account: object) -> str:
    return str(account).replace("_", " ")


def _diagram(axes: Axes, table: pd.DataFrame, colours: dict[str, str], title: str) -> None:
    """Draw parties as bars on both sides and amounts as bands between them."""
    axes.set_title(title, size=9)
    axes.set_axis_off()
    axes.set(xlim=(-0.62, 1.62), ylim=(1, 0))
    if table.empty:
        axes.text(0.5, 0.5, "no scheme moved money", ha="center", va="center", color=QUIET, style="italic")
        return
    sides = {side: _places(table.groupby(side)["yuan"].sum().sort_values(ascending=False)) for side in ("source", "target")}
    used = {side: dict.fromkeys(places, 0.0) for side, places in sides.items()}
    order = {side: {party: rank for rank, party in enumerate(places)} for side, places in sides.items()}
    # Bands leave a party in the order of the parties on the other side, so that few of them cross.
    ranks = [table[side].map(order[side]) for side in ("source", "target")]
    table = table.assign(left=ranks[0], right=ranks[1])
    start, end = {}, {}
    for row in table.sort_values(["left", "right", "scheme"]).itertuples():
        start[row.Index] = sides["source"][row.source][0] + used["source"][row.source]
        used["source"][row.source] += row.yuan * sides["source"][row.source][2]
    for row in table.sort_values(["right", "left", "scheme"]).itertuples():
        end[row.Index] = sides["target"][row.target][0] + used["target"][row.target]
        used["target"][row.target] += row.yuan * sides["target"][row.target][2]
    for row in table.itertuples():
        left, right = (row.yuan * sides[side][party][2] for side, party in (("source", row.source), ("target", row.target)))
        axes.add_patch(_band(start[row.Index], left, end[row.Index], right, colours[str(row.scheme)]))
    for side, x, shift, align in (("source", 0.0, -0.03, "right"), ("target", 1.0 - BAR, BAR + 0.03, "left")):
        totals = table.groupby(side)["yuan"].sum()
        for party, (low, high, _) in sides[side].items():
            axes.add_patch(Rectangle((x, low), BAR, max(high - low, 0.004), color=INK))
            text = f"{_party(party)}  {short(float(totals[party]))}"
            axes.text(x + shift, (low + high) / 2, text, ha=align, va="center", size=8)


def _places(totals: pd.Series[float]) -> dict[str, tuple[float, float, float]]:
    """Return the top and bottom of each party's bar, and how high a yuan is."""
    room = 1 - GAP * len(totals)
    a_yuan = room / float(totals.sum())
    tops = GAP / 2 + np.concatenate([[0.0], np.cumsum(totals.to_numpy() * a_yuan + GAP)[:-1]])
    return {
        str(party): (float(top), float(top + amount * a_yuan), a_yuan)
        for (party, amount), top in zip(totals.items(), tops, strict=True)
    }


def _band(left: float, left_height: float, right: float, right_height: float, colour: str) -> PathPatch:
    a, b, middle = BAR, 1.0 - BAR, 0.5
    points = [
        (a, left), (middle, left), (middle, right), (b, right),
        (b, right + right_height), (middle, right + right_height), (middle, left + left_height), (a, left + left_height),
        (a, left),
    ]  # fmt: skip
    curve = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3, Outline.CLOSEPOLY]
    return PathPatch(Outline(points, curve), facecolor=colour, edgecolor="none", alpha=0.55)
