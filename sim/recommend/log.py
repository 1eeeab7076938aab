"""What a platform knows of its members' wishes: its own log of orders and clicks.

Every recommender learns from this log, from what the catalogue shows to anybody (category, price, stock, impressions)
and from ties among members; never from true tastes, topics, quality or fraud labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from scipy import sparse

from sim.core.table import Column, Table, column

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Evidence:
    """The log, summed up at one moment.

    Attributes
    ----------
    known : ndarray of int64, shape (H,)
        Persons with any interaction, ascending.
    weights : csr_matrix of float32, shape (H, products)
        Each known person's orders of each product, a click counting as part of an order.
    orders : ndarray of float64, shape (products,)
        Orders of each product, the older the less.
    """

    known: Array
    weights: sparse.csr_matrix
    orders: Array

    @property
    def history(self) -> tuple[Array, Array, Array]:
        """``weights`` as kernels take it: where each row starts, its products, their weights."""
        return self.weights.indptr, self.weights.indices, self.weights.data

    def rows(self, persons: Array) -> Array:
        """Return persons' rows of ``weights``, -1 for those who are not known; int64."""
        if self.known.size == 0:
            return np.full(len(persons), -1, np.int64)
        at = np.minimum(np.searchsorted(self.known, persons), self.known.size - 1)
        return np.where(self.known[at] == persons, at, -1)


class Log(Table):
    """Orders and clicks, one row each; moments in ticks, negative before the start."""

    person: Column = column(np.int32)
    product: Column = column(np.int32)
    tick: Column = column(np.int32)
    is_click: Column = column(np.bool_)  # on a shared product; else an order

    def evidence(self, products: int, tick: int, half_life: float, click_weight: float) -> Evidence:
        """Sum the log up.

        Parameters
        ----------
        products : int
            Size of the catalogue.
        tick : int
            Now.
        half_life : float
            Ticks after which an order counts half for popularity.
        click_weight : float
            What a click counts, in orders.
        """
        age = tick - self.tick
        fading = 0.5 ** (np.arange(age.max(initial=0) + 1) / half_life)
        orders = np.bincount(self.product, np.where(self.is_click, 0.0, fading[age]), minlength=products)
        counts = ~self.is_click | (click_weight > 0)
        person, product = self.person[counts], self.product[counts]
        weight = np.where(self.is_click[counts], click_weight, 1.0).astype(np.float32)
        entries = np.bincount(person)
        known = np.flatnonzero(entries)
        row = np.cumsum(entries > 0) - 1
        indptr, indices, data = _sum_duplicates(row, person, product, weight, entries[known])
        weights = sparse.csr_matrix((data, indices, indptr), shape=(known.size, products))
        return Evidence(known, weights, orders)


@nb.njit(cache=True)
def _sum_duplicates(row, person, product, weight, entries):  # type: ignore[no-untyped-def]
    """Return a compressed sparse matrix by person and product; faster than sorting the log, as each has few products."""
    start = np.zeros(entries.size + 1, np.int64)
    start[1:] = np.cumsum(entries)
    stop = start[:-1].copy()
    indices, data = np.empty(person.size, np.int32), np.empty(person.size, np.float32)
    for entry in range(person.size):
        at = row[person[entry]]
        first, place = start[at], stop[at]
        while place > first and indices[place - 1] > product[entry]:
            place -= 1
        if place > first and indices[place - 1] == product[entry]:
            data[place - 1] += weight[entry]
            continue
        for later in range(stop[at], place, -1):
            indices[later], data[later] = indices[later - 1], data[later - 1]
        indices[place], data[place] = product[entry], weight[entry]
        stop[at] += 1
    indptr = np.zeros(entries.size + 1, np.int32)
    for at in range(entries.size):
        indptr[at + 1] = indptr[at] + stop[at] - start[at]
        # Rows move towards the front only, so none is overwritten before it has moved.
        for offset in range(stop[at] - start[at]):
            indices[indptr[at] + offset], data[indptr[at] + offset] = indices[start[at] + offset], data[start[at] + offset]
    return indptr, indices[: indptr[-1]], data[: indptr[-1]]
