"""Which schemes of a scenario can be used together at some moment.

Two schemes meet where both run. A coupon meets what runs while it is valid, also when it is issued no more: who had
it in time may use it then.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from sim.scenario import Scenario

Window = tuple[float, float]  # hours since the start, from (included) to (not included)


class Overlap(NamedTuple):
    """Schemes, as indices, that can be used together.

    Attributes
    ----------
    schemes : tuple of int
        All of them, in ascending order.
    before, later : tuple of int
        Coupons among them that must be had before the later ones run.
    """

    schemes: tuple[int, ...]
    before: tuple[int, ...] = ()
    later: tuple[int, ...] = ()


def schemes_at_once(scenario: Scenario) -> list[Overlap]:
    """Return which schemes can be used together; none that is part of another."""
    sections = scenario.config.schemes
    windows = _windows(scenario)
    plain: set[frozenset[int]] = set()
    waited: set[Overlap] = set()
    for moment in sorted({start for runs in windows for start, _ in runs}):
        running = {n: start for n, runs in enumerate(windows) for start, end in runs if start <= moment < end}
        before = {
            n: last
            for n, section in enumerate(sections)
            if n not in running and (last := _usable_since(section, windows[n], moment)) is not None
        }
        later = [n for n, start in running.items() if start >= min(before.values(), default=moment + 1)]
        plain.add(frozenset(running))
        if later:
            waited.add(Overlap(tuple(sorted({*running, *before})), tuple(sorted(before)), tuple(sorted(later))))
    found = [Overlap(tuple(sorted(one))) for one in plain if one and not any(one < other for other in plain)]
    found += [one for one in waited if not any(set(one.schemes) <= other for other in plain)]
    return sorted(found)


def _windows(scenario: Scenario) -> list[list[Window]]:
    """Return when each scheme runs: by its own dates, and the campaigns that list it if there are any."""
    config = scenario.config
    listed = {name for campaign in config.calendar for name in campaign.schemes}
    found = []
    for section in config.schemes:
        name = section.name or section.kind
        own = section.start, min(section.end or config.horizon, config.horizon)
        runs = [(c.start, c.end) for c in config.calendar if name in c.schemes] if name in listed else [own]
        clipped = [(max(start, own[0]), min(end, own[1])) for start, end in runs]
        found.append([(start, end) for start, end in clipped if start < end])
    return found


def _usable_since(section: Any, runs: list[Window], moment: float) -> float | None:
    """Return until when a coupon was issued that is still valid at a moment; None if there is none."""
    lasts, until = getattr(section, "valid_for", None), getattr(section, "valid_until", None)
    issued = [end for _, end in runs if end <= moment]
    if lasts is None or not issued:
        return None
    last = max(issued)
    return last if moment < (last + lasts if until is None else until) else None
