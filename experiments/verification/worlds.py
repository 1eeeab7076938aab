"""Stripped-down worlds: nothing happens in them but what a case is about."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.core.graph import Graph

Array = npt.NDArray[Any]
PERSONS_A_RUN = 400_000  # so many are simulated at once; larger cases run in several parts

# People who never come of their own will, never buy, differ in nothing, and tell everybody once when they sign up.
_QUIET: dict[str, Any] = {
    "name": "verification",
    "tick": "1h",
    "people": {
        "members_at_start": 0, "homophily": 0, "shared_devices": 0, "conformity": {"mean": 0, "sigma": 0},
    },
    "demand": {"rate": {"shape": 1.0, "mean": 1e-9}, "dropout": "none", "units": 1.0, "conversion": 1e-6},
    "catalog": {"merchants": 1, "products": 2, "categories": 1},
    "recommendation": {"model": "random", "slate": 1, "refresh": "3650d"},
    "sharing": {
        "word_of_mouth": 0, "per_visit": 0, "after_order": "100%", "on_sign_up": "100%", "activity_sigma": 0.0,
        "audience": "all", "cooldown": "3650d", "reward_weight": 0, "social_cost": {"mean": 0, "sigma": 0}, "delay": "0h",
        "sign_up": "100%", "organic": 0,
        "click": {"base": 0.1, "strength": 0, "trust": 0, "relevance": 0, "invitation": 0, "team_call": 0, "fatigue": 0, "gift": 0},
    },
}  # fmt: skip


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, section by section."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def spread(persons: int, hours: int, **sections: Any) -> dict[str, Any]:
    """Return a scenario, as a mapping, of pure spread among so many persons that lasts so many ticks of an hour."""
    return merged(merged(_QUIET, {"horizon": f"{hours}h", "people": {"size": persons}}), sections)


def copies(graph: Graph, count: int) -> Graph:
    """Return so many disjoint copies of a network; person ``i`` of copy ``c`` is ``c * graph.persons + i``."""
    n, ends = graph.persons, graph.indices.size
    indptr = np.concatenate([(graph.indptr[:-1] + ends * np.arange(count)[:, None]).reshape(-1), [ends * count]])
    indices = (graph.indices + n * np.arange(count, dtype=np.int32)[:, None]).reshape(-1)
    return Graph(indptr, indices, np.tile(graph.strength, count), directed=graph.directed)


def contact_trees(count: int, mean: float, limit: int, rng: np.random.Generator) -> tuple[Graph, Array, Array]:
    """Return a forest of Poisson contact trees: everyone knows a Poisson number of people whom nobody else knows.

    Parameters
    ----------
    count : int
        Trees.
    mean : float
        Contacts of a person.
    limit : int
        A tree in which a generation ends beyond so many persons is not grown further.
    rng : numpy.random.Generator

    Returns
    -------
    graph : Graph
        Directed from each person to their contacts.
    roots : ndarray of int
    frontier : ndarray of bool, shape (persons,)
        Those in trees that were cut off who would have had contacts of their own generation next.
    """
    tree = np.arange(count)
    generation = np.arange(count)
    size = np.ones(count, np.int64)
    sources, targets, cut = [], [], []
    persons = count
    while generation.size:
        growing = size[tree] <= limit
        cut.append(generation[~growing])
        generation, tree = generation[growing], tree[growing]
        contacts = rng.poisson(mean, generation.size)
        source = np.repeat(generation, contacts)
        tree = np.repeat(tree, contacts)
        generation = persons + np.arange(source.size)
        persons += source.size
        np.add.at(size, tree, 1)
        sources.append(source)
        targets.append(generation)
    frontier = np.zeros(persons, bool)
    frontier[np.concatenate(cut)] = True
    graph = Graph.from_edges(np.concatenate(sources), np.concatenate(targets), persons, directed=True, strength="equal")
    return graph, np.arange(count), frontier


def parts(runs: int, persons: int) -> list[int]:
    """Return how many copies of a world of so many persons to simulate at once, adding up to ``runs``."""
    at_once = max(1, PERSONS_A_RUN // persons)
    whole = [at_once] * (runs // at_once)
    return whole + ([rest] if (rest := runs - sum(whole)) else [])


def mean_and_error(values: Array) -> tuple[float, float]:
    """Return the mean of independent values and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))
