"""What every recommender does: keep a log, retrain, store a slate for each member, and show it with some exploration.

A recommender subclasses :class:`Recommender` and implements ``train`` and ``scores``. Ranking, storing, cold starts and
exploration are done here and are the same for all:

- products out of stock at the last retraining are not shown;
- equal scores are ranked by popularity, so a model gives zeros to persons of whom it knows nothing;
- products that nobody bought are ranked by their smoothed rate of orders an impression, so those shown least come
  first; what is equal even then is ranked by an addressed draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core import draws
from sim.core.draws import Stream, philox, unit
from sim.offers import NONE
from sim.recommend.log import Evidence, Log

if TYPE_CHECKING:
    from sim.offers import Orders, Visits
    from sim.shop import Shop

Array = npt.NDArray[Any]
UNKNOWN = -2  # in the first place of a stored slate: not yet made
_BLOCK = 1 << 18  # scores that are ranked at a time: they should fit a processor's cache


class Recommender:
    """Chooses the products that visitors are shown.

    Parameters
    ----------
    shop : Shop
        The shop it works in. ``fit`` must be called before any slate is asked for.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.config = shop.config.recommendation
        self.log = Log()
        self.available = np.zeros(0, np.int32)
        self.ranked = np.zeros(0, np.uint32)
        self._stored = np.zeros((0, self.config.slate), _smallest_integer(len(shop.products)))

    # What a model implements.

    def train(self, evidence: Evidence) -> None:
        """Learn from the log."""
        raise NotImplementedError

    def scores(self, persons: Array) -> Array:
        """Return how well each product suits each person.

        Parameters
        ----------
        persons : ndarray of int

        Returns
        -------
        ndarray of float32, shape (persons, products)
            Comparable within a row only; all equal where nothing is known.
        """
        raise NotImplementedError

    # What the shop tells it.

    def observe_history(self, person: Array, product: Array) -> None:
        """Log orders from before the start."""
        self.log.append(len(person), person=person, product=product, tick=-1)

    def observe_orders(self, orders: Orders) -> None:
        """Log accepted orders of the current tick."""
        self.log.append(len(orders), person=orders.person, product=orders.product, tick=self.shop.clock.tick)

    def observe_clicks(self, person: Array, product: Array) -> None:
        """Log clicks of the current tick on shared products; messages about no product (-1) say nothing."""
        about = np.asarray(product) >= 0
        self.log.append(
            int(about.sum()), person=person[about], product=product[about], tick=self.shop.clock.tick, is_click=True
        )

    # What the shop asks for.

    def fit(self) -> None:
        """Retrain from the log and store a fresh slate for every member."""
        shop = self.shop
        evidence = self.log.evidence(
            len(shop.products), shop.clock.tick, self.config.half_life / shop.clock.tick_hours, self.config.click_weight
        )
        self._rank(evidence.orders)
        self.train(evidence)
        self._stored = self._blank(len(shop.people))
        self.fit_new(np.flatnonzero(shop.people.is_member))

    def fit_new(self, persons: Array) -> None:
        """Store slates for persons from what was learnt at the last retraining: those who just signed up, say."""
        self._make_room()
        self._store(np.asarray(persons, np.int64))

    def _store(self, persons: Array) -> None:
        """Rank products for the persons and store the best; a model may know a faster way."""
        block = max(1, _BLOCK // len(self.shop.products))
        for start in range(0, len(persons), block):
            part = persons[start : start + block]
            keep_best(self.scores(part), self.ranked, part, self._stored)

    def stored(self, persons: Array) -> Array:
        """Return persons' slates before exploration, int32 (persons, slate), -1 for empty places."""
        self._make_missing(persons)
        return self._stored[persons].astype(np.int32)

    def slates(self, visits: Visits) -> Array:
        """Return what visitors are shown.

        Parameters
        ----------
        visits : Visits

        Returns
        -------
        ndarray of int32, shape (visits, slate)
            Products, best first, none twice in a row; -1 for empty places. Each place of the stored slate is replaced
            with the chance ``explore`` by a product drawn uniformly, unless that product is already in the slate.
        """
        self._make_missing(visits.person)
        slates: Array = _explore(
            self._stored, visits.person, self.shop.people.uid, self.available, self.config.explore,
            np.uint32(self.shop.seed), np.uint32(Stream.EXPLORE), np.uint32(self.shop.clock.tick),
        )  # fmt: skip
        return slates

    def _rank(self, orders: Array) -> None:
        """Note which products can be had, by number and by popularity."""
        products = self.shop.products
        self.available = np.flatnonzero(products.stock > 0).astype(np.int32)
        # No orders in v impressions, smoothed by m impressions at the common rate r, are a rate of r m / (v + m): it
        # falls with v, whatever m and r. Of products that were bought, the log says more than the impressions.
        impressions = np.where(orders > 0, 0, products.views)
        tie_break = draws.uniform(self.shop.seed, Stream.SLATE, 0, self.available, k=1)
        keys = (tie_break, impressions[self.available], -orders[self.available])
        # Unsigned: numba then needs not ask whether an index counts from the end.
        self.ranked = self.available[np.lexsort(keys)].astype(np.uint32)

    def _blank(self, rows: int) -> Array:
        return np.full((rows, self.config.slate), UNKNOWN, self._stored.dtype)

    def _make_room(self) -> None:
        missing = len(self.shop.people) - len(self._stored)
        if missing > 0:
            self._stored = np.concatenate([self._stored, self._blank(missing)])

    def _make_missing(self, persons: Array) -> None:
        self._make_room()
        unknown = persons[self._stored[persons, 0] == UNKNOWN]
        if unknown.size:
            self.fit_new(unknown)


def _smallest_integer(products: int) -> type[np.signedinteger[Any]]:
    """Return the type that stored slates need: they are the largest thing a recommender keeps for a person."""
    return np.int16 if products <= np.iinfo(np.int16).max else np.int32


@nb.njit(cache=True, nogil=True)
def keep_best(scores, ranked, persons, stored):  # type: ignore[no-untyped-def]
    """Write the best-scored products into the persons' stored slates; among equals the earlier in ``ranked`` wins."""
    places = min(stored.shape[1], ranked.size)
    best = np.empty(places, np.float32)
    for i in range(persons.size):
        row, slate = scores[i], stored[persons[i]]
        best[:] = -np.inf
        slate[:] = NONE
        lowest = np.float32(-np.inf)
        for product in ranked:
            score = row[product]
            if score > lowest:
                place = places - 1
                while place > 0 and best[place - 1] < score:
                    best[place], slate[place] = best[place - 1], slate[place - 1]
                    place -= 1
                best[place], slate[place] = score, product
                lowest = best[places - 1]


@nb.njit(cache=True)
def _explore(stored, persons, uid, available, chance, seed, stream, tick):  # type: ignore[no-untyped-def]
    """Return the stored slates with some places given to products drawn at random."""
    visits, places = persons.size, stored.shape[1]
    slates = np.empty((visits, places), np.int32)
    subject = np.empty(visits, np.uint32)
    for i in range(visits):
        subject[i] = uid[persons[i]]
        for place in range(places):
            slates[i, place] = stored[persons[i], place]
    if chance == 0.0 or available.size == 0:
        return slates
    luck = np.empty((4, visits), np.uint32)
    for first in range(0, places, 4):
        # One address gives the luck of four places; the few that explore have an address each. A loop of draws alone
        # is several times as fast as one with branches.
        for i in range(visits):
            luck[0, i], luck[1, i], luck[2, i], luck[3, i] = philox(seed, stream, subject[i], first // 4, tick, 0)
        for place in range(first, min(first + 4, places)):
            for i in range(visits):
                if unit(luck[place - first, i]) < chance:
                    word = philox(seed, stream, subject[i], place, tick, 1)[0]
                    drawn = available[(nb.uint64(word) * nb.uint64(available.size)) >> nb.uint64(32)]
                    if not _contains(slates[i], drawn):
                        slates[i, place] = drawn
    return slates


@nb.njit(cache=True)
def _contains(slate, product):  # type: ignore[no-untyped-def]
    found = False
    for shown in slate:  # to the end, as a guess of where to stop would mostly be wrong
        found |= shown == product
    return found
