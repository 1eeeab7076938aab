"""Comparisons: paired effects, twins, guardrails and verdicts, on made-up runs whose answer is known."""

import io
import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from scipy import stats as reference
from statsmodels.stats.multitest import multipletests

from experiments import guardrails, tables, wording
from experiments.comparison import Arm, Comparison
from experiments.outcome import RunResult
from experiments.stats import Estimate, mean_estimate
from experiments.twins import compare_twins


def people(uid, orders, gmv=0.0, benefit=0.0, fake=False, joined=-10.0, status="member", hit=False):
    """Return a table of persons; scalars hold for all."""
    return pd.DataFrame({"uid": uid}).assign(
        fake=fake, status=status, joined_day=joined, orders=orders, gmv_yuan=gmv, benefit_yuan=benefit, hit=hit
    )


# Twins.


def test_each_person_is_persuaded_put_off_unmoved_or_would_have_bought_anyway():
    base = people([0, 1, 2, 3], [0, 1, 2, 0], [0.0, 10.0, 25.5, 0.0])
    arm = people([0, 1, 2, 3], [1, 0, 1, 0], [30.1, 0.0, 12.2, 0.0], [6.0, 0.0, 2.0, 0.0])
    twins = compare_twins(base, arm)
    assert (twins.persuaded, twins.put_off, twins.anyway, twins.unmoved) == (1, 1, 1, 1)
    assert twins.incremental_gmv == 6.8
    assert (twins.benefit, twins.anyway_benefit) == (8.0, 2.0)


def test_rewards_of_persons_who_were_put_off_did_not_go_to_buyers_anyway():
    base = people([0, 1, 2], [1, 1, 0])
    arm = people([0, 1, 2], [1, 0, 1], benefit=[5.0, 9.0, 4.0])  # person 1 invites friends, and buys nothing any more
    twins = compare_twins(base, arm)
    assert (twins.benefit, twins.anyway_benefit) == (18.0, 5.0)


def test_what_honest_people_who_were_hit_would_have_spent_is_told_by_their_twins():
    base = people([0, 1, 2, 900], [1, 1, 0, 1], gmv=[50.0, 20.0, 0.0, 99.0], fake=[False, False, False, True])
    arm = people(
        [0, 1, 2, 900], [0, 1, 1, 0], gmv=[0.0, 25.0, 10.0, 0.0], fake=[False, False, False, True],
        hit=[True, False, True, True],
    )  # fmt: skip
    twins = compare_twins(base, arm)
    assert (twins.hit, twins.hit_gmv) == (2, 40.0)


def test_twins_are_found_by_uid_and_not_by_row():
    base = people([0, 1, 2], [5, 0, 0])
    arm = people([2, 0, 1], [0, 5, 0])
    twins = compare_twins(base, arm)
    assert (twins.anyway, twins.unmoved, twins.persuaded) == (1, 2, 0)


def test_fake_accounts_are_nobodys_twins():
    base = people([0, 900], [0, 1], fake=[False, True])
    arm = people([0, 900, 901], [1, 1, 3], 20.0, 5.0, fake=[False, True, True], joined=3.0)
    twins = compare_twins(base, arm)
    assert (twins.persons, twins.unmatched) == (1, 0)
    assert (twins.persuaded, twins.anyway) == (1, 0)
    assert twins.incremental_gmv == 20.0
    assert twins.incremental_members == 1


def test_persons_without_a_twin_are_counted_but_not_compared():
    twins = compare_twins(people([0, 1], 1), people([0, 1, 2, 3], 1))
    assert (twins.persons, twins.unmatched) == (2, 2)


def test_members_at_the_start_and_refused_prospects_are_not_new():
    base = people([0, 1, 2], 0, joined=[-5.0, np.nan, np.nan], status=["member", "prospect", "prospect"])
    arm = people([0, 1, 2], 0, joined=[-5.0, 4.0, np.nan], status=["member", "churned", "prospect"])
    assert compare_twins(base, arm).incremental_members == 1


