"""One run of the shop.

The public names below are loaded on first use, so that ``shopsim --help`` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sim.core.graph import Graph
    from sim.scenario import Scenario, ScenarioError
    from sim.shop import Shop

__version__ = "0.1.0"

_EXPORTS = {
    "Graph": "sim.core.graph",
    "Scenario": "sim.scenario",
    "ScenarioError": "sim.scenario",
    "Shop": "sim.shop",
}
__all__ = ["Graph", "Scenario", "ScenarioError", "Shop", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'sim' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
