"""Rewards that persons earn: booked frozen, released to a wallet, withdrawn, and taken back.

Read :mod:`sim.schemes.earnings` (what is earned) and :mod:`sim.schemes.rewards` (the tables) first, then
:class:`Payouts`, which moves the money::

    granted       PLATFORM, MERCHANTS -> FROZEN_COMMISSION    within the scheme's budget, in addressed order
    released      FROZEN_COMMISSION -> WALLETS                after the freeze; commissions once the order is final
    cancelled     FROZEN_COMMISSION -> PLATFORM, MERCHANTS    if risk control caught the account by then
    withdrawn     WALLETS -> SHARERS, fee to PLATFORM

Taking back, when the order that earned a reward is refunded: a frozen reward goes back to who paid it. Of a released
one, the platform takes what the earner's wallet holds (WALLETS -> PLATFORM); the rest becomes the earner's debt,
which is set against every later reward at the moment that it reaches the wallet. What no later reward pays back is a
loss, reported as ``unrecovered``. The merchant gets back the whole of their part at once: the platform bears the
risk.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from pydantic import model_validator

from sim.core import draws
from sim.core.clock import HOURS_A_DAY
from sim.core.config import Section, assume
from sim.core.draws import Stream
from sim.core.ledger import Account, share_of
from sim.core.scatter import add_each
from sim.core.units import Fen, Hours, PositiveFen, Share
from sim.schemes.earnings import Earnings, RewardKind
from sim.schemes.promoters import Purpose, purposes_of
from sim.schemes.rewards import (
    Purses,
    Rewards,
    RewardState,
    claw_back,
    end,
    of_orders,
    release,
    sorted_out,
    still_frozen,
)

if TYPE_CHECKING:
    from sim.schemes.base import Scheme

Array = npt.NDArray[Any]
BONUSES = (RewardKind.INVITER_BONUS, RewardKind.INVITEE_BONUS)
FOR_ORDERS = (RewardKind.COMMISSION, RewardKind.REBATE)
KEPT = (RewardState.FROZEN, RewardState.RELEASED)
_NO_ROWS = np.zeros(0, np.int64)


class Withdrawal(Section):
    """When and how wallets are paid out. Everybody withdraws as soon and as much as the rules let them."""

    every: Hours = assume(24.0, source="assumption", unit="between payouts, rounded up to whole days", ge=24.0)
    minimum: Fen = assume(100, source="assumption; payment platforms refuse less", unit="smallest withdrawal")
    maximum: PositiveFen | None = assume(None, source="no limit unless the scenario says so", unit="largest withdrawal")
    fee: Share = assume(0.0, source="no fee unless the scenario says so", unit="of what is withdrawn")
    fixed_fee: Fen = assume(0, source="no fee unless the scenario says so", unit="a withdrawal, beside the share")

    @model_validator(mode="after")
    def _lets_something_out(self) -> Withdrawal:
        if self.maximum is not None and self.maximum < self.minimum:
            raise ValueError("maximum must be at least minimum, the smallest withdrawal")
        return self


def payouts_of(schemes: Iterable[Scheme]) -> Iterator[tuple[Scheme, Payouts]]:
    """Yield the schemes that keep their rewards in :class:`Payouts`, with these."""
    for scheme in schemes:
        if isinstance(payouts := getattr(scheme, "payouts", None), Payouts):
            yield scheme, payouts


class Payouts:
    """Book-keeping of the rewards of one scheme; see the module's docstring.

    Parameters
    ----------
    scheme : Scheme
        Pays; its ``merchant_share`` of rewards for an order is paid by the order's merchant.
    freeze : float
        Hours between granting and release; ``risk.payout_freeze`` if that is longer.
    withdrawal : Withdrawal

    Attributes
    ----------
    freeze : int
        Ticks between granting and release.
    rewards : Rewards
    purses : Purses
    withdrawn, fees, debts_repaid : int
        Fen, so far.
    """

    def __init__(self, scheme: Scheme, freeze: float, withdrawal: Withdrawal) -> None:
        self.scheme = scheme
        self.shop = scheme.shop
        self.withdrawal = withdrawal
        hours = max(freeze, self.shop.config.risk.payout_freeze)
        self.freeze = self.shop.clock.ticks(hours) if hours > 0 else 0
        self._purposes = purposes_of(scheme)
        self._payout_days = math.ceil(withdrawal.every / HOURS_A_DAY)
        self.rewards = Rewards()
        self.purses = Purses(len(self.shop.people))
        self.withdrawn = self.fees = self.debts_repaid = 0
        self._next_due = 0  # rewards before this row have been due
        self._held = _NO_ROWS  # due bonuses whose order still waits for its team

    # Granting.

    def grant(self, earned: Earnings) -> Earnings:
        """Book rewards, frozen, as far as the budget and the merchants' funds go.

        Parameters
        ----------
        earned : Earnings
            None of zero fen; none for an order older than any of an earlier call.

        Returns
        -------
        Earnings
            Those that were granted.
        """
        earned = self._affordable(earned)
        if len(earned) == 0:
            return earned
        shop, person, pay = self.shop, earned.person, self.scheme.pay
        of_orders = slice(int(earned.order.searchsorted(0)), None)  # those of sign-ups stand before them
        order, amount = earned.order[of_orders], earned.amount[of_orders]
        latest = np.maximum(earned.order, self.rewards.latest[-1]) if len(self.rewards) else earned.order
        self._grow()
        rows = self.rewards.append(
            len(earned), person=person, origin=earned.origin, kind=earned.kind, level=earned.level, order=earned.order,
            latest=latest, amount=earned.amount, accrued=shop.clock.tick, due=shop.clock.tick + self.freeze,
        )  # fmt: skip
        if self.scheme.config.merchant_share > 0:
            merchant_part = self.rewards.merchant_part[rows[0] :]  # a view: none yet
            merchant_part[of_orders] = self.scheme.by_merchants(amount)
            pay(Account.FROZEN_COMMISSION, earned.amount - merchant_part, person)
            pay(Account.FROZEN_COMMISSION, merchant_part, person, source=Account.MERCHANTS)
            shop.merchant_books.charge(shop.book.merchant[order], merchant_part[of_orders])
        else:
            pay(Account.FROZEN_COMMISSION, earned.amount, person)
        shop.benefit(person, earned.amount, self.scheme.number, earned.origin)
        add_each(shop.book.rewards, order, amount)
        self.scheme.used += len(earned)
        return earned

    def _affordable(self, earned: Earnings) -> Earnings:
        """Keep what merchants still fund and the budget covers, in an order drawn by who earns what from whom."""
        scheme, shop = self.scheme, self.shop
        if scheme.config.merchant_share > 0 and len(earned):
            ordered = np.flatnonzero(earned.order >= 0)
            funded = np.ones(len(earned), bool)
            funded[ordered] = shop.merchant_books.funds[shop.book.merchant[earned.order[ordered]]]
            earned = earned.take(funded)
        if scheme.config.budget is None or len(earned) == 0:
            return earned
        uid = shop.people.uid
        k = Purpose.PRECEDENCE + len(Purpose) * (earned.kind + len(RewardKind) * earned.level.astype(np.int64))
        k += self._purposes
        turn = np.argsort(
            draws.uniform(shop.seed, Stream.REFERRAL, uid[earned.person], uid[earned.origin], shop.clock.tick, k),
            kind="stable",
        )
        covered = np.zeros(len(earned), bool)
        covered[turn] = scheme.within_budget(earned.amount[turn])
        return earned.take(covered)

    # Taking back.

    def claw_back(self, orders: Array) -> Array:
        """Take back the rewards of refunded orders (rows of the book) and return the rows of these rewards."""
        rewards, book = self.rewards, self.shop.book
        ended, released = claw_back(
            orders, np.int8(RewardState.CLAWED_BACK), rewards.person, rewards.origin, rewards.order, rewards.latest,
            rewards.amount, rewards.merchant_part, rewards.due, rewards.state, book.rewards,
        )  # fmt: skip
        frozen: Array = ended[0]
        if frozen.size:
            self._give_back(ended)
        if released.size == 0:
            return frozen
        self._recover(released)
        return np.concatenate([frozen, released])

    def _undo(self, rows: Array, state: RewardState) -> None:
        """Give frozen rewards back to who paid for them."""
        if rows.size:
            self._give_back(self._end(rows, state))

    def _give_back(self, ended: Array) -> None:
        """Give frozen rewards, which have just ended, back to who paid for them."""
        _, person, origin, amount, part = ended
        if self._relieve_merchants(ended):
            self.scheme.pay(Account.PLATFORM, amount - part, person, source=Account.FROZEN_COMMISSION)
            self.scheme.pay(Account.MERCHANTS, part, person, source=Account.FROZEN_COMMISSION)
        else:
            self.scheme.pay(Account.PLATFORM, amount, person, source=Account.FROZEN_COMMISSION)
        self.shop.benefit(person, -amount, self.scheme.number, origin)

    def _recover(self, rows: Array) -> None:
        """Take released rewards from their earners' wallets, or make them debts."""
        purses, ended = self.purses, self._end(rows, RewardState.CLAWED_BACK)
        _, person, origin, amount, part = ended
        merchants_paid = self._relieve_merchants(ended)
        persons, first, at = np.unique(person, return_index=True, return_inverse=True)
        wanted = np.zeros(persons.size, np.int64)
        add_each(wanted, at, amount)
        there = np.clip(purses.balance[persons], 0, wanted)
        purses.balance[persons] -= wanted
        self._collect(persons, there, origin[first])
        if merchants_paid:
            self.scheme.pay(Account.MERCHANTS, part, person, source=Account.PLATFORM)

    def _end(self, rows: Array, state: RewardState) -> Array:
        """Let rewards end, off the accounts of the orders that caused them; see :func:`sim.schemes.rewards.end`."""
        rewards = self.rewards
        ended: Array = end(
            rows, np.int8(state), rewards.person, rewards.origin, rewards.order, rewards.amount, rewards.merchant_part,
            rewards.state, self.shop.book.rewards,
        )  # fmt: skip
        return ended

    def _relieve_merchants(self, ended: Array) -> bool:
        """Take rewards that have ended off the accounts of their orders' merchants; return whether these had a part."""
        rows, part = ended[0], ended[4]
        by_merchants = part > 0
        if not by_merchants.any():
            return False
        order = self.rewards.order[rows[by_merchants]]
        self.shop.merchant_books.charge(self.shop.book.merchant[order], -part[by_merchants])
        return True

    def _collect(self, persons: Array, fen: Array, origins: Array | None = None) -> None:
        """Book what the platform takes from wallets, each person's once.

        ``origins`` are those whose orders had earned it; of several of a person one stands for all.
        """
        self.scheme.pay(Account.PLATFORM, fen, persons, source=Account.WALLETS)
        self.shop.benefit(persons, -fen, self.scheme.number, origins)

    # Releasing and paying out.

    def confirm(self, orders: Array) -> None:
        """Release the rewards of final orders (rows of the book) whose freeze is over."""
        rewards, tick = self.rewards, self.shop.clock.tick
        rows, _ = of_orders(
            orders, tick, rewards.order, rewards.latest, rewards.state, rewards.due, self.shop.book.rewards
        )
        if rows.size == 0:
            return
        withheld = self._is_withheld(rows)
        if withheld.any():
            self._held = np.concatenate([self._held, rows[withheld]])
            rows = rows[~withheld]
        self._release(rows)

    def close(self) -> None:
        """Release what falls due in this tick and may be released; pay out at the end of a payout day."""
        rewards, clock = self.rewards, self.shop.clock
        due = int(rewards.due.searchsorted(np.int32(clock.tick), side="right"))  # those before this row are
        if self._held.size or due > self._next_due:
            rows = still_frozen(self._held, self._next_due, due, rewards.state)
            free, self._held = sorted_out(
                rows, self._is_withheld(rows), rewards.kind, rewards.order, self.shop.book.status
            )
            self._release(free)
        self._next_due = due
        if clock.ends_day and (clock.day + 1) % self._payout_days == 0:
            self._withdraw()

    def _is_withheld(self, rows: Array) -> Array:
        """Return which rewards wait for the review desk: their earner, or who earned it for them, is looked into."""
        risk, rewards = self.shop.risk, self.rewards
        if risk.casework is None:
            return np.zeros(rows.size, bool)
        withheld: Array = risk.withholds(rewards.person[rows]) | risk.withholds(rewards.origin[rows])
        return withheld

    def _release(self, rows: Array) -> None:
        rewards, purses, risk = self.rewards, self.purses, self.shop.risk
        if rows.size and self.shop.config.risk.freeze_check:
            caught = risk.caught(np.concatenate([rewards.person[rows], rewards.origin[rows]]))
            if caught.any():
                caught = caught[: rows.size] | caught[rows.size :]
                self._undo(rows[caught], RewardState.CANCELLED)
                rows = rows[~caught]
        if rows.size == 0:
            return
        released, owes = release(rows, rewards.person, rewards.amount, rewards.state, purses.balance)
        person, amount, to_debts = released
        self.scheme.pay(Account.WALLETS, amount, person, source=Account.FROZEN_COMMISSION)
        if not owes:
            return
        debtors, at = np.unique(person[to_debts > 0], return_inverse=True)
        repaid = np.zeros(debtors.size, np.int64)
        add_each(repaid, at, to_debts[to_debts > 0])
        self._collect(debtors, repaid)
        self.debts_repaid += int(repaid.sum())

    def _withdraw(self) -> None:
        rule, balance = self.withdrawal, self.purses.balance
        persons = np.flatnonzero(balance >= max(1, rule.minimum))
        amount = balance[persons] if rule.maximum is None else np.minimum(balance[persons], rule.maximum)
        fee = share_of(amount, rule.fee) + rule.fixed_fee
        worthwhile = fee < amount
        persons, amount, fee = persons[worthwhile], amount[worthwhile], fee[worthwhile]
        if persons.size == 0:
            return
        balance[persons] -= amount
        self.scheme.pay(Account.PLATFORM, fee, persons, source=Account.WALLETS)
        self.withdrawn += self.scheme.pay(Account.SHARERS, amount - fee, persons, source=Account.WALLETS)
        self.fees += int(fee.sum())
        self.shop.benefit(persons, -fee, self.scheme.number)

    def _grow(self) -> None:
        """Give newcomers a purse."""
        newcomers = len(self.shop.people) - len(self.purses)
        if newcomers:
            self.purses.append(newcomers)

    # Figures.

    def total(self, kinds: tuple[RewardKind, ...] = tuple(RewardKind), states: tuple[RewardState, ...] = KEPT) -> int:
        """Return the fen of rewards of the given kinds in the given states."""
        rewards = self.rewards
        return int(rewards.amount[np.isin(rewards.kind, kinds) & np.isin(rewards.state, states)].sum())

    def kept(self) -> Array:
        """Return the rows of rewards that were not taken back or cancelled."""
        return np.flatnonzero(np.isin(self.rewards.state, KEPT))
