"""How a search changes plans: the plans that are a step or two away from one that did well."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

from agents.actions import NOBODY, ORDERS, Basket, Deed, Plan, Step, plan_of
from agents.openings import chain, star, waited

MOST_STEPS = 24
ORDERS_AN_ACCOUNT = 2  # until a plan is repeated as a whole


def variations(plan: Plan, baskets: Sequence[Basket], waits: Sequence[int], thorough: bool) -> Iterator[Plan]:
    """Yield the plans that are a step or two away.

    Parameters
    ----------
    plan : Plan
    baskets : sequence of Basket
        That may be bought instead.
    waits : sequence of int
        Days that accounts may wait before they order.
    thorough : bool
        Whether the same is tried with twice as many accounts.
    """
    steps, last = plan.steps, plan.accounts - 1
    used = list(dict.fromkeys(step.basket for step in steps if step.basket is not None))
    yield from map(plan_of, _with_other_baskets(steps, baskets, used))
    yield from map(plan_of, _with_other_accounts(steps, last))
    yield from map(plan_of, _with_more_orders(steps, last, used or baskets[:1]))
    yield from (plan_of(waited(steps, days)) for days in (0, *waits) if used)
    yield from map(plan_of, _without_something(steps, last))
    if thorough:
        yield plan_of(_twice(steps, last))


def repeated(plan: Plan) -> Iterator[Plan]:
    """Yield the plans in which the same accounts do again what follows their openings: once more, twice more, ..."""
    steps = plan.steps
    again = [step._replace(after=0) for step in steps if step.deed != Deed.OPEN]
    for length in range(1, len(again)):
        if again == again[:length] * (len(again) // length):
            again = again[:length]
            break
    room = (MOST_STEPS - len(steps)) // len(again) if again else 0
    yield from (plan_of([*steps, *again * times]) for times in range(1, room + 1))


def _twice(steps: Sequence[Step], last: int) -> list[Step]:
    """Return the same with as many accounts more, the first of which the last one invites."""
    again = [
        step._replace(account=step.account + last + 1, other=NOBODY if step.other < 0 else step.other + last + 1)
        for step in steps
    ]
    again = [
        step._replace(other=last) if step.deed == Deed.OPEN and step.account == last + 1 else step for step in again
    ]
    return [*steps, *again]


def _with_other_baskets(
    steps: Sequence[Step], baskets: Sequence[Basket], used: Sequence[Basket]
) -> Iterator[list[Step]]:
    for old, new in product(used, baskets):
        yield [step._replace(goods=new.goods, units=new.units) if step.basket == old else step for step in steps]


def _with_other_accounts(steps: Sequence[Step], last: int) -> Iterator[list[Step]]:
    """Another account like the last one; one below it that takes over its orders; other inviters."""
    likewise = [
        step._replace(account=last + 1) for step in steps if step.account == last and step.deed != Deed.OPEN_TEAM
    ]
    (opening,) = (step for step in steps if step.account == last and step.deed == Deed.OPEN)
    yield [*steps, *likewise]
    handed_on = [
        step._replace(account=last + 1) if step.account == last and step.deed != Deed.OPEN else step for step in steps
    ]
    place = handed_on.index(opening) + 1
    yield [*handed_on[:place], Step(Deed.OPEN, last + 1, last), *handed_on[place:]]
    yield [*steps, Step(Deed.OPEN, last + 1, last)]
    for inviter in {NOBODY, 0, last - 1} - {opening.other, last}:
        yield [step._replace(other=inviter) if step is opening else step for step in steps]
    for inviters in ([NOBODY] * (last + 1), star(last + 1), chain(last + 1)):
        yield [step._replace(other=inviters[step.account]) if step.deed == Deed.OPEN else step for step in steps]


def _with_more_orders(steps: Sequence[Step], last: int, baskets: Sequence[Basket]) -> Iterator[list[Step]]:
    """One more order, what was bought sent back, all bought in one team or each alone."""
    placed = [sum(step.account == account and step.deed in ORDERS for step in steps) for account in range(last + 1)]
    sent = [sum(step.account == account and step.deed == Deed.RETURN for step in steps) for account in range(last + 1)]
    for account in {0, last}:
        if placed[account] < ORDERS_AN_ACCOUNT:
            yield from ([*steps, Step(Deed.BUY, account, NOBODY, *one)] for one in baskets)
        if sent[account] < placed[account]:
            yield [*steps, Step(Deed.RETURN, account)]
    buyers = [account for account in range(last + 1) if placed[account]]
    if len(buyers) < last + 1:
        idle = [account for account in range(last + 1) if not placed[account]]
        yield [*steps, *(Step(Deed.BUY, account, NOBODY, *baskets[0]) for account in idle)]
    if not any(sent) and buyers:
        yield [*steps, *(Step(Deed.RETURN, account) for account in buyers)]
    if len(buyers) > 1 and all(step.deed not in ORDERS[1:] for step in steps):
        way = dict.fromkeys(buyers, (Deed.JOIN_TEAM, buyers[0])) | {buyers[0]: (Deed.OPEN_TEAM, NOBODY)}
        goods, units = baskets[0]
        yield [
            step._replace(deed=way[step.account][0], other=way[step.account][1], goods=goods, units=units)
            if step.deed == Deed.BUY
            else step
            for step in steps
        ]
    yield [step._replace(deed=Deed.BUY, other=NOBODY) if step.deed in ORDERS else step for step in steps]


def _without_something(steps: Sequence[Step], last: int) -> Iterator[list[Step]]:
    """Leave out a return, an order with its return, an invitation, or the last account."""
    for step in steps:
        if step.deed == Deed.OPEN and step.other != NOBODY:
            yield [one._replace(other=NOBODY) if one is step else one for one in steps]
        elif step.deed == Deed.RETURN:
            yield [other for other in steps if other is not step]
        elif step.deed == Deed.BUY:
            yield [
                other
                for other in steps
                if other is not step and not (other.deed == Deed.RETURN and other.account == step.account)
            ]
    if last and all(step.other != last for step in steps):
        yield [step for step in steps if step.account != last]
