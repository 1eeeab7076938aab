"""Money, and what schemes report of themselves."""

from __future__ import annotations

from sim.core.ledger import LIABILITIES
from sim.metrics.growth import new_members
from sim.metrics.registry import FEN, NAN, Facts, metric, needs_base, ratio, reported
from sim.orders import OrderStatus


@metric(
    "money",
    "yuan",
    -1,
    "what platform and merchants paid under schemes (discounts, bonuses, commissions), less claw-backs and refunds",
)
def incentive_cost(f: Facts) -> float:
    return f.incentive_cost


@metric("money", "share", -1, "incentive_cost / gmv")
def subsidy_rate(f: Facts) -> float:
    return ratio(f.incentive_cost, f.gmv)


@metric(
    "money",
    "yuan",
    1,
    "platform and merchants together: list price less cost of goods kept, less incentive_cost, shipping and kol_cost; "
    "fake accounts' orders included, but not what merchants order of themselves",
)
def contribution(f: Facts) -> float:
    return f.contribution


@metric("money", "yuan", -1, "fees and commissions paid to KOLs")
def kol_cost(f: Facts) -> float:
    return f.kol_cost


@metric("money", "yuan a person", -1, "(incentive_cost + kol_cost) / new_members")
def cac(f: Facts) -> float:
    return ratio(f.incentive_cost + f.kol_cost, new_members(f))


@metric(
    "money",
    "days",
    -1,
    "cac / mean daily margin (paid less cost of goods, returns taken off) of a new member since joining",
)
def payback_days(f: Facts) -> float:
    rows = f.order_rows[f.new[f.buyer[f.order_rows]]]
    rows = rows[f.book.status[rows] != OrderStatus.RETURNED]
    margin = float((f.book.pay[rows] - f.book.cost[rows]).sum()) / FEN
    member_days = float((f.clock.tick - f.people.joined[f.new]).sum()) * f.clock.days_a_tick
    daily = ratio(margin, member_days)
    return cac(f) / daily if daily > 0 else NAN


@metric(
    "money",
    "yuan",
    -1,
    "what the platform owes sharers at the end: frozen commission, and what is released and not yet withdrawn",
)
def liabilities(f: Facts) -> float:
    return sum(f.shop.ledger.balance(a) for a in LIABILITIES) / FEN


needs_base(
    "incremental_gmv",
    "yuan",
    "sum over real persons of what they paid in this arm less what their twins paid in the base arm",
)
needs_base("incremental_contribution", "yuan", "contribution less the base arm's")
needs_base(
    "incremental_members",
    "persons",
    "real persons who became members in this arm and not in the base, less the reverse",
    group="growth",
)
needs_base("roi", "yuan a yuan", "incremental_contribution / (incentive_cost + kol_cost less the base arm's)")


# Schemes: figures that they report of themselves.


reported("coupon_redemption_rate", "schemes", "share", 0, "coupons used / coupons issued")
reported(
    "coupon_fill_up_share",
    "schemes",
    "share",
    0,
    "of coupons used, those in orders with more units to reach the threshold",
)
reported("team_fill_rate", "schemes", "share", 1, "teams that filled / teams whose time is over")
reported("teams_opened", "schemes", "teams", 0, "teams opened")
reported("team_orders", "schemes", "orders", 0, "orders in teams, those of failed teams included")
reported("team_hours_to_fill", "schemes", "hours", -1, "mean time from opening to full, over teams that filled")
reported("joiners_invited_share", "schemes", "share", 0, "members called by one of their team / all who joined a team")
reported("coupon_cost", "schemes", "yuan", -1, "discounts by coupons, refunds taken off")
reported("commission_paid", "schemes", "yuan", 0, "commissions granted, claw-backs taken off")
reported("bonus_paid", "schemes", "yuan", 0, "invitation bonuses granted, cancelled ones taken off")
