"""Who pays whom: the flows of the ledger as a diagram."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path as Outline

from experiments.report.drawing import COLOURS, INK, QUIET, WIDTH, Picture, nothing, picture
from experiments.report.folder import Flow, Run
from experiments.tables import short
from experiments.wording import listed, yuan

SHOP, ESCROW = "shop", "escrow"
LEAST = 0.01  # yuan
GAP = 0.09  # between two parties, of the height of all bars
BAR = 0.025
THINNEST = 0.004
FEWEST_ROWS = 2


def flows(runs: Sequence[Run]) -> Picture:
    """Draw for each run what parties paid each other: the shop's own trade, and what schemes move."""
    with_money = [run for run in runs if run.flows]
    if not with_money:
        return nothing("No money moved in these runs.")
    schemes = list(dict.fromkeys(flow.scheme for run in with_money for flow in run.flows if flow.scheme != SHOP))
    colours = {SHOP: "#9aa5b1"} | {name: COLOURS[index % len(COLOURS)] for index, name in enumerate(schemes)}
    heights = [_rows(run) * 0.34 + 0.55 for run in with_money]
    figure = Figure(figsize=(WIDTH, sum(heights)))
    panels = figure.subplots(len(with_money), 2, squeeze=False, height_ratios=heights)
    for (trade, incentives), run in zip(panels, with_money, strict=True):
        own, others = _halves(run)
        _diagram(trade, own, colours, f"{run.name}: trade")
        _diagram(incentives, others, colours, f"{run.name}: what schemes move")
    if schemes:
        handles = [Rectangle((0, 0), 1, 1, color=colours[name], alpha=0.6) for name in schemes]
        top = 1 + 0.3 / figure.get_figheight()
        figure.legend(handles, schemes, loc="upper right", ncols=min(len(schemes), 6), bbox_to_anchor=(1, top))
    figure.tight_layout(h_pad=1.5, w_pad=3)
    caption = (
        "Yuan in the mean of the replicates: who paid on the left, who received on the right; the width of a band "
        "is the amount. Each half has a scale of its own. Escrow holds what buyers paid, and what schemes paid "
        "in for them, until a delivery stands: what is on its way at the end has not left it. "
        "In the other half, "
        "frozen commission and wallets are rewards on their way to those who earned them."
    )
    parts = [f"{run.name}: {listed(_sentences(run.flows[:4]))}" for run in with_money]
    return picture(figure, "flows", "Who pays whom", "The largest flows. " + "; ".join(parts) + ".", caption)


def _halves(run: Run) -> tuple[list[Flow], list[Flow]]:
    """Return the shop's own trade with what is left in escrow, and what schemes move."""
    own = [flow for flow in run.flows if flow.scheme == SHOP]
    left = sum(flow.yuan * ((flow.target == ESCROW) - (flow.source == ESCROW)) for flow in run.flows)
    if left >= LEAST:
        own.append(Flow(SHOP, ESCROW, "in escrow at the end", left))
    return own, [flow for flow in run.flows if flow.scheme != SHOP]


def _rows(run: Run) -> int:
    counts = [len({getattr(flow, side) for flow in half}) for half in _halves(run) for side in ("source", "target")]
    return max(FEWEST_ROWS, *counts)


def _sentences(flows: Sequence[Flow]) -> list[str]:
    return [f"{_party(flow.source)} to {_party(flow.target)} {yuan(flow.yuan)}" for flow in flows]


def _party(account: str) -> str:
    return account.replace("_", " ")


def _diagram(axes: Axes, flows: Sequence[Flow], colours: dict[str, str], title: str) -> None:
    """Draw parties as bars on both sides and amounts as bands between them."""
    axes.set_title(title, size=9)
    axes.set_axis_off()
    axes.set(xlim=(-0.62, 1.62), ylim=(1, 0))
    if not flows:
        axes.text(0.5, 0.5, "no scheme moved money", ha="center", va="center", color=QUIET, style="italic")
        return
    sources, targets = _bars(flows, "source"), _bars(flows, "target")
    # Bands leave a party in the order of the parties on the other side, so that few of them cross.
    ranks = {flow: (list(sources).index(flow.source), list(targets).index(flow.target)) for flow in flows}
    starts = _stacked(sorted(flows, key=lambda flow: (ranks[flow], flow.scheme)), "source", sources)
    ends = _stacked(sorted(flows, key=lambda flow: (ranks[flow][::-1], flow.scheme)), "target", targets)
    for flow in flows:
        heights = flow.yuan * sources[flow.source].a_yuan, flow.yuan * targets[flow.target].a_yuan
        axes.add_patch(_band(starts[flow], heights[0], ends[flow], heights[1], colours[flow.scheme]))
    for bars, x, text_x, align in ((sources, 0.0, -0.03, "right"), (targets, 1.0 - BAR, 1.03, "left")):
        for party, bar in bars.items():
            axes.add_patch(Rectangle((x, bar.top), BAR, max(bar.height, THINNEST), color=INK))
            label = f"{_party(party)}  {short(bar.yuan)}"
            axes.text(text_x, bar.top + bar.height / 2, label, ha=align, va="center", size=8)


class Bar(NamedTuple):
    """One party on one side of a diagram, in parts of its height."""

    yuan: float
    top: float
    a_yuan: float

    @property
    def height(self) -> float:
        """How high the bar is."""
        return self.yuan * self.a_yuan


def _bars(flows: Sequence[Flow], side: str) -> dict[str, Bar]:
    """Place the parties of a side from top to bottom, largest first."""
    totals: dict[str, float] = {}
    for flow in flows:
        party = getattr(flow, side)
        totals[party] = totals.get(party, 0.0) + flow.yuan
    a_yuan = (1 - GAP * len(totals)) / sum(totals.values())
    bars, top = {}, GAP / 2
    for party, amount in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        bars[party] = Bar(amount, top, a_yuan)
        top += amount * a_yuan + GAP
    return bars


def _stacked(flows: Sequence[Flow], side: str, bars: dict[str, Bar]) -> dict[Flow, float]:
    """Return where each band touches its party's bar."""
    used = {party: bar.top for party, bar in bars.items()}
    places = {}
    for flow in flows:
        party = getattr(flow, side)
        places[flow] = used[party]
        used[party] += flow.yuan * bars[party].a_yuan
    return places


def _band(left: float, left_height: float, right: float, right_height: float, colour: str) -> PathPatch:
    a, b, middle = BAR, 1.0 - BAR, 0.5
    points = [
        (a, left), (middle, left), (middle, right), (b, right),
        (b, right + right_height), (middle, right + right_height), (middle, left + left_height),
        (a, left + left_height), (a, left),
    ]  # fmt: skip
    curve = [Outline.MOVETO, *[Outline.CURVE4] * 3, Outline.LINETO, *[Outline.CURVE4] * 3, Outline.CLOSEPOLY]
    return PathPatch(Outline(points, curve), facecolor=colour, edgecolor="none", alpha=0.55)
