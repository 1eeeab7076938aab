"""Group-buy: openers' benefits, budget, limits, stock set aside, figures, and that all books agree."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
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

from sim import Scenario, Shop
from sim.core.ledger import Account
from sim.offers import Mode, ShareKind
from sim.orders import OrderStatus
from sim.schemes.teams import TeamState

NONE = -1


# The opener's benefit.


def test_opener_discount_is_taken_off_the_team_price_at_opening():
    shop = quiet_shop({"discount": "20%", "leader": "discount", "leader_rate": "50%"})
    shop.products.price[:] = 1000
    assert option(offers_for(shop, 0), Mode.OPEN_TEAM).pay == 400
    assert option(offers_for(shop, 1, NONE, open_team(shop, 0)), Mode.JOIN_TEAM).pay == 800


def test_free_opener_gets_their_money_back_when_the_team_fills_and_gives_it_back_with_the_goods():
    terms = {"team_size": 2, "leader": "free", "merchant_share": "30%"}
    shop = quiet_shop(terms, tick="1d", **{"operations.return_rate": 1})
    team = open_team(shop, 0)
    assert net_paid(shop, 0) == shop.book.pay[0]
    join_team(shop, 1, team)
    assert net_paid(shop, 0) == 0
    assert shop.people.benefit[0] == shop.book.worth[0]
    assert shop.book.rewards.tolist() == [shop.book.pay[0], 0]
    assert net_paid(shop, 1) == shop.book.pay[1]
    assert_books_agree(shop)
    wait(shop, 30)
    assert (shop.book.status == OrderStatus.RETURNED).all()
    assert net_paid(shop, 0) == net_paid(shop, 1) == 0
    assert shop.people.benefit[0] == shop.people.benefit[1] == 0
    assert shop.schemes[0].spent == 0
    assert shop.ledger.total(Account.MERCHANTS, Account.BUYERS).sum() > 0  # they bore their part
    assert_books_agree(shop)


def test_opener_of_a_failed_team_gets_no_benefit():
    shop = quiet_shop({"leader": "free", "window": "2h"})
    open_team(shop, 0)
    assert shop.schemes[0].promised == shop.book.pay[0]
    wait(shop, 3)
    assert shop.schemes[0].promised == 0
    assert net_paid(shop, 0) == 0
    assert shop.ledger.total(Account.PLATFORM, Account.BUYERS).sum() == 0


def test_rebate_waits_until_the_order_can_no_longer_be_returned():
    shop = quiet_shop({"team_size": 2, "discount": "20%", "leader": "rebate", "leader_rate": "25%"}, tick="1d")
    shop.products.price[:] = 1000
    join_team(shop, 1, open_team(shop, 0))
    while shop.book.status[0] != OrderStatus.CONFIRMED:
        assert net_paid(shop, 0) == 800
        wait(shop, 1)
    wait(shop, 7)
    assert (net_paid(shop, 0), net_paid(shop, 1)) == (600, 800)
    assert shop.schemes[0].promised == 0
    assert_books_agree(shop)


def test_budget_covers_what_openers_were_promised():
    shop = quiet_shop({"team_size": 2, "discount": "10%", "leader": "free", "budget": 21})
    shop.products.price[:] = 1000  # opening costs 1 yuan at once and 9 when the team fills
    accepted = place(shop, wish(offers_for(shop, np.arange(5)), Mode.OPEN_TEAM))
    assert len(accepted) == 2
    assert len(join_team(shop, 10, accepted.ref[0])) == 1
    assert len(join_team(shop, 11, accepted.ref[1])) == 0  # its discount is no longer covered
    assert_books_agree(shop)


# Limits and stock.


def test_limit_of_units_per_order():
    shop = quiet_shop({"units_per_order": 2})
    assert option(offers_for(shop, 0, quantity=2), Mode.OPEN_TEAM) is not None
    assert option(offers_for(shop, 0, quantity=3), Mode.OPEN_TEAM) is None


def test_limit_of_orders_per_person_does_not_count_refunded_ones():
    shop = quiet_shop({"orders_per_person": 1, "window": "2h"})
    open_team(shop, 0)
    assert option(offers_for(shop, 0, product=1), Mode.OPEN_TEAM) is None
    assert option(offers_for(shop, 1, product=1), Mode.OPEN_TEAM) is not None
    wait(shop, 3)
    assert option(offers_for(shop, 0, product=1), Mode.OPEN_TEAM) is not None


def test_limit_of_orders_in_all_holds_within_a_tick():
    shop = quiet_shop({"orders_in_all": 3})
    assert len(place(shop, wish(offers_for(shop, np.arange(10)), Mode.OPEN_TEAM))) == 3
    assert option(offers_for(shop, 20), Mode.OPEN_TEAM) is None


def test_stock_set_aside_is_for_teams_and_teams_get_no_other():
    terms = {"set_aside": "40%", "team_size": 2, "window": "4h", "end": "6h"}
    shop = quiet_shop(terms, **{"catalog.stock.initial": 10})
    offers = offers_for(shop, np.arange(40))
    everyone = wish(offers, Mode.SOLO)
    assert len(place(shop, everyone)) == 6
    assert len(place(shop, wish(offers, Mode.OPEN_TEAM))) == 4
    assert (shop.products.stock[0], shop.products.set_aside[0]) == (0, 0)
    wait(shop, 5)  # the teams fail and their goods come back to what is set aside
    assert (shop.products.stock[0], shop.products.set_aside[0]) == (4, 4)
    assert len(shop._screen(everyone)) == 0
    wait(shop, 3)  # the scheme is over
    assert shop.products.set_aside.tolist() == [0] * 6
    assert len(shop._screen(everyone)) == 4


def test_a_report_says_how_many_team_prices_are_above_the_list_price():
    assert "team_prices_above_list_price" not in quiet_shop({"prices": {0: 0.1}}).schemes[0].facts()
    shop = quiet_shop({"prices": {0: 0.1, 1: 999_999, 2: 999_999}})
    assert shop.schemes[0].facts()["team_prices_above_list_price"] == 2


def test_units_set_aside_are_at_most_the_stock():
    shop = quiet_shop({"set_aside_units": 7, "scope": {"products": [0, 1]}}, **{"catalog.stock.initial": 5})
    offers_for(shop, 0)
    assert shop.products.set_aside.tolist() == [5, 5, 0, 0, 0, 0]


# What a team is worth to its members, and figures.


def test_reward_is_what_a_member_stands_to_lose_over_the_places_missing_and_gift_what_a_friend_saves():
    shop = quiet_shop({"team_size": 4, "discount": "20%", "leader": "free"})
    shop.products.price[:] = 1000
    team = open_team(shop, 0, quantity=2)
    join_team(shop, 1, team)
    scheme = shop.schemes[0]
    reward = scheme.reward(np.array([0, 1, 2]), ShareKind.TEAM)
    assert reward.tolist() == [(4 + 16) / 2, 2 / 2, 0]  # the opener's money back is at stake too
    assert scheme.reward(np.array([0]), ShareKind.PRODUCT) == 0
    assert scheme.gift(np.array([0, 1, 2]), ShareKind.TEAM).tolist() == [2, 2, 0]  # off a unit, for the friend
    assert scheme.gift(np.array([0]), ShareKind.INVITE) == 0
    join_team(shop, [2, 3], team)
    assert scheme.reward(np.array([0, 1]), ShareKind.TEAM).tolist() == [0, 0]
    assert scheme.gift(np.array([0, 1]), ShareKind.TEAM).tolist() == [0, 0]


def test_metrics_count_teams_whose_time_is_over():
    shop = quiet_shop({"team_size": 2, "window": "4h", "virtual_places": 0})
    quick, lonely = open_team(shop, 0), open_team(shop, 1)
    wait(shop, 2)
    join_team(shop, 2, quick)
    wait(shop, 2)
    running = open_team(shop, 3)
    join_team(shop, 4, open_team(shop, 5))
    wait(shop, 1)
    teams = shop.schemes[0].teams
    assert teams.state[[quick, lonely, running]].tolist() == [TeamState.FILLED, TeamState.REFUNDED, TeamState.OPEN]
    figures = shop.schemes[0].metrics()
    assert (figures["teams_opened"], figures["teams_filled"], figures["teams_failed"]) == (4, 2, 1)
    assert figures["team_orders"] == 6
    assert figures["team_fill_rate"] == 0.5
    assert figures["team_hours_to_fill"] == 2
    assert figures["team_virtual_share"] == 0
    assert shop.schemes[0].facts()["teams_running"] == 1


def test_invited_joiners_are_those_whom_a_member_of_the_team_brought():
    shop = quiet_shop({"team_size": 5})
    team = open_team(shop, 0)
    offers = offers_for(shop, [1, 2, 3], NONE, team)
    offers.visits.sharer[:] = [0, 9, NONE]
    place(shop, wish(offers, Mode.JOIN_TEAM))
    assert shop.schemes[0].metrics()["joiners_invited_share"] == pytest.approx(1 / 3)


# The whole.


@pytest.mark.slow
@settings(max_examples=10)
@given(
    seed=st.integers(0, 2**32 - 1),
    leader=st.sampled_from(["none", "free", "discount", "rebate"]),
    scheme=st.fixed_dictionaries(
        {
            "team_size": st.integers(2, 6),
            "discount": st.sampled_from([0, 0.1, 0.33, 1]),
            "window": st.sampled_from(["1h", "7h", "24h"]),
            "lobby": st.sampled_from([0, 0.5, 1]),
            "join": st.sampled_from(["anyone", "new_members"]),
            "merchant_share": st.sampled_from([0, 0.37, 1]),
        },
        optional={
            "virtual_places": st.integers(0, 1),
            "set_aside": st.sampled_from([0.2, 1]),
            "orders_in_all": st.integers(1, 30),
            "orders_per_person": st.integers(1, 2),
            "units_per_order": st.integers(1, 3),
            "budget": st.sampled_from([1, 50, 500.55]),
            "refund_after": st.sampled_from(["30min", "9h"]),
            "end": st.sampled_from(["2d"]),
        },
    ),
)
def test_books_agree_in_any_busy_shop(seed, leader, scheme):
    rate = 0.4 if leader in ("discount", "rebate") else 0
    values = {
        "horizon": "6d",
        "tick": "2h",
        "people": {"size": 150, "members_at_start": "60%", "hassle": {"mean": 0.1}},
        "demand": {"rate": {"shape": 1, "mean": 10}, "units": 2, "conversion": 0.5},
        "catalog": {"products": 8, "merchants": 2, "stock": {"initial": 40}},
        "sharing": {"team": 0.9, "click": {"base": 0.4}},
        "operations": {"return_rate": 0.5, "lead_time": "6h", "return_window": "12h"},
        "fraud": {"rings": 1},
        "schemes": [{"kind": "group_buy", "leader": leader, "leader_rate": rate, **scheme}],
    }
    shop = Shop(Scenario.from_dict(values), rng=seed)
    while shop.running:
        shop.step()
        assert_books_agree(shop)


def test_what_the_budget_does_not_cover_is_not_offered():
    rich, poor = (quiet_shop({"team_size": 2, "discount": "10%", "budget": budget}) for budget in (1e6, 0.01))
    assert option(offers_for(rich, 0), Mode.OPEN_TEAM) is not None
    assert option(offers_for(poor, 0), Mode.OPEN_TEAM) is None
    assert option(offers_for(poor, 0), Mode.SOLO) is not None


@pytest.mark.parametrize(
    ("leader", "rate", "part"), [("none", 0, 0.0), ("discount", 0.4, 0.0), ("rebate", 0.4, 0.4), ("free", 0, 1.0)]
)
def test_what_openers_are_promised_draws_them_as_much_as_they_expect_of_it(leader, rate, part):
    """Half of it, as half of the teams are expected to fill; by how closely each looks at prices."""
    plain, promising = (
        option(offers_for(quiet_shop({"leader": kind, "leader_rate": share}), 3), Mode.OPEN_TEAM).appeal
        for kind, share in (("none", 0), (leader, rate))
    )
    sensitivity = quiet_shop({}).people.price_sensitivity[3]
    assert promising - plain == pytest.approx(-sensitivity * np.log(1 - part / 2), abs=1e-5)


def test_a_free_order_for_the_opener_opens_more_teams():
    def opened(leader: str) -> int:
        values = {
            "horizon": "10d", "tick": "4h", "people": {"size": 1500, "members_at_start": "100%"},
            "demand": {"rate": {"shape": 1, "mean": 1}, "conversion": 0.2},
            "schemes": [{"kind": "group_buy", "leader": leader, "lobby": 0}],
        }  # fmt: skip
        return len(Shop(Scenario.from_dict(values), rng=1).run().schemes[0].teams)

    assert opened("free") > 1.5 * opened("none")
