""":class:`Scenario`: a checked scenario, ready to run."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from ruamel.yaml import YAML

import sim
from sim.scenario import reading
from sim.scenario.consistency import inconsistencies
from sim.scenario.errors import Problem, ScenarioFileError, ScenarioSyntaxError, ScenarioValueError
from sim.scenario.keys import Form, forms_at
from sim.scenario.memory import refuse_if_too_large
from sim.scenario.overrides import PYTHON, override
from sim.scenario.problems import problem_at, unknown_paths, validated
from sim.scenario.provenance import Parameter, content, digest, parameters
from sim.scenario.schema import ScenarioConfig
from sim.scenario.tree import KeyPath, Node, Place, from_plain, put, replaced

SHORT_DIGEST = 16


class Scenario:
    """A scenario file, checked and complete with defaults; its sections are attributes (``scenario.people.size``).

    Make one with `Scenario.load` or `Scenario.from_dict`; it never changes, `override` gives another.

    Attributes
    ----------
    config : ScenarioConfig
        All values; money in fen, durations in hours, shares of 1, rates per day. Data files are absolute paths.

    Examples
    --------
    >>> scenario = Scenario.from_dict({"people": {"size": 1000}, "tick": "4h"})
    >>> scenario.tick, scenario.override({"tick": "1d"}).tick
    (4.0, 24.0)
    """

    config: ScenarioConfig

    def __init__(self, tree: Node) -> None:
        config = validated(ScenarioConfig, tree)
        self._tree, self._files = _with_absolute_paths(tree)
        self.config = config = validated(ScenarioConfig, self._tree) if self._files else config
        sources = unknown_paths(ScenarioConfig, self._tree, config.sources, config.model_dump(mode="json"))
        if problems := [*sources, *inconsistencies(config, self._tree)]:
            raise ScenarioValueError(*problems)
        refuse_if_too_large(self.config, self._tree)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Scenario:
        """Read a scenario file and the files that it extends.

        Raises
        ------
        ScenarioError
            With file, line, key path and what is allowed, if anything is wrong.
        """
        tree = reading.read(path)
        return cls(_named(tree, re.sub(r"[^A-Za-z0-9_.-]+", "_", Path(path).stem).lstrip(".-")[:80] or "scenario"))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], *, folder: str | os.PathLike[str] = ".") -> Scenario:
        """Make a scenario of Python values in file form (``{"people": {"size": 1000}, "tick": "4h"}``).

        Parameters
        ----------
        values : mapping
            What a file would say; lists, tuples, numpy scalars and paths are welcome.
        folder : path-like
            What relative names of data files are relative to.

        Raises
        ------
        ScenarioError
            If anything is wrong.
        """
        try:
            tree = from_plain(values, Place("", None, Path(folder)))
        except TypeError as problem:
            raise ScenarioSyntaxError(Problem(f"{problem}.")) from None
        if not isinstance(tree.value, dict):
            raise ScenarioSyntaxError(Problem("a scenario must be a mapping of keys to values."))
        return cls(_named(tree, "unnamed"))

    def override(self, changes: Mapping[str, Any], *, origin: str = PYTHON) -> Scenario:
        """Return another scenario with values at dotted paths replaced.

        Parameters
        ----------
        changes : mapping
            Dotted path to value in file form: ``{"people.size": 20_000, "schemes.group_buy.discount": "20%"}``. In a
            list a number is an index and a word a kind or name; a mapping replaces the mapping.
        origin : str
            What messages name instead of a file.

        Raises
        ------
        ScenarioError
            If a path leads nowhere or the result is not allowed.
        """
        tree = self._tree
        for path, value in changes.items():
            defaults = self.config.model_dump(mode="json")
            tree = override(tree, ScenarioConfig, defaults, path, value, origin)
        return Scenario(tree)

    def resolve(self, path: str, *, origin: str = PYTHON) -> KeyPath:
        """Return the keys and indices that a dotted path means; see `override`.

        Raises
        ------
        ScenarioValueError
            If it leads nowhere.
        """
        mark = Node(None, Place(origin, None, Path()))
        tree = override(self._tree, ScenarioConfig, self.config.model_dump(mode="json"), path, mark, origin)
        return next(steps for steps, node in tree.leaves() if node is mark)

    def error(self, path: str, message: str) -> ScenarioValueError:
        """Return an error to raise that points to where a key was written, for what only a run can find out.

        Parameters
        ----------
        path : str
            Dotted key path, with indices for lists.
        message : str
            What is wrong, as a sentence that follows the path.
        """
        keys = tuple(int(word) if word.isdigit() else word for word in path.split("."))
        return ScenarioValueError(problem_at(self._tree, keys, message))

    @property
    def name(self) -> str:
        """What the scenario is called; the file's name unless the file says otherwise."""
        return self.config.name

    @cached_property
    def digest(self) -> str:
        """SHA-256 of everything that determines a run, 64 hexadecimal digits; see :mod:`sim.scenario.provenance`."""
        return digest(self.config, self._files)

    def content(self) -> dict[str, Any]:
        """Return everything that determines a run, in file form; data files by their SHA-256."""
        return content(self.config, self._files)

    @property
    def short_digest(self) -> str:
        """The first 16 digits of the digest, which name run folders."""
        return self.digest[:SHORT_DIGEST]

    def parameters(self) -> list[Parameter]:
        """Return every value with its unit, source and where it was set, in the order of the schema."""
        return parameters(self.config, self._tree, self.config.sources)

    def assumptions(self) -> list[Parameter]:
        """Return the values that rest on a source or an assumption, and not on a decision of the strategist."""
        return [parameter for parameter in self.parameters() if parameter.source]

    def to_yaml(self, folder: str | os.PathLike[str] | None = None) -> str:
        """Write the resolved scenario, defaults and all; loading it gives the same digest.

        Parameters
        ----------
        folder : path-like, optional
            Where the text will stand, so that data files are named relative to it; absolute paths otherwise.
        """
        values = self.config.model_dump(mode="json")
        for path, file in self._files.items():
            put(values, path, str(file) if folder is None else Path(os.path.relpath(file, folder)).as_posix())
        text = io.StringIO()
        text.write(f"# Resolved by shopsim {sim.__version__}; digest {self.digest}\n")
        writer = YAML(typ="safe", pure=True)
        writer.default_flow_style = False
        writer.allow_unicode = True
        writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
        writer.dump(values, text)
        return text.getvalue()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "config":  # while unpickling there is no config yet
            raise AttributeError(name)
        return getattr(self.config, name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *ScenarioConfig.model_fields})

    def __repr__(self) -> str:
        return f"<Scenario {self.name} {self.short_digest}>"


