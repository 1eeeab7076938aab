"""``shopsim calibrate``: find the parameters with which simulated shops look like a real one, and how sure that is.

A search (Optuna, over points that share their seeds) finds where the simulated moments come nearest to the targets;
rounds of the method of simulated moments (:mod:`experiments.plans.moments`) on fresh seeds turn that into estimates
with intervals; draws from these are simulated once more and set beside the targets, those that were held out included.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from experiments.files import write_text
from experiments.plans import moments
from experiments.plans.calibrate_output import Prediction, print_study, summary_of, tables_of
from experiments.plans.contest import measure
from experiments.plans.evaluate import COLUMNS, Evaluate, Runner, shop_evaluator
from experiments.plans.parameters import Parameter, Point
from experiments.plans.plan import Parameters, Plan, PlanConfig, metric_problem
from experiments.plans.pool import lasting_workers
from experiments.plans.racing import Values, mean_of
from experiments.plans.search import FILE, Journal, Record, Tried, Unit, propose, search_digest
from experiments.plans.study import Findings, points_table
from experiments.plans.targets import Target, read_targets
from experiments.replication import MAX_SEED
from sim.core.config import Section
from sim.core.units import FilePath, Share
from sim.scenario import Problem, ScenarioValueError

WORLD = "simulated"


class Refining(Section):
    """How the end of the search is turned into an estimate."""

    rounds: int = Field(6, ge=1, le=100, description="at most; it ends when the estimate has settled")
    replicates: int = Field(20, ge=6, le=10_000, description="fresh seeds of each round")


class CalibratePlan(PlanConfig):
    """Fit parameters to target moments."""

    data_files: ClassVar[tuple[str, ...]] = ("targets",)

    kind: Literal["calibrate"]
    targets: FilePath = Field(description="CSV file: metric, value, and se, weight, held_out where known")
    parameters: Parameters
    trials: int = Field(40, ge=1, le=100_000, description="points of the search")
    replicates: int = Field(4, ge=2, le=10_000, description="seeds of each point of the search")
    refine: Refining = Refining()
    draws: int = Field(20, ge=5, le=10_000, description="points drawn from the estimate to predict the targets")
    correlation: Literal["simulated", "none"] = Field(
        "simulated", description="errors of the targets are correlated as in simulated shops, or not at all"
    )
    confidence: Share = Field(0.95, gt=0.5, lt=1, description="of intervals")

    def problems(self, plan: Plan[Any]) -> Iterator[Problem]:
        """Yield what does not fit together."""
        targets = read_targets(plan.file("targets"), self.targets)
        for target in targets:
            if problem := metric_problem(plan, ("targets",), target.metric):
                yield Problem(problem.message, self.targets, target.line, "metric", problem.allowed, problem.suggestion)
        fitted = [target for target in targets if not target.held_out]
        if len(fitted) < len(plan.parameters):
            message = f"has {len(fitted)} targets to fit, which cannot tell {len(plan.parameters)} parameters."
            yield plan.error(("targets",), message, "at least as many targets as parameters")
        for one in plan.parameters:
            if one.values or one.integer:
                message = "cannot be calibrated: it moves in steps, so it has no slope. Compare its values in a sweep."
                yield plan.error(("parameters", one.path), message, "a range of a key that is not a whole number")
        if self.last_seed > MAX_SEED:
            yield plan.error(("seed",), f"must leave room for {self.last_seed - self.seed + 1} seeds.")

    @property
    def last_seed(self) -> int:
        """The last that may be used."""
        return self.seed + self.replicates + (self.refine.rounds + 1) * self.refine.replicates - 1

    def seeds_of_round(self, number: int) -> list[int]:
        """Return the seeds of a round, counted from 0; the one after the last is for predictions."""
        first = self.seed + self.replicates + number * self.refine.replicates
        return list(range(first, first + self.refine.replicates))


@dataclass(frozen=True)
class Calibration:
    """A calibration, before it begins.

    Parameters
    ----------
    config : CalibratePlan
    parameters : sequence of Parameter
        Ranges.
    targets : sequence of Target
    evaluate : Evaluate
        Gives every metric of the targets.
    """

    config: CalibratePlan
    parameters: Sequence[Parameter]
    targets: Sequence[Target]
    evaluate: Evaluate

    @property
    def fitted(self) -> list[Target]:
        """Targets that are not held out."""
        return [target for target in self.targets if not target.held_out]

    @property
    def aim(self) -> moments.Aim:
        """What is to be met."""
        values, errors, weights = np.array([(target.value, target.se, target.weight) for target in self.fitted]).T
        return moments.Aim(values, errors, weights, self.config.correlation == "simulated")

    def point(self, unit: Iterable[float]) -> dict[str, Any]:
        """Return a point's values."""
        shares = (min(max(float(share), 0.0), 1.0) for share in unit)
        return {one.path: one.from_unit(share) for one, share in zip(self.parameters, shares, strict=True)}

    def search(self, journal: Journal) -> list[Record]:
        """Search for where the moments come nearest to the targets, going on from what the journal has."""
        seeds = list(range(self.config.seed, self.config.seed + self.config.replicates))
        names = [target.metric for target in self.targets]
        records = journal.records()
        while len(records) < self.config.trials:
            number = len(records)
            tried = [
                Tried(one.unit, (distance,)) for one, distance in zip(records, self.distances(records), strict=True)
            ]
            unit = propose(tried, len(self.parameters), self.config.seed, number)
            (values,), (whole,) = measure({WORLD: self.evaluate}, [self.point(unit)], seeds, names)
            records.append(Record(number, unit, self.point(unit), values))
            if whole:  # another attempt may have more luck with runs that failed
                journal.add(records[-1], [float(self.distances(records)[-1])], {})
            elif number == 0:
                break
        return records

    def distances(self, records: Sequence[Record]) -> Values:
        """Return the weighted squared distance from the targets, shape (records,); NaN where a moment has no value.

        A moment's weight is one over the variance of its target and of its simulated mean, the latter being the
        median over all records, so that one cannot come nearer by being noisier.
        """
        if not records:
            return np.zeros(0)
        aim = self.aim
        runs = np.array([[one.values[WORLD][target.metric] for target in self.fitted] for one in records])
        means = mean_of(runs)
        noise = mean_of((runs - means[:, :, None]) ** 2) * runs.shape[2] / (runs.shape[2] - 1)
        known = np.isfinite(noise).all(axis=1)
        variance = np.median(noise[known], axis=0) if known.any() else np.ones(len(aim.values))
        own = np.where(np.isfinite(aim.errors), aim.errors**2, variance)
        total = own + variance / runs.shape[2]
        weights = np.where(np.isfinite(aim.weights), aim.weights, 1 / np.where(total > 0, total, 1.0))
        result: Values = (weights * (means - aim.values) ** 2).sum(axis=1)
        return result

    def refine(self, start: Unit) -> moments.Fit:
        """Turn the end of the search into an estimate, each round with fresh seeds.

        Raises
        ------
        ScenarioError
            If too few runs have a value of every moment there.
        """
        centre = np.array(start)
        widths = np.full(centre.size, moments.WIDEST)
        names = [target.metric for target in self.fitted]
        for number in range(self.config.refine.rounds):
            points = moments.design(centre, widths)
            seeds = self.config.seeds_of_round(number)
            values, _ = measure({WORLD: self.evaluate}, [self.point(unit) for unit in points], seeds, names)
            table = np.array([[one[WORLD][name] for name in names] for one in values])
            try:
                found = moments.slopes(points, table)
            except ValueError as problem:
                where = ", ".join(f"{one.path} {one.label(self.point(centre)[one.path])}" for one in self.parameters)
                message = f"cannot be met near {where}: {problem}."
                raise ScenarioValueError(Problem(message, self.config.targets)) from None
            fit = moments.settled(moments.fit(found, self.aim, widths, self.config.confidence), widths)
            if fit.settled:
                break
            centre, widths = fit.estimate, moments.next_widths(fit)
        return fit

    def predict(self, fit: moments.Fit) -> Prediction:
        """Simulate points drawn from the estimate, and say between what values the targets should lie."""
        source = np.random.default_rng([self.config.seed, len(self.parameters)])
        seeds = self.config.seeds_of_round(self.config.refine.rounds)
        units = [_within(source, fit.estimate, fit.covariance) for _ in range(self.config.draws)]
        names = [target.metric for target in self.targets]
        values, _ = measure({WORLD: self.evaluate}, [self.point(unit) for unit in units], seeds, names)
        runs = np.array([[one[WORLD][name] for name in names] for one in values])
        return Prediction(units, runs, self.targets, self.config.confidence)


