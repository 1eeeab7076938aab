"""What one section of a scenario says must make sense beside the others.

The schema checks each key by itself; here are the checks that need two sections at once, or what else is installed. So
no key can be right and yet without effect.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from sim.core.clock import HOURS_A_DAY, first_tick
from sim.core.units import show_hours
from sim.scenario.errors import Problem
from sim.scenario.keys import one_of
from sim.scenario.memory import persons_of
from sim.scenario.problems import nearest, problem_at, shown, validated
from sim.scenario.reading import read
from sim.scenario.risk import RiskConfig
from sim.scenario.schema import ScenarioConfig, StockConfig
from sim.scenario.shocks import DetectorOutage, KolScandal, LeakedCode, Spell
from sim.scenario.tree import KeyPath, Node
from sim.schemes import SchemeConfig, registry
from sim.schemes.coupon_terms import CouponConfig
from sim.schemes.team_terms import GroupBuyConfig

SHIPPED_PROFILES = ("media", "grocery")


def inconsistencies(config: ScenarioConfig, tree: Node) -> Iterator[Problem]:
    """Yield what does not fit together in a scenario whose keys are all right by themselves.

    Raises
    ------
    ScenarioError
        If the scenario names a demand profile of its own, and that file is wrong.
    """
    if config.tick != round(config.tick) or HOURS_A_DAY % config.tick:
        allowed = one_of([f"{hours}h" for hours in range(1, HOURS_A_DAY + 1) if HOURS_A_DAY % hours == 0])
        yield problem_at(tree, ("tick",), f"must be {allowed}.", allowed)
    elif abs(config.horizon / config.tick - round(config.horizon / config.tick)) > 1e-9:
        allowed = f"a whole number of ticks of {show_hours(config.tick)}"
        yield problem_at(tree, ("horizon",), f"must be {allowed}. Got {show_hours(config.horizon)}.", allowed)
    _check_profile(config)
    yield from _schemes(config, tree)
    yield from _moments(config, tree)
    yield from _stock(config, tree)
    yield from _seeds(config, tree)
    yield from _shocks(config, tree)
    yield from _guardrails(config, tree)


def _check_profile(config: ScenarioConfig) -> None:
    """Check a demand profile of the user's own, which is a file like a scenario; its errors name that file."""
    if config.demand.profile not in SHIPPED_PROFILES:
        from sim.demand import Profile  # brings scipy

        validated(Profile, read(config.demand.profile))


def _schemes(config: ScenarioConfig, tree: Node) -> Iterator[Problem]:
    """Check what refers to schemes: their names, the stacking rules, the calendar."""
    names = [scheme.name or scheme.kind for scheme in config.schemes]
    for number, name in enumerate(names):
        if name in names[:number]:
            message = f"'{name}' is what scheme {names.index(name)} is called too; give one of them a name."
            yield problem_at(tree, ("schemes", number, "name"), message)
    kinds = list(registry())
    stacking = config.stacking
    for number, kind in enumerate(stacking.order):
        yield from _one_of(tree, ("stacking", "order", number), kind, kinds)
    for kind, count in Counter(stacking.order).items():
        if count > 1:
            yield problem_at(tree, ("stacking", "order"), f"names {kind} {count} times.")
    if _coupons_come_before_teams(config):
        message = "must name group_buy before coupon, because stacking.combine pairs them: coupons fall on team prices."
        yield problem_at(tree, ("stacking", "order"), message, "group_buy before coupon")
    for number, pair in enumerate(stacking.combine):
        for place, kind in enumerate(pair):
            yield from _one_of(tree, ("stacking", "combine", number, place), kind, kinds)
    for number, campaign in enumerate(config.calendar):
        for place, name in enumerate(campaign.schemes):
            yield from _one_of(tree, ("calendar", number, "schemes", place), name, names)


def _coupons_come_before_teams(config: ScenarioConfig) -> bool:
    """Whether coupons that may fall on team prices would be taken off before there are any."""
    if ["coupon", "group_buy"] not in map(sorted, config.stacking.combine):
        return False
    rank = {kind: place for place, kind in enumerate(config.stacking.order)}
    in_order = sorted(config.schemes, key=lambda scheme: rank.get(scheme.kind, len(rank)))
    teams = [place for place, scheme in enumerate(in_order) if scheme.kind == "group_buy"]
    return any(
        isinstance(scheme, CouponConfig) and (scheme.stacks_with is None or "group_buy" in scheme.stacks_with)
        for scheme in in_order[: max(teams, default=0)]
    )


