"""From what pydantic found to what a strategist is told: file, line, key path, what is allowed, the nearest key."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from sim.scenario.errors import Problem, ScenarioValueError
from sim.scenario.keys import Form, allowed, forms_at, keys_of, kinds_of, matching, one_of
from sim.scenario.tree import KeyPath, Node, dotted

_SHOWN_CHARACTERS = 60
_EXAMINED = 200  # a file with more errors than that is of another kind altogether


def validated[Model: BaseModel](model: type[Model], tree: Node) -> Model:
    """Check a tree against the schema.

    Raises
    ------
    ScenarioValueError
        With everything that is wrong, in the order of the file.
    """
    try:
        return model.model_validate(tree.plain())
    except ValidationError as error:
        raise ScenarioValueError(*_translate(error, model, tree)) from None


def problem_at(tree: Node, path: KeyPath, message: str, allowed: str = "", suggestion: str = "") -> Problem:
    """Return a problem placed where the key, or what should have held it, was written."""
    place = tree.nearest(path)
    return Problem(message, place.file, place.line, dotted(path), allowed, suggestion)


def nearest(word: str, options: Sequence[str]) -> str:
    """Return the option most like a word, or nothing if none is alike."""
    key = word.strip().lower().replace("-", "_").replace(" ", "_")
    found = difflib.get_close_matches(key, options, n=1, cutoff=0.6)
    return found[0] if found else ""


def shown(value: Any) -> str:
    """Write a value as a file would, shortened."""
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int) and value.bit_length() > 3 * _SHOWN_CHARACTERS:
        return "an enormous number"
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) else f"{value}"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."


def unknown_key(tree: Node, path: KeyPath, keys: Sequence[str]) -> Problem:
    """Return the problem of a key that the schema does not have."""
    suggestion = nearest(str(path[-1]), keys)
    valid = ", ".join(keys)
    message = "is not a key here." if suggestion else f"is not a key here; valid: {valid}."
    if not keys:
        message = f"is not a key: '{dotted(path[:-1])}' has none."
    return problem_at(tree, path, message, valid, suggestion)


def _translate(error: ValidationError, model: type[BaseModel], tree: Node) -> list[Problem]:
    """Say each pydantic error in the words of the file, without repetition."""
    data = tree.plain()
    located = [(_written_path(detail, model, data), detail) for detail in error.errors(include_url=False)[:_EXAMINED]]
    paths = {path for path, _ in located if path is not None}
    problems: dict[str, Problem] = {}
    for path, detail in located:
        if path is None:
            continue
        if detail["type"] not in _OWN_MESSAGE and any(path == deep[: len(path)] != deep for deep in paths):
            continue  # one branch of a union; a deeper error says what is wrong in the branch that was meant
        problem = _problem(path, detail, model, tree, data)
        problems.setdefault(str(problem), problem)
    return sorted(problems.values(), key=lambda problem: (problem.line is None, problem.file, problem.line or 0))


_OWN_MESSAGE = {"value_error", "assertion_error", "extra_forbidden", "missing"}


def _written_path(detail: ErrorDetails, model: type[BaseModel], root: Any) -> KeyPath | None:
    """Return the key path as the file has it, which is pydantic's location without the names of union branches.

    None for an error in a branch that what was written does not mean.
    """
    path: KeyPath = ()
    data = root
    chosen = False  # whether pydantic has already named the branch that it took here
    for segment in detail["loc"]:
        if not chosen and _is_kind(segment, model, path, root, data):
            chosen = True
        elif segment in data if isinstance(data, dict) else isinstance(data, list) and segment in range(len(data)):
            data = data[segment]
            path = (*path, segment)
            chosen = False
        elif isinstance(data, dict) and _is_other_branch(str(segment), forms_at(model, path, root), data):
            return None
    if detail["type"] == "missing":
        return (*path, detail["loc"][-1])
    return (*path, "kind") if detail["type"] in {"union_tag_invalid", "union_tag_not_found"} else path


def _is_kind(segment: str | int, model: type[BaseModel], path: KeyPath, root: Any, data: Any) -> bool:
    """Whether pydantic names the kind of a section here, even if the section has a key of the same name."""
    return isinstance(data, dict) and segment == data.get("kind") and len(kinds_of(forms_at(model, path, root))) > 1


def _is_other_branch(label: str, found: Sequence[Form], data: Any) -> bool:
    """Whether pydantic's label names a section of a union that is not the one that `data` means."""
    words = set(re.findall(r"\w+", label))
    named = [form.section for form in found if form.section and form.section.__name__ in words]
    meant = [form.section for form in matching(found, data)]
    return bool(named) and not any(section in meant for section in named)


