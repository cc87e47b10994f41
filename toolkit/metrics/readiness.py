"""Could each service be rolled back now? Six questions, each with its answer and what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from toolkit.errors import UsageError
from toolkit.metrics.reading import loaded, published

__all__ = ["PROVEN_FOR", "QUESTIONS", "Answer", "Ready", "could_roll_back"]

Word = Literal["yes", "no", "not known"]
# As long as a test or a drill counts in `rollback_tested_rate`.
PROVEN_FOR = timedelta(days=90)
QUESTIONS = {
    "known_good": "known good to go back to",
    "migration": "no migration in the way",
    "proven": "a way back that worked",
    "rollback_test": "rollback test passed",
    "kill_switch": "kill switch",
    "on_call": "owner on call",
}
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """word: yes, no or not known. said: why, in a few words. evidence: ids of what shows it. days: how long ago, where it has an age."""

    word: Word
    said: str
    evidence: tuple[str, ...] = ()
    days: float | None = None


@dataclass(frozen=True)
class Ready:
    """One service in one production environment, as of `at`.

    word: no where nothing good is left to go back to or a migration stands in the way; yes where the way has lately been shown to
    work, by a rollback, a drill or a test; else not known: nobody has tried it lately.
    """

    service: str
    environment: str
    running: str
    target: str | None
    at: datetime
    answers: Mapping[str, Answer]

    @property
    def word(self) -> Word:
        if "no" in (self.answers["known_good"].word, self.answers["migration"].word):
            return "no"
        proof, test = self.answers["proven"], self.answers["rollback_test"]
        # A test that failed since says more than the rollback that had worked before.
        spoilt = test.word == "no" and test.days is not None and test.days <= PROVEN_FOR.days and test.days < (proof.days or 0.0)
        shown = test.word == "yes" or (proof.word == "yes" and not spoilt)
        return "yes" if shown and self.answers["known_good"].word == "yes" else "not known"


def could_roll_back(w: Any, *, service: str | None = None, environment: str | None = None) -> list[Ready]:
    """A row a service and production environment, by name. Raises UsageError for a service or environment that is not there."""
    w = published(w)
    rows = w.facts.readiness.collect().sort("service", "environment").to_dicts()
    for what, wanted in (("service", service), ("environment", environment)):
        known = sorted({row[what] for row in rows})
        if wanted is not None and wanted not in known:
            raise UsageError(f"No {what} {wanted!r} in production. There are: {', '.join(known) or 'none yet'}.")
        rows = [row for row in rows if wanted in (None, row[what])]
    told = {table for table, count in loaded(w).items() if count}
    return [_ready(row, told) for row in rows]


def _ready(row: Row, told: set[str]) -> Ready:
    answers = {
        "known_good": _known_good(row, "artifacts" in told),
        "migration": _migration(row),
        "proven": _proven(row),
        "rollback_test": _rollback_test(row, "gates" in told),
        "kill_switch": _kill_switch(row, "flag_changes" in told),
        "on_call": _on_call(row, "owners" in told),
    }
    target = row["known_good_version"] or row["known_good"]
    return Ready(row["service"], row["environment"], row["running_version"] or row["running"], target, row["at"], answers)


def _days(row: Row, since: str) -> float:
    return float((row["at"] - row[since]) / timedelta(days=1))


def _ago(days: float) -> str:
    return "today" if days < 1 else f"{days:.0f} d ago"


def _known_good(row: Row, registry: bool) -> Answer:
    if row["known_good"] is None:
        return Answer("no", "no earlier version ran well")
    name, shows = row["known_good_version"] or row["known_good"], (row["known_good"],)
    if row["known_good_artifact"] is not None and row["known_good_digest"] is not None:
        return Answer("yes", f"{name}, in the registry by digest", (*shows, row["known_good_artifact"]))
    if row["known_good_digest"] is None:
        return Answer("not known", f"{name}, deployed without a digest", shows)
    return Answer("no", f"{name} is not in the registry", shows) if registry else Answer("not known", f"{name}; connect builds", shows)


def _migration(row: Row) -> Answer:
    if row["irreversible"] is None:
        return Answer("not known", "nothing to go back to" if row["known_good"] is None else "nobody says what migrates")
    if row["irreversible"]:
        return Answer("no", f"{len(row['irreversible'])} since cannot be taken back", tuple(row["irreversible"]))
    return Answer("yes", "none since")


def _proven(row: Row) -> Answer:
    if row["proven_by"] is None:
        return Answer("no", "never rolled back, never rehearsed")
    days = _days(row, "proven_at")
    return Answer("yes" if days <= PROVEN_FOR.days else "no", _ago(days), (row["proven_by"],), days)


def _rollback_test(row: Row, gates: bool) -> Answer:
    if row["rollback_test"] is None:
        return Answer("no", "none") if gates else Answer("not known", "connect gates")
    days = _days(row, "rollback_test_at")
    passed = row["rollback_test_status"] == "passed"
    said = f"{row['rollback_test_status']} {_ago(days)}"
    return Answer("yes" if passed and days <= PROVEN_FOR.days else "no", said, (row["rollback_test"],), days)


def _kill_switch(row: Row, flags: bool) -> Answer:
    if row["kill_switch"] is None:
        return Answer("no", "none seen") if flags else Answer("not known", "connect flag changes")
    days = _days(row, "kill_switch_at")
    return Answer("yes", f"last used {_ago(days)}", (row["kill_switch"],), days)


def _on_call(row: Row, owners: bool) -> Answer:
    if row["owner"] is None:
        return Answer("no", "nobody answers for it") if owners else Answer("not known", "connect owners")
    if row["rota"] is None:
        return Answer("not known", f"{row['team']}, without a rota", (row["owner"],))
    return Answer("yes", row["rota"], (row["owner"],))
