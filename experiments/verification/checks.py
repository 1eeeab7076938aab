"""What a case finds: a figure, what it should be, and how far chance alone may take it."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
STANDARD_ERRORS = 3.0  # a figure further off than so many has failed
PRECISE = 0.01  # standard error over target; a check with a greater one says little


class BadParameterError(ValueError):
    """A case cannot be run with these parameters; the text says which and what is allowed."""


@dataclass(frozen=True)
class Check:
    """One figure beside what it should be.

    Attributes
    ----------
    case, quantity : str
    target, simulated, standard_error : float
        The standard error is of ``simulated``, joined with the target's own where that was estimated; 0 for exact laws.
    source : str
        Where the target comes from.
    parameters : dict
        Of the case.
    """

    case: str
    quantity: str
    target: float
    simulated: float
    standard_error: float
    source: str
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def z(self) -> float:
        """How many standard errors the figure is off; for exact laws 0 if it is right, else infinite."""
        gap = self.simulated - self.target
        if self.standard_error > 0:
            return gap / self.standard_error
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)

    @property
    def passed(self) -> bool:
        """Whether the figure is within three standard errors (exactly right, if there is no error)."""
        return abs(self.z) <= STANDARD_ERRORS

    @property
    def precision(self) -> float:
        """Standard error over target; 0 for exact laws."""
        return self.standard_error / abs(self.target) if self.standard_error > 0 else 0.0

    def record(self) -> dict[str, Any]:
        """Return everything as plain data."""
        z = self.z if math.isfinite(self.z) else None
        return {**asdict(self), "precision": self.precision, "z": z, "passed": self.passed}


@dataclass(frozen=True)
class Findings:
    """What one run of a case finds.

    Attributes
    ----------
    case : str
    parameters : dict
    checks : list of Check
    """

    case: str
    parameters: dict[str, Any]
    checks: list[Check] = field(default_factory=list)

    def add(self, quantity: str, target: float, values: Array, source: str, error: float = 0.0) -> None:
        """Set the mean of independent values beside a target, whose own standard error may not be zero."""
        mean, own = mean_and_error(values)
        self.note(quantity, target, mean, math.hypot(own, error), source)

    def note(self, quantity: str, target: float, simulated: float, error: float, source: str) -> None:
        """Set a figure beside a target."""
        figures = float(target), float(simulated), float(error)
        self.checks.append(Check(self.case, quantity, *figures, source, self.parameters))


def mean_and_error(values: Array) -> tuple[float, float]:
    """Return the mean of independent values and its standard error."""
    return float(values.mean()), float(values.std(ddof=1) / math.sqrt(values.size))


def run_seeds(seed: int, case: str) -> Iterator[int]:
    """Yield the seeds of a case's runs: neighbouring values of ``seed`` have no run in common."""
    number = 0
    while True:
        yield int(np.random.SeedSequence([seed, zlib.crc32(case.encode()), number]).generate_state(1)[0])
        number += 1


def must(holds: bool, message: str, got: object) -> None:
    """Refuse a parameter: ``message`` says what it must be."""
    if not holds:
        raise BadParameterError(f"{message}. Got {got}.")


def must_be_runs(runs: int | None) -> None:
    """Refuse numbers of runs whose spread says nothing of a standard error."""
    must(runs is None or 10 <= runs <= 100_000_000, "runs must be from 10 to 100_000_000", runs)
