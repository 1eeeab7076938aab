"""The engine against theory: cases whose right answer is known.

Each case builds a scenario that strips the shop to the mechanism in question, runs :class:`sim.Shop` on it (the same
machinery that every scenario runs on, not a copy), and sets what comes out beside a closed form or a figure that others
computed.

Read :mod:`checks` (what a case returns), :mod:`worlds` (scenarios and networks), then the cases: :mod:`spreading`,
:mod:`trading`, :mod:`queueing`, :mod:`adversity` and :mod:`exact`; :mod:`plan` says which are run by default.
``docs/verification.md`` has the formulas.
"""

from experiments.verification.checks import BadParameterError, Check
from experiments.verification.plan import CASES, PLAN, UNDRAWN, verify

__all__ = ["CASES", "PLAN", "UNDRAWN", "BadParameterError", "Check", "verify"]
