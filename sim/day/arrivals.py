"""The first half of a tick: who wakes, reads, signs up and visits, and what visitors are shown.

Each function is a stage of :meth:`sim.shop.Shop.step`, which binds them as methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from agents import waking
from sim.core import lanes
from sim.core.draws import Stream, u01
from sim.core.prefetch import AHEAD, prefetch
from sim.core.turns import turns
from sim.day.bargains import browse
from sim.offers import NONE, ShareKind, Shares, Signups, Source, Visits
from sim.people import FAKE_UID, Status

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
_QUANTITY = np.uint32(Stream.QUANTITY)
_PROSPECT, _MEMBER, _POST = np.int8(Status.PROSPECT), np.int8(Status.MEMBER), np.int8(ShareKind.POST)
_OF_THEIR_OWN, _BY_SHARE, _BY_KOL, _SENT = (
    np.int8(source) for source in (Source.OWN, Source.SHARE, Source.KOL, Source.RING)
)
_LAST = np.int32(np.iinfo(np.int32).max)
WORTH_A_THREAD = 40_000  # persons who may wake
LOOKED_AT_OURSELVES = 5  # one in so many of them: messages are mostly read before the others are through


class Woken:
    """Who wakes in a tick: most persons are looked at by a thread beside us, the rest by whoever asks first.

    Parameters
    ----------
    look : callable
        Takes a slice of the persons, and returns what :func:`agents.waking.scan` does, rows counted from its start.
    persons : int
    """

    def __init__(self, look: Callable[[slice], tuple[Array, Array, Array]], persons: int) -> None:
        self._ours = slice(persons - persons // LOOKED_AT_OURSELVES, persons)
        self._look = look
        self._theirs = lanes.start(lambda: look(slice(0, self._ours.start)), self._ours.start, WORTH_A_THREAD)
        self._found: tuple[Array, Array, Array] | None = None

    def result(self) -> tuple[Array, Array, Array]:
        """Return who visits, who may talk about the shop and who signs up unprompted: rows, ascending."""
        if self._found is None:
            ours = self._look(self._ours)
            theirs = self._theirs.result()
            first = np.int32(self._ours.start)
            visitors, talkers, joiners = (np.concatenate((a, b + first)) for a, b in zip(theirs, ours, strict=True))
            self._found = visitors, talkers, joiners
        return self._found


def wake(shop: Shop) -> Woken:
    """Find who comes, who may talk and who signs up of their own will in this tick, while messages are read."""
    people, clock, config = shop.people, shop.clock, shop.config
    status = people.status.copy()  # as it is now, whatever reading does to it
    factor, organic = shop.operations.demand * shop.shocks.visits, clock.probability(config.sharing.organic)
    uid, visit_rate, talk_rate = people.uid, people.visit_rate, people.talk_rate

    def look(part: slice) -> tuple[Array, Array, Array]:
        found: tuple[Array, Array, Array] = waking.scan(
            np.uint32(shop.seed), np.uint32(clock.tick), status[part], uid[part], visit_rate[part], talk_rate[part],
            clock.days_a_tick, factor, organic, np.uint32(FAKE_UID),
        )  # fmt: skip
        return found

    return Woken(look, len(people))


def read(shop: Shop, woken: Woken) -> tuple[Shares, Signups]:
    """Let messages be read; admit those who sign up: on a click, as they were queued to, or unprompted."""
    clicks, signups = shop.feed.read()
    _, _, joiners = woken.result()
    queued, shop._queued_signups = shop._queued_signups, []
    asked, status = Signups.join([signups, *queued]), shop.people.status
    wanting = Signups(*_wanting(asked.person, asked.inviter, asked.source, joiners, status))
    if len(clicks):
        shop.recommender.observe_clicks(*_welcome_back(clicks.recipient, clicks.product, status))
        for scheme in shop.schemes:
            if scheme.is_open:
                scheme.on_click(clicks)
    return clicks, shop._admit(wanting)


@nb.njit(cache=True)
def _wanting(person, inviter, source, joiners, status):  # type: ignore[no-untyped-def]
    """Return who would sign up, as the columns of :class:`sim.offers.Signups`: prospects, each once, ascending.

    Parameters
    ----------
    person, inviter, source : ndarray, shape (n,)
        Those who do on a click or were queued to; of several sign-ups of one person the first counts.
    joiners : int32 ndarray
        Those who do unprompted, if they are not among them.
    status : int8 ndarray, shape (persons,)
    """
    most = person.size + joiners.size
    asking = np.empty(most, np.int32)
    asking[: person.size], asking[person.size :] = person, joiners
    person_, inviter_, source_ = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int8)
    n = 0
    for turn in turns(asking):
        i = asking[turn]
        if status[i] != _PROSPECT or (n > 0 and person_[n - 1] == i):
            continue
        person_[n] = i
        if turn < person.size:
            inviter_[n], source_[n] = inviter[turn], source[turn]
        else:
            inviter_[n], source_[n] = NONE, _OF_THEIR_OWN
        n += 1
    return person_[:n], inviter_[:n], source_[:n]


@nb.njit(cache=True)
def _welcome_back(recipient, product, status):  # type: ignore[no-untyped-def]
    """Make those members who had left and click, and return who but prospects clicked on what; -1: on no product.

    Parameters
    ----------
    recipient, product : int32 ndarray, shape (n,)
        Columns of the clicks.
    status : int8 ndarray, shape (persons,)
        Changed in place.
    """
    who, what = np.empty(recipient.size, np.int32), np.empty(recipient.size, np.int32)
    n = 0
    for e in range(recipient.size):
        if status[recipient[e]] != _PROSPECT:
            status[recipient[e]] = _MEMBER
            who[n], what[n] = recipient[e], product[e]
            n += 1
    return who[:n], what[:n]


def admit(shop: Shop, signups: Signups) -> Signups:
    """Make those members whom risk control lets in, and tell the schemes."""
    if len(signups) == 0:
        return signups
    signups = signups.keep(shop.risk.admit_signups(signups))
    people = shop.people
    invited = _enrol(
        signups.person, signups.inviter, signups.source, shop.clock.tick, people.status, people.joined, people.inviter,
        people.source,
    )  # fmt: skip
    shop.count("new_members", len(signups))
    shop.count("invited_members", invited)
    shop.recommender.fit_new(signups.person)
    for scheme in shop.schemes:
        if scheme.is_open:
            scheme.on_signup(signups)
    return signups


@nb.njit(cache=True)
def _enrol(person, inviter, source, tick, status, joined, inviter_of, source_of):  # type: ignore[no-untyped-def]
    """Make persons members, and return how many of them came by a message.

    Parameters
    ----------
    person, inviter, source : ndarray, shape (n,)
        Columns of the sign-ups.
    tick : int
    status ... source_of : ndarray, shape (persons,)
        Columns of :class:`sim.people.People`, changed in place.
    """
    invited = 0
    for n in range(person.size):
        i = person[n]
        status[i], joined[i], inviter_of[i], source_of[i] = _MEMBER, tick, inviter[n], source[n]
        invited += source[n] == _BY_SHARE or source[n] == _BY_KOL
    return invited


def visit(shop: Shop, clicks: Shares, joined: Signups, visitors: Array) -> Visits:
    """Return this tick's visits, each person once; a click goes before one's own will."""
    people, queued = shop.people, Visits.join([_NO_VISITS, *shop._queued_visits])
    shop._queued_visits = []
    if len(queued):
        queued = queued.take(queued.person.argsort(kind="stable"))
    # Fake accounts come only when they are sent.
    newcomers = joined.person[joined.source != Source.RING]
    visits = Visits(
        *_gather(
            queued.person, queued.source, queued.sharer, queued.product, queued.team, queued.kol, queued.quantity,
            clicks.recipient, clicks.kind, clicks.sharer, clicks.product, clicks.team, clicks.kol,
            newcomers, visitors, people.status,
            np.uint32(shop.seed), np.uint32(shop.clock.tick), people.uid, shop.demand.extra_units,
        )
    )  # fmt: skip
    if len(visits):
        _note_presence(shop, visits.person)
    return visits


_NO_VISITS = Visits.of(np.zeros(0, np.int32), Source.OWN)


@nb.njit(cache=True)
def _gather(  # type: ignore[no-untyped-def]
    sent, sent_source, sent_sharer, sent_product, sent_team, sent_kol, sent_quantity,
    recipient, kind, click_sharer, click_product, click_team, click_kol,
    newcomers, visitors, status, seed, tick, uid, extra_units,
):  # fmt: skip
    """Return the columns of this tick's visits: members only, each once, in ascending order.

    Who was sent comes as sent; else a click goes before one's own will.

    Parameters
    ----------
    sent ... sent_quantity : ndarray
        Columns of the visits that were queued; persons ascend, of several visits the first counts.
    recipient ... click_kol : ndarray
        Columns of the clicks; recipients ascend.
    newcomers, visitors : int32 ndarray
        Persons, ascending.
    status, uid : ndarray
        Columns of :class:`sim.people.People`.
    seed, tick : uint32
    extra_units : float64 ndarray
        Of :class:`sim.demand.Demand`.
    """
    most = sent.size + recipient.size + newcomers.size + visitors.size
    person, source = np.empty(most, np.int32), np.empty(most, np.int8)
    sharer, product = np.empty(most, np.int32), np.empty(most, np.int32)
    team, kol, quantity = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    subject, u = np.empty(most, np.uint32), np.empty(most)
    s = c = n = v = count = 0
    last = np.int32(-1)
    while s + c + n + v < most:
        if visitors.size:
            later = np.uint32(visitors[min(v + AHEAD, visitors.size - 1)])
            prefetch(status, later)
            prefetch(uid, later)
        i = _LAST
        if s < sent.size:
            i = min(i, sent[s])
        if c < recipient.size:
            i = min(i, recipient[c])
        if n < newcomers.size:
            i = min(i, newcomers[n])
        if v < visitors.size:
            i = min(i, visitors[v])
        was_sent, clicked = s < sent.size and sent[s] == i, c < recipient.size and recipient[c] == i
        if i > last and status[i] == _MEMBER:
            person[count] = i
            if was_sent:
                source[count], sharer[count], product[count] = sent_source[s], sent_sharer[s], sent_product[s]
                team[count], kol[count] = sent_team[s], sent_kol[s]
            elif clicked:
                source[count] = _BY_KOL if kind[c] == _POST else _BY_SHARE
                sharer[count], product[count] = click_sharer[c], click_product[c]
                team[count], kol[count] = click_team[c], click_kol[c]
            else:
                source[count] = _OF_THEIR_OWN
                sharer[count] = product[count] = team[count] = kol[count] = -1
            quantity[count] = sent_quantity[s] if was_sent else 0
            subject[count] = uid[i]
            count += 1
        last = i
        if was_sent:
            s += 1
        elif clicked:
            c += 1
        elif n < newcomers.size and newcomers[n] == i:
            n += 1
        else:
            v += 1
    for n in range(count):
        u[n] = u01(seed, _QUANTITY, subject[n], 0, tick, 0)
    for n in range(count):
        if source[n] != _SENT:
            quantity[n] = 1
            while quantity[n] <= extra_units.size and extra_units[quantity[n] - 1] < u[n]:
                quantity[n] += 1
    return person[:count], source[:count], sharer[:count], product[:count], team[:count], kol[:count], quantity[:count]


def _note_presence(shop: Shop, who: Array) -> None:
    people, clock = shop.people, shop.clock
    real, first_today = _note_visits(
        who, clock.tick, clock.ticks_a_day, people.fake, people.joined, people.last_visit, people.active_weeks,
        people.visit_days,
    )  # fmt: skip
    shop.count("visits", who.size)
    shop.count("real_visits", real)
    shop.count("dau", first_today)
    shop.risk.note_visits(who)


@nb.njit(cache=True)
def _note_visits(who, tick, ticks_a_day, fake, joined, last_visit, active_weeks, visit_days):  # type: ignore[no-untyped-def]
    """Write down that persons are here; return how many of them are real, and how many come for the first time today.

    Parameters
    ----------
    who : int32 ndarray
        Each once.
    tick, ticks_a_day : int
    fake ... visit_days : ndarray
        Columns of :class:`sim.people.People`, the last three changed in place.
    """
    day = tick // ticks_a_day
    week = day // 7
    real = first_today = 0
    for n in range(who.size):
        later = np.uint32(who[min(n + AHEAD, who.size - 1)])
        prefetch(last_visit, later)  # and the other columns, kept beside it
        i = np.uint32(who[n])
        real += not fake[i]
        first_today += last_visit[i] < day * ticks_a_day
        last_visit[i] = tick
        if week < 64:
            active_weeks[i] |= np.uint64(1) << np.uint64(week)
        age = day - joined[i] // ticks_a_day
        for bit, after in enumerate((1, 7, 30)):
            if age == after:
                visit_days[i] |= np.uint8(1 << bit)
    return real, first_today


def recommend(shop: Shop, visits: Visits) -> Array:
    """Return the slates, with what bargain hunters found, and what a visitor clicked on in the first place if it is not
    among them.
    """
    slates = shop.recommender.slates(visits)
    searching = browse(shop, visits, slates)
    _show(slates, visits.product, visits.source, shop.products.views)
    shop.recommender.note_shown(visits, slates, searching)
    return slates


@nb.njit(cache=True)
def _show(slates, product, source, views):  # type: ignore[no-untyped-def]
    """Show visitors what they came for, and count each product of each slate as seen.

    An account that was sent to buy one thing looks at nothing else; one that was sent to be seen, at nothing.
    """
    places = slates.shape[1]
    for v in range(slates.shape[0]):
        if source[v] == _SENT:
            slates[v, 0] = product[v]
            for k in range(1, places):
                slates[v, k] = -1
        elif product[v] >= 0:
            is_there = False
            for k in range(places):
                is_there |= slates[v, k] == product[v]
            if not is_there:
                slates[v, 0] = product[v]
        for k in range(places):
            if slates[v, k] >= 0:
                views[slates[v, k]] += 1
