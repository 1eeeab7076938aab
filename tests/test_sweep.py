"""Sweeps: designs, paired effects, main effects, the best points and what fresh seeds make of them."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from experiments.plans.command import PlanOptions
from experiments.plans.evaluate import COLUMNS
from experiments.plans.parameters import Parameter
from experiments.plans.plan import load_plan
from experiments.plans.sweep import (
    GridDesign,
    HypercubeDesign,
    SobolDesign,
    analyse,
    base_point,
    command,
    design_points,
    effects,
    main_effects,
    ranking,
    sampled_effect,
)
from experiments.replication import MAX_SEED
from sim.scenario import ScenarioError
from tests.test_plans import plan  # noqa: F401  (fixture)

X = Parameter("x", "", 0.0, 1.0, False, 0.0, (), 0.5)
Y = Parameter("y", "", 1.0, 100.0, True, 0.0, (), 10.0)
Z = Parameter("z", "", math.nan, math.nan, False, 0.0, ("a", "b"), "a")


def test_a_grid_holds_every_combination_with_both_ends():
    points = design_points(GridDesign(kind="grid", levels=3), [X, Y, Z])
    assert len(points) == 18
    assert sorted({point["x"] for point in points}) == [0, 0.5, 1]
    assert sorted({point["y"] for point in points}) == pytest.approx([1, 10, 100])
    assert {point["z"] for point in points} == {"a", "b"}


@pytest.mark.parametrize(
    "design", [HypercubeDesign(kind="latin_hypercube", points=16), SobolDesign(kind="sobol", points=16)]
)
def test_points_fill_every_sixteenth_of_every_range_once(design):
    points = design_points(design, [X, Y])
    assert sorted(int(16 * point["x"]) for point in points) == list(range(16))
    assert sorted(int(16 * math.log(point["y"], 100)) for point in points) == list(range(16))
    assert points == design_points(design, [X, Y])


def frame(function, points, seeds):
    rows = [(i, seed, "gmv", function(point, seed)) for i, point in enumerate(points) for seed in seeds]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def noisy(point, seed):
    return 100 * np.random.default_rng(seed).normal() + 3 * point["x"] + np.random.default_rng((seed, 1)).normal() * 0.1


def test_effects_are_paired_by_seed():
    found = effects(frame(noisy, [{"x": 0.0}, {"x": 1.0}, {"x": 0.0}], range(8))).set_index("point")
    assert found.loc[1, "difference"] == pytest.approx(3)
    assert found.loc[1, "difference_low"] == pytest.approx(3, abs=1e-6)
    assert found.loc[1, "ci_high"] - found.loc[1, "ci_low"] > 50
    assert found.loc[1, "variance_reduction"] > 1e6
    assert found["verdict"].tolist() == ["better", "same"]


def test_only_seeds_that_ran_at_both_points_are_compared():
    runs = frame(noisy, [{"x": 0.0}, {"x": 1.0}], range(5))
    runs = runs[~((runs["point"] == 0) & (runs["seed"] == 2)) & ~((runs["point"] == 1) & (runs["seed"] == 4))]
    assert effects(runs).loc[0, "pairs"] == 3


def test_a_base_that_never_ran_leaves_nothing_to_compare():
    runs = frame(noisy, [{"x": 0.0}, {"x": 1.0}], range(3))
    found = effects(runs[runs["point"] != 0])
    assert found["verdict"].tolist() == ["no data"]
    assert ranking(found, "gmv").empty


def test_main_effects_of_a_grid_average_over_the_other_parameters():
    points = [{"x": 0.5, "y": 10.0}, *design_points(GridDesign(kind="grid", levels=3), [X, Y])]
    runs = frame(lambda point, seed: 4 * point["x"] + math.log10(point["y"]) + seed, points, range(3))
    table = pd.DataFrame(points).rename_axis("point").reset_index()
    found = main_effects(table, runs, [X, Y], grid=True).set_index(["parameter", "value"])["difference"]
    assert found["x"].tolist() == pytest.approx([-2, 0, 2])
    assert found["y"].tolist() == pytest.approx([-1, 0, 1])


def test_main_effects_of_many_points_are_those_of_bins():
    points = [{"x": 0.5, "y": 10.0}, *design_points(SobolDesign(kind="sobol", points=64), [X, Y])]
    runs = frame(lambda point, seed: 4 * point["x"] + math.log10(point["y"]), points, [1, 2])
    table = pd.DataFrame(points).rename_axis("point").reset_index()
    found = main_effects(table, runs, [X, Y], grid=False)
    rows = found[found["parameter"] == "x"]
    assert len(rows) == 5
    assert rows["difference"].is_monotonic_increasing
    truth = 4 * (rows["value"] - 0.5)
    assert ((rows["difference_low"] < truth) & (truth < rows["difference_high"])).all()


def test_intervals_of_sampled_points_cover_the_truth_when_points_and_seeds_vary():
    source, hits = np.random.default_rng(1), 0
    for _ in range(400):
        points, seeds, single = source.normal(size=6), source.normal(size=4), source.normal(0, 0.3, (4, 6))
        found = sampled_effect(pd.DataFrame(points + seeds[:, None] + single))
        hits += found.low <= 0 <= found.high
    assert 0.93 < hits / 400 <= 1


def test_main_effects_of_sampled_points_have_no_interval_with_one_seed():
    found = sampled_effect(pd.DataFrame([[1.0, 2.0, 3.0]]))
    assert found.mean == 2
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def verdict_of(plan, function):  # noqa: F811
    loaded = load_plan(plan, ["metrics=[contribution]"])
    points = [base_point(loaded), *design_points(loaded.config.design, loaded.parameters)]

    def evaluate(chosen, seeds):
        return frame(function, chosen, seeds).assign(metric="contribution")

    return analyse(loaded, points, evaluate, [], 0).summary["verdict"]


def test_a_sweep_in_which_nothing_is_better_names_no_best_point(plan):  # noqa: F811
    said = verdict_of(plan, lambda point, seed: seed)
    assert "no point is shown to be better than the base" in said
    assert "the best of" not in said


def test_points_that_do_exactly_as_well_as_the_best_are_counted(plan):  # noqa: F811
    said = verdict_of(plan, lambda point, seed: seed + 2 * min(point["schemes.group_buy.discount"], 0.16))
    assert "the best of 6 points is" in said
    assert "3 more do exactly as well" in said


def test_seeds_that_confirm_have_to_stay_below_the_largest(plan):  # noqa: F811
    load_plan(plan, [f"seed={MAX_SEED - 6}", "confirm=4"])
    with pytest.raises(ScenarioError, match="seed: must leave room for the seeds of replicates and of confirm"):
        load_plan(plan, [f"seed={MAX_SEED - 6}", "confirm=5"])


def test_whole_numbers_are_swept_and_reported_with_all_runs_counted(plan, tmp_path, capsys):  # noqa: F811
    changes = [
        "parameters={schemes.group_buy.team_size: {min: 2, max: 3}, people.network.mean_degree: {values: [4, 6]}}",
        "design.levels=2", "replicates=2", "confirm=2",
    ]  # fmt: skip
    assert command(plan, PlanOptions(workers=1, out=tmp_path / "out", changes=changes)) == 0
    assert "mean_degree" in capsys.readouterr().out
    runs = json.loads((tmp_path / "out" / "summary.json").read_text())["runs"]
    assert runs == 5 * 2 + 4 * 2
    assert f"4 points and the base, {runs} runs" in (tmp_path / "out" / "report.html").read_text()


def test_the_base_is_the_scenario_unless_the_plan_says_otherwise(plan):  # noqa: F811
    assert base_point(load_plan(plan)) == {"schemes.group_buy.discount": 0.15, "schemes.0.window": 24.0}
    loaded = load_plan(plan, ["base={schemes.0.window: 3d}"])
    assert base_point(loaded) == {"schemes.group_buy.discount": 0.15, "schemes.0.window": 72.0}


def test_the_best_points_are_confirmed_with_fresh_seeds(plan):  # noqa: F811
    loaded = load_plan(plan, ["confirm=4", "metrics=[contribution, incentive_cost]"])
    points = [base_point(loaded), *design_points(loaded.config.design, loaded.parameters)]
    asked = []

    def evaluate(chosen, seeds):
        asked.append((len(chosen), list(seeds)))
        rows = []
        for number, point in enumerate(chosen):
            for seed in seeds:
                x = point["schemes.group_buy.discount"]
                value = np.random.default_rng((seed, int(1000 * x))).normal() - 100 * abs(x - 0.3)
                rows += [(number, seed, "contribution", value), (number, seed, "incentive_cost", x)]
        return pd.DataFrame(rows, columns=list(COLUMNS))

    found = analyse(loaded, points, evaluate, fresh=[4, 5, 6, 7], confirmed=2)
    assert asked == [(7, [1, 2, 3]), (3, [4, 5, 6, 7])]
    best = found.summary["best"][0]
    assert best["parameters"]["schemes.group_buy.discount"] == 0.3
    confirmed = found.tables["confirmed"]
    assert set(confirmed["point"]) == {5, 6}
    assert set(found.tables["confirmed_runs"]["seed"]) == {4, 5, 6, 7}
    assert "Run again with fresh seeds it changes contribution by +1" in found.summary["verdict"]
    json.dumps(found.summary)


def test_less_is_better_where_the_metric_says_so():
    rows = [(point, seed, "fraud_loss", 10.0 * point) for point in range(3) for seed in (1, 2)]
    found = ranking(effects(pd.DataFrame(rows, columns=list(COLUMNS)), base=1), "fraud_loss")
    assert found["point"].tolist() == [0, 2]
