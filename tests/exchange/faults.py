"""Ways in which an answer can be wrong, switched on per symbol or for all.

whole answer   status code html object empty list_error redirect latency age body listed
on the wire    hang drip reset truncate gzip_garbage gzip_bomb huge
in a row       short_row nan negative_volume high_below_low off_grid outside too_many duplicate_equal
               duplicate_unequal descending string_trades cut_close_time
in every row   microseconds another_day floats nulls ten_fields flood
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.exchange.market import DAY_MS, Row, Rows, floor

MESSAGES = {
    -1000: "An unknown error occurred while processing the request.",
    -1001: "Internal error; unable to process your request. Please try again.",
    -1003: "Too much request weight used; current limit is {limit} request weight per 1 MINUTE. Please use WebSocket "
    "Streams for live updates to avoid polling the API.",
    -1006: "An unexpected response was received from the message bus. Execution status unknown.",
    -1007: "Timeout waiting for response from backend server. Send status unknown; execution status unknown.",
    -1008: "Server is currently overloaded with other requests. Please try again in a few minutes.",
    -1016: "This service is no longer available.",
    -1023: "Start time is greater than end time.",
    -1100: "Illegal characters found in parameter '{name}'; legal range is '{legal}'.",
    -1102: "Mandatory parameter '{name}' was not sent, was empty/null, or malformed.",
    -1104: "Not all sent parameters were read; read '{read}' parameter(s) but was sent '{sent}'.",
    -1120: "Invalid interval.",
    -1121: "Invalid symbol.",
    -1122: "Invalid symbolStatus.",
    -1128: "Combination of optional parameters invalid.",
    -1130: "Data sent for parameter '{name}' is not valid.",
    -4088: "Maximum time interval is 200 days.",
    0: "Service unavailable from a restricted location according to 'b. Eligibility' in "
    "https://www.binance.com/en/terms. Please contact customer service if you believe you received this message in "
    "error.",
}
BANNED = (
    "Way too much request weight used; IP banned until {until}. Please use WebSocket Streams for live updates to "
    "avoid bans."
)
CODES = {408: -1007, 418: -1003, 429: -1003, 451: 0, 500: -1000, 503: -1008, 504: -1007}
HTML = "<html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
PAGES = {403: "403 Forbidden", 404: "404 Not Found", 502: "502 Bad Gateway"}
JSON_TYPE, HTML_TYPE = "application/json;charset=UTF-8", "text/html; charset=UTF-8"


@dataclass(slots=True)
class Asked:
    """A request as the rules see it: its parameters, the exchange's clock when it came, and whose address it is of."""

    path: str
    params: dict[str, str]
    headers: dict[str, str]
    now_ms: int
    limit: int = 6000
    address: str = "127.0.0.1"


@dataclass(slots=True)
class Answer:
    """What will be sent: `rows` instead of a body for klines, `raw` or a `file` of the disk for a download; `wire` is a
    fault of the connection."""

    status: int = 200
    body: str = "{}"
    raw: bytes | None = None
    file: Path | None = None
    rows: Rows | None = None
    kind: str = JSON_TYPE
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    wire: str = ""


@dataclass(slots=True)
class Fault:
    """One fault: which requests (`path`, `symbol` or all), how often (`times` left, None: until cleared), and how."""

    symbol: str | None
    kind: str
    times: int | None
    path: str
    options: dict[str, Any]

    @property
    def joins(self) -> bool:
        """Whether it strikes beside others: of the rest, the first alone does, so that n faults make a sequence."""
        return self.kind == "latency" or "open_time_ms" in self.options

    def strike(self, answer: Answer, asked: Asked) -> bool:
        """Spoil the answer; False, and not counted, if it is spent or leaves the answer as it was (no such row)."""
        if self.times == 0:
            return False
        if self.kind in SPOILERS:
            struck = _spoil(self, answer, asked)
        elif self.kind in WIRE:
            answer.wire, struck = self.kind, True
        else:
            WHOLE[self.kind](answer, asked, **self.options)
            struck = True
        if struck and self.times is not None:
            self.times -= 1
        return struck


def error(code: int, status: int = 400, **words: Any) -> Answer:
    """Binance's JSON error."""
    message = MESSAGES.get(code, "Error.").format_map({"limit": 6000, "name": "symbol", "legal": ".*"} | words)
    return Answer(status, json.dumps({"code": code, "msg": message}))


