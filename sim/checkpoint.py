"""A run so far as a folder, from which the same run goes on, or others branch off.

::

    <folder>/
        manifest.json     format, engine, scenario, digest, seed, tick; SHA-256 of every other file, and of itself
        scenario.yaml     resolved
        state.json        the state as a tree (see sim.state), which names the arrays
        arrays.npz        the arrays, none of Python objects
        network.npz       who is tied to whom

A checkpoint is arrays and JSON: reading one runs no code that it names. It is written whole or not at all. What is
read must be as it was written, by this engine: a shop that goes on is bit for bit the one that never stopped.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.code import versions
from sim.core.graph import Graph
from sim.core.sealed import MANIFEST, checksum, file_sums, is_whole
from sim.fork import go_on
from sim.scenario import Problem, Scenario, ScenarioError
from sim.state import State, StateError, written

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
SCENARIO, STATE, ARRAYS, NETWORK = "scenario.yaml", "state.json", "arrays.npz", "network.npz"
FORMAT = 2


class CheckpointError(ScenarioError):
    """A run cannot be kept, or a checkpoint cannot be used."""


def save(shop: Shop, folder: str | Path) -> Path:
    """Write a run so far into a folder.

    Parameters
    ----------
    shop : Shop
        Between two ticks.
    folder : path-like
        Made, or replaced if it holds a checkpoint.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    CheckpointError
        If the folder holds something else, or the shop something that cannot be kept.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise CheckpointError(Problem("holds something else than a checkpoint, and is left alone.", str(folder)))
    try:
        state = written(shop)
        network = _network(shop.graph)
    except StateError as problem:
        raise CheckpointError(Problem(f"the shop cannot be kept: {problem}.", str(folder))) from None
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        (temporary / SCENARIO).write_text(shop.scenario.to_yaml(temporary), encoding="utf-8")
        (temporary / STATE).write_text(json.dumps(state.tree, allow_nan=False), encoding="utf-8")
        np.savez_compressed(temporary / ARRAYS, allow_pickle=False, **state.arrays)
        np.savez_compressed(temporary / NETWORK, allow_pickle=False, **network)
        manifest = {
            "kind": "checkpoint",
            "format": FORMAT,
            "engine": versions(),
            "scenario": shop.scenario.name,
            "digest": shop.scenario.digest,
            "seed": shop.seed,
            "tick": shop.clock.tick,
            "persons": len(shop.people),
            "files": file_sums(temporary),
        }
        text = json.dumps({**manifest, "checksum": checksum(manifest)}, indent=2, ensure_ascii=False)
        (temporary / MANIFEST).write_text(text, encoding="utf-8")
        temporary.chmod(0o755)  # mkdtemp keeps folders to their owner
        shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def load[S: Shop](cls: type[S], folder: str | Path, scenario: Scenario | str | Path | None = None) -> S:
    """Return a shop that goes on from a checkpoint; see :meth:`sim.shop.Shop.restore`."""
    folder = Path(folder)
    manifest = inspect(folder)
    base = Scenario.load(folder / SCENARIO)
    if base.digest != manifest["digest"]:
        message = f"a data file that {SCENARIO} names has changed since: its digest was {manifest['digest'][:16]}."
        raise CheckpointError(Problem(message, str(folder)))
    state = State(json.loads((folder / STATE).read_text("utf-8")), _read_arrays(folder / ARRAYS))
    network = _read_arrays(folder / NETWORK)
    try:
        return go_on(cls, base, _scenario(scenario), manifest["seed"], state, _graph(network))
    except StateError as problem:
        raise CheckpointError(Problem(f"does not fit this shop: {problem}.", str(folder))) from None


def branch[S: Shop](shop: S, scenario: Scenario | str | Path | None = None) -> S:
    """Return a second shop that goes on from where one is; see :meth:`sim.shop.Shop.fork`."""
    try:
        return go_on(type(shop), shop.scenario, _scenario(scenario), shop.seed, written(shop), shop.graph)
    except StateError as problem:
        raise CheckpointError(Problem(f"the shop cannot be forked: {problem}.")) from None


def inspect(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint that is whole and of this engine.

    Raises
    ------
    CheckpointError
        If it is not.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except OSError:
        raise CheckpointError(Problem(f"is not a checkpoint: it has no {MANIFEST}.", str(folder))) from None
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("kind") != "checkpoint":
        raise CheckpointError(Problem(f"is not a checkpoint: its {MANIFEST} says so of something else.", str(folder)))
    if not is_whole(folder, manifest):
        message = "is not as it was written: a file was cut short, edited, added or lost. Make it again."
        raise CheckpointError(Problem(message, str(folder)))
    theirs, ours = {"format": manifest["format"], **manifest["engine"]}, {"format": FORMAT, **versions()}
    if theirs != ours:
        differ = [name for name in {**ours, **theirs} if theirs.get(name) != ours.get(name)]
        found = ", ".join(f"{name} {theirs.get(name)}, here {ours.get(name)}" for name in differ)
        raise CheckpointError(Problem(f"was written by another engine ({found}). Make it again.", str(folder)))
    return manifest


def _scenario(given: Scenario | str | Path | None) -> Scenario | None:
    return Scenario.load(given) if isinstance(given, str | Path) else given


# Networks.


def _network(graph: Graph) -> dict[str, Array]:
    """Return a network as arrays; labels that are not all numbers or all text have no place in them."""
    arrays: dict[str, Array] = {
        "indptr": graph.indptr, "indices": graph.indices, "strength": graph.strength,
        "directed": np.array(graph.directed), "notes": np.array(graph.notes, str),
    }  # fmt: skip
    if graph.labels is not None:
        labels = np.array(graph.labels.tolist())
        if labels.ndim != 1 or labels.dtype.hasobject or labels.tolist() != graph.labels.tolist():
            raise StateError("the labels of the network's persons are neither all numbers nor all text")
        arrays["labels"] = labels
    return arrays


def _graph(arrays: Mapping[str, Array]) -> Graph:
    labels, notes = arrays.get("labels"), arrays["notes"].tolist()
    return Graph(arrays["indptr"], arrays["indices"], arrays["strength"], bool(arrays["directed"]), labels, notes)


# Files.


def _read_arrays(file: Path) -> dict[str, Array]:
    with np.load(file, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
