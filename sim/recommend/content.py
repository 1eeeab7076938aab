"""Content: products like those a person ordered or clicked on, by category and price band.

A person's next product is taken as drawn with odds (naive Bayes)::

    popularity x P(category | person) / P(category) x P(band | person) / P(band)

where the person's shares are their own counts smoothed towards everybody's, as by a Dirichlet prior. How many orders
the prior weighs is estimated from the log, for each feature, by how much more alike two products of one person are than
two products of anybody: if tastes show nothing, the prior weighs all and popularity remains.

References
----------
Mosimann (1962), "On the compound multinomial distribution": Dirichlet-multinomial counts and their moments.
"""

from __future__ import annotations

import math
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from scipy import sparse

from sim.recommend.base import Recommender
from sim.recommend.log import Evidence
from sim.recommend.popularity import log_popularity

Array = npt.NDArray[Any]
BANDS = 5  # price bands: quintiles of the list prices


class Content(Recommender):
    """Scores products by the logarithm of the odds above."""

    def train(self, evidence: Evidence) -> None:
        """Learn everybody's shares and how much a person's own count."""
        products = self.shop.products
        self._evidence = evidence
        self._popularity = log_popularity(evidence)
        edges = np.quantile(products.price, np.arange(1, BANDS) / BANDS)
        band = np.searchsorted(edges, products.price)
        self._features = []
        for code in (products.category.astype(np.int64), band):
            share, prior = smoothing(evidence.weights, code)
            if math.isfinite(prior):
                self._features.append((code, share, prior))

    def scores(self, persons: Array) -> Array:
        """Return log odds; those of persons without orders and clicks are popularity."""
        scores = np.repeat(self._popularity[None, :], len(persons), axis=0)
        rows, weights = self._evidence.rows(persons), self._evidence.weights
        for code, share, prior in self._features:
            _add_lifts(rows, weights.indptr, weights.indices, weights.data, code, share, prior, scores)
        return scores


def smoothing(weights: sparse.csr_matrix, code: Array) -> tuple[Array, float]:
    """Estimate the Dirichlet distribution of persons' shares of a feature's values.

    Parameters
    ----------
    weights : csr_matrix, shape (persons, products)
        Orders.
    code : ndarray of int, shape (products,)
        Each product's value of the feature.

    Returns
    -------
    share : ndarray of float64
        Mean share of each value.
    prior : float
        Concentration in orders, at least one; infinite if two products of one person are no more alike than any two.

    Notes
    -----
    With shares ``q`` and concentration ``a``, two draws of one person agree with probability
    ``sum(q**2) + (1 - sum(q**2)) / (1 + a)``, which is solved for ``a``. Repeated orders of one product are no evidence
    about the feature, so pairs are of different products.
    """
    values = int(code.max()) + 1
    of_value = sparse.csr_matrix((np.ones(code.size), (np.arange(code.size), code)), shape=(code.size, values))
    by_value = weights @ of_value
    share = np.asarray(by_value.sum(axis=0)).ravel() + 1.0
    share /= share.sum()
    same_product = float(np.square(weights.data, dtype=np.float64).sum())
    pairs = float(np.square(np.asarray(by_value.sum(axis=1))).sum()) - same_product
    alike = float(np.square(by_value.data).sum()) - same_product
    by_chance = float(np.square(share).sum())
    excess = alike - by_chance * pairs
    # Rounding leaves a little of zero.
    if excess <= 1e-9 * same_product:
        return share, math.inf
    return share, max(1.0, (pairs - alike) / excess)


@nb.njit(cache=True)
def _add_lifts(rows, indptr, indices, weights, code, share, prior, scores):  # type: ignore[no-untyped-def]
    """Add to each known person's scores the log ratio of their smoothed share of a product's value to everybody's."""
    counts = np.empty(share.size)
    lift = np.empty(share.size, np.float32)
    for i in range(rows.size):
        if rows[i] < 0:
            continue
        counts[:] = 0.0
        total = 0.0
        for entry in range(indptr[rows[i]], indptr[rows[i] + 1]):
            counts[code[indices[entry]]] += weights[entry]
            total += weights[entry]
        for value in range(share.size):
            lift[value] = np.log((counts[value] / share[value] + prior) / (total + prior))
        for product in range(code.size):
            scores[i, product] += lift[code[product]]
