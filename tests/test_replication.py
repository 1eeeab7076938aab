"""Replicates: run once each, kept whole, found again, and never lost to a neighbour's failure."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from experiments import replication, store
from experiments.outcome import RunResult
from experiments.replication import Interrupted, RunsFailedError, Task, execute, replicate
from experiments.store import Store
from sim import Scenario


@dataclass(frozen=True)
class Named:
    """As much of a scenario as replication looks at."""

    name: str = "test"
    digest: str = "ab" * 32


class Deadly(Named):
    """Kills the process that receives it."""

    def __reduce__(self):
        return os._exit, (1,)


def result(scenario, seed):
    people = pd.DataFrame({"uid": [0, 1], "fake": [False, True], "status": pd.Categorical(["member", "prospect"])})
    history = pd.DataFrame({"day": [0, 1], "gmv": [seed + 0.1, np.nan]})
    metrics, tables = {"gmv": seed * 1.1, "roi": float("nan")}, {"people": people, "history": history}
    return RunResult(scenario.name, scenario.digest, seed, metrics, tables, {"x": 1}, 0.5)


@pytest.fixture
def runs(monkeypatch):
    """Replace the simulation by a quick one; return the seeds that were run."""
    made = []

    def simulate(scenario, seed, watch=None):
        made.append(seed)
        return result(scenario, seed)

    monkeypatch.setattr(replication, "simulate", simulate)
    return made


@pytest.fixture
def tiny():
    """Return a real scenario that runs in a moment."""
    network = {"kind": "power_law_cluster", "mean_degree": 6, "clustering": 0.2}
    return Scenario.from_dict(
        {
            "people": {"size": 300, "network": network, "members_at_start": "50%"},
            "catalog": {"merchants": 3, "products": 40},
            "schemes": [{"kind": "group_buy", "team_size": 2}],
            "horizon": "14d",
            "tick": "1d",
        }
    )


def test_results_come_in_the_order_of_the_seeds(runs):
    assert [run.seed for run in replicate(Named(), [3, 1, 2])] == [3, 1, 2]


def test_results_come_in_the_order_of_the_tasks_whoever_finishes_first(monkeypatch):
    def simulate(scenario, seed, watch=None):
        time.sleep(0.05 / (1 + seed))
        return result(scenario, seed)

    monkeypatch.setattr(replication, "simulate", simulate)
    with ThreadPoolExecutor(4) as executor:
        assert [run.seed for run in replicate(Named(), range(6), executor=executor)] == list(range(6))


def test_equal_scenarios_of_different_names_run_once_and_keep_their_names(runs):
    found = execute([Task(Named("a"), 1), Task(Named("b"), 1)]).results
    assert runs == [1]
    assert [run.scenario for run in found] == ["a", "b"]


def test_a_failing_run_is_tried_again_when_the_others_are_done(monkeypatch):
    tried = []

    def simulate(scenario, seed, watch=None):
        tried.append(seed)
        if tried.count(2) == 1 and seed == 2:
            raise MemoryError("too much at once")
        return result(scenario, seed)

    monkeypatch.setattr(replication, "simulate", simulate)
    assert [run.seed for run in replicate(Named(), [1, 2, 3])] == [1, 2, 3]
    assert tried == [1, 2, 3, 2]


def test_a_run_that_fails_twice_is_reported_and_the_rest_is_kept(monkeypatch, tmp_path):
    def simulate(scenario, seed, watch=None):
        if seed == 2:
            raise ArithmeticError("the books do not balance")
        return result(scenario, seed)

    monkeypatch.setattr(replication, "simulate", simulate)
    with pytest.raises(RunsFailedError, match="test with seed 2: ArithmeticError: the books do not balance") as caught:
        replicate(Named(), [1, 2, 3], store=Store(tmp_path))
    assert [run.seed for run in caught.value.execution.results] == [1, 3]
    assert Store(tmp_path).find("test", Named().digest, 3) is not None


def test_progress_ends_at_all_runs_even_if_some_fail(monkeypatch):
    def simulate(scenario, seed, watch=None):
        watch(0.5)
        if seed == 2:
            raise ArithmeticError
        return result(scenario, seed)

    monkeypatch.setattr(replication, "simulate", simulate)
    seen = []
    execute([Task(Named(), 1), Task(Named(), 2)], progress=lambda done, total: seen.append((done, total)))
    assert (0.5, 2) in seen
    assert seen[-1] == (2, 2)


def test_ctrl_c_keeps_what_is_finished_and_the_next_call_goes_on_from_there(runs, tmp_path):
    def interrupt(done, total):
        if done == 2:
            raise KeyboardInterrupt

    kept = Store(tmp_path)
    with pytest.raises(Interrupted) as caught:
        replicate(Named(), [1, 2, 3, 4], progress=interrupt, store=kept)
    assert [run.seed for run in caught.value.finished] == [1, 2]
    assert [run.seed for run in replicate(Named(), [1, 2, 3, 4], store=kept)] == [1, 2, 3, 4]
    assert runs == [1, 2, 3, 4]


def test_a_stored_replicate_is_what_was_stored(runs, tmp_path):
    kept = Store(tmp_path)
    fresh = result(Named(), 7)
    replicate(Named(), [7], store=kept)
    found = kept.find("other name", Named().digest, 7)
    assert found.scenario == "other name"
    assert found.metrics["gmv"] == fresh.metrics["gmv"]
    assert np.isnan(found.metrics["roi"])
    assert found.facts == fresh.facts
    for name, table in fresh.tables.items():
        pd.testing.assert_frame_equal(found.tables[name], table)


def truncate(folder):
    file = folder / "people.parquet"
    file.write_bytes(file.read_bytes()[:-1])


def edit_outcome(folder):
    file = folder / "outcome.json"
    file.write_text(file.read_text().replace("7.7", "9.9"))


def edit_manifest(folder):
    file = folder / "manifest.json"
    file.write_text(file.read_text().replace('"elapsed_s": 0.5', '"elapsed_s": 0.1'))


def lose_a_table(folder):
    (folder / "history.parquet").unlink()


def lose_the_manifest(folder):
    (folder / "manifest.json").unlink()


def break_the_manifest(folder):
    (folder / "manifest.json").write_text("[]")


@pytest.mark.parametrize(
    "damage", [truncate, edit_outcome, edit_manifest, lose_a_table, lose_the_manifest, break_the_manifest]
)
def test_a_replicate_that_is_not_as_it_was_written_is_run_again(runs, tmp_path, damage):
    kept = Store(tmp_path)
    replicate(Named(), [7], store=kept)
    before = (kept.folder(Named().digest, 7) / "people.parquet").read_bytes()
    damage(kept.folder(Named().digest, 7))
    assert kept.find("test", Named().digest, 7) is None
    replicate(Named(), [7], store=kept)
    assert runs == [7, 7]
    assert (kept.folder(Named().digest, 7) / "people.parquet").read_bytes() == before
    assert kept.find("test", Named().digest, 7) is not None


def test_a_replicate_of_another_engine_is_run_again(runs, tmp_path, monkeypatch):
    kept = Store(tmp_path)
    replicate(Named(), [7], store=kept)
    monkeypatch.setattr(store, "versions", lambda: {"shopsim": "another"})
    replicate(Named(), [7], store=kept)
    assert runs == [7, 7]


def test_fresh_runs_again_what_the_store_has(runs, tmp_path):
    for _ in range(2):
        execute([Task(Named(), 7)], store=Store(tmp_path), fresh=True)
    assert runs == [7, 7]


def test_a_replicate_that_cannot_be_written_whole_is_not_there_at_all(tmp_path, monkeypatch):
    def broken(path, text):
        raise OSError("disk full")

    monkeypatch.setattr(store, "write_text", broken)
    with pytest.raises(OSError, match="disk full"):
        Store(tmp_path).keep(result(Named(), 7))
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]


def test_the_package_gives_the_functions_and_not_the_modules():
    import experiments
    import experiments.comparison

    assert callable(experiments.replicate)
    assert callable(experiments.compare)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        experiments.nothing  # noqa: B018


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_seed_that_is_no_key_word_is_refused(seed):
    with pytest.raises(ValueError, match="a seed must be a whole number from 0 to 4294967295"):
        replicate(Named(), [seed])


def test_no_worker_is_refused():
    with pytest.raises(ValueError, match="workers must be at least 1"):
        replicate(Named(), [1], workers=0)


@pytest.mark.slow
def test_a_run_that_kills_its_process_harms_no_other(tiny):
    execution = execute([Task(Deadly(), 1), Task(tiny, 2), Task(tiny, 3)], workers=2)
    assert [run.seed for run in execution.results] == [2, 3]
    assert [failure.seed for failure in execution.failures] == [1]
    assert "process" in execution.failures[0].reason


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same_bits(tiny):
    alone, together = (replicate(tiny, range(3), workers=workers) for workers in (1, 2))
    for one, two in zip(alone, together, strict=True):
        assert json.dumps(one.metrics) == json.dumps(two.metrics)
        for name in one.tables:
            pd.testing.assert_frame_equal(one.tables[name], two.tables[name])
