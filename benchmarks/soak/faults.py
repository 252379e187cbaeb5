"""What can go wrong at the exchange, by chance: each a word, how long it lasts, and what it does to the stand-in."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from benchmarks.soak.exchange import Exchange, Series
from benchmarks.soak.truth import Values, values
from klines.binance.clocks import AGREE_MS
from tests.exchange.archives import KINDS as SPOILED
from tests.exchange.faults import KINDS, SPOILERS, WHOLE, WIRE

MINUTE_MS = 60_000
LIES = ("cut_close_time",)
"""What an exchange may say, and no client can know to be untrue."""
HEAVY = ("flood", "huge", "gzip_bomb", "hang", "drip")
"""What takes long to send, or as long as a run's patience: once or twice each."""
CODES = (-1000, -1001, -1003, -1006, -1007, -1008, -1016, -1023, -1100, -1102, -1104, -1120, -1130, -4088)
UNKNOWN_SYMBOL, QUARANTINE_S = -1121, 75 * 60
"""After this code a symbol is not asked for during an hour, so it must come so long before the end."""
STATUSES = (400, 404, 408, 418, 451, 500, 502, 503, 504)
BODIES = ("", "null", "0", "[[]]", "[[],[],[]]", '"', "[" * 5000, '{"serverTime":1e400}', "[[null]]", '{"symbols":[]}')
NAMES = ("../../x", "<img src=x>", "", "A" * 500, "\ud800", "A\nB", "币安人生USDT")
SERVER_TIMES = ("0", "-5", "1.5", "true", "1e400", "null", '"now"', "253402300800000")
DATES = ("yesterday", "Thu, 01 Jan 1970 00:00:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT", "")
AHEAD_S = 20 * 60
"""The exchange's clock, and with it its newest kline, is at most so far ahead."""
FELT_S, STILL_S = 1, 120
"""A run that begins so long after a clock was put meets it; and of an exchange that stands still one that begins so
long after that knows it, by the run before."""


