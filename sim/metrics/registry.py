"""What a metric is, how one is defined, and what metrics are computed from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import brushers, fraudsters, second_accounts
from sim.core.ledger import Account
from sim.labels import Fraud
from sim.orders import OrderStatus
from sim.people import Status

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
Group = Literal["growth", "retention", "money", "schemes", "fraud", "fairness", "service"]
FEN = 100.0
NAN = float("nan")
_PROSPECT, _MEMBER = np.int8(Status.PROSPECT), np.int8(Status.MEMBER)


@dataclass(frozen=True)
class Metric:
    """Definition of a metric.

    Attributes
    ----------
    name : str
    group : str
    unit : str
    direction : int
        1: more is better, -1: less is better, 0: neither.
    formula : str
        What is divided by what, over whom.
    compute : callable or None
        From a :class:`Facts`; None if it needs a base arm and is computed by a comparison.
    """

    name: str
    group: Group
    unit: str
    direction: int
    formula: str
    compute: Callable[[Facts], float] | None


METRICS: dict[str, Metric] = {}


def metric(
    group: Group, unit: str, direction: int, formula: str
) -> Callable[[Callable[[Facts], float]], Callable[[Facts], float]]:
    """Define a metric by the function that it decorates, which it is named after."""

    def register(compute: Callable[[Facts], float]) -> Callable[[Facts], float]:
        name = compute.__name__
        METRICS[name] = Metric(name, group, unit, direction, formula, compute)
        return compute

    return register


def needs_base(name: str, unit: str, formula: str, direction: int = 1, group: Group = "money") -> None:
    """Define a metric that only a comparison with a base arm can tell."""
    METRICS[name] = Metric(name, group, unit, direction, formula + " (needs a base arm)", None)


def reported(name: str, group: Group, unit: str, direction: int, formula: str) -> None:
    """Define a metric that schemes, risk control or adversaries report of themselves."""
    METRICS[name] = Metric(name, group, unit, direction, formula, lambda f: f.of_schemes.get(name, NAN))


def ratio(part: float, whole: float) -> float:
    """Return part / whole, NaN if there is no whole."""
    return part / whole if whole else NAN


class Census(NamedTuple):
    """How many there are of several kinds of persons at a moment, and how real members feel.

    Attributes
    ----------
    members, new, active : int
        Real persons: members; who signed up during the run; who came within the last 30 days.
    satisfaction, reference : float
        Means over real members, NaN if there are none.
    """

    members: int
    new: int
    active: int
    satisfaction: float
    reference: float


class Facts:
    """What metrics are computed from: masks and sums over one run, each worked out once.

    Parameters
    ----------
    shop : Shop
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.people, self.book, self.clock = shop.people, shop.book, shop.clock

    @cached_property
    def real(self) -> Array:
        """Mask of persons who are not fake accounts."""
        mask: Array = ~self.people.fake
        return mask

    @cached_property
    def new(self) -> Array:
        """Mask of real persons who signed up during the run."""
        mask: Array = self.real & (self.people.joined >= 0) & (self.people.status != Status.PROSPECT)
        return mask

    @cached_property
    def census(self) -> Census:
        """How many there are of several kinds of persons, and how real members feel."""
        people, month = self.people, self.clock.tick - 30 * self.clock.ticks_a_day
        *numbers, satisfaction, reference = _count_persons(
            people.status, people.fake, people.joined, people.last_visit, month, people.satisfaction, people.reference
        )
        return Census(*numbers, *(float(x.mean()) if x.size else NAN for x in (satisfaction, reference)))

    @cached_property
    def buyer(self) -> Array:
        """Who is behind each order: its account's person, or whose second account it is."""
        if self.shop.second_accounts is None:
            return self.book.person
        who: Array = second_accounts.owners(self.shop)[self.book.person]
        return who

    @cached_property
    def order_rows(self) -> Array:
        """Rows of real persons' orders that were not undone before shipping, those of second accounts included."""
        return np.flatnonzero(self.real[self.buyer] & (self.book.status != OrderStatus.REFUNDED))

    @cached_property
    def orders_of(self) -> Array:
        """Orders of each person, as in ``order_rows``."""
        return np.bincount(self.buyer[self.order_rows], minlength=len(self.people))

    @cached_property
    def gmv(self) -> float:
        """Yuan paid for ``order_rows``."""
        return float(self.book.pay[self.order_rows].sum()) / FEN

    @cached_property
    def days(self) -> float:
        """Days simulated so far."""
        return self.clock.tick * self.clock.days_a_tick

    @cached_property
    def trees(self) -> tuple[Array, Array]:
        """Size of the invitation tree below each person, themselves included, and their depth in it; real persons."""
        inviter = np.where(self.real & self.real[self.people.inviter], self.people.inviter, -1)
        order = np.argsort(self.people.joined, kind="stable")
        size, depth = invitation_trees(inviter, order)
        return size, depth

    @cached_property
    def kol_cost(self) -> float:
        """Yuan paid to KOLs, fees and commissions."""
        return float(self.shop.ledger.total(target=Account.KOLS).sum()) / FEN

    @cached_property
    def incentive_cost(self) -> float:
        """Yuan that platform and merchants paid under schemes, what came back taken off."""
        return sum(scheme.spent for scheme in self.shop.schemes) / FEN

    @cached_property
    def contribution(self) -> float:
        """Yuan earned by platform and merchants together."""
        book = self.book
        kept = ~np.isin(book.status, (OrderStatus.REFUNDED, OrderStatus.RETURNED))
        kept &= self.people.fraud[book.person] != Fraud.BRUSHING  # goods and money go round in a circle
        goods = float((book.worth[kept] - book.cost[kept]).sum()) / FEN
        shipping = float(self.shop.ledger.total(target=Account.LOGISTICS).sum()) / FEN
        return goods - self.incentive_cost - shipping - self.kol_cost

    @cached_property
    def of_schemes(self) -> dict[str, float]:
        """Figures that schemes and risk control report of themselves.

        A scheme that has a name of its own reports under ``name.metric`` as well, so that two of a kind can be told
        apart; the
        plain metric is then the first one's.
        """
        found: dict[str, float] = {}
        for scheme in self.shop.schemes:
            for name, value in scheme.metrics().items():
                found.setdefault(name, value)
                if scheme.name != scheme.kind:
                    found[f"{scheme.name}.{name}"] = value
        return found | self.shop.risk.metrics() | fraudsters.metrics(self.shop) | brushers.metrics(self.shop)


