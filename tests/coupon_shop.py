"""A small shop with coupons in which nothing happens unless a test makes it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from sim import Scenario, Shop
from sim.offers import NONE, Offers, Orders, ShareKind, Shares, Signups, Source, Visits
from sim.schemes.coupon import Coupon
from sim.schemes.fission import PacketState
from sim.schemes.wallet import ClaimState

PERSONS = 40
EVERYBODY_CLAIMS = {"claim_rate": 1.0}


def shop_with(*schemes: dict[str, Any], members: float = 1.0, seed: int = 1, **sections: Any) -> Shop:
    """Build a small shop in which nothing happens unless a test makes it."""
    scenario = {
        "horizon": "60d",
        "tick": "1d",
        "people": {
            "size": PERSONS,
            "network": {"kind": "erdos_renyi", "mean_degree": 4},
            "members_at_start": members,
            "tenure": "0h",
        },
        "demand": {"units": 1},
        "catalog": {"products": 6, "categories": 2, "merchants": 2},
        "recommendation": {"model": "popularity", "slate": 3},
        "schemes": [{"kind": "coupon"} | scheme for scheme in schemes],
    }
    shop = Shop(Scenario.from_dict(scenario | sections), rng=seed)
    shop.products.price[:] = shop.products.start_price[:] = 10_000  # a hundred yuan each
    return shop


def coupon(shop: Shop, number: int = 1) -> Coupon:
    scheme = shop.schemes[number - 1]
    assert isinstance(scheme, Coupon)
    return scheme


def visits(persons: Any, product: int = NONE) -> Visits:
    who = np.asarray(persons, np.int32)

    def full(value: int, dtype: Any = np.int32) -> Any:
        return np.full(who.size, value, dtype)

    return Visits(who, full(Source.OWN, np.int8), full(NONE), full(product), full(NONE), full(NONE), full(1))


def offers_to(shop: Shop, persons: Any, products: Any = (0,)) -> Offers:
    """Let persons visit and see some products."""
    slates = np.tile(np.asarray(products, np.int32), (len(persons), 1))
    return shop._offer(visits(persons), slates)


def buy(shop: Shop, persons: Any, product: int = 0) -> Orders:
    """Let persons buy a product through the shop's own stages; return the accepted orders in the order of persons."""
    offers = offers_to(shop, persons, [product])
    n, schemes = len(persons), max(1, len(shop.schemes))
    discount = np.zeros((n, schemes), np.int64)
    for number, taken in offers.discounts.items():
        discount[:, number - 1] = taken[:, 0]
    none = np.full(n, NONE, np.int32)
    orders = Orders(
        offers.visits.person, offers.product[:, 0], offers.visits.quantity, offers.mode[:, 0], none, offers.worth[:, 0],
        offers.pay[:, 0], discount, offers.visits.source, none, none, np.full(n, NONE, np.int64),
    )  # fmt: skip
    accepted = shop._screen(orders)
    shop._settle(accepted)
    return accepted.take(np.argsort(accepted.person, kind="stable"))


def shares(sharer: Any, recipient: Any, kind: ShareKind = ShareKind.PRODUCT) -> Shares:
    n = len(recipient)
    none = np.full(n, NONE, np.int32)
    return Shares(
        np.asarray(sharer, np.int32), np.asarray(recipient, np.int32), np.full(n, kind, np.int8), none, none,
        none.astype(np.int16), np.ones(n, np.float32), np.zeros(n, np.float32),
    )  # fmt: skip


def sign_up(shop: Shop, persons: Any, inviters: Any = None) -> None:
    who = np.asarray(persons, np.int32)
    inviter = np.full(who.size, NONE, np.int32) if inviters is None else np.asarray(inviters, np.int32)
    shop._admit(Signups(who, inviter, np.full(who.size, Source.SHARE, np.int8)))


def pass_days(shop: Shop, days: int) -> None:
    """Let deadlines fall due, day by day, without anything else happening."""
    for _ in range(days):
        for scheme in shop.schemes:
            scheme.close()
        shop.clock.advance()


def off(offers: Offers, number: int = 1) -> Any:
    """Return what a scheme takes off, shape (V, W)."""
    whole = np.zeros(offers.pay.shape, np.int64)
    taken = offers.discounts.get(number)
    if taken is not None:
        whole[:, : taken.shape[1]] = taken
    return whole


def check_conservation(scheme: Coupon) -> None:
    """Hold the counters against the table, and the wallets against both."""
    claims, wallets = scheme.wallets.claims, scheme.wallets
    counted = Counter(claims.state.tolist())
    assert (wallets.issued, wallets.used, wallets.live, wallets.expired) == (
        len(claims),
        counted[ClaimState.USED],
        counted[ClaimState.LIVE],
        counted[ClaimState.EXPIRED],
    )
    assert wallets.issued == wallets.used + wallets.live + wallets.expired
    assert wallets.live_face == claims.face[claims.state == ClaimState.LIVE].sum()
    promised = 0
    if scheme.packets is not None:
        still_open = scheme.packets.packets.state == PacketState.OPEN
        promised = int(still_open.sum() + scheme.packets.packets.helped[still_open].sum())
    assert wallets.purses.received.sum() == wallets.issued + promised
    in_wallets = []
    for head in wallets.purses.best.tolist():
        held = []
        while head >= 0:
            held.append(head)
            head = int(claims.next[head])
        worth = [(-claims.face[row], claims.expires[row]) for row in held]
        assert worth == sorted(worth)
        in_wallets += held
    assert sorted(in_wallets) == np.flatnonzero(claims.state == ClaimState.LIVE).tolist()
