"""What ``shopsim calibrate`` says: predictions, warnings, the verdict, and the tables on a terminal."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text
from scipy import stats

from experiments.plans.moments import Fit
from experiments.plans.parameters import Parameter
from experiments.plans.racing import Values, mean_of
from experiments.plans.study import Study
from experiments.plans.targets import Target
from experiments.tables import unit_of
from experiments.wording import listed, number

MISFIT = 0.01
"""A smaller p-value says that the model cannot meet the targets."""
ALIKE = 0.95
"""Estimates that are correlated more than this are hard to tell apart."""


@dataclass(frozen=True)
class Prediction:
    """Simulations of points drawn from the estimate.

    Parameters
    ----------
    units : sequence of ndarray
        The points, in the unit cube.
    runs : ndarray, shape (draws, targets, seeds)
        Moments.
    targets : sequence of Target
    confidence : float
        Of intervals; those of held-out targets hold together (Bonferroni).
    """

    units: Sequence[Values]
    runs: Values
    targets: Sequence[Target]
    confidence: float

    @cached_property
    def means(self) -> Values:
        """Over seeds, shape (draws, targets)."""
        return mean_of(self.runs)

    def table(self) -> pd.DataFrame:
        """Return a row for each target.

        Returns
        -------
        DataFrame
            ``metric``, ``held_out``, ``target``, ``se``: its standard error, that of one simulated shop if none was
            given; ``predicted`` with ``low``, ``high``: between which a target of that error should lie, given how
            sure the estimate is and how many seeds predict; ``z``: by how many standard deviations it is off;
            ``meets``.
        """
        held_out = sum(target.held_out for target in self.targets)
        seeds = self.runs.shape[2]
        centre = mean_of(self.means.T)
        between = mean_of((self.means - centre).T ** 2) * len(self.units) / (len(self.units) - 1)
        within = mean_of(mean_of((self.runs - self.means[:, :, None]) ** 2).T) * seeds / (seeds - 1)
        rows = []
        for i, target in enumerate(self.targets):
            error = target.se if math.isfinite(target.se) else math.sqrt(within[i])
            spread = math.sqrt(between[i] + within[i] / seeds + error**2)
            share = (1 - self.confidence) / (held_out if target.held_out else 1)
            half = float(stats.t.ppf(1 - share / 2, seeds - 1)) * spread
            off = target.value - float(centre[i])
            rows.append(
                {
                    "metric": target.metric,
                    "held_out": target.held_out,
                    "target": target.value,
                    "se": error,
                    "predicted": float(centre[i]),
                    "low": float(centre[i]) - half,
                    "high": float(centre[i]) + half,
                    "z": off / spread if spread > 0 else math.copysign(math.inf, off) if off else 0.0,
                    "meets": bool(abs(off) <= half),
                }
            )
        return pd.DataFrame(rows)


def estimates(parameters: Sequence[Parameter], fit: Fit, confidence: float) -> pd.DataFrame:
    """Return a row for each parameter.

    Returns
    -------
    DataFrame
        ``parameter``, ``estimate``, ``ci_low``, ``ci_high``; ``all_low``, ``all_high``: intervals that hold for all
        parameters at once; ``share_low``, ``share``, ``share_high``: the same in shares of the range; ``known``: no
        direction in which the moments tell nothing takes part; ``at_bound``: the interval ends at a bound.
    """
    low, high = fit.interval(confidence)
    all_low, all_high = fit.interval(confidence, together=True)
    hidden = {i for group in fit.unknown() for i in group}
    return pd.DataFrame(
        [
            {
                "parameter": one.path,
                "estimate": one.from_unit(float(fit.estimate[i])),
                "ci_low": one.from_unit(float(low[i])),
                "ci_high": one.from_unit(float(high[i])),
                "all_low": one.from_unit(float(all_low[i])),
                "all_high": one.from_unit(float(all_high[i])),
                "share": float(fit.estimate[i]),
                "share_low": float(low[i]),
                "share_high": float(high[i]),
                "known": i not in hidden,
                "at_bound": bool(low[i] <= 0 or high[i] >= 1),
            }
            for i, one in enumerate(parameters)
        ]
    )


def warnings_of(parameters: Sequence[Parameter], fit: Fit, table: pd.DataFrame) -> Iterator[str]:
    """Yield what keeps the estimates from being trusted, a sentence each.

    Parameters
    ----------
    parameters : sequence of Parameter
    fit : Fit
    table : DataFrame
        As :func:`estimates` gives it.
    """
    paths = [one.path for one in parameters]
    for row, known in zip(fit.directions, fit.known, strict=True):
        if known:
            continue
        group = [i for i in range(len(paths)) if abs(row[i]) >= 0.3 * np.abs(row).max()]
        if len(group) == 1:
            yield f"The targets say nothing about {paths[group[0]]}: its interval is its whole range."
            continue
        places = []
        for sign in (-1, 1):
            moved = np.clip(fit.estimate + sign * 0.15 * row / np.abs(row).max(), 0, 1)
            places.append(
                listed([f"{paths[i]} {parameters[i].label(parameters[i].from_unit(float(moved[i])))}" for i in group])
            )
        names = listed([paths[i] for i in group])
        yield f"{names} cannot be told apart: {places[0]} meet the targets as well as {places[1]}."
    for i in range(len(paths)):
        for j in range(i):
            close = abs(fit.correlation[i, j])
            if close > ALIKE and table["known"][i] and table["known"][j]:
                yield f"{paths[j]} and {paths[i]} are hard to tell apart: their estimates are correlated {close:.2f}."
    for path, known, at_bound in zip(paths, table["known"], table["at_bound"], strict=True):
        if known and at_bound:
            yield f"The interval of {path} ends at a bound of its range: widen the range."
    if not fit.settled:
        yield "The estimate has not settled: allow more trials or more rounds."


def summary_of(
    parameters: Sequence[Parameter], targets: Sequence[Target], fit: Fit, prediction: Prediction, confidence: float
) -> tuple[dict[str, Any], bool]:
    """Return the summary of a calibration, and whether the model meets its targets."""
    table, predicted = estimates(parameters, fit, confidence), prediction.table()
    warnings = list(warnings_of(parameters, fit, table))
    misfits = bool(fit.p_value < MISFIT)
    missed = [str(name) for name in predicted.loc[predicted["held_out"] & ~predicted["meets"], "metric"]]
    said = [
        f"{row['parameter']} {one.label(row['estimate'])} ({one.label(row['ci_low'])} to {one.label(row['ci_high'])})"
        for one, row in zip(parameters, table.to_dict("records"), strict=True)
        if row["known"]
    ]
    verdict = [
        f"With {100 * confidence:g}% confidence {listed(said)}." if said else "No parameter can be estimated by itself."
    ]
    if misfits:
        verdict.append(f"The model does not meet the targets (p = {fit.p_value:.2g}): do not rely on it.")
    elif math.isfinite(fit.p_value):
        verdict.append(f"The model meets the fitted targets (p = {fit.p_value:.2g}).")
    if any(target.held_out for target in targets):
        verdict.append(f"It misses {listed(missed)}, held out." if missed else "It predicts what was held out.")
    verdict += [text for text in warnings if "told apart" in text or "nothing" in text or "settled" in text]
    summary = {
        "verdict": " ".join(verdict),
        "parameters": table.to_dict("records"),
        "moments": predicted.to_dict("records"),
        "fit": {"misfit": fit.misfit, "spare_moments": fit.spare, "p_value": fit.p_value, "settled": fit.settled},
        "identifiability": {
            "singular_values": fit.singular.tolist(),
            "told": fit.known.tolist(),
            "cannot_be_told": [[parameters[i].path for i in group] for group in fit.unknown()],
            "warnings": warnings,
        },
        "confidence": confidence,
    }
    return summary, not misfits and not missed and fit.settled


def tables_of(
    parameters: Sequence[Parameter],
    targets: Sequence[Target],
    fit: Fit,
    prediction: Prediction,
    summary: dict[str, Any],
) -> dict[str, pd.DataFrame]:
    """Return the tables of a study: ``estimates``, ``moments``, ``correlation``, ``directions``, ``predictions``."""
    paths = [one.path for one in parameters]
    correlation = pd.DataFrame(fit.correlation, columns=paths)
    correlation.insert(0, "parameter", paths)
    directions = pd.DataFrame(fit.directions, columns=paths)
    directions.insert(0, "slope", fit.singular)
    directions.insert(1, "told", fit.known)
    names = [target.metric for target in targets]
    drawn = pd.DataFrame(
        [(i, name, prediction.means[i, j]) for i in range(len(prediction.units)) for j, name in enumerate(names)],
        columns=["draw", "metric", "mean"],
    )
    return {
        "estimates": pd.DataFrame(summary["parameters"]),
        "moments": pd.DataFrame(summary["moments"]),
        "correlation": correlation,
        "directions": directions,
        "predictions": drawn,
    }


def precise(value: float, unit: str) -> str:
    """Write a moment with the digits that a comparison with its target needs."""
    return number(value, unit) if unit == "share" or abs(value) >= 100 else f"{value:.3g}"


def print_study(out: Console, study: Study) -> None:
    """Print a finished study.

    Parameters
    ----------
    out : Console
    study : Study
    """
    summary = study.summary
    out.print(Text(study.name, style="bold"), Text(f"calibrate {study.manifest['scenario']}", style="dim"))
    if study.manifest["question"]:
        out.print(Text(study.manifest["question"]), soft_wrap=True)
    out.print()
    percent = f"{100 * summary['confidence']:g}% interval"
    found = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("parameter", "estimate", percent, "range"):
        found.add_column(name, justify="left" if name == "parameter" else "right")
    for one, row in zip(study.parameters, summary["parameters"], strict=True):
        limits = f"{one.label(row['ci_low'])} to {one.label(row['ci_high'])}"
        whole = f"{one.label(one.low)} to {one.label(one.high)}"
        style = "" if row["known"] else "dim"
        found.add_row(
            Text(one.path), Text(one.label(row["estimate"]), style=style), Text(limits, style=style), Text(whole)
        )
    out.print(found)
    out.print()
    met = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("target", "value", "predicted", "between", ""):
        met.add_column(name, justify="left" if name in ("target", "") else "right")
    for row in summary["moments"]:
        unit = unit_of(row["metric"])
        mark = Text("✓", style="green") if row["meets"] else Text("✗ missed", style="red")
        label = f"{row['metric'].replace('_', ' ')}{' (held out)' if row['held_out'] else ''}"
        met.add_row(
            label,
            precise(row["target"], unit),
            precise(row["predicted"], unit),
            f"{precise(row['low'], unit)} to {precise(row['high'], unit)}",
            mark,
        )
    out.print(met)
    out.print()
    for text in summary["identifiability"]["warnings"]:
        out.print(Text(f"! {text}", style="yellow"), soft_wrap=True)
    out.print(Text(summary["verdict"], style="bold"), soft_wrap=True)
