"""Sensitivity: indices that are known come out of the pipeline, gaps are refused or imputed openly, noise is told."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from SALib.analyze import morris, sobol

from experiments.plans.command import PlanOptions
from experiments.plans.evaluate import COLUMNS
from experiments.plans.indices import MorrisMethod, SobolMethod, estimate, noise
from experiments.plans.parameters import Parameter
from experiments.plans.plan import load_plan
from experiments.plans.sensitivity import command, filled, investigate
from sim.scenario import ScenarioError
from tests.test_plans import SCENARIO

ISHIGAMI = {"S1": (0.3139, 0.4424, 0.0), "ST": (0.5576, 0.4424, 0.2437)}
"""Of sin x1 + 7 sin^2 x2 + 0.1 x3^4 sin x1, each x uniform from -pi to pi (Ishigami & Homma 1990)."""
G = (0.0, 1.0, 4.5, 9.0, 99.0)
"""Coefficients of the G function of Sobol' (1993)."""


def ishigami(x, seed):
    return math.sin(x["x1"]) + 7 * math.sin(x["x2"]) ** 2 + 0.1 * x["x3"] ** 4 * math.sin(x["x1"])


def g_function(x, seed):
    return math.prod((abs(4 * x[f"x{i}"] - 2) + a) / (1 + a) for i, a in enumerate(G, 1))


def g_indices():
    parts = np.array([1 / 3 / (1 + a) ** 2 for a in G])
    total = np.prod(1 + parts) - 1
    return {"S1": parts / total, "ST": parts * np.prod(1 + parts) / (1 + parts) / total}


def parameters(count, low, high):
    return [Parameter(f"x{i}", "", low, high, False, 0.0, (), None) for i in range(1, count + 1)]


def evaluator(function):
    def evaluate(points, seeds):
        rows = [(i, seed, "y", function(point, seed)) for i, point in enumerate(points) for seed in seeds]
        return pd.DataFrame([row for row in rows if row[3] is not None], columns=list(COLUMNS))

    return evaluate


def study(method, function, varied, seeds=(1,), **options):
    design = method.design(len(varied))
    points = [{one.path: one.from_unit(u) for one, u in zip(varied, row, strict=True)} for row in design]
    return investigate(method, design, points, varied, ["y"], evaluator(function), list(seeds), **options)


def by_parameter(findings):
    return findings.tables["indices"].set_index("parameter").sort_index()


@pytest.mark.parametrize(
    ("function", "varied", "truth"),
    [
        (ishigami, parameters(3, -math.pi, math.pi), ISHIGAMI),
        (g_function, parameters(5, 0.0, 1.0), g_indices()),
    ],
    ids=["Ishigami", "G"],
)
def test_known_sobol_indices_lie_within_their_intervals(function, varied, truth):
    found = by_parameter(study(SobolMethod(kind="sobol", points=1024), function, varied))
    for name, values in truth.items():
        assert np.all(found[f"{name}_low"] <= np.array(values) + 1e-9), name
        assert np.all(found[f"{name}_high"] >= np.array(values) - 1e-9), name
        assert np.allclose(found[name], values, atol=0.05)
        assert np.all(found[f"{name}_high"] - found[f"{name}_low"] < 0.25), name


def test_parameters_are_ranked_and_the_rank_says_how_sure_it_is():
    found = study(SobolMethod(kind="sobol", points=512), g_function, parameters(5, 0.0, 1.0)).tables["indices"]
    assert found["parameter"].tolist() == ["x1", "x2", "x3", "x4", "x5"]
    assert found.loc[0, ["rank_low", "rank", "rank_high"]].tolist() == [1, 1, 1]


def test_estimates_and_widths_are_those_of_salib():
    rng = np.random.default_rng(3)
    method = SobolMethod(kind="sobol", points=256)
    design = method.design(3)
    values = design @ [3.0, 1.0, 0.0] + rng.normal(0, 0.1, len(design))
    problem = {"num_vars": 3, "names": ["a", "b", "c"], "bounds": [[0, 1]] * 3}
    theirs = sobol.analyze(problem, values, calc_second_order=False, num_resamples=1000, seed=1)
    ours = estimate(method, design, values[:, None], ["a", "b", "c"], 1000, 0.95).sort_values("parameter")
    for name in ("S1", "ST"):
        assert np.allclose(ours[name], theirs[name])
        assert np.allclose((ours[f"{name}_high"] - ours[f"{name}_low"]) / 2, theirs[f"{name}_conf"], rtol=0.15)
    screen = MorrisMethod(kind="morris", trajectories=40)
    design = screen.design(3)
    values = (design**2) @ [3.0, -1.0, 0.0]
    theirs = morris.analyze(problem, design, values, num_resamples=1000, seed=1)
    ours = estimate(screen, design, values[:, None], ["a", "b", "c"], 1000, 0.95).sort_values("parameter")
    for name in ("mu_star", "mu", "sigma"):
        assert np.allclose(ours[name], np.asarray(theirs[name], float))
    halves = (ours["mu_star_high"] - ours["mu_star_low"]) / 2
    assert np.allclose(halves, np.asarray(theirs["mu_star_conf"], float), rtol=0.2, atol=1e-12)


