"""Which engine a result comes from: the code of one run, the libraries under it, and the machine.

A finished replicate may stand in for a new one only if scenario, seed *and* engine are the same.
"""

from __future__ import annotations

import os
from pathlib import Path

import sim
from sim import code

OBSERVER = Path(__file__).with_name("outcome.py")  # what is kept of a run


def versions() -> dict[str, str]:
    """Return the versions that may change a result or what is kept of it; see :func:`sim.code.versions`."""
    return code.versions(OBSERVER)


def must_compile() -> bool:
    """Whether numba has not yet compiled and cached this engine's kernels, so that a first run takes longer."""
    cache_dir = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(cache_dir) if cache_dir else Path(sim.__file__).parent
    if not cache_dir and not os.access(folder, os.W_OK):
        return False  # numba then keeps its cache elsewhere, and nothing can be said
    return next(folder.rglob("*.nbi"), None) is None
