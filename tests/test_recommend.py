"""Recommenders: what they know, what they show, and whether it is worth showing."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from implicit.nearest_neighbours import CosineRecommender
from scipy import sparse, stats
from threadpoolctl import threadpool_limits

import sim.recommend
from sim import Scenario, Shop
from sim.catalog import PLENTY, Products
from sim.core.clock import Clock
from sim.core.graph import Graph
from sim.offers import NONE, Orders, Source, Visits
from sim.people import People, Status
from sim.recommend import create, hybrid, registry
from sim.recommend.content import smoothing
from sim.recommend.hybrid import add_standardised
from sim.recommend.log import Evidence, Log
from sim.recommend.rates import SPREAD, posterior, sampled
from sim.scenario.schema import RecommendationConfig
from tests.worlds import scenario

MODELS = ["popularity", "content", "collaborative", "social", "hybrid", "random"]
FITTED = MODELS[:-1]
PERSONS, PRODUCTS, CATEGORIES, DIMENSIONS = 600, 80, 8, 4


def small_shop(*, products=PRODUCTS, persons=PERSONS, extra=0, ties=None, seed=5, explore=0.0, **settings):
    """What a recommender sees of a shop, with everyone a member; extra persons know nobody."""
    rng = np.random.default_rng(1)
    catalogue = Products(products, topic=DIMENSIONS)
    catalogue.category[:] = np.arange(products) % CATEGORIES
    catalogue.price[:] = rng.integers(1000, 9000, products)
    catalogue.stock[:] = PLENTY
    centres = rng.standard_normal((CATEGORIES, DIMENSIONS))[catalogue.category]
    catalogue.topic[:] = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    catalogue.quality[:] = rng.standard_normal(products)
    people = People(persons + extra, taste=DIMENSIONS)
    people.uid[:] = np.arange(persons + extra)
    people.taste[:persons] = rng.standard_normal((persons, DIMENSIONS))
    people.status[:] = Status.MEMBER
    source, target = rng.integers(persons, size=(2, 4 * persons)) if ties is None else ties
    graph = Graph.from_edges(source, target, persons=persons).with_isolated(extra)
    config = SimpleNamespace(recommendation=RecommendationConfig(explore=explore, **settings))
    return SimpleNamespace(
        seed=seed, clock=Clock(1, 24 * 90), config=config, people=people, products=catalogue, graph=graph
    )


def tasteful_orders(shop, orders_each=6, strength=3.0):
    """Orders that persons' tastes explain, by the logit of the demand; the last of each person's is the last row."""
    rng = np.random.default_rng(2)
    utility = strength * shop.people.taste[:PERSONS] @ shop.products.topic.T + 0.5 * shop.products.quality
    noise = rng.gumbel(size=(orders_each, *utility.shape))
    product = (utility + noise).argmax(axis=2).T
    return np.repeat(np.arange(PERSONS), orders_each), product.ravel()


def fitted(shop, person=None, product=None, friends_know=True):
    """The shop's recommender after everyone bought what their tastes explain."""
    if person is None:
        person, product = tasteful_orders(shop)
    if friends_know:
        for who, what in zip(person, product, strict=True):
            shop.people.recent[who] = [what, *shop.people.recent[who, :-1]]
    recommender = create(shop)
    recommender.observe_history(person, product)
    recommender.fit()
    return recommender


def visits_of(persons):
    persons = np.asarray(persons, np.int32)
    none = np.full(persons.size, -1, np.int32)
    return Visits(persons, none.astype(np.int8), none, none, none, none, np.ones(persons.size, np.int32))


def orders_of(person, product):
    none, money = np.full(person.size, -1, np.int32), np.zeros(person.size, np.int64)
    return Orders(
        person, product, none, none, none, money, money, money[:, None], none, none, none, none.astype(np.int64)
    )


EVERYONE = np.arange(PERSONS)


# What every recommender must keep.


@pytest.mark.parametrize("model", MODELS)
def test_slates_hold_distinct_products_of_the_catalogue(model):
    recommender = fitted(small_shop(model=model, slate=10, explore=0.5))
    slates = recommender.slates(visits_of(EVERYONE))
    assert slates.shape == (PERSONS, 10)
    assert slates.dtype == np.int32
    assert slates.min() >= 0 and slates.max() < PRODUCTS
    assert (np.diff(np.sort(slates, axis=1), axis=1) > 0).all()