# Effects.

DEFAULTS = {"new_members": 100.0, "incentive_cost": 0.0, "kol_cost": 0.0, "contribution": 0.0}


def run(seed, table=None, **metrics):
    table = people([0, 1], [0, 1], [0.0, 9.0]) if table is None else table
    return RunResult("any", "0" * 64, seed, {**DEFAULTS, **metrics}, {"people": table}, {}, 1.0)


def arm(name, runs, schemes=(), rails=(), days=90):
    config = SimpleNamespace(
        schemes=list(schemes), guardrails=list(rails), horizon=24.0 * days, question="", fraud=SimpleNamespace(rings=5)
    )
    return Arm(name, SimpleNamespace(name=name, digest=name.ljust(64, "0"), config=config), {r.seed: r for r in runs})


TEAMS = SimpleNamespace(kind="group_buy", team_size=3, discount=0.15)


def rail(metric, low=None, high=None, confidence=0.95):
    return SimpleNamespace(metric=metric, min=low, max=high, confidence=confidence)


@pytest.fixture
def study():
    rng = np.random.default_rng(3)
    gmv = rng.normal(1000, 100, 10)
    uplift = rng.normal(80, 20, 10)
    fraud = rng.normal(0.02, 0.001, 10)
    base = arm("baseline", [run(i, gmv=gmv[i], churn_rate=0.3 + gmv[i] / 1e4) for i in range(10)])
    teams = [
        run(i, gmv=gmv[i] + uplift[i], churn_rate=0.4 + gmv[i] / 1e4 + uplift[i] / 1e4, new_members=130.0 + i / 10,
            incentive_cost=123.0 + i, contribution=50.0 - i, fraud_loss_share=fraud[i])
        for i in range(10)
    ]  # fmt: skip
    return Comparison(base, [arm("group_buy", teams, [TEAMS], [rail("fraud_loss_share", high=0.03)])])


def effect(study, metric, name="group_buy"):
    return study.effects().set_index(["arm", "metric"]).loc[(name, metric)]


