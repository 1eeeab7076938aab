"""A shop with a referral scheme in which nothing happens but what a test does."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from sim import Scenario, Shop
from sim.core.ledger import Account
from sim.offers import Mode, Orders, ShareKind, Shares, Signups, Source
from sim.people import Status
from sim.schemes.promoters import chain_size
from sim.schemes.referral import Referral, ReferralConfig
from sim.schemes.rewards import RewardState

PERSONS = 40
YUAN = 100
NO_BONUS = {"inviter": 0, "invitee": 0}


@dataclass
class World:
    """A shop in which nothing happens but what the test does; everybody is a member."""

    shop: Shop
    scheme: Referral

    @property
    def standing(self) -> Any:
        return self.scheme.promoters.standing

    @property
    def rewards(self) -> Any:
        return self.scheme.payouts.rewards

    @property
    def purses(self) -> Any:
        return self.scheme.payouts.purses

    def join(self, persons: list[int], inviters: list[int]) -> None:
        source = np.full(len(persons), Source.SHARE, np.int8)
        self.scheme.on_signup(Signups(np.array(persons, np.int32), np.array(inviters, np.int32), source))

    def click(self, persons: list[int], sharers: list[int], kind: ShareKind = ShareKind.PRODUCT) -> None:
        self.scheme.on_click(shares(sharers, persons, kind))

    def chain(self, *persons: int) -> None:
        """Bind each person to the one before."""
        for above, below in itertools.pairwise(persons):
            self.join([below], [above])

    def buy(
        self, *buyers: int, yuan: float = 100, off: float = 0, product: int = 0, units: int = 1, team: bool = False
    ) -> np.ndarray:
        """Let persons buy for so much at list price, less what is taken off; return the orders' rows."""
        n = len(buyers)
        discount = np.zeros((n, len(self.shop.schemes)), np.int64)
        discount[:, 0] = round(off * YUAN)
        worth = np.full(n, round(yuan * YUAN), np.int64)
        mode = Mode.OPEN_TEAM if team else Mode.SOLO
        orders = Orders(
            np.array(buyers, np.int32), np.full(n, product, np.int32), np.full(n, units, np.int32),
            np.full(n, mode, np.int8), np.full(n, -1, np.int32), worth, worth - discount[:, 0], discount,
            np.zeros(n, np.int8), np.full(n, -1, np.int32), np.full(n, -1, np.int32), np.full(n, -1, np.int64),
        )  # fmt: skip
        self.shop._settle(orders)
        return orders.row

    def days(self, count: int = 1) -> None:
        """Let days (of one tick) pass."""
        for _ in range(count):
            self.scheme.close()
            self.shop.clock.advance()

    def earned(self, person: int) -> float:
        """Yuan of rewards that a person keeps, paid out or not."""
        kept = self.scheme.payouts.kept()
        return float(self.rewards.amount[kept][self.rewards.person[kept] == person].sum() / YUAN)

    def balance(self, account: Account) -> float:
        return self.shop.ledger.balance(account) / YUAN

    def check(self) -> None:
        """Assert everything that must hold at every moment."""
        ledger, payouts = self.shop.ledger, self.scheme.payouts
        frozen = payouts.total(states=(RewardState.FROZEN,))
        assert ledger.balance(Account.FROZEN_COMMISSION) == frozen
        assert ledger.balance(Account.WALLETS) == self.purses.wallet.sum()
        assert ledger.balance(Account.SHARERS) == payouts.withdrawn
        assert ledger.imbalance() == 0
        assert (self.purses.wallet >= 0).all() and (self.purses.debt >= 0).all()
        assert not ((self.purses.wallet > 0) & (self.purses.debt > 0)).any()
        # What persons got out of it is what they hold, will hold or have withdrawn.
        assert self.shop.people.benefit.sum() == frozen + self.purses.wallet.sum() + payouts.withdrawn
        chain_size(self.standing.bound_to)  # ends only if nobody stands below themselves


def shares(sharers: list[int], recipients: list[int], kind: ShareKind) -> Shares:
    n = len(sharers)
    given = {"sharer": sharers, "recipient": recipients, "kind": [kind] * n}
    types = {"kind": np.int8, "kol": np.int16, "strength": np.float32, "gift": np.float32}
    return Shares(
        **{f.name: np.array(given.get(f.name, [-1] * n), types.get(f.name, np.int32)) for f in fields(Shares)}
    )


def scenario(rules: dict[str, Any], **sections: Any) -> Scenario:
    return Scenario.from_dict(
        {
            "name": "referral",
            "horizon": "60d",
            "tick": "1d",
            "people": {"size": PERSONS, "network": {"kind": "complete"}, "members_at_start": 0},
            "catalog": {"merchants": 2, "products": 4, "categories": 2},
            "recommendation": {"model": "random", "slate": 2},
            "schemes": [{"kind": "referral", **rules}],
            **sections,
        }
    )


def world(sections: dict[str, Any] | None = None, **rules: Any) -> World:
    shop = Shop(scenario({"bonus": NO_BONUS, **rules}, **(sections or {})), rng=1)
    shop.people.status[:] = Status.MEMBER
    shop.people.satisfaction[:] = 1
    (scheme,) = shop.schemes
    assert isinstance(scheme, Referral)
    return World(shop, scheme)


def problems(**rules: Any) -> str:
    with pytest.raises(ValidationError) as error:
        ReferralConfig.model_validate({"kind": "referral", **rules})
    return str(error.value)
