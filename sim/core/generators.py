"""Network generators: one function for each kind, igraph's where it has one.

All draws come from the generator that is passed in. Each function raises ValueError for a network that cannot be.

References
----------
Watts & Strogatz (1998), Nature 393. Barabási & Albert (1999), Science 286. Holme & Kim (2002), "Growing scale-free
networks with tunable clustering", Phys. Rev. E 65. Karrer & Newman (2011), "Stochastic blockmodels and community
structure in networks", Phys. Rev. E 83.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.graph import Graph, igraph_draws
from sim.core.likeness import templates
from sim.core.stubs import pair_stubs

if TYPE_CHECKING:
    import igraph

_PILOT = 20_000  # persons of the smaller networks on which clustering is calibrated
_BISECTIONS = 12


def _by_igraph(make: Callable[[], igraph.Graph], rng: np.random.Generator) -> Graph:
    with igraph_draws(int(rng.integers(2**63))):
        made = make()
    return Graph.from_igraph(made)


def _whole(values: npt.ArrayLike, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Round each number down or up at random, so that its expectation is kept."""
    values = np.asarray(values, np.float64)
    return np.floor(values + rng.random(values.shape)).astype(np.int64)


def _refuse_crowding(persons: int, mean_degree: float) -> None:
    if mean_degree > persons - 1:
        raise ValueError(f"mean_degree must be at most {persons - 1} among {persons} persons. Got {mean_degree:g}.")


def erdos_renyi(persons: int, mean_degree: float, rng: np.random.Generator) -> Graph:
    """Return a network in which every pair is equally likely to be tied, with ``persons * mean_degree / 2`` ties."""
    import igraph

    _refuse_crowding(persons, mean_degree)
    return _by_igraph(lambda: igraph.Graph.Erdos_Renyi(persons, m=round(persons * mean_degree / 2)), rng)


def barabasi_albert(persons: int, mean_degree: float, rng: np.random.Generator) -> Graph:
    """Return a network that grew by preferential attachment: each newcomer makes half of `mean_degree` ties."""
    import igraph

    _refuse_crowding(persons, mean_degree)
    new_ties = _whole(np.full(persons, mean_degree / 2), rng).tolist()
    return _by_igraph(lambda: igraph.Graph.Barabasi(persons, new_ties), rng)


