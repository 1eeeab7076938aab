"""How fast the shop is: run by `make bench`; what was measured is in docs/benchmarks.md.

Every world runs in a process of its own. A first day warms up what is compiled and learned; the days after it are
timed. Times are wall-clock; the figure for a person-day is the median day's, which a busy machine disturbs less than
the mean, and CPU time stands beside it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numba
import numpy as np
from rich.console import Console
from rich.table import Table as RichTable

from sim import Scenario, Shop
from sim.core.table import Table

WORLD = Path(__file__).with_name("world.yaml")
STAGES = (
    "operations", "wake", "read", "visit", "recommend", "offer", "choose", "screen", "settle", "share", "act", "live",
    "record",
)  # fmt: skip
COUNTED = ("visits", "exposures", "orders")
TICKS_A_DAY = 24
_NEARLY = 0.05
NOBODY_COMES = {
    "people.members_at_start": 0.0,
    "sharing.organic": 0.0,
    "kols.count": 0,
    "fraud.rings": 0,
}


class StageClock:
    """Seconds that each stage of a shop's day has taken since the start or the last :meth:`reset`."""

    def __init__(self, shop: Shop) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        shop.clock.run_processes = self._timed("operations", shop.clock.run_processes)  # type: ignore[method-assign]
        for stage in STAGES[1:]:
            setattr(shop, f"_{stage}", self._timed(stage, getattr(shop, f"_{stage}")))

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = function(*arguments)
            self.seconds[stage] += time.perf_counter() - start
            return result

        return timed

    def reset(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)

    def shares(self) -> dict[str, float]:
        total = sum(self.seconds.values())
        return {stage: seconds / total for stage, seconds in self.seconds.items()}


def measure(size: int, days: int) -> dict[str, Any]:
    """Run the world with ``size`` persons for ``days`` after one day of warming up, and return its figures."""
    started = time.perf_counter()
    shop = Shop(Scenario.load(WORLD).override({"people.size": size, "horizon": f"{days + 1}d"}), rng=1)
    built = time.perf_counter() - started
    stages = StageClock(shop)
    for _ in range(TICKS_A_DAY):
        shop.step()
    stages.reset()
    before = {name: shop.recorder.total(name) for name in COUNTED}
    cpu = time.process_time()
    a_day = [_seconds_of(shop.step, TICKS_A_DAY) for _ in range(days)]
    cpu = time.process_time() - cpu
    wall = sum(a_day)
    median = statistics.median(a_day)
    return {
        "persons": size,
        "days": days,
        "build_s": built,
        "run_s": wall,
        "us_a_person_day": median / size * 1e6,
        "us_a_person_day_mean": wall / days / size * 1e6,
        "us_a_person_day_best": min(a_day) / size * 1e6,
        "cpu_us_a_person_day": cpu / days / size * 1e6,
        "person_days_a_s": size / median,
        **{f"{name}_a_s": (shop.recorder.total(name) - before[name]) / wall for name in COUNTED},
        "stages": stages.shares(),
        **memory(shop),
        "peak_rss_mb": peak_rss_mb(),
    }


def overhead(**changes: Any) -> dict[str, float]:
    """Return milliseconds a tick takes in a world of 200 persons with all launch schemes: median, and best tenth."""
    quiet = {"people.size": 200, "horizon": "40d", **changes}
    shop = Shop(Scenario.load(WORLD).override(quiet), rng=1)
    for _ in range(10 * TICKS_A_DAY):
        shop.step()
    ticks = []
    while shop.running:
        ticks.append(_seconds_of(shop.step, 1) * 1000)
    return {"median_ms": statistics.median(ticks), "best_tenth_ms": float(np.quantile(ticks, 0.1))}


def _seconds_of(function: Callable[[], Any], times: int) -> float:
    start = time.perf_counter()
    for _ in range(times):
        function()
    return time.perf_counter() - start


def memory(shop: Shop) -> dict[str, float]:
    """Return bytes a person (the people and what schemes, recommender, feed and risk keep of each) and a tie's end.

    What has a row for each person may have one more, some to spare, or none yet for the latest accounts.
    """
    persons = len(shop.people)
    kept = sum(
        held.nbytes
        for owner in (*shop.schemes, shop.recommender, shop.risk, shop.feed)
        for held in _held(owner, set(), shop)
        if abs(len(held) - persons) <= _NEARLY * persons
    )
    graph = shop.graph
    ties = graph.indptr.nbytes + graph.indices.nbytes + graph.strength.nbytes
    return {
        "bytes_a_person": (shop.people.nbytes + kept) / persons,
        "bytes_a_person_people": shop.people.nbytes / persons,
        "bytes_a_person_kept_elsewhere": kept / persons,
        "bytes_a_tie_end": ties / max(1, graph.indices.size),
    }


