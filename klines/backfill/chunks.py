"""A backfill's work in pieces: which gaps are worked off together, and what that will cost. Pure; no clock."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from klines.binance.files import File, Life, files_for
from klines.interval import DAY, INTERVALS, Interval
from klines.market import Market
from klines.outcome import Tally
from klines.want import NO_BEGIN, Begin, pages
from klines.window import Window, intersect, merge, subtract

MOST_CHUNKS = 200
"""Task runs of one run: enough to watch it move, and little for Prefect's server."""
LEAST_SLOTS = 130_000
"""A chunk is at least so large, about a quarter of 1m klines of one symbol, or all there is of a symbol."""
_BYTES_A_KLINE = 50
KLINES_A_SECOND = 400_000


@dataclass(eq=False, slots=True)
class Piece:
    """Gaps of one series, and, filled in while they are worked off, what is left of them and why.

    `source` is `auto`, `archive` or `rest`. `last_ms` is the open time of the exchange's last kline, `begin` when its
    klines begin, None where it could not be asked; `is_known` tells whether it knows the symbol; of `empty` REST has
    had nothing before. A name that is used again was not traded `between` two lives. Where all files of a symbol that
    the exchange does not know were listed, they are of these `spans`, and without the klines of `void`.
    """

    symbol: str
    gaps: list[Window]
    life: Life
    source: str
    last_ms: int | None = None
    begin: Begin = NO_BEGIN
    is_known: bool = True
    empty: Sequence[Window] = ()
    between: Window | None = None
    spans: Sequence[Window] = ()
    void: list[Window] = field(default_factory=list, init=False)
    left: list[Window] = field(default_factory=list)
    error: Exception | None = None

    def __post_init__(self) -> None:
        self.left = list(self.gaps)

    @property
    def is_listed(self) -> bool:
        """Whether its files were listed."""
        return bool(self.spans)

    @property
    def name(self) -> str:
        """`BTCUSDT 2024-01-01 to 2024-03-31`."""
        return f"{self.symbol} {days_of(Window(self.gaps[0].start_ms, self.gaps[-1].end_ms))}"


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """The pieces of one task run, under a name for people."""

    name: str
    pieces: Sequence[Piece]


@dataclass(frozen=True, slots=True)
class Work(Tally):
    """What gaps cost: klines wanted, files and their bytes, REST pages and their weight."""

    klines: int = 0
    monthly: int = 0
    daily: int = 0
    megabytes: float = 0.0
    pages: int = 0
    weight: int = 0

    def seconds(self, weight_per_minute: float) -> float:
        """How long it takes at least: the weight within the limit, the klines on two cores."""
        minutes = -(-self.weight // max(1, int(weight_per_minute))) - 1
        return max(60.0 * minutes, self.klines / KLINES_A_SECOND)


NOTHING = Work()


def chunks(pieces: Sequence[Piece], interval: Interval) -> list[Chunk]:
    """The gaps of the pieces (one a symbol) in at most about MOST_CHUNKS parts, cut between months."""
    slots = sum(slots_of(piece.gaps, interval) for piece in pieces)
    size = max(LEAST_SLOTS, slots // MOST_CHUNKS)
    parts = [part for piece in pieces for part in _cut(piece, interval, size)]
    together = max(1, -(-len(parts) // MOST_CHUNKS))
    groups = [parts[start : start + together] for start in range(0, len(parts), together)]
    return [Chunk(_name(group), group) for group in groups]


def work(piece: Piece, market: Market, interval: Interval) -> Work:
    """What the piece will cost if every file is there and in order."""
    left, files = piece.left, []
    for is_month in (True, False) if piece.source != "rest" else ():
        files += pick(left, piece, market, interval, is_month=is_month)
        left = subtract(left, [window for file in files for window in file.trusted])
    limit = market.page_slots(interval)
    asked = list(pages(left, interval, limit)) if piece.source != "archive" else []
    days = sum(_days(file) for file in files)
    return Work(
        klines=slots_of(piece.left, interval),
        monthly=sum(file.is_month for file in files),
        daily=sum(not file.is_month for file in files),
        megabytes=sum(slots_of(intersect([file.window], [_alive(piece)]), interval) for file in files)
        * _BYTES_A_KLINE
        / 1e6,
        pages=len(asked),
        weight=sum(market.weight(interval.slots(page.start_ms, page.end_ms)) for page in asked)
        + -(-days // market.most_rows) * market.weight(min(days, market.most_rows)),
    )


def pick(left: Sequence[Window], piece: Piece, market: Market, interval: Interval, *, is_month: bool) -> list[File]:
    """The files to load for what is left of a piece; for what REST has not every day that may have it."""
    every = piece.source == "archive"
    files = files_for(left, piece.symbol, market, interval, piece.life, is_month=is_month, every=every)
    if every or is_month or not piece.empty:
        return files
    asked = intersect(left, piece.empty)
    return sorted({*files, *files_for(asked, piece.symbol, market, interval, piece.life, is_month=False, every=True)})


def _alive(piece: Piece) -> Window:
    return Window(piece.life.start_ms, max(piece.life.end_ms, piece.life.start_ms + 1))


def _days(file: File) -> int:
    return (file.window.end_ms - file.window.start_ms) // DAY


def slots_of(gaps: Sequence[Window], interval: Interval) -> int:
    """How many klines fit into windows that are on the grid."""
    return sum(interval.slots(gap.start_ms, gap.end_ms) for gap in gaps)


def _cut(piece: Piece, interval: Interval, size: int) -> Iterator[Piece]:
    """The piece in parts of at least `size` slots, each of whole months."""
    gaps: list[Window] = []
    slots = 0
    for month in _months(piece.gaps):
        gaps += month
        slots += slots_of(month, interval)
        if slots >= size:
            yield replace(piece, gaps=merge(gaps))
            gaps, slots = [], 0
    if gaps:
        yield replace(piece, gaps=merge(gaps))


def _months(gaps: Sequence[Window]) -> Iterator[list[Window]]:
    """The gaps of each month that has any."""
    month, after = INTERVALS["1M"], -1
    for gap in gaps:
        for index in range(max(after, month.index(gap.start_ms)), month.index(gap.end_ms - 1) + 1):
            yield intersect(gaps, [Window(month.start(index), month.start(index + 1))])
            after = index + 1


def _name(pieces: Sequence[Piece]) -> str:
    """`BTCUSDT 2024-01 to 2024-03`, `3 symbols, ADAUSDT to BTCUSDT`."""
    symbols = sorted({piece.symbol for piece in pieces})
    if len(symbols) > 1:
        return f"{len(symbols)} symbols, {symbols[0]} to {symbols[-1]}"
    return f"{symbols[0]} {days_of(Window(pieces[0].gaps[0].start_ms, pieces[-1].gaps[-1].end_ms))}"


def days_of(window: Window) -> str:
    """`2024-01-01`, or `2024-01-01 to 2024-03-31`: the days of a window."""
    times = (window.start_ms / 1000, window.end_ms / 1000 - 0.001)
    first, last = (f"{datetime.fromtimestamp(time, UTC):%Y-%m-%d}" for time in times)
    return first if first == last else f"{first} to {last}"
