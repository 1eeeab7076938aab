"""What ``shopsim optimise`` says: the summary, the verdict in a sentence or two, and the tables on a terminal."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from experiments.plans.confirm import Confirmation
from experiments.plans.goals import Bound, Goal, Scores
from experiments.plans.parameters import Parameter, Point
from experiments.plans.study import Study
from experiments.tables import interval, unit_of
from experiments.wording import listed, number

MARKS = {"pass": ("✓", "green"), "fail": ("✗", "red"), "undecided": ("·", "dim")}
Row = Mapping[Hashable, Any]


def summary_of(
    scores: Scores,
    confirmation: Confirmation,
    parameters: Sequence[Parameter],
    seeds: Sequence[int],
    fresh: Sequence[int],
) -> tuple[dict[str, Any], bool]:
    """Return the summary of a search, and whether it found what was asked for.

    Parameters
    ----------
    scores : Scores
        Of the search.
    confirmation : Confirmation
    parameters : sequence of Parameter
    seeds, fresh : sequence of int
        Of trials and of the confirmation.
    """
    goals, worlds = confirmation.scorer.goals, confirmation.scorer.worlds
    records, confirmed = scores.records, confirmation.table()
    broken = confirmation.broken()
    single = len(goals) == 1
    chosen = confirmation.choice() if single else None
    found = [records[i].number for i in confirmation.positions if records[i].number not in broken]
    pruned = sum(1 for record in records if record.pruned)
    run = sum(record.seeds for record in records) * len(worlds)
    summary: dict[str, Any] = {
        "verdict": "",
        "objectives": [
            {"label": goal.label, "metric": goal.metric, "direction": "maximise" if goal.sign > 0 else "minimise"}
            for goal in goals
        ],
        "worlds": list(worlds),
        "trials": {
            "finished": len(records),
            "pruned": pruned,
            "allowed": int(scores.allowed.sum()),
            "runs": run,
            "runs_spared": len(records) * len(seeds) * len(worlds) - run,
        },
        "fresh_seeds": list(fresh),
        "choice": None if chosen is None else _one(records[chosen].point, confirmed, chosen),
        "front": [] if single else [_one(records[i].point, confirmed, i) for i in found],
        "broken": sorted(broken),
    }
    if len(worlds) > 1 and confirmation.positions:
        summary["regrets"] = confirmation.regrets().to_dict("records")
    summary["verdict"] = _verdict(summary, scores, parameters, confirmation)
    return summary, bool(found)


def _one(point: Point, confirmed: pd.DataFrame, trial: int) -> dict[str, Any]:
    rows = confirmed[confirmed["point"] == trial].drop(columns="point")
    return {
        "trial": trial,
        "point": dict(point),
        "objectives": rows[rows["role"] == "objective"].drop(columns=["role", "state", "reason"]).to_dict("records"),
        "bounds": rows[rows["role"] == "bound"].drop(columns="role").to_dict("records"),
    }


def written(point: Point, parameters: Sequence[Parameter]) -> str:
    """Write a point for a reader: path value, path value."""
    return ", ".join(f"{one.path} {one.label(point[one.path])}" for one in parameters)


def amount(row: Row, what: str = "mean") -> str:
    """Write one quantity of a row of the table ``confirmed`` with its interval."""
    low, high = ("ci_low", "ci_high") if what == "mean" else (f"{what}_low", f"{what}_high")
    unit = unit_of(str(row["metric"]))
    signed = what == "gain"
    limits = interval(row[low], row[high], unit, signed=signed)
    return number(row[what], unit, signed=signed) + (f" ({limits})" if limits else "")


def _verdict(
    summary: dict[str, Any], scores: Scores, parameters: Sequence[Parameter], confirmation: Confirmation
) -> str:
    confirmed = confirmation.table()
    if confirmed.empty:
        return _nothing_allowed(scores, confirmation.scorer.bounds, parameters)
    fresh = len(summary["fresh_seeds"])
    if summary["front"]:
        labels = listed([goal["label"] for goal in summary["objectives"]])
        return (
            f"No single answer: {len(summary['front'])} points trade {labels} against each other; the table and the "
            f"figure show what each gives on {fresh} fresh seeds."
        )
    if summary["choice"] is None:
        return f"The best points that the search found break a bound on {fresh} fresh seeds: allow more replicates."
    choice = summary["choice"]
    text = f"Choose {written(choice['point'], parameters)}."
    if len(summary["worlds"]) > 1:
        own = [row for row in summary["regrets"] if row["point"] == choice["trial"]]
        worst = max(own, key=lambda row: row["regret"])
        unit = unit_of(summary["objectives"][0]["metric"])
        text += (
            f" In the worst of {len(summary['worlds'])} worlds ({worst['world']}) it loses "
            f"{number(worst['regret'], unit)} against the best for that world, on {fresh} fresh seeds."
            f"{_least_gain(choice, confirmation.scorer.goals[0])}{_runner_up(choice['trial'], confirmation, unit)}"
        )
    else:
        (row,) = choice["objectives"]
        text += f" On {fresh} fresh seeds {row['label'].replace('_', ' ')} is {amount(row)}"
        text += f", a gain of {amount(row, 'gain')} over the base." if row["mean"] != row["gain"] else "."
    open_bounds = [row["label"] for row in choice["bounds"] if row["state"] == "undecided"]
    if open_bounds:
        return f"{text} Not sure yet: {listed(sorted(set(open_bounds)))}.{_surer(confirmed)}"
    return f"{text} Every bound holds." if choice["bounds"] else text


def _surer(confirmed: pd.DataFrame) -> str:
    """Name the candidates that are shown to keep every bound."""
    bounds = confirmed[confirmed["role"] == "bound"]
    sure = [str(point) for point, rows in bounds.groupby("point", sort=False) if (rows["state"] == "pass").all()]
    return f" Shown to keep every bound: trial {listed(sure)}." if sure else ""


def _least_gain(choice: Mapping[str, Any], goal: Goal) -> str:
    """Say what the choice gains over the base in the world where that is least."""
    rows = [row for row in choice["objectives"] if math.isfinite(row["gain"])]
    if not rows:
        return ""
    least = min(rows, key=lambda row: goal.sign * row["gain"])
    return f" Over the base it gains least in {least['world']}: {amount(least, 'gain')}."


def _runner_up(chosen: int, confirmation: Confirmation, unit: str) -> str:
    """Say whether fresh seeds tell the choice from the one that the search would choose next."""
    other = confirmation.runner_up()
    if other is None:
        return ""
    lead = confirmation.lead(chosen, other)
    limits = interval(lead.low, lead.high, unit, signed=True)
    by = f" (lead in the worst world {number(lead.mean, unit, signed=True)}, {limits})" if limits else ""
    told = "It is better than" if lead.low > 0 else "It cannot be told from"
    return f" {told} the runner-up, trial {other}{by}."


def _nothing_allowed(scores: Scores, bounds: Sequence[Bound], parameters: Sequence[Parameter]) -> str:
    """Say why there is nothing to choose: which bounds every trial breaks, and which trial comes nearest."""
    valued = np.flatnonzero(np.isfinite(scores.losses).all(axis=(1, 2)))
    if not valued.size:
        return "No trial has a value of every objective: runs failed, or the metric has no data."
    by_bound = scores.excess[valued].reshape(len(valued), len(bounds), -1)
    excess = np.where(np.isfinite(by_bound), by_bound, -np.inf).max(axis=2)  # in the worst world
    broken = [i for i in range(len(bounds)) if (excess[:, i] > 0).all()]
    if broken:
        told = listed([_broken(bounds[i], float(excess[:, i].min())) for i in broken])
        why = f"every trial breaks {told}"
    else:
        why = f"no trial keeps all of {listed([_limit(bound) for bound in bounds])} at once"
    scale = np.array([abs(bound.limit) or 1.0 for bound in bounds])
    nearest = valued[(np.maximum(excess, 0) / scale).sum(axis=1).argmin()]
    return (
        f"No trial keeps every bound: {why}. Widen the ranges, loosen a bound, or allow more trials. "
        f"Nearest is {written(scores.records[nearest].point, parameters)}."
    )


def _limit(bound: Bound) -> str:
    """Write a bound with the unit of its metric."""
    minus = " minus base" if bound.minus_base else ""
    sign = "<=" if bound.side > 0 else ">="
    unit = unit_of(bound.metric)
    limit = f"{100 * bound.limit:g}%" if unit == "share" else number(bound.limit, unit)
    return f"{bound.metric}{minus} {sign} {limit}"


def _broken(bound: Bound, least: float) -> str:
    """Write a bound that every trial breaks, and how near the best came."""
    return f"{_limit(bound)} (at best {number(bound.limit + bound.side * least, unit_of(bound.metric))})"


def print_study(out: Console, study: Study) -> None:
    """Print a finished study.

    Parameters
    ----------
    out : Console
    study : Study
    """
    summary, confirmed = study.summary, study.table("confirmed")
    trials = summary["trials"]
    out.print(Text(study.name, style="bold"), Text(f"optimise {study.manifest['scenario']}", style="dim"))
    if study.manifest["question"]:
        out.print(Text(study.manifest["question"]), soft_wrap=True)
    out.print(
        Text(
            f"{trials['finished']} trials, {trials['allowed']} within the bounds; {trials['pruned']} stopped early, "
            f"which spared {trials['runs_spared']} of {trials['runs'] + trials['runs_spared']} runs",
            style="dim",
        ),
        soft_wrap=True,
    )
    out.print()
    if not confirmed.empty:
        out.print(_candidates(study, confirmed))
        out.print()
    out.print(Text(summary["verdict"], style="bold"), soft_wrap=True)


def _candidates(study: Study, confirmed: pd.DataFrame) -> Table:
    points = study.points.set_index("point")
    several = len(study.summary["worlds"]) > 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("trial", *short_names(study.parameters), *(["world"] if several else []), ""):
        table.add_column(name)
    for name in ("search", "fresh seeds", "gain, or bound"):
        table.add_column(name, justify="right")
    last = None
    for row in confirmed.to_dict("records"):
        place = [""] * (1 + len(study.parameters))
        if row["point"] != last:
            last = row["point"]
            place = [str(last), *(one.label(points.at[last, one.path]) for one in study.parameters)]
        table.add_row(*place, *([row["world"]] if several else []), row["label"], *_cells(row))
    return table


def short_names(parameters: Sequence[Parameter]) -> list[str]:
    """Return the ends of the parameters' paths, as long as it takes to tell them apart."""
    paths = [one.path.split(".") for one in parameters]
    names = []
    for path in paths:
        length = next(n for n in range(1, len(path) + 1) if sum(other[-n:] == path[-n:] for other in paths) == 1)
        names.append(".".join(path[-length:]))
    return names


def _cells(row: Row) -> list[Text]:
    unit = unit_of(str(row["metric"]))
    searched = Text(number(row["search_mean"], unit), style="dim")
    if row["role"] == "objective":
        return [searched, Text(amount(row)), Text(amount(row, "gain"), style="dim")]
    mark, style = MARKS[row["state"]]
    reason = f" {row['reason']}" if row["reason"] else ""
    return [searched, Text(amount(row)), Text(f"{mark} {row['state']}{reason}", style=style)]
