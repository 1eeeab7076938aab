"""Scenarios that are right: what they say, where it came from, how they change, and what names a run."""

import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.cli import app
from sim.scenario import Scenario, ScenarioError, ScenarioSizeError, ScenarioValueError
from sim.scenario.editor import json_schema
from sim.scenario.starter import SHIPPED, Starter
from sim.scenario.tree import Place, from_plain, merge

TIES = "0,1\n1,2\n2,0\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with a base scenario in a folder of its own, beside its data."""
    monkeypatch.chdir(tmp_path)
    Path("base/data").mkdir(parents=True)
    Path("base/data/ties.csv").write_text(TIES, encoding="utf-8")
    write(
        "base/base.yaml",
        """\
        name: base
        question: What is normal?
        horizon: 30d
        people:
          network: {kind: edge_list, file: data/ties.csv}
          members_at_start: 40%
        schemes:
          - {kind: group_buy, team_size: 4}
        sources: {people.members_at_start: the annual report}
        """,
    )
    return tmp_path


def write(name: str, text: str) -> str:
    Path(name).write_text(re.sub(r"^ {8}", "", text, flags=re.MULTILINE), encoding="utf-8")
    return name


def load(text: str) -> Scenario:
    return Scenario.load(write("scenario.yaml", text))


# Extending.


def test_scenario_says_what_it_says_and_its_base_says_the_rest(folder):
    scenario = load("extends: base/base.yaml\npeople: {members_at_start: 10%}\n")
    assert scenario.people.members_at_start == 0.1
    assert scenario.horizon == 30 * 24


def test_later_bases_are_laid_over_earlier_ones(folder):
    write("short.yaml", "horizon: 5d\n")
    assert load("extends: [base/base.yaml, short.yaml]\n").horizon == 5 * 24
    assert load("extends: [short.yaml, base/base.yaml]\n").horizon == 30 * 24


def test_name_and_question_are_not_inherited(folder):
    scenario = load("extends: base/base.yaml\n")
    assert (scenario.name, scenario.question) == ("scenario", "")


def test_list_replaces_the_list_of_the_base(folder):
    assert [
        scheme.kind for scheme in load("extends: base/base.yaml\nschemes: [{kind: coupon, amount: 5}]\n").schemes
    ] == ["coupon"]


def test_mapping_of_another_kind_replaces_the_mapping_of_the_base(folder):
    scenario = load("extends: base/base.yaml\npeople: {network: {kind: complete}}\n")
    assert scenario.people.network.kind == "complete"


def test_data_file_is_looked_up_beside_the_file_that_names_it(folder):
    Path("elsewhere").mkdir()
    scenario = Scenario.load(write("elsewhere/arm.yaml", "extends: ../base/base.yaml\n"))
    assert Path(scenario.people.network.file) == folder / "base" / "data" / "ties.csv"


TREES = st.recursive(st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner), max_leaves=6)


@settings(max_examples=50)
@given(TREES)
def test_merging_with_itself_or_with_nothing_changes_nothing(values):
    place = Place("", None, Path())
    tree, empty = from_plain({"root": values}, place), from_plain({}, place)
    assert merge(tree, tree).plain() == merge(tree, empty).plain() == merge(empty, tree).plain() == {"root": values}


# Overriding.


@pytest.mark.parametrize(
    ("path", "value", "now"),
    [
        ("people.size", 20_000, lambda s: s.people.size == 20_000),
        ("schemes.0.team_size", 2, lambda s: s.schemes[0].team_size == 2),
        ("schemes.group_buy.discount", "20%", lambda s: s.schemes[0].discount == 0.2),
        ("schemes.coupon.budget", "99 yuan", lambda s: s.schemes[1].budget == 9900),
        ("people.conformity.mean", 2.0, lambda s: (s.people.conformity.mean, s.people.conformity.sigma) == (2.0, 0.5)),
        ("stacking.order.1", "group_buy", None),
        ("people.network.mean_degree", 6.0, lambda s: s.people.network.mean_degree == 6.0),
        ("schemes", [], lambda s: s.schemes == []),
        ("kols", {"count": 2}, lambda s: s.kols.count == 2),
    ],
)
def test_override_changes_one_value(path, value, now):
    scenario = Scenario.from_dict({"schemes": [{"kind": "group_buy"}, {"kind": "coupon", "amount": 5}]})
    if now is None:  # the path is right, but the value makes no sense beside the rest
        with pytest.raises(ScenarioValueError, match="2 times"):
            scenario.override({path: value})
        return
    before = scenario.digest
    assert now(scenario.override({path: value}))
    assert scenario.digest == before


