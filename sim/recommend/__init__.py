"""Recommenders, one file each, and the registry that scenario files choose from.

Read :mod:`~sim.recommend.log` (what a platform knows), :mod:`~sim.recommend.base` (what every recommender does), then
any model. Third parties register a recommender under the entry point group ``shopsim.recommenders``. Models are
imported when they are chosen: the collaborative one brings a large library with it.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.recommend.base import Recommender
    from sim.shop import Shop

__all__ = ["create", "registry"]

GROUP = "shopsim.recommenders"
_SHIPPED = {
    "popularity": "sim.recommend.popularity:Popularity",
    "content": "sim.recommend.content:Content",
    "collaborative": "sim.recommend.collaborative:Collaborative",
    "social": "sim.recommend.social:Social",
    "hybrid": "sim.recommend.hybrid:Hybrid",
    "random": "sim.recommend.uniform:Uniform",
}


@cache
def registry() -> dict[str, EntryPoint]:
    """Return the recommenders by name, not yet imported: the shipped ones, then those of entry points.

    Raises
    ------
    ValueError
        If two recommenders have the same name.
    """
    found: dict[str, EntryPoint] = {}
    for point in [*(EntryPoint(name, value, GROUP) for name, value in _SHIPPED.items()), *entry_points(group=GROUP)]:
        if point.name in found:
            raise ValueError(f"two recommenders are called {point.name!r}: {found[point.name].value}, {point.value}")
        found[point.name] = point
    return found


def create(shop: Shop) -> Recommender:
    """Return the recommender that the shop's scenario asks for, not yet fitted."""
    recommender: Recommender = registry()[shop.config.recommendation.model].load()(shop)
    return recommender
