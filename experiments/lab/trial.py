"""One experiment in one shop: toss the coins, run the shop, conclude what a company would.

A :class:`Trial` is what a worker does with a scenario and a seed (see :class:`experiments.replication.Work`). All
trials of a seed share every draw of the shop until the experiment begins, and after that all draws that they have in
common; ``all`` and ``none`` are the two worlds whose difference is the true total effect.
"""

from __future__ import annotations

import hashlib
import json
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from experiments.lab import designs
from experiments.lab.designs import Design, Generator, Schedule
from experiments.lab.estimators import (
    Effect,
    adjusted,
    cluster_regression,
    difference_in_means,
    exposure_weighted,
    paired_blocks,
)
from experiments.lab.exposure import Neighbours, map_exposure
from experiments.lab.outcomes import Counts, covariates
from experiments.lab.terms import (
    ClusterTerms,
    DesignTerms,
    EgoTerms,
    ExposureTerms,
    MerchantTerms,
    SwitchbackTerms,
    plain,
)
from experiments.outcome import RunResult
from sim.core.clock import HOURS_A_DAY, first_tick

if TYPE_CHECKING:
    from sim.scenario import Scenario
    from sim.shop import Shop

Array = npt.NDArray[Any]
Findings = Iterator[tuple[str, str, Effect]]
"""Estimator, outcome, effect a person over the experiment."""


