"""The learned detector: what it may know, what it does with it, and what a run keeps of it."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from sim import Scenario, Shop
from sim.core.config import Section
from sim.orders import OrderStatus
from sim.people import Status
from sim.risk import detector as detectors
from sim.risk.casework import Casework
from sim.risk.desk import CaseKind, Verdict
from sim.risk.detector import FRAUD, HONEST, UNKNOWN, Detector
from sim.risk.signals import NAMES, features
from sim.scenario import ScenarioError
from sim.scenario.risk import DetectorConfig
from sim.schemes.rewards import RewardState

WORLD = {
    "horizon": "40d",
    "tick": "4h",
    "people": {"size": 800, "members_at_start": "30%"},
    "demand": {"rate": {"shape": 1.0, "mean": 0.6}, "conversion": "15%"},
    "catalog": {"merchants": 3, "products": 40, "categories": 3, "price": {"median": 60, "sigma": 0.8}},
    "sharing": {"organic": 0.01},
    "fraud": {"rings": 6, "enter": "25d", "capacity": 40, "device_cost": 1, "identity_cost": 1, "effort": 1},
    "risk": {"detector": {"label_delay": "7d"}, "review": {"analysts": 2}, "appeals": {}, "payout_freeze": "7d"},
    "schemes": [
        {"kind": "coupon", "coupon": "newcomer", "amount": 20, "threshold": 60},
        {"kind": "referral", "bonus": {"inviter": 9, "invitee": 9, "on": "first_order"}, "freeze": "0d"},
    ],
}


def shop_of(changes: dict | None = None, seed: int = 1) -> Shop:
    return Shop(Scenario.from_dict(WORLD).override(changes or {}), rng=seed)


@cache
def whole() -> Shop:
    return shop_of().run()


def index(name: str) -> int:
    return NAMES.index(name)


# Learning.


def told_apart(rows: int = 300, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = (rng.random(rows) < 0.15).astype(np.int8)
    signals = rng.normal(size=(rows, len(NAMES)))
    signals[:, [index("on_device"), index("silence")]] += 2.0 * labels[:, None]
    return signals, labels


def test_without_labels_the_forest_finds_who_is_set_apart_in_the_suspicious_direction() -> None:
    signals, _ = told_apart()
    signals[:5, :4] = 6.0
    signals[5:10, index("visits_after")] = 8.0  # who comes often is rare, but not suspicious
    learner = Detector(DetectorConfig(), 1)
    learner.fit(signals, np.full(len(signals), UNKNOWN, np.int8), np.arange(len(signals)))
    scores = learner.scores(signals)
    assert not learner.has_learnt_from_labels
    assert scores[:5].min() > 0.95
    assert scores[5:10].mean() < 0.8


def test_labels_teach_what_the_forest_alone_does_not_see() -> None:
    signals, labels = told_apart()
    fresh, truth = told_apart(seed=2)
    scores = []
    for known in (np.full(300, UNKNOWN, np.int8), labels):
        learner = Detector(DetectorConfig(trees=100), 1)
        learner.fit(signals, known, np.arange(len(signals)))
        scores.append(learner.scores(fresh))
    alone, taught = (float(np.mean(s[truth == 1][:, None] > s[truth == 0][None])) for s in scores)
    assert 0.6 < alone < taught
    assert taught > 0.85


def test_no_model_tells_of_an_account_from_which_it_has_learnt() -> None:
    rng = np.random.default_rng(2)
    account = np.repeat(np.arange(150), 4)  # each judged four times, with signals that mean nothing
    signals, labels = rng.normal(size=(150, 5))[account], (rng.random(150) < 0.3).astype(np.int8)[account]
    learner = Detector(DetectorConfig(trees=30), 1)
    by_account = roc_auc_score(labels, learner._boost(signals, labels, account))
    by_row = roc_auc_score(labels, learner._boost(signals, labels, np.arange(labels.size)))
    assert by_account < 0.65
    assert by_row > 0.9


def test_scores_are_shares_of_those_presumed_honest() -> None:
    signals, labels = told_apart(2000)
    fresh, truth = told_apart(2000, seed=2)
    learner = Detector(DetectorConfig(), 1)
    learner.fit(signals, labels, np.arange(len(signals)))
    assert learner.has_learnt_from_labels
    honest = learner.scores(fresh[truth == HONEST])
    for threshold in (0.7, 0.9, 0.97):
        assert (honest >= threshold).mean() == pytest.approx(1 - threshold, abs=0.04)


def test_too_few_known_frauds_leave_it_to_the_forest() -> None:
    signals, labels = told_apart()
    labels[np.flatnonzero(labels)[7:]] = UNKNOWN
    learner = Detector(DetectorConfig(min_labels=8), 1)
    learner.fit(signals, labels, np.arange(len(signals)))
    assert not learner.has_learnt_from_labels
    learner = Detector(DetectorConfig(min_labels=7), 1)
    learner.fit(signals, labels, np.arange(len(signals)))
    assert learner.has_learnt_from_labels


def test_same_data_give_the_same_bits() -> None:
    signals, labels = told_apart()
    scores = []
    for _ in range(2):
        learner = Detector(DetectorConfig(), 7)
        learner.fit(signals, labels, np.arange(len(signals)))
        scores.append(learner.scores(signals))
    np.testing.assert_array_equal(*scores)


def test_path_lengths_order_accounts_as_the_library_does() -> None:
    from sklearn.ensemble import IsolationForest

    signals, labels = told_apart()
    learner = Detector(DetectorConfig(trees=50), 3)
    learner.fit(signals, np.full(labels.size, UNKNOWN, np.int8), np.arange(labels.size))
    excess = learner._excess(signals)
    theirs = -IsolationForest(n_estimators=50, random_state=3).fit(excess).score_samples(excess)
    np.testing.assert_array_equal(np.argsort(np.argsort(theirs)), np.argsort(np.argsort(learner._isolation(signals))))


# Signals.


def test_signals_tell_of_places_inviters_and_behaviour() -> None:
    shop = shop_of()
    people, policy = shop.people, shop.risk.policy
    assert policy is not None
    policy.fit()
    who = np.flatnonzero(people.status == Status.PROSPECT)[:6]
    people.joined[who] = 0
    people.device[who] = people.address[who] = 100_000 + who
    people.device[who[:3]] = people.device[who[0]]
    people.inviter[who[1:4]] = who[5]
    shop.clock.tick = 12
    people.last_visit[who] = 12
    policy.watched.visits[who[4]], policy.watched.before[who[4]] = 5, 2
    policy.watched.latest[who] = 6
    table = dict(zip(NAMES, features(shop, policy.watched, who[:1], who, None).T, strict=True))
    np.testing.assert_allclose(table["on_device"], np.log([3, 3, 3, 1, 1, 1]))
    np.testing.assert_allclose(table["inviter_breadth"], np.log([1, 3, 3, 3, 1, 1]))
    np.testing.assert_allclose(table["breadth"], np.log([1, 1, 1, 1, 1, 4]))
    np.testing.assert_allclose(table["depth"], [0, 1, 1, 1, 0, 0])
    np.testing.assert_allclose(table["shared_ties"], np.log([1, 2, 2, 1, 1, 1]))
    np.testing.assert_allclose(table["bad_neighbours"], np.log([1, 2, 2, 1, 1, 1]))
    np.testing.assert_allclose(table["core"], [1, 1, 1, 0, 0, 0])
    np.testing.assert_allclose(table["component"], np.log([6, 6, 6, 6, 1, 6]))
    np.testing.assert_allclose(table["density"], [1 / 6, 1 / 6, 1 / 6, 1 / 6, 0, 1 / 6])
    np.testing.assert_allclose(table["visits_after"], np.log([1, 1, 1, 1, 4, 1]))
    np.testing.assert_allclose(table["silence"], np.log([2] * 6))
    assert (table["hours_to_order"] == -1).all()


def test_a_run_without_a_detector_keeps_nothing_for_one() -> None:
    shop = shop_of({"risk": {"payout_freeze": "7d"}})
    assert shop.risk.policy is None
    assert shop.risk.casework is None
    assert not shop.risk.is_active


@pytest.mark.parametrize(
    ("control", "freezes", "days"), [("0d", ("9d", "4d"), 3), ("6d", ("9d", "4d"), 5), ("2d", (), 1)]
)
def test_accounts_are_judged_the_night_before_their_first_reward_may_be_paid_out(control, freezes, days) -> None:
    """That is by the shortest freeze of the schemes that pay, or that of risk control if it is longer."""
    bonus = {"inviter": 9, "on": "first_order"}
    schemes = [{"kind": "referral", "name": f"r{n}", "bonus": bonus, "freeze": freezes[n]} for n in range(len(freezes))]
    shop = shop_of({"schemes": schemes, "risk.payout_freeze": control})
    policy = shop.risk.policy
    shop.risk._fit()
    policy.fit()
    member = np.flatnonzero(shop.people.is_member)[0]
    policy.watched.benefit[member] = 0
    for night in range(1, 8):
        shop.clock.tick = night * shop.clock.ticks_a_day
        policy.nightly(is_out=False)
        assert policy.watched.paid_out[member] == (night >= days)


# Knowledge.


def test_lying_about_who_is_fake_changes_no_decision_as_long_as_nobody_finds_out(monkeypatch) -> None:
    """The same labels arrive in both runs; all else that is decided must not depend on the truth."""

    def hearsay(self: Casework, persons: np.ndarray) -> np.ndarray:
        return self.shop.people.uid[persons] % 5 == 0

    monkeypatch.setattr(Casework, "_investigate", hearsay)
    runs = []
    for lie in (False, True):
        shop = shop_of({"horizon": "25d"})
        while shop.running:
            if lie:
                shop.people.fraud[:] = np.where(shop.people.fraud > 0, 0, 1)
                shop.people.fake[:] = ~shop.people.fake
            shop.step()
        runs.append(shop)
    honest, lied = runs
    assert honest.risk.policy.detector.has_learnt_from_labels
    for table in ("judgements", "watched"):
        ours, theirs = getattr(honest.risk.policy, table), getattr(lied.risk.policy, table)
        for name in ours:
            np.testing.assert_array_equal(ours[name], theirs[name])
    assert honest.risk.casework.totals == lied.risk.casework.totals
    np.testing.assert_array_equal(honest.ledger.balances(), lied.ledger.balances())


def test_nobody_is_suspected_before_there_was_anything_to_learn_from() -> None:
    judgements = whole().risk.policy.judgements
    assert (judgements.score[judgements.tick == judgements.tick[0]] == 0).all()
    assert (judgements.score > 0.5).any()


def test_no_one_is_judged_after_the_desk_has_blocked_them() -> None:
    """A judgement that knew the verdict would flatter the detector."""
    shop = whole()
    judgements, cases = shop.risk.policy.judgements, shop.risk.casework.desk.cases
    confirmed = np.flatnonzero(cases.verdict == Verdict.CONFIRMED)
    when = dict(zip(cases.person[confirmed].tolist(), cases.finished[confirmed].tolist(), strict=True))
    hours = judgements.tick * shop.clock.tick_hours
    late = [hour > when.get(person, np.inf) + 24 for person, hour in zip(judgements.person, hours, strict=True)]
    appealed = shop.risk.casework.files.appealed[judgements.person]
    assert confirmed.size > 5
    assert not (np.array(late) & ~appealed).any()


def test_the_auc_is_of_accounts_whose_own_labels_had_taught_nothing() -> None:
    shop = whole()
    judgements, told = shop.risk.policy.judgements, dict.fromkeys(range(len(shop.people)), np.inf)
    cases = shop.risk.casework.desk.cases
    for person, hour in zip(cases.person.tolist(), cases.finished.tolist(), strict=True):
        told[person] = min(told[person], hour)
    again = np.flatnonzero(judgements.moment == 1)
    early = np.array([told[p] + 24 < t * shop.clock.tick_hours for p, t in zip(
        judgements.person[again].tolist(), judgements.tick[again].tolist(), strict=True
    )])  # fmt: skip
    learnt = judgements.tick[again] <= shop.risk.policy.trained
    assert judgements.fair.any()
    assert not judgements.fair[again][early & learnt].all()
    assert not judgements.fair[~np.isfinite(judgements.score)].any()


def test_whom_a_chargeback_has_proven_no_review_clears() -> None:
    shop = shop_of()
    risk = shop.risk
    risk._fit()
    fakes = shop.add_fakes(0, 300, np.arange(300) + 90_000, np.arange(300) + 90_000)
    risk._fit()
    risk.casework.come_to_light(fakes, 1.0)
    risk.casework.desk.submit(fakes, CaseKind.PAYOUT)
    shop.clock.environment.run(until=400)
    verdicts = risk.casework.desk.cases.verdict[:300]
    assert (verdicts == Verdict.CLEARED).any()  # the desk errs
    assert (risk.casework.files.label[fakes] == FRAUD).all()
    assert risk.cases.flagged[fakes[verdicts != Verdict.OPEN]].all()


# Acting.


def test_a_cancelled_order_of_an_honest_person_is_a_false_intercept() -> None:
    shop = whole()
    book, cases = shop.book, shop.risk.casework.desk.cases
    honest = ~shop.people.fake
    of_order = (cases.kind == CaseKind.ORDER) & honest[cases.person]
    metrics = shop.metrics()
    assert metrics["false_hold_rate"] == of_order.sum() / honest[book.person].sum() > 0
    totals = shop.risk.totals
    refused = totals["signups_refused"] + totals["orders_refused_by_risk"] + totals["rewards_refused"]
    assert shop.risk.cases.refused.sum() == refused + shop.risk.casework.totals["orders_cancelled"]


def test_held_orders_do_not_ship_before_the_desk_has_decided_and_confirmed_ones_are_cancelled() -> None:
    shop = whole()
    casework, book = shop.risk.casework, shop.book
    cases = casework.desk.cases
    orders = np.flatnonzero((cases.kind == CaseKind.ORDER) & (cases.verdict != Verdict.OPEN))
    assert orders.size > 10
    row, finished = cases.ref[orders], cases.finished[orders]
    shipped = book.shipped[row] >= 0
    assert (book.shipped[row][shipped] * shop.clock.tick_hours >= finished[shipped] - shop.clock.tick_hours).all()
    cleared = cases.verdict[orders] == Verdict.CLEARED
    assert cleared.any()
    assert not (shipped & ~cleared).any()
    assert (book.status[row[~cleared]] == OrderStatus.REFUNDED).any()
    assert casework.totals["orders_cancelled"] == (book.status[row[~cleared]] == OrderStatus.REFUNDED).sum()


def test_payouts_wait_for_the_desk_and_are_cancelled_for_those_whom_it_blocks() -> None:
    shop = shop_of({"risk.policy": {"freeze": 0.0, "challenge": None, "hold": None, "refuse": None, "blacklist": None}})
    rewards = shop.schemes[1].payouts.rewards
    while shop.running:
        shop.step()
        under = np.flatnonzero(shop.risk.casework.files.under_review)
        released = (
            np.isin(rewards.person, under)
            & (rewards.state == RewardState.RELEASED)
            & (rewards.due == shop.clock.tick - 1)
        )
        assert not released.any()
    cases = shop.risk.casework.desk.cases
    assert (cases.kind == CaseKind.PAYOUT).sum() > 20
    blocked = np.full(len(shop.people), np.inf)  # hours
    confirmed = cases.verdict == Verdict.CONFIRMED
    blocked[cases.person[confirmed]] = cases.finished[confirmed]
    blocked[cases.person[(cases.kind == CaseKind.APPEAL) & (cases.verdict == Verdict.CLEARED)]] = np.inf
    due = rewards.due * shop.clock.tick_hours > blocked[rewards.person] + 24
    due &= rewards.due < shop.clock.tick
    assert (rewards.state[due] == RewardState.CANCELLED).sum() > 5
    final = (rewards.order < 0) | (shop.book.status[rewards.order] >= OrderStatus.CONFIRMED)
    assert (rewards.state[due & final] == RewardState.CANCELLED).all()  # commissions wait until no return is possible


def test_blocked_account_bars_its_device_loses_trust_and_an_appeal_that_is_granted_restores_part() -> None:
    shop = shop_of({"risk.appeals": {"rate": 1.0, "restored": 0.5}, "risk.policy": {"churn": 0.0, "trust_loss": 0.4}})
    risk, people = shop.risk, shop.people
    who = np.flatnonzero(people.is_member)[:40]
    mate = np.flatnonzero(people.status == Status.PROSPECT)[:40]
    people.device[who], people.device[mate] = 200_000 + np.arange(40), 200_000 + np.arange(40)
    before, content = people.trust[who].copy(), people.satisfaction[who].copy()
    risk._fit()
    risk.casework.block(who)
    np.testing.assert_allclose(people.trust[who], 0.6 * before, rtol=1e-5)
    assert (people.satisfaction[who] < content).all()
    assert risk.casework.bars(mate).all()
    assert risk.casework.desk.cases.kind[:40].tolist() == [CaseKind.APPEAL] * 40
    shop.clock.environment.run(until=100)
    granted = risk.casework.desk.cases.verdict[:40] == Verdict.CLEARED
    assert 30 < granted.sum() <= 40
    np.testing.assert_array_equal(risk.caught(who), ~granted)
    np.testing.assert_array_equal(risk.casework.bars(mate), ~granted)
    np.testing.assert_allclose(people.trust[who[granted]], 0.8 * before[granted], rtol=1e-5)


def test_challenge_is_passed_by_the_patient_and_by_fakes_as_far_as_their_skill_goes() -> None:
    shop = shop_of({"fraud.skill": 0.3, "risk.policy": {"impatience": 0.2}})
    honest = np.arange(800)
    fakes = shop.add_fakes(0, 2000, np.full(2000, 900), np.full(2000, 900))
    casework = shop.risk.casework
    assert casework.passes_challenge(honest).mean() == pytest.approx(0.8, abs=0.05)
    assert casework.passes_challenge(fakes).mean() == pytest.approx(0.8 * 0.3, abs=0.03)


@pytest.mark.parametrize(
    "risk", [{"policy": {"hold": 0.9}}, {"detector": {}}, {"appeals": {}}], ids=["policy", "hold", "appeals"]
)
def test_what_nobody_would_decide_is_refused(risk: dict) -> None:
    with pytest.raises(ScenarioError):
        shop_of({"risk": risk})


def test_detector_needs_no_desk_if_nothing_waits_for_one() -> None:
    changes = {"risk": {"detector": {}, "policy": {"hold": None, "freeze": None}}, "horizon": "12d"}
    shop = shop_of(changes).run()
    assert len(shop.risk.policy.judgements) > 20
    assert isinstance(shop.config.risk, Section)


# Going on.


def test_a_fork_without_a_desk_lets_go_what_waited_for_it() -> None:
    shop = shop_of({"horizon": "20d", "risk.policy": {"hold": 0.0, "freeze": 0.0}})
    while shop.clock.day < 12 or shop.risk.casework.held.size == 0:
        shop.step()
    held = shop.risk.casework.held
    risk = {"detector": {"label_delay": "7d"}, "policy": {"hold": None, "freeze": None}, "payout_freeze": "7d"}
    closed = shop.fork(shop.scenario.override({"risk": risk})).run()
    waits = closed.book.status[held] == OrderStatus.PAID
    assert not waits.any()
    assert not closed.risk.withholds(np.arange(len(closed.people))).any()


def test_a_run_goes_on_from_a_checkpoint_with_the_model_that_it_had(tmp_path: Path, monkeypatch) -> None:
    shop = shop_of({"horizon": "30d"})
    while shop.clock.day < 18:
        shop.step()
    assert shop.risk.policy.detector.is_trained
    shop.checkpoint(tmp_path / "kept")
    other = Shop.restore(tmp_path / "kept")
    shop.run()
    other.run()
    np.testing.assert_array_equal(shop.risk.policy.judgements.score, other.risk.policy.judgements.score)
    np.testing.assert_array_equal(shop.ledger.balances(), other.ledger.balances())
    assert (shop.risk.policy.taught == FRAUD).sum() > detectors.FEW


def test_a_fork_may_begin_or_end_watching() -> None:
    shop = shop_of({"horizon": "20d"})
    while shop.clock.day < 8:
        shop.step()
    unguarded = shop.fork(shop.scenario.override({"risk": {"payout_freeze": "7d"}}))
    assert unguarded.run().risk.policy is None
    again = unguarded = shop_of({"horizon": "20d", "risk": {"payout_freeze": "7d"}})
    while unguarded.clock.day < 8:
        unguarded.step()
    again = unguarded.fork(unguarded.scenario.override({"risk": WORLD["risk"]}))
    assert len(again.run().risk.policy.judgements) > 0
