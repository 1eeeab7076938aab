"""Whether two shops stand alike: every object that can be reached from them, attribute by attribute, bit by bit."""

from __future__ import annotations

import types
import weakref
from typing import Any

import mesa
import numpy as np
import simpy
from pydantic import BaseModel
from scipy import sparse

from agents.errands import Errands
from agents.fraudsters import Ring
from agents.kols import Kol
from agents.merchants import Merchant
from agents.playbooks import Market
from agents.ring_tables import Accounts
from sim import Graph, Scenario
from sim.core.table import Table
from sim.demand import Demand
from sim.recommend.base import Recommender
from sim.recommend.log import Evidence
from sim.risk.detector import Detector
from sim.schemes.teams import TeamBook

# What may differ: machinery of libraries, and what is looked up again when it is needed.
MACHINERY = {
    mesa.Model: set(vars(mesa.Model(rng=1))) - {"running", "steps", "rng", "random", "agent_id_counter"},
    mesa.DataCollector: {"model_reporters", "_validated"},
    Table: {"_buffers", "_capacity", "_specs", "_absent"},
    Graph: {"_reversed", "_communities"},
    Recommender: {"als"},
    Evidence: {"row_of"},
    TeamBook: {"_index"},
    Detector: {"_forest", "_boosting", "_middle", "_weight", "_isolated", "_suspected", "_honest"},  # learnt again
    Market: {"_seen", "_found", "_plays", "_prospects", "_members"},
    Errands: {"_moments", "_read"},
    Ring: {"wakes"},
    Kol: {"wakes"},
    Merchant: {"wakes"},
    Accounts: {"_any_pretends", "_read"},
    Demand: {"extra_units"},
}
ATOMS = (type(None), bool, int, float, complex, str, bytes, range, slice, np.generic, np.dtype)
CODE = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, type, property, weakref.ref)


def differences(one: Any, other: Any) -> list[str]:
    """Return the paths at which two objects differ."""
    return list(_walk(one, other, "shop", set()))


def _walk(one, other, path, met):
    if type(one) is not type(other):
        yield f"{path}: {type(one).__name__} and {type(other).__name__}"
        return
    if isinstance(one, ATOMS):
        if not (one == other or (one != one and other != other)):
            yield f"{path}: {one!r} and {other!r}"
        return
    if isinstance(one, CODE) or (id(one), id(other)) in met:
        return
    met.add((id(one), id(other)))
    if isinstance(one, np.ndarray):
        if one.dtype != other.dtype or one.shape != other.shape or one.tobytes() != other.tobytes():
            yield f"{path}: arrays"
    elif sparse.issparse(one):
        for name in ("data", "indices", "indptr", "shape"):
            yield from _walk(getattr(one, name), getattr(other, name), f"{path}.{name}", met)
    elif isinstance(one, BaseModel | Scenario):
        if (one.digest if isinstance(one, Scenario) else one) != (other.digest if isinstance(one, Scenario) else other):
            yield f"{path}: settings"
    elif isinstance(one, simpy.Environment):
        yield from _walk(_agenda(one), _agenda(other), f"{path}.agenda", met)
    elif isinstance(one, np.random.Generator):
        yield from _walk(one.bit_generator.state, other.bit_generator.state, f"{path}.state", met)
    elif isinstance(one, dict):
        if list(one) != list(other):
            yield f"{path}: keys {list(one)} and {list(other)}"
            return
        for key in one:
            yield from _walk(one[key], other[key], f"{path}[{key!r}]", met)
    elif isinstance(one, list | tuple):
        if len(one) != len(other):
            yield f"{path}: {len(one)} and {len(other)} elements"
            return
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from _walk(*pair, f"{path}[{number}]", met)
    elif isinstance(one, set | frozenset):
        if one != other:
            yield f"{path}: sets"
    elif hasattr(one, "getstate"):
        yield from _walk(one.getstate(), other.getstate(), f"{path}.state", met)
    else:
        yield from _walk_attributes(one, other, path, met)


def _walk_attributes(one, other, path, met):
    slots = [name for cls in type(one).__mro__ for name in getattr(cls, "__slots__", ()) if hasattr(one, name)]
    hidden = set().union(*(names for cls, names in MACHINERY.items() if isinstance(one, cls)))
    names = [*slots, *getattr(one, "__dict__", ())]
    missing = {*names} ^ {*slots, *getattr(other, "__dict__", ())}
    if missing - hidden:
        yield f"{path}: only one has {sorted(missing - hidden)}"
    for name in names:
        if name not in hidden and name not in missing:
            yield from _walk(getattr(one, name), getattr(other, name), f"{path}.{name}", met)


def _agenda(environment):
    """Return what an environment waits for: moments and priorities, in their order."""
    waiting = [
        (float(time), int(priority)) for time, priority, _, event in sorted(environment._queue) if event.callbacks
    ]
    return [float(environment.now), waiting]
