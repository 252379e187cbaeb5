"""Where things are: environment variables `KLINES_…`, also read from `.env` in the checkout, where there is one."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Self, TypeGuard
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    AnyHttpUrl,
    BeforeValidator,
    Field,
    PlainValidator,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from klines.checkout import CHECKOUT, ENV_FILE, env_file
from klines.errors import BadParameter
from klines.symbol import check_entries, check_entry

PREFIX = "KLINES_"
TEN_SYMBOLS = [
    f"{base}USDT" for base in ("BTC", "ETH", "BNB", "SOL", "XRP", "DOGE", "ADA", "TRX", "LINK", "AVAX")
]  # fmt: skip


LAKE = "ducklake:"
_POSTGRES = "postgres:"
_SECRET = re.compile(
    r"""(password\s*=\s*)('(?:[^'\\]|\\.)*(?:'\S*|$)|[^\s&]*)  # libpq's words, also in an address
    |   (://[^:@/\s]*:)\S*(?=@)                            # an address""",
    re.IGNORECASE | re.VERBOSE,
)
_DATABASE = re.compile(r"dbname\s*=\s*'?([^\s']+)|://[^/\s]+/([^?\s]+)")


@dataclass(frozen=True, slots=True, repr=False)
class LakeAddress:
    """A lake: `catalog` is how PostgreSQL is reached, as libpq has it, `data` a folder or s3://…, None where the
    catalog knows it already. As text it has no password.
    """

    catalog: str
    data: str | None = None

    @classmethod
    def of(cls, text: str) -> LakeAddress:
        """Of `ducklake:postgres:…`; raises ValueError for another catalog."""
        catalog = text.removeprefix(LAKE)
        if not catalog.startswith(_POSTGRES):
            raise ValueError(
                f"{LAKE}{catalog.split(':')[0]}… is no lake that several may write: a catalog in a file can't keep "
                "two writers of one symbol apart, and both would store the same kline; write "
                "ducklake:postgres:dbname=… host=…, or for one machine the path of a DuckDB file"
            )
        return cls(catalog.removeprefix(_POSTGRES).strip())

    @property
    def name(self) -> str:
        """The name of the catalog's database."""
        found = _DATABASE.search(self.catalog)
        return (found[1] or found[2]) if found else "lake"

    def __str__(self) -> str:
        return f"{LAKE}{_POSTGRES}{hidden_passwords(self.catalog)}"

    def __repr__(self) -> str:
        return f"LakeAddress({self}, {self.data})"


Address = Path | LakeAddress


def is_lake(value: object) -> TypeGuard[str]:
    """Whether a text names a lake, and no file."""
    return isinstance(value, str) and value.startswith(LAKE)


def hidden_passwords(text: str) -> str:
    """The text with `…` in the place of what libpq takes for a password."""
    return _SECRET.sub(lambda found: f"{found[1] or found[3]}…", text)


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
    try:
        return json.loads(value) if value.lstrip().startswith("[") else value.replace(",", " ").split()
    except RecursionError:
        raise ValueError("it is no list of names") from None


def _in_checkout(value: Path) -> Path:
    try:
        path = value.expanduser()
    except RuntimeError as error:
        raise ValueError(f"{value}: {error}") from None
    if CHECKOUT is None and not path.is_absolute():
        raise ValueError(f"{value} is relative, and this klines is not in a checkout; write an absolute path")
    return path if CHECKOUT is None else CHECKOUT / path


def _address(value: Any) -> Address:
    if isinstance(value, LakeAddress):
        return value
    if is_lake(value):
        return LakeAddress.of(value)
    return _in_checkout(TypeAdapter(Path).validate_python(value))


def _data_path(value: str, info: ValidationInfo) -> str:
    """A bucket as it is, a folder from the checkout on."""
    if isinstance(info.data.get("database"), Path):
        raise ValueError("a DuckDB file needs none; it is for a lake, KLINES_DATABASE=ducklake:postgres:…")
    if "://" in value and not value.startswith("s3://"):
        raise ValueError(f"{value} is neither a folder nor s3://bucket/path")
    return value.rstrip("/") if "://" in value else str(_in_checkout(Path(value)))


def _source_address(value: str) -> str:
    """An IP address in its one spelling; empty for none."""
    try:
        return str(ipaddress.ip_address(value.strip())) if value.strip() else ""
    except ValueError:
        raise ValueError(f"{value!r:.60} is no IP address; write one of this machine's, as in 203.0.113.7") from None


def _ping_url(value: SecretStr) -> SecretStr:
    """An address as it is, with its path and query; what is wrong with it is said without them."""
    parts = urlsplit(value.get_secret_value().strip())
    if value.get_secret_value() and not (parts.scheme in ("http", "https") and parts.hostname):
        raise ValueError("it is no http:// or https:// address")
    return SecretStr(value.get_secret_value().strip())


Url = Annotated[str, AfterValidator(_url)]
Entry = Annotated[str, AfterValidator(check_entry)]


class Settings(BaseSettings):
    """The settings of the table in docs/operating.md; `Settings()` reads them afresh."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=ENV_FILE, env_file_encoding="utf-8-sig", extra="ignore", hide_input_in_errors=True
    )

    database: Annotated[Address, PlainValidator(_address)] = CHECKOUT / "klines.duckdb" if CHECKOUT else Field()
    data_path: Annotated[str, AfterValidator(_data_path)] | None = None
    symbols: Annotated[list[Entry], NoDecode, BeforeValidator(_names), AfterValidator(check_entries)] = TEN_SYMBOLS
    since: date | None = None
    spot_url: Url = "https://api.binance.com"
    usdm_url: Url = "https://fapi.binance.com"
    coinm_url: Url = "https://dapi.binance.com"
    archive_url: Url = "https://data.binance.vision"
    egress: Annotated[str, AfterValidator(_source_address)] = ""
    ping_url: Annotated[SecretStr, AfterValidator(_ping_url)] = SecretStr("")

    @model_validator(mode="after")
    def _with_data(self) -> Self:
        if isinstance(self.database, LakeAddress) and self.data_path:
            self.database = replace(self.database, data=self.data_path)
        return self

    def url(self, market: str) -> str:
        """The REST base address of `market`."""
        return str(getattr(self, f"{market}_url"))

    def check_egress(self) -> None:
        """Raises BadParameter where requests can't leave by the address that they are to leave by."""
        if not self.egress:
            return
        try:
            with socket.socket(socket.AF_INET6 if ":" in self.egress else socket.AF_INET) as probe:
                probe.bind((self.egress, 0))
        except OSError as error:
            raise BadParameter(
                f"KLINES_EGRESS: {self.egress} is no address of this machine ({error.strerror}); `ip address` lists "
                "them, and where it is unset the system chooses one"
            ) from None

    @property
    def since_ms(self) -> int | None:
        """`since`, at midnight UTC, in epoch ms."""
        if self.since is None:
            return None
        return int(datetime(self.since.year, self.since.month, self.since.day, tzinfo=UTC).timestamp()) * 1000


def load() -> Settings:
    """The settings in force; raises BadParameter, naming the variable and what is allowed."""
    check_names()
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors()[0]
        name = f"{PREFIX}{str(first['loc'][0]).upper()}"
        text = "not set, and this klines is not in a checkout; set it to the path of a DuckDB file"
        said = text if first["type"] == "missing" else first["msg"].removeprefix("Value error, ")
        raise BadParameter(f"{name}: {said}") from None


def check_names() -> None:
    """Raises BadParameter for a variable that has our prefix and is no setting: a misspelt one would do nothing."""
    variables = [*os.environ, *env_file()]
    known = [name.upper() for name in Settings.model_fields]
    for variable in map(str.upper, variables):
        name = variable.removeprefix(PREFIX)
        if variable.startswith(PREFIX) and name not in known:
            near = get_close_matches(name, known, n=1)
            advice = f"did you mean {PREFIX}{near[0]}?" if near else f"there are {', '.join(known)}"
            raise BadParameter(f"{variable}: there is no such setting; {advice}")


def database_name() -> str:
    """The name of the database's file, for the name of a run; with settings that can't be used, as the run itself says,
    it is `klines`."""
    try:
        return load().database.name
    except BadParameter:
        return "klines"
