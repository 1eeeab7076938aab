"""Results on a terminal: the metrics that matter, in yuan and percent, with intervals and a word on what they show."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.comparison import INCREMENTS, Comparison
from experiments.guardrails import Check
from experiments.wording import UNKNOWN, listed, number, percent, possible
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
MARKS = {"better": ("✓", "green"), "worse": ("✗", "red"), "undecided": ("·", "dim")}


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
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("", base, *arms):
        table.add_column(header, justify="right" if header else "left")
    silent = _add_effects(table, study)
    _heading(table, f"against {base}")
    increments = {(row["arm"], row["metric"]): row for row in study.increments().to_dict("records")}
    for metric in AGAINST_BASE:
        table.add_row(f"  {label(metric)}", "", *(_increment(increments[arm, metric]) for arm in arms))
    out.print(table)
    out.print(f"Changes with 95% intervals. ✓ better, ✗ worse than {base}; · cannot be told yet.", style="dim")
    if silent:
        out.print(f"Not enough data: {listed(silent)}.", style="dim")
    _print_checks(out, study.checks)
    if len(arms) > 1:
        for arm in arms:
            out.print(Text(f"{arm}: ", style="bold"), study.verdict(arm), sep="", markup=False, soft_wrap=True)
    out.print()
    out.print(study.verdict(), style="bold", markup=False, soft_wrap=True)


def _add_effects(table: Table, study: Comparison) -> list[str]:
    """Add a row for each metric that matters, and return those without data."""
    effects = {(row["arm"], row["metric"]): row for row in study.effects().to_dict("records")}
    silent = []
    for group, names in SHOWN.items():
        _heading(table, group)
        for metric in names:
            rows = [effects[arm, metric] for arm in study.arms if (arm, metric) in effects]
            if any(math.isfinite(row["arm_mean"]) for row in rows):
                unit = unit_of(metric)
                base = number(rows[0]["base_mean"], unit)
                table.add_row(f"  {label(metric)}", base, *(_change(row, unit) for row in rows))
            else:
                silent.append(metric)
    return silent


def _title(out: Console, name: str, question: str, replicates: int) -> None:
    many = f"{replicates} replicates" if replicates > 1 else "one replicate"
    out.print(Text(name, style="bold") + Text(f"  {question}" if question else "") + Text(f"  ({many})", style="dim"))


def _heading(table: Table, text: str) -> None:
    table.add_row(Text(text, style="bold"))


def _change(row: Mapping[Hashable, Any], unit: str) -> Text:
    """Write how an arm moves a metric: in percent, in points for shares, or in its unit if the base has none of it."""
    if not row["pairs"]:
        return Text(f"{number(row['arm_mean'], unit)}  ", style="dim")
    if row["verdict"] == "same":
        return Text("= ", style="dim")
    if unit == "share":
        return _marked(row, "mean_difference", ("ci_low", "ci_high"), _points, " pt")
    if math.isfinite(row["relative_low"]) or row["pairs"] == 1:
        return _marked(row, "relative_difference", ("relative_low", "relative_high"), _percents, "%")
    return _marked(row, "mean_difference", ("ci_low", "ci_high"), short, "")


def _marked(
    row: Mapping[Hashable, Any], change: str, limits: tuple[str, str], write: Callable[[float], str], unit: str
) -> Text:
    """Write a change with its sign and limits, and mark what it shows."""
    value, low, high = row[change], row[limits[0]], row[limits[1]]
    if not math.isfinite(value):
        value, write, unit = row["mean_difference"], short, ""
    text = f"{'+' if value > 0 else ''}{write(value)}{unit}"
    if math.isfinite(low) and math.isfinite(high):
        text += f" ({write(low)} to {write(high)})"
    mark, style = MARKS.get(row["verdict"], (" ", ""))
    return Text(f"{text} {mark}", style=style)


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


def _increment(row: Mapping[Hashable, Any]) -> Text:
    def write(value: float) -> str:
        return number(value, "share") if row["unit"] == "share" else short(value)

    if not math.isfinite(row["mean"]):
        return Text(f"{UNKNOWN}  ", style="dim")
    low, high = (possible(row[limit], row["mean"], row["unit"]) for limit in ("ci_low", "ci_high"))
    limits = f" ({write(low)} to {write(high)})" if math.isfinite(low) else ""
    return Text(f"{write(row['mean'])}{limits}  ")


def _print_checks(out: Console, checks: Iterable[Check]) -> None:
    styles = {"pass": "green", "fail": "red", "undecided": "yellow"}
    for check in checks:
        unit = unit_of(check.metric)
        sign, side = ("at most", "at most") if check.bound == "max" else ("at least", "at least")
        text = Text("guardrail ", style="bold") + Text(
            f"{check.scenario}: {check.metric} {sign} {number(check.limit, unit)}: "
        )
        text += Text(check.state, style=styles[check.state])
        found = number(check.mean, unit)
        if math.isfinite(check.confidence_limit):
            limit = possible(check.confidence_limit, check.mean, unit)
            found += f", {side} {number(limit, unit)} with {percent(check.confidence)} confidence"
        out.print(text + Text(f" ({found}{'; ' + check.reason if check.reason else ''})", style="dim"), soft_wrap=True)


def _float(value: float | None) -> float:
    return math.nan if value is None else value
