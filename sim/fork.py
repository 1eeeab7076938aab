"""Going on from a state, under the scenario that it came about in or under another.

What a fork may change is policy: :data:`MAY_DIFFER`, and shocks that strike after it. The world that was warmed up
(people, network, demand, catalogue, sharing, fraud) and the run's frame (tick, horizon, record, seed) stay; whoever
would change them is told the key.

Schemes are told apart by name (their kind, unless they have one) and:

- one that is in both scenarios goes on with what it has: members, wallets, teams, budget spent. New terms hold from the
  fork on; what was promised before (a team's deadline, a coupon's expiry, a frozen reward) stays promised. Terms that
  would break such a promise cannot change within a scheme: :data:`FIXED`, and durations that may not get shorter;
- one that is new begins on the fork day. Its dates, like the calendar, count from the start of the run;
- one that is left out winds down as if it ended on that day: it offers and earns nobody anything any more, running
  teams keep their deadlines and are then filled or refunded, coupons in wallets are honoured until they expire, frozen
  rewards are released or taken back as they would have been. So every fen that it holds comes out again.

Draws are addresses, so forks share every draw that they have in common.

Read :func:`go_on` and :func:`check` first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.core.units import show_hours
from sim.people import Status
from sim.risk.controls import Tally
from sim.scenario import Problem, Scenario, ScenarioValueError
from sim.scenario.problems import shown
from sim.scenario.tree import KeyPath, dotted
from sim.schemes.group_buy import GroupBuy
from sim.state import State, pour

if TYPE_CHECKING:
    from sim.core.graph import Graph
    from sim.schemes import SchemeConfig
    from sim.shop import Shop

MAY_DIFFER = (
    "schemes", "stacking", "calendar", "recommendation", "risk", "merchants", "shocks", "catalog.take_rate",
    "kols.count", "kols.post_every", "kols.reach", "kols.fee", "kols.commission", "kols.click", "kols.decline",
    "kols.endorsement",
    "operations.capacity", "operations.dispatch_every", "operations.lead_time", "operations.shipping",
    "operations.return_window", "operations.late_after",
)  # fmt: skip
FIXED = {
    "coupon": ("merchant_share", "coupon", "code_known", "fission.helpers"),
    "group_buy": ("merchant_share", "leader"),
    "referral": ("merchant_share", "promoters", "appointed", "binding_expires"),
}
"""By kind of scheme, keys that cannot change within one that goes on."""
GIVEN_OR_NOT = {"coupon": ("amount", "percent", "fission", "valid_until")}
"""The same for keys that may change, but not appear or disappear."""
RENAME = "Give the scheme another name: then the one from before winds down, and this one begins on the fork day"
AT_ONCE = ("refresh", "explore")  # of the recommendation: need no training to take effect


def go_on[S: Shop](cls: type[S], base: Scenario, target: Scenario | None, seed: int, state: State, graph: Graph) -> S:
    """Return a shop that goes on from a state.

    Parameters
    ----------
    cls : type
        Shop, or a class made of it with the same parameters.
    base : Scenario
        In which the state came about.
    target : Scenario or None
        What holds from now on; None: what held before, and schemes that a fork left out stay out.
    seed : int
    state : State
    graph : Graph

    Raises
    ------
    ScenarioValueError
        If the target changes what a fork cannot, with the key path.
    StateError
        If the state does not fit, which cannot be unless it was made by other code.
    """
    asked, hour = base if target is None else target, state.tree["hour"]
    changed = changes(base, asked)
    check(base, asked, state.tree["clock"]["object"]["tick"] * asked.tick)
    shop = cls(_with_all_schemes(base, asked) if changed else asked, rng=seed, graph=graph)
    pour(_fitted(state, base, shop, changed), shop)
    if _differs("calendar", changed):
        shop.operations.reschedule(hour)
    shop.operations.resume(hour)
    _let_mesa_catch_up(shop)
    if target is not None:
        shop.wound_down = _left_out(shop, base, target)
    for scheme in shop.schemes:
        if scheme.name in shop.wound_down:
            scheme._last = min(scheme._last, shop.wound_down[scheme.name])
    _change_rules(shop, base, changed)
    return shop


# What may differ.


def changes(base: Scenario, target: Scenario) -> list[KeyPath]:
    """Return the paths of all keys that determine a run and differ; of lists as a whole."""
    return [] if base.digest == target.digest else sorted(_differences(base.content(), target.content()))


def _differences(before: Any, after: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in before.keys() | after.keys():
            yield from _differences(before.get(key), after.get(key), (*path, key))
    elif before != after:
        yield path


def _differs(section: str, changed: list[KeyPath]) -> bool:
    return any(path[0] == section for path in changed)


def check(base: Scenario, target: Scenario, hour: float) -> None:
    """Check that a run of one scenario can go on under another.

    Parameters
    ----------
    base, target : Scenario
    hour : float
        Of the fork, since the start of the run.

    Raises
    ------
    ScenarioValueError
        With every key that cannot change, or the first scheme that cannot go on, come or go.
    """
    changed = changes(base, target)
    _refuse_another_world(base, target, changed)
    if not changed:
        return
    _refuse_another_past(base, target, hour)
    before, after = _by_name(base), _by_name(target)
    for number, (name, scheme) in enumerate(after.items()):
        if name not in before:
            _refuse_what_is_over(target, number, scheme, hour)
        elif before[name].kind != scheme.kind:
            message = f"'{name}' was a {before[name].kind} before the fork; give this scheme another name."
            raise target.error(f"schemes.{number}", message)
        else:
            _refuse_broken_promises(target, number, before[name], scheme)
            if scheme.kind == "referral":
                _refuse_earlier_release(base, target, number, before[name], scheme)
    in_old_order = [name for name in before if name in after]
    if [name for name in after if name in before] != in_old_order:
        message = f"those from before the fork must come in their old order: {', '.join(in_old_order)}."
        raise target.error("schemes", message)


def _refuse_another_world(base: Scenario, target: Scenario, changed: list[KeyPath]) -> None:
    before, after = base.content(), target.content()
    problems: list[Problem] = []
    for path in changed:
        if not any(f"{dotted(path)}.".startswith(f"{allowed}.") for allowed in MAY_DIFFER):
            old, new = shown(_at(before, path)), shown(_at(after, path))
            message = f"cannot change on the fork day: the world was warmed up with {old}. Got {new}."
            problems += target.error(dotted(path), message).problems
    if problems:
        raise ScenarioValueError(*problems)


def _refuse_another_past(base: Scenario, target: Scenario, hour: float) -> None:
    """Refuse other shocks than those that have struck."""
    tick = base.config.tick
    before, after = (
        [shock for shock in scenario.config.shocks if shock.first_tick(tick) * tick < hour]
        for scenario in (base, target)
    )
    if before != after:
        message = f"those that begin before the fork at {show_hours(hour)} must be the same: they have struck already."
        raise target.error("shocks", message)


def _at(values: Any, path: KeyPath) -> Any:
    for key in path:
        values = values.get(key) if isinstance(values, Mapping) else None
    return values


def _by_name(scenario: Scenario) -> dict[str, SchemeConfig]:
    return {scheme.name or scheme.kind: scheme for scheme in scenario.config.schemes}


# Schemes that go on, and those that come.


def _refuse_what_is_over(target: Scenario, number: int, scheme: Any, hour: float) -> None:
    """Refuse a new scheme that could never do anything."""
    moments = {key: getattr(scheme, key, None) for key in ("end", "valid_until", "dates")}
    for key, value in moments.items():
        if value and (max(value) if isinstance(value, list) else value) <= hour:
            message = "is before the fork, so the scheme would never do anything; dates count from the run's start."
            raise target.error(f"schemes.{number}.{key}", message)


def _refuse_broken_promises(target: Scenario, number: int, before: Any, after: Any) -> None:
    """Refuse terms that cannot change within a scheme."""
    for key in FIXED.get(before.kind, ()):
        if _term(before, key) != _term(after, key):
            raise target.error(f"schemes.{number}.{key}", f"cannot change within a scheme that goes on. {RENAME}.")
    for key in GIVEN_OR_NOT.get(before.kind, ()):
        if (_term(before, key) is None) != (_term(after, key) is None):
            message = f"cannot appear or disappear within a scheme that goes on. {RENAME}."
            raise target.error(f"schemes.{number}.{key}", message)
    for key, old, new in _durations(before, after):
        if new < old:
            message = (
                f"cannot get shorter within a scheme that goes on, as later promises would fall due first. {RENAME}."
            )
            raise target.error(f"schemes.{number}.{key}", message)


def _term(scheme: Any, key: str) -> Any:
    """Return the value at a dotted key of a scheme's section; None if nothing is there."""
    section, _, last = key.rpartition(".")
    holder = attrgetter(section)(scheme) if section else scheme
    return getattr(holder, last, None)


