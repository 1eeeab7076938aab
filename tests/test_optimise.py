"""Optimisation: what is planted is found, bounds hold, nothing is lost to a kill, and random search is beaten."""

import json
import math
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from experiments.plans.goals import Bound, Goal, Scorer
from experiments.plans.optimise import OptimisePlan, optimise
from experiments.plans.optimise_output import _nothing_allowed
from experiments.plans.parameters import Parameter
from experiments.plans.racing import Race, Standing, adjusted_means, not_beaten, surely_positive
from experiments.plans.search import FILE, Journal, Record, Tried, propose

NAMES = ("x", "y", "z")
TARGET = {"x": 0.3, "y": 0.7, "z": 0.55}


def axis(name, low=0.0, high=1.0, step=0.0, values=()):
    return Parameter(name, "", low, high, False, step, values, None)


def shock(seed, point, size):
    """Return noise of one run: most of it is that of the seed, whatever the point."""
    own = np.random.default_rng([seed, *(int(1e6 * value) for value in point.values())]).normal()
    return size * (10 * np.random.default_rng(seed).normal() + own)


def evaluator(function, noise=0.0, calls=None):
    """Return an Evaluate of a function from a point to metrics; every metric gets paired noise."""

    def evaluate(points, seeds):
        rows = []
        for number, point in enumerate(points):
            for seed in seeds:
                if calls is not None:
                    calls.append((tuple(point.values()), seed))
                rows += [
                    (number, seed, name, value + shock(seed, point, noise)) for name, value in function(point).items()
                ]
        return pd.DataFrame(rows, columns=["point", "seed", "metric", "value"])

    return evaluate


def bowl(point):
    """Best, at 0, where it was planted; on the way there is one more dimension of cost."""
    full = {name: point.get(name, 0.0) for name in NAMES}
    profit = -sum(
        weight * (full[name] - TARGET[name]) ** 2 for name, weight in zip(NAMES, (1.0, 2.0, 0.5), strict=True)
    )
    return {"contribution": profit, "incentive_cost": full["x"] + full["y"], "gmv": full["y"]}


def plan(**changes):
    """Return the keys of a plan; what it varies and which scenario it names does not matter here."""
    values = {
        "kind": "optimise",
        "name": "test",
        "scenario": "none.yaml",
        "parameters": {"x": {"min": 0, "max": 1}},
        "objectives": [{"metric": "contribution"}],
        "replicates": 5,
        "trials": 32,
        "confirm": {"points": 2, "replicates": 10},
    }
    return OptimisePlan.model_validate({**values, **changes})


def search(folder, config, function=bowl, noise=0.02, names=NAMES, **given):
    worlds = given.get("worlds", {"as planned": evaluator(function, noise)})
    return optimise(config, [axis(name) for name in names], worlds, given.get("base", worlds), folder)


def distance(findings):
    point = findings.summary["choice"]["point"]
    return -bowl(point)["contribution"]


def test_a_planted_optimum_is_found_under_noise_that_is_ten_times_the_difference(tmp_path):
    findings = search(tmp_path, plan(trials=60))
    assert distance(findings) < 0.02  # of a range of values from 0 to 2.2
    assert findings.passed


def test_the_choice_keeps_its_bounds_and_is_best_among_those_that_do(tmp_path):
    config = plan(trials=60, constraints=[{"metric": "incentive_cost", "max": 0.6}])
    findings = search(tmp_path, config, noise=0.0005)
    chosen = findings.summary["choice"]
    # Of x + y <= 0.6 the best is x = 0.3 - 0.8/3, y = 0.7 - 0.4/3 (Lagrange), where the loss is 0.1067.
    assert chosen["bounds"][0]["mean"] <= 0.6
    assert chosen["objectives"][0]["mean"] == pytest.approx(-0.1067, abs=0.05)
    trials = findings.tables["trials"].set_index("point")
    assert trials.loc[chosen["trial"], "allowed"]
    assert not trials["allowed"].all()


def test_nothing_is_recommended_if_no_trial_keeps_the_bounds(tmp_path):
    findings = search(tmp_path, plan(trials=8, constraints=[{"metric": "incentive_cost", "max": "-1000%"}]))
    assert findings.summary["choice"] is None
    assert not findings.passed
    assert findings.summary["verdict"].startswith("No trial keeps every bound")
    assert "every trial breaks incentive_cost <= -10.00 (at best" in findings.summary["verdict"]
    assert "Nearest is" in findings.summary["verdict"]


