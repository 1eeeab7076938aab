"""The feed: messages under way, who reads them, who clicks, and who signs up.

This is the one machinery of spread in the shop. Shares of products and teams, invitations and posts of KOLs all go
through :meth:`Feed.send` or :meth:`Feed.post`, wait in :class:`Pending` until they are read, and end in
:meth:`Feed.read`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents import readers, sharers
from sim.assignment import withhold
from sim.core import draws, lanes
from sim.core.draws import Stream
from sim.core.table import Column, Table, column
from sim.offers import NONE, ShareKind, Shares, Signups
from sim.people import Status

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
WORTH_A_THREAD = 2048  # messages that are read, or persons who may share
TALK_CAP = 10.0  # most that rewards can multiply unprompted talk by
_KINDS = tuple(ShareKind)


class Pending(Table):
    """Messages that were sent and not yet read, with the tick in which they will be."""

    due: Column = column(np.int32)
    sharer: Column = column(np.int32)
    recipient: Column = column(np.int32)
    kind: Column = column(np.int8)
    product: Column = column(np.int32)
    team: Column = column(np.int32)
    kol: Column = column(np.int16)
    strength: Column = column(np.float32)
    gift: Column = column(np.float32)


class Messages(Table):
    """Messages that wait, and vacant rows; those that are read in the same tick are chains (:class:`Moments`).

    Each is one record, half a line of the cache: messages of a tick are anywhere in memory.
    """

    record: Column = column(
        np.dtype(
            [
                ("sharer", np.int32),
                ("recipient", np.int32),
                ("product", np.int32),
                ("team", np.int32),
                ("strength", np.float32),
                ("gift", np.float32),
                ("following", np.int32),  # row of the next message in the chain, -1: none
                ("kol", np.int16),
                ("kind", np.int16),  # wider than it must be, so that no byte is left over
            ]
        )
    )
    vacant: Column = column(np.int32)  # a stack of the rows in which no message waits


class Moments(Table):
    """Ticks of the run: how many messages are read in each, and where their chains begin and end.

    There are several chains, to which messages come in turn. So the next one is on its way from memory while others
    are read.
    """

    first: Column = column(np.int32, width=sharers.CHAINS)
    last: Column = column(np.int32, width=sharers.CHAINS)
    messages: Column = column(np.int32)


class Sent(Table):
    """Shares that were sent, one row each; kept if the scenario records events."""

    tick: Column = column(np.int32)
    sharer: Column = column(np.int32)
    kind: Column = column(np.int8)
    product: Column = column(np.int32, fill=NONE)
    team: Column = column(np.int32, fill=NONE)
    readers: Column = column(np.int32)


_NO_SHARES = Shares(*[np.zeros(0, Pending.columns[name].dtype) for name in Shares.__slots__])


class Feed:
    """Messages under way in one run.

    Parameters
    ----------
    shop : Shop

    Attributes
    ----------
    sent : Sent or None
        Every share, if the scenario records events.
    messages : Messages
    moments : Moments
    under_way : int
        How many of the messages wait.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        sharing = shop.config.sharing
        self._audience = math.inf if sharing.audience == "all" else float(sharing.audience)
        self._team_audience = math.inf if sharing.team_audience == "all" else float(sharing.team_audience)
        self._delay = sharing.delay / shop.clock.tick_hours
        proneness = shop.config.people.deal_proneness
        # Of people who are not deal-prone, so that the mean is what the scenario says.
        self._gift_effect = sharing.click.gift / (1 - proneness.share + proneness.share * proneness.pull)
        self._cooldown = math.ceil(sharing.cooldown / shop.clock.tick_hours)
        self.sent = Sent() if shop.config.record.events else None
        self.messages, self.moments = Messages(), Moments(shop.clock.horizon)
        self.under_way = 0
        if sharing.response == "threshold":
            whole = np.bincount(shop.graph.indices, shop.graph.strength, shop.graph.persons)
            self._strength_in = np.maximum(whole, np.finfo(np.float32).tiny)

    # Sending.

    def rewards(self, persons: Array, kind: ShareKind) -> Array:
        """Return what a share of a kind is expected to earn each person under all schemes, in yuan."""
        reward = np.zeros(persons.size)
        for scheme in self.shop.schemes:
            if persons.size and scheme.is_open:
                earned = scheme.reward(persons, kind)
                if isinstance(earned, np.ndarray) or earned:
                    reward += earned
        return reward

    def takers(self, persons: Array, kind: Array, reward: Array, chance: Array) -> Array:
        """Return the positions of those who take an occasion to share.

        Parameters
        ----------
        persons : int32 ndarray
            Each at most once.
        kind : int8 ndarray
            What they would share (:class:`ShareKind`).
        reward : float ndarray
            Yuan that they expect of it.
        chance : float ndarray
            Of an average member without reward; NaN for those who may talk unprompted.

        Notes
        -----
        After an occasion, ``logit(p) = logit(chance) + ln(activity) + keenness`` with ``keenness = reward_weight
        ln(1 + yuan) - social_cost ln(1 + recent shares)``. Unprompted talkers came with chance ``1 - exp(-rate dt)`` at
        a rate that is ``TALK_CAP`` times too dense; of these a part is kept, so that what remains comes with
        ``1 - exp(-rate dt exp(keenness) / TALK_CAP)``.
        """
        people, shop = self.shop.people, self.shop
        keenest = float(reward.max(initial=0.0))

        def take(part: slice) -> Array:
            taken = sharers.takers(
                np.uint32(shop.seed), shop.clock.tick, persons[part], kind[part], reward[part], chance[part], keenest,
                people.uid, people.social_cost, people.shares, people.talk_rate, people.last_share,
                people.activity, shop.config.sharing.reward_weight, shop.clock.days_a_tick, TALK_CAP,
                self._cooldown,
            )  # fmt: skip
            chosen: Array = taken + part.start
            return chosen

        taken: Array = lanes.collect(take, persons.size, WORTH_A_THREAD)
        return taken

    def send(self, sharer: Array, kind: Array, product: Array, team: Array) -> None:
        """Pass on a message each: choose the friends who are told, and when they read it.

        Sharers are persons of the network, each once.
        """
        if sharer.size == 0:
            return
        shop, people, graph, tick = self.shop, self.shop.people, self.shop.graph, self.shop.clock.tick
        share, recipient, strength, due = sharers.recipients(
            np.uint32(shop.seed), np.uint32(tick), sharer, kind, people.uid, people.last_share, people.shares,
            graph.indptr, graph.indices, graph.strength, self._audience, self._team_audience, self._delay,
        )  # fmt: skip
        shop.count("shares", sharer.size)
        if self.sent is not None:
            told = np.bincount(share, minlength=sharer.size)
            self.sent.append(sharer.size, tick=tick, sharer=sharer, kind=kind, product=product, team=team, readers=told)
        self._enqueue(due, share, recipient, strength, sharer, kind, product, team, self._gifts(sharer, kind))

    def _gifts(self, sharer: Array, kind: Array) -> Array:
        """Return what each share promises its readers for signing up, in yuan, float32."""
        gift = np.zeros(sharer.size, np.float32)
        schemes = [scheme for scheme in self.shop.schemes if scheme.is_open]
        for k in _KINDS if schemes else ():
            rows = (kind == k).nonzero()[0]
            if rows.size == 0:
                continue
            who = sharer[rows]
            promised: Any = np.float32(0)
            for scheme in schemes:
                by_scheme = scheme.gift(who, k)
                if isinstance(by_scheme, np.ndarray) or by_scheme:
                    promised = (promised + by_scheme).astype(np.float32)
            gift[rows] = promised
        return gift

    def note(self, sharer: Array, kind: ShareKind) -> None:
        """Write down messages that reach the one who is meant and nobody else."""
        if self.sent is not None:
            self.sent.append(sharer.size, tick=self.shop.clock.tick, sharer=sharer, kind=kind, readers=1)

    def post(self, kol: int, person: int, product: int, recipients: Array) -> None:
        """Show a KOL's post about a product to followers, who read it after the usual delay."""
        shop, n = self.shop, recipients.size
        delay = (
            draws.exponential(shop.seed, Stream.READ, shop.people.uid[recipients], kol, shop.clock.tick) * self._delay
        )
        self._enqueue(
            1 + delay.astype(np.int32), np.zeros(n, np.int32), recipients.astype(np.int32), np.ones(n, np.float32),
            np.array([person], np.int32), np.array([ShareKind.POST], np.int8), np.array([product], np.int32),
            np.array([NONE], np.int32), np.zeros(1, np.float32), kol,
        )  # fmt: skip

    def _enqueue(
        self, wait: Array, share: Array, recipient: Array, strength: Array,
        sharer: Array, kind: Array, product: Array, team: Array, gift: Array, kol: int = NONE,
    ) -> None:  # fmt: skip
        """Put messages into the queue.

        Parameters
        ----------
        wait, share, recipient, strength : ndarray, shape (messages,)
            Ticks until each is read, which share it belongs to, who reads it, and how strong the tie is.
        sharer, kind, product, team, gift : ndarray, shape (shares,)
        kol : int
        """
        shop, moments = self.shop, self.moments
        self._make_room(wait.size)
        rows = sharers.enqueue(
            shop.clock.tick, shop.clock.horizon, kol, wait, share, recipient, strength,
            sharer, kind, product, team, gift,
            self.messages.record, self.messages.vacant[: self._vacancies],
            moments.first, moments.last, moments.messages,
        )  # fmt: skip
        self.under_way += rows.size
        if any(scheme.assignment is not None for scheme in shop.schemes):
            records = self.messages.record
            messages = Shares(*[records[name][rows] for name in Shares.__slots__])
            withhold(shop.schemes, messages)
            records["gift"][rows] = messages.gift

    def _make_room(self, messages: int) -> None:
        """See to it that so many rows are vacant, and that there are moments up to the horizon."""
        vacancies = self._vacancies
        if messages > vacancies:
            fresh = self.messages.append(max(messages - vacancies, len(self.messages)))
            self.messages.vacant[vacancies : vacancies + fresh.size] = fresh
        if len(self.moments) < self.shop.clock.horizon:  # a fork may last longer
            self.moments.append(self.shop.clock.horizon - len(self.moments))

    # Reading.

    def read(self) -> tuple[Shares, Signups]:
        """Let everyone read what has reached them.

        Returns
        -------
        clicks : Shares
            For each person who clicks, the message that they click on.
        signups : Signups
            Prospects among them who would sign up.
        """
        shop = self.shop
        seen = self._due()
        if len(seen) == 0:
            return seen, Signups(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int8))
        for scheme in shop.schemes:
            if scheme.is_open:
                scheme.on_exposure(seen)
        outcome = self._respond(seen)
        shop.count("exposures", len(seen))
        clicks = seen.take(readers.clicked(outcome, seen.recipient, shop.people.exposures))
        shop.count("clicks", len(clicks))
        return clicks, self._sign_up(clicks)

    def _due(self) -> Shares:
        """Take the messages that are read in this tick out of the queue."""
        moments, tick = self.moments, self.shop.clock.tick
        number = int(moments.messages[tick]) if tick < len(moments) else 0
        if number == 0:
            return _NO_SHARES
        *columns, rows = sharers.follow(number, moments.first[tick], self.messages.record)
        self.messages.vacant[self._vacancies : self._vacancies + number] = rows
        moments.messages[tick] = 0
        self.under_way -= number
        return Shares(*columns)

    def _respond(self, seen: Shares) -> Array:
        shop, people = self.shop, self.shop.people
        click = shop.config.sharing.click
        base = math.log(click.base) - math.log1p(-click.base) if 0 < click.base < 1 else (80.0 if click.base else -80.0)

        def respond(part: slice) -> Array:
            outcome: Array = readers.respond(
                np.uint32(shop.seed), np.uint32(shop.clock.tick),
                seen.sharer[part], seen.recipient[part], seen.kind[part], seen.product[part], seen.kol[part],
                seen.strength[part], seen.gift[part],
                people.uid, people.status, people.taste, people.trust, people.exposures, people.deal_prone,
                shop.products.topic, shop.kol_click,
                base, click.strength, click.trust, click.relevance, click.invitation, click.team_call, click.fatigue,
                self._gift_effect, shop.config.people.deal_proneness.pull, shop.config.sharing.win_back,
            )  # fmt: skip
            return outcome

        outcome: Array = lanes.collect(respond, len(seen), WORTH_A_THREAD)
        if shop.config.sharing.response == "threshold":
            prospect = people.status[seen.recipient] == Status.PROSPECT
            rows = np.flatnonzero(prospect & (seen.kind != ShareKind.POST))
            who = seen.recipient[rows]
            np.add.at(people.pressure, who, (seen.strength[rows] / self._strength_in[who]).astype(np.float32))
            outcome[rows] = np.where(people.pressure[who] >= people.threshold[who] - 1e-6, 0.5, 2.0)
        return outcome

    def _sign_up(self, clicks: Shares) -> Signups:
        shop, people = self.shop, self.shop.people
        columns = readers.sign_ups(
            np.uint32(shop.seed), np.uint32(shop.clock.tick),
            clicks.sharer, clicks.recipient, clicks.kind, clicks.gift, people.uid, people.status, people.deal_prone,
            shop.config.sharing.sign_up, self._gift_effect, shop.config.people.deal_proneness.pull,
        )  # fmt: skip
        return Signups(*columns)

    @property
    def _vacancies(self) -> int:
        return len(self.messages) - self.under_way

    @property
    def is_busy(self) -> bool:
        """Whether any message is under way."""
        return self.under_way > 0

    def table(self) -> Pending:
        """Return everything under way as a table."""
        moments, pending = self.moments, Pending()
        for tick in np.flatnonzero(moments.messages).tolist():
            number = int(moments.messages[tick])
            *columns, _ = sharers.follow(number, moments.first[tick], self.messages.record)
            pending.append(number, due=tick, **dict(zip(Shares.__slots__, columns, strict=True)))
        return pending
