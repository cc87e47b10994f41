"""Commands that carry criteria to other tools and back, and move them: export, import, criteria."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from toolkit.cli.options import Json, Where, opened
from toolkit.cli.output import print_json, print_table, talk
from toolkit.errors import DataError, UsageError

if TYPE_CHECKING:
    from toolkit.proposals import Proposal
    from toolkit.workspace import Workspace

__all__ = ["criteria", "export", "take_over"]

FINDINGS = 1
criteria = App(name="criteria", help="The criteria in force, and proposals to change them.", help_format="plaintext")
Author = Annotated[str, Parameter(help="Who you are.")]


def export(
    what: Annotated[str, Parameter(help="criteria.")] = "criteria",
    *,
    to: Annotated[str, Parameter(help="prometheus, argo-rollouts, flagger, openslo or sloth.")],
    criterion: Annotated[str | None, Parameter(help="Only this one; else all in force that the format can say.")] = None,
    service: Annotated[str | None, Parameter(help="For this service.")] = None,
    query: Annotated[list[str] | None, Parameter(negative="", help="series=PROMQL or series/variant=PROMQL; may be repeated.")] = None,
    events: Annotated[list[str] | None, Parameter(negative="", help="The same for the number of events behind it.")] = None,
    step: Annotated[str, Parameter(help="Time between evaluations, where the criterion does not say.")] = "1m",
    workspace: Where = None,
) -> int:
    """Criteria in the language of the tool that acts on them, each with its certificate; what it would decide otherwise is said."""
    from toolkit.criteria.spans import span
    from toolkit.exports import FORMATS, Queries

    if what != "criteria":
        raise UsageError(f"{what!r} cannot be exported. Write `knowngood export criteria --to …`.")
    if to not in FORMATS:
        raise UsageError(f"No format {to!r}. There are: {', '.join(FORMATS)}.")
    place = opened(workspace)
    queries = Queries(service, _pairs(query), _pairs(events))
    texts = []
    for one in _chosen(place, criterion):
        try:
            made = FORMATS[to].write(one, queries, (one.step or span(step)).total_seconds())
        except UsageError as error:
            if criterion is not None:
                raise
            talk(error.message)
            continue
        certificate = _certificate(place, one)
        texts.append("".join(f"# differs: {said}\n" for said in made.differences) + certificate.comment() + made.text)
    if not texts:
        raise UsageError("No criterion in force can be said in this format.")
    print("---\n".join(texts) if to != "prometheus" else _one_file(texts), end="")
    return 0


def take_over(
    file: Annotated[Path, Parameter(help="A rule file of another tool.")],
    *,
    as_: Annotated[str, Parameter(name="--as", help="prometheus, argo-rollouts, flagger, openslo or sloth.")],
    author: Annotated[str | None, Parameter(help="Who adopts them; without it they are only shown.")] = None,
    as_json: Json = False,
    workspace: Where = None,
) -> int:
    """Rules of another tool as criteria with exactly its semantics; what could not be taken over is said."""
    from datetime import UTC, datetime

    from toolkit.criteria.policy import Policy
    from toolkit.exports import FORMATS

    if as_ not in FORMATS:
        raise UsageError(f"No format {as_!r}. There are: {', '.join(FORMATS)}.")
    place = opened(workspace)
    try:
        found = FORMATS[as_].read(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8: {error}. Save it as UTF-8.") from error
    except DataError as error:
        raise DataError(f"{file}: {error.message}") from error
    if as_json:
        told = [{"criterion": one.criterion.model_dump(mode="json", by_alias=True), "differences": one.differences} for one in found]
        print_json(told)
    else:
        for one in found:
            print_table([one.criterion.name], [[f"{name} = {value}"] for name, value in _said(one.criterion).items()])
            for said in one.differences:
                talk(f"  differs: {said}")
    if author is not None:
        policy = Policy.read(place.root) or Policy()
        for one in found:
            policy = policy.adopted(one.criterion, since=datetime.now(UTC).date(), by=author, why=f"Taken over from {file.name}.")
        talk(f"Written to {policy.save(place.root)}.")
    return 0


@criteria.command(name="list")
def listed(*, as_json: Json = False, workspace: Where = None) -> int:
    """Criteria in force, and proposals."""
    from toolkit.hindsight import in_words
    from toolkit.proposals import proposals

    place = opened(workspace)
    current = _chosen(place, None)
    asked = proposals(place)
    if as_json:
        print_json({"in_force": [_said(one) for one in current], "proposals": [_proposal(one) for one in asked]})
        return 0
    rows = [[one.name, in_words(one), one.service_class or one.service or "all", one.adopted_by, one.since, one.expires] for one in current]
    print_table(["criterion", "rule", "for", "adopted by", "since", "expires"], rows)
    if asked:
        told = ([one.entry.id, one.state, one.criterion.name, one.rule, one.entry.author, one.entry.why] for one in asked)
        print_table(["proposal", "state", "criterion", "rule", "by", "why"], told)
    return 0


@criteria.command(name="propose")
def proposed(
    name: Annotated[str, Parameter(help="The criterion.")],
    *,
    why: Annotated[str, Parameter(help="Why.")],
    author: Author,
    limit: Annotated[float | None, Parameter(help="Its new limit.")] = None,
    n: Annotated[int | None, Parameter(name="--n", help="Evaluations in a row, or checks.")] = None,
    step: Annotated[str, Parameter(help="Time between evaluations, to turn their number into a clock.")] = "1m",
    workspace: Where = None,
) -> int:
    """Ask for another limit or number; somebody else approves."""
    from toolkit.criteria.policy import Policy
    from toolkit.criteria.spans import span
    from toolkit.proposals import propose

    place = opened(workspace)
    policy = Policy.read(place.root) or Policy()
    asked = policy.named(name).at(limit=limit, n=n, step=span(step).total_seconds())
    made = propose(place, asked, author=author, why=why)
    talk(f"Proposal {made.entry.id}: {made.rule}. Somebody else decides: `knowngood criteria approve {made.entry.id} --author …`.")
    return 0


@criteria.command(name="approve")
def approved(id: str, *, author: Author, why: str | None = None, workspace: Where = None) -> int:
    """Approve a proposal of somebody else: the policy file says so from today on."""
    from toolkit.proposals import approve

    done = approve(opened(workspace), id, author=author, why=why)
    talk(f"Approved and written to the policy: {done.rule}. Commit the file, then export it.")
    return 0


@criteria.command(name="reject")
def rejected(id: str, *, author: Author, why: str | None = None, workspace: Where = None) -> int:
    """Decide against a proposal, or take back one's own."""
    from toolkit.proposals import reject

    reject(opened(workspace), id, author=author, why=why)
    talk("Rejected.")
    return 0


