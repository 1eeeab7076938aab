"""Tables of the report: numbers as a strategist reads them, and a reason wherever there is none."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from experiments import wording
from experiments.comparison import INCREMENTS, direction_of
from experiments.guardrails import side
from experiments.report.folder import Run, Study, finite
from experiments.tables import SHOWN, interval, unit_of
from experiments.wording import (
    listed,
    noun,
    number,
    percent,
    possible,
    possible_change,
    tells_relative,
    yuan,
)
from sim.metrics import METRICS

KEY = {
    "growth": ("new_members", "gmv", "buyers", "k_factor"),
    "retention": ("repeat_rate", "retention_d30"),
    "money": ("contribution", "incentive_cost", "subsidy_rate", "cac"),
    "against the base": (
        "incremental_gmv", "incremental_contribution", "incremental_cost", "roi", "cost_per_extra_member",
    ),
    "fraud": ("fraud_accounts", "fraud_loss", "fraud_loss_share"),
}  # fmt: skip
FRAUD = (
    "fraud_accounts", "fraud_loss", "fraud_loss_share", "fraud_order_share", "ring_profit", "detection_precision",
    "detection_recall", "detection_auc", "false_intercept_rate", "detection_delay_days",
)  # fmt: skip
WHY_NOT = {
    "viral_cycle_days": "no new member invited anybody",
    "k_factor": "nobody joined",
    "invited_share": "nobody joined",
    "retention_d1": "nobody joined, or the run is too short",
    "retention_d7": "nobody joined early enough",
    "retention_d30": "nobody joined 30 days before the end",
    "ltv_90d": "nobody was observed for 90 days",
    "fraud_loss_share": "no subsidy was paid",
    "subsidy_rate": "nothing was bought",
    "cac": "nobody joined",
    "payback_days": "new members left no margin",
    "coupon_redemption_rate": "no coupon was issued",
    "team_fill_rate": "no team's time was over",
    "commission_paid": "no scheme pays commissions",
    "bonus_paid": "no scheme pays bonuses",
    "chain_levels": "no scheme pays chains of inviters",
    "chain_headcount_max": "no scheme pays chains of inviters",
    "reward_gini": "nobody got anything out of incentives",
    "cascade_size_mean": "nobody invited anybody",
    "detection_auc": "there were no fake or no real newcomers to tell apart",
    "detection_precision": "nobody was flagged, blocked or refused at sign-up",
    "detection_recall": "no fake account tried",
    "detection_delay_days": "no fake account was flagged, blocked or refused at sign-up",
    "false_intercept_rate": "nothing was judged",
    "roi": "open: the arm does not surely cost more than the base",
    "cost_per_extra_member": "open: the arm does not surely gain members",
    "anyway_benefit_share": "real persons got nothing out of incentives",
    "delivery_days": "nothing was delivered",
    "return_rate": "no order was settled",
}
"""Why a metric can have no value."""
COSTS = ("incremental_cost", "cost_per_extra_member")
"""Above zero for whatever costs anything: that is no news."""
MONEY = ("yuan", "yuan a person")
CAUGHT = "flagged, blocked or refused at sign-up at some time; refused orders and rewards do not count"
LOSS = "discounts and rewards, or fees of KOLs, for accounts of this kind, what was taken back taken off"
LABELS = {
    "detection_precision": f"detection precision: fake ones among those {CAUGHT}",
    "detection_recall": f"detection recall: fake ones that were {CAUGHT}",
}
"""What a reader who sees losses beside full recall has to know."""
VERDICTS = {
    "better": "✓ better", "worse": "✗ worse", "higher": "higher", "lower": "lower", "same": "= same",
    "undecided": "? undecided", "no data": "n/a",
}  # fmt: skip
STATES = {"pass": "✓ pass", "fail": "✗ fail", "undecided": "? undecided"}


def words(metric: str) -> str:
    """Write a metric's name with spaces."""
    return metric.replace("_", " ")


def why_not(metric: str) -> str:
    """Say why a metric has no value."""
    return "n/a: " + WHY_NOT.get(metric.rpartition(".")[2], "it never happened in these runs")


def plain(amount: float, metric: str) -> str:
    """Write a metric's value in its unit; a whole number of what nobody has given a unit stays whole."""
    counted = not unit_of(metric) and math.isfinite(amount) and amount.is_integer()
    return number(amount, "persons" if counted else unit_of(metric))


