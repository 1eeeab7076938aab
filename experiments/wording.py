"""Findings in words: what a scenario's schemes are called, numbers as a strategist reads them, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.stats import CONFIDENCE, Estimate

FEN_PER_YUAN = 100
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
UNKNOWN = "n/a"
FROM_ZERO_TO_ONE = {"share", "probability", "gini", "0 to 1"}
MONEY_SPENT = {
    "gmv", "aov", "incentive_cost", "kol_cost", "cac", "liabilities", "coupon_cost", "commission_paid", "bonus_paid",
    "fraud_loss", "follower_loss",
}  # fmt: skip
"""Metrics in yuan that are never below zero; what is earned may be."""
TOO_WIDE = 10.0  # an interval of a relative change, beyond which it says less than the change itself
SMALL = 0.05  # an interval of a relative change within which arms do about the same
MOST_NAMED = 3  # arms that a sentence names before it counts them
WORTH_SAYING = 0.1  # share of orders that farms place


def in_words(number: int) -> str:
    """Write a small number in words."""
    return WORDS[number] if 0 <= number < len(WORDS) else f"{number:,}"


def listed(items: Sequence[str]) -> str:
    """Join items as a sentence does: a, b and c."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else "".join(items)


def yuan(amount: float) -> str:
    """Write an amount of money: 4.10 yuan, 1,234 yuan."""
    return f"{amount:,.2f} yuan" if abs(amount) < 100 else f"{amount:,.0f} yuan"


def percent(share: float, *, signed: bool = False) -> str:
    """Write a share as a percentage, with a decimal where it is small: 2.3%, 31%."""
    value = 100 * share
    digits = 1 if abs(value) < 9.95 else 0
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    return "0%" if float(text.replace(",", "")) == 0 else f"{text}%"


def possible(limit: float, mean: float, unit: str) -> float:
    """Return the limit of an interval about a mean, moved to 0 or 1 if what is estimated cannot lie beyond."""
    return min(max(limit, 0.0), 1.0) if unit in FROM_ZERO_TO_ONE and 0 <= mean <= 1 else limit


def tells_relative(row: Mapping[Any, Any], unit: str) -> bool:
    """Whether an effect is best told in percent of the base: its limits are possible, and not absurdly far apart.

    Shares change in points. One pair of runs has no limits that could be absurd.
    """
    low, high = row["relative_low"], row["relative_high"]
    if unit == "share" or not math.isfinite(row["relative_difference"]):
        return False
    return bool(row["pairs"] == 1 or (low >= -1.0 and high - low < TOO_WIDE))


def possible_change(change: float, row: Mapping[Any, Any], unit: str, metric: str) -> float:
    """Return a limit of an effect's mean difference, moved to where it is possible.

    A share cannot change by more than 100 points; what is not money earned is never below zero, so it cannot lose more
    than the base has.
    """
    base, arm = row["base_mean"], row["arm_mean"]
    if unit in FROM_ZERO_TO_ONE and min(base, arm) >= 0 and max(base, arm) <= 1:
        return min(max(change, -1.0), 1.0)
    from_zero = not unit.startswith("yuan") or metric in MONEY_SPENT
    return max(change, -base) if from_zero and min(base, arm) >= 0 else change


def noun(unit: str) -> str:
    """Return a unit as it stands behind a number, with a space before it; empty for a unit that is a phrase."""
    name = "yuan" if unit.startswith("yuan") else unit
    return f" {name}" if name and " " not in name else ""


def number(value: float, unit: str, *, signed: bool = False) -> str:
    """Write a metric's value in its unit, as short as a table needs it."""
    if not math.isfinite(value):
        return UNKNOWN
    if unit == "share":
        return percent(value, signed=signed)
    whole = unit in {"persons", "accounts", "orders", "visits", "levels", "steps"}
    digits = 0 if abs(value) >= 1000 or (whole and abs(value) >= 100) else 1 if abs(value) >= 100 or whole else 2
    text = f"{value:+,.{digits}f}" if signed else f"{value:,.{digits}f}"
    text = text.removesuffix(".0") if whole else text
    return "0" if float(text.replace(",", "")) == 0 else text


# Schemes.


def _rate(share: float) -> str:
    return f"{100 * share:g}%"


def _group_buy(scheme: Any) -> str:
    return f"team purchases of {in_words(scheme.team_size)} at {_rate(scheme.discount)} off"