def test_effect_is_the_paired_t_test_over_seeds(study):
    before, after = study.base.values("gmv", range(10)), study.arms["group_buy"].values("gmv", range(10))
    row, expected = effect(study, "gmv"), reference.ttest_rel(after, before)
    assert (row.ci_low, row.ci_high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert row.mean_difference == pytest.approx(row.arm_mean - row.base_mean)
    assert row.p_better == pytest.approx(1 - expected.pvalue / 2)
    assert row.variance_reduction == pytest.approx((before.var() + after.var()) / (after - before).var())
    assert row.verdict == "better"


def test_less_is_better_where_the_metric_says_so(study):
    row = effect(study, "churn_rate")
    assert row.mean_difference > 0
    assert row.verdict == "worse"
    assert row.p_better < 0.01


def test_a_metric_that_one_side_does_not_have_has_no_effect_but_a_row(study):
    row = effect(study, "fraud_loss_share")
    assert row.verdict == "no data"
    assert row.pairs == 0
    assert math.isnan(row.mean_difference)


def test_only_seeds_that_finished_in_both_are_compared():
    base = arm("baseline", [run(i, gmv=10.0 * i) for i in (1, 2, 3)])
    teams = arm("group_buy", [run(i, gmv=10.0 * i + 1) for i in (2, 3, 4)])
    study = Comparison(base, [teams])
    assert study.seeds("group_buy") == [2, 3]
    assert effect(study, "gmv").mean_difference == 1.0
    assert list(study.twins()["seed"]) == [2, 3]


def test_an_undecided_metric_says_how_many_replicates_would_settle_it():
    base = arm("baseline", [run(i, gmv=0.0) for i in range(4)])
    teams = arm("group_buy", [run(i, gmv=value) for i, value in enumerate([3.0, -1.0, 2.0, -2.0])])
    row = effect(Comparison(base, [teams]), "gmv")
    assert row.verdict == "undecided"
    assert row.replicates_needed > 4


def test_a_relative_change_needs_a_base_above_zero():
    base = arm("baseline", [run(i, contribution=-50.0 - i) for i in range(3)])
    teams = arm("group_buy", [run(i, contribution=-40.0 - 2 * i) for i in range(3)])
    assert math.isnan(effect(Comparison(base, [teams]), "contribution").relative_difference)


def test_roi_and_cost_of_a_member_are_ratios_of_means(study):
    cost = 123.0 + np.arange(10)
    rows = study.increments().set_index("metric")
    # The tables of persons are equal in both arms: nobody was gained, so a member's cost has no value.
    assert math.isnan(rows.loc["cost_per_extra_member", "mean"])
    assert rows.loc["roi", "mean"] == pytest.approx(np.mean(50.0 - np.arange(10)) / cost.mean())
    assert rows.loc["incremental_cost", "mean"] == pytest.approx(cost.mean())
    assert rows.loc["anyway", "mean"] == 1


def test_a_ratio_by_a_difference_that_may_be_zero_has_no_value():
    base = arm("baseline", [run(i) for i in range(3)])
    cost = [5.0, -4.0, 6.0]
    teams = arm("group_buy", [run(i, incentive_cost=cost[i], contribution=9.0) for i in range(3)], [TEAMS])
    found = Comparison(base, [teams]).increment("group_buy", "roi")
    assert (math.isnan(found.mean), found.replicates) == (True, 3)


def test_share_of_benefits_that_went_to_buyers_anyway_weighs_replicates_by_their_benefits():
    before = people([0, 1], [0, 1])
    few, many, none = (people([0, 1], [1, 1], benefit=amounts) for amounts in ([0.0, 2.0], [90.0, 8.0], [0.0, 0.0]))
    base = arm("baseline", [run(i, before) for i in range(3)])
    teams = arm("group_buy", [run(i, table) for i, table in enumerate([few, many, none])], [TEAMS])
    found = Comparison(base, [teams]).increment("group_buy", "anyway_benefit_share")
    assert (found.mean, found.replicates) == (pytest.approx(0.1), 3)


@pytest.fixture
def wide():
    """A study whose intervals of relative changes go below -100%."""
    values = {"new_members": [1.0, 600.0, 30.0], "conversion": [0.0, 1.0, 0.9], "contribution": [-500.0, 900.0, 10.0]}
    base = arm("baseline", [run(i, new_members=10.0 + i, conversion=0.5, contribution=20.0) for i in range(3)])
    runs = [run(i, **{name: column[i] for name, column in values.items()}) for i in range(3)]
    return Comparison(base, [arm(f"arm{number}", runs, [TEAMS]) for number in range(5)])


def printed(study, width, capsys):
    tables.print_comparison(Console(width=width, highlight=False), study)
    return capsys.readouterr().out


def test_no_interval_on_a_terminal_is_impossible(wide, capsys):
    text = printed(wide, 200, capsys)
    assert "+199 persons (-11 to " in text
    assert "+13.3 pt (-100.0 to 100.0)" in text
    assert "+117 yuan (" in text


@pytest.mark.parametrize("width", [60, 100, 140])
def test_no_mark_stands_alone_and_every_arm_is_named_however_narrow_the_terminal(wide, width, capsys):
    lines = printed(wide, width, capsys).splitlines()
    table = lines[1 : next(i for i, line in enumerate(lines) if line.startswith("Changes"))]
    assert all(f" {name}" in "\n".join(table) for name in wide.arms)
    assert not any(set(line.split()) <= {"✓", "✗", "·"} for line in table if line.strip())
    assert max(map(len, table)) <= width


def test_marks_are_those_that_the_encoding_has():
    plain = Console(file=io.TextIOWrapper(io.BytesIO(), encoding="latin-1"))
    assert tables._marks_for(plain) == tables.PLAIN_MARKS
    assert tables._marks_for(Console(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))) == tables.MARKS


