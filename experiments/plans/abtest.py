"""``shopsim abtest``: the experiment that a company would run, inside the shop, beside what is true.

For each seed both worlds are run, everybody treated and nobody, and each design's experiment, all on the same draws. So
each estimate has its own truth, and over replicates the error of a design is known: bias, spread, coverage, power.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field
from rich.console import Console

from experiments import stats
from experiments.lab.performance import best, performance, rivals, with_truth
from experiments.lab.persons import chosen, individual_effects, joined_persons, targeting
from experiments.lab.terms import AnyDesign, ExposureTerms, MerchantTerms, Outcome, SwitchbackTerms, plain
from experiments.lab.trial import Trial
from experiments.lab.wording import print_study, verdict
from experiments.outcome import RunResult
from experiments.plans.command import PlanOptions, conduct
from experiments.plans.evaluate import COLUMNS, Runner
from experiments.plans.plan import Plan, PlanConfig
from experiments.plans.study import Findings, Study
from experiments.replication import Task
from sim.core.clock import HOURS_A_DAY
from sim.core.config import assume
from sim.core.units import Share
from sim.scenario import Problem
from sim.scenario.problems import nearest

WORLDS = ("none", "all")
CHOICES = ("model", "lot")


class AbtestPlan(PlanConfig):
    """The experiments of a company, and the truth beside them."""

    kind: Literal["abtest"]
    schemes: list[str] | None = Field(
        None, min_length=1, description="names or kinds of the schemes under test; default: all of the scenario"
    )
    outcomes: list[Outcome] = Field(
        ["orders", "joined"], min_length=1, description="what to look at, by person; the first decides"
    )
    designs: list[AnyDesign] = Field(min_length=1, max_length=20)
    share: Share = assume(0.5, source="most precise at equal cost", unit="of units that are treated", gt=0, lt=1)
    confidence: Share = assume(0.95, source="convention", unit="of the intervals that experiments report", gt=0.5, lt=1)
    power: Share = assume(0.8, source="convention", unit="chance to find an effect, for sample sizes", gt=0.5, lt=1)
    exposure: ExposureTerms = ExposureTerms()
    individual: Outcome | None = Field(
        "bought", description="outcome of individual effects; needs a design by persons; null: none"
    )
    target: Share | None = Field(
        0.3, gt=0, lt=1, description="of persons, whom a model chooses and who alone are treated; null: not run"
    )

    def problems(self, plan: Plan[AbtestPlan]) -> Iterator[Problem]:
        """Yield what does not fit together."""
        schemes = plan.scenario.config.schemes
        names = [scheme.name or scheme.kind for scheme in schemes]
        if not names:
            yield plan.error(("scenario",), "has no scheme to test.")
        for number, name in enumerate(self.schemes or ()):
            if name not in names:
                message = f"is not a scheme of {plan.scenario.name}. Got {name!r}."
                yield plan.error(("schemes", number), message, ", ".join(names), nearest(name, names))
        labels = [design.label for design in self.designs]
        for number, design in enumerate(self.designs):
            if design.label in (*labels[:number], *WORLDS, *CHOICES):
                yield plan.error(("designs", number), f"needs a name of its own. Got {design.label!r} again.")
            if not set(design.outcomes) & set(self.outcomes):
                able = ", ".join(design.outcomes)
                yield plan.error(
                    ("designs", number), f"can tell nothing about {', '.join(self.outcomes)}; only {able}."
                )
        if len(set(self.outcomes)) < len(self.outcomes):
            yield plan.error(("outcomes",), "names an outcome twice.")
        if not any(design.kind == "person" for design in self.designs):
            for key in ("individual", "target"):
                if key in self.model_fields_set and getattr(self, key) is not None:
                    message = "needs a design by persons, from which a model learns: add one, or say null."
                    yield plan.error((key,), message)
        yield from self._design_problems(plan)

    def _design_problems(self, plan: Plan[AbtestPlan]) -> Iterator[Problem]:
        config = plan.scenario.config
        tested = [scheme for scheme in config.schemes if (scheme.name or scheme.kind) in tested_schemes(plan)]
        first, days = math.ceil(start_of(plan) / HOURS_A_DAY), math.ceil(config.horizon / HOURS_A_DAY)
        for number, design in enumerate(self.designs):
            if isinstance(design, MerchantTerms) and any(scheme.kind == "referral" for scheme in tested):
                message = "needs schemes that are about products; referral rewards persons for persons."
                yield plan.error(("designs", number), message)
            if isinstance(design, MerchantTerms) and config.catalog.merchants < 4:
                message = f"needs at least 4 merchants. The scenario has {config.catalog.merchants}."
                yield plan.error(("designs", number), message)
            if isinstance(design, SwitchbackTerms) and (days - first) * HOURS_A_DAY < 4 * design.block:
                message = f"must leave room for four blocks in the {days - first} days of the experiment."
                yield plan.error(("designs", number, "block"), message)


def tested_schemes(plan: Plan[AbtestPlan]) -> tuple[str, ...]:
    """Return the names of the schemes under test."""
    return tuple(plan.config.schemes or (scheme.name or scheme.kind for scheme in plan.scenario.config.schemes))


def start_of(plan: Plan[AbtestPlan]) -> float:
    """Return the hour at which the experiment begins: when the first scheme under test opens."""
    tested = tested_schemes(plan)
    return min(
        (scheme.start for scheme in plan.scenario.config.schemes if (scheme.name or scheme.kind) in tested), default=0.0
    )


def experiment(plan: Plan[AbtestPlan], runner: Runner) -> Findings:
    """Run both worlds and every experiment with every seed, and set the estimates beside the truth."""
    config = plan.config
    trials = trials_of(plan)
    by_person = next((design.label for design in config.designs if design.kind == "person"), None)
    whole = {*WORLDS, by_person} if config.individual and by_person else set()
    runner.planned = (len(trials) + (len(CHOICES) if whole and config.target else 0)) * len(plan.seeds)
    wanted = {(name, seed): trial for name, trial in trials.items() for seed in plan.seeds}
    results = {
        **_run(plan, runner, {key: trial for key, trial in wanted.items() if key[0] in whole}, light=False),
        **_run(plan, runner, {key: trial for key, trial in wanted.items() if key[0] not in whole}, light=True),
    }
    findings = analyse(plan, results)
    if whole:
        _add_individual(plan, runner, findings, results, str(by_person))
    return findings


def _run(
    plan: Plan[AbtestPlan], runner: Runner, trials: Mapping[tuple[str, int], Trial], *, light: bool
) -> dict[tuple[str, int], RunResult]:
    """Make runs and return those that finished, by name and seed."""
    tasks = {key: Task(plan.scenario, key[1], trial) for key, trial in trials.items()}
    found = {(run.digest, run.seed): run for run in runner.execute(list(tasks.values()), light=light)}
    return {key: found[task.key] for key, task in tasks.items() if task.key in found}


def _add_individual(
    plan: Plan[AbtestPlan], runner: Runner, findings: Findings, results: dict[tuple[str, int], RunResult], test: str
) -> None:
    """Add what was found of individual effects, and run the shop with those whom a model would choose."""
    config = plan.config
    tables = {
        name: {seed: run.tables["persons"] for (one, seed), run in results.items() if one == name}
        for name in (*WORLDS, test)
    }
    persons = joined_persons(tables["none"], tables["all"], tables[test])
    if persons.empty or config.individual is None:
        return
    added, figures = individual_effects(persons, config.individual)
    if config.target:
        some = chosen(added["persons"], config.target, trials_of(plan)["all"])
        more = {**results, **_run(plan, runner, some, light=True)}
        added["targeting"] = targeting(more, config.individual)
        figures["target"] = config.target
    assert isinstance(findings.tables, dict)
    findings.tables.update(added)
    findings.summary["individual"] = figures


def trials_of(plan: Plan[AbtestPlan]) -> dict[str, Trial]:
    """Return what is run with each seed, by name: both worlds first."""
    config = plan.config
    common = (tested_schemes(plan), start_of(plan), config.share, config.exposure)
    worlds = {name: Trial(name, *common) for name in WORLDS}  # type: ignore[arg-type]
    return {**worlds, **{design.label: Trial(design, *common) for design in config.designs}}


def analyse(plan: Plan[AbtestPlan], results: Mapping[tuple[str, int], RunResult]) -> Findings:
    """Put together what the study keeps of the designs.

    Parameters
    ----------
    plan : Plan
    results : mapping
        Finished runs by name, of a world or a design, and seed.
    """
    config = plan.config
    names = [*WORLDS, *(design.label for design in config.designs)]
    runs = pd.DataFrame(
        [
            (names.index(name), seed, metric, value)
            for (name, seed), run in results.items()
            for metric, value in run.metrics.items()
        ],
        columns=list(COLUMNS),
    )
    points = pd.DataFrame({"point": range(len(names)), "design": names})
    truths = truths_of(results, config.outcomes)
    estimates = with_truth(estimates_of(results, config.outcomes), truths, config.confidence)
    found = performance(estimates, config.confidence, config.power)
    tables = {"estimates": estimates, "performance": found}
    summary: dict[str, Any] = {
        "outcomes": list(config.outcomes),
        "schemes": list(tested_schemes(plan)),
        "confidence": config.confidence,
        "power": config.power,
        "designs": {design.label: plain(design) for design in config.designs},
        "figures": figures_of(results, [design.label for design in config.designs]),
        "performance": [{str(key): value for key, value in row.items()} for row in found.to_dict("records")],
    }
    first = config.outcomes[0]
    row = best(found, first)
    summary["advice"] = None if row is None else {"design": row["design"], "estimator": row["estimator"]}
    close = [] if row is None else rivals(estimates, first, row["design"], row["estimator"])
    summary["rivals"] = [list(pair) for pair in close]
    true = stats.mean_estimate(truths.loc[truths["outcome"] == first, "truth"])
    kinds = {design.label: design.kind for design in config.designs}
    summary["truth"] = {"mean": true.mean, "ci_low": true.low, "ci_high": true.high}
    told = (true.mean, true.low, true.high)
    summary["verdict"] = verdict(found, first, row, close, told, config.confidence, config.power, kinds)
    return Findings(points, runs, summary, tables)


def estimates_of(results: Mapping[tuple[str, int], RunResult], outcomes: list[Outcome]) -> pd.DataFrame:
    """Return a row for each design, seed, estimator and outcome, per 1,000 persons."""
    rows = []
    for (name, seed), run in results.items():
        if name in WORLDS:
            continue
        for metric, value in run.metrics.items():
            estimator, _, rest = metric.partition(".")
            outcome, _, part = rest.partition(".")
            if part == "value" and outcome in outcomes:
                error, degrees = (run.metrics[f"{estimator}.{outcome}.{key}"] for key in ("error", "degrees"))
                rows.append((seed, name, estimator, outcome, 1000 * value, 1000 * error, degrees, run.metrics["units"]))
    columns = ["seed", "design", "estimator", "outcome", "value", "error", "degrees", "units"]
    kinds = {"seed": "int64", **dict.fromkeys(("value", "error", "degrees", "units"), "float64")}
    return pd.DataFrame(rows, columns=columns).astype(kinds)


def truths_of(results: Mapping[tuple[str, int], RunResult], outcomes: list[Outcome]) -> pd.DataFrame:
    """Return the true total effect of each seed that has both worlds, per 1,000 persons."""
    seeds = [seed for name, seed in results if name == "all" and ("none", seed) in results]

    def mean(world: str, seed: int, outcome: str) -> float:
        return results[world, seed].metrics[f"mean.{outcome}.value"]

    rows = [
        (seed, outcome, 1000 * (mean("all", seed, outcome) - mean("none", seed, outcome)))
        for seed in seeds
        for outcome in outcomes
    ]
    return pd.DataFrame(rows, columns=["seed", "outcome", "truth"]).astype({"seed": "int64", "truth": "float64"})


def figures_of(results: Mapping[tuple[str, int], RunResult], names: list[str]) -> dict[str, dict[str, float]]:
    """Return what a reader should know of each design: means over replicates."""
    figures = {}
    for name in names:
        runs = [
            {key: value for key, value in run.metrics.items() if "." not in key}
            for (one, _), run in results.items()
            if one == name
        ]
        figures[name] = {str(key): float(value) for key, value in pd.DataFrame(runs).mean().items()}
    return figures


def show(out: Console, study: Study) -> None:
    """Print how the designs fare, and which to use."""
    print_study(out, study)


def command(path: Path, options: PlanOptions) -> int:
    """Carry out a plan and return the exit code."""
    return conduct(path, options, "abtest", experiment, show)
