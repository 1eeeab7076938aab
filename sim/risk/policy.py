"""From scores to actions: who is asked for proof, held, refused, kept waiting for a payout, or blocked.

An account that signed up during the run is judged whenever it asks for a benefit, by the signals of that moment:

- at its first order and at any with a discount: the score lets it pass, has it challenged, holds it, or refuses it;
- the night before its first reward may be paid out: the score lets it pass, freezes its payouts, or blocks it.

Each judgement is kept (:class:`Judgements`), and what becomes known of the account later labels it; that is what the
detector is trained on: at intervals, and as soon as there are twice as many judgements or known frauds among them.
Older accounts have proven themselves.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.core.table import Column, Table, column
from sim.people import NEVER
from sim.risk.detector import FEW, FRAUD, HONEST, UNKNOWN, Detector
from sim.risk.signals import NAMES, Trail, features

if TYPE_CHECKING:
    from sim.offers import Orders
    from sim.risk.casework import Casework
    from sim.shop import Shop

Array = npt.NDArray[Any]


class Moment(IntEnum):
    """When an account is judged."""

    ORDER = 0
    PAYOUT = 1


class Judgements(Table):
    """Judgements in their order."""

    person: Column = column(np.int32)
    tick: Column = column(np.int32)
    moment: Column = column(np.int8)
    score: Column = column(np.float64)
    fair: Column = column(np.bool_)  # whether the score came of labels, and not of this account's own
    signals: Column = column(np.float64, width=len(NAMES))


class Watched(Trail):
    """What the policy notes of each person, one row a row of People; moments in ticks."""

    benefit: Column = column(np.int32, fill=NEVER)  # first asked for
    paid_out: Column = column(np.bool_)  # judged for its payouts
    told: Column = column(np.bool_)  # what comes to light by itself has come


class Policy:
    """Judges accounts and acts; see the module's docstring.

    Parameters
    ----------
    shop : Shop
    casework : Casework

    Attributes
    ----------
    watched : Watched
    judgements : Judgements
    taught : int8 ndarray
        The labels that the detector was last trained with, of the first rows of ``judgements``.
    trained : int
        Tick of the last training.
    """

    def __init__(self, shop: Shop, casework: Casework) -> None:
        config = shop.config.risk
        assert config.detector is not None
        self.shop, self.casework = shop, casework
        self.config, self.detector = config.measures, Detector(config.detector, shop.seed)
        self.watched, self.judgements = Watched(), Judgements()
        self.taught = np.zeros(0, np.int8)
        self.trained = 0
        self._to_hold = np.zeros(0, np.int32)  # persons whose orders of this tick are to be held
        clock = shop.clock
        self._delay = clock.ticks(config.detector.label_delay) if config.detector.label_delay else 0
        self._payout_freeze = clock.ticks(config.payout_freeze)

    def fit(self) -> None:
        """Note everyone who is not noted yet."""
        missing = len(self.shop.people) - len(self.watched)
        if missing > 0:
            self.watched.append(missing)

    # What is seen.

    def note_visits(self, persons: Array) -> None:
        """Note who comes in this tick, each once."""
        self.fit()
        watched = self.watched
        watched.visits[persons] += 1
        watched.before[persons[self.shop.people.first_order[persons] <= NEVER]] += 1
        watched.previous[persons] = watched.latest[persons]
        watched.latest[persons] = self.shop.clock.tick

    def note_benefits(self, persons: Array) -> None:
        """Note who asks for a benefit."""
        fresh = persons[(self.watched.benefit[persons] <= NEVER) & (self.shop.people.joined[persons] >= 0)]
        self.watched.benefit[fresh] = self.shop.clock.tick

    # What is done.

    def screen(self, orders: Orders, flagged: Array) -> Array:
        """Return a mask of the orders that pass; those to be held pass, and are remembered for :meth:`hold`."""
        self.fit()
        passed = np.ones(len(orders), bool)
        self._to_hold = self._to_hold[:0]
        people, person = self.shop.people, orders.person
        benefits = orders.discount.any(axis=1) | (people.first_order[person] <= NEVER)
        judged = benefits & (people.joined[person] >= 0) & ~flagged
        rows = np.flatnonzero(judged)
        if rows.size == 0:
            return passed
        persons = orders.person[rows]
        self.note_benefits(persons)
        score = self._judge(persons, Moment.ORDER, orders.take(rows))
        refused = _reaches(score, self.config.refuse)
        held = _reaches(score, self._threshold_of_holding()) & ~refused
        challenged = np.flatnonzero(_reaches(score, self.config.challenge) & ~held & ~refused)
        passed[rows[refused]] = False
        passed[rows[challenged]] = self.casework.passes_challenge(persons[challenged])
        self._to_hold = persons[held]
        self.casework.hurt(persons[refused])
        return passed

    def _threshold_of_holding(self) -> float | None:
        """Return the score from which on orders are held: another one as long as no label has taught anything."""
        taught = self.detector.has_learnt_from_labels
        return self.config.hold if taught or self.config.hold_untaught is None else self.config.hold_untaught

    def hold(self, orders: Orders) -> None:
        """Hold those of the accepted orders of this tick that are to be."""
        if self._to_hold.size:
            self.casework.hold(orders.row[np.isin(orders.person, self._to_hold)])

    def nightly(self, is_out: bool) -> None:
        """Learn what came to light, train if it is time, and judge accounts before their first payout."""
        self.fit()
        watched, tick = self.watched, self.shop.clock.tick
        asked = np.flatnonzero(watched.benefit > NEVER)
        late = asked[~watched.told[asked] & (watched.benefit[asked] + self._delay <= tick)]
        watched.told[late] = True
        self.casework.come_to_light(late, self.detector.config.label_rate)
        self._train_if_due()
        due = asked[~watched.paid_out[asked] & (watched.benefit[asked] + self._until_payout() <= tick)]
        if is_out:
            return
        watched.paid_out[due] = True
        due = due[~self.casework.cases.flagged[due]]
        if due.size == 0:
            return
        score = self._judge(due, Moment.PAYOUT)
        blocked = _reaches(score, self.config.blacklist)
        self.casework.block(due[blocked])
        self.casework.freeze(due[_reaches(score, self.config.freeze) & ~blocked])

    def _until_payout(self) -> int:
        """Return the ticks from asking for a benefit until the night before a reward for it may be paid out: by the
        shortest freeze of the schemes that pay rewards, none of which is shorter than ``payout_freeze``.
        """
        freezes = [getattr(getattr(scheme, "payouts", None), "freeze", None) for scheme in self.shop.schemes]
        paying = (ticks for ticks in freezes if ticks is not None)
        return max(0, min(paying, default=self._payout_freeze) - self.shop.clock.ticks_a_day)

    def _judge(self, persons: Array, moment: Moment, orders: Orders | None = None) -> Array:
        """Return the scores of accounts, and keep the judgements."""
        bad = np.flatnonzero(self.casework.files.label == FRAUD)
        signals = features(self.shop, self.watched, bad, persons, orders)
        if not self.detector.is_trained and self.taught.size:  # a run that goes on from a checkpoint
            known = slice(self.taught.size)
            self.detector.fit(self.judgements.signals[known], self.taught, self.judgements.person[known])
        score = self.detector.scores(signals)
        taught_by = self.judgements.person[: self.taught.size][self.taught != UNKNOWN]
        tick = self.shop.clock.tick
        self.judgements.append(
            person=persons,
            tick=tick,
            moment=moment,
            score=score,
            fair=self.detector.has_learnt_from_labels & ~np.isin(persons, taught_by),
            signals=signals,
        )
        return score

    def _train_if_due(self) -> None:
        """Train the detector anew, from all judgements so far and what is known of the accounts by now."""
        config, clock, person = self.detector.config, self.shop.clock, self.judgements.person
        label = self.casework.files.label[person]
        frauds = int((label == FRAUD).sum())
        waited = clock.tick - self.trained >= clock.ticks(config.retrain)
        grown = person.size >= 2 * max(self.taught.size, FEW)
        learnt = frauds >= max(config.min_labels, 2 * int((self.taught == FRAUD).sum()))
        if person.size == 0 or not (waited or grown or learnt):
            return
        self.taught = np.where((label == UNKNOWN) & self.watched.told[person], HONEST, label).astype(np.int8)
        self.trained = clock.tick
        self.detector.fit(self.judgements.signals, self.taught, self.judgements.person)


def _reaches(score: Array, threshold: float | None) -> Array:
    """Return which scores reach a threshold; none does if there is none."""
    return np.zeros(score.size, bool) if threshold is None else score >= threshold
