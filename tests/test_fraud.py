"""Fraud rings: they come when it pays, and go when it does not."""

from __future__ import annotations

import numpy as np
import pytest

from agents import bounties, fraudsters
from agents.fraudsters import Ring
from sim import Scenario, Shop
from sim.core.ledger import Account
from sim.orders import OrderStatus
from sim.people import NEVER

SMALL = {
    "horizon": "21d",
    "tick": "4h",
    "people": {"size": 200, "members_at_start": "20%"},
    "catalog": {"merchants": 3, "products": 40, "categories": 3, "price": {"median": 60, "sigma": 0.8}},
    "fraud": {"rings": 3, "enter": "2d"},
}


def bonus(yuan: float, on: str = "sign_up", **changes: object) -> dict:
    plain = {"rates": [], "freeze": "0d", "withdrawal": {"minimum": 0}}
    return {"kind": "referral", "bonus": {"inviter": yuan, "invitee": yuan, "on": on}, **plain, **changes}


def coupon(**changes: object) -> dict:
    return {"kind": "coupon", "coupon": "newcomer", "amount": 20, **changes}


def shop_of(*schemes: dict, seed: int = 1, **changes: object) -> Shop:
    sections = {"schemes": list(schemes), **{path.replace("__", "."): value for path, value in changes.items()}}
    return Shop(Scenario.from_dict(SMALL).override(sections), rng=seed)


def accounts(shop: Shop) -> int:
    """Fake accounts that got in."""
    return int((shop.people.fake & (shop.people.joined > NEVER)).sum())


# Coming and going.


def test_without_incentives_there_is_nothing_to_farm() -> None:
    shop = shop_of().run()
    assert accounts(shop) == 0
    assert fraudsters.metrics(shop)["ring_profit"] == 0


def test_bonus_that_does_not_cover_an_account_is_not_farmed() -> None:
    # Two bonuses of 1.60 bring 3.20 for an account of 3 yuan: less than a tenth above the cost.
    assert accounts(shop_of(bonus(1.6)).run()) == 0


def test_bigger_bonus_brings_more_fake_accounts_and_more_profit() -> None:
    small, large = (
        shop_of(bonus(2), risk__accounts_per_device=3).run(),
        shop_of(bonus(20), risk__accounts_per_device=3).run(),
    )
    assert accounts(large) > accounts(small) > 0
    assert fraudsters.metrics(large)["ring_profit"] > fraudsters.metrics(small)["ring_profit"]


def test_rings_do_not_act_before_they_enter() -> None:
    shop = shop_of(bonus(20), fraud__enter="10d")
    entries = []
    while shop.running:
        shop.step()
        entries.append(np.unique(shop.people.ring[shop.people.fake]).size)
    assert entries[0] == 0
    assert entries[-1] == 3
    assert 0 < np.searchsorted(entries, 3) * 4 <= 10 * 24 + 4


def test_rings_stop_when_rewards_are_cancelled_and_keep_on_when_they_are_paid() -> None:
    strict = {"risk__invites_per_day": 1, "risk__payout_freeze": "2d", "risk__accounts_per_device": 1}
    free, controlled = shop_of(bonus(8)).run(), shop_of(bonus(8), **strict).run()
    assert accounts(controlled) < 0.2 * accounts(free)
    assert fraudsters.metrics(controlled)["rings_active"] == 0
    assert fraudsters.metrics(controlled)["ring_profit"] < 0.1 * fraudsters.metrics(free)["ring_profit"]


def test_ring_quits_when_promised_bonuses_stop_coming() -> None:
    shop = shop_of(bonus(10), fraud__capacity=5000, fraud__learning=0.5)
    shop.risk.reward_allowed = lambda inviters, invitees: np.full(len(inviters), shop.clock.day < 8)  # type: ignore[method-assign]
    grown = []
    while shop.running:
        shop.step()
        grown.append(len(shop.people))
    assert grown[8 * 6] > 200 + 3 * 40
    assert grown[-1] == grown[-4 * 6]
    assert all(ring.bonus < 0.3 for ring in shop.rings)


def test_ring_comes_back_when_the_scheme_does() -> None:
    calendar = [
        {"name": "one", "start": "3d", "end": "6d", "schemes": ["r"]},
        {"name": "two", "start": "15d", "end": "18d", "schemes": ["r"]},
    ]
    shop = shop_of(bonus(10, name="r"), calendar=calendar, fraud__enter="1d")
    people = []
    while shop.running:
        shop.step()
        people.append(len(shop.people))
    first, pause, second = people[7 * 6] - people[0], people[14 * 6] - people[7 * 6], people[-1] - people[14 * 6]
    assert first > 20
    assert pause == 0
    assert second > 20


