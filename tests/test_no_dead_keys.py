"""No key may be accepted and ignored: each one, changed on its own, moves something in a world where everything
happens.

Schemes test their own keys; here are those of the other sections.
"""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from sim import Shop
from sim.scenario.schema import ScenarioConfig
from tests.worlds import COUPON, GROUP_BUY, REFERRAL, merged, scenario

pytestmark = pytest.mark.slow

BUSY: dict[str, Any] = {
    "horizon": "20d",
    "people": {"size": 400},
    "catalog": {"stock": {"initial": 25, "cover": "14d", "lead_time": "48h"}},
    "sharing": {"word_of_mouth": 0.2, "fatigue_half_life": "5d"},
    "kols": {"count": 4, "market": 20000, "post_every": "4d"},
    "merchants": {"review_every": "3d", "promotion_budget": 0.02},
    "recommendation": {"model": "hybrid", "refresh": "4d", "explore": 0.2},
    "operations": {"capacity": 20, "lead_time": "40h", "return_rate": 0.2, "late_after": "60h", "return_window": "72h"},
    "fraud": {"rings": 2, "enter": "48h", "capacity": 60, "batch": 12, "device_cost": 3, "identity_cost": 3},
    "risk": {"accounts_per_device": 3, "accounts_per_address": 6, "invites_per_day": 5, "payout_freeze": "48h"},
    "calendar": [{"name": "week", "start": "2d", "end": "9d", "demand": 1.5}],
}
SCHEMES = [merged(GROUP_BUY, {"merchant_share": 0.5}), COUPON, merged(REFERRAL, {"freeze": "24h"})]

SEEN = {"kols": {"click": 0.5, "reach": 0.8, "audience": {"sigma": 1.0}, "post_every": "2d"}}

THRIVING = {  # where rings grow until they are full
    "fraud": {"effort": 0.0},
    "risk": {"accounts_per_device": None, "accounts_per_address": None, "invites_per_day": None},
    "operations": {"capacity": 500, "lead_time": "4h"},
    "catalog": {"stock": {"initial": 500}},
}
HUNTED = {"people": {"deal_proneness": {"share": 0.4}}}
HIDDEN = {"fraud": {"effort": 1.0}}  # where rings hide at once as well as they can
SOFT = {"fraud": {"second_accounts": {"share": 0.4, "scruple": 3}}}
BRUSHED = {
    "fraud": {"brushing": {"merchants": 1.0, "every": "2d", "orders": 4, "fee": 0, "account_cost": 1, "hope": 3.0}}
}
FOLLOWED = {"fraud": {"followers": {"kols": 1.0, "price": 1, "batch": 1.0, "audit": 1.0, "ban": "5d"}}}
WATCHED: dict[str, Any] = {
    "risk": {
        "accounts_per_device": None, "accounts_per_address": None, "invites_per_day": None,
        "detector": {"label_delay": "4d", "min_labels": 4},
        "policy": {"challenge": 0.5, "hold": 0.7, "refuse": 0.95, "freeze": 0.5, "blacklist": 0.95, "churn": 0.2},
        "review": {}, "appeals": {},
    },
}  # fmt: skip

