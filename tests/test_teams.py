"""The parts of a group-buy: places, precedence, and what its section of a scenario may say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from team_shop import quiet_shop

from sim.schemes.team_terms import GroupBuyConfig
from sim.schemes.teams import TeamBook, within


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=30),
    st.lists(st.integers(0, 6), min_size=4, max_size=4),
)
def test_first_come_is_first_served_within_each_group(claims, room):
    group = np.array([g for g, _ in claims], np.int64)
    amounts = np.array([a for _, a in claims], np.int64)
    before = [0] * 4
    expected = []
    for g, a in claims:
        before[g] += a
        expected.append(before[g] <= room[g])
    assert within(np.array(room), group, amounts).tolist() == expected


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 9)), max_size=40, unique=True), st.data())
def test_places_are_found_again_whatever_the_order_they_were_taken_in(taken, data):
    book = TeamBook(products=1)
    book.open(rows=5, size=100)
    at = 0
    while at < len(taken):
        step = data.draw(st.integers(1, 7))
        team, person = np.array(taken[at : at + step]).T
        places = book.take_places(team, person, at + np.arange(team.size))
        assert (book.places.person[places] == person).all()
        at += step
    for team in range(5):
        members = {person for t, person in taken if t == team}
        assert set(book.places.person[book.places_of(np.array([team]))].tolist()) == members
        assert book.has_place(np.arange(10), np.full(10, team)).tolist() == [p in members for p in range(10)]
        assert book.teams.filled[team] == len(members)


@pytest.mark.parametrize(
    ("values", "about"),
    [
        ({"virtual_places": "50%"}, "virtual_places"),
        ({"team_size": 3, "virtual_places": 3}, "virtual_places is a head count below team_size"),
        ({"leader": "rebate"}, "leader_rate"),
        ({"leader_rate": "10%"}, "leader_rate"),
        ({"new_member_within": "7d"}, "no effect without join"),
        ({"set_aside": "10%", "set_aside_units": 3}, "either set_aside"),
        ({"prices": {3: 10}, "discounts": {3: "10%"}}, "product 3 has both"),
        ({"team_size": 1}, "team_size"),
        ({"team_size": 101}, "team_size"),
        ({"prices": {-1: 10}}, "prices"),
        ({"discount": "-5%"}, "discount"),
    ],
)
def test_config_refuses_what_makes_no_sense(values, about):
    with pytest.raises(ValidationError, match=about):
        GroupBuyConfig(**values)


@pytest.mark.parametrize(
    "values",
    [{"scope": {"products": [6]}}, {"prices": {6: 10}}, {"scope": {"products": [1]}, "discounts": {2: "5%"}}],
)
def test_products_that_do_not_exist_or_are_out_of_scope_are_refused(values):
    with pytest.raises(Exception, match="product"):
        quiet_shop(values)


def test_config_survives_being_written_and_read():
    config = GroupBuyConfig(prices={3: 9.9}, discounts={4: "7.5%"}, leader="rebate", leader_rate="5%", window="36h")
    assert GroupBuyConfig(**config.model_dump(mode="json")) == config
