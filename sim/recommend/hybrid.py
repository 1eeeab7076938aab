"""Hybrid: a weighted sum of other recommenders' scores, each scaled to mean zero and unit variance within a person.

Most of a refit is spent here, on persons times products; so the parts are scored and mixed in one kernel, a few persons
at a time, and no matrix of that size is made.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.recommend.base import Recommender, keep_best
from sim.recommend.collaborative import Collaborative, score_preferences
from sim.recommend.content import Content, score_content
from sim.recommend.log import Evidence
from sim.recommend.popularity import Popularity
from sim.recommend.social import Social, score_friends

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
NEGLIGIBLE = 1e-12  # variance, relative to the squared mean, that is rounding and not a preference
WORTH_THREADS = 4096  # persons: fewer are done sooner than threads start
_BLOCK = 4096  # scores at a time: they and a part of them should fit a processor's first cache


class Hybrid(Recommender):
    """Mixes popularity, content, collaborative and social by the scenario's weights.

    A part that knows nothing of a person scores all products the same, and so leaves them to the other parts.
    """

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        self.popularity, self.content = Popularity(shop), Content(shop)
        self.collaborative, self.social = Collaborative(shop), Social(shop)

    def train(self, evidence: Evidence) -> None:
        """Train every part."""
        self._evidence = evidence
        for part in (self.popularity, self.content, self.collaborative, self.social):
            part.train(evidence)
        weights = self.config.weights
        of_popularity, of_content = weights.popularity, weights.content
        if not self.content.tells_persons_apart:
            of_popularity, of_content = of_popularity + of_content, 0.0
        self._weights = (of_content, weights.collaborative, weights.social)
        self._popular = np.zeros((1, len(self.shop.products)), np.float32)
        add_standardised(self.popularity.scores(np.zeros(1)).copy(), of_popularity, self._popular)

    def scores(self, persons: Array) -> Array:
        """Return the weighted sum."""
        total = np.empty((len(persons), len(self.shop.products)), np.float32)
        _mix(persons, self._evidence.rows(persons), *self._knowledge(), total)
        return total

    def _store(self, persons: Array) -> None:
        parts = max(1, len(persons) // WORTH_THREADS)
        if parts == 1:
            self._store_part(persons)
            return
        # Bits do not depend on the threads: each person's slate is made by itself.
        with ThreadPoolExecutor(nb.config.NUMBA_NUM_THREADS) as pool:
            for _ in pool.map(self._store_part, np.array_split(persons, parts)):
                pass

    def _store_part(self, persons: Array) -> None:
        _mix_and_keep(persons, self._evidence.rows(persons), *self._knowledge(), self.ranked, self._stored)

    def _knowledge(self) -> tuple[Any, ...]:
        return (
            self._evidence.history, self._popular[0], self.content.knowledge, self.collaborative.knowledge,
            self.social.knowledge, self._weights,
        )  # fmt: skip


@nb.njit(cache=True, nogil=True)
def _mix_and_keep(persons, rows, history, popular, content, collaborative, social, weights, ranked, stored):  # type: ignore[no-untyped-def]
    block = max(1, _BLOCK // popular.size)
    total = np.empty((block, popular.size), np.float32)
    for start in range(0, persons.size, block):
        some = persons[start : start + block]
        mixed = total[: some.size]
        _mix(some, rows[start : start + block], history, popular, content, collaborative, social, weights, mixed)
        keep_best(mixed, ranked, some, stored)


@nb.njit(cache=True, nogil=True)
def _mix(persons, rows, history, popular, content, collaborative, social, weights, total):  # type: ignore[no-untyped-def]
    part = np.empty_like(total)
    of_content, of_collaborative, of_social = weights
    for i in range(persons.size):
        for product in range(popular.size):
            total[i, product] = popular[product]
    if of_content > 0.0:
        score_content(rows, history, content, part)
        add_standardised(part, of_content, total)
    if of_collaborative > 0.0:
        score_preferences(rows, history, collaborative, part)
        add_standardised(part, of_collaborative, total)
    if of_social > 0.0:
        score_friends(persons, social, part)
        add_standardised(part, of_social, total)


# Sums may be taken in any order: each addition would otherwise wait for the one before.
@nb.njit(cache=True, nogil=True, fastmath={"reassoc"})
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
