"""Tests of klines/tables."""
