"""From YAML text to a tree: one file, and the files that it extends.

YAML 1.2, its plain core only: no tags, no merge keys, no second document. Aliases are expanded, up to a limit, so a
"billion laughs" file is refused before it costs anything.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent
from ruamel.yaml.nodes import MappingNode, ScalarNode
from ruamel.yaml.nodes import Node as YamlNode
from ruamel.yaml.reader import ReaderError

from sim.scenario.errors import Problem, ScenarioFileError, ScenarioSyntaxError
from sim.scenario.tree import KeyPath, Node, Place, dotted, merge

MAX_BYTES = 250_000
MAX_VALUES = 100_000
MAX_DEPTH = 50
MAX_EXTENDS = 20
NOT_INHERITED = ("extends", "name", "question")

_TAG = "tag:yaml.org,2002:"
_PLAIN_TEXT_TAGS = {_TAG + "str", _TAG + "timestamp"}


def read(path: str | os.PathLike[str]) -> Node:
    """Read a scenario file and everything it extends, merged into one tree.

    Parameters
    ----------
    path : path-like
        The file. Messages name it as it was given here.

    Returns
    -------
    Node
        A mapping, without ``extends``.

    Raises
    ------
    ScenarioFileError
        If a file is missing, unreadable, too large, or extends itself.
    ScenarioSyntaxError
        If a file is not YAML or not a mapping.
    """
    return _read(Path(path), Place("", None, Path()), ())


def _read(path: Path, asked: Place, chain: tuple[Path, ...]) -> Node:
    """Read one file and its parents; `asked` is the ``extends`` that named it, `chain` the files being read."""
    real = path.resolve()
    if real in chain:
        loop = " -> ".join(step.name for step in (*chain[chain.index(real) :], real))
        raise ScenarioFileError(
            Problem(f"files extend each other in a circle: {loop}", asked.file, asked.line, "extends")
        )
    if len(chain) >= MAX_EXTENDS:
        message = f"files extend each other more than {MAX_EXTENDS} deep"
        raise ScenarioFileError(Problem(message, asked.file, asked.line, "extends"))
    root = parse(_text(path, asked), str(path), path.parent)
    own = Node({key: node for key, node in root.value.items() if key != "extends"}, root.place)
    if (extends := root.child("extends")) is None:
        return own
    merged: Node | None = None
    for parent in _parents(extends):
        base = _read(Path(os.path.normpath(path.parent / parent.value)), parent.place, (*chain, real))
        base = Node({key: node for key, node in base.value.items() if key not in NOT_INHERITED}, base.place)
        merged = base if merged is None else merge(merged, base)
    return own if merged is None else merge(merged, own)


def _parents(extends: Node) -> list[Node]:
    """Return the files that an ``extends`` names, in the order in which they are laid on each other."""
    parents = extends.value if isinstance(extends.value, list) else [extends]
    for parent in parents:
        if not isinstance(parent.value, str) or not parent.value.strip():
            allowed = "a file name or a list of file names"
            problem = Problem(f"must be {allowed}", parent.place.file, parent.place.line, "extends", allowed)
            raise ScenarioSyntaxError(problem)
    return list(parents)


def _text(path: Path, asked: Place) -> str:
    """Return what a file holds; a problem is reported where the file was asked for."""

    def refuse(message: str) -> ScenarioFileError:
        if asked.file:
            return ScenarioFileError(Problem(f"{path}: {message}", asked.file, asked.line, "extends"))
        return ScenarioFileError(Problem(message, str(path)))

    try:
        if path.is_dir():
            raise refuse("is a folder, not a scenario file")
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse("there is no such file") from None
    except (OSError, ValueError) as problem:  # ValueError: a NUL in the name
        raise refuse(f"cannot be read ({getattr(problem, 'strerror', None) or problem})") from None
    if len(content) > MAX_BYTES:
        raise refuse(f"is larger than {MAX_BYTES // 1000} kB; put large data into a file of its own and name it")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = content.count(b"\n", 0, problem.start) + 1
        raise refuse(f"is not UTF-8 text (line {line})") from None
    if not text.strip():
        raise refuse("is empty")
    return text


def parse(text: str, file: str, folder: Path) -> Node:
    """Read YAML text whose root is a mapping.

    Raises
    ------
    ScenarioSyntaxError
        If it is not YAML, or not a mapping.
    """
    root = parse_value(text, file, folder)
    if not isinstance(root.value, dict):
        raise ScenarioSyntaxError(Problem("must be a mapping of keys to values (key: value)", file, 1))
    return root


def parse_value(text: str, file: str, folder: Path) -> Node:
    """Read YAML text of any shape; see `parse`."""
    try:
        composed = YAML(typ="safe", pure=True).compose(text)
    except ReaderError as problem:
        line = text.count("\n", 0, problem.position) + 1
        raise ScenarioSyntaxError(Problem("holds a character that text files do not have", file, line)) from None
    except MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise ScenarioSyntaxError(Problem(_explain(problem), file, mark.line + 1 if mark else None)) from None
    except RecursionError:
        raise ScenarioSyntaxError(
            Problem(f"is nested more than {MAX_DEPTH} deep", file, _line_too_deep(text))
        ) from None
    except (YAMLError, ValueError, AttributeError) as problem:  # the parser's own slips on malformed directives
        raise ScenarioSyntaxError(Problem(f"is not YAML ({problem})", file)) from None
    if composed is None:
        return Node(None, Place(file, 1, folder))
    return _Builder(file, folder).build(composed, Place(file, composed.start_mark.line + 1, folder), ())


def _line_too_deep(text: str) -> int | None:
    depth = 0
    for event in YAML(typ="safe", pure=True).parse(text):  # unlike composing, without recursion
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            return int(event.start_mark.line) + 1
    return None


def _explain(problem: MarkedYAMLError) -> str:
    """Say a YAML error in words a strategist knows."""
    text = str(problem.problem or problem.context or problem)
    if "'\\t'" in text:
        return "is indented with a tab; YAML needs spaces"
    if "found another document" in text:
        return "holds a second document after '---'; a scenario is one"
    if "undefined alias" in text:
        return f"is not YAML ({text}); a value that begins with * needs quotes"
    return f"is not YAML ({text})"


class _Builder:
    """Turns composed YAML nodes into a tree, counting what it makes."""

    def __init__(self, file: str, folder: Path) -> None:
        self._file = file
        self._folder = folder
        self._made = 0

    def build(self, node: YamlNode, place: Place, path: KeyPath) -> Node:
        """Build the node at `path`; `place` is where its key stands."""
        self._made += 1
        if self._made > MAX_VALUES:
            raise self._refuse(f"holds more than {MAX_VALUES:,} values once aliases (*) are expanded", place)
        if len(path) > MAX_DEPTH:
            raise self._refuse(f"is nested more than {MAX_DEPTH} deep", place)
        if isinstance(node, ScalarNode):
            return Node(self._scalar(node, place, path), place)
        if str(node.tag) not in {_TAG + "map", _TAG + "seq"}:
            raise self._refuse(f"tags such as {node.tag} are not allowed", place, path)
        if not isinstance(node, MappingNode):
            items = [self.build(item, self._place(item), (*path, index)) for index, item in enumerate(node.value)]
            return Node(items, place)
        entries: dict[str, Node] = {}
        for key_node, value_node in node.value:
            where = self._place(key_node)
            key = self._key(key_node, where, path)
            if key in entries:
                first = entries[key].place.line
                raise self._refuse(f"is given twice (first on line {first})", where, (*path, key))
            entries[key] = self.build(value_node, where, (*path, key))
        return Node(entries, place)

    def _key(self, node: YamlNode, place: Place, path: KeyPath) -> str:
        if str(node.tag) == _TAG + "merge":
            raise self._refuse("merge keys (<<) are not allowed; use extends", place, path)
        if not isinstance(node, ScalarNode) or not node.value:
            raise self._refuse("keys must be text", place, path)
        return str(node.value)

    def _scalar(self, node: ScalarNode, place: Place, path: KeyPath) -> Any:
        tag, text = str(node.tag), str(node.value)
        if tag in _PLAIN_TEXT_TAGS:
            return text
        if tag == _TAG + "null":
            return None
        if tag == _TAG + "bool":
            return text.lower() == "true"
        try:
            if tag == _TAG + "int":
                return _whole_number(text)
            if tag == _TAG + "float":
                return float(text.replace("_", "").replace(".inf", "inf").replace(".Inf", "inf").replace(".nan", "nan"))
        except ValueError:
            raise self._refuse("is not a number that can be read", place, path) from None
        raise self._refuse(f"tags such as {tag} are not allowed", place, path)

    def _place(self, node: YamlNode) -> Place:
        return Place(self._file, node.start_mark.line + 1, self._folder)

    def _refuse(self, message: str, place: Place, path: KeyPath = ()) -> ScenarioSyntaxError:
        return ScenarioSyntaxError(Problem(message, place.file, place.line, dotted(path)))


def _whole_number(text: str) -> int:
    """Read a YAML 1.2 whole number: 20_000, 0x1F, 0o17; a leading zero means nothing."""
    digits = text.replace("_", "").lower()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    base = {"0x": 16, "0o": 8, "0b": 2}.get(digits[:2], 10)
    return sign * int(digits, base)