def watts_strogatz(persons: int, mean_degree: int, rewire: float, rng: np.random.Generator) -> Graph:
    """Return a ring on which everyone knows the `mean_degree` nearest, a share `rewire` of ties led elsewhere."""
    import igraph

    _refuse_crowding(persons, mean_degree)
    moved = 1 - (1 - rewire) ** 0.5  # igraph moves each end of a tie with this probability
    return _by_igraph(lambda: igraph.Graph.Watts_Strogatz(1, persons, mean_degree // 2, moved), rng)


def power_law_cluster(persons: int, mean_degree: float, clustering: float, rng: np.random.Generator) -> Graph:
    """Return a network that grew by preferential attachment with triangles (Holme & Kim 2002).

    A newcomer makes half of `mean_degree` ties, the first by preference; each further one closes a triangle with the
    one before, with a probability that is found by bisection for the clustering asked for, or goes by preference.

    Parameters
    ----------
    clustering : float
        Mean of persons' local clustering, as in :meth:`Graph.statistics`.

    Raises
    ------
    ValueError
        If no probability gives that clustering; the message says which can be had.
    """
    _refuse_crowding(persons, mean_degree)
    seed = rng.integers(2**63)

    def grown(size: int, triangle_probability: float) -> Graph:
        # The same draws for every probability, so that clustering hardly does anything but rise with it.
        same = np.random.default_rng(seed)
        new_ties = _whole(np.full(size, mean_degree / 2), same)
        source, target = _grow(new_ties, triangle_probability, same)
        return Graph.from_edges(source, target, size, strength="equal")

    pilot = min(persons, _PILOT)
    low, high = 0.0, 1.0
    least, most = (_clustering(grown(pilot, end)) for end in (low, high))
    if not least - 0.01 <= clustering <= most + 0.01:
        raise ValueError(
            f"clustering must be from {least:.2f} to {most:.2f} with power_law_cluster at mean_degree {mean_degree:g} "
            f"among {persons} persons. Got {clustering:g}."
        )
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if _clustering(grown(pilot, middle)) < clustering else (low, middle)
    made = grown(persons, (low + high) / 2)
    return Graph(made.indptr, made.indices)


def _clustering(graph: Graph) -> float:
    """Return the mean local clustering, as igraph does in `Graph.statistics`, in a hundredth of the time."""
    triangles = np.concatenate([[0], np.cumsum(graph.shared_neighbours(), dtype=np.int64)])
    degree = graph.degree.astype(np.int64)
    return float((np.diff(triangles[graph.indptr]) / np.maximum(degree * (degree - 1), 1)).mean())


@nb.njit(cache=True)
def _grow(new_ties, triangle_probability, rng):  # type: ignore[no-untyped-def]
    """Return source and target of the ties of a Holme-Kim network whose person i makes new_ties[i] ties on arrival.

    As in networkx the first persons, as many as the most that anyone makes, arrive without ties, each likely once.
    """
    persons, founders = new_ties.size, new_ties.max()
    total = new_ties[founders:].sum()
    source, target = np.empty(total, np.int32), np.empty(total, np.int32)
    likely = np.empty(founders + 2 * total, np.int32)  # persons, each as often as they are likely to be chosen
    likely[:founders] = np.arange(founders)
    latest, before = np.full(persons, -1, np.int64), np.empty(2 * total, np.int64)  # each person's tie ends, chained
    known_to = np.full(persons, -1, np.int32)
    made, chances = 0, founders
    for person in range(founders, persons):
        known_to[person] = person
        friend = np.int32(-1)
        for nth in range(new_ties[person]):
            choice = np.int32(-1)
            if nth > 0 and rng.random() < triangle_probability:
                unknown = 0
                end = latest[friend]
                while end >= 0:
                    other = target[end // 2] if end % 2 == 0 else source[end // 2]
                    if known_to[other] != person:
                        unknown += 1
                        if rng.random() * unknown < 1.0:  # each of the friend's unknown friends is equally likely
                            choice = other
                    end = before[end]
            if choice < 0:
                choice = likely[int(rng.random() * chances)]
                while known_to[choice] == person:
                    choice = likely[int(rng.random() * chances)]
                friend = choice
            known_to[choice] = person
            source[made], target[made] = person, choice
            made += 1
        for tie in range(made - new_ties[person], made):
            before[2 * tie], latest[person] = latest[person], 2 * tie
            before[2 * tie + 1], latest[target[tie]] = latest[target[tie]], 2 * tie + 1
            likely[chances], likely[chances + 1] = person, target[tie]
            chances += 2
    return source, target


def _circles(persons: int, communities: int) -> npt.NDArray[np.int64]:
    """Return each person's community, of sizes that differ by one at most."""
    if communities > persons:
        raise ValueError(f"communities must be at most {persons}, the number of persons. Got {communities}.")
    return np.arange(persons) * communities // persons


def stochastic_block(
    persons: int, communities: int, mean_degree: float, within: float, rng: np.random.Generator
) -> Graph:
    """Return communities of equal size, a share `within` of the ties inside them; persons are numbered by community."""
    import igraph

    sizes = np.bincount(_circles(persons, communities))
    pairs_inside = float((sizes * (sizes - 1)).sum() / 2)
    pairs = {"within": (pairs_inside, within), "between": (persons * (persons - 1) / 2 - pairs_inside, 1 - within)}
    chance = {}
    for where, (count, share) in pairs.items():
        ties = persons * mean_degree / 2 * share
        if ties > count:
            raise ValueError(
                f"{ties:.0f} ties {where} {communities} communities of {persons} persons are asked for, and there are "
                f"{count:.0f} pairs; change communities, mean_degree or within."
            )
        chance[where] = ties / count if count else 0.0
    matrix = np.full((communities, communities), chance["between"])
    np.fill_diagonal(matrix, chance["within"])
    return _by_igraph(lambda: igraph.Graph.SBM(matrix.tolist(), sizes.tolist()), rng)


def degree_corrected_block(
    persons: int, communities: int, mean_degree: float, within: float, degree_sigma: float, rng: np.random.Generator
) -> Graph:
    """Return communities of equal size whose members' degrees are log-normal (Karrer & Newman 2011).

    Parameters
    ----------
    within : float
        Share of ties inside communities, at least ``1 / communities``, which is what chance gives.
    degree_sigma : float
        Standard deviation of the logarithm of expected degrees.
    """
    _refuse_crowding(persons, mean_degree)
    circle = _circles(persons, communities)
    if within * communities < 1:
        raise ValueError(f"within must be at least {1 / communities:.3g}, 1 / communities. Got {within:g}.")
    weight = np.exp(degree_sigma * rng.standard_normal(persons))
    degree = np.minimum(_whole(weight * mean_degree / weight.mean(), rng), persons - 1)
    owner = np.repeat(np.arange(persons), degree)
    # Ties that are not reserved for the community go anywhere, and so to the community too, now and then.
    reserved = 1.0 if communities == 1 else (within - 1 / communities) / (1 - 1 / communities)
    group = np.where(rng.random(owner.size) < reserved, circle[owner], communities)
    return pair_stubs(owner, group, np.full(owner.size, -1), persons, rng)


def configuration(degrees: npt.ArrayLike, persons: int | None, rng: np.random.Generator) -> Graph:
    """Return a random simple network with given degrees.

    A network with these degrees is built (Havel-Hakimi), then ten times as many pairs of ties as there are ties swap
    ends, which makes every network with these degrees nearly equally likely (Milo et al. 2003). Time is linear in the
    ties however heavy the tail of the degrees; matching tie ends until no tie repeats may go on for ever with hubs.

    Parameters
    ----------
    degrees : array_like of int
        One a person.
    persons : int, optional
        If there are more or fewer persons than degrees, each degree occurs equally often, give or take one.

    Raises
    ------
    ValueError
        If no network has these degrees.
    """
    import igraph

    given = np.asarray(degrees, np.int64)
    wanted = given
    if persons is not None and persons != given.size:
        wanted = given[templates(np.argsort(given, kind="stable"), persons, rng)]
        wanted[np.argmax(wanted)] -= wanted.sum() % 2  # another size may make the sum odd
    if not igraph.is_graphical(wanted.tolist(), loops=False, multiple=False):
        why = "their sum is odd" if wanted.sum() % 2 else "some are too large for the others"
        raise ValueError(f"no network of {wanted.size} persons has these degrees: {why}.")
    return _by_igraph(lambda: igraph.Graph.Degree_Sequence(wanted.tolist(), method="edge_switching_simple"), rng)


def complete(persons: int) -> Graph:
    """Return the network in which everyone knows everyone; every tie has strength 1, by overlap too."""
    others = np.arange(persons - 1, dtype=np.int32)
    indices = (others + (others >= np.arange(persons, dtype=np.int32)[:, None])).ravel()
    return Graph(np.arange(persons + 1, dtype=np.int64) * (persons - 1), indices, "equal")
