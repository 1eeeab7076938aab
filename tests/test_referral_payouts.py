"""Referral: bonuses, freeze, release and withdrawal, and taking back."""

from __future__ import annotations

import numpy as np
import pytest
from referral_shop import PERSONS, YUAN, World, world

from sim.core.ledger import Account
from sim.orders import OrderStatus
from sim.people import Status

# Bonuses.


def test_both_sides_get_their_bonus_on_sign_up() -> None:
    w = world(bonus={"inviter": 9, "invitee": 5, "on": "sign_up"})
    w.join([1], [0])
    assert [w.earned(0), w.earned(1)] == [9, 5]
    w.check()


def test_first_order_bonus_waits_for_an_order_large_enough_and_comes_once() -> None:
    w = world(bonus={"inviter": 9, "invitee": 5, "on": "first_order", "min_order": 50}, rates=[])
    w.join([1], [0])
    w.buy(1, yuan=49)
    assert w.earned(0) == 0
    w.buy(1, yuan=50)
    w.buy(1, yuan=50)
    assert [w.earned(0), w.earned(1)] == [9, 5]


def test_a_member_who_was_not_invited_earns_no_bonus() -> None:
    w = world(bonus={"inviter": 9, "invitee": 5}, rates=[], binding="any_time")
    w.click([1], [0])
    w.buy(1)
    assert len(w.rewards) == 0


def test_inviting_oneself_earns_nothing() -> None:
    w = world(bonus={"inviter": 9, "invitee": 5, "on": "sign_up"})
    w.join([0], [0])
    assert len(w.rewards) == 0
    assert w.standing.invites[0] == 0


def test_people_who_come_into_being_later_take_part() -> None:
    w = world(bonus={"inviter": 9, "invitee": 5, "on": "sign_up"}, rates=["10%"])
    (newcomer,) = w.shop.people.append(1, uid=PERSONS, status=Status.MEMBER).tolist()
    w.join([newcomer], [0])
    w.join([1], [newcomer])
    w.buy(1)
    assert w.earned(newcomer) == 5 + 9 + 10
    w.days()
    w.check()


def test_daily_cap_limits_the_inviter_and_not_the_invitee_and_starts_anew_the_next_day() -> None:
    w = world(bonus={"inviter": 9, "invitee": 5, "on": "sign_up"}, daily_cap=2)
    w.join([1, 2, 3], [0, 0, 0])
    w.join([4], [0])
    assert w.earned(0) == 18
    assert [w.earned(p) for p in (1, 2, 3, 4)] == [5, 5, 5, 5]
    w.days()
    w.join([5], [0])
    assert w.earned(0) == 27


def test_velocity_control_refuses_both_sides() -> None:
    w = world({"risk": {"invites_per_day": 1}}, bonus={"inviter": 9, "invitee": 5, "on": "sign_up"})
    w.join([1, 2, 3], [0, 0, 0])
    assert w.earned(0) == 9
    assert sum(w.earned(p) for p in (1, 2, 3)) == 5


def test_bonus_of_a_refunded_first_order_is_taken_back_and_can_be_earned_again() -> None:
    w = world(bonus={"inviter": 9, "invitee": 5, "on": "first_order"}, rates=[])
    w.join([1], [0])
    w.shop.refund(w.buy(1), OrderStatus.REFUNDED)
    assert [w.earned(0), w.earned(1)] == [0, 0]
    w.buy(1)
    assert [w.earned(0), w.earned(1)] == [9, 5]
    w.check()


# Freeze, release, withdrawal.


def test_rewards_are_released_at_the_end_of_the_longer_freeze() -> None:
    rules = {"bonus": {"inviter": 9, "invitee": 0, "on": "sign_up"}, "withdrawal": {"every": "60d"}}
    for freeze, control, expected in (("2d", "0d", 2), ("2d", "5d", 5), ("0d", "0d", 0)):
        w = world({"risk": {"payout_freeze": control}}, freeze=freeze, **rules)
        w.join([1], [0])
        w.days(expected)
        assert w.balance(Account.WALLETS) == 0
        w.days()
        assert w.balance(Account.WALLETS) == 9
        assert w.balance(Account.FROZEN_COMMISSION) == 0


def test_commission_waits_for_its_order_to_become_final() -> None:
    w = world(rates=["10%"], freeze="2d", withdrawal={"every": "60d"})
    w.chain(0, 1)
    early, late = w.buy(1), w.buy(1)
    w.shop.confirm(early)
    w.days(2)
    assert w.balance(Account.WALLETS) == 0
    w.days(5)
    assert w.balance(Account.WALLETS) == 10
    w.shop.confirm(late)
    assert w.balance(Account.WALLETS) == 20
    w.check()


