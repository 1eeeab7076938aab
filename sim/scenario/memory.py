"""How much memory a scenario needs, so that an absurd one is refused before it takes the machine down."""

from __future__ import annotations

from pathlib import Path

from sim.core.networks import DEFAULT_PERSONS
from sim.scenario.errors import ScenarioSizeError
from sim.scenario.problems import problem_at
from sim.scenario.schema import ScenarioConfig
from sim.scenario.tree import Node

BYTES_A_PERSON = 300
BYTES_A_TIE_END = 8
SHARE_OF_MEMORY = 0.8


def persons_of(config: ScenarioConfig) -> int | None:
    """Return how many persons the scenario asks for; None if that is for a network file to say."""
    network = config.people.network
    if config.people.size is not None:
        return config.people.size
    if getattr(network, "file", None):
        return None
    return len(getattr(network, "degrees", None) or ()) or DEFAULT_PERSONS


def memory_estimate(config: ScenarioConfig) -> int:
    """Return the bytes that people and network will take, roughly.

    A person's row is under 300 bytes and a tie end 8 (the design's budget, measured in ``benchmarks``); generating a
    network costs about as much again. A network file is read at about four bytes for each of its own.
    """
    persons = persons_of(config)
    network = config.people.network
    if persons is None:
        return 4 * Path(str(getattr(network, "file", ""))).stat().st_size
    degree = persons - 1 if network.kind == "complete" else getattr(network, "mean_degree", 0.0)
    return int(persons * (BYTES_A_PERSON + 2 * BYTES_A_TIE_END * degree))


def refuse_if_too_large(config: ScenarioConfig, tree: Node) -> None:
    """Refuse a scenario that needs more than four fifths of this machine's memory.

    Raises
    ------
    ScenarioSizeError
        With what it needs and what there is.
    """
    import psutil  # a tenth of a second, and only worth it for large scenarios

    needed = memory_estimate(config)
    there_is = psutil.virtual_memory().total
    if needed > SHARE_OF_MEMORY * there_is:
        message = (
            f"people and network would need about {needed / 1e9:,.1f} GB, and this machine has "
            f"{there_is / 1e9:,.1f} GB; ask for fewer persons or fewer ties."
        )
        raise ScenarioSizeError(problem_at(tree, ("people", "size"), message))