# key -> another value; where the key matters only in some world, (value, changes that make that world)
CHANGES: dict[str, Any] = {
    "horizon": "19d",
    "tick": "6h",
    "people.size": 401,
    "people.network": {"kind": "erdos_renyi", "mean_degree": 6},
    "people.members_at_start": 0.5,
    "people.tenure": "30d",
    "people.seeds": {"count": 5},
    "people.homophily": 0.1,
    "people.taste_dimensions": 6,
    "people.taste_weight": 1.2,
    "people.price_sensitivity.mean": 2.0,
    "people.price_sensitivity.sigma": 0.5,
    "people.deal_proneness.share": 0.6,
    "people.deal_proneness.strength": (3.0, HUNTED),
    "people.deal_proneness.reluctance": (3.0, HUNTED),
    "people.deal_proneness.pull": (8.0, HUNTED),
    "people.deal_proneness.browsing": (0.0, HUNTED),
    "people.conformity.mean": 1.0,
    "people.conformity.sigma": 0.9,
    "people.trust.mean": 0.3,
    "people.trust.sigma": 0.6,
    "people.reference_memory": 0.2,
    "people.hassle.mean": 1.5,
    "people.hassle.sigma": 1.0,
    "people.way_noise": 1.0,
    "people.spare_worth": (0.99, {"people": {"size": 800}, "sharing": {"organic": 0.05}}),
    "people.shared_devices": 0.5,
    "people.shared_payments": (0.5, {"risk": {"accounts_per_payment": 1}}),
    "people.shared_addresses.share": 0.1,
    "people.shared_addresses.size": 5,
    "demand.profile": ("grocery", {"demand": {"rate": None, "conversion": 0.2}, "catalog": {"price": None}}),
    "demand.rate.shape": 2.0,
    "demand.rate.mean": 1.2,
    "demand.dropout": "none",
    "demand.units": 3.0,
    "demand.conversion": 0.15,
    "catalog.merchants": 5,
    "catalog.products": 31,
    "catalog.categories": 5,
    "catalog.price.median": 50,
    "catalog.price.sigma": 0.7,
    "catalog.margin": 0.3,
    "catalog.quality": 0.9,
    "catalog.take_rate": 0.1,
    "catalog.stock.initial": 30,
    "catalog.stock.cover": ("30d", {"catalog": {"stock": {"initial": 4}}}),
    "catalog.stock.lead_time": "96h",
    "sharing.word_of_mouth": 0.3,
    "sharing.per_visit": 0.05,
    "sharing.after_order": 0.2,
    "sharing.team": 0.5,
    "sharing.on_sign_up": 0.3,
    "sharing.activity_sigma": 0.5,
    "sharing.audience": 3,
    "sharing.team_audience": 3,
    "sharing.cooldown": "72h",
    "sharing.reward_weight": 1.0,
    "sharing.social_cost.mean": 1.0,
    "sharing.social_cost.sigma": 1.0,
    "sharing.delay": "24h",
    "sharing.click.base": 0.1,
    "sharing.click.strength": 3.0,
    "sharing.click.trust": 3.0,
    "sharing.click.relevance": 1.5,
    "sharing.click.fatigue": 2.0,
    "sharing.click.invitation": 2.0,
    "sharing.click.team_call": 0.5,
    "sharing.click.gift": 1.0,
    "sharing.interest": 1.0,
    "sharing.endorsement": 0.5,
    "sharing.sign_up": 0.5,
    "sharing.response": "threshold",
    "sharing.fatigue_half_life": "1d",
    "sharing.organic": 0.01,
    "sharing.win_back": 0.9,
    "kols.count": 6,
    "kols.audience.median": 9000,
    "kols.audience.sigma": 1.0,
    "kols.market": 10000,
    "kols.affinity": 0.0,
    "kols.post_every": "2d",
    "kols.reach": 0.4,
    "kols.fee": 90,
    "kols.commission": (0.3, SEEN),
    "kols.click": 0.2,
    "kols.decline": (0.0, SEEN),
    "kols.endorsement": (3.0, SEEN),
    "kols.fake_followers": 0.5,
    "merchants.review_every": "5d",
    "merchants.margin_floor": 0.3,
    "merchants.price_step": 0.1,
    "merchants.price_band": 0.01,
    "merchants.promotion_budget": 0.3,
    "recommendation.model": "content",
    "recommendation.slate": 8,
    "recommendation.refresh": "2d",
    "recommendation.explore": 0.5,
    "recommendation.half_life": "2d",
    "recommendation.click_weight": 0.9,
    "recommendation.algorithm": "item_knn",
    "recommendation.factors": 4,
    "recommendation.neighbours": (2, {"recommendation": {"algorithm": "item_knn", "model": "collaborative"}}),
    "recommendation.weights.popularity": 3.0,
    "recommendation.weights.content": 3.0,
    "recommendation.weights.collaborative": 5.0,
    "recommendation.weights.social": 5.0,
    "stacking.combine": [],
    "operations.capacity": 5,
    "operations.dispatch_every": "12h",
    "operations.lead_time": "90h",
    "operations.shipping": 8,
    "operations.return_window": "120h",
    "operations.return_rate": 0.4,
    "operations.late_after": "10d",
    "operations.disappointment": 0.5,
    "operations.recovery": 0.5,
    "operations.satisfaction_effect": 6.0,
    "calendar": [{"name": "week", "start": "2d", "end": "9d", "demand": 1.5, "schemes": ["group_buy"]}],
    "fraud.rings": 3,
    "fraud.capacity": (20, THRIVING),
    "fraud.batch": (4, THRIVING),
    "fraud.enter": "4d",
    "fraud.decide_every": "48h",
    "fraud.account_cost": 6,
    "fraud.action_cost": 3,
    "fraud.skill": (0.9, HIDDEN),
    "fraud.hiding_cost": (1, HIDDEN),
    "fraud.hiding_time": ("12h", {"fraud": {"effort": 1.0}}),
    "fraud.devices": 10,
    "fraud.device_cost": (9, merged(THRIVING, {"risk": {"accounts_per_device": 2}})),
    "fraud.resale": 0.5,
    "fraud.identity_cost": (5, HIDDEN),
    "fraud.effort": 1.0,
    "fraud.suspicion": 0.6,
    "fraud.learning": 0.9,
    "fraud.caution": 1.0,
    "fraud.second_accounts.share": (0.9, SOFT),
    "fraud.second_accounts.scruple": (40, SOFT),
    "fraud.second_accounts.scruple_sigma": (3.0, SOFT),
    "fraud.brushing.merchants": (0.2, BRUSHED),
    "fraud.brushing.every": ("4d", BRUSHED),
    "fraud.brushing.orders": (9, BRUSHED),
    "fraud.brushing.fee": (40, BRUSHED),
    "fraud.brushing.account_cost": (40, BRUSHED),
    "fraud.brushing.hope": (0.0, BRUSHED),
    "fraud.brushing.learning": (1.0, BRUSHED),
    "fraud.followers.kols": (0.1, FOLLOWED),
    "fraud.followers.price": (1e5, FOLLOWED),
    "fraud.followers.batch": (0.1, FOLLOWED),
    "fraud.followers.audit": (0.0, FOLLOWED),
    "fraud.followers.ban": ("1d", FOLLOWED),
    "shocks": [{"kind": "stock_out", "products": 0.5, "start": "5d", "length": "5d"}],
    "risk.detector.retrain": ("3d", WATCHED),
    "risk.detector.label_delay": ("2d", WATCHED),
    "risk.detector.label_rate": (1.0, WATCHED),
    "risk.detector.min_labels": (200, WATCHED),
    "risk.detector.trees": (10, WATCHED),
    "risk.policy.challenge": (0.1, WATCHED),
    "risk.policy.hold": (0.2, WATCHED),
    "risk.policy.hold_untaught": (0.0, WATCHED),
    "risk.policy.refuse": (0.6, WATCHED),
    "risk.policy.freeze": (0.1, WATCHED),
    "risk.policy.blacklist": (0.5, WATCHED),
    "risk.policy.impatience": (0.9, WATCHED),
    "risk.policy.trust_loss": (
        0.9,
        {"risk": {**WATCHED["risk"], "policy": {**WATCHED["risk"]["policy"], "refuse": 0.5, "blacklist": 0.5}}},
    ),
    "risk.policy.churn": (0.9, WATCHED),
    "risk.review.analysts": (1, {"risk": {**WATCHED["risk"], "review": {"case_time": "12h"}}}),
    "risk.review.case_time": ("8h", WATCHED),
    "risk.review.opens": ("16h", WATCHED),
    "risk.review.closes": ("10h", WATCHED),
    "risk.review.weekends": (True, WATCHED),
    "risk.review.sensitivity": (0.2, WATCHED),
    "risk.review.specificity": (0.3, WATCHED),
    "risk.appeals.rate": (1.0, WATCHED),
    "risk.appeals.restored": (0.0, {"risk": {**WATCHED["risk"], "appeals": {"rate": 1.0}}}),
    "risk.accounts_per_device": 1,
    "risk.accounts_per_address": 2,
    "risk.accounts_per_payment": (1, {"people": {"shared_payments": 0.3}}),
    "risk.account_age": "24h",
    "risk.invites_per_day": (1, THRIVING),
    "risk.payout_freeze": "96h",
    "risk.freeze_check": (
        False,
        {
            "risk": {"accounts_per_device": 5, "accounts_per_address": None, "invites_per_day": None},
            "fraud": {"skill": 0.3, "devices": 1},
            "people": {"shared_devices": 0.3},
        },
    ),
}
# Matters to schemes from elsewhere alone: of those here, coupons come after team prices, or the two do not meet.
FOR_PLUG_INS = {"stacking.order"}
# What describes a scenario, judges its outcome or says what to keep; other tests see to these.
NOT_OF_THE_WORLD = {"name", "question", "sources", "guardrails", "record", "schemes"}


