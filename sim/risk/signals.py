"""What a platform could suspect from its logs: signals of each account, and a simple score of a few of them.

:func:`features` is what the detector learns from, one row an account:

==================  =================================================================================================
signal              means
==================  =================================================================================================
on_device           accounts on its device, logarithm
at_address          accounts at its address, logarithm
address_burst       of these, signed up within a day of it, logarithm
inviter_breadth     accounts that its inviter brought, logarithm; 0 without an inviter as for the first
inviter_burst       of these, signed up within a day of it, logarithm
inviter_lost        share of its inviter's other invitees who never came back after their first day
depth               inviters above it
breadth             accounts that it brought itself, logarithm
shared_ties         most accounts with which it shares two of device, address and inviter, logarithm
bad_neighbours      accounts known to be fraudulent: on its device, of its inviter, its inviter, whom it brought, and
                    who is in its last order's team, logarithm
core                its k-core number in the graph of accounts, devices and addresses
component           nodes of its component of that graph with ties to inviters added, logarithm; 0 in the largest
density             ties of that component beyond those that hold it together, a node; 0 in the largest
hours_to_order      from sign-up to its first order, logarithm; -1 without one
visits_before       visits until its first order, that one included, logarithm
visits_after        visits since, logarithm
silence             days since its last visit before now, logarithm
discounted          orders with a discount, share of its orders
fresh_mates         those in its last order's team who signed up within a week of it, logarithm
basket              what its orders are worth at list prices on average, yuan, logarithm
units               units of its orders on average
discount            share of what its orders are worth at list prices that was taken off
stacked             schemes that took something off an order, on average
at_threshold        a coupon's threshold over the basket that it was used for, mean over orders, 0 without a coupon:
                    one for who takes no more than needed
==================  =================================================================================================

A device or address that one account has to itself is not a node of the graph: it ties nothing together. The largest
component holds whoever is tied to many; its size and density tell how late it is, not who somebody is.

How an account uses offers (``discount``, ``stacked``, ``at_threshold``) tells rings, who take all that stacks on the
cheapest goods that qualify, only as far as honest people do not: deal-prone ones do (``people.deal_proneness``).

References
----------
Seidman (1983), "Network structure and minimum degree" (k-cores).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import igraph
import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse import csgraph

from sim.core.config import FEN_PER_YUAN
from sim.core.table import Column, Table, column
from sim.people import NEVER, People

if TYPE_CHECKING:
    from sim.core.clock import Clock
    from sim.offers import Orders
    from sim.orders import OrderBook
    from sim.shop import Shop

Array = npt.NDArray[Any]
NAMES = (
    "on_device", "at_address", "address_burst", "inviter_breadth", "inviter_burst", "inviter_lost", "depth", "breadth",
    "shared_ties", "bad_neighbours", "core", "component", "density", "hours_to_order", "visits_before", "visits_after",
    "silence", "discounted", "fresh_mates", "basket", "units", "discount", "stacked", "at_threshold",
)  # fmt: skip
_DEEPEST = 10  # levels of inviters that are looked at
_UNKNOWN = -1.0


class Trail(Table):
    """What risk control notes of each person's visits, one row a row of People."""

    visits: Column = column(np.int32)
    before: Column = column(np.int32)  # until the first order, that one included
    previous: Column = column(np.int32, fill=NEVER)  # tick of the last visit but one
    latest: Column = column(np.int32, fill=NEVER)


def features(shop: Shop, trail: Trail, bad: Array, accounts: Array, orders: Orders | None = None) -> Array:
    """Return the signals of accounts as the logs show them now, float64, shape (n, len(NAMES)).

    Parameters
    ----------
    shop : Shop
    trail : Trail
    bad : int ndarray
        Rows of People that are known to be fraudulent.
    accounts : int ndarray, shape (n,)
        Rows of People that have signed up, each once.
    orders : Orders, optional
        What they are about to order, one each, in the same order.
    """
    people, clock = shop.people, shop.clock
    exists = np.flatnonzero(people.joined > NEVER)
    team = _last_teams(shop.book, people, accounts, orders)
    columns = [
        *_on_places(people, exists, accounts, clock.ticks_a_day),
        *_below_inviters(people, exists, accounts, clock),
        _shared_ties(people, exists, accounts),
        _bad_neighbours(people, shop.book, bad, accounts, team),
        *_of_graph(people, exists, accounts),
        *_of_behaviour(shop, trail, accounts, orders is not None),
        *_of_orders(shop, accounts, orders, team),
    ]
    return np.column_stack(columns).astype(np.float64)


def _on_places(people: People, exists: Array, accounts: Array, day: int) -> tuple[Array, ...]:
    at_address = np.bincount(people.address[exists])[people.address[accounts]]
    on_device = np.bincount(people.device[exists])[people.device[accounts]]
    burst = _near(people.address, people.joined, exists, accounts, day)
    return np.log(on_device), np.log(at_address), np.log(burst)


