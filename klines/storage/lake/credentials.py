"""What opens a lake's catalog and its bucket: given to DuckDB as secrets of the session, never part of a message."""

from __future__ import annotations

import os
from dataclasses import dataclass
from urllib.parse import urlsplit

from klines.errors import BadParameter
from klines.settings import hidden_passwords
from klines.storage.literal import literal

CATALOG, BUCKET = "klines_catalog", "klines_bucket"
"""What the secrets are called."""
_HIDDEN = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID", "PGPASSWORD")


@dataclass(frozen=True, slots=True, repr=False)
class Login:
    """How PostgreSQL is reached: what may be seen of it, and the password apart; `parts` are libpq's words."""

    parts: tuple[tuple[str, str], ...]
    password: str = ""

    @classmethod
    def of(cls, conninfo: str) -> Login:
        """Of a connection string or URI; raises BadParameter, which does not show it."""
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict

        try:
            parts = {name: str(value) for name, value in conninfo_to_dict(conninfo).items() if value is not None}
        except ProgrammingError:
            parts = {}
        if "dbname" not in parts:
            raise BadParameter(
                "KLINES_DATABASE: after ducklake:postgres: there must be libpq's words, such as dbname=klines "
                "host=db.example user=klines; a password is better kept in PGPASSWORD or ~/.pgpass"
            )
        password = parts.pop("password", "") or os.environ.get("PGPASSWORD", "")
        return cls(tuple(parts.items()), password)

    def conninfo(self, application: str) -> str:
        """The connection string without the password, for a session under this name; a host that is gone is noticed."""
        from psycopg.conninfo import make_conninfo

        alive = {"connect_timeout": "10", "keepalives_idle": "10", "keepalives_interval": "5", "keepalives_count": "3"}
        return make_conninfo("", **{**alive, **dict(self.parts), "application_name": application})

    def __str__(self) -> str:
        parts = dict(self.parts)
        host = parts.get("host", "this machine")
        return f"{parts['dbname']} on {host}" + (f":{parts['port']}" if "port" in parts else "")


def catalog_secret(login: Login) -> str:
    """The statement that gives DuckDB the password, if there is one; ~/.pgpass serves as well."""
    password = f", PASSWORD {literal(login.password)}" if login.password else ""
    return f"CREATE OR REPLACE TEMPORARY SECRET {CATALOG} (TYPE postgres{password})"


def bucket_secret(data: str) -> str | None:
    """The statement that gives DuckDB the keys of the AWS variables, for this s3://… alone; None where none are set:
    then DuckDB's own persistent secrets serve.
    """
    key = os.environ.get("AWS_ACCESS_KEY_ID")
    if not key:
        return None
    parts = {
        "KEY_ID": key,
        "SECRET": os.environ.get("AWS_SECRET_ACCESS_KEY", ""),
        "REGION": os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        "SCOPE": data,
    }
    if token := os.environ.get("AWS_SESSION_TOKEN"):
        parts["SESSION_TOKEN"] = token
    words = [f"{name} {literal(value)}" for name, value in parts.items()]
    words += _endpoint(os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL"))
    return f"CREATE OR REPLACE TEMPORARY SECRET {BUCKET} (TYPE s3, {', '.join(words)})"


def _endpoint(url: str | None) -> list[str]:
    """The words for a store that is not Amazon's."""
    if not url:
        return []
    parts = urlsplit(url if "://" in url else f"https://{url}")
    is_safe = str(parts.scheme != "http").lower()
    return [f"ENDPOINT {literal(parts.netloc + parts.path.rstrip('/'))}", "URL_STYLE 'path'", f"USE_SSL {is_safe}"]


def without_secrets(text: str, login: Login) -> str:
    """The text with `…` in the place of passwords and keys."""
    for secret in [login.password, *(os.environ.get(name, "") for name in _HIDDEN)]:
        if len(secret) > 3:
            text = text.replace(secret, "…")
    return hidden_passwords(text)
