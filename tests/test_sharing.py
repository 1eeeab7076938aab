"""What people pass on, and what a reward does to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents import readers, sharers
from sim import Shop
from sim.core import draws
from sim.core.draws import Stream
from sim.core.turns import turns
from sim.day import arrivals
from sim.feed import Messages, Moments
from sim.offers import ShareKind, Source
from sim.people import Status, shift
from tests.worlds import REFERRAL, run, scenario


def test_who_would_rather_invite_grows_from_nothing_with_the_reward() -> None:
    shop = Shop(scenario(people={"size": 4000}), rng=1)
    everyone, nobody = np.arange(4000, dtype=np.int32), np.zeros(0, np.int32)
    weight = shop.config.sharing.reward_weight
    for reward in (0.0, 0.01, 1.0, 20.0):
        kind, _ = sharers.occasions(
            np.uint32(1), np.uint32(0), everyone, everyone.size, nobody.astype(bool), nobody, np.full(4000, reward),
            nobody.astype(float), np.zeros(4000),
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
    reward = np.arange(6.0)
    kind, chance = sharers.occasions(
        np.uint32(1), np.uint32(9), person, idle, calls, team, np.zeros(4), np.array([5.0, 6.0]), reward,
        np.arange(8, dtype=np.uint32), joined, 1.0, 0.4, 0.3, 0.2, 0.1,
    )  # fmt: skip
    assert kind.tolist() == [ShareKind.TEAM, *[ShareKind.PRODUCT] * 5]
    np.testing.assert_array_equal(chance, [0.4, 0.3, 0.1, 0.2, np.nan, np.nan])
    assert reward.tolist() == [5, 1, 2, 3, 4, 5], "of what they would share: a buyer calls friends to a team"


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


def test_what_is_passed_on_is_what_one_bought_and_accounts_without_ties_tell_nobody() -> None:
    person, kind = np.array([3, 9, 0, 1, 2], np.int32), np.array([1, 0, 0, 2, 0], np.int8)
    recent = np.arange(40, dtype=np.int32).reshape(10, 4)
    columns = sharers.passed_on(
        np.array([0, 1, 2, 3, 4]), person, kind, np.array([71, 72], np.int32), np.array([5, -1], np.int32), recent, 9
    )
    assert [column.tolist() for column in columns] == [[3, 0, 1, 2], [1, 0, 2, 0], [71, 0, -1, 8], [5, -1, -1, -1]]


@given(st.lists(st.integers(0, 9), max_size=60))
def test_turns_are_a_stable_order(numbers: list[int]) -> None:
    for dtype in (np.int32, np.uint32):
        values = np.array(numbers, dtype)
        np.testing.assert_array_equal(turns(values), values.argsort(kind="stable"))
    highest = np.array([2**32 - 1, 0, 2**32 - 1], np.uint32)
    assert turns(highest).tolist() == [1, 0, 2]


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from([0.1, 0.5, 1.0, 2.0])), max_size=30))
def test_of_what_one_reads_the_keenest_is_clicked_on(read: list[tuple[int, float]]) -> None:
    recipient, outcome = np.array([r for r, _ in read], np.int32), np.array([u for _, u in read])
    exposures = np.zeros(6, np.float32)
    hits = [e for e, (_, u) in enumerate(read) if u <= 1]
    expected = [
        min((e for e in hits if recipient[e] == r), key=lambda e: outcome[e]) for r in sorted({*recipient[hits]})
    ]
    assert readers.clicked(outcome, recipient, exposures).tolist() == expected
    np.testing.assert_array_equal(exposures, np.bincount(recipient, minlength=6))


def test_who_signs_up_on_a_click_is_a_draw_that_gifts_move_and_more_so_of_the_deal_prone() -> None:
    n, seed, tick = 4000, 7, 3
    sharer, recipient = np.arange(n, dtype=np.int32)[::-1].copy(), np.arange(n, dtype=np.int32)
    kind = np.where(recipient % 3 == 0, ShareKind.POST, ShareKind.INVITE).astype(np.int8)
    gift = (recipient % 5).astype(np.float32)
    uid, status = recipient.astype(np.uint32) + 9, (recipient % 7 == 0).astype(np.int8)  # some are members
    deal_prone = recipient % 2 == 0
    person, inviter, source = readers.sign_ups(
        np.uint32(seed), np.uint32(tick), sharer, recipient, kind, gift, uid, status, deal_prone, 0.3, 0.25, 3.0
    )
    logits = 0.25 * np.where(deal_prone, 3.0, 1.0) * np.log1p(gift)
    wants = draws.uniform(seed, Stream.SIGN_UP, uid, 0, tick) < shift(np.full(n, 0.3), logits)
    rows = np.flatnonzero(wants & (status == Status.PROSPECT))
    np.testing.assert_array_equal(person, recipient[rows])
    np.testing.assert_array_equal(inviter, sharer[rows])
    np.testing.assert_array_equal(source, np.where(kind[rows] == ShareKind.POST, Source.KOL, Source.SHARE))


def test_of_several_sign_ups_of_a_prospect_the_first_counts_and_unprompted_ones_come_last() -> None:
    status = np.full(8, Status.PROSPECT, np.int8)
    status[4] = Status.MEMBER
    person, inviter = np.array([5, 2, 5, 4], np.int32), np.array([1, 0, 3, 1], np.int32)
    source = np.array([Source.SHARE, Source.KOL, Source.RING, Source.SHARE], np.int8)
    columns = arrivals._wanting(person, inviter, source, np.array([2, 4, 6], np.int32), status)
    expected = [[2, 5, 6], [0, 1, -1], [Source.KOL, Source.SHARE, Source.OWN]]
    assert [column.tolist() for column in columns] == expected


def test_those_who_had_left_are_back_once_they_click() -> None:
    status = np.array([Status.PROSPECT, Status.MEMBER, Status.CHURNED], np.int8)
    who, what = arrivals._welcome_back(np.array([0, 1, 2], np.int32), np.array([7, -1, 8], np.int32), status)
    assert who.tolist() == [1, 2]
    assert what.tolist() == [-1, 8]
    assert status.tolist() == [Status.PROSPECT, Status.MEMBER, Status.MEMBER]
