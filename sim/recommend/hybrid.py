"""Hybrid: a weighted sum of other recommenders' scores, each scaled to mean zero and unit variance within a person.

Most of a retraining is spent here, on persons times products: so the parts' kernels are called one after the other for
a few persons at a time, without a matrix of that size and without the interpreter.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core import lanes
from sim.core.prefetch import prefetch
from sim.recommend.base import Recommender, keep_best
from sim.recommend.collaborative import Collaborative, score_preferences
from sim.recommend.content import Content, score_content
from sim.recommend.log import Evidence, Log
from sim.recommend.rates import PANELS
from sim.recommend.social import Social, score_friends

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
NEGLIGIBLE = 1e-12  # variance, relative to the squared mean, that is rounding and not a preference
WORTH_A_THREAD = 40  # persons whose slates are made
_BLOCK = 4096  # scores at a time: they should fit a processor's first cache


class Hybrid(Recommender):
    """Mixes popularity, content, collaborative and social by the scenario's weights.

    A part that knows nothing of a person scores all products the same, and so leaves them to the other parts.
    """

    def __init__(self, shop: Shop) -> None:
        super().__init__(shop)
        self.content, self.collaborative, self.social = Content(shop), Collaborative(shop), Social(shop)

    def train(self, evidence: Evidence) -> None:
        """Train every part that has a weight."""
        products, weights = len(self.shop.products), self.config.weights
        nothing = Log().evidence(products, tick=0, half_life=1.0, click_weight=0.0)
        self.content.popularity = self.popularity
        self.content.train(evidence if weights.content > 0 else nothing)
        self.collaborative.train(evidence if weights.collaborative > 0 else nothing)
        of_popularity, of_content = weights.popularity, weights.content
        if not self.content.tells_persons_apart:
            of_popularity, of_content = of_popularity + of_content, 0.0
        popular = np.zeros_like(self.popularity)
        add_standardised(self.popularity, of_popularity, popular)
        self._evidence = evidence
        self._knowledge = (evidence.history, popular, self.content.knowledge, self.collaborative.knowledge)
        self._weights = (of_content, weights.collaborative, weights.social)
        self._of_strangers = popular.copy()
        if of_content > 0.0:
            nobody, panels, part = np.full(PANELS, -1), np.arange(PANELS), np.empty_like(popular)
            score_content(nobody, panels, evidence.history, self.content.knowledge, part)
            add_standardised(part, of_content, self._of_strangers)

    def scores(self, persons: Array) -> Array:
        """Return the weighted sum."""
        scores = np.empty((len(persons), len(self.shop.products)), np.float32)
        rows = self._evidence.rows(persons)
        _mix(persons, rows, self.panels(persons), *self._knowledge, self.social.knowledge, self._weights, scores)
        return scores

    def _store(self, persons: Array) -> None:
        lanes.share_out(lambda part: self._store_part(persons[part]), len(persons), WORTH_A_THREAD)

    def _store_part(self, persons: Array) -> None:
        strangers, of_strangers, persons, rows, panels = _told_apart(
            persons, self._evidence.row_of, self.shop.people.uid, PANELS
        )
        if strangers.size:  # those of whom nothing is known differ by panels and friends only
            _mix_and_keep_strangers(
                strangers, of_strangers, self._of_strangers, self.social.knowledge, self._weights[2], self.ranked,
                self._stored,
            )  # fmt: skip
        if persons.size:
            _mix_and_keep(
                persons, rows, panels, *self._knowledge, self.social.knowledge, self._weights, self.ranked,
                self._stored,
            )  # fmt: skip


@nb.njit(cache=True, nogil=True)
def _told_apart(persons, row_of, uid, panels):  # type: ignore[no-untyped-def]
    """Split persons into strangers and others.

    Parameters
    ----------
    persons : int64 ndarray, shape (n,)
    row_of : int32 ndarray
        Of :class:`sim.recommend.log.Evidence`.
    uid : uint32 ndarray, shape (people,)
    panels : int
        How many there are.

    Returns
    -------
    strangers, of_strangers : int64 ndarray
        Those without any interaction, and their panels.
    others, rows, of_others : int64 ndarray
        The others, their rows of what the log says, and their panels.
    """
    strangers, others, rows = np.empty_like(persons), np.empty_like(persons), np.empty_like(persons)
    of_strangers, of_others = np.empty_like(persons), np.empty_like(persons)
    s = o = 0
    for person in persons:
        panel = np.int64(uid[person]) % panels
        if person < row_of.size and row_of[person] >= 0:
            others[o], rows[o], of_others[o] = person, row_of[person], panel
            o += 1
        else:
            strangers[s], of_strangers[s] = person, panel
            s += 1
    return strangers[:s], of_strangers[:s], others[:o], rows[:o], of_others[:o]


@nb.njit(cache=True, nogil=True)
def _mix_and_keep(  # type: ignore[no-untyped-def]
    persons, rows, panels, history, popular, content, collaborative, social, weights, ranked, stored
):
    """Store the persons' best products."""
    products = popular.shape[1]
    block = max(1, _BLOCK // products)
    scores = np.empty((block, products), np.float32)
    for start in range(0, persons.size, block):
        some = persons[start : start + block]
        known, of_panel = rows[start : start + block], panels[start : start + block]
        mixed = scores[: some.size]
        _mix(some, known, of_panel, history, popular, content, collaborative, social, weights, mixed)
        keep_best(mixed, ranked, of_panel, some, stored)


@nb.njit(cache=True, nogil=True)
def _mix_and_keep_strangers(persons, panels, of_strangers, social, of_social, ranked, stored):  # type: ignore[no-untyped-def]
    """Store the best products for persons without orders and clicks: by their panel's scores, and by friends."""
    products = of_strangers.shape[1]
    scores, part = np.empty((1, products), np.float32), np.empty((1, products), np.float32)
    indptr, indices, _, recent = social
    for i in range(persons.size):
        if i + 1 < persons.size and persons[i + 1] < indptr.size - 1:  # ask for what the next one's friends bought
            for tie in range(indptr[persons[i + 1]], indptr[persons[i + 1] + 1]):
                prefetch(recent, np.uint32(indices[tie]))
        one = persons[i : i + 1]
        for product in range(products):
            scores[0, product] = of_strangers[panels[i], product]
        if of_social > 0.0:
            score_friends(one, social, part)
            add_standardised(part, of_social, scores)
        keep_best(scores, ranked, panels[i : i + 1], one, stored)


@nb.njit(cache=True, nogil=True)
def _mix(persons, rows, panels, history, popular, content, collaborative, social, weights, scores):  # type: ignore[no-untyped-def]
    """Fill in the weighted sum of the parts' scores; ``popular`` is scaled and weighted already."""
    of_content, of_collaborative, of_social = weights
    part = np.empty_like(scores)
    for i in range(persons.size):
        for product in range(popular.shape[1]):
            scores[i, product] = popular[panels[i], product]
    if of_content > 0.0:
        score_content(rows, panels, history, content, part)
        add_standardised(part, of_content, scores)
    if of_collaborative > 0.0:
        score_preferences(rows, history, collaborative, part)
        add_standardised(part, of_collaborative, scores)
    if of_social > 0.0:
        score_friends(persons, social, part)
        add_standardised(part, of_social, scores)


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
