"""Coupons in use: what they take off, when they are valid, what they stack with, and what a refund does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coupon_shop import (
    EVERYBODY_CLAIMS,
    buy,
    check_conservation,
    coupon,
    off,
    offers_to,
    pass_days,
    shop_with,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import ScenarioError, Shop
from sim.core.ledger import Account, share_of
from sim.offers import Mode
from sim.orders import OrderStatus
from sim.schemes.wallet import ClaimState, take_best

# What it takes off.


def test_amount_never_takes_off_more_than_the_price() -> None:
    shop = shop_with({"amount": 30} | EVERYBODY_CLAIMS)
    shop.products.price[:2] = [10_000, 2_000]
    assert off(offers_to(shop, [0], [0, 1])).tolist() == [[3_000, 2_000]]


def test_percent_is_rounded_like_the_ledger_and_capped() -> None:
    prices = np.array([50, 333, 10_000, 12_345, 99_999, 1])
    shop = shop_with({"percent": "15%"} | EVERYBODY_CLAIMS)
    shop.products.price[:] = prices
    assert off(offers_to(shop, [0], range(6))).tolist() == [share_of(prices, 0.15).tolist()]
    shop = shop_with({"percent": "15%", "cap": 5} | EVERYBODY_CLAIMS)
    shop.products.price[:] = prices
    assert off(offers_to(shop, [0], range(6))).tolist() == [np.minimum(share_of(prices, 0.15), 500).tolist()]


@given(price=st.integers(0, 10**9), percent=st.floats(1e-6, 1.0))
@settings(max_examples=200)
def test_percentages_follow_the_stated_rounding_rule(price: int, percent: float) -> None:
    one = np.zeros(1, np.int32)
    none = np.zeros((0, 0), np.int64)
    pay, discount, most = np.array([[price]]), np.zeros((1, 1), np.int64), np.iinfo(np.int64).max
    take_best(
        0, one, one, one, np.zeros(1, np.int64), one[:, None], np.zeros((1, 1), np.int8), none, none,
        np.ones(1, bool), np.ones(1, bool), 0, percent, most, most, pay, discount,
    )  # fmt: skip
    assert discount[0, 0] == min(price, share_of(price, percent)) == price - pay[0, 0]


def test_threshold_is_held_against_the_price_before_the_coupon() -> None:
    shop = shop_with({"amount": 30, "threshold": 80} | EVERYBODY_CLAIMS)
    shop.products.price[:3] = [7_999, 8_000, 8_001]
    assert off(offers_to(shop, [0], [0, 1, 2])).tolist() == [[0, 3_000, 3_000]]


def test_scope_limits_products_and_categories() -> None:
    shop = shop_with({"amount": 30, "scope": {"products": [1, 4]}} | EVERYBODY_CLAIMS)
    assert np.flatnonzero(off(offers_to(shop, [0], range(6)))[0]).tolist() == [1, 4]
    shop = shop_with({"amount": 30, "scope": {"category": [1]}} | EVERYBODY_CLAIMS)
    chosen = np.flatnonzero(off(offers_to(shop, [0], range(6)))[0])
    assert chosen.tolist() == np.flatnonzero(shop.products.category == 1).tolist()
    with pytest.raises(ScenarioError, match="product 6, but there are 6"):
        shop_with({"amount": 30, "scope": {"products": [6]}})


def test_coupon_is_used_once() -> None:
    shop = shop_with({"amount": 30} | EVERYBODY_CLAIMS)
    assert buy(shop, [0, 1]).pay.tolist() == [7_000, 7_000]
    assert buy(shop, [0, 1]).pay.tolist() == [10_000, 10_000]
    assert coupon(shop).wallets.used == 2
    check_conservation(coupon(shop))


def test_merchants_pay_their_share_and_those_who_stopped_paying_are_left_out() -> None:
    shop = shop_with({"amount": 30, "merchant_share": "40%"} | EVERYBODY_CLAIMS)
    buy(shop, [0])
    assert shop.ledger.balance(Account.MERCHANTS) == -1_200
    assert shop.ledger.balance(Account.PLATFORM) == -1_800
    merchant = shop.products.merchant[0]
    shop.merchant_books.willing[merchant] = False
    offered = np.flatnonzero(off(offers_to(shop, [1], range(6)))[0])
    assert offered.tolist() == np.flatnonzero(shop.products.merchant != merchant).tolist()


# When it is valid.


def test_coupon_is_good_for_so_long_after_it_was_issued_whether_or_not_the_scheme_still_runs() -> None:
    shop = shop_with({"amount": 30, "end": "1d", "valid_for": "3d"} | EVERYBODY_CLAIMS)
    worth = []
    for _ in range(5):
        worth.append(int(off(offers_to(shop, [0])).sum()))
        pass_days(shop, 1)
    assert worth == [3_000, 3_000, 3_000, 3_000, 0]
    assert coupon(shop).wallets.expired == 1
    check_conservation(coupon(shop))


def test_fixed_dates_hold_for_every_coupon_however_early_it_was_claimed() -> None:
    shop = shop_with({"amount": 30, "valid_from": "2d", "valid_until": "4d"} | EVERYBODY_CLAIMS)
    worth = []
    for _ in range(6):
        worth.append(int(off(offers_to(shop, [0])).sum()))
        pass_days(shop, 1)
    assert worth == [0, 0, 3_000, 3_000, 0, 0]
    within = shop_with({"amount": 30, "valid_from": "36h", "valid_until": "96h"} | EVERYBODY_CLAIMS)
    pass_days(within, 1)
    assert off(offers_to(within, [0])).sum() == 0  # the day begins before the coupon is valid
    pass_days(within, 1)
    assert off(offers_to(within, [0])).sum() == 3_000
    offers_to(shop, [1])
    assert coupon(shop).wallets.issued == 1  # nothing is issued that has expired already


def test_of_several_claims_the_one_that_expires_first_is_used_first() -> None:
    shop = shop_with({"amount": 30, "per_person": 2, "valid_for": "10d"} | EVERYBODY_CLAIMS)
    offers_to(shop, [0])
    pass_days(shop, 2)
    offers_to(shop, [0])
    buy(shop, [0])
    assert coupon(shop).wallets.claims.state.tolist() == [ClaimState.USED, ClaimState.LIVE]


# Stacking.

TEAM = {"kind": "group_buy", "team_size": 2, "discount": "50%", "lobby": 0.0}


def team_options(shop: Shop) -> tuple[Any, Any]:
    """Return what the coupon (scheme 2) takes off, and the ways of buying, for one visitor and one product."""
    offers = offers_to(shop, [0])
    there = offers.product[0] >= 0
    return off(offers, 2)[0][there], offers.mode[0][there]


def test_coupon_falls_on_a_team_price_only_if_the_pair_is_listed() -> None:
    rules = {"amount": 30} | EVERYBODY_CLAIMS
    taken, mode = team_options(shop_with(TEAM, rules))
    assert taken[mode == Mode.SOLO].tolist() == taken[mode == Mode.OPEN_TEAM].tolist() == [3_000]
    alone = {"order": ["group_buy", "coupon"], "combine": []}
    taken, mode = team_options(shop_with(TEAM, rules, stacking=alone))
    assert (taken[mode == Mode.SOLO].tolist(), taken[mode == Mode.OPEN_TEAM].tolist()) == ([3_000], [0])
    taken, mode = team_options(shop_with(TEAM, rules | {"stacks_with": []}))
    assert (taken[mode == Mode.SOLO].tolist(), taken[mode == Mode.OPEN_TEAM].tolist()) == ([3_000], [0])


def test_threshold_and_percent_look_at_the_team_price() -> None:
    taken, mode = team_options(shop_with(TEAM, {"amount": 30, "threshold": 60} | EVERYBODY_CLAIMS))
    assert (taken[mode == Mode.SOLO].tolist(), taken[mode == Mode.OPEN_TEAM].tolist()) == ([3_000], [0])
    taken, mode = team_options(shop_with(TEAM, {"percent": "10%"} | EVERYBODY_CLAIMS))
    assert (taken[mode == Mode.SOLO].tolist(), taken[mode == Mode.OPEN_TEAM].tolist()) == ([1_000], [500])


def test_stacks_with_cannot_promise_what_the_scenario_does_not_combine() -> None:
    with pytest.raises(ScenarioError, match="does not pair coupon with 'referral'"):
        shop_with({"amount": 30, "stacks_with": ["referral"]})


def test_of_several_coupons_each_option_gets_the_best_one() -> None:
    small, share = {"name": "small", "amount": 30}, {"name": "share", "percent": "20%"}
    for schemes in ((small, share), (share, small)):
        shop = shop_with(*(scheme | EVERYBODY_CLAIMS for scheme in schemes))
        shop.products.price[:2] = [10_000, 20_000]
        offers = offers_to(shop, [0], [0, 1])
        first, second = off(offers, 1)[0].tolist(), off(offers, 2)[0].tolist()
        expected = ([3_000, 0], [0, 4_000]) if schemes[0] is small else ([0, 4_000], [3_000, 0])
        assert (first, second) == expected
        assert offers.pay[0].tolist() == [7_000, 16_000]


def test_coupons_add_up_where_the_scenario_combines_them() -> None:
    small, share = (
        {"name": "small", "amount": 30} | EVERYBODY_CLAIMS,
        {"name": "share", "percent": "20%"} | EVERYBODY_CLAIMS,
    )
    both = {"combine": [["coupon", "coupon"]]}
    assert offers_to(shop_with(small, share, stacking=both), [0]).pay.tolist() == [[5_600]]
    picky = small | {"stacks_with": []}
    assert offers_to(shop_with(picky, share, stacking=both), [0]).pay.tolist() == [[7_000]]


# Refunds.


@pytest.mark.parametrize(
    ("rule", "status", "back"),
    [
        ("never", OrderStatus.REFUNDED, False),
        ("unshipped", OrderStatus.REFUNDED, True),
        ("unshipped", OrderStatus.RETURNED, False),
        ("always", OrderStatus.RETURNED, True),
    ],
)
def test_refunded_order_gives_its_coupon_back_by_the_stated_rule(rule: str, status: OrderStatus, back: bool) -> None:
    shop = shop_with({"amount": 30, "given_back": rule} | EVERYBODY_CLAIMS)
    orders = buy(shop, [0, 1])
    shop.refund(orders.row[:1], status)
    assert coupon(shop).wallets.live == back
    assert off(offers_to(shop, [0, 1])).tolist() == [[3_000 * back], [0]]
    check_conservation(coupon(shop))


def test_coupon_that_comes_back_too_late_has_expired() -> None:
    shop = shop_with({"amount": 30, "valid_for": "3d", "given_back": "always"} | EVERYBODY_CLAIMS)
    orders = buy(shop, [0])
    pass_days(shop, 4)
    shop.refund(orders.row, OrderStatus.RETURNED)
    assert (coupon(shop).wallets.used, coupon(shop).wallets.live, coupon(shop).wallets.expired) == (0, 0, 1)
    check_conservation(coupon(shop))


def test_given_back_coupon_still_expires_on_its_day() -> None:
    shop = shop_with({"amount": 30, "valid_for": "3d"} | EVERYBODY_CLAIMS)
    orders = buy(shop, [0])
    pass_days(shop, 1)
    shop.refund(orders.row, OrderStatus.REFUNDED)
    pass_days(shop, 2)
    assert coupon(shop).wallets.live == 1
    pass_days(shop, 1)
    assert coupon(shop).wallets.expired == 1
    check_conservation(coupon(shop))


def test_refunded_order_takes_back_the_coupon_it_earned_unless_it_is_used() -> None:
    shop = shop_with({"coupon": "purchase", "amount": 30, "per_person": None, "given_back": "never"})
    first = buy(shop, [0, 1])
    shop.refund(first.row[:1], OrderStatus.RETURNED)
    assert (coupon(shop).wallets.live, coupon(shop).wallets.expired) == (1, 1)
    buy(shop, [1])
    shop.refund(first.row[1:], OrderStatus.RETURNED)
    assert coupon(shop).wallets.used == 1
    check_conservation(coupon(shop))