def test_the_nearest_trial_has_values_and_is_near_in_shares_of_its_bounds():
    bounds = (Bound("gmv", 1, 1000.0), Bound("fraud_loss_share", 1, 0.03))
    scorer = Scorer((Goal("contribution", 1),), bounds, ("w",), {}, 2)

    def trial(number, contribution, gmv, share):
        values = {"contribution": contribution, "gmv": gmv, "fraud_loss_share": share}
        return Record(number, (0.1,), {"x": number}, {"w": {name: [value] * 2 for name, value in values.items()}})

    records = [trial(0, math.nan, 0.0, 0.0), trial(1, 1.0, 0.0, 0.9), trial(2, 1.0, 1010.0, 0.71)]
    said = _nothing_allowed(scorer.score(records), bounds, [axis("x")])
    assert "every trial breaks fraud_loss_share <= 3% (at best 71%)" in said
    assert "Nearest is x 2." in said
    only = _nothing_allowed(scorer.score(records[:1]), bounds, [axis("x")])
    assert "loosen" not in only
    assert "No trial has a value" in only


def test_trials_without_any_value_do_not_ask_to_loosen_a_bound_that_is_not_there(tmp_path):
    def dead(points, seeds):
        return evaluator(bowl)(points, seeds).iloc[:0]

    findings = search(tmp_path, plan(trials=8), worlds={"w": dead})
    assert "loosen a bound" not in findings.summary["verdict"]


def test_a_bound_that_fresh_seeds_show_to_be_broken_rules_a_point_out(tmp_path):
    def lucky(points, seeds):
        """In the seeds of the search every cost looks low."""
        frame = evaluator(bowl)(points, seeds)
        costs = (frame["metric"] == "incentive_cost") & (frame["seed"] > 5)
        return frame.assign(value=frame["value"] + np.where(costs, 100 + frame["seed"], 0.0))

    config = plan(trials=8, constraints=[{"metric": "incentive_cost", "max": 50}])
    findings = search(tmp_path, config, worlds={"as planned": lucky})
    assert findings.summary["choice"] is None
    assert findings.summary["broken"]
    assert "break a bound" in findings.summary["verdict"]


def test_the_confirmed_value_is_not_flattered_and_the_searched_one_is(tmp_path):
    """With pure noise every trial is worth 0: the best of a search seems to be worth more, confirmed it is not."""

    def flat(points, seeds):
        rows = [
            (i, seed, "contribution", np.random.default_rng([seed, int(1e9 * point.get("x", 0))]).normal())
            for i, point in enumerate(points)
            for seed in seeds
        ]
        return pd.DataFrame(rows, columns=["point", "seed", "metric", "value"])

    searched, confirmed = [], []
    for seed in range(12):
        config = plan(seed=1000 * seed, trials=8, replicates=4, pruning=None)
        (row,) = search(tmp_path / str(seed), config, worlds={"w": flat}, names=("x",)).summary["choice"]["objectives"]
        searched.append(row["search_mean"])
        confirmed.append(row["mean"])
    assert np.mean(searched) > 0.4
    assert abs(np.mean(confirmed)) < 3 * math.sqrt(1 / (12 * 10))


def test_differences_from_the_base_cancel_the_noise_that_both_share(tmp_path):
    config = plan(trials=12, objectives=[{"metric": "contribution", "minus_base": True}])
    findings = search(tmp_path, config)
    (row,) = findings.summary["choice"]["objectives"]
    assert row["ci_high"] - row["ci_low"] < 0.1  # the noise of a run is 0.2
    point = findings.summary["choice"]["point"]
    assert row["mean"] == pytest.approx(bowl(point)["contribution"] - bowl({})["contribution"], abs=0.05)


def two_goals(point):
    x, y = point.get("x", 0.0), point.get("y", 0.0)
    return {"contribution": 1 - x**2 - y, "gmv": x - y}


