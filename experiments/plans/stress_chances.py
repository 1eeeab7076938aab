"""What few runs can tell: exact intervals of chances, exact tests of alarms, and how many runs a tail needs.

References
----------
Clopper & Pearson (1934), "The use of confidence or fiducial limits illustrated in the case of the binomial".
Jovanovic & Levy (1997), "A look at the rule of three": one-sided where an event was seen in no trial.
Epstein (1954), "Tables for the distribution of the number of exceedances".
Wilks (1941), "Determination of sample sizes for setting tolerance limits".
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats as laws

from experiments.stats import CONFIDENCE, Estimate, known
from experiments.wording import percent

Array = npt.NDArray[np.float64]
SIGNIFICANCE = 0.05
"""Chance that any alarm is listed although no shock does anything to any signal, at most."""


def share_estimate(values: npt.ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a chance from runs, with Clopper and Pearson's interval.

    Parameters
    ----------
    values : array_like, shape (runs,)
        1 where it happened and 0 where not, or the chance of it in each run; NaN where a run has failed.
    confidence : float
        In (0, 1).

    Returns
    -------
    Estimate
        Where it happened in no run or in all, the one limit that is open is one-sided. Chances between 0 and 1 make a
        count that is no whole number; as nothing between 0 and 1 varies more than what is either, the interval is then
        rather too wide.
    """
    (sample,) = known(values)
    n, count = sample.size, float(sample.sum())
    if n == 0:
        return Estimate(math.nan)
    if count == 0:
        return Estimate(0.0, 0.0, 1 - (1 - confidence) ** (1 / n), n)
    if count == n:
        return Estimate(1.0, (1 - confidence) ** (1 / n), 1.0, n)
    side = (1 - confidence) / 2
    low, high = laws.beta.ppf(side, count, n - count + 1), laws.beta.ppf(1 - side, count + 1, n - count)
    return Estimate(count / n, float(low), float(high), n)


def limits_text(low: float, high: float) -> str:
    """Write what an exact interval of a chance leaves open: "at most 39%", "at least 61%", "4% to 78%"."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "n/a"
    least, most = percent(low), percent(high)
    if least == "0%":
        return f"at most {most}"
    return f"at least {least}" if most == "100%" else f"{least} to {most}"


def seen_text(share: float, low: float, high: float, runs: int) -> str:
    """Say in how many runs something happened and how sure its chance is: "in none of 6 runs (...)"."""
    if not runs or not math.isfinite(share):
        return "n/a"
    count = round(share * runs)
    how_often = "none" if count == 0 else f"all {runs}" if count == runs else str(count)
    of = "" if count == runs else f" of {runs}"
    return f"in {how_often}{of} runs (with 95% confidence {limits_text(low, high)})"


def exceedance_test(fired: int, runs: int, calm: int, rank: int) -> float:
    """Return the p-value of an alarm: how likely runs that are calm too give it at least so often.

    Parameters
    ----------
    fired, runs : int
        Runs that gave the alarm, of so many.
    calm, rank : int
        Calm runs, and which of their extremes is the level, counted from the smallest (1 to calm).

    Notes
    -----
    Of ``runs`` further calm runs, the number beyond the level is beta-binomial with parameters ``calm - rank + 1`` and
    ``rank``, whatever the law of the signal; ties only make fewer. That struck runs share seeds with the calm ones
    makes the two more alike, not less.
    """
    return float(laws.betabinom.sf(fired - 1, runs, calm - rank + 1, rank))


def runs_for_a_tail(level: float, chance: float) -> int:
    """Return how many runs a value at risk needs to rest on more than luck.

    With fewer, it is likelier than 5% that no run is as bad as the event at the value at risk. That event is exceeded
    by the worst ``(1 - level) / chance`` of all events, if a period has one with this chance; n runs have one as bad
    with probability ``1 - (1 - share)^n`` (Wilks). For a chance of 1 and a level of 95% it is the well-known 59.

    Parameters
    ----------
    level : float
        Of the value at risk, such as 0.95.
    chance : float
        That there is an event in a period.

    Returns
    -------
    int
        0 if events are too rare to be part of the worst periods: the value at risk is then 0 whatever they cost.
    """
    worst = 1 - level
    if chance <= worst:
        return 0
    return math.ceil(round(math.log(1 - CONFIDENCE) / math.log1p(-worst / chance), 9))
