"""Coupons: how they get into wallets, what they take off, and that none is ever lost or used twice."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim import Scenario, Shop
from sim.core.ledger import Account, share_of
from sim.offers import NONE, Mode, Offers, Orders, ShareKind, Shares, Signups, Source, Visits
from sim.orders import OrderStatus
from sim.people import Status
from sim.schemes.coupon import Coupon, CouponConfig
from sim.schemes.fission import PacketState, split
from sim.schemes.wallet import ClaimState, Wallets, take_best

PERSONS = 40
EVERYBODY_CLAIMS = {"claim_rate": 1.0}


def shop_with(*schemes: dict[str, Any], members: float = 1.0, seed: int = 1, **sections: Any) -> Shop:
    """Build a small shop in which nothing happens unless a test makes it."""
    scenario = {
        "horizon": "60d",
        "tick": "1d",
        "people": {
            "size": PERSONS,
            "network": {"kind": "erdos_renyi", "mean_degree": 4},
            "members_at_start": members,
            "tenure": "0h",
        },
        "demand": {"units": 1},
        "catalog": {"products": 6, "categories": 2, "merchants": 2},
        "recommendation": {"model": "popularity", "slate": 3},
        "schemes": [{"kind": "coupon"} | scheme for scheme in schemes],
    }
    shop = Shop(Scenario.from_dict(scenario | sections), rng=seed)
    shop.products.price[:] = shop.products.start_price[:] = 10_000  # a hundred yuan each
    return shop


def coupon(shop: Shop, number: int = 1) -> Coupon:
    scheme = shop.schemes[number - 1]
    assert isinstance(scheme, Coupon)
    return scheme


def visits(persons: Any, product: int = NONE) -> Visits:
    who = np.asarray(persons, np.int32)

    def full(value: int, dtype: Any = np.int32) -> Any:
        return np.full(who.size, value, dtype)

    return Visits(who, full(Source.OWN, np.int8), full(NONE), full(product), full(NONE), full(NONE), full(1))


def offers_to(shop: Shop, persons: Any, products: Any = (0,)) -> Offers:
    """Let persons visit and see some products."""
    slates = np.tile(np.asarray(products, np.int32), (len(persons), 1))
    return shop._offer(visits(persons), slates)


def buy(shop: Shop, persons: Any, product: int = 0) -> Orders:
    """Let persons buy a product through the shop's own stages; return the accepted orders in the order of persons."""
    offers = offers_to(shop, persons, [product])
    n, schemes = len(persons), max(1, len(shop.schemes))
    discount = np.zeros((n, schemes), np.int64)
    for number, taken in offers.discounts.items():
        discount[:, number - 1] = taken[:, 0]
    none = np.full(n, NONE, np.int32)
    orders = Orders(
        offers.visits.person, offers.product[:, 0], offers.visits.quantity, offers.mode[:, 0], none, offers.worth[:, 0],
        offers.pay[:, 0], discount, offers.visits.source, none, none, np.full(n, NONE, np.int64),
    )  # fmt: skip
    accepted = shop._screen(orders)
    shop._settle(accepted)
    return accepted.take(np.argsort(accepted.person, kind="stable"))


def shares(sharer: Any, recipient: Any, kind: ShareKind = ShareKind.PRODUCT) -> Shares:
    n = len(recipient)
    none = np.full(n, NONE, np.int32)
    return Shares(
        np.asarray(sharer, np.int32), np.asarray(recipient, np.int32), np.full(n, kind, np.int8), none, none,
        none.astype(np.int16), np.ones(n, np.float32), np.zeros(n, np.float32),
    )  # fmt: skip


def sign_up(shop: Shop, persons: Any, inviters: Any = None) -> None:
    who = np.asarray(persons, np.int32)
    inviter = np.full(who.size, NONE, np.int32) if inviters is None else np.asarray(inviters, np.int32)
    shop._admit(Signups(who, inviter, np.full(who.size, Source.SHARE, np.int8)))


def pass_days(shop: Shop, days: int) -> None:
    """Let deadlines fall due, day by day, without anything else happening."""
    for _ in range(days):
        for scheme in shop.schemes:
            scheme.close()
        shop.clock.advance()


