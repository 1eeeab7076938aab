"""Table, clock and ledger."""

import math
from fractions import Fraction

import numba
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim.core.clock import Clock
from sim.core.ledger import Account, Ledger, share_of
from sim.core.table import Table, column, smallest_integer
from sim.people import People


class Pets(Table):
    age = column(np.int32, fill=-1)
    place = column(np.float32, width=2)


def test_a_table_grows_and_keeps_what_it_holds():
    pets = Pets()
    for i in range(100):
        assert pets.append(age=[i, i]).tolist() == [2 * i, 2 * i + 1]
    assert len(pets) == 200
    assert pets.age.tolist() == [i for i in range(100) for _ in range(2)]
    assert pets.place.shape == (200, 2)


def test_a_table_fills_what_is_not_said_and_refuses_what_it_does_not_know():
    pets = Pets(3)
    assert pets.age.tolist() == [-1, -1, -1]
    with pytest.raises(KeyError, match="no column"):
        pets.append(weight=[1])


def test_a_column_may_be_narrower_than_it_was_declared():
    pets = Pets(3, {"age": smallest_integer((1 << 15) - 1)})
    pets.append(20, age=np.arange(20))
    assert pets.age.dtype == np.int16
    assert pets.age.tolist() == [-1, -1, -1, *range(20)]
    assert Pets(1).age.dtype == smallest_integer(1 << 15) == np.int32


def test_a_column_on_demand_takes_no_memory_before_it_is_held():
    class Guests(Table):
        name = column(np.int32)
        room = column(np.int16, fill=-1, on_demand=True)
        days = column(np.int64, on_demand=True)

    guests = Guests(100)
    guests.append(2, name=7)
    assert guests.nbytes == 102 * 4
    assert guests.room.tolist() == [-1] * 102
    with pytest.raises(ValueError, match="read-only"):
        guests.room[0] = 1
    assert guests.held("room").size == 0
    guests.hold("room")
    guests.room[0] = 5
    assert guests.held("room").size == 102
    assert numba.typeof(guests.held("room")) == numba.typeof(Guests(1).held("room"))  # one kernel for both
    guests.append(50, room=6)
    assert guests.nbytes == 152 * (4 + 2)
    assert guests.room.tolist() == [5, *[-1] * 101, *[6] * 50]
    assert not guests.days.any()
    again = Guests()
    again.restore(guests.arrays())
    assert all((again[name] == guests[name]).all() for name in guests)
    assert again.nbytes == guests.nbytes
    guests.append(days=3)
    assert guests.days.tolist() == [*[0] * 152, 3]


def test_columns_of_one_record_are_side_by_side_and_else_like_others():
    class Neighbours(Table):
        small = column(np.int8, fill=3, record="house")
        alone = column(np.int16, fill=5)
        large = column(np.float64, fill=7, record="house")

    neighbours = Neighbours()
    neighbours.append(small=np.arange(100), large=1.5)
    neighbours.append(2, alone=9)
    assert neighbours.small.tolist() == [*range(100), 3, 3]
    assert neighbours.alone.tolist() == [5] * 100 + [9, 9]
    assert neighbours.large.tolist() == [1.5] * 100 + [7, 7]
    assert neighbours.small.strides == neighbours.large.strides == (16,)
    assert neighbours.small.ctypes.data - neighbours.large.ctypes.data == 8
    assert neighbours.alone.flags.c_contiguous
    again = Neighbours()
    again.restore(neighbours.arrays())
    assert all((again[name] == neighbours[name]).all() for name in neighbours)


