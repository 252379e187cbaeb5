"""What `klines status` shows: one screen of a terminal, lines for a pipe, or JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from klines.market import series_name
from klines.outcome import counted, names
from klines.reading.funded import FundingNow
from klines.reading.status import NAMED, Behind, Status
from klines.storage.schema.exact import HOW

Runs = Sequence[Mapping[str, Any]] | None
"""The last runs as Prefect describes them; None where no server answers."""
_WIDE = 200
"""Columns where there is no terminal."""
_GOOD = ("Completed", "Running")


def as_json(found: Status, runs: Runs) -> str:
    """All of it as one JSON object; times are ISO 8601 in UTC."""
    told = None if runs is None else [_run(run) for run in runs]
    doubts = [asdict(doubt) | {"command": doubt.command} for doubt in found.doubts]
    return json.dumps(asdict(found) | {"doubts": doubts, "runs": told}, default=_plain, ensure_ascii=False)


def draw(found: Status, runs: Runs) -> None:
    """Print it."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDE)
    console.print(f"{found.time:%Y-%m-%d %H:%M:%S} UTC   {escape(str(found.database))}   {found.bytes / 1e6:,.1f} MB")
    console.print(_series(found))
    _draw_behind(console, found)
    console.print(f"[b]ledger[/b]      {_ledger(found)}")
    for rates in found.funding:
        console.print(f"[b]funding[/b]     {_funding(rates)}")
    said = [escape(incident.said) for incident in found.incidents]
    console.print(f"[b]incidents[/b]   {'[red]' + '; '.join(said) + '[/red]' if said else 'none is going on'}")
    if found.alarms:
        console.print(
            f"[b]alarms[/b]      [red]{counted(len(found.alarms), 'alarm')} not delivered[/]: {_alarm(found)}"
        )
    if found.bans:
        console.print(f"[b]bans[/b]        [red]{'; '.join(escape(ban.said) for ban in found.bans)}[/red]")
    _draw_doubts(console, found)
    _draw_runs(console, runs)


def _alarm(found: Status) -> str:
    """Of the oldest that waits: whom it was to reach, and why it did not."""
    first = found.alarms[0]
    if not first.attempts:
        return "the next run tells them"
    return f"{escape(first.url)} said {escape(first.last_error or 'nothing yet')} at attempt {first.attempts}"


def _series(found: Status) -> Table:
    table = _table("market", "kind", "interval", "fresh", "late", "stale", "newest kline")
    for one in found.series:
        late = f"[yellow]{one.late}[/]" if one.late else "0"
        stale = f"[red]{one.stale}[/]" if one.stale else "0"
        table.add_row(
            one.market, one.kind, one.interval, f"{one.fresh} of {one.symbols}", late, stale, _time(one.newest)
        )
    return table


def _draw_behind(console: Console, found: Status) -> None:
    number = sum(one.late + one.stale for one in found.series)
    if not number:
        console.print("[b]behind[/b]      nobody")
        return
    console.print(f"[b]behind[/b]      {counted(number, 'symbol')}{f', the first {NAMED}' if number > NAMED else ''}:")
    table = _table("symbol", "state", "lacking", "last kline", "why")
    for one in found.behind:
        name = f"{series_name(one.market, one.kind, one.interval)} {escape(one.symbol)}"
        table.add_row(name, one.state, f"{one.lacking:,}", _time(one.last), _why(one))
    console.print(table)


def _draw_doubts(console: Console, found: Status) -> None:
    """What is not exact yet, and what makes it so."""
    if not found.is_exact:
        console.print(f"[b]exact[/b]       [yellow]amounts are doubles still: {escape(HOW)}[/]")
    if not found.doubtful:
        return
    console.print(
        f"[b]exact[/b]       [yellow]{counted(found.doubtful, 'kline')} may not have Binance's last digits, having been"
        " doubles[/]; these fetch them anew, and say with --dry-run what that costs:"
    )
    for doubt in found.doubts:
        console.print(f"            {doubt.klines:,}: {escape(doubt.command)}", soft_wrap=True)


def _why(one: Behind) -> str:
    """What the ledger says of the first kline that it lacks."""
    if one.reason is None:
        return "not looked into yet; the next run fetches it"
    if one.reason == "due":
        return "due: the next run, or a backfill, fetches it"
    again = "settled" if one.next_check is None else f"asked again at {_time(one.next_check)}"
    return f"{one.reason}; {again}"


def _ledger(found: Status) -> str:
    """Slots by reason."""
    told = [f"{one.reason} {one.slots:,} ({counted(one.series, 'symbol')})" for one in found.ledger]
    return " · ".join(told) or "nothing is missing"


def _funding(found: FundingNow) -> str:
    """`usdm: 10 symbols, the newest rate of 2026-01-02 08:00; none lacks a rate`."""
    newest = "no rate yet" if found.newest is None else f"the newest rate of {_time(found.newest)}"
    lacking = f"[yellow]lacking: {escape(names(found.lacking))}[/]" if found.lacking else "none lacks a rate"
    return f"{found.market}: {counted(found.symbols, 'symbol')}, {newest}; {lacking}"


def _draw_runs(console: Console, runs: Runs) -> None:
    if runs is None:
        console.print("[b]runs[/b]        no Prefect server of ours answers: `klines run` starts one")
        return
    console.print(f"[b]runs[/b]        the last {len(runs)}" if runs else "[b]runs[/b]        none yet")
    table = _table("began", "run", "state", "message")
    for told in map(_run, runs):
        colour = "green" if told["state"] in _GOOD else "red"
        name, state, message = (escape(told[key]) for key in ("name", "state", "message"))
        table.add_row(str(told["began"])[5:19].replace("T", " "), name, f"[{colour}]{state}[/]", message)
    console.print(table)


def _run(run: Mapping[str, Any]) -> dict[str, Any]:
    """What is told of a run."""
    state = run.get("state") or {}
    return {
        "began": run.get("start_time") or run.get("expected_start_time"),
        "name": run.get("name") or "",
        "state": run.get("state_name") or "",
        "message": " ".join((state.get("message") or "").split()),
    }


def _table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in columns:
        is_last = column == columns[-1]
        table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=1 if is_last else None)
    return table


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