def test_bonus_waits_while_its_order_waits_for_a_team() -> None:
    w = world(bonus={"inviter": 9, "invitee": 0}, rates=[], freeze="0d", withdrawal={"every": "60d"})
    w.join([1], [0])
    row = w.buy(1, team=True)
    w.days(3)
    assert w.balance(Account.WALLETS) == 0
    w.shop.book.status[row] = OrderStatus.PAID
    w.days()
    assert w.balance(Account.WALLETS) == 9


def test_rewards_of_accounts_caught_meanwhile_are_cancelled() -> None:
    w = world(
        {"risk": {"accounts_per_device": 1, "freeze_check": True}},
        bonus={"inviter": 9, "invitee": 5, "on": "sign_up"}, freeze="2d",
    )  # fmt: skip
    w.join([1, 3], [0, 2])
    w.shop.risk.caught(np.array([0]))  # makes room for its cases
    w.shop.risk.cases.flagged[1] = True
    w.days(3)
    assert [w.earned(p) for p in range(4)] == [0, 0, 9, 5]
    assert w.scheme.metrics()["rewards_cancelled"] == 14
    assert w.scheme.spent == 14 * YUAN
    w.check()


def test_withdrawals_keep_minimum_maximum_fee_and_interval() -> None:
    rule = {"minimum": 10, "maximum": 50, "fee": "2%", "fixed_fee": 1, "every": "2d"}
    w = world(bonus={"inviter": 12, "invitee": 9.99, "on": "sign_up"}, freeze="0d", withdrawal=rule)
    w.join([1, 2, 3, 4, 5], [0] * 5)
    w.days(1)
    assert w.balance(Account.SHARERS) == 0
    w.days(1)  # 60 of the inviter's, at most 50 of it; invitees stay below the minimum
    assert w.balance(Account.SHARERS) == 50 - 1 - 1
    assert w.purses.wallet[:2].tolist() == [10 * YUAN, 9.99 * YUAN]
    w.days(2)
    assert w.balance(Account.SHARERS) == 48 + 10 - 0.2 - 1
    assert w.scheme.facts()["withdrawal_fees_yuan"] == 3.2
    w.check()


def test_a_withdrawal_that_its_fee_would_eat_does_not_happen() -> None:
    rule = {"minimum": 1, "fixed_fee": 5}
    w = world(bonus={"inviter": 5, "invitee": 6, "on": "sign_up"}, freeze="0d", withdrawal=rule)
    w.join([1], [0])
    w.days(2)
    assert w.purses.wallet[:2].tolist() == [5 * YUAN, 0]
    assert w.balance(Account.SHARERS) == 1


# Taking back.


def test_refund_takes_a_frozen_commission_back_to_who_paid_it() -> None:
    w = world(rates=["10%", "5%"], merchant_share="40%")
    w.chain(0, 1, 2)
    keep, lose = w.buy(2), w.buy(2)
    w.shop.refund(lose, OrderStatus.RETURNED)
    assert [w.earned(0), w.earned(1)] == [5, 10]
    assert w.balance(Account.MERCHANTS) == pytest.approx(-0.4 * 15)
    assert w.scheme.spent == 15 * YUAN
    assert w.shop.book.rewards[[keep[0], lose[0]]].tolist() == [15 * YUAN, 0]
    w.check()


def released_bonus(every: str, merchant_share: str = "0%") -> tuple[World, np.ndarray]:
    """A first-order bonus of 9 yuan that its inviter can spend while the order can still be returned."""
    w = world(
        bonus={"inviter": 9, "invitee": 0}, rates=[], freeze="0d",
        withdrawal={"every": every, "minimum": 0}, merchant_share=merchant_share,
    )  # fmt: skip
    w.join([1, 2, 3], [0, 0, 0])
    row = w.buy(1)
    w.days()
    return w, row


def test_refund_takes_a_released_reward_out_of_the_wallet() -> None:
    w, row = released_bonus(every="60d", merchant_share="50%")
    assert w.balance(Account.WALLETS) == 9
    w.shop.refund(row, OrderStatus.RETURNED)
    assert w.balance(Account.WALLETS) == 0
    assert w.balance(Account.MERCHANTS) == 0
    assert w.scheme.spent == 0
    assert w.scheme.metrics()["unrecovered"] == 0
    w.check()


def test_what_was_withdrawn_becomes_a_debt_that_later_rewards_pay_back() -> None:
    w, row = released_bonus(every="1d", merchant_share="50%")
    assert w.balance(Account.SHARERS) == 9
    w.shop.refund(row, OrderStatus.RETURNED)
    assert w.scheme.metrics()["unrecovered"] == 9
    assert w.balance(Account.MERCHANTS) == 0  # the platform bears the risk
    w.check()
    w.buy(2)
    w.days()
    assert w.scheme.metrics()["unrecovered"] == 0
    assert w.scheme.facts()["debts_repaid_yuan"] == 9
    assert w.balance(Account.SHARERS) == 9
    w.check()
    w.buy(3)
    w.days()
    assert w.balance(Account.SHARERS) == 18
