"""Equal, equivalent, changed or undecided: what the statistics of ``shopsim check`` promise."""

import math

import numpy as np
import pytest
from scipy import stats

from experiments.check.baseline import Baseline, Tolerance
from experiments.check.checking import Request, check, compare
from experiments.check.decide import decide
from experiments.outcome import RunResult
from experiments.replication import Execution
from sim import Scenario

TWO_PERCENT = Tolerance(relative=0.02)


def one(before, now, tolerance=TWO_PERCENT, **options):
    """Decide about a single metric."""
    options = {"paired": True, "confidence": 0.95} | options
    columns = [{"gmv": np.asarray(values, float)} for values in (before, now)]
    (found,) = decide(*columns, {"gmv": tolerance}, **options)
    return found


def sample(mean, deviation, n):
    """Return n values with exactly this mean and standard deviation."""
    z = stats.norm.ppf((np.arange(n) + 0.5) / n)
    return mean + deviation * (z - z.mean()) / z.std(ddof=1)


BASE = sample(100, 10, 10)


def test_the_same_values_are_equal_whatever_the_tolerance():
    found = one(BASE, BASE, Tolerance())
    assert (found.verdict, found.difference, found.needed) == ("equal", 0.0, None)


def test_a_difference_in_the_last_bits_is_none():
    assert one([0.3, 1 / 3], [0.1 + 0.2, 0.33333333334]).verdict == "equal"


def test_no_value_before_and_now_is_equal():
    found = one([math.nan, math.nan], [math.nan, math.nan])
    assert (found.verdict, found.note) == ("equal", "no value in either")


@pytest.mark.parametrize(
    ("shift", "noise", "verdict"),
    [(0.5, 0.5, "equivalent"), (5.0, 0.5, "changed"), (-5.0, 0.5, "changed"), (1.9, 4.0, "undecided")],
)
def test_what_moved_is_judged_by_its_tolerance_and_its_noise(shift, noise, verdict):
    assert one(BASE, BASE + sample(shift, noise, 10)).verdict == verdict


def test_a_significant_move_within_the_tolerance_is_equivalent():
    found = one(BASE, BASE + sample(1.0, 0.1, 10))
    assert found.p_changed < 1e-6
    assert found.verdict == "equivalent"


def test_the_larger_of_both_tolerances_holds():
    assert Tolerance(relative=0.02, absolute=0.5).around(100) == 2.0
    assert Tolerance(relative=0.02, absolute=0.5).around(-1) == 0.5
    assert Tolerance(relative=0.02, absolute=0.5).around(math.nan) == 0.5


def test_p_values_and_intervals_are_those_of_scipy():
    now = np.random.default_rng(1).normal(101, 10, 10)
    paired, welch = one(BASE, now), one(BASE, now[:7], paired=False)
    for found, test in (
        (paired, stats.ttest_rel(now, BASE)),
        (welch, stats.ttest_ind(now[:7], BASE, equal_var=False)),
    ):
        assert found.p_changed == pytest.approx(test.pvalue)
        assert (found.low, found.high) == pytest.approx(tuple(test.confidence_interval(0.95)))
    lower = stats.ttest_1samp(now - BASE, -2, alternative="greater").pvalue
    upper = stats.ttest_1samp(now - BASE, 2, alternative="less").pvalue
    assert paired.p_equivalent == pytest.approx(max(lower, upper))


def test_many_noisy_metrics_do_not_add_up_to_a_change():
    rng = np.random.default_rng(5)
    before = {f"m{i}": rng.normal(100, 10, 10) for i in range(60)}
    now = {name: values + rng.normal(0, 10, 10) for name, values in before.items()}
    alone = [one(before[name], now[name], Tolerance()).verdict for name in before]
    together = decide(before, now, dict.fromkeys(before, Tolerance()), paired=True, confidence=0.95)
    assert "changed" in alone
    assert "changed" not in [found.verdict for found in together]


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(("shift", "noise"), [(1.0, 4.0), (5.0, 8.0)])
def test_replicates_needed_are_the_fewest_that_decide(paired, shift, noise):
    def found(n):
        base = np.full(n, 100.0) if paired else sample(100, noise / math.sqrt(2), n)
        now = base + sample(shift, noise, n) if paired else sample(100 + shift, noise / math.sqrt(2), n)
        return one(base, now, paired=paired)

    needed = found(5).needed
    assert needed > 6
    assert found(5).verdict == found(needed - 1).verdict == "undecided"
    assert found(needed).verdict in ("equivalent", "changed")


def test_no_number_of_replicates_shows_that_noise_is_nothing():
    assert one(BASE, BASE + sample(0, 1, 10), Tolerance()).needed is None


def test_few_constants_are_no_evidence_and_many_are():
    for n, verdict in ((2, "undecided"), (3, "undecided"), (10, "changed")):
        for paired in (True, False):
            found = one(np.full(n, 2.0), np.full(n, 3.0), paired=paired)
            assert found.verdict == verdict
            assert found.p_changed == pytest.approx(2 / math.comb(2 * n, n))
    assert one([2, 2], [3, 3]).needed == 4  # 2 / C(8, 4) = 2.9%
    assert one([1, 2], [1.1, 2.1]).verdict == "undecided"  # the same difference twice, but for rounding


