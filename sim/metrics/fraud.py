"""Fraud, which knows the truth about every account, fairness, and facts on law."""

from __future__ import annotations

import numpy as np

from sim.labels import Fraud, of_orders, of_payouts
from sim.metrics.registry import FEN, NAN, Array, Facts, metric, ratio, reported
from sim.orders import OrderStatus
from sim.people import Status
from sim.schemes.commission import payouts_of
from sim.schemes.rewards import RewardState

# Fraud: these know the truth about every account.


@metric("fraud", "accounts", -1, "fake accounts that got in")
def fraud_accounts(f: Facts) -> float:
    return float((f.people.fake & (f.people.joined >= 0)).sum())


@metric("fraud", "yuan", -1, "discounts and rewards for fake accounts, what was taken back taken off")
def fraud_loss(f: Facts) -> float:
    return float(f.shop.fraud_losses[1:, 1:].sum()) / FEN


@metric(
    "fraud", "yuan", -1, "part of fraud_loss that can still be stopped at the end: for orders not shipped, and frozen"
)
def fraud_pending(f: Facts) -> float:
    waiting = np.isin(f.book.status, (OrderStatus.WAITING, OrderStatus.PAID)) & (of_orders(f.shop)[0] > Fraud.NONE)
    pending = int(f.book.discount[waiting].sum())
    for _, payouts in payouts_of(f.shop.schemes):
        rewards = payouts.rewards
        frozen = rewards.state == RewardState.FROZEN
        kind, _ = of_payouts(f.people, rewards.person[frozen], rewards.origin[frozen])
        pending += int(rewards.amount[frozen][kind > Fraud.NONE].sum())
    return pending / FEN


@metric("fraud", "yuan", -1, "fees of KOLs paid for followers who are not people")
def follower_loss(f: Facts) -> float:
    return float(f.shop.fraud_losses[Fraud.FOLLOWERS].sum()) / FEN


@metric("fraud", "share", -1, "fraud_loss / incentive_cost")
def fraud_loss_share(f: Facts) -> float:
    return ratio(fraud_loss(f), f.incentive_cost)


@metric("fraud", "share", -1, "orders of fake accounts / all orders that were not undone")
def fraud_order_share(f: Facts) -> float:
    stands = f.book.status != OrderStatus.REFUNDED
    return ratio(float((f.people.fake[f.book.person] & stands).sum()), float(stands.sum()))


reported(
    "detection_auc",
    "fraud",
    "probability",
    1,
    "chance that a random fake account has a higher risk score than a random real person who joined during the run",
)
CAUGHT = "flagged, blocked, or refused at sign-up"  # at some time; see sim.risk.scoring
reported(
    "detection_precision", "fraud", "share", 1,
    f"fake accounts among those {CAUGHT}; an order or reward refused is not enough",
)  # fmt: skip
reported(
    "detection_recall", "fraud", "share", 1,
    f"fake accounts {CAUGHT} (not for an order or reward alone) / fake accounts that tried to sign up",
)  # fmt: skip
reported(
    "false_intercept_rate",
    "fraud",
    "share",
    -1,
    "sign-ups, orders and rewards of real persons that were refused, or cancelled after review / all of theirs",
)
reported("false_hold_rate", "fraud", "share", -1, "orders of real persons that waited for the review desk / all theirs")
reported(
    "detection_delay_days", "fraud", "days", -1,
    "mean time from a fake account's sign-up until it is flagged or blocked; 0 for those refused at sign-up",
)  # fmt: skip

reported(
    "honest_hit", "fraud", "persons", -1,
    "real persons who were refused anything (a sign-up, an order, a reward), flagged or blocked at least once",
)  # fmt: skip
reported("honest_hit_share", "fraud", "share", -1, "honest_hit / real persons whose doings were judged")
reported(
    "single_feature_auc",
    "fraud",
    "probability",
    0,
    "detection_auc of the best rule on one signal, at the same judgements of the detector; far below it where fraud is "
    "not trivially told",
)
reported("orders_challenged", "fraud", "orders", 0, "orders before which a proof of identity was asked for")
reported("orders_held", "fraud", "orders", 0, "orders that waited for the review desk")
reported("orders_cancelled", "fraud", "orders", 0, "of these, suspicion confirmed and order refunded")
reported("payouts_frozen", "fraud", "accounts", 0, "accounts whose payouts waited for the review desk")
reported("accounts_blocked", "fraud", "accounts", 0, "accounts that got no more discounts and rewards")
reported("appeals", "fraud", "appeals", -1, "appeals against being refused or blocked")
reported("appeals_granted", "fraud", "appeals", 0, "of these, granted by the review desk")
reported("review_cases", "fraud", "cases", 0, "cases opened at the review desk")
reported("review_wait_hours", "fraud", "hours", -1, "mean time from opening a case until an analyst starts")
reported("review_backlog", "fraud", "cases", -1, "cases without a verdict at the end")
reported("review_utilisation", "fraud", "share", 0, "part of the analysts' hours that went into cases")
reported("ring_profit", "fraud", "yuan", -1, "what all fraud rings earned, their costs taken off")
reported(
    "ring_return", "fraud", "yuan a yuan", -1, "ring_profit over what the rings spent on accounts, devices and orders"
)
reported(
    "ring_hiding",
    "fraud",
    "share",
    0,
    "disguised, of all facets by which rings' accounts can be told; nan: no accounts",
)
reported("brushed_orders", "fraud", "orders", -1, "orders that merchants placed of their own goods")
reported(
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


@metric(
    "fairness", "gini", -1, "Gini coefficient of what real members got out of incentives, those with nothing included"
)
def reward_gini(f: Facts) -> float:
    ever = f.real & (f.people.status != Status.PROSPECT)
    return gini(np.maximum(f.people.benefit[ever], 0))


@metric("fairness", "gini", -1, "Gini coefficient over merchants of how often their products were shown")
def merchant_exposure_gini(f: Facts) -> float:
    products, merchants = f.shop.products, f.shop.config.catalog.merchants
    return gini(np.bincount(products.merchant, products.views, minlength=merchants))


reported("chain_levels", "fairness", "levels", 0, "levels of inviters who were paid on one order, at most")
reported("chain_headcount_max", "fairness", "persons", 0, "largest number of persons under one promoter, all levels")
reported("entry_fee", "fairness", "yuan", 0, "what has to be spent before one may recruit; asked for as purchases")
reported("pay_for_heads", "fairness", "yuan", 0, "bonuses for bringing persons, earned without any order of theirs")
reported("pay_for_first_orders", "fairness", "yuan", 0, "bonuses for bringing persons, earned by their first orders")
reported("pay_for_direct_sales", "fairness", "yuan", 0, "commissions on orders of those who are bound to the earner")
reported("pay_for_downline_sales", "fairness", "yuan", 0, "commissions on orders of those further below")
reported("pay_for_own_orders", "fairness", "yuan", 0, "rebates on promoters' own orders")
