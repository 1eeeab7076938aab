"""The manual review desk: cases wait for analysts, first come first served, and leave with a verdict.

:meth:`ReviewDesk.submit` opens cases at the environment's present moment. Whenever an analyst is idle, the earliest
case that nobody has taken is theirs, whichever batch it came in: a large batch delays later cases, but never keeps them
waiting for ever. Time is continuous: a verdict falls between two ticks, and what follows from it happens in the later
one. Outside working hours nothing is done: a case that is taken then starts at the next opening, one that is under
review pauses.

What analysts find is the truth but for errors, of which the config says how often each happens: the desk stands for
an investigation, and is the only part of risk control that may be told who is fake. The work that a case takes and
the error are drawn by the number of the case.

The state is rows: a case that is under review has ``started`` and ``finished`` set and no verdict yet, and cases are
taken in the order of their rows. So :meth:`ReviewDesk.resume` needs nothing else in a fresh environment (a resource of
SimPy would keep its queue to itself).

References
----------
Erlang (1917), "Solution of some problems in the theory of probabilities of significance in automatic telephone
exchanges": the wait for one of c analysts, which ``shopsim verify erlang-c`` holds the desk to.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt
import simpy

from sim.core.clock import HOURS_A_DAY, Clock
from sim.core.draws import Stream, exponential_of, philox, unit
from sim.core.table import Column, Table, column
from sim.scenario.desk import DeskConfig

Array = npt.NDArray[Any]
NONE = -1
_WORKDAYS, _DAYS_A_WEEK = 5, 7
_REVIEW = np.uint32(Stream.REVIEW)


class CaseKind(IntEnum):
    """What is looked into."""

    ACCOUNT = 0
    ORDER = 1
    PAYOUT = 2
    APPEAL = 3


class Verdict(IntEnum):
    """What came of a case."""

    OPEN = 0
    CLEARED = 1
    CONFIRMED = 2


class ReviewCases(Table):
    """Cases in the order in which they were opened; moments in hours since the start, NaN: not yet."""

    person: Column = column(np.int32)
    kind: Column = column(np.int8)
    ref: Column = column(np.int64, fill=NONE)  # row of what is looked into, by kind; -1: the account itself
    opened: Column = column(np.float64)
    started: Column = column(np.float64, fill=np.nan)
    finished: Column = column(np.float64, fill=np.nan)  # known from the moment that an analyst takes the case
    effort: Column = column(np.float64)  # work that it takes, of the mean
    luck: Column = column(np.float64)  # uniform: where it is small, suspicion is confirmed
    verdict: Column = column(np.int8)


@dataclass(frozen=True)
class WorkingHours:
    """When the desk is open.

    Parameters
    ----------
    opens, closes : float
        Hours after midnight, 0 <= opens < closes <= 24.
    weekends : bool
        Whether days 5 and 6 of each week, counted from the start, are worked.
    """

    opens: float
    closes: float
    weekends: bool

    def worked(self, hour: float) -> float:
        """Return the hours that the desk was open before ``hour``, since the start."""
        day = int(hour // HOURS_A_DAY)
        today = min(max(hour - day * HOURS_A_DAY - self.opens, 0.0), self._length) if self._is_workday(day) else 0.0
        return self._workdays(day) * self._length + today

    def after(self, worked: float) -> float:
        """Return the earliest hour by which the desk was open for so long; the inverse of :meth:`worked`."""
        whole = max(0, math.ceil(worked / self._length) - 1)  # days that are worked through before the last one
        day = whole
        if not self.weekends:
            day = whole // _WORKDAYS * _DAYS_A_WEEK + whole % _WORKDAYS
        return day * HOURS_A_DAY + self.opens + worked - whole * self._length

    def next_open(self, hour: float) -> float:
        """Return the earliest hour, now or later, at which the desk is open."""
        day = int(hour // HOURS_A_DAY)
        if hour - day * HOURS_A_DAY >= self.closes:
            day += 1
        while not self._is_workday(day):
            day += 1
        return max(hour, day * HOURS_A_DAY + self.opens)

    @property
    def _length(self) -> float:
        return self.closes - self.opens

    def _is_workday(self, day: int) -> bool:
        return self.weekends or day % _DAYS_A_WEEK < _WORKDAYS

    def _workdays(self, day: int) -> int:
        """Return how many of the days before ``day`` are worked."""
        if self.weekends:
            return day
        return day // _DAYS_A_WEEK * _WORKDAYS + min(day % _DAYS_A_WEEK, _WORKDAYS)


class ReviewDesk:
    """The review desk of one run; see the module's docstring.

    Parameters
    ----------
    clock : Clock
        Whose environment the desk works in.
    seed : int
        Of the run.
    config : DeskConfig
    truth : callable
        Takes persons (rows of People) and returns a mask of those who are fraudulent; asked when a verdict falls.
    on_decided : callable
        Told the rows of ``cases`` that were decided, whenever that happens.

    Attributes
    ----------
    cases : ReviewCases
    """

    def __init__(
        self,
        clock: Clock,
        seed: int,
        config: DeskConfig,
        truth: Callable[[Array], Array],
        on_decided: Callable[[Array], object],
    ) -> None:
        self.clock, self.seed, self.config = clock, seed, config
        self.hours = WorkingHours(config.opens, config.closes, config.weekends)
        self._truth, self._on_decided = truth, on_decided
        self.cases = ReviewCases()
        self._taken = 0  # cases that an analyst has taken: the first ones
        self._under_review = 0

    def submit(self, persons: Array, kind: CaseKind | Array, ref: int | Array = NONE) -> Array:
        """Open a case for each person, in their order, and return the rows of ``cases``.

        Parameters
        ----------
        persons : int ndarray, shape (n,)
            Rows of People.
        kind : CaseKind or int ndarray, shape (n,)
        ref : int or int ndarray, shape (n,)
            Row of the order, payout or earlier case that is looked into.
        """
        opened = float(self.clock.environment.now)
        rows = self.cases.append(len(persons), person=persons, kind=kind, ref=ref, opened=opened)
        first = len(self.cases) - len(persons)
        _draw(np.uint32(self.seed), first, self.cases.effort[first:], self.cases.luck[first:])
        self.take_up()
        return rows

    def take_up(self) -> None:
        """Let analysts who are idle take the earliest cases."""
        last = min(self._taken + self.config.analysts - self._under_review, len(self.cases))
        for case in range(self._taken, last):
            self._take(case)

    def resume(self) -> None:
        """Go on in a fresh environment, whose hour is still 0, with the cases that are under review."""
        cases = self.cases
        taken = ~np.isnan(cases.started)
        under_review = np.flatnonzero(taken & (cases.verdict == Verdict.OPEN))
        self._taken, self._under_review = int(taken.sum()), under_review.size
        for case in under_review.tolist():
            self._decide_after(float(cases.finished[case]), case)

    def _take(self, case: int) -> None:
        """Let an idle analyst take a case, which settles when they will be done with it."""
        now, hours = float(self.clock.environment.now), self.hours
        start = hours.next_open(now)
        work = self.config.case_time * float(self.cases.effort[case])
        wait = max(0.0, hours.after(hours.worked(start) + work) - now)
        self.cases.started[case], self.cases.finished[case] = start, now + wait
        self._taken += 1
        self._under_review += 1
        self._decide_after(wait, case)

    def _decide_after(self, hours: float, case: int) -> None:
        def decide(_: simpy.Event) -> None:
            self._decide(case)

        timeout = self.clock.environment.timeout(hours)
        timeout.callbacks.append(decide)

    def _decide(self, case: int) -> None:
        """Let a verdict fall, and the analyst take another case."""
        cases, config = self.cases, self.config
        is_fraud = bool(self._truth(cases.person[case : case + 1])[0])
        confirmed = cases.luck[case] < (config.sensitivity if is_fraud else 1 - config.specificity)
        cases.verdict[case] = Verdict.CONFIRMED if confirmed else Verdict.CLEARED
        self._under_review -= 1
        self.take_up()
        self._on_decided(np.array([case]))

    def metrics(self) -> dict[str, float]:
        """Return how busy the desk is.

        ``review_cases``
            Opened so far.
        ``review_wait_hours``
            From opening until an analyst starts, mean of the cases that are decided; NaN without one.
        ``review_backlog``
            Cases without a verdict.
        ``review_utilisation``
            Share of the analysts' hours so far that went into cases; NaN before they have had any.
        """
        cases, now = self.cases, float(self.clock.environment.now)
        decided = cases.verdict != Verdict.OPEN
        wait = cases.started[decided] - cases.opened[decided]
        staffed = self.config.analysts * self.hours.worked(now)
        begun = cases.started < now  # not so if it was taken out of hours
        ends = np.minimum(cases.finished[begun], now)
        work = sum(map(self.hours.worked, ends)) - sum(map(self.hours.worked, cases.started[begun]))
        return {
            "review_cases": float(len(cases)),
            "review_wait_hours": float(wait.mean()) if wait.size else math.nan,
            "review_backlog": float((~decided).sum()),
            "review_utilisation": float(work / staffed) if staffed > 0 else math.nan,
        }


@nb.njit(cache=True)
def _draw(seed, first, effort, luck):  # type: ignore[no-untyped-def]
    """Draw the work and the luck of cases by their numbers, from ``first`` on."""
    for i in range(effort.size):
        a, b, _, _ = philox(seed, _REVIEW, np.uint32(first + i), 0, 0, 0)
        effort[i], luck[i] = exponential_of(a), unit(b)
