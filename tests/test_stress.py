"""Stress: losses of periods against closed forms, alarms, budgets, responses, and the command end to end."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest
from typer.testing import CliRunner

from experiments.cli import app
from experiments.outcome import RunResult
from experiments.plans.plan import load_plan
from experiments.plans.stress import remarks, worlds
from experiments.plans.stress_alarms import SIDES, Level, alarms, levels, proven, runs_for_proof
from experiments.plans.stress_budgets import ran_out
from experiments.plans.stress_chances import (
    exceedance_test,
    limits_text,
    runs_for_a_tail,
    seen_text,
    share_estimate,
)
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
from experiments.plans.stress_output import advice, alarms_text, budget_text, verdict_parts
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
    level = Level("sign_ups", "above", 5.0, 0.1, 9, 9)
    quiet = pd.DataFrame({"sign_ups": [9.0, 1, 1, 1, 1, 1]})  # before the shock does not count
    loud = pd.DataFrame({"sign_ups": [1.0, 1, 1, 1, 6, 9]})
    table = alarms([level], {1: quiet, 2: loud, 3: loud}, 2)
    row = table.iloc[0]
    assert (row["fires"], row["days"], row["runs"]) == (pytest.approx(2 / 3), 2, 3)
    assert row["fires_low"] < 0.1
    assert row["fires_high"] > 0.99


def test_an_alarm_that_no_shock_causes_is_hardly_ever_proven_among_all_that_are_tried():
    found = 0
    for trial in range(12):
        runs = calm_runs(18, 10, 1000 + trial)
        table = alarms(levels(runs[:9], 0, 0.1), dict(enumerate(runs[9:])), 0)
        found += proven(table)["proven"].any()
    assert found <= 3  # of 12 at 5%: more with a chance of 0.2%


def test_the_p_value_of_an_alarm_is_the_chance_that_calm_runs_give_it_so_often():
    drawn = np.random.default_rng(4).random((40_000, 9 + 6))
    beyond = (drawn[:, 9:] > np.sort(drawn[:, :9])[:, [7]]).sum(axis=1)  # of six, the second largest of nine
    for fired in (1, 2, 3, 4):
        assert exceedance_test(fired, 6, 9, 8) == pytest.approx((beyond >= fired).mean(), abs=0.01)


def test_an_alarm_in_every_struck_run_is_proven_if_there_are_runs_enough_for_so_many_tried():
    assert exceedance_test(9, 9, 9, 9) == pytest.approx(1 / math.comb(18, 9))  # all new ones beyond all calm ones
    assert exceedance_test(0, 9, 9, 9) == 1
    needed = runs_for_proof(18, 0.1)
    assert needed == 6  # 18 / C(12, 6) = 1.9%, but 18 / C(10, 5) = 7%
    for runs, is_proven in ((needed, True), (needed - 1, False)):
        struck = {seed: run.assign(visits=1000.0) for seed, run in enumerate(calm_runs(runs, 10, 7))}
        table = proven(alarms(levels(calm_runs(runs, 10), 0, 0.1), struck, 0))
        visits = table[(table["signal"] == "visits") & (table["side"] == "above")].iloc[0]
        assert (visits["fires"], visits["proven"]) == (1, is_proven)


def test_when_no_alarm_is_proven_the_number_tried_and_the_runs_that_it_takes_are_told():
    summary = {"alarms_tried": 72, "alarms_proven": 0, "alarms_need": 7, "seeds": [1, 2, 3]}
    assert "No alarm gives warning more often than by chance, of 72 tried" in alarms_text(summary)
    assert "that takes 7 seeds" in alarms_text(summary)
    assert "takes" not in alarms_text({**summary, "seeds": range(9)})


# What few runs can tell.


def test_a_chance_seen_in_no_run_is_bounded_exactly_and_one_seen_in_some_is_clopper_and_pearson():
    none = share_estimate([0.0] * 6)
    assert (none.mean, none.low, none.high) == (0, 0, pytest.approx(1 - 0.05 ** (1 / 6)))
    assert seen_text(none.mean, none.low, none.high, 6) == "in none of 6 runs (with 95% confidence at most 39%)"
    every = share_estimate([1.0] * 6)
    assert seen_text(every.mean, every.low, every.high, 6) == "in all 6 runs (with 95% confidence at least 61%)"
    some = share_estimate([1, 0, 0, math.nan, 0, 0])
    exact = binomtest(1, 5).proportion_ci(0.95)
    assert (some.mean, some.low, some.high) == (0.2, pytest.approx(exact.low), pytest.approx(exact.high))
    part = share_estimate([0.3, 0.0, 0.0])  # a chance in each run: no narrower than for the count below, none
    assert part.low < 0.1 < part.high
    assert part.high > share_estimate([0.0] * 3).high * 0.95
    assert limits_text(0.0004, 0.4) == "at most 40%"


def test_a_budget_that_never_ran_out_is_told_with_what_so_few_runs_leave_open():
    row = {"scheme": "referral", "calm": 0.0, "calm_low": 0.0, "calm_high": 0.393, "chance": 0.0, "low": 0.0,
           "high": 0.393, "runs": 6}  # fmt: skip
    said = "ran out in none of 6 runs (with 95% confidence at most 39%), with or without shocks"
    assert said in budget_text(row)
    assert "chance of 4% (with 95% confidence at most 41%)" in budget_text({**row, "chance": 0.04, "high": 0.41})


def test_a_tail_needs_the_runs_after_which_one_as_bad_is_95_percent_likely():
    assert runs_for_a_tail(0.95, 1.0) == 59  # Wilks
    assert runs_for_a_tail(0.99, 1.0) == 299
    assert runs_for_a_tail(0.95, 0.05) == 0  # too rare for the worst 5%: the value at risk is 0
    assert 0 < runs_for_a_tail(0.95, 0.1) == math.ceil(math.log(0.05) / math.log(0.5))


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
    assert "cover, dearer on average, loses less: 30.00 yuan on average, where accepting loses 100.0" in advice(tame)
    unsure = [
        answer("accept", "accept", 10),
        {**answer("cover", "transfer", 20, -10, shortfall=30), "net_loss_high": 500},
    ]
    assert "cover, dearer" not in advice(unsure)
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
        (
            "length: 4d}",
            "length: 4d}\n    sizes: [{name: late, shock: {start: 20d}}]",
            "shocks.0.sizes.0",
            "after the end",
        ),
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


def test_a_size_may_begin_at_another_time_and_its_alarms_count_from_then(plan):
    sizes = "length: 4d}\n    sizes: [{name: early}, {name: late, shock: {start: 8d}}]"
    plan.write_text(PLAN.replace("length: 4d}", sizes))
    checked = load_plan(plan)
    halt = checked.config.shocks[0]
    assert [halt.begins_in(name) / 24 for name in ("early", "late")] == [4, 8]
    begins = {world.size: world.scenario.config.shocks[0].start / 24 for world in worlds(checked)
              if world.shock == "halt" and world.shock_happens and not world.response}  # fmt: skip
    assert begins == {"early": 4, "late": 8}
    loud = dict.fromkeys(range(14), 5.0) | {9: 50.0}
    runs = {world.key: {seed: finished(world, seed, 100.0, loud if world.size == "late" else {})
                        for seed in checked.seeds} for world in worlds(checked)}  # fmt: skip
    found = Assessment(checked, worlds(checked), runs).warnings()
    late = found[(found["size"] == "late") & (found["signal"] == "visits") & (found["side"] == "above")].iloc[0]
    assert (late["fires"], late["days"]) == (1, 1)  # day 9, of a shock that begins on day 8


def test_an_outage_of_a_detector_that_there_is_not_is_told_before_anything_runs(plan):
    assert remarks(load_plan(plan)) == []
    plan.write_text(PLAN.replace("warehouse_halt", "detector_outage"))
    changes = ["set.risk={accounts_per_device: 2}"]
    assert "the scenario has no detector" in remarks(load_plan(plan, changes))[0]
    with pytest.raises(ScenarioError, match="sets no control"):
        load_plan(plan)


def finished(world, seed, contribution, visits=None):
    days = range(14)
    tables = {
        "history": pd.DataFrame({"visits": [(visits or {}).get(day, 5.0) for day in days]}),
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


def assessed(plan, contribution):
    """Return the summary of a plan whose runs came to what a function of world and seed says."""
    checked = load_plan(plan)
    places = worlds(checked)
    runs = {world.key: {seed: finished(world, seed, contribution(world, seed)) for seed in checked.seeds}
            for world in places}  # fmt: skip
    return Assessment(checked, places, runs).findings().summary


def test_an_expected_loss_and_its_interval_are_the_same_wherever_they_stand(plan):
    summary = assessed(plan, lambda world, seed: 100.0 - 10 * seed * world.shock_happens)
    for shock in ("halt", "silence", "severe"):
        tail_row = next(row for row in summary["tails"] if row["risk"] == shock)
        accepted = next(row for row in summary["responses"] if row["shock"] == shock)
        for end in ("", "_low", "_high"):
            assert tail_row[f"mean{end}"] == accepted[f"net_loss{end}"]
        for measure in ("value_at_risk", "shortfall", "runs_needed"):
            assert tail_row[measure] == accepted[measure]
    halt = next(row for row in summary["tails"] if row["risk"] == "halt")
    half = 4.302652729911275 * 0.2 * 10 / math.sqrt(3)  # Student's t of three seeds that lose 10, 20 and 30
    assert (halt["mean"], halt["mean_low"]) == (pytest.approx(0.2 * 20), pytest.approx(0.2 * 20 - half))
    whole = next(row for row in summary["tails"] if row["risk"] == "all risks")
    assert whole["mean"] == pytest.approx(
        sum(row["net_loss"] for row in summary["responses"] if row["kind"] == "accept")
    )


def test_a_value_at_risk_of_few_runs_has_no_interval_and_says_how_many_it_takes(plan):
    summary = assessed(plan, lambda world, seed: 100.0 - 10 * seed * world.shock_happens)
    halt = next(row for row in summary["tails"] if row["risk"] == "halt")
    assert (halt["runs"], halt["runs_needed"]) == (3, runs_for_a_tail(0.95, 0.2)) == (3, 11)
    assert math.isnan(halt["value_at_risk_low"])
    assert "resting on the worst of 3 runs: at least" in summary["verdict"]
    assert summary["reserve"]["runs_needed"] > 3


def test_a_shock_that_changes_nothing_gets_no_advice_and_says_so(plan):
    summary = assessed(plan, lambda world, seed: 100.0 - 10 * (world.shock == "silence") * world.shock_happens)
    changed = {row["shock"]: row["changes_nothing"] for row in summary["risks"]}
    assert changed == {"halt": True, "silence": False, "severe": False}
    told = [paragraph for paragraph in verdict_parts(summary) if paragraph.startswith("halt")]
    assert told == ["halt: it changed nothing at all in this scenario, so there is nothing to respond to."]
    assert "What to do: halt: nothing, it changed nothing." in summary["verdict"]
    assert next(row["runs_needed"] for row in summary["tails"] if row["risk"] == "halt") == 0


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
    assert severe["mean"] == pytest.approx(0.012 * 0.086 * revenue)
    assert {row["looks_at"] for row in summary["law"]}
    report = (tmp_path / "out" / "report.html").read_text()
    for title in ("Risk matrix", "Losses of a period", "Responses", "Early warning", "Budgets", "Facts on law"):
        assert f"<h2>{title}</h2>" in report
    again = CliRunner().invoke(app, words)
    assert json.loads(again.output)["verdict"] == summary["verdict"]