def test_overridden_mapping_is_replaced_as_a_whole():
    scenario = Scenario.from_dict({"people": {"network": {"kind": "watts_strogatz", "mean_degree": 8, "rewire": 0.1}}})
    changed = scenario.override({"people.network": {"kind": "barabasi_albert", "mean_degree": 10}})
    assert changed.people.network.kind == "barabasi_albert"


def test_overrides_apply_in_order():
    scenario = Scenario.from_dict({}).override({"schemes": [{"kind": "group_buy"}], "schemes.group_buy.team_size": 5})
    assert scenario.schemes[0].team_size == 5


def test_numpy_values_and_paths_are_welcome_in_python(tmp_path):
    numpy = pytest.importorskip("numpy")
    (tmp_path / "ties.csv").write_text(TIES, encoding="utf-8")
    network = {"kind": "edge_list", "file": tmp_path / "ties.csv"}
    scenario = Scenario.from_dict({"people": {"network": network, "size": numpy.int64(50)}})
    assert scenario.people.size == 50


def test_what_no_file_could_hold_is_refused():
    with pytest.raises(ScenarioError, match=r"people\.size: cannot be written in a scenario"):
        Scenario.from_dict({}).override({"people.size": object()})


def test_error_tells_file_line_path_and_suggestion_to_programs(folder):
    with pytest.raises(ScenarioValueError) as caught:
        load("horizon: 3d\npeople: {sise: 3}\n")
    error = caught.value
    assert (error.file, error.line, error.path, error.suggestion) == ("scenario.yaml", 2, "people.sise", "size")
    assert "size" in error.allowed


def test_what_only_a_run_can_find_out_is_told_with_its_place_in_the_file(folder):
    error = load("extends: base/base.yaml\n").error("schemes.0.team_size", "is larger than the town.")
    assert str(error) == "base/base.yaml:8: schemes.0.team_size: is larger than the town."


def test_scenario_beyond_the_memory_of_the_machine_is_refused():
    with pytest.raises(ScenarioSizeError, match="this machine has"):
        Scenario.from_dict({"people": {"size": 5_000_000, "network": {"kind": "complete"}}})


# The digest and the resolved file.


def test_digest_is_that_of_what_determines_a_run(folder):
    scenario = load("extends: base/base.yaml\n")
    assert re.fullmatch("[0-9a-f]{64}", scenario.digest) and scenario.digest.startswith(scenario.short_digest)
    same = {"name": "other", "question": "Why?", "sources": {}, "guardrails": [{"metric": "gmv", "min": 1.0}]}
    assert scenario.override(same).digest == scenario.digest
    assert scenario.override({"horizon": "720h"}).digest == scenario.digest
    assert scenario.override({"horizon": "31d"}).digest != scenario.digest


def test_digest_counts_data_files_by_content_and_not_by_name(folder):
    before = load("extends: base/base.yaml\n").digest
    Path("base/data/ties.csv").rename("base/data/friends.csv")
    moved = "extends: base/base.yaml\npeople: {network: {file: base/data/friends.csv}}\n"
    assert load(moved).digest == before
    Path("base/data/friends.csv").write_text(TIES + "2,3\n", encoding="utf-8")
    assert load(moved).digest != before


def test_a_default_written_out_does_not_change_the_digest():
    written = Scenario.from_dict({"tick": "60min", "people": {"network": {"mean_degree": 12}}})
    assert written.digest == Scenario.from_dict({}).digest


def test_resolved_file_loads_to_the_same_digest_even_from_elsewhere(folder):
    scenario = load("extends: base/base.yaml\nschemes: [{kind: coupon, amount: 5}, {kind: group_buy}]\n")
    Path("run").mkdir()
    resolved = scenario.to_yaml("run")
    assert "file: ../base/data/ties.csv" in resolved
    again = Scenario.load(write("run/scenario.yaml", resolved))
    assert again.digest == scenario.digest
    assert Scenario.load(write("copy.yaml", scenario.to_yaml())).digest == scenario.digest


@pytest.mark.parametrize("base", list(Starter))
def test_every_shipped_scenario_resolves_and_loads_again(base, folder):
    scenario = Scenario.load(SHIPPED / f"{base}.yaml")
    assert load(scenario.to_yaml()).digest == scenario.digest


