"""The shop: one run of a scenario, the whole day from top to bottom.

A tick is :meth:`Shop.step`::

    strike      what goes wrong from outside begins                                (shocks)
    operations  campaigns open and close, parcels arrive, cases are decided        (SimPy)
    wake        who comes, talks or signs up of their own will
    read        who reads what was shared with them -> clicks -> sign-ups          (feed)
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

Money moves by one rule: an accepted order puts its ``worth`` (quantity x list price) into escrow, the buyer what they
pay, platform and merchant what the schemes take off; it stays there until the order is confirmed, refunded or returned.
"""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any, Self

import mesa
import numpy as np
import numpy.typing as npt
import pandas as pd

from agents import brushers, fraudsters, kols, merchants, second_accounts
from sim import labels, metrics, world
from sim.core.clock import Clock
from sim.core.graph import Graph
from sim.core.ledger import Account, Ledger, share_of
from sim.core.scatter import add_each
from sim.day import afterwards, arrivals, buying
from sim.demand import Demand
from sim.feed import Feed
from sim.labels import Fraud
from sim.offers import (
    NONE,
    ShareKind,
    Signups,
    Source,
    Visits,
    one_each,
)
from sim.operations import Operations
from sim.orders import OrderBook, OrderStatus, undo
from sim.people import FAKE_UID, SECOND_UID, Fakes, Person, Status, draw_traits_of_accounts
from sim.recommend import create as create_recommender
from sim.record import Recorder
from sim.risk import RiskControl
from sim.scenario import Scenario
from sim.schemes import Scheme, SchemeConfig, registry
from sim.shocks import Shocks

