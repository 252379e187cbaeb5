"""`python -m klines.explorer` is `klines explore`."""

import sys

from klines.cli import main

main(["explore", *sys.argv[1:]])
