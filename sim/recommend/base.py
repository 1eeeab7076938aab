"""What every recommender does: keep a log, retrain, store a slate for each member, and show it with some exploration.

A recommender subclasses :class:`Recommender` and implements ``train`` and ``scores``. Ranking, storing, cold starts and
exploration are done here and are the same for all:

- products out of stock at the last retraining are not shown;
- popular is what sells when it is shown (:mod:`~sim.recommend.rates`), by a draw for each panel of persons;
- equal scores are ranked by popularity, so a model gives zeros to persons of whom it knows nothing.

Impressions and orders of visitors who had come for a product, by a link say, tell nothing of how well slates sell, and
are left out of popularity. All places of a slate are looked at alike, so places need no correction.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core import lanes
from sim.core.draws import Stream, philox
from sim.core.prefetch import AHEAD, prefetch
from sim.core.table import smallest_integer
from sim.offers import NONE
from sim.recommend.log import Evidence, Impressions, Log
from sim.recommend.rates import PANELS, sampled

if TYPE_CHECKING:
    from sim.offers import Orders, Visits
    from sim.shop import Shop

Array = npt.NDArray[Any]
UNKNOWN = -2  # in the first place of a stored slate: not yet made
_BLOCK = 1 << 18  # scores that are ranked at a time: they should fit a processor's cache
WORTH_A_THREAD = 2048  # visitors whose slates are looked up
_TO_SPARE = 128  # one part of so many of the stored slates is for persons yet to come


class Recommender:
    """Chooses the products that visitors are shown.

    Parameters
    ----------
    shop : Shop
        The shop it works in. ``fit`` must be called before any slate is asked for.

    Attributes
    ----------
    log : Log
        Orders and clicks.
    impressions : Impressions
        How often each product was shown.
    popularity : ndarray of float32, shape (PANELS, products)
        How well each product sells when shown, by the last retraining's draw for each panel of persons.
    available : ndarray of int32
        Products in stock at the last retraining.
    ranked : ndarray of uint32, shape (PANELS, available)
        Those by popularity.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.config = shop.config.recommendation
        self.log = Log()
        self.impressions = Impressions(len(shop.products))
        self.popularity = np.zeros((PANELS, len(shop.products)), np.float32)
        self.available = np.zeros(0, np.int32)
        self.ranked = np.zeros((PANELS, 0), np.uint32)
        self._looked_elsewhere = np.zeros(0, np.int32)  # visitors of this tick who came for, or searched, a product
        # The largest thing that is kept for a person.
        self._stored = np.zeros((0, self.config.slate), smallest_integer(len(shop.products)))

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
        by_link = _are_among(orders.person, self._looked_elsewhere, len(self.shop.people))
        self.log.append(
            len(orders), person=orders.person, product=orders.product, tick=self.shop.clock.tick, by_link=by_link
        )

    def observe_clicks(self, person: Array, product: Array) -> None:
        """Log clicks of the current tick on shared products; messages about no product (-1) say nothing."""
        about = (product >= 0).nonzero()[0]
        self.log.append(
            about.size, person=person[about], product=product[about], tick=self.shop.clock.tick, is_click=True
        )

    # What the shop asks for.

    def fit(self) -> None:
        """Retrain from the log and store a fresh slate for every member."""
        shop = self.shop
        evidence = self.log.evidence(
            len(shop.products), shop.clock.tick, self._half_life, self.config.click_weight, self.impressions.recent
        )
        self._rank(evidence)
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
            keep_best(self.scores(part), self.ranked, self.panels(part), part, self._stored)

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
        self._make_room()
        slates = self._explored(visits.person)
        if (slates[:, 0] == UNKNOWN).any():
            self._make_missing(visits.person)
            slates = self._explored(visits.person)
        return slates

    def _explored(self, persons: Array) -> Array:
        """Return persons' slates after exploration; some begin with UNKNOWN if any of the stored ones do."""
        shop = self.shop

        def show(part: slice) -> Array:
            slates: Array
            slates, subject = _fetch(self._stored, persons[part], shop.people.uid)
            if not (slates[:, 0] == UNKNOWN).any():
                _explore(
                    slates, subject, self.available, self.config.explore,
                    np.uint32(shop.seed), np.uint32(Stream.EXPLORE), np.uint32(shop.clock.tick),
                )  # fmt: skip
            return slates

        explored: Array = lanes.collect(show, persons.size, WORTH_A_THREAD)
        return explored

    def note_shown(self, visits: Visits, slates: Array, searching: Array) -> None:
        """Count the tick's impressions, and note whose orders slates do not bring.

        Parameters
        ----------
        visits : Visits
        slates : int ndarray, shape (visits, slate)
            As visitors saw them; -1 for empty places.
        searching : int ndarray
            Positions of the visits in which somebody looked for goods themselves.
        """
        left_out = visits.product >= 0
        left_out[searching] = True
        self._looked_elsewhere = visits.person[left_out]
        recent = self.impressions.recent
        recent *= 0.5 ** (1 / self._half_life)  # visitors come once a tick
        _count_shown(slates, left_out, recent)

    def panels(self, persons: Array) -> Array:
        """Return the panel of each person, int64: whose draw of what is popular they are shown."""
        panels: Array = self.shop.people.uid[persons].astype(np.int64) % PANELS
        return panels

    @property
    def _half_life(self) -> float:
        """Ticks after which orders and impressions count half."""
        return self.config.half_life / self.shop.clock.tick_hours

    def _rank(self, evidence: Evidence) -> None:
        """Note which products can be had, by number and by popularity."""
        self.available = np.flatnonzero(self.shop.products.stock > 0).astype(np.int32)
        self.popularity = sampled(evidence, self.shop.seed, self.shop.clock.tick)
        order = np.argsort(-self.popularity[:, self.available], axis=1, kind="stable")
        # Unsigned: numba then needs not ask whether an index counts from the end.
        self.ranked = self.available[order].astype(np.uint32)

    def _blank(self, rows: int) -> Array:
        return np.full((rows, self.config.slate), UNKNOWN, self._stored.dtype)

    def _make_room(self) -> None:
        missing = len(self.shop.people) - len(self._stored)
        if missing > 0:  # and some to spare, as accounts are opened a few at a time
            self._stored = np.concatenate([self._stored, self._blank(missing + len(self._stored) // _TO_SPARE)])

    def _make_missing(self, persons: Array) -> None:
        self._make_room()
        unknown = _without_slate(self._stored, persons)
        if unknown.size:
            self.fit_new(unknown)


@nb.njit(cache=True)
def _are_among(persons, others, people):  # type: ignore[no-untyped-def]
    """Return which of some persons (rows, of so many people) are among others; bits fit the fastest cache."""
    is_other, found = np.zeros((people >> 3) + 1, np.uint8), np.empty(persons.size, np.bool_)
    for i in others:
        is_other[i >> 3] |= np.uint8(1 << (i & 7))
    for n in range(persons.size):
        found[n] = (is_other[persons[n] >> 3] >> np.uint8(persons[n] & 7)) & 1
    return found


@nb.njit(cache=True)
def _without_slate(stored, persons):  # type: ignore[no-untyped-def]
    """Return the persons of whom no slate is stored."""
    unknown = np.empty(persons.size, persons.dtype)
    n = 0
    for i in persons:
        if stored[i, 0] == UNKNOWN:
            unknown[n] = i
            n += 1
    return unknown[:n].copy()


@nb.njit(cache=True, nogil=True)
def keep_best(scores, ranked, panels, persons, stored):  # type: ignore[no-untyped-def]
    """Write the best-scored products into the persons' stored slates; among equals the earlier in the ranking of the
    person's panel wins.
    """
    places = min(stored.shape[1], ranked.shape[1])
    best = np.empty(places, np.float32)
    for i in range(persons.size):
        row, slate, in_order = scores[i], stored[persons[i]], ranked[panels[i]]
        best[:] = -np.inf
        slate[:] = NONE
        lowest = np.float32(-np.inf)
        for product in in_order:
            score = row[product]
            if score > lowest:
                place = places - 1
                while place > 0 and best[place - 1] < score:
                    best[place], slate[place] = best[place - 1], slate[place - 1]
                    place -= 1
                best[place], slate[place] = score, product
                lowest = best[places - 1]


@nb.njit(cache=True, nogil=True)
def _fetch(stored, persons, uid):  # type: ignore[no-untyped-def]
    """Return the stored slates of persons, and the persons' uids."""
    visits, places = persons.size, stored.shape[1]
    slates = np.empty((visits, places), np.int32)
    subject = np.empty(visits, np.uint32)
    for i in range(visits):
        later = np.uint32(persons[min(i + AHEAD, visits - 1)])
        prefetch(uid, later)
        prefetch(stored, later)
        person = np.uint32(persons[i])
        subject[i] = uid[person]
        for place in range(places):
            slates[i, place] = stored[person, place]
    return slates, subject


@nb.njit(cache=True, nogil=True)
def _explore(slates, subject, available, chance, seed, stream, tick):  # type: ignore[no-untyped-def]
    """Give some places of the slates, changed in place, to products drawn at random; ``subject`` are uids."""
    visits, places = slates.shape
    if chance == 0.0 or available.size == 0:
        return
    below = nb.uint64(math.ceil(chance * 2.0**32 - 0.5))  # of a word, if its uniform is below the chance
    luck, who, word = np.empty((4, visits), np.uint32), np.empty(visits + 1, np.uint32), np.empty(visits, np.uint32)
    for first in range(0, places, 4):
        # One address gives the luck of four places; the few that explore have an address each. Loops of draws alone,
        # without branches, are several times as fast.
        for i in range(visits):
            luck[0, i], luck[1, i], luck[2, i], luck[3, i] = philox(seed, stream, subject[i], first // 4, tick, 0)
        for place in range(first, min(first + 4, places)):
            explore = 0
            for i in range(visits):
                who[explore] = i
                explore += nb.uint64(luck[place - first, i]) < below
            for n in range(explore):
                word[n] = philox(seed, stream, subject[who[n]], place, tick, 1)[0]
            for n in range(explore):
                drawn = available[(nb.uint64(word[n]) * nb.uint64(available.size)) >> nb.uint64(32)]
                if not _contains(slates[who[n]], drawn):
                    slates[who[n], place] = drawn


@nb.njit(cache=True)
def _count_shown(slates, left_out, shown):  # type: ignore[no-untyped-def]
    """Count each product of each slate as shown, but for the visits left out."""
    for visit in range(slates.shape[0]):
        if not left_out[visit]:
            for product in slates[visit]:
                if product >= 0:
                    shown[product] += 1.0


@nb.njit(cache=True)
def _contains(slate, product):  # type: ignore[no-untyped-def]
    found = False
    for shown in slate:  # to the end, as a guess of where to stop would mostly be wrong
        found |= shown == product
    return found
