"""Group-buy: what becomes of a team, who gets a place, and what visitors see."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from team_shop import (
    assert_books_agree,
    join_team,
    net_paid,
    offers_for,
    open_team,
    option,
    place,
    quiet_shop,
    wait,
    wish,
)

from sim.offers import Mode, ShareKind
from sim.orders import OrderStatus
from sim.people import NEVER
from sim.schemes.group_buy import TEAMS_A_SCHEME
from sim.schemes.teams import TeamState

NONE = -1


# What becomes of a team.


def test_full_team_goes_ahead_and_everyone_has_paid_the_team_price():
    shop = quiet_shop({"team_size": 3, "discount": "20%"})
    team = open_team(shop, 0)
    join_team(shop, 1, team)
    assert (shop.book.status == OrderStatus.WAITING).all()
    join_team(shop, 2, team)
    assert (shop.book.status == OrderStatus.PAID).all()
    price = shop.products.price[0]
    assert shop.book.pay.tolist() == [price - price // 5] * 3
    assert shop.schemes[0].teams.state[team] == TeamState.FILLED
    assert_books_agree(shop)


def test_failed_team_refunds_each_member_their_own_order():
    shop = quiet_shop({"team_size": 4, "window": "5h", "leader": "discount", "leader_rate": "50%"})
    team = open_team(shop, 3, quantity=2)
    join_team(shop, 7, team, quantity=5)
    join_team(shop, 8, team, quantity=1)
    paid = [net_paid(shop, person) for person in (3, 7, 8)]
    assert len(set(paid)) == 3 and min(paid) > 0
    wait(shop, 6)
    assert [net_paid(shop, person) for person in (3, 7, 8)] == [0, 0, 0]
    assert (shop.book.status == OrderStatus.REFUNDED).all()
    assert shop.schemes[0].spent == 0
    assert (shop.people.benefit == 0).all()
    assert_books_agree(shop)


def test_each_team_ends_at_its_own_deadline():
    shop = quiet_shop({"window": "6h"})
    first = open_team(shop, 0)
    wait(shop, 3)
    second = open_team(shop, 1)
    teams = shop.schemes[0].teams
    wait(shop, 3)
    assert teams.state[[first, second]].tolist() == [TeamState.OPEN, TeamState.OPEN]
    wait(shop, 1)  # the tick of the first one's deadline is over
    assert teams.state[[first, second]].tolist() == [TeamState.REFUNDED, TeamState.OPEN]
    wait(shop, 3)
    assert teams.state[second] == TeamState.REFUNDED
    assert teams.closed.tolist() == [6, 9]


def test_who_enters_a_team_calls_for_it_and_not_again_when_they_buy_something_else():
    shop = quiet_shop({"window": "6h"})
    open_team(shop, 0)
    assert shop.schemes[0].calls(np.array([0, 1])).tolist() == [True, False]
    wait(shop, 1)
    place(shop, wish(offers_for(shop, 0, 1), Mode.SOLO))
    assert shop.schemes[0].calls(np.array([0, 1])).tolist() == [False, False]


def test_end_of_the_scheme_stops_new_teams_and_leaves_running_ones_their_time():
    shop = quiet_shop({"team_size": 2, "window": "10h", "end": "3h"})
    team = open_team(shop, 0)
    wait(shop, 8)
    assert option(offers_for(shop, 5), Mode.OPEN_TEAM) is None
    assert option(offers_for(shop, 5, team=team), Mode.JOIN_TEAM) is not None
    join_team(shop, 5, team)
    assert shop.schemes[0].teams.state[team] == TeamState.FILLED
    wait(shop, 3)
    assert not shop.schemes[0].is_open


def test_refund_of_a_failed_team_comes_after_the_stated_time():
    shop = quiet_shop({"window": "4h", "refund_after": "3h"})
    open_team(shop, 0)
    wait(shop, 7)  # through the deadline in tick 4, to the end of tick 6
    assert shop.schemes[0].teams.state[0] == TeamState.FAILED
    assert net_paid(shop, 0) > 0
    wait(shop, 1)
    assert net_paid(shop, 0) == 0
    assert_books_agree(shop)


def test_virtual_places_are_a_head_count():
    shop = quiet_shop({"team_size": 6, "virtual_places": 2, "window": "3h"})
    four, three = open_team(shop, 0), open_team(shop, 10)
    join_team(shop, [1, 2, 3], four)
    join_team(shop, [11, 12], three)
    wait(shop, 3)
    teams = shop.schemes[0].teams
    assert teams.state[[four, three]].tolist() == [TeamState.OPEN, TeamState.OPEN]  # the house waits for the deadline
    wait(shop, 1)
    assert teams.state[[four, three]].tolist() == [TeamState.FILLED, TeamState.REFUNDED]
    assert teams.virtual[[four, three]].tolist() == [2, 0]
    assert len(shop.book) == 7  # nobody buys the virtual places
    assert_books_agree(shop)


def test_teams_fill_as_often_as_poisson_joiners_say():
    size, window, rate, teams = 3, 12, 0.15, 600
    shop = quiet_shop(
        {"team_size": size, "window": f"{window}h", "lobby": 1, "leader": "none"},
        size=8000,
        **{"catalog.products": teams},
    )
    openers = np.arange(teams)
    place(shop, wish(offers_for(shop, openers, openers), Mode.OPEN_TEAM))
    wait(shop, 1)
    random = np.random.default_rng(0)
    for _ in range(window):
        product = np.repeat(openers, random.poisson(rate, teams))
        person = teams + random.choice(8000 - teams, product.size, replace=False)
        place(shop, wish(offers_for(shop, person, product), Mode.JOIN_TEAM))
        wait(shop, 1)
    expected = stats.poisson.sf(size - 2, rate * window)
    filled = np.count_nonzero(shop.schemes[0].teams.state == TeamState.FILLED)
    assert abs(filled / teams - expected) < 4 * np.sqrt(expected * (1 - expected) / teams)  # errs once in 16,000
    assert shop.schemes[0].metrics()["team_fill_rate"] == filled / teams


# Places.


def test_last_place_goes_to_one_of_two_rivals_by_lot_and_not_by_row():
    winners = []
    for seed in range(6):
        shop = quiet_shop({"team_size": 2}, rng=seed)
        team = open_team(shop, 0)
        orders = wish(offers_for(shop, [1, 2], NONE, team), Mode.JOIN_TEAM)
        same = [shop._screen(orders.take(np.array(rows))).person.tolist() for rows in ([0, 1], [1, 0])]
        assert same[0] == same[1] and len(same[0]) == 1
        winners += same[0]
        place(shop, orders)
        assert shop.schemes[0].teams.filled[team] == 2
    assert set(winners) == {1, 2}


def test_nobody_has_two_places_in_a_team():
    shop = quiet_shop({"team_size": 4, "lobby": 1})
    team = open_team(shop, 0)
    orders = wish(offers_for(shop, [0, 1], NONE, team), Mode.JOIN_TEAM)
    assert orders.person.tolist() == [1]
    assert option(offers_for(shop, 0), Mode.JOIN_TEAM) is None  # nor from the lobby
    assert option(offers_for(shop, 0), Mode.OPEN_TEAM) is not None
    place(shop, orders)
    assert len(shop._screen(orders)) == 0  # nor if the order comes some other way
    assert option(offers_for(shop, 1, NONE, team), Mode.JOIN_TEAM) is None


def test_full_and_closed_teams_are_not_offered():
    shop = quiet_shop({"team_size": 2, "window": "2h", "lobby": 1})
    full, failed = open_team(shop, 0, product=0), open_team(shop, 1, product=1)
    assert option(offers_for(shop, 3, product=0), Mode.JOIN_TEAM).ref == full
    join_team(shop, 2, full)
    assert option(offers_for(shop, 3, product=0, team=full), Mode.JOIN_TEAM) is None
    assert option(offers_for(shop, 3, product=1), Mode.JOIN_TEAM).ref == failed
    wait(shop, 3)
    assert option(offers_for(shop, 3, product=1, team=failed), Mode.JOIN_TEAM) is None


@pytest.mark.parametrize("tick", ["1h", "4h", "1d"])
def test_new_member_signed_up_within_thirty_days_and_has_no_order(tick):
    shop = quiet_shop({"team_size": 9, "join": "new_members", "lobby": 1}, tick=tick)
    people, day = shop.people, shop.clock.ticks_a_day
    team = open_team(shop, 0)
    people.orders[1:6] = [0, 0, 0, 1, 0]
    people.joined[1:6] = [0, -30 * day, -30 * day - 1, -day, NEVER]
    offers = offers_for(shop, [1, 2, 3, 4, 5], 0, team)
    joins = ((offers.mode == Mode.JOIN_TEAM) & (offers.product >= 0)).sum(axis=1)
    assert joins.tolist() == [2, 2, 0, 0, 0]  # from the lobby and by the link, or not at all
    assert option(offers, Mode.OPEN_TEAM, 3) is not None


def test_cancelled_order_frees_its_place():
    shop = quiet_shop({"team_size": 3})
    team = open_team(shop, 0)
    joined = join_team(shop, 1, team)
    shop.refund(joined.row, OrderStatus.REFUNDED)
    assert shop.schemes[0].teams.filled[team] == 1
    # Who gave it up calls nobody any more, and a friend would bring them nothing.
    members = np.array([0, 1])
    assert shop.schemes[0].calls(members).tolist() == [True, False]
    assert (shop.schemes[0].reward(members, ShareKind.TEAM) > 0).tolist() == [True, False]
    join_team(shop, [1, 2], team)
    assert shop.schemes[0].teams.state[team] == TeamState.FILLED
    assert shop.book.status.tolist() == [OrderStatus.PAID, OrderStatus.REFUNDED, OrderStatus.PAID, OrderStatus.PAID]


# What visitors see.


def test_lobby_shows_every_open_team_of_the_product_alike():
    shop = quiet_shop({"team_size": 50, "lobby": "30%"}, size=6000)
    teams = [open_team(shop, person) for person in range(3)]
    open_team(shop, 3, product=1)
    offers = offers_for(shop, np.arange(10, 6000))
    seen = offers.ref[(offers.mode == Mode.JOIN_TEAM) & (offers.product == 0)]
    count = np.bincount(seen, minlength=4)
    assert count[3] == 0  # a team for another product
    expected = np.append(np.full(3, 0.1), 0.7) * 5990
    observed = np.append(count[teams], 5990 - seen.size)
    assert stats.chisquare(observed, expected).pvalue > 1e-4


def test_without_a_lobby_only_those_who_clicked_can_join():
    shop = quiet_shop({"lobby": 0})
    team = open_team(shop, 0)
    offers = offers_for(shop, np.arange(1, 40))
    assert not ((offers.mode == Mode.JOIN_TEAM) & (offers.product >= 0)).any()
    assert option(offers_for(shop, 1, NONE, team), Mode.JOIN_TEAM).ref == team


def test_waiting_repels_and_friends_and_a_nearly_full_team_attract():
    terms = {"team_size": 4, "nearly_full_appeal": 0.8, "friend_appeal": 0.3, "wariness": 0, "lobby": 1}
    shop = quiet_shop(terms)
    team = open_team(shop, 0)
    join_team(shop, [1, 2], team)
    hassle = shop.people.hassle[5]
    assert option(offers_for(shop, 5, product=1), Mode.OPEN_TEAM).appeal == pytest.approx(-hassle)
    assert option(offers_for(shop, 5), Mode.JOIN_TEAM).appeal == pytest.approx(-hassle + 0.8 * 3 / 4)
    called = option(offers_for(shop, 5, NONE, team), Mode.JOIN_TEAM)
    assert called.appeal == pytest.approx(-hassle + 0.8 * 3 / 4 + 0.3)


def test_people_grow_wary_of_teams_that_fail():
    shop = quiet_shop({"window": "2h", "wariness": 2, "expected_fill": 0.5})
    shop.people.hassle[:] = 0
    assert option(offers_for(shop, 30), Mode.OPEN_TEAM).appeal == pytest.approx(2 * np.log(0.5))
    place(shop, wish(offers_for(shop, np.arange(20)), Mode.OPEN_TEAM))
    wait(shop, 3)
    assert option(offers_for(shop, 30), Mode.OPEN_TEAM).appeal == pytest.approx(2 * np.log(0.25))
    place(shop, wish(offers_for(shop, np.arange(20)), Mode.OPEN_TEAM))
    for team in range(20, 40):
        join_team(shop, [38, 39], team)
    assert option(offers_for(shop, 30), Mode.OPEN_TEAM).appeal == pytest.approx(2 * np.log(0.5))


def test_prices_and_discounts_of_single_products_come_before_the_general_discount():
    shop = quiet_shop({"discount": "10%", "discounts": {1: "40%"}, "prices": {2: 0.5, 3: 99_999}})
    price = shop.products.price
    price[:4] = 1000
    pays = [option(offers_for(shop, 0, product, quantity=2), Mode.OPEN_TEAM).pay for product in range(4)]
    assert pays == [1800, 1200, 100, 2000]  # a team price above the list price takes nothing off
    price[0] = 2000  # the merchant raises the price
    assert option(offers_for(shop, 0), Mode.OPEN_TEAM).pay == 1800


def test_only_products_in_scope_are_sold_in_teams():
    shop = quiet_shop({"scope": {"products": [1, 4]}})
    sold = [option(offers_for(shop, 0, product), Mode.OPEN_TEAM) is not None for product in range(6)]
    assert sold == [False, True, False, False, True, False]
    shop = quiet_shop({"scope": {"category": [1]}})
    sold = [option(offers_for(shop, 0, product), Mode.OPEN_TEAM) is not None for product in range(6)]
    assert sold == (shop.products.category == 1).tolist()


def test_two_group_buys_keep_their_teams_apart():
    shop = quiet_shop(
        {"name": "pairs", "team_size": 2, "discount": "10%", "scope": {"products": [0]}},
        {"name": "fours", "team_size": 4, "discount": "30%", "scope": {"products": [0, 1]}},
    )
    shop.products.price[:] = 1000
    pair = open_team(shop, 0)
    four = int(place(shop, wish(offers_for(shop, 1, 1), Mode.OPEN_TEAM)).ref[0])
    assert (pair, four) == (0, TEAMS_A_SCHEME)
    assert option(offers_for(shop, 2, NONE, pair), Mode.JOIN_TEAM).pay == 900
    assert option(offers_for(shop, 2, NONE, four), Mode.JOIN_TEAM).pay == 700
    join_team(shop, 2, four)
    join_team(shop, 3, pair)
    pairs, fours = shop.schemes
    assert (pairs.teams.filled.tolist(), fours.teams.filled.tolist()) == ([2], [2])
    assert_books_agree(shop)
    wait(shop, 26)
    assert (pairs.teams.state.tolist(), fours.teams.state.tolist()) == ([TeamState.FILLED], [TeamState.REFUNDED])
    assert_books_agree(shop)


def test_who_wants_more_than_there_is_takes_no_place_from_others():
    for rng in range(1, 9):
        shop = quiet_shop({"team_size": 2}, rng=rng)
        team = open_team(shop, 0)
        shop.products.stock[0] = 3
        orders = wish(offers_for(shop, [1, 2], NONE, team, [1, 4]), Mode.JOIN_TEAM)
        assert place(shop, orders).person.tolist() == [1]
        assert shop.products.short[0] == 1
