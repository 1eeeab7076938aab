"""What comes out of a run: every metric at its end, day by day, by cohort, as a funnel."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sim.core.ledger import Account
from sim.metrics.growth import gmv, members, new_members, orders, visits
from sim.metrics.registry import FEN, METRICS, Array, Facts

if TYPE_CHECKING:
    from sim.shop import Shop


def compute(shop: Shop) -> pd.Series:
    """Return every metric that one run can give, then whatever else its schemes report."""
    facts = Facts(shop)
    values = {name: float(m.compute(facts)) for name, m in METRICS.items() if m.compute is not None}
    values |= {name: float(v) for name, v in facts.of_schemes.items() if name not in values}
    return pd.Series(values, name="value")


def _day(facts: Facts) -> float:
    return facts.shop.clock.day


_OF_A_DAY: dict[str, Callable[[Facts], float]] = {
    "day": _day,
    "members": members,
    "new_members": new_members,
    "visits": visits,
    "orders": orders,
    "gmv": gmv,
    "incentive_cost": lambda f: f.incentive_cost,
}


def of_the_day(facts: Facts) -> dict[str, float]:
    """Return the figures that are collected at the end of each day."""
    return {name: figure(facts) for name, figure in _OF_A_DAY.items()}


def reporters() -> dict[str, Callable[[Shop], float]]:
    """Return reporters for a mesa DataCollector; when a shop collects, it has its ``figures`` worked out already."""
    return {name: partial(_figure, name=name) for name in _OF_A_DAY}


def _figure(shop: Shop, name: str) -> float:
    return (shop.figures or of_the_day(Facts(shop)))[name]


_IN_FEN = {"gmv", "refunded_gmv", "fraud_loss"}


def history(shop: Shop) -> pd.DataFrame:
    """Return one row a day so far; counters are the day's, levels are of its end, money in yuan.

    What a metric is called like is defined like it: members, orders and gmv are of real persons, and an order that was
    undone before shipping is not counted on the day when it was placed.
    """
    done = math.ceil(shop.clock.tick / shop.clock.ticks_a_day)
    recorder = shop.recorder
    frame = pd.DataFrame(
        {name: recorder.daily(name)[:done] for name in recorder.names()}, index=pd.RangeIndex(done, name="day")
    )
    for name, daily in _as_metrics_count(shop, done).items():
        frame[name] = daily
    for name in _IN_FEN & set(frame):
        frame[name] /= FEN
    paid = [
        shop.ledger.total(source=a, scheme=s.number)
        for s in shop.schemes
        for a in (Account.PLATFORM, Account.MERCHANTS)
    ]
    back = [
        shop.ledger.total(target=a, scheme=s.number)
        for s in shop.schemes
        for a in (Account.PLATFORM, Account.MERCHANTS)
    ]
    frame["incentive_cost"] = (np.sum(paid, axis=0) - np.sum(back, axis=0))[:done] / FEN if paid else 0.0
    return frame


def _as_metrics_count(shop: Shop, days: int) -> dict[str, Array]:
    """Return the daily figures of which counters, as the shop keeps them, hold fake accounts and undone orders too."""
    f, people, book = Facts(shop), shop.people, shop.book
    a_day = shop.clock.ticks_a_day

    def daily(tick: Array, amount: Array | None = None) -> Array:
        return np.bincount(tick // a_day, amount, minlength=days)[:days].astype(np.float64)

    return {
        "new_members": daily(people.joined[f.new]),
        "invited_members": daily(people.joined[f.new & (people.source >= 1)]),
        "orders": daily(book.tick[f.order_rows]),
        "gmv": daily(book.tick[f.order_rows], book.pay[f.order_rows]),
    }


def cohorts(shop: Shop) -> pd.DataFrame:
    """Return for each week's new members how many came in each week since: columns cohort, age, members, active."""
    facts = Facts(shop)
    clock, people = shop.clock, shop.people
    week = 7 * clock.ticks_a_day
    last = min(63, max(0, (clock.tick - 1) // week))
    rows = []
    joined = np.where(facts.new, people.joined // week, -1)
    for cohort in range(last + 1):
        who = np.flatnonzero(joined == cohort)
        bits = people.active_weeks[who]
        rows += [
            (cohort, age, who.size, int((bits >> np.uint64(cohort + age) & np.uint64(1)).sum()))
            for age in range(last - cohort + 1)
        ]
    return pd.DataFrame(rows, columns=["cohort", "age", "members", "active"])


def funnel(shop: Shop) -> pd.Series:
    """Return the counts from messages read to second orders; real people from sign-up on."""
    facts, total = Facts(shop), shop.recorder.total
    new = facts.new
    return pd.Series(
        {
            "messages read": total("exposures"),
            "clicks": total("clicks"),
            "sign-ups": float(new.sum()),
            "first orders": float((facts.orders_of[new] > 0).sum()),
            "second orders": float((facts.orders_of[new] > 1).sum()),
        }
    )
