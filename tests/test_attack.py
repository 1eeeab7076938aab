"""``shopsim attack``: a planted loophole is found, closing it removes it, and honest rules yield none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from agents.actions import Deed
from experiments.attack import Attack, attack
from experiments.cli import app
from experiments.overlaps import Overlap, schemes_at_once
from sim import Scenario
from sim.labels import Fraud

# Goods resell at three quarters of their price. Neither scheme takes a quarter off; together they take a third, for
# nobody thought of a limit: 1 - 0.85 x 0.8 = 32%.
TEAMS = {"kind": "group_buy", "team_size": 3, "discount": "15%"}
COUPON = {"kind": "coupon", "coupon": "newcomer", "percent": "20%"}
REFERRAL = {"kind": "referral", "bonus": {"inviter": 9, "invitee": 9, "on": "first_order"}, "rates": []}
BASE: dict[str, Any] = {
    "people": {"size": 200},
    "catalog": {"merchants": 5, "products": 200, "categories": 5, "price": {"median": 60, "sigma": 0.8}},
}
CLOSED = {
    "they exclude each other": {"stacking.combine": []},
    "the coupon is capped": {"schemes.coupon.cap": 5},
    "the coupon has a threshold": {"schemes.coupon.threshold": 1000, "schemes.coupon.cap": 20},
}


def scenario(*schemes: dict[str, Any], **changes: Any) -> Scenario:
    sections = {path.replace("__", "."): value for path, value in changes.items()}
    return Scenario.from_dict(BASE).override({"schemes": list(schemes), **sections})


def is_planted(found: Attack) -> bool:
    """Whether the best exploit is the loophole: a team of the adversary's own, both discounts, dear goods."""
    best = found.exploits[0] if found.pays else None
    return best is not None and best.fraud == Fraud.TEAM_FILLER and set(best.discount) == {"group_buy", "coupon"}


def test_two_schemes_that_stack_below_cost_are_found() -> None:
    found = attack(scenario(TEAMS, COUPON))
    assert is_planted(found)
    best = found.exploits[0]
    share_off = sum(best.discount.values()) / best.worth
    assert share_off == pytest.approx(0.32, abs=0.001)
    assert best.profit == pytest.approx(0.07 * best.worth - best.plan.accounts * 3_50, rel=0.01)


@pytest.mark.parametrize("change", CLOSED.values(), ids=CLOSED)
def test_closing_the_loophole_removes_it(change: dict[str, Any]) -> None:
    assert not attack(scenario(TEAMS, COUPON).override(change)).pays


@pytest.mark.parametrize("scheme", [TEAMS, COUPON], ids=["teams", "coupon"])
def test_either_scheme_alone_yields_nothing(scheme: dict[str, Any]) -> None:
    assert not attack(scenario(scheme)).pays


@pytest.mark.slow
def test_longer_chains_in_several_teams_pay_more_and_approach_what_one_more_account_brings() -> None:
    """Each further account of the chain brings its inviter 9, itself 9, commissions, a team price and a coupon."""
    coupon = {"kind": "coupon", "coupon": "newcomer", "amount": 20, "threshold": 80}
    referral = {**REFERRAL, "rates": ["5%", "2%"]}
    shop = scenario(TEAMS, coupon, referral, **{"stacking.order": ["group_buy", "coupon"]})
    best = [attack(shop, accounts).exploits[0] for accounts in (3, 6, 9)]
    assert [exploit.plan.accounts for exploit in best] == [3, 6, 9]
    assert [sum(step.deed == Deed.OPEN_TEAM for step in exploit.plan.steps) for exploit in best] == [1, 2, 3]
    profit = [exploit.profit for exploit in best]
    assert profit[2] - profit[1] == pytest.approx(profit[1] - profit[0], rel=0.02)
    assert best[0].per_account < best[1].per_account < best[2].per_account


