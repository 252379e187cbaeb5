"""The exchange of a soak: the stand-in in a process of its own, whose every switch is worked through a pipe."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from tests.exchange import StandIn
from tests.exchange.market import LENGTH_MS, Page, Rows, floor

FAR_MS = 366 * 86_400_000


class Series(NamedTuple):
    """What is collected of a symbol."""

    market: str
    symbol: str
    interval: str

    @property
    def length_ms(self) -> int:
        """Of a kline."""
        return LENGTH_MS[self.interval]

    def slot(self, time_ms: int) -> int:
        """The open time of the kline that holds this moment."""
        return floor(time_ms, self.interval)


class Soaked(StandIn):
    """The stand-in, with what a soak alone asks of it."""

    def truth(self, series: Series, start_ms: int, end_ms: int, /) -> Rows:
        """Every kline that opens in [start, end), as it is, or will be, when it has closed."""
        return self.rows(
            Page(
                series.market,
                series.symbol,
                series.interval,
                start_ms,
                end_ms - 1,
                10**9,
                False,
                self.now_ms() + FAR_MS,
            )
        )

    def correct(self, series: Series, minute_ms: int) -> Rows:
        """Trade more in a minute than was said before: the kline over it as it was, empty where none is."""
        slot_ms = series.slot(minute_ms)
        before = self.truth(series, slot_ms, slot_ms + series.length_ms)
        minutes = self.truth(series._replace(interval="1m"), minute_ms, minute_ms + 60_000)
        if minutes:
            row = minutes[0]
            self.restate(series.symbol, minute_ms, volume=f"{float(row[5]) + 1:.8f}", trades=int(row[8]) + 1)
        return before if minutes else []

    def served(self) -> Counter[int]:
        """How many requests were answered with each status since this was asked last."""
        requests, self.requests = self.requests, []
        return Counter(request.status for request in requests)

    def put(self, **values: Any) -> None:
        """Set attributes."""
        for name, value in values.items():
            assert hasattr(self, name), name
            setattr(self, name, value)

    def lift(self) -> None:
        """End every fault but holes and corrections, which are the truth from then on."""
        self.clear()
        self.set_clock()
        self.put(maintenance=False, down=False, date_offset_ms=0, date=None, server_time=None, silent_ends=False)
        self.ignored, self._late_ms, self._spoiled = {}, {}, {}


class Exchange:
    """The other end of the pipe: `exchange.fault(…)` is called over there."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()
        self.url: str = pipe.recv()

    def truth(self, series: Series, start_ms: int, end_ms: int, /) -> Rows:
        """Every kline that opens in [start, end), as it is when it has closed."""
        found: Rows = self._asked("truth", series, start_ms, end_ms)
        return found

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            return self._asked(name, *arguments, **options)

        return call

    def _asked(self, name: str, *arguments: Any, **options: Any) -> Any:
        with self._lock:
            self._pipe.send((name, arguments, options))
            answer = self._pipe.recv()
        if isinstance(answer, Exception):
            raise answer
        return answer


@contextmanager
def exchange(series: list[Series]) -> Iterator[Exchange]:
    """The exchange that trades these, until the end of the block or of this process."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    child = spawn.Process(target=_serve, args=(theirs, series))
    child.start()
    theirs.close()
    try:
        yield Exchange(ours)
    finally:
        ours.close()
        child.join(10)
        child.kill()


def _serve(pipe: Connection, series: list[Series]) -> None:
    """Do what is asked for until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with contextlib.suppress(EOFError), Soaked(()) as standin:
        for market, symbol, _ in series:
            standin.list(symbol, markets=(market,))
        pipe.send(standin.url)
        while True:
            name, arguments, options = pipe.recv()
            try:
                answer = getattr(standin, name)(*arguments, **options)
            except Exception as error:
                answer = error
            pipe.send(answer)
