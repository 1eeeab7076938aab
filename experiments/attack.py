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
from agents.planner import Costs, Exploit, search
from agents.rehearsal import Rehearsal
from experiments import tables
from experiments.files import to_json
from experiments.plans.plan import KINDS
from experiments.scenario_commands import load_scenario
from sim.core.config import FEN_PER_YUAN
from sim.scenario import Problem, Scenario, ScenarioValueError, reading

NONE_PAYS, PAYS = 0, 1
TERMS = (
    "Laid out: the cash that it takes, for accounts, work and all goods, whose price comes back by resale or refund. "
    "Cost: what is gone when all is over, for accounts and work and by resale."
)
SHOWN = 4


@dataclass(frozen=True)
class Attack:
    """What was found.

    Attributes
    ----------
    exploits : list of Exploit
        That pay, the best first; none twice that only differ in what they buy.
    nearest : Exploit or None
        The best of all plans that were tried, whether it pays or not; None if no scheme ever runs.
    costs : Costs
    caution : float
        Profit over cost up to which nobody acts.
    """

    exploits: list[Exploit]
    nearest: Exploit | None
    costs: Costs
    caution: float

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
    found = [
        exploit
        for schemes in schemes_at_once(scenario)
        for exploit in search(Rehearsal(scenario, schemes, seed=seed), costs, accounts, many_teams=True)
    ]
    found.sort(key=lambda exploit: -exploit.per_account)
    paying: dict[Any, Exploit] = {}
    for exploit in found:
        if exploit.pays(config.fraud.caution):
            paying.setdefault(tuple(step._replace(goods=None) for step in exploit.plan.steps), exploit)
    return Attack(list(paying.values()), next(iter(found), None), costs, config.fraud.caution)


def schemes_at_once(scenario: Scenario) -> list[tuple[int, ...]]:
    """Return the sets of schemes (indices) that run at some moment; none that is part of another."""
    config = scenario.config
    names = [section.name or section.kind for section in config.schemes]
    listed = {name for campaign in config.calendar for name in campaign.schemes}
    moments = {0.0, *(section.start for section in config.schemes), *(c.start for c in config.calendar)}
    found: set[frozenset[int]] = set()
    for moment in sorted(moments):
        running = {name for c in config.calendar if c.start <= moment < c.end for name in c.schemes}
        found.add(
            frozenset(
                index
                for index, section in enumerate(config.schemes)
                if section.start <= moment < min(section.end or config.horizon, config.horizon)
                and (names[index] in running or names[index] not in listed)
            )
        )
    return sorted(tuple(sorted(one)) for one in found if one and not any(one < other for other in found))


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
        _print(scenario, found)
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
    return {
        "scenario": scenario.name,
        "digest": scenario.digest,
        "version": sim.__version__,
        "seed": seed,
        "accounts": accounts,
        "costs": {"account": _yuan(costs.account), "action": _yuan(costs.action), "resale": costs.resale},
        "caution": found.caution,
        "pays": found.pays,
        "exploits": [_plain(exploit) for exploit in found.different()],
        "nearest": None if found.nearest is None else _plain(found.nearest),
        "elapsed_s": round(time.perf_counter() - started, 3),
    }


def _plain(exploit: Exploit) -> dict[str, Any]:
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
        "steps": exploit.plan.in_words(),
    }


def _yuan(fen: float) -> float:
    return round(fen / FEN_PER_YUAN, 2)


def _print(scenario: Scenario, found: Attack) -> None:
    out, costs = tables.console(), found.costs
    prices = (
        f"An account costs {_yuan(costs.account):g} yuan, its part of a device included, an order by hand "
        f"{_yuan(costs.action):g}; goods bring {costs.resale:.0%} of their list price.\n{TERMS}"
    )
    if not found.pays:
        out.print(f"[bold]{scenario.name}: no exploit pays.[/bold]")
        if found.nearest is None:
            out.print("No scheme ever runs.")
        elif found.nearest.income:
            too_little = (
                f"; that is {found.nearest.per_cost:.1%} of its cost, and nobody acts for {found.caution:.0%} or less "
                "(fraud.caution)"
                if found.nearest.profit > 0
                else ""
            )
            out.print(f"What comes nearest: {_terms(found.nearest)}{too_little}.")
            _print_steps(found.nearest)
        out.print(prices)
        return
    for number, exploit in enumerate(found.different()):
        title = "the best-paying exploit" if number == 0 else "another"
        out.print(f"[bold]{scenario.name}: {title}: {_terms(exploit)}[/bold]")
        _print_steps(exploit)
        out.print(f"   {_income(exploit)}\n")
    out.print(prices)


def _terms(exploit: Exploit) -> str:
    kind = exploit.fraud.name.lower().replace("_", " ")
    return f"{_yuan(exploit.per_account):.2f} yuan an account, {exploit.per_outlay:.2f} a yuan laid out ({kind})"


def _print_steps(exploit: Exploit) -> None:
    for number, sentence in enumerate(exploit.plan.in_words(), start=1):
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