def value(amount: float, metric: str) -> str:
    """Write a metric's value with a unit where the name does not say it."""
    unit = unit_of(metric)
    if not math.isfinite(amount):
        return "n/a"
    return yuan(amount).replace(".00 yuan", " yuan") if unit in MONEY else plain(amount, metric)


def change(amount: float, metric: str) -> str:
    """Write a difference: in points for shares."""
    if not math.isfinite(amount):
        return "n/a"
    if unit_of(metric) != "share":
        return f"{amount:+,.0f}" if abs(amount) >= 100 else number(amount, unit_of(metric), signed=True)
    text = f"{100 * amount:+.1f}"
    return "0 pt" if float(text) == 0 else f"{text} pt"


def changes(row: Mapping[str, Any], metric: str) -> str:
    """Write the limits of an effect's mean difference."""
    low, high = (possible_change(row[key], row, unit_of(metric), metric) for key in ("ci_low", "ci_high"))
    if not (math.isfinite(low) and math.isfinite(high)):
        return "n/a: needs two replicates"
    if unit_of(metric) == "share":
        return f"{change(low, metric).removesuffix(' pt')} to {change(high, metric)}"
    return f"{change(low, metric)} to {change(high, metric)}"


def title(study: Study) -> str:
    """Return the heading of the page."""
    if not study.is_comparison:
        return study.base.name
    return f"{listed([arm.name for arm in study.arms])} against {study.base.name}"


def lead(study: Study) -> str:
    """Say what was run, in a line."""
    seeds = len(study.base.seeds)
    replicates = f"{seeds} replicates" if seeds != 1 else "one replicate"
    lengths = sorted({run.days for run in study.runs})
    days = listed([f"{length:g}" for length in lengths])
    missing = f"; {len(study.failures)} runs failed and are left out" if study.failures else ""
    return f"{replicates} of {days} days{missing}"


def verdicts(study: Study) -> list[dict[str, str]]:
    """Return name, question and sentence of each arm, or of the run if there is nothing to compare."""
    if study.is_comparison:
        found = study.comparison["verdicts"]
        return [{"name": arm.name, "question": arm.question, "text": str(found[arm.name])} for arm in study.arms]
    run = study.base
    gained, earned, spent = (run.mean(metric) for metric in ("new_members", "contribution", "incentive_cost"))
    costs = f"spends {yuan(spent)} on incentives" if spent else "spends nothing on incentives"
    result = f"earns a contribution of {yuan(earned)}" if earned >= 0 else f"loses {yuan(-earned)}"
    text = f"In {run.days:g} days {run.name} brings {number(gained, 'persons')} new members, {costs} and {result}"
    return [{"name": run.name, "question": run.question, "text": text + "."}]


def luck(study: Study) -> str:
    """Say what luck alone may show in a comparison; empty for a single run, or without intervals."""
    if not study.is_comparison or len(study.base.seeds) < 2:
        return ""
    return wording.luck(bool(study.comparison.get("choice", {}).get("rivals")))


def checks(study: Study) -> list[dict[str, str]]:
    """Return a row for each guardrail."""
    rows = []
    for check in study.checks:
        metric, at = check["metric"], "at most" if check["bound"] == "max" else "at least"
        mean = finite(check["mean"])
        limit = possible(finite(check["confidence_limit"]), mean, unit_of(metric))
        limited = f"{side(check['bound'], check['state'])} {value(limit, metric)}"
        rows.append(
            {
                "scenario": check["scenario"],
                "metric": words(metric),
                "formula": formula(metric),
                "bound": f"{at} {value(finite(check['limit']), metric)}",
                "mean": value(mean, metric) if math.isfinite(mean) else why_not(metric),
                "limit": f"{limited} with {percent(check['confidence'])} confidence"
                if math.isfinite(limit)
                else "n/a: " + (check["reason"] or "no interval"),
                "state": check["state"],
                "text": STATES[check["state"]],
                "reason": check["reason"],
            }
        )
    return rows


def formula(metric: str) -> str:
    """Return how a metric is defined; empty if nobody has defined it."""
    if metric in INCREMENTS:
        return INCREMENTS[metric][2]
    known = METRICS.get(metric) or METRICS.get(metric.rpartition(".")[2])
    return known.formula if known is not None else ""


def unit(metric: str) -> str:
    """Return a metric's unit as a table names it."""
    return {"share": "%"}.get(unit_of(metric), unit_of(metric)) or "–"


