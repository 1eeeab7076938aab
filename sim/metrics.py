"""Every metric, defined once: name, group, unit, direction, formula, and how it is computed from a run.

``docs/metrics.md`` is generated from :data:`METRICS` (``python -m sim.metrics``). Real people only, unless a metric
says otherwise: fake accounts are counted in the fraud group. Money is in yuan. A metric without enough data is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numba as nb
import numpy as np
import numpy.typing as npt
import pandas as pd

from agents import brushers, fraudsters, second_accounts
from sim.core.ledger import LIABILITIES, Account
from sim.labels import Fraud
from sim.orders import OrderStatus
from sim.people import Status

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
Group = Literal["growth", "retention", "money", "schemes", "fraud", "fairness", "service"]
FEN = 100.0
NAN = float("nan")


@dataclass(frozen=True)
class Metric:
    """Definition of a metric.

    Attributes
    ----------
    name : str
    group : str
    unit : str
    direction : int
        1: more is better, -1: less is better, 0: neither.
    formula : str
        What is divided by what, over whom.
    compute : callable or None
        From a :class:`Facts`; None if it needs a base arm and is computed by a comparison.
    """

    name: str
    group: Group
    unit: str
    direction: int
    formula: str
    compute: Callable[[Facts], float] | None


METRICS: dict[str, Metric] = {}


def _metric(
    group: Group, unit: str, direction: int, formula: str
) -> Callable[[Callable[[Facts], float]], Callable[[Facts], float]]:
    def register(compute: Callable[[Facts], float]) -> Callable[[Facts], float]:
        name = compute.__name__
        METRICS[name] = Metric(name, group, unit, direction, formula, compute)
        return compute

    return register


def ratio(part: float, whole: float) -> float:
    """Return part / whole, NaN if there is no whole."""
    return part / whole if whole else NAN


class Facts:
    """What metrics are computed from: masks and sums over one run, each worked out once.

    Parameters
    ----------
    shop : Shop
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.people, self.book, self.clock = shop.people, shop.book, shop.clock

    @cached_property
    def real(self) -> Array:
        """Mask of persons who are not fake accounts."""
        mask: Array = ~self.people.fake
        return mask

    @cached_property
    def new(self) -> Array:
        """Mask of real persons who signed up during the run."""
        mask: Array = self.real & (self.people.joined >= 0) & (self.people.status != Status.PROSPECT)
        return mask

    @cached_property
    def buyer(self) -> Array:
        """Who is behind each order: its account's person, or whose second account it is."""
        who: Array = second_accounts.owners(self.shop)[self.book.person]
        return who

    @cached_property
    def order_rows(self) -> Array:
        """Rows of real persons' orders that were not undone before shipping, those of second accounts included."""
        return np.flatnonzero(self.real[self.buyer] & (self.book.status != OrderStatus.REFUNDED))

    @cached_property
    def orders_of(self) -> Array:
        """Orders of each person, as in ``order_rows``."""
        return np.bincount(self.buyer[self.order_rows], minlength=len(self.people))

    @cached_property
    def gmv(self) -> float:
        """Yuan paid for ``order_rows``."""
        return float(self.book.pay[self.order_rows].sum()) / FEN

    @cached_property
    def days(self) -> float:
        """Days simulated so far."""
        return self.clock.tick * self.clock.days_a_tick

    @cached_property
    def trees(self) -> tuple[Array, Array]:
        """Size of the invitation tree below each person, themselves included, and their depth in it; real persons."""
        inviter = np.where(self.real & self.real[self.people.inviter], self.people.inviter, -1)
        order = np.argsort(self.people.joined, kind="stable")
        size, depth = invitation_trees(inviter, order)
        return size, depth

    @cached_property
    def kol_cost(self) -> float:
        """Yuan paid to KOLs, fees and commissions."""
        return float(self.shop.ledger.total(target=Account.KOLS).sum()) / FEN

    @cached_property
    def incentive_cost(self) -> float:
        """Yuan that platform and merchants paid under schemes, what came back taken off."""
        return sum(scheme.spent for scheme in self.shop.schemes) / FEN

    @cached_property
    def contribution(self) -> float:
        """Yuan earned by platform and merchants together."""
        book = self.book
        kept = ~np.isin(book.status, (OrderStatus.REFUNDED, OrderStatus.RETURNED))
        kept &= self.people.fraud[book.person] != Fraud.BRUSHING  # goods and money go round in a circle
        goods = float((book.worth[kept] - book.cost[kept]).sum()) / FEN
        shipping = float(self.shop.ledger.total(target=Account.LOGISTICS).sum()) / FEN
        return goods - self.incentive_cost - shipping - self.kol_cost

    @cached_property
    def of_schemes(self) -> dict[str, float]:
        """Figures that schemes and risk control report of themselves.

        A scheme that has a name of its own reports under ``name.metric`` as well, so that two of a kind can be told
        apart; the
        plain metric is then the first one's.
        """
        found: dict[str, float] = {}
        for scheme in self.shop.schemes:
            for name, value in scheme.metrics().items():
                found.setdefault(name, value)
                if scheme.name != scheme.kind:
                    found[f"{scheme.name}.{name}"] = value
        return found | self.shop.risk.metrics() | fraudsters.metrics(self.shop) | brushers.metrics(self.shop)


