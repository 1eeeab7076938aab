"""Experiments where everything is known: linear interference, ``y = b z + g (share of treated friends) + noise``.

It checks the laboratory (:mod:`experiments.lab`) and not the shop: designs and estimators must estimate what algebra
says they do, right or wrong as that may be for the total effect ``b + g``.

References
----------
Eckles, Karrer & Ugander (2017), "Design and analysis of experiments in networks: reducing bias from interference".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from experiments.lab import designs, interference
from experiments.lab.designs import Design
from experiments.lab.estimators import difference_in_means, paired_blocks
from experiments.lab.exposure import Neighbours, map_exposure, weighted_difference
from experiments.verification.checks import Check, Findings, must, must_be_runs, run_seeds
from sim.core.generators import stochastic_block

Array = npt.NDArray[Any]
COMMUNITIES, PERSONS, DEGREE = 40, 2000, 10.0
NOISE, CARRIED = 0.3, 0.6
RUNS = 600
THRESHOLD, OVERLAP, REPEATED = 0.75, 0.01, 20
DAYS, BLOCK = 48, 3
SOURCE = "algebra"


def linear(b: float = 0.5, g: float = 1.0, within: float = 0.87, runs: int | None = None, seed: int = 1) -> list[Check]:
    """Compare each design's mean estimate with its closed form.

    Parameters
    ----------
    b, g : float
        Effect of one's own treatment, and of that of all friends.
    within : float
        Share of ties inside communities, in [0, 1].
    runs : int, optional
        Experiments of each kind.
    seed : int

    Returns
    -------
    list of Check
    """
    must(0 <= within <= 1, "within must be from 0 to 1", within)
    must_be_runs(runs)
    found = Findings("interference", {"b": b, "g": g, "within": within})
    rng = np.random.default_rng(next(run_seeds(seed, "interference")))
    graph = stochastic_block(PERSONS, COMMUNITIES, DEGREE, within, rng)
    around = Neighbours(graph)
    community = np.arange(PERSONS) * COMMUNITIES // PERSONS
    count = runs or RUNS

    def repeat(design: Design, estimate: Callable[[Array, Array], float]) -> Array:
        values = []
        for _ in range(count):
            treated = design.draw(rng)
            outcome = interference.outcome(around, treated, b, g, NOISE * rng.standard_normal(PERSONS))
            values.append(estimate(outcome, treated))
        return np.array(values)

    def means_apart(rows: Array) -> Callable[[Array, Array], float]:
        return lambda outcome, treated: difference_in_means(outcome[rows], treated[rows]).value

    person, cluster = designs.person_level(PERSONS, 0.5), designs.cluster_level(community, 0.5)
    ego = designs.ego_level(graph, 0.5, rng)
    for name, design in (("test by persons", person), ("test by communities", cluster)):
        share, tied = designs.within_share(graph, design), float((around.degree > 0).mean())
        target = interference.difference_expected(design, share, tied, b, g)
        found.add(name, target, repeat(design, means_apart(design.analysed)), SOURCE)
    tied = float((around.degree[ego.analysed] > 0).mean())
    found.add("egos with all their friends", b + g * tied, repeat(ego, means_apart(ego.analysed)), SOURCE)
    exposure = map_exposure(person, around, THRESHOLD, OVERLAP, REPEATED, rng)

    def exposed_apart(outcome: Array, treated: Array) -> float:
        exposed, spared = around.exposures(treated, THRESHOLD)
        return weighted_difference(outcome, outcome, exposed, spared, exposure, hajek=True)

    between = shares_apart(around.degree[exposure.comparable])
    found.add("test by persons, by exposure", b + g * between, repeat(person, exposed_apart), SOURCE)
    found.add("switchback", b + g, _switchbacks(b + g, count, rng), SOURCE)
    return found.checks


def shares_apart(degree: Array) -> float:
    """Return how much more of the friends of the exposed are treated than of the spared, mean over persons.

    With coins of one half the number of treated among d friends is Binomial(d, 1/2), and
    ``E[K; K >= m] = d / 2 P[Binomial(d - 1, 1/2) >= m - 1]``; the spared are the mirror image.
    """
    tied = degree[degree > 0]
    least = np.ceil(THRESHOLD * tied)
    share = np.asarray(0.5 * stats.binom.sf(least - 2, tied - 1, 0.5) / stats.binom.sf(least - 1, tied, 0.5))
    return float((2 * share - 1).sum() / degree.size)


def _switchbacks(total: float, runs: int, rng: np.random.Generator) -> Array:
    """Return estimates from days that grow, and in which a part of yesterday's treatment is still felt."""
    values = []
    for _ in range(runs):
        plan = designs.switchback(0, DAYS, BLOCK, 1, rng)
        on = plan.on.astype(np.float64)
        before = np.concatenate([[0.0], on[:-1]])
        days = (total - CARRIED) * on + CARRIED * before + 0.02 * np.arange(DAYS) + 0.1 * rng.standard_normal(DAYS)
        block = plan.block[plan.kept]
        mean = np.bincount(block, days[plan.kept]) / np.bincount(block)
        values.append(paired_blocks(mean, np.bincount(block, on[plan.kept]) > 0, np.arange(mean.size) // 2).value)
    return np.array(values)
