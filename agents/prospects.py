"""What a ring expects of each course that it could take: a plan with a degree of hiding (:mod:`agents.playbooks`).

Rings weigh all courses at every decision, so what does not depend on who takes a course is laid out as arrays once
(:class:`Prospects`), and :func:`most_profitable` goes through them. The same formulas, :func:`income` and
:func:`profit_and_cost`, serve for one course.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numba as nb
import numpy as np

from agents import hiding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agents.playbooks import Course, Play
    from sim.scenario.fraud import FraudConfig

UNTRIED = math.nan  # in the place of what controls take of a course
_NOT_ONE = -1


class Prospects:
    """Courses that can be taken now, and of each what is the same for all rings; fen.

    Parameters
    ----------
    courses : sequence of Course
        Every play with each of the chances among which rings choose; all chances of a play beside each other.
    config : FraudConfig

    Attributes
    ----------
    rows : dict of list of int
        Where a course stands, by its key; more than once if plans cannot be told apart in words.
    chance : float64 ndarray, shape (courses,)
        That an account disguises one of its facets.
    accounts : int64 ndarray
    spares_root : bool ndarray
        Whether an account that stands already can serve as the first.
    buyers : int64 ndarray
        Accounts that order anything.
    bonus, discount : float64 ndarray
        Promised by the rules.
    work : float64 ndarray
        Orders and returns, and what goods lose by resale.
    buyer_hides, other_hides : float64 ndarray
        What disguises cost an account that orders anything, and one that does not.
    """

    def __init__(self, courses: Sequence[Course], config: FraudConfig) -> None:
        plans, plays = [course.play.exploit.plan for course in courses], [course.play for course in courses]
        self.courses = courses
        self.rows: dict[tuple[str, float], list[int]] = {}
        for row, course in enumerate(courses):
            self.rows.setdefault(course.key, []).append(row)
        self.chance = np.array([course.hidden for course in courses], np.float64)
        self.accounts = np.array([plan.accounts for plan in plans], np.int64)
        self.spares_root = np.array([plan.root_only_invites for plan in plans], np.bool_)
        self.buyers = np.array([play.buyers for play in plays], np.int64)
        self.bonus = np.array([play.bonus for play in plays], np.float64)
        self.discount = np.array([play.discount for play in plays], np.float64)
        self.work = np.array([work_of(play, config) for play in plays], np.float64)
        self.buyer_hides = np.array([hiding.expected_cost(config, chance, True) for chance in self.chance], np.float64)
        self.other_hides = np.array([hiding.expected_cost(config, chance, False) for chance in self.chance], np.float64)


def work_of(play: Play, config: FraudConfig) -> float:
    """Return what it costs to place a play's orders, to send goods back, and to resell what is kept."""
    plan = play.exploit.plan
    return (plan.orders + plan.returns) * config.action_cost + (1 - config.resale) * play.worth


@nb.njit(cache=True)
def income(caught, bonus, discount, bonus_kept, discount_kept):  # type: ignore[no-untyped-def]
    """Return what a course is expected to bring accounts that are let in.

    Parameters
    ----------
    caught : float
        Share of the promise that controls were seen to take, ``UNTRIED`` if nobody knows.
    bonus, discount : float
        As in :class:`Prospects`.
    bonus_kept, discount_kept : float
        The shares of promised rewards and discounts that accounts are believed to get which hide so much.
    """
    if not math.isnan(caught):
        return (1 - caught) * (bonus + discount)
    return bonus_kept * bonus + discount_kept * discount


@nb.njit(cache=True)
def profit_and_cost(number, account, buyers, buyer_hides, other_hides, work, admitted, brings):  # type: ignore[no-untyped-def]
    """Return the profit and the cost that are expected of a group.

    Parameters
    ----------
    number : int
        New accounts.
    account : float
        What each costs, its device included.
    buyers, buyer_hides, other_hides, work
        As in :class:`Prospects`.
    admitted : float
        The chance to be let in.
    brings : float
        Expected of those who are.
    """
    disguise = buyers * buyer_hides
    disguise += max(0, number - buyers) * other_hides
    cost = number * account + disguise + admitted * work
    return admitted * brings - cost, cost


@nb.njit(cache=True)
def most_profitable(  # type: ignore[no-untyped-def]
    chance, accounts, spares_root, buyers, bonus, discount, work, buyer_hides, other_hides, caught, has_root,
    only_tried, admitted, kept, account_cost, device, free, room, caution,
):  # fmt: skip
    """Return the course that earns most an account among those that return more than ``caution``, -1 if none.

    Parameters
    ----------
    chance ... other_hides : ndarray, shape (courses,)
        Of :class:`Prospects`.
    caught : float64 ndarray, shape (courses,)
        See :func:`income`.
    has_root : bool ndarray, shape (chances,)
        Whether some account that hides so much can invite for another group.
    only_tried : bool
        Take no course of which nothing is known.
    admitted : float
    kept : float64 ndarray, shape (chances, 2)
        Beliefs (:meth:`agents.beliefs.Beliefs.kept`).
    account_cost, device : float
        An account, and its part of a device where there is no free place for it.
    free, room : int
        Places on devices, and accounts that may still be opened.
    caution : float
        Profit over cost.
    """
    chosen, most = _NOT_ONE, -np.inf
    for c in range(chance.size):
        if only_tried and math.isnan(caught[c]):
            continue
        degree = c % has_root.size
        number = accounts[c] - int(spares_root[c] and has_root[degree])
        account = account_cost + (1 - chance[c]) * (0.0 if free >= number else device)
        brings = income(caught[c], bonus[c], discount[c], kept[degree, 0], kept[degree, 1])
        profit, cost = profit_and_cost(
            number, account, buyers[c], buyer_hides[c], other_hides[c], work[c], admitted, brings
        )
        if number <= room and profit > caution * cost and profit / number > most:
            chosen, most = c, profit / number
    return chosen