def test_several_objectives_give_a_front_that_no_trial_beats(tmp_path):
    config = plan(trials=40, objectives=[{"metric": "contribution"}, {"metric": "gmv"}], confirm={"points": 6})
    findings = search(tmp_path, config, two_goals, noise=0.001, names=("x", "y"))
    trials = findings.tables["trials"]
    values = -trials[["contribution", "gmv"]].to_numpy()
    front = trials["best"].to_numpy()
    assert front.sum() >= 4
    assert (front == (not_beaten(np.where((trials["state"] == "complete").to_numpy()[:, None], values, np.nan)))).all()
    assert findings.summary["choice"] is None
    assert 2 <= len(findings.summary["front"]) <= 6
    y = np.array([point["point"]["y"] for point in findings.summary["front"]])
    assert np.median(y) < 0.15  # y only harms


def test_the_robust_choice_has_the_smallest_regret_in_its_worst_world(tmp_path):
    """Worlds want x = 0.2 and x = 0.8, the second three times as urgently: minimax regret is where both lose alike."""
    worlds = {
        "left": evaluator(lambda point: {"contribution": -((point.get("x", 0) - 0.2) ** 2)}, 0.001),
        "right": evaluator(lambda point: {"contribution": -3 * (point.get("x", 0) - 0.8) ** 2}, 0.001),
    }
    findings = search(tmp_path, plan(trials=48), worlds=worlds, names=("x",))
    ratio = math.sqrt(3)
    best = (0.2 + 0.8 * ratio) / (1 + ratio)
    assert findings.summary["choice"]["point"]["x"] == pytest.approx(best, abs=0.05)
    regrets = pd.DataFrame(findings.summary["regrets"])
    own = regrets[regrets["point"] == findings.summary["choice"]["trial"]]["regret"]
    others = regrets[regrets["point"] != findings.summary["choice"]["trial"]].groupby("point")["regret"].max()
    assert own.max() == pytest.approx((best - 0.2) ** 2, abs=0.04)
    assert own.max() <= others.min() + 0.01
    assert "Over the base it gains least in left: " in findings.summary["verdict"]


@pytest.mark.parametrize(
    ("noise", "said"), [(5.0, "It cannot be told from the runner-up, trial"), (1e-9, "It is better than the")]
)
def test_the_robust_choice_says_whether_it_can_be_told_from_the_next(tmp_path, noise, said):
    worlds = {
        name: evaluator(lambda point, at=at: {"contribution": -((point.get("x", 0) - at) ** 2)}, noise)
        for name, at in (("left", 0.2), ("right", 0.8))
    }
    findings = search(tmp_path, plan(trials=12), worlds=worlds, names=("x",))
    assert said in findings.summary["verdict"]


def test_the_same_seed_searches_the_same_points_and_another_seed_others(tmp_path):
    tables = [search(tmp_path / str(i), plan(seed=seed, trials=16)).points for i, seed in enumerate((1, 1, 2))]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    assert not tables[0].equals(tables[2])


def test_points_of_a_small_space_are_tried_once_each(tmp_path):
    calls = []
    config = plan(trials=30, replicates=2, pruning=None)
    parameters = [axis("x", step=1.0, low=1, high=3), axis("y", values=(0.0, 0.5))]
    worlds = {"w": evaluator(bowl, calls=calls)}
    findings = optimise(config, parameters, worlds, worlds, tmp_path)
    assert len(findings.points) == 6
    assert len(findings.points.drop(columns="point").drop_duplicates()) == 6
    searched = [call for call in calls if call[1] <= 2]
    assert len(searched) == len(set(searched)) == 12


def test_a_trial_without_values_is_failed_and_never_chosen(tmp_path):
    def partly(points, seeds):
        frame = evaluator(bowl)(points, seeds)
        failed = frame["point"].map(lambda i: points[i].get("x", 0) > 0.4)
        return frame[~failed]

    findings = search(tmp_path, plan(trials=16), worlds={"w": partly})
    states = findings.tables["trials"]["state"]
    assert (states == "failed").any()
    assert (states == "complete").any()
    assert findings.summary["choice"]["point"]["x"] <= 0.4


# Racing.


