"""Facts on law: figures beside those of rules, never a verdict; what promoters are paid for adds up."""

import json

import pytest

from sim import law
from tests.worlds import REFERRAL, run, scenario


def told(shop):
    return law.facts(shop.config, [{scheme.name: scheme.facts() for scheme in shop.schemes}])


def row(rows, key):
    return next(one for one in rows if key in one["looks_at"])


def test_pay_by_what_it_is_for_adds_up_to_all_that_promoters_keep():
    shop = run({**REFERRAL, "own_purchase_rebate": "3%"}, people={"members_at_start": 0.6}, sharing={"sign_up": "60%"})
    metrics = shop.metrics()
    paid = {name: metrics[name] for name in law.PAY}
    invitees = metrics["bonus_paid"] - paid["pay_for_first_orders"] - paid["pay_for_heads"]
    assert paid["pay_for_first_orders"] > 0
    assert paid["pay_for_own_orders"] > 0
    assert invitees == pytest.approx(paid["pay_for_first_orders"])  # both sides get the same here
    commissions = paid["pay_for_direct_sales"] + paid["pay_for_downline_sales"] + paid["pay_for_own_orders"]
    assert commissions == pytest.approx(metrics["commission_paid"])


def test_a_bonus_on_sign_up_is_pay_for_heads_and_one_on_an_order_is_not():
    on_sign_up = {**REFERRAL, "bonus": {"inviter": 5, "invitee": 0, "on": "sign_up"}}
    found = {name: told(run(scheme)) for name, scheme in (("sign_up", on_sign_up), ("order", REFERRAL))}
    heads = {name: row(rows, "number of persons recruited") for name, rows in found.items()}
    assert heads["sign_up"]["measured"] > 0
    assert heads["sign_up"]["configured"] == "5 yuan a head on sign up"
    assert heads["order"]["measured"] == 0
    assert heads["order"]["configured"] == "nothing without an order"


def test_a_purchase_asked_for_before_one_may_recruit_is_told_as_what_entry_takes():
    shop = run({**REFERRAL, "promoters": "spenders", "min_spend": 99})
    asked = row(told(shop), "right to join")
    assert asked["measured"] == 99
    assert asked["configured"] == "99 yuan of purchases before one may recruit"
    assert shop.metrics()["entry_fee"] == 99


def test_levels_and_persons_count_the_head_and_are_the_largest_of_all_runs():
    config = scenario(REFERRAL).config
    runs = [{"referral": {"chain_levels_paid": 1, "chain_depth_max": depth, "chain_headcount_max": persons}}
            for depth, persons in ((1, 40), (3, 7))]  # fmt: skip
    rows = law.facts(config, runs)
    assert row(rows, "levels of persons")["measured"] == 4
    assert row(rows, "persons under one head")["measured"] == 41
    assert row(rows, "levels that commission")["configured"] == "2"


def test_commission_is_told_by_levels_with_fixed_amounts():
    scheme = {**REFERRAL, "rates": ["5%", 0, "1%"], "fixed": {0: [2, 1]}, "base": "list"}
    rows = law.facts(scenario(scheme).config, [])
    assert row(rows, "sales to those")["configured"] == "5% of the list price; fixed amounts for some products"
    assert row(rows, "further down")["configured"] == "1% of the list price; fixed amounts for some products"
    assert row(law.facts(scenario({**scheme, "rates": ["5%"], "fixed": {}}).config, []), "further down")[
        "configured"
    ] == ("nothing")


def test_facts_hold_no_verdict():
    text = json.dumps(law.facts(scenario(REFERRAL).config, []), ensure_ascii=False).lower()
    for word in ("legal", "lawful", "allowed", "violat", "breach", "true", "false", "违法", "合法"):
        assert word not in text


def test_a_scenario_in_which_nobody_is_paid_for_bringing_others_has_no_facts():
    assert law.facts(scenario().config, [{}]) == []


def test_every_referral_programme_is_told_by_its_own_name():
    rows = law.facts(scenario(REFERRAL, {**REFERRAL, "name": "second"}).config, [])
    assert {one["scheme"] for one in rows} == {"referral", "second"}
    assert all(one["measured"] != one["measured"] for one in rows)  # NaN: nothing ran
