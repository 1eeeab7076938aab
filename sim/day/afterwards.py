"""After the orders of a tick: who tells whom, and what falls due for people.

Each function is a stage of :meth:`sim.shop.Shop.step`, which binds them as methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents import consumers, sharers
from sim.core import draws
from sim.core.draws import Stream
from sim.offers import (
    NONE,
    Orders,
    ShareKind,
    Visits,
    first_of_each,
)
from sim.orders import OrderStatus
from sim.people import RECENT, Status, shift

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]


def share(shop: Shop, visits: Visits, orders: Orders, talkers: Array) -> None:
    """Let buyers, visitors, newcomers and talkers pass something on, each person at most once."""
    sharing, people, feed = shop.config.sharing, shop.people, shop.feed
    if len(visits) + talkers.size == 0:
        return
    buyers = len(orders)
    person, idle = sharers.with_an_occasion(orders.person, visits.person, talkers, len(people))
    rest = person[buyers:]
    invitation = feed.rewards(rest, ShareKind.INVITE)
    kind, chance = sharers.occasions(
        np.uint32(shop.seed), np.uint32(shop.clock.tick), person, idle, _calls(shop, orders.person), orders.ref,
        invitation, people.uid, people.joined, sharing.reward_weight, sharing.team, sharing.after_order,
        sharing.on_sign_up, sharing.per_visit,
    )  # fmt: skip
    reward = np.concatenate([np.zeros(buyers), invitation])
    for what in (ShareKind.PRODUCT, ShareKind.TEAM):
        rows = np.flatnonzero(kind == what)
        reward[rows] = feed.rewards(person[rows], what)
    taken = feed.takers(person, kind, reward, chance)
    if taken.size == 0:
        return
    who, what, bought = person[taken], kind[taken], taken < buyers
    product, team = people.recent[who, 0], np.full(taken.size, NONE, np.int32)
    product[bought], team[bought] = orders.product[taken[bought]], orders.ref[taken[bought]]
    product[what == ShareKind.INVITE] = NONE
    feed.send(who, what, product, team)


def _calls(shop: Shop, persons: Array) -> Array:
    """Return a mask of those who need friends to complete something that a scheme promised them."""
    found = np.zeros(persons.size, bool)
    for scheme in shop.schemes if persons.size else ():
        mask = scheme.calls(persons) if scheme.is_open else None
        if mask is not None:
            found |= mask
    return found


def live(shop: Shop) -> None:
    """Let orders that are paid for good take effect, deadlines fall due, people tire and recover."""
    for scheme in shop.schemes:
        scheme.close()
    _take_effect(shop)
    clock = shop.clock
    if clock.starts_day:
        fading = 0.5 ** (24.0 / shop.config.sharing.fatigue_half_life)
        shop.people.exposures *= fading
        shop.people.shares *= fading
        shop.risk.nightly()
    refresh = clock.ticks(shop.config.recommendation.refresh)
    if clock.tick and clock.tick % refresh == 0:
        shop.recommender.fit()


def _take_effect(shop: Shop) -> None:
    """Send paid orders to the warehouse; their buyers' friends may notice, and after a repeat purchase some
    leave.
    """
    if shop._unpaid.size == 0:
        return
    held = shop.risk.holds(shop._unpaid)
    status = shop.book.status[shop._unpaid]
    rows = shop._unpaid[(status == OrderStatus.PAID) & ~held]
    shop._unpaid = shop._unpaid[(status == OrderStatus.WAITING) | ((status == OrderStatus.PAID) & held)]
    if rows.size == 0:
        return
    shop.operations.fulfil(rows)
    # A person can have several orders paid in one tick (a team filled while they bought); take them in turn.
    while rows.size:
        first = first_of_each(shop.book.person[rows])
        _remember_purchase(shop, rows[first])
        rows = np.delete(rows, first)


def _remember_purchase(shop: Shop, rows: Array) -> None:
    people, who = shop.people, shop.book.person[rows]
    for back in range(RECENT - 1, 0, -1):
        people.recent[who, back] = people.recent[who, back - 1]
    people.recent[who, 0] = shop.book.product[rows]
    graph = shop.graph
    consumers.tell_friends(who, people.recent[who, 0], graph.indptr, graph.indices, people.heard, people.heard_next)
    u = draws.uniform(shop.seed, Stream.DROPOUT, people.uid[who], people.purchases[who])
    unhappy = shop.config.operations.satisfaction_effect * (1 - people.satisfaction[who])
    leaves = (people.purchases[who] > 0) & (u < shift(people.dropout[who], unhappy))
    people.purchases[who] += 1
    people.status[who[leaves]] = Status.CHURNED
    shop.count("churned", int(leaves.sum()))
