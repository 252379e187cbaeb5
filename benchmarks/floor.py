"""The bare work of a minute: the same requests by asyncio alone, the same upsert without Prefect."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp

from klines.interval import INTERVALS, MINUTE
from klines.market import Market
from klines.rows import sift
from klines.storage.database import opened
from klines.storage.store import store
from klines.want import Want
from klines.window import Window

APIS = {"spot": "/api/v3", "usdm": "/fapi/v1", "coinm": "/dapi/v1"}
PATHS = {market: f"{api}/klines" for market, api in APIS.items()}


def floor(database: Path, market: Market, names: Sequence[str], url: str) -> tuple[float, float]:
    """The same requests by bare asyncio, and the same upsert without Prefect, in seconds; medians of three, each in a
    minute of its own, into whose weight it has to fit."""
    runs = []
    for minute in range(3):
        time.sleep(61 - time.time() % 60)
        runs.append(floor_once(database, market, names, url, minute))
    return statistics.median(r for r, _ in runs), statistics.median(u for _, u in runs)


def floor_once(database: Path, market: Market, names: Sequence[str], url: str, minute: int) -> tuple[float, float]:
    """Four klines of every symbol, of which one is new to the file."""
    interval = INTERVALS["1m"]
    with opened(database, time.monotonic() + 10) as connection:
        [(oldest_ms,)] = connection.execute("SELECT epoch_ms(min(open_time)) FROM klines").fetchall()
    window = Window(oldest_ms - (minute + 1) * MINUTE, oldest_ms - (minute - 3) * MINUTE)
    began = time.monotonic()
    bodies = asyncio.run(ask_all(market, names, f"{url}{APIS[market.name]}/{market.kind.route}", window))
    requested = time.monotonic()
    wants = []
    for name, body in zip(names, bodies, strict=True):
        want = Want(name, [window])
        want.rows, want.rejects = sift(body, interval, window, market.kind)
        want.answered = [window]
        wants.append(want)
    sifted = time.monotonic()
    with opened(database, time.monotonic() + 10) as connection:
        store(connection, market, interval, wants, now_ms=int(time.time() * 1000))
    return requested - began, time.monotonic() - sifted


async def ask_all(market: Market, names: Sequence[str], url: str, window: Window) -> list[Any]:
    """The answers, over 20 connections."""
    query = f"interval=1m&startTime={window.start_ms}&endTime={window.end_ms - 1}&limit=4"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=20)) as session:

        async def ask_one(name: str) -> Any:
            whose = urlencode(market.kind.parameters(name))
            async with session.get(f"{url}?{whose}&{query}") as answer:
                return await answer.json()

        return await asyncio.gather(*map(ask_one, names))
