"""Homophily: traits that are alike along ties, by a stated amount, apart from any influence.

Each person's trait is mixed twice with the mean of their neighbours' and then divided by its own standard deviation,
so that it stays standard normal for everyone. With X the traits as drawn, P the mean over neighbours and s the weight
of the neighbours::

    Y = D ((1 - s) I + s P)^2 X        D diagonal, so that every Var(Y_i) = 1

Variances and covariances follow exactly from the ties, before anything is drawn; s is the weight for which the mean
correlation along ties is the amount asked for. So s depends on the network only, and who a person is depends on s and
on those within two steps. Once would not do: where friends have twelve other friends each it reaches 0.29 at most.
"""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.graph import Graph

Floats = npt.NDArray[np.float64]

_TIES_MEASURED = 10_000  # evenly over the ties; the standard error of their mean is then about 0.002
_WEIGHTS = np.linspace(0.0, 0.99, 100)


class OutOfReachError(ValueError):
    """Traits cannot be as alike along the ties of this network as was asked."""


def correlate(graph: Graph, values: npt.ArrayLike, amount: float) -> Floats:
    """Make independent traits correlate along ties.

    Parameters
    ----------
    graph : Graph
        Of n persons. If directed, persons become like those they point to.
    values : array_like of float, shape (n, d)
        Independent standard normals.
    amount : float
        Expected correlation along ties, the mean over ties, from 0 to below 1.

    Returns
    -------
    ndarray of float64, shape (n, d)
        Standard normals, independent between columns. Persons without ties keep their values, and so does everyone if
        `amount` is 0; more persons without ties change nobody.

    Raises
    ------
    OutOfReachError
        If the amount cannot be reached on this network; the message says how much can.
    """
    own = np.array(values, np.float64)
    if own.ndim != 2 or own.shape[0] != graph.persons:
        raise ValueError(f"values must have shape ({graph.persons}, d). Got {own.shape}.")
    if not 0 <= amount < 1:
        raise ValueError(f"amount must be from 0 to below 1. Got {amount}.")
    if amount == 0 or graph.ties == 0:
        return own
    moments = _own_moments(graph.indptr, graph.indices)
    weight = _weight_for(graph, moments, amount)
    mixed = own
    for _ in range(2):
        mixed = (1 - weight) * mixed + weight * _neighbour_mean(graph.indptr, graph.indices, mixed)
    tied = graph.degree > 0
    own[tied] = mixed[tied] / np.sqrt(_variance(moments[tied], weight))[:, None]
    return own


def _weight_for(graph: Graph, moments: Floats, amount: float) -> float:
    """Return the least weight that gives the amount: the correlation rises from 0 to a maximum, and then falls."""
    source, target = graph.pairs()
    measured = np.linspace(0, graph.ties - 1, min(graph.ties, _TIES_MEASURED)).astype(np.int64)
    source, target = source[measured], target[measured]
    moments_of_ties = _tie_moments(graph.indptr, graph.indices, source, target)
    reached = np.empty(_WEIGHTS.size)
    for number, weight in enumerate(_WEIGHTS):
        a, b, c = _powers(weight)
        covariance = moments_of_ties @ np.array([a * b, a * c, b * b, b * c, c * c])
        scale = np.sqrt(_variance(moments[source], weight) * _variance(moments[target], weight))
        reached[number] = (covariance / scale).mean()
    if amount > reached.max():
        most = np.floor(reached.max() * 100) / 100
        raise OutOfReachError(f"must be at most {most:.2f} on this network. Got {amount}.")
    first = int(np.argmax(reached >= amount))
    return float(np.interp(amount, reached[first - 1 : first + 1], _WEIGHTS[first - 1 : first + 1]))


def _powers(weight: float) -> tuple[float, float, float]:
    """Return a, b, c of ((1 - s) I + s P)^2 = a I + b P + c P^2."""
    return (1 - weight) ** 2, 2 * weight * (1 - weight), weight**2


