"""Collaborative filtering: what people with like orders ordered, by the library `implicit`.

Two algorithms: ``als``, factors of persons and products by alternating least squares; and ``item_knn``, products whose
buyers overlap (cosine). Both run on one thread, so that bits do not depend on cores.

References
----------
Hu, Koren & Volinsky (2008), "Collaborative filtering for implicit feedback datasets", ICDM.
Sherman & Morrison (1950), "Adjustment of an inverse matrix corresponding to a change in one element of a given
matrix", Annals of Mathematical Statistics 21.
Hastie, Mazumder, Lee & Zadeh (2015), "Matrix completion and low-rank SVD via fast alternating least squares", JMLR 16.
Geman (1980), "A limit theorem for the norm of random matrices".
"""

from __future__ import annotations

import math
import warnings
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import CosineRecommender
from implicit.utils import ParameterWarning
from scipy import sparse
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from sim.core import draws
from sim.core.draws import Stream
from sim.recommend.base import Recommender
from sim.recommend.log import Evidence

Array = npt.NDArray[Any]
ITERATIONS = 3  # more did not find held-out orders better, on planted tastes
LEARNERS = 10_000  # persons who teach the products' factors; more did not either
UNROLLED = 4  # factors that are added to scores at a time, so that these are fetched and put back a quarter as often


@cache
def _threadpools() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[Any]:
    """Return a context in which linear algebra runs on one thread."""
    limit: AbstractContextManager[Any] = _threadpools().limit(limits=1, user_api="blas")
    return limit


