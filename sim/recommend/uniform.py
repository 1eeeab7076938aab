"""Random: each visit is shown products drawn uniformly. The yardstick for every other recommender.

References
----------
Bentley & Floyd (1987), "Programming pearls: a sample of brilliance" (sampling without replacement, one draw an item).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.draws import Stream, philox
from sim.offers import NONE
from sim.recommend.base import Recommender

if TYPE_CHECKING:
    from sim.offers import Visits

Array = npt.NDArray[Any]


class Uniform(Recommender):
    """Shows products in stock at the last ``fit``, all alike; keeps no slates, and has nothing to explore."""

    def fit(self) -> None:
        """Note what is in stock."""
        self.available = np.flatnonzero(self.shop.products.stock > 0).astype(np.int32)

    def fit_new(self, persons: Array) -> None:
        """Do nothing: slates are drawn at each visit."""

    def scores(self, persons: Array) -> Array:
        """Return zeros."""
        return np.zeros((len(persons), len(self.shop.products)), np.float32)

    def stored(self, persons: Array) -> Array:
        """Return the slates that the persons would see in the current tick."""
        slates: Array = _sample(
            persons, self.shop.people.uid, self.available, self.config.slate,
            np.uint32(self.shop.seed), np.uint32(Stream.SLATE), np.uint32(self.shop.clock.tick),
        )  # fmt: skip
        return slates

    def slates(self, visits: Visits) -> Array:
        """Return a fresh draw for each visit."""
        return self.stored(visits.person)


@nb.njit(cache=True)
def _sample(persons, uid, available, places, seed, stream, tick):  # type: ignore[no-untyped-def]
    """Return for each person distinct products, every set of them equally likely."""
    slates = np.full((persons.size, places), NONE, np.int32)
    count = min(places, available.size)
    for i in range(persons.size):
        for place in range(count):
            last = available.size - count + place
            word = philox(seed, stream, uid[persons[i]], place, tick, 0)[0]
            drawn = available[(nb.uint64(word) * nb.uint64(last + 1)) >> nb.uint64(32)]
            for other in range(place):
                if slates[i, other] == drawn:
                    drawn = available[last]
                    break
            slates[i, place] = drawn
    return slates
