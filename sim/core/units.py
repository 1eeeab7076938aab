"""Money, durations, shares and rates: how a scenario file writes them and what the engine holds.

=============  ==============================  ====================
type           in the file                     inside
=============  ==============================  ====================
`Fen`          9, 9.5, "9 yuan", "9.90元"      int, 1/100 yuan
`Hours`        30min, 24h, 90d, 2w             float, hours
`Share`        15% or 0.15                     float in [0, 1]
`SignedShare`  -15% or -0.15                   float in [-1, 1]
`PerDay`       0.2, 0.2/d or 0.2/day           float, events a day
`Level`        3%, 0.03 or 120                 float
`FilePath`     a path, relative to the file    str
=============  ==============================  ====================

Each type reads only the file form and dumps it again without loss: ``read(show(x)) == x``. A number that could be taken
for another unit (a bare 24 for a duration, 15 for 15%) is refused with what to write instead.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, TypeGuard

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from sim.core.config import FEN_PER_YUAN

MAX_FEN = 10**12 * FEN_PER_YUAN
MAX_HOURS = 24.0 * 365 * 100
HOURS_IN = {"min": 1 / 60, "h": 1.0, "d": 24.0, "w": 168.0}

_NUMBER = r"[+-]?\d+(?:\.\d+)?"
_MONEY = re.compile(rf"(?:[¥￥]\s*({_NUMBER})|({_NUMBER})\s*(?:yuan|元|CNY))", re.ASCII)
_DURATION = re.compile(rf"({_NUMBER})\s*(min|h|d|w)", re.ASCII)
_PERCENT = re.compile(rf"({_NUMBER})\s*[%％]", re.ASCII)
_RATE = re.compile(rf"({_NUMBER})\s*/\s*(?:d|day)", re.ASCII)


@dataclass(frozen=True)
class Unit:
    """How one kind of quantity is read from a file and written back; put into ``Annotated[int or float, Unit(...)]``.

    Parameters
    ----------
    name : str
        Title in the JSON Schema, for example "money in yuan".
    allowed : str
        What may be written, as it follows "must be ...".
    read : Callable[[object], float]
        File form to inside value; raises ValueError with a hint, or with no text for anything that is not of this unit.
    show : Callable[[float], float or str]
        Inside value to file form.
    json_schema : dict
        What an editor should accept.
    low, high : float
        Inclusive bounds of the inside value.
    above_low : bool
        Whether `low` itself is excluded.
    """

    name: str
    allowed: str
    read: Callable[[object], float]
    show: Callable[[Any], float | str]
    json_schema: dict[str, Any]
    low: float
    high: float = math.inf
    above_low: bool = False

    def __hash__(self) -> int:
        return hash((self.name, self.allowed))

    def parse(self, value: object) -> float:
        """Read a file value; a refusal says what may be written.

        Raises
        ------
        PydanticCustomError
            With the text "must be ..." and, where one is likely to help, a hint.
        """
        hint = ""
        try:
            inside = self.read(value)
        except ValueError as problem:
            hint = str(problem)
        else:
            if self.low <= inside <= self.high and not (self.above_low and inside == self.low):
                return inside
            hint = self._out_of_range(value)
        raise PydanticCustomError("unit", "must be {allowed}", {"allowed": self.allowed, "hint": hint})

    def _out_of_range(self, value: object) -> str:
        """Say what to write where a bare number was probably meant as a percentage."""
        if "share" in self.name and _is_number(value) and 1 < abs(value) <= 100:
            return f"for {value:g} percent write {value:g}% or {value / 100:g}"
        return ""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(
            self.parse, handler(source), serialization=core_schema.plain_serializer_function_ser_schema(self.show)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"title": self.name, "description": f"Write {self.allowed}.", **self.json_schema}


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _finite(value: float | str) -> float:
    """Convert to a finite float; ValueError for nan, infinity, and whole numbers beyond any float."""
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError("the number is not finite")
    return number


def _matched(value: object, pattern: re.Pattern[str]) -> tuple[str, ...]:
    """Return the groups of `pattern` over the whole of a text value; ValueError if it is anything else."""
    match = pattern.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError
    return tuple(group for group in match.groups() if group is not None)


def _plain(number: float) -> str:
    """Write a float in full, without an exponent."""
    return f"{Decimal(repr(number)):f}"


def read_fen(value: object) -> int:
    """Convert yuan, a number or text with a currency, to whole fen; more than two decimals are refused."""
    text = repr(_finite(value)) if _is_number(value) else _matched(value, _MONEY)[0]
    fen = Decimal(text) * FEN_PER_YUAN
    if abs(fen) <= MAX_FEN and fen % 1:
        raise ValueError("money has at most 2 decimals")
    return int(fen)


def show_fen(fen: int) -> int | float:
    """Write fen as yuan, 9 or 9.5. Exact, because MAX_FEN has fewer digits than a float."""
    return fen // FEN_PER_YUAN if fen % FEN_PER_YUAN == 0 else fen / FEN_PER_YUAN


def read_hours(value: object) -> float:
    """Convert a number with one of the units min, h, d, w to hours."""
    if _is_number(value):
        raise ValueError("a duration needs a unit")
    number, unit = _matched(value, _DURATION)
    return _finite(number) * HOURS_IN[unit]


def show_hours(hours: float) -> str:
    """Write a duration in the largest of d, h and min in which it is a whole number, else in decimal hours."""
    for unit in ("d", "h", "min"):
        count = round(hours / HOURS_IN[unit])
        if count * HOURS_IN[unit] == hours:
            return f"{count}{unit}"
    return f"{_plain(hours)}h"


def read_share(value: object) -> float:
    """Convert a percentage, or a plain number, to a share of 1."""
    if _is_number(value):
        return _finite(value)
    return _finite(f"{_matched(value, _PERCENT)[0]}e-2")  # shifts the decimal point without rounding


def show_share(share: float) -> str:
    """Write a share as a percentage, with every digit it has."""
    percent = Decimal(repr(share)).scaleb(2)  # exact, unlike share * 100
    return f"{percent.normalize():f}%" if percent else "0%"


def read_per_day(value: object) -> float:
    """Convert a number, or text such as 0.2/d, to events a day."""
    return _finite(value) if _is_number(value) else _finite(_matched(value, _RATE)[0])


def _number_or(pattern: str, **bounds: float) -> dict[str, Any]:
    return {"anyOf": [{"type": "number", **bounds}, {"type": "string", "pattern": pattern}]}


_MONEY_PATTERN = r"^\s*([¥￥]\s*\d+(\.\d{1,2})?|\d+(\.\d{1,2})?\s*(yuan|元|CNY))\s*$"
_HOURS_PATTERN = r"^\s*\d+(\.\d+)?\s*(min|h|d|w)\s*$"
_SHARE_PATTERN = r"^\s*\d+(\.\d+)?\s*[%％]\s*$"
_RATE_PATTERN = r"^\s*\d+(\.\d+)?\s*/\s*(d|day)\s*$"


def _money(allowed: str, **limits: Any) -> Unit:
    schema = _number_or(_MONEY_PATTERN, minimum=0, maximum=MAX_FEN // FEN_PER_YUAN)
    return Unit("money in yuan", allowed, read_fen, show_fen, schema, low=0, high=MAX_FEN, **limits)


def _duration(allowed: str, **limits: Any) -> Unit:
    schema = {"type": "string", "pattern": _HOURS_PATTERN}
    return Unit("duration", allowed, read_hours, show_hours, schema, low=0.0, high=MAX_HOURS, **limits)


_SHARE = Unit(
    "share", "a share from 0% to 100%, such as 15% or 0.15", read_share, show_share,
    _number_or(_SHARE_PATTERN, minimum=0, maximum=1), low=0.0, high=1.0,
)  # fmt: skip
_SIGNED_SHARE = Unit(
    "signed share", "a share from -100% to 100%, such as -15% or 0.15", read_share, show_share,
    _number_or(_SHARE_PATTERN.replace(r"\d+", r"[+-]?\d+", 1), minimum=-1, maximum=1), low=-1.0, high=1.0,
)  # fmt: skip
_PER_DAY = Unit(
    "rate per day", "a rate per day of 0 or more, such as 0.2 or 0.2/d", read_per_day, lambda rate: rate,
    _number_or(_RATE_PATTERN, minimum=0), low=0.0, high=1e9,
)  # fmt: skip
_LEVEL = Unit(
    "number or percentage", "a number or a percentage, such as 120 or 3%", read_share, lambda level: level,
    {"anyOf": [{"type": "number"}, {"type": "string", "pattern": _SHARE_PATTERN.replace(r"\d+", r"[+-]?\d+", 1)}]},
    low=-math.inf,
)  # fmt: skip


@dataclass(frozen=True)
class FileMarker:
    """Marks a key whose value is a path; `sim.scenario` resolves it against the file in which the key stands."""


Fen = Annotated[int, _money("an amount in yuan of 0 or more with at most 2 decimals, such as 9, 9.5 or '9.90元'")]
PositiveFen = Annotated[
    int, _money("an amount in yuan above 0 with at most 2 decimals, such as 9, 9.5 or '9.90元'", above_low=True)
]
Hours = Annotated[float, _duration("a duration with a unit, such as 30min, 24h, 90d or 2w")]
PositiveHours = Annotated[float, _duration("a duration above 0 with a unit, such as 30min, 24h or 90d", above_low=True)]
Share = Annotated[float, _SHARE]
SignedShare = Annotated[float, _SIGNED_SHARE]
PerDay = Annotated[float, _PER_DAY]
Level = Annotated[float, _LEVEL]
Correlation = Annotated[float, Field(ge=-1, le=1)]
Count = Annotated[int, Field(ge=0)]
PositiveCount = Annotated[int, Field(ge=1)]
FilePath = Annotated[str, Field(min_length=1), FileMarker()]
