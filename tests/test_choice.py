"""What the kernels of a tick take short cuts to: each must find what plain arithmetic finds."""

from __future__ import annotations

import numpy as np
import pytest

from agents import consumers
from sim.core import draws
from sim.core.draws import Stream
from sim.core.scatter import add_each, add_to_all
from sim.day.buying import _by_lot
from sim.orders import OrderBook
from sim.schemes.rewards import RewardState, of_orders
from sim.schemes.teams import TeamBook, TeamState

OUTSIDE = 0xFFFFFFFF


@pytest.mark.parametrize("dimensions", [1, 8, 11])
@pytest.mark.parametrize("way_noise", [0.0, 0.5, 3.0])
def test_everybody_picks_what_is_worth_most_to_them(dimensions: int, way_noise: float) -> None:
    rng = np.random.default_rng(dimensions)
    persons, products, slate, width, memory = 400, 30, 4, 13, 6
    seed, tick, weight = 7, 3, 1.3
    uid = rng.permutation(persons).astype(np.uint32)
    prone, thrill = rng.random(persons) < 0.4, 6.0
    taste = rng.standard_normal((persons, dimensions)).astype(np.float32)
    topic = rng.standard_normal((products, dimensions)).astype(np.float32) / np.float32(np.sqrt(dimensions))
    quality = rng.standard_normal(products).astype(np.float32)
    intercept, sensitivity = (rng.normal(mean, 1, persons).astype(np.float32) for mean in (-6, 2))
    sensitivity, conformity = np.abs(sensitivity), rng.exponential(0.7, persons).astype(np.float32)
    reference = rng.uniform(0.5, 1, persons).astype(np.float32)
    heard = rng.integers(-1, products, (persons, memory)).astype(np.int32)
    heard[:, 0] = heard[:, 1]  # some products several friends bought
    person = rng.permutation(persons)[:300].astype(np.int32)
    product = rng.integers(-1, products, (300, width)).astype(np.int32)
    product[:, slate : 2 * slate] = np.where(rng.random((300, slate)) < 0.8, product[:, :slate], -1)
    mode = np.repeat([0, 1, 2], [slate, slate, width - 2 * slate])[None, :].repeat(300, 0).astype(np.int8)
    mode[:, -1] = 0
    worth = rng.integers(0, 9000, (300, width))
    pay = np.minimum(worth, (worth * rng.choice([0.0, 0.3, 0.85, 1.0], (300, width))).astype(np.int64))
    appeal = rng.standard_normal((300, width)).astype(np.float32)

    ratio = np.where((pay < worth) & (product >= 0), np.maximum(0.02, pay / np.maximum(worth, 1)), 1.0)
    match = (taste[person, None].astype(np.float64) * topic[product]).sum(axis=2)
    times = (heard[person, None, :] == product[:, :, None]).sum(axis=2)
    of = person[:, None]
    price = sensitivity[of].astype(np.float64) * (np.log(reference[of].astype(np.float64)) - np.log(ratio))
    price += thrill * prone[of] * (1 - ratio)
    utility = intercept[of] + quality[product] + weight * match + conformity[of] * np.log1p(times) + appeal + price
    utility += draws.gumbel(seed, Stream.CHOICE, uid[of], product, tick)
    u = draws.uniform(seed, Stream.CHOICE, uid[of], product, tick, mode)
    utility += np.where(mode > 0, way_noise * np.log(u / (1 - u)), 0.0)
    utility = np.where(product >= 0, utility, -np.inf)
    outside = draws.gumbel(seed, Stream.CHOICE, uid[person], OUTSIDE, tick)
    expected = np.where(utility.max(axis=1) > outside, utility.argmax(axis=1), -1)
    asked = np.where(product >= 0, ratio, 0).sum(axis=1) / np.maximum((product >= 0).sum(axis=1), 1)
    drifted = reference[person] + 0.1 * np.where((product >= 0).any(axis=1), asked - reference[person], 0)

    picked = consumers.choose(
        np.uint32(seed), np.uint32(tick), slate, person, product, mode, pay, worth, appeal,
        uid, taste, intercept, sensitivity, conformity, reference, heard, prone,
        topic, quality, weight, thrill, way_noise, 0.1, np.empty((0, 0), np.float32),
    )  # fmt: skip
    assert 50 < np.count_nonzero(picked >= 0) < 290
    assert np.array_equal(picked, expected)
    assert reference[person] == pytest.approx(drifted, rel=1e-5)


@pytest.mark.parametrize("kind", [np.uint32, np.int32, np.int64])
def test_uniforms_of_a_list_are_those_of_each_address(kind: type) -> None:
    subject, obj = np.arange(5, 40).astype(kind), np.arange(35) - 3
    for tick, k in ((0, 0), (-1, 7), (2**32 + 5, Stream.COUPON)):
        one_by_one = [draws.words(9, Stream.RISK, s, 4, tick, k)[0] for s in subject]
        pairs = [draws.words(9, Stream.RISK, s, o, tick, k)[0] for s, o in zip(subject, obj, strict=True)]
        assert np.array_equal(draws.uniform(9, Stream.RISK, subject, 4, tick, k), (np.array(one_by_one) + 0.5) / 2**32)
        assert np.array_equal(draws.uniform(9, Stream.RISK, subject, obj, tick, k), (np.array(pairs) + 0.5) / 2**32)


def test_sums_at_rows_count_every_occurrence() -> None:
    column, rows = np.array([10, 20, 30]), np.array([2, 0, 2])
    add_each(column, rows, np.array([1, 2, 3]))
    add_to_all(column, rows, -1)
    assert column.tolist() == [11, 20, 32]


def test_free_places_go_to_the_first_and_trying_takes_none() -> None:
    book = TeamBook(products=1)
    teams = book.open(rows=2, opener=[1, 2], order=[0, 1], product=[0, 0], deadline=[9, 9], refund_due=[9, 9], size=2)
    book.take_places(teams, np.array([1, 2], np.int32), np.array([0, 1]))
    wanted, persons = np.array([0, 0, 0, 1, 1]), np.array([1, 5, 6, 7, 2], np.int32)
    for _ in range(2):
        assert book.finds_place(wanted, persons).tolist() == [False, True, False, True, False]
    book.close(teams[1:], TeamState.FAILED, 9, OrderBook(2))
    assert book.finds_place(wanted, persons).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("orders", [0, 1, 2, 500])
def test_rivals_come_in_the_order_of_their_lots(orders: int) -> None:
    rng = np.random.default_rng(orders)
    uid = rng.permutation(4000).astype(np.uint32)
    person, product = rng.permutation(4000)[:orders].astype(np.int32), rng.integers(0, 9, orders).astype(np.int32)
    lot = draws.uniform(7, Stream.SCREEN, uid[person], product, 5)
    assert np.array_equal(_by_lot(np.uint32(7), np.uint32(5), person, product, uid), np.lexsort((uid[person], lot)))


def test_rewards_of_an_order_are_found_among_those_of_sign_ups() -> None:
    order = np.array([-1, 3, 3, -1, 4, -1, 7])
    latest = np.maximum.accumulate(order)
    state = np.full(7, RewardState.FROZEN, np.int8)
    state[2] = RewardState.RELEASED
    due, of_order = np.arange(5, 12), np.array([0, 0, 0, 2, 1, 0, 0, 1])
    frozen, released = of_orders(np.array([2, 3, 4, 5, 7]), 10, order, latest, state, due, of_order)
    assert frozen.tolist() == [1, 4]  # the last is due too late
    assert released.tolist() == [2]
