"""Small worlds for tests: a few hundred busy people, a fortnight, everything else as shipped."""

from __future__ import annotations

from typing import Any

from sim import Scenario, Shop

SMALL: dict[str, Any] = {
    "name": "small",
    "horizon": "14d",
    "tick": "4h",
    "people": {
        "size": 600,
        "network": {"kind": "watts_strogatz", "mean_degree": 8, "rewire": 0.1},
        "members_at_start": 0.4,
        "tenure": "60d",
    },
    "demand": {"rate": {"shape": 1.0, "mean": 1.0}, "conversion": 0.2},
    "catalog": {"merchants": 4, "products": 30, "categories": 4, "price": {"median": 40, "sigma": 0.5}},
    "recommendation": {"slate": 6, "model": "popularity"},
}
GROUP_BUY = {"kind": "group_buy", "team_size": 2, "discount": 0.2, "window": "24h", "lobby": 0.3}
COUPON = {"kind": "coupon", "coupon": "newcomer", "amount": 10, "threshold": 40, "valid_for": "7d"}
REFERRAL = {
    "kind": "referral", "bonus": {"inviter": 9, "invitee": 9, "on": "first_order"}, "rates": [0.05, 0.02], "freeze":
    "3d",
}  # fmt: skip


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Lay changes over a mapping, section by section."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = (
            merged(old, value) if isinstance(old, dict) and isinstance(value, dict) and "kind" not in value else value
        )
    return result


def scenario(*schemes: dict[str, Any], **sections: Any) -> Scenario:
    """Return a small world with these schemes and changes."""
    return Scenario.from_dict(merged(SMALL, {"schemes": list(schemes), **sections}))


def run(*schemes: dict[str, Any], seed: int = 1, graph: Any = None, **sections: Any) -> Shop:
    """Run a small world to its end."""
    return Shop(scenario(*schemes, **sections), rng=seed, graph=graph).run()
