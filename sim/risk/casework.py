"""What happens to whom risk control suspects: cases at the review desk, orders on hold, blocks, and appeals.

- A *held* order is accepted but not shipped until the desk has decided. If suspicion is confirmed, it is cancelled: at
  once, or as soon as its team has filled.
- Payouts of an account *under review* wait until the desk has decided.
- Whoever is *blocked* gets no more discounts and rewards, and nobody may sign up on their device. It costs them
  satisfaction, trust, and some the patience to stay; some appeal. The desk decides: an appeal that is granted lifts the
  block and restores part of what was lost.

What the desk found out about an account is a label that the detector may learn from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.core import draws
from sim.core.draws import Stream
from sim.core.table import Column, Table, column
from sim.orders import OrderStatus
from sim.people import Status
from sim.risk.desk import CaseKind, ReviewDesk, Verdict
from sim.risk.detector import FRAUD, HONEST, UNKNOWN

if TYPE_CHECKING:
    from sim.risk.controls import Cases
    from sim.shop import Shop

Array = npt.NDArray[Any]
_NO_ROWS = np.zeros(0, np.int64)
_CHURN, _APPEAL, _CHALLENGE, LATE_LABEL = 2, 3, 4, 5  # address what is drawn about a person, beside the rules' draws


class Files(Table):
    """What is on file about each person, one row a row of People."""

    label: Column = column(np.int8, fill=UNKNOWN)  # what was found out, by the desk or later
    proven: Column = column(np.bool_)  # by a complaint or chargeback: whoever reviews it later sees that
    under_review: Column = column(np.bool_)  # payouts wait
    barred: Column = column(np.bool_)  # nobody may sign up on the device
    appealed: Column = column(np.bool_)
    lost_trust: Column = column(np.float32)


class Casework:
    """Cases, holds, blocks and appeals of one run; see the module's docstring.

    Parameters
    ----------
    shop : Shop
    cases : Cases
        What risk control did to each person; ``flagged`` is what a block sets.

    Attributes
    ----------
    files : Files
    desk : ReviewDesk or None
    held : int ndarray
        Rows of the order book that must not ship.
    condemned : int ndarray
        Those of them that are to be cancelled.
    totals : dict of int
        Orders challenged, held and cancelled, accounts whose payouts were frozen, accounts blocked, appeals made and
        granted.
    """

    def __init__(self, shop: Shop, cases: Cases) -> None:
        self.shop, self.cases = shop, cases
        self.policy, self.appeals = shop.config.risk.measures, shop.config.risk.appeals
        self.files = Files()
        self.held = self.condemned = _NO_ROWS
        self.totals = dict.fromkeys(
            (
                "orders_challenged", "orders_held", "orders_cancelled", "payouts_frozen", "accounts_blocked", "appeals",
                "appeals_granted",
            ), 0,
        )  # fmt: skip
        self.desk: ReviewDesk | None = None
        if shop.config.risk.review is not None:
            self.desk = ReviewDesk(shop.clock, shop.seed, shop.config.risk.review, self._investigate, self._decided)
            shop.operations.desk = self.desk

    def fit(self) -> None:
        """Open a file for everyone who has none."""
        missing = len(self.shop.people) - len(self.files)
        if missing > 0:
            self.files.append(missing)

    def metrics(self) -> dict[str, float]:
        """Return how many there were of each, and how busy the desk is."""
        found = {name: float(number) for name, number in self.totals.items()}
        return found | (self.desk.metrics() if self.desk is not None else {})

    # Suspects.

    def passes_challenge(self, persons: Array) -> Array:
        """Return which of the challenged persons care to prove who they are, and can."""
        self._total("orders_challenged", persons.size)
        shop, credible = self.shop, np.ones(persons.size, np.float32)
        is_owned = persons >= shop.graph.persons
        credible[is_owned] = shop.fakes.credible[persons[is_owned] - shop.graph.persons]
        passes: Array = self._drawn(persons, _CHALLENGE) < (1 - self.policy.impatience) * credible
        return passes

    def hold(self, rows: Array) -> None:
        """Keep orders (rows of the book) from shipping until the desk has decided."""
        if self.desk is None or rows.size == 0:
            return
        self._total("orders_held", rows.size)
        self.held = np.concatenate([self.held, rows])
        self.desk.submit(self.shop.book.person[rows], CaseKind.ORDER, rows)

    def freeze(self, persons: Array) -> None:
        """Let payouts of persons wait until the desk has decided."""
        persons = persons[~self.files.under_review[persons]]
        if self.desk is None or persons.size == 0:
            return
        self._total("payouts_frozen", persons.size)
        self.files.under_review[persons] = True
        self.desk.submit(persons, CaseKind.PAYOUT)

    def holds(self, rows: Array) -> Array:
        """Return which orders must not ship; none where nobody reviews any more (a fork may close the desk)."""
        return np.zeros(rows.size, bool) if self.desk is None else np.isin(rows, self.held)

    def withholds(self, persons: Array) -> Array:
        """Return whose payouts must wait; nobody's where nobody reviews."""
        self.fit()
        waits: Array = self.files.under_review[persons] & (self.desk is not None)
        return waits

    def bars(self, persons: Array) -> Array:
        """Return who may not sign up because somebody on their device is blocked."""
        self.fit()
        device = self.shop.people.device
        barred = np.flatnonzero(self.files.barred)
        return np.isin(device[persons], device[barred]) if barred.size else np.zeros(persons.size, bool)

    # Blocks.

    def block(self, persons: Array) -> None:
        """Give persons no more discounts and rewards, and let nobody sign up on their devices."""
        persons = persons[~self.cases.flagged[persons]]
        self._total("accounts_blocked", persons.size)
        self.cases.flagged[persons] = True
        self.cases.caught[persons] = np.where(
            self.cases.caught[persons] < 0, self.shop.clock.tick, self.cases.caught[persons]
        )
        self.files.barred[persons] = True
        self.shop.disappoint(persons)
        self.hurt(persons)

    def hurt(self, persons: Array) -> None:
        """Let persons bear that they were blocked or refused: they lose trust, and some leave or appeal."""
        if persons.size == 0:
            return
        self.fit()
        people, files = self.shop.people, self.files
        lost = self.policy.trust_loss * people.trust[persons]
        people.trust[persons] -= lost
        files.lost_trust[persons] += lost
        leaves = (people.status[persons] == Status.MEMBER) & (self._drawn(persons, _CHURN) < self.policy.churn)
        people.status[persons[leaves]] = Status.CHURNED
        self.shop.count("churned", int(leaves.sum()))
        if self.desk is not None and self.appeals is not None:
            complains = ~files.appealed[persons] & (self._drawn(persons, _APPEAL) < self.appeals.rate)
            appellants = persons[complains]
            files.appealed[appellants] = True
            self._total("appeals", appellants.size)
            self.desk.submit(appellants, CaseKind.APPEAL)

    def _drawn(self, persons: Array, k: int) -> Array:
        uid = self.shop.people.uid[persons]
        return draws.uniform(self.shop.seed, Stream.RISK, uid, 0, self.shop.clock.tick, k)

    # Verdicts.

    def _investigate(self, persons: Array) -> Array:
        """Return who is fraudulent: what an investigation at the desk would find, and nothing else may ask."""
        truth: Array = self.shop.people.fraud[persons] > 0
        return truth

    def come_to_light(self, persons: Array, rate: float) -> None:
        """Let some frauds among persons become known by themselves, through complaints and chargebacks."""
        if persons.size:
            known = self._investigate(persons) & (self._drawn(persons, LATE_LABEL) < rate)
            self.files.label[persons[known]] = FRAUD
            self.files.proven[persons[known]] = True

    def _decided(self, rows: Array) -> None:
        """Act on verdicts (rows of the desk's cases)."""
        assert self.desk is not None
        self.fit()
        cases = self.desk.cases
        person, kind, ref = cases.person[rows], cases.kind[rows], cases.ref[rows]
        person = person.astype(np.int64)
        guilty = (cases.verdict[rows] == Verdict.CONFIRMED) | self.files.proven[person]
        self.files.label[person] = np.where(guilty, FRAUD, HONEST)
        self.files.under_review[person[kind == CaseKind.PAYOUT]] = False
        of_order = kind == CaseKind.ORDER
        self.held = np.setdiff1d(self.held, ref[of_order & ~guilty])
        self.condemned = np.concatenate([self.condemned, ref[of_order & guilty]])
        self.block(person[guilty])
        self._grant(person[(kind == CaseKind.APPEAL) & ~guilty])

    def _grant(self, persons: Array) -> None:
        """Lift blocks, and restore part of what they cost."""
        if persons.size == 0 or self.appeals is None:
            return
        self._total("appeals_granted", persons.size)
        people, files = self.shop.people, self.files
        self.cases.flagged[persons] = False
        files.barred[persons] = False
        people.satisfaction[persons] += self.appeals.restored * (1 - people.satisfaction[persons])
        people.trust[persons] += self.appeals.restored * files.lost_trust[persons]
        files.lost_trust[persons] = 0

    def cancel_condemned(self) -> None:
        """Refund held orders of which suspicion was confirmed, once they wait for nothing else."""
        if self.condemned.size == 0:
            return
        status = self.shop.book.status[self.condemned]
        rows = self.condemned[status == OrderStatus.PAID]
        self.condemned = self.condemned[status == OrderStatus.WAITING]
        self._total("orders_cancelled", rows.size)
        np.add.at(self.cases.refused, self.shop.book.person[rows], np.int32(1))
        self.shop.refund(rows, OrderStatus.REFUNDED)
        self.held = np.setdiff1d(self.held, rows)

    def _total(self, name: str, number: int) -> None:
        self.totals[name] += number
        self.shop.count(name, number)
