"""Hybrid: a weighted sum of other recommenders' scores, each scaled to mean zero and unit variance within a person."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.recommend.base import Recommender
from sim.recommend.collaborative import Collaborative
from sim.recommend.content import Content
from sim.recommend.log import Evidence
from sim.recommend.popularity import Popularity
from sim.recommend.social import Social

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
NEGLIGIBLE = 1e-12  # variance, relative to the squared mean, that is rounding and not a preference


class Hybrid(Recommender):
    """Mixes popularity, content, collaborative and social by the scenario's weights.

    A part that knows nothing of a person scores all products the same, and so leaves them to the other parts.
    """

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        weights = self.config.weights
        parts: list[tuple[float, type[Recommender]]] = [
            (weights.popularity, Popularity),
            (weights.content, Content),
            (weights.collaborative, Collaborative),
            (weights.social, Social),
        ]
        self.parts = [(weight, model(shop)) for weight, model in parts if weight > 0]

    def train(self, evidence: Evidence) -> None:
        """Train every part."""
        for _, part in self.parts:
            part.train(evidence)

    def scores(self, persons: Array) -> Array:
        """Return the weighted sum."""
        total = np.zeros((len(persons), len(self.shop.products)), np.float32)
        for weight, part in self.parts:
            add_standardised(part.scores(persons), weight, total)
        return total


# Sums may be taken in any order: each addition would otherwise wait for the one before.
@nb.njit(cache=True, fastmath={"reassoc"})
def add_standardised(scores, weight, total):  # type: ignore[no-untyped-def]
    """Add to each row of ``total`` the weighted scores less their mean, over their standard deviation.

    Parameters
    ----------
    scores : ndarray of float32, shape (persons, products)
        A row without preferences adds nothing.
    weight : float
    total : ndarray of float32, shape (persons, products)
        Changed in place.
    """
    rows, products = scores.shape
    for i in range(rows):
        sums, squares = 0.0, 0.0
        for product in range(products):
            value = nb.float64(scores[i, product])
            sums += value
            squares += value * value
        mean = sums / products
        variance = squares / products - mean * mean
        if variance > NEGLIGIBLE * mean * mean:
            scale = nb.float32(weight / math.sqrt(variance))
            offset = nb.float32(mean)
            for product in range(products):
                total[i, product] += (scores[i, product] - offset) * scale
