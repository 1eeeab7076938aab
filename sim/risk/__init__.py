"""Risk control: what it decides (:mod:`sim.risk.controls`), what it could know (:mod:`sim.risk.signals`), and how
right it was (:mod:`sim.risk.scoring`).

Only scoring reads the ground truth. Nothing that decides imports it.
"""

from sim.risk.controls import RiskControl

__all__ = ["RiskControl"]
