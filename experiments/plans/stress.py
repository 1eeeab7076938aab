"""``shopsim stress``: what may go wrong, how likely, how bad, how one would notice, and what a response does to it.

A plan lists shocks. Each happens in the engine (an entry of the scenario's ``shocks``, or changes to the scenario), in
a world of its own for each of its sizes, with the same seeds as the calm world: the loss of an event is the difference
of contribution, paired by seed. Responses are worlds too, with the shock and without it, because a response also costs
when nothing happens. From the losses of single events, :mod:`experiments.plans.stress_losses` makes losses of periods.

Read :class:`StressPlan` (what a plan says), :func:`worlds` (what is run), then :func:`experiment`;
:mod:`experiments.plans.stress_risks` assesses, :mod:`experiments.plans.stress_alarms` looks for alarms.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from experiments.plans.command import PlanOptions, carry_out
from experiments.plans.evaluate import Runner
from experiments.plans.plan import Plan, PlanConfig, load_plan
from experiments.plans.study import Findings
from experiments.replication import Task
from sim.core.config import Section
from sim.core.units import Fen, Hours, PositiveHours, Share
from sim.scenario import Problem, Scenario, ScenarioValueError, reading
from sim.scenario.shocks import DetectorOutage
from sim.scenario.tree import from_plain

CALM, ACCEPT = "calm", "accept"
HOURS_A_YEAR = 365 * 24.0
LOSS = "contribution"
"""Metric whose fall is the loss of an event."""
Name = Annotated[str, Field(pattern=r"^\S(.{0,58}\S)?$")]
Changes = dict[str, Any]


class Size(Section):
    """How big a shock may be; each size is run."""

    name: Name = Field(description="for readers")
    weight: float = Field(1.0, gt=0, le=1e9, description="how likely among the sizes, relative to the others")
    shock: Changes = Field({}, description="keys of the shock that this size has differently")
    set: Changes = Field({}, description="dotted path of the scenario: value")


class SevereLoss(Section):
    """A stated law of what an event costs, for what no run can show: log-normal."""

    share_of_revenue: Share = Field(gt=0, description="mean loss, of the gmv of a period in the calm world")
    spread: float = Field(1.0, ge=0, le=4, description="standard deviation of the logarithm of the loss")


class Response(Section):
    """What may be done about a risk. It counts in every period, whether the shock comes or not."""

    name: Name = Field(description="for readers")
    kind: Literal["avoid", "mitigate", "transfer", "accept"]
    set: Changes = Field({}, description="avoid, mitigate: dotted path of the scenario: value")
    cost: Fen = Field(0, description="a year, beside what runs show")
    probability: Share | None = Field(None, description="a year, if the response makes the shock rarer")
    rate: float | None = Field(None, ge=0, le=10_000, description="events a year, likewise")
    share_of_revenue: Share | None = Field(None, description="mean loss of a stated law, if the response lowers it")
    premium: Fen | None = Field(None, description="transfer: a year")
    cover: Share | None = Field(None, gt=0, description="transfer: of each loss above the deductible that is paid back")
    deductible: Fen = Field(0, description="transfer: of each loss, borne by oneself")
    limit: Fen | None = Field(None, description="transfer: most that is paid back for one loss; default: no limit")

    @model_validator(mode="after")
    def _of_its_kind(self) -> Response:
        transfers = self.premium is not None or self.cover is not None or self.deductible or self.limit is not None
        acts = self.set or self.probability is not None or self.rate is not None or self.share_of_revenue is not None
        if self.kind == "transfer" and (self.premium is None or self.cover is None):
            raise ValueError("transfer needs premium and cover")
        if self.kind != "transfer" and transfers:
            raise ValueError("premium, cover, deductible and limit go with kind: transfer")
        if self.kind in ("avoid", "mitigate") and not acts:
            raise ValueError(f"{self.kind} needs set, or what it does to probability, rate or share_of_revenue")
        if self.kind in ("transfer", "accept") and (acts or (self.kind == "accept" and self.cost)):
            raise ValueError(f"{self.kind} changes nothing in the shop: it takes no set, probability, rate or loss")
        return self


class Shock(Section):
    """Something that may happen: as an entry of the scenario's shocks, as changes to it, or by a stated law."""

    name: Name = Field(description="for readers")
    shock: Changes | None = Field(None, description="an entry of the scenario's section shocks: {kind: ..., ...}")
    set: Changes = Field({}, description="dotted path of the scenario: value; with shock, without it, or neither")
    loss: SevereLoss | None = Field(None, description="instead of shock and set: what an event costs")
    start: Hours | None = Field(
        None, description="when it begins, for alarms; default: start of the shock, else 0h; a size may have another"
    )
    probability: Share | None = Field(None, description="that it comes in a year, once; give this or rate")
    rate: float | None = Field(None, ge=0, le=10_000, description="events a year, independent of each other (Poisson)")
    sizes: list[Size] = Field([], max_length=20, description="default: one size")
    responses: list[Response] = Field([], max_length=20, description="accept is always among them")

    @model_validator(mode="after")
    def _one_way(self) -> Shock:
        if (self.probability is None) == (self.rate is None):
            raise ValueError("give either probability (at most once a year) or rate (events a year)")
        runs = self.shock is not None or bool(self.set)
        if runs == (self.loss is not None):
            raise ValueError("give shock or set, which are run, or loss, a stated law, which is not")
        if self.loss is not None and self.sizes:
            raise ValueError("sizes go with shock or set; a stated loss has its spread")
        if any(size.shock for size in self.sizes) and self.shock is None:
            raise ValueError("shock of a size goes with shock, of which it changes keys")
        for what in (self.sizes, self.responses):
            names = [one.name for one in what]
            if len(set(names)) < len(names):
                raise ValueError("sizes need names of their own, and so do responses")
        for response in self.responses:
            self._check(response)
        return self

    def _check(self, response: Response) -> None:
        if (response.probability is not None and self.probability is None) or (
            response.rate is not None and self.rate is None
        ):
            raise ValueError(f"response {response.name!r} must say how often as its shock does: by probability or rate")
        if self.loss is None and response.share_of_revenue is not None:
            raise ValueError(f"share_of_revenue of response {response.name!r} goes with a shock that has loss")
        if self.loss is not None and response.set:
            raise ValueError(f"set of response {response.name!r} cannot change a stated loss; use share_of_revenue")

    @property
    def chances(self) -> list[tuple[str, float]]:
        """Names of the sizes with their chances; one without a name if none are listed."""
        whole = sum(size.weight for size in self.sizes)
        return [(size.name, size.weight / whole) for size in self.sizes] or [("", 1.0)]

    def begins(self, size: Size | None = None) -> float:
        """Return when it begins, in hours, in a size: that may have a ``start`` of its own."""
        own = {} if size is None else size.shock
        if "start" in own:
            return hours_of(own["start"])
        return self.start if self.start is not None else hours_of((self.shock or {}).get("start", "0h"))

    def begins_in(self, name: str) -> float:
        """Return when it begins, in hours, in the size of this name; empty for a shock without sizes."""
        return self.begins(next((size for size in self.sizes if size.name == name), None))


