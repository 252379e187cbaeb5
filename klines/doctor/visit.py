"""What is asked over the network: spot and futures at the same time, each one question after the other; then the
archive."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

from klines.binance.archive import Archive
from klines.binance.line import WITNESSES, machine_ms
from klines.doctor import files, kinds, klines, market, rates
from klines.doctor.diagnosis import SLOW_S, Clockwork, Diagnosis, examine
from klines.doctor.files import Shelf
from klines.doctor.patient import Patient, Purse
from klines.errors import Stop
from klines.market import MARKETS
from klines.settings import Settings

FILE_S = 20.0
"""How long a file of the archive may take."""
OF_MARKET: dict[str, Callable[[Patient], Awaitable[str]]] = {
    "reach": market.host_answers,
    "region": market.place_is_served,
    "status": market.exchange_serves,
    "clocks": market.clocks_agree,
    "symbol": market.symbol_is_listed,
    "limit": market.limit_is_stated,
    "rows": klines.rows_are_readable,
    "page": klines.page_is_full,
    "order": klines.page_ascends,
    "side": klines.page_has_its_side,
    "ends": klines.ends_are_included,
    "end alone": klines.end_stands_alone,
    "newest": klines.newest_is_open,
    "first": klines.beginning_is_given,
    "day": klines.day_adds_up,
    "grids": klines.grids_hold,
    "unknown": klines.stranger_is_refused,
    "longest page": klines.page_is_longest,
    "widest": klines.window_is_widest,
    "weights": market.weights_are_stated,
    "pool": market.pool_is_shared,
    "funding": rates.rates_stand_in_their_hours,
    "kinds": kinds.kinds_add_up,
}
"""The checks of a market, in their order."""
ONLY_OF = {
    "status": ("spot",),
    "longest page": ("spot",),
    "widest": ("coinm",),
    "pool": ("coinm",),
    "funding": ("usdm",),
    "kinds": ("usdm", "coinm"),
}
"""What some markets alone have, or is asked of them alone, as it costs little there."""
OF_ROWS = {"page", "order", "side", "ends", "end alone", "newest", "first", "day", "grids", "longest page", "widest"}
"""What can't be said where rows can't be read."""
OF_ARCHIVE: dict[str, Callable[[Shelf], Awaitable[str]]] = {
    "listing": files.listing_goes_on,
    "absent": files.absence_is_said,
    "1mo": files.months_are_named_1mo,
}
"""The checks of the archive, made of spot."""
OF_FILES: dict[str, Callable[[Shelf], Awaitable[str]]] = {
    "daily": files.day_is_there,
    "monthly": files.month_is_there,
    "columns": files.columns_are_known,
    "unit": files.times_have_their_unit,
    "totals": files.file_adds_up,
}
"""The checks of a market's files."""
Calls = Mapping[str, Callable[[], Awaitable[str]]]
"""Checks by name."""


class Visit:
    """All of it; `note` is given the findings of each market, and of the archive, as soon as they are there."""

    def __init__(
        self,
        settings: Settings,
        note: Callable[[Iterable[Diagnosis]], None],
        time: Clockwork,
        bans: Mapping[str, Stop],
        weight: int,
        *,
        open_pause_s: float,
        clock: Callable[[], int] | None = None,
    ) -> None:
        self.purse = Purse(weight)
        self._settings = settings
        self._note = note
        self._time = time
        self._now_ms = clock or machine_ms
        self._patients = {
            name: Patient(
                *(row, settings.url(name), self.purse, time),
                silence=bans.get(row.pool),
                open_pause_s=open_pause_s,
                clock=clock,
                egress=settings.egress,
            )
            for name, row in MARKETS.items()
        }
        self._patients["coinm"].neighbour = self._patients["usdm"]

    async def run(self) -> None:
        """Ask, and note what is found."""
        async with contextlib.AsyncExitStack() as stack:
            for patient in self._patients.values():
                await stack.enter_async_context(patient)
            await asyncio.gather(self._ask("spot"), self._ask("usdm", "coinm"))
        url, egress = self._settings.archive_url, self._settings.egress
        async with Archive(url, pauses_s=(), connections=4, egress=egress) as archive:
            await self._open(archive)

    async def _ask(self, *markets: str) -> None:
        for name in markets:
            checks = [check for check in OF_MARKET if name in ONLY_OF.get(check, (name,))]
            self._note([await self._examined(self._patients[name], check) for check in checks])

    async def _examined(self, patient: Patient, check: str) -> Diagnosis:
        name = f"{patient.market.name} {check}"
        why = "" if check == "region" and patient.refused else patient.over
        why = why or (patient.unreadable if check in OF_ROWS else "")
        if why:
            return Diagnosis(name, "not asked", why)
        return await examine(name, partial(OF_MARKET[check], patient), self._time.left_s(SLOW_S))

    async def _open(self, archive: Archive) -> None:
        shelves = [
            Shelf(archive, self._settings.archive_url, name, WITNESSES[name][-1], self._now_ms(), patient.days)
            for name, patient in self._patients.items()
        ]
        reached = await examine("archive reach", partial(files.archive_answers, shelves[0]), self._time.left_s(SLOW_S))
        self._note([reached])
        groups: list[Calls] = [{f"archive {name}": partial(check, shelves[0]) for name, check in OF_ARCHIVE.items()}]
        groups += map(_of_files, shelves)
        if reached.state == "ok":
            found = await asyncio.gather(*map(self._looked_into, groups))
        else:
            found = [[Diagnosis(name, "not asked", "it can't be reached") for name in group] for group in groups]
        self._note(finding for group in found for finding in group)

    async def _looked_into(self, group: Calls) -> list[Diagnosis]:
        return [await examine(name, call, self._time.left_s(FILE_S)) for name, call in group.items()]


def _of_files(shelf: Shelf) -> Calls:
    return {f"archive {shelf.market} {name}": partial(check, shelf) for name, check in OF_FILES.items()}