@nb.njit(cache=True)
def invitation_trees(inviter, order):  # type: ignore[no-untyped-def]
    """Return the size of each person's invitation tree (themselves included) and their depth.

    Parameters
    ----------
    inviter : int32 ndarray, shape (n,)
        -1 for none. Nobody may have invited their own inviter.
    order : int64 ndarray, shape (n,)
        Persons by moment of joining, so that inviters come before those they invited.
    """
    size = np.ones(inviter.size, np.int64)
    depth = np.zeros(inviter.size, np.int64)
    for k in range(order.size):
        i = order[k]
        if inviter[i] >= 0:
            depth[i] = depth[inviter[i]] + 1
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        if inviter[i] >= 0:
            size[inviter[i]] += size[i]
    return size, depth


# Growth.


@_metric("growth", "persons", 1, "real members at the end; those who left for good are not members")
def members(f: Facts) -> float:
    return float((f.real & (f.people.status == Status.MEMBER)).sum())


@_metric("growth", "persons", 1, "real persons who signed up during the run")
def new_members(f: Facts) -> float:
    return float(f.new.sum())


@_metric("growth", "share", 1, "new members who came by someone's share or post / new members")
def invited_share(f: Facts) -> float:
    return ratio(float((f.new & (f.people.source >= 1)).sum()), new_members(f))


@_metric(
    "growth",
    "invited per member",
    1,
    "sign-ups by invitation that a member brought in during the run (invitations a member x their conversion): new "
    "members invited by real members / all who were members",
)
def k_factor(f: Facts) -> float:
    ever = f.real & (f.people.status != Status.PROSPECT)
    inviter = f.people.inviter[f.new]
    return ratio(float(f.real[inviter[inviter >= 0]].sum()), float(ever.sum()))


@_metric(
    "growth",
    "invited per new member",
    1,
    "new members invited by new members / new members: above 1 invitations alone keep the shop growing. Late joiners "
    "have had less time to invite, so short runs understate it",
)
def reproduction(f: Facts) -> float:
    inviter = f.people.inviter[f.new]
    return ratio(float(f.new[inviter[inviter >= 0]].sum()), new_members(f))


@_metric("growth", "days", -1, "median time from a new member's sign-up to the sign-ups that they invited")
def viral_cycle_days(f: Facts) -> float:
    invited = np.flatnonzero(f.new & (f.people.inviter >= 0))
    invited = invited[f.new[f.people.inviter[invited]]]
    gap = f.people.joined[invited] - f.people.joined[f.people.inviter[invited]]
    return float(np.median(gap)) * f.clock.days_a_tick if gap.size else NAN


@_metric(
    "growth", "persons", 1, "mean over days of persons who came that day (fake accounts included, as a platform counts)"
)
def dau(f: Facts) -> float:
    return ratio(f.shop.recorder.total("dau"), f.days)


