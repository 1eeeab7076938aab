"""Lanes: batches shared out over threads."""

import sys
import threading

import numba
import numpy as np
import pytest

from sim.core import lanes
from sim.shop import Shop


@pytest.fixture
def three(monkeypatch):
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 3)


@pytest.mark.parametrize("rows", [0, 1, 2, 7, 100])
def test_parts_are_all_rows_in_order(three, rows):
    numbers = np.arange(rows)
    np.testing.assert_array_equal(lanes.collect(lambda part: numbers[part], rows, worth=2), numbers)
    one, two = lanes.collect(lambda part: (numbers[part], -numbers[part]), rows, worth=2)
    np.testing.assert_array_equal(one, numbers)
    np.testing.assert_array_equal(two, -numbers)


def test_no_part_is_smaller_than_what_is_worth_a_thread(three):
    sizes = [len(lanes.share_out(lambda part: part, rows, worth=10)) for rows in (5, 19, 20, 29, 30, 1000)]
    assert sizes == [1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_failure_in_any_part_is_raised_when_all_parts_have_ended(three, bad):
    ended = []

    def work(part):
        if part.start == bad:
            raise ValueError("of this part")
        ended.append(part.start)

    with pytest.raises(ValueError, match="of this part"):
        lanes.share_out(work, 3, worth=1)
    assert sorted(ended) == [n for n in range(3) if n != bad]


def test_what_is_begun_goes_on_beside_us_only_if_it_is_worth_a_thread(three):
    here = threading.get_ident()
    assert lanes.start(threading.get_ident, rows=1, worth=2).result() == here
    later = lanes.start(threading.get_ident, rows=2, worth=2)
    assert later.result() != here
    assert later.result() == later.result()


def test_who_is_at_work_is_not_asked_for_more(three):
    goes_on = threading.Event()
    busy = [lanes.start(goes_on.wait, rows=1, worth=1) for _ in range(2)]
    assert len(lanes.share_out(lambda part: part, 100, worth=1)) == 1
    goes_on.set()
    assert all(later.result() for later in busy)
    assert len(lanes.share_out(lambda part: part, 100, worth=1)) == 3


def test_a_run_does_not_depend_on_threads(monkeypatch):
    def run():
        shop = Shop("scenarios/launch.yaml", rng=4, **{"people.size": 2000, "horizon": "4d"})
        return shop.run()

    alone = run()
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 3)
    for module in list(sys.modules.values()):
        if hasattr(module, "WORTH_A_THREAD"):
            monkeypatch.setattr(module, "WORTH_A_THREAD", 1)
    shared = run()
    for table in ("people", "products", "book"):
        for name, values in getattr(alone, table).arrays().items():
            np.testing.assert_array_equal(getattr(shared, table)[name], values, err_msg=f"{table}.{name}")
    assert shared.ledger.balances().equals(alone.ledger.balances())
