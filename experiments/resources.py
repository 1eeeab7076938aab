"""Where runs are made: how many processes this machine has memory for, and clusters of other machines."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, InvalidStateError
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from experiments.engine import versions
from sim.scenario import Problem, ScenarioFileError, ScenarioSizeError
from sim.scenario.memory import memory_estimate

if TYPE_CHECKING:
    from sim.scenario import Scenario

PROCESS_BYTES = 450_000_000
"""Python with its libraries and compiled kernels, measured at 340 MB, and what a small shop leaves behind."""
RUN_FACTOR = 4
"""A whole run against its people and network: orders, exposures and the tables that are kept of it."""
SHARE_OF_AVAILABLE = 0.9
CONNECT_SECONDS = 10
RECONNECT_SECONDS = 3 * CONNECT_SECONDS
"""How long a cluster may be without its scheduler before what was asked of it has failed."""
SILENCE = "300s"
"""How long a Dask process may say nothing: compiling kernels holds its interpreter, on a busy machine for a minute."""
_BEAT = 0.1  # seconds between two looks at a connection
_GONE = "the Dask scheduler is gone"


def bytes_a_run(scenario: Scenario) -> int:
    """Estimate the memory that a process needs to run a scenario, in bytes."""
    return PROCESS_BYTES + RUN_FACTOR * memory_estimate(scenario.config)


def workers_that_fit(scenarios: Sequence[Scenario], wanted: int) -> tuple[int, str]:
    """Return how many processes to start, and a remark if those are fewer than were wanted.

    Parameters
    ----------
    scenarios : sequence of Scenario
        That will run; the largest counts.
    wanted : int

    Raises
    ------
    ScenarioSizeError
        If there is not even memory for one.
    """
    import psutil

    needed = max(map(bytes_a_run, scenarios), default=0)
    available = SHARE_OF_AVAILABLE * psutil.virtual_memory().available
    fitting = int(available // needed) if needed else wanted
    told = f"a run needs about {needed / 1e9:.1f} GB and {available / 1e9:.1f} GB are free"
    if fitting == 0:
        raise ScenarioSizeError(Problem(f"{told}; ask for fewer persons or ties, or free memory.", path="people.size"))
    return (wanted, "") if fitting >= wanted else (fitting, f"{told}: {fitting} workers instead of {wanted}")


@contextmanager
def executor_for(address: str | None) -> Iterator[Executor | None]:
    """Open a Dask cluster as an executor; none if there is no address, so that processes of this machine do the work.

    The workers have to have this engine and see the data files that scenarios name under the same paths. A worker
    that is lost costs nothing but time: the scheduler gives its runs to others.

    Parameters
    ----------
    address : str or None
        Of the scheduler: ``tcp://host:8786``.

    Raises
    ------
    ScenarioFileError
        If Dask is not installed, nobody answers, or a worker has another engine.
    """
    if address is None:
        yield None
        return
    try:
        import dask
        from distributed import Client
    except ImportError:
        message = "needs Dask, which is not installed: pip install 'shopsim[distributed]'."
        raise ScenarioFileError(Problem(message, "--dask")) from None
    try:
        where = urlsplit(address)
        socket.create_connection((where.hostname, where.port or 0), CONNECT_SECONDS).close()
        dask.config.set({"distributed.comm.timeouts.tcp": SILENCE})
        client: Any = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TypeError) as problem:
        message = f"{address}: no Dask scheduler answers there ({problem}); allowed is one such as tcp://host:8786."
        raise ScenarioFileError(Problem(message, "--dask")) from None
    with _Cluster(client) as cluster:
        for worker, engine in client.run(versions).items():
            if engine != versions():
                differing = ", ".join(sorted({name for name, _ in engine.items() ^ versions().items()}))
                message = f"worker {worker} has another engine than this process: {differing} differ."
                raise ScenarioFileError(Problem(message, "--dask"))
        yield cluster


class _Cluster(Executor):
    """A Dask client as an executor that breaks for good, and does not wait for ever, when the scheduler is lost.

    A client that lost the connection cancels what it had asked for, and tries to connect again by itself. What it was
    fetching just then neither arrives nor fails, so that everything open is watched (which is why this is not the
    executor that the client offers).
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._open: set[Future[Any]] = set()
        self._lock = threading.Lock()
        self._is_gone = False
        self._has_left = threading.Event()
        threading.Thread(target=self._watch, name="cluster-watch", daemon=True).start()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        until = time.monotonic() + RECONNECT_SECONDS
        while self._client.status == "connecting" and not self._is_gone and time.monotonic() < until:
            time.sleep(_BEAT)
        self._is_gone = self._is_gone or self._client.status != "running"
        if self._is_gone:
            raise BrokenExecutor(_GONE)
        # Not pure: a second attempt is a new task, and not the memory of the first.
        remote = self._client.submit(fn, *args, pure=False, **kwargs)
        future: Future[Any] = Future()
        with self._lock:
            self._open.add(future)
        future.add_done_callback(lambda done: self._close(done, remote))
        remote.add_done_callback(lambda done: _hand_over(done, future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which goes on."""
        self._has_left.set()
        self._client.close()

    def _close(self, future: Future[Any], remote: Any) -> None:
        """Forget what has ended, and take it off the cluster if nobody waits for it any longer."""
        with self._lock:
            self._open.discard(future)
        if future.cancelled() and remote.status == "pending" and not self._is_gone:
            remote.cancel()

    def _watch(self) -> None:
        """Fail what is open once there has been no scheduler for too long."""
        seen = time.monotonic()
        while not self._has_left.wait(_BEAT):
            status = self._client.status
            if status == "running":
                seen = time.monotonic()
            elif status == "closed" or time.monotonic() - seen > RECONNECT_SECONDS:
                self._is_gone = True
                with self._lock:
                    left = list(self._open)
                for future in left:
                    _end(future, BrokenExecutor(_GONE))


def _hand_over(remote: Any, future: Future[Any]) -> None:
    """Give what became of a task on the cluster to whoever waits for it here."""
    if remote.cancelled():
        if future.cancel():
            future.set_running_or_notify_cancel()  # without it those who wait for several do not wake up
        return
    try:
        result = remote.result()
    except Exception as problem:  # its own, or that it could not be fetched
        _end(future, problem)
    else:
        with suppress(InvalidStateError):
            future.set_result(result)


def _end(future: Future[Any], problem: Exception) -> None:
    with suppress(InvalidStateError):  # it ended in the meantime
        future.set_exception(problem)