def _coupon(scheme: Any) -> str:
    kind = "coupons" if scheme.coupon == "general" else f"{scheme.coupon} coupons"
    if scheme.fission is not None:
        return f"{kind} shared as red packets"
    value = f"{_rate(scheme.percent)} off" if scheme.amount is None else f"{scheme.amount / FEN_PER_YUAN:g} yuan"
    return f"{kind} of {value}" + (f" from {scheme.threshold / FEN_PER_YUAN:g} yuan" if scheme.threshold else "")


def _referral(scheme: Any) -> str:
    parts = []
    if scheme.bonus.inviter or scheme.bonus.invitee:
        inviter, invitee = scheme.bonus.inviter / FEN_PER_YUAN, scheme.bonus.invitee / FEN_PER_YUAN
        parts.append(f"invitation bonuses of {inviter:g} + {invitee:g} yuan")
    if any(scheme.rates):
        parts.append(f"commission of {' + '.join(_rate(rate) for rate in scheme.rates)}")
    return " with ".join(parts) or "referral rewards"


_DESCRIBE: dict[str, Callable[[Any], str]] = {"group_buy": _group_buy, "coupon": _coupon, "referral": _referral}


def described(scenario: Any) -> str:
    """Say which schemes a scenario runs: "team purchases of three at 15% off", or "doing nothing"."""
    phrases = [
        _DESCRIBE[scheme.kind](scheme) if scheme.kind in _DESCRIBE else scheme.kind.replace("_", " ")
        for scheme in scenario.config.schemes
    ]
    return listed(phrases) + (" together" if len(phrases) > 1 else "") if phrases else "doing nothing"


def luck(one_was_picked: bool, better: str = "✓", worse: str = "✗") -> str:
    """Say what many intervals side by side do not promise, given the marks that they carry, and whether a verdict picks
    one of several arms.
    """
    alone = f"Each interval is for itself: of 100 changes by luck alone, about 5 are marked {better} or {worse}."
    picked = "The arm that the verdict names was picked for its gain: fresh seeds (--seed) may show a smaller one."
    return f"{alone} {picked}" if one_was_picked else alone


# Findings.


@dataclass(frozen=True)
class Finding:
    """What a verdict says of one arm.

    Parameters
    ----------
    arm : str
    scenario, base : Scenario
    members : mapping
        The row of the arm's effect on ``new_members``.
    p_gain : float
        P-value of that effect, adjusted for the number of arms; 1 for fewer than two pairs.
    cost, cost_per_member : Estimate
        Yuan more than in the base arm, in all and for each member gained.
    contribution : Estimate
        Yuan more than in the base arm.
    fraud_share, fraud_share_before : Estimate
        Share of the subsidy that went to fake accounts, in the arm and in the base.
    fake_orders : Estimate
        Share of the orders in the arm that fake accounts placed.
    refused : Estimate
        Share of what honest people try that controls refuse or cancel.
    broken, undecided : list of str
        Metrics whose guardrail fails, or of which it is open whether it holds.
    """

    arm: str
    scenario: Any
    base: Any
    members: Mapping[str, Any]
    p_gain: float
    cost: Estimate
    cost_per_member: Estimate
    contribution: Estimate
    fraud_share: Estimate
    fraud_share_before: Estimate
    fake_orders: Estimate
    refused: Estimate
    broken: Sequence[str]
    undecided: Sequence[str]

    @property
    def subject(self) -> str:
        """How to call the arm."""
        return described(self.scenario) if self.tells_apart else f"the arm {self.arm!r}"

    @property
    def other(self) -> str:
        """How to call the base."""
        return described(self.base) if self.tells_apart else f"the base {self.base.name!r}"

    def does(self, verb: str) -> str:
        """Put a verb into the number of the subject."""
        plural = self.tells_apart and self.scenario.config.schemes
        return verb if plural else f"{verb}s"

    @property
    def tells_apart(self) -> bool:
        """Whether the schemes tell arm and base apart; they can differ in something else."""
        return described(self.scenario) != described(self.base)

    @property
    def gains(self) -> bool:
        """Whether the arm, taken for itself, brings more new members beyond doubt."""
        return bool(self.members["verdict"] == "better")

    @property
    def gains_among_many(self) -> bool:
        """Whether it does so even though it is one of several arms, any of which may look good by luck."""
        return self.gains and self.p_gain <= 1 - CONFIDENCE

    @property
    def passes(self) -> bool:
        """Whether all guardrails of the arm hold."""
        return not self.broken and not self.undecided


