"""What a company would conclude from an experiment: an effect with its standard error.

Every estimator takes outcomes and who was treated, and knows nothing of what would have been.

References
----------
Neyman (1923); Welch (1947): difference of means with unequal variances.
Liang & Zeger (1986); Cameron & Miller (2015), "A practitioner's guide to cluster-robust inference".
Deng, Xu, Kohavi & Walker (2013), "Improving the sensitivity of online controlled experiments by utilizing
pre-experiment data" (CUPED).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from experiments.lab.exposure import ExposureMap, design_based_error, weighted_difference

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Effect:
    """An estimated effect.

    Parameters
    ----------
    value : float
        NaN if it cannot be estimated.
    error : float
        Standard error; NaN if there are too few units.
    degrees : float
        Degrees of freedom of Student's t; NaN without a standard error.
    """

    value: float
    error: float = math.nan
    degrees: float = math.nan

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the two-sided confidence interval; NaN without a standard error, or if nothing varied at all: that
        is no evidence of certainty.
        """
        half = float(stats.t.ppf(0.5 + confidence / 2, self.degrees)) * self.error if self.error > 0 else math.nan
        return self.value - half, self.value + half

    def scaled(self, factor: float) -> Effect:
        """Return the effect in another unit."""
        return Effect(self.value * factor, self.error * factor, self.degrees)


def difference_in_means(outcome: Array, treated: Array) -> Effect:
    """Compare the treated with the untreated, each a unit of its own (Neyman's variance, Welch's degrees of freedom).

    Parameters
    ----------
    outcome : float ndarray, shape (units,)
    treated : bool ndarray, shape (units,)
    """
    first, second = outcome[treated], outcome[~treated]
    if first.size == 0 or second.size == 0:
        return Effect(math.nan)
    value = float(first.mean() - second.mean())
    if first.size < 2 or second.size < 2:
        return Effect(value)
    parts = np.array([first.var(ddof=1) / first.size, second.var(ddof=1) / second.size])
    if parts.sum() == 0:
        return Effect(value, 0.0)
    degrees = parts.sum() ** 2 / (parts**2 / (np.array([first.size, second.size]) - 1)).sum()
    return Effect(value, math.sqrt(parts.sum()), float(degrees))


def cluster_regression(outcome: Array, treated: Array, unit: Array) -> Effect:
    """Regress outcomes on treatment, with standard errors that let outcomes of a unit depend on each other.

    Student's t has two degrees of freedom less than there are units, as for a difference of means of units; with few or
    very unequal units the interval is still too short (Cameron & Miller 2015, section 6).

    Parameters
    ----------
    outcome : float ndarray, shape (persons,)
    treated : bool ndarray, shape (persons,)
    unit : int ndarray, shape (persons,)
        Randomised as a whole.
    """
    import statsmodels.api as sm

    units = np.unique(unit).size
    if treated.all() or not treated.any():
        return Effect(math.nan)
    groups = np.unique(unit, return_inverse=True)[1]
    fit = sm.OLS(outcome, sm.add_constant(treated.astype(np.float64))).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": True}
    )
    if units < 4:
        return Effect(float(fit.params[1]))
    return Effect(float(fit.params[1]), float(fit.bse[1]), units - 2)


def adjusted(outcome: Array, before: Array) -> Array:
    """Take out of outcomes what was known before the experiment (CUPED, with several covariates).

    Parameters
    ----------
    outcome : float ndarray, shape (persons,)
    before : float ndarray, shape (persons, covariates)
        From before the treatment, so that it cannot depend on it.

    Returns
    -------
    float ndarray, shape (persons,)
        ``outcome - (before - mean) theta``, with the theta of least squares over all persons, treated or not.
    """
    centred = before - before.mean(axis=0)
    theta = np.linalg.lstsq(centred, outcome - outcome.mean(), rcond=None)[0]
    result: Array = outcome - centred @ theta
    return result


def paired_blocks(outcome: Array, on: Array, pair: Array) -> Effect:
    """Compare blocks with the treatment on with those of the same pair with it off (paired t).

    Parameters
    ----------
    outcome : float ndarray, shape (blocks,)
    on : bool ndarray, shape (blocks,)
        True for one block of each pair.
    pair : int ndarray, shape (blocks,)
    """
    order_on, order_off = np.argsort(pair[on], kind="stable"), np.argsort(pair[~on], kind="stable")
    difference = outcome[on][order_on] - outcome[~on][order_off]
    pairs = difference.size
    error = float(difference.std(ddof=1)) / math.sqrt(pairs) if pairs > 1 else math.nan
    return Effect(float(difference.mean()), error, max(1, pairs - 1))


def exposure_weighted(
    outcome: Array, exposed: Array, spared: Array, found: ExposureMap, *, hajek: bool, units: int
) -> Effect:
    """Compare the exposed with the spared, weighted with the chances of exposure.

    Parameters
    ----------
    outcome : float ndarray, shape (persons,)
    exposed, spared : bool ndarray, shape (persons,)
        Under the treatment that was drawn.
    found : ExposureMap
        Of the design.
    hajek : bool
        Divide by the sum of the weights.
    units : int
        That were randomised; two less are the degrees of freedom.
    """
    value = weighted_difference(outcome, outcome, exposed, spared, found, hajek=hajek)
    error = design_based_error(outcome, exposed, spared, found, hajek=hajek)
    return Effect(value, error if math.isfinite(value) else math.nan, max(1, units - 2))
