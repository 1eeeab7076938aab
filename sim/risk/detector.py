"""A detector that learns from logs and from labels that come late: isolation forest first, gradient boosting later.

An isolation forest needs no labels: it finds accounts that are set apart by few signals. Most of what is rare is not
suspicious (somebody who came often, say), so it is shown each signal only as far as it exceeds the median in the
direction of :data:`SUSPICIOUS`. As soon as ``min_labels`` frauds are known, gradient boosting learns from them, with
the forest's verdict as one more signal; accounts of which nothing bad became known in time are taken to be honest,
which some of them are not. Of n known frauds, boosting has the weight ``n / (n + 20)``, the forest the rest.

A score is the share of accounts presumed honest that look less suspicious, so a threshold on it says how many honest
people it will hit, as far as the past tells. The presumed honest are compared as a model sees them that has not learnt
from them (cross-fitting).

Everything is fitted from the arrays given, in one thread and from fixed seeds: the same arrays give the same bits, so a
run that goes on from a checkpoint fits what it had.

References
----------
Liu, Ting & Zhou (2008), "Isolation forest". Friedman (2001), "Greedy function approximation: a gradient boosting
machine".
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import ThreadpoolController

from sim.risk.signals import NAMES

if TYPE_CHECKING:
    from sim.scenario.risk import DetectorConfig

Array = npt.NDArray[Any]
HONEST, FRAUD, UNKNOWN = 0, 1, -1
LESS = ("hours_to_order", "visits_before", "visits_after", "basket", "units")  # suspicious where small
SUSPICIOUS = np.where(np.isin(NAMES, LESS), -1.0, 1.0)
FEW = 10  # accounts of which nothing can be learnt yet
_FOLDS = 2
_HALFWAY = 20  # known frauds with which boosting counts as much as the forest


class Detector:
    """Scores accounts by their signals; see the module's docstring.

    Parameters
    ----------
    config : DetectorConfig
    seed : int
        Of the run.
    """

    def __init__(self, config: DetectorConfig, seed: int) -> None:
        self.config, self.seed = config, seed
        self._forest: list[tuple[Any, Array]] = []  # trees, and the length of the path to each of their nodes
        self._boosting: Any = None
        self._middle: Array = np.zeros(len(NAMES))
        self._weight = 0.0  # of the boosting
        # Of those presumed honest, ascending: by the forest, by the boosting, and by both.
        self._isolated = self._suspected = self._honest = np.zeros(0)

    @property
    def is_trained(self) -> bool:
        """Whether there was anything to learn from."""
        return self._honest.size > 0

    @property
    def has_learnt_from_labels(self) -> bool:
        """Whether gradient boosting is at work."""
        return self._boosting is not None

    def fit(self, signals: Array, labels: Array, accounts: Array) -> None:
        """Learn from scratch.

        Parameters
        ----------
        signals : float64 ndarray, shape (n, signals)
            As they were when decisions were due (:mod:`sim.risk.signals`).
        labels : int8 ndarray, shape (n,)
            HONEST (nothing became known in time), FRAUD or UNKNOWN (too early to tell).
        accounts : int ndarray, shape (n,)
            Whom each row is of; no model tells of an account from which it has learnt.
        """
        unsuspected = labels != FRAUD
        self._boosting = None
        self._honest = np.zeros(0)
        if unsuspected.sum() < FEW:
            return
        with one_thread():
            self._isolate(signals[unsuspected])
            isolation, frauds = self._isolation(signals), int((labels == FRAUD).sum())
            reference = labels == HONEST if (labels == HONEST).sum() >= FEW else unsuspected
            self._isolated = np.sort(isolation[reference])
            suspicion = _share_below(self._isolated, isolation)
            if frauds >= self.config.min_labels and (labels == HONEST).sum() >= FEW:
                boosted = self._boost(np.column_stack([signals, isolation]), labels, accounts)
                self._suspected = np.sort(boosted[reference])
                self._weight = frauds / (frauds + _HALFWAY)
                suspicion += self._weight * (_share_below(self._suspected, boosted) - suspicion)
        self._honest = np.sort(suspicion[reference])

    def scores(self, signals: Array) -> Array:
        """Return the share of accounts presumed honest that look less suspicious, ties counting half; in [0, 1]."""
        if not self.is_trained or len(signals) == 0:
            return np.zeros(len(signals))
        with one_thread():
            isolation = self._isolation(signals)
            suspicion = _share_below(self._isolated, isolation)
            if self._boosting is not None:
                boosted = self._boosting.decision_function(np.column_stack([signals, isolation]))
                suspicion += self._weight * (_share_below(self._suspected, boosted) - suspicion)
        return _share_below(self._honest, suspicion)

    def _isolate(self, signals: Array) -> None:
        from sklearn.ensemble import IsolationForest

        self._middle = np.median(signals, axis=0)
        forest = IsolationForest(n_estimators=self.config.trees, random_state=self.seed % 2**31)
        forest.fit(self._excess(signals))
        self._forest = [(tree.tree_, _path_lengths(tree.tree_)) for tree in forest.estimators_]

    def _excess(self, signals: Array) -> Array:
        """Return how far each signal exceeds the median in its suspicious direction."""
        excess: Array = np.maximum(SUSPICIOUS * (signals - self._middle), 0).astype(np.float32)
        return excess

    def _isolation(self, signals: Array) -> Array:
        """Return minus the mean length of the path on which each row is isolated.

        (The library's own score is a monotone function of it, and takes ten times as long for a few rows.)
        """
        excess = self._excess(signals)
        return -np.mean([length[tree.apply(excess)] for tree, length in self._forest], axis=0)

    def _boost(self, signals: Array, labels: Array, accounts: Array) -> Array:
        """Fit the boosting and return the suspicion of all rows, each by a model that has not seen its account."""
        told = np.flatnonzero(labels != UNKNOWN)
        suspicion = np.empty(len(labels))
        fold = np.zeros(len(labels), np.int64)
        fold[told] = np.unique(accounts[told], return_inverse=True)[1] % _FOLDS
        self._boosting = self._boosted(signals[told], labels[told])
        suspicion[labels == UNKNOWN] = self._boosting.decision_function(signals)[labels == UNKNOWN]
        for number in range(_FOLDS):
            learn, test = told[fold[told] != number], told[fold[told] == number]
            if np.unique(labels[learn]).size < 2:
                suspicion[test] = self._boosting.decision_function(signals[test])
            else:
                suspicion[test] = self._boosted(signals[learn], labels[learn]).decision_function(signals[test])
        return suspicion

    def _boosted(self, signals: Array, labels: Array) -> Any:
        from sklearn.ensemble import HistGradientBoostingClassifier

        model = HistGradientBoostingClassifier(
            max_iter=self.config.trees, max_depth=3, min_samples_leaf=3, l2_regularization=1.0, early_stopping=False,
            random_state=self.seed % 2**31,
        )  # fmt: skip
        return model.fit(signals, labels)


def _share_below(ordered: Array, values: Array) -> Array:
    """Return the share of the ordered values that are below each value, ties counting half."""
    lower, upper = (np.searchsorted(ordered, values, side=side) for side in ("left", "right"))
    share: Array = (lower + upper) / (2 * ordered.size)
    return share


def _path_lengths(tree: Any) -> Array:
    """Return the depth of each node of a tree, plus what it would take to isolate one of the rows that end there.

    Notes
    -----
    The mean path of unsuccessful search in a binary tree of n keys: ``2 (ln(n - 1) + 0.5772) - 2 (n - 1) / n``.
    """
    n = tree.n_node_samples.astype(np.float64)
    below = np.where(n == 2, 1.0, 2 * (np.log(np.maximum(n - 1, 1)) + np.euler_gamma) - 2 * (n - 1) / n)
    depth: Array = tree.compute_node_depths() - 1 + np.where(n > 1, below, 0.0)
    return depth


def one_thread() -> Any:
    """Return a context in which libraries use one thread, so that bits do not depend on cores."""
    return _controller().limit(limits=1)


@functools.cache
def _controller() -> ThreadpoolController:
    import sklearn.ensemble  # noqa: F401  (so that its libraries are loaded, and found)

    return ThreadpoolController()
