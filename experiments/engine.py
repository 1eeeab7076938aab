"""Which engine a result comes from: the code of one run, the libraries under it, and the machine.

A finished replicate may stand in for a new one only if scenario, seed *and* engine are the same; while the engine is
being worked on its version number does not change, so the code itself is part of its name.
"""

from __future__ import annotations

import hashlib
import os
import platform
from functools import cache
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path

import sim

PACKAGES = ("sim", "agents")
OBSERVER = Path(__file__).with_name("outcome.py")  # what is kept of a run
LIBRARIES = ("igraph", "implicit", "mesa", "networkx", "numba", "numpy", "pandas", "scikit-learn", "scipy", "simpy")
PLUGINS = ("shopsim.schemes", "shopsim.recommenders", "shopsim.behaviours")


@cache
def code_digest() -> str:
    """Return the SHA-256, in hexadecimal, of all Python files that make and observe a run, names included."""
    digest = hashlib.sha256(OBSERVER.read_bytes())
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None and spec.origin is not None
        folder = Path(spec.origin).parent
        for file in sorted(folder.rglob("*.py")):
            digest.update(f"{package}/{file.relative_to(folder).as_posix()}\0".encode())
            digest.update(file.read_bytes())
            digest.update(b"\0")
    return digest.hexdigest()


@cache
def versions() -> dict[str, str]:
    """Return the versions that may change a result: shopsim, its code, Python, libraries and plug-ins."""
    plugins = {
        point.dist.name: point.dist.version for group in PLUGINS for point in entry_points(group=group) if point.dist
    }
    return {
        "shopsim": sim.__version__,
        "code": code_digest()[:16],
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        **dict(sorted(plugins.items())),
    }


def must_compile() -> bool:
    """Whether numba has not yet compiled and cached this engine's kernels, so that a first run takes longer."""
    cache_dir = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(cache_dir) if cache_dir else Path(sim.__file__).parent
    if not cache_dir and not os.access(folder, os.W_OK):
        return False  # numba then keeps its cache elsewhere, and nothing can be said
    return next(folder.rglob("*.nbi"), None) is None
