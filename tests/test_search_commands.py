"""The commands optimise and calibrate: their plans, errors, folders and reports, on shops and without."""

import json
import re

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.plans.calibrate import calibrate
from experiments.plans.evaluate import Runner
from experiments.plans.optimise import PLANNED, optimise, worlds_of
from experiments.plans.plan import load_plan
from experiments.plans.pool import LastingPool, lasting_workers
from experiments.plans.study import write_study
from experiments.plans.targets import Target
from experiments.report import render
from sim.scenario import ScenarioError

SCENARIO = """\
name: tiny
horizon: 6d
tick: 1d
people: {size: 150, network: {kind: watts_strogatz, mean_degree: 6, rewire: 0.1}, members_at_start: 50%}
catalog: {merchants: 2, products: 12}
recommendation: {model: popularity, slate: 4}
sharing: {word_of_mouth: 0.2, sign_up: 60%}
schemes:
  - {kind: referral, bonus: {inviter: 5, invitee: 5, on: first_order}}
"""
OPTIMISE = """\
kind: optimise
scenario: tiny.yaml
parameters:
  schemes.referral.bonus.inviter: {min: 0, max: 20}
  schemes.referral.bonus.on: {values: [sign_up, first_order]}
objectives:
  - {metric: new_members, minus_base: true}
constraints:
  - {metric: incentive_cost, max: 500}
base: {schemes: []}
replicates: 3
trials: 5
confirm: {points: 2, replicates: 3}
"""
CALIBRATE = """\
kind: calibrate
scenario: tiny.yaml
targets: targets.csv
parameters:
  sharing.word_of_mouth: {min: 0.05, max: 0.5, scale: log}
replicates: 2
trials: 5
refine: {rounds: 2, replicates: 6}
draws: 5
"""
TARGETS = "metric,value,se,held_out\nshare_rate,5%,0.5%,\nvisits,600,60,\nnew_members,8,3,yes\n"
runner = CliRunner()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    (tmp_path / "optimise.yaml").write_text(OPTIMISE)
    (tmp_path / "calibrate.yaml").write_text(CALIBRATE)
    (tmp_path / "targets.csv").write_text(TARGETS)
    return tmp_path


def changed(folder, name, old, new):
    """Return a plan in which a text was replaced."""
    text = (folder / name).read_text()
    assert old in text
    (folder / f"changed_{name}").write_text(text.replace(old, new))
    return folder / f"changed_{name}"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("metric: new_members", "metric: new_membrs", "optimise.yaml:7: objectives.0.metric: is not a metric"),
        ("metric: new_members", "metric: roi", "optimise.yaml:7: objectives.0.metric: roi needs a base"),
        ("metric: new_members, minus", "metric: cascade_depth_max, minus", "objectives.0.direction: is missing"),
        ("max: 500", "confidence: 90%", "optimise.yaml:9: constraints.0: needs min or max"),
        ("minus_base: true", "minus_bse: true", "objectives.0.minus_bse: is not a key here"),
        ("base: {schemes: []}", "base: {scheme: []}", "optimise.yaml:10: scheme: is not a key here"),
        ("trials: 5", "trials: 0", "optimise.yaml:12: trials: must be"),
        ("trials: 5", "worlds: [{name: a, set: {people.sizee: 3}}]", "optimise.yaml:12"),
        (
            "trials: 5",
            "worlds: [{name: a, set: {tick: 1d}}, {name: a, set: {tick: 12h}}]",
            "worlds.1.name: names a second",
        ),
        ("trials: 5", "worlds: [{name: a, set: {schemes.referral.bonus.on: sign_up}}]", "is what the plan varies"),
        ("trials: 5", "pruning: {after: 1}", "pruning.after: must be"),
        ("trials: 5", "uncertain: {sharing.sign_up: {min: 90%, max: 10%}}", "needs min below max"),
        ("trials: 5", "seed: 4294967291", "seed: must leave room"),
    ],
)
def test_a_wrong_plan_to_optimise_is_refused_with_its_place(folder, old, new, said):
    with pytest.raises(ScenarioError) as caught:
        load_plan(changed(folder, "optimise.yaml", old, new))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("targets: targets.csv", "targets: nowhere.csv", "nowhere.csv: cannot be read"),
        ("sharing.word_of_mouth: {min: 0.05, max: 0.5, scale: log}", "people.size: {min: 9, max: 99}", "in steps"),
        ("draws: 5", "draws: 1", "draws: must be"),
        ("  sharing.w", "  sharing.sign_up: {min: 1%, max: 9%}\n  demand.conversion: {min: 1%, max: 9%}\n  sharing.w",
         "has 2 targets to fit, which cannot tell 3 parameters"),
    ],
)  # fmt: skip
def test_a_wrong_plan_to_calibrate_is_refused_with_its_place(folder, old, new, said):
    with pytest.raises(ScenarioError) as caught:
        load_plan(changed(folder, "calibrate.yaml", old, new))
    assert said in str(caught.value)


def test_a_target_that_is_no_metric_is_refused_with_its_line(folder):
    (folder / "targets.csv").write_text(TARGETS.replace("visits", "visitz"))
    with pytest.raises(ScenarioError, match=r"targets\.csv:3: metric: is not a metric.*Did you mean 'visits'"):
        load_plan(folder / "calibrate.yaml")


