"""Compiled kernels on disk, safe to use from several processes at a time.

Numba keeps what it compiles (``cache=True``) as numbered files with an index for each function. It writes the index
first, and two processes that compile different variants of a function at the same time give both the same number. So
one can load what is not there yet, what an earlier version of the source left behind, or code for arrays of other
types, which then crashes or computes nonsense. That is a known flaw of numba's (issues 4807 and 10128).

Here a file's name says what is in it, and it is there before the index mentions it. Nothing needs a lock: of two
indices that are written at the same time one is lost, and what it alone knew is compiled once more.
"""

from __future__ import annotations

import glob
import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Any

from numba.core.caching import IndexDataCacheFile

_NUMBERS = 10**15


def _save(self: Any, key: Any, data: Any) -> None:
    """Save a compiled variant of a function, in the place of numba's method of this name."""
    overloads = self._load_index()
    if not overloads:
        _clear(self)
    name = overloads.get(key) or self._data_name(_number(self, key))
    self._save_data(name, data)
    overloads = self._load_index()  # again, as others may have added theirs
    overloads[key] = name
    self._save_index(overloads)


def _number(cache: Any, key: Any) -> int:
    """Return a number for a variant of a version of a function."""
    digest = hashlib.sha256(cache._dump((cache._source_stamp, key))).digest()
    return int.from_bytes(digest[:8], "big") % _NUMBERS


def _clear(cache: Any) -> None:
    """Remove what earlier versions of a function left behind; who is about to load it compiles anew."""
    for old in Path(cache._cache_path).glob(f"{glob.escape(cache._index_name.removesuffix('.nbi'))}.*.nbc"):
        with suppress(OSError):
            old.unlink()


def install() -> None:
    """Let numba save so; before anything is compiled."""
    IndexDataCacheFile.save = _save
