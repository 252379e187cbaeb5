"""The same questions as benchmarks.read asks, of freqtrade's feather files, by pandas in an environment of its own.

    python feather.py FOLDER QUESTION

A file is read as freqtrade's FeatherDataHandler reads it, and cut to the range; it has six columns, ours sixteen.
Prints the seconds of each of a few tries and the rows of the answer as JSON.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.feather  # noqa: F401 - else the first question would take its import, too

RESAMPLED = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}


def main() -> None:
    """Ask, and print what it took."""
    folder, question = Path(sys.argv[1]), json.loads(sys.argv[2])
    files = [folder / f"{symbol.removesuffix('USDT')}_USDT-1m.feather" for symbol in question["symbols"]]
    start, end = (pd.Timestamp(question[name], unit="ms", tz="UTC") for name in ("start_ms", "end_ms"))
    seconds, rows = [], 0
    for _ in range(question["tries"]):
        began_s = time.perf_counter()
        rows = sum(len(answer(file, start, end, question["interval"])) for file in files)
        seconds.append(time.perf_counter() - began_s)
    print(json.dumps({"seconds": seconds, "rows": rows}))


def answer(file: Path, start: Any, end: Any, interval: str) -> Any:
    """A symbol's klines in the range."""
    klines = pd.read_feather(file)
    klines.columns = ["date", "open", "high", "low", "close", "volume"]
    klines["date"] = pd.to_datetime(klines["date"], unit="ms", utc=True)
    klines = klines[(klines["date"] >= start) & (klines["date"] < end)]
    return klines if interval == "1m" else klines.resample(interval, on="date").agg(RESAMPLED)


if __name__ == "__main__":
    main()
