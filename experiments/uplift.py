"""Individual effects: who was persuaded, and what a company gains by treating only those whom it expects to be.

Each person has a twin (:mod:`experiments.twins`), so we know what the scheme changed for them. A company knows only its
own experiment, in which each person was treated or not. Here a model learns from such an experiment whom to treat
(:func:`predict`), and what it promises (:func:`qini`) is laid beside what its ranking is worth in truth
(:func:`gain`).

References
----------
Kunzel, Sekhon, Bickel & Yu (2019), "Metalearners for estimating heterogeneous treatment effects", PNAS 116 (T-learner).
Radcliffe (2007), "Using control groups to target on predicted lift" (Qini).
Chernozhukov et al. (2018), "Double/debiased machine learning" (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

Array = npt.NDArray[Any]
KINDS = ("persuaded", "anyway", "put off", "unmoved")
"""With the scheme only, with and without it, without it only, neither."""
FOLDS = 5
POINTS = 51


def kinds(without: Array, under: Array) -> Array:
    """Return each person's kind, by whether their outcome is above zero in either world.

    Parameters
    ----------
    without, under : ndarray, shape (persons,)
        Outcomes of the same persons with nobody treated, and with everybody.
    """
    table = np.array([["unmoved", "put off"], ["persuaded", "anyway"]])
    result: Array = table[(under > 0).astype(int), (without > 0).astype(int)]
    return result


def profiles(kind: Array, before: pd.DataFrame, benefit: Array) -> pd.DataFrame:
    """Return what persons of each kind looked like before the scheme.

    Parameters
    ----------
    kind : ndarray of str, shape (persons,)
    before : DataFrame
        A row a person: what the platform had logged.
    benefit : float ndarray, shape (persons,)
        Yuan that each got out of the scheme.

    Returns
    -------
    DataFrame
        A row a kind, then ``everybody``: ``kind``, ``persons``, ``share``, ``benefit_share`` of all benefits,
        ``benefit`` a person, and the mean of each column of `before`.
    """
    rows = []
    total = benefit.sum()
    for name in (*KINDS, "everybody"):
        rows_of = np.ones(kind.size, bool) if name == "everybody" else kind == name
        mean = before[rows_of].mean() if rows_of.any() else before.mean() * np.nan
        rows.append(
            {
                "kind": name,
                "persons": int(rows_of.sum()),
                "share": float(rows_of.mean()),
                "benefit_share": float(benefit[rows_of].sum() / total) if total else np.nan,
                "benefit": float(benefit[rows_of].mean()) if rows_of.any() else np.nan,
                **mean.to_dict(),
            }
        )
    return pd.DataFrame(rows)


def predict(before: Array, outcome: Array, treated: Array, group: Array) -> tuple[Array, Array]:
    """Predict each person's effect from an experiment in which that person had no part (T-learner, cross-fitted).

    One model of gradient-boosted trees learns outcomes of the treated, one those of the others; the effect is the
    difference of what they predict. Predictions for a fold come from models that saw the other folds only. Folds are
    whole groups if there are several, so that neither a person nor their neighbours are on both sides.

    Parameters
    ----------
    before : float ndarray, shape (persons, covariates)
    outcome : float ndarray, shape (persons,)
    treated : bool ndarray, shape (persons,)
    group : int ndarray, shape (persons,)
        The replicate that each person is from.

    Returns
    -------
    effect : float ndarray, shape (persons,)
    untreated : float ndarray, shape (persons,)
        Predicted outcome without treatment.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import GroupKFold, KFold
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    groups = np.unique(group).size
    if groups > 1:
        folds = GroupKFold(min(FOLDS, groups)).split(before, groups=group)
    else:
        folds = KFold(FOLDS, shuffle=True, random_state=0).split(before)
    prediction = np.zeros((2, outcome.size))
    with threadpool_limits(1):  # so that sums do not depend on the number of cores
        for learn, tell in folds:
            for arm in (0, 1):
                rows = learn[treated[learn] == arm]
                if rows.size == 0:
                    raise ValueError(
                        "an experiment needs persons who are treated and persons who are not, in each fold."
                    )
                model = HistGradientBoostingRegressor(
                    max_iter=60, learning_rate=0.1, max_leaf_nodes=8, min_samples_leaf=max(20, rows.size // 200),
                    early_stopping=False, random_state=0,
                )  # fmt: skip
                prediction[arm, tell] = model.fit(before[rows], outcome[rows]).predict(before[tell])
    return prediction[1] - prediction[0], prediction[0]


def _shares(count: int, points: int) -> tuple[Array, Array]:
    share = np.linspace(0, 1, points)
    return share, np.rint(share * count).astype(np.int64)


def gain(score: Array, effect: Array, points: int = POINTS) -> pd.DataFrame:
    """Return the sum of true effects of those with the highest scores, per 1,000 of all persons.

    Parameters
    ----------
    score : float ndarray, shape (persons,)
        Who comes first; ties share what they bring evenly, so a constant score gives a straight line.
    effect : float ndarray, shape (persons,)
        Outcome less that of the twin.
    points : int
        Of the curve.

    Returns
    -------
    DataFrame
        ``share`` of persons treated, ``gain``.
    """
    share, upto = _shares(score.size, points)
    even = pd.Series(effect).groupby(score).transform("mean").to_numpy()
    total = np.concatenate([[0.0], np.cumsum(even[np.argsort(-score, kind="stable")])])
    return pd.DataFrame({"share": share, "gain": 1000 * total[upto] / score.size})


def qini(score: Array, outcome: Array, treated: Array, points: int = POINTS) -> pd.DataFrame:
    """Return the gain as an experiment estimates it: treated less untreated outcomes among those who come first.

    Parameters
    ----------
    score, outcome : float ndarray, shape (persons,)
    treated : bool ndarray, shape (persons,)
        By a coin for each person.
    points : int

    Returns
    -------
    DataFrame
        ``share``, ``gain`` per 1,000 of all persons: the difference of the means of those who come first, times their
        number. NaN where only treated, or only untreated, are among them.
    """
    share, upto = _shares(score.size, points)
    order = np.argsort(-score, kind="stable")
    y, z = outcome[order], treated[order].astype(np.float64)

    def running(values: Array) -> Array:
        return np.concatenate([[0.0], np.cumsum(values)])[upto]

    with np.errstate(invalid="ignore", divide="ignore"):
        difference = running(y * z) / running(z) - running(y * (1 - z)) / running(1 - z)
    found = np.where(upto == 0, 0.0, 1000 * difference * upto / score.size)
    return pd.DataFrame({"share": share, "gain": found})


def quality(curve: pd.DataFrame, ideal: pd.DataFrame) -> float:
    """Return how good a ranking is: 1 as the ideal, 0 as a random order, below 0 worse than random.

    It is the area between a curve and the straight line over that of the ideal; NaN if the ideal is a straight line.
    """

    def area(one: pd.DataFrame) -> float:
        share, height = one["share"].to_numpy(), one["gain"].to_numpy()
        return float(np.trapezoid(height - share * height[-1], share))

    best = area(ideal)
    return area(curve) / best if abs(best) > 1e-12 else float("nan")


def savings(score: Array, effect: Array, benefit: Array, shares: Sequence[float]) -> pd.DataFrame:
    """Return what treating only the first so many would keep of the effect, and of the cost.

    Effects are those that persons showed when everybody was treated: what the untreated pass on to the treated, and the
    reverse, is not part of it.

    Parameters
    ----------
    score, effect, benefit : float ndarray, shape (persons,)
    shares : sequence of float
        Of persons treated.

    Returns
    -------
    DataFrame
        ``share``, ``effect_share``, ``benefit_share``, of what treating everybody brings and costs.
    """
    order = np.argsort(-score, kind="stable")
    rows = []
    for share in shares:
        first = order[: round(share * score.size)]
        rows.append(
            {
                "share": share,
                "effect_share": effect[first].sum() / effect.sum() if effect.sum() else np.nan,
                "benefit_share": benefit[first].sum() / benefit.sum() if benefit.sum() else np.nan,
            }
        )
    return pd.DataFrame(rows)
