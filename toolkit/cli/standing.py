"""The command that says how services stand: could they be rolled back now?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from toolkit.cli.options import Json, Service, Where, opened, say_if_stale
from toolkit.cli.output import print_json, print_table, talk

if TYPE_CHECKING:
    from toolkit.metrics.readiness import Answer, Ready

__all__ = ["readiness"]


def readiness(
    *,
    service: Service = None,
    environment: Annotated[str | None, Parameter(help="Only this production environment.")] = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Could we roll this back now? A row a service and production environment, each answer with what shows it.

    With --service, each answer comes with what shows it, which is always in the JSON.

    yes: there is a version that ran well, nothing stands in the way, and a rollback, a drill or a rollback test has worked within 90
    days. no: there is nothing good to go back to, or a migration that cannot be taken back lies between. not known: nobody has tried
    the way back lately. As of the end of the data.
    """
    from toolkit.metrics.readiness import QUESTIONS, could_roll_back

    place = opened(workspace)
    say_if_stale(place)
    rows = could_roll_back(place, service=service, environment=environment)
    if as_json:
        print_json([_as_object(row) for row in rows])
        return 0
    several = len({row.environment for row in rows}) > 1
    columns = ["service", *(["environment"] if several else []), "back now?", "runs", "back to", *QUESTIONS.values()]
    print_table(columns, ([*_place(row, several), *(_cell(row.answers[name], service is not None) for name in QUESTIONS)] for row in rows))
    if rows:
        talk(f"As of {rows[0].at:%Y-%m-%d %H:%M} UTC.")
    return 0


def _place(row: Ready, several: bool) -> list[str]:
    where = [row.environment] if several else []
    return [row.service, *where, row.word, row.running, row.target or ""]


def _cell(answer: Answer, evidence: bool) -> str:
    shows = f" ({', '.join(answer.evidence)})" if answer.evidence and evidence else ""
    return f"{answer.word}: {answer.said}{shows}"


def _as_object(row: Ready) -> dict[str, Any]:
    answers = {
        name: {"answer": answer.word, "said": answer.said, "days": answer.days, "evidence": answer.evidence}
        for name, answer in row.answers.items()
    }
    about = {"service": row.service, "environment": row.environment, "ready": row.word, "running": row.running, "target": row.target}
    return about | {"at": row.at, "answers": answers}
