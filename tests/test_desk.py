"""The review desk: first come first served, in working hours, with stated errors, and the same after a restart."""

import math

import numpy as np
import pytest
from pydantic import ValidationError
from same_state import differences
from worlds import REFERRAL, merged, scenario

from experiments.verification.queueing import chance_to_wait
from sim import Shop
from sim.core.clock import Clock
from sim.risk.desk import CaseKind, ReviewDesk, Verdict, WorkingHours
from sim.scenario.desk import DeskConfig

AROUND_THE_CLOCK = {"opens": "0h", "closes": "24h", "weekends": True}
MONDAY_TO_FRIDAY = WorkingHours(9.0, 18.0, weekends=False)
FAR = 10_000.0
APPEALING = {
    "people": {"size": 600, "members_at_start": 0.05, "shared_devices": 0.5},
    "sharing": {"word_of_mouth": 0.2, "organic": 0.1},
    "fraud": {"second_accounts": {"share": 0.5, "scruple": 1}},
    "risk": {"accounts_per_device": 1, "appeals": {"rate": 0.8}, "review": {"analysts": 1, "case_time": "2h"}},
}


def desk_of(seed=1, truth=None, heard=None, **config):
    """Return a desk in an environment of its own; ``heard`` collects what it says it has decided."""
    nobody = lambda persons: np.zeros(persons.size, bool)  # noqa: E731
    told = heard.extend if heard is not None else len
    config = DeskConfig.model_validate({**AROUND_THE_CLOCK, **config})
    return ReviewDesk(Clock(1, FAR), seed, config, truth or nobody, told)


def run(desk, until=None):
    desk.clock.environment.run(until)
    return desk.cases


def submit_at(desk, hours, persons=1):
    """Let so many cases come at each hour."""

    def arrivals():
        for hour in hours:
            yield desk.clock.environment.timeout(hour - desk.clock.environment.now)
            desk.submit(np.arange(persons), CaseKind.ORDER)

    desk.clock.environment.process(arrivals())


# Queueing.


def test_earliest_case_is_taken_first_across_batches():
    desk = desk_of(analysts=2)
    submit_at(desk, [0.0, 0.1, 0.2, 5.0], persons=40)
    cases = run(desk)
    assert (np.diff(cases.started) >= 0).all()
    assert (np.diff(cases.opened) >= 0).all()
    assert (cases.verdict != Verdict.OPEN).all()


def test_large_batch_delays_later_cases_but_starves_none():
    desk = desk_of(analysts=2, case_time="15min")  # eight cases an hour
    submit_at(desk, [0.0], persons=400)
    submit_at(desk, np.arange(0.5, 200.0, 0.5))  # two an hour
    cases = run(desk)
    single = cases.opened > 0
    wait = cases.started - cases.opened
    assert 40 < wait[single].max() < 60  # what the batch takes two analysts, and no more
    assert wait[single][-100:].max() < 2  # the batch is long forgotten
    assert not np.isnan(cases.finished).any()


def test_never_more_cases_under_review_than_analysts_and_nobody_idles_while_cases_wait():
    desk = desk_of(analysts=3, case_time="30min")
    submit_at(desk, np.arange(0.0, 40.0, 0.7), persons=5)
    cases = run(desk)
    busy = np.array([((cases.started <= at) & (cases.finished > at)).sum() for at in cases.finished])
    waiting = np.array([((cases.opened <= at) & (cases.started > at)).sum() for at in cases.finished])
    assert busy.max() == 3
    assert (busy[waiting > 0] == 3).all()


def test_work_is_exponential_around_its_mean_and_the_same_in_every_run():
    one, two, other = (desk_of(seed, analysts=50, case_time="30min") for seed in (1, 1, 2))
    for desk in (one, two, other):
        desk.submit(np.arange(4000), CaseKind.ACCOUNT)
        run(desk)
    work = one.cases.finished - one.cases.started
    assert work.mean() == pytest.approx(0.5, rel=0.05)
    assert work.std() == pytest.approx(0.5, rel=0.08)
    assert np.array_equal(one.cases.finished, two.cases.finished)
    assert not np.allclose(one.cases.finished, other.cases.finished)


def test_wait_of_batches_at_one_analyst_is_the_closed_form():
    # Batches of b at a Poisson rate to an M/M/1: cases in the system rho (1 + b) / (2 (1 - rho)), then Little's law.
    size, load, work = 4, 0.5, 0.25
    batches = load / work / size  # an hour
    gaps = np.random.default_rng(3).exponential(1 / batches, 12_000)
    desk = desk_of(analysts=1, case_time="15min")
    submit_at(desk, np.cumsum(gaps).tolist(), persons=size)
    cases = run(desk)
    in_system = load * (1 + size) / (2 * (1 - load))
    expected = in_system / (batches * size) - work
    assert (cases.started - cases.opened).mean() == pytest.approx(expected, rel=0.05)


