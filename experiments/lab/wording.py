"""What a laboratory study says, in words and on a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.wording import UNKNOWN, listed, number, percent

if TYPE_CHECKING:
    from experiments.plans.study import Study

ESTIMATORS = {
    "difference_plain": "difference of means",
    "difference_cuped": "difference of means, CUPED",
    "cluster_plain": "cluster-robust regression",
    "cluster_cuped": "cluster-robust regression, CUPED",
    "hajek": "by exposure, Hajek",
    "horvitz_thompson": "by exposure, Horvitz-Thompson",
    "paired_blocks": "pairs of blocks",
}
UNITS = {"person": "persons", "cluster": "communities", "ego": "egos", "switchback": "blocks", "merchant": "merchants"}
MOST_RIVALS = 3


def effect(value: float, *, signed: bool = True) -> str:
    """Write an effect per 1,000 persons."""
    return number(value, "", signed=signed)


def limits(low: float, high: float) -> str:
    """Write an interval of effects; empty if there is none."""
    return f"{effect(low)} to {effect(high)}" if math.isfinite(low) and math.isfinite(high) else ""


def what(outcome: str) -> str:
    """Write what is counted, per 1,000 persons."""
    return {"gmv": "yuan of GMV", "joined": "sign-ups", "bought": "buyers", "brought": "invited sign-ups"}.get(
        outcome, outcome
    )


def called(design: str, estimator: str) -> str:
    """Write a design with its estimator."""
    return f"{design} ({ESTIMATORS.get(estimator, estimator)})"


def size(row: Mapping[str, Any], kind: str) -> str:
    """Write how many units an experiment had and would need."""
    units = UNITS.get(kind, "units")
    if not math.isfinite(row["units_needed"]):
        return f"{row['units']:,.0f} {units}, need unknown"
    return f"{row['units']:,.0f} {units}, needs {_many(row['units_needed'])}"


def _many(count: float) -> str:
    return f"{count:,.0f}" if count < 1e6 else "over a million"


def verdict(
    found: pd.DataFrame,
    outcome: str,
    row: Mapping[str, Any] | None,
    close: Sequence[tuple[str, str]],
    truth: tuple[float, float, float],
    confidence: float,
    power: float,
    kinds: Mapping[str, str],
) -> str:
    """Say which design to use on this network, and how sure that is.

    Parameters
    ----------
    found : DataFrame
        Of :func:`experiments.lab.performance.performance`.
    outcome : str
    row : mapping or None
        Of `found`: the best (:func:`experiments.lab.performance.best`); None if no design measured anything.
    close : sequence of (str, str)
        Designs and estimators that cannot be told from it.
    truth : tuple of float
        Mean true effect per 1,000 persons with its 95% interval over replicates.
    confidence : float
        Of the intervals that experiments report.
    power : float
        That is asked for.
    kinds : mapping
        Kind of each design.
    """
    mean, low, high = truth
    if not math.isfinite(mean) or not (found["outcome"] == outcome).any():
        return "No experiment could be set beside the truth: runs failed, or there was nothing to compare."
    true = f"The true total effect is {effect(mean)} {what(outcome)} per 1,000 persons"
    if not (low > 0 or high < 0):
        interval = limits(low, high)
        reason = f"95% interval {interval}" if interval else "one replicate gives no interval"
        return f"{true}, which is not settled ({reason}): raise replicates before you rank designs by it."
    if row is None:
        return (
            f"{true} (95% interval {limits(low, high)}), but no design can find this effect here: none has an interval"
            " in half of its experiments, as too little happens to those it looks at. Use more persons or more days."
        )
    text = [
        f"{true} (95% interval {limits(low, high)}).",
        f"Use {called(row['design'], row['estimator'])}: it comes closest and sees {seen(row)} of that"
        f" (bias {effect(row['bias'])}{_bias(row)}).",
        f"Its {percent(confidence)} interval holds the truth in {percent(row['coverage'])} of {row['intervals']:.0f}"
        f" experiments{_short(row, confidence)} and finds the effect in {percent(row['power'])}.",
    ]
    if math.isfinite(row["units_needed"]):
        units = UNITS.get(kinds[row["design"]], "units")
        text.append(f"To find it with {percent(power)} power it takes {_many(row['units_needed'])} {units}.")
    rows = found[(found["outcome"] == outcome) & (found["estimator"] == "difference_plain")]
    naive: list[Any] = [one for one in rows.to_dict("records") if kinds.get(one["design"]) == "person"]
    if naive and naive[0]["design"] != row["design"]:
        text.append(f"A test by persons sees {seen(naive[0])} (bias {effect(naive[0]['bias'])}{_bias(naive[0])}).")
    if close:
        names = [called(*pair) for pair in close[:MOST_RIVALS]]
        more = len(close) - MOST_RIVALS
        text.append(
            f"With these replicates it cannot be told from {listed(names + ([f'{more} more'] if more > 0 else []))}."
        )
    return " ".join(text)


def seen(row: Mapping[str, Any]) -> str:
    """Write which share of the truth a design sees; n/a where the truth may as well be zero."""
    return percent(row["seen"]) if math.isfinite(row["seen_low"]) else UNKNOWN


def _bias(row: Mapping[str, Any]) -> str:
    interval = limits(row["bias_low"], row["bias_high"])
    return f", 95% interval {interval}" if interval else ""


def _short(row: Mapping[str, Any], confidence: float) -> str:
    """Remark that an interval is too short, if that is beyond chance."""
    return ", less often than it says," if row["coverage_high"] < confidence else ""


def print_study(out: Console, study: Study) -> None:
    """Print how the designs fare, and which to use."""
    summary = study.summary
    found, outcome = study.table("performance"), summary["outcomes"][0]
    kinds = {name: terms["kind"] for name, terms in summary["designs"].items()}
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading, justify in (
        ("design", "left"), ("estimator", "left"), ("estimate", "right"), ("bias", "right"), ("seen", "right"),
        ("coverage", "right"), ("power", "right"), ("detectable", "right"), ("size", "left"),
    ):  # fmt: skip
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for row in found[found["outcome"] == outcome].to_dict("records"):
        table.add_row(
            row["design"], ESTIMATORS.get(row["estimator"], row["estimator"]), effect(row["estimate"]),
            effect(row["bias"]), seen(row), number(row["coverage"], "share"),
            number(row["power"], "share"), effect(row["detectable"], signed=False), size(row, kinds[row["design"]]),
        )  # fmt: skip
    out.print(Text(study.name, style="bold") + Text(f"  {study.manifest['question']}"))
    out.print(table)
    out.print(
        f"{what(outcome)} per 1,000 persons; coverage of {percent(summary['confidence'])} intervals; detectable with "
        f"{percent(summary['power'])} power.",
        style="dim",
    )
    out.print()
    out.print(summary["verdict"], style="bold", markup=False, soft_wrap=True)