@nb.njit(cache=True)
def _count_persons(status, fake, joined, last_visit, month, satisfaction, reference):  # type: ignore[no-untyped-def]
    """Return the numbers of a :class:`Census`, and the columns of what real members feel, in one go through them.

    Parameters
    ----------
    status ... last_visit, satisfaction, reference : ndarray, shape (persons,)
        Columns of :class:`sim.people.People`.
    month : int
        Whoever came after this tick is active.
    """
    content, normal = np.empty(status.size, satisfaction.dtype), np.empty(status.size, reference.dtype)
    members = new = active = 0
    for i in range(status.size):
        if fake[i]:
            continue
        new += joined[i] >= 0 and status[i] != _PROSPECT
        active += last_visit[i] > month
        content[members], normal[members] = satisfaction[i], reference[i]
        members += status[i] == _MEMBER
    return members, new, active, content[:members], normal[:members]


@nb.njit(cache=True)
def invitation_trees(inviter, order):  # type: ignore[no-untyped-def]
    """Return the size of each person's invitation tree (themselves included) and their depth.

    Parameters
    ----------
    inviter : int32 ndarray, shape (n,)
        -1 for none. Nobody may have invited their own inviter.
    order : int64 ndarray, shape (n,)
        Persons by moment of joining, so that inviters come before those they invited.
    """
    size = np.ones(inviter.size, np.int64)
    depth = np.zeros(inviter.size, np.int64)
    for k in range(order.size):
        i = order[k]
        if inviter[i] >= 0:
            depth[i] = depth[inviter[i]] + 1
    for k in range(order.size - 1, -1, -1):
        i = order[k]
        if inviter[i] >= 0:
            size[inviter[i]] += size[i]
    return size, depth
