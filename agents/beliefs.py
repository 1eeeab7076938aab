"""What a ring believes of its chances: of all it could do, and of each course that it has tried.

A course is a plan with a degree of hiding (:class:`agents.playbooks.Course`). What is believed of all courses is about
accounts that hide nothing: at first that they lose what a ring suspects, which counts as one experience, then the
average of what was learnt, in which what is recent has at least the weight ``learning``. Of what they lose, an account
that disguises each facet with chance h is believed to lose the part 1 - h. Of a course that was tried, the share of its
promise that controls took is known better: an average of its own. Courses are thus the arms of a bandit, and one that
was never tried is worth what is believed of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from agents.prospects import UNTRIED, income

if TYPE_CHECKING:
    from agents.playbooks import Course
    from agents.prospects import Prospects

Array = npt.NDArray[Any]


class Beliefs:
    """Beliefs of one ring.

    Parameters
    ----------
    learning : float
        Weight of what happened last.
    suspicion : float
        Share of their promise that accounts which hide nothing are believed to lose at first.

    Attributes
    ----------
    admitted : float
        The chance to be let in.
    bonus, discount : float
        The shares of promised rewards and discounts that accounts get which hide nothing.
    lessons : int
        How often these two were learnt.
    courses : list of (str, float)
        Tried so far: plan in words, and chance of disguises.
    caught : list of float
        Of each of these, the share of its promise that controls take; 0 until the first group is through.
    tries : list of int
        How often each was judged.
    """

    def __init__(self, learning: float, suspicion: float) -> None:
        self.learning = learning
        self.admitted = 1.0
        self.bonus = self.discount = 1.0 - suspicion
        self.lessons = 0
        self.courses: list[tuple[str, float]] = []
        self.caught: list[float] = []
        self.tries: list[int] = []

    def number_of(self, course: Course) -> int:
        """Return the index of a course among those tried, a new one if it is the first time."""
        if course.key not in self.courses:
            self.courses.append(course.key)
            self.caught.append(0.0)
            self.tries.append(0)
        return self.courses.index(course.key)

    def has_tried(self, course: Course) -> bool:
        """Whether it is known what became of a course."""
        return course.key in self.courses and self.tries[self.courses.index(course.key)] > 0

    def income(self, course: Course) -> float:
        """Return what a course is expected to bring accounts that are let in, fen."""
        play = course.play
        caught = self.caught[self.courses.index(course.key)] if self.has_tried(course) else UNTRIED
        expected: float = income(
            caught, course.hidden, float(play.bonus), float(play.discount), self.bonus, self.discount
        )
        return expected

    def caught_of(self, prospects: Prospects) -> Array:
        """Return the share that controls are known to take of each course that can be taken, else ``UNTRIED``."""
        shares = np.full(len(prospects.courses), UNTRIED)
        for key, caught, tries in zip(self.courses, self.caught, self.tries, strict=True):
            if tries > 0 and key in prospects.rows:
                shares[prospects.rows[key]] = caught
        return shares

    def learn_admission(self, is_in: Array) -> None:
        """Learn which of some new accounts were let in, bool."""
        if is_in.size:
            self.admitted += self.learning * (int(np.count_nonzero(is_in)) / is_in.size - self.admitted)

    def learn_shares(self, hidden: Array, rewards: tuple[Array, Array], discounts: tuple[Array, Array]) -> None:
        """Learn from groups, by the chance of their disguises, what they have and were promised; fen, (groups,)."""
        self.lessons += 1
        self.bonus = self._updated(self.bonus, 1 - hidden, *rewards)
        self.discount = self._updated(self.discount, 1 - hidden, *discounts)

    def _updated(self, belief: float, seen: Array, received: Array, promised: Array) -> float:
        """Return a belief; more than promised counts as promised, and who was promised nothing learns nothing."""
        due = float((seen * promised).sum())
        if due <= 0:
            return belief
        lost = float((promised - np.minimum(np.maximum(received, 0.0), promised)).sum()) / due
        return belief + self._weight(self.lessons + 1) * (1.0 - min(lost, 1.0) - belief)

    def learn_courses(self, course: Array, kept: Array) -> None:
        """Learn which share of its promise each of some groups kept.

        Parameters
        ----------
        course : int ndarray, shape (groups,)
            Indices of courses.
        kept : float ndarray, shape (groups,)
        """
        for at in set(course.tolist()):
            of_it = kept[course == at]
            self.tries[at] += 1
            lost = 1.0 - float(of_it.sum()) / of_it.size
            self.caught[at] += self._weight(self.tries[at]) * (lost - self.caught[at])

    def _weight(self, experiences: int) -> float:
        """Return the weight of the last of so many experiences: an equal part, or ``learning`` if that is more."""
        return max(self.learning, 1 / experiences)
