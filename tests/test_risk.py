"""Risk control: what it refuses, what it may know, and how it is scored."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from experiments.report.tables import LABELS
from sim import Scenario, Shop
from sim.core import draws
from sim.core.draws import Stream
from sim.metrics import METRICS
from sim.offers import Orders, Signups, Source
from sim.people import NEVER, Status
from sim.risk import scoring, signals
from sim.risk.controls import rank_within

SMALL = {
    "horizon": "14d",
    "tick": "4h",
    "people": {"size": 300, "members_at_start": "20%", "shared_devices": "0%", "shared_addresses": {"share": "0%"}},
    "catalog": {"merchants": 3, "products": 30, "categories": 3},
}
FARMED = {
    "fraud": {"rings": 3, "enter": "1d", "skill": 0.0},
    "schemes": [{"kind": "referral", "bonus": {"inviter": 10, "invitee": 10, "on": "sign_up"}, "freeze": "3d"}],
}


def shop_of(changes: dict | None = None, seed: int = 1) -> Shop:
    return Shop(Scenario.from_dict(SMALL).override(changes or {}), rng=seed)


def prospects(shop: Shop, number: int) -> np.ndarray:
    return np.flatnonzero(shop.people.status == Status.PROSPECT)[:number].astype(np.int32)


def signups_of(persons: np.ndarray, source: Source = Source.OWN) -> Signups:
    return Signups(persons, np.full(persons.size, -1, np.int32), np.full(persons.size, source, np.int8))


def join(shop: Shop, persons: np.ndarray) -> np.ndarray:
    """Let persons sign up past the feed; return who got in."""
    admitted = persons[shop.risk.admit_signups(signups_of(persons))]
    shop.people.status[admitted] = Status.MEMBER
    shop.people.joined[admitted] = shop.clock.tick
    return admitted


def orders_of(persons: np.ndarray, discount: np.ndarray) -> Orders:
    n = persons.size
    zero = np.zeros(n, np.int64)
    return Orders(
        persons,
        zero,
        zero + 1,
        zero,
        zero - 1,
        zero + 100,
        100 - discount,
        discount[:, None],
        zero,
        zero - 1,
        zero - 1,
        zero - 1,
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), max_size=40))
def test_rank_within_counts_those_of_the_group_that_come_before(pairs: list[tuple[int, float]]) -> None:
    groups = np.array([g for g, _ in pairs], np.int64)
    u = np.array([p for _, p in pairs])
    for g in set(groups.tolist()):
        ranks = rank_within(groups, u)[groups == g]
        assert sorted(ranks.tolist()) == list(range(ranks.size))
        assert (np.diff(u[groups == g][np.argsort(ranks)]) >= 0).all()


def test_what_is_not_configured_is_not_done() -> None:
    shop = shop_of({"risk": {"payout_freeze": "7d"}})
    who = prospects(shop, 20)
    shop.people.device[who] = 3
    assert join(shop, who).size == 20
    assert shop.risk.screen(orders_of(who, np.full(20, 10))).all()
    assert shop.risk.reward_allowed(np.full(20, who[0]), who).all()
    shop.risk.nightly()
    assert not shop.risk.caught(who).any()


@pytest.mark.parametrize("column", ["device", "address"])
def test_limit_on_accounts_counts_those_that_exist_and_those_of_the_same_tick(column: str) -> None:
    shop = shop_of({f"risk.accounts_per_{column}": 3})
    who = prospects(shop, 6)
    member = np.flatnonzero(shop.people.is_member)[0]
    shop.people[column][who] = shop.people[column][member]
    admitted = shop.risk.admit_signups(signups_of(who))
    assert admitted.sum() == 2
    backwards = shop_of({f"risk.accounts_per_{column}": 3})
    backwards.people[column][who] = shop.people[column][member]
    np.testing.assert_array_equal(backwards.risk.admit_signups(signups_of(who[::-1]))[::-1], admitted)
    assert not shop.risk.admit_signups(signups_of(who[~admitted])).any()


@pytest.mark.parametrize("limits", [(2, 3), (2, None), (None, 3)])
def test_there_is_room_for_those_who_come_first_by_lot_and_an_outage_lets_everybody_in(limits, monkeypatch) -> None:
    names = ("device", "address")
    shop = shop_of({f"risk.accounts_per_{name}": limit for name, limit in zip(names, limits, strict=True) if limit})
    people, risk, who = shop.people, shop.risk, prospects(shop, 60)
    for k, name in enumerate(names):
        people[name][who] = 1000 + who % (17 + k)
    u = draws.uniform(shop.seed, Stream.RISK, people.uid[who], 0, shop.clock.tick)
    expected = np.ones(who.size, bool)
    for name, limit in zip(names, limits, strict=True):
        if limit is not None:
            expected &= rank_within(people[name][who], u) < limit
    admitted = risk.admit_signups(signups_of(who))
    np.testing.assert_array_equal(admitted, expected)
    assert 0 < admitted.sum() < who.size
    for tally, name, limit in zip((risk.devices, risk.addresses), names, limits, strict=True):
        there, tried = people[name][who[admitted]], people[name][who]
        np.testing.assert_array_equal(tally.accounts[1000:], np.bincount(there)[1000:][: len(tally) - 1000])
        counted = np.bincount(tried)[1000:] if limit is not None else np.zeros(len(tally) - 1000)
        np.testing.assert_array_equal(tally.tried[1000:], counted)
    np.testing.assert_array_equal(risk.cases.refused[who], ~admitted)
    np.testing.assert_array_equal(risk.cases.caught[who], np.where(admitted, -1, shop.clock.tick))
    assert (risk.cases.attempts[who] == 1).all()
    monkeypatch.setattr(type(shop.shocks), "detector_is_out", property(lambda shocks: True))
    assert risk.admit_signups(signups_of(who[~admitted])).all()


def test_device_that_was_tried_for_too_many_accounts_is_flagged_at_night() -> None:
    shop = shop_of({"risk.accounts_per_device": 2})
    who = prospects(shop, 6)
    shop.people.device[who[:3]] = shop.people.device[who[0]]
    shop.people.device[who[3:5]] = shop.people.device[who[3]]
    admitted = join(shop, who)
    assert not shop.risk.caught(who).any()
    shop.risk.nightly()
    np.testing.assert_array_equal(shop.risk.caught(who), np.isin(who, admitted) & np.isin(who, who[:3]))
    assert admitted.size == 5


def test_rewards_beyond_the_velocity_limit_are_refused_until_the_next_day() -> None:
    shop = shop_of({"risk.invites_per_day": 3})
    members = np.flatnonzero(shop.people.is_member)
    busy, calm = members[0], members[1]
    invitees = prospects(shop, 8)
    inviters = np.array([busy] * 5 + [calm] * 3)
    allowed = shop.risk.reward_allowed(inviters, invitees)
    assert allowed[:5].sum() == 3
    assert allowed[5:].all()
    assert not shop.risk.reward_allowed(np.array([calm]), invitees[:1]).any()
    shop.risk.nightly()
    assert shop.risk.caught(np.array([busy, calm])).tolist() == [True, True]
    other = members[2]
    assert shop.risk.reward_allowed(np.full(3, other), invitees[:3]).all()
    shop.risk.nightly()
    assert not shop.risk.caught(np.array([other])).any()
    assert shop.risk.reward_allowed(np.full(3, other), invitees[:3]).all()


def test_flagged_account_may_buy_but_gets_no_discount_and_no_reward() -> None:
    shop = shop_of({"risk.invites_per_day": 1})
    members = np.flatnonzero(shop.people.is_member)[:3].astype(np.int32)
    shop.risk.reward_allowed(np.full(2, members[0]), prospects(shop, 2))
    shop.risk.nightly()
    pairs = np.repeat(members[:2], 2)
    assert shop.risk.screen(orders_of(pairs, np.array([0, 10, 0, 10]))).tolist() == [True, False, True, True]
    assert shop.risk.reward_allowed(members[1:2], members[:1]).tolist() == [False]


def test_whoever_is_refused_is_disappointed_and_nobody_else() -> None:
    shop = shop_of({"risk.accounts_per_device": 1})
    who = prospects(shop, 3)
    shop.people.device[who[:2]] = shop.people.device[who[0]]
    admitted = shop.risk.admit_signups(signups_of(who))
    assert admitted.tolist().count(False) == 1
    loss = shop.config.operations.disappointment
    np.testing.assert_allclose(shop.people.satisfaction[who], np.where(admitted, 1, 1 - loss), rtol=1e-6)
    assert (np.delete(shop.people.satisfaction, who) == 1).all()


def test_decisions_do_not_look_at_where_a_sign_up_came_from() -> None:
    masks = []
    for source in (Source.OWN, Source.RING):
        shop = shop_of({"risk.accounts_per_device": 2})
        who = prospects(shop, 10)
        shop.people.device[who] = shop.people.device[who[0]]
        masks.append(shop.risk.admit_signups(signups_of(who, source)))
    np.testing.assert_array_equal(*masks)


def test_lying_about_who_is_fake_changes_no_decision_and_no_order() -> None:
    """Knowledge is honest: the run must not depend on the labels at all."""
    controls = {"risk": {"accounts_per_device": 3, "accounts_per_address": 6, "invites_per_day": 4}}
    runs = []
    for lie in (False, True):
        shop = shop_of({**FARMED, **controls})
        while shop.running:
            if lie:
                shop.people.fake[:] = ~shop.people.fake
                shop.people.ring[:] = np.arange(len(shop.people)) % 7
            shop.step()
        runs.append(shop)
    honest, lied = runs
    assert len(honest.people) > 300
    assert honest.risk.totals["signups_refused"] > 0
    assert honest.risk.totals["accounts_flagged"] > 0
    assert honest.risk.totals == lied.risk.totals
    for name in honest.risk.cases:
        np.testing.assert_array_equal(honest.risk.cases[name], lied.risk.cases[name])
    for name in honest.book:
        np.testing.assert_array_equal(honest.book[name], lied.book[name])
    np.testing.assert_array_equal(honest.ledger.balances(), lied.ledger.balances())


# Scoring.


def test_auc_agrees_with_scikit_learn_with_and_without_ties() -> None:
    rng = np.random.default_rng(1)
    for digits in (8, 1, 0):
        score, label = np.round(rng.normal(size=200), digits), rng.random(200) < 0.2
        assert scoring.auc(score, label) == pytest.approx(roc_auc_score(label, score))
    assert math.isnan(scoring.auc(np.ones(3), np.zeros(3, bool)))


def test_scores_are_reckoned_from_who_was_caught_and_who_was_fake() -> None:
    shop = shop_of({"risk.accounts_per_device": 2})
    household = prospects(shop, 3)
    shop.people.device[household] = shop.people.device[household[0]]
    fakes = shop.add_fakes(0, 4, np.array([900, 900, 900, 901]), np.array([900, 900, 900, 901]))
    admitted = join(shop, np.concatenate([household, fakes]).astype(np.int32))
    assert admitted.size == 5
    for _ in range(shop.clock.ticks_a_day):
        shop.clock.advance()
    shop.risk.nightly()
    found = shop.risk.metrics()
    assert found["fraud_accounts"] == 3
    assert found["detection_precision"] == 3 / 6
    assert found["detection_recall"] == 3 / 4
    assert found["detection_delay_days"] == pytest.approx(
        2 / 3
    )  # one was refused at once, two were flagged a day later
    assert found["honest_hit"] == 3
    assert found["false_intercept_rate"] == 1 / 3
    assert (found["signups_refused"], found["accounts_flagged"]) == (2, 4)


def test_suspicion_rises_with_shared_devices_and_with_the_inviters_pace() -> None:
    shop = shop_of()
    who = prospects(shop, 6)
    people = shop.people
    people.joined[who] = 0
    shop.clock.tick = 12
    people.last_visit[who] = 12
    people.device[who[1:3]] = people.device[who[1]]
    people.inviter[who[3:5]] = who[5]
    score = signals.scores(people, shop.clock, who)
    two, three = math.log(2), math.log(3)
    np.testing.assert_allclose(score - score[0], [0, two, two, three, three, three])
    people.last_visit[who[0]] = NEVER
    assert signals.scores(people, shop.clock, who)[0] == score[0] + 1


def test_suspicion_tells_rings_from_honest_newcomers() -> None:
    shop = shop_of({**FARMED, "people.shared_devices": "6%", "sharing.organic": 0.01}).run()
    found = shop.risk.metrics()
    assert found["fraud_accounts"] > 20
    assert found["detection_auc"] > 0.92


# Payment accounts, and age.


def discounted(shop: Shop, persons: np.ndarray) -> np.ndarray:
    """Let persons order with a discount; return who may, and count them among those who have paid."""
    orders = orders_of(persons, np.full(persons.size, 10))
    passed = shop.risk.screen(orders)
    shop.risk.note_orders(orders.take(passed))
    return persons[passed]


def test_no_more_accounts_get_discounts_from_one_payment_account_than_allowed_but_who_paid_once_may_again() -> None:
    shop = shop_of({"risk": {"accounts_per_payment": 2}})
    persons = join(shop, prospects(shop, 6))
    shop.people.payment[persons] = [7, 7, 7, 7, 8, 9]
    assert discounted(shop, persons).tolist() == persons[[0, 1, 4, 5]].tolist()
    assert shop.risk.must_pay_otherwise(persons).tolist() == [False, False, True, True, False, False]
    assert discounted(shop, persons).tolist() == persons[[0, 1, 4, 5]].tolist()
    at_list_price = orders_of(persons[2:4], np.zeros(2, np.int64))
    assert shop.risk.screen(at_list_price).all()
    shop.risk.note_orders(at_list_price)
    assert discounted(shop, persons[2:4]).size == 2  # they pay from there already, at list price


def test_young_accounts_get_no_discount_and_no_reward_but_may_buy() -> None:
    shop = shop_of({"risk": {"account_age": "48h"}})
    persons = join(shop, prospects(shop, 3))
    old = np.flatnonzero(shop.people.is_member & (shop.people.joined < 0))[:3].astype(np.int32)
    assert discounted(shop, persons).size == 0
    assert discounted(shop, old).size == 3
    assert shop.risk.screen(orders_of(persons, np.zeros(3, np.int64))).all()
    assert not shop.risk.reward_allowed(persons, old).any()
    assert shop.risk.reward_allowed(old, persons).all()
    for _ in range(shop.clock.ticks(48)):
        shop.clock.advance()
    assert discounted(shop, persons).size == 3
    assert shop.risk.reward_allowed(persons, old).all()


def test_some_people_pay_from_the_account_of_another_and_second_accounts_from_their_owners() -> None:
    shop = shop_of({"people.shared_payments": 0.25, "people.size": 2000})
    people = shop.people
    assert (people.payment != people.uid).mean() == pytest.approx(0.25, abs=0.03)
    owners = np.array([5, 6], np.int32)
    second = shop.add_second_accounts(owners)
    np.testing.assert_array_equal(people.payment[second], people.payment[owners])


def test_rings_that_are_told_to_pay_otherwise_buy_devices_as_far_as_that_pays() -> None:
    def rings(device_cost: float, limit: int | None) -> tuple[int, int, float]:
        changes = {
            "fraud.rings": 1,
            "fraud.enter": "1d",
            "fraud.devices": 1,
            "fraud.skill": 0.0,
            "fraud.device_cost": device_cost,
        }
        coupon = {"kind": "coupon", "coupon": "newcomer", "amount": 25, "threshold": 60}
        shop = shop_of({**changes, "risk": {"accounts_per_payment": limit}, "schemes": [coupon]}).run()
        (ring,) = shop.rings
        paid = np.unique(shop.book.person[shop.people.fake[shop.book.person]])
        if limit is not None:
            wallets = shop.people.payment[paid[shop.risk.cases.paid[paid]]]
            assert np.bincount(wallets).max() <= limit
        return int((ring.devices.ring == 0).sum()), paid.size, ring.profit

    devices, _, free = rings(1, None)
    assert devices == 1
    more, paid, held = rings(1, 2)
    assert more > 5
    assert paid > 5
    few, paid, kept_out = rings(100, 2)
    assert few == 1
    assert paid <= 2
    assert kept_out < held < free


def test_a_fork_that_limits_payments_knows_who_has_paid_from_where() -> None:
    shop = shop_of({"demand.rate": {"shape": 1.0, "mean": 1.0}})
    for _ in range(12):
        shop.step()
    fork = shop.fork(shop.scenario.override({"risk": {"accounts_per_payment": 1}}))
    payers = np.unique(fork.book.person)
    assert payers.size
    assert fork.risk.cases.paid[payers].all()
    assert fork.risk.payments.accounts.sum() == payers.size


def test_an_address_that_many_shared_before_the_run_is_nobodys_guilt_until_somebody_signs_up_there() -> None:
    shop = shop_of({"risk": {"accounts_per_address": 2}, "people.shared_addresses": {"share": 0.6, "size": 20}})
    members = np.flatnonzero(shop.people.is_member)
    crowded = np.bincount(shop.people.address[members])[shop.people.address[members]] > 2
    assert crowded.any()
    shop.risk.nightly()
    assert not shop.risk.cases.flagged.any()
    at = shop.people.address[members[crowded]][0]
    newcomers = prospects(shop, 2)
    shop.people.address[newcomers] = at
    assert join(shop, newcomers).size == 0
    shop.risk.nightly()
    assert not shop.risk.cases.flagged[members].any()
    metrics = shop.metrics()
    assert metrics["honest_hit"] == 2
    assert metrics["honest_hit_share"] <= 1


def test_who_was_refused_an_order_or_a_reward_alone_is_not_caught_and_the_figures_say_so() -> None:
    shop = shop_of({"risk.account_age": "7d"})
    fake = join(shop, prospects(shop, 4))
    shop.people.fake[fake] = True
    assert not shop.risk.screen(orders_of(fake, np.full(4, 10))).any()
    found = shop.metrics()
    assert found["detection_recall"] == 0
    assert np.isnan(found["detection_precision"])
    for name in ("detection_precision", "detection_recall"):
        said = METRICS[name].formula + LABELS[name]
        assert "refused or caught" not in said
        assert said.count("refused at sign-up") == 2
