"""Popularity: everybody is shown what sells best when it is shown, lately."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from sim.recommend.base import Recommender
from sim.recommend.log import Evidence

Array = npt.NDArray[Any]


class Popularity(Recommender):
    """Scores products by the logarithm of their orders an impression (:mod:`~sim.recommend.rates`)."""

    def train(self, evidence: Evidence) -> None:
        """Learn nothing more than every recommender does."""

    def scores(self, persons: Array) -> Array:
        """Return the scores of the persons' panels."""
        scores: Array = self.popularity[self.panels(persons)]
        return scores
