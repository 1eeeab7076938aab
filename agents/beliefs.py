"""What a ring believes of its chances: of all plans alike, and of each plan that it has tried.

Beliefs of all plans start at one and move towards what happened by ``learning``. Of a plan that was tried, the share of
its promise that controls took is known better: an average that gives what is recent at least the weight ``learning``.
Plans are thus the arms of a bandit, and one that was never tried is worth what is believed of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from agents.playbooks import Play

Array = npt.NDArray[Any]


class Beliefs:
    """Beliefs of one ring.

    Parameters
    ----------
    learning : float
        Weight of what happened last.

    Attributes
    ----------
    admitted, bonus, discount : float
        The chance to be let in, the shares of promised rewards and discounts that are got.
    plans : list of str
        Tried so far, in words.
    caught : list of float
        Of each of these, the share of its promise that controls take; 0 until the first group is through.
    tries : list of int
        How often each was judged.
    """

    def __init__(self, learning: float) -> None:
        self.learning = learning
        self.admitted = self.bonus = self.discount = 1.0
        self.plans: list[str] = []
        self.caught: list[float] = []
        self.tries: list[int] = []

    def number_of(self, plan: str) -> int:
        """Return the index of a plan among those tried, a new one if it is the first time."""
        if plan not in self.plans:
            self.plans.append(plan)
            self.caught.append(0.0)
            self.tries.append(0)
        return self.plans.index(plan)

    def has_tried(self, plan: str) -> bool:
        """Whether it is known what became of a plan."""
        return plan in self.plans and self.tries[self.plans.index(plan)] > 0

    def income(self, play: Play) -> float:
        """Return what a plan is expected to bring accounts that are let in, fen."""
        if self.has_tried(play.name):
            return (1 - self.caught[self.plans.index(play.name)]) * (play.bonus + play.discount)
        return self.bonus * play.bonus + self.discount * play.discount

    def learn_admission(self, is_in: Array) -> None:
        """Learn which of some new accounts were let in, bool."""
        if is_in.size:
            self.admitted += self.learning * (float(is_in.mean()) - self.admitted)

    def learn_shares(self, rewards: tuple[Array, Array], discounts: tuple[Array, Array]) -> None:
        """Learn what groups have, and were promised; fen, (groups,)."""
        self.bonus = self._updated(self.bonus, *rewards)
        self.discount = self._updated(self.discount, *discounts)

    def _updated(self, belief: float, received: Array, promised: Array) -> float:
        """Return a belief; more than promised counts as promised, and who was promised nothing learns nothing."""
        due = float(promised.sum())
        if due <= 0:
            return belief
        outcome = float(np.clip(received, 0.0, promised).sum()) / due
        return belief + self.learning * (outcome - belief)

    def learn_plans(self, plan: Array, kept: Array) -> None:
        """Learn which share of its promise each of some groups kept.

        Parameters
        ----------
        plan : int ndarray, shape (groups,)
            Indices of plans.
        kept : float ndarray, shape (groups,)
        """
        for at in np.unique(plan).tolist():
            self.tries[at] += 1
            weight = max(self.learning, 1 / self.tries[at])
            self.caught[at] += weight * (1.0 - float(kept[plan == at].mean()) - self.caught[at])
