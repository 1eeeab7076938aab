"""Fulfilment: how many parcels leave in a batch and on a day."""

from __future__ import annotations

import numpy as np
import pytest

from sim import Scenario, Shop
from sim.core.graph import Graph
from tests.worlds import merged

BUSY = {
    "name": "busy",
    "horizon": "12d",
    "tick": "1h",
    "people": {"size": 400, "members_at_start": 1.0, "tenure": "0d"},
    "demand": {"rate": {"shape": 2.0, "mean": 3.0}, "dropout": "none", "conversion": 0.2},
    "catalog": {"products": 12, "merchants": 2, "categories": 2},
    "recommendation": {"model": "random", "slate": 4},
    "operations": {"return_rate": 0},
    "sharing": {"organic": 0},
}


@pytest.mark.parametrize(
    ("capacity", "every"), [(10, "1h"), (1, "6h"), (3, "6h"), (40, "1h"), (37, "5h"), (10, "90min"), (25, "24h")]
)
def test_as_many_parcels_leave_a_day_as_there_is_capacity_for(capacity: int, every: str) -> None:
    sections = {"operations": {"capacity": capacity, "dispatch_every": every}}
    strangers = Graph.from_edges([], [], persons=400)
    shop = Shop(Scenario.from_dict(merged(BUSY, sections)), rng=1, graph=strangers).run()
    shipped = shop.book.shipped[shop.book.shipped >= 0]
    assert len(shop.book) > 12 * capacity  # more than can leave
    a_day = np.bincount(shipped // 24, minlength=12)
    batch = int(np.ceil(capacity * {"1h": 1, "90min": 1.5, "5h": 5, "6h": 6, "24h": 24}[every] / 24))
    assert (np.abs(a_day[2:].cumsum() - capacity * np.arange(1, 11)) <= batch).all()
    assert a_day.max() <= capacity + batch * (24 % {"5h": 5}.get(every, 24) != 0)
