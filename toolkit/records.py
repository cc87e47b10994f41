"""What a source may say: every record, declared once. Tables, mappings and the data dictionary derive from here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

__all__ = [
    "RECORDS",
    "ActionItem",
    "Artifact",
    "Deployment",
    "FlagChange",
    "Gate",
    "Incident",
    "IncidentEvent",
    "Merge",
    "Owner",
    "Record",
    "Review",
    "Rollback",
    "Sample",
    "Verdict",
]

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
# A clock that is a little ahead is common; one that is a day ahead is a wrong zone or a wrong year.
AHEAD = timedelta(days=1)


# A date that is promised lies ahead, but not beyond anybody's plans.
LATEST_PROMISE = datetime(2100, 1, 1, tzinfo=UTC)


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"{value} has no time zone: write it as {value.isoformat()}Z, or name the zone in the mapping (zone = …)")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value} lies outside the calendar: check the time format") from None


def _valid_time(value: datetime, info: ValidationInfo) -> datetime:
    value = _in_utc(value)
    now = (info.context or {}).get("now") or datetime.now(UTC)
    if not EARLIEST <= value <= now + AHEAD:
        raise ValueError(f"{value:%Y-%m-%d} is not between 2000-01-01 and tomorrow: check the unit and the time format")
    return value


def _promised_time(value: datetime) -> datetime:
    value = _in_utc(value)
    if not EARLIEST <= value <= LATEST_PROMISE:
        raise ValueError(f"{value:%Y-%m-%d} is not between 2000 and 2100: check the unit and the time format")
    return value


def _name(value: str) -> str:
    if not value.strip() or value.strip().lower() in {"nan", "null", "none"}:
        raise ValueError(f"{value!r} names nothing: a name or id is needed")
    return value


def _finite(value: float) -> float:
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError("a number is needed, not NaN or infinity")
    return value


Time = Annotated[datetime, AfterValidator(_valid_time)]
Promised = Annotated[datetime, AfterValidator(_promised_time)]
Name = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_name)]
Text = Annotated[str, Field(max_length=10_000)]
Names = Annotated[list[Name], Field(max_length=200)]
Number = Annotated[int, Field(ge=0, le=2**62)]
Value = Annotated[float, AfterValidator(_finite)]


class Record(BaseModel):
    """A version of one thing a source knows. Key: (source, source_id); the newest by (revised_at, content_hash) is current."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
    table: ClassVar[str]
    # The fields that say when it happened: they bound the stream's coverage and the horizon.
    times: ClassVar[tuple[str, ...]]

    source_id: Name = Field(description="The source's own id; with `source` the key.")
    revised_at: Time | None = Field(None, description="When the source last changed it. Without one: the time of loading.")
    observed_at: Time | None = Field(None, description="When the source itself learnt of it.")
    evidence: Names | None = Field(None, description="Addresses and revisions that show it.")
    confidence: Annotated[Value, Field(ge=0, le=1)] | None = Field(None, description="Between 0 and 1, where it was inferred.")
    inferred_by: Name | None = Field(None, description="The rule that inferred it; empty where the source said it.")


Ended = Literal["succeeded", "failed", "cancelled", "superseded"]
Trigger = Literal["auto", "manual", "unknown"]


