"""Tests of klines/storage."""
