"""What a comparison finds: of each arm, and which of several the verdict is about.

The arm that is named was chosen for its gain, so it is tested against each of those that it was chosen over, with
Holm's correction for all pairs; and each arm's own gain is adjusted for the number of arms.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from experiments import stats, wording

if TYPE_CHECKING:
    from experiments.comparison import Arm, Comparison

RIVALRY = [
    "arm", "rival", "pairs", "mean_difference", "ci_low", "ci_high", "p_value", "p_adjusted", "verdict",
    "replicates_needed",
]  # fmt: skip


class Verdicts:
    """The findings of one comparison.

    Parameters
    ----------
    study : Comparison
    """

    def __init__(self, study: Comparison) -> None:
        self._study = study

    def of(self, arm: str) -> str:
        """Return the finding on one arm in a sentence."""
        return wording.sentence(self._findings[arm])

    def of_all(self) -> str:
        """Return what the whole comparison comes to in a sentence."""
        return wording.verdict(list(self._findings.values()), self._choice, self.rivals)

    @property
    def chosen(self) -> dict[str, Any]:
        """The arm that the verdict is about, what it was chosen from, and how sure each arm's gain is."""
        choice = self._choice
        return {
            "arm": None if choice is None else choice.best.arm,
            "among": [] if choice is None else [finding.arm for finding in choice.pool],
            "p_gain": {arm: finding.p_gain for arm, finding in self._findings.items()},
        }

    @cached_property
    def rivals(self) -> list[dict[str, Any]]:
        """The rows of :meth:`experiments.comparison.Comparison.rivals`."""
        if self._choice is None:
            return []
        best, pool = self._choice.best.arm, [finding.arm for finding in self._choice.pool]
        others = [arm for arm in pool if arm != best]
        pairs = [(best, other) for other in others] + list(combinations(others, 2))
        arms = self._study.arms
        differences = [_gained(arms[one], arms[other]) for one, other in pairs]
        p_values, adjusted = _tested(differences)
        sure = 1 - (1 - stats.CONFIDENCE) / max(len(pairs), 1)
        return [
            _rivalry(best, other, differences[i], float(p_values[i]), float(adjusted[i]), sure)
            for i, other in enumerate(others)
        ]

    @cached_property
    def _choice(self) -> wording.Choice | None:
        return wording.Choice.of(list(self._findings.values())) if len(self._study.arms) > 1 else None

    @cached_property
    def _findings(self) -> dict[str, wording.Finding]:
        arms, base = self._study.arms, self._study.base
        _, adjusted = _tested([_gained(arm, base) for arm in arms.values()])
        return {name: self._finding(name, float(p)) for name, p in zip(arms, adjusted, strict=True)}

    def _finding(self, arm: str, p_gain: float) -> wording.Finding:
        study, effects = self._study, self._study.effects()
        rows = effects[(effects["arm"] == arm) & (effects["metric"] == "new_members")]
        row = {str(name): value for name, value in rows.to_dict("records")[0].items()}
        needed = row["replicates_needed"]
        runs = study.arms[arm]
        return wording.Finding(
            arm=arm,
            scenario=runs.scenario,
            base=study.base.scenario,
            members={**row, "replicates_needed": None if pd.isna(needed) else int(needed)},
            p_gain=p_gain,
            cost=study.increment(arm, "incremental_cost"),
            cost_per_member=study.increment(arm, "cost_per_extra_member"),
            contribution=study.increment(arm, "incremental_contribution"),
            fraud_share=stats.mean_estimate(runs.values("fraud_loss_share", list(runs.runs))),
            fraud_share_before=stats.mean_estimate(study.base.values("fraud_loss_share", list(study.base.runs))),
            fake_orders=stats.mean_estimate(runs.values("fraud_order_share", list(runs.runs))),
            refused=stats.mean_estimate(runs.values("false_intercept_rate", list(runs.runs))),
            broken=self._guarded(arm, "fail"),
            undecided=self._guarded(arm, "undecided"),
        )

    def _guarded(self, arm: str, state: str) -> list[str]:
        """Return the metrics of an arm's guardrails that are in some state, each once."""
        return list(dict.fromkeys(c.metric for c in self._study.checks if c.scenario == arm and c.state == state))


def _gained(arm: Arm, other: Arm) -> stats.Values:
    """Return by how many new members an arm is above another, with each seed that both have."""
    seeds = [seed for seed in arm.runs if seed in other.runs]
    difference: stats.Values = arm.values("new_members", seeds) - other.values("new_members", seeds)
    return difference


def _tested(differences: Sequence[stats.Values]) -> tuple[stats.Values, stats.Values]:
    """Return the p-value of each paired difference, and these adjusted for their number: 1 for fewer than two pairs."""
    p_values = np.array([stats.p_value(difference) for difference in differences])
    return p_values, stats.holm(np.nan_to_num(p_values, nan=1.0))


def _rivalry(
    arm: str, rival: str, differences: stats.Values, p_value: float, p_adjusted: float, sure: float
) -> dict[str, Any]:
    """Return how an arm does beside another, `sure` being the confidence that settles a pair among all others."""
    found = stats.mean_estimate(differences)
    verdict = stats.verdict(found, 1)
    if verdict in ("better", "worse", "undecided"):
        verdict = "better" if found.mean > 0 and p_adjusted <= 1 - stats.CONFIDENCE else "undecided"
    return {
        "arm": arm,
        "rival": rival,
        "pairs": found.replicates,
        "mean_difference": found.mean,
        "ci_low": found.low,
        "ci_high": found.high,
        "p_value": p_value,
        "p_adjusted": p_adjusted,
        "verdict": verdict,
        "replicates_needed": stats.replicates_needed(differences, sure) if verdict == "undecided" else None,
    }