def banned(until_ms: int, now_ms: int) -> Answer:
    """418 with the seconds left and the end (ms) of the ban."""
    body = json.dumps({"code": -1003, "msg": BANNED.format(until=until_ms)})
    return Answer(418, body, headers={"Retry-After": str(-(-(until_ms - now_ms) // 1000))})


def page(status: int, title: str = "") -> Answer:
    """An HTML page, as of a firewall or a proxy."""
    return Answer(status, HTML.format(title=title or PAGES.get(status, str(status))), kind=HTML_TYPE)


def _become(answer: Answer, other: Answer) -> None:
    answer.status, answer.body, answer.rows, answer.kind = other.status, other.body, None, other.kind
    answer.raw = answer.file = None
    answer.headers = other.headers


def _status(answer: Answer, asked: Asked, status: int, code: int | None = None, **options: Any) -> None:
    """A status with the body it comes with, or `body`, and a fault of the `wire`; Retry-After on 429 and 418 unless
    `retry_after=None`."""
    usual = {429: 60 - asked.now_ms // 1000 % 60, 418: 120}.get(status)
    wait_s = options.get("retry_after", usual)
    if status == 418 and code is None:
        _become(answer, banned(asked.now_ms + 1000 * (wait_s or 120), asked.now_ms))
        answer.headers = {}
    elif status not in CODES and code is None:
        _become(answer, page(status))
    else:
        _become(answer, error(CODES[status] if code is None else code, status, limit=asked.limit))
    if wait_s is not None:
        answer.headers["Retry-After"] = str(wait_s)
    answer.body, answer.wire = options.get("body", answer.body), options.get("wire", "")


def _code(answer: Answer, asked: Asked, code: int, status: int = 400, **options: Any) -> None:
    _status(answer, asked, status, code, **options)


def _latency(answer: Answer, _asked: Asked, seconds: float) -> None:
    answer.delay_s += seconds


def _body(answer: Answer, _asked: Asked, body: str) -> None:
    """A success with this text."""
    _become(answer, Answer(body=body))


def _age(answer: Answer, _asked: Asked, seconds: int) -> None:
    """As a cache says how long it has kept the answer."""
    answer.headers["Age"] = str(seconds)


def _listed(answer: Answer, _asked: Asked, entries: str) -> None:
    """More entries in exchangeInfo, as JSON."""
    info = json.loads(answer.body)
    answer.body = json.dumps(info | {"symbols": info["symbols"] + json.loads(entries)})


def _always(make: Callable[[], Answer]) -> Callable[..., None]:
    return lambda answer, _: _become(answer, make())


WHOLE: dict[str, Callable[..., None]] = {
    "status": _status,
    "code": _code,
    "latency": _latency,
    "age": _age,
    "body": _body,
    "listed": _listed,
    "html": _always(lambda: page(200, "Welcome")),
    "object": _always(Answer),
    "empty": _always(lambda: Answer(body="[]")),
    "list_error": _always(lambda: Answer(400, '["something went wrong"]')),
    "redirect": _always(lambda: Answer(302, "", headers={"Location": "/elsewhere"})),
}
WIRE = ("hang", "drip", "reset", "truncate", "gzip_garbage", "gzip_bomb", "huge")


def _set(column: int, value: Callable[[Row], Any]) -> Callable[[Rows, int, Asked], Rows]:
    """A spoiler that changes one field of one row."""

    def spoil(rows: Rows, at: int, _asked: Asked) -> Rows:
        rows[at][column] = value(rows[at])
        return rows

    return spoil


def _short_row(rows: Rows, at: int, _asked: Asked) -> Rows:
    rows[at].pop()
    return rows


def _outside(rows: Rows, _at: int, asked: Asked) -> Rows:
    """A row just before what was asked: before startTime, else before the first row."""
    interval, start_ms = asked.params["interval"], int(asked.params.get("startTime") or rows[0][0])
    start_ms = start_ms // 1000 if start_ms >= 10**14 else start_ms
    return [[floor(start_ms - 1, interval), *rows[0][1:]], *rows]


def _too_many(rows: Rows, _at: int, asked: Asked) -> Rows:
    """100 rows, or one more than asked: the missing ones run back from the first."""
    rows, interval = list(rows), asked.params["interval"]
    while len(rows) < max(100, int(asked.params.get("limit", 500)) + 1):
        rows.insert(0, [floor(rows[0][0] - 1, interval), *rows[0][1:6], rows[0][0] - 1, *rows[0][7:]])
    return rows


def _duplicate(rows: Rows, at: int, _asked: Asked, *, volume: str | None = None) -> Rows:
    twin = list(rows[at])
    twin[5] = twin[5] if volume is None else volume
    return [*rows[: at + 1], twin, *rows[at + 1 :]]


def _cut(row: Row) -> int:
    return int(row[0]) + (int(row[6]) - int(row[0])) // 4


def _every(change: Callable[[Row], Row]) -> Callable[[Rows, int, Asked], Rows]:
    """A spoiler that changes every row."""
    return lambda rows, _at, _asked: [change(row) for row in rows]


SPOILERS: dict[str, Callable[[Rows, int, Asked], Rows]] = {
    "microseconds": _every(lambda row: [row[0] * 1000, *row[1:6], row[6] * 1000, *row[7:]]),
    "another_day": _every(lambda row: [row[0] - DAY_MS, *row[1:6], row[6] - DAY_MS, *row[7:]]),
    "floats": _every(lambda row: [float(row[0]), *row[1:]]),
    "nulls": _every(lambda _: [None] * 12),
    "ten_fields": _every(lambda row: row[:10]),
    "flood": lambda rows, *_: rows * (60_000 // len(rows)),
    "short_row": _short_row,
    "nan": _set(4, lambda _: "NaN"),
    "negative_volume": _set(5, lambda _: "-1.00000000"),
    "high_below_low": _set(2, lambda _: "0.00000001"),
    "off_grid": _set(0, lambda row: row[0] + 789),
    "outside": _outside,
    "too_many": _too_many,
    "duplicate_equal": _duplicate,
    "duplicate_unequal": lambda rows, at, asked: _duplicate(rows, at, asked, volume="1.23456789"),
    "descending": lambda rows, *_: rows[::-1],
    "string_trades": _set(8, lambda row: str(row[8])),
    "cut_close_time": _set(6, _cut),
}
KINDS = (*WHOLE, *WIRE, *SPOILERS)


def _spoil(fault: Fault, answer: Answer, asked: Asked) -> bool:
    """Spoil the row at `open_time_ms`, else the last closed one, else the first; False if there is none."""
    rows = answer.rows
    if not rows:
        return False
    wanted = fault.options.get("open_time_ms")
    closed = [i for i, row in enumerate(rows) if row[6] < asked.now_ms]
    at = closed[-1] if closed else 0
    if wanted is not None:
        at = next((i for i, row in enumerate(rows) if row[0] == wanted), -1)
    if at < 0:
        return False
    spoiled = SPOILERS[fault.kind]([list(row) for row in rows], at, asked)
    answer.rows = spoiled
    return spoiled != rows
