"""What the report states without judging it: facts of schemes, assumptions with their sources, provenance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from experiments.report.folder import Run, Study
from experiments.report.tables import words
from experiments.wording import number, yuan
from sim.law import PAY

LAW = (
    "chain_levels_configured", "chain_levels_paid", "chain_headcount_max", "chain_depth_max", "pay_basis",
    "commission_base", "first_level_share_of_base", "entry_fee_yuan", *(f"{name}_yuan" for name in PAY),
)  # fmt: skip
"""Facts that rules on multi-level marketing ask about."""
SHARES = ("_rate", "_share", "share_of_base")


def schemes(study: Study) -> list[dict[str, Any]]:
    """Return what each scheme of each run says of itself: ``run``, ``scheme``, ``fired``, ``law``, ``rows``."""
    found = []
    for run in study.runs:
        for scheme in run.schemes:
            told = [by_scheme[scheme] for by_scheme in run.facts.values() if scheme in by_scheme]
            names = list(dict.fromkeys(name for facts in told for name in facts))
            rows = {name: _fact(name, [facts.get(name) for facts in told]) for name in names}
            law = [{"name": _without_unit(name), "value": rows[name]} for name in LAW if name in rows]
            rest = [{"name": _without_unit(name), "value": text} for name, text in rows.items() if name not in LAW]
            fired = any(facts.get("used") for facts in told)
            found.append({"run": run.name, "scheme": scheme, "fired": fired, "law": law, "rows": rest})
    return found


def _without_unit(name: str) -> str:
    return words(name.removesuffix("_yuan"))


def _fact(name: str, values: Sequence[Any]) -> str:
    """Write a fact over replicates: the mean of numbers with their range, or what all of them say."""
    known = [value for value in values if value is not None]
    if not known:
        return "n/a: it never happened"
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        return "; ".join(dict.fromkeys(_plain(value) for value in known))
    unit = "share" if name.endswith(SHARES) else "yuan" if name.endswith("_yuan") else "count"
    if unit == "count" and not all(float(value).is_integer() for value in known):
        unit = "measure"
    mean, low, high = (_amount(amount, unit) for amount in (math.fsum(known) / len(known), min(known), max(known)))
    text = mean if low == high else f"{mean} (from {low} to {high})"
    return f"{text} yuan" if unit == "yuan" else text


def _amount(amount: float, unit: str) -> str:
    if unit == "yuan":
        return yuan(amount).removesuffix(" yuan").removesuffix(".00")
    return number(amount, "persons" if unit == "count" else unit)


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{words(str(key))}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def assumptions(study: Study) -> list[dict[str, Any]]:
    """Return values with units and sources: those that were set first, with their place, then defaults.

    In a comparison a value stands under the base; an arm lists what it has differently.
    """
    found = []
    shared: set[tuple[str, str]] = set()
    for run in study.runs:
        rows = [_assumption(parameter) for parameter in run.parameters if _matters(parameter)]
        new = [row for row in rows if (row["path"], row["value"]) not in shared]
        if run is study.base:
            shared = {(row["path"], row["value"]) for row in rows}
        found.append(
            {
                "run": run.name,
                "set": [row for row in new if row["place"]],
                "defaults": [row for row in new if not row["place"]],
            }
        )
    return [group for group in found if group["set"] or group["defaults"]]


def _matters(parameter: dict[str, Any]) -> bool:
    """Whether a value is a decision of the file or rests on a source; other defaults are technicalities."""
    section = parameter["path"].partition(".")[0]
    stated = not parameter["is_default"] and section not in ("name", "question", "sources", "guardrails")
    return stated or bool(parameter["source"])


def _assumption(parameter: dict[str, Any]) -> dict[str, str]:
    source = parameter["source"]
    if source.startswith("set in "):
        source = "no source given"
    value = parameter["value"]
    if parameter["path"].endswith(".file") and isinstance(value, str):
        value = PurePath(value).name
    return {
        "path": parameter["path"],
        "value": "none" if value is None else _plain(value),
        "unit": parameter["unit"] or "–",
        "source": source or "a decision of the scenario",
        "place": "" if parameter["is_default"] else PurePath(parameter["place"]).name or "Python",
    }


def provenance(study: Study) -> dict[str, Any]:
    """Return what determines the results, and on what they were made."""
    manifest = study.base.manifest
    engine = {str(name): str(version) for name, version in manifest["engine"].items()}
    runs = [
        {
            "name": run.name,
            "digest": run.manifest["digest"],
            "seeds": _seeds(run.seeds),
            "elapsed": _elapsed(run),
        }
        for run in study.runs
    ]
    took = f"{study.elapsed_s:,.1f} s" if math.isfinite(study.elapsed_s) else "n/a: not recorded"
    made = {
        "platform": manifest["platform"],
        "machine": manifest["machine"],
        "numba threads": str(manifest["numba_threads"]),
        "made": manifest["created"],
        "time of the whole command": took,
    }
    if fork := manifest.get("fork"):
        made["forked"] = f"after {fork['at']} of {fork['base']} (digest {fork['base_digest'][:16]}), once for each seed"
    failures = [{key: str(failure[key]) for key in ("scenario", "seed", "reason")} for failure in study.failures]
    return {"runs": runs, "engine": engine, "made": made, "failures": failures}


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{seeds[0]} to {seeds[-1]}"
    return ", ".join(map(str, seeds))


def _elapsed(run: Run) -> str:
    seconds = [float(value) for value in run.manifest["elapsed_s"].values()]
    return f"{sum(seconds):,.1f} s ({sum(seconds) / len(seconds):,.1f} s a replicate)"
