"""Reading a run folder or a comparison folder back, as the report needs it; :mod:`experiments.runs` has the layout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from experiments.files import read_json, read_table
from experiments.runs import FINAL

WEEK = 7


def finite(value: Any) -> float:
    """Return a number of a JSON file, NaN for null."""
    return math.nan if value is None else float(value)


class Flow(NamedTuple):
    """Yuan that one party paid another under a scheme, or in the shop's own trade."""

    scheme: str
    source: str
    target: str
    yuan: float


@dataclass(frozen=True)
class Run:
    """The folder of one scenario: a run, or an arm of a comparison.

    Parameters
    ----------
    name : str
        As the report calls it.
    folder : Path
    """

    name: str
    folder: Path

    def _table(self, name: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
        return read_table(self.folder / f"{name}.parquet", columns)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """``manifest.json``."""
        return dict(read_json(self.folder / "manifest.json", "question", "digest", "horizon_days", "seeds", "engine"))

    @cached_property
    def summary(self) -> dict[str, Any]:
        """``summary.json``."""
        return dict(read_json(self.folder / "summary.json", "metrics"))

    @cached_property
    def facts(self) -> dict[str, dict[str, Any]]:
        """``facts.json``: by seed, by scheme."""
        return dict(read_json(self.folder / "facts.json"))

    @cached_property
    def parameters(self) -> list[dict[str, Any]]:
        """``parameters.json``: every value of the scenario."""
        return list(read_json(self.folder / "parameters.json"))

    @property
    def question(self) -> str:
        """Of the scenario; may be empty."""
        return str(self.manifest["question"])

    @property
    def days(self) -> float:
        """Length of the run."""
        return float(self.manifest["horizon_days"])

    @property
    def seeds(self) -> list[int]:
        """Of the replicates."""
        return [int(seed) for seed in self.manifest["seeds"]]

    def mean(self, metric: str) -> float:
        """Return a metric's mean over replicates, NaN without data."""
        return finite(self.summary["metrics"].get(metric, {}).get("mean"))

    @cached_property
    def _daily(self) -> pd.DataFrame:
        metrics = self._table("metrics")
        daily = metrics[metrics["day"] != FINAL]
        return daily.pivot_table(
            index=["replicate", "day"], columns="metric", values="value", observed=True, dropna=False
        )

    def daily(self, metric: str) -> pd.DataFrame:
        """Return a daily metric, shape (days, replicates); zeros if it never happened."""
        if metric not in self._daily:
            return self._daily.iloc[:, :0].assign(value=0.0)["value"].unstack("replicate")
        return self._daily[metric].unstack("replicate")

    @cached_property
    def joined(self) -> pd.DataFrame:
        """Those who signed up during the run: ``replicate``, ``day``, ``fake``, ``invited`` (by a share or a post) and
        ``by_member`` (by a real member's share).
        """
        columns = ["replicate", "uid", "fake", "joined_day", "inviter", "source"]
        everyone = self._table("people", columns)
        people = everyone[everyone["joined_day"] >= 0].reset_index(drop=True)
        real = everyone.loc[~everyone["fake"], ["replicate", "uid"]].rename(columns={"uid": "inviter"})
        by_member = people.merge(real.assign(by_member=True), "left", ["replicate", "inviter"])["by_member"].notna()
        return pd.DataFrame(
            {
                "replicate": people["replicate"],
                "day": people["joined_day"].astype(int),
                "fake": people["fake"],
                "invited": people["source"].isin(["share", "kol"]),
                "by_member": by_member.to_numpy(),
            }
        )

    @cached_property
    def members_at_start(self) -> pd.Series[float]:
        """Persons who had signed up before the start, for each replicate."""
        people = self._table("people", ["replicate", "joined_day"])
        counts = people[people["joined_day"] < 0].groupby("replicate").size()
        return counts.reindex(self.seeds, fill_value=0).astype(float)

    def joins(self, which: pd.Series[bool]) -> pd.DataFrame:
        """Count sign-ups of each day, shape (days, replicates), over some rows of ``joined``."""
        days = pd.RangeIndex(math.ceil(self.days), name="day")
        counts = self.joined[which].groupby(["day", "replicate"]).size().unstack("replicate", fill_value=0)
        return counts.reindex(index=days, columns=pd.Index(self.seeds, name="replicate"), fill_value=0).astype(float)

    @cached_property
    def cohorts(self) -> pd.DataFrame:
        """Mean members and active members by ``cohort`` and ``age`` (weeks); only weeks that are whole."""
        table = self._table("cohorts")
        whole = (table["cohort"] + table["age"] + 1) * WEEK <= self.days
        sums = table[whole].groupby(["cohort", "age"])[["members", "active"]].sum()
        return (sums / len(self.seeds)).reset_index()

    @cached_property
    def funnel(self) -> dict[str, float]:
        """Mean count of each stage, in order."""
        table = self._table("funnel")
        means = table.groupby("stage", sort=False)["count"].mean()
        return {str(stage): float(count) for stage, count in means.items()}

    @cached_property
    def flows(self) -> list[Flow]:
        """What parties paid each other in the mean of the replicates; largest first."""
        ledger = self._table("ledger").astype({"scheme": str, "source": str, "target": str})
        sums = ledger.groupby(["scheme", "source", "target"])["amount_yuan"].sum() / len(self.seeds)
        rows = sums.reset_index().itertuples(index=False, name=None)
        flows = [Flow(scheme, source, target, yuan) for scheme, source, target, yuan in rows if yuan > 0]
        return sorted(flows, key=lambda flow: (-flow.yuan, flow))

    @cached_property
    def losses(self) -> dict[tuple[str, str], float]:
        """Yuan that each kind of fraud took from each scheme in the mean of the replicates; largest first."""
        table = self._table("losses").astype({"fraud": str, "scheme": str})
        sums = table.groupby(["fraud", "scheme"])["yuan"].sum() / len(self.seeds)
        rows = sums.sort_values(ascending=False).reset_index().itertuples(index=False, name=None)
        return {(str(kind), str(scheme)): float(yuan) for kind, scheme, yuan in rows}

    @property
    def schemes(self) -> list[str]:
        """Names of the schemes, in the order of the scenario."""
        return list(dict.fromkeys(name for facts in self.facts.values() for name in facts))


@dataclass(frozen=True)
class Study:
    """A folder to report on: one run, or a base and its arms.

    Parameters
    ----------
    folder : Path
    base : Run
        The run itself if there is nothing to compare.
    arms : list of Run
        Empty for a single run.
    """

    folder: Path
    base: Run
    arms: list[Run]

    @property
    def is_comparison(self) -> bool:
        """Whether there is anything to compare."""
        return bool(self.arms)

    @property
    def runs(self) -> list[Run]:
        """The base and the arms."""
        return [self.base, *self.arms]

    @cached_property
    def comparison(self) -> dict[str, Any]:
        """``comparison.json``; empty for a single run."""
        if not self.is_comparison:
            return {}
        return dict(read_json(self.folder / "comparison.json", "guardrails", "effects", "increments"))

    @cached_property
    def checks(self) -> list[dict[str, Any]]:
        """What became of the guardrails."""
        return list((self.comparison if self.is_comparison else self.base.summary)["guardrails"])

    @property
    def failures(self) -> list[dict[str, Any]]:
        """Replicates that did not finish."""
        return list((self.comparison if self.is_comparison else self.base.summary).get("failures", []))

    @property
    def elapsed_s(self) -> float:
        """Seconds that the whole command took."""
        return finite((self.comparison if self.is_comparison else self.base.summary).get("elapsed_s"))

    @cached_property
    def effects(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """Effects by arm and metric, in the order of the comparison."""
        return {(row["arm"], row["metric"]): _numbers(row) for row in self.comparison.get("effects", [])}

    @cached_property
    def increments(self) -> dict[tuple[str, str], Mapping[str, Any]]:
        """What only a comparison can tell, by arm and metric."""
        return {(row["arm"], row["metric"]): _numbers(row) for row in self.comparison.get("increments", [])}


def _numbers(row: Mapping[str, Any]) -> dict[str, Any]:
    """Read null as NaN, but leave the number of replicates that are needed as it is."""
    return {key: np.nan if value is None and key != "replicates_needed" else value for key, value in row.items()}


def read(folder: Path) -> Study:
    """Open a folder for a report.

    Parameters
    ----------
    folder : Path
        Of a finished run or comparison.

    Returns
    -------
    Study
        Its tables are read when they are asked for; ScenarioFileError if one is missing or damaged.
    """
    file = folder / "manifest.json"
    if read_json(file, "kind")["kind"] == "run":
        return Study(folder, Run(str(read_json(file, "scenario")["scenario"]), folder), [])
    manifest = read_json(file, "base", "arms")
    names = [manifest["base"], *manifest["arms"]]
    base, *arms = [Run(str(name), folder / "arms" / name) for name in names]
    return Study(folder, base, arms)
