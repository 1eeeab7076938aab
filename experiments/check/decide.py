"""Is a metric as it was? Equal, equivalent, changed, or undecided: the statistics of ``shopsim check``.

For each metric there are its values in the baseline and those of now, and a tolerance. In this order:

==========  ==========================================================================================================
equal       the same seeds gave the same values
equivalent  two one-sided t tests at the level alpha each reject a difference of the means as large as the tolerance
            (Schuirmann 1987), that is, the difference's interval of confidence 1 - 2 alpha is within it
changed     the means differ, tested two-sided by Student's t and corrected over all metrics that are not equal
            (Holm 1979), and the difference has not been shown to be within the tolerance
undecided   neither: more replicates are needed
==========  ==========================================================================================================

With the same seeds the tests are paired, with other seeds they are Welch's. Both are of plain differences of means:
with 5 to 20 replicates of a skewed metric, t is then conservative, whereas tests of a ratio of means with jackknife
errors would raise ten times as many false alarms as they promise (simulated with lognormal and Poisson values). Other
seeds are as many as are taken of the baseline: with 5 against 20, Welch's test raised three times as many as promised.

Two promises follow, with alpha = 1 - confidence. **False alarms**: if nothing has changed, the probability that any
metric of the file is called changed is at most alpha. **False passes**: a metric that did move by more than its
tolerance is called equivalent with probability at most alpha; as a check passes only if *every* metric does, no
correction is needed there (intersection-union test, Berger 1982). Whoever looks several times, with more seeds each
time, uses alpha / looks at each look, which keeps both (Bonferroni). Both rest on t, and so on means that are nearly
normal.

Where t says nothing, because nothing varies, the evidence is that of exchangeability: n and m values that are all
equal within and different between are one of C(n + m, n) arrangements, so p = 2 / C(n + m, n), that they differ and
that they differ by less than the tolerance alike: two values show neither. Whether a metric has a
value at all is compared by Fisher's exact test.

References
----------
Schuirmann (1987), "A comparison of the two one-sided tests procedure and the power approach".
Lakens, Scheel, Isager (2018), "Equivalence testing for psychological research": the four outcomes of both tests.
Holm (1979), "A simple sequentially rejective multiple test procedure".
Berger (1982), "Multiparameter hypothesis testing and acceptance sampling".
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import stdtrit
from scipy.stats import fisher_exact
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from experiments.check.baseline import Tolerance, Values, rounded, unit_of
from experiments.stats import MOST_REPLICATES, Estimate, holm, known

Verdict = Literal["equal", "equivalent", "changed", "undecided"]
NO_SPREAD = 1e-9  # of the largest value: what rounding leaves of a spread that is none


@dataclass(frozen=True)
class Finding:
    """What became of one metric.

    Parameters
    ----------
    metric, unit : str
    verdict : str
        ``equal``, ``equivalent``, ``changed`` or ``undecided``.
    baseline, now : float
        Means over the seeds that are compared; NaN if there is no value.
    difference, low, high : float
        Of the means, now less baseline, with the interval of this metric alone at the file's confidence.
    tolerance : float
        In the unit of the metric.
    p_changed : float
        Of the two-sided test that nothing changed, corrected over all metrics that are not equal.
    p_equivalent : float
        The larger one of the two one-sided tests.
    needed : int or None
        Replicates that would decide an undecided metric, if mean and spread stay as they are; None if no number does.
    note : str
        What else a reader should know.
    """

    metric: str
    unit: str
    verdict: Verdict
    baseline: float
    now: float
    difference: float
    low: float
    high: float
    tolerance: float
    p_changed: float
    p_equivalent: float
    needed: int | None = None
    note: str = ""


@dataclass(frozen=True)
class _Sample:
    """The difference of one metric's means and what is known of its spread.

    Parameters
    ----------
    difference : Estimate
    p_moved : float
        Two-sided, that the means are equal.
    p_equivalent : float
    deviation : float
        Of one replicate's difference; of independent ones, root of the sum of both variances.
    """

    difference: Estimate
    p_moved: float
    p_equivalent: float
    deviation: float


def decide(
    before: Mapping[str, Values],
    now: Mapping[str, Values],
    tolerances: Mapping[str, Tolerance],
    *,
    paired: bool,
    confidence: float,
    looks: int = 1,
) -> list[Finding]:
    """Compare every metric of a baseline with what the scenario gives now.

    Parameters
    ----------
    before : mapping
        Metric to the values of the baseline, shape (n,), NaN where a replicate has none.
    now : mapping
        The same metrics to their values now, shape (n,): of the same seeds in the same order if `paired`. (Of other
        seeds there should be n too: with unequal numbers, Welch's test of skewed metrics raises too many alarms.)
    tolerances : mapping
        Of the same metrics.
    paired : bool
        Whether the seeds are the same.
    confidence : float
        In (0.5, 1).
    looks : int
        How many times the same baseline may be looked at.

    Returns
    -------
    list of Finding
        In the order of the baseline.
    """
    level = (1 - confidence) / looks
    before, after = ({name: rounded(columns[name]) for name in before} for columns in (before, now))
    equal = {name for name, values in before.items() if paired and np.array_equal(values, after[name], equal_nan=True)}
    tested = [name for name in before if name not in equal]
    test = _Test(paired, confidence, level, len(tested))
    found = {name: test.compare(name, before[name], after[name], tolerances[name]) for name in tested}
    corrected = holm(np.array([found[name].p_changed for name in tested]))
    judged = {name: _judged(found[name], float(p), level) for name, p in zip(tested, corrected, strict=True)}
    return [judged[name] if name in judged else _equal(name, before[name], tolerances[name]) for name in before]


def _judged(finding: Finding, p_changed: float, level: float) -> Finding:
    """Call a metric changed if it is not equivalent and the corrected p-value says so."""
    changed = finding.verdict == "undecided" and p_changed < level
    return replace(
        finding,
        p_changed=p_changed,
        verdict="changed" if changed else finding.verdict,
        needed=None if changed else finding.needed,
    )


@dataclass(frozen=True)
class _Test:
    """How the metrics of one file are compared.

    Parameters
    ----------
    paired : bool
    confidence : float
        Of the intervals that are shown.
    level : float
        Of each test.
    metrics : int
        How many are not equal.
    """

    paired: bool
    confidence: float
    level: float
    metrics: int

    def compare(self, name: str, base: Values, now: Values, tolerated: Tolerance) -> Finding:
        """Compare one metric; the p-value is not yet corrected, and what may be changed is still undecided."""
        tolerance = tolerated.around(_mean(base))
        before, after = known(base, now) if self.paired else (*known(base), *known(now))
        p_present, note = _presence(base, now)
        missing = not (np.isfinite(base).all() and np.isfinite(now).all())
        sample = self._sample(before, after, tolerance)
        equivalent = sample.p_equivalent < self.level and p_present >= self.level
        return Finding(
            metric=name,
            unit=unit_of(name),
            verdict="equivalent" if equivalent else "undecided",
            baseline=_mean(before if before.size else base),
            now=_mean(after if after.size else now),
            difference=sample.difference.mean,
            low=sample.difference.low,
            high=sample.difference.high,
            tolerance=tolerance,
            p_changed=min(1.0, 2 * min(sample.p_moved, p_present)) if missing else sample.p_moved,
            p_equivalent=sample.p_equivalent,
            needed=None if equivalent else self._needed(sample, tolerance),
            note=note or ("" if min(before.size, after.size) > 1 else "too few values to compare"),
        )

    def _sample(self, before: Values, after: Values, tolerance: float) -> _Sample:
        """Test one difference of means, given the values that are known."""
        n, m = before.size, after.size
        if min(n, m) < 2:
            return _Sample(Estimate(_mean(after) - _mean(before), replicates=min(n, m)), 1.0, 1.0, math.nan)
        parts = [after - before] if self.paired else [before, after]
        noise = NO_SPREAD * float(max(np.abs(before).max(), np.abs(after).max()))
        if all(float(np.ptp(part)) <= noise for part in parts):
            return _without_spread(before, after, tolerance, noise)
        alpha, difference = 1 - self.confidence, float(after.mean() - before.mean())
        if self.paired:
            pairs = DescrStatsW(after - before)
            limits, p_moved = pairs.tconfint_mean(alpha), pairs.ttest_mean(0.0)[1]
            p_equivalent = pairs.ttost_mean(-tolerance, tolerance)[0]
            deviation = float(np.std(after - before, ddof=1))
        else:
            both = CompareMeans(DescrStatsW(after), DescrStatsW(before))
            limits, p_moved = both.tconfint_diff(alpha, usevar="unequal"), both.ttest_ind(usevar="unequal")[1]
            p_equivalent = both.ttost_ind(-tolerance, tolerance, usevar="unequal")[0]
            deviation = math.sqrt(np.var(before, ddof=1) + np.var(after, ddof=1))
        estimate = Estimate(difference, float(limits[0]), float(limits[1]), min(n, m))
        return _Sample(estimate, float(p_moved), float(p_equivalent), float(deviation))

    def _needed(self, sample: _Sample, tolerance: float) -> int | None:
        """Return the replicates after which one of the tests would decide; None if none of up to 10 000 would.

        The two-sided test is planned with its level divided by the number of metrics, the first step of Holm's.
        """
        difference, share = abs(sample.difference.mean), self.level / self.metrics
        if not math.isfinite(sample.deviation):
            return None

        def decides(n: int) -> bool:
            if sample.deviation == 0.0:  # then only the number of values counts
                return 2 / math.comb(2 * n, n) < (self.level if difference < tolerance else share)
            freedom = n - 1 if self.paired else 2 * (n - 1)
            error = sample.deviation / math.sqrt(n)
            within = difference + stdtrit(freedom, 1 - self.level) * error < tolerance
            return bool(within or difference > stdtrit(freedom, 1 - share / 2) * error)

        found = bisect_left(range(MOST_REPLICATES + 1), True, lo=2, key=decides)
        return found if found <= MOST_REPLICATES else None


def _equal(name: str, values: Values, tolerated: Tolerance) -> Finding:
    mean = _mean(values)
    none = 0.0 if math.isfinite(mean) else math.nan
    note = "" if math.isfinite(mean) else "no value in either"
    return Finding(
        name, unit_of(name), "equal", mean, mean, none, none, none, tolerated.around(mean), 1.0, 0.0, note=note
    )


def _mean(values: Values) -> float:
    (sample,) = known(values)
    return float(sample.mean()) if sample.size else math.nan


def _presence(base: Values, now: Values) -> tuple[float, str]:
    """Test whether as many replicates have a value as had; and say so if not."""
    had, has = int(np.isfinite(base).sum()), int(np.isfinite(now).sum())
    if had * now.size == has * base.size:
        return 1.0, ""
    table = [[had, base.size - had], [has, now.size - has]]
    note = f"{has} of {now.size} replicates have a value, {had} of {base.size} had one"
    return float(fisher_exact(table).pvalue), note


def _without_spread(before: Values, after: Values, tolerance: float, noise: float) -> _Sample:
    """Compare constants, or what differs by the same in all seeds, where Student's t would be infinitely sure."""
    difference = float(after.mean() - before.mean())
    if abs(difference) <= noise:
        return _Sample(Estimate(0.0, 0.0, 0.0, before.size), 1.0, 0.0, 0.0)
    evidence = 2 / math.comb(before.size + after.size, before.size)
    estimate = Estimate(difference, difference, difference, min(before.size, after.size))
    return _Sample(estimate, evidence, evidence if abs(difference) < tolerance else 1.0, 0.0)
