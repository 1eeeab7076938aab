"""Every key of a scenario file in tables: ``docs/parameters.md`` is what ``python -m sim.scenario.document`` prints."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sim.scenario.keys import Form, allowed, forms, forms_of_field, kinds_of
from sim.scenario.schema import ScenarioConfig

_HEAD = """\
# Parameters

Generated from the schema by `python -m sim.scenario.document`; do not edit.

Every key that a scenario file may hold. Money is in yuan, durations carry a unit (`30min`, `24h`, `90d`, `2w`), shares
are `15%` or `0.15`, rates are per day. Keys stand below what the heading names (`members_at_start` of people is
`people.members_at_start`); `N` is a place in a list. A default of — means that the key is not set. A key without a
source is a decision and not an assumption. How files extend and override one another is in
[Scenario files](scenario_files.md), what the numbers do is in [The model](odd.md).
"""


@dataclass(frozen=True)
class Key:
    """One row of a table.

    Attributes
    ----------
    path : str
        Dotted, from the section down.
    default : str
        In file form.
    allowed : str
        What may be written.
    meaning : str
        Description and unit.
    source : str
        Where the default comes from.
    """

    path: str
    default: str
    allowed: str
    meaning: str
    source: str


def keys_of(section: type[BaseModel], values: Mapping[str, Any] | None = None) -> Iterator[Key]:
    """Yield the keys of a section, and of the sections in it that have no ``kind``; those have tables of their own.

    Parameters
    ----------
    section : type
    values : mapping, optional
        Its defaults in file form, where they are not those of its class.
    """
    yield from _keys(section, values, "", "", "")


def _keys(
    section: type[BaseModel], values: Mapping[str, Any] | None, path: str, unit: str, source: str
) -> Iterator[Key]:
    """Do what `keys_of` says; `path` stands before keys, `unit` and `source` are those of what holds the section."""
    values = section.model_construct().model_dump(mode="json", warnings=False) if values is None else values
    for name, field in section.model_fields.items():
        if name != "kind":
            extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
            own_unit = str(extra.get("unit", "" if field.description else unit))
            yield from _key(f"{path}{name}", field, values.get(name), own_unit, str(extra.get("source", source)))


def _key(path: str, field: FieldInfo, default: Any, unit: str, source: str) -> Iterator[Key]:
    found = forms_of_field(field)
    items = _items(found)
    sections = [form.section for form in items or found if form.section]
    inner = sections[0] if len(sections) == 1 else None
    if inner is None or not isinstance(default, Mapping):
        meaning = "; ".join(part for part in (field.description, unit) if part)
        shown = "required" if field.is_required() and default is None else _shown(default)
        yield Key(path, shown, _allowed(found, items, inner), meaning, source)
    if inner is not None:
        below = f"{path}.N." if items else f"{path}."
        yield from _keys(inner, default if isinstance(default, Mapping) else None, below, unit, source)


def _items(found: Iterable[Form]) -> list[Form]:
    """Return what the items of a list may be, if a key holds a list."""
    return [item for form in found if get_origin(form.type) is list for item in forms(get_args(form.type)[0])]


def _allowed(found: list[Form], items: list[Form], inner: type[BaseModel] | None) -> str:
    if kinds := kinds_of(items or found):
        return f"{'a list of' if items else 'one of'} the kinds {', '.join(map(str, kinds))}, which follow"
    if items and inner is not None:
        return "a list of mappings with the keys that follow"
    others = [form for form in found if form.type is not type(None) and (inner is None or form.section is not inner)]
    plain = ", or ".join(map(_form, others))
    return ", or ".join(part for part in (plain, "the keys that follow" if inner is not None else "") if part)


def _form(form: Form) -> str:
    """Say what one form allows; how its unit is written is said once, above all tables."""
    if form.unit is None:
        return allowed([form])
    return allowed([form]).replace(form.unit.allowed, form.unit.name + (" above 0" if form.unit.above_low else ""))


def _shown(value: Any) -> str:
    """Write a default as a scenario file has it, on one line."""
    if value is None or value in ([], {}, ""):
        return "—"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value).removesuffix(".0")


def document() -> str:
    """Return ``docs/parameters.md``."""
    top = ScenarioConfig.model_fields
    sections = {name: field for name, field in top.items() if isinstance(field.default, BaseModel)}
    defaults = ScenarioConfig.model_construct(name="the file's name").model_dump(mode="json", warnings=False)
    single = [key for key in keys_of(ScenarioConfig, defaults) if key.path.partition(".")[0] not in sections]
    lines = [_HEAD, "## Top level", *_table(single)]
    for name, field in sections.items():
        section = type(field.default)
        lines += _section(name, section, field.default.model_dump(mode="json"))
        for inner, inner_field in section.model_fields.items():
            lines += _kinds(f"{name}.{inner}", forms_of_field(inner_field))
    for name, field in top.items():
        lines += _kinds(name, _items(forms_of_field(field)))
    return "\n".join(lines) + "\n"


def _kinds(path: str, found: list[Form]) -> Iterator[str]:
    """Yield a table for each kind that may stand at a path."""
    for kind, section in kinds_of(found).items():
        yield from _section(f"{path}, kind {kind}", section)


def _section(heading: str, section: type[BaseModel], values: Mapping[str, Any] | None = None) -> Iterator[str]:
    about, _, _ = (inspect.getdoc(section) or "").partition("\n\n")
    yield from ("", f"## {heading}", "", about, *_table(keys_of(section, values)))


def _table(keys: Iterable[Key]) -> Iterator[str]:
    rows = [" | ".join((f"`{key.path}`", *map(_escaped, astuple(key)[1:]))) for key in keys]
    if rows:
        yield from ("", "| key | default | allowed | meaning | source |", "| --- | --- | --- | --- | --- |")
        yield from (f"| {row} |" for row in rows)


def _escaped(text: str) -> str:
    """Keep Markdown from seeing columns and links in a text."""
    return text.replace("|", "\\|").replace("][", "]\\[")


if __name__ == "__main__":
    print(document(), end="")
