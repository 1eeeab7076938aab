"""A scheme from another package works: everything that docs/write_a_scheme.md prints, installed and run as printed."""

import json

import pytest

from tests.plug_ins import install, python, shopsim

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plug_in(tmp_path_factory):
    """Return a folder in which the plug-in is installed."""
    return install("write_a_scheme.md", tmp_path_factory.mktemp("plug_in"), "full_reduction", "ladder.yaml")


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
