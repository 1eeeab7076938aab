"""Stress: losses of periods against closed forms, alarms, budgets, responses, and the command end to end."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.outcome import RunResult
from experiments.plans.plan import load_plan
from experiments.plans.stress import worlds
from experiments.plans.stress_alarms import SIDES, Level, alarms, levels
from experiments.plans.stress_budgets import ran_out
from experiments.plans.stress_losses import (
    Frequency,
    LogNormal,
    Risk,
    Sample,
    closed_form,
    exceedance,
    recovered,
    simulate,
    tail,
)
from experiments.plans.stress_output import advice
from experiments.plans.stress_risks import Assessment
from experiments.plans.study import Study
from sim.scenario import ScenarioError

PERIODS = 400_000
SEVERE = Frequency.of(1.0, probability=0.012, rate=None), LogNormal(0.086, 1.0)
"""A severe event: 1.2% a year, mean loss 8.6% of revenue."""


# Losses of periods.


def test_severe_events_come_as_often_and_cost_as_much_as_they_are_given_to():
    frequency, severity = SEVERE
    losses = Risk(frequency, severity).simulate(PERIODS, np.random.default_rng(1))
    struck = losses[losses > 0]
    assert struck.size / PERIODS == pytest.approx(0.012, abs=4 * math.sqrt(0.012 * 0.988 / PERIODS))
    error = struck.std() / math.sqrt(struck.size)
    assert struck.mean() == pytest.approx(0.086, abs=4 * error)
    assert error < 0.086 * 0.025  # so that the line above can fail
    assert np.log(struck).std() == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize("level", [0.95, 0.99, 0.995])
def test_tail_measures_of_a_severe_event_are_those_of_the_closed_form(level):
    mean, variance, value, shortfall = closed_form(*SEVERE, level)
    losses = Risk(*SEVERE).simulate(PERIODS, np.random.default_rng(2))
    found = tail(losses, level)
    assert found.mean == pytest.approx(mean, abs=4 * found.mean_error)
    assert losses.var() == pytest.approx(variance, rel=0.15)
    assert found.value_low <= value <= found.value_high
    assert found.shortfall == pytest.approx(shortfall, abs=4 * found.shortfall_error)
    assert (value == 0) == (level == 0.95)  # what comes once in 83 years is no part of the worst of twenty


def test_closed_form_of_the_severe_event_is_what_a_textbook_gives():
    mean, _, value, shortfall = closed_form(*SEVERE, 0.99)
    z = -0.96742156610  # standard normal quantile of 1 - 0.01 / 0.012 = 1/6
    assert mean == pytest.approx(0.012 * 0.086)
    assert value == pytest.approx(0.086 * math.exp(z - 0.5), rel=1e-9)
    assert shortfall > value > 0
    assert closed_form(*SEVERE, 0.95)[2:] == (0.0, pytest.approx(mean / 0.05))


def test_events_that_repeat_have_the_moments_of_a_compound_poisson_law():
    frequency, severity = Frequency.of(2.0, probability=None, rate=1.5), LogNormal(100.0, 0.5)
    mean, variance, *_ = closed_form(frequency, severity, 0.95)
    assert (mean, variance) == (pytest.approx(300.0), pytest.approx(3 * 100**2 * math.exp(0.25)))
    losses = Risk(frequency, severity).simulate(PERIODS, np.random.default_rng(3))
    assert losses.mean() == pytest.approx(mean, abs=4 * math.sqrt(variance / PERIODS))
    assert losses.var() == pytest.approx(variance, rel=0.02)
    assert (losses == 0).mean() == pytest.approx(math.exp(-3), abs=0.002)


def test_a_yearly_probability_holds_for_other_periods_by_a_constant_hazard():
    assert Frequency.of(1.0, probability=0.19, rate=None).mean == pytest.approx(0.19)
    assert Frequency.of(2.0, probability=0.19, rate=None).mean == pytest.approx(1 - 0.81**2)
    assert Frequency.of(0.5, probability=0.19, rate=None).any == pytest.approx(0.1)
    assert Frequency.of(0.5, probability=None, rate=4.0).any == pytest.approx(1 - math.exp(-2))


def test_shortfall_is_the_mean_of_the_worst_share_also_where_losses_are_lumps():
    losses = np.repeat([0.0, 10.0, 100.0], [90, 8, 2])  # the worst 5 of 100: two of 100, three of 10
    found = tail(losses, 0.95)
    assert found.value_at_risk == 10
    assert found.shortfall == pytest.approx((2 * 100 + 3 * 10) / 5)
    assert tail(losses, 0.99).shortfall == pytest.approx(100)


def test_an_insurance_pays_its_share_above_the_deductible_up_to_its_limit():
    assert recovered(np.array([50.0, 200.0, 1000.0]), 100, 0.8, 500) == pytest.approx([0, 80, 500])
    bare = Risk(Frequency(1.0, False), Sample(np.array([200.0]), np.array([1.0])), standing=30.0)
    insured = Risk(bare.frequency, bare.severity, 30.0, deductible=100, cover=0.8)
    generator = np.random.default_rng(0)
    assert set(bare.simulate(10, generator)) == {230.0}
    assert set(insured.simulate(10, generator)) == {150.0}


def test_a_risk_keeps_its_draws_whatever_other_risks_there_are():
    one, other = Risk(*SEVERE), Risk(Frequency(2.0, True), LogNormal(5.0, 0.3))
    assert (simulate([one], 5000, 7)[0] == simulate([one, other], 5000, 7)[0]).all()


def test_exceedance_falls_from_the_bulk_to_the_worst_period():
    losses = Risk(*SEVERE).simulate(20_000, np.random.default_rng(5))
    amounts, chance = exceedance(losses)
    assert (np.diff(amounts) > 0).all()
    assert (np.diff(chance) < 0).all()
    assert chance[-1] == 0
    for amount, share in zip(amounts, chance, strict=True):
        assert share == pytest.approx((losses > amount).mean())


# Alarms.


def calm_runs(count, days, seed=0):
    generator = np.random.default_rng(seed)
    return [pd.DataFrame(generator.poisson(20.0, (days, len(SIDES))), columns=list(SIDES)) for _ in range(count)]


def test_a_signal_gives_no_more_false_alarms_than_stated():
    share, trials, fired = 0.1, 60, 0
    for trial in range(trials):
        *calm, fresh = calm_runs(12, 20, trial)
        level = next(one for one in levels(calm, 0, share) if one.signal == "visits" and one.side == "above")
        fired += math.isfinite(level.first(fresh["visits"].to_numpy(), 0))
    assert 0 < fired / trials <= share + 3 * math.sqrt(share * (1 - share) / trials)


def test_with_few_runs_the_level_is_the_extreme_of_all_and_says_how_little_that_promises():
    calm = calm_runs(4, 10)
    above = next(one for one in levels(calm, 2, 0.1) if one.signal == "paid" and one.side == "above")
    below = next(one for one in levels(calm, 2, 0.1) if one.signal == "paid" and one.side == "below")
    assert above.level == max(run["paid"][2:].max() for run in calm)
    assert below.level == min(run["paid"][2:].min() for run in calm)
    assert above.false_alarms == below.false_alarms == pytest.approx(1 / 5)


def test_alarms_tell_the_days_from_the_start_of_the_shock():
    level = Level("sign_ups", "above", 5.0, 0.1)
    quiet = pd.DataFrame({"sign_ups": [9.0, 1, 1, 1, 1, 1]})  # before the shock does not count
    loud = pd.DataFrame({"sign_ups": [1.0, 1, 1, 1, 6, 9]})
    table = alarms([level], {1: quiet, 2: loud, 3: loud}, 2)
    row = table.iloc[0]
    assert (row["fires"], row["days"], row["runs"]) == (pytest.approx(2 / 3), 2, 3)


# Budgets and responses.


def spending(days, used):
    rows = [(day, "referral", "platform", "frozen_commission", amount) for day, amount in enumerate(days)]
    ledger = pd.DataFrame(rows, columns=["day", "scheme", "source", "target", "amount_yuan"])
    return RunResult("s", "d", 1, {}, {"ledger": ledger}, {"referral": {"used": used, "spent_yuan": sum(days)}}, 0.0)


def test_a_budget_ran_out_when_less_is_left_than_one_use_costs():
    assert ran_out(spending([50, 44], used=10), "referral", 100)  # 6 left of 100, 9.4 a use
    assert not ran_out(spending([50, 40], used=10), "referral", 100)
    assert not ran_out(spending([], used=0), "referral", 100)


def answer(name, kind, net, saves=math.nan, low=math.nan, high=math.nan, shortfall=100.0, members_high=math.nan):
    return {"shock": "attack", "response": name, "kind": kind, "net_loss": net, "saves": saves, "saves_low": low,
            "saves_high": high, "shortfall": shortfall, "members": -3.0, "members_high": members_high}  # fmt: skip


def test_advice_names_the_response_that_leaves_least_to_be_lost_and_how_sure_that_is():
    rows = [answer("accept", "accept", 900), answer("limit", "mitigate", 200, 700, 500, 900)]
    assert "limit (mitigate) is best" in advice(rows)
    assert "+500.0 to +900.0" in advice(rows)
    unsure = [answer("accept", "accept", 900), answer("limit", "mitigate", 200, 700, -50, 900)]
    assert "not settled" in advice(unsure)
    assert "accept it" in advice([answer("accept", "accept", 10), answer("limit", "mitigate", 200, -190, -200, -150)])
    tame = [answer("accept", "accept", 10), answer("cover", "transfer", 20, -10, shortfall=30)]
    assert "cover lowers the mean of the worst periods from 100.0 to 30.00 yuan" in advice(tame)
    dear = [answer("accept", "accept", 900), answer("no bonus", "avoid", 200, 700, 500, 900, members_high=-1)]
    assert "costs 3 members a run" in advice(dear)


# The plan and the command.

SCENARIO = """
horizon: 14d
tick: 1d
people: {size: 120, network: {kind: watts_strogatz, mean_degree: 6, rewire: 10%}, members_at_start: 60%}
demand: {rate: {shape: 1, mean: 1}}
catalog: {merchants: 3, products: 20, categories: 4}
recommendation: {model: popularity, slate: 6}
schemes: [{kind: referral, bonus: {inviter: 9, invitee: 9, on: sign_up}, budget: 500}]
"""
PLAN = """kind: stress
question: What may go wrong?
scenario: tiny.yaml
replicates: 3
draws: 5000
resamples: 20
reserve: 100
shocks:
  - name: halt
    shock: {kind: warehouse_halt, start: 4d, length: 4d}
    probability: 20%
    responses:
      - {name: no scheme, kind: avoid, set: {schemes: []}}
      - {name: cover, kind: transfer, premium: 10, cover: 50%}
  - name: silence
    set: {sharing.word_of_mouth: 0}
    start: 2d
    rate: 1
    sizes: [{name: all, weight: 1}, {name: shops too, weight: 3, set: {demand.conversion: 1%}}]
  - {name: severe, probability: 1.2%, loss: {share_of_revenue: 8.6%}}
