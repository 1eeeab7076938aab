"""``shopsim optimise``: search the parameters of a scenario for what serves the goals best within the bounds.

Read in this order: ``goals`` (what counts), ``racing`` (when a trial is stopped), ``search`` (where to look next, and
the journal), ``contest`` (the search itself), ``confirm`` (what the best are worth on fresh seeds), then this module:
the plan file and the command.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import Field
from scipy.stats import qmc

from experiments.comparison import direction_of
from experiments.plans.confirm import Confirmation, candidates
from experiments.plans.contest import Contest, Worlds, WorldValues, measure
from experiments.plans.evaluate import COLUMNS, Evaluate, Runner, shop_evaluator
from experiments.plans.goals import Bound, Goal, Scorer, Scores
from experiments.plans.optimise_output import print_study, summary_of
from experiments.plans.parameters import Choice, Parameter, Point, Range, parameter
from experiments.plans.plan import Parameters, Plan, PlanConfig, metric_problem
from experiments.plans.pool import lasting_workers
from experiments.plans.racing import Race
from experiments.plans.search import FILE, Journal, Sampler, search_digest
from experiments.plans.study import Findings, points_table
from experiments.replication import MAX_SEED
from sim.core.config import Section
from sim.core.units import Share
from sim.scenario import Problem, Scenario
from sim.scenario.schema import Guardrail
from sim.scenario.tree import KeyPath

PLANNED = "as planned"
"""Name of the only world of a plan that names none."""


class Objective(Section):
    """A metric to make as large or as small as can be."""

    metric: str = Field(description="see docs/metrics.md")
    direction: Literal["maximise", "minimise"] | None = Field(None, description="by default the better one")
    minus_base: bool = Field(False, description="count the difference from the base with the same seed")


class Constraint(Guardrail):
    """A metric that must stay within bounds, on average over replicates."""

    minus_base: bool = Field(False, description="bound the difference from the base with the same seed")


class World(Section):
    """One way in which the world may be."""

    name: str = Field(min_length=1, max_length=80)
    set: dict[str, Any] = Field(description="dotted path of the scenario: value")


class Pruning(Section):
    """When a trial may be stopped before its last seed."""

    after: int = Field(3, ge=2, le=10_000, description="seeds that every trial gets")
    confidence: Share = Field(0.95, gt=0.5, lt=1, description="that a trial which is stopped was no better")


class Confirming(Section):
    """How the best points are run once more, on fresh seeds."""

    points: int = Field(3, ge=1, le=100, description="how many; with several objectives, of the Pareto front")
    replicates: int = Field(20, ge=2, le=10_000, description="fresh seeds")


class OptimisePlan(PlanConfig):
    """Search parameters for the best within bounds."""

    kind: Literal["optimise"]
    parameters: Parameters
    objectives: list[Objective] = Field(min_length=1, max_length=4)
    constraints: list[Constraint] = Field([], max_length=20)
    base: dict[str, Any] = Field({}, description="what makes the scenario the base; by default it is the base as it is")
    worlds: list[World] = Field([], max_length=50, description="minimise the largest regret over these")
    uncertain: dict[str, Range | Choice] = Field({}, max_length=50, description="draw the worlds from these instead")
    sampled_worlds: int = Field(5, ge=2, le=50, description="how many to draw")
    trials: int = Field(40, ge=1, le=100_000)
    batch: int = Field(4, ge=1, le=1000, description="trials that are proposed together and run side by side")
    sampler: Sampler = Field("tpe", description="random only for comparison")
    pruning: Pruning | None = Field(Pruning(), description="null: every trial gets every seed")
    confirm: Confirming = Confirming()

    def problems(self, plan: Plan[Any]) -> Iterator[Problem]:
        """Yield what does not fit together."""
        for key in ("objectives", "constraints"):
            for number, item in enumerate(getattr(self, key)):
                if problem := metric_problem(plan, (key, number, "metric"), item.metric):
                    yield problem
        for number, goal in enumerate(self.objectives):
            if goal.direction is None and not direction_of(goal.metric):
                message = f"is missing, and {goal.metric} is neither better nor worse when it is more."
                yield plan.error(("objectives", number, "direction"), message, "maximise or minimise")
            if goal in self.objectives[:number]:
                yield plan.error(("objectives", number), "says the same as another objective.")
        for number, bound in enumerate(self.constraints):
            if bound.min is None and bound.max is None:
                yield plan.error(("constraints", number), "needs min or max.", "min or max")
        if self.seed + self.replicates + self.confirm.replicates - 1 > MAX_SEED:
            yield plan.error(("seed",), "must leave room for the seeds of replicates and of confirm.")
        yield from self._world_problems(plan)

    def _world_problems(self, plan: Plan[Any]) -> Iterator[Problem]:
        if self.worlds and self.uncertain:
            yield plan.error(("uncertain",), "cannot be given together with worlds.")
        varied = {one.path for one in plan.parameters}
        for key, paths in (
            *((("worlds", number, "set"), world.set) for number, world in enumerate(self.worlds)),
            (("uncertain",), self.uncertain),
        ):
            for path in varied & set(paths):
                yield plan.error((*key, path), "is what the plan varies: a world cannot decide it.")
        names = [world.name for world in self.worlds]
        for number, name in enumerate(names):
            if name in names[:number]:
                yield plan.error(("worlds", number, "name"), f"names a second world. Got {name!r}.")
        for world in worlds_of(plan).values():  # raises what is wrong with a value
            variant(plan, ("base",), self.base, world)


def variant(plan: Plan[Any], place: KeyPath, changes: Mapping[str, Any], scenario: Scenario) -> Scenario:
    """Apply changes that the plan wrote at a place to a scenario."""
    for path in changes:
        entry = plan.tree.at((*place, path))
        assert entry is not None, "the schema has found it"
        scenario = scenario.override({path: entry}, origin=str(entry.place))
    return scenario


def worlds_of(plan: Plan[OptimisePlan]) -> dict[str, Scenario]:
    """Return the scenario of each world, by its name.

    Raises
    ------
    ScenarioError
        If a world says what the scenario does not allow.
    """
    config = plan.config
    if config.uncertain:
        return _drawn_worlds(plan)
    found = {
        world.name: variant(plan, ("worlds", number, "set"), world.set, plan.scenario)
        for number, world in enumerate(config.worlds)
    }
    return found or {PLANNED: plan.scenario}


def _drawn_worlds(plan: Plan[OptimisePlan]) -> dict[str, Scenario]:
    """Draw worlds by a Latin hypercube over what is uncertain."""
    config = plan.config
    unknowns: list[Parameter] = []
    for path, spec in config.uncertain.items():
        node = plan.tree.at(("uncertain", path))
        assert node is not None, "the schema has found it"
        unknowns.append(parameter(path, spec, node, plan.scenario))
    engine = qmc.LatinHypercube(len(unknowns), rng=np.random.default_rng(config.seed))
    found = {}
    for number, shares in enumerate(engine.random(config.sampled_worlds), start=1):
        values = {one.path: one.from_unit(share) for one, share in zip(unknowns, shares.tolist(), strict=True)}
        name = ", ".join(f"{one.path.rpartition('.')[2]} {one.label(values[one.path])}" for one in unknowns)
        changes = {one.path: one.to_file(values[one.path]) for one in unknowns}
        found[f"{number}: {name}"] = plan.scenario.override(changes, origin="uncertain")
    return found


def goals_of(config: OptimisePlan) -> tuple[list[Goal], list[Bound]]:
    """Return what counts, of a plan that was checked."""
    goals = []
    for one in config.objectives:
        sign = direction_of(one.metric) if one.direction is None else 1 if one.direction == "maximise" else -1
        goals.append(Goal(one.metric, sign, one.minus_base))
    bounds = [
        Bound(one.metric, side, float(limit), one.minus_base, one.confidence)
        for one in config.constraints
        for side, limit in ((-1, one.min), (1, one.max))
        if limit is not None
    ]
    return goals, bounds


def optimise(
    config: OptimisePlan,
    parameters: Sequence[Parameter],
    worlds: Worlds,
    base: Worlds,
    folder: Path,
    runner: Runner | None = None,
    search: str = "search",
) -> Findings:
    """Search, and confirm what was found on fresh seeds.

    Parameters
    ----------
    config : OptimisePlan
    parameters : sequence of Parameter
        What varies.
    worlds : mapping of str to Evaluate
        What evaluates points in each world.
    base : mapping of str to Evaluate
        What evaluates the base of each world, at the point ``{}``.
    folder : Path
        Where the journal is, or will be; a search that it holds goes on from there.
    runner : Runner, optional
        Is told how many runs to expect.
    search : str
        Names the plan and what makes the runs; trials in the journal of another search do not count.

    Returns
    -------
    Findings
    """
    goals, bounds = goals_of(config)
    seeds = list(range(config.seed, config.seed + config.replicates))
    fresh = list(range(seeds[-1] + 1, seeds[-1] + 1 + config.confirm.replicates))
    most = config.trials * len(seeds) + (config.confirm.points + 1) * len(fresh)

    def expect(finished: int, spared: int) -> None:
        if runner is not None:
            runner.planned = most * len(worlds) - spared

    expect(0, 0)
    scorer = Scorer(tuple(goals), tuple(bounds), tuple(worlds), {}, len(seeds))
    metrics = scorer.metrics
    if any(one.minus_base for one in scorer.counted):
        scorer = replace(scorer, base=_at_base(base, seeds, metrics))
    rule = config.pruning or Pruning(after=max(2, len(seeds)))
    race = Race(rule.after, rule.confidence, len(seeds))
    contest = Contest(parameters, scorer, race, worlds, seeds, config.trials, config.batch, config.seed, config.sampler)
    journal = Journal(folder, [one.path for one in parameters], len(goals), search)
    scores = scorer.score(contest.run(journal, expect))
    chosen = candidates(scores, config.confirm.points)
    values = measure(worlds, [scores.records[i].point for i in chosen], fresh, metrics)[0] if chosen else []
    fresh_base = _at_base(base, fresh, metrics) if chosen else {}
    confirmation = Confirmation(scores, chosen, values, replace(scorer, base=fresh_base, seeds=len(fresh)))
    return _findings(parameters, scores, confirmation, seeds, fresh)


def _at_base(base: Worlds, seeds: Sequence[int], metrics: Sequence[str]) -> WorldValues:
    (values,), _ = measure(base, [{}], seeds, metrics)
    return values


def _findings(
    parameters: Sequence[Parameter],
    scores: Scores,
    confirmation: Confirmation,
    seeds: Sequence[int],
    fresh: Sequence[int],
) -> Findings:
    points: list[Point] = [record.point for record in scores.records]
    confirmed = confirmation.table()
    tables = {
        "trials": trials_table(scores, confirmation),
        "confirmed": confirmed,
        "confirmation_runs": _tidy(
            [(scores.records[i].number, v) for i, v in zip(confirmation.positions, confirmation.values, strict=True)],
            fresh,
        ),
        "base_runs": _tidy([(-1, confirmation.scorer.base)] if confirmation.positions else [], fresh),
    }
    if len(confirmation.scorer.worlds) > 1 and confirmation.positions:
        tables["regrets"] = confirmation.regrets()
    runs = _tidy([(record.number, record.values) for record in scores.records], seeds)
    if len(confirmation.scorer.worlds) == 1:
        runs = runs[list(COLUMNS)]
    summary, passed = summary_of(scores, confirmation, parameters, seeds, fresh)
    return Findings(points_table(points, parameters), runs, summary, tables, passed)


def trials_table(scores: Scores, confirmation: Confirmation) -> pd.DataFrame:
    """Return a row for each trial.

    Returns
    -------
    DataFrame
        ``point``; ``state``: complete, pruned or failed; ``why`` it was stopped; ``seeds`` run; ``allowed``: keeps
        every bound on average; ``best``: no allowed trial beats it; for each objective its mean, averaged over worlds,
        and with several worlds its ``largest regret``.
    """
    best = set(scores.best())
    rows = []
    for i, record in enumerate(scores.records):
        failed = not np.isfinite(scores.losses[i]).all()
        row: dict[str, Any] = {
            "point": record.number,
            "state": "failed" if failed else "pruned" if record.pruned else "complete",
            "why": record.pruned,
            "seeds": record.seeds,
            "allowed": bool(scores.allowed[i]),
            "best": i in best,
        }
        for number, goal in enumerate(confirmation.scorer.goals):
            row[goal.label] = -goal.sign * float(scores.losses[i, number].mean())
            if len(confirmation.scorer.worlds) > 1:
                row[f"largest regret of {goal.label}"] = float(scores.objectives[i, number])
        rows.append(row)
    return pd.DataFrame(rows)


def _tidy(
    values: Sequence[tuple[int, Mapping[str, Mapping[str, Sequence[float]]]]], seeds: Sequence[int]
) -> pd.DataFrame:
    rows = [
        (number, seed, metric, value, world)
        for number, worlds in values
        for world, metrics in worlds.items()
        for metric, column in metrics.items()
        for seed, value in zip(seeds, column, strict=False)
    ]
    return pd.DataFrame(rows, columns=[*COLUMNS, "world"])


def command(path: Path, options: Any) -> int:
    """Carry out a plan and return the exit code."""
    from experiments.plans.command import conduct

    def experiment(plan: Plan[OptimisePlan], runner: Runner) -> Findings:
        folder = runner.folder
        assert folder is not None, "a command has one"
        if runner.fresh:
            (folder / FILE).unlink(missing_ok=True)
        config = plan.config
        metrics = [*(one.metric for one in config.objectives), *(one.metric for one in config.constraints)]

        def evaluator(scenario: Scenario) -> Evaluate:
            return shop_evaluator(replace(plan, scenario=scenario), runner, list(dict.fromkeys(metrics)))

        worlds = worlds_of(plan)
        base = {name: variant(plan, ("base",), plan.config.base, scenario) for name, scenario in worlds.items()}
        with lasting_workers(runner):
            return optimise(
                plan.config,
                plan.parameters,
                {name: evaluator(scenario) for name, scenario in worlds.items()},
                {name: evaluator(scenario) for name, scenario in base.items()},
                folder,
                runner,
                search_digest(plan),
            )

    return conduct(path, options, "optimise", experiment, print_study)
