"""Exposure: what the treatment of neighbours makes of a person, and how likely each exposure is under a design.

A person is *exposed* if treated with at least a share ``threshold`` of their neighbours, *spared* if untreated with at
least that share of neighbours untreated; persons without neighbours are one or the other by their own treatment alone.
Weighing each outcome with one over the chance of its exposure (Horvitz & Thompson) compares all exposed with all
spared, whatever the design; Hajek's form divides by the sum of the weights and is far less variable.

The chances are exact where every person has a coin of their own, and by repeating the design else. So is the standard
error: the design is drawn again and again on outcomes as they would be if exposure had the same effect on everybody.

References
----------
Aronow & Samii (2017), "Estimating average causal effects under general interference", Annals of Applied Statistics 11.
Horvitz & Thompson (1952). Hajek (1971).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse, stats

if TYPE_CHECKING:
    from experiments.lab.designs import Design, Generator
    from sim.core.graph import Graph

Array = npt.NDArray[Any]
_ROUNDING = 1e-9


class Neighbours:
    """Who can influence whom: a person's neighbours are those whose messages reach them.

    Parameters
    ----------
    graph : Graph
    """

    def __init__(self, graph: Graph) -> None:
        incoming = graph.reverse()
        self.degree = incoming.degree.astype(np.int64)
        ones = np.ones(incoming.indices.size, np.float32)
        self._ties = sparse.csr_array((ones, incoming.indices, incoming.indptr), (graph.persons, graph.persons))

    def mean(self, values: Array) -> Array:
        """Return the mean of a value over each person's neighbours; 0 for persons without neighbours."""
        total: Array = self._ties @ values.astype(np.float32)
        return total / np.maximum(self.degree, 1)

    def share_treated(self, treated: Array) -> Array:
        """Return the share of each person's neighbours who are treated; 0 for persons without neighbours."""
        return self.mean(treated)

    def exposures(self, treated: Array, threshold: float) -> tuple[Array, Array]:
        """Return masks of the exposed and of the spared."""
        share = self.share_treated(treated)
        alone = self.degree == 0
        exposed = treated & (alone | (share >= threshold - _ROUNDING))
        spared = ~treated & (alone | (share <= 1 - threshold + _ROUNDING))
        return exposed, spared


def own_coin_chances(degree: Array, share: float, threshold: float) -> tuple[Array, Array]:
    """Return the exact chances to be exposed and to be spared, where every person has a coin of their own.

    The number of treated among d neighbours is Binomial(d, share) and independent of one's own coin.
    """
    needed = np.ceil(threshold * degree - _ROUNDING)
    exposed: Array = np.asarray(share * stats.binom.sf(needed - 1, degree, share))
    spared: Array = np.asarray((1 - share) * stats.binom.sf(needed - 1, degree, 1 - share))
    return exposed, spared


@dataclass(frozen=True)
class ExposureMap:
    """Exposure under one design on one network.

    Parameters
    ----------
    exposed_chance, spared_chance : float ndarray, shape (persons,)
        Of each exposure.
    comparable : bool ndarray, shape (persons,)
        Persons who are analysed: both chances are at least the overlap that was asked for.
    draws : list of (bool ndarray, bool ndarray)
        The exposed and the spared under repetitions of the design.
    """

    exposed_chance: Array
    spared_chance: Array
    comparable: Array
    draws: list[tuple[Array, Array]]


def map_exposure(
    design: Design, neighbours: Neighbours, threshold: float, overlap: float, draws: int, rng: Generator
) -> ExposureMap:
    """Find out how likely each exposure is.

    Parameters
    ----------
    design : Design
    neighbours : Neighbours
    threshold : float
        Share of neighbours in (0.5, 1].
    overlap : float
        Least chance of either exposure for a person to be compared: those who can hardly be exposed would weigh more
        than all others together.
    draws : int
        Repetitions of the design.
    rng : Generator
    """
    repeated = [neighbours.exposures(design.draw(rng), threshold) for _ in range(draws)]
    if design.own_coins and design.units == neighbours.degree.size:
        exposed, spared = own_coin_chances(neighbours.degree, design.share, threshold)
    else:
        exposed = np.mean([one[0] for one in repeated], axis=0)
        spared = np.mean([one[1] for one in repeated], axis=0)
    comparable = design.analysed & (exposed >= max(overlap, 1 / draws)) & (spared >= max(overlap, 1 / draws))
    return ExposureMap(exposed, spared, comparable, repeated)


def weighted_difference(
    outcome_exposed: Array, outcome_spared: Array, exposed: Array, spared: Array, found: ExposureMap, *, hajek: bool
) -> float:
    """Return the Horvitz-Thompson or Hajek estimate of the mean effect of exposure; NaN if no one is exposed or spared.

    Parameters
    ----------
    outcome_exposed, outcome_spared : float ndarray, shape (persons,)
        Outcome of each person if exposed and if spared; the same array where only one of them was seen.
    exposed, spared : bool ndarray
    found : ExposureMap
    hajek : bool
    """
    means = []
    for outcome, mask, chance in (
        (outcome_exposed, exposed, found.exposed_chance),
        (outcome_spared, spared, found.spared_chance),
    ):
        rows = np.flatnonzero(mask & found.comparable)
        weight = 1 / chance[rows]
        total = weight.sum() if hajek else np.count_nonzero(found.comparable)
        if rows.size == 0:
            return math.nan
        means.append(float((weight * outcome[rows]).sum() / total))
    return means[0] - means[1]


def design_based_error(outcome: Array, exposed: Array, spared: Array, found: ExposureMap, *, hajek: bool) -> float:
    """Return the standard error of an estimate over repetitions of the design, in one network of given persons.

    Each person's outcome under the other exposure is taken to differ from the one seen by the difference of the two
    means, as if exposure had the same effect on everybody; where effects differ much the error is an approximation.
    """
    residual = outcome - outcome[found.comparable].mean()
    means = []
    for mask, chance in ((exposed, found.exposed_chance), (spared, found.spared_chance)):
        rows = np.flatnonzero(mask & found.comparable)
        means.append(float(np.average(outcome[rows], weights=1 / chance[rows])) if rows.size else math.nan)
        residual[rows] = outcome[rows] - means[-1]
    between = found.comparable & ~exposed & ~spared
    if between.any():
        residual[between] = outcome[between] - outcome[between].mean()
    repeated = [
        weighted_difference(residual + means[0], residual + means[1], again, spared_again, found, hajek=hajek)
        for again, spared_again in found.draws
    ]
    values = np.array([value for value in repeated if math.isfinite(value)])
    return float(values.std(ddof=1)) if values.size > 1 else math.nan
