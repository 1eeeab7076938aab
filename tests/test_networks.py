"""Generated networks are what their names say, and like the network that they imitate."""

import random
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from pydantic import TypeAdapter, ValidationError
from scipy import stats

from sim.core import generators
from sim.core.graph import Graph
from sim.core.likeness import like
from sim.core.networks import NetworkConfig, build

DATA = Path(__file__).parents[1] / "scenarios" / "data"
SECTION = TypeAdapter(NetworkConfig)
KINDS = [
    {"kind": "edge_list", "file": str(DATA / "lastfm_asia.csv.gz")},
    {"kind": "erdos_renyi", "mean_degree": 8},
    {"kind": "barabasi_albert", "mean_degree": 7.5},
    {"kind": "watts_strogatz", "mean_degree": 8, "rewire": "20%"},
    {"kind": "power_law_cluster", "mean_degree": 9, "clustering": 0.25},
    {"kind": "stochastic_block", "communities": 5, "mean_degree": 8, "within": 0.8},
    {"kind": "degree_corrected_block", "communities": 5, "mean_degree": 8, "within": 0.8},
    {"kind": "configuration", "degrees": [1, 2, 2, 3, 8]},
    {"kind": "complete"},
]
rng = np.random.default_rng


@pytest.fixture(scope="module")
def lastfm():
    return Graph.read(DATA / "lastfm_asia.csv.gz")


def made(persons, seed=1, **section):
    return build(SECTION.validate_python(section), persons, rng(seed))


