"""What rings know of the shop: which plans pay under the schemes that run now, at today's prices.

Finding plans is a search (:mod:`agents.planner`), so it is made once in a process for all rings, replicates and arms to
which the same rules apply: :func:`playbook` keeps what it found by the rehearsal's scenario, the costs, and how many
accounts a plan may have. Its seed is always the same; plans name products by what anybody sees of them, and
:class:`Market` finds them in the shop at hand.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from agents import hiding
from agents.actions import ORDERS, Deed, Goods, Plan
from agents.planner import Costs, Exploit, search
from agents.prospects import Prospects
from agents.rehearsal import Rehearsal
from sim.offers import NONE
from sim.scenario.errors import ScenarioError

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.schemes import Scheme
    from sim.shop import Shop

Array = npt.NDArray[Any]
SEED = 0
NO_LIMIT = np.iinfo(np.int32).max
LARGEST = 6  # accounts of a plan; larger ones are made of several

_searches: dict[tuple[str, Costs, int], tuple[Exploit, ...]] = {}
_playbooks: dict[tuple[str, tuple[int, ...], tuple[int, ...]], tuple[Exploit, ...]] = {}


def playbook(
    scenario: Scenario, schemes: tuple[int, ...], seed: int, leaked: tuple[int, ...] = ()
) -> tuple[Exploit, ...]:
    """Return the plans that bring anything under some schemes of a scenario, the best first.

    Parameters
    ----------
    scenario : Scenario
    schemes : tuple of int
        Indices of those that run.
    seed : int
        Of the shop; matters only where rules name products of which the usual catalogue has none.
    leaked : tuple of int
        Indices of coupons among them that have leaked.
    """
    known = (scenario.digest, schemes, leaked)
    if known not in _playbooks:
        _playbooks[known] = _found(scenario, schemes, leaked, seed) if schemes else ()
    return _playbooks[known]


def _found(scenario: Scenario, schemes: tuple[int, ...], leaked: tuple[int, ...], seed: int) -> tuple[Exploit, ...]:
    fraud = scenario.config.fraud
    costs = Costs.of(fraud)
    try:
        rehearsal = Rehearsal(scenario, schemes, leaked, SEED)
    except ScenarioError:
        rehearsal = Rehearsal(scenario, schemes, leaked, seed)
    known = (rehearsal.scenario.digest, costs, min(LARGEST, fraud.capacity))
    if known not in _searches:
        found = search(rehearsal, costs, known[-1])
        _searches[known] = tuple(exploit for exploit in found if exploit.income > 0)
    return _searches[known]


def open_schemes(shop: Shop) -> tuple[int, ...]:
    """Return the indices of the schemes that newcomers can profit from now."""
    return tuple(scheme.number - 1 for scheme in shop.schemes if _takes_part(scheme))


def _takes_part(scheme: Scheme) -> bool:
    issues = getattr(scheme, "issues", getattr(scheme, "opens_teams", scheme.is_open))
    room = getattr(scheme, "room", None)
    return bool(issues) and scheme.budget_left > 0 and (room is None or room() > 0)


@dataclass(frozen=True)
class Play:
    """A plan in the shop at hand; fen.

    Attributes
    ----------
    name : str
        The plan in words.
    exploit : Exploit
    product : dict of int
        Row of each of its goods.
    bonus, discount : float
        Rewards and discounts that the rules promise.
    worth : float
        List prices of what is kept.
    """

    name: str
    exploit: Exploit
    product: dict[Goods, int]
    bonus: float
    discount: float
    worth: float

    @property
    def buyers(self) -> int:
        """Accounts that order anything."""
        return int(np.count_nonzero(self.exploit.plan.buyers))

    @cached_property
    def buys(self) -> Array:
        """The product that each step buys, int64; -1: none."""
        goods = [step.goods for step in self.exploit.plan.steps]
        return np.array([NONE if one is None else self.product[one] for one in goods], np.int64)


class Course(NamedTuple):
    """A plan, and the chance with which each facet of its accounts is disguised (:mod:`agents.hiding`)."""

    play: Play
    hidden: float

    @property
    def key(self) -> tuple[str, float]:
        """What it is known by, whatever prices are: the plan in words, and the chance."""
        return self.play.name, self.hidden


class Market:
    """The plans at today's prices, for all rings of a shop.

    Parameters
    ----------
    shop : Shop
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self._seen = b"", b""  # prices, and of what there is stock
        self._found: tuple[Exploit, ...] = ()
        self._plays: list[Play] = []
        self._members: dict[Goods, Array] = {}
        self._prospects = Prospects([], shop.config.fraud)

    def plays(self) -> list[Play]:
        """Return what can be played now: no plan for whose goods there is no stock."""
        self._look()
        return self._plays

    def prospects(self) -> Prospects:
        """Return the courses that can be taken now: each play with each of the chances among which rings choose."""
        self._look()
        return self._prospects

    def _look(self) -> None:
        """Take note of rules, prices and stock, if any of them has changed."""
        shop = self.shop
        running = open_schemes(shop)
        leaked = tuple(index for index in running if shop.shocks.is_leaked(shop.schemes[index].name))
        found = playbook(shop.scenario, running, shop.seed, leaked)
        seen = shop.products.price.tobytes(), (shop.products.stock > 0).tobytes()
        if found is not self._found or seen != self._seen:
            self._found, self._seen = found, seen
            rows: dict[Goods, int] = {}
            plays = [self._play(exploit, rows) for exploit in found]
            self._plays = [play for play in plays if all(row >= 0 for row in play.product.values())]
            chances = hiding.choices(shop.config.fraud)
            courses = itertools.starmap(Course, itertools.product(self._plays, chances))
            self._prospects = Prospects(list(courses), shop.config.fraud)

    def _play(self, exploit: Exploit, rows: dict[Goods, int]) -> Play:
        products, plan = self.shop.products, exploit.plan
        for step in plan.steps:
            if step.goods is not None and step.goods not in rows:
                rows[step.goods] = step.goods.pick(products)
        kept: dict[int, list[float]] = {}  # list prices of what each account keeps
        for step in plan.steps:
            if step.deed in ORDERS and step.goods is not None:
                kept.setdefault(step.account, []).append(step.units * float(products.price[rows[step.goods]]))
            elif step.deed == Deed.RETURN:
                kept[step.account].pop()
        worth = sum(sum(prices) for prices in kept.values())
        return Play(
            _name(plan), exploit, {s.goods: rows[s.goods] for s in plan.steps if s.goods is not None},
            sum(exploit.cash.values()), sum(exploit.discount.values()), worth,
        )  # fmt: skip

    def members_of(self, goods: Goods) -> Array:
        """Return a mask of the products among which goods are, whether they are in stock or not."""
        if goods not in self._members:
            self._members[goods] = goods.members_of(self.shop.products)
        return self._members[goods]

    def most_units(self) -> int:
        """Return how many units an order may have under the rules that run now."""
        limits = [vars(scheme.config).get("units_per_order") for scheme in self.shop.schemes if scheme.is_open]
        return min((limit for limit in limits if limit is not None), default=NO_LIMIT)


@cache
def _name(plan: Plan) -> str:
    return "; ".join(plan.in_words())