def _within(source: np.random.Generator, mean: Values, covariance: Values) -> Values:
    """Draw from a normal distribution inside the unit cube."""
    for _ in range(1000):
        drawn = source.multivariate_normal(mean, covariance, method="eigh")
        if ((drawn >= 0) & (drawn <= 1)).all():
            return np.asarray(drawn, np.float64)
    return np.asarray(np.clip(drawn, 0, 1), np.float64)


def calibrate(
    config: CalibratePlan,
    parameters: Sequence[Parameter],
    targets: Sequence[Target],
    evaluate: Evaluate,
    folder: Path,
    runner: Runner | None = None,
    search: str = "search",
) -> Findings:
    """Search, estimate, predict.

    Parameters
    ----------
    config : CalibratePlan
    parameters : sequence of Parameter
        Ranges.
    targets : sequence of Target
    evaluate : Evaluate
    folder : Path
        Where the journal of the search is, or will be; a search that it holds goes on from there.
    runner : Runner, optional
        Is told how many runs to expect.
    search : str
        Names the plan and what makes the runs; trials in the journal of another search do not count.

    Returns
    -------
    Findings
    """
    if runner is not None:
        rounds = 2 * (1 + 2 * len(parameters)) + config.draws  # two rounds are typical
        runner.planned = config.trials * config.replicates + rounds * config.refine.replicates
    calibration = Calibration(config, parameters, targets, evaluate)
    key = hashlib.sha256(f"{search} {sorted(map(repr, targets))}".encode()).hexdigest()[:16]
    records = calibration.search(Journal(folder, [one.path for one in parameters], 1, key))
    distances = calibration.distances(records)
    if not np.isfinite(distances).any():
        message = "cannot be met anywhere: no point of the search has a value of every metric to fit."
        if runner is not None and runner.failures:
            message = f"cannot be met: runs failed twice, the first with {runner.failures[0].reason}"
        raise ScenarioValueError(Problem(message, config.targets))
    fit = calibration.refine(records[int(np.nanargmin(distances))].unit)
    prediction = calibration.predict(fit)
    summary, passed = summary_of(parameters, targets, fit, prediction, config.confidence)
    points: list[Point] = [record.point for record in records]
    runs = [
        (record.number, config.seed + i, metric, value)
        for record in records
        for metric, column in record.values[WORLD].items()
        for i, value in enumerate(column)
    ]
    tables = tables_of(parameters, targets, fit, prediction, summary)
    trials = pd.DataFrame(
        {"point": range(len(records)), "distance": np.where(np.isfinite(distances), distances, math.nan)}
    )
    return Findings(
        points_table(points, parameters),
        pd.DataFrame(runs, columns=list(COLUMNS)),
        summary,
        {"trials": trials, **tables},
        passed,
    )


def command(path: Path, options: Any) -> int:
    """Carry out a plan and return the exit code."""
    from experiments.plans.command import conduct

    def experiment(plan: Plan[CalibratePlan], runner: Runner) -> Findings:
        folder = runner.folder
        assert folder is not None, "a command has one"
        if runner.fresh:
            (folder / FILE).unlink(missing_ok=True)
        name, file = plan.config.targets, plan.file("targets")
        targets = read_targets(file, name)
        if not Path(name).is_absolute() and ".." not in Path(name).parts:
            write_text(folder / name, file.read_text(encoding="utf-8"))  # where the plan beside it looks for it
        evaluate = shop_evaluator(plan, runner, [target.metric for target in targets])
        with lasting_workers(runner):
            return calibrate(plan.config, plan.parameters, targets, evaluate, folder, runner, search_digest(plan))

    return conduct(path, options, "calibrate", experiment, print_study)
