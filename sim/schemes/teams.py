"""Teams of a group-buy: who opened them, who has a place, and what a visitor can see of them.

Read in this order: :class:`Teams` and :class:`Places` (one row a team, one row a place taken), :class:`TeamBook` (both
together, with the index of open teams by product), then :func:`lay_out`, the hot loop: what each visitor is offered.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.draws import Stream, philox, unit
from sim.core.prefetch import AHEAD, prefetch
from sim.core.table import Column, Table, column
from sim.offers import NONE, Mode, Source
from sim.orders import OrderBook, OrderStatus

Array = npt.NDArray[Any]
_LOBBY = np.uint32(Stream.LOBBY)
_OPEN_TEAM, _JOIN_TEAM = np.int8(Mode.OPEN_TEAM), np.int8(Mode.JOIN_TEAM)
_RING, _PAID = np.int8(Source.RING), np.int8(OrderStatus.PAID)


class TeamState(IntEnum):
    """Where a team stands."""

    OPEN = 0
    FILLED = 1
    FAILED = 2  # its members' money waits in escrow until it is given back
    REFUNDED = 3


_OPEN, _FILLED = np.int8(TeamState.OPEN), np.int8(TeamState.FILLED)


class Teams(Table):
    """Teams in the order in which they were opened; moments in ticks.

    All teams of one scheme have the same window, so ``deadline`` and ``refund_due`` are in order too.
    """

    opener: Column = column(np.int32)
    order: Column = column(np.int64)  # the opener's order, a row of the order book
    product: Column = column(np.int32)
    opened: Column = column(np.int32)
    deadline: Column = column(np.int32)  # the last tick in which one can join
    refund_due: Column = column(np.int32)
    closed: Column = column(np.int32, fill=-1)  # filled or failed
    size: Column = column(np.int16)
    filled: Column = column(np.int16)  # places that persons have
    virtual: Column = column(np.int16)  # places that the house filled
    state: Column = column(np.int8, fill=TeamState.OPEN)
    promised: Column = column(np.int64)  # fen that the opener will get back if the team fills
    rebated: Column = column(np.int64)  # fen that the opener got back
    latest: Column = column(np.int32, fill=NONE)  # the place taken last


class Places(Table):
    """Places taken in teams. Each points to the one taken before it, so that a team's places are a chain."""

    order: Column = column(np.int64)  # a row of the order book
    person: Column = column(np.int32)  # -1: given up
    previous: Column = column(np.int32, fill=NONE)


class Buyers(Table):
    """What a scheme keeps of each person, one row a person."""

    orders: Column = column(np.int32)  # in teams, refunded ones taken off
    place: Column = column(np.int32, fill=NONE)  # taken last


