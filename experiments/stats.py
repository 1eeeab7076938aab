"""Statistics of replicates: means, paired differences, ratios, and how sure one may be of them.

A replicate is one seed. Two arms that ran with the same seed share every draw that they have in common, so what is
analysed is always the difference within a seed; an interval is one of Student's t over seeds.

Every interval is for one quantity at a time: among twenty metrics that do not move, one is expected outside its 95%.

References
----------
Student (1908), "The probable error of a mean".
Fieller (1954), "Some problems in interval estimation": limits of a ratio of two correlated means.
Law (2015), "Simulation modeling and analysis", 5th ed., chapters 9.4 (replications), 10.2 (paired t), 11.2 (common
random numbers).
Holm (1979), "A simple sequentially rejective multiple test procedure".
Jeffreys (1961), "Theory of probability": with a flat prior on the mean and log standard deviation, the posterior of a
normal mean is Student's t around the sample mean.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]
CONFIDENCE = 0.95
MOST_REPLICATES = 10_000


@dataclass(frozen=True)
class Estimate:
    """A quantity with its confidence interval.

    Parameters
    ----------
    mean : float
        NaN without data.
    low, high : float
        Limits; NaN where there are too few replicates, or where a ratio has no finite limits.
    replicates : int
        How many it rests on.
    """

    mean: float
    low: float = math.nan
    high: float = math.nan
    replicates: int = 0


def known(*columns: npt.ArrayLike) -> tuple[Values, ...]:
    """Return the given columns, shape (replicates,) each, without replicates in which any is not finite."""
    values = [np.asarray(column, np.float64) for column in columns]
    kept = np.logical_and.reduce([np.isfinite(column) for column in values])
    return tuple(column[kept] for column in values)


def standard_error(values: Values) -> float:
    """Return the standard error of a mean of at least two values; exactly 0 if all are equal."""
    if np.all(values == values[0]):
        return 0.0  # np.std leaves rounding errors here, which would pass for evidence
    return float(np.std(values, ddof=1)) / math.sqrt(values.size)


def t_quantile(confidence: float, degrees: int) -> float:
    """Return Student's t such that a two-sided interval has the given confidence."""
    return float(stats.t.ppf(0.5 + confidence / 2, degrees))