def test_capacity_is_never_exceeded() -> None:
    shop = shop_of(bonus(20), fraud__capacity=25, fraud__batch=10).run()
    assert [len(ring.accounts) for ring in shop.rings] == [25, 25, 25]


# Reading the rules.


def test_bounty_is_what_the_rules_promise() -> None:
    shop = shop_of(
        {
            **bonus(9, on="first_order", rates=["5%"], withdrawal={"minimum": 10, "fee": "10%"}),
            "bonus": {"inviter": 9, "invitee": 9, "on": "first_order", "min_order": 50},
        },
        coupon(threshold=80),
    )
    found = bounties.read_rules(shop)
    price = shop.products.price
    off = np.where(price >= 80_00, 20_00, 0)
    np.testing.assert_array_equal(found.discount, off)
    # The invitee cannot withdraw 9 yuan of at least 10; the inviter collects many, less the fee.
    np.testing.assert_allclose(found.on_order, 0.9 * (9_00 * (price - off >= 50_00) + 0.05 * (price - off)))
    assert found.on_sign_up == 0


def test_closed_and_exhausted_schemes_promise_nothing() -> None:
    shop = shop_of(bonus(20, start="5d"), coupon(budget=1))
    shop.schemes[1].spent = 100
    found = bounties.read_rules(shop)
    assert found.on_sign_up == 0
    assert not found.on_order.any()
    assert not found.discount.any()


def test_merchants_who_stopped_paying_give_no_newcomer_discount() -> None:
    shop = shop_of(coupon(merchant_share="50%"))
    shop.merchant_books.willing[0] = False
    found = bounties.read_rules(shop).discount
    np.testing.assert_array_equal(found > 0, shop.products.merchant != 0)


# Plans.


def plan_of(shop: Shop, ring: Ring | None = None) -> fraudsters.Plan | None:
    return (ring or shop.rings[0]).best_plan(bounties.read_rules(shop), 0.0, invites=True)


def test_coupon_hunter_orders_where_the_coupon_outweighs_the_loss_of_resale() -> None:
    shop = shop_of(coupon(amount=30, threshold=80))
    plan = plan_of(shop)
    price = shop.products.price
    # 30 yuan off, a quarter of the price lost in resale: the cheapest product that qualifies is the best.
    assert plan is not None
    assert plan.name == "coupon"
    assert price[plan.product] == price[price >= 80_00].min()
    expected = 30_00 - 0.25 * price[plan.product] - 3_00 - 50
    assert plan.profit == pytest.approx(expected)


def test_coupon_with_a_high_threshold_is_not_worth_hunting() -> None:
    assert plan_of(shop_of(coupon(amount=20, threshold=100))) is None


def test_first_order_bonus_is_farmed_with_the_cheapest_order_that_qualifies() -> None:
    scheme = bonus(20, on="first_order")
    scheme["bonus"]["min_order"] = 40
    shop = shop_of(scheme)
    plan = plan_of(shop)
    assert plan is not None
    assert plan.name == "order_bonus"
    price = shop.products.price
    assert price[plan.product] == price[price >= 40_00].min()


def test_sign_up_bonus_is_farmed_without_an_order() -> None:
    plan = plan_of(shop_of(bonus(10)))
    assert plan is not None
    assert (plan.name, plan.product, plan.profit) == ("sign_up_bonus", -1, 20_00 - 3_00)


def test_plans_are_combined_where_that_pays() -> None:
    plan = plan_of(shop_of(bonus(10), coupon(amount=30, threshold=80)))
    assert plan is not None
    assert plan.name == "coupon_and_bonus"


def test_goods_out_of_stock_are_not_planned_with() -> None:
    shop = shop_of(coupon(amount=30, threshold=80))
    best = plan_of(shop)
    assert best is not None
    shop.products.stock[best.product] = 0
    second = plan_of(shop)
    assert second is None or second.product != best.product


def test_lower_beliefs_lower_the_expected_profit() -> None:
    shop = shop_of(bonus(10))
    ring = shop.rings[0]
    profits = []
    for ring.admitted, ring.bonus in ((1.0, 1.0), (0.5, 1.0), (0.5, 0.5), (0.1, 0.5)):
        plan = plan_of(shop, ring)
        profits.append(None if plan is None else plan.profit)
    assert profits == [17_00, 7_00, 2_00, None]


