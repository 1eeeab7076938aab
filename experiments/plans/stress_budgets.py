"""How likely a scheme's budget runs out: in the runs of each world, and with shocks as often as they come."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.outcome import RunResult
from experiments.plans.plan import Plan
from experiments.plans.stress import CALM_KEY, HOURS_A_YEAR, Key, StressPlan, World
from experiments.plans.stress_chances import share_estimate
from experiments.plans.stress_losses import Frequency
from sim.core.config import FEN_PER_YUAN

Array = npt.NDArray[np.float64]
PAYERS = ("platform", "merchants")


@dataclass(frozen=True)
class Budgets:
    """The budgets of the schemes of a plan.

    Parameters
    ----------
    plan : Plan
    worlds : sequence of World
    runs : mapping
        By key of the world, the runs by seed.
    """

    plan: Plan[StressPlan]
    worlds: Sequence[World]
    runs: Mapping[Key, Mapping[int, RunResult]]

    @property
    def schemes(self) -> list[str]:
        """Names of the schemes that have a budget."""
        return [s.name or s.kind for s in self.plan.scenario.config.schemes if s.budget is not None]

    def table(self) -> pd.DataFrame:
        """Return the share of runs of each world in which a scheme's budget ran out, with its exact 95% interval."""
        rows = []
        for world in self.worlds:
            for scheme in self.schemes:
                found = share_estimate(self.ran_out(scheme, world.key))
                if found.replicates:
                    rows.append((world.name, scheme, found.mean, found.low, found.high, found.replicates))
        return pd.DataFrame(rows, columns=["world", "scheme", "share", "low", "high", "runs"])

    def ran_out(self, scheme: str, key: Key) -> Array:
        """Return for each seed whether a scheme's budget ran out in a world: 1 or 0; NaN if the run failed."""
        world = next(world for world in self.worlds if world.key == key)
        budgets = {s.name or s.kind: s.budget for s in world.scenario.config.schemes}
        amount, runs = budgets.get(scheme), self.runs[key]
        if amount is None:
            return np.full(len(self.plan.seeds), math.nan)
        return np.array(
            [float(ran_out(runs[s], scheme, amount / FEN_PER_YUAN)) if s in runs else math.nan for s in self.plan.seeds]
        )

    def within_a_run(self) -> list[dict[str, Any]]:
        """Return the chance that each budget runs out within one run, shocks coming as often as they do.

        Intervals are exact (:func:`experiments.plans.stress_chances.share_estimate`): ``low`` and ``high`` of the
        ``chance``, ``calm_low`` and ``calm_high`` of the share of ``calm`` runs that exhaust it.

        In a seed whose calm run exhausts it, that is certain; else each event exhausts it if it did so in that seed's
        run with the shock. Two events that only together exhaust it are not seen, so the chance is a lower bound.
        """
        years = self.plan.scenario.config.horizon / HOURS_A_YEAR
        found = []
        for scheme in self.schemes:
            calm = self.ran_out(scheme, CALM_KEY)
            spared = 1 - calm
            for shock in (shock for shock in self.plan.config.shocks if shock.loss is None):
                hits = [w * self.ran_out(scheme, (shock.name, size, "", True)) for size, w in shock.chances]
                hit = np.sum(hits, axis=0)
                often = Frequency.of(years, probability=shock.probability, rate=shock.rate)
                spared = spared * (np.exp(-often.mean * hit) if often.repeats else 1 - often.mean * hit)
            chance, before = share_estimate(1 - spared), share_estimate(calm)
            found.append(
                {
                    "scheme": scheme, "calm": before.mean, "calm_low": before.low, "calm_high": before.high,
                    "chance": chance.mean, "low": chance.low, "high": chance.high, "runs": chance.replicates,
                }
            )  # fmt: skip
        return found


def ran_out(run: RunResult, scheme: str, budget: float) -> bool:
    """Whether a scheme had less left of its budget at the end of some day than one use of it costs on average.

    Parameters
    ----------
    run : RunResult
    scheme : str
        Name.
    budget : float
        Yuan.
    """
    facts = run.facts.get(scheme)
    if not facts or not facts["used"]:
        return False
    ledger = run.tables["ledger"]
    own = ledger[ledger["scheme"] == scheme]
    sign = own["source"].isin(PAYERS).astype(float) - own["target"].isin(PAYERS).astype(float)
    spent = (sign * own["amount_yuan"]).groupby(own["day"]).sum().sort_index().cumsum()
    most = float(spent.max())
    return bool(budget - most < most / facts["used"])
