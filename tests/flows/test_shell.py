"""The shell command: bad input is one line and status 2, before Prefect starts and anything is asked."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL

from flows.backfill import backfill
from flows.collect import collect
from flows.shell import validated
from klines.errors import BadParameter
from tests import CHECKOUT, stacks
from tests.drive import collect_once, remember_no_clocks
from tests.exchange import StandIn
from tests.proxies import ProxyServer
from tests.typed import Ended, Refused, typed

pytestmark = pytest.mark.slow


def test_parameters_of_the_command_line() -> None:
    """What the shell gives as text is converted as the flow's annotations say."""
    given = {"symbols": ["BTCUSDT", "ETHUSDT", "BTCUSDT"], "lookback": "PT3H", "interval": "1h"}
    wanted = {"symbols": ["BTCUSDT", "ETHUSDT"], "lookback": timedelta(hours=3), "interval": "1h"}
    assert wanted == validated(collect, given)
    assert {"symbols": None} == validated(collect, {"symbols": None})


@pytest.mark.parametrize(
    ("parameter", "value", "allowed"),
    [
        ("symbols", [], "at least one"),
        ("symbols", [""], "upper-case letters and digits"),
        ("symbols", ["btcusdt"], "upper-case letters and digits"),
        ("symbols", ["BTC/USDT"], "upper-case letters and digits"),
        ("symbols", ["BTC USDT"], "upper-case letters and digits"),
        ("symbols", ["BTCUSDT';--"], "upper-case letters and digits"),
        ("market", "forex", "'spot'"),
        ("interval", "7m", "'1m'"),
        ("lookback", "-P1D", "greater than or equal to 0"),
        ("lookback", "yesterday", "duration"),
    ],
)
def test_bad_parameter_is_named_with_what_is_allowed(parameter: str, value: object, allowed: str) -> None:
    """Each kind of bad input is refused in one line that names the parameter and says what is allowed."""
    with pytest.raises(BadParameter, match=f"^{parameter}: ") as error:
        validated(collect, {parameter: value})

    assert allowed in str(error.value)
    assert "\n" not in str(error.value)


NOWHERE = "http://127.0.0.1:9/api"
RANGE = "--start 2024-01-01 --end 2024-02-01"
REFUSED = [
    Refused("collect BTCUSDT", {"KLINES_SPOT_URL": "api.binance.com"}, 2, "KLINES_SPOT_URL: "),
    Refused("collect BTCUSDT", {"KLINES_SYMBOLS": "btc"}, 2, "KLINES_SYMBOLS: "),
    Refused("collect BTCUSDT", {"KLINES_SINCE": "soon"}, 2, "KLINES_SINCE: "),
    Refused("collect BTCUSDT", {"KLINES_DATABASE": "/nowhere/klines.duckdb"}, 2, "KLINES_DATABASE: the folder "),
    Refused("collect", {"PREFECT_API_URL": NOWHERE}, 1, f"no Prefect server answers at {NOWHERE}, which"),
    Refused(
        "collect", {"PREFECT_API_URL": "nonsense"}, 1, "no Prefect server answers at nonsense, which PREFECT_API_URL"
    ),
    Refused("collect", {"PREFECT_HOME": "/proc/nowhere"}, 1, "/proc/nowhere, for Prefect's things, can't be used"),
    Refused(f"backfill {RANGE}", {}, 2, ".*symbols"),
    Refused("backfill BTCUSDT --start soon --end 2024-02-01", {}, 2, "start: Input should be a valid datetime"),
    Refused("backfill BTCUSDT --start 2024-02-01 --end 2024-01-01", {}, 2, ".*is not before the end"),
    Refused(f"backfill BTCUSDT {RANGE} --source ftp", {}, 2, '.*"auto"'),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory: pytest.TempPathFactory) -> list[Ended]:
    """How each of REFUSED ended, by commands of one interpreter."""
    given = {"KLINES_DATABASE": str(tmp_path_factory.mktemp("refused") / "klines.duckdb"), "PREFECT_API_URL": ""}
    return typed([(one.line, given | one.settings) for one in REFUSED])


@pytest.mark.parametrize("number", range(len(REFUSED)))
def test_what_can_not_be_is_one_line(refused: list[Ended], number: int) -> None:
    """A command ends with one line that says why: with status 2 for a setting that can't be used, such as a database
    whose folder is missing, and for parameters that are missing, no date, backward or unknown; with status 1 where the
    server that is named does not answer, or a temporary one can't keep its things. Unless it is for a date, Prefect is
    not even imported."""
    wanted, ended = REFUSED[number], refused[number]
    assert (wanted.status, "") == (ended.status, ended.out)
    assert re.fullmatch(f"klines: {wanted.said}.*\n", ended.error), ended.error
    assert not ended.has_prefect or "backfill" in wanted.line