@dataclass(frozen=True)
class Trial:
    """One way of treating persons, merchants or times with some schemes.

    Parameters
    ----------
    design : DesignTerms or {"all", "none", "chosen"}
    schemes : tuple of str
        Names of the schemes under test.
    start : float
        Hours after the start of the run at which the experiment begins.
    share : float
        Of the units that are treated.
    exposure : ExposureTerms
    chosen : bytes
        With ``chosen``: who is treated, a mask of the persons as :func:`numpy.packbits` packs it.
    """

    design: DesignTerms | Literal["all", "none", "chosen"]
    schemes: tuple[str, ...]
    start: float
    share: float
    exposure: ExposureTerms
    chosen: bytes = b""

    @property
    def digest(self) -> str:
        """SHA-256 of everything in it."""
        world = isinstance(self.design, str)
        content = {
            "design": self.design if isinstance(self.design, str) else plain(self.design),
            "schemes": sorted(self.schemes),
            "start": self.start,
            **({} if world else {"share": self.share, "exposure": self.exposure.model_dump(mode="json")}),
            "chosen": self.chosen.hex(),
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def __call__(self, scenario: Scenario, seed: int, watch: Callable[[float], None] | None = None) -> RunResult:
        """Run the shop.

        Returns
        -------
        RunResult
            Metrics ``<estimator>.<outcome>.value``, ``.error`` and ``.degrees``, in units of the outcome a person, and
            figures of the design; for ``all``, ``none`` and ``chosen`` the mean of each outcome a person. ``benefit``:
            yuan a person. Table ``persons``: who was treated, covariates, outcomes and benefits of each person.
        """
        from sim.shop import Shop

        started = time.perf_counter()
        shop = Shop(scenario, rng=seed)
        since = first_tick(self.start, shop.clock.tick_hours)
        run_until(shop, since, watch)
        before = covariates(shop)
        experiment = self._begin(shop)
        run_until(shop, shop.clock.horizon, watch)
        counts = Counts(shop, since)
        persons = before.assign(
            uid=shop.people.uid[: len(before)].astype(np.int64),
            treated=experiment.treated,
            **counts.by_person(),
            benefit=shop.people.benefit[: len(before)] / 100,
        )
        metrics = {**experiment.figures(), "benefit": float(persons["benefit"].mean())}
        with threadpool_limits(1):  # so that no bit depends on the number of cores
            found = list(experiment.findings(counts, before.to_numpy()))
        for estimator, outcome, effect in found:
            key = f"{estimator}.{outcome}"
            metrics |= {
                f"{key}.value": effect.value, f"{key}.error": effect.error, f"{key}.degrees": effect.degrees,
            }  # fmt: skip
        elapsed = time.perf_counter() - started
        return RunResult(scenario.name, scenario.digest, seed, metrics, {"persons": persons}, {}, elapsed)

    def _begin(self, shop: Shop) -> Experiment:
        """Toss the coins, and restrict the schemes to whom they fall for."""
        from sim.assignment import Assignment

        kind = self.design if isinstance(self.design, str) else self.design.kind
        rng = np.random.default_rng([shop.seed, zlib.crc32(kind.encode())])
        experiment = self._experiment(shop, rng)
        share = {"all": 1.0, "none": 0.0, "chosen": float(experiment.treated.mean())}.get(kind, self.share)
        Assignment(**experiment.masks(shop), share=share, seed=shop.seed).lay_on(shop, self.schemes)
        return experiment

    def _experiment(self, shop: Shop, rng: Generator) -> Experiment:
        graph, persons = shop.graph, shop.graph.persons
        if self.design == "chosen":
            return World(np.unpackbits(np.frombuffer(self.chosen, np.uint8), count=persons).astype(bool))
        if isinstance(self.design, str):
            return World(np.full(persons, self.design == "all"))
        if isinstance(self.design, SwitchbackTerms):
            first = -int(-self.start // HOURS_A_DAY)
            block, washout = (int(hours // HOURS_A_DAY) for hours in (self.design.block, self.design.washout))
            return OverTime(persons, designs.switchback(first, shop.clock.days, block, washout, rng))
        if isinstance(self.design, MerchantTerms):
            merchants = shop.config.catalog.merchants
            return OverMerchants(persons, designs.complete(merchants, self.share, rng))
        if isinstance(self.design, ClusterTerms):
            labels = designs.communities(graph, shop.seed, self.design.resolution)
            design = designs.cluster_level(labels, self.share)
        elif isinstance(self.design, EgoTerms):
            design = designs.ego_level(graph, self.share, rng)
        else:
            design = designs.person_level(persons, self.share)
        return OverPersons(self.design.kind, design, design.draw(rng), shop, self.exposure, rng)


def run_until(shop: Shop, tick: int, watch: Callable[[float], None] | None) -> None:
    """Simulate up to a tick."""
    while shop.clock.tick < tick and shop.running:
        shop.step()
        if watch is not None and shop.clock.starts_day:
            watch(min(1.0, shop.clock.tick / shop.clock.horizon))


class Experiment:
    """Who is treated, and what follows from it.

    Parameters
    ----------
    treated : bool ndarray, shape (persons,)
    """

    def __init__(self, treated: Array) -> None:
        self.treated = treated

    def masks(self, shop: Shop) -> dict[str, Array]:
        """Return the masks of :class:`sim.assignment.Assignment`."""
        return {"persons": self.treated}

    def figures(self) -> dict[str, float]:
        """Return what a reader should know of the design."""
        return {}

    def findings(self, counts: Counts, before: Array) -> Findings:
        """Yield every estimate; ``before`` is the covariates, shape (persons, covariates)."""
        raise NotImplementedError


class World(Experiment):
    """Everybody is treated, or nobody, or whom somebody chose: no estimate, but the mean of every outcome."""

    def findings(self, counts: Counts, before: Array) -> Findings:
        """Yield the mean of each outcome a person, exactly known."""
        for outcome, values in counts.by_person().items():
            yield "mean", outcome, Effect(float(values.mean()), 0.0)


class OverPersons(Experiment):
    """Persons are treated, alone or by units."""

    def __init__(
        self, kind: str, design: Design, treated: Array, shop: Shop, terms: ExposureTerms, rng: Generator
    ) -> None:
        super().__init__(treated)
        self._kind = kind
        self._design = design
        self._terms = terms
        self._neighbours = Neighbours(shop.graph)
        self._within = designs.within_share(shop.graph.reverse(), design)
        self._map = None
        if kind != "ego":  # an ego's exposure is all or nothing by design
            self._map = map_exposure(design, self._neighbours, terms.threshold, terms.overlap, terms.draws, rng)

    def figures(self) -> dict[str, float]:
        """Return units, what they hold of the ties, and whom the estimators look at."""
        design, degree = self._design, self._neighbours.degree
        sizes = np.bincount(design.unit)
        return {
            "units": design.units_analysed,
            "largest_unit": int(sizes.max()),
            "within_share": self._within,
            "analysed_degree": float(degree[design.analysed].mean()),
            "degree": float(degree.mean()),
            **({} if self._map is None else {"comparable_share": float(self._map.comparable.mean())}),
        }

    def findings(self, counts: Counts, before: Array) -> Findings:
        """Yield estimates with and without covariates, and by exposure."""
        design, rows = self._design, self._design.analysed
        treated, unit = self.treated[rows], design.unit[rows]
        for outcome, values in counts.by_person().items():
            for name, y in (("plain", values[rows]), ("cuped", adjusted(values[rows], before[rows]))):
                if self._kind == "cluster":
                    yield f"cluster_{name}", outcome, cluster_regression(y, treated, unit)
                else:
                    yield f"difference_{name}", outcome, difference_in_means(y, treated)
            if self._map is not None:
                exposed, spared = self._neighbours.exposures(self.treated, self._terms.threshold)
                for name, hajek in (("hajek", True), ("horvitz_thompson", False)):
                    yield name, outcome, exposure_weighted(
                        values, exposed, spared, self._map, hajek=hajek, units=design.units_analysed
                    )  # fmt: skip


class OverTime(Experiment):
    """Everybody is treated for a while, then nobody."""

    def __init__(self, persons: int, schedule: Schedule) -> None:
        super().__init__(np.ones(persons, bool))
        self._schedule = schedule

    def masks(self, shop: Shop) -> dict[str, Array]:
        """Return when the schemes are on."""
        return {"ticks": np.repeat(self._schedule.on, shop.clock.ticks_a_day)}

    def figures(self) -> dict[str, float]:
        """Return the number of blocks."""
        return {"units": 2 * self._schedule.pairs}

    def findings(self, counts: Counts, before: Array) -> Findings:
        """Yield the difference of days on and off, carried over the whole experiment, a person."""
        schedule = self._schedule
        kept = schedule.kept
        block = schedule.block[kept]
        on = np.bincount(block, schedule.on[kept]) > 0
        days = np.flatnonzero(schedule.block >= 0)
        scale = (schedule.on.size - days[0]) / self.treated.size
        for outcome, values in counts.by_day().items():
            mean = np.bincount(block, values[kept]) / np.bincount(block)
            yield "paired_blocks", outcome, paired_blocks(mean, on, np.arange(on.size) // 2).scaled(scale)


class OverMerchants(Experiment):
    """The schemes hold for the products of some merchants."""

    def __init__(self, persons: int, merchants: Array) -> None:
        super().__init__(np.ones(persons, bool))
        self._merchants = merchants

    def masks(self, shop: Shop) -> dict[str, Array]:
        """Return whose products the schemes hold for."""
        return {"merchants": self._merchants}

    def figures(self) -> dict[str, float]:
        """Return the number of merchants."""
        return {"units": self._merchants.size}

    def findings(self, counts: Counts, before: Array) -> Findings:
        """Yield the difference of merchants, a merchant's sales being so many a person."""
        scale = self._merchants.size / self.treated.size
        for outcome, values in counts.by_merchant().items():
            yield "difference_plain", outcome, difference_in_means(values, self._merchants).scaled(scale)
