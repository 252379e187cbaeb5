"""The sub-commands and the order in which help shows them."""

from __future__ import annotations

from importlib import metadata

from cyclopts import App, Group

from klines.checkout import DISTRIBUTION
from klines.cli import look, work


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "not installed: a checkout"


app = App(
    name="klines",
    help="Every Binance kline in one DuckDB file: stored as published, or named in a ledger that says why not.",
    help_epilogue="Example: `klines read BTCUSDT --start 2024-01-01 --interval 1h`. Each command has its own `--help`.",
    version=_version,
    suppress_keyboard_interrupt=False,  # it would exit without a word
)
STACK = Group("Collect, in the checkout", sort_key=1)
FLOWS = Group("One run, in the checkout", sort_key=2)
LOOK = Group("Use the data, anywhere", sort_key=3)

for group, commands in ((STACK, work.STACK), (FLOWS, work.FLOWS), (LOOK, look.LOOK)):
    for place, (name, (command, example)) in enumerate(commands.items()):
        app.command(command, name, group=group, sort_key=place, help_epilogue=f"Example: `{example}`")
