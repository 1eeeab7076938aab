"""How well products sell when they are shown: orders an impression, shrunk, and explored as far as they are uncertain.

Counting orders alone feeds on itself: what is shown is bought, and what is bought is shown. So a product is judged by
the orders that its impressions brought. With ``n`` orders from ``e`` impressions, both fading alike::

    n ~ Poisson(e x rate),   rate ~ Gamma(shape a, mean r)   =>   rate | n, e ~ Gamma(a + n, a / r + e)

How alike products are (``a``) is estimated from the log, so that few impressions move a rate little. Persons fall into
:data:`PANELS` panels; each panel sees products ranked by a draw of its own, of half the spread that these distributions
have. So a product of which little is known is shown to some, and to fewer the surer it is that others are better.

References
----------
Thompson (1933), "On the likelihood that one unknown probability exceeds another", Biometrika 25.
Chapelle & Li (2011), "An empirical evaluation of Thompson sampling", NIPS (posterior reshaping).
Robbins (1956), "An empirical Bayes approach to statistics".
Wilson & Hilferty (1931), "The distribution of chi-square": the cube root of a Gamma variable is nearly normal.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.core import draws
from sim.core.draws import Stream
from sim.recommend.log import Evidence

Array = npt.NDArray[Any]
PANELS = 64  # groups of persons who are shown the same popular products; more would cost time at each retraining
SPREAD = 0.5  # of a draw; with 1, more is lost by exploring, as Chapelle & Li found too
_ALIKE = 1e-3  # squared variation of rates between products below which they count as alike
_LOWEST = 1e-3  # the cube root of a Gamma variable over its mean, where the approximation fails


def posterior(evidence: Evidence) -> tuple[Array, float]:
    """Return what is known of each product's orders an impression.

    Parameters
    ----------
    evidence : Evidence

    Returns
    -------
    shape : ndarray of float64, shape (products,)
        Of each product's Gamma distribution, ``a + n``.
    prior : float
        Impressions that the prior weighs, ``a / r``; the distribution's mean is ``shape / (prior + impressions)``.

    Notes
    -----
    ``a`` is found by moments: counts vary about ``m = e r`` by ``m + m**2 / a``. A count of faded orders has a variance
    below its mean, so products are taken to be rather too much alike.
    """
    orders, shown = evidence.orders, evidence.impressions
    rate = orders.sum() / shown.sum() if orders.any() and shown.any() else 1.0
    expected = shown * rate
    squares = float(np.square(expected).sum())
    excess = float((np.square(orders - expected) - orders).sum()) / squares if squares > 0 else 0.0
    prior = 1.0 / max(excess, _ALIKE)
    return prior + orders, prior / rate


def sampled(evidence: Evidence, seed: int, tick: int) -> Array:
    """Draw for every panel the logarithm of each product's orders an impression.

    Parameters
    ----------
    evidence : Evidence
    seed : int
        The run's.
    tick : int
        Of the retraining.

    Returns
    -------
    ndarray of float32, shape (PANELS, products)
    """
    shape, prior = posterior(evidence)
    panel, product = np.arange(PANELS)[:, None], np.arange(shape.size)[None, :]
    z = draws.normal(seed, Stream.SLATE, panel, product, tick, k=2)
    cube_root = 1 - 1 / (9 * shape) + SPREAD * z / (3 * np.sqrt(shape))
    scores: Array = np.log(shape / (prior + evidence.impressions)) + 3 * np.log(np.maximum(cube_root, _LOWEST))
    return scores.astype(np.float32)