def test_worlds_are_the_scenario_with_changes_or_draws_from_what_is_uncertain(folder):
    assert list(worlds_of(load_plan(folder / "optimise.yaml"))) == [PLANNED]
    listed = changed(folder, "optimise.yaml", "trials: 5", "worlds: [{name: shy, set: {sharing.sign_up: 10%}}]")
    assert worlds_of(load_plan(listed))["shy"].config.sharing.sign_up == 0.1
    text = "uncertain: {sharing.sign_up: {min: 10%, max: 90%}}\nsampled_worlds: 4"
    drawn = worlds_of(load_plan(changed(folder, "optimise.yaml", "trials: 5", text)))
    shares = sorted(world.config.sharing.sign_up for world in drawn.values())
    assert len(shares) == 4
    assert all(0.1 + 0.2 * i <= share <= 0.3 + 0.2 * i for i, share in enumerate(shares))  # one in each quarter


def analytic(points, seeds):
    """Stand for a shop: more bonus brings more members and costs more, sign-ups at once more still."""
    rows = []
    for i, point in enumerate(points):
        bonus = point.get("schemes.referral.bonus.inviter", 0.0) * (
            1 + (point.get("schemes.referral.bonus.on") == "sign_up")
        )
        for seed in seeds:
            noise = np.random.default_rng([seed, int(100 * bonus)]).normal()
            values = {"new_members": bonus + noise, "incentive_cost": bonus**2 * 1.5, "contribution": -bonus + noise}
            rows += [(i, seed, name, value) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["point", "seed", "metric", "value"])


def rendered(folder, plan, findings, elapsed=1.0):
    summary = {**findings.summary, "failures": [], "elapsed_s": elapsed}
    write_study(folder, plan, findings, json.loads(json.dumps(summary, default=float)))
    return render(folder).read_text()


@pytest.mark.parametrize(
    ("old", "new", "sections"),
    [
        ("trials: 5", "trials: 10", ["The best points", "Where it is good", "Luck of the search"]),
        ("constraints:", "  - {metric: contribution}\nconstraints:", ["What trades against what"]),
        ("trials: 5", "worlds: [{name: a, set: {tick: 1d}}, {name: '<b>', set: {tick: 12h}}]", ["If the world"]),
        ("max: 500", "max: -1", ["No trial keeps every bound"]),
    ],
)  # fmt: skip
def test_the_report_of_an_optimisation_has_its_sections_and_escapes_names(folder, old, new, sections):
    plan = load_plan(changed(folder, "optimise.yaml", old, new))
    worlds = dict.fromkeys(worlds_of(plan), analytic)
    findings = optimise(plan.config, plan.parameters, worlds, worlds, folder / "study")
    page = rendered(folder / "study", plan, findings)
    for section in sections:
        assert section in page
    assert "<b>" not in page
    assert page == render(folder / "study").read_text()


def test_the_report_of_a_calibration_has_its_sections(folder):
    plan = load_plan(folder / "calibrate.yaml")

    def evaluate(points, seeds):
        rows = []
        for i, point in enumerate(points):
            for seed in seeds:
                a, b, c = np.random.default_rng(seed).normal(size=3)
                share = point["sharing.word_of_mouth"]
                values = {"share_rate": share + 0.01 * a, "visits": 100 * share + b, "new_members": 40 * share + c}
                rows += [(i, seed, name, value) for name, value in values.items()]
        return pd.DataFrame(rows, columns=["point", "seed", "metric", "value"])

    targets = [Target("share_rate", 0.2), Target("visits", 20.0), Target("new_members", 8.0, held_out=True)]
    findings = calibrate(plan.config, plan.parameters, targets, evaluate, folder / "study")
    page = rendered(folder / "study", plan, findings)
    for section in ("Parameters", "Are the targets met?", "Can they be told apart?", "The search"):
        assert f"<h2>{section}</h2>" in page
    assert len(re.findall("<svg", page)) >= 3
    assert "mathdefault" not in page


@pytest.mark.slow
def test_workers_last_over_calls_and_are_started_anew_when_one_was_killed():
    runner = Runner(workers=2)
    with lasting_workers(runner):
        pool = runner.executor
        assert isinstance(pool, LastingPool)
        first = {pool.submit(_pid).result() for _ in range(4)}
        assert len(first | {pool.submit(_pid).result() for _ in range(4)}) <= 2
        with pytest.raises(Exception, match="terminated abruptly"):
            pool.submit(_die).result()
        assert pool.submit(_pid).result() not in first
    assert runner.executor is None


def _pid():
    import os

    return os.getpid()


def _die():
    import os

    os._exit(1)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["optimise", "calibrate"])
def test_a_plan_on_a_small_shop_gives_the_same_answer_in_any_number_of_workers(folder, kind):
    answers = []
    for workers in ("1", "2"):
        out = folder / f"out{workers}"
        told = runner.invoke(
            app, [kind, str(folder / f"{kind}.yaml"), "--json", "--out", str(out), "--workers", workers]
        )
        assert told.exit_code in (0, 1), told.output
        answers.append(json.loads(told.stdout))
        assert (out / "report.html").is_file()
        again = runner.invoke(app, ["report", str(out)])
        assert again.exit_code == 0
    for answer in answers:
        answer.pop("elapsed_s")
    assert answers[0] == answers[1]
    assert answers[0]["verdict"]
    assert not answers[0]["failures"]


def test_bad_input_ends_with_2_and_one_message(folder):
    told = runner.invoke(app, ["optimise", str(changed(folder, "optimise.yaml", "trials: 5", "trails: 5"))])
    assert told.exit_code == 2
    assert "trails: is not a key" in told.output
    told = runner.invoke(app, ["optimise", str(folder / "calibrate.yaml")])
    assert told.exit_code == 2
    assert "must be optimise for this command" in told.output
