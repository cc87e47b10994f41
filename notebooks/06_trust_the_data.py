import marimo

__generated_with = "0.25.2"
app = marimo.App(app_title="Trust the data")

with app.setup:
    import marimo as mo
    import polars as pl

    import toolkit as kg


@app.cell
def _():
    mo.md("""
    # Trust the data

    What was seen, what was kept aside, what contradicts itself, and how much of a number was derived rather than said.
    """)
    return


@app.cell
def _():
    w = kg.open()
    pl.DataFrame({"record": list(w.meta["records"]), "rows": list(w.meta["records"].values())})
    return (w,)


@app.cell
def _(w):
    # What was really seen: a stretch for each source and kind of record, and the gaps. Assumed: from its first event to its last.
    w.ledger.coverage()
    return


@app.cell
def _(w):
    # Rows that are no records yet, and why.
    w.ledger.quarantine().group_by("record", "rule").agg(rows=pl.len(), error=pl.col("error").first()).sort("rows", descending=True)
    return


@app.cell
def _(w):
    # What contradicts itself is measured all the same, or left out and named.
    w.facts.health.group_by("record", "rule").agg(rows=pl.len(), example=pl.col("text").first()).sort("rows", descending=True).collect()
    return


@app.cell
def _(w):
    # How the kinds of deployments, and why they count as failed, are known.
    w.facts.deployments.group_by("kind", "kind_source").len("deployments").sort("deployments", descending=True).collect()
    return


@app.cell
def _(w):
    kg.explain(w, "time_to_decide", window="26w").inferred
    return


@app.cell
def _(w):
    # Where nothing can be said, and the reason.
    kg.measure(w, window="26w").filter(pl.col("value").is_null()).select("group", "metric", "note")
    return


if __name__ == "__main__":
    app.run()
