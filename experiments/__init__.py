"""Many runs: replicates, comparisons, run folders, reports and the command line.

``replicate`` and ``compare`` are loaded on first use, so that ``shopsim --help`` answers at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.comparison import Comparison, compare
    from experiments.outcome import RunResult
    from experiments.replication import replicate

_EXPORTS = {
    "Comparison": "experiments.comparison",
    "RunResult": "experiments.outcome",
    "compare": "experiments.comparison",
    "replicate": "experiments.replication",
}
__all__ = ["Comparison", "RunResult", "compare", "replicate"]


def __getattr__(name: str) -> Any:
    """Import a public name on first use (PEP 562)."""
    if name in _EXPORTS:
        return getattr(import_module(_EXPORTS[name]), name)
    raise AttributeError(f"module 'experiments' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
