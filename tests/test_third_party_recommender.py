"""A recommender from another package works: everything that docs/write_a_recommender.md prints, installed and run."""

import json

import pytest

from sim.recommend import registry
from sim.testing import RecommenderContract
from tests.plug_ins import install, python, shopsim


@pytest.fixture(scope="module")
def plug_in(tmp_path_factory):
    return install("write_a_recommender.md", tmp_path_factory.mktemp("plug_in"), "earnings", "earners.yaml")


@pytest.mark.slow
def test_the_pages_own_tests_pass(plug_in):
    done = python(plug_in, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_earnings.py")
    assert done.returncode == 0, done.stdout
    assert "6 passed" in done.stdout


@pytest.mark.slow
def test_the_command_line_runs_a_registered_recommender_and_names_its_package(plug_in):
    done = shopsim(plug_in, "run", "earners.yaml", "--json", "--out", "out")
    assert done.returncode == 0, done.stderr
    dear = json.loads(done.stdout)["metrics"]["aov"]["mean"]
    assert json.loads((plug_in / "out" / "manifest.json").read_text())["engine"]["earnings"] == "0.1"
    other = shopsim(
        plug_in, "run", "earners.yaml", "--set", "recommendation.model=popularity", "--json", "--out", "other"
    )
    assert dear > 1.2 * json.loads(other.stdout)["metrics"]["aov"]["mean"]


@pytest.mark.slow
def test_a_name_that_nobody_registered_is_refused_with_the_names_there_are(plug_in):
    done = shopsim(plug_in, "validate", "earners.yaml", "--set", "recommendation.model=earning")
    assert done.returncode == 2
    assert "recommendation.model: must be one of" in done.stderr
    assert "Did you mean 'earnings'?" in done.stderr


def _contract(name):
    return type(f"Test{name.title()}", (RecommenderContract,), {"model": name})


globals().update({f"Test{name.title()}": _contract(name) for name in registry()})
