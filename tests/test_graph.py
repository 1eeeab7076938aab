"""The network in compressed rows, its readers, and likeness along ties."""

import gzip
import random
from pathlib import Path

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.core.edge_list import read_degrees
from sim.core.graph import Graph
from sim.core.homophily import correlate

LASTFM = Path(__file__).parents[1] / "scenarios" / "data" / "lastfm_asia.csv.gz"
KARATE = Graph.from_networkx(nx.karate_club_graph(), strength="overlap")


@pytest.fixture(scope="module")
def lastfm():
    return Graph.read(LASTFM)


def ties_of(graph):
    return set(zip(*(ends.tolist() for ends in graph.pairs()), strict=True))


def rows_of(graph):
    return [graph.neighbours(person).tolist() for person in range(graph.persons)]


edges = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=60)


@settings(max_examples=60)
@given(edges, st.booleans(), st.integers(0, 3))
def test_a_graph_holds_the_ties_that_were_named_and_no_others(pairs, directed, more):
    persons = max((max(pair) for pair in pairs), default=-1) + 1 + more
    source, target = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = Graph.from_edges(source, target, persons, directed=directed)
    wanted = {(a, b) if directed or a < b else (b, a) for a, b in pairs if a != b}
    assert ties_of(graph) == wanted
    assert graph.ties == len(wanted)
    assert graph.persons == persons
    assert graph.degree.sum() == graph.indices.size == (1 if directed else 2) * len(wanted)
    assert all(row == sorted(set(row)) for row in rows_of(graph))
    assert ((graph.strength > 0) & (graph.strength <= 1)).all()
    again = Graph.from_edges(*graph.pairs(), persons, directed=directed)
    assert rows_of(again) == rows_of(graph)
    np.testing.assert_array_equal(again.strength, graph.strength)
    assert ties_of(graph.reverse()) == ({(b, a) for a, b in wanted} if directed else wanted)


@settings(max_examples=30)
@given(edges, st.booleans(), st.sampled_from(["networkx", "igraph"]))
def test_a_graph_survives_the_way_to_a_library_and_back(pairs, directed, library):
    source, target = np.array(pairs, np.int64).reshape(-1, 2).T
    graph = Graph.from_edges(source, target, 13, directed=directed)
    again = Graph.of(graph.to_networkx() if library == "networkx" else graph.to_igraph())
    assert again.directed == directed
    assert again.labels is None
    assert rows_of(again) == rows_of(graph)
    np.testing.assert_array_equal(again.strength, graph.strength)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1], [1]), "same length. Got 2, 1"),
        (([0, -1], [1, 2]), "source must be persons' numbers from 0. Got -1 to 0"),
        (([0.5], [1]), "source must be a list of whole numbers. Got float64"),
        (([0], [[1]]), "target must be a list of whole numbers. Got int64 of shape"),
        (([0], [5], 5), "persons must be above the greatest number, 5"),
        (([0], [2**31], None), "target must be persons' numbers"),
        (([0], [1], None, [0.0]), "weight must be positive"),
        (([0], [1], None, [np.inf]), "weight must be positive and finite"),
        (([0], [1], None, [1.0, 1.0]), "same length. Got 1, 1, 2"),
        (([0], [1], None, None, False, "strong"), "strength must be 'overlap', 'equal' or"),
    ],
)
def test_what_cannot_be_ties_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Graph.from_edges(*arguments)


@pytest.mark.parametrize(
    ("indptr", "strength", "message"),
    [
        ([0, 1], "equal", "indptr must run from 0 to the 2"),
        ([0, 1, 2], [1.0], "shape"),
        ([0, 1, 2], [1.0, 2.0], "at most 1"),
    ],
)
def test_rows_and_strengths_that_do_not_fit_are_refused(indptr, strength, message):
    with pytest.raises(ValueError, match=message):
        Graph(indptr, [1, 0], strength)


@pytest.mark.parametrize(
    ("indptr", "indices", "message"),
    [
        ([0, 1, 2], [1, 500], "indices must be persons' numbers, from 0 to 1. Got 1 to 500"),
        ([0, 1, 2], [-3, 0], "from 0 to 1. Got -3 to 0"),
        ([0, 1, 2], np.array([1, 2**32]), "from 0 to 1. Got 1 to 4294967296"),
        ([0, 3, 2], [1, 0], "indptr must not fall"),
    ],
)
def test_rows_that_kernels_would_read_beyond_are_refused(indptr, indices, message):
    with pytest.raises(ValueError, match=message):
        Graph(indptr, indices, "equal")


