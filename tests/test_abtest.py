"""The laboratory in the shop: trials share a world, plans are checked, and what is biased is reported so."""

import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from experiments.lab.outcomes import COVARIATES
from experiments.lab.terms import (
    OUTCOMES,
    ClusterTerms,
    EgoTerms,
    ExposureTerms,
    MerchantTerms,
    PersonTerms,
    SwitchbackTerms,
)
from experiments.lab.trial import Trial
from experiments.outcome import simulate
from experiments.plans import abtest
from experiments.plans.evaluate import Runner
from experiments.plans.plan import load_plan
from sim.scenario import ScenarioError
from tests.worlds import COUPON, REFERRAL, scenario

EXPOSURE = ExposureTerms(draws=20)
NETWORK = {"kind": "stochastic_block", "communities": 10, "mean_degree": 8, "within": 0.9}
WORLD = {
    "horizon": "12d", "tick": "1d", "people": {"size": 200, "network": NETWORK, "members_at_start": 0.3},
    "sharing": {"word_of_mouth": 0.2, "sign_up": 0.6},
}  # fmt: skip
DESIGNS = {
    "person": PersonTerms(kind="person"),
    "cluster": ClusterTerms(kind="cluster"),
    "ego": EgoTerms(kind="ego"),
    "switchback": SwitchbackTerms(kind="switchback", block="2d", washout="24h"),
    "merchant": MerchantTerms(kind="merchant"),
}


def small(*schemes, **sections):
    return scenario(*(schemes or (REFERRAL,)), **{**WORLD, **sections})


def trial(design, *, start=0.0, schemes=("referral",), share=0.5, chosen=b""):
    return Trial(design, schemes, start, share, EXPOSURE, chosen)


def test_the_two_worlds_are_the_scenario_with_and_without_the_scheme():
    everybody, nobody = trial("all")(small(), 1), trial("none")(small(), 1)
    for run, plain in ((everybody, simulate(small(), 1)), (nobody, simulate(scenario(**WORLD), 1))):
        people = plain.tables["people"].iloc[:200]
        persons = run.tables["persons"]
        np.testing.assert_array_equal(persons["orders"], people["orders"])
        np.testing.assert_allclose(persons["gmv"], people["gmv_yuan"])
        np.testing.assert_array_equal(persons["joined"] > 0, people["joined_day"] >= 0)
        assert run.metrics["mean.orders.value"] == persons["orders"].mean()


@pytest.mark.parametrize("design", DESIGNS.values(), ids=DESIGNS)
def test_every_design_tells_about_its_outcomes_and_is_the_same_again(design):
    world, name = (small(COUPON), "coupon") if design.kind == "merchant" else (small(), "referral")
    first, again = (trial(design, schemes=(name,))(world, 3) for _ in range(2))
    told = {metric.split(".")[1] for metric in first.metrics if metric.endswith(".value")}
    assert told == set(design.outcomes)
    assert first.metrics.keys() == again.metrics.keys()
    np.testing.assert_array_equal(list(first.metrics.values()), list(again.metrics.values()))
    pd.testing.assert_frame_equal(first.tables["persons"], again.tables["persons"])


def test_worlds_do_not_differ_before_the_experiment_begins():
    late = small({**REFERRAL, "start": "5d"})
    runs = [trial(design, start=120.0)(late, 2) for design in ("none", "all", DESIGNS["cluster"])]
    first, *others = (run.tables["persons"][list(COVARIATES)] for run in runs)
    assert first["orders_before"].sum() > 0
    for other in others:
        pd.testing.assert_frame_equal(first, other)


def test_only_what_happens_after_the_start_is_counted():
    world = small({**REFERRAL, "start": "5d"})
    whole, late = (trial("none", start=hours)(world, 1).tables["persons"] for hours in (0.0, 120.0))
    assert 0 < late["orders"].sum() < whole["orders"].sum()
    assert late["orders_before"].sum() == whole["orders_before"].sum() + whole["orders"].sum() - late["orders"].sum()


def test_chosen_persons_alone_are_treated():
    mask = np.random.default_rng(1).random(200) < 0.3
    run = trial("chosen", chosen=np.packbits(mask).tobytes())(small(), 1)
    np.testing.assert_array_equal(run.tables["persons"]["treated"], mask)
    everybody, nobody = (trial("chosen", chosen=np.packbits(np.full(200, x)).tobytes()) for x in (True, False))
    for chosen, world in ((everybody, "all"), (nobody, "none")):
        same, other = chosen(small(), 1), trial(world)(small(), 1)
        pd.testing.assert_frame_equal(same.tables["persons"], other.tables["persons"])


