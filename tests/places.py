"""Which tests run on both kinds of database: in the suite some of each kind, with --lake all that make sense."""

from __future__ import annotations

from typing import NamedTuple

ROOMS = ("collect/", "backfill/", "audit/", "rates/")
"""The tests of these folders are of runs, which ask only a place."""
BOTH = {
    "collect/test_run.py": (
        "test_hole_of_the_exchange",
        "test_corrected_value",
        "test_refused_row_is_kept",
    ),
    "collect/test_rules.py": ("test_only_a_change",),
    "backfill/test_run.py": ("test_before_the_listing", "test_refresh_finds"),
    "audit/test_run.py": ("test_a_restated_row", "test_one_symbols_own_hole"),
    "rates/test_run.py": ("test_holes_are_named", "test_the_archive_is_published_later"),
}
"""Those of the suite: tests of a file whose names begin so."""
_OPENS = "it opens the file itself"
ONLY_FILE = {
    "audit/test_run.py::test_the_certificate_of_two_machines": "it compares two files",
    "collect/test_fault_matrix.py": "it has one database for many faults",
    "collect/test_freshness.py": _OPENS,
    "collect/test_incidents.py": _OPENS,
}
"""What makes no sense on a lake, and why: a test, or all of a file; beside those that are marked `file`."""


class Where(NamedTuple):
    """Whether a test runs on both kinds always, or where that is asked for."""

    is_both: bool
    is_either: bool


def places_of(file: str, test: str) -> Where:
    """Of a test's file, below tests/, and its name."""
    is_either = file.startswith(ROOMS) and f"{file}::{test}" not in ONLY_FILE and file not in ONLY_FILE
    return Where(is_either and test.startswith(BOTH.get(file, ("\0",))), is_either)
