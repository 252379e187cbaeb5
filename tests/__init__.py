"""The tests, and the stand-in of the exchange that they, the demo and the benchmarks run against."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
