"""Coupons (优惠券): something off an order, for whom the scheme says, when it says, as often as it says.

A coupon gets into a wallet in one of six ways (``coupon:`` in the scenario)::

    general   a member opens the shop, sees it and bothers to claim it
    newcomer  the shop gives it to whoever signs up
    code      like general, for members who know the code; knowledge spreads with the messages of those who know
    gift      the shop gives it to the members of a segment, on dates
    member    like general, for members with enough orders or long enough with the shop
    purchase  an order of some value earns it, or a red packet to share (see :mod:`sim.schemes.fission`)

Rules that always hold:

- The window of the scheme (``start``, ``end``, its campaigns) limits what is issued. A coupon once issued is good until
  it expires, whether or not the scheme still runs.
- Threshold and percentage look at what the buyer would pay before this coupon, after the schemes that come earlier in
  ``stacking.order``: a team price below the threshold does not qualify, so that no discount is reckoned on money that
  nobody pays.
- One coupon of a scheme an order. Of several coupon schemes, each option gets the one that takes most off, unless
  ``stacking.combine`` lists ``[coupon, coupon]``.
- Beside another scheme's discount or team option a coupon needs the pair listed in ``stacking.combine``.
- The last coupons and the last fen of the budget go to rivals by lot, never by row. What the budget does not cover is
  not offered; without any budget left, no coupon is issued.
- A refunded order takes back the coupon (or the sharer's part of the red packet) that it earned, if it is unused.

What to expect, from the Complete Journey data: 16.6% of targeted households redeem a coupon of a broad campaign, 6.5%
of a small personalised one, with quartiles of 8, 16 and 28 days after its start. Of all coupons distributed in the USA
in 2013, 0.88% were redeemed (Inmar). Redemption is no parameter here: it follows from who visits and what they choose.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sim.core import draws
from sim.core.clock import first_tick
from sim.core.config import FEN_PER_YUAN
from sim.core.draws import Stream
from sim.core.ledger import share_of
from sim.offers import Mode, Offers, Orders, ShareKind, Shares, Signups, Source, Visits
from sim.orders import OrderStatus
from sim.people import Status
from sim.schemes.base import Scheme, SchemeConfig
from sim.schemes.coupon_terms import CLAIMED, CouponConfig
from sim.schemes.fission import RedPackets
from sim.schemes.scope import in_scope
from sim.schemes.top_up import fill_up
from sim.schemes.wallet import Wallets, take_best

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
PLENTY = np.iinfo(np.int64).max
MODES_OF = {"group_buy": (Mode.OPEN_TEAM, Mode.JOIN_TEAM)}  # ways of buying that belong to another kind of scheme
__all__ = ["Coupon", "CouponConfig"]


class Coupon(Scheme):
    """A coupon within one run; see the module's docstring.

    Raises
    ------
    ValueError
        If the config names a product, a category or a stacking pair that the scenario does not have.
    """

    Config: ClassVar[type[SchemeConfig]] = CouponConfig
    kind: ClassVar[str] = "coupon"
    # What a draw decides; added to the scheme's own address.
    KNOWS, PASSES, CLAIMS, LOT, HELPS, FILLS, SPLITS, TOPS_UP = range(8)

    def __init__(self, shop: Shop, config: CouponConfig, number: int) -> None:
        super().__init__(shop, config, number)
        clock = shop.clock
        # By name, not by number: the same coupon in another arm draws the same, whatever schemes stand beside it.
        self._address = zlib.crc32(self.name.encode())
        self._scope = in_scope(config.scope, shop.products, f"coupon {self.name!r}")
        self._begins = first_tick(config.valid_from, clock.tick_hours)
        self._until = None if config.valid_until is None else clock.ticks(config.valid_until) - 1
        self._valid_ticks = clock.ticks(config.valid_for)
        # Given at the end of the tick that a date falls into, so not before it; nor before the scheme opens.
        self._dates = {max(self._first, int(date // clock.tick_hours)) for date in config.dates}
        self._limit = PLENTY if config.per_person is None else config.per_person
        self._open_modes = np.ones(max(Mode) + 1, bool)
        for kind, modes in MODES_OF.items():
            self._open_modes[list(modes)] = self.combines(kind)
        for kind in config.stacks_with or ():
            if not self.combines(kind):
                raise ValueError(
                    f"coupon {self.name!r}: stacking.combine does not pair coupon with {kind!r} of stacks_with"
                )
        self.face = self._expected_face()
        self._usable = self._share_usable()
        self.wallets = Wallets()
        self._filling = np.zeros(0, np.int32)  # persons who have filled up the order that they are about to place
        self.packets = None if config.fission is None else RedPackets(self, config.fission)
        self.seat()

    # What others may ask.

    @property
    def issues(self) -> bool:
        """Whether the scheme still issues coupons: its own dates and the campaign calendar."""
        return super().is_open

    @property
    def is_open(self) -> bool:
        """Whether it runs: it issues coupons, or there are some that may be used."""
        return self.issues or self.wallets.live > 0

    def combines(self, kind: str) -> bool:
        """Whether this coupon may fall on an order together with a kind of scheme."""
        mine: list[str] | None = self.config.stacks_with
        pairs: list[list[str]] = self.shop.config.stacking.combine
        return sorted([self.kind, kind]) in map(sorted, pairs) and (mine is None or kind in mine)

    def room(self) -> int:
        """Return how many more coupons would be issued now."""
        too_late = self._until is not None and self._until < self.shop.clock.tick
        if too_late or not self.issues or self.budget_left == 0:
            return 0
        return PLENTY if self.config.total is None else self.config.total - self.wallets.issued

    def may_receive(self, persons: Array) -> Array:
        """Return a mask of those below the limit of coupons a person, and within the experiment if there is one."""
        self.seat()
        below: Array = self.wallets.purses.received[persons] < self._limit
        return below if self.assignment is None else below & self.admits(persons)

    def draw(self, purpose: int, persons: Array, obj: Any = 0, tick: Any = 0) -> Array:
        """Return this scheme's uniforms for persons (rows of the people)."""
        uid = self.shop.people.uid[persons]
        return draws.uniform(self.shop.seed, Stream.COUPON, uid, obj, tick, self._address + purpose)

    def issue(self, persons: Array, face: Array | int, origin: Array | int = -1) -> Array:
        """Put coupons of a face value (fen) into wallets, no questions asked; return the claims."""
        tick = self.shop.clock.tick
        expires = tick + self._valid_ticks if self._until is None else self._until
        claims = self.wallets.issue(persons, face, tick, max(tick, self._begins), expires, origin)
        self.shop.count("coupons_issued", len(claims))
        return claims

    # How coupons get into wallets.

    def _grant(self, persons: Array, origin: Array | None = None) -> None:
        """Issue a coupon each to persons, as far as limits allow; the last ones by lot."""
        kept = self.may_receive(persons).nonzero()[0]
        room = self.room()
        if room < kept.size:
            lot = self.draw(self.LOT, persons[kept], 0, self.shop.clock.tick)
            kept = np.sort(kept[np.argsort(lot, kind="stable")[:room]])
        if kept.size:
            self.issue(persons[kept], self.face, -1 if origin is None else origin[kept])

    def _bothers(self, persons: Array) -> Array:
        """Return who bothers to claim their next coupon: the same people whenever they are asked."""
        chance: Array = self.draw(self.CLAIMS, persons, self.wallets.purses.received[persons]) < self.config.claim_rate
        return chance

    def _claim(self, visits: Visits) -> None:
        """Let visitors claim, whoever is eligible and bothers; those who were sent to buy leave nothing lying."""
        if self.room() == 0:
            return
        persons = visits.person
        eligible = self.may_receive(persons)
        eligible &= self._is_meant(persons) | self.shop.shocks.hears_of_leak(self.name, persons)
        persons, sent = persons[eligible], visits.source[eligible] == Source.RING
        self._grant(persons[self._bothers(persons) | sent])

    def _is_meant(self, persons: Array) -> Array:
        """Return a mask of the visitors who may claim by the rules."""
        if self.config.coupon not in CLAIMED:
            return np.zeros(persons.size, bool)
        meant = self._in_segment(persons)
        if self.config.coupon == "code":
            meant &= self.wallets.purses.knows_code[persons]
        elif self.config.coupon == "member":
            meant &= self._is_loyal(persons)
        return meant

    def _in_segment(self, persons: Array) -> Array:
        """Return a mask of those in the targeted segment, by what the platform has logged."""
        people, clock, segment = self.shop.people, self.shop.clock, self.config.segment
        if segment == "all":
            return np.ones(persons.size, bool)
        if segment == "never_bought":
            return np.asarray(people.orders[persons] == 0)
        if segment == "new":
            return np.asarray(clock.tick - people.joined[persons] < clock.ticks(self.config.new_within))
        recent = clock.tick - people.last_order[persons] < clock.ticks(self.config.lapsed_after)
        return np.asarray((people.orders[persons] > 0) & (recent == (segment == "active")))

    def _is_loyal(self, persons: Array) -> Array:
        people, clock, config = self.shop.people, self.shop.clock, self.config
        loyal = np.zeros(persons.size, bool)
        if config.min_orders is not None:
            loyal |= people.orders[persons] >= config.min_orders
        if config.member_after is not None:
            loyal |= (clock.tick - people.joined[persons]) * clock.tick_hours >= config.member_after
        return loyal

    def seat(self) -> None:
        """Make room for persons who came after the start; some know the code from the start."""
        purses = self.wallets.purses
        missing = len(self.shop.people) - len(purses)
        if missing > 0:
            rows = purses.append(missing)
            if self.config.coupon == "code":
                purses.knows_code[rows] = self.draw(self.KNOWS, rows) < self.config.code_known

    def on_exposure(self, shares: Shares) -> None:
        """Let the code spread: whoever reads a message that carries it knows it."""
        if self.config.coupon != "code":
            return
        self.seat()
        knows = self.wallets.purses.knows_code
        rows = np.flatnonzero(shares.sharer >= 0)
        rows = rows[knows[shares.sharer[rows]] & ~knows[shares.recipient[rows]]]
        sharer, recipient = shares.sharer[rows], shares.recipient[rows]
        carried = self.draw(self.PASSES, sharer, self.shop.people.uid[recipient], self.shop.clock.tick)
        knows[recipient[carried < self.config.code_passed_on]] = True

    def on_click(self, shares: Shares) -> None:
        """Let members who clicked help with the sharer's red packet."""
        if self.packets is not None and not self.packets.config.new_members_only:
            member = self.shop.people.status[shares.recipient] == Status.MEMBER
            self.packets.help(shares.sharer[member], shares.recipient[member])

    def on_signup(self, signups: Signups) -> None:
        """Give new members their coupon; those who were invited help with the red packet."""
        if self.config.coupon == "newcomer":
            self._grant(signups.person)
        if self.packets is not None:
            self.packets.help(signups.inviter, signups.person)

    # What sharers and their friends can expect.

    def gift(self, sharers: Array, kind: int) -> Array | float:
        """Return what signing up is worth to a recipient, yuan: the newcomer coupon, or a part of a red packet."""
        if self.config.coupon == "newcomer" and self.room() > 0:
            return self.face * self._usable / FEN_PER_YUAN
        if self.packets is not None:
            self.seat()
            return self.packets.promised(sharers) / FEN_PER_YUAN
        return 0.0

    def calls(self, persons: Array) -> Array | None:
        """Return a mask of those who have a red packet open, which needs helpers."""
        if self.packets is None:
            return None
        self.seat()
        waiting: Array = self.wallets.purses.packet[persons] >= 0
        return waiting

    def reward(self, sharers: Array, kind: int) -> Array | float:
        """Return what a share may earn those who have a red packet open, yuan.

        Members do not read invitations, so these earn something only where new members alone may help.
        """
        if self.packets is None or (kind == ShareKind.INVITE and not self.packets.config.new_members_only):
            return 0.0
        self.seat()
        return self.packets.reward(sharers) / FEN_PER_YUAN

    # How they are used.

    def _share_usable(self) -> float:
        """Return the share of baskets that reach the threshold: of a product in scope, in usual quantities, at first
        list prices.
        """
        price = self.shop.products.start_price[self._scope]
        quantity = self.shop.demand.quantities((np.arange(100) + 0.5) / 100)
        return float((price[:, None] * quantity >= self.config.threshold).mean()) if price.size else 0.0

    def _expected_face(self) -> int:
        """Return what a coupon takes off, fen; a percentage, on average over products in scope at first list prices."""
        config, price = self.config, self.shop.products.start_price[self._scope]
        if config.amount is not None:
            return int(config.amount)
        if config.fission is not None:
            return int(config.fission.total // (config.fission.helpers + 1))
        if not (price >= config.threshold).any():
            return 0
        off = share_of(price[price >= config.threshold], config.percent)
        return round(float(off.mean() if config.cap is None else np.minimum(off, config.cap).mean()))

    def least_worth(self, persons: Array) -> Array | None:
        """Return the threshold for those who have a coupon to use."""
        if self.config.threshold == 0 or self.wallets.live == 0:
            return None
        self.seat()
        return np.where(self.wallets.purses.best[persons] >= 0, self.config.threshold, 0)

    def offer(self, offers: Offers) -> None:
        """Let visitors claim, then take the best coupon of each off whatever it can be used for."""
        self.seat()
        wallets, persons = self.wallets, offers.visits.person
        if self.config.coupon in CLAIMED or self.shop.shocks.is_leaked(self.name):
            self._claim(offers.visits)
        if persons.size == 0 or wallets.live == 0:
            return
        discount, any_better, rivals = self.take_off(persons, offers.product, offers.mode, offers.pay, offers.discounts)
        if any_better:
            for number in rivals:
                gives_way = offers.discounts[number]
                gives_way[discount[:, : gives_way.shape[1]] > 0] = 0
            offers.discounts[self.number] = discount

    def take_off(
        self, persons: Array, product: Array, mode: Array, pay: Array, discounts: dict[int, Array]
    ) -> tuple[Array, bool, list[int]]:
        """Take the best coupon of each person off what they would pay for each option.

        Parameters
        ----------
        persons : int32 ndarray, shape (V,)
        product, mode, pay : ndarray, shape (V, W)
            Options as :class:`sim.offers.Offers` has them; ``pay`` is changed in place.
        discounts : dict
            Scheme number -> int64 (V, W'): what other schemes took off.

        Returns
        -------
        tuple
            What was taken off, fen, int64 (V, W); whether any is not zero; the numbers of the schemes whose discount
            gives way where it is not.
        """
        config, wallets = self.config, self.wallets
        rivals, barred = self._taken_by_others(discounts)
        discount = np.zeros(pay.shape, np.int64)
        any_better = take_best(
            self.shop.clock.tick, persons, wallets.purses.best, wallets.claims.begins, wallets.claims.face,
            product, mode, _sum(pay.shape, discounts, rivals), _sum(pay.shape, discounts, barred),
            self._fundable(), self._open_modes, config.threshold, config.percent or 0.0, config.cap or PLENTY,
            self.budget_left, pay, discount,
        )  # fmt: skip
        return discount, any_better, rivals

    def check_out(self, orders: Orders) -> None:
        """Let buyers who fall short of the threshold take more units, if that pays."""
        self._filling = self._filling[:0]
        if self.config.threshold > 0 and self.wallets.live > 0:
            units = orders.quantity.copy()
            if fill_up(self, orders):
                self._filling = orders.person[orders.quantity > units]

    def _taken_by_others(self, discounts: dict[int, Array]) -> tuple[list[int], list[int]]:
        """Return the numbers of coupon schemes that this one competes with, and of schemes it may not fall on."""
        rivals, barred = [], []
        for number in discounts:
            other = self.shop.schemes[number - 1]
            if isinstance(other, Coupon):
                if not (self.combines(self.kind) and other.combines(self.kind)):
                    rivals.append(number)
            elif other.combines_with == "listed" and not self.combines(other.kind):
                barred.append(number)
        return rivals, barred

    def _fundable(self) -> Array:
        """Return a mask of the products in scope whose merchant pays its part, if it has one, and is in an experiment,
        if there is one.
        """
        scope, merchant = self._scope, self.shop.products.merchant
        if self.assignment is not None and self.assignment.merchants is not None:
            scope = scope & self.assignment.merchants[merchant]
        return scope if self.config.merchant_share == 0 else scope & self.shop.merchant_books.funds[merchant]

    def settle(self, orders: Orders) -> None:
        """Take coupons that were used out of wallets; let orders earn new ones."""
        used = orders.discount[:, self.number - 1].nonzero()[0]
        if used.size:
            persons = orders.person[used]
            self.wallets.use(persons, orders.row[used], np.isin(persons, self._filling))
            self._filling = self._filling[:0]
            self.shop.count("coupons_used", used.size)
        if self.config.coupon != "purchase" or self.room() == 0:
            return
        self.seat()
        earning = np.flatnonzero(orders.pay >= self.config.order_at_least)
        person, row = orders.person[earning], orders.row[earning]
        if self.packets is None:
            self._grant(person, row)
        else:
            starts = self._bothers(person) | (orders.source[earning] == Source.RING)
            self.packets.open(person[starts], row[starts])

    def on_refund(self, rows: Array) -> None:
        """Give back the coupons of refunded orders and take back the ones that these earned."""
        given_back, status = self.config.given_back, self.shop.book.status
        if given_back != "never":
            restored = rows if given_back == "always" else rows[status[rows] == OrderStatus.REFUNDED]
            self.shop.count("coupons_given_back", self.wallets.give_back(restored))
        if self.config.coupon == "purchase":
            earned = self.wallets.earned_by(rows) if self.packets is None else self.packets.cancel(rows)
            self.shop.count("coupons_expired", self.wallets.withdraw(earned))

    def close(self) -> None:
        """Give the gifts of this tick; let coupons and red packets expire whose last tick this was."""
        tick = self.shop.clock.tick
        self._filling = self._filling[:0]
        if tick in self._dates:
            members = np.flatnonzero(self.shop.people.is_member).astype(np.int32)
            self._grant(members[self._in_segment(members)])
        if self.packets is not None:
            self.packets.expire(tick)
        self.shop.count("coupons_expired", self.wallets.expire(tick))

    # What comes out.

    def metrics(self) -> dict[str, float]:
        """Return figures of this scheme by metric name; money in yuan."""
        wallets = self.wallets
        order = wallets.claims.order
        lag = self.shop.book.tick[order[order >= 0]] - wallets.claims.issued[order >= 0]
        return {
            "coupon_redemption_rate": wallets.used / wallets.issued if wallets.issued else np.nan,
            "coupon_fill_up_share": wallets.filled_up / wallets.used if wallets.used else np.nan,
            "coupons_issued": float(wallets.issued),
            "coupons_used": float(wallets.used),
            "coupons_expired": float(wallets.expired),
            "coupons_live": float(wallets.live),
            "coupon_cost": self.spent / FEN_PER_YUAN,
            "coupon_liability": wallets.live_face / FEN_PER_YUAN,
            "coupon_redemption_lag_days": float(np.median(lag)) * self.shop.clock.days_a_tick if lag.size else np.nan,
        }

    def facts(self) -> dict[str, Any]:
        """Return what a reader should know: how coupons were issued, how many, and what became of them."""
        wallets = self.wallets
        facts = super().facts() | {
            "coupon": self.config.coupon,
            "issued": wallets.issued,
            "live": wallets.live,
            "expired": wallets.expired,
            "face_yuan": self.face / FEN_PER_YUAN,
            "holders": int((wallets.purses.best >= 0).sum()),
        }
        if self.config.coupon == "code":
            facts["know_code"] = int(wallets.purses.knows_code.sum())
        if self.packets is not None:
            facts |= {"red_packets_opened": self.packets.opened, "red_packets_filled": self.packets.filled}
        return facts


def _sum(shape: tuple[int, ...], discounts: dict[int, Array], numbers: list[int]) -> Array:
    """Return what some schemes take off together, fen, of the shape of all options, or (0, 0) for no scheme."""
    if not numbers:
        return np.zeros((0, 0), np.int64)
    whole = np.zeros(shape, np.int64)
    for number in numbers:
        taken = discounts[number]
        whole[:, : taken.shape[1]] += taken
    return whole
