"""What an adversary sees of the rules, and the plans with which a search for the best begins.

In view is what is public: list prices, and which amounts, shares, head counts and durations the rules name. What the
rules do with them is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from agents.actions import DEAREST, NOBODY, ORDERS, Basket, Deed, Goods, Plan, Step, plan_of
from sim.core.clock import HOURS_A_DAY
from sim.scenario.keys import forms_of_field

if TYPE_CHECKING:
    from agents.rehearsal import Rehearsal
    from sim.catalog import Products

Array = npt.NDArray[Any]
MOST_UNITS = 100  # of an order
LONGEST_WAIT = 100  # days
_CLOSE = 1.05  # a basket worth so many times an amount is as good as one that just reaches it
_QUANTILES = (0.25, 0.5, 0.75, 0.95)  # of list prices
_DATES = ("start", "end", "valid_from", "valid_until", "dates")  # points in time, not durations


# What is in view.


def baskets_in_view(rehearsal: Rehearsal) -> tuple[list[Basket], list[Basket]]:
    """Return baskets at which something may change: those that the rules name, and others over the range of prices.

    An amount A and a share s in view make A / s and A / (1 - s) worth a try besides A: prices of which the share is the
    amount, and of which it leaves the amount over. An amount that no single product comes near, and one of which a
    share that the same scheme sets is the amount, as a cap is of a price, is reached by several units.
    """
    products, sections = rehearsal.products, rehearsal.scenario.config.schemes
    most = most_units(rehearsal)
    named, derived = [Basket(Goods()), Basket(Goods(DEAREST))], []
    shares = sorted({s for section in sections for s in _values(section, "share") if 0 < s < 1})
    for section in sections:
        amounts = sorted({int(a) for a in _values(section, "money in yuan", leave_out=("budget",)) if a > 0})
        levels = sorted({math.ceil(a / s) for a in amounts for s in (*shares, *(1 - s for s in shares))})
        own = sorted({math.ceil(a / s) for a in amounts for s in _values(section, "share", True) if 0 < s < 1})
        for field, members in [("", ()), *_singled_out(section)]:
            named += [Basket(Goods(level, field, members)) for level in (0, *amounts, DEAREST)]
            named += _of_several_units(products, Goods(0, field, members), amounts, most)
            derived += [Basket(Goods(level, field, members)) for level in levels]
            derived += _of_several_units(products, Goods(0, field, members), own, most)
    derived += [Basket(Goods(int(price))) for price in np.quantile(products.price, _QUANTILES, method="higher")]
    rows: dict[tuple[int, int], Basket] = {}
    for one in (*named, *derived):
        if (row := one.goods.pick(products)) >= 0:
            rows.setdefault((row, one.units), one)
    distinct = set(rows.values())
    return [one for one in named if one in distinct], [one for one in derived if one in distinct]


def most_units(rehearsal: Rehearsal) -> int:
    """Return how many units an order may have under the rules, and within reason."""
    limits = (getattr(section, "units_per_order", None) for section in rehearsal.scenario.config.schemes)
    return min((MOST_UNITS, *(int(limit) for limit in limits if limit is not None)))


def _of_several_units(products: Products, among: Goods, amounts: Sequence[int], most: int) -> Iterator[Basket]:
    """Yield the basket of fewest units, at least two, that comes close to each amount; none where a single unit does.

    Its product is named by the price at which so many units reach the amount, so that they do so in any shop.
    """
    prices: Array = np.sort(products.price[among.members_of(products) & (products.stock > 0)])
    if prices.size == 0:
        return
    units = np.arange(1, most + 1)
    for amount in amounts:
        floors = -(-amount // units)
        at = np.searchsorted(prices, floors)
        worth = np.where(at < prices.size, units * prices[np.minimum(at, prices.size - 1)], np.inf)
        number = int(units[(worth <= max(float(worth.min()), amount * _CLOSE)).argmax()])
        if number > 1 and np.isfinite(worth[number - 1]):
            yield Basket(among._replace(floor=int(floors[number - 1])), number)


def waits_in_view(rehearsal: Rehearsal) -> list[int]:
    """Return how many days it may help to wait: the durations that the rules set, or until later schemes run."""
    if rehearsal.gap:
        return [rehearsal.gap]
    hours = {h for section in rehearsal.scenario.config.schemes for h in _values(section, "duration", True, _DATES)}
    return sorted({day for h in hours if 1 < (day := math.ceil(h / HOURS_A_DAY)) <= LONGEST_WAIT})


def _values(section: BaseModel, unit: str, only_set: bool = False, leave_out: Sequence[str] = ()) -> Iterator[float]:
    """Yield the values of a unit that a section and those below it name; only those that are no defaults, if asked."""
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if name in leave_out or (only_set and value == field.default):
            continue
        named = any(form.unit is not None and form.unit.name == unit for form in forms_of_field(field))
        for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]:
            if isinstance(item, BaseModel):
                yield from _values(item, unit, only_set, leave_out)
            elif named and isinstance(item, int | float):
                yield float(item)


def _singled_out(section: BaseModel) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the categories and products that a scheme treats apart."""
    scope = getattr(section, "scope", None)
    for field in ("category", "products"):
        if members := getattr(scope, field, None):
            yield field, tuple(members)
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, dict):
            yield from (("products", (key,)) for key in value if isinstance(key, int))


