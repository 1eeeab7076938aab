"""What the README prints works as printed."""

import re
from pathlib import Path

import pytest

from experiments.cli import app
from sim import Scenario

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")


def printed(language):
    """Return the README's one block of code in a language."""
    (block,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return block


def test_the_readme_names_every_command():
    commands = {command.callback.__name__ for command in app.registered_commands} | {
        group.name for group in app.registered_groups
    }
    assert set(re.findall(r"^\| `shopsim (\w+)", README, re.MULTILINE)) == commands


def test_files_that_the_readme_links_to_exist():
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).is_file()] == []


def test_the_readmes_scenario_is_one(tmp_path):
    file = tmp_path / "teams_of_two.yaml"
    file.write_text(printed("yaml").replace("extends: ", f"extends: {ROOT}/scenarios/"), encoding="utf-8")
    assert Scenario.load(file).schemes[0].team_size == 2


@pytest.mark.slow
def test_the_readmes_python_runs(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    exec(compile(printed("python"), "README.md", "exec"), {})
    assert "Team purchases of three at 15% off" in capsys.readouterr().out
