"""Orders of teams: kernels that say which orders are a scheme's, and what becomes of them when teams are over."""

from __future__ import annotations

import numba as nb
import numpy as np

from sim.core.config import FEN_PER_YUAN
from sim.offers import NONE, Mode, Source
from sim.orders import OrderStatus
from sim.schemes.teams import TeamState, in_open_teams

_OPENS, _JOINS = np.int8(Mode.OPEN_TEAM), np.int8(Mode.JOIN_TEAM)
_OPEN, _FAILED, _REFUNDED = np.int8(TeamState.OPEN), np.int8(TeamState.FAILED), np.int8(TeamState.REFUNDED)
_WAITING, _RING = np.int8(OrderStatus.WAITING), np.int8(Source.RING)


@nb.njit(cache=True)
def own_orders(mode, ref, rank, base, teams):  # type: ignore[no-untyped-def]
    """Return the positions of a scheme's orders in a batch, and the team (row) that each is to join.

    Parameters
    ----------
    mode, ref : ndarray, shape (n,)
        Columns of :class:`sim.offers.Orders`. What opens a team refers to -1 less the scheme's rank.
    rank : int
    base : int
        What is added to a team's row to make its number.
    teams : int
        How many there are.

    Returns
    -------
    own : int64 ndarray
    team : int64 ndarray
        -1 for what opens one.
    """
    own, team = np.empty(mode.size, np.int64), np.empty(mode.size, np.int64)
    size = 0
    for n in range(mode.size):
        row = ref[n] - base
        opens = mode[n] == _OPENS and ref[n] == NONE - rank
        if opens or (mode[n] == _JOINS and 0 <= row < teams):
            own[size], team[size] = n, NONE if opens else row
            size += 1
    return own[:size].copy(), team[:size].copy()


@nb.njit(cache=True)
def seat(own, team, base, person, row, ref, team_of, orders, filled, size):  # type: ignore[no-untyped-def]
    """Write down in which teams some orders are, and return those teams that are full now, each once.

    Parameters
    ----------
    own, team : int64 ndarray, shape (n,)
        Positions in the batch; rows of the teams.
    base : int
        What is added to a team's row to make its number.
    person, row, ref : ndarray
        Columns of :class:`sim.offers.Orders`; ``ref`` is changed in place.
    team_of : int32 ndarray
        The column team of :class:`sim.orders.OrderBook`, changed in place.
    orders : int32 ndarray, shape (persons,)
        How many team orders each person has, changed in place.
    filled, size : int16 ndarray
        Columns of the teams.
    """
    full = np.empty(own.size, np.int64)
    found = 0
    for n in range(own.size):
        at = own[n]
        ref[at] = team_of[row[at]] = base + team[n]
        orders[person[at]] += 1
        if filled[team[n]] >= size[team[n]]:
            full[found] = team[n]
            found += 1
    return np.unique(full[:found])


@nb.njit(cache=True)
def heard_of(teams, order, source):  # type: ignore[no-untyped-def]
    """Return how many of some teams people hear of: not those that rings open for their own accounts.

    Parameters
    ----------
    teams : int64 ndarray
        Rows.
    order : int64 ndarray
        The openers' orders, a column of the teams.
    source : int8 ndarray
        Of the order book.
    """
    number = 0
    for team in teams:
        number += source[order[team]] != _RING
    return number


@nb.njit(cache=True)
def at_deadline(teams, places, state, size, filled, virtual):  # type: ignore[no-untyped-def]
    """Let the house fill teams whose deadline this is, if no more than so many places are missing.

    Parameters
    ----------
    teams : int64 ndarray
        Rows.
    places : int
        That the house fills in a team at most.
    state ... virtual : ndarray
        Columns of the teams; ``virtual`` is changed in place.

    Returns
    -------
    helped, failed : int64 ndarray
        Those that are full by that, and those that are not; teams that were over before are in neither.
    """
    helped, failed = np.empty(teams.size, np.int64), np.empty(teams.size, np.int64)
    h = f = 0
    for team in teams:
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
    return helped[:h].copy(), failed[:f].copy()


@nb.njit(cache=True)
def to_refund(teams, state, latest, previous, holder, order, status):  # type: ignore[no-untyped-def]
    """Return the orders (rows of the book, ascending) of the failed ones among some teams, which are refunded now.

    Parameters
    ----------
    teams : int64 ndarray
        Rows.
    state, latest : ndarray
        Columns of the teams; ``state`` is changed in place.
    previous, holder, order : ndarray
        Columns of the places: the one taken before in the same team, who has it, and for which order.
    status : int8 ndarray
        Of the order book.
    """
    rows = np.empty(16, np.int64)
    size = 0
    for team in teams:
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
    own, team : int64 ndarray
        Those of the orders that are the scheme's, and their teams (rows).
    running : bool ndarray
        Whether the team is still open.
    """
    own, team = np.empty(rows.size, np.int64), np.empty(rows.size, np.int64)
    running = np.empty(rows.size, np.bool_)
    size = 0
    for row in rows:
        t = team_of[row] - base
        if 0 <= t < state.size:
            own[size], team[size], running[size] = row, t, state[t] == _OPEN
            orders[person[row]] -= 1
            size += 1
    return own[:size].copy(), team[:size].copy(), running[:size].copy()


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
