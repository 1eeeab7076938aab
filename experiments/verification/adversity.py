"""Cases of fraud and misfortune: what splitting into several accounts earns, and what a severe event costs.

References
----------
Emek, Karidi, Tennenholtz & Zohar (2011), "Mechanisms for multi-level marketing", EC'11.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from agents.actions import DEAREST, NOBODY, Deed, Goods, Step, plan_of
from agents.rehearsal import Rehearsal
from experiments.plans.stress_losses import Frequency, LogNormal, Risk
from experiments.verification.checks import Check, Findings, must
from sim.scenario import Scenario

_MOST_LEVELS = 8  # of commission, and so identities
_FEN = 100
_ENOUGH = 0.008  # standard error over target that a default number of periods gives


def splitting(a: float = 0.3, identities: int = 5) -> list[Check]:
    """Geometric rewards: what a buyer earns who splits into a chain of accounts, by a rehearsal.

    The chain opens in the rehearsal that rings and ``shopsim attack`` use, its last account buys, and each account
    above it gets commission. Every reward is rounded to a fen, which is the error of this case.

    Parameters
    ----------
    a : float
        The first level's commission; each further one is this part of the one before. In (0, 0.5].
    identities : int
        Accounts that are paid, from 1 to 8.
    """
    must(0 < a <= 0.5, "a must be above 0 and at most 0.5", a)
    must(1 <= identities <= _MOST_LEVELS, f"identities must be from 1 to {_MOST_LEVELS}", identities)
    rates = [round(a**level, 6) for level in range(1, _MOST_LEVELS + 1)]
    scheme = {
        "kind": "referral", "bonus": {"inviter": 0, "invitee": 0}, "rates": rates, "freeze": "0d",
        "withdrawal": {"minimum": 0},
    }  # fmt: skip
    stage = Rehearsal(Scenario.from_dict({"people": {"size": 200}, "schemes": [scheme]}), seed=1)
    split, single = stage.play([plan_of(_chain(identities)), plan_of(_chain(1))]).cash[:, 1]
    found = Findings("splitting", {"a": a, "identities": identities})
    exact = sum(a**i for i in range(identities))
    rounding = (identities + exact) / 2 / single  # half a fen a level, and half a fen of what they are compared with
    found.note("reward over that of one identity", exact, split / single, rounding, "sum of a^i for i < identities")
    return found.checks


def _chain(identities: int) -> list[Step]:
    opened = [Step(Deed.OPEN, account, account - 1 if account else NOBODY) for account in range(identities + 1)]
    return [*opened, Step(Deed.BUY, identities, NOBODY, Goods(DEAREST))]


def severe(
    probability: float = 0.012, loss: float = 50_000.0, spread: float = 1.0, periods: int | None = None, seed: int = 1
) -> list[Check]:
    """Stated law of a severe event in the Monte Carlo of stress tests: how often it comes, and what it costs.

    Parameters
    ----------
    probability : float
        That it comes in a period; from 0.001 to 1.
    loss : float
        Yuan that an event costs, mean; the law is log-normal.
    spread : float
        Standard deviation of the loss's logarithm, from 0 to 1.5.
    periods : int, optional
        Default: so many that the standard errors are below 1% of the targets.
    seed : int
    """
    must(0.001 <= probability <= 1, "probability must be from 0.001 to 1", probability)
    must(0 < loss < math.inf, "loss must be above 0", loss)
    must(0 <= spread <= 1.5, "spread must be from 0 to 1.5", spread)
    must(periods is None or 1000 <= periods <= 100_000_000, "periods must be from 1000 to 100_000_000", periods)
    risk = Risk(Frequency.of(1.0, probability=probability, rate=None), LogNormal(loss, spread))
    a_event = math.exp(spread**2) - 1  # variance of an event's loss over its squared mean
    if periods is None:
        periods = math.ceil((a_event + 1) / probability / _ENOUGH**2)
    losses = risk.simulate(periods, np.random.default_rng(seed))
    given: dict[str, Any] = {"probability": probability, "loss": loss, "spread": spread, "periods": periods}
    found = Findings("severe", {**given, "seed": seed})
    came = losses > 0
    found.add("share of periods in which it comes", probability, came.astype(float), "the stated probability")
    found.add("loss of an event, yuan", loss, losses[came], "the stated mean")
    found.add("loss of a period, yuan", probability * loss, losses, "probability times mean")
    return found.checks
