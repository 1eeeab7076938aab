"""Directions that an expert expects: change a number, and the answer moves the right way.

Each test runs the same seeds in both arms, so that differences are paired, and asks for a mean difference of at least
two standard errors (a false alarm in about one of forty runs if there were no effect at all; the seeds are fixed, so a
test that passes keeps passing until the model changes).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest

from experiments import compare
from sim import Shop
from tests.worlds import COUPON, GROUP_BUY, REFERRAL, merged, run, scenario

pytestmark = pytest.mark.slow
SEEDS = range(1, 9)
MUTE = {
    "word_of_mouth": 0, "per_visit": 0, "after_order": 0, "team": 0, "on_sign_up": 0,
}  # fmt: skip


def values(metric: str | Callable[[Shop], float], *schemes: dict[str, Any], **sections: Any) -> np.ndarray:
    of = (lambda shop: shop.metrics()[metric]) if isinstance(metric, str) else metric
    return np.array([of(run(*schemes, seed=seed, **sections)) for seed in SEEDS])


def rises(low: np.ndarray, high: np.ndarray) -> bool:
    difference = high - low
    return difference.mean() > 2 * difference.std(ddof=1) / np.sqrt(difference.size) > 0


@cache
def teams(discount: float = 0.2, window: str = "24h") -> np.ndarray:
    team = merged(GROUP_BUY, {"team_size": 3, "discount": discount, "window": window})
    return values("team_fill_rate", team)


def test_a_lower_team_price_fills_more_teams():
    assert rises(teams(discount=0.05), teams(discount=0.4))


def test_a_longer_window_fills_more_teams():
    assert rises(teams(window="8h"), teams(window="72h"))


def two_sided(metric: str, yuan: float) -> np.ndarray:
    bonus = {"inviter": yuan, "invitee": yuan, "on": "first_order"}
    return values(metric, merged(REFERRAL, {"bonus": bonus}), fraud={"rings": 3, "enter": "24h", "capacity": 50})


def test_a_bigger_two_sided_bonus_raises_k():
    assert rises(two_sided("k_factor", 1), two_sided("k_factor", 30))


def test_a_bigger_two_sided_bonus_raises_fraud_loss():
    assert rises(two_sided("fraud_loss", 1), two_sided("fraud_loss", 30))


def test_coupons_without_a_threshold_subsidise_more_who_would_have_bought_anyway():
    general = {"kind": "coupon", "coupon": "general", "amount": 8, "valid_for": "7d", "per_person": 1}
    free = scenario(general, name="free")
    bound = scenario(merged(general, {"threshold": 120}), name="bound")
    study = compare([scenario(name="base"), free, bound], replicates=len(SEEDS))
    subsidised = {
        arm: study.twins().query("arm == @arm").set_index("seed")["anyway_subsidised"] for arm in ("free", "bound")
    }
    assert rises(subsidised["bound"].to_numpy(float), subsidised["free"].to_numpy(float))


def test_without_sharing_nobody_is_invited():
    shop = run(GROUP_BUY, COUPON, REFERRAL, sharing=MUTE)
    assert shop.metrics()["new_members"] == 0 or shop.metrics()["invited_share"] == 0
    assert (shop.people.inviter[~shop.people.fake] == -1).all()
    assert (run(GROUP_BUY, COUPON, REFERRAL).people.inviter >= 0).any()


@pytest.mark.parametrize(
    ("metric", "sharing"),
    [("orders", MUTE), ("new_members", {"click": {"relevance": 0}, "organic": 0.01})],
    ids=["nothing said", "no better heard"],
)
def test_likeness_without_influence_does_not_raise_the_effect_of_an_incentive(metric, sharing):
    """Friends who are alike but do not sway each other answer an incentive no more than friends who differ.

    Where likeness tells them what to show or what to click on, by a recommender or relevance, it may.
    """
    apart = {"sharing": sharing, "recommendation": {"model": "random"}}
    general = {"kind": "coupon", "coupon": "general", "percent": 0.2, "valid_for": "7d"}
    scheme = general if metric == "orders" else COUPON

    def effect(homophily: float) -> np.ndarray:
        people = {"homophily": homophily, "conformity": {"mean": 0, "sigma": 0}}
        with_it = values(metric, scheme, people=people, **apart)
        without = values(metric, people=people, **apart)
        assert rises(without, with_it)
        return (with_it - without) / without

    assert not rises(effect(0.0), effect(0.4))


def test_influence_makes_friends_buy_alike():
    def together(shop: Shop) -> float:
        """Share of ties along which both bought, of those along which one did."""
        one, other = shop.graph.pairs()
        bought = np.zeros((len(shop.people), len(shop.products)), bool)
        bought[shop.book.person, shop.book.product] = True
        both, any_ = (bought[one] & bought[other]).sum(), (bought[one] | bought[other]).sum()
        return float(both / any_)

    people = {"homophily": 0.0}
    none = values(together, people=people | {"conformity": {"mean": 0}}, sharing=MUTE)
    some = values(together, people=people | {"conformity": {"mean": 1.5}}, sharing=MUTE)
    assert rises(none, some)


def test_fewer_units_in_stock_mean_more_orders_refused():
    plenty = values("stockout_rate", catalog={"stock": {"initial": 200}})
    scarce = values("stockout_rate", catalog={"stock": {"initial": 4}})
    assert rises(plenty, scarce)


def test_discounts_make_list_prices_look_dear():
    """The reference price falls with the discounts seen, and what a member then buys at list price falls with it."""
    end = "7d"
    promoted = merged(GROUP_BUY, {"discount": 0.5, "end": end})

    def after(shop: Shop) -> float:
        return float((shop.book.tick >= 8 * shop.clock.ticks_a_day).sum())

    slow, fast = {"reference_memory": 0}, {"reference_memory": 0.5}
    assert rises(values(after, promoted, people=fast), values(after, promoted, people=slow))
