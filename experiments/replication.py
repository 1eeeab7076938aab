"""Many runs: each scenario with each seed, in this process or in many, with the same result.

Read :func:`replicate` first; :func:`execute` is the same for several scenarios, and says what happens when a run fails
or is interrupted. Nothing here depends on how many workers there are, on which machines they are or on which of them
finishes first: results come in the order of the tasks, and draws inside a run are addresses (see
:mod:`sim.core.draws`).
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import multiprocessing.connection
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from experiments.engine import versions
from experiments.outcome import RunResult, simulate
from experiments.store import Store

if TYPE_CHECKING:
    from sim.scenario import Scenario

Progress = Callable[[float, int], None]
"""Called with the number of runs done, fractions included where they are known, and the number of all."""
MAX_SEED = 2**32 - 1
_PATIENCE = 3  # how often a run is asked for that a cluster lost


class Work(Protocol):
    """What is done with a scenario and a seed where that is more than :func:`experiments.outcome.simulate`.

    A frozen dataclass that can be pickled. ``digest`` names everything in it that may change the result.
    """

    @property
    def digest(self) -> str:
        """Text that differs wherever the result may."""

    def __call__(self, scenario: Scenario, seed: int, watch: Callable[[float], None] | None) -> RunResult:
        """Make the run; see :func:`experiments.outcome.simulate`."""


@dataclass(frozen=True)
class Task:
    """One run to be made.

    Parameters
    ----------
    scenario : Scenario
    seed : int
        In [0, 2**32).
    work : Work, optional
        What to do; by default the scenario is simulated from its start to its end.
    """

    scenario: Scenario
    seed: int
    work: Work | None = None

    @property
    def digest(self) -> str:
        """Of scenario and work; its run carries the same."""
        if self.work is None:
            return self.scenario.digest
        return hashlib.sha256(f"{self.scenario.digest} {self.work.digest}".encode()).hexdigest()

    @property
    def key(self) -> tuple[str, int]:
        """What determines the run."""
        return self.digest, self.seed


@dataclass(frozen=True)
class RunFailure:
    """A run that failed twice.

    Parameters
    ----------
    scenario : str
        Its name.
    seed : int
    traceback : str
        Of the second attempt.
    """

    scenario: str
    seed: int
    traceback: str

    @property
    def reason(self) -> str:
        """The last line of the traceback."""
        return self.traceback.strip().splitlines()[-1]


@dataclass
class Execution:
    """What became of the tasks: ``results`` in their order, without those in ``failures``; ``found`` were stored."""

    results: list[RunResult] = field(default_factory=list)
    failures: list[RunFailure] = field(default_factory=list)
    found: int = 0


class RunsFailedError(RuntimeError):
    """Some runs failed twice; ``execution.results`` has the others."""

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        failed = "; ".join(f"{f.scenario} with seed {f.seed}: {f.reason}" for f in execution.failures)
        super().__init__(f"{len(execution.failures)} of {self.total} runs failed twice: {failed}")

    @property
    def total(self) -> int:
        """Number of runs asked for."""
        return len(self.execution.results) + len(self.execution.failures)


class Interrupted(KeyboardInterrupt):
    """Ctrl-C: ``finished`` runs are kept, of ``total``."""

    def __init__(self, finished: list[RunResult], total: int) -> None:
        super().__init__(f"interrupted: {len(finished)} of {total} runs are finished")
        self.finished = finished
        self.total = total


def replicate(
    scenario: Scenario,
    seeds: Sequence[int],
    workers: int = 1,
    progress: Progress | None = None,
    *,
    store: Store | None = None,
    executor: Executor | None = None,
) -> list[RunResult]:
    """Run a scenario once with each seed.

    Parameters
    ----------
    scenario : Scenario
    seeds : sequence of int
        Each in [0, 2**32).
    workers : int
        Processes; 1 runs in this one. A script that asks for more needs the usual ``if __name__ == "__main__":``.
    progress : callable, optional
        Told how many runs are done.
    store : Store, optional
        Where finished replicates are kept and looked for.
    executor : concurrent.futures.Executor, optional
        Where to run instead of local processes, for example that of a Dask client.

    Returns
    -------
    list of RunResult
        In the order of the seeds.

    Raises
    ------
    RunsFailedError
        After all others are done, if any run failed twice.
    Interrupted
        On Ctrl-C.
    """
    tasks = [Task(scenario, seed) for seed in seeds]
    execution = execute(tasks, workers=workers, progress=progress, store=store, executor=executor)
    if execution.failures:
        raise RunsFailedError(execution)
    return execution.results


def execute(
    tasks: Sequence[Task],
    *,
    workers: int = 1,
    progress: Progress | None = None,
    store: Store | None = None,
    executor: Executor | None = None,
    fresh: bool = False,
    light: bool = False,
) -> Execution:
    """Make runs, each once even if it is asked for twice; see :func:`replicate`.

    A run that fails is tried again when the others are done, and alone, so that one which needs more memory than its
    share, or kills its process, harms no other. What a cluster loses is no failure: it is asked for again.

    Parameters
    ----------
    tasks : sequence of Task
    workers, progress, store, executor
        As in :func:`replicate`.
    fresh : bool
        Run again what the store already has.
    light : bool
        Keep only metrics and facts of each run, and no tables: enough for hundreds of runs of a sweep.

    Raises
    ------
    ValueError
        If a seed is out of range or there is no worker.
    Interrupted
        On Ctrl-C; what was finished is in the store, if there is one.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1. Got {workers}.")
    if wrong := [task.seed for task in tasks if not 0 <= task.seed <= MAX_SEED]:
        raise ValueError(f"a seed must be a whole number from 0 to {MAX_SEED}. Got {wrong[0]}.")
    book = _Book(tasks, store, fresh, light, progress)
    crew = _Crew(min(workers, max(1, len(book.open))), executor, light)
    try:
        for key, outcome in crew.together(list(book.open.values()), book.watch):
            book.enter(key, outcome)
        for task in list(book.open.values()):
            book.enter(task.key, crew.alone(task, book.watch), final=True)
    except KeyboardInterrupt:
        crew.stop()
        raise Interrupted(list(book.results.values()), book.total) from None
    finally:
        crew.dismiss()
    return book.close()


