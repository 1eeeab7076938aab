"""The shipped scenario with a detector: no one signal tells fraud, all together do, and honest people are spared."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from sim import Scenario, Shop

pytestmark = pytest.mark.slow
SEEDS = (1, 2)


LIMITED: dict[str, object] = {"risk": {"accounts_per_device": 1, "payout_freeze": "7d"}}


@cache
def outcome(seed: int, world: str = "guarded", skill: float = 0.5) -> dict[str, float]:
    changes = {"guarded": {}, "limited": LIMITED}[world]
    scenario = Scenario.load("scenarios/guarded.yaml").override({**changes, "fraud.skill": skill})
    found: dict[str, float] = Shop(scenario, rng=seed).run().metrics().to_dict()
    return found


def mean(name: str, world: str = "guarded", skill: float = 0.5) -> float:
    return float(np.mean([outcome(seed, world, skill)[name] for seed in SEEDS]))


def test_detector_tells_fraud_apart_while_it_spares_honest_people_and_keeps_fraud_out() -> None:
    assert mean("detection_auc") >= 0.92
    assert mean("false_intercept_rate") <= 0.032
    assert mean("fraud_order_share") <= 0.008


def test_no_single_signal_tells_fraud_apart() -> None:
    assert mean("single_feature_auc") < 0.80
    assert mean("detection_auc") > mean("single_feature_auc") + 0.1


def test_the_better_rings_hide_the_worse_they_are_told_apart() -> None:
    easy, usual, hard = (mean("detection_auc", skill=skill) for skill in (0.5, 0.8, 1.0))
    assert easy > usual > hard > 0.8


def test_device_limit_alone_hits_households_and_the_policy_hits_fewer_while_it_catches_as_many() -> None:
    assert mean("honest_hit", "limited") > 20
    assert mean("detection_recall") >= mean("detection_recall", "limited")
    assert mean("honest_hit") < mean("honest_hit", "limited")
    assert mean("honest_hit_share") < mean("honest_hit_share", "limited")