@pytest.mark.parametrize("model", MODELS)
def test_a_catalogue_smaller_than_the_slate_is_shown_whole_and_the_rest_stays_empty(model):
    shop = small_shop(model=model, slate=12, products=7, explore=0.5)
    recommender = fitted(shop, np.array([0, 1, 1]), np.array([3, 2, 3]))
    slates = recommender.slates(visits_of(EVERYONE))
    assert (np.sort(slates[:, :7], axis=1) == np.arange(7)).all()
    assert (slates[:, 7:] == -1).all()


@pytest.mark.parametrize("model", MODELS)
def test_products_out_of_stock_are_not_shown(model):
    shop = small_shop(model=model, explore=0.5)
    gone = np.arange(0, PRODUCTS, 3)
    shop.products.stock[gone] = 0
    recommender = fitted(shop)
    slates = recommender.slates(visits_of(EVERYONE))
    assert not np.isin(slates, gone).any()
    shop.products.stock[:] = 0
    recommender.fit()
    assert (recommender.slates(visits_of(EVERYONE)) == -1).all()


@pytest.mark.parametrize("algorithm", ["als", "item_knn"])
@pytest.mark.parametrize("model", MODELS)
def test_slates_do_not_depend_on_what_a_platform_cannot_know(model, algorithm):
    shop = small_shop(model=model, algorithm=algorithm)
    honest = fitted(shop)
    before = honest.stored(EVERYONE)
    for secret in (shop.people.taste, shop.products.topic, shop.products.quality, shop.people.intercept):
        secret[:] = np.nan
    shop.people.fake[:] = True
    shop.people.ring[:] = 7
    honest.fit()
    np.testing.assert_array_equal(honest.stored(EVERYONE), before)


@pytest.mark.parametrize("algorithm", ["als", "item_knn"])
@pytest.mark.parametrize("model", MODELS)
def test_one_more_isolated_person_without_orders_changes_no_other_slate(model, algorithm):
    alone = small_shop(model=model, algorithm=algorithm, explore=0.2)
    person, product = tasteful_orders(alone)
    few = person % 5 < 3  # some persons without orders
    slates = fitted(alone, person[few], product[few]).slates(visits_of(EVERYONE))
    crowd = small_shop(model=model, algorithm=algorithm, explore=0.2, extra=1)
    with_one_more = fitted(crowd, person[few], product[few]).slates(visits_of(np.arange(PERSONS + 1)))
    np.testing.assert_array_equal(with_one_more[:PERSONS], slates)


@pytest.mark.parametrize("algorithm", ["als", "item_knn"])
def test_slates_do_not_depend_on_the_threads_of_linear_algebra(algorithm):
    def slates(threads):
        with threadpool_limits(threads):
            return fitted(small_shop(algorithm=algorithm)).slates(visits_of(EVERYONE))

    np.testing.assert_array_equal(slates(1), slates(2))


def test_slates_do_not_depend_on_how_many_threads_make_them(monkeypatch):
    alone = fitted(small_shop(model="hybrid")).stored(EVERYONE)
    monkeypatch.setattr(hybrid, "WORTH_A_THREAD", 1)
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 3)
    np.testing.assert_array_equal(fitted(small_shop(model="hybrid")).stored(EVERYONE), alone)


@pytest.mark.parametrize("model", FITTED)
def test_scores_of_a_person_do_not_depend_on_who_else_is_scored(model):
    recommender = fitted(small_shop(model=model))
    together = recommender.scores(EVERYONE)
    assert together.dtype == np.float32
    np.testing.assert_array_equal(recommender.scores(EVERYONE[37:38]), together[37:38])


@pytest.mark.parametrize("model", FITTED)
def test_persons_of_whom_nothing_is_known_are_shown_what_is_popular(model):
    shop = small_shop(model=model, extra=1)
    person, product = tasteful_orders(shop)
    recommender = fitted(shop, person, product)
    ranking = recommender.ranked[recommender.panels(np.array([PERSONS]))[0]]
    shown = recommender.stored(np.array([PERSONS]))[0]
    np.testing.assert_array_equal(shown, ranking[:12])
    sold = np.bincount(product, minlength=PRODUCTS)
    assert sold[shown].mean() > 0.9 * np.sort(sold)[::-1][:12].mean()