@_metric("growth", "persons", 1, "real persons who came within the last 30 days of the run")
def mau(f: Facts) -> float:
    return float((f.real & (f.people.last_visit > f.clock.tick - 30 * f.clock.ticks_a_day)).sum())


@_metric("growth", "visits", 1, "visits (fake accounts included, as a platform counts)")
def visits(f: Facts) -> float:
    return f.shop.recorder.total("visits")


@_metric("growth", "orders", 1, "orders of real persons that were not undone before shipping")
def orders(f: Facts) -> float:
    return float(f.order_rows.size)


@_metric("growth", "persons", 1, "real persons with at least one such order in the run")
def buyers(f: Facts) -> float:
    return float((f.orders_of > 0).sum())


@_metric("growth", "yuan", 1, "what real buyers paid, returns not taken off, failed teams taken off")
def gmv(f: Facts) -> float:
    return f.gmv


@_metric("growth", "yuan", 1, "gmv / orders")
def aov(f: Facts) -> float:
    return ratio(f.gmv, orders(f))


@_metric("growth", "share", 1, "orders / visits of real persons")
def conversion(f: Facts) -> float:
    return ratio(orders(f), f.shop.recorder.total("real_visits"))


@_metric("growth", "shares a visit", 1, "shares sent / visits of real persons")
def share_rate(f: Facts) -> float:
    return ratio(f.shop.recorder.total("shares"), f.shop.recorder.total("real_visits"))


@_metric("growth", "persons", 1, "mean size of invitation trees of at least two, the root included")
def cascade_size_mean(f: Facts) -> float:
    size, depth = f.trees
    roots = (depth == 0) & (size > 1)
    return float(size[roots].mean()) if roots.any() else NAN


@_metric("growth", "steps", 0, "longest chain of invitations")
def cascade_depth_max(f: Facts) -> float:
    return float(f.trees[1].max(initial=0))


# Retention.


