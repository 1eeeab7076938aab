"""Filling up a basket to reach a coupon's threshold: who does it, what it changes, and where it stops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from coupon_shop import EVERYBODY_CLAIMS, PERSONS, buy, coupon, offers_to, shop_with
from worlds import COUPON, run

from sim import Shop
from sim.offers import NONE, Mode, Orders, Source
from sim.orders import OrderStatus
from sim.schemes.top_up import fill_up

RULES = {"amount": 20, "threshold": 80} | EVERYBODY_CLAIMS


def people(spare_worth: float, persons: int = PERSONS) -> dict[str, Any]:
    network = {"kind": "erdos_renyi", "mean_degree": 4}
    return {"size": persons, "network": network, "members_at_start": 1.0, "tenure": "0h", "spare_worth": spare_worth}


def at_the_check_out(shop: Shop, price: int, units: int = 1, mode: Mode = Mode.SOLO, discount: int = 0) -> Orders:
    """Return an order by everybody, short of the threshold, as it stands before anybody fills it up; fen."""
    shop.products.price[:] = price
    n = shop.graph.persons
    offers_to(shop, np.arange(n))  # everybody claims
    none = np.full(n, NONE, np.int32)
    taken = np.zeros((n, len(shop.schemes)), np.int64)
    taken[:, 0] = discount * units
    worth = np.full(n, price * units, np.int64)
    return Orders(
        np.arange(n, dtype=np.int32), np.zeros(n, np.int32), np.full(n, units, np.int32), np.full(n, mode, np.int8),
        np.full(n, -1 if mode == Mode.OPEN_TEAM else NONE, np.int32), worth, worth - taken.sum(axis=1), taken,
        np.zeros(n, np.int8), none, none, none.astype(np.int64),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("price", "units", "reached", "share"),
    [
        (6_000, 1, 2, 1 / 3),  # 60 more for 20 off: whoever takes the second for two thirds of its price or more
        (3_000, 1, 3, 1 / 3),  # two more for 60, less 20
        (3_500, 2, 3, 4 / 7),  # one more for 35, less 20
        (1_000, 7, 8, 1.0),  # one more for 10, less 20: who would not
    ],
)
def test_as_many_fill_up_as_hold_a_further_unit_worth_its_price_less_the_coupon(
    price: int, units: int, reached: int, share: float
) -> None:
    shop = shop_with(RULES, people=people(0.5, persons=4000))
    orders = at_the_check_out(shop, price, units)
    number = fill_up(coupon(shop), orders)
    more = orders.quantity > units
    assert number == more.sum()
    assert more.mean() == pytest.approx(share, abs=3.5 * np.sqrt(share * (1 - share) / 4000))
    assert (orders.quantity[more] == reached).all()
    np.testing.assert_array_equal(orders.worth, orders.quantity * price)
    np.testing.assert_array_equal(orders.discount[:, 0], np.where(more, 2_000, 0))
    np.testing.assert_array_equal(orders.pay, orders.worth - orders.discount.sum(axis=1))


def test_the_worth_of_a_further_unit_has_the_mean_that_the_scenario_says() -> None:
    for mean in (0.2, 0.8):
        shop = shop_with(RULES, people=people(mean, persons=4000))
        orders = at_the_check_out(shop, 6_000)
        fill_up(coupon(shop), orders)
        share = 1 - (2 / 3) ** (mean / (1 - mean))  # of u ** ((1 - m) / m) above two thirds
        assert (orders.quantity == 2).mean() == pytest.approx(share, abs=0.03)
    shop = shop_with(RULES, people=people(0.0))
    assert fill_up(coupon(shop), at_the_check_out(shop, 7_900)) == 0


def test_nobody_fills_up_without_a_coupon_beyond_the_stock_or_on_a_rings_errand() -> None:
    shop = shop_with(RULES | {"claim_rate": 0.0}, people=people(1.0))
    assert fill_up(coupon(shop), at_the_check_out(shop, 6_000)) == 0
    shop = shop_with(RULES, people=people(1.0))
    orders = at_the_check_out(shop, 6_000)
    shop.products.stock[:] = 1
    assert fill_up(coupon(shop), orders) == 0
    shop.products.stock[:] = 100
    orders.source[:] = Source.RING
    assert fill_up(coupon(shop), orders) == 0
    orders.source[1:] = Source.OWN
    assert fill_up(coupon(shop), orders) == PERSONS - 1


def test_a_team_price_holds_for_every_unit_but_not_for_more_than_an_order_may_have() -> None:
    team = {"kind": "group_buy", "team_size": 2, "discount": "10%"}
    for limit, reached in ((None, 2), (2, 2), (1, 1)):
        shop = shop_with(team | {"units_per_order": limit}, RULES, people=people(1.0))
        orders = at_the_check_out(shop, 6_000, mode=Mode.OPEN_TEAM, discount=600)
        fill_up(coupon(shop, 2), orders)
        assert (orders.quantity == reached).all()
        np.testing.assert_array_equal(orders.discount[:, 0], 600 * reached)
        assert (orders.pay == (2 * 5_400 - 2_000 if reached == 2 else 5_400)).all()


def test_another_discount_that_is_not_by_the_unit_keeps_an_order_as_it_is() -> None:
    shop = shop_with(RULES | {"name": "first"}, {"amount": 1, "name": "second"} | EVERYBODY_CLAIMS, people=people(1.0))
    orders = at_the_check_out(shop, 6_000)
    orders.discount[:, 1], orders.pay[:] = 100, 5_900
    assert fill_up(coupon(shop), orders) == 0


def test_the_share_filled_up_counts_coupons_used_and_neither_refused_orders_nor_coupons_given_back() -> None:
    shop = shop_with(RULES | {"given_back": "always"}, people=people(1.0))
    orders = at_the_check_out(shop, 6_000)
    shop.products.stock[:] = 2 * 10  # for ten of all who would take two
    coupon(shop).check_out(orders)
    assert (orders.quantity == 2).all()
    accepted = shop._screen(orders)
    shop._settle(accepted)
    assert len(accepted) == coupon(shop).wallets.filled_up == 10
    assert shop.metrics()["coupon_fill_up_share"] == 1.0
    shop.refund(accepted.row[:4], OrderStatus.REFUNDED)
    assert coupon(shop).wallets.filled_up == 6
    assert shop.metrics()["coupon_fill_up_share"] == 1.0
    shop.products.price[:], shop.products.stock[:] = 10_000, 100
    buy(shop, accepted.person[:4].tolist())  # with the same coupons, in orders that reach the threshold anyhow
    assert shop.metrics()["coupon_fill_up_share"] == 0.6


def test_an_order_above_the_threshold_is_left_alone() -> None:
    shop = shop_with(RULES, people=people(1.0))
    assert buy(shop, range(PERSONS)).quantity.tolist() == [1] * PERSONS


def test_orders_gather_above_the_threshold_where_people_fill_up_and_coupons_cost_more() -> None:
    def near(spare_worth: float) -> tuple[int, int, float]:
        shop = run(COUPON, people={"spare_worth": spare_worth}, demand={"units": 1})
        book = shop.book
        below = (book.worth >= 3_000) & (book.worth < 4_000)
        above = (book.worth >= 4_000) & (book.worth < 8_000)
        return int(below.sum()), int(above.sum()), shop.metrics()["coupon_fill_up_share"]

    (below, above, none), (fewer, more, filled) = near(0.0), near(0.9)
    assert none == 0.0
    assert filled > 0.1
    assert fewer < below
    assert more > above
