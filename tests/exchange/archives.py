"""The bulk archive of data.binance.vision, below /data: zips made of the same klines that REST serves, with checksums.

As there: no header on spot, one on futures since 2022; microseconds on spot since 2025; a file appears some hours after
its day, or days after its month, and one without klines never does. A checksum line has no newline at its end.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import NamedTuple

import polars as pl

from tests.exchange.broken import RULES
from tests.exchange.faults import Answer, Asked
from tests.exchange.funding import HEADER_OF_RATES, Fundings
from tests.exchange.market import (
    DAY_MS,
    HOUR_MS,
    LENGTH_MS,
    MANY,
    Page,
    Rows,
    Run,
    floor,
    following,
    made_by_columns,
    made_one_by_one,
    of_kind,
)

ROUTE = "(?P<route>klines|(?:mark|index)PriceKlines|premiumIndexKlines)"
PATH = re.compile(
    r"/data/(?P<market>spot|futures/um|futures/cm)/(?P<kind>daily|monthly)/" + ROUTE + r"/(?P<symbol>[^/]+)"
    r"/(?P<interval>\w+)/(?P<name>(?P=symbol)-(?P=interval)-(?P<date>\d{4}-\d\d(-\d\d)?))\.zip(?P<checksum>\.CHECKSUM)?"
)
FOLDERS = re.compile(r"data/(?P<market>spot|futures/um|futures/cm)/(?P<kind>daily|monthly)/" + ROUTE + "/")
FOLDER = re.compile(FOLDERS.pattern + r"(?P<symbol>[^/]+)/(?P<interval>\w+)/")
FOLDERS_OF_RATES = re.compile(r"data/(?P<market>futures/um|futures/cm)/monthly/fundingRate/")
RATES = r"data/(?P<market>futures/um|futures/cm)/monthly/fundingRate/(?P<symbol>[^/]+)/"
PATH_OF_RATES = re.compile(
    rf"/{RATES}(?P<name>(?P=symbol)-fundingRate-(?P<date>\d{{4}}-\d\d))\.zip(?P<checksum>\.CHECKSUM)?"
)
XMLNS = "http://s3.amazonaws.com/doc/2006-03-01/"
MARKETS = {"spot": "spot", "futures/um": "usdm", "futures/cm": "coinm"}
NO_DAILY = ("3d", "1w", "1M")
HEADER = (
    "open_time,open,high,low,close,volume,close_time,quote_volume,count,taker_buy_volume,taker_buy_quote_volume,ignore"
)
US_FROM_MS, HEADER_FROM_MS = 1_735_689_600_000, 1_640_995_200_000
KINDS = ("wrong_checksum", "no_checksum", "odd_checksum", "cut_zip", "corrupt_zip", "odd_member", "two_members", "bomb")
Edit = Callable[[Rows], Rows]


class Wanted(NamedTuple):
    """A file as its path names it, and how it is written: with a header, in microseconds."""

    market: str
    kind: str
    symbol: str
    interval: str
    name: str
    start_ms: int
    end_ms: int
    is_checksum: bool
    is_headed: bool
    in_us: bool
    route: str = "klines"


class Archives(Fundings):
    """What the archive serves; a file that `folder` holds, at the path of its address, goes before one made anew."""

    def __init__(self, markets: Iterable[str], any_symbol: bool) -> None:
        super().__init__(markets, any_symbol)
        self.broken: set[str] = set()
        self.folder: Path | None = None
        self.published_after_ms = {"daily": 6 * HOUR_MS, "monthly": 2 * DAY_MS}
        self._placed: dict[str, bytes | None] = {}
        self._edits: dict[str, Edit] = {}
        self._spoiled: dict[str, tuple[str, int, list[int]]] = {}

    def break_rule(self, rule: str) -> None:
        """Break one of Binance's rules from now on, see RULES."""
        if rule not in RULES:
            raise ValueError(f"no rule {rule!r}, one of: {', '.join(RULES)}")
        self.broken.add(rule)
        self._zips = {}

    def place(self, name: str, body: bytes | None) -> None:
        """Serve these bytes as `name`.zip (BTCUSDT-1m-2020-01-01), with their checksum; None: there is no such file."""
        self._placed[name] = body

    def misprint(self, name: str, edit: Edit) -> None:
        """Let the archive's file differ from REST: `edit` is given its REST rows."""
        self._edits[name] = edit
        self._zips = {}

    def spoil(self, name: str, kind: str, times: int = -1) -> None:
        """Spoil the next `times` (−1: all) downloads of a file; see KINDS."""
        if kind not in KINDS:
            raise ValueError(f"no kind {kind!r}, one of: {' '.join(KINDS)}")
        self._spoiled[name] = (kind, times, [0, 0])

    def keep(self, path: str, now_ms: int) -> None:
        """Make a zip and its checksum into `folder`, unless they are there."""
        assert self.folder is not None
        place, wanted = self.folder / path[1:], named(path)
        body = None if wanted is None or place.exists() else self._zip(wanted, now_ms)
        if wanted is None or body is None:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{place}.CHECKSUM").write_text(checksum(wanted, body, "").body)
        place.write_bytes(body)

    def archived(self, asked: Asked) -> Answer:
        """The answer to a request below /data."""
        wanted = named(asked.path)
        if wanted and self.folder and (kept := self.folder / asked.path[1:]).is_file():
            return Answer(file=kept, kind="binary/octet-stream" if wanted.is_checksum else "application/zip")
        is_hidden = "months are 1mo" in self.broken and "-1mo-" in asked.path
        body = None if wanted is None or is_hidden else self._zip(wanted, asked.now_ms)
        if wanted is None or body is None:
            status = 404 if "files that are not there are 404" not in self.broken else 403
            return Answer(status, "<Error><Code>NoSuchKey</Code></Error>", kind="application/xml")
        kind = self._strike(wanted)
        if wanted.is_checksum:
            return checksum(wanted, body, kind)
        return Answer(raw=spoiled(wanted, body, kind), kind="application/zip")

    def listed(self, asked: Asked) -> Answer:
        """The bucket's listing: a thousand keys at most that begin with `prefix` and come after `marker`, ascending."""
        prefix, most = asked.params.get("prefix", ""), min(1000, int(asked.params.get("max-keys", 1000)))
        marker = asked.params.get("marker", "") if "listings go on after a marker" not in self.broken else ""
        most = most if "listings have max-keys" not in self.broken else 1000
        if FOLDERS.fullmatch(prefix):
            return self._listed_folders(prefix, "1m/", marker, most, asked.now_ms)
        if FOLDERS_OF_RATES.fullmatch(prefix):
            return self._listed_folders(prefix, "", marker, most, asked.now_ms)
        keys = [key for key in self._keys(prefix, asked.now_ms) if key > marker]
        keys = keys if "listings ascend" not in self.broken else keys[most - 1 :: -1] + keys[most:]
        contents = "".join(f"<Contents><Key>{escape(key)}</Key><Size>1</Size></Contents>" for key in keys[:most])
        is_cut = str(len(keys) > most).lower()
        text = f"<Prefix>{escape(prefix)}</Prefix><IsTruncated>{is_cut}</IsTruncated>{contents}"
        body = f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="{XMLNS}">{text}</ListBucketResult>'
        return Answer(body=body, kind="application/xml")

    def _listed_folders(self, prefix: str, below: str, marker: str, most: int, now_ms: int) -> Answer:
        """The folders of symbols that have a file `below`, of which a page ends with its NextMarker."""
        names = [name for name in self.listings if self._keys(f"{prefix}{name}/{below}", now_ms)]
        folders = sorted(folder for name in names if (folder := f"{prefix}{name}/") > marker)
        shown, is_cut = folders[:most], len(folders) > most
        body = "".join(f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in shown)
        after = f"<NextMarker>{escape(shown[-1])}</NextMarker>" if is_cut else ""
        text = f"<Prefix>{escape(prefix)}</Prefix>{after}<IsTruncated>{str(is_cut).lower()}</IsTruncated>{body}"
        return Answer(body=f'<ListBucketResult xmlns="{XMLNS}">{text}</ListBucketResult>', kind="application/xml")

    def _keys(self, prefix: str, now_ms: int) -> list[str]:
        """The files, and their checksums, below the folder of a series, whether or not each can be made."""
        if rates := re.fullmatch(RATES, prefix):
            return self._keys_of_rates(prefix, MARKETS[rates["market"]], rates["symbol"], now_ms)
        found = FOLDER.fullmatch(prefix)
        market = MARKETS[found["market"]] if found else ""
        listing = self.listing(market, self._whose(found["route"], market, found["symbol"])) if found else None
        if found is None or listing is None:
            return []
        step, until_ms = {"daily": "1d", "monthly": "1M"}[found["kind"]], min(listing.until_ms or now_ms, now_ms)
        holes = [(start_ms, end_ms) for start_ms, end_ms, whose in self._holes if whose == found["symbol"]]
        over_ms, names = now_ms - self.published_after_ms[found["kind"]], []
        for start_ms, end_ms, name in _dates(step, floor(listing.since_ms, step), until_ms):
            if holes and any(a <= start_ms and end_ms <= b for a, b in holes):
                continue  # without klines there is no file
            if end_ms <= over_ms:
                names.append(f"{found['symbol']}-{found['interval']}-{name}")
        length = {"daily": 10, "monthly": 7}[found["kind"]]
        names += [name for name in self._placed if name.startswith(f"{found['symbol']}-{found['interval']}-")]
        names = [name for name in names if len(name) - len(f"{found['symbol']}-{found['interval']}-") == length]
        gone = [name for name, body in self._placed.items() if body is None]
        return sorted(f"{prefix}{name}.zip{end}" for name in {*names} - {*gone} for end in ("", ".CHECKSUM"))

    def _keys_of_rates(self, prefix: str, market: str, symbol: str, now_ms: int) -> list[str]:
        """The months of a symbol that have rates, and their checksums."""
        listing, names = self.listing(market, symbol), []
        at = floor(listing.since_ms, "1M") if listing else now_ms
        while at < now_ms:
            name = f"{symbol}-fundingRate-{datetime.fromtimestamp(at / 1000, UTC):%Y-%m}"
            wanted = named(f"/{prefix}{name}.zip")
            names += [name] if wanted and self._zip(wanted, now_ms) else []
            at = following(at, "1M")
        return sorted(f"{prefix}{name}.zip{end}" for name in names for end in ("", ".CHECKSUM"))

    def _strike(self, wanted: Wanted) -> str:
        """The fault on this download, the n-th zip or the n-th checksum of the file."""
        kind, times, served = self._spoiled.get(wanted.name, ("", 0, [0, 0]))
        served[wanted.is_checksum] += 1
        return kind if times < 0 or served[wanted.is_checksum] <= times else ""

    def _zip(self, wanted: Wanted, now_ms: int) -> bytes | None:
        if wanted.name in self._placed:
            return self._placed[wanted.name]
        if wanted.end_ms + self.published_after_ms[wanted.kind] > now_ms:
            return None
        if wanted.interval == "fundingRate":
            return self._zip_of_rates(wanted, now_ms)
        if wanted.interval not in LENGTH_MS:
            return None
        whose = self._whose(wanted.route, wanted.market, wanted.symbol)
        if (wanted.kind == "daily" and wanted.interval in NO_DAILY) or self.listing(wanted.market, whose) is None:
            return None
        key = (wanted.market, f"{wanted.route} {wanted.name}")
        if key not in self._zips:
            self._zips[key] = self._make(wanted, now_ms)
        return self._zips[key]

    def _zip_of_rates(self, wanted: Wanted, now_ms: int) -> bytes | None:
        key = (wanted.market, wanted.name)
        if key not in self._zips:
            lines = self.lines_of_rates(wanted.market, wanted.symbol, wanted.start_ms, wanted.end_ms, now_ms)
            lines = self._edits.get(wanted.name, list)(lines)
            text = "\n".join([HEADER_OF_RATES, *(",".join(map(str, line)) for line in lines), ""])
            self._zips[key] = zipped(f"{wanted.name}.csv", text.encode()) if lines else None
        return self._zips[key]

    def _make(self, wanted: Wanted, now_ms: int) -> bytes | None:
        whose, times = self._whose(wanted.route, wanted.market, wanted.symbol), (wanted.start_ms, wanted.end_ms - 1)
        page = Page(wanted.market, whose, wanted.interval, *times, 10**9, False, now_ms)
        edit, is_longer = self._edits.get(wanted.name), "files have twelve columns" in self.broken
        if edit is None and wanted.route == "klines" and (run := self.plain(page)) is not None:
            return _file(self._broken(wanted), run, is_longer=is_longer)
        rows = of_kind(self.rows(page), wanted.route, wanted.market, whose)
        if not rows:
            return None
        content = csv(self._broken(wanted), edit(rows) if edit else rows)
        return zipped(f"{wanted.name}.csv", _as_broken(content, is_longer=is_longer))

    def _whose(self, route: str, market: str, symbol: str) -> str:
        """The contract whose klines a file has: that of the name, or one of the pair."""
        return self.contract(market, symbol) if route == "indexPriceKlines" else symbol

    def _broken(self, wanted: Wanted) -> Wanted:
        """How the file is written, where rules of that are broken."""
        is_headed, in_us = wanted.is_headed, wanted.in_us
        is_headed ^= "futures' files have headers" in self.broken
        in_us ^= "spot's files are in microseconds" in self.broken
        return wanted._replace(is_headed=is_headed, in_us=in_us)


