"""Shocks: each moves what it should in the right direction, from its start on and not a bit earlier."""

from functools import cache

import numpy as np
import pytest
from same_state import differences
from worlds import COUPON, REFERRAL, merged, run, scenario

from sim import Scenario, ScenarioError, Shop
from sim.core.ledger import Account
from sim.orders import OPEN
from sim.people import Status

VIP = {
    "kind": "coupon", "name": "vip", "coupon": "member", "member_after": "300d", "amount": 8, "claim_rate": 0.8,
}  # fmt: skip
SCHEMES = (VIP, REFERRAL, COUPON)
WORLD = {
    "people": {"size": 400},
    "kols": {"count": 4, "market": 5000, "post_every": "2d", "click": 0.3},
    "risk": {"accounts_per_device": 2, "invites_per_day": 3},
    "fraud": {"rings": 2, "enter": "1d", "skill": 0, "account_cost": 1},
    "operations": {"capacity": 60, "lead_time": "24h"},
}
START, END = 5, 9  # days
SPELL = {"start": f"{START}d", "length": f"{END - START}d"}
LEAK = {"kind": "leaked_code", "scheme": "vip", "reach": 0.5, **SPELL}
SCANDAL = {"kind": "kol_scandal", "kols": 2, "trust_loss": 0.4, "start": "5d"}
STOCK_OUT = {"kind": "stock_out", "products": 0.4, **SPELL}
HALT = {"kind": "warehouse_halt", **SPELL}
OUTAGE = {"kind": "detector_outage", **SPELL}
RIVAL = {"kind": "rival_subsidy", "discount": 0.3, **SPELL}
ATTACK = {"kind": "attack", "rings": 4, "start": "5d"}
EACH = pytest.mark.parametrize(
    "shock", [LEAK, SCANDAL, STOCK_OUT, HALT, OUTAGE, RIVAL, ATTACK], ids=lambda s: s["kind"]
)
TICKS_A_DAY = 6


def world(*shocks, **sections):
    return scenario(*SCHEMES, shocks=list(shocks), **merged(WORLD, sections))


@cache
def undisturbed():
    return run(*SCHEMES, **WORLD)


@cache
def _disturbed(shock):
    return Shop(world(dict(shock)), rng=1).run()


def disturbed(shock):
    return _disturbed(tuple(shock.items()))


def stepped(shop, ticks):
    for _ in range(ticks):
        shop.step()
    return shop


# What holds for all of them.


@EACH
def test_nothing_differs_before_a_shock_strikes_and_something_does_after(shock):
    before, after = undisturbed().history(), disturbed(shock).history()
    same = (before == after) | (before.isna() & after.isna())
    assert same[:START].all(axis=None)
    assert not same[START:].all(axis=None)


@EACH
def test_shop_goes_on_from_a_checkpoint_within_a_shock_as_if_it_had_never_stopped(shock, tmp_path):
    origin = stepped(Shop(world(shock), rng=3), (START + 1) * TICKS_A_DAY)
    restored = Shop.restore(origin.checkpoint(tmp_path / "now"))
    assert differences(origin, restored) == []
    assert differences(stepped(origin, 6), stepped(restored, 6)) == []


@EACH
def test_fork_may_add_a_shock_and_is_then_the_run_that_had_it_from_the_start(shock):
    fork = stepped(Shop(world(), rng=1), 4 * TICKS_A_DAY).fork(world(shock)).run()
    assert fork.history().equals(disturbed(shock).history())


@EACH
def test_fork_may_leave_a_later_shock_out(shock):
    fork = stepped(Shop(world(shock), rng=1), 4 * TICKS_A_DAY).fork(world()).run()
    assert fork.history().equals(undisturbed().history())


@EACH
def test_money_is_conserved_through_a_shock(shock):
    shop = disturbed(shock)
    is_open = np.isin(shop.book.status, OPEN)
    assert shop.ledger.imbalance() == 0
    assert shop.ledger.balance(Account.ESCROW) == shop.book.worth[is_open].sum()


