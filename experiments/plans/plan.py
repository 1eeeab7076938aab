"""The plan file: what every kind of plan says, and reading it.

::

    kind: sweep                       # sweep, sensitivity, optimise, calibrate, abtest, stress, frontier
    question: Which discount fills teams at the least cost?
    scenario: ../group_buy.yaml       # relative to this file
    set: {people.size: 2000}          # changes to the scenario, for all runs
    replicates: 5                     # seeds at every point: seed, seed + 1, ...
    parameters: {schemes.group_buy.discount: {min: 5%, max: 30%}}

A kind is a subclass of :class:`PlanConfig` in its own module, which is imported only if a plan is of that kind. Errors
are those of scenario files: file, line, key path, what is allowed, the nearest key.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from ruamel.yaml import YAML

import sim
from experiments.plans.parameters import Choice, Parameter, Point, Range, parameter
from experiments.replication import MAX_SEED
from sim.core.config import Section
from sim.core.units import FilePath
from sim.scenario import Problem, Scenario, ScenarioError, ScenarioFileError, ScenarioValueError, reading
from sim.scenario.overrides import COMMAND_LINE, override, parse_assignment
from sim.scenario.problems import nearest, problem_at, shown, validated
from sim.scenario.tree import Node, Place, from_plain, replaced

KINDS = {
    "sweep": "SweepPlan",
    "sensitivity": "SensitivityPlan",
    "optimise": "OptimisePlan",
    "calibrate": "CalibratePlan",
    "abtest": "AbtestPlan",
    "stress": "StressPlan",
    "frontier": "FrontierPlan",
}
"""Each kind, and the class of ``experiments.plans.<kind>`` that declares what such a plan says."""
CARRIED_OUT_BY = {"frontier": "stress"}
"""Commands that are not called like the kind of plan."""
KEYED_BY_PATH = ("set", "parameters")
NEEDS_BASE = "(needs a base arm)"

Parameters = Annotated[
    dict[str, Range | Choice],
    Field(min_length=1, max_length=100, description="dotted path of the scenario: {min, max, scale} or {values}"),
]
Metrics = Annotated[list[str], Field(min_length=1, max_length=100, description="what to measure; see docs/metrics.md")]


class PlanConfig(Section):
    """What plans of every kind say; a kind adds ``kind`` and keys of its own.

    A key ``parameters`` (:data:`Parameters`) or ``metrics`` (:data:`Metrics`) that a kind declares is checked against
    the scenario when the plan is loaded.
    """

    data_files: ClassVar[tuple[str, ...]] = ()
    """Keys that name files of data; what is in these determines the study."""

    kind: str
    name: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}$", description="what the study is called")
    question: str = Field("", description="what the study is to find out, for the report")
    scenario: FilePath = Field(description="scenario file, relative to the plan")
    set: dict[str, Any] = Field({}, description="dotted path of the scenario: value, for all runs")
    replicates: int = Field(10, ge=1, le=10_000, description="runs of each point, each with a seed of its own")
    seed: int = Field(1, ge=0, le=MAX_SEED, description="the first; replicates count on from it")

    def problems(self, plan: Plan[Any]) -> Iterator[Problem]:
        """Yield what does not fit together; `plan` has scenario and parameters already checked."""
        yield from ()


@dataclass(frozen=True)
class Plan[Config: PlanConfig]:
    """A plan, checked, with its scenario.

    Parameters
    ----------
    config : PlanConfig
        Of its kind.
    scenario : Scenario
        With ``set`` applied.
    parameters : tuple of Parameter
        In the order of the file.
    tree : Node
        What was written.
    """

    config: Config
    scenario: Scenario
    parameters: tuple[Parameter, ...]
    tree: Node

    @property
    def name(self) -> str:
        """What the study is called."""
        return self.config.name

    @property
    def seeds(self) -> list[int]:
        """Of the replicates, the same at every point."""
        return list(range(self.config.seed, self.config.seed + self.config.replicates))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that determines the study, 64 hexadecimal digits."""
        return self.digest_without()

    def digest_without(self, *keys: str) -> str:
        """Return the digest that plans share which differ in nothing but these keys."""
        content = self.config.model_dump(mode="json", exclude={"name", "question", "scenario", "set", *keys})
        files = {key: hashlib.sha256(self.file(key).read_bytes()).hexdigest() for key in self.config.data_files}
        text = json.dumps({**content, **files, "scenario": self.scenario.digest}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def file(self, key: str) -> Path:
        """Return the file that a key of the plan names, relative to the file that says so."""
        node = _node(self.tree, (key,))
        path: Path = node.place.folder / getattr(self.config, key)
        return path

    def at(self, point: Point, name: str | None = None) -> Scenario:
        """Return the scenario at a point, under a name of its own if one is given.

        Parameters that the point leaves out, or of which it says None, stay as the scenario has them.

        Raises
        ------
        ScenarioError
            Naming the point, if its values do not fit together.
        """
        known = {one.path: one for one in self.parameters}
        changes = {
            path: known[path].to_file(value)
            for path, value in point.items()
            if value is not None or None in known[path].values
        }
        label = {} if name is None else {"name": name}
        try:
            return self.scenario.override({**changes, **label}, origin="point")
        except ScenarioError as error:
            shown_point = ", ".join(f"{path}={value}" for path, value in changes.items())
            message = f"{error.message} This is at the point {shown_point}."
            problem = problem_at(self.tree, ("parameters",), f"{error.path}: {message}")
            raise ScenarioValueError(problem) from None

    def error(self, path: Sequence[str | int], message: str, allowed: str = "", suggestion: str = "") -> Problem:
        """Return a problem placed where the plan wrote a key."""
        return problem_at(self.tree, tuple(path), message, allowed, suggestion)

    def to_yaml(self) -> str:
        """Write the resolved plan, defaults and all, as it stands beside its resolved ``scenario.yaml``."""
        values = {**self.config.model_dump(mode="json"), "scenario": "scenario.yaml"}
        values.pop("set")  # already in the scenario
        text = io.StringIO()
        text.write(f"# Resolved by shopsim {sim.__version__}; digest {self.digest}\n")
        writer = YAML(typ="safe", pure=True)
        writer.default_flow_style = False
        writer.allow_unicode = True
        writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        writer.dump(values, text)
        return text.getvalue()


def load_plan(path: Path, assignments: Sequence[str] = (), kind: str | None = None) -> Plan[Any]:
    """Read a plan and the scenario that it names; see :func:`resolve`."""
    return resolve(reading.read(path), path.stem, assignments, kind)


def resolve(tree: Node, name: str, assignments: Sequence[str] = (), kind: str | None = None) -> Plan[Any]:
    """Check a plan that was read, and load the scenario that it names.

    Parameters
    ----------
    tree : Node
        What was written.
    name : str
        What to call the study, unless the plan says so.
    assignments : sequence of str
        ``path=value`` each, of the plan; ``set.people.size=500`` changes the scenario.
    kind : str, optional
        What it has to be.

    Raises
    ------
    ScenarioError
        With file, line, key path and what is allowed, if anything is wrong.
    """
    if tree.child("name") is None:
        name = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).lstrip(".-")[:80] or "plan"
        tree = Node({"name": Node(name, tree.place), **tree.value}, tree.place)
    model = config_class(tree, kind)
    for assignment in assignments:
        tree = _assigned(tree, model, assignment)
    config = validated(model, tree)
    if config.seed + config.replicates - 1 > MAX_SEED:
        raise ScenarioValueError(problem_at(tree, ("seed",), f"must leave room for {config.replicates} seeds."))
    scenario = _scenario(config, tree)
    parameters = []
    for name, spec in getattr(config, "parameters", {}).items():
        entry = _node(tree, ("parameters", name))
        with _as_typed(entry, "parameters", name):
            parameters.append(parameter(name, spec, entry, scenario))
    plan = Plan(config, scenario, tuple(parameters), tree)
    if problems := [*_overlaps(plan), *_metric_problems(plan), *config.problems(plan)]:
        raise ScenarioValueError(*problems)
    return plan


