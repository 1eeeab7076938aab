"""The social network: who is tied to whom, and how strongly.

`Graph` holds the ties in compressed rows (CSR), eight bytes a tie end, as the kernels want them. Any networkx graph,
igraph graph or edge list file becomes one (`Graph.of`), and it becomes theirs again for what they measure better.

Read in this order: the class, the constructors `from_edges` and `read`, which rest on :mod:`sim.core.csr`. Networks are
generated in :mod:`sim.core.networks`; likeness along ties is in :mod:`sim.core.homophily`.

References
----------
Granovetter (1973), "The strength of weak ties", AJS 78. Onnela et al. (2007), "Structure and tie strengths in mobile
communication networks", PNAS 104. Traag, Waltman & van Eck (2019), "From Louvain to Leiden", Sci. Rep. 9.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from sim.core.csr import MAX_PERSONS, checked_ties, count_shared, looked_up, offsets, rows_of
from sim.core.edge_list import read_edge_list

if TYPE_CHECKING:
    import igraph
    import networkx as nx

Strength = Literal["overlap", "equal"]
Labels = npt.NDArray[Any]

_WEAKEST = np.finfo(np.float32).tiny  # what is weaker would be no tie in float32


class Graph:
    """A social network in compressed rows.

    Parameters
    ----------
    indptr : array_like of int, shape (persons + 1,)
        Person i's tie ends are numbers ``indptr[i]`` to ``indptr[i + 1] - 1``.
    indices : array_like of int, shape (ends,)
        The neighbour at each tie end, ascending in each row, without the person and without repetition. An undirected
        tie has two ends; a directed tie has one, at its source.
    strength : {"overlap", "equal"} or array_like of float, shape (ends,)
        Tie strengths in (0, 1], alike at both ends of an undirected tie; how to derive them otherwise. "overlap" is
        ``(shared + 1) / (all other neighbours of the two + 1)``: friends with many friends in common are close
        (Granovetter 1973; Onnela et al. 2007, whose overlap is this without the ones, which keep every tie above 0).
        Directions do not matter for it. "equal" is 1.
    directed : bool
        Whether ties lead one way only.
    labels : array_like, optional
        What persons are called where they came from; the first ``len(labels)`` persons, in order.
    notes : sequence of str
        What a reader of the report should know about how the network came to be.

    Attributes
    ----------
    indptr : ndarray of int64
    indices : ndarray of int32
    strength : ndarray of float32
    directed : bool
    labels : ndarray or None
    notes : list of str

    Raises
    ------
    ValueError
        If the arrays do not fit together, an index is not that of a person, or a strength is outside (0, 1].
    """

    def __init__(
        self,
        indptr: npt.ArrayLike,
        indices: npt.ArrayLike,
        strength: npt.ArrayLike | Strength = "overlap",
        directed: bool = False,
        labels: npt.ArrayLike | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        self.indptr: npt.NDArray[np.int64] = np.ascontiguousarray(indptr, np.int64)
        self.indices: npt.NDArray[np.int32] = np.ascontiguousarray(indices, np.int32)
        self.directed = directed
        self.labels: Labels | None = None if labels is None else np.asarray(labels)
        self.notes = list(notes)
        self._reversed: Graph | None = None
        self._communities: dict[int, npt.NDArray[np.int32]] = {}
        if self.indptr.size == 0 or self.indptr[0] != 0 or self.indptr[-1] != self.indices.size:
            raise ValueError(f"indptr must run from 0 to the {self.indices.size} tie ends.")
        if (np.diff(self.indptr) < 0).any():
            raise ValueError("indptr must not fall.")
        ends = np.asarray(indices)  # before they became int32
        if ends.size and not 0 <= ends.min() <= ends.max() < self.persons:
            found = f"{ends.min()} to {ends.max()}"
            raise ValueError(f"indices must be persons' numbers, from 0 to {self.persons - 1}. Got {found}.")
        self.strength: npt.NDArray[np.float32] = self._strengths(strength)

    def _strengths(self, strength: npt.ArrayLike | Strength) -> npt.NDArray[np.float32]:
        if isinstance(strength, str):
            if strength == "overlap":
                return self._overlap()
            if strength == "equal":
                return np.ones(self.indices.size, np.float32)
            raise ValueError(f"strength must be 'overlap', 'equal' or one number for each tie end. Got {strength!r}.")
        values = np.ascontiguousarray(strength, np.float32)
        if values.shape != self.indices.shape:
            raise ValueError(f"strength must have shape {self.indices.shape}. Got {values.shape}.")
        given = np.asarray(strength)
        if not ((given > 0) & (given <= 1)).all():
            raise ValueError("strength must be above 0 and at most 1.")
        return values if values.min(initial=1) >= _WEAKEST else np.maximum(values, _WEAKEST)

    def _overlap(self) -> npt.NDArray[np.float32]:
        around = self if not self.directed else Graph.from_edges(*self.pairs(), self.persons, strength="equal")
        shared = around.shared_neighbours()
        degree = around.degree.astype(np.int64)
        union = np.repeat(degree, degree) + degree[around.indices] - 1 - shared
        values = ((shared + 1) / union).astype(np.float32)
        return values if around is self else looked_up(self.indptr, self.indices, around.indptr, around.indices, values)

    def __repr__(self) -> str:
        return f"Graph(persons={self.persons}, ties={self.ties}, directed={self.directed})"

    # What it holds.

    @property
    def persons(self) -> int:
        """Number of persons."""
        return self.indptr.size - 1

    @property
    def ties(self) -> int:
        """Number of ties, each counted once."""
        return self.indices.size if self.directed else self.indices.size // 2

    @property
    def degree(self) -> npt.NDArray[np.int32]:
        """Ties of each person; outgoing ones if directed. Shape (persons,)."""
        return np.diff(self.indptr).astype(np.int32)

    @property
    def nbytes(self) -> int:
        """Bytes of the ties: eight a tie end and eight a person."""
        return self.indptr.nbytes + self.indices.nbytes + self.strength.nbytes

    def neighbours(self, person: int) -> npt.NDArray[np.int32]:
        """Return a person's neighbours, ascending; those they point to if directed."""
        if not 0 <= person < self.persons:
            raise IndexError(f"person must be from 0 to {self.persons - 1}. Got {person}.")
        return self.indices[self.indptr[person] : self.indptr[person + 1]]

    def pairs(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Return source and target of each tie once, ascending; source below target if undirected."""
        source = np.repeat(np.arange(self.persons, dtype=np.int32), self.degree)
        once = slice(None) if self.directed else source < self.indices
        return source[once], self.indices[once]

    def shared_neighbours(self) -> npt.NDArray[np.int32]:
        """Return how many neighbours the two persons of each tie share, shape (ends,); for undirected graphs."""
        if self.directed:
            raise ValueError("shared neighbours are counted in undirected graphs only")
        shared: npt.NDArray[np.int32] = count_shared(self.indptr, self.indices)
        return shared

    # Other graphs made from it.

    def reverse(self) -> Graph:
        """Return the graph with every tie turned round, and its strengths; the graph itself if undirected."""
        if not self.directed:
            return self
        if self._reversed is None:
            order = np.argsort(self.indices, kind="stable")
            source = np.repeat(np.arange(self.persons, dtype=np.int32), self.degree)
            indptr = offsets(np.bincount(self.indices, minlength=self.persons))
            turned = Graph(indptr, source[order], self.strength[order], True, self.labels, self.notes)
            turned._reversed, self._reversed = self, turned
        return self._reversed

    def with_isolated(self, count: int) -> Graph:
        """Return the graph with more persons who know nobody; all else stays bit for bit."""
        if count < 0:
            raise ValueError(f"count must be 0 or more. Got {count}.")
        indptr = np.append(self.indptr, np.full(count, self.indptr[-1]))
        return Graph(indptr, self.indices, self.strength, self.directed, self.labels, self.notes)

    def to_networkx(self) -> nx.Graph[int]:
        """Return a networkx graph (DiGraph if directed), persons as nodes, strength as the edge attribute "weight"."""
        import networkx as nx

        graph: nx.Graph[int] = nx.DiGraph() if self.directed else nx.Graph()
        graph.add_nodes_from(range(self.persons))
        source, target = self.pairs()
        weight = self.strength[self._first_ends()].astype(float)
        graph.add_weighted_edges_from(zip(source.tolist(), target.tolist(), weight.tolist(), strict=True))
        return graph

    def to_igraph(self) -> igraph.Graph:
        """Return an igraph graph, strength as the edge attribute "weight"."""
        import igraph

        weight = self.strength[self._first_ends()].astype(float).tolist()
        ends = np.column_stack(self.pairs())
        return igraph.Graph(n=self.persons, edges=ends, directed=self.directed, edge_attrs={"weight": weight})

    def _first_ends(self) -> Any:
        """Which tie ends `pairs` tells of."""
        if self.directed:
            return slice(None)
        return np.repeat(np.arange(self.persons, dtype=np.int32), self.degree) < self.indices

    # Measures.

    def statistics(self) -> dict[str, float]:
        """Return what reports say about a network, measured by igraph.

        Returns
        -------
        dict
            persons, ties, mean_degree, max_degree (out-degree if directed); clustering, the mean of persons' local
            clustering, 0 for persons with fewer than two ties (Watts & Strogatz 1998); transitivity, three times the
            triangles over the paths of two ties, which is what many data sets quote as "clustering"; assortativity of
            degrees, NaN where all are equal; isolated, the share of persons without ties. Directions are ignored
            except in degree and assortativity.
        """
        graph = self.to_igraph()
        both = graph.as_undirected() if self.directed else graph
        degree = self.degree
        return {
            "persons": self.persons,
            "ties": self.ties,
            "mean_degree": float(degree.mean()) if self.persons else 0.0,
            "max_degree": int(degree.max(initial=0)),
            "clustering": both.transitivity_avglocal_undirected(mode="zero") if self.persons else 0.0,
            "transitivity": both.transitivity_undirected(mode="zero"),
            "assortativity": graph.assortativity_degree(directed=self.directed),
            "isolated": float((np.array(both.degree()) == 0).mean()) if self.persons else 0.0,
        }

    def communities(self, seed: int = 0) -> npt.NDArray[np.int32]:
        """Return each person's community by the Leiden method (modularity, run until it is stable).

        Parameters
        ----------
        seed : int
            Of the method's own draws.

        Returns
        -------
        ndarray of int32, shape (persons,)
            Numbered by falling size. Each person without ties is alone, numbered last, and changes nobody else's.
        """
        if seed not in self._communities:
            graph = self.to_igraph()
            graph.to_undirected(combine_edges="max")
            tied = np.flatnonzero(np.array(graph.degree(), np.int64) > 0)
            labels = np.arange(self.persons)  # those alone keep a number of their own, above all others
            with igraph_draws(seed):
                found = graph.induced_subgraph(tied.tolist()).community_leiden("modularity", n_iterations=-1).membership
            labels[tied] = _by_size(np.array(found, np.int64)) - self.persons
            self._communities[seed] = np.unique(labels, return_inverse=True)[1].astype(np.int32)
        return self._communities[seed]

    # From elsewhere.

    @classmethod
    def from_edges(
        cls,
        source: npt.ArrayLike,
        target: npt.ArrayLike,
        persons: int | None = None,
        weight: npt.ArrayLike | None = None,
        directed: bool = False,
        strength: Strength | None = None,
        labels: npt.ArrayLike | None = None,
    ) -> Graph:
        """Make a graph from ties in any order.

        Ties of a person with themselves are dropped; ties named more than once, in either direction if undirected,
        become one with the sum of the weights. The notes say how many of each.

        Parameters
        ----------
        source, target : array_like of int, shape (ties,)
            Persons' numbers from 0.
        persons : int, optional
            How many there are; default: one more than the greatest number.
        weight : array_like of float, shape (ties,), optional
            Positive. They become tie strengths, divided by the greatest if that is above 1.
        directed : bool
        strength : {"overlap", "equal"}, optional
            Derive strengths in this way, whatever the weights. Default: the weights if given, else "overlap".
        labels : array_like, optional
            See :class:`Graph`.

        Raises
        ------
        ValueError
            If the arrays differ in length, a number is not that of a person, or a weight is not positive and finite.
        """
        a, b, w = checked_ties(source, target, weight)
        size = int(max(a.max(initial=-1), b.max(initial=-1))) + 1
        persons = size if persons is None else persons
        if not size <= persons <= MAX_PERSONS:
            raise ValueError(f"persons must be above the greatest number, {size - 1}, to {MAX_PERSONS}. Got {persons}.")
        loops = a == b
        a, b, w = a[~loops], b[~loops], w if w is None else w[~loops]
        if not directed:
            a, b = np.minimum(a, b), np.maximum(a, b)
        code, same = np.unique(a * persons + b, return_inverse=True)
        total = np.ones(code.size) if w is None else np.bincount(same, w, minlength=code.size)
        indptr, indices, ends = rows_of(code // max(persons, 1), code % max(persons, 1), persons, directed)
        notes = [f"{loops.sum()} ties of a person with themselves were dropped"] if loops.any() else []
        notes += [f"{a.size - code.size} repeated ties were merged"] if a.size > code.size else []
        how: Any = strength or ("overlap" if w is None else (total / max(1.0, total.max(initial=0.0)))[ends])
        return cls(indptr, indices, how, directed, labels, notes)

    @classmethod
    def read(cls, path: str | Path, directed: bool = False, strength: Strength | None = None) -> Graph:
        """Read an edge list file: see :func:`sim.core.edge_list.read_edge_list` and :meth:`from_edges`."""
        ties = read_edge_list(path)
        return cls.from_edges(ties.source, ties.target, ties.persons, ties.weight, directed, strength, ties.labels)

    @classmethod
    def from_networkx(cls, graph: nx.Graph[Any], strength: Strength | None = None) -> Graph:
        """Make a graph from a networkx one; nodes become labels, the edge attribute "weight" becomes strength."""
        number = {node: i for i, node in enumerate(graph)}
        ends = np.array([(number[a], number[b]) for a, b in graph.edges()], np.int64).reshape(-1, 2)
        weighted: Any = graph.edges(data="weight")
        return cls._from_library(
            ends, [edge[-1] for edge in weighted], len(number), graph.is_directed(), list(number), strength
        )

    @classmethod
    def from_igraph(cls, graph: igraph.Graph, strength: Strength | None = None) -> Graph:
        """Make a graph from an igraph one; names become labels, the edge attribute "weight" becomes strength."""
        flat = itertools.chain.from_iterable(graph.get_edgelist())
        ends = np.fromiter(flat, np.int64, 2 * graph.ecount()).reshape(-1, 2)
        weight = graph.es["weight"] if "weight" in graph.es.attributes() else []
        names = graph.vs["name"] if "name" in graph.vs.attributes() else range(graph.vcount())
        return cls._from_library(ends, weight, graph.vcount(), graph.is_directed(), list(names), strength)

    @classmethod
    def _from_library(
        cls, ends: npt.NDArray[np.int64], weight: list[Any], persons: int, directed: bool, names: list[Any],
        strength: Strength | None,
    ) -> Graph:  # fmt: skip
        weighted = [w for w in weight if w is not None]
        if weighted and len(weighted) < len(weight):
            raise ValueError(f"{len(weight) - len(weighted)} of {len(weight)} edges have no weight; give all or none.")
        labels = np.empty(persons, object)
        labels[:] = names
        given = None if names == list(range(persons)) else labels
        return cls.from_edges(ends[:, 0], ends[:, 1], persons, weighted or None, directed, strength, given)

    @classmethod
    def of(cls, what: Any) -> Graph:
        """Make a graph of a networkx or igraph graph or an edge list file's name; a `Graph` is returned as it is.

        Raises
        ------
        TypeError
            For anything else.
        """
        if isinstance(what, Graph):
            return what
        if isinstance(what, str | Path):
            return cls.read(what)
        library = {base.__module__.partition(".")[0] for base in type(what).__mro__}
        if "networkx" in library:
            return cls.from_networkx(what)
        if "igraph" in library:
            return cls.from_igraph(what)
        allowed = "a Graph, a networkx or igraph graph, or a file's name"
        raise TypeError(f"a network must be {allowed}. Got {type(what).__name__}.")


@contextmanager
def igraph_draws(seed: int) -> Iterator[None]:
    """Let igraph draw from a generator of this seed, and afterwards again from Python's, as it does by default."""
    import igraph

    igraph.set_random_number_generator(random.Random(seed))
    try:
        yield
    finally:
        igraph.set_random_number_generator(random)


def _by_size(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Give groups new numbers by falling size, equal ones in their old order."""
    rank = np.empty(labels.max(initial=-1) + 1, np.int64)
    rank[np.argsort(-np.bincount(labels), kind="stable")] = np.arange(rank.size)
    result: npt.NDArray[np.int64] = rank[labels]
    return result