def test_fork_cannot_change_what_has_struck():
    shop = stepped(Shop(world(ATTACK), rng=1), START * TICKS_A_DAY + 1)
    shop.fork(world(ATTACK, {**HALT, "start": "6d"}))
    for other in (world(), world({**ATTACK, "rings": 5}), world(ATTACK, HALT)):
        with pytest.raises(ScenarioError, match="they have struck already"):
            shop.fork(other)


def test_place_in_the_list_does_not_matter():
    later = {**STOCK_OUT, "start": "7d", "products": 0.2}
    one, other = (
        Shop(world(*shocks), rng=2).run() for shocks in ((STOCK_OUT, later, RIVAL), (RIVAL, later, STOCK_OUT))
    )
    assert one.history().equals(other.history())


# What each does.


def test_attack_lets_further_rings_in_at_its_start():
    shop = stepped(Shop(world(ATTACK, {**ATTACK, "rings": 1, "start": "2d"}), rng=1), START * TICKS_A_DAY)
    has_accounts = lambda: [len(ring.accounts) > 0 for ring in shop.rings]  # noqa: E731
    assert has_accounts() == [True, True, True, False, False, False, False]
    stepped(shop, 1)
    assert all(has_accounts())
    assert disturbed(ATTACK).metrics()["fraud_loss"] > 2 * undisturbed().metrics()["fraud_loss"]


def test_attack_strikes_a_shop_that_had_no_rings():
    shop = Shop(world(ATTACK, fraud={"rings": 0}), rng=1)
    stepped(shop, START * TICKS_A_DAY)
    assert not shop.people.fake.any()
    assert shop.run().people.fake.sum() > 10
    assert set(np.unique(shop.people.ring[shop.people.fake])) == {0, 1, 2, 3}


def test_every_ring_and_the_stated_share_of_persons_hear_of_a_leak_while_it_leaks():
    shop = stepped(Shop(world({**LEAK, "reach": 0.3}), rng=1), START * TICKS_A_DAY)
    everybody = np.arange(len(shop.people))
    hears, fake = shop.shocks.hears_of_leak("vip", everybody), shop.people.fake
    assert hears[fake].all()
    assert fake.any()
    assert hears[~fake].mean() == pytest.approx(0.3, abs=0.07)
    assert not shop.shocks.hears_of_leak("coupon", everybody).any()
    stepped(shop, (END - START) * TICKS_A_DAY)
    assert not shop.shocks.hears_of_leak("vip", everybody).any()


def test_leaked_coupon_is_had_by_those_who_were_not_meant_to_while_it_leaks():
    shop = disturbed({**LEAK, "reach": 0.3})
    claims = shop.schemes[0].wallets.claims
    age = (claims.issued - shop.people.joined[claims.person]) / TICKS_A_DAY
    leaked = age < 300
    assert leaked.sum() > 5
    assert (claims.issued[leaked] >= START * TICKS_A_DAY).all()
    assert (claims.issued[leaked] < END * TICKS_A_DAY).all()
    wider = disturbed({**LEAK, "reach": 1.0}).schemes[0].wallets
    assert wider.issued > shop.schemes[0].wallets.issued > undisturbed().schemes[0].wallets.issued
    assert wider.purses.received.max() == 1  # limits hold


def test_rings_come_for_a_leaked_coupon_that_nothing_else_would_bring_them():
    leak = {**LEAK, "start": "4d", "length": "5d"}
    cheap = {"rings": 2, "enter": "1d", "account_cost": 1, "skill": 0}
    quiet, leaking = (run({**VIP, "amount": 15}, fraud=cheap, shocks=shocks) for shocks in ([], [leak]))
    assert not quiet.people.fake.any()
    joined = leaking.people.joined[leaking.people.fake] // TICKS_A_DAY
    assert joined.size > 5
    assert set(joined) <= {4, 5, 6, 7, 8}
    assert leaking.metrics()["ring_profit"] > 0


