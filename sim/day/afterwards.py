"""After the orders of a tick: who tells whom, and what falls due for people.

Each function is a stage of :meth:`sim.shop.Shop.step`, which binds them as methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents import consumers
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
    idle = _without(shop, visits.person, orders.person)
    rest = np.concatenate([idle, _without(shop, talkers, visits.person)])
    person = np.concatenate([orders.person, rest])
    calling = _calls(shop, orders.person)
    invitation = feed.rewards(rest, ShareKind.INVITE)
    invites = _prefer_to_invite(shop, rest, invitation)
    bought = np.where(calling & (orders.ref >= 0), ShareKind.TEAM, ShareKind.PRODUCT)
    kind = np.concatenate([bought, np.where(invites, ShareKind.INVITE, ShareKind.PRODUCT)]).astype(np.int8)
    reward = np.concatenate([np.zeros(len(orders)), invitation])
    for what in (ShareKind.PRODUCT, ShareKind.TEAM):
        rows = np.flatnonzero(kind == what)
        reward[rows] = feed.rewards(person[rows], what)
    after_visit = np.where(people.joined[idle] == shop.clock.tick, sharing.on_sign_up, sharing.per_visit)
    chance = np.full(person.size, np.nan)
    chance[: len(orders) + idle.size] = np.concatenate(
        [np.where(calling, sharing.team, sharing.after_order), after_visit]
    )
    taken = np.flatnonzero(feed.takers(person, kind, reward, chance))
    if taken.size == 0:
        return
    product = np.concatenate([orders.product, people.recent[rest, 0]])
    team = np.concatenate([orders.ref, np.full(rest.size, NONE, np.int32)])
    product = np.where(kind == ShareKind.INVITE, NONE, product).astype(np.int32)
    feed.send(person[taken], kind[taken], product[taken], team[taken])


def _prefer_to_invite(shop: Shop, persons: Array, reward: Array) -> Array:
    """Return a mask of those who would rather pass on an invitation than what they bought last.

    Notes
    -----
    The odds of an invitation grow with what it is expected to earn as those of sharing do: to ``(1 + yuan)^w - 1``
    against one, with ``w`` the scenario's ``sharing.reward_weight``. So a reward of nothing changes nothing.
    """
    if not reward.any():
        return np.zeros(persons.size, bool)
    u = draws.uniform(shop.seed, Stream.SHARE, shop.people.uid[persons], 0, shop.clock.tick, 2)
    rather: Array = u < -np.expm1(-shop.config.sharing.reward_weight * np.log1p(reward))
    return rather


def _calls(shop: Shop, persons: Array) -> Array:
    """Return a mask of those who need friends to complete something that a scheme promised them."""
    found = np.zeros(persons.size, bool)
    for scheme in shop.schemes if persons.size else ():
        mask = scheme.calls(persons) if scheme.is_open else None
        if mask is not None:
            found |= mask
    return found


def _without(shop: Shop, persons: Array, others: Array) -> Array:
    """Return the persons who are not among the others, in their order."""
    if persons.size == 0 or others.size == 0:
        return persons
    among = np.zeros(len(shop.people), bool)
    among[others] = True
    return persons[~among[persons]]


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
