"""Fraud rings: accounts that were never people, opened while it pays.

A ring is a rational firm with limited knowledge. It has a playbook: the sequences of permitted actions that pay best
under the schemes that run now, found by rehearsal (:mod:`agents.playbooks`), and it can hide nothing, half or all of
what it knows to hide (:mod:`agents.hiding`). At every decision it works out what each course, a plan so hidden, would
bring an account, and opens a batch of groups of accounts under the best if that returns enough. A group then does the
plan's steps one by one: sign up, invite, order, join each other's teams, send goods back.

With ``a`` the chance to be let in, and ``b`` and ``c`` the shares of promised rewards and discounts that it believes to
get, a group of n new accounts that buys and keeps goods of list price p expects::

    cost = n (account_cost + device + disguise) + a (orders action_cost + p - resale p)
    income = a (b rewards + c discounts)

The beliefs start at one, or lower if a ring suspects controls, and follow what happened (:mod:`agents.beliefs`); they
fall when rewards are cancelled or taken back later. So a ring begins openly, and hides when it is caught. If its best
course returns no more than ``caution``, it stops, and starts again when rules or beliefs make it worth while. A course
is tried by one group first; while that is under way, only courses that have been tried are taken. Then a ring grows as
it sees groups come through, up to ``batch`` accounts at a decision.

It learns the controls by running into them: a device on which a sign-up was refused takes no more accounts, new ones
are bought only if they pay; and an account through which it invited serves again as long as that brought what was
promised. Its own devices share one address; one bought because others are full comes with an address of its own. How
accounts are made to look like honest newcomers is in :mod:`agents.hiding`, when they do what in :mod:`agents.errands`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
import numpy.typing as npt

from agents import hiding
from agents.beliefs import Beliefs
from agents.errands import Errands, carry_out
from agents.playbooks import Course, Market
from agents.prospects import most_profitable, profit_and_cost, work_of
from agents.recruiting import count_free_places, open_groups, places_of_a_new_device
from agents.ring_tables import (
    Accounts,
    Devices,
    Groups,
    carried,
    have_inviters,
    inviters,
    judgeable,
    newly_asked,
    orders_of,
    received_by_group,
    whose_turn,
)
from sim.core import draws
from sim.core.draws import Stream
from sim.offers import NONE, Source
from sim.orders import OrderStatus
from sim.people import NEVER
from sim.schemes.commission import payouts_of
from sim.schemes.rewards import RewardState

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
FEN = 100  # a yuan
_STEPS_OF_A_BATCH = 4  # ticks from a decision until sign-ups, orders and rewards have gone through
_GROWTH = 2
_AS_PROMISED = 0.99  # of the promised rewards; below, the account through which they came serves no more


def create(shop: Shop) -> list[Ring]:
    """Create the rings of a run: those that discover the shop by and by, and those of attacks (:mod:`sim.shocks`)."""
    devices, market, config = Devices(), Market(shop), shop.config.fraud
    numbers = np.arange(config.rings)
    found = draws.integers(shop.seed, Stream.RING, numbers, shop.clock.ticks(config.enter))
    entries = [*found.tolist(), *shop.shocks.entries()]
    return [Ring(shop, number, devices, market, tick) for number, tick in enumerate(entries)]


def metrics(shop: Shop) -> dict[str, float]:
    """Return what fraud brings its rings.

    ``ring_profit``
        Yuan, all rings together.
    ``ring_return``
        Profit over cost; NaN before any cost.
    ``rings_active``
        Rings that had a plan worth playing, or one on trial, at their last decision.
    ``ring_hiding``
        Of all facets that accounts of rings can be told by, the share that is disguised; NaN without accounts.
    """
    rings = list(shop.agents_by_type.get(Ring, ()))
    profit, cost = sum(r.profit for r in rings), sum(r.cost for r in rings)
    facets = sum(r.accounts.hidden.size for r in rings)
    return {
        "ring_profit": profit / FEN,
        "ring_return": profit / cost if cost else float("nan"),
        "rings_active": float(sum(r.is_active for r in rings)),
        "ring_hiding": sum(float(r.accounts.hidden.sum()) for r in rings) / facets if facets else float("nan"),
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
    market : Market
        The plans, for all rings.
    enters : int
        Tick at which it discovers the shop, and gets its devices.

    Attributes
    ----------
    accounts : Accounts
    groups : Groups
    errands : Errands
        What the accounts still do.
    beliefs : Beliefs
    spent : int
        Fen for accounts, devices and work.
    is_active : bool
        Whether it was for going on at the last decision.
    wakes : float
        Tick before which a step would do nothing (:meth:`sim.shop.Shop.step`).
    """

    def __init__(self, shop: Shop, number: int, devices: Devices, market: Market, enters: int) -> None:
        super().__init__(shop)
        self.shop, self.number, self.devices, self.market, self._enters = shop, number, devices, market, enters
        self.config = config = shop.config.fraud
        self.accounts, self.groups, self.errands = Accounts(), Groups(), Errands()
        self.beliefs = Beliefs(config.learning, config.suspicion, hiding.choices(config))
        self.spent = 0
        self.is_active = False
        self.wakes: float = 0
        self._every = max(shop.clock.ticks(config.decide_every), _STEPS_OF_A_BATCH)
        self._orders = np.zeros(0, np.int64)  # rows of the order book
        self._book_read = 0

    # Turns.

    def step(self) -> None:
        """Decide, if it is time; let accounts do what is due, and look around."""
        tick = self.shop.clock.tick
        since = tick - self._enters
        if since < 0:
            self.wakes = self._enters
            return
        if since == 0:
            self._settle_in()
        if since % self._every == 0:
            self.learn()
            self.decide()
        if self.accounts.any_pretends() or self.errands.next_due(tick) == tick:
            due, idle = self._whose_turn()
            if due.size:
                self._run_errands(due)
            if idle.size:
                self.shop.queue_visits(idle, np.full(idle.size, NONE))
        self.wakes = self._next_turn(tick)

    def _next_turn(self, tick: int) -> float:
        """Return the next tick in which there is anything to decide or to do."""
        if self.accounts.any_pretends():
            return tick + 1
        return min(self.errands.next_due(tick + 1), tick + self._every - (tick - self._enters) % self._every)

    def _settle_in(self) -> None:
        """Get the first devices, all at one address."""
        address = self.shop.graph.persons + 2 * len(self.devices)
        self.devices.append(self.config.devices, ring=self.number, address=address, takes=self.config.capacity)

    @property
    def home(self) -> int:
        """The address of the first devices."""
        return int(self.devices.address[(self.devices.ring == self.number).argmax()])

    def _run_errands(self, due: Array) -> None:
        """Let accounts do what is due now (rows of the errands), as far as they are in."""
        shop, accounts, errands, book = self.shop, self.accounts, self.errands, self.shop.book
        opens, invited_by, visits, back = carry_out(
            shop.clock.tick, due, errands.deed, errands.account, errands.other, errands.product, errands.units,
            accounts.group, accounts.person, accounts.inviter, accounts.signs_up, shop.people.joined,
            self._own_orders(), book.person, book.team,
        )  # fmt: skip
        if opens.size:
            shop.queue_signups(opens, invited_by, Source.RING)
        if visits.size:
            who, product, team, units = visits
            self.spent += who.size * self.config.action_cost
            shop.queue_visits(who, product, team, units)
        if back.size:
            self.spent += back.size * self.config.action_cost
            book.will_return[back[book.status[back] < OrderStatus.DELIVERED]] = True

    def _whose_turn(self) -> tuple[Array, Array]:
        """Return the errands that are due now (rows), and the persons who only come to look around."""
        shop, accounts, errands = self.shop, self.accounts, self.errands
        turn: tuple[Array, Array] = whose_turn(
            np.uint32(shop.seed), np.uint32(shop.clock.tick), errands.due, errands.account,
            accounts.person, accounts.product, accounts.orders, accounts.hidden, accounts.looks_around,
            shop.people.uid, shop.people.joined,
        )  # fmt: skip
        return turn

    # Learning.

    def learn(self) -> None:
        """Compare what groups brought with what the rules promised, and note what was taken back meanwhile."""
        groups, accounts, tick = self.groups, self.accounts, self.shop.clock.tick
        if len(groups) == 0:
            return
        bonus, discount, to_come = self._received_by_group()
        received = bonus + discount
        asked = newly_asked(tick, accounts.asked, accounts.signs_up)
        if asked.size:
            is_in = self.shop.people.joined[accounts.person[asked]] > NEVER
            self.beliefs.learn_admission(is_in)
            self._note_refusals(asked[~is_in])
        told = self._note_full_wallets()
        rows, inside = judgeable(
            tick, received, to_come, groups.over, groups.judged, groups.had, accounts.group, accounts.person,
            self.shop.people.joined, told,
        )  # fmt: skip
        if rows.size == 0:
            return
        whole = rows[groups.judged[rows] | (inside[rows] == 1.0)]  # others failed for another reason
        self.beliefs.learn_shares(
            groups.hidden[whole], (bonus[whole], groups.bonus[whole]), (discount[whole], groups.discount[whole])
        )
        self._judge(rows, received[rows], (inside * (groups.bonus + groups.discount))[rows])
        groups.judged[rows] = True
        groups.had[rows] = received[rows]

    def _judge(self, rows: Array, received: Array, promised: Array) -> None:
        """Learn of each course what controls took of some of its groups; who invited in vain does not serve again."""
        anything = promised > 0
        rows, share = rows[anything], received[anything] / promised[anything]
        kept = np.minimum(np.maximum(share, 0.0), 1.0)
        self.beliefs.learn_courses(self.groups.course[rows], kept)
        self.accounts.serves[self.groups.root[rows[kept < _AS_PROMISED]]] = False

    def _note_refusals(self, refused: Array) -> None:
        """Take a device on which a sign-up was refused to be full."""
        if refused.size == 0:
            return
        full = self.accounts.device[refused]
        self.devices.takes[full] = self.held()[full]

    def _note_full_wallets(self) -> Array:
        """Take a device to be full from whose wallet no more accounts may pay; return which accounts were told so."""
        told = self.shop.risk.must_pay_otherwise(self.accounts.person)
        if told.any():
            full = np.unique(self.accounts.device[told])
            pays = self.accounts.device[np.unique(self._account_of(self._own_orders()))]
            paying = np.bincount(pays, minlength=len(self.devices))[full]
            self.devices.takes[full] = np.minimum(self.devices.takes[full], np.maximum(paying, 1))
        return told

    def held(self) -> Array:
        """Return how many accounts of this ring each device carries, or is to carry."""
        accounts = self.accounts
        held: Array = carried(
            len(self.devices), self.shop.clock.tick, accounts.device, accounts.signs_up, accounts.person,
            self.shop.people.joined,
        )  # fmt: skip
        return held

    def _received_by_group(self) -> tuple[Array, Array, Array]:
        """Return the fen of rewards and discounts that each group brought, and how many of its orders are to come."""
        shop, book, accounts = self.shop, self.shop.book, self.accounts
        received: tuple[Array, Array, Array] = received_by_group(
            len(self.groups), self._own_orders(), accounts.person, accounts.group,
            shop.fakes.brought[accounts.person - shop.graph.persons],
            book.person, book.status, book.discount, book.will_return,
        )  # fmt: skip
        return received

    def _own_orders(self) -> Array:
        """Return the rows of the order book that are the ring's orders."""
        shop, book = self.shop, self.shop.book
        if self._book_read < len(book):
            own = orders_of(self.number, shop.graph.persons, shop.people.ring, book.person, self._book_read)
            if own.size:
                self._orders = np.concatenate([self._orders, own])
            self._book_read = len(book)
        return self._orders

    def _account_of(self, orders: Array) -> Array:
        """Return the account (row) that placed each order."""
        account: Array = np.searchsorted(self.accounts.person, self.shop.book.person[orders])
        return account

    # Deciding.

    def decide(self) -> None:
        """Open a batch of accounts on the best course, if it returns enough."""
        course = self.best_course()
        self.is_active = course is not None or self._waits_for_a_trial()
        if course is not None and (groups := self._how_many(course)) > 0:
            open_groups(self, course, groups)

    def best_course(self) -> Course | None:
        """Return the course that earns most an account among those that return more than ``caution``, None if none."""
        config, beliefs, room = self.config, self.beliefs, self.config.capacity - len(self.accounts)
        if room <= 0:
            return None
        prospects = self.market.prospects()
        best: int = most_profitable(
            prospects.chance, prospects.accounts, prospects.spares_root, prospects.buyers, prospects.bonus,
            prospects.discount, prospects.work, prospects.buyer_hides, prospects.other_hides,
            beliefs.caught_of(prospects), self._have_roots(), self._waits_for_a_trial(),
            beliefs.admitted, beliefs.kept(), float(config.account_cost),
            config.device_cost / places_of_a_new_device(self), count_free_places(self), room, config.caution,
        )  # fmt: skip
        return prospects.courses[best] if best >= 0 else None

    def _how_many(self, course: Course) -> int:
        """Return how many groups to open: a batch, but no more under way than ``_GROWTH`` for each that is through."""
        plan, groups = course.play.exploit.plan, self.groups
        batch = max(1, self.config.batch // (plan.accounts - int(plan.root_only_invites)))
        same = groups.course == self.beliefs.number_of(course)
        through = int(np.count_nonzero(same & groups.judged))
        under_way = int(np.count_nonzero(same)) - through
        return min(batch, max(1, _GROWTH * through) - under_way)

    def _waits_for_a_trial(self) -> bool:
        """Whether a first group of some course is under way: one is tried at a time."""
        pending = self.groups.course[~self.groups.judged]
        return any(self.beliefs.tries[course] == 0 for course in pending.tolist())

    def expected(self, course: Course, number: int, device: float = 0.0) -> tuple[float, float]:
        """Return the profit and the cost that a ring expects of a group that takes a course, fen.

        Parameters
        ----------
        course : Course
        number : int
            New accounts.
        device : float
            For devices, an account that does not get its own.
        """
        config, (play, hidden) = self.config, course
        expected: tuple[float, float] = profit_and_cost(
            number, config.account_cost + (1 - hidden) * device, play.buyers,
            hiding.expected_cost(config, hidden, True), hiding.expected_cost(config, hidden, False),
            work_of(play, config), self.beliefs.admitted, self.beliefs.income(course),
        )  # fmt: skip
        return expected

    def roots(self, hidden: float) -> Array:
        """Return the accounts (rows), so hidden, that can invite for further groups, those that invited least first."""
        accounts, groups = self.accounts, self.groups
        rows: Array = inviters(
            hidden, accounts.serves, accounts.group, accounts.person, groups.hidden, self.shop.people.joined
        )
        least_first: Array = rows[np.argsort(accounts.invited[rows], kind="stable")]
        return least_first

    def _have_roots(self) -> Array:
        """Return for which of the chances of disguises there are any :meth:`roots`."""
        accounts, groups = self.accounts, self.groups
        have: Array = have_inviters(
            self.beliefs.degrees,
            accounts.serves,
            accounts.group,
            accounts.person,
            groups.hidden,
            self.shop.people.joined,
        )
        return have

    # Books.

    @property
    def cost(self) -> float:
        """Fen spent so far: on accounts, devices and work, and what goods that came lost by resale."""
        book, orders = self.shop.book, self._own_orders()
        here = (book.status[orders] >= OrderStatus.DELIVERED) & (book.status[orders] < OrderStatus.REFUNDED)
        kept = orders[here]
        return self.spent + (1 - self.config.resale) * float(book.worth[kept[~book.will_return[kept]]].sum())

    @property
    def profit(self) -> float:
        """Fen earned so far: discounts, and rewards that were paid out, less the cost."""
        received = sum(float(part.sum()) for part in self._received_by_group()[:2]) if len(self.groups) else 0.0
        return received - self._not_paid_out() - self.cost

    def _not_paid_out(self) -> int:
        """Return the fen of rewards that are frozen or still in wallets."""
        pending, mine = 0, self.accounts.person
        for _, payouts in payouts_of(self.shop.schemes):
            rewards, balance = payouts.rewards, payouts.purses.balance
            frozen = (rewards.state == RewardState.FROZEN) & np.isin(rewards.person, mine)
            wallets = np.maximum(balance[mine[mine < balance.size]], 0)
            pending += int(rewards.amount[frozen].sum() + wallets.sum())
        return pending