class Deployment(Record):
    """One attempt to put an artifact into one environment of one service."""

    table = "deployments"
    times = ("queued_at", "started_at", "finished_at")

    service: Name = Field(description="The service that was deployed.")
    environment: Name = Field("production", description="Where to; a region is an environment.")
    version: Name | None = Field(None, description="Version as people write it; latest, main and stable identify nothing.")
    artifact_digest: Name | None = Field(None, description="Digest of what runs: the strongest identity.")
    artifact_purl: Name | None = Field(None, description="Package URL of the artifact.")
    vcs_revision: Name | None = Field(None, description="Commit the artifact was built from.")
    kind: Literal["release", "rollback", "redeploy", "reapply", "hotfix", "unknown"] | None = Field(
        None, description="As declared by the source; derived where empty."
    )
    status: Literal["queued", "in_progress", "succeeded", "failed", "cancelled", "superseded"] = Field(
        "succeeded", description="How it ended; superseded succeeded once."
    )
    strategy: Literal["recreate", "rolling", "canary", "blue_green", "flag"] | None = Field(None, description="How it was rolled out.")
    trigger: Trigger | None = Field(None, description="Who started it: automation or a person.")
    actor: Name | None = Field(None, description="Pseudonym of who started it.")
    queued_at: Time | None = Field(None, description="When it was asked for.")
    started_at: Time | None = Field(None, description="When it began to change the environment.")
    finished_at: Time | None = Field(None, description="When it ended, well or not.")
    committed_at: Time | None = Field(None, description="Commit time of the oldest change first shipped by it.")
    changes_files: Number | None = Field(None, description="Files changed.")
    changes_lines: Number | None = Field(None, description="Lines changed.")
    changes_review_minutes: Number | None = Field(None, description="Minutes in review.")
    migration: Literal["none", "reversible", "irreversible"] | None = Field(None, description="Schema or data migration it carries.")
    branch: Name | None = Field(None, description="Branch it was built from.")
    labels: Names | None = Field(None, description="Labels of the change, `hotfix` among them.")
    fixes_incident: Name | None = Field(None, description="Incident that it names as the one it fixes.")
    config_revision: Name | None = Field(None, description="Revision of the configuration it ships.")


class Rollback(Record):
    """A declared attempt to get back to an earlier state."""

    table = "rollbacks"
    times = ("decided_at", "started_at", "completed_at", "verified_at")

    service: Name = Field(description="The service that was rolled back.")
    environment: Name = Field("production", description="Where.")
    from_version: Name | None = Field(None, description="What was rolled back.")
    to_version: Name | None = Field(None, description="What was restored.")
    from_digest: Name | None = Field(None, description="Digest of what was rolled back.")
    to_digest: Name | None = Field(None, description="Digest of what was restored.")
    from_committed_at: Time | None = Field(None, description="Commit time of what was rolled back, where that is a commit.")
    mechanism: Literal["redeploy", "gitops", "traffic", "flag", "database", "revert_commit"] = Field(
        "redeploy", description="By what means; revert_commit is code level and never in one number with the others."
    )
    trigger: Trigger | None = Field(None, description="Automation or a person.")
    reason: Text | None = Field(None, description="Why, as stated.")
    decided_at: Time | None = Field(None, description="When it was decided.")
    started_at: Time | None = Field(None, description="When it began.")
    completed_at: Time | None = Field(None, description="When it ended.")
    verified_at: Time | None = Field(None, description="When somebody checked that it worked.")
    incident: Name | None = Field(None, description="Incident that it names.")
    outcome: Literal["succeeded", "failed", "cancelled", "partial"] | None = Field(None, description="As declared.")
    drill: bool = Field(False, description="A rehearsal.")


class Incident(Record):
    """Something that went wrong for users or nearly so."""

    table = "incidents"
    times = ("started_at", "detected_at", "acknowledged_at", "decided_at", "mitigated_at", "resolved_at")

    title: Text | None = Field(None, description="As people wrote it: untrusted text.")
    severity: Name | None = Field(None, description="As the source names it; `maintenance` is planned and never counts.")
    status: Name | None = Field(None, description="As the source names it.")
    services: Names = Field(description="Services it touched.")
    environment: Name | None = Field(None, description="Where; empty means every production environment of its services.")
    declared_by: Name | None = Field(None, description="Pseudonym of who declared it.")
    suspected_deployment: Name | None = Field(None, description="Deployment declared to be the cause.")
    duplicate_of: Name | None = Field(None, description="The incident that this one repeats in the books.")
    started_at: Time | None = Field(None, description="When the impact began.")
    detected_at: Time | None = Field(None, description="First alert, verdict or report.")
    acknowledged_at: Time | None = Field(None, description="First person on it.")
    decided_at: Time | None = Field(None, description="When the remedy was decided.")
    mitigated_at: Time | None = Field(None, description="When the impact ended.")
    resolved_at: Time | None = Field(None, description="When the ticket was closed.")
    detected_by: Literal["machine", "person", "customer"] | None = Field(None, description="Who noticed first.")
    cause: Name | None = Field(None, description="Class of cause; `not_a_deployment` takes every deployment off the list.")
    root_cause: Name | None = Field(None, description="Root-cause tag.")
    alert: Name | None = Field(None, description="Alert or criterion that reported it.")
    criterion_met_at: Time | None = Field(None, description="First time a criterion in force held.")
    fixed_by: Name | None = Field(None, description="Deployment, rollback or flag change that fixed it.")
    impact_users: Number | None = Field(None, description="Users touched.")
    impact_requests: Number | None = Field(None, description="Requests that failed.")


