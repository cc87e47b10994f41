"""The terms on which a threshold is recommended, or none: every default of a recalibration, and what harm is worth."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from toolkit.criteria.spans import Stretch

__all__ = ["Terms"]


def _ascending(value: tuple[int, ...]) -> tuple[int, ...]:
    if not value or list(value) != sorted(set(value)) or value[0] < 1:
        raise ValueError("candidates ascend from 1: [1, 2, 3, 5, 10]")
    return value


Share = Annotated[float, Field(gt=0, lt=1)]


class Terms(BaseModel):
    """[recalibration] of the policy; where it is silent, these defaults."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    horizon: Stretch = Field(default=timedelta(minutes=120), description="How long a deployment is watched.")
    alpha: Share = Field(default=0.05, description="False stops of good deployments that are tolerated.")
    delta: Share = Field(default=0.10, description="Chance that the bound on them is wrong.")
    candidates: Annotated[tuple[int, ...], AfterValidator(_ascending)] = Field(
        default=(1, 2, 3, 5, 10), description="Evaluations in a row that are tried beside the criterion's own."
    )
    min_bad: int = Field(default=8, ge=1, description="Bad deployments needed in training.")
    holdout: Share = Field(default=0.30, description="The last share of the deployments, kept for the test.")
    shadow_good: int = Field(default=110, ge=1, description="Good deployments in all, from which a limit may be run dry.")
    adopt_good: int = Field(default=150, ge=1, description="Good deployments in all, from which a limit may be adopted.")
    test_good: int = Field(default=45, ge=1, description="Good deployments in the test, under which an unproven cap allows a dry run only.")
    material_difference: float = Field(default=0.01, gt=0, description="Smallest limit ever recommended for a difference or a share.")
    material_ratio: float = Field(default=0.10, gt=0, description="The same for a ratio, above 1.")
    max_factor: float = Field(default=2.0, gt=1, description="A cycle moves a positive limit by this factor at most.")
    expires_after: Stretch = Field(default=timedelta(days=90), description="How long a recommendation holds.")
    unit: Literal["service_class", "service"] = Field(default="service_class", description="For whom one limit is found.")
    bootstrap: int = Field(default=400, ge=50, description="Resamples of clusters.")
    clusters_by_service: int = Field(default=20, ge=2, description="Services from which on they are clusters.")
    drift_days: int = Field(default=30, ge=1, description="The last days that are held against all before.")
    drift_level: Share = Field(default=0.025, description="p under which two periods differ.")
    drift_good: int = Field(default=8, ge=2, description="Good deployments under which drift is not tested.")
    false_stop_minutes: float = Field(default=30.0, ge=0, description="Engineer minutes that a false stop costs.")
    false_stop_delay: float = Field(default=0.0, ge=0, description="Minutes of delay that it adds to them.")
    harm: Literal["failed_requests", "user_minutes"] = Field(default="failed_requests", description="What harm is counted in.")
    failed_requests_per_engineer_minute: float | None = Field(
        default=None, gt=0, description="The exchange rate: so much harm is worth one engineer minute. Without one no gain can be stated."
    )

    def min_good(self, m: int) -> int:
        """Good deployments needed in training when δ is split over m candidates: fewer cannot bound α."""
        return math.ceil(math.log(self.delta / m) / math.log(1 - self.alpha))
