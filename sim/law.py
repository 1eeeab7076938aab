"""Facts that rules on chains of promoters ask about: figures of a scenario beside those of named rules.

A table and never a verdict. Whether a programme is lawful depends on much that a simulation does not know; what it does
know is how many levels are paid, how many persons stand under one, what it takes to join, and what pay is reckoned on.
Those who decide set these beside what each rule says, with a lawyer.

The rules
---------
Regulation on the Prohibition of Pyramid Selling (禁止传销条例), article 7: it names no number of levels. It looks at
pay by the number of persons recruited (item 1), at fees or purchases that are asked for the right to join or recruit
(item 2), and at pay on the sales of those below (item 3).
Standard for filing a criminal case (立案追诉标准): three or more levels and thirty or more persons in the organisation.
Practice of platforms: commission on no more than two levels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sim.core.config import FEN_PER_YUAN
from sim.core.units import show_share
from sim.schemes.earnings import RewardKind

if TYPE_CHECKING:
    from sim.scenario.schema import ScenarioConfig
    from sim.schemes.commission import Payouts
    from sim.schemes.referral import ReferralConfig

ARTICLE_7 = "Prohibition of Pyramid Selling, art. 7 (禁止传销条例第七条)"
FILING = "Criminal filing standard (立案追诉标准)"
PLATFORMS = "Practice of platforms"
NO_FIGURE = "no figure: any"
PAY = ("pay_for_heads", "pay_for_first_orders", "pay_for_direct_sales", "pay_for_downline_sales", "pay_for_own_orders")
"""What promoters are paid for; yuan each in :func:`pay_by_basis`."""


@dataclass(frozen=True)
class Fact:
    """A figure of one referral programme beside that of a rule.

    Parameters
    ----------
    scheme : str
        Its name.
    rule : str
        That asks.
    looks_at : str
        What the rule looks at.
    rule_figure : str
        What the rule says of it.
    configured : str
        What the scenario's rules say of it.
    measured : float
        What it came to: the largest of all runs.
    unit : str
        Of `measured`.
    """

    scheme: str
    rule: str
    looks_at: str
    rule_figure: str
    configured: str
    measured: float
    unit: str


def pay_by_basis(payouts: Payouts) -> dict[str, float]:
    """Return what promoters earned by what it is for, in yuan; what was taken back or cancelled is left out.

    ``pay_for_heads``
        Bonuses for persons who signed up, earned without an order.
    ``pay_for_first_orders``
        Bonuses for the orders of persons whom they invited.
    ``pay_for_direct_sales``
        Commissions on orders of those who are bound to them.
    ``pay_for_downline_sales``
        Commissions on orders further down.
    ``pay_for_own_orders``
        Rebates.
    """
    rewards, kept = payouts.rewards, payouts.kept()
    kind, level, amount = rewards.kind[kept], rewards.level[kept], rewards.amount[kept]
    bonus, ordered = kind == RewardKind.INVITER_BONUS, rewards.order[kept] >= 0
    commission = kind == RewardKind.COMMISSION
    chosen = (
        bonus & ~ordered, bonus & ordered, commission & (level == 1), commission & (level > 1),
        kind == RewardKind.REBATE,
    )  # fmt: skip
    return {name: int(amount[rows].sum()) / FEN_PER_YUAN for name, rows in zip(PAY, chosen, strict=True)}


def facts(config: ScenarioConfig, runs: Sequence[Mapping[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return what each rule asks of each referral programme: the rule's figure, the scenario's and the measured one.

    Everybody who is bound to a promoter counts as a person below, buyers too who never bring anybody.

    Parameters
    ----------
    config : ScenarioConfig
    runs : sequence of mapping
        Of each run, by scheme name, what :meth:`sim.schemes.base.Scheme.facts` says.

    Returns
    -------
    list of dict
        Of the fields of :class:`Fact`; empty if nobody is paid for bringing others.
    """
    found: list[dict[str, Any]] = []
    scheme: Any  # of its own config class
    for scheme in config.schemes:
        if scheme.kind == "referral":
            name = scheme.name or scheme.kind
            found += [asdict(fact) for fact in _of(name, scheme, [run[name] for run in runs if name in run])]
    return found


def _of(name: str, config: ReferralConfig, told: Sequence[Mapping[str, Any]]) -> Iterator[Fact]:
    """Yield the rows of one programme."""

    def asks(
        rule: str, looks_at: str, rule_figure: str, configured: str, key: str, unit: str, *, head: int = 0
    ) -> Fact:
        values = [float(facts[key]) + head for facts in told if facts.get(key) is not None]
        return Fact(name, rule, looks_at, rule_figure, configured, max(values, default=float("nan")), unit)

    bonus = config.bonus
    a_head = f"{bonus.inviter / FEN_PER_YUAN:g} yuan a head on {bonus.on.replace('_', ' ')}"
    for_heads = a_head if bonus.on == "sign_up" and bonus.inviter else "nothing without an order"
    on_orders = a_head if bonus.on == "first_order" and bonus.inviter else "nothing"
    yield asks(PLATFORMS, "levels that commission is paid on", "at most 2", f"{config.levels}", "chain_levels_paid",
               "levels")  # fmt: skip
    yield asks(FILING, "levels of persons, the head included", "3 or more", "no limit", "chain_depth_max", "levels",
               head=1)  # fmt: skip
    yield asks(FILING, "persons under one head, the head included", "30 or more", "no limit", "chain_headcount_max",
               "persons", head=1)  # fmt: skip
    yield asks(f"{ARTICLE_7}, item 1", "pay by the number of persons recruited", NO_FIGURE, for_heads,
               "pay_for_heads_yuan", "yuan")  # fmt: skip
    yield asks(f"{ARTICLE_7}, item 2", "fee or purchase asked for the right to join or recruit", NO_FIGURE,
               _entry(config), "entry_fee_yuan", "yuan")  # fmt: skip
    yield asks(f"{ARTICLE_7}, item 3", "pay on the sales of those further down", NO_FIGURE,
               _commission(config, slice(1, None)), "pay_for_downline_sales_yuan", "yuan")  # fmt: skip
    yield asks("for comparison", "pay on sales to those whom one brought", "–", _commission(config, slice(1)),
               "pay_for_direct_sales_yuan", "yuan")  # fmt: skip
    yield asks("for comparison", "pay on first orders of those whom one brought", "–", on_orders,
               "pay_for_first_orders_yuan", "yuan")  # fmt: skip
    yield asks("for comparison", "rebate on own orders", "–", show_share(config.own_purchase_rebate),
               "pay_for_own_orders_yuan", "yuan")  # fmt: skip


def _commission(config: ReferralConfig, levels: slice) -> str:
    """Say what the rules pay on the sales of some levels."""
    base = {"list": "list price", "paid": "price paid", "profit": "profit"}[config.base]
    rates = [show_share(rate) for rate in config.rates[levels] if rate]
    parts = [f"{', '.join(rates)} of the {base}"] if rates else []
    if any(any(amounts[levels]) for amounts in config.fixed.values()):
        parts.append("fixed amounts for some products")
    return "; ".join(parts) or "nothing"


def entry_fee(config: ReferralConfig) -> float:
    """Return what has to be spent before one may recruit, in yuan: asked for as a purchase, as there are no fees."""
    return (config.min_spend or 0) / FEN_PER_YUAN


def _entry(config: ReferralConfig) -> str:
    fee = entry_fee(config)
    return f"{fee:g} yuan of purchases before one may recruit" if fee else "nothing"
