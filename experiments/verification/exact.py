"""Cases that leave nothing to chance: money, stock, and the random numbers themselves.

References
----------
Salmon, Moraes, Dror & Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC'11 (Random123's ``kat_vectors``).
"""

from __future__ import annotations

import numpy as np

from experiments.verification.checks import Check, Findings, run_seeds
from sim import Shop
from sim.core import draws
from sim.core.ledger import Account
from sim.orders import OPEN
from sim.scenario import Scenario
from sim.scenario.starter import SHIPPED

# Counter, key and result of Philox4x32-10.
_KNOWN_ANSWERS = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)  # fmt: skip


def ledger(seed: int = 1) -> list[Check]:
    """Conservation in the shipped launch scenario, with scarce goods and budgets, after every tick of 30 days.

    Parameters
    ----------
    seed : int
    """
    shop = strained_shop(seed)
    worst = dict.fromkeys(("balances", "escrow", "budgets", "stock"), 0)
    while shop.running:
        shop.step()
        is_open = np.isin(shop.book.status, OPEN)
        now = {
            "balances": abs(shop.ledger.imbalance()),
            "escrow": abs(shop.ledger.balance(Account.ESCROW) - int(shop.book.worth[is_open].sum())),
            "budgets": max(s.spent - s.config.budget for s in shop.schemes if s.config.budget is not None),
            "stock": -int(shop.products.stock.min()),
        }
        worst = {law: max(worst[law], value) for law, value in now.items()}
    given = {"scenario": "launch, strained", "ticks": shop.clock.tick, "orders": len(shop.book), "seed": seed}
    found = Findings("ledger", given)
    found.note("sum of all balances, fen", 0, worst["balances"], 0, "double entry")
    found.note("escrow less the worth of open orders, fen", 0, worst["escrow"], 0, "what was paid in and not yet out")
    found.note("spent beyond a budget, fen", 0, worst["budgets"], 0, "budgets are never overspent")
    found.note("units of stock below zero", 0, worst["stock"], 0, "nothing is sold twice")
    return found.checks


def strained_shop(seed: int) -> Shop:
    """Return the launch scenario with goods, teams and coupons running out."""
    strain = {
        "horizon": "30d", "people.size": 4000, "people.members_at_start": 0.5, "demand.profile": "grocery",
        "catalog.stock.initial": 5, "schemes.0.budget": 5000, "schemes.1.budget": 1000,
    }  # fmt: skip
    scenario = Scenario.load(SHIPPED / "launch.yaml").override(strain)
    return Shop(scenario, rng=next(run_seeds(seed, "ledger")))


def philox() -> list[Check]:
    """Random numbers at three addresses, against the published answers of Philox4x32-10."""
    wrong = 0
    for counter, key, answer in _KNOWN_ANSWERS:
        seed, stream = _words(key)
        subject, obj, tick, k = _words(counter)
        wrong += int((draws.words(seed, stream, subject, obj, tick, k) != _words(answer)).sum())
    return [Check("philox", "words that differ from the known answers", 0, wrong, 0, "Random123, kat_vectors")]


def _words(text: str) -> list[int]:
    return [int(word, 16) for word in text.split()]
