"""Plan files: what they may say, what varies, and the folder that a study leaves."""

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from experiments import replication
from experiments.cli import app
from experiments.outcome import RunResult
from experiments.plans.command import PlanOptions
from experiments.plans.evaluate import Runner, shop_evaluator
from experiments.plans.parameters import Parameter
from experiments.plans.plan import load_plan
from experiments.plans.search import search_digest
from experiments.plans.study import Study
from experiments.plans.sweep import command
from experiments.replication import Task, execute
from experiments.report import render
from experiments.resources import executor_for, workers_that_fit
from experiments.store import Store
from sim import Scenario
from sim.scenario import Problem, ScenarioError, ScenarioSizeError

SCENARIO = """
tick: 1d
horizon: 7d
people: {size: 100, network: {kind: watts_strogatz, mean_degree: 6, rewire: 0.1}, members_at_start: 50%}
catalog: {merchants: 3, products: 40, price: {median: 60}}
recommendation: {model: popularity}
schemes:
  - {kind: group_buy, team_size: 2}
"""
PLAN = """kind: sweep
question: What does it take?
scenario: tiny.yaml
set: {people.size: 120}
replicates: 3
metrics: [orders, contribution]
parameters:
  schemes.group_buy.discount: {min: 5%, max: 30%}
  schemes.0.window: {values: [12h, 2d]}
design: {kind: grid, levels: 3}
"""
SEARCH = """kind: optimise
scenario: tiny.yaml
objectives: [{metric: orders}]
parameters: {schemes.group_buy.discount: {min: 5%, max: 30%}}
trials: 5
"""


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "tiny.yaml").write_text(SCENARIO)
    file = tmp_path / "plan.yaml"
    file.write_text(PLAN)
    return file


def parameter(plan, path, spec):
    return load_plan(plan, [f"parameters={{{path}: {spec}}}"]).parameters[0]


def test_a_plan_takes_its_scenario_with_what_it_sets(plan):
    loaded = load_plan(plan)
    assert loaded.scenario.people.size == 120
    assert loaded.seeds == [1, 2, 3]
    assert [one.path for one in loaded.parameters] == ["schemes.group_buy.discount", "schemes.0.window"]


def test_a_point_gives_plain_numbers_that_the_scenario_gets_in_its_own_units(plan):
    scenario = load_plan(plan).at({"schemes.group_buy.discount": 0.25, "schemes.0.window": 48.0})
    assert (scenario.schemes[0].discount, scenario.schemes[0].window) == (0.25, 48.0)


@pytest.mark.parametrize(
    ("path", "spec", "unit", "bounds", "middle", "current"),
    [
        ("schemes.0.discount", "{min: 10%, max: 30%}", "share", (0.1, 0.3), 0.2, 0.15),
        ("schemes.0.window", "{min: 12h, max: 3d}", "hours", (12, 72), 42, 24),
        ("catalog.price.median", "{min: 20, max: 50.02}", "yuan", (20, 50.02), 35.01, 60),
        ("schemes.group_buy.team_size", "{min: 2, max: 4}", "", (2, 4), 3, 2),
        ("sharing.word_of_mouth", "{min: 0.001, max: 0.1, scale: log}", "a day", (0.001, 0.1), 0.01, 0.01),
    ],
)
def test_a_range_is_read_in_the_unit_of_its_key(plan, path, spec, unit, bounds, middle, current):
    found = parameter(plan, path, spec)
    assert (found.unit, found.bounds, found.current) == (unit, bounds, current)
    assert found.from_unit(0.0) == pytest.approx(bounds[0])
    assert found.from_unit(1.0) == pytest.approx(bounds[1])
    assert found.from_unit(0.5) == pytest.approx(middle, abs=0.006)
    load_plan(plan, [f"parameters={{{path}: {spec}}}"]).at({path: found.from_unit(0.37)})