def test_who_comes_after_the_last_retraining_gets_a_slate_when_they_come():
    shop = small_shop(model="social", slate=3, persons=3, ties=([0], [1]))
    shop.people.status[0] = Status.PROSPECT
    recommender = fitted(shop, np.full(200, 1), np.full(200, 7))
    shop.people.status[0] = Status.MEMBER
    assert recommender.slates(visits_of([0]))[0, 0] == 7
    late = shop.people.append(1, uid=99, status=Status.MEMBER)
    assert recommender.slates(visits_of(late))[0, 0] == 7  # the only product that was ever bought


# Exploration.


def test_each_place_explores_with_its_chance_a_uniform_product():
    shop = small_shop(model="popularity", slate=10, explore=0.3)
    recommender = fitted(shop)
    exploited = recommender.stored(EVERYONE)
    counts, replaced, places = np.zeros(PRODUCTS), 0, 0
    for tick in range(40):
        shop.clock.tick = tick
        slates = recommender.slates(visits_of(EVERYONE))
        changed = slates != exploited
        counts += np.bincount(slates[changed], minlength=PRODUCTS)
        replaced, places = replaced + changed.sum(), places + changed.size
    # A drawn product that is shown already changes nothing: 10 of the 80 are, a few of them as explored ones.
    expected = 0.3 * (1 - 10 / PRODUCTS)
    assert abs(replaced / places - expected) < 4 * np.sqrt(expected / places)
    unpopular = np.setdiff1d(np.arange(PRODUCTS), exploited)
    assert stats.chisquare(counts[unpopular]).pvalue > 1e-4


def test_exploration_is_addressed_by_visitor_and_tick():
    shop = small_shop(model="popularity", explore=0.5)
    recommender = fitted(shop)
    together = recommender.slates(visits_of(EVERYONE))
    np.testing.assert_array_equal(recommender.slates(visits_of(EVERYONE[::-7])), together[::-7])
    shop.clock.tick = 1
    assert (recommender.slates(visits_of(EVERYONE)) != together).any(axis=1).mean() > 0.9


# Single models.


def evidence_of(orders, impressions):
    nothing = sparse.csr_matrix((0, len(orders)), dtype=np.float32)
    return Evidence(np.zeros(0, np.int64), nothing, np.asarray(orders, float), np.asarray(impressions, float))


@pytest.mark.parametrize("shape", [1.5, 6.0])
def test_rates_are_shrunk_as_much_as_products_are_alike(shape):
    rng = np.random.default_rng(3)
    impressions = rng.integers(100, 3000, 4000)
    rates = rng.gamma(shape, 0.01 / shape, 4000)
    orders = rng.poisson(impressions * rates)
    found, prior = posterior(evidence_of(orders, impressions))
    np.testing.assert_allclose((found - orders), shape, rtol=0.15)
    assert prior == pytest.approx(shape / 0.01, rel=0.2)
    shrunk, raw = found / (prior + impressions), orders / impressions
    assert np.square(shrunk - rates).mean() < 0.95 * np.square(raw - rates).mean()


def test_panels_differ_by_half_the_spread_of_what_is_not_known():
    evidence = evidence_of([3, 30, 300] * 40, [300, 3000, 30_000] * 40)
    shape, prior = posterior(evidence)
    cube_roots = np.exp(sampled(evidence, seed=1, tick=5) / 3)
    exact = np.cbrt(shape / (prior + evidence.impressions))
    np.testing.assert_allclose((cube_roots / exact).mean(axis=0), 1 - 1 / (9 * shape), atol=0.03)
    for kind in range(3):
        found = (cube_roots / exact)[:, kind::3].std()
        assert found == pytest.approx(SPREAD / (3 * np.sqrt(shape[kind])), rel=0.06)
    assert (sampled(evidence, seed=1, tick=6) != sampled(evidence, seed=1, tick=5)).all()


def test_of_products_sold_alike_the_one_shown_less_is_more_popular():
    scores = sampled(evidence_of([20, 20, 0, 0, 1], [4000, 1000, 2000, 0, 0]), seed=1, tick=0).mean(axis=0)
    assert scores[1] > scores[0]
    assert scores[3] > scores[2]  # of what nobody bought, the one that had no chance


