"""The whole shop: what must hold whatever the scenario says."""

from __future__ import annotations

import json

import mesa
import networkx as nx
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim import Graph, Shop
from sim.core.ledger import Account
from sim.day import arrivals
from sim.offers import ShareKind, Source
from sim.orders import OPEN, OrderStatus
from sim.people import Status
from tests.worlds import COUPON, GROUP_BUY, REFERRAL, merged, run, scenario


def everything(shop: Shop) -> str:
    return json.dumps(
        [shop.metrics().to_dict(), shop.ledger.balances()["balance"].to_dict(), shop.history().to_dict("list")]
    )


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    schemes = (GROUP_BUY, COUPON, REFERRAL)
    assert everything(run(*schemes)) == everything(run(*schemes))
    assert everything(run(*schemes)) != everything(run(*schemes, seed=2))


@pytest.mark.parametrize("schemes", [(), (GROUP_BUY, COUPON, REFERRAL)], ids=["no schemes", "all schemes"])
def test_one_isolated_person_more_changes_no_other_persons_history(schemes):
    graph = Graph.of(nx.connected_watts_strogatz_graph(500, 8, 0.1, seed=3))
    sections = {"fraud": {"rings": 1, "capacity": 20}, "sharing": {"organic": 0}}
    few = run(*schemes, graph=graph, **sections)
    more = run(*schemes, graph=graph.with_isolated(1), people={"members_at_start": 0.4}, **sections)
    newcomer = 500
    if more.people.status[newcomer] != Status.PROSPECT:
        pytest.fail("choose another seed: this test is about a person who touches nobody")
    order = np.argsort(few.people.uid), np.argsort(more.people.uid[more.people.uid != newcomer])
    for name in few.people:
        if name in ("inviter", "device", "address", "payment"):  # row numbers, and fake accounts stand one row later
            continue
        others = np.delete(more.people[name], newcomer, axis=0)
        assert np.array_equal(few.people[name][order[0]], others[order[1]], equal_nan=False), name
    assert few.ledger.balances().equals(more.ledger.balances())


def test_an_active_stranger_changes_nobody_else_where_nothing_is_shared():
    """A member without ties touches only what all share; with chance slates and endless stock, that is nothing."""
    graph = Graph.of(nx.connected_watts_strogatz_graph(500, 8, 0.1, seed=3))
    sections = {
        "recommendation": {"model": "random"},
        "people": {"members_at_start": 1.0},
        "merchants": {"price_step": 0},
    }
    few, more = run(graph=graph, **sections), run(graph=graph.with_isolated(1), **sections)
    assert more.people.orders[500] > 0
    for name in few.people:
        assert np.array_equal(few.people[name], more.people[name][:500]), name


def conserves(shop: Shop) -> None:
    """Assert every law of conservation that can be seen from outside."""
    book, products = shop.book, shop.products
    assert shop.ledger.imbalance() == 0
    is_open = np.isin(book.status, OPEN)
    assert shop.ledger.balance(Account.ESCROW) == book.worth[is_open].sum()
    assert (book.worth == book.pay + book.discount.sum(axis=1)).all()
    assert (products.stock >= 0).all()
    assert (book.pay >= 0).all()
    for scheme in shop.schemes:
        if scheme.config.budget is not None:
            assert scheme.spent <= scheme.config.budget
        if scheme.kind == "coupon":
            facts = scheme.metrics()
            assert facts["coupons_issued"] == facts["coupons_used"] + facts["coupons_live"] + facts["coupons_expired"]
    paid = np.bincount(
        book.person, np.where(np.isin(book.status, (OrderStatus.REFUNDED, OrderStatus.RETURNED)), 0, book.pay)
    )
    assert (shop.people.spend[: paid.size] == paid).all()