def _moments(config: ScenarioConfig, tree: Node) -> Iterator[Problem]:
    """Check that whatever the schemes and the calendar date comes to pass within the run."""
    for number, scheme in enumerate(config.schemes):
        path: KeyPath = ("schemes", number)
        late = list(_comes(config, tree, (*path, "start"), scheme.start, "the scheme never opens", scheme.end))
        yield from late
        if not late and _misses_its_campaigns(config, scheme):
            allowed = "a time before the end of a campaign that lists the scheme"
            message = f"must be {allowed}, and end later than its start, or the scheme never opens."
            yield problem_at(tree, (*path, "start"), f"{message} Got {show_hours(scheme.start)}.", allowed)
        if isinstance(scheme, CouponConfig):
            for place, date in enumerate(scheme.dates):
                if date >= config.horizon:  # else it is given in the tick that the date falls into
                    yield from _comes(config, tree, (*path, "dates", place), date, "the coupon is never given")
            yield from _one_gift_a_tick(config, tree, path, scheme)
            if (until := scheme.valid_until) is not None:
                begins = (*path, "valid_from")
                yield from _comes(config, tree, begins, scheme.valid_from, "the coupon is never valid", until)
    for number, campaign in enumerate(config.calendar):
        begins = ("calendar", number, "start")
        yield from _comes(config, tree, begins, campaign.start, "the campaign never begins", campaign.end)
        if not campaign.schemes and tree.at(("calendar", number, "demand")) is None:
            allowed = "schemes, demand or both"
            yield problem_at(tree, ("calendar", number), f"needs {allowed}, or nothing happens in it.", allowed)


def _misses_its_campaigns(config: ScenarioConfig, scheme: SchemeConfig) -> bool:
    """Whether a scheme that runs only within campaigns is over before, or begins after, all of them."""
    name = scheme.name or scheme.kind
    runs = [(scheme.start, scheme.end), *((c.start, c.end) for c in config.calendar if name in c.schemes)]
    end = config.horizon
    (opens, closes), *campaigns = [
        (first_tick(start, config.tick), first_tick(min(until or end, end), config.tick)) for start, until in runs
    ]
    return bool(campaigns) and all(max(opens, begins) >= min(closes, ends) for begins, ends in campaigns)