def test_every_whole_number_of_a_range_is_equally_likely(plan):
    found = parameter(plan, "schemes.0.team_size", "{min: 2, max: 5}")
    drawn = [found.from_unit(u) for u in (np.arange(1000) + 0.5) / 1000]
    assert pd.Series(drawn).value_counts().to_dict() == {2: 250, 3: 250, 4: 250, 5: 250}
    assert found.levels(9) == [2, 3, 4, 5]


def test_a_choice_may_hold_anything_that_the_scenario_allows(plan):
    found = parameter(plan, "people.network", "{values: [{kind: complete}, {kind: barabasi_albert, mean_degree: 4}]}")
    assert (found.bounds, found.numeric) == ((0, 1), False)
    scenario = load_plan(plan, ["parameters={people.network: {values: [{kind: complete}]}}"]).at(
        {"people.network": found.from_unit(0.1)}
    )
    assert scenario.people.network.kind == "complete"


def test_a_choice_may_be_to_leave_a_key_open(plan):
    loaded = load_plan(plan, ["parameters={people.size: {values: [null, 80]}}", "set={people.size: 90}"])
    assert loaded.at({"people.size": None}).people.size is None
    assert loaded.at({}).people.size == 90


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "says"),
    [
        ("kind: sweep", "kind: swep", 1, "kind", "Did you mean 'sweep'?"),
        ("kind: sweep", "kind: optimise", 1, "kind", "shopsim optimise carries out a plan like this"),
        ("kind: sweep\n", "", 1, "kind", "is missing; must be one of sweep, "),
        ("scenario: tiny.yaml", "scenario: none.yaml", 3, "scenario", "none.yaml: there is no such file"),
        ("people.size: 120", "people.sise: 120", 4, "people.sise", "Did you mean 'size'?"),
        ("people.size: 120", "people.size: many", 4, "people.size", "must be a whole number"),
        ("replicates: 3", "replicates: 0", 5, "replicates", "must be a whole number from 1 to 10,000. Got 0."),
        ("replicates: 3", "replicats: 3", 5, "replicats", "Did you mean 'replicates'?"),
        ("orders, ", "order, ", 6, "metrics.0", "Did you mean 'orders'?"),
        ("orders, ", "roi, ", 6, "metrics.0", "needs a base to compare with"),
        ("discount: {", "discont: {", 8, "schemes.0.discont", "Did you mean 'discount'?"),
        ("max: 30%", "max: 130%", 8, "parameters.schemes.group_buy.discount", "must be a share from 0% to 100%"),
        ("max: 30%", "max: 2%", 8, "parameters.schemes.group_buy.discount", "needs min below max"),
        ("max: 30%", "maks: 30%", 8, "parameters.schemes.group_buy.discount", "max"),
        ("max: 30%", "max: 30%, scale: cubic", 8, "parameters.schemes.group_buy.discount.scale", "linear, log"),
        ("min: 5%, max: 30%", "min: 0%, max: 30%, scale: log", 8, "parameters.schemes.group_buy.discount", "above 0"),
        ("12h, 2d", "12h, 12h", 9, "parameters.schemes.0.window", "lists a value twice"),
        ("12h, 2d", "12h, 2x", 9, "parameters.schemes.0.window", 'must be a duration above 0'),
        ("0.window: {values: [12h, 2d]}", "0.discount: {values: [1%]}", 9, "parameters.schemes.0.disc", "the same as"),
        ("schemes.0.window", "schemes.1.window", 9, "schemes.1.window", "the list has 1 element"),
        ("schemes.0.window: {values: [12h, 2d]}", "people: {min: 1, max: 2}", 9, "parameters.people", "takes no range"),
        ("levels: 3", "levels: 1", 10, "design.levels", "must be a whole number from 2"),
        ("kind: grid, levels: 3", "kind: sobol, points: 5", 10, "design.points", "must be a power of 2"),
        ("levels: 3}", "levels: 3}\nbase: {people.homophily: 0.1}", 11, "base.people.homophily", "is not a parameter"),
        ("levels: 3}", "levels: 3}\nbase: {schemes.0.window: -1d}", 11, "schemes.0.window", "must be a duration"),
        ("levels: 3}", "levels: 3}\nbest_by: gmv", 11, "best_by", "must be one of the plan's metrics"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_plan_is_said_with_line_and_key(plan, old, new, line, path, says):
    assert old in PLAN
    plan.write_text(PLAN.replace(old, new))
    result = CliRunner().invoke(app, ["sweep", str(plan)])
    assert result.exit_code == 2
    assert f"plan.yaml:{line}: {path}" in result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.output


def test_set_changes_the_plan_and_its_scenario(plan):
    changes = ["replicates=1", "set.people.size=90", "parameters.schemes.0.window.values=[1h]", "design.levels=2"]
    loaded = load_plan(plan, changes)
    assert loaded.seeds == [1]
    assert loaded.scenario.people.size == 90
    assert loaded.parameters[1].values == (1.0,)
    assert loaded.config.design.levels == 2
    with pytest.raises(ScenarioError, match="to change its scenario write --set set"):
        load_plan(plan, ["people.size=90"])


def test_the_digest_names_what_determines_a_study_and_nothing_else(plan):
    digest = load_plan(plan).digest
    assert load_plan(plan, ["name=other", "question=why"]).digest == digest
    for change in ("replicates=4", "seed=2", "set.people.size=121", "design.levels=4", "metrics=[orders]"):
        assert load_plan(plan, [change]).digest != digest


def test_a_search_is_continued_by_more_trials_and_by_no_other_plan(plan):
    plan.write_text(SEARCH)
    digest = search_digest(load_plan(plan))
    assert search_digest(load_plan(plan, ["trials=9"])) == digest
    for change in ("seed=2", "set.people.size=121", "replicates=4", "batch=2", "objectives=[{metric: gmv}]"):
        assert search_digest(load_plan(plan, [change])) != digest


def test_the_resolved_plan_in_the_folder_repeats_the_study(plan, tmp_path):
    assert command(plan, PlanOptions(workers=1, out=tmp_path / "out", quiet=True)) == 0
    again = load_plan(tmp_path / "out" / "plan.yaml")
    assert again.digest == load_plan(plan).digest
    assert again.scenario.digest == load_plan(plan).scenario.digest


def test_a_study_joins_runs_with_their_points(plan, tmp_path):
    command(plan, PlanOptions(workers=1, out=tmp_path, quiet=True, changes=["replicates=2"]))
    study = Study.load(tmp_path)
    frame = study.frame()
    names = ["schemes.group_buy.discount", "schemes.0.window"]
    assert list(frame) == ["point", *names, "seed", "metric", "value"]
    assert len(frame) == 7 * 2 * 2
    assert [one.path for one in study.parameters] == names
    assert study.points.loc[0, names].tolist() == [0.15, 24.0]
    assert "report.html" in {file.name for file in tmp_path.iterdir()}


def test_a_damaged_study_is_named_as_such(plan, tmp_path):
    out = tmp_path / "out"
    command(plan, PlanOptions(workers=1, out=out, quiet=True, changes=["replicates=2"]))
    for name in ("effects.parquet", "summary.json", "manifest.json"):
        whole = (out / name).read_bytes()
        (out / name).write_bytes(whole[:20])
        with pytest.raises(ScenarioError, match=f"{re.escape(name)}: is not whole; run"):
            render(out)
        (out / name).write_bytes(whole)


def test_a_folder_without_a_finished_study_is_refused(tmp_path):
    with pytest.raises(ScenarioError, match=r"has no manifest\.json"):
        Study.load(tmp_path)


def test_a_run_that_fails_is_named_with_its_point_and_the_rest_goes_on(plan, tmp_path, monkeypatch, capsys):
    real = replication.simulate

    def simulate(scenario, seed, watch=None):
        if seed == 2 and scenario.schemes[0].discount == 0.05:
            raise ArithmeticError("the books do not balance")
        return real(scenario, seed, watch)

    monkeypatch.setattr(replication, "simulate", simulate)
    assert command(plan, PlanOptions(workers=1, out=tmp_path, quiet=True, as_json=True)) == 1
    out, err = capsys.readouterr()
    summary = json.loads(out)
    assert [(f["scenario"], f["seed"]) for f in summary["failures"]] == [("tiny-point-1", 2), ("tiny-point-2", 2)]
    assert "the books do not balance" in err
    assert summary["runs"] == 19
    assert "2 runs failed" in (tmp_path / "report.html").read_text()


def test_a_point_whose_world_cannot_be_built_is_named_with_its_seed(plan, tmp_path, monkeypatch, capsys):
    real = replication.simulate

    def simulate(scenario, seed, watch=None):
        if seed == 2 and scenario.schemes[0].discount == 0.05:
            raise ScenarioError(Problem("must leave a product to buy.", "tiny.yaml", 5, "catalog"))
        return real(scenario, seed, watch)

    monkeypatch.setattr(replication, "simulate", simulate)
    assert command(plan, PlanOptions(workers=1, out=tmp_path, quiet=True, as_json=True)) == 1
    said = "tiny-point-1 with seed 2, tiny-point-2 with seed 2 failed: tiny.yaml:5: catalog: must leave"
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "typed",
    [
        "set.people.sise=3",
        "set.people.size=many",
        "set.schemes.group_buy.discont=3",
        "parameters.people.sise={min: 1, max: 3}",
        "parameters.schemes.group_buy.discont={values: [1]}",
    ],
)
def test_what_is_wrong_on_the_command_line_is_named_as_it_was_typed(plan, typed):
    with pytest.raises(ScenarioError) as caught:
        load_plan(plan, [typed])
    assert str(caught.value).startswith(f"--set: {typed.partition('=')[0]}: ")


def test_the_same_scenario_at_two_points_runs_once(plan, monkeypatch):
    made = []
    real = replication.simulate
    monkeypatch.setattr(replication, "simulate", lambda *words: made.append(words[1]) or real(*words))
    loaded = load_plan(plan)
    frame = shop_evaluator(loaded, Runner())([{}, {"schemes.0.window": 24.0}], [5])
    assert made == [5]
    assert frame.loc[frame["point"] == 0, "value"].tolist() == frame.loc[frame["point"] == 1, "value"].tolist()


@dataclass(frozen=True)
class Doubled:
    """Work that is more than a simulation."""

    digest: str = "doubled"

    def __call__(self, scenario, seed, watch):
        return replace(replication.simulate(scenario, seed, watch), metrics={"orders": 2.0})


def test_work_is_kept_apart_from_plain_runs_of_the_same_scenario(plan, tmp_path):
    scenario, store = load_plan(plan).scenario, Store(tmp_path)
    plain, work = Task(scenario, 1), Task(scenario, 1, Doubled())
    assert plain.digest == scenario.digest != work.digest
    for _ in range(2):
        execution = execute([plain, work], store=store)
        assert [run.digest for run in execution.results] == [plain.digest, work.digest]
        assert execution.results[1].metrics == {"orders": 2.0}
    assert execution.found == 2


def test_a_light_run_serves_a_light_request_only(tmp_path, monkeypatch):
    made = []

    def simulate(scenario, seed, watch=None):
        made.append(seed)
        tables = {"history": pd.DataFrame({"day": [0]})}
        return RunResult(scenario.name, scenario.digest, seed, {"gmv": 1.0}, tables, {}, 0.1)

    monkeypatch.setattr(replication, "simulate", simulate)
    task, store = Task(Scenario.from_dict({}), 1), Store(tmp_path)
    assert not execute([task], store=store, light=True).results[0].tables
    assert execute([task], store=store, light=True).found == 1
    assert list(execute([task], store=store).results[0].tables) == ["history"]
    assert execute([task], store=store, light=True).found == 1
    assert execute([task], store=store).found == 1
    assert made == [1, 1]


def test_what_a_killed_process_left_half_written_is_cleared_away(tmp_path, monkeypatch):
    store = Store(tmp_path)
    result = RunResult("a", "ab" * 32, 3, {"gmv": 1.0}, {}, {}, 0.1)
    leftover = store.folder(result.digest, 3).parent / ".seed-3.xyz.part"
    leftover.mkdir(parents=True)
    (leftover / "outcome.json").write_text("{")
    store.keep(result)
    assert [file.name for file in leftover.parent.iterdir()] == ["seed-3"]


def test_workers_are_as_many_as_there_is_memory_for(monkeypatch):
    import psutil

    def available(count):
        monkeypatch.setattr(
            psutil, "virtual_memory", lambda: type("Memory", (), {"available": count, "total": 10**12})()
        )

    scenario = Scenario.from_dict({"people": {"size": 1000}})
    available(10**11)
    assert workers_that_fit([scenario], 8) == (8, "")
    available(1.2e9)
    workers, remark = workers_that_fit([scenario], 8)
    assert workers == 2
    assert remark.endswith("2 workers instead of 8")
    available(10**8)
    with pytest.raises(ScenarioSizeError, match="a run needs about"):
        workers_that_fit([scenario], 8)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense", "tcp://127.0.0.1:99999", ""])
def test_a_cluster_that_does_not_answer_is_bad_input(address, plan):
    with pytest.raises(ScenarioError, match="no Dask scheduler answers there"), executor_for(address):
        pass
    assert CliRunner().invoke(app, ["sweep", str(plan), "--dask", address]).exit_code == 2


def test_labels_say_values_as_readers_do():
    hours = Parameter("w", "hours", 1, 99, False, 0.0, (), 24)
    assert [hours.label(value) for value in (12, 24, 72)] == ["12 h", "24 h", "3 d"]
    share = Parameter("w", "share", 0, 1, False, 0.0, (), 0.1)
    assert [share.label(value) for value in (0.125, None)] == ["12.5%", "default"]


DOCUMENTATION = (Path(__file__).parents[1] / "docs" / "experiments.md").read_text("utf-8")


def printed(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCUMENTATION, re.MULTILINE | re.DOTALL)


def test_what_the_documentation_says_of_studies_runs_as_printed(plan, tmp_path, monkeypatch):
    import duckdb

    command(plan, PlanOptions(workers=1, out=tmp_path, quiet=True))
    study = Study.load(tmp_path)
    names: dict[str, Any] = {"folder": tmp_path}
    exec(printed("python")[0], names)
    monkeypatch.chdir(tmp_path)
    means, differences, better = (duckdb.sql(query).df() for query in printed("sql"))
    assert means["mean"].tolist() == pytest.approx(names["means"].stack().tolist())
    assert means["runs"].eq(3).all()
    effects = study.table("effects").set_index(["point", "metric"])["difference"]
    found = differences.set_index(["point", "metric"])["difference"]
    assert found.to_dict() == pytest.approx(effects.to_dict())
    assert set(better["point"]) == set(
        study.table("effects").query("metric == 'contribution' and verdict == 'better'")["point"]
    )


def test_the_documented_plan_is_one(tmp_path):
    folder = Path(__file__).parents[1] / "scenarios" / "plans"
    file = tmp_path / "documented.yaml"
    file.write_text(printed("yaml")[0].replace("../group_buy.yaml", str(folder.parent / "group_buy.yaml")))
    assert len(load_plan(file).parameters) == 3


@pytest.mark.parametrize("kind", ["sweep", "sensitivity"])
def test_the_shipped_plans_are_right(kind):
    loaded = load_plan(Path(__file__).parents[1] / "scenarios" / "plans" / f"{kind}.yaml", kind=kind)
    assert loaded.config.question
    assert len(loaded.parameters) > 1
