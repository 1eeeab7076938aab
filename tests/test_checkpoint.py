"""Checkpoints: a shop that goes on from one is bit for bit the one that never stopped, or says why it cannot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import mesa
import numpy as np
import pandas as pd
import pytest
from same_state import differences
from worlds import COUPON, GROUP_BUY, REFERRAL, run, scenario

from experiments.outcome import observe
from sim import Scenario, ScenarioError, Shop, checkpoint
from sim.checkpoint import CheckpointError
from sim.core.graph import Graph
from sim.core.sealed import checksum, file_sums
from sim.core.table import Table, column
from sim.offers import NONE
from sim.schemes.coupon import Coupon
from sim.state import KEPT, OF_THE_SHOP, names_kept

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.yaml"))
TEAMS = {**GROUP_BUY, "window": "48h", "set_aside_units": 2, "leader": "rebate", "leader_rate": 0.1}
EVERYWHERE = {
    "kind": "coupon", "coupon": "general", "amount": 6, "claim_rate": 0.6, "per_person": 4, "valid_for": "30h",
    "budget": 4000,
}  # fmt: skip
BONUSES = {
    **REFERRAL, "bonus": {"inviter": 15, "invitee": 15, "on": "first_order"}, "binding": "any_time",
    "binding_expires": "2d", "freeze": "4h", "withdrawal": {"minimum": 0, "fee": 0.05}, "daily_cap": 3,
}  # fmt: skip
PACKET = {
    "kind": "coupon", "name": "packet", "coupon": "purchase", "fission": {"total": 12, "helpers": 2}, "claim_rate": 0.9,
}  # fmt: skip
NEWCOMERS = {
    "kind": "coupon",
    "name": "newcomers",
    "coupon": "newcomer",
    "amount": 25,
    "threshold": 60,
    "valid_for": "4d",
}
BUSY = {
    "people": {"size": 300, "spare_worth": 0.9},
    "horizon": "12d",
    "sharing": {"word_of_mouth": 0.2, "sign_up": 0.6, "organic": 0.02},
    "fraud": {
        "rings": 2,
        "enter": "1d",
        "devices": 1,
        "skill": 0.2,
        "second_accounts": {"share": 0.5, "scruple": 1},
        "brushing": {"merchants": 0.5, "every": "2d", "fee": 0, "hope": 3.0},
        "followers": {"kols": 1.0, "price": 1, "batch": 1.0, "audit": 1.0, "ban": "1d"},
    },
    "kols": {"count": 3, "post_every": "1d"},
    "risk": {"accounts_per_device": 3, "invites_per_day": 2},
    "recommendation": {"model": "hybrid", "refresh": "3d"},
    "merchants": {"review_every": "2d"},
    "catalog": {"stock": {"initial": 20, "lead_time": "30h"}},
    "operations": {
        "capacity": 40,
        "dispatch_every": "8h",
        "lead_time": "20h",
        "return_window": "2d",
        "return_rate": 0.2,
    },
    "calendar": [{"name": "fair", "start": "3d", "end": "7d", "demand": 1.7, "schemes": ["coupon"]}],
    "shocks": [{"kind": "kol_scandal", "start": "4d", "trust_loss": 0.05}],
    "record": {"journal": True, "events": True},
}
REVIEWED = {
    **BUSY,
    "risk": {
        "accounts_per_device": 3,
        "detector": {"retrain": "2d", "label_delay": "1d", "label_rate": 1.0, "min_labels": 2},
        "policy": {"hold_untaught": 0.2, "hold": 0.3, "freeze": 0.3},
        "review": {"analysts": 1},
        "appeals": {"rate": 1.0},
    },
}
WORLDS = {"busy": BUSY, "reviewed": REVIEWED}
SCHEMES = (TEAMS, EVERYWHERE, BONUSES, PACKET, NEWCOMERS)
UNTOUCHED = {
    "_agent_records", "_agenttype_records", "tables",  # of a collector that reports on agents, which ours does not
    "running", "wound_down", "kol_click", "keeps_utilities", "last_utilities",  # of shops that end, or were forked
    "self_bindings",  # who invites themselves
    "condemned",  # orders that the desk found out while they waited for a team, which is rare
}  # fmt: skip


def shop_at(tick, *schemes, seed=1, **sections):
    """Return a small shop after so many ticks."""
    shop = Shop(scenario(*schemes, **sections), rng=seed)
    for _ in range(tick):
        shop.step()
    return shop


@pytest.fixture(scope="module", params=WORLDS)
def busy(request):
    """Return a shop in which everything is under way."""
    return shop_at(31, *SCHEMES, **WORLDS[request.param])


@pytest.fixture
def quiet_folder(tmp_path):
    """Return the checkpoint of a shop without schemes after two days."""
    return shop_at(12, people={"size": 100}).checkpoint(tmp_path / "quiet")


def changed(thing, fresh):
    """Yield class and name of each kept attribute, or part of one, that is no longer what it was at first."""
    for name in OF_THE_SHOP if isinstance(thing, Shop) else names_kept(thing):
        now, then = getattr(thing, name), getattr(fresh, name)
        parts = list(zip(now, then, strict=False)) if isinstance(now, list) else [(now, then)]
        parts = [(one, other) for one, other in parts if names_kept(one) is not None]
        for one, other in parts:
            yield from changed(one, other)
        if parts or (names_kept(now) is None and differences(now, then)):
            owners = [cls.__name__ for cls in type(thing).__mro__ if name in KEPT.get(cls, ())]
            yield (*owners, "Shop")[0], name


def test_everything_that_a_checkpoint_keeps_is_under_way_in_the_busy_shop():
    met = set()
    for world in WORLDS.values():
        fresh, shop = (shop_at(tick, *SCHEMES, seed=4, **world) for tick in (0, 20))
        for _ in range(24):
            shop.step()
            met |= set(changed(shop, fresh))
    kept = {(cls.__name__, name) for cls, names in KEPT.items() for name in names}
    kept |= {("Shop", name) for name in OF_THE_SHOP}
    assert {(cls, name) for cls, name in kept - met if name not in UNTOUCHED} == set()


def test_a_fork_is_its_origin_in_every_object_now_and_later(busy, tmp_path):
    origin = Shop.restore(busy.checkpoint(tmp_path / "now"))  # the fixture itself must not go on
    fork = origin.fork()
    assert differences(origin, fork) == []
    for _ in range(11):
        origin.step()
        fork.step()
        assert differences(origin, fork) == []


def test_a_restored_shop_is_the_one_that_was_written_in_every_object(busy, tmp_path):
    found = differences(busy, Shop.restore(busy.checkpoint(tmp_path / "now")))
    assert [path for path in found if ".terms." not in path] == []  # team prices are reckoned at the next offer


def test_forks_do_not_touch_each_other_nor_their_origin():
    origin = shop_at(12, *SCHEMES, **BUSY)
    first, second = origin.fork(), origin.fork()
    first.run()
    assert differences(origin, second) == []


@pytest.mark.parametrize("tick", [0, 1, 7])
def test_a_shop_can_be_kept_at_any_tick(tick, tmp_path):
    kept = shop_at(tick, GROUP_BUY, people={"size": 150})
    restored = Shop.restore(kept.checkpoint(tmp_path / "now"))
    if tick > 0:  # before the first, the original's processes have not begun to wait
        assert differences(kept, restored) == []
    assert differences(kept.run(), restored.run()) == []


@pytest.mark.parametrize("model", ["popularity", "content", "collaborative", "social", "random"])
def test_every_recommender_goes_on_as_it_was(model):
    origin = shop_at(9, people={"size": 150}, recommendation={"model": model, "refresh": "1d"}, horizon="3d")
    fork = origin.fork()
    assert differences(origin, fork) == []
    assert differences(origin.run(), fork.run()) == []


def test_item_neighbours_and_thresholds_are_kept_too():
    sections = {
        "recommendation": {"model": "collaborative", "algorithm": "item_knn"}, "sharing": {"response": "threshold"},
    }  # fmt: skip
    origin = shop_at(9, REFERRAL, people={"size": 150}, horizon="3d", **sections)
    fork = origin.fork()
    assert differences(origin.run(), fork.run()) == []


def test_state_that_a_checkpoint_forgets_is_found(monkeypatch):
    settle = Coupon.settle

    def counting(self, orders):
        self.settled = getattr(self, "settled", 0) + len(orders)
        settle(self, orders)

    monkeypatch.setattr(Coupon, "settle", counting)
    origin = shop_at(12, COUPON, people={"size": 150})
    assert any("settled" in difference for difference in differences(origin, origin.fork()))


def test_whatever_the_registry_names_is_there(busy):
    for thing in (*busy.schemes, busy.ledger, busy.feed, busy.risk, busy.operations, *busy.rings, busy.datacollector):
        for cls in type(thing).__mro__:
            assert all(hasattr(thing, name) for name in KEPT.get(cls, ())), cls


def test_mesa_counts_on_and_its_collector_and_agents_are_as_they_were(busy, tmp_path):
    restored = Shop.restore(busy.checkpoint(tmp_path / "now"))
    assert (restored.steps, restored.time) == (busy.steps, busy.time) == (31, 31.0)
    assert [agent.unique_id for agent in restored.agents] == [agent.unique_id for agent in busy.agents]
    collected = restored.datacollector.get_model_vars_dataframe()
    pd.testing.assert_frame_equal(collected, busy.datacollector.get_model_vars_dataframe())
    assert len(collected) == 5
    restored.run()
    assert (restored.steps, restored.time) == (72, 72.0)
    assert len(restored.datacollector.get_model_vars_dataframe()) == 12


def test_a_network_of_ones_own_comes_along(tmp_path):
    graph = Graph.from_edges([0, 1, 2, 3], [1, 2, 3, 4], persons=40, labels=[f"person {i}" for i in range(40)])
    kept = Shop(scenario(), rng=1, graph=graph)
    for _ in range(8):
        kept.step()
    restored = Shop.restore(kept.checkpoint(tmp_path / "now"))
    assert restored.graph.labels.tolist() == graph.labels.tolist()
    assert differences(kept, restored) == []


IN_A_NEW_PROCESS = """
import sys
from pathlib import Path
from experiments.files import to_json
from experiments.outcome import observe
from sim import Shop
for folder in map(Path, sys.argv[1:]):
    shop = Shop.restore(folder).run()
    result = observe(shop, 0.0)
    (folder.parent / "metrics.json").write_text(to_json(result.metrics))
    for name, table in result.tables.items():
        table.to_parquet(folder.parent / f"{name.replace('/', '-')}.parquet", index=False)
    shop.checkpoint(folder.parent / "end")
