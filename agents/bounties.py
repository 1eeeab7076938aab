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
    """What the rules promise for one new account that another account of the same owner invites, by what its first
    order might be; fen.

    Attributes
    ----------
    on_sign_up : float
        Bonuses of both sides.
    on_order : float ndarray, shape (baskets,)
        Bonuses and commissions of both sides if the new account's first order is this one.
    discount : int64 ndarray, shape (baskets,)
        What newcomer coupons take off that order.
    by_platform : int64 ndarray, shape (baskets,)
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


def read_rules(shop: Shop, product: Array | None = None, units: Array | int = 1) -> Bounty:
    """Return what the schemes that run now promise for a new account.

    Parameters
    ----------
    shop : Shop
    product : int ndarray, shape (baskets,), optional
        What the account might order first. Default: each product of the catalogue.
    units : int ndarray, shape (baskets,), or int
        How many of it.
    """
    product = np.arange(len(shop.products)) if product is None else product
    worth = shop.products.price[product] * units
    discount, by_platform = np.zeros((2, product.size), np.int64)
    for coupon in newcomer_coupons(shop):
        off = _taken_off(coupon, shop, product, worth)
        best = off > discount
        discount[best] = off[best]
        by_platform[best] = off[best] - share_of(off[best], coupon.config.merchant_share)
    on_sign_up = 0.0
    on_order = np.zeros(product.size)
    for scheme in referrals(shop):
        bonus, withdrawal = scheme.config.bonus, scheme.config.withdrawal
        # An inviter collects many bonuses in one wallet; a one-off account can withdraw its own only above the minimum.
        kept = bonus.inviter * (1 - withdrawal.fee)
        if bonus.invitee >= withdrawal.minimum:
            kept += max(0.0, bonus.invitee * (1 - withdrawal.fee) - withdrawal.fixed_fee)
        pay = worth - discount
        if bonus.on == "sign_up":
            on_sign_up += kept
        else:
            on_order += kept * (pay >= bonus.min_order)
        on_order += _commission(scheme, product, units, worth, pay) * (1 - withdrawal.fee)
    return Bounty(on_sign_up, on_order, discount, by_platform)


def _taken_off(scheme: Coupon, shop: Shop, product: Array, worth: Array) -> Array:
    """Return what a coupon takes off baskets of a product each, worth so much."""
    config = scheme.config
    if config.amount is not None:
        amount = np.full(worth.size, config.amount, np.int64)
    else:
        amount = share_of(worth, config.percent or 0.0)
        amount = amount if config.cap is None else np.minimum(amount, config.cap)
    valid = in_scope(config.scope, shop.products, scheme.name)[product] & (worth >= config.threshold)
    if config.merchant_share > 0:
        valid &= shop.merchant_books.funds[shop.products.merchant[product]]
    return np.where(valid, np.minimum(amount, worth), 0)


def _commission(scheme: Referral, product: Array, units: Array | int, worth: Array, pay: Array) -> Array:
    """Return the inviter's commission on baskets of a product each; of profits outsiders know nothing."""
    config = scheme.config
    base = {"list": worth, "paid": pay, "profit": np.zeros(worth.size)}[config.base]
    commission: Array = base * (config.rates[0] if config.rates else 0.0)
    for fixed, levels in config.fixed.items():
        commission = np.where(product == fixed, levels[0] * units, commission)
    return commission
