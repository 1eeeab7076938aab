"""Which sequence of permitted actions pays best: a beam search over plans, judged by rehearsals.

The planner knows what is public: which schemes run, which amounts and shares they name, list prices. It knows no rule.
It tries plans in a :class:`~agents.rehearsal.Rehearsal`, hundreds at a time, keeps the best of every sort, changes them
by a step or two and tries again. A loophole that is made by rules meeting each other is therefore found as any other.

Read in this order: :class:`Costs`, :class:`Exploit` (a plan and what it brought), :func:`search`, then how plans begin
(:mod:`agents.openings`) and how they are changed (:mod:`agents.variations`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.actions import Goods, Plan
from agents.openings import MOST_UNITS, baskets_in_view, most_units, openings, sizes_in_view, waits_in_view
from agents.variations import MOST_STEPS, repeated, variations
from sim.labels import Fraud

if TYPE_CHECKING:
    from agents.rehearsal import Outcome, Rehearsal
    from sim.scenario.fraud import FraudConfig

ROUNDS = 6
PATIENCE = 2  # rounds without anything better after which a search ends
BEAM = 16  # plans that are varied in a round
COPIES = 8  # groups that play each finalist, for the mean of their luck
FINALISTS = 24
LEANEST = 4  # plans that pay best for each yuan laid out, besides
BULK = (3, 10, 30, MOST_UNITS)  # units an order where nothing pays with fewer
WORTHWHILE = 0.1  # profit over cost
REPETITIONS = 8  # plans that go on with the same accounts, besides the finalists
_GAIN = 0.5  # fen an account: less is no better, only longer


@dataclass(frozen=True)
class Costs:
    """What the adversary pays, fen.

    Attributes
    ----------
    account : float
        To have one more account, its part of a device included.
    action : float
        For an order that is placed, or sent back, by hand.
    resale : float
        Share of the list price that goods bring.
    device : float
        The part of a device in the price of an account.
    """

    account: float
    action: float
    resale: float
    device: float = 0.0

    @classmethod
    def of(cls, fraud: FraudConfig, accounts_per_device: int | None = None) -> Costs:
        """Return the scenario's costs; where the shop limits accounts on a device, devices are bought."""
        device = fraud.device_cost / accounts_per_device if accounts_per_device else 0.0
        return cls(fraud.account_cost + device, fraud.action_cost, fraud.resale, device)

    @property
    def on_own_devices(self) -> Costs:
        """The same where devices are there anyway."""
        return replace(self, account=self.account - self.device, device=0.0)


@dataclass(frozen=True)
class Exploit:
    """A plan and what it brings once; fen.

    Attributes
    ----------
    plan : Plan
    cash : dict
        Rewards that arrive in the adversary's own pocket, by scheme.
    discount : dict
        Taken off the goods that are kept, by scheme.
    worth : float
        List prices of these goods.
    cost : float
        Accounts, work, and what the goods lose in resale: what is gone when all is over.
    outlay : float
        Accounts, work, and what is paid for goods, also for those that are sent back: the cash that has to be laid
        out. Most of it comes back by resale and refunds; that rewards may come in time to pay later steps counts for
        nothing.
    on_top : float
        Income that another yuan of worth brings, in yuan: from goods half as dear again.
    """

    plan: Plan
    cash: dict[str, float]
    discount: dict[str, float]
    worth: float
    cost: float
    outlay: float
    on_top: float = 0.0

    @property
    def income(self) -> float:
        """All rewards and discounts."""
        return sum(self.cash.values()) + sum(self.discount.values())

    @property
    def profit(self) -> float:
        """Income less cost."""
        return self.income - self.cost

    @property
    def per_account(self) -> float:
        """Profit over accounts."""
        return self.profit / self.plan.accounts

    @property
    def per_cost(self) -> float:
        """Profit over cost; NaN if there is none."""
        return self.profit / self.cost if self.cost else float("nan")

    @property
    def per_outlay(self) -> float:
        """Profit over outlay; NaN if there is none."""
        return self.profit / self.outlay if self.outlay else float("nan")

    @property
    def fraud(self) -> Fraud:
        """Of what kind it is."""
        if self.plan.returns:
            return Fraud.REFUND_ABUSE
        if self.plan.has_team:
            return Fraud.TEAM_FILLER
        return Fraud.HUNTER if sum(self.discount.values()) > sum(self.cash.values()) else Fraud.FARM

    def pays(self, caution: float = 0.0) -> bool:
        """Whether the profit is more than a share ``caution`` of the cost."""
        return self.profit > caution * self.cost


