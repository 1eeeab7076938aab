"""The adversary's planner and its rehearsal: what pays is measured in the engine itself, and the search finds it."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from agents.actions import DEAREST, NOBODY, Deed, Goods, Plan, Step, plan_of
from agents.planner import Costs, search
from agents.rehearsal import Outcome, Rehearsal
from sim import Scenario
from sim.core.ledger import share_of
from sim.labels import Fraud

SMALL: dict[str, Any] = {
    "people": {"size": 200},
    "catalog": {"merchants": 3, "products": 40, "categories": 3, "price": {"median": 60, "sigma": 0.8}},
}
A = 0.3
CHEAP, DEAR = Goods(), Goods(DEAREST)


def rehearsal(*schemes: dict[str, Any], seed: int = 1, **changes: Any) -> Rehearsal:
    sections = {"schemes": list(schemes), **{path.replace("__", "."): value for path, value in changes.items()}}
    return Rehearsal(Scenario.from_dict(SMALL).override(sections), seed=seed)


def referral(**changes: Any) -> dict[str, Any]:
    plain = {"bonus": {"inviter": 0, "invitee": 0}, "rates": [], "freeze": "0d", "withdrawal": {"minimum": 0}}
    return {"kind": "referral", **plain, **changes}


def bonus(inviter: float, invitee: float = 0, **changes: Any) -> dict[str, Any]:
    return referral(bonus={"inviter": inviter, "invitee": invitee, "on": "first_order"}, **changes)


def geometric(levels: int) -> dict[str, Any]:
    return referral(rates=[round(A**level, 6) for level in range(1, levels + 1)])


def opened(inviters: list[int]) -> list[Step]:
    return [Step(Deed.OPEN, account, inviter) for account, inviter in enumerate(inviters)]


def buys(account: int, goods: Goods = CHEAP) -> Step:
    return Step(Deed.BUY, account, NOBODY, goods)


def played(stage: Rehearsal, *plans: list[Step]) -> Outcome:
    return stage.play([plan_of(steps) for steps in plans])


def price(stage: Rehearsal, goods: Goods) -> int:
    return int(stage.products.price[goods.pick(stage.products)])


# Plans.


def test_steps_are_due_after_what_the_accounts_concerned_did_before() -> None:
    plan = Plan((*opened([NOBODY, 0, 1]), buys(0), Step(Deed.OPEN, 3, 0), buys(3), Step(Deed.RETURN, 3)))
    assert plan.stages == (0, 1, 2, 1, 2, 3, 4)


def test_team_is_opened_when_all_who_will_join_it_are_in() -> None:
    joins = [Step(Deed.JOIN_TEAM, account, 0, CHEAP) for account in (1, 2, 3)]
    plan = Plan((*opened([NOBODY, 0, 1, 2]), Step(Deed.OPEN_TEAM, 0, NOBODY, CHEAP), *joins))
    assert plan.stages == (0, 1, 2, 3, 4, 5, 5, 5)


@pytest.mark.parametrize("inviters", [[-1, 0, 0], [-1, 0, 1], [-1, -1, -1]])
def test_putting_steps_in_order_changes_no_stage(inviters: list[int]) -> None:
    joins = [Step(Deed.JOIN_TEAM, account, 0, CHEAP) for account in (1, 2)]
    for rest in ([buys(0), buys(1), buys(2), Step(Deed.RETURN, 1)], [Step(Deed.OPEN_TEAM, 0, NOBODY, CHEAP), *joins]):
        plan = Plan((*opened(inviters), *rest))
        due = dict(zip(plan.steps, plan.stages, strict=True))
        ordered = plan.in_order()
        assert dict(zip(ordered.steps, ordered.stages, strict=True)) == due
        assert ordered.in_order() == ordered


def test_a_stock_set_aside_for_teams_is_rehearsed_as_one_that_is_never_short() -> None:
    teams = {"kind": "group_buy", "team_size": 2, "discount": "30%"}
    steps = [*opened([NOBODY, 0]), Step(Deed.OPEN_TEAM, 0, NOBODY, CHEAP), Step(Deed.JOIN_TEAM, 1, 0, CHEAP)]
    plain = played(rehearsal(teams), steps)
    for part in ({"set_aside": "40%"}, {"set_aside_units": 3}):
        stage = rehearsal({**teams, **part}, catalog__stock__initial=10)
        np.testing.assert_array_equal(played(stage, steps).discount, plain.discount)
    assert plain.discount.any()


def test_goods_are_the_cheapest_of_their_price_and_kind_in_stock() -> None:
    products = rehearsal().products
    row = Goods(8000).pick(products)
    assert products.price[row] == products.price[products.price >= 8000].min()
    assert products.price[DEAR.pick(products)] == products.price.max()
    inside = Goods(0, "category", (1,)).pick(products)
    assert products.price[inside] == products.price[products.category == 1].min()
    products.stock[row] = 0
    assert Goods(8000).pick(products) != row
    assert Goods(0, "products", (row,)).pick(products) == NOBODY


def test_words_tell_every_step_and_take_together_what_is_alike() -> None:
    plan = plan_of([*opened([NOBODY, 0, 1, 2]), buys(1), buys(2), buys(3), *(Step(Deed.RETURN, a) for a in (1, 2, 3))])
    assert plan.in_words() == [
        "open account A",
        "open accounts B to D, each invited by the one before",
        "accounts B to D: buy the cheapest product, alone",
        "accounts B to D: send back what was bought last, at the last moment",
    ]


# What a rehearsal shows.


def test_rehearsal_pays_what_the_rules_pay_to_the_fen() -> None:
    coupon = {"kind": "coupon", "coupon": "newcomer", "amount": 20, "threshold": 80}
    stage = rehearsal(coupon, bonus(9, 5, rates=["5%"], withdrawal={"minimum": 0, "fee": "10%"}))
    goods = Goods(8000)
    outcome = played(
        stage, [*opened([NOBODY, 0]), buys(1, goods)], opened([NOBODY]), [*opened([NOBODY]), buys(0, goods)]
    )
    listed = price(stage, goods)
    rewards = [900 + share_of(listed - 2000, 0.05), 500]
    np.testing.assert_array_equal(outcome.cash[:, 2], [sum(r - share_of(r, 0.1) for r in rewards), 0, 0])
    np.testing.assert_array_equal(outcome.discount[:, 1], [2000, 0, 2000])
    np.testing.assert_array_equal(outcome.worth, [listed, 0, listed])
    np.testing.assert_array_equal(outcome.spent, [listed - 2000, 0, listed - 2000])


def test_only_what_can_be_withdrawn_counts() -> None:
    stage = rehearsal(bonus(9, 9, withdrawal={"minimum": 10}))
    outcome = played(stage, [*opened([NOBODY, 0]), buys(1)], [*opened([NOBODY, 0, 0]), buys(1), buys(2)])
    np.testing.assert_array_equal(outcome.cash[:, 1], [0, 18_00])  # nine yuan stay in a wallet; an inviter's add up


@pytest.mark.parametrize(("freeze", "kept"), [("1d", 9_00), ("30d", 0)])
def test_reward_that_was_withdrawn_before_the_return_is_kept_and_no_other(freeze: str, kept: int) -> None:
    stage = rehearsal(bonus(9, freeze=freeze))
    outcome = played(stage, [*opened([NOBODY, 0]), buys(1), Step(Deed.RETURN, 1)])
    assert outcome.cash[0, 1] == kept
    assert outcome.worth[0] == outcome.spent[0] == 0


def test_teams_of_own_accounts_fill_at_the_team_price() -> None:
    stage = rehearsal({"kind": "group_buy", "team_size": 3, "discount": "20%", "window": "24h"})
    opens = Step(Deed.OPEN_TEAM, 0, NOBODY, DEAR)
    joins = [Step(Deed.JOIN_TEAM, account, 0, DEAR) for account in (1, 2)]
    strangers = opened([NOBODY] * 3)
    outcome = played(stage, [*strangers, opens, *joins], [*strangers, opens, joins[0]])
    off = int(share_of(price(stage, DEAR), 0.2))
    np.testing.assert_array_equal(outcome.discount[:, 1], [3 * off, 0])
    np.testing.assert_array_equal(outcome.worth, [3 * price(stage, DEAR), 0])  # whose team fails gets all back


def test_plans_played_side_by_side_do_not_touch_each_other() -> None:
    schemes = (bonus(9, 9), {"kind": "group_buy", "team_size": 2, "discount": "20%"})
    team = [Step(Deed.OPEN_TEAM, 0, NOBODY, DEAR), Step(Deed.JOIN_TEAM, 1, 0, DEAR)]
    plans = [[*opened([NOBODY, 0]), *team], [*opened([NOBODY, 0]), buys(1)], [*opened([NOBODY, NOBODY]), *team]]
    together = played(rehearsal(*schemes), *plans)
    for row, plan in enumerate(plans):
        alone = played(rehearsal(*schemes), plan)
        for name in ("cash", "discount", "worth", "spent"):
            np.testing.assert_array_equal(getattr(together, name)[row], getattr(alone, name)[0])


def test_scarce_budgets_and_dates_do_not_hold_in_a_rehearsal() -> None:
    plan = [*opened([NOBODY, 0]), buys(1)]
    scarce = played(rehearsal(bonus(9, budget=1, start="20d", end="21d")), plan)
    np.testing.assert_array_equal(scarce.cash, played(rehearsal(bonus(9)), plan).cash)


def test_gap_for_who_may_invite_is_seen() -> None:
    stage = rehearsal(bonus(9, promoters="spenders", min_spend=1))
    outcome = played(
        stage, [*opened([NOBODY, 0]), buys(1)], [*opened([NOBODY]), buys(0), Step(Deed.OPEN, 1, 0), buys(1)]
    )
    np.testing.assert_array_equal(outcome.cash[:, 1], [0, 9_00])


# Geometric rewards over many levels: splitting (Emek, Karidi, Tennenholtz & Zohar 2011).


@pytest.mark.parametrize("identities", [1, 2, 3, 5, 8])
def test_splitting_into_m_identities_earns_the_sum_of_powers_of_a(identities: int) -> None:
    stage = rehearsal(geometric(8))
    chain = [*opened(list(range(-1, identities))), buys(identities, DEAR)]  # the last one is the buyer
    one = [*opened([NOBODY, 0]), buys(1, DEAR)]
    split, single = played(stage, chain, one).cash[:, 1]
    exact = sum(A**i for i in range(identities))
    assert abs(split - single * exact) <= identities  # half a fen each level, and half a fen times the ratio
    assert single == share_of(price(stage, DEAR), A)


def best_of_all_trees(stage: Rehearsal, costs: Costs, most: int, *, by_plan: bool) -> float:
    """Try every way to invite each other and to buy the dearest product once, up to a number of accounts."""
    list_price, best = price(stage, DEAR), -np.inf
    rewards = [share_of(list_price, round(A**level, 6)) for level in range(1, 9)]
    for accounts in range(1, most + 1):
        for inviters in product(*(range(-1, account) for account in range(accounts))):
            depth = [0] * accounts
            for account, inviter in enumerate(inviters):
                depth[account] = depth[inviter] + 1 if inviter >= 0 else 0
            for bought in product((False, True), repeat=accounts):
                earned = sum(sum(rewards[: depth[a]]) for a in range(accounts) if bought[a])
                lost = sum(bought) * ((1 - costs.resale) * list_price + costs.action)
                profit = earned - lost - accounts * costs.account
                best = max(best, profit if by_plan else profit / accounts)
    return float(best)


@pytest.mark.parametrize("by_plan", [True, False])
@pytest.mark.parametrize("account_cost", [3_00, 10_00, 40_00])
def test_planner_finds_the_chain_that_pays_given_what_an_account_costs(account_cost: int, by_plan: bool) -> None:
    stage = rehearsal(geometric(8))
    costs = Costs(account_cost, 50, 0.65)
    found = search(stage, costs, 4, by_plan=by_plan)
    expected = best_of_all_trees(stage, costs, 4, by_plan=by_plan)
    value = max((e for e in found if most_units(e.plan) <= 1), key=lambda e: e.profit if by_plan else e.per_account)
    assert (value.profit if by_plan else value.per_account) == pytest.approx(expected, abs=2)


def most_units(plan: Plan) -> int:
    bought = [step for step in plan.steps if step.goods is not None]
    return max(sum(step.units for step in bought if step.account == account) for account in range(plan.accounts))


# What the search finds.


def test_sign_up_bonus_is_farmed_without_an_order() -> None:
    stage = rehearsal(referral(bonus={"inviter": 10, "invitee": 10, "on": "sign_up"}))
    best = search(stage, Costs(300, 50, 0.75), 5)[0]
    assert (best.plan.orders, best.plan.accounts, best.fraud) == (0, 5, Fraud.FARM)
    assert best.profit == 4 * 20_00 - 5 * 3_00
    assert best.cash == {"referral": 4 * 20_00}


def test_coupon_is_cashed_in_where_it_weighs_most_against_the_loss_of_resale() -> None:
    stage = rehearsal({"kind": "coupon", "coupon": "newcomer", "amount": 30, "threshold": 80})
    best = search(stage, Costs(300, 50, 0.75))[0]
    assert (best.plan.accounts, best.fraud) == (1, Fraud.HUNTER)
    assert 80_00 <= best.worth <= 1.05 * 80_00 < price(stage, Goods(8000))  # two units come nearer than any single one
    assert best.profit == pytest.approx(30_00 - 0.25 * best.worth - 3_50)


def test_first_order_that_must_be_large_is_sent_back_where_the_bonus_is_out_before_it_can_be() -> None:
    rule = {"inviter": 20, "invitee": 20, "on": "first_order", "min_order": 100}
    early, late = (rehearsal(referral(bonus=rule, freeze=freeze)) for freeze in ("1d", "30d"))
    costs = Costs(300, 50, 0.5)
    assert search(early, costs)[0].fraud == Fraud.REFUND_ABUSE
    assert search(late, costs)[0].plan.returns == 0


def test_of_plans_that_earn_the_same_the_shorter_comes_first() -> None:
    found = search(rehearsal(), Costs(300, 50, 0.75))
    assert found[0].plan == plan_of(opened([NOBODY]))
    assert not any(exploit.pays() for exploit in found)


def test_nobody_is_invited_for_nothing() -> None:
    teams = {"kind": "group_buy", "team_size": 3, "discount": "50%"}
    alone = search(rehearsal(teams), Costs(300, 50, 0.75), 3)[0]
    assert alone.pays()
    assert alone.plan.has_team
    assert alone.plan.invitations == 0
    paid = search(rehearsal(teams, bonus(9)), Costs(300, 50, 0.75), 3)[0]
    assert paid.plan.invitations == 2


def test_search_is_the_same_whenever_it_is_made() -> None:
    schemes = (bonus(9, 9), {"kind": "group_buy", "team_size": 2, "discount": "20%"})
    first, second = (search(rehearsal(*schemes), Costs(300, 50, 0.75), 3) for _ in range(2))
    assert first == second


def test_products_that_a_rule_singles_out_are_tried() -> None:
    stage = rehearsal(referral(rates=[0.0], fixed={"7": [500]}))
    best = search(stage, Costs(10, 10, 0.99), 3)[0]
    assert best.pays()
    assert {step.goods.pick(stage.products) for step in best.plan.steps if step.goods} == {7}