@pytest.mark.parametrize("kind", ["newcomer", "code", "gift", "purchase"])
def test_every_coupon_that_is_not_for_all_can_leak(kind):
    nobody = {"dates": ["3d"], "segment": "lapsed", "lapsed_after": "1000d"}
    more = {"code": {"code_known": 0}, "gift": nobody, "purchase": {"order_at_least": 10_000}}.get(kind, {})
    coupon = {"kind": "coupon", "coupon": kind, "amount": 9, **more}
    sections = {"horizon": "4d", "sharing": {"organic": 0}}
    leak = {"kind": "leaked_code", "scheme": "coupon", "reach": 1.0, "start": "2d", "length": "1d"}
    shop = stepped(Shop(scenario(coupon, shocks=[leak], **sections), rng=1), 2 * TICKS_A_DAY)
    meant = shop.schemes[0].wallets.issued
    stepped(shop, TICKS_A_DAY)
    issued = shop.schemes[0].wallets.issued
    assert issued > meant + 10
    assert shop.run().schemes[0].wallets.issued - issued <= meant


def test_scandal_costs_trust_of_followers_and_buyers_and_half_of_it_among_their_friends():
    few = {"market": 500_000, "audience": {"sigma": 0.5}}
    shop = stepped(Shop(world(SCANDAL, fraud={"rings": 0}, kols=few), rng=1), START * TICKS_A_DAY)
    trust, satisfaction = shop.people.trust.copy(), shop.people.satisfaction.copy()
    kols = sorted(shop.kols, key=lambda kol: -kol.audience)[:2]
    hit = np.zeros(len(shop.people), bool)
    for kol in kols:
        hit[kol.followers] = True
        hit[shop.book.person[shop.book.kol == kol.number]] = True
    friends = np.zeros_like(hit)
    for person in np.flatnonzero(hit):
        friends[shop.graph.neighbours(person)] = True
    friends &= ~hit
    assert hit.any()
    assert friends.any()
    assert not (hit | friends).all()
    shop.shocks.strike()
    factor = np.where(hit, 0.6, np.where(friends, 0.8, 1.0))
    assert shop.people.trust == pytest.approx(trust * factor, rel=1e-6)
    assert shop.people.satisfaction == pytest.approx(satisfaction * factor, rel=1e-6)


def test_kols_in_disgrace_post_no_more_and_persuade_nobody():
    shop, quiet = disturbed(SCANDAL), undisturbed()
    gone = {kol.number for kol in sorted(shop.kols, key=lambda kol: -kol.audience)[:2]}
    assert set(shop.shocks.disgraced) == gone
    posts, usual = shop.kols[0]._posts, quiet.kols[0]._posts
    struck = START * TICKS_A_DAY
    assert not np.isin(posts.kol[posts.tick >= struck], list(gone)).any()
    assert np.isin(usual.kol[usual.tick >= struck], list(gone)).any()
    late = (shop.book.tick >= struck) & (shop.book.kol >= 0)
    assert not np.isin(shop.book.kol[late], list(gone)).any()
    assert shop.metrics()["satisfaction"] < quiet.metrics()["satisfaction"]


def test_disgrace_outlasts_a_fork_that_changes_what_kols_are_paid():
    shop = stepped(Shop(world(SCANDAL), rng=1), (START + 1) * TICKS_A_DAY)
    fork = shop.fork(world(SCANDAL, kols={"click": 0.9}))
    assert np.isneginf(fork.kol_click[shop.shocks.disgraced]).all()
    assert np.isfinite(np.delete(fork.kol_click, shop.shocks.disgraced)).all()


def test_stock_out_refuses_orders_for_the_share_of_products_and_nothing_else():
    shop, quiet = disturbed(STOCK_OUT), undisturbed()
    stock = np.ones(10_000, np.int64)
    within = stepped(Shop(world(STOCK_OUT), rng=1), START * TICKS_A_DAY)
    within.shocks.withhold(stock)
    assert (stock == 0).mean() == pytest.approx(0.4, abs=0.02)
    out = np.flatnonzero(stock[: len(shop.products)] == 0)
    sold = shop.book.product[(shop.book.tick >= START * TICKS_A_DAY) & (shop.book.tick < END * TICKS_A_DAY)]
    assert sold.size > 20
    assert not np.isin(sold, out).any()
    assert set(np.flatnonzero(shop.products.short)) <= set(out)
    assert np.isin(shop.book.product[shop.book.tick >= END * TICKS_A_DAY], out).any()
    assert shop.metrics()["stockout_rate"] > 0.03 > quiet.metrics()["stockout_rate"]


