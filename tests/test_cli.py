"""The commands that run things: what they print, where they write, and how they end."""

import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import sim
from experiments import replication
from experiments.__main__ import main
from experiments.cli import app
from sim import Scenario

BASELINE = Path(sim.__file__).parents[1] / "scenarios" / "baseline.yaml"
SHOPSIM = [sys.executable, "-c", "from experiments.cli import app; app()"]
BASE = """
question: What if we do nothing?
horizon: 14d
tick: 1d
people: {size: 300, network: {kind: power_law_cluster, mean_degree: 6, clustering: 0.2}, members_at_start: 50%}
catalog: {merchants: 3, products: 40}
demand: {conversion: 30%}
sharing: {organic: 0.02}
recommendation: {model: popularity}
"""
TEAMS = """
extends: base.yaml
question: Do teams help?
schemes: [{kind: group_buy, team_size: 2, lobby: 100%}]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with two small scenarios, which is also where commands run."""
    (tmp_path / "base.yaml").write_text(BASE)
    (tmp_path / "teams.yaml").write_text(TEAMS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shopsim(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)


IMPOSSIBLE = {
    "homophily": ("people.homophily=0.9", "people.homophily: must be at most 0."),
    "degree": ("people={size: 10, network: {kind: watts_strogatz, mean_degree: 50}}", "mean_degree must be at most 9"),
    "header": ("people={network: {kind: edge_list, file: header.csv}}", "header.csv:1: the first line must be source"),
    "no ties": ("people={network: {kind: edge_list, file: empty.csv}}", "empty.csv: the file has no ties"),
    "not gzip": ("people={network: {kind: edge_list, file: plain.csv.gz}}", "plain.csv.gz: Not a gzipped file"),
    "weight": ("people={network: {kind: edge_list, file: weight.csv}}", "weight.csv:2: weight must be a positive"),
    "seeds": ("people={network: {kind: edge_list, file: good.csv}, seeds: {persons: [1, 2]}}", "seeds.persons.1: must"),
    "too many seeds": ("people={network: {kind: edge_list, file: good.csv}, seeds: {count: 3}}", "must be at most 2"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_validate_refuses_what_run_refuses(case, folder):
    files = {
        "header.csv": "from,to\n1,2\n", "empty.csv": "source,target\n", "plain.csv.gz": "source,target\n1,2\n",
        "weight.csv": "source,target,weight\n1,2,heavy\n", "good.csv": "source,target\n1,2\n",
    }  # fmt: skip
    for name, text in files.items():
        (folder / name).write_text(text)
    change, message = IMPOSSIBLE[case]
    said = []
    for command in (["validate"], ["run", "--workers", 1, "--quiet"]):
        done = shopsim(*command, "base.yaml", "--set", change)
        assert done.exit_code == 2
        assert message in done.stderr
        said.append(done.stderr)
    assert said[0] == said[1]


def the_run_folder(root):
    (found,) = (path for path in root.glob("results/runs/*") if path.name != "replicates")
    return found


def test_what_only_building_the_world_finds_out_is_bad_input_like_any_other(folder):
    done = shopsim("run", "base.yaml", "--set", "people.homophily=0.9", "--workers", 1)
    assert done.exit_code == 2
    assert "people.homophily: must be at most 0." in done.stderr
    assert "Traceback" not in done.stderr


def test_run_prints_one_json_object_with_the_contracts_keys(folder):
    done = shopsim("run", "base.yaml", "--replicates", 2, "--seed", 3, "--workers", 1, "--json")
    assert done.exit_code == 0
    printed = json.loads(done.stdout)
    assert {"scenario", "digest", "version", "seeds", "metrics", "elapsed_s"} <= set(printed)
    assert (printed["scenario"], printed["seeds"], printed["version"]) == ("base", [3, 4], sim.__version__)
    assert printed["digest"] == Scenario.load(folder / "base.yaml").digest
    gmv = printed["metrics"]["gmv"]
    assert gmv["mean"] == pytest.approx(np.mean(gmv["values"]))
    assert gmv["ci_low"] < gmv["mean"] < gmv["ci_high"]


def test_run_is_the_same_twice_apart_from_the_time_it_took(folder):
    one, two = (json.loads(shopsim("run", "base.yaml", "--json", "--fresh").stdout) for _ in range(2))
    assert one.pop("elapsed_s") > 0
    assert two.pop("elapsed_s") > 0
    assert one == two


def test_run_folder_holds_what_the_run_was(folder):
    shopsim("run", "base.yaml", "--replicates", 2, "--workers", 1)
    found = the_run_folder(folder)
    scenario = Scenario.load(folder / "base.yaml")
    assert found.name == f"base-{scenario.short_digest}-s1-2"
    assert Scenario.load(found / "scenario.yaml").digest == scenario.digest
    manifest = json.loads((found / "manifest.json").read_text())
    assert (manifest["digest"], manifest["seeds"]) == (scenario.digest, [1, 2])
    assert {"shopsim", "python", "numpy", "numba"} <= set(manifest["engine"])
    summary = json.loads((found / "summary.json").read_text())
    metrics = pd.read_parquet(found / "metrics.parquet")
    assert list(metrics.columns) == ["replicate", "day", "metric", "value"]
    final = metrics[(metrics["day"] == -1) & (metrics["metric"] == "gmv")].sort_values("replicate")
    assert list(final["value"]) == summary["metrics"]["gmv"]["values"]
    daily = metrics[(metrics["metric"] == "visits") & (metrics["day"] >= 0)]
    assert daily.groupby("replicate")["day"].agg(["min", "max", "count"]).to_numpy().tolist() == [[0, 13, 14]] * 2
    people = pd.read_parquet(found / "people.parquet")
    sales = people[~people["fake"]].groupby("replicate")["gmv_yuan"].sum()
    assert list(sales) == pytest.approx(summary["metrics"]["gmv"]["values"])
    ledger = pd.read_parquet(found / "ledger.parquet")
    assert set(ledger.columns) == {"replicate", "day", "scheme", "source", "target", "amount_yuan"}
    assert not list(folder.rglob("*.part"))


def test_record_keeps_journal_and_events(folder):
    shopsim("run", "base.yaml", "--set", "record={journal: true, events: true}", "--out", "here", "--quiet")
    journal = pd.read_parquet(folder / "here/journal.parquet")
    ledger = pd.read_parquet(folder / "here/ledger.parquet")
    assert journal["amount_yuan"].sum() == pytest.approx(ledger["amount_yuan"].sum())
    orders = pd.read_parquet(folder / "here/events/orders.parquet")
    kept = orders[orders["status"] != "refunded"]
    people = pd.read_parquet(folder / "here/people.parquet").set_index("uid")
    assert kept.groupby("person")["pay_yuan"].sum().to_dict() == pytest.approx(
        people.loc[people["orders"] > 0, "gmv_yuan"].to_dict()
    )


def test_a_second_command_runs_only_what_is_new(folder, monkeypatch):
    shopsim("run", "base.yaml", "--replicates", 2, "--workers", 1)
    ran = []
    simulate = replication.simulate
    monkeypatch.setattr(replication, "simulate", lambda *task: ran.append(task[1]) or simulate(*task))
    done = shopsim("compare", "base.yaml", "teams.yaml", "--replicates", 3, "--workers", 1)
    assert done.exit_code == 0
    assert sorted(ran) == [1, 2, 3, 3]
    assert "2 of 6 runs were found" in done.stderr


def test_compare_prints_a_table_and_a_verdict(folder):
    done = shopsim("compare", "base.yaml", "teams.yaml", "--replicates", 3, "--workers", 1)
    assert done.exit_code == 0
    for text in ("growth", "retention", "money", "fraud", "new members", "incremental gmv, yuan"):
        assert text in done.stdout
    assert "Team purchases of two at 15% off" in done.stdout.splitlines()[-1]


def test_compare_json_has_effects_guardrails_and_a_verdict(folder):
    rail = "guardrails=[{metric: new_members, min: 0}]"
    done = shopsim("compare", "base.yaml", "teams.yaml", "--replicates", 3, "--workers", 1, "--set", rail, "--json")
    printed = json.loads(done.stdout)
    assert (printed["base"], list(printed["arms"])) == ("base", ["teams"])
    row = next(row for row in printed["effects"] if row["metric"] == "gmv")
    values = [np.array(arm["metrics"]["gmv"]["values"]) for arm in (printed, printed["arms"]["teams"])]
    assert row["mean_difference"] == pytest.approx((values[1] - values[0]).mean())
    increments = {row["metric"]: row["mean"] for row in printed["increments"]}
    assert increments["incremental_gmv"] == pytest.approx(row["mean_difference"])
    assert increments["incremental_members"] == pytest.approx(
        next(row for row in printed["effects"] if row["metric"] == "new_members")["mean_difference"]
    )
    assert [check["state"] for check in printed["guardrails"]] == ["pass", "pass"]
    assert printed["verdict"].endswith(".")


def test_compare_folder_holds_a_run_folder_for_each_arm(folder):
    shopsim("compare", "base.yaml", "teams.yaml", "--replicates", 2, "--workers", 1, "--out", "study", "--quiet")
    study = folder / "study"
    manifest = json.loads((study / "manifest.json").read_text())
    assert (manifest["kind"], manifest["base"], manifest["arms"]) == ("comparison", "base", ["teams"])
    for arm in ("base", "teams"):
        assert (study / "arms" / arm / "metrics.parquet").is_file()
        assert Scenario.load(study / "arms" / arm / "scenario.yaml").name == arm
    effects = pd.read_parquet(study / "effects.parquet")
    assert set(effects["arm"]) == {"teams"}
    assert len(pd.read_parquet(study / "twins.parquet")) == 2


def test_a_scenario_compared_with_itself_changes_nothing(folder):
    printed = json.loads(
        shopsim("compare", "base.yaml", "base.yaml", "--replicates", 2, "--workers", 1, "--json").stdout
    )
    assert list(printed["arms"]) == ["base-2"]
    assert {row["verdict"] for row in printed["effects"]} <= {"same", "no data"}


def test_a_broken_guardrail_ends_with_one(folder):
    rail = "guardrails=[{metric: new_members, min: 100000}]"
    done = shopsim("run", "base.yaml", "--replicates", 2, "--workers", 1, "--set", rail)
    assert done.exit_code == 1
    assert "guardrail base: new_members at least 100,000: fail" in done.stdout


def test_an_undecided_guardrail_ends_with_zero_and_says_why(folder):
    done = shopsim("run", "base.yaml", "--set", "guardrails=[{metric: new_members, min: 100000}]")
    assert done.exit_code == 0
    assert "one replicate says nothing about confidence" in done.stdout


@pytest.mark.parametrize("command", [["run", "none.yaml"], ["compare", "base.yaml", "none.yaml"]])
def test_bad_input_ends_with_two_and_a_message(folder, command):
    done = shopsim(*command, "--json")
    assert done.exit_code == 2
    assert "none.yaml: there is no such file" in done.stderr
    assert done.stdout == ""


def test_bad_override_ends_with_two_and_its_path(folder):
    done = shopsim("run", "base.yaml", "--set", "people.size=-5")
    assert done.exit_code == 2
    assert "people.size" in done.stderr


def test_seeds_beyond_the_last_are_refused_before_anything_runs(folder):
    done = shopsim("run", "base.yaml", "--seed", 2**32 - 1, "--replicates", 2)
    assert done.exit_code == 2
    assert "--seed" in done.stderr


def test_an_out_that_cannot_be_a_folder_is_refused_before_anything_runs(folder, monkeypatch):
    monkeypatch.setattr(replication, "simulate", None)
    done = shopsim("run", "base.yaml", "--out", "base.yaml")
    assert done.exit_code == 2
    assert "cannot be written" in done.stderr


def test_a_run_that_fails_ends_with_one_and_its_traceback_and_the_rest_is_reported(folder, monkeypatch):
    simulate = replication.simulate

    def sometimes(scenario, seed, watch=None):
        if seed == 2:
            raise ArithmeticError("the books do not balance")
        return simulate(scenario, seed, watch)

    monkeypatch.setattr(replication, "simulate", sometimes)
    done = shopsim("run", "base.yaml", "--replicates", 3, "--workers", 1, "--json")
    assert done.exit_code == 1
    assert "base with seed 2 failed twice" in done.stderr
    assert "ArithmeticError: the books do not balance" in done.stderr
    printed = json.loads(done.stdout)
    assert printed["seeds"] == [1, 3]
    assert printed["failures"] == [
        {"scenario": "base", "seed": 2, "reason": "ArithmeticError: the books do not balance"}
    ]


def test_ctrl_c_ends_with_130_and_keeps_what_is_finished(folder, monkeypatch):
    simulate = replication.simulate

    def until_the_third(scenario, seed, watch=None):
        if seed == 3:
            raise KeyboardInterrupt
        return simulate(scenario, seed, watch)

    monkeypatch.setattr(replication, "simulate", until_the_third)
    done = shopsim("run", "base.yaml", "--replicates", 4, "--workers", 1, "--json")
    assert (done.exit_code, done.stdout) == (130, "")
    assert "2 of 4 runs are kept" in done.stderr
    monkeypatch.setattr(replication, "simulate", simulate)
    assert "2 of 4 runs were found" in shopsim("run", "base.yaml", "--replicates", 4, "--workers", 1).stderr


def test_a_sign_that_the_encoding_does_not_have_ends_no_command():
    code = "import sys\nfrom experiments.cli import app\napp.command('say')(lambda: print('✓ 什么'))\napp(['say'])\n"
    for encoding in ("ascii", "latin-1"):
        environment = {**os.environ, "PYTHONIOENCODING": encoding}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stdout) == (0, "? ??\n")


def test_quiet_says_nothing_on_stderr(folder):
    assert shopsim("run", "base.yaml", "--quiet").stderr == ""


def test_a_change_of_an_arm_that_is_not_there_is_refused_with_the_arms(folder):
    done = shopsim("compare", "base.yaml", "teams.yaml", "--set", "team:schemes.0.discount=25%")
    assert done.exit_code == 2
    assert done.stderr == (
        "--set: team:schemes.0.discount: 'team' is not an arm; arms: base, teams. Did you mean 'teams'?\n"
    )


def test_report_needs_a_finished_folder(folder):
    done = shopsim("report", ".")
    assert done.exit_code == 2
    assert "has no manifest.json" in done.stderr


def test_a_report_of_a_damaged_folder_is_refused_with_the_file_to_blame(folder):
    shopsim("compare", "base.yaml", "teams.yaml", "--replicates", 1, "--workers", 1, "--out", "out")
    run = Path("out/arms/teams")
    files = {
        Path("out"): ["manifest.json", "comparison.json"],
        run: ["manifest.json", "summary.json", "facts.json", "parameters.json", "metrics.parquet", "people.parquet"],
    }
    for file in (place / name for place, names in files.items() for name in names):
        whole = file.read_bytes()
        for damage in (whole[: len(whole) // 2], b"", None) if file.suffix == ".parquet" else (whole[:-9], b"{}", None):
            file.write_bytes(damage) if damage is not None else file.unlink()
            done = shopsim("report", "out" if file.parent != run or file.name != "summary.json" else run)
            if damage == b"{}" and file.name in ("facts.json", "parameters.json"):
                continue  # a scenario may have none
            assert done.exit_code == 2
            if file != Path("out/manifest.json") or damage is not None:
                assert done.stderr == f"{file}: is not whole; run the scenario or plan again.\n"
        file.write_bytes(whole)
    assert shopsim("report", "out").exit_code == 0


def test_help_imports_nothing_heavy():
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from experiments.cli import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(sorted({'numba', 'pandas', 'scipy', 'mesa', 'pydantic'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_seeds_in_folder_names_are_short():
    from experiments.runs import seeds_in_name

    assert [seeds_in_name(seeds) for seeds in ([3], [1, 2, 3], [1, 4])] == ["s3", "s1-3", "s1,4"]


@pytest.mark.slow
def test_json_is_the_same_with_one_and_two_workers_and_any_number_of_threads(folder):
    printed = []
    for workers, threads in ((1, "1"), (2, "2")):
        command = [*SHOPSIM, "run", "teams.yaml", "--replicates", "3", "--workers", str(workers), "--json", "--fresh"]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env={**os.environ, "NUMBA_NUM_THREADS": threads}
        )
        found = json.loads(done.stdout)
        del found["elapsed_s"]
        printed.append(found)
    assert printed[0] == printed[1]


@pytest.mark.slow
def test_a_signal_ends_command_and_workers_with_130_and_without_a_traceback(folder):
    command = [*SHOPSIM, "run", "base.yaml", "--set", "horizon=3650d", "--set", "tick=1h", "--replicates", "2"]
    running = subprocess.Popen(
        [*command, "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background are born ignoring it
    )
    try:
        for _ in range(600):
            if len(_alive_in(running.pid)) > 3:  # itself, what looks after its resources, two workers
                break
            time.sleep(0.2)
        time.sleep(1.0)
        os.killpg(running.pid, signal.SIGINT)
        out, errors = running.communicate(timeout=60)
        assert (running.returncode, out) == (130, "")
        assert "0 of 2 runs are kept" in errors
        assert "Traceback" not in errors
        for _ in range(100):
            if not _alive_in(running.pid):
                break
            time.sleep(0.1)
        assert not _alive_in(running.pid)
    finally:
        if running.poll() is None:
            os.killpg(running.pid, signal.SIGKILL)


def _alive_in(group):
    """Return the processes of a process group that are neither gone nor zombies."""
    alive = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            alive.append(entry.parent.name)
    return alive


def test_who_interrupts_while_the_command_is_loaded_sees_no_traceback(monkeypatch, capsys):
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    module = types.ModuleType("experiments.cli")
    module.__getattr__ = interrupted
    monkeypatch.setitem(sys.modules, "experiments.cli", module)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_validate_says_what_a_long_tick_loses_and_how_near_an_imitated_network_comes():
    plain = shopsim("validate", BASELINE)
    assert plain.stdout == f"{BASELINE}: ok: 7,624 persons on edge_list, 540 ticks of 4h, schemes: none\n"
    changed = shopsim("validate", BASELINE, "--set", "tick=1d", "--set", "people.size=500")
    assert "500 persons on edge_list" in changed.stdout
    assert "network: generated like a network of 7624 persons" in changed.stdout
    assert "nobody comes twice in a tick: 15% of visits are lost" in changed.stdout
