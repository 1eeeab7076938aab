"""Random simple networks with given degrees: tie ends ("stubs") are drawn into pairs group by group, then repaired.

This is the configuration model (Bollobás 1980), and with groups the degree-corrected block model in its exact form
(Peixoto 2012). Pairs of a person with themselves, or drawn twice, exchange an end with another pair of their group, or
of any group if that does not help.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.graph import Graph

Numbers = npt.NDArray[np.int64]

_ATTEMPTS = 500  # exchanges tried for a pair that cannot stay, before it is given up


def pair_stubs(owner: Numbers, group: Numbers, side: Numbers, persons: int, rng: np.random.Generator) -> Graph:
    """Tie stubs of a group at random, without ties to oneself and without repeating a tie.

    Parameters
    ----------
    owner : ndarray of int64, shape (stubs,)
        The person of each stub.
    group : ndarray of int64, shape (stubs,)
        Only stubs of one group are paired with one another, except for those left over, which are paired among
        themselves.
    side : ndarray of int64, shape (stubs,)
        0 or 1: within a group stubs of side 0 are tied to those of side 1; -1 where any two stubs may be.
    persons : int
    rng : numpy.random.Generator

    Returns
    -------
    Graph
        Its notes say how many stubs were left without a partner.
    """
    source, target, pair_group, spare = _pairs(owner, group, side, rng)
    again = _pairs(spare, np.zeros_like(spare), np.full_like(spare, -1), rng)
    source, target = np.concatenate([source, again[0]]), np.concatenate([target, again[1]])
    _, pair_group = np.unique(np.concatenate([pair_group, again[2] + group.max(initial=0) + 1]), return_inverse=True)
    offsets = np.concatenate([[0], np.cumsum(np.bincount(pair_group))])
    placed = _repair(source, target, pair_group, offsets, persons, _ATTEMPTS, rng)
    graph = Graph.from_edges(source[placed], target[placed], persons)
    left = owner.size - 2 * graph.ties
    if left:
        graph.notes.append(f"{left} of {owner.size} tie ends were left without a partner")
    return graph


def _pairs(
    owner: Numbers, group: Numbers, side: Numbers, rng: np.random.Generator
) -> tuple[Numbers, Numbers, Numbers, Numbers]:
    """Return source, target and group of random pairs, in the order of groups, and the owners of the stubs left."""
    order = rng.permutation(owner.size)
    order = order[np.argsort(group[order], kind="stable")]
    owner, group, side = owner[order], group[order], side[order]
    alternate = np.arange(owner.size) % 2
    side = np.where(side < 0, alternate, side)
    ends = []
    for which in (0, 1):
        at = np.flatnonzero(side == which)
        rank = np.arange(at.size) - np.searchsorted(group[at], group[at])
        ends.append((at, rank))
    most = np.minimum(*(np.bincount(group[at], minlength=group.max(initial=-1) + 1) for at, _ in ends))
    (left, right), (spare_left, spare_right) = (
        [at[(rank < most[group[at]]) == fits] for at, rank in ends] for fits in (True, False)
    )
    return owner[left], owner[right], group[left], np.concatenate([owner[spare_left], owner[spare_right]])


@nb.njit(cache=True)
def tied(rows, start, degree, a, b):  # type: ignore[no-untyped-def]
    """Tell whether a and b are tied; row i, in any order, is rows[start[i] : start[i] + degree[i]]."""
    if degree[a] > degree[b]:
        a, b = b, a
    for place in range(start[a], start[a] + degree[a]):  # noqa: SIM110 - numba
        if rows[place] == b:
            return True
    return False


@nb.njit(cache=True)
def tie(rows, start, degree, a, b):  # type: ignore[no-untyped-def]
    """Tie a and b, whose rows have room."""
    rows[start[a] + degree[a]] = b
    rows[start[b] + degree[b]] = a
    degree[a] += 1
    degree[b] += 1


@nb.njit(cache=True)
def untie(rows, start, degree, a, b):  # type: ignore[no-untyped-def]
    """Remove the tie of a and b, who are tied."""
    for person, other in ((a, b), (b, a)):
        place = start[person]
        while rows[place] != other:
            place += 1
        degree[person] -= 1
        rows[place] = rows[start[person] + degree[person]]


@nb.njit(cache=True)
def _repair(source, target, group, offsets, persons, attempts, rng):  # type: ignore[no-untyped-def]
    """Exchange targets, in place, of pairs that cannot stay as they are; return which pairs are ties in the end."""
    start = np.zeros(persons + 1, np.int64)
    for pair in range(source.size):
        start[source[pair] + 1] += 1
        start[target[pair] + 1] += 1
    start = np.cumsum(start)
    rows, degree = np.empty(start[-1], np.int32), np.zeros(persons, np.int32)
    placed = np.zeros(source.size, np.bool_)
    for pair in range(source.size):
        a, b = source[pair], target[pair]
        if a != b and not tied(rows, start, degree, a, b):
            tie(rows, start, degree, a, b)
            placed[pair] = True
    for pair in range(source.size):
        attempt = 0
        while not placed[pair] and attempt < attempts:
            attempt += 1
            first, last = offsets[group[pair]], offsets[group[pair] + 1]
            if attempt > attempts // 2:  # the group is too small for its hubs
                first, last = 0, source.size
            other = first + int(rng.random() * (last - first))
            a, b, c, d = source[pair], target[pair], source[other], target[other]
            if not placed[other] or a == d or b == c:
                continue
            if tied(rows, start, degree, a, d) or tied(rows, start, degree, b, c):
                continue
            untie(rows, start, degree, c, d)
            tie(rows, start, degree, a, d)
            tie(rows, start, degree, c, b)
            target[pair], target[other] = d, b
            placed[pair] = True
    return placed