# Guardrails.


@pytest.mark.parametrize(
    ("values", "bounds", "state"),
    [
        ([0.02, 0.021, 0.019], {"high": 0.03}, "pass"),
        ([0.04, 0.041, 0.039], {"high": 0.03}, "fail"),
        ([0.02, 0.035, 0.029], {"high": 0.03}, "undecided"),
        ([0.02, 0.021, 0.019], {"low": 0.03}, "fail"),
        ([0.04, 0.041, 0.039], {"low": 0.03}, "pass"),
        ([0.5], {"high": 0.03}, "undecided"),
        ([math.nan, math.nan], {"high": 0.03}, "undecided"),
        ([0.01, 0.01], {"high": 0.01}, "pass"),
    ],
)
def test_guardrail_holds_or_breaks_only_beyond_its_confidence(values, bounds, state):
    (check,) = guardrails.check("x", [rail("m", **bounds)], lambda metric, c: mean_estimate(values, c))
    assert check.state == state
    assert bool(check.reason) == (state == "undecided")


def test_guardrail_uses_the_one_sided_limit_of_its_confidence():
    values = [1.0, 2.0, 4.0, 3.0]
    (check,) = guardrails.check("x", [rail("m", high=9.0, confidence=0.9)], lambda m, c: mean_estimate(values, c))
    expected = reference.ttest_1samp(values, 0, alternative="less").confidence_interval(0.9).high
    assert check.confidence_limit == pytest.approx(expected)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [({"high": 0.03}, "at least 3.9%"), ({"low": 0.05}, "at most 4.1%"), ({"high": 0.05}, "at most")],
)
def test_a_printed_confidence_limit_is_on_the_side_on_which_the_metric_is(bounds, said, capsys):
    own = rail("fraud_loss_share", **bounds)
    checks = guardrails.check("x", [own], lambda m, c: Estimate(0.04, 0.039, 0.041, 9))
    tables._print_checks(Console(width=200), checks)
    assert f"(4.0%, {said}" in capsys.readouterr().out


def test_guardrail_with_two_bounds_is_two_checks():
    checks = guardrails.check("x", [rail("m", low=0.0, high=1.0)], lambda m, c: Estimate(0.5, 0.4, 0.6, 9))
    assert [(check.bound, check.state) for check in checks] == [("min", "pass"), ("max", "pass")]


def test_guardrail_on_what_only_a_comparison_knows():
    def lone(metric, confidence):
        return None

    (check,) = guardrails.check("x", [rail("roi", low=0.0)], lone)
    assert (check.state, check.reason) == ("undecided", "needs a comparison with a base")
    base = arm("baseline", [run(i) for i in range(3)])
    teams = arm("group_buy", [run(i, incentive_cost=10.0 + i, contribution=-5.0 - i) for i in range(3)], [TEAMS],
                [rail("roi", low=0.0)])  # fmt: skip
    study = Comparison(base, [teams])
    assert study.guardrails()["state"].tolist() == ["fail"]
    assert study.broken


# Verdicts.


def test_verdict_says_growth_cost_and_fraud_in_one_sentence():
    before, after = people(range(100), 0), people(range(100), 1, joined=[1.0] * 30 + [-1.0] * 70)
    base = arm("baseline", [run(i, before, new_members=100.0 + i) for i in range(5)])
    runs = [
        run(i, after, new_members=131.0 + 1.3 * i, incentive_cost=123.0 + i, fraud_loss_share=0.023) for i in range(5)
    ]
    study = Comparison(base, [arm("group_buy", runs, [TEAMS])])
    assert study.verdict() == (
        "Team purchases of three at 15% off bring 31% more new members in 90 days than doing nothing "
        "(95% CI 31 to 31), cost 4.17 yuan for each one gained and lose 2.3% of the subsidy to farms."
    )


