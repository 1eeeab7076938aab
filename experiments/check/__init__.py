"""Regression checks: what a scenario came to once, written down, and whether it still does.

Read in this order: ``baseline`` (the file), ``decide`` (is a metric as it was?), ``checking`` (run again and decide),
``command`` (``shopsim baseline`` and ``shopsim check``), ``present`` (table, JUnit, Markdown), ``plugin`` (pytest).
Nothing is imported here, because pytest loads the plugin at every start.
"""
