"""What risk control decides: which sign-ups, orders and rewards pass, and which accounts are flagged at night.

It sees what a platform logs (devices, addresses, moments, inviters, discounts), never who is fake. What is not
configured is not done:

==========================  =========================================================================================
``accounts_per_device``     sign-ups beyond so many accounts on a device are refused; at night every account of a device
                            that was tried for more is flagged
``accounts_per_address``    the same for addresses
``accounts_per_payment``    once so many accounts have paid from an account, others get no discount with it, and are
                            told so
``account_age``             younger accounts get no discount, and no reward for whom they invited
``invites_per_day``         rewards for more invitations of one member in a day are refused; at night the member is
                            flagged
``payout_freeze``           rewards wait at least so long (kept by the schemes that pay them)
``freeze_check``            frozen rewards of flagged accounts are cancelled when they fall due (asked by the schemes)
``detector``, ``policy``    accounts are judged by what a model learnt from the logs (:mod:`sim.risk.policy`)
``review``, ``appeals``     people look into cases, and can correct what was wrong (:mod:`sim.risk.casework`)
==========================  =========================================================================================

A flagged account may still buy, at list price: its orders with a discount and its rewards are refused. Whoever is
refused is disappointed, honest or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.core import draws
from sim.core.draws import Stream
from sim.core.table import Column, Table, column
from sim.people import Status
from sim.risk import scoring
from sim.risk.casework import Casework
from sim.risk.policy import Policy
from sim.risk.rules import NO_LIMIT, NOT_YET, admitted_signups, discounts_allowed, judge, rewards_allowed, suspects

if TYPE_CHECKING:
    from sim.offers import Orders, Signups
    from sim.shop import Shop

Array = npt.NDArray[Any]
_NOBODY = np.zeros(0, bool)
_NO_TRIES = np.zeros(0, np.int32)


class Cases(Table):
    """What risk control did to each person, one row a row of People; moments in ticks."""

    attempts: Column = column(np.int32)  # sign-ups, orders and rewards that were judged
    refused: Column = column(np.int32)
    invited_today: Column = column(np.int32, on_demand=True)  # rewards asked for invitations today, if limited
    flagged: Column = column(np.bool_)
    # If those who pay from one payment account are limited: whether it counts among them, and whether it was refused a
    # discount because of others.
    paid: Column = column(np.bool_, on_demand=True)
    must_pay_otherwise: Column = column(np.bool_, on_demand=True)
    caught: Column = column(np.int32, fill=NOT_YET)  # flagged, or refused at sign-up


class Tally(Table):
    """How many accounts there are on each device (or address), a row each, and how many were tried.

    Parameters
    ----------
    limit : int or None
        Accounts allowed on one.
    used : int ndarray
        The device of every account that exists already.
    """

    accounts: Column = column(np.int32)
    known: Column = column(np.int32, on_demand=True)  # before tries were counted, if there is a limit
    tried: Column = column(np.int32, on_demand=True)

    def __init__(self, limit: int | None, used: Array) -> None:
        super().__init__()
        self.limit = limit
        there = np.bincount(used)
        self.append(there.size, accounts=there)
        self.start()

    def start(self) -> None:
        """Count tries from now on; what accounts there are already is nobody's guilt."""
        if self.limit is not None:
            self.hold("known", "tried")
            self.known[:] = self.accounts
            self.tried[:] = 0

    def admit(self, devices: Array, precedence: Array) -> Array:
        """Return a mask of the accounts for which there is room, and note that all were tried."""
        if self.limit is None:
            return np.ones(devices.size, bool)
        self._fit(devices)
        np.add.at(self.tried, devices, np.int32(1))
        admitted: Array = self.accounts[devices] + rank_within(devices, precedence) < self.limit
        return admitted

    def places(self, devices: Array) -> tuple[Array, int, Array, Array]:
        """Return the devices of sign-ups, the limit, and both counts, as :func:`sim.risk.rules.admitted_signups` takes
        them. Tries are not counted where there is no limit.
        """
        self._fit(devices)
        if self.limit is None:
            return devices, NO_LIMIT, self.accounts, _NO_TRIES
        return devices, self.limit, self.accounts, self.tried

    def add(self, devices: Array) -> None:
        """Note new accounts."""
        self._fit(devices)
        np.add.at(self.accounts, devices, np.int32(1))

    def overrun(self, devices: Array) -> Array:
        """Return a mask over all devices up to the last of those given: which were tried for more accounts than are
        allowed. Not those on which nobody has signed up since the limit holds, however many accounts they carry.
        """
        self._fit(devices)
        if self.limit is None:
            return np.zeros(len(self), bool)
        over: Array = (self.tried > 0) & (self.known + self.tried > self.limit)
        return over

    def _fit(self, devices: Array) -> None:
        if (more := int(devices.max(initial=-1)) + 1 - len(self)) > 0:
            self.append(more)


