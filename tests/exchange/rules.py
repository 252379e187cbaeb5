"""What the exchange answers: Binance's rules for klines, symbols, weight and bans, without a socket."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable
from email.utils import formatdate
from typing import Any, NamedTuple

from tests.exchange.archives import Archives
from tests.exchange.archives import named as archive_file
from tests.exchange.broken import other_page, other_rows
from tests.exchange.faults import KINDS, Answer, Asked, Fault, banned, error, page
from tests.exchange.market import DAY_MS, LENGTH_MS, MINUTE_MS, Listing, Page, Rows, assets, floor, is_coinm, of_kind

ROUTES = {
    f"{prefix}/{name}": (market, name)
    for prefix, market in (("/api/v3", "spot"), ("/fapi/v1", "usdm"), ("/dapi/v1", "coinm"))
    for name in ("klines", "ping", "time", "exchangeInfo")
} | {"/sapi/v1/system/status": ("spot", "status")}
ROUTES |= {
    f"{prefix}/{name}": (market, name)
    for prefix, market in (("/fapi/v1", "usdm"), ("/dapi/v1", "coinm"))
    for name in ("fundingRate", "fundingInfo")
}
OF_RATES = "funding"
"""The pool that usdm's funding rates have for themselves: requests in five minutes."""
PERIODS_MS = {OF_RATES: 5 * MINUTE_MS}
OTHER_KINDS = {
    "markPriceKlines": {"symbol"},
    "indexPriceKlines": {"pair"},
    "premiumIndexKlines": {"symbol"},
    "continuousKlines": {"pair", "contractType"},
}
"""The routes of the other kinds of klines, and what each must be told beside the interval."""
ROUTES |= {f"/{api}/v1/{name}": (market, name) for api, market in (("fapi", "usdm"), ("dapi", "coinm"))
           for name in OTHER_KINDS}  # fmt: skip
POOLS = {"spot": "spot", "usdm": "futures", "coinm": "futures"}
PARAMS = {"symbol", "interval", "startTime", "endTime", "limit"}
SYMBOL = "^[A-Z0-9-_.]{1,20}$"
BAN_S, BAN_AFTER = 120, 20
WIDEST_MS = 200 * DAY_MS
PERPETUAL_MS = 4_133_404_800_000


class Request(NamedTuple):
    """A request as it came; status 0: none was sent (hang, reset)."""

    at_ms: int
    path: str
    params: dict[str, str]
    status: int
    address: str


class Refused(Exception):
    """A request against the rules; carries the answer."""

    def __init__(self, code: int, **words: Any) -> None:
        super().__init__(code)
        self.answer = error(code, **words)


