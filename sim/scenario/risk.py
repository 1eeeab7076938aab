"""The scenario's section ``risk``: what the shop does against it."""

from __future__ import annotations

from pydantic import Field

from sim.core.config import Section, assume
from sim.core.units import Hours

ASSUMED = "assumption"


class RiskConfig(Section):
    """Controls. What is not set is not done."""

    accounts_per_device: int | None = Field(None, ge=1, le=1000, description="sign-ups beyond are refused, and flagged")
    accounts_per_address: int | None = Field(None, ge=1, le=1000, description="the same for addresses")
    invites_per_day: int | None = Field(
        None, ge=1, le=100_000, description="rewarded invitations a member-day; velocity"
    )
    payout_freeze: Hours = assume(
        0.0, source="no freeze unless the scenario says so", unit="rewards wait at least so long"
    )
    freeze_check: bool = Field(True, description="cancel frozen rewards whose account was caught meanwhile")
