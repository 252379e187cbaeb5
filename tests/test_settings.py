"""Settings, read from the environment alone: what is accepted, and that a refusal names its variable."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from klines import settings
from klines.errors import BadParameter
from klines.settings import Settings
from tests import CHECKOUT

VARIABLES = ("DATABASE", "SYMBOLS", "SINCE", "SPOT_URL", "USDM_URL", "COINM_URL", "ARCHIVE_URL")


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(f"KLINES_{name}", raising=False)


@pytest.mark.skipif((CHECKOUT / ".env").exists(), reason="the checkout has a .env of its own")
def test_defaults() -> None:
    """With nothing set: a file in the checkout, ten USDT symbols, no `since`, Binance's own addresses."""
    loaded = settings.load()
    assert CHECKOUT / "klines.duckdb" == loaded.database
    assert 10 == len({symbol for symbol in loaded.symbols if symbol.endswith("USDT")})
    assert loaded.since_ms is None
    assert ["https://api.binance.com", "https://fapi.binance.com", "https://dapi.binance.com"] == [
        loaded.url(market) for market in ("spot", "usdm", "coinm")
    ]
    assert "https://data.binance.vision" == loaded.archive_url


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("some.duckdb", CHECKOUT / "some.duckdb"),
        ("data/some.duckdb", CHECKOUT / "data/some.duckdb"),
        ("./some.duckdb", CHECKOUT / "some.duckdb"),
        ("/somewhere/else.duckdb", Path("/somewhere/else.duckdb")),
        ("~/klines.duckdb", Path.home() / "klines.duckdb"),
        ("データ.duckdb", CHECKOUT / "データ.duckdb"),
    ],
)
def test_the_database_is_relative_to_the_checkout(
    value: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path is relative to the checkout, whatever folder the caller is in; ~ is the user's home."""
    monkeypatch.setenv("KLINES_DATABASE", value)
    monkeypatch.chdir(tmp_path)
    assert path == Settings().database


@pytest.mark.parametrize(
    "value",
    [
        "BTCUSDT,ETHUSDT",
        "BTCUSDT ETHUSDT",
        '["BTCUSDT","ETHUSDT"]',
        " BTCUSDT ,\tETHUSDT, ",
        ' [ "BTCUSDT", "ETHUSDT" ]',
    ],
)
def test_symbols_have_three_spellings(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commas, blanks and JSON all list symbols."""
    monkeypatch.setenv("KLINES_SYMBOLS", value)
    assert ["BTCUSDT", "ETHUSDT"] == settings.load().symbols


def test_a_symbol_may_be_of_any_script(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binance lists symbols outside ASCII."""
    monkeypatch.setenv("KLINES_SYMBOLS", "币安人生USDT")
    assert ["币安人生USDT"] == settings.load().symbols


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("SPOT_URL", "api.binance.com", "'api.binance.com' is no http"),
        ("SPOT_URL", "127.0.0.1:8080", "http"),
        ("SPOT_URL", "ftp://api.binance.com", "http"),
        ("SPOT_URL", "", "http"),
        ("SPOT_URL", "http://", "http"),
        ("USDM_URL", "file:///etc/passwd", "http"),
        ("COINM_URL", "//dapi.binance.com", "http"),
        ("ARCHIVE_URL", "data.binance.vision", "http"),
        ("SYMBOLS", "btcusdt", "'btcusdt'"),
        ("SYMBOLS", "BTCUSDT,BTC/USDT", "'BTC/USDT'"),
        ("SYMBOLS", '["BTCUSDT", 1]', "valid string"),
        ("SYMBOLS", '["BTCUSDT"', ""),
        ("SYMBOLS", "BTCUSDT;ETHUSDT", "upper-case letters and digits"),
        ("PING_URL", "hc-ping.com/uuid", "it is no http:// or https:// address"),
        ("SINCE", "yesterday", "date"),
        ("SINCE", "2024-02-30", "date"),
        ("SINCE", "2024-01-01T12:00", "date"),
    ],
)
def test_a_refusal_names_its_variable(variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that can't be used is one line: the variable's name, and what is wrong with it or allowed."""
    monkeypatch.setenv(f"KLINES_{variable}", value)
    with pytest.raises(BadParameter, match=f"^KLINES_{variable}: ") as raised:
        settings.load()
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("https://data-api.binance.vision/", "https://data-api.binance.vision"),
        ("http://proxy.local/binance/", "http://proxy.local/binance"),
    ],
)
def test_a_url_may_point_anywhere(value: str, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain http, a port and a path are allowed; a slash at the end makes no difference."""
    monkeypatch.setenv("KLINES_SPOT_URL", value)
    assert url == settings.load().url("spot")


def test_since_is_midnight_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date without a zone means UTC, whatever the machine's zone."""
    monkeypatch.setenv("KLINES_SINCE", "2024-03-10")
    assert datetime(2024, 3, 10, tzinfo=UTC).timestamp() * 1000 == settings.load().since_ms


@pytest.mark.parametrize(
    ("variable", "told"),
    [
        ("KLINES_SYMBOL", "KLINES_SYMBOL: there is no such setting; did you mean KLINES_SYMBOLS?"),
        ("KLINES_DATABSE", "did you mean KLINES_DATABASE?"),
        ("klines_spot", "KLINES_SPOT: there is no such setting; did you mean KLINES_SPOT_URL?"),
        ("KLINES_QQQ", "there are DATABASE, DATA_PATH, SYMBOLS, SINCE"),
    ],
)
def test_a_misspelt_setting_is_refused(variable: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A KLINES_ variable that is no setting would do nothing: it is refused with the nearest name."""
    monkeypatch.setenv(variable, "ETHUSDT")
    with pytest.raises(BadParameter) as raised:
        settings.load()
    assert told in str(raised.value)


def test_other_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What does not begin with KLINES_ is somebody else's."""
    monkeypatch.setenv("MY_KLINES_THING", "1")
    monkeypatch.setenv("KLINES_DATABASE", "x.duckdb")
    assert "x.duckdb" == settings.load().database.name


@pytest.mark.parametrize("value", ["", " ", "[]", ","])
def test_no_symbol_at_all_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the flow's own `symbols`, the setting must name at least one."""
    monkeypatch.setenv("KLINES_SYMBOLS", value)
    with pytest.raises(BadParameter, match=r"^KLINES_SYMBOLS: "):
        settings.load()


def test_a_home_of_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """~name of an unknown user is a bad setting, not a crash."""
    monkeypatch.setenv("KLINES_DATABASE", "~nobody-of-that-name/klines.duckdb")
    with pytest.raises(BadParameter, match=r"^KLINES_DATABASE: "):
        settings.load()


@pytest.mark.parametrize(
    "value",
    ["https:api.binance.com", "https:/api.binance.com", " https://api.binance.com", "https://api.binance.com?a=b"],
)
def test_a_url_that_needs_repair_is_refused_or_repaired(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is accepted can have a path appended: an http address with a host and no query."""
    monkeypatch.setenv("KLINES_SPOT_URL", value)
    try:
        url = settings.load().url("spot")
    except BadParameter:
        url = "https://api.binance.com"
    assert "https://api.binance.com" == url