@pytest.mark.parametrize(
    ("share", "said"), [(0.34, " yuan); 34% of the orders in it are farms'."), (0.02, " yuan).")], ids=["many", "few"]
)
def test_verdict_says_whose_orders_earn_the_contribution(share, said):
    base = arm("baseline", [run(i, new_members=100.0 + i, contribution=500.0 + i) for i in range(5)])
    runs = [run(i, new_members=131.0 + i, contribution=900.0 + 2 * i, fraud_order_share=share) for i in range(5)]
    sentence = Comparison(base, [arm("group_buy", runs, [TEAMS])]).verdict()
    assert "Contribution rises by" in sentence
    assert sentence.endswith(said)


def test_verdict_names_the_best_arm_that_breaks_no_guardrail():
    base = arm("baseline", [run(i, new_members=100.0 + i) for i in range(5)])

    def scheme(size):
        return SimpleNamespace(kind="group_buy", team_size=size, discount=0.15)

    greedy = arm(
        "greedy", [run(i, new_members=200.0 + i, fraud_loss_share=0.5) for i in range(5)], [scheme(2)],
        [rail("fraud_loss_share", high=0.03)],
    )  # fmt: skip
    modest = arm("modest", [run(i, new_members=110.0 + i) for i in range(5)], [scheme(3)])
    idle = arm("idle", [run(i, new_members=100.0 + i + (-1) ** i) for i in range(5)], [scheme(4)])
    verdict = Comparison(base, [greedy, modest, idle]).verdict()
    assert verdict.startswith("Most growth among those of three arms whose guardrails hold: team purchases of three")
    both = Comparison(base, [greedy, idle]).verdict()
    assert both == (
        "No arm is fit to launch: greedy brings more new members than doing nothing, but breaks the guardrail on "
        "fraud_loss_share."
    )
    neither = Comparison(base, [idle, arm("idler", idle.runs.values(), [scheme(5)])]).verdict()
    assert neither == "None of the two arms brings more new members than doing nothing beyond doubt."


def arms_that_gain(*gains):
    """Return arms with schemes of different team sizes, and a base of 100, 101, ... new members."""
    base = arm("baseline", [run(i, new_members=100.0 + i) for i in range(len(gains[0]))])
    arms = [
        arm(name, [run(i, new_members=100.0 + i + more) for i, more in enumerate(gain)],
            [SimpleNamespace(kind="group_buy", team_size=size, discount=0.15)])
        for size, name, gain in zip(range(2, 9), "abcdefg", gains, strict=False)
    ]  # fmt: skip
    return Comparison(base, arms)


def test_most_growth_is_claimed_only_if_the_arms_themselves_differ_beyond_doubt():
    told = arms_that_gain([30.0, 31.0, 29.0, 30.5, 30.0], [20.0, 21.0, 19.0, 21.0, 20.0])
    assert told.verdict().startswith("Most growth of two arms: team purchases of two at 15% off bring 30% more")
    assert told.rivals()[["arm", "rival", "verdict"]].to_numpy().tolist() == [["a", "b", "better"]]
    close = arms_that_gain([30.0, 21.0, 29.0, 25.0, 30.0], [20.0, 25.0, 19.0, 31.0, 20.0])
    assert close.verdict().startswith(
        "Most growth on average of two arms, but b may bring as much or more (at least 19 replicates would tell): "
        "team purchases of two at 15% off bring 26% more"
    )


def test_an_arm_that_brings_exactly_as_much_is_named_beside_the_chosen_one():
    gain = [30.0, 31.0, 29.0, 30.5, 30.0]
    study = arms_that_gain(gain, gain, [more - 9.0 for more in gain])
    assert study.verdict().startswith("Most growth of three arms, but b brings exactly as much: team purchases of two")
    assert study.rivals()["verdict"].tolist() == ["same", "better"]