def off(offers: Offers, number: int = 1) -> Any:
    """Return what a scheme takes off, shape (V, W)."""
    whole = np.zeros(offers.pay.shape, np.int64)
    taken = offers.discounts.get(number)
    if taken is not None:
        whole[:, : taken.shape[1]] = taken
    return whole


def check_conservation(scheme: Coupon) -> None:
    """Hold the counters against the table, and the wallets against both."""
    claims, wallets = scheme.wallets.claims, scheme.wallets
    counted = Counter(claims.state.tolist())
    assert (wallets.issued, wallets.used, wallets.live, wallets.expired) == (
        len(claims),
        counted[ClaimState.USED],
        counted[ClaimState.LIVE],
        counted[ClaimState.EXPIRED],
    )
    assert wallets.issued == wallets.used + wallets.live + wallets.expired
    assert wallets.live_face == claims.face[claims.state == ClaimState.LIVE].sum()
    promised = 0
    if scheme.packets is not None:
        still_open = scheme.packets.packets.state == PacketState.OPEN
        promised = int(still_open.sum() + scheme.packets.packets.helped[still_open].sum())
    assert wallets.purses.received.sum() == wallets.issued + promised
    in_wallets = []
    for head in wallets.purses.best.tolist():
        held = []
        while head >= 0:
            held.append(head)
            head = int(claims.next[head])
        worth = [(-claims.face[row], claims.expires[row]) for row in held]
        assert worth == sorted(worth)
        in_wallets += held
    assert sorted(in_wallets) == np.flatnonzero(claims.state == ClaimState.LIVE).tolist()


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


# What it takes off.


def test_amount_never_takes_off_more_than_the_price() -> None:
    shop = shop_with({"amount": 30} | EVERYBODY_CLAIMS)
    shop.products.price[:2] = [10_000, 2_000]
    assert off(offers_to(shop, [0], [0, 1])).tolist() == [[3_000, 2_000]]


def test_percent_is_rounded_like_the_ledger_and_capped() -> None:
    prices = np.array([50, 333, 10_000, 12_345, 99_999, 1])
    shop = shop_with({"percent": "15%"} | EVERYBODY_CLAIMS, {"name": "capped", "percent": "15%", "cap": 5} | EVERYBODY_CLAIMS)
    shop.products.price[:] = prices
    both = offers_to(shop, [0], range(6))
    assert off(both).tolist() == [share_of(prices, 0.15).tolist()]
    shop = shop_with({"percent": "15%", "cap": 5} | EVERYBODY_CLAIMS)
    shop.products.price[:] = prices
    assert off(offers_to(shop, [0], range(6))).tolist() == [np.minimum(share_of(prices, 0.15), 500).tolist()]


@given(price=st.integers(0, 10**9), percent=st.floats(1e-6, 1.0))
@settings(max_examples=200, deadline=None)
def test_percentages_follow_the_stated_rounding_rule(price: int, percent: float) -> None:
    one = np.zeros(1, np.int32)
    none = np.zeros((0, 0), np.int64)
    discount, _ = take_best(
        0, one, one, one, np.zeros(1, np.int64), one[:, None], np.zeros((1, 1), np.int8), np.array([[price]]), none, none,
        np.ones(1, bool), np.ones(1, bool), 0, percent, np.iinfo(np.int64).max, np.iinfo(np.int64).max,
    )  # fmt: skip
    assert discount[0, 0] == min(price, share_of(price, percent))


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
    with pytest.raises(ValueError, match="product 6, but there are 6"):
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
    with pytest.raises(ValueError, match="does not pair coupon with 'referral'"):
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
    small, share = {"name": "small", "amount": 30} | EVERYBODY_CLAIMS, {"name": "share", "percent": "20%"} | EVERYBODY_CLAIMS
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


# Red packets.


def packets(members: float = 1.0, **fission: Any) -> Shop:
    rules = {"helpers": 2, "total": 10, "window": "2d"} | fission
    return shop_with({"coupon": "purchase", "fission": rules, "claim_rate": 1.0, "per_person": None}, members=members)


