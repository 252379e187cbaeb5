"""`python -m klines.cli` is `klines`."""

from klines.cli import main

main()