def _one_gift_a_tick(config: ScenarioConfig, tree: Node, path: KeyPath, coupon: CouponConfig) -> Iterator[Problem]:
    """Check that no two dates of a gift fall into one tick, in which it is given once."""
    ticks = [max(first_tick(coupon.start, config.tick), int(date // config.tick)) for date in coupon.dates]
    for place, tick in enumerate(ticks):
        if (first := ticks.index(tick)) < place:
            message = (
                f"must fall into another tick of {show_hours(config.tick)} than dates.{first}; a tick has one gift."
            )
            got = f"Got {show_hours(coupon.dates[place])}."
            yield problem_at(tree, (*path, "dates", place), f"{message} {got}", "another date")


def _stock(config: ScenarioConfig, tree: Node) -> Iterator[Problem]:
    """Check that nothing is said of a stock that is never short."""
    stock = config.catalog.stock
    if stock.initial is not None:
        return
    message = "has no effect without catalog.stock.initial, because nothing is ever short."
    for key in ("cover", "lead_time"):
        if getattr(stock, key) != getattr(StockConfig(), key):
            yield problem_at(tree, ("catalog", "stock", key), message)
    for number, scheme in enumerate(config.schemes):
        for key in ("set_aside", "set_aside_units"):
            if isinstance(scheme, GroupBuyConfig) and getattr(scheme, key):
                yield problem_at(tree, ("schemes", number, key), message)


def _comes(
    config: ScenarioConfig, tree: Node, path: KeyPath, start: float, otherwise: str, end: float | None = None
) -> Iterator[Problem]:
    """Check that a tick begins at or after ``start``, and before ``end`` if there is one."""
    tick, ticks = config.tick, math.ceil(config.horizon / config.tick)
    if first_tick(start, tick) >= ticks:
        allowed = f"a time up to {show_hours((ticks - 1) * tick)}, when the last tick begins"
    elif end is not None and first_tick(start, tick) >= first_tick(end, tick):
        allowed = f"a time such that a tick of {show_hours(tick)} begins between it and {show_hours(end)}"
    else:
        return
    yield problem_at(tree, path, f"must be {allowed}, or {otherwise}. Got {show_hours(start)}.", allowed)


def _one_of(tree: Node, path: KeyPath, word: str, options: Sequence[str]) -> Iterator[Problem]:
    if word not in options:
        allowed = one_of(options) if options else "left out, because the scenario has no schemes"
        yield problem_at(tree, path, f"must be {allowed}. Got {shown(word)}.", allowed, nearest(word, options))


def _seeds(config: ScenarioConfig, tree: Node) -> Iterator[Problem]:
    """Check that the persons invited at the start exist."""
    seeds, persons = config.people.seeds, persons_of(config)
    if seeds is None or persons is None:
        return
    if seeds.count is not None and seeds.count > persons:
        message = f"must be at most {persons:,}, the number of persons. Got {seeds.count:,}."
        yield problem_at(tree, ("people", "seeds", "count"), message)
    for number, person in enumerate(seeds.persons or ()):
        if person >= persons:
            message = f"must be a number below {persons:,}, the number of persons. Got {person:,}."
            yield problem_at(tree, ("people", "seeds", "persons", number), message)


def _shocks(config: ScenarioConfig, tree: Node) -> Iterator[Problem]:
    """Check that every shock strikes, and finds what it is to hit."""
    for number, shock in enumerate(config.shocks):
        path: KeyPath = ("shocks", number)
        yield from _comes(config, tree, (*path, "start"), shock.start, "the shock never strikes")
        if isinstance(shock, Spell) and shock.length < config.tick:
            allowed = f"at least the tick of {show_hours(config.tick)}"
            message = f"must be {allowed}, or the shock may fall between two. Got {show_hours(shock.length)}."
            yield problem_at(tree, (*path, "length"), message, allowed)
        if isinstance(shock, LeakedCode):
            yield from _leak(config, tree, path, shock)
        elif isinstance(shock, KolScandal) and shock.kols > config.kols.count:
            message = f"must be at most kols.count, which is {config.kols.count}. Got {shock.kols}."
            yield problem_at(tree, (*path, "kols"), message)
        elif isinstance(shock, DetectorOutage) and config.risk == RiskConfig():
            yield problem_at(tree, path, "has no effect, because the scenario's risk section sets no control.")


def _leak(config: ScenarioConfig, tree: Node, path: KeyPath, leak: LeakedCode) -> Iterator[Problem]:
    """Check that there is a coupon to leak, which not everyone could have anyhow."""
    coupons = {scheme.name or scheme.kind: scheme for scheme in config.schemes if isinstance(scheme, CouponConfig)}
    for_some = [name for name, coupon in coupons.items() if coupon.coupon != "general" or coupon.segment != "all"]
    if leak.scheme not in for_some:
        allowed = one_of(for_some) if for_some else "a coupon that is not for everyone, and the scenario has none"
        message = f"must be {allowed}. Got {shown(leak.scheme)}."
        yield problem_at(tree, (*path, "scheme"), message, allowed, nearest(leak.scheme, for_some))
        return
    scheme = coupons[leak.scheme]
    opens, closes, ends = (
        math.inf if moment is None else first_tick(moment, config.tick)
        for moment in (scheme.start, scheme.end, leak.end)
    )
    if ends <= opens or leak.first_tick(config.tick) >= closes:
        message = f"must fall into the time in which '{leak.scheme}' is open, or there is nothing to leak."
        yield problem_at(tree, (*path, "start"), message)


def _guardrails(config: ScenarioConfig, tree: Node) -> Iterator[Problem]:
    """Check that each guardrail guards a metric that there is."""
    if not config.guardrails:
        return
    from sim.metrics import METRICS  # brings pandas, which most scenarios do not need in order to be checked

    names = {scheme.name for scheme in config.schemes if scheme.name}
    for number, guardrail in enumerate(config.guardrails):
        scheme, _, _ = guardrail.metric.rpartition(".")  # a scheme with a name reports name.metric as well
        if guardrail.metric not in METRICS and scheme not in names:
            message = f"is not a metric; docs/metrics.md lists them. Got {shown(guardrail.metric)}."
            path = ("guardrails", number, "metric")
            yield problem_at(tree, path, message, suggestion=nearest(guardrail.metric, list(METRICS)))
        if guardrail.min is None and guardrail.max is None:
            yield problem_at(tree, ("guardrails", number), "needs min or max.", "min or max")
        elif guardrail.min is not None and guardrail.max is not None and guardrail.min > guardrail.max:
            message = "can never hold: min is above max."
            yield problem_at(tree, ("guardrails", number), message, "min at most max")
