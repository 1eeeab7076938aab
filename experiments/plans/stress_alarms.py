"""Early warning: which daily figures that a platform logs tell of a shock, from which level on, and how soon.

The level of a signal is set in the calm world alone, by split conformal prediction: with n calm runs and a share a of
runs that may give a false alarm, it is the ceil((n + 1) (1 - a))-th smallest of the runs' extremes. Seeds being
exchangeable, a further calm run goes beyond it with probability of at most a; with fewer than 1/a - 1 runs the level is
the extreme of all, and the chance at most 1 / (n + 1).

Of so many signals some go beyond their levels by chance. An alarm is :func:`proven` if the struck runs give it more
often than as many further calm runs would, by an exact test with Holm's correction for all signals of all shocks.

Nothing here reads who is fake: sign-ups and payments are those that the platform sees.

References
----------
Vovk, Gammerman & Shafer (2005), "Algorithmic learning in a random world": conformal prediction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.outcome import RunResult
from experiments.plans.stress_chances import SIGNIFICANCE, exceedance_test, share_estimate
from experiments.stats import holm

Array = npt.NDArray[np.float64]
HIGH, LOW = "above", "below"
COUNTED = {
    "visits": (HIGH, LOW),
    "incentive_cost": (HIGH,),
    "coupons_issued": (HIGH,),
    "coupons_used": (HIGH,),
    "shares": (HIGH, LOW),
    "parcels": (HIGH, LOW),
    "refused_orders": (HIGH,),
    "refunded_gmv": (HIGH,),
    "signups_refused": (HIGH,),
    "orders_refused_by_risk": (HIGH,),
    "rewards_refused": (HIGH,),
    "accounts_flagged": (HIGH,),
}
"""Daily counters of the run, and on which sides they warn."""
DERIVED = {"sign_ups": (HIGH, LOW), "paid": (HIGH, LOW), "withdrawn": (HIGH,)}
"""The same for what is read from other tables: accounts opened, yuan paid by buyers, yuan withdrawn by sharers."""
SIDES = {**DERIVED, **COUNTED}
TRIED = sum(map(len, SIDES.values()))
"""Alarms that are tried for each shock and size."""
COLUMNS = [
    "signal", "side", "level", "false_alarms", "runs", "fires", "fires_low", "fires_high", "days", "days_longest",
    "p_value",
]  # fmt: skip
MOST_RUNS = 1000


def signals(run: RunResult) -> pd.DataFrame:
    """Return what the platform logs of each day of a run: a column for each signal, a row for each day."""
    history, ledger, people = run.tables["history"], run.tables["ledger"], run.tables["people"]
    days = len(history)
    found = {name: history[name].to_numpy(np.float64) for name in COUNTED if name in history}
    joined = people["joined_day"].to_numpy()
    joined = joined[joined >= 0].astype(np.int64)
    found["sign_ups"] = np.bincount(joined, minlength=days)[:days].astype(np.float64)
    for name, source, target in (("paid", "buyers", "escrow"), ("withdrawn", "wallets", "sharers")):
        flow = ledger[(ledger["source"] == source) & (ledger["target"] == target)]
        day = flow["day"].to_numpy(np.int64)
        found[name] = np.bincount(day, flow["amount_yuan"], minlength=days)[:days]
    return pd.DataFrame({name: found.get(name, np.zeros(days)) for name in SIDES}).fillna(0.0)


@dataclass(frozen=True)
class Level:
    """From where on a signal gives an alarm.

    Parameters
    ----------
    signal : str
    side : str
        ``above`` or ``below``.
    level : float
        A day beyond it is an alarm.
    false_alarms : float
        Chance of an alarm in a calm run, at most.
    calm, rank : int
        Calm runs that set it, and which of their extremes it is, counted from the mildest.
    """

    signal: str
    side: str
    level: float
    false_alarms: float
    calm: int
    rank: int

    def first(self, daily: Array, start: int) -> float:
        """Return the first day from `start` on that gives an alarm, counted from `start`; NaN if none does."""
        late = daily[start:]
        days = np.flatnonzero(late > self.level if self.side == HIGH else late < self.level)
        return float(days[0]) if days.size else math.nan


def levels(calm: Sequence[pd.DataFrame], start: int, share: float) -> list[Level]:
    """Return the level of every signal and side.

    Parameters
    ----------
    calm : sequence of DataFrame
        Of the calm runs; see :func:`signals`.
    start : int
        First day that counts.
    share : float
        Of calm runs that may give a false alarm.
    """
    if not calm:
        return []
    n = len(calm)
    rank = rank_of_level(n, share)
    reached = share if rank < n else max(share, 1 / (n + 1))
    found = []
    for signal, sides in SIDES.items():
        for side in sides:
            sign = 1.0 if side == HIGH else -1.0
            extremes = np.sort([(sign * run[signal].to_numpy()[start:]).max() for run in calm])
            found.append(Level(signal, side, sign * float(extremes[rank - 1]), reached, n, rank))
    return found


def rank_of_level(calm: int, share: float) -> int:
    """Return which of the extremes of so many calm runs is the level, counted from the mildest."""
    return min(math.ceil((calm + 1) * (1 - share)), calm)


def proven(tables: pd.DataFrame) -> pd.DataFrame:
    """Return the alarms with ``adjusted``, their p-values by Holm over all of them, and whether each is ``proven``.

    With these p-values the chance that any alarm is proven of which the shock changes nothing is 5% at most.
    """
    adjusted = holm(tables["p_value"].fillna(1.0))
    return tables.assign(adjusted=adjusted, proven=adjusted <= SIGNIFICANCE)


def runs_for_proof(tried: int, share: float) -> int:
    """Return with how many seeds an alarm that every struck run gives is proven, of so many that are tried."""
    for runs in range(1, MOST_RUNS):
        if tried * exceedance_test(runs, runs, runs, rank_of_level(runs, share)) <= SIGNIFICANCE:
            return runs
    return MOST_RUNS


def alarms(found: Sequence[Level], struck: Mapping[int, pd.DataFrame], start: int) -> pd.DataFrame:
    """Return how soon and how surely each signal gives an alarm in a world with a shock.

    Parameters
    ----------
    found : sequence of Level
    struck : mapping of int to DataFrame
        By seed, what the platform logs while the shock happens.
    start : int
        Day on which the shock begins.

    Returns
    -------
    DataFrame
        ``signal``, ``side``, ``level``, ``false_alarms``, ``runs``, ``fires`` (share of runs with an alarm),
        its exact 95% interval ``fires_low`` and ``fires_high``, ``days`` (median from the start to the first alarm, of
        the runs that give one), ``days_longest``, ``p_value`` (of giving it no more often than further calm runs
        would); what gives alarms most surely comes first, then what is soonest.
    """
    rows = []
    for level in found:
        days = np.array([level.first(run[level.signal].to_numpy(), start) for run in struck.values()])
        heard = days[np.isfinite(days)]
        fires = share_estimate(np.isfinite(days))
        rows.append(
            {
                "signal": level.signal,
                "side": level.side,
                "level": level.level,
                "false_alarms": level.false_alarms,
                "runs": days.size,
                "fires": fires.mean,
                "fires_low": fires.low,
                "fires_high": fires.high,
                "days": float(np.median(heard)) if heard.size else math.nan,
                "days_longest": float(heard.max()) if heard.size else math.nan,
                "p_value": exceedance_test(heard.size, days.size, level.calm, level.rank) if days.size else math.nan,
            }
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values(["fires", "days"], ascending=[False, True], kind="stable").reset_index(drop=True)


def curves(worlds: Mapping[str, Mapping[int, pd.DataFrame]], names: Sequence[str]) -> pd.DataFrame:
    """Return the daily course of signals: ``world``, ``signal``, ``day``, ``mean``, ``low``, ``high`` over seeds."""
    rows = []
    for world, runs in worlds.items():
        for signal in names:
            table = np.array([run[signal].to_numpy() for run in runs.values()])
            if table.size:
                means, lows, highs = table.mean(axis=0), table.min(axis=0), table.max(axis=0)
                rows += [
                    (world, signal, day, *values) for day, values in enumerate(zip(means, lows, highs, strict=True))
                ]
    return pd.DataFrame(rows, columns=["world", "signal", "day", "mean", "low", "high"])
