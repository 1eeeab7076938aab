"""Orders of teams: kernels that say which orders are a scheme's, and what becomes of them when teams are over."""

from __future__ import annotations

import numba as nb
import numpy as np

from sim.core.config import FEN_PER_YUAN
from sim.core.prefetch import AHEAD, prefetch
from sim.offers import NONE, Mode
from sim.orders import OrderStatus
from sim.schemes.teams import TeamState, in_open_teams

_OPENS, _JOINS = np.int8(Mode.OPEN_TEAM), np.int8(Mode.JOIN_TEAM)
_OPEN, _FAILED, _REFUNDED = np.int8(TeamState.OPEN), np.int8(TeamState.FAILED), np.int8(TeamState.REFUNDED)
_WAITING = np.int8(OrderStatus.WAITING)


@nb.njit(cache=True)
def own_orders(mode, ref, person, rank, base, teams):  # type: ignore[no-untyped-def]
    """Return the positions of a scheme's orders in a batch, the team (row) that each is to join, and whose they are.

    Parameters
    ----------
    mode, ref, person : ndarray, shape (n,)
        Columns of :class:`sim.offers.Orders`. What opens a team refers to -1 less the scheme's rank.
    rank : int
    base : int
        What is added to a team's row to make its number.
    teams : int
        How many there are.

    Returns
    -------
    int64 ndarray, shape (3, own)
        Positions; teams, -1 for what opens one; persons.
    """
    own, size = np.empty((3, mode.size), np.int64), 0
    for n in range(mode.size):
        row = ref[n] - base
        opens = mode[n] == _OPENS and ref[n] == NONE - rank
        if opens or (mode[n] == _JOINS and 0 <= row < teams):
            own[0, size], own[1, size], own[2, size] = n, NONE if opens else row, person[n]
            size += 1
    return own[:, :size]


@nb.njit(cache=True)
def seat(own, team, place, base, person, row, ref, team_of, orders, place_of, filled, size):  # type: ignore[no-untyped-def]
    """Write down in which teams some orders are, and return those teams that are full now, each once.

    Parameters
    ----------
    own, team, place : int64 ndarray, shape (n,)
        Positions in the batch; rows of the teams, and of the places taken there.
    base : int
        What is added to a team's row to make its number.
    person, row, ref : ndarray
        Columns of :class:`sim.offers.Orders`; ``ref`` is changed in place.
    team_of : int32 ndarray
        The column team of :class:`sim.orders.OrderBook`, changed in place.
    orders, place_of : int32 ndarray, shape (persons,)
        How many team orders each person has, and the place that they took last; changed in place.
    filled, size : int16 ndarray
        Columns of the teams.
    """
    full = np.empty(own.size, np.int64)
    found = 0
    for n in range(own.size):
        later = np.uint32(person[own[min(n + AHEAD, own.size - 1)]])
        prefetch(orders, later)
        prefetch(place_of, later)
        at = own[n]
        ref[at] = team_of[row[at]] = base + team[n]
        orders[person[at]] += 1
        place_of[person[at]] = place[n]
        if filled[team[n]] >= size[team[n]]:
            full[found] = team[n]
            found += 1
    return np.unique(full[:found])


@nb.njit(cache=True)
def at_deadline(tick, places, deadline, state, size, filled, virtual):  # type: ignore[no-untyped-def]
    """Let the house fill teams whose deadline this is, if no more than so many places are missing.

    Parameters
    ----------
    tick : int
        Now.
    places : int
        That the house fills in a team at most.
    deadline ... virtual : ndarray
        Columns of the teams, in the order of their deadlines; ``virtual`` is changed in place.

    Returns
    -------
    helped, failed : int64 ndarray
        Rows of those that are full by that, and of those that are not; teams that were over before are in neither.
    """
    first, end = np.searchsorted(deadline, tick), np.searchsorted(deadline, tick, side="right")
    helped, failed = np.empty(end - first, np.int64), np.empty(end - first, np.int64)
    h = f = 0
    for team in range(first, end):
        missing = size[team] - filled[team]
        if state[team] != _OPEN:
            continue
        if missing <= places:
            virtual[team] = missing
            helped[h] = team
            h += 1
        else:
            failed[f] = team
            f += 1
    return helped[:h], failed[:f]