def share_within(graph, communities):
    source, target = graph.pairs()
    return (source * communities // graph.persons == target * communities // graph.persons).mean()


@pytest.mark.parametrize("section", KINDS, ids=lambda section: section["kind"])
def test_every_kind_gives_the_persons_asked_for_and_the_same_ties_from_the_same_seed(section):
    state = random.getstate()
    graph, again, other = (made(600, seed, **section) for seed in (4, 4, 5))
    assert graph.persons == 600
    assert graph.ties > 0
    np.testing.assert_array_equal(graph.indices, again.indices)
    np.testing.assert_array_equal(graph.strength, again.strength)
    assert graph.notes == again.notes
    assert section["kind"] == "complete" or not np.array_equal(graph.indices, other.indices)
    assert random.getstate() == state
    if "mean_degree" in section:
        assert graph.degree.mean() == pytest.approx(section["mean_degree"], rel=0.06)


def test_persons_are_as_many_as_the_section_knows_of_if_nobody_says():
    assert made(None, **KINDS[0]).persons == 7624
    assert made(None, kind="configuration", degrees=[1, 1, 2, 2]).persons == 4
    assert made(None, kind="erdos_renyi").persons == 10_000


def test_an_edge_list_at_its_own_size_is_the_file_itself(lastfm):
    np.testing.assert_array_equal(made(7624, **KINDS[0]).indices, lastfm.indices)
    assert made(500, **KINDS[0]).notes[0].startswith("generated like a network of 7624 persons")


def test_erdos_renyi_degrees_are_poisson():
    degree = generators.erdos_renyi(20_000, 6, rng(1)).degree
    assert degree.mean() == 6
    observed = np.bincount(degree, minlength=20)[:16]
    expected = stats.poisson(6).pmf(np.arange(16)) * 20_000
    assert stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue > 1e-4


def test_barabasi_albert_has_the_tail_of_preferential_attachment():
    degree = generators.barabasi_albert(20_000, 6, rng(1)).degree
    # Share of degree k or more is m (m + 1) / (k (k + 1)), with m = 3 ties a newcomer (Dorogovtsev et al. 2000).
    for k in (5, 10, 20):
        assert (degree >= k).mean() == pytest.approx(12 / (k * (k + 1)), rel=0.12)
    assert degree.min() >= 1


def test_watts_strogatz_clustering_falls_as_ties_are_led_elsewhere():
    for rewire in (0.0, 0.3):
        clustering = generators.watts_strogatz(4000, 8, rewire, rng(1)).statistics()["clustering"]
        assert clustering == pytest.approx(9 / 14 * (1 - rewire) ** 3, abs=0.02)  # Barrat & Weigt 2000


@pytest.mark.parametrize("triangle_probability", [0.0, 0.5, 1.0])
def test_holme_kim_networks_are_like_those_of_networkx(triangle_probability, monkeypatch):
    # networkx 3 tries those drawn by preference in the order of a set, oldest first; Holme & Kim do not.
    drawn = nx.generators.random_graphs._random_subset
    monkeypatch.setattr(
        nx.generators.random_graphs,
        "_random_subset",
        lambda likely, m, draws: draws.sample(sorted(drawn(likely, m, draws)), m),
    )
    ours, theirs = [], []
    for seed in range(3):
        source, target = generators._grow(np.full(1500, 4), triangle_probability, rng(seed))
        ours.append(Graph.from_edges(source, target, 1500))
        theirs.append(Graph.of(nx.powerlaw_cluster_graph(1500, 4, triangle_probability, seed=seed)))
    assert ours[0].ties == 1496 * 4
    for name, tolerance in (("clustering", 0.05), ("transitivity", 0.1)):
        mean = [np.mean([graph.statistics()[name] for graph in graphs]) for graphs in (ours, theirs)]
        assert mean[0] == pytest.approx(mean[1], rel=tolerance, abs=0.01)
    tails = [np.mean([(graph.degree >= 20).mean() for graph in graphs]) for graphs in (ours, theirs)]
    assert tails[0] == pytest.approx(tails[1], rel=0.15)


@pytest.mark.parametrize("clustering", [0.1, 0.2, 0.35])
def test_power_law_cluster_has_the_clustering_asked_for(clustering):
    graph = generators.power_law_cluster(5000, 12, clustering, rng(2))
    assert graph.statistics()["clustering"] == pytest.approx(clustering, abs=0.01)
    assert graph.degree.mean() == pytest.approx(12, rel=0.01)


def test_calibrating_on_a_smaller_network_misses_little(monkeypatch):
    monkeypatch.setattr(generators, "_PILOT", 4000)
    graph = generators.power_law_cluster(40_000, 8, 0.3, rng(2))
    assert graph.statistics()["clustering"] == pytest.approx(0.3, abs=0.02)


def test_stochastic_blocks_have_the_share_of_ties_inside_that_was_asked_for():
    graph = generators.stochastic_block(6000, 12, 10, 0.75, rng(1))
    assert share_within(graph, 12) == pytest.approx(0.75, abs=0.01)  # 4 standard errors
    assert graph.degree.mean() == pytest.approx(10, rel=0.02)
    assert graph.degree.var() == pytest.approx(10, rel=0.1)
    alone = generators.stochastic_block(200, 1, 10, 1.0, rng(1))
    assert alone.degree.mean() == pytest.approx(10, rel=0.1)


def test_degree_corrected_blocks_have_log_normal_degrees_and_communities():
    graph = generators.degree_corrected_block(6000, 12, 30, 0.75, 0.8, rng(1))
    assert share_within(graph, 12) == pytest.approx(0.75, abs=0.01)
    assert graph.degree.mean() == pytest.approx(30, rel=0.01)
    assert np.log(graph.degree[graph.degree > 0]).std() == pytest.approx(0.8, rel=0.05)
    assert generators.degree_corrected_block(500, 1, 5, 1.0, 0.0, rng(1)).degree.max() <= 6


def test_configuration_gives_everyone_the_degree_stated():
    degrees = np.array([5, 1, 2, 2, 3, 1, 4, 2, 0])
    graph = generators.configuration(degrees, None, rng(1))
    np.testing.assert_array_equal(graph.degree, degrees)


def _even(degrees):
    degrees[np.argmax(degrees)] -= degrees.sum() % 2
    return degrees


HEAVY_TAILED = {
    "star": np.array([60] + 60 * [1]),
    "zipf 2.2": _even(rng(1).zipf(2.2, 2000).clip(1, 100)),
    "zipf 2.5": _even(rng(1).zipf(2.5, 5000).clip(1, 200)),
}


@pytest.mark.parametrize("degrees", HEAVY_TAILED.values(), ids=HEAVY_TAILED)
def test_configuration_gives_heavy_tailed_degrees_too(degrees):
    # In a process of its own, which can be ended: the loop this is about does not hear an interrupt.
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        made = pool.submit(generators.configuration, degrees, None, rng(1))
        try:
            graph = made.result(timeout=60)
        except TimeoutError:
            for process in list(pool._processes.values()):
                process.kill()
            raise
    np.testing.assert_array_equal(graph.degree, degrees)


def test_configuration_is_as_random_as_the_degrees_let_it_be():
    degrees = _even(rng(3).poisson(6, 2000) + 1)
    measures = [generators.configuration(degrees, None, rng(seed)).statistics() for seed in range(20)]
    assortativity = np.mean([measure["assortativity"] for measure in measures])
    assert assortativity == pytest.approx(0, abs=0.015)  # 4 standard errors
    # Newman 2010, eq. 13.46: ((<k^2> - <k>)^2 / <k>^3) / n
    transitivity = (np.mean(degrees**2) - degrees.mean()) ** 2 / degrees.mean() ** 3 / degrees.size
    assert np.mean([measure["transitivity"] for measure in measures]) == pytest.approx(transitivity, rel=0.12)
    ties = [set(zip(*generators.configuration(degrees, None, rng(seed)).pairs(), strict=True)) for seed in (1, 2)]
    expected = np.square(np.outer(degrees, degrees) / degrees.sum()).sum() / 2  # ties that two such networks share
    assert len(ties[0] & ties[1]) == pytest.approx(expected, abs=4 * np.sqrt(expected))


def test_configuration_at_another_size_keeps_the_distribution():
    degrees = np.concatenate([np.full(60, 1), np.full(30, 4), np.full(10, 9)])
    counts = np.bincount(generators.configuration(degrees, 1000, rng(1)).degree, minlength=10)
    assert counts[[1, 4, 9]].tolist() == [600, 300, 100]
    smaller = np.bincount(generators.configuration(degrees, 50, rng(1)).degree, minlength=10)
    np.testing.assert_allclose(smaller[[1, 4, 9]], [30, 15, 5], atol=1)


def test_degrees_are_read_from_a_file(tmp_path):
    path = tmp_path / "degrees.csv"
    path.write_text("degree\n2\n1\n1\n")
    assert made(None, kind="configuration", file=str(path)).degree.tolist() == [2, 1, 1]


def test_in_a_complete_network_everyone_knows_everyone():
    graph = generators.complete(7)
    assert [graph.neighbours(i).tolist() for i in range(7)] == [[j for j in range(7) if j != i] for i in range(7)]
    np.testing.assert_array_equal(graph.strength, Graph(graph.indptr, graph.indices, "overlap").strength)
    assert generators.complete(1).ties == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: generators.erdos_renyi(10, 12, rng(1)), "mean_degree must be at most 9 among 10 persons. Got 12"),
        (lambda: generators.barabasi_albert(3, 12, rng(1)), "mean_degree must be at most 2"),
        (lambda: generators.watts_strogatz(8, 8, 0.1, rng(1)), "mean_degree must be at most 7"),
        (
            lambda: generators.power_law_cluster(2000, 12, 0.7, rng(1)),
            r"clustering must be from 0\.0\d to 0\.\d\d .*0\.7",
        ),
        (lambda: generators.stochastic_block(100, 50, 12, 0.9, rng(1)), "540 ties within 50 communities of 100"),
        (lambda: generators.stochastic_block(100, 1, 12, 0.9, rng(1)), "60 ties between 1 communities"),
        (lambda: generators.stochastic_block(10, 50, 1, 0.9, rng(1)), "communities must be at most 10"),
        (lambda: generators.degree_corrected_block(100, 5, 4, 0.1, 1, rng(1)), "within must be at least 0.2, 1 / comm"),
        (lambda: generators.configuration([1, 1, 1], None, rng(1)), "3 persons has these degrees: their sum is odd"),
        (lambda: generators.configuration([5, 1, 1, 1], None, rng(1)), "some are too large for the others"),
    ],
)
def test_a_network_that_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_mean_degree_that_is_missed_is_noted():
    assert made(8, kind="barabasi_albert", mean_degree=6).notes[-1].endswith("; 6 was asked for")
    assert made(1000, kind="barabasi_albert", mean_degree=6).notes == []