def hours_of(text: Any) -> float:
    """Return the hours of a duration as a file writes it; 0 of what is none, which the scenario refuses anyway."""
    from sim.core.units import read_hours

    try:
        return read_hours(text)
    except ValueError:
        return 0.0


class StressPlan(PlanConfig):
    """Shocks to a scenario, and responses to them."""

    kind: Literal["stress"]
    shocks: list[Shock] = Field(min_length=1, max_length=50)
    metrics: list[str] = Field(
        ["contribution", "gmv", "members", "fraud_loss"], min_length=1, max_length=50, description="of the impact"
    )
    period: PositiveHours = Field(HOURS_A_YEAR, description="over which losses are counted")
    levels: list[Annotated[float, Field(gt=0.5, lt=1)]] = Field(
        [0.95, 0.99], min_length=1, max_length=5, description="of value at risk and shortfall"
    )
    reserve: Fen | None = Field(None, description="set aside for losses of a period: how likely is it exhausted?")
    false_alarms: Share = Field(
        0.1, gt=0, lt=1, description="share of calm runs in which a signal may give an alarm, once or more"
    )
    draws: int = Field(200_000, ge=1_000, le=5_000_000, description="periods that are simulated")
    resamples: int = Field(200, ge=20, le=5_000, description="of the seeds, for intervals of tail measures")

    def problems(self, plan: Plan[StressPlan]) -> Iterator[Problem]:
        """Yield what does not fit together."""
        names = [shock.name for shock in self.shocks]
        for number, name in enumerate(names):
            if name in names[:number]:
                yield plan.error(("shocks", number, "name"), f"is taken: another shock is called {name!r}.")
                return
        late = "begins after the end of the run, so it cannot show an effect."
        for number, shock in enumerate(self.shocks):
            for place, size in enumerate(shock.sizes or [None]):
                if shock.begins(size) >= plan.scenario.config.horizon:
                    where = ("shocks", number, "sizes", place) if size else ("shocks", number)
                    yield plan.error(where, late)
                    return
        worlds(plan)  # refuses what the scenario does not allow


Key = tuple[str, str, str, bool]
"""Of a world: shock, size, response, and whether the shock happens."""
CALM_KEY: Key = ("", "", "", False)


@dataclass(frozen=True)
class World:
    """What is run with every seed.

    Parameters
    ----------
    shock, size, response : str
        Names; empty where there is none. A response without `shock_happens` is what it costs in a calm world.
    shock_happens : bool
    scenario : Scenario
    """

    shock: str
    size: str
    response: str
    shock_happens: bool
    scenario: Scenario

    @property
    def name(self) -> str:
        """For readers."""
        parts = [self.response, self.shock if self.shock_happens else CALM, self.size]
        return ", ".join(part for part in parts if part) or CALM

    @property
    def key(self) -> Key:
        """By which it is looked up."""
        return self.shock, self.size, self.response, self.shock_happens


