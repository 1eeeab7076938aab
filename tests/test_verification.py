"""The analytic cases: they hold in small versions, and they notice when the engine is wrong."""

import json
import math

import numpy as np
import pytest
from typer.testing import CliRunner

from agents import consumers
from experiments.cli import app
from experiments.verification import CASES, PLAN, Check, adversity, exact, reference, spreading, trading, worlds
from experiments.verification.checks import run_seeds
from sim import Scenario, Shop, feed
from sim.demand import Demand
from sim.orders import OrderBook, OrderStatus
from sim.scenario.starter import SHIPPED
from sim.schemes.group_buy import GroupBuy
from sim.world import read_demand

SMALL = {
    "borel": {"k": 0.5, "runs": 4000},
    "extinction": {"r": 1.6, "runs": 3000},
    "giant": {"degree": 5.0, "p": 0.3, "runs": 10, "persons": 5000},
    "ic": {"p": 0.2, "seeds": ("5", "16"), "runs": 3000},
    "lt": {"seeds": ("5", "16"), "runs": 2000},
    "team-fill": {"size": 4, "rate": 30.0, "window": "3h", "teams": 4000},
    "logit": {"persons": 1000},
    "ledger": {},
    "interference": {"runs": 60},
    "erlang-c": {"analysts": 2, "rate": 4.0, "minutes": 15.0, "runs": 10},
    "splitting": {"a": 0.4, "identities": 3},
    "severe": {"probability": 0.1, "loss": 2000.0, "spread": 0.5, "periods": 100_000},
    "philox": {},
}

LONG = ("giant", "ledger")


