"""What many experiments show: bias, coverage, power and sample size, on estimates whose laws are known."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments import stats as means
from experiments import uplift
from experiments.lab.performance import best, performance, rivals, with_truth
from experiments.lab.wording import verdict

RUNS = 400


def table(bias=0.0, error=1.0, claimed=1.0, truth=3.0, design="person", seed=1, runs=RUNS):
    """Return estimates that are normal around truth + bias, and the truths, which differ by replicate."""
    rng = np.random.default_rng(seed)
    truths = pd.DataFrame({"seed": range(runs), "outcome": "orders", "truth": truth + 0.5 * rng.standard_normal(runs)})
    estimates = pd.DataFrame(
        {
            "seed": range(runs), "design": design, "estimator": "difference_plain", "outcome": "orders",
            "value": truths["truth"] + bias + error * rng.standard_normal(runs),
            "error": claimed, "degrees": 1e6, "units": 100.0,
        }
    )  # fmt: skip
    return estimates, truths


def row_of(**law):
    return performance(with_truth(*table(**law), 0.95), 0.95, 0.8).iloc[0]


def test_an_honest_estimator_covers_at_its_level_and_has_no_bias():
    row = row_of()
    assert row["bias_low"] < 0 < row["bias_high"]
    assert row["coverage_low"] < 0.95 < row["coverage_high"]
    assert row["deviation"] == pytest.approx(1.0, abs=0.15)
    assert row["seen_low"] < 1 < row["seen_high"]
    assert row["rmse"] == pytest.approx(1.0, abs=0.15)


def test_bias_and_an_error_that_is_claimed_too_small_cost_coverage():
    biased, boastful = row_of(bias=-2.0), row_of(claimed=0.5)
    assert biased["bias_high"] < -1.5
    assert biased["coverage"] == pytest.approx(stats.norm.cdf(1.96 - 2) - stats.norm.cdf(-1.96 - 2), abs=0.1)
    assert biased["seen"] == pytest.approx(1 / 3, abs=0.1)
    assert boastful["coverage"] == pytest.approx(2 * stats.norm.cdf(0.98) - 1, abs=0.1)


def test_power_and_detectable_effect_follow_the_normal_law():
    row = row_of(truth=2.8016)  # 1.96 + 0.8416: the effect that a standard error of one finds with 80%
    assert row["detectable"] == pytest.approx(2.8016, abs=1e-3)
    # The truth itself varies by 0.5 between shops.
    assert row["power"] == pytest.approx(stats.norm.cdf(0.8416 / math.sqrt(1.25)), abs=0.08)
    assert row["units_needed"] == pytest.approx(100.0, rel=0.1)


def test_an_effect_half_as_large_needs_four_times_the_units():
    assert row_of(truth=1.4008)["units_needed"] == pytest.approx(400, rel=0.2)


def test_power_counts_only_intervals_on_the_side_of_the_truth():
    assert row_of(truth=-2.8)["power"] > 0.7
    assert row_of(truth=3.0, bias=-8.0)["power"] < 0.02


def test_where_nothing_is_seen_no_size_is_named():
    assert math.isnan(row_of(bias=-3.0)["units_needed"])
    assert math.isnan(row_of(bias=-6.0)["units_needed"]), "an effect of the wrong sign is not the effect"


def test_intervals_without_variation_count_as_none():
    estimates, truths = table(runs=10)
    row = performance(with_truth(estimates.assign(error=0.0), truths, 0.95), 0.95, 0.8).iloc[0]
    assert row["intervals"] == 0 and row["runs"] == 10
    assert math.isnan(row["coverage"]) and math.isnan(row["detectable"])


def test_replicates_without_a_truth_are_left_out():
    estimates, truths = table(runs=10)
    assert len(with_truth(estimates, truths.iloc[:4], 0.95)) == 4


def test_the_design_closest_to_the_truth_is_advised_and_equals_are_named():
    good, truths = table(error=1.0, design="cluster")
    same = good.assign(design="switchback", value=2 * good["value"].mean() - good["value"])
    same["value"] = truths["truth"] + np.random.default_rng(5).standard_normal(RUNS)
    wrong = good.assign(design="person", value=good["value"] - 3.0)
    joined = with_truth(pd.concat([wrong, good, same]), truths, 0.95)
    found = performance(joined, 0.95, 0.8)
    row = best(found, "orders")
    assert row["design"] in ("cluster", "switchback")
    other = {"cluster": "switchback", "switchback": "cluster"}[row["design"]]
    assert rivals(joined, "orders", row["design"], "difference_plain") == [(other, "difference_plain")]
    assert best(found, "gmv") is None


def sentence(estimates, truths):
    joined = with_truth(estimates, truths, 0.95)
    found, true = performance(joined, 0.95, 0.8), means.mean_estimate(truths["truth"])
    row = best(found, "orders")
    kinds = {"person": "person", "cluster": "cluster"}
    return verdict(found, "orders", row, [], (true.mean, true.low, true.high), 0.95, 0.8, kinds)


def test_the_verdict_names_the_design_to_use_its_size_and_what_a_test_by_persons_misses():
    good, truths = table(design="cluster")
    wrong = good.assign(design="person", value=good["value"] - 3.0)
    text = sentence(pd.concat([wrong, good]), truths)
    assert "Use cluster (difference of means)" in text
    assert "communities" in text
    assert "A test by persons sees" in text
    assert "less often than it says" in sentence(*table(claimed=0.3))


def test_the_verdict_ranks_nothing_if_the_truth_is_not_settled_or_nothing_ran():
    assert "raise replicates" in sentence(*table(truth=0.0, runs=20))
    estimates, truths = table(runs=3)
    assert "No experiment" in sentence(estimates.iloc[:0], truths.iloc[:0])


def test_a_design_that_saw_no_event_is_never_advised_however_close_it_comes():
    noisy, truths = table(error=9.0, truth=0.6, design="cluster")
    blind = noisy.assign(design="person", value=0.0, error=0.0)
    both = pd.concat([blind, noisy])
    found = performance(with_truth(both, truths, 0.95), 0.95, 0.8).set_index("design")
    assert found.at["person", "rmse"] < found.at["cluster", "rmse"]
    assert "Use cluster" in sentence(both, truths)
    alone = sentence(blind, truths)
    assert "no design can find this effect here" in alone
    assert "nan" not in alone


# Individual effects.


def test_kinds_follow_from_both_worlds():
    kinds = uplift.kinds(np.array([0, 2, 1, 0]), np.array([1, 1, 0, 0]))
    assert kinds.tolist() == ["persuaded", "anyway", "put off", "unmoved"]


def test_profiles_count_everybody_once_and_share_out_all_benefits():
    kind = np.array(["persuaded", "anyway", "anyway", "unmoved"])
    table = uplift.profiles(kind, pd.DataFrame({"degree": [1.0, 2.0, 4.0, 8.0]}), np.array([3.0, 1.0, 0.0, 0.0]))
    rows = table.set_index("kind")
    assert rows["persons"].to_dict() == {"persuaded": 1, "anyway": 2, "put off": 0, "unmoved": 1, "everybody": 4}
    assert rows.at["persuaded", "benefit_share"] == 0.75
    assert rows.at["anyway", "degree"] == 3.0
    assert math.isnan(rows.at["put off", "degree"])


@pytest.fixture(scope="module")
def crowd():
    """Return persons of whom those with a positive first covariate are persuaded, and an experiment on them."""
    rng = np.random.default_rng(3)
    before = rng.standard_normal((6000, 3))
    without = rng.random(6000) < 0.3
    under = np.where((before[:, 0] > 0) & (rng.random(6000) < 0.6), True, without)
    treated = rng.random(6000) < 0.5
    return before, without.astype(float), under.astype(float), treated


def test_the_model_finds_whom_the_scheme_moves_and_the_test_promises_what_is_true(crowd):
    before, without, under, treated = crowd
    seen, effect = np.where(treated, under, without), under - without
    score, untreated = uplift.predict(before, seen, treated, np.arange(6000) % 6)
    assert np.corrcoef(score, before[:, 0] > 0)[0, 1] > 0.8
    assert untreated.mean() == pytest.approx(0.3, abs=0.03)
    model, ideal = uplift.gain(score, effect), uplift.gain(effect, effect)
    assert 0.3 < uplift.quality(model, ideal) < 1
    promised = uplift.qini(score, seen, treated)
    assert np.nanmax(np.abs(promised["gain"] - model["gain"])) < 0.15 * model["gain"].max()
    half = uplift.savings(score, effect, under, [0.5, 1.0]).set_index("share")
    assert half.at[0.5, "effect_share"] > 0.95
    assert half.at[1.0, "effect_share"] == half.at[1.0, "benefit_share"] == 1.0


def test_without_any_effect_the_model_is_no_better_than_a_lot(crowd):
    before, without, _, treated = crowd
    score, _ = uplift.predict(before, without, treated, np.zeros(6000))
    effect = np.random.default_rng(4).choice([-1.0, 0.0, 1.0], 6000)
    assert abs(uplift.quality(uplift.gain(score, effect), uplift.gain(effect, effect))) < 0.1


def test_a_ranking_is_one_if_ideal_zero_if_by_lot_and_below_zero_if_turned_round(crowd):
    _, without, under, _ = crowd
    effect = under - without
    ideal = uplift.gain(effect, effect)
    assert uplift.quality(ideal, ideal) == 1.0
    assert uplift.quality(uplift.gain(np.zeros(effect.size), effect), ideal) == pytest.approx(0.0, abs=1e-9)
    assert uplift.quality(uplift.gain(-effect, effect), ideal) < -0.5
    assert ideal["gain"].iloc[-1] == pytest.approx(1000 * effect.mean())


def test_a_person_is_never_predicted_by_a_model_that_has_seen_them():
    before = np.arange(200.0)[:, None]
    treated = np.arange(200) % 2 == 0
    group = np.arange(200) // 100
    outcome = np.where(group == 0, 0.0, treated * 1.0)  # the second group alone shows an effect
    effect, _ = uplift.predict(before, outcome, treated, group)
    assert effect[group == 1].max() == 0.0
    assert effect[group == 0].min() > 0.5
