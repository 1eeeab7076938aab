"""The report: one safe, self-contained, reproducible page, with numbers that a strategist can read."""

import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from experiments import runs
from experiments.comparison import Arm, Comparison, summarise
from experiments.outcome import RunResult
from experiments.report import render
from experiments.report import tables as report_tables
from experiments.report.drawing import looks, styled
from experiments.report.figures_effects import _change, funnel
from experiments.report.figures_money import _halves
from experiments.report.figures_time import _coinciding
from experiments.report.folder import Run, read
from experiments.report.tables import change, value
from sim.scenario import Scenario

HOSTILE = '<script>alert(1)</script> & "quotes" $x_1$'
DAYS = 21


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.tags, self.attributes, self.words = [], [], [], []
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.open.append(tag)
        self.attributes += [(tag, name, text) for name, text in attrs]

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    def handle_endtag(self, tag):
        if tag in self.open:
            while self.open.pop() != tag:
                pass


def scenario(name, **values):
    base = {
        "name": name, "question": f"Does it pay? {HOSTILE}", "horizon": f"{DAYS}d", "people": {"size": 400},
        "sources": {"people.homophily": f"hearsay {HOSTILE}"}, "fraud": {"rings": 1},
    }  # fmt: skip
    return Scenario.from_dict({**base, **values})


def result(own, seed, facts, **metrics):
    """Make up a run of ten new members, the last three of them invited and one of these by a new member."""
    days = np.arange(DAYS)
    uid = np.arange(12)
    people = pd.DataFrame(
        {
            "uid": uid,
            "fake": uid == 10,
            "hit": uid == 3,
            "status": np.where(uid == 11, "prospect", "member"),
            "joined_day": np.where(uid == 11, np.nan, uid),
            "inviter": np.where(uid == 9, 8, np.where((uid == 7) | (uid == 8), 0, -1)),
            "source": np.where(uid == 10, "ring", np.where((uid >= 7) & (uid < 10), "share", "own")),
            "orders": (uid % 3 == seed % 2).astype(int),
            "gmv_yuan": 12.5 * (uid % 3 == seed % 2),
            "benefit_yuan": np.where(facts != {}, 4.0, 0.0),
            "satisfaction": 1.0,
        }
    )
    history = pd.DataFrame(
        {
            "day": days, "members": 100.0 + np.minimum(days + 1, 11), "signups_refused": 1.0 * (days == 3),
            "incentive_cost": 2.0 * bool(facts), "fraud_loss": np.minimum(days, 4.0) * bool(facts),
        }
    )  # fmt: skip
    flows = [(1, "shop", "buyers", "escrow", 125.0), (2, "shop", "escrow", "merchants", 100.0)]
    flows += [(1, name, "platform", "escrow", 42.0) for name in facts]
    final = {
        "new_members": 10.0, "members": 110.0, "gmv": 125.0, "contribution": 40.0, "incentive_cost": 42.0 * bool(facts),
        "kol_cost": 0.0, "fraud_accounts": 1.0, "fraud_loss_share": 0.1 if facts else np.nan, "ltv_90d": np.nan,
        "repeat_rate": 0.25, "k_factor": 0.1,
    }  # fmt: skip
    tables = {
        "history": history,
        "people": people,
        "ledger": pd.DataFrame(flows, columns=["day", "scheme", "source", "target", "amount_yuan"]),
        "cohorts": pd.DataFrame(
            [(0, 0, 7, 7), (0, 1, 7, 4), (0, 2, 7, 3), (1, 0, 3, 3), (1, 1, 3, 1), (2, 0, 0, 0)],
            columns=["cohort", "age", "members", "active"],
        ),
        "funnel": pd.DataFrame({"stage": ["messages read", "clicks", "sign-ups"], "count": [100.0, 20.0, 10.0]}),
        "losses": pd.DataFrame([("farm", name, 4.0) for name in facts], columns=["fraud", "scheme", "yuan"]),
    }
    return RunResult(own.name, own.digest, seed, {**final, **metrics}, tables, facts, 1.5)


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    base = scenario("plain")
    coupon = scenario(
        "gift", schemes=[{"kind": "coupon", "amount": 20}], guardrails=[{"metric": "fraud_loss_share", "max": 0.03}]
    )
    facts = {"coupon": {"used": 3, "spent_yuan": 42.0, "note": HOSTILE}, "idle": {"used": 0, "spent_yuan": 0.0}}
    arms = [
        Arm("plain", base, {seed: result(base, seed, {}) for seed in (1, 2, 3)}),
        Arm("gift", coupon, {s: result(coupon, s, facts, new_members=14.0 + s) for s in (1, 2, 3)}),
    ]
    study = Comparison(arms[0], arms[1:])
    runs.write_comparison(folder, study, {**study.to_dict(), "elapsed_s": 9.0})
    return folder


