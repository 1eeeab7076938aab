"""The first half of a tick: who wakes, reads, signs up and visits, and what visitors are shown.

Each function is a stage of :meth:`sim.shop.Shop.step`, which binds them as methods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import consumers
from sim.core import draws
from sim.core.draws import Stream
from sim.offers import (
    NONE,
    ShareKind,
    Shares,
    Signups,
    Source,
    Visits,
    first_of_each,
    one_each,
)
from sim.people import FAKE_UID, Status

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]


def wake(shop: Shop) -> tuple[Array, Array, Array]:
    """Return who comes, who may talk and who signs up of their own will in this tick."""
    people, clock = shop.people, shop.clock
    woken: tuple[Array, Array, Array] = consumers.scan(
        np.uint32(shop.seed), np.uint32(clock.tick), people.status, people.uid, people.visit_rate,
        people.talk_rate, clock.days_a_tick, shop.operations.demand * shop.shocks.visits,
        clock.probability(shop.config.sharing.organic), np.uint32(FAKE_UID),
    )  # fmt: skip
    return woken


def read(shop: Shop, joiners: Array) -> tuple[Shares, Signups]:
    """Let messages be read; admit those who sign up: on a click, as they were queued to, or unprompted."""
    clicks, signups = shop.feed.read()
    queued, shop._queued_signups = shop._queued_signups, []
    unprompted = Signups(joiners, one_each(NONE, joiners, np.int32), one_each(Source.OWN, joiners, np.int8))
    wanting = Signups.join([signups, *queued, unprompted])
    if len(wanting):
        wanting = wanting.keep(shop.people.status[wanting.person] == Status.PROSPECT)
        wanting = wanting.take(first_of_each(wanting.person))
    if len(clicks):
        known = np.flatnonzero(shop.people.status[clicks.recipient] != Status.PROSPECT)
        who = clicks.recipient[known]
        shop.people.status[who] = Status.MEMBER  # those who had left are back
        shop.recommender.observe_clicks(who, clicks.product[known])
        for scheme in shop.schemes:
            if scheme.is_open:
                scheme.on_click(clicks)
    return clicks, shop._admit(wanting)


def admit(shop: Shop, signups: Signups) -> Signups:
    """Make those members whom risk control lets in, and tell the schemes."""
    if len(signups) == 0:
        return signups
    signups = signups.keep(shop.risk.admit_signups(signups))
    people, who = shop.people, signups.person
    people.status[who] = Status.MEMBER
    people.joined[who] = shop.clock.tick
    people.inviter[who] = signups.inviter
    people.source[who] = signups.source
    shop.count("new_members", len(signups))
    shop.count("invited_members", int(((signups.source == Source.SHARE) | (signups.source == Source.KOL)).sum()))
    shop.recommender.fit_new(who)
    for scheme in shop.schemes:
        if scheme.is_open:
            scheme.on_signup(signups)
    return signups


def visit(shop: Shop, clicks: Shares, joined: Signups, visitors: Array) -> Visits:
    """Return this tick's visits, each person once; a click goes before one's own will."""
    people = shop.people
    parts, shop._queued_visits = shop._queued_visits, []
    source = np.where(clicks.kind == ShareKind.POST, Source.KOL, Source.SHARE)
    parts.append(Visits.of(clicks.recipient, source, clicks.sharer, clicks.product, clicks.team, clicks.kol))
    # Fake accounts come only when they are sent.
    newcomers = joined.person[joined.source != Source.RING]
    parts.append(Visits.of(np.concatenate([newcomers, visitors]), Source.OWN))
    visits = Visits.join(parts)
    rows = np.flatnonzero(people.status[visits.person] == Status.MEMBER)
    visits = visits.take(rows[first_of_each(visits.person[rows])])
    who = visits.person
    if who.size:
        u = draws.uniform(shop.seed, Stream.QUANTITY, people.uid[who], 0, shop.clock.tick)
        visits.quantity[:] = np.where(visits.source == Source.RING, visits.quantity, shop.demand.quantities(u))
        _note_presence(shop, who)
    return visits


def _note_presence(shop: Shop, who: Array) -> None:
    people, clock = shop.people, shop.clock
    day_start = clock.day * clock.ticks_a_day
    shop.count("visits", who.size)
    shop.count("real_visits", int((~people.fake[who]).sum()))
    shop.count("dau", int((people.last_visit[who] < day_start).sum()))
    people.last_visit[who] = clock.tick
    shop.risk.note_visits(who)
    if clock.day // 7 < 64:
        people.active_weeks[who] |= np.uint64(1 << (clock.day // 7))
    age = clock.day - people.joined[who] // clock.ticks_a_day
    for bit, day in enumerate((1, 7, 30)):
        people.visit_days[who[age == day]] |= np.uint8(1 << bit)


def recommend(shop: Shop, visits: Visits) -> Array:
    """Return the slates, with what a visitor clicked on in the first place if it is not among them."""
    slates = shop.recommender.slates(visits)
    rows = np.flatnonzero(visits.product >= 0)
    product = visits.product[rows]
    missing = ~(slates[rows] == product[:, None]).any(axis=1)
    slates[rows[missing], 0] = product[missing]
    # An account that was sent to buy one thing looks at nothing else; one that was sent to be seen, at nothing.
    sent = np.flatnonzero(visits.source == Source.RING)
    slates[sent, 0], slates[sent, 1:] = visits.product[sent], NONE
    _count_views(slates, shop.products.views)
    return slates


@nb.njit(cache=True)
def _count_views(slates, views):  # type: ignore[no-untyped-def]
    """Count each product of each slate as seen."""
    for v in range(slates.shape[0]):
        for k in range(slates.shape[1]):
            if slates[v, k] >= 0:
                views[slates[v, k]] += 1
