"""Operations: the campaign calendar, fulfilment, returns and restocking, as SimPy processes that move batches.

A process holds nothing of its own. What it waits for is a row: an order with its ``due`` tick, a :class:`Restocks` row.
Until when it waits is written down in ``waits``, so that :meth:`Operations.resume` can start it again where it was.

Queueing: parcels leave in batches every ``dispatch_every``, first ordered first served, at most ``capacity`` a day.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt
import simpy

from sim.core import draws
from sim.core.clock import HOURS_A_DAY
from sim.core.draws import Stream, u01
from sim.core.ledger import Account
from sim.core.prefetch import prefetch
from sim.core.table import Column, Table, column
from sim.offers import Source
from sim.orders import OrderStatus

if TYPE_CHECKING:
    from sim.risk.desk import ReviewDesk
    from sim.shop import Shop

Array = npt.NDArray[Any]
Process = Generator[simpy.Event, Any, None]
_NO_ROWS = np.zeros(0, np.int64)
_NEVER = np.int32(np.iinfo(np.int32).max)
_BLOCK = 256  # moments that are looked at in one go
_RETURN = np.uint32(Stream.RETURN)
_DELIVERED, _BY_RING = np.int8(OrderStatus.DELIVERED), np.int8(Source.RING)


class Restocks(Table):
    """Goods that merchants have reordered."""

    product: Column = column(np.int32)
    units: Column = column(np.int64)
    due: Column = column(np.float64)  # hour of arrival
    arrived: Column = column(np.bool_)


class Operations:
    """Back office of one run.

    Parameters
    ----------
    shop : Shop

    Attributes
    ----------
    closed : set of str
        Names of schemes that wait for their campaign.
    demand : float
        Factor on visit rates by the campaigns of the moment.
    waits : dict
        Hour at which each process goes on, by what it does and about which (of the campaigns, of the restocks), in the
        order in which they began to wait: of two at the same hour, the earlier goes first.
    desk : ReviewDesk or None
        The review desk of risk control, if it has one: it works in the same environment.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.config = shop.config.operations
        self.restocks = Restocks()
        self.demand = 1.0
        calendar = shop.config.calendar
        self._open_campaigns: dict[str, int] = {name: 0 for c in calendar for name in c.schemes}
        self.closed = set(self._open_campaigns)
        self._queue = _NO_ROWS  # paid, not yet dispatched, in order of payment
        self._moving = _NO_ROWS  # shipped or delivered: something falls due
        self._moving_due = np.zeros(0, np.int32)  # when, for each
        self._over = 0  # how many of them have ended, and are to be forgotten
        self.waits: dict[tuple[str, int], float] = {}
        self.desk: ReviewDesk | None = None
        for number, campaign in enumerate(calendar):
            self._start("open", number, campaign.start)
        self._start("dispatch", 0, self.config.dispatch_every)
        self._start("due", 0, shop.clock.tick_hours)

    # Processes.

    def _start(self, what: str, number: int, hours: float) -> None:
        """Start a process, which first waits for some hours."""
        process = {
            "open": self._opening,
            "close": self._closing,
            "dispatch": self._dispatching,
            "due": self._due_moments,
            "restock": self._restocking,
        }[what]
        environment = self.shop.clock.environment
        self.waits[what, number] = environment.now + hours
        environment.process(process(number, hours))

    def _wait(self, what: str, number: int, hours: float) -> Process:
        environment = self.shop.clock.environment
        self.waits[what, number] = environment.now + hours
        yield environment.timeout(hours)
        del self.waits[what, number]

    def resume(self, now: float) -> None:
        """Start the processes again in a fresh environment, at the hour ``now``, as ``waits`` has them."""
        self.shop.clock.environment = environment = simpy.Environment()
        waits, self.waits = self.waits, {}
        for (what, number), due in waits.items():
            self._start(what, number, due)  # from hour 0, so that not a bit of a moment is lost by subtracting
        for _ in waits:
            environment.step()  # until each waits
        if self.desk is not None:
            self.desk.resume()
        if now > 0:
            environment.run(until=now)
        if self.desk is not None:
            self.desk.take_up()  # a fork may have more analysts

    def reschedule(self, now: float) -> None:
        """Let the scenario's calendar hold at the hour ``now``, as if it had been in force all along."""
        others = {key: due for key, due in self.waits.items() if key[0] not in ("open", "close")}
        self.waits, self.demand = {}, 1.0
        calendar = self.shop.config.calendar
        self._open_campaigns = {name: 0 for campaign in calendar for name in campaign.schemes}
        for number, campaign in enumerate(calendar):
            if campaign.start > now:
                self.waits["open", number] = campaign.start
            elif campaign.end > now:
                self.waits["close", number] = campaign.end
                self.demand *= campaign.demand
                for name in campaign.schemes:
                    self._open_campaigns[name] += 1
        self.waits |= others
        self._close_what_no_campaign_lists()

    def _opening(self, number: int, hours: float) -> Process:
        yield from self._wait("open", number, hours)
        campaign = self.shop.config.calendar[number]
        self.demand *= campaign.demand
        for name in campaign.schemes:
            self._open_campaigns[name] += 1
        self._close_what_no_campaign_lists()
        yield from self._closing(number, campaign.end - campaign.start)

    def _closing(self, number: int, hours: float) -> Process:
        yield from self._wait("close", number, hours)
        campaign = self.shop.config.calendar[number]
        self.demand /= campaign.demand
        for name in campaign.schemes:
            self._open_campaigns[name] -= 1
        self._close_what_no_campaign_lists()

    def _close_what_no_campaign_lists(self) -> None:
        self.closed = {name for name, count in self._open_campaigns.items() if count == 0}

    # Fulfilment.

    def fulfil(self, rows: Array) -> None:
        """Take paid orders (rows of the order book) into the queue."""
        self._queue = np.concatenate([self._queue, rows])

    def _dispatching(self, number: int, hours: float) -> Process:
        while True:
            yield from self._wait("dispatch", number, hours)
            self._dispatch()
            hours = self.config.dispatch_every

    def _dispatch(self) -> None:
        shop, book = self.shop, self.shop.book
        if shop.shocks.warehouse_is_halted:
            return
        waiting = self._queue[book.status[self._queue] == OrderStatus.PAID]
        room = waiting.size
        if self.config.capacity is not None:
            room = round(self.config.capacity * self.config.dispatch_every / HOURS_A_DAY)
        rows, self._queue = waiting[:room], waiting[room:]
        if rows.size == 0:
            return
        book.status[rows] = OrderStatus.SHIPPED
        book.shipped[rows] = shop.clock.tick
        uid = shop.people.uid[book.person[rows]]
        # Half of the lead time is the road, half is luck: shifted exponential with the configured mean.
        luck = draws.exponential(shop.seed, Stream.LEAD_TIME, uid, book.product[rows], book.tick[rows])
        hours = self.config.lead_time * (0.5 + 0.5 * luck)
        book.due[rows] = shop.clock.tick + np.ceil(hours / shop.clock.tick_hours).astype(np.int32)
        self._ship(rows)
        self._moving = np.concatenate([self._moving, rows])
        self._moving_due = np.concatenate([self._moving_due, book.due[rows]])

    def _ship(self, rows: Array) -> None:
        cost = np.full(rows.size, self.config.shipping, np.int64)
        self.shop.post(Account.MERCHANTS, Account.LOGISTICS, cost)
        self.shop.count("parcels", rows.size)

    def _due_moments(self, number: int, hours: float) -> Process:
        while True:
            yield from self._wait("due", number, hours)
            hours = self.shop.clock.tick_hours
            book = self.shop.book
            arrived, ended = _fall_due(self.shop.clock.tick, self._moving, self._moving_due, book.status)
            if ended.shape[1]:
                self._end(ended[1])
                self._over += ended.shape[1]
            if arrived.shape[1]:
                self._deliver(arrived[1])
                self._moving_due[arrived[0]] = book.due[arrived[1]]
            self._forget_what_is_over()

    def _forget_what_is_over(self) -> None:
        """Take orders that have ended off the list, when they are half of it."""
        if 2 * self._over > self._moving.size:
            moves = self._moving_due != _NEVER
            self._moving, self._moving_due = self._moving[moves], self._moving_due[moves]
            self._over = 0

    def _deliver(self, rows: Array) -> None:
        shop, book, people, config = self.shop, self.shop.book, self.shop.people, self.config
        tick = shop.clock.tick
        unhappy = np.empty(rows.size, np.float32)
        # Whoever decided before it came sends it back at the last moment.
        luck = _hand_over(
            rows, tick, shop.clock.tick_hours, config.late_after, np.float32(1 - config.disappointment),
            np.float32(config.recovery), np.uint32(shop.seed), book.person, book.product, book.tick, book.status,
            book.delivered, book.will_return, book.source, people.uid, people.satisfaction, unhappy,
        )  # fmt: skip
        odds = np.exp(config.satisfaction_effect * unhappy)
        window = shop.clock.ticks(config.return_window) if config.return_window else 0
        _set_terms(rows, tick, window, luck, config.return_rate, odds, book.will_return, book.due)

    def _end(self, rows: Array) -> None:
        """Return or confirm delivered orders."""
        book = self.shop.book
        back = rows[book.will_return[rows]]
        if back.size:
            self._ship(back)
            self.shop.refund(back, OrderStatus.RETURNED)
        kept = rows[~book.will_return[rows]]
        if kept.size:
            self.shop.confirm(kept)

    # Stock.

    def reorder(self, products: Array, units: Array) -> None:
        """Order goods; they arrive after the catalogue's lead time."""
        hours = self.shop.config.catalog.stock.lead_time
        due = self.shop.clock.environment.now + hours
        rows = self.restocks.append(products.size, product=products, units=units, due=due)
        np.add.at(self.shop.products.coming, products, units)
        self._start("restock", int(rows[0]), hours)

    def _restocking(self, first: int, hours: float) -> Process:
        """Put away what is due by now, which is what this process waits for and others of the same moment."""
        yield from self._wait("restock", first, hours)
        restocks, stock = self.restocks, self.shop.products
        rows = np.flatnonzero(~restocks.arrived & (restocks.due <= self.shop.clock.environment.now))
        np.add.at(stock.stock, restocks.product[rows], restocks.units[rows])
        np.subtract.at(stock.coming, restocks.product[rows], restocks.units[rows])
        restocks.arrived[rows] = True