@pytest.fixture(scope="module")
def page(study_folder):
    return render(study_folder).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def run_page(study_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    own = scenario("plain")
    results = [result(own, 1, {})]
    summary = {"metrics": summarise(results), "guardrails": [], "failures": [], "elapsed_s": 2.0}
    runs.write_run(folder, own, results, summary)
    return render(folder).read_text(encoding="utf-8")


def test_page_needs_nothing_from_outside(page, run_page):
    for text in (page, run_page):
        found = Page(text)
        loaded = [value for _, name, value in found.attributes if name in ("src", "href", "xlink:href", "data")]
        assert all(target.startswith("#") for target in loaded)
        assert not {"script", "link", "iframe", "img", "object"} & set(found.tags)
        assert "@import" not in text
        assert not re.search(r"url\((?!#)", text)


def test_what_a_scenario_says_is_shown_but_never_run(page, run_page):
    for text in (page, run_page):
        assert "<script" not in text
        assert HOSTILE in Page(text).text
    assert f"hearsay {HOSTILE}" in Page(page).text
    assert page.count("alert(1)") >= 3  # question, source and a scheme's fact


def test_names_of_arms_are_escaped_in_figures_too(study_folder):
    run = Run("<b>&$y_2$", study_folder / "arms" / "gift")
    with styled():
        svg = str(funnel([run]).svg)
    assert "<b>" not in svg
    assert "&lt;b&gt;&amp;$y_2$</text>" in svg


def test_same_folder_gives_the_same_bytes(study_folder, page):
    assert render(study_folder).read_text(encoding="utf-8") == page


def test_every_identifier_is_unique_and_every_link_leads_somewhere(page):
    found = Page(page)
    names = [value for _, name, value in found.attributes if name == "id"]
    assert len(names) == len(set(names))
    links = [value[1:] for _, name, value in found.attributes if name in ("href", "xlink:href")]
    assert set(links) | set(re.findall(r"url\(#([^)]+)\)", page)) <= set(names)


def test_figures_can_be_read_aloud_and_have_captions(page):
    found = Page(page)
    assert found.tags.count("svg") == found.tags.count("figcaption") == found.tags.count("desc") == 7
    assert "ends with 10 new members" in found.text


def test_verdict_question_and_guardrail_stand_at_the_top(page):
    top = Page(page[: page.index('id="effects"')]).text
    assert "60% more new members in 21 days" in top
    assert "Does it pay?" in top
    assert "Guardrail fraud loss share at most 3.0%: ✗ fail" in top


def test_a_report_says_what_so_many_intervals_do_not_promise(page, run_page):
    note = "of 100 changes by luck alone, about 5 are marked ✓ or ✗"
    assert note in Page(page).text
    assert note not in Page(run_page).text


def test_metric_without_data_says_why(page, run_page):
    assert "n/a: nobody was observed for 90 days" in Page(page).text
    assert "n/a: nobody was observed for 90 days" in Page(run_page).text
    assert "n/a: no subsidy was paid" in Page(page).text
    assert "One replicate says nothing about how far results vary" in Page(run_page).text


def test_scheme_that_never_fired_is_said_so(page):
    text = Page(page).text
    assert text.count("never fired") == 1
    assert "gift: idle ✗ This scheme never fired" in text


def test_assumptions_that_were_set_come_before_defaults(page):
    text = Page(page[page.index('id="assumptions"') :]).text
    assert text.index("people.size 400") < text.index("defaults with their sources") < text.index("people.trust.mean")


def test_money_is_in_yuan_and_shares_are_in_percent():
    assert value(1234.5, "gmv") == "1,234 yuan"
    assert value(4.1, "cac") == "4.10 yuan"
    assert value(0.034, "subsidy_rate") == "3.4%"
    assert value(27.0, "teams_filled_by_nobody_knows") == "27"
    assert change(-0.034, "subsidy_rate") == "-3.4 pt"
    assert change(-0.0001, "subsidy_rate") == "0 pt"
    assert change(1234.5, "gmv") == "+1,234"


def test_growth_counts_real_persons_only_and_k_counts_whom_members_brought(study_folder):
    run = read(study_folder).base
    joined = run.joined
    assert run.joins(~joined["fake"]).sum().tolist() == [10.0] * 3
    assert run.joins(~joined["fake"] & joined["invited"]).sum().tolist() == [3.0] * 3
    assert run.joins(~joined["fake"] & joined["by_member"]).sum().tolist() == [3.0] * 3
    assert run.joins(joined["fake"]).shape == (DAYS, 3)


def test_weeks_that_the_run_cuts_short_are_not_in_the_cohorts(study_folder):
    table = read(study_folder).base.cohorts
    assert ((table["cohort"] + table["age"] + 1) * 7 <= DAYS).all()
    assert table[(table["cohort"] == 0) & (table["age"] == 1)][["members", "active"]].to_numpy().tolist() == [[7, 4]]


def test_forest_draws_an_interval_wherever_there_are_pairs_though_the_base_may_be_zero():
    row = {
        "base_mean": 2.0, "arm_mean": 3.0, "mean_difference": 1.0, "ci_low": 0.5, "ci_high": 1.5, "verdict": "better",
        "relative_difference": 0.5, "relative_low": np.nan, "relative_high": np.nan, "pairs": 6,
    }  # fmt: skip
    found = _change(row, "new_members")
    assert found[:4] == (0.5, 0.25, 0.75, True)
    told = {**row, "relative_low": 0.2, "relative_high": 0.9}
    assert _change(told, "new_members")[:4] == (0.5, 0.2, 0.9, True)  # as the tables have it
    share = _change({**row, "base_mean": 0.1, "arm_mean": 0.2, "mean_difference": 0.1, "ci_high": 7.0}, "repeat_rate")
    assert (share.mean, share.high) == (0.1, 1.0)
    assert share.text.startswith("+10.0 pt")
    lost = {**row, "base_mean": 100.0, "arm_mean": 1.0, "mean_difference": -99.0, "ci_low": -110.0, "ci_high": -88.0}
    assert _change(lost, "fraud_loss").low == -1.0  # nothing can be lost below zero, but profit can be negative
    assert _change(lost, "ring_profit").low == -1.1


def test_what_is_left_in_escrow_is_drawn(study_folder):
    own, _ = _halves(read(study_folder).arms[0])
    assert tuple(own[-1]) == ("shop", "escrow", "in escrow at the end", 125.0 + 2 * 42.0 - 100.0)


def test_runs_whose_lines_are_one_line_are_named():
    one, other = pd.DataFrame({1: [0.0, 2.0]}), pd.DataFrame({1: [0.0, 3.0]})
    assert _coinciding({"a": one, "b": other, "c": one.copy()}) == ["a and c: the same line"]


def test_losses_are_told_by_kind_of_fraud_and_scheme_in_every_arm(study_folder):
    rows = {row["metric"]: row["cells"] for row in report_tables.fraud(read(study_folder))}
    assert rows["farm took from coupon"] == ["0.00 yuan", "4.00 yuan"]


def test_a_first_replicate_without_losses_does_not_keep_those_of_the_next_from_being_written(tmp_path):
    own = scenario("plain")
    results = [result(own, 1, {}), result(own, 2, {"coupon": {}}), result(own, 3, {})]
    summary = {"metrics": summarise(results), "guardrails": [], "failures": [], "elapsed_s": 2.0}
    runs.write_run(tmp_path, own, results, summary)
    losses = pd.read_parquet(tmp_path / "losses.parquet")
    assert losses.to_numpy().tolist() == [[2, "farm", "coupon", 4.0]]
    render(tmp_path)


def test_flows_are_means_over_replicates(study_folder):
    gift = read(study_folder).arms[0]
    assert [tuple(flow) for flow in gift.flows][:2] == [
        ("shop", "buyers", "escrow", 125.0),
        ("shop", "escrow", "merchants", 100.0),
    ]


def test_arms_differ_in_more_than_colour():
    found = looks(["base", "a", "b", "c", "d"])
    assert len({(look.dashes, look.marker) for look in found.values()}) == 5


def test_single_run_says_what_it_brought_and_has_no_effects(run_page):
    text = Page(run_page).text
    assert "In 21 days plain brings 10 new members, spends nothing on incentives" in text
    assert "Who bought only because of it" not in text
    assert "No scheme runs here." in text
