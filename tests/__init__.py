"""The tests, and the stand-in of the exchange that they, the demo and the benchmarks run against."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
AS_USERS = Path(__file__).with_name("as_users")
"""On the path of the processes that tests start, as packages are not there that only tests need."""
LONGEST_S = 240
"""How long a test waits for what will never come; what does may take a machine that is busy with other things a
minute."""
