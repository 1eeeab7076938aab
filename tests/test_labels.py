"""Labels of fraud: everything fraudulent is labelled with kind and ring, nothing else is, and nothing that decides
reads them; ordinary people's second accounts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from experiments.outcome import observe
from sim import Shop
from sim.labels import Fraud
from sim.orders import OrderStatus
from sim.people import NEVER, SECOND_UID
from tests.worlds import COUPON, REFERRAL, merged, scenario

GENEROUS = merged(
    REFERRAL, {"bonus": {"inviter": 30, "invitee": 30, "on": "first_order"}, "rates": [0.05], "freeze": "24h"}
)
RINGS: dict[str, Any] = {"rings": 3, "enter": "24h", "capacity": 30, "batch": 6, "account_cost": 1}


@pytest.fixture(scope="module")
def robbed() -> Shop:
    """A shop with rings and ordinary people's second accounts, its events recorded."""
    world = scenario(
        COUPON, GENEROUS, horizon="24d", people={"size": 300, "members_at_start": 0.5}, record={"events": True},
        fraud={**RINGS, "second_accounts": {"share": 0.5, "scruple": 1}},
        operations={"lead_time": "24h", "return_window": "24h"},
    )  # fmt: skip
    return Shop(world, rng=4).run()


def test_every_account_that_never_was_a_person_is_labelled_and_nobody_else(robbed: Shop) -> None:
    people = robbed.people
    assert ((people.fraud > Fraud.NONE) == people.fake).all()
    of_rings = people.fake & (people.uid < SECOND_UID)
    assert ((people.ring >= 0) == of_rings).all()
    assert of_rings.any()
    assert (people.fraud == Fraud.SELF_REFERRAL).any()
    assert (people.fraud[people.uid >= SECOND_UID] == Fraud.SELF_REFERRAL).all()


def test_every_order_share_and_payout_of_fraud_is_labelled_with_kind_and_ring_and_no_other(robbed: Shop) -> None:
    tables = observe(robbed, 0.0).tables
    people = tables["people"].set_index("uid")
    fake = people["fake"]
    for name, who in (("orders", "person"), ("shares", "sharer"), ("signups", "uid")):
        events = tables[f"events/{name}"]
        expected = people.loc[events[who], ["fraud", "ring"]].reset_index(drop=True)
        found = events[["fraud", "ring"]].reset_index(drop=True)
        assert (found["fraud"].astype(str) == expected["fraud"].astype(str)).all()
        assert (found["ring"] == expected["ring"]).all()
        assert (found["fraud"] != "none").any(), name
        assert (found["fraud"] == "none").any(), name
    payouts = tables["events/payouts"]
    guilty = fake[payouts["person"]].to_numpy() | fake[payouts["origin"]].to_numpy()
    np.testing.assert_array_equal(payouts["fraud"].to_numpy() != "none", guilty)
    own = ~fake[payouts["person"]].to_numpy() & guilty
    assert own.any()  # ordinary persons' bonuses for their own second accounts
    assert (payouts["fraud"].to_numpy()[own] == "self_referral").all()


def test_losses_by_kind_and_scheme_add_up_to_what_labelled_orders_and_payouts_kept(robbed: Shop) -> None:
    tables = observe(robbed, 0.0).tables
    orders, payouts, losses = tables["events/orders"], tables["events/payouts"], tables["losses"]
    bad = orders[(orders["fraud"] != "none") & ~orders["status"].isin(["refunded", "returned"])]
    kept = payouts[(payouts["fraud"] != "none") & payouts["state"].isin(["frozen", "released"])]
    by_scheme = losses.groupby("scheme")["yuan"].sum()
    assert by_scheme["coupon"] == pytest.approx(bad["discount_coupon_yuan"].sum())
    debts = robbed.schemes[1].payouts.purses.debt.sum() / 100
    assert by_scheme["referral"] == pytest.approx(kept["amount_yuan"].sum(), abs=debts + 1e-9)
    assert robbed.metrics()["fraud_loss"] == pytest.approx(losses["yuan"].sum())


def test_second_accounts_are_on_their_owners_device_and_address_and_invited_by_them(robbed: Shop) -> None:
    people, accounts = robbed.people, robbed.second_accounts.accounts
    opened = accounts.account >= 0
    owner, account = accounts.owner[opened], accounts.account[opened]
    assert np.unique(owner).size == owner.size
    np.testing.assert_array_equal(people.device[account], people.device[owner])
    np.testing.assert_array_equal(people.address[account], people.address[owner])
    joined = people.joined[account] > NEVER
    assert joined.any()
    np.testing.assert_array_equal(people.inviter[account[joined]], owner[joined])
    ordered = np.isin(account[joined], robbed.book.person)
    assert ordered.mean() > 0.9


