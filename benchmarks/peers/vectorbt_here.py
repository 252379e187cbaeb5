"""A backtest of vectorbt on a frame that klines wrote, in an environment of its own.

    python vectorbt_here.py FILE

Prints the frame as pandas has it, and what was done as JSON.
"""

import json
import sys

import pandas
import vectorbt


def main() -> None:
    """Load, and trade: long while the close is above its mean of 20 klines."""
    frame = pandas.read_parquet(sys.argv[1])
    print(frame)
    close = frame["close"]
    is_above = close > close.rolling(20).mean()
    traded = vectorbt.Portfolio.from_signals(close, is_above, ~is_above, fees=0.001, freq="1min")
    print(json.dumps({"rows": len(frame), "trades": int(traded.trades.count())}))


if __name__ == "__main__":
    main()
