"""The shop: one run of a scenario, the whole day from top to bottom.

A tick is :meth:`Shop.step`::

    operations  campaigns open and close, parcels arrive                           (SimPy)
    feed        who reads what was shared with them -> clicks -> sign-ups
    visit       who opens the shop: own will, or a click                           -> Visits
    recommend   K products for each visit                                          -> slates
    offer       every scheme adds or reprices options                              -> Offers
    choose      each visitor picks one option or none (random utility)             -> Orders (proposed)
    screen      stock, places, budgets and risk control allow or refuse            -> Orders (accepted)
    settle      the ledger posts; schemes book state
    share       who tells whom about it, for what reward                           -> feed
    act         KOLs, merchants and fraud rings take their turn                    (mesa agents)
    live        deadlines and expiries fall due, people tire, leave and recover
    record      counters, levels, DataCollector

Money moves by one rule: an accepted order puts its ``worth`` (quantity x list price) into escrow, the buyer what
they pay,
platform and merchant what the schemes take off; it stays there until the order is confirmed, refunded or returned.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mesa
import numba as nb
import numpy as np
import numpy.typing as npt
import pandas as pd

from agents import consumers, fraudsters, kols, merchants
from sim import metrics, world
from sim.core import draws
from sim.core.clock import Clock
from sim.core.draws import Stream
from sim.core.graph import Graph
from sim.core.ledger import Account, Ledger, share_of
from sim.demand import Demand
from sim.feed import Feed
from sim.offers import (
    NONE,
    Mode,
    Offers,
    Orders,
    ShareKind,
    Shares,
    Signups,
    Source,
    Visits,
    first_of_each,
)
from sim.operations import Operations
from sim.orders import OrderBook, OrderStatus
from sim.people import FAKE_UID, NEVER, RECENT, Person, Status, draw_traits, shift
from sim.recommend import create as create_recommender
from sim.record import Recorder
from sim.risk import RiskControl
from sim.scenario import Scenario
from sim.schemes import Scheme, SchemeConfig, registry

Array = npt.NDArray[Any]
BUYS_FOR_CERTAIN = 30.0  # intercept of accounts whose owner has already decided
WORTH_THREADS = 1024  # visits: fewer are done sooner than threads start
_FAKES_PER_RING = 1 << 16


class Shop(mesa.Model):
    """One run of a scenario: a :class:`mesa.Model` around arrays.

    Parameters
    ----------
    scenario : Scenario or str or Path
        What to simulate, or the file that says it.
    rng : int, optional
        Seed in [0, 2**32); Mesa's keyword. Without one, a seed is taken from the operating system.
    graph : Graph or networkx.Graph or igraph.Graph, optional
        Network to use instead of the scenario's.
    **overrides
        Scenario values by dotted path, as in ``Shop(scenario, **{"people.size": 5000})``.

    Attributes
    ----------
    people : People
        The crowd, one row a person.
    products : Products
        The catalogue.
    book : OrderBook
        Every accepted order.
    ledger : Ledger
        Every movement of money.
    schemes : list of Scheme
        In the order of the scenario; number ``i`` of the ledger is ``schemes[i - 1]``.

    Examples
    --------
    >>> shop = Shop("scenarios/group_buy.yaml", rng=1)  # doctest: +SKIP
    >>> shop.run().metrics()["new_members"]  # doctest: +SKIP
    """

    def __init__(
        self, scenario: Scenario | str | Path, *, rng: int | None = None, graph: Any = None, **overrides: Any
    ) -> None:
        seed = int(np.random.SeedSequence().generate_state(1)[0]) if rng is None else int(rng)
        if not 0 <= seed < 2**32:
            raise ValueError(f"rng must be a seed from 0 to 2**32 - 1. Got {seed}.")
        super().__init__(rng=seed)
        scenario = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
        self._shop_scenario = scenario.override(overrides) if overrides else scenario
        self.config = config = self._shop_scenario.config
        self.seed = seed
        self.clock = Clock(round(config.tick), config.horizon)
        self.recorder = Recorder(self.clock.days)
        names = [s.name or s.kind for s in config.schemes]
        self.ledger = Ledger(["shop", *names], self.clock.days, config.record.journal)
        demand = world.read_demand(config)
        self.demand = demand
        self.graph = self._network() if graph is None else Graph.of(graph)
        self.products = world.build_catalog(self, demand, self._generator(2))
        self.people = world.build_people(self, demand)
        self.book = OrderBook(discount=max(1, len(names)))
        self.merchant_books = merchants.MerchantBooks(self)
        self.operations = Operations(self)
        self.risk = RiskControl(self)
        self.recommender = create_recommender(self)
        self.schemes = [self._scheme(s, i) for i, s in enumerate(config.schemes)]
        self._offer_order = _in_order(self.schemes, config.stacking.order)
        self._merchant_share = np.array([s.config.merchant_share for s in self.schemes] or [0.0])
        self.feed = Feed(self)
        self._queued_signups: list[Signups] = []
        self._queued_visits: list[Visits] = []
        self._unpaid = np.zeros(0, np.int64)
        self._fakes = np.zeros(max(1, config.fraud.rings), np.int64)
        self._begin(demand)

    def _network(self) -> Graph:
        try:
            return world.build_graph(self.config, self._generator(1))
        except ValueError as problem:
            raise self.scenario.error("people.network", str(problem)) from None

    def _scheme(self, config: SchemeConfig, index: int) -> Scheme:
        try:
            return registry()[config.kind](self, config, index + 1)
        except ValueError as problem:
            raise self.scenario.error(f"schemes.{index}", str(problem)) from None

    def _generator(self, purpose: int) -> np.random.Generator:
        """Return a generator for building the world; arms with the same seed share it, however they differ."""
        return np.random.default_rng([self.seed, purpose])

    def _begin(self, demand: Demand) -> None:
        config, people = self.config, self.people
        person, product = world.live_through_history(self, demand)
        self.recommender.observe_history(person, product)
        self.recommender.fit()
        everyone = np.arange(len(people))
        world.calibrate_intercepts(self, demand, everyone, self.recommender.stored(everyone))
        self.kols = kols.create(self)
        self.merchants = merchants.create(self)
        self.rings = fraudsters.create(self)
        if config.people.seeds is not None:
            try:
                seeds = world.chosen_seeds(config.people.seeds, self)
            except ValueError as problem:
                raise self.scenario.error("people.seeds.persons", str(problem)) from None
            seeds = seeds[people.status[seeds] == Status.PROSPECT]
            self.queue_signups(seeds, np.full(seeds.size, NONE), Source.OWN)
        self.datacollector = mesa.DataCollector(model_reporters=metrics.reporters())

    # Mesa has an experimental property of this name that wants a class of its own; ours is the scenario file.
    @property
    def scenario(self) -> Scenario:  # type: ignore[override]
        """The scenario that is simulated."""
        return self._shop_scenario

    @scenario.setter
    def scenario(self, value: Any) -> None:
        """Ignore the placeholder that Mesa sets."""

    # The day.

    def step(self) -> None:
        """Simulate one tick; see the module's docstring for the order."""
        self.clock.run_processes()
        clicks, joined = self._read()
        visits, talkers = self._visit(clicks, joined)
        slates = self._recommend(visits)
        offers = self._offer(visits, slates)
        orders = self._choose(offers)
        orders = self._screen(orders)
        self._settle(orders)
        self._share(visits, orders, talkers)
        self._act()
        self._live()
        self._record()
        self.clock.advance()
        self.running = not self.clock.is_over

    def run(self) -> Shop:
        """Simulate to the horizon and return the shop itself."""
        while self.running:
            self.step()
        return self

    def _read(self) -> tuple[Shares, Signups]:
        """Let messages be read; admit those who sign up and those who were queued to."""
        clicks, signups = self.feed.read()
        queued, self._queued_signups = self._queued_signups, []
        wanting = Signups.join([signups, *queued])
        if len(wanting):
            wanting = wanting.keep(self.people.status[wanting.person] == Status.PROSPECT)
            wanting = wanting.take(first_of_each(wanting.person))
        if len(clicks):
            known = np.flatnonzero(self.people.status[clicks.recipient] != Status.PROSPECT)
            who = clicks.recipient[known]
            self.people.status[who] = Status.MEMBER  # those who had left are back
            self.recommender.observe_clicks(who, clicks.product[known])
            for scheme in self.schemes:
                if scheme.is_open:
                    scheme.on_click(clicks)
        return clicks, self._admit(wanting)

    def _admit(self, signups: Signups) -> Signups:
        """Make those members whom risk control lets in, and tell the schemes."""
        if len(signups) == 0:
            return signups
        signups = signups.keep(self.risk.admit_signups(signups))
        people, who = self.people, signups.person
        people.status[who] = Status.MEMBER
        people.joined[who] = self.clock.tick
        people.inviter[who] = signups.inviter
        people.source[who] = signups.source
        self.count("new_members", len(signups))
        self.count("invited_members", int(((signups.source == Source.SHARE) | (signups.source == Source.KOL)).sum()))
        self.recommender.fit_new(who)
        for scheme in self.schemes:
            if scheme.is_open:
                scheme.on_signup(signups)
        return signups

    def _visit(self, clicks: Shares, joined: Signups) -> tuple[Visits, Array]:
        """Return this tick's visits, each person once, and who may talk unprompted."""
        people, clock, config = self.people, self.clock, self.config
        tick = clock.tick
        organic = clock.probability(config.sharing.organic)
        own, talkers, joiners = consumers.scan(
            np.uint32(self.seed), np.uint32(tick), people.status, people.uid, people.visit_rate, people.talk_rate,
            clock.days_a_tick, self.operations.demand, organic, np.uint32(FAKE_UID),
        )  # fmt: skip
        unprompted = Signups(joiners, _all(NONE, joiners, np.int32), _all(Source.OWN, joiners, np.int8))
        unprompted = self._admit(unprompted)
        parts, self._queued_visits = self._queued_visits, []
        source = np.where(clicks.kind == ShareKind.POST, Source.KOL, Source.SHARE)
        parts.append(_visits(clicks.recipient, source, clicks.sharer, clicks.product, clicks.team, clicks.kol))
        # Fake accounts come only when they are sent.
        newcomers = joined.person[joined.source != Source.RING]
        parts.append(_visits(np.concatenate([newcomers, unprompted.person, own]), Source.OWN))
        visits = Visits.join(parts)
        rows = np.flatnonzero(people.status[visits.person] == Status.MEMBER)
        visits = visits.take(rows[first_of_each(visits.person[rows])])
        who = visits.person
        if who.size:
            u = draws.uniform(self.seed, Stream.QUANTITY, people.uid[who], 0, tick)
            visits.quantity[:] = np.where(visits.source == Source.RING, 1, self.demand.quantities(u))
            self._note_presence(who)
        return visits, talkers

    def _note_presence(self, who: Array) -> None:
        people, clock = self.people, self.clock
        day_start = clock.day * clock.ticks_a_day
        self.count("visits", who.size)
        self.count("dau", int((people.last_visit[who] < day_start).sum()))
        people.last_visit[who] = clock.tick
        if clock.day // 7 < 64:
            people.active_weeks[who] |= np.uint64(1 << (clock.day // 7))
        age = clock.day - people.joined[who] // clock.ticks_a_day
        for bit, day in enumerate((1, 7, 30)):
            people.visit_days[who[age == day]] |= np.uint8(1 << bit)

    def _recommend(self, visits: Visits) -> Array:
        """Return the slates, with what a visitor clicked on in the first place if it is not among them."""
        slates = self.recommender.slates(visits)
        rows = np.flatnonzero(visits.product >= 0)
        product = visits.product[rows]
        missing = ~(slates[rows] == product[:, None]).any(axis=1)
        slates[rows[missing], 0] = product[missing]
        # An account that was sent to buy one thing looks at nothing else.
        sent = rows[visits.source[rows] == Source.RING]
        slates[sent, 0], slates[sent, 1:] = visits.product[sent], NONE
        _count_views(slates, self.products.views)
        return slates

    def _offer(self, visits: Visits, slates: Array) -> Offers:
        offers = Offers.solo(visits, slates, self.products.price)
        for scheme in self._offer_order:
            if scheme.is_open:
                width = offers.product.shape[1]
                scheme.offer(offers)
                if scheme.config.merchant_share > 0:
                    self._withdraw_unfunded(scheme, offers, width)
        # An account that was sent to buy does not wait for a team, unless it was sent to join one.
        alone = np.flatnonzero((visits.source == Source.RING) & (visits.team == NONE))
        if alone.size:
            offers.product[alone] = np.where(offers.mode[alone] == Mode.SOLO, offers.product[alone], NONE)
        self._endorse(offers)
        return offers

    def _withdraw_unfunded(self, scheme: Scheme, offers: Offers, width: int) -> None:
        """Take back what a scheme offers at the cost of merchants who have stopped paying for promotions."""
        funds = self.merchant_books.funds
        if funds.all():
            return
        unfunded = (offers.product >= 0) & ~funds[self.products.merchant[offers.product]]
        discount = offers.discounts.get(scheme.number)
        if discount is not None:
            columns = unfunded[:, : discount.shape[1]]
            offers.pay[:, : discount.shape[1]] += np.where(columns, discount, 0)
            discount[columns] = 0
        offers.product[:, width:][unfunded[:, width:]] = NONE

    def _endorse(self, offers: Offers) -> None:
        """Make what a visitor clicked on more appealing: they want it, and trust who recommended it."""
        visits = offers.visits
        rows = np.flatnonzero((visits.product >= 0) & (visits.source != Source.RING))
        if rows.size:
            sharing = self.config.sharing
            by_friend = sharing.endorsement * self.people.trust[visits.person[rows]]
            appeal = sharing.interest + np.where(
                visits.source[rows] == Source.KOL, self.config.kols.endorsement, by_friend
            )
            offers.appeal[rows] += np.where(
                offers.product[rows] == visits.product[rows, None], appeal[:, None].astype(np.float32), np.float32(0)
            )

    def _choose(self, offers: Offers) -> Orders:
        visits = offers.visits
        picked, self.last_utilities = self._pick(offers)
        rows = np.flatnonzero(picked >= 0)
        at = (rows, picked[rows])
        discount = np.zeros((rows.size, max(1, len(self.schemes))), np.int64)
        for number, taken in offers.discounts.items():
            within = at[1] < taken.shape[1]
            discount[within, number - 1] = taken[rows[within], at[1][within]]
        return Orders(
            visits.person[rows], offers.product[at], visits.quantity[rows], offers.mode[at], offers.ref[at],
            offers.worth[at], offers.pay[at], discount, visits.source[rows], visits.sharer[rows], visits.kol[rows],
            _all(NONE, rows, np.int64),
        )  # fmt: skip

    def _pick(self, offers: Offers) -> tuple[Array, Array]:
        """Return each visitor's pick and the utilities; large batches in threads, on which no bit depends."""
        visits = len(offers.visits)
        if visits < WORTH_THREADS or nb.config.NUMBA_NUM_THREADS == 1:
            return self._pick_part(offers, slice(0, visits))
        bounds = np.linspace(0, visits, nb.config.NUMBA_NUM_THREADS + 1).astype(int)
        parts = [slice(*ends) for ends in itertools.pairwise(bounds)]
        with ThreadPoolExecutor(len(parts)) as pool:
            picked, utilities = zip(*pool.map(self._pick_part, itertools.repeat(offers), parts), strict=True)
        return np.concatenate(picked), np.concatenate(utilities)

    def _pick_part(self, offers: Offers, part: slice) -> tuple[Array, Array]:
        people, products, config = self.people, self.products, self.config
        result: tuple[Array, Array] = consumers.choose(
            np.uint32(self.seed), np.uint32(self.clock.tick), config.recommendation.slate, offers.visits.person[part],
            offers.product[part], offers.mode[part], offers.pay[part], offers.worth[part], offers.appeal[part],
            people.uid, people.taste, people.intercept, people.price_sensitivity, people.conformity, people.reference,
            people.heard, products.topic, products.quality,
            config.people.taste_weight, config.people.way_noise, config.people.reference_memory,
        )  # fmt: skip
        return result

    def _screen(self, orders: Orders) -> Orders:
        """Drop what cannot be honoured. Rivals for the last unit, place or yuan go in the order of an addressed
        draw.
        """
        if len(orders) == 0:
            return orders
        proposed = len(orders)
        uid = self.people.uid[orders.person]
        u = draws.uniform(self.seed, Stream.SCREEN, uid, orders.product, self.clock.tick)
        orders = orders.take(np.lexsort((uid, u)))
        orders = orders.keep(self.risk.screen(orders))
        for scheme in self.schemes:
            mask = scheme.screen(orders)
            if mask is not None:
                orders = orders.keep(mask)
        available = np.where(orders.mode == Mode.SOLO, self.products.set_aside[orders.product], 0)
        fits = _ration(orders.product, orders.quantity, available, self.products.stock.copy())
        np.add.at(self.products.short, orders.product[~fits], 1)
        orders = orders.keep(fits)
        for scheme in self.schemes:
            if scheme.config.budget is not None:
                discount = orders.discount[:, scheme.number - 1]
                orders = orders.keep((discount == 0) | scheme.within_budget(discount))
        self.count("refused_orders", proposed - len(orders))
        return orders

    def _settle(self, orders: Orders) -> None:
        if len(orders) == 0:
            return
        people, products, who = self.people, self.products, orders.person
        units = orders.quantity.astype(np.int64)
        merchant_part = self._merchant_part(orders.discount)
        status = np.where(orders.mode == Mode.SOLO, OrderStatus.PAID, OrderStatus.WAITING)
        self.book.record(
            orders, self.clock.tick, products.merchant[orders.product], products.cost[orders.product] * units,
            status.astype(np.int8), merchant_part.sum(axis=1),
        )  # fmt: skip
        self.post(Account.BUYERS, Account.ESCROW, orders.pay, 0, who)
        for scheme in self.schemes:
            column = scheme.number - 1
            if used := int(np.count_nonzero(orders.discount[:, column])):
                scheme.used += used
                scheme.pay(Account.ESCROW, orders.discount[:, column] - merchant_part[:, column], who)
                scheme.pay(Account.ESCROW, merchant_part[:, column], who, source=Account.MERCHANTS)
        np.subtract.at(products.stock, orders.product, units)
        np.add.at(products.sold, orders.product, units)
        people.orders[who] += 1
        people.spend[who] += orders.pay
        people.first_order[who] = np.where(people.orders[who] == 1, self.clock.tick, people.first_order[who])
        people.last_order[who] = self.clock.tick
        self.benefit(who, orders.discount.sum(axis=1))
        self.count("orders", len(orders))
        self.count("gmv", float(orders.pay.sum()))
        self.merchant_books.sell(orders.row)
        self.recommender.observe_orders(orders)
        for scheme in self.schemes:
            scheme.settle(orders)
        self._unpaid = np.concatenate([self._unpaid, orders.row])

    def _merchant_part(self, discount: Array) -> Array:
        """Return the part of each order's discounts, by scheme, that its merchant pays; fen."""
        if not self._merchant_share.any():
            return np.zeros(discount.shape, np.int64)
        return share_of(discount, self._merchant_share)

    def _share(self, visits: Visits, orders: Orders, talkers: Array) -> None:
        """Let buyers, visitors, newcomers and talkers pass something on, each person at most once."""
        sharing, people, feed = self.config.sharing, self.people, self.feed
        if len(visits) + talkers.size == 0:
            return
        idle = self._without(visits.person, orders.person)
        rest = np.concatenate([idle, self._without(talkers, visits.person)])
        person = np.concatenate([orders.person, rest])
        calling = self._calls(orders.person)
        # An invitation, if it would earn something, goes before what one bought last.
        invitation = feed.rewards(rest, ShareKind.INVITE)
        bought = np.where(calling & (orders.ref >= 0), ShareKind.TEAM, ShareKind.PRODUCT)
        kind = np.concatenate([bought, np.where(invitation > 0, ShareKind.INVITE, ShareKind.PRODUCT)]).astype(np.int8)
        reward = np.concatenate([np.zeros(len(orders)), invitation])
        for what in (ShareKind.PRODUCT, ShareKind.TEAM):
            rows = np.flatnonzero(kind == what)
            reward[rows] = feed.rewards(person[rows], what)
        after_visit = np.where(people.joined[idle] == self.clock.tick, sharing.on_sign_up, sharing.per_visit)
        chance = np.full(person.size, np.nan)
        chance[: len(orders) + idle.size] = np.concatenate(
            [np.where(calling, sharing.team, sharing.after_order), after_visit]
        )
        taken = np.flatnonzero(feed.takers(person, kind, reward, chance))
        if taken.size == 0:
            return
        product = np.concatenate([orders.product, people.recent[rest, 0]])
        team = np.concatenate([orders.ref, np.full(rest.size, NONE, np.int32)])
        product = np.where(kind == ShareKind.INVITE, NONE, product).astype(np.int32)
        feed.send(person[taken], kind[taken], product[taken], team[taken])

    def _calls(self, persons: Array) -> Array:
        """Return a mask of those who need friends to complete something that a scheme promised them."""
        found = np.zeros(persons.size, bool)
        for scheme in self.schemes if persons.size else ():
            mask = scheme.calls(persons) if scheme.is_open else None
            if mask is not None:
                found |= mask
        return found

    def _without(self, persons: Array, others: Array) -> Array:
        """Return the persons who are not among the others, in their order."""
        if persons.size == 0 or others.size == 0:
            return persons
        among = np.zeros(len(self.people), bool)
        among[others] = True
        return persons[~among[persons]]

    def _act(self) -> None:
        for agent in list(self.agents):
            agent.step()

    def _live(self) -> None:
        """Let orders that are paid for good take effect, deadlines fall due, people tire and recover."""
        for scheme in self.schemes:
            scheme.close()
        self._take_effect()
        clock = self.clock
        if clock.starts_day:
            fading = 0.5 ** (24.0 / self.config.sharing.fatigue_half_life)
            self.people.exposures *= fading
            self.people.shares *= fading
            self.risk.nightly()
        refresh = clock.ticks(self.config.recommendation.refresh)
        if clock.tick and clock.tick % refresh == 0:
            self.recommender.fit()

    def _take_effect(self) -> None:
        """Send paid orders to the warehouse; their buyers' friends may notice, and after a repeat purchase some
        leave.
        """
        if self._unpaid.size == 0:
            return
        status = self.book.status[self._unpaid]
        rows = self._unpaid[status == OrderStatus.PAID]
        self._unpaid = self._unpaid[status == OrderStatus.WAITING]
        if rows.size == 0:
            return
        self.operations.fulfil(rows)
        # A person can have several orders paid in one tick (a team filled while they bought); take them in turn.
        while rows.size:
            first = first_of_each(self.book.person[rows])
            self._remember_purchase(rows[first])
            rows = np.delete(rows, first)

    def _remember_purchase(self, rows: Array) -> None:
        people, who = self.people, self.book.person[rows]
        for back in range(RECENT - 1, 0, -1):
            people.recent[who, back] = people.recent[who, back - 1]
        people.recent[who, 0] = self.book.product[rows]
        graph = self.graph
        consumers.tell_friends(who, people.recent[who, 0], graph.indptr, graph.indices, people.heard, people.heard_next)
        u = draws.uniform(self.seed, Stream.DROPOUT, people.uid[who], people.purchases[who])
        unhappy = self.config.operations.satisfaction_effect * (1 - people.satisfaction[who])
        leaves = (people.purchases[who] > 0) & (u < shift(people.dropout[who], unhappy))
        people.purchases[who] += 1
        people.status[who[leaves]] = Status.CHURNED
        self.count("churned", int(leaves.sum()))

    def _record(self) -> None:
        clock, people = self.clock, self.people
        if not clock.ends_day:
            return
        month = clock.tick - 30 * clock.ticks_a_day
        self.level("members", int((people.status == Status.MEMBER).sum()))
        self.level("mau", int((people.last_visit > month).sum()))
        self.level("fraud_loss", float(people.benefit[people.fake].sum()))
        self.level(
            "satisfaction", float(people.satisfaction[people.is_member].mean()) if people.is_member.any() else np.nan
        )
        self.level(
            "reference_price", float(people.reference[people.is_member].mean()) if people.is_member.any() else np.nan
        )
        self.datacollector.collect(self)

    # What schemes, agents and operations call.

    def post(
        self, source: Account, target: Account, amounts: npt.ArrayLike, scheme: int = 0, persons: npt.ArrayLike = NONE
    ) -> int:
        """Move money at the current moment; see :meth:`sim.core.ledger.Ledger.transfer`."""
        day = min(self.clock.day, self.clock.days - 1)
        return self.ledger.transfer(day, self.clock.tick, source, target, amounts, scheme, persons)

    def count(self, name: str, amount: float) -> None:
        """Add to a daily counter."""
        self.recorder.add(min(self.clock.day, self.clock.days - 1), name, amount)

    def level(self, name: str, value: float) -> None:
        """Set a level at the end of the current day."""
        self.recorder.level(self.clock.day, name, value)

    def benefit(self, persons: Array, amounts: npt.ArrayLike) -> None:
        """Note what persons got out of incentives, in fen; negative for claw-backs."""
        np.add.at(self.people.benefit, persons, np.asarray(amounts, np.int64))

    def disappoint(self, persons: Array) -> None:
        """Lower persons' satisfaction after something went wrong."""
        self.people.satisfaction[persons] *= 1 - self.config.operations.disappointment

    def please(self, persons: Array) -> None:
        """Let persons' satisfaction recover after something went well."""
        satisfaction = self.people.satisfaction
        satisfaction[persons] += self.config.operations.recovery * (1 - satisfaction[persons])

    def refund(self, rows: Array, status: OrderStatus) -> None:
        """Undo orders: everyone gets back from escrow what they themselves put in.

        Parameters
        ----------
        rows : ndarray of int
            Of the order book; none of them confirmed, refunded or returned.
        status : OrderStatus
            REFUNDED (never shipped) or RETURNED.
        """
        if rows.size == 0:
            return
        book, people, products = self.book, self.people, self.products
        if (book.closed[rows] >= 0).any():
            raise ValueError("an order that is confirmed, refunded or returned cannot be refunded")
        who, discount = book.person[rows], book.discount[rows]
        self.post(Account.ESCROW, Account.BUYERS, book.pay[rows], 0, who)
        merchant_part = self._merchant_part(discount)
        for scheme in self.schemes:
            column = scheme.number - 1
            back = discount[:, column]
            if back.any():
                scheme.pay(Account.PLATFORM, back - merchant_part[:, column], who, source=Account.ESCROW)
                scheme.pay(Account.MERCHANTS, merchant_part[:, column], who, source=Account.ESCROW)
        book.status[rows] = status
        book.closed[rows] = self.clock.tick
        np.subtract.at(people.spend, who, book.pay[rows])
        self.benefit(who, -discount.sum(axis=1))
        np.add.at(products.stock, book.product[rows], book.quantity[rows])
        np.subtract.at(products.sold, book.product[rows], book.quantity[rows])
        if status == OrderStatus.REFUNDED:
            np.subtract.at(people.orders, who, np.int32(1))
            people.first_order[who] = np.where(people.orders[who] == 0, NEVER, people.first_order[who])
            self.disappoint(who)
        self.count("refunded" if status == OrderStatus.REFUNDED else "returned", rows.size)
        self.count("refunded_gmv", float(book.pay[rows].sum()))
        self.merchant_books.take_back(rows, status)
        for scheme in self.schemes:
            scheme.on_refund(rows)

    def confirm(self, rows: Array) -> None:
        """Make orders final: merchants get their money, the platform its commission."""
        book = self.book
        worth = book.worth[rows]
        self.post(Account.ESCROW, Account.MERCHANTS, worth)
        self.post(Account.MERCHANTS, Account.PLATFORM, share_of(worth, self.config.catalog.take_rate))
        kols.settle_commissions(self, rows)
        book.status[rows] = OrderStatus.CONFIRMED
        book.closed[rows] = self.clock.tick
        for scheme in self.schemes:
            scheme.on_confirm(rows)

    def queue_signups(self, persons: Array, inviters: Array, source: Source) -> None:
        """Let persons sign up in the next feed stage."""
        self._queued_signups.append(
            Signups(persons.astype(np.int32), inviters.astype(np.int32), np.full(persons.size, source, np.int8))
        )

    def queue_visits(self, persons: Array, products: Array, teams: Array | None = None) -> None:
        """Let fake accounts come and buy a product each in the next tick, through the same offers as anybody."""
        team = np.full(persons.size, NONE) if teams is None else teams
        self._queued_visits.append(_visits(persons, Source.RING, NONE, products, team))

    def queue_post(self, kol: int, person: int, product: int, recipients: Array) -> None:
        """Show a KOL's post to followers."""
        self.count("posts", 1)
        self.feed.post(kol, person, product, recipients)

    def add_fakes(self, ring: int, count: int, device: Array, address: Array) -> Array:
        """Add fake accounts, prospects at first, and return their rows.

        Parameters
        ----------
        ring : int
            Who owns them; with :attr:`People.fake` the ground truth, for scoring only.
        count : int
        device, address : int32 ndarray, shape (count,)
            What the platform will see of them.
        """
        if self._fakes[ring] + count > _FAKES_PER_RING:
            raise ValueError(f"a ring holds at most {_FAKES_PER_RING} accounts")
        number = self._fakes[ring] + np.arange(count)
        self._fakes[ring] += count
        people = self.people
        rows = people.append(
            count, uid=(FAKE_UID + ring * _FAKES_PER_RING + number).astype(np.uint32), fake=True, ring=ring,
            device=device, address=address,
        )  # fmt: skip
        draw_traits(people, rows, self.config.people, self.config.sharing, self.demand, self.seed)
        people.visit_rate[rows] = people.talk_rate[rows] = people.dropout[rows] = 0
        people.intercept[rows] = BUYS_FOR_CERTAIN
        people.conformity[rows] = people.hassle[rows] = 0
        return rows

    # What comes out.

    def person(self, row: int) -> Person:
        """Return a read-only view of one person."""
        return Person(self.people, row)

    def metrics(self) -> pd.Series:
        """Return the value of every metric so far; NaN where there is not enough data."""
        return metrics.compute(self)

    def history(self) -> pd.DataFrame:
        """Return one row a day of the run so far: counters of the day, levels at its end."""
        return metrics.history(self)

    def cohorts(self) -> pd.DataFrame:
        """Return weekly cohorts of new members and how many of them came in each later week."""
        return metrics.cohorts(self)

    def funnel(self) -> pd.Series:
        """Return how many exposures, clicks, sign-ups, visits, orders and repeat orders there were."""
        return metrics.funnel(self)


def _in_order(schemes: list[Scheme], kinds: list[str]) -> list[Scheme]:
    """Return the schemes in the order in which prices fall; kinds that are not named come last."""
    rank = {kind: i for i, kind in enumerate(kinds)}
    return sorted(schemes, key=lambda s: rank.get(s.kind, len(rank)))


def _visits(
    person: Array, source: Any, sharer: Any = NONE, product: Any = NONE, team: Any = NONE, kol: Any = NONE
) -> Visits:
    return Visits(
        person.astype(np.int32), _all(source, person, np.int8), _all(sharer, person, np.int32),
        _all(product, person, np.int32), _all(team, person, np.int32), _all(kol, person, np.int32),
        np.ones(person.size, np.int32),
    )  # fmt: skip


def _all(value: Any, persons: Array, dtype: npt.DTypeLike) -> Array:
    """Return a value, or one each, as an array of the length of ``persons``."""
    return value.astype(dtype) if isinstance(value, np.ndarray) else np.full(persons.size, value, dtype)


@nb.njit(cache=True)
def _count_views(slates, views):  # type: ignore[no-untyped-def]
    """Count each product of each slate as seen."""
    for v in range(slates.shape[0]):
        for k in range(slates.shape[1]):
            if slates[v, k] >= 0:
                views[slates[v, k]] += 1


@nb.njit(cache=True)
def _ration(product, quantity, set_aside, stock):  # type: ignore[no-untyped-def]
    """Return which orders the stock covers, in order of precedence; what is set aside is not for solo buyers."""
    fits = np.zeros(product.size, np.bool_)
    for i in range(product.size):
        if stock[product[i]] - set_aside[i] >= quantity[i]:
            stock[product[i]] -= quantity[i]
            fits[i] = True
    return fits
