"""Studies that are killed, damaged or spread over machines end with the same results as undisturbed ones."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from experiments.plans.command import PlanOptions
from experiments.plans.study import Study
from experiments.plans.sweep import command
from experiments.replication import Task, execute
from experiments.resources import SILENCE, executor_for
from experiments.store import Store
from sim import Scenario

SCENARIO = """
tick: 1d
horizon: 4d
people: {size: 60, network: {kind: watts_strogatz, mean_degree: 6, rewire: 0.1}, members_at_start: 50%}
catalog: {merchants: 2, products: 20}
recommendation: {model: popularity}
schemes: [{kind: group_buy, team_size: 2}]
"""
PLAN = """
kind: sweep
scenario: tiny.yaml
replicates: 10
metrics: [orders, gmv, contribution]
parameters:
  schemes.group_buy.discount: {min: 5%, max: 50%}
  people.members_at_start: {min: 40%, max: 80%}
design: {kind: latin_hypercube, points: 19}
"""
RUNS = 200
TABLES = ("points", "runs", "effects", "main_effects")
ENVIRONMENT = {**os.environ, "NUMBA_NUM_THREADS": "1"}


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    return file


def tables(folder: Path) -> dict[str, bytes]:
    return {name: (folder / f"{name}.parquet").read_bytes() for name in TABLES}


def finished(folder: Path) -> list[Path]:
    return sorted(folder.glob("replicates/*/seed-*/manifest.json"))


def killed_when(plan: Path, out: Path, count: int) -> None:
    """Start the sweep in a process of its own, and kill it a moment after so many runs are on disk."""
    program = "from experiments.cli import app; app()"
    words = ["sweep", str(plan), "--workers", "1", "--quiet", "--json", "--out", str(out)]
    with subprocess.Popen(
        [sys.executable, "-c", program, *words], env=ENVIRONMENT, stdout=subprocess.DEVNULL
    ) as process:
        while len(finished(out)) < count:
            assert process.poll() is None, "it ended before it was killed"
            time.sleep(0.1)  # a run takes about as long, so that it dies anywhere in one
        time.sleep(random.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_a_sweep_killed_five_times_ends_like_an_undisturbed_one(plan, tmp_path, capsys):
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    assert command(plan, PlanOptions(workers=1, out=calm, as_json=True, quiet=True)) == 0
    assert len(finished(calm)) == RUNS
    for count in sorted(random.sample(range(1, RUNS - 10), 5)):
        killed_when(plan, stormy, count)
    before = {file: file.read_bytes() for file in finished(stormy)}
    assert 5 <= len(before) < RUNS
    capsys.readouterr()
    assert command(plan, PlanOptions(workers=1, out=stormy, as_json=True)) == 0
    # A manifest holds when its run was made: what a killed process finished was kept and not run twice.
    assert {file: file.read_bytes() for file in before} == before
    assert f"{len(before)} of {RUNS} runs were found" in capsys.readouterr().err
    assert tables(stormy) == tables(calm)
    assert not list(stormy.rglob("*.part"))


KILLED = """
import multiprocessing, os, signal
from concurrent.futures import ProcessPoolExecutor
from experiments.replication import begin_work
if __name__ == "__main__":
    pool = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), begin_work)
    print(pool.submit(os.getpid).result(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").is_file(), reason="finds workers in /proc")
def test_a_worker_ends_with_a_command_that_is_killed(tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    with (tmp_path / "worker").open("w") as out:
        done = subprocess.run([sys.executable, str(tmp_path / "killed.py")], env=ENVIRONMENT, stdout=out, check=False)
    assert done.returncode == -signal.SIGKILL
    worker, deadline = (tmp_path / "worker").read_text().strip(), time.monotonic() + 10
    assert worker.isdigit()
    while _alive(worker):
        assert time.monotonic() < deadline, "a worker lives on"
        time.sleep(0.1)


def _alive(process: str) -> bool:
    """Whether a process is there and not only waiting to be reaped."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.slow
def test_damaged_runs_of_a_sweep_are_run_again_and_no_others(plan, tmp_path, capsys):
    out = tmp_path / "out"
    options = PlanOptions(workers=1, changes=["replicates=2"], out=out)
    assert command(plan, options) == 0
    expected, made = tables(out), [file.parent for file in finished(out)]
    truncated, edited = made[3] / "outcome.json", made[7] / "outcome.json"
    truncated.write_bytes(truncated.read_bytes()[:-9])
    content = json.loads(edited.read_text())
    content["metrics"]["gmv"] += 1
    edited.write_text(json.dumps(content))
    capsys.readouterr()
    assert command(plan, options) == 0
    assert "38 of 40 runs were found" in capsys.readouterr().err
    assert tables(out) == expected


@pytest.fixture
def cluster(tmp_path):
    """Yield the address of a Dask scheduler on loopback, its two worker processes, and its own."""
    file = tmp_path / "scheduler.json"

    def start(module: str, *words: str) -> subprocess.Popen[bytes]:
        words = ("-m", f"distributed.cli.{module}", *words, "--host", "127.0.0.1", "--no-dashboard")
        patient = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": SILENCE}
        return subprocess.Popen([sys.executable, *words], env=ENVIRONMENT | patient, stderr=subprocess.DEVNULL)

    processes = [start("dask_scheduler", "--port", "0", "--scheduler-file", str(file))]
    try:
        while not file.exists():
            assert processes[0].poll() is None
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        processes += [start("dask_worker", address, "--nthreads", "1", "--no-nanny") for _ in range(2)]
        yield address, processes[1:], processes[0]
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_two_dask_workers_of_which_one_is_killed_give_the_bits_of_one_process(plan, cluster):
    address, workers, _ = cluster
    scenario = Scenario.load(plan.with_name("tiny.yaml"))
    tasks = [Task(scenario, seed) for seed in range(30)]

    def kill(done: float, total: int) -> None:
        if done >= 5:
            workers[0].kill()

    alone = execute(tasks)  # before the cluster, so that its workers find kernels compiled
    with executor_for(address) as executor:
        assert executor is not None
        together = execute(tasks, executor=executor, progress=kill)
    assert workers[0].wait() != 0
    assert workers[1].poll() is None
    assert not together.failures
    for one, other in zip(alone.results, together.results, strict=True):
        assert json.dumps(one.metrics) == json.dumps(other.metrics)
        assert one.tables.keys() == other.tables.keys()
        for name in one.tables:
            pd.testing.assert_frame_equal(one.tables[name], other.tables[name])


@pytest.mark.slow
def test_a_plan_gives_the_same_tables_on_dask_as_in_one_process(plan, cluster, tmp_path):
    address, *_ = cluster
    changes = ["replicates=1"]
    assert command(plan, PlanOptions(changes=changes, out=tmp_path / "far", quiet=True, dask=address)) == 0
    assert command(plan, PlanOptions(changes=changes, out=tmp_path / "near", quiet=True, workers=1)) == 0
    assert tables(tmp_path / "far") == tables(tmp_path / "near")
    assert Study.load(tmp_path / "far").summary["runs"] == RUNS // 10


@pytest.mark.slow
def test_a_lost_scheduler_fails_what_is_left_and_keeps_what_is_done(plan, cluster, tmp_path):
    address, _, scheduler = cluster
    scenario = Scenario.load(plan.with_name("tiny.yaml"))
    tasks, store = [Task(scenario, seed) for seed in range(40)], Store(tmp_path / "kept")

    def kill(done: float, total: int) -> None:
        if done >= 2:
            scheduler.kill()

    with executor_for(address) as executor:
        execution = execute(tasks, executor=executor, store=store, progress=kill, light=True)
    assert len(execution.results) >= 2
    assert execution.failures
    assert "the Dask scheduler is gone" in execution.failures[0].reason
    again = execute(tasks, store=store, light=True)
    assert again.found == len(execution.results)
    assert len(again.results) == 40
