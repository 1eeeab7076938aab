"""The crowd: who people are (traits, drawn once) and how they stand (state, changed by the day).

One row a person. Consumers, sharers, KOLs' own persons and fake accounts are all persons. Traits are addressed by the
person's ``uid``, so one more person changes nobody else.

References
----------
Schmittlein, Morrison & Colombo (1987), "Counting your customers" (NBD purchasing with dropout).
Fader, Hardie & Lee (2005), "Counting your customers the easy way" (BG/NBD: dropout after a repeat purchase).
Lichtenstein, Netemeyer & Burton (1990), "Distinguishing coupon proneness from value consciousness".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import special

from sim.core import draws
from sim.core.draws import Stream
from sim.core.graph import Graph
from sim.core.homophily import correlate
from sim.core.table import Column, Table, column, smallest_integer

if TYPE_CHECKING:
    from sim.demand import Demand
    from sim.scenario.schema import DealProneness, PeopleConfig, SharedAddresses, SharingConfig, Spread

Array = npt.NDArray[Any]
FAKE_UID = 1 << 31  # uids of fake accounts start here, so that real persons keep theirs
SECOND_UID = FAKE_UID + (1 << 30)  # and of real persons' second accounts here
RECENT = 4  # how many of a person's last purchases are kept
HEARD = 16  # how many of their friends' last purchases a person has noticed
NEVER = np.iinfo(np.int32).min // 2
VISITOR = "visitor"  # the columns that are read of whoever comes: together a line of the cache, 64 bytes


class Status(IntEnum):
    """Where a person stands with the shop."""

    PROSPECT = 0
    MEMBER = 1
    CHURNED = 2


class People(Table):
    """Persons; see the module's docstring. Money in fen, moments in ticks (negative: before the start), -1: none."""

    uid: Column = column(np.uint32)
    # Traits.
    taste: Column = column(np.float32, width=1)  # position in taste space, standard normal
    visit_rate: Column = column(np.float32)  # visits a day of their own will
    dropout: Column = column(np.float32, on_demand=True)  # chance to leave after a repeat purchase, fully satisfied
    intercept: Column = column(np.float32, record=VISITOR)  # logits, calibrated to the scenario's conversion
    price_sensitivity: Column = column(np.float32, record=VISITOR)
    deal_prone: Column = column(np.bool_, record=VISITOR)  # to whom a good deal is worth something in itself
    conformity: Column = column(np.float32, record=VISITOR)
    trust: Column = column(np.float32, record=VISITOR)
    hassle: Column = column(np.float32, record=VISITOR)
    activity: Column = column(np.float32, record=VISITOR)  # inclination to share, mean one
    talk_rate: Column = column(np.float32)  # occasions a day to talk about the shop unprompted, before thinning
    social_cost: Column = column(np.float32, record=VISITOR)
    threshold: Column = column(np.float32, on_demand=True)  # of pressure, if messages work by it
    device: Column = column(np.int32)
    address: Column = column(np.int32)
    payment: Column = column(np.int32)  # the account they pay from
    # State.
    status: Column = column(np.int8)
    joined: Column = column(np.int32, fill=NEVER, record=VISITOR)
    inviter: Column = column(np.int32, fill=-1)
    source: Column = column(np.int8, fill=-1)
    pressure: Column = column(np.float32, on_demand=True)  # by messages, of those who join once enough of them came
    reference: Column = column(np.float32, fill=1.0, record=VISITOR)  # share of the list price that seems normal
    satisfaction: Column = column(np.float32, fill=1.0)
    exposures: Column = column(np.float32, record=VISITOR)  # recent messages read, fading
    shares: Column = column(np.float32, record=VISITOR)  # recent own shares, fading
    last_share: Column = column(np.int32, fill=NEVER, record=VISITOR)
    last_visit: Column = column(np.int32, fill=NEVER, record=VISITOR)
    visit_days: Column = column(np.uint8, record=VISITOR)  # bits 0, 1, 2: came on day 1, 7, 30 after joining
    active_weeks: Column = column(np.uint64, record=VISITOR)  # bit w: came in week w of the run (the first 64)
    orders: Column = column(np.int32)  # accepted, history included, undone ones taken off
    purchases: Column = column(np.int32)  # orders that were not undone before they shipped, history included
    first_order: Column = column(np.int32, fill=NEVER)
    last_order: Column = column(np.int32, fill=NEVER)
    spend: Column = column(np.int64)  # paid during the run, refunds taken off
    benefit: Column = column(np.int64)  # discounts and rewards received during the run, claw-backs taken off
    recent: Column = column(np.int32, fill=-1, width=RECENT)  # products last bought, newest first; int16 if few
    heard: Column = column(np.int32, fill=-1, width=HEARD)  # products that friends bought last, a ring; int16 if few
    heard_next: Column = column(np.uint8)  # alone, as it is read with ``heard`` and all persons' fit a cache
    # Ground truth, for scoring only: no recommender and no control reads these.
    fake: Column = column(np.bool_, record=VISITOR)
    fraud: Column = column(np.int8)  # of what kind (sim.labels.Fraud); 0: none
    ring: Column = column(np.int16, fill=-1)  # whose, -1: none's

    @property
    def is_member(self) -> Array:
        """Mask of current members."""
        mask: Array = self.status == Status.MEMBER
        return mask


