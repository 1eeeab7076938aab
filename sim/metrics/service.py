"""Service."""

from __future__ import annotations

from sim.metrics.registry import NAN, Facts, metric, ratio
from sim.orders import OrderStatus
from sim.people import Status


@metric("service", "share", -1, "orders refused for want of stock / orders wanted")
def stockout_rate(f: Facts) -> float:
    short = float(f.shop.products.short.sum())
    return ratio(short, short + float(len(f.book)))


@metric("service", "days", -1, "mean time from order to delivery")
def delivery_days(f: Facts) -> float:
    done = f.book.delivered >= 0
    return float((f.book.delivered - f.book.tick)[done].mean()) * f.clock.days_a_tick if done.any() else NAN


@metric("service", "share", -1, "orders returned / orders confirmed or returned")
def return_rate(f: Facts) -> float:
    returned = float((f.book.status == OrderStatus.RETURNED).sum())
    return ratio(returned, returned + float((f.book.status == OrderStatus.CONFIRMED).sum()))


@metric("service", "0 to 1", 1, "mean satisfaction of real members")
def satisfaction(f: Facts) -> float:
    who = f.real & (f.people.status == Status.MEMBER)
    return float(f.people.satisfaction[who].mean()) if who.any() else NAN