def _returned_on_day(f: Facts, bit: int, day: int) -> float:
    seen = f.new & (f.people.joined // f.clock.ticks_a_day + day < f.clock.tick // f.clock.ticks_a_day)
    return ratio(float((seen & (f.people.visit_days >> bit & 1).astype(bool)).sum()), float(seen.sum()))


@_metric(
    "retention", "share", 1, "new members who came on the day after their sign-up / new members observed that long"
)
def retention_d1(f: Facts) -> float:
    return _returned_on_day(f, 0, 1)


@_metric("retention", "share", 1, "new members who came on day 7 after their sign-up / new members observed that long")
def retention_d7(f: Facts) -> float:
    return _returned_on_day(f, 1, 7)


@_metric("retention", "share", 1, "new members who came on day 30 after their sign-up / new members observed that long")
def retention_d30(f: Facts) -> float:
    return _returned_on_day(f, 2, 30)


@_metric("retention", "share", 1, "buyers with at least two orders in the run / buyers")
def repeat_rate(f: Facts) -> float:
    return ratio(float((f.orders_of > 1).sum()), buyers(f))


@_metric("retention", "share", -1, "real persons who left for good / real persons who ever were members")
def churn_rate(f: Facts) -> float:
    ever = f.real & (f.people.status != Status.PROSPECT)
    return ratio(float((f.people.status[ever] == Status.CHURNED).sum()), float(ever.sum()))


@_metric(
    "retention",
    "yuan",
    1,
    "mean margin of goods less discounts and rewards in a member's first 90 days under observation (from the start or "
    "from joining), over those observed so long",
)
def ltv_90d(f: Facts) -> float:
    span = 90 * f.clock.ticks_a_day
    start = np.maximum(f.people.joined, 0)
    ever = f.real & (f.people.status != Status.PROSPECT) & (start + span <= f.clock.tick)
    if not ever.any():
        return NAN
    rows = f.order_rows
    person = f.buyer[rows]
    early = f.book.tick[rows] < start[person] + span
    kept = early & (f.book.status[rows] != OrderStatus.RETURNED) & ever[person]
    worth = (f.book.pay[rows] - f.book.cost[rows] - f.book.rewards[rows])[kept].sum()
    return float(worth) / FEN / float(ever.sum())


# Money.


@_metric(
    "money",
    "yuan",
    -1,
    "what platform and merchants paid under schemes (discounts, bonuses, commissions), less claw-backs and refunds",
)
def incentive_cost(f: Facts) -> float:
    return f.incentive_cost


@_metric("money", "share", -1, "incentive_cost / gmv")
def subsidy_rate(f: Facts) -> float:
    return ratio(f.incentive_cost, f.gmv)


@_metric(
    "money",
    "yuan",
    1,
    "platform and merchants together: list price less cost of goods kept, less incentive_cost, shipping and kol_cost; "
    "fake accounts' orders included, but not what merchants order of themselves",
)
def contribution(f: Facts) -> float:
    return f.contribution


@_metric("money", "yuan", -1, "fees and commissions paid to KOLs")
def kol_cost(f: Facts) -> float:
    return f.kol_cost


@_metric("money", "yuan a person", -1, "(incentive_cost + kol_cost) / new_members")
def cac(f: Facts) -> float:
    return ratio(f.incentive_cost + f.kol_cost, new_members(f))


@_metric(
    "money",
    "days",
    -1,
    "cac / mean daily margin (paid less cost of goods, returns taken off) of a new member since joining",
)
def payback_days(f: Facts) -> float:
    rows = f.order_rows[f.new[f.buyer[f.order_rows]]]
    rows = rows[f.book.status[rows] != OrderStatus.RETURNED]
    margin = float((f.book.pay[rows] - f.book.cost[rows]).sum()) / FEN
    member_days = float((f.clock.tick - f.people.joined[f.new]).sum()) * f.clock.days_a_tick
    daily = ratio(margin, member_days)
    return cac(f) / daily if daily > 0 else NAN


@_metric(
    "money",
    "yuan",
    -1,
    "what the platform owes sharers at the end: frozen commission, and what is released and not yet withdrawn",
)
def liabilities(f: Facts) -> float:
    return sum(f.shop.ledger.balance(a) for a in LIABILITIES) / FEN


def _needs_base(name: str, unit: str, formula: str, direction: int = 1, group: Group = "money") -> None:
    METRICS[name] = Metric(name, group, unit, direction, formula + " (needs a base arm)", None)


_needs_base(
    "incremental_gmv",
    "yuan",
    "sum over real persons of what they paid in this arm less what their twins paid in the base arm",
)
_needs_base("incremental_contribution", "yuan", "contribution less the base arm's")
_needs_base(
    "incremental_members",
    "persons",
    "real persons who became members in this arm and not in the base, less the reverse",
    group="growth",
)
_needs_base("roi", "yuan a yuan", "incremental_contribution / (incentive_cost + kol_cost less the base arm's)")


# Schemes: figures that they report of themselves.


def _reported(name: str, group: Group, unit: str, direction: int, formula: str) -> None:
    METRICS[name] = Metric(name, group, unit, direction, formula, lambda f: f.of_schemes.get(name, NAN))


_reported("coupon_redemption_rate", "schemes", "share", 0, "coupons used / coupons issued")
_reported("coupon_fill_up_share", "schemes", "share", 0, "orders with more units to reach a threshold / coupons used")
_reported("team_fill_rate", "schemes", "share", 1, "teams that filled / teams whose time is over")
_reported("teams_opened", "schemes", "teams", 0, "teams opened")
_reported("team_orders", "schemes", "orders", 0, "orders in teams, those of failed teams included")
_reported("team_hours_to_fill", "schemes", "hours", -1, "mean time from opening to full, over teams that filled")
_reported("joiners_invited_share", "schemes", "share", 0, "members called by one of their team / all who joined a team")
_reported("coupon_cost", "schemes", "yuan", -1, "discounts by coupons, refunds taken off")
_reported("commission_paid", "schemes", "yuan", 0, "commissions granted, claw-backs taken off")
_reported("bonus_paid", "schemes", "yuan", 0, "invitation bonuses granted, cancelled ones taken off")


# Fraud: these know the truth about every account.


@_metric("fraud", "accounts", -1, "fake accounts that got in")
def fraud_accounts(f: Facts) -> float:
    return float((f.people.fake & (f.people.joined >= 0)).sum())


@_metric("fraud", "yuan", -1, "discounts and rewards for fake accounts, what was taken back taken off")
def fraud_loss(f: Facts) -> float:
    return float(f.shop.fraud_losses[1:, 1:].sum()) / FEN


@_metric("fraud", "yuan", -1, "fees of KOLs paid for followers who are not people")
def follower_loss(f: Facts) -> float:
    return float(f.shop.fraud_losses[Fraud.FOLLOWERS].sum()) / FEN


@_metric("fraud", "share", -1, "fraud_loss / incentive_cost")
def fraud_loss_share(f: Facts) -> float:
    return ratio(fraud_loss(f), f.incentive_cost)


@_metric("fraud", "share", -1, "orders of fake accounts / all orders that were not undone")
def fraud_order_share(f: Facts) -> float:
    stands = f.book.status != OrderStatus.REFUNDED
    return ratio(float((f.people.fake[f.book.person] & stands).sum()), float(stands.sum()))


_reported(
    "detection_auc",
    "fraud",
    "probability",
    1,
    "chance that a random fake account has a higher risk score than a random real person who joined during the run",
)
_reported("detection_precision", "fraud", "share", 1, "fake accounts among those refused or caught")
_reported("detection_recall", "fraud", "share", 1, "fake accounts refused or caught / fake accounts that tried")
_reported(
    "false_intercept_rate",
    "fraud",
    "share",
    -1,
    "sign-ups, orders and rewards of real persons that were refused, or cancelled after review / all of theirs",
)
_reported(
    "false_hold_rate", "fraud", "share", -1, "orders of real persons that waited for the review desk / all theirs"
)
_reported("detection_delay_days", "fraud", "days", -1, "mean time from a fake account's sign-up until it is caught")

_reported("honest_hit", "fraud", "persons", -1, "real persons who were refused or caught at least once")
_reported("honest_hit_share", "fraud", "share", -1, "honest_hit / real persons whose doings were judged")
_reported(
    "single_feature_auc",
    "fraud",
    "probability",
    0,
    "detection_auc of the best rule on one signal, at the same judgements of the detector; far below it where fraud is "
    "not trivially told",
)
_reported("orders_challenged", "fraud", "orders", 0, "orders before which a proof of identity was asked for")
_reported("orders_held", "fraud", "orders", 0, "orders that waited for the review desk")
_reported("orders_cancelled", "fraud", "orders", 0, "of these, suspicion confirmed and order refunded")
_reported("payouts_frozen", "fraud", "accounts", 0, "accounts whose payouts waited for the review desk")
_reported("accounts_blocked", "fraud", "accounts", 0, "accounts that got no more discounts and rewards")
_reported("appeals", "fraud", "appeals", -1, "appeals against being refused or blocked")
_reported("appeals_granted", "fraud", "appeals", 0, "of these, granted by the review desk")
_reported("review_cases", "fraud", "cases", 0, "cases opened at the review desk")
_reported("review_wait_hours", "fraud", "hours", -1, "mean time from opening a case until an analyst starts")
_reported("review_backlog", "fraud", "cases", -1, "cases without a verdict at the end")
_reported("review_utilisation", "fraud", "share", 0, "part of the analysts' hours that went into cases")
_reported("ring_profit", "fraud", "yuan", -1, "what all fraud rings earned, their costs taken off")
_reported(
    "ring_return", "fraud", "yuan a yuan", -1, "ring_profit over what the rings spent on accounts, devices and orders"
)
_reported("brushed_orders", "fraud", "orders", -1, "orders that merchants placed of their own goods")
_reported(
    "rings_active", "fraud", "rings", -1, "rings that had a plan worth playing, or one on trial, at their last decision"
)


# Fairness and law.


def gini(values: Array) -> float:
    """Return the Gini coefficient of non-negative values: mean absolute difference over twice the mean."""
    x = np.sort(np.asarray(values, np.float64))
    total = x.sum()
    if x.size == 0 or total <= 0:
        return NAN
    rank = np.arange(1, x.size + 1)
    return float((2 * rank - x.size - 1) @ x / (x.size * total))


@_metric(
    "fairness", "gini", -1, "Gini coefficient of what real members got out of incentives, those with nothing included"
)
def reward_gini(f: Facts) -> float:
    ever = f.real & (f.people.status != Status.PROSPECT)
    return gini(np.maximum(f.people.benefit[ever], 0))


@_metric("fairness", "gini", -1, "Gini coefficient over merchants of how often their products were shown")
def merchant_exposure_gini(f: Facts) -> float:
    products, merchants = f.shop.products, f.shop.config.catalog.merchants
    return gini(np.bincount(products.merchant, products.views, minlength=merchants))


_reported("chain_levels", "fairness", "levels", 0, "levels of inviters who were paid on one order, at most")
_reported("chain_headcount_max", "fairness", "persons", 0, "largest number of persons under one promoter, all levels")
_reported("entry_fee", "fairness", "yuan", 0, "what has to be spent before one may recruit; asked for as purchases")
_reported("pay_for_heads", "fairness", "yuan", 0, "bonuses for bringing persons, earned without any order of theirs")
_reported("pay_for_first_orders", "fairness", "yuan", 0, "bonuses for bringing persons, earned by their first orders")
_reported("pay_for_direct_sales", "fairness", "yuan", 0, "commissions on orders of those who are bound to the earner")
_reported("pay_for_downline_sales", "fairness", "yuan", 0, "commissions on orders of those further below")
_reported("pay_for_own_orders", "fairness", "yuan", 0, "rebates on promoters' own orders")


# Service.


@_metric("service", "share", -1, "orders refused for want of stock / orders wanted")
def stockout_rate(f: Facts) -> float:
    short = float(f.shop.products.short.sum())
    return ratio(short, short + float(len(f.book)))


@_metric("service", "days", -1, "mean time from order to delivery")
def delivery_days(f: Facts) -> float:
    done = f.book.delivered >= 0
    return float((f.book.delivered - f.book.tick)[done].mean()) * f.clock.days_a_tick if done.any() else NAN


@_metric("service", "share", -1, "orders returned / orders confirmed or returned")
def return_rate(f: Facts) -> float:
    returned = float((f.book.status == OrderStatus.RETURNED).sum())
    return ratio(returned, returned + float((f.book.status == OrderStatus.CONFIRMED).sum()))


@_metric("service", "0 to 1", 1, "mean satisfaction of real members")
def satisfaction(f: Facts) -> float:
    who = f.real & (f.people.status == Status.MEMBER)
    return float(f.people.satisfaction[who].mean()) if who.any() else NAN


# Everything together.


def compute(shop: Shop) -> pd.Series:
    """Return every metric that one run can give, then whatever else its schemes report."""
    facts = Facts(shop)
    values = {name: float(m.compute(facts)) for name, m in METRICS.items() if m.compute is not None}
    values |= {name: float(v) for name, v in facts.of_schemes.items() if name not in values}
    return pd.Series(values, name="value")


def reporters() -> dict[str, Callable[[Shop], float]]:
    """Return reporters for a mesa DataCollector, called at the end of each day."""
    return {
        "day": lambda shop: shop.clock.day,
        "members": lambda shop: members(Facts(shop)),
        "new_members": lambda shop: new_members(Facts(shop)),
        "visits": lambda shop: shop.recorder.total("visits"),
        "orders": lambda shop: orders(Facts(shop)),
        "gmv": lambda shop: gmv(Facts(shop)),
        "incentive_cost": lambda shop: sum(s.spent for s in shop.schemes) / FEN,
    }


_IN_FEN = {"gmv", "refunded_gmv", "fraud_loss"}


def history(shop: Shop) -> pd.DataFrame:
    """Return one row a day so far; counters are the day's, levels are of its end, money in yuan.

    What a metric is called like is defined like it: members, orders and gmv are of real persons, and an order that was
    undone before shipping is not counted on the day when it was placed.
    """
    done = math.ceil(shop.clock.tick / shop.clock.ticks_a_day)
    recorder = shop.recorder
    frame = pd.DataFrame(
        {name: recorder.daily(name)[:done] for name in recorder.names()}, index=pd.RangeIndex(done, name="day")
    )
    for name, daily in _as_metrics_count(shop, done).items():
        frame[name] = daily
    for name in _IN_FEN & set(frame):
        frame[name] /= FEN
    paid = [
        shop.ledger.total(source=a, scheme=s.number)
        for s in shop.schemes
        for a in (Account.PLATFORM, Account.MERCHANTS)
    ]
    back = [
        shop.ledger.total(target=a, scheme=s.number)
        for s in shop.schemes
        for a in (Account.PLATFORM, Account.MERCHANTS)
    ]
    frame["incentive_cost"] = (np.sum(paid, axis=0) - np.sum(back, axis=0))[:done] / FEN if paid else 0.0
    return frame


def _as_metrics_count(shop: Shop, days: int) -> dict[str, Array]:
    """Return the daily figures of which counters, as the shop keeps them, hold fake accounts and undone orders too."""
    f, people, book = Facts(shop), shop.people, shop.book
    a_day = shop.clock.ticks_a_day

    def daily(tick: Array, amount: Array | None = None) -> Array:
        return np.bincount(tick // a_day, amount, minlength=days)[:days].astype(np.float64)

    admitted = people.fake & (people.joined >= 0) & (people.status != Status.PROSPECT)
    # Fake accounts have no dropout: who got in stays a member.
    return {
        "members": shop.recorder.daily("members")[:days] - daily(people.joined[admitted]).cumsum(),
        "new_members": daily(people.joined[f.new]),
        "invited_members": daily(people.joined[f.new & (people.source >= 1)]),
        "orders": daily(book.tick[f.order_rows]),
        "gmv": daily(book.tick[f.order_rows], book.pay[f.order_rows]),
    }


def cohorts(shop: Shop) -> pd.DataFrame:
    """Return for each week's new members how many came in each week since: columns cohort, age, members, active."""
    facts = Facts(shop)
    clock, people = shop.clock, shop.people
    week = 7 * clock.ticks_a_day
    last = min(63, max(0, (clock.tick - 1) // week))
    rows = []
    joined = np.where(facts.new, people.joined // week, -1)
    for cohort in range(last + 1):
        who = np.flatnonzero(joined == cohort)
        bits = people.active_weeks[who]
        rows += [
            (cohort, age, who.size, int((bits >> np.uint64(cohort + age) & np.uint64(1)).sum()))
            for age in range(last - cohort + 1)
        ]
    return pd.DataFrame(rows, columns=["cohort", "age", "members", "active"])


def funnel(shop: Shop) -> pd.Series:
    """Return the counts from messages read to second orders; real people from sign-up on."""
    facts, total = Facts(shop), shop.recorder.total
    new = facts.new
    return pd.Series(
        {
            "messages read": total("exposures"),
            "clicks": total("clicks"),
            "sign-ups": float(new.sum()),
            "first orders": float((facts.orders_of[new] > 0).sum()),
            "second orders": float((facts.orders_of[new] > 1).sum()),
        }
    )


def document() -> str:
    """Return ``docs/metrics.md``."""
    lines = [
        "# Metrics",
        "",
        "Generated from `sim/metrics.py` by `python -m sim.metrics`; do not edit. Real people only, unless a formula "
        "says otherwise.",
        "Money is in yuan. A metric without enough data is reported as n/a.",
    ]
    arrows = {1: "more is better", -1: "less is better", 0: "neither"}
    for group in ("growth", "retention", "money", "schemes", "fraud", "fairness", "service"):
        lines += [
            "",
            f"## {group.capitalize()}",
            "",
            "| metric | unit | direction | formula |",
            "| --- | --- | --- | --- |",
        ]
        chosen = (m for m in METRICS.values() if m.group == group)
        lines += [f"| `{m.name}` | {m.unit} | {arrows[m.direction]} | {m.formula} |" for m in chosen]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(document(), end="")