class Fakes(Table):
    """Accounts that are not somebody's first, which are the last of :class:`People`, in their order."""

    brought: Column = column(np.int64)  # what its ring got because of it, by whomever it was received; fen
    credible: Column = column(np.float32, fill=1.0)  # chance to prove who its owner says they are


@dataclass(frozen=True)
class Person:
    """Read-only view of one row of :class:`People`: ``shop.person(42).trust``."""

    people: People
    row: int

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            value = self.people[name][self.row]
        except KeyError:
            raise AttributeError(f"a person has no {name!r}; they have {list(self.people)}") from None
        return Status(value) if name == "status" else value


def lognormal(seed: int, stream: int, subject: Array, spread: Spread, k: int = 0) -> Array:
    """Draw a log-normal trait with the spread's mean for each subject."""
    z = draws.normal(seed, stream, subject, k=k)
    return spread.mean * np.exp(spread.sigma * z - spread.sigma**2 / 2)


def populate(
    graph: Graph, config: PeopleConfig, sharing: SharingConfig, demand: Demand, products: int, seed: int
) -> People:
    """Draw everyone on a network.

    Parameters
    ----------
    graph : Graph
        Of n persons.
    config : PeopleConfig
    sharing : SharingConfig
    demand : Demand
        Visit rates and dropout.
    products : int
        Of the catalogue.
    seed : int
        The run's seed.

    Returns
    -------
    People
        n rows, all prospects.
    """
    n = graph.persons
    product = smallest_integer(products)
    people = People(n, {"recent": product, "heard": product}, taste=config.taste_dimensions)
    if demand.dropout is not None:
        people.hold("dropout")
    if sharing.response == "threshold":
        people.hold("threshold", "pressure")
    uid = np.arange(n, dtype=np.uint32)
    people.uid[:] = uid
    own = draws.normal(seed, Stream.TASTE, uid[:, None], np.arange(config.taste_dimensions)[None, :])
    people.taste[:] = correlate(graph, own, config.homophily)
    draw_traits(people, np.arange(n), config, sharing, demand, seed)
    shares_device = draws.uniform(seed, Stream.DEVICE, uid) < config.shared_devices
    shares_device[:1] = False
    own = uid.astype(np.int64)
    people.device[:] = np.where(shares_device, own - 1, own)
    address = _addresses(uid, config.shared_addresses, seed)
    people.address[:] = np.where(shares_device, address[own - 1], address)
    shares_payment = draws.uniform(seed, Stream.DEVICE, uid, 2) < config.shared_payments
    shares_payment[:1] = False
    people.payment[:] = np.where(shares_payment, own - 1, own)
    return people


