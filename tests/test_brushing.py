"""Brushing merchants: they have their own goods ordered while they believe that it pays, and nothing of it is trade."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sim import Shop
from sim.labels import Fraud
from sim.orders import OrderStatus
from tests.worlds import COUPON, scenario

BRUSHING: dict[str, Any] = {"merchants": 1.0, "every": "3d", "orders": 6, "fee": 0, "account_cost": 0, "hope": 3.0}
QUICK = {"lead_time": "24h", "return_window": "24h"}
STOCK = {"stock": {"initial": 40, "cover": "3650d", "lead_time": "24h"}}


def brushed(*schemes: Any, horizon: str = "20d", catalog: Any = None, **changes: Any) -> Shop:
    world = scenario(
        *schemes, horizon=horizon, people={"size": 200}, operations=QUICK, catalog=catalog or {},
        fraud={"brushing": {**BRUSHING, **changes}},
    )  # fmt: skip
    return Shop(world, rng=3).run()


def test_merchants_order_of_themselves_only_and_every_such_order_is_labelled() -> None:
    shop = brushed()
    fake = shop.people.fake[shop.book.person]
    assert shop.metrics()["brushed_orders"] == fake.sum() > 0
    np.testing.assert_array_equal(shop.people.fraud[shop.book.person[fake]], Fraud.BRUSHING)
    owner = shop.people.ring[shop.book.person[fake]] - len(shop.rings)
    np.testing.assert_array_equal(owner, shop.book.merchant[fake])


@pytest.mark.parametrize("change", [{"fee": 1000}, {"hope": 0.0}, {"merchants": 0.0}])
def test_nobody_brushes_who_does_not_believe_that_it_pays_or_would_not(change: dict[str, Any]) -> None:
    assert not brushed(**change).people.fake.any()


def test_hope_that_is_not_fulfilled_ends_brushing_and_what_is_learnt_depends_on_learning() -> None:
    fast, slow = brushed(learning=1.0, horizon="40d"), brushed(learning=0.0, horizon="40d")
    assert fast.metrics()["brushed_orders"] < slow.metrics()["brushed_orders"]
    assert max(b.lift for b in fast.brushers) < min(b.lift for b in slow.brushers) == 3.0


def test_a_newcomer_coupon_that_the_platform_pays_is_cashed_in_through_fresh_accounts() -> None:
    shop = brushed({**COUPON, "coupon": "newcomer"}, hope=0.0)
    took = shop.fraud_losses[Fraud.BRUSHING, 1]
    assert took > 0
    orders = np.bincount(shop.book.person[shop.people.fake[shop.book.person]])
    assert orders.max() == 1
    assert all(b.spent < 0 for b in shop.brushers if b.brushed)
    dear = brushed({**COUPON, "coupon": "newcomer"}, hope=0.0, account_cost=100)
    assert dear.fraud_losses[Fraud.BRUSHING, 1] == 0


def test_nobody_cashes_in_a_coupon_that_they_pay_themselves() -> None:
    own = brushed({**COUPON, "coupon": "newcomer", "merchant_share": 1.0}, hope=0.0)
    assert not own.people.fake.any()


def test_goods_come_back_to_the_shelf_and_neither_shop_nor_merchant_counts_them_as_trade() -> None:
    shop, honest = brushed(catalog=STOCK, every="5d"), brushed(catalog=STOCK, merchants=0.0)
    book = shop.book
    own = shop.people.fake[book.person]
    final = own & (book.status == OrderStatus.CONFIRMED)
    assert final.sum() > 20
    away = ~np.isin(book.status, (OrderStatus.REFUNDED, OrderStatus.RETURNED)) & ~final
    arrived = shop.operations.restocks
    expected = np.full(len(shop.products), 40)
    np.subtract.at(expected, book.product[away], book.quantity[away])
    np.add.at(expected, arrived.product[arrived.arrived], arrived.units[arrived.arrived])
    late = final & (book.closed >= shop.clock.tick - 1)  # back at the merchant's next turn
    np.subtract.at(expected, book.product[late], book.quantity[late])
    np.testing.assert_array_equal(shop.products.stock, expected)
    assert shop.merchant_books.orders.sum() == (~own).sum()
    assert shop.metrics()["contribution"] < honest.metrics()["contribution"]  # parcels cost
    goods = (book.worth - book.cost)[~own & ~np.isin(book.status, (OrderStatus.REFUNDED, OrderStatus.RETURNED))]
    assert shop.metrics()["contribution"] < goods.sum() / 100


def test_brushed_orders_that_are_cancelled_take_nothing_off_books_in_which_they_never_were() -> None:
    shop = brushed(horizon="12d")
    books, book = shop.merchant_books, shop.book
    theirs = np.flatnonzero(shop.people.fake[book.person] & (book.closed < 0))
    assert theirs.size
    before = [column.copy() for column in (books.sales, books.costs, books.promotions, books.orders)]
    shop.refund(theirs, OrderStatus.REFUNDED)
    for was, now in zip(before, (books.sales, books.costs, books.promotions, books.orders), strict=True):
        np.testing.assert_array_equal(was, now)


def test_brushed_goods_are_shown_more_often() -> None:
    model = {"recommendation": {"model": "popularity", "refresh": "3d", "explore": 0.2, "slate": 5}}

    def views(merchants: float) -> tuple[Shop, np.ndarray]:
        world = scenario(
            horizon="40d", people={"size": 400}, operations=QUICK, catalog={"products": 60, "merchants": 6}, **model,
            fraud={"brushing": {**BRUSHING, "orders": 30, "learning": 0.0, "merchants": merchants}},
        )  # fmt: skip
        shop = Shop(world, rng=3).run()
        return shop, shop.products.views / shop.products.views.sum()

    shop, after = views(0.4)
    _, before = views(0.0)
    target = np.unique(shop.book.product[shop.people.fake[shop.book.person]])
    assert target.size > 0
    assert after[target].sum() > 1.1 * before[target].sum()