@nb.njit(cache=True)
def to_refund(tick, refund_due, state, latest, previous, holder, order, status):  # type: ignore[no-untyped-def]
    """Return the orders (rows of the book, ascending) of the failed teams that are refunded now.

    Parameters
    ----------
    tick : int
        Now.
    refund_due, state, latest : ndarray
        Columns of the teams, in the order in which refunds are due; ``state`` is changed in place.
    previous, holder, order : ndarray
        Columns of the places: the one taken before in the same team, who has it, and for which order.
    status : int8 ndarray
        Of the order book.
    """
    rows = np.empty(16, np.int64)
    size = 0
    for team in range(np.searchsorted(refund_due, tick), np.searchsorted(refund_due, tick, side="right")):
        if state[team] != _FAILED:
            continue
        state[team] = _REFUNDED
        place = latest[team]
        while place >= 0:
            if holder[place] >= 0 and status[order[place]] == _WAITING:
                if size == rows.size:
                    rows = np.append(rows, rows)
                rows[size] = order[place]
                size += 1
            place = previous[place]
    return np.sort(rows[:size])


@nb.njit(cache=True)
def give_back_orders(rows, base, team_of, person, orders, state):  # type: ignore[no-untyped-def]
    """Take refunded orders off the number of team orders that persons have.

    Parameters
    ----------
    rows : int64 ndarray
        Of the order book.
    base : int
        What is added to a team's row to make its number.
    team_of, person : int32 ndarray
        Columns of the order book.
    orders : int32 ndarray, shape (persons,)
        Changed in place.
    state : int8 ndarray, shape (teams,)

    Returns
    -------
    int64 ndarray, shape (3, m)
        Those of the orders that are the scheme's, their teams (rows), and whether these are still open.
    """
    own, size = np.empty((3, rows.size), np.int64), 0
    for row in rows:
        t = team_of[row] - base
        if 0 <= t < state.size:
            own[0, size], own[1, size], own[2, size] = row, t, state[t] == _OPEN
            orders[person[row]] -= 1
            size += 1
    return own[:, :size]


@nb.njit(cache=True, error_model="numpy")
def stakes(persons, where, worth, pay, opened_by, promised, size, filled):  # type: ignore[no-untyped-def]
    """Return what persons stand to lose if the team that they entered last fails, over the places missing; yuan.

    Parameters
    ----------
    persons : int32 ndarray, shape (n,)
    where : tuple
        What :func:`sim.schemes.teams.in_open_teams` takes after the persons; where it finds nobody, the stake is 0.
    worth, pay : int64 ndarray, shape (orders,)
        Columns of the order book, fen.
    opened_by, promised, size, filled : ndarray, shape (teams,)
        Columns ``order``, ``promised``, ``size`` and ``filled`` of :class:`sim.schemes.teams.Teams`.
    """
    yuan = np.zeros(persons.size)
    members, order, team = in_open_teams(persons, *where)
    for n in range(members.size):
        stake = worth[order[n]] - pay[order[n]]
        if opened_by[team[n]] == order[n]:
            stake += promised[team[n]]
        yuan[members[n]] = stake / FEN_PER_YUAN / (size[team[n]] - filled[team[n]])
    return yuan


@nb.njit(cache=True)
def savings(persons, where, product, saving):  # type: ignore[no-untyped-def]
    """Return what a friend saves on a unit in the team that persons entered last; yuan, 0 unless it is open.

    Parameters
    ----------
    persons, where
        As of :func:`stakes`.
    product : int32 ndarray, shape (teams,)
    saving : int64 ndarray, shape (products,)
        Fen.
    """
    yuan = np.zeros(persons.size)
    members, _, team = in_open_teams(persons, *where)
    for n in range(members.size):
        yuan[members[n]] = saving[product[team[n]]] / FEN_PER_YUAN
    return yuan