def _order(names: list[str]) -> list[str]:
    """Put metrics that matter first."""
    first = [metric for group in SHOWN.values() for metric in group if metric in names]
    return first + [metric for metric in names if metric not in first]


def key_figures(study: Study) -> list[dict[str, Any]]:
    """Return groups of rows of the metrics that matter most, a cell an arm; empty for a single run."""
    groups = []
    for group, metrics in KEY.items() if study.is_comparison else ():
        rows = []
        for metric in (metric for metric in metrics if _is_known(study, metric)):
            cells = [_key_cell(study, arm, metric) for arm in study.arms]
            base = "–" if metric in INCREMENTS else value(study.base.mean(metric), metric)
            base = base if base != "n/a" else why_not(metric)
            rows.append({"metric": words(metric), "formula": formula(metric), "base": base, "cells": cells})
        groups.append({"name": group.replace("the base", study.base.name), "rows": rows})
    return groups


def _is_known(study: Study, metric: str) -> bool:
    return metric in INCREMENTS or all((arm.name, metric) in study.effects for arm in study.arms)


def _key_cell(study: Study, arm: Run, metric: str) -> dict[str, str]:
    if metric in INCREMENTS:
        row = study.increments[arm.name, metric]
        if not math.isfinite(row["mean"]):
            return {"value": why_not(metric), "change": "", "state": ""}
        return {"value": value(row["mean"], metric), "change": _limits(row, metric), "state": _state(row, metric)}
    row = study.effects[arm.name, metric]
    if not math.isfinite(row["arm_mean"]):
        return {"value": why_not(metric), "change": "", "state": ""}
    if not row["pairs"]:
        return {"value": value(row["arm_mean"], metric), "change": f"{study.base.name} has none", "state": ""}
    if row["verdict"] == "same":
        return {"value": value(row["arm_mean"], metric), "change": "as in the base", "state": "same"}
    text = effect_in_words(row, metric)
    return {"value": value(row["arm_mean"], metric), "change": text, "state": str(row["verdict"])}


def effect_in_words(row: Mapping[str, Any], metric: str) -> str:
    """Write what an arm changes with its limits: in percent, or if that says nothing, in the metric's unit."""
    unit = unit_of(metric)
    if not tells_relative(row, unit):
        named = "" if unit == "share" else noun(unit)
        return f"{change(row['mean_difference'], metric)}{named} ({changes(row, metric)})"
    text = percent(row["relative_difference"], signed=True)
    if row["pairs"] == 1:
        return f"{text} (n/a: needs two replicates)"
    return f"{text} ({percent(row['relative_low']).removesuffix('%')} to {percent(row['relative_high'])})"


def _limits(row: Mapping[str, Any], metric: str) -> str:
    if not (math.isfinite(row["ci_low"]) and math.isfinite(row["ci_high"])):
        return "no interval"
    return f"({interval(row['ci_low'], row['ci_high'], unit_of(metric))})"


def _state(row: Mapping[str, Any], metric: str) -> str:
    """Say whether an increment is settled: whether its interval leaves zero out."""
    direction = direction_of(metric)
    if metric in COSTS or not direction or not math.isfinite(row["ci_low"]):
        return ""
    if row["ci_low"] > 0 or row["ci_high"] < 0:
        return "better" if (row["mean"] > 0) == (direction > 0) else "worse"
    return "undecided"


def effects(study: Study) -> list[dict[str, Any]]:
    """Return for each arm its rows of the full table: every metric with its difference, and what is behind it."""
    found = []
    for arm in study.arms:
        names = _order([metric for name, metric in study.effects if name == arm.name])
        found.append({"arm": arm.name, "rows": [_effect(study.effects[arm.name, metric], metric) for metric in names]})
    return found


