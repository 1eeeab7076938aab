"""Designs and estimators of experiments where the truth is a formula: y = a + b z + g (share of treated neighbours)."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments.lab import designs, interference
from experiments.lab.estimators import (
    adjusted,
    cluster_regression,
    difference_in_means,
    exposure_weighted,
    paired_blocks,
)
from experiments.lab.exposure import Neighbours, map_exposure, own_coin_chances
from sim.core.generators import stochastic_block
from sim.core.graph import Graph

B, G, WITHIN = 0.5, 1.0, 0.87


@pytest.fixture(scope="module")
def network():
    """Return forty communities of fifty, with 87% of ties inside, and which community each person is in."""
    graph = stochastic_block(2000, 40, 10.0, WITHIN, np.random.default_rng(1))
    labels = designs.communities(graph, seed=1)
    return graph, Neighbours(graph), labels


def estimates(design, neighbours, estimate, draws=300, spread=1.0, b=B, g=G):
    """Return values and standard errors of an estimator over fresh draws of the design and of the noise."""
    rng = np.random.default_rng(2)
    rows = []
    for _ in range(draws):
        treated = design.draw(rng)
        noise = spread * rng.standard_normal(treated.size)
        found = estimate(interference.outcome(neighbours, treated, b, g, noise), treated)
        rows.append((found.value, found.error, found.degrees))
    return np.array(rows)


def assert_mean(values, expected, at=4.0):
    error = values.std(ddof=1) / math.sqrt(values.size)
    assert abs(values.mean() - expected) < at * error, (values.mean(), expected, error)


def covered(found, truth, confidence=0.95):
    half = stats.t.ppf(0.5 + confidence / 2, found[:, 2]) * found[:, 1]
    return np.abs(found[:, 0] - truth) <= half


def assert_covers(hits, confidence=0.95):
    """Check a coverage against its own Monte Carlo error, at four standard errors."""
    assert abs(hits.mean() - confidence) < 4 * math.sqrt(confidence * (1 - confidence) / hits.size), hits.mean()


# What each design estimates.


def test_coins_of_persons_estimate_the_direct_effect_alone(network):
    graph, neighbours, _ = network
    found = estimates(designs.person_level(graph.persons, 0.5), neighbours, difference_in_means)
    assert_mean(found[:, 0], B)
    assert found[:, 0].mean() < B + G * (neighbours.degree > 0).mean() - 0.9


def test_a_cluster_design_estimates_b_plus_g_times_the_share_of_ties_within(network):
    graph, neighbours, labels = network
    design = designs.cluster_level(labels, 0.5)
    within = designs.within_share(graph, design)
    assert within == pytest.approx(WITHIN, abs=0.02)
    found = estimates(design, neighbours, lambda y, z: cluster_regression(y, z, design.unit))
    tied = (neighbours.degree > 0).mean()
    assert_mean(found[:, 0], interference.difference_expected(design, within, tied, B, G))
    assert found[:, 0].mean() == pytest.approx(B + G * within, abs=0.01)


def test_egos_with_all_their_neighbours_estimate_the_total_effect(network):
    graph, neighbours, _ = network
    design = designs.ego_level(graph, 0.5, np.random.default_rng(3))
    egos = design.analysed
    found = estimates(design, neighbours, lambda y, z: difference_in_means(y[egos], z[egos]))
    assert_mean(found[:, 0], B + G * (neighbours.degree[egos] > 0).mean())
    assert_covers(covered(found, B + G * (neighbours.degree[egos] > 0).mean()))


def test_full_exposure_estimates_the_total_effect_whatever_the_design(network):
    graph, neighbours, labels = network
    rng = np.random.default_rng(4)
    for design, threshold, overlap in (
        (designs.person_level(graph.persons, 0.5), 0.75, 0.005),
        (designs.cluster_level(labels, 0.5), 0.8, 0.1),
    ):
        found = map_exposure(design, neighbours, threshold, overlap, 200, rng)
        between = expected_shares(design, neighbours, found, threshold, rng)
        for hajek in (True, False):
            values = estimates(
                design, neighbours,
                lambda y, z, design=design, found=found, hajek=hajek, threshold=threshold: exposure_weighted(
                    y, *neighbours.exposures(z, threshold), found, hajek=hajek, units=design.units
                ),
                draws=60,
            )[:, 0]  # fmt: skip
            assert_mean(values, B + G * between)
            assert values.mean() > B + 0.5 * G


def expected_shares(design, neighbours, found, threshold, rng):
    """Return how much larger the share of treated neighbours of the exposed is than that of the spared."""
    total, weight = np.zeros((2, neighbours.degree.size)), np.zeros((2, neighbours.degree.size))
    for _ in range(600):
        treated = design.draw(rng)
        share = neighbours.share_treated(treated)
        for row, mask in enumerate(neighbours.exposures(treated, threshold)):
            total[row] += mask * share
            weight[row] += mask
    mean = (total / np.maximum(weight, 1))[:, found.comparable].mean(axis=1)
    return mean[0] - mean[1]


def test_a_switchback_estimates_the_total_effect_once_the_block_before_is_washed_out():
    rng = np.random.default_rng(5)
    total, carry, estimate = B + G, 0.6, {0: [], 1: []}
    for _ in range(400):
        for washout, found in estimate.items():
            plan = designs.switchback(5, 47, 3, washout, rng)
            on = plan.on.astype(float)
            before = np.concatenate([[0.0], on[:-1]])  # yesterday's treatment works on, today's works less at first
            days = (total - carry) * on + carry * before + 0.05 * np.arange(47) + 0.1 * rng.standard_normal(47)
            blocks = np.unique(plan.block[plan.block >= 0])
            means = np.array([days[(plan.block == b) & plan.kept].mean() for b in blocks])
            treated = np.array([plan.on[plan.block == b][0] for b in blocks])
            found.append(paired_blocks(means, treated, blocks // 2).value)
    assert_mean(np.array(estimate[1]), total)
    assert np.mean(estimate[0]) < total - 0.1


def test_merchants_that_take_customers_from_each_other_look_better_in_a_test_than_they_are():
    merchants, rng, values = 20, np.random.default_rng(6), []
    for _ in range(2000):
        treated = designs.complete(merchants, 0.5, rng)
        rivals = (treated.sum() - treated) / (merchants - 1)
        values.append(
            difference_in_means(B * treated - 0.4 * rivals + 0.1 * rng.standard_normal(merchants), treated).value
        )
    assert_mean(np.array(values), B + 0.4 / (merchants - 1))


# How sure each estimator is.


def test_the_difference_of_means_covers_at_its_level_without_interference(network):
    graph, neighbours, _ = network
    design = designs.person_level(graph.persons, 0.5)
    assert_covers(covered(estimates(design, neighbours, difference_in_means, draws=600, g=0.0), B))


def test_cluster_regression_covers_where_persons_of_a_cluster_are_alike_and_the_naive_interval_does_not():
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(40), 25)
    design = designs.cluster_level(labels, 0.5)
    robust, naive = [], []
    for _ in range(600):
        treated = design.draw(rng)
        y = B * treated + 0.5 * rng.standard_normal(40)[labels] + rng.standard_normal(labels.size)
        for found, hits in ((cluster_regression(y, treated, labels), robust), (difference_in_means(y, treated), naive)):
            low, high = found.interval(0.95)
            hits.append(low <= B <= high)
    assert_covers(np.array(robust))
    assert np.mean(naive) < 0.8


@pytest.mark.parametrize("kind", ["person", "cluster"])
def test_the_design_based_error_of_hajek_covers(network, kind):
    graph, neighbours, labels = network
    rng = np.random.default_rng(8)
    person = kind == "person"
    design = designs.person_level(graph.persons, 0.5) if person else designs.cluster_level(labels, 0.5)
    threshold = 0.6 if person else 0.8
    found = map_exposure(design, neighbours, threshold, 0.05, 200, rng)
    truth = B  # no interference: exposure does nothing beyond one's own treatment
    values = estimates(
        design, neighbours,
        lambda y, z: exposure_weighted(y, *neighbours.exposures(z, threshold), found, hajek=True, units=design.units),
        draws=150, g=0.0,
    )  # fmt: skip
    assert_mean(values[:, 0], truth)
    assert_covers(covered(values, truth))


def test_what_was_known_before_makes_the_interval_shorter_and_leaves_the_estimate_right():
    rng = np.random.default_rng(9)
    plain, better = [], []
    for _ in range(400):
        before = rng.standard_normal((500, 2))
        treated = rng.random(500) < 0.5
        y = B * treated + before @ [1.0, -0.5] + 0.5 * rng.standard_normal(500)
        plain.append(difference_in_means(y, treated).error)
        found = difference_in_means(adjusted(y, before), treated)
        better.append((found.value, found.error, found.degrees))
    better = np.array(better)
    assert_mean(better[:, 0], B)
    assert_covers(covered(better, B))
    explained = 1.25 / 1.5
    assert np.mean(better[:, 1]) / np.mean(plain) == pytest.approx(math.sqrt(1 - explained), rel=0.1)


# Designs themselves.


def test_exact_chances_of_exposure_are_those_of_repeated_coins(network):
    graph, neighbours, _ = network
    design, rng = designs.person_level(graph.persons, 0.3), np.random.default_rng(10)
    exact = own_coin_chances(neighbours.degree, 0.3, 0.7)
    seen = np.mean([neighbours.exposures(design.draw(rng), 0.7) for _ in range(1500)], axis=0)
    for chance, share in zip(exact, seen, strict=True):
        z = (share - chance) / np.sqrt(np.maximum(chance * (1 - chance), 1e-4) / 1500)
        assert abs(z.mean()) < 0.15
        assert np.abs(z).max() < 6


def test_no_person_belongs_to_two_egos_and_neighbours_share_their_egos_fate(network):
    graph, neighbours, _ = network
    design = designs.ego_level(graph, 0.5, np.random.default_rng(11))
    treated = design.draw(np.random.default_rng(12))
    share = neighbours.share_treated(treated)
    tied = design.analysed & (neighbours.degree > 0)
    np.testing.assert_array_equal(share[tied], treated[tied].astype(float))
    assert np.unique(design.unit[design.analysed]).size == design.analysed.sum()
    assert design.unit.max() + 1 == np.unique(design.unit).size


def test_directed_ties_count_as_neighbours_those_whose_messages_arrive():
    graph = Graph.from_edges([0, 1], [2, 2], persons=3, directed=True)
    np.testing.assert_array_equal(Neighbours(graph).share_treated(np.array([True, False, False])), [0, 0, 0.5])
    design = designs.ego_level(graph, 0.5, np.random.default_rng(13))
    assert design.unit.size == 3


def test_a_person_without_neighbours_is_exposed_by_their_own_treatment():
    graph = Graph.from_edges([0], [1], persons=3)
    exposed, spared = Neighbours(graph).exposures(np.array([True, False, True]), 1.0)
    np.testing.assert_array_equal(exposed, [False, False, True])
    np.testing.assert_array_equal(spared, [False, False, False])


def test_complete_randomisation_treats_the_share_and_never_all_or_none():
    rng = np.random.default_rng(14)
    assert {int(designs.complete(10, 0.3, rng).sum()) for _ in range(20)} == {3}
    assert {int(designs.complete(2, 0.95, rng).sum()) for _ in range(20)} == {1}
    with pytest.raises(ValueError, match="two units"):
        designs.complete(1, 0.5, rng)


def test_a_switchback_is_on_in_one_block_of_each_pair_and_drops_the_washout():
    plan = designs.switchback(2, 27, 3, 1, np.random.default_rng(15))
    assert plan.pairs == 4
    assert not plan.on[:2].any() and not plan.on[26:].any()
    for pair in range(4):
        days = plan.block // 2 == pair
        assert plan.on[days].sum() == 3
        assert plan.kept[days].sum() == 4
    for block, washout, message in ((7, 1, "four blocks"), (3, 3, "leave a day")):
        with pytest.raises(ValueError, match=message):
            designs.switchback(2, 27, block, washout, np.random.default_rng(15))


def test_estimators_say_nothing_where_there_is_nothing_to_compare():
    y = np.arange(4.0)
    assert math.isnan(difference_in_means(y, np.ones(4, bool)).value)
    assert math.isnan(cluster_regression(y, np.zeros(4, bool), np.arange(4)).value)
    lone = difference_in_means(y, np.array([True, False, False, False]))
    assert lone.value == -2.0 and math.isnan(lone.interval(0.95)[0])
