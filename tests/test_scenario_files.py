"""Broken scenario files: each is refused with exit code 2 and a message that names file and key, never a traceback."""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from experiments.cli import app
from sim.scenario import Scenario, ScenarioError
from sim.scenario.starter import SHIPPED

JARGON = ("Traceback", "Input should", "validation error", "type=", "pydantic", "errors.pydantic.dev", "function-")

BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(9)
)

# what is wrong: (text of the file, key path in the message, part of the message)
BROKEN = {
    # not a scenario at all
    "empty": ("", "", "is empty"),
    "only a comment": ("# nothing\n", "", "must be a mapping"),
    "a list": ("- people\n- schemes\n", "", "must be a mapping"),
    "a word": ("baseline\n", "", "must be a mapping"),
    "binary": (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", "", "is not UTF-8 text (line 1)"),
    "latin-1": ("question: caf\xe9\n".encode("latin-1"), "", "is not UTF-8 text (line 1)"),
    "control characters": ("name: a\x07b\n", "", "holds a character that text files do not have"),
    "too large": ("# " + "x" * 300_000, "", "is larger than 250 kB"),
    "json gone wrong": ('{"people": {"size": 10}', "", "is not YAML"),
    "an unclosed quote": ('question: "why\n', "", "is not YAML"),
    "two documents": ("name: a\n---\nname: b\n", "", "second document"),
    "a tab": ("people:\n\tsize: 10\n", ":2", "is indented with a tab"),
    "an unknown alias": ("people: *someone\n", ":1", "needs quotes"),
    "a colon too many": ("question: what: this\n", ":1", "is not YAML"),
    # YAML that scenarios do not have
    "a bomb of aliases": (BOMB, "", "holds more than 100,000 values once aliases (*) are expanded"),
    "an alias of itself": ("people: &p\n  network: *p\n", "", "nested more than 50 deep"),
    "deep nesting": ("people: " + "[" * 60 + "]" * 60, "", "nested more than 50 deep"),
    "absurdly deep nesting": ("name: deep\npeople:\n " + "{a: " * 20_000, ":3: ", "nested more than 50 deep"),
    "a Python object": ("people: !!python/object/apply:os.system [ls]\n", "people", "are not allowed"),
    "a tag on a number": ("people: {size: !!binary aGk=}\n", "people.size", "are not allowed"),
    "a merge key": ("people:\n  <<: {size: 10}\n", "", "merge keys (<<) are not allowed; use extends"),
    "a duplicate key": ("horizon: 30d\ntick: 1h\nhorizon: 60d\n", ":3: horizon", "is given twice (first on line 1)"),
    "a duplicate key below": ("people:\n  size: 10\n  size: 20\n", ":3: people.size", "is given twice"),
    "a list as a key": ("? [1, 2]\n: 3\n", "", "keys must be text"),
    # extends
    "extends nothing": ("extends: nowhere.yaml\n", "extends", "nowhere.yaml: there is no such file"),
    "extends itself": ("extends: broken.yaml\n", "extends", "in a circle: broken.yaml -> broken.yaml"),
    "extends in a circle": ("extends: circle.yaml\n", "circle.yaml:1: extends", "in a circle"),
    "extends a folder": ("extends: .\n", "extends", "is a folder"),
    "extends a number": ("extends: 3\n", "extends", "a file name or a list of file names"),
    "extends what is broken": ("extends: bad_size.yaml\n", "bad_size.yaml:2: people.size", "must be a whole number"),
    # what can have no effect
    "a scheme that never opens": (
        "horizon: 30d\nschemes:\n  - {kind: coupon, coupon: newcomer, amount: 5, start: 30d}\n",
        ":3: schemes.0.start", "or the scheme never opens",
    ),
    "a scheme that closes before the tick in which it would open": (
        "tick: 1d\nschemes:\n  - {kind: coupon, amount: 5, start: 25h, end: 36h}\n",
        ":3: schemes.0.start", "or the scheme never opens. Got 25h.",
    ),
    "a gift after the end": (
        "horizon: 10d\nschemes:\n  - {kind: coupon, coupon: gift, amount: 5, dates: [2d, 50d]}\n",
        ":3: schemes.0.dates.1", "up to 239h, when the last tick begins, or the coupon is never given. Got 50d.",
    ),
    "a coupon that is valid after the end": (
        "horizon: 10d\nschemes:\n  - {kind: coupon, amount: 5, valid_from: 20d, valid_until: 30d}\n",
        ":3: schemes.0.valid_from", "or the coupon is never valid",
    ),
    "a coupon that is valid between two ticks": (
        "tick: 1d\nschemes:\n  - {kind: coupon, amount: 5, valid_from: 49h, valid_until: 50h}\n",
        ":3: schemes.0.valid_from", "that a tick of 1d begins between it and 50h",
    ),
    "a campaign after the end": (
        "horizon: 10d\ncalendar:\n  - {name: sale, start: 50d, end: 60d}\n",
        ":3: calendar.0.start", "or the campaign never begins",
    ),
    "a campaign between two ticks": (
        "tick: 1d\ncalendar:\n  - {name: sale, start: 2h, end: 9h}\n",
        ":3: calendar.0.start", "that a tick of 1d begins between it and 9h",
    ),
    "a campaign in which nothing happens": (
        "calendar:\n  - {name: sale, start: 2d, end: 5d}\n", ":2: calendar.0", "needs schemes, demand or both",
    ),
    "a scheme that begins after its only campaign": (
        "calendar: [{name: sale, start: 2d, end: 5d, schemes: [coupon]}]\n"
        "schemes:\n  - {kind: coupon, amount: 5, start: 5d}\n",
        ":3: schemes.0.start", "before the end of a campaign that lists the scheme",
    ),
    "a scheme that ends before its campaigns": (
        "calendar: [{name: a, start: 9d, end: 12d, schemes: [duo]}, {name: b, start: 5d, end: 6d, schemes: [duo]}]\n"
        "schemes: [{kind: group_buy, name: duo, end: 5d}]\n",
        ":2: schemes.0.start", "or the scheme never opens. Got 0d.",
    ),
    "the same gift twice": (
        "schemes:\n  - {kind: coupon, coupon: gift, amount: 5, dates: [2d, 3d, 48h]}\n",
        ":2: schemes.0.dates.2", "must fall into another tick of 1h than dates.0; a tick has one gift. Got 2d.",
    ),
    "two gifts in one tick": (
        "tick: 1d\nschemes: [{kind: coupon, coupon: gift, amount: 5, dates: [25h, 30h]}]\n",
        ":2: schemes.0.dates.1", "another tick of 1d than dates.0",
    ),
    "reorders of what is never short": (
        "catalog:\n  stock:\n    cover: 10d\n    lead_time: 72h\n", ":3: catalog.stock.cover",
        "has no effect without catalog.stock.initial",
    ),
    "a lead time of what is never short": (
        "catalog: {stock: {lead_time: 4d}}\n", ":1: catalog.stock.lead_time", "without catalog.stock.initial",
    ),
    "a stock set aside of what is never short": (
        "schemes:\n  - {kind: group_buy, set_aside: 40%}\n", ":2: schemes.0.set_aside", "without catalog.stock.initial",
    ),
    "units set aside of what is never short": (
        "schemes:\n  - {kind: group_buy, set_aside_units: 4}\n", ":2: schemes.0.set_aside_units: has no effect", "",
    ),
    "withdrawals smaller than the smallest": (
        "schemes:\n  - kind: referral\n    withdrawal: {minimum: 10, maximum: 1}\n", ":3: schemes.0.withdrawal",
        "maximum must be at least minimum",
    ),
    "a guardrail that cannot hold": (
        "guardrails:\n  - {metric: subsidy_rate, min: 5%, max: 3%}\n", ":2: guardrails.0", "can never hold",
    ),
    # unknown keys at every depth
    "unknown section": ("poeple: {size: 10}\n", "poeple", "Did you mean 'people'?"),
    "unknown key": ("people: {sise: 10}\n", "people.sise", "Did you mean 'size'?"),
    "unknown key two down": ("catalog:\n  price: {median: 60, sgima: 1}\n", ":2: catalog.price.sgima", "'sigma'?"),
    "unknown key three down": ("sharing: {click: {bas: 5%}}\n", "sharing.click.bas", "Did you mean 'base'?"),
    "unknown key in a scheme": (
        "schemes:\n  - kind: group_buy\n    team_sise: 3\n", ":3: schemes.0.team_sise", "Did you mean 'team_size'?",
    ),
    "unknown key in a guardrail": ("guardrails: [{metric: gmv, most: 3}]\n", "guardrails.0.most", "not a key here"),
    "hyphen for underscore": ("demand: {Conversion: 4%}\n", "demand.Conversion", "Did you mean 'conversion'?"),
    "a key that would ring the bell": ('"a\\a\\e[31m": 1\n', "a\\x07\\x1b[31m", "not a key here"),
    "a key without end": ("x" * 900 + ": 1\n", "x" * 200 + "...", "not a key here"),
    "a key like no other": ("risk: {zzzzzz: 1}\n", "risk.zzzzzz", "not a key here; valid: accounts_per_device"),
    "a key of another kind": ("schemes: [{kind: coupon, team_size: 3}]\n", "schemes.0.team_size", "not a key here"),
    "a key beside one named like the kind": (
        "schemes: [{kind: coupon, coupon: newcomer, amount: many}]\n", "schemes.0.amount: must be", 'Got "many".',
    ),
    # kinds
    "unknown scheme": ("schemes: [{kind: cupon}]\n", "schemes.0.kind", "Did you mean 'coupon'?"),
    "scheme without a kind": ("schemes: [{team_size: 3}]\n", "schemes.0.kind", "is missing; must be one of"),
    "unknown network": ("people: {network: {kind: small_wrld}}\n", "people.network.kind", "must be one of"),
    "a kind that is a number": ("schemes: [{kind: 3}]\n", "schemes.0.kind", "must be one of"),
    "unknown word": ("recommendation: {model: hybird}\n", "recommendation.model", "Did you mean 'hybrid'?"),
    # wrong shapes
    "a list for a mapping": ("people: [1, 2]\n", "people", "must be a mapping with keys size, network"),
    "a number for a mapping": ("people: 20000\n", "people", "must be a mapping with keys size, network"),
    "a mapping for a list": ("schemes: {kind: coupon}\n", "schemes", "must be a list. Got a mapping."),
    "a word in a list of mappings": ("schemes: [coupon]\n", "schemes.0", "must be a mapping whose kind is one of"),
    "a mapping for a number": ("people: {size: {of: 10}}\n", "people.size", "must be a whole number"),
    "null for a section": ("catalog: null\n", "catalog", "must be a mapping with keys merchants"),
    "too short a list": ("stacking: {combine: [[coupon]]}\n", "stacking.combine.0", "must be a list of 2 values"),
    # wrong types
    "text for a number": ("people: {size: many}\n", "people.size", 'Got "many".'),
    "quoted number": ("people: {size: '20000'}\n", "people.size", "must be a whole number from 1"),
    "fraction for a whole number": ("kols: {count: 2.5}\n", "kols.count", "must be a whole number from 0"),
    "yes for a number": ("fraud: {rings: true}\n", "fraud.rings", "Got true."),
    "yes for a measure": ("people: {homophily: true}\n", "people.homophily", "must be a number from 0 to 0.9"),
    "a number for true": ("record: {journal: 1}\n", "record.journal", "must be true or false"),
    "yes for true": ("record: {journal: yes}\n", "record.journal", "must be true or false"),
    "a number for text": ("question: 42\n", "question", "must be text"),
    "not a number": ("catalog: {quality: .nan}\n", "catalog.quality", "must be a number from 0 to 5. Got nan."),
    "infinity": ("demand: {rate: {shape: .inf, mean: 1}}\n", "demand.rate.shape", "Got inf."),
    "minus infinity": ("people: {homophily: -.inf}\n", "people.homophily", "Got -inf."),
    "a path as a name": ("name: ../../etc/passwd\n", "name", "must be text that matches"),
    # units
    "negative money": ("operations: {shipping: -5}\n", "operations.shipping", "an amount in yuan of 0 or more"),
    "money in fractions of a fen": ("operations: {shipping: 5.001}\n", "operations.shipping", "at most 2 decimals"),
    "money in dollars": ("operations: {shipping: 5 USD}\n", "operations.shipping", "an amount in yuan"),
    "more money than there is": ("operations: {shipping: 1e30}\n", "operations.shipping", "an amount in yuan"),
    "money that is not a number": ("fraud: {account_cost: .nan}\n", "fraud.account_cost", "an amount in yuan"),
    "negative budget": ("schemes: [{kind: coupon, budget: -1}]\n", "schemes.0.budget", "an amount in yuan"),
    "a duration without unit": ("horizon: 90\n", "horizon", "a duration needs a unit"),
    "an unknown unit": ("horizon: 3 months\n", "horizon", "a duration above 0 with a unit, such as 30min, 24h or 90d"),
    "a negative duration": ("operations: {lead_time: -2d}\n", "operations.lead_time", "a duration with a unit"),
    "a horizon of nothing": ("horizon: 0d\n", "horizon", "a duration above 0"),
    "a horizon shorter than a tick": (
        "tick: 4h\nhorizon: 1h\n", ":2: horizon: must be a whole number of ticks of 4h", "Got 1h.",
    ),
    "a horizon between two ticks": ("horizon: 30h\ntick: 1d\n", ":1: horizon", "whole number of ticks of 1d. Got 30h."),
    "a horizon in half ticks": ("horizon: 90min\n", "horizon", "whole number of ticks of 1h. Got 90min"),
    "an endless horizon": ("horizon: 20000w\n", "horizon", "of at most 3650d"),
    "a tick that divides no day": ("tick: 5h\n", "tick", "must be one of 1h, 2h, 3h, 4h, 6h, 8h, 12h, 24h"),
    "a tick of minutes": ("tick: 30min\n", "tick", "must be one of 1h"),
    "a percentage without its sign": ("catalog: {margin: 25}\n", "catalog.margin", "for 25 percent write 25% or 0.25"),
    "more than all": ("people: {members_at_start: 120%}\n", "people.members_at_start", "a share from 0% to 100%"),
    "less than nothing": ("people: {members_at_start: -0.1}\n", "people.members_at_start", "a share from 0% to 100%"),
    "a rate a week": ("sharing: {word_of_mouth: 3/week}\n", "sharing.word_of_mouth", "a rate per day of 0 or more"),
    # sizes and ranges
    "nobody ever buys": ("demand:\n  conversion: 0\n", ":2: demand.conversion", "to 99.9999%, or null. Got 0."),
    "everybody buys": ("demand:\n  conversion: 1\n", ":2: demand.conversion", "to 99.9999%, or null. Got 1."),
    "nobody": ("people: {size: 0}\n", "people.size", "must be a whole number from 1"),
    "the whole world": ("people: {size: 8000000000}\n", "people.size", "must be a whole number from 1 to 5,000,000"),
    "a number without end": (f"people: {{size: {'9' * 5000}}}\n", "people.size", "not a number that can be read"),
    "ties of all with all": (
        "people:\n  size: 5000000\n  network: {kind: complete}\n", ":2: people.size", "would need about",
    ),
    "a team of one": ("schemes: [{kind: group_buy, team_size: 1}]\n", "schemes.0.team_size", "from 2 to 100. Got 1."),
    "a million products too many": ("catalog: {products: 1e9}\n", "catalog.products", "must be a whole number from 1"),
    # files
    "a data file that is missing": (
        "people:\n  network:\n    kind: edge_list\n    file: data/nobody.csv\n",
        ":4: people.network.file", "data/nobody.csv: there is no such file",
    ),
    "a data file that is a folder": (
        "people: {network: {kind: edge_list, file: ..}}\n", "people.network.file", "is a folder",
    ),
    "a data file that is a number": (
        "people: {network: {kind: edge_list, file: 3}}\n", "people.network.file", "must be the name of a file",
    ),
    # things that do not fit together
    "a scheme that ends before it starts": (
        "schemes: [{kind: coupon, start: 9d, end: 3d}]\n", "schemes.0", "end must be later than start.",
    ),
    "a campaign of no scheme": (
        "calendar: [{name: sale, start: 1d, end: 2d, schemes: [cupon]}]\nschemes: [{kind: coupon, amount: 5}]\n",
        "calendar.0.schemes.0", "Did you mean 'coupon'?",
    ),
    "two schemes of one name": ("schemes: [{kind: group_buy}, {kind: group_buy}]\n", "schemes.1", "give one of them"),
    "stacking what is not": ("stacking: {order: [lottery_of_life]}\n", "stacking.order.0", "must be one of"),
    "coupons on team prices before there are any": (
        "stacking:\n  order: [coupon, group_buy]\nschemes: [{kind: coupon, amount: 5}, {kind: group_buy}]\n",
        ":2: stacking.order", "must name group_buy before coupon",
    ),
    "coupons on team prices whose turn is not named": (
        "stacking: {order: [coupon]}\nschemes: [{kind: coupon, amount: 5}, {kind: group_buy}]\n",
        ":1: stacking.order", "must name group_buy before coupon",
    ),
    "weights of nothing": (
        "recommendation: {weights: {popularity: 0, content: 0, collaborative: 0, social: 0}}\n",
        "recommendation.weights", "at least one weight",
    ),
    "seeds who do not exist": (
        "people: {size: 10, seeds: {persons: [3, 10]}}\n", "people.seeds.persons.1", "must be a number below 10",
    ),
    "a guardrail on no metric": ("guardrails: [{metric: gvm, max: 3}]\n", "guardrails.0.metric", "Did you mean 'gmv'?"),
    "a guardrail that guards nothing": ("guardrails: [{metric: gmv}]\n", "guardrails.0", "needs min or max"),
    "a guardrail without a metric": ("guardrails: [{max: 3}]\n", "guardrails.0.metric", "is missing"),
    "a source of nothing": ("sources: {people.sizes: me}\n", "sources.people.sizes", "Did you mean 'people.size'?"),
    "a source of no scheme": ("sources: {schemes.0.budget: me}\n", "sources.schemes.0.budget", "does not exist"),
    "a source that is a number": ("sources: {people.size: 3}\n", "sources.people.size", "must be text"),
}  # fmt: skip

# (change, key path in the message, part of the message)
BROKEN_CHANGES = {
    "no value": ("people.size", "", "must be path=value"),
    "no path": ("=3", "", "must be path=value"),
    "an empty value": ("people.size=", "people.size", "has no value; write null for none."),
    "a blank value": ("fraud.rings= ", "fraud.rings", "has no value; write null for none."),
    "unknown key": ("people.sise=3", "people.sise", "Did you mean 'size'?"),
    "unknown section": ("poeple.size=3", "poeple", "Did you mean 'people'?"),
    "a key of a number": ("people.size.of=3", "people.size.of", "'people.size' has none"),
    "a wrong value": ("people.size=many", "people.size", "must be a whole number"),
    "a value that is not YAML": ("people.size=[3", "people.size", "is not YAML"),
    "an index out of range": ("schemes.4.team_size=3", "schemes.4.team_size", "allowed is an index from 0 to 0."),
    "a negative index": ("schemes.-1.team_size=3", "schemes.-1.team_size", "Got -1."),
    "a scheme that is not there": ("schemes.referal.budget=3", "schemes.referal.budget", "no element 'referal'"),
    "a misspelt scheme": ("schemes.group_by.team_size=3", "schemes.group_by.team_size", "Did you mean 'group_buy'?"),
    "a misspelt key of a scheme": ("schemes.group_buy.team=3", "schemes.0.team", "not a key here"),
    "a mapping that replaces one": ("people.network={kind: ring}", "people.network.kind", "must be one of"),
    "a data file that is missing": (
        "people.network={kind: edge_list, file: none.csv}", "people.network.file", "none.csv: there is no such file",
    ),
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder with the files that broken ones refer to."""
    monkeypatch.chdir(tmp_path)
    Path("circle.yaml").write_text("extends: broken.yaml\n", encoding="utf-8")
    Path("bad_size.yaml").write_text("people:\n  size: some\n", encoding="utf-8")
    Path("good.yaml").write_text("schemes: [{kind: group_buy}]\n", encoding="utf-8")
    return tmp_path


def refused(*arguments: str) -> str:
    """Run ``shopsim validate``, which must refuse, and return what it says."""
    result = CliRunner().invoke(app, ["validate", *arguments])
    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    assert not any(word in result.output for word in JARGON), result.output
    assert not result.stdout
    return result.stderr


@pytest.mark.parametrize("case", BROKEN)
def test_broken_file_is_refused_with_file_key_path_and_what_is_allowed(case: str, folder: Path) -> None:
    content, path, phrase = BROKEN[case]
    Path("broken.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    message = refused("broken.yaml").splitlines()[0]
    assert "broken.yaml" in message or "bad_size.yaml" in message or "circle.yaml" in message
    assert path in message
    assert phrase in message


@pytest.mark.parametrize("case", BROKEN_CHANGES)
def test_broken_change_is_refused_with_its_key_path(case: str, folder: Path) -> None:
    change, path, phrase = BROKEN_CHANGES[case]
    message = refused("good.yaml", "--set", change)
    assert message.startswith("--set: ")
    assert path in message
    assert phrase in message


@pytest.mark.parametrize("name", ["missing.yaml", "no/such/folder/x.yaml", ".", "x" * 300])
def test_file_that_cannot_be_read_is_refused_by_name(name: str, folder: Path) -> None:
    assert refused(name).startswith(name)


def test_all_errors_are_shown_up_to_ten_in_the_order_of_the_file(folder: Path) -> None:
    Path("broken.yaml").write_text("".join(f"key{number}: 1\n" for number in range(13)), encoding="utf-8")
    lines = refused("broken.yaml").splitlines()
    assert [line.split(": ")[0] for line in lines[:10]] == [f"broken.yaml:{number}" for number in range(1, 11)]
    assert lines[10:] == ["... and 3 more"]


def test_one_broken_file_does_not_hide_the_others(folder: Path) -> None:
    Path("broken.yaml").write_text("tick: 5h\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["validate", "broken.yaml", "good.yaml"])
    assert result.exit_code == 2
    assert "good.yaml: ok: 10,000 persons" in result.stdout
    assert "broken.yaml:1: tick" in result.stderr


def test_an_error_in_only_one_branch_of_a_choice_is_told_without_the_others(folder: Path) -> None:
    Path("broken.yaml").write_text("demand: {dropout: {a: 0.5, b: many}}\n", encoding="utf-8")
    message = refused("broken.yaml")
    assert message == 'broken.yaml:1: demand.dropout.b: must be a number above 0 and at most 1,000. Got "many".\n'


JUNK = st.sampled_from(
    [
        None, True, False, -1, 0, 3, 0.5, 1e300, -1e-300, float("nan"), float("inf"), 10**30,
        "", "x", "15%", "-3%", "9 yuan", "2d", "0h", "\x1b[2J", "all", "none",
        [], [[]], [None], ["x", 3], {}, {"kind": "coupon"}, {"kind": {}}, {"x": {"y": 1}},
    ]
)  # fmt: skip


@settings(max_examples=60)
@given(st.data())
def test_any_value_at_any_key_is_either_taken_or_refused_by_name(data: st.DataObject) -> None:
    scenario = launch()
    path = data.draw(st.sampled_from([parameter.path for parameter in scenario.parameters()]))
    try:
        scenario.override({path: data.draw(JUNK)})
    except ScenarioError as error:
        message = str(error)
        assert path.split(".")[0] in message
        assert not any(word in message for word in JARGON), message


@cache
def launch() -> Scenario:
    return Scenario.load(SHIPPED / "launch.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "calendar: [{name: sale, start: 2d, end: 5d, demand: 1}]",  # the first point of a sweep
        "calendar: [{name: a, start: 2d, end: 5d, schemes: [gift]}, {name: b, start: 9d, end: 12d, schemes: [gift]}]\n"
        "schemes: [{kind: coupon, name: gift, amount: 5, start: 5d}]",
        "tick: 1d\nschemes: [{kind: coupon, coupon: gift, amount: 5, dates: [1d, 2d]}]",
        "catalog: {stock: {initial: 5, cover: 10d}}\nschemes: [{kind: group_buy, set_aside: 40%}]",
        "schemes: [{kind: referral, withdrawal: {minimum: 10, maximum: 10}}]",
    ],
)
def test_what_has_an_effect_is_taken_even_when_written_out(text: str, folder: Path) -> None:
    Path("busy.yaml").write_text(text, encoding="utf-8")
    Path("resolved.yaml").write_text(scenario := Scenario.load("busy.yaml").to_yaml(), encoding="utf-8")
    assert Scenario.load("resolved.yaml").to_yaml() == scenario


@pytest.mark.parametrize(
    "changes",
    [
        {"stacking": {"combine": []}},
        {"schemes": [{"kind": "coupon", "amount": 5, "stacks_with": []}, {"kind": "group_buy"}]},
        {"schemes": [{"kind": "coupon", "amount": 5}]},
    ],
)
def test_coupons_may_come_first_where_they_never_fall_on_team_prices(changes: dict[str, Any]) -> None:
    schemes = [{"kind": "coupon", "amount": 5}, {"kind": "group_buy"}]
    stacking = {"order": ["coupon", "group_buy"], **changes.get("stacking", {})}
    Scenario.from_dict({"schemes": schemes, **changes, "stacking": stacking})


def test_guarded_differs_from_besieged_by_its_controls_and_nothing_else():
    besieged, guarded = (Scenario.load(SHIPPED / f"{name}.yaml").config for name in ("besieged", "guarded"))
    told = {"name", "question", "guardrails", "risk", "sources"}
    assert besieged.model_dump(exclude=told) == guarded.model_dump(exclude=told)
    assert besieged.risk.detector is None
    assert guarded.risk.detector is not None


def test_controls_can_be_taken_away_again():
    gone = dict.fromkeys(("risk.detector", "risk.policy", "risk.review", "risk.appeals"))
    risk = Scenario.load(SHIPPED / "guarded.yaml").override(gone).config.risk
    assert risk.model_dump(exclude={"policy"}) == (
        Scenario.load(SHIPPED / "besieged.yaml").config.risk.model_dump(exclude={"policy"})
    )
    watched = Scenario.load(SHIPPED / "guarded.yaml").override({"risk.policy": None}).config.risk
    assert not watched.measures.needs_a_desk
    assert watched.measures.refuse is watched.measures.blacklist is watched.measures.challenge is None
