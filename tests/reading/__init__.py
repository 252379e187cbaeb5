"""Tests of klines/reading."""
