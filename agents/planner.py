"""Which sequence of permitted actions pays best: a beam search over plans, judged by rehearsals.

The planner knows what is public: which schemes run, which amounts and shares they name, list prices. It knows no rule.
It tries plans in a :class:`~agents.rehearsal.Rehearsal`, hundreds at a time, keeps the best of every sort, changes them
by a step or two and tries again. A loophole that is made by rules meeting each other is therefore found as any other.

Read in this order: :class:`Costs`, :class:`Exploit` (a plan and what it brought), :func:`search`, then how plans begin
(:func:`_openings`) and how they are changed (:func:`_variations`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel

from agents.actions import DEAREST, NOBODY, ORDERS, Deed, Goods, Plan, Step, plan_of
from sim.labels import Fraud
from sim.scenario.keys import forms_of_field

if TYPE_CHECKING:
    from agents.rehearsal import Outcome, Rehearsal
    from sim.scenario.fraud import FraudConfig

ROUNDS = 6
PATIENCE = 2  # rounds without anything better after which a search ends
BEAM = 16  # plans that are varied in a round
COPIES = 8  # groups that play each finalist, for the mean of their luck
FINALISTS = 24
MOST_STEPS = 24
ORDERS_AN_ACCOUNT = 2
_QUANTILES = (0.25, 0.5, 0.75, 0.95)  # of list prices
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
    """

    account: float
    action: float
    resale: float

    @classmethod
    def of(cls, fraud: FraudConfig, accounts_per_device: int | None = None) -> Costs:
        """Return the scenario's costs; where the shop limits accounts on a device, devices are bought."""
        device = fraud.device_cost / accounts_per_device if accounts_per_device else 0.0
        return cls(fraud.account_cost + device, fraud.action_cost, fraud.resale)


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
    rehearsal: Rehearsal, costs: Costs, accounts: int = 6, *, by_plan: bool = False, many_teams: bool = False
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
    many_teams : bool
        Whether plans of several teams, and what pays repeated below its last account, are tried from the start.

    Returns
    -------
    list of Exploit
        By profit; of equals the one with fewer accounts, steps and invitations first. Not all of them need pay.
    """
    named, derived = _goods_in_view(rehearsal)
    goods = [*named, *derived]
    price = {one: int(rehearsal.products.price[one.pick(rehearsal.products)]) for one in goods}
    known: dict[Plan, Exploit] = {}

    def worth(exploit: Exploit) -> tuple[float, ...]:
        plan, value = exploit.plan, exploit.profit if by_plan else exploit.per_account
        outlay = sum(price[step.goods] for step in plan.steps if step.goods is not None)
        return -round(value / _GAIN), plan.accounts, len(plan.steps), plan.invitations, outlay

    fresh = _within(_openings(named, derived, _sizes_in_view(rehearsal, accounts), many_teams), accounts)
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
            (varied for exploit in beam for varied in _variations(exploit.plan, goods, many_teams)), accounts
        )
    finalists = [e.plan for e in _best_of_every_sort(sorted(known.values(), key=worth), FINALISTS)]
    found = _exploits(rehearsal, finalists, costs, COPIES)
    dearer = _exploits(rehearsal, [_with_dearer_goods(plan, price) for plan in finalists], costs, COPIES)
    return sorted(map(_with_income_on_top, found, dearer), key=worth)


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


# What is in view.


def _goods_in_view(rehearsal: Rehearsal) -> tuple[list[Goods], list[Goods]]:
    """Return products at which something may change: those that the rules name, and others over the range of prices.

    An amount A and a share s in view make A / s and A / (1 - s) worth a try besides A: prices of which the share is the
    amount, and of which it leaves the amount over.
    """
    products, sections = rehearsal.products, rehearsal.scenario.config.schemes
    named, derived = [Goods(), Goods(DEAREST)], []
    shares = sorted({s for section in sections for s in _values(section, "share") if 0 < s < 1})
    for section in sections:
        amounts = sorted({int(a) for a in _values(section, "money in yuan") if a > 0})
        levels = {math.ceil(a / s) for a in amounts for s in (*shares, *(1 - s for s in shares))}
        for field, members in [("", ()), *_singled_out(section)]:
            named += [Goods(level, field, members) for level in (0, *amounts, DEAREST)]
            derived += [Goods(level, field, members) for level in sorted(levels)]
    derived += [Goods(int(price)) for price in np.quantile(products.price, _QUANTILES, method="higher")]
    rows: dict[int, Goods] = {}
    for one in (*named, *derived):
        if (row := one.pick(products)) >= 0:
            rows.setdefault(row, one)
    distinct = set(rows.values())
    return [one for one in named if one in distinct], [one for one in derived if one in distinct]


def _values(section: BaseModel, unit: str) -> Iterator[float]:
    """Yield the values of a unit that a section and those below it name."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        named = any(form.unit is not None and form.unit.name == unit for form in forms_of_field(field))
        for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]:
            if isinstance(item, BaseModel):
                yield from _values(item, unit)
            elif named and isinstance(item, int | float):
                yield float(item)