def test_without_any_order_products_are_alike_to_begin_with():
    shape, prior = posterior(evidence_of([0, 0, 0], [0, 0, 0]))
    assert np.ptp(shape / prior) == 0
    assert np.isfinite(sampled(evidence_of([0, 0, 0], [0, 9, 0]), seed=1, tick=0)).all()


def shown(recommender, visits, searching=()):
    """The slates of visitors who look at them."""
    slates = recommender.slates(visits)
    recommender.note_shown(visits, slates, np.array(searching, np.int64))
    return slates


def test_orders_of_those_who_search_themselves_say_nothing_of_how_slates_sell():
    recommender = fitted(small_shop(model="popularity"), np.array([0]), np.array([11]))
    slates = shown(recommender, visits_of([0, 1]), searching=[1])
    recommender.observe_orders(orders_of(np.array([0, 1]), slates[:, 3]))
    assert recommender.log.by_link.tolist() == [False, False, True]
    assert recommender.impressions.recent.sum() == slates.shape[1]


def test_what_counts_as_shown_is_what_visitors_saw():
    """An account that was sent to be seen looks at nothing, and a coupon hunter's last places are not the slate's."""
    coupon = {"kind": "coupon", "amount": 10, "threshold": 60, "claim_rate": 1.0}
    shop = Shop(scenario(coupon, people={"deal_proneness": {"share": 0.5, "browsing": 0.5}}), rng=1)
    members = np.flatnonzero(shop.people.is_member)
    visits = visits_of(members)
    visits.source[:50] = Source.RING
    shop._offer(visits, np.zeros((members.size, 1), np.int32))  # they claim their coupons
    slates = shop._recommend(visits)
    hunts = shop.people.deal_prone[members]
    assert (slates[:50] == NONE).all() and 20 < hunts[50:].sum() < members.size - 70
    counted = np.bincount(slates[50:][~hunts[50:]].ravel(), minlength=len(shop.products))
    np.testing.assert_array_equal(shop.recommender.impressions.recent, counted)


def test_orders_of_those_who_came_for_the_product_say_nothing_of_how_slates_sell():
    shop = small_shop(model="popularity")
    recommender = fitted(shop, np.array([0]), np.array([11]))
    visits = visits_of([0, 1])
    visits.product[1] = 30
    slates = shown(recommender, visits)
    recommender.observe_orders(orders_of(np.array([0, 1]), np.array([slates[0, 3], 30])))
    assert recommender.log.by_link.tolist() == [False, False, True]
    assert recommender.impressions.recent.sum() == slates.shape[1]
    evidence = recommender.log.evidence(PRODUCTS, 0, 1e9, 0.0, recommender.impressions.recent)
    assert evidence.orders[30] == 0 and evidence.orders.sum() == pytest.approx(2)
    assert evidence.weights.sum() == 3  # of their taste it says as much as any other


def test_orders_and_impressions_fade_alike():
    shop = small_shop(model="popularity", half_life="24h")
    recommender = fitted(shop, np.zeros(0, int), np.zeros(0, int))
    slates = shown(recommender, visits_of(EVERYONE))
    recommender.observe_orders(orders_of(EVERYONE, slates[:, 0]))

    def evidence():
        return recommender.log.evidence(PRODUCTS, shop.clock.tick, 24.0, 0.0, recommender.impressions.recent)

    before = evidence()
    for shop.clock.tick in range(1, 25):
        shown(recommender, visits_of([]))
    np.testing.assert_allclose(evidence().orders, before.orders / 2)
    np.testing.assert_allclose(evidence().impressions, before.impressions / 2)


def test_orders_from_before_count_as_if_all_products_had_been_shown_alike():
    log = Log()
    log.append(person=[1, 2, 3, 4], product=[0, 0, 1, 2], tick=[-1, -1, -1, 0])
    evidence = log.evidence(3, 0, 1e9, 0.0, np.array([10.0, 20.0, 70.0]))
    np.testing.assert_allclose(evidence.orders, [2, 1, 1])
    # Three orders at one in a hundred impressions, spread over three products.
    np.testing.assert_allclose(evidence.impressions, [110, 120, 170])


