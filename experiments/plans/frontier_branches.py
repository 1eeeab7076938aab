"""Whether it matters where a reward comes from: branches of warmed-up shops, from lower and from higher rewards.

Rings carry beliefs, devices and accounts, so a reward that would not have drawn them in may still keep them. For each
seed one shop is warmed up at a reward below the frontier and one above it; from a day on both pay the same rewards.
What differs from then on at equal rewards is hysteresis. The lowest and the highest of these rewards tell besides
whether farms enter when a reward is raised past the frontier, and leave when it is lowered again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from experiments import fork, replication
from experiments.outcome import RunResult
from experiments.plans.evaluate import Runner
from experiments.plans.frontier_reward import Reward
from experiments.plans.frontier_search import Frontier
from experiments.replication import Task
from sim.core.units import show_hours
from sim.scenario import Scenario, ScenarioValueError

if TYPE_CHECKING:
    from experiments.plans.frontier import FrontierPlan
    from experiments.plans.plan import Plan

BELOW, ABOVE = "below", "above"
FIGURES = ("fraud_accounts", "fraud_loss", "rings_active", "new_members", "incentive_cost")


@dataclass(frozen=True)
class Branches:
    """What became of the branches.

    Parameters
    ----------
    table : DataFrame
        ``policy``, ``origin`` (below or above), ``before`` and ``reward`` (before and after the fork), ``seed``, and
        from the fork on: ``fraud_accounts`` let in, ``fraud_loss`` and ``incentive_cost`` (yuan), ``new_members``;
        ``rings_active`` at the end.
    day : float
        Of the fork.
    why_not : str
        Empty, or why there are no branches.
    """

    table: pd.DataFrame
    day: float = math.nan
    why_not: str = ""


def branch(
    plan: Plan[FrontierPlan],
    runner: Runner,
    reward: Reward,
    settings: Mapping[str, Scenario],
    frontiers: Sequence[Frontier],
) -> Branches:
    """Run the branches of the first policies that have a frontier within the range.

    Parameters
    ----------
    plan : Plan
    runner : Runner
    reward : Reward
    settings : mapping of str to Scenario
        By policy.
    frontiers : sequence of Frontier
    """
    terms = plan.config.hysteresis
    assert terms is not None, "whoever asks for branches says so"
    inside = [one for one in frontiers if one.brackets and not one.never and not one.always][: terms.policies]
    if not inside:
        return Branches(pd.DataFrame(), why_not="no policy has its frontier within the range for every seed")
    hours = fork_hours(plan.scenario) if terms.at is None else terms.at
    tasks: dict[tuple[str, str, float, float, int], Task] = {}
    for found in inside:
        middle = found.estimate.mean
        lower = reward.stepped(max(reward.low, terms.below * middle))
        upper = reward.stepped(min(reward.high, terms.above * middle))
        between = [reward.stepped(level * middle) for level in terms.levels]
        rewards = sorted({lower, upper, *(value for value in between if lower < value < upper)})
        for origin, before in ((BELOW, lower), (ABOVE, upper)):
            base = reward.at(settings[found.policy], before, f"{found.policy}-{origin}")
            arms = {after: reward.at(settings[found.policy], after, f"{found.policy}-{origin}") for after in rewards}
            try:
                root = None if runner.store is None else runner.store.root.resolve()
                work = fork.from_day(show_hours(hours), base, list(arms.values()), root)
            except ScenarioValueError as error:
                return Branches(pd.DataFrame(), why_not=f"a fork cannot change this: {error}")
            for after, arm in arms.items():
                for seed in plan.seeds:
                    tasks[found.policy, origin, before, after, seed] = Task(arm, seed, work)
    _warm_up(runner, list(tasks.values()))
    runs = {(run.digest, run.seed): run for run in runner.execute(list(tasks.values()))}
    day = hours / 24
    rows = [
        {"policy": policy, "origin": origin, "before": before, "reward": after, "seed": seed,
         **since(runs[task.key], math.ceil(day))}
        for (policy, origin, before, after, seed), task in tasks.items()
        if task.key in runs
    ]  # fmt: skip
    return Branches(pd.DataFrame(rows), day)


def _warm_up(runner: Runner, tasks: Sequence[Task]) -> None:
    """Make the checkpoints that are missing, so that no two branches make the same one."""
    works = {task.work.digest: task.work for task in tasks if isinstance(task.work, fork.FromDay)}
    needed = [
        warm
        for digest, work in works.items()
        for warm in fork.warm_ups(
            work, [task for task in tasks if task.work and task.work.digest == digest], runner.store, runner.fresh
        )
    ]
    if needed:
        replication.execute(needed, workers=runner.workers, executor=runner.executor, light=True)


def fork_hours(scenario: Scenario) -> float:
    """Return a day, in hours, on which rings have used half of their capacity: later they would be full either way."""
    fraud, config = scenario.config.fraud, scenario.config
    full = fraud.enter + fraud.capacity / fraud.batch * fraud.decide_every
    days = math.floor(min(full / 2, config.horizon / 2) / 24)
    return 24.0 * max(1, days)


def since(run: RunResult, day: int) -> dict[str, float]:
    """Return the figures of a run from a day on; see :class:`Branches`."""
    people, history = run.tables["people"], run.tables["history"]
    joined, fake = people["joined_day"].to_numpy(), people["fake"].to_numpy()
    late = joined >= day
    loss = history["fraud_loss"].to_numpy(np.float64)
    return {
        "fraud_accounts": float((late & fake).sum()),
        "fraud_loss": float(loss[-1] - loss[day - 1]),
        "rings_active": run.metrics.get("rings_active", math.nan),
        "new_members": float((late & ~fake).sum()),
        "incentive_cost": float(history["incentive_cost"].to_numpy()[day:].sum()),
    }
