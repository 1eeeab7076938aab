"""What the owner of several accounts can do with them, as data: steps, and plans made of steps.

The actions are those that the shop permits anybody: sign up (invited by somebody or nobody), buy units of a product
(alone, in a team of one's own, in a team that somebody opened), send back what one bought, and wait before any of it. A
:class:`Plan` strings them together over accounts numbered from 0; products are named by what anybody can see of them
(:class:`Goods`), so that a plan means something in any shop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from sim.catalog import Products

Array = npt.NDArray[Any]
NOBODY = -1
DEAREST = 1 << 62  # as a floor: no product costs so much, so the dearest is meant
FEN = 100


class Deed(IntEnum):
    """Actions."""

    OPEN = 0  # sign up, invited by another account or by nobody
    BUY = 1  # alone
    OPEN_TEAM = 2  # buy in a team of one's own
    JOIN_TEAM = 3  # buy in the team that another account opened last
    RETURN = 4  # send back what one bought last, at the last moment


ORDERS = (Deed.BUY, Deed.OPEN_TEAM, Deed.JOIN_TEAM)


class Goods(NamedTuple):
    """A product by what is public: the cheapest that costs at least so much, among those a rule is about.

    Attributes
    ----------
    floor : int
        Fen; where no product costs so much, the dearest is taken.
    field : str
        "category" or "products", empty for all products.
    members : tuple of int
        Their numbers.
    """

    floor: int = 0
    field: str = ""
    members: tuple[int, ...] = ()

    def members_of(self, products: Products) -> Array:
        """Return a mask of the products among which it is."""
        if self.field == "category":
            return np.isin(products.category, self.members)
        if self.field == "products":
            return np.isin(np.arange(len(products)), self.members)
        return np.ones(len(products), bool)

    def pick(self, products: Products) -> int:
        """Return the row of the product, among those in stock; -1 if there is none."""
        rows = np.flatnonzero(self.members_of(products) & (products.stock > 0))
        if rows.size == 0:
            return NOBODY
        price = products.price[rows]
        enough = rows[price >= self.floor]
        if enough.size == 0:
            return int(rows[price.argmax()])
        return int(enough[products.price[enough].argmin()])

    def __str__(self) -> str:
        among = ""
        if self.field:
            word = "category" if self.field == "category" else "product"
            among = f" of {word} {', '.join(map(str, self.members))}"
        if self.floor >= DEAREST:
            return f"the dearest product{among}"
        if self.floor == 0:
            return f"the cheapest product{among}"
        return f"the cheapest product{among} at {self.floor / FEN:.10g} yuan or more"


class Basket(NamedTuple):
    """Some units of a product."""

    goods: Goods
    units: int = 1


class Step(NamedTuple):
    """One action of one account.

    Attributes
    ----------
    deed : Deed
    account : int
    other : int
        Account that invited it, or whose team it joins; -1: none.
    goods : Goods or None
        What it buys.
    units : int
        How many of it.
    after : int
        Days that the account lets pass after what it did before.
    """

    deed: Deed
    account: int
    other: int = NOBODY
    goods: Goods | None = None
    units: int = 1
    after: int = 0

    @property
    def basket(self) -> Basket | None:
        """What it buys, and how many of it; None if nothing."""
        return None if self.goods is None else Basket(self.goods, self.units)


class Columns(NamedTuple):
    """The steps of a plan as int64 arrays, for kernels; see :class:`Step`."""

    deed: Array
    account: Array
    other: Array


@dataclass(frozen=True)
class Plan:
    """Steps in order; every account is opened before it does anything else, and account 0 comes first."""

    steps: tuple[Step, ...]

    @cached_property
    def columns(self) -> Columns:
        """Its steps, apart from what is bought."""
        return Columns(*np.array([step[:3] for step in self.steps], np.int64).T.copy())

    @cached_property
    def baskets(self) -> list[Basket]:
        """What is bought, each once."""
        return list(dict.fromkeys(basket for step in self.steps if (basket := step.basket) is not None))

    @cached_property
    def units(self) -> Array:
        """How many units each step buys, int64; 0: nothing."""
        return np.array([0 if step.goods is None else step.units for step in self.steps], np.int64)

    @cached_property
    def days_apart(self) -> Array:
        """How many days each account lets pass before it orders, int64."""
        days = np.zeros(self.accounts, np.int64)
        np.maximum.at(days, self.columns.account, [step.after for step in self.steps])
        return days

    @cached_property
    def buyers(self) -> Array:
        """Which of its accounts order anything, bool."""
        mask: Array = np.isin(np.arange(self.accounts), [step.account for step in self.steps if step.deed in ORDERS])
        return mask

    @cached_property
    def accounts(self) -> int:
        """How many it needs."""
        return 1 + max(step.account for step in self.steps)

    @cached_property
    def orders(self) -> int:
        """How many it places."""
        return sum(step.deed in ORDERS for step in self.steps)

    @cached_property
    def returns(self) -> int:
        """How many orders it sends back."""
        return sum(step.deed == Deed.RETURN for step in self.steps)

    @cached_property
    def invitations(self) -> int:
        """How many of its accounts another one invites."""
        return sum(step.deed == Deed.OPEN and step.other != NOBODY for step in self.steps)

    @property
    def has_team(self) -> bool:
        """Whether its accounts fill a team of their own."""
        return any(step.deed == Deed.JOIN_TEAM for step in self.steps)

    @cached_property
    def root_only_invites(self) -> bool:
        """Whether account 0 does nothing but invite, so that one that stands already can serve again.

        Not where orders are sent back: what is taken back of its rewards would be taken out of the next ones.
        """
        return self.accounts > 1 and not self.returns and sum(step.account == 0 for step in self.steps) == 1

    @cached_property
    def stages(self) -> tuple[int, ...]:
        """The day on which each step is due, from 0: after whatever the accounts concerned have done before.

        A team is opened when all that comes before is done, so that nobody keeps it waiting.
        """
        last: dict[int, int] = {}
        found: list[int] = []
        for at, step in enumerate(self.steps):
            concerned = [last.get(step.account, -1), last.get(step.other, -1)]
            stage = 1 + max(found if step.deed == Deed.OPEN_TEAM else concerned, default=-1)
            waiting = self.team_at(at) if step.deed == Deed.OPEN_TEAM else (step,)
            stage = max(stage, *(last.get(one.account, -1) + one.after for one in waiting))
            last[step.account] = stage
            found.append(stage)
        return tuple(found)

    def team_at(self, at: int) -> list[Step]:
        """Return the step at some place, which opens a team, and those that join this team."""
        team = [self.steps[at]]
        for step in self.steps[at + 1 :]:
            if step.deed == Deed.OPEN_TEAM and step.account == team[0].account:
                break
            if step.deed == Deed.JOIN_TEAM and step.other == team[0].account:
                team.append(step)
        return team

    def in_order(self) -> Plan:
        """Return the same plan with its steps by the stages in which they are due."""
        ranked = sorted(
            zip(self.stages, self.steps, strict=True),
            key=lambda pair: (pair[0], _RANK[pair[1].deed], pair[1].account),
        )
        return Plan(tuple(step for _, step in ranked))

    def in_words(self) -> list[str]:
        """Return the plan as sentences; what several accounts do alike is one."""
        waiting = list(self.steps)
        sentences = []
        while waiting:
            ready = [step for n, step in enumerate(waiting) if not _waits_for(step, waiting[:n])]
            first = min(ready, key=lambda step: (step.deed, step.account))
            group = _chain_from(first, waiting)
            if len(group) < 3:
                alike = sorted(step for step in ready if step._replace(account=first.account) == first)
                group = [step for n, step in enumerate(alike) if step.account == first.account + n]
            sentences.append(_sentence(group))
            for step in group:
                waiting.remove(step)
        return _taken_together(sentences)


# Within a stage: a team is not kept waiting by what is due no later, and whose part is passive comes before they act.
_RANK = {Deed.OPEN_TEAM: 0, Deed.OPEN: 1, Deed.JOIN_TEAM: 2, Deed.BUY: 3, Deed.RETURN: 4}


def plan_of(steps: Iterable[Step]) -> Plan:
    """Return a plan of steps in the order in which they are due."""
    return Plan(tuple(steps)).in_order()


def _waits_for(step: Step, earlier: Sequence[Step]) -> bool:
    """Whether any earlier step is by an account that the step concerns, or fills the team that it had before."""
    concerned = (step.account, step.other)
    refills = step.deed == Deed.OPEN_TEAM
    return any(
        one.account in concerned or (refills and one.deed == Deed.JOIN_TEAM and one.other == step.account)
        for one in earlier
    )


def _chain_from(first: Step, waiting: Sequence[Step]) -> list[Step]:
    """Return the openings, from the given step on, in which each account is invited by the one before."""
    chain = [first]
    while chain[-1].deed == Deed.OPEN and chain[-1].other == chain[-1].account - 1 != NOBODY:
        following = Step(Deed.OPEN, chain[-1].account + 1, chain[-1].account)
        if following not in waiting or any(
            step.account == following.other and step.deed != Deed.OPEN for step in waiting[: waiting.index(following)]
        ):
            break
        chain.append(following)
    return chain


def _taken_together(sentences: list[str]) -> list[str]:
    """Return sentences with what comes several times in a row said once."""
    found, at = [], 0
    while at < len(sentences):
        for length in range(1, (len(sentences) - at) // 2 + 1):
            block, times = sentences[at : at + length], 1
            while sentences[at + times * length : at + (times + 1) * length] == block:
                times += 1
            if times > 1:
                found += block[:-1]
                said = "this" if length == 1 else f"the last {length} steps"
                found.append(f"{block[-1]}; {said} {times} times in all")
                at += times * length
                break
        else:
            found.append(sentences[at])
            at += 1
    return found


def _named(accounts: Sequence[int]) -> str:
    """Return what accounts are called: A, or B to F."""
    names = [chr(ord("A") + account) if account < 26 else str(account + 1) for account in accounts]
    return f"account {names[0]}" if len(names) == 1 else f"accounts {names[0]} to {names[-1]}"


def _sentence(group: Sequence[Step]) -> str:
    step, who, other = group[0], _named([step.account for step in group]), _named([group[0].other])
    bought = f"{step.units} of {step.goods}" if step.units > 1 else str(step.goods)
    then = f"{who}:" if step.after == 0 else f"{who}: {step.after} day{'s' if step.after > 1 else ''} later,"
    match step.deed:
        case Deed.OPEN if step.other == NOBODY:
            return f"open {who}"
        case Deed.OPEN if group[-1].other != step.other:
            return f"open {who}, each invited by the one before"
        case Deed.OPEN:
            return f"open {who}, invited by {other}"
        case Deed.BUY:
            return f"{then} buy {bought}, alone"
        case Deed.OPEN_TEAM:
            return f"{then} open a team for {bought}"
        case Deed.JOIN_TEAM:
            return f"{then} join the team of {other}{f' with {step.units} units' if step.units > 1 else ''}"
        case Deed.RETURN:
            return f"{then} send back what was bought last, at the last moment"