@lru_cache(maxsize=64)
def _dates(step: str, first_ms: int, until_ms: int) -> list[tuple[int, int, str]]:
    """Begin, end and name of each day, or month, from one that begins at `first_ms` on, that begins before `until_ms`:
    many listings are of the same ones."""
    found, at = [], first_ms
    while at < until_ms:
        begin = datetime.fromtimestamp(at / 1000, UTC)
        found.append((at, following(at, step), f"{begin:%Y-%m-%d}" if step == "1d" else f"{begin:%Y-%m}"))
        at = following(at, step)
    return found


@lru_cache(maxsize=64)
def _file(wanted: Wanted, run: Run, *, is_longer: bool) -> bytes:
    """A file of klines as they are made: many tests ask for the same ones."""
    is_long = run.stop - run.first >= MANY
    content = csv_of_many(wanted, made_by_columns(run)) if is_long else csv(wanted, made_one_by_one(run))
    return zipped(f"{wanted.name}.csv", _as_broken(content, is_longer=is_longer))


def _as_broken(content: bytes, *, is_longer: bool) -> bytes:
    return content.replace(b"\n", b",0\n") if is_longer else content


def named(path: str) -> Wanted | None:
    """The file that a path names; None for any other path."""
    if rates := PATH_OF_RATES.fullmatch(path):
        start_ms = int(datetime.fromisoformat(f"{rates['date']}-01").replace(tzinfo=UTC).timestamp()) * 1000
        whose = (MARKETS[rates["market"]], "monthly", rates["symbol"], "fundingRate", rates["name"])
        times = (start_ms, following(start_ms, "1M"))
        return Wanted(*whose, *times, is_checksum=bool(rates["checksum"]), is_headed=True, in_us=False)
    found = PATH.fullmatch(path)
    if found is None or (len(found["date"]) == 10) != (found["kind"] == "daily"):
        return None
    interval = {"1mo": "1M"}.get(found["interval"], found["interval"])
    first = found["date"] if found["kind"] == "daily" else f"{found['date']}-01"
    start_ms = int(datetime.fromisoformat(first).replace(tzinfo=UTC).timestamp()) * 1000
    end_ms = start_ms + DAY_MS if found["kind"] == "daily" else following(start_ms, "1M")
    market, is_checksum = MARKETS[found["market"]], bool(found["checksum"])
    is_headed, in_us = market != "spot" and start_ms >= HEADER_FROM_MS, market == "spot" and start_ms >= US_FROM_MS
    series = (market, found["kind"], found["symbol"], interval)
    return Wanted(*series, found["name"], start_ms, end_ms, is_checksum, is_headed, in_us, found["route"])


