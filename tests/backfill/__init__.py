"""Tests of klines/backfill."""
