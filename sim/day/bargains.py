"""Bargain hunting within the rules (薅羊毛): deal-prone visitors look through what a coupon of theirs can be used for.

Whoever has a coupon with a threshold and is deal-prone gives ``people.deal_proneness.browsing`` of the places of their
slate to goods that just reach it, as shops offer them for filling up (凑单): worth, in the units that they would buy,
up to a third more than the threshold. What they take of it is a choice like any other (:mod:`agents.consumers`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.draws import Stream, u01
from sim.offers import Source, Visits

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
_BROWSE = np.uint32(Stream.BROWSE)
FURTHEST = 4 / 3  # of the threshold; with a team price of a quarter off, that is what still reaches it


def browse(shop: Shop, visits: Visits, slates: Array) -> Array:
    """Let deal-prone visitors put goods that reach a threshold into the last places of their slates.

    Parameters
    ----------
    shop : Shop
    visits : Visits
        Of length V.
    slates : int32 ndarray, shape (V, K)
        Changed in place.

    Returns
    -------
    int64 ndarray
        Positions of the visits in which they did.
    """
    places = round(shop.config.people.deal_proneness.browsing * slates.shape[1])
    least = _least_worth(shop, visits)
    rows = np.flatnonzero(least)
    if places == 0 or rows.size == 0:
        return rows[:0]
    price = shop.products.price
    in_stock = np.flatnonzero(shop.products.stock > 0)
    dearer = in_stock[np.argsort(price[in_stock], kind="stable")]
    uid = shop.people.uid[visits.person[rows]]
    _fill(
        np.uint32(shop.seed), np.uint32(shop.clock.tick), rows, uid, least[rows] / visits.quantity[rows],
        dearer.astype(np.int32), price[dearer], slates.shape[1] - places, slates,
    )  # fmt: skip
    return rows


def _least_worth(shop: Shop, visits: Visits) -> Array:
    """Return what an order must be worth for each visitor to profit, fen; 0 for those who do not care."""
    least = np.zeros(len(visits), np.int64)
    hunts = np.flatnonzero(shop.people.deal_prone[visits.person] & (visits.source != Source.RING))
    if hunts.size:
        for scheme in shop.schemes:
            worth = scheme.least_worth(visits.person[hunts]) if scheme.is_open else None
            if worth is not None:
                least[hunts] = np.maximum(least[hunts], worth)
    return least


@nb.njit(cache=True)
def _fill(seed, tick, rows, uid, least, products, price, first, slates):  # type: ignore[no-untyped-def]
    """Fill places of slates from ``first`` on with products that cost at least ``least``, and not much more.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
        Of the slates.
    uid : uint32 ndarray, shape (n,)
    least : float64 ndarray, shape (n,)
        Fen a unit.
    products, price : ndarray, shape (m,)
        In ascending order of the price.
    """
    for n in range(rows.size):
        slate = slates[rows[n]]
        for place in range(first, slate.size):
            u = u01(seed, _BROWSE, uid[n], place, tick, 0)
            at = np.searchsorted(price, least[n] * FURTHEST**u)
            if at < products.size and not (slate == products[at]).any():
                slate[place] = products[at]
