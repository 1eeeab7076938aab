"""Opinion leaders: who follows them, what they post about, and what they are paid.

A KOL's audience in the whole market is log-normal; the people of a run are a sample of that market, so a share of
them follows, those whose taste fits the KOL's field more often. Every ``post_every`` a KOL picks the product that
promises most commission, its merchant pays the fee out of the promotion budget, and some of the followers see the
post. What they do then is the feed's business (:mod:`sim.feed`), with the click chance of :func:`kol_click_logits`:
stars reach many and persuade few per head.

The fee is reckoned on the followers whom the KOL claims among the people of the run, fake ones included, so that cost
per person reached does not depend on how large a sample of the market is simulated. That invites fraud: a KOL of that
kind buys more of them before a post as long as the fees that they are expected to bring until an audit finds them are
worth their price. What the merchant pays for followers who are not people is a loss (:mod:`sim.labels`). Commission is
paid by the merchant once an order is confirmed, so it is never clawed back.

References
----------
Bakshy, Hofman, Mason & Watts (2011), "Everyone's an influencer: quantifying influence on Twitter".
Leskovec, Adamic & Huberman (2007), "The dynamics of viral marketing".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import mesa
import numpy as np
import numpy.typing as npt
from scipy import special

from sim.core import draws
from sim.core.draws import Stream
from sim.core.ledger import Account, share_of
from sim.core.table import Column, Table, column
from sim.labels import Fraud
from sim.offers import NONE
from sim.people import Status

if TYPE_CHECKING:
    from sim.scenario.fraud import FollowersConfig
    from sim.scenario.schema import KolsConfig
    from sim.shop import Shop

Array = npt.NDArray[Any]
THOUSAND = 1000.0
# Which of several draws about a KOL; the subject is the KOL's number, or the person's uid where one is concerned.
_AUDIENCE, _FIELD, _FOLLOWS, _SEES, _PICK, _FIRST_POST, _WOULD_BUY, _AUDIT = range(8)
_PRIOR = 20.0  # posts that a KOL expects to get away with before having seen an audit


class Posts(Table):
    """Every post of a run."""

    kol: Column = column(np.int32)
    product: Column = column(np.int32)
    tick: Column = column(np.int32)
    seen_by: Column = column(np.int32)
    fee: Column = column(np.int64)
    for_nobody: Column = column(np.int64)  # part of the fee, for followers who are not people


def audiences(config: KolsConfig, seed: int) -> Array:
    """Return how many followers each KOL claims in the whole market, at most all of it.

    Notes
    -----
    Of a log-normal with log-standard deviation s, the top share q holds ``Phi(s - z)`` with ``Phi(z) = 1 - q``: for the
    top 1% to hold 80.2%, as among streamers, s must be 3.18; with 1.6 they would hold 23%.
    """
    z = draws.normal(seed, Stream.KOL, np.arange(config.count), k=_AUDIENCE)
    result: Array = np.minimum(config.market, config.audience.median * np.exp(config.audience.sigma * z))
    return result


def kol_click_logits(config: KolsConfig, audience: Array) -> Array:
    """Return the logit of the click chance of one exposure to each KOL's post, shape of ``audience``, float32.

    ``logit(click) - decline ln(audience / 1000)``
    """
    logits: Array = special.logit(config.click) - config.decline * np.log(audience / THOUSAND)
    return logits.astype(np.float32)


def settle_commissions(shop: Shop, rows: Array) -> None:
    """Let merchants pay the KOLs who brought confirmed orders (rows of the order book) a share of what was paid."""
    book = shop.book
    rows = rows[book.kol[rows] >= 0]
    if rows.size == 0:
        shop.count("kol_commission", 0)
        return
    commission = share_of(book.pay[rows], shop.config.kols.commission)
    shop.merchant_books.charge(book.merchant[rows], commission)
    book.rewards[rows] += commission
    shop.count("kol_commission", shop.post(Account.MERCHANTS, Account.KOLS, commission, persons=book.person[rows]))


def create(shop: Shop) -> list[Kol]:
    """Create the KOLs of a run, who are also the persons with most ties, and set ``shop.kol_click``."""
    config = shop.config.kols
    audience = audiences(config, shop.seed)
    shop.kol_click = kol_click_logits(config, audience)
    degree = np.diff(shop.graph.indptr)
    persons = np.full(config.count, -1)
    most_tied = np.argsort(-degree, kind="stable")[: config.count]
    most_tied = most_tied[degree[most_tied] > 0]
    persons[: most_tied.size] = most_tied
    posts = Posts()
    return [Kol(shop, k, int(persons[k]), float(audience[k]), posts) for k in range(config.count)]


class Kol(mesa.Agent):  # type: ignore[misc]
    """An opinion leader.

    Parameters
    ----------
    shop : Shop
    number : int
        From 0; addresses everything that is drawn about this KOL.
    person : int
        The row of People who this KOL also is, -1 for none.
    audience : float
        Followers claimed in the whole market.
    posts : Posts
        Where posts are written down, shared by all KOLs.

    Attributes
    ----------
    category : int
        The KOL's field.
    followers : int32 ndarray
        Rows of People who really follow.
    claimed : float
        Followers claimed among the people of the run, fake ones included.
    bought : float
        Those among them whom the KOL has bought.
    spent : float
        Fen for bought followers.
    audits : int
        Audits that found them.
    wakes : int
        Tick before which a step would do nothing (:meth:`sim.shop.Shop.step`).
    """

    def __init__(self, shop: Shop, number: int, person: int, audience: float, posts: Posts) -> None:
        super().__init__(shop)
        self.shop, self.number, self.person, self.audience = shop, number, person, audience
        config = shop.config.kols
        self._posts = posts
        products = shop.products
        field = draws.integers(shop.seed, Stream.KOL, number, len(products), k=_FIELD)
        self.category = int(products.category[field])
        self._range = np.flatnonzero(products.category == self.category)
        real = 1 - config.fake_followers
        self.followers = self._who_follows(real * audience / config.market)
        self.claimed = self.followers.size / real
        self.bought = self.spent = 0.0
        self.audits = self._risked = 0
        self._banned_until = 0
        self._every = shop.clock.ticks(config.post_every)
        self.wakes = self._first = int(draws.integers(shop.seed, Stream.KOL, number, self._every, k=_FIRST_POST))

    def _who_follows(self, share: float) -> Array:
        """Draw followers by a Gaussian copula of taste match and luck; ``share`` of people follow at any tilt."""
        shop, affinity = self.shop, self.shop.config.kols.affinity
        n = shop.graph.persons
        topic = shop.products.topic[self._range].mean(axis=0, dtype=np.float64)
        match = shop.people.taste[:n] @ (topic / np.linalg.norm(topic))
        chance = special.ndtr((special.ndtri(share) + affinity * match) / np.sqrt(1 - affinity**2))
        follows = draws.uniform(shop.seed, Stream.KOL, shop.people.uid[:n], self.number, k=_FOLLOWS) < chance
        if self.person >= 0:
            follows[self.person] = False
        return np.flatnonzero(follows).astype(np.int32)

    def step(self) -> None:
        """Post, if it is time and a merchant pays."""
        tick = self.shop.clock.tick
        if tick % self._every != self._first:
            return
        self.wakes = tick + self._every
        if tick < self._banned_until or self.number in self.shop.shocks.disgraced:
            return
        if self.shop.config.fraud.followers is not None:
            self.buy_followers(self.shop.config.fraud.followers)
        fee = int(share_of(self.shop.config.kols.fee, self.claimed / THOUSAND))
        product = self.choose(fee)
        if product is not None:
            self.post(product, fee)
            if self.bought > 0:
                self._face_audit()

    def buy_followers(self, config: FollowersConfig) -> None:
        """Buy a batch of followers if the fees that they will bring are worth more than they cost.

        Notes
        -----
        The KOL expects an audit at each post with chance ``(1 + audits) / (20 + posts risked)``, so fees for
        ``1 / chance`` more posts, or for those left until the shop's horizon if these are fewer.
        """
        shop = self.shop
        if draws.uniform(shop.seed, Stream.KOL, self.number, k=_WOULD_BUY) >= config.kols:
            return
        posts = (_PRIOR + self._risked) / (1 + self.audits)
        posts = min(posts, (shop.clock.horizon - shop.clock.tick) / self._every)
        if shop.config.kols.fee * posts > config.price:
            batch = config.batch * self.claimed
            self.bought += batch
            self.claimed += batch
            self.spent += config.price * batch / THOUSAND

    def _face_audit(self) -> None:
        """Lose the bought followers, and fees for a while, if they are found out."""
        shop, config = self.shop, self.shop.config.fraud.followers
        assert config is not None
        self._risked += 1
        chance = config.audit * self.bought / self.claimed
        if draws.uniform(shop.seed, Stream.KOL, self.number, 0, shop.clock.tick, _AUDIT) < chance:
            self.claimed -= self.bought
            self.bought = 0.0
            self.audits += 1
            self._banned_until = shop.clock.tick + shop.clock.ticks(config.ban)
            shop.count("follower_audits", 1)

    def choose(self, fee: int) -> int | None:
        """Return the product of the field that promises most commission, None if no merchant pays ``fee`` (fen).

        Notes
        -----
        Commission is the same share of every price, so products rank by ``price (1 + units sold) / (1 + own posts of
        it)``: what followers have been told about again and again sells less. Equal products are told apart by an
        addressed draw.
        """
        shop, products, books = self.shop, self.shop.products, self.shop.merchant_books
        candidates = self._range
        pays = (books.funds & (books.budget_left >= fee))[products.merchant[candidates]]
        candidates = candidates[pays & (products.stock[candidates] > 0)]
        if candidates.size == 0:
            return None
        own = np.bincount(self._posts.product[self._posts.kol == self.number], minlength=len(products))
        promise = products.price[candidates] * (1.0 + products.sold[candidates]) / (1.0 + own[candidates])
        luck = draws.uniform(shop.seed, Stream.KOL, self.number, candidates, shop.clock.tick, _PICK)
        return int(candidates[np.lexsort((luck, promise))[-1]])

    def post(self, product: int, fee: int) -> None:
        """Collect the fee from the product's merchant and show the product to the followers who happen to look."""
        shop, tick = self.shop, self.shop.clock.tick
        merchant = shop.products.merchant[[product]]
        shop.merchant_books.charge(merchant, np.array([fee]))
        shop.count("kol_fees", shop.post(Account.MERCHANTS, Account.KOLS, np.array([fee])))
        look = draws.uniform(shop.seed, Stream.KOL, shop.people.uid[self.followers], self.number, tick, _SEES)
        recipients = self.followers[look < shop.config.kols.reach]
        for_nobody = int(share_of(fee, 1 - self.followers.size / self.claimed)) if self.claimed else 0
        shop.fraud_losses[Fraud.FOLLOWERS, 0] += for_nobody
        self._posts.append(
            kol=self.number, product=product, tick=tick, seen_by=recipients.size, fee=fee, for_nobody=for_nobody
        )
        is_member = self.person != NONE and shop.people.status[self.person] != Status.PROSPECT
        shop.queue_post(self.number, self.person if is_member else NONE, product, recipients)
