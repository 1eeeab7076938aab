"""Worker processes that last over many small calls: a search asks for a few runs at a time."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

from experiments.plans.evaluate import Runner
from experiments.replication import begin_work, undisturbed


class LastingPool(Executor):
    """Local processes that are started once, and anew after one of them was killed.

    Parameters
    ----------
    workers : int
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._pool = self._started()

    def _started(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self._workers, multiprocessing.get_context("spawn"), begin_work)

    def submit[**P, T](self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Submit to the pool; see :class:`concurrent.futures.Executor`."""
        with undisturbed():
            try:
                return self._pool.submit(function, *args, **kwargs)
            except BrokenExecutor:
                self._pool.shutdown()
                self._pool = self._started()
                return self._pool.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes."""
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def lasting_workers(runner: Runner) -> Iterator[None]:
    """Let a runner keep its local processes from call to call.

    Parameters
    ----------
    runner : Runner
        One that has an executor, or a single worker, stays as it is.
    """
    if runner.executor is not None or runner.workers == 1:
        yield
        return
    strangers = set(multiprocessing.active_children())
    pool: Any = LastingPool(runner.workers)
    runner.executor = pool
    try:
        yield
    except KeyboardInterrupt:
        for process in set(multiprocessing.active_children()) - strangers:
            process.terminate()
        raise
    finally:
        runner.executor = None
        pool.shutdown()