@pytest.mark.slow
def test_the_loophole_is_found_under_most_seeds_and_never_after_it_is_closed() -> None:
    whole, closed = scenario(TEAMS, COUPON), scenario(TEAMS, COUPON, stacking__combine=[])
    assert sum(is_planted(attack(whole, seed=seed)) for seed in range(20)) >= 16
    assert not any(attack(closed, seed=seed).pays for seed in range(20))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shop_without_an_exploitable_rule_yields_none(seed: int) -> None:
    honest = scenario(
        {**TEAMS, "leader": "rebate", "leader_rate": "5%"},
        {"kind": "coupon", "coupon": "newcomer", "amount": 5, "threshold": 50},
        {**REFERRAL, "bonus": {"inviter": 1, "invitee": 1, "on": "first_order"}, "rates": ["3%"], "freeze": "14d"},
        stacking__combine=[],
    )
    assert not attack(honest, seed=seed).pays


def test_outlay_is_all_that_is_paid_and_cost_is_what_is_gone_when_goods_are_resold_or_refunded() -> None:
    best = attack(scenario(TEAMS, COUPON)).exploits[0]
    work = best.plan.accounts * 3_00 + best.plan.orders * 50
    assert best.cost == pytest.approx(work + 0.25 * best.worth)
    assert best.outlay == pytest.approx(work + best.worth - sum(best.discount.values()))
    assert best.per_outlay == pytest.approx(best.profit / best.outlay)
    paid = {**REFERRAL, "bonus": {"inviter": 30, "invitee": 30, "on": "first_order"}, "freeze": "1d"}
    for exploit in attack(scenario(paid)).exploits:
        if exploit.plan.returns == exploit.plan.orders:  # everything comes back, yet it had to be paid
            assert exploit.worth == 0
            assert exploit.outlay > exploit.cost + 100 * exploit.plan.returns
            break
    else:
        pytest.fail("nothing was sent back")


def test_exploits_that_only_differ_in_goods_are_one_and_kinds_are_told_apart() -> None:
    found = attack(scenario(TEAMS, COUPON, REFERRAL))
    shapes = [tuple(step._replace(goods=None) for step in exploit.plan.steps) for exploit in found.exploits]
    assert len(set(shapes)) == len(shapes)
    kinds = [(e.fraud, tuple(e.cash), tuple(e.discount)) for e in found.different(10)]
    assert len(set(kinds)) == len(kinds) > 1
    profits = [exploit.per_account for exploit in found.exploits]
    assert profits == sorted(profits, reverse=True)


def test_account_costs_its_part_of_a_device_where_the_shop_limits_accounts_on_one() -> None:
    free = attack(scenario(REFERRAL, risk__accounts_per_device=None))
    dear = attack(scenario(REFERRAL, risk__accounts_per_device=1))
    assert free.costs.account == 3_00
    assert dear.costs.account == 23_00
    assert free.pays
    assert not dear.pays


def test_what_comes_nearest_brings_something_and_most_for_its_cost() -> None:
    for scheme in (TEAMS, {"kind": "coupon", "coupon": "newcomer", "amount": 20, "threshold": 80}):
        found = attack(scenario(scheme))
        assert not found.pays
        assert found.nearest is not None
        assert 0 < found.nearest.income < found.nearest.cost
    assert found.nearest.plan.accounts == 1  # no idle accounts over which to spread the loss
    assert found.nearest.per_cost == pytest.approx(20 / (3.5 + 0.25 * found.nearest.worth / 100) - 1)


def test_devices_that_a_ring_owns_cost_it_nothing() -> None:
    found = attack(scenario(REFERRAL, risk__accounts_per_device=1, fraud__devices=3))
    assert not found.pays
    assert found.own_accounts == 3
    assert found.own is not None
    assert found.own.plan.accounts <= 3
    free = attack(scenario(REFERRAL, risk__accounts_per_device=None), accounts=3)
    assert (free.own, free.own_accounts) == (None, 0)
    assert found.own.per_account == pytest.approx(free.exploits[0].per_account)
    assert found.own.cost == pytest.approx(free.exploits[0].cost)