def test_an_arm_with_a_sure_gain_is_not_said_to_bring_more_than_one_whose_larger_gain_is_open():
    study = arms_that_gain([20.0, 21.0, 19.0, 20.5], [90.0, -20.0, 70.0, -30.0])
    assert study.verdict().startswith("Surest growth of two arms, but b may bring as much or more (at least")


def test_rivals_are_tested_in_pairs_and_adjusted_for_all_pairs_that_could_have_been_chosen():
    rng = np.random.default_rng(4)
    gains = [mean + rng.normal(0, 3, 8) for mean in (40.0, 38.0, 30.0, 10.0)]
    study = arms_that_gain(*gains)
    pairs = [(0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)]
    p_values = [reference.ttest_rel(gains[one], gains[other]).pvalue for one, other in pairs]
    rivals = study.rivals().set_index("rival")
    assert rivals["p_value"].tolist() == pytest.approx(p_values[:3])
    assert rivals["p_adjusted"].tolist() == pytest.approx(multipletests(p_values, method="holm")[1][:3])
    interval = reference.ttest_rel(gains[0], gains[2]).confidence_interval(0.95)
    assert tuple(rivals.loc["c", ["ci_low", "ci_high"]]) == pytest.approx(tuple(interval))
    open_ones = rivals[rivals["verdict"] == "undecided"]
    assert (open_ones["replicates_needed"] > 8).all()
    assert set(open_ones.index) == {"b"}


def test_a_verdict_counts_rivals_that_are_too_many_to_name():
    rng = np.random.default_rng(4)
    verdict = arms_that_gain(*(40.0 + rng.normal(0, 3, 6) for _ in range(5))).verdict()
    assert verdict.startswith("Most growth on average of five arms, but four others may bring as much or more")


def test_one_of_many_arms_that_seems_to_gain_may_do_so_by_luck():
    lucky = [1.0, 9.0, 2.0, 8.0, 0.0, 5.0]
    idle = [[sign * 5.0 * (-1) ** (i + shift) for i in range(6)] for sign in (1, -1) for shift in (0, 1)][:3]
    alone, among_four = arms_that_gain(lucky), arms_that_gain(lucky, *idle)
    assert "bring 4.1% more new members" in alone.verdict()
    assert among_four.verdict() == (
        "None of the four arms brings more new members than doing nothing beyond doubt: a alone would, but one of four "
        "may by luck."
    )
    assert among_four.to_dict()["choice"]["arm"] is None


def test_a_comparison_says_under_its_table_what_so_many_intervals_do_not_promise(study, capsys):
    note = "Each interval is for itself: of 100 changes by luck alone, about 5 are marked ✓ or ✗."
    several = arms_that_gain([30.0, 31.0, 29.0, 30.5], [20.0, 21.0, 19.0, 21.0])
    assert f"{note}\n" in printed(study, 200, capsys)
    assert f"{note} The arm that the verdict names was picked for its gain" in printed(several, 200, capsys)
    assert "Each interval" not in printed(arms_that_gain([30.0], [20.0]), 200, capsys)


def test_an_arm_chosen_for_its_guardrails_is_compared_with_those_whose_guardrails_hold():
    study = arms_that_gain([90.0, 91.0, 89.0, 90.0], [30.0, 31.0, 29.0, 30.0], [29.0, 33.0, 29.0, 28.0])
    study.arms["a"].scenario.config.guardrails.append(rail("new_members", high=50.0))
    assert study.verdict().startswith(
        "Most growth on average among those of three arms whose guardrails hold, but c may bring as much or more"
    )
    choice = study.to_dict()["choice"]
    assert (choice["arm"], choice["among"], [row["rival"] for row in choice["rivals"]]) == ("b", ["b", "c"], ["c"])


def test_verdict_of_an_undecided_arm_says_what_would_settle_it():
    base = arm("baseline", [run(i, new_members=100.0) for i in range(4)])
    teams = arm("teams", [run(i, new_members=100.0 + d) for i, d in enumerate([9.0, -4.0, 8.0, -5.0])], [TEAMS])
    sentence = Comparison(base, [teams]).verdict("teams")
    assert "may bring more or fewer new members in 90 days than doing nothing: +2.0% on average, but open" in sentence
    assert "at least 57 replicates would tell" in sentence