@settings(max_examples=10)
@given(
    size=st.integers(1, 10**6),
    horizon=st.integers(1, 3650 * 24),
    share=st.floats(0, 1),
    fee=st.integers(0, 10**9),
    homophily=st.floats(0, 0.9),
)
def test_any_scenario_resolves_and_loads_again_to_the_same_digest(
    tmp_path_factory, size, horizon, share, fee, homophily
):
    people = {"size": size, "homophily": homophily, "members_at_start": share}
    scenario = Scenario.from_dict({"horizon": f"{horizon}h", "people": people, "kols": {"fee": fee / 100}})
    file = tmp_path_factory.mktemp("resolved") / "scenario.yaml"
    file.write_text(scenario.to_yaml(), encoding="utf-8")
    again = Scenario.load(file)
    assert again.config == scenario.override({"name": again.name}).config
    assert again.digest == scenario.digest


def test_scenario_travels_to_another_process(folder):
    scenario = load("extends: base/base.yaml\n")
    assert pickle.loads(pickle.dumps(scenario)).digest == scenario.digest


# Where values come from.


def test_assumptions_say_value_unit_source_and_where_they_were_set(folder):
    scenario = load("extends: base/base.yaml\npeople: {homophily: 0.5}\n")
    found = {parameter.path: parameter for parameter in scenario.assumptions()}
    stated = found["people.members_at_start"]
    assert (stated.value, stated.source, stated.is_default) == ("40%", "the annual report", False)
    assert stated.place == "base/base.yaml:6"
    default = found["people.trust.mean"]
    assert default.is_default and default.source and default.unit and not default.place
    assert found["people.homophily"].source == "set in scenario.yaml:2, no source given"


def test_every_value_of_the_resolved_file_is_a_parameter(folder):
    scenario = load("extends: base/base.yaml\n")
    paths = {parameter.path for parameter in scenario.parameters()}
    assert {"horizon", "schemes.0.team_size", "people.network.file", "catalog.stock.cover"} <= paths


# The commands.


def test_validate_says_a_few_facts_as_json(folder):
    network = "people={size: 500, network: {kind: erdos_renyi}}"
    result = CliRunner().invoke(app, ["validate", "base/base.yaml", "--set", network, "--json"])
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    facts = answer["files"][0]
    assert answer["ok"] and (facts["persons"], facts["ticks"], facts["schemes"]) == (500, 720, ["group_buy"])


def test_validate_says_one_tick_and_two_ticks(folder):
    for days, said in ((1, "100 persons on erdos_renyi, 1 tick of 1d, "), (2, ", 2 ticks of 1d, ")):
        text = f"horizon: {days}d\ntick: 1d\npeople: {{size: 100, network: {{kind: erdos_renyi}}}}\n"
        assert said in CliRunner().invoke(app, ["validate", write("short.yaml", text)]).stdout


def test_schema_is_json_schema_and_refers_only_to_itself():
    result = CliRunner().invoke(app, ["schema"])
    schema = json.loads(result.stdout)
    assert schema == json_schema() and schema["$schema"].endswith("2020-12/schema")
    references = set(re.findall(r'"\$ref": "#/\$defs/(\w+)"', result.stdout))
    assert references <= set(schema["$defs"])
    assert schema["properties"]["horizon"]["default"] == "90d"
    assert "extends" in schema["properties"] and "required" not in schema


@pytest.mark.parametrize("base", list(Starter))
def test_starter_is_a_scenario_that_runs_like_the_one_it_extends(base, folder):
    result = CliRunner().invoke(app, ["new", "mine", "--from", base, "--out", "deep/er"])
    assert result.exit_code == 0, result.output
    starter = Scenario.load("deep/er/mine.yaml")
    assert starter.name == "mine"
    assert starter.digest == Scenario.load(SHIPPED / f"{base}.yaml").digest


def test_starter_overwrites_nothing(folder):
    write("mine.yaml", "horizon: 1d\n")
    result = CliRunner().invoke(app, ["new", "mine"])
    assert result.exit_code == 2 and "mine.yaml: exists and is not overwritten" in result.stderr
    assert Path("mine.yaml").read_text(encoding="utf-8") == "horizon: 1d\n"


@pytest.mark.parametrize("name", ["../mine", "", "a b", "x" * 90, ".hidden"])
def test_starter_needs_a_name_that_is_one(name, folder):
    assert CliRunner().invoke(app, ["new", name]).exit_code == 2


def test_command_line_starts_without_the_engine():
    heavy = "{'numpy', 'pandas', 'numba', 'pydantic', 'ruamel.yaml', 'mesa', 'scipy'}"
    code = f"import sys, experiments.cli; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_empty_mapping_takes_away_what_a_base_says(folder):
    write("guarded.yaml", "risk: {accounts_per_device: 2, payout_freeze: 7d}\n")
    scenario = Scenario.load(write("open.yaml", "extends: guarded.yaml\nrisk: {}\n"))
    assert scenario.risk.accounts_per_device is None
    assert scenario.risk == Scenario.load(Path("guarded.yaml")).override({"risk": {}}).risk
