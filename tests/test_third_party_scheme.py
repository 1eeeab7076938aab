"""A scheme from another package works: everything that docs/write_a_scheme.md prints, installed and run as printed."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
PAGE = Path(__file__).parents[1] / "docs" / "write_a_scheme.md"


def printed(language):
    """Return the page's blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def plug_in(tmp_path_factory):
    """Return a folder in which the plug-in is installed, for whoever has it on their path."""
    folder = tmp_path_factory.mktemp("plug_in")
    scheme, tests = printed("python")
    (metadata,), (scenario,) = printed("toml"), printed("yaml")
    (folder / "full_reduction.py").write_text(scheme, encoding="utf-8")
    (folder / "test_full_reduction.py").write_text(tests, encoding="utf-8")
    (folder / "ladder.yaml").write_text(scenario, encoding="utf-8")
    project = tomllib.loads(metadata)["project"]
    installed = folder / f"full_reduction-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    points = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (installed / "entry_points.txt").write_text("".join(points))
    return folder


def python(folder, *arguments):
    paths = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": paths}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def shopsim(folder, *arguments):
    return python(folder, "-c", "from experiments.cli import app; app()", *arguments)


def test_the_tutorials_own_tests_pass(plug_in):
    done = python(plug_in, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_full_reduction.py")
    assert done.returncode == 0, done.stdout


def test_the_command_line_runs_a_registered_scheme_and_names_its_package(plug_in):
    done = shopsim(
        plug_in, "run", "ladder.yaml", "--set", "schemes.full_reduction.tiers.0.off=5", "--json", "--out", "out"
    )
    assert done.returncode == 0, done.stderr
    metrics = json.loads(done.stdout)["metrics"]
    assert metrics["full_reduction_orders"]["mean"] > 0
    assert 0 < metrics["full_reduction_cost"]["mean"] == metrics["incentive_cost"]["mean"] <= 5000
    assert json.loads((plug_in / "out" / "manifest.json").read_text())["engine"]["full-reduction"] == "0.1"


def test_a_registered_schemes_mistakes_are_reported_like_any_others(plug_in):
    done = shopsim(plug_in, "validate", "ladder.yaml", "--set", "schemes.0.tiers=[{spend: 100, of: 8}]")
    assert done.returncode == 2
    assert "schemes.0.tiers.0.of: is not a key here. Did you mean 'off'?" in done.stderr