def search(
    rehearsal: Rehearsal, costs: Costs, accounts: int = 6, *, by_plan: bool = False, thorough: bool = False
) -> list[Exploit]:
    """Return the best plans of every sort that were found, the best first.

    Parameters
    ----------
    rehearsal : Rehearsal
    costs : Costs
    accounts : int
        That a plan uses at most, at least 1.
    by_plan : bool
        Whether the profit of a plan counts as a whole, as where it can be played only once; else an account's.
    thorough : bool
        Whether plans of several teams, and what pays repeated below its last account, are tried from the start, and
        what brings most for its cost or for each yuan laid out is returned besides.

    Returns
    -------
    list of Exploit
        By profit; of equals the one with fewer accounts, steps, invitations and waits first. Not all of them need pay.
    """
    named, derived = baskets_in_view(rehearsal)
    baskets, pauses = [*named, *derived], waits_in_view(rehearsal)
    price = {one.goods: int(rehearsal.products.price[one.goods.pick(rehearsal.products)]) for one in baskets}
    known: dict[Plan, Exploit] = {}

    def worth(exploit: Exploit) -> tuple[float, ...]:
        plan, value = exploit.plan, exploit.profit if by_plan else exploit.per_account
        outlay = sum(step.units * price[step.goods] for step in plan.steps if step.goods is not None)
        waits = sum(step.after for step in plan.steps)
        return -round(value / _GAIN), plan.accounts, len(plan.steps), plan.invitations, waits, outlay

    fresh = _within(openings(named, derived, sizes_in_view(rehearsal, accounts), pauses, thorough), accounts)
    best, waited = math.inf, 0
    for _ in range(ROUNDS):
        plans = [plan for plan in dict.fromkeys(fresh) if plan not in known]
        if not plans or waited == PATIENCE:
            break
        known |= dict(zip(plans, _exploits(rehearsal, plans, costs), strict=True))
        ranked = sorted(known.values(), key=worth)
        waited = 0 if worth(ranked[0])[0] < best else waited + 1
        best = worth(ranked[0])[0]
        beam = _best_of_every_sort(ranked, BEAM)
        fresh = _within(
            (varied for exploit in beam for varied in variations(exploit.plan, baskets, pauses, thorough)), accounts
        )
    ranked = sorted(known.values(), key=worth)
    leading = _leading(ranked) if thorough else _best_of_every_sort(ranked, FINALISTS)
    chosen = [*leading, *_repetitions(rehearsal, leading, costs, worth)]
    if not any(exploit.pays(WORTHWHILE) for exploit in chosen):
        chosen += _in_bulk(rehearsal, leading, costs)
    finalists = [exploit.plan for exploit in chosen]
    found = _exploits(rehearsal, finalists, costs, COPIES)
    dearer = _exploits(rehearsal, [_with_dearer_goods(plan, price) for plan in finalists], costs, COPIES)
    return sorted(map(_with_income_on_top, found, dearer), key=worth)


def _leading(ranked: Sequence[Exploit]) -> list[Exploit]:
    """Return the best of every sort, what brings most for its cost, and what pays best for each yuan laid out."""
    leading = _best_of_every_sort(ranked, FINALISTS)
    paying = sorted((e for e in ranked if e.profit > 0 and e.outlay > 0), key=lambda e: -e.per_outlay)
    earning = sorted((e for e in ranked if e.income > 0), key=lambda e: -e.per_cost)
    more = {e.plan: e for e in (*earning[:1], *paying[:LEANEST])}
    return [*leading, *(e for plan, e in more.items() if all(plan != other.plan for other in leading))]