def _effect(row: Mapping[str, Any], metric: str) -> dict[str, str]:
    base, arm = row["base_mean"], row["arm_mean"]
    needed = row["replicates_needed"]
    reason = "" if math.isfinite(base) and math.isfinite(arm) else why_not(metric)
    if math.isfinite(base) != math.isfinite(arm):
        reason += " in the base" if math.isfinite(arm) else " in this arm"
    if not reason and not row["pairs"]:
        reason = "n/a: no pair of runs has both"
    known = not reason
    undecided = row["verdict"] == "undecided"
    chance = row["p_better"]
    reduction = row["variance_reduction"]
    return {
        "metric": words(metric),
        "formula": formula(metric),
        "unit": unit(metric),
        "base": plain(base, metric),
        "arm": plain(arm, metric),
        "difference": change(row["mean_difference"], metric) if known else reason,
        "interval": changes(row, metric) if known else "n/a",
        "chance": percent(chance) if math.isfinite(chance) else ("–" if not direction_of(metric) else "n/a"),
        "reduction": f"{reduction:,.1f}×" if math.isfinite(reduction) and reduction < 1e6 else "n/a",
        "state": str(row["verdict"]),
        "verdict": VERDICTS[row["verdict"]],
        "needed": f"{needed:,}" if needed is not None else "more than can be told" if undecided else "–",
    }


def twins(study: Study) -> list[dict[str, Any]]:
    """Return a row for each kind of person that twins tell apart, a cell an arm."""
    kinds = (
        "persuaded", "anyway", "anyway_benefit_share", "put_off", "unmoved", "incremental_members", "incremental_gmv",
        "hit_gmv",
    )  # fmt: skip
    labels = {
        "anyway": "would have bought anyway",
        "anyway_benefit_share": "their share of the benefits",
        "hit_gmv": "spending lost of real people whom risk control hit",
    }
    rows = []
    for kind in kinds if study.is_comparison else ():
        cells = []
        for arm in study.arms:
            row = study.increments[arm.name, kind]
            known = math.isfinite(row["mean"])
            cells.append(
                {"value": value(row["mean"], kind), "limits": _limits(row, kind)}
                if known
                else {"value": why_not(kind), "limits": ""}
            )
        rows.append({"metric": labels.get(kind, words(kind)), "formula": formula(kind), "cells": cells})
    return rows


def values(study: Study) -> list[dict[str, Any]]:
    """Return for a single run every metric with its interval, in groups; empty for a comparison."""
    if study.is_comparison:
        return []
    metrics = study.base.summary["metrics"]
    groups: dict[str, list[dict[str, str]]] = {}
    for metric in _order(list(metrics)):
        known = METRICS.get(metric)
        mean = study.base.mean(metric)
        low, high = (finite(metrics[metric][key]) for key in ("ci_low", "ci_high"))
        row = {
            "metric": words(metric),
            "formula": formula(metric),
            "unit": unit(metric),
            "mean": plain(mean, metric) if math.isfinite(mean) else why_not(metric),
            "interval": interval(low, high, unit_of(metric)) or "n/a",
        }
        groups.setdefault(known.group if known else "told by schemes and risk control", []).append(row)
    return [{"name": name, "rows": rows} for name, rows in groups.items()]


def flows(study: Study) -> list[dict[str, Any]]:
    """Return for each run its ledger flows, largest first."""
    found = []
    for run in study.runs:
        rows = [
            {"scheme": scheme, "source": words(source), "target": words(target), "yuan": f"{amount:,.2f}"}
            for scheme, source, target, amount in run.flows
        ]
        found.append({"name": run.name, "rows": rows})
    return found


def fraud(study: Study) -> list[dict[str, Any]]:
    """Return a row for each figure on fraud, a cell a run."""
    rows = []
    for metric in FRAUD:
        if any(metric in run.summary["metrics"] for run in study.runs):
            means = [run.mean(metric) for run in study.runs]
            cells = [value(mean, metric) if math.isfinite(mean) else why_not(metric) for mean in means]
            rows.append({"metric": LABELS.get(metric, words(metric)), "formula": formula(metric), "cells": cells})
    parts = dict.fromkeys(part for run in study.runs for part in run.losses)
    for kind, scheme in parts:
        cells = [yuan(run.losses.get((kind, scheme), 0.0)) for run in study.runs]
        rows.append({"metric": f"{words(kind)} took from {words(scheme)}", "formula": LOSS, "cells": cells})
    return rows


def definitions(study: Study) -> list[dict[str, str]]:
    """Return unit, direction and formula of every metric that the report mentions."""
    names = [metric for run in study.runs for metric in run.summary["metrics"]]
    names = _order(list(dict.fromkeys([*names, *(INCREMENTS if study.is_comparison else ())])))
    arrows = {1: "more is better", -1: "less is better", 0: "–"}
    return [
        {"metric": words(name), "unit": unit(name), "direction": arrows[direction_of(name)], "formula": formula(name)}
        for name in names
        if formula(name)
    ]