def sentence(finding: Finding) -> str:
    """Say in a sentence how many members an arm brings, what they cost, and what farms take.

    Of arms whose schemes are the base's, also what farms took before, and how often honest people are refused.
    """
    clauses = [_growth(finding), _cost(finding)]
    if finding.scenario.config.fraud.rings and finding.fraud_share.replicates:
        lost = percent(finding.fraud_share.mean)
        loss = f"{finding.does('lose')} {'nothing' if lost == '0%' else f'{lost} of the subsidy'} to farms"
        if not finding.tells_apart and finding.fraud_share_before.replicates:
            loss += f" instead of {percent(finding.fraud_share_before.mean)}"
        clauses.append(loss)
    if not finding.tells_apart and finding.refused.mean > 0:
        clauses.append(f"{finding.does('refuse')} {percent(finding.refused.mean)} of what honest people try")
    subject = finding.subject
    text = f"{subject[0].upper()}{subject[1:]} {listed([clause for clause in clauses if clause])}"
    if finding.broken:
        text += f"; the guardrail on {listed(finding.broken)} is broken"
    if finding.undecided:
        text += f"; whether the guardrail on {listed(finding.undecided)} holds is open"
    return f"{text}.{_earnings(finding.contribution, finding.fake_orders.mean)}"


def _earnings(contribution: Estimate, fake_orders: float) -> str:
    """Say in a sentence of its own what an arm does to contribution, and how much of what is sold farms buy; nothing if
    there is no interval.
    """
    low, high = contribution.low, contribution.high
    if not (math.isfinite(low) and math.isfinite(high)) or low == high:
        return ""
    interval = f"95% CI {number(low, 'yuan', signed=True)} to {number(high, 'yuan', signed=True)} yuan"
    sold = f"; {percent(fake_orders)} of the orders in it are farms'" if fake_orders >= WORTH_SAYING else ""
    if low <= 0 <= high:
        return f" Whether contribution gains or suffers is open ({interval}){sold}."
    change = "rises" if low > 0 else "falls"
    return f" Contribution {change} by {yuan(abs(contribution.mean))} ({interval}){sold}."


def _growth(finding: Finding) -> str:
    row, bring = finding.members, finding.does("bring")
    place = f"new members in {finding.scenario.config.horizon / 24:g} days"
    more = "more" if row["mean_difference"] > 0 else "fewer"
    if row["verdict"] == "no data":
        size = number(abs(row["mean_difference"]), "persons")
        return f"{bring} {size} {more} {place} than {finding.other} (one replicate: no interval)"
    if row["verdict"] == "same":
        return f"{bring} exactly as many {place} as {finding.other}"
    low, high = row["relative_low"], row["relative_high"]
    if tells_relative(row, "persons"):
        change = percent(row["relative_difference"], signed=True)
        interval = f"95% CI {percent(low).removesuffix('%')} to {percent(high).removesuffix('%')}"
    else:
        change = number(row["mean_difference"], "persons", signed=True)
        ends = [possible_change(row[end], row, "persons", "new_members") for end in ("ci_low", "ci_high")]
        interval = "95% CI {} to {} persons".format(*(number(end, "persons") for end in ends))
    size = change.lstrip("+-")
    if row["verdict"] in ("better", "worse"):
        return f"{bring} {size} {more} {place} than {finding.other} ({interval})"
    needed = row["replicates_needed"]
    hint = f"; at least {needed:,} replicates would tell" if isinstance(needed, int) else ""
    if low >= -SMALL and high <= SMALL:
        return f"{bring} about as many {place} as {finding.other} ({interval}{hint})"
    return f"may bring more or fewer {place} than {finding.other}: {change} on average, but open ({interval}{hint})"


def _cost(finding: Finding) -> str:
    total, each = finding.cost, finding.cost_per_member
    if not math.isfinite(total.mean) or total.mean == 0.0:
        return ""
    if total.mean < 0:
        return f"{finding.does('save')} {yuan(-total.mean)}"
    if finding.gains and math.isfinite(each.low):
        return f"{finding.does('cost')} {yuan(each.mean)} for each one gained"
    return f"{finding.does('cost')} {yuan(total.mean)}"


