"""Popularity: everybody is shown what sold most lately."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sim.recommend.base import Recommender
from sim.recommend.log import Evidence

Array = npt.NDArray[Any]


def log_popularity(evidence: Evidence) -> Array:
    """Return the logarithm of one plus each product's recent orders, float32."""
    return np.log1p(evidence.orders).astype(np.float32)


class Popularity(Recommender):
    """Scores products by the logarithm of their orders, which count half after ``half_life``."""

    def train(self, evidence: Evidence) -> None:
        """Count recent orders."""
        self._scores = log_popularity(evidence)

    def scores(self, persons: Array) -> Array:
        """Return the same scores for everybody."""
        return np.broadcast_to(self._scores, (len(persons), self._scores.size))
