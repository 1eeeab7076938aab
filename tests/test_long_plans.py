"""Several units, many orders, and patience: the adversary finds what pays only so, and rings do it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from agents.actions import DEAREST, NOBODY, Deed, Goods, Step, plan_of
from agents.errands import timetable
from agents.openings import baskets_in_view, waits_in_view
from agents.planner import Costs, Exploit, search
from agents.playbooks import playbook
from agents.rehearsal import Rehearsal
from agents.variations import MOST_STEPS
from sim import Scenario, Shop

WORLD: dict[str, Any] = {
    "horizon": "15d",
    "tick": "4h",
    "people": {"size": 200, "members_at_start": "20%"},
    "catalog": {"merchants": 3, "products": 60, "categories": 3, "price": {"median": 15, "sigma": 0.2}},
    "fraud": {"rings": 1, "enter": "1d", "skill": 0.0, "capacity": 12},
}
CHEAP = Goods()
COSTS = Costs(300, 50, 0.75)
SIXTY_OFF_EIGHTY = {"kind": "coupon", "coupon": "newcomer", "amount": 60, "threshold": 80}
LARGE_FIRST_ORDER = {
    "kind": "referral", "rates": [], "freeze": "30d", "withdrawal": {"minimum": 0},
    "bonus": {"inviter": 60, "invitee": 60, "on": "first_order", "min_order": 80},
}  # fmt: skip
FOR_MEMBERS = {
    "kind": "coupon", "coupon": "member", "member_after": "7d", "amount": 12, "threshold": 15, "claim_rate": "100%",
}  # fmt: skip


def often(per_person: int | None) -> dict[str, Any]:
    return {"kind": "coupon", "coupon": "general", "amount": 8, "threshold": 15, "per_person": per_person}


def scenario(*schemes: dict[str, Any], **changes: Any) -> Scenario:
    sections = {path.replace("__", "."): value for path, value in changes.items()}
    return Scenario.from_dict(WORLD).override({"schemes": list(schemes), **sections})


def best_of(*schemes: dict[str, Any], costs: Costs = COSTS, accounts: int = 3) -> Exploit:
    return search(Rehearsal(scenario(*schemes), seed=1), costs, accounts)[0]


# Several units.


@pytest.mark.parametrize("scheme", [SIXTY_OFF_EIGHTY, LARGE_FIRST_ORDER], ids=["coupon", "bonus"])
def test_amount_that_no_single_product_reaches_is_reached_by_several_units(scheme: dict[str, Any]) -> None:
    stage = Rehearsal(scenario(scheme), seed=1)
    assert stage.products.price.max() < 80_00
    best = search(stage, COSTS, 3)[0]
    assert best.pays()
    (units,) = {step.units for step in best.plan.steps if step.goods is not None}
    assert units > 1
    assert any(f"buy {units} of the cheapest product at" in sentence for sentence in best.plan.in_words())
    orders = sum(step.goods is not None for step in best.plan.steps)
    assert 80_00 * orders <= best.worth <= 1.05 * 80_00 * orders


def test_rehearsal_buys_as_many_units_as_a_step_says() -> None:
    stage = Rehearsal(scenario(SIXTY_OFF_EIGHTY), seed=1)
    price = int(stage.products.price[CHEAP.pick(stage.products)])
    plans = [plan_of([Step(Deed.OPEN, 0), Step(Deed.BUY, 0, NOBODY, CHEAP, units)]) for units in (1, 3, 20)]
    played = stage.play(plans)
    np.testing.assert_array_equal(played.worth, [price, 3 * price, 20 * price])
    np.testing.assert_array_equal(played.discount[:, 1], [0, 0, 60_00])


def test_no_more_units_are_tried_than_the_rules_allow_and_none_where_one_product_comes_near() -> None:
    team = {"kind": "group_buy", "team_size": 2, "discount": "10%", "units_per_order": 4}
    limited = [one.units for half in baskets_in_view(Rehearsal(scenario(team, SIXTY_OFF_EIGHTY))) for one in half]
    free = [one.units for half in baskets_in_view(Rehearsal(scenario(SIXTY_OFF_EIGHTY))) for one in half]
    named, _ = baskets_in_view(Rehearsal(scenario({**SIXTY_OFF_EIGHTY, "amount": 5, "threshold": 15})))
    assert max(limited) <= 4 < max(free)
    assert {one.units for one in named} == {1}


def test_more_units_are_ordered_where_only_they_make_up_for_an_account() -> None:
    percent = {"kind": "coupon", "coupon": "newcomer", "percent": "40%"}
    best = best_of(percent, costs=Costs(13_00, 50, 0.75))
    assert best.pays(0.1)
    assert {step.units for step in best.plan.steps if step.goods} == {10}  # three do not suffice
    assert not best_of({**percent, "percent": "20%"}, costs=Costs(13_00, 50, 0.75)).pays()
    assert best_of(percent, costs=Costs(50, 10, 0.75)).plan.steps[-1].units == 1


@pytest.mark.parametrize("skill", [0.0, 1.0])
def test_rings_order_the_units_that_reach_the_threshold_in_any_shop(skill: float) -> None:
    rules = scenario(SIXTY_OFF_EIGHTY, fraud__skill=skill)
    for seed in (2, 3):
        shop = Shop(rules, rng=seed).run()
        (ring,) = shop.rings
        orders = ring._own_orders()
        assert orders.size >= 4
        assert (shop.book.worth[orders] >= 80_00).all()
        assert (shop.book.discount[orders].sum(axis=1) == 60_00).all()
        assert ring.profit > 0


# Many orders.


@pytest.mark.parametrize(("per_person", "orders"), [(7, 7), (None, MOST_STEPS - 1)])
def test_account_orders_as_often_as_that_adds_profit(per_person: int | None, orders: int) -> None:
    best = best_of(often(per_person), costs=Costs(15_00, 50, 0.75))
    assert (best.plan.accounts, best.plan.orders) == (1, orders)
    assert best.pays()
    assert best.plan.in_words()[-1].endswith(f"this {orders} times in all")


def test_a_team_is_filled_again_by_the_same_accounts_where_that_pays() -> None:
    best = best_of({"kind": "group_buy", "team_size": 2, "discount": "40%"}, costs=Costs(15_00, 50, 0.75))
    assert (best.plan.accounts, best.plan.orders) == (2, MOST_STEPS - 2)
    assert best.plan.in_words()[-1].endswith("the last 2 steps 11 times in all")


def test_rings_order_again_with_the_same_accounts() -> None:
    shop = Shop(scenario(often(5), fraud__account_cost=12), rng=2).run()
    (ring,) = shop.rings
    assert shop.people.orders[ring.accounts.person].max() == 5


# Patience.


def test_coupon_for_old_members_is_waited_for() -> None:
    assert 7 in waits_in_view(Rehearsal(scenario(FOR_MEMBERS)))
    best = best_of(FOR_MEMBERS)
    assert best.pays()
    assert {step.after for step in best.plan.steps if step.goods is not None} == {7}
    assert best.plan.in_words()[-1].startswith("account A: 7 days later, buy")


def test_waiting_counts_in_the_days_on_which_steps_are_due() -> None:
    joins = Step(Deed.JOIN_TEAM, 1, 0, CHEAP, 1, 5)
    steps = [Step(Deed.OPEN, 0), Step(Deed.OPEN, 1, 0), Step(Deed.OPEN_TEAM, 0, NOBODY, CHEAP, 1, 5), joins]
    plan = plan_of([*steps, Step(Deed.RETURN, 0)])
    assert plan.stages == (0, 1, 6, 7, 7)  # the team is opened when the one who joins has waited too
    at_once = np.zeros(2, np.int32)
    due, *_ = timetable(*plan.columns, 6 * plan.days_apart, 100, 0, np.array([[0, 1]]), at_once, at_once)
    assert due[0].tolist() == [100, 101, 131, 132, 132]


def test_rings_wait_until_their_accounts_are_old_enough() -> None:
    shop = Shop(scenario(FOR_MEMBERS, horizon="20d"), rng=2).run()
    (ring,) = shop.rings
    orders = ring._own_orders()
    assert orders.size >= 2
    assert (shop.book.discount[orders].sum(axis=1) == 12_00).all()
    assert (shop.book.tick[orders] - shop.people.joined[shop.book.person[orders]] >= 7 * 6).all()


def test_what_was_found_for_a_large_ring_is_not_taken_for_a_small_one() -> None:
    def accounts(capacity: int) -> int:
        found = playbook(scenario(LARGE_FIRST_ORDER, fraud__capacity=capacity), (0,), 1)
        return max(exploit.plan.accounts for exploit in found)

    assert accounts(200) > 2
    assert accounts(2) == 2


def test_goods_without_a_price_that_high_are_the_dearest() -> None:
    stage = Rehearsal(scenario(SIXTY_OFF_EIGHTY))
    assert Goods(80_00).pick(stage.products) == Goods(DEAREST).pick(stage.products)
