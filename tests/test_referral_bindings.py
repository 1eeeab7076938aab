"""Referral: who is bound to whom, and who may promote."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from referral_shop import PERSONS, World, scenario, world

from sim import Shop
from sim.offers import ShareKind
from sim.orders import OrderStatus
from sim.people import Status
from sim.schemes.promoters import BOUND, CYCLE, KEPT, TO_SELF, bind, chain_size
from sim.schemes.referral import Referral

# Bindings.


def test_only_registration_binds_unless_said_otherwise() -> None:
    w = world()
    w.click([2], [0])
    assert w.standing.bound_to[2] == -1
    w.join([2], [0])
    w.join([2], [1])
    assert w.standing.bound_to[2] == 0


def test_any_time_binds_members_without_promoter_by_a_click() -> None:
    w = world(binding="any_time")
    w.click([2], [0], ShareKind.POST)
    assert w.standing.bound_to[2] == -1
    w.click([2], [0])
    w.click([2], [1])
    assert w.standing.bound_to[2] == 0


def test_override_binds_to_the_last_link() -> None:
    w = world(binding="override")
    w.click([2], [0])
    w.click([2], [1])
    assert w.standing.bound_to[2] == 1


def test_a_prospect_who_clicks_but_does_not_sign_up_is_not_bound() -> None:
    w = world(binding="any_time")
    w.shop.people.status[2] = Status.PROSPECT
    w.click([2], [0])
    assert w.standing.bound_to[2] == -1


def test_binding_expires_after_its_time_and_starts_anew_with_a_new_click() -> None:
    w = world(binding="override", binding_expires="3d", rates=["10%"])
    w.click([1, 2], [0, 0])
    w.days(2)
    w.click([2], [3])
    w.days(2)
    assert w.standing.bound_to[[1, 2]].tolist() == [-1, 3]
    w.buy(1)
    assert len(w.rewards) == 0
    w.click([1], [3])
    assert w.standing.bound_to[1] == 3


def test_a_click_on_the_same_promoter_renews_a_binding_that_expires() -> None:
    w = world(binding="override", binding_expires="3d")
    w.click([1], [0])
    w.days(2)
    w.click([1], [0])
    w.days(3)
    assert w.standing.bound_to[1] == 0
    w.days(1)
    assert w.standing.bound_to[1] == -1


def test_binding_to_oneself_or_to_somebody_below_is_refused_and_counted() -> None:
    w = world(binding="any_time")
    w.chain(0, 1, 2)
    w.click([0, 0], [0, 2])
    assert w.standing.bound_to[0] == -1
    facts = w.scheme.facts()
    assert (facts["self_bindings_refused"], facts["cycles_refused"]) == (1, 1)


def test_two_who_click_on_each_other_in_one_tick_are_not_bound_in_a_circle() -> None:
    w = world(binding="any_time")
    w.click([0, 1], [1, 0])
    assert sorted(w.standing.bound_to[[0, 1]].tolist()) in ([-1, 0], [-1, 1])
    assert w.scheme.facts()["cycles_refused"] == 1


def test_rivals_for_a_binding_are_ranked_by_draw_and_not_by_row() -> None:
    outcomes = []
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        w = world(binding="any_time")
        w.click([9] * 4, order)
        outcomes.append(int(w.standing.bound_to[9]))
    assert outcomes[0] == outcomes[1] != -1


@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=40), st.booleans())
def test_bindings_stay_a_forest(pairs: list[tuple[int, int]], override: bool) -> None:
    bound_to, bound_tick = np.full(8, -1, np.int32), np.zeros(8, np.int32)
    for tick, (person, promoter) in enumerate(pairs, start=1):
        before = bound_to.copy()
        (outcome,), to_self, cycles = bind(
            bound_to, bound_tick, np.array([person], np.int32), np.array([promoter], np.int32), override, tick
        )
        ancestors = set()
        above = promoter
        while above >= 0:
            assert above not in ancestors
            ancestors.add(above)
            above = int(before[above])
        if person == promoter:
            expected = TO_SELF
        elif before[person] >= 0 and not override:
            expected = KEPT
        else:
            expected = CYCLE if person in ancestors else BOUND
        assert outcome == expected
        assert (to_self, cycles) == (expected == TO_SELF, expected == CYCLE)
        assert (bound_tick[person] == tick) == (expected == BOUND)
        assert bound_to[person] == (promoter if expected == BOUND else before[person])


def test_chain_size_counts_everybody_below_over_all_levels() -> None:
    #  0 - 1 - 2, 3;  0 - 4;  5 - 6
    bound_to = np.array([-1, 0, 1, 1, 0, -1, 5], np.int32)
    assert chain_size(bound_to) == (4, 2)
    assert chain_size(np.full(3, -1, np.int32)) == (0, 0)


# Who may promote.


def test_appointed_promoters_alone_earn() -> None:
    w = world(promoters="appointed", appointed={"persons": [0]}, rates=["10%"])
    w.join([2, 3], [0, 1])
    w.buy(2, 3)
    assert [w.earned(0), w.earned(1)] == [10, 0]
    assert w.scheme.metrics()["promoters"] == 1


def test_appointed_by_degree_are_those_with_most_ties() -> None:
    star = np.zeros((PERSONS, PERSONS), int)
    star[7] = star[:, 7] = 1
    np.fill_diagonal(star, 0)
    rules = {"promoters": "appointed", "appointed": {"count": 1, "by": "degree"}}
    shop = Shop(scenario(rules), rng=1, graph=nx.from_numpy_array(star))
    (scheme,) = shop.schemes
    assert isinstance(scheme, Referral)
    assert np.flatnonzero(scheme.promoters.standing.enrolled).tolist() == [7]


def test_a_random_share_of_persons_can_be_appointed() -> None:
    w = world(promoters="appointed", appointed={"share": "25%", "by": "random"})
    assert w.scheme.metrics()["promoters"] == PERSONS / 4


def test_spenders_promote_once_they_have_spent_enough_and_not_by_refunded_orders() -> None:
    w = world(promoters="spenders", min_spend=100, rates=["10%"])
    row = w.buy(0, yuan=100)
    w.join([1, 2], [0, 3])
    assert w.standing.bound_to[[1, 2]].tolist() == [0, -1]
    w.shop.refund(row, OrderStatus.RETURNED)
    w.buy(1)
    assert w.earned(0) == 0


def test_members_apply_and_are_approved_at_the_stated_rates() -> None:
    w = world(promoters="application", apply_rate=0.7, approval="40%")
    assert w.scheme.metrics()["promoters"] == 0
    w.days(30)  # everybody has applied by now
    approved = w.scheme.metrics()["promoters"]
    assert abs(approved - 0.4 * PERSONS) < 4 * np.sqrt(0.24 * PERSONS)
    w.days(20)  # who was refused stays refused
    assert w.scheme.metrics()["promoters"] == approved


BONUS = {"bonus": {"inviter": 1, "invitee": 0, "on": "sign_up"}}


@pytest.mark.parametrize(
    "rules",
    [
        {"promoters": "appointed", "appointed": {"share": "50%", "by": "random"}},
        {"promoters": "application", "apply_rate": 1.0, "approval": "100%"},
        {"promoters": "application", "apply_rate": 100.0, "approval": "50%"},
        {"binding": "override"},
        {**BONUS, "daily_cap": 5},
        {**BONUS, "budget": 5},
    ],
    ids=["appointment", "application", "approval", "binding", "cap", "precedence"],
)
def test_two_programmes_draw_for_themselves_and_the_first_as_if_it_were_alone(rules: dict[str, Any]) -> None:
    def drawn(*names: str) -> list[Any]:
        """Return what the draws of each programme decide."""
        shop = Shop(scenario({}, schemes=[{"kind": "referral", "name": name, **rules} for name in names]), rng=1)
        shop.people.status[:] = Status.MEMBER
        found = []
        for scheme in shop.schemes:
            assert isinstance(scheme, Referral)
            programme = World(shop, scheme)
            programme.join([*range(20)], [39] * 20)
            programme.click([*range(20), *range(20)], [*range(20, 40), *range(39, 19, -1)])
            scheme.close()
            columns = programme.standing.enrolled, programme.standing.bound_to, programme.rewards.origin
            found.append([column.tolist() for column in columns])
        return found

    (alone,), (first, second) = drawn("first"), drawn("first", "second")
    assert first == alone
    assert second != alone
