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
from sim.core.prefetch import prefetch
from sim.offers import Orders, ShareKind, Visits
from sim.orders import OrderStatus
from sim.people import Status, shift

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
_DROPOUT = np.uint32(Stream.DROPOUT)
_PLACE = 32  # bits
_OF_A_PLACE = (1 << _PLACE) - 1
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
    people, graph, book = shop.people, shop.graph, shop.book
    rows, shop._unpaid, who, u = _pay(
        shop._unpaid, shop.risk.holds(shop._unpaid), book.status, book.person, book.product, np.uint32(shop.seed),
        people.uid, people.purchases, people.held("dropout"), people.recent, people.heard, people.heard_next,
        graph.indptr, graph.indices,
    )  # fmt: skip
    if rows.size == 0:
        return
    shop.operations.fulfil(rows)
    if who.size:
        unhappy = shop.config.operations.satisfaction_effect * (1 - people.satisfaction[who])
        who = who[u < shift(people.dropout[who], unhappy)]
        people.status[who] = Status.CHURNED
    shop.count("churned", who.size)


@nb.njit(cache=True)
def _pay(  # type: ignore[no-untyped-def]
    unpaid, held, status, buyer, product, seed, uid, purchases, dropout, recent, heard, heard_next, indptr, indices
):
    """Find orders that are paid for and not held, let their buyers remember what they bought, and friends notice.

    Parameters
    ----------
    unpaid : int64 ndarray, shape (n,)
        Orders, rows of the book.
    held : bool ndarray, shape (n,)
        Which of them must not ship yet.
    status, buyer, product : ndarray
        Columns of :class:`sim.orders.OrderBook`.
    seed : uint32
    uid ... heard_next : ndarray
        Columns of :class:`sim.people.People`, ``dropout`` empty if nobody leaves; all but these two and ``uid`` are
        changed in place.
    indptr, indices : ndarray
        The network.

    Returns
    -------
    ready, waiting : int64 ndarray
        Orders that are paid for and not held, and those that wait to be.
    who : int32 ndarray
        Those who may leave after a repeat purchase, once for each.
    u : float64 ndarray
        The draws that decide.
    """
    ready, waiting = np.empty(unpaid.size, np.int64), np.empty(unpaid.size, np.int64)
    r = w = 0
    for n in range(unpaid.size):
        row = unpaid[n]
        if status[row] == _PAID and not held[n]:
            ready[r] = row
            prefetch(uid, buyer[row])
            prefetch(purchases, buyer[row])
            if dropout.size:
                prefetch(dropout, buyer[row])
            prefetch(recent, buyer[row])
            r += 1
        elif status[row] == _PAID or status[row] == _WAITING:
            waiting[w] = row
            w += 1
    ready = ready[:r].copy()
    who, what, u = _remember(ready, buyer, product, seed, uid, purchases, dropout, recent)
    consumers.tell_friends(who, what, indptr, indices, heard, heard_next)
    at_risk = np.flatnonzero(u < 1.0)
    return ready, waiting[:w].copy(), who[at_risk], u[at_risk]


@nb.njit(cache=True)
def _remember(rows, buyer, product, seed, uid, purchases, dropout, recent):  # type: ignore[no-untyped-def]
    """Let persons remember what they bought, the first order of each first, then the second of each, and so on.

    A person can have several orders paid in one tick: a team filled while they bought.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
        The orders; for the others see :func:`_pay`.

    Returns
    -------
    who, what : int32 ndarray, shape (n,)
        Buyers and products of the orders, in this order.
    u : float64 ndarray, shape (n,)
        The draw that decides whether they leave after it; 1 for those who do not.
    """
    who, what, u = np.empty(rows.size, np.int32), np.empty(rows.size, np.int32), np.ones(rows.size)
    by_person = np.empty(rows.size, np.int64)  # the person, then the place among the rows
    for k in range(rows.size):
        by_person[k] = np.int64(buyer[rows[k]]) << _PLACE | k
    by_person.sort()
    n = turn = 0
    while n < rows.size:
        place = 0  # of an order among those of its person
        for k in range(rows.size):
            i = by_person[k] >> _PLACE
            place = place + 1 if k > 0 and by_person[k - 1] >> _PLACE == i else 0
            if place != turn:
                continue
            who[n], what[n] = i, product[rows[by_person[k] & _OF_A_PLACE]]
            for back in range(recent.shape[1] - 1, 0, -1):
                recent[i, back] = recent[i, back - 1]
            recent[i, 0] = what[n]
            if purchases[i] > 0 and dropout.size and dropout[i] > 0.0:
                u[n] = u01(seed, _DROPOUT, uid[i], purchases[i], 0, 0)
            purchases[i] += 1
            n += 1
        turn += 1
    return who, what, u
