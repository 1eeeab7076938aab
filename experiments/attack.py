"""``shopsim attack``: what a scenario's rules pay an adversary who reads them, found by rehearsal and not by a list.

For every set of schemes that run at the same time, :func:`attack` lets the planner (:mod:`agents.planner`) search for
the sequence of permitted actions that pays best. Risk control takes part in the price of an account only: where the
shop limits accounts on a device, each account costs its part of one.

Two sums are told apart. The *cost* of an exploit is what is gone when all is over: accounts, work, and what goods lose
when they are resold. The *outlay* is the cash that has to be laid out: accounts, work, and the price of all goods,
which comes back by resale or refund. Whether an exploit pays is judged by its cost, how much money it binds by its
outlay.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from os.path import normpath
from pathlib import Path
from typing import Any

import sim
from agents.actions import Plan
from agents.openings import MOST_UNITS
from agents.planner import Costs, Exploit, search
from agents.rehearsal import CONTROLS, GAP, Rehearsal
from agents.variations import MOST_STEPS
from experiments import tables
from experiments.files import to_json
from experiments.overlaps import Overlap, schemes_at_once
from experiments.plans.plan import KINDS
from experiments.scenario_commands import load_scenario
from sim.core.config import FEN_PER_YUAN
from sim.scenario import Problem, Scenario, ScenarioValueError, reading
from sim.scenario.risk import RiskConfig
from sim.scenario.shocks import LeakedCode

NONE_PAYS, PAYS = 0, 1
TERMS = (
    "Laid out: the cash that it takes, for accounts, work and all goods, whose price comes back by resale or refund. "
    "Cost: what is gone when all is over, for accounts and work and by resale."
)
LIMITS = (
    "Searched: plans of up to {accounts} accounts and {steps} steps, up to {orders} orders an account; orders of as "
    "many units as reach an amount that the rules name, up to {units} where nothing pays with fewer; waits as long as "
    "the durations that the rules set. Codes of coupons are secret unless they leak."
)
SHOWN = 4
_BETTER = 1.05  # times as much for a yuan laid out as what is shown anyway


@dataclass(frozen=True)
class Attack:
    """What was found.

    Attributes
    ----------
    exploits : list of Exploit
        That pay, the best first; none twice that only differ in what they buy.
    leanest : Exploit or None
        What pays best for each yuan laid out, whatever it buys; None if nothing pays.
    nearest : Exploit or None
        The plan that brings most for its cost, whether that pays or not; None if none brings anything.
    costs : Costs
    caution : float
        Profit over cost up to which nobody acts.
    own : Exploit or None
        The best of those that pay on the devices that a ring owns, where accounts on one are limited.
    own_accounts : int
        Accounts that these devices take.
    begins : dict
        What the plans that wait for later schemes wait for, in words.
    """

    exploits: list[Exploit]
    leanest: Exploit | None
    nearest: Exploit | None
    costs: Costs
    caution: float
    own: Exploit | None
    own_accounts: int
    begins: dict[Plan, str]

    @property
    def pays(self) -> bool:
        """Whether any exploit does."""
        return bool(self.exploits)

    def different(self, most: int = SHOWN) -> list[Exploit]:
        """Return the best exploit, and the best of other kinds or with income from other schemes."""
        found: dict[Any, Exploit] = {}
        for exploit in self.exploits:
            found.setdefault((exploit.fraud, tuple(exploit.cash), tuple(exploit.discount)), exploit)
        return list(found.values())[:most]

    def steps(self, exploit: Exploit) -> list[str]:
        """Return the steps of an exploit in words."""
        waited = f"{GAP} days later"
        return [s.replace(waited, self.begins.get(exploit.plan, waited)) for s in exploit.plan.in_words()]


def attack(scenario: Scenario, accounts: int = 6, seed: int = 1) -> Attack:
    """Search for the exploits of a scenario.

    Parameters
    ----------
    scenario : Scenario
    accounts : int
        That one exploit may use, at least 1; it can be repeated with others.
    seed : int
        Of catalogue and luck.
    """
    config = scenario.config
    costs = Costs.of(config.fraud, config.risk.accounts_per_device)
    places = config.fraud.devices * (config.risk.accounts_per_device or 0)
    found: list[Exploit] = []
    small: list[Exploit] = []
    begins: dict[Plan, str] = {}
    for overlap in schemes_at_once(scenario):
        leaked = _leaked(scenario, overlap)
        stage = Rehearsal(scenario, overlap.schemes, leaked, seed, before=overlap.before, later=overlap.later)
        bought = search(stage, costs, accounts, thorough=True)
        own = search(stage, costs.on_own_devices, min(accounts, places), thorough=True) if places else []
        waiting = (e.plan for e in (*bought, *own) if stage.gap and any(s.after == stage.gap for s in e.plan.steps))
        begins |= dict.fromkeys(waiting, _begin([_names(scenario)[index] for index in overlap.later]))
        found, small = found + bought, small + own
    found.sort(key=lambda exploit: -exploit.per_account)
    paying: dict[Any, Exploit] = {}
    pays = [exploit for exploit in found if exploit.pays(config.fraud.caution)]
    for exploit in pays:
        paying.setdefault(tuple(step._replace(goods=None) for step in exploit.plan.steps), exploit)
    leanest = max((e for e in pays if e.outlay), key=lambda exploit: exploit.per_outlay, default=None)
    nearest = max((e for e in found if e.income > 0), key=lambda exploit: exploit.per_cost, default=None)
    paid = (exploit for exploit in small if exploit.pays(config.fraud.caution))
    best_on_own = max(paid, key=lambda exploit: exploit.per_account, default=None)
    return Attack(list(paying.values()), leanest, nearest, costs, config.fraud.caution, best_on_own, places, begins)


def _begin(names: Sequence[str]) -> str:
    return f"once {' and '.join(names)} {'runs' if len(names) == 1 else 'run'}"


def _names(scenario: Scenario) -> list[str]:
    return [section.name or section.kind for section in scenario.config.schemes]


def _leaked(scenario: Scenario, overlap: Overlap) -> tuple[int, ...]:
    """Return the coupons among the schemes that the scenario lets leak."""
    leaked = {shock.scheme for shock in scenario.config.shocks if isinstance(shock, LeakedCode)}
    return tuple(index for index in overlap.schemes if _names(scenario)[index] in leaked)


def command(file: Path, accounts: int, seed: int, changes: Sequence[str], as_json: bool, quiet: bool) -> int:
    """Attack a scenario, print what was found, and return the exit code.

    Raises
    ------
    ScenarioError
        If the file is none, for example a plan.
    """
    started = time.perf_counter()
    _refuse_plan(file)
    scenario = load_scenario(file, changes)
    errors = tables.console(stderr=True)
    with nullcontext() if quiet or not errors.is_terminal else errors.status(f"attacking {scenario.name}"):
        found = attack(scenario, accounts, seed)
    if as_json:
        print(to_json(_record(scenario, found, accounts, seed, started)))
    else:
        _print(scenario, found, accounts)
    return PAYS if found.pays else NONE_PAYS


def _refuse_plan(file: Path) -> None:
    """Tell who gives a plan which scenario it is of."""
    tree = reading.read(file)
    kind, scenario = tree.child("kind"), tree.child("scenario")
    if kind is not None and kind.value in KINDS:
        of = "" if scenario is None else f", such as that of this plan: {normpath(file.parent / str(scenario.value))}"
        message = f"is a plan of kind {kind.value}; attack takes a scenario{of}."
        raise ScenarioValueError(Problem(message, str(file)))


def _record(scenario: Scenario, found: Attack, accounts: int, seed: int, started: float) -> dict[str, Any]:
    costs = found.costs

    def plain(exploit: Exploit | None) -> dict[str, Any] | None:
        return None if exploit is None else _plain(exploit, found)

    return {
        "scenario": scenario.name,
        "digest": scenario.digest,
        "version": sim.__version__,
        "seed": seed,
        "accounts": accounts,
        "costs": {"account": _yuan(costs.account), "action": _yuan(costs.action), "resale": costs.resale},
        "caution": found.caution,
        "pays": found.pays,
        "exploits": [plain(exploit) for exploit in found.different()],
        "best_per_yuan_laid_out": plain(found.leanest),
        "nearest": plain(found.nearest),
        "own_devices": {"accounts": found.own_accounts, "best": plain(found.own)},
        "controls_not_rehearsed": controls_not_rehearsed(scenario),
        "elapsed_s": round(time.perf_counter() - started, 3),
    }


def _plain(exploit: Exploit, found: Attack) -> dict[str, Any]:
    """Return an exploit ready for JSON; money in yuan."""
    return {
        "fraud": exploit.fraud.name.lower(),
        "profit_per_account": _yuan(exploit.per_account),
        "profit_per_yuan_of_cost": round(exploit.per_cost, 4),
        "profit_per_yuan_laid_out": round(exploit.per_outlay, 4),
        "profit": _yuan(exploit.profit),
        "cost": _yuan(exploit.cost),
        "outlay": _yuan(exploit.outlay),
        "rewards": {name: _yuan(fen) for name, fen in exploit.cash.items()},
        "discounts": {name: _yuan(fen) for name, fen in exploit.discount.items()},
        "goods_at_list_price": _yuan(exploit.worth),
        "accounts": exploit.plan.accounts,
        "steps": found.steps(exploit),
    }


def controls_not_rehearsed(scenario: Scenario) -> list[str]:
    """Return the controls that the scenario sets and that count neither in a rehearsal nor in the price of accounts."""
    risk, counted = scenario.config.risk, {*CONTROLS, "accounts_per_device"}
    plain = RiskConfig()
    return [
        name for name in RiskConfig.model_fields if name not in counted and getattr(risk, name) != getattr(plain, name)
    ]


def _yuan(fen: float) -> float:
    return round(fen / FEN_PER_YUAN, 2)


def _print(scenario: Scenario, found: Attack, accounts: int) -> None:
    out = tables.console()
    if found.pays:
        _print_exploits(scenario.name, found)
    else:
        _print_nearest(scenario.name, found)
    if found.own_accounts:
        _print_own(found)
    out.print(
        f"An account costs {_yuan(found.costs.account):g} yuan, its part of a device included, an order by hand "
        f"{_yuan(found.costs.action):g}; goods bring {found.costs.resale:.0%} of their list price.\n{TERMS}"
    )
    out.print(LIMITS.format(accounts=accounts, steps=MOST_STEPS, orders=MOST_STEPS - 1, units=MOST_UNITS))
    if left_out := controls_not_rehearsed(scenario):
        out.print(f"Not rehearsed: {', '.join(left_out)} (section risk), which may stop what is found here.")


def _print_exploits(name: str, found: Attack) -> None:
    shown = found.different()
    titles = ["the best-paying exploit", *["another"] * (len(shown) - 1)]
    if found.leanest is not None and found.leanest.per_outlay > _BETTER * max(one.per_outlay for one in shown):
        shown, titles = [*shown, found.leanest], [*titles, "what pays best for each yuan laid out"]
    for title, exploit in zip(titles, shown, strict=True):
        tables.console().print(f"[bold]{name}: {title}: {_terms(exploit)}[/bold]")
        _print_steps(exploit, found)
        tables.console().print(f"   {_income(exploit)}\n")


def _print_nearest(name: str, found: Attack) -> None:
    out, nearest = tables.console(), found.nearest
    on_own = ", but one does on the devices that a ring owns" if found.own else ""
    out.print(f"[bold]{name}: no exploit pays{f' on bought devices{on_own}' if on_own else ''}.[/bold]")
    if nearest is None:
        out.print("No plan brings any reward or discount.")
        return
    too_little = f", and nobody acts for {found.caution:.0%} or less (fraud.caution)" if nearest.profit > 0 else ""
    out.print(f"What comes nearest: {_terms(nearest)}; that is {nearest.per_cost:.1%} of its cost{too_little}.")
    _print_steps(nearest, found)
    out.print(f"   {_income(nearest)}")


def _print_own(found: Attack) -> None:
    """Say what is different on the devices that a ring has anyway."""
    out, own = tables.console(), found.own
    text = (
        f"On the devices that a ring owns, an account costs {_yuan(found.costs.on_own_devices.account):g} yuan, up to "
        f"{found.own_accounts} accounts"
    )
    if own is None:
        out.print(f"{text}. Nothing pays there either.")
    else:
        out.print(f"{text}. The best there: {_terms(own)}; that is {own.per_cost:.1%} of its cost.")
    if own is not None and not found.pays:
        _print_steps(own, found)
        out.print(f"   {_income(own)}")


def _terms(exploit: Exploit) -> str:
    kind = exploit.fraud.name.lower().replace("_", " ")
    return f"{_yuan(exploit.per_account):.2f} yuan an account, {exploit.per_outlay:.2f} a yuan laid out ({kind})"


def _print_steps(exploit: Exploit, found: Attack) -> None:
    for number, sentence in enumerate(found.steps(exploit), start=1):
        tables.console().print(f"   {number}. {sentence}")


def _income(exploit: Exploit) -> str:
    """Say where the money comes from and where it goes."""
    parts = [f"{_yuan(fen):.2f} rewards of {name}" for name, fen in exploit.cash.items()]
    parts += [f"{_yuan(fen):.2f} off by {name}" for name, fen in exploit.discount.items()]
    accounts = exploit.plan.accounts
    return (
        f"{' + '.join(parts)} - {_yuan(exploit.cost):.2f} of cost = {_yuan(exploit.profit):.2f} yuan with {accounts} "
        f"account{'s' if accounts > 1 else ''}, {exploit.per_cost:.2f} a yuan of cost; {_yuan(exploit.outlay):.2f} "
        "laid out"
    )