def test_ties_named_again_add_up_and_ties_with_oneself_go_and_the_notes_say_so():
    graph = Graph.from_edges([0, 1, 2, 3, 1], [1, 0, 3, 3, 2], weight=[1, 3, 2, 9, 4])
    assert rows_of(graph) == [[1], [0, 2], [1, 3], [2]]
    assert graph.strength.tolist() == [1, 1, 1, 1, 0.5, 0.5]  # weights 4, 4, 2 over the greatest
    assert graph.notes == ["1 ties of a person with themselves were dropped", "1 repeated ties were merged"]


def test_weights_up_to_one_are_strengths_as_they_are():
    graph = Graph.from_edges([0, 1], [1, 2], weight=[0.5, 0.25])
    assert graph.strength.tolist() == [0.5, 0.5, 0.25, 0.25]
    assert Graph.from_edges([0, 1], [1, 2], weight=[0.5, 0.25], strength="equal").strength.tolist() == [1, 1, 1, 1]


def test_the_weakest_of_very_unequal_weights_is_still_a_tie():
    graph = Graph.from_edges([0, 1], [1, 2], weight=[1e-30, 1e30])
    assert graph.strength.tolist() == [np.finfo(np.float32).tiny] * 2 + [1] * 2
    again = Graph(graph.indptr, graph.indices, [1e-60, 1e-60, 1, 1])
    np.testing.assert_array_equal(again.strength, graph.strength)


def test_overlap_is_the_share_of_friends_in_common():
    theirs = nx.karate_club_graph()
    for (a, b), strength in zip(zip(*KARATE.pairs(), strict=True), KARATE.strength[KARATE._first_ends()], strict=True):
        a, b = int(a), int(b)
        shared = len(list(nx.common_neighbors(theirs, a, b)))
        others = (set(theirs[a]) | set(theirs[b])) - {a, b}
        assert strength == np.float32((shared + 1) / (len(others) + 1))


def test_overlap_ignores_which_way_a_tie_leads():
    source, target = KARATE.pairs()
    directed = Graph.from_edges(target, source, directed=True)
    np.testing.assert_array_equal(directed.reverse().strength, KARATE.strength[KARATE._first_ends()])


def test_a_directed_graph_is_turned_round_with_its_strengths_once():
    graph = Graph.from_edges([0, 0, 3], [1, 2, 0], weight=[0.1, 0.2, 0.3], directed=True)
    turned = graph.reverse()
    assert rows_of(turned) == [[3], [0], [0], []]
    np.testing.assert_allclose(turned.strength, [0.3, 0.1, 0.2])
    assert turned.reverse() is graph
    assert graph.reverse() is turned
    assert KARATE.reverse() is KARATE


def test_more_persons_without_ties_change_nobody_else(lastfm):
    more = lastfm.with_isolated(5)
    assert more.persons == lastfm.persons + 5
    assert more.degree[-5:].tolist() == [0] * 5
    np.testing.assert_array_equal(more.indices, lastfm.indices)
    np.testing.assert_array_equal(more.strength, lastfm.strength)
    derived_anew = Graph(more.indptr, more.indices)
    np.testing.assert_array_equal(derived_anew.strength, lastfm.strength)
    np.testing.assert_array_equal(more.communities()[:-5], lastfm.communities())
    assert len(set(more.communities()[-5:])) == 5
    traits = np.random.default_rng(0).standard_normal((more.persons, 2))
    np.testing.assert_array_equal(correlate(more, traits, 0.3)[:-5], correlate(lastfm, traits[:-5], 0.3))


def test_the_shipped_network_has_its_published_figures(lastfm):
    measured = lastfm.statistics()
    assert (measured["persons"], measured["ties"], measured["max_degree"]) == (7624, 27806, 216)
    assert round(measured["mean_degree"], 2) == 7.29
    assert round(measured["transitivity"], 3) == 0.179
    assert round(measured["clustering"], 3) == 0.219
    assert round(measured["assortativity"], 3) == 0.017
    assert measured["isolated"] == 0
    assert lastfm.to_igraph().modularity(lastfm.communities().tolist()) > 0.81
    assert lastfm.nbytes == 8 * (2 * 27806 + 7625)


