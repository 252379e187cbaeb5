"""What the exchange stand-in can do: a benchmark that comes near to it measures the stand-in.

    python -m benchmarks.ceiling [--requests 2500]

Klines as a minute asks for them, and a file of the archive, which it sends as it is on disk, over 20 connections.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

import aiohttp

from benchmarks import measure
from benchmarks.floor import PATHS
from benchmarks.table import line, machine

SYMBOL, MONTH = "BTCUSDT", "2024-01"
CONNECTIONS = 20


def main() -> None:
    """Run it and print the lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=2500, help="of klines: 3,000 are a minute's weight")
    options = parser.parse_args()
    print(machine())
    path = f"/data/spot/monthly/klines/{SYMBOL}/1m/{SYMBOL}-1m-{MONTH}.zip"
    with tempfile.TemporaryDirectory() as folder:
        measure.make_archives(Path(folder), [path])
        with measure.exchange([SYMBOL], "--archives", folder) as url:
            query = f"{PATHS['spot']}?symbol={SYMBOL}&interval=1m&limit=4"
            answers, _ = asyncio.run(asked(url + query, options.requests))
            line("the stand-in: answers with four klines", answers, "/s")
            answers, bytes_ = asyncio.run(asked(url + path, options.requests))
            line("the stand-in: monthly files of the archive", answers, "/s")
            line("the same", bytes_ / 1e6, "MB/s")


async def asked(url: str, number: int) -> tuple[float, float]:
    """Answers and bytes a second, of so many requests."""
    urls, sizes = iter([url] * number), []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as session:

        async def ask() -> None:
            for url in urls:
                async with session.get(url, raise_for_status=True) as answer:
                    sizes.append(len(await answer.read()))

        began_s = time.monotonic()
        await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
        seconds = time.monotonic() - began_s
    return len(sizes) / seconds, sum(sizes) / seconds


if __name__ == "__main__":
    main()
