"""Changing single keys: ``--set schemes.0.team_size=2`` and ``scenario.override({"people.size": 20_000})``.

A path is dotted. In a list a number is an index and a word is a kind or name (``schemes.group_buy.team_size``). The
value replaces what was there, a mapping too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from sim.scenario.errors import Problem, ScenarioSyntaxError, ScenarioValueError
from sim.scenario.keys import forms_at, keys_of, matching
from sim.scenario.problems import nearest, shown, unknown_key
from sim.scenario.reading import parse_value
from sim.scenario.tree import KeyPath, Node, Place, dotted, from_plain, replaced

COMMAND_LINE = "--set"
PYTHON = "override"


def parse_assignment(text: str) -> tuple[str, Any]:
    """Split ``path=value`` and read the value as YAML.

    Raises
    ------
    ScenarioSyntaxError
        If there is no ``=``, no path or no value, or the value is not YAML.
    """
    path, equals, value = text.partition("=")
    if not equals or not path.strip():
        allowed = "path=value, such as people.size=20000"
        raise ScenarioSyntaxError(Problem(f"must be {allowed}. Got {shown(text)}.", COMMAND_LINE, None, "", allowed))
    if not value.strip():  # a shell variable that is not set, more likely than not
        raise ScenarioSyntaxError(Problem("has no value; write null for none.", COMMAND_LINE, None, path.strip()))
    try:
        return path.strip(), parse_value(value, COMMAND_LINE, Path()).plain()
    except ScenarioSyntaxError as error:
        problem = error.problems[0]
        raise ScenarioSyntaxError(Problem(problem.message, COMMAND_LINE, None, path.strip())) from None


def override(tree: Node, model: type[BaseModel], defaults: Any, path: str, value: Any, origin: str = PYTHON) -> Node:
    """Return the tree with the value at a dotted path replaced.

    Parameters
    ----------
    tree : Node
        What was written so far.
    model : type
        The schema, for the nearest valid key.
    defaults : dict
        The whole scenario as it stands, in file form: what is below a key that was not written.
    path : str
        For example ``people.network`` or ``schemes.0.team_size``.
    value : Any
        In file form.
    origin : str
        What messages name as the file.

    Raises
    ------
    ScenarioValueError
        If the path leads nowhere, or the value could not stand in a file.
    """
    place = Place(origin, None, Path())
    steps: KeyPath = ()
    node = tree
    data = defaults
    words = path.split(".")
    for word in words:
        if isinstance(node.value, list):
            steps = (*steps, _index(node.value, word, path, origin))
        elif isinstance(node.value, dict):
            _check_key(model, steps, word, tree, origin)
            steps = (*steps, word)
        else:
            message = f"'{dotted(steps)}' is {shown(node.plain())}, which has no keys."
            raise ScenarioValueError(Problem(message, origin, None, path))
        data = _default_below(data, steps[-1])
        inner = node.child(steps[-1])
        if inner is None or inner.value is None:  # not written: go on from what holds by default
            inner = from_plain(data if isinstance(data, list) else {}, place)
            tree = replaced(tree, steps, inner)
        node = inner
    try:
        return replaced(tree, steps, from_plain(value, place))
    except TypeError as problem:
        raise ScenarioValueError(Problem(f"{problem}.", origin, None, path)) from None


def _check_key(model: type[BaseModel], steps: KeyPath, word: str, tree: Node, origin: str) -> None:
    """Refuse a key that the schema does not have, naming the nearest."""
    data = tree.plain()
    if forms_at(model, (*steps, word), data):
        return
    holder = tree.at(steps)
    keys = keys_of(matching(forms_at(model, steps, data), holder.plain() if holder else None))
    problem = unknown_key(tree, (*steps, word), keys)
    raise ScenarioValueError(Problem(problem.message, origin, None, problem.path, problem.allowed, problem.suggestion))


def _index(items: Sequence[Node], word: str, path: str, origin: str) -> int:
    """Return the index that a number, or the kind or name of one element, means."""
    if word.lstrip("-").isdigit():
        if word.isdigit() and int(word) < len(items):
            return int(word)
        allowed = f"an index from 0 to {len(items) - 1}" if items else "nothing: the list is empty"
        message = (
            f"the list has {len(items)} element{'' if len(items) == 1 else 's'}; allowed is {allowed}. Got {word}."
        )
        raise ScenarioValueError(Problem(message, origin, None, path, allowed))
    for key in ("name", "kind"):
        values = [item.child(key) for item in items]
        found = [index for index, node in enumerate(values) if node is not None and node.value == word]
        if len(found) == 1:
            return found[0]
        if found:
            message = (
                f"{len(found)} elements are of {key} '{word}'; use one of the indices {', '.join(map(str, found))}."
            )
            raise ScenarioValueError(Problem(message, origin, None, path))
    labels = [str(node.value) for item in items for key in ("name", "kind") if (node := item.child(key)) is not None]
    allowed = ", ".join(["an index", *dict.fromkeys(labels)])
    message = f"the list has no element '{word}'; allowed: {allowed}."
    raise ScenarioValueError(Problem(message, origin, None, path, allowed, nearest(word, labels)))


def _default_below(data: Any, segment: str | int) -> Any:
    if isinstance(data, dict):
        return data.get(segment)
    return data[segment] if isinstance(data, list) and isinstance(segment, int) and segment < len(data) else None
