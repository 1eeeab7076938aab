"""Money is conserved, to the fen: a double-entry ledger.

Every movement debits one account and credits another by the same whole number of fen, so the balances sum to zero at
every moment by construction. The ledger keeps, for each day, how much went from which account to which under which
scheme, and every single posting if a journal is asked for.

Rounding rule, used by every amount that is reckoned as a share of another: :func:`share_of`, half a fen goes up.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.table import Column, Table, column

if TYPE_CHECKING:  # imported for summaries only, so that scenario files are checked without it
    import pandas as pd

Fen = npt.NDArray[np.int64]
_FEN = np.dtype(np.int64).char
_BILLION = 1_000_000_000
_SMALL = 1_000_000  # fen; shares of less are told apart from halves by floating point, which is faster


class Account(IntEnum):
    """Parties, and liabilities of the platform towards them."""

    BUYERS = 0
    ESCROW = 1
    MERCHANTS = 2
    PLATFORM = 3
    SHARERS = 4
    KOLS = 5
    LOGISTICS = 6
    FROZEN_COMMISSION = 7  # earned by sharers, may still be clawed back
    WALLETS = 8  # released to sharers, not yet withdrawn


LIABILITIES = (Account.FROZEN_COMMISSION, Account.WALLETS)


def share_of(amount: npt.ArrayLike, share: npt.ArrayLike) -> Fen:
    """Return a share of an amount in whole fen, half up.

    Parameters
    ----------
    amount : array_like of int
        Fen, not negative.
    share : array_like of float
        Not negative.

    Notes
    -----
    A share that is written in decimals rounds as it reads and not as binary floating point has it: 0.15 of 50 fen is
    7.5, which is 8. Products of amounts below a million are nudged by 1e-9 before rounding; those of larger ones are
    reckoned in whole numbers, if the share is at most 4 and has at most eight digits after the point.
    """
    parts: Fen
    if isinstance(share, float) and isinstance(amount, np.ndarray) and amount.dtype == np.int64 and amount.ndim == 1:
        parts = _share_of_each(amount, share)  # what a tick mostly asks for
        return parts
    amounts, shares = np.broadcast_arrays(amount, np.asarray(share, np.float64))
    if amounts.dtype.kind not in "iu":
        parts = np.floor(amounts * shares + 0.5 + 1e-9).astype(np.int64)
        return parts
    parts = _shares_of_each(amounts.reshape(-1).astype(np.int64), shares.reshape(-1))
    whole: Fen = parts.reshape(amounts.shape)[()]
    return whole


@nb.njit(cache=True)
def in_billionths(share):  # type: ignore[no-untyped-def]
    """Return a share in billionths if it is a whole number of them, up to the last bits, and at most 4; else -1."""
    if not 0.0 <= share <= 4.0:
        return np.int64(-1)
    number = np.int64(share * _BILLION + 0.5)
    return number if abs(number / _BILLION - share) <= 4e-16 * share else np.int64(-1)


@nb.njit(cache=True)
def part_of(amount, share, billionths):  # type: ignore[no-untyped-def]
    """Return :func:`share_of` of one amount, given the share in billionths too; for use inside kernels."""
    if billionths < 0 or -_SMALL < amount < _SMALL:
        return np.int64(np.floor(np.float64(amount) * share + 0.5 + 1e-9))
    rest = amount % _BILLION  # so that no product exceeds an int64
    return amount // _BILLION * billionths + (2 * rest * billionths + _BILLION) // (2 * _BILLION)


@nb.njit(cache=True)
def share_of_one(amount, share):  # type: ignore[no-untyped-def]
    """Return :func:`share_of` of one amount, for use inside kernels."""
    return part_of(np.int64(amount), share, in_billionths(share))


@nb.njit(cache=True)
def _share_of_each(amounts, share):  # type: ignore[no-untyped-def]
    """Return the same share of each amount."""
    parts, billionths = np.empty(amounts.size, np.int64), in_billionths(share)
    for i in range(amounts.size):
        parts[i] = part_of(amounts[i], share, billionths)
    return parts


@nb.njit(cache=True)
def _shares_of_each(amounts, shares):  # type: ignore[no-untyped-def]
    """Return a share of each amount, each its own."""
    parts = np.empty(amounts.size, np.int64)
    for i in range(amounts.size):
        parts[i] = share_of_one(amounts[i], shares[i])
    return parts


@nb.njit(cache=True)
def _move(flow, balance, day, scheme, source, target, amounts):  # type: ignore[no-untyped-def]
    """Write down that amounts move, unless one is negative; return the least (at most zero) and their sum."""
    least, total = 0, 0
    for amount in amounts:
        least = min(least, amount)
        total += amount
    if least >= 0:
        balance[source] -= total
        balance[target] += total
        flow[day, scheme, source, target] += total
    return least, total


class Journal(Table):
    """Every posting of a run, one row each."""

    tick: Column = column(np.int32)
    debit: Column = column(np.int8)
    credit: Column = column(np.int8)
    scheme: Column = column(np.int16)
    person: Column = column(np.int32, fill=-1)
    amount: Column = column(np.int64)


class Ledger:
    """Double-entry ledger of one run.

    Parameters
    ----------
    schemes : list of str
        Names under which money moves, in the order of their numbers. Number 0 is the shop's own trade.
    days : int
        Days that the run may touch.
    journal : bool
        Whether to keep every posting.
    """

    def __init__(self, schemes: list[str], days: int, journal: bool = False) -> None:
        self.schemes = schemes
        size = len(Account)
        self._flow = np.zeros((days, len(schemes), size, size), np.int64)
        self._balance = np.zeros(size, np.int64)
        self.journal = Journal() if journal else None

    def transfer(
        self,
        day: int,
        tick: int,
        source: Account,
        target: Account,
        amounts: npt.ArrayLike,
        scheme: int = 0,
        persons: npt.ArrayLike = -1,
    ) -> int:
        """Move money from one account to another.

        Parameters
        ----------
        day, tick : int
            When.
        source, target : Account
            Who is debited and who is credited.
        amounts : array_like of int
            Fen, none negative; one posting each.
        scheme : int
            Number of the scheme on whose behalf.
        persons : array_like of int
            The person concerned by each posting, -1 for none (kept in the journal only).

        Returns
        -------
        int
            Total moved, in fen.

        Raises
        ------
        ValueError
            If an amount is negative: a refund is a transfer the other way.
        """
        values = np.asarray(amounts)
        if values.size == 0:
            return 0
        if values.dtype.char != _FEN or values.ndim != 1:
            if values.dtype.kind not in "iu":
                raise ValueError(f"amounts must be whole fen. Got {values.dtype}.")
            values = values.astype(np.int64).reshape(-1)
        least, total = _move(self._flow, self._balance, day, scheme, int(source), int(target), values)
        if least < 0:
            raise ValueError(f"amounts must not be negative. Got {least}; post the other way to refund.")
        if total > 0 and self.journal is not None:
            paid = values > 0
            who = np.broadcast_to(np.asarray(persons), values.shape)[paid]
            self.journal.append(
                tick=tick, debit=int(source), credit=int(target), scheme=scheme, person=who, amount=values[paid]
            )
        return int(total)

    def balance(self, account: Account) -> int:
        """Return the balance of an account in fen (negative: it paid more than it received)."""
        return int(self._balance[account])

    def balances(self) -> pd.DataFrame:
        """Return the balance of every account in fen, indexed by account name."""
        import pandas as pd

        return pd.DataFrame({"balance": self._balance.copy()}, index=[a.name.lower() for a in Account])

    def flows(self) -> pd.DataFrame:
        """Return what moved: columns day, scheme, source, target, amount (fen); only what is not zero."""
        import pandas as pd

        day, scheme, source, target = np.nonzero(self._flow)
        names = np.array([a.name.lower() for a in Account])
        return pd.DataFrame(
            {
                "day": day,
                "scheme": np.array(self.schemes, dtype=object)[scheme],
                "source": names[source],
                "target": names[target],
                "amount": self._flow[day, scheme, source, target],
            }
        )

    def total(self, source: Account | None = None, target: Account | None = None, scheme: int | None = None) -> Fen:
        """Return fen moved a day, shape (days,), between the given accounts and under the given scheme (None: any)."""
        chosen = self._flow
        chosen = chosen if scheme is None else chosen[:, scheme : scheme + 1]
        chosen = chosen if source is None else chosen[:, :, source : source + 1]
        chosen = chosen if target is None else chosen[:, :, :, target : target + 1]
        result: Fen = chosen.sum(axis=(1, 2, 3))
        return result

    def imbalance(self) -> int:
        """Return the sum of all balances, which is zero unless the ledger is broken."""
        return int(self._balance.sum())