def test_what_pays_best_for_a_yuan_laid_out_is_told_besides_what_pays_best_an_account() -> None:
    serial = scenario({**TEAMS, "discount": "30%", "team_size": 2}, {**COUPON, "percent": None, "amount": 20})
    found = attack(serial)
    assert found.leanest is not None
    assert found.leanest.per_outlay > 2 * found.exploits[0].per_outlay
    assert found.leanest.per_account < found.exploits[0].per_account
    assert all(exploit.per_outlay <= found.leanest.per_outlay for exploit in found.exploits)


def test_leaked_code_is_known_and_another_is_not() -> None:
    code = {"kind": "coupon", "coupon": "code", "amount": 40, "threshold": 40, "code_known": "100%"}
    secret = attack(scenario(code))
    assert secret.nearest is None
    leak = {"kind": "leaked_code", "scheme": "coupon", "reach": "10%", "start": "3d", "length": "2d"}
    assert attack(scenario(code, shocks=[leak])).pays


def test_schemes_that_never_run_together_are_not_stacked() -> None:
    apart = scenario({**TEAMS, "end": "10d"}, {**COUPON, "start": "10d"})
    assert schemes_at_once(apart) == [Overlap((0,)), Overlap((1,))]
    assert not attack(apart).pays
    calendar = [{"name": "one", "start": "0d", "end": "5d", "schemes": ["coupon"]}]
    assert schemes_at_once(scenario(TEAMS, COUPON, calendar=calendar)) == [Overlap((0, 1))]
    short = {**COUPON, "valid_for": "2d"}
    after = scenario({**TEAMS, "start": "7d"}, short, calendar=calendar)
    assert schemes_at_once(after) == [Overlap((0,)), Overlap((1,))]


def test_coupon_that_is_still_valid_when_another_scheme_starts_falls_on_it() -> None:
    serial = scenario({**TEAMS, "start": "8d"}, {**COUPON, "end": "5d"})
    assert schemes_at_once(serial) == [Overlap((0,)), Overlap((0, 1), (1,), (0,)), Overlap((1,))]
    found = attack(serial)
    assert is_planted(found)
    sentences = found.steps(found.exploits[0])
    assert any("once group_buy runs, open a team" in sentence for sentence in sentences)
    assert not any("days later" in sentence for sentence in sentences)
    assert not attack(serial.override({"schemes.coupon.valid_for": "3d"})).pays
    same = scenario({**TEAMS, "start": "8d"}, {**COUPON, "end": "5d", "valid_until": "9d"})
    assert schemes_at_once(same) == schemes_at_once(serial)


def test_account_cannot_have_a_coupon_of_the_past_and_be_invited_by_a_scheme_of_the_future() -> None:
    coupon = {"kind": "coupon", "coupon": "newcomer", "amount": 9}
    bonus = {**REFERRAL, "bonus": {"inviter": 0, "invitee": 9, "on": "sign_up"}}
    assert attack(scenario(coupon, bonus, fraud__account_cost=8)).pays
    apart = scenario({**coupon, "end": "5d"}, {**bonus, "start": "6d"}, fraud__account_cost=8)
    assert Overlap((0, 1), (0,), (1,)) in schemes_at_once(apart)
    assert not attack(apart).pays


# The command.


def written(tmp_path: Path, *schemes: dict[str, Any]) -> str:
    file = tmp_path / "scenario.yaml"
    file.write_text(scenario(*schemes).to_yaml(), "utf-8")
    return str(file)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["attack", *arguments])


def test_command_says_step_by_step_what_pays_and_fails(tmp_path: Path) -> None:
    result = run(written(tmp_path, TEAMS, COUPON))
    assert result.exit_code == 1
    assert "1. open" in result.output
    assert "open a team for the dearest product" in result.output
    assert "yuan an account" in result.output
    assert "a yuan laid out (team filler)" in result.output
    assert "a yuan of cost" in result.output


