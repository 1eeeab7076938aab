"""Referral: who is bound to whom, what is earned, when it is paid and how it is taken back."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim import Scenario, ScenarioError, Shop
from sim.core.ledger import Account
from sim.offers import Mode, Orders, ShareKind, Shares, Signups, Source
from sim.orders import OrderStatus
from sim.people import Status
from sim.schemes.commission import RewardKind, RewardState
from sim.schemes.promoters import BOUND, CYCLE, KEPT, TO_SELF, bind, chain_size
from sim.schemes.referral import Referral, ReferralConfig

PERSONS = 40
YUAN = 100
NO_BONUS = {"inviter": 0, "invitee": 0}


@dataclass
class World:
    """A shop in which nothing happens but what the test does; everybody is a member."""

    shop: Shop
    scheme: Referral

    @property
    def standing(self) -> Any:
        return self.scheme.promoters.standing

    @property
    def rewards(self) -> Any:
        return self.scheme.payouts.rewards

    @property
    def purses(self) -> Any:
        return self.scheme.payouts.purses

    def join(self, persons: list[int], inviters: list[int]) -> None:
        source = np.full(len(persons), Source.SHARE, np.int8)
        self.scheme.on_signup(Signups(np.array(persons, np.int32), np.array(inviters, np.int32), source))

    def click(self, persons: list[int], sharers: list[int], kind: ShareKind = ShareKind.PRODUCT) -> None:
        self.scheme.on_click(shares(sharers, persons, kind))

    def chain(self, *persons: int) -> None:
        """Bind each person to the one before."""
        for above, below in itertools.pairwise(persons):
            self.join([below], [above])

    def buy(
        self, *buyers: int, yuan: float = 100, off: float = 0, product: int = 0, units: int = 1, team: bool = False
    ) -> np.ndarray:
        """Let persons buy for so much at list price, less what is taken off; return the orders' rows."""
        n = len(buyers)
        discount = np.zeros((n, len(self.shop.schemes)), np.int64)
        discount[:, 0] = round(off * YUAN)
        worth = np.full(n, round(yuan * YUAN), np.int64)
        mode = Mode.OPEN_TEAM if team else Mode.SOLO
        orders = Orders(
            np.array(buyers, np.int32), np.full(n, product, np.int32), np.full(n, units, np.int32),
            np.full(n, mode, np.int8), np.full(n, -1, np.int32), worth, worth - discount[:, 0], discount,
            np.zeros(n, np.int8), np.full(n, -1, np.int32), np.full(n, -1, np.int32), np.full(n, -1, np.int64),
        )  # fmt: skip
        self.shop._settle(orders)
        return orders.row

    def days(self, count: int = 1) -> None:
        """Let days (of one tick) pass."""
        for _ in range(count):
            self.scheme.close()
            self.shop.clock.advance()

    def earned(self, person: int) -> float:
        """Yuan of rewards that a person keeps, paid out or not."""
        kept = self.scheme.payouts.kept()
        return float(self.rewards.amount[kept][self.rewards.person[kept] == person].sum() / YUAN)

    def balance(self, account: Account) -> float:
        return self.shop.ledger.balance(account) / YUAN

    def check(self) -> None:
        """Assert everything that must hold at every moment."""
        ledger, payouts = self.shop.ledger, self.scheme.payouts
        frozen = payouts.total(states=(RewardState.FROZEN,))
        assert ledger.balance(Account.FROZEN_COMMISSION) == frozen
        assert ledger.balance(Account.WALLETS) == self.purses.wallet.sum()
        assert ledger.balance(Account.SHARERS) == payouts.withdrawn
        assert ledger.imbalance() == 0
        assert (self.purses.wallet >= 0).all() and (self.purses.debt >= 0).all()
        assert not ((self.purses.wallet > 0) & (self.purses.debt > 0)).any()
        # What persons got out of it is what they hold, will hold or have withdrawn.
        assert self.shop.people.benefit.sum() == frozen + self.purses.wallet.sum() + payouts.withdrawn
        chain_size(self.standing.bound_to)  # ends only if nobody stands below themselves


