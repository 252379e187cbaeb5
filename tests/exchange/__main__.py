"""Serve the stand-in until SIGINT or SIGTERM: `python -m tests.exchange --port 8765 --symbols BTCUSDT ETHUSDT`."""

from __future__ import annotations

import argparse
import contextlib
import signal
import threading
from pathlib import Path

from tests.exchange.server import StandIn

KNOWN = ["BTC", "ETH", "BNB", "SOL", "XRP", "ADA", "DOGE", "LTC", "LINK", "AVAX"]
KNOWN += ["DOT", "TRX", "UNI", "ATOM", "ETC", "XLM", "NEAR", "APT", "FIL", "ARB"]


def symbols(words: list[str]) -> list[str]:
    """The names given, or that many USDT pairs (`--symbols 20`); 10 if none is given."""
    if words and not words[0].isdecimal():
        return words
    count = int(words[0]) if words else 10
    return [f"{base}USDT" for base in KNOWN[:count]] + [f"COIN{n}USDT" for n in range(len(KNOWN), count)]


def main() -> None:
    """Serve, and say where."""
    parser = argparse.ArgumentParser(prog="python -m tests.exchange", description=__doc__)
    parser.add_argument("--port", type=int, default=8765, help="port on 127.0.0.1; 0: any free one")
    parser.add_argument("--symbols", nargs="*", default=[], help="names, or how many USDT pairs (default 10)")
    parser.add_argument("--any", action="store_true", help="answer for every upper-case name")
    parser.add_argument("--archives", type=Path, help="a folder with files of the archive, below data/")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # whichever thread gets it: some begin at an import
    with (
        contextlib.suppress(KeyboardInterrupt),
        StandIn(symbols(args.symbols), port=args.port, any_symbol=args.any) as exchange,
    ):
        exchange.folder = args.archives
        switch = f"curl -X POST '{exchange.url}/faults?symbol=ETHUSDT&kind=status&status=500' (off: -X DELETE)"
        print(f"exchange stand-in at {exchange.url}; a fault: {switch}", flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