def test_command_succeeds_where_nothing_pays(tmp_path: Path) -> None:
    file = written(tmp_path, TEAMS, COUPON)
    result = run(file, "--set", "stacking.combine=[]")
    assert result.exit_code == 0
    assert "no exploit pays" in result.output
    assert run(file, "--accounts", "2").exit_code == 0  # teams of three


def test_command_says_what_comes_nearest_how_far_it_searched_and_which_controls_it_left_out(tmp_path: Path) -> None:
    result = run(written(tmp_path, TEAMS), "--set", "risk={account_age: 3d, payout_freeze: 2d}", "--accounts", "5")
    assert result.exit_code == 0
    output = " ".join(result.output.split())
    assert "What comes nearest: -" in output
    assert "% of its cost" in output
    assert "join the team of account A" in output
    assert "plans of up to 5 accounts and 24 steps, up to 23 orders an account" in output
    assert "Codes of coupons are secret unless they leak" in output
    assert "Not rehearsed: account_age (section risk)" in output
    assert "own" not in output.replace("brown", "")  # no limit on devices, so none is cheaper
    plain = run(written(tmp_path, TEAMS))
    assert "Not rehearsed" not in plain.output


def test_command_tells_of_exploits_that_pay_on_own_devices_only(tmp_path: Path) -> None:
    result = run(written(tmp_path, REFERRAL), "--set", "risk.accounts_per_device=1")
    assert result.exit_code == 0
    output = " ".join(result.output.split())
    assert "no exploit pays on bought devices, but one does on the devices that a ring owns" in output
    assert "On the devices that a ring owns, an account costs 3 yuan, up to 4 accounts. The best there:" in output


def test_json_is_one_object_that_a_program_can_read(tmp_path: Path) -> None:
    result = run(written(tmp_path, TEAMS, COUPON), "--json", "--seed", "3", "--accounts", "4")
    found = json.loads(result.stdout)
    assert (found["pays"], found["seed"], found["accounts"]) == (True, 3, 4)
    best = found["exploits"][0]
    income = sum(best["rewards"].values()) + sum(best["discounts"].values())
    assert best["profit"] == pytest.approx(income - best["cost"], abs=0.02)
    assert best["profit_per_account"] == pytest.approx(best["profit"] / best["accounts"], abs=0.01)
    assert best["steps"]
    assert best["profit_per_yuan_of_cost"] == pytest.approx(best["profit"] / best["cost"], rel=0.01)
    assert best["profit_per_yuan_laid_out"] == pytest.approx(best["profit"] / best["outlay"], rel=0.01)
    assert best["outlay"] > best["cost"]
    lean = found["best_per_yuan_laid_out"]
    assert lean["profit_per_yuan_laid_out"] >= best["profit_per_yuan_laid_out"]
    assert found["own_devices"] == {"accounts": 0, "best": None}
    assert found["controls_not_rehearsed"] == []


def test_without_schemes_there_is_nothing_to_attack(tmp_path: Path) -> None:
    result = run(written(tmp_path), "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["nearest"] is None


def test_a_plan_is_no_scenario_and_the_message_names_the_scenario_that_it_is_of(tmp_path: Path) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("kind: stress\nscenario: ../shop.yaml\nshocks: []\n", "utf-8")
    result = run(str(plan))
    assert result.exit_code == 2
    assert "is a plan of kind stress; attack takes a scenario, such as that of this plan:" in result.output
    assert "shop.yaml" in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("arguments", [["nowhere.yaml"], ["--accounts", "0"]])
def test_bad_input_ends_with_two(tmp_path: Path, arguments: list[str]) -> None:
    file = [] if arguments[0].endswith("yaml") else [written(tmp_path, TEAMS)]
    assert run(*file, *arguments).exit_code == 2