@pytest.mark.slow
def test_popularity_finds_good_products_and_does_not_feed_on_what_it_shows():
    scenario = Scenario.from_dict(
        {
            "horizon": "28d",
            "tick": "1d",
            "people": {"size": 4000, "members_at_start": "60%", "tenure": "0d", "conformity": {"mean": 0}},
            "demand": {"rate": {"shape": 1.1, "mean": 0.56}, "dropout": "none", "conversion": "8%"},
            "catalog": {"products": 300, "quality": 0.7},
            "recommendation": {"model": "popularity", "refresh": "2d"},
        }
    )
    shop = Shop(scenario, rng=3)
    while shop.clock.day < 21:
        shop.step()
    earlier = shop.products.views.copy()
    shop.run()
    shown, quality = shop.products.views - earlier, shop.products.quality
    assert np.sort(shown)[-12:].sum() < 0.75 * shown.sum()  # 90% if everybody were shown the same
    assert shown @ quality / shown.sum() > 0.5 * np.sort(quality)[-12:].mean()
    assert stats.spearmanr(shown, quality).statistic > 0.4
    assert stats.spearmanr(shop.recommender.popularity.mean(axis=0), quality).statistic > 0.75


@pytest.mark.parametrize("factors", [16, 5])
def test_als_ranks_as_the_library_recommends(factors):
    recommender = fitted(small_shop(model="collaborative", slate=8, factors=factors))
    person, product = tasteful_orders(recommender.shop)
    orders = sparse.csr_matrix((np.ones(person.size, np.float32), (person, product)), shape=(PERSONS, PRODUCTS))
    items, values = recommender.als.recommend(
        EVERYONE, orders, N=8, filter_already_liked_items=False, recalculate_user=True
    )
    scores = recommender.scores(EVERYONE)
    np.testing.assert_allclose(np.take_along_axis(scores, recommender.stored(EVERYONE), 1), values, atol=1e-5)
    assert (recommender.stored(EVERYONE) == items).mean() > 0.999


def test_item_neighbours_rank_as_the_library_recommends():
    recommender = fitted(small_shop(model="collaborative", algorithm="item_knn", neighbours=20, slate=8))
    person, product = tasteful_orders(recommender.shop)
    orders = sparse.csr_matrix((np.ones(person.size), (person, product)), shape=(PERSONS, PRODUCTS))
    library = CosineRecommender(K=20, num_threads=1)
    with pytest.warns(Warning, match="CSR"):
        library.fit(orders, show_progress=False)
    scores = recommender.scores(EVERYONE)
    for someone in range(0, PERSONS, 50):
        items, values = library.recommend(someone, orders[someone], N=8, filter_already_liked_items=False)
        np.testing.assert_allclose(scores[someone, items], values, rtol=1e-5)
        np.testing.assert_allclose(scores[someone, recommender.stored(np.array([someone]))[0]], values, rtol=1e-5)


def test_clicks_tell_of_a_taste_and_messages_about_nothing_do_not():
    shop = small_shop(model="content", slate=5)
    shop.products.price[:] = 5000
    person, product = tasteful_orders(shop)
    recommender = fitted(shop, person[6:], product[6:])  # person 0 has bought nothing
    before = recommender.scores(np.array([0]))[0]
    recommender.observe_clicks(np.array([0, 0]), np.array([3, -1]))
    assert len(recommender.log) == person.size - 6 + 1
    recommender.fit()
    gain = recommender.scores(np.array([0]))[0] - before
    alike = shop.products.category == shop.products.category[3]
    assert gain[alike].min() > 0 > gain[~alike].max()


def test_a_click_without_weight_is_no_evidence():
    log = Log()
    log.append(person=[4, 2, 2], product=[1, 1, 0], is_click=[True, False, True])
    evidence = log.evidence(products=3, tick=0, half_life=1.0, click_weight=0.0)
    assert evidence.known.tolist() == [2]
    assert evidence.weights.toarray().tolist() == [[0, 1, 0]]
    assert evidence.orders.tolist() == [0, 1, 0]
    assert evidence.rows(np.array([0, 2, 4])).tolist() == [-1, 0, -1]
    partly = log.evidence(products=3, tick=0, half_life=1.0, click_weight=0.25)
    np.testing.assert_array_equal(partly.weights.toarray(), [[0.25, 1, 0], [0, 0.25, 0]])


