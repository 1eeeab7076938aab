"""What a search for frontiers found: estimates, growth against loss, hysteresis, tables and sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments import stats
from experiments.plans.frontier_branches import ABOVE, BELOW, FIGURES, Branches
from experiments.plans.frontier_reward import Reward
from experiments.plans.frontier_search import Frontier
from experiments.plans.study import Findings, Study
from experiments.wording import UNKNOWN, number, percent
from sim.scenario.risk import RiskConfig

if TYPE_CHECKING:
    from experiments.plans.frontier import FrontierPlan
    from experiments.plans.plan import Plan
    from sim.scenario import Scenario

CRITERION = (
    "farming pays if all rings together earned something by the end of the run, or one still opens accounts then"
)
Row = Mapping[str, Any]
Values = npt.NDArray[np.float64]


def summarise(
    plan: Plan[FrontierPlan],
    reward: Reward,
    frontiers: Sequence[Frontier],
    points: pd.DataFrame,
    runs: pd.DataFrame,
    grid: Sequence[float],
    branches: Branches | None,
    settings: Mapping[str, Scenario],
    persons: int,
) -> Findings:
    """Return what the study keeps; `settings` are the policies, and `persons` those of a run."""
    table = runs.merge(points, on="point")
    curve = curves(table, grid)
    beyond = [found for one in frontiers if (found := past(one, table, grid)) is not None]
    moved = hysteresis(branches.table) if branches is not None else pd.DataFrame()
    summary: dict[str, Any] = {
        "reward": reward.path,
        "reward_name": reward.name,
        "unit": reward.unit,
        "current": reward.current,
        "low": reward.low,
        "high": reward.high,
        "resolution": max(one.widest for one in frontiers) or grid[1] - grid[0],
        "persons": persons,
        "days": plan.scenario.config.horizon / 24,
        "criterion": CRITERION,
        "runs": len(runs[["point", "seed"]].drop_duplicates()),
        "frontiers": [{**row_of(one), "untouched": untouched(one.policy, table)} for one in frontiers],
        "beyond": beyond,
        "fork_day": None if branches is None else branches.day,
        "no_branches": "" if branches is None else branches.why_not,
        "prices": prices(table, grid, reward.current),
        "policies": {name: policy_text(scenario) for name, scenario in settings.items()},
        "hysteresis": [{str(key): value for key, value in row.items()} for row in moved.to_dict("records")],
    }
    summary["verdict"] = verdict(summary, reward)
    tables = {
        "frontiers": pd.DataFrame(
            [{"policy": one.policy, **asdict(bracket)} for one in frontiers for bracket in one.brackets],
            columns=["policy", "seed", "safe", "pays", "returns"],
        ),
        "curves": curve,
        "hysteresis": moved,
        "branches": branches.table if branches is not None else pd.DataFrame(),
    }
    return Findings(points, runs, summary, tables)


def row_of(found: Frontier) -> dict[str, Any]:
    """Return the frontier of a policy as a record."""
    mean = found.estimate
    low, high = (
        min(max(limit, found.low), found.high) if math.isfinite(limit) else limit for limit in (mean.low, mean.high)
    )
    return {
        "policy": found.policy, "frontier": mean.mean, "frontier_low": low, "frontier_high": high,
        "smallest": found.smallest, "seeds": len(found.brackets), "never_pays": found.never,
        "always_pays": found.always, "not_monotone": found.returning,
    }  # fmt: skip


def untouched(policy: str, table: pd.DataFrame) -> float:
    """Return the largest reward that was run up to which no fake account gets in with any seed; NaN if none is.

    Below the frontier farms may enter too, and lose: that costs the shop as well.
    """
    own = table[(table["policy"] == policy) & (table["metric"] == "fraud_accounts")]
    most = own.groupby("reward")["value"].max().sort_index()
    clean = (most == 0).cumprod().astype(bool)
    return float(most.index[clean].max()) if clean.any() else math.nan


def curves(table: pd.DataFrame, grid: Sequence[float]) -> pd.DataFrame:
    """Return means over seeds with 95% intervals by ``policy``, ``reward`` of the grid and ``metric``."""
    rows = []
    chosen = table[table["reward"].isin(grid)]
    for (policy, reward, metric), part in chosen.groupby(["policy", "reward", "metric"], sort=False):
        found = stats.mean_estimate(part["value"])
        rows.append((policy, reward, metric, found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=["policy", "reward", "metric", "mean", "low", "high"])


def past(found: Frontier, table: pd.DataFrame, grid: Sequence[float]) -> dict[str, Any] | None:
    """Compare the largest reward with the last of the grid that is safe with every seed, paired by seed.

    Returns
    -------
    dict or None
        Means at both rewards; ``faster``, the factor by which what schemes cost grew more than new members did
        (geometric mean over seeds, with its interval); ``to_farms``, the share of the additional cost that went to
        farms (Fieller's interval). None if no reward of the grid is safe, or the largest is.
    """
    safe = max((reward for reward in grid if reward <= found.smallest and not found.always), default=math.nan)
    top = grid[-1]
    if not safe < top or found.never == len(found.brackets):
        return None
    own = table[(table["policy"] == found.policy) & table["reward"].isin([safe, top])]
    wide = own.pivot(index="seed", columns=["metric", "reward"], values="value")

    def at(metric: str, reward: float) -> Any:
        return wide[metric, reward].to_numpy()

    grown = {m: _log_growth(at(m, safe), at(m, top)) for m in ("new_members", "incentive_cost")}
    faster = stats.mean_estimate(grown["incentive_cost"] - grown["new_members"])
    more = {m: at(m, top) - at(m, safe) for m in ("fraud_loss", "incentive_cost")}
    share = stats.ratio_estimate(more["fraud_loss"], more["incentive_cost"])
    means = {
        f"{metric}_{name}": stats.mean_estimate(at(metric, reward)).mean
        for metric in ("new_members", "incentive_cost", "fraud_loss", "fraud_accounts")
        for name, reward in (("safe", safe), ("top", top))
    }
    factors = (math.exp(value) for value in (faster.mean, faster.low, faster.high))
    return {
        "policy": found.policy, "safe": safe, "top": top, **means,
        **dict(zip(("faster", "faster_low", "faster_high"), factors, strict=True)),
        "to_farms": share.mean, "to_farms_low": share.low, "to_farms_high": share.high,
    }  # fmt: skip


def _log_growth(before: Values, after: Values) -> Values:
    """Return logarithms of growth factors; NaN where there is nothing to grow from or to."""
    known = (before > 0) & (after > 0)
    return np.where(known, np.log(np.where(known, after, 1.0) / np.where(known, before, 1.0)), math.nan)


def hysteresis(table: pd.DataFrame) -> pd.DataFrame:
    """Return what differs at equal rewards between branches from above and from below, paired by seed.

    Returns
    -------
    DataFrame
        ``policy``, ``reward``, ``figure``, means ``below`` and ``above``, ``difference`` (above less below) with its
        95% interval ``low``, ``high``.
    """
    columns = ["policy", "reward", "figure", "below", "above", "difference", "low", "high"]
    rows = []
    for (policy, reward), part in table.groupby(["policy", "reward"], sort=False) if len(table) else ():
        for figure in FIGURES:
            wide = part.pivot(index="seed", columns="origin", values=figure).reindex(columns=[BELOW, ABOVE])
            found = stats.mean_estimate(wide[ABOVE] - wide[BELOW])
            means = wide[BELOW].mean(), wide[ABOVE].mean()
            rows.append((policy, reward, figure, *means, found.mean, found.low, found.high))
    return pd.DataFrame(rows, columns=columns)


# Sentences.


def frontier_text(row: Row, reward: Reward) -> str:
    """Write a frontier with its interval, or as a bound."""
    mean, low, high = (_float(row[key]) for key in ("frontier", "frontier_low", "frontier_high"))
    if not math.isfinite(mean):
        return UNKNOWN
    if row["never_pays"] == row["seeds"]:
        return f"above {reward.label(reward.high)}"
    if row["always_pays"] == row["seeds"]:
        return f"below {reward.label(reward.low)}"
    limits = f" ({reward.span(low, high)})" if math.isfinite(low) and low < high else ""
    mark = "at least " if row["never_pays"] else "at most " if row["always_pays"] else ""
    return f"{mark}{reward.label(mean)}{limits}"


def verdict(summary: Row, reward: Reward) -> str:
    """Say whether the scenario's reward is safe, how large it may be, and what policies cost."""
    return " ".join([frontiers_text(summary, reward), price_text(summary["prices"], reward)]).strip()


def verdict_parts(summary: Row, reward: Reward) -> list[str]:
    """Return the verdict as paragraphs, with what lies beyond the frontier and what happens on the way back."""
    beyond = [beyond_text(summary["beyond"][0], reward)] if summary["beyond"] else []
    price = price_text(summary["prices"], reward)
    parts = [frontiers_text(summary, reward), price, *beyond, hysteresis_text(summary, reward)]
    return [part for part in parts if part]


def frontiers_text(summary: Row, reward: Reward) -> str:
    """Say whether the scenario's reward is safe, and how large it may be under each policy."""
    both = " (both sides together)" if len(reward.parts) > 1 else ""
    limits = [f"{row['policy']}: {frontier_text(row, reward)}" for row in summary["frontiers"]]
    text = f"Farming does not pay up to a {reward.path}{both} of: {'; '.join(limits)}."
    if math.isfinite(reward.current):
        unsafe = [row["policy"] for row in summary["frontiers"] if row["seeds"] and reward.current > row["smallest"]]
        told = (
            f"Farming the scenario's {reward.label(reward.current)} pays with some seed under: {', '.join(unsafe)}."
            if unsafe
            else f"The scenario's {reward.label(reward.current)} is safe with every seed under every policy tried."
        )
        text = f"{told} {text}"
    return text


def prices(table: pd.DataFrame, grid: Sequence[float], current: float) -> list[dict[str, Any]]:
    """Return what each policy brings and whom it hits at the reward of the grid that is nearest to the scenario's."""
    at = min(grid, key=lambda value: abs(value - current)) if math.isfinite(current) else grid[len(grid) // 2]
    rows = []
    for policy, own in table[table["reward"] == at].groupby("policy", sort=False):
        found = {"policy": policy, "reward": at}
        for metric in ("new_members", "honest_hit", "fraud_accounts"):
            found[metric] = stats.mean_estimate(own.loc[own["metric"] == metric, "value"]).mean
        rows.append(found)
    return rows


def price_text(rows: Sequence[Row], reward: Reward) -> str:
    """Say what each policy costs in growth and honest people."""
    if len(rows) < 2:
        return ""
    told = [
        f"{row['policy']}: {number(_float(row['new_members']), 'persons')} new members and "
        f"{number(_float(row['honest_hit']), 'persons')} honest persons hit"
        for row in rows
    ]
    return f"What policies cost, at {reward.label(rows[0]['reward'])}: {'; '.join(told)}."


def policy_text(scenario: Scenario) -> str:
    """Say which controls a scenario has: its risk section as far as it is no default."""
    usual, own = RiskConfig().model_dump(mode="json"), scenario.content()["risk"]
    changed = {key: value for key, value in own.items() if value != usual.get(key)}
    told = [key.replace("_", " ") + ("" if isinstance(value, dict) else f" {value}") for key, value in changed.items()]
    return ", ".join(told) or "no control"


_OUT_OF_NOTHING = 20.0  # times membership's growth; what is beyond is a ratio to next to nothing


def beyond_text(row: Row, reward: Reward) -> str:
    """Say what a reward beyond the frontier buys and loses."""
    amounts = {
        name: f"from {number(_float(row[f'{name}_safe']), unit)} to {number(_float(row[f'{name}_top']), unit)}"
        for name, unit in (("new_members", "persons"), ("incentive_cost", "yuan"), ("fraud_loss", "yuan"))
    }
    farms, factor = _float(row["to_farms"]), _float(row["faster"])
    taken = f", {percent(farms)} of what is paid more" if math.isfinite(farms) else ""
    text = (
        f"Beyond it ({row['policy']}, {reward.label(row['safe'])} to {reward.label(row['top'])}) new members go "
        f"{amounts['new_members']}, what schemes cost {amounts['incentive_cost']} yuan and fraud loss "
        f"{amounts['fraud_loss']} yuan{taken}."
    )
    if not math.isfinite(factor):
        return text
    if _float(row["faster_low"]) > _OUT_OF_NOTHING:
        return f"{text} Cost grows out of nearly nothing, membership does not: no factor would say more."
    if _float(row["faster_low"]) > 1:
        limits = f"{number(_float(row['faster_low']), '')} to {number(_float(row['faster_high']), '')}"
        return (
            f"{text} The factor by which cost grows is {number(factor, '')} times membership's (95% interval {limits})."
        )
    return f"{text} That cost grows faster than membership is not settled with these seeds."


def hysteresis_text(summary: Row, reward: Reward) -> str:
    """Say whether farms enter and leave, and whether it matters where a reward comes from."""
    if summary["no_branches"]:
        return f"Hysteresis was not looked at: {summary['no_branches']}."
    rows = [row for row in summary["hysteresis"] if row["figure"] == "fraud_accounts"]
    if not rows:
        return ""
    lowest, highest = min(rows, key=lambda row: row["reward"]), max(rows, key=lambda row: row["reward"])
    raised, lowered, stayed = (
        number(_float(value), "accounts") for value in (highest["below"], lowest["above"], highest["above"])
    )
    little, much = reward.label(lowest["reward"]), reward.label(highest["reward"])
    text = (
        f"Raised on day {summary['fork_day']:g} from {little} to {much}, the reward lets {raised} fake accounts in by "
        f"the end; lowered that day from {much} to {little}, {lowered} still come, where {stayed} would have."
    )
    differs = [row for row in rows if _float(row["low"]) > 0 or _float(row["high"]) < 0]
    if not differs:
        return f"{text} From then on at equal rewards it is not shown to matter which came before (no hysteresis)."
    told = ", ".join(
        f"{number(_float(row['difference']), 'accounts', signed=True)} at {reward.label(row['reward'])}"
        for row in differs
    )
    rings = [row for row in summary["hysteresis"] if row["figure"] == "rings_active" and _float(row["low"]) > 0]
    last = (
        "some rings are still active at the end" if rings else "it is not shown that more rings stay active to the end"
    )
    fewer = (
        " (fewer at high rewards, as rings that came before have fewer places left)"
        if _float(differs[-1]["high"]) < 0
        else ""
    )
    return (
        f"{text} What was paid before matters (hysteresis): fake accounts after the higher reward, less those after "
        f"the lower one, are {told}{fewer}; {last}."
    )


def of_study(study: Study) -> Reward:
    """Return the reward of a finished study, for labels."""
    summary = study.summary
    sides = ("inviter", "invitee") if "both sides" in summary["reward_name"] else ("",)
    low, high, current = (_float(summary[key]) for key in ("low", "high", "current"))
    parts = tuple((side, 1 / len(sides)) for side in sides)
    return Reward(summary["reward"], parts, summary["unit"], low, high, 0.0, current)


def show(out: Console, study: Study) -> None:
    """Print the frontier of each policy, what lies beyond, and the verdict."""
    summary, reward = study.summary, of_study(study)
    out.print(Text(study.name, style="bold") + Text(f"  {study.manifest['question']}"))
    table = Table(box=None, pad_edge=False, header_style="bold")
    headings = (
        "policy",
        f"largest safe {reward.path}",
        "safe with every seed",
        "no farm enters up to",
        "seeds",
        "remarks",
    )
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("policy", "remarks") else "right")
    for row in summary["frontiers"]:
        table.add_row(row["policy"], frontier_text(row, reward), *bounds(row, reward), str(row["seeds"]), remarks(row))
    out.print(table)
    sides = "Both sides together. " if len(reward.parts) > 1 else ""
    known = f"Known to {reward.label(summary['resolution'])} or finer; 95% intervals over seeds"
    out.print(f"{sides}{known}; {summary['criterion']}.", style="dim")
    out.print(f"{scope_text(summary)} Policies: {policies_text(summary)}.", style="dim", markup=False)
    for paragraph in verdict_parts(summary, reward):
        out.print()
        out.print(paragraph, style="bold", markup=False, soft_wrap=True)


def scope_text(summary: Row) -> str:
    """Say in which world it was run."""
    return f"Runs have {summary['persons']:,} persons and {summary['days']:g} days."


def policies_text(summary: Row) -> str:
    """Say what each policy is."""
    return "; ".join(f"{name} = {text}" for name, text in summary["policies"].items())


def bounds(row: Row, reward: Reward) -> tuple[str, str]:
    """Write the reward that is safe with every seed, and the one up to which no farm enters."""
    untouched = _float(row["untouched"])
    safe = "none" if row["always_pays"] else reward.label(_float(row["smallest"]))
    return safe, reward.label(untouched) if math.isfinite(untouched) else "none"


def remarks(row: Row) -> str:
    """Say what limits the estimate of a frontier."""
    told = {
        "never_pays": "it pays at no reward tried",
        "always_pays": "it pays at every reward tried",
        "not_monotone": "some larger reward does not pay again",
    }
    seeds = row["seeds"]  # where it is so with all of them, the frontier itself says it
    counts = {key: row[key] for key in told if row[key] and (key == "not_monotone" or row[key] < seeds)}
    found = [f"with {count} of {seeds} seeds {told[key]}" for key, count in counts.items()]
    return "; ".join(found)


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)
