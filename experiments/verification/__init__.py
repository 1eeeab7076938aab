"""The engine against theory: cases whose right answer is known.

Each case builds a scenario that strips the shop to the mechanism in question, runs :class:`sim.Shop` on it (the same machinery
that every scenario runs on, not a copy), and sets what comes out beside a closed form or a figure that others computed.

Read :mod:`worlds` (scenarios and networks), then :mod:`cases` (one function a case).
"""

from experiments.verification.cases import CASES, Check, verify

__all__ = ["CASES", "Check", "verify"]
