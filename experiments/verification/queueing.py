"""The case of waiting: the review desk as a queue.

References
----------
Erlang (1917), "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges".
Daley (1968), "The serial correlation coefficients of waiting times in a stationary single server queue", Journal of the
Australian Mathematical Society 8.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Any

import numpy as np
import numpy.typing as npt
import simpy

from experiments.verification.checks import Check, Findings, must, must_be_runs, run_seeds
from sim.core import draws
from sim.core.clock import Clock
from sim.core.draws import Stream
from sim.risk.desk import CaseKind, ReviewDesk
from sim.scenario.desk import DeskConfig

Array = npt.NDArray[Any]
_CASES_A_RUN = 10_000
_RELAXATIONS = 10  # of the queue, until it has forgotten that it began empty


def erlang_c(
    analysts: int = 3, rate: float = 10.0, minutes: float = 12.0, runs: int | None = None, seed: int = 1
) -> list[Check]:
    """Cases that come one by one at a Poisson rate to a desk that never closes: who waits, and how long.

    Runs are independent, of 10,000 cases each after those in which the queue settles.

    Parameters
    ----------
    analysts : int
        From 1 to 100.
    rate : float
        Cases an hour.
    minutes : float
        Work on a case, mean. With rate and analysts it must give a load (rate x minutes / 60 / analysts) of at most
        0.9, and let at least one case in 100 wait.
    runs : int, optional
        Default: so many that the standard error of the mean wait is below 1% of the target.
    seed : int
    """
    must(1 <= analysts <= 100, "analysts must be from 1 to 100", analysts)
    must(0 < rate < math.inf, "rate must be above 0 cases an hour", rate)
    must(0 < minutes < math.inf, "minutes must be above 0", minutes)
    must_be_runs(runs)
    offered = rate * minutes / 60
    load = offered / analysts
    must(load <= 0.9, "rate x minutes / 60 / analysts, the load, must be at most 0.9", f"{load:.3g}")
    waits = chance_to_wait(analysts, offered)
    must(waits >= 0.01, "analysts must be so few that one case in 100 waits", f"a chance of {waits:.2g}")
    runs = runs or math.ceil(_cases_for_one_percent(load, waits) / _CASES_A_RUN)
    settle = math.ceil(_RELAXATIONS * load / (1 - math.sqrt(load)) ** 2)
    seeds = run_seeds(seed, "erlang-c")
    found_waits = np.array([_waits(analysts, rate, minutes, settle, next(seeds)) for _ in range(runs)])
    found = Findings("erlang-c", {"analysts": analysts, "rate": rate, "minutes": minutes, "runs": runs, "seed": seed})
    mean = waits * minutes / (analysts - offered)
    found.add("wait for an analyst, minutes", mean, found_waits.mean(axis=1), "Erlang C / (analysts / minutes - rate)")
    found.add("cases that wait, share", waits, (found_waits > 0).mean(axis=1), "Erlang C")
    return found.checks


def chance_to_wait(servers: int, offered: float) -> float:
    """Return Erlang's C, the chance that all servers are busy, by way of his B.

    Parameters
    ----------
    servers : int
    offered : float
        Arrivals in a mean service time; below ``servers``.
    """
    lost = 1.0  # B, with no server at all
    for busy in range(1, servers + 1):
        lost = offered * lost / (busy + offered * lost)
    return servers * lost / (servers - offered * (1 - lost))


def _cases_for_one_percent(load: float, waits: float) -> float:
    """Return about how many cases in a row give a mean wait with a standard error below 1%.

    Notes
    -----
    Waits that follow each other are alike: in steady state, the variance of the mean of n waits of an M/M/1 queue is
    ``load (2 + 5 load - 4 load^2 + load^3) / (1 - load)^4 / n`` square service times (Daley 1968). With several
    analysts, relative to the mean, about as much more as fewer cases wait; 1.5 is for what is only nearly so.
    """
    return 1.5e4 * (2 + 5 * load - 4 * load**2 + load**3) / (1 - load) ** 2 / waits


def _waits(analysts: int, rate: float, minutes: float, settle: int, seed: int) -> Array:
    """Run a desk and return the waits of its cases but for the first, in minutes."""
    count = settle + _CASES_A_RUN
    clock = Clock(tick_hours=1, horizon_hours=1)
    hours = {"opens": "0h", "closes": "24h", "weekends": True}
    config = DeskConfig.model_validate({"analysts": analysts, "case_time": f"{minutes!r}min", **hours})
    desk = ReviewDesk(clock, seed, config, truth=lambda persons: np.zeros(persons.size, bool), on_decided=len)
    gaps = draws.exponential(seed, Stream.VERIFY, np.arange(count)) / rate

    def arrivals() -> Generator[simpy.Event]:
        for gap in gaps.tolist():
            yield clock.environment.timeout(gap)
            desk.submit(np.zeros(1, np.int32), CaseKind.ACCOUNT)

    clock.environment.process(arrivals())
    clock.environment.run()
    wait: Array = (desk.cases.started - desk.cases.opened)[settle:] * 60
    return wait
