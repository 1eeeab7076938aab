"""Where each value of a scenario came from, and the digest of everything that determines a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import sim
from sim.scenario.keys import forms_of_field
from sim.scenario.tree import KeyPath, Node, dotted, put

NOT_PART_OF_A_RUN = ("name", "question", "guardrails", "sources")


@dataclass(frozen=True)
class Parameter:
    """One value of a scenario, with its origin.

    Parameters
    ----------
    path : str
        Dotted key path.
    value : Any
        In file form.
    unit : str
        Empty where there is none.
    source : str
        Where the value comes from; empty for a decision, which needs no source.
    is_default : bool
        Whether no file and no override said it.
    place : str
        ``file:line`` where it was set; empty for a default.
    """

    path: str
    value: Any
    unit: str
    source: str
    is_default: bool
    place: str


def parameters(config: BaseModel, tree: Node, texts: Mapping[str, str]) -> list[Parameter]:
    """Return every value of a scenario in the order of the schema.

    Parameters
    ----------
    config : Section
        The checked scenario.
    tree : Node
        What was written.
    texts : mapping
        ``sources:`` of the scenario, dotted key path to text; an entry holds for all keys below it.
    """
    return [_with_stated_source(parameter, texts) for parameter in _walk(config, tree, (), "", "")]


def _walk(section: BaseModel, tree: Node, path: KeyPath, source: str, unit: str) -> Iterator[Parameter]:
    """Yield the values of a section and those below; `source` and `unit` are those of the key that holds it."""
    dumped = section.model_dump(mode="json")
    for name, field in type(section).model_fields.items():
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        own_source = str(extra.get("source", source))
        units = [form.unit.name for form in forms_of_field(field) if form.unit]
        own_unit = str(extra.get("unit") or unit or (units[0] if units else ""))
        yield from _values(getattr(section, name), dumped[name], tree, (*path, name), own_source, own_unit)


def _values(value: Any, shown: Any, tree: Node, path: KeyPath, source: str, unit: str) -> Iterator[Parameter]:
    if isinstance(value, BaseModel):
        yield from _walk(value, tree, path, source, unit)
    elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
        for index, item in enumerate(value):
            yield from _walk(item, tree, (*path, index), source, unit)
    else:
        node = tree.at(path)
        place = "" if node is None else str(node.place)
        if node is not None and source:
            source = f"set in {place or 'Python'}, no source given"
        yield Parameter(dotted(path), shown, unit, source, node is None, place)


def _with_stated_source(parameter: Parameter, texts: Mapping[str, str]) -> Parameter:
    """Prefer what ``sources:`` says of the key, or of the nearest key above it."""
    path = parameter.path
    while path and path not in texts:
        path = path.rpartition(".")[0]
    return Parameter(**{**vars(parameter), "source": texts[path]}) if path else parameter


def content(config: BaseModel, files: Mapping[KeyPath, Path]) -> dict[str, Any]:
    """Return everything that determines a run, in file form.

    Names, questions, guardrails and sources do not count; data files count by their content, defaults as if they had
    been written.
    """
    values = config.model_dump(mode="json", exclude=set(NOT_PART_OF_A_RUN))
    for path, file in files.items():
        put(values, path, hashlib.sha256(file.read_bytes()).hexdigest())
    return values


def digest(config: BaseModel, files: Mapping[KeyPath, Path]) -> str:
    """Return the SHA-256 of :func:`content` and of the engine's version, as 64 hexadecimal digits."""
    canonical = json.dumps(
        {"engine": sim.__version__, "scenario": _plain_numbers(content(config, files))},
        sort_keys=True,
        separators=(",", ":"),
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def _plain_numbers(value: Any) -> Any:
    """Write 1.0 as 1, so that a default in code and the same number from a file agree."""
    if isinstance(value, dict):
        return {key: _plain_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain_numbers(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
