"""Tests of klines/audit."""
