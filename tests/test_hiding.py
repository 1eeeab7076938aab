"""How fake accounts hide: each facet on its own, at a price, and never by doing what they were not sent for."""

from __future__ import annotations

import numpy as np
import pytest

from agents import hiding
from agents.beliefs import Beliefs
from agents.hiding import Facet
from agents.playbooks import Course
from agents.recruiting import open_groups
from sim import Scenario, Shop
from sim.people import NEVER

SMALL = {
    "horizon": "30d",
    "tick": "4h",
    "people": {"size": 200, "members_at_start": "20%"},
    "catalog": {"merchants": 3, "products": 40, "categories": 3, "price": {"median": 60, "sigma": 0.8}},
    "fraud": {"rings": 1, "enter": "1d", "capacity": 60, "device_cost": 1, "identity_cost": 1, "effort": 1},
    "schemes": [
        {"kind": "coupon", "coupon": "newcomer", "amount": 20, "threshold": 60},
        {"kind": "referral", "bonus": {"inviter": 15, "invitee": 15, "on": "first_order"}, "freeze": "0d"},
    ],
}


def shop_of(skill: float, **changes: object) -> Shop:
    sections = {"fraud.skill": skill, **{path.replace("__", "."): value for path, value in changes.items()}}
    return Shop(Scenario.from_dict(SMALL).override(sections), rng=1)


def test_each_facet_is_hidden_with_the_chance_that_skill_says_and_on_its_own() -> None:
    shop = shop_of(0.3)
    hidden = hiding.disguises(shop, 0, np.arange(20_000), 0.3, True)
    np.testing.assert_allclose(hidden.mean(axis=0), 0.3, atol=0.015)
    correlation = np.corrcoef(hidden.T.astype(float)) - np.eye(len(Facet))
    assert np.abs(correlation).max() < 0.03
    assert not hiding.disguises(shop, 0, np.arange(100), 0.3, False)[:, hiding.OF_ORDERS].any()


def test_a_higher_chance_hides_what_a_lower_one_hid_and_more() -> None:
    shop = shop_of(0.7)
    little, much = (hiding.disguises(shop, 0, np.arange(500), chance, True) for chance in (0.2, 0.7))
    assert (much >= little).all()
    assert much.sum() > 2 * little.sum()


def test_without_skill_accounts_share_devices_and_an_address_and_vanish_after_their_order() -> None:
    shop = shop_of(0.0).run()
    people, (ring,) = shop.people, shop.rings
    fake = ring.accounts.person
    assert np.unique(people.device[fake]).size == shop.config.fraud.devices
    assert np.unique(people.address[fake]).size == 1
    ordered = people.first_order[fake] > NEVER
    assert ordered.sum() > 20
    np.testing.assert_array_equal(people.last_visit[fake][ordered], people.first_order[fake][ordered])


def test_with_full_skill_every_account_has_its_own_device_and_an_address_like_anybodys() -> None:
    shop = shop_of(1.0, fraud__enter="4h").run()
    people, (ring,) = shop.people, shop.rings
    fake = ring.accounts.person
    assert fake.size == 60
    assert np.unique(people.device[fake]).size == fake.size
    honest = people.address[: shop.graph.persons]
    assert np.isin(people.address[fake], honest).all()
    of_station = np.bincount(honest)[people.address[fake]] > 2
    assert 0.3 < of_station.mean() < 0.7  # half of the people use one
    assert (people.last_visit[fake] > people.first_order[fake]).sum() > 10
    assert np.unique(ring.accounts.product).size > np.unique(shop_of(0.0).run().rings[0].accounts.product).size
    assert np.sort(ring.accounts.invited)[-2] < 5  # beside the first, which was alone


def test_sign_ups_and_first_orders_are_spread_only_by_those_who_hide_them() -> None:
    shop = shop_of(0.5)
    number = np.arange(5000)
    hidden = hiding.disguises(shop, 0, number, 0.5, True)
    before, between = hiding.waits(shop, 0, number, hidden)
    late, slow = hidden[:, Facet.SIGN_UP], hidden[:, Facet.FIRST_ORDER]
    assert (before[~late] == 0).all()
    assert before[late].max() == 17  # ticks of four hours within three days
    assert between[slow].mean() * 4 == pytest.approx(72 / 2, abs=3)  # half of them order as soon as they are in
    assert (between[slow] > 12).mean() > 10 * (between[~slow] > 12).mean()
    assert between[~slow].mean() * 4 < 6


def test_accounts_that_look_around_buy_nothing_but_what_they_were_sent_for() -> None:
    shop = shop_of(1.0).run()
    (ring,) = shop.rings
    fake = ring.accounts.person
    own = np.flatnonzero(np.isin(shop.book.person, fake))
    assert np.bincount(shop.book.person[own]).max() == 1
    sent_for = dict(zip(fake.tolist(), ring.accounts.product.tolist(), strict=True))
    assert all(sent_for[p] == j for p, j in zip(shop.book.person[own], shop.book.product[own], strict=True))


def test_hiding_is_paid_for_by_the_facet() -> None:
    shop = shop_of(0.5, fraud__hiding_cost=2, fraud__identity_cost=4).run()
    (ring,) = shop.rings
    config, accounts = shop.config.fraud, ring.accounts
    placed = accounts.product >= 0
    placed &= (accounts.orders < shop.clock.horizon) & (shop.people.joined[accounts.person] > NEVER)
    bought = len(ring.devices) - config.devices
    assert accounts.hidden[:, Facet.DEVICE].sum() == bought > 0
    expected = len(accounts) * config.account_cost + placed.sum() * config.action_cost
    assert ring.spent == expected + accounts.hidden.sum() * config.hiding_cost + bought * config.identity_cost