def test_chance_to_wait_is_erlangs():
    assert chance_to_wait(1, 0.7) == pytest.approx(0.7)
    assert chance_to_wait(2, 1.0) == pytest.approx(1 / 3)
    assert chance_to_wait(3, 2.0) == pytest.approx(4 / 9)
    assert chance_to_wait(10, 8.0) == pytest.approx(0.4092, abs=1e-4)  # Erlang's tables


# Working hours.


def test_hours_worked_and_when_they_are_worked_are_each_others_inverse():
    for hours in (MONDAY_TO_FRIDAY, WorkingHours(0.0, 24.0, weekends=True), WorkingHours(22.5, 24.0, weekends=True)):
        worked = np.linspace(0.01, 500, 777)
        ends = np.array([hours.after(w) for w in worked])
        assert [hours.worked(end) for end in ends] == pytest.approx(worked.tolist())
        assert (np.diff(ends) > 0).all()


def test_week_has_five_days_of_nine_hours():
    assert MONDAY_TO_FRIDAY.worked(7 * 24) == 45
    assert MONDAY_TO_FRIDAY.worked(24 + 12) == 9 + 3
    assert MONDAY_TO_FRIDAY.worked(5 * 24 + 12) == 45
    assert MONDAY_TO_FRIDAY.after(45) == 4 * 24 + 18
    assert MONDAY_TO_FRIDAY.after(46) == 7 * 24 + 10


@pytest.mark.parametrize(
    ("hour", "opening"),
    [(0, 9), (9, 9), (12.5, 12.5), (18, 33), (4 * 24 + 18, 7 * 24 + 9), (5 * 24 + 12, 7 * 24 + 9)],
)
def test_next_opening_skips_nights_and_weekends(hour, opening):
    assert MONDAY_TO_FRIDAY.next_open(hour) == opening


