"""Where to look next, and a journal of where one has looked: what ``optimise`` and ``calibrate`` have in common.

Points are searched in the unit cube; a plan's parameters translate a coordinate into a value. A proposal is a pure
function of the finished trials, the seed and the trial's number: the sampler is made anew for each, and nothing but
finished trials is ever remembered. So a search that was killed goes on exactly as if nothing had happened.

References
----------
Bergstra, Bardenet, Bengio and Kegl (2011), "Algorithms for hyper-parameter optimization": tree-structured Parzen
estimators, here those of Optuna over all coordinates at once.
Owen (1998), "Scrambling Sobol' and Niederreiter-Xing points": the first points of a search.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial
from scipy.stats import qmc

from experiments.engine import versions
from experiments.files import to_json
from experiments.plans.plan import Plan

optuna.logging.set_verbosity(optuna.logging.WARNING)

Unit = tuple[float, ...]
"""A point of the unit cube."""
Sampler = Literal["tpe", "random"]
FILE = "journal.log"
_VERY_BAD = 1e9
"""Violation of a trial that has no value at all."""


@dataclass(frozen=True)
class Tried:
    """What the sampler is told of a finished trial.

    Parameters
    ----------
    unit : tuple of float
        Where.
    losses : sequence of float
        One for each objective; less is better. NaN if the trial has no value: it then counts as very bad.
    violations : sequence of float
        One for each constraint; above zero is violated, and by how much.
    """

    unit: Unit
    losses: Sequence[float]
    violations: Sequence[float] = ()


def search_digest(plan: Plan[Any]) -> str:
    """Return a short name of a search: its plan, but for how many trials it makes, and the engine that makes runs.

    The engine is its code, its libraries, its plug-ins. A plan with more trials continues the same search.
    """
    return hashlib.sha256(f"{to_json(versions())} {plan.digest_without('trials')}".encode()).hexdigest()[:16]


def startup(dimensions: int) -> int:
    """Return how many space-filling points begin a search: enough to learn a slope along each axis."""
    return 4 + 2 * dimensions


def propose(
    tried: Sequence[Tried], dimensions: int, seed: int, number: int, sampler: Sampler = "tpe", attempt: int = 0
) -> Unit:
    """Return where to look next.

    Parameters
    ----------
    tried : sequence of Tried
        Finished trials.
    dimensions : int
        Of the cube.
    seed, number, attempt : int
        Of the search, of the trial, and how often another point was asked for in its place.
    sampler : str
        ``tpe`` begins with a scrambled Sobol sequence and goes on with tree-structured Parzen estimators; ``random``
        draws uniformly, for comparison.

    Returns
    -------
    tuple of float
        In [0, 1), shape (dimensions,).
    """
    own_seed = int(np.random.SeedSequence([seed, number, attempt]).generate_state(1)[0])
    if sampler == "random" or (attempt and number < startup(dimensions)):
        return tuple(np.random.default_rng(own_seed).random(dimensions).tolist())
    if number < startup(dimensions) or not tried:
        engine = qmc.Sobol(dimensions, scramble=True, rng=np.random.default_rng(seed))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The balance properties of Sobol")
            return tuple(engine.random(number + 1)[number].tolist())
    study = optuna.create_study(
        directions=["minimize"] * len(tried[0].losses),
        sampler=optuna.samplers.TPESampler(seed=own_seed, n_startup_trials=0),
    )
    study.add_trials(_told(tried, dimensions))
    trial = study.ask(_axes(dimensions))
    return tuple(trial.params[name] for name in _axes(dimensions))


def _axes(dimensions: int) -> dict[str, BaseDistribution]:
    return {str(axis): FloatDistribution(0.0, 1.0) for axis in range(dimensions)}


def _told(tried: Sequence[Tried], dimensions: int) -> list[FrozenTrial]:
    losses = np.array([trial.losses for trial in tried], np.float64)
    known = np.isfinite(losses).all(axis=1)
    worst = losses[known].max(axis=0) if known.any() else np.zeros(losses.shape[1])
    axes = _axes(dimensions)
    return [
        create_trial(
            values=(row if has_value else worst).tolist(),
            params=dict(zip(axes, trial.unit, strict=True)),
            distributions=axes,
            constraints={
                "has a value": -1.0 if has_value else _VERY_BAD,
                **{f"constraint {i}": float(v) for i, v in enumerate(trial.violations) if math.isfinite(v)},
            },
        )
        for trial, row, has_value in zip(tried, losses, known, strict=True)
    ]


@dataclass(frozen=True)
class Record:
    """A finished trial, as the journal keeps it.

    Parameters
    ----------
    number : int
    unit : tuple of float
    point : dict
        The parameters' values by path, as a scenario file has them.
    values : dict
        By world and metric, a value for each seed in the order of the plan; NaN where a run has none.
    pruned : str
        Why it was stopped before its last seed; empty if it was not.
    """

    number: int
    unit: Unit
    point: Mapping[str, Any]
    values: Mapping[str, Mapping[str, Sequence[float]]]
    pruned: str = ""

    @property
    def seeds(self) -> int:
        """How many seeds it was run with."""
        return max((len(values) for world in self.values.values() for values in world.values()), default=0)


@dataclass
class Journal:
    """The finished trials of a search, in a file that Optuna's journal storage writes and other tools can open.

    A trial is added in one append when it is finished, so that after a kill it is there or it is not. Half a line at
    the end, which a kill in mid-append leaves, is taken off when the journal is opened, and so is the lock of a process
    that was killed while it wrote. A search is one process: two at once would make the same trials.

    Parameters
    ----------
    folder : Path
        Of the study.
    names : sequence of str
        Paths of the parameters.
    objectives : int
        How many values a trial has; all are minimised.
    search : str
        Names what made the values; a journal's trials of another search are left alone, as if there were none.
    """

    folder: Path
    names: Sequence[str]
    objectives: int
    search: str
    _study: optuna.Study = field(init=False)

    def __post_init__(self) -> None:
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / FILE
        _take_off_half_a_line(file)
        for lock in self.folder.glob(f"{FILE}.lock*"):
            lock.unlink(missing_ok=True)
        self._study = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(file))),
            study_name=self.search,
            directions=["minimize"] * self.objectives,
            load_if_exists=True,
        )

    def records(self) -> list[Record]:
        """Return the finished trials in the order of their numbers, up to the first that is missing."""
        trials = self._study.get_trials(deepcopy=False)
        found = {trial.user_attrs["number"]: _record(trial, self.names) for trial in trials}
        return [found[number] for number in itertools.takewhile(found.__contains__, itertools.count())]

    def add(self, record: Record, losses: Sequence[float], violations: Mapping[str, float]) -> None:
        """Add a finished trial.

        Parameters
        ----------
        record : Record
        losses : sequence of float
            For tools that read the journal; the search itself works them out again from the record.
        violations : mapping of str to float
            The same of its constraints.
        """
        axes: dict[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in self.names}
        known = all(math.isfinite(loss) for loss in losses)
        state = TrialState.PRUNED if record.pruned else TrialState.COMPLETE if known else TrialState.FAIL
        self._study.add_trial(
            create_trial(
                state=state,
                values=list(losses) if state == TrialState.COMPLETE else None,
                params=dict(zip(self.names, record.unit, strict=True)),
                distributions=axes,
                user_attrs={
                    "number": record.number,
                    "point": dict(record.point),
                    "values": {
                        world: {metric: _plain(values) for metric, values in metrics.items()}
                        for world, metrics in record.values.items()
                    },
                    "pruned": record.pruned,
                },
                constraints={name: value for name, value in violations.items() if math.isfinite(value)},
            )
        )


def _plain(values: Sequence[float]) -> list[float | None]:
    return [float(value) if math.isfinite(value) else None for value in values]


def _record(trial: FrozenTrial, names: Sequence[str]) -> Record:
    kept = trial.user_attrs
    values = {
        world: {metric: [math.nan if v is None else v for v in values] for metric, values in metrics.items()}
        for world, metrics in kept["values"].items()
    }
    unit = tuple(trial.params[name] for name in names)
    return Record(kept["number"], unit, kept["point"], values, kept["pruned"])


def _take_off_half_a_line(file: Path) -> None:
    if not file.exists():
        return
    text = file.read_bytes()
    whole = text.rfind(b"\n") + 1
    if whole < len(text):
        with file.open("r+b") as handle:
            handle.truncate(whole)