def shares(sharers: list[int], recipients: list[int], kind: ShareKind) -> Shares:
    n = len(sharers)
    given = {"sharer": sharers, "recipient": recipients, "kind": [kind] * n}
    types = {"kind": np.int8, "kol": np.int16, "strength": np.float32, "gift": np.float32}
    return Shares(
        **{f.name: np.array(given.get(f.name, [-1] * n), types.get(f.name, np.int32)) for f in fields(Shares)}
    )


def scenario(rules: dict[str, Any], **sections: Any) -> Scenario:
    return Scenario.from_dict(
        {
            "name": "referral",
            "horizon": "60d",
            "tick": "1d",
            "people": {"size": PERSONS, "network": {"kind": "complete"}, "members_at_start": 0},
            "catalog": {"merchants": 2, "products": 4, "categories": 2},
            "recommendation": {"model": "random", "slate": 2},
            "schemes": [{"kind": "referral", **rules}],
            **sections,
        }
    )


def world(sections: dict[str, Any] | None = None, **rules: Any) -> World:
    shop = Shop(scenario({"bonus": NO_BONUS, **rules}, **(sections or {})), rng=1)
    shop.people.status[:] = Status.MEMBER
    shop.people.satisfaction[:] = 1
    (scheme,) = shop.schemes
    assert isinstance(scheme, Referral)
    return World(shop, scheme)


def problems(**rules: Any) -> str:
    with pytest.raises(ValidationError) as error:
        ReferralConfig.model_validate({"kind": "referral", **rules})
    return str(error.value)


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


# Bindings.


def test_only_registration_binds_unless_said_otherwise() -> None:
    w = world()
    w.click([2], [0])
    assert w.standing.bound_to[2] == -1
    w.join([2], [0])
    w.join([2], [1])
    assert w.standing.bound_to[2] == 0


def test_any_time_binds_members_without_promoter_by_a_click() -> None:
    w = world(binding="any_time")
    w.click([2], [0], ShareKind.POST)
    assert w.standing.bound_to[2] == -1
    w.click([2], [0])
    w.click([2], [1])
    assert w.standing.bound_to[2] == 0


def test_override_binds_to_the_last_link() -> None:
    w = world(binding="override")
    w.click([2], [0])
    w.click([2], [1])
    assert w.standing.bound_to[2] == 1


def test_a_prospect_who_clicks_but_does_not_sign_up_is_not_bound() -> None:
    w = world(binding="any_time")
    w.shop.people.status[2] = Status.PROSPECT
    w.click([2], [0])
    assert w.standing.bound_to[2] == -1


def test_binding_expires_after_its_time_and_starts_anew_with_a_new_click() -> None:
    w = world(binding="override", binding_expires="3d", rates=["10%"])
    w.click([1, 2], [0, 0])
    w.days(2)
    w.click([2], [3])
    w.days(2)
    assert w.standing.bound_to[[1, 2]].tolist() == [-1, 3]
    w.buy(1)
    assert len(w.rewards) == 0
    w.click([1], [3])
    assert w.standing.bound_to[1] == 3


def test_a_click_on_the_same_promoter_renews_a_binding_that_expires() -> None:
    w = world(binding="override", binding_expires="3d")
    w.click([1], [0])
    w.days(2)
    w.click([1], [0])
    w.days(3)
    assert w.standing.bound_to[1] == 0
    w.days(1)
    assert w.standing.bound_to[1] == -1


def test_binding_to_oneself_or_to_somebody_below_is_refused_and_counted() -> None:
    w = world(binding="any_time")
    w.chain(0, 1, 2)
    w.click([0, 0], [0, 2])
    assert w.standing.bound_to[0] == -1
    facts = w.scheme.facts()
    assert (facts["self_bindings_refused"], facts["cycles_refused"]) == (1, 1)


