"""Promoters: who may earn by referring, who is bound to whom, and what grade they have reached.

Read in this order: the config sections, :class:`Standing` (one row a person), :class:`Promoters`, then :func:`bind`.
Who is bound to whom is a forest: :func:`bind` refuses everybody who would come to stand below themselves.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numba as nb
import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sim.core import draws
from sim.core.config import Section, assume
from sim.core.draws import Stream, philox
from sim.core.table import Column, Table, column
from sim.core.turns import turns
from sim.core.units import Fen, PositiveCount, Share
from sim.offers import NONE, ShareKind
from sim.people import Status

if TYPE_CHECKING:
    from sim.schemes.base import Scheme
    from sim.schemes.referral import ReferralConfig

Array = npt.NDArray[Any]
_PROSPECT = np.int8(Status.PROSPECT)


class Purpose(IntEnum):
    """What a draw of the referral stream decides: the last word of its address; see :func:`purposes_of`."""

    PRECEDENCE = 0
    BINDING = 1
    CAP = 2
    APPOINTMENT = 3
    APPLICATION = 4
    APPROVAL = 5


_REFERRAL = np.uint32(Stream.REFERRAL)
_PURPOSES_A_SCHEME = 1 << 16


def purposes_of(scheme: Scheme) -> int:
    """Return what a scheme adds to the purposes of its draws, so that no two of a kind share any: 0 for the first."""
    return _PURPOSES_A_SCHEME * scheme.rank_among(type(scheme.config))


class Appointed(Section):
    """Promoters whom the shop chooses at the start: a list, or a number or share of all persons."""

    persons: list[Annotated[int, Field(ge=0)]] | None = Field(None, description="row numbers")
    count: PositiveCount | None = Field(None, description="number of persons")
    share: Share | None = Field(None, description="of all persons")
    by: Literal["degree", "random"] | None = Field(None, description="degree: most ties first")

    @model_validator(mode="after")
    def _one_way_of_choosing(self) -> Appointed:
        if sum(way is not None for way in (self.persons, self.count, self.share)) != 1:
            raise ValueError("give one of persons (a list of numbers), count, share")
        if (self.persons is None) != (self.by is not None):
            raise ValueError("by (degree or random) goes with count or share, which need it, and not with persons")
        return self


class Grade(Section):
    """A grade that a promoter reaches, for good, once all its tasks are done."""

    name: str = Field(min_length=1)
    invites: int = Field(0, ge=0, le=1_000_000, description="persons who signed up by the promoter's invitation")
    sales: Fen = assume(0, source="no task", unit="paid for final orders by persons then bound to the promoter")
    factor: float = Field(ge=0, le=10, description="on commissions and rebates")


class Standing(Table):
    """How each person stands in the programme; one row a person, moments in ticks."""

    bound_to: Column = column(np.int32, fill=NONE)
    bound_tick: Column = column(np.int32, on_demand=True)  # if bindings expire
    invited_by: Column = column(np.int32, fill=NONE)  # promoter who is rewarded for this person
    bonus_pending: Column = column(np.bool_)  # the bonus waits for an order of this person
    enrolled: Column = column(np.bool_)  # appointed, or approved on application
    rewarded_today: Column = column(np.int32, on_demand=True)  # invitations, if they are capped
    invites: Column = column(np.int32, on_demand=True)  # if there are grades, as the next two
    sales: Column = column(np.int64, on_demand=True)  # fen
    grade: Column = column(np.int8, on_demand=True)  # how many they have reached


class _Bindings(Table):
    """Bindings that will expire, in the order in which they were made."""

    person: Column = column(np.int32)
    promoter: Column = column(np.int32)
    tick: Column = column(np.int32)


class Promoters:
    """The members of one referral programme.

    Parameters
    ----------
    scheme : Scheme
    config : ReferralConfig
        Of the scheme.

    Attributes
    ----------
    standing : Standing
    factors : float64 ndarray, shape (1 + grades,)
        What each grade multiplies commissions by; the first is for no grade.
    self_bindings, cycles : int
        Bindings that were refused.
    """

    def __init__(self, scheme: Scheme, config: ReferralConfig) -> None:
        self.scheme = scheme
        self.shop = shop = scheme.shop
        self.config = config
        self._purposes = purposes_of(scheme)
        self.standing = Standing()
        if config.daily_cap is not None:
            self.standing.hold("rewarded_today")
        if config.grades:
            self.standing.hold("invites", "sales", "grade")
        if config.binding_expires is not None:
            self.standing.hold("bound_tick")
        self.grow()
        self.self_bindings = self.cycles = 0
        self.factors = np.array([1.0, *(grade.factor for grade in config.grades)])
        expires = config.binding_expires
        self._expires = None if expires is None else shop.clock.ticks(expires)
        self._bindings = _Bindings()
        self._next_expiry = 0
        if config.appointed is not None:
            self.standing.enrolled[self._appoint(config.appointed, scheme.name)] = True

    def grow(self) -> None:
        """Give newcomers among the people a row."""
        newcomers = len(self.shop.people) - len(self.standing)
        if newcomers:
            self.standing.append(newcomers)

    def _draw(self, purpose: Purpose, uid: Array, obj: Any = 0, moment: int = 0) -> Array:
        """Return the programme's uniforms for persons."""
        return draws.uniform(self.shop.seed, Stream.REFERRAL, uid, obj, moment, purpose + self._purposes)

    # Who may promote.

    def _appoint(self, rule: Appointed, name: str) -> Array:
        """Choose the persons whom the shop appoints."""
        people = self.shop.people
        if rule.persons is not None:
            if max(rule.persons, default=0) >= len(people):
                raise ValueError(f"{name}.appointed.persons must be below {len(people)}, the number of persons.")
            return np.array(rule.persons, np.int64)
        count = rule.count if rule.count is not None else round((rule.share or 0.0) * len(people))
        if rule.by == "degree":
            return np.argsort(-np.diff(self.shop.graph.indptr), kind="stable")[:count]
        return np.argsort(self._draw(Purpose.APPOINTMENT, people.uid))[:count]

    def may_promote(self, persons: Array) -> Array:
        """Return a mask of the persons (-1: nobody) who earn commissions and bonuses now."""
        people, rule = self.shop.people, self.config.promoters
        if self._are_all_customers:
            customers: Array = _are_customers(people.status, persons)
            return customers
        if rule == "everyone":
            allowed = people.status[persons] != Status.PROSPECT
        elif rule == "spenders":
            allowed = people.spend[persons] >= self.config.min_spend
        else:
            self.grow()
            allowed = self.standing.enrolled[persons]
        if self.scheme.assignment is not None:
            allowed = allowed & self.scheme.admits(persons)
        result: Array = allowed & (persons >= 0)
        return result

    def for_promoters(self, persons: Array, amount: float) -> Array:
        """Return an amount for each of the persons who may promote, 0.0 for the others."""
        if self._are_all_customers:
            amounts: Array = _for_customers(self.shop.people.status, persons, float(amount))
            return amounts
        return np.where(self.may_promote(persons), amount, 0.0)

    def messages_by_kind(self, sharers: Array, kinds: Array) -> Array:
        """Count the messages of promoters by their kind, int64; ``kinds`` are numbers of :class:`ShareKind`."""
        if self._are_all_customers:
            counts: Array = _by_kind_from_customers(self.shop.people.status, sharers, kinds, len(ShareKind))
            return counts
        return np.bincount(kinds[self.may_promote(sharers)], minlength=len(ShareKind))

    @property
    def _are_all_customers(self) -> bool:
        """Whether everybody who ever signed up may promote."""
        return self.config.promoters == "everyone" and self.scheme.assignment is None

    def take_applications(self) -> None:
        """Let members apply, once a day; whom the shop would approve does not change by asking again."""
        people, shop = self.shop.people, self.shop
        persons = np.flatnonzero(people.is_member & ~self.standing.enrolled)
        uid = people.uid[persons]
        chance = -np.expm1(-(self.config.apply_rate or 0.0))
        applies = self._draw(Purpose.APPLICATION, uid, 0, shop.clock.day) < chance
        approved = self._draw(Purpose.APPROVAL, uid) < (self.config.approval or 0.0)
        self.standing.enrolled[persons[applies & approved]] = True

    # Who is bound to whom.

    def bind(self, persons: Array, promoters: Array) -> None:
        """Bind persons to promoters as the rules allow, in an order drawn by who is bound to whom."""
        if persons.size == 0:
            return
        shop, standing, tick = self.shop, self.standing, self.shop.clock.tick
        if persons.size > 1:
            purpose = np.uint32(Purpose.BINDING + self._purposes)
            persons, promoters = _by_lot(
                np.uint32(shop.seed), np.uint32(tick), purpose, persons, promoters, shop.people.uid
            )
        outcome, to_self, cycles = bind(
            standing.bound_to, standing.held("bound_tick"), persons, promoters, self.config.binding == "override", tick
        )
        self.self_bindings += to_self
        self.cycles += cycles
        if self._expires is not None:
            bound = outcome == BOUND
            self._bindings.append(int(bound.sum()), person=persons[bound], promoter=promoters[bound], tick=tick)

    def expire(self) -> None:
        """Unbind those whose binding ends in this tick."""
        if self._expires is None:
            return
        log, standing = self._bindings, self.standing
        end = int(np.searchsorted(log.tick, np.int32(self.shop.clock.tick - self._expires), side="right"))
        rows = np.arange(self._next_expiry, end)
        self._next_expiry = end
        person = log.person[rows]
        current = (standing.bound_tick[person] == log.tick[rows]) & (standing.bound_to[person] == log.promoter[rows])
        standing.bound_to[person[current]] = NONE

    # What they have achieved.

    def note_invitations(self, persons: Array, inviters: Array) -> Array:
        """Write down who invited whom and count it for each inviter; return who was not invited by themselves."""
        standing = self.standing
        invited: Array = _note_invitations(persons, inviters, standing.invited_by, standing.held("invites"))
        if self.config.grades:
            self._promote(inviters[persons != inviters])
        return invited

    def count_sales(self, buyers: Array, fen: Array) -> None:
        """Count final orders for those whom the buyers are bound to, who may reach a grade by it."""
        promoters = self.standing.bound_to[buyers]
        bound = promoters >= 0
        np.add.at(self.standing.sales, promoters[bound], fen[bound])
        self._promote(promoters[bound])

    def _promote(self, promoters: Array) -> None:
        """Give promoters the grades whose tasks they have done."""
        standing, reached = self.standing, np.zeros(promoters.size, np.int8)
        for grade in self.config.grades:
            reached += (standing.invites[promoters] >= grade.invites) & (standing.sales[promoters] >= grade.sales)
        standing.grade[promoters] = np.maximum(standing.grade[promoters], reached)

    def within_daily_cap(self, inviters: Array, invitees: Array, allowed: Array) -> Array:
        """Return a mask of the invitations, of those allowed, that the inviter is rewarded for today, and count these.

        Which of an inviter's invitations of one tick come first is drawn by who invited whom.
        """
        standing, cap = self.standing, self.config.daily_cap
        if cap is None:
            return allowed
        inviters, invitees = inviters[allowed], invitees[allowed]
        uid = self.shop.people.uid
        u = self._draw(Purpose.CAP, uid[invitees], uid[inviters], self.shop.clock.tick)
        order = np.lexsort((u, inviters))
        ranked = inviters[order]
        place = np.arange(ranked.size) - np.searchsorted(ranked, ranked)
        within = np.zeros(inviters.size, bool)
        within[order] = standing.rewarded_today[ranked] + place < cap
        np.add.at(standing.rewarded_today, inviters[within], np.int32(1))
        rewarded = allowed.copy()
        rewarded[allowed] = within
        return rewarded


