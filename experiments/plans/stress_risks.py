"""What the runs of a stress plan say of each risk: impact, losses of a period, budgets, responses, alarms.

The loss of an event is what contribution falls by within the run, paired by seed; a world with several sizes of a shock
weighs them. Losses of a period are simulated (:mod:`experiments.plans.stress_losses`). What a response costs in a calm
world is scaled from the length of the run to the period, in proportion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import binomtest

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
from experiments.plans.stress_losses import Frequency, LogNormal, Risk, Sample, exceedance, simulate, tail
from experiments.plans.study import Findings
from sim import law
from sim.core.config import FEN_PER_YUAN

Array = npt.NDArray[np.float64]
ALL = "all risks"
BEST = 3
"""Alarms of each shock that the summary names; the table has all."""
RESAMPLED_PERIODS = 20_000


@dataclass(frozen=True)
class Answer:
    """A response to a shock, as it stands in the Monte Carlo.

    Parameters
    ----------
    response : Response
    risk : Risk
    per_seed : ndarray, shape (seeds,)
        Expected net loss of a period by the runs of each seed, in yuan; of one value if no run is asked.
    """

    response: Response
    risk: Risk
    per_seed: Array


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
            return Answer(response, risk, np.array([self._expected(risk)]))
        calm = np.zeros(len(self.plan.seeds))
        if changed:
            calm = self.values(LOSS) - self.values(LOSS, (shock.name, "", changed, False))
        standing = paid + calm * self.periods_a_run
        if frequency.mean == 0:
            return Answer(response, Risk(frequency, LogNormal(0.0, 0.0), _mean(standing)), standing)
        losses = -self.changes(shock, LOSS, changed)
        chances = np.array([weight for _, weight in shock.chances])
        own = Risk(frequency, _sample(losses, chances), _mean(standing), **insured)
        borne = losses - np.minimum(own.cover * np.maximum(losses - own.deductible, 0.0), own.limit)
        return Answer(response, own, standing + frequency.mean * (chances @ borne))

    def _expected(self, risk: Risk) -> float:
        """Return the expected loss of a stated law; with an insurance by Monte Carlo, as its layers need it."""
        if risk.cover == 0:
            return risk.standing + risk.frequency.mean * risk.severity.mean
        one = Risk(Frequency(1.0, False), risk.severity, 0.0, risk.deductible, risk.cover, risk.limit)
        losses = one.simulate(self.config.draws, np.random.default_rng(self.config.seed))
        return risk.standing + risk.frequency.mean * float(losses.mean())

    @cached_property
    def accepted(self) -> list[Answer]:
        """Every shock, accepted."""
        return [self.answers(shock)[0] for shock in self.config.shocks]

    @cached_property
    def losses(self) -> dict[str, Array]:
        """Simulated losses of periods: of each shock, and of all together."""
        drawn = simulate([answer.risk for answer in self.accepted], self.config.draws, self.config.seed)
        found = {shock.name: drawn[row] for row, shock in enumerate(self.config.shocks)}
        return {**found, ALL: drawn.sum(axis=0)}

    def tails(self) -> pd.DataFrame:
        """Return expected loss, value at risk and shortfall of each risk and of all, each with two kinds of error.

        ``mean_low`` and the like are 95% intervals from resampled seeds; they hold what Monte Carlo leaves open too.
        """
        resampled = self._resampled()
        rows = []
        for name, losses in self.losses.items():
            for level in self.config.levels:
                found = tail(losses, level)
                limits = {
                    f"{short}_{end}": float(np.quantile(resampled[name, level][:, column], share))
                    for column, short in enumerate(("mean", "value_at_risk", "shortfall"))
                    for end, share in (("low", 0.025), ("high", 0.975))
                }
                rows.append(
                    {
                        "risk": name, "level": level, "mean": found.mean, "mean_error": found.mean_error,
                        "value_at_risk": found.value_at_risk, "value_at_risk_monte_carlo_low": found.value_low,
                        "value_at_risk_monte_carlo_high": found.value_high, "shortfall": found.shortfall,
                        "shortfall_error": found.shortfall_error, **limits,
                    }
                )  # fmt: skip
        return pd.DataFrame(rows)

    def _resampled(self) -> dict[tuple[str, float], Array]:
        """Return mean, value at risk and shortfall under resampled seeds, shape (resamples, 3), by risk and level."""
        generator = np.random.default_rng([self.config.seed, 1])
        seeds, gmv = len(self.plan.seeds), self.values("gmv")
        found: dict[tuple[str, float], list[tuple[float, float, float]]] = {}
        for resample in range(self.config.resamples):
            chosen = generator.integers(0, seeds, seeds)
            risks = [self._with_seeds(n, answer, chosen, gmv) for n, answer in enumerate(self.accepted)]
            drawn = simulate(risks, RESAMPLED_PERIODS, self.config.seed + 1 + resample)
            for name, losses in zip([*(s.name for s in self.config.shocks), ALL], [*drawn, drawn.sum(0)], strict=True):
                for level in self.config.levels:
                    one = tail(losses, level)
                    found.setdefault((name, level), []).append((one.mean, one.value_at_risk, one.shortfall))
        return {key: np.array(values) for key, values in found.items()}

    def _with_seeds(self, number: int, answer: Answer, chosen: npt.NDArray[np.int64], gmv: Array) -> Risk:
        """Return a risk as it would be, had these been the seeds."""
        shock, risk = self.config.shocks[number], answer.risk
        if shock.loss is not None:
            known = gmv[chosen][np.isfinite(gmv[chosen])]
            mean = known.mean() if known.size else math.nan
            scale = mean * self.periods_a_run / self.revenue if self.revenue else 1.0
            assert isinstance(risk.severity, LogNormal)
            return Risk(risk.frequency, LogNormal(risk.severity.mean * scale, risk.severity.spread))
        if risk.frequency.mean == 0:
            return risk
        chances = np.array([weight for _, weight in shock.chances])
        return Risk(risk.frequency, _sample(-self.changes(shock, LOSS)[:, chosen], chances))

    def reserve(self) -> dict[str, Any] | None:
        """Return how likely the losses of a period exceed what is set aside, if anything is."""
        if self.config.reserve is None:
            return None
        amount = self.config.reserve / FEN_PER_YUAN
        losses = self.losses[ALL]
        count = int((losses > amount).sum())
        interval = binomtest(count, losses.size).proportion_ci(0.95)
        return {"reserve": amount, "chance": count / losses.size, "low": interval.low, "high": interval.high}

    # Responses.

    def responses(self) -> pd.DataFrame:
        """Return what each response does to each risk: net loss of a period, what it saves, value at risk, shortfall.

        ``saves`` is against accepting the risk, paired by seed, with ``saves_low`` and ``saves_high`` (95%); a stated
        law has no seeds, so no interval. ``members`` is what the response changes in members at the end of a calm run.
        """
        rows = []
        for shock in self.config.shocks:
            answers = self.answers(shock)
            for answer in answers:
                drawn = answer.risk.simulate(self.config.draws, np.random.default_rng([self.config.seed, 2]))
                measured = tail(drawn, self.config.levels[0])
                net = stats.mean_estimate(answer.per_seed)
                saved = stats.mean_estimate(answers[0].per_seed - answer.per_seed)
                members = self._members(shock, answer.response)
                rows.append(
                    {
                        "shock": shock.name, "response": answer.response.name, "kind": answer.response.kind,
                        "net_loss": net.mean, "net_loss_low": net.low, "net_loss_high": net.high,
                        "saves": saved.mean, "saves_low": saved.low, "saves_high": saved.high,
                        "members": members.mean, "members_low": members.low, "members_high": members.high,
                        "standing": answer.risk.standing, "chance": answer.risk.frequency.any,
                        "value_at_risk": measured.value_at_risk, "shortfall": measured.shortfall,
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

    def _day(self, shock: Shock) -> int:
        return int(shock.begins // 24)

    def warnings(self) -> pd.DataFrame:
        """Return how soon and how surely each signal gives an alarm of each shock, the surest first."""
        struck = [shock for shock in self.config.shocks if shock.loss is None]
        start = min((self._day(shock) for shock in struck), default=0)
        levels = alarms.levels([*self._logged[CALM_KEY].values()], start, self.config.false_alarms)
        tables = []
        for shock in struck:
            for size, _ in shock.chances:
                table = alarms.alarms(levels, self._logged[shock.name, size, "", True], self._day(shock))
                table.insert(0, "shock", shock.name)
                table.insert(1, "size", size)
                tables.append(table)
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

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

        impacts, tails, responses = self.impacts(), self.tails(), self.responses()
        warnings, spending = self.warnings(), Budgets(self.plan, self.worlds, self.runs)
        budgets = spending.table()
        curves = []
        for name, losses in self.losses.items():
            amount, chance = exceedance(losses)
            curves.append(pd.DataFrame({"risk": name, "loss": amount, "chance": chance}))
        seldom = [
            {"shock": shock.name, "chance": answer.risk.frequency.any, "events": answer.risk.frequency.mean}
            for shock, answer in zip(self.config.shocks, self.accepted, strict=True)
        ]
        heard = warnings[warnings["fires"] > 0] if len(warnings) else warnings
        summary: dict[str, Any] = {
            "runs": sum(len(runs) for runs in self.runs.values()),
            "period_days": self.config.period / 24,
            "revenue": self.revenue,
            "risks": seldom,
            "impacts": _records(impacts),
            "tails": _records(tails),
            "reserve": self.reserve(),
            "budgets": {"worlds": _records(budgets), "within_a_run": spending.within_a_run()},
            "responses": _records(responses),
            "alarms": _records(heard.groupby(["shock", "size"], sort=False).head(BEST) if len(heard) else heard),
            "law": law.facts(self.plan.scenario.config, [run.facts for run in self.runs[CALM_KEY].values()]),
        }
        summary["verdict"] = verdict(summary)
        tables = {
            "impacts": impacts, "tails": tails, "responses": responses, "alarms": warnings, "budgets": budgets,
            "courses": self.courses(warnings), "exceedance": pd.concat(curves, ignore_index=True),
        }  # fmt: skip
        return Findings(self.points(), self.tidy(), summary, tables)


def _sample(losses: Array, chances: Array) -> Sample:
    """Return what happened in runs, shape (sizes, seeds), as a law; runs that failed are left out."""
    weights = np.broadcast_to(chances[:, None], losses.shape)
    known = np.isfinite(losses)
    if not known.any():
        return Sample(np.array([math.nan]), np.array([1.0]))
    return Sample(losses[known], weights[known] / weights[known].sum())


def _mean(values: Array) -> float:
    return stats.mean_estimate(values).mean


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]