def test_nothing_is_started_or_decided_outside_working_hours():
    desk = desk_of(analysts=2, case_time="3h", opens="9h", closes="18h", weekends=False)
    submit_at(desk, np.arange(0.0, 24.0 * 14, 5.0))
    cases = run(desk)
    for moment in (cases.started, cases.finished):
        assert (moment % 24 >= 9 - 1e-9).all()
        assert (moment % 24 <= 18 + 1e-9).all()
        assert (moment // 24 % 7 < 5).all()


def test_case_under_review_pauses_overnight():
    desk = desk_of(analysts=1, case_time="20h", opens="9h", closes="18h", weekends=True)
    desk.submit(np.arange(1), CaseKind.ACCOUNT)
    cases = run(desk)
    work = 20 * float(cases.effort[0])
    assert cases.started[0] == 9
    assert work > 9
    assert cases.finished[0] == pytest.approx(9 + work + 15 * math.floor(work / 9))


# Verdicts.


def test_verdicts_err_as_often_as_stated_and_by_the_truth_alone():
    guilty = lambda persons: persons % 2 == 1  # noqa: E731
    desk = desk_of(truth=guilty, analysts=100, sensitivity=0.8, specificity=0.9)
    desk.submit(np.arange(20_000), CaseKind.PAYOUT, ref=np.arange(20_000) + 7)
    cases = run(desk)
    confirmed = cases.verdict == Verdict.CONFIRMED
    assert confirmed[1::2].mean() == pytest.approx(0.8, abs=0.012)
    assert confirmed[::2].mean() == pytest.approx(0.1, abs=0.009)
    assert np.array_equal(cases.ref, cases.person + 7)
    assert (cases.kind == CaseKind.PAYOUT).all()


def test_who_opened_a_case_hears_of_each_verdict_once_when_it_falls():
    heard = []
    desk = desk_of(heard=heard, analysts=4)
    submit_at(desk, [0.0, 1.0], persons=30)
    cases = run(desk, until=1.5)
    assert sorted(heard) == np.flatnonzero(cases.finished <= 1.5).tolist()
    cases = run(desk)
    assert heard == np.argsort(cases.finished).tolist()


def test_appeal_may_be_lodged_at_the_moment_of_a_verdict():
    desk = desk_of(analysts=1)
    desk._on_decided = lambda rows: (
        desk.submit(desk.cases.person[rows], CaseKind.APPEAL, rows) if (desk.cases.kind[rows] != 3).all() else None
    )
    desk.submit(np.array([5, 6]), CaseKind.ACCOUNT)
    cases = run(desk)
    assert cases.kind.tolist() == [0, 0, 3, 3]
    assert cases.ref.tolist() == [-1, -1, 0, 1]
    assert np.array_equal(cases.opened[2:], cases.finished[:2])


# Restart.


def restarted(desk, **config):
    """Return another desk that has only the rows of this one, at its moment."""
    now = desk.clock.environment.now
    other = desk_of(**config)
    other.cases.restore(desk.cases.arrays())
    other.resume()
    if now:
        other.clock.environment.run(until=now)
    other.take_up()
    return other


@pytest.mark.parametrize("hour", [0.0, 0.3, 3.0, 9.0, 11.7, 18.0, 23.0, 120.0])
def test_desk_goes_on_from_its_rows_as_if_it_had_never_stopped(hour):
    config = {"analysts": 2, "case_time": "40min", "opens": "9h", "closes": "18h", "weekends": False}
    desk = desk_of(**config)
    desk.submit(np.arange(50), CaseKind.ACCOUNT)
    if hour:
        run(desk, until=hour)
    desk.submit(np.arange(20), CaseKind.ORDER)
    other = restarted(desk, **config)
    later = np.arange(hour + 2, hour + 60, 2.0).tolist()
    for each in (desk, other):
        submit_at(each, later)
    assert run(desk).arrays().keys() == run(other).arrays().keys()
    for name in desk.cases:
        assert desk.cases[name].tobytes() == other.cases[name].tobytes(), name


def test_more_analysts_take_up_the_backlog_at_once():
    desk = desk_of(analysts=1)
    desk.submit(np.arange(50), CaseKind.ACCOUNT)
    run(desk, until=1.0)
    before = (~np.isnan(desk.cases.started)).sum()
    other = restarted(desk, analysts=10)
    assert (other.cases.started == 1.0).sum() == 9
    assert (~np.isnan(other.cases.started)).sum() == before + 9


def shop_of(**changes):
    return Shop(scenario(REFERRAL, **merged(APPEALING, {"risk": {"review": changes}})), rng=2)


def stepped(shop, ticks):
    for _ in range(ticks):
        shop.step()
    return shop


@pytest.mark.parametrize("tick", [13, 20, 37, 50])
def test_shop_with_open_cases_goes_on_from_a_checkpoint_as_if_it_had_never_stopped(tick, tmp_path):
    origin = stepped(shop_of(), tick)
    assert origin.risk.metrics()["review_backlog"] > 0
    restored = Shop.restore(origin.checkpoint(tmp_path / "now"))
    assert differences(origin, restored) == []
    assert differences(stepped(origin, 9), stepped(restored, 9)) == []


def test_fork_with_more_analysts_has_less_waiting():
    shop = stepped(shop_of(), 20)
    few, many = (shop.fork(shop_of(analysts=analysts).scenario).run().metrics() for analysts in (1, 5))
    assert many["review_cases"] > 30
    assert many["review_wait_hours"] < 0.7 * few["review_wait_hours"]


def test_fork_may_open_a_desk():
    without = merged(APPEALING, {"risk": {"appeals": None, "review": None}})
    fork = stepped(Shop(scenario(REFERRAL, **without), rng=2), 20).fork(shop_of().scenario).run()
    assert fork.metrics()["review_cases"] > 10


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("analysts", 2), ("case_time", "1h"), ("opens", "12h"), ("closes", "15h"), ("weekends", True),
        ("specificity", 0.1),
    ],
)  # fmt: skip
def test_each_key_of_the_desk_moves_something(key, value):
    before, after = (stepped(shop, 60).risk.metrics() for shop in (shop_of(), shop_of(**{key: value})))
    assert str(before) != str(after)


# What it reports, and what it refuses.


def test_metrics_tell_load_wait_and_backlog():
    desk = desk_of(analysts=2, case_time="1h")
    assert math.isnan(desk.metrics()["review_wait_hours"])
    assert math.isnan(desk.metrics()["review_utilisation"])
    desk.submit(np.arange(100), CaseKind.ACCOUNT)
    cases = run(desk, until=10.0)
    found = desk.metrics()
    decided = cases.finished <= 10
    assert found["review_cases"] == 100
    assert found["review_backlog"] == 100 - decided.sum()
    assert found["review_wait_hours"] == cases.started[decided].mean()
    assert found["review_utilisation"] == pytest.approx(1.0)
    run(desk)
    desk.clock.environment.run(until=1000.0)
    assert desk.metrics()["review_utilisation"] == pytest.approx(cases.effort.sum() / 2000)


@pytest.mark.parametrize(
    "wrong",
    [{"opens": "18h", "closes": "9h"}, {"closes": "25h"}, {"analysts": 0}, {"sensitivity": 1.2}, {"case_time": "0h"}],
)
def test_impossible_desk_is_refused(wrong):
    with pytest.raises(ValidationError):
        DeskConfig.model_validate(wrong)
