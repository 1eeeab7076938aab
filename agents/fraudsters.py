"""Fraud rings: accounts that were never people, opened while it pays.

A ring is a rational firm with limited knowledge. At every decision it reads the public rules
(:mod:`agents.bounties`), works out what one more account would bring under each plan, and opens a batch under the
best plan if that returns enough:

- farm sign-up bonuses: one of its accounts invites the new one;
- farm first-order bonuses and commissions: the new account also places the order that costs least after resale;
- cash in the newcomer coupon: the new account orders where the coupon weighs most, and the goods are resold;
- any of these together, which is what the best order usually is.

With ``a`` the chance to be let in, ``b`` and ``c`` the shares of promised bonuses and discounts that it believes to
get, a new account that orders a unit of list price p has::

    cost = account_cost + device + a (action_cost + p - resale p)
    income = a (b bonuses + c discount)

and one that only signs up has the same without p. The beliefs start at one, follow what happened to the last batch by
``learning``, and fall when rewards are cancelled or taken back later. A ring whose best plan returns no more than
``caution`` stops, and starts again when rules or beliefs make it worth while.

It learns the controls by running into them: a device on which a sign-up was refused takes no more accounts, new ones
are bought only if they pay; and when bonuses are refused, fewer invitations go through one account. Its own devices
share one address; a bought one comes with an address of its own.

Where not everyone may invite, a ring invites through those of its accounts that may, and reckons with no bonus before
it has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
import numpy.typing as npt

from agents.bounties import Bounty, read_rules, referrals
from sim.core import draws
from sim.core.draws import Stream
from sim.core.table import Column, Table, column
from sim.offers import NONE, Source
from sim.orders import OrderStatus
from sim.people import NEVER
from sim.schemes.commission import RewardState
from sim.schemes.referral import Referral

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
FEN = 100  # a yuan
_STEPS_OF_A_BATCH = 4  # ticks from a decision until sign-ups, orders and rewards have gone through
_AS_PROMISED = 0.99  # of the promised bonuses; below, a ring blames its pace


class Devices(Table):
    """Devices of all rings, one row each; the platform sees row r as device ``persons + r``."""

    ring: Column = column(np.int32)
    address: Column = column(np.int32)
    takes: Column = column(np.int32)  # accounts that the ring believes it takes


class Accounts(Table):
    """Accounts that one ring has opened, or tried to."""

    person: Column = column(np.int32)
    device: Column = column(np.int32)  # row of Devices
    product: Column = column(np.int32, fill=NONE)  # what it is to order first, -1: nothing
    invited: Column = column(np.int32)  # accounts that it has invited


@dataclass(frozen=True)
class Plan:
    """What to do with the next accounts; fen an account.

    Attributes
    ----------
    product : int
        To order, -1: only sign up.
    bonus, discount : float
        Promised by the rules.
    cost, profit : float
        Expected.
    """

    product: int
    bonus: float
    discount: float
    cost: float
    profit: float

    @property
    def name(self) -> str:
        """What the plan lives on."""
        if self.product < 0:
            return "sign_up_bonus"
        if self.discount <= 0:
            return "order_bonus"
        return "coupon" if self.bonus <= 0 else "coupon_and_bonus"


def create(shop: Shop) -> list[Ring]:
    """Create the rings of a run."""
    devices = Devices()
    return [Ring(shop, number, devices) for number in range(shop.config.fraud.rings)]


def metrics(shop: Shop) -> dict[str, float]:
    """Return what fraud brings its rings.

    ``ring_profit``
        Yuan, all rings together.
    ``ring_return``
        Profit over cost; NaN before any cost.
    ``rings_active``
        Rings whose last decision was to open accounts.
    """
    rings = list(shop.agents_by_type.get(Ring, ()))
    profit, cost = sum(r.profit for r in rings), sum(r.cost for r in rings)
    return {
        "ring_profit": profit / FEN,
        "ring_return": profit / cost if cost else float("nan"),
        "rings_active": float(sum(r.is_active for r in rings)),
    }


class Ring(mesa.Agent):  # type: ignore[misc]
    """A ring of accounts.

    Parameters
    ----------
    shop : Shop
    number : int
        From 0; addresses what is drawn about this ring.
    devices : Devices
        Of all rings.

    Attributes
    ----------
    accounts : Accounts
    admitted, bonus, discount : float
        Beliefs: the chance to be let in, the shares of promised bonuses and discounts that are got.
    pace : int
        Invitations that go through one account at a decision.
    spent : int
        Fen for accounts, devices and work.
    is_active : bool
        Whether the last decision was to open accounts.
    batches : dict of int
        Decisions to open accounts, by the name of the plan.
    """

    def __init__(self, shop: Shop, number: int, devices: Devices) -> None:
        super().__init__(shop)
        self.shop, self.number, self.devices = shop, number, devices
        self.config = config = shop.config.fraud
        self.accounts = Accounts()
        self.admitted = self.bonus = self.discount = 1.0
        self.pace = config.capacity
        self.spent = 0
        self.is_active = False
        self.batches: dict[str, int] = {}
        devices.append(config.devices, ring=number, address=shop.graph.persons + len(devices), takes=config.capacity)
        self._every = max(shop.clock.ticks(config.decide_every), _STEPS_OF_A_BATCH)
        self._enters = int(draws.integers(shop.seed, Stream.RING, number, shop.clock.ticks(config.enter)))
        self._to_order = np.zeros(0, np.int64)  # rows of accounts that are to order once they are in
        self._orders = np.zeros(0, np.int64)  # rows of the order book
        self._book_read = 0
        self._last: tuple[Plan, Array] | None = None  # the last batch: its plan and its accounts
        self._had = (0, 0)  # bonuses and discounts at the last decision

    # Turns.

    def step(self) -> None:
        """Let new accounts order; decide, if it is time."""
        since = self.shop.clock.tick - self._enters
        if since < 0:
            return
        if self._to_order.size:
            self._place_orders()
        if since % self._every == 0:
            self.learn()
            self.decide()

    def _place_orders(self) -> None:
        """Send the accounts that got in to the shop."""
        rows, self._to_order = self._to_order, self._to_order[:0]
        rows = rows[self._is_in(rows)]
        self.spent += rows.size * self.config.action_cost
        if rows.size:
            self.shop.queue_visits(self.accounts.person[rows], self.accounts.product[rows])

    def _is_in(self, rows: Array) -> Array:
        """Return which of the accounts were let in."""
        is_in: Array = self.shop.people.joined[self.accounts.person[rows]] > NEVER
        return is_in

    # Learning.

    def learn(self) -> None:
        """Compare what the last batch brought with what the rules promised, and what was taken back meanwhile."""
        bonuses, discounts = self._received()
        gained, saved = bonuses - self._had[0], discounts - self._had[1]
        self._had = bonuses, discounts
        promised_bonus = promised_discount = 0.0
        if self._last is not None:
            plan, rows = self._last
            is_in = self._is_in(rows)
            self.admitted += self.config.learning * (float(is_in.mean()) - self.admitted)
            self._note_refusals(rows, is_in)
            promised_bonus, promised_discount = plan.bonus * int(is_in.sum()), plan.discount * int(is_in.sum())
            if promised_bonus > 0 and gained < _AS_PROMISED * promised_bonus:
                self.pace = max(1, min(self.pace, rows.size) // 2)
        self.bonus = self._updated(self.bonus, gained, promised_bonus)
        self.discount = self._updated(self.discount, saved, promised_discount)
        self._last = None

    def _updated(self, belief: float, received: float, promised: float) -> float:
        """Return a belief after ``received`` of ``promised``; without a promise, only losses teach."""
        if promised <= 0 and received >= 0:
            return belief
        outcome = min(1.0, max(0.0, received / promised)) if promised > 0 else 0.0
        return belief + self.config.learning * (outcome - belief)

    def _note_refusals(self, rows: Array, is_in: Array) -> None:
        """Take a device on which a sign-up was refused to be full."""
        full = np.unique(self.accounts.device[rows[~is_in]])
        self.devices.takes[full] = self._held()[full]

    def _held(self) -> Array:
        """Return how many accounts of this ring each device carries."""
        rows = np.arange(len(self.accounts))
        return np.bincount(self.accounts.device[rows[self._is_in(rows)]], minlength=len(self.devices))

    def _received(self) -> tuple[int, int]:
        """Return the fen of bonuses and of discounts that the ring's accounts got, less what was taken back."""
        book = self.shop.book
        total = int(self.shop.people.benefit[self.accounts.person].sum())
        discounts = int(book.discount[self._kept_orders()].sum())
        return total - discounts, discounts

    def _kept_orders(self) -> Array:
        """Return the rows of the order book that are the ring's orders and were not undone."""
        book = self.shop.book
        fresh = np.arange(self._book_read, len(book))
        self._book_read = len(book)
        own = self.shop.people.ring[book.person[fresh]] == self.number
        self._orders = np.concatenate([self._orders, fresh[own]])
        undone = np.isin(book.status[self._orders], (OrderStatus.REFUNDED, OrderStatus.RETURNED))
        kept: Array = self._orders[~undone]
        return kept

    # Deciding.

    def decide(self) -> None:
        """Open a batch of accounts under the best plan, if it returns enough."""
        bounty = read_rules(self.shop)
        free = self._free_places()
        device = 0.0 if free.size else self.config.device_cost / self._places_of_a_new_device()
        leaders = self._leaders()
        plan = self.best_plan(bounty, device, invites=leaders.size > 0 or self._anyone_may_invite())
        count = min(self.config.batch, self.config.capacity - len(self.accounts))
        self.is_active = plan is not None and count > 0
        if plan is None or count <= 0:
            return
        if leaders.size == 0 and plan.bonus > 0:
            self._open(1, free, Plan(NONE, 0.0, 0.0, plan.cost, 0.0), leaders)  # somebody has to invite the others
        else:
            self._open(count, free, plan, leaders if plan.bonus > 0 else leaders[:0])
        self.batches[plan.name] = self.batches.get(plan.name, 0) + 1

    def best_plan(self, bounty: Bounty, device: float, invites: bool) -> Plan | None:
        """Return the plan that earns most an account among those that return more than ``caution``, None if none does.

        Parameters
        ----------
        bounty : Bounty
        device : float
            Fen for devices, an account.
        invites : bool
            Whether the ring has, or can have, an account that may invite.
        """
        config, products = self.config, self.shop.products
        price = np.concatenate([[0], products.price])
        bonus = np.concatenate([[0.0], bounty.on_order]) + bounty.on_sign_up if invites else np.zeros(price.size)
        discount = np.concatenate([[0], bounty.discount])
        work = np.where(np.arange(price.size) > 0, config.action_cost, 0)
        cost = config.account_cost + device + self.admitted * (work + (1 - config.resale) * price)
        profit = self.admitted * (self.bonus * bonus + self.discount * discount) - cost
        in_stock = np.concatenate([[True], products.stock > 0])
        profit[~in_stock | (profit <= config.caution * cost)] = -np.inf
        best = int(profit.argmax())
        if not np.isfinite(profit[best]):
            return None
        return Plan(best - 1, float(bonus[best]), float(discount[best]), float(cost[best]), float(profit[best]))

    def _leaders(self) -> Array:
        """Return the rows of accounts that may invite, those that have invited least first."""
        rows = np.arange(len(self.accounts))
        rows = rows[self._is_in(rows)]
        for scheme in referrals(self.shop):
            rows = rows[scheme.promoters.may_promote(self.accounts.person[rows])]
        return rows[np.argsort(self.accounts.invited[rows], kind="stable")]

    def _anyone_may_invite(self) -> bool:
        return all(scheme.config.promoters == "everyone" for scheme in referrals(self.shop))

    # Opening accounts.

    def _free_places(self) -> Array:
        """Return own devices (rows), each as often as it is believed to take another account; emptiest first."""
        mine = np.flatnonzero(self.devices.ring == self.number)
        held = self._held()[mine]
        free = np.clip(self.devices.takes[mine] - held, 0, self.config.batch)
        device, place = np.repeat(mine, free), np.arange(free.sum()) - np.repeat(np.cumsum(free) - free, free)
        return device[np.argsort(place + np.repeat(held, free), kind="stable")]

    def _places_of_a_new_device(self) -> int:
        """Return how many accounts a bought device is believed to take: as many as the best of its own."""
        takes = self.devices.takes[self.devices.ring == self.number]
        return max(1, int(takes.max()))

    def _open(self, count: int, free: Array, plan: Plan, leaders: Array) -> None:
        """Open accounts; without a free place on its devices, the ring buys new ones."""
        config, shop = self.config, self.shop
        if free.size == 0:
            places = self._places_of_a_new_device()
            number = -(-count // places)
            addresses = shop.graph.persons + len(self.devices) + np.arange(number)
            bought = self.devices.append(number, ring=self.number, address=addresses, takes=places)
            self.spent += number * config.device_cost
            free = np.repeat(bought, places)
        inviters = np.repeat(leaders, self.pace)[:count] if leaders.size else np.full(count, NONE)
        count = min(count, free.size, inviters.size)
        device, inviters = free[:count], inviters[:count]
        persons = shop.add_fakes(self.number, count, shop.graph.persons + device, self.devices.address[device])
        rows = self.accounts.append(count, person=persons, device=device, product=plan.product)
        self.spent += count * config.account_cost
        invited = inviters[inviters >= 0]
        np.add.at(self.accounts.invited, invited, 1)
        by = np.where(inviters >= 0, self.accounts.person[inviters], NONE)
        shop.queue_signups(persons, by, Source.RING)
        self._to_order = rows[self.accounts.product[rows] >= 0]
        self._last = plan, rows

    # Books.

    @property
    def cost(self) -> float:
        """Fen spent so far: on accounts, devices and work, and what goods lost by resale."""
        worth = int(self.shop.book.worth[self._kept_orders()].sum())
        return self.spent + (1 - self.config.resale) * worth

    @property
    def profit(self) -> float:
        """Fen earned so far: discounts, and rewards that were paid out, less the cost."""
        return sum(self._received()) - self._not_paid_out() - self.cost

    def _not_paid_out(self) -> int:
        """Return the fen of rewards that are frozen or still in wallets."""
        pending = 0
        for scheme in self.shop.schemes:
            if isinstance(scheme, Referral):
                rewards, wallet = scheme.payouts.rewards, scheme.payouts.purses.wallet
                mine = self.accounts.person
                frozen = (rewards.state == RewardState.FROZEN) & np.isin(rewards.person, mine)
                pending += int(rewards.amount[frozen].sum() + wallet[mine[mine < wallet.size]].sum())
        return pending
