"""Lanes: the rows of a large batch shared out over threads of our own.

A kernel to which each row is a matter of its own is called once for each part of the rows, all parts at the same time.
Parts are consecutive and their results come in order, so no bit depends on how many there are. There are as many as
``NUMBA_NUM_THREADS`` says, and kernels give up the interpreter's lock (``nogil=True``), or they would wait for each
other.

OpenMP's threads wait in a busy loop for what comes next, which costs more than they save here; ours sleep.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numba as nb
import numpy as np

_Ended = SimpleQueue[tuple[Any, BaseException | None]]  # what came of a part, or why nothing did
_threads: list[Thread] = []
_tasks: SimpleQueue[tuple[Callable[[slice], Any], slice, _Ended]] = SimpleQueue()


def share_out[T](work: Callable[[slice], T], rows: int, worth: int) -> list[T]:
    """Do something with all rows, in several parts at once if they are many; return what came of each part, in order.

    Parameters
    ----------
    work : callable
        Takes the slice of the rows that it is for. It may change what belongs to these rows and nothing else.
    rows : int
    worth : int
        How many rows are worth a thread: no part has fewer. To call one takes some 30 microseconds.
    """
    lanes = min(nb.config.NUMBA_NUM_THREADS, rows // worth)
    if lanes < 2:
        return [work(slice(0, rows))]
    _see_to_threads(lanes - 1)
    bounds = [rows * n // lanes for n in range(lanes + 1)]
    own, *others = (slice(bounds[n], bounds[n + 1]) for n in range(lanes))
    waited_for: list[_Ended] = []
    for part in others:
        waited_for.append(SimpleQueue())
        _tasks.put((work, part, waited_for[-1]))
    try:
        results = [work(own)]
    finally:  # whatever comes: nobody may be left at work on what we go on with
        ended = [part.get() for part in waited_for]
    for result, failure in ended:
        if failure is not None:
            raise failure
        results.append(result)
    return results


def collect(work: Callable[[slice], Any], rows: int, worth: int) -> Any:
    """Do the same with work that returns an array, or a tuple of arrays; return those of all parts as one."""
    parts = share_out(work, rows, worth)
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return np.concatenate(parts)


def _see_to_threads(number: int) -> None:
    while len(_threads) < number:
        _threads.append(Thread(target=_serve, name="lane", daemon=True))
        _threads[-1].start()


def _serve() -> None:
    while True:
        work, part, ended = _tasks.get()
        try:
            ended.put((work(part), None))
        except BaseException as failure:
            ended.put((None, failure))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_threads.clear)  # threads stay behind with the parent
