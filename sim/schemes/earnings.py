"""What invitations and orders earn, before a scheme grants it: rewards of a batch, reckoned in one go.

Read in this order: :class:`RewardKind`, :class:`Earnings`, :func:`chains` (who is above the buyers), then
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
from sim.offers import NONE, Batch, Source

Array = npt.NDArray[Any]
_NOBODY = np.int32(NONE)
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
def first_orders(person, pay, least, pending):  # type: ignore[no-untyped-def]
    """Return the positions of orders that earn a bonus for which their buyers waited, who then wait no longer.

    Parameters
    ----------
    person, pay : ndarray, shape (n,)
        Of the orders; pay in fen.
    least : int
        Fen that an order must come to.
    pending : bool ndarray, shape (persons,)
        Who waits; changed in place.
    """
    found = np.empty(person.size, np.int64)
    size = 0
    for n in range(person.size):
        if pending[person[n]] and pay[n] >= least:
            pending[person[n]] = False
            found[size] = n
            size += 1
    return found[:size].copy()


@nb.njit(cache=True)
def chains(person, bound_to, levels):  # type: ignore[no-untyped-def]
    """Return each person and, level by level, who is above them, int32 (persons, 1 + levels); -1: nobody."""
    result = np.full((person.size, 1 + levels), _NOBODY)
    for n in range(person.size):
        above = person[n]
        for level in range(1 + levels):
            result[n, level] = above
            above = bound_to[above]
            if above < 0:
                break
    return result


@nb.njit(cache=True)
def earned(  # type: ignore[no-untyped-def]
    origin, order, chain, earns, at, inviter, within_cap, inviter_bonus, invitee_bonus,
    base, product, units, grade, factors, rates, fixed, is_fixed, rebate,
):  # fmt: skip
    """Return what a batch earns, as the columns of :class:`Earnings`; nothing of zero fen.

    Parameters
    ----------
    origin, order : ndarray, shape (n,)
        Whose orders or sign-ups they are; rows of the order book, ascending, -1 for sign-ups.
    chain : int32 ndarray, shape (n, 1 + levels)
        The buyer, and those above; see :func:`chains`.
    earns : bool ndarray, shape (n, 1 + levels)
        Which of them may promote.
    at : int64 ndarray, shape (bonuses,)
        What earns a bonus: positions in the batch, ascending.
    inviter : int32 ndarray, shape (bonuses,)
    within_cap : bool ndarray, shape (bonuses,)
        Whether the inviter gets theirs; the invitee does.
    inviter_bonus, invitee_bonus : int
        Fen.
    base : int64 ndarray, shape (n,)
        What rates are reckoned on, fen.
    product, units : int32 ndarray, shape (n,)
    grade : int8 ndarray, shape (persons,)
    factors : float64 ndarray, shape (1 + grades,)
        What a grade multiplies commissions and rebates by.
    rates : float64 ndarray, shape (levels,)
    fixed : int64 ndarray, shape (products, levels)
        Fen a unit that stand for the rates where ``is_fixed``, a bool ndarray of shape (products,).
    rebate : float
        Share of the base of promoters' own orders.
    """
    levels = chain.shape[1] - 1
    most = origin.size * (1 + levels) + 2 * at.size
    person_, origin_ = np.empty(most, np.int32), np.empty(most, np.int32)
    kind_, level_ = np.empty(most, np.int8), np.zeros(most, np.int8)
    order_, amount_ = np.empty(most, np.int64), np.empty(most, np.int64)
    size = bonus = 0
    for n in range(origin.size):
        first = size
        if bonus < at.size and at[bonus] == n:
            if within_cap[bonus] and inviter_bonus > 0:
                person_[size], kind_[size], amount_[size] = inviter[bonus], _INVITER_BONUS, inviter_bonus
                size += 1
            if invitee_bonus > 0:
                person_[size], kind_[size], amount_[size] = origin[n], _INVITEE_BONUS, invitee_bonus
                size += 1
            bonus += 1
        for level in range(levels):
            above = chain[n, 1 + level]
            if above < 0 or not earns[n, 1 + level]:
                continue
            factor = factors[grade[above]]
            if is_fixed[product[n]]:
                amount = share_of_one(fixed[product[n], level] * units[n], factor)
            else:
                amount = share_of_one(base[n], rates[level] * factor)
            if amount > 0:
                person_[size], kind_[size], amount_[size] = above, _COMMISSION, amount
                level_[size] = level + 1
                size += 1
        if rebate > 0.0 and earns[n, 0]:
            amount = share_of_one(base[n], rebate * factors[grade[origin[n]]])
            if amount > 0:
                person_[size], kind_[size], amount_[size] = origin[n], _REBATE, amount
                size += 1
        origin_[first:size], order_[first:size] = origin[n], order[n]
    return person_[:size], origin_[:size], kind_[:size], level_[:size], order_[:size], amount_[:size]


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