def test_hiding_that_costs_too_much_keeps_rings_away() -> None:
    assert len(shop_of(0.5).run().rings[0].accounts) > 20
    assert len(shop_of(0.5, fraud__hiding_cost=12).run().rings[0].accounts) == 0


def test_disguised_baskets_hold_units_as_people_take_them_within_what_the_plan_affords() -> None:
    shop = shop_of(0.5)
    number, price = np.arange(4000), shop.products.price
    serves = np.ones(price.size, bool)
    serves[price.argmax()] = False
    product, units = hiding.baskets(shop, 0, number, 6_000, 20_000, serves)
    worth = price[product] * units
    assert (product >= 0).all()
    assert ((worth >= 6_000) & (worth <= 20_000)).all()
    assert serves[product].all()
    people = shop.demand.quantities((number + 0.5) / number.size)
    assert 0.6 * people.mean() < units.mean() < people.mean() + 0.1
    assert np.unique(product).size > 10
    nothing, none = hiding.baskets(shop, 0, number[:5], 1, 2, serves)
    assert (nothing == -1).all()
    assert (none == 0).all()


def test_rings_that_disguise_their_baskets_order_several_units_of_several_worths() -> None:
    for skill in (0.0, 1.0):
        shop = shop_of(skill, fraud__enter="4h", fraud__hiding_cost=0).run()
        orders = np.flatnonzero(shop.people.fake[shop.book.person])
        assert orders.size > 20
        assert (shop.book.quantity[orders].max() > 1) == (skill > 0)
        assert (np.unique(shop.book.worth[orders]).size > 5) == (skill > 0)


def choosing(**changes: object) -> Shop:
    """A shop whose rings choose how much they hide."""
    return shop_of(0.5, fraud__effort=None, **changes)


def test_where_nobody_looks_nothing_is_hidden() -> None:
    shop = choosing().run()
    assert len(shop.rings[0].accounts) > 20
    assert not shop.rings[0].accounts.hidden.any()


def test_a_ring_that_is_caught_openly_hides_and_one_that_suspects_it_hides_at_once() -> None:
    for suspicion in (0.0, 0.8):
        shop = choosing(fraud__suspicion=suspicion)
        (ring,) = shop.rings
        ring._settle_in()
        first = ring.best_course()
        assert first is not None
        assert (first.hidden > 0) == (suspicion > 0)
        number = ring.beliefs.number_of(first)
        ring.beliefs.learn_courses(np.array([number]), np.array([0.0]))
        promised = np.array([first.play.bonus]), np.array([first.play.discount])
        nothing = (np.zeros(1), promised[0]), (np.zeros(1), promised[1])
        ring.beliefs.learn_shares(np.array([first.hidden]), *nothing)
        second = ring.best_course()
        if suspicion == 0:
            assert second is not None
            assert second.hidden > 0
        else:
            assert second is None or second.key != first.key


def learnt(beliefs: Beliefs, hidden: float, kept: float) -> None:
    promise, nothing = np.array([100.0]), np.zeros(1)
    beliefs.learn_shares(np.array([hidden]), (promise * kept, promise), (nothing, nothing))


def test_suspicion_is_of_what_is_in_view() -> None:
    np.testing.assert_allclose(Beliefs(0.3, 0.6, (0.0, 0.25, 1.0)).kept(), [[0.4, 0.4], [0.55, 0.55], [1.0, 1.0]])


def test_what_one_degree_of_hiding_loses_tells_of_the_others_what_is_in_view() -> None:
    beliefs = Beliefs(0.3, 0.0, (0.0, 0.5, 1.0))
    learnt(beliefs, 0.5, 0.5)
    # Half of the promise was lost, in one of two experiences; in full view twice as much would have been.
    np.testing.assert_allclose(beliefs.kept()[:, 0], [0.5, 0.75, 1.0])
    assert (beliefs.kept()[:, 1] == 1.0).all()  # no discounts were promised
    learnt(beliefs, 0.0, 1.0)
    np.testing.assert_allclose(beliefs.kept()[:, 0], [0.75, 0.75, 1.0])  # each degree by its own


def test_who_is_caught_in_spite_of_hiding_everything_believes_it_of_every_plan_and_of_those_in_view() -> None:
    beliefs = Beliefs(0.3, 0.2, (0.0, 0.5, 1.0))
    for _ in range(30):
        learnt(beliefs, 1.0, 0.0)
    assert beliefs.kept()[:, 0].max() < 0.01


def test_groups_are_invited_by_accounts_that_hide_as_much() -> None:
    shop = choosing(fraud__learning=0.3)
    (ring,) = shop.rings
    ring._settle_in()
    play = next(play for play in ring.market.plays() if play.exploit.plan.root_only_invites)
    open_groups(ring, Course(play, 0.0), 1)
    shop.people.joined[ring.accounts.person] = 0
    assert ring.roots(0.0).size == 1
    assert ring.roots(0.5).size == 0


def test_rings_take_more_of_a_shop_if_they_need_not_hide() -> None:
    free, bound = choosing().run(), shop_of(0.5).run()
    assert free.rings[0].profit > bound.rings[0].profit
