"""What a scenario says, before it is checked: a tree of values that remember where each was written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import Any

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written.

    Parameters
    ----------
    file : str
        The file as the user knows it, or ``--set``.
    line : int or None
        From 1; None where there are no lines.
    folder : Path
        What a relative path written there is relative to.
    """

    file: str
    line: int | None
    folder: Path

    def __str__(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Node:
    """A value and its place: a scalar, a dict of nodes or a list of nodes. Never changed once built."""

    value: Any
    place: Place

    def plain(self) -> Any:
        """Return the value without places, as pydantic reads it."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def child(self, segment: str | int) -> Node | None:
        """Return the node under one key or index, or None."""
        if isinstance(self.value, dict) and isinstance(segment, str):
            node: Node | None = self.value.get(segment)
            return node
        if isinstance(self.value, list) and isinstance(segment, int) and -1 < segment < len(self.value):
            item: Node = self.value[segment]
            return item
        return None

    def at(self, path: KeyPath) -> Node | None:
        """Return the node at a key path, or None."""
        node: Node | None = self
        for segment in path:
            node = node.child(segment) if node is not None else None
        return node

    def nearest(self, path: KeyPath) -> Place:
        """Return the place of the deepest node on a key path that was written."""
        node = self
        for segment in path:
            deeper = node.child(segment)
            if deeper is None:
                break
            node = deeper
        return node.place

    def leaves(self, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
        """Yield the key path and node of every scalar, in order."""
        if isinstance(self.value, dict | list):
            for segment, node in self.value.items() if isinstance(self.value, dict) else enumerate(self.value):
                yield from node.leaves((*path, segment))
        else:
            yield path, self


def merge(base: Node, over: Node) -> Node:
    """Say everything `over` says, and what `base` says elsewhere.

    Mappings merge key by key; a list or scalar replaces; so does a mapping of another ``kind``, whose keys would mean
    something else, and an empty one, which says that nothing of it holds any more.
    """
    if not (isinstance(base.value, dict) and isinstance(over.value, dict)) or _kinds_differ(base, over):
        return over
    merged = dict(base.value)
    for key, node in over.value.items():
        merged[key] = merge(merged[key], node) if key in merged and node.value != {} else node
    return Node(merged, over.place)


def _kinds_differ(base: Node, over: Node) -> bool:
    old, new = base.child("kind"), over.child("kind")
    return old is not None and new is not None and old.value != new.value


def replaced(node: Node, path: KeyPath, new: Node) -> Node:
    """Return a copy of the tree with the node at `path`, whose parent exists, put in or replaced."""
    if not path:
        return new
    segment, rest = path[0], path[1:]
    old = node.child(segment)
    inner = new if old is None else replaced(old, rest, new)
    if isinstance(node.value, list):
        return Node([inner if index == segment else item for index, item in enumerate(node.value)], node.place)
    return Node({**node.value, segment: inner}, node.place)


def put(plain: Any, path: KeyPath, value: Any) -> None:
    """Change one value of nested dicts and lists in place."""
    for segment in path[:-1]:
        plain = plain[segment]
    plain[path[-1]] = value


def from_plain(value: Any, place: Place) -> Node:
    """Build a tree from Python values; all of it stands at one place.

    Tuples are lists, paths are text, numpy scalars are numbers; a node keeps its own place.

    Raises
    ------
    TypeError
        For a mapping key that is neither text nor a whole number, or a value that no file could hold.
    """
    if isinstance(value, Node):
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str | int):
                raise TypeError(f"keys must be text, not {key!r}")
        return Node({str(key): from_plain(item, place) for key, item in value.items()}, place)
    if isinstance(value, str | bool | int | float) or value is None:
        return Node(value, place)
    if isinstance(value, PathLike):
        return Node(fspath(value), place)
    if isinstance(value, Sequence):
        return Node([from_plain(item, place) for item in value], place)
    if hasattr(value, "tolist"):  # numpy, which is not imported here
        return from_plain(value.tolist(), place)
    if hasattr(value, "model_dump"):  # a Section
        return from_plain(value.model_dump(mode="json"), place)
    raise TypeError(f"cannot be written in a scenario: {value!r}")


def dotted(path: KeyPath) -> str:
    """Write a key path: ``schemes.0.team_size``."""
    return ".".join(str(segment) for segment in path)