def _durations(before: Any, after: Any) -> Iterator[tuple[str, float, float]]:
    """Yield key, old and new value of what is found by its order in a scheme's tables: it may not overtake."""
    if before.kind == "coupon":
        for key in ("valid_for", "valid_until", "fission.window"):
            yield key, _term(before, key) or 0.0, _term(after, key) or 0.0
    elif before.kind == "group_buy":
        yield "window", before.window, after.window
        yield "refund_after", before.window + before.refund_after, after.window + after.refund_after
    elif before.kind == "referral":
        yield "grades", len(before.grades), len(after.grades)


def _refuse_earlier_release(base: Scenario, target: Scenario, number: int, before: Any, after: Any) -> None:
    """Refuse to freeze rewards for a shorter time than before, which the scheme and risk control say together."""
    floors = base.config.risk.payout_freeze, target.config.risk.payout_freeze
    if max(after.freeze, floors[1]) < max(before.freeze, floors[0]):
        key = f"schemes.{number}.freeze" if after.freeze < before.freeze else "risk.payout_freeze"
        message = f"would release later rewards before those that are frozen already. {RENAME}."
        raise target.error(key, message)


def _with_all_schemes(base: Scenario, target: Scenario) -> Scenario:
    """Return the target with the base's schemes in their places, those that the target leaves out among them.

    Their numbers in the ledger and the order book are then what they were; new schemes come behind.
    """
    old, new = _by_name(base), _by_name(target)
    order = [*old, *(name for name in new if name not in old)]
    if order == list(new):
        return target
    sections = [(new.get(name) or old[name]).model_dump(mode="json") for name in order]
    return target.override({"sources": {}, "schemes": sections}, origin="fork")  # sources name schemes by their places