def test_red_packet_fills_and_its_coupons_add_up_to_its_value() -> None:
    shop = packets(split="random")
    buy(shop, [0])
    scheme = coupon(shop)
    scheme.on_click(shares([0], [1]))
    scheme.on_click(shares([0], [1]))  # a friend helps once
    scheme.on_click(shares([0], [0]))  # and nobody helps themselves
    assert scheme.wallets.issued == 0
    scheme.on_click(shares([0, 0], [2, 3]))
    claims = scheme.wallets.claims
    assert claims.person[:2].tolist() == [0, 1]
    assert claims.person[2] in (2, 3)
    assert claims.face.sum() == 1_000
    assert claims.face.min() >= 1
    assert scheme.facts()["red_packets_filled"] == 1
    best = scheme.wallets.claims.face[scheme.wallets.purses.best[0]]
    assert off(offers_to(shop, [0])).tolist() == [[best]]
    check_conservation(scheme)


def test_last_place_in_a_packet_goes_by_lot() -> None:
    def last_helper(clicks: list[int]) -> int:
        shop = packets(helpers=1)
        buy(shop, [0])
        coupon(shop).on_click(shares([0] * len(clicks), clicks))
        assert coupon(shop).wallets.issued == 2
        return int(coupon(shop).wallets.claims.person[1])

    everyone = list(range(1, PERSONS))
    assert last_helper(everyone) == last_helper(everyone[::-1])


def test_unfilled_packet_expires_after_its_window() -> None:
    shop = packets(window="2d")
    buy(shop, [0])
    scheme = coupon(shop)
    scheme.on_click(shares([0], [1]))
    pass_days(shop, 3)
    scheme.on_click(shares([0], [2]))
    assert scheme.packets is not None
    assert scheme.packets.packets.state.tolist() == [PacketState.EXPIRED]
    assert scheme.wallets.issued == 0
    assert scheme.wallets.purses.received.sum() == 0  # what was promised no longer counts
    buy(shop, [0])
    assert scheme.packets.opened == 2


def test_only_new_members_help_where_the_rule_says_so() -> None:
    shop = packets(members=0.5, new_members_only=True)
    member = np.flatnonzero(shop.people.is_member)
    prospect = np.flatnonzero(shop.people.status == Status.PROSPECT)
    buy(shop, member[:1])
    scheme = coupon(shop)
    scheme.on_click(shares(member[[0, 0]], member[1:3]))
    assert scheme.packets is not None
    assert scheme.packets.packets.helped.tolist() == [0]
    sign_up(shop, prospect[:3], [member[0], member[0], NONE])
    assert scheme.packets.packets.state.tolist() == [PacketState.FILLED]


def test_prospects_help_by_signing_up_and_count_once() -> None:
    shop = packets(members=0.5)
    member = np.flatnonzero(shop.people.is_member)
    prospect = np.flatnonzero(shop.people.status == Status.PROSPECT)
    buy(shop, member[:1])
    scheme = coupon(shop)
    scheme.on_click(shares(member[:1], prospect[:1]))
    assert scheme.packets is not None
    assert scheme.packets.packets.helped.tolist() == [0]
    sign_up(shop, prospect[:1], member[:1])
    scheme.on_click(shares(member[:1], prospect[:1]))
    assert scheme.packets.packets.helped.tolist() == [1]


def test_packet_needs_an_order_of_some_value_and_a_buyer_who_bothers() -> None:
    def opened(**rules: Any) -> int:
        fission = {"helpers": 2, "total": 10}
        shop = shop_with({"coupon": "purchase", "fission": fission, "claim_rate": 1.0} | rules)
        buy(shop, np.arange(PERSONS))
        found = coupon(shop).packets
        assert found is not None
        return found.opened

    assert opened() == PERSONS
    assert opened(order_at_least=101) == 0
    assert 0 < opened(claim_rate=0.5) < PERSONS


def test_packet_counts_towards_the_limit_a_person() -> None:
    shop = shop_with({"coupon": "purchase", "fission": {"helpers": 1, "total": 10}, "claim_rate": 1.0, "per_person": 1})
    buy(shop, [0, 1])
    scheme = coupon(shop)
    scheme.on_click(shares([0], [1]))  # has a packet of their own
    assert scheme.wallets.issued == 0
    scheme.on_click(shares([0], [2]))
    buy(shop, [2])
    assert scheme.packets is not None
    assert scheme.packets.opened == 2
    assert scheme.wallets.purses.received[:3].tolist() == [1, 1, 1]


