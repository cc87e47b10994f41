"""The parts that pages are made of: a card for a number, the way it came about, what the data covers."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from toolkit.charts import trend
from toolkit.charts.trend import FEW
from toolkit.metrics import METRICS, Explanation
from toolkit.ui import data
from toolkit.ui.scope import Scope, View, emptied_by
from toolkit.ui.sentences import change, interval, quantity, rows_behind
from toolkit.untrusted import plain, shortened, visible

__all__ = ["MOST_ROWS", "SAMPLE", "card", "explained", "footer", "legible", "nothing_in", "sample_notice", "table", "why"]

# A browser table stays quick up to here; the command hands out the rest.
MOST_ROWS = 1_000
# Of one text in a table.
LONGEST = 500
# The name under which the synthetic history is loaded.
SAMPLE = "sample"


def sample_notice(whole: View) -> None:
    """Says so where all that is shown was made up."""
    if list(whole.meta.get("sources") or []) == [SAMPLE]:
        st.badge("Synthetic sample: these services, incidents and people do not exist", color="orange")


def card(
    whole: View,
    scope: Scope,
    label: str,
    now: dict[str, Any],
    before: dict[str, Any],
    compared: dict[str, Any],
    weekly: list[dict[str, Any]],
) -> None:
    """One number: value, change against the window before, its course, its interval, and the way to its rows."""
    few = now["kind"] != "Count" and (now["n"] or 0) < FEW
    moved = None if few else change(now, before)
    # Only what is more than chance gets a colour: red and green for noise teach people to look away.
    better = METRICS[now["metric"]].better if compared["real"] else None
    # A week that the window cuts looks like a crash, or like a boom.
    course = [row["value"] for row in weekly if row["value"] is not None and "partial" not in (row["note"] or "")]
    with st.container(border=True, height="stretch", vertical_alignment="distribute"):
        st.metric(
            label,
            # A median of three says more than it knows.
            rows_behind(now) if few else quantity(now["value"], now["unit"]),
            0 if moved == "0" else moved,
            delta_color="off" if better is None else "normal" if better == "up" else "inverse",
            delta_description=None if moved is None else "vs before",
            chart_data=None if few else course or None,
            chart_type="bar" if now["kind"] == "Count" else "line",
            help=against(scope, compared),
        )
        st.caption("too few to sum up" if few else interval(now))
        if st.button("How this came about", key=f"why_{now['metric']}", type="tertiary"):
            why(whole, scope, now["metric"])


def against(scope: Scope, compared: dict[str, Any]) -> str:
    """How the change against the window before was judged."""
    window = f"Against the {scope.weeks} weeks before"
    if compared["p"] is None:
        return f"{window}: {compared['note'] or 'nothing to compare'}."
    verdict = "more than chance" if compared["real"] else "within what chance does"
    return f"{window}: {verdict} (p {compared['p']:.2g}, {compared['method']}; judged together with the other numbers in this row)."


def why(whole: View, scope: Scope, metric: str) -> None:
    """Open the rows behind a number, over the page."""

    @st.dialog(METRICS[metric].title, width="large")
    def opened() -> None:
        explained(whole, scope, metric)

    opened()


def explained(whole: View, scope: Scope, metric: str) -> None:
    """How a number came about: definition, sum, course, the rows counted and the rows left out with the reason."""
    told = data.explanation(whole, scope, metric)
    st.markdown(told.definition)
    st.code(told.formula, language=None, wrap_lines=True)
    if told.note:
        st.caption(told.note)
    rows = data.measured(whole, scope, (metric,), (told.start, told.end), every="1mo" if scope.weeks > 13 else "1w")
    if rows["value"].count() > 1:
        st.altair_chart(trend(rows, told.start, told.end), alt=f"{told.title} over the window, with its interval")
        st.caption("Bars: 95 % interval. Hollow: fewer than five rows. Periods start where the point stands.")
    counted, left_out, worked_out = st.tabs(
        [f"{len(told.counted):,} rows counted", f"{len(told.rows_excluded):,} left out", "What was inferred"]
    )
    with counted:
        table(told.counted, f"Rows counted for {told.title}")
    with left_out:
        table_of_reasons(told)
    with worked_out:
        if len(told.inferred):
            st.caption("Times and kinds that no source declared, so that a rule had to derive them.")
            share = st.column_config.NumberColumn("Share", format="percent")
            st.dataframe(told.inferred, hide_index=True, column_config={"share": share}, alt="Share of derived values by column")
        else:
            st.caption("Nothing: this number reads no value that a rule can derive.")
    if len(told.gaps):
        st.caption("Within the window nobody was watching here:")
        table(told.gaps, f"Gaps in what {told.title} is counted from")
    st.caption(f"Warehouse {whole.version[:12]}, from {told.start:%-d %B %Y %H:%M} to {told.end:%-d %B %Y %H:%M} UTC")


def table_of_reasons(told: Explanation) -> None:
    """Reasons with their numbers, in the order in which they are tried, then the rows."""
    if not len(told.excluded):
        st.caption("None.")
        return
    st.caption("Each for the first reason that holds.")
    st.dataframe(told.excluded, hide_index=True, alt=f"Reasons for which rows are left out of {told.title}")
    reason = ["id", "reason", *(name for name in told.rows_excluded.columns if name not in {"id", "reason"})]
    table(told.rows_excluded.select(reason), f"Rows left out of {told.title}")


def table(rows: pl.DataFrame, alt: str) -> None:
    """The first rows of a frame, and how many there are when these are not all."""
    if len(rows) > MOST_ROWS:
        st.caption(f"The first {MOST_ROWS:,} of {len(rows):,}.")
    times = {
        name: st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm:ss", timezone="UTC")
        for name, kind in rows.schema.items()
        if isinstance(kind, pl.Datetime)
    }
    st.dataframe(rows.head(MOST_ROWS), hide_index=True, placeholder="–", column_config=times, height=300, alt=alt)


def legible(rows: pl.DataFrame) -> pl.DataFrame:
    """The same rows for a table: text of sources as it is written, without what would reorder or hide it, and not without end."""
    texts = [name for name, kind in rows.schema.items() if kind == pl.String]
    short = {name: pl.col(name).map_elements(lambda text: shortened(visible(text), LONGEST), return_dtype=pl.String) for name in texts}
    return rows.with_columns(**short)


def nothing_in(whole: View, scope: Scope) -> None:
    """A scope without any row: which filter to widen."""
    guilty = [plain(name) for name in emptied_by(whole, scope)]
    st.info("Widen " + ", or ".join(guilty) + "." if guilty else "Take several of the filters off.", title="Nothing in this scope")
    footer(whole, whole.facts.incidents.filter(pl.col("production")).collect())


def footer(whole: View, incidents: pl.DataFrame) -> None:
    """What all numbers above rest on: data through, share of incidents with a known cause, gaps, version."""
    st.divider()
    known = incidents.filter(pl.col("cause_deployment").is_not_null() | pl.col("not_a_deployment"))
    linked = f"{len(known)} of {len(incidents)} incidents linked to a cause" if len(incidents) else "no incidents in scope"
    coverage = pl.DataFrame(whole.meta.get("coverage") or [], infer_schema_length=None)
    gaps = int(coverage["gap"].sum()) if "gap" in coverage.columns else 0
    through = f"Data through {whole.horizon:%-d %B %Y %H:%M} UTC ({whole.meta.get('horizon_source') or 'horizon'})"
    st.caption(f"{through} · {linked} · {gaps or 'no'} gap{'' if gaps == 1 else 's'} · warehouse {whole.version[:12]}")
    if len(coverage):
        with st.expander("What each source covers"):
            st.dataframe(coverage, hide_index=True, alt="Coverage of each stream, with its gaps")