class Collaborative(Recommender):
    """Scores products by ALS or item-kNN; zero for persons without orders and clicks."""

    def train(self, evidence: Evidence) -> None:
        """Learn products' factors or neighbours."""
        self._evidence = evidence
        self.als: AlternatingLeastSquares | None = None
        # What is not learnt is empty, and adds nothing to scores.
        products = len(self.shop.products)
        factors, inverse = np.zeros((products, 0)), np.zeros((0, 0))
        neighbours = sparse.csr_matrix((products, products), dtype=np.float32)
        with one_thread():
            if self.config.algorithm == "als":
                self.als = self._factorise(evidence)
            elif evidence.weights.nnz:
                neighbours = self._neighbours(evidence)
            if self.als is not None:
                factors = self.als.item_factors.astype(np.float64)
                inverse = np.linalg.inv(factors.T @ factors + self.als.regularization * np.eye(factors.shape[1]))
        by_factor = np.zeros((-(-factors.shape[1] // UNROLLED) * UNROLLED, products), np.float32)
        by_factor[: factors.shape[1]] = factors.T
        self.knowledge = (
            factors, by_factor, inverse,
            neighbours.indptr, neighbours.indices.astype(np.uint32), neighbours.data.astype(np.float32),
        )  # fmt: skip

    def scores(self, persons: Array) -> Array:
        """Return predicted preferences."""
        scores = np.empty((len(persons), len(self.shop.products)), np.float32)
        score_preferences(self._evidence.rows(persons), self._evidence.history, self.knowledge, scores)
        return scores

    def _factorise(self, evidence: Evidence) -> AlternatingLeastSquares | None:
        """Fit products' factors to a sample of the persons with several products; others say nothing of likeness.

        The penalty is the norm that chance alone gives a matrix of this size and sum of squares,
        ``sqrt(squares / products) + sqrt(squares / persons)``: penalised least squares lowers all singular values by
        it, so what is left is signal.
        """
        shop, products = self.shop, len(self.shop.products)
        several = np.flatnonzero(np.diff(evidence.weights.indptr) > 1)
        if several.size == 0:
            return None
        uid = shop.people.uid[evidence.known[several]]
        teaches = draws.uniform(shop.seed, Stream.FACTORS, uid) < LEARNERS / several.size
        sample = evidence.weights[several[teaches]]
        if sample.nnz == 0:
            return None
        squares = float(np.square(sample.data, dtype=np.float64).sum())
        penalty = math.sqrt(squares / products) + math.sqrt(squares / sample.shape[0])
        model = AlternatingLeastSquares(
            factors=self.config.factors, regularization=penalty, iterations=ITERATIONS, num_threads=1
        )
        numbers, factors = np.arange(products)[:, None], np.arange(self.config.factors)[None, :]
        model.item_factors = draws.normal(shop.seed, Stream.FACTORS, numbers, factors, k=1).astype(np.float32)
        model.user_factors = np.zeros((sample.shape[0], self.config.factors), np.float32)
        model.fit(sample, show_progress=False)
        return model

    def _neighbours(self, evidence: Evidence) -> sparse.csr_matrix:
        model = CosineRecommender(K=self.config.neighbours, num_threads=1)
        with warnings.catch_warnings():
            # The library warns about a format that it made itself.
            warnings.simplefilter("ignore", ParameterWarning)
            model.fit(evidence.weights, show_progress=False)
        similarity: sparse.csr_matrix = model.similarity
        return similarity


@nb.njit(cache=True, nogil=True)
def score_preferences(rows, history, knowledge, scores):  # type: ignore[no-untyped-def]
    """Fill in predicted preferences, by what was learnt: factors or neighbours.

    Nobody's scores depend on who else is scored, as they may with a library's matrix product.
    """
    start, products, weights = history
    factors, by_factor, inverse, near_start, near, similarity = knowledge
    count = len(inverse)
    scratch, person = (np.empty((count, count)), np.empty(count)), np.empty(count)
    padded = np.zeros(len(by_factor), np.float32)
    for i in range(rows.size):
        row = scores[i]
        for product in range(row.size):
            row[product] = 0.0
        if rows[i] < 0:
            continue
        first, last = start[rows[i]], start[rows[i] + 1]
        for entry in range(first, last):
            for place in range(near_start[products[entry]], near_start[products[entry] + 1]):
                row[near[place]] += weights[entry] * similarity[place]
        _solve(products[first:last], weights[first:last], factors, inverse, scratch, person)
        for k in range(count):
            padded[k] = person[k]
        for k in range(0, padded.size, UNROLLED):
            a, b, c, d = padded[k], padded[k + 1], padded[k + 2], padded[k + 3]
            for product in range(row.size):
                row[product] += (
                    a * by_factor[k, product] + b * by_factor[k + 1, product]
                    + c * by_factor[k + 2, product] + d * by_factor[k + 3, product]
                )  # fmt: skip


@nb.njit(cache=True, nogil=True)
def _solve(products, weights, factors, inverse, scratch, person):  # type: ignore[no-untyped-def]
    """Fill in a person's factors: the solution ``x`` of the least squares of Hu et al., with products' factors ``y``.

    ``(sum(y y') + penalty + sum((w - 1) y y')) x = sum(w y)``, where the first sum is over all products and the others
    over the person's. The inverse of the first two terms is given, and each product of the person's changes it by the
    formula of Sherman & Morrison: most persons have fewer products than there are factors.
    """
    count = person.size
    changed, target = scratch
    for k in range(count):
        target[k] = 0.0
        for j in range(count):
            changed[k, j] = inverse[k, j]
    for entry in range(products.size):
        factor, weight = factors[products[entry]], nb.float64(weights[entry])
        for k in range(count):
            target[k] += weight * factor[k]
        if weight != 1.0:
            _multiply(changed, factor, person)
            change = 0.0
            for k in range(count):
                change += factor[k] * person[k]
            change = (weight - 1.0) / (1.0 + (weight - 1.0) * change)
            for k in range(count):
                step = change * person[k]
                for j in range(count):
                    changed[k, j] -= step * person[j]
    _multiply(changed, target, person)


@nb.njit(cache=True, nogil=True)
def _multiply(symmetric, vector, out):  # type: ignore[no-untyped-def]
    """Fill in a symmetric matrix times a vector, row by row so that it runs on contiguous memory."""
    for j in range(out.size):
        out[j] = 0.0
    for k in range(vector.size):
        for j in range(out.size):
            out[j] += vector[k] * symmetric[k, j]
