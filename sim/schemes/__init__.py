"""Incentive schemes, one file each, and the registry that scenario files choose from.

Third parties register a scheme under the entry point group ``shopsim.schemes``; its ``kind`` then works in scenario
files.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

from sim.schemes.base import Scheme, SchemeConfig

__all__ = ["Scheme", "SchemeConfig", "registry"]


@cache
def registry() -> dict[str, type[Scheme]]:
    """Return the scheme classes by ``kind``: the shipped ones, then those of entry points."""
    from sim.schemes.coupon import Coupon
    from sim.schemes.group_buy import GroupBuy
    from sim.schemes.referral import Referral

    classes: list[type[Scheme]] = [Coupon, GroupBuy, Referral]
    classes += [point.load() for point in entry_points(group="shopsim.schemes")]
    found: dict[str, type[Scheme]] = {}
    for cls in classes:
        if cls.kind in found:
            raise ValueError(
                f"two schemes call themselves {cls.kind!r}: {found[cls.kind].__module__}, {cls.__module__}"
            )
        found[cls.kind] = cls
    return found