@pytest.mark.parametrize("concentration", [2.0, 10.0])
def test_smoothing_finds_the_concentration_that_tastes_were_drawn_with(concentration):
    rng = np.random.default_rng(4)
    share = np.array([0.4, 0.3, 0.2, 0.1])
    tastes = rng.dirichlet(concentration * share, size=20_000)
    # Four hundred products, so that hardly anybody buys one twice.
    orders = rng.multinomial(5, tastes)
    person = np.repeat(np.arange(len(tastes)), orders.sum(axis=1))
    value = np.concatenate([np.repeat(np.arange(4), row) for row in orders])
    product = value * 100 + rng.integers(100, size=value.size)
    weights = sparse.csr_matrix((np.ones(person.size, np.float32), (person, product)), shape=(len(tastes), 400))
    found, prior = smoothing(weights, np.repeat(np.arange(4), 100))
    np.testing.assert_allclose(found, share, atol=0.01)
    assert prior == pytest.approx(concentration, rel=0.15)


def test_smoothing_is_total_where_tastes_show_nothing():
    alternating = sparse.csr_matrix(np.array([[1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]], np.float32))
    assert smoothing(alternating, np.array([0, 1, 0, 1]))[1] == np.inf
    assert smoothing(alternating[:0], np.array([0, 1, 0, 1]))[1] == np.inf


def test_social_adds_up_the_strength_of_ties_to_friends_who_bought():
    shop = small_shop(model="social", slate=3, persons=5, ties=([0, 0, 1, 2], [1, 2, 2, 3]))
    shop.people.recent[1] = [6, 5, -1, -1]
    shop.people.recent[2] = [5, -1, -1, -1]
    shop.people.recent[3] = [8, 8, -1, -1]
    shop.people.recent[4] = [2, 2, 2, 2]
    recommender = fitted(shop, np.arange(2), np.array([30, 31]), friends_know=False)
    strength = dict(zip(shop.graph.neighbours(0).tolist(), shop.graph.strength[:2].tolist(), strict=True))
    scores = recommender.scores(np.array([0, 4]))
    expected = np.zeros((2, PRODUCTS), np.float32)
    expected[0, 6], expected[0, 5] = strength[1], np.float32(strength[1]) + np.float32(strength[2])
    np.testing.assert_array_equal(scores, expected)
    assert recommender.stored(np.array([0]))[0, :2].tolist() == [5, 6]


def test_hybrid_sums_scores_scaled_to_unit_variance():
    rng = np.random.default_rng(6)
    scores = rng.gamma(1, size=(3, 501)).astype(np.float32)
    total = np.ones_like(scores)
    add_standardised(scores, 2.0, total)
    np.testing.assert_allclose(total, 1 + 2 * stats.zscore(scores, axis=1), atol=1e-5)
    add_standardised(np.full_like(scores, 0.1), 1.0, total)
    np.testing.assert_allclose(total, 1 + 2 * stats.zscore(scores, axis=1), atol=1e-5)


@pytest.mark.parametrize("algorithm", ["als", "item_knn"])
@pytest.mark.parametrize("categories", [CATEGORIES, 1])
def test_hybrid_is_the_sum_of_its_scaled_parts_also_where_content_or_friends_tell_nothing(algorithm, categories):
    weights = {"popularity": 1.0, "content": 0.5, "collaborative": 2.0, "social": 0.3}

    def scores(model):
        shop = small_shop(model=model, algorithm=algorithm, weights=weights, extra=3)
        shop.products.category[:] %= categories
        if categories == 1:
            shop.products.price[:] = 5000
        return fitted(shop).scores(np.arange(PERSONS + 3))

    total = 0
    for part, weight in weights.items():
        of_part = scores(part).astype(np.float64)
        deviation = of_part - of_part.mean(axis=1, keepdims=True)
        total += weight * deviation / np.maximum(deviation.std(axis=1, keepdims=True), 1e-9)
    np.testing.assert_allclose(scores("hybrid"), total, atol=1e-4)


@pytest.mark.parametrize("part", ["popularity", "content", "collaborative", "social"])
def test_hybrid_of_one_part_shows_what_the_part_shows(part):
    weights = {name: float(name == part) for name in ("popularity", "content", "collaborative", "social")}
    mixed = fitted(small_shop(model="hybrid", weights=weights))
    alone = fitted(small_shop(model=part))
    assert (mixed.stored(EVERYONE) == alone.stored(EVERYONE)).mean() > 0.99  # rounding may make or break a tie


