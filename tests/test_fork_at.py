"""``--fork-at``: every arm branches off the same warmed-up shop, which is made once and found again."""

import json
import shutil

import pandas as pd
import pytest
from test_cli import folder, shopsim  # noqa: F401 (a fixture)

from experiments import compare
from experiments.fork import FromDay, from_day
from experiments.outcome import simulate
from experiments.replication import Task, replicate
from experiments.store import Store
from sim import Scenario, ScenarioError, Shop

COUPONS = """
extends: base.yaml
question: Do coupons help?
schemes: [{kind: coupon, amount: 10, claim_rate: 50%}]
"""
DAY = "6d"


@pytest.fixture
def scenarios(folder):  # noqa: F811
    """Return a base and two arms."""
    (folder / "coupons.yaml").write_text(COUPONS)
    return [Scenario.load(folder / name) for name in ("base.yaml", "teams.yaml", "coupons.yaml")]


@pytest.fixture
def warmed(monkeypatch):
    """Return the seeds that are warmed up while a test goes on."""
    seeds = []
    original = FromDay._from_the_start

    def noting(self, seed, watch):
        seeds.append(seed)
        return original(self, seed, watch)

    monkeypatch.setattr(FromDay, "_from_the_start", noting)
    return seeds


def values(result):
    return {name: repr(value) for name, value in result.metrics.items()}  # repr: NaN is equal to itself


def test_the_base_goes_on_as_if_it_had_never_stopped_and_arms_as_forks_do(scenarios, tmp_path):
    study = compare(scenarios, 2, store=Store(tmp_path / "store"), fork_at=DAY)
    for seed in (1, 2):
        undisturbed = simulate(scenarios[0], seed)
        base = study.base.runs[seed]
        assert values(base) == values(undisturbed)
        for name in undisturbed.tables:
            pd.testing.assert_frame_equal(base.tables[name], undisturbed.tables[name], check_exact=True)
        shop = Shop(scenarios[0], rng=seed)
        while shop.clock.day < 6:
            shop.step()
        for arm in scenarios[1:]:
            expected = {name: repr(float(value)) for name, value in shop.fork(arm).run().metrics().items()}
            assert values(study.arms[arm.name].runs[seed]) == expected


def test_arms_share_all_that_was_before_the_fork(scenarios):
    study = compare(scenarios, 1, fork_at=DAY)
    before = [run.tables["history"].iloc[:6] for arm in (study.base, *study.arms.values()) for run in arm.runs.values()]
    for column in ("gmv", "visits", "new_members"):
        assert len({tuple(history[column]) for history in before}) == 1
    after = [run.tables["history"]["gmv"].iloc[6:].sum() for arm in study.arms.values() for run in arm.runs.values()]
    assert len(set(after)) == 2


def test_the_base_warms_up_once_a_seed_and_later_arms_reuse_it(scenarios, tmp_path, warmed):
    store = Store(tmp_path / "store")
    base, teams, coupons = scenarios
    compare([base, teams], 2, store=store, fork_at=DAY)
    assert warmed == [1, 2]
    compare([base, teams, coupons], 3, store=store, fork_at=DAY)
    assert warmed == [1, 2, 3]
    compare([base, teams], 1, store=store, fork_at="7d")
    assert warmed == [1, 2, 3, 1]


def test_nothing_warms_up_for_runs_that_are_stored(scenarios, tmp_path, warmed):
    store = Store(tmp_path / "store")
    compare(scenarios, 1, store=store, fork_at=DAY)
    shutil.rmtree(tmp_path / "store" / "checkpoints")
    compare(scenarios, 1, store=store, fork_at=DAY)
    assert warmed == [1]


def test_a_checkpoint_that_lost_its_manifest_is_made_again(scenarios, tmp_path, warmed):
    store = Store(tmp_path / "store")
    base, teams, coupons = scenarios
    compare([base, teams], 1, store=store, fork_at=DAY)
    (from_day(DAY, base, [], tmp_path / "store").folder(1) / "manifest.json").unlink()
    study = compare([base, coupons], 1, store=store, fork_at=DAY)
    assert warmed == [1, 1]
    assert study.failures == []


def test_a_damaged_checkpoint_is_made_again(scenarios, tmp_path, warmed):
    store = Store(tmp_path / "store")
    base, teams, coupons = scenarios
    compare([base, teams], 1, store=store, fork_at=DAY)
    arrays = from_day(DAY, base, [], tmp_path / "store").folder(1) / "arrays.npz"
    whole = arrays.read_bytes()
    arrays.write_bytes(whole[:-7])
    study = compare([base, coupons], 1, store=store, fork_at=DAY)
    assert warmed == [1, 1]
    assert arrays.read_bytes() == whole
    assert study.failures == []


