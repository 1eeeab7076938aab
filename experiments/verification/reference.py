"""Cascades without the shop: the models' definitions in plain Python, for networks that nobody has published on.

References
----------
Kempe, Kleinberg & Tardos (2003), "Maximizing the spread of influence through a social network", KDD.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.core.graph import Graph

Array = npt.NDArray[Any]
RUNS = 20_000
_TELLS = 10_000_000  # large networks get fewer runs: it stops after so many messages


def independent_cascade(graph: Graph, seeds: Array, p: float, seed: int) -> Array:
    """Return sizes of cascades in which everyone who joins tells each friend once, who joins with chance ``p``."""
    friends = _friends(graph)
    luck = random.Random(seed)
    sizes: list[int] = []
    told = 0
    while len(sizes) < RUNS and told < _TELLS:
        active = set(seeds.tolist())
        newest = list(active)
        while newest:
            person = newest.pop()
            told += len(friends[person])
            for friend in friends[person]:
                if friend not in active and luck.random() < p:
                    active.add(friend)
                    newest.append(friend)
        sizes.append(len(active))
    return np.array(sizes)


def linear_threshold(graph: Graph, seeds: Array, seed: int) -> Array:
    """Return sizes of linear-threshold cascades, in which each of a person's friends weighs one over their number.

    Notes
    -----
    By theorem 2.5 of Kempe, Kleinberg & Tardos a cascade reaches those from whom a chain leads back to a seed, when
    everyone points to one friend drawn uniformly. So nothing here has a threshold, unlike in the shop.
    """
    friends = _friends(graph)
    luck = random.Random(seed)
    sizes: list[int] = []
    told = 0
    while len(sizes) < RUNS and told < _TELLS:
        active = set(seeds.tolist())
        newest = list(active)
        follows: dict[int, int] = {}
        while newest:
            person = newest.pop()
            told += len(friends[person])
            for friend in friends[person]:
                if friend in active:
                    continue
                if friend not in follows:
                    follows[friend] = luck.choice(friends[friend])
                if follows[friend] == person:
                    active.add(friend)
                    newest.append(friend)
        sizes.append(len(active))
    return np.array(sizes)


def _friends(graph: Graph) -> list[list[int]]:
    return [graph.neighbours(person).tolist() for person in range(graph.persons)]
