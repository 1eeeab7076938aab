"""The state of a run as plain data: what changes while a run goes on, written down as arrays and a tree of JSON.

A shop is built from its scenario and seed; :data:`KEPT` says of each class which attributes the days then change.
:func:`written` collects those of a shop, :func:`pour` puts them into a shop that was just built. All else (configs,
limits, look-ups made of them) is left as it was built, so a shop can go on under other rules than it began with.

A class of one's own that keeps anything from tick to tick names it in a class attribute ``keeps``::

    class Lottery(Scheme):
        keeps = ("tickets", "jackpot")   # a Table, and an int

Values may be numbers, text, None, arrays, tables, sparse matrices, batches, and lists, tuples, sets and dicts of these.
Nothing here names code to run, so reading a checkpoint runs none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
import numpy.typing as npt
from scipy import sparse

from agents.beliefs import Beliefs
from agents.brushers import Brusher
from agents.fraudsters import Ring
from agents.kols import Kol
from agents.merchants import MerchantBooks
from agents.second_accounts import SecondAccounts
from sim.core.clock import Clock
from sim.core.ledger import Ledger
from sim.core.table import Table
from sim.feed import Feed
from sim.offers import Signups, Visits
from sim.operations import Operations
from sim.recommend.base import Recommender
from sim.recommend.log import Evidence
from sim.record import Recorder
from sim.risk.casework import Casework
from sim.risk.controls import RiskControl
from sim.risk.desk import ReviewDesk
from sim.risk.policy import Policy
from sim.schemes import Scheme
from sim.schemes.commission import Payouts
from sim.schemes.coupon import Coupon
from sim.schemes.fission import RedPackets
from sim.schemes.group_buy import GroupBuy
from sim.schemes.promoters import Promoters
from sim.schemes.referral import Referral
from sim.schemes.teams import TeamBook
from sim.schemes.wallet import Wallets
from sim.shocks import Shocks

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
Node = Any  # of the tree of JSON

OF_THE_SHOP = (
    "clock", "shocks", "recorder", "ledger", "products", "people", "fakes", "book", "merchant_books", "operations",
    "risk", "recommender", "schemes", "feed", "kols", "rings", "kol_click", "datacollector", "running",
    "keeps_utilities", "last_utilities", "wound_down", "fraud_losses", "second_accounts", "brushers", "_queued_signups",
    "_queued_visits", "_unpaid", "_fakes",
)  # fmt: skip

KEPT: dict[type, tuple[str, ...]] = {
    Clock: ("tick",),
    Shocks: ("disgraced",),
    Recorder: ("_series", "_day", "_counted"),
    Ledger: ("_flow", "_balance", "journal"),
    MerchantBooks: ("shelves",),
    Operations: (
        "restocks", "demand", "closed", "waits", "_open_campaigns", "_queue", "_moving", "_moving_due", "_over",
    ),
    RiskControl: ("devices", "addresses", "payments", "cases", "totals", "casework", "policy"),
    Casework: ("files", "desk", "held", "condemned", "totals"),
    Policy: ("watched", "judgements", "taught", "trained", "_to_hold"),
    ReviewDesk: ("cases",),
    Feed: ("sent", "messages", "moments", "under_way"),
    Kol: ("_posts", "claimed", "bought", "spent", "audits", "_risked", "_banned_until"),
    Ring: (
        "devices", "accounts", "groups", "errands", "beliefs", "spent", "is_active", "_orders", "_book_read",
    ),
    Beliefs: ("admitted", "lost", "lessons", "courses", "caught", "tries"),
    SecondAccounts: ("accounts",),
    Brusher: (
        "hired", "lift", "brushed", "spent", "_devices", "_book_read", "_to_come", "_organic", "_before", "_last",
    ),
    Scheme: ("spent", "used"),
    Coupon: ("wallets", "packets"),
    Wallets: ("claims", "purses", "issued", "used", "expired", "live_face", "_uses", "_swept"),
    RedPackets: ("packets", "opened", "filled", "_swept"),
    GroupBuy: ("book", "buyers", "orders", "promised", "_keeps_stock", "_kept"),
    TeamBook: ("teams", "places", "closed", "full"),
    Referral: ("promoters", "payouts", "_messages", "_bonuses_earned", "_earned_by_link"),
    Promoters: ("standing", "self_bindings", "cycles", "_bindings", "_next_expiry"),
    Payouts: ("rewards", "purses", "withdrawn", "fees", "debts_repaid", "_next_due", "_held"),
    mesa.DataCollector: ("model_vars", "_collection_steps", "_agent_records", "_agenttype_records", "tables"),
}  # fmt: skip
"""By class, the attributes that the days change; those of base classes and the columns of tables besides."""
ALL_BUT: dict[type, tuple[str, ...]] = {Recommender: ("shop", "config", "als")}
"""Of these classes all attributes are kept but some: what they are told by the scenario, and what they can do without.

