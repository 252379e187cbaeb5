"""The shell command: bad input is one line and status 2, before Prefect starts and anything is asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from flows.backfill import backfill
from flows.collect import collect
from flows.shell import validated
from klines.errors import BadParameter
from tests import CHECKOUT, stacks
from tests.drive import collect_once, remember_no_clocks
from tests.exchange import StandIn
from tests.proxies import ProxyServer

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


@pytest.mark.parametrize(
    ("variable", "value"),
    [("KLINES_SPOT_URL", "api.binance.com"), ("KLINES_SYMBOLS", "btc"), ("KLINES_SINCE", "soon")],
)
def test_bad_setting_is_one_line_and_status_2(variable: str, value: str) -> None:
    """A setting that can't be used ends the command with status 2 and one line naming it; Prefect never starts."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.collect"],
        cwd=CHECKOUT,
        env=os.environ | {variable: value},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 2 == done.returncode
    assert done.stderr.startswith(f"klines: {variable}: ")
    assert 1 == done.stderr.count("\n")
    assert "" == done.stdout


def test_database_that_can_not_be_used_fails_before_any_request(tmp_path: Path) -> None:
    """A database path whose folder is missing is refused with the setting's name; status 2, no server started."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.collect", "--symbols", "BTCUSDT"],
        cwd=CHECKOUT,
        env=os.environ | {"KLINES_DATABASE": str(tmp_path / "no" / "klines.duckdb")},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert 2 == done.returncode
    assert done.stderr.startswith("klines: KLINES_DATABASE: the folder ")
    assert 1 == done.stderr.count("\n")


def test_times_are_utc() -> None:
    """Dates without a zone are UTC."""
    given = validated(backfill, {"start": "2024-01-01", "end": "2024-02-01T12:00"})
    assert {"start": datetime(2024, 1, 1, tzinfo=UTC), "end": datetime(2024, 2, 1, 12, tzinfo=UTC)} == given


def test_json(exchange: StandIn, database: Path, tmp_path: Path, prefect_db: Path) -> None:
    """With --json an audit prints one JSON object: state, message, and the certificate with its hashes. Its temporary
    server has a home of ours, and neither a profile of the user's nor a proxy that refuses this machine keeps it: that
    is asked for Binance alone."""
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
    command = [sys.executable, "-m", "flows.audit", "--json"]
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
    assert "Finished in state Completed" in done.stderr
    assert not any(text in done.stderr for text in ("Error logging to API", "View at "))  # its last logs reach it


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"PREFECT_API_URL": "http://127.0.0.1:9/api"}, "no Prefect server answers at http://127.0.0.1:9/api, which"),
        ({"PREFECT_API_URL": "nonsense"}, "no Prefect server answers at nonsense, which PREFECT_API_URL names"),
        ({"PREFECT_HOME": "/proc/nowhere"}, "/proc/nowhere, for Prefect's things, can't be used"),
        (
            {"PREFECT_HOME": "{damaged}"},
            "comes up; see {damaged}/logs/temporary.log, or set PREFECT_HOME",
        ),
    ],
)
def test_a_server_that_can_not_be_had(variables: dict[str, str], said: str, database: Path, tmp_path: Path) -> None:
    """Where the server that is named does not answer, and where a temporary one can't keep its things, there is one
    line, and status 1."""
    (tmp_path / "prefect.db").write_text("no database at all" * 100)
    given = {name: value.format(damaged=tmp_path) for name, value in variables.items()}
    environment = os.environ | {"KLINES_DATABASE": str(database), "PREFECT_API_URL": "", **given}
    command = [sys.executable, "-m", "klines.cli", "collect"]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, timeout=60)
    assert (1, "") == (done.returncode, done.stdout)
    assert said.format(damaged=tmp_path) in done.stderr
    assert 1 == done.stderr.count("\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--start", "2024-01-01", "--end", "2024-02-01"], "symbols"),
        (["--symbols", "BTCUSDT", "--start", "soon", "--end", "2024-02-01"], "start: Input should be a valid datetime"),
        (["--symbols", "BTCUSDT", "--start", "2024-02-01", "--end", "2024-01-01"], "is not before the end"),
        (["--symbols", "BTCUSDT", "--start", "2024-01-01", "--end", "2024-02-01", "--source", "ftp"], '"auto"'),
    ],
)
def test_a_backfill_that_can_not_be_is_one_line_and_status_2(arguments: list[str], said: str) -> None:
    """What is missing, no date, backward or unknown ends the command with status 2 and one line that names it."""
    done = subprocess.run(
        [sys.executable, "-m", "flows.backfill", *arguments], cwd=CHECKOUT, capture_output=True, text=True
    )
    assert 2 == done.returncode
    assert said in done.stderr
    assert 1 == done.stderr.count("\n")
