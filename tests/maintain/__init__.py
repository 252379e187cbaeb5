"""Tests of klines/maintain."""
