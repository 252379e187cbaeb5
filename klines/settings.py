"""Where things are: environment variables `KLINES_…`, also read from `.env` in the checkout."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import AfterValidator, AnyHttpUrl, BeforeValidator, TypeAdapter, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from klines.errors import BadParameter
from klines.symbol import check_entries, check_entry

CHECKOUT = Path(__file__).resolve().parent.parent
TEN_SYMBOLS = [
    f"{base}USDT" for base in ("BTC", "ETH", "BNB", "SOL", "XRP", "DOGE", "ADA", "TRX", "LINK", "AVAX")
]  # fmt: skip


def _url(value: str) -> str:
    parts = urlsplit(value.strip())
    try:
        is_base = parts.scheme in ("http", "https") and bool(parts.hostname) and not parts.query and not parts.fragment
        TypeAdapter(AnyHttpUrl).validate_python(value.strip())
    except ValueError:
        is_base = False
    if not is_base:
        raise ValueError(f"{value!r} is no http:// or https:// address")
    return value.strip().rstrip("/")


def _names(value: Any) -> Any:
    """`A,B`, `A B` and `["A","B"]` are all lists of names."""
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else value.replace(",", " ").split()


def _in_checkout(value: Path) -> Path:
    try:
        return CHECKOUT / value.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value}: {error}") from None


Url = Annotated[str, AfterValidator(_url)]
Entry = Annotated[str, AfterValidator(check_entry)]


class Settings(BaseSettings):
    """The settings of README's table; `Settings()` reads them afresh."""

    model_config = SettingsConfigDict(env_prefix="KLINES_", env_file=CHECKOUT / ".env", extra="ignore")

    database: Annotated[Path, AfterValidator(_in_checkout)] = CHECKOUT / "klines.duckdb"
    symbols: Annotated[list[Entry], NoDecode, BeforeValidator(_names), AfterValidator(check_entries)] = TEN_SYMBOLS
    since: date | None = None
    spot_url: Url = "https://api.binance.com"
    usdm_url: Url = "https://fapi.binance.com"
    coinm_url: Url = "https://dapi.binance.com"
    archive_url: Url = "https://data.binance.vision"

    def url(self, market: str) -> str:
        """The REST base address of `market`."""
        return str(getattr(self, f"{market}_url"))

    @property
    def since_ms(self) -> int | None:
        """`since`, at midnight UTC, in epoch ms."""
        if self.since is None:
            return None
        return int(datetime(self.since.year, self.since.month, self.since.day, tzinfo=UTC).timestamp()) * 1000


def load() -> Settings:
    """The settings in force; raises BadParameter, naming the variable and what is allowed."""
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"KLINES_{str(first['loc'][0]).upper()}"
        raise BadParameter(f"{name}: {first['msg'].removeprefix('Value error, ')}") from None


def database_name() -> str:
    """The name of the database's file, for the name of a run; with settings that can't be used, as the run itself says,
    it is `klines`."""
    try:
        return load().database.name
    except BadParameter:
        return "klines"
