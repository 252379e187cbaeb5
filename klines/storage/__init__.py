"""Where klines lie: the DuckDB file, opened in turns, written in one transaction, copied and kept whole."""
