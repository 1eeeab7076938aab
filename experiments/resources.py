"""Where runs are made: how many processes this machine has memory for, and clusters of other machines."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
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
SILENCE = "300s"
"""How long a Dask process may say nothing: compiling kernels holds its interpreter, on a busy machine for a minute."""


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

    A client that lost the connection cancels what it had asked for, and tries to connect again by itself.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        # Not pure: a second attempt is a new task, and not the memory of the first.
        self._executor = client.get_executor(pure=False)
        self._is_gone = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        until = time.monotonic() + 3 * CONNECT_SECONDS
        while self._client.status == "connecting" and not self._is_gone and time.monotonic() < until:
            time.sleep(0.1)
        self._is_gone = self._is_gone or self._client.status != "running"
        if self._is_gone:
            raise BrokenExecutor("the Dask scheduler is gone")
        future: Future[Any] = self._executor.submit(fn, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, which goes on."""
        self._client.close()