def mean_estimate(values: npt.ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a mean over replicates, with Student's interval.

    Parameters
    ----------
    values : array_like, shape (replicates,)
        NaN where a replicate has no value; those are left out.
    confidence : float
        In (0, 1).

    Returns
    -------
    Estimate
        Without limits if there are fewer than two values.
    """
    (sample,) = known(values)
    n = sample.size
    if n == 0:
        return Estimate(math.nan)
    mean = float(sample.mean())
    if n == 1:
        return Estimate(mean, replicates=1)
    half = t_quantile(confidence, n - 1) * standard_error(sample)
    return Estimate(mean, mean - half, mean + half, n)


def ratio_estimate(numerator: npt.ArrayLike, denominator: npt.ArrayLike, confidence: float = CONFIDENCE) -> Estimate:
    """Estimate a ratio of two means over the same replicates, with Fieller's interval.

    Parameters
    ----------
    numerator, denominator : array_like, shape (replicates,)
        Replicates in which either is NaN are left out.
    confidence : float
        In (0, 1).

    Returns
    -------
    Estimate
        ``mean`` is the ratio of the means. Without limits if there are fewer than two replicates, or if the
        denominator is not different from zero with this confidence: Fieller's set is then not an interval.
    """
    top, bottom = known(numerator, denominator)
    n = top.size
    if n == 0 or bottom.mean() == 0.0:
        return Estimate(math.nan, replicates=n)
    x, y = float(bottom.mean()), float(top.mean())
    ratio = y / x
    if n == 1:
        return Estimate(ratio, replicates=1)
    t = t_quantile(confidence, n - 1)
    variance_x, variance_y = standard_error(bottom) ** 2, standard_error(top) ** 2
    covariance = float(np.mean((top - y) * (bottom - x))) / (n - 1)
    a = x * x - t * t * variance_x
    if a <= 0:
        return Estimate(ratio, replicates=n)
    # The limits are the roots r of (y - r x)^2 = t^2 var(y - r x): a r^2 - 2 b r + c = 0.
    b = x * y - t * t * covariance
    c = y * y - t * t * variance_y
    root = math.sqrt(max(0.0, b * b - a * c))
    return Estimate(ratio, (b - root) / a, (b + root) / a, n)


def probability_positive(differences: npt.ArrayLike) -> float:
    """Return the posterior probability that the mean difference is above zero.

    Parameters
    ----------
    differences : array_like, shape (replicates,)

    Returns
    -------
    float
        P(delta > 0) where delta is Student's t with n - 1 degrees of freedom around the sample mean, scaled by its
        standard error (flat prior); 1/2 if no replicate differs, NaN for fewer than two replicates.
    """
    (sample,) = known(differences)
    if sample.size < 2:
        return math.nan
    mean, error = float(sample.mean()), standard_error(sample)
    if error == 0.0:
        return 0.5 + 0.5 * float(np.sign(mean))
    return float(stats.t.cdf(mean / error, sample.size - 1))


def variance_reduction(base: npt.ArrayLike, arm: npt.ArrayLike) -> float:
    """Return how many times pairing by seed shrinks the variance of a difference of means.

    Parameters
    ----------
    base, arm : array_like, shape (replicates,)
        The same seeds in the same order.

    Returns
    -------
    float
        (var(base) + var(arm)) / var(arm - base): the denominator is what paired replicates have, the numerator what
        independent ones would. Infinite if pairing leaves nothing, NaN if nothing varies at all.
    """
    first, second = known(base, arm)
    if first.size < 2:
        return math.nan
    unpaired = standard_error(first) ** 2 + standard_error(second) ** 2
    paired = standard_error(second - first) ** 2
    if paired == 0.0:
        return math.inf if unpaired > 0.0 else math.nan
    return unpaired / paired


def p_value(differences: npt.ArrayLike) -> float:
    """Return how likely paired differences are to lie as far from zero if their mean is zero: two-sided t test.

    Parameters
    ----------
    differences : array_like, shape (replicates,)

    Returns
    -------
    float
        1 if no replicate differs; NaN for fewer than two replicates.
    """
    chance = probability_positive(differences)
    return 2 * min(chance, 1 - chance)


def holm(p_values: npt.ArrayLike) -> Values:
    """Return p-values adjusted for how many there are: what is at most 5% holds together with all others that are.

    Parameters
    ----------
    p_values : array_like, shape (tests,)

    Returns
    -------
    ndarray, shape (tests,)
        By Holm's step-down procedure. The tests may depend on each other in any way.
    """
    given = np.asarray(p_values, np.float64)
    order = np.argsort(given, kind="stable")
    steps = np.maximum.accumulate(given[order] * np.arange(given.size, 0, -1))
    found = np.empty(given.size)
    found[order] = np.minimum(steps, 1.0)
    return found


@lru_cache(maxsize=8)
def _half_widths(confidence: float) -> Values:
    """Return half-widths of Student's interval, in standard deviations, for 2, 3, ... replicates; decreasing."""
    n = np.arange(2, MOST_REPLICATES + 1)
    result: Values = stats.t.ppf(0.5 + confidence / 2, n - 1) / np.sqrt(n)
    return result


def replicates_needed(differences: npt.ArrayLike, confidence: float = CONFIDENCE) -> int | None:
    """Return how many replicates it takes at least to settle the sign of a mean difference as large as it seems now.

    Parameters
    ----------
    differences : array_like, shape (replicates,)
        Paired differences so far.
    confidence : float
        In (0, 1).

    Returns
    -------
    int or None
        The smallest n for which t(n - 1) s / sqrt(n) < |d|, with the mean d and standard deviation s seen so far; None
        for fewer than two replicates, if d is zero, or if n would be above 10 000: no number worth running is enough.
        With so many the interval would just leave zero out, if its mean stayed: by chance half of the time it will not.
    """
    (sample,) = known(differences)
    if sample.size < 2:
        return None
    mean, deviation = abs(float(sample.mean())), standard_error(sample) * math.sqrt(sample.size)
    if mean == 0.0:
        return None
    if deviation == 0.0:
        return 2
    # Half-widths fall, so their negatives rise: find the first that is below |d| / s.
    index = int(np.searchsorted(-_half_widths(confidence), -mean / deviation, side="right"))
    return index + 2 if index < MOST_REPLICATES - 1 else None


Verdict = Literal["better", "worse", "higher", "lower", "same", "undecided", "no data"]


def verdict(difference: Estimate, direction: int) -> Verdict:
    """Say in a word what a paired difference shows.

    Parameters
    ----------
    difference : Estimate
        Of arm minus base.
    direction : int
        +1 if more is better, -1 if less is, 0 if neither.

    Returns
    -------
    str
        ``same`` only if no replicate differs at all; ``undecided`` if the interval holds zero; ``no data`` if fewer
        than two replicates have a value in both arms.
    """
    if difference.replicates < 2:
        return "no data"
    if difference.mean == difference.low == difference.high == 0.0:
        return "same"
    if not (difference.low > 0.0 or difference.high < 0.0):
        return "undecided"
    up = difference.mean > 0.0
    if direction == 0:
        return "higher" if up else "lower"
    return "better" if up == (direction > 0) else "worse"
