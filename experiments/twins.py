"""What a scheme changed, person by person.

Draws are addresses, so a person with the same uid in two arms of the same seed is one person in two worlds: their twin
has the same tastes, opens the shop at the same moments and has the same whims, unless a scheme or what it set off came
between. Comparing each person with their twin says who bought *because* of the scheme, and who was paid for what they
would have done anyway.

Fake accounts have no twins: they are not persons. What they take counts as a cost, never as growth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd


@dataclass(frozen=True)
class Twins:
    """One arm against the base, for one seed, over the real persons of both.

    Parameters
    ----------
    persons : int
        Real persons with a twin.
    unmatched : int
        Real persons of either arm without one; zero unless the arms have populations of different size.
    persuaded : int
        Bought in the arm, and not in the base.
    anyway : int
        Bought in both.
    put_off : int
        Bought in the base, and not in the arm.
    unmoved : int
        Bought in neither.
    incremental_gmv : float
        Yuan that persons paid, less what their twins paid.
    incremental_members : int
        Persons who signed up and whose twin did not, less the reverse.
    benefit : float
        Yuan of discounts and rewards that real persons got.
    anyway_benefit : float
        The part of it that went to those who bought in both.
    anyway_subsidised : int
        Bought in both, and got discounts or rewards in the arm.
    hit : int
        Real persons whom risk control refused something or caught in the arm.
    hit_gmv : float
        Yuan that their twins paid, less what they paid themselves.
    """

    persons: int
    unmatched: int
    persuaded: int
    anyway: int
    put_off: int
    unmoved: int
    incremental_gmv: float
    incremental_members: int
    benefit: float
    anyway_benefit: float
    anyway_subsidised: int
    hit: int
    hit_gmv: float


def compare_twins(base: pd.DataFrame, arm: pd.DataFrame) -> Twins:
    """Compare each real person of an arm with their twin in the base.

    Parameters
    ----------
    base, arm : DataFrame
        Tables ``people`` of two runs with the same seed (see :mod:`experiments.outcome`).

    Returns
    -------
    Twins
    """
    base, arm = base[~base["fake"]], arm[~arm["fake"]]
    _, in_base, in_arm = np.intersect1d(base["uid"], arm["uid"], assume_unique=True, return_indices=True)
    unmatched = len(base) + len(arm) - 2 * len(in_base)
    base, arm = base.iloc[in_base], arm.iloc[in_arm]
    bought_base, bought_arm = _bought(base), _bought(arm)
    benefit, hit = arm["benefit_yuan"].to_numpy(), arm["hit"].to_numpy()
    more = arm["gmv_yuan"].to_numpy() - base["gmv_yuan"].to_numpy()
    return Twins(
        persons=len(arm),
        unmatched=unmatched,
        persuaded=_count(bought_arm & ~bought_base),
        anyway=_count(bought_arm & bought_base),
        put_off=_count(~bought_arm & bought_base),
        unmoved=_count(~bought_arm & ~bought_base),
        incremental_gmv=_yuan(more),
        incremental_members=_count(_joined(arm)) - _count(_joined(base)),
        benefit=_yuan(benefit),
        anyway_benefit=_yuan(benefit[bought_arm & bought_base]),
        anyway_subsidised=_count(bought_arm & bought_base & (benefit > 0)),
        hit=_count(hit),
        hit_gmv=_yuan(-more[hit]),
    )


def _bought(people: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return np.asarray(people["orders"].to_numpy() > 0)


def _joined(people: pd.DataFrame) -> npt.NDArray[np.bool_]:
    joined = people["joined_day"].to_numpy() >= 0  # a member at the start joined before day 0
    return np.asarray(joined & (people["status"] != "prospect").to_numpy())


def _count(mask: npt.NDArray[np.bool_]) -> int:
    return int(np.count_nonzero(mask))


def _yuan(amounts: npt.NDArray[np.float64]) -> float:
    """Sum amounts of money exactly: each is a whole number of fen, and so is the sum."""
    return float(np.rint(amounts * 100).sum()) / 100