def _fitted(state: State, base: Scenario, shop: Shop, changed: list[KeyPath]) -> State:
    """Return the state with room for the schemes that are new, and without what the recommender is to learn anew."""
    tree, arrays = dict(state.tree), dict(state.arrays)
    more = len(shop.schemes) - len(base.config.schemes)
    if more:
        discount, flow = arrays["book/discount"], arrays["ledger/_flow"]
        arrays["book/discount"] = wide = np.zeros((len(discount), len(shop.schemes)), discount.dtype)
        wide[:, : discount.shape[1]] = discount
        arrays["ledger/_flow"] = np.pad(flow, ((0, 0), (0, more), (0, 0), (0, 0)))
        arrays["fraud_losses"] = np.pad(arrays["fraud_losses"], ((0, 0), (0, more)))
    fakes = arrays["_fakes"]
    arrays["_fakes"] = np.pad(fakes, (0, max(0, shop._fakes.size - fakes.size)))  # rings of attacks that are new
    if _differs("kols", changed):  # posts of KOLs who have left are still read
        arrays["kol_click"] = np.concatenate([shop.kol_click, arrays["kol_click"][shop.kol_click.size :]])
    if _trains_anew(changed):
        kept = tree["recommender"]["object"].items()
        tree["recommender"] = {"object": {name: node for name, node in kept if _is_table(node)}}  # logs
    return State(tree, arrays)


def _trains_anew(changed: list[KeyPath]) -> bool:
    return any(path[0] == "recommendation" and path[-1] not in AT_ONCE for path in changed)


def _is_table(node: Any) -> bool:
    return isinstance(node, dict) and "columns" in node


# On the fork day.


def _let_mesa_catch_up(shop: Shop) -> None:
    """Let Mesa count the ticks that the state stands for; nothing else happens in them."""
    shop._catching_up = True
    for _ in range(shop.clock.tick):
        shop.step()
    del shop._catching_up


def _left_out(shop: Shop, base: Scenario, target: Scenario) -> dict[str, int]:
    """Return the schemes that the target leaves out, each with the tick from which on it winds down."""
    asked = _by_name(target)
    return {name: shop.wound_down.get(name, shop.clock.tick) for name in _by_name(base) if name not in asked}


def _change_rules(shop: Shop, base: Scenario, changed: list[KeyPath]) -> None:
    """Let what differs take effect where the state alone does not say it."""
    for before, scheme in zip(base.config.schemes, shop.schemes, strict=False):
        if isinstance(scheme, GroupBuy) and scheme._keeps_stock and scheme.config != before:
            scheme._release_stock()  # set aside anew, by the new terms, at the next offer
    if _differs("risk", changed):
        _start_controls(shop, base)
    if _differs("kols", changed):
        shop.shocks.silence()
    if _trains_anew(changed):
        shop.recommender.fit()


def _start_controls(shop: Shop, base: Scenario) -> None:
    """Let controls that are new know every account that there is; what was tried before them, nobody noted."""
    risk, people, before = shop.risk, shop.people, base.config.risk
    accounts = people.status != Status.PROSPECT
    nobody_counted = not any((before.accounts_per_device, before.accounts_per_address, before.invites_per_day))
    for name, limit, column in (
        ("devices", before.accounts_per_device, people.device),
        ("addresses", before.accounts_per_address, people.address),
    ):
        tally: Tally = getattr(risk, name)
        if nobody_counted:
            setattr(risk, name, Tally(tally.limit, column[accounts]))
        elif limit is None:
            tally.start()
    if risk.payments.limit is not None and before.accounts_per_payment is None:
        risk.recount_payments()
