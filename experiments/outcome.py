"""What is kept of one run: its final metrics, and tables in file form (yuan, days, names instead of codes).

==========  ==========================================================================================================
table       rows and columns
==========  ==========================================================================================================
history     a row a day: ``day`` and every daily metric
people      a row a person: ``uid``, ``fake``, ``fraud`` (its kind) and ``ring`` (ground truth), ``status``,
            ``joined_day``, ``inviter`` (uid), ``source``, ``orders`` and ``gmv_yuan`` (of orders in the run that were
            not undone before shipping, as the metrics of these names), ``benefit_yuan`` (discounts and rewards,
            claw-backs taken off), ``satisfaction``, ``hit`` (refused something or caught by risk control)
losses      ``fraud``, ``scheme``, ``yuan``: what fraud got out of incentives
ledger      ``day``, ``scheme``, ``source``, ``target``, ``amount_yuan``
cohorts     ``cohort``, ``age`` (weeks), ``members``, ``active``
funnel      ``stage``, ``count``
journal     if the scenario records it: every posting
events/...  if the scenario records them: ``orders``, ``signups``, ``shares``, ``payouts``, each with ``fraud`` and
            ``ring`` (:mod:`sim.labels`)
==========  ==========================================================================================================
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.files import to_json

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.shop import Shop

FEN_PER_YUAN = 100
NO_UID = -1
BEFORE = -(2**30)  # ticks that mean "never"


@dataclass(frozen=True)
class RunResult:
    """One finished run, as plain data.

    Parameters
    ----------
    scenario : str
        Name.
    digest : str
        Of the scenario; with the seed it determines everything else but `elapsed_s`.
    seed : int
    metrics : dict of str to float
        Final values; NaN where there is not enough data.
    tables : mapping of str to DataFrame
        See the module's docstring. Those of a stored run are read when asked for.
    facts : dict
        By scheme name, what a reader should know of how it was used.
    elapsed_s : float
        Seconds that the run took.
    """

    scenario: str
    digest: str
    seed: int
    metrics: dict[str, float]
    tables: Mapping[str, pd.DataFrame]
    facts: dict[str, Any]
    elapsed_s: float

    def named(self, scenario: str) -> RunResult:
        """Return the same run under another scenario's name."""
        return self if scenario == self.scenario else replace(self, scenario=scenario)


def simulate(scenario: Scenario, seed: int, watch: Callable[[float], None] | None = None) -> RunResult:
    """Run a scenario once.

    Parameters
    ----------
    scenario : Scenario
    seed : int
        In [0, 2**32).
    watch : callable, optional
        Told after each day which part of the run is done.
    """
    from sim.shop import Shop

    started = time.perf_counter()
    shop = Shop(scenario, rng=seed)
    while shop.running:
        shop.step()
        if watch is not None and shop.clock.starts_day:
            watch(min(1.0, shop.clock.tick / shop.clock.horizon))
    return observe(shop, time.perf_counter() - started)


def observe(shop: Shop, elapsed_s: float) -> RunResult:
    """Keep what is kept of a run."""
    tables = {
        "history": shop.history().rename_axis("day").reset_index(),
        "people": _people(shop),
        "ledger": _ledger(shop),
        "cohorts": shop.cohorts(),
        "funnel": shop.funnel().rename_axis("stage").rename("count").reset_index(),
        "losses": shop.losses(),
    }
    record = shop.config.record
    if shop.ledger.journal is not None:
        tables["journal"] = _journal(shop)
    if record.events:
        tables |= {
            "events/orders": _orders(shop),
            "events/signups": _signups(tables["people"]),
            "events/shares": _shares(shop),
            "events/payouts": _payouts(shop),
        }
    metrics = {str(name): float(value) for name, value in shop.metrics().items()}
    facts = json.loads(to_json({scheme.name: scheme.facts() for scheme in shop.schemes}))
    return RunResult(shop.scenario.name, shop.scenario.digest, shop.seed, metrics, tables, facts, elapsed_s)


def _named(codes: npt.NDArray[Any], names: type[IntEnum]) -> pd.Categorical[str]:
    """Write the members of an IntEnum by their names in lower case; codes that it does not have are missing."""
    members = list(names)
    position = {int(member): index for index, member in enumerate(members)}
    unique, inverse = np.unique(codes, return_inverse=True)
    index = np.array([position.get(int(code), -1) for code in unique], np.int64)
    names_in_order = pd.Index([member.name.lower() for member in members])
    return pd.Categorical.from_codes(index[inverse], categories=names_in_order)