def test_only_an_interval_close_to_zero_is_about_as_many():
    base = arm("baseline", [run(i, new_members=100.0) for i in range(4)])
    teams = arm("teams", [run(i, new_members=100.0 + d) for i, d in enumerate([1.0, -1.0, 2.0, -1.5])], [TEAMS])
    assert "bring about as many new members in 90 days as doing nothing" in Comparison(base, [teams]).verdict()


def test_an_arm_whose_guardrails_hold_goes_before_one_of_which_that_is_open():
    base = arm("baseline", [run(i, new_members=100.0 + i) for i in range(5)])
    rails = [rail("fraud_loss_share", high=0.03)]
    risky = [run(i, new_members=200.0 + i, fraud_loss_share=0.028 + 0.002 * (i % 3)) for i in range(5)]
    safe = [run(i, new_members=110.0 + i, fraud_loss_share=0.01, contribution=-9.0 - i) for i in range(5)]
    arms = [arm("risky", risky, [TEAMS], rails), arm("safe", safe, [SimpleNamespace(kind="lucky_draw")], rails)]
    study = Comparison(base, arms)
    assert study.verdict().startswith(
        "Most growth among those of two arms whose guardrails hold, but contribution falls: lucky draw"
    )
    assert "whether the guardrail on fraud_loss_share holds is open" in study.verdict("risky")


def test_verdict_of_arms_with_the_same_schemes_goes_by_their_names():
    base = arm("open", [run(i, new_members=100.0 + i) for i in range(4)], [TEAMS])
    strict = arm("strict", [run(i, new_members=90.0 + i) for i in range(4)], [TEAMS])
    sentence = Comparison(base, [strict]).verdict()
    assert sentence.startswith("The arm 'strict' brings 9.9% fewer new members in 90 days than the base 'open'")


def test_one_replicate_gives_a_verdict_without_interval():
    study = Comparison(arm("baseline", [run(1)]), [arm("teams", [run(1, new_members=112.0)], [TEAMS])])
    assert "bring 12 more new members in 90 days than doing nothing (one replicate: no interval)" in study.verdict()


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0234, "share", "2.3%"),
        (0.31, "share", "31%"),
        (1234.5, "yuan", "1,234"),
        (-0.001, "yuan", "0"),
        (12.0, "persons", "12"),
        (12.4, "persons", "12.4"),
        (3.14159, "days", "3.14"),
        (math.nan, "days", "n/a"),
    ],
)
def test_numbers_are_as_short_as_a_table_needs_them(value, unit, text):
    assert wording.number(value, unit) == text


def test_plain_data_of_a_comparison_is_json_with_the_contracts_keys(study):
    from experiments.files import to_json

    plain = json.loads(to_json(study.to_dict()))
    assert {
        "scenario",
        "digest",
        "version",
        "seeds",
        "metrics",
        "base",
        "arms",
        "effects",
        "guardrails",
        "verdict",
    } <= set(plain)
    assert set(plain["metrics"]["gmv"]) == {"mean", "ci_low", "ci_high", "values"}
    row = next(row for row in plain["effects"] if row["metric"] == "gmv")
    assert row["arm"] == "group_buy"
    assert row["variance_reduction"] > 5


def test_what_a_change_is_relative_to_has_three_significant_digits(capsys):
    base = arm("baseline", [run(i, k_factor=0.01784) for i in range(3)])
    teams = arm("group_buy", [run(i, k_factor=0.0512 + i / 1e5) for i in range(3)], [TEAMS])
    (line,) = [line for line in printed(Comparison(base, [teams]), 140, capsys).splitlines() if "k factor" in line]
    assert line.split()[:4] == ["k", "factor", "0.0178", "+187%"]
