"""What people pass on, and what a reward does to it."""

from __future__ import annotations

import numpy as np
import pytest

from agents import sharers
from sim import Shop
from sim.feed import Messages, Moments
from sim.offers import ShareKind
from tests.worlds import REFERRAL, run, scenario


def test_who_would_rather_invite_grows_from_nothing_with_the_reward() -> None:
    shop = Shop(scenario(people={"size": 4000}), rng=1)
    everyone, nobody = np.arange(4000, dtype=np.int32), np.zeros(0, np.int32)
    weight = shop.config.sharing.reward_weight
    for reward in (0.0, 0.01, 1.0, 20.0):
        kind, _ = sharers.occasions(
            np.uint32(1), np.uint32(0), everyone, everyone.size, nobody.astype(bool), nobody, np.full(4000, reward),
            shop.people.uid, shop.people.joined, weight, 0.1, 0.1, 0.1, 0.1,
        )  # fmt: skip
        expected = 1 - (1 + reward) ** -weight
        assert (kind == ShareKind.INVITE).mean() == pytest.approx(expected, abs=4 * np.sqrt(0.25 / 4000))


def test_each_person_has_one_occasion_and_an_order_goes_before_a_visit_and_a_visit_before_talk() -> None:
    buyers, visitors, talkers = (np.array(rows, np.int32) for rows in ([5, 2], [1, 2, 4, 5], [0, 2, 4, 7]))
    person, idle = sharers.with_an_occasion(buyers, visitors, talkers, 8)
    assert person.tolist() == [5, 2, 1, 4, 0, 7]
    assert idle == 2
    calls, team, joined = np.array([True, False]), np.array([3, -1], np.int32), np.full(8, -1, np.int32)
    joined[4] = 9
    kind, chance = sharers.occasions(
        np.uint32(1), np.uint32(9), person, idle, calls, team, np.zeros(4), np.arange(8, dtype=np.uint32), joined, 1.0,
        0.4, 0.3, 0.2, 0.1,
    )  # fmt: skip
    assert kind.tolist() == [ShareKind.TEAM, *[ShareKind.PRODUCT] * 5]
    np.testing.assert_array_equal(chance, [0.4, 0.3, 0.1, 0.2, np.nan, np.nan])


def test_a_bonus_of_a_fen_hardly_moves_the_shop() -> None:
    fen = {**REFERRAL, "bonus": {"inviter": 0.01, "invitee": 0, "on": "first_order"}, "rates": [0]}
    without = [run(seed=seed).metrics()["orders"] for seed in range(1, 5)]
    with_it = [run(fen, seed=seed, fraud={"rings": 0}).metrics()["orders"] for seed in range(1, 5)]
    assert sum(with_it) == pytest.approx(sum(without), rel=0.02)


def test_messages_are_read_in_the_order_in_which_they_were_sent_and_their_rows_are_used_again() -> None:
    horizon, each = 12, sharers.CHAINS + 3
    messages, moments = Messages(3 * each), Moments(horizon)
    vacant, sent, read = list(range(3 * each)), 0, []
    for tick in range(horizon):
        rows = sharers.enqueue(
            tick, horizon, -1, np.array([2] * each + [horizon], np.int32), np.zeros(each + 1, np.int32),
            np.append(sent + np.arange(each), 99).astype(np.int32), np.ones(each + 1, np.float32),
            *(np.zeros(1, dtype) for dtype in (np.int32, np.int8, np.int32, np.int32, np.float32)),
            messages.record, np.array(vacant, np.int32), moments.first, moments.last, moments.messages,
        )  # fmt: skip
        assert rows.size == each * (tick + 2 < horizon), "what would be read after the horizon is not kept"
        assert rows.tolist() == vacant[len(vacant) - rows.size :][::-1]
        del vacant[len(vacant) - rows.size :]
        sent += rows.size
        if moments.messages[tick]:
            columns = sharers.follow(int(moments.messages[tick]), moments.first[tick], messages.record)
            read += columns[1].tolist()
            vacant += columns[-1].tolist()
            moments.messages[tick] = 0
    assert read == list(range(sent))
    assert sorted(vacant) == list(range(3 * each))
