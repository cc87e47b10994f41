import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Anatomy of a recovery")

with app.setup:
    import marimo as mo
    import polars as pl

    import toolkit as kg
    from toolkit import charts
    from toolkit.review import findings_of
    from toolkit.review.timeline import picture_of


@app.cell
def _():
    mo.md("""
    # Anatomy of a recovery

    From the first harm to known good: what was noticed when, what was decided, what was done. Here of the
    incident that took longest of those that a rollback ended.
    """)
    return


@app.cell
def _():
    w = kg.open()
    ended = w.facts.incidents.filter(
        pl.col("production") & ~pl.col("planned") & (pl.col("remedy") == "rollback") & pl.col("whole").is_not_null() & ~pl.col("open")
    )
    longest = ended.sort("whole", descending=True).select("id", "title", "services", "detect", "decide", "act", "whole").collect()
    longest.head(10)
    return longest, w


@app.cell
def _(longest, w):
    found = findings_of(w.facts, w.meta, longest["id"][0])
    start, end = picture_of(found.incident, found.timeline, found.horizon)
    charts.phases_bar(found.phases, start, end)
    return end, found, start


@app.cell
def _(found):
    mo.md(f"""
    {charts.phases_in_words(found.phases)}

    ## What happened, and how it is known

    Declared by a source, or derived by a rule: the shape of a mark says which.
    """)
    return


@app.cell
def _(end, found, start):
    charts.lanes(found.timeline, start, end)
    return


@app.cell
def _(found):
    # What may have caused it, with the evidence for each.
    found.candidates
    return


@app.cell
def _(w):
    # Is it like the others? Medians and 90th percentiles of the last half year, in minutes.
    kg.measure(w, "time_to_detect", "time_to_decide", "time_to_act", "time_to_recover", window="26w").select(
        "metric", "value", "low", "high", "n", "censored"
    )
    return


if __name__ == "__main__":
    app.run()
