"""Every kind, market and interval that there is: backfilled, collected and audited, and each kline compared.

    python -m benchmarks.kinds [--markets usdm coinm] [--kinds mark index] [--intervals 1m 1h 1d] [--small]

A series is backfilled from the archive, and by REST where that has nothing; what closed since is collected. All
intervals of a kind are in one database, and audited at once. Then each value, printed as a decimal, is compared with
the one that the stand-in of the exchange published. No time is measured. It ends with 1 where a kline differs, is
missing or is one too many, where a run was not Completed, or where the certificate has an unexplained slot.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.table import line
from klines.errors import BadParameter
from klines.interval import INTERVALS, Interval
from klines.market import KINDS, MARKETS, check_interval, market_of
from klines.outcome import Outcome
from tests.drive import NOON, audit_once, backfill_once, collect_once, ms, query
from tests.exchange import StandIn
from tests.exchange.market import DAY_MS, HOUR_MS, MINUTE_MS, Page, of_kind

CONTRACTS = {"spot": "BTCUSDT", "usdm": "BTCUSDT", "coinm": "BTCUSD_PERP"}
"""Of each market the symbol whose klines the stand-in makes all kinds of."""
PATIENCE_S = 120.0
"""How long an answer may take, and a run five times as long: this is about values, on however slow a machine."""
SMALL = ["1m", "1h", "1d", "1M"]
PRICES, AMOUNTS = (1, 2, 3, 4), (5, 7, 9, 10)
"""Places in a row of the exchange."""
COLUMNS = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume")


class Case(NamedTuple):
    """A market, a kind and an interval, which may be one that there is not."""

    market: str
    kind: str
    interval: str

    @property
    def symbol(self) -> str:
        """As a series of the kind is named."""
        contract = CONTRACTS[self.market]
        pair = contract.partition("_")[0]
        return {"index": pair, "continuous": f"{pair}_PERPETUAL"}.get(self.kind, contract)

    @property
    def refusal(self) -> str:
        """Why there is no such series, or nothing."""
        try:
            market_of(self.market, self.kind)
            check_interval(self.market, self.interval)
        except BadParameter as error:
            return str(error)
        return ""


class Found(NamedTuple):
    """Of a series: how many klines were compared, how many are not as published, what the runs said that were not
    Completed, and the slots that nothing explains."""

    klines: int
    differing: int
    complaints: Sequence[str]
    unexplained: int

    @property
    def is_right(self) -> bool:
        """Whether all is as it should be."""
        return bool(self.klines) and not (self.differing or self.complaints or self.unexplained)


def main() -> None:
    """Run them, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markets", nargs="+", choices=MARKETS, default=list(MARKETS))
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--intervals", nargs="+", choices=INTERVALS, default=list(INTERVALS))
    parser.add_argument("--small", action="store_true", help=f"only {' '.join(SMALL)}")
    options = parser.parse_args()
    intervals = SMALL if options.small else options.intervals
    print(f"| market | kind | {' | '.join(intervals)} |\n|---|---|{'--:|' * len(intervals)}")
    found: list[Found] = []
    for market in options.markets:
        for kind in options.kinds:
            cases = [Case(market, kind, interval) for interval in intervals]
            row = cells(cases, compared([case for case in cases if not case.refusal]), found)
            print(f"| `{market}` | `{kind}` | {' | '.join(row)} |", flush=True)
    line("series that were backfilled, collected and audited", len(found), "")
    line("their klines, each value compared", sum(one.klines for one in found), "")
    line("klines that are not as published", sum(one.differing for one in found), "", limit="0")
    line("series of which a run was not Completed", sum(bool(one.complaints) for one in found), "", limit="0")
    line("slots that nothing explains", sum(one.unexplained for one in found), "", limit="0")
    raise SystemExit(not all(one.is_right for one in found))


def cells(cases: Sequence[Case], ran: Mapping[Case, Found], found: list[Found]) -> list[str]:
    """How many klines of each were compared, or `–` where there is no such series; `found` gets what was found."""
    found += ran.values()
    return [_cell(ran[case]) if case in ran else "–" for case in cases]


def _cell(one: Found) -> str:
    return f"{one.klines:,}" if one.is_right else f"**{one.klines:,}: {told(one)}**"