"""


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    return file


def test_worlds_are_the_calm_one_each_size_and_each_response_with_and_without_the_shock(plan):
    found = worlds(load_plan(plan))
    assert [world.name for world in found] == [
        "calm", "no scheme, calm", "halt", "no scheme, halt", "silence, all", "silence, shops too",
    ]  # fmt: skip
    assert [len(world.scenario.config.shocks) for world in found] == [0, 0, 1, 1, 0, 0]
    assert found[5].scenario.config.demand.conversion == 0.01


@pytest.mark.parametrize(
    ("old", "new", "path", "says"),
    [
        ("probability: 20%", "probability: 120%", "shocks.0.probability", "must be a share"),
        ("    rate: 1", "    rate: 1\n    probability: 20%", "shocks.1", "either probability"),
        ("kind: warehouse_halt", "kind: warehouse_hall", "shocks.0", "warehouse_halt"),
        ("sharing.word_of_mouth: 0", "sharing.word_of_mout: 0", "sharing.word_of_mout", "Did you mean"),
        ("premium: 10, ", "", "shocks.0.responses.1", "transfer needs premium and cover"),
        ("kind: avoid, set: {schemes: []}", "kind: avoid", "shocks.0.responses.0", "avoid needs set"),
        ("name: silence", "name: halt", "shocks.1.name", "is taken"),
        ("loss: {share_of_revenue: 8.6%}", "start: 1d", "shocks.2", "give shock or set"),
        ("start: 2d", "start: 20d", "shocks.1", "after the end of the run"),
    ],
)
def test_a_wrong_plan_is_refused_with_its_place(plan, old, new, path, says):
    assert old in PLAN
    plan.write_text(PLAN.replace(old, new))
    with pytest.raises(ScenarioError) as raised:
        load_plan(plan)
    assert path in str(raised.value)
    assert says in str(raised.value)


def test_a_scenario_alone_is_no_stress_plan(plan):
    result = CliRunner().invoke(app, ["stress", str(plan.parent / "tiny.yaml")])
    assert result.exit_code == 2
    assert "--frontier" in result.output


def finished(world, seed, contribution):
    days = range(14)
    tables = {
        "history": pd.DataFrame({"visits": [5.0 for _ in days]}),
        "ledger": pd.DataFrame(columns=["day", "scheme", "source", "target", "amount_yuan"]),
        "people": pd.DataFrame({"joined_day": [1.0, math.nan]}),
    }
    metrics = {"contribution": contribution, "gmv": 1000.0, "members": 50.0, "fraud_loss": 0.0}
    return RunResult(world.name, world.scenario.digest, seed, metrics, tables, {}, 0.0)


@pytest.mark.parametrize("lost", ["calm", "halt"])
def test_a_world_whose_runs_failed_is_told_as_unknown_and_the_others_stand(plan, lost):
    checked = load_plan(plan)
    places = worlds(checked)
    runs = {
        world.key: {} if world.name == lost
        else {seed: finished(world, seed, 100.0 - 10 * world.shock_happens) for seed in checked.seeds}
        for world in places
    }  # fmt: skip
    summary = Assessment(checked, places, runs).findings().summary
    loss = {row["shock"]: row["change"] for row in summary["impacts"] if row["metric"] == "contribution"}
    assert math.isnan(loss["halt"])
    assert loss["silence"] == pytest.approx(math.nan if lost == "calm" else -10, nan_ok=True)
    assert summary["verdict"]


@pytest.mark.slow
def test_the_loss_of_an_event_is_what_contribution_falls_by_seed_by_seed(plan, tmp_path):
    words = ["stress", str(plan), "--json", "--quiet", "--workers", "1", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    summary = json.loads(result.output)
    study = Study.load(tmp_path / "out")
    frame = study.frame()
    wide = frame[frame["metric"] == "contribution"].pivot(index="seed", columns="world", values="value")
    sized = {row["size"]: row for row in summary["impacts"]
             if row["shock"] == "silence" and row["metric"] == "contribution"}  # fmt: skip
    change = wide[["silence, all", "silence, shops too"]].sub(wide["calm"], axis=0).mean()
    assert sized["all"]["change"] == pytest.approx(change["silence, all"])
    assert sized[""]["change"] == pytest.approx(0.25 * change["silence, all"] + 0.75 * change["silence, shops too"])
    net = {row["response"]: row for row in summary["responses"] if row["shock"] == "halt"}
    lost = wide["calm"] - wide["halt"]
    assert net["accept"]["net_loss"] == pytest.approx(0.2 * lost.mean())
    standing = (wide["calm"] - wide["no scheme, calm"]).mean() * 365 / 14
    avoided = standing + 0.2 * (wide["no scheme, calm"] - wide["no scheme, halt"]).mean()
    assert net["no scheme"]["net_loss"] == pytest.approx(avoided)
    assert net["cover"]["net_loss"] == pytest.approx(10 + 0.2 * (lost - 0.5 * lost.clip(lower=0)).mean())
    severe = next(row for row in summary["tails"] if row["risk"] == "severe")
    revenue = frame[(frame["metric"] == "gmv") & (frame["world"] == "calm")]["value"].mean() * 365 / 14
    assert severe["mean"] == pytest.approx(0.012 * 0.086 * revenue, abs=4 * severe["mean_error"])
    assert {row["looks_at"] for row in summary["law"]}
    report = (tmp_path / "out" / "report.html").read_text()
    for title in ("Risk matrix", "Losses of a period", "Responses", "Early warning", "Budgets", "Facts on law"):
        assert f"<h2>{title}</h2>" in report
    again = CliRunner().invoke(app, words)
    assert json.loads(again.output)["verdict"] == summary["verdict"]