def test_wider_stock_out_hits_the_same_products_and_more():
    masks = []
    for share in (0.2, 0.5):
        stock = np.ones(500, np.int64)
        shop = stepped(Shop(world({**STOCK_OUT, "products": share}, people={"size": 50}), rng=1), START * TICKS_A_DAY)
        shop.shocks.withhold(stock)
        masks.append(stock == 0)
    assert (masks[1] >= masks[0]).all()
    assert masks[1].sum() > masks[0].sum() > 0


def test_nothing_leaves_a_halted_warehouse_and_the_earliest_leave_first_afterwards():
    shop, quiet = disturbed(HALT), undisturbed()
    shipped, tick = shop.book.shipped, shop.book.tick
    gone = shipped >= 0
    assert not ((shipped >= START * TICKS_A_DAY) & (shipped < END * TICKS_A_DAY)).any()
    assert ((shipped >= END * TICKS_A_DAY) & gone).any()
    assert (np.diff(shipped[gone][np.argsort(tick[gone], kind="stable")]) >= 0).all()
    assert shop.metrics()["delivery_days"] > quiet.metrics()["delivery_days"] + 0.5
    assert shop.metrics()["satisfaction"] < quiet.metrics()["satisfaction"]


def test_risk_control_that_is_out_refuses_and_flags_nobody():
    sections = {
        "people": {"shared_devices": 0.5}, "sharing": {"organic": 0.03}, "fraud": {"rings": 0},
        "risk": {"accounts_per_device": 1},
    }  # fmt: skip
    names = ["signups_refused", "orders_refused_by_risk", "rewards_refused", "accounts_flagged"]
    usual, out = (Shop(world(*shocks, **sections), rng=1).run().history() for shocks in ((), (OUTAGE,)))
    assert usual[names][START:END].sum().sum() > 0
    assert out[names][START:END].sum().sum() == 0
    assert out[names][END:].sum().sum() > 0
    assert out["new_members"][START:END].sum() > usual["new_members"][START:END].sum()


def test_rivals_discount_lowers_every_option_by_what_it_is_worth_to_each_visitor():
    loyal = {**RIVAL, "visit_elasticity": 0.0}
    shops = [stepped(Shop(world(*shocks), rng=1), START * TICKS_A_DAY) for shocks in ((), (loyal,))]
    for shop in shops:
        shop.keeps_utilities = True
        shop.step()
    usual, tempted = (shop.last_utilities for shop in shops)
    there = np.isfinite(usual) & np.isfinite(tempted)
    gap = usual[there] - tempted[there]
    worth = -np.log1p(-0.3) * shops[0].people.price_sensitivity
    assert gap.size > 10
    assert all(np.abs(worth - g).min() < 1e-4 for g in gap)


def test_rivals_discount_costs_visits_by_the_elasticity_and_orders_beside():
    def orders_and_visits(*shocks):
        shop = Shop(world(*shocks, people={"size": 3000, "members_at_start": 0.9}, fraud={"rings": 0}), rng=1)
        days = stepped(shop, 7 * TICKS_A_DAY).history()[START:7]
        return days["visits"].sum(), days["orders"].sum()

    usual = orders_and_visits()
    loyal = orders_and_visits({**RIVAL, "visit_elasticity": 0.0})
    elastic = orders_and_visits({**RIVAL, "visit_elasticity": 2.0})
    assert loyal[0] == pytest.approx(usual[0], rel=0.03)
    assert loyal[1] < 0.75 * usual[1]
    assert elastic[0] < 0.7 * usual[0]
    assert elastic[1] < loyal[1]