def test_more_caution_stops_a_ring_earlier() -> None:
    assert plan_of(shop_of(bonus(2), fraud__caution="30%")) is not None
    assert plan_of(shop_of(bonus(2), fraud__caution="40%")) is None


# Learning the controls.


def test_ring_finds_the_device_limit_and_buys_devices_while_it_pays() -> None:
    limit = {"risk__accounts_per_device": 2, "fraud__rings": 1}
    rich, poor = shop_of(bonus(20), **limit).run(), shop_of(bonus(5), **limit).run()
    (ring,) = rich.rings
    per_device = np.bincount(rich.people.device[ring.accounts.person[ring._is_in(np.arange(len(ring.accounts)))]])
    assert per_device.max() == 2
    assert len(rich.rings[0].devices) > 10
    assert len(poor.rings[0].devices) == poor.config.fraud.devices
    assert ring.admitted > 0.9


def test_own_devices_share_an_address_so_the_address_limit_bites_first() -> None:
    shop = shop_of(bonus(5), risk__accounts_per_address=2, fraud__rings=1).run()
    assert accounts(shop) == 2
    assert np.unique(shop.people.address[shop.people.fake]).size == 1
    assert np.unique(shop.people.device[shop.people.fake]).size == 4


def test_rings_share_no_devices_and_none_with_honest_people() -> None:
    shop = shop_of(bonus(20), risk__accounts_per_device=2).run()
    people = shop.people
    fake = np.flatnonzero(people.fake)
    assert np.unique(people.ring[fake]).size == 3
    owner = dict(zip(people.device[fake].tolist(), people.ring[fake].tolist(), strict=True))
    assert all(
        owner[device] == ring
        for device, ring in zip(people.device[fake].tolist(), people.ring[fake].tolist(), strict=True)
    )
    assert not set(people.device[~people.fake].tolist()) & set(owner)
    assert not set(people.address[~people.fake].tolist()) & set(people.address[fake].tolist())


def test_ring_spreads_invitations_over_more_accounts_when_bonuses_are_refused() -> None:
    shop = shop_of(bonus(20), risk__invites_per_day=3, fraud__rings=1, fraud__capacity=2000).run()
    (ring,) = shop.rings
    assert ring.pace <= 3
    assert ring.is_active
    assert ring.bonus > 0.9


# Books.


def test_rings_orders_are_the_cheap_single_units_they_planned() -> None:
    shop = shop_of(bonus(20, on="first_order"), horizon="10d").run()
    mine = np.flatnonzero(shop.people.fake[shop.book.person])
    assert mine.size > 20
    assert (shop.book.quantity[mine] == 1).all()
    assert (np.bincount(shop.book.person[mine]).max()) == 1
    assert shop.book.worth[mine].max() <= 2 * shop.products.start_price.min()


def test_ring_profit_is_rewards_withdrawn_plus_resale_less_everything_paid() -> None:
    shop = shop_of(
        bonus(15, on="first_order", withdrawal={"minimum": 10, "fee": "5%"}),
        coupon(amount=15),
        fraud__capacity=60,
        record__journal=True,
    ).run()
    journal, people, book, config = shop.ledger.journal, shop.people, shop.book, shop.config.fraud
    assert journal is not None
    fake_posting = people.fake[journal.person] & (journal.person >= 0)
    withdrawn = journal.amount[fake_posting & (journal.credit == Account.SHARERS)].sum()
    kept = people.fake[book.person] & ~np.isin(book.status, (OrderStatus.REFUNDED, OrderStatus.RETURNED))
    opened = sum(len(ring.accounts) for ring in shop.rings)
    ordered = int(people.fake[book.person].sum())
    bought = sum(len(ring.devices) for ring in shop.rings[:1]) - 3 * config.devices
    costs = opened * config.account_cost + ordered * config.action_cost + bought * config.device_cost
    expected = withdrawn + config.resale * book.worth[kept].sum() - book.pay[kept].sum() - costs
    assert ordered > 0
    assert sum(ring.profit for ring in shop.rings) == pytest.approx(expected)
    assert fraudsters.metrics(shop)["ring_profit"] == pytest.approx(expected / 100)


def test_fake_accounts_do_nothing_of_their_own_will() -> None:
    shop = shop_of(bonus(10)).run()
    fake = np.flatnonzero(shop.people.fake & (shop.people.joined > NEVER))
    assert fake.size > 20
    assert not shop.people.orders[fake].any()
