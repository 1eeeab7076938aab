"""Many policies from one warmed-up shop: run the base to a day, once for each seed, and branch every arm off there.

The warmed-up shops are checkpoints in the store, named by what determines them::

    <root>/checkpoints/<digest of the base>/seed-3-tick-30/     see sim.checkpoint

They are found again by whoever asks for the same base, seed and day. One that is not whole, or of another engine, is
made again; so losing them costs time and nothing else. Arms share every moment before the fork, and every draw after.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.outcome import RunResult, observe
from experiments.replication import Task
from sim import fork
from sim.checkpoint import CheckpointError, inspect
from sim.core.units import read_hours, show_hours
from sim.scenario import Problem, ScenarioValueError

if TYPE_CHECKING:
    from experiments.store import Store
    from sim.scenario import Scenario
    from sim.shop import Shop

Watch = Callable[[float], None]


@dataclass(frozen=True)
class FromDay:
    """Work of a :class:`experiments.replication.Task`: run a scenario from a day on, on which a base has come so far.

    Parameters
    ----------
    base : Scenario
        Under which the shop is warmed up.
    hours : float
        From the start of the run to the fork.
    root : Path or None
        Where checkpoints are kept; None: nowhere, each run warms up its own.
    """

    base: Scenario
    hours: float
    root: Path | None = None

    @property
    def digest(self) -> str:
        """What determines the state on the fork day, beside the seed."""
        return f"from tick {self.tick} of {self.base.digest}"

    @property
    def tick(self) -> int:
        """The first tick after the fork."""
        return round(self.hours / self.base.config.tick)

    @property
    def day(self) -> str:
        """When the fork is, in file form."""
        return show_hours(self.hours)

    def to_dict(self) -> dict[str, str]:
        """Return what a summary says of the fork."""
        return {"at": self.day, "base": self.base.name, "base_digest": self.base.digest}

    def folder(self, seed: int) -> Path:
        """Return where the checkpoint of a seed is, or would be."""
        if self.root is None:
            raise ValueError("there is no folder for checkpoints")
        return self.root / "checkpoints" / self.base.digest[:16] / f"seed-{seed}-tick-{self.tick}"

    def __call__(self, scenario: Scenario, seed: int, watch: Watch | None) -> RunResult:
        """Run the scenario from the fork day to its end."""
        started = time.perf_counter()
        shop = self._warmed_up(seed, scenario, watch)
        while shop.running:
            shop.step()
            _tell(watch, shop)
        return observe(shop, time.perf_counter() - started)

    def _warmed_up(self, seed: int, scenario: Scenario, watch: Watch | None) -> Shop:
        from sim.shop import Shop

        if self.root is None:
            return self._from_the_start(seed, watch).fork(scenario)
        if not self.is_ready(seed):
            self.prepare(seed, watch)
        return Shop.restore(self.folder(seed), scenario)

    def is_ready(self, seed: int) -> bool:
        """Whether there is a checkpoint that is whole, of this engine, and of this base, seed and tick."""
        try:
            found = inspect(self.folder(seed))
        except CheckpointError:
            return False
        return (found["digest"], found["seed"], found["tick"]) == (self.base.digest, seed, self.tick)

    def prepare(self, seed: int, watch: Watch | None = None) -> Shop:
        """Warm up and write the checkpoint of a seed, in place of one that is not whole."""
        shop, folder = self._from_the_start(seed, watch), self.folder(seed)
        if not self.is_ready(seed):  # its name is its content, so that nothing else can be lost with it
            shutil.rmtree(folder, ignore_errors=True)
        try:
            shop.checkpoint(folder)
        except OSError:
            # Another process may have finished the same one meanwhile: then theirs is as good.
            if not self.is_ready(seed):
                raise
        for leftover in folder.parent.glob(f".{folder.name}.*.part"):  # of commands that were killed while they wrote
            shutil.rmtree(leftover, ignore_errors=True)
        return shop

    def _from_the_start(self, seed: int, watch: Watch | None) -> Shop:
        from sim.shop import Shop

        shop = Shop(self.base, rng=seed)
        while shop.clock.tick < self.tick:
            shop.step()
            _tell(watch, shop)
        return shop


@dataclass(frozen=True)
class WarmUp:
    """Work of a task that makes a checkpoint, so that the arms of one seed need not make it twice."""

    work: FromDay

    @property
    def digest(self) -> str:
        """As of the work that follows."""
        return f"warm up {self.work.digest}"

    def __call__(self, scenario: Scenario, seed: int, watch: Watch | None) -> RunResult:
        """Warm up the base, and tell how it stood on the fork day."""
        started = time.perf_counter()
        return observe(self.work.prepare(seed, watch), time.perf_counter() - started)


def _tell(watch: Watch | None, shop: Shop) -> None:
    if watch is not None and shop.clock.starts_day:
        watch(min(1.0, shop.clock.tick / shop.clock.horizon))


def from_day(day: str, base: Scenario, arms: Sequence[Scenario], root: Path | None = None) -> FromDay:
    """Return the work of running arms from a day on, if all of them can go on from there.

    Parameters
    ----------
    day : str
        Duration with a unit, such as 30d, since the start of the run.
    base : Scenario
        To warm up.
    arms : sequence of Scenario
    root : Path, optional
        See :class:`FromDay`.

    Raises
    ------
    ScenarioValueError
        If the day is none within the run, or an arm changes what a fork cannot.
    """
    hours, last = _hours(day), base.config.horizon
    ticks = hours / base.config.tick
    if not 0 < hours < last or ticks != round(ticks):
        allowed = f"after a whole number of ticks, above 0h and below {last:g}h, the horizon"
        raise ScenarioValueError(Problem(f"must be {allowed}. Got {day}.", path="--fork-at", allowed=allowed))
    for arm in arms:
        fork.check(base, arm, hours)
    return FromDay(base, hours, root)


def _hours(day: str) -> float:
    try:
        return read_hours(day)
    except ValueError:
        allowed = "a duration with a unit, such as 30d"
        raise ScenarioValueError(
            Problem(f"must be {allowed}. Got {day!r}.", path="--fork-at", allowed=allowed)
        ) from None


def warm_ups(work: FromDay, tasks: Sequence[Task], store: Store | None, fresh: bool = False) -> list[Task]:
    """Return the tasks that make the checkpoints which others need and which are not there.

    Parameters
    ----------
    work : FromDay
        Of the tasks.
    tasks : sequence of Task
        That will be executed next.
    store : Store or None
        Where their results are looked for first.
    fresh : bool
        Make everything again.
    """
    if work.root is None:
        return []
    open_seeds = dict.fromkeys(
        task.seed for task in tasks if fresh or store is None or store.find("", *task.key, light=True) is None
    )
    return [Task(work.base, seed, WarmUp(work)) for seed in open_seeds if fresh or not work.is_ready(seed)]