def told(found: Found) -> str:
    """What is wrong."""
    wrong = [f"{found.differing} differ"] * bool(found.differing) + list(found.complaints)
    return "; ".join([*wrong, *[f"{found.unexplained} unexplained"] * bool(found.unexplained)]) or "no klines"


def compared(cases: Sequence[Case]) -> dict[Case, Found]:
    """Backfill and collect the series of a market and kind, audit them all at once, and compare each."""
    if not cases:
        return {}
    with StandIn([CONTRACTS[cases[0].market]]) as exchange, tempfile.TemporaryDirectory() as folder:
        exchange.set_clock(NOON + 5_000 - int(time.time() * 1000))  # it goes on: of 1s a kline closes meanwhile
        database = Path(folder) / "klines.duckdb"
        runs = {case: filled(exchange, database, case) for case in cases}
        audit = audit_once(exchange, database, request_timeout_s=PATIENCE_S)
        return {case: found_of(exchange, database, case, [*runs[case], audit]) for case in cases}


def filled(exchange: StandIn, database: Path, case: Case) -> list[Outcome]:
    """The runs that backfill and collect a series."""
    start, until = span(INTERVALS[case.interval])
    whose: dict[str, Any] = {"market": case.market, "kind": case.kind, "interval": case.interval}
    whose |= {"request_timeout_s": PATIENCE_S}
    backfilled = backfill_once(exchange, database, [case.symbol], start, until, **whose)
    lookback = timedelta(milliseconds=exchange.now_ms() - ms(until))
    collected = collect_once(exchange, database, [case.symbol], lookback=lookback, deadline_s=5 * PATIENCE_S, **whose)
    return [backfilled, collected]


def found_of(exchange: StandIn, database: Path, case: Case, runs: Sequence[Outcome]) -> Found:
    """What is stored of a series beside what was published."""
    there, held = published(exchange, case, ms(span(INTERVALS[case.interval])[0])), stored(database, case.interval)
    [(unexplained,)] = query(
        database,
        f"SELECT coalesce(sum(unexplained), 0)::BIGINT FROM certificate WHERE interval = '{case.interval}'",
    )
    wrong = [key for key in there.keys() | held.keys() if there.get(key) != held.get(key)]
    complaints = [f"{run.state}: {run.message}" for run in runs if run.state != "Completed"]
    return Found(len(held), len(wrong), complaints, unexplained)


def span(interval: Interval) -> tuple[str, str]:
    """From when to when it is backfilled; from then on until noon of 2026-01-02 it is collected. As short as may be:
    a monthly file or more, of intervals below an hour a daily one, and of 1s an hour by REST."""
    if interval.length_ms == 0 or interval.length_ms > DAY_MS:
        return "2025-07-01", "2025-12-01"
    if interval.length_ms >= HOUR_MS:
        return "2025-11-01", "2025-12-01"
    if interval.length_ms >= MINUTE_MS:
        return "2025-12-31", "2026-01-01"
    return "2026-01-02T11:00", "2026-01-02T11:30"


def published(exchange: StandIn, case: Case, start_ms: int) -> dict[int, list[Decimal | None]]:
    """The values of each kline that has closed, by open time in ms; None where the kind has none."""
    contract, kind = CONTRACTS[case.market], KINDS[case.kind]
    page = Page(case.market, contract, case.interval, start_ms, NOON - 1, 10**9, False, NOON)
    rows = of_kind(exchange.rows(page), kind.route, case.market, contract)
    return {
        row[0]: [
            *(Decimal(row[place]) for place in PRICES),
            *(Decimal(row[place]) if kind.has_volumes else None for place in (*AMOUNTS, 8)),
        ]
        for row in rows
        if row[0] >= start_ms and row[6] < NOON
    }


def stored(database: Path, interval: str) -> dict[int, list[Decimal | None]]:
    """The same of what is stored, up to noon."""
    texts = ", ".join(f"{name}::VARCHAR" for name in (*COLUMNS, "trades"))
    rows = query(
        database,
        f"""SELECT epoch_ms(open_time), {texts} FROM klines
            WHERE interval = '{interval}' AND close_time < epoch_ms({NOON}::BIGINT)""",
    )
    return {open_ms: [None if text is None else Decimal(text) for text in texts] for open_ms, *texts in rows}


if __name__ == "__main__":
    main()