def test_few_constants_within_the_tolerance_are_no_evidence_of_equivalence_and_many_are():
    few = one([10, 10], [10.4, 10.4], Tolerance(absolute=0.5))
    assert (few.verdict, few.p_equivalent, few.needed) == ("undecided", pytest.approx(1 / 3), 4)
    assert one(np.full(4, 10.0), np.full(4, 10.4), Tolerance(absolute=0.5)).verdict == "equivalent"


def test_a_metric_that_loses_its_values_has_changed():
    found = one(np.full(10, 2.0), np.full(10, math.nan))
    assert found.verdict == "changed"
    assert found.note == "0 of 10 replicates have a value, 10 of 10 had one"


def test_a_metric_that_loses_some_values_is_not_equivalent_because_the_others_are():
    now = BASE.copy()
    now[:5] = math.nan
    assert one(BASE, now).verdict == "undecided"
    now[:9] = math.nan
    assert one(BASE, now).verdict == "changed"


def test_one_value_decides_nothing():
    found = one([math.nan, 2.0], [math.nan, 3.0])
    assert (found.verdict, found.needed, found.note) == ("undecided", None, "too few values to compare")


def test_looking_more_often_asks_for_more():
    found = one(BASE, BASE + sample(1.0, 1.6, 10))
    assert (found.p_equivalent < 0.05, found.verdict) == (True, "equivalent")
    assert one(BASE, BASE + sample(1.0, 1.6, 10), looks=10).verdict == "undecided"


# Promises over many trials, through the code that checks a baseline file.


def worlds(rng, seeds, shift=0.0):
    """Return runs of a made-up shop: correlated, skewed, discrete, rare, constant and missing values."""
    found = []
    for seed in seeds:
        common = rng.normal()
        metrics = {f"level{i}": (1 + shift) * (100 + 3 * common + 4 * rng.normal()) for i in range(6)}
        metrics |= {f"skewed{i}": math.exp(1.2 * rng.normal()) for i in range(4)}
        metrics |= {f"rare{i}": float(rng.poisson(0.3)) for i in range(4)}
        metrics |= {f"missing{i}": rng.normal() if rng.random() < 0.6 else math.nan for i in range(4)}
        found.append(RunResult("shop", "d", seed, metrics | {"constant": 2.0}, {}, {}, 0.0))
    return found


def baseline_of(runs, tmp_path):
    scenario = Scenario.from_dict({"name": "shop"})
    source = tmp_path / "shop.yaml"
    source.write_text("name: shop\n")
    names = runs[0].metrics
    return Baseline.of(tmp_path / "shop.json", source, scenario, [], runs, names)


def without_tolerance(baseline):
    """Return the baseline with tolerances of zero, where false alarms are most likely."""
    metrics = {
        name: item.model_copy(update={"tolerance": Tolerance()}) for name, item in baseline.content.metrics.items()
    }
    return Baseline(baseline.file, baseline.content.model_copy(update={"metrics": metrics}))


@pytest.mark.slow
@pytest.mark.parametrize(("own", "others"), [(10, 10), (3, 3), (20, 5)])
def test_false_alarms_over_200_unchanged_trials_with_other_seeds_stay_within_their_level(own, others, tmp_path):
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(200):
        baseline = without_tolerance(baseline_of(worlds(rng, range(1, own + 1)), tmp_path))
        found = compare(baseline, worlds(rng, range(101, 101 + others)), paired=False)
        alarms += any(finding.verdict == "changed" for finding in found)
    assert alarms <= 200 * 0.05


@pytest.mark.slow
def test_false_alarms_stay_within_their_level_where_the_same_seeds_have_come_to_mean_other_draws(tmp_path):
    rng = np.random.default_rng(8)
    alarms = 0
    for _ in range(200):
        baseline = without_tolerance(baseline_of(worlds(rng, range(1, 11)), tmp_path))
        found = compare(baseline, worlds(rng, range(1, 11)), paired=True)
        alarms += any(finding.verdict == "changed" for finding in found)
    assert alarms <= 200 * 0.05


@pytest.mark.slow
def test_false_alarms_stay_within_their_level_when_looking_several_times(tmp_path):
    rng = np.random.default_rng(9)
    alarms = 0
    for _ in range(200):
        baseline = without_tolerance(baseline_of(worlds(rng, range(1, 21)), tmp_path))
        request = Request(until_decided=20, seeds_from=101)
        outcome = check(baseline, request, lambda scenario, seeds: Execution(worlds(rng, seeds)))
        alarms += outcome.state == "changed"
        assert outcome.looks == 3
    assert alarms <= 200 * 0.05


@pytest.mark.slow
def test_a_move_as_large_as_the_tolerance_is_called_equivalent_no_more_often_than_promised():
    rng = np.random.default_rng(10)
    passes = 0
    for _ in range(1000):
        before = rng.normal(100, 5, 10)
        now = before + rng.normal(2, 0.8, 10)
        passes += one(before, now, Tolerance(absolute=2)).verdict == "equivalent"
    assert passes / 1000 < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 1000)
    assert passes > 10  # the test is not merely shy


@pytest.mark.slow
def test_a_ten_percent_move_is_found_and_nothing_else(tmp_path):
    rng = np.random.default_rng(11)
    found = 0
    for _ in range(20):
        baseline = baseline_of(worlds(rng, range(1, 21)), tmp_path)
        findings = compare(baseline, worlds(rng, range(101, 121), shift=0.1), paired=False)
        changed = {finding.metric for finding in findings if finding.verdict == "changed"}
        found += bool(changed)
        assert changed <= {f"level{i}" for i in range(6)}
    assert found == 20
