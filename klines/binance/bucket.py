"""The archive's listing: which files there are of a symbol, the oldest first. Pure.

Source: the bucket of data.binance.vision answers `?prefix=…&marker=…` with up to a thousand keys in XML, ascending; a
zip and its checksum are a key each. The names of files hold their day or month, so the first key is the oldest file.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from klines.binance.files import FOLDERS, File
from klines.errors import BadArchive

S3 = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
"""Where the bucket of data.binance.vision answers; any other archive does at its own address."""
LONGEST_LISTING = 2**20
MOST_KEYS = 10
"""Keys that are asked for at a time: the first is enough, but for the few that are no files."""
_KEY = re.compile(r"<Key>([^<]*)</Key>")
_DATE = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?\.zip")


def folder(market: str, symbol: str, *, is_month: bool) -> str:
    """The prefix of the keys of a symbol's months, or days, of 1m: the files that every symbol has."""
    return f"data/{FOLDERS[market]}/{'monthly' if is_month else 'daily'}/klines/{symbol}/1m/"


def listing_url(archive_url: str, prefix: str, marker: str = "") -> str:
    """The address of the first keys below a prefix, or of the first after `marker`."""
    base = S3 if urlsplit(archive_url).hostname == "data.binance.vision" else f"{archive_url}/"
    asked = {"delimiter": "/", "prefix": prefix, "max-keys": MOST_KEYS} | ({"marker": marker} if marker else {})
    return f"{base}?{urlencode(asked)}"


def listed_keys(listing: bytes, prefix: str) -> list[str]:
    """The keys that a listing names; raises BadArchive for what is no listing of this prefix."""
    text = listing.decode(errors="replace")
    keys = [html.unescape(key) for key in _KEY.findall(text)]
    if "<ListBucketResult" not in text or not all(key.startswith(prefix) for key in keys):
        raise BadArchive("its listing is none of what was asked for")
    return keys


def oldest_file(listing: bytes, market: str, symbol: str, *, is_month: bool) -> File | None:
    """The first file that a listing names; None for a symbol without any. Raises BadArchive for what is no listing of
    this symbol."""
    prefix = folder(market, symbol, is_month=is_month)
    keys = listed_keys(listing, prefix)
    return min(_files(keys, f"{prefix}{symbol}-1m-", market, symbol, is_month), default=None)


def _files(keys: list[str], beginning: str, market: str, symbol: str, is_month: bool) -> Iterator[File]:
    """Those of the keys that are names of files: there are a few others in the archive."""
    for key in keys:
        date = _DATE.fullmatch(key.removeprefix(beginning)) if key.startswith(beginning) else None
        if date and (date[3] is None) == is_month:
            try:
                day = datetime(int(date[1]), int(date[2]), int(date[3] or 1), tzinfo=UTC)
            except ValueError:
                continue
            yield File(market, symbol, "1m", is_month, int(day.timestamp()) * 1000)
