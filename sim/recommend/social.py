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

    @property
    def knowledge(self) -> tuple[Array, ...]:
        """What :func:`score_friends` needs: ties, their strengths, and everybody's last orders."""
        graph = self.shop.graph
        return graph.indptr, graph.indices, graph.strength, self.shop.people.recent

    def scores(self, persons: Array) -> Array:
        """Return the tie strength behind each product."""
        scores = np.empty((len(persons), len(self.shop.products)), np.float32)
        score_friends(persons, self.knowledge, scores)
        return scores


@nb.njit(cache=True, nogil=True)
def score_friends(persons, knowledge, scores):  # type: ignore[no-untyped-def]
    """Fill in the tie strength behind each product, for each person."""
    indptr, indices, strength, recent = knowledge
    for i in range(persons.size):
        person = persons[i]
        for product in range(scores.shape[1]):
            scores[i, product] = 0.0
        # Accounts opened later than the network was drawn have no ties.
        if person >= indptr.size - 1:
            continue
        for tie in range(indptr[person], indptr[person + 1]):
            for product in recent[indices[tie]]:
                if product >= 0:
                    scores[i, product] += strength[tie]