class IncidentEvent(Record):
    """One line of an incident's timeline."""

    table = "incident_events"
    times = ("at",)

    incident: Name = Field(description="The incident it belongs to.")
    type: Literal[
        "started",
        "detected",
        "acknowledged",
        "triaged",
        "contained",
        "decided",
        "switched",
        "rerouted",
        "flag_suspended",
        "mitigated",
        "validated",
        "informed_customers",
        "resolved",
        "reopened",
        "reviewed",
        "note",
    ] = Field(description="What happened.")
    at: Time = Field(description="When.")
    known_at: Time | None = Field(None, description="When the team knew.")
    precision: Literal["second", "minute", "hour", "day"] | None = Field(None, description="How exact `at` is.")
    actor: Name | None = Field(None, description="Pseudonym.")
    text: Text | None = Field(None, description="Untrusted text.")


class FlagChange(Record):
    """One change of a feature flag."""

    table = "flag_changes"
    times = ("at",)

    flag: Name = Field(description="The flag.")
    project: Name | None = Field(None, description="Project of the flag.")
    environment: Name = Field("production", description="Where.")
    action: Name | None = Field(None, description="off, on, update, as the source names it.")
    before: Text | None = Field(None, description="State before.")
    after: Text | None = Field(None, description="State after.")
    kill_switch: bool = Field(False, description="Made to turn a feature off in trouble.")
    service: Name | None = Field(None, description="Service it belongs to.")
    incident: Name | None = Field(None, description="Incident that it names.")
    actor: Name | None = Field(None, description="Pseudonym.")
    at: Time = Field(description="When.")


class Owner(Record):
    """Who answers for a service, and since when."""

    table = "owners"
    times = ()

    service: Name = Field(description="The service.")
    team: Name | None = Field(None, description="Its team.")
    service_class: Name | None = Field(None, alias="class", description="Its class: what rules and criteria hold for it.")
    rota: Name | None = Field(None, description="On-call rota.")
    valid_from: Promised | None = Field(None, description="From when; empty: always.")
    valid_to: Promised | None = Field(None, description="Until when; empty: still.")


class Artifact(Record):
    """One build of a service: what a version's bytes are, and what was done to them before they ran."""

    table = "artifacts"
    times = ("built_at", "signed_at")

    service: Name = Field(description="The service it is a build of.")
    version: Name | None = Field(None, description="Version as people write it.")
    artifact_digest: Name | None = Field(None, alias="digest", description="Digest of the build.")
    vcs_revision: Name | None = Field(None, alias="revision", description="Commit it was built from.")
    built_at: Time | None = Field(None, description="When it was built.")
    signed_at: Time | None = Field(None, description="When it was signed.")


class Gate(Record):
    """One run of a check that an artifact must pass before it may run."""

    table = "gates"
    times = ("started_at", "finished_at")

    service: Name = Field(description="The service.")
    environment: Name | None = Field(None, description="Where it ran, if it ran against an environment.")
    version: Name | None = Field(None, description="Version of the artifact that was checked.")
    artifact_digest: Name | None = Field(None, alias="digest", description="Digest of the artifact that was checked.")
    vcs_revision: Name | None = Field(None, alias="revision", description="Commit that was checked.")
    kind: Literal["unit", "integration", "end_to_end", "contract", "resilience", "chaos", "rollback", "acceptance"] = Field(
        description="What was checked; rollback: that going back works."
    )
    status: Literal["passed", "failed", "skipped", "cancelled", "in_progress"] = Field(description="How it ended.")
    started_at: Time | None = Field(None, description="When it began.")
    finished_at: Time | None = Field(None, description="When it ended.")