class _Book:
    """Keeps what is done and what is open."""

    def __init__(
        self, tasks: Sequence[Task], store: Store | None, fresh: bool, light: bool, progress: Progress | None
    ) -> None:
        self._tasks = tasks
        self._store = store
        self._progress = progress
        self.open = {task.key: task for task in tasks}
        self.total = len(self.open)
        self.results: dict[tuple[str, int], RunResult] = {}
        self._failures: dict[tuple[str, int], RunFailure] = {}
        if store is not None and not fresh:
            for key, task in list(self.open.items()):
                if (found := store.find(task.scenario.name, *key, light=light)) is not None:
                    self.results[key] = found
                    del self.open[key]
        self._found = len(self.results)
        self.watch(0.0)

    def watch(self, part: float) -> None:
        """Report progress, given the part of the running run that is done."""
        if self._progress is not None:
            self._progress(len(self.results) + len(self._failures) + part, self.total)

    def enter(self, key: tuple[str, int], outcome: RunResult | str, *, final: bool = False) -> None:
        """Note how a run ended: with a result, or with a traceback, which counts only at the final attempt."""
        if isinstance(outcome, RunResult):
            self.results[key] = outcome if self._store is None else self._store.keep(outcome)
            del self.open[key]
        elif final:
            task = self.open.pop(key)
            self._failures[key] = RunFailure(task.scenario.name, task.seed, outcome)
        self.watch(0.0)

    def close(self) -> Execution:
        """Return everything in the order of the tasks, under the name by which each was asked for."""
        execution = Execution(found=self._found)
        for task in self._tasks:
            if task.key in self.results:
                execution.results.append(self.results[task.key].named(task.scenario.name))
            else:
                failure = self._failures[task.key]
                execution.failures.append(RunFailure(task.scenario.name, failure.seed, failure.traceback))
        return execution