@nb.njit(cache=True)
def _fall_due(tick, moving, due, status):  # type: ignore[no-untyped-def]
    """Find the orders whose moment has come: those that arrive now, and those whose return window ends with that.

    Parameters
    ----------
    tick : int
    moving : int64 ndarray, shape (n,)
        Orders that were shipped, rows of the book.
    due : int32 ndarray, shape (n,)
        When something falls due; of what ends now, it becomes never, changed in place.
    status : int8 ndarray
        Of the order book.

    Returns
    -------
    arrived, ended : int64 ndarray, shape (2, m)
        Places in the list; rows of the book.
    """
    found, n = np.empty(due.size + 1, np.int64), 0
    for first in range(0, due.size, _BLOCK):
        last = min(first + _BLOCK, due.size)
        earliest = _NEVER
        for place in range(first, last):
            earliest = min(earliest, due[place])
        if earliest <= tick:
            for place in range(first, last):  # without branches, which would be guessed wrong too often
                found[n] = place
                n += due[place] <= tick
    for place in found[:n]:
        prefetch(status, moving[place])
    arrived, ended = np.empty((2, n), np.int64), np.empty((2, n), np.int64)
    a = e = 0
    for place in found[:n]:
        if status[moving[place]] == _DELIVERED:
            ended[0, e], ended[1, e], due[place] = place, moving[place], _NEVER
            e += 1
        else:
            arrived[0, a], arrived[1, a] = place, moving[place]
            a += 1
    return arrived[:, :a], ended[:, :e]


