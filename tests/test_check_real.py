"""``shopsim check`` on the real shop: what must be equal, what must be found, and no false alarms."""

import json
import re
from pathlib import Path

import pytest
from test_check import checked, shopsim

REFERRAL = """
horizon: 14d
tick: 1d
people: {size: 200, network: {kind: power_law_cluster, mean_degree: 8, clustering: 0.2}, members_at_start: 80%}
catalog: {merchants: 3, products: 40}
demand: {conversion: 60%, rate: {shape: 1.0, mean: 2.0}}
sharing: {per_visit: 50%, after_order: 100%, activity_sigma: 0, audience: all, social_cost: {mean: 0.01, sigma: 0.01}}
recommendation: {model: popularity}
fraud: {rings: 0}
schemes:
  - {kind: referral, binding: any_time, rates: [5%, 2%], freeze: 3d}
"""


@pytest.mark.slow
def test_a_five_percent_change_of_a_commission_rate_is_found_and_a_reordered_scenario_is_equal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = Path("referral.yaml")
    file.write_text(REFERRAL)
    assert shopsim("baseline", file, "--replicates", 30).exit_code == 0
    blocks = re.findall(r"^\w.*\n(?:  .*\n)*", REFERRAL, re.MULTILINE)
    file.write_text("name: another\nquestion: Is it the same?\n" + "".join(reversed(blocks)))
    code, found = checked()
    assert (code, found["baselines"][0]["state"]) == (0, "equal")
    assert found["baselines"][0]["digest"] == found["baselines"][0]["baseline_digest"]
    before = json.loads(Path("results/baselines/referral.json").read_text())["outcome_digest"]
    shopsim("check", "--update")
    assert json.loads(Path("results/baselines/referral.json").read_text())["outcome_digest"] == before
    file.write_text(REFERRAL.replace("rates: [5%", "rates: [5.25%"))
    done = shopsim("check")
    assert done.exit_code == 1
    assert re.search(r"commission_paid .*changed", done.stdout)


@pytest.mark.slow
def test_unchanged_shops_with_other_seeds_raise_no_more_alarms_than_stated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small = (
        REFERRAL.replace("14d", "7d").replace("size: 200", "size: 100").replace("clustering: 0.2", "clustering: 0.3")
    )
    Path("referral.yaml").write_text(small)
    alarms, trials = 0, 8
    for trial in range(trials):
        assert shopsim("baseline", "referral.yaml", "--replicates", 4, "--seed", 100 * trial).exit_code == 0
        alarms += checked("--seeds-from", 100 * trial + 50)[0]
        Path("results/baselines/referral.json").unlink()
    assert alarms <= 1
