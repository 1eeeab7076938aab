"""Risk control: rules (:mod:`sim.risk.controls`), what logs tell of an account (:mod:`sim.risk.signals`), what is
learnt from them (:mod:`sim.risk.detector`) and done about it (:mod:`sim.risk.policy`), the cases, blocks and appeals
that follow (:mod:`sim.risk.casework`), who reviews them (:mod:`sim.risk.desk`), and how right it all was
(:mod:`sim.risk.scoring`).

Scoring and investigations (of the desk, and what comes to light late) read the ground truth. Nothing else does.
"""

from sim.risk.controls import RiskControl

__all__ = ["RiskControl"]
