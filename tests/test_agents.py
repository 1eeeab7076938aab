"""KOLs and merchants."""

from __future__ import annotations

import math

import networkx as nx
import numpy as np
import pytest
from scipy import special, stats

from agents.kols import audiences, kol_click_logits
from agents.merchants import UNLIMITED
from sim import Scenario, Shop
from sim.core.ledger import Account, share_of
from sim.offers import Source
from sim.orders import OrderStatus

SMALL = {
    "horizon": "28d",
    "tick": "12h",
    "people": {"size": 600, "members_at_start": "50%"},
    "demand": {"profile": "grocery"},
    "catalog": {"merchants": 6, "products": 60, "categories": 3},
}


def shop_of(changes: dict | None = None, seed: int = 1, graph: object = None) -> Shop:
    return Shop(Scenario.from_dict(SMALL).override(changes or {}), rng=seed, graph=graph)


# KOLs.


def kols_config(**changes: object) -> object:
    return Scenario.from_dict({"kols": changes}).config.kols


def test_click_chance_is_as_configured_at_a_thousand_and_falls_with_audience() -> None:
    config = kols_config(count=1, click="3%", decline=0.3)
    chance = special.expit(kol_click_logits(config, np.array([1e3, 1e4, 1e5, 1e6])))
    assert chance[0] == pytest.approx(0.03)
    assert (np.diff(chance) < 0).all()
    odds = chance / (1 - chance)
    assert odds[0] / odds[3] == pytest.approx(math.exp(0.3 * math.log(1000)))


def test_top_percent_of_default_audiences_hold_what_streamers_do() -> None:
    sigma = kols_config(count=1).audience.sigma
    assert stats.norm.cdf(sigma - stats.norm.ppf(0.99)) == pytest.approx(0.802, abs=0.01)


def test_audiences_are_log_normal_and_never_exceed_the_market() -> None:
    config = kols_config(count=10_000, market=2e9)
    logs = np.log(audiences(config, seed=1))
    assert stats.kstest((logs - math.log(5000)) / 3.2, "norm").pvalue > 1e-4
    assert audiences(kols_config(count=1000, market=1e6), seed=1).max() == 1e6


@pytest.mark.parametrize("affinity", [0.0, 0.7])
def test_share_of_followers_is_as_configured_whatever_the_affinity(affinity: float) -> None:
    shop = shop_of(
        {
            "people.size": 5000,
            "kols.count": 8,
            "kols.audience": {"median": 200_000, "sigma": 0},
            "kols.affinity": affinity,
        }
    )
    share = 0.2 * (1 - shop.config.kols.fake_followers)
    followers = np.array([kol.followers.size for kol in shop.kols])
    # Tastes are one sample of 5000 that all KOLs share, so the tilt leaves some noise beyond the binomial.
    spread = math.sqrt(share * (1 - share) / 5000) + affinity * stats.norm.pdf(stats.norm.ppf(share)) / math.sqrt(5000)
    assert np.abs(followers / 5000 - share).max() < 4.5 * spread


def test_followers_have_a_taste_for_the_kols_field_only_if_affinity_says_so() -> None:
    gaps = {}
    for affinity in (0.0, 0.7):
        shop = shop_of(
            {
                "people.size": 3000,
                "kols.count": 1,
                "kols.audience": {"median": 200_000, "sigma": 0},
                "kols.affinity": affinity,
            }
        )
        (kol,) = shop.kols
        topic = shop.products.topic[shop.products.category == kol.category].mean(axis=0)
        match = shop.people.taste @ (topic / np.linalg.norm(topic))
        gaps[affinity] = match[kol.followers].mean() - match.mean()
    assert abs(gaps[0.0]) < 4 / math.sqrt(540)
    assert gaps[0.7] > 0.5


