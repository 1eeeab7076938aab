"""Frontiers by a grid and bisection, seed by seed: the largest reward at which farming does not pay.

Nothing here knows of shops: an evaluation gives what rings earned under a policy, a reward and a seed, and how many
still open accounts. See :func:`farming_pays`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from experiments import stats


class Case(NamedTuple):
    """One run: a policy, a reward, a seed."""

    policy: str
    reward: float
    seed: int


Evaluate = Callable[[Sequence[Case]], Mapping[Case, dict[str, float]]]
"""Metrics of each case; a run that failed is left out."""
FINE_ENOUGH = 0.25
"""Of half the interval over seeds: a gap so small adds about a hundredth to its variance at most."""


@dataclass
class Rungs:
    """What was evaluated so far, each case once.

    Parameters
    ----------
    evaluate : callable
    """

    evaluate: Evaluate
    known: dict[Case, dict[str, float]] = field(default_factory=dict)

    def climb(self, cases: Sequence[Case]) -> None:
        """Evaluate the cases that are not known yet."""
        if new := [case for case in dict.fromkeys(cases) if case not in self.known]:
            self.known.update(self.evaluate(new))

    def pays(self, case: Case) -> bool | None:
        """Whether farming pays in a case; None if its run failed."""
        return farming_pays(self.known[case]) if case in self.known else None


def farming_pays(metrics: Mapping[str, float]) -> bool | None:
    """Whether farming pays: rings earned something by the end of the run, or some still open accounts then.

    What a ring has coming at the end (frozen rewards) is no profit yet, and all of its costs are: profit alone would
    call a reward safe because the run is short. Who still opens accounts believes that it pays. None without data.
    """
    profit = metrics.get("ring_profit", math.nan)
    return None if math.isnan(profit) else profit > 0 or metrics.get("rings_active", 0.0) > 0


@dataclass(frozen=True)
class Bracket:
    """Where the frontier of one seed lies.

    Parameters
    ----------
    seed : int
    safe : float
        Largest reward that was found not to pay below all that do; NaN if even the smallest pays.
    pays : float
        Smallest reward found to pay; NaN if none does.
    returns : bool
        Whether some larger reward on the grid does not pay again.
    """

    seed: int
    safe: float
    pays: float
    returns: bool


@dataclass(frozen=True)
class Frontier:
    """The frontier of a policy over seeds.

    Parameters
    ----------
    policy : str
    brackets : tuple of Bracket
        Of each seed with runs.
    low, high : float
        Bounds of the rewards that were tried.
    """

    policy: str
    brackets: tuple[Bracket, ...]
    low: float
    high: float

    @property
    def values(self) -> list[float]:
        """Largest safe reward of each seed; the lower bound where even that pays."""
        return [self.low if math.isnan(bracket.safe) else bracket.safe for bracket in self.brackets]

    @property
    def estimate(self) -> stats.Estimate:
        """Mean over seeds with its 95% interval; a bound only, where :attr:`never` or :attr:`always` is not 0."""
        return stats.mean_estimate(self.values)

    @property
    def widest(self) -> float:
        """Widest gap in which the frontier of a seed lies; 0 if none does."""
        return max((one.pays - one.safe for one in self.brackets if one.safe < one.pays), default=0.0)

    @property
    def smallest(self) -> float:
        """Largest reward that is safe with every seed; NaN without runs."""
        return min(self.values, default=math.nan)

    @property
    def never(self) -> int:
        """Seeds with which farming pays at no reward that was tried: their frontier is beyond the largest."""
        return sum(math.isnan(bracket.pays) for bracket in self.brackets)

    @property
    def always(self) -> int:
        """Seeds with which farming pays at every reward that was tried."""
        return sum(math.isnan(bracket.safe) for bracket in self.brackets)

    @property
    def returning(self) -> int:
        """Seeds with which some reward above the frontier does not pay again."""
        return sum(bracket.returns for bracket in self.brackets)


def search(
    rungs: Rungs,
    policies: Sequence[str],
    seeds: Sequence[int],
    grid: Sequence[float],
    steps: int,
    stepped: Callable[[float], float] = float,
    foresee: Callable[[int], None] = lambda runs: None,
) -> list[Frontier]:
    """Find the frontier of each policy: the grid with every seed, then halvings of the gap in which it lies.

    Halving a policy's gaps ends early when seeds lie so far apart that it would not narrow the interval any more.

    Parameters
    ----------
    rungs : Rungs
        Keeps what is evaluated.
    policies : sequence of str
    seeds : sequence of int
    grid : sequence of float
        Rewards, ascending.
    steps : int
        Halvings at most. The frontier of a seed is then known to the gap of the grid over 2**steps.
    stepped : callable
        Rounds a reward to what may be paid.
    foresee : callable
        Is told before each halving how many runs may still come.

    Returns
    -------
    list of Frontier
        In the order of the policies. Where farming stops to pay again above (``returns``), the frontier is the first
        that pays.
    """
    rungs.climb([Case(policy, reward, seed) for policy in policies for reward in grid for seed in seeds])
    gaps: dict[tuple[str, int], tuple[float, float]] = {}
    returns: dict[tuple[str, int], bool] = {}
    for policy in policies:
        for seed in seeds:
            told = [(reward, rungs.pays(Case(policy, reward, seed))) for reward in grid]
            known = [(reward, pays) for reward, pays in told if pays is not None]
            if not known:
                continue
            first = next((place for place, (_, pays) in enumerate(known) if pays), len(known))
            safe = known[first - 1][0] if first else math.nan
            unsafe = known[first][0] if first < len(known) else math.nan
            gaps[policy, seed] = safe, unsafe
            returns[policy, seed] = any(not pays for _, pays in known[first:])
    for left in range(steps, 0, -1):
        own = {policy: [gap for key, gap in gaps.items() if key[0] == policy] for policy in policies}
        rough = {policy for policy, found in own.items() if not _fine_enough(found, grid)}
        middles = {
            key: stepped((safe + pays) / 2) for key, (safe, pays) in gaps.items() if safe < pays and key[0] in rough
        }
        middles = {key: middle for key, middle in middles.items() if gaps[key][0] < middle < gaps[key][1]}
        foresee(left * len(middles))
        rungs.climb([Case(policy, middle, seed) for (policy, seed), middle in middles.items()])
        for (policy, seed), middle in middles.items():
            pays = rungs.pays(Case(policy, middle, seed))
            if pays is not None:
                safe, unsafe = gaps[policy, seed]
                gaps[policy, seed] = (safe, middle) if pays else (middle, unsafe)
    foresee(0)
    return [
        Frontier(
            policy,
            tuple(
                Bracket(seed, *gaps[policy, seed], returns[policy, seed]) for seed in seeds if (policy, seed) in gaps
            ),
            grid[0],
            grid[-1],
        )
        for policy in policies
    ]


def _fine_enough(gaps: Sequence[tuple[float, float]], grid: Sequence[float]) -> bool:
    """Whether smaller gaps would hardly narrow the interval over seeds."""
    widest = max((pays - safe for safe, pays in gaps if safe < pays), default=0.0)
    found = stats.mean_estimate([grid[0] if math.isnan(safe) else safe for safe, _ in gaps])
    return widest <= FINE_ENOUGH * (found.high - found.low) / 2
