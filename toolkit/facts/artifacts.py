"""Which deployments shipped the same artifact: identity by digest, version and commit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from toolkit.facts.joins import at_rows

__all__ = ["with_artifacts"]

Row = dict[str, Any]


def with_artifacts(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds `artifact` (a number; null where unknown), `shared` (another row has it too) and `rebuilt`. The frame is in lineage order.

    Most partitions name all their artifacts by one identifier: there, equal text is the same artifact. Where identifiers mix, one
    commit has two digests, or only some rows carry a configuration, the history is walked in order instead.
    """
    strength = (
        pl.when(pl.col("artifact_digest").is_not_null())
        .then(3)
        .when(pl.col("fixed_version").is_not_null())
        .then(2)
        .when(pl.col("vcs_revision").is_not_null())
        .then(1)
    )
    frame = frame.with_columns(strength=strength)
    mixed = (
        frame.lazy()
        .group_by("part")
        .agg(
            strengths=pl.col("strength").max() != pl.col("strength").min(),
            # Rows with no identifier are of unknown artifact whatever configuration they carry.
            configured=pl.col("config_revision").filter(pl.col("strength").is_not_null()).is_not_null().n_unique() > 1,
        )
        .filter(pl.col("strengths") | pl.col("configured"))
        .select("part")
    )
    rebuilt = (
        frame.lazy()
        .filter((pl.col("strength") == 3) & pl.col("vcs_revision").is_not_null())
        .group_by("part", "vcs_revision")
        .agg(two=pl.col("artifact_digest").min() != pl.col("artifact_digest").max())
        .filter("two")
        .select("part")
    )
    walked = pl.concat([mixed, rebuilt]).unique().collect()["part"]
    plain = _by_text(frame)
    if walked.is_empty():
        return plain.with_columns(rebuilt=pl.lit(value=False))
    hard = _by_walk(frame.filter(pl.col("part").is_in(walked.implode())))
    return (
        plain.pipe(at_rows, hard)
        .with_columns(
            artifact=pl.when(pl.col("part").is_in(walked.implode())).then("walked").otherwise("artifact"),
            rebuilt=pl.col("rebuilt").fill_null(value=False),
        )
        .pipe(_with_shared)
        .drop("walked")
    )


def _by_text(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds artifact and shared: equal text in one part, with an equal configuration, is one artifact."""
    name = pl.coalesce("artifact_digest", "fixed_version", "vcs_revision")
    code = _hashed(name) ^ pl.col("part").hash()
    if frame["config_revision"].null_count() < len(frame):
        code = code ^ _hashed(pl.col("config_revision"))
    frame = frame.with_columns(artifact=pl.when(name.is_not_null()).then((code // 2).cast(pl.Int64)))
    frame = _with_shared(frame)
    text = frame.lazy().filter("shared", name.is_not_null()).select("artifact", "part", "config_revision", name=name)
    texts = text.unique().select(pl.col("artifact").is_duplicated().any()).collect().item()
    return _by_rank(frame, name) if texts else frame


def _with_shared(frame: pl.DataFrame) -> pl.DataFrame:
    """Adds shared: another row has the artifact too, or there is none. Sorted, equal ones are neighbours: cheaper than a hash table."""
    ordered = frame["artifact"].sort()
    again = ordered.filter(ordered == ordered.shift(1)).unique()
    return frame.with_columns(shared=pl.col("artifact").is_in(again.implode()).fill_null(value=True))


def _hashed(text: pl.Expr) -> pl.Expr:
    return text.hash()


def _by_rank(frame: pl.DataFrame, name: pl.Expr) -> pl.DataFrame:
    """The same where two texts have one hash."""
    texts = pl.struct("part", "config_revision", name).rank("dense").cast(pl.Int64)
    return frame.with_columns(artifact=pl.when(name.is_not_null()).then(texts)).pipe(_with_shared)


def _by_walk(frame: pl.DataFrame) -> pl.DataFrame:
    columns = ["idx", "part", "artifact_digest", "fixed_version", "vcs_revision", "config_revision"]
    rows = frame.select(columns).to_dicts()
    walked = list(_walk(rows))
    return pl.DataFrame(walked, schema={"idx": frame.schema["idx"], "walked": pl.Int64, "rebuilt": pl.Boolean}, orient="row")


def _walk(rows: list[Row]) -> Iterator[tuple[int, int | None, bool]]:
    # Downwards from -1, where no hash is.
    part, known, numbered = None, list[_Artifact](), -1
    for row in rows:
        if row["part"] != part:
            part, known = row["part"], []
        if not (row["artifact_digest"] or row["fixed_version"] or row["vcs_revision"]):
            yield row["idx"], None, False
            continue
        # Most recently used first: of two artifacts that fit, the one that ran last is meant.
        found = next((artifact for artifact in known if artifact.is_of(row)), None)
        if found is None:
            found = _Artifact(numbered)
            numbered -= 1
        else:
            known.remove(found)
        known.insert(0, found)
        yield row["idx"], found.number, found.gather(row)


class _Artifact:
    """What is known of one artifact so far: it gathers identifiers as deployments carry them."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.names: dict[str, set[str]] = {"artifact_digest": set(), "fixed_version": set(), "vcs_revision": set()}
        self.config: str | None = None

    def is_of(self, row: Row) -> bool:
        if self.config and row["config_revision"] and self.config != row["config_revision"]:
            return False
        for name, known in self.names.items():
            if row[name] and known:
                same = row[name] in known
                if not same and name == "artifact_digest":
                    # A rebuild: the same commit under another digest.
                    return bool(row["vcs_revision"]) and row["vcs_revision"] in self.names["vcs_revision"]
                return same
        return False

    def gather(self, row: Row) -> bool:
        """Takes in the row's identifiers; whether it is a rebuild (another digest than any before)."""
        digests = self.names["artifact_digest"]
        rebuilt = bool(row["artifact_digest"] and digests and row["artifact_digest"] not in digests)
        for name, known in self.names.items():
            if row[name]:
                known.add(row[name])
        self.config = self.config or row["config_revision"]
        return rebuilt
