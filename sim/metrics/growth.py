"""Growth and retention."""

from __future__ import annotations

import numpy as np

from sim.metrics.registry import FEN, NAN, Facts, metric, ratio
from sim.orders import OrderStatus
from sim.people import Status


@metric("growth", "persons", 1, "real members at the end; those who left for good are not members")
def members(f: Facts) -> float:
    return float(f.census.members)


@metric("growth", "persons", 1, "real persons who signed up during the run")
def new_members(f: Facts) -> float:
    return float(f.census.new)


@metric("growth", "share", 1, "new members who came by someone's share or post / new members")
def invited_share(f: Facts) -> float:
    return ratio(float((f.new & (f.people.source >= 1)).sum()), new_members(f))


@metric(
    "growth",
    "invited per member",
    1,
    "sign-ups by invitation that a member brought in during the run (invitations a member x their conversion): new "
    "members invited by real members / all who were members",
)
def k_factor(f: Facts) -> float:
    ever = f.real & (f.people.status != Status.PROSPECT)
    inviter = f.people.inviter[f.new]
    return ratio(float(f.real[inviter[inviter >= 0]].sum()), float(ever.sum()))


@metric(
    "growth",
    "invited per new member",
    1,
    "new members invited by new members / new members: above 1 invitations alone keep the shop growing. Late joiners "
    "have had less time to invite, so short runs understate it",
)
def reproduction(f: Facts) -> float:
    inviter = f.people.inviter[f.new]
    return ratio(float(f.new[inviter[inviter >= 0]].sum()), new_members(f))


@metric("growth", "days", -1, "median time from a new member's sign-up to the sign-ups that they invited")
def viral_cycle_days(f: Facts) -> float:
    invited = np.flatnonzero(f.new & (f.people.inviter >= 0))
    invited = invited[f.new[f.people.inviter[invited]]]
    gap = f.people.joined[invited] - f.people.joined[f.people.inviter[invited]]
    return float(np.median(gap)) * f.clock.days_a_tick if gap.size else NAN


@metric(
    "growth", "persons", 1, "mean over days of persons who came that day (fake accounts included, as a platform counts)"
)
def dau(f: Facts) -> float:
    return ratio(f.shop.recorder.total("dau"), f.days)


@metric("growth", "persons", 1, "real persons who came within the last 30 days of the run")
def mau(f: Facts) -> float:
    return float(f.census.active)


@metric("growth", "visits", 1, "visits (fake accounts included, as a platform counts)")
def visits(f: Facts) -> float:
    return f.shop.recorder.total("visits")


@metric("growth", "orders", 1, "orders of real persons that were not undone before shipping")
def orders(f: Facts) -> float:
    return float(f.order_rows.size)


@metric("growth", "persons", 1, "real persons with at least one such order in the run")
def buyers(f: Facts) -> float:
    return float((f.orders_of > 0).sum())


@metric("growth", "yuan", 1, "what real buyers paid, returns not taken off, failed teams taken off")
def gmv(f: Facts) -> float:
    return f.gmv


@metric("growth", "yuan", 1, "gmv / orders")
def aov(f: Facts) -> float:
    return ratio(f.gmv, orders(f))


@metric("growth", "share", 1, "orders / visits of real persons")
def conversion(f: Facts) -> float:
    return ratio(orders(f), f.shop.recorder.total("real_visits"))


@metric("growth", "shares a visit", 1, "shares sent / visits of real persons")
def share_rate(f: Facts) -> float:
    return ratio(f.shop.recorder.total("shares"), f.shop.recorder.total("real_visits"))


@metric("growth", "persons", 1, "mean size of invitation trees of at least two, the root included")
def cascade_size_mean(f: Facts) -> float:
    size, depth = f.trees
    roots = (depth == 0) & (size > 1)
    return float(size[roots].mean()) if roots.any() else NAN


@metric("growth", "steps", 0, "longest chain of invitations")
def cascade_depth_max(f: Facts) -> float:
    return float(f.trees[1].max(initial=0))


# Retention.


def _returned_on_day(f: Facts, bit: int, day: int) -> float:
    seen = f.new & (f.people.joined // f.clock.ticks_a_day + day < f.clock.tick // f.clock.ticks_a_day)
    return ratio(float((seen & (f.people.visit_days >> bit & 1).astype(bool)).sum()), float(seen.sum()))


@metric("retention", "share", 1, "new members who came on the day after their sign-up / new members observed that long")
def retention_d1(f: Facts) -> float:
    return _returned_on_day(f, 0, 1)


@metric("retention", "share", 1, "new members who came on day 7 after their sign-up / new members observed that long")
def retention_d7(f: Facts) -> float:
    return _returned_on_day(f, 1, 7)


@metric("retention", "share", 1, "new members who came on day 30 after their sign-up / new members observed that long")
def retention_d30(f: Facts) -> float:
    return _returned_on_day(f, 2, 30)


@metric("retention", "share", 1, "buyers with at least two orders in the run / buyers")
def repeat_rate(f: Facts) -> float:
    return ratio(float((f.orders_of > 1).sum()), buyers(f))


@metric("retention", "share", -1, "real persons who left for good / real persons who ever were members")
def churn_rate(f: Facts) -> float:
    ever = f.real & (f.people.status != Status.PROSPECT)
    return ratio(float((f.people.status[ever] == Status.CHURNED).sum()), float(ever.sum()))


@metric(
    "retention",
    "yuan",
    1,
    "mean margin of goods less discounts and rewards in a member's first 90 days under observation (from the start or "
    "from joining), over those observed so long",
)
def ltv_90d(f: Facts) -> float:
    span = 90 * f.clock.ticks_a_day
    start = np.maximum(f.people.joined, 0)
    ever = f.real & (f.people.status != Status.PROSPECT) & (start + span <= f.clock.tick)
    if not ever.any():
        return NAN
    rows = f.order_rows
    person = f.buyer[rows]
    early = f.book.tick[rows] < start[person] + span
    kept = early & (f.book.status[rows] != OrderStatus.RETURNED) & ever[person]
    worth = (f.book.pay[rows] - f.book.cost[rows] - f.book.rewards[rows])[kept].sum()
    return float(worth) / FEN / float(ever.sum())