@nb.njit(cache=True)
def _hand_over(  # type: ignore[no-untyped-def]
    rows, tick, tick_hours, late_after, spoils, recovery, seed,
    person, product, ordered, status, delivered, will_return, source, uid, satisfaction, unhappy,
):  # fmt: skip
    """Deliver orders; who had to wait long is disappointed, others are pleased, each once.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
        Of the order book.
    tick, tick_hours, late_after : float
        Now; hours of a tick, and after which an order is late.
    spoils, recovery : float32
        Factor on satisfaction; part of what is missing that comes back.
    seed : uint32
    person ... source : ndarray
        Columns of :class:`sim.orders.OrderBook`; ``status`` and ``delivered`` are changed in place.
    uid, satisfaction : ndarray
        Columns of :class:`sim.people.People`; ``satisfaction`` is changed in place.
    unhappy : float32 ndarray, shape (n,)
        One less the buyers' satisfaction; changed in place.

    Returns
    -------
    float64 ndarray, shape (2, n)
        Uniform that decides who returns it on a whim; 1 for rings, who do so by plan only. And when they would, as a
        part of the return window; 1 for those who decided before.
    """
    luck = np.ones((2, rows.size))
    before = np.empty(rows.size, np.float32)
    is_late = np.empty(rows.size, np.bool_)
    for row in rows:
        prefetch(person, row)
        prefetch(product, row)
        prefetch(ordered, row)
        prefetch(status, row)
        prefetch(delivered, row)
        prefetch(will_return, row)
        prefetch(source, row)
    for row in rows:
        prefetch(uid, np.uint32(person[row]))
        prefetch(satisfaction, np.uint32(person[row]))
    for n in range(rows.size):
        row = rows[n]
        i = person[row]
        status[row], delivered[row] = _DELIVERED, tick
        is_late[n], before[n] = (tick - ordered[row]) * tick_hours > late_after, satisfaction[i]
        if source[row] != _BY_RING:
            luck[0, n] = u01(seed, _RETURN, uid[i], nb.uint32(product[row]), nb.uint32(ordered[row]), 0)
        if not will_return[row]:
            luck[1, n] = u01(seed, _RETURN, uid[i], nb.uint32(product[row]), nb.uint32(ordered[row]), 1)
    for n in range(rows.size):  # of several late orders of a person, one counts
        if is_late[n]:
            satisfaction[person[rows[n]]] = before[n] * spoils
    for n in range(rows.size):
        before[n] = satisfaction[person[rows[n]]]
    for n in range(rows.size):
        if not is_late[n]:
            satisfaction[person[rows[n]]] = before[n] + recovery * (np.float32(1.0) - before[n])
    for n in range(rows.size):
        unhappy[n] = np.float32(1.0) - satisfaction[person[rows[n]]]
    return luck


@nb.njit(cache=True)
def _set_terms(rows, tick, window, luck, usual, odds, will_return, due):  # type: ignore[no-untyped-def]
    """Write down which of some orders (rows) will be returned, and when they are or when they become final.

    Without a return window, only those come back that were to do so before they came: they are refused at the door.

    Parameters
    ----------
    rows : int64 ndarray, shape (n,)
    tick, window : int
        Now, and the length of the return window in ticks.
    luck : float64 ndarray, shape (2, n)
        As of :func:`_hand_over`.
    usual : float
        Chance that who is satisfied returns what nobody had decided to return.
    odds : float32 ndarray, shape (n,)
        By which the odds of that are multiplied.
    will_return, due : ndarray
        Columns of the order book, changed in place.
    """
    for n in range(rows.size):
        row = rows[n]
        more = usual * np.float64(odds[n])
        will_return[row] |= window > 0 and luck[0, n] < more / (1 - usual + more)
        due[row] = tick + (math.ceil(luck[1, n] * window) if will_return[row] else window)
