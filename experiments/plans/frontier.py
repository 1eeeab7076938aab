"""``shopsim stress --frontier REWARD``: the largest reward at which farming does not pay, under each control policy.

Farming does not pay if all rings together earned nothing by the end of a run (no ring entered, or those that did lost)
and none opens accounts any more: see :func:`experiments.plans.frontier_search.farming_pays`. Every policy is run with
the same seeds at a grid of rewards; between the last reward of a seed's grid that does not pay and the first that does,
bisection goes on. So each seed has a frontier of its own, known to the resolution, and the report has their mean with
its interval, and the smallest. Where seeds lie far apart, bisection ends early.

The grid shows what a reward buys and what it loses. From the frontier, branches of a warmed-up shop show whether it
matters where one comes from: the same rewards from a fork on, after higher ones and after lower ones (hysteresis).

Read :class:`FrontierPlan`, :mod:`experiments.plans.frontier_search` (grid and bisection), then :func:`experiment`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pandas as pd
from pydantic import Field, model_validator

from experiments.plans.command import PlanOptions, carry_out
from experiments.plans.evaluate import Runner
from experiments.plans.frontier_reward import Reward, rewarded
from experiments.plans.frontier_search import Case, Rungs, search
from experiments.plans.plan import KINDS, Plan, PlanConfig, resolve
from experiments.plans.pool import lasting_workers
from experiments.plans.study import Findings
from experiments.replication import Task
from sim import law
from sim.core.config import Section
from sim.core.edge_list import read_edge_list
from sim.core.units import PositiveHours
from sim.scenario import Problem, Scenario, ScenarioError, ScenarioValueError, reading
from sim.scenario.memory import persons_of
from sim.scenario.tree import Node, Place, from_plain

METRICS = (
    "ring_profit", "ring_return", "rings_active", "fraud_accounts", "fraud_loss", "incentive_cost", "new_members",
    "contribution", "honest_hit",
)  # fmt: skip
DEFAULT_REPLICATES = 4
PERSONS, DAYS = 2000, 60
"""Of the world of a bare scenario, at most."""
LIMITS = {"accounts_per_device": 2, "invites_per_day": 5}
FREEZE = "14d"
Name = Annotated[str, Field(pattern=r"^\S(.{0,58}\S)?$")]


class Policy(Section):
    """A control policy: changes to the scenario."""

    name: Name = Field(description="for readers")
    set: dict[str, Any] = Field({}, description="dotted path of the scenario: value; nothing: as the scenario stands")


class Hysteresis(Section):
    """Whether it matters where a reward comes from."""

    at: PositiveHours | None = Field(
        None, description="of the fork; default: when rings have used half of their capacity, at most half of the run"
    )
    policies: int = Field(1, ge=1, le=20, description="of how many policies, the first ones that have a frontier")
    levels: list[Annotated[float, Field(gt=0, le=10)]] = Field(
        [1.0],
        min_length=1,
        max_length=10,
        description="rewards after the fork, relative to the frontier, besides those before it",
    )
    below: float = Field(0.5, ge=0, lt=1, description="reward before the fork of the branch that comes from below")
    above: float = Field(2.0, gt=1, le=20, description="the same of the branch that comes from above; at most max")


class FrontierPlan(PlanConfig):
    """The largest reward at which farming does not pay."""

    kind: Literal["frontier"]
    reward: str = Field(description="kind.key of a scheme, such as referral.bonus, or a dotted path of the scenario")
    replicates: int = Field(DEFAULT_REPLICATES, ge=1, le=1000, description="seeds of every policy")
    min: float | None = Field(
        None, ge=0, description="smallest reward, in its unit; default: 0, or the smallest allowed"
    )
    max: float | None = Field(None, gt=0, description="largest; default: three times what the scenario says")
    grid: int = Field(7, ge=3, le=100, description="rewards that are run with every seed, both ends included")
    steps: int = Field(
        3, ge=0, le=12, description="halvings of the gap of the grid in which the frontier lies, at most"
    )
    policies: list[Policy] | None = Field(
        None,
        min_length=1,
        max_length=20,
        description="default: none, limits, limits and freeze, and the scenario's own",
    )
    hysteresis: Hysteresis | None = Field(Hysteresis(), description="null: no branches")

    @model_validator(mode="after")
    def _names(self) -> FrontierPlan:
        names = [policy.name for policy in self.policies or ()]
        if len(set(names)) < len(names):
            raise ValueError("policies need names of their own")
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError("min must be below max")
        return self

    def problems(self, plan: Plan[FrontierPlan]) -> Iterator[Problem]:
        """Yield what does not fit together."""
        if plan.scenario.config.fraud.rings == 0:
            message = "has no fraud rings, so nobody could farm; set fraud.rings, for example set: {fraud.rings: 5}."
            yield plan.error(("scenario",), message)
            return
        reward = reward_of(plan)
        for name, scenario in policies(plan).items():
            for value in (reward.low, reward.high):
                self._check(plan, reward, value, name, scenario)

    @staticmethod
    def _check(plan: Plan[FrontierPlan], reward: Reward, value: float, name: str, scenario: Scenario) -> None:
        try:
            reward.at(scenario, value)
        except ScenarioValueError as error:
            message = f"{error.problems[0].path}: {error.problems[0].message} At {reward.label(value)}, policy {name}."
            raise ScenarioValueError(plan.error(("reward",), message)) from None


def reward_of(plan: Plan[FrontierPlan]) -> Reward:
    """Return the reward that a plan varies, within its bounds."""
    config = plan.config
    node = plan.tree.child("reward")
    assert node is not None, "the schema has found it"
    return rewarded(plan.scenario, config.reward, node.place, config.min, config.max)


def policies(plan: Plan[FrontierPlan]) -> dict[str, Scenario]:
    """Return the scenario under each policy, by name."""
    scenario = plan.scenario
    if plan.config.policies is None:
        limited = {"risk": LIMITS}
        found = {
            "none": scenario.override({"risk": {}}),
            "limits": scenario.override(limited),
            "limits and freeze": scenario.override({"risk": {**LIMITS, "payout_freeze": FREEZE}}),
        }
        if scenario.content()["risk"] not in [one.content()["risk"] for one in found.values()]:
            found["as in the scenario"] = scenario
        return found
    changed = {}
    for number, policy in enumerate(plan.config.policies):
        own = scenario
        for path in policy.set:
            node = plan.tree.at(("policies", number, "set", path))
            assert node is not None, "the schema has found it"
            own = own.override({path: node}, origin=str(node.place))
        changed[policy.name] = own
    return changed


def experiment(plan: Plan[FrontierPlan], runner: Runner) -> Findings:
    """Run the grid, close in on each frontier, and branch off above and below it."""
    from experiments.plans.frontier_branches import branch
    from experiments.plans.frontier_output import summarise

    config, reward, settings = plan.config, reward_of(plan), policies(plan)
    runner.planned = most_runs(plan)
    facts: dict[Case, Mapping[str, Any]] = {}

    def evaluate(cases: Sequence[Case]) -> dict[Case, dict[str, float]]:
        tasks = {case: Task(reward.at(settings[case.policy], case.reward, case.policy), case.seed) for case in cases}
        results = {(run.digest, run.seed): run for run in runner.execute(list(tasks.values()), light=True)}
        found = {case: results[task.key] for case, task in tasks.items() if task.key in results}
        facts.update({case: run.facts for case, run in found.items()})
        return {case: {name: run.metrics.get(name, math.nan) for name in METRICS} for case, run in found.items()}

    def foresee(runs: int) -> None:
        runner.planned = runner.made + runs + runs_of_branches(plan)

    rungs = Rungs(evaluate)
    grid = reward.levels(config.grid)
    with lasting_workers(runner):
        frontiers = search(rungs, list(settings), plan.seeds, grid, config.steps, reward.stepped, foresee)
        branches = branch(plan, runner, reward, settings, frontiers) if config.hysteresis else None
    points, runs = tables(rungs)
    findings = summarise(plan, reward, frontiers, points, runs, grid, branches, settings, persons(plan))
    highest = [facts[case] for case in facts if case.reward == grid[-1]]
    findings.summary["law"] = law.facts(reward.at(plan.scenario, grid[-1]).config, highest)
    return findings


def most_runs(plan: Plan[FrontierPlan]) -> int:
    """Return how many runs a plan takes at most; fewer where farming never pays, or seeds lie far apart."""
    a_policy = len(plan.seeds) * (plan.config.grid + plan.config.steps)
    return len(policies(plan)) * a_policy + runs_of_branches(plan)


def runs_of_branches(plan: Plan[FrontierPlan]) -> int:
    """Return how many runs from above and below the frontier take at most."""
    terms = plan.config.hysteresis
    return 0 if terms is None else terms.policies * 2 * (len(terms.levels) + 2) * len(plan.seeds)


def tables(rungs: Rungs) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return points (``point``, ``policy``, ``reward``) and tidy runs of everything that was evaluated."""
    places = sorted({(case.policy, case.reward) for case in rungs.known}, key=lambda place: place[1])
    order = list(dict.fromkeys(case.policy for case in rungs.known))
    places.sort(key=lambda place: order.index(place[0]))
    number = {place: point for point, place in enumerate(places)}
    rows = [
        (number[case.policy, case.reward], case.seed, metric, value)
        for case, metrics in rungs.known.items()
        for metric, value in metrics.items()
    ]
    points = pd.DataFrame([(point, *place) for place, point in number.items()], columns=["point", "policy", "reward"])
    return points, pd.DataFrame(rows, columns=["point", "seed", "metric", "value"])


