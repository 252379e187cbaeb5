"""Binance klines, complete: every kline is stored as Binance published it, or named in a ledger that says why not."""
