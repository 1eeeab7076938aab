"""Designed experiments: a plan file says what to vary, how often to run and what to measure.

Read in this order: ``plan`` (the file), ``parameters`` (what varies), ``evaluate`` (points and seeds in, a tidy frame
out), ``study`` (the folder that is left), ``command`` (what all plan commands have in common); then a module for each
kind of plan, with its section of the schema, its method and its command.
"""