@criteria.command(name="check")
def checked(
    *files: Annotated[Path, Parameter(help="Exported files, as they are deployed.")], as_json: Json = False, workspace: Where = None
) -> int:
    """Whether what is deployed is what was agreed: expired, drifted, broken promises. Exit code 1 on findings, fit for a pull request."""
    from toolkit.exports.standing import standing

    found = standing(opened(workspace), {str(path): path.read_text(encoding="utf-8", errors="replace") for path in files})
    if as_json:
        print_json(found)
    elif found:
        print_table(["what", "why", "next"], ([one["what"], one["why"], one["next"]] for one in found))
    else:
        talk("What is in force is what was agreed.")
    return FINDINGS if found else 0


def _chosen(place: Workspace, name: str | None) -> list[Any]:
    from datetime import UTC, datetime

    from toolkit.criteria.policy import FILE, Policy

    policy = Policy.read(place.root)
    if policy is None:
        raise UsageError(f"There is no {FILE}: `knowngood init --policy` begins it with an example.")
    today = datetime.now(UTC).date()
    return [policy.named(name, today)] if name is not None else list(policy.in_force(today))


def _certificate(place: Workspace, criterion: Any) -> Any:
    from toolkit.exports.standing import certificate

    return certificate(place, criterion)


def _one_file(texts: list[str]) -> str:
    """Several rule files as one: Prometheus reads a single document."""
    head, *rest = texts
    return head + "".join("".join(f"{line}\n" for line in text.splitlines() if line != "groups:") for text in rest)


def _pairs(given: list[str] | None) -> dict[str, str]:
    found = {}
    for one in given or ():
        name, sign, text = one.partition("=")
        if not sign or not name.strip() or not text.strip():
            raise UsageError(f"{one!r}: write series=PROMQL.")
        found[name.strip()] = text.strip()
    return found


def _said(criterion: Any) -> dict[str, Any]:
    told: dict[str, Any] = criterion.model_dump(mode="json", by_alias=True, exclude_none=True)
    return told


def _proposal(one: Proposal) -> dict[str, Any]:
    return {
        "id": one.entry.id,
        "state": one.state,
        "criterion": _said(one.criterion),
        "rule": one.rule,
        "author": one.entry.author,
        "why": one.entry.why,
        "decided_by": one.decided_by,
        "digest": one.digest,
        "evidence": one.evidence,
    }
