"""What many experiments show: how far each design is off, how often its interval holds the truth, what it would need.

The truth of a replicate is the mean outcome a person with everybody treated, less that with nobody, on the same draws.
Everything here is a function of two tables: estimates and truths by replicate.

References
----------
Morris, White & Crowther (2019), "Using simulation studies to evaluate statistical methods", Statistics in Medicine 38
(bias, coverage and their Monte Carlo errors).
Bloom (1995), "Minimum detectable effects".
Wilson (1927): intervals of shares.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t as student

from experiments import stats
from experiments.lab.estimators import Effect

SUMMARY = (
    "outcome", "design", "estimator", "runs", "truth", "estimate", "bias", "bias_low", "bias_high", "seen", "seen_low",
    "seen_high", "deviation", "rmse", "reported_error", "intervals", "coverage", "coverage_low", "coverage_high",
    "power", "power_low", "power_high", "detectable", "units", "units_needed",
)  # fmt: skip
"""Columns of :func:`performance`."""


def with_truth(estimates: pd.DataFrame, truths: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Lay estimates beside the truth of their replicate.

    Parameters
    ----------
    estimates : DataFrame
        ``seed``, ``design``, ``estimator``, ``outcome``, ``value``, ``error``, ``degrees``, ``units``.
    truths : DataFrame
        ``seed``, ``outcome``, ``truth``.
    confidence : float

    Returns
    -------
    DataFrame
        With ``low``, ``high``, ``truth``; replicates without a truth are left out.
    """
    table = estimates.merge(truths, on=["seed", "outcome"], how="inner", validate="many_to_one")
    effects = [Effect(*row) for row in table[["value", "error", "degrees"]].itertuples(index=False, name=None)]
    ends = np.array([effect.interval(confidence) for effect in effects]).reshape(-1, 2)
    return table.assign(low=ends[:, 0], high=ends[:, 1])


def performance(table: pd.DataFrame, confidence: float, power: float) -> pd.DataFrame:
    """Say how each design and estimator fares.

    Parameters
    ----------
    table : DataFrame
        Of :func:`with_truth`.
    confidence : float
        Of the intervals that experiments report.
    power : float
        Chance to find an effect that a design is asked for.

    Returns
    -------
    DataFrame
        A row for each outcome, design and estimator:

        ``runs``: replicates with an estimate; ``truth``, ``estimate``: means over these; ``bias`` = estimate - truth
        with its 95% interval (paired t); ``seen`` = estimate / truth (Fieller); ``deviation``: standard deviation of
        the error; ``rmse``; ``reported_error``: root mean square of the standard errors that experiments reported.
        Over the ``intervals`` of those that have one: ``coverage``, the share that holds the truth of its replicate,
        and ``power``, the share that leaves out zero on the side of the truth, with 95% Wilson intervals.
        ``detectable``: the effect that would be found with the power asked for, ``(t(confidence) + t(power)) *
        reported_error``. ``units_needed`` to find what the design sees of the true effect, if the error falls with the
        root of the number of units; NaN where it is not settled that it sees any of it (the 95% interval of the
        estimate's mean over replicates does not lie on the side of the truth).
    """
    groups = table.groupby(["outcome", "design", "estimator"], sort=False)
    found = pd.DataFrame([_row(keys, rows, confidence, power) for keys, rows in groups], columns=list(SUMMARY))
    return found.astype(dict.fromkeys(SUMMARY[3:], "float64"))


def _row(keys: Any, rows: pd.DataFrame, confidence: float, power: float) -> dict[str, Any]:
    rows = rows[np.isfinite(rows["value"])]
    error = (rows["value"] - rows["truth"]).to_numpy()
    bias = stats.mean_estimate(error)
    seen = stats.ratio_estimate(rows["value"], rows["truth"])
    told = rows[np.isfinite(rows["low"])]
    covered = (told["low"] <= told["truth"]) & (told["truth"] <= told["high"])
    found = np.where(told["truth"] >= 0, told["low"] > 0, told["high"] < 0)
    reported = math.sqrt(float((told["error"] ** 2).mean())) if len(told) else math.nan
    detectable = _detectable(reported, float(told["degrees"].median()) if len(told) else math.nan, confidence, power)
    units = float(rows["units"].mean()) if len(rows) else math.nan
    mean, truth = stats.mean_estimate(rows["value"]), float(rows["truth"].mean())
    seen_at_all = mean.low > 0 if truth > 0 else mean.high < 0
    return {
        **dict(zip(("outcome", "design", "estimator"), keys, strict=True)),
        "runs": len(rows),
        "truth": truth,
        "estimate": mean.mean,
        "bias": bias.mean, "bias_low": bias.low, "bias_high": bias.high,
        "seen": seen.mean, "seen_low": seen.low, "seen_high": seen.high,
        "deviation": float(error.std(ddof=1)) if error.size > 1 else math.nan,
        "rmse": math.sqrt(float((error**2).mean())) if error.size else math.nan,
        "reported_error": reported,
        "intervals": len(told),
        **_share("coverage", int(covered.sum()), len(told)),
        **_share("power", int(found.sum()), len(told)),
        "detectable": detectable,
        "units": units,
        "units_needed": units * (detectable / mean.mean) ** 2 if seen_at_all else math.nan,
    }  # fmt: skip


def _detectable(error: float, degrees: float, confidence: float, power: float) -> float:
    """Return the smallest effect that is found with some power, given the standard error of its estimate."""
    if not error > 0:
        return math.nan
    return float(student.ppf(0.5 + confidence / 2, degrees) + student.ppf(power, degrees)) * error


def _share(name: str, count: int, of: int) -> dict[str, float]:
    """Return a share with its 95% Wilson interval; NaN of nothing."""
    from statsmodels.stats.proportion import proportion_confint

    if of == 0:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"), math.nan)
    low, high = proportion_confint(count, of, method="wilson")
    return {name: count / of, f"{name}_low": float(low), f"{name}_high": float(high)}


def best(found: pd.DataFrame, outcome: str) -> dict[str, Any] | None:
    """Return the row of the design and estimator whose estimates lie closest to the truth (root mean square error).

    Only those are considered that gave an interval in at least half as many replicates as any gave an estimate; None
    without any. One that saw no event estimates zero every time, without an interval: however close that is to the
    truth, it has measured nothing.
    """
    rows = found[(found["outcome"] == outcome) & np.isfinite(found["rmse"])]
    rows = rows[rows["intervals"] >= max(1, rows["runs"].max() / 2)]
    return None if rows.empty else {str(key): value for key, value in rows.loc[rows["rmse"].idxmin()].items()}


def rivals(table: pd.DataFrame, outcome: str, design: str, estimator: str) -> list[tuple[str, str]]:
    """Return the designs and estimators whose squared errors are not settled to be larger (paired t, 95%); the
    closest to the truth first.
    """
    rows = table[table["outcome"] == outcome]
    squared = (rows["value"] - rows["truth"]) ** 2
    wide = rows.assign(squared=squared).pivot(index="seed", columns=["design", "estimator"], values="squared")
    own = wide[design, estimator]
    pairs = [(str(column[0]), str(column[1])) for column in wide.columns]
    names = sorted((pair for pair in pairs if pair != (design, estimator)), key=lambda pair: wide[pair].mean())
    differences = {name: stats.mean_estimate(wide[name] - own) for name in names}
    return [name for name, one in differences.items() if not one.low > 0]
