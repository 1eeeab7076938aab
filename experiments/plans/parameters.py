"""What a plan varies: a key of the scenario, and the values that it may take.

A *point* gives each parameter a plain value: a number (yuan, hours, shares of 1, rates per day), or whatever
``values`` lists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field

from sim.core.config import FEN_PER_YUAN, Section
from sim.core.units import Fen, Hours, show_hours
from sim.scenario import Problem, Scenario, ScenarioError, ScenarioValueError
from sim.scenario.keys import Form, allowed, forms, forms_at
from sim.scenario.problems import shown
from sim.scenario.schema import ScenarioConfig
from sim.scenario.tree import KeyPath, Node

Point = Mapping[str, Any]
"""Path of each parameter to its plain value."""
MONEY_UNIT, TIME_UNIT = (next(form.unit for form in forms(kind) if form.unit).name for kind in (Fen, Hours))
NAMES = {MONEY_UNIT: "yuan", TIME_UNIT: "hours", "share": "share", "signed share": "share", "rate per day": "a day"}


class Range(Section):
    """Everything between two numbers."""

    min: Any = Field(description="in the unit of the key, as a scenario writes it")
    max: Any = Field(description="above min")
    scale: Literal["linear", "log"] = Field(
        "linear", description="log: equal steps are equal ratios; needs min above 0"
    )


class Choice(Section):
    """A few values."""

    values: list[Any] = Field(min_length=1, max_length=1000, description="as a scenario writes them")


@dataclass(frozen=True)
class Parameter:
    """One key of the scenario that a plan varies.

    Parameters
    ----------
    path : str
        Dotted, as the plan names it.
    unit : str
        Of plain values: yuan, hours, share, a day; empty where there is none.
    low, high : float
        Bounds of a range, as plain values; NaN for a choice.
    log : bool
        Whether equal steps of :meth:`from_unit` are equal ratios.
    step : float
        Values are multiples of it: 1 for whole numbers, 0.01 for yuan; 0 if there is no step.
    values : tuple
        Of a choice, as plain values; empty for a range.
    current : Any
        What the scenario says, as a plain value; None if it leaves that open.
    """

    path: str
    unit: str
    low: float
    high: float
    log: bool
    step: float
    values: tuple[Any, ...]
    current: Any

    @property
    def integer(self) -> bool:
        """Whether values are whole numbers."""
        return self.step == 1

    @property
    def numeric(self) -> bool:
        """Whether values are numbers."""
        return all(map(_is_number, self.values))

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest plain value; positions in the list for a choice that is not numeric."""
        if not self.values:
            return self.low, self.high
        return (min(self.values), max(self.values)) if self.numeric else (0.0, len(self.values) - 1.0)

    def from_unit(self, share: float) -> Any:
        """Return the plain value at a share of the way, every whole number or choice being equally wide.

        Parameters
        ----------
        share : float
            In [0, 1]; uniform shares give uniform (for ``log``, log-uniform) values.
        """
        if not 0 <= share <= 1:
            raise ValueError(f"a share of the way must be from 0 to 1. Got {share}.")
        if self.values:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        low, high = (self.low - 0.5, self.high + 0.5) if self.integer else (self.low, self.high)
        value = low * (high / low) ** share if self.log else low + share * (high - low)
        return self._stepped(value)

    def levels(self, count: int) -> list[Any]:
        """Return plain values spread over the range, both ends included; of a choice all values.

        Parameters
        ----------
        count : int
            At least 2; whole numbers and yuan have fewer where the range does not hold so many.
        """
        if self.values:
            return list(self.values)
        space = np.geomspace if self.log else np.linspace
        spread = [float(value) for value in space(self.low, self.high, count)]
        return list(dict.fromkeys(map(self._stepped, spread)))

    def _stepped(self, value: float) -> float | int:
        """Return the nearest value within the bounds that is a multiple of the step."""
        value = min(max(value, self.low), self.high)
        if not self.step:
            return value
        return round(value) if self.integer else round(value, 2)

    def to_file(self, value: Any) -> Any:
        """Write a plain value as a scenario does."""
        value = value.item() if isinstance(value, np.generic) else value
        if self.unit == "hours" and isinstance(value, int | float):
            return show_hours(float(value))
        return int(value) if self.integer and isinstance(value, float) and value.is_integer() else value

    def label(self, value: Any) -> str:
        """Write a plain value for a reader, with its unit."""
        value = value.item() if isinstance(value, np.generic) else value  # as a cell of a table is
        if value is None:
            return "default"
        if not _is_number(value):
            return value if isinstance(value, str) else _text(value)
        if self.unit == "share":
            return f"{100 * value:.4g}%"
        if self.unit == "hours":
            return f"{value / 24:.4g} d" if value >= 48 else f"{value:.4g} h"
        return f"{value:.4g} {self.unit}".strip() if abs(value) < 10_000 else f"{value:,.0f} {self.unit}".strip()


