"""The feed: messages under way, who reads them, who clicks, and who signs up.

This is the one machinery of spread in the shop. Shares of products and teams, invitations and posts of KOLs all go
through :meth:`Feed.send` or :meth:`Feed.post`, wait in :class:`Pending` until they are read, and end in
:meth:`Feed.read`.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents import sharers
from sim.assignment import withhold
from sim.core import draws
from sim.core.draws import Stream
from sim.core.table import Column, Table, column
from sim.offers import NONE, ShareKind, Shares, Signups, Source
from sim.people import Status, shift

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
_NOBODY = np.zeros(0, np.int64)
TALK_CAP = 10.0  # most that rewards can multiply unprompted talk by


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


class Sent(Table):
    """Shares that were sent, one row each; kept if the scenario records events."""

    tick: Column = column(np.int32)
    sharer: Column = column(np.int32)
    kind: Column = column(np.int8)
    product: Column = column(np.int32, fill=NONE)
    team: Column = column(np.int32, fill=NONE)
    readers: Column = column(np.int32)


class Feed:
    """Messages under way in one run.

    Parameters
    ----------
    shop : Shop

    Attributes
    ----------
    sent : Sent or None
        Every share, if the scenario records events.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        sharing = shop.config.sharing
        self._audience = math.inf if sharing.audience == "all" else float(sharing.audience)
        self._team_audience = math.inf if sharing.team_audience == "all" else float(sharing.team_audience)
        self._delay = sharing.delay / shop.clock.tick_hours
        self._cooldown = math.ceil(sharing.cooldown / shop.clock.tick_hours)
        self.sent = Sent() if shop.config.record.events else None
        self._pending: dict[int, list[Array]] = {}  # records of messages by the tick in which they are read
        if sharing.response == "threshold":
            whole = np.bincount(shop.graph.indices, shop.graph.strength, shop.graph.persons)
            self._strength_in = np.maximum(whole, np.finfo(np.float32).tiny)

    # Sending.

    def rewards(self, persons: Array, kind: ShareKind) -> Array:
        """Return what a share of a kind is expected to earn each person under all schemes, in yuan."""
        reward = np.zeros(persons.size)
        for scheme in self.shop.schemes:
            if persons.size and scheme.is_open:
                reward += scheme.reward(persons, kind)
        return reward

    def takers(self, persons: Array, kind: Array, reward: Array, chance: Array) -> Array:
        """Return a mask of those who take an occasion to share.

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
        taken: Array = sharers.takers(
            np.uint32(shop.seed), shop.clock.tick, persons, kind, reward, chance,
            people.uid, people.social_cost, people.shares, people.talk_rate, people.last_share,
            people.activity, shop.config.sharing.reward_weight, shop.clock.days_a_tick, TALK_CAP,
            self._cooldown,
        )  # fmt: skip
        return taken

    def send(self, sharer: Array, kind: Array, product: Array, team: Array) -> None:
        """Pass on a message each: choose the friends who are told, and when they read it."""
        shop, people = self.shop, self.shop.people
        tied = sharer < shop.graph.persons
        sharer, kind, product, team = sharer[tied], kind[tied], product[tied], team[tied]
        if sharer.size == 0:
            return
        graph, tick = shop.graph, shop.clock.tick
        share, recipient, strength, due = sharers.recipients(
            np.uint32(shop.seed), np.uint32(tick), sharer, kind, people.uid,
            graph.indptr, graph.indices, graph.strength, self._audience, self._team_audience, self._delay,
        )  # fmt: skip
        people.last_share[sharer] = tick
        people.shares[sharer] += 1
        shop.count("shares", sharer.size)
        if self.sent is not None:
            readers = np.bincount(share, minlength=sharer.size)
            self.sent.append(
                sharer.size, tick=tick, sharer=sharer, kind=kind, product=product, team=team, readers=readers
            )
        gift = np.zeros(sharer.size, np.float32)
        for k in ShareKind:
            rows = np.flatnonzero(kind == k) if shop.schemes else _NOBODY
            for scheme in shop.schemes:
                if rows.size and scheme.is_open:
                    gift[rows] += scheme.gift(sharer[rows], k)
        messages = Shares(
            sharer[share], recipient, kind[share], product[share], team[share],
            np.full(share.size, NONE, np.int16), strength, gift[share],
        )  # fmt: skip
        withhold(shop.schemes, messages)
        self._enqueue(messages, due + tick)

    def note(self, sharer: Array, kind: ShareKind) -> None:
        """Write down messages that reach the one who is meant and nobody else."""
        if self.sent is not None:
            self.sent.append(sharer.size, tick=self.shop.clock.tick, sharer=sharer, kind=kind, readers=1)

    def post(self, kol: int, person: int, product: int, recipients: Array) -> None:
        """Show a KOL's post about a product to followers, who read it after the usual delay."""
        shop = self.shop
        n = recipients.size
        delay = (
            draws.exponential(shop.seed, Stream.READ, shop.people.uid[recipients], kol, shop.clock.tick) * self._delay
        )
        messages = Shares(
            np.full(n, person, np.int32), recipients.astype(np.int32), np.full(n, ShareKind.POST, np.int8),
            np.full(n, product, np.int32), np.full(n, NONE, np.int32), np.full(n, kol, np.int16),
            np.ones(n, np.float32), np.zeros(n, np.float32),
        )  # fmt: skip
        self._enqueue(messages, shop.clock.tick + 1 + delay.astype(np.int32))

    def _enqueue(self, messages: Shares, due: Array) -> None:
        horizon = self.shop.clock.horizon
        if due.size == 0:
            return
        order = np.argsort(due, kind="stable")
        records, due = _packed(messages)[order], due[order]
        starts = np.flatnonzero(due[1:] != due[:-1]) + 1
        for start, stop in itertools.pairwise([0, *starts.tolist(), due.size]):
            if due[start] < horizon:
                self._pending.setdefault(int(due[start]), []).append(records[start:stop])

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
        parts = self._pending.pop(shop.clock.tick, [])
        if not parts:
            return _no_shares(), Signups(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int8))
        seen = _unpacked(_joined(parts))
        for scheme in shop.schemes:
            if scheme.is_open:
                scheme.on_exposure(seen)
        keenness = self._respond(seen)
        shop.count("exposures", len(seen))
        sharers.tire(shop.people.exposures, seen.recipient)
        hit = np.flatnonzero(keenness <= 1.0)
        hit = hit[np.lexsort((keenness[hit], seen.recipient[hit]))]
        first = np.ones(hit.size, bool)
        first[1:] = seen.recipient[hit][1:] != seen.recipient[hit][:-1]
        clicks = seen.take(hit[first])
        shop.count("clicks", len(clicks))
        return clicks, self._sign_up(clicks)

    def _respond(self, seen: Shares) -> Array:
        shop, people = self.shop, self.shop.people
        click = shop.config.sharing.click
        base = math.log(click.base) - math.log1p(-click.base) if 0 < click.base < 1 else (80.0 if click.base else -80.0)
        outcome: Array = sharers.respond(
            np.uint32(shop.seed), np.uint32(shop.clock.tick),
            seen.sharer, seen.recipient, seen.kind, seen.product, seen.kol, seen.strength, seen.gift,
            people.uid, people.status, people.taste, people.trust, people.exposures, shop.products.topic,
            shop.kol_click,
            base, click.strength, click.trust, click.relevance, click.invitation, click.team_call, click.fatigue,
            click.gift, shop.config.sharing.win_back,
        )  # fmt: skip
        if shop.config.sharing.response == "threshold":
            prospect = people.status[seen.recipient] == Status.PROSPECT
            rows = np.flatnonzero(prospect & (seen.kind != ShareKind.POST))
            who = seen.recipient[rows]
            np.add.at(people.pressure, who, (seen.strength[rows] / self._strength_in[who]).astype(np.float32))
            outcome[rows] = np.where(people.pressure[who] >= people.threshold[who] - 1e-6, 0.5, 2.0)
        return outcome

    def _sign_up(self, clicks: Shares) -> Signups:
        shop, people, sharing = self.shop, self.shop.people, self.shop.config.sharing
        rows = np.flatnonzero(people.status[clicks.recipient] == Status.PROSPECT)
        who = clicks.recipient[rows]
        u = draws.uniform(shop.seed, Stream.SIGN_UP, people.uid[who], 0, shop.clock.tick)
        rows = rows[u < shift(np.full(rows.size, sharing.sign_up), sharing.click.gift * np.log1p(clicks.gift[rows]))]
        source = np.where(clicks.kind[rows] == ShareKind.POST, Source.KOL, Source.SHARE).astype(np.int8)
        return Signups(clicks.recipient[rows], clicks.sharer[rows], source)

    @property
    def is_busy(self) -> bool:
        """Whether any message is under way."""
        return bool(self._pending)

    def table(self) -> Pending:
        """Return everything under way as a table, for a checkpoint."""
        pending = Pending()
        for due, parts in sorted(self._pending.items()):
            for part in parts:
                pending.append(part.size, due=due, **{name: part[name] for name in _MESSAGE.names or ()})
        return pending


# A message as one record: what waits is sorted, cut and joined again, which is cheaper for one array than for eight.
_MESSAGE = np.dtype([(name, Pending.columns[name].dtype) for name in Shares.__slots__])

_BYTES = np.dtype((np.void, _MESSAGE.itemsize))


def _packed(messages: Shares) -> Array:
    records = np.empty(len(messages), _MESSAGE)
    for name in Shares.__slots__:
        records[name] = getattr(messages, name)
    return records


def _joined(parts: list[Array]) -> Array:
    """Return packed records as one array; as bytes, because numpy looks at every field of structured arrays."""
    return np.concatenate([part.view(_BYTES) for part in parts]).view(_MESSAGE)


def _unpacked(records: Array) -> Shares:
    return Shares(*[np.ascontiguousarray(records[name]) for name in Shares.__slots__])


def _no_shares() -> Shares:
    return _unpacked(np.empty(0, _MESSAGE))