def worlds(plan: Plan[StressPlan]) -> list[World]:
    """Return the worlds of a plan, the calm one first.

    Raises
    ------
    ScenarioError
        Naming the place in the plan, if the scenario does not allow a change.
    """
    found = [World("", "", "", False, plan.scenario)]
    for number, shock in enumerate(plan.config.shocks):
        if shock.loss is not None:
            continue
        where: tuple[str | int, ...] = ("shocks", number)
        answers: list[tuple[str, Scenario, bool]] = [("", plan.scenario, True)]
        for index, response in enumerate(shock.responses):
            if response.set:
                scenario = _changed(plan, plan.scenario, (*where, "responses", index, "set"), response.set)
                found.append(World(shock.name, "", response.name, False, scenario))
                answers.append((response.name, scenario, response.probability != 0 and response.rate != 0))
        for name, scenario, comes in answers:
            for position, size in enumerate(shock.sizes or [None]):
                if comes:
                    label = size.name if size else ""
                    struck = _struck(plan, scenario, where, shock, size, position)
                    found.append(World(shock.name, label, name, True, struck))
    return [_named(world, point) for point, world in enumerate(found)]


def _named(world: World, point: int) -> World:
    """Give a scenario a name that tells failures apart."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{world.scenario.name}-{point}-{world.name}")[:80]
    scenario = world.scenario.override({"name": name})
    return World(world.shock, world.size, world.response, world.shock_happens, scenario)


def _struck(
    plan: Plan[StressPlan], scenario: Scenario, where: tuple[str | int, ...], shock: Shock, size: Size | None, at: int
) -> Scenario:
    """Return a scenario in which the shock happens in a size."""
    scenario = _changed(plan, scenario, (*where, "set"), shock.set)
    if size is not None:
        scenario = _changed(plan, scenario, (*where, "sizes", at, "set"), size.set)
    if shock.shock is None:
        return scenario
    place = plan.tree.nearest((*where, "shock"))
    entry = {**shock.shock, **(size.shock if size else {})}
    before = scenario.config.model_dump(mode="json").get("shocks", [])
    return scenario.override({"shocks": [*before, from_plain(entry, place)]}, origin=str(place))


def _changed(
    plan: Plan[StressPlan], scenario: Scenario, where: tuple[str | int, ...], changes: Mapping[str, Any]
) -> Scenario:
    """Apply changes that stand somewhere in the plan."""
    for path in changes:
        node = plan.tree.at((*where, path))
        assert node is not None, "the schema has found it"
        scenario = scenario.override({path: node}, origin=str(node.place))
    return scenario


def remarks(plan: Plan[StressPlan]) -> list[str]:
    """Say before anything is run which shocks find nothing in the scenario that they could hit."""
    found = {}
    for world in worlds(plan):
        risk = world.scenario.config.risk
        outage = any(isinstance(shock, DetectorOutage) for shock in world.scenario.config.shocks)
        if world.shock_happens and not world.response and outage and risk.detector is None:
            found[world.shock] = (
                f"{world.shock}: the scenario has no detector (risk.detector), so an outage of it can do no more than "
                "suspend limits, as far as the scenario has any."
            )
    return list(found.values())


def experiment(plan: Plan[StressPlan], runner: Runner) -> Findings:
    """Run every world with every seed, and put together what may go wrong."""
    from experiments.plans.stress_risks import Assessment

    places = worlds(plan)
    runner.planned = len({world.scenario.digest for world in places}) * len(plan.seeds)
    tasks = [Task(world.scenario, seed) for world in places for seed in plan.seeds]
    results = {(run.digest, run.seed): run for run in runner.execute(tasks)}
    runs = {world.key: {seed: results[world.scenario.digest, seed] for seed in plan.seeds
                        if (world.scenario.digest, seed) in results} for world in places}  # fmt: skip
    return Assessment(plan, places, runs).findings()


def command(path: Path, options: PlanOptions, frontier: str | None = None) -> int:
    """Carry out a stress plan or look for a frontier, and return the exit code.

    Parameters
    ----------
    path : Path
        Of a plan; with `frontier` of a scenario too.
    options : PlanOptions
    frontier : str or None
        Reward whose largest safe value is looked for.
    """
    kind = reading.read(path).child("kind")
    if frontier is not None or (kind is not None and kind.value == "frontier"):
        from experiments.plans.frontier import command as find_frontier

        return find_frontier(path, options, frontier)
    if kind is None:
        message = "is a scenario and no plan; a plan says kind: stress. With --frontier REWARD a scenario will do."
        raise ScenarioValueError(Problem(message, str(path)))
    from experiments.plans.stress_output import show

    plan = load_plan(path, options.changes, "stress")
    for remark in remarks(plan):
        options.note(remark)
    return carry_out(plan, options, experiment, show)
