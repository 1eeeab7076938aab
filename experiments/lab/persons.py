"""Individual effects of a study: the persons of both worlds and of a test by persons, put together by seed.

What the model's choice is worth is not reckoned but run: a shop in which only those whom it chose are treated, and one
in which as many are treated by lot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from experiments import stats, uplift
from experiments.lab.outcomes import COVARIATES
from experiments.lab.terms import OUTCOMES
from experiments.lab.trial import Trial
from experiments.outcome import RunResult

SHARES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)


def joined_persons(
    none: Mapping[int, pd.DataFrame], everybody: Mapping[int, pd.DataFrame], test: Mapping[int, pd.DataFrame]
) -> pd.DataFrame:
    """Return a row for each person and seed that all three have.

    Parameters
    ----------
    none, everybody, test : mapping of int to DataFrame
        Table ``persons`` of :class:`experiments.lab.trial.Trial` by seed.

    Returns
    -------
    DataFrame
        ``seed``, ``uid``, covariates, ``treated``, and of each outcome ``<outcome>_none``, ``_all`` and ``_test``;
        ``benefit``, yuan got when everybody was treated, less those got when nobody was.
    """
    parts = []
    for seed in sorted(none.keys() & everybody.keys() & test.keys()):
        first, second, third = none[seed], everybody[seed], test[seed]
        part = third[["uid", *COVARIATES, "treated"]].assign(seed=seed)
        for outcome in OUTCOMES:
            part[f"{outcome}_none"] = first[outcome].to_numpy()
            part[f"{outcome}_all"] = second[outcome].to_numpy()
            part[f"{outcome}_test"] = third[outcome].to_numpy()
        part["benefit"] = second["benefit"].to_numpy() - first["benefit"].to_numpy()
        parts.append(part)
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def individual_effects(persons: pd.DataFrame, outcome: str) -> tuple[dict[str, pd.DataFrame], dict[str, Any]]:
    """Return tables and figures of individual effects.

    Parameters
    ----------
    persons : DataFrame
        Of :func:`joined_persons`.
    outcome : str

    Returns
    -------
    dict of str to DataFrame
        ``persons`` as given, with ``score``, the predicted effect; ``profiles``; ``uplift``: curves by ``ranking``
        (model, likely, ideal, random, and promised: what the test itself says of the model's); ``savings``.
    dict
        ``outcome``, ``persons``, ``kinds``: share of each; ``quality`` of the model's ranking and of likely buyers
        first; each with its interval over seeds.
    """
    without, under = (persons[f"{outcome}_{world}"].to_numpy() for world in ("none", "all"))
    seen, treated = persons[f"{outcome}_test"].to_numpy(), persons["treated"].to_numpy()
    before, effect = persons[list(COVARIATES)], under - without
    seeds, benefit = persons["seed"].to_numpy(), persons["benefit"].to_numpy()
    kind = uplift.kinds(without, under)
    score, likely = uplift.predict(before.to_numpy(), seen, treated, seeds)
    rankings = {"model": score, "likely": likely, "ideal": effect, "random": np.zeros(effect.size)}
    curves = {name: uplift.gain(ranking, effect) for name, ranking in rankings.items()}
    curves["promised"] = uplift.qini(score, seen, treated)
    tables = {
        "persons": persons.assign(score=score),
        "profiles": uplift.profiles(kind, before, benefit),
        "uplift": pd.concat([curve.assign(ranking=name) for name, curve in curves.items()], ignore_index=True),
        "savings": uplift.savings(score, effect, benefit, SHARES),
    }

    def over_seeds(value: Any) -> dict[str, float]:
        found = stats.mean_estimate([value(seeds == seed) for seed in np.unique(seeds)])
        return {"mean": found.mean, "ci_low": found.low, "ci_high": found.high}

    def rated(name: str) -> dict[str, float]:
        return over_seeds(
            lambda rows: uplift.quality(
                uplift.gain(rankings[name][rows], effect[rows]), uplift.gain(effect[rows], effect[rows])
            )
        )

    figures = {
        "outcome": outcome,
        "persons": len(persons),
        "kinds": {
            name: over_seeds(lambda rows, name=name: float((kind[rows] == name).mean())) for name in uplift.KINDS
        },
        "quality": {name: rated(name) for name in ("model", "likely")},
    }
    return tables, figures


def chosen(persons: pd.DataFrame, share: float, world: Trial) -> dict[tuple[str, int], Trial]:
    """Return what to run to learn what a choice is worth: only those with the highest scores, and as many by lot.

    Parameters
    ----------
    persons : DataFrame
        Of :func:`individual_effects`, in the order of the network for each seed.
    share : float
        Of persons, who are treated.
    world : Trial
        As of everybody treated.

    Returns
    -------
    dict
        By ``model`` or ``lot`` and seed.
    """
    trials = {}
    for key, part in persons.groupby("seed"):
        seed = int(str(key))
        score, lot = part["score"].to_numpy(), np.random.default_rng([seed, 0]).permutation(len(part))
        for name, order in (("model", np.argsort(-score, kind="stable")), ("lot", lot)):
            mask = np.zeros(len(part), bool)
            mask[order[: round(share * len(part))]] = True
            trials[name, seed] = replace(world, design="chosen", chosen=np.packbits(mask).tobytes())
    return trials


def targeting(results: Mapping[tuple[str, int], RunResult], outcome: str) -> pd.DataFrame:
    """Return what treating some gains and costs, against nobody treated, paired by seed.

    Returns
    -------
    DataFrame
        ``who`` (model, lot, all; and ``model - lot``), ``gain`` of the outcome per 1,000 persons with its 95% interval,
        ``benefit``, yuan got per 1,000 persons, with its.
    """
    seeds = [
        seed
        for who, seed in results
        if who == "lot" and all((one, seed) in results for one in ("model", "all", "none"))
    ]

    def values(who: str, metric: str) -> np.ndarray[Any, Any]:
        return 1000 * np.array([results[who, seed].metrics[metric] for seed in seeds])

    rows = []
    for who, against in (("model", "none"), ("lot", "none"), ("all", "none"), ("model", "lot")):
        row: dict[str, Any] = {"who": who if against == "none" else f"{who} - {against}"}
        for key, metric in (("gain", f"mean.{outcome}.value"), ("benefit", "benefit")):
            found = stats.mean_estimate(values(who, metric) - values(against, metric))
            row |= {key: found.mean, f"{key}_low": found.low, f"{key}_high": found.high}
        rows.append(row)
    return pd.DataFrame(rows)