def test_what_second_accounts_buy_is_their_owners_trade_and_fraud_only_by_what_they_got(robbed: Shop) -> None:
    people, book = robbed.people, robbed.book
    by_second = people.fraud[book.person] == Fraud.SELF_REFERRAL
    stands = book.status != OrderStatus.REFUNDED
    counted = (by_second | ~people.fake[book.person]) & stands
    metrics = robbed.metrics()
    assert (by_second & stands).any()
    assert metrics["orders"] == counted.sum()
    assert metrics["gmv"] == pytest.approx(book.pay[counted].sum() / 100)
    table = observe(robbed, 0.0).tables["people"]
    assert table.loc[~table["fake"], "gmv_yuan"].sum() == pytest.approx(metrics["gmv"])
    assert (table.loc[table["fraud"] == "self_referral", "orders"] == 0).all()
    assert metrics["fraud_order_share"] == (people.fake[book.person] & stands).sum() / stands.sum()
    accounts = robbed.second_accounts.accounts
    first = np.full(len(people), -1)
    rows = np.flatnonzero(by_second)[::-1]
    first[book.person[rows]] = rows
    placed = np.flatnonzero((accounts.account >= 0) & (first[accounts.account] >= 0))
    np.testing.assert_array_equal(book.quantity[first[accounts.account[placed]]], accounts.units[placed])


@pytest.mark.parametrize(
    ("change", "fewer"),
    [({"share": 0.1}, True), ({"scruple": 500}, True), ({"scruple_sigma": 3.0, "scruple": 500}, True), ({}, False)],
)
def test_scruples_and_share_keep_people_from_second_accounts(change: dict[str, Any], fewer: bool) -> None:
    def opened(second: dict[str, Any]) -> int:
        world = scenario(
            GENEROUS, horizon="12d", people={"size": 300, "members_at_start": 0.5}, fraud={"second_accounts": second}
        )
        return len(Shop(world, rng=4).run().second_accounts.accounts)

    most = opened({"share": 0.5, "scruple": 1})
    found = opened({"share": 0.5, "scruple": 1, **change})
    assert found < most if fewer else found == most > 10


def test_nobody_opens_a_second_account_where_it_brings_nothing() -> None:
    world = scenario(
        horizon="12d",
        people={"size": 200, "members_at_start": 0.5},
        fraud={"second_accounts": {"share": 1.0, "scruple": 0}},
    )
    assert len(Shop(world, rng=1).run().second_accounts.accounts) == 0


# Bought followers.

FAMOUS: dict[str, Any] = {
    "count": 6,
    "market": 20000,
    "post_every": "3d",
    "audience": {"sigma": 1.0},
    "fake_followers": 0,
}


def kols_of(followers: dict[str, Any] | None, seed: int = 2) -> Shop:
    fraud = {} if followers is None else {"followers": {"kols": 1.0, "price": 1, **followers}}
    return Shop(scenario(horizon="40d", people={"size": 300}, kols=FAMOUS, fraud=fraud), rng=seed).run()


def test_followers_are_bought_while_their_fees_are_worth_more_than_they_cost() -> None:
    bought = kols_of({"audit": 0.0})
    assert all(kol.bought > 0 for kol in bought.kols)
    posts = bought.kols[0]._posts
    assert posts.for_nobody.sum() == bought.fraud_losses[Fraud.FOLLOWERS, 0] > 0
    assert bought.metrics()["follower_loss"] == pytest.approx(posts.for_nobody.sum() / 100)
    assert bought.metrics()["fraud_loss"] == 0  # of incentives there were none
    dear = kols_of({"audit": 0.0, "price": 100_000})
    assert all(kol.bought == kol.spent == 0 for kol in dear.kols)
    none = kols_of(None)
    assert none.metrics()["follower_loss"] == 0


def test_an_audit_takes_bought_followers_away_and_stops_fees_for_a_while() -> None:
    strict, lax = kols_of({"audit": 1.0, "batch": 1.0}), kols_of({"audit": 0.0, "batch": 1.0})
    assert sum(kol.audits for kol in strict.kols) > 0
    assert strict.metrics()["follower_loss"] < lax.metrics()["follower_loss"]
    for kol in strict.kols:
        mine = kol._posts.tick[kol._posts.kol == kol.number]
        if kol.audits:
            assert np.diff(mine).max(initial=0) >= strict.clock.ticks(28 * 24.0) or mine.size < 14
    short = kols_of({"audit": 1.0, "batch": 1.0, "ban": "0h"})
    assert len(short.kols[0]._posts) > len(strict.kols[0]._posts)
    assert sum(kol.spent for kol in short.kols) != sum(kol.spent for kol in lax.kols)


def test_only_kols_of_that_kind_buy_followers() -> None:
    assert all(kol.bought == 0 for kol in kols_of({"kols": 0.0}).kols)
