"""Method of simulated moments: from where a search ended to an estimate with intervals, and what cannot be known.

The moments ``m(u)`` of simulated shops are set beside targets ``t``, at points ``u`` of the unit cube. One round runs a
point and its neighbours along each axis with the same fresh seeds: the mean over seeds gives the level, and differences
within a seed give the slopes ``G``, which shared draws make precise. A step of Gauss and Newton follows::

    u + A (t - m(u)),    A = (G' W G)^-1 G' W,    W = diag(1 / Omega)
    Omega = Sigma + V / R,    covariance of the estimate = A Omega A'

with ``Sigma`` the covariance of the targets' errors, ``V`` that of one simulated shop's moments, and ``R`` seeds. The
weights are diagonal, because an estimated inverse covariance makes intervals too short with few seeds; the sandwich
``A Omega A'`` is right whatever the weights.

Directions of ``u`` in which the moments do not move are found by a singular value decomposition of the slopes in units
of standard errors: nothing is estimated there, and the interval is the range.

References
----------
McFadden (1989), "A method of simulated moments for estimation of discrete response models without numerical
integration". Gourieroux and Monfort (1996), "Simulation-based econometric methods", chapter 2.
Altonji and Segal (1996), "Small-sample bias in GMM estimation of covariance structures": why weights are diagonal.
Hansen (1982), "Large sample properties of generalized method of moments estimators": the test of fit.
Gutenkunst et al. (2007), "Universally sloppy parameter sensitivities in systems biology models": singular directions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.optimize import lsq_linear

Values = npt.NDArray[np.float64]
WIDEST, NARROWEST = 0.2, 0.05
"""Distance of neighbours, in shares of a range."""
LEAST_SEEDS = 4
SLOPPY = 0.02
"""Below this share of the steepest slope a direction is one of numerical error."""
LOADING = 0.3
"""A parameter takes part in a direction if its share is at least so much of the largest."""


@dataclass(frozen=True)
class Aim:
    """What is to be met.

    Parameters
    ----------
    values : ndarray, shape (moments,)
    errors : ndarray, shape (moments,)
        Standard errors; NaN where the error is that of one simulated shop.
    weights : ndarray, shape (moments,)
        NaN for one over the variance.
    correlated : bool
        Whether the targets' errors are correlated as the moments of simulated shops are.
    """

    values: Values
    errors: Values
    weights: Values
    correlated: bool = True

    def covariance(self, simulated: Values) -> Values:
        """Return that of the targets' errors, given that of a simulated shop's moments."""
        own = np.sqrt(np.diag(simulated))
        errors = np.where(np.isfinite(self.errors), self.errors, own)
        spread = np.where(own > 0, own, 1.0)
        likeness = simulated / np.outer(spread, spread) if self.correlated else np.zeros_like(simulated)
        np.fill_diagonal(likeness, 1.0)
        result: Values = likeness * np.outer(errors, errors)
        return result


@dataclass(frozen=True)
class Slopes:
    """What one round measured.

    Parameters
    ----------
    centre : ndarray, shape (parameters,)
    level : ndarray, shape (moments,)
        Mean over seeds at the centre.
    covariance : ndarray, shape (moments, moments)
        Of one shop's moments.
    per_seed : ndarray, shape (seeds, moments, parameters)
        Slopes.
    """

    centre: Values
    level: Values
    covariance: Values
    per_seed: Values

    @property
    def mean(self) -> Values:
        """Slopes, shape (moments, parameters)."""
        result: Values = self.per_seed.mean(axis=0)
        return result


@dataclass(frozen=True)
class Fit:
    """An estimate in the unit cube.

    Parameters
    ----------
    estimate : ndarray, shape (parameters,)
    covariance : ndarray, shape (parameters, parameters)
    degrees : int
        Of freedom, for intervals.
    fitted, residual_errors : ndarray, shape (moments,)
        Moments at the estimate, and the standard errors of targets less these.
    singular : ndarray, shape (parameters,)
        Slopes along `directions` in standard errors of the moments over a whole range; the steepest first.
    directions : ndarray, shape (parameters, parameters)
        One a row.
    known : ndarray of bool, shape (parameters,)
        Which directions the moments tell something about.
    misfit, p_value : float
        Hansen's J, and the chance of as much if the model is right; NaN without moments to spare.
    spare : int
        Moments beyond what estimation uses up.
    target_covariance : ndarray, shape (moments, moments)
    step : ndarray, shape (parameters,)
        From the centre of the round.
    settled : bool
        Whether the estimate lies within the neighbours of the last round.
    """

    estimate: Values
    covariance: Values
    degrees: int
    fitted: Values
    residual_errors: Values
    singular: Values
    directions: Values
    known: npt.NDArray[np.bool_]
    misfit: float
    p_value: float
    spare: int
    target_covariance: Values
    step: Values
    settled: bool = True

    @property
    def errors(self) -> Values:
        """Standard errors, shape (parameters,)."""
        result: Values = np.sqrt(np.diag(self.covariance))
        return result

    @property
    def correlation(self) -> Values:
        """Of the estimates, shape (parameters, parameters)."""
        result: Values = self.covariance / np.outer(self.errors, self.errors)
        return result

    def interval(self, confidence: float, together: bool = False) -> tuple[Values, Values]:
        """Return the limits of each parameter, within the unit cube.

        Parameters
        ----------
        confidence : float
        together : bool
            Whether all intervals hold at once with this confidence (Bonferroni), and not each by itself.
        """
        share = (1 - confidence) / (len(self.estimate) if together else 1)
        half = float(stats.t.ppf(1 - share / 2, self.degrees)) * self.errors
        return np.clip(self.estimate - half, 0, 1), np.clip(self.estimate + half, 0, 1)

    def unknown(self) -> list[list[int]]:
        """Return the parameters that take part in each direction which the moments tell nothing about."""
        return [
            [int(i) for i in np.flatnonzero(np.abs(row) >= LOADING * np.abs(row).max())]
            for row, known in zip(self.directions, self.known, strict=True)
            if not known
        ]


def neighbours(centre: float, width: float) -> tuple[float, float]:
    """Return the offsets of two neighbours on an axis that lie within the unit interval."""
    if centre - width < 0:
        return width, 2 * width
    if centre + width > 1:
        return -2 * width, -width
    return -width, width


def design(centre: Values, widths: Values) -> list[Values]:
    """Return the points of a round: the centre, then two neighbours along each axis."""
    points = [centre]
    for axis, width in enumerate(widths):
        for offset in neighbours(float(centre[axis]), float(width)):
            point = centre.copy()
            point[axis] += offset
            points.append(np.clip(point, 0.0, 1.0))
    return points


def slopes(points: Sequence[Values], moments: Values) -> Slopes:
    """Work out level and slopes of a round.

    Parameters
    ----------
    points : sequence of ndarray
        As :func:`design` gives them.
    moments : ndarray, shape (points, moments, seeds)
        Seeds in which any is not finite are left out.

    Raises
    ------
    ValueError
        If fewer than four seeds are left.
    """
    whole = np.isfinite(moments).all(axis=(0, 1))
    if whole.sum() < LEAST_SEEDS:
        raise ValueError(f"only {int(whole.sum())} of {whole.size} seeds have a value of every moment")
    kept = moments[:, :, whole]
    centre = points[0]
    columns = []
    for axis in range(centre.size):
        one, two = 1 + 2 * axis, 2 + 2 * axis
        a, b = (float(points[i][axis] - centre[axis]) for i in (one, two))
        # The slope at 0 of the parabola through offsets 0, a and b (Lagrange).
        columns.append(-(a + b) / (a * b) * kept[0] - b / (a * (a - b)) * kept[one] - a / (b * (b - a)) * kept[two])
    per_seed = np.stack(columns, axis=-1).transpose(1, 0, 2)
    return Slopes(centre, kept[0].mean(axis=1), np.atleast_2d(np.cov(kept[0])), per_seed)


def fit(found: Slopes, aim: Aim, widths: Values, confidence: float = 0.95) -> Fit:
    """Take one step from the centre of a round, and say how sure the result is.

    Parameters
    ----------
    found : Slopes
    aim : Aim
    widths : ndarray, shape (parameters,)
        Of the round's neighbours; a step is at most three of them.
    confidence : float
        With which a direction must be known to within less than the whole range.
    """
    seeds, k, p = found.per_seed.shape
    G = found.mean
    target_covariance = aim.covariance(found.covariance)
    omega = target_covariance + found.covariance / seeds
    scale = np.sqrt(np.where(np.diag(omega) > 0, np.diag(omega), 1.0))
    singular, directions, known = _directions(found.per_seed / scale[None, :, None], seeds, confidence)
    weights = np.where(np.isfinite(aim.weights), aim.weights, 1 / scale**2)
    root = np.sqrt(weights)
    seen = directions[known].T  # columns span what the moments tell something about
    A = seen @ np.linalg.pinv(root[:, None] * G @ seen) * root[None, :] if known.any() else np.zeros((p, k))
    hidden = directions[~known]
    step = _bounded_step(found, aim, root, hidden, widths)
    # A direction that nothing is known about may be anywhere in the range.
    covariance = A @ omega @ A.T + hidden.T @ hidden
    fitted = found.level + G @ step
    rest = np.eye(k) - G @ A
    spread = rest @ omega @ rest.T
    spare = k - int(known.sum())
    misfit, p_value = _misfit(aim.values - fitted, spread, spare, seeds)
    return Fit(
        estimate=np.clip(found.centre + step, 0, 1),
        covariance=covariance,
        degrees=max(2, seeds - 1 - p),  # the weights were chosen by the same seeds
        fitted=fitted,
        residual_errors=np.sqrt(np.clip(np.diag(spread), 0, None)),
        singular=singular,
        directions=directions,
        known=known,
        misfit=misfit,
        p_value=p_value,
        spare=spare,
        target_covariance=target_covariance,
        step=step,
    )


def _directions(scaled: Values, seeds: int, confidence: float) -> tuple[Values, Values, npt.NDArray[np.bool_]]:
    """Return singular values, directions, and which of them the moments tell something about.

    Parameters
    ----------
    scaled : ndarray, shape (seeds, moments, parameters)
        Slopes in standard errors of the moments.
    """
    p = scaled.shape[2]
    _, values, directions = np.linalg.svd(scaled.mean(axis=0), full_matrices=True)
    singular = np.concatenate([values, np.zeros(p - values.size)])
    # A slope s along a direction gives an interval of z / s on either side: the whole range if that is half of it.
    wide = 2 * float(stats.norm.ppf(0.5 + confidence / 2))
    along = scaled @ directions.T
    noise = np.sqrt(along.var(axis=0, ddof=1).sum(axis=0) / seeds)
    known = (singular > wide) & (singular > 2 * noise) & (singular > SLOPPY * singular[0])
    return singular, directions, known


def _bounded_step(found: Slopes, aim: Aim, root: Values, hidden: Values, widths: Values) -> Values:
    """Return the least-squares step within the cube and three widths, standing still along what is hidden."""
    G = root[:, None] * found.mean
    stiff = 1e3 * max(1.0, float(np.linalg.norm(G)))
    system = np.vstack([G, stiff * hidden])
    right = np.concatenate([root * (aim.values - found.level), np.zeros(len(hidden))])
    reach = 3 * widths
    low = np.maximum(-reach, -found.centre) - 1e-12
    high = np.minimum(reach, 1 - found.centre) + 1e-12
    result: Values = lsq_linear(system, right, bounds=(low, high)).x
    return result


def _misfit(residual: Values, spread: Values, spare: int, seeds: int) -> tuple[float, float]:
    """Return Hansen's J and its p-value, by the F distribution as `spread` is estimated from few seeds (Hotelling)."""
    if spare < 1 or seeds <= spare:
        return math.nan, math.nan
    J = float(residual @ np.linalg.pinv(spread, rcond=1e-8, hermitian=True) @ residual)
    return J, float(stats.f.sf(J * (seeds - spare) / (spare * (seeds - 1)), spare, seeds - spare))


def next_widths(found: Fit) -> Values:
    """Return how far neighbours should be next: over the range in which the parameter may lie."""
    result: Values = np.clip(2 * found.errors, NARROWEST, WIDEST)
    return result


def settled(found: Fit, widths: Values) -> Fit:
    """Mark whether the step stayed among the neighbours, where the slopes were measured."""
    return replace(found, settled=bool((np.abs(found.step) <= 1.0001 * widths).all()))
