"""What the stand-in trades: deterministic klines of any symbol and time, and the irregularities a test asks for.

Values are integers in units of 1e-8 made by arithmetic on a hash of the symbol and the number of the minute, so the
same kline has the same values in every process. Nothing here reads a clock: `now_ms` is an argument.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import polars as pl

from tests.exchange import bulk
from tests.exchange.bulk import UNIT

Row = list[Any]
"""The 12 fields of REST, see FIELDS."""

Rows = list[Row]

Units = tuple[int, ...]
"""open_time_ms, open, high, low, close, volume, quote volume, trades, taker volume, taker quote volume; 1e-8 each."""

Klines = list[Units]

FIELDS = (
    *("open_time", "open", "high", "low", "close", "volume", "close_time", "quote_volume", "trades"),
    *("taker_buy_volume", "taker_buy_quote_volume", "ignore"),
)

MANY = 1500
"""So many klines and more are made by columns; fewer are sooner made one by one."""
AMOUNT = "%d.%08d"
SECOND_MS, MINUTE_MS, HOUR_MS, DAY_MS = 1_000, 60_000, 3_600_000, 86_400_000
LENGTH_MS = {"1s": SECOND_MS} | {f"{n}m": n * MINUTE_MS for n in (1, 3, 5, 15, 30)}
LENGTH_MS |= {f"{n}h": n * HOUR_MS for n in (1, 2, 4, 6, 8, 12)} | {f"{n}d": n * DAY_MS for n in (1, 3)}
LENGTH_MS |= {"1w": 7 * DAY_MS, "1M": 31 * DAY_MS}  # 1M: its longest; the true length is the calendar's

PHASE_MS = {"1w": 4 * DAY_MS, "3d": DAY_MS}
"""1970-01-05 was a Monday. The exchange's phase of 3d is not documented: here it is one day off the epoch, so that a
client which computes 3d open times by a plain modulo is found out."""

FIRST_LISTING_MS = 1_502_928_000_000  # 2017-08-17
QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY", "USD")
PRICES = {"BTC": 60_000, "ETH": 3_000, "BNB": 600, "SOL": 150, "LTC": 80, "LINK": 15, "XRP": 1, "ADA": 1, "TRY": 1}
PRICES["SATS"] = 1
LARGE = {"SATS": 10**9}
"""By how much more of some assets is traded: up to 10^15, with all eight decimals, which no double holds."""


def floor(time_ms: int, interval: str) -> int:
    """The open time (ms) of the kline that holds `time_ms`: 1w from Monday, 1M by the calendar, all UTC."""
    if interval == "1M":
        day = datetime.fromtimestamp(time_ms // 1000, UTC)
        return int(datetime(day.year, day.month, 1, tzinfo=UTC).timestamp()) * 1000
    return time_ms - (time_ms - PHASE_MS.get(interval, 0)) % LENGTH_MS[interval]


def following(open_ms: int, interval: str) -> int:
    """The open time (ms) of the kline after the one that opens at `open_ms`."""
    return floor(open_ms + LENGTH_MS[interval], interval) if interval == "1M" else open_ms + LENGTH_MS[interval]


def assets(symbol: str) -> tuple[str, str]:
    """Base and quote asset of a name: BTCUSDT, BTCUSD_PERP."""
    pair = symbol.partition("_")[0]
    quote = next((q for q in QUOTES if pair.endswith(q) and pair != q), pair[-3:])
    return pair.removesuffix(quote) or pair, quote


def is_coinm(symbol: str) -> bool:
    """Whether a name is of the coin-margined shape, e.g. BTCUSD_PERP or BTCUSD_250926."""
    return re.fullmatch(r".+USD_(PERP|\d{6})", symbol) is not None


_MASK = 2**64 - 1


def _mix(number: int) -> int:
    """64 well-mixed bits of a number."""
    x = number * 0x9E3779B97F4A7C15 & _MASK
    x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9 & _MASK
    return x ^ x >> 32


@lru_cache(maxsize=65_536)
def _origin(market: str, symbol: str, step_ms: int) -> tuple[int, int]:
    """Seed and mean price (units) of a series; every market and step has a series of its own."""
    digest = hashlib.blake2b(f"{market} {symbol} {step_ms}".encode(), digest_size=8).digest()
    seed = int.from_bytes(digest, "big")
    base, quote = assets(symbol)
    price = PRICES.get(base, 0) * UNIT or (100 + seed % 900) * 10 ** (4 + seed % 5)
    return seed, max(price // PRICES.get(quote, 1), 10_000)


@lru_cache(maxsize=262_144)
def _trend(seed: int, mean: int, block: int) -> int:
    """Price (units) at the start of a block of 64 klines: waves of years, days and hours, never below 0.4 mean."""
    millionths = 1_000_000
    for span, height in ((4096, 400), (64, 120), (1, 20)):
        at, part = divmod(block, span)
        left, right = (_mix(seed ^ span << 40 ^ at + step) % 2001 - 1000 for step in (0, 1))
        millionths += height * (left * (span - part) + right * part) // span
    return mean * millionths // 1_000_000


def _make(market: str, symbol: str, step_ms: int, first: int, stop: int) -> Klines:
    """The klines number `first` up to `stop`, each opening where the one before closed; one in 50 has no trade."""
    seed, mean = _origin(market, symbol, step_ms)
    contract_usd, large = _contract_usd(market, symbol), _large(symbol)
    made: Klines = []
    bits, price, block, here, there = 0, 0, -1, 0, 0
    for number in range(first, stop + 1):
        if number >> 6 != block:
            block = number >> 6
            here, there = _trend(seed, mean, block), _trend(seed, mean, block + 1)
        x = (number ^ seed) * 0x9E3779B97F4A7C15 & _MASK  # _mix, inlined: this loop is what a page costs
        x = (x ^ x >> 29) * 0xBF58476D1CE4E5B9 & _MASK
        x ^= x >> 32
        line = here + ((there - here) * (number & 63) >> 6)
        close = line + (line * ((x & 1023) - 512) >> 20)
        if number > first:
            open_ms = (number - 1) * step_ms
            if bits % 50 == 0:
                made.append((open_ms, price, price, price, price, 0, 0, 0, 0, 0))
            else:
                high, low = (close, price) if close > price else (price, close)
                high += 1 + (price * (bits >> 10 & 255) >> 18)
                low -= 1 + (price * (bits >> 18 & 255) >> 18)
                volume = ((bits >> 26 & 0xFFFF) + 1) * large * 10**17 // price
                quote = volume * (price + close) // (2 * UNIT)
                if contract_usd:
                    volume = ((bits >> 26 & 0xFFFF) + 1) * large * UNIT
                    quote = volume * contract_usd * UNIT // price
                share = 30 + (bits >> 42 & 31)
                taker = volume * share // 100 // UNIT * UNIT if contract_usd else volume * share // 100
                trades = 1 + (bits >> 47 & 1023)
                made.append((open_ms, price, high, low, close, volume, quote, trades, taker, quote * share // 100))
        bits, price = x, close
    return made


def _make_many(market: str, symbol: str, step_ms: int, first: int, stop: int) -> pl.DataFrame:
    """What `_make` makes, by columns."""
    seed, mean = _origin(market, symbol, step_ms)
    trend = [_trend(seed, mean, block) for block in range(first >> 6, (stop >> 6) + 2)]
    return bulk.made(seed, trend, _contract_usd(market, symbol), _large(symbol), step_ms, first, stop)


def _contract_usd(market: str, symbol: str) -> int:
    """What a coin-margined contract is worth; 0 for what has no contracts."""
    return (100 if symbol.startswith("BTC") else 10) if market == "coinm" else 0


def _large(symbol: str) -> int:
    return LARGE.get(assets(symbol)[0], 1)


@lru_cache(maxsize=65_536)
def _whole_day(market: str, symbol: str, start_ms: int) -> Units:
    """A day of minutes in one kline."""
    first = start_ms // MINUTE_MS
    return _merge(_make(market, symbol, MINUTE_MS, first, first + DAY_MS // MINUTE_MS), start_ms)


def _so_far(whole: Units, elapsed_ms: int, step_ms: int) -> Units:
    """The still-open kline after `elapsed_ms`; never equal to the final one (no trades: price one unit lower)."""
    open_ms, first, high, low, last, *sums = whole
    if not sums[2]:
        return (open_ms, first - 1, first - 1, first - 1, first - 1, *sums)
    close = first + (last - first) * elapsed_ms // step_ms
    high = max(first, close) + (high - max(first, last)) * elapsed_ms // step_ms
    low = min(first, close) - (min(first, last) - low) * elapsed_ms // step_ms
    return (open_ms, first, high, low, close, *(total * elapsed_ms // step_ms for total in sums))


def _merge(parts: Klines, open_ms: int) -> Units:
    """One kline of many: open of the first, highest, lowest, close of the last, sums."""
    _, opens, highs, lows, closes, *sums = zip(*parts, strict=True)
    return (open_ms, opens[0], max(highs), min(lows), closes[-1], *map(sum, sums))


def _by_slot(minutes: Iterable[Units], interval: str) -> Klines:
    """The klines of an interval below a day that these minutes make."""
    length_ms = LENGTH_MS[interval]
    slots = groupby(minutes, lambda minute: minute[0] // length_ms)  # `floor` would cost more than all the rest
    return [_merge(list(made), slot * length_ms) for slot, made in slots]


@lru_cache(maxsize=256)
def _longer(market: str, symbol: str, interval: str, start_ms: int, end_ms: int) -> Klines:
    """Klines of an interval below a day, as they are made: many tests ask for the same ones."""
    series = market, symbol, MINUTE_MS, start_ms // MINUTE_MS, end_ms // MINUTE_MS
    is_long = end_ms - start_ms >= MANY * MINUTE_MS
    return _by_slot(_make_many(*series).rows() if is_long else _make(*series), interval)


def _row(units: Units, close_ms: int, market: str) -> Row:
    """A kline as REST shows it; coin-margined volumes are whole contracts."""
    open_ms, o, h, lo, c, v, q, n, tv, tq = units
    row: Row = [open_ms, AMOUNT % divmod(o, UNIT), AMOUNT % divmod(h, UNIT), AMOUNT % divmod(lo, UNIT)]
    row += [AMOUNT % divmod(c, UNIT), AMOUNT % divmod(v, UNIT), close_ms, AMOUNT % divmod(q, UNIT), n]
    row += [AMOUNT % divmod(tv, UNIT), AMOUNT % divmod(tq, UNIT), "0"]
    if market == "coinm":
        row[5], row[9] = str(v // UNIT), str(tv // UNIT)
    return row


@lru_cache(maxsize=2**17)
def _units(row: tuple[Any, ...]) -> Units:
    """The numbers of a REST row."""
    o, h, lo, c, v, q, tv, tq = (_in_units(row[i]) for i in (1, 2, 3, 4, 5, 7, 9, 10))
    return (row[0], o, h, lo, c, v, q, int(row[8]), tv, tq)


def _in_units(text: str) -> int:
    """A number of at most eight decimals, in units."""
    whole, _, decimals = text.partition(".")
    return int(whole + decimals.ljust(8, "0"))


def of_kind(rows: Rows, route: str, market: str, symbol: str) -> Rows:
    """The klines of a contract as another kind has them, by its route: of another price, which goes the same way, and
    without volumes, but with a number of samples in the place of trades."""
    if route in ("klines", "continuousKlines"):
        return rows
    _, mean = _origin(market, symbol, MINUTE_MS)
    priced: Callable[[int], int] = {
        "markPriceKlines": lambda price: price + 3,
        "indexPriceKlines": lambda price: price - 5,
        "premiumIndexKlines": lambda price: (price - mean * 9 // 8) * 1_000_000 // mean,
    }[route]
    return [
        [row[0], *(_text(priced(_in_units(row[i]))) for i in (1, 2, 3, 4)), "0", row[6], "0", 60, "0", "0", "0"]
        for row in rows
    ]


def _text(units: int) -> str:
    return ("-" if units < 0 else "") + AMOUNT % divmod(abs(units), UNIT)


class Listing(NamedTuple):
    """A symbol's trading time, half-open, and its status while that lasts."""

    since_ms: int
    until_ms: int | None
    status: str
    markets: tuple[str, ...]
    phantom: bool = False


