"""What ``shopsim validate`` and ``shopsim new`` do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sim.core.units import show_hours
from sim.scenario import Problem, Scenario, ScenarioError, ScenarioFileError, ScenarioValueError
from sim.scenario.overrides import COMMAND_LINE, parse_assignment
from sim.scenario.starter import Starter, starter

FIRST_SEED = 1
WORTH_SAYING = 0.01  # share of visits


def load_scenario(file: Path, assignments: Sequence[str] = ()) -> Scenario:
    """Read a scenario file and apply what ``--set`` says.

    Parameters
    ----------
    file : Path
        The scenario.
    assignments : sequence of str
        ``path=value`` each, applied in order.

    Raises
    ------
    ScenarioError
        If anything is wrong with the file or an assignment.
    """
    scenario = Scenario.load(file)
    return scenario.override(dict(map(parse_assignment, assignments)), origin=COMMAND_LINE) if assignments else scenario


def check(file: Path, assignments: Sequence[str] = ()) -> dict[str, Any] | ScenarioError:
    """Read a scenario file and return a few facts about it, ready for JSON, or what is wrong with it.

    The network is built, with the first seed that ``run`` takes: what only a network can tell would end the run too.
    """
    try:
        scenario = load_scenario(file, assignments)
        from sim import world  # brings numba, which refusing a file that is wrong by itself does without

        graph = world.check(scenario, FIRST_SEED)
    except ScenarioError as error:
        return error
    return {
        "ok": True,
        "name": scenario.name,
        "digest": scenario.digest,
        "persons": graph.persons,
        "network": scenario.people.network.kind,
        "network_notes": list(graph.notes),
        "ticks": round(scenario.horizon / scenario.tick),
        "tick": show_hours(scenario.tick),
        "schemes": [scheme.kind for scheme in scenario.schemes],
        "visits_lost": round(world.read_demand(scenario.config).visits_lost(scenario.tick), 4),
    }


def problems(error: ScenarioError) -> dict[str, Any]:
    """Return all that is wrong with a scenario, ready for JSON."""
    return {"ok": False, "errors": [{**vars(problem), "text": str(problem)} for problem in error.problems]}


def summary(facts: Mapping[str, Any]) -> str:
    """Say the facts about a scenario in a line, and more that is worth knowing in lines of their own."""
    schemes = ", ".join(facts["schemes"]) or "none"
    ticks = f"{facts['ticks']:,} tick{'' if facts['ticks'] == 1 else 's'} of {facts['tick']}"
    lines = [f"{facts['persons']:,} persons on {facts['network']}, {ticks}, schemes: {schemes}"]
    lines += [f"network: {note}" for note in facts["network_notes"]]
    if facts["visits_lost"] >= WORTH_SAYING:
        lines.append(f"nobody comes twice in a tick: {facts['visits_lost']:.0%} of visits are lost")
    return "\n  ".join(lines)


def write_starter(name: str, base: Starter, folder: Path) -> Path:
    """Write a new scenario file and return its path.

    Raises
    ------
    ScenarioError
        If the name is not one, or the file exists or cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,79}", name):
        allowed = "letters, digits and _ . -, at most 80, beginning with a letter, digit or _"
        raise ScenarioValueError(Problem(f"must be {allowed}. Got {name!r}.", "", None, "NAME", allowed))
    file = folder / f"{name}.yaml"
    text = starter(name, base, folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with file.open("x", encoding="utf-8") as out:
            out.write(text)
    except FileExistsError:
        raise ScenarioFileError(Problem("exists and is not overwritten; choose another name.", str(file))) from None
    except OSError as problem:
        raise ScenarioFileError(Problem(f"cannot be written ({problem.strerror}).", str(file))) from None
    return file