def test_statistics_agree_with_networkx():
    theirs, ours = nx.karate_club_graph(), KARATE.with_isolated(2).statistics()
    theirs.add_nodes_from(["x", "y"])
    assert ours["clustering"] == pytest.approx(nx.average_clustering(theirs))
    assert ours["transitivity"] == pytest.approx(nx.transitivity(theirs))
    assert ours["assortativity"] == pytest.approx(nx.degree_assortativity_coefficient(theirs))
    assert ours["isolated"] == pytest.approx(2 / 36)
    shared = KARATE.shared_neighbours()
    assert shared.sum() == 2 * sum(nx.triangles(nx.karate_club_graph()).values())


def test_communities_are_the_same_each_time_and_the_largest_comes_first(lastfm):
    state = random.getstate()
    again = Graph(lastfm.indptr, lastfm.indices, "equal")
    np.testing.assert_array_equal(again.communities(3), lastfm.communities(3))
    sizes = np.bincount(lastfm.communities(3))
    assert (np.diff(sizes) <= 0).all()
    assert random.getstate() == state


def test_a_graph_without_ties_can_be_asked_everything():
    graph = Graph.from_edges([], [], persons=3)
    assert graph.statistics()["isolated"] == 1
    assert graph.communities().tolist() == [0, 1, 2]
    assert graph.shared_neighbours().size == 0
    np.testing.assert_array_equal(correlate(graph, np.ones((3, 2)), 0.5), np.ones((3, 2)))


def test_nodes_and_names_become_labels():
    theirs = nx.Graph([("ann", "bob"), ("bob", ("c", 1))])
    graph = Graph.of(theirs)
    assert graph.labels.tolist() == ["ann", "bob", ("c", 1)]
    assert rows_of(graph) == [[1], [0, 2], [1]]
    named = igraph.Graph([(0, 1)], vertex_attrs={"name": ["x", "y"]})
    assert Graph.of(named).labels.tolist() == ["x", "y"]


def test_edges_of_which_only_some_have_a_weight_are_refused():
    theirs = nx.path_graph(3)
    theirs[0][1]["weight"] = 2
    with pytest.raises(ValueError, match="1 of 2 edges have no weight"):
        Graph.of(theirs)


def test_anything_is_a_graph_or_a_type_error(lastfm):
    assert Graph.of(lastfm) is lastfm
    assert Graph.of(str(LASTFM)).ties == 27806
    with pytest.raises(TypeError, match="must be a Graph, a networkx or igraph graph, or a file's name"):
        Graph.of([1, 2])
    with pytest.raises(IndexError, match="person must be from 0 to 33"):
        KARATE.neighbours(34)
    with pytest.raises(ValueError, match="count must be 0 or more"):
        KARATE.with_isolated(-1)


@pytest.mark.parametrize(
    ("text", "labels", "rows", "strength"),
    [
        ("source,target\n0,1\n2,1\n", None, [[1], [0, 2], [1]], [0.5] * 4),
        ("source,target\n10,7\n7,-3\n", [-3, 7, 10], [[1], [0, 2], [1]], [0.5] * 4),
        ("source,target\nbob,ann\n\n ann ,007\n", ["007", "ann", "bob"], [[1], [0, 2], [1]], [0.5] * 4),
        ("\ufeffsource,target,weight\r\n0,1,0.5\r\n2,1,1e-1\r\n", None, [[1], [0, 2], [1]], [0.5, 0.5, 0.1, 0.1]),
        ("source,target\n10.0,7.0\n7,-3.00\n", [-3, 7, 10], [[1], [0, 2], [1]], [0.5] * 4),
        ("source,target\n3,3.5\n3.5,2.0\n2,3.0\n", ["2", "3", "3.5"], [[1, 2], [0, 2], [0, 1]], [1] * 6),
        ("source,target\n3,3.0\nann,3\n", ["3", "3.0", "ann"], [[1, 2], [0], [0]], [0.5] * 4),
        ('source,target\n"Li, Na",张伟\n', ["Li, Na", "张伟"], [[1], [0]], [1, 1]),
    ],
    ids=["numbers", "gaps", "text", "weights", "floats", "fractions", "text and floats", "quotes"],
)
@pytest.mark.parametrize("packed", [False, True], ids=["csv", "csv.gz"])
def test_an_edge_list_file_is_read(tmp_path, text, labels, rows, strength, packed):
    path = tmp_path / ("ties.csv.gz" if packed else "ties.csv")
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    graph = Graph.read(path)
    assert (None if graph.labels is None else graph.labels.tolist()) == labels
    assert rows_of(graph) == rows
    np.testing.assert_allclose(graph.strength, strength)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "ties.csv:1: the file is empty"),
        (b"0,1\n1,2\n", "ties.csv:1: the first line must be source,target or source,target,weight. Got 0,1"),
        (b"source,target\n", "ties.csv: the file has no ties"),
        (b"source,target\n0,1\n\n2,\n", "ties.csv:4: has no target"),
        (b"source,target\n0,1\n2\n", "ties.csv:3: has no target"),
        (b"source,target\n0,1\n1,2,3\n", "ties.csv:3: must have 2 fields, as the first line has. Got 3."),
        (b'source,target\n0,1\n"1,2\n', "ties.csv:3: a quote is opened and never closed"),
        (b"source,target,weight\n0,1,2\n1,2,heavy\n", "ties.csv:3: weight must be a positive number. Got heavy"),
        (b"source,target,weight\n0,1,-2\n", "ties.csv:2: weight must be a positive number. Got -2"),
        (b"source,target\n0,1\n\xff\xfe,1\n", "ties.csv:3: is not UTF-8 text"),
    ],
)
def test_a_broken_edge_list_is_refused_with_file_and_line(tmp_path, content, message):
    path = tmp_path / "ties.csv"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        Graph.read(path)


