"""What the runs of a stress plan say of each risk: impact, losses of a period, budgets, responses, alarms.

The loss of an event is what contribution falls by within the run, paired by seed; a world with several sizes of a shock
weighs them. Losses of a period are simulated (:mod:`experiments.plans.stress_losses`). What a response costs in a calm
world is scaled from the length of the run to the period, in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments import stats
from experiments.comparison import direction_of
from experiments.outcome import RunResult
from experiments.plans import stress_alarms as alarms
from experiments.plans.plan import Plan
from experiments.plans.stress import (
    ACCEPT,
    CALM,
    CALM_KEY,
    HOURS_A_YEAR,
    LOSS,
    Key,
    Response,
    Shock,
    StressPlan,
    World,
)
from experiments.plans.stress_budgets import Budgets
from experiments.plans.stress_chances import runs_for_a_tail
from experiments.plans.stress_losses import Frequency, LogNormal, Risk, exceedance, recovered, stream, tail
from experiments.plans.stress_tails import Answer, Tails, expected_loss, sample
from experiments.plans.study import Findings
from sim import law
from sim.core.config import FEN_PER_YUAN

Array = npt.NDArray[np.float64]
BEST = 3
"""Alarms of each shock that the summary names; the table has all."""


class Assessment:
    """Puts together what the runs say.

    Parameters
    ----------
    plan : Plan
    worlds : sequence of World
        The calm one first.
    runs : mapping
        By key of the world, the runs by seed.
    """

    def __init__(
        self, plan: Plan[StressPlan], worlds: Sequence[World], runs: Mapping[Key, Mapping[int, RunResult]]
    ) -> None:
        self.plan, self.config = plan, plan.config
        self.worlds, self.runs = worlds, runs
        self.years = self.config.period / HOURS_A_YEAR
        self.periods_a_run = self.config.period / plan.scenario.config.horizon

    # What was run.

    def points(self) -> pd.DataFrame:
        """Return the worlds: ``point``, ``world``, ``shock``, ``size``, ``response``, ``shock_happens``."""
        rows = [(n, w.name, w.shock, w.size, w.response, w.shock_happens) for n, w in enumerate(self.worlds)]
        return pd.DataFrame(rows, columns=["point", "world", "shock", "size", "response", "shock_happens"])

    @property
    def metrics(self) -> list[str]:
        """Of the impact; the loss is always among them."""
        return list(dict.fromkeys([LOSS, *self.config.metrics]))

    def tidy(self) -> pd.DataFrame:
        """Return ``point``, ``seed``, ``metric``, ``value``."""
        rows = [
            (point, seed, metric, run.metrics.get(metric, math.nan))
            for point, world in enumerate(self.worlds)
            for seed, run in self.runs[world.key].items()
            for metric in [*self.metrics, *(["gmv"] if "gmv" not in self.metrics else [])]
        ]
        return pd.DataFrame(rows, columns=["point", "seed", "metric", "value"])

    def values(self, metric: str, key: Key = CALM_KEY) -> Array:
        """Return a metric of a world, a value a seed of the plan; NaN where the run failed."""
        runs = self.runs[key]
        return np.array([runs[s].metrics.get(metric, math.nan) if s in runs else math.nan for s in self.plan.seeds])

    @cached_property
    def revenue(self) -> float:
        """What buyers pay in a period of the calm world, mean over seeds, in yuan."""
        return stats.mean_estimate(self.values("gmv")).mean * self.periods_a_run

    def changes(self, shock: Shock, metric: str, response: str = "") -> Array:
        """Return what a shock changes in a metric, shape (sizes, seeds), paired by seed."""
        before = self.values(metric, (shock.name, "", response, False) if response else CALM_KEY)
        return np.array([self.values(metric, (shock.name, size, response, True)) - before for size, _ in shock.chances])

    def changes_nothing(self, shock: Shock) -> bool:
        """Whether every run with the shock, in any size, has exactly the metrics of the calm run with its seed."""
        if shock.loss is not None:
            return False
        calm = self.runs[CALM_KEY]
        pairs = [
            (run.metrics, calm[seed].metrics)
            for size, _ in shock.chances
            for seed, run in self.runs[shock.name, size, "", True].items()
            if seed in calm
        ]
        return bool(pairs) and all(_same(struck, untouched) for struck, untouched in pairs)

    # Impact.

    def impacts(self) -> pd.DataFrame:
        """Return what each shock changes in each metric: mean over seeds and sizes with a 95% interval, verdict."""
        rows = []
        for shock in self.config.shocks:
            if shock.loss is not None:
                continue
            weights = np.array([weight for _, weight in shock.chances])
            for metric in self.metrics:
                change = self.changes(shock, metric)
                worlds = [("", weights @ change)]
                if len(weights) > 1:
                    worlds += [(name, change[row]) for row, (name, _) in enumerate(shock.chances)]
                for size, per_seed in worlds:
                    found = stats.mean_estimate(per_seed)
                    verdict = stats.verdict(found, direction_of(metric))
                    limits = found.mean, found.low, found.high, found.replicates
                    rows.append((shock.name, size, metric, *limits, verdict))
        columns = ["shock", "size", "metric", "change", "change_low", "change_high", "pairs", "verdict"]
        return pd.DataFrame(rows, columns=columns)

    # Losses of a period.

    def answers(self, shock: Shock) -> list[Answer]:
        """Return what may be done about a shock, accepting it first."""
        accepted = Response(name=ACCEPT, kind="accept")
        others = [response for response in shock.responses if response.kind != "accept"]
        return [self._answer(shock, response) for response in (accepted, *others)]

    def _answer(self, shock: Shock, response: Response) -> Answer:
        changed = response.name if response.set else ""
        often = response.probability is not None or response.rate is not None
        source = response if often else shock
        frequency = Frequency.of(self.years, probability=source.probability, rate=source.rate)
        insured = {
            "deductible": response.deductible / FEN_PER_YUAN,
            "cover": response.cover or 0.0,
            "limit": math.inf if response.limit is None else response.limit / FEN_PER_YUAN,
        }
        paid = (response.cost + (response.premium or 0)) / FEN_PER_YUAN * self.years
        if shock.loss is not None:
            share = shock.loss.share_of_revenue if response.share_of_revenue is None else response.share_of_revenue
            law_of_loss = LogNormal(share * self.revenue, shock.loss.spread)
            risk = Risk(frequency, law_of_loss, paid, **insured)
            return Answer(response, risk, self._by_revenue(risk))
        calm = np.zeros(len(self.plan.seeds))
        if changed:
            calm = self.values(LOSS) - self.values(LOSS, (shock.name, "", changed, False))
        standing = paid + calm * self.periods_a_run
        if frequency.mean == 0:
            return Answer(response, Risk(frequency, LogNormal(0.0, 0.0), _mean(standing)), standing)
        losses = -self.changes(shock, LOSS, changed)
        chances = np.array([weight for _, weight in shock.chances])
        own = Risk(frequency, sample(losses, shock), _mean(standing), **insured)
        borne = losses - recovered(losses, own.deductible, own.cover, own.limit)
        return Answer(response, own, standing + frequency.mean * (chances @ borne), losses)

    def _by_revenue(self, risk: Risk) -> Array:
        """Return the expected loss of a stated law by the revenue of each seed, in yuan.

        With a deductible or a limit by Monte Carlo, as layers need it.
        """
        events = risk.severity.mean * self._revenue_of_seeds
        if risk.cover:
            assert isinstance(risk.severity, LogNormal)
            unit = LogNormal(1.0, risk.severity.spread)
            if risk.deductible == 0 and math.isinf(risk.limit):
                return risk.standing + risk.frequency.mean * (1 - risk.cover) * events
            drawn = unit.draw(self.config.draws, np.random.default_rng(self.config.seed))
            paid = [recovered(mean * drawn, risk.deductible, risk.cover, risk.limit).mean() for mean in events]
            events = events - np.array(paid)
        return risk.standing + risk.frequency.mean * events

    @cached_property
    def _revenue_of_seeds(self) -> Array:
        """What buyers pay in the calm run of each seed, relative to the mean; NaN where the run failed."""
        gmv = self.values("gmv")
        mean = stats.mean_estimate(gmv).mean
        return gmv / mean if mean else np.where(np.isfinite(gmv), 1.0, math.nan)

    # Responses.

    def responses(self) -> pd.DataFrame:
        """Return what each response does to each risk: net loss of a period, what it saves, value at risk, shortfall.

        ``saves`` is against accepting the risk, paired by seed, with ``saves_low`` and ``saves_high`` (95%); of a
        stated law that is what revenue leaves open. ``members`` is what the response changes in members at the end of
        a calm run.
        """
        rows = []
        for number, shock in enumerate(self.config.shocks):
            answers, nothing = self.answers(shock), self.changes_nothing(shock)
            for answer in answers:
                drawn = answer.risk.simulate(self.config.draws, stream(self.config.seed, number))
                level, often = self.config.levels[0], answer.risk.frequency.any
                measured = tail(drawn, level)
                net = expected_loss(answer.per_seed)
                saved = expected_loss(answers[0].per_seed, -answer.per_seed)
                members = self._members(shock, answer.response)
                rows.append(
                    {
                        "shock": shock.name, "response": answer.response.name, "kind": answer.response.kind,
                        "net_loss": net.mean, "net_loss_low": net.low, "net_loss_high": net.high,
                        "saves": saved.mean, "saves_low": saved.low, "saves_high": saved.high,
                        "members": members.mean, "members_low": members.low, "members_high": members.high,
                        "standing": answer.risk.standing, "chance": answer.risk.frequency.any,
                        "value_at_risk": measured.value_at_risk, "shortfall": measured.shortfall,
                        "runs": net.replicates, "changes_nothing": nothing,
                        "runs_needed": runs_for_a_tail(level, often) if answer.costs_in_runs else 0,
                    }
                )  # fmt: skip
        return pd.DataFrame(rows)

    def _members(self, shock: Shock, response: Response) -> stats.Estimate:
        """Return what a response changes in members if nothing happens; without data if it changes nothing."""
        if not response.set:
            return stats.Estimate(math.nan)
        calm = self.values("members", (shock.name, "", response.name, False))
        return stats.mean_estimate(calm - self.values("members"))

    # Alarms.

    @cached_property
    def _logged(self) -> dict[Key, dict[int, pd.DataFrame]]:
        kept = [world.key for world in self.worlds if not world.response]
        return {key: {seed: alarms.signals(run) for seed, run in self.runs[key].items()} for key in kept}

    def warnings(self) -> pd.DataFrame:
        """Return how soon and how surely each signal gives an alarm of each shock, the surest first."""
        struck = [(shock, size) for shock in self.config.shocks if shock.loss is None for size, _ in shock.chances]
        days = {(shock.name, size): int(shock.begins_in(size) // 24) for shock, size in struck}
        start = min(days.values(), default=0)
        levels = alarms.levels([*self._logged[CALM_KEY].values()], start, self.config.false_alarms)
        tables = []
        for (shock, size), day in days.items():
            table = alarms.alarms(levels, self._logged[shock, size, "", True], day)
            table.insert(0, "shock", shock)
            table.insert(1, "size", size)
            tables.append(table)
        return alarms.proven(pd.concat(tables, ignore_index=True)) if tables else pd.DataFrame()

    def heard(self, warnings: pd.DataFrame) -> dict[str, Any]:
        """Return the best alarms that are proven, and how many were tried."""
        tried = len(warnings)
        kept = warnings[warnings["proven"]] if tried else warnings
        return {
            "alarms": _records(kept.groupby(["shock", "size"], sort=False).head(BEST) if len(kept) else kept),
            "alarms_tried": tried,
            "alarms_proven": len(kept),
            "alarms_need": alarms.runs_for_proof(tried, self.config.false_alarms) if tried else 0,
        }

    def courses(self, warnings: pd.DataFrame) -> pd.DataFrame:
        """Return the daily course of the surest signal of each shock, calm and struck."""
        parts = []
        for (shock, size), table in warnings.groupby(["shock", "size"], sort=False) if len(warnings) else ():
            runs = {CALM: self._logged[CALM_KEY], "shock": self._logged[str(shock), str(size), "", True]}
            part = alarms.curves(runs, [str(table["signal"].iloc[0])])
            part.insert(0, "shock", str(shock))
            part.insert(1, "size", str(size))
            parts.append(part)
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()

    # Everything.

    def findings(self) -> Findings:
        """Return what the study keeps."""
        from experiments.plans.stress_output import verdict

        worst = Tails(self.config, [self.answers(shock)[0] for shock in self.config.shocks], self._revenue_of_seeds)
        impacts, tails, responses = self.impacts(), worst.table(), self.responses()
        warnings, spending = self.warnings(), Budgets(self.plan, self.worlds, self.runs)
        budgets = spending.table()
        curves = []
        for name, losses in worst.losses.items():
            amount, chance = exceedance(losses)
            curves.append(pd.DataFrame({"risk": name, "loss": amount, "chance": chance}))
        seldom = [
            {
                "shock": shock.name, "chance": answer.risk.frequency.any, "events": answer.risk.frequency.mean,
                "changes_nothing": self.changes_nothing(shock),
            }
            for shock, answer in zip(self.config.shocks, worst.answers, strict=True)
        ]  # fmt: skip
        summary: dict[str, Any] = {
            "runs": sum(len(runs) for runs in self.runs.values()),
            "period_days": self.config.period / 24,
            "revenue": self.revenue,
            "risks": seldom,
            "impacts": _records(impacts),
            "tails": _records(tails),
            "reserve": worst.reserve(),
            "budgets": {"worlds": _records(budgets), "within_a_run": spending.within_a_run()},
            "responses": _records(responses),
            **self.heard(warnings),
            "law": law.facts(self.plan.scenario.config, [run.facts for run in self.runs[CALM_KEY].values()]),
        }
        summary["verdict"] = verdict(summary)
        tables = {
            "impacts": impacts, "tails": tails, "responses": responses, "alarms": warnings, "budgets": budgets,
            "courses": self.courses(warnings), "exceedance": pd.concat(curves, ignore_index=True),
        }  # fmt: skip
        return Findings(self.points(), self.tidy(), summary, tables)


def _same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    """Whether two runs came to exactly the same."""
    return one.keys() == other.keys() and np.array_equal([*one.values()], [other[key] for key in one], equal_nan=True)


def _mean(values: Array) -> float:
    return stats.mean_estimate(values).mean


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