@nb.njit(cache=True)
def _by_lot(seed, tick, purpose, persons, promoters, uid):  # type: ignore[no-untyped-def]
    """Return persons and promoters, int ndarrays of equal length, in an order drawn by who meets whom."""
    words = np.empty(persons.size, np.uint32)
    for n in range(persons.size):
        words[n] = philox(seed, _REFERRAL, uid[persons[n]], uid[promoters[n]], tick, purpose)[0]
    order = turns(words)
    return persons[order], promoters[order]


@nb.njit(cache=True)
def _are_customers(status, persons):  # type: ignore[no-untyped-def]
    """Return which of some persons (-1: nobody) ever signed up."""
    result = np.empty(persons.size, np.bool_)
    for n in range(persons.size):
        result[n] = persons[n] >= 0 and status[persons[n]] != _PROSPECT
    return result


@nb.njit(cache=True)
def _note_invitations(persons, inviters, invited_by, invites):  # type: ignore[no-untyped-def]
    """Write down who invited whom and count it, but for those who invited themselves; return the others.

    Parameters
    ----------
    persons, inviters : int32 ndarray, shape (n,)
    invited_by, invites : int32 ndarray, shape (persons,)
        Columns of :class:`Standing`, changed in place; ``invites`` may be empty: not counted.
    """
    invited = np.empty(persons.size, np.int32)
    size = 0
    for n in range(persons.size):
        if persons[n] != inviters[n]:
            invited_by[persons[n]] = inviters[n]
            if invites.size:
                invites[inviters[n]] += 1
            invited[size] = persons[n]
            size += 1
    return invited[:size].copy()


