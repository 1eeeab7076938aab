"""After the orders of a tick: who tells whom, and what falls due for people.

Each function is a stage of :meth:`sim.shop.Shop.step`, which binds them as methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import consumers, sharers
from sim.core.draws import Stream, u01
from sim.core.prefetch import AHEAD, prefetch
from sim.offers import Orders, ShareKind, Visits
from sim.orders import OrderStatus
from sim.people import Status, shift

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
_DROPOUT = np.uint32(Stream.DROPOUT)
_WAITING, _PAID = np.int8(OrderStatus.WAITING), np.int8(OrderStatus.PAID)


def share(shop: Shop, visits: Visits, orders: Orders, talkers: Array) -> None:
    """Let buyers, visitors, newcomers and talkers pass something on, each person at most once."""
    sharing, people, feed = shop.config.sharing, shop.people, shop.feed
    if len(visits) + talkers.size == 0:
        return
    person, idle = sharers.with_an_occasion(orders.person, visits.person, talkers, len(people))
    reward, by_team = feed.rewards(person, ShareKind.PRODUCT), feed.rewards(orders.person, ShareKind.TEAM)
    kind, chance = sharers.occasions(
        np.uint32(shop.seed), np.uint32(shop.clock.tick), person, idle, _calls(shop, orders.person), orders.ref,
        feed.rewards(person[len(orders) :], ShareKind.INVITE), by_team, reward, people.uid, people.joined,
        sharing.reward_weight, sharing.team, sharing.after_order, sharing.on_sign_up, sharing.per_visit,
    )  # fmt: skip
    taken = feed.takers(person, kind, reward, chance)
    if taken.size:
        feed.send(
            *sharers.passed_on(taken, person, kind, orders.product, orders.ref, people.recent, shop.graph.persons)
        )


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
    held, book = shop.risk.holds(shop._unpaid), shop.book
    rows, shop._unpaid = _paid_for(shop._unpaid, held, book.status)
    if rows.size == 0:
        return
    shop.operations.fulfil(rows)
    # A person can have several orders paid in one tick (a team filled while they bought); they are taken in turn.
    people, graph, buyer = shop.people, shop.graph, book.person[rows]
    who, product, u = _remember_purchases(
        buyer, book.product[rows], buyer.argsort(kind="stable"), np.uint32(shop.seed), people.uid, people.purchases,
        people.dropout, people.recent,
    )  # fmt: skip
    consumers.tell_friends(who, product, graph.indptr, graph.indices, people.heard, people.heard_next)
    at_risk = np.flatnonzero(u < 1.0)
    if at_risk.size:
        who, u = who[at_risk], u[at_risk]
        unhappy = shop.config.operations.satisfaction_effect * (1 - people.satisfaction[who])
        at_risk = who[u < shift(people.dropout[who], unhappy)]
        people.status[at_risk] = Status.CHURNED
    shop.count("churned", at_risk.size)


@nb.njit(cache=True)
def _paid_for(unpaid, held, status):  # type: ignore[no-untyped-def]
    """Split orders (rows of the book) into those that are paid for and not held, and those that wait to be."""
    ready, waiting = np.empty(unpaid.size, np.int64), np.empty(unpaid.size, np.int64)
    r = w = 0
    for n in range(unpaid.size):
        if status[unpaid[n]] == _PAID and not held[n]:
            ready[r] = unpaid[n]
            r += 1
        elif status[unpaid[n]] == _PAID or status[unpaid[n]] == _WAITING:
            waiting[w] = unpaid[n]
            w += 1
    return ready[:r].copy(), waiting[:w].copy()


@nb.njit(cache=True)
def _remember_purchases(person, product, by_person, seed, uid, purchases, dropout, recent):  # type: ignore[no-untyped-def]
    """Let persons remember what they bought, the first order of each first, then the second of each, and so on.

    Parameters
    ----------
    person, product : int32 ndarray, shape (n,)
        The orders.
    by_person : int64 ndarray, shape (n,)
        Their positions, sorted by person.
    seed : uint32
    uid ... recent : ndarray
        Columns of :class:`sim.people.People`; ``purchases`` and ``recent`` are changed in place.

    Returns
    -------
    who, product : int32 ndarray, shape (n,)
        The orders in this order.
    u : float64 ndarray, shape (n,)
        The draw that decides whether they leave after it; 1 for those who do not.
    """
    who, what, u = np.empty(person.size, np.int32), np.empty(person.size, np.int32), np.ones(person.size)
    n = turn = 0
    while n < person.size:
        place = 0  # of an order among those of its person
        for k in range(by_person.size):
            later = person[by_person[min(k + AHEAD, by_person.size - 1)]]
            prefetch(uid, later)
            prefetch(purchases, later)
            prefetch(dropout, later)
            prefetch(recent, later)
            i = person[by_person[k]]
            place = place + 1 if k > 0 and person[by_person[k - 1]] == i else 0
            if place != turn:
                continue
            who[n], what[n] = i, product[by_person[k]]
            for back in range(recent.shape[1] - 1, 0, -1):
                recent[i, back] = recent[i, back - 1]
            recent[i, 0] = what[n]
            if purchases[i] > 0 and dropout[i] > 0.0:
                u[n] = u01(seed, _DROPOUT, uid[i], purchases[i], 0, 0)
            purchases[i] += 1
            n += 1
        turn += 1
    return who, what, u
