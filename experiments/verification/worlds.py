"""Stripped-down worlds: nothing happens in them but what a case is about."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from experiments.verification.checks import BadParameterError
from sim import Shop
from sim.core.graph import Graph
from sim.offers import NONE, Source
from sim.scenario import Scenario

Array = npt.NDArray[Any]
PERSONS_AT_ONCE = 400_000  # so many are simulated together; larger cases run in several parts
TIES_AT_ONCE = 20_000_000

# People who never come of their own will, never buy, differ in nothing, and tell everybody once when they sign up.
_QUIET: dict[str, Any] = {
    "name": "verification",
    "horizon": "3650d",
    "tick": "1h",
    "people": {
        "members_at_start": 0, "homophily": 0, "taste_dimensions": 1, "shared_devices": 0,
        "conformity": {"mean": 0, "sigma": 0},
    },
    "demand": {"rate": {"shape": 1.0, "mean": 1e-9}, "dropout": "none", "units": 1.0, "conversion": 1e-6},
    "catalog": {"merchants": 1, "products": 2, "categories": 1},
    "recommendation": {"model": "random", "slate": 1},
    "sharing": {
        "word_of_mouth": 0, "per_visit": 0, "after_order": 0, "on_sign_up": "100%", "activity_sigma": 0,
        "audience": "all", "cooldown": "3650d", "reward_weight": 0, "social_cost": {"mean": 0, "sigma": 0},
        "delay": "0h", "sign_up": "100%", "organic": 0,
        "click": {
            "base": 0.1, "strength": 0, "trust": 0, "relevance": 0, "invitation": 0, "team_call": 0, "fatigue": 0,
            "gift": 0,
        },
    },
}  # fmt: skip

# A shop in which nothing but visits and purchases happens, and what is shown and asked for stays as it is.
_PLAIN_SHOP: dict[str, Any] = {
    "people": {"members_at_start": 1, "tenure": "0d", "reference_memory": 0},
    "recommendation": {"model": "popularity", "slate": 12, "explore": 0, "refresh": "3650d"},
    "merchants": {"price_step": 0},
    "operations": {"return_rate": 0, "disappointment": 0, "satisfaction_effect": 0},
    "sharing": {"on_sign_up": 0},
}  # fmt: skip


def merged(base: Mapping[str, Any], *changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with ``changes`` laid over it, section by section."""
    result = dict(base)
    for change in changes:
        for key, value in change.items():
            old = result.get(key)
            both = isinstance(old, Mapping) and isinstance(value, Mapping)
            result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def spread(**sections: Any) -> Scenario:
    """Return a scenario of pure spread: who signs up tells all their friends at once, who click with chance .1."""
    return Scenario.from_dict(merged(_QUIET, sections))


def plain_shop(**sections: Any) -> Scenario:
    """Return a scenario of pure trade: members who know nobody visit a shop without schemes that never changes."""
    return Scenario.from_dict(merged(_QUIET, _PLAIN_SHOP, sections))


def strangers(persons: int) -> Graph:
    """Return a network without ties."""
    return Graph(np.zeros(persons + 1, np.int64), np.zeros(0, np.int32))


def run_cascade(scenario: Scenario, graph: Graph | None, seeds: Array, rng: int) -> Shop:
    """Let the given persons sign up in the first tick, and run the shop until no message is under way."""
    shop = Shop(scenario, rng=rng, graph=graph)
    shop.queue_signups(seeds, np.full(seeds.size, NONE), Source.OWN)
    while shop.running:
        shop.step()
        if not shop.feed.is_busy:
            break
    return shop


def roots(inviter: Array) -> Array:
    """Return the root of each person's chain of inviters; who has no inviter is their own."""
    root = np.where(inviter >= 0, inviter, np.arange(inviter.size))
    while True:
        further = root[root]
        if (further == root).all():
            return root
        root = further


