"""python-binance's own way to history: `get_historical_klines`, of one symbol.

    python -m benchmarks.peers.historical URL SYMBOL START_MS END_MS

Prints seconds and rows as JSON.
"""

from __future__ import annotations

import json
import sys
import time

from binance import Client


def main() -> None:
    """Load, and print what it took."""
    url, symbol, start_ms, end_ms = sys.argv[1:]
    client = Client(ping=False)
    client.API_URL = f"{url}/api"
    began_s = time.monotonic()
    rows = client.get_historical_klines(symbol, "1m", int(start_ms), int(end_ms) - 1)
    print(json.dumps({"seconds": time.monotonic() - began_s, "rows": len(rows)}))


if __name__ == "__main__":
    main()