class Page(NamedTuple):
    """One question: up to `limit` rows that open in [start, end], both ends included; the newest or the oldest; nothing
    from before `begins_ms` is known."""

    market: str
    symbol: str
    interval: str
    start_ms: int
    end_ms: int
    limit: int
    newest: bool
    now_ms: int
    begins_ms: int = 0


class Run(NamedTuple):
    """The klines of a series number `first` up to `stop`, all closed."""

    market: str
    symbol: str
    step_ms: int
    first: int
    stop: int


def made_by_columns(run: Run) -> pl.DataFrame:
    """The rows of many klines."""
    return bulk.shown(_make_many(*run), run.step_ms, run.market)


def made_one_by_one(run: Run) -> Rows:
    """The rows of a few."""
    return [_row(units, units[0] + run.step_ms - 1, run.market) for units in _make(*run)]


class Span(NamedTuple):
    """A half-open stretch of time without a hole; `recorded` rows stand instead of made ones."""

    start_ms: int
    end_ms: int
    recorded: Rows | None = None


class Market:
    """Which klines exist and what they hold."""

    def __init__(self, markets: Iterable[str], any_symbol: bool) -> None:
        self.markets = tuple(markets)
        self.any_symbol = any_symbol
        self.listings: dict[str, Listing] = {}
        self._holes: list[tuple[int, int, str | None]] = []
        self._late_ms: dict[str | None, int] = {}
        self._restated: dict[tuple[str, str], dict[int, dict[int, Any]]] = {}
        self._recorded: dict[str, list[Span]] = {}
        self._days: dict[tuple[str, str, int, int], Units | None] = {}
        self._zips: dict[tuple[str, str], bytes | None] = {}

    def list(self, symbol: str, *, since_ms: int = FIRST_LISTING_MS, until_ms: int | None = None,
             status: str = "TRADING", markets: Iterable[str] | None = None,
             phantom: bool = False) -> None:  # fmt: skip
        """Trade `symbol` from `since_ms` until `until_ms`; names like BTCUSD_PERP on coinm, others on spot and usdm.

        With `phantom` klines go on after its end, flat and without trades, as those of FTTBUSD did.
        """
        usual = ("coinm",) if is_coinm(symbol) else ("spot", "usdm")
        here = tuple(usual if markets is None else markets)
        self.listings[symbol] = Listing(since_ms, until_ms, status, here, phantom)
        self._days, self._zips = {}, {}

    def hole(self, start_ms: int, end_ms: int, symbol: str | None = None) -> None:
        """Leave no kline that opens in [start, end): an outage (symbol None: of the whole exchange)."""
        self._holes.append((start_ms, end_ms, symbol))
        self._days, self._zips = {}, {}

    def unhole(self) -> None:
        """Fill all holes."""
        self._holes = []
        self._days, self._zips = {}, {}

    def late(self, by_ms: int, symbol: str | None = None) -> None:
        """Show a closed kline only `by_ms` after its close, and the open one not at all; 0 ends it."""
        self._late_ms[symbol] = by_ms

    def restate(self, symbol: str, open_time_ms: int, interval: str = "1m", **fields: Any) -> None:
        """Serve other values for one kline from now on; a restated minute also changes the longer klines over it."""
        changed = {FIELDS.index(name): value for name, value in fields.items()}
        self._restated.setdefault((symbol, interval), {}).setdefault(open_time_ms, {}).update(changed)
        self._days, self._zips = {}, {}

    def replay(self, symbol: str, rows: Rows) -> None:
        """Serve recorded 1m rows as they are; between the first and the last no other minute exists."""
        rows = sorted(rows, key=lambda row: int(row[0]))
        span = Span(floor(rows[0][0], "1m"), floor(rows[-1][0], "1m") + MINUTE_MS, rows)
        self._recorded.setdefault(symbol, []).append(span)
        self._days, self._zips = {}, {}

    def listing(self, market: str, symbol: str) -> Listing | None:
        """The listing a route of `market` finds, None if unknown; the futures routes know each other's symbols."""
        found = self.listings.get(symbol)
        if found is None and self.any_symbol and re.fullmatch("[A-Z0-9-_.]{1,20}", symbol):
            found = Listing(FIRST_LISTING_MS, None, "TRADING", ("coinm",) if is_coinm(symbol) else ("spot", "usdm"))
        if found is None or not (market in found.markets or (market != "spot" and found.markets != ("spot",))):
            return None
        return found

    def contract(self, market: str, pair: str) -> str:
        """A contract of a pair, whose price stands for that of the pair; the pair itself where none is listed."""
        its = [name for name, one in self.listings.items() if market in one.markets and name.partition("_")[0] == pair]
        return its[0] if its else pair

    def newest_ms(self, symbol: str, interval: str, now_ms: int) -> int:
        """The last open time (ms) that may show: of the open kline, or of the last one closed for long enough."""
        late_ms = self._late_ms.get(symbol, self._late_ms.get(None, 0))
        return floor(now_ms - late_ms, interval) - 1 if late_ms else now_ms

    def rows(self, page: Page) -> Rows:
        """The rows of a page, ascending; the last may be the open kline at `now_ms`."""
        page = self._cut(page)
        return self._with_restated(page, self._short(page) if page.interval in ("1s", "1m") else self._long(page))

    def _cut(self, page: Page) -> Page:
        """The page's time in which its symbol was listed, until now, in the market that the symbol is of."""
        listing = self.listing(page.market, page.symbol)
        if listing is None:
            raise KeyError(page.symbol)
        market = page.market if page.market == "spot" else "coinm" if is_coinm(page.symbol) else "usdm"
        start_ms = max(page.start_ms, floor(listing.since_ms, page.interval))
        return page._replace(market=market, start_ms=start_ms, end_ms=min(page.end_ms, page.now_ms))

    def _with_restated(self, page: Page, rows: Rows) -> Rows:
        restated = self._restated.get((page.symbol, page.interval), {})
        if not self._is_restated(page, page.start_ms, page.end_ms + 1):
            return rows
        return [
            [restated[row[0]].get(i, value) for i, value in enumerate(row)] if row[0] in restated else row
            for row in rows
        ]

    def _is_restated(self, page: Page, start_ms: int, end_ms: int) -> bool:
        restated = self._restated.get((page.symbol, page.interval), {})
        return any(start_ms <= open_ms < end_ms for open_ms in restated)

    def _short(self, page: Page) -> Rows:
        """Rows of 1s or 1m, span by span until there are `limit`."""
        rows: Rows = []
        spans = list(self._spans(page))
        for span in reversed(spans) if page.newest else spans:
            left = page.limit - len(rows)
            if left <= 0:
                break
            if span.recorded is not None:
                found = span.recorded[-left:] if page.newest else span.recorded[:left]
            else:
                found = self._shown(page, *self._numbers(page, span.start_ms, span.end_ms, left))
            rows = found + rows if page.newest else rows + found
        return rows

    def many(self, page: Page) -> pl.DataFrame | None:
        """The rows of a page of many closed klines of 1s or 1m, as they are made, without a hole; None for others."""
        run = self.plain(page)
        return made_by_columns(run) if run and run.stop - run.first >= MANY else None

    def plain(self, page: Page) -> Run | None:
        """What a page of closed klines of 1s or 1m has, if that is as it is made, without a hole; None for others."""
        if page.interval not in ("1s", "1m"):
            return None
        page, step_ms = self._cut(page), LENGTH_MS[page.interval]
        first, stop = self._numbers(page, page.start_ms, page.end_ms + 1, page.limit)
        if stop <= first or not self._is_plain(page, first * step_ms, stop * step_ms):
            return None
        return Run(page.market, page.symbol, step_ms, first, stop)

    def _shown(self, page: Page, first: int, stop: int) -> Rows:
        """The rows of these numbers: many closed ones by columns, the others one by one."""
        step_ms, listing = LENGTH_MS[page.interval], self.listings.get(page.symbol)
        closed = min(stop, page.now_ms // step_ms)
        if closed - first < MANY or (listing and listing.phantom):
            closed = first
        many = Run(page.market, page.symbol, step_ms, first, closed)
        rows = [list(row) for row in made_by_columns(many).rows()] if closed > first else []
        made = self._made(page, closed, stop)
        return rows + [_row(units, units[0] + step_ms - 1, page.market) for units in made]

    def _is_plain(self, page: Page, start_ms: int, end_ms: int) -> bool:
        """Whether all of this time is made, without holes or changes, and closed."""
        listing = self.listings.get(page.symbol)
        if end_ms > page.now_ms or (listing and listing.phantom) or self._is_restated(page, start_ms, end_ms):
            return False
        return [Span(start_ms, end_ms)] == list(self._spans(page._replace(start_ms=start_ms, end_ms=end_ms - 1)))

    def _numbers(self, page: Page, start_ms: int, end_ms: int, limit: int) -> tuple[int, int]:
        """The numbers of the klines that open in a stretch of time, at most `limit`."""
        step_ms = LENGTH_MS[page.interval]
        first, stop = -(-start_ms // step_ms), -(-end_ms // step_ms)
        return (max(first, stop - limit), stop) if page.newest else (first, min(stop, first + limit))

    def _made(self, page: Page, first: int, stop: int) -> Klines:
        step_ms = LENGTH_MS[page.interval]
        if stop - first >= MANY:
            made: Klines = _make_many(page.market, page.symbol, step_ms, first, stop).rows()
        else:
            made = _make(page.market, page.symbol, step_ms, first, stop) if stop > first else []
        if made and made[-1][0] + step_ms > page.now_ms:
            made[-1] = _so_far(made[-1], page.now_ms - made[-1][0], step_ms)
        listing = self.listings.get(page.symbol)
        if listing and listing.phantom and listing.until_ms is not None:
            until_ms, flat = listing.until_ms, (UNIT,) * 4 + (0,) * 5
            made = [units if units[0] < until_ms else (units[0], *flat) for units in made]
        return made

    def _spans(self, page: Page) -> Iterator[Span]:
        """The page's time without what is not listed and without holes; recorded stretches as such."""
        listing = self.listing(page.market, page.symbol)
        assert listing is not None
        start_ms, end_ms = max(page.start_ms, floor(listing.since_ms, "1m"), page.begins_ms), page.end_ms + 1
        end_ms = end_ms if listing.until_ms is None or listing.phantom else min(end_ms, listing.until_ms)
        cuts = [Span(a, b) for a, b, whose in self._holes if whose in (None, page.symbol)]
        for cut in sorted(self._recorded.get(page.symbol, []) + cuts, key=lambda span: span.start_ms):
            if cut.end_ms <= start_ms or cut.start_ms >= end_ms:
                continue
            if cut.start_ms > start_ms:
                yield Span(start_ms, cut.start_ms)
            if cut.recorded is not None:
                left, right = (bisect_left(cut.recorded, at, key=lambda row: row[0]) for at in (start_ms, end_ms))
                yield Span(cut.start_ms, cut.end_ms, cut.recorded[left:right])
            start_ms = cut.end_ms
        if start_ms < end_ms:
            yield Span(start_ms, end_ms)

    def _long(self, page: Page) -> Rows:
        """Rows of 3m and longer, each of the minutes in it; none where there is no minute."""
        rows: Rows = []
        at = floor(page.end_ms if page.newest else page.start_ms, page.interval)
        at = following(at, page.interval) if at < page.start_ms and not page.newest else at
        count = min(page.limit, MANY) if LENGTH_MS[page.interval] < DAY_MS else 1
        while page.start_ms <= at <= page.end_ms and len(rows) < page.limit:
            first_ms, after = self._stretch(page, at, min(count, page.limit - len(rows)))
            found = self._merged(page, first_ms, after)
            rows = found + rows if page.newest else rows + found
            at = floor(first_ms - 1, page.interval) if page.newest else after
        return rows

    def _stretch(self, page: Page, at: int, count: int) -> tuple[int, int]:
        """The time of up to `count` klines of the page that begin, or end, with the one that opens at `at`."""
        if count == 1:
            return at, following(at, page.interval)
        length_ms = LENGTH_MS[page.interval]
        if page.newest:
            earliest = floor(page.start_ms + length_ms - 1, page.interval)
            return max(at - (count - 1) * length_ms, earliest), at + length_ms
        return at, min(at + count * length_ms, following(floor(page.end_ms, page.interval), page.interval))

    def _merged(self, page: Page, start_ms: int, end_ms: int) -> Rows:
        """The long klines of a stretch of time: of minutes, or one of whole days."""
        length_ms = LENGTH_MS[page.interval]
        if length_ms < DAY_MS and self._is_plain(page._replace(interval="1m"), start_ms, end_ms):
            klines = _longer(page.market, page.symbol, page.interval, start_ms, end_ms)
            return [_row(units, units[0] + length_ms - 1, page.market) for units in klines]
        parts = self._parts(page, start_ms, min(end_ms, page.now_ms + 1))
        if length_ms >= DAY_MS:
            return [_row(_merge(parts, start_ms), end_ms - 1, page.market)] if parts else []
        return [_row(units, units[0] + length_ms - 1, page.market) for units in _by_slot(parts, page.interval)]

    def _parts(self, page: Page, start_ms: int, end_ms: int) -> Klines:
        """What long klines are made of: minutes, or whole days."""
        if LENGTH_MS[page.interval] < DAY_MS:
            return self._minutes(page, start_ms, end_ms)
        days = (self._day(page, at, min(at + DAY_MS, end_ms)) for at in range(start_ms, end_ms, DAY_MS))
        return [day for day in days if day is not None]

    def _day(self, page: Page, start_ms: int, end_ms: int) -> Units | None:
        """One day's minutes in one, kept once the day is over."""
        kept, key, over = (
            self._days,
            (page.market, page.symbol, start_ms, page.begins_ms),
            start_ms + DAY_MS <= page.now_ms,
        )
        if over and key in kept:
            return kept[key]
        if self._is_plain(page._replace(interval="1m"), start_ms, start_ms + DAY_MS):
            return _whole_day(page.market, page.symbol, start_ms)
        minutes = self._minutes(page, start_ms, end_ms)
        day = _merge(minutes, start_ms) if minutes else None
        if over:
            kept[key] = day
        return day

    def _minutes(self, page: Page, start_ms: int, end_ms: int) -> Klines:
        page = page._replace(interval="1m", start_ms=start_ms, end_ms=end_ms - 1, limit=DAY_MS, newest=False)
        if page.symbol in self._recorded or self._is_restated(page, start_ms, end_ms):
            return [_units(tuple(row)) for row in self._with_restated(page, self._short(page))]
        spans = [self._numbers(page, span.start_ms, span.end_ms, page.limit) for span in self._spans(page)]
        return [units for first, stop in spans for units in self._made(page, first, stop)]