def _singled_out(section: BaseModel) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the categories and products that a scheme treats apart."""
    scope = getattr(section, "scope", None)
    for field in ("category", "products"):
        if members := getattr(scope, field, None):
            yield field, tuple(members)
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, dict):
            yield from (("products", (key,)) for key in value if isinstance(key, int))


def _sizes_in_view(rehearsal: Rehearsal, most: int) -> list[int]:
    """Return numbers of accounts that may matter: head counts that the rules name, one more, and all that may be."""
    named = {
        value
        for section in rehearsal.scenario.schemes
        for part in (section, *(v for v in vars(section).values() if isinstance(v, BaseModel)))
        for value in vars(part).values()
        if type(value) is int and 1 < value < most
    }
    return sorted(size for size in {2, 3, most} | named | {size + 1 for size in named} if 2 <= size <= most)


# How plans begin.


def _opened(inviters: Sequence[int]) -> list[Step]:
    return [Step(Deed.OPEN, account, inviter) for account, inviter in enumerate(inviters)]


def _openings(
    named: Sequence[Goods], derived: Sequence[Goods], sizes: Sequence[int], many_teams: bool
) -> Iterator[Plan]:
    """Yield the plans that a search begins with: alone, a star, a chain, a team, with each product.

    What is sent back is tried with the products that the rules name: its price is no cost.
    """
    yield plan_of(_opened([NOBODY]))
    for size in sizes:
        yield plan_of(_opened(_star(size)))
    for one in (*named, *derived):
        for bought in _purchases(one, sizes, many_teams):
            yield plan_of(bought)
            if one in named:
                yield plan_of([*bought, *(Step(Deed.RETURN, s.account) for s in bought if s.deed in ORDERS)])


def _star(size: int) -> list[int]:
    return [NOBODY] + [0] * (size - 1)


def _chain(size: int) -> list[int]:
    return list(range(-1, size - 1))


def _purchases(goods: Goods, sizes: Sequence[int], many_teams: bool) -> Iterator[list[Step]]:
    buy = [Step(Deed.BUY, account, NOBODY, goods) for account in range(max(sizes, default=1))]
    yield [*_opened([NOBODY]), buy[0]]
    for size in sizes:
        star, chain = _opened(_star(size)), _opened(_chain(size))
        yield [*star, *buy[1:size]]
        yield [star[0], buy[0], *star[1:], *buy[1:size]]  # where only customers may invite
        if size > 2:
            yield [*chain, buy[size - 1]]
            yield [*chain, *buy[1:size]]
        for places in sizes if many_teams else [size]:
            if size % places == 0:
                teams = _teams(goods, size, places)
                yield [*star, *teams]
                yield [*_opened([NOBODY] * size), *teams]
                if places < size:
                    yield [*chain, *teams]


def _teams(goods: Goods, accounts: int, places: int) -> list[Step]:
    """Return the orders of accounts that fill teams of so many places each."""
    return [
        Step(Deed.OPEN_TEAM, account, NOBODY, goods)
        if account % places == 0
        else Step(Deed.JOIN_TEAM, account, account - account % places, goods)
        for account in range(accounts)
    ]


# How plans are changed.


def _variations(plan: Plan, goods: Sequence[Goods], many_teams: bool) -> Iterator[Plan]:
    """Yield the plans that are a step or two away."""
    steps, last = plan.steps, plan.accounts - 1
    used = list(dict.fromkeys(step.goods for step in steps if step.goods is not None))
    yield from map(plan_of, _with_other_goods(steps, goods, used))
    yield from map(plan_of, _with_other_accounts(steps, last))
    yield from map(plan_of, _with_more_orders(steps, last, used or goods[:1]))
    yield from map(plan_of, _without_something(steps, last))
    if many_teams:
        yield plan_of(_twice(steps, last))


def _twice(steps: Sequence[Step], last: int) -> list[Step]:
    """Return the same with as many accounts more, the first of which the last one invites."""
    again = [
        step._replace(account=step.account + last + 1, other=NOBODY if step.other < 0 else step.other + last + 1)
        for step in steps
    ]
    again = [
        step._replace(other=last) if step.deed == Deed.OPEN and step.account == last + 1 else step for step in again
    ]
    return [*steps, *again]


def _with_other_goods(steps: Sequence[Step], goods: Sequence[Goods], used: Sequence[Goods]) -> Iterator[list[Step]]:
    for old, new in product(used, goods):
        yield [step._replace(goods=new) if step.goods == old else step for step in steps]


def _with_other_accounts(steps: Sequence[Step], last: int) -> Iterator[list[Step]]:
    """Another account like the last one; one below it that takes over its orders; other inviters."""
    likewise = [
        step._replace(account=last + 1) for step in steps if step.account == last and step.deed != Deed.OPEN_TEAM
    ]
    (opening,) = (step for step in steps if step.account == last and step.deed == Deed.OPEN)
    yield [*steps, *likewise]
    handed_on = [
        step._replace(account=last + 1) if step.account == last and step.deed != Deed.OPEN else step for step in steps
    ]
    place = handed_on.index(opening) + 1
    yield [*handed_on[:place], Step(Deed.OPEN, last + 1, last), *handed_on[place:]]
    yield [*steps, Step(Deed.OPEN, last + 1, last)]
    for inviter in {NOBODY, 0, last - 1} - {opening.other, last}:
        yield [step._replace(other=inviter) if step is opening else step for step in steps]
    for inviters in ([NOBODY] * (last + 1), _star(last + 1), _chain(last + 1)):
        yield [step._replace(other=inviters[step.account]) if step.deed == Deed.OPEN else step for step in steps]


def _with_more_orders(steps: Sequence[Step], last: int, goods: Sequence[Goods]) -> Iterator[list[Step]]:
    """One more order, what was bought sent back, all bought in one team or each alone."""
    placed = [sum(step.account == account and step.deed in ORDERS for step in steps) for account in range(last + 1)]
    sent = [sum(step.account == account and step.deed == Deed.RETURN for step in steps) for account in range(last + 1)]
    for account in {0, last}:
        if placed[account] < ORDERS_AN_ACCOUNT:
            yield from ([*steps, Step(Deed.BUY, account, NOBODY, one)] for one in goods)
        if sent[account] < placed[account]:
            yield [*steps, Step(Deed.RETURN, account)]
    buyers = [account for account in range(last + 1) if placed[account]]
    if len(buyers) < last + 1:
        idle = [account for account in range(last + 1) if not placed[account]]
        yield [*steps, *(Step(Deed.BUY, account, NOBODY, goods[0]) for account in idle)]
    if not any(sent) and buyers:
        yield [*steps, *(Step(Deed.RETURN, account) for account in buyers)]
    if len(buyers) > 1 and all(step.deed not in ORDERS[1:] for step in steps):
        way = dict.fromkeys(buyers, (Deed.JOIN_TEAM, buyers[0])) | {buyers[0]: (Deed.OPEN_TEAM, NOBODY)}
        yield [
            step._replace(deed=way[step.account][0], other=way[step.account][1], goods=goods[0])
            if step.deed == Deed.BUY
            else step
            for step in steps
        ]
    yield [step._replace(deed=Deed.BUY, other=NOBODY) if step.deed in ORDERS else step for step in steps]


def _without_something(steps: Sequence[Step], last: int) -> Iterator[list[Step]]:
    """Leave out a return, an order with its return, an invitation, or the last account."""
    for step in steps:
        if step.deed == Deed.OPEN and step.other != NOBODY:
            yield [one._replace(other=NOBODY) if one is step else one for one in steps]
        elif step.deed == Deed.RETURN:
            yield [other for other in steps if other is not step]
        elif step.deed == Deed.BUY:
            yield [
                other
                for other in steps
                if other is not step and not (other.deed == Deed.RETURN and other.account == step.account)
            ]
    if last and all(step.other != last for step in steps):
        yield [step for step in steps if step.account != last]
