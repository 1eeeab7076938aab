"""The scenario's section ``risk``: what the shop does against it."""

from __future__ import annotations

from pydantic import Field, model_validator

from sim.core.config import Section, assume
from sim.core.units import Hours, PositiveHours, Share
from sim.scenario.desk import DeskConfig

ASSUMED = "assumption"


class DetectorConfig(Section):
    """A detector that learns from the logs who is fraudulent."""

    retrain: PositiveHours = assume(336.0, source=ASSUMED, unit="between trainings; sooner while data double")
    label_delay: Hours = assume(
        336.0, source=ASSUMED, unit="from an account's first benefit until complaints and chargebacks tell"
    )
    label_rate: Share = assume(0.5, source=ASSUMED, unit="frauds that come to light that way")
    min_labels: int = assume(
        8,
        source=ASSUMED,
        description="known frauds from which on boosting is used, not isolation alone",
        ge=2,
        le=10_000,
    )
    trees: int = Field(30, ge=1, le=2000, description="of the isolation forest, and of the boosting")


class PolicyConfig(Section):
    """What scores lead to. A score is the share of accounts presumed honest that look less suspicious."""

    challenge: Share | None = Field(0.8, description="who orders with a discount is asked to prove who they are")
    hold: Share | None = Field(0.88, description="the order waits for the review desk")
    hold_untaught: Share | None = Field(
        None, description="the same until the detector has learnt from labels; 0: every order; default: as hold"
    )
    refuse: Share | None = Field(0.97, description="the order is refused")
    freeze: Share | None = Field(0.85, description="payouts wait for the review desk")
    blacklist: Share | None = Field(0.98, description="no more discounts and rewards; no sign-ups from the device")
    impatience: Share = assume(0.1, source=ASSUMED, unit="honest people who give up a challenged order")
    trust_loss: Share = assume(0.2, source=ASSUMED, unit="trust lost by who is blocked")
    churn: Share = assume(0.05, source=ASSUMED, unit="chance to leave the shop for who is blocked")

    @property
    def needs_a_desk(self) -> bool:
        """Whether anything waits for the review desk."""
        return any(limit is not None for limit in (self.hold, self.hold_untaught, self.freeze))


class AppealsConfig(Section):
    """What blocked people can do about it."""

    rate: Share = assume(0.3, source=ASSUMED, unit="blocked people who appeal")
    restored: Share = assume(0.5, source=ASSUMED, unit="way back to full satisfaction and lost trust if it is granted")


class RiskConfig(Section):
    """Controls. What is not set is not done."""

    accounts_per_device: int | None = Field(None, ge=1, le=1000, description="sign-ups beyond are refused, and flagged")
    accounts_per_address: int | None = Field(None, ge=1, le=1000, description="the same for addresses")
    accounts_per_payment: int | None = Field(
        None, ge=1, le=1000, description="of accounts that pay from the same account further ones get no discount"
    )
    account_age: Hours = Field(0.0, description="younger accounts get no discount and no reward for who they invited")
    invites_per_day: int | None = Field(
        None, ge=1, le=100_000, description="rewarded invitations a member-day; velocity"
    )
    payout_freeze: Hours = assume(
        0.0, source="no freeze unless the scenario says so", unit="rewards wait at least so long"
    )
    freeze_check: bool = Field(True, description="cancel frozen rewards whose account was caught meanwhile")
    detector: DetectorConfig | None = Field(None, description="learns who is suspicious; {} for one as shipped")
    policy: PolicyConfig | None = Field(PolicyConfig(), description="what scores lead to; null: to nothing")
    review: DeskConfig | None = Field(None, description="people who look into cases; {} for a desk as shipped")
    appeals: AppealsConfig | None = Field(None, description="against being blocked; need a review desk")

    @model_validator(mode="after")
    def _somebody_decides(self) -> RiskConfig:
        if self.detector is None and self.policy not in (None, PolicyConfig()):
            raise ValueError("policy acts on the scores of a detector: set detector too, or policy to null")
        if self.detector is not None and self.review is None and self.measures.needs_a_desk:
            raise ValueError("policy.hold and policy.freeze wait for a review desk: set review, or both to null")
        if self.appeals is not None and self.review is None:
            raise ValueError("appeals are decided by a review desk: set review")
        return self

    @property
    def measures(self) -> PolicyConfig:
        """What scores lead to; nothing at all if the scenario says so."""
        return self.policy or PolicyConfig(challenge=None, hold=None, refuse=None, freeze=None, blacklist=None)
