"""Coupons: how they get into wallets, how many, and that none is ever lost or doubled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coupon_shop import (
    EVERYBODY_CLAIMS,
    PERSONS,
    buy,
    check_conservation,
    coupon,
    off,
    offers_to,
    pass_days,
    shares,
    shop_with,
    sign_up,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim import Scenario, Shop
from sim.offers import NONE, ShareKind
from sim.orders import OrderStatus
from sim.people import Status
from sim.schemes.coupon import CouponConfig

# The six ways into a wallet.


def test_general_coupon_is_claimed_by_visitors_only() -> None:
    shop = shop_with({"amount": 10} | EVERYBODY_CLAIMS)
    offers = offers_to(shop, [3, 5])
    assert coupon(shop).wallets.claims.person.tolist() == [3, 5]
    assert off(offers).tolist() == [[1000], [1000]]


def test_claim_rate_is_the_share_of_visitors_who_bother_however_often_they_come() -> None:
    shop = shop_with({"amount": 10, "claim_rate": 0.4})
    everyone = np.arange(PERSONS)
    offers_to(shop, everyone)
    once = coupon(shop).wallets.issued
    assert 0.15 * PERSONS < once < 0.65 * PERSONS  # binomial(40, .4): outside by chance once in a thousand
    pass_days(shop, 1)
    offers_to(shop, everyone)
    assert coupon(shop).wallets.issued == once


def test_newcomer_coupon_is_for_those_who_sign_up_during_the_run_not_for_young_accounts() -> None:
    shop = shop_with({"coupon": "newcomer", "amount": 10}, members=0.5)
    members = np.flatnonzero(shop.people.is_member)
    shop.people.joined[members] = shop.clock.tick  # as young as can be, but nobody saw them sign up
    offers_to(shop, members)
    assert coupon(shop).wallets.issued == 0
    newcomers = np.flatnonzero(shop.people.status == Status.PROSPECT)[:3]
    sign_up(shop, newcomers)
    pass_days(shop, 20)  # and newcomers keep it for as long as it is valid
    assert off(offers_to(shop, newcomers)).tolist() == [[1000]] * 3


def test_code_spreads_with_messages_of_those_who_know_it() -> None:
    shop = shop_with({"coupon": "code", "amount": 10, "code_known": 0.0, "code_passed_on": 1.0} | EVERYBODY_CLAIMS)
    scheme = coupon(shop)
    offers_to(shop, [0, 1, 2, 3])
    assert scheme.wallets.issued == 0
    scheme.wallets.purses.knows_code[0] = True
    scheme.on_exposure(shares([0, 2], [1, 3]))
    offers_to(shop, [0, 1, 2, 3])
    assert scheme.wallets.claims.person.tolist() == [0, 1]
    assert scheme.facts()["know_code"] == 2


def test_code_is_known_and_passed_on_by_the_stated_shares() -> None:
    def known(**settings: float) -> int:
        shop = shop_with({"coupon": "code", "amount": 10} | settings)
        coupon(shop).on_exposure(shares([0] * (PERSONS - 1), range(1, PERSONS)))
        return int(coupon(shop).wallets.purses.knows_code.sum())

    assert known(code_known=0.0) == 0
    assert known(code_known=1.0) == PERSONS
    some = shop_with({"coupon": "code", "amount": 10, "code_known": 0.0, "code_passed_on": 0.5})
    coupon(some).wallets.purses.knows_code[0] = True
    coupon(some).on_exposure(shares([0] * (PERSONS - 1), range(1, PERSONS)))
    assert 8 < coupon(some).wallets.purses.knows_code.sum() < 32  # binomial(39, .5), three standard deviations


def test_a_kols_post_from_outside_carries_no_code() -> None:
    shop = shop_with({"coupon": "code", "amount": 10, "code_known": 1.0})
    coupon(shop).wallets.purses.knows_code[0] = False
    coupon(shop).on_exposure(shares([NONE], [0], ShareKind.POST))
    assert not coupon(shop).wallets.purses.knows_code[0]


def test_gift_goes_to_the_members_of_the_segment_on_its_dates() -> None:
    shop = shop_with(
        {"coupon": "gift", "amount": 10, "dates": ["2d", "4d"], "segment": "never_bought", "per_person": 2}, members=0.5
    )
    shop.people.orders[:] = 0
    members = np.flatnonzero(shop.people.is_member)
    shop.people.orders[members[0]] = 1
    pass_days(shop, 2)
    assert coupon(shop).wallets.issued == 0
    pass_days(shop, 1)
    assert sorted(coupon(shop).wallets.claims.person.tolist()) == members[1:].tolist()
    pass_days(shop, 2)
    assert coupon(shop).wallets.issued == 2 * (members.size - 1)


def test_a_gift_within_a_tick_is_given_at_its_end_and_not_before_the_scheme_opens() -> None:
    for rules, day in (({"dates": ["49h"]}, 2), ({"dates": ["36h"], "start": "36h"}, 2), ({"dates": ["30h"]}, 1)):
        shop = shop_with({"coupon": "gift", "amount": 10, **rules})
        pass_days(shop, day)
        assert coupon(shop).wallets.issued == 0
        pass_days(shop, 1)
        assert coupon(shop).wallets.issued == PERSONS


def test_member_coupon_needs_enough_orders_or_enough_time() -> None:
    shop = shop_with({"coupon": "member", "amount": 10, "min_orders": 3, "member_after": "10d"} | EVERYBODY_CLAIMS)
    shop.people.orders[:3] = [2, 3, 0]
    shop.people.joined[:3] = [-9, 0, -10]
    offers_to(shop, [0, 1, 2])
    assert coupon(shop).wallets.claims.person.tolist() == [1, 2]


def test_purchase_coupon_is_earned_by_what_was_paid() -> None:
    shop = shop_with({"coupon": "purchase", "amount": 10, "order_at_least": 100})
    shop.products.price[1] = 9_999
    assert buy(shop, [0]).discount.sum() == 0  # the order that earns it does not use it
    buy(shop, [1], product=1)
    assert coupon(shop).wallets.claims.person.tolist() == [0]
    assert buy(shop, [0]).discount.tolist() == [[1000]]


@pytest.mark.parametrize(
    ("segment", "chosen"),
    [("all", [0, 1, 2, 3]), ("new", [0, 2]), ("active", [2]), ("lapsed", [1]), ("never_bought", [0, 3])],
)
def test_segments_are_told_apart_by_what_the_platform_logged(segment: str, chosen: list[int]) -> None:
    rules: dict[str, Any] = {"amount": 10, "segment": segment} | EVERYBODY_CLAIMS
    rules |= {"new_within": "7d"} if segment == "new" else {}
    rules |= {"lapsed_after": "20d"} if segment in ("active", "lapsed") else {}
    shop = shop_with(rules)
    people = shop.people
    people.joined[:4] = [-6, -50, -6, -7]
    people.orders[:4] = [0, 2, 1, 0]
    people.last_order[1:3] = [-20, -19]
    offers_to(shop, [0, 1, 2, 3])
    assert coupon(shop).wallets.claims.person.tolist() == chosen


# How many.


def test_per_person_limits_claims_and_null_does_not() -> None:
    def claims(limit: int | None) -> int:
        shop = shop_with({"amount": 10, "per_person": limit} | EVERYBODY_CLAIMS)
        for _ in range(4):
            offers_to(shop, [0])
        return coupon(shop).wallets.issued

    assert [claims(1), claims(2), claims(None)] == [1, 2, 4]


def test_no_more_than_total_are_issued_and_the_last_go_by_lot() -> None:
    def holders(order: Any) -> set[int]:
        shop = shop_with({"amount": 10, "total": 5} | EVERYBODY_CLAIMS)
        offers_to(shop, order)
        assert coupon(shop).wallets.issued == 5
        offers_to(shop, order)
        assert coupon(shop).wallets.issued == 5
        return set(coupon(shop).wallets.claims.person.tolist())

    assert holders(np.arange(PERSONS)) == holders(np.arange(PERSONS)[::-1]) != set(range(5))


def test_claim_window_and_campaigns_limit_what_is_issued() -> None:
    shop = shop_with({"amount": 10, "start": "2d", "end": "4d", "per_person": None} | EVERYBODY_CLAIMS)
    issued = []
    for _ in range(6):
        offers_to(shop, [0])
        issued.append(coupon(shop).wallets.issued)
        pass_days(shop, 1)
    assert issued == [0, 0, 1, 2, 2, 2]
    shop = shop_with({"amount": 10, "start": "25h", "end": "60h", "per_person": None} | EVERYBODY_CLAIMS)
    is_open = []
    for _ in range(4):
        is_open.append(coupon(shop).issues)
        pass_days(shop, 1)
    assert is_open == [False, False, True, False]  # day 1 begins before it opens, day 3 after it has closed
    calendar = [{"name": "sale", "start": "5d", "end": "6d", "schemes": ["coupon"]}]
    shop = shop_with({"amount": 10} | EVERYBODY_CLAIMS, calendar=calendar)
    offers_to(shop, [0])
    assert coupon(shop).wallets.issued == 0


def test_budget_is_never_overspent_and_stops_new_coupons() -> None:
    shop = shop_with({"amount": 30, "budget": 100} | EVERYBODY_CLAIMS)
    orders = buy(shop, np.arange(10))
    assert len(orders) == 3  # the others were promised what could not be honoured: refused
    assert coupon(shop).spent == 9_000
    pass_days(shop, 1)
    assert off(offers_to(shop, [20])).sum() == 0  # 10 yuan are left: not enough for one
    shop = shop_with({"amount": 25, "budget": 50} | EVERYBODY_CLAIMS)
    buy(shop, [0, 1])
    offers_to(shop, [2])
    assert coupon(shop).wallets.issued == 2


def test_refund_gives_the_budget_back() -> None:
    shop = shop_with({"amount": 30, "budget": 30} | EVERYBODY_CLAIMS)
    orders = buy(shop, [0])
    assert coupon(shop).budget_left == 0
    shop.refund(orders.row, OrderStatus.REFUNDED)
    assert coupon(shop).budget_left == 3_000


def test_accounts_that_come_after_the_start_have_wallets_too() -> None:
    shop = shop_with({"coupon": "newcomer", "amount": 10}, fraud={"rings": 1})
    fakes = shop.add_fakes(0, 2, np.array([90, 90], np.int32), np.array([90, 90], np.int32))
    sign_up(shop, fakes)
    assert buy(shop, fakes).discount.tolist() == [[1000], [1000]]


# What sharers promise, and the figures.


def test_invitations_promise_the_newcomer_coupon_while_there_are_any() -> None:
    shop = shop_with({"coupon": "newcomer", "amount": 20, "total": 1}, members=0.5)
    assert coupon(shop).gift(np.array([0]), ShareKind.INVITE) == 20.0
    sign_up(shop, np.flatnonzero(shop.people.status == Status.PROSPECT)[:1])
    assert coupon(shop).gift(np.array([0]), ShareKind.INVITE) == 0.0


def test_a_percentage_promises_its_mean_over_the_products_it_is_good_for() -> None:
    shop = shop_with({"coupon": "newcomer", "percent": "10%", "cap": 5, "threshold": 20})
    face = coupon(shop)._expected_face
    shop.products.start_price[:] = [1_000, 2_000, 3_000, 4_000, 9_000, 99_000]
    assert face() == round((200 + 300 + 400 + 500 + 500) / 5)


def test_metrics_tell_issued_used_expired_live_cost_and_lag() -> None:
    shop = shop_with({"amount": 30, "valid_for": "5d"} | EVERYBODY_CLAIMS)
    assert np.isnan(coupon(shop).metrics()["coupon_redemption_rate"])
    offers_to(shop, [0, 1, 2, 3])
    pass_days(shop, 1)
    buy(shop, [0])
    pass_days(shop, 2)
    buy(shop, [1])
    assert coupon(shop).metrics() == {
        "coupon_redemption_rate": 0.5,
        "coupon_fill_up_share": 0.0,
        "coupons_issued": 4.0,
        "coupons_used": 2.0,
        "coupons_expired": 0.0,
        "coupons_live": 2.0,
        "coupon_cost": 60.0,
        "coupon_liability": 60.0,
        "coupon_redemption_lag_days": 2.0,
    }
    pass_days(shop, 3)
    assert coupon(shop).metrics()["coupons_expired"] == 2.0
    assert [shop.recorder.total(f"coupons_{what}") for what in ("issued", "used", "expired")] == [4, 2, 2]
    facts = coupon(shop).facts()
    assert (facts["used"], facts["issued"], facts["spent_yuan"], facts["holders"]) == (2, 4, 60.0, 0)


# Config.


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ({}, "exactly one of amount, percent and fission"),
        ({"amount": 5, "percent": "5%"}, "exactly one of amount, percent and fission"),
        ({"amount": 5, "cap": 3}, "cap has no effect"),
        ({"percent": "0%"}, "greater than 0"),
        ({"amount": 5, "coupon": "newcomer", "claim_rate": 1.0}, "claim_rate has no effect for coupon: newcomer"),
        ({"amount": 5, "coupon": "newcomer", "per_person": 2}, "per_person has no effect"),
        ({"amount": 5, "coupon": "newcomer", "segment": "lapsed"}, "segment has no effect"),
        ({"amount": 5, "code_known": "5%"}, "code_known has no effect"),
        ({"amount": 5, "code_passed_on": "5%"}, "code_passed_on has no effect"),
        ({"amount": 5, "member_after": "5d"}, "member_after has no effect"),
        ({"amount": 5, "min_orders": 5}, "min_orders has no effect"),
        ({"amount": 5, "dates": ["5d"]}, "dates has no effect"),
        ({"amount": 5, "order_at_least": 5}, "order_at_least has no effect"),
        ({"fission": {"total": 5}}, "fission has no effect"),
        ({"amount": 5, "coupon": "purchase", "claim_rate": 1.0}, "claim_rate has no effect for coupon: purchase"),
        ({"coupon": "purchase", "fission": {"total": 0.03}}, "at least 0.04 yuan"),
        ({"coupon": "purchase", "fission": {"total": 5}, "total": 3}, "total must cover a red packet"),
        ({"amount": 5, "new_within": "5d"}, "new_within has no effect"),
        ({"amount": 5, "lapsed_after": "5d"}, "lapsed_after has no effect"),
        ({"amount": 5, "coupon": "member"}, "needs member_after or min_orders"),
        ({"amount": 5, "coupon": "gift"}, "needs dates"),
        ({"amount": 5, "coupon": "gift", "dates": ["1d"], "start": "2d"}, "between start and end"),
        ({"amount": 5, "coupon": "gift", "dates": ["1d", "9d"], "valid_until": "9d"}, "before valid_until"),
        ({"amount": 5, "valid_from": "1d"}, "valid_from goes with valid_until"),
        ({"amount": 5, "valid_for": "1d", "valid_until": "9d"}, "either valid_for or valid_until"),
        ({"amount": 5, "valid_from": "9d", "valid_until": "9d"}, "later than start and valid_from"),
    ],
)
def test_rules_that_say_something_in_vain_are_refused(rules: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        CouponConfig.model_validate({"kind": "coupon"} | rules)


@pytest.mark.parametrize(
    "rules",
    [
        {"amount": 5},
        {"coupon": "newcomer", "percent": "10%", "cap": 5, "valid_until": "9d"},
        {"coupon": "purchase", "fission": {"total": 5}, "stacks_with": []},
        {"coupon": "gift", "amount": 5, "dates": ["3d"], "scope": {"category": [0]}},
    ],
)
def test_resolved_rules_can_be_read_again(rules: dict[str, Any]) -> None:
    config = CouponConfig.model_validate({"kind": "coupon"} | rules)
    assert CouponConfig.model_validate(config.model_dump(mode="json")) == config


# Laws.


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["visit", "buy", "refund", "return", "day", "click"]), st.integers(0, 10**6)),
        max_size=25,
    ),
    rules=st.sampled_from(
        [
            {"amount": 30, "per_person": 3, "valid_for": "2d", "given_back": "always", "claim_rate": 0.7},
            {"percent": "20%", "per_person": None, "valid_until": "6d", "budget": 100, "total": 30, "claim_rate": 1.0},
            {"coupon": "purchase", "amount": 5, "per_person": None, "valid_for": "3d", "given_back": "always"},
            {
                "coupon": "purchase",
                "fission": {"helpers": 2, "total": 10},
                "per_person": 2,
                "valid_for": "3d",
                "claim_rate": 1.0,
            },
        ]
    ),
)
@settings(max_examples=25)
def test_no_history_loses_or_doubles_a_coupon(steps: list[tuple[str, int]], rules: dict[str, Any]) -> None:
    shop = shop_with(rules)
    scheme = coupon(shop)
    for what, number in steps:
        rng = np.random.default_rng(number)
        persons = np.sort(rng.choice(8, 4, replace=False))
        if what == "visit":
            offers_to(shop, persons)
        elif what == "buy":
            buy(shop, persons)
        elif what == "click":
            scheme.on_click(shares(rng.integers(0, 8, 4), persons))
        elif what == "day":
            pass_days(shop, 1)
        else:
            open_orders = np.flatnonzero(shop.book.closed < 0)
            rows = rng.permutation(open_orders)[:3]
            shop.refund(rows, OrderStatus.REFUNDED if what == "refund" else OrderStatus.RETURNED)
        check_conservation(scheme)
        assert shop.ledger.imbalance() == 0
        assert scheme.config.budget is None or scheme.spent <= scheme.config.budget
        assert scheme.config.total is None or scheme.wallets.issued <= scheme.config.total
        limit = scheme.config.per_person
        held = np.bincount(scheme.wallets.claims.person, minlength=1)
        assert limit is None or held.max() <= limit
    pass_days(shop, 40)
    assert scheme.wallets.live == 0
    check_conservation(scheme)


def test_one_more_scheme_in_the_scenario_changes_no_claim() -> None:
    rules = {"name": "ours", "amount": 10, "claim_rate": 0.5}
    alone, second = shop_with(rules), shop_with({"name": "another", "amount": 1}, rules)
    offers_to(alone, np.arange(PERSONS))
    offers_to(second, np.arange(PERSONS))
    assert coupon(alone).wallets.claims.person.tolist() == coupon(second, 2).wallets.claims.person.tolist()


def test_a_whole_run_conserves_coupons_and_keeps_to_the_budget() -> None:
    shop = shop_with(
        {"name": "newcomers", "coupon": "newcomer", "amount": 20, "threshold": 50, "budget": 100},
        {
            "name": "packet",
            "coupon": "purchase",
            "fission": {"total": 20, "helpers": 1},
            "claim_rate": 1.0,
            "per_person": None,
        },
        {"name": "code", "coupon": "code", "percent": "10%", "code_known": "20%", "claim_rate": 1.0, "valid_for": "5d"},
        members=0.5,
        demand={"units": 1, "rate": {"shape": 1, "mean": 2}},
        sharing={"per_visit": "50%", "after_order": "90%", "organic": 0.02, "click": {"base": "50%"}},
    )
    shop.run()
    for number in (1, 2, 3):
        check_conservation(coupon(shop, number))
        assert coupon(shop, number).wallets.issued > 0
    assert coupon(shop).spent <= 10_000
    assert shop.ledger.imbalance() == 0


def test_a_coupon_is_worth_as_much_to_newcomers_as_baskets_reach_its_threshold() -> None:
    promised = []
    for threshold in (0, 100, 101):  # everything costs a hundred yuan
        shop = Shop(
            Scenario.from_dict(
                {
                    "people": {"size": 60, "network": {"kind": "complete"}},
                    "demand": {"units": 1},
                    "catalog": {"products": 4, "price": {"median": 100, "sigma": 0}},
                    "schemes": [{"kind": "coupon", "coupon": "newcomer", "amount": 20, "threshold": threshold}],
                }
            ),
            rng=1,
        )
        promised.append(coupon(shop).gift(np.array([0]), ShareKind.INVITE))
    assert promised == [20.0, 20.0, 0.0]
