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
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numba as nb
import numpy as np


class Later[T]:
    """What comes of something that a thread may still be at work on."""

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._failure: BaseException | None = None
        self._ended: SimpleQueue[None] = SimpleQueue()
        self._is_awaited = True

    def run(self) -> None:
        """Do it; called once."""
        try:
            self._result = self._work()
        except BaseException as failure:
            self._failure = failure
        _at_work.discard(self)
        self._ended.put(None)

    def wait(self) -> None:
        """Wait until it is done."""
        if self._is_awaited:
            self._ended.get()
            self._is_awaited = False

    def result(self) -> T:
        """Wait until it is done and return what came of it, or raise what it raised."""
        self.wait()
        if self._failure is not None:
            raise self._failure
        return self._result


_LATE = 6  # a thread starts later than we do by about this part of what is worth one
_threads: list[Thread] = []
_tasks: SimpleQueue[Later[Any]] = SimpleQueue()
_at_work: set[Later[Any]] = set()


def start[T](work: Callable[[], T], rows: int, worth: int) -> Later[T]:
    """Begin something that goes on in a thread beside us, if it is about enough rows and a thread is idle.

    Parameters
    ----------
    work : callable
        It may read nothing that changes until its result is asked for.
    rows, worth : int
        How many rows it is about, and how many are worth a thread; fewer are done at once.
    """
    later = Later(work)
    if rows < worth or _idle() == 0:
        later.run()
    else:
        _hand_over(later)
    return later


def share_out[T](work: Callable[[slice], T], rows: int, worth: int) -> list[T]:
    """Do something with all rows, in several parts at once if they are many; return what came of each part, in order.

    Parameters
    ----------
    work : callable
        Takes the slice of the rows that it is for. It may change what belongs to these rows and nothing else.
    rows : int
    worth : int
        How many rows are worth a thread: there are at most as many parts as there are times so many rows. To call one
        costs some 50 microseconds, so a quarter of a millisecond is worth it.
    """
    lanes = min(1 + _idle(), rows // worth)
    if lanes < 2:
        return [work(slice(0, rows))]
    late = worth // _LATE  # rows that we do ourselves while the others wake up
    bounds = [0, *(late + (rows - late) * n // lanes for n in range(1, lanes + 1))]
    parts = [Later(partial(work, slice(bounds[n], bounds[n + 1]))) for n in range(lanes)]
    for part in parts[1:]:
        _hand_over(part)
    parts[0].run()
    for part in parts:  # before anything is raised: nobody may be left at work on what we go on with
        part.wait()
    return [part.result() for part in parts]


def collect(work: Callable[[slice], Any], rows: int, worth: int) -> Any:
    """Do the same with work that returns an array, or a tuple of arrays; return those of all parts as one."""
    parts = share_out(work, rows, worth)
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], tuple):
        return tuple(np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return np.concatenate(parts)


def _idle() -> int:
    """Return how many threads could take something on; a matter of speed only, as no result depends on it."""
    idle: int = nb.config.NUMBA_NUM_THREADS - 1 - len(_at_work)
    return max(0, idle)


def _hand_over(later: Later[Any]) -> None:
    _at_work.add(later)
    while len(_threads) < len(_at_work):
        _threads.append(Thread(target=_serve, name="lane", daemon=True))
        _threads[-1].start()
    _tasks.put(later)


def _serve() -> None:
    while True:
        _tasks.get().run()


def _forget() -> None:
    """Begin anew in a process that was forked: threads, and what they are at work on, stay behind with the parent."""
    _threads.clear()
    _at_work.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