def test_one_more_person_changes_nobody_elses_following() -> None:
    graph = nx.barabasi_albert_graph(300, 3, seed=1)
    larger = graph.copy()
    larger.add_node(300)
    changes = {"people.size": None, "kols.count": 5, "kols.audience": {"median": 200_000, "sigma": 1}}
    before, after = shop_of(changes, graph=graph), shop_of(changes, graph=larger)
    for old, new in zip(before.kols, after.kols, strict=True):
        assert old.person == new.person
        np.testing.assert_array_equal(old.followers, new.followers[new.followers < 300])


def test_fee_is_paid_from_the_promotion_money_of_the_products_merchant() -> None:
    shop = shop_of({"kols.count": 1, "kols.audience": {"median": 100_000, "sigma": 0}})
    (kol,) = shop.kols
    kol.post(product=7, fee=1234)
    merchant = shop.products.merchant[7]
    assert shop.merchant_books.promotions[merchant] == shop.merchant_books.promotions.sum() == 1234
    assert shop.ledger.total(Account.MERCHANTS, Account.KOLS).sum() == 1234


def test_fee_is_for_claimed_followers_so_bought_ones_raise_the_cost_of_an_exposure() -> None:
    costs = []
    for fake in ("0%", "50%"):
        shop = shop_of(
            {
                "people.size": 4000,
                "kols.count": 1,
                "kols.audience": {"median": 500_000, "sigma": 0},
                "kols.fake_followers": fake,
            }
        )
        costs.append(shop.kols[0].claimed / shop.kols[0].followers.size)
    assert costs == [1, 2]


def test_kol_posts_only_what_a_merchant_pays_for() -> None:
    shop = shop_of({"kols.count": 1, "kols.audience": {"median": 100_000, "sigma": 0}})
    (kol,), books = shop.kols, shop.merchant_books
    books.budget[:] = 999
    assert kol.choose(fee=1000) is None
    payer = shop.products.merchant[shop.products.category == kol.category][0]
    books.budget[payer] = 1000
    assert shop.products.merchant[kol.choose(fee=1000)] == payer
    books.willing[payer] = False
    assert kol.choose(fee=1000) is None


def test_kol_turns_to_another_product_after_posting_the_best_one() -> None:
    shop = shop_of({"kols.count": 1, "kols.audience": {"median": 100_000, "sigma": 0}})
    (kol,) = shop.kols
    chosen = []
    for _ in range(3):
        chosen.append(kol.choose(0))
        kol.post(chosen[-1], 0)
    assert len(set(chosen)) > 1
    rows = np.flatnonzero(shop.products.category == kol.category)
    assert shop.products.price[chosen[0]] == shop.products.price[rows].max()


def test_nobody_is_invited_by_who_is_no_member() -> None:
    """An opinion leader's own person may be a prospect when a post brings others."""
    sections = {"kols.count": 12, "kols.audience": {"median": 300_000, "sigma": 0}, "kols.click": "30%"}
    crowd = {"people.members_at_start": "5%", "people.size": 1500, "sharing.organic": 0.02}
    people = shop_of(sections | crowd).run().people
    invited = np.flatnonzero(people.inviter >= 0)
    assert np.count_nonzero(people.source == Source.KOL) > 20
    assert invited.size > 10
    assert (people.joined[people.inviter[invited]] < people.joined[invited]).all()


def test_kols_earn_fees_and_commission_on_confirmed_orders_of_their_link() -> None:
    shop = shop_of(
        {
            "kols.count": 4,
            "kols.audience": {"median": 300_000, "sigma": 0},
            "kols.click": "30%",
            "kols.decline": 0,
            "kols.reach": "80%",
            "demand.conversion": "20%",
        }
    ).run()
    book = shop.book
    brought = np.flatnonzero((book.kol >= 0) & (book.status == OrderStatus.CONFIRMED))
    assert brought.size > 5
    commission = share_of(book.pay[brought], shop.config.kols.commission)
    np.testing.assert_array_equal(book.rewards[brought], commission)
    fees = shop.recorder.total("kol_fees")
    assert fees > 0
    assert shop.ledger.balance(Account.KOLS) == fees + commission.sum()


