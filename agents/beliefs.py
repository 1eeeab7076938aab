"""What a ring believes of its chances: of all it could do, and of each course that it has tried.

A course is a plan with a degree of hiding (:class:`agents.playbooks.Course`): the chance that an account disguises one
of its facets. Of every degree a ring believes that controls take some share of what is promised: the average of what
was learnt from accounts that hid so much, in which what is recent has at least the weight ``learning``, and what was
believed before counts as one experience. At first that is what it suspects of accounts in full view, in the proportion
of what is in view; later, of a degree that was not tried, what is known of the next lower one, or else of the next
higher one, in that proportion, and no less than what is known of higher ones.

Of a course that was tried, the share that controls took is known better: an average of its own. Courses are thus the
arms of a bandit, and one that was never tried is worth what is believed of its degree of hiding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numba as nb
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
        Share of their promise that accounts in full view are believed to lose at first.
    degrees : sequence of float
        Chances of disguise among which it chooses, ascending.

    Attributes
    ----------
    admitted : float
        The chance to be let in.
    lost : float64 ndarray, shape (degrees, 2)
        Shares of promised rewards and discounts that controls took, as far as they were learnt.
    lessons : int64 ndarray, shape (degrees, 2)
        How often each was learnt.
    courses : list of (str, float)
        Tried so far: plan in words, and chance of disguises.
    caught : list of float
        Of each of these, the share of its promise that controls take; 0 until the first group is through.
    tries : list of int
        How often each was judged.
    """

    def __init__(self, learning: float, suspicion: float, degrees: Sequence[float]) -> None:
        self.learning, self.suspicion, self.degrees = learning, suspicion, np.array(degrees)
        self.admitted = 1.0
        self.lost = np.zeros((len(degrees), 2))
        self.lessons = np.zeros(self.lost.shape, np.int64)
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

    def income(self, course: Course) -> float:
        """Return what a course is expected to bring accounts that are let in, fen."""
        play, at = course.play, self.courses.index(course.key) if course.key in self.courses else None
        caught = UNTRIED if at is None or self.tries[at] == 0 else self.caught[at]
        kept = self.kept()[np.searchsorted(self.degrees, course.hidden)]
        expected: float = income(caught, float(play.bonus), float(play.discount), *kept.tolist())
        return expected

    def kept(self) -> Array:
        """Return the shares of promised rewards and discounts that accounts are believed to get, (degrees, 2)."""
        shares: Array = _kept(self.degrees, self.suspicion, self.lost, self.lessons)
        return shares

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
        """Learn from groups, by the chance of their disguises, what they have and were promised; fen, (groups,).

        More than promised counts as promised, and who was promised nothing learns nothing.
        """
        before, degrees = 1 - self.kept(), np.searchsorted(self.degrees, hidden)
        for kind, (received, promised) in enumerate((rewards, discounts)):
            for degree in np.unique(degrees).tolist():
                here = degrees == degree
                due = float(promised[here].sum())
                if due <= 0:
                    continue
                lost = float((promised[here] - np.minimum(np.maximum(received[here], 0.0), promised[here])).sum()) / due
                self.lessons[degree, kind] += 1
                believed = float(before[degree, kind])
                weight = self._weight(int(self.lessons[degree, kind]) + 1)
                self.lost[degree, kind] = believed + weight * (lost - believed)

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


@nb.njit(cache=True)
def _kept(degrees, suspicion, lost, lessons):  # type: ignore[no-untyped-def]
    """Return the shares of promised rewards and discounts that accounts are believed to get.

    Parameters
    ----------
    degrees : float64 ndarray, shape (degrees,)
        Chances of disguise, ascending.
    suspicion : float
        Share that accounts in full view are believed to lose as long as nothing was learnt.
    lost, lessons : ndarray, shape (degrees, 2)
        Of :class:`Beliefs`.

    Returns
    -------
    float64 ndarray, shape (degrees, 2)
    """
    kept = np.empty(lost.shape)
    for kind in range(lost.shape[1]):
        for degree in range(degrees.size):
            if lessons[degree, kind] > 0:
                kept[degree, kind] = 1 - lost[degree, kind]
                continue
            next_to, at_least = -1, 0.0
            for known in range(degrees.size):
                if lessons[known, kind] == 0:
                    continue
                # Who is out of view tells nothing of those in view.
                if degrees[known] < 1 and (known < degree or next_to < 0):
                    next_to = known
                if known > degree:
                    at_least = max(at_least, lost[known, kind])
            in_full_view = suspicion if next_to < 0 else lost[next_to, kind] / (1 - degrees[next_to])
            kept[degree, kind] = 1 - min(1.0, max(in_full_view * (1 - degrees[degree]), at_least))
    return kept
