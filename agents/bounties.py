"""What a new account is worth to whoever opens it, by the public rules of the shop's schemes.

Ordinary people and merchants read the rules as anybody can: bonuses for inviting, for signing up and for a first order,
commission for whoever invited a buyer, and the newcomer coupon. They do not look for more; rings do
(:mod:`agents.planner`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from sim.core.ledger import share_of
from sim.schemes.coupon import Coupon
from sim.schemes.referral import Referral
from sim.schemes.scope import in_scope

if TYPE_CHECKING:
    from sim.shop import Shop

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Bounty:
    """What the rules promise for one new account that another account of the same owner invites; fen.

    Attributes
    ----------
    on_sign_up : float
        Bonuses of both sides.
    on_order : float ndarray, shape (products,)
        Bonuses and commissions of both sides if the new account's first order is a unit of this product.
    discount : int64 ndarray, shape (products,)
        What newcomer coupons take off that order.
    by_platform : int64 ndarray, shape (products,)
        The part of it that the product's merchant does not pay.
    """

    on_sign_up: float
    on_order: Array
    discount: Array
    by_platform: Array


def referrals(shop: Shop) -> list[Referral]:
    """Return the referral schemes that pay now."""
    return [s for s in shop.schemes if isinstance(s, Referral) and s.is_open and s.budget_left > 0]


def newcomer_coupons(shop: Shop) -> list[Coupon]:
    """Return the coupons that whoever signs up now is given."""
    return [s for s in shop.schemes if isinstance(s, Coupon) and s.config.coupon == "newcomer" and s.room() > 0]


def read_rules(shop: Shop) -> Bounty:
    """Return what the schemes that run now promise for a new account."""
    products = shop.products
    discount, by_platform = np.zeros((2, len(products)), np.int64)
    for coupon in newcomer_coupons(shop):
        off = _taken_off(coupon, shop)
        best = off > discount
        discount[best] = off[best]
        by_platform[best] = off[best] - share_of(off[best], coupon.config.merchant_share)
    on_sign_up = 0.0
    on_order = np.zeros(len(products))
    for scheme in referrals(shop):
        bonus, withdrawal = scheme.config.bonus, scheme.config.withdrawal
        # An inviter collects many bonuses in one wallet; a one-off account can withdraw its own only above the minimum.
        kept = bonus.inviter * (1 - withdrawal.fee)
        if bonus.invitee >= withdrawal.minimum:
            kept += max(0.0, bonus.invitee * (1 - withdrawal.fee) - withdrawal.fixed_fee)
        pay = products.price - discount
        if bonus.on == "sign_up":
            on_sign_up += kept
        else:
            on_order += kept * (pay >= bonus.min_order)
        on_order += _commission(scheme, products.price, pay) * (1 - withdrawal.fee)
    return Bounty(on_sign_up, on_order, discount, by_platform)


def _taken_off(scheme: Coupon, shop: Shop) -> Array:
    """Return what a coupon takes off one unit of each product."""
    config, price = scheme.config, shop.products.price
    if config.amount is not None:
        amount = np.full(price.size, config.amount, np.int64)
    else:
        amount = share_of(price, config.percent or 0.0)
        amount = amount if config.cap is None else np.minimum(amount, config.cap)
    valid = in_scope(config.scope, shop.products, scheme.name) & (price >= config.threshold)
    if config.merchant_share > 0:
        valid &= shop.merchant_books.funds[shop.products.merchant]
    return np.where(valid, np.minimum(amount, price), 0)


def _commission(scheme: Referral, price: Array, pay: Array) -> Array:
    """Return the inviter's commission on a unit of each product; of profits outsiders know nothing."""
    config = scheme.config
    base = {"list": price, "paid": pay, "profit": np.zeros(price.size)}[config.base]
    commission = base * (config.rates[0] if config.rates else 0.0)
    for product, levels in config.fixed.items():
        commission[product] = levels[0]
    return commission
