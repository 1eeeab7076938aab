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

Array = npt.NDArray[Any]
BANDS = 5  # price bands: quintiles of the list prices


class Content(Recommender):
    """Scores products by the logarithm of the odds above."""

    def train(self, evidence: Evidence) -> None:
        """Learn everybody's shares and how much a person's own count."""
        products = self.shop.products
        self._evidence = evidence
        edges = np.quantile(products.price, np.arange(1, BANDS) / BANDS)
        codes = np.stack([products.category, np.searchsorted(edges, products.price)]).astype(np.uint32)
        shares, priors = np.ones((len(codes), int(codes.max()) + 1)), np.empty(len(codes))
        for feature, code in enumerate(codes):
            share, priors[feature] = smoothing(evidence.weights, code)
            shares[feature, : share.size] = share
        told = np.isfinite(priors)
        self.knowledge = (self.popularity, codes[told], shares[told], priors[told])

    @property
    def tells_persons_apart(self) -> bool:
        """Whether tastes show in any feature; else everybody is scored by popularity."""
        return len(self.knowledge[-1]) > 0

    def scores(self, persons: Array) -> Array:
        """Return log odds; those of persons without orders and clicks are popularity."""
        scores = np.empty((len(persons), len(self.shop.products)), np.float32)
        rows = self._evidence.rows(persons)
        score_content(rows, self.panels(persons), self._evidence.history, self.knowledge, scores)
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
    counts, whole, of_value, of_product = _count(
        weights.indptr, weights.indices, weights.data, code, int(code.max()) + 1
    )
    share = (counts + 1.0) / (counts + 1.0).sum()
    pairs, alike = whole - of_product, of_value - of_product
    by_chance = float(np.square(share).sum())
    excess = alike - by_chance * pairs
    # Rounding leaves a little of zero.
    if excess <= 1e-9 * of_product:
        return share, math.inf
    return share, max(1.0, (pairs - alike) / excess)


@nb.njit(cache=True)
def _count(start, products, weights, code, values):  # type: ignore[no-untyped-def]
    """Return everybody's orders of each value, and sums of squares: of persons' orders, by value, by product."""
    everybody, own = np.zeros(values), np.empty(values)
    whole, of_value, of_product = 0.0, 0.0, 0.0
    for person in range(start.size - 1):
        own[:] = 0.0
        total = 0.0
        for entry in range(start[person], start[person + 1]):
            weight = nb.float64(weights[entry])
            own[code[products[entry]]] += weight
            total += weight
            of_product += weight * weight
        whole += total * total
        for value in range(values):
            everybody[value] += own[value]
            of_value += own[value] * own[value]
    return everybody, whole, of_value, of_product


@nb.njit(cache=True, nogil=True)
def score_content(rows, panels, history, knowledge, scores):  # type: ignore[no-untyped-def]
    """Fill in popularity plus, for each feature, the log ratio of a person's smoothed share of a value to
    everybody's.
    """
    start, products, weights = history
    popularity, codes, shares, priors = knowledge
    counts = np.zeros(shares.shape[1])
    lift = np.empty(shares.shape[1], np.float32)
    for i in range(rows.size):
        for product in range(scores.shape[1]):
            scores[i, product] = popularity[panels[i], product]
        if rows[i] < 0:
            continue
        for feature in range(priors.size):
            code, share, prior = codes[feature], shares[feature], priors[feature]
            total = 0.0
            for entry in range(start[rows[i]], start[rows[i] + 1]):
                counts[code[products[entry]]] += weights[entry]
                total += weights[entry]
            lift[:] = np.log(prior / (total + prior))  # of all values but those few that the person's products have
            for entry in range(start[rows[i]], start[rows[i] + 1]):
                value = code[products[entry]]
                if counts[value] > 0.0:
                    lift[value] = np.log((counts[value] / share[value] + prior) / (total + prior))
                    counts[value] = 0.0
            for product in range(scores.shape[1]):
                scores[i, product] += lift[code[product]]
