"""Linear interference, where everything is known: ``y = a + b z + g (share of treated neighbours) + noise``.

It is what designs and estimators are checked against. The total effect is ``b + g t``, with ``t`` the share of persons
who have neighbours at all; coins of persons estimate ``b``, a cluster design ``b + g w`` with ``w`` the share of
neighbours within the cluster (``interference_linear``), less what a fixed number of treated units takes away: if one's
own unit is treated, each other one is a little less likely to be.
"""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from experiments.lab.designs import Design
from experiments.lab.exposure import Neighbours

Array = npt.NDArray[Any]


def outcome(neighbours: Neighbours, treated: Array, b: float, g: float, noise: Array) -> Array:
    """Return every person's outcome."""
    result: Array = b * treated + g * neighbours.share_treated(treated) + noise
    return result


def difference_expected(design: Design, within: float, tied: float, b: float, g: float) -> float:
    """Return what the difference of means is expected to be under a design.

    Parameters
    ----------
    design : Design
    within : float
        Share of a person's neighbours in the same unit, mean over the analysed who have any.
    tied : float
        Share of the analysed who have neighbours.
    b, g : float
    """
    elsewhere = 0.0 if design.own_coins else -1.0 / (design.units - 1)
    return b + g * tied * (within + (1 - within) * elsewhere)
