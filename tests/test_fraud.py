"""Fraud rings: they come when it pays, and go when it does not."""

from __future__ import annotations

import numpy as np
import pytest

from agents import bounties, fraudsters
from agents.fraudsters import Ring
from agents.playbooks import Course, open_schemes, playbook
from sim import Scenario, Shop
from sim.core.ledger import Account
from sim.labels import Fraud
from sim.offers import NONE, Orders, Source
from sim.orders import OrderStatus
from sim.people import NEVER
from sim.schemes.earnings import RewardKind
from sim.schemes.teams import TeamState
from tests.worlds import COUPON, GROUP_BUY, REFERRAL, scenario

SMALL = {
    "horizon": "21d",
    "tick": "4h",
    "people": {"size": 200, "members_at_start": "20%"},
    "catalog": {"merchants": 3, "products": 40, "categories": 3, "price": {"median": 60, "sigma": 0.8}},
    "fraud": {"rings": 3, "enter": "2d", "skill": 0.0},
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
    assert all(ring.beliefs.kept()[:, 0].max() < 0.3 for ring in shop.rings)


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


def test_how_many_rings_are_active_is_recorded_day_by_day() -> None:
    shop = shop_of(bonus(20), horizon="12d", fraud__enter="6d", fraud__capacity=40).run()
    daily = shop.history()["rings_active"]
    assert daily.iloc[0] < daily.max() == 3
    assert daily.iloc[-1] == fraudsters.metrics(shop)["rings_active"] == 0  # all that they can open is open


def test_capacity_is_never_exceeded() -> None:
    shop = shop_of(bonus(20), fraud__capacity=25, fraud__batch=10).run()
    assert all(20 <= len(ring.accounts) <= 25 for ring in shop.rings)


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


def test_bounty_of_a_basket_is_what_the_rules_promise_for_all_of_it() -> None:
    shop = shop_of(
        {
            **bonus(9, on="first_order", rates=["5%"], fixed={1: [3]}),
            "bonus": {"inviter": 9, "invitee": 0, "on": "first_order", "min_order": 150},
        },
        coupon(threshold=150),
    )
    shop.products.price[:3] = 50_00
    found = bounties.read_rules(shop, np.array([0, 0, 1]), np.array([1, 4, 4]))
    assert found.discount.tolist() == found.by_platform.tolist() == [0, 20_00, 20_00]
    # Four are worth 200 yuan, of which 180 are paid; product 1 has a commission of 3 yuan a unit.
    np.testing.assert_allclose(found.on_order, [0.05 * 50_00, 9_00 + 0.05 * 180_00, 9_00 + 4 * 3_00])


def test_second_accounts_reckon_with_the_whole_order() -> None:
    shop = shop_of(coupon(threshold=150), fraud__second_accounts={"share": 1.0, "scruple": 1})
    shop.products.price[:] = 50_00
    n, none = 2, np.full(2, NONE, np.int32)
    worth = np.array([50_00, 200_00])
    orders = Orders(
        np.arange(n, dtype=np.int32), np.zeros(n, np.int32), np.array([1, 4], np.int32), np.zeros(n, np.int8), none,
        worth, worth, np.zeros((n, 1), np.int64), np.zeros(n, np.int8), none, none, none.astype(np.int64),
    )  # fmt: skip
    assert shop.second_accounts._gain(orders).tolist() == [0, 20_00]


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


def course_of(shop: Shop, ring: Ring | None = None) -> Course | None:
    return (ring or shop.rings[0]).best_course()


def settled(shop: Shop) -> Shop:
    """The shop, with rings that have their devices."""
    for ring in shop.rings:
        ring._settle_in()
    return shop


def first_goods(course: Course) -> int:
    play = course.play
    return next(play.product[step.goods] for step in play.exploit.plan.steps if step.goods is not None)


def test_coupon_hunter_orders_where_the_coupon_outweighs_the_loss_of_resale() -> None:
    shop = settled(shop_of(coupon(amount=30, threshold=80)))
    course = course_of(shop)
    price = shop.products.price
    # 30 yuan off, a quarter of the price lost in resale: the cheapest product that qualifies is the best.
    assert course is not None
    assert course.play.exploit.fraud == Fraud.HUNTER
    assert price[first_goods(course)] == price[price >= 80_00].min()
    profit, cost = shop.rings[0].expected(course, 1)
    assert profit == pytest.approx(30_00 - 0.25 * price[first_goods(course)] - 3_00 - 50)
    assert cost == 30_00 - profit


def test_coupon_with_a_high_threshold_is_not_worth_hunting() -> None:
    assert course_of(settled(shop_of(coupon(amount=20, threshold=100)))) is None


def test_plan_is_chosen_by_the_prices_of_the_shop_at_hand_and_its_stock() -> None:
    shop = settled(shop_of(coupon(amount=30, threshold=80), seed=3))
    best = course_of(shop)
    assert best is not None
    shop.products.stock[first_goods(best)] = 0
    second = course_of(shop)
    assert second is None or first_goods(second) != first_goods(best)
    shop.products.price *= 3
    assert course_of(shop) is None or shop.products.price[first_goods(course_of(shop))] >= 80_00


def test_lower_beliefs_lower_the_expected_profit() -> None:
    ring = settled(shop_of(bonus(10))).rings[0]
    course = course_of(ring.shop, ring)
    assert course is not None
    number = course.play.exploit.plan.accounts
    profits = []
    for ring.beliefs.admitted, ring.beliefs.suspicion in ((1.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.1, 0.5)):
        profits.append(ring.expected(course, number)[0])
    income = 20_00 * (number - 1)
    assert profits == pytest.approx([share * income - number * 3_00 for share in (1.0, 0.5, 0.25, 0.05)])
    assert course_of(ring.shop, ring) is None


def test_what_is_known_of_a_plan_goes_before_what_is_believed_of_all() -> None:
    ring = settled(shop_of(bonus(10))).rings[0]
    course = course_of(ring.shop, ring)
    assert course is not None
    at = ring.beliefs.number_of(course)
    before = ring.expected(course, 6)[0]
    ring.beliefs.learn_courses(np.array([at]), np.array([0.25]))
    assert ring.expected(course, 6)[0] < before
    assert ring.beliefs.caught[at] == 0.75
    assert course_of(ring.shop, ring).key != course.key
    ring.beliefs.learn_courses(np.array([at, at]), np.array([1.0, 0.5]))
    assert ring.beliefs.caught[at] == pytest.approx(0.75 / 2 + 0.25 / 2)


@pytest.mark.parametrize(
    "rule",
    [
        {"inviter": 8, "invitee": 0, "on": "sign_up"},
        {"inviter": 16, "on": "first_order"},
        {"inviter": 12, "invitee": 4},
    ],
)
def test_without_controls_a_ring_gets_what_it_was_promised_and_believes_so(rule: dict[str, object]) -> None:
    shop = shop_of({"kind": "referral", "rates": [], "bonus": rule}, fraud__rings=1, fraud__capacity=200).run()
    (ring,) = shop.rings
    rewards, discounts, to_come = ring._received_by_group()
    over = ring.groups.judged & (to_come == 0)
    assert over.sum() > 5
    np.testing.assert_array_equal((rewards + discounts)[over], (ring.groups.bonus + ring.groups.discount)[over])
    assert ring.beliefs.kept().min() == 1.0
    assert max(ring.beliefs.caught) == 0.0
    assert rewards.sum() + discounts.sum() == ring.shop.people.benefit[ring.accounts.person].sum()


def test_goods_count_when_they_have_come_and_groups_are_judged_then() -> None:
    shop = settled(shop_of(coupon(amount=30, threshold=80), fraud__rings=1))
    (ring,) = shop.rings
    while not len(ring._own_orders()):
        shop.step()
    rewards, discounts, to_come = ring._received_by_group()
    assert rewards.sum() == discounts.sum() == 0
    assert to_come.sum() == len(ring._own_orders())
    assert ring.profit < 0
    assert shop.metrics()["fraud_pending"] == shop.metrics()["fraud_loss"] > 0
    assert not ring.groups.judged.any()
    while not ring.groups.judged.any():
        shop.step()
    assert (shop.book.delivered[ring._own_orders()] > 0).all()
    assert ring._received_by_group()[1].sum() == shop.book.discount[ring._own_orders()].sum() > 0
    assert shop.metrics()["fraud_pending"] == 0 < shop.metrics()["fraud_loss"]


def test_scheme_from_elsewhere_may_call_anything_its_payouts() -> None:
    shop = shop_of(coupon(), bonus(10))
    shop.schemes[0].payouts = 3  # type: ignore[attr-defined]
    assert shop.run().metrics()["fraud_pending"] >= 0
    assert all(np.isfinite(ring.profit) for ring in shop.rings)


def test_more_caution_stops_a_ring_earlier() -> None:
    # The best star of six brings 5 x 4.00 for 6 accounts of 3 yuan: a return of a ninth.
    assert course_of(settled(shop_of(bonus(2), fraud__caution="10%"))) is not None
    assert course_of(settled(shop_of(bonus(2), fraud__caution="12%"))) is None


def test_playbook_is_searched_once_for_all_rings_seeds_and_horizons_and_anew_for_other_rules() -> None:
    first, second = (shop_of(bonus(10), seed=seed, horizon=horizon) for seed, horizon in ((1, "21d"), (2, "30d")))
    books = [playbook(shop.scenario, open_schemes(shop), shop.seed) for shop in (first, second)]
    assert books[0] is books[1]
    other = shop_of(bonus(11))
    assert playbook(other.scenario, open_schemes(other), 1) is not books[0]


def test_ring_shifts_to_another_plan_when_schemes_open_and_close() -> None:
    shop = shop_of(
        bonus(10, end="10d", name="r"), coupon(amount=40, threshold=80, start="10d"), fraud__rings=1, horizon="25d"
    ).run()
    (ring,) = shop.rings
    kinds = [shop.people.fraud[ring.accounts.person[ring.accounts.group == g]][0] for g in range(len(ring.groups))]
    assert kinds[0] == Fraud.FARM
    assert kinds[-1] == Fraud.HUNTER


def test_group_plays_its_plan_step_by_step_and_fills_its_own_team() -> None:
    teams = {"kind": "group_buy", "team_size": 3, "discount": "40%", "window": "24h", "lobby": 0.0}
    shop = shop_of(teams, fraud__rings=1, horizon="12d").run()
    (ring,) = shop.rings
    (scheme,) = shop.schemes
    own = np.isin(scheme.teams.opener, ring.accounts.person)
    assert own.sum() > 5
    over = scheme.teams.deadline < shop.clock.tick
    assert (scheme.teams.state[own & over] == TeamState.FILLED).all()
    assert (shop.people.fraud[ring.accounts.person] == Fraud.TEAM_FILLER).all()
    assert ring.profit > 0


def test_goods_are_sent_back_where_the_bonus_is_out_before() -> None:
    rule = {"inviter": 20, "invitee": 20, "on": "first_order", "min_order": 150}
    scheme = {"kind": "referral", "bonus": rule, "rates": [], "freeze": "1d", "withdrawal": {"minimum": 0}}
    shop = shop_of(scheme, fraud__rings=1, horizon="30d").run()
    (ring,) = shop.rings
    orders = ring._own_orders()
    delivered = orders[shop.book.delivered[orders] >= 0]
    closed = delivered[shop.book.closed[delivered] >= 0]
    assert closed.size > 10
    assert (shop.book.status[closed] == OrderStatus.RETURNED).all()
    assert (shop.people.fraud[ring.accounts.person] == Fraud.REFUND_ABUSE).all()
    assert ring.profit > 0


# Learning the controls.


def test_ring_finds_the_device_limit_and_buys_devices_while_it_pays() -> None:
    limit = {"risk__accounts_per_device": 2, "fraud__rings": 1}
    rich, poor = shop_of(bonus(20), **limit).run(), shop_of(bonus(5), **limit).run()
    (ring,) = rich.rings
    per_device = np.bincount(rich.people.device[ring.accounts.person[ring._is_in()]])
    assert per_device.max() == 2
    assert len(rich.rings[0].devices) > 10
    assert len(poor.rings[0].devices) == poor.config.fraud.devices
    assert ring.beliefs.admitted > 0.9


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


def test_ring_invites_no_more_through_an_account_than_is_rewarded_once_it_has_learnt_that() -> None:
    shop = shop_of(bonus(20), risk__invites_per_day=3, fraud__rings=1, fraud__capacity=2000).run()
    (ring,) = shop.rings
    late = ring.accounts.signs_up > shop.clock.tick // 2
    inviters, invited = np.unique(
        np.stack([ring.accounts.inviter[late], ring.accounts.signs_up[late] // 6]), axis=1, return_counts=True
    )
    by_somebody = inviters[0] >= 0
    assert by_somebody.sum() > 10
    assert np.median(invited[by_somebody]) <= 3
    assert ring.is_active
    assert ring.profit > 0


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
    kept = people.fake[book.person] & np.isin(book.status, (OrderStatus.DELIVERED, OrderStatus.CONFIRMED))
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


@pytest.mark.parametrize("rings", [0, 3])
def test_what_people_expect_of_invitations_and_teams_comes_from_each_other_and_not_from_rings(rings):
    """Bonuses that took no message and teams that rings fill themselves are not talked about."""
    world = scenario(
        REFERRAL, {**GROUP_BUY, "team_size": 2}, COUPON, horizon="20d", people={"size": 300},
        fraud={"rings": rings, "enter": "24h", "capacity": 40, "skill": 0, "account_cost": 1, "device_cost": 1},
    )  # fmt: skip
    shop = Shop(world, rng=2).run()
    referral, teams = shop.schemes[0], shop.schemes[1].book
    source, rewards = shop.people.source, referral.payouts.rewards
    told = (rewards.kind == RewardKind.INVITER_BONUS) & (source[rewards.origin] != Source.RING)
    assert referral._bonuses_earned == told.sum()
    over = teams.teams.closed >= 0
    honest = shop.book.source[teams.teams.order] != Source.RING
    assert teams.closed == (over & honest).sum()
    assert (over & ~honest).any() == (rings > 0)
