"""The cases, one function each: parameters in, checks out.

References
----------
Bass (1969), "A new product growth for model consumer durables", Management Science 15.
Kempe, Kleinberg & Tardos (2003), "Maximizing the spread of influence through a social network", KDD.
Otter (1949), "The multiplicative process", Ann. Math. Stat. 20; Tanner (1961) (Borel distribution of total progeny).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from experiments.verification import worlds
from sim import Shop
from sim.core.graph import Graph
from sim.core.ledger import Account
from sim.orders import OPEN
from sim.scenario import Scenario

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Check:
    """One figure beside what it should be.

    Attributes
    ----------
    case, quantity : str
    target, simulated, standard_error : float
        The standard error is of ``simulated``, joined with the target's own where others estimated it; 0 for exact laws.
    source : str
        Where the target comes from.
    parameters : dict
    """

    case: str
    quantity: str
    target: float
    simulated: float
    standard_error: float
    source: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the figure is within three standard errors (exactly right, if there is no error)."""
        return abs(self.simulated - self.target) <= 3 * self.standard_error

    def record(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {**asdict(self), "passed": self.passed}


def bass(p: float = 0.03, q: float = 0.38, runs: int = 40, persons: int = 2000, seed: int = 1) -> list[Check]:
    """Full mixing: unprompted adoption at rate p, word of mouth at rate q, against the Bass curve.

    A period is 100 ticks. Everyone who has adopted tells one random person at rate q, who adopts if they had not.
    """
    ticks, moments = 100, (5, 10)
    a_day = 24 / ticks  # periods a day
    scenario = _scenario(
        persons,
        moments[-1] * ticks,
        sharing={
            "organic": p * a_day, "word_of_mouth": q * a_day, "audience": 1, "cooldown": "0h", "on_sign_up": 0,
            "after_order": 0, "click": {"base": 1},
        },
    )  # fmt: skip
    graph = Graph.of(_complete(persons))
    share = np.zeros((runs, len(moments)))
    for r in range(runs):
        shop = Shop(scenario, rng=seed + r, graph=graph).run()
        for m, moment in enumerate(moments):
            joined = shop.people.joined
            share[r, m] = ((joined >= 0) & (joined < moment * ticks)).mean()
    checks = []
    for m, moment in enumerate(moments):
        decay = math.exp(-(p + q) * moment)
        mean, error = worlds.mean_and_error(share[:, m])
        given = {"p": p, "q": q, "runs": runs, "persons": persons}
        target = (1 - decay) / (1 + q / p * decay)
        checks.append(Check("bass", f"adopters after {moment} periods", target, mean, error, "Bass 1969, closed form", given))
    return checks


def borel(k: float = 0.6, runs: int = 40_000, seed: int = 1) -> list[Check]:
    """Referral chains in which everyone brings a Poisson number of others, mean k < 1: their total size is Borel(k).

    Everyone knows a Poisson number of people whom nobody else knows, tells them all, and each signs up with chance 0.9.
    """
    if not 0 < k < 1:
        raise ValueError(f"k must be above 0 and below 1. Got {k}.")
    sizes, _ = _chains(k, runs, limit=10**9, seed=seed)
    mean, error = worlds.mean_and_error(sizes)
    alone, alone_error = worlds.mean_and_error((sizes == 1).astype(float))
    given = {"k": k, "runs": runs}
    return [
        Check("borel", "mean size", 1 / (1 - k), mean, error, "Borel distribution: 1 / (1 - k)", given),
        Check("borel", "share of size one", math.exp(-k), alone, alone_error, "Borel distribution: exp(-k)", given),
    ]


def extinction(r: float = 1.5, runs: int = 20_000, seed: int = 1) -> list[Check]:
    """Referral chains in which everyone brings a Poisson number of others, mean r: the share that dies out.

    A chain that is alive where its tree of contacts was cut off, beyond 2000 persons, counts as one that lives for ever.
    """
    if not 1 < r <= 5:
        raise ValueError(f"r must be above 1 and at most 5; at 1 or below every chain dies out. Got {r}.")
    _, alive = _chains(r, runs, limit=2000, seed=seed)
    mean, error = worlds.mean_and_error((~alive).astype(float))
    q = 0.0
    for _ in range(10_000):
        q = math.exp(r * (q - 1))
    return [Check("extinction", "share that dies out", q, mean, error, "smallest root of q = exp(r (q - 1))", {"r": r, "runs": runs})]


def _chains(reproduction: float, runs: int, limit: int, seed: int) -> tuple[Array, Array]:
    """Run chains on contact trees and return their sizes, and which were alive where their tree was cut off."""
    accept = 0.9
    mean_persons = min(limit, 1 / (1 - reproduction / accept)) if reproduction < accept else limit
    sizes, alive = [], []
    for number, count in enumerate(worlds.parts(runs, int(mean_persons) + 1)):
        rng = np.random.default_rng([seed, number])
        graph, roots, frontier = worlds.contact_trees(count, reproduction / accept, limit, rng)
        seeds = {"seeds": {"persons": roots.tolist()}}
        scenario = _scenario(graph.persons, 200, people=seeds, sharing={"click": {"base": accept}})
        people = _until_quiet(Shop(scenario, rng=seed + number, graph=graph)).people
        root = _roots(people.inviter, people.joined)
        joined = people.joined >= 0
        sizes.append(np.bincount(root[joined], minlength=count)[:count])
        alive.append(np.bincount(root[joined & frontier], minlength=count)[:count] > 0)
    return np.concatenate(sizes), np.concatenate(alive)


def ic(
    graph: str = "karate", p: float = 0.1, seeds: Sequence[int] = (0,), runs: int = 20_000, seed: int = 1
) -> list[Check]:
    """Independent cascade: everyone who signs up tells all their friends once, each of whom signs up with chance p."""
    network, nodes = _network(graph), list(seeds)
    mean, error = _cascade(network, nodes, runs, seed, click={"base": p})
    known = {(0,): 3.4165, (33,): 3.5003, (0, 33): 6.4173}.get(tuple(nodes)) if graph == "karate" and p == 0.1 else None
    given = {"graph": graph, "p": p, "seeds": nodes, "runs": runs}
    if known is not None:
        source, target, own = "400,000 runs of two public libraries", known, 0.0017
    else:
        source = f"plain networkx simulation, {_REFERENCE_RUNS} runs"
        target, own = _reference(network, nodes, lambda rng, d: rng.random(d) < p, seed)
    return [Check("ic", "mean cascade", target, mean, math.hypot(error, own), source, given)]


def lt(graph: str = "karate", seeds: Sequence[int] = (0,), runs: int = 20_000, seed: int = 1) -> list[Check]:
    """Linear threshold: a person signs up once the share of their friends who did reaches their threshold, uniform."""
    network, nodes = _network(graph), list(seeds)
    mean, error = _cascade(network, nodes, runs, seed, response="threshold")
    known = {(0,): 12.262, (33,): 13.064, (0, 33): 22.638}.get(tuple(nodes)) if graph == "karate" else None
    given = {"graph": graph, "seeds": nodes, "runs": runs}
    if known is not None:
        source, target, own = "public library, s.e. .0075", known, 0.0075
    else:
        # Kempe, Kleinberg & Tardos 2003, theorem 2.5: linear threshold is reachability over live edges, one in-edge a node.
        source = f"live-edge equivalent in networkx, {_REFERENCE_RUNS} runs"
        target, own = _reference(network, nodes, None, seed)
    return [Check("lt", "mean cascade", target, mean, math.hypot(error, own), source, given)]


_REFERENCE_RUNS = 20_000


def _cascade(network: Graph, nodes: list[int], runs: int, seed: int, **sharing: Any) -> tuple[float, float]:
    """Run cascades from the same persons on disjoint copies of a network; return their mean size and its error."""
    if not nodes or min(nodes) < 0 or max(nodes) >= network.persons:
        raise ValueError(f"seeds must be numbers from 0 to {network.persons - 1}. Got {nodes}.")
    n, sizes = network.persons, []
    for number, count in enumerate(worlds.parts(runs, n)):
        persons = (np.array(nodes) + n * np.arange(count)[:, None]).reshape(-1)
        scenario = _scenario(count * n, 10 * n, people={"seeds": {"persons": persons.tolist()}}, sharing=sharing)
        shop = _until_quiet(Shop(scenario, rng=seed + number, graph=worlds.copies(network, count)))
        sizes.append((shop.people.joined >= 0).reshape(count, n).sum(axis=1))
    return worlds.mean_and_error(np.concatenate(sizes))


def _reference(network: Graph, nodes: list[int], passes: Callable[..., Array] | None, seed: int) -> tuple[float, float]:
    """Estimate a cascade's mean size without the shop: reachability over live edges of a networkx graph.

    ``passes(rng, edges)`` decides which directed edges are live; None: each node keeps one incoming edge (linear threshold).
    """
    import networkx as nx

    rng = np.random.default_rng([seed, 7])
    source = np.repeat(np.arange(network.persons), np.diff(network.indptr))
    target = network.indices.astype(int)
    into = [np.flatnonzero(target == i) for i in range(network.persons)] if passes is None else []
    sizes = np.empty(_REFERENCE_RUNS)
    for r in range(_REFERENCE_RUNS):
        if passes is None:
            live = np.array([rng.choice(edges) for edges in into if edges.size], int)
        else:
            live = np.flatnonzero(passes(rng, source.size))
        world = nx.DiGraph()
        world.add_nodes_from(nodes)
        world.add_edges_from(zip(source[live].tolist(), target[live].tolist(), strict=True))
        sizes[r] = len(set().union(*({i} | nx.descendants(world, i) for i in nodes)))
    return worlds.mean_and_error(sizes)


def team_fill(size: int = 3, rate: float = 2.5, window: str = "24h", teams: int = 30_000, seed: int = 1) -> list[Check]:
    """Teams that strangers join at a Poisson rate: the share that fills, against P[Poisson(rate window) >= size - 1].

    Only the product of rate and window matters, so the window is simulated as 480 ticks whatever it is. Each product has its
    own visitors, who join its open team or else open one; everybody buys, and the team price is irresistible.
    """
    from sim.core.units import read_hours

    ticks, visitors = 480, 40
    joiners = rate * read_hours(window) / 24
    products = max(200, round(teams / 4))
    horizon = 6 * ticks
    visits_a_day = joiners / ticks * 24  # of one product
    scenario = Scenario.from_dict(
        worlds.merged(
            worlds.spread(products * visitors, horizon),
            {
                "people": {
                    "network": {"kind": "erdos_renyi", "mean_degree": 0}, "members_at_start": 1,
                    "tenure": "0d", "hassle": {"mean": 0, "sigma": 0}, "way_noise": 0, "taste_weight": 0,
                    "reference_memory": 0, "price_sensitivity": {"mean": 20, "sigma": 0},
                },
                "demand": {"rate": {"shape": 100, "mean": 7 * visits_a_day / visitors}, "conversion": 0.999999},
                "catalog": {"products": products, "quality": 0, "price": {"median": 100, "sigma": 0}},
                "recommendation": {"explore": 0},
                "operations": {"disappointment": 0},
                "schemes": [
                    {"kind": "group_buy", "team_size": size, "discount": 0.9, "window": f"{ticks}h", "lobby": 1},
                ],
            },
        )
    )  # fmt: skip
    table = Shop(scenario, rng=seed).run().schemes[0].teams
    # Teams near the end have not had their time, whether they filled or not.
    judged = table.opened < horizon - ticks - 1
    filled = table.filled[judged] >= size
    mean, error = worlds.mean_and_error(filled.astype(float))
    target = float(stats.poisson.sf(size - 2, joiners))
    given = {"size": size, "rate": rate, "window": window, "teams": int(judged.sum())}
    return [Check("team-fill", "share that fills", target, mean, error, "P[Poisson(rate window) >= size - 1]", given)]


def ledger(seed: int = 1) -> list[Check]:
    """Conservation of money in the launch scenario: balances sum to zero, escrow is what open orders are worth."""
    path = Path(__file__).parents[2] / "scenarios" / "launch.yaml"
    shop = Shop(Scenario.load(path).override({"horizon": "45d", "people.size": 3000}), rng=seed)
    worst = worst_escrow = 0
    while shop.running:
        shop.step()
        worst = max(worst, abs(shop.ledger.imbalance()))
        is_open = np.isin(shop.book.status, OPEN)
        worst_escrow = max(worst_escrow, abs(shop.ledger.balance(Account.ESCROW) - int(shop.book.worth[is_open].sum())))
    given = {"scenario": "launch", "ticks": shop.clock.tick, "orders": len(shop.book)}
    return [
        Check("ledger", "largest imbalance, fen", 0.0, float(worst), 0.0, "double entry", given),
        Check("ledger", "largest gap of escrow, fen", 0.0, float(worst_escrow), 0.0, "worth of open orders", given),
    ]


CASES: dict[str, Callable[..., list[Check]]] = {
    "bass": bass,
    "borel": borel,
    "extinction": extinction,
    "ic": ic,
    "lt": lt,
    "team-fill": team_fill,
    "ledger": ledger,
}


def verify(progress: Callable[[str], None] | None = None) -> list[Check]:
    """Run every case with its defaults, and the cascades from several seeds.

    Parameters
    ----------
    progress : callable, optional
        Told the name of each case before it runs.

    Returns
    -------
    list of Check
    """
    plan: list[tuple[str, dict[str, Any]]] = [
        ("bass", {}),
        ("borel", {"k": 0.35}),
        ("borel", {"k": 0.8, "runs": 80_000}),
        ("extinction", {"r": 1.2}),
        ("extinction", {"r": 1.5}),
        ("extinction", {"r": 2.0, "runs": 40_000}),
        *(("ic", {"seeds": s}) for s in ((0,), (33,), (0, 33))),
        *(("lt", {"seeds": s}) for s in ((0,), (33,), (0, 33))),
        ("team-fill", {}),
        ("ledger", {}),
    ]
    checks: list[Check] = []
    for name, parameters in plan:
        if progress is not None:
            progress(name)
        checks += CASES[name](**parameters)
    return checks


def _scenario(persons: int, hours: int, **sections: Any) -> Scenario:
    return Scenario.from_dict(worlds.spread(persons, hours, **sections))


def _until_quiet(shop: Shop) -> Shop:
    """Run until a tick goes by in which nobody signs up and no message is under way."""
    while shop.running:
        shop.step()
        if not shop.feed.is_busy:
            break
    return shop


def _roots(inviter: Array, joined: Array) -> Array:
    """Return the root of each person's chain; who has no inviter is their own."""
    root = np.where(inviter >= 0, inviter, np.arange(inviter.size))
    while True:
        further = root[root]
        if (further == root).all():
            return root
        root = further


def _complete(persons: int) -> Any:
    import igraph

    return igraph.Graph.Full(persons)


def _network(graph: str) -> Graph:
    """Return the karate club or the network of a file, all ties alike, so that each friend weighs one over the degree."""
    if graph == "karate":
        import networkx as nx

        plain = nx.Graph(nx.karate_club_graph().edges)
        plain = nx.convert_node_labels_to_integers(plain, ordering="sorted")
        return Graph.from_networkx(plain, strength="equal")
    return Graph.read(graph, strength="equal")


__all__ = ["CASES", "Check", "verify"]