def shopsim(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


@pytest.fixture
def few_references(monkeypatch):
    monkeypatch.setattr(reference, "RUNS", 3000)


# The engine agrees with theory. Seeds are fixed, so these do not fail by chance.


@pytest.mark.parametrize("case", [pytest.param(c, marks=[pytest.mark.slow] if c in LONG else []) for c in SMALL])
def test_small_versions_of_the_cases_hold(case, few_references):
    checks = CASES[case](**SMALL[case])
    assert checks
    assert {check.case for check in checks} == {case}
    assert [check.quantity for check in checks if not check.passed] == []


@pytest.mark.slow
def test_every_case_holds_within_three_errors_below_one_percent_of_the_target():
    done = shopsim("verify", "--json")
    checks = json.loads(done.stdout)["checks"]
    assert {check["case"] for check in checks} == set(CASES)
    assert [check for check in checks if not check["passed"]] == []
    assert max(check["precision"] for check in checks) < 0.01
    assert done.exit_code == 0


def test_default_plan_names_every_case():
    assert {name for name, _ in PLAN} == set(CASES)


# A broken engine is noticed.


def test_ten_percent_more_clicks_fail_the_cascade(monkeypatch):
    respond = feed.readers.respond

    def eager(*arguments):
        outcome = respond(*arguments)
        u = np.random.default_rng(1).random(outcome.size)
        return np.where((outcome > 1) & (u < 0.1 / 9), 0.5, outcome)  # of nine who do not click to one who does

    monkeypatch.setattr(feed.readers, "respond", eager)
    (check,) = CASES["ic"](seeds=("0", "33"), runs=20_000)
    assert not check.passed
    assert check.z > 3


def test_lost_attribution_fails_the_chains(monkeypatch):
    admit = Shop._admit

    def forgetful(shop, signups):
        signups.inviter[signups.person % 20 == 0] = -1
        return admit(shop, signups)

    monkeypatch.setattr(Shop, "_admit", forgetful)
    checks = CASES["borel"](k=0.5, runs=4000)
    assert not checks[0].passed


def test_window_of_one_tick_more_fails_the_teams(monkeypatch):
    open_teams = GroupBuy._open_teams

    def generous(scheme, orders, at):
        teams = open_teams(scheme, orders, at)
        scheme.teams.deadline[teams] += 1
        return teams

    monkeypatch.setattr(GroupBuy, "_open_teams", generous)
    assert not CASES["team-fill"](teams=20_000)[0].passed


def test_lost_orders_fail_the_logit(monkeypatch):
    choose = consumers.choose

    def forgetful(*arguments):
        picked = choose(*arguments)
        picked[::40] = -1
        return picked

    monkeypatch.setattr(consumers, "choose", forgetful)
    assert not CASES["logit"](persons=4000)[0].passed


@pytest.mark.slow
def test_customers_who_hardly_leave_fail_the_demand(monkeypatch):
    chances = Demand.dropout_chances
    monkeypatch.setattr(Demand, "dropout_chances", lambda demand, u: chances(demand, u) / 2)
    assert not CASES["demand"](persons=10_000)[1].passed


@pytest.mark.slow
def test_unpaid_merchants_fail_the_ledger(monkeypatch):
    monkeypatch.setattr(Shop, "confirm", lambda shop, rows: shop.book.close(rows))
    monkeypatch.setattr(OrderBook, "close", _confirm_without_paying, raising=False)
    checks = {check.quantity: check for check in CASES["ledger"]()}
    assert not checks["escrow less the worth of open orders, fen"].passed
    assert checks["sum of all balances, fen"].passed


def _confirm_without_paying(book, rows):
    book.status[rows] = OrderStatus.CONFIRMED


# What the targets rest on.


def test_closed_form_of_repeat_purchases_gives_the_published_cdnow_figures():
    # facts: BG/NBD expects 2494 repeat orders of the 2357 customers by week 39, and 4161 by week 78.
    age = np.genfromtxt(SHIPPED / "data" / "cdnow_summary.csv", delimiter=",", names=True)["T"]
    demand = read_demand(Scenario.from_dict({"name": "x", "demand": {"profile": "media"}}).config)
    assert age.size == 2357
    assert trading.expected_repeats(demand, age).sum() == pytest.approx(2494, rel=0.002)
    assert trading.expected_repeats(demand, age + 39).sum() == pytest.approx(4161, rel=0.002)


@pytest.mark.parametrize("seeds", [("0",), ("0", "33")])
def test_plain_simulations_agree_with_the_tabled_karate_figures(seeds, few_references):
    network = worlds.read_network("karate")
    nodes = worlds.persons_called(network, list(seeds))
    for sizes, known in (
        (reference.independent_cascade(network, nodes, 0.1, 1), spreading._KARATE_IC),
        (reference.linear_threshold(network, nodes, 1), spreading._KARATE_LT),
    ):
        assert abs(sizes.mean() - known[tuple(nodes)]) < 4 * sizes.std() / math.sqrt(sizes.size)


def test_karate_club_keeps_its_numbers():
    network = worlds.read_network("karate")
    assert (network.persons, network.ties) == (34, 78)
    assert (network.degree[0], network.degree[33], network.degree[32]) == (16, 17, 12)


@pytest.mark.slow
def test_strained_launch_runs_short_of_stock_and_budget():
    """The ledger case would prove little in a shop where nothing is scarce."""
    shop = exact.strained_shop(1).run()
    assert shop.products.short.sum() > 0
    coupons = shop.schemes[1]
    assert coupons.spent > 0.9 * coupons.config.budget


def test_contact_trees_are_trees_of_the_generations_asked_for():
    graph, is_last = worlds.contact_trees(50, 1.5, 3, np.random.default_rng(1))
    source, target = graph.pairs()
    assert sorted(target) == list(range(50, graph.persons))  # everyone but the roots is known by exactly one
    depth = np.zeros(graph.persons, int)
    depth[target] = -1
    for parent, child in zip(source, target, strict=True):
        depth[child] = depth[parent] + 1
    assert np.array_equal(is_last, depth == 3)


def test_acquaintances_are_others_of_the_own_group():
    graph = worlds.acquaintances(3, 40, 10, np.random.default_rng(1))
    assert (graph.degree == 10).all()
    source, target = graph.pairs()
    assert (source // 40 == target // 40).all()
    assert (source != target).all()
    assert (np.diff(target)[np.diff(source) == 0] > 0).all()


def test_runs_of_neighbouring_seeds_have_nothing_in_common():
    seeds = [next(run_seeds(seed, case)) for seed in range(20) for case in CASES]
    assert len(set(seeds)) == len(seeds)


def test_check_needs_an_exact_law_to_be_exactly_right():
    assert Check("x", "y", 0.0, 0.0, 0.0, "").passed
    assert not Check("x", "y", 0.0, 1.0, 0.0, "").passed
    assert Check("x", "y", 10.0, 12.9, 1.0, "").passed
    assert not Check("x", "y", 10.0, 13.1, 1.0, "").passed


# The command.


def test_verify_prints_a_row_for_each_figure(few_references):
    done = shopsim("verify", "team-fill", "--size", 2, "--rate", 12, "--window", "4h", "--teams", 2000, "--seed", 4)
    assert done.exit_code == 0
    assert "teams that fill, share" in done.stdout
    assert "2 of 2 within three standard errors" in done.stdout


def test_verify_json_is_one_object_with_the_contracts_keys(few_references):
    done = shopsim("verify", "ic", "--p", 0.15, "--seeds", "0,33", "--runs", 2000, "--json")
    found = json.loads(done.stdout)
    assert (found["passed"], found["seed"]) == (True, 1)
    (check,) = found["checks"]
    keys = {"case", "quantity", "target", "simulated", "standard_error", "passed", "z", "source", "parameters"}
    assert keys <= set(check)
    assert check["parameters"] == {"graph": "karate", "p": 0.15, "seeds": "0,33", "runs": 2000, "seed": 1}


def test_seed_and_json_may_stand_before_the_case():
    one = json.loads(shopsim("verify", "--seed", 3, "--json", "logit", "--persons", 200).stdout)
    two = json.loads(shopsim("verify", "logit", "--persons", 200, "--seed", 3, "--json").stdout)
    assert one["checks"] == two["checks"]
    assert one["seed"] == 3


def test_failed_check_ends_with_exit_code_one(monkeypatch):
    monkeypatch.setitem(CASES, "philox", lambda: [Check("philox", "words", 0.0, 1.0, 0.0, "")])
    done = shopsim("verify", "philox")
    assert done.exit_code == 1
    assert "FAIL" in done.stdout


def test_imprecise_check_says_so():
    assert "give more runs" in shopsim("verify", "borel", "--runs", 100).stdout


def test_cascade_on_a_file_of_named_persons(tmp_path, few_references):
    file = tmp_path / "friends.csv"
    file.write_text("source,target\nann,bob\nbob,cy\ncy,ann\ncy,dan\n")
    for case in ("ic", "lt"):
        assert shopsim("verify", case, "--graph", file, "--seeds", "ann,dan", "--runs", 2000).exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ic", "--seeds", "0,99"), "seeds must be numbers from 0 to 33"),
        (("ic", "--seeds", ","), "seeds must name at least one person"),
        (("lt", "--seeds", "Mr Hi"), "Got 'Mr Hi'"),
        (("ic", "--graph", "missing.csv"), "missing.csv: no such file"),
        (("ic", "--p", "1.2"), "p must be above 0 and at most 1. Got 1.2."),
        (("ic", "--p", "nan"), "p must be above 0"),
        (("lt", "--runs", "1"), "runs must be"),
        (("borel", "--k", "1"), "k must be above 0 and at most 0.95"),
        (("extinction", "--r", "0.9"), "r must be from 1.05"),
        (("bass", "--q", "0"), "q must be above 0"),
        (("giant", "--degree", "2", "--p", "0.5"), "degree times p must be from 1.1"),
        (("team-fill", "--window", "90min"), "window must be whole hours"),
        (("team-fill", "--window", "soon"), "window must be whole hours"),
        (("team-fill", "--size", "1"), "size must be from 2"),
        (("team-fill", "--size", "60"), "at least one team in 1,000"),
        (("team-fill", "--rate", "inf"), "rate must be above 0"),
        (("demand", "--profile", "missing.yaml"), "missing.yaml"),
        (("erlang-c", "--rate", "15"), "the load, must be at most 0.9. Got 1."),
        (("erlang-c", "--analysts", "30"), "one case in 100 waits"),
        (("splitting", "--identities", "9"), "identities must be from 1 to 8. Got 9."),
        (("splitting", "--a", "0.6"), "a must be above 0 and at most 0.5"),
        (("severe", "--probability", "0"), "probability must be from 0.001 to 1"),
        (("severe", "--loss", "inf"), "loss must be above 0"),
        (("severe", "--spread", "2"), "spread must be from 0 to 1.5"),
    ],
)
def test_bad_parameters_give_exit_code_two_and_one_message(arguments, message):
    done = shopsim("verify", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""


def test_splitting_that_earned_otherwise_and_events_that_came_otherwise_would_be_noticed(monkeypatch):
    chain = adversity._chain
    monkeypatch.setattr(adversity, "_chain", lambda identities: chain(max(1, identities - 1)))
    assert not any(check.passed for check in CASES["splitting"](0.3, 5))
    law = adversity.Frequency.of
    oftener = lambda years, probability, rate: law(years, probability=1.1 * probability, rate=rate)  # noqa: E731
    monkeypatch.setattr(adversity.Frequency, "of", oftener)
    found = {check.quantity: check.passed for check in CASES["severe"]()}
    assert list(found.values()) == [False, True, False]


def test_file_that_is_no_edge_list_is_refused_by_line(tmp_path):
    file = tmp_path / "bad.csv"
    file.write_text("a,b\n1,2\n")
    done = shopsim("verify", "ic", "--graph", file)
    assert done.exit_code == 2
    assert "bad.csv:1: the first line must be source,target" in done.stderr


@pytest.mark.slow
def test_media_profile_buys_again_like_the_customers_it_was_fitted_to():
    """The CDNOW sample made 2457 repeat orders by week 39, and 4339 by week 78, which nothing was fitted to."""
    age = np.genfromtxt(SHIPPED / "data" / "cdnow_summary.csv", delimiter=",", names=True)["T"]
    _, weekly = trading.cohort("media", 20_000, 1)
    curve = np.concatenate([[0.0], weekly.mean(axis=0).cumsum()])
    by_week_39, by_week_78 = (np.interp(age + more, np.arange(curve.size), curve).sum() for more in (0, 39))
    assert by_week_39 == pytest.approx(2457, rel=0.06)
    assert by_week_78 == pytest.approx(4339, rel=0.08)
