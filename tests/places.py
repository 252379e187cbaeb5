"""Which tests run on both kinds of database: in the suite some of each kind, with --lake all that make sense."""

from __future__ import annotations

from typing import NamedTuple

ROOMS = ("collect/", "backfill/", "audit/")
"""The tests of these folders are of runs, which ask only a place."""
BOTH = {
    "collect/test_run.py": (
        "test_first_run_stores",
        "test_second_run_asks_nothing",
        "test_hole_of_the_exchange",
        "test_corrected_value",
        "test_unknown_symbol_fails_alone",
        "test_refused_row_is_kept",
    ),
    "collect/test_symbols.py": ("test_a_new_symbol_joins",),
    "backfill/test_run.py": ("test_a_second_run", "test_before_the_listing", "test_refresh_finds"),
    "audit/test_run.py": ("test_our_own_downtime", "test_a_restated_row"),
}
"""Those of the suite: tests of a file whose names begin so."""
_LOCK = "it is about the lock of a file, which a lake has not"
_OPEN = "it opens the file itself"
ONLY_FILE = {
    "audit/test_run.py::test_the_certificate_of_two_machines": "it compares two files",
    "backfill/test_resume.py::test_a_file_that_is_held_all_the_time": _LOCK,
    "backfill/test_run.py::test_a_dry_run_does_nothing": "it looks whether there is a file",
    "collect/test_bans.py::test_a_ban_that_comes_while_the_file_is_held": _LOCK,
    "collect/test_edges.py": _OPEN,
    "collect/test_fault_matrix.py": _OPEN,
    "collect/test_freshness.py": _OPEN,
    "collect/test_incidents.py": _OPEN,
    "collect/test_run.py::test_file_held_until_the_deadline_ends_the_run": _LOCK,
    "collect/test_run.py::test_file_held_for_five_seconds_costs_waiting": _LOCK,
}
"""What makes no sense on a lake, and why: a test, or all of a file."""


class Where(NamedTuple):
    """Whether a test runs on both kinds always, or where that is asked for."""

    is_both: bool
    is_either: bool


def places_of(file: str, test: str) -> Where:
    """Of a test's file, below tests/, and its name."""
    is_either = file.startswith(ROOMS) and f"{file}::{test}" not in ONLY_FILE and file not in ONLY_FILE
    return Where(is_either and test.startswith(BOTH.get(file, ("\0",))), is_either)
