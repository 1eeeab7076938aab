"""What the schema allows at a key path: the type, its bounds in words, the valid keys, the kinds.

Error messages, ``sources:`` and the resolution of file names all ask here, so that the schema is the only place that
says what a scenario may hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sim.core.units import FileMarker, Unit
from sim.scenario.tree import KeyPath

_SHOWN_KEYS = 12


@dataclass(frozen=True)
class Form:
    """One thing a value may be: a type that is not a union, and the annotations on it."""

    type: Any
    metadata: tuple[Any, ...] = ()

    def bound(self, name: str) -> Any:
        """Return one bound (``ge``, ``gt``, ``le``, ``lt``, ``multiple_of``, ``min_length``, ...), or None."""
        return next((getattr(item, name) for item in self.metadata if hasattr(item, name)), None)

    @property
    def unit(self) -> Unit | None:
        """How the quantity is written, if it has a unit."""
        return next((item for item in self.metadata if isinstance(item, Unit)), None)

    @property
    def is_file(self) -> bool:
        """Whether the value names a data file."""
        return any(isinstance(item, FileMarker) for item in self.metadata)

    @property
    def section(self) -> type[BaseModel] | None:
        """The section class, if the value is a mapping with fixed keys."""
        return self.type if isinstance(self.type, type) and issubclass(self.type, BaseModel) else None


def forms(annotation: Any, metadata: Sequence[Any] = ()) -> Iterator[Form]:
    """Yield everything that an annotation allows, unions taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *notes = get_args(annotation)
        yield from forms(inner, (*metadata, *notes))
    elif origin is Union or origin is UnionType:
        for option in get_args(annotation):
            yield from forms(option, metadata)
    else:
        flat: list[Any] = []
        for note in metadata:
            flat += note.metadata if isinstance(note, FieldInfo) else [note]
        yield Form(annotation, tuple(flat))


def forms_of_field(field: FieldInfo) -> list[Form]:
    """Return everything that a key of a section may be."""
    return list(forms(field.annotation, field.metadata))


def forms_at(model: type[BaseModel], path: KeyPath, data: Any) -> list[Form]:
    """Return everything that may stand at a key path; nothing if the schema has no such path.

    Parameters
    ----------
    model : type
        The section at the root.
    path : tuple
        Keys and indices.
    data : Any
        What was written, which decides between sections that differ by ``kind``.
    """
    found = [Form(model)]
    for segment in path:
        found = [inner for form in matching(found, data) for inner in _inside(form, segment)]
        data = _get(data, segment)
    return found


def matching(found: Sequence[Form], data: Any) -> list[Form]:
    """Drop the sections that `data` does not mean: those of another kind, or with fewer of its keys."""
    kinds = kinds_of(found)
    if isinstance(kind := _get(data, "kind"), str) and kind in kinds:
        return [form for form in found if form.section in (None, kinds[kind])]
    if not isinstance(data, dict) or kinds:
        return list(found)
    shared = [len(data.keys() & form.section.model_fields.keys()) if form.section else 0 for form in found]
    return [form for form, count in zip(found, shared, strict=True) if not form.section or count == max(shared)]


def kinds_of(found: Sequence[Form]) -> dict[Any, type[BaseModel]]:
    """Return the kinds that are allowed, with their sections."""
    kinds: dict[Any, type[BaseModel]] = {}
    for form in found:
        field = form.section.model_fields.get("kind") if form.section else None
        if form.section and field is not None and get_origin(field.annotation) is Literal:
            kinds.update(dict.fromkeys(get_args(field.annotation), form.section))
    return kinds


def keys_of(found: Sequence[Form]) -> list[str]:
    """Return the keys that a mapping may have."""
    keys: dict[str, None] = {}
    for form in found:
        if form.section:
            keys.update(dict.fromkeys(form.section.model_fields))
    return list(keys)