"""


@pytest.mark.slow
def test_every_shipped_scenario_goes_on_in_a_new_process_as_if_it_had_never_stopped(tmp_path):
    small = {
        "people.size": 300, "people.network": {"kind": "watts_strogatz", "mean_degree": 8}, "tick": "1d",
        "people.members_at_start": "50%", "demand.conversion": "20%", "horizon": "20d", "record": {"journal": True},
    }  # fmt: skip
    undisturbed = {}
    for file in SCENARIOS:
        shop = Shop(Scenario.load(file).override(small), rng=3)
        for _ in range(8):
            shop.step()
        shop.checkpoint(tmp_path / file.stem / "warm")
        undisturbed[file.stem] = shop.run()
    folders = [str(tmp_path / name / "warm") for name in undisturbed]
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NEW_PROCESS, *folders], env={**os.environ, "NUMBA_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for name, shop in undisturbed.items():
        result = observe(shop, 0.0)
        metrics = json.loads((tmp_path / name / "metrics.json").read_text())
        assert metrics == {key: None if np.isnan(value) else value for key, value in result.metrics.items()}
        for table, frame in result.tables.items():
            found = pd.read_parquet(tmp_path / name / f"{table.replace('/', '-')}.parquet")
            pd.testing.assert_frame_equal(found, frame, check_exact=True)
        kept = checkpoint.inspect(shop.checkpoint(tmp_path / name / "undisturbed"))
        assert kept["files"] == checkpoint.inspect(tmp_path / name / "end")["files"]


# What is refused.


def test_a_checkpoint_is_arrays_and_json_without_python_objects(quiet_folder):
    assert {file.suffix for file in quiet_folder.iterdir()} == {".json", ".npz", ".yaml"}
    for file in quiet_folder.glob("*.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            assert not any(arrays[name].dtype.hasobject for name in arrays.files)
    json.loads((quiet_folder / "state.json").read_text())


def cut(file):
    file.write_bytes(file.read_bytes()[:-1])


def lose(file):
    file.unlink()


def edit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("damage", [cut, lose, edit])
@pytest.mark.parametrize("file", ["manifest.json", "scenario.yaml", "state.json", "arrays.npz", "network.npz"])
def test_a_checkpoint_that_is_not_as_it_was_written_is_refused(quiet_folder, damage, file):
    damage(quiet_folder / file)
    with pytest.raises(CheckpointError, match=r"is not as it was written|is not a checkpoint"):
        Shop.restore(quiet_folder)


def test_a_file_that_was_added_is_noticed(quiet_folder):
    (quiet_folder / "more.txt").write_text("?")
    with pytest.raises(CheckpointError, match="is not as it was written"):
        Shop.restore(quiet_folder)


def test_a_checkpoint_of_another_engine_is_refused(quiet_folder, monkeypatch):
    here = checkpoint.versions()
    monkeypatch.setattr(checkpoint, "versions", lambda: {**here, "code": "0", "mesa": "9.9"})
    with pytest.raises(
        CheckpointError, match=r"was written by another engine \(code \w+, here 0, mesa .*, here 9\.9\)"
    ):
        Shop.restore(quiet_folder)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CheckpointError, match="holds something else than a checkpoint"):
        shop_at(0, people={"size": 50}).checkpoint(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_checkpoint_replaces_an_older_one_whole(quiet_folder):
    shop_at(18, people={"size": 100}).checkpoint(quiet_folder)
    assert Shop.restore(quiet_folder).clock.tick == 18
    assert [entry.name for entry in quiet_folder.parent.iterdir()] == ["quiet"]


def test_a_folder_without_a_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"is not a checkpoint: it has no manifest\.json"):
        Shop.restore(tmp_path)


def test_agents_of_ones_own_are_refused_because_nobody_knows_what_they_keep():
    shop = shop_at(1, people={"size": 50})
    mesa.Agent(shop)
    with pytest.raises(CheckpointError, match="agents of other classes cannot be kept: Agent"):
        shop.fork()


class Drawn(Table):
    """Tickets of a raffle."""

    person = column(np.int32, fill=NONE)


class Raffle(Coupon):
    """A coupon that also draws tickets, and does not say so."""

    def settle(self, orders):
        super().settle(orders)
        if not hasattr(self, "drawn"):
            self.drawn = Drawn()
        self.drawn.append(person=orders.person)


class OpenRaffle(Raffle):
    """The same, and says so."""

    keeps = ("drawn",)

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.drawn = Drawn()


def raffle(monkeypatch, cls):
    monkeypatch.setattr("sim.shop.registry", lambda: {"coupon": cls})
    return shop_at(12, COUPON, people={"size": 150})


def test_a_scheme_from_elsewhere_must_say_what_it_keeps(monkeypatch):
    with pytest.raises(CheckpointError, match=r"Raffle does not say which of .*drawn it keeps from tick to tick"):
        raffle(monkeypatch, Raffle).fork()


def test_a_scheme_from_elsewhere_that_says_what_it_keeps_is_kept(monkeypatch):
    origin = raffle(monkeypatch, OpenRaffle)
    fork = origin.fork()
    assert len(origin.schemes[0].drawn) > 0
    assert differences(origin.run(), fork.run()) == []


def test_errors_are_errors_of_a_scenario_so_that_the_command_line_knows_them():
    assert issubclass(CheckpointError, ScenarioError)


def test_results_without_a_fork_do_not_depend_on_being_kept(tmp_path):
    watched = shop_at(9, *SCHEMES, **BUSY)
    watched.checkpoint(tmp_path / "now")
    watched.fork()
    assert differences(watched.run(), run(*SCHEMES, **BUSY)) == []


def test_a_state_can_only_set_what_is_kept(quiet_folder):
    tree = json.loads((quiet_folder / "state.json").read_text())
    tree["clock"]["object"]["horizon"] = 10**9
    (quiet_folder / "state.json").write_text(json.dumps(tree))
    manifest = json.loads((quiet_folder / "manifest.json").read_text())
    manifest["files"] = file_sums(quiet_folder)
    (quiet_folder / "manifest.json").write_text(json.dumps({**manifest, "checksum": checksum(manifest)}))
    with pytest.raises(CheckpointError, match="clock has horizon in the state, which this shop does not keep"):
        Shop.restore(quiet_folder)
