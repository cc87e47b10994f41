import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="A tour")

with app.setup:
    import marimo as mo
    import polars as pl

    import toolkit as kg
    from toolkit import charts


@app.cell
def _():
    mo.md("""
    # A tour

    The workspace is the one in `KNOWNGOOD_WORKSPACE`, else the one of this folder. `knowngood demo` makes one to look around in:
    `KNOWNGOOD_WORKSPACE=.demo marimo edit notebooks/01_tour.py`
    """)
    return


@app.cell
def _():
    w = kg.open()
    window = "26w"
    numbers = kg.measure(w, window=window)
    numbers.select("group", "metric", "value", "low", "high", "n", "unit", "note")
    return window, numbers, w


@app.cell
def _():
    mo.md("""
    Every number has a 95 % interval and the rows it rests on. A value that is missing is not known, and its note says why.

    A number taken apart:
    """)
    return


@app.cell
def _(window, w):
    success = kg.explain(w, "rollback_success_rate", window=window)
    mo.md(f"**{success.title}**: {success.definition}\n\n{success.formula}")
    return (success,)


@app.cell
def _(success):
    # What was left out, and why: nothing leaves a number silently.
    success.excluded
    return


@app.cell
def _(success, w):
    # Where the minutes go: detection, decision and action, week by week.
    inside = pl.col("at").is_between(success.start, success.end, closed="left") & pl.col("production")
    incidents = w.facts.incidents.filter(inside & ~pl.col("planned")).collect()
    weeks = charts.phase_minutes(incidents, success.start, success.end)
    charts.where_the_minutes_go(weeks, success.start, success.end)
    return


@app.cell
def _(window, success, w):
    weekly = kg.measure(w, "time_to_decide", every="1w", window=window)
    charts.trend(weekly.filter(pl.col("metric") == "time_to_decide"), success.start, success.end)
    return


@app.cell
def _(window, numbers, w):
    name = "change_failure_rate"
    whole = numbers.filter(pl.col("metric") == name)["value"].item()
    charts.by_service(kg.measure(w, name, by="service", window=window), total=whole, title="Change failure rate")
    return


@app.cell
def _(window, w):
    # This window against the one before: what changed, how surely, and what could not have been seen.
    kg.compare(w, "time_to_decide", "rollback_success_rate", "change_failure_rate", window=window)
    return


if __name__ == "__main__":
    app.run()