def _named(tree: Node, name: str) -> Node:
    """Give a scenario that does not say its name one."""
    return tree if tree.child("name") else Node({"name": Node(name, tree.place), **tree.value}, tree.place)


def _with_absolute_paths(tree: Node) -> tuple[Node, dict[KeyPath, Path]]:
    """Resolve the names of data files against the file in which each stands.

    Returns
    -------
    Node
        The tree, with absolute paths.
    dict
        Key path to data file.

    Raises
    ------
    ScenarioFileError
        If a data file is missing or is not a file.
    """
    data = tree.plain()
    files: dict[KeyPath, Path] = {}
    for path, node in tree.leaves():
        if not isinstance(node.value, str) or not _names_a_file(forms_at(ScenarioConfig, path, data), node.value):
            continue
        file = (node.place.folder / node.value).resolve()
        if not file.is_file():
            reason = "is a folder" if file.is_dir() else "there is no such file"
            message = f"{node.value}: {reason}; a relative name is looked up in {node.place.folder.resolve().name}/."
            raise ScenarioFileError(problem_at(tree, path, message, "the name of a file"))
        files[path] = file
        tree = replaced(tree, path, Node(str(file), node.place))
    return tree, files


def _names_a_file(found: list[Form], value: str) -> bool:
    """Whether a text is a file name, and not one of the words that the key also allows."""
    words = [word for form in found if get_origin(form.type) is Literal for word in get_args(form.type)]
    return value not in words and any(form.is_file for form in found)
