"""Tests of klines/rates."""