def test_a_forked_run_is_not_taken_for_an_undisturbed_one(scenarios):
    base, teams, _ = scenarios
    keys = {Task(teams, 1, work).key for work in (None, FromDay(base, 144), FromDay(base, 168), FromDay(teams, 144))}
    assert len(keys) == 4


def test_where_checkpoints_lie_does_not_name_the_work(scenarios, tmp_path):
    assert FromDay(scenarios[0], 144).digest == FromDay(scenarios[0], 144, tmp_path).digest


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bits(scenarios, tmp_path):
    alone, together = (
        compare(scenarios[:2], 3, workers=workers, store=Store(tmp_path / str(workers)), fork_at=DAY)
        for workers in (1, 2)
    )
    for arm in ("teams",):
        for seed in (1, 2, 3):
            assert values(alone.arms[arm].runs[seed]) == values(together.arms[arm].runs[seed])
    assert len(list((tmp_path / "2" / "checkpoints").glob("*/seed-*"))) == 3


def test_compare_says_where_it_forked(scenarios, folder):  # noqa: F811
    options = ("--replicates", 1, "--workers", 1, "--fork-at", DAY, "--json")
    done = shopsim("compare", "base.yaml", "teams.yaml", *options)
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    assert printed["fork"] == {"at": DAY, "base": "base", "base_digest": scenarios[0].digest}
    (written,) = folder.glob("results/runs/base-vs-teams-*-from-6d-*/manifest.json")
    assert json.loads(written.read_text())["fork"]["at"] == DAY
    assert "warms up for 6d" in done.stderr


def test_run_warms_up_the_file_and_lets_what_is_set_hold_from_then_on(folder):  # noqa: F811
    options = ("--workers", 1, "--json", "--quiet", "--fork-at", DAY)
    plain = json.loads(shopsim("run", "teams.yaml", *options).stdout)["metrics"]
    forked = json.loads(shopsim("run", "teams.yaml", *options, "--set", "schemes.0.discount=60%").stdout)["metrics"]
    other = json.loads(shopsim("run", "teams.yaml", *options, "--fork-from", "base.yaml").stdout)["metrics"]
    undisturbed = replicate(Scenario.load(folder / "teams.yaml"), [1])[0].metrics
    assert plain["gmv"]["values"] == [undisturbed["gmv"]]
    assert forked["gmv"]["values"] != plain["gmv"]["values"]
    assert other["team_orders"]["values"][0] < plain["team_orders"]["values"][0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--fork-at", "6"), "--fork-at: must be a duration with a unit"),
        (("--fork-at", "soon"), "--fork-at: must be a duration with a unit"),
        (("--fork-at", "0d"), "--fork-at: must be after a whole number of ticks"),
        (("--fork-at", "7h"), "--fork-at: must be after a whole number of ticks"),
        (("--fork-at", "14d"), "--fork-at: must be after a whole number of ticks, above 0h and below 336h"),
        (("--fork-at", "6d", "--set", "people.size=200"), "--set: people.size: cannot change on the fork day"),
        (("--fork-from", "base.yaml"), "--fork-from: needs --fork-at"),
        (("--fork-at", "6d", "--fork-from", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_bad_forks_end_with_a_message(folder, arguments, message):  # noqa: F811
    done = shopsim("run", "teams.yaml", "--workers", 1, *arguments)
    assert done.exit_code == 2
    assert message in done.stderr
    assert not (folder / "results").exists()


def test_an_arm_of_another_world_is_refused_with_file_and_line(folder):  # noqa: F811
    (folder / "other.yaml").write_text("extends: base.yaml\nsharing: {organic: 0.5}\n")
    done = shopsim("compare", "base.yaml", "other.yaml", "--fork-at", DAY)
    assert done.exit_code == 2
    assert (
        "other.yaml:2: sharing.organic: cannot change on the fork day: the world was warmed up with 0.02" in done.stderr
    )


def test_an_arm_may_not_change_the_world_from_python_either(scenarios):
    with pytest.raises(ScenarioError, match=r"catalog\.products: cannot change on the fork day"):
        compare([scenarios[0], scenarios[1].override({"catalog.products": 41})], 1, fork_at=DAY)