def _inside(form: Form, segment: str | int) -> Iterator[Form]:
    """Yield what may stand one step inside."""
    arguments = get_args(form.type)
    origin = get_origin(form.type)
    if form.section and segment in form.section.model_fields:
        yield from forms_of_field(form.section.model_fields[str(segment)])
    elif origin is list and isinstance(segment, int):
        yield from forms(arguments[0])
    elif origin is tuple and isinstance(segment, int):
        if len(arguments) == 2 and arguments[1] is ...:
            yield from forms(arguments[0])
        elif segment < len(arguments):
            yield from forms(arguments[segment])
    elif origin is dict and isinstance(segment, str):
        yield from forms(arguments[1])


def _get(data: Any, segment: str | int) -> Any:
    if isinstance(data, dict):
        return data.get(segment)
    if isinstance(data, list) and isinstance(segment, int) and -1 < segment < len(data):
        return data[segment]
    return None


def allowed(found: Sequence[Form]) -> str:
    """Say what may be written, as it follows "must be": ``a whole number from 2 to 100, or null``."""
    phrases: list[str] = []
    kinds = kinds_of(found)
    if kinds:
        phrases.append(f"a mapping whose kind is {one_of([str(kind) for kind in kinds])}")
    phrases += [_phrase(form) for form in found if form.section not in kinds.values()]
    return ", or ".join(dict.fromkeys(phrases))


def one_of(options: Sequence[str]) -> str:
    """List options in words."""
    return options[0] if len(options) == 1 else f"one of {', '.join(options)}"


def _phrase(form: Form) -> str:
    """Say what one form allows."""
    if form.unit:
        limits = _range(form, form.unit.show)
        return f"{form.unit.allowed}{f', {limits}' if limits else ''}"
    if form.section:
        keys = list(form.section.model_fields)
        shown = ", ".join(keys[:_SHOWN_KEYS]) + (", ..." if len(keys) > _SHOWN_KEYS else "")
        return f"a mapping with keys {shown}"
    if form.is_file:
        return "the name of a file"
    if form.type is NoneType:
        return "null"
    origin = get_origin(form.type) or form.type
    if origin is Literal:
        return one_of([str(option) for option in get_args(form.type)])
    if origin is bool:
        return "true or false"
    if origin in (int, float):
        step = form.bound("multiple_of")
        name = f"a multiple of {step}" if step else "a whole number" if origin is int else "a number"
        return " ".join(filter(None, (name, _range(form, _number))))
    if origin is str:
        pattern = next((item.pattern for item in form.metadata if getattr(item, "pattern", None)), None)
        return f"text that matches {pattern}" if pattern else "text"
    if origin in (list, tuple, set, frozenset):
        return f"a list{_count(form)}"
    return "a mapping" if origin is dict else "a value of another type"


def _count(form: Form) -> str:
    """Say how many items a list has to have."""
    if get_origin(form.type) is tuple and ... not in get_args(form.type):
        return f" of {len(get_args(form.type))} values"
    low, high = form.bound("min_length"), form.bound("max_length")
    if low is not None and low == high:
        return f" of {low} values"
    if low is not None and high is not None:
        return f" of {low} to {high} values"
    if low is not None:
        return f" of at least {low} value{'s' if low > 1 else ''}"
    return f" of at most {high} values" if high is not None else ""


def _number(value: float) -> str:
    return f"{int(value):,}" if value == round(value) and abs(value) < 1e12 else f"{value:g}"


def _range(form: Form, show: Any) -> str:
    """Say the bounds of a quantity: ``from 2 to 100``, ``above 0``, ``24h or less``."""
    ge, gt, le, lt = (form.bound(name) for name in ("ge", "gt", "le", "lt"))
    if ge is not None and le is not None:
        return f"from {show(ge)} to {show(le)}"
    lower = f"above {show(gt)}" if gt is not None else f"at least {show(ge)}" if ge is not None else ""
    upper = f"below {show(lt)}" if lt is not None else f"at most {show(le)}" if le is not None else ""
    text = " and ".join(filter(None, (lower, upper)))
    return f"of {text}" if text.startswith("at") else text
