"""A scenario to start from (``shopsim new``): it extends a shipped one and shows, commented out, what that one says."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path

import sim

SHIPPED = Path(sim.__file__).parents[1] / "scenarios"
SAID_ANEW = ("name:", "question:", "extends:")


class Starter(StrEnum):
    """The shipped scenarios that a new one can build on."""

    BASELINE = "baseline"
    COUPON = "coupon"
    GROUP_BUY = "group_buy"
    REFERRAL = "referral"
    LAUNCH = "launch"


def starter(name: str, base: Starter, folder: Path) -> str:
    """Return the text of a new scenario file.

    Parameters
    ----------
    name : str
        Of the scenario.
    base : Starter
        The scenario that it builds on.
    folder : Path
        Where the file will stand, for the relative path of the one that it extends.
    """
    shipped = SHIPPED / f"{base}.yaml"
    return f"""\
# {name}: a scenario for shopsim, on top of the shipped {base}.yaml.
#
#   shopsim validate {name}.yaml     checks it
#   shopsim run {name}.yaml          rehearses it
#
# Durations have units (30min, 24h, 90d, 2w), money is in yuan, shares are 15% or 0.15, rates are per day.
name: {name}
question: What should this scenario find out?
extends: {_relative(shipped, folder)}

# Write below what is different; everything else is as in {base}.yaml, whose own keys follow. To change one, remove the
# "#|" before it and before the keys that it stands under. A list, such as schemes, is replaced as a whole.

{_commented(shipped.read_text(encoding="utf-8"))}"""


def _relative(file: Path, folder: Path) -> str:
    """Return the path of a shipped file: relative inside the project, so that it can be moved; absolute elsewhere."""
    folder = folder.resolve()
    inside = SHIPPED.parent in (folder, *folder.parents)
    return Path(os.path.relpath(file, folder)).as_posix() if inside else file.as_posix()


def _commented(text: str) -> str:
    """Comment out a scenario file, without what the new file says itself."""
    lines = [line for line in text.splitlines() if not line.startswith(SAID_ANEW)]
    commented = [f"#| {line}" if line and not line.startswith("#") else line for line in lines]
    return "\n".join(commented).strip() + "\n"