def test_random_slates_of_one_are_uniform_and_of_more_are_fair():
    shop = small_shop(model="random", slate=1)
    recommender = fitted(shop)
    shown = np.zeros(PRODUCTS)
    for tick in range(20):
        shop.clock.tick = tick
        shown += np.bincount(recommender.slates(visits_of(EVERYONE))[:, 0], minlength=PRODUCTS)
    assert stats.chisquare(shown).pvalue > 1e-4
    shop = small_shop(model="random", slate=3, products=5)
    recommender = fitted(shop, np.zeros(0, np.int32), np.zeros(0, np.int32))
    sets = np.zeros(2**5)
    for tick in range(20):
        shop.clock.tick = tick
        sets += np.bincount((1 << recommender.slates(visits_of(EVERYONE))).sum(axis=1), minlength=2**5)
    assert np.count_nonzero(sets) == 10
    assert stats.chisquare(sets[sets > 0]).pvalue > 1e-4


# Whether it is worth showing.


def test_models_that_know_more_find_more_of_the_orders_that_were_held_out():
    shop = small_shop()
    person, product = tasteful_orders(shop)
    held_out = np.arange(person.size) % 6 == 5  # everyone's last order

    def hit_rate(**settings):
        shop = small_shop(slate=8, **settings)
        recommender = fitted(shop, person[~held_out], product[~held_out])
        return (recommender.slates(visits_of(EVERYONE)) == product[held_out][:, None]).any(axis=1).mean()

    chance, popularity = hit_rate(model="random"), hit_rate(model="popularity")
    assert chance == pytest.approx(8 / PRODUCTS, abs=4 * np.sqrt(0.1 * 0.9 / PERSONS))
    assert popularity > 1.5 * chance
    learnt = [hit_rate(model="content"), hit_rate(model="hybrid")]
    learnt += [hit_rate(model="collaborative", algorithm=name) for name in ("als", "item_knn")]
    assert min(learnt) > 1.5 * popularity


@pytest.mark.parametrize("model", ["content", "collaborative", "hybrid"])
def test_where_there_are_no_tastes_little_is_lost_against_popularity(model):
    shop = small_shop()
    person, product = tasteful_orders(shop, strength=0.0)
    held_out = np.arange(person.size) % 6 == 5

    def hit_rate(model):
        recommender = fitted(small_shop(model=model), person[~held_out], product[~held_out])
        return (recommender.slates(visits_of(EVERYONE)) == product[held_out][:, None]).any(axis=1).mean()

    assert hit_rate(model) > 0.8 * hit_rate("popularity")


# In the shop, and from outside.


@pytest.mark.parametrize("model", ["hybrid", "collaborative"])
def test_a_shop_retrains_on_what_it_sold(model):
    scenario = Scenario.from_dict(
        {
            "horizon": "6d",
            "tick": "4h",
            "people": {"size": 1500, "members_at_start": "80%", "network": {"kind": "erdos_renyi", "mean_degree": 6}},
            "catalog": {"products": 40, "merchants": 4},
            "recommendation": {"model": model, "refresh": "2d", "slate": 6},
        }
    )
    shop = Shop(scenario, rng=1)
    history = len(shop.recommender.log)
    before = shop.recommender.stored(np.arange(1500))
    shop.run()
    assert (~shop.recommender.log.is_click).sum() - history == len(shop.book)
    assert (shop.recommender.stored(np.arange(1500)) != before).any()


def test_a_recommender_from_outside_works_by_name_and_a_name_taken_twice_is_refused(monkeypatch):
    outside = EntryPoint("mine", "sim.recommend.social:Social", "shopsim.recommenders")
    monkeypatch.setattr(sim.recommend, "entry_points", lambda group: [outside])
    registry.cache_clear()
    try:
        assert registry()["mine"].load().__name__ == "Social"
        taken = EntryPoint("hybrid", "elsewhere:Hybrid", "shopsim.recommenders")
        monkeypatch.setattr(sim.recommend, "entry_points", lambda group: [taken])
        registry.cache_clear()
        with pytest.raises(ValueError, match="two recommenders are called 'hybrid'"):
            registry()
    finally:
        registry.cache_clear()
