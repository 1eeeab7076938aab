"""Results on a terminal: the metrics that matter, in yuan and percent, with intervals and a word on what they show."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.comparison import DIFFERENCES, INCREMENTS, RATIOS, Comparison
from experiments.guardrails import Check, side
from experiments.wording import (
    UNKNOWN,
    listed,
    luck,
    noun,
    number,
    percent,
    possible,
    possible_change,
    tells_relative,
)
from sim.metrics import METRICS

WIDTH_OF_FILES = 140  # when the output is not a terminal
SHOWN = {
    "growth": (
        "new_members", "members", "invited_share", "k_factor", "viral_cycle_days", "mau", "buyers", "orders", "gmv",
        "conversion",
    ),
    "retention": ("retention_d1", "retention_d7", "retention_d30", "repeat_rate", "churn_rate", "ltv_90d"),
    "money": ("incentive_cost", "subsidy_rate", "kol_cost", "contribution", "cac", "payback_days"),
    "fraud": ("fraud_accounts", "fraud_loss", "fraud_loss_share", "detection_recall", "false_intercept_rate"),
}  # fmt: skip
AGAINST_BASE = (
    "incremental_gmv", "incremental_contribution", "roi", "cost_per_extra_member", "persuaded", "put_off",
    "anyway_benefit_share",
)  # fmt: skip
MARKS = {"better": "✓", "worse": "✗", "undecided": "·"}
PLAIN_MARKS = {"better": "+", "worse": "x", "undecided": "?"}
"""For an output whose encoding has no others."""
STYLES = {"better": "green", "worse": "red", "undecided": "dim"}
LABEL, VALUE = 20, 9  # columns that labels need where there is little room and they are wrapped, and values of the base


def console(*, stderr: bool = False) -> Console:
    """Return a console that does not squeeze tables into 80 columns when the output goes to a file."""
    plain = Console(stderr=stderr, highlight=False)
    return plain if plain.is_terminal else Console(stderr=stderr, highlight=False, width=WIDTH_OF_FILES)


def unit_of(metric: str) -> str:
    """Return a metric's unit; empty for one that nobody has defined."""
    if metric in INCREMENTS:
        return INCREMENTS[metric][0]
    return METRICS[metric].unit if metric in METRICS else ""


def label(metric: str) -> str:
    """Return a metric's name as a table shows it, with money and time named where the name does not."""
    unit = next((unit for unit in ("yuan", "days") if unit_of(metric).startswith(unit)), "")
    name = metric.replace("_", " ")
    return name if not unit or name.endswith(unit) or metric == "roi" else f"{name}, {unit}"


