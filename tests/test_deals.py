"""Deal-prone people: what they choose, by closed forms; that without them nothing changes; which way figures move."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from coupon_shop import EVERYBODY_CLAIMS, coupon, offers_to, shop_with, visits
from scipy import special
from test_top_up import at_the_check_out
from worlds import COUPON, GROUP_BUY, REFERRAL, run, scenario

from agents import consumers
from sim import Shop
from sim.core import draws
from sim.core.draws import Stream
from sim.day.bargains import FURTHEST, browse
from sim.feed import Feed
from sim.offers import NONE, ShareKind, Shares, Source
from sim.people import list_price_chances
from sim.scenario.schema import DealProneness
from sim.schemes.top_up import fill_up

Array = np.ndarray[Any, Any]
RULES = {"amount": 20, "threshold": 80} | EVERYBODY_CLAIMS


def crowd(persons: int, **keys: Any) -> dict[str, Any]:
    network = {"kind": "erdos_renyi", "mean_degree": 4}
    return {"size": persons, "network": network, "members_at_start": 1.0, "tenure": "0h", "deal_proneness": keys}


# What they choose.


def picks(deal_prone: bool, thrill: float, pay: list[int], persons: int = 40_000) -> Array:
    """Return the shares of persons who pick each of some products with a list price of a hundred, or none."""
    n, width = persons, len(pay)
    zeros, person = np.zeros(n, np.float32), np.arange(n, dtype=np.int32)

    def same(values: Any, kind: type) -> Array:
        return np.tile(np.asarray(values, kind), (n, 1))

    picked = consumers.choose(
        np.uint32(5), np.uint32(1), width, person,
        same(range(width), np.int32), same([0] * width, np.int8), same(pay, np.int64), same([100] * width, np.int64),
        same([0] * width, np.float32), person.astype(np.uint32), np.zeros((n, 1), np.float32), zeros - 2, zeros + 2.5,
        zeros, zeros + 1, np.full((n, 1), NONE, np.int32), np.full(n, deal_prone), np.zeros((width, 1), np.float32),
        np.zeros(width, np.float32), 1.0, thrill, 0.5, 0.0, np.empty((0, 0), np.float32),
    )  # fmt: skip
    return np.bincount(picked + 1, minlength=width + 1) / n


@pytest.mark.parametrize(("deal_prone", "thrill"), [(False, 6.0), (True, 0.0), (True, 6.0), (True, 20.0)])
def test_choices_follow_the_logit_with_the_deal_in_the_utility(deal_prone: bool, thrill: float) -> None:
    pay = np.array([100, 90, 75, 64])
    utility = -2 - 2.5 * np.log(pay / 100) + thrill * deal_prone * (1 - pay / 100)
    expected = np.append(1.0, np.exp(utility)) / (1 + np.exp(utility).sum())
    found = picks(deal_prone, thrill, pay.tolist())
    assert np.abs(found - expected).max() < 4 * np.sqrt(0.25 / 40_000)
    assert np.abs(found - expected) == pytest.approx(0, abs=4.5 * np.sqrt(expected * (1 - expected) / 40_000).max())


@pytest.mark.parametrize("conversion", [1e-6, 0.04, 0.5, 0.97])
@pytest.mark.parametrize(("share", "reluctance"), [(0.0, 5.0), (0.19, 5.0), (0.6, 1.0), (1.0, 2.0), (0.3, 0.0)])
def test_at_list_prices_the_crowd_buys_as_the_scenario_says(conversion: float, share: float, reluctance: float) -> None:
    config = DealProneness(share=share, reluctance=reluctance)
    usual, prone = list_price_chances(np.array([False, True]), config, conversion)
    assert (1 - share) * usual + share * prone == pytest.approx(conversion, rel=1e-9)
    if share > 0:
        assert special.logit(usual) - special.logit(prone) == pytest.approx(reluctance, abs=1e-6)
    else:
        assert usual == conversion


def test_intercepts_give_deal_prone_people_their_lower_chance_at_list_prices() -> None:
    keys = {"share": 0.4, "reluctance": 2.0}
    shop = Shop(scenario(people={"deal_proneness": keys}), rng=2)
    people, products = shop.people, shop.products
    slates = shop.recommender.stored(np.arange(len(people)))
    match = (people.taste[:, None, :] * products.topic[slates]).sum(axis=2)
    worth = np.exp(products.quality[slates] + shop.config.people.taste_weight * match).sum(axis=1)
    chance = special.expit(people.intercept + np.log(worth))
    expected = list_price_chances(people.deal_prone, DealProneness(**keys), shop.config.demand.conversion)
    assert people.deal_prone.mean() == pytest.approx(0.4, abs=0.08)
    np.testing.assert_allclose(chance, expected, rtol=1e-4)


# What they look at.


def test_they_fill_half_of_their_slate_with_what_just_reaches_the_threshold() -> None:
    shop = shop_with(RULES, people=crowd(300, share=0.5), catalog={"products": 400}, recommendation={"slate": 8})
    shop.products.price[:] = np.linspace(1_000, 20_000, 400).astype(np.int64)
    offers_to(shop, np.arange(200))  # all but a hundred claim
    coming = visits(np.arange(300))
    coming.quantity[::2] = 2
    coming.source[:20] = Source.RING
    before = np.tile(np.arange(8, dtype=np.int32), (300, 1))
    slates = before.copy()
    browse(shop, coming, slates)
    hunts = shop.people.deal_prone & (np.arange(300) < 200) & (np.arange(300) >= 20)
    assert 50 < hunts.sum() < 140
    np.testing.assert_array_equal(slates[~hunts], before[~hunts])
    np.testing.assert_array_equal(slates[:, :4], before[:, :4])
    worth = shop.products.price[slates[hunts, 4:]] * coming.quantity[hunts, None]
    found = slates[hunts, 4:] >= 8
    assert found.mean() > 0.9  # the rest would have stood there twice
    assert worth[found].min() >= 8_000
    assert worth[found].max() < 8_000 * FURTHEST + 2 * 50
    assert np.median(worth[found]) == pytest.approx(8_000 * math.sqrt(FURTHEST), rel=0.03)


def test_they_find_nothing_without_goods_or_with_no_place_for_them() -> None:
    shop = shop_with(RULES, people=crowd(40, share=1.0), catalog={"products": 60})
    offers_to(shop, np.arange(40))
    slates = np.tile(np.arange(3, dtype=np.int32), (40, 1))
    shop.products.price[:] = 1_000  # nothing reaches the threshold
    browse(shop, visits(np.arange(40)), slates)
    shop.products.price[:], shop.products.stock[:] = 9_000, 0
    browse(shop, visits(np.arange(40)), slates)
    assert (slates == [0, 1, 2]).all()
    nowhere = shop_with(RULES, people=crowd(40, share=1.0, browsing=0.0))
    offers_to(nowhere, np.arange(40))
    browse(nowhere, visits(np.arange(40)), slates)
    assert (slates == [0, 1, 2]).all()


# How they fill up their baskets, and what draws them.


def test_they_fill_up_as_if_the_units_cost_less_by_what_the_deal_is_worth_to_them() -> None:
    people = crowd(4_000, share=1.0, strength=1.0)
    shop = shop_with(RULES, people=people | {"price_sensitivity": {"mean": 2.0, "sigma": 0.0}})
    orders = at_the_check_out(shop, 6_000)
    fill_up(coupon(shop), orders)
    # 40 more for 60 of goods and a sixth of the list price off, which is as good as 60 * (exp(1 / 6 / 2) - 1) yuan.
    needed = (4_000 - 6_000 * math.expm1(1 / 6 / 2)) / 6_000
    assert (orders.quantity == 2).mean() == pytest.approx(1 - needed, abs=0.03)


def test_those_who_do_not_look_at_prices_take_any_discount_that_is_deeper() -> None:
    for strength, share in ((1.0, 1.0), (0.0, 1 / 3)):
        people = crowd(4_000, share=1.0, strength=strength) | {"price_sensitivity": {"mean": 0.0}}
        shop = shop_with(RULES, people=people)
        orders = at_the_check_out(shop, 6_000)
        fill_up(coupon(shop), orders)
        assert (orders.quantity == 2).mean() == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("share", "pull"), [(0.3, 3.0), (0.3, 1.0), (0.7, 0.0)])
def test_gifts_draw_them_as_much_more_as_the_scenario_says(share: float, pull: float) -> None:
    persons, yuan = 20_000, 20.0
    people = {"size": persons, "members_at_start": 0.0, "deal_proneness": {"share": share, "pull": pull}}
    network = {"kind": "erdos_renyi", "mean_degree": 1}
    shop = Shop(scenario(people=people | {"network": network}, sharing={"click": {"gift": 0.5}}), rng=1)
    who = np.arange(persons, dtype=np.int32)
    none = np.full(persons, NONE, np.int32)
    clicks = Shares(
        none, who, np.full(persons, ShareKind.INVITE, np.int8), none, none, none.astype(np.int16),
        np.ones(persons, np.float32), np.full(persons, yuan, np.float32),
    )  # fmt: skip
    signed = np.zeros(persons, bool)
    signed[Feed(shop)._sign_up(clicks).person] = True
    mean = 0.5 / (1 - share + share * pull)
    for prone, effect in ((False, mean), (True, mean * pull)):
        expected = special.expit(special.logit(shop.config.sharing.sign_up) + effect * math.log1p(yuan))
        assert signed[shop.people.deal_prone == prone].mean() == pytest.approx(expected, abs=0.025)
    clicked = Feed(shop)._respond(clicks) <= 1.0
    usual, prone = (special.logit(clicked[shop.people.deal_prone == group].mean()) for group in (False, True))
    assert prone - usual == pytest.approx((pull - 1) * mean * math.log1p(yuan), abs=0.2)


def test_who_is_deal_prone_does_not_depend_on_how_many_are_or_on_who_else_is_there() -> None:
    few, many, more = (
        Shop(scenario(people={"deal_proneness": {"share": share}, "size": size}), rng=3).people.deal_prone
        for share, size in ((0.1, 600), (0.5, 600), (0.1, 601))
    )
    assert (many | ~few).all()
    np.testing.assert_array_equal(more[:600], few)
    np.testing.assert_array_equal(few, draws.uniform(3, Stream.TRAIT, np.arange(600), k=6) < 0.1)


# What comes of it.


def test_without_deal_prone_people_nothing_of_it_matters() -> None:
    others = {"strength": 90.0, "reluctance": 9.0, "pull": 50.0, "browsing": 1.0}
    plain, changed = (
        run(GROUP_BUY, COUPON, REFERRAL, people={"deal_proneness": {"share": 0.0} | keys}) for keys in ({}, others)
    )
    for name in plain.people:
        np.testing.assert_array_equal(plain.people[name], changed.people[name])
    assert plain.metrics().equals(changed.metrics())
    assert plain.ledger.balances().equals(changed.ledger.balances())


@pytest.fixture(scope="module")
def hunted() -> list[Shop]:
    """Return the same shop with a coupon and team prices without, with some and with many deal-prone people."""
    shops = []
    for share in (0.0, 0.2, 0.6):
        prone = {"share": share, "strength": 20.0, "reluctance": 5.0, "pull": 3.0}
        people = {"deal_proneness": prone, "size": 1500}
        shops.append(run(GROUP_BUY, COUPON, people=people, demand={"units": 1}, catalog={"products": 300}))
    return shops


def test_the_more_of_them_the_more_orders_gather_above_the_threshold(hunted: list[Shop]) -> None:
    def near(shop: Shop) -> float:
        """Return the part of the coupons that were used in an order worth hardly more than it must be in a team."""
        used = shop.book.discount[:, 1] > 0
        return float((shop.book.worth[used] < 1.1 * 4_000 / 0.8).mean())

    none, some, many = map(near, hunted)
    assert none < some < many


def test_they_take_deeper_discounts_and_stack_more_of_them(hunted: list[Shop]) -> None:
    book = hunted[1].book
    prone = hunted[1].people.deal_prone[book.person]
    depth, schemes = book.discount.sum(axis=1) / book.worth, (book.discount > 0).sum(axis=1)
    assert depth[prone].mean() > depth[~prone].mean() + 0.07
    assert schemes[prone].mean() > schemes[~prone].mean() + 0.3


def test_a_part_of_the_crowd_redeems_more_than_its_part_of_the_coupons(hunted: list[Shop]) -> None:
    book = hunted[1].book
    used = book.discount[:, 1] > 0
    assert hunted[1].people.deal_prone[book.person[used]].mean() > 1.5 * hunted[1].people.deal_prone.mean()


def test_the_more_of_them_the_more_of_the_sales_is_paid_by_the_shop(hunted: list[Shop]) -> None:
    none, some, many = (shop.metrics()["subsidy_rate"] for shop in hunted)
    assert none < some < many


def test_without_offers_the_crowd_buys_as_much_and_they_less_if_they_are_reluctant() -> None:
    quiet = {"word_of_mouth": 0, "per_visit": 0, "after_order": 0, "on_sign_up": 0, "organic": 0}
    orders = {}
    for share in (0.0, 0.4):
        prone = {"share": share, "reluctance": 5.0}
        people = {"deal_proneness": prone, "size": 2_000, "members_at_start": 1.0, "conformity": {"mean": 0}}
        shop = run(people=people, sharing=quiet, demand={"dropout": "none"}, recommendation={"explore": 0})
        orders[share] = len(shop.book)
        assert shop.people.deal_prone[shop.book.person].mean() <= share / 20
    assert orders[0.4] == pytest.approx(orders[0.0], rel=0.06)


def test_without_offers_nothing_tells_that_there_are_any() -> None:
    plain, hunted = (run(people={"deal_proneness": {"share": share}}) for share in (0.0, 0.5))
    assert plain.metrics().equals(hunted.metrics())
    assert len(plain.book) > 50
    np.testing.assert_array_equal(plain.book.product, hunted.book.product)
