"""What every recommender must keep, as tests that the author of a plug-in runs on their own.

::

    class TestMine(RecommenderContract):
        model = "mine"          # the name under which it is registered

pytest finds the tests by inheritance; each takes a second or so.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from sim import Scenario, Shop
from sim.core.graph import Graph
from sim.offers import NONE, Source, Visits
from sim.people import Status

Array = npt.NDArray[Any]
_PERSONS, _PRODUCTS, _SLATE = 200, 30, 6
_HIDDEN = {
    "people": ("taste", "intercept", "price_sensitivity", "deal_prone", "conformity", "trust", "fake", "ring"),
    "products": ("topic", "quality"),
}


class RecommenderContract:
    """Tests of a recommender; subclass it and name the ``model``.

    Attributes
    ----------
    model : str
        As in ``recommendation.model`` of a scenario file.
    settings : dict
        Further keys of ``recommendation``.
    """

    model: str
    settings: ClassVar[dict[str, Any]] = {}

    def shop(self, seed: int = 1, graph: Graph | None = None) -> Shop:
        """Return a small shop, just opened, in which most have bought before."""
        values = {
            "horizon": "6d",
            "tick": "1d",
            "people": {
                "size": _PERSONS,
                "members_at_start": "80%",
                "network": {"kind": "erdos_renyi", "mean_degree": 6},
            },
            "demand": {"rate": {"shape": 1.0, "mean": 1.0}, "dropout": "none", "conversion": "20%"},
            "catalog": {"products": _PRODUCTS, "merchants": 4},
            "recommendation": {"model": self.model, "slate": _SLATE, "refresh": "2d", "explore": 0, **self.settings},
        }
        return Shop(Scenario.from_dict(values), rng=seed, graph=graph)

    def test_slates_hold_distinct_products_of_the_catalogue(self) -> None:
        """Each row has ``slate`` places, -1 for those that stay empty."""
        shop = self.shop()
        slates = shop.recommender.slates(_visits(np.arange(_PERSONS)))
        assert slates.shape == (_PERSONS, _SLATE), "one row a visit, one column a place"
        assert slates.dtype == np.int32
        assert slates.min() >= NONE and slates.max() < _PRODUCTS
        ordered = np.sort(slates, axis=1)
        assert ((np.diff(ordered, axis=1) > 0) | (ordered[:, 1:] == NONE)).all(), "no product stands twice in a slate"

    def test_what_is_out_of_stock_is_not_shown_after_retraining(self) -> None:
        """A retraining looks at the stock."""
        shop = self.shop()
        shop.products.stock[::3] = 0
        shop.recommender.fit()
        shown = shop.recommender.slates(_visits(np.arange(_PERSONS)))
        assert (shop.products.stock[shown[shown >= 0]] > 0).all()

    def test_slates_do_not_depend_on_what_a_platform_cannot_know(self) -> None:
        """True tastes, topics, quality and fraud labels are nobody's to read."""
        honest, blind = self.shop(), self.shop()
        for table, names in _HIDDEN.items():
            for name in names:
                column = getattr(blind, table)[name]
                column[:] = True if column.dtype == bool else 7
        for shop in (honest, blind):
            shop.recommender.fit()
        assert np.array_equal(_stored(honest), _stored(blind)), "slates changed with what is hidden"

    def test_slates_do_not_depend_on_who_else_is_asked_about(self) -> None:
        """Persons may come alone or in any company, in any order."""
        together = _stored(self.shop())
        alone = self.shop()
        some = np.arange(_PERSONS)[::-7]
        assert np.array_equal(alone.recommender.stored(some), together[some])

    def test_one_more_isolated_person_changes_no_other_slate(self) -> None:
        """Draws are addresses: nothing depends on how many others there are."""
        graph = self.shop().graph
        crowd = next(
            shop
            for shop in (self.shop(seed, graph.with_isolated(1)) for seed in range(1, 100))
            if shop.people.status[_PERSONS] == Status.PROSPECT
        )
        alone = self.shop(crowd.seed, graph)
        assert np.array_equal(_stored(crowd)[:_PERSONS], _stored(alone))

    def test_a_run_retrains_and_can_be_repeated(self) -> None:
        """The same seed gives the same run; new orders are learnt from."""
        first, second = self.shop(), self.shop()
        assert first.run().metrics().equals(second.run().metrics())
        assert np.array_equal(_stored(first), _stored(second))
        assert len(first.book) > 0


def _visits(persons: Array) -> Visits:
    persons = persons.astype(np.int32)
    none = np.full(persons.size, NONE, np.int32)
    return Visits(persons, np.full(persons.size, Source.OWN, np.int8), none, none, none, none, none + 2)


def _stored(shop: Shop) -> Array:
    return shop.recommender.stored(np.arange(len(shop.people)))
