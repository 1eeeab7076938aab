"""How fake accounts hide: each looks like an honest newcomer in some respects and not in others.

An account can be told by its facets (:class:`Facet`). Of each facet of each account an addressed draw says whether it
is disguised, with a chance that the ring chooses: none, half or all of its ``skill``, or the ``effort`` of it that the
scenario sets. A disguised facet costs ``hiding_cost``, and a device of its own ``identity_cost`` besides: where nobody
looks, it does not pay to hide.

=============  ==========================================  ========================================================
facet          disguised                                   not disguised
=============  ==========================================  ========================================================
DEVICE         a device of its own                         one of the ring's, with other accounts
ADDRESS        one like anybody's: often a parcel station  the device's: all devices of a ring stand in one place
SIGN_UP        some time within ``hiding_time``            with the whole batch
FIRST_ORDER    half of them ``hiding_time`` after sign-up  as soon as they are in
WARM_UP        looks around as often as people do          comes to order, not before
AFTER_LIFE     goes on looking around                      is never seen again
CHOICE         a basket like people's, as long as it pays  what pays best, no more of it than needed
INVITER        spread over the ring's accounts             as many through one account as rewards are paid for
=============  ==========================================  ========================================================

Honest people share devices and addresses, sign up for a coupon, spend it at once and never come back, and some invite
many. So no facet alone tells who is fake.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numba as nb
import numpy as np
import numpy.typing as npt

from sim.core.draws import Stream, u01
from sim.offers import NONE

if TYPE_CHECKING:
    from sim.scenario.fraud import FraudConfig
    from sim.shop import Shop

Array = npt.NDArray[Any]
_EFFORTS = (0.0, 0.5, 1.0)  # shares of its skill that a ring may use
_HASTE = 2.0  # hours from sign-up to the first order of an account that does not hide its haste, mean
_AT_ONCE = 0.5  # of those that hide it; many honest newcomers sign up because they want something


class Facet(IntEnum):
    """What an account can be told by; a facet's number addresses its draws, so a number once given is never reused."""

    DEVICE = 0
    ADDRESS = 1
    SIGN_UP = 2
    FIRST_ORDER = 3
    WARM_UP = 4
    AFTER_LIFE = 5
    CHOICE = 6
    INVITER = 7


OF_ORDERS = (Facet.FIRST_ORDER, Facet.WARM_UP, Facet.CHOICE)  # nothing to disguise for an account that only signs up
_FACETS = np.arange(len(Facet))
_SIGN_UP, _FIRST_ORDER = int(Facet.SIGN_UP), int(Facet.FIRST_ORDER)
_HIDING = np.uint32(Stream.HIDING)
_MOMENTS, _NEIGHBOUR, _BASKET = np.array([0, 1, 4]), np.array([3]), np.array([2, 5])  # of the draws at an opening


def choices(config: FraudConfig) -> tuple[float, ...]:
    """Return the chances among which a ring chooses, each that an account disguises one of its facets; ascending."""
    efforts = _EFFORTS if config.effort is None else (config.effort,)
    return tuple(sorted({config.skill * effort for effort in efforts}))


def disguises(shop: Shop, ring: int, accounts: Array, chance: float, orders: Array | bool) -> Array:
    """Return which facets of new accounts are disguised.

    Parameters
    ----------
    shop : Shop
    ring : int
    accounts : int ndarray, shape (n,)
        Numbers of the accounts within the ring.
    chance : float
        Of each facet, in [0, 1]; what is disguised at one chance is disguised at every higher one.
    orders : bool ndarray, shape (n,), or bool
        Whether the accounts are to order anything.

    Returns
    -------
    bool ndarray, shape (n, facets)
    """
    hidden: Array = _drawn(np.uint32(shop.seed), ring, accounts, 0, _FACETS) < chance
    if not np.all(orders):
        hidden[:, OF_ORDERS] &= np.reshape(orders, (-1, 1))
    return hidden


def expected_cost(config: FraudConfig, chance: float, orders: bool) -> float:
    """Return what disguises cost an account on average, fen; ``orders``: whether it is to order anything."""
    facets = len(Facet) if orders else len(Facet) - len(OF_ORDERS)
    return chance * (facets * config.hiding_cost + config.identity_cost)