def column(values: Sequence[Any]) -> list[Any]:
    """Return plain values as a column of a table holds them: numbers, or text if any is neither number nor missing."""
    if all(value is None or _is_number(value) for value in values):
        return list(values)
    return [value if isinstance(value, str) or value is None else _text(value) for value in values]


def parameter(path: str, spec: Range | Choice, node: Node, scenario: Scenario) -> Parameter:
    """Check one entry of a plan's ``parameters`` against the scenario.

    Parameters
    ----------
    path : str
    spec : Range or Choice
    node : Node
        Where the plan says it.
    scenario : Scenario

    Raises
    ------
    ScenarioError
        If the scenario has no such key, or does not allow a value.
    """
    steps = scenario.resolve(path, origin=str(node.place))
    data = scenario.config.model_dump(mode="json")
    found = forms_at(ScenarioConfig, steps, data)
    form = _quantity(found)
    if isinstance(spec, Range) and form is None:
        message = f"takes no range, as it must be {allowed(found)}; list values: [...], or vary a key below it."
        raise ScenarioValueError(_refusal(path, node, message))
    keys: list[KeyPath]
    keys = [("min",), ("max",)] if isinstance(spec, Range) else [("values", i) for i in range(len(spec.values))]
    nodes = [_child(node, key) for key in keys]
    for value in nodes:
        _check(path, steps, value, scenario)
    plain = [_plain(form, value.plain()) for value in nodes]
    unit = NAMES.get(form.unit.name, "") if form and form.unit else ""
    step = 0.01 if unit == "yuan" else 1.0 if form and form.type is int else 0.0
    current = current_value(scenario, path)
    if isinstance(spec, Choice):
        if len(set(map(_text, plain))) < len(plain):
            raise ScenarioValueError(_refusal(path, node, "lists a value twice."))
        return Parameter(path, unit, math.nan, math.nan, False, step, tuple(plain), current)
    for value, number in zip(nodes, plain, strict=True):
        if not _is_number(number):
            raise ScenarioValueError(_refusal(path, value, f"a range needs numbers. Got {shown(value.plain())}."))
    low, high = map(float, plain)
    if not low < high:
        raise ScenarioValueError(
            _refusal(path, node, f"needs min below max. Got {shown(spec.min)}, {shown(spec.max)}.")
        )
    if spec.scale == "log" and low <= 0:
        raise ScenarioValueError(_refusal(path, node, f"needs min above 0 for a log scale. Got {shown(spec.min)}."))
    return Parameter(path, unit, low, high, spec.scale == "log", step, (), current)


def current_value(scenario: Scenario, path: str) -> Any:
    """Return what a scenario says at a dotted path, as a plain value; None if it leaves that open."""
    steps = scenario.resolve(path)
    data = scenario.config.model_dump(mode="json")
    return _plain(_quantity(forms_at(ScenarioConfig, steps, data)), _at(data, steps))


def _quantity(found: Sequence[Form]) -> Form | None:
    """Return the form that is a number, if a key may be one."""
    return next((form for form in found if form.unit or form.type in (int, float)), None)


def _check(path: str, steps: KeyPath, value: Node, scenario: Scenario) -> None:
    """Ask the scenario whether it allows a value; a refusal points to where the plan wrote it."""
    try:
        scenario.override({path: value}, origin=str(value.place))
    except ScenarioError as error:
        own = {path, ".".join(map(str, steps))}
        raise ScenarioValueError(
            *(_refusal(path, value, problem.message) if problem.path in own else problem for problem in error.problems)
        ) from None


def _refusal(path: str, node: Node, message: str) -> Problem:
    return Problem(message, node.place.file, node.place.line, f"parameters.{path}")


def _child(node: Node, key: KeyPath) -> Node:
    child = node.at(key)
    assert child is not None, "the schema has found it"
    return child


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _plain(form: Form | None, value: Any) -> Any:
    """Return a file's value as a plain number if it is a quantity, else as it is."""
    if form is None or form.unit is None:
        return value
    try:
        inside = form.unit.parse(value)
    except ValueError:
        return value
    if form.unit.name != MONEY_UNIT:
        return inside
    return inside // FEN_PER_YUAN if inside % FEN_PER_YUAN == 0 else inside / FEN_PER_YUAN


def _at(data: Any, steps: KeyPath) -> Any:
    """Return what stands at a key path of plain data; None if something on the way is not said."""
    for step in steps:
        data = None if data is None else data[step]
    return data