def test_visit_factors_of_overlapping_rivals_multiply_and_end():
    other = {**RIVAL, "discount": 0.5, "start": "6d"}
    shop = stepped(Shop(world(RIVAL, other, people={"size": 50}), rng=1), 6 * TICKS_A_DAY)
    assert shop.shocks.visits == pytest.approx(0.7**0.5 * 0.5**0.5)
    stepped(shop, 3 * TICKS_A_DAY)
    assert shop.shocks.visits == pytest.approx(0.5**0.5)
    stepped(shop, TICKS_A_DAY)
    assert shop.shocks.visits == 1.0


def test_members_stay_members_through_all_shocks_at_once():
    shop = Shop(world(LEAK, SCANDAL, STOCK_OUT, HALT, OUTAGE, RIVAL, ATTACK), rng=1).run()
    assert (shop.people.status == Status.MEMBER).sum() > 50
    assert shop.ledger.imbalance() == 0


@pytest.mark.parametrize(
    ("shock", "key", "value"),
    [
        (ATTACK, "rings", 1), (ATTACK, "start", "7d"),
        (LEAK, "scheme", "coupon"), (LEAK, "reach", 0.1), (LEAK, "start", "6d"), (LEAK, "length", "1d"),
        (SCANDAL, "kols", 1), (SCANDAL, "trust_loss", 0.1), (SCANDAL, "start", "6d"),
        (STOCK_OUT, "products", 0.1), (STOCK_OUT, "start", "6d"), (STOCK_OUT, "length", "1d"),
        (HALT, "start", "7d"), (HALT, "length", "1d"),
        (OUTAGE, "start", "1d"), (OUTAGE, "length", "9d"),
        (RIVAL, "discount", 0.5), (RIVAL, "visit_elasticity", 4.0), (RIVAL, "start", "6d"), (RIVAL, "length", "1d"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else str(value),
)  # fmt: skip
def test_each_key_of_a_shock_moves_something(shock, key, value):
    assert not disturbed(shock).history().equals(disturbed({**shock, key: value}).history())


# What is refused.


@pytest.mark.parametrize(
    ("shock", "message"),
    [
        ({**HALT, "start": "14d"}, "shocks.0.start"),
        ({**ATTACK, "start": "334h"}, "a time up to 332h, when the last tick begins"),
        ({**HALT, "length": "2h"}, "at least the tick of 4h"),
        ({**LEAK, "scheme": "vipp"}, "must be one of vip, coupon"),
        ({**LEAK, "scheme": "referral"}, "must be one of vip, coupon"),
        ({**SCANDAL, "kols": 5}, "at most kols.count, which is 4"),
        ({**STOCK_OUT, "products": 0}, "shocks.0"),
        ({**RIVAL, "discount": "97%"}, "shocks.0"),
        ({"kind": "flood", "start": "1d"}, "flood"),
        ({**ATTACK, "length": "3d"}, "length"),
    ],
)
def test_shock_that_cannot_be_is_refused(shock, message):
    with pytest.raises(ScenarioError, match=message):
        world(shock)


@pytest.mark.parametrize(
    ("shock", "sections", "message"),
    [
        (SCANDAL, {}, "at most kols.count, which is 0"),
        (OUTAGE, {}, "the scenario's risk section sets no control"),
        (LEAK, {}, "a coupon that is not for everyone, and the scenario has none"),
    ],
)
def test_shock_without_anything_to_hit_is_refused(shock, sections, message):
    with pytest.raises(ScenarioError, match=message):
        scenario(shocks=[shock], **sections)


def test_leak_of_a_coupon_that_is_over_is_refused():
    with pytest.raises(ScenarioError, match="must fall into the time in which 'vip' is open"):
        scenario({**VIP, "end": "3d"}, shocks=[LEAK])


def test_scenario_keeps_its_shocks_when_written_and_read():
    given = world(LEAK, SCANDAL, RIVAL, ATTACK)
    again = Scenario.from_dict(given.content() | {"name": "again"})
    assert again.config.shocks == given.config.shocks
