"""What can be wrong with a scenario file, and how it is said.

::

    ScenarioError
    ├── ScenarioFileError     the file, or a data file that it names, cannot be read
    ├── ScenarioSyntaxError   it is not YAML, or not YAML that a scenario may use
    ├── ScenarioValueError    a key is unknown or missing, or its value is not allowed
    └── ScenarioSizeError     the simulation would not fit into this machine

All are raised before anything runs. The command line prints the message on stderr and exits with 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

SHOWN = 10
LONGEST_PATH = 200


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong.

    Parameters
    ----------
    message : str
        A sentence without the place, for example ``must be a whole number from 2 to 100. Got "three".``
    file : str
        The file as the user knows it, or ``--set`` for an override.
    line : int, optional
        From 1.
    path : str
        Dotted key path, for example ``schemes.0.team_size``; empty for the file as a whole.
    allowed : str
        What may be written there, if that can be said: ``a whole number from 2 to 100``.
    suggestion : str
        The nearest valid key or value.
    """

    message: str
    file: str = ""
    line: int | None = None
    path: str = ""
    allowed: str = ""
    suggestion: str = ""

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        path = self.path if len(self.path) <= LONGEST_PATH else f"{self.path[:LONGEST_PATH]}..."
        hint = f" Did you mean '{self.suggestion}'?" if self.suggestion else ""
        text = ": ".join(part for part in (place, path, self.message + hint) if part)
        # What a file says may hold control characters, which a terminal would obey.
        return "".join(letter if letter.isprintable() else f"\\x{ord(letter):02x}" for letter in text)


class ScenarioError(Exception):
    """A scenario cannot be used; the text says which file, line and key, and what is allowed.

    Parameters
    ----------
    problems : sequence of Problem
        At least one, in the order of the file. The attributes of the error are those of the first.
    """

    def __init__(self, *problems: Problem) -> None:
        super().__init__(*problems)
        self.problems: Sequence[Problem] = problems
        first = problems[0]
        self.message = first.message
        self.file = first.file
        self.line = first.line
        self.path = first.path
        self.allowed = first.allowed
        self.suggestion = first.suggestion

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems[:SHOWN]]
        if len(self.problems) > SHOWN:
            lines.append(f"... and {len(self.problems) - SHOWN} more")
        return "\n".join(lines)


class ScenarioFileError(ScenarioError):
    """A file is missing, unreadable, too large, or extends itself."""


class ScenarioSyntaxError(ScenarioError):
    """A file is not YAML, or uses a part of YAML that scenarios do not have."""


class ScenarioValueError(ScenarioError):
    """A key is unknown or missing, or its value is not allowed."""


class ScenarioSizeError(ScenarioError):
    """The simulation that the scenario asks for does not fit into the memory of this machine."""
