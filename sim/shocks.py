"""What goes wrong from outside (``shocks:`` in the scenario), and where it works in the engine.

===================  =================================================================================================
``attack``           further rings (:mod:`agents.fraudsters`) enter at ``start``, as those of ``fraud.rings`` do
``leaked_code``      whoever hears of it may claim the coupon at a visit, as if they were meant to; rings all hear of it
                     and reckon with it. Limits and budget hold; what was claimed stays good when the leak is closed
``kol_scandal``      whoever follows the KOLs or bought from them loses ``trust_loss`` of trust and satisfaction, and
                     their friends half as much. These KOLs post no more, and of their posts that are still to be read
                     nobody clicks on any. Parcels in time restore satisfaction, but nothing restores trust
``stock_out``        orders for the products are refused, as if nothing were in stock
``warehouse_halt``   nothing is dispatched; afterwards parcels leave in the order of payment, as capacity allows
``detector_outage``  risk control lets everybody pass and flags nobody; it goes on counting accounts
``rival_subsidy``    buying nothing here is worth ``-price_sensitivity ln(1 - discount)`` logits more to each person,
                     what the discount would be worth to them here; visits of own will are multiplied by
                     ``(1 - discount)^visit_elasticity``
===================  =================================================================================================

A shock strikes in the first tick that does not begin before its ``start``, and a passing one is over in the first that
does not begin before ``start + length``. Both follow from the clock alone, so nothing of a shock is state but what it
did. Nothing differs before: draws are addressed by what is hit, kind and start of the shock, not by its place in the
list. Of shocks of one kind that overlap, discounts and visits multiply; the others hold as long as one of them does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.core import draws
from sim.core.draws import Stream
from sim.offers import Offers, Source
from sim.scenario.shocks import (
    Attack,
    DetectorOutage,
    KolScandal,
    LeakedCode,
    RivalSubsidy,
    Shock,
    Spell,
    StockOut,
    WarehouseHalt,
)

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]
_MINUTES = 60
_FRIENDS = 0.5  # of what those lose whom a scandal concerns, their friends lose


class Shocks:
    """The shocks of one run.

    Parameters
    ----------
    shop : Shop

    Attributes
    ----------
    disgraced : list of int
        Numbers of the KOLs whom a scandal has hit.
    """

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.disgraced: list[int] = []

    def strike(self) -> None:
        """Let what happens once happen, if this is the tick."""
        for shock in self.shop.config.shocks:
            if isinstance(shock, KolScandal) and shock.first_tick(self.shop.clock.tick_hours) == self.shop.clock.tick:
                self._scandal(shock)

    # What others ask.

    def entries(self) -> list[int]:
        """Return the tick at which each further ring enters, the earliest first."""
        attacks = [shock for shock in self.shop.config.shocks if isinstance(shock, Attack)]
        return sorted(shock.first_tick(self.shop.clock.tick_hours) for shock in attacks for _ in range(shock.rings))

    def is_leaked(self, scheme: str) -> bool:
        """Whether a coupon can now be had by some who were not meant to."""
        return scheme in [leak.scheme for leak in self._now(LeakedCode)]

    def hears_of_leak(self, scheme: str, persons: Array) -> Array:
        """Return a mask of the persons who can now have a coupon because they have heard of a leak."""
        people = self.shop.people
        hears = np.zeros(persons.size, bool)
        for leak in self._now(LeakedCode):
            if leak.scheme == scheme:
                hears |= (self._draw(leak, people.uid[persons]) < leak.reach) | (people.ring[persons] >= 0)
        return hears

    def withhold(self, stock: Array) -> None:
        """Set to zero, in place, the stock (units by product) of what cannot be sold now."""
        for shock in self._now(StockOut):
            stock[self._draw(shock, np.arange(stock.size)) < shock.products] = 0

    @property
    def warehouse_is_halted(self) -> bool:
        """Whether nothing is dispatched now."""
        return any(self._now(WarehouseHalt))

    @property
    def detector_is_out(self) -> bool:
        """Whether risk control neither refuses nor flags now."""
        return any(self._now(DetectorOutage))

    @property
    def visits(self) -> float:
        """Factor on visits of own will."""
        factor = 1.0
        for shock in self._now(RivalSubsidy):
            factor *= math.pow(1 - shock.discount, shock.visit_elasticity)
        return factor

    def tempt_away(self, offers: Offers) -> None:
        """Make every option worth less than buying nothing by what a rival's discount is worth to the visitor."""
        gain = -sum(math.log1p(-shock.discount) for shock in self._now(RivalSubsidy))
        if gain:
            visits = offers.visits
            logits = gain * self.shop.people.price_sensitivity[visits.person]
            logits[visits.source == Source.RING] = 0  # whoever was sent to buy here compares nothing
            offers.appeal -= logits[:, None].astype(np.float32)

    def silence(self) -> None:
        """Let nobody click on posts of KOLs who are in disgrace."""
        self.shop.kol_click[self.disgraced] = -np.inf

    # When, and whom.

    def _now[S: Spell](self, kind: type[S]) -> Sequence[S]:
        """Return the shocks of a kind that last at the present tick."""
        if not self.shop.config.shocks:  # as in most runs; several stages ask in every tick
            return ()
        hour = self.shop.clock.hour
        return [
            shock for shock in self.shop.config.shocks if isinstance(shock, kind) and shock.start <= hour < shock.end
        ]

    def _draw(self, shock: Shock, subjects: Array) -> Array:
        """Return uniforms of a shock, one for each subject (uids or products)."""
        kind = _KINDS.index(type(shock))
        return draws.uniform(self.shop.seed, Stream.SHOCK, subjects, kind, round(shock.start * _MINUTES))

    def _scandal(self, shock: KolScandal) -> None:
        """Let KOLs lose their name; see the module's docstring."""
        shop, people = self.shop, self.shop.people
        largest = sorted(shop.kols, key=lambda kol: (-kol.audience, kol.number))[: shock.kols]
        numbers = [kol.number for kol in largest]
        concerned = np.zeros(len(people), bool)
        for kol in largest:
            concerned[kol.followers] = True
        concerned[shop.book.person[np.isin(shop.book.kol, numbers)]] = True
        friends = np.zeros(len(people), bool)
        friends[shop.graph.indices[np.repeat(concerned[: shop.graph.persons], shop.graph.degree)]] = True
        for mask, loss in ((concerned, shock.trust_loss), (friends & ~concerned, _FRIENDS * shock.trust_loss)):
            people.trust[mask] *= np.float32(1 - loss)
            people.satisfaction[mask] *= np.float32(1 - loss)
        self.disgraced = sorted({*self.disgraced, *numbers})
        self.silence()


_KINDS: tuple[type[Shock], ...] = (
    Attack, LeakedCode, KolScandal, StockOut, WarehouseHalt, DetectorOutage, RivalSubsidy,
)  # fmt: skip
"""By number, for the addresses of draws; a number once given is never reused."""