def frontier_plan(path: Path, changes: Sequence[str], reward: str | None) -> Plan[Any]:
    """Return the plan that a file means: a frontier plan, another plan, or a scenario.

    Of another plan the scenario with what it sets, and the first seed are taken. For a scenario, ``--set`` of a path
    that is no key of a frontier plan is for the scenario; unless it says otherwise, of a larger scenario a world of
    2,000 persons and 60 days is run, if it stands that.
    """
    tree = reading.read(path)
    place = Place("--frontier", None, Path())
    kind = tree.child("kind")
    said = None if kind is None else kind.value
    if said == "frontier":
        own = tree if reward is None else Node({**tree.value, "reward": Node(reward, place)}, tree.place)
        return resolve(own, path.stem, changes, "frontier")
    if reward is None:
        raise ScenarioValueError(Problem("needs --frontier REWARD, or a plan of kind: frontier.", str(path)))
    question = f"How large may {reward} be before farming it pays?"
    new: dict[str, Any] = {
        "kind": "frontier",
        "name": f"frontier-{path.stem}"[:80],
        "question": question,
        "reward": reward,
    }
    if said in KINDS:
        kept = {key: tree.value[key] for key in ("scenario", "set", "seed") if key in tree.value}
        return resolve(Node({**from_plain(new, place).value, **kept}, tree.place), path.stem, changes, "frontier")
    here = from_plain({**new, "scenario": str(path.absolute())}, place)
    ours = [change if change.partition("=")[0].split(".")[0] in FrontierPlan.model_fields else f"set.{change}"
            for change in changes]  # fmt: skip
    whole = resolve(here, path.stem, ours, "frontier")
    smaller = _small_world(whole, ours)
    try:
        return resolve(here, path.stem, [*smaller, *ours], "frontier") if smaller else whole
    except ScenarioError:  # it needs its persons or its days
        return whole


