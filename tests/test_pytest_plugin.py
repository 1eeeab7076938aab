"""The pytest plugin, as it works in someone else's repository."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import experiments.comparison  # noqa: F401  see `imported`
from experiments import replicate
from experiments.check import command
from experiments.check.baseline import Baseline
from sim import Scenario

pytest_plugins = "pytester"
SCENARIO = """
horizon: 5d
tick: 1d
people: {size: 60, network: {kind: watts_strogatz, mean_degree: 4, rewire: 0.1}, members_at_start: 50%}
catalog: {merchants: 2, products: 10}
recommendation: {model: popularity}
fraud: {rings: 0}
"""


@pytest.fixture(scope="module", autouse=True)
def imported(tmp_path_factory):
    """Import everything that a run imports: pytester forgets what a test imports, and igraph cannot start twice."""
    file = tmp_path_factory.mktemp("first") / "shop.yaml"
    file.write_text(SCENARIO)
    replicate(Scenario.load(file), [1])


@pytest.fixture
def repository(pytester, monkeypatch):
    """Make a repository with a scenario; return a function that runs a test file in it."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # whether the entry point is installed or not
    pytester.makefile(".yaml", shop=SCENARIO)

    def run(source, *arguments):
        pytester.makepyfile(source)
        return pytester.runpytest_inprocess("-p", "experiments.check.plugin", "--strict-markers", *arguments)

    return run


def test_a_marked_test_gets_the_runs_of_its_scenario(repository):
    repository("""
        import pytest

        @pytest.mark.shopsim(scenario="shop.yaml", replicates=2, seed=5, changes={"horizon": "4d"})
        def test_members(shopsim_run):
            assert shopsim_run.seeds == [5, 6]
            assert shopsim_run.scenario.horizon == 96
            assert shopsim_run.frame()["members"].between(1, 60).all()
            shopsim_run.holds("members", max=100)
    """).assert_outcomes(passed=1)


def test_a_broken_bound_fails_with_the_metric_its_mean_and_its_limit(repository):
    result = repository("""
        import pytest

        pytestmark = pytest.mark.shopsim("shop.yaml", replicates=3)

        def test_too_many(shopsim_run):
            shopsim_run.holds("members", max=3)

        def test_misspelt(shopsim_run):
            shopsim_run.holds("membres", max=3)

        def test_no_bound(shopsim_run):
            shopsim_run.holds("members")
    """)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["members of shop is * over 3 replicates; max 3: fail, its one-sided 95% limit is *"])
    result.stdout.fnmatch_lines(["*no metric 'membres'; did you mean 'members'?*", "*needs min, max or both*"])
    assert "guardrails.py" not in result.stdout.str()


def test_two_scenarios_are_compared_with_the_same_seeds(repository):
    result = repository("""
        import pytest

        pytestmark = pytest.mark.shopsim(scenario="shop.yaml", replicates=3)

        def test_more_members_at_start(shopsim_compare):
            pair = shopsim_compare(changes={"people.members_at_start": "90%"})
            pair.shows("members", "better")
            assert pair.effects().loc["members", "mean_difference"] > 5
            shopsim_compare("shop.yaml").shows("members", "same")

        def test_wrong(shopsim_compare):
            shopsim_compare(changes={"people.members_at_start": "90%"}).shows("members", "worse")
    """)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["members: * in shop, * in shop-2, difference *3 pairs): better, and not worse"])


def test_each_run_is_made_once_in_a_session(repository):
    repository("""
        import pytest
        from experiments import replication

        made = []

        @pytest.fixture(autouse=True)
        def counted(monkeypatch):
            simulate = replication.simulate
            def counting(scenario, seed, watch=None):
                made.append(seed)
                return simulate(scenario, seed, watch)
            monkeypatch.setattr(replication, "simulate", counting)

        pytestmark = pytest.mark.shopsim(scenario="shop.yaml", replicates=2)

        def test_first(shopsim_run):
            assert made == [1, 2]

        @pytest.mark.shopsim(scenario="shop.yaml", replicates=3)
        def test_second(shopsim_run):
            assert made == [1, 2, 3]
    """).assert_outcomes(passed=2)


def test_a_baseline_that_does_not_hold_fails_the_test_and_names_the_metric(repository, pytester):
    source, file = Path(pytester.path, "shop.yaml"), Path(pytester.path, "shop.json")
    assert command.baseline(source, [], range(1, 11), ["members", "gmv"], file, command.Work(1, quiet=True)) == 0
    test = """
        def test_baseline(shopsim_check):
            shopsim_check("shop.json")
    """
    repository(test).assert_outcomes(passed=1)
    before = Baseline.read(file).content.metrics["members"].mean
    source.write_text(SCENARIO.replace("50%", "80%"))
    result = repository(test)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"*  members: {before:.1f}* before, * now, difference *: changed"])


def test_a_test_without_its_marker_or_with_a_wrong_one_is_told(repository):
    result = repository("""
        import pytest

        def test_unmarked(shopsim_run):
            pass

        @pytest.mark.shopsim(scenario="shop.yaml", replicate=3)
        def test_misspelt(shopsim_run):
            pass
    """)
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["*needs @pytest.mark.shopsim(scenario=...)*", "*the marker takes shopsim(scenario,*"])


def test_a_scenario_that_fails_fails_the_test_with_its_traceback(repository):
    result = repository("""
        import pytest
        from experiments import replication

        def broken(scenario, seed, watch=None):
            raise ArithmeticError("the books do not balance")

        @pytest.mark.shopsim(scenario="shop.yaml")
        def test_it(monkeypatch, request):
            monkeypatch.setattr(replication, "simulate", broken)
            request.getfixturevalue("shopsim_run")
    """)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*shop with seed 1 failed twice:*", "*ArithmeticError: the books do not balance*"])


def test_the_marker_is_explained(repository):
    result = repository("", "--markers")
    result.stdout.fnmatch_lines(["@pytest.mark.shopsim(scenario, replicates=4, seed=1, changes=None, workers=1): *"])


def test_loading_the_plugin_imports_nothing_heavy():
    code = "import sys; before = set(sys.modules); import pytest, experiments.check.plugin; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    heavy = ("numpy", "pandas", "numba", "scipy", "statsmodels", "pydantic", "mesa", "rich", "sim.scenario", "sim.shop")
    assert [name for name in heavy if name in loaded] == []


def test_pytest_finds_the_plugin_by_its_entry_point():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["entry-points"]["pytest11"] == {"shopsim": "experiments.check.plugin"}


def test_a_scenario_object_will_do(repository):
    repository("""
        import pytest
        from sim import Scenario

        @pytest.mark.shopsim(scenario=Scenario.load("shop.yaml"), replicates=1)
        def test_it(shopsim_run):
            assert len(shopsim_run.results) == 1
    """).assert_outcomes(passed=1)