class RiskControl:
    """Risk control of one run.

    Parameters
    ----------
    shop : Shop

    Attributes
    ----------
    cases : Cases
    casework : Casework or None
        If there is a review desk or a detector.
    policy : Policy or None
        If there is a detector.
    totals : dict of int
        Sign-ups, orders and rewards refused, accounts flagged.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.config = shop.config.risk
        people = shop.people
        accounts = people.status != Status.PROSPECT
        self.devices = Tally(self.config.accounts_per_device, people.device[accounts])
        self.addresses = Tally(self.config.accounts_per_address, people.address[accounts])
        self.payments = Tally(self.config.accounts_per_payment, people.payment[:0])
        self._age = shop.clock.ticks(self.config.account_age) if self.config.account_age else 0
        limits = (
            self.config.accounts_per_device, self.config.accounts_per_address, self.config.accounts_per_payment,
            self.config.invites_per_day, self._age or None,
        )  # fmt: skip
        self.cases = Cases()
        if self.config.invites_per_day is not None:
            self.cases.hold("invited_today")
        if self.config.accounts_per_payment is not None:
            self.cases.hold("paid", "must_pay_otherwise")
        learns, reviews = self.config.detector is not None, self.config.review is not None
        self.casework = Casework(shop, self.cases) if learns or reviews else None
        self.policy = Policy(shop, self.casework) if learns and self.casework is not None else None
        self.is_active = any(limit is not None for limit in limits) or self.casework is not None
        self.totals = {"signups_refused": 0, "orders_refused_by_risk": 0, "rewards_refused": 0, "accounts_flagged": 0}

    @property
    def is_out(self) -> bool:
        """Whether an outage lets everybody pass; accounts and attempts are still counted."""
        return self.shop.shocks.detector_is_out

    def admit_signups(self, signups: Signups) -> Array:
        """Return a mask of the sign-ups that are let in, shape of the batch, each person at most once."""
        person = signups.person
        if not self.is_active or person.size == 0:
            return np.ones(person.size, bool)
        self._fit()
        people, cases, shop = self.shop.people, self.cases, self.shop
        device, address = people.device[person], people.address[person]
        admitted: Array
        admitted, refused = admitted_signups(
            np.uint32(shop.seed), shop.clock.tick, person, people.uid, self.is_out,
            _NOBODY if self.casework is None else self.casework.bars(person),
            self.devices.places(device), self.addresses.places(address),
            cases.attempts, cases.refused, cases.caught,
        )  # fmt: skip
        self._note_refused("signups_refused", refused)
        return admitted

    def screen(self, orders: Orders) -> Array:
        """Return a mask of the orders that pass: a flagged account gets no discount, nor does one that is too young or
        pays from where too many others do. The orders come in order of precedence.
        """
        if not self.is_active or len(orders) == 0:
            return np.ones(len(orders), bool)
        self._fit()
        flagged, joined = self.cases.flagged, self.shop.people.joined
        passed: Array = discounts_allowed(orders.person, orders.discount, flagged, joined, self._latest)
        if self.is_out:
            passed[:] = True
        elif self.payments.limit is not None:
            passed &= self._may_pay(orders.person, orders.discount.any(axis=1) & passed)
        if self.policy is not None and not self.is_out:
            passed &= self.policy.screen(orders, flagged[orders.person])
        self._judge(orders.person, passed, "orders_refused_by_risk")
        return passed

    @property
    def _latest(self) -> int:
        """The last tick in which accounts were opened that are old enough now."""
        return self.shop.clock.tick - self._age

    def _may_pay(self, persons: Array, discounted: Array) -> Array:
        """Return a mask of those who may pay from where they do: all but discounted ones of too many accounts."""
        passed = np.ones(persons.size, bool)
        rows = np.flatnonzero(discounted & ~self.cases.paid[persons])
        passed[rows] = self.payments.admit(self.shop.people.payment[persons[rows]], rows)
        self.cases.must_pay_otherwise[persons[~passed]] = True
        return passed

    def must_pay_otherwise(self, persons: Array) -> Array:
        """Return a mask of those who were told that too many others pay from their payment account."""
        if self.payments.limit is None:
            return np.zeros(len(persons), bool)
        self._fit()
        told: Array = self.cases.must_pay_otherwise[persons]
        return told

    def recount_payments(self) -> None:
        """Let a limit that is new know who has paid from which account so far."""
        self._fit()
        payers = np.unique(self.shop.book.person)
        self.payments = Tally(self.config.accounts_per_payment, self.shop.people.payment[payers])
        self.cases.paid[payers] = True

    def reward_allowed(self, inviters: Array, invitees: Array) -> Array:
        """Return a mask of the rewards for invitations that may be booked.

        Parameters
        ----------
        inviters, invitees : int ndarray, shape (n,)
            Persons. Within a tick, who of an inviter's many invitees still counts is an addressed draw.
        """
        if not self.is_active or len(inviters) == 0:
            return np.ones(len(inviters), bool)
        self._fit()
        cases = self.cases
        allowed: Array = rewards_allowed(inviters, invitees, cases.flagged, self.shop.people.joined, self._latest)
        if self.config.invites_per_day is not None:
            uid, tick = self.shop.people.uid[invitees], self.shop.clock.tick
            precedence = draws.uniform(self.shop.seed, Stream.RISK, uid, 0, tick, 1)
            allowed &= cases.invited_today[inviters] + rank_within(inviters, precedence) < self.config.invites_per_day
            np.add.at(cases.invited_today, inviters, np.int32(1))
        if self.is_out:
            allowed[:] = True
        if self.policy is not None:
            self.policy.note_benefits(np.concatenate([inviters[allowed], invitees[allowed]]))
        self._judge(inviters, allowed, "rewards_refused")
        return allowed

    def caught(self, persons: Array) -> Array:
        """Return a mask of the persons who are flagged; schemes ask it of frozen rewards if ``freeze_check`` is on."""
        if not self.is_active or self.is_out:
            return np.zeros(len(persons), bool)
        self._fit()
        flagged: Array = self.cases.flagged[persons]
        return flagged

    def withholds(self, persons: Array) -> Array:
        """Return a mask of the persons whose payouts wait for the review desk."""
        return np.zeros(len(persons), bool) if self.casework is None else self.casework.withholds(persons)

    def holds(self, rows: Array) -> Array:
        """Return a mask of the orders (rows of the book) that must not ship yet; cancel those that never will."""
        if self.casework is None:
            return np.zeros(rows.size, bool)
        self.casework.cancel_condemned()
        return self.casework.holds(rows)

    def note_visits(self, persons: Array) -> None:
        """Note who comes in this tick, each once."""
        if self.policy is not None:
            self.policy.note_visits(persons)

    def note_orders(self, orders: Orders) -> None:
        """Note who pays from where; hold accepted orders that are to be held."""
        if self.payments.limit is not None:
            new = orders.person[~self.cases.paid[orders.person]]
            self.payments.add(self.shop.people.payment[new])
            self.cases.paid[new] = True
        if self.policy is not None:
            self.policy.hold(orders)

    def nightly(self) -> None:
        """Flag accounts by what yesterday's logs show, and start the day's counts."""
        if not self.is_active:
            return
        self._fit()
        people, cases = self.shop.people, self.cases
        most_invited = NO_LIMIT if self.config.invites_per_day is None else self.config.invites_per_day
        rows: Array = suspects(
            people.joined, cases.flagged, cases.invited_today, most_invited,
            people.device, self.devices.overrun(people.device), people.address, self.addresses.overrun(people.address),
        )  # fmt: skip
        rows = rows[:0] if self.is_out else rows
        cases.flagged[rows] = True
        if self.casework is not None:
            self.casework.hurt(rows)
        if self.policy is not None:
            self.policy.nightly(self.is_out)
        self._catch(rows)
        self._total("accounts_flagged", rows.size)
        if self.config.invites_per_day is not None:
            cases.invited_today[:] = 0

    def metrics(self) -> dict[str, float]:
        """Return how right the decisions were, by the ground truth, and how many there were."""
        totals = {name: float(number) for name, number in self.totals.items()}
        return scoring.score(self.shop, self) | totals | (self.casework.metrics() if self.casework is not None else {})

    def _judge(self, person: Array, passed: Array, name: str) -> None:
        self._note_refused(name, judge(person, passed, self.cases.attempts, self.cases.refused))

    def _note_refused(self, name: str, refused: Array) -> None:
        self._total(name, refused.size)
        if refused.size:
            self.shop.disappoint(refused)

    def _catch(self, person: Array) -> None:
        if person.size == 0:
            return
        caught = self.cases.caught
        caught[person] = np.where(caught[person] == NOT_YET, self.shop.clock.tick, caught[person])

    def _total(self, name: str, number: int) -> None:
        self.totals[name] += number
        self.shop.count(name, number)

    def _fit(self) -> None:
        missing = len(self.shop.people) - len(self.cases)
        if missing > 0:
            self.cases.append(missing)
        if self.casework is not None:
            self.casework.fit()
        if self.policy is not None:
            self.policy.fit()


def rank_within(groups: Array, precedence: Array) -> Array:
    """Return each element's rank (from 0) among those of its group, lowest precedence number first.

    Parameters
    ----------
    groups : int ndarray, shape (n,)
    precedence : float ndarray, shape (n,)
    """
    order = np.lexsort((precedence, groups))
    ordered = groups[order]
    first = np.searchsorted(ordered, ordered)
    ranks = np.empty(groups.size, np.int64)
    ranks[order] = np.arange(groups.size) - first
    return ranks
