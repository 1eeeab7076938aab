"""What `Graph` is made with: ties put into compressed rows, and counted."""

from __future__ import annotations

import numba as nb
import numpy as np
import numpy.typing as npt

MAX_PERSONS = 2**31 - 1


def checked_ties(
    source: npt.ArrayLike, target: npt.ArrayLike, weight: npt.ArrayLike | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64] | None]:
    """Return ties as arrays of one length; ValueError for what cannot be ties."""
    ends = []
    for name, values in (("source", np.asarray(source)), ("target", np.asarray(target))):
        if values.ndim != 1 or (values.size and values.dtype.kind not in "iu"):
            raise ValueError(f"{name} must be a list of whole numbers. Got {values.dtype} of shape {values.shape}.")
        if values.size and not 0 <= values.min() <= values.max() < MAX_PERSONS:
            raise ValueError(f"{name} must be persons' numbers from 0. Got {values.min()} to {values.max()}.")
        ends.append(values.astype(np.int64))
    weights = None if weight is None else np.asarray(weight, np.float64)
    if ends[0].size != ends[1].size or (weights is not None and weights.shape != ends[0].shape):
        sizes = ", ".join(str(part.size) for part in (*ends, weights) if part is not None)
        raise ValueError(f"source, target and weight must have the same length. Got {sizes}.")
    if weights is not None and not ((weights > 0) & np.isfinite(weights)).all():
        raise ValueError("weight must be positive and finite.")
    return ends[0], ends[1], weights


def offsets(counts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where each row starts, and the end, from the rows' lengths."""
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


@nb.njit(cache=True)
def rows_of(source, target, persons, directed):  # type: ignore[no-untyped-def]
    """Return indptr, indices, and which tie each end belongs to, from distinct ties in ascending order."""
    indptr = np.zeros(persons + 1, np.int64)
    for tie in range(source.size):
        indptr[source[tie] + 1] += 1
        if not directed:
            indptr[target[tie] + 1] += 1
    indptr = np.cumsum(indptr)
    fill = indptr[:-1].copy()
    indices, ends = np.empty(indptr[-1], np.int32), np.empty(indptr[-1], np.int64)
    if not directed:  # first the lower neighbours of each person, then the higher: rows come out ascending
        for tie in range(source.size):
            place = fill[target[tie]]
            indices[place], ends[place] = source[tie], tie
            fill[target[tie]] += 1
    for tie in range(source.size):
        place = fill[source[tie]]
        indices[place], ends[place] = target[tie], tie
        fill[source[tie]] += 1
    return indptr, indices, ends


@nb.njit(cache=True)
def _place(indptr, indices, person, neighbour):  # type: ignore[no-untyped-def]
    """Return the number of the tie end at which a person has a neighbour."""
    row = indices[indptr[person] : indptr[person + 1]]
    return indptr[person] + np.searchsorted(row, neighbour)


@nb.njit(cache=True)
def count_shared(indptr, indices):  # type: ignore[no-untyped-def]
    """Count shared neighbours at each tie end; the shorter row of the two is scanned, so hubs cost little."""
    persons = indptr.size - 1
    shared = np.zeros(indices.size, np.int32)
    seen_by = np.full(persons, -1, np.int32)
    for person in range(persons):
        degree = indptr[person + 1] - indptr[person]
        for end in range(indptr[person], indptr[person + 1]):
            seen_by[indices[end]] = person
        for end in range(indptr[person], indptr[person + 1]):
            other = indices[end]
            other_degree = indptr[other + 1] - indptr[other]
            if other_degree > degree or (other_degree == degree and other > person):
                continue
            count = 0
            for far in range(indptr[other], indptr[other + 1]):
                count += seen_by[indices[far]] == person
            shared[end] = count
            shared[_place(indptr, indices, other, person)] = count
    return shared


@nb.njit(cache=True)
def looked_up(indptr, indices, around_indptr, around_indices, values):  # type: ignore[no-untyped-def]
    """Return for each tie end the value that the same tie has in another graph."""
    found = np.empty(indices.size, values.dtype)
    for person in range(indptr.size - 1):
        for end in range(indptr[person], indptr[person + 1]):
            found[end] = values[_place(around_indptr, around_indices, person, indices[end])]
    return found