class Merge(Record):
    """When a commit reached the main branch, or that it was not there yet."""

    table = "merges"
    times = ("merged_at",)

    service: Name | None = Field(None, description="The service whose code it is; empty: the commit says enough.")
    vcs_revision: Name = Field(alias="revision", description="The commit, as deployments name it.")
    branch: Name | None = Field(None, description="Branch it was made on.")
    merged_at: Time | None = Field(None, description="When it was on the main branch; empty: it was not yet, when it was observed.")
    merged_as: Name | None = Field(None, description="What it is called there, where it was picked or squashed.")
    url: Name | None = Field(None, description="Where the merge can be looked at.")


class Verdict(Record):
    """What a canary judge or a gate said about a deployment."""

    table = "verdicts"
    times = ("at",)

    deployment: Name | None = Field(None, description="The deployment it judges.")
    service: Name = Field(description="The service.")
    environment: Name = Field("production", description="Where.")
    tool: Name | None = Field(None, description="Who judged: the controller or the gate.")
    criterion: Name | None = Field(None, description="The criterion that decided it.")
    decision: Literal["proceed", "pause", "revert", "inconclusive", "error"] = Field(description="What it asked for.")
    score: Value | None = Field(None, description="Score, in the tool's own scale.")
    checks: Number | None = Field(None, description="Evaluations it rests on.")
    at: Time = Field(description="When.")
    overridden_by: Name | None = Field(None, description="Pseudonym of who decided otherwise.")


class Review(Record):
    """A retrospective of an incident, as it was written down."""

    table = "reviews"
    times = ("held_at", "published_at")

    incident: Name = Field(description="The incident it looks back on.")
    url: Name | None = Field(None, description="Where it can be read.")
    state: Literal["planned", "draft", "held", "published"] | None = Field(None, description="How far it is.")
    held_at: Time | None = Field(None, description="When people met.")
    published_at: Time | None = Field(None, description="When it was published.")
    root_causes: Names | None = Field(None, description="Root-cause tags.")


class ActionItem(Record):
    """What a retrospective asked for."""

    table = "action_items"
    times = ("created_at", "closed_at")

    incident: Name | None = Field(None, description="The incident it follows from.")
    review: Name | None = Field(None, description="The review that asked for it.")
    title: Text | None = Field(None, description="Untrusted text.")
    kind: Literal["prevent", "detect", "mitigate", "process", "automation", "test", "runbook", "monitoring"] | None = Field(
        None, description="What it is to change, or by what means."
    )
    owner: Name | None = Field(None, description="Pseudonym of who does it.")
    created_at: Time | None = Field(None, alias="created", description="When it was asked for.")
    due_at: Promised | None = Field(None, alias="due", description="When it is due.")
    closed_at: Time | None = Field(None, alias="closed", description="When it was done.")


class Sample(BaseModel):
    """One point of a series: a table of its own shape, keyed by (service, series, variant, deployment, at)."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)
    table: ClassVar[str] = "samples"
    times: ClassVar[tuple[str, ...]] = ("at",)

    service: Name = Field(description="The service.")
    series: Name = Field(description="What is measured.")
    variant: Literal["baseline", "canary", "all"] = Field("all", description="Which arm.")
    deployment: Name | None = Field(None, description="The deployment it watches.")
    at: Time = Field(description="When.")
    value: Value | None = Field(None, description="A gauge; or use bad and total.")
    bad: Annotated[Value, Field(ge=0)] | None = Field(None, description="Bad events in the step.")
    total: Annotated[Value, Field(ge=0)] | None = Field(None, description="All events in the step.")
    step: Annotated[Value, Field(gt=0)] | None = Field(None, description="Seconds between points.")


RECORDS: dict[str, type[Any]] = {
    "deployment": Deployment,
    "rollback": Rollback,
    "incident": Incident,
    "incident_event": IncidentEvent,
    "flag_change": FlagChange,
    "owner": Owner,
    "artifact": Artifact,
    "gate": Gate,
    "merge": Merge,
    "verdict": Verdict,
    "review": Review,
    "action_item": ActionItem,
    "sample": Sample,
}