def test_intervals_cover_the_truth_as_often_as_they_say():
    truth, varied = g_indices()["ST"][:3], parameters(5, 0.0, 1.0)
    hits = []
    for seed in range(40):
        found = by_parameter(study(SobolMethod(kind="sobol", points=64, seed=seed), g_function, varied, resamples=300))
        hits += [low <= true <= high for low, true, high in zip(found["ST_low"], truth, found["ST_high"], strict=False)]
    assert np.mean(hits) > 0.85  # scrambled Sobol points are evener than the bootstrap knows: it errs on the safe side


def test_what_a_seed_does_to_all_points_alike_changes_no_index():
    method, varied = SobolMethod(kind="sobol", points=64), parameters(3, -math.pi, math.pi)
    calm = study(method, ishigami, varied, seeds=(1, 2, 3))
    lucky = study(method, lambda x, seed: ishigami(x, seed) + 1000.0 * seed, varied, seeds=(1, 2, 3))
    pd.testing.assert_frame_equal(calm.tables["indices"], lucky.tables["indices"], rtol=1e-6, atol=1e-6)
    assert lucky.tables["noise"].loc[0, "removed"] > 1000
    assert lucky.tables["noise"].loc[0, "left"] == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(
    "method",
    [SobolMethod(kind="sobol", points=512), MorrisMethod(kind="morris", trajectories=400)],
    ids=lambda m: m.kind,
)
def test_a_parameter_without_effect_looks_as_large_as_the_floor_says(method):
    rng = np.random.default_rng(1)
    design = method.design(2)
    values = 3 * design[:, :1] + rng.normal(0, 1, (len(design), 4))
    main = "ST" if method.kind == "sobol" else "mu_star"
    found = estimate(method, design, values, ["a", "dead"], 200, 0.95).set_index("parameter")
    assert found.loc["dead", main] == pytest.approx(noise(method, values).floor, rel=0.15)


def test_an_incomplete_design_is_refused_with_the_places_of_the_gaps():
    def gappy(x, seed):
        return None if seed == 2 and x["x1"] > 3 else ishigami(x, seed)

    found = study(SobolMethod(kind="sobol", points=64), gappy, parameters(3, -math.pi, math.pi), seeds=(1, 2))
    assert not found.passed
    assert found.tables["indices"].empty
    assert "of 640 runs failed or have no value (point" in found.summary["refused"]["y"]
    assert "with seed 2" in found.summary["refused"]["y"]
    assert "is refused" in found.summary["verdict"]


def test_gaps_are_imputed_only_if_asked_for_and_then_it_is_said():
    def gappy(x, seed):
        return float("nan") if seed == 2 and x["x1"] > 3 else ishigami(x, seed)

    varied = parameters(3, -math.pi, math.pi)
    found = study(SobolMethod(kind="sobol", points=64), gappy, varied, seeds=(1, 2), impute="mean")
    whole = study(SobolMethod(kind="sobol", points=64), ishigami, varied, seeds=(1, 2))
    assert found.passed
    count = found.summary["imputed"]["y"]["values"]
    assert 0 < count < 64
    assert f"In y {count} of 640 values are imputed means" in found.summary["verdict"]
    assert np.allclose(by_parameter(found)["ST"], by_parameter(whole)["ST"], atol=0.02)


def test_too_many_gaps_are_refused_even_if_imputing_is_asked_for():
    def gappy(x, seed):
        return None if x["x1"] > 0 else ishigami(x, seed)

    found = study(SobolMethod(kind="sobol", points=64), gappy, parameters(3, -1.0, 1.0), impute="mean")
    assert "more than the 20% that may be imputed" in found.summary["refused"]["y"]


def test_imputed_means_keep_what_points_and_seeds_add():
    whole = np.add.outer([1.0, 5.0, 9.0], [0.0, 2.0])
    gappy = whole.copy()
    gappy[1, 1] = np.nan
    assert filled(gappy)[1, 0] == 5.0
    assert 5.0 < filled(gappy)[1, 1] < 8.0