def test_a_trial_travels_and_its_digest_says_what_determines_it():
    one = trial(DESIGNS["cluster"])
    assert pickle.loads(pickle.dumps(one)) == one
    named = trial(ClusterTerms(kind="cluster", name="communities"))
    assert named.digest == one.digest
    others = [
        trial(ClusterTerms(kind="cluster", resolution=2.0)),
        trial(DESIGNS["person"]),
        trial(DESIGNS["cluster"], share=0.4),
        trial(DESIGNS["cluster"], start=24.0),
        trial("all"),
        trial("none"),
        trial("chosen", chosen=b"a"),
        trial("chosen", chosen=b"b"),
    ]
    digests = {other.digest for other in others}
    assert len(digests) == len(others) and one.digest not in digests
    assert trial("all", share=0.4).digest == trial("all").digest, "worlds do not depend on the share"


def test_benefits_and_brought_add_up_over_persons_and_days():
    run = trial("all")(small(), 1)
    persons = run.tables["persons"]
    assert set(OUTCOMES) <= set(persons)
    assert persons["brought"].sum() <= persons["joined"].sum()
    assert run.metrics["benefit"] == pytest.approx(persons["benefit"].mean())


# The plan.

PLAN = """
kind: abtest
scenario: shop.yaml
outcomes: [joined, orders]
replicates: 2
designs:
  - {kind: person}
  - {kind: cluster}
  - {kind: switchback, block: 2d, washout: 24h}
exposure: {draws: 20}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "shop.yaml").write_text(small(COUPON, REFERRAL).to_yaml())
    (tmp_path / "plan.yaml").write_text(PLAN)
    return tmp_path


@pytest.mark.parametrize(
    ("change", "path", "message"),
    [
        ("schemes=[lottery]", "schemes.0", "is not a scheme"),
        ("schemes=[coupons]", "schemes.0", "did you mean 'coupon'"),
        ("designs=[{kind: person}, {kind: person}]", "designs.1", "needs a name of its own"),
        ("designs=[{kind: cluster, name: lot}]", "designs.0", "needs a name of its own"),
        ("designs=[{kind: merchant}]", "designs.0", "referral rewards persons"),
        ("designs=[{kind: switchback, block: 10h}]", "designs.0", "whole days"),
        ("designs=[{kind: switchback, block: 2d, washout: 2d}]", "designs.0", "shorter than block"),
        ("designs=[{kind: switchback, block: 4d}]", "designs.0.block", "four blocks"),
        ("designs=[]", "designs", "a list of 1 to 20"),
        ("outcomes=[joined, joined]", "outcomes", "twice"),
        ("share=0", "share", "above 0%"),
        ("exposure.threshold=40%", "exposure.threshold", "above 50%"),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_refused_with_its_place(folder, change, path, message):
    with pytest.raises(ScenarioError) as caught:
        load_plan(folder / "plan.yaml", [change])
    text = str(caught.value).lower()
    assert path in text
    assert message in text, text


@pytest.mark.parametrize("key", ["individual=bought", "target=20%"])
def test_individual_effects_that_are_asked_for_need_a_design_by_persons(folder, key):
    only = "designs=[{kind: cluster}]"
    with pytest.raises(ScenarioError, match="needs a design by persons"):
        load_plan(folder / "plan.yaml", [only, key])
    load_plan(folder / "plan.yaml", [only])
    load_plan(folder / "plan.yaml", [only, key.partition("=")[0] + "=null"])


def test_the_example_plan_fits_its_scenario():
    plan = load_plan(Path(__file__).parent.parent / "scenarios" / "plans" / "abtest.yaml")
    assert abtest.tested_schemes(plan) == ("referral",)
    assert [design.kind for design in plan.config.designs] == ["person", "cluster", "ego", "switchback"]


def test_an_outcome_that_a_design_cannot_tell_about_is_refused(folder):
    with pytest.raises(ScenarioError, match="can tell nothing about joined"):
        load_plan(folder / "plan.yaml", ["schemes=[coupon]", "outcomes=[joined]", "designs=[{kind: merchant}]"])
    load_plan(folder / "plan.yaml", ["schemes=[coupon]", "designs=[{kind: merchant}]"])


def test_a_study_says_bias_and_coverage_of_each_design_and_whom_to_treat(folder):
    plan = load_plan(folder / "plan.yaml", ["schemes=[referral]"])
    seen = []
    findings = abtest.experiment(plan, Runner(progress=lambda done, total: seen.append((done, total))))
    assert seen[-1] == (14, 14)  # two worlds, three designs, two choices, with two seeds
    found = findings.tables["performance"]
    assert set(found["design"]) == {"person", "cluster", "switchback"}
    truths = findings.tables["estimates"].groupby(["seed", "outcome"])["truth"].nunique()
    assert (truths == 1).all()
    persons = findings.tables["persons"]
    assert len(persons) == 400
    truth = findings.tables["estimates"].query("outcome == 'joined'").drop_duplicates("seed").set_index("seed")["truth"]
    twins = 1000 * (persons["joined_all"] - persons["joined_none"]).groupby(persons["seed"]).mean()
    np.testing.assert_allclose(truth.sort_index(), twins)
    assert findings.tables["targeting"]["who"].tolist() == ["model", "lot", "all", "model - lot"]
    assert findings.summary["verdict"]
    json.dumps(findings.summary["figures"])


def test_a_command_writes_a_study_that_can_be_read_and_reported_again(folder, capsys):
    from experiments import commands
    from experiments.plans.command import PlanOptions
    from experiments.plans.study import Study

    out = folder / "out"
    options = PlanOptions(workers=1, out=out, as_json=True, quiet=True, changes=["individual=null", "replicates=3"])
    assert abtest.command(folder / "plan.yaml", options) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["verdict"] and "individual" not in printed
    study = Study.load(out)
    assert study.points["design"].tolist() == ["none", "all", "person", "cluster", "switchback"]
    first = (out / "report.html").read_bytes()
    commands.report(out)
    assert (out / "report.html").read_bytes() == first
    assert b"What each experiment would have told" in first
    shutil.rmtree(out / "replicates")


def test_a_study_in_which_every_run_fails_says_so_and_can_still_be_reported(folder, monkeypatch, capsys):
    from experiments.plans.command import PlanOptions

    def fail(self, scenario, seed, watch=None):
        raise ArithmeticError("the books do not balance")

    monkeypatch.setattr(Trial, "__call__", fail)
    options = PlanOptions(workers=1, out=folder / "out", quiet=True, as_json=True)
    assert abtest.command(folder / "plan.yaml", options) == 1
    printed = json.loads(capsys.readouterr().out)
    assert "No experiment could be set beside the truth" in printed["verdict"]
    assert len(printed["failures"]) == 10


@pytest.mark.slow
def test_on_a_clustered_network_a_test_by_persons_of_a_referral_is_biased_and_one_by_communities_less(folder):
    """The shop: 20 communities of 20, nine ties in ten inside; what a referral does comes through ties."""
    network = "{kind: stochastic_block, communities: 20, mean_degree: 10, within: 95%}"
    changes = [
        "schemes=[referral]", "replicates=16", "outcomes=[joined]", "designs=[{kind: person}, {kind: cluster}]",
        "individual=null", "set.people.size=400", f"set.people.network={network}", "set.horizon=24d",
        "set.schemes.referral.bonus={inviter: 30, invitee: 30, on: sign_up}",
    ]  # fmt: skip
    plan = load_plan(folder / "plan.yaml", changes)
    found = abtest.experiment(plan, Runner()).tables["performance"].set_index(["design", "estimator"])
    person, cluster = found.loc["person", "difference_plain"], found.loc["cluster", "cluster_plain"]
    assert person["truth"] > 0
    assert person["bias_high"] < 0, "the test by persons must miss what comes through friends"
    assert person["seen"] < 0.5
    assert abs(cluster["bias"]) < 0.5 * abs(person["bias"])
    assert person["coverage"] < cluster["coverage"]


@pytest.mark.slow
def test_where_nobody_influences_anybody_a_test_by_persons_is_right_and_covers(folder):
    """The shop without shares and without conformity: coupons move only those who get them."""
    coupon = {"kind": "coupon", "coupon": "general", "amount": 15, "threshold": 10, "claim_rate": 0.9}
    silent = {"word_of_mouth": 0, "after_order": 0, "per_visit": 0, "on_sign_up": 0, "team": 0}
    alone = small(coupon, sharing=silent, people={**WORLD["people"], "conformity": {"mean": 0, "sigma": 0}})
    (folder / "shop.yaml").write_text(alone.to_yaml())
    changes = [
        "replicates=40", "outcomes=[orders, gmv]", "individual=null",
        "designs=[{kind: person}, {kind: switchback, block: 1d, washout: 0h}, {kind: cluster}]",
    ]  # fmt: skip
    plan = load_plan(folder / "plan.yaml", changes)
    rows = abtest.experiment(plan, Runner()).tables["performance"].set_index(["outcome", "design", "estimator"])
    for estimator in ("difference_plain", "difference_cuped"):
        row = rows.loc["orders", "person", estimator]
        assert row["truth"] > 0
        assert row["bias_low"] < 0 < row["bias_high"]
        assert row["coverage_high"] > 0.95 and row["coverage"] > 0.8
    assert rows.loc["orders", "cluster", "cluster_plain"]["coverage"] > 0.8
    cuped, plain = (rows.loc["orders", "person", f"difference_{name}"]["reported_error"] for name in ("cuped", "plain"))
    assert cuped < plain