def test_small_kols_get_more_clicks_an_exposure_than_stars() -> None:
    clicks_an_exposure = []
    for median in (1000, 1_000_000):
        shop = shop_of(
            {
                "people.size": 3000,
                "horizon": "7d",
                "kols.count": 40 if median == 1000 else 2,
                "kols.reach": "100%",
                "kols.audience": {"median": median, "sigma": 0},
                "kols.market": 10_000 if median == 1000 else 1_500_000,
                "sharing.word_of_mouth": 0,
                "sharing.after_order": 0,
                "sharing.per_visit": 0,
                "sharing.on_sign_up": 0,
                "sharing.click.fatigue": 0,
                "kols.fee": 0,
            }
        ).run()
        assert shop.recorder.total("exposures") > 3000
        clicks_an_exposure.append(shop.recorder.total("clicks") / shop.recorder.total("exposures"))
    assert clicks_an_exposure[0] > 3 * clicks_an_exposure[1]


# Merchants.


def test_merchants_running_totals_are_what_the_order_book_says() -> None:
    shop = shop_of(
        {
            "demand.conversion": "20%",
            "operations.return_rate": "30%",
            "sharing.team": "5%",
            "schemes": [
                {"kind": "group_buy", "team_size": 2, "discount": "10%", "merchant_share": "50%"},
                {"kind": "coupon", "amount": 5, "merchant_share": "30%", "claim_rate": "100%"},
            ],
        }
    ).run()
    book, books, config = shop.book, shop.merchant_books, shop.config
    kept = ~np.isin(book.status, (OrderStatus.REFUNDED, OrderStatus.RETURNED))
    assert {OrderStatus.REFUNDED, OrderStatus.RETURNED} <= set(book.status.tolist())

    def by_merchant(amounts: np.ndarray, rows: np.ndarray) -> np.ndarray:
        return np.bincount(book.merchant[rows], weights=amounts[rows], minlength=len(books))

    np.testing.assert_array_equal(books.sales, by_merchant(book.worth, kept))
    np.testing.assert_array_equal(books.orders, np.bincount(book.merchant, minlength=len(books)))
    np.testing.assert_array_equal(books.promotions, by_merchant(book.merchant_discount, kept))
    assert books.promotions.sum() > 0
    parcels = np.where(book.status == OrderStatus.RETURNED, 2, 1) * (book.status != OrderStatus.REFUNDED)
    costs = by_merchant(book.cost + share_of(book.worth, config.catalog.take_rate), kept)
    shipping = by_merchant(parcels * config.operations.shipping, np.ones(len(book), bool))
    np.testing.assert_array_equal(books.costs, costs + shipping)


def reviewed(shop: Shop, merchant: int = 0, **period: int) -> Shop:
    """Let a merchant review a period with the given totals."""
    for name, amount in period.items():
        shop.merchant_books[name][merchant] += amount
    shop.merchants[merchant].review()
    return shop


def test_merchant_below_its_margin_floor_stops_paying_and_raises_prices() -> None:
    shop = shop_of()
    rows, start = shop.merchants[0].products, shop.products.start_price
    reviewed(shop, sales=100_00, costs=90_00, promotions=6_00)
    assert not shop.merchant_books.funds[0]
    assert shop.merchant_books.funds[1:].all()
    np.testing.assert_array_equal(shop.products.price[rows], np.rint(start[rows] * 1.03))
    reviewed(shop, sales=100_00, costs=90_00)
    assert shop.merchant_books.funds[0]  # over both periods it keeps 7.9%: the earlier one counts three quarters


def test_first_period_is_funded_without_limit_and_later_ones_by_usual_sales() -> None:
    shop = shop_of()
    books = shop.merchant_books
    assert books.funds.all()
    assert (books.budget == UNLIMITED).all()
    reviewed(shop, sales=100_00)
    assert books.budget[0] == 15_00
    books.charge(np.array([0]), np.array([14_99]))
    assert books.funds[0]
    books.charge(np.array([0, 0]), np.array([1, 0]))
    assert not books.funds[0]
    reviewed(shop, sales=100_00)
    assert books.funds[0]