class TeamBook:
    """Teams and places of one scheme.

    Parameters
    ----------
    products : int
        Number of products in the catalogue.

    Attributes
    ----------
    closed, full : int
        Teams that are over, and those of them that filled, of those that people hear of.
    """

    def __init__(self, products: int) -> None:
        self.teams = Teams()
        self.places = Places()
        self.closed = 0
        self.full = 0
        self._products = products
        self._index: tuple[Array, Array] | None = None

    def open(self, **values: Any) -> Array:
        """Open teams without members (columns of :class:`Teams`) and return their rows."""
        self._index = None
        return self.teams.append(**values)

    def take_places(self, teams: Array, persons: Array, orders: Array) -> Array:
        """Give places and return their rows.

        Parameters
        ----------
        teams : int64 ndarray
            Rows of teams; one may occur several times.
        persons : int32 ndarray
        orders : int64 ndarray
            Their rows in the order book.
        """
        places = self.places.append(teams.size, order=orders, person=persons)
        _chain(teams, places, self.teams.latest, self.teams.filled, self.places.previous)
        return places

    def finds_place(self, teams: Array, persons: Array) -> Array:
        """Return a mask of the persons who find a free place in the team (row) named beside them, where they are not
        yet: the first come first. In a team of their own (-1) everybody does.
        """
        book, places = self.teams, self.places
        found: Array = _find_places(
            teams, persons, book.state, book.size, book.filled, book.latest, places.previous, places.person
        )
        return found

    def give_up_places(self, teams: Array, orders: Array) -> Array:
        """Free the places that belong to the given orders, in the given teams; return the places."""
        places = self.places_of(np.unique(teams))
        places = places[np.isin(self.places.order[places], orders)]
        self.places.person[places] = NONE
        np.subtract.at(self.teams.filled, teams, np.int16(1))
        return places

    def close(self, teams: Array, state: TeamState, tick: int, orders: OrderBook) -> None:
        """Let teams (rows, each once) be filled, and their orders be paid with that, or fail."""
        if teams.size:
            own, places = self.teams, self.places
            heard_of = _close(
                teams, np.int8(state), tick, own.state, own.closed, own.order, own.latest, places.previous,
                places.person, places.order, orders.source, orders.status,
            )  # fmt: skip
            self.closed += heard_of
            self.full += heard_of if state == TeamState.FILLED else 0
            self._index = None

    def places_of(self, teams: Array) -> Array:
        """Return the places (rows) that are taken in the given teams, each team once."""
        places: Array = _places_of(teams, self.teams.latest, self.places.previous, self.places.person)
        return places

    def has_place(self, persons: Array, teams: Array) -> Array:
        """Return a mask of the persons who already are in the team named beside them."""
        inside: Array = _have_place(persons, teams, self.teams.latest, self.places.previous, self.places.person)
        return inside

    def open_by_product(self, tick: int) -> tuple[Array, Array]:
        """Return the open teams by product: those of product p are ``rows[start[p]:start[p + 1]]``.

        Returns
        -------
        start : int64 ndarray, shape (products + 1,)
        rows : int64 ndarray
            Rows of teams, in the order in which they were opened within a product.
        """
        if self._index is None:
            oldest = int(self.teams.deadline.searchsorted(np.int32(tick)))
            self._index = _by_product(oldest, self.teams.state, self.teams.product, self._products)
        return self._index


def within(room: Array, group: Array, amounts: Array) -> Array:
    """Return a mask of the claims that are covered when the first come is the first served.

    Parameters
    ----------
    room : int ndarray, shape (groups,)
        What there is.
    group : int ndarray, shape (n,)
        What each claim is on; claims are in order of precedence.
    amounts : int ndarray, shape (n,)
        How much each claims, not negative. A claim that is not covered still stands before later ones.
    """
    turn = np.argsort(group, kind="stable")
    held, wanted = group[turn], amounts[turn]
    claimed = np.cumsum(wanted)
    first = np.searchsorted(held, held)
    covered = np.empty(group.size, bool)
    covered[turn] = claimed - claimed[first] + wanted[first] <= room[held]
    return covered


@nb.njit(cache=True)
def _holds_place(person, team, latest, previous, holder):  # type: ignore[no-untyped-def]
    """Whether a person is in a team: walk the chain of its places."""
    place = latest[team]
    while place >= 0:
        if holder[place] == person:
            return True
        place = previous[place]
    return False


@nb.njit(cache=True)
def _places_of(teams, latest, previous, holder):  # type: ignore[no-untyped-def]
    """Return the places of teams that persons hold: walk the chains."""
    found = np.empty(16, np.int64)
    size = 0
    for team in teams:
        place = latest[team]
        while place >= 0:
            if holder[place] >= 0:
                if size == found.size:
                    found = np.append(found, found)
                found[size] = place
                size += 1
            place = previous[place]
    return found[:size].copy()


@nb.njit(cache=True)
def _find_places(teams, persons, state, size, filled, latest, previous, holder):  # type: ignore[no-untyped-def]
    """Give out the free places of teams in the order of the persons, as a try: ``filled`` is left as it was."""
    found = np.zeros(teams.size, np.bool_)
    for i in range(teams.size):
        team = teams[i]
        if team < 0:
            found[i] = True
            continue
        is_free = state[team] == _OPEN and filled[team] < size[team]
        if is_free and not _holds_place(persons[i], team, latest, previous, holder):
            filled[team] += 1
            found[i] = True
    for i in range(teams.size):
        if found[i] and teams[i] >= 0:
            filled[teams[i]] -= 1
    return found


@nb.njit(cache=True)
def _chain(teams, places, latest, filled, previous):  # type: ignore[no-untyped-def]
    """Put new places, each of the team beside it, at the ends of the teams' chains."""
    for i in range(teams.size):
        previous[places[i]] = latest[teams[i]]
        latest[teams[i]] = places[i]
        filled[teams[i]] += 1


