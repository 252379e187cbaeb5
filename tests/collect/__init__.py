"""Tests of klines/collect."""
