"""The stages of a day, in the order in which :meth:`sim.shop.Shop.step` goes through them.

:mod:`~sim.day.arrivals`, then :mod:`~sim.day.buying`, then :mod:`~sim.day.afterwards`. They keep no state: what lasts
is the shop's.
"""
