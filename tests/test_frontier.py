"""Frontiers: bisection on functions whose frontier is known, rewards of either shape, branches, the command."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.outcome import RunResult
from experiments.plans.frontier import (
    DAYS,
    PERSONS,
    command,
    frontier_plan,
    persons,
    policies,
    reward_of,
    scope,
)
from experiments.plans.frontier_branches import fork_hours, since
from experiments.plans.frontier_output import (
    curves,
    hysteresis,
    past,
    policy_text,
    price_text,
    prices,
    row_of,
    untouched,
)
from experiments.plans.frontier_search import Bracket, Case, Frontier, Rungs, farming_pays, search
from experiments.plans.study import Study
from sim.scenario import ScenarioError
from tests.worlds import COUPON, REFERRAL, SMALL, merged, scenario

GRID = [0.0, 10.0, 20.0, 30.0, 40.0]


def planted(frontier, calls=None):
    """Return an evaluation in which farming pays beyond frontier(policy, seed)."""

    def evaluate(cases):
        if calls is not None:
            calls.extend(cases)
        return {case: {"ring_profit": case.reward - frontier(case.policy, case.seed)} for case in cases}

    return evaluate


def test_bisection_brackets_the_frontier_of_every_seed_to_the_resolution():
    frontier = {"none": 3.3, "limits": 27.1}
    calls = []
    rungs = Rungs(planted(lambda policy, seed: frontier[policy] + seed / 2, calls))
    for found in search(rungs, list(frontier), [1, 2, 3], GRID, 4):
        for bracket in found.brackets:
            truth = frontier[found.policy] + bracket.seed / 2
            assert bracket.safe <= truth < bracket.pays
            assert bracket.pays - bracket.safe == pytest.approx(10 / 2**4)
        assert found.smallest == found.brackets[0].safe
        assert found.estimate.low < frontier[found.policy] + 1 < found.estimate.high + 10 / 2**4
    assert len(calls) == len(set(calls)) == 2 * 3 * (len(GRID) + 4)


def test_halving_ends_early_where_seeds_lie_so_far_apart_that_it_would_not_narrow_the_interval():
    calls, foreseen = [], []
    apart = {1: 2.0, 2: 14.0, 3: 26.0, 4: 38.0}
    rungs = Rungs(planted(lambda policy, seed: apart[seed] if policy == "far" else 3.3, calls))
    far, near = search(rungs, ["far", "near"], [1, 2, 3, 4], GRID, 5, foresee=foreseen.append)
    assert 1 < far.widest <= 0.25 * (far.estimate.high - far.estimate.low) / 2
    assert near.widest == pytest.approx(10 / 2**5)
    assert len(calls) == 2 * 4 * len(GRID) + 4 * round(math.log2(10 / far.widest)) + 4 * 5
    assert foreseen[0] >= foreseen[1] >= foreseen[-1] == 0


def test_a_frontier_beyond_the_range_is_a_bound_and_says_so():
    never = search(Rungs(planted(lambda *_: 99)), ["p"], [1, 2], GRID, 3)[0]
    assert (never.never, never.always, never.smallest, never.estimate.mean) == (2, 0, 40, 40)
    always = search(Rungs(planted(lambda *_: -1)), ["p"], [1, 2], GRID, 3)[0]
    assert (always.never, always.always, always.smallest) == (0, 2, 0)
    assert row_of(never)["never_pays"] == 2


def test_farming_that_stops_to_pay_at_a_larger_reward_is_told():
    def evaluate(cases):
        return {case: {"ring_profit": 1.0 if 15 < case.reward < 25 else 0.0} for case in cases}

    found = search(Rungs(evaluate), ["p"], [1], GRID, 4)[0]
    assert found.returning == 1
    assert 14 < found.brackets[0].safe <= 15 < found.brackets[0].pays <= 16


@pytest.mark.parametrize(
    ("profit", "active", "pays"), [(0.0, 0, False), (-5.0, 0, False), (0.01, 0, True), (-5.0, 1, True)]
)
def test_farming_pays_if_it_earned_something_or_is_still_believed_to(profit, active, pays):
    assert farming_pays({"ring_profit": profit, "rings_active": float(active)}) is pays
    assert farming_pays({"ring_profit": math.nan, "rings_active": 1.0}) is None


def test_runs_that_failed_leave_a_wider_bracket_or_no_seed():
    full = planted(lambda *_: 14.0)

    def evaluate(cases):
        return {case: value for case, value in full(cases).items() if case.seed == 1 and case.reward != 20}

    found = search(Rungs(evaluate), ["p"], [1, 2], GRID, 0)[0]
    assert found.brackets == (Bracket(1, 10.0, 30.0, False),)


def test_rewards_are_rounded_to_what_can_be_paid():
    rungs = Rungs(planted(lambda *_: 0.034))
    found = search(rungs, ["p"], [1], [0.0, 0.05], 10, lambda value: round(value, 2))[0]
    assert (found.brackets[0].safe, found.brackets[0].pays) == (0.03, 0.04)


# Rewards.


def written(tmp_path, *schemes, **sections):
    file = tmp_path / "shop.yaml"
    own = {"fraud": {"rings": 1, "capacity": 30}, "schemes": list(schemes), **sections}
    file.write_text(json.dumps({key: value for key, value in merged(SMALL, own).items() if key != "name"}))
    return file


def test_both_sides_of_a_bonus_are_one_reward_split_as_the_scenario_splits_it(tmp_path):
    bonus = {"inviter": 12, "invitee": 4, "on": "first_order"}
    plan = frontier_plan(written(tmp_path, {**REFERRAL, "bonus": bonus}), (), "referral.bonus")
    reward = reward_of(plan)
    assert (reward.low, reward.high, reward.current, reward.unit) == (0, 48, 16, "yuan")
    paid = reward.at(plan.scenario, 20.0).schemes[0].bonus
    assert (paid.inviter, paid.invitee, paid.on) == (1500, 500, "first_order")


def test_one_side_or_another_amount_is_a_reward_too(tmp_path):
    file = written(tmp_path, REFERRAL, COUPON)
    side = frontier_plan(file, (), "referral.bonus.inviter")
    paid = reward_of(side).at(side.scenario, 2.5).schemes[0].bonus
    assert (paid.inviter, paid.invitee) == (250, 900)
    coupon = reward_of(frontier_plan(file, ["max=40"], "coupon.amount"))
    assert (coupon.low, coupon.high) == (0.01, 40)  # a coupon of nothing is none
    share = reward_of(frontier_plan(file, (), "schemes.referral.rates.0"))
    assert (share.unit, share.label(0.05), share.high) == ("share", "5%", pytest.approx(0.15))


@pytest.mark.parametrize(
    ("reward", "says"),
    [
        ("referal.bonus", "must begin with a scheme"),
        ("referral.bonas", "Did you mean"),
        ("referral.freeze", "is no reward"),
        ("referral.base", "is no reward"),
    ],
)
def test_what_is_no_reward_is_refused(tmp_path, reward, says):
    with pytest.raises(ScenarioError, match=says):
        frontier_plan(written(tmp_path, REFERRAL), (), reward)


def test_a_reward_that_there_is_not_is_named_once(tmp_path):
    with pytest.raises(ScenarioError) as raised:
        frontier_plan(written(tmp_path, REFERRAL), (), "referral.bonusx")
    assert str(raised.value) == "--frontier: referral.bonusx: is not a key here. Did you mean 'bonus'?"


def test_a_larger_scenario_is_run_in_a_small_world_unless_it_is_told_otherwise(tmp_path):
    file = written(tmp_path, REFERRAL, people={"size": 5000}, horizon="90d")
    small = frontier_plan(file, (), "referral.bonus")
    assert (small.scenario.people.size, small.scenario.config.horizon / 24) == (PERSONS, DAYS) == (2000, 60)
    assert "at most 144 runs of 2,000 persons for 60 days" in scope(small)
    asked = frontier_plan(file, ["people.size=3000", "horizon=70d"], "referral.bonus")
    assert (asked.scenario.people.size, asked.scenario.config.horizon / 24) == (3000, 70)
    late = written(tmp_path, {**REFERRAL, "start": "75d"}, horizon="90d")  # there is nothing to farm before
    assert frontier_plan(late, (), "referral.bonus").scenario.config.horizon / 24 in (60, 90)
    assert persons(frontier_plan(written(tmp_path, REFERRAL), (), "referral.bonus")) == SMALL["people"]["size"]


def test_a_shop_without_rings_has_no_frontier(tmp_path):
    with pytest.raises(ScenarioError, match="no fraud rings"):
        frontier_plan(written(tmp_path, REFERRAL, fraud={"rings": 0}), (), "referral.bonus")


def test_set_goes_to_the_plan_or_to_its_scenario_by_what_it_names(tmp_path):
    plan = frontier_plan(written(tmp_path, REFERRAL), ["replicates=2", "people.size=80", "grid=3"], "referral.bonus")
    assert (plan.config.replicates, plan.config.grid, plan.scenario.people.size) == (2, 3, 80)


def test_policies_are_none_limits_and_freeze_and_what_the_scenario_has_besides(tmp_path):
    plain = policies(frontier_plan(written(tmp_path, REFERRAL), (), "referral.bonus"))
    assert list(plain) == ["none", "limits", "limits and freeze"]
    assert plain["none"].config.risk.accounts_per_device is None
    assert plain["limits and freeze"].config.risk.payout_freeze == 14 * 24
    own = written(tmp_path, REFERRAL, risk={"accounts_per_device": 1})
    assert list(policies(frontier_plan(own, (), "referral.bonus")))[3] == "as in the scenario"


# What follows from the runs.


def table(values):
    """Return tidy values from {(policy, reward, seed): {metric: value}}."""
    rows = [(policy, reward, seed, metric, value) for (policy, reward, seed), own in values.items()
            for metric, value in own.items()]  # fmt: skip
    return pd.DataFrame(rows, columns=["policy", "reward", "seed", "metric", "value"])


def test_beyond_the_frontier_growth_of_cost_is_set_against_growth_of_membership():
    def run(members, cost, loss, accounts):
        return {"new_members": members, "incentive_cost": cost, "fraud_loss": loss, "fraud_accounts": accounts}

    values = {}
    for seed, noise in ((1, 0.0), (2, 1.0), (3, -1.0)):
        values["p", 0.0, seed] = run(10 + noise, 10, 0, 0)
        values["p", 10.0, seed] = run(20 + noise, 40 + noise, 0, 0)
        values["p", 20.0, seed] = run(25 + noise, 400, 300, 30)
        values["p", 40.0, seed] = run(40 + noise, 840 + noise, 720, 90)
    tidy = table(values)
    found = Frontier("p", tuple(Bracket(seed, 15.0, 16.0, False) for seed in (1, 2, 3)), 0.0, 40.0)
    row = past(found, tidy, [0.0, 10.0, 20.0, 40.0])
    assert (row["safe"], row["top"], row["new_members_safe"], row["new_members_top"]) == (10, 40, 20, 40)
    assert row["faster"] == pytest.approx((840 / 40) / (40 / 20), rel=0.02)
    assert 1 < row["faster_low"] < row["faster"] < row["faster_high"]
    assert row["to_farms"] == pytest.approx(720 / 800)
    assert untouched("p", tidy) == 10
    assert past(Frontier("p", (Bracket(1, 40.0, math.nan, False),), 0.0, 40.0), tidy, [0.0, 40.0]) is None
    means = curves(tidy, [20.0]).set_index("metric")["mean"]
    assert means["fraud_loss"] == 300


def test_a_policy_is_told_with_what_it_costs_in_growth_and_honest_people_and_what_it_is(tmp_path):
    def run(members, hit):
        return {"new_members": members, "honest_hit": hit, "fraud_accounts": 0.0}

    tidy = table({("none", 20.0, 1): run(60, 0), ("none", 20.0, 2): run(70, 0), ("limits", 20.0, 1): run(30, 240),
                  ("limits", 40.0, 1): run(33, 250)})  # fmt: skip
    plan = frontier_plan(written(tmp_path, REFERRAL), (), "referral.bonus")
    rows = prices(tidy, [0.0, 20.0, 40.0], 18.0)
    said = (
        "at 20 yuan: none: 65 new members and 0 honest persons hit; limits: 30 new members and 240 honest persons hit"
    )
    assert said in price_text(rows, reward_of(plan))
    told = {name: policy_text(one) for name, one in policies(plan).items()}
    assert told["none"] == "no control"
    assert told["limits"] == "accounts per device 2, invites per day 5"
    assert told["limits and freeze"].endswith("payout freeze 14d")


def test_hysteresis_is_the_difference_at_equal_rewards_seed_by_seed():
    rows = [
        {"policy": "p", "origin": origin, "before": 0.0, "reward": 8.0, "seed": seed, "fraud_accounts": accounts,
         "fraud_loss": 0.0, "rings_active": 0.0, "new_members": 5.0, "incentive_cost": 1.0}
        for origin, seed, accounts in (("below", 1, 2.0), ("below", 2, 3.0), ("above", 1, 12.0), ("above", 2, 15.0))
    ]  # fmt: skip
    found = hysteresis(pd.DataFrame(rows)).set_index("figure").loc["fraud_accounts"]
    assert (found["below"], found["above"], found["difference"]) == (2.5, 13.5, 11.0)
    assert found["low"] < 11 < found["high"]


def test_figures_since_the_fork_leave_out_what_was_before():
    people = pd.DataFrame({"joined_day": [-3.0, 1, 4, 4, math.nan], "fake": [False, True, True, False, True]})
    history = pd.DataFrame({"fraud_loss": [0.0, 5, 5, 9, 12], "incentive_cost": [1.0, 2, 3, 4, 5]})
    run = RunResult("s", "d", 1, {"rings_active": 2.0}, {"people": people, "history": history}, {}, 0.0)
    found = since(run, 3)
    assert found == {
        "fraud_accounts": 1, "fraud_loss": 7, "rings_active": 2, "new_members": 1, "incentive_cost": 9,
    }  # fmt: skip


def test_the_fork_comes_while_rings_have_places_left():
    config = {"rings": 1, "capacity": 60, "batch": 10, "enter": "2d", "decide_every": "1d"}
    assert fork_hours(scenario(REFERRAL, fraud=config, horizon="60d")) == 4 * 24
    assert fork_hours(scenario(REFERRAL, fraud={**config, "capacity": 6000}, horizon="14d")) == 7 * 24


# The real shop.


@pytest.mark.slow
def test_farms_enter_beyond_the_frontier_and_loss_outgrows_growth_and_they_leave_when_it_is_lowered(tmp_path):
    file = written(tmp_path, {**REFERRAL, "rates": []}, fraud={"rings": 2, "capacity": 80, "enter": "1d"},
                   tick="1d", horizon="21d")  # fmt: skip
    words = ["stress", str(file), "--frontier", "referral.bonus", "--json", "--quiet", "--workers", "1", "--out",
             str(tmp_path / "out"), "--set", "min=2", "--set", "max=62", "--set", "replicates=3",
             "--set", "policies=[{name: none, set: {risk: {}}}]"]  # fmt: skip
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    (found,), (beyond,) = summary["frontiers"], summary["beyond"]
    assert 2 < found["frontier"] < 62
    assert found["never_pays"] == found["always_pays"] == 0
    assert beyond["fraud_accounts_safe"] < beyond["fraud_accounts_top"]
    assert beyond["faster_low"] > 1
    study = Study.load(tmp_path / "out")
    frame = study.frame()
    for bracket in study.table("frontiers").to_dict("records"):
        own = frame[frame["seed"] == bracket["seed"]].pivot(index="reward", columns="metric", values="value")
        assert not farming_pays(own.loc[bracket["safe"]].to_dict())
        assert farming_pays(own.loc[bracket["pays"]].to_dict())
    accounts = {row["reward"]: row for row in summary["hysteresis"] if row["figure"] == "fraud_accounts"}
    low, high = min(accounts), max(accounts)
    assert accounts[low]["below"] < accounts[high]["below"]  # raised: they enter
    assert accounts[low]["above"] < accounts[high]["above"]  # lowered: they leave
    assert np.isfinite([row["difference"] for row in accounts.values()]).all()
    assert "<h2>Raised and lowered again</h2>" in (tmp_path / "out" / "report.html").read_text()


def test_a_command_needs_to_know_which_reward(tmp_path):
    from experiments.plans.command import PlanOptions

    with pytest.raises(ScenarioError, match="needs --frontier"):
        command(written(tmp_path, REFERRAL), PlanOptions())


def test_a_case_is_known_by_policy_reward_and_seed():
    rungs = Rungs(planted(lambda *_: 5.0))
    rungs.climb([Case("none", 1.0, 2), Case("none", 9.0, 2)])
    assert (rungs.pays(Case("none", 1.0, 2)), rungs.pays(Case("none", 9.0, 2))) == (False, True)
    assert rungs.pays(Case("none", 9.0, 3)) is None