def _near(group: Array, moment: Array, exists: Array, accounts: Array, span: int) -> Array:
    """Return how many of a group, oneself included, joined within ``span`` ticks of each account."""
    stride = np.int64(4) * (np.abs(moment[exists]).max(initial=0) + span + 1)
    keys = np.sort(group[exists] * stride + moment[exists])
    own = group[accounts] * stride + moment[accounts]
    near: Array = np.searchsorted(keys, own + span, side="right") - np.searchsorted(keys, own - span)
    return near


def _below_inviters(people: People, exists: Array, accounts: Array, clock: Clock) -> tuple[Array, ...]:
    day, inviter = clock.ticks_a_day, people.inviter
    invited = exists[inviter[exists] >= 0]
    brought = np.bincount(inviter[invited], minlength=len(people))
    grown = invited[people.joined[invited] + day <= clock.tick]
    lost = grown[people.last_visit[grown] < people.joined[grown] + day]
    grown_of, lost_of = (np.bincount(inviter[rows], minlength=len(people)) for rows in (grown, lost))
    by = inviter[accounts]
    has = by >= 0
    is_grown = has & (people.joined[accounts] + day <= clock.tick)
    is_lost = is_grown & (people.last_visit[accounts] < people.joined[accounts] + day)
    others, gone = grown_of[by] - is_grown, lost_of[by] - is_lost
    burst = np.ones(accounts.size, np.int64)
    burst[has] = _near(inviter, people.joined, invited, accounts[has], day)
    depth, above = np.zeros(accounts.size), by
    for _ in range(_DEEPEST):
        depth += above >= 0
        above = np.where(above >= 0, inviter[above], -1)
    return (
        np.log(np.where(has, brought[by], 1)), np.log(burst), np.where(has, (gone + 0.5) / (others + 1), 0.5),
        depth, np.log1p(brought[accounts]),
    )  # fmt: skip


def _shared_ties(people: People, exists: Array, accounts: Array) -> Array:
    device, address, inviter = (people[name].astype(np.int64) for name in ("device", "address", "inviter"))
    most = np.zeros(accounts.size, np.int64)
    for first, second in ((device, address), (device, inviter), (address, inviter)):
        key = first * (int(second.max()) + 2) + second + 1
        known = second >= 0
        values, counts = np.unique(key[exists[known[exists]]], return_counts=True)
        if values.size:
            others = counts[np.minimum(np.searchsorted(values, key[accounts]), values.size - 1)] - 1
            most = np.maximum(most, np.where(known[accounts], others, 0))
    return np.log1p(most)


def _bad_neighbours(people: People, book: OrderBook, bad: Array, accounts: Array, team: Array) -> Array:
    is_bad = np.zeros(len(people) + 1, bool)
    is_bad[bad] = True
    n, inviter = len(people), people.inviter
    found = np.bincount(inviter[bad[inviter[bad] >= 0]], minlength=n)[accounts]  # whom it brought
    found += is_bad[inviter[accounts]]  # -1: nobody
    for place in (people.device, inviter):
        theirs = place[bad]
        count = np.bincount(theirs[theirs >= 0], minlength=int(place[accounts].max(initial=0)) + 1)
        found += np.where(place[accounts] >= 0, count[place[accounts]] - is_bad[accounts], 0)
    at, mates = _mates(book, accounts, team)
    found += np.bincount(at[is_bad[mates]], minlength=accounts.size)
    return np.log1p(found)


def _of_graph(people: People, exists: Array, accounts: Array) -> tuple[Array, ...]:
    """Return core number, size and density of the component of each account."""
    number = np.full(len(people), -1)
    number[exists] = np.arange(exists.size)
    nodes, ties = exists.size, []
    for place in (people.device[exists], people.address[exists]):
        _, at, count = np.unique(place, return_inverse=True, return_counts=True)
        shared = np.flatnonzero(count[at] > 1)
        ties.append(np.column_stack([shared, nodes + at[shared]]))
        nodes += count.size
    invited = np.flatnonzero(people.inviter[exists] >= 0)
    ties.append(np.column_stack([invited, number[people.inviter[exists[invited]]]]))
    edges = np.concatenate(ties)
    edges = edges[edges[:, 1] >= 0]
    core = np.array(igraph.Graph(n=nodes, edges=np.concatenate(ties[:2])).coreness())
    weight = np.ones(len(edges), np.int8)
    _, member = csgraph.connected_components(sparse.coo_array((weight, edges.T), shape=(nodes, nodes)), directed=False)
    size, links = np.bincount(member), np.bincount(member[edges[:, 0]], minlength=member.max(initial=0) + 1)
    own = number[accounts]
    beyond = (links - size + 1) / size
    largest = size.argmax()
    size[largest], beyond[largest] = 1, 0.0
    return core[own], np.log(size[member[own]]), beyond[member[own]]


def _of_behaviour(shop: Shop, trail: Trail, accounts: Array, orders_now: bool) -> tuple[Array, ...]:
    people, clock = shop.people, shop.clock
    first = people.first_order[accounts]
    if orders_now:
        first = np.where(first > NEVER, first, clock.tick)
    hours = (first - people.joined[accounts]) * clock.tick_hours
    before = trail.before[accounts]
    last = np.where(trail.latest[accounts] == clock.tick, trail.previous[accounts], trail.latest[accounts])
    silence = (clock.tick - np.maximum(last, people.joined[accounts])) * clock.days_a_tick
    return (
        np.where(first > NEVER, np.log1p(np.maximum(hours, 0)), _UNKNOWN), np.log1p(before),
        np.log1p(trail.visits[accounts] - before), np.log1p(silence),
    )  # fmt: skip