schemes = st.lists(
    st.sampled_from(
        [
            GROUP_BUY,
            merged(
                GROUP_BUY,
                {"team_size": 3, "virtual_places": 1, "leader": "rebate", "leader_rate": 0.1, "name": "rebates"},
            ),
            merged(GROUP_BUY, {"leader": "free", "name": "free", "budget": 200, "merchant_share": 0.5}),
            merged(COUPON, {"budget": 100}),
            {
                "kind": "coupon",
                "name": "percent",
                "coupon": "general",
                "percent": 0.3,
                "cap": 15,
                "valid_for": "3d",
                "merchant_share": 1.0,
            },
            REFERRAL,
            merged(
                REFERRAL,
                {
                    "name": "spender",
                    "base": "profit",
                    "merchant_share": 0.3,
                    "budget": 150,
                    "own_purchase_rebate": 0.02,
                },
            ),
        ]
    ),
    max_size=3,
    unique_by=lambda s: s.get("name", s["kind"]),
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(
    schemes=schemes,
    seed=st.integers(0, 2**32 - 1),
    stock=st.sampled_from([None, 0, 3, 40]),
    rings=st.integers(0, 2),
    returns=st.sampled_from([0.0, 0.3, 1.0]),
    tick=st.sampled_from(["2h", "4h", "1d"]),
    capacity=st.sampled_from([None, 5]),
)
def test_money_goods_and_coupons_are_conserved_in_any_scenario(schemes, seed, stock, rings, returns, tick, capacity):
    shop = Shop(
        scenario(
            *schemes,
            horizon="8d",
            tick=tick,
            people={"size": 150},
            catalog={"stock": {} if stock is None else {"initial": stock, "lead_time": "24h"}},
            operations={"return_rate": returns, "return_window": "24h", "capacity": capacity, "lead_time": "24h"},
            fraud={"rings": rings, "enter": "0h", "capacity": 12},
            kols={"count": 2, "market": 1000},
        ),
        rng=seed,
    )
    while shop.running:
        shop.step()
        conserves(shop)


def test_without_a_return_window_nothing_comes_back_but_what_is_refused_at_the_door():
    quick = {"return_window": "0h", "return_rate": 0.5, "lead_time": "6h", "dispatch_every": "4h"}
    shop = Shop(scenario(horizon="12d", operations=quick), rng=1)
    while shop.clock.day < 6:
        shop.step()
    refused = np.flatnonzero(shop.book.status == OrderStatus.PAID)[:3]
    shop.book.will_return[refused] = True
    shop.run()
    back = np.flatnonzero(shop.book.status == OrderStatus.RETURNED)
    assert refused.size > 0
    assert back.tolist() == refused.tolist()
    assert (shop.book.status == OrderStatus.CONFIRMED).sum() > 50


def test_mesa_batch_run_and_data_collector_work_on_the_shop():
    rows = mesa.batch_run(
        Shop,
        {"scenario": scenario(GROUP_BUY, horizon="3d"), "people.size": [200, 300]},
        rng=[1, 2],
        data_collection_period=-1,
        display_progress=False,
    )
    assert len(rows) == 4
    assert {row["people.size"] for row in rows} == {200, 300}
    assert all(row["visits"] > 0 and row["day"] == 2 for row in rows)
    shop = Shop(scenario(horizon="3d"), rng=1).run()
    frame = shop.datacollector.get_model_vars_dataframe()
    assert frame["day"].tolist() == [0, 1, 2]
    assert frame["orders"].iloc[-1] == len(shop.book)


def test_data_can_be_collected_at_any_moment():
    shop = Shop(scenario(horizon="3d"), rng=1)
    shop.datacollector.collect(shop)
    for _ in range(shop.clock.ticks_a_day + 5):  # the shop itself collects at the end of the day
        shop.step()
    shop.datacollector.collect(shop)
    frame = shop.datacollector.get_model_vars_dataframe()
    assert frame["day"].tolist() == [0, 0, 1]
    assert frame["orders"].tolist()[0] == 0
    assert frame["orders"].iloc[-1] == len(shop.book)


def test_agents_are_mesa_agents_and_the_crowd_is_not():
    shop = Shop(scenario(fraud={"rings": 2}, kols={"count": 3}), rng=1)
    kinds = {kind.__name__: len(agents) for kind, agents in shop.agents_by_type.items()}
    assert kinds == {"Kol": 3, "Merchant": 4, "Ring": 2}


def test_a_person_can_be_looked_at_but_not_changed():
    person = Shop(scenario(), rng=1).person(42)
    assert 0 < person.trust <= 1
    assert person.status in Status
    with pytest.raises(AttributeError, match="no 'mood'"):
        _ = person.mood
    with pytest.raises(AttributeError):
        person.trust = 1.0


def test_a_seed_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="from 0 to"):
        Shop(scenario(), rng=-1)


@pytest.mark.parametrize("rng", [1.7, "x", -1, 2**32])
def test_a_seed_that_is_none_is_refused(rng):
    with pytest.raises(ValueError, match="whole number from 0"):
        Shop(scenario(), rng=rng)


def test_visits_ascend_and_who_was_sent_comes_as_sent_and_a_click_goes_before_ones_own_will() -> None:
    def each(*values: int) -> npt.NDArray[np.int32]:
        return np.array(values, np.int32)

    status = np.full(9, Status.MEMBER, np.int8)
    status[6] = Status.PROSPECT
    ring = np.full(2, Source.RING, np.int8)
    kind = np.array([ShareKind.PRODUCT, ShareKind.POST, ShareKind.PRODUCT], np.int8)
    person, source, sharer, product, team, kol, quantity = arrivals._gather(
        each(3, 3), ring, each(-1, -1), each(70, 71), each(-1, -1), each(-1, -1), each(4, 5),
        each(3, 4, 6), kind, each(0, -1, 0), each(80, 81, 82), each(5, -1, -1), np.array([-1, 2, -1], np.int16),
        each(1, 4), each(1, 2, 3, 8), status, np.uint32(1), np.uint32(0), np.arange(9, dtype=np.uint32), np.empty(0),
    )  # fmt: skip
    assert person.tolist() == [1, 2, 3, 4, 8]
    assert source.tolist() == [Source.OWN, Source.OWN, Source.RING, Source.KOL, Source.OWN]
    assert product.tolist() == [-1, -1, 70, 81, -1]
    assert kol.tolist() == [-1, -1, -1, 2, -1]
    assert sharer.tolist() == team.tolist() == [-1] * 5
    assert quantity.tolist() == [1, 1, 4, 1, 1]


def test_batch_run_stops_before_the_horizon_unless_it_is_given_the_ticks():
    def days(**limit):
        asked = {"scenario": scenario(horizon="45d", tick="1h"), "people.size": 60}
        rows = mesa.batch_run(Shop, asked, rng=[1], data_collection_period=-1, display_progress=False, **limit)
        return rows[-1]["day"] + 1

    assert days() == 41  # 1000 ticks, as the docstring of Shop says
    assert days(max_steps=45 * 24) == 45


def test_the_persons_of_a_graph_replace_those_of_the_scenario():
    assert len(Shop(scenario(horizon="1d"), rng=1, graph=nx.path_graph(70)).people) == 70


def test_after_the_horizon_no_tick_is_simulated():
    shop = run(horizon="2d", tick="1d")
    before = everything(shop)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="the horizon of 2 ticks is over"):
            shop.step()
    with pytest.raises(RuntimeError, match="the horizon of 2 ticks is over"):
        shop.run_for(1)
    assert everything(shop) == before
    assert everything(shop.run()) == before