def waits(shop: Shop, ring: int, accounts: Array, hidden: Array) -> tuple[Array, Array]:
    """Return how many ticks new accounts wait before they sign up, and from then to their order.

    Parameters
    ----------
    shop : Shop
    ring : int
    accounts : int ndarray, shape (n,)
    hidden : bool ndarray, shape (n, facets)
    """
    time = shop.config.fraud.hiding_time
    u = _drawn(np.uint32(shop.seed), ring, accounts, 1, _MOMENTS)
    age = shop.config.risk.account_age  # a rule that everybody can read
    least = shop.clock.ticks(age) if age else 0
    before, between = _ticks_of_waits(u, -np.log(u[:, 1]), hidden, time, float(shop.clock.tick_hours), least)
    return before, between


@nb.njit(cache=True)
def _ticks_of_waits(u, exponential, hidden, time, tick_hours, least):  # type: ignore[no-untyped-def]
    """Return the ticks before sign-ups, and from then to first orders, for the draws of :func:`waits`.

    Parameters
    ----------
    u : float64 ndarray, shape (n, 3)
        The first says when an account signs up, the last whether it orders at once though it hides its haste.
    exponential : float64 ndarray, shape (n,)
        Of the second, with mean one: the delay of the order.
    hidden : bool ndarray, shape (n, facets)
    time, tick_hours : float
        Hours.
    least : int
        Ticks that an account must be old to order.
    """
    before, between = np.zeros(u.shape[0], np.int64), np.empty(u.shape[0], np.int64)
    for a in range(u.shape[0]):
        if hidden[a, _SIGN_UP]:
            before[a] = int(np.floor(u[a, 0] * time / tick_hours))
        mean = time if hidden[a, _FIRST_ORDER] and u[a, 2] > _AT_ONCE else _HASTE
        between[a] = max(int(np.floor(exponential[a] * mean / tick_hours)), least)
    return before, between


def addresses(shop: Shop, ring: int, accounts: Array) -> Array:
    """Return an address for each new account that is as likely to be shared as anybody's: a random person's."""
    like = _drawn(np.uint32(shop.seed), ring, accounts, 1, _NEIGHBOUR)[:, 0] * shop.graph.persons
    address: Array = shop.people.address[like.astype(np.int64)]
    return address


@nb.njit(cache=True)
def _drawn(seed, ring, accounts, occasion, which):  # type: ignore[no-untyped-def]
    """Return uniforms about accounts of a ring, shape (accounts, which): several of those that an occasion has."""
    u = np.empty((accounts.size, which.size))
    for i in range(accounts.size):
        for k in range(which.size):
            u[i, k] = u01(
                seed, _HIDING, np.uint32(ring), np.uint32(accounts[i]), np.uint32(occasion), np.uint32(which[k])
            )
    return u


def baskets(shop: Shop, ring: int, accounts: Array, least: int, most: int, products: Array) -> tuple[Array, Array]:
    """Return what accounts that disguise their choice order: as many units as people take, of what sells.

    Parameters
    ----------
    shop : Shop
    ring : int
    accounts : int ndarray, shape (n,)
        Numbers of the accounts within the ring.
    least, most : int
        Fen that a basket is worth.
    products : bool ndarray, shape (products,)
        Those that serve.

    Returns
    -------
    product, units : int64 ndarray, shape (n,)
        Of the products whose price fits that many units, one is drawn in proportion to what was sold; where none fits,
        a unit less is tried. -1 and 0 where not even one unit of any fits.
    """
    u = _drawn(np.uint32(shop.seed), ring, accounts, 1, _BASKET)
    units = shop.demand.quantities(u[:, 1]).astype(np.int64)
    product = _in_proportion(u, units, shop.products.price, shop.products.sold, products, least, most)
    return product, units


@nb.njit(cache=True)
def _in_proportion(u, units, price, sold, serves, least, most):  # type: ignore[no-untyped-def]
    """Return a product for each, in proportion to sales among those whose price fits the units; these are changed.

    The first column of ``u`` says which.
    """
    product = np.full(units.size, NONE, np.int64)
    chances = np.empty(price.size)
    for number in range(units.max() if units.size else 0, 0, -1):
        total = 0.0
        for p in range(price.size):
            if serves[p] and least <= price[p] * number <= most:
                total += 1.0 + sold[p]
            chances[p] = total
        for i in range(units.size):
            if units[i] == number:
                if total > 0:
                    product[i] = np.searchsorted(chances, u[i, 0] * total)
                else:
                    units[i] = number - 1
    return product
