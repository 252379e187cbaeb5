"""python-binance lives here and nowhere else: one request a call, every answer read within bounds.

Only calls that make one request are used: `get_historical_klines` loses rows, and a sync client swaps answers between
threads.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import aiohttp

from klines.binance.faults import translate
from klines.errors import BadAnswer

with warnings.catch_warnings():  # python-binance imports websockets.legacy, which nothing here uses
    warnings.simplefilter("ignore", DeprecationWarning)
    from binance import AsyncClient
LONGEST_BODY = 32 * 2**20
"""Bytes of one answer; spot's whole exchangeInfo has about half."""


class Client(AsyncClient):  # type: ignore[misc]  # python-binance has no types
    """python-binance's client, with our session, and every answer read within bounds and turned into ours."""

    def __init__(
        self,
        market: str,
        url: str,
        connections: int,
        observe: Callable[[Mapping[str, str]], None],
        now_ms: Callable[[], int],
    ) -> None:
        self._observe = observe
        self._now_ms = now_ms
        self._connections = connections
        super().__init__(requests_params={"timeout": aiohttp.ClientTimeout(total=None), "allow_redirects": False})
        self._is_spot = market == "spot"
        self.API_URL, self.MARGIN_API_URL = f"{url}/api", f"{url}/sapi"
        self.FUTURES_URL, self.FUTURES_COIN_URL = f"{url}/fapi", f"{url}/dapi"
        self.klines, self.alive, self.clock, self.status, self.info = {
            "spot": (self.get_klines, self.ping, self.get_server_time, self.get_system_status, self._spot_info),
            "usdm": (self.futures_klines, self.futures_ping, self.futures_time, _none, self._usdm_info),
            "coinm": (
                self.futures_coin_klines,
                self.futures_coin_ping,
                self.futures_coin_time,
                _none,
                self._coinm_info,
            ),
        }[market]

    def _init_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._connections),
            headers={"Accept": "application/json", "User-Agent": "klines"},
            trust_env=True,
        )

    async def _spot_info(self, symbols: Sequence[str]) -> Any:
        """exchangeInfo of some symbols; of none: as little as there is, for the limits."""
        names = quote(json.dumps(list(symbols), separators=(",", ":"), ensure_ascii=False))
        chosen = {"symbols": names} if symbols else {"symbolStatus": "HALT"}
        return await self._get("exchangeInfo", data={"showPermissionSets": "false", **chosen})

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
        body = await _body(response)
        if response.status != 200:
            raise translate(response.status, body, response.headers, self._now_ms())
        try:
            return json.loads(body)
        except (ValueError, RecursionError):
            raise BadAnswer(f"the answer is no JSON: {body[:200]!r}") from None


async def _none() -> dict[str, int]:
    """Futures have no system status."""
    return {}


async def _body(response: aiohttp.ClientResponse) -> str:
    """The text of the answer, at most LONGEST_BODY bytes of it after decompression."""
    parts, size = [], 0
    async for part in response.content.iter_chunked(2**16):
        parts.append(part)
        size += len(part)
        if size > LONGEST_BODY:
            raise BadAnswer(f"the answer is longer than {LONGEST_BODY >> 20} MiB")
    return b"".join(parts).decode("utf-8", errors="replace")