def _addresses(uid: Array, config: SharedAddresses, seed: int) -> Array:
    """Return everyone's address: their own home, or the shared one of their part of the population.

    Each part of ``size / share`` consecutive persons has one shared address, the home of its first person; a draw says
    who else of them uses it. So one more person changes nobody else's address.
    """
    own = uid.astype(np.int64)
    if config.share == 0:
        return own
    part = max(1, round(config.size / config.share))
    uses_it = draws.uniform(seed, Stream.DEVICE, uid, 1) < config.share
    return np.where(uses_it, own - own % part, own)


def draw_traits(
    people: People, rows: Array, config: PeopleConfig, sharing: SharingConfig, demand: Demand, seed: int
) -> None:
    """Draw the traits of the given rows from their uids; tastes, devices and addresses are set by the caller."""
    draw_traits_of_accounts(people, rows, config, sharing, seed)
    uid = people.uid[rows]
    people.conformity[rows] = lognormal(seed, Stream.TRAIT, uid, config.conformity, 1)
    people.hassle[rows] = lognormal(seed, Stream.TRAIT, uid, config.hassle, 3)
    people.deal_prone[rows] = draws.uniform(seed, Stream.TRAIT, uid, k=6) < config.deal_proneness.share
    people.visit_rate[rows] = demand.visit_rates(draws.uniform(seed, Stream.RATE, uid))
    if demand.dropout is not None:
        people.dropout[rows] = demand.dropout_chances(draws.uniform(seed, Stream.DROPOUT, uid, k=1))


def draw_traits_of_accounts(
    people: People, rows: Array, config: PeopleConfig, sharing: SharingConfig, seed: int
) -> None:
    """Draw those traits that accounts have as well which only do what their owner sends them for."""
    uid = people.uid[rows]
    people.price_sensitivity[rows] = lognormal(seed, Stream.TRAIT, uid, config.price_sensitivity, 0)
    people.trust[rows] = np.minimum(1.0, lognormal(seed, Stream.TRAIT, uid, config.trust, 2))
    people.social_cost[rows] = lognormal(seed, Stream.TRAIT, uid, sharing.social_cost, 4)
    sigma = sharing.activity_sigma
    people.activity[rows] = np.exp(sigma * draws.normal(seed, Stream.TRAIT, uid, k=5) - sigma**2 / 2)
    if sharing.response == "threshold":
        people.threshold[rows] = draws.uniform(seed, Stream.THRESHOLD, uid)


def list_price_chances(deal_prone: Array, config: DealProneness, conversion: float) -> Array:
    """Return each person's chance to buy on a visit at list prices; the mean over all is the conversion.

    Parameters
    ----------
    deal_prone : bool ndarray, shape (n,)
    config : DealProneness
    conversion : float
        Orders a visit, in (0, 1).

    Returns
    -------
    float64 ndarray, shape (n,)

    Notes
    -----
    The odds of the others, o, solve ``(1 - p) o / (1 + o) + p k o / (1 + k o) = c`` with ``k = exp(-reluctance)``: a
    quadratic equation with one positive root.
    """
    share, k = config.share, math.exp(-config.reluctance)
    if share == 0 or k == 1:
        return np.full(deal_prone.size, conversion)
    a, b = k * (1 - conversion), 1 - share + share * k - conversion * (1 + k)
    root = math.sqrt(b * b + 4 * a * conversion)
    odds = 2 * conversion / (root + b) if b > 0 else (root - b) / (2 * a)
    return np.where(deal_prone, k * odds / (1 + k * odds), odds / (1 + odds))


def gamma_quantile(u: Array, shape: float, mean: float) -> Array:
    """Return quantiles of a Gamma distribution with the given shape and mean."""
    result: Array = special.gammaincinv(shape, u) * (mean / shape)
    return result


def beta_quantile(u: Array, a: float, b: float) -> Array:
    """Return quantiles of a Beta(a, b) distribution."""
    result: Array = special.betaincinv(a, b, u)
    return result


def shift(chance: Array, logits: Array) -> Array:
    """Move probabilities by logits; 0 and 1 stay where they are."""
    odds = np.exp(logits)
    result: Array = chance * odds / (1 - chance + chance * odds)
    return result
