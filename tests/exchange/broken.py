"""Rules of Binance that the stand-in can be told to break, as if Binance had changed them."""

from __future__ import annotations

from tests.exchange.market import DAY_MS, Page, Rows

RULES = {
    "pages are as long as asked": "spot's have 900 klines at most, the others' 400",
    "pages end at a thousand": "spot's have one kline more",
    "pages ascend": "those of 100 klines and more come in reverse",
    "pages have their side": "of more klines than fit, spot and usdm give the last, coinm the first",
    "endTime is included": "a kline that opens then is not answered",
    "startTime is included": "a kline that opens then is not answered",
    "the open kline is last": "it comes first",
    "0 is before the first kline": "startTime alone gives the last klines",
    "onboardDate is when it began": "it is a year later",
    "weeks begin on Mondays": "on Sundays",
    "strangers are refused": "a symbol that does not exist has no klines",
    "strangers are -1121": "they are -1100",
    "windows are 200 days wide": "they may be wider",
    "a klines request of spot costs 2": "it costs 4",
    "weight is stated": "no answer does",
    "futures are one pool": "coinm counts for itself",
    "listings go on after a marker": "they begin anew",
    "listings have max-keys": "they have a thousand keys",
    "listings ascend": "they descend",
    "futures' files have headers": "spot's have them, futures' have none",
    "spot's files are in microseconds": "they are in milliseconds, futures' in microseconds",
    "files that are not there are 404": "they are 403",
    "months are 1mo": "they are 1M",
    "files have twelve columns": "they have thirteen",
    "a rate at startTime is included": "it is not answered",
    "days of kinds are their minutes'": "their highest price is another",
}
"""Each with what happens instead."""
LONG = 100
"""Klines of what is called a page."""


def other_page(page: Page, broken: set[str], asked: dict[str, str]) -> Page:
    """The page that is answered while rules about windows are broken."""
    limit, newest = page.limit, page.newest
    if "pages are as long as asked" in broken:
        limit = min(limit, 900 if page.market == "spot" else 400)
    if "pages end at a thousand" in broken and asked.get("limit") == "1001":
        limit = 1001
    if "pages have their side" in broken and asked.keys() >= {"startTime", "endTime"}:
        newest = not newest
    if "0 is before the first kline" in broken and asked.get("startTime") == "0":
        newest = True
    start_ms = page.start_ms + ("startTime is included" in broken and "startTime" in asked)
    end_ms = page.end_ms - ("endTime is included" in broken and "endTime" in asked)
    return page._replace(limit=limit, newest=newest, start_ms=start_ms, end_ms=end_ms)


def other_rows(rows: Rows, page: Page, broken: set[str]) -> Rows:
    """The rows that are answered while rules about rows are broken."""
    if "pages ascend" in broken and len(rows) >= LONG:
        return rows[::-1]
    if "the open kline is last" in broken and len(rows) > 1 and rows[-1][6] >= page.now_ms:
        return [rows[-1], *rows[:-1]]
    if "weeks begin on Mondays" in broken and page.interval == "1w":
        return [[row[0] - DAY_MS, *row[1:6], row[6] - DAY_MS, *row[7:]] for row in rows]
    return rows
