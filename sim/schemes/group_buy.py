"""Group-buy (拼团): buy at the team price if enough others join your team in time.

A visitor sees, beside each product, one way to buy it with others: open a team of their own, or join a stranger's that
the lobby shows; and whoever clicked on a team that a friend shared can join that one. A member's money waits in escrow
until the team is full. At its own deadline a team that is not full fails, unless the house fills the places that are
still missing, and every member gets back what they paid themselves.

Rules that always hold: one place a person in a team; nobody joins a full or a closed team; the scheme's end stops new
teams, and running ones keep their own deadline. Rivals of one tick for a place, a limit or stock set aside come in the
order in which the shop screens them, which is drawn by lot.

Read :mod:`sim.schemes.team_terms` (what the scenario can say) and :mod:`sim.schemes.teams` (the tables) first.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from sim.core import lanes
from sim.core.config import FEN_PER_YUAN
from sim.core.ledger import Account, share_of
from sim.core.scatter import add_each
from sim.offers import A_TEAM_OF_ITS_OWN, CHEAPEST, NONE, Mode, Offers, Orders, ShareKind
from sim.orders import OrderStatus
from sim.schemes.base import Scheme, SchemeConfig
from sim.schemes.team_orders import (
    at_deadline,
    give_back_orders,
    own_orders,
    savings,
    seat,
    stakes,
    to_refund,
)
from sim.schemes.team_terms import GroupBuyConfig, Terms
from sim.schemes.teams import Buyers, TeamBook, TeamState, in_open_teams, lay_out, within

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
EXPECTED_WEIGHT = 20.0  # teams that must be over before what was seen weighs as much as what was expected
PAID_LATER = ("free", "rebate")  # benefits that the opener gets once the team has filled
WORTH_A_THREAD = 1024  # visitors who are offered teams
TEAMS_A_SCHEME = 1 << 24  # a team's number is its row, plus this for each earlier group-buy of the scenario


class GroupBuy(Scheme):
    """Group-buy within one run; see the module's docstring.

    Attributes
    ----------
    teams : Teams
        Every team ever opened. The shop knows a team by its number: for the first group-buy of a scenario the row.
    promised : int
        Fen that openers of running teams will get back; part of the budget that is not free.
    """

    Config: ClassVar[type[SchemeConfig]] = GroupBuyConfig
    kind: ClassVar[str] = "group_buy"

    def __init__(self, shop: Shop, config: GroupBuyConfig, number: int) -> None:
        super().__init__(shop, config, number)
        self.rank = self.rank_among(GroupBuyConfig)
        self._base = self.rank * TEAMS_A_SCHEME
        self._is_alone = sum(isinstance(section, GroupBuyConfig) for section in shop.config.schemes) == 1
        self.terms = Terms(config, shop.products)
        self.book = TeamBook(len(shop.products))
        self.teams, self.places = self.book.teams, self.book.places
        self.buyers = Buyers(len(shop.people))
        self.orders = 0
        self.promised = 0
        self._keeps_stock = False
        self._kept = np.zeros(len(shop.products), np.int64)

    @property
    def opens_teams(self) -> bool:
        """Whether teams can be opened in this tick."""
        return super().is_open

    @property
    def is_open(self) -> bool:
        """Whether there may be something to offer: new teams, or running ones whose deadline has not come."""
        return self.opens_teams or (len(self.teams) > 0 and self.teams.deadline[-1] >= self.shop.clock.tick)

    @property
    def budget_left(self) -> int:
        """Fen that may still be spent, what openers were promised taken off."""
        return max(0, super().budget_left - self.promised)

    # Offers.

    def options(self, slate: int) -> int:
        """Return how many columns :meth:`offer` adds."""
        return slate + 1

    def offer(self, offers: Offers) -> None:
        """Add a team option for each product on the slates, and one for the team that was clicked on."""
        shop, visits, teams = self.shop, offers.visits, self.teams
        who, tick = visits.person, shop.clock.tick
        self._make_room()
        self._keep_stock()
        self.terms.reckon(shop.products.price)
        if len(visits) == 0:
            return
        columns = offers.widen(self.options(offers.slate))
        discount = offers.discount(self.number)
        rows, may_buy = self._rows(visits.team), self._may_buy(who, visits.quantity)
        may_join = self._may_join(who) & (visits.team != A_TEAM_OF_ITS_OWN)
        eagerness, promised = self._eagerness()
        may_open = self.terms.in_scope & self.opens_teams
        open_teams = self.book.open_by_product(tick)

        def fill_in(part: slice) -> None:
            lay_out(
                np.uint32(shop.seed), np.uint32(tick), self.config.lobby, np.uint32(self.rank), self._base,
                offers.slate, who[part], rows[part], visits.quantity[part], may_buy[part], may_join[part],
                shop.people.uid, shop.people.hassle, shop.people.price_sensitivity, eagerness, promised, may_open,
                shop.products.price, self.terms.saving, self.terms.opener_saving,
                *open_teams, teams.product, teams.filled, teams.size, teams.state, teams.latest,
                self.places.previous, self.places.person, self.config.nearly_full_appeal, self.config.friend_appeal,
                columns.start, offers.product[part], offers.mode[part], offers.ref[part], offers.worth[part],
                offers.pay[part], discount[part], offers.appeal[part],
            )  # fmt: skip

        lanes.share_out(fill_in, len(visits), WORTH_A_THREAD)
        if self.config.budget is not None:  # what the budget does not cover is not offered
            pay = offers.pay[:, columns]
            promise = np.where(offers.mode[:, columns] == Mode.OPEN_TEAM, self.terms.promise(pay), 0)
            offers.product[:, columns][discount[:, columns] + promise > self.budget_left] = NONE

    def _may_buy(self, persons: Array, units: Array) -> Array:
        """Return a mask of persons to whom the limits, and an experiment, leave an order of so many units."""
        config = self.config
        allowed = np.full(persons.size, self.budget_left > 0)
        if self.assignment is not None:
            allowed &= self.admits(persons)
        if config.units_per_order is not None:
            allowed &= units <= config.units_per_order
        if config.orders_per_person is not None:
            allowed &= self.buyers.orders[persons] < config.orders_per_person
        if config.orders_in_all is not None:
            allowed &= self.orders < config.orders_in_all
        return allowed

    def _may_join(self, persons: Array) -> Array:
        if self.config.join == "anyone":
            return np.ones(persons.size, bool)
        people, clock = self.shop.people, self.shop.clock
        hours = (clock.tick - people.joined[persons].astype(np.int64)) * clock.tick_hours
        new: Array = (hours <= self.config.new_member_within) & (people.orders[persons] == 0)
        return new

    def _eagerness(self) -> tuple[np.float32, np.float32]:
        """Return the logits that the risk that a team fails adds to anybody's utility, at most zero, and those that
        what openers get back if it fills adds for each unit of price sensitivity: what they expect is off the price.
        """
        closed, full = self.book.closed, self.book.full
        chance = (full + EXPECTED_WEIGHT * self.config.expected_fill) / (closed + EXPECTED_WEIGHT)
        expected = max(CHEAPEST, 1 - self.terms.promised_share * chance)
        return np.float32(self.config.wariness * math.log(chance)), np.float32(-math.log(expected))

    def _make_room(self) -> None:
        """Follow the growth of the people (fake accounts)."""
        missing = len(self.shop.people) - len(self.buyers)
        if missing:
            self.buyers.append(missing)

    # Which orders are this scheme's. Before a team is opened, its order refers to -1 less the scheme's rank.

    def _rows(self, numbers: Array) -> Array:
        """Return the rows of the teams with the given numbers, -1 for those of others."""
        if self._is_alone:
            return numbers
        own = (numbers >= self._base) & (numbers < self._base + len(self.teams))
        return np.where(own, numbers - self._base, NONE)

    def _own(self, orders: Orders) -> tuple[Array, Array, Array]:
        """Return the positions of this scheme's orders in a batch, the team (row) each joins, -1: a new one, and their
        buyers.
        """
        own, team, person = own_orders(orders.mode, orders.ref, orders.person, self.rank, self._base, len(self.teams))
        return own, team, person

    def _own_rows(self, rows: Array) -> tuple[Array, Array]:
        """Return those of some rows of the order book that are this scheme's, and their teams."""
        teams = self._rows(self.shop.book.team[rows])
        return rows[teams >= 0], teams[teams >= 0]

    # Orders.

    def discount_for_units(self, orders: Orders, units: Array) -> Array:
        """Return the same discount a unit, for as many units as an order may have."""
        discount: Array = orders.discount[:, self.number - 1] // orders.quantity * units
        if self.config.units_per_order is None and not self._keeps_stock:
            return discount
        own, _, _ = self._own(orders)
        too_many = np.zeros(own.size, bool)
        if self.config.units_per_order is not None:
            too_many |= units[own] > self.config.units_per_order
        if self._keeps_stock:
            too_many |= units[own] > self._kept[orders.product[own]]
        discount[own[too_many]] = -1
        return discount

    def screen(self, orders: Orders) -> Array | None:
        """Refuse orders for which there is no place, no stock set aside or no promise to afford, or beyond a limit.

        The orders come in order of precedence.
        """
        config = self.config
        every, team, person = self._own(orders)
        if every.size == 0:
            return None
        self._make_room()
        own, fits = every, self._may_buy(person, orders.quantity[every])
        if not fits.all():
            own, team, person = own[fits], team[fits], person[fits]
        own = own[self.book.finds_place(team, person)]
        if self._keeps_stock:
            own = own[within(self._kept, orders.product[own], orders.quantity[own])]
        if config.orders_in_all is not None:
            own = own[: config.orders_in_all - self.orders]
        if config.budget is not None:
            opens = orders.mode[own] == Mode.OPEN_TEAM
            promise = np.where(opens, self.terms.promise(orders.pay[own]), 0)
            own = own[self.within_budget(orders.discount[own, self.number - 1] + promise)]
        if own.size == every.size:
            return None
        allowed = np.ones(len(orders), bool)
        allowed[every] = False
        allowed[own] = True
        return allowed

    def settle(self, orders: Orders) -> None:
        """Open teams, take places, and see which teams are full."""
        own, team, person = self._own(orders)
        if own.size == 0:
            return
        opens = team < 0
        team[opens] = self._open_teams(orders, own[opens])
        self._make_room()
        places = self.book.take_places(team, person, orders.row[own])
        full = seat(
            own, team, places, self._base, orders.person, orders.row, orders.ref, self.shop.book.team,
            self.buyers.orders, self.buyers.place, self.teams.filled, self.teams.size,
        )  # fmt: skip
        self.orders += own.size
        if self._keeps_stock:
            self._draw_on_stock(orders.product[own], orders.quantity[own])
        self._fill(full)

    def _open_teams(self, orders: Orders, at: Array) -> Array:
        """Open a team for each order at some positions of a batch; return the teams."""
        clock, config = self.shop.clock, self.config
        promised: Array | int = 0
        if config.leader in PAID_LATER:
            promised = self.terms.promise(orders.pay[at])
            self.promised += int(promised.sum())
        deadline = clock.tick + clock.ticks(config.window)
        return self.book.open(
            rows=at.size,
            opener=orders.person[at],
            order=orders.row[at],
            product=orders.product[at],
            opened=clock.tick,
            deadline=deadline,
            refund_due=deadline + (clock.ticks(config.refund_after) if config.refund_after else 0),
            size=config.team_size,
            promised=promised,
        )

    def close(self) -> None:
        """Fill or fail the teams whose own deadline this is, and give back the money of those that failed."""
        teams, places, book, tick = self.teams, self.places, self.shop.book, self.shop.clock.tick
        helped, failed = at_deadline(
            tick, self.config.virtual_places, teams.deadline, teams.state, teams.size, teams.filled, teams.virtual
        )
        self._fill(helped)
        self.book.close(failed, TeamState.FAILED, tick, book)
        rows = to_refund(
            tick, teams.refund_due, teams.state, teams.latest, places.previous, places.person, places.order, book.status
        )
        self.shop.refund(rows, OrderStatus.REFUNDED)
        if not self.is_open:
            self._release_stock()

    def _fill(self, teams: Array) -> None:
        """Let the orders of teams go ahead."""
        if teams.size == 0:
            return
        self.book.close(teams, TeamState.FILLED, self.shop.clock.tick, self.shop.book)
        if self.config.leader == "free":
            self._rebate(teams)

    def on_refund(self, rows: Array) -> None:
        """Take refunded orders off the limits, free their places, and claw back what their teams earned openers."""
        book = self.shop.book
        rows, teams, running = give_back_orders(
            rows, self._base, book.team, book.person, self.buyers.orders, self.teams.state
        )
        if rows.size == 0:
            return
        self.orders -= rows.size
        if self._keeps_stock:
            self._draw_on_stock(book.product[rows], -book.quantity[rows])
        if running.any():
            places = self.book.give_up_places(teams[running > 0], rows[running > 0])
            persons = book.person[self.places.order[places]]
            self.buyers.place[persons[self.buyers.place[persons] == places]] = NONE  # they need friends no more
        if self.config.leader in PAID_LATER:
            self._claw_back(teams[self.teams.order[teams] == rows])

    def on_confirm(self, rows: Array) -> None:
        """Pay the rebates of openers who keep what they bought."""
        if self.config.leader == "rebate":
            rows, teams = self._own_rows(rows)
            self._rebate(teams[self.teams.order[teams] == rows])

    # The opener's benefit.

    def _rebate(self, teams: Array) -> None:
        """Give the openers of teams what they were promised."""
        self.teams.rebated[teams] = self.teams.promised[teams]
        self._forget_promises(teams)
        self._move_rebates(teams, 1)

    def _claw_back(self, teams: Array) -> None:
        """Take back what openers were promised and got: they do not keep what they bought."""
        self._forget_promises(teams)
        self._move_rebates(teams, -1)
        self.teams.rebated[teams] = 0

    def _forget_promises(self, teams: Array) -> None:
        self.promised -= int(self.teams.promised[teams].sum())
        self.teams.promised[teams] = 0

    def _move_rebates(self, teams: Array, sign: int) -> None:
        """Move the rebates of teams: to the openers (1) or back to those who paid them (-1)."""
        amounts, move = self.teams.rebated[teams], self.fund if sign > 0 else self.take_back
        orders, shop = self.teams.order[teams], self.shop
        move(Account.BUYERS, amounts, self.teams.opener[teams])
        shop.merchant_books.charge(shop.book.merchant[orders], sign * self.by_merchants(amounts))
        shop.book.rewards[orders] += sign * amounts

    # Stock set aside.

    def _keep_stock(self) -> None:
        """Set stock aside, once, when the scheme opens."""
        config, products = self.config, self.shop.products
        if self._keeps_stock or not (config.set_aside or config.set_aside_units):
            return
        free = products.stock - products.set_aside
        wanted = share_of(free, config.set_aside) if config.set_aside else config.set_aside_units
        self._kept = np.where(self.terms.in_scope, np.clip(wanted, 0, free), 0)
        products.set_aside += self._kept
        self._keeps_stock = True

    def _release_stock(self) -> None:
        """Give what is left of the stock set aside back to all buyers, when the last team is over."""
        self.shop.products.set_aside -= self._kept
        self._kept[:] = 0
        self._keeps_stock = False

    def _draw_on_stock(self, product: Array, units: Array) -> None:
        add_each(self._kept, product, -units)
        add_each(self.shop.products.set_aside, product, -units)

    # What a team is worth to its members, and what came of them all.

    def calls(self, persons: Array) -> Array | None:
        """Return a mask of those who entered a team in this tick that still needs members."""
        waiting = np.zeros(persons.size, bool)
        position, order, _ = in_open_teams(persons, *self._where())
        waiting[position] = self.shop.book.tick[order] == self.shop.clock.tick
        return waiting

    def reward(self, sharers: Array, kind: int) -> Array | float:
        """Return what one more friend in the team they entered last is worth to members.

        That is what they stand to lose if it fails, over the places missing; yuan, 0 unless the team is still open.
        """
        if kind != ShareKind.TEAM:
            return 0.0
        book, teams = self.shop.book, self.teams
        yuan: Array = stakes(
            sharers, self._where(), book.worth, book.pay, teams.order, teams.promised, teams.size, teams.filled
        )
        return yuan

    def gift(self, sharers: Array, kind: int) -> Array | float:
        """Return what a friend saves on a unit in the team that sharers entered last; yuan, 0 unless it is open."""
        if kind != ShareKind.TEAM:
            return 0.0
        yuan: Array = savings(sharers, self._where(), self.teams.product, self.terms.saving)
        return yuan

    def _where(self) -> tuple[Array, Array, Array, int, Array]:
        """Return what :func:`in_open_teams` takes after the persons."""
        self._make_room()
        return self.buyers.place, self.places.order, self.shop.book.team, self._base, self.teams.state

    def metrics(self) -> dict[str, float]:
        """Return how many teams filled, how fast and with whom; NaN where there is nothing to tell.

        Rates and times are over teams whose deadline has passed, so that running teams do not bias them.
        """
        teams, over = self.teams, self.teams.deadline < self.shop.clock.tick
        filled = teams.state == TeamState.FILLED
        hours = (teams.closed - teams.opened) * self.shop.clock.tick_hours
        return {
            "teams_opened": float(len(teams)),
            "teams_filled": float(np.count_nonzero(filled)),
            "teams_failed": float(np.count_nonzero(~filled & (teams.state != TeamState.OPEN))),
            "team_orders": float(len(self.places)),
            "team_fill_rate": _mean(filled[over]),
            "team_hours_to_fill": _mean(hours[over & filled]),
            "team_virtual_share": _mean(teams.virtual[over & filled] > 0),
            "joiners_invited_share": _mean(self._invited_joiners()),
        }

    def _invited_joiners(self) -> Array:
        """Return a mask over all who joined a team: whether a member of that team brought them."""
        book = self.shop.book
        rows = self.places.order[book.mode[self.places.order] == Mode.JOIN_TEAM]
        sharer = book.sharer[rows]
        invited: Array = (sharer >= 0) & self.book.has_place(sharer, self._rows(book.team[rows]))
        return invited

    def facts(self) -> dict[str, Any]:
        """Return what a reader should know of the teams."""
        prices = self.config.prices
        list_price = self.shop.products.start_price[list(prices)]
        above = int(np.count_nonzero(np.array(list(prices.values())) > list_price))
        return {
            **super().facts(),
            **self.metrics(),
            **({"team_prices_above_list_price": above} if above else {}),
            "teams_running": int(np.count_nonzero(self.teams.state == TeamState.OPEN)),
            "opener_rebates_yuan": int(self.teams.rebated.sum()) / FEN_PER_YUAN,
            "opener_rebates_promised_yuan": self.promised / FEN_PER_YUAN,
        }


def _mean(values: Array) -> float:
    return float(values.mean()) if values.size else float("nan")
