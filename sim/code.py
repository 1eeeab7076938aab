"""Which engine makes a run: shopsim and its code, the libraries under it, and plug-ins.

While shopsim is being worked on its version number does not change, so the code itself is part of the engine's name.
"""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import entry_points, version
from importlib.util import find_spec
from pathlib import Path

import sim

PACKAGES = ("sim", "agents")
LIBRARIES = ("igraph", "implicit", "mesa", "networkx", "numba", "numpy", "pandas", "scikit-learn", "scipy", "simpy")
PLUGINS = ("shopsim.schemes", "shopsim.recommenders", "shopsim.behaviours")


@cache
def code_digest(*others: Path) -> str:
    """Return the SHA-256, in hexadecimal, of all Python files that make a run, names included, and of other files."""
    digest = hashlib.sha256()
    for file in others:
        digest.update(file.read_bytes())
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
def versions(*others: Path) -> dict[str, str]:
    """Return the versions that may change a result: of shopsim, code and other files, Python, libraries, plug-ins."""
    plugins = {
        point.dist.name: point.dist.version for group in PLUGINS for point in entry_points(group=group) if point.dist
    }
    return {
        "shopsim": sim.__version__,
        "code": code_digest(*others)[:16],
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        **dict(sorted(plugins.items())),
    }