@nb.njit(cache=True)
def _close(  # type: ignore[no-untyped-def]
    teams, becomes, tick, state, closed, order, latest, previous, holder, order_of, source, status
):
    """Close teams, and let the orders of those that filled go ahead.

    Parameters
    ----------
    teams : int64 ndarray
        Rows.
    becomes : int8
        The state that they get.
    tick : int
    state, closed, order, latest : ndarray
        Columns of :class:`Teams`; the first two are changed in place.
    previous, holder, order_of : ndarray
        Columns of :class:`Places`: the one taken before in the same team, who has it, and for which order.
    source, status : int8 ndarray
        Columns of :class:`sim.orders.OrderBook`; ``status`` is changed in place.

    Returns
    -------
    int
        How many of them people hear of: not those that rings open for their own accounts.
    """
    heard_of = 0
    for team in teams:
        state[team], closed[team] = becomes, tick
        heard_of += source[order[team]] != _RING
        place = latest[team] if becomes == _FILLED else NONE
        while place >= 0:
            if holder[place] >= 0:
                status[order_of[place]] = _PAID
            place = previous[place]
    return heard_of


@nb.njit(cache=True)
def _have_place(persons, teams, latest, previous, holder):  # type: ignore[no-untyped-def]
    result = np.zeros(persons.size, np.bool_)
    for i in range(persons.size):
        result[i] = _holds_place(persons[i], teams[i], latest, previous, holder)
    return result


@nb.njit(cache=True)
def in_open_teams(persons, place, order_of, number_of, base, state):  # type: ignore[no-untyped-def]
    """Return the positions of persons whose last team is still open, their orders there, and the teams (rows).

    Parameters
    ----------
    persons : int32 ndarray, shape (n,)
    place : int32 ndarray, shape (persons,)
        The place that each took last, -1: none.
    order_of : int64 ndarray, shape (places,)
        Rows of the order book.
    number_of : int32 ndarray, shape (orders,)
        The number of each order's team.
    base : int
        What is added to a team's row to make its number.
    state : int8 ndarray, shape (teams,)
    """
    found, order = np.empty(persons.size, np.int64), np.empty(persons.size, np.int64)
    team = np.empty(persons.size, np.int64)
    n = 0
    for position in range(persons.size):
        taken = place[persons[position]]
        if taken < 0:
            continue
        row = number_of[order_of[taken]] - base
        if state[row] == _OPEN:
            found[n], order[n], team[n] = position, order_of[taken], row
            n += 1
    return found[:n], order[:n], team[:n]


@nb.njit(cache=True)
def _by_product(oldest, state, product, products):  # type: ignore[no-untyped-def]
    """Sort the rows of open teams, none older than ``oldest``, by product, stably (counting sort)."""
    start = np.zeros(products + 1, np.int64)
    for row in range(oldest, state.size):
        if state[row] == _OPEN:
            start[product[row] + 1] += 1
    start = np.cumsum(start)
    free = start[:-1].copy()
    ordered = np.empty(start[-1], np.int64)
    for row in range(oldest, state.size):
        if state[row] == _OPEN:
            p = product[row]
            ordered[free[p]] = row
            free[p] += 1
    return start, ordered