Array = npt.NDArray[Any]
BUYS_FOR_CERTAIN = 30.0  # intercept of accounts whose owner has already decided
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
        Network to use instead of the scenario's; its persons replace ``people.size``.
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
    keeps_utilities : bool
        Whether ``last_utilities`` is kept: what each option of the last tick was worth without shock, for checks.

    Notes
    -----
    ``mesa.batch_run`` ends every run after ``max_steps`` ticks, 1000 by default: 90 days in hours are 2160.

    Examples
    --------
    >>> mesa.batch_run(Shop, {"scenario": "scenarios/coupon.yaml"}, rng=[1, 2], max_steps=2160)  # doctest: +SKIP
    >>> shop = Shop("scenarios/group_buy.yaml", rng=1)  # doctest: +SKIP
    >>> shop.run().metrics()["new_members"]  # doctest: +SKIP
    """

    _catching_up = False  # Mesa is told of ticks that a checkpoint stands for

    def __init__(
        self, scenario: Scenario | str | Path, *, rng: int | None = None, graph: Any = None, **overrides: Any
    ) -> None:
        seed = _seed(rng)
        super().__init__(rng=seed)
        scenario = scenario if isinstance(scenario, Scenario) else Scenario.load(scenario)
        self._shop_scenario = scenario.override(overrides) if overrides else scenario
        self.config = config = self._shop_scenario.config
        self.seed = seed
        self.clock = Clock(round(config.tick), config.horizon)
        self.shocks = Shocks(self)
        self.recorder = Recorder(self.clock.days)
        names = [s.name or s.kind for s in config.schemes]
        self.ledger = Ledger(["shop", *names], self.clock.days, config.record.journal)
        demand = world.read_demand(config)
        self.demand = demand
        self.graph = world.build_graph(self.scenario, seed) if graph is None else Graph.of(graph)
        self.products = world.build_catalog(self, demand, self._generator(2))
        self.people, self.fakes = world.build_people(self, demand), Fakes()
        self.book = OrderBook(discount=max(1, len(names)))
        self.fraud_losses = np.zeros((len(Fraud), len(config.schemes) + 1), np.int64)
        self.merchant_books = merchants.MerchantBooks(self)
        self.operations = Operations(self)
        self.risk = RiskControl(self)
        self.recommender = create_recommender(self)
        self.schemes = [self._scheme(s, i) for i, s in enumerate(config.schemes)]
        self._offer_order = _in_order(self.schemes, config.stacking.order)
        self.feed = Feed(self)
        self._queued_signups: list[Signups] = []
        self._queued_visits: list[Visits] = []
        self._unpaid = np.zeros(0, np.int64)
        owners = config.fraud.rings + len(self.shocks.entries()) + config.catalog.merchants
        self._fakes = np.zeros(owners, np.int64)  # accounts of each ring, then of those whom each merchant has hired
        self.keeps_utilities = False
        self.last_utilities = np.empty((0, 0), np.float32)
        self.figures: dict[str, float] = {}  # of a day, while the shop collects them: worked out once for all reporters
        self.wound_down: dict[str, int] = {}  # schemes that a fork left out, and since which tick
        self._begin(demand)

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
        self.brushers = brushers.create(self)
        self.second_accounts = second_accounts.create(self)
        if config.people.seeds is not None:
            seeds = world.chosen_seeds(config.people.seeds, self)
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
        """Simulate one tick; see the module's docstring for the order.

        Raises
        ------
        RuntimeError
            If the horizon has been reached.
        """
        if self._catching_up:
            return
        self._refuse_if_over()
        self.shocks.strike()
        self.clock.run_processes()
        woken = self._wake()  # goes on while messages are read
        clicks, joined = self._read(woken)
        visitors, talkers, _ = woken.result()
        visits = self._visit(clicks, joined, visitors)
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

    def _wrapped_step(self) -> None:  # what Mesa puts before `step`; it would plan no further tick after an error there
        if not self._catching_up:
            self._refuse_if_over()
        super()._wrapped_step()

    def _refuse_if_over(self) -> None:
        if self.clock.is_over:
            ticks = self.clock.horizon
            raise RuntimeError(f"the horizon of {ticks:,} tick{'' if ticks == 1 else 's'} is over")

    def run(self) -> Shop:
        """Simulate to the horizon and return the shop itself."""
        while self.running:
            self.step()
        return self

    # Other futures.

    def checkpoint(self, folder: str | Path) -> Path:
        """Write the run so far into a folder, from which it can go on; see :func:`sim.checkpoint.save`."""
        from sim import checkpoint

        return checkpoint.save(self, folder)

    @classmethod
    def restore(cls, folder: str | Path, scenario: Scenario | str | Path | None = None) -> Self:
        """Return a shop that goes on from a checkpoint, under another scenario if one is given.

        Parameters
        ----------
        folder : path-like
            That :meth:`checkpoint` wrote.
        scenario : Scenario or path, optional
            What holds from now on; see :mod:`sim.fork` for what may differ. Default: what held before.

        Raises
        ------
        ScenarioError
            If the folder is not whole or of another engine, or the scenario does not fit the world in it.
        """
        from sim import checkpoint

        return checkpoint.load(cls, folder, scenario)

    def fork(self, scenario: Scenario | str | Path | None = None) -> Self:
        """Return a second shop that goes on from here, as :meth:`restore` does; this one stays as it is."""
        from sim import checkpoint

        return checkpoint.branch(self, scenario)

    # The stages of the day, in their order; see :mod:`sim.day`.

    _wake, _read, _admit = arrivals.wake, arrivals.read, arrivals.admit
    _visit, _recommend = arrivals.visit, arrivals.recommend
    _offer, _choose, _screen, _settle = buying.offer, buying.choose, buying.screen, buying.settle
    _share, _live = afterwards.share, afterwards.live

    def _act(self) -> None:
        """Let agents take their turn; those that know when they do anything next are left alone until then."""
        tick = self.clock.tick
        for agent in list(self.agents):
            if getattr(agent, "wakes", tick) <= tick:
                agent.step()

    def _record(self) -> None:
        if not self.clock.ends_day:
            return
        facts = metrics.Facts(self)
        census = facts.census
        self.level("members", census.members)
        self.level("mau", census.active)
        self.level("fraud_loss", float(self.fraud_losses[1:, 1:].sum()))
        self.level("rings_active", sum(ring.is_active for ring in self.rings))
        self.level("satisfaction", census.satisfaction)
        self.level("reference_price", census.reference)
        self.figures = metrics.of_the_day(facts)
        self.datacollector.collect(self)
        self.figures = {}

    # What schemes, agents and operations call.

    def post(
        self, source: Account, target: Account, amounts: npt.ArrayLike, scheme: int = 0, persons: npt.ArrayLike = NONE
    ) -> int:
        """Move money at the current moment; see :meth:`sim.core.ledger.Ledger.transfer`."""
        clock = self.clock
        return self.ledger.transfer(clock.booked_day, clock.tick, source, target, amounts, scheme, persons)

    def count(self, name: str, amount: float) -> None:
        """Add to a daily counter."""
        self.recorder.add(self.clock.booked_day, name, amount)

    def level(self, name: str, value: float) -> None:
        """Set a level at the end of the current day."""
        self.recorder.level(self.clock.day, name, value)

    def benefit(self, persons: Array, amounts: Array, scheme: int, origins: Array | None = None) -> None:
        """Note what persons got out of incentives, in fen; negative for claw-backs.

        Parameters
        ----------
        persons : int ndarray, shape (n,)
        amounts : int64 ndarray, shape (n,)
        scheme : int
            Number of the scheme that pays.
        origins : int ndarray, shape (n,), optional
            Whose sign-ups or orders earned it, if not their own.
        """
        people, origins = self.people, persons if origins is None else origins
        if len(people) == self.graph.persons:  # nobody is fake
            add_each(people.benefit, persons, amounts)
        else:
            labels.note(
                people.benefit, people.fraud, people.ring, self.fakes.brought, self.fraud_losses, scheme, persons,
                amounts, origins,
            )  # fmt: skip

    def disappoint(self, persons: Array) -> None:
        """Lower persons' satisfaction after something went wrong, once for who is named several times."""
        self.people.satisfaction[persons] *= 1 - self.config.operations.disappointment

    def refund(self, rows: Array, status: OrderStatus) -> None:
        """Undo orders: everyone gets back from escrow what they themselves put in, and buyers are disappointed.

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
        who, paid, *taken_off = undo(
            rows, np.int8(status), self.clock.tick, book.person, book.product, book.quantity, book.pay, book.discount,
            book.status, book.closed, people.spend, people.orders, people.first_order, people.satisfaction,
            np.float32(1 - self.config.operations.disappointment), products.stock, products.sold,
        )  # fmt: skip
        fen = self.post(Account.ESCROW, Account.BUYERS, paid, 0, who)
        for scheme, back in zip(self.schemes, taken_off, strict=False):
            if back.any():
                scheme.take_back(Account.ESCROW, back, who)
        self.count("refunded" if status == OrderStatus.REFUNDED else "returned", rows.size)
        self.count("refunded_gmv", fen)
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
        """Let persons sign up in the next feed stage; a ring's invitations are shares, as anybody's are."""
        if source == Source.RING:
            self.feed.note(inviters[inviters >= 0], ShareKind.INVITE)
        self._queued_signups.append(
            Signups(persons.astype(np.int32), inviters.astype(np.int32), np.full(persons.size, source, np.int8))
        )

    def queue_visits(
        self, persons: Array, products: Array, teams: Array | None = None, units: Array | None = None
    ) -> None:
        """Let fake accounts come and buy a product each in the next tick, through the same offers as anybody.

        ``teams`` says where: the number of a team to join, ``A_TEAM_OF_ITS_OWN`` to open one, -1 to buy alone;
        ``units`` how many, by default one.
        """
        nothing = np.full(persons.size, NONE, np.int32)
        team = nothing if teams is None else teams.astype(np.int32)
        self._queued_visits.append(
            Visits(
                persons.astype(np.int32), np.full(persons.size, Source.RING, np.int8), nothing,
                products.astype(np.int32), team, nothing, one_each(1 if units is None else units, persons, np.int32),
            )
        )  # fmt: skip

    def queue_post(self, kol: int, person: int, product: int, recipients: Array) -> None:
        """Show a KOL's post to followers."""
        self.count("posts", 1)
        self.feed.post(kol, person, product, recipients)

    def add_fakes(self, ring: int, count: int, device: Array, address: Array, fraud: Fraud = Fraud.FARM) -> Array:
        """Add fake accounts, prospects at first, and return their rows.

        Parameters
        ----------
        ring : int
            Who owns them; with :attr:`People.fake` the ground truth, for scoring only.
        count : int
        device, address : int32 ndarray, shape (count,)
            What the platform will see of them.
        fraud : Fraud
            Ground truth as well.
        """
        if self._fakes[ring] + count > _FAKES_PER_RING:
            raise ValueError(f"a ring holds at most {_FAKES_PER_RING} accounts")
        number = self._fakes[ring] + np.arange(count)
        self._fakes[ring] += count
        uid = FAKE_UID + ring * _FAKES_PER_RING + number
        return self._add_accounts(uid, device, address, device, fraud, ring)  # each device has one wallet

    def add_second_accounts(self, owners: Array) -> Array:
        """Add an account on each owner's own device, address and wallet, prospects at first, and return their rows."""
        people = self.people
        uid = SECOND_UID + people.uid[owners].astype(np.int64)
        device, address, payment = people.device[owners], people.address[owners], people.payment[owners]
        return self._add_accounts(uid, device, address, payment, Fraud.SELF_REFERRAL, NONE)

    def _add_accounts(
        self, uid: Array, device: Array, address: Array, payment: Array, fraud: Fraud, ring: int
    ) -> Array:
        """Add accounts that come only when they are sent."""
        people = self.people
        rows = people.append(
            uid.size, uid=uid.astype(np.uint32), fake=True, fraud=fraud, ring=ring, device=device, address=address,
            payment=payment,
        )  # fmt: skip
        self.fakes.append(uid.size, credible=1.0 if ring == NONE else self.config.fraud.skill)
        draw_traits_of_accounts(people, rows, self.config.people, self.config.sharing, self.seed)
        people.intercept[rows] = BUYS_FOR_CERTAIN
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

    def losses(self) -> pd.DataFrame:
        """Return what fraud got out of incentives so far, by kind of fraud and by scheme."""
        return labels.losses(self)

    def funnel(self) -> pd.Series:
        """Return how many exposures, clicks, sign-ups, visits, orders and repeat orders there were."""
        return metrics.funnel(self)


def _seed(rng: int | None) -> int:
    """Return a seed; one of the operating system's if none is given."""
    if rng is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    try:
        seed = operator.index(rng)
    except TypeError:
        seed = -1
    if not 0 <= seed < 2**32:
        raise ValueError(f"rng must be a whole number from 0 to 2**32 - 1, the seed. Got {rng!r}.")
    return seed


def _in_order(schemes: list[Scheme], kinds: list[str]) -> list[Scheme]:
    """Return the schemes in the order in which prices fall; kinds that are not named come last."""
    rank = {kind: i for i, kind in enumerate(kinds)}
    return sorted(schemes, key=lambda s: rank.get(s.kind, len(rank)))