@cache
def outcome(changes: str) -> str:
    shop = Shop(scenario(*SCHEMES, **json.loads(changes)), rng=5).run()
    return json.dumps(
        [shop.metrics().to_dict(), shop.ledger.balances()["balance"].to_dict(), shop.people.spend.tolist(),
         shop.people.device.tolist(), [r.profit for r in shop.rings], shop.people.taste[:3].tolist()]
    )  # fmt: skip


def with_value(tree: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    head, _, rest = path.partition(".")
    below = with_value(tree.get(head) or {}, rest, value) if rest else value
    return {**tree, head: below}


@pytest.mark.parametrize("path", CHANGES)
def test_each_key_moves_something(path):
    value, world = CHANGES[path] if isinstance(CHANGES[path], tuple) else (CHANGES[path], {})
    before = merged(BUSY, world)
    assert outcome(json.dumps(before)) != outcome(json.dumps(with_value(before, path, value)))


def test_every_key_is_tried():
    def keys(model: Any, prefix: str = "") -> set[str]:
        found = set()
        for name, field in model.model_fields.items():
            inner = field.annotation
            path = f"{prefix}{name}"
            if hasattr(inner, "model_fields"):
                found |= keys(inner, f"{path}.")
            else:
                found.add(path)
        return found

    tried = set(CHANGES) | FOR_PLUG_INS
    covered = tried | {".".join(p.split(".")[:n]) for p in tried for n in range(1, p.count(".") + 1)}
    missing = {
        k for k in keys(ScenarioConfig)
        if k.split(".")[0] not in NOT_OF_THE_WORLD
        and k not in covered
        and not any(k.startswith(t + ".") for t in tried)
    }  # fmt: skip
    assert not missing
