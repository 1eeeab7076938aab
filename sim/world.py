"""The world before the first day: network, catalogue, people, and what members have bought so far.

Everything is drawn from the seed alone, so two arms of a comparison start from the same world unless they say
otherwise.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from ruamel.yaml import YAML

from agents import consumers
from sim import catalog
from sim.core import draws
from sim.core.clock import HOURS_A_DAY
from sim.core.draws import Stream
from sim.core.graph import Graph
from sim.core.homophily import OutOfReachError, correlate
from sim.core.networks import build
from sim.demand import Demand, Profile, profile_path
from sim.feed import TALK_CAP
from sim.people import RECENT, People, Status, list_price_chances, populate

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.scenario.schema import ScenarioConfig, Seeds
    from sim.shop import Shop

Array = npt.NDArray[Any]


def read_demand(config: ScenarioConfig) -> Demand:
    """Read the scenario's demand profile and lay what the scenario says itself over it."""
    path = Path(profile_path(config.demand.profile))
    profile = Profile.model_validate(YAML(typ="safe").load(path.read_text("utf-8")))
    return Demand.resolve(config.demand, profile)


def build_graph(scenario: Scenario, seed: int) -> Graph:
    """Return the scenario's network at the scenario's size.

    A network file at another size than its own becomes a generated network like it; the graph's notes say how like.

    Raises
    ------
    ScenarioError
        If there is no such network, or its file is not right.
    """
    people = scenario.config.people
    try:
        return build(people.network, people.size, np.random.default_rng([seed, 1]))
    except (OSError, ValueError) as problem:
        raise scenario.error("people.network", str(problem)) from None


def check(scenario: Scenario, seed: int) -> Graph:
    """Return the network of a run with this seed, or refuse a scenario of which only that tells that it cannot run.

    Raises
    ------
    ScenarioError
        If there is no such network, homophily is beyond its reach, or a person to invite is not in it.
    """
    graph = build_graph(scenario, seed)
    try:
        correlate(graph, np.empty((graph.persons, 0)), scenario.config.people.homophily)
    except OutOfReachError as problem:
        raise scenario.error("people.homophily", str(problem)) from None
    _check_seeds(scenario, graph.persons)
    return graph


def build_people(shop: Shop, demand: Demand) -> People:
    """Draw everyone, and make those members who are at the start."""
    config, seed = shop.config, shop.seed
    try:
        people = populate(shop.graph, config.people, config.sharing, demand, len(shop.products), seed)
    except OutOfReachError as problem:
        raise shop.scenario.error("people.homophily", str(problem)) from None
    rows = np.flatnonzero(draws.uniform(seed, Stream.MEMBER_AT_START, people.uid) < config.people.members_at_start)
    tenure = draws.uniform(seed, Stream.TENURE, people.uid[rows]) * config.people.tenure
    people.status[rows] = Status.MEMBER
    people.joined[rows] = -np.ceil(tenure / shop.clock.tick_hours).astype(np.int32)
    people.talk_rate[:] = config.sharing.word_of_mouth * TALK_CAP * people.activity
    return people


def live_through_history(shop: Shop, demand: Demand) -> tuple[Array, Array]:
    """Let members at the start have bought before, and some of them have left.

    Returns
    -------
    person, product : int32 ndarray
        The past orders, for the recommender's log.
    """
    config, people, products = shop.config, shop.people, shop.products
    rows = np.flatnonzero(people.status == Status.MEMBER).astype(np.int32)
    age = -people.joined[rows] * shop.clock.tick_hours / HOURS_A_DAY
    person, product, days_ago, left = consumers.past_orders(
        np.uint32(shop.seed), rows, people.uid,
        people.visit_rate * list_price_chances(people.deal_prone, config.people.deal_proneness, demand.conversion),
        people.held("dropout"), age, min(config.recommendation.slate, len(products)), len(products),
        people.taste, products.topic, products.quality, config.people.taste_weight,
    )  # fmt: skip
    people.status[rows[left]] = Status.CHURNED
    count = np.bincount(person, minlength=len(people)).astype(np.int32)
    people.orders[:] = count
    people.purchases[:] = count
    start = np.concatenate([[0], np.cumsum(count)])
    for back in range(RECENT):
        has = np.flatnonzero(count > back)
        people.recent[has, back] = product[start[has + 1] - 1 - back]
    in_time = np.argsort(-days_ago, kind="stable")
    consumers.tell_friends(
        person[in_time], product[in_time], shop.graph.indptr, shop.graph.indices, people.heard, people.heard_next
    )
    bought = np.flatnonzero(count)
    ticks = -np.ceil(days_ago * HOURS_A_DAY / shop.clock.tick_hours).astype(np.int32)
    people.first_order[bought] = ticks[start[bought]]
    people.last_order[bought] = people.last_visit[bought] = ticks[start[bought + 1] - 1]
    return person, product


def _check_seeds(scenario: Scenario, persons: int) -> None:
    """Refuse to invite persons who do not exist."""
    seeds = scenario.config.people.seeds
    if seeds is None:
        return
    if seeds.count is not None and seeds.count > persons:
        message = f"must be at most {persons:,}, the number of persons. Got {seeds.count:,}."
        raise scenario.error("people.seeds.count", message)
    for number, person in enumerate(seeds.persons or ()):
        if person >= persons:
            message = f"must be a number below {persons:,}, the number of persons. Got {person:,}."
            raise scenario.error(f"people.seeds.persons.{number}", message)


def chosen_seeds(seeds: Seeds, shop: Shop) -> Array:
    """Return the persons whom the shop itself invites in the first tick, int32."""
    graph, n = shop.graph, shop.graph.persons
    _check_seeds(shop.scenario, n)
    if seeds.persons is not None:
        return np.array(sorted(set(seeds.persons)), np.int32)
    if seeds.by == "degree":
        score = graph.degree.astype(np.float64)
    elif seeds.by == "betweenness":
        # Paths of at most four steps: the usual approximation, exact betweenness costs n times m.
        score = np.array(graph.to_igraph().betweenness(cutoff=4))
    else:
        score = np.zeros(n)
    tie_break = draws.uniform(shop.seed, Stream.MEMBER_AT_START, np.arange(n), 1)
    order = np.lexsort((tie_break, -score))
    return order[: min(seeds.count or 0, n)].astype(np.int32)


def build_catalog(shop: Shop, demand: Demand, rng: np.random.Generator) -> catalog.Products:
    """Generate the catalogue."""
    return catalog.build(shop.config.catalog, demand, shop.config.people.taste_dimensions, rng)


def calibrate_intercepts(shop: Shop, demand: Demand, rows: Array, slates: Array) -> None:
    """Set persons' intercepts so that they buy from these slates at list price as the demand's conversion says."""
    people, products = shop.people, shop.products
    intercept = np.zeros(rows.size, np.float32)
    chance = list_price_chances(people.deal_prone[rows], shop.config.people.deal_proneness, demand.conversion)
    consumers.calibrate(
        chance, slates, people.taste[rows], products.topic, products.quality,
        shop.config.people.taste_weight, intercept,
    )  # fmt: skip
    people.intercept[rows] = intercept