def test_a_metric_that_does_not_vary_has_no_indices_and_the_verdict_says_so():
    found = study(SobolMethod(kind="sobol", points=64), lambda x, seed: 7.0, parameters(3, 0.0, 1.0), seeds=(1, 2))
    assert found.tables["indices"].drop(columns=["metric", "parameter"]).isna().all(axis=None)
    assert "y does not vary with any of these parameters" in found.summary["verdict"]


def test_morris_finds_the_parameters_that_matter():
    def steep(x, seed):
        return 10 * x["x1"] - 4 * x["x2"] + x["x1"] * x["x3"]

    found = study(MorrisMethod(kind="morris", trajectories=30), steep, parameters(4, 0.0, 1.0)).tables["indices"]
    assert found["parameter"].tolist() == ["x1", "x2", "x3", "x4"]
    row = found.set_index("parameter").loc["x2"]
    assert (row["mu_star"], row["mu"]) == pytest.approx((4, -4))
    assert row["sigma"] == pytest.approx(0, abs=1e-9)
    assert found.set_index("parameter").loc["x4", "mu_star_high"] == 0


def told(function, seeds, points=64):
    method, varied = SobolMethod(kind="sobol", points=points), parameters(2, 0.0, 1.0)
    return study(method, function, varied, seeds, resamples=200).summary["verdict"]


def noise_of(x, seed):
    return float(np.random.default_rng([seed, int(1e9 * x["x1"]), int(1e9 * x["x2"])]).normal())


def test_only_what_leaves_the_noise_is_beyond_doubt():
    assert "beyond doubt" in told(lambda x, seed: 50 * x["x1"] + noise_of(x, seed), (1, 2))
    assert "beyond doubt" not in told(noise_of, (1, 2))
    assert "noise alone could look like that" in told(noise_of, (1, 2))


def test_with_one_seed_nothing_is_beyond_doubt():
    said = told(lambda x, seed: 50 * x["x1"], (1,))
    assert "beyond doubt" not in said
    assert "with one seed nobody can say how much of that is noise" in said


def test_shares_above_the_whole_are_said_to_come_from_a_small_design():
    assert "the design is too small" in told(noise_of, (1, 2), points=4)
    assert "the design is too small" not in told(lambda x, seed: x["x1"] + x["x2"], (1, 2), points=256)


PLAN = """kind: sensitivity
question: What moves <orders>?
scenario: tiny.yaml
replicates: 2
metrics: [orders, retention_d30]
parameters:
  people.members_at_start: {min: 20%, max: 90%}
  schemes.0.discount: {min: 5%, max: 10%}
method: {kind: morris, trajectories: 4}
"""


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    return file


def test_on_the_shop_it_ranks_parameters_and_refuses_a_metric_without_data(plan, tmp_path, capsys):
    assert command(plan, PlanOptions(workers=1, out=tmp_path / "out", as_json=True, quiet=True)) == 1
    summary = json.loads(capsys.readouterr().out)
    assert [row["parameter"] for row in summary["indices"]] == ["people.members_at_start", "schemes.0.discount"]
    assert summary["indices"][0]["mu_star"] > 0
    assert "24 of 24 runs failed or have no value" in summary["refused"]["retention_d30"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "What moves &lt;orders&gt;?" in page
    assert "retention_d30 is refused" in page
    assert page.count("<svg") == 1


def test_it_passes_and_prints_tables_if_nothing_is_missing(plan, tmp_path, capsys):
    options = PlanOptions(workers=1, out=tmp_path / "out", changes=["metrics=[orders]", "replicates=1"])
    assert command(plan, options) == 0
    out = capsys.readouterr().out
    assert "mean absolute effect" in out
    assert "orders is moved most by people.members_at_start" in out
    assert "With one seed nobody can say" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("{kind: morris, trajectories: 4}", "{kind: sobol, points: 100}", "must be a power of 2, such as 64 or 128"),
        ("trajectories: 4", "trajectories: 4, levels: 5", "method.levels: must be a multiple of 2"),
        ("  schemes.0.discount: {min: 5%, max: 10%}\n", "", "must be at least two"),
        ("{min: 5%, max: 10%}", "{values: [5%]}", "has one value, which cannot move anything"),
        ("replicates: 2", "impute: median", "impute: must be mean"),
    ],
)
def test_a_plan_that_cannot_rank_anything_is_refused(plan, old, new, says):
    assert old in PLAN
    plan.write_text(PLAN.replace(old, new))
    with pytest.raises(ScenarioError) as caught:
        load_plan(plan)
    assert says in str(caught.value)
