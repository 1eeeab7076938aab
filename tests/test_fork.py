"""Forks: other rules from one day on, in the world as it stands; what was promised before stays promised."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from same_state import differences
from test_shop import conserves
from worlds import GROUP_BUY, REFERRAL, merged, scenario

from sim import Scenario, ScenarioError, Shop
from sim.core.ledger import Account
from sim.orders import OrderStatus
from sim.schemes.rewards import RewardState
from sim.schemes.teams import TeamState
from sim.state import written

SMALL = {"people": {"size": 250}, "horizon": "16d", "tick": "8h", "risk": {"accounts_per_device": 3}}
COUPON = {
    "kind": "coupon", "coupon": "general", "amount": 10, "claim_rate": 0.5, "per_person": 3, "valid_for": "5d",
}  # fmt: skip
QUIET = {"kind": "coupon", "name": "quiet", "coupon": "general", "amount": 5, "claim_rate": 0}
DAY = 3  # ticks


@cache
def warmed_up(*schemes, day=6, **sections):
    """Return the state of a small shop on a day."""
    shop = Shop(world(*schemes, **sections), rng=1)
    while shop.clock.day < day:
        shop.step()
    return shop


def warm(*schemes, day=6, **sections):
    """Return a small shop on a day; never stepped, only forked."""
    return warmed_up(*map(Frozen, schemes), day=day, **{name: Frozen(part) for name, part in sections.items()})


class Frozen(dict):
    """A mapping that can be the key of a cache."""

    def __hash__(self):
        return hash(repr(sorted(self.items(), key=repr)))


def world(*schemes, **sections):
    parts = {name: dict(part) if isinstance(part, dict) else part for name, part in sections.items()}
    return scenario(*map(dict, schemes), **merged(SMALL, parts))


def behaves_alike(one, other):
    """Assert that people, orders and money moved alike, whatever schemes stand idle beside them."""
    for table in ("people", "products", "merchant_books"):
        for name in getattr(one, table):
            assert np.array_equal(getattr(one, table)[name], getattr(other, table)[name], equal_nan=True), name
    for name in set(one.book) - {"discount"}:
        assert np.array_equal(one.book[name], other.book[name]), name
    assert (one.ledger._balance == other.ledger._balance).all()
    here, there = one.history(), other.history()
    both = here.columns.intersection(there.columns)
    assert here[both].equals(there[both])
    for history in (here, there):
        assert not history.drop(columns=both).to_numpy().any()  # what only idle schemes count


def owes_what_it_holds(shop):
    """Assert that frozen commission and wallets hold what the rewards and purses of all schemes say."""
    payouts = [scheme.payouts for scheme in shop.schemes if scheme.kind == "referral"]
    frozen = sum(int(p.rewards.amount[p.rewards.state == RewardState.FROZEN].sum()) for p in payouts)
    assert shop.ledger.balance(Account.FROZEN_COMMISSION) == frozen
    assert shop.ledger.balance(Account.WALLETS) == sum(int(p.purses.wallet.sum()) for p in payouts)


def stand_alike(one, other):
    """Return the paths at which two shops differ; counts of a scheme may have been begun on different days, at zero."""
    assert one.history().sort_index(axis=1).equals(other.history().sort_index(axis=1))
    return [path for path in differences(one, other) if "recorder._series: keys" not in path]


# What a fork is.


@pytest.mark.parametrize("scheme", [GROUP_BUY, COUPON, REFERRAL], ids=lambda scheme: scheme["kind"])
def test_a_scheme_that_starts_after_the_fork_day_could_as_well_have_been_planned_from_the_start(scheme):
    planned = world({**scheme, "start": "6d"})
    assert stand_alike(warm().fork(planned).run(), Shop(planned, rng=1).run()) == []


@pytest.mark.parametrize("scheme", [GROUP_BUY, COUPON, REFERRAL], ids=lambda scheme: scheme["kind"])
def test_a_scheme_that_is_left_out_ends_on_the_fork_day(scheme):
    left_out = warm(scheme).fork(world())
    behaves_alike(left_out.run(), Shop(world({**scheme, "end": "6d"}), rng=1).run())


def test_a_campaign_after_the_fork_day_could_as_well_have_been_planned_from_the_start():
    planned = world(GROUP_BUY).override({"calendar": [{"name": "fair", "start": "8d", "end": "10d", "demand": 2}]})
    assert differences(warm(GROUP_BUY).fork(planned).run(), Shop(planned, rng=1).run()) == []


def test_a_scheme_that_a_new_calendar_lists_waits_for_its_campaign():
    listed = [{"name": "fair", "start": "8d", "end": "10d", "schemes": ["coupon"]}]
    fork = warm(COUPON).fork(world(COUPON).override({"calendar": listed})).run()
    issued = np.bincount(fork.schemes[0].wallets.claims.issued // DAY, minlength=16) > 0
    assert issued[:6].any()
    assert issued[8:10].any()
    assert not issued[[6, 7]].any()
    assert not issued[10:].any()


def test_a_campaign_that_runs_on_the_fork_day_counts_at_once_and_ends_in_its_time():
    fork = warm().fork(world().override({"calendar": [{"name": "fair", "start": "4d", "end": "8d", "demand": 2}]}))
    assert fork.operations.demand == 2
    while fork.clock.day < 8:
        fork.step()
    fork.step()
    assert fork.operations.demand == 1
    assert fork.operations.waits.keys() == {("dispatch", 0), ("due", 0)}


def test_a_scheme_that_nobody_uses_changes_nobodys_history():
    behaves_alike(warm(GROUP_BUY).fork(world(GROUP_BUY, QUIET)).run(), warm(GROUP_BUY).fork().run())


def test_a_fork_of_a_fork_goes_on_as_the_first_and_what_was_left_out_stays_out(tmp_path):
    first = warm(GROUP_BUY, COUPON).fork(world(COUPON))
    for _ in range(4):
        first.step()
    second = Shop.restore(first.checkpoint(tmp_path / "fork"))
    assert second.wound_down == {"group_buy": 6 * DAY}
    assert differences(first, second) == []
    assert differences(first.run(), second.run()) == []


def test_the_origin_of_a_fork_and_its_scenario_are_untouched():
    origin = warm(GROUP_BUY)
    before = written(origin)
    warm(GROUP_BUY).fork(world(COUPON, REFERRAL)).run()
    after = written(origin)
    assert before.tree == after.tree
    assert all(values.tobytes() == after.arrays[name].tobytes() for name, values in before.arrays.items())


# Schemes that go on.


def test_a_coupon_that_goes_on_keeps_wallets_and_what_it_has_spent():
    origin = warm(COUPON)
    fork = origin.fork(world({**COUPON, "amount": 20}))
    before, after = origin.schemes[0], fork.schemes[0]
    assert (after.spent, after.used, after.wallets.issued) == (before.spent, before.used, before.wallets.issued)
    live = after.wallets.live
    assert live > 0
    assert after.face == 2000
    fork.run()
    faces = after.wallets.claims.face
    assert set(faces[: before.wallets.issued]) == {1000}
    assert set(faces[before.wallets.issued :]) == {2000}


def test_a_budget_that_is_cut_below_what_was_spent_grants_nothing_more():
    origin = warm(COUPON)
    assert origin.schemes[0].spent > 100
    fork = origin.fork(world({**COUPON, "budget": 1})).run()
    assert fork.schemes[0].wallets.issued == origin.schemes[0].wallets.issued


def test_new_team_terms_hold_from_the_fork_day_and_running_teams_keep_theirs():
    origin = warm(GROUP_BUY)
    fork = origin.fork(world({**GROUP_BUY, "team_size": 4, "discount": 0.4, "window": "48h"})).run()
    opened = len(origin.schemes[0].teams)
    teams = fork.schemes[0].teams
    assert set(teams.size[:opened]) == {2}
    assert set(teams.size[opened:]) == {4}
    assert (teams.deadline[:opened] == origin.schemes[0].teams.deadline).all()
    first = teams.order[opened:]
    share = fork.book.discount[first, 0] / fork.book.worth[first]
    assert share == pytest.approx(np.full(first.size, 0.4), abs=0.01)


def test_who_was_bound_stays_bound_and_earns_by_the_new_rates():
    free = {**REFERRAL, "bonus": {"inviter": 0, "invitee": 0, "on": "first_order"}}
    origin = warm(free, sharing={"word_of_mouth": 0.3, "sign_up": 0.8})
    fork = origin.fork(world({**free, "rates": [0.5]}, sharing={"word_of_mouth": 0.3, "sign_up": 0.8}))
    bound = origin.schemes[0].promoters.standing.bound_to
    assert (bound >= 0).any()
    assert (fork.schemes[0].promoters.standing.bound_to == bound).all()
    fork.run()
    rewards = fork.schemes[0].payouts.rewards
    fresh = np.flatnonzero(rewards.accrued >= 6 * DAY)
    share = rewards.amount[fresh] / fork.book.pay[rewards.order[fresh]]
    assert share == pytest.approx(np.full(fresh.size, 0.5), abs=0.01)


def test_stock_that_teams_keep_is_set_aside_anew_by_new_terms():
    stock = {"stock": {"initial": 400}}
    origin = warm({**GROUP_BUY, "set_aside_units": 100}, catalog=stock)
    fork = origin.fork(world({**GROUP_BUY, "set_aside_units": 5}, catalog=stock))
    fork.step()
    assert fork.products.set_aside.max() <= 5
    assert fork.products.set_aside.any()
    conserves(fork.run())


# Schemes that are left out.


def test_what_is_left_out_earns_and_offers_nothing_more_and_lets_go_of_every_fen():
    trio = {**GROUP_BUY, "team_size": 3, "window": "72h"}
    fork = warm(trio, COUPON, REFERRAL).fork(world(operations={"return_window": "2d"}))
    teams, issued, granted = (
        len(fork.schemes[0].teams), fork.schemes[1].wallets.issued, len(fork.schemes[2].payouts.rewards),
    )  # fmt: skip
    assert (fork.schemes[0].teams.state == TeamState.OPEN).any()
    assert fork.ledger.balance(Account.FROZEN_COMMISSION) > 0
    while fork.running:
        fork.step()
        conserves(fork)
        owes_what_it_holds(fork)
    group_buy, coupon, referral = fork.schemes
    assert (len(group_buy.teams), coupon.wallets.issued, len(referral.payouts.rewards)) == (teams, issued, granted)
    assert not np.isin(group_buy.teams.state, (TeamState.OPEN, TeamState.FAILED)).any()
    assert not (fork.book.status == OrderStatus.WAITING).any()
    assert coupon.wallets.live == 0
    frozen = referral.payouts.rewards.state == RewardState.FROZEN
    assert fork.ledger.balance(Account.FROZEN_COMMISSION) == referral.payouts.rewards.amount[frozen].sum()
    assert not frozen.any()


def test_a_scheme_that_comes_back_goes_on_with_what_it_had():
    without = warm(COUPON).fork(world())
    again = without.fork(world(COUPON))
    assert again.wound_down == {}
    assert again.schemes[0].issues
    assert again.schemes[0].wallets.issued == without.schemes[0].wallets.issued


# Other rules.


def test_controls_that_are_new_know_all_accounts_and_catch_no_one_for_what_nobody_watched():
    farmed = {"fraud": {"rings": 3, "enter": "1d", "skill": 0, "devices": 1}, "risk": {"accounts_per_device": None}}
    origin = warm(REFERRAL, **farmed)
    fork = origin.fork(world(REFERRAL, **merged(farmed, {"risk": {"accounts_per_device": 2}})))
    people = fork.people
    on_device = np.bincount(people.device[people.status != 0])
    assert on_device.max() > 2
    assert np.array_equal(fork.risk.devices.accounts, on_device)
    fork.run()
    assert fork.risk.totals["signups_refused"] > 0
    assert fork.risk.totals["accounts_flagged"] > 0
    joined_later = people.joined >= 6 * DAY
    assert (
        np.bincount(people.device[joined_later], minlength=on_device.size)[: on_device.size][on_device >= 2].sum() == 0
    )


def test_another_recommender_learns_from_the_log_so_far():
    origin = warm(recommendation={"model": "popularity"})
    fork = origin.fork(world(recommendation={"model": "collaborative"}))
    assert type(fork.recommender).__name__ == "Collaborative"
    assert fork.recommender.log.arrays().keys() == origin.recommender.log.arrays().keys()
    assert np.array_equal(fork.recommender.log.tick, origin.recommender.log.tick)
    assert fork.recommender._evidence.weights.shape[0] == np.unique(origin.recommender.log.person).size
    fork.run()


def test_showing_more_by_chance_needs_no_training():
    origin = warm(recommendation={"model": "popularity", "explore": 0.0})
    fork = origin.fork(world(recommendation={"model": "popularity", "explore": 0.5}))
    assert np.array_equal(fork.recommender._stored, origin.recommender._stored)
    assert fork.recommender.config.explore == 0.5


def test_posts_of_kols_who_have_left_are_still_read():
    origin = warm(kols={"count": 5, "post_every": "8h"})
    fork = origin.fork(world(kols={"count": 1, "post_every": "8h"}))
    assert len(fork.kols) == 1
    assert fork.kol_click.tolist() == origin.kol_click.tolist()
    conserves(fork.run())


def test_kols_who_come_on_the_fork_day_post_from_then_on():
    fork = warm().fork(world(kols={"count": 3, "post_every": "1d"})).run()
    assert fork.history()["posts"].to_numpy()[:6].sum() == 0
    assert fork.history()["posts"].to_numpy()[6:].sum() > 0


# What is refused.


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"people.size": 300}, "people.size"),
        ({"people.network": {"kind": "barabasi_albert", "mean_degree": 8}}, "people.network"),
        ({"people.homophily": 0.1}, "people.homophily"),
        ({"catalog.products": 31}, "catalog.products"),
        ({"demand.conversion": 0.1}, "demand.conversion"),
        ({"sharing.click.base": 0.1}, "sharing.click.base"),
        ({"tick": "4h"}, "tick"),
        ({"horizon": "20d"}, "horizon"),
        ({"fraud.rings": 2}, "fraud.rings"),
        ({"kols.audience.median": 10}, "kols.audience.median"),
        ({"operations.return_rate": 0.5}, "operations.return_rate"),
        ({"record.journal": True}, "record.journal"),
        ({"schemes.group_buy.leader": "free"}, "schemes.0.leader"),
        ({"schemes.group_buy.merchant_share": 0.5}, "schemes.0.merchant_share"),
        ({"schemes.group_buy.window": "8h"}, "schemes.0.window"),
        ({"schemes.coupon.valid_for": "1d"}, "schemes.1.valid_for"),
        ({"schemes.coupon.coupon": "code"}, "schemes.1.coupon"),
        ({"schemes.coupon": {**COUPON, "amount": None, "percent": 0.1}}, "schemes.1.amount"),
        ({"schemes.referral.freeze": "8h"}, "schemes.2.freeze"),
        ({"schemes.referral.binding_expires": "8h"}, "schemes.2.binding_expires"),
        ({"schemes": [COUPON, GROUP_BUY, REFERRAL]}, "schemes"),
        ({"schemes": [{**COUPON, "name": "group_buy"}, REFERRAL]}, "schemes.0"),
        ({"schemes": [COUPON, {**QUIET, "end": "3d"}]}, "schemes.1.end"),
        ({"schemes": [{**QUIET, "valid_until": "3d"}]}, "schemes.0.valid_until"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_a_fork_cannot_change_is_refused_with_its_key(changes, path):
    teams = {**GROUP_BUY, "window": "72h"}
    target = world(teams, COUPON, REFERRAL).override(changes)
    with pytest.raises(ScenarioError) as caught:
        warm(teams, COUPON, REFERRAL).fork(target)
    assert any(problem.path.startswith(path) for problem in caught.value.problems), str(caught.value)


def test_rewards_may_not_be_released_before_those_that_are_frozen_already():
    with pytest.raises(ScenarioError, match=r"risk\.payout_freeze: would release later rewards before"):
        warm(REFERRAL, risk={"payout_freeze": "6d"}).fork(world(REFERRAL, risk={"payout_freeze": "4d"}))
    warm(REFERRAL, risk={"payout_freeze": "2d"}).fork(world(REFERRAL))  # the scheme's own freeze is longer


def test_promises_may_get_longer():
    longer = {**GROUP_BUY, "window": "48h"}, {**COUPON, "valid_for": "9d"}, {**REFERRAL, "freeze": "5d"}
    conserves(warm(GROUP_BUY, COUPON, REFERRAL).fork(world(*longer)).run())


def test_a_scheme_under_another_name_begins_afresh_beside_the_old_one():
    quick = {**GROUP_BUY, "name": "quick", "window": "8h", "leader": "free"}
    fork = warm(GROUP_BUY).fork(world(quick)).run()
    old, new = fork.schemes
    assert not old.is_open
    assert old.teams.opened.max() < 6 * DAY <= new.teams.opened.min()
    conserves(fork)


def test_sources_of_schemes_do_not_stand_in_the_way_of_those_that_wind_down():
    target = world(REFERRAL).override({"sources": {"schemes.0.rates": "the contract of May"}})
    fork = warm(GROUP_BUY, COUPON).fork(target)
    assert [scheme.name for scheme in fork.schemes] == ["group_buy", "coupon", "referral"]


def test_names_questions_and_guardrails_are_no_part_of_the_world():
    other = Scenario.from_dict(
        {**world(GROUP_BUY).content(), "name": "other", "guardrails": [{"metric": "gmv", "min": 0}]}
    )
    fork = warm(GROUP_BUY).fork(other)
    assert fork.scenario.name == "other"
    behaves_alike(fork.run(), warm(GROUP_BUY).fork().run())


SCHEMES = {
    "group_buy": GROUP_BUY,
    "trio": merged(GROUP_BUY, {"name": "trio", "team_size": 3, "leader": "rebate", "leader_rate": 0.1, "budget": 300}),
    "coupon": merged(COUPON, {"budget": 200}),
    "percent": {"kind": "coupon", "name": "percent", "percent": 0.3, "cap": 15, "valid_for": "3d", "merchant_share": 1},
    "packet": {"kind": "coupon", "name": "packet", "coupon": "purchase", "fission": {"total": 10, "helpers": 2}},
    "referral": REFERRAL,
}


@given(
    before=st.sets(st.sampled_from(sorted(SCHEMES)), max_size=4),
    after=st.sets(st.sampled_from(sorted(SCHEMES)), max_size=4),
    day=st.integers(1, 8),
    rings=st.integers(0, 1),
)
@settings(max_examples=12)
def test_money_is_conserved_whatever_schemes_come_stay_and_go(before, after, day, rings):
    sections = {"people": {"size": 120}, "horizon": "12d", "fraud": {"rings": rings, "enter": "1d"}}
    names = sorted(before) + sorted(after - before)
    start, target = (world(*(SCHEMES[name] for name in chosen), **sections) for chosen in (
        sorted(before), [name for name in names if name in after],
    ))  # fmt: skip
    shop = Shop(start, rng=day)
    while shop.clock.day < day:
        shop.step()
    fork = shop.fork(target)
    assert (fork.ledger._balance == shop.ledger._balance).all()
    while fork.running:
        fork.step()
        conserves(fork)
        owes_what_it_holds(fork)
