"""What a platform could suspect from its logs: a score for each account.

The score is a sum of simple signals, each of which real shops use, equally weighted:

- how many other accounts there are on the account's device, and at its address (logarithm);
- how many accounts its inviter brought on the day it joined, or it brought itself on its busiest day (logarithm);
- whether it ordered within a day after it joined, and whether it never came back after that day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.people import NEVER, People

if TYPE_CHECKING:
    from sim.core.clock import Clock

Array = npt.NDArray[Any]


def scores(people: People, clock: Clock, accounts: Array) -> Array:
    """Return the suspicion score of each account, higher for more suspicious.

    Parameters
    ----------
    people : People
    clock : Clock
    accounts : int ndarray, shape (n,)
        Rows of People that have signed up.
    """
    a_day = clock.ticks_a_day
    joined = people.joined[accounts]
    exists = people.joined > NEVER
    on_device = np.bincount(people.device[exists])[people.device[accounts]]
    at_address = np.bincount(people.address[exists])[people.address[accounts]]
    by_inviter, own = _velocity(people, accounts, joined // a_day)
    quick = people.first_order[accounts] - joined < a_day
    quick &= people.first_order[accounts] > NEVER
    gone = (people.last_visit[accounts] < joined + a_day) & (clock.tick >= joined + a_day)
    score: Array = np.log(on_device) + np.log(at_address) + np.log1p(np.maximum(by_inviter, own)) + quick + gone
    return score


def _velocity(people: People, accounts: Array, day: Array) -> tuple[Array, Array]:
    """Return how many of the accounts each one's inviter brought on its day, and how many itself on its busiest."""
    inviter = people.inviter[accounts]
    invited = inviter >= 0
    pairs, which, counts = np.unique(
        np.stack([inviter[invited], day[invited]]), axis=1, return_inverse=True, return_counts=True
    )
    by_inviter = np.zeros(accounts.size, np.int64)
    by_inviter[invited] = counts[which.reshape(-1)]
    busiest = np.zeros(len(people), np.int64)
    np.maximum.at(busiest, pairs[0].astype(np.int64), counts)
    return by_inviter, busiest[accounts]
