"""Statistics of replicates, against SciPy's own tests, closed forms, and simulation."""

import math

import numpy as np
import pytest
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests

from experiments import stats


@pytest.fixture
def pairs():
    rng = np.random.default_rng(5)
    base = rng.normal(10, 2, 12)
    return base, base + rng.normal(1.2, 0.5, 12)


def test_paired_interval_is_that_of_the_paired_t_test(pairs):
    base, arm = pairs
    expected = reference.ttest_rel(arm, base).confidence_interval(0.95)
    estimate = stats.mean_estimate(arm - base)
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high))
    assert estimate.replicates == 12


def test_probability_of_being_better_is_one_minus_the_one_sided_p_value(pairs):
    base, arm = pairs
    p_value = reference.ttest_rel(arm, base, alternative="greater").pvalue
    assert stats.probability_positive(arm - base) == pytest.approx(1 - p_value)
    assert stats.probability_positive(base - arm) == pytest.approx(p_value)


def test_ratio_limits_are_the_ratios_that_a_t_test_just_does_not_reject(pairs):
    base, arm = pairs
    estimate = stats.ratio_estimate(arm, base, 0.9)
    assert estimate.mean == pytest.approx(arm.mean() / base.mean())
    for limit in (estimate.low, estimate.high):
        assert reference.ttest_1samp(arm - limit * base, 0.0).pvalue == pytest.approx(0.1)


def test_ratio_by_a_constant_is_the_scaled_mean(pairs):
    _, arm = pairs
    scaled, plain = stats.ratio_estimate(arm, np.full(12, 4.0)), stats.mean_estimate(arm)
    assert (4 * scaled.low, 4 * scaled.high) == pytest.approx((plain.low, plain.high))


def test_ratio_by_something_that_may_be_zero_has_no_limits():
    noise = np.array([1.0, -1.1, 0.9, -1.0])
    estimate = stats.ratio_estimate([5.0, 6.0, 5.5, 5.2], noise)
    assert math.isnan(estimate.low) and math.isnan(estimate.high)


def test_replicates_without_a_value_are_left_out():
    estimate = stats.mean_estimate([1.0, math.nan, 3.0])
    assert (estimate.mean, estimate.replicates) == (2.0, 2)
    assert stats.mean_estimate([math.nan]).replicates == 0


def test_one_replicate_has_a_mean_but_no_interval():
    estimate = stats.mean_estimate([4.0])
    assert estimate.mean == 4.0
    assert math.isnan(estimate.low)


def test_variance_reduction_is_one_over_one_minus_the_correlation_of_equal_variances():
    rng = np.random.default_rng(1)
    shared, own = rng.normal(size=4000), rng.normal(size=(2, 4000))
    base, arm = 2 * shared + own[0], 2 * shared + own[1]  # correlation 4/5
    assert stats.variance_reduction(base, arm) == pytest.approx(5, rel=0.1)
    assert stats.variance_reduction(own[0], own[1]) == pytest.approx(1, rel=0.1)


def test_variance_reduction_without_any_variance_is_unknown_and_without_a_rest_infinite():
    values = np.array([1.0, 2.0, 4.0])
    assert stats.variance_reduction(values, values + 1) == math.inf
    assert math.isnan(stats.variance_reduction([3.0, 3.0], [4.0, 4.0]))


def test_replicates_needed_is_the_smallest_number_whose_half_width_is_below_the_difference():
    differences = np.array([1.0, -2.0, 3.0, 0.5, -1.5, 2.0])
    needed = stats.replicates_needed(differences)
    assert needed is not None

    def half_width(n):
        return reference.t.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n)

    assert half_width(needed) < differences.mean() <= half_width(needed - 1)


def test_replicates_needed_is_unknown_where_no_number_worth_running_would_do():
    assert stats.replicates_needed([1.0, -1.0]) is None
    assert stats.replicates_needed(np.array([1000.0, -1000.0, 0.01])) is None
    assert stats.replicates_needed([2.0]) is None
    assert stats.replicates_needed([2.0, 2.0]) == 2


@pytest.mark.parametrize(
    ("differences", "direction", "expected"),
    [
        ([1.0, 1.1, 0.9], +1, "better"),
        ([1.0, 1.1, 0.9], -1, "worse"),
        ([-1.0, -1.1, -0.9], -1, "better"),
        ([1.0, 1.1, 0.9], 0, "higher"),
        ([-1.0, -1.1, -0.9], 0, "lower"),
        ([1.0, -1.1, 0.9], +1, "undecided"),
        ([0.0, 0.0, 0.0], +1, "same"),
        ([0.1, 0.1, 0.1], +1, "better"),
        ([1.0], +1, "no data"),
        ([math.nan, 1.0, math.nan], +1, "no data"),
    ],
)
def test_verdict_needs_an_interval_that_excludes_zero(differences, direction, expected):
    assert stats.verdict(stats.mean_estimate(differences), direction) == expected


def test_equal_differences_that_floating_point_cannot_average_are_still_certain():
    values = [0.1] * 7
    assert stats.mean_estimate(values).low == pytest.approx(0.1)
    assert stats.probability_positive(values) == 1.0


def test_intervals_cover_the_truth_as_often_as_they_say():
    # 4000 studies: the share covered has a standard error of 0.0034 at 95%; four of them is one in 16 000 by chance.
    rng = np.random.default_rng(11)
    trials = 4000
    base = rng.gamma(9.0, 1.0, (trials, 10))
    arm = base * 1.3 + rng.normal(0.0, 0.6, (trials, 10))
    means = [stats.mean_estimate(a - b) for a, b in zip(arm, base, strict=True)]
    ratios = [stats.ratio_estimate(a, b) for a, b in zip(arm, base, strict=True)]
    for estimates, truth in ((means, 9.0 * 0.3), (ratios, 1.3)):
        covered = np.mean([e.low <= truth <= e.high for e in estimates])
        assert covered == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


def test_p_value_is_that_of_the_paired_t_test(pairs):
    base, arm = pairs
    assert stats.p_value(arm - base) == pytest.approx(reference.ttest_rel(arm, base).pvalue)
    assert stats.p_value(base - arm) == pytest.approx(reference.ttest_rel(arm, base).pvalue)


@pytest.mark.parametrize(("differences", "p"), [([0.0, 0.0, 0.0], 1.0), ([2.0, 2.0, 2.0], 0.0), ([2.0], math.nan)])
def test_p_value_where_nothing_varies(differences, p):
    assert stats.p_value(differences) == pytest.approx(p, nan_ok=True)


def test_holm_multiplies_the_smallest_by_all_and_the_next_by_those_that_are_left():
    assert stats.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert stats.holm([0.5, 0.9]).max() == 1


def test_holm_is_that_of_statsmodels():
    p = np.random.default_rng(1).random(30) ** 4
    assert stats.holm(p) == pytest.approx(multipletests(p, method="holm")[1])
    assert stats.holm(np.array([])).size == 0
