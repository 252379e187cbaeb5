"""Reads all the time, in a process of its own, and says what was not as it should be: a line a question.

    python -m benchmarks.soak.readers --explorer http://127.0.0.1:4220 --seed 1

The line begins with `ok`, `refused` (an error of klines, or an explorer that is not there) or `wrong`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import polars as pl

import klines
from klines.cli.environment import spare_loopback
from klines.errors import KlinesError
from klines.reading.inventory import series

DAYS = 30
AHEAD = timedelta(minutes=30)
"""The exchange's clock is put ahead by less."""
EXPECTED = (200, 400, 503)
"""What the explorer may answer: 400 names what is wrong with the question, 503 says that it is busy."""


class Wrong(Exception):
    """What was read is not as it should be."""


class Reader:
    """Asks at random."""

    def __init__(self, chance: random.Random, explorer: str) -> None:
        self.chance = chance
        self.explorer = explorer
        self.questions: list[Callable[[], str]] = [
            *(self.read, self.read, self.derive, self.connect, self.connect_live, self.coverage),
            *(self.explore, self.explore, self.explore),
        ]

    def some(self) -> tuple[str, str, str]:
        """A series that is stored."""
        with klines.connect(live=True) as connection:
            found = series(connection).select("market", "symbol", "interval").rows()
        if not found:
            raise klines.errors.NotStored("nothing is stored yet")
        market, symbol, interval = self.chance.choice(found)
        return market, symbol, interval

    def times(self) -> tuple[datetime, datetime]:
        """A range in the time that is filled."""
        start = datetime.now(UTC) - timedelta(days=self.chance.random() ** 3 * DAYS, minutes=5)
        return start, start + timedelta(hours=self.chance.expovariate(1 / 6))

    def read(self) -> str:
        """Stored klines."""
        market, symbol, interval = self.some()
        start, end = self.times()
        return checked(klines.read(symbol, start, end, market=market, interval=interval), symbol)

    def derive(self) -> str:
        """Longer ones, made of them, every slot."""
        market, symbol, _ = self.some()
        start, end = self.times()
        interval = self.chance.choice(["15m", "1h", "1d"])
        return checked(klines.read(symbol, start, end, market=market, interval=interval, fill="null"), symbol)

    def connect(self) -> str:
        """SQL, on a snapshot."""
        with klines.connect(max_age=self.chance.choice(["PT2M", "PT10M", "PT1H"])) as connection:
            [(rows, slots)] = connection.execute(
                "SELECT count(*), count(DISTINCT (market, symbol, interval, open_time)) FROM klines"
            ).fetchall()
            connection.execute("FROM freshness").fetchall()
            connection.execute("FROM certificate").fetchall()
        if rows != slots:
            raise Wrong(f"{rows} rows in {slots} slots of a snapshot")
        return f"{rows} rows of a snapshot"

    def connect_live(self) -> str:
        """SQL, on the file itself."""
        with klines.connect(live=True) as connection:
            [(newest,)] = connection.execute("SELECT max(open_time) FROM klines").fetchall()
        return f"newest {newest}"

    def coverage(self) -> str:
        """How whole the days are."""
        found = klines.coverage(start=datetime.now(UTC) - timedelta(days=DAYS))
        negative = found.filter(pl.col("unexplained") < 0)
        if negative.height:
            raise Wrong(f"coverage: {negative.rows()[:3]}")
        return f"coverage of {found.height} days"

    def explore(self) -> str:
        """A question of the page; now and then one that makes no sense."""
        market, symbol, interval = self.some()
        start, end = self.times()
        name = self.chance.choice(["series", "freshness", "coverage", "klines"])
        asked = {"market": market, "interval": interval, "symbol": symbol}
        asked |= {"start": f"{start:%Y-%m-%dT%H:%M}", "end": f"{end:%Y-%m-%dT%H:%M}"}
        if self.chance.random() < 0.1:
            asked[self.chance.choice(list(asked))] = self.chance.choice(["", "$x", "9999-99-99", "💥", "'", "../.."])
        status = 200
        try:
            with urlopen(f"{self.explorer}/api/{name}?{urlencode(asked)}", timeout=60) as answer:
                json.loads(answer.read())
        except HTTPError as error:
            status, text = error.code, error.read().decode(errors="replace")
            if status not in EXPECTED or "error" not in json.loads(text):
                raise Wrong(f"explorer: {name} {asked}: {status} {text[:300]}") from None
        return f"explorer: {name} {status}"


def checked(found: pl.DataFrame, symbol: str) -> str:
    """Raises Wrong unless the klines are of the symbol, ascending, each once, and not of the future."""
    times = found["open_time"]
    if not (times.is_sorted() and times.n_unique() == found.height) or set(found["symbol"]) - {symbol}:
        raise Wrong(f"{symbol}: {found.height} rows, {times.n_unique()} times, sorted: {times.is_sorted()}")
    newest = times.max()
    if isinstance(newest, datetime) and newest.replace(tzinfo=UTC) > datetime.now(UTC) + AHEAD:
        raise Wrong(f"{symbol}: a kline of {newest}")
    return f"{found.height} rows of {symbol}"


def main() -> None:
    """Ask until somebody ends this."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--explorer", required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pause", type=float, default=8.0, help="seconds between questions, on average")
    options = parser.parse_args()
    chance = random.Random(f"{options.seed} {time.time()}")
    spare_loopback()
    reader = Reader(chance, options.explorer)
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            question = chance.choice(reader.questions)
            print(f"{datetime.now(UTC):%H:%M:%S} {asked(question)}", flush=True)
            time.sleep(chance.expovariate(1 / options.pause))


def asked(question: Callable[[], str]) -> str:
    """What became of it, in a line."""
    try:
        return f"ok {question()}"
    except (KlinesError, URLError, ConnectionError, TimeoutError) as error:
        return f"refused {type(error).__name__}: {error}"
    except Wrong as wrong:
        return f"wrong {wrong}"
    except Exception as foreign:
        return f"wrong {type(foreign).__name__}: {foreign}"


if __name__ == "__main__":
    main()
