"""The archive's listing: which symbols there ever were, and which files there are of one, the oldest first. Pure.

Source: the bucket of data.binance.vision answers `?prefix=…&marker=…` with up to a thousand keys in XML, ascending; a
zip and its checksum are a key each. The names of files hold their day or month, so the first key is the oldest file.
Each symbol is a folder, a common prefix of its keys, which are listed in the same way.
"""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import urlencode, urlsplit

from klines.binance.files import FOLDERS, File
from klines.errors import BadArchive
from klines.market import Market
from klines.symbol import check_symbol
from klines.window import Window, intersect, merge

S3 = "https://s3-ap-northeast-1.amazonaws.com/data.binance.vision"
"""Where the bucket of data.binance.vision answers; any other archive does at its own address."""
LONGEST_LISTING = 2**20
MOST_KEYS = 10
"""Keys that are asked for at a time: the first is enough, but for the few that are no files."""
WHOLE_PAGE = 1000
"""Keys, or folders, of a page at most, where all are wanted."""
MOST_PAGES = 40
"""Of one listing; there are four of the folders of spot, and seven of the days of the oldest symbol."""
_FOLDER = re.compile(r"<CommonPrefixes>\s*<Prefix>([^<]*)</Prefix>")
_IS_CUT = "<IsTruncated>true</IsTruncated>"
_KEY = re.compile(r"<Key>([^<]*)</Key>")
_DATE = re.compile(r"(\d{4})-(\d{2})(?:-(\d{2}))?\.zip")


def folder(market: Market, symbol: str, *, is_month: bool) -> str:
    """The prefix of the keys of a symbol's months, or days, of 1m: the files that every symbol has."""
    return f"{symbols_folder(market, is_month=is_month)}{symbol}/1m/"


def symbols_folder(market: Market, *, is_month: bool) -> str:
    """The prefix of the folders of all symbols that have months, or days."""
    return f"data/{FOLDERS[market.name]}/{'monthly' if is_month else 'daily'}/{market.kind.route}/"


def listing_url(archive_url: str, prefix: str, marker: str = "", most: int = MOST_KEYS) -> str:
    """The address of the first keys below a prefix, or of the first after `marker`."""
    base = S3 if urlsplit(archive_url).hostname == "data.binance.vision" else f"{archive_url}/"
    asked = {"delimiter": "/", "prefix": prefix, "max-keys": most} | ({"marker": marker} if marker else {})
    return f"{base}?{urlencode(asked)}"


def listed_keys(listing: bytes, prefix: str) -> list[str]:
    """The keys that a listing names; raises BadArchive for what is no listing of this prefix."""
    return _named(listing, prefix, _KEY)


def listed_folders(listing: bytes, prefix: str) -> list[str]:
    """The folders that a listing names, each with its slash; raises as `listed_keys`."""
    return _named(listing, prefix, _FOLDER)


def goes_on(listing: bytes) -> bool:
    """Whether the listing says that there is more."""
    return _IS_CUT.encode() in listing


def _named(listing: bytes, prefix: str, pattern: re.Pattern[str]) -> list[str]:
    text = listing.decode(errors="replace")
    keys = [html.unescape(key) for key in pattern.findall(text)]
    if "<ListBucketResult" not in text or not all(key.startswith(prefix) for key in keys):
        raise BadArchive("its listing is none of what was asked for")
    return keys


def oldest_file(listing: bytes, market: Market, symbol: str, *, is_month: bool) -> File | None:
    """The first file that a listing names; None for a symbol without any. Raises BadArchive for what is no listing of
    this symbol."""
    keys = listed_keys(listing, folder(market, symbol, is_month=is_month))
    return min(files_named(keys, market, symbol, is_month=is_month), default=None)


def symbols_named_by(folders: Sequence[str]) -> list[str]:
    """The symbols whose folders these are; what is no name of one is left out."""
    found = []
    for path in folders:
        with contextlib.suppress(ValueError):
            found.append(check_symbol(path.rstrip("/").rpartition("/")[2]))
    return found


def spans_of(months: Sequence[File], days: Sequence[File]) -> list[Window]:
    """The times of which there are files: of months of which any day has one, its days'."""
    windows = [file.window for file in days]
    return merge([*windows, *(month.window for month in months if not intersect([month.window], windows))])


def files_named(keys: Sequence[str], market: Market, symbol: str, *, is_month: bool) -> Iterator[File]:
    """Those of the keys that are names of the symbol's files: there are a few others in the archive."""
    beginning = f"{folder(market, symbol, is_month=is_month)}{symbol}-1m-"
    for key in keys:
        date = _DATE.fullmatch(key.removeprefix(beginning)) if key.startswith(beginning) else None
        if date and (date[3] is None) == is_month:
            try:
                day = datetime(int(date[1]), int(date[2]), int(date[3] or 1), tzinfo=UTC)
            except ValueError:
                continue
            yield File(market.name, symbol, "1m", is_month, int(day.timestamp()) * 1000, market.kind.name)
