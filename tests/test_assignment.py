"""An experiment inside the shop: schemes reach the treated, only them, and nothing else changes."""

import numpy as np
import pandas as pd
import pytest

from experiments.outcome import observe
from sim import Shop
from sim.assignment import Assignment
from sim.orders import OrderStatus
from tests.worlds import COUPON, GROUP_BUY, REFERRAL, scenario

SHORT = {
    "horizon": "8d",
    "people": {"size": 300},
    "sharing": {"word_of_mouth": 1.0, "after_order": 0.9, "sign_up": 0.9, "click": {"base": 0.3}},
}
NEWCOMER = {**COUPON, "threshold": 1}
GENERAL = {"kind": "coupon", "coupon": "general", "amount": 8, "threshold": 10, "claim_rate": 0.9}
PACKET = {
    "kind": "coupon", "coupon": "purchase", "order_at_least": 1, "claim_rate": 1.0,
    "fission": {"helpers": 1, "total": 20, "window": "3d"},
}  # fmt: skip
EVERY_KIND = pytest.mark.parametrize("scheme", [NEWCOMER, GENERAL, PACKET, GROUP_BUY, REFERRAL])


def trial(scheme, *, seed=1, merchants=None, ticks=None, persons=None, **sections):
    """Run a small shop with a scheme that is tried on some; None as everywhere: no restriction."""
    shop = Shop(scenario(scheme, **{**SHORT, **sections}), rng=seed)
    Assignment(persons=persons, merchants=merchants, ticks=ticks).lay_on(shop, [shop.schemes[0].name])
    return shop.run()


def everything(shop):
    """Return all that a run leaves behind, but the scheme's own book-keeping."""
    run = observe(shop, 0.0)
    return {name: run.tables[name] for name in ("people", "history", "ledger")}


def half(shop_or_count, seed=0):
    return np.random.default_rng(seed).random(shop_or_count) < 0.5


@EVERY_KIND
def test_treating_everybody_is_the_scheme_itself(scheme):
    plain = Shop(scenario(scheme, **SHORT), rng=1).run()
    treated = trial(scheme, persons=np.ones(300, bool), merchants=np.ones(4, bool), ticks=np.ones(48, bool))
    for name, table in everything(plain).items():
        pd.testing.assert_frame_equal(table, everything(treated)[name])


@EVERY_KIND
@pytest.mark.parametrize("nobody", [{"persons": np.zeros(300, bool)}, {"ticks": np.zeros(48, bool)}])
def test_treating_nobody_is_the_shop_without_the_scheme(scheme, nobody):
    none = everything(Shop(scenario(**SHORT), rng=1).run())
    untreated = everything(trial(scheme, **nobody))
    for name in ("people", "ledger"):
        pd.testing.assert_frame_equal(none[name], untreated[name], check_dtype=False, check_categorical=False)


@pytest.mark.parametrize("scheme", [NEWCOMER, GENERAL, PACKET, GROUP_BUY])
def test_only_treated_persons_get_anything_out_of_coupons_and_teams(scheme):
    treated = half(300)
    shop = trial(scheme, persons=treated)
    benefit = shop.people.benefit[:300]
    assert benefit[treated].sum() > 0
    assert (benefit[~treated] == 0).all()


def test_only_treated_merchants_products_are_sold_below_list_price():
    merchants = np.array([True, False, True, False])
    for scheme in (GENERAL, GROUP_BUY):
        shop = trial(scheme, merchants=merchants)
        discounted = shop.book.discount.sum(axis=1) > 0
        assert discounted.any()
        assert merchants[shop.book.merchant[discounted]].all()


def test_referral_rewards_go_to_treated_inviters_and_to_whom_they_invited():
    treated = half(300)
    shop = trial(REFERRAL, persons=treated)
    rewards = shop.schemes[0].payouts.rewards
    invitee_bonus = rewards.kind == 1
    assert invitee_bonus.any()
    assert treated[rewards.person[~invitee_bonus]].all()
    assert treated[shop.people.inviter[rewards.person[invitee_bonus]]].all()
    assert not treated[rewards.person[invitee_bonus]].all(), "an invitee's own treatment must not matter"


def test_a_newcomer_coupon_is_promised_only_to_recipients_who_would_get_it():
    treated = half(300)
    shop = Shop(scenario(COUPON, **SHORT), rng=1)
    Assignment(persons=treated).lay_on(shop, ["coupon"])
    while not shop.feed.is_busy:
        shop.step()
    for _ in range(6):
        shop.step()
    pending = shop.feed.table()
    assert len(pending)
    promised = pending.gift.max()
    assert 0 < promised <= 10
    np.testing.assert_allclose(pending.gift, np.where(treated[pending.recipient], promised, 0.0), atol=1e-6)


def test_a_switchback_honours_coupons_but_issues_none_while_it_is_off():
    ticks = np.arange(48) < 24
    shop = trial(GENERAL, ticks=ticks)
    claims, book = shop.schemes[0].wallets.claims, shop.book
    assert (claims.issued < 24).all()
    used = book.tick[book.discount[:, 0] > 0]
    assert (used >= 24).any()


def test_a_switchback_opens_no_team_while_it_is_off_and_running_teams_keep_their_deadline():
    ticks = np.arange(48) < 24
    shop = trial(GROUP_BUY, ticks=ticks)
    teams = shop.schemes[0].teams
    assert (teams.opened < 24).all()
    assert teams.deadline.max() >= 24
    assert not (shop.book.status == OrderStatus.WAITING).any()


def test_accounts_opened_later_are_treated_with_the_share():
    shop = Shop(scenario(REFERRAL, **SHORT), rng=1)
    Assignment(persons=np.zeros(300, bool), share=0.5, seed=3).lay_on(shop, ["referral"])
    rows = shop.add_fakes(0, 400, np.zeros(400, np.int32), np.zeros(400, np.int32))
    admitted = shop.schemes[0].admits(rows)
    assert abs(admitted.mean() - 0.5) < 4 * 0.5 / 20
    np.testing.assert_array_equal(shop.schemes[0].admits(rows[::-1]), admitted[::-1])


@pytest.mark.parametrize(
    ("masks", "names", "message"),
    [
        ({"persons": np.ones(3, bool)}, ["referral"], "persons must be a mask of 300"),
        ({"ticks": np.ones(3, bool)}, ["referral"], "ticks must be a mask of 48"),
        ({}, ["coupon"], "there is no scheme 'coupon'"),
    ],
)
def test_an_assignment_that_does_not_fit_is_refused(masks, names, message):
    shop = Shop(scenario(REFERRAL, **SHORT), rng=1)
    with pytest.raises(ValueError, match=message):
        Assignment(**masks).lay_on(shop, names)
