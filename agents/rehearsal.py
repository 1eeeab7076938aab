"""A rehearsal of plans: the engine itself as a sandbox in which an adversary tries what the rules of a shop bring.

The sandbox is a shop of the same scenario in which nobody else comes: the same schemes, catalogue, fulfilment and
return window, ticks of a day, goods, budgets and totals ample, and no risk control but its freeze of payouts. Many
plans run in it side by side, each by accounts of its own, through the same sign-ups, offers, orders, parcels, returns
and payouts as anybody's. When every order is final and no reward is frozen any more, the ledger tells what each plan
brought. So no rule is reckoned here a second time, and whatever the rules come to together is found.

What a rehearsal cannot show: competition for budgets and stock, merchants who stop paying, risk control, and that a
rule opens or closes meanwhile. It takes the schemes that it is told as open for as long as it lasts, but for coupons
that must be had before others open: these open after a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents.actions import NOBODY, ORDERS, Deed, Goods, Plan
from sim.core.clock import HOURS_A_DAY
from sim.core.ledger import Account
from sim.offers import A_TEAM_OF_ITS_OWN, NONE, Source
from sim.orders import OrderStatus

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.shop import Shop

Array = npt.NDArray[Any]
LONGEST = 400  # days; what has not been paid out by then counts as lost
CONTROLS = ("payout_freeze",)  # keys of the scenario's section risk that hold in a rehearsal
GAP = 40  # days after which the schemes open that are said to come later
_TEN_YEARS = "3650d"  # never, within a rehearsal
_FIRST_DEVICE = 1 << 20  # beyond those of the few persons


@dataclass(frozen=True)
class Outcome:
    """What plans brought when all was over; one row a plan, means over its copies; fen.

    Attributes
    ----------
    cash : float ndarray, shape (plans, schemes + 1)
        Rewards that were withdrawn or paid back to the buyer, by scheme (column 0 is always 0).
    discount : float ndarray, shape (plans, schemes + 1)
        Taken off orders that were kept.
    worth : float ndarray, shape (plans,)
        List prices of the goods that were kept.
    spent : float ndarray, shape (plans,)
        Paid for goods, refunds taken off.
    laid_out : float ndarray, shape (plans,)
        Paid for goods, before any refund.
    """

    cash: Array
    discount: Array
    worth: Array
    spent: Array
    laid_out: Array


@dataclass(frozen=True)
class _Cast:
    """Who plays: each step of each copy of each plan as flat arrays, and whose each account is."""

    owner: Array  # plan of each account
    stage: Array
    deed: Array
    account: Array
    other: Array
    product: Array
    units: Array


class Rehearsal:
    """A sandbox for plans; see the module's docstring.

    Parameters
    ----------
    scenario : Scenario
        Of the shop to be robbed.
    schemes : collection of int, optional
        Indices of the schemes that run; default: all.
    leaked : collection of int
        Indices of coupons among them that have leaked (:mod:`sim.shocks`).
    seed : int
        Of the catalogue and of luck.
    before, later : collection of int
        Indices of coupons that are issued until the later schemes run, and of these.

    Attributes
    ----------
    scenario : Scenario
        The sandbox's own.
    gap : int
        Days until the later schemes run, 0 if there are none.
    names : list of str
        What the ledger's columns are called: "shop", then the schemes.
    """

    def __init__(
        self, scenario: Scenario, schemes: Collection[int] | None = None, leaked: Collection[int] = (), seed: int = 0,
        *, before: Collection[int] = (), later: Collection[int] = (),
    ) -> None:  # fmt: skip
        chosen = range(len(scenario.config.schemes)) if schemes is None else sorted(schemes)
        self.scenario = _sandbox(scenario, list(chosen), leaked, before, later)
        self.seed, self.gap = seed, GAP if later else 0
        self._stage = self._open()
        self.names: list[str] = list(self._stage.ledger.schemes)
        self.products = self._stage.products

    def _open(self) -> Shop:
        return _shop_class()(self.scenario, rng=self.seed)

    def play(self, plans: Sequence[Plan], copies: int = 1) -> Outcome:
        """Play plans side by side and return what they brought.

        Parameters
        ----------
        plans : sequence of Plan
        copies : int
            Groups of accounts that play each plan, each with its own luck.
        """
        shop, self._stage = self._stage, self._open()  # each rehearsal has a fresh stage; the first stands already
        cast = self._cast(plans, copies)
        persons = _FIRST_DEVICE + np.arange(cast.owner.size)
        first = int(shop.add_fakes(0, cast.owner.size, persons, persons)[0]) if cast.owner.size else 0
        _perform(shop, cast, first)
        _wait_for_the_money(shop)
        return _reckon(shop, cast.owner, first, len(plans), copies)

    def _cast(self, plans: Sequence[Plan], copies: int) -> _Cast:
        owner: list[int] = []
        steps: list[tuple[int, int, int, int, int, int]] = []
        rows: dict[Goods | None, int] = {None: NONE}
        for number, plan in enumerate(plans):
            for step in plan.steps:
                if step.goods not in rows and step.goods is not None:
                    rows[step.goods] = step.goods.pick(self.products)
            for _ in range(copies):
                base = len(owner)
                owner += [number] * plan.accounts
                steps += [
                    (stage, step.deed, base + step.account, base + step.other if step.other >= 0 else NOBODY,
                     rows[step.goods], step.units)
                    for stage, step in zip(plan.stages, plan.steps, strict=True)
                ]  # fmt: skip
        flat = np.array(steps, np.int64).reshape(-1, 6).T
        return _Cast(np.array(owner, np.int64), *flat)


def _perform(shop: Shop, cast: _Cast, first: int) -> None:
    """Let the accounts, which are persons from ``first`` on, do their steps: a stage a tick."""
    bought = np.full(cast.owner.size, NONE)  # the last order of each account, a row of the order book
    for stage in range(int(cast.stage.max(initial=-1)) + 1):
        now = cast.stage == stage
        opens = np.flatnonzero(now & (cast.deed == Deed.OPEN))
        inviter = cast.other[opens]
        shop.queue_signups(first + cast.account[opens], np.where(inviter >= 0, first + inviter, NONE), Source.RING)
        buys = np.flatnonzero(now & np.isin(cast.deed, ORDERS) & (cast.product >= 0))
        team = np.full(buys.size, NONE)
        team[cast.deed[buys] == Deed.OPEN_TEAM] = A_TEAM_OF_ITS_OWN
        joins = np.flatnonzero(cast.deed[buys] == Deed.JOIN_TEAM)
        order = bought[cast.other[buys[joins]]]
        team[joins[order >= 0]] = shop.book.team[order[order >= 0]]
        buys, team = np.delete(buys, joins[team[joins] < 0]), np.delete(team, joins[team[joins] < 0])
        shop.queue_visits(first + cast.account[buys], cast.product[buys], team, cast.units[buys])
        back = bought[cast.account[now & (cast.deed == Deed.RETURN)]]
        shop.book.will_return[back[back >= 0]] = True
        known = len(shop.book)
        shop.step()
        rows = np.arange(known, len(shop.book))
        bought[shop.book.person[rows] - first] = rows


def _wait_for_the_money(shop: Shop) -> None:
    """Let days pass until every order is final, nothing is frozen and all wallets had their day."""
    every = [getattr(getattr(scheme.config, "withdrawal", None), "every", 0.0) for scheme in shop.schemes]
    left = payout = 1 + int(max(every, default=0.0) // HOURS_A_DAY)
    while shop.running and left:
        shop.step()
        is_over = bool((shop.book.closed >= 0).all()) and shop.ledger.balance(Account.FROZEN_COMMISSION) == 0
        left = left - 1 if is_over else payout


def _reckon(shop: Shop, owner: Array, first: int, plans: int, copies: int) -> Outcome:
    """Read from journal and order book what each plan brought."""
    journal, book, width = shop.ledger.journal, shop.book, len(shop.ledger.schemes)
    assert journal is not None  # the sandbox keeps one
    flow = np.zeros((plans, width))
    private = (Account.BUYERS, Account.SHARERS)
    for side, sign in ((journal.credit, 1.0), (journal.debit, -1.0)):
        rows = np.flatnonzero(np.isin(side, private) & (journal.person >= first))
        np.add.at(flow, (owner[journal.person[rows] - first], journal.scheme[rows]), sign * journal.amount[rows])
    cash = flow.copy()
    cash[:, 0] = 0.0
    kept = np.flatnonzero(~np.isin(book.status, (OrderStatus.REFUNDED, OrderStatus.RETURNED)))
    plan = owner[book.person[kept] - first]
    discount = np.zeros((plans, width))
    np.add.at(discount[:, 1:], plan, book.discount[kept][:, : width - 1].astype(float))
    worth = np.bincount(plan, book.worth[kept], plans)
    paid = np.flatnonzero((journal.debit == Account.BUYERS) & (journal.scheme == 0) & (journal.person >= first))
    laid_out = np.bincount(owner[journal.person[paid] - first], journal.amount[paid], plans)
    return Outcome(cash / copies, discount / copies, worth / copies, -flow[:, 0] / copies, laid_out / copies)


def _sandbox(
    scenario: Scenario, chosen: list[int], leaked: Collection[int], before: Collection[int], later: Collection[int]
) -> Scenario:
    """Return the scenario of the sandbox."""
    config = scenario.config
    sections = {index: _always_open(config.schemes[index].model_dump(mode="json")) for index in chosen}
    for index in before:
        valid = getattr(config.schemes[index], "valid_for", 0.0) + GAP * HOURS_A_DAY  # it is told to be valid still
        sections[index] |= {"end": f"{GAP}d", "valid_for": f"{valid}h"}
    for index in later:
        sections[index]["start"] = f"{GAP}d"
    risk = config.risk.model_dump(mode="json")
    values: dict[str, Any] = {
        "name": "rehearsal", "tick": "1d", "horizon": f"{LONGEST}d",
        "people.network": {"kind": "complete"}, "people.size": 2, "people.members_at_start": 0.0,
        "people.homophily": 0.0, "people.seeds": None,
        "sharing.organic": 0.0, "sharing.word_of_mouth": 0.0,
        "kols": {"count": 0}, "merchants": {"review_every": _TEN_YEARS}, "catalog.stock": {},
        "recommendation": {"model": "random", "slate": 1, "refresh": _TEN_YEARS},
        "operations.return_rate": 0.0, "operations.capacity": None,
        "calendar": [], "guardrails": [], "fraud": {}, "record": {"journal": True},
        "risk": {control: risk[control] for control in CONTROLS},
        "schemes": list(sections.values()),
        "shocks": [_leak(config.schemes[index].name or config.schemes[index].kind) for index in leaked],
    }  # fmt: skip
    return scenario.override(values)


def _leak(scheme: str) -> dict[str, Any]:
    """Return the leak of a coupon, from beginning to end."""
    return {"kind": "leaked_code", "scheme": scheme, "reach": 1.0, "start": "0d", "length": f"{LONGEST}d"}


def _always_open(section: dict[str, Any]) -> dict[str, Any]:
    """Return a scheme's section without dates, and without limits that many plans would compete for."""
    section |= {"start": "0d", "end": None, "budget": None}
    for limit in ("total", "orders_in_all"):
        if limit in section:
            section[limit] = None
    for part in ("set_aside", "set_aside_units"):  # of a stock that is never short here
        if part in section:
            section[part] = 0
    if section.get("valid_until") is not None:
        section |= {"valid_from": "0d", "valid_until": None}
    if section.get("dates"):
        section["dates"] = [f"{_GIFTS_AFTER + n}d" for n in range(len(section["dates"]))]
    if section.get("coupon") == "code":
        section["code_known"] = 0.0  # a secret, unless it leaks
    appointed = section.get("appointed")
    if appointed is not None and appointed.get("persons") is not None:
        section["appointed"] = {"count": 1, "by": "random"}  # persons whom the sandbox does not have
    return section


_GIFTS_AFTER = 2  # days, when the first accounts of a plan are in


@cache
def _shop_class() -> type[Shop]:
    """Return a shop that keeps no daily figures; the engine imports the agents, so it is not imported before use."""
    from sim.shop import Shop

    class Sandbox(Shop):
        def _record(self) -> None:
            """Nobody looks at its days."""

    return Sandbox
