"""Thresholds: what is in force, what is recommended, and what yours would have done."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import polars as pl
import streamlit as st

from toolkit.charts import setting_bars, threshold_curve
from toolkit.charts.trend import FEW
from toolkit.criteria.policy import FILE, Policy
from toolkit.decision_latency import late, summed
from toolkit.hindsight import Replay
from toolkit.recalibration.bars import HARM, bars
from toolkit.recalibration.firmness import firmness, together
from toolkit.recalibration.report import asked as decision
from toolkit.recalibration.report import sentence
from toolkit.recalibration.units import Unit
from toolkit.thresholds import firings
from toolkit.ui import data, limits, parts
from toolkit.ui.deciding import who
from toolkit.ui.limits import Seen
from toolkit.ui.scope import View
from toolkit.ui.sentences import minutes
from toolkit.untrusted import plain

MINUTES = pl.duration(minutes=1)


def thresholds() -> None:
    whole = data.view()
    if whole is None:
        return
    st.title("Thresholds")
    parts.sample_notice(whole)
    current = limits.policy()
    if current is None or not limits.in_force(whole, current):
        st.info(f"No criterion is in force. Write one into {FILE}, then publish.", title="Nothing to hold against the past")
        st.code("knowngood init --policy     # begins the file with an example\nknowngood publish", language="sh")
        return
    found = chosen(whole, current)
    if not len(found.passages.watched):
        st.info("No deployment in its scope has telemetry that it reads: load samples, then publish.", title="Nothing was seen")
        st.code("knowngood load samples.parquet --as sample", language="sh")
        return
    told()
    key = (whole.version, found.criterion.name, current.text)
    units = limits.known_units(key)
    unit = of_unit(units)
    limit, n = yours(found, unit)
    settings = {"in force": (found.criterion.setting(), found.own), "yours": (limit, n)}
    if unit is not None and unit.found.chosen is not None:
        settings["recommended"] = (unit.found.chosen[1], unit.found.chosen[0])
    replays = {name: limits.replayed(found, current, *setting) for name, setting in settings.items()}
    compared(replays)
    pictures(found, current, n, {name: setting[0] for name, setting in settings.items()})
    recommendation(unit, units, key)
    gallery(found, settings)
    silence(whole, found, replays["in force"])
    unknown(replays["yours"])
    moving(found, limit, n, replays["yours"])
    parts.footer(whole, whole.facts.incidents.filter(pl.col("production")).collect())


def chosen(whole: View, current: Policy) -> Seen:
    """The criterion in question; the address says which."""
    there = limits.in_force(whole, current)
    names = {f"{one.name}{f' · {one.service_class or one.service}' if one.service_class or one.service else ''}": one for one in there}
    name = st.selectbox("Criterion", list(names), key="criterion", bind="query-params", format_func=plain)
    one = names.get(name) or there[0]
    return limits.seen(whole.version, one.name, current.text, (one.service, one.service_class))


def told() -> None:
    """What became of the last decision."""
    if refused := st.session_state.pop("refused", None):
        st.error(plain(refused), title="Not saved")
    if saved := st.session_state.pop("saved", None):
        st.success(plain(saved), title="Saved")


def of_unit(units: list[Unit] | None) -> Unit | None:
    """Whom the recommendation is for."""
    if not units:
        return None
    names = {unit.of: unit for unit in units}
    picked = st.segmented_control("Recommended for", list(names), default=next(iter(names)), required=True, key="unit", bind="query-params")
    return names.get(picked or "", units[0])


def yours(found: Seen, unit: Unit | None) -> tuple[float, int]:
    """A limit and a number to try; both stand in the address, so that the view is a link."""
    _, points = limits.curves(found, found.own)
    low, high = min(points), max(points)
    start = unit.found.chosen[1] if unit is not None and unit.found.chosen is not None else found.criterion.setting()
    left, right = st.columns([5, 2], vertical_alignment="bottom")
    with left:
        step = max((high - low) / 200, 1e-6)
        limit = st.slider(
            "Your limit",
            float(low),
            float(max(high, low + step)),
            float(min(max(start, low), high)),
            step,
            format="%.4g",
            key="limit",
            bind="query-params",
        )
    with right:
        counted = found.criterion.counts or "evaluations"
        n = st.selectbox(
            counted.capitalize(),
            list(found.numbers),
            index=found.numbers.index(found.own) if found.own in found.numbers else 0,
            key="n",
            bind="query-params",
        )
    return float(limit), int(n if n in found.numbers else found.own)


def compared(replays: dict[str, Replay]) -> None:
    """The settings side by side, and each in one sentence."""
    shown = [name for name in ("in force", "recommended", "yours") if name in replays]
    for column, name in zip(st.columns(len(shown)), shown, strict=True):
        told = replays[name].summary
        with column, st.container(border=True, height="stretch"):
            few = told["bad"] < FEW
            st.metric(
                name.capitalize(),
                f"{told['caught']} of {told['bad']}",
                f"{told['false_stops']} of {told['good']} good stopped",
                delta_color="off",
                delta_arrow="off",
                help="Bad releases caught; below, good ones stopped for nothing.",
            )
            most = told["false_stops_at_most"]
            st.caption(f"at most {most:.1%} of good ones" if most is not None else "no good one to judge by")
            at = told["minutes_to_catch"]
            st.caption("too few bad ones to say how fast" if few or at is None else f"half of them within {minutes(at)} of the impact")
    st.markdown(f"##### {plain(replays['yours'].sentence)}")


def pictures(found: Seen, current: Policy, n: int, marks: dict[str, float]) -> None:
    rows, _ = limits.curves(found, n)
    left, right = st.columns(2)
    with left:
        st.subheader("Caught, by limit")
        st.altair_chart(
            threshold_curve(rows, "caught", title="caught", limits=marks), alt="Share of bad releases that each limit would have caught"
        )
    with right:
        st.subheader("Stopped for nothing, by limit")
        chart = threshold_curve(rows, "stops", title="stopped", limits=marks, cap=current.terms.alpha)
        st.altair_chart(chart, alt="Share of good releases that each limit would have stopped, and the cap on it")
    st.caption("With exact 95 % intervals. Full line: in force; dashes: recommended; dots: yours; grey: the cap on false stops.")


def recommendation(unit: Unit | None, units: list[Unit] | None, key: tuple[str, str, str]) -> None:
    st.subheader("Recommended")
    if units is None:
        st.caption("The newest deployments are a test that is looked at once: the journal notes who looked.")
        st.button("Ask the past", on_click=limits.asked, args=(key,))
        return
    if unit is None:
        st.caption("No class of services to recommend for.")
        return
    found = unit.found
    st.markdown(f"**{found.verdict.word.capitalize()}**, for {plain(unit.of)}. {plain(decision(unit))}")
    if found.test is not None and found.chosen is not None:
        st.markdown(f"In the test: {plain(sentence(unit, found.test, found.chosen))}")
        st.markdown(f"In force there: {plain(sentence(unit, found.incumbent_test, found.incumbent))}")
        held_out(unit)
    if (said := together(unit)) is not None:
        st.markdown(plain(said))
    st.markdown("\n".join(f"- `{reason.code}` {plain(reason.says)}" for reason in found.reasons))
    st.markdown("##### How firm that is")
    st.markdown("\n".join(f"- {plain(line)}" for line in firmness(unit)))


def held_out(unit: Unit) -> None:
    """Three bars with intervals: in force against what was chosen, on deployments that had no part in the choice."""
    told = bars(unit)
    names = list(dict.fromkeys(one.what for one in told))
    for column, what in zip(st.columns(len(names)), names, strict=True):
        rows = pl.DataFrame([asdict(one) for one in told if one.what == what], infer_schema_length=None)
        with column:
            st.markdown(f"**{what.capitalize()}**")
            said = "; ".join(f"{row['whose']} {row['says']}" for row in rows.iter_rows(named=True))
            if rows["value"].null_count() < len(rows):
                st.altair_chart(setting_bars(rows, share=what != HARM), alt=f"{what} on the test: {said}")
            st.caption(plain(said))
    st.caption("On the newest deployments, which had no part in the choice; grey: 95 %. Harm is the mean of the bad releases.")


def gallery(found: Seen, settings: dict[str, tuple[float, int]]) -> None:
    """Bad releases with when each setting fires, and what was stopped for nothing."""
    tried = {name: (found.criterion.at(limit=limit, n=n, step=found.step), n) for name, (limit, n) in settings.items()}
    rows = firings(found.labels, found.passages, tried)
    times = {name: (pl.col(f"{name}_t").dt.total_microseconds() / 60e6).round(1) for name in tried}
    shown = rows.select("deployed_at", "service", "deployment", "label", impact=pl.col("start").dt.total_microseconds() / 60e6, **times)
    for title, label in (("Bad releases", "bad"), ("Stopped for nothing", "good")):
        st.subheader(title)
        part = (
            shown.filter(pl.col("label") == label)
            .drop("label", *(["impact"] if label == "good" else []))
            .sort("deployed_at", descending=True)
        )
        if not len(part):
            st.caption("None.")
            continue
        st.caption(
            "Minutes from the deployment until each setting fires; empty: never."
            + (" Impact: until its incident began." if label == "bad" else "")
        )
        st.dataframe(
            part.head(parts.MOST_ROWS),
            hide_index=True,
            placeholder="–",
            alt=f"{title}, newest first, with the minutes until each setting fires",
            column_config={
                "deployed_at": st.column_config.DatetimeColumn("Deployed, UTC", format="YYYY-MM-DD HH:mm", timezone="UTC"),
                **{name: st.column_config.NumberColumn(f"{name.capitalize()}, min", format="%.1f") for name in (*times, "impact")},
            },
        )


def silence(whole: View, found: Seen, own: Replay) -> None:
    """Decision latency of the criterion in force: what acting at once would have saved, and for what price."""
    st.subheader("From the criterion to the decision")
    rows = late(whole.facts.incidents.collect(), own.rows, found.passages.watched, criterion=found.criterion.name)
    told = summed(rows, own.rows).row(0, named=True)
    unsaid = f" Of {told['undecided']} more nobody says when it was decided." if told["undecided"] else ""
    if not told["incidents"]:
        st.caption(f"In no incident did this criterion hold before a decision that is known.{unsaid}")
        return
    saved, low, high = (None if told[name] is None else told[name] / timedelta(minutes=1) for name in ("saved", "low", "high"))
    between = "" if low is None else f" ({minutes(low)} to {minutes(high)})"
    share = f" ({told['stops_low']:.1%} to {told['stops_high']:.1%})" if told["good"] else ""
    first = f"; in {told['people_first']} people were first" if told["people_first"] else ""
    early = f", in {told['early']} it had held before the impact, which is no catch" if told["early"] else ""
    st.markdown(
        f"In {told['incidents']} incidents this criterion held and people decided{first}{early}. Acting on it at once would have saved"
        f" {minutes(saved)}{between} in all, and would have stopped {told['false_stops']} of {told['good']} good releases{share}.{unsaid}"
    )
    shown = rows.select("at", "incident", "met_at", "decided_at", pl.col("minutes", "saved").dt.total_microseconds() / 60e6, "says")
    with st.expander("Incident by incident"):
        st.dataframe(
            parts.legible(shown.sort("at", descending=True).head(parts.MOST_ROWS)),
            hide_index=True,
            placeholder="–",
            alt="Each incident, when the criterion held, when people decided, and what acting at once would have saved",
            column_config={
                "at": st.column_config.DatetimeColumn("Incident, UTC", format="YYYY-MM-DD HH:mm", timezone="UTC"),
                "incident": st.column_config.TextColumn("Which"),
                "met_at": st.column_config.DatetimeColumn("Held, UTC", format="YYYY-MM-DD HH:mm:ss", timezone="UTC"),
                "decided_at": st.column_config.DatetimeColumn("Decided, UTC", format="YYYY-MM-DD HH:mm:ss", timezone="UTC"),
                "minutes": st.column_config.NumberColumn("Between, min", format="%.1f"),
                "saved": st.column_config.NumberColumn("Saved, min", format="%.1f"),
                "says": st.column_config.TextColumn("That is", width="medium"),
            },
        )


def unknown(replay: Replay) -> None:
    st.subheader("What is not known")
    told = replay.summary
    ended = told["good_not_identified"] + told["bad_not_identified"]
    lines = (
        f"{told['bad_without_telemetry']} of {told['bad']} bad releases had no telemetry.",
        f"{told['unknown']} are neither known to be good nor bad; your limit would have stopped {told['unknown_fired']} of them.",
        f"On {ended} that ended early, what it would have done later is not in the data.",
    )
    st.markdown(" ".join(lines))


def moving(found: Seen, limit: float, n: int, replay: Replay) -> None:
    """Propose, and decide about what others proposed."""
    st.subheader("Move it")
    who()
    st.text_input("Why", key="proposal_why", max_chars=2000, placeholder="stands in the policy beside the limit")
    evidence = {name: value for name, value in replay.summary.items() if isinstance(value, int | float)}
    st.button("Propose yours", on_click=limits.propose_this, args=(found, limit, n, evidence))
    for one in limits.open_proposals(found.criterion.name):
        with st.container(border=True):
            st.markdown(f"{plain(one.rule)}: **{one.state}**, proposed by {plain(one.entry.author)}: {plain(one.entry.why or '')}")
            if one.state == "open":
                left, right, _ = st.columns([1, 1, 4])
                left.button("Approve", key=f"approve_{one.entry.id}", on_click=limits.decide, args=(one, "approved"))
                right.button("Reject", key=f"reject_{one.entry.id}", on_click=limits.decide, args=(one, "rejected"))


thresholds()
