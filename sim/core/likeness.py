"""A network like a given one, of another size: same degrees, communities and clustering, other ties.

Each new person takes after one of the given persons: as many ties, to the same communities, in as many triangles.
Ties are drawn at random among those that fit (:mod:`sim.core.stubs`), and then exchanged, two at a time, so that
friends' friends become friends (Bansal, Khandelwal & Meyers 2009) until clustering is that of the given network.
A network k times as large has k communities where the given one has one, each about its size: circles of friends
do not grow with the platform.

References
----------
Bansal, Khandelwal & Meyers (2009), "Exploring biological network structure with clustered random networks", BMC
Bioinformatics 10.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.graph import Graph
from sim.core.stubs import pair_stubs, tie, tied, untie

Numbers = npt.NDArray[np.int64]

_MORE_TRIANGLES = 1.5  # each person's share is set so much higher: the last triangles are the slowest to find
_PROPOSALS_A_TIE = 60


def templates(order: Numbers, persons: int, rng: np.random.Generator) -> Numbers:
    """Return for each of `persons` new persons the given one they take after: all equally often, give or take one.

    `order` names the given persons so that those alike stand together; then whoever comes once more is spread evenly.
    """
    given = order.size
    more = persons % given
    spread = ((np.arange(more) + rng.random()) * given / max(1, more)).astype(np.int64)
    return np.concatenate([np.tile(order, persons // given), order[spread]])


def like(graph: Graph, persons: int, rng: np.random.Generator) -> Graph:
    """Return a random network of another size with a network's degrees, communities and clustering.

    Parameters
    ----------
    graph : Graph
        Undirected, with ties.
    persons : int
        How many there shall be; neighbours get numbers near to one another.
    rng : numpy.random.Generator

    Returns
    -------
    Graph
        Strengths by overlap; its notes say how near it comes to the given one.

    Raises
    ------
    ValueError
        If the given graph is directed or has no ties, or `persons` is below 2.
    """
    if graph.directed or graph.ties == 0:
        raise ValueError("only an undirected network with ties can be imitated at another size; leave size out.")
    if persons < 2:
        raise ValueError(f"persons must be 2 or more. Got {persons}.")
    community = graph.communities(int(rng.integers(2**31))).astype(np.int64)
    template = templates(np.lexsort((graph.degree, community)), persons, rng)
    copies = max(1, round(persons / graph.persons))
    circle = community[template] * copies + np.arange(persons) // graph.persons % copies
    order = np.argsort(circle, kind="stable")
    template, circle = template[order], circle[order]
    drawn = pair_stubs(*_stubs(graph, community, template, circle), persons, rng)
    made = _with_triangles(drawn, graph, template, circle, rng)
    made.notes = [
        f"generated like a network of {graph.persons} persons, which has in brackets: " + _compared(made, graph),
        *drawn.notes,
    ]
    return made


def _stubs(graph: Graph, community: Numbers, template: Numbers, circle: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Return owner, group and side of each new tie end: within a circle, or between two communities."""
    degree = graph.degree[template].astype(np.int64)
    owner = np.repeat(np.arange(template.size), degree)
    nth = np.arange(owner.size) - np.repeat(np.cumsum(degree) - degree, degree)
    here = community[template[owner]]
    there = community[graph.indices[graph.indptr[template[owner]] + nth]]
    kinds = community.max() + 1
    between = circle.max() + 1 + np.minimum(here, there) * kinds + np.maximum(here, there)
    _, group = np.unique(np.where(here == there, circle[owner], between), return_inverse=True)
    return owner, group, np.where(here == there, -1, (here > there).astype(np.int64))


def _with_triangles(drawn: Graph, graph: Graph, template: Numbers, circle: Numbers, rng: np.random.Generator) -> Graph:
    """Return the drawn network with ties exchanged until persons are clustered as in the given one, on average."""
    per_person, choices = _triangles(graph), _choices(graph)
    wanted = np.minimum(np.round(per_person * _MORE_TRIANGLES).astype(np.int64), choices)[template]
    goal = drawn.persons * (per_person / np.maximum(choices, 1)).mean()
    rows, degree = drawn.indices.copy(), drawn.degree
    proposals = _PROPOSALS_A_TIE * drawn.ties
    _close(rows, drawn.indptr, degree, circle, _triangles(drawn), wanted, goal, proposals, rng)
    source = np.repeat(np.arange(drawn.persons), degree)
    return Graph.from_edges(source[source < rows], rows[source < rows], drawn.persons)


