"""A randomised experiment inside the shop: on whom, where and when some schemes are tried.

The laboratory (:mod:`experiments.lab`) draws an :class:`Assignment` and lays it on the schemes under test; without one
nothing here is ever called. What a person's treatment decides:

- coupons: who may receive one, by whatever way, so also who can help with a red packet;
- group-buy: who sees and may take a team option, an option to join a friend's team included;
- referral: who may promote. The bonus of an invited person is part of their inviter's invitation, so it follows the
  inviter's treatment, and so do commissions; the invited person's own treatment has no say in them.

What was granted under treatment stays good: a coupon is honoured and a team keeps its deadline when a switchback turns
the scheme off, as they are when a scheme ends. A scheme of one's own asks :meth:`sim.schemes.Scheme.admits` wherever
it hands something out; options and prices that it offers to others are taken back by the shop in any case.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.core import draws
from sim.core.draws import Stream
from sim.offers import ShareKind, Shares

if TYPE_CHECKING:
    from sim.people import People
    from sim.schemes.base import Scheme
    from sim.shop import Shop

Array = npt.NDArray[Any]


class Assignment:
    """Who is treated: persons, the products of merchants, and ticks; None stands for all.

    Parameters
    ----------
    persons : bool ndarray, shape (persons at the start,), optional
    merchants : bool ndarray, shape (merchants,), optional
    ticks : bool ndarray, shape (ticks,), optional
    share : float
        Chance that an account which is opened later (a fake one) is treated: no coin was tossed for it at the start.
    seed : int
        Of these later tosses.
    """

    def __init__(
        self,
        *,
        persons: Array | None = None,
        merchants: Array | None = None,
        ticks: Array | None = None,
        share: float = 1.0,
        seed: int = 0,
    ) -> None:
        self._persons = None if persons is None else np.asarray(persons, bool).copy()
        self.merchants = None if merchants is None else np.asarray(merchants, bool)
        self.ticks = None if ticks is None else np.asarray(ticks, bool)
        self._share = share
        self._seed = seed

    def lay_on(self, shop: Shop, schemes: Collection[str]) -> None:
        """Restrict some schemes of a shop, by name, from now on.

        Raises
        ------
        ValueError
            If the shop has no scheme of that name, or a mask is not as long as what it is about.
        """
        if missing := set(schemes) - {scheme.name for scheme in shop.schemes}:
            raise ValueError(f"there is no scheme {min(missing)!r}; there are {[s.name for s in shop.schemes]}.")
        for mask, least, what in (
            (self._persons, shop.graph.persons, "persons"),
            (self.merchants, shop.config.catalog.merchants, "merchants"),
            (self.ticks, shop.clock.horizon, "ticks"),
        ):
            if mask is not None and mask.size < least:
                raise ValueError(f"{what} must be a mask of {least} {what}. Got {mask.size}.")
        for scheme in shop.schemes:
            if scheme.name in schemes:
                scheme.assignment = self

    def runs(self, tick: int) -> bool:
        """Whether the schemes are on in a tick."""
        return self.ticks is None or bool(self.ticks[tick])

    def has(self, people: People, persons: Array) -> Array:
        """Return a mask of the persons (rows of the people) who are treated."""
        if self._persons is None:
            return np.ones(persons.shape, bool)
        late = len(people) - self._persons.size
        if late > 0:
            u = draws.uniform(self._seed, Stream.ASSIGNMENT, people.uid[-late:])
            self._persons = np.concatenate([self._persons, u < self._share])
        treated: Array = self._persons[persons]
        return treated

    def bars(self, shop: Shop, persons: Array, products: Array) -> Array:
        """Return a mask of the options that are closed to their visitors.

        Parameters
        ----------
        shop : Shop
        persons : int ndarray, shape (V,)
        products : int ndarray, shape (V, W)
        """
        barred = np.broadcast_to(~self.has(shop.people, persons)[:, None], products.shape)
        return barred if self.merchants is None else barred | ~self.merchants[shop.products.merchant[products]]


def withhold(schemes: Collection[Scheme], messages: Shares) -> None:
    """Take out of messages what schemes under test promise recipients who would not get it."""
    for scheme in schemes:
        if scheme.assignment is None or scheme.gift_follows == "sharer" or not scheme.is_open:
            continue
        excluded = ~scheme.admits(messages.recipient)
        for kind in ShareKind:
            rows = np.flatnonzero(excluded & (messages.kind == kind))
            if rows.size:
                messages.gift[rows] -= scheme.gift(messages.sharer[rows], kind)