def config_class(tree: Node, kind: str | None = None) -> type[PlanConfig]:
    """Return the class that declares what a plan of this kind says."""
    node = tree.child("kind")
    said = None if node is None else node.value
    if said not in KINDS:
        options = ", ".join(KINDS)
        message = f"must be one of {options}. Got {shown(said)}." if node else f"is missing; must be one of {options}."
        raise ScenarioValueError(problem_at(tree, ("kind",), message, options, nearest(str(said), list(KINDS))))
    if kind is not None and said != kind:
        command = CARRIED_OUT_BY.get(str(said), said)
        message = f"must be {kind} for this command; shopsim {command} carries out a plan like this."
        raise ScenarioValueError(problem_at(tree, ("kind",), message, kind))
    found: type[PlanConfig] = getattr(import_module(f"experiments.plans.{said}"), KINDS[said])
    return found


def _assigned(tree: Node, model: type[PlanConfig], assignment: str) -> Node:
    """Apply one ``--set`` to a plan; what follows ``set.`` or ``parameters.`` is a path of the scenario."""
    path, value = parse_assignment(assignment)
    head, _, rest = path.partition(".")
    place = Place(COMMAND_LINE, None, Path())
    if head in KEYED_BY_PATH and head in model.model_fields and rest:
        holder = tree.child(head) or Node({}, place)
        inside = holder.value if isinstance(holder.value, dict) else {}
        key = max((key for key in inside if rest == key or rest.startswith(f"{key}.")), key=len, default=rest)
        below = tuple(rest[len(key) + 1 :].split(".")) if head == "parameters" and rest != key else ()
        key = key if below or rest == key else rest
        new = from_plain(value, place)
        entry = replaced(inside[key], below, new) if below else new
        return replaced(tree, (head,), Node({**inside, key: entry}, holder.place))
    try:
        return override(tree, model, {}, path, value, COMMAND_LINE)
    except ScenarioValueError as error:
        if error.path == head and "is not a key here" in error.message and not error.suggestion:
            message = f"is not a key of the plan; to change its scenario write --set set.{path}=..."
            raise ScenarioValueError(Problem(message, COMMAND_LINE, None, path, error.allowed)) from None
        raise


