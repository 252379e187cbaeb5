"""Binance's markets and the kinds of klines that they have, one frozen row each: what a page costs and how long it may
be. A series is of a market, a kind, a symbol and an interval.

Sources: Binance REST docs (spot `GET /api/v3/klines`: weight 2, at most 1,000 rows; USDS-M and COIN-M klines: weight by
`limit`, at most 1,500 rows; COIN-M: the last `limit` rows of at most 200 days). USDS-M and COIN-M share one pool of
2,400 weight a minute since 2026-06-30. docs/kinds.md has what is known of each kind.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

from klines.errors import BadParameter
from klines.interval import DAY, INTERVALS, Interval
from klines.symbol import is_pattern

MarketName = Literal["spot", "usdm", "coinm"]
FuturesName = Literal["usdm", "coinm"]
"""The markets of perpetual contracts, which have funding rates."""
SourceName = Literal["auto", "archive", "rest"]
"""Where a backfill has klines from; auto: from both."""
_BY_LIMIT = ((0, 1), (100, 2), (500, 5), (1001, 10))


KindName = Literal["klines", "mark", "index", "premium", "continuous"]
CONTRACTS = ("PERPETUAL", "CURRENT_QUARTER", "NEXT_QUARTER")
"""The types of contract that a continuous series can be of."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind; `name` is what the column `kind` holds.

    `route` is REST's, and the archive's folder where it `is_archived`. It is asked for by `symbol`, by `pair`, or by
    pair and type of `contract`, which together are the symbol of a series then. One without volumes publishes neither
    amounts nor trades; where it `can_be_negative`, its values are shares, and no prices.
    """

    name: str
    markets: tuple[str, ...]
    route: str
    asked_by: Literal["symbol", "pair", "contract"] = "symbol"
    is_archived: bool = True
    has_volumes: bool = True
    can_be_negative: bool = False

    def parameters(self, symbol: str) -> dict[str, str]:
        """What REST is asked for the klines of a series."""
        if self.asked_by != "contract":
            return {self.asked_by: symbol}
        pair, _, contract = symbol.partition("_")
        return {"pair": pair, "contractType": contract}

    def symbol(self, contract_symbol: str, pair: str, contract: str) -> str:
        """The symbol of the series that a contract belongs to."""
        return {"symbol": contract_symbol, "pair": pair, "contract": f"{pair}_{contract}"}[self.asked_by]

    def check_symbol(self, symbol: str) -> None:
        """Raises BadParameter for what can't be the symbol of a series of this kind."""
        if self.asked_by == "contract" and self.parameters(symbol)["contractType"] not in CONTRACTS:
            raise BadParameter(
                f"symbols: {symbol} is no series of {self.name} klines: write a pair and one of "
                f"{', '.join(CONTRACTS)}, as in BTCUSDT_{CONTRACTS[0]}"
            )
        if self.asked_by == "pair" and "_" in symbol:
            raise BadParameter(f"symbols: {symbol} is no pair: {self.name} klines are of a pair, as BTCUSDT or BTCUSD")


_FUTURES = ("usdm", "coinm")
KLINES = Kind("klines", ("spot", *_FUTURES), "klines")
"""Those of trades."""
FUNDING = Kind("funding", _FUTURES, "fundingRate", has_volumes=False, can_be_negative=True)
"""Funding rates, which are no klines: the ledger, rejects and restatements of the table funding bear this name."""
KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        KLINES,
        Kind("mark", _FUTURES, "markPriceKlines", has_volumes=False),
        Kind("index", _FUTURES, "indexPriceKlines", "pair", has_volumes=False),
        Kind("premium", _FUTURES, "premiumIndexKlines", has_volumes=False, can_be_negative=True),
        Kind("continuous", _FUTURES, "continuousKlines", "contract", is_archived=False),
    )
}


@dataclass(frozen=True, slots=True)
class Market:
    """A market; `weights` are the (from this limit on, weight) steps, `info_weight` is what exchangeInfo costs,
    `info_by_name` whether it can be asked for some symbols, `widest_ms` the longest window of a request, `gives_newest`
    whether of more klines than `limit` the last ones are answered; all of it of one `kind` of klines."""

    name: str
    pool: str
    most_rows: int
    weight_per_minute: int
    weights: tuple[tuple[int, int], ...]
    info_weight: int = 1
    info_by_name: bool = False
    widest_ms: int | None = None
    gives_newest: bool = False
    kind: Kind = KLINES

    @property
    def key(self) -> tuple[str, str]:
        """Market and kind, as the tables name them: the beginning of the key of a series."""
        return self.name, self.kind.name

    def well_known(self, symbols: Iterable[str]) -> list[str]:
        """The symbols of the kind's series that these perpetual contracts, or pairs of spot, belong to."""
        pairs = {symbol: symbol.removesuffix("_PERP") for symbol in symbols}
        return [self.kind.symbol(symbol, pair, CONTRACTS[0]) for symbol, pair in pairs.items()]

    def check_entries(self, entries: Iterable[str]) -> None:
        """Raises BadParameter for a name among them that can't be the symbol of a series of the kind."""
        for entry in entries:
            if not is_pattern(entry):
                self.kind.check_symbol(entry)

    def weight(self, limit: int) -> int:
        """What one klines request with this `limit` costs of the pool's minute."""
        return self.weights[bisect_right(self.weights, limit, key=lambda step: step[0]) - 1][1]

    def page_slots(self, interval: Interval) -> int:
        """How many slots a page covers: as many as the answer has room for, so its direction does not matter."""
        if self.widest_ms is None:
            return self.most_rows
        return min(self.most_rows, self.widest_ms // (interval.length_ms or 31 * DAY))


def series_name(market: str, kind: str, interval: str) -> str:
    """What messages call the series of a market: `spot 1m`, or `usdm mark 1m`; without the market `1m`, `mark 1m`."""
    return " ".join(name for name in (market, kind, interval) if name and name != KLINES.name)


def market_of(name: str, kind: str = KLINES.name) -> Market:
    """The market of that name, for one kind of klines; raises BadParameter where there is none."""
    if name not in tuple(MARKETS):
        raise BadParameter(f"market: {name!r:.100} is none of {', '.join(MARKETS)}")
    there = [one.name for one in KINDS.values() if name in one.markets]
    if kind not in there:
        raise BadParameter(f"kind: {kind!r:.100} is none that {name} has: {', '.join(there)}")
    return replace(MARKETS[name], kind=KINDS[kind])


def check_interval(market: str, interval: str) -> None:
    """Raises BadParameter for an interval that the market does not have, of any kind."""
    if interval == "1s" and market != "spot":
        longer = ", ".join(name for name in INTERVALS if name != interval)
        raise BadParameter(f"interval: 1s exists on spot only, not on {market}, which has {longer}")


MARKETS: dict[str, Market] = {
    market.name: market
    for market in (
        Market(
            *("spot", "spot"),
            most_rows=1000,
            weight_per_minute=6000,
            weights=((0, 2),),
            info_weight=20,
            info_by_name=True,
        ),
        # 499 rows cost 2: of all limits the most rows for their weight
        Market("usdm", pool="futures", most_rows=499, weight_per_minute=2400, weights=_BY_LIMIT),
        Market(
            *("coinm", "futures"),
            most_rows=499,
            weight_per_minute=2400,
            weights=_BY_LIMIT,
            widest_ms=200 * DAY,
            gives_newest=True,
        ),
    )
}