def _variance(moments: Floats, weight: float) -> Floats:
    a, b, c = _powers(weight)
    variance: Floats = a * a + moments @ np.array([b * b, c * c, 2 * a * c, 2 * b * c])
    return variance


@nb.njit(cache=True)
def _neighbour_mean(indptr, indices, values):  # type: ignore[no-untyped-def]
    """Return the mean over each person's neighbours, shape (n, d); 0 where there are none."""
    mean = np.zeros_like(values)
    for person in range(indptr.size - 1):
        share = 1.0 / max(1, indptr[person + 1] - indptr[person])
        for end in range(indptr[person], indptr[person + 1]):
            for trait in range(values.shape[1]):
                mean[person, trait] += share * values[indices[end], trait]
    return mean


@nb.njit(cache=True)
def _walk(indptr, indices, person, reach, visited):  # type: ignore[no-untyped-def]
    """Add a person's rows of P and P^2 to the columns of reach; return how many others were noted in visited."""
    count = 0
    first = 1.0 / max(1, indptr[person + 1] - indptr[person])
    for end in range(indptr[person], indptr[person + 1]):
        middle = indices[end]
        if reach[middle, 0] == 0.0 and reach[middle, 1] == 0.0:
            visited[count] = middle
            count += 1
        reach[middle, 0] += first
        second = first / max(1, indptr[middle + 1] - indptr[middle])
        for far_end in range(indptr[middle], indptr[middle + 1]):
            far = indices[far_end]
            if reach[far, 0] == 0.0 and reach[far, 1] == 0.0:
                visited[count] = far
                count += 1
            reach[far, 1] += second
    return count


@nb.njit(cache=True)
def _own_moments(indptr, indices):  # type: ignore[no-untyped-def]
    """Return for each person |P_i|^2, |P^2_i|^2, (P^2)_ii and P_i . P^2_i, shape (n, 4)."""
    persons = indptr.size - 1
    reach, visited = np.zeros((persons, 2)), np.empty(persons, np.int32)
    moments = np.zeros((persons, 4))
    for person in range(persons):
        count = _walk(indptr, indices, person, reach, visited)
        moments[person, 2] = reach[person, 1]
        for number in range(count):
            other = visited[number]
            once, twice = reach[other, 0], reach[other, 1]
            moments[person, 0] += once * once
            moments[person, 1] += twice * twice
            moments[person, 3] += once * twice
            reach[other, 0] = reach[other, 1] = 0.0
    return moments


@nb.njit(cache=True)
def _tie_moments(indptr, indices, source, target):  # type: ignore[no-untyped-def]
    """Return for ties i-j the sums that multiply ab, ac, bb, bc and cc in the covariance, shape (ties, 5).

    They are P_ij + P_ji, (P^2)_ij + (P^2)_ji, P_i . P_j, P_i . P^2_j + P^2_i . P_j, and P^2_i . P^2_j.
    """
    persons = indptr.size - 1
    reach, visited = np.zeros((persons, 2)), np.empty(persons, np.int32)
    moments = np.zeros((source.size, 5))
    for tie in range(source.size):
        i, j = source[tie], target[tie]
        count = _walk(indptr, indices, i, reach, visited)
        moments[tie, 0] += reach[j, 0]
        moments[tie, 1] += reach[j, 1]
        first = 1.0 / max(1, indptr[j + 1] - indptr[j])
        for end in range(indptr[j], indptr[j + 1]):
            middle = indices[end]
            moments[tie, 0] += first * (middle == i)
            moments[tie, 2] += first * reach[middle, 0]
            moments[tie, 3] += first * reach[middle, 1]
            second = first / max(1, indptr[middle + 1] - indptr[middle])
            for far_end in range(indptr[middle], indptr[middle + 1]):
                far = indices[far_end]
                moments[tie, 1] += second * (far == i)
                moments[tie, 3] += second * reach[far, 0]
                moments[tie, 4] += second * reach[far, 1]
        for number in range(count):
            other = visited[number]
            reach[other, 0] = reach[other, 1] = 0.0
    return moments