class _Crew:
    """Runs tasks: in this process, in local processes, or wherever an executor does."""

    def __init__(self, workers: int, executor: Executor | None, light: bool) -> None:
        self._workers = workers
        self._light = light
        self._given = executor
        self._own: ProcessPoolExecutor | None = None
        self._futures: dict[Future[RunResult | str], Task] = {}
        self._strangers = set(multiprocessing.active_children())

    def together(
        self, tasks: Sequence[Task], watch: Callable[[float], None]
    ) -> Iterator[tuple[tuple[str, int], RunResult | str]]:
        """Yield key and outcome of each task as it ends."""
        if self._given is None and self._workers == 1:
            for task in tasks:
                yield task.key, _attempt(task, self._light, watch)
            return
        for task in tasks:
            with contextlib.suppress(BrokenExecutor):  # what was not submitted has its second attempt
                self._futures[self._submit(task)] = task
        for future in as_completed(list(self._futures)):
            yield self._futures.pop(future).key, _outcome(future)

    def alone(self, task: Task, watch: Callable[[float], None]) -> RunResult | str:
        """Run one task while nothing else runs, in a fresh pool if the last one broke."""
        if self._given is None and self._workers == 1:
            return _attempt(task, self._light, watch)
        for _ in range(_PATIENCE):
            try:
                future = self._submit(task)
            except BrokenExecutor:
                if self._given is not None:
                    return traceback.format_exc()
                self.dismiss()
                future = self._submit(task)
            self._futures[future] = task
            outcome = _outcome(future)
            if not future.cancelled():
                break
        return outcome

    def stop(self) -> None:
        """Give up everything that has not ended; an executor that was given stays as it is, but for these tasks."""
        for future in self._futures:
            future.cancel()
        if self._own is not None:
            for process in set(multiprocessing.active_children()) - self._strangers:
                process.terminate()

    def dismiss(self) -> None:
        """End the processes of this crew."""
        if self._own is not None:
            self._own.shutdown()
            self._own = None

    def _submit(self, task: Task) -> Future[RunResult | str]:
        if self._given is not None:
            return self._given.submit(_attempt_elsewhere, task, self._light, versions())
        if self._own is None:
            context = multiprocessing.get_context("spawn")  # on every platform, and safe beside threads
            self._own = ProcessPoolExecutor(self._workers, context, begin_work)
        with undisturbed():
            return self._own.submit(_attempt, task, self._light)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold Ctrl-C back while processes are started: they inherit that, and it finds none of them half awake."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def begin_work() -> None:
    """Prepare a worker process: one thread, as there is a process for each core; Ctrl-C is the parent's to handle.

    A parent that is killed cannot end its workers, so they watch it and end with it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if (parent := multiprocessing.parent_process()) is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    if "numba" not in sys.modules:
        os.environ["NUMBA_NUM_THREADS"] = "1"
    import numba

    numba.set_num_threads(1)


def _end_with(sentinel: int) -> None:
    """Wait until a process is gone, then end this one at once: nobody is left to take what it makes."""
    multiprocessing.connection.wait([sentinel])
    os._exit(1)


def _attempt(task: Task, light: bool, watch: Callable[[float], None] | None = None) -> RunResult | str:
    """Make one run; a failure travels as text, because not every exception can be sent between processes."""
    try:
        make = simulate if task.work is None else task.work
        result = replace(make(task.scenario, task.seed, watch), digest=task.digest)
        return replace(result, tables={}) if light else result
    except Exception:
        return traceback.format_exc()


_RUNNING = threading.Lock()


def _attempt_elsewhere(task: Task, light: bool, engine: Mapping[str, str]) -> RunResult | str:
    """Make one run in a process that is not ours: one at a time, as it may have threads, and only by this engine."""
    if (own := versions()) != engine:
        return f"a worker has another engine: {own} instead of {dict(engine)}"
    with _RUNNING:
        return _attempt(task, light)


def _outcome(future: Future[RunResult | str]) -> RunResult | str:
    try:
        return future.result()
    except Exception as problem:  # the process died, or the result could not be sent
        return "".join(traceback.format_exception(problem))
