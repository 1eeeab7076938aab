"""Referral: what is earned, what sharers believe, and rules that contradict themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from referral_shop import NO_BONUS, YUAN, World, problems, scenario, shares, world

from sim import ScenarioError, Shop
from sim.offers import ShareKind
from sim.orders import OrderStatus
from sim.people import Status
from sim.schemes.earnings import RewardKind
from sim.schemes.referral import Referral, ReferralConfig

# Commissions.


def test_an_order_pays_each_level_its_rate() -> None:
    w = world(rates=["10%", "5%"])
    w.chain(0, 1, 2, 3)
    w.buy(3)
    assert [w.earned(p) for p in range(4)] == [0, 5, 10, 0]
    w.check()


def test_whoever_may_not_promote_is_passed_over_and_the_levels_above_keep_their_rates() -> None:
    w = world(rates=["10%", "5%"])
    w.chain(0, 1, 2)
    w.shop.people.status[1] = Status.PROSPECT
    w.buy(2)
    assert [w.earned(p) for p in range(3)] == [5, 0, 0]


@pytest.mark.parametrize("identities", [1, 2, 3, 6])
def test_splitting_into_identities_earns_the_geometric_sum(identities: int) -> None:
    """Emek et al. (2011): with reward b a^k at distance k, m identities in a chain earn sum_{i<m} a^i times as much."""
    a, b = 0.5, 0.32
    w = world(rates=[b * a**k for k in range(1, 7)], own_purchase_rebate=b)
    chain = list(range(identities))
    w.chain(*chain)
    w.buy(chain[-1], yuan=1000)
    assert sum(w.earned(p) for p in chain) == pytest.approx(1000 * b * sum(a**i for i in range(identities)), abs=0.05)


@pytest.mark.parametrize(("base", "expected"), [("list", 10), ("paid", 8), ("profit", 2)])
def test_commission_is_a_share_of_the_stated_base_and_reported_on_it(base: str, expected: float) -> None:
    w = world(rates=["10%"], base=base)
    w.shop.products.cost[:] = 60 * YUAN
    w.chain(0, 1)
    w.buy(1, yuan=100, off=20)
    assert w.earned(0) == expected
    facts = w.scheme.facts()
    assert facts["commission_base"] == base
    assert facts["first_level_share_of_base"] == pytest.approx(0.10)
    assert {"list": "list price", "paid": "price paid", "profit": "profit"}[base] in facts["pay_basis"]


def test_no_commission_on_an_order_sold_at_a_loss() -> None:
    w = world(rates=["10%"], base="profit")
    w.shop.products.cost[:] = 120 * YUAN
    w.chain(0, 1)
    w.buy(1)
    assert len(w.rewards) == 0


def test_fixed_amounts_replace_the_rates_of_their_product_for_each_unit() -> None:
    w = world(rates=["10%", "5%"], fixed={"2": [3]})
    w.chain(0, 1, 2)
    w.buy(2, product=2, units=4)
    assert [w.earned(0), w.earned(1)] == [0, 12]
    w.buy(2, product=1)
    assert [w.earned(0), w.earned(1)] == [5, 22]


def test_fixed_amount_of_an_unknown_product_is_refused() -> None:
    with pytest.raises(ScenarioError, match=r"fixed.* below 4"):
        world(fixed={"4": [3]})


def test_own_purchase_rebate_leaves_the_commissions_above_as_they_are() -> None:
    w = world(rates=["10%"], own_purchase_rebate="3%")
    w.chain(0, 1)
    w.buy(1)
    assert [w.earned(0), w.earned(1)] == [10, 3]


def test_grade_multiplies_commissions_from_the_order_after_it_is_reached() -> None:
    grades = [
        {"name": "silver", "sales": 100, "factor": 1.2},
        {"name": "gold", "sales": 100, "invites": 2, "factor": 2.0},
    ]
    w = world(rates=["10%"], grades=grades)
    w.chain(0, 1)
    row = w.buy(1)
    assert w.earned(0) == 10
    w.shop.confirm(row)  # sales count once they are final
    w.buy(1)
    assert w.earned(0) == 10 + 12
    w.join([2], [0])
    w.buy(1)
    assert w.earned(0) == 10 + 12 + 20


def test_ten_levels_can_be_simulated_and_are_reported() -> None:
    w = world(rates=["1%"] * 10)
    w.chain(*range(9))
    w.buy(8)
    assert w.scheme.metrics()["chain_levels"] == 8
    assert w.scheme.facts()["chain_levels_configured"] == 10
    assert "at most 10 items" in problems(rates=[0.01] * 11)


# Budget.


def test_rewards_beyond_the_budget_are_not_granted_and_precedence_is_by_draw() -> None:
    winners = []
    for order in ([10, 11, 12, 13], [13, 12, 11, 10]):
        w = world(bonus={"inviter": 10, "invitee": 0, "on": "sign_up"}, budget=25)
        w.join(order, [p - 10 for p in order])
        assert w.scheme.spent == 20 * YUAN
        winners.append([p for p in range(4) if w.earned(p)])
        assert w.scheme.reward(np.array([0]), ShareKind.INVITE) > 0
    assert winners[0] == winners[1]
    assert len(winners[0]) == 2


def test_nothing_is_promised_once_the_budget_is_spent() -> None:
    w = world(bonus={"inviter": 10, "invitee": 10, "on": "sign_up"}, budget=20)
    sharer = np.array([0], np.int32)
    assert w.scheme.gift(sharer, ShareKind.INVITE) == 10
    w.join([1], [0])
    assert w.scheme.gift(sharer, ShareKind.INVITE) == 0
    assert w.scheme.reward(sharer, ShareKind.INVITE) == 0


def test_merchants_who_stopped_paying_for_promotions_cause_no_commission() -> None:
    w = world(rates=["10%"], merchant_share="50%")
    w.chain(0, 1)
    w.shop.merchant_books.willing[:] = False
    w.buy(1)
    assert len(w.rewards) == 0


# What sharers believe.


def test_belief_starts_from_the_average_chances_and_learns_from_what_messages_earn() -> None:
    w = world(
        {"sharing": {"audience": 5, "sign_up": "25%", "click": {"base": "4%"}}},
        bonus={"inviter": 10, "invitee": 0, "on": "sign_up"}, rates=[], belief_weight=100,
    )  # fmt: skip
    sharer = np.array([0, 1], np.int32)
    w.shop.people.status[1] = Status.PROSPECT
    assert w.scheme.reward(sharer, ShareKind.INVITE) == pytest.approx([5 * 10 * 0.04 * 0.25, 0])
    w.scheme.on_exposure(shares([0] * 100, list(range(2, 34)) * 3 + [2, 3, 4, 5], ShareKind.INVITE))
    w.join([2, 3], [0, 0])
    assert w.scheme.reward(sharer[:1], ShareKind.INVITE) == pytest.approx(5 * 10 * (1 + 2) / 200)


def test_product_shares_promise_commission_on_top() -> None:
    w = world(rates=["10%"], bonus={"inviter": 1, "invitee": 0})
    sharer = np.array([0], np.int32)
    assert w.scheme.reward(sharer, ShareKind.PRODUCT) > w.scheme.reward(sharer, ShareKind.INVITE) > 0
    assert w.scheme.reward(sharer, ShareKind.POST) == 0


# Rules that contradict themselves.


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({"min_spend": 5}, "promoters: spenders"),
        ({"promoters": "spenders"}, "min_spend"),
        ({"promoters": "application", "apply_rate": 0.1}, "approval"),
        ({"promoters": "appointed", "appointed": {"count": 3}}, "by (degree or random)"),
        ({"promoters": "appointed", "appointed": {"count": 3, "share": 0.1, "by": "degree"}}, "give one of"),
        ({"bonus": {"on": "sign_up", "min_order": 5}}, "min_order needs"),
        ({"bonus": NO_BONUS, "rates": []}, "rewards nothing"),
        (
            {"grades": [{"name": "a", "invites": 3, "factor": 1.1}, {"name": "b", "sales": 3, "factor": 1.2}]},
            "grades must ascend",
        ),
        ({"withdrawal": {"every": "6h"}}, "24"),
    ],
)
def test_contradictory_rules_are_refused(rules: dict[str, Any], message: str) -> None:
    assert message in problems(**rules)


def test_rules_survive_being_written_and_read_again() -> None:
    rules = {
        "kind": "referral", "promoters": "appointed", "appointed": {"count": 3, "by": "degree"},
        "rates": ["10%", "5%"], "fixed": {"2": [3, 1.5]}, "binding_expires": "30d",
        "grades": [{"name": "a", "invites": 3, "factor": 1.1}],
    }  # fmt: skip
    config = ReferralConfig.model_validate(rules)
    assert ReferralConfig.model_validate(config.model_dump(mode="json")) == config


# Conservation.

STEPS = st.one_of(
    st.tuples(st.just("join"), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("click"), st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.just("buy"), st.integers(0, 9), st.integers(1, 300)),
    st.tuples(st.just("refund"), st.integers(0, 99), st.just(0)),
    st.tuples(st.just("confirm"), st.integers(0, 99), st.just(0)),
    st.tuples(st.just("days"), st.integers(1, 3), st.just(0)),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=40), st.sampled_from([None, 30, 100]), st.sampled_from(["0%", "33%"]))
def test_money_is_conserved_whatever_happens(
    steps: list[tuple[str, int, int]], budget: int | None, merchant_share: str
) -> None:
    w = world(
        bonus={"inviter": 7.77, "invitee": 3.33}, rates=["7%", "3%"], own_purchase_rebate="1%", binding="override",
        freeze="1d", withdrawal={"every": "2d", "fee": "1%"}, merchant_share=merchant_share, budget=budget, daily_cap=2,
    )  # fmt: skip
    for action, a, b in steps:
        open_orders = np.flatnonzero(w.shop.book.closed < 0)
        if action == "join":
            w.join([a], [b])
        elif action == "click":
            w.click([a], [b])
        elif action == "buy":
            w.buy(a, yuan=b)
        elif action == "days" and w.shop.clock.tick < 50:
            w.days(a)
        elif action == "refund" and open_orders.size:
            w.shop.refund(open_orders[[a % open_orders.size]], OrderStatus.RETURNED)
        elif action == "confirm" and open_orders.size:
            w.shop.confirm(open_orders[[a % open_orders.size]])
        w.check()
        assert budget is None or w.scheme.spent <= budget * YUAN


def test_a_whole_run_keeps_every_account_straight() -> None:
    people = {"size": 400, "network": {"kind": "erdos_renyi", "mean_degree": 8}, "members_at_start": "30%"}
    sharing = {"click": {"base": "40%"}, "sign_up": "80%", "per_visit": "20%"}
    rules = {"bonus": {"inviter": 9, "invitee": 9, "on": "first_order"}, "freeze": "3d", "withdrawal": {"every": "7d"}}
    sections = {"people": people, "sharing": sharing, "demand": {"conversion": "30%"}, "horizon": "25d"}
    shop = Shop(scenario(rules, **sections, fraud={"rings": 1}), rng=3)
    shop.run()
    (scheme,) = shop.schemes
    assert isinstance(scheme, Referral)
    World(shop, scheme).check()
    metrics = scheme.metrics()
    assert metrics["commission_paid"] > 0
    assert metrics["bonus_paid"] > 0
    assert metrics["chain_levels"] == 2
    kinds = set(scheme.payouts.rewards.kind.tolist())
    assert kinds == {RewardKind.INVITER_BONUS, RewardKind.INVITEE_BONUS, RewardKind.COMMISSION}
