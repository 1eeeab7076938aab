"""What every part of a scenario file is made of: strict sections, and parameters that state their source.

A scheme, a recommender or a behaviour declares a `Section` beside its code and gives each parameter with `assume`:

>>> from sim.core.units import Hours, Share
>>> class TeamConfig(Section):
...     discount: Share = assume(0.15, source="assumption: typical team price")
...     window: Hours = assume(24.0, source="published platform practice", ge=1.0)
>>> TeamConfig(discount="20%").discount
0.2

Defaults and bounds are in the inside unit (hours, fen, share of 1). Whatever is passed in, from a file or from Python,
is in file form ("24h", yuan, "15%"), and `model_dump` gives that back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

FEN_PER_YUAN = 100


def assume(default: Any, *, source: str, unit: str | None = None, **constraints: Any) -> Any:
    """Declare a parameter together with where its default comes from.

    Parameters
    ----------
    default : Any
        The default in the inside unit (hours, fen, share of 1), or ``...`` for a required key.
    source : str
        Publication, data set or reasoning behind the default; shown in reports and editors.
    unit : str, optional
        Unit of the value where its type does not already say so, for example "persons" or "per day".
    **constraints : Any
        Anything `pydantic.Field` takes: ``ge``, ``gt``, ``le``, ``lt``, ``description``; bounds in the inside unit.

    Returns
    -------
    Any
        A pydantic ``FieldInfo``.
    """
    extra: dict[str, Any] = {"source": source}
    if unit is not None:
        extra["unit"] = unit
    return Field(default, json_schema_extra=extra, **constraints)


def _accept_lists(schema: Any) -> None:
    """Make every tuple and set inside a core schema lax, in place, so that a list is read as one."""
    if isinstance(schema, dict):
        if schema.get("type") in {"tuple", "set", "frozenset"}:
            schema["strict"] = False
        for part in schema.values():
            _accept_lists(part)
    elif isinstance(schema, list):
        for part in schema:
            _accept_lists(part)


def _laid_over(base: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Add what `base` says and `given` does not, deeply; nothing if they are of different kinds."""
    if given.get("kind", base.get("kind")) != base.get("kind"):
        return given
    both = {key: (base[key], given[key]) for key in base.keys() & given.keys()}
    nested = {key: _laid_over(*pair) for key, pair in both.items() if all(isinstance(part, Mapping) for part in pair)}
    return {**base, **given, **nested}


class Section(BaseModel):
    """A mapping in a scenario file: no unknown keys, no silent coercion, finite numbers, immutable once read."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _lay_over_defaults(cls, data: Any) -> Any:
        """Let a mapping that says only part of a section keep the rest of that section's own default."""
        if not isinstance(data, Mapping):
            return data
        filled = dict(data)
        for name in data.keys() & cls.model_fields.keys():
            default = cls.model_fields[name].default
            if isinstance(default, BaseModel) and isinstance(data[name], Mapping):
                filled[name] = _laid_over(default.model_dump(), data[name])
        return filled

    @classmethod
    def __get_pydantic_core_schema__(cls, source: type[BaseModel], handler: GetCoreSchemaHandler) -> CoreSchema:
        """Accept a file's list where a tuple or a set is declared, which strict mode alone would refuse."""
        schema = handler(source)
        _accept_lists(schema)
        return schema

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Put unit and source into each description, where an editor shows them, and write defaults as a file does."""
        reference = handler(core_schema)
        defaults = cls.model_construct().model_dump(mode="json", warnings=False)
        for name, key in handler.resolve_ref_schema(reference).get("properties", {}).items():
            if "default" in key:
                key["default"] = defaults[name]
            notes = [key["description"].rstrip(". ")] if key.get("description") else []
            notes += [f"{note.capitalize()}: {key[note]}" for note in ("unit", "source") if note in key]
            if notes:
                key["description"] = ". ".join(notes) + "."
        return reference