def test_a_module_of_flows_is_the_command() -> None:
    """`python -m flows.backfill …` is `klines backfill …`."""
    command = [sys.executable, "-m", "flows.backfill", "--start", "2024-01-01", "--end", "2024-02-01"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert (2, 1) == (done.returncode, done.stderr.count("\n"))
    assert "symbols" in done.stderr


def test_times_are_utc() -> None:
    """Dates without a zone are UTC."""
    given = validated(backfill, {"start": "2024-01-01", "end": "2024-02-01T12:00"})
    assert {"start": datetime(2024, 1, 1, tzinfo=UTC), "end": datetime(2024, 2, 1, 12, tzinfo=UTC)} == given


def test_json(exchange: StandIn, database: Path, tmp_path: Path, prefect_db: Path) -> None:
    """With --json an audit prints one JSON object: state, message, and the certificate with its hashes. Its temporary
    server has a home of ours, and neither a profile of the user's nor a proxy that refuses this machine keeps it: that
    is asked for Binance alone. At the end the server is gone. FastAPI, which that alone needs, was not imported."""
    remember_no_clocks(database)
    collect_once(exchange, database, ["BTCUSDT"])
    stacks.copy_home(prefect_db, tmp_path / "prefect")
    (tmp_path / ".prefect").mkdir()
    profiles = tmp_path / ".prefect" / "profiles.toml"
    profiles.write_text('active = "work"\n[profiles.work]\nPREFECT_API_URL = "http://127.0.0.1:9/api"\n')
    away = exchange.url.replace("127.0.0.1", "binance.example")
    environment = os.environ | {
        "KLINES_SPOT_URL": away,
        "KLINES_ARCHIVE_URL": away,
        "KLINES_DATABASE": str(database),
        "PREFECT_HOME": str(tmp_path / "prefect"),
        "PREFECT_PROFILES_PATH": str(profiles),
        "HOME": str(tmp_path),
    }
    command = [sys.executable, "-X", "importtime", "-m", "klines.cli", "audit", "--json"]
    with ProxyServer() as proxy:
        environment |= dict.fromkeys(("HTTP_PROXY", "https_proxy", "ALL_PROXY"), proxy.url)
        done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert ({"binance.example"}, []) == ({*proxy.asked}, proxy.refused)
    told = json.loads(done.stdout)
    assert (0, "Completed") == (done.returncode, told["state"])
    [row] = told["certificate"]
    assert ("BTCUSDT", 30, 30, 100.0) == tuple(row[k] for k in ("symbol", "expected", "stored", "percent_complete"))
    assert 32 == len(row["hash"])
    assert (tmp_path / "prefect" / "prefect.db").exists()
    assert [profiles] == list((tmp_path / ".prefect").iterdir())
    assert [] == stacks.left_running(environment)
    assert "Finished in state Completed" in done.stderr
    assert not any(text in done.stderr for text in ("Error logging to API", "View at "))  # its last logs reach it
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert {"prefect"} == imported & {"prefect", "fastapi"}


TYPED = """if True:
    import signal, sys
    signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever is started in the background ignores it
    from klines.cli import main
    main(sys.argv[1:])"""


@pytest.mark.usefixtures("prefect_server", "in_settings")
def test_ctrl_c_ends_what_waits(exchange: StandIn) -> None:
    """While a backfill waits for answers that do not come, Ctrl-C ends it at once, with status 130 and a last line that
    says what was kept, and no traceback: polars, which takes the signal, had kept it until the answers were there."""
    days = ["--start", "2025-12-01", "--end", "2025-12-10", "--source", "rest"]
    command = [sys.executable, "-c", TYPED, "backfill", "BTCUSDT", *days]
    environment = os.environ | {"PREFECT_API_URL": str(PREFECT_API_URL.value())}
    exchange.latency_s = 0.3
    with subprocess.Popen(command, cwd=CHECKOUT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not [request for request in exchange.kline_requests() if request.params["limit"] == "1000"]:
            time.sleep(0.05)
        exchange.latency_s = 600.0
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert (130, "klines: stopped; what is stored stays, and another run goes on from there") == (
        process.returncode,
        said.splitlines()[-1],
    )
    assert "Traceback" not in said


def test_a_server_that_does_not_come_up(database: Path, tmp_path: Path) -> None:
    """Where a temporary server can't use what is in its home there is one line that names its log, and status 1."""
    (tmp_path / "prefect.db").write_text("no database at all" * 100)
    environment = os.environ | {
        "KLINES_DATABASE": str(database),
        "PREFECT_API_URL": "",
        "PREFECT_HOME": str(tmp_path),
    }
    command = [sys.executable, "-m", "klines.cli", "collect"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True)
    assert (1, "", 1) == (done.returncode, done.stdout, done.stderr.count("\n"))
    assert f"comes up; see {tmp_path}/logs/temporary.log, or set PREFECT_HOME" in done.stderr
