"""Tests of klines/doctor."""
