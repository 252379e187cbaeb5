"""A week of one symbol: its closes, and its gaps with the reason of each. A marimo notebook, and a plain script.

    marimo edit docs/notebook.py     in the browser, to change it
    python docs/notebook.py          from the first cell to the last, as the tests do

It needs marimo and altair: `pip install -e '.[dev]'`. The data is what `klines` has stored; see reading.md.
"""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")


@app.cell
def _():
    import datetime as dt

    import altair as alt
    import marimo as mo
    import polars as pl

    import klines

    return alt, dt, klines, mo, pl


@app.cell
def _(klines, mo):
    stored = klines.symbols(market="spot").filter(interval="1m")
    symbol = mo.ui.dropdown(stored["symbol"].to_list(), value=stored["symbol"][0], label="Symbol")
    mo.vstack([mo.md("# A week and its gaps"), symbol])
    return stored, symbol


@app.cell
def _(dt, klines, symbol):
    end = dt.datetime.now(dt.UTC)
    start = end - dt.timedelta(days=7)
    week = klines.read(symbol.value, start, end, interval="5m", fill="null")  # a slot without a kline has no values
    gaps = klines.gaps(symbol.value, start, end)  # why a kline is not there
    return end, gaps, start, week


@app.cell
def _(end, gaps, pl, start):
    week_start, week_end = (pl.lit(time.replace(tzinfo=None)) for time in (start, end))
    shaded = gaps.select(
        pl.max_horizontal("start_time", week_start).alias("from"),
        pl.min_horizontal("end_time", week_end).alias("to"),
        "reason",
    )
    return (shaded,)


@app.cell
def _(alt, mo, shaded, symbol, week):
    time = alt.X("open_time:T", title="UTC", axis=alt.Axis(format="%d %b %H:%M"))
    price = alt.Y("close:Q", title="Close", scale=alt.Scale(zero=False))
    line = alt.Chart(week).mark_line(strokeWidth=1).encode(time, price)
    reason = alt.Color("reason:N", title="Not stored", scale=alt.Scale(scheme="set1"), legend=alt.Legend(orient="top"))
    shade = alt.Chart(shaded).mark_rect(opacity=0.3)
    shade = shade.encode(x="from:T", x2="to:T", color=reason, tooltip=["reason", "from:T", "to:T"])
    chart = (shade + line).properties(width=900, height=320, title=f"{symbol.value}, 5m")
    mo.vstack([chart])
    return (chart,)


@app.cell
def _(mo, shaded):
    mo.vstack([mo.md("Each shaded stretch is a row of `gaps`:"), mo.ui.table(shaded, selection=None)])
    return


if __name__ == "__main__":
    app.run()
