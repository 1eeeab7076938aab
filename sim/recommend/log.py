"""What a platform knows of its members' wishes: its own log of orders and clicks.

Every recommender learns from this log, from what the catalogue shows to anybody (category, price, stock, impressions)
and from ties among members; never from true tastes, topics, quality or fraud labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
        Orders of each product that its impressions brought, the older the less.
    impressions : ndarray of float64, shape (products,)
        How often each product was shown to visitors who had come for nothing in particular, the longer ago the less.
    """

    known: Array
    weights: sparse.csr_matrix
    orders: Array
    impressions: Array

    @property
    def history(self) -> tuple[Array, Array, Array]:
        """``weights`` as kernels take it: where each row starts, its products, their weights."""
        return self.weights.indptr, self.weights.indices, self.weights.data

    @cached_property
    def row_of(self) -> Array:
        """Row of ``weights`` of each person up to the last one who is known, -1 for those who are not; int32."""
        row_of = np.full(int(self.known.max(initial=-1)) + 1, -1, np.int32)
        row_of[self.known] = np.arange(self.known.size)
        return row_of

    def rows(self, persons: Array) -> Array:
        """Return persons' rows of ``weights``, -1 for those who are not known; int64."""
        rows = np.full(len(persons), -1, np.int64)
        old = persons < self.row_of.size
        rows[old] = self.row_of[persons[old]]
        return rows


class Impressions(Table):
    """How often each product was shown to visitors who had come for nothing in particular; a row a product."""

    recent: Column = column(np.float64)  # the longer ago the less


class Log(Table):
    """Orders and clicks, one row each; moments in ticks, negative before the start."""

    person: Column = column(np.int32)
    product: Column = column(np.int32)
    tick: Column = column(np.int32)
    is_click: Column = column(np.bool_)  # on a shared product; else an order
    by_link: Column = column(np.bool_)  # the buyer had come for a product, so the slate did not bring the order

    def evidence(
        self, products: int, tick: int, half_life: float, click_weight: float, impressions: Array | None = None
    ) -> Evidence:
        """Sum the log up.

        Parameters
        ----------
        products : int
            Size of the catalogue.
        tick : int
            Now.
        half_life : float
            Ticks after which an order and an impression count half for popularity.
        click_weight : float
            What a click counts, in orders.
        impressions : ndarray of float64, shape (products,), optional
            Since the start, faded already; default: none.

        Notes
        -----
        Impressions before the start were not logged. They are taken to have been the same for all products, and as many
        as have brought so many orders since.
        """
        age = tick - self.tick
        # Few ages are distinct, and powers are slow.
        fading = 0.5 ** (np.arange(age.max(initial=0) + 1) / half_life)
        worth, since = fading[age] * ~(self.is_click | self.by_link), self.tick >= 0
        before, after = (np.bincount(self.product, worth * part, minlength=products) for part in (~since, since))
        shown = np.zeros(products) if impressions is None else impressions
        rate = after.sum() / shown.sum() if after.any() and shown.any() else 1.0
        counts = ~self.is_click | (click_weight > 0)
        person = self.person[counts]
        present = np.bincount(person) > 0
        row = (np.cumsum(present, dtype=np.int32) - 1)[person]
        weight = np.where(self.is_click[counts], np.float32(click_weight), np.float32(1.0))
        shape = (int(present.sum()), products)
        return Evidence(
            known=np.flatnonzero(present),
            weights=sparse.csr_matrix((weight, (row, self.product[counts])), shape=shape),
            orders=before + after,
            impressions=shown + before.sum() / (products * rate),
        )
