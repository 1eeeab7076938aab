"""How figures of the report look, and how they become SVG that can stand inside a page.

The same data gives the same bytes: identifiers come from a fixed salt, and the metadata, which holds the date, is left
out. Text stays text, so that it can be searched and read aloud; a dollar sign in a name is not taken for a formula.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import seaborn as sns
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from experiments.tables import short

INK, QUIET, RULE = "#1f2933", "#52606d", "#cbd2d9"
BASE_COLOUR = "#52606d"
# Okabe and Ito's colours, which the colour-blind can tell apart; yellow is left out, it is too pale for lines.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ((), (4, 1.5), (1, 1), (5, 1, 1, 1), (3, 1), (6, 2))
MARKERS = ("o", "s", "D", "^", "v", "P")
FONTS = "Arial, 'Liberation Sans', 'Noto Sans CJK SC', 'PingFang SC', 'Microsoft YaHei', sans-serif"
"""Of the page."""
MEASURE = "DejaVu Sans"
"""What matplotlib measures text with; it is wider than the fonts of the page, so what fits there fits here."""
STYLE: dict[str, Any] = {
    "figure.dpi": 72,
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": RULE,
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": INK,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "grid.color": "#e4e7eb",
    "grid.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "shopsim",
    "text.parse_math": False,
    "axes.unicode_minus": True,
}
WIDTH = 9.2
"""Of a full-width figure, inches."""


@dataclass(frozen=True)
class Picture:
    """A figure with what a reader should know of it.

    Parameters
    ----------
    svg : Markup
        Empty if there is nothing to draw.
    caption : str
        What to read from it; if there is nothing to draw, why.
    """

    svg: Markup
    caption: str


@dataclass(frozen=True)
class Look:
    """How an arm is told apart: by colour, and on paper by dashes and markers."""

    colour: str
    dashes: tuple[float, ...]
    marker: str


def looks(names: Sequence[str]) -> dict[str, Look]:
    """Give each run a look; the first is the base, in grey."""
    found = {names[0]: Look(BASE_COLOUR, (), "o")}
    for index, name in enumerate(names[1:]):
        found[name] = Look(COLOURS[index % 6], DASHES[(index + 1) % 6], MARKERS[(index + 1) % 6])
    return found


@contextmanager
def styled() -> Iterator[None]:
    """Draw in the style of the report."""
    with mpl.rc_context(), warnings.catch_warnings():
        sns.set_theme(style="whitegrid", rc=STYLE)
        mpl.rcParams["font.family"] = MEASURE
        # The browser has its own fonts: what matplotlib cannot measure is no loss.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        warnings.filterwarnings("ignore", message="Tight layout not applied")
        yield


def picture(figure: Figure, name: str, title: str, description: str, caption: str) -> Picture:
    """Turn a figure into SVG for a page.

    Parameters
    ----------
    figure : Figure
    name : str
        Prefix of the identifiers in it, so that two figures of a page cannot meet.
    title, description : str
        Read aloud in place of the picture; plain text.
    caption : str
    """
    stream = io.StringIO()
    empty = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", metadata=empty, bbox_inches="tight", pad_inches=0.05)
    text = stream.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = text.replace(f"'{MEASURE}'", FONTS)
    text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)
    text = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{name}-\2"', text)
    head, body = text.split(">", 1)
    viewbox = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
    assert viewbox is not None, "matplotlib writes a viewBox"
    described = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" role="img" '
        f'aria-labelledby="{name}-title {name}-text" {viewbox[0]} style="max-width:{float(viewbox[1]) * 1.4:.0f}px">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-text">{escape(description)}</desc>'
    )
    del head
    return Picture(Markup(described + body), caption)


def nothing(why: str) -> Picture:
    """Stand for a figure that has nothing to show."""
    return Picture(Markup(""), why)


def plain_axis(axes: Axes, which: str = "y") -> None:
    """Write the ticks of an axis as 1.2k and not as 1200.0."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))


def percent_axis(axes: Axes, which: str = "y") -> None:
    """Write the ticks of an axis in percent."""
    axis = axes.yaxis if which == "y" else axes.xaxis
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}%"))