(A fork that is to recommend otherwise trains anew, so nothing that was learnt under other rules is left.)
"""
MAY_BE_NEW = ("casework", "policy", "desk")  # parts of a shop that its scenario may or may not ask for
RECORDS: dict[str, type] = {cls.__name__: cls for cls in (Signups, Visits, Evidence)}
_TOLD = {"shop", "config", "number", "name", "assignment", "_first", "_last"}  # what every scheme is made with


class StateError(Exception):
    """Something cannot be written down, or does not fit where it should go."""


@dataclass
class State:
    """State as plain data: ``tree`` refers to the ``arrays`` by name."""

    tree: Node
    arrays: dict[str, Array] = field(default_factory=dict)


def names_kept(thing: object) -> list[str] | None:
    """Return the attributes of an object that belong to the state, or None if it is not of a class that has any."""
    classes = type(thing).__mro__
    for cls in classes:
        if cls in ALL_BUT:
            return [name for name in vars(thing) if name not in ALL_BUT[cls]]
    if not any(cls in KEPT or "keeps" in vars(cls) for cls in classes) and not isinstance(thing, Table):
        return None
    names = [name for cls in reversed(classes) for name in (*KEPT.get(cls, ()), *vars(cls).get("keeps", ()))]
    if isinstance(thing, Scheme) and type(thing) not in KEPT and "keeps" not in vars(type(thing)):
        _refuse_silence(thing, names)
    if missing := [name for name in names if name not in vars(thing)]:
        raise StateError(f"{type(thing).__name__} has no {missing[0]}, which it is said to keep")
    return list(dict.fromkeys(names))


def _refuse_silence(scheme: Scheme, names: list[str]) -> None:
    """Insist that a scheme from elsewhere says what it keeps, unless it has nothing of its own."""
    own = [name for name in vars(scheme) if name not in names and name not in _TOLD]
    if own:
        cls = type(scheme)
        raise StateError(
            f"{cls.__module__}.{cls.__qualname__} does not say which of {', '.join(own)} it keeps from tick to tick: "
            "give the class an attribute keeps, a tuple of names; () for none"
        )


# Writing.


def written(shop: Shop) -> State:
    """Write down the state of a shop between two ticks; arrays are copies.

    Raises
    ------
    StateError
        If it holds something that cannot be kept.
    """
    known = {"Brusher", "Kol", "Merchant", "Ring", "SecondAccounts"}
    if strangers := {type(agent).__name__ for agent in shop.agents} - known:
        raise StateError(f"agents of other classes cannot be kept: {', '.join(sorted(strangers))}")
    if tried := [scheme.name for scheme in shop.schemes if scheme.assignment is not None]:
        raise StateError(f"a randomised experiment is laid on {', '.join(tried)}; keep the shop before it begins")
    writer = _Writer()
    tree = {name: writer.value(vars(shop)[name], name) for name in OF_THE_SHOP if name in vars(shop)}
    tree["hour"] = float(shop.clock.environment.now)
    tree["mesa"] = writer.value([shop.rng.bit_generator.state, shop.random.getstate()], "mesa")
    return State(tree, writer.arrays)


class _Writer:
    """Writes values into a tree, each array and each object once."""

    def __init__(self) -> None:
        self.arrays: dict[str, Array] = {}
        self._written: dict[int, tuple[str, object]] = {}  # by identity; holds on to objects, so that it stays theirs

    def value(self, value: Any, path: str) -> Node:
        if value is None or isinstance(value, bool | str) or type(value) is int:
            return value
        if isinstance(value, float) and type(value) is float:
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, np.generic):
            return {"scalar": self._array(np.asarray(value), path)}
        if isinstance(value, int):  # an IntEnum
            return int(value)
        if isinstance(value, list | tuple | set | frozenset):
            items = sorted(value) if isinstance(value, set | frozenset) else value
            kind = "list" if isinstance(value, list) else "tuple" if isinstance(value, tuple) else "set"
            return {kind: [self.value(item, f"{path}/{number}") for number, item in enumerate(items)]}
        if isinstance(value, Mapping):
            return {"dict": [[self.value(key, path), self.value(item, f"{path}/{key}")] for key, item in value.items()]}
        if isinstance(value, sparse.csr_matrix):
            parts = {name: self.value(getattr(value, name), f"{path}/{name}") for name in ("data", "indices", "indptr")}
            return {"csr": parts, "shape": list(value.shape)}
        if RECORDS.get(type(value).__name__) is type(value) and is_dataclass(value):
            content = {f.name: self.value(getattr(value, f.name), f"{path}/{f.name}") for f in fields(value)}
            return {"record": type(value).__name__, "fields": content}
        if id(value) in self._written:
            kind = "same_array" if isinstance(value, np.ndarray) else "same_object"
            return {kind: self._written[id(value)][0]}
        if isinstance(value, np.ndarray):
            name = self._array(value, path)
            self._written[id(value)] = name, value
            return {"array": name}
        self._written[id(value)] = path, value
        names = names_kept(value)
        if names is None:
            raise StateError(f"{path} is of class {type(value).__name__}, which cannot be kept")
        node = {"object": {name: self.value(getattr(value, name), f"{path}/{name}") for name in names}}
        if isinstance(value, Table):
            node["columns"] = {name: self._array(value[name], f"{path}/{name}") for name in value}
        return node

    def _array(self, value: Array, path: str) -> str:
        if value.dtype.hasobject:
            raise StateError(f"{path} is an array of Python objects, which cannot be kept")
        while path in self.arrays:  # a key of a dict may hold a slash
            path += "'"
        self.arrays[path] = value.copy(order="K")
        return path


# Pouring.


def pour(state: State, shop: Shop) -> None:
    """Put a state into a shop that was just built; of a list of objects as many as both have.

    The processes of operations, and what Mesa counts, are the caller's to set right.

    Raises
    ------
    StateError
        If something does not fit.
    """
    reader = _Reader(state.arrays)
    for name in OF_THE_SHOP:
        if name in state.tree:
            reader.put(shop, name, state.tree[name], name)
    (generator, sequence) = reader.value(state.tree["mesa"])
    shop.rng.bit_generator.state = generator
    shop.random.setstate(sequence)


class _Reader:
    """Reads values from a tree; objects are filled in place, so that whoever shares them still does."""

    def __init__(self, arrays: Mapping[str, Array]) -> None:
        self._arrays = arrays
        self._read: dict[str, Array] = {}

    def put(self, holder: Any, name: str, node: Node, path: str) -> None:
        """Set an attribute, or fill the object or objects that it holds."""
        present = getattr(holder, name, None)
        if name in MAY_BE_NEW and (present is None or node is None):
            return  # one of two runs has none: what is new begins empty, what is gone leaves nothing
        items = node.get("list") if isinstance(node, dict) else None
        if _is_object(node):
            self._fill(present, node, path)
        elif isinstance(present, list) and items is not None and (_has_objects(present) or any(map(_is_object, items))):
            for number, (thing, item) in enumerate(zip(present, items, strict=False)):
                self._fill(thing, item, f"{path}/{number}")
        else:
            setattr(holder, name, self.value(node))

    def _fill(self, thing: Any, node: Node, path: str) -> None:
        if "same_object" in node:
            return  # filled where it was met first
        names = None if thing is None else names_kept(thing)
        if names is None:
            raise StateError(f"{path} has a place in the state, but none in this shop")
        if unknown := node["object"].keys() - set(names):
            raise StateError(f"{path} has {min(unknown)} in the state, which this shop does not keep")
        for name, child in node["object"].items():
            self.put(thing, name, child, f"{path}/{name}")
        if isinstance(thing, Table):
            columns = node.get("columns", {})
            if columns.keys() != set(thing):
                differ = sorted(columns.keys() ^ set(thing))
                raise StateError(f"{path} has other columns than in this shop: {', '.join(differ)}")
            thing.restore({name: self._arrays[column] for name, column in columns.items()})

    def value(self, node: Node) -> Any:
        """Return the value that a node stands for."""
        if not isinstance(node, dict):
            return node
        (kind, content), *more = node.items()
        match kind:
            case "array":
                return self._read.setdefault(content, self._arrays[content].copy(order="K"))
            case "same_array":
                return self._read[content]
            case "scalar":
                return self._arrays[content][()]
            case "float":
                return float(content)
            case "list":
                return [self.value(item) for item in content]
            case "tuple":
                return tuple(self.value(item) for item in content)
            case "set":
                return {self.value(item) for item in content}
            case "dict":
                return {self.value(key): self.value(item) for key, item in content}
            case "csr":
                parts = tuple(self.value(content[name]) for name in ("data", "indices", "indptr"))
                return sparse.csr_matrix(parts, shape=tuple(more[0][1]))
            case "record":
                record: Any = RECORDS[content]
                return record(**{name: self.value(item) for name, item in more[0][1].items()})
        raise StateError(f"a value cannot be of kind {kind!r}")


def _is_object(node: Node) -> bool:
    return isinstance(node, dict) and ("object" in node or "same_object" in node)


def _has_objects(things: list[Any]) -> bool:
    return any(names_kept(thing) is not None for thing in things)
