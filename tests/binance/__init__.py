"""Tests of klines/binance."""
