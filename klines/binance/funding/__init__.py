"""Funding rates: what Binance publishes of them, by REST and in the archive, and at which hours."""
