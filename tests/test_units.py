"""Money, durations, shares and rates: what a file may say, and that nothing is lost on the way back."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sim.core.config import Section, assume
from sim.core.units import (
    MAX_FEN,
    MAX_HOURS,
    Fen,
    Hours,
    Level,
    PerDay,
    PositiveFen,
    PositiveHours,
    Share,
    SignedShare,
)


def read(unit, value):
    return TypeAdapter(unit).validate_python(value)


def show(unit, value):
    return TypeAdapter(unit).dump_python(value)


def refusal(unit, value):
    with pytest.raises(ValidationError) as caught:
        read(unit, value)
    return caught.value.errors()[0]


@given(st.integers(0, MAX_FEN))
def test_money_survives_writing_and_reading(fen):
    assert read(Fen, show(Fen, fen)) == fen


@given(st.floats(0, MAX_HOURS))
def test_durations_survive_writing_and_reading(hours):
    assert read(Hours, show(Hours, hours)) == hours


@given(st.floats(0, 1))
def test_shares_survive_writing_and_reading(share):
    assert read(Share, show(Share, share)) == share


@given(st.floats(-1, 1))
def test_signed_shares_survive_writing_and_reading(share):
    assert read(SignedShare, show(SignedShare, share)) == share


@given(st.floats(0, 1e6))
def test_rates_survive_writing_and_reading(rate):
    assert read(PerDay, show(PerDay, rate)) == rate


@given(st.integers(0, 9999))
def test_a_percentage_is_the_number_with_the_same_digits(basis_points):
    assert read(Share, f"{basis_points // 100}.{basis_points % 100:02}%") == float(f"0.{basis_points:04}")


@pytest.mark.parametrize(
    ("unit", "written", "inside"),
    [
        (Fen, 9, 900), (Fen, 9.5, 950), (Fen, 0.07, 7), (Fen, 1e12, MAX_FEN), (Fen, "9 yuan", 900),
        (Fen, "9.90元", 990), (Fen, "¥ 12.5", 1250), (Fen, 0, 0),
        (Hours, "24h", 24.0), (Hours, "90d", 2160.0), (Hours, "2w", 336.0), (Hours, "30min", 0.5),
        (Hours, "1.5 h", 1.5), (Hours, "0h", 0.0),
        (Share, "15%", 0.15), (Share, 0.15, 0.15), (Share, 1, 1.0), (Share, "7%", 0.07), (Share, "12.5 %", 0.125),
        (SignedShare, "-3%", -0.03), (SignedShare, -1, -1.0),
        (PerDay, 0.2, 0.2), (PerDay, "0.2/d", 0.2), (PerDay, "3 / day", 3.0),
        (Level, "3%", 0.03), (Level, 120, 120.0), (Level, -4, -4.0),
    ],
)  # fmt: skip
def test_every_way_of_writing_a_quantity_is_read(unit, written, inside):
    value = read(unit, written)
    assert value == inside and type(value) is type(inside)


@pytest.mark.parametrize(
    ("unit", "written"),
    [
        (Fen, -1), (Fen, 9.999), (Fen, "9"), (Fen, "9 dollars"), (Fen, True), (Fen, None), (Fen, math.nan),
        (Fen, math.inf), (Fen, 1e12 + 1), (Fen, 10**400), (Fen, 1e30), (Fen, "9" * 400 + "元"),
        (Fen, "-3 yuan"), (Fen, [1]), (Fen, "1e5 yuan"), (PositiveFen, 0),
        (Hours, 24), (Hours, "24"), (Hours, "-1h"), (Hours, "1 year"), (Hours, "200000w"), (Hours, "h"), (Hours, True),
        (Hours, "nan h"), (Hours, "9" * 400 + "h"), (PositiveHours, "0h"),
        (Share, 15), (Share, "15"), (Share, "101%"), (Share, -0.1), (Share, True), (Share, math.nan), (Share, "%"),
        (SignedShare, -2), (SignedShare, "-101%"),
        (PerDay, -0.1), (PerDay, "3/week"), (PerDay, "3"), (PerDay, True), (PerDay, math.inf),
        (Level, "three"), (Level, math.nan), (Level, False),
    ],
)  # fmt: skip
def test_whatever_could_be_taken_for_another_quantity_is_refused(unit, written):
    error = refusal(unit, written)
    assert error["type"] == "unit" and error["msg"].startswith("must be ")


def test_a_bare_percentage_is_refused_with_what_to_write():
    assert refusal(Share, 15)["ctx"]["hint"] == "for 15 percent write 15% or 0.15"


@pytest.mark.parametrize("unit", [Fen, PositiveFen, Hours, PositiveHours, Share, SignedShare, PerDay, Level])
def test_every_unit_tells_editors_what_it_accepts(unit):
    schema = TypeAdapter(unit).json_schema()
    assert schema["title"] and schema["description"].startswith("Write ")


class Inner(Section):
    kind: str = "inner"
    left: float = 1.0
    right: float = 2.0


class Outer(Section):
    price: Fen = assume(950, source="a price list", unit="a unit")
    """What it costs"""
    pair: tuple[int, int] = (1, 2)
    inner: Inner = Inner(left=5.0, right=6.0)
    flag: bool = False
    count: int = 3
    ratio: float = 0.5


def test_a_section_given_in_part_keeps_the_rest_of_its_own_default():
    assert Outer(inner={"left": 9.0}).inner == Inner(left=9.0, right=6.0)


def test_a_section_of_another_kind_starts_from_scratch():
    assert Outer(inner={"kind": "other", "left": 9.0}).inner == Inner(kind="other", left=9.0, right=2.0)


def test_a_list_from_a_file_is_read_as_a_tuple():
    assert Outer(pair=[3, 4]).pair == (3, 4)


@pytest.mark.parametrize(
    "values",
    [
        {"count": "3"}, {"count": 3.0}, {"count": True}, {"flag": 1}, {"flag": "true"}, {"ratio": "0.5"},
        {"ratio": True}, {"ratio": math.nan}, {"ratio": math.inf}, {"cuont": 3}, {"pair": [1, 2, 3]},
        {"pair": ["1", 2]},
    ],
)  # fmt: skip
def test_a_section_coerces_nothing_and_knows_its_keys(values):
    with pytest.raises(ValidationError):
        Outer(**values)


def test_a_section_cannot_be_changed():
    with pytest.raises(ValidationError):
        Outer().count = 4


def test_the_json_schema_shows_defaults_as_a_file_writes_them_and_where_they_come_from():
    price = Outer.model_json_schema()["properties"]["price"]
    assert price["default"] == 9.5
    assert price["description"] == "What it costs. Unit: a unit. Source: a price list."


def test_a_section_survives_dumping_and_reading():
    section = Outer(price="3.30元", inner={"right": 1})
    assert Outer(**section.model_dump()) == section