def test_packets_never_issue_more_than_total() -> None:
    shop = shop_with({"coupon": "purchase", "fission": {"helpers": 2, "total": 10}, "claim_rate": 1.0, "total": 7})
    buy(shop, [0, 1, 2])
    scheme = coupon(shop)
    scheme.on_click(shares([0, 0, 1, 1, 2, 2], [10, 11, 12, 13, 14, 15]))
    assert scheme.wallets.issued == 6
    assert scheme.packets is not None
    assert sorted(scheme.packets.packets.state.tolist()) == [1, 1, 2]
    check_conservation(scheme)


def test_refunded_order_closes_its_packet_or_takes_the_sharers_coupon_back() -> None:
    shop = packets(helpers=1)
    orders = buy(shop, [0, 1])
    scheme = coupon(shop)
    scheme.on_click(shares([0], [5]))
    shop.refund(orders.row[::-1], OrderStatus.RETURNED)
    assert scheme.packets is not None
    found = scheme.packets.packets
    assert found.state[np.argsort(found.sharer)].tolist() == [PacketState.FILLED, PacketState.EXPIRED]
    assert scheme.wallets.claims.state.tolist() == [ClaimState.EXPIRED, ClaimState.LIVE]
    assert scheme.wallets.purses.packet[:2].tolist() == [NONE, NONE]
    check_conservation(scheme)


def test_sharing_a_packet_is_worth_more_the_fewer_helpers_are_missing() -> None:
    shop = packets(helpers=3, total=12)
    buy(shop, [0])
    scheme = coupon(shop)
    persons = np.array([0, 1])
    assert np.asarray(scheme.reward(persons, ShareKind.PRODUCT)).tolist() == [1.0, 0.0]
    scheme.on_click(shares([0], [1]))
    assert np.asarray(scheme.reward(persons, ShareKind.PRODUCT)).tolist() == [1.5, 0.0]
    assert np.asarray(scheme.gift(persons, ShareKind.PRODUCT)).tolist() == [3.0, 0.0]


def test_packet_coupons_of_different_value_are_used_dearest_first() -> None:
    wallets = Wallets()
    wallets.purses.append(1)
    wallets.issue(np.zeros(3, np.int32), np.array([5, 9, 7]), 0, 0, 10)
    used = [int(wallets.claims.face[wallets.use(np.zeros(1, np.int32), np.array([order]))[0]]) for order in range(3)]
    assert used == [9, 7, 5]


@given(
    total=st.integers(1, 10_000), parties=st.integers(2, 20), rule=st.sampled_from(["equal", "random"]), seed=st.integers(0, 99)
)
@settings(max_examples=200, deadline=None)
def test_split_adds_up_exactly_and_gives_everybody_a_fen(total: int, parties: int, rule: str, seed: int) -> None:
    total = max(total, parties)
    parts = split(total, np.random.default_rng(seed).random((5, parties - 1)), rule)
    assert (parts.sum(axis=1) == total).all()
    assert (parts >= 1).all()
    if rule == "equal":
        assert np.ptp(parts) <= 1
        assert (np.diff(parts, axis=1) <= 0).all()


def test_random_split_favours_nobody() -> None:
    parts = split(1_000, np.random.default_rng(0).random((20_000, 3)), "random")
    error = parts.std(axis=0) / np.sqrt(len(parts))
    assert (np.abs(parts.mean(axis=0) - 250) < 4 * error).all()


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
        st.tuples(st.sampled_from(["visit", "buy", "refund", "return", "day", "click"]), st.integers(0, 10**6)), max_size=25
    ),
    rules=st.sampled_from(
        [
            {"amount": 30, "per_person": 3, "valid_for": "2d", "given_back": "always", "claim_rate": 0.7},
            {"percent": "20%", "per_person": None, "valid_until": "6d", "budget": 100, "total": 30, "claim_rate": 1.0},
            {"coupon": "purchase", "amount": 5, "per_person": None, "valid_for": "3d", "given_back": "always"},
            {"coupon": "purchase", "fission": {"helpers": 2, "total": 10}, "per_person": 2, "valid_for": "3d", "claim_rate": 1.0},
        ]
    ),
)
@settings(max_examples=25, deadline=None)
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
        {"name": "packet", "coupon": "purchase", "fission": {"total": 20, "helpers": 1}, "claim_rate": 1.0, "per_person": None},
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
