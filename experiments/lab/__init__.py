"""The A/B laboratory: run inside a simulated shop the experiment that a company would, and see how wrong it is.

Read in this order: ``designs`` (who is treated), ``exposure`` (what treatment does to neighbours), ``estimators`` (what
the company would conclude), ``trial`` (one such experiment in one shop), ``performance`` (what many of them show, and
which design to use). All but ``trial`` are pure functions of arrays.
"""