def _day(shop: Shop, ticks: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the days of moments; negative before the start, NaN for never."""
    days = (ticks // shop.clock.ticks_a_day).astype(np.float32)
    days[ticks <= BEFORE] = math.nan
    return days


def _people(shop: Shop) -> pd.DataFrame:
    from agents.second_accounts import owners
    from sim.labels import Fraud
    from sim.offers import Source
    from sim.orders import OrderStatus
    from sim.people import Status

    people, book = shop.people, shop.book
    kept = book.status != OrderStatus.REFUNDED
    who = owners(shop)[book.person[kept]]
    gmv = np.bincount(who, weights=book.pay[kept], minlength=len(people))
    uid = people.uid.astype(np.int64)
    cases, hit = shop.risk.cases, np.zeros(len(people), bool)
    hit[: len(cases)] = (cases.refused > 0) | (cases.caught >= 0)
    return pd.DataFrame(
        {
            "uid": uid,
            "fake": people.fake.copy(),
            "fraud": _named(people.fraud, Fraud),
            "ring": people.ring.copy(),
            "status": _named(people.status, Status),
            "joined_day": _day(shop, people.joined),
            "inviter": np.where(people.inviter >= 0, uid[people.inviter], NO_UID),
            "source": _named(people.source, Source),
            "orders": np.bincount(who, minlength=len(people)).astype(np.int32),
            "gmv_yuan": gmv / FEN_PER_YUAN,
            "benefit_yuan": people.benefit / FEN_PER_YUAN,
            "satisfaction": people.satisfaction.copy(),
            "hit": hit,
        }
    )


def _ledger(shop: Shop) -> pd.DataFrame:
    flows = shop.ledger.flows()
    amount = flows.pop("amount") / FEN_PER_YUAN
    return flows.astype(dict.fromkeys(("scheme", "source", "target"), "category")).assign(amount_yuan=amount)


def _journal(shop: Shop) -> pd.DataFrame:
    from sim.core.ledger import Account

    journal = shop.ledger.journal
    assert journal is not None
    schemes = np.array(shop.ledger.schemes, dtype=object)
    return pd.DataFrame(
        {
            "tick": journal.tick.copy(),
            "debit": _named(journal.debit, Account),
            "credit": _named(journal.credit, Account),
            "scheme": pd.Categorical(schemes[journal.scheme]),
            "person": np.where(journal.person >= 0, shop.people.uid[journal.person].astype(np.int64), NO_UID),
            "amount_yuan": journal.amount / FEN_PER_YUAN,
        }
    )


def _orders(shop: Shop) -> pd.DataFrame:
    from sim.labels import of_orders
    from sim.offers import Mode, Source
    from sim.orders import OrderStatus

    book = shop.book
    uid = shop.people.uid.astype(np.int64)
    discounts = {
        f"discount_{scheme.name}_yuan": book.discount[:, scheme.number - 1] / FEN_PER_YUAN for scheme in shop.schemes
    }
    return pd.DataFrame(
        {
            "tick": book.tick.copy(),
            "person": uid[book.person],
            "product": book.product.copy(),
            "merchant": book.merchant.copy(),
            "quantity": book.quantity.copy(),
            "mode": _named(book.mode, Mode),
            "team": book.team.copy(),
            "source": _named(book.source, Source),
            "sharer": np.where(book.sharer >= 0, uid[book.sharer], NO_UID),
            "worth_yuan": book.worth / FEN_PER_YUAN,
            "pay_yuan": book.pay / FEN_PER_YUAN,
            "rewards_yuan": book.rewards / FEN_PER_YUAN,
            "status": _named(book.status, OrderStatus),
            **discounts,
            **_labels(*of_orders(shop)),
        }
    )


def _payouts(shop: Shop) -> pd.DataFrame:
    """Return every reward that was granted: to whom, for whose doing, how much, and what became of it."""
    from sim.labels import of_payouts
    from sim.schemes.commission import payouts_of
    from sim.schemes.earnings import RewardKind
    from sim.schemes.rewards import RewardState

    people, parts = shop.people, []
    for scheme, payouts in payouts_of(shop.schemes):
        rewards = payouts.rewards
        table = {
            "tick": rewards.accrued.copy(),
            "scheme": scheme.name,
            "person": people.uid[rewards.person].astype(np.int64),
            "origin": people.uid[rewards.origin].astype(np.int64),
            "kind": _named(rewards.kind, RewardKind),
            "level": rewards.level.copy(),
            "amount_yuan": rewards.amount / FEN_PER_YUAN,
            "state": _named(rewards.state, RewardState),
            **_labels(*of_payouts(people, rewards.person, rewards.origin)),
        }
        parts.append(pd.DataFrame(table))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"tick": np.zeros(0, np.int32)})


def _labels(fraud: npt.NDArray[Any], ring: npt.NDArray[Any]) -> dict[str, Any]:
    from sim.labels import Fraud

    return {"fraud": _named(fraud, Fraud), "ring": ring}


def _shares(shop: Shop) -> pd.DataFrame:
    """Return every share that was sent: who, when, about what, and how many were told."""
    from sim.offers import ShareKind

    sent = shop.feed.sent
    if sent is None:
        raise ValueError("this run did not record its events")
    return pd.DataFrame(
        {
            "tick": sent.tick.copy(),
            "sharer": shop.people.uid[sent.sharer].astype(np.int64),
            "kind": _named(sent.kind, ShareKind),
            "product": sent.product.copy(),
            "team": sent.team.copy(),
            "readers": sent.readers.copy(),
            **_labels(shop.people.fraud[sent.sharer], shop.people.ring[sent.sharer]),
        }
    )


def _signups(people: pd.DataFrame) -> pd.DataFrame:
    joined = people[people["joined_day"] >= 0]
    columns = ["joined_day", "uid", "inviter", "source", "fake", "fraud", "ring"]
    return joined[columns].sort_values(["joined_day", "uid"], kind="stable")
