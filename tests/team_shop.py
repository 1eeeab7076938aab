"""A quiet shop for group-buy tests: who comes, what they look at and what they want is up to the test."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from sim import Scenario, Shop
from sim.core.graph import Graph
from sim.core.ledger import Account
from sim.offers import Mode, Offers, Orders, Visits
from sim.orders import OPEN, OrderStatus
from sim.schemes.group_buy import TEAMS_A_SCHEME, GroupBuy
from sim.schemes.teams import TeamState

NONE = -1


def quiet_shop(*schemes: dict, rng: int = 1, size: int = 40, **changes) -> Shop:
    """A shop whose members know nobody, and where nobody comes unless a test sends them."""
    values = {
        "horizon": "40d",
        "tick": "1h",
        "people": {"size": size, "members_at_start": "100%"},
        "catalog": {"products": 6, "merchants": 2, "categories": 2},
        "demand": {"units": 1},
        "sharing": {"organic": 0, "word_of_mouth": 0},
        "recommendation": {"model": "random", "slate": 4},
        "operations": {"return_rate": 0},
        "schemes": [{"kind": "group_buy", "lobby": 0, **scheme} for scheme in schemes],
        "record": {"journal": True},
    }
    strangers = Graph.from_edges([], [], persons=size)
    schemes = values.pop("schemes")  # with the changes, which they may need
    shop = Shop(Scenario.from_dict(values).override({**changes, "schemes": schemes}), rng=rng, graph=strangers)
    shop.people.visit_rate[:] = shop.people.talk_rate[:] = 0
    return shop


def offers_for(shop: Shop, person, product=0, team=NONE, quantity=1) -> Offers:
    """What persons are offered who look at one product each, or clicked on a team."""
    person = np.atleast_1d(np.asarray(person, np.int32))

    def each(value, dtype=np.int32):
        return np.full(person.size, value, dtype) if np.isscalar(value) else np.asarray(value, dtype)

    visits = Visits(person, each(0, np.int8), each(NONE), each(NONE), each(team), each(NONE), each(quantity))
    return shop._offer(visits, each(product)[:, None])


def option(offers: Offers, mode: Mode, row: int = 0) -> SimpleNamespace | None:
    """The one option of a visitor in some mode, or None."""
    at = np.flatnonzero((offers.mode[row] == mode) & (offers.product[row] >= 0))
    if at.size == 0:
        return None
    names = ("product", "ref", "worth", "pay", "appeal")
    return SimpleNamespace(**{name: getattr(offers, name)[row, at[0]] for name in names})


def wish(offers: Offers, mode: Mode) -> Orders:
    """Every visitor wants their first option of that mode."""
    at = (np.arange(len(offers.visits)), np.argmax((offers.mode == mode) & (offers.product >= 0), axis=1))
    wanted = (offers.mode[at] == mode) & (offers.product[at] >= 0)
    discount = np.zeros((wanted.size, max(offers.discounts, default=1)), np.int64)
    for number, taken in offers.discounts.items():
        whole = np.zeros(offers.product.shape, np.int64)
        whole[:, : taken.shape[1]] = taken
        discount[:, number - 1] = whole[at]
    v = offers.visits
    orders = Orders(
        v.person, offers.product[at], v.quantity, offers.mode[at], offers.ref[at], offers.worth[at], offers.pay[at],
        discount, v.source, v.sharer, v.kol, np.full(wanted.size, NONE, np.int64),
    )  # fmt: skip
    return orders.take(wanted)


def place(shop: Shop, orders: Orders) -> Orders:
    accepted = shop._screen(orders)
    shop._settle(accepted)
    return accepted


def open_team(shop: Shop, person, product=0, quantity=1) -> int:
    """Let a person open a team and return its number."""
    return int(place(shop, wish(offers_for(shop, person, product, quantity=quantity), Mode.OPEN_TEAM)).ref[0])


def join_team(shop: Shop, person, team, quantity=1) -> Orders:
    """Let persons join a team whose link they clicked on; return the accepted orders."""
    return place(shop, wish(offers_for(shop, person, NONE, team, quantity), Mode.JOIN_TEAM))


def wait(shop: Shop, ticks: int) -> None:
    for _ in range(ticks):
        shop.step()


def net_paid(shop: Shop, person: int) -> int:
    """What a buyer has paid less what they got back, by the journal."""
    journal = shop.ledger.journal
    own = journal.person == person
    paid = journal.amount[own & (journal.debit == Account.BUYERS)].sum()
    return int(paid - journal.amount[own & (journal.credit == Account.BUYERS)].sum())


def assert_books_agree(shop: Shop) -> None:
    """Conservation: money, escrow, places and stock."""
    book = shop.book
    assert shop.ledger.imbalance() == 0
    assert shop.ledger.balance(Account.ESCROW) == book.worth[np.isin(book.status, OPEN)].sum()
    assert (shop.products.stock >= 0).all()
    for scheme in shop.schemes:
        if not isinstance(scheme, GroupBuy):
            continue
        teams, base = scheme.teams, scheme.rank * TEAMS_A_SCHEME
        rows = np.flatnonzero((book.team >= base) & (book.team < base + len(teams)))
        team, status = book.team[rows] - base, book.status[rows]
        state = teams.state[team]
        assert (teams.filled + teams.virtual <= teams.size).all()
        assert np.array_equal(np.bincount(team, minlength=len(teams)), teams.filled)
        assert ((status == OrderStatus.WAITING) == np.isin(state, (TeamState.OPEN, TeamState.FAILED))).all()
        assert ((status == OrderStatus.REFUNDED) == (state == TeamState.REFUNDED)).all()
        assert (teams.filled + teams.virtual == teams.size)[teams.state == TeamState.FILLED].all()
        assert len(np.unique(np.stack([team, book.person[rows]]), axis=1).T) == rows.size
        assert (book.product[rows] == teams.product[team]).all()
        assert scheme.promised == teams.promised.sum()
        assert scheme.orders == np.count_nonzero(~np.isin(status, (OrderStatus.REFUNDED, OrderStatus.RETURNED)))
        if scheme.config.budget is not None:
            assert scheme.spent + scheme.promised <= scheme.config.budget