def interval(low: float, high: float, unit: str, *, signed: bool = False) -> str:
    """Write the limits of an interval, signed if it is of a difference; empty if there are none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    if not signed:
        middle = (low + high) / 2
        low, high = possible(low, middle, unit), possible(high, middle, unit)
    return f"{number(low, unit, signed=signed)} to {number(high, unit, signed=signed)}"


def print_run(out: Console, name: str, question: str, summary: Mapping[str, Any], checks: Sequence[Check]) -> None:
    """Print what one scenario came to.

    Parameters
    ----------
    out : Console
    name, question : str
        Of the scenario.
    summary : mapping
        ``metrics`` and ``seeds`` of the JSON object.
    checks : sequence of Check
        Of its guardrails.
    """
    replicates = len(summary["seeds"])
    _title(out, name, question, replicates)
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    table.add_column("mean" if replicates > 1 else "value", justify="right")
    table.add_column("95% interval", justify="right", style="dim")
    for group, names in SHOWN.items():
        _heading(table, group)
        for metric in (metric for metric in names if metric in summary["metrics"]):
            found, unit = summary["metrics"][metric], unit_of(metric)
            table.add_row(
                f"  {label(metric)}",
                number(_float(found["mean"]), unit),
                interval(_float(found["ci_low"]), _float(found["ci_high"]), unit),
            )
    out.print(table)
    _print_checks(out, checks)


def print_comparison(out: Console, study: Comparison) -> None:
    """Print what a comparison found: a row a metric, a column an arm, then guardrails and the verdict."""
    base, arms = study.base.name, list(study.arms)
    question = study.arms[arms[0]].scenario.config.question if len(arms) == 1 else ""
    _title(out, f"{base} against {listed(arms)}", question, len(study.base.runs))
    marks = _marks_for(out)
    table, silent = _comparison_table(study, arms, marks, out.width)
    fitting = _fits(table, out.width)
    for shown in [table] if fitting else [_comparison_table(study, [arm], marks, _room(out, base))[0] for arm in arms]:
        for column in shown.columns[1:]:
            column.no_wrap = _fits(shown, out.width)
        out.print(shown)
    better, worse, undecided = marks.values()
    meaning = f"{better} better, {worse} worse than {base}; {undecided} cannot be told yet"
    out.print(f"Changes with 95% intervals. {meaning}.", style="dim")
    if len(study.base.runs) > 1:
        out.print(luck(bool(study.rivals().size), better, worse), style="dim")
    if silent:
        out.print(f"Not enough data: {listed(silent)}.", style="dim")
    _print_checks(out, study.checks)
    if len(arms) > 1:
        for arm in arms:
            out.print(Text(f"{arm}: ", style="bold"), study.verdict(arm), sep="", markup=False, soft_wrap=True)
    out.print()
    out.print(study.verdict(), style="bold", markup=False, soft_wrap=True)


def _marks_for(out: Console) -> Mapping[str, str]:
    """Return the marks that the encoding of an output can carry."""
    try:
        "".join(MARKS.values()).encode(out.encoding)
    except UnicodeEncodeError:
        return PLAIN_MARKS
    return MARKS


def _comparison_table(
    study: Comparison, arms: Sequence[str], marks: Mapping[str, str], room: int
) -> tuple[Table, list[str]]:
    """Return a table with a column for each of some arms, `room` wide, and the metrics without data."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for header in (study.base.name, *arms):
        table.add_column(header, justify="right")
    silent = _add_effects(table, study, arms, lambda row, unit: _folded(_change(row, unit, marks), room))
    _heading(table, f"against {study.base.name}")
    increments = {(row["arm"], row["metric"]): row for row in study.increments().to_dict("records")}
    for metric in AGAINST_BASE:
        cells = []
        for arm in arms:
            below = RATIOS.get(metric, ("", ""))[1]
            is_open = below in DIFFERENCES and study.increment(arm, below).mean != 0
            cell = _increment(increments[arm, metric], f"{UNKNOWN} (open)" if is_open else UNKNOWN)
            cells.append(_folded(cell, room))
        table.add_row(f"  {label(metric)}", "", *cells)
    return table, silent


def _room(out: Console, base: str) -> int:
    """Return how many columns are left for a single arm beside wrapped labels and the base."""
    return out.width - LABEL - max(VALUE, cell_len(base)) - 4


def _folded(cell: Text, room: int) -> Text:
    """Put the limits of a change, with the mark behind them, on a line of their own if there is no room beside it."""
    return cell if cell.cell_len <= room else Text(cell.plain.replace(" (", "\n(", 1), style=cell.style)


def _fits(table: Table, width: int) -> bool:
    """Whether a table can be printed without wrapping anything but labels."""
    texts = ("\n".join(map(str, (column.header, *column.cells))) for column in table.columns[1:])
    return LABEL + sum(2 + max(map(cell_len, text.split("\n"))) for text in texts) <= width


def _add_effects(
    table: Table, study: Comparison, arms: Sequence[str], cell: Callable[[Mapping[Hashable, Any], str], Text]
) -> list[str]:
    """Add a row for each metric that matters, and return those without data."""
    effects = {(row["arm"], row["metric"]): row for row in study.effects().to_dict("records")}
    silent = []
    for group, names in SHOWN.items():
        _heading(table, group)
        for metric in names:
            rows = [effects[arm, metric] for arm in arms if (arm, metric) in effects]
            if any(math.isfinite(row["arm_mean"]) for row in rows):
                unit = unit_of(metric)
                base = _base(rows[0]["base_mean"], unit)
                table.add_row(f"  {label(metric)}", base, *(cell(row, unit) for row in rows))
            else:
                silent.append(metric)
    return silent


