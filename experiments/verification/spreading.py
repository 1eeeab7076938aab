"""Cases of spread: how word passes from person to person.

References
----------
Bass (1969), "A new product growth for model consumer durables", Management Science 15.
Kempe, Kleinberg & Tardos (2003), "Maximizing the spread of influence through a social network", KDD.
Newman (2002), "Spread of epidemic disease on networks", Phys. Rev. E 66 (giant share).
Otter (1949), "The multiplicative process", Ann. Math. Stat. 20; Tanner (1961), Biometrika 48 (Borel distribution).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize

from experiments.verification import reference, worlds
from experiments.verification.checks import Check, mean_and_error, must, must_be_runs, run_seeds
from sim import Shop
from sim.core.graph import Graph

Array = npt.NDArray[Any]
_GROUP, _GROUPS, _CONTACTS = 5000, 8, 500  # of the Bass case: persons a group, groups a shop, whom everyone knows
_LEAST_TICKS = 50  # a period of the Bass case
_RUNS = 15_000  # give a standard error of .8% where a figure's spread is as great as its mean
_MISJUDGED = 1e-5  # chains that die although they were taken to live for ever
_LARGE = 0.05  # an outbreak: share of all persons


def bass(p: float = 0.03, q: float = 0.38, runs: int | None = None, seed: int = 1) -> list[Check]:
    """Full mixing: people adopt of their own at rate p, and through word of mouth at rate q.

    Adopters talk at rate q; each talk reaches one person on average, any other of the group, who adopts if they had not.

    Parameters
    ----------
    p, q : float
        Per period; in (0, 1] and (0, 2].
    runs : int, optional
        Groups of 5,000 persons; default 60.
    seed : int

    Notes
    -----
    Ticks are so short that the shop's curve is off the continuous one by less than a thousandth. Everyone knows one in ten
    of their group, drawn anew for each shop, so that hardly anyone is told twice by the same person. Who signs up comes to
    look at the shop, and who looks does not talk unprompted in that tick. The ticks that a newcomer thus says nothing are
    made good by a chance to talk when signing up: half a tick for those who come of their own, one and a half for those
    who are told in one tick and sign up in the next. ``p / q ln(1 + q / p)`` of all come of their own.
    """
    must(0 < p <= 1, "p must be above 0 and at most 1", p)
    must(0 < q <= 2, "q must be above 0 and at most 2", q)
    must_be_runs(runs)
    runs = runs or 60
    ticks = max(_LEAST_TICKS, math.ceil(300 * (p + q)))
    peak = math.log(q / p) / (p + q) if q > p else 0.0
    horizon = math.ceil(max(10.0, 1.4 * peak) * ticks)
    silent = 1.5 - p / q * math.log1p(q / p)
    scenario = worlds.spread(
        horizon=f"{horizon + 1}h",
        people={"size": _GROUPS * _GROUP},
        sharing={
            "organic": p * 24 / ticks, "word_of_mouth": q * 24 / ticks, "on_sign_up": -math.expm1(-q * silent / ticks), "audience": 1,
            "cooldown": "0h", "click": {"base": 1},
        },
    )  # fmt: skip
    adopted = []  # ticks
    rng = np.random.default_rng([seed, 1])
    for rng_seed, _ in zip(run_seeds(seed, "bass"), range(0, runs, _GROUPS), strict=False):
        graph = worlds.acquaintances(_GROUPS, _GROUP, _CONTACTS, rng)
        people = Shop(scenario, rng=rng_seed, graph=graph).run().people
        # What was said in one tick is read in the next.
        tick = np.where(people.joined < 0, horizon, people.joined - (people.inviter >= 0))
        adopted.append(np.sort(tick.reshape(_GROUPS, _GROUP), axis=1))
    moment = np.concatenate(adopted)[:runs]
    given = {"p": p, "q": q, "runs": runs, "seed": seed}
    checks = []
    for periods in (5, 10):
        decay = math.exp(-(p + q) * periods)
        target = (1 - decay) / (1 + q / p * decay)
        found = mean_and_error((moment < periods * ticks).mean(axis=1))
        checks.append(Check("bass", f"adopters after {periods} periods, share", target, *found, "Bass 1969: F(t)", given))
    if q > p:
        # Adoption is fastest when this share has adopted; the share's moment has far less noise than the fastest tick.
        at_peak = math.ceil((1 - p / q) / 2 * _GROUP)
        found = mean_and_error((moment[:, at_peak] + 0.5) / ticks)
        checks.append(Check("bass", "peak of adoption, periods", peak, *found, "Bass 1969: ln(q / p) / (p + q)", given))
    return checks


def borel(k: float = 0.6, runs: int | None = None, seed: int = 1) -> list[Check]:
    """Referral chains in which everyone brings a Poisson number of others, k < 1 on average: their sizes are Borel(k).

    Everyone knows a Poisson number of people whom nobody else knows, mean sqrt(k), tells them all when they sign up, and
    each signs up with chance sqrt(k). A chain is put together from who invited whom.

    Parameters
    ----------
    k : float
        In (0, .95].
    runs : int, optional
        Chains; default: so many that the standard errors are below 1% of the targets.
    seed : int
    """
    must(0 < k <= 0.95, "k must be above 0 and at most 0.95; at 1 and above chains never end", k)
    must_be_runs(runs)
    runs = runs or math.ceil(_RUNS * max(math.e - 1, k / (1 - k)))
    accept = math.sqrt(k)
    sizes, _ = _chains(run_seeds(seed, "borel"), k, accept, runs, None, np.random.default_rng([seed, 2]))
    given = {"k": k, "runs": runs, "seed": seed}
    mean, alone = mean_and_error(sizes), mean_and_error((sizes == 1).astype(float))
    return [
        Check("borel", "size of a chain, persons", 1 / (1 - k), *mean, "Borel distribution: 1 / (1 - k)", given),
        Check("borel", "chains of one person, share", math.exp(-k), *alone, "Borel distribution: exp(-k)", given),
    ]


def extinction(r: float = 1.5, runs: int | None = None, seed: int = 1) -> list[Check]:
    """Referral chains in which everyone brings a Poisson number of others, r > 1 on average: the share that dies out.

    As ``borel``, with chance .9 of signing up. A shop shows a few generations; the last generation of a chain that still
    lives starts the next shop, until a chain has so many members that it will die with a chance below one in 100,000.

    Parameters
    ----------
    r : float
        In [1.05, 4].
    runs : int, optional
        Chains; default: so many that the standard error is below 1% of the target.
    seed : int
    """
    must(1.05 <= r <= 4, "r must be from 1.05 to 4; at 1 and below every chain dies out", r)
    must_be_runs(runs)
    q = float(optimize.brentq(lambda x: math.exp(r * (x - 1)) - x, 0.0, 1 - 1e-3))
    runs = runs or max(5000, math.ceil(_RUNS * (1 - q) / q))
    accept = 0.9
    generations = max(1, int(math.log(6) / math.log(r / accept)))  # about six contacts in the last
    enough = math.log(_MISJUDGED) / math.log(q)
    seeds, rng = run_seeds(seed, "extinction"), np.random.default_rng([seed, 3])
    living = np.ones(runs, np.int64)
    while (undecided := np.flatnonzero((living > 0) & (living < enough))).size:
        chain = np.repeat(undecided, living[undecided])
        _, last = _chains(seeds, r, accept, chain.size, generations, rng)
        living[undecided] = np.bincount(chain, last, runs)[undecided]
    found = mean_and_error((living == 0).astype(float))
    given = {"r": r, "runs": runs, "seed": seed}
    return [Check("extinction", "chains that die out, share", q, *found, "smallest root of q = exp(r (q - 1))", given)]


def _chains(
    seeds: Iterator[int], reproduction: float, accept: float, runs: int, generations: int | None, rng: np.random.Generator
) -> tuple[Array, Array]:
    """Run chains on contact trees of so many generations; return their sizes, and their members in the last generation."""
    mean = reproduction / accept
    persons = 1 / (1 - mean) if generations is None else sum(mean**g for g in range(generations + 1))
    scenario = worlds.spread(sharing={"click": {"base": accept}})
    sizes, last = [], []
    for count, rng_seed in zip(worlds.parts(runs, persons), seeds, strict=False):
        graph, is_last = worlds.contact_trees(count, mean, generations, rng)
        people = worlds.run_cascade(scenario, graph, np.arange(count), rng_seed).people
        root = worlds.roots(people.inviter)
        joined = people.joined >= 0
        sizes.append(np.bincount(root[joined], minlength=count)[:count])
        last.append(np.bincount(root[joined & is_last], minlength=count)[:count])
    return np.concatenate(sizes), np.concatenate(last)


def ic(
    graph: str = "karate", p: float = 0.1, seeds: Sequence[str] = ("0",), runs: int | None = None, seed: int = 1
) -> list[Check]:
    """Independent cascade: everyone who signs up tells all their friends once, each of whom signs up with chance p.

    Parameters
    ----------
    graph : str
        ``karate`` (Zachary's club of 34) or an edge list file; its ties are taken as mutual.
    p : float
        In (0, 1].
    seeds : sequence of str
        Who signs up first, as the file calls them.
    runs : int, optional
        Default: 20,000, fewer on large networks.
    seed : int
    """
    must(0 < p <= 1, "p must be above 0 and at most 1", p)
    network, nodes, runs = _network(graph, seeds, runs)
    mean, error = _cascades(network, nodes, runs, seed, "ic", click={"base": p})
    known = {(0,): 3.4165, (33,): 3.5003, (0, 33): 6.4173}.get(tuple(nodes.tolist()))
    if known is not None and graph == "karate" and p == 0.1:
        source, target, own = "two public libraries, 400,000 runs", known, 0.0017
    else:
        source = "plain simulation without the shop"
        target, own = mean_and_error(reference.independent_cascade(network, nodes, p, seed))
    given = {"graph": graph, "p": p, "seeds": ",".join(seeds), "runs": runs, "seed": seed}
    return [Check("ic", "size of a cascade, persons", target, mean, math.hypot(error, own), source, given)]


def lt(graph: str = "karate", seeds: Sequence[str] = ("0",), runs: int | None = None, seed: int = 1) -> list[Check]:
    """Linear threshold: a person signs up once the share of their friends who did reaches their threshold, uniform.

    Parameters
    ----------
    graph, seeds, runs, seed
        As for ``ic``.
    """
    network, nodes, runs = _network(graph, seeds, runs)
    mean, error = _cascades(network, nodes, runs, seed, "lt", response="threshold")
    known = {(0,): 12.262, (33,): 13.064, (0, 33): 22.638}.get(tuple(nodes.tolist()))
    if known is not None and graph == "karate":
        source, target, own = "a public library, s.e. .0075", known, 0.0075
    else:
        source = "live edges, plain simulation"
        target, own = mean_and_error(reference.linear_threshold(network, nodes, seed))
    given = {"graph": graph, "seeds": ",".join(seeds), "runs": runs, "seed": seed}
    return [Check("lt", "size of a cascade, persons", target, mean, math.hypot(error, own), source, given)]


def _network(graph: str, seeds: Sequence[str], runs: int | None) -> tuple[Graph, Array, int]:
    must_be_runs(runs)
    network = worlds.read_network(graph)
    nodes = worlds.persons_called(network, list(seeds))
    return network, nodes, runs or min(20_000, max(50, 4_000_000 // network.persons))


def _cascades(network: Graph, nodes: Array, runs: int, seed: int, case: str, **sharing: Any) -> tuple[float, float]:
    """Run cascades from the same persons on disjoint copies of a network; return their mean size and its error."""
    n, sizes = network.persons, []
    scenario = worlds.spread(sharing=sharing)
    parts = worlds.parts(runs, n, network.indices.size)
    for rng_seed, count in zip(run_seeds(seed, case), parts, strict=False):
        seeds = (nodes + n * np.arange(count)[:, None]).reshape(-1)
        people = worlds.run_cascade(scenario, worlds.copies(network, count), seeds, rng_seed).people
        sizes.append((people.joined >= 0).reshape(count, n).sum(axis=1))
    return mean_and_error(np.concatenate(sizes))


def giant(degree: float = 4.0, p: float = 0.4, runs: int | None = None, persons: int = 40_000, seed: int = 1) -> list[Check]:
    """Independent cascade on random networks (Erdos-Renyi): the share that a large outbreak reaches.

    Parameters
    ----------
    degree : float
        Mean number of friends.
    p : float
        Chance that a friend who is told signs up; ``degree * p`` must be at least 1.1.
    runs : int, optional
        Networks, with five persons each who sign up first; default 10.
    persons : int
        Of each network.
    seed : int
    """
    must(0 < p <= 1, "p must be above 0 and at most 1", p)
    must(1.1 <= degree * p <= 20 and degree <= 200, "degree times p must be from 1.1 to 20, and degree at most 200", degree * p)
    must_be_runs(runs)
    must(1000 <= persons <= 1_000_000, "persons must be from 1_000 to 1_000_000", persons)
    runs = runs or 10
    share = float(optimize.brentq(lambda s: 1 - math.exp(-degree * p * s) - s, 1e-6, 1.0))
    network = {"kind": "erdos_renyi", "mean_degree": degree}
    scenario = worlds.spread(people={"size": persons, "network": network}, sharing={"click": {"base": p}})
    reached = []
    for rng_seed in run_seeds(seed, "giant"):
        first = np.random.default_rng(rng_seed).choice(persons, 5, replace=False)
        people = worlds.run_cascade(scenario, None, first, rng_seed).people
        size = float((people.joined >= 0).mean())
        if size > _LARGE:
            reached.append(size)
        if len(reached) == runs:
            break
    given = {"degree": degree, "p": p, "runs": runs, "persons": persons, "seed": seed}
    found = mean_and_error(np.array(reached))
    return [Check("giant", "reached in an outbreak, share", share, *found, "largest root of s = 1 - exp(-degree p s)", given)]