def _last_teams(book: OrderBook, people: People, accounts: Array, orders: Orders | None) -> Array:
    """Return the team of the order that each account is about to place, or else of its last one; -1: none."""
    if orders is not None:
        team: Array = orders.ref
        return team
    last = np.full(len(people), -1)
    last[book.person] = np.arange(len(book))
    return np.where(last[accounts] >= 0, np.append(book.team, -1)[last[accounts]], -1)


def _mates(book: OrderBook, accounts: Array, team: Array) -> tuple[Array, Array]:
    """Return pairs of an account (its place in ``accounts``) and a person who ordered in its team before."""
    rows = np.flatnonzero(np.isin(book.team, team[team >= 0]))
    at, mate = np.nonzero(team[:, None] == book.team[rows])
    person = book.person[rows[mate]]
    others = person != accounts[at]
    return at[others], person[others]


def _of_orders(shop: Shop, accounts: Array, orders: Orders | None, team: Array) -> tuple[Array, ...]:
    """Return how accounts order: what, how much at a time, with whom, and how they use offers."""
    people, book = shop.people, shop.book
    asked = np.zeros(len(people), bool)
    asked[accounts] = True
    rows = np.flatnonzero(asked[book.person])
    thresholds = np.array([getattr(scheme.config, "threshold", 0) for scheme in shop.schemes] or [0])
    sums = [
        np.bincount(book.person[rows], values, len(people))[accounts]
        for values in _of_each(book.worth[rows], book.quantity[rows], book.pay[rows], book.discount[rows], thresholds)
    ]
    if orders is not None:
        now = _of_each(orders.worth, orders.quantity, orders.pay, orders.discount, thresholds)
        sums = [before + values for before, values in zip(sums, now, strict=True)]
    placed, worth, units, discounted, off, schemes, near = sums
    at, mates = _mates(book, accounts, team)
    recent = np.abs(people.joined[mates] - people.joined[accounts[at]]) <= 7 * shop.clock.ticks_a_day
    fresh = np.bincount(at[recent], minlength=accounts.size)
    number = np.maximum(placed, 1)
    return (
        discounted / number, np.log1p(fresh), np.log1p(worth / number / FEN_PER_YUAN), units / number,
        off / np.maximum(worth, 1), schemes / number, near / number,
    )  # fmt: skip


def _of_each(worth: Array, quantity: Array, pay: Array, discount: Array, thresholds: Array) -> tuple[Array, ...]:
    """Return of each order: one, its worth and units, whether it has a discount, what was taken off, by how many
    schemes, and how near its basket is to a threshold that it used.
    """
    used = discount > 0
    has = thresholds > 0
    basket = pay + discount[:, has].sum(axis=1)
    near = np.where(used[:, has], thresholds[has], 0).max(axis=1, initial=0) / np.maximum(basket, 1)
    return np.ones(worth.size), worth, quantity, used.any(axis=1), discount.sum(axis=1), used.sum(axis=1), near


def scores(people: People, clock: Clock, accounts: Array) -> Array:
    """Return a simple score of each account, higher for more suspicious: a yardstick for what learns.

    Equally weighted: accounts on its device and at its address, accounts that its inviter brought on the day it joined
    or it brought itself on its busiest day (logarithms); whether it ordered within a day after it joined, and whether
    it never came back after that day.

    Parameters
    ----------
    people : People
    clock : Clock
    accounts : int ndarray, shape (n,)
        Rows of People that have signed up.
    """
    a_day = clock.ticks_a_day
    joined = people.joined[accounts]
    exists = people.joined > NEVER
    on_device = np.bincount(people.device[exists])[people.device[accounts]]
    at_address = np.bincount(people.address[exists])[people.address[accounts]]
    by_inviter, own = _velocity(people, accounts, joined // a_day)
    quick = people.first_order[accounts] - joined < a_day
    quick &= people.first_order[accounts] > NEVER
    gone = (people.last_visit[accounts] < joined + a_day) & (clock.tick >= joined + a_day)
    score: Array = np.log(on_device) + np.log(at_address) + np.log1p(np.maximum(by_inviter, own)) + quick + gone
    return score


def _velocity(people: People, accounts: Array, day: Array) -> tuple[Array, Array]:
    """Return how many of the accounts each one's inviter brought on its day, and how many itself on its busiest."""
    inviter = people.inviter[accounts]
    invited = inviter >= 0
    pairs, which, counts = np.unique(
        np.stack([inviter[invited], day[invited]]), axis=1, return_inverse=True, return_counts=True
    )
    by_inviter = np.zeros(accounts.size, np.int64)
    by_inviter[invited] = counts[which.reshape(-1)]
    busiest = np.zeros(len(people), np.int64)
    np.maximum.at(busiest, pairs[0].astype(np.int64), counts)
    return by_inviter, busiest[accounts]