@dataclass
class Faults:
    """Makes faults, one at a time of each sort; `earlier` holds what the exchange has corrected."""

    exchange: Exchange
    series: Sequence[Series]
    chance: random.Random
    since_ms: int
    ends_s: float = float("inf")
    """When, by time.monotonic, nothing that lasts may begin any more."""
    earlier: dict[tuple[Series, int], list[Values]] = field(default_factory=dict)
    doubtful: list[tuple[float, float]] = field(default_factory=list)
    """From when to when, in epoch seconds, no run that began and ended may be Completed, as clocks differed."""
    _doubtful_s: float | None = None
    _deck: list[str] = field(default_factory=list)
    _ends: dict[str, tuple[float, Callable[[], object]]] = field(default_factory=dict)
    _refused_s: float = float("-inf")
    _shown_ms: int = 0

    def sorts(self) -> dict[str, tuple[Callable[[], str], int]]:
        """What can happen, and how often it is to be chosen."""
        return {
            "answer": (self.answer, 12),
            "outage": (self.outage, 3),
            "silence": (self.silence, 2),
            "maintenance": (self.maintenance, 1),
            "clock": (self.clock, 4),
            "late": (self.late, 2),
            "hole": (self.hole, 1),
            "correction": (self.correction, 3),
            "archive": (self.archive, 2),
            "ignored": (self.ignored, 1),
        }

    def free(self) -> list[str]:
        """The sorts that nothing of is going on."""
        return [sort for sort in self.sorts() if sort not in self._ends]

    def make(self, sort: str) -> str:
        """Let one happen; in words what it is, empty for nothing."""
        return self.sorts()[sort][0]()

    def end_what_is_over(self) -> list[str]:
        """The sorts that have ended by now."""
        over = [sort for sort, (until_s, _) in self._ends.items() if time.monotonic() > until_s]
        for sort in over:
            if sort == "clock":
                self._settle()
            self._ends.pop(sort)[1]()
        return over

    def lift(self) -> None:
        """End all of them."""
        self._settle()
        self._ends.clear()
        self.exchange.lift()

    def _settle(self) -> None:
        """Clocks are about to agree again."""
        if self._doubtful_s is not None and self._doubtful_s < time.time():
            self.doubtful.append((self._doubtful_s, time.time()))
        self._doubtful_s = None

    def left_s(self) -> float:
        """How much longer something may last."""
        return self.ends_s - time.monotonic()

    def _until(self, sort: str, seconds: float, end: Callable[[], object]) -> None:
        self._ends[sort] = (time.monotonic() + max(1.0, min(seconds, self.left_s())), end)

    def _some_symbol(self, market: str | None = None) -> str:
        return self.chance.choice([one.symbol for one in self.series if market in (None, one.market)])

    def answer(self) -> str:
        """One to three hostile answers' kinds, of one symbol or all."""
        said = [self._answer() for _ in range(self.chance.choice([1, 1, 1, 2, 3]))]
        self._until("answer", self.chance.uniform(20, 100), self.exchange.clear)
        return " and ".join(said)

    def _answer(self) -> str:
        kind = self._next_kind()
        path, options = self._where(kind), self._options(kind)
        symbol = self._some_symbol() if self.chance.random() < 0.7 and path in ("klines", "archive") else None
        times = self.chance.choice([1, 2] if kind in HEAVY else [1, 2, 3, 6, None])
        self.exchange.fault(symbol, kind, times=times, path=path, **options)
        given = "".join(f" {name}={str(value)[:40]!r}" for name, value in options.items())
        return f"{kind}{given} on {path} of {symbol or 'all'}, {times or 'all'} times"

    def _next_kind(self) -> str:
        """Each kind once before any comes again."""
        self._deck = self._deck or self.chance.sample(kinds := [kind for kind in KINDS if kind not in LIES], len(kinds))
        return self._deck.pop()

    def _where(self, kind: str) -> str:
        if kind == "listed":
            return "exchangeInfo"
        if kind in SPOILERS:
            return "klines"
        return self.chance.choice(["klines"] * 6 + ["time", "exchangeInfo", "status", "ping", "archive", "bucket"])

    def _options(self, kind: str) -> dict[str, Any]:
        chance = self.chance
        found: dict[str, dict[str, Any]] = {
            "status": {"status": chance.choice(STATUSES)},
            "code": {"code": chance.choice([*CODES, *([UNKNOWN_SYMBOL] * (self.left_s() > QUARANTINE_S))])},
            "latency": {"seconds": chance.choice([0.5, 2, 5, 12])},
            "age": {"seconds": chance.choice([3, 60, 3600, 10**9])},
            "body": {"body": chance.choice(BODIES)},
            "listed": {"entries": json.dumps([{"symbol": name, "status": "TRADING"} for name in NAMES])},
            "duplicate_unequal": {},
        }
        if found.get(kind, {}).get("status") == 418:
            found["status"]["retry_after"] = chance.choice([5, 20])
        return found.get(kind, {})

    def outage(self) -> str:
        """Nobody is there; now and then for some minutes."""
        seconds = self.chance.choice([3, 10, 30, 60, 60, 150])
        self.exchange.put(down=True)
        self._until("outage", seconds, lambda: self.exchange.put(down=False))
        return f"nobody answers for {seconds} s"

    def silence(self) -> str:
        """429, 418 or 403; the last seldom, as it silences for five minutes that the exchange can't shorten."""
        status = self.chance.choice([429, 429, 418, 403])
        if status == 403 and (time.monotonic() - self._refused_s < 25 * 60 or self.left_s() < 10 * 60):
            status = 429
        if status == 403:
            self._refused_s = time.monotonic()
        options = {} if status == 403 else {"retry_after": self.chance.choice([1, 5, 20, 45])}
        self.exchange.fault(None, "status", status=status, times=1, **options)
        self._until("silence", 90, self.exchange.clear)
        return f"{status} {options or ''}".strip()

    def maintenance(self) -> str:
        """What /sapi says of the system."""
        seconds = self.chance.uniform(20, 70)
        self.exchange.put(maintenance=True)
        self._until("maintenance", seconds, lambda: self.exchange.put(maintenance=False))
        return f"maintenance for {seconds:.0f} s"

    def clock(self) -> str:
        """One of the exchange's clocks, or all of it, is put."""
        chance, seconds = self.chance, self.chance.uniform(40, 160)
        sort = chance.choice(["all", "all", "date", "no date", "odd date", "odd time", "other time", "stands still"])
        by_s = chance.choice([-1, 1]) * chance.choice([1, 4, 7, 40, 70, 300, AHEAD_S])
        now_ms = self.exchange.now_ms()
        end: Callable[[], object] = lambda: self.exchange.put(date_offset_ms=0, date=None, server_time=None)  # noqa: E731
        if sort == "all":
            by_s = min(by_s, int(max(0, self.left_s())))
            self._shown_ms = max(self._shown_ms, now_ms + int((by_s + seconds) * 1000))
            self.exchange.set_clock(by_s * 1000)
            end = self.exchange.set_clock
        elif sort == "stands still":
            self.exchange.freeze(now_ms)
            end = self.exchange.set_clock
        else:
            odd: dict[str, dict[str, Any]] = {
                "date": {"date_offset_ms": by_s * 1000},
                "no date": {"date_offset_ms": None},
                "odd date": {"date": chance.choice(DATES)},
                "odd time": {"server_time": chance.choice(SERVER_TIMES)},
                "other time": {"server_time": str(now_ms + by_s * 1000)},
            }
            self.exchange.put(**odd[sort])
        felt_s = self._felt_s(sort, by_s, seconds)
        self._doubtful_s = None if felt_s is None else time.time() + felt_s
        self._until("clock", seconds, end)
        by = f" by {by_s:+} s" if sort in ("all", "date", "other time") else ""
        return f"{sort}{by} for {seconds:.0f} s"

    @staticmethod
    def _felt_s(sort: str, by_s: float, seconds: float) -> float | None:
        """After how long every run has to doubt the clocks; None where it need not: all may be put together, and a time
        that stands still ahead of the others is right for a moment."""
        agree_s = AGREE_MS / 1000
        is_far = abs(by_s) > agree_s if sort == "date" else by_s < -agree_s or by_s > seconds + agree_s
        if sort in ("odd date", "odd time") or (sort in ("date", "other time") and is_far):
            return FELT_S
        return STILL_S if sort == "stands still" else None

    def late(self) -> str:
        """Klines show late."""
        by_s = self.chance.choice([1, 3, 10, 40, 90, 200])
        symbol = self._some_symbol() if self.chance.random() < 0.6 else None
        self.exchange.late(by_s * 1000, symbol)
        self._until("late", self.chance.uniform(60, 200), lambda: self.exchange.late(0, symbol))
        return f"{symbol or 'all'} by {by_s} s"

    def hole(self) -> str:
        """Some minutes to come of which there never is a kline; after whatever the exchange's clock has shown."""
        symbol = self._some_symbol() if self.chance.random() < 0.7 else None
        start_ms = max(self.exchange.now_ms(), self._shown_ms, int(time.time() * 1000)) // MINUTE_MS * MINUTE_MS
        start_ms += self.chance.randint(2, 3) * MINUTE_MS
        minutes = self.chance.choice([1, 1, 2, 4])
        if (start_ms - time.time() * 1000) / 1000 + 60 * minutes > self.left_s() - 300:
            return ""
        self.exchange.hole(start_ms, start_ms + minutes * MINUTE_MS, symbol)
        self._until("hole", 240, lambda: None)
        return f"{minutes} min of {symbol or 'all'} from {datetime.fromtimestamp(start_ms / 1000, UTC):%H:%M}"

    def correction(self) -> str:
        """A kline that is closed has other values from now on."""
        one = self.chance.choice(self.series)
        now_ms = min(self.exchange.now_ms(), int(time.time() * 1000))
        back_ms = int(self.chance.choice([MINUTE_MS * 60, now_ms - self.since_ms]) * self.chance.random())
        minute_ms = (now_ms - back_ms) // MINUTE_MS * MINUTE_MS - 30 * MINUTE_MS
        before = self.exchange.correct(one, minute_ms)
        for row in before:
            self.earlier.setdefault((one, row[0]), []).append(values(row))
        return f"{one.symbol} {datetime.fromtimestamp(minute_ms / 1000, UTC):%m-%d %H:%M}" if before else ""

    def archive(self) -> str:
        """A file of a day can't be used, once or twice."""
        one, kind, times = self.chance.choice(self.series), self.chance.choice(SPOILED), self.chance.choice([1, 2, 5])
        day = datetime.now(UTC) - timedelta(days=self.chance.randint(1, 30))
        name = f"{one.symbol}-{one.interval}-{day:%Y-%m-%d}"
        self.exchange.spoil(name, kind, times)
        return f"{name} {kind}, {times} times"

    def ignored(self) -> str:
        """Something that is asked for is not heeded."""
        name, value = self.chance.choice(
            [("startTime", None), ("endTime", None), ("limit", None), ("limit", "3"), ("interval", "15m")]
        )
        self.exchange.ignore(name, value)
        self.exchange.put(silent_ends=self.chance.random() < 0.3)
        self._until("ignored", self.chance.uniform(20, 80), lambda: self.exchange.put(ignored={}, silent_ends=False))
        return f"{name} as {value}"


assert set(LIES) | set(HEAVY) <= {*WHOLE, *WIRE, *SPOILERS}
