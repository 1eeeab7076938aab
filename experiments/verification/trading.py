"""Cases of trade: teams, what visitors pick, and how often customers come back.

References
----------
Fader, Hardie & Lee (2005), "Counting your customers the easy way: an alternative to the Pareto/NBD model", Marketing
Science 24.
McFadden (1974), "Conditional logit analysis of qualitative choice behavior".
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from experiments.verification import worlds
from experiments.verification.checks import BadParameterError, Check, Findings, must, must_be_runs, run_seeds
from sim import Shop
from sim.core.units import read_hours
from sim.demand import DAYS_A_WEEK, Demand
from sim.offers import Offers, Orders

Array = npt.NDArray[Any]
_CERTAIN = 0.999999
_VISIT_CHANCE = 0.05  # of a person in a tick of the team case
_SHAPE = 100.0  # of visit rates in the team case: people are as alike as a scenario lets them be
_LIVES = 5  # teams that a product has in the team case, at least


def team_fill(
    size: int = 3, rate: float = 2.5, window: str = "24h", teams: int | None = None, seed: int = 1
) -> list[Check]:
    """Teams that strangers join at a Poisson rate: the share that fills, and how many places are taken.

    Visitors are shown one product each, drawn at random. They join its open team or else open one; everybody buys,
    because the team price is irresistible. Teams that were opened in the same tick for the same product share their
    visitors; they do not count.

    Parameters
    ----------
    size : int
        Places, the opener's included; from 2 to 100.
    rate : float
        Strangers a day; above 0, at most 48.
    window : str
        Whole hours, up to 30d.
    teams : int, optional
        At least so many; default: so many that the standard error is below 1% of the target.
    seed : int
    """
    must(2 <= size <= 100, "size must be from 2 to 100", size)
    must(0 < rate <= 48, "rate must be above 0 and at most 48 a day", rate)
    must_be_runs(teams)
    hours = _whole_hours(window)
    expected = rate * hours / 24
    chance = float(stats.poisson.sf(size - 2, expected))
    must(chance >= 1e-3, "size, rate and window must let at least one team in 1,000 fill", f"a chance of {chance:.2g}")
    teams = teams or min(2_000_000, max(20_000, math.ceil(20_000 * (1 - chance) / chance)))
    an_hour = rate / 24
    horizon = hours + math.ceil(_LIVES * (hours + 1 / an_hour))
    products = min(100_000, max(200, math.ceil(teams / _LIVES * math.exp(an_hour))))
    persons = max(2000, math.ceil(products * an_hour / _VISIT_CHANCE))
    runs = math.ceil(teams * math.exp(an_hour) / _LIVES / products)
    visits_a_tick = products * an_hour / persons  # a chance far below one, which visits are as many as
    scenario = worlds.plain_shop(
        horizon=f"{horizon}h",
        people={
            "size": persons, "hassle": {"mean": 0, "sigma": 0}, "way_noise": 0, "taste_weight": 0,
            "price_sensitivity": {"mean": 20, "sigma": 0},
        },
        demand={"rate": {"shape": _SHAPE, "mean": 168 * visits_a_tick * _CERTAIN}, "conversion": _CERTAIN},
        catalog={"products": products, "quality": 0, "price": {"median": 100, "sigma": 0}},
        recommendation={"model": "random", "slate": 1},
        schemes=[
            {"kind": "group_buy", "team_size": size, "discount": 0.9, "window": f"{hours}h", "lobby": 1, "wariness": 0},
        ],
    )  # fmt: skip
    places = []
    for rng_seed, _ in zip(run_seeds(seed, "team-fill"), range(runs), strict=False):
        scheme: Any = Shop(scenario, rng=rng_seed, graph=worlds.strangers(persons)).run().schemes[0]
        table = scheme.teams
        _, which, count = np.unique(
            np.stack([table.product, table.opened]), axis=1, return_inverse=True, return_counts=True
        )
        # Teams near the end have not had their time, whether they filled or not.
        judged = (count[which] == 1) & (table.opened < horizon - hours)
        places.append(table.filled[judged])
    filled = np.concatenate(places)
    fewer = np.arange(size - 1)
    taken = size - float(((size - 1 - fewer) * stats.poisson.pmf(fewer, expected)).sum())
    found = Findings("team-fill", {"size": size, "rate": rate, "window": window, "teams": filled.size, "seed": seed})
    found.add("teams that fill, share", chance, filled == size, "P[Poisson(rate window) >= size - 1]")
    found.add("places taken in a team", taken, filled, "1 + E[min(Poisson(rate window), size - 1)]")
    return found.checks


def _whole_hours(window: str) -> int:
    allowed = "window must be whole hours from 1h to 30d, such as 24h or 2d"
    try:
        hours = read_hours(window)
    except ValueError:
        raise BadParameterError(f"{allowed}. Got {window}.") from None
    must(hours == int(hours) and 1 <= hours <= 720, allowed, window)
    return int(hours)


def demand(profile: str = "media", persons: int = 80_000, seed: int = 1) -> list[Check]:
    """Repeat purchases of customers who bought for the first time at the start of a shop without schemes: BG/NBD.

    Parameters
    ----------
    profile : str
        Demand profile: ``media``, ``grocery`` or a file like ``scenarios/profiles/media.yaml``.
    persons : int
    seed : int
    """
    must(100 <= persons <= 2_000_000, "persons must be from 100 to 2_000_000", persons)
    shop, weekly = cohort(profile, persons, seed)
    found = Findings("demand", {"profile": profile, "persons": persons, "seed": seed})
    for weeks in (39, 78):
        repeats = weekly[:, :weeks].sum(axis=1)
        target = float(expected_repeats(shop.demand, weeks))
        found.add(f"repeat orders a customer, week {weeks}", target, repeats, "BG/NBD: E[X(t)]")
    none = weekly[:, :39].sum(axis=1) == 0
    found.add("no repeat order by week 39, share", no_repeats(shop.demand, 39), none, "(alpha / (alpha + t)) ** r")
    return found.checks


def cohort(profile: str, persons: int, seed: int, weeks: int = 78) -> tuple[Shop, Array]:
    """Run a shop in which everyone first buys at the start; return it, and each one's repeat orders by week."""
    scenario = worlds.plain_shop(
        horizon=f"{weeks}w",
        tick="2h",
        people={"size": persons},
        demand={"profile": profile, "rate": None, "dropout": None, "conversion": 0.5},
    )
    shop = Shop(scenario, rng=next(run_seeds(seed, "demand")), graph=worlds.strangers(persons)).run()
    return shop, repeat_orders(shop, weeks)