@nb.njit(cache=True)
def _for_customers(status, persons, amount):  # type: ignore[no-untyped-def]
    """Return an amount for each of some persons (-1: nobody) who ever signed up, 0.0 for the others."""
    result = np.zeros(persons.size)
    for n in range(persons.size):
        if persons[n] >= 0 and status[persons[n]] != _PROSPECT:
            result[n] = amount
    return result


@nb.njit(cache=True)
def _by_kind_from_customers(status, persons, kinds, count):  # type: ignore[no-untyped-def]
    """Count the kinds of what is from persons (-1: nobody) who ever signed up."""
    result = np.zeros(count, np.int64)
    for n in range(persons.size):
        if persons[n] >= 0 and status[persons[n]] != _PROSPECT:
            result[kinds[n]] += 1
    return result


KEPT, BOUND, TO_SELF, CYCLE = 0, 1, 2, 3


@nb.njit(cache=True)
def bind(bound_to, bound_tick, persons, promoters, override, tick):  # type: ignore[no-untyped-def]
    """Bind persons to promoters one after the other, keeping the bindings a forest.

    Parameters
    ----------
    bound_to, bound_tick : int32 ndarray
        Promoter of each person, -1 for none, and since when; changed in place. The moments may be empty: not noted.
    persons, promoters : int32 ndarray, shape (n,)
        In order of precedence.
    override : bool
        Whether a new binding replaces an old one.
    tick : int
        Now.

    Returns
    -------
    outcome : int8 ndarray, shape (n,)
        KEPT: was bound already; BOUND; TO_SELF: refused, to oneself; CYCLE: refused, to somebody below oneself.
    to_self, cycles : int
        How many were refused.
    """
    to_self = cycles = 0
    outcome = np.empty(persons.size, np.int8)
    for i in range(persons.size):
        person, above = persons[i], promoters[i]
        if person == above:
            outcome[i] = TO_SELF
            to_self += 1
            continue
        if bound_to[person] >= 0 and not override:
            outcome[i] = KEPT
            continue
        while above >= 0 and above != person:
            above = bound_to[above]
        if above == person:
            outcome[i] = CYCLE
            cycles += 1
            continue
        bound_to[person] = promoters[i]
        if bound_tick.size:
            bound_tick[person] = tick
        outcome[i] = BOUND
    return outcome, to_self, cycles


def chain_size(bound_to: Array) -> tuple[int, int]:
    """Return the largest number of persons below anyone, over all levels, and the number of levels.

    Parameters
    ----------
    bound_to : int32 ndarray
        Promoter of each person, -1 for none: a forest.
    """
    below = np.zeros(bound_to.size, np.int64)
    above, depth = bound_to[bound_to >= 0], 0
    while above.size:
        depth += 1
        below += np.bincount(above, minlength=bound_to.size)
        above = bound_to[above]
        above = above[above >= 0]
    return int(below.max(initial=0)), depth
