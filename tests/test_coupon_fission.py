"""Red packets: who helps, when they fill, how they are split, and what becomes of those that do not fill."""

from __future__ import annotations

from typing import Any

import numpy as np
from coupon_shop import (
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

from sim import Shop
from sim.offers import NONE, ShareKind
from sim.orders import OrderStatus
from sim.people import Status
from sim.schemes.fission import PacketState, split
from sim.schemes.wallet import ClaimState, Wallets


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
    assert scheme.reward(persons, ShareKind.INVITE) == 0.0  # members, who could help, do not read invitations


def test_invitations_carry_packets_that_need_new_members() -> None:
    shop = packets(helpers=2, total=12, new_members_only=True)
    buy(shop, [0])
    assert np.asarray(coupon(shop).reward(np.array([0, 1]), ShareKind.INVITE)).tolist() == [2.0, 0.0]


def test_packet_coupons_of_different_value_are_used_dearest_first() -> None:
    wallets = Wallets()
    wallets.purses.append(1)
    wallets.issue(np.zeros(3, np.int32), np.array([5, 9, 7]), 0, 0, 10)
    used = [int(wallets.claims.face[wallets.use(np.zeros(1, np.int32), np.array([order]))[0]]) for order in range(3)]
    assert used == [9, 7, 5]


@given(
    total=st.integers(1, 10_000),
    parties=st.integers(2, 20),
    rule=st.sampled_from(["equal", "random"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=200)
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