def test_two_who_click_on_each_other_in_one_tick_are_not_bound_in_a_circle() -> None:
    w = world(binding="any_time")
    w.click([0, 1], [1, 0])
    assert sorted(w.standing.bound_to[[0, 1]].tolist()) in ([-1, 0], [-1, 1])
    assert w.scheme.facts()["cycles_refused"] == 1


def test_rivals_for_a_binding_are_ranked_by_draw_and_not_by_row() -> None:
    outcomes = []
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        w = world(binding="any_time")
        w.click([9] * 4, order)
        outcomes.append(int(w.standing.bound_to[9]))
    assert outcomes[0] == outcomes[1] != -1


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=40), st.booleans())
def test_bindings_stay_a_forest(pairs: list[tuple[int, int]], override: bool) -> None:
    bound_to = np.full(8, -1, np.int32)
    for person, promoter in pairs:
        before = bound_to.copy()
        (outcome,) = bind(bound_to, np.array([person], np.int32), np.array([promoter], np.int32), override)
        ancestors = set()
        above = promoter
        while above >= 0:
            assert above not in ancestors
            ancestors.add(above)
            above = int(before[above])
        if person == promoter:
            expected = TO_SELF
        elif before[person] >= 0 and not override:
            expected = KEPT
        else:
            expected = CYCLE if person in ancestors else BOUND
        assert outcome == expected
        assert bound_to[person] == (promoter if expected == BOUND else before[person])


def test_chain_size_counts_everybody_below_over_all_levels() -> None:
    #  0 - 1 - 2, 3;  0 - 4;  5 - 6
    bound_to = np.array([-1, 0, 1, 1, 0, -1, 5], np.int32)
    assert chain_size(bound_to) == (4, 2)
    assert chain_size(np.full(3, -1, np.int32)) == (0, 0)


# Who may promote.


def test_appointed_promoters_alone_earn() -> None:
    w = world(promoters="appointed", appointed={"persons": [0]}, rates=["10%"])
    w.join([2, 3], [0, 1])
    w.buy(2, 3)
    assert [w.earned(0), w.earned(1)] == [10, 0]
    assert w.scheme.metrics()["promoters"] == 1


def test_appointed_by_degree_are_those_with_most_ties() -> None:
    star = np.zeros((PERSONS, PERSONS), int)
    star[7] = star[:, 7] = 1
    np.fill_diagonal(star, 0)
    rules = {"promoters": "appointed", "appointed": {"count": 1, "by": "degree"}}
    shop = Shop(scenario(rules), rng=1, graph=nx.from_numpy_array(star))
    (scheme,) = shop.schemes
    assert isinstance(scheme, Referral)
    assert np.flatnonzero(scheme.promoters.standing.enrolled).tolist() == [7]


def test_a_random_share_of_persons_can_be_appointed() -> None:
    w = world(promoters="appointed", appointed={"share": "25%", "by": "random"})
    assert w.scheme.metrics()["promoters"] == PERSONS / 4


def test_spenders_promote_once_they_have_spent_enough_and_not_by_refunded_orders() -> None:
    w = world(promoters="spenders", min_spend=100, rates=["10%"])
    row = w.buy(0, yuan=100)
    w.join([1, 2], [0, 3])
    assert w.standing.bound_to[[1, 2]].tolist() == [0, -1]
    w.shop.refund(row, OrderStatus.RETURNED)
    w.buy(1)
    assert w.earned(0) == 0


def test_members_apply_and_are_approved_at_the_stated_rates() -> None:
    w = world(promoters="application", apply_rate=0.7, approval="40%")
    assert w.scheme.metrics()["promoters"] == 0
    w.days(30)  # everybody has applied by now
    approved = w.scheme.metrics()["promoters"]
    assert abs(approved - 0.4 * PERSONS) < 4 * np.sqrt(0.24 * PERSONS)
    w.days(20)  # who was refused stays refused
    assert w.scheme.metrics()["promoters"] == approved


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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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