def _small_world(plan: Plan[FrontierPlan], changes: Sequence[str]) -> list[str]:
    """Return what makes the world of a bare scenario small enough to be run a hundred times.

    What an account costs and brings does not depend on how many others there are, and rings that are full have decided.
    """
    chosen = {change.partition("=")[0] for change in changes}
    found = []
    if persons(plan) > PERSONS and not chosen & {"set.people", "set.people.size"}:
        found.append(f"set.people.size={PERSONS}")
    if plan.scenario.config.horizon > DAYS * 24 and "set.horizon" not in chosen:
        found.append(f"set.horizon={DAYS}d")
    return found


def persons(plan: Plan[FrontierPlan]) -> int:
    """Return how many persons a run has."""
    said = persons_of(plan.scenario.config)
    return read_edge_list(getattr(plan.scenario.config.people.network, "file", "")).persons if said is None else said


def scope(plan: Plan[FrontierPlan]) -> str:
    """Say how much is run, and in what world."""
    days = plan.scenario.config.horizon / 24
    return f"at most {most_runs(plan)} runs of {persons(plan):,} persons for {days:g} days each"


def command(path: Path, options: PlanOptions, reward: str | None = None) -> int:
    """Find a frontier and return the exit code.

    Parameters
    ----------
    path : Path
        Of a frontier plan, of another plan, or of a scenario.
    options : PlanOptions
    reward : str or None
        What to look for; needed unless the plan says so.
    """
    from experiments.plans.frontier_output import show

    plan = frontier_plan(path, options.changes, reward)
    options.note(scope(plan))
    return carry_out(plan, options, experiment, show)
