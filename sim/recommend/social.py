"""Social: what a person's friends bought last, the stronger the tie the more."""

from __future__ import annotations

from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.recommend.base import Recommender
from sim.recommend.log import Evidence

Array = npt.NDArray[Any]


class Social(Recommender):
    """Scores products by the summed tie strength of friends' last orders; zero without friends who bought."""

    def train(self, evidence: Evidence) -> None:
        """Learn nothing: friends' last orders are looked up when a slate is made."""

    def scores(self, persons: Array) -> Array:
        """Return the tie strength behind each product."""
        graph = self.shop.graph
        scores = np.zeros((len(persons), len(self.shop.products)), np.float32)
        _add_friends(persons, graph.indptr, graph.indices, graph.strength, self.shop.people.recent, scores)
        return scores


@nb.njit(cache=True)
def _add_friends(persons, indptr, indices, strength, recent, scores):  # type: ignore[no-untyped-def]
    """Add each friend's last orders to a person's scores."""
    for i in range(persons.size):
        person = persons[i]
        # Accounts opened later than the network was drawn have no ties.
        if person >= indptr.size - 1:
            continue
        for tie in range(indptr[person], indptr[person + 1]):
            for product in recent[indices[tie]]:
                if product >= 0:
                    scores[i, product] += strength[tie]
