"""Who is treated: designs of randomised experiments on persons, merchants and time.

A design of persons says for each person which *unit* they belong to; a coin is tossed for each unit. Persons of their
own, communities, and an ego with its alters differ in nothing but the units.

References
----------
Ugander, Karrer, Backstrom & Kleinberg (2013), "Graph cluster randomization", KDD.
Eckles, Karrer & Ugander (2017), "Design and analysis of experiments in networks: reducing bias from interference".
Saint-Jacques, Varshney, Simpson & Xu (2019), "Using ego-clusters to measure network effects at LinkedIn".
Bojinov, Simchi-Levi & Zhao (2023), "Design and analysis of switchback experiments", Management Science 69.
Traag, Waltman & van Eck (2019), "From Louvain to Leiden", Sci. Rep. 9.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sim.core.graph import Graph

Array = npt.NDArray[Any]
Generator = np.random.Generator


@dataclass(frozen=True)
class Design:
    """Units of persons among which treatment is randomised.

    Parameters
    ----------
    unit : int64 ndarray, shape (persons,)
        Number of each person's unit, from 0 without gaps.
    share : float
        Of the units that are treated, in (0, 1).
    analysed : bool ndarray, shape (persons,)
        Whose outcomes are looked at.
    own_coins : bool
        True: each unit has a coin of its own (Bernoulli). False: exactly the nearest whole number to ``share`` of the
        units is treated, at least one and not all (complete randomisation).
    """

    unit: Array
    share: float
    analysed: Array
    own_coins: bool

    @property
    def units(self) -> int:
        """How many there are."""
        return int(self.unit.max(initial=-1)) + 1

    @property
    def units_analysed(self) -> int:
        """How many units have persons who are looked at."""
        return int(np.unique(self.unit[self.analysed]).size)

    def draw(self, rng: Generator) -> Array:
        """Return who is treated: a mask of shape (persons,)."""
        if self.own_coins:
            treated: Array = (rng.random(self.units) < self.share)[self.unit]
            return treated
        return complete(self.units, self.share, rng)[self.unit]


def complete(units: int, share: float, rng: Generator) -> Array:
    """Treat a fixed number of units, each set of that size equally likely; at least one, and not all.

    Raises
    ------
    ValueError
        If there are fewer than two units.
    """
    if units < 2:
        raise ValueError(f"there must be two units at least, one to treat and one not. Got {units}.")
    treated = np.zeros(units, bool)
    treated[rng.permutation(units)[: min(max(1, round(share * units)), units - 1)]] = True
    return treated


def person_level(persons: int, share: float) -> Design:
    """Toss a coin for each person."""
    return Design(np.arange(persons), share, np.ones(persons, bool), own_coins=True)


def cluster_level(labels: Array, share: float) -> Design:
    """Randomise whole clusters.

    Parameters
    ----------
    labels : int ndarray, shape (persons,)
        Any numbers, alike for persons of a cluster.
    share : float
    """
    unit = np.unique(labels, return_inverse=True)[1]
    return Design(unit, share, np.ones(unit.size, bool), own_coins=False)


def communities(graph: Graph, seed: int, resolution: float = 1.0) -> Array:
    """Return each person's community by the Leiden method, run until it is stable.

    Parameters
    ----------
    graph : Graph
        Directions are ignored.
    seed : int
        Of the method's own draws.
    resolution : float
        Of modularity; above 1 gives more and smaller communities.

    Returns
    -------
    int64 ndarray, shape (persons,)
        From 0; each person without ties is alone.
    """
    from sim.core.graph import igraph_draws

    both = graph.to_igraph().as_undirected()
    with igraph_draws(seed):
        found = both.community_leiden("modularity", resolution=resolution, n_iterations=-1).membership
    return np.asarray(found, np.int64)


def ego_level(graph: Graph, share: float, rng: Generator) -> Design:
    """Randomise egos together with all their neighbours, and look at the egos only.

    Persons become egos in random order, each if no one of it or its neighbours belongs to an ego already; so all of an
    ego's neighbours are treated exactly if it is. Whoever belongs to no ego has a coin of their own. As many ties stand
    in the way of becoming one, egos have fewer ties than others: what depends on ties is not what it is for all.
    """
    around = graph if not graph.directed else both_ways(graph)
    unit, ego = pack(rng.permutation(graph.persons).astype(np.int32), around.indptr, around.indices)
    return Design(unit, share, ego, own_coins=False)


def both_ways(graph: Graph) -> Graph:
    """Return a directed graph without its directions."""
    return type(graph).from_edges(*graph.pairs(), persons=graph.persons, strength="equal")


@nb.njit(cache=True)
def pack(order, indptr, indices):  # type: ignore[no-untyped-def]
    """Pack egos with their neighbours, in the given order, so that no person belongs to two of them.

    Returns
    -------
    unit : int64 ndarray, shape (persons,)
        From 0; who belongs to no ego has a unit of their own.
    ego : bool ndarray, shape (persons,)
    """
    unit = np.full(order.size, -1, np.int64)
    ego = np.zeros(order.size, np.bool_)
    count = 0
    for i in order:
        free = unit[i] < 0
        for j in indices[indptr[i] : indptr[i + 1]]:
            free = free and unit[j] < 0
        if free:
            ego[i] = True
            unit[i] = count
            unit[indices[indptr[i] : indptr[i + 1]]] = count
            count += 1
    for i in range(order.size):
        if unit[i] < 0:
            unit[i] = count
            count += 1
    return unit, ego


@dataclass(frozen=True)
class Schedule:
    """A switchback: on and off by blocks of days, in pairs of one block each.

    Parameters
    ----------
    on : bool ndarray, shape (days,)
        Whether the treatment is on; off on days that belong to no pair.
    block : int64 ndarray, shape (days,)
        Number of each day's block, -1 for days that belong to no pair; blocks 2k and 2k + 1 are a pair.
    kept : bool ndarray, shape (days,)
        Days that are looked at: without the first days of each block, in which the one before may still be felt.
    """

    on: Array
    block: Array
    kept: Array

    @property
    def pairs(self) -> int:
        """How many pairs of blocks there are."""
        return (int(self.block.max(initial=-1)) + 1) // 2


def switchback(first: int, days: int, block: int, washout: int, rng: Generator) -> Schedule:
    """Toss a coin for each pair of blocks: which comes first, on or off.

    Pairs of neighbouring blocks take out of the estimate what grows or falls slowly over the run.

    Parameters
    ----------
    first, days : int
        Day on which the experiment begins, and days of the run.
    block, washout : int
        Days of a block, and how many of these at its beginning are not looked at; ``washout < block``.

    Raises
    ------
    ValueError
        If there is no room for two pairs, or nothing is left of a block.
    """
    pairs = (days - first) // (2 * block)
    if pairs < 2:
        raise ValueError(f"must leave room for four blocks in {days - first} days. Got blocks of {block} days.")
    if not 0 <= washout < block:
        raise ValueError(f"must leave a day of each block of {block} days. Got {washout}.")
    day = np.arange(2 * pairs * block)
    first_on = rng.random(pairs) < 0.5
    on, number, kept = np.zeros(days, bool), np.full(days, -1, np.int64), np.zeros(days, bool)
    rows = first + day
    number[rows] = day // block
    on[rows] = first_on[day // (2 * block)] == (number[rows] % 2 == 0)
    kept[rows] = day % block >= washout
    return Schedule(on, number, kept)


def within_share(graph: Graph, design: Design) -> float:
    """Return the share of a person's neighbours who are in the same unit, mean over the analysed who have any.

    It is what a design can catch of an effect that comes from neighbours (``interference_linear``).
    """
    degree = graph.degree
    person = np.repeat(np.arange(graph.persons), degree)
    same = np.bincount(person, design.unit[person] == design.unit[graph.indices], graph.persons)
    tied = (degree > 0) & design.analysed
    return float((same[tied] / degree[tied]).mean()) if tied.any() else float("nan")