def test_racing_stops_at_most_the_stated_share_of_trials_that_are_no_worse():
    race = Race(after=3, confidence=0.8, seeds=8)
    stopped = 0
    for number in range(400):
        noise = np.random.default_rng(number)
        rivals = [Standing(i, noise.normal(size=(1, 8)), np.empty((0, 8))) for i in range(2)]
        trial = noise.normal(size=(1, 8))
        looks = [block.stop for block in race.blocks()][:-1]
        stopped += any(race.verdict(Standing(9, trial[:, :n], np.empty((0, n))), rivals) for n in looks)
    assert stopped < 400 * 0.2 + 3 * math.sqrt(400 * 0.2 * 0.8)
    assert stopped > 10  # and it is not for want of testing


def test_racing_stops_what_is_worse_at_once_when_runs_are_paired():
    race = Race(after=3, confidence=0.95, seeds=20)
    seeds = np.random.default_rng(1).normal(size=(1, 20)) * 100
    rival = Standing(4, seeds, np.empty((0, 20)))
    own = np.random.default_rng(2).normal(size=(1, 3)) * 0.1
    assert race.verdict(Standing(5, seeds[:, :3] + 5 + own, np.empty((0, 3))), [rival]) == "surely worse than trial 4"
    assert race.verdict(Standing(5, seeds[:, :3] - 5 + own, np.empty((0, 3))), [rival]) == ""


def test_with_several_criteria_only_what_is_worse_in_all_is_stopped():
    race = Race(after=4, confidence=0.95, seeds=8)
    rival = Standing(0, np.zeros((2, 8)), np.empty((0, 8)))
    own = np.random.default_rng(3).normal(size=(2, 4)) * 0.01
    beaten, mixed = own + 1.0, own + np.array([[1.0], [-1.0]])
    assert race.verdict(Standing(1, beaten, np.empty((0, 4))), [rival])
    assert not race.verdict(Standing(1, mixed, np.empty((0, 4))), [rival])


def test_what_surely_exceeds_a_bound_is_stopped():
    race = Race(after=3, confidence=0.95, seeds=10)
    excess = np.array([[1.0, 1.1, 0.9]])
    assert race.verdict(Standing(1, np.zeros((1, 3)), excess), []) == "surely not allowed"
    assert not race.verdict(Standing(1, np.zeros((1, 3)), -excess), [])


def test_pruning_spares_runs_and_finds_the_same_optimum(tmp_path):
    raced = search(tmp_path / "raced", plan(trials=40, replicates=10))
    whole = search(tmp_path / "whole", plan(trials=40, replicates=10, pruning=None))
    assert raced.summary["trials"]["runs"] < 0.75 * whole.summary["trials"]["runs"]
    assert distance(raced) < 0.05
    assert distance(whole) < 0.05


def test_values_without_spread_prove_nothing():
    assert not surely_positive([1.0, 1.0, 1.0], 0.05)
    assert not surely_positive([1.0], 0.05)
    assert surely_positive([1.0, 1.1, 0.9, 1.0], 0.05)


def test_a_stopped_trial_is_judged_as_if_its_easy_seeds_were_average_ones():
    seeds = np.array([[-10.0, -10.0, 5.0, 15.0]])  # the first two are easy for everyone
    assert adjusted_means(seeds[:, :2] + 3, [seeds, seeds + 1]) == pytest.approx([3.0])


def test_the_front_holds_what_no_other_beats_and_of_equals_the_first():
    losses = np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0], [np.nan, 0.0]])
    assert not_beaten(losses).tolist() == [True, True, False, False, False]


def test_a_bound_without_data_does_not_rule_a_trial_out():
    scorer = Scorer((Goal("a", 1),), (Bound("b", 1, 0.5),), ("w",), {}, 2)
    known = Record(0, (0.1,), {}, {"w": {"a": [1.0, 2.0], "b": [0.6, 0.8]}})
    unknown = Record(1, (0.2,), {}, {"w": {"a": [1.0, 2.0], "b": [math.nan, math.nan]}})
    assert scorer.score([known, unknown]).allowed.tolist() == [False, True]


# Random search.


