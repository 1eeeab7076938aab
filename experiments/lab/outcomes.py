"""What an experiment counts, by person, by day and by merchant, and what the platform knew of a person before.

Only real persons count: those of the network, and what they buy. Fake accounts are nobody whom a scheme could persuade.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.lab.exposure import Neighbours

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
FEN_PER_YUAN = 100
COVARIATES = {
    "is_member": "has signed up, and is still there",
    "had_left": "has signed up, and left",
    "orders_before": "orders so far",
    "tenure_days": "days since signing up, 0 for who has not",
    "idle_days": "days since the last order; since long before the start for who has none",
    "degree": "ties",
    "friends_members": "share of friends who are members",
    "friends_orders": "orders so far, mean of friends",
    "community_size": "persons in the community (Leiden)",
}
"""What the platform could log of a person before the experiment, and what it means."""
NEVER_IDLE = 365.0  # days that stand for never


def covariates(shop: Shop) -> pd.DataFrame:
    """Return :data:`COVARIATES` of every person of the network at this moment."""
    from sim.people import Status

    people, clock, persons = shop.people, shop.clock, shop.graph.persons
    status, joined = people.status[:persons], people.joined[:persons].astype(np.float64)
    orders, last = people.orders[:persons].astype(np.float64), people.last_order[:persons].astype(np.float64)
    around = Neighbours(shop.graph)
    known = status != Status.PROSPECT
    community = shop.graph.communities()
    member = status == Status.MEMBER
    return pd.DataFrame(
        {
            "is_member": member.astype(np.float64),
            "had_left": (status == Status.CHURNED).astype(np.float64),
            "orders_before": orders,
            "tenure_days": np.where(known, (clock.tick - joined) * clock.days_a_tick, 0.0),
            "idle_days": np.minimum(np.where(orders > 0, (clock.tick - last) * clock.days_a_tick, np.inf), NEVER_IDLE),
            "degree": around.degree.astype(np.float64),
            "friends_members": around.mean(member),
            "friends_orders": around.mean(orders),
            "community_size": np.bincount(community)[community].astype(np.float64),
        }
    )


class Counts:
    """What real persons have done since a tick.

    Parameters
    ----------
    shop : Shop
        At its end.
    since : int
        Tick.
    """

    def __init__(self, shop: Shop, since: int) -> None:
        from sim.orders import OrderStatus
        from sim.people import Status

        self._shop = shop
        self._persons = shop.graph.persons
        book, people = shop.book, shop.people
        self._orders = np.flatnonzero(
            (book.status != OrderStatus.REFUNDED) & (book.tick >= since) & (book.person < self._persons)
        )
        joined = people.joined[: self._persons]
        self._joined = np.flatnonzero((joined >= since) & (people.status[: self._persons] != Status.PROSPECT))

    def by_person(self) -> dict[str, Array]:
        """Return every outcome of every person, shape (persons,) each."""
        book, size = self._shop.book, self._persons
        buyer = book.person[self._orders]
        orders = np.bincount(buyer, minlength=size).astype(np.float64)
        inviter = self._shop.people.inviter[self._joined]
        inviter = inviter[(inviter >= 0) & (inviter < size)]
        return {
            "joined": np.bincount(self._joined, minlength=size).astype(np.float64),
            "brought": np.bincount(inviter, minlength=size).astype(np.float64),
            "bought": (orders > 0).astype(np.float64),
            "orders": orders,
            "gmv": np.bincount(buyer, book.pay[self._orders] / FEN_PER_YUAN, size),
        }

    def by_day(self) -> dict[str, Array]:
        """Return the outcomes that add up over days, shape (days,) each."""
        shop, clock = self._shop, self._shop.clock
        of_order = shop.book.tick[self._orders] // clock.ticks_a_day
        of_joining = shop.people.joined[self._joined] // clock.ticks_a_day
        inviter = shop.people.inviter[self._joined]
        by_message = (inviter >= 0) & (inviter < self._persons)
        return {
            "joined": np.bincount(of_joining, minlength=clock.days).astype(np.float64),
            "brought": np.bincount(of_joining[by_message], minlength=clock.days).astype(np.float64),
            "orders": np.bincount(of_order, minlength=clock.days).astype(np.float64),
            "gmv": np.bincount(of_order, shop.book.pay[self._orders] / FEN_PER_YUAN, clock.days),
        }

    def by_merchant(self) -> dict[str, Array]:
        """Return what merchants have a share in, shape (merchants,) each."""
        shop, merchants = self._shop, self._shop.config.catalog.merchants
        seller = shop.book.merchant[self._orders]
        return {
            "orders": np.bincount(seller, minlength=merchants).astype(np.float64),
            "gmv": np.bincount(seller, shop.book.pay[self._orders] / FEN_PER_YUAN, merchants),
        }
