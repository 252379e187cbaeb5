"""python-binance lives here and nowhere else: one request a call, every answer read within bounds.

Only calls that make one request are used: `get_historical_klines` loses rows, and a sync client swaps answers between
threads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import warnings
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from klines.binance.faults import translate
from klines.binance.proxies import web
from klines.errors import BadAnswer
from klines.market import KINDS, Kind, Market

with warnings.catch_warnings():  # python-binance imports websockets.legacy, which nothing here uses
    warnings.simplefilter("ignore", DeprecationWarning)
    from binance import AsyncClient
LONGEST_BODIES = {
    "exchangeInfo": 32 * 2**20,
    **{kind.route: 2 * 2**20 for kind in KINDS.values()},
    **dict.fromkeys(("fundingRate", "fundingInfo"), 2**20),
}
"""Bytes of an answer, by its route: spot's whole exchangeInfo has about half of that, a page of klines, or of funding
rates, a tenth."""
LONGEST_BODY = 2**16
"""Bytes of any other answer."""
BEGINNING_S = 1.0
"""How long the body of an answer that is no success is waited for."""
MOST_PARTS = {"exchangeInfo": 5 * 10**5}
FEW_PARTS = 10**4
"""Lists and objects in an answer, by its route, and in any other, as each costs memory: spot's whole exchangeInfo has
about a fifth of that, a page of klines a tenth."""


_KLINES = {
    ("spot", "klines"): "get_klines",
    ("usdm", "klines"): "futures_klines",
    ("usdm", "mark"): "futures_mark_price_klines",
    ("usdm", "index"): "futures_index_price_klines",
    ("usdm", "premium"): "futures_premium_index_klines",
    ("usdm", "continuous"): "futures_continuous_klines",
    ("coinm", "klines"): "futures_coin_klines",
    ("coinm", "mark"): "futures_coin_mark_price_klines",
    ("coinm", "index"): "futures_coin_index_price_klines",
    ("coinm", "premium"): "futures_coin_premium_index_klines",
    ("coinm", "continuous"): "futures_coin_continous_klines",
}
"""python-binance's method for a page of klines of each market and kind."""


class Client(AsyncClient):  # type: ignore[misc]  # python-binance has no types
    """python-binance's client, with our session, and every answer read within bounds and turned into ours."""

    def __init__(
        self,
        market: Market,
        url: str,
        connections: int,
        observe: Callable[[Mapping[str, str]], None],
        now_ms: Callable[[], int],
        egress: str = "",
    ) -> None:
        self._observe = observe
        self._now_ms = now_ms
        self._base, self._connections, self._egress = url, connections, egress
        super().__init__(requests_params={"timeout": aiohttp.ClientTimeout(total=None), "allow_redirects": False})
        self._is_spot = market.name == "spot"
        self.API_URL, self.MARGIN_API_URL = f"{url}/api", f"{url}/sapi"
        self.FUTURES_URL, self.FUTURES_COIN_URL = f"{url}/fapi", f"{url}/dapi"
        self._market = market
        self.alive, self.clock, self.status, self.info = {
            "spot": (self.ping, self.get_server_time, self.get_system_status, self._spot_info),
            "usdm": (self.futures_ping, self.futures_time, _none, self._usdm_info),
            "coinm": (self.futures_coin_ping, self.futures_coin_time, _none, self._coinm_info),
        }[market.name]
        self.funding, self.funding_info = {
            "spot": (_none, _none),
            "usdm": (self.futures_funding_rate, self.futures_v1_get_funding_info),
            "coinm": (self.futures_coin_funding_rate, self.futures_coin_v1_get_funding_info),
        }[market.name]

    def _init_session(self) -> aiohttp.ClientSession:
        headers = {"Accept": "application/json", "User-Agent": "klines"}
        return web(self._base, self._connections, self._egress, headers=headers)

    async def _spot_info(self, symbols: Sequence[str]) -> Any:
        """exchangeInfo of some symbols; of none: as little as there is, for the limits."""
        names = quote(json.dumps(list(symbols), separators=(",", ":"), ensure_ascii=False))
        chosen = {"symbols": names} if symbols else {"symbolStatus": "HALT"}
        return await self._get("exchangeInfo", data={"showPermissionSets": "false", **chosen})

    def klines_of(self, kind: Kind) -> Callable[..., Awaitable[Any]]:
        """The method that asks for a page of klines of a kind."""
        method: Callable[..., Awaitable[Any]] = getattr(self, _KLINES[self._market.name, kind.name])
        return method

    async def all_info(self) -> Any:
        """exchangeInfo of all symbols."""
        if self._is_spot:
            return await self._get("exchangeInfo", data={"showPermissionSets": "false"})
        return await self.info(())

    async def _usdm_info(self, _: Sequence[str]) -> Any:
        return await self.futures_exchange_info()

    async def _coinm_info(self, _: Sequence[str]) -> Any:
        return await self.futures_coin_exchange_info()

    async def _handle_response(self, response: aiohttp.ClientResponse) -> Any:
        self._observe(response.headers)
        if response.status != 200:
            body = await _beginning(response)
            raise translate(response.status, body, response.headers, self._now_ms())
        route = response.url.name
        return parsed(await _body(response, LONGEST_BODIES.get(route, LONGEST_BODY)), MOST_PARTS.get(route, FEW_PARTS))


async def _none() -> dict[str, int]:
    """Futures have no system status."""
    return {}


async def _body(response: aiohttp.ClientResponse, longest: int) -> str:
    """The text of the answer after decompression, `longest` bytes at most."""
    parts, size = [], 0
    async for part in response.content.iter_chunked(2**16):
        parts.append(part)
        size += len(part)
        if size > longest:
            raise BadAnswer(f"the answer is longer than {longest / 2**20:g} MiB")
    return b"".join(parts).decode("utf-8", errors="replace")


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The beginning of an answer that is no success, as far as it can be read: its status counts, whatever follows."""
    body = b""
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):
        async with asyncio.timeout(BEGINNING_S):
            async for part in response.content.iter_chunked(2**12):
                body += part
                if len(body) >= LONGEST_BODY:
                    break
    return body[:LONGEST_BODY].decode("utf-8", errors="replace")


def parsed(body: str, most_parts: int) -> Any:
    """The JSON of an answer; raises BadAnswer where it is none, or has more lists and objects than `most_parts`."""
    if body.count("[") + body.count("{") > most_parts:
        raise BadAnswer(f"the answer has over {most_parts:,} lists and objects: {body[:100]!r}")
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise BadAnswer(f"the answer is no JSON: {body[:200]!r}") from None
