"""Calibration: planted parameters lie in their intervals, and what cannot be told apart is named."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.plans.calibrate import CalibratePlan, calibrate
from experiments.plans.moments import Aim, design, fit, neighbours, settled, slopes
from experiments.plans.parameters import Parameter
from experiments.plans.targets import Target, read_targets
from sim.scenario import ScenarioError

RATE = Parameter("rate", "", 0.5, 3.0, False, 0.0, (), None)
SHAPE = Parameter("shape", "", 0.5, 4.0, True, 0.0, (), None)
PERSONS = 400


def purchases(rate, shape, seed, persons=PERSONS):
    """A small stochastic world: negative binomial purchases (a gamma rate a person), and what a shop would measure.

    Draws are addresses, as in the shop: the same seed gives the same persons whatever the parameters.
    """
    u = np.random.default_rng(seed).random((3, persons))
    own = stats.gamma.ppf(u[0], shape, scale=rate / shape)
    bought = stats.poisson.ppf(u[1], own)
    again = stats.poisson.ppf(u[2], own)
    return {
        "orders": bought.mean(),
        "buyers": (bought > 0).mean(),
        "repeat_rate": (bought > 1).mean(),
        "churn_rate": ((again == 0) & (bought > 0)).mean(),
        "gmv": float(np.var(bought)),
    }


def world(points, seeds):
    rows = [
        (i, seed, metric, value)
        for i, point in enumerate(points)
        for seed in seeds
        for metric, value in purchases(point["rate"], point["shape"], seed).items()
    ]
    return pd.DataFrame(rows, columns=["point", "seed", "metric", "value"])


def plan(**changes):
    values = {
        "kind": "calibrate",
        "name": "test",
        "scenario": "none.yaml",
        "targets": "none.csv",
        "parameters": {"x": {"min": 0, "max": 1}},
        "trials": 10,
        "replicates": 2,
        "draws": 5,
        "refine": {"replicates": 12},
    }
    return CalibratePlan.model_validate({**values, **changes})


def observed(rate, shape, seed, held_out=()):
    """Return targets from one world of its own, whose errors nobody has stated."""
    return [Target(name, value, held_out=name in held_out) for name, value in purchases(rate, shape, seed).items()]


def trial(number, folder, evaluate=world, **changes):
    """Plant parameters, observe one world, calibrate; return the truth and the findings."""
    source = np.random.default_rng(number)
    truth = {one.path: one.from_unit(source.uniform(0.15, 0.85)) for one in (RATE, SHAPE)}
    targets = observed(truth["rate"], truth["shape"], 10**6 + number, held_out=("repeat_rate",))
    findings = calibrate(
        plan(seed=1 + 1000 * number, **changes), [RATE, SHAPE], targets, evaluate, folder / str(number)
    )
    return truth, findings


def covers(truth, findings, low="ci_low", high="ci_high"):
    table = findings.tables["estimates"].set_index("parameter")
    return {path: table.loc[path, low] <= value <= table.loc[path, high] for path, value in truth.items()}


@pytest.mark.slow
def test_planted_parameters_lie_in_their_intervals_in_at_least_18_of_20_trials(tmp_path):
    trials = [trial(number, tmp_path) for number in range(100, 140)]
    for path in ("rate", "shape"):
        assert sum(covers(*one)[path] for one in trials) >= 36
    assert sum(all(covers(*one, "all_low", "all_high").values()) for one in trials) >= 36
    widths = pd.concat([findings.tables["estimates"] for _, findings in trials])
    assert (widths["share_high"] - widths["share_low"]).median() < 0.5  # and they say something
    # At 95% each, about two of 40 held-out targets are missed by chance, and hardly one model is rejected at 1%.
    assert sum(findings.passed for _, findings in trials) >= 34


def linear_trial(number, seeds=12, persons=100):
    """One round on a model that is linear in its parameters, where the theory of intervals is exact but for `V`."""
    source = np.random.default_rng([7, number])
    truth = source.uniform(0.3, 0.7, 2)
    slopes_ = np.array([[1.0, 0.5], [0.2, 1.0], [0.7, -0.4]])
    mix = np.array([[0.10, 0.05, 0.0], [0.0, 0.08, 0.04], [0.03, 0.0, 0.09]])
    target = slopes_ @ truth + mix @ source.normal(size=3) * 0.7
    centre, widths = np.array([0.5, 0.5]), np.array([0.1, 0.1])
    points = design(centre, widths)
    noise = mix @ source.normal(size=(3, seeds)) * 0.7
    moments = np.array([(slopes_ @ point)[:, None] + noise for point in points])
    found = fit(slopes(points, moments), Aim(target, np.full(3, math.nan), np.full(3, math.nan)), 10 * widths)
    return truth, found


def test_intervals_cover_as_often_as_they_say():
    """1,000 trials: the standard error of 95% is 0.7 points; the tolerance is three of them."""
    inside = np.zeros(2)
    together = 0
    p_values = []
    for number in range(1000):
        truth, found = linear_trial(number)
        low, high = found.interval(0.95)
        inside += (low <= truth) & (truth <= high)
        low, high = found.interval(0.95, together=True)
        together += ((low <= truth) & (truth <= high)).all()
        p_values.append(found.p_value)
    assert (np.abs(inside / 1000 - 0.95) < 0.021).all()
    assert 0.935 < together / 1000 < 0.985
    assert np.mean(np.array(p_values) < 0.05) == pytest.approx(0.05, abs=0.025)


def only_the_product(points, seeds):
    """Two parameters that enter by their product alone."""
    rows = []
    for i, point in enumerate(points):
        for seed in seeds:
            values = purchases(point["rate"] * point["shape"] / 2, 2.0, seed)
            rows += [(i, seed, metric, value) for metric, value in values.items()]
    return pd.DataFrame(rows, columns=["point", "seed", "metric", "value"])


def test_parameters_that_enter_by_their_product_cannot_be_told_apart_and_are_named(tmp_path):
    targets = [Target(name, value) for name, value in purchases(1.5, 2.0, 61).items()]
    findings = calibrate(plan(), [RATE, SHAPE], targets, only_the_product, tmp_path)
    told = findings.summary["identifiability"]
    assert told["cannot_be_told"] == [["rate", "shape"]]
    assert "rate and shape cannot be told apart" in findings.summary["verdict"]
    table = findings.tables["estimates"].set_index("parameter")
    assert not table["known"].any()
    # The truth, 1.5 = rate x shape / 2, is met all the same, and the intervals leave room for it.
    assert table.loc["rate", "estimate"] * table.loc["shape", "estimate"] / 2 == pytest.approx(1.5, rel=0.15)
    assert (table["share_high"] - table["share_low"] > 0.8).all()


def test_a_parameter_that_moves_nothing_is_named(tmp_path):
    idle = Parameter("idle", "", 0.0, 1.0, False, 0.0, (), None)

    def evaluate(points, seeds):
        return world([{**point, "shape": 2.0} for point in points], seeds)

    targets = [Target(name, value) for name, value in purchases(1.5, 2.0, 61).items()]
    findings = calibrate(plan(), [RATE, idle], targets, evaluate, tmp_path)
    assert findings.summary["identifiability"]["cannot_be_told"] == [["idle"]]
    assert "say nothing about idle" in findings.summary["verdict"]
    table = findings.tables["estimates"].set_index("parameter")
    assert table.loc["rate", "known"]
    assert table.loc["rate", "ci_low"] <= 1.5 <= table.loc["rate", "ci_high"]
    assert (table.loc["idle", "ci_low"], table.loc["idle", "ci_high"]) == (0, 1)


def test_a_model_that_cannot_meet_its_targets_is_found_out(tmp_path):
    values = purchases(1.5, 2.0, 61)
    targets = [Target(name, value + 0.25 * (name == "buyers")) for name, value in values.items()]
    findings = calibrate(plan(), [RATE, SHAPE], targets, world, tmp_path)
    assert not findings.passed
    assert "does not meet the targets" in findings.summary["verdict"]


def test_a_held_out_target_that_is_missed_is_named_and_does_not_move_the_estimate(tmp_path):
    values = purchases(1.5, 2.0, 61)
    right = [Target(name, value, held_out=name == "repeat_rate") for name, value in values.items()]
    wrong = [
        Target(name, value + 0.3 * (name == "repeat_rate"), held_out=name == "repeat_rate")
        for name, value in values.items()
    ]
    good, bad = (
        calibrate(plan(), [RATE, SHAPE], targets, world, tmp_path / name)
        for name, targets in (("a", right), ("b", wrong))
    )
    assert "It predicts what was held out." in good.summary["verdict"]
    assert "It misses repeat_rate" in bad.summary["verdict"]
    assert not bad.passed
    pd.testing.assert_frame_equal(good.tables["estimates"], bad.tables["estimates"])


def test_a_calibration_that_was_cut_short_goes_on_as_if_nothing_had_happened(tmp_path):
    targets = observed(1.5, 2.0, 61)
    whole = calibrate(plan(trials=12), [RATE, SHAPE], targets, world, tmp_path / "whole")
    calibrate(plan(trials=5), [RATE, SHAPE], targets, world, tmp_path / "cut")
    again = calibrate(plan(trials=12), [RATE, SHAPE], targets, world, tmp_path / "cut")
    assert whole.summary == again.summary
    pd.testing.assert_frame_equal(whole.runs, again.runs)


def test_more_precise_targets_give_shorter_intervals(tmp_path):
    values = purchases(1.5, 2.0, 61, persons=100_000)
    widths = []
    for se in (0.05, 0.005):
        targets = [Target(name, value, se * (5 if name == "gmv" else 1)) for name, value in values.items()]
        config = plan(refine={"replicates": 30}, correlation="none")
        findings = calibrate(config, [RATE, SHAPE], targets, world, tmp_path / str(se))
        table = findings.tables["estimates"]
        widths.append((table["share_high"] - table["share_low"]).to_numpy())
    assert (widths[1] < widths[0]).all()


@pytest.mark.parametrize("centre", [0.0, 0.03, 0.5, 0.98, 1.0])
def test_neighbours_stay_in_range_and_slopes_of_parabolas_are_exact(centre):
    offsets = neighbours(centre, 0.1)
    assert all(0 <= centre + offset <= 1 for offset in offsets)
    points = design(np.array([centre]), np.array([0.1]))
    noise = np.random.default_rng(1).normal(size=6)
    moments = np.array([[3 * point[0] ** 2 - point[0] + noise] for point in points])
    assert slopes(points, moments).mean[0, 0] == pytest.approx(6 * centre - 1)


def test_a_step_that_leaves_the_neighbours_has_not_settled():
    truth, found = linear_trial(3)
    assert settled(found, np.full(2, 0.5)).settled
    assert not settled(found, np.abs(found.step) / 2).settled
    assert truth.shape == found.step.shape


def test_targets_are_read_with_units_and_remarks(tmp_path):
    file = tmp_path / "targets.csv"
    file.write_text("metric,value,se,held_out\n# a remark\nconversion,3.1%,0.1%,\n\ngmv,1200,,yes\n")
    first, second = read_targets(file, "targets.csv")
    assert (first.metric, first.value, first.se, first.held_out, first.line) == ("conversion", 0.031, 0.001, False, 3)
    assert (second.value, second.held_out) == (1200.0, True)
    assert math.isnan(second.se)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "t.csv:1: metric: is a column that the first line must name."),
        ("metric,value,error\n", "t.csv:1: error: is not a column here."),
        ("metric,value\n", "t.csv:1: has no targets"),
        ("metric,value\ngmv,lots\n", "t.csv:2: value: must be a number or a percentage. Got"),
        ("metric,value\ngmv,inf\n", "t.csv:2: value: must be a number or a percentage. Got"),
        ("metric,value\ngmv,\n", "t.csv:2: value: is missing."),
        ("metric,value\ngmv,1,2\n", "t.csv:2: must have 2 cells"),
        ("metric,value\ngmv,1\ngmv,2\n", "t.csv:3: metric: is given twice."),
        ("metric,value,se\ngmv,1,0\n", "t.csv:2: se: must be above 0."),
        ("metric,value,held_out\ngmv,1,perhaps\n", "t.csv:2: held_out: must be yes, no or nothing."),
        ("metric,value\n,1\n", "t.csv:2: metric: is missing."),
    ],
)
def test_a_wrong_file_of_targets_is_refused_with_line_and_column(tmp_path, text, said):
    file = tmp_path / "t.csv"
    file.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        read_targets(file, "t.csv")
    assert str(caught.value).startswith(said)


def test_a_missing_file_of_targets_is_named(tmp_path):
    with pytest.raises(ScenarioError, match=r"none\.csv: cannot be read"):
        read_targets(Path(tmp_path / "none.csv"), "none.csv")
