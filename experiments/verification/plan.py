"""Which cases there are, and with which parameters they are run unless somebody asks for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from experiments.verification.adversity import severe, splitting
from experiments.verification.checks import Check
from experiments.verification.exact import ledger, philox
from experiments.verification.interference import linear
from experiments.verification.queueing import erlang_c
from experiments.verification.spreading import bass, borel, extinction, giant, ic, lt
from experiments.verification.trading import demand, logit, team_fill

CASES: dict[str, Callable[..., list[Check]]] = {
    "bass": bass,
    "borel": borel,
    "extinction": extinction,
    "giant": giant,
    "ic": ic,
    "lt": lt,
    "team-fill": team_fill,
    "logit": logit,
    "demand": demand,
    "interference": linear,
    "erlang-c": erlang_c,
    "splitting": splitting,
    "severe": severe,
    "ledger": ledger,
    "philox": philox,
}
_KARATE = (("0",), ("33",), ("0", "33"))
PLAN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("philox", {}),
    ("ledger", {}),
    ("team-fill", {}),
    ("logit", {}),
    *(("ic", {"seeds": seeds}) for seeds in _KARATE),
    *(("lt", {"seeds": seeds}) for seeds in _KARATE),
    ("giant", {"degree": 4, "p": 0.4}),
    ("giant", {"degree": 5, "p": 0.3}),
    ("borel", {"k": 0.35}),
    ("borel", {"k": 0.8}),
    ("extinction", {"r": 1.2}),
    ("extinction", {"r": 1.5}),
    ("extinction", {"r": 2.0}),
    ("demand", {}),
    ("bass", {}),
    ("interference", {}),
    ("erlang-c", {}),
    ("splitting", {}),
    ("severe", {}),
)
UNDRAWN = ("philox", "splitting")
"""Cases in which nothing is left to chance, and so without a seed."""


def verify(seed: int = 1) -> Iterator[list[Check]]:
    """Run the plan, and yield what each of its entries finds.

    Parameters
    ----------
    seed : int
        Cases draw from it independently of each other.
    """
    for name, parameters in PLAN:
        drawn = {} if name in UNDRAWN else {"seed": seed}
        yield CASES[name](**parameters, **drawn)