def _problem(path: KeyPath, detail: ErrorDetails, model: type[BaseModel], tree: Node, data: Any) -> Problem:
    """Say one error."""
    context = detail.get("ctx", {})
    node = tree.at(path)
    got = f" Got {shown(node.plain())}." if node is not None else ""
    match detail["type"]:
        case "extra_forbidden":
            parent = tree.at(path[:-1])
            holder = parent.plain() if parent is not None else None
            return unknown_key(tree, path, keys_of(matching(forms_at(model, path[:-1], data), holder)))
        case "union_tag_invalid" | "union_tag_not_found":
            kinds = [str(kind) for kind in kinds_of(forms_at(model, path[:-1], data))]
            options = one_of(kinds)
            suggestion = nearest(str(node.value), kinds) if node is not None else ""
            message = f"must be {options}.{got}" if node is not None else f"is missing; must be {options}."
            return problem_at(tree, path, message, options, suggestion)
        case "value_error" | "assertion_error":
            return problem_at(tree, path, _sentence(str(context.get("error", detail["msg"]))) + _scalar_only(node))
        case "unit":
            hint = f" ({context['hint']})" if context["hint"] else ""
            phrase = allowed(forms_at(model, path, data)) or str(context["allowed"])
            return problem_at(tree, path, f"must be {phrase}{hint}.{got}", phrase)
    phrase = allowed(forms_at(model, path, data))
    if detail["type"] == "missing":
        return problem_at(tree, path, f"is missing; must be {phrase}.", phrase)
    if not phrase:
        return problem_at(tree, path, _sentence(detail["msg"]) + got)
    suggestion = nearest(node.value, _choices(phrase)) if node is not None and isinstance(node.value, str) else ""
    return problem_at(tree, path, f"must be {phrase}.{got}", phrase, suggestion)


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _scalar_only(node: Node | None) -> str:
    return f" Got {shown(node.value)}." if node is not None and not isinstance(node.value, dict | list) else ""


def _choices(phrase: str) -> list[str]:
    """Return the options of "one of a, b, c"."""
    return phrase.removeprefix("one of ").split(", ") if phrase.startswith("one of ") else []


def unknown_paths(
    model: type[BaseModel], tree: Node, texts: dict[str, str], config: dict[str, Any]
) -> Iterator[Problem]:
    """Yield a problem for each entry of ``sources`` whose key path the schema does not have.

    Parameters
    ----------
    texts : dict
        The entries: dotted key path to source.
    config : dict
        The whole scenario in file form, which says how long lists are and of which kind a section is.
    """
    for entry in texts:
        path: KeyPath = ()
        data: Any = config
        for word in entry.split("."):
            segment = int(word) if isinstance(data, list) and word.isdigit() else word
            found = matching(forms_at(model, path, config), data)
            outside = isinstance(data, list) and not (isinstance(segment, int) and segment < len(data))
            if outside or not forms_at(model, (*path, segment), config):
                wanted = keys_of(found)
                suggestion = nearest(word, wanted)
                near = dotted((*path, suggestion)) if suggestion else ""
                message = f"names a key path that does not exist: nothing is at '{dotted((*path, segment))}'."
                yield problem_at(tree, ("sources", entry), message, one_of(wanted) if wanted else "", near)
                break
            path = (*path, segment)
            data = data[segment] if isinstance(data, list) and isinstance(segment, int) else _value(data, segment)


def _value(data: Any, key: str | int) -> Any:
    return data.get(key) if isinstance(data, dict) else None
