"""Metrics and daily figures are one definition, and what is written of them is possible."""

from __future__ import annotations

import math

import numpy as np
import pytest

from experiments.tables import interval
from sim import Shop
from sim.people import Status
from sim.scenario import ScenarioError
from tests.worlds import GROUP_BUY, REFERRAL, run, scenario


@pytest.fixture(scope="module")
def robbed() -> Shop:
    """A shop in which fake accounts have joined and bought, and teams have failed."""
    shop = run(GROUP_BUY, REFERRAL, fraud={"rings": 3, "enter": "24h", "capacity": 30, "skill": 0})
    metrics = shop.metrics()
    assert metrics["fraud_accounts"] > 0 and metrics["fraud_order_share"] > 0
    assert shop.recorder.total("refunded") > 0
    return shop


@pytest.mark.parametrize("name", ["new_members", "orders", "gmv"])
def test_daily_figures_add_up_to_the_metric_of_the_same_name(robbed, name):
    assert robbed.history()[name].sum() == pytest.approx(robbed.metrics()[name])
    assert robbed.datacollector.get_model_vars_dataframe()[name].iloc[-1] == pytest.approx(robbed.metrics()[name])


def test_the_last_days_members_are_the_metrics(robbed):
    assert robbed.history()["members"].iloc[-1] == robbed.metrics()["members"]
    assert robbed.datacollector.get_model_vars_dataframe()["members"].iloc[-1] == robbed.metrics()["members"]


def test_invited_members_of_all_days_are_the_metrics_share(robbed):
    history, metrics = robbed.history(), robbed.metrics()
    assert history["invited_members"].sum() / history["new_members"].sum() == pytest.approx(metrics["invited_share"])


@pytest.mark.parametrize(
    ("low", "high", "unit", "text"),
    [
        (-0.02, 0.08, "share", "0% to 8.0%"),
        (0.93, 1.04, "share", "93% to 100%"),
        (0.9, 1.5, "share", "90% to 150%"),  # a mean of 120%: what is estimated is not a part of anything
        (-0.1, 0.3, "gini", "0 to 0.30"),
        (-3.0, 5.0, "yuan", "-3.00 to 5.00"),
        (math.nan, 0.5, "share", ""),
    ],
)
def test_limits_of_a_share_stay_between_none_and_all(low, high, unit, text):
    assert interval(low, high, unit) == text


def test_a_difference_of_shares_may_be_negative():
    assert interval(-0.02, 0.08, "share", signed=True) == "-2.0% to +8.0%"


def test_likeness_that_ties_cannot_carry_is_reported_like_any_wrong_value():
    with pytest.raises(ScenarioError, match=r"people\.homophily: must be at most 0\.\d\d on this network\. Got 0\.9\."):
        Shop(scenario(people={"homophily": 0.9}), rng=1)


def test_conversion_and_share_rate_count_visits_of_real_persons_only(robbed):
    visits, real = robbed.recorder.total("visits"), robbed.recorder.total("real_visits")
    assert 0 < real < visits
    assert robbed.metrics()["conversion"] == pytest.approx(robbed.metrics()["orders"] / real)


def test_members_of_the_last_day_are_those_of_the_metric_though_fake_accounts_were_closed() -> None:
    shop = Shop(scenario(REFERRAL, GROUP_BUY, fraud={"rings": 2, "capacity": 40, "enter": "0h"}), rng=1)
    while shop.clock.day < 12:
        shop.step()
    people = shop.people
    rows = np.flatnonzero(people.fake & (people.status == Status.MEMBER))
    assert rows.size > 10
    people.status[rows[::2]] = Status.CHURNED  # as risk control closes accounts
    assert shop.run().history()["members"].iloc[-1] == shop.metrics()["members"]
