"""Tests of klines/explorer."""
