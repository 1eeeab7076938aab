"""Red packets (裂变红包): a buyer shares a packet; when enough friends have opened it, they split its value in coupons.

A qualifying order entitles its buyer to a packet. While it is open, every message of theirs carries it. A member helps
by clicking on such a message, a prospect by signing up through it: only members have wallets. When the last place is
taken, the sharer and the helpers each get a coupon, and the coupons add up to the packet's value to the fen. A packet
that does not fill in time expires, and nobody gets anything.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sim.core.config import FEN_PER_YUAN, Section, assume
from sim.core.table import Column, Table, column
from sim.core.units import PositiveFen, PositiveHours
from sim.schemes.wallet import count_up_to, matches

if TYPE_CHECKING:
    from sim.schemes.coupon import Coupon

Array = npt.NDArray[Any]
NONE = -1


class FissionConfig(Section):
    """How a red packet fills and how it is split."""

    helpers: Annotated[int, Field(ge=1, le=50)] = assume(3, source="assumption", unit="friends who must open a packet")
    new_members_only: bool = Field(False, description="only friends who sign up through the packet help")
    split: Literal["equal", "random"] = Field(
        "random",
        description="equal: odd fen go to the sharer and the first helpers; random: uniform cuts, at least a fen each",
    )
    total: PositiveFen = Field(description="value of all coupons of a packet together")
    window: PositiveHours = assume(
        24.0, source="published platform practice for shared packets and teams", unit="from the order to the deadline"
    )

    @model_validator(mode="after")
    def _a_fen_for_everybody(self) -> FissionConfig:
        if self.total <= self.helpers:
            least = (self.helpers + 1) / FEN_PER_YUAN
            raise ValueError(f"total must be at least {least:g} yuan: a fen for the sharer and each helper")
        return self


class PacketState(IntEnum):
    """Where a red packet stands."""

    OPEN = 0
    FILLED = 1
    EXPIRED = 2


class Packets(Table):
    """Red packets, one row each, sorted by order and by deadline."""

    sharer: Column = column(np.int32)
    order: Column = column(np.int32)
    opened: Column = column(np.int32)  # tick
    deadline: Column = column(np.int32)  # last tick in which it can fill
    state: Column = column(np.int8)
    helped: Column = column(np.int32)
    helpers: Column = column(np.int32, fill=NONE, width=1)
    claim: Column = column(np.int32, fill=NONE)  # the sharer's coupon; those of the helpers are the next rows


def split(total: int, u: Array, rule: str) -> Array:
    """Split an amount among parties so that the parts sum to it exactly.

    Parameters
    ----------
    total : int
        Fen, at least one for each party.
    u : float ndarray, shape (n, parties - 1)
        Uniforms on (0, 1), used by the random rule.
    rule : {"equal", "random"}

    Returns
    -------
    int64 ndarray, shape (n, parties)
        Each at least 1.

    Notes
    -----
    The random rule breaks a stick of ``total - parties`` fen at uniform places and adds a fen to each part, so that all
    parties have the same distribution, with mean ``total / parties``.
    """
    n, parties = u.shape[0], u.shape[1] + 1
    if rule == "equal":
        each, odd = divmod(total, parties)
        return np.tile(each + (np.arange(parties) < odd), (n, 1)).astype(np.int64)
    spare = total - parties
    cuts = np.sort(np.floor(u * (spare + 1)).astype(np.int64), axis=1)
    ends = np.zeros((n, 1), np.int64)
    result: Array = 1 + np.diff(np.hstack([ends, cuts, ends + spare]), axis=1)
    return result


class RedPackets:
    """The red packets of one coupon scheme.

    Parameters
    ----------
    coupon : Coupon
        Its wallets, limits and budget.
    config : FissionConfig
    """

    def __init__(self, coupon: Coupon, config: FissionConfig) -> None:
        self.coupon = coupon
        self.config = config
        coupon.wallets.purses.hold("packet")
        self.packets = Packets(helpers=config.helpers)
        self.parties = config.helpers + 1
        self.opened = 0
        self.filled = 0
        self._window = coupon.shop.clock.ticks(config.window)
        self._swept = 0  # packets before this row have reached their deadline

    def open(self, sharer: Array, order: Array) -> None:
        """Start a packet for each buyer who has none open and may still receive a coupon."""
        purses = self.coupon.wallets.purses
        free = (purses.packet[sharer] == NONE) & self.coupon.may_receive(sharer)
        sharer, order = sharer[free], order[free]
        tick = self.coupon.shop.clock.tick
        rows = self.packets.append(len(sharer), sharer=sharer, order=order, opened=tick, deadline=tick + self._window)
        purses.packet[sharer] = rows
        purses.received[sharer] += 1  # promised: counts towards per_person until the packet is done
        self.opened += len(rows)
        self.coupon.shop.count("red_packets_opened", len(rows))

    def help(self, sharer: Array, helper: Array) -> None:
        """Let helpers, each at most once in a call, open the packets of those whose message brought them."""
        coupon, packets = self.coupon, self.packets
        coupon.seat()
        purses = coupon.wallets.purses
        tied = sharer >= 0
        sharer, helper = sharer[tied], helper[tied]
        packet = purses.packet[sharer]
        counts = (packet >= 0) & (helper != sharer) & coupon.may_receive(helper)
        counts[counts] = ~(packets.helpers[packet[counts]] == helper[counts][:, None]).any(axis=1)
        packet, sharer, helper = packet[counts], sharer[counts], helper[counts]
        if packet.size == 0:
            return
        lot = coupon.draw(coupon.HELPS, helper, coupon.shop.people.uid[sharer], coupon.shop.clock.tick)
        by_lot = np.lexsort((lot, packet))
        packet, helper = packet[by_lot], helper[by_lot]
        place = packets.helped[packet] + np.arange(packet.size) - np.searchsorted(packet, packet)
        fits = place < self.config.helpers
        packet, helper, place = packet[fits], helper[fits], place[fits]
        packets.helpers[packet, place] = helper
        np.add.at(packets.helped, packet, 1)
        purses.received[helper] += 1
        self._fill(np.unique(packet[packets.helped[packet] == self.config.helpers]))

    def _fill(self, rows: Array) -> None:
        """Split full packets into coupons, as far as the scheme still issues any."""
        if rows.size == 0:
            return
        coupon, packets = self.coupon, self.packets
        lot = coupon.draw(coupon.FILLS, packets.sharer[rows], packets.opened[rows])
        rows = rows[np.argsort(lot, kind="stable")]
        rows, refused = np.split(rows, [min(coupon.room() // self.parties, rows.size)])
        self._end(refused, PacketState.EXPIRED)
        self._end(rows, PacketState.FILLED)
        cuts = coupon.draw(
            coupon.SPLITS, packets.sharer[rows][:, None], packets.opened[rows][:, None], np.arange(self.config.helpers)
        )
        parts = split(self.config.total, cuts, self.config.split)
        parties = np.column_stack([packets.sharer[rows], packets.helpers[rows]])
        claims = coupon.issue(parties.ravel(), parts.ravel())
        packets.claim[rows] = claims[:: self.parties]
        self.filled += rows.size
        coupon.shop.count("red_packets_filled", rows.size)

    def _end(self, rows: Array, state: PacketState) -> None:
        """Close open packets; what was promised to their people no longer counts."""
        purses, packets = self.coupon.wallets.purses, self.packets
        packets.state[rows] = state
        purses.packet[packets.sharer[rows]] = NONE
        promised = np.concatenate([packets.sharer[rows], packets.helpers[rows].ravel()])
        np.subtract.at(purses.received, promised[promised >= 0], 1)

    def expire(self, tick: int) -> None:
        """Close every packet whose deadline is over at the end of ``tick``."""
        first = self._swept
        self._swept = first + count_up_to(self.packets.deadline[first:], tick)
        rows = np.arange(first, self._swept)
        self._end(rows[self.packets.state[rows] == PacketState.OPEN], PacketState.EXPIRED)

    def cancel(self, order: Array) -> Array:
        """Close the open packets of refunded orders; return the sharers' coupons from those that had filled."""
        found = matches(self.packets.order, order)
        self._end(found[self.packets.state[found] == PacketState.OPEN], PacketState.EXPIRED)
        claims: Array = self.packets.claim[found[self.packets.state[found] == PacketState.FILLED]].astype(np.int64)
        return claims

    def promised(self, sharer: Array) -> Array:
        """Return the mean coupon (fen) of each sharer's open packet, 0 without one."""
        mean: Array = np.where(self.coupon.wallets.purses.packet[sharer] >= 0, self.config.total / self.parties, 0.0)
        return mean

    def reward(self, sharer: Array) -> Array:
        """Return what a share is expected to earn its sharer, fen: their coupon over the helpers still missing.

        One share is taken to bring one helper at best, so effort rises as the packet fills (the goal-gradient effect,
        Kivetz, Urminsky & Zheng 2006).
        """
        packet = self.coupon.wallets.purses.packet[sharer]
        missing = np.ones(len(sharer))
        has = packet >= 0
        missing[has] = self.config.helpers - self.packets.helped[packet[has]]
        return np.asarray(self.promised(sharer) / missing)