def csv(wanted: Wanted, rows: Rows) -> bytes:
    """The rows as the archive writes them."""
    if wanted.in_us:
        rows = [[row[0] * 1000, *row[1:6], row[6] * 1000 + 999, *row[7:]] for row in rows]
    lines = [",".join(map(str, row)) for row in rows]
    if wanted.is_headed:
        lines.insert(0, HEADER)
    return "\n".join([*lines, ""]).encode()


def csv_of_many(wanted: Wanted, klines: pl.DataFrame) -> bytes:
    """The klines as the archive writes them."""
    if wanted.in_us:
        klines = klines.with_columns(pl.col("open_time") * 1000, pl.col("close_time") * 1000 + 999)
    body = io.BytesIO(f"{HEADER}\n".encode() * wanted.is_headed)
    body.seek(0, io.SEEK_END)
    klines.write_csv(body, include_header=False)
    return body.getvalue()


def zipped(member: str, content: bytes, *others: str) -> bytes:
    """A zip with one member, and empty others."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(member, content)
        for other in others:
            archive.writestr(other, b"")
    return body.getvalue()


def checksum(wanted: Wanted, body: bytes, kind: str) -> Answer:
    """The .CHECKSUM beside a zip; right for all but a cut zip."""
    if kind == "no_checksum":
        return Answer(404, "")
    digest = hashlib.sha256(body if kind == "cut_zip" else spoiled(wanted, body, kind)).hexdigest()
    digest = digest[::-1] if kind == "wrong_checksum" else digest
    text = "<html>" if kind == "odd_checksum" else f"{digest}  {wanted.name}.zip"
    return Answer(body=text, kind="binary/octet-stream")


def spoiled(wanted: Wanted, body: bytes, kind: str) -> bytes:
    """The zip with its fault, if that is one of the zip."""
    member = f"{wanted.name}.csv"
    if kind == "cut_zip":
        return body[: len(body) // 2]
    if kind == "corrupt_zip":
        return body[:60] + bytes(200) + body[260:]
    if kind == "bomb":
        return zipped(member, bytes(80 * 2**20))
    if kind in ("odd_member", "two_members"):
        content = zipfile.ZipFile(io.BytesIO(body)).read(member)
        return zipped(f"../{member}", content) if kind == "odd_member" else zipped(member, content, "other.csv")
    return body