@pytest.mark.parametrize(
    "content",
    [b"source,target\n0,1\n", gzip.compress(b"source,target\n" + b"0,1\n" * 999, mtime=0)[:-12]],
    ids=["plain", "cut short"],
)
def test_a_file_that_is_not_packed_as_its_name_says_is_refused(tmp_path, content):
    path = tmp_path / "ties.csv.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"ties\.csv\.gz: "):
        Graph.read(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("source\n1\n", "degrees.csv:1: the first line must be degree. Got source"),
        ("degree\n1\n\n-2\n", "degrees.csv:4: must be a whole number of 0 or more. Got -2"),
        ("degree\n", "degrees.csv: the file has no degrees"),
    ],
)
def test_a_broken_list_of_degrees_is_refused_with_file_and_line(tmp_path, text, message):
    path = tmp_path / "degrees.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_degrees(path)


def along_ties(graph, traits):
    source, target = graph.pairs()
    here, there = np.concatenate([source, target]), np.concatenate([target, source])
    return np.corrcoef(traits[here].ravel(), traits[there].ravel())[0, 1]


@pytest.mark.parametrize("amount", [0.0, 0.2, 0.4])
def test_likeness_along_ties_is_the_amount_stated(lastfm, amount):
    drawn = np.random.default_rng(1).standard_normal((lastfm.persons, 8))
    traits = correlate(lastfm, drawn, amount)
    assert along_ties(lastfm, traits) == pytest.approx(amount, abs=0.02)
    assert abs(np.corrcoef(traits.T)[np.triu_indices(8, 1)]).max() < 0.1  # columns stay independent
    if amount == 0:
        np.testing.assert_array_equal(traits, drawn)


@pytest.mark.parametrize("directed", [False, True])
def test_likeness_leaves_everyone_standard_normal(directed):
    graph = Graph.from_edges(*KARATE.pairs(), persons=36, directed=directed)
    draws = 40_000
    drawn = np.random.default_rng(2).standard_normal((graph.persons, draws))
    traits = correlate(graph, drawn, 0.3)
    z_of_mean = traits.mean(axis=1) * np.sqrt(draws)
    z_of_variance = (traits.var(axis=1) - 1) * np.sqrt(draws / 2)
    assert abs(z_of_mean).max() < 4.5  # 36 persons: exceeded once in 4000 runs
    assert abs(z_of_variance).max() < 4.5
    source, target = graph.pairs()
    assert (traits[source] * traits[target]).mean() == pytest.approx(0.3, abs=0.005)
    alone = graph.degree == 0
    np.testing.assert_array_equal(traits[alone], drawn[alone])


def test_likeness_that_ties_cannot_carry_is_refused(lastfm):
    traits = np.zeros((lastfm.persons, 1))
    with pytest.raises(ValueError, match=r"must be at most 0\.58 on this network\. Got 0\.8"):
        correlate(lastfm, traits, 0.8)
    with pytest.raises(ValueError, match="from 0 to below 1"):
        correlate(lastfm, traits, 1.0)
    with pytest.raises(ValueError, match=r"shape \(7624, d\)"):
        correlate(lastfm, traits[1:], 0.2)
