"""What invitations and orders earn, before a scheme grants it: rewards of a batch, reckoned in one go.

Read in this order: :class:`RewardKind`, :class:`Earnings`, :func:`concerned` (who may earn by an order), then
:func:`earned`, which goes from order to order and writes down the rewards of each.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.ledger import share_of_one
from sim.core.prefetch import AHEAD, prefetch
from sim.offers import Batch, Source

Array = npt.NDArray[Any]
_RING = np.int8(Source.RING)


class RewardKind(IntEnum):
    """What a reward is for."""

    INVITER_BONUS = 0
    INVITEE_BONUS = 1
    COMMISSION = 2  # for the order of somebody below
    REBATE = 3  # for one's own order


_INVITER_BONUS, _INVITEE_BONUS = np.int8(RewardKind.INVITER_BONUS), np.int8(RewardKind.INVITEE_BONUS)
_COMMISSION, _REBATE = np.int8(RewardKind.COMMISSION), np.int8(RewardKind.REBATE)


@dataclass(slots=True)
class Earnings(Batch):
    """Rewards that a scheme would grant, one row each; columns as in :class:`sim.schemes.commission.Rewards`.

    Those of an order stand together, and orders come in the order of the book.
    """

    person: Array
    origin: Array
    kind: Array
    level: Array
    order: Array
    amount: Array


@nb.njit(cache=True)
def concerned(person, pay, least, pending, bound_to, levels, rebates):  # type: ignore[no-untyped-def]
    """Return which orders earn a bonus for which their buyers waited, who then wait no longer, and who else may earn by
    an order: those above its buyer, level by level, and the buyer.

    Parameters
    ----------
    person, pay : ndarray, shape (n,)
        Of the orders; pay in fen.
    least : int
        Fen that an order must come to for the bonus.
    pending : bool ndarray, shape (persons,)
        Who waits; changed in place.
    bound_to : int32 ndarray, shape (persons,)
        Who is above each person, -1: nobody.
    levels : int
        How many levels may earn.
    rebates : bool
        Whether buyers may earn by their own orders.

    Returns
    -------
    at : int64 ndarray, shape (bonuses,)
        Positions of the orders that earn a bonus, ascending.
    others : int64 ndarray, shape (3, m)
        By which orders others may earn (their positions, ascending), who, and on which level: from 1, ascending for
        each order; 0, for the buyer, comes last.
    """
    at, bonuses = np.empty(person.size, np.int64), 0
    others, size = np.empty((3, person.size * (levels + rebates)), np.int64), 0
    for n in range(person.size):
        later = np.uint32(person[min(n + AHEAD, person.size - 1)])
        prefetch(pending, later)
        prefetch(bound_to, later)
        i = person[n]
        if pending[i] and pay[n] >= least:
            pending[i] = False
            at[bonuses] = n
            bonuses += 1
        above = i
        for number in range(1, 1 + levels):
            above = bound_to[above]
            if above < 0:
                break
            others[0, size], others[1, size], others[2, size] = n, above, number
            size += 1
        if rebates:
            others[0, size], others[1, size], others[2, size] = n, i, 0
            size += 1
    return at[:bonuses], others[:, :size]


@nb.njit(cache=True)
def earned(  # type: ignore[no-untyped-def]
    origin, order, product, units, at, inviter, within_cap, allowed, inviter_bonus, invitee_bonus,
    by, who, level, earns, base, grade, factors, rates, fixed, is_fixed, rebate,
):  # fmt: skip
    """Return what a batch earns, nothing of zero fen: the columns of :class:`Earnings`, int64 (6, rewards).

    Parameters
    ----------
    origin, order : ndarray, shape (n,)
        Whose orders or sign-ups they are; rows of the order book, ascending, -1 for sign-ups.
    product, units : int32 ndarray, shape (n,)
        What was ordered; of sign-ups, by which nobody else may earn, of any shape.
    at : int64 ndarray, shape (bonuses,)
        What earns a bonus if it is allowed: positions in the batch, ascending.
    inviter : int32 ndarray, shape (bonuses,)
    within_cap, allowed : bool ndarray, shape (bonuses,)
        Whether the inviter gets theirs, and the invitee.
    inviter_bonus, invitee_bonus : int
        Fen.
    by, who, level : int64 ndarray, shape (m,)
        The others who may earn; see :func:`concerned`.
    earns : bool ndarray, shape (m,)
        Which of them may promote.
    base : int64 ndarray, shape (m,)
        What rates are reckoned on, fen.
    grade : int8 ndarray, shape (persons,)
    factors : float64 ndarray, shape (1 + grades,)
        What a grade multiplies commissions and rebates by.
    rates : float64 ndarray, shape (levels,)
    fixed : int64 ndarray, shape (products, levels)
        Fen a unit that stand for the rates where ``is_fixed``, a bool ndarray of shape (products,).
    rebate : float
        Share of the base of promoters' own orders.
    """
    rewards = np.empty((6, by.size + 2 * at.size), np.int64)
    person_, origin_, kind_, level_, order_, amount_ = (
        rewards[0], rewards[1], rewards[2], rewards[3], rewards[4], rewards[5],
    )  # fmt: skip
    level_[:] = 0
    size = bonus = m = 0
    while bonus < at.size or m < by.size:
        first = size
        n = min(at[bonus] if bonus < at.size else origin.size, by[m] if m < by.size else origin.size)
        if bonus < at.size and at[bonus] == n:
            if within_cap[bonus] and inviter_bonus > 0:
                person_[size], kind_[size], amount_[size] = inviter[bonus], _INVITER_BONUS, inviter_bonus
                size += 1
            if allowed[bonus] and invitee_bonus > 0:
                person_[size], kind_[size], amount_[size] = origin[n], _INVITEE_BONUS, invitee_bonus
                size += 1
            bonus += 1
        while m < by.size and by[m] == n:
            is_own, factor = level[m] == 0, factors[grade[who[m]]]
            if not earns[m]:
                amount = 0
            elif is_own:
                amount = share_of_one(base[m], rebate * factor)
            elif is_fixed[product[n]]:
                amount = share_of_one(fixed[product[n], level[m] - 1] * units[n], factor)
            else:
                amount = share_of_one(base[m], rates[level[m] - 1] * factor)
            if amount > 0:
                person_[size], kind_[size], amount_[size] = who[m], _REBATE if is_own else _COMMISSION, amount
                level_[size] = level[m]
                size += 1
            m += 1
        origin_[first:size], order_[first:size] = origin[n], order[n]
    return rewards[:, :size]


@nb.njit(cache=True)
def by_messages(person, origin, kind, level, order, amount, source, sharer):  # type: ignore[no-untyped-def]
    """Return what messages earned, of some rewards: how many bonuses for inviters, and fen of direct commissions.

    Parameters
    ----------
    person ... amount : ndarray
        Columns of :class:`Earnings`.
    source : int8 ndarray
        What brought each person (of People); a ring's accounts needed no message.
    sharer : int32 ndarray
        Whose link brought each order (of the order book).
    """
    bonuses = fen = 0
    for n in range(person.size):
        if kind[n] == _INVITER_BONUS:
            bonuses += source[origin[n]] != _RING
        elif level[n] == 1 and sharer[order[n]] == person[n]:
            fen += amount[n]
    return bonuses, fen