def _repetitions(
    rehearsal: Rehearsal, leading: Sequence[Exploit], costs: Costs, worth: Callable[[Exploit], tuple[float, ...]]
) -> list[Exploit]:
    """Return the best plans in which accounts place their orders again, as often as that adds to what a plan brings."""
    base = {again: exploit for exploit in leading for again in repeated(exploit.plan)}
    ranked = sorted(_exploits(rehearsal, list(base), costs), key=worth) if base else []
    better: dict[Plan, Exploit] = {}
    for exploit in ranked:
        if worth(exploit)[0] < worth(base[exploit.plan])[0]:
            better.setdefault(base[exploit.plan].plan, exploit)
    return list(better.values())[:REPETITIONS]


def _in_bulk(rehearsal: Rehearsal, leading: Sequence[Exploit], costs: Costs) -> list[Exploit]:
    """Return plans that pay with more units an order, no more of them than that takes."""
    for units in (number for number in BULK if number <= most_units(rehearsal)):
        steps = [[s._replace(units=units) if s.goods else s for s in e.plan.steps] for e in leading]
        found = _exploits(rehearsal, [Plan(tuple(one)) for one in steps], costs)
        if paying := [exploit for exploit in found if exploit.pays(WORTHWHILE)]:
            return paying
    return []


def _with_dearer_goods(plan: Plan, price: dict[Goods, int]) -> Plan:
    dearer = {goods: goods._replace(floor=fen * 3 // 2) for goods, fen in price.items()}
    return Plan(tuple(step if step.goods is None else step._replace(goods=dearer[step.goods]) for step in plan.steps))


def _with_income_on_top(exploit: Exploit, dearer: Exploit) -> Exploit:
    grown = dearer.worth - exploit.worth
    return replace(exploit, on_top=(dearer.income - exploit.income) / grown) if grown > 0 else exploit


def _exploits(rehearsal: Rehearsal, plans: Sequence[Plan], costs: Costs, copies: int = 1) -> list[Exploit]:
    """Rehearse plans and return what they bring."""
    outcome: Outcome = rehearsal.play(plans, copies)
    found = []
    for row, plan in enumerate(plans):
        work = plan.accounts * costs.account + (plan.orders + plan.returns) * costs.action
        worth = float(outcome.worth[row])
        cash, discount = (_by_name(rehearsal.names, table[row]) for table in (outcome.cash, outcome.discount))
        cost, outlay = work + (1 - costs.resale) * worth, work + float(outcome.laid_out[row])
        found.append(Exploit(plan, cash, discount, worth, cost, outlay))
    return found


def _by_name(names: Sequence[str], amounts: Any) -> dict[str, float]:
    found: dict[str, float] = {}
    for column in np.flatnonzero(amounts).tolist():
        found[names[column]] = found.get(names[column], 0.0) + float(amounts[column])
    return found


def _best_of_every_sort(ranked: Sequence[Exploit], count: int) -> list[Exploit]:
    """Return some of the best, of no sort more than a fair part: what looks poor now may lead further."""
    chosen: list[Exploit] = []
    taken: dict[tuple[int, ...], int] = {}
    for exploit in ranked:
        plan = exploit.plan
        sort = (plan.accounts, min(plan.orders, plan.accounts), plan.returns > 0, plan.has_team)
        taken[sort] = taken.get(sort, 0) + 1
        if taken[sort] <= 1 + count // 8:
            chosen.append(exploit)
        if len(chosen) == count:
            break
    return chosen


def _within(plans: Iterator[Plan], accounts: int) -> Iterator[Plan]:
    return (plan for plan in plans if plan.accounts <= accounts and len(plan.steps) <= MOST_STEPS)
