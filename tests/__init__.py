"""The tests, and the stand-in of the exchange that they, the demo and the benchmarks run against."""