@pytest.mark.parametrize(
    "section",
    [
        {"kind": "small_world"},
        {"kind": "erdos_renyi", "mean_degree": 0},
        {"kind": "erdos_renyi", "rewire": 0.1},
        {"kind": "watts_strogatz", "mean_degree": 7},
        {"kind": "power_law_cluster", "clustering": 1.5},
        {"kind": "configuration"},
        {"kind": "configuration", "degrees": [1, 1], "file": "degrees.csv"},
        {"kind": "configuration", "degrees": [1, -1]},
        {"kind": "edge_list"},
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section):
    with pytest.raises(ValidationError):
        SECTION.validate_python(section)


@pytest.mark.parametrize("persons", [3000, 7624, 16_000])
def test_a_network_of_another_size_is_like_the_one_given(lastfm, persons):
    graph, given = like(lastfm, persons, rng(1)), lastfm.statistics()
    ours = graph.statistics()
    assert ours["persons"] == persons
    assert ours["mean_degree"] == pytest.approx(given["mean_degree"], rel=0.02)
    assert ours["clustering"] == pytest.approx(given["clustering"], abs=0.03)
    assert ours["transitivity"] == pytest.approx(given["transitivity"], abs=0.06)
    assert ours["isolated"] == given["isolated"]
    middle, theirs = (np.quantile(g.degree, [0.1, 0.25, 0.5, 0.75, 0.9, 0.99]) for g in (graph, lastfm))
    np.testing.assert_allclose(middle, theirs, rtol=0.05, atol=1)
    assert f"clustering {ours['clustering']:.4g} ({given['clustering']:.4g})" in graph.notes[0]


def test_a_network_twice_as_large_has_twice_as_many_communities_as_large(lastfm):
    graph = like(lastfm, 2 * lastfm.persons, rng(1))
    ours, theirs = graph.communities(), lastfm.communities()
    modularity = [g.to_igraph().modularity(c.tolist()) for g, c in ((graph, ours), (lastfm, theirs))]
    assert modularity[0] > modularity[1] - 0.03
    large = [np.bincount(c).max() for c in (ours, theirs)]
    assert large[0] == pytest.approx(large[1], rel=0.35)


def test_degrees_are_kept_exactly_where_each_person_is_imitated_once(lastfm):
    graph = like(lastfm, lastfm.persons, rng(2))
    np.testing.assert_array_equal(np.sort(graph.degree), np.sort(lastfm.degree))
    assert len(graph.notes) == 1  # no tie end was left


def test_persons_without_ties_are_imitated_too():
    given = Graph.of(nx.karate_club_graph()).with_isolated(34)
    graph = like(given, 680, rng(1))
    assert graph.statistics()["isolated"] == pytest.approx(0.5, abs=0.01)


def test_what_cannot_be_imitated_is_refused(lastfm):
    with pytest.raises(ValueError, match="only an undirected network with ties"):
        like(Graph.from_edges([0], [1], directed=True), 10, rng(1))
    with pytest.raises(ValueError, match="only an undirected network with ties"):
        like(Graph.from_edges([], [], persons=5), 10, rng(1))
    with pytest.raises(ValueError, match="persons must be 2 or more"):
        like(lastfm, 1, rng(1))
