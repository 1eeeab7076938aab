"""Sweeps: designs, paired effects, main effects, the best points and what fresh seeds make of them."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from experiments.plans.evaluate import COLUMNS
from experiments.plans.parameters import Parameter
from experiments.plans.plan import load_plan
from experiments.plans.sweep import (
    GridDesign,
    HypercubeDesign,
    SobolDesign,
    analyse,
    base_point,
    design_points,
    effects,
    main_effects,
    ranking,
)
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
    runs = frame(lambda point, seed: 4 * point["x"] + math.log10(point["y"]), points, [1])
    table = pd.DataFrame(points).rename_axis("point").reset_index()
    found = main_effects(table, runs, [X, Y], grid=False)
    rows = found[found["parameter"] == "x"]
    assert len(rows) == 5
    assert rows["difference"].is_monotonic_increasing
    truth = 4 * (rows["value"] - 0.5)
    assert ((rows["difference_low"] < truth) & (truth < rows["difference_high"])).all()


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