@pytest.mark.slow
def test_the_search_beats_random_search_at_the_same_number_of_runs(tmp_path):
    """Wilcoxon's signed-rank test over 20 searches, each pair with the same seed, noise and budget."""
    losses = {}
    for sampler in ("tpe", "random"):
        losses[sampler] = []
        for seed in range(20):
            config = plan(seed=100 * seed, trials=36, replicates=3, pruning=None, sampler=sampler)
            losses[sampler].append(distance(search(tmp_path / sampler / str(seed), config, noise=0.005)))
    better = stats.wilcoxon(losses["tpe"], losses["random"], alternative="less")
    assert better.pvalue < 0.01
    assert np.median(losses["tpe"]) < 0.6 * np.median(losses["random"])


# The journal.


def test_a_search_that_was_cut_short_goes_on_as_if_nothing_had_happened(tmp_path):
    undisturbed = search(tmp_path / "whole", plan(trials=24))
    journal = tmp_path / "cut" / FILE
    for trials in (7, 13, 24):  # in the middle of a batch, too
        again = search(tmp_path / "cut", plan(trials=trials))
        journal.write_bytes(journal.read_bytes() + b'{"op_code":4,"worker_i')  # and killed in the middle of a line
    pd.testing.assert_frame_equal(undisturbed.points, again.points)
    pd.testing.assert_frame_equal(undisturbed.runs, again.runs)
    assert undisturbed.summary == again.summary


def test_finished_trials_are_not_run_again(tmp_path):
    calls = []
    for _ in range(2):
        search(tmp_path, plan(trials=12), worlds={"w": evaluator(bowl, 0.02, calls)}, base={"w": evaluator(bowl, 0.02)})
    searched = [call for call in calls if call[1] <= 5]
    assert len(searched) == len(set(searched))


def test_a_journal_of_another_engine_is_left_alone(tmp_path):
    record = Record(0, (0.5,), {"x": 1}, {"w": {"a": [1.0, math.nan]}}, "")
    Journal(tmp_path, ["x"], 1, "one").add(record, [1.0], {"b <= 1": -1.0})
    assert Journal(tmp_path, ["x"], 1, "two").records() == []
    (found,) = Journal(tmp_path, ["x"], 1, "one").records()
    assert (found.number, found.unit, found.point, found.pruned) == (0, (0.5,), {"x": 1}, "")
    assert math.isnan(found.values["w"]["a"][1])


SCRIPT = """
import sys, time
sys.path.insert(0, {tests!r})
from pathlib import Path
from test_optimise import bowl, evaluator, plan, search
def slow(points, seeds):
    time.sleep(0.1)
    return evaluator(bowl, 0.02)(points, seeds)
search(Path(sys.argv[1]), plan(trials=24), worlds={{"w": slow}}, base={{"w": slow}})
"""


@pytest.mark.slow
def test_killing_a_search_again_and_again_loses_and_repeats_nothing(tmp_path):
    script = SCRIPT.format(tests=str(Path(__file__).parent))
    wait = np.random.default_rng(5)
    kills = 0
    for _ in range(40):
        process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path / "killed")])
        journal = tmp_path / "killed" / FILE
        before = journal.stat().st_size if journal.exists() else 0
        until = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if kills < 3 and journal.exists() and journal.stat().st_size > before:
                time.sleep(float(wait.uniform(0, 0.15)))
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        if process.wait() == 0:
            break
        kills += 1
    assert kills >= 2
    worlds = {"w": evaluator(bowl, 0.02)}
    undisturbed = search(tmp_path / "whole", plan(trials=24), worlds=worlds)
    resumed = search(tmp_path / "killed", plan(trials=24), worlds=worlds)
    numbers = [
        json.loads(line)["user_attrs"]["number"]
        for line in (tmp_path / "killed" / FILE).read_text().splitlines()
        if "user_attrs" in line and "number" in json.loads(line).get("user_attrs", {})
    ]
    assert numbers == list(range(24))
    pd.testing.assert_frame_equal(undisturbed.runs, resumed.runs)


def test_a_proposal_depends_on_nothing_but_what_was_tried():
    tried = [Tried((i / 20, 0.5), ((i / 20 - 0.3) ** 2,)) for i in range(20)]
    assert propose(tried, 2, 7, 20) == propose(tried, 2, 7, 20)
    assert propose(tried, 2, 7, 20) != propose(tried, 2, 7, 21)
    assert all(0 <= share <= 1 for share in propose(tried, 2, 7, 20))
