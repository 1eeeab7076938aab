"""Collaborative filtering: what people with like orders ordered, by the library `implicit`.

Two algorithms: ``als``, factors of persons and products by alternating least squares; and ``item_knn``, products whose
buyers overlap (cosine). Both run on one thread, so that bits do not depend on cores.

References
----------
Hu, Koren & Volinsky (2008), "Collaborative filtering for implicit feedback datasets", ICDM.
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
        self.similarity: sparse.csr_matrix | None = None
        with one_thread():
            if self.config.algorithm == "als":
                self.als = self._factorise(evidence)
            elif evidence.weights.nnz:
                self.similarity = self._neighbours(evidence)

    def scores(self, persons: Array) -> Array:
        """Return predicted preferences."""
        scores = np.zeros((len(persons), len(self.shop.products)), np.float32)
        rows = self._evidence.rows(persons)
        known = np.flatnonzero(rows >= 0)
        if known.size == 0:
            return scores
        weights = self._evidence.weights[rows[known]]
        if self.als is not None:
            with one_thread():
                factors = self.als.recalculate_user(known, weights)
            _add_products(known, factors, np.ascontiguousarray(self.als.item_factors.T), scores)
        elif self.similarity is not None:
            scores[known] = (weights @ self.similarity).toarray()
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


@nb.njit(cache=True)
def _add_products(rows, left, right, out):  # type: ignore[no-untyped-def]
    """Add ``left @ right`` to the chosen rows of ``out``.

    A library's product may round a row differently depending on which rows stand beside it; here nobody's scores
    depend on who else is scored.
    """
    for i in range(rows.size):
        row = out[rows[i]]
        for k in range(left.shape[1]):
            factor = left[i, k]
            for j in range(row.size):
                row[j] += factor * right[k, j]
