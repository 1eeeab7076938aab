"""The scenario file: what it may say, reading it, and where each value came from.

Read in this order: ``schema`` (every key), ``tree`` (what a file said and where), ``reading`` (YAML and ``extends``),
``overrides`` (``--set``), ``keys`` (what the schema allows at a key path), ``problems`` (error messages),
``consistency`` and ``memory`` (what must hold between sections), ``provenance`` (assumptions, digest), and ``loading``
(:class:`Scenario`, which ties them together). ``editor`` and ``starter`` serve ``shopsim schema`` and ``shopsim new``.

`Scenario` is loaded on first use, because the schema imports every scheme.
"""

from typing import TYPE_CHECKING, Any

from sim.scenario.errors import (
    Problem,
    ScenarioError,
    ScenarioFileError,
    ScenarioSizeError,
    ScenarioSyntaxError,
    ScenarioValueError,
)

if TYPE_CHECKING:
    from sim.scenario.loading import Scenario

__all__ = [
    "Problem",
    "Scenario",
    "ScenarioError",
    "ScenarioFileError",
    "ScenarioSizeError",
    "ScenarioSyntaxError",
    "ScenarioValueError",
]


def __getattr__(name: str) -> Any:
    """Import `Scenario` on first use (PEP 562)."""
    if name == "Scenario":
        from sim.scenario.loading import Scenario

        return Scenario
    raise AttributeError(f"module 'sim.scenario' has no attribute {name!r}")
