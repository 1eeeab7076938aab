"""Add to rows of a column, as often as each occurs: what ``np.add.at`` does, in a fraction of the time.

Rows count from the start and must exist; amounts are added in the column's own type.
"""

from __future__ import annotations

import numba as nb


@nb.njit(cache=True)
def add_each(column, rows, amounts):  # type: ignore[no-untyped-def]
    """Add to each row the amount beside it; arrays of equal length, changed in place."""
    for i in range(rows.size):
        column[rows[i]] += amounts[i]


@nb.njit(cache=True)
def add_to_all(column, rows, amount):  # type: ignore[no-untyped-def]
    """Add the same amount to each row; changed in place."""
    for i in range(rows.size):
        column[rows[i]] += amount