class Rules(Archives):
    """What the exchange answers, as a function of request and clock; no socket in it."""

    def __init__(self, symbols: Iterable[str], markets: Iterable[str], any_symbol: bool) -> None:
        super().__init__(markets, any_symbol)
        self.requests: list[Request] = []
        self.weight_limit = {"spot": 6000, "futures": 2400, "coinm": 2400, OF_RATES: 500}
        self.ban_after = BAN_AFTER
        self.maintenance, self.sapi, self.down = False, True, False
        self.latency_s = 0.0
        self.clock_offset_ms = 0
        self.date_offset_ms: int | None = 0
        self.date: str | None = None
        self.server_time: str | None = None
        self.ignored: dict[str, str | None] = {}
        self.silent_ends = False
        self._begins_ms: dict[str, int] = {}
        self._unlisted: set[str] = set()
        self._rules: dict[str, dict[str, str]] = {}
        self._frozen_ms: int | None = None
        self._faults: list[Fault] = []
        self._used: dict[tuple[str, str], tuple[int, int, int]] = {}
        self._banned_until_ms: dict[tuple[str, str], int] = {}
        for symbol in symbols:
            self.list(symbol)

    def now_ms(self) -> int:
        """The exchange's clock."""
        return time.time_ns() // 1_000_000 + self.clock_offset_ms if self._frozen_ms is None else self._frozen_ms

    def freeze(self, now_ms: int) -> None:
        """Stop the clock at `now_ms`."""
        self._frozen_ms = now_ms

    def set_clock(self, offset_ms: int = 0) -> None:
        """Let the clock run, `offset_ms` ahead of the real one."""
        self._frozen_ms, self.clock_offset_ms = None, offset_ms

    def fault(self, symbol: str | None, kind: str, *, times: int | None = None, path: str = "klines",
              **options: Any) -> None:  # fmt: skip
        """Spoil the next `times` (None: all) answers on route `path` for `symbol` (None: any)."""
        if kind not in KINDS:
            raise ValueError(f"no fault {kind!r}, one of: {' '.join(KINDS)}")
        self._faults.append(Fault(symbol, kind, times, path, options))

    def clear(self, symbol: str | None = None) -> None:
        """Take back the faults of `symbol`, or all."""
        self._faults = [fault for fault in self._faults if symbol is not None and fault.symbol != symbol]

    def faults(self) -> list[Fault]:
        """The faults that can still strike."""
        return [fault for fault in self._faults if fault.times != 0]

    def forget(self) -> None:
        """Empty the record of requests."""
        self.requests = []

    def kline_requests(self, symbol: str | None = None) -> list[Request]:
        """The recorded klines requests, of one symbol or all."""
        asked = [request for request in self.requests if request.path.endswith("/klines")]
        return [request for request in asked if symbol in (None, request.params.get("symbol"))]

    def klines(self, symbol: str, start_ms: int, end_ms: int, interval: str = "1m", market: str = "spot") -> Rows:
        """What a client should end up with: every row that opens in [start, end) and is closed now, late or not."""
        now_ms = self.now_ms()
        end_ms = min(end_ms, floor(now_ms, interval))
        return self.rows(Page(market, symbol, interval, start_ms, end_ms - 1, 10**9, False, now_ms))

    def used_weight(self, pool: str, address: str = "127.0.0.1") -> int:
        """Weight that an address has used in the clock's current minute."""
        minute, used, _ = self._used.get((pool, address), (0, 0, 0))
        return used if minute == self.now_ms() // MINUTE_MS else 0

    def pool(self, market: str) -> str:
        """Whose weight is counted together."""
        return "coinm" if market == "coinm" and "futures are one pool" in self.broken else POOLS[market]

    def answer(self, asked: Asked) -> Answer:
        """The answer to one GET, recorded."""
        market, name = ROUTES.get(asked.path, ("", ""))
        if asked.path.startswith("/data/") or (asked.path == "/" and "prefix" in asked.params):
            answer = self._from_the_archive(asked)
        elif market not in self.markets or (name == "status" and not self.sapi):
            answer = page(404) if "text/html" in asked.headers.get("accept", "") else Answer(404, "")
        else:
            answer = self._weigh(market, name, asked) or self._on_time(market, name, asked)
        status = 0 if answer.wire in ("hang", "reset") else answer.status
        self.requests.append(Request(asked.now_ms, asked.path, asked.params, status, asked.address))
        return answer

    def _from_the_archive(self, asked: Asked) -> Answer:
        """A file, its checksum, or a listing, with the faults that are switched on for path "archive" or "bucket"."""
        is_listing, file = asked.path == "/", archive_file(asked.path)
        answer = self.listed(asked) if is_listing else self.archived(asked)
        for fault in self._faults:
            if fault.path == ("bucket" if is_listing else "archive") and fault.symbol in (
                None,
                file.symbol if file else "",
            ):
                fault.strike(answer, asked)
        return answer

    def archive_requests(self, name: str = "") -> list[Request]:
        """The recorded requests below /data whose path holds `name`."""
        return [request for request in self.requests if request.path.startswith("/data/") and name in request.path]

    def _on_time(self, market: str, name: str, asked: Asked) -> Answer:
        """The right answer, then the faults on it."""
        try:
            is_other = name in OTHER_KINDS
            answer: Answer = (
                self._of_kind(market, name, asked) if is_other else getattr(self, "_" + name)(market, asked)
            )
        except Refused as refused:
            answer = refused.answer
        struck = False
        for fault in self._faults:
            if fault.path != name or fault.symbol not in (None, asked.params.get("symbol")):
                continue
            if fault.joins:
                fault.strike(answer, asked)
            elif not struck:
                struck = fault.strike(answer, asked)
        return answer

    def _weigh(self, market: str, name: str, asked: Asked) -> Answer | None:
        """Count the request's weight for its address; 429 over the limit, 418 while banned for not heeding it."""
        pool = OF_RATES if (market, name[:7]) == ("usdm", "funding") else self.pool(market)
        period_ms = PERIODS_MS.get(pool, MINUTE_MS)
        minute = asked.now_ms // period_ms
        whose = pool, asked.address
        limit = asked.limit = self.weight_limit[pool]
        counted, used, over = self._used.get(whose, (minute, 0, 0))
        used, over = (used, over) if counted == minute else (0, 0)
        used += _weight(market, name, asked.params)
        used += 2 * ("a klines request of spot costs 2" in self.broken and (market, name) == ("spot", "klines"))
        over += used > limit
        self._used[whose] = (minute, used, over)
        if over > self.ban_after and self._banned_until_ms.get(whose, 0) <= asked.now_ms:
            self._banned_until_ms[whose] = asked.now_ms + BAN_S * 1000
        if self._banned_until_ms.get(whose, 0) > asked.now_ms:
            return banned(self._banned_until_ms[whose], asked.now_ms)
        if used <= limit:
            return None
        answer = error(-1003, 429, limit=limit)
        answer.headers["Retry-After"] = str(-(-(period_ms - asked.now_ms % period_ms) // 1000))
        return answer

    def _fundingRate(self, market: str, asked: Asked) -> Answer:  # noqa: N802 - named as its route
        """Rates of [startTime, endTime], both included, the oldest first; without a time the newest."""
        params = asked.params
        self._known(market, params.get("symbol"))
        start, end, limit = (_number(params, name) for name in ("startTime", "endTime", "limit"))
        limit = 100 if limit is None else limit
        if not 0 < limit <= 1000:
            raise Refused(-1130, name="limit")
        if start is not None and end is not None and start > end:
            raise Refused(-1023)
        end_ms = asked.now_ms if end is None else min(end, asked.now_ms)
        start_ms = (start or 0) + ("a rate at startTime is included" in self.broken)
        found = self.rates(market, params["symbol"], start_ms, end_ms, asked.now_ms)
        rates = found[-limit:] if start is None else found[:limit]
        if market == "coinm":
            rates = [{name: value for name, value in rate.items() if value != ""} for rate in rates]
        return Answer(body=json.dumps(rates))

    def _fundingInfo(self, market: str, asked: Asked) -> Answer:  # noqa: N802 - named as its route
        """The interval of each symbol that has not the usual one."""
        hours = {name: self.hours_at(name, asked.now_ms) for name in self._hours if self.listing(market, name)}
        caps = {"adjustedFundingRateCap": "0.02500000", "adjustedFundingRateFloor": "-0.02500000", "disclaimer": False}
        return Answer(
            body=json.dumps([{"symbol": name, "fundingIntervalHours": hour} | caps for name, hour in hours.items()])
        )

    def funding_requests(self, symbol: str | None = None) -> list[Request]:
        """The recorded requests for rates, of one symbol or all."""
        asked = [request for request in self.requests if request.path.endswith("/fundingRate")]
        return [request for request in asked if symbol in (None, request.params.get("symbol"))]

    def _ping(self, _market: str, _asked: Asked) -> Answer:
        return Answer()

    def _time(self, market: str, asked: Asked) -> Answer:
        if self.server_time is not None:
            return Answer(body=f'{{"serverTime":{self.server_time}}}')
        return Answer(body=json.dumps({"serverTime": asked.now_ms * (1000 if _in_us(market, asked) else 1)}))

    def _status(self, _market: str, _asked: Asked) -> Answer:
        word = "system_maintenance" if self.maintenance else "normal"
        return Answer(body=json.dumps({"status": int(self.maintenance), "msg": word}))

    def begin(self, symbol: str, time_ms: int) -> None:
        """REST knows no kline of the symbol from before, as of a name that is used again; the archive does."""
        self._begins_ms[symbol] = time_ms

    def unlist(self, symbol: str) -> None:
        """REST knows the symbol no more; the archive has its files."""
        self._unlisted.add(symbol)

    def relist(self, symbol: str, ended_ms: int, again_ms: int) -> None:
        """A name of two lives: REST has klines of the second alone, the archive files of both, and none between."""
        self.hole(ended_ms, again_ms, symbol)
        self.begin(symbol, again_ms)

    def dated(self, asked: Asked) -> dict[str, str]:
        """The Date header: of the exchange's clock, or `date_offset_ms` beside it (None: none), or `date`."""
        if self.date is not None or self.date_offset_ms is None:
            return {} if self.date is None else {"Date": self.date}
        return {"Date": formatdate((asked.now_ms + self.date_offset_ms) // 1000, usegmt=True)}

    def ignore(self, name: str, value: str | None = None) -> None:
        """Answer klines as if the parameter `name` had not been sent, or had this value."""
        self.ignored[name] = value

    def _heeded(self, params: dict[str, str]) -> dict[str, str]:
        others = {name: value for name, value in self.ignored.items() if value is not None}
        return {name: value for name, value in params.items() if name not in self.ignored} | others

    def _klines(self, market: str, asked: Asked) -> Answer:
        return self._page(market, asked, self._heeded(asked.params))

    def _of_kind(self, market: str, route: str, asked: Asked) -> Answer:
        """Klines of another kind: those of a contract, of another price."""
        params = self._heeded(asked.params)
        for name in sorted(OTHER_KINDS[route] - params.keys()):
            raise Refused(-1102, name=name)
        read = params.keys() & (PARAMS - {"symbol"} | OTHER_KINDS[route])
        if params.keys() - read:
            raise Refused(-1104, read=len(read), sent=len(params))
        contract = params.get("symbol") or self._contract(market, params["pair"], params.get("contractType"))
        others = {name: value for name, value in params.items() if name not in ("pair", "contractType")}
        answer = self._page(market, asked, others | {"symbol": contract})
        answer.rows = of_kind(answer.rows or [], route, market, contract)
        if "days of kinds are their minutes'" in self.broken and params["interval"] == "1d":
            answer.rows = [[*row[:2], f"{2 * float(row[4]) + 1:.8f}", *row[3:]] for row in answer.rows]
        return answer

    def _contract(self, market: str, pair: str, of_type: str | None) -> str:
        """The contract of a pair that is of this type, or any of them."""
        named = [name for name in self.listings if name.partition("_")[0] == pair and name not in self._unlisted]
        known = [name for name in named if market in self.listings[name].markets]
        for about in (self._describe(market, name, self.now_ms()) for name in known):
            if of_type in (None, about["contractType"]):
                return str(about["symbol"])
        raise Refused(-1121)

    def _page(self, market: str, asked: Asked, params: dict[str, str]) -> Answer:
        if "strangers are refused" in self.broken and not self.listing(market, params.get("symbol", "")):
            return Answer(rows=[])
        self._known(market, params.get("symbol"))
        if params.get("interval") not in LENGTH_MS or (params["interval"] == "1s" and market != "spot"):
            raise Refused(-1120) if params.get("interval") else Refused(-1102, name="interval")
        if params.keys() - PARAMS:
            raise Refused(-1104, read=len(params.keys() & PARAMS), sent=len(params))
        limit = _number(params, "limit")
        limit = 500 if limit is None else limit
        if limit < 1 or (market != "spot" and limit > 1500):
            raise Refused(-1130, name="limit")
        symbol, interval = params["symbol"], params["interval"]
        start_ms, end_ms, newest = _window(market, params, "windows are 200 days wide" not in self.broken)
        begins_ms = self._begins_ms.get(symbol, 0)
        start_ms = max(start_ms, floor(begins_ms, interval))
        end_ms = min(end_ms, self.newest_ms(symbol, interval, asked.now_ms))
        limit = min(limit, 1000) if market == "spot" else limit
        page = Page(market, symbol, interval, start_ms, end_ms, limit, newest, asked.now_ms, begins_ms)
        rows = other_rows(self.rows(other_page(page, self.broken, params)), page, self.broken)
        if self.silent_ends and "startTime" not in params and "endTime" in params:
            rows = []
        if _in_us(market, asked):
            rows = [[row[0] * 1000, *row[1:6], row[6] * 1000 + 999, *row[7:]] for row in rows]
        return Answer(rows=rows)

    def _known(self, market: str, symbol: str | None) -> Listing:
        if not symbol:
            raise Refused(-1102, name="symbol")
        listing = None if symbol in self._unlisted else self.listing(market, symbol)
        if listing is None:
            is_plain = re.match(SYMBOL, symbol) and "strangers are -1121" not in self.broken
            raise Refused(-1121) if is_plain else Refused(-1100, name="symbol", legal=SYMBOL)
        return listing

    def _exchangeInfo(self, market: str, asked: Asked) -> Answer:  # noqa: N802 - named as its route
        names = [name for name, one in self.listings.items() if market in one.markets and name not in self._unlisted]
        wanted = asked.params.get("symbolStatus") if market == "spot" else None
        if market == "spot" and asked.params.keys() & {"symbol", "symbols"}:
            names = self._named(asked.params)
        if wanted not in (None, "TRADING", "HALT", "BREAK"):
            raise Refused(-1122)
        described = [self._describe(market, name, asked.now_ms) for name in names]
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": asked.limit}
        now = asked.now_ms * (1000 if _in_us(market, asked) else 1)
        body = {"timezone": "UTC", "serverTime": now, "rateLimits": [limit], "exchangeFilters": []}
        body["symbols"] = [one for one in described if wanted in (None, one.get("status"))]
        if market == "spot" and asked.params.get("showPermissionSets") == "false":
            for one in described:
                del one["permissionSets"]
        return Answer(body=json.dumps(body, separators=(",", ":")))

    def _named(self, params: dict[str, str]) -> list[str]:
        """The names in `symbol` or `symbols`; one unknown fails them all."""
        if "symbolStatus" in params or params.keys() >= {"symbol", "symbols"}:
            raise Refused(-1128)
        try:
            names = [params["symbol"]] if "symbol" in params else json.loads(params["symbols"])
        except ValueError:
            raise Refused(-1100, name="symbols", legal='^\\["..."\\]$') from None
        for name in names:
            self._known("spot", name)
        return list(names)

    def _describe(self, market: str, symbol: str, now_ms: int) -> dict[str, Any]:
        """A symbol's entry in exchangeInfo; after its end a listing that was TRADING is BREAK, CLOSE or DELIVERED."""
        listing, (base, quote) = self._known(market, symbol), assets(symbol)
        over = listing.status == "TRADING" and listing.until_ms is not None and listing.until_ms <= now_ms
        gone = {"spot": "BREAK", "usdm": "CLOSE", "coinm": "DELIVERED"}[market]
        status = gone if over else listing.status
        about: dict[str, Any] = {"symbol": symbol, "baseAsset": base, "quoteAsset": quote}
        about["filters"] = self._filters(market, symbol)
        if market == "spot":
            sets = {"isSpotTradingAllowed": True, "permissions": [], "permissionSets": [["SPOT", "MARGIN"]]}
            return about | {"status": status, "baseAssetPrecision": 8, "quotePrecision": 8} | sets
        perpetual = not re.search(r"_\d{6}$", symbol)
        about |= {"pair": symbol.partition("_")[0], "contractType": "PERPETUAL" if perpetual else "CURRENT_QUARTER"}
        about |= {"deliveryDate": PERPETUAL_MS if perpetual else listing.until_ms}
        about["onboardDate"] = max(listing.since_ms, self._begins_ms.get(symbol, 0))
        about["onboardDate"] += 365 * DAY_MS * ("onboardDate is when it began" in self.broken)
        if not is_coinm(symbol):
            return about | {"status": status, "marginAsset": quote}
        return about | {"contractStatus": status, "contractSize": 100 if base == "BTC" else 10, "marginAsset": base}

    def rule(self, symbol: str, **values: str) -> None:
        """State other rules of a symbol from now on: tickSize, stepSize, minQty, minNotional."""
        self._rules[symbol] = self._rules.get(symbol, {}) | values

    def _filters(self, market: str, symbol: str) -> list[dict[str, str]]:
        """A symbol's filters in exchangeInfo, as far as anything is read of them."""
        stated = {
            "tickSize": "0.01000000",
            "stepSize": "0.00001000",
            "minQty": "0.00001000",
            "minNotional": "5.00000000",
        }
        stated |= self._rules.get(symbol, {})
        lots = {name: stated[name] for name in ("stepSize", "minQty")}
        kind, name = ("NOTIONAL", "minNotional") if market == "spot" else ("MIN_NOTIONAL", "notional")
        filters = [{"filterType": "PRICE_FILTER", "tickSize": stated["tickSize"]}, {"filterType": "LOT_SIZE"} | lots]
        return [*filters, {"filterType": kind, name: stated["minNotional"]}]


def _weight(market: str, name: str, params: dict[str, str]) -> int:
    if name == "exchangeInfo":
        return 20 if market == "spot" else 1
    if name not in ("klines", *OTHER_KINDS):
        return 1
    limit = params.get("limit", "500")
    rows = int(limit) if limit.isdecimal() else 500
    return 2 if market == "spot" else 1 if rows < 100 else 2 if rows < 500 else 5 if rows <= 1000 else 10


def _in_us(market: str, asked: Asked) -> bool:
    return market == "spot" and asked.headers.get("x-mbx-time-unit", "").upper() == "MICROSECOND"


def _number(params: dict[str, str], name: str) -> int | None:
    text = params.get(name)
    if text is not None and not re.fullmatch("[0-9]{1,20}", text):
        raise Refused(-1100, name=name, legal="^[0-9]{1,20}$")
    return None if text is None else int(text)


def _window(market: str, params: dict[str, str], is_bounded: bool) -> tuple[int, int, bool]:
    """First and last open time (ms, both included) and whether the newest rows count; spot takes us as well."""
    start, end = _number(params, "startTime"), _number(params, "endTime")
    if market == "spot":
        start = -(-start // 1000) if start is not None and start >= 10**14 else start
        end = end // 1000 if end is not None and end >= 10**14 else end
    elif start is not None and end is not None and start > end:
        raise Refused(-1023)
    newest = start is None
    if market == "coinm":
        newest = True
        end = start + WIDEST_MS if end is None and start is not None else end
        start = end - WIDEST_MS if start is None and end is not None else start
        if start is not None and end is not None and is_bounded and end - start > WIDEST_MS:
            raise Refused(-4088)
    return start or 0, 10**15 if end is None else end, newest