def sizes_in_view(rehearsal: Rehearsal, most: int) -> list[int]:
    """Return numbers of accounts that may matter: head counts that the rules name, one more, and all that may be."""
    named = {
        value
        for section in rehearsal.scenario.schemes
        for part in (section, *(v for v in vars(section).values() if isinstance(v, BaseModel)))
        for value in vars(part).values()
        if type(value) is int and 1 < value < most
    }
    return sorted(size for size in {2, 3, most} | named | {size + 1 for size in named} if 2 <= size <= most)


# How plans begin.


def openings(
    named: Sequence[Basket], derived: Sequence[Basket], sizes: Sequence[int], waits: Sequence[int], thorough: bool
) -> Iterator[Plan]:
    """Yield the plans that a search begins with: alone, a star, a chain, a team, with each basket.

    What is sent back is tried with the baskets that the rules name: its price is no cost. So is what is ordered after a
    while, unless the search is thorough.
    """
    yield plan_of(_opened([NOBODY]))
    for size in sizes:
        yield plan_of(_opened(star(size)))
    for one in (*named, *derived):
        for bought in _purchases(one, sizes, thorough):
            yield plan_of(bought)
            if one in named:
                yield plan_of([*bought, *(Step(Deed.RETURN, s.account) for s in bought if s.deed in ORDERS)])
            if one in named or thorough:
                yield from (plan_of(waited(bought, days)) for days in waits)


def waited(steps: Sequence[Step], days: int) -> list[Step]:
    """Return the same steps with some days between the opening of each account and its first order."""
    found: list[Step] = []
    for step in steps:
        is_first = step.deed in ORDERS and not any(s.account == step.account and s.deed in ORDERS for s in found)
        found.append(step._replace(after=days) if is_first else step)
    return found


def star(size: int) -> list[int]:
    """Return who invites each account where the first invites all others."""
    return [NOBODY] + [0] * (size - 1)


def chain(size: int) -> list[int]:
    """Return who invites each account where each invites the next."""
    return list(range(-1, size - 1))


def _opened(inviters: Sequence[int]) -> list[Step]:
    return [Step(Deed.OPEN, account, inviter) for account, inviter in enumerate(inviters)]


def _purchases(one: Basket, sizes: Sequence[int], thorough: bool) -> Iterator[list[Step]]:
    buy = [Step(Deed.BUY, account, NOBODY, *one) for account in range(max(sizes, default=1))]
    yield [*_opened([NOBODY]), buy[0]]
    for size in sizes:
        hub, line = _opened(star(size)), _opened(chain(size))
        yield [*hub, *buy[1:size]]
        yield [hub[0], buy[0], *hub[1:], *buy[1:size]]  # where only customers may invite
        if size > 2:
            yield [*line, buy[size - 1]]
            yield [*line, *buy[1:size]]
        for places in sizes if thorough else [size]:
            if size % places == 0:
                teams = _teams(one, size, places)
                yield [*hub, *teams]
                yield [*_opened([NOBODY] * size), *teams]
                if places < size:
                    yield [*line, *teams]


def _teams(one: Basket, accounts: int, places: int) -> list[Step]:
    """Return the orders of accounts that fill teams of so many places each."""
    return [
        Step(Deed.OPEN_TEAM, account, NOBODY, *one)
        if account % places == 0
        else Step(Deed.JOIN_TEAM, account, account - account % places, *one)
        for account in range(accounts)
    ]
