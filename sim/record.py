"""What is counted while a run goes on: daily counters and end-of-day levels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Recorder:
    """Daily series by name.

    Parameters
    ----------
    days : int
        Days of the run.
    """

    def __init__(self, days: int) -> None:
        self.days = days
        self._series: dict[str, Array] = {}
        self._day = 0
        self._counted: dict[str, float] = {}  # on that day, which series do not say yet: plain numbers add up faster

    def add(self, day: int, name: str, amount: float) -> None:
        """Add to a counter of a day."""
        if day != self._day:
            self._write_down()
            self._day = day
        try:
            self._counted[name] += float(amount)
        except KeyError:
            series = self._series.setdefault(name, np.zeros(self.days))
            self._counted[name] = float(series[day]) + float(amount)

    def _write_down(self) -> None:
        for name, amount in self._counted.items():
            self._series[name][self._day] = amount
        self._counted.clear()

    def level(self, day: int, name: str, value: float) -> None:
        """Set the level at the end of a day."""
        self._write_down()
        series = self._series.get(name)
        if series is None:
            series = self._series[name] = np.full(self.days, np.nan)
        series[day] = value

    def daily(self, name: str) -> Array:
        """Return a series, shape (days,); zeros if it never happened."""
        self._write_down()
        return self._series.get(name, np.zeros(self.days))

    def total(self, name: str) -> float:
        """Return the sum of a counter over the run so far."""
        return float(np.nansum(self.daily(name)))

    def names(self) -> list[str]:
        """Return the names of all series, in the order in which they first happened."""
        return list(self._series)