@dataclass(frozen=True)
class Choice:
    """Which arm a verdict on several is about, and out of which it was chosen.

    Parameters
    ----------
    best : Finding
        The arm that brings most new members beyond doubt, of those whose guardrails all hold, or if there is none, of
        those that break none.
    pool : list of Finding
        The arms of which it is said to bring most: itself, and others even if their own gain is open.
    among : str
        The same in words.
    """

    best: Finding
    pool: list[Finding]
    among: str

    @staticmethod
    def of(findings: Sequence[Finding]) -> Choice | None:
        """Choose from the arms of a comparison; None if none gains without breaking a guardrail."""
        gaining = [finding for finding in findings if finding.gains_among_many]
        unbroken = [finding for finding in gaining if not finding.broken]
        if not unbroken:
            return None
        passing = [finding for finding in unbroken if finding.passes]
        best = max(passing or unbroken, key=_gain)
        many = in_words(len(findings))
        if best is max(gaining, key=_gain):
            return Choice(best, list(findings), f"of {many} arms")
        if passing:
            pool = [finding for finding in findings if finding.passes]
            return Choice(best, pool, f"among those of {many} arms whose guardrails hold")
        pool = [finding for finding in findings if not finding.broken]
        return Choice(best, pool, f"among those of {many} arms that break no guardrail")


def verdict(findings: Sequence[Finding], choice: Choice | None = None, rivals: Sequence[Mapping[Any, Any]] = ()) -> str:
    """Say in a sentence what a comparison found: of several arms, about one.

    Parameters
    ----------
    findings : sequence of Finding
        Of each arm.
    choice : Choice, optional
        The arm that it is about.
    rivals : sequence of mapping
        How it does beside the others of its pool: rows of :meth:`experiments.comparison.Comparison.rivals`.
    """
    if len(findings) == 1:
        return sentence(findings[0])
    if choice is not None:
        doubts = ["contribution falls"] if choice.best.contribution.high < 0 else []
        but = listed(doubts + _rivalry(rivals))
        text = f"{_lead(rivals)} {choice.among}{', but ' if but else ''}{but}"
        return f"{text}: {_lower(sentence(choice.best))}"
    many, base = in_words(len(findings)), findings[0].other
    gaining = [finding for finding in findings if finding.gains_among_many]
    if len(gaining) == 1:
        (only,) = gaining
        rails = f"the guardrail{'s' if len(only.broken) > 1 else ''} on {listed(only.broken)}"
        return f"No arm is fit to launch: {only.arm} brings more new members than {base}, but breaks {rails}."
    if gaining:
        names = listed([finding.arm for finding in gaining])
        rails = ", ".join(f"{finding.arm} on {listed(finding.broken)}" for finding in gaining)
        return f"No arm is fit to launch: {names} bring more new members than {base}, but break guardrails ({rails})."
    alone = [finding.arm for finding in findings if finding.gains]
    luck = f": {_named(alone)} alone would, but one of {many} may by luck" if alone else ""
    return f"None of the {many} arms brings more new members than {base} beyond doubt{luck}."


def _lead(rivals: Sequence[Mapping[Any, Any]]) -> str:
    """Say how far an arm leads: it may do so only on average, or not even that."""
    doubtful = [row for row in rivals if row["verdict"] not in ("better", "same")]
    if any(row["mean_difference"] < 0 for row in doubtful):
        return "Surest growth"
    return "Most growth on average" if doubtful else "Most growth"


def _rivalry(rivals: Sequence[Mapping[Any, Any]]) -> list[str]:
    """Say which other arms bring exactly as many new members as the chosen one, and which may."""
    equal = [row["rival"] for row in rivals if row["verdict"] == "same"]
    close = [row for row in rivals if row["verdict"] not in ("better", "same")]
    clauses = [f"{_named(equal)} bring{'s' if len(equal) == 1 else ''} exactly as much"] if equal else []
    if close:
        needed = [row["replicates_needed"] for row in close]
        hint = f" (at least {max(needed):,} replicates would tell)" if all(isinstance(n, int) for n in needed) else ""
        clauses.append(f"{_named([row['rival'] for row in close])} may bring as much or more{hint}")
    return clauses


def _named(arms: Sequence[str]) -> str:
    """Name arms, or if they are many say how many."""
    return listed(arms) if len(arms) <= MOST_NAMED else f"{in_words(len(arms))} others"


def _gain(finding: Finding) -> float:
    return float(finding.members["mean_difference"])


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]
