"""Referral (邀请, 分销): bonuses for bringing members, commissions on what they buy, over one or more levels.

Two modules do the parts: :mod:`sim.schemes.promoters` says who may promote and who is bound to whom,
:mod:`sim.schemes.commission` how rewards are frozen, released, paid out and taken back. Here is what is earned:

- *bonus*: when an invited person signs up, or first orders for ``min_order`` or more, inviter and invitee get theirs.
  An invitation that risk control refuses earns neither side anything; beyond ``daily_cap`` only the inviter goes
  without. If the order is refunded, another one can earn the bonus again.
- *commission*: an order pays those above the buyer, level by level, a share of the order's ``base`` or a fixed amount
  a unit, times the factor of their grade. Who may not promote at that moment is passed over; the levels above keep
  their rates.
- *rebate*: a promoter's own order pays the promoter, and those above no less.

Rates, figures and facts are all on the same base, the one that the scenario names.

References
----------
Emek, Karidi, Tennenholtz & Zohar (2011), "Mechanisms for multi-level marketing" (geometric rewards, splitting).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sim import law
from sim.core.config import FEN_PER_YUAN, Section, assume
from sim.core.units import Fen, Hours, PerDay, PositiveCount, PositiveFen, PositiveHours, Share, show_share
from sim.offers import NONE, ShareKind
from sim.people import Status
from sim.schemes.base import Scheme, SchemeConfig
from sim.schemes.commission import BONUSES, FOR_ORDERS, Payouts, Withdrawal
from sim.schemes.earnings import Earnings, by_messages, concerned, earned
from sim.schemes.promoters import Appointed, Grade, Promoters, chain_size
from sim.schemes.rewards import RewardState, may_be_earned_again

if TYPE_CHECKING:
    from sim.offers import Orders, Shares, Signups
    from sim.shop import Shop

Array = npt.NDArray[Any]
ASSUMED = "assumption"
MAX_LEVELS = 10


class Bonus(Section):
    """A reward for each invited member, for either side."""

    inviter: Fen = assume(1000, source=ASSUMED, unit="an invited member, to who invited")
    invitee: Fen = assume(1000, source=ASSUMED, unit="to the invited member")
    on: Literal["sign_up", "first_order"] = assume("first_order", source=ASSUMED, unit="what earns it")
    min_order: Fen = assume(0, source="any order counts", unit="paid; smaller orders do not count")

    @model_validator(mode="after")
    def _an_order_to_measure(self) -> Bonus:
        if self.min_order and self.on == "sign_up":
            raise ValueError("min_order needs on: first_order")
        return self


Amounts = Annotated[list[Fen], Field(min_length=1, max_length=MAX_LEVELS)]


class ReferralConfig(SchemeConfig):
    """Rules of a referral programme."""

    kind: Literal["referral"]
    promoters: Literal["everyone", "appointed", "spenders", "application"] = assume(
        "everyone", source=ASSUMED, unit="who may earn by referring"
    )
    appointed: Appointed | None = Field(None, description="with promoters: appointed")
    min_spend: PositiveFen | None = Field(
        None, description="with promoters: spenders; paid during the run, refunds taken off"
    )
    apply_rate: PerDay | None = Field(None, description="with promoters: application; applications a member-day")
    approval: Share | None = Field(None, description="with promoters: application; members whom the shop would approve")
    binding: Literal["at_registration", "any_time", "override"] = assume(
        "at_registration",
        source=ASSUMED,
        description="any_time: a click on a promoter's message binds who has none; override: the last click wins",
    )
    binding_expires: PositiveHours | None = assume(
        None, source="bound for good unless the scenario says otherwise", unit="from being bound"
    )
    rates: Annotated[list[Share], Field(max_length=MAX_LEVELS)] = assume(
        [0.10, 0.05], source="assumption; platform rules allow two levels", unit="of the base, for each level"
    )
    fixed: dict[Annotated[int, Field(ge=0, strict=False)], Amounts] = Field(
        {}, description="product number: yuan a unit for each level, instead of the rates"
    )
    base: Literal["list", "paid", "profit"] = assume(
        "paid", source=ASSUMED, description="what rates are reckoned on; profit: paid less cost of goods"
    )
    own_purchase_rebate: Share = assume(
        0.0, source="none unless the scenario says so", unit="of the base, to promoters for their own orders"
    )
    bonus: Bonus = Bonus()
    daily_cap: PositiveCount | None = assume(
        None, source="no cap unless the scenario says so", unit="invitations rewarded an inviter-day"
    )
    freeze: Hours = assume(168.0, source="assumption; as long as the return window", unit="from earning to release")
    withdrawal: Withdrawal = Withdrawal()
    grades: list[Grade] = Field([], max_length=20, description="in ascending order")
    belief_weight: PositiveCount = assume(
        100, source=ASSUMED, unit="messages that weigh as much as sharers' first guess of what a message earns"
    )

    @model_validator(mode="after")
    def _consistent(self) -> ReferralConfig:
        needed = {"appointed": ["appointed"], "spenders": ["min_spend"], "application": ["apply_rate", "approval"]}
        for way, keys in needed.items():
            for key in keys:
                if (getattr(self, key) is not None) != (self.promoters == way):
                    raise ValueError(f"{key} goes with promoters: {way}, which needs it")
        for lower, upper in zip(self.grades, self.grades[1:], strict=False):
            if upper.invites < lower.invites or upper.sales < lower.sales:
                raise ValueError(f"grades must ascend: {upper.name!r} asks for less than {lower.name!r}")
        bonus = self.bonus.inviter + self.bonus.invitee
        if not (bonus or any(self.rates) or any(map(any, self.fixed.values())) or self.own_purchase_rebate):
            raise ValueError("rewards nothing: set bonus, rates, fixed or own_purchase_rebate")
        return self

    @property
    def levels(self) -> int:
        """Levels that the rules pay."""
        return max([len(self.rates), *map(len, self.fixed.values())])


class Referral(Scheme):
    """A referral programme; see the module's docstring.

    Attributes
    ----------
    promoters : Promoters
    payouts : Payouts
        Rewards, wallets and debts.
    """

    Config: ClassVar[type[SchemeConfig]] = ReferralConfig
    kind: ClassVar[str] = "referral"
    combines_with: ClassVar[Literal["all", "listed"]] = "all"  # it never touches a price
    gift_follows: ClassVar[Literal["sharer", "recipient"]] = "sharer"  # the invitee's bonus is part of the invitation

    def __init__(self, shop: Shop, config: ReferralConfig, number: int) -> None:
        super().__init__(shop, config, number)
        self.promoters = Promoters(self, config)
        self.payouts = Payouts(self, config.freeze, config.withdrawal)
        self._rates = np.pad(np.array(config.rates, np.float64), (0, config.levels - len(config.rates)))
        self._fixed = self._fixed_amounts()
        self._is_fixed = np.isin(np.arange(len(shop.products)), list(config.fixed))
        self._messages = np.zeros(len(ShareKind), np.int64)  # of promoters, read
        self._bonuses_earned = 0
        self._earned_by_link = 0  # fen of commissions on orders that came by the earner's own link
        self._usual_commission = self._mean_commission()
        sharing = shop.config.sharing
        self._audience = self._messages_a_share(sharing.audience)
        self._team_audience = self._messages_a_share(sharing.team_audience)

    def _fixed_amounts(self) -> Array:
        """Return the fixed commission of each product and level, shape (products, levels), fen a unit."""
        products, fixed = len(self.shop.products), self.config.fixed
        if max(fixed, default=0) >= products:
            raise ValueError(f"{self.name}.fixed must name products below {products}. Got {max(fixed)}.")
        amounts = np.zeros((products, self.config.levels), np.int64)
        for product, levels in fixed.items():
            amounts[product, : len(levels)] = levels
        return amounts

    # Invitations and bindings.

    def on_signup(self, signups: Signups) -> None:
        """Bind newcomers to the promoters who invited them; grant the bonus or let it wait for the first order."""
        promoters, standing = self.promoters, self.promoters.standing
        promoters.grow()
        invited = promoters.may_promote(signups.inviter).nonzero()[0]
        if invited.size == 0:
            return
        persons, inviters = signups.person[invited], signups.inviter[invited]
        promoters.bind(persons, inviters)
        persons = promoters.note_invitations(persons, inviters)
        if self.config.bonus.on == "first_order":
            standing.bonus_pending[persons] = True
        elif persons.size:
            none, others = np.zeros(0, np.int32), np.zeros((3, 0), np.int64)  # no order, so nothing for those above
            self._grant(persons, np.full(persons.size, NONE), none, none, np.arange(persons.size), others)

    def on_click(self, shares: Shares) -> None:
        """Bind members by the promoters' messages that they clicked on, where the rules allow it."""
        if self.config.binding == "at_registration":
            return
        self.promoters.grow()
        rows = np.flatnonzero((shares.kind != ShareKind.POST) & self.promoters.may_promote(shares.sharer))
        rows = rows[self.shop.people.status[shares.recipient[rows]] == Status.MEMBER]
        self.promoters.bind(shares.recipient[rows], shares.sharer[rows])

    # What is earned.

    def settle(self, orders: Orders) -> None:
        """Grant first-order bonuses, commissions up the chain, and rebates."""
        if self.is_open and len(orders):
            self.promoters.grow()
            config, standing = self.config, self.promoters.standing
            at, others = concerned(
                orders.person, orders.pay, config.bonus.min_order, standing.bonus_pending, standing.bound_to,
                config.levels, config.own_purchase_rebate > 0,
            )  # fmt: skip
            self._grant(orders.person, orders.row, orders.product, orders.quantity, at, others)

    def _grant(self, origin: Array, order: Array, product: Array, units: Array, at: Array, others: Array) -> None:
        """Grant what orders or sign-ups earn, and let sharers learn from what messages earned.

        ``at`` are the positions of those that earn a bonus if risk control allows it, ``others`` who else may earn (see
        :func:`sim.schemes.earnings.concerned`); all else is as :func:`sim.schemes.earnings.earned` has it.
        """
        by, who, level = others
        if at.size + by.size == 0:
            return
        promoters, bonus, shop = self.promoters, self.config.bonus, self.shop
        invitees = origin[at]
        inviters = promoters.standing.invited_by[invitees]
        allowed = shop.risk.reward_allowed(inviters, invitees)
        columns = earned(
            origin, order, product, units, at, inviters, promoters.within_daily_cap(inviters, invitees, allowed),
            allowed, bonus.inviter, bonus.invitee, by, who, level, promoters.may_promote(who),
            self.order_base(order[by]), promoters.standing.grade, promoters.factors, self._rates, self._fixed,
            self._is_fixed, self.config.own_purchase_rebate,
        )  # fmt: skip
        granted = self.payouts.grant(Earnings(*columns))
        if len(granted) == 0:
            return
        bonuses, fen = by_messages(
            granted.person, granted.origin, granted.kind, granted.level, granted.order, granted.amount,
            shop.people.source, shop.book.sharer,
        )  # fmt: skip
        self._bonuses_earned += bonuses
        self._earned_by_link += fen

    def order_base(self, rows: Array) -> Array:
        """Return what rates are reckoned on, for orders (rows of the book), in fen."""
        book = self.shop.book
        if self.config.base == "list":
            base: Array = book.worth[rows]
        elif self.config.base == "paid":
            base = book.pay[rows]
        else:
            base = np.maximum(0, book.pay[rows] - book.cost[rows])
        return base

    # What happens later.

    def on_refund(self, rows: Array) -> None:
        """Take back what refunded orders earned; a bonus among it may be earned again."""
        rewards = self.payouts.rewards
        taken = self.payouts.claw_back(rows)
        may_be_earned_again(taken, rewards.kind, rewards.origin, self.promoters.standing.bonus_pending)

    def on_confirm(self, rows: Array) -> None:
        """Release commissions on final orders, and count these orders as sales."""
        self.payouts.confirm(rows)
        if self.config.grades:
            book = self.shop.book
            self.promoters.grow()
            self.promoters.count_sales(book.person[rows], book.pay[rows])

    def close(self) -> None:
        """Release, pay out, unbind and enrol whatever falls due."""
        self.payouts.close()
        self.promoters.expire()
        if self.shop.clock.ends_day:
            self.promoters.grow()
            if self.config.daily_cap is not None:
                self.promoters.standing.rewarded_today[:] = 0
            if self.config.promoters == "application" and self.is_open:
                self.promoters.take_applications()

    # What sharers expect and recipients are promised.

    def on_exposure(self, shares: Shares) -> None:
        """Count promoters' messages, for what sharers believe a message to earn."""
        self._messages += self.promoters.messages_by_kind(shares.sharer, shares.kind)

    def gift(self, sharers: Array, kind: int) -> Array:
        """Return what promoters' messages promise their recipients for signing up, in yuan."""
        promised = 0 if kind == ShareKind.POST or self.budget_left <= 0 else self.config.bonus.invitee
        return self.promoters.for_promoters(sharers, promised / FEN_PER_YUAN)

    def reward(self, sharers: Array, kind: int) -> Array:
        """Return what a share is believed to earn its sharer, in yuan.

        Notes
        -----
        ``messages a share * (bonus * bonuses a message + commission a message)``, the last for products and teams only.
        Beliefs are common: what promoters' messages have earned so far. The first guess, from the average chances to
        click, sign up and buy and from prices at the start, weighs as much as ``belief_weight`` messages.
        """
        if kind == ShareKind.POST or self.budget_left <= 0:
            return np.zeros(sharers.shape)
        config, sharing, weight = self.config, self.shop.config.sharing, self.config.belief_weight
        guess = weight * sharing.click.base * sharing.sign_up
        expected = config.bonus.inviter * (guess + self._bonuses_earned) / (weight + sum(self._messages.tolist()))
        if kind != ShareKind.INVITE:
            messages = int(self._messages[ShareKind.PRODUCT] + self._messages[ShareKind.TEAM])
            guess = weight * sharing.click.base * self.shop.demand.conversion * self._usual_commission
            expected += (guess + self._earned_by_link) / (weight + messages)
        audience = self._team_audience if kind == ShareKind.TEAM else self._audience
        return self.promoters.for_promoters(sharers, audience * expected / FEN_PER_YUAN)

    def _messages_a_share(self, audience: float | str) -> float:
        """Return how many friends a share reaches, mean; persons without ties do not share."""
        if audience != "all":
            return float(audience)
        degree = np.diff(self.shop.graph.indptr)
        return float(degree[degree > 0].mean()) if degree.any() else 0.0

    def _mean_commission(self) -> float:
        """Return the first level's commission on a unit, mean over products at list price, in fen."""
        if self.config.levels == 0:
            return 0.0
        products = self.shop.products
        base = products.price - products.cost if self.config.base == "profit" else products.price
        return float(np.where(self._is_fixed, self._fixed[:, 0], self._rates[0] * base).mean())

    # Figures.

    def metrics(self) -> dict[str, float]:
        """Return what was granted to whom; money in yuan, what was taken back or cancelled taken off."""
        payouts, total = self.payouts, self.payouts.total
        promoters = self.promoters
        promoters.grow()
        fen = {
            "commission_paid": total(FOR_ORDERS),
            "bonus_paid": total(BONUSES),
            "commission_frozen": total(states=(RewardState.FROZEN,)),
            "rewards_cancelled": total(states=(RewardState.CANCELLED,)),
            "rewards_clawed_back": total(states=(RewardState.CLAWED_BACK,)),
            "unrecovered": int(payouts.purses.debt.sum()),
            "withdrawn": payouts.withdrawn,
        }
        return {
            **{name: amount / FEN_PER_YUAN for name, amount in fen.items()},
            "promoters": float(promoters.may_promote(np.arange(len(promoters.standing))).sum()),
            "chain_levels": float(self._levels_paid()),
            "chain_headcount_max": float(chain_size(promoters.standing.bound_to)[0]),
            "entry_fee": law.entry_fee(self.config),
            **law.pay_by_basis(payouts),
            "reward_concentration": self._concentration(),
        }

    def _levels_paid(self) -> int:
        """Return the highest level on which a commission was earned and not taken back."""
        return int(self.payouts.rewards.level[self.payouts.kept()].max(initial=0))

    def _concentration(self) -> float:
        """Return the share of all rewards that the top 1% (at least one) of the rewarded hold; nan without rewards."""
        rewards, rows = self.payouts.rewards, self.payouts.kept()
        if rows.size == 0:
            return float("nan")
        amount = np.bincount(rewards.person[rows], weights=rewards.amount[rows])
        amount = np.sort(amount[amount > 0])[::-1]
        return float(amount[: -(-amount.size // 100)].sum() / amount.sum())

    def facts(self) -> dict[str, Any]:
        """Return how it was used, and what the law asks about: facts for a reader, not a verdict."""
        rewards, kept = self.payouts.rewards, self.payouts.kept()
        headcount, depth = chain_size(self.promoters.standing.bound_to)
        first = kept[rewards.level[kept] == 1]
        base = int(self.order_base(rewards.order[first]).sum())
        return {
            **super().facts(),
            "chain_levels_configured": self.config.levels,
            "chain_levels_paid": self._levels_paid(),
            "chain_headcount_max": headcount,
            "chain_depth_max": depth,
            "pay_basis": self._pay_basis(),
            "entry_fee_yuan": law.entry_fee(self.config),
            **{f"{name}_yuan": amount for name, amount in law.pay_by_basis(self.payouts).items()},
            "commission_base": self.config.base,
            "first_level_share_of_base": int(rewards.amount[first].sum()) / base if base else float("nan"),
            "self_bindings_refused": self.promoters.self_bindings,
            "cycles_refused": self.promoters.cycles,
            "debts_repaid_yuan": self.payouts.debts_repaid / FEN_PER_YUAN,
            "withdrawal_fees_yuan": self.payouts.fees / FEN_PER_YUAN,
        }

    def _pay_basis(self) -> str:
        """Say in words what promoters are paid for."""
        config, bonus = self.config, self.config.bonus
        base = {"list": "list price", "paid": "price paid", "profit": "profit (price paid less cost)"}[config.base]
        parts = []
        if bonus.inviter:
            parts.append(f"{bonus.inviter / FEN_PER_YUAN:g} yuan a head on {bonus.on.replace('_', ' ')}")
        if any(config.rates):
            rates = ", ".join(show_share(rate) for rate in config.rates)
            parts.append(f"{rates} of the {base} at levels 1 to {len(config.rates)}")
        if config.fixed:
            parts.append(f"fixed amounts a unit of {len(config.fixed)} products")
        if config.own_purchase_rebate:
            parts.append(f"{show_share(config.own_purchase_rebate)} of the {base} of own orders")
        return "; ".join(parts) or "nothing"