def _title(out: Console, name: str, question: str, replicates: int) -> None:
    many = f"{replicates} replicates" if replicates > 1 else "one replicate"
    out.print(Text(name, style="bold") + Text(f"  {question}" if question else "") + Text(f"  ({many})", style="dim"))


def _heading(table: Table, text: str) -> None:
    table.add_row(Text(text, style="bold"))


def _base(value: float, unit: str) -> str:
    """Write a metric of the base; what is below 1 with three significant digits, because changes are relative to it."""
    return f"{value:.3g}" if unit != "share" and 0 < abs(value) < 0.9995 else number(value, unit)


def _change(row: Mapping[Hashable, Any], unit: str, marks: Mapping[str, str]) -> Text:
    """Write how an arm moves a metric, with its sign, limits, and a mark of what that shows.

    In percent, in points for shares, or in its unit if the base has too little of it.
    """
    verdict = row["verdict"]
    if not row["pairs"]:
        return Text(f"{number(row['arm_mean'], unit)}  ", style="dim")
    if verdict == "same":
        return Text("= ", style="dim")
    write: Callable[[float], str]
    if tells_relative(row, unit):
        change, low, high = (row[key] for key in ("relative_difference", "relative_low", "relative_high"))
        write, suffix = _percents, "%"
    else:
        change = row["mean_difference"]
        low, high = (possible_change(row[key], row, unit, str(row["metric"])) for key in ("ci_low", "ci_high"))
        write, suffix = (_points, " pt") if unit == "share" else (short, noun(unit))
    text = f"{'+' if change > 0 else ''}{write(change)}{suffix}"
    if math.isfinite(low) and math.isfinite(high):
        text += f" ({write(low)} to {write(high)})"
    return Text(f"{text} {marks.get(verdict, ' ')}", style=STYLES.get(verdict, ""))


def _points(share: float) -> str:
    return f"{round(100 * share, 1) + 0.0:.1f}"  # adding zero makes -0.0 plain


def _percents(share: float) -> str:
    return percent(share).removesuffix("%")


def short(value: float) -> str:
    """Write a number with about three digits: 4.17, 302, 12.3k, 1.23M."""
    for scale, suffix in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= 9.995 * scale or (suffix == "M" and abs(value) >= scale):
            value, tail = value / scale, suffix
            break
    else:
        tail = ""
    digits = 3 if abs(value) < 0.0995 else 2 if abs(value) < 9.995 else 1 if abs(value) < 99.95 else 0
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text + tail


def _increment(row: Mapping[Hashable, Any], unknown: str) -> Text:
    def write(value: float) -> str:
        return number(value, "share") if row["unit"] == "share" else short(value)

    if not math.isfinite(row["mean"]):
        return Text(f"{unknown}  ", style="dim")
    low, high = (possible(row[limit], row["mean"], row["unit"]) for limit in ("ci_low", "ci_high"))
    limits = f" ({write(low)} to {write(high)})" if math.isfinite(low) else ""
    return Text(f"{write(row['mean'])}{limits}  ")


def _print_checks(out: Console, checks: Iterable[Check]) -> None:
    styles = {"pass": "green", "fail": "red", "undecided": "yellow"}
    for check in checks:
        unit = unit_of(check.metric)
        sign = "at most" if check.bound == "max" else "at least"
        text = Text("guardrail ", style="bold") + Text(
            f"{check.scenario}: {check.metric} {sign} {number(check.limit, unit)}: "
        )
        text += Text(check.state, style=styles[check.state])
        found = number(check.mean, unit)
        if math.isfinite(check.confidence_limit):
            limit = possible(check.confidence_limit, check.mean, unit)
            found += (
                f", {side(check.bound, check.state)} {number(limit, unit)} with {percent(check.confidence)} confidence"
            )
        out.print(text + Text(f" ({found}{'; ' + check.reason if check.reason else ''})", style="dim"), soft_wrap=True)


def _float(value: float | None) -> float:
    return math.nan if value is None else value
