"""Benchmarks: run by hand, on loopback, each beside a floor or a peer measured in the same run."""
