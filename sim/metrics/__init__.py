"""Every metric, defined once: name, group, unit, direction, formula, and how it is computed from a run.

``docs/metrics.md`` is generated from :data:`METRICS` (``python -m sim.metrics``). Real people only, unless a metric
says otherwise: fake accounts are counted in the fraud group, and by schemes in what they report of themselves. Money is
in yuan. A metric without enough data is NaN.
"""

# Each defines its own; in this order they stand in all tables.
from sim.metrics import growth, money  # noqa: F401

# isort: split
from sim.metrics import fraud, service  # noqa: F401

# isort: split
from sim.metrics.figures import cohorts, compute, funnel, history, of_the_day, reporters
from sim.metrics.registry import METRICS, Facts, Metric

__all__ = ["METRICS", "Facts", "Metric", "cohorts", "compute", "funnel", "history", "of_the_day", "reporters"]
