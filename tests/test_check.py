"""``shopsim baseline`` and ``shopsim check``: the file, what is refused, what is found, and how it ends."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner

import sim
from experiments import replication
from experiments.check.baseline import Baseline, default_tolerance, metrics_to_write
from experiments.cli import app
from experiments.outcome import RunResult
from sim import ScenarioError

SCENARIO = "name: shop\nhorizon: 14d\ntick: 1d\npeople: {members_at_start: 50%}\n"
FILE = Path("results/baselines/shop.json")


class Shop:
    """Stands in for the simulation: what it makes of a seed can be changed, as code changes."""

    def __init__(self):
        self.made = []
        self.growth, self.noise, self.failing = 1.0, 0.0, ()

    def __call__(self, scenario, seed, watch=None):
        self.made.append(seed)
        if seed in self.failing:
            raise ArithmeticError("the books do not balance")
        rng = np.random.default_rng(seed)
        gmv = 1000 + 50 * rng.normal()
        now = np.random.default_rng([seed, 1]).normal()
        members = 100 * scenario.config.people.members_at_start
        metrics = {
            "members": float(members), "gmv": gmv * self.growth + self.noise * now, "cac": float("nan"),
            "stockout_rate": rng.random(),
        }  # fmt: skip
        return RunResult(scenario.name, scenario.digest, seed, metrics, {}, {}, 0.1)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """Run commands in a folder with a scenario and its baseline of ten seeds."""
    made = Shop()
    monkeypatch.setattr(replication, "simulate", made)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.yaml").write_text(SCENARIO)
    assert shopsim("baseline", "shop.yaml").exit_code == 0
    made.made.clear()
    return made


def shopsim(command, *arguments):
    words = [command, *map(str, arguments), "--workers", "1", "--quiet"]
    return CliRunner().invoke(app, words, catch_exceptions=False)


def checked(*arguments):
    """Check with --json, and return the exit code and what was found."""
    done = shopsim("check", *arguments, "--json")
    return done.exit_code, json.loads(done.stdout)


def verdicts(*arguments):
    code, found = checked(*arguments)
    (one,) = found["baselines"]
    return code, {name: finding["verdict"] for name, finding in one["metrics"].items()}


def edit(change):
    """Change the baseline file as a person would."""
    content = json.loads(FILE.read_text())
    change(content)
    FILE.write_text(json.dumps(content, indent=2))


EQUAL = dict.fromkeys(("members", "gmv", "cac", "stockout_rate"), "equal")


# The file.


def test_the_file_reads_as_it_was_written_and_says_where_the_scenario_is(shop):
    baseline = Baseline.read(FILE)
    assert baseline.text() == FILE.read_text()
    assert baseline.content.scenario == "../../shop.yaml"
    assert baseline.source.read_text() == SCENARIO
    assert baseline.content.metrics["cac"].mean is None
    assert baseline.content.seeds == list(range(1, 11))
    assert json.loads(FILE.read_text())["metrics"]["gmv"]["values"] == baseline.content.metrics["gmv"].values


def test_a_metric_takes_two_lines_so_that_a_diff_names_it(shop):
    before = FILE.read_text().splitlines()
    shop.growth = 1.1
    shopsim("check", "--update")
    after = FILE.read_text().splitlines()
    changed = [line for line, old in zip(after, before, strict=True) if line != old]
    assert [line.split('"')[1] for line in changed] == ["outcome_digest", "seal", "gmv", "values"]


def test_writing_again_keeps_edited_tolerances_and_confidence(shop):
    edit(lambda content: content["metrics"]["gmv"]["tolerance"].update(relative=0.1))
    edit(lambda content: content.update(confidence=0.99))
    shop.growth = 1.2
    shopsim("baseline", "shop.yaml")
    content = Baseline.read(FILE).content
    assert (content.metrics["gmv"].tolerance.relative, content.confidence) == (0.1, 0.99)
    assert verdicts() == (0, EQUAL)


def test_writing_again_repairs_edited_values_and_refuses_what_it_cannot_read(shop):
    edit(edited_value)
    edit(lambda content: content["metrics"]["gmv"]["tolerance"].update(relative=0.1))
    assert shopsim("baseline", "shop.yaml").exit_code == 0
    assert Baseline.read(FILE).content.metrics["gmv"].tolerance.relative == 0.1
    edit(lambda content: content["metrics"]["gmv"]["tolerance"].update(relativ=0.1))
    text = FILE.read_text()
    assert shopsim("baseline", "shop.yaml").exit_code == 2
    assert FILE.read_text() == text


def test_only_the_wanted_metrics_are_written(shop):
    shopsim("baseline", "shop.yaml", "--metrics", "gmv, members", "--replicates", 3, "--out", "own/few.json")
    assert list(Baseline.read(Path("own/few.json")).content.metrics) == ["gmv", "members"]
    assert checked("own/few.json")[0] == 0
    with pytest.raises(ScenarioError, match=r"no metric 'gvm'\. Did you mean 'gmv'"):
        metrics_to_write(["gvm"], ["gmv"])


def test_a_misspelt_metric_costs_one_run(shop):
    done = shopsim("baseline", "shop.yaml", "--metrics", "gvm")
    assert done.exit_code == 2
    assert shop.made == [1]


def test_default_tolerances_follow_the_unit():
    assert default_tolerance("gmv").relative == default_tolerance("my_scheme.commission_paid").relative == 0.02
    assert default_tolerance("fraud_loss_share").around(0.0) == 0.0001
    assert default_tolerance("chain_levels").around(2) == 0
    assert default_tolerance("gmv").around(9.57) == pytest.approx(0.02 * 9.57), "a small shop gets no larger share"
    assert default_tolerance("unheard_of").around(100) == 2


def edited_value(content):
    content["metrics"]["gmv"]["values"][2] = content["metrics"]["gmv"]["values"][3]
    content["metrics"]["gmv"]["mean"] = float(f"{np.mean(content['metrics']['gmv']['values']):.10g}")


BROKEN = {
    "edited value": (edited_value, r"shop.json:\d+: outcome_digest: does not fit seeds and values: they were edited"),
    "edited seeds": (lambda c: c["seeds"].__setitem__(0, 77), "they were edited"),
    "edited mean": (
        lambda c: c["metrics"]["gmv"].update(mean=1.0),
        r"shop.json:\d+: metrics.gmv.mean: must be [0-9.]+, the mean of the values. Got 1",
    ),
    "lost value": (lambda c: c["metrics"]["gmv"]["values"].pop(), "metrics.gmv.values: must hold a value for each of"),
    "seed twice": (lambda c: c["seeds"].__setitem__(0, 2), "seeds: must not hold a seed twice"),
    "old format": (lambda c: c.update(format=0), r"shop.json:2: format: this shopsim reads format 2.*Got 0"),
    "unknown key": (lambda c: c.update(confidense=0.9), "confidense: is not a key here. Did you mean 'confidence'"),
    "bad tolerance": (lambda c: c["metrics"]["gmv"]["tolerance"].update(relative=-1), "tolerance.relative: must be"),
    "bad confidence": (lambda c: c.update(confidence=95), "confidence: must be"),
    "no metrics": (lambda c: c.update(metrics={}), "metrics"),
    "lost key": (lambda c: c.pop("seeds"), "seeds: is missing"),
    "other scenario": (lambda c: c.update(scenario="nowhere.yaml"), r"shop.json:\d+: seal: does not fit the file"),
    "edited set": (lambda c: c["set"].append("people.members_at_start=60%"), "seal: does not fit the file"),
    "edited version": (lambda c: c.update(version="0.0.1"), "seal: does not fit the file"),
    "edited digest": (lambda c: c.update(scenario_digest="0" * 64), "seal: does not fit the file"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_file_is_bad_input_and_nothing_runs(shop, how):
    change, message = BROKEN[how]
    edit(change)
    done = shopsim("check")
    assert done.exit_code == 2
    assert re.search(message, done.stderr), done.stderr
    assert str(FILE) in done.stderr
    assert not shop.made


def test_a_scenario_that_is_gone_is_bad_input(shop):
    Path("shop.yaml").unlink()
    done = shopsim("check")
    assert done.exit_code == 2
    assert "shop.yaml: there is no such file" in done.stderr


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 1', "\x00"])
def test_what_is_no_baseline_at_all_is_bad_input(shop, text):
    FILE.write_text(text)
    done = shopsim("check")
    assert done.exit_code == 2
    assert str(FILE) in done.stderr
    assert len(done.stderr.strip().splitlines()) < 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.json"], "nowhere.json: there is no such file"),
        (["--replicates", 50], "--replicates: must be at most 10, the seeds of .*--replicates 50"),
        (["--until-decided", 11], "--until-decided: must be at most 10"),
        (["--seeds-from", 5], "--seeds-from: must leave out the seeds of .*such as 5"),
        (["--seeds-from", 2**32 - 3], "--seeds-from: must leave room for 10 seeds"),
        (["--update", "--seeds-from", 50], "--update: rewrites each baseline with its own seeds"),
        (["--update", "--set", "horizon=7d"], "--update: rewrites"),
        (["--set", "people.sise=3"], "people.sise: is not a key here. Did you mean 'size'"),
        (["--junit", "."], "cannot be written"),
    ],
)
def test_bad_requests_are_refused_before_anything_runs(shop, arguments, message):
    done = shopsim("check", *arguments)
    assert done.exit_code == 2
    assert re.search(message, done.stderr.replace("\n", " ")), done.stderr
    assert not shop.made


def test_no_baseline_is_bad_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = shopsim("check")
    assert done.exit_code == 2
    assert "write one with shopsim baseline" in done.stderr


# What is found.


def test_an_unchanged_tree_is_equal_and_never_looked_up(shop):
    assert verdicts() == (0, EQUAL)
    assert shop.made == list(range(1, 11))
    assert "all 4 metrics are equal" in shopsim("check").stdout


def test_a_five_percent_move_fails_and_names_the_metric(shop):
    shop.growth = 1.05
    code, found = verdicts()
    assert (code, found) == (1, EQUAL | {"gmv": "changed"})
    printed = shopsim("check").stdout
    assert re.search(r"gmv +\d.*\+5.0%.*changed", printed)
    assert "0 of 1 baselines hold" in printed


def test_a_move_within_the_tolerance_passes_and_a_tolerance_can_be_edited(shop):
    shop.growth = 1.01
    assert verdicts() == (0, EQUAL | {"gmv": "equivalent"})
    edit(lambda content: content["metrics"]["gmv"].update(tolerance={"relative": 0.001}))
    assert verdicts() == (1, EQUAL | {"gmv": "changed"})


def test_what_is_undecided_passes_unless_strict_and_says_what_it_needs(shop):
    shop.noise = 60
    code, found = checked()
    gmv = found["baselines"][0]["metrics"]["gmv"]
    assert (code, gmv["verdict"]) == (0, "undecided")
    assert gmv["needed"] > 10
    assert checked("--strict")[0] == 1
    printed = shopsim("check", "--markdown", "comment.md").stdout
    assert f"undecided: needs about {gmv['needed']} replicates" in printed
    assert printed.endswith("? no metric shown to have changed; 1 undecided\n")
    assert Path("comment.md").read_text().startswith("### ❔ shopsim check: no metric shown to have changed; 1 und")
    assert "0 of 1 baselines hold: no metric shown to have changed" in shopsim("check", "--strict").stdout


def test_scenario_stands_for_its_baseline(shop):
    assert checked("shop.yaml")[1]["baselines"][0]["baseline"] == str(FILE)
    Path("other.yaml").write_text(SCENARIO.replace("name: shop", "name: other"))
    done = shopsim("check", "other.yaml")
    assert done.exit_code == 2
    assert "other.json" in done.stderr


def test_more_seeds_are_run_only_until_everything_is_decided(shop):
    assert verdicts("--until-decided", 10) == (0, EQUAL)
    assert shop.made == [1, 2, 3, 4, 5]
    shop.made.clear()
    shop.noise = 60
    assert verdicts("--until-decided", 10)[1]["gmv"] == "undecided"
    assert shop.made == list(range(1, 11))


def test_other_seeds_are_compared_unpaired(shop):
    code, found = checked("--seeds-from", 101)
    (one,) = found["baselines"]
    assert (code, one["paired"], one["seeds"]) == (0, False, list(range(101, 111)))
    assert one["metrics"]["gmv"]["verdict"] == "undecided"
    assert one["metrics"]["members"]["verdict"] == "equivalent"
    shop.growth = 1.5
    assert verdicts("--seeds-from", 101)[0] == 1


def test_a_changed_scenario_is_named_as_such(shop):
    Path("shop.yaml").write_text(SCENARIO.replace("50%", "60%"))
    done = shopsim("check")
    assert done.exit_code == 1
    assert re.search(r"members .*50.*60.*changed", done.stdout)
    assert "The scenario is not that of the baseline" in done.stdout


def test_another_version_is_named_as_such(shop, monkeypatch):
    monkeypatch.setattr(sim, "__version__", "99.0")
    assert re.search("The baseline is of shopsim .*, and this is 99.0", shopsim("check").stdout)


def test_trying_a_change_leaves_the_baseline_as_it_is(shop):
    before = FILE.read_text()
    assert verdicts("--set", "people.members_at_start=60%") == (1, EQUAL | {"members": "changed"})
    assert FILE.read_text() == before


def test_update_accepts_what_is_found_and_says_what_moved(shop):
    shop.growth = 1.05
    code, found = checked("--update")
    (update,) = found["updated"]
    assert (code, update["rewritten"], list(update["moved"])) == (0, True, ["gmv"])
    assert update["moved"]["gmv"]["difference"] == pytest.approx(0.05 * update["moved"]["gmv"]["before"])
    assert verdicts() == (0, EQUAL)
    assert "as it was" in shopsim("check", "--update").stdout


def test_a_run_that_fails_fails_the_check_and_is_never_written_down(shop):
    shop.failing = (3,)
    before = FILE.read_text()
    code, found = checked("--update")
    assert (code, found["baselines"][0]["state"]) == (1, "failed")
    assert found["baselines"][0]["failures"] == [{"seed": 3, "reason": "ArithmeticError: the books do not balance"}]
    assert FILE.read_text() == before
    assert shopsim("baseline", "shop.yaml").exit_code == 1
    shop.failing = range(1, 11)
    assert shopsim("check").exit_code == 1


def test_ctrl_c_writes_nothing_and_exits_with_130(shop, monkeypatch):
    def interrupt(scenario, seed, watch=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(replication, "simulate", interrupt)
    before = FILE.read_text()
    for command in (["check", "--update"], ["baseline", "shop.yaml"]):
        done = shopsim(*command)
        assert done.exit_code == 130
        assert "interrupted" in done.stderr
    assert FILE.read_text() == before


def test_junit_counts_changed_metrics_as_failures_and_undecided_ones_as_skipped(shop):
    shop.growth, shop.noise = 1.05, 5
    shopsim("baseline", "shop.yaml", "--out", "second.json")
    shop.growth, shop.noise, shop.failing = 1.0, 60, (2,)
    shopsim("check", "second.json", "--junit", "out/junit.xml")
    (suite,) = ElementTree.parse("out/junit.xml").getroot()
    assert (suite.get("tests"), suite.get("errors")) == ("5", "1")
    cases = {case.get("name"): [child.tag for child in case] for case in suite}
    assert cases["members"] == []
    assert cases["seed 2"] == ["error"]
    assert cases["gmv"] in (["failure"], ["skipped"])
    assert int(suite.get("failures")) + int(suite.get("skipped")) == 1


def test_markdown_shows_what_moved_and_lets_no_markup_through(shop):
    shop.growth = 1.05
    shopsim("check", "--markdown", "comment.md")
    text = Path("comment.md").read_text()
    assert text.startswith("### ❌ shopsim check: 0 of 1 baselines hold")
    (row,) = re.findall(r"^\| gmv .*$", text, re.MULTILINE)
    assert row.count("|") == 8
    assert "changed" in row
    shopsim("baseline", "shop.yaml", "--out", "a_b<i>|.json")
    shopsim("check", "a_b<i>|.json", "--markdown", "comment.md")
    assert r"**a\_b\<i\>\|**" in Path("comment.md").read_text()


# What the documentation says.

DOCS = Path(__file__).parents[1] / "docs"


def options_of(text, command):
    return set(re.findall(r"--[a-z-]+", " ".join(re.findall(rf"shopsim {command} (.*)", text))))


@pytest.mark.parametrize("file", ["regression.md", "workflows/shopsim.yml"])
@pytest.mark.parametrize("command", ["check", "baseline"])
def test_options_in_the_documentation_exist(file, command):
    registered = typer.main.get_command(app).commands[command]
    known = {name for parameter in registered.params for name in parameter.opts}
    assert options_of((DOCS / file).read_text("utf-8"), command) <= known


def test_the_workflow_checks_strictly_and_reports_where_it_looks():
    workflow = YAML(typ="safe").load(DOCS / "workflows/shopsim.yml")
    steps = workflow["jobs"]["check"]["steps"]
    (check,) = [step["run"] for step in steps if "shopsim check --strict" in step.get("run", "")]
    kept = next(step for step in steps if "upload-artifact" in step.get("uses", ""))["with"]["path"]
    assert {"shopsim.xml", "shopsim.md"} <= set(check.split()) & set(kept.split())