def parts(runs: int, persons: float, ties: int = 0) -> list[int]:
    """Return how many copies of a world of so many persons and ties to simulate at once, adding up to ``runs``."""
    at_once = max(1, min(int(PERSONS_AT_ONCE / persons), TIES_AT_ONCE // max(1, ties)))
    whole = [at_once] * (runs // at_once)
    return whole + ([rest] if (rest := runs - sum(whole)) else [])


# Networks.


def copies(graph: Graph, count: int) -> Graph:
    """Return so many disjoint copies of a network; person ``i`` of copy ``c`` is ``c * graph.persons + i``."""
    n, ends = graph.persons, graph.indices.size
    indptr = np.concatenate([(graph.indptr[:-1] + ends * np.arange(count)[:, None]).reshape(-1), [ends * count]])
    indices = (graph.indices + n * np.arange(count, dtype=np.int32)[:, None]).reshape(-1)
    return Graph(indptr, indices, np.tile(graph.strength, count), directed=graph.directed)


def acquaintances(groups: int, persons: int, contacts: int, rng: np.random.Generator) -> Graph:
    """Return groups in which everyone knows ``contacts`` of the others, drawn at random; directed.

    Parameters
    ----------
    groups, persons : int
        Number of groups, and persons in each.
    contacts : int
        Divides ``persons``: one is drawn from each of so many equal slices of the group.
    rng : numpy.random.Generator
    """
    width = persons // contacts
    everyone = groups * persons
    drawn = rng.integers(width, size=(everyone, contacts), dtype=np.int32)
    drawn += width * np.arange(contacts, dtype=np.int32)
    own = np.tile(np.arange(persons, dtype=np.int32), groups)
    row, place = np.nonzero(drawn == own[:, None])
    # Who would draw themselves takes the next of the slice.
    drawn[row, place] = place * width + (own[row] + 1) % width
    drawn += np.repeat(persons * np.arange(groups, dtype=np.int32), persons)[:, None]
    return Graph(contacts * np.arange(everyone + 1), drawn.reshape(-1), "equal", directed=True)


def contact_trees(count: int, mean: float, generations: int | None, rng: np.random.Generator) -> tuple[Graph, Array]:
    """Return a forest of Poisson contact trees: everyone knows a Poisson number of people whom nobody else knows.

    Parameters
    ----------
    count : int
        Trees. Their roots are persons 0 to ``count - 1``.
    mean : float
        Contacts of a person.
    generations : int or None
        After the root; None: until there are no more contacts, for means below 1.
    rng : numpy.random.Generator

    Returns
    -------
    graph : Graph
        Directed from each person to their contacts.
    is_last : ndarray of bool, shape (persons,)
        Those of the last generation, who know nobody because trees were cut off there.
    """
    degrees = []
    generation, living = 0, count
    while living and generation != generations:
        degrees.append(rng.poisson(mean, living))
        generation, living = generation + 1, int(degrees[-1].sum())
    degrees.append(np.zeros(living, np.int64))
    # Persons are numbered generation by generation, in the order of those who know them: so contacts come in order.
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(degrees))])
    persons = indptr.size - 1
    graph = Graph(indptr, np.arange(count, persons, dtype=np.int32), "equal", directed=True)
    return graph, np.arange(persons) >= persons - living


def read_network(name: str) -> Graph:
    """Return Zachary's karate club or the network of an edge list file, all ties mutual and alike.

    Raises
    ------
    BadParameterError
        If the file cannot be read as one.
    """
    if name == "karate":
        import networkx as nx

        source, target = np.array(nx.karate_club_graph().edges).T
        return Graph.from_edges(source, target, strength="equal")
    if not Path(name).is_file():
        raise BadParameterError(f"graph must be karate or an edge list file (csv or csv.gz). Got {name}: no such file.")
    try:
        return Graph.read(name, strength="equal")
    except (ValueError, OSError) as problem:
        raise BadParameterError(f"graph: {problem}") from None


def persons_called(graph: Graph, names: list[str]) -> Array:
    """Return the rows of persons by what the network's file calls them, or by number if it only numbers them.

    Raises
    ------
    BadParameterError
        If there is no such person, or no name is given.
    """
    labels = np.arange(graph.persons) if graph.labels is None else graph.labels
    row = {str(label): i for i, label in enumerate(labels)}
    allowed = f"numbers from 0 to {graph.persons - 1}" if graph.labels is None else "persons of the graph's file"
    if not names:
        raise BadParameterError("seeds must name at least one person, such as 0,33. Got none.")
    for name in names:
        if name not in row:
            raise BadParameterError(f"seeds must be {allowed}, with commas between them. Got {name!r}.")
    return np.array(sorted({row[name] for name in names}), np.int32)