def _scenario(config: PlanConfig, tree: Node) -> Scenario:
    """Load the scenario that a plan names, and apply what the plan sets."""
    node = _node(tree, ("scenario",))
    file = node.place.folder / config.scenario
    if not file.is_file():
        folder = node.place.folder.resolve().name
        message = f"{config.scenario}: there is no such file; a relative name is looked up in {folder}/."
        raise ScenarioFileError(problem_at(tree, ("scenario",), message, "the name of a scenario file"))
    scenario = Scenario.load(file)
    for path in config.set:
        entry = _node(tree, ("set", path))
        with _as_typed(entry, "set", path):
            scenario = scenario.override({path: entry}, origin=str(entry.place))
    return scenario


@contextmanager
def _as_typed(entry: Node, head: str, path: str) -> Iterator[None]:
    """Name a path of the scenario as ``--set`` of a plan has it, if it comes from there."""
    try:
        yield
    except ScenarioError as error:
        if entry.place.file != COMMAND_LINE:
            raise
        inside = [problem.path if problem.path.startswith(f"{path}.") else path for problem in error.problems]
        raise type(error)(
            *(replace(one, path=f"{head}.{below}") for one, below in zip(error.problems, inside, strict=True))
        ) from None


def _overlaps(plan: Plan[Any]) -> Iterator[Problem]:
    """Refuse parameters of which one would overwrite the other."""
    steps = {one.path: plan.scenario.resolve(one.path) for one in plan.parameters}
    for path, other in itertools.combinations(steps, 2):
        common = min(len(steps[path]), len(steps[other]))
        if steps[path][:common] == steps[other][:common]:
            yield plan.error(("parameters", other), f"is the same as parameter {path}, or one is part of the other.")


def _metric_problems(plan: Plan[Any]) -> Iterator[Problem]:
    """Check that each metric is one that a single run has."""
    for number, metric in enumerate(getattr(plan.config, "metrics", ())):
        if problem := metric_problem(plan, ("metrics", number), metric):
            yield problem


def metric_problem(plan: Plan[Any], path: Sequence[str | int], metric: str) -> Problem | None:
    """Return what is wrong with a metric that a plan names at `path`, if anything is."""
    from sim.metrics import METRICS

    single = [name for name, one in METRICS.items() if not one.formula.endswith(NEEDS_BASE)]
    scheme, _, own = metric.rpartition(".")  # a scheme with a name reports name.metric as well
    names = {scheme.name for scheme in plan.scenario.config.schemes if scheme.name}
    if metric in single or (scheme in names and own in single):
        return None
    if metric in METRICS:
        return plan.error(path, f"{metric} needs a base to compare with, which a single run has not.")
    message = f"is not a metric; docs/metrics.md lists them. Got {shown(metric)}."
    return plan.error(path, message, "", nearest(metric, single))


def _node(tree: Node, path: Sequence[str | int]) -> Node:
    node = tree.at(tuple(path))
    assert node is not None, "the schema has found it"
    return node
