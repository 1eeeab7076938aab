"""The ground truth of fraud: of what kind, and whose, each account, order, share and payout is.

An account is labelled when it is opened (``People.fraud``, ``People.ring``). What it orders and passes on is labelled
with it; a payout is labelled if its recipient is, or else the account whose sign-up or order earned it, so an
ordinary person's bonus for their own second account is found too. Nothing else is labelled.

Scoring, reports and the review desk's investigations read labels. No recommender, rule or detector does.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt
import pandas as pd

from sim.core.prefetch import AHEAD, prefetch

if TYPE_CHECKING:
    from sim.people import People
    from sim.shop import Shop

Array = npt.NDArray[Any]
FEN_PER_YUAN = 100.0


class Fraud(IntEnum):
    """Kinds of fraud."""

    NONE = 0
    FARM = 1  # own accounts that farm bonuses and commissions (羊毛党)
    HUNTER = 2  # own accounts that cash in coupons and resell the goods
    TEAM_FILLER = 3  # own accounts that fill each other's teams
    BRUSHING = 4  # a merchant's orders of their own goods (刷单)
    FOLLOWERS = 5  # bought followers of a KOL
    REFUND_ABUSE = 6  # orders placed to be returned once their reward is out
    SELF_REFERRAL = 7  # an ordinary person's second account


def of_orders(shop: Shop) -> tuple[Array, Array]:
    """Return kind (:class:`Fraud`, int8) and ring (int16, -1: none) of every row of the order book."""
    people, person = shop.people, shop.book.person
    return people.fraud[person], people.ring[person]


def of_payouts(people: People, person: Array, origin: Array) -> tuple[Array, Array]:
    """Return kind and ring of payouts.

    Parameters
    ----------
    people : People
    person, origin : int32 ndarray, shape (n,)
        Recipients, and those whose sign-up or order earned it.
    """
    culprit = np.where(people.fraud[person] > Fraud.NONE, person, origin)
    return people.fraud[culprit], people.ring[culprit]


@nb.njit(cache=True)
def note(benefit, fraud, ring, brought, losses, scheme, persons, amounts, origins):  # type: ignore[no-untyped-def]
    """Note what persons got out of incentives, and what of it went to fraud (see :func:`of_payouts`).

    Parameters
    ----------
    benefit, fraud, ring : ndarray
        Columns of :class:`sim.people.People`; ``benefit`` is changed in place.
    brought : int64 ndarray, shape (accounts that are nobody's first,)
        Column of :class:`sim.people.Fakes`, whose rows are the last persons; changed in place.
    losses : int64 ndarray, shape (kinds, schemes of the ledger)
        Fen so far, by kind of fraud, the first for what is none; changed in place.
    scheme : int
        Who paid.
    persons, origins : int ndarray, shape (n,)
        Recipients, and those whose sign-up or order earned it.
    amounts : int64 ndarray, shape (n,)
        Fen; negative for what was taken back.
    """
    first = benefit.size - brought.size
    for n in range(persons.size):
        later = np.uint32(persons[min(n + AHEAD, persons.size - 1)])
        prefetch(benefit, later)
        prefetch(fraud, later)
        prefetch(ring, later)
        if amounts[n] == 0:
            continue
        benefit[persons[n]] += amounts[n]
        if ring[persons[n]] >= 0:
            earner = origins[n] if ring[origins[n]] == ring[persons[n]] else persons[n]
            if earner >= first:  # others may be labelled in a test, but nothing is kept of what they brought
                brought[earner - first] += amounts[n]
        kind = fraud[persons[n]]
        losses[kind if kind > 0 else fraud[origins[n]], scheme] += amounts[n]


def losses(shop: Shop) -> pd.DataFrame:
    """Return what fraud got so far: columns ``fraud``, ``scheme``, ``yuan``; no row is 0.

    Discounts and rewards, what was taken back taken off; under ``shop`` fees of KOLs for followers who are not people.
    """
    kind, scheme = np.nonzero(shop.fraud_losses[1:])
    names = [member.name.lower() for member in Fraud]
    return pd.DataFrame(
        {
            "fraud": [names[k + 1] for k in kind],
            "scheme": [shop.ledger.schemes[s] for s in scheme],
            "yuan": shop.fraud_losses[kind + 1, scheme] / FEN_PER_YUAN,
        }
    )
