"""Turns: in which order those of a small batch come, for use inside kernels."""

from __future__ import annotations

import numba as nb
import numpy as np

_SHIFT, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)


@nb.njit(cache=True)
def turns(numbers):  # type: ignore[no-untyped-def]
    """Return the positions of numbers in ascending order, equal ones in the order in which they stand.

    Parameters
    ----------
    numbers : ndarray of int32 or uint32, shape (n,)
        None of them negative: rows of a table, or words of :func:`sim.core.draws.philox`.

    Returns
    -------
    uint32 ndarray, shape (n,)

    Notes
    -----
    Number and position are sorted as one word of 64 bits, which is faster than to sort positions by their numbers, and
    leaves nothing equal.
    """
    keys = np.empty(numbers.size, np.uint64)
    for n in range(numbers.size):
        keys[n] = np.uint64(numbers[n]) << _SHIFT | np.uint64(n)
    keys.sort()
    order = np.empty(numbers.size, np.uint32)
    for n in range(numbers.size):
        order[n] = keys[n] & _LOW
    return order
