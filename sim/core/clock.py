"""Time: ticks for the crowd, a SimPy environment for the edges.

A tick is a whole number of hours that divides a day. Inside a run, moments are tick numbers and durations are hours;
the SimPy environment's ``now`` is in hours too, so a process that waits ``yield env.timeout(24)`` waits a day.
"""

from __future__ import annotations

import math

import simpy

HOURS_A_DAY = 24
_LEAST = 1e-9  # of a tick; less than that is lost when minutes become hours


def first_tick(moment: float, tick_hours: float) -> int:
    """Return the first tick that does not begin before a moment, which is in hours since the start."""
    return math.ceil(moment / tick_hours - _LEAST)


class Clock:
    """Tick counter and SimPy environment of one run.

    Parameters
    ----------
    tick_hours : int
        Length of a tick in hours; divides 24.
    horizon_hours : float
        Length of the run in hours.

    Attributes
    ----------
    days : int
        Number of days that the horizon touches.
    tick : int
        The tick being simulated, from 0.
    environment : simpy.Environment
        Its ``now`` is hours since the start.
    """

    def __init__(self, tick_hours: int, horizon_hours: float) -> None:
        if tick_hours < 1 or HOURS_A_DAY % tick_hours:
            raise ValueError(f"tick_hours must be a divisor of 24. Got {tick_hours}.")
        self.tick_hours = tick_hours
        self.ticks_a_day = HOURS_A_DAY // tick_hours
        self.horizon = math.ceil(horizon_hours / tick_hours)
        self.days = -(-self.horizon // self.ticks_a_day)
        self.tick = 0
        self.environment = simpy.Environment()

    @property
    def days_a_tick(self) -> float:
        """Length of a tick in days."""
        return self.tick_hours / HOURS_A_DAY

    @property
    def day(self) -> int:
        """The day that the current tick belongs to, from 0."""
        return self.tick // self.ticks_a_day

    @property
    def booked_day(self) -> int:
        """The day to which what happens now is booked: the last one once the horizon has been reached."""
        return min(self.tick // self.ticks_a_day, self.days - 1)

    @property
    def hour(self) -> float:
        """Hours since the start, at the beginning of the current tick."""
        return float(self.tick * self.tick_hours)

    @property
    def starts_day(self) -> bool:
        """Whether the current tick is the first of its day."""
        return self.tick % self.ticks_a_day == 0

    @property
    def ends_day(self) -> bool:
        """Whether the current tick is the last of its day."""
        return (self.tick + 1) % self.ticks_a_day == 0 or self.tick + 1 == self.horizon

    @property
    def is_over(self) -> bool:
        """Whether the horizon has been reached."""
        return self.tick >= self.horizon

    def ticks(self, hours: float) -> int:
        """Return how many ticks a duration in hours takes, rounded up and at least one."""
        return max(1, math.ceil(hours / self.tick_hours - _LEAST))

    def probability(self, rate_per_day: float) -> float:
        """Return the chance of at least one event of a Poisson process within a tick: 1 - exp(-rate dt)."""
        return -math.expm1(-rate_per_day * self.days_a_tick)

    def run_processes(self) -> None:
        """Let SimPy run everything that falls due before or at the beginning of the current tick."""
        until = self.hour
        environment = self.environment
        while environment.peek() <= until:
            environment.step()
        if environment.now < until:
            environment.run(until=until)

    def advance(self) -> None:
        """Go to the next tick."""
        self.tick += 1