def repeat_orders(shop: Shop, weeks: int) -> Array:
    """Return how many orders each person placed during the run, int32 (persons, weeks)."""
    week = shop.book.tick * shop.clock.tick_hours // (24 * DAYS_A_WEEK)
    counts = np.bincount(shop.book.person * weeks + week, minlength=len(shop.people) * weeks)
    return counts.reshape(-1, weeks)


def expected_repeats(demand: Demand, weeks: npt.ArrayLike) -> Array:
    """Return the expected repeat purchases of a customer so many weeks after the first.

    Notes
    -----
    Fader, Hardie & Lee 2005, equation 9, with t in weeks and F the Gaussian hypergeometric function::

        (a + b - 1) / (a - 1) (1 - (alpha / (alpha + t))^r F(r, b; a + b - 1; t / (alpha + t)))

    Without dropout it is the NBD's ``r t / alpha``.
    """
    t = np.asarray(weeks, np.float64)
    r, alpha = demand.shape, demand.shape / (demand.mean * DAYS_A_WEEK)
    if demand.dropout is None:
        return r * t / alpha
    a, b = demand.dropout
    tail = (alpha / (alpha + t)) ** r * special.hyp2f1(r, b, a + b - 1, t / (alpha + t))
    result: Array = (a + b - 1) / (a - 1) * (1 - tail)
    return result


def no_repeats(demand: Demand, weeks: float) -> float:
    """Return the chance of no repeat purchase within so many weeks of the first: nobody leaves before one."""
    alpha = demand.shape / (demand.mean * DAYS_A_WEEK)
    return float((alpha / (alpha + weeks)) ** demand.shape)


class _WatchedShop(Shop):
    """A shop that sums up what visitors picked, and the closed-form chances of it.

    Attributes
    ----------
    picks : ndarray, shape (2, 3)
        Of any product, and of the one that the visitor wants most: how often, expected number, and its variance.
    visits : int
    """

    picks: Array
    visits: int

    def _choose(self, offers: Offers) -> Orders:
        orders = super()._choose(offers)
        worth = np.exp(self.last_utilities.astype(np.float64))
        best = worth.argmax(axis=1)
        bought = np.full(len(self.people), -1)
        bought[orders.person] = orders.product
        pick = bought[offers.visits.person]
        outside = 1 + worth.sum(axis=1)
        rows = np.arange(best.size)
        for kind, (chance, happened) in enumerate(
            [(1 - 1 / outside, pick >= 0), (worth[rows, best] / outside, pick == offers.product[rows, best])]
        ):
            self.picks[kind] += happened.sum(), chance.sum(), (chance * (1 - chance)).sum()
        self.visits += best.size
        return orders


def logit(persons: int = 10_000, seed: int = 1) -> list[Check]:
    """Choices of visitors in a shop without schemes, where friends' purchases count: shares against the logit's.

    Parameters
    ----------
    persons : int
    seed : int
    """
    must(100 <= persons <= 1_000_000, "persons must be from 100 to 1_000_000", persons)
    scenario = worlds.plain_shop(
        horizon="24d",
        tick="4h",
        people={"size": persons, "taste_dimensions": 8, "conformity": {"mean": 0.5, "sigma": 0.5}},
        demand={"rate": {"shape": 1, "mean": 3.5}, "conversion": 0.5},
        catalog={"products": 100, "categories": 10},
        recommendation={"explore": 0.2, "refresh": "7d"},
    )
    shop = _WatchedShop(scenario, rng=next(run_seeds(seed, "logit")))
    shop.keeps_utilities = True
    shop.picks, shop.visits = np.zeros((2, 3)), 0
    shop.run()
    found = Findings("logit", {"persons": persons, "visits": shop.visits, "seed": seed})
    for quantity, row in zip(("orders a visit", "orders of what is wanted most, a visit"), shop.picks, strict=True):
        happened, expected, variance = row / shop.visits
        error = math.sqrt(variance / shop.visits)
        found.note(quantity, expected, happened, error, "exp(U) / (1 + sum exp(U))")
    return found.checks