def _triangles(graph: Graph) -> Numbers:
    """Return how many triangles each person is in."""
    ends = np.concatenate([[0], np.cumsum(graph.shared_neighbours(), dtype=np.int64)])
    return np.diff(ends[graph.indptr]) // 2


def _choices(graph: Graph) -> Numbers:
    """Return how many pairs of neighbours each person has."""
    degree = graph.degree.astype(np.int64)
    return degree * (degree - 1) // 2


def _compared(made: Graph, given: Graph) -> str:
    """Write the statistics of one network, and of the other in brackets."""
    ours, theirs = made.statistics(), given.statistics()
    names = ("mean_degree", "max_degree", "clustering", "transitivity", "assortativity", "isolated")
    return ", ".join(f"{name} {ours[name]:.4g} ({theirs[name]:.4g})" for name in names)


@nb.njit(cache=True)
def _shift(rows, start, degree, triangles, wanted, stamp, seen, a, b, change):  # type: ignore[no-untyped-def]
    """Add (change 1) or take away (-1) the triangles over a and b; return how much farther from wanted persons are."""
    if degree[a] > degree[b]:
        a, b = b, a
    for place in range(start[a], start[a] + degree[a]):
        seen[rows[place]] = stamp
    shared = 0
    farther = 0
    for place in range(start[b], start[b] + degree[b]):
        third = rows[place]
        if seen[third] == stamp:
            shared += 1
            farther -= abs(triangles[third] - wanted[third])
            triangles[third] += change
            farther += abs(triangles[third] - wanted[third])
    for person in (a, b):
        farther -= abs(triangles[person] - wanted[person])
        triangles[person] += change * shared
        farther += abs(triangles[person] - wanted[person])
    return farther


@nb.njit(cache=True)
def _exchange(rows, start, degree, triangles, wanted, stamp, seen, a, b, c, d):  # type: ignore[no-untyped-def]
    """Make ties a-c and b-d into a-b and c-d; return how much farther from wanted persons are."""
    untie(rows, start, degree, a, c)
    farther = _shift(rows, start, degree, triangles, wanted, stamp, seen, a, c, -1)
    untie(rows, start, degree, b, d)
    farther += _shift(rows, start, degree, triangles, wanted, stamp + 1, seen, b, d, -1)
    farther += _shift(rows, start, degree, triangles, wanted, stamp + 2, seen, a, b, 1)
    tie(rows, start, degree, a, b)
    farther += _shift(rows, start, degree, triangles, wanted, stamp + 3, seen, c, d, 1)
    tie(rows, start, degree, c, d)
    return farther


@nb.njit(cache=True)
def _close(rows, start, degree, circle, triangles, wanted, goal, proposals, rng):  # type: ignore[no-untyped-def]
    """Exchange ties until the sum of local clustering reaches the goal, or proposals run out.

    A proposal takes a person with too few triangles, two friends a and b of theirs, and one friend of each, c and d:
    a-c and b-d become a-b and c-d. It stands if it brings persons no farther from the triangles wanted. Degrees stay,
    and so do the numbers of ties within and between circles.
    """
    persons = degree.size
    seen = np.zeros(persons, np.int64)
    stamp = 1
    for proposal in range(proposals):
        if proposal % persons == 0:
            clustering = 0.0
            for person in range(persons):
                clustering += 2.0 * triangles[person] / max(1.0, degree[person] * (degree[person] - 1.0))
            if clustering >= goal:
                break
        middle = int(rng.random() * persons)
        if triangles[middle] >= wanted[middle]:
            continue
        a = rows[start[middle] + int(rng.random() * degree[middle])]
        b = rows[start[middle] + int(rng.random() * degree[middle])]
        c = rows[start[a] + int(rng.random() * degree[a])]
        d = rows[start[b] + int(rng.random() * degree[b])]
        if a == b or b == c or c == d or d == a:
            continue
        if c == middle or d == middle:
            continue
        if circle[b] != circle[c] and circle[a] != circle[d]:
            continue
        if tied(rows, start, degree, a, b) or tied(rows, start, degree, c, d):
            continue
        if _exchange(rows, start, degree, triangles, wanted, stamp, seen, a, b, c, d) > 0:
            _exchange(rows, start, degree, triangles, wanted, stamp + 4, seen, a, c, b, d)
        stamp += 8
