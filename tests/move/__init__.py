"""Tests of klines/move."""