@pytest.mark.parametrize(("orders", "answer"), [(122, 1), (79, -1), (110, 0), (92, 0)])
def test_demand_is_strong_or_weak_beyond_luck_at_the_usual_share_of_the_market(orders: int, answer: int) -> None:
    shop = shop_of()
    books = shop.merchant_books
    books.orders[:] = 50
    for merchant in shop.merchants:
        merchant.review()
    # The whole market doubles: 100 of 600 orders are what is usual.
    books.orders += 100
    books.orders[0] += orders - 100
    books.orders[1] -= orders - 100
    assert shop.merchants[0].demand() == answer


def test_prices_of_merchants_without_promotions_do_not_drift() -> None:
    """Every merchant's orders are chance around its usual share; the mean price must stay where it began."""
    shop = shop_of({"catalog.merchants": 40, "catalog.products": 400})
    books, rng = shop.merchant_books, np.random.default_rng(1)
    for week in range(26):
        books.orders += rng.poisson(4 + week / 2, len(books))
        for merchant in shop.merchants:
            merchant.review()
    assert abs(np.log(shop.products.price / shop.products.start_price).mean()) < 0.02


def test_prices_follow_demand_within_the_band_and_never_below_cost() -> None:
    shop = shop_of({"catalog.margin": "10%", "merchants.price_band": "15%"})
    merchant, products = shop.merchants[0], shop.products
    rows = merchant.products
    start, cost = products.start_price[rows], products.cost[rows]
    for _ in range(12):
        merchant.reprice(1.03)
    np.testing.assert_array_equal(products.price[rows], np.floor(start * 1.15))
    for _ in range(24):
        merchant.reprice(0.97)
    np.testing.assert_array_equal(products.price[rows], np.maximum(np.ceil(start * 0.85), cost))
    assert (cost > start * 0.85).any()


def test_order_of_reviews_does_not_matter() -> None:
    prices = []
    for backwards in (False, True):
        shop = shop_of()
        books = shop.merchant_books
        for orders in ([50, 50, 50, 50, 50, 50], [90, 10, 50, 50, 50, 50]):
            books.orders[:] += orders
            for merchant in shop.merchants[::-1] if backwards else shop.merchants:
                merchant.review()
        prices.append(shop.products.price.copy())
    np.testing.assert_array_equal(*prices)
    assert (prices[0] != shop.products.start_price).any()


def test_stock_is_reordered_up_to_the_demand_of_cover_and_lead_time() -> None:
    shop = shop_of({"catalog.stock": {"initial": 30, "cover": "14d", "lead_time": "7d"}})
    products, merchant = shop.products, shop.merchants[0]
    first, second, idle = merchant.products[:3]
    products.sold[[first, second]] += [10, 25]
    products.stock[[first, second]] -= [10, 25]
    merchant.review()
    assert products.coming[first] == 3 * 10 - 20
    assert products.coming[second] == 3 * 25 - 5
    assert products.coming[idle] == 0
    merchant.review()
    assert products.coming[second] == 3 * 25 - 5


def test_product_that_ran_out_is_reordered_by_what_it_sold_before() -> None:
    shop = shop_of({"catalog.stock": {"initial": 20, "cover": "14d", "lead_time": "7d"}})
    products, merchant = shop.products, shop.merchants[0]
    row = merchant.products[0]
    products.sold[row], products.stock[row] = 20, 0
    merchant.review()
    products.coming[row] = 0
    merchant.review()
    assert products.coming[row] == 3 * 20


def test_shortages_are_rarer_when_merchants_restock_than_when_goods_never_come() -> None:
    def short(lead_time: str) -> int:
        stock = {"initial": 3, "cover": "28d", "lead_time": lead_time}
        return int(shop_of({"catalog.stock": stock, "demand.conversion": "20%"}).run().products.short.sum())

    assert short("1d") < 0.8 * short("90d")
