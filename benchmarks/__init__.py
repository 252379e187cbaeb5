"""Benchmarks: run by hand, on loopback, each beside a floor or a peer measured in the same run."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