def _held(thing: Any, seen: set[int], shop: Shop) -> Iterator[Any]:
    """Yield every table and array that can be reached from a thing, the world's own tables aside."""
    known = (shop, shop.people, shop.graph, shop.products, shop.book, shop.config)
    if id(thing) in seen or any(thing is other for other in known):
        return
    seen.add(id(thing))
    if isinstance(thing, Table) or (isinstance(thing, np.ndarray) and thing.ndim):
        yield thing
    elif isinstance(thing, list | tuple | dict):
        for part in thing.values() if isinstance(thing, dict) else thing:
            yield from _held(part, seen, shop)
    elif type(thing).__module__.startswith(("sim.", "agents.", "scipy.sparse")):
        for part in vars(thing).values() if hasattr(thing, "__dict__") else ():
            yield from _held(part, seen, shop)


def peak_rss_mb() -> float:
    """Return the most memory that this process has held, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def in_fresh_process(function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
    """Call a function in a process of its own, so that worlds do not share memory or warm caches."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments, **keywords).result()


def run(sizes: list[int], days: int) -> dict[str, Any]:
    """Return all figures."""
    return {
        "machine": {
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": numba.config.NUMBA_NUM_THREADS,
            "python": platform.python_version(),
            "load_before": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        },
        "worlds": [in_fresh_process(measure, size, days) for size in sizes],
        "tick_overhead": {
            "200 persons": in_fresh_process(overhead),
            "200 persons, nobody comes": in_fresh_process(overhead, **NOBODY_COMES),
        },
    }


ROWS: tuple[tuple[str, str, str], ...] = (
    ("person-days a second", "person_days_a_s", ",.0f"),
    ("us a person-day, median day", "us_a_person_day", ".2f"),
    ("us a person-day, mean", "us_a_person_day_mean", ".2f"),
    ("us a person-day, best day", "us_a_person_day_best", ".2f"),
    ("us of CPU a person-day", "cpu_us_a_person_day", ".2f"),
    ("visits a second", "visits_a_s", ",.0f"),
    ("exposures a second", "exposures_a_s", ",.0f"),
    ("orders a second", "orders_a_s", ",.0f"),
    ("bytes a person", "bytes_a_person", ",.0f"),
    ("  of it in People", "bytes_a_person_people", ",.0f"),
    ("bytes an end of a tie", "bytes_a_tie_end", ".1f"),
    ("peak memory, MB", "peak_rss_mb", ",.0f"),
    ("to build, s", "build_s", ".1f"),
    ("to run, s", "run_s", ".1f"),
)


def show(figures: dict[str, Any], console: Console) -> None:
    """Print the figures as tables."""
    machine, worlds = figures["machine"], figures["worlds"]
    console.print(f"{machine['cores']} cores, {machine['threads']} threads, Python {machine['python']}, ", end="")
    console.print(f"load before the start {machine['load_before']:.1f}" if machine["load_before"] is not None else "")
    if worlds:
        table = RichTable("", title=f"{WORLD.name}, hourly, {worlds[0]['days']} days after a day of warming up")
        for world in worlds:
            table.add_column(f"{world['persons']:,} persons", justify="right")
        for label, key, form in ROWS:
            table.add_row(label, *(format(world[key], form) for world in worlds))
        table.add_section()
        for stage in STAGES:
            table.add_row(f"time in {stage}", *(f"{world['stages'][stage]:.0%}" for world in worlds))
        console.print(table)
    for name, tick in figures["tick_overhead"].items():
        console.print(
            f"a tick with {name}: {tick['median_ms']:.2f} ms (median), {tick['best_tenth_ms']:.2f} ms (best tenth)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the speed of the shop.")
    parser.add_argument("--days", type=int, default=30, help="timed days, after one of warming up")
    parser.add_argument("--sizes", default="10000,100000,300000", help="numbers of persons, separated by commas")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    figures = run([int(size) for size in options.sizes.split(",") if size], options.days)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures, Console())


if __name__ == "__main__":
    main()