@nb.njit(cache=True, nogil=True, error_model="numpy")
def lay_out(  # type: ignore[no-untyped-def]
    seed, tick, lobby, rank, base,
    slate, person, clicked, units, may_buy, may_join, uid, hassle, price_sensitivity, eagerness, promised,
    may_open, price, saving, opener_saving,
    start, open_rows, team_product, filled, size, state, latest, previous, holder, nearly_full, called,
    first, product, mode, ref, worth, pay, discount, appeal,
):  # fmt: skip
    """Fill in the team options of every visitor: a column for each slate product, and one for the team clicked on.

    Parameters
    ----------
    seed, tick : uint32
    lobby : float
        Chance that a visitor who sees a product sees an open team of it.
    rank : uint32
        Which of several group-buys this is; part of the draws' address.
    base : int
        What is added to a team's row to make its number.
    slate : int
        K, the number of products on a slate: the first columns of ``product``.
    person, clicked, units, may_buy, may_join : ndarray, shape (V,)
        The visitors: row, row of the team clicked on (-1: none), units they would buy, whether the scheme sells to them
        at all, and whether they may join others' teams.
    uid, hassle, price_sensitivity : ndarray, shape (persons,)
        Columns of :class:`sim.people.People`.
    eagerness, promised : float32
        Appeal of waiting for a team, in logits, but for the hassle; and that of what openers are promised, for each
        unit of price sensitivity.
    may_open : bool ndarray, shape (products,)
    price, saving, opener_saving : int64 ndarray, shape (products,)
        List price of a unit, and what is taken off for who joins and for who opens a team; fen.
    start, open_rows : ndarray
        Open teams by product.
    team_product, filled, size, state, latest : ndarray
        Columns of the teams.
    previous, holder : ndarray
        Columns of the places.
    nearly_full : float
        Logits for a full team; in proportion for the share of places filled.
    called : float
        Logits for the team that a friend called to.
    first : int
        The first of the K + 1 columns to fill in.
    product, mode, ref, worth, pay, discount, appeal : ndarray, shape (V, W)
        The options (:class:`sim.offers.Offers`), widened, and what the scheme takes off; changed in place.
        ``ref`` is the number of the team to join, -1 less the rank for a new one.

    Notes
    -----
    The lobby's visitors of a product choose among its open teams with equal chances, independently of one another. So
    what reaches each team is a thinned Poisson stream where the visits are one.
    """
    visits = person.size
    looks, which = np.empty(slate), np.empty(slate)  # uniforms: whether one sees the lobby, and which team there
    teams = np.empty(slate + 1, np.int64)  # that one can join, -1 for none
    seen = np.empty(slate, np.int32)
    for v in range(visits):
        later = np.uint32(person[min(v + AHEAD, visits - 1)])
        prefetch(uid, later)
        prefetch(hassle, later)  # and what is kept beside it
        if not may_buy[v]:
            continue
        who, patience = uid[np.uint32(person[v])], eagerness - hassle[np.uint32(person[v])]
        of_opening = patience + promised * price_sensitivity[np.uint32(person[v])]
        # Unsigned indices: numba then need not ask whether they count from the end.
        for k in range(slate):
            seen[k] = product[v, k]
        for k in range(slate):
            w, p = np.uint32(first + k), np.uint32(max(seen[k], 0))
            is_offered = seen[k] >= 0 and may_open[p]
            product[v, w] = p if is_offered else -1
            mode[v, w] = _OPEN_TEAM
            worth[v, w] = units[v] * price[p] if is_offered else 0
            discount[v, w] = min(units[v] * opener_saving[p], worth[v, w])
            pay[v, w] = worth[v, w] - discount[v, w]
            ref[v, w] = -1 - nb.int32(rank)
            appeal[v, w] = of_opening
        teams[:] = -1
        if may_join[v] and lobby > 0.0:
            for k in range(slate):
                look, pick, _, _ = philox(seed, _LOBBY, who, nb.uint32(seen[k]), tick, rank)
                looks[k], which[k] = unit(look), unit(pick)
            for k in range(slate):
                if looks[k] < lobby and seen[k] >= 0:
                    p = np.uint32(seen[k])
                    shown = start[p + 1] - start[p]
                    if shown > 0:
                        teams[k] = open_rows[start[p] + nb.int64(which[k] * shown)]
        if may_join[v] and clicked[v] >= 0 and state[clicked[v]] == _OPEN:
            teams[slate] = clicked[v]
        for k in range(slate + 1):
            team = teams[k]
            if team < 0 or _holds_place(person[v], team, latest, previous, holder):
                continue
            w, p = np.uint32(first + k), np.uint32(team_product[team])
            product[v, w] = p
            mode[v, w] = _JOIN_TEAM
            ref[v, w] = base + team
            worth[v, w] = units[v] * price[p]
            discount[v, w] = min(units[v] * saving[p], worth[v, w])
            pay[v, w] = worth[v, w] - discount[v, w]
            appeal[v, w] = patience
            appeal[v, w] += nearly_full * filled[team] / size[team] + (called if k == slate else 0.0)