def test_what_is_read_of_a_visitor_is_one_line_of_the_cache():
    people = People(10, taste=8)
    record = [name for name, spec in People.columns.items() if spec.record is not None]
    lines = {people[name][3:].ctypes.data // 64 for name in record}
    assert len(lines) == 1


def test_a_table_is_restored_from_its_arrays():
    pets, copy = Pets(), Pets()
    pets.append(age=[3, 4], place=[[1, 2], [3, 4]])
    copy.restore(pets.arrays())
    pets.age[:] = 0
    assert copy.age.tolist() == [3, 4]
    assert copy.place.tolist() == [[1, 2], [3, 4]]


def test_a_clock_counts_ticks_days_and_hours():
    clock = Clock(4, 36)
    assert (clock.horizon, clock.days, clock.ticks_a_day) == (9, 2, 6)
    assert clock.ticks(24) == 6
    assert clock.ticks(25) == 7
    assert clock.probability(0.6) == pytest.approx(1 - np.exp(-0.1))
    for _ in range(6):
        clock.advance()
    assert (clock.day, clock.hour, clock.starts_day) == (1, 24.0, True)


def test_simpy_processes_run_when_their_hour_has_come():
    clock, seen = Clock(4, 48), []

    def process():
        yield clock.environment.timeout(10)
        seen.append(clock.tick)

    clock.environment.process(process())
    for _ in range(5):
        clock.run_processes()
        clock.advance()
    assert seen == [3]


def test_a_tick_must_divide_the_day():
    with pytest.raises(ValueError, match=r"divisor of 24\. Got 5"):
        Clock(5, 48)


moves = st.lists(
    st.tuples(
        st.sampled_from(list(Account)), st.sampled_from(list(Account)), st.lists(st.integers(0, 10**9), max_size=5)
    )
)


@given(moves)
def test_every_posting_balances(moves):
    ledger = Ledger(["shop", "coupon"], days=2, journal=True)
    for source, target, amounts in moves:
        ledger.transfer(1, 3, source, target, np.array(amounts, np.int64), scheme=1)
        assert ledger.imbalance() == 0
    total = sum(sum(a) for _, _, a in moves)
    assert ledger.flows()["amount"].sum() == total
    assert ledger.journal.amount.sum() == total
    for account in Account:
        into = ledger.journal.amount[ledger.journal.credit == account].sum()
        out = ledger.journal.amount[ledger.journal.debit == account].sum()
        assert ledger.balance(account) == into - out


def test_the_ledger_refuses_negative_and_fractional_amounts():
    ledger = Ledger(["shop"], days=1)
    with pytest.raises(ValueError, match="must not be negative"):
        ledger.transfer(0, 0, Account.BUYERS, Account.ESCROW, [-1])
    with pytest.raises(ValueError, match="whole fen"):
        ledger.transfer(0, 0, Account.BUYERS, Account.ESCROW, [1.5])


@pytest.mark.parametrize(
    ("amount", "share", "expected"),
    [(50, 0.15, 8), (10, 0.25, 3), (9, 0.5, 5), (100, 0.0, 0), (1_000_000, 0.1, 100_000)],
)
def test_shares_round_half_a_fen_up(amount, share, expected):
    assert share_of(amount, share) == expected


@given(st.integers(0, 10**14), st.integers(0, 10**6), st.integers(1, 6))
@example(90_275_250, 282, 3)
@example(10**14 + 1, 5, 1)
def test_shares_written_in_decimals_round_as_they_read_however_large_the_amount(amount, number, digits):
    number %= 4 * 10**digits + 1
    share = float(f"{number}e-{digits}")
    exact = Fraction(number, 10**digits)
    amounts = np.array([amount, amount // 3, amount // 10 * 10 + 5])
    expected = [math.floor(part * exact + Fraction(1, 2)) for part in amounts.tolist()]
    assert share_of(amounts, share).tolist() == expected
    assert share_of(amounts, np.full(3, share)).tolist() == expected
    assert share_of(amount, share) == expected[0]


def test_a_share_that_is_no_decimal_is_taken_as_it_is():
    assert share_of(np.array([3, 10]), 1 / 3).tolist() == [1, 3]
    assert share_of(1000, 4.5) == 4500
    assert share_of(10.5, 0.5) == 5
    assert share_of(np.array([[50, 10]]), [[0.15], [0.25]]).tolist() == [[8, 2], [13, 3]]
