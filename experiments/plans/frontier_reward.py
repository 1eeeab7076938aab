"""The reward whose frontier is looked for: one key of the scenario, or both sides of a bonus together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.plans.parameters import NAMES, current_value
from sim.scenario import Problem, Scenario, ScenarioError, ScenarioValueError
from sim.scenario.keys import forms_at
from sim.scenario.schema import ScenarioConfig
from sim.scenario.tree import Place

SIDES = ("inviter", "invitee")
TIMES = 3.0
"""What the scenario says, times this, is the largest reward by default."""


@dataclass(frozen=True)
class Reward:
    """What is varied.

    Parameters
    ----------
    path : str
        As it was asked for.
    parts : tuple of (str, float)
        Dotted paths of the scenario, each with its share of the reward.
    unit : str
        yuan, share, or empty.
    low, high : float
        Bounds that are searched.
    step : float
        Values are multiples of it; 0 if there is no step.
    current : float
        What the scenario says; NaN if it leaves that open.
    """

    path: str
    parts: tuple[tuple[str, float], ...]
    unit: str
    low: float
    high: float
    step: float
    current: float

    @property
    def name(self) -> str:
        """For axes and tables."""
        both = " (both sides together)" if len(self.parts) > 1 else ""
        return f"{self.path}{both}" + (f", {self.unit}" if self.unit == "yuan" else "")

    def label(self, value: float) -> str:
        """Write a reward for a reader."""
        if self.unit == "share":
            return f"{100 * value:.4g}%"
        return f"{value:.4g} {self.unit}".strip()

    def span(self, low: float, high: float) -> str:
        """Write an interval."""
        return f"{self.label(low).removesuffix(f' {self.unit}')} to {self.label(high)}"

    def stepped(self, value: float) -> float:
        """Return the nearest reward that may be paid."""
        return value if not self.step else round(round(value / self.step) * self.step, 2)

    def levels(self, count: int) -> list[float]:
        """Return rewards spread evenly over the range, both ends included."""
        return list(dict.fromkeys(self.stepped(float(value)) for value in np.linspace(self.low, self.high, count)))

    def at(self, scenario: Scenario, value: float, policy: str = "") -> Scenario:
        """Return a scenario with this reward, under a name that tells failures apart."""
        changes = {path: self._written(share * value) for path, share in self.parts}
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{scenario.name[:40]}-{policy or 'reward'}-{value:g}")[:80]
        return scenario.override({**changes, "name": name}, origin="reward")

    def _written(self, value: float) -> float | int:
        if self.unit == "yuan":
            value = round(value, 2)
        return int(value) if self.step == 1 else value


def rewarded(scenario: Scenario, path: str, place: Place, low: float | None, high: float | None) -> Reward:
    """Return the reward that a path means.

    Parameters
    ----------
    scenario : Scenario
    path : str
        ``kind.key`` or ``name.key`` of a scheme, or a dotted path of the scenario. Of a bonus with two sides both
        are meant, split as the scenario splits them.
    place : Place
        Where the plan says it.
    low, high : float or None
        Bounds in the unit of the key; of two sides together.

    Raises
    ------
    ScenarioValueError
        If there is no such key, or it is no number.
    """
    full = _full(scenario, path, place)
    value = current_value(scenario, full)
    if isinstance(value, dict) and set(SIDES) <= value.keys():
        sides = [_number(current_value(scenario, f"{full}.{side}")) for side in SIDES]
        both = math.fsum(sides)
        parts = tuple(
            (f"{full}.{side}", amount / both if both else 0.5) for side, amount in zip(SIDES, sides, strict=True)
        )
        unit, step, current = "yuan", 0.02 if sides[0] == sides[1] else 0.01, both
    else:
        steps = scenario.resolve(full)
        forms = forms_at(ScenarioConfig, steps, scenario.config.model_dump(mode="json"))
        form = next((form for form in forms if form.unit or form.type in (int, float)), None)
        unit = NAMES.get(form.unit.name, "") if form is not None and form.unit is not None else ""
        if form is None or unit in ("hours", "a day"):
            raise _refusal(path, place, "is no reward: it has to be an amount of money, a share or a number.")
        parts, current = ((full, 1.0),), _number(value)
        step = 0.01 if unit == "yuan" else 1.0 if form.type is int else 0.0
    bottom = _smallest(scenario, parts, step) if low is None else low
    top = TIMES * current if high is None else high
    if unit == "share" and high is None:
        top = min(top, 1.0)
    if not bottom < top:
        message = f"needs a largest value: the scenario says {current:g}; give max, in the unit of the key."
        raise _refusal(path, place, message)
    return Reward(path, parts, unit, bottom, top, step, current)


def _full(scenario: Scenario, path: str, place: Place) -> str:
    """Return the dotted path of the scenario that is meant."""
    first = path.partition(".")[0]
    schemes = {name for scheme in scenario.config.schemes for name in (scheme.name, scheme.kind) if name}
    full = f"schemes.{path}" if first in schemes else path
    if first not in schemes and first not in ScenarioConfig.model_fields:
        known = ", ".join(sorted(schemes)) or "none"
        message = f"must begin with a scheme of the scenario ({known}) or one of its sections."
        raise _refusal(path, place, message)
    try:
        scenario.resolve(full, origin=str(place))
    except ScenarioError as error:
        raise _refusal(path, place, error.problems[0].message, error.problems[0].suggestion) from None
    return full


def _smallest(scenario: Scenario, parts: Sequence[tuple[str, float]], step: float) -> float:
    """Return 0, or one step if the scenario refuses 0."""
    nothing = {path: 0 for path, _ in parts}
    try:
        scenario.override(nothing)
    except ScenarioError:
        return step or 0.001
    return 0.0


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _refusal(path: str, place: Place, message: str, suggestion: str = "") -> ScenarioValueError:
    named = path if place.line is None else f"reward: {path}"  # on the command line the option says what it is
    return ScenarioValueError(Problem(message, place.file, place.line, named, "", suggestion))
