"""The stack that the tests of this room share, one after the other: starting one costs more than most of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import stacks
from tests.exchange import StandIn
from tests.stacks import LINE, Running, stack

SYMBOLS = [f"{base}USDT" for base in ("BTC", "ETH", "BNB", "SOL", "XRP", "DOGE", "ADA", "TRX", "LINK", "AVAX")]


@pytest.fixture(scope="package")
def shared(prefect_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack with all deployments, after its first run on schedule; the others are asked for. It ends
    with the last test of this room."""
    folder = tmp_path_factory.mktemp("stack")
    with StandIn(any_symbol=True) as exchange:
        environment = stacks.environment(folder, exchange.url, SYMBOLS)
        stacks.copy_home(prefect_db, Path(environment["PREFECT_HOME"]))
        with stack(environment, stacks.prefect_file(folder)) as process:
            found = Running(process, environment, exchange)
            found.hear(LINE.fullmatch)
            found.pause()
            yield found


@pytest.fixture(scope="module")
def running(shared: Running) -> Running:
    """That stack, with nothing wrong with its exchange."""
    shared.exchange.maintenance = False
    shared.exchange.clear()
    return shared
