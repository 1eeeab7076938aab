"""What people pass on, and what a reward does to it."""

from __future__ import annotations

import numpy as np
import pytest

from sim import Shop
from sim.day import afterwards
from tests.worlds import REFERRAL, run, scenario


def test_who_would_rather_invite_grows_from_nothing_with_the_reward() -> None:
    shop = Shop(scenario(people={"size": 4000}), rng=1)
    everyone = np.arange(4000)
    weight = shop.config.sharing.reward_weight
    for reward in (0.0, 0.01, 1.0, 20.0):
        invites = afterwards._prefer_to_invite(shop, everyone, np.full(4000, reward))
        expected = 1 - (1 + reward) ** -weight
        assert invites.mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))


def test_a_bonus_of_a_fen_hardly_moves_the_shop() -> None:
    fen = {**REFERRAL, "bonus": {"inviter": 0.01, "invitee": 0, "on": "first_order"}, "rates": [0]}
    without = [run(seed=seed).metrics()["orders"] for seed in range(1, 5)]
    with_it = [run(fen, seed=seed, fraud={"rings": 0}).metrics()["orders"] for seed in range(1, 5)]
    assert sum(with_it) == pytest.approx(sum(without), rel=0.02)
