"""Guardrails: metrics that must stay within bounds, with confidence.

A bound holds if the one-sided confidence limit of the metric's mean over replicates, at the confidence that the
scenario asks for, is within it; it is broken if the opposite limit is outside; otherwise more replicates are needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from experiments.stats import Estimate

Estimator = Callable[[str, float], Estimate | None]
"""From a metric's name and a two-sided confidence to its estimate; None if nobody knows that metric here."""
State = Literal["pass", "fail", "undecided"]


@dataclass(frozen=True)
class Check:
    """What became of one bound of one guardrail.

    Parameters
    ----------
    scenario : str
        Whose metric is checked.
    metric : str
    bound : str
        ``min`` or ``max``.
    limit : float
    confidence : float
    mean : float
        Over replicates; NaN without data.
    confidence_limit : float
        The one-sided limit that decides: on the side of the bound, or if it fails the opposite one; NaN for fewer than
        two replicates.
    state : str
        ``pass``, ``fail`` or ``undecided``.
    reason : str
        Why it is undecided; else empty.
    """

    scenario: str
    metric: str
    bound: Literal["min", "max"]
    limit: float
    confidence: float
    mean: float
    confidence_limit: float
    state: State
    reason: str


def side(bound: str, state: str) -> str:
    """Return on which side of its confidence limit a metric is: beyond the bound if that fails."""
    return "at most" if (bound == "max") != (state == "fail") else "at least"


def check(scenario: str, guardrails: Iterable[Any], estimate: Estimator) -> list[Check]:
    """Check a scenario's guardrails.

    Parameters
    ----------
    scenario : str
        Name to report.
    guardrails : iterable of Guardrail
        Of the scenario.
    estimate : callable
        Gives a metric's mean with its two-sided interval.

    Returns
    -------
    list of Check
        One for each bound.
    """
    checks = []
    for guardrail in guardrails:
        # A two-sided interval of confidence 2c - 1 leaves 1 - c on either side.
        found = estimate(guardrail.metric, 2 * guardrail.confidence - 1)
        for bound, limit in (("min", guardrail.min), ("max", guardrail.max)):
            if limit is not None:
                checks.append(_check(scenario, guardrail.metric, bound, limit, guardrail.confidence, found))
    return checks


def _check(scenario: str, metric: str, bound: Any, limit: float, confidence: float, found: Estimate | None) -> Check:
    if found is None:
        found, reason = Estimate(float("nan")), "needs a comparison with a base"
    elif found.replicates == 0:
        reason = "not enough data"
    elif found.replicates == 1:
        reason = "one replicate says nothing about confidence"
    else:
        reason = "more replicates are needed"
    # Compare with the sign turned so that a minimum is a maximum.
    sign = 1.0 if bound == "max" else -1.0
    near, far = (found.high, found.low) if bound == "max" else (found.low, found.high)
    state: State = "undecided"
    if sign * near <= sign * limit:
        state = "pass"
    elif sign * far > sign * limit:
        state = "fail"
    decides = far if state == "fail" else near
    reason = reason if state == "undecided" else ""
    return Check(scenario, metric, bound, limit, confidence, found.mean, decides, state, reason)
