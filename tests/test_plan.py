"""A plan says what is done before it is: in one line, in numbers, and no where a disk has too little room."""

from __future__ import annotations

from pathlib import Path

import pytest

from klines.errors import NoRoom
from klines.outcome import Plan, Room
from klines.storage.room import rooms

PLAN = Plan("planned a copy", {"klines": 9}, 4e6, 1.25e8, 130, "1,000 klines a second", [Room("/data", 2**21, 2**20)])


def test_one_line_has_all_of_it() -> None:
    """Sizes in MB, times as people say them, what the time is estimated from, and the disk; nothing of what is not."""
    assert (
        "planned a copy; reads about 4.0 MB; writes about 125 MB; takes at least 2 min, by 1,000 klines a second; "
        "needs up to 2.1 MB free in /data, which has 1.0 MB" == PLAN.said
    )
    numbers = {"klines": 9, "read_mb": 4.0, "written_mb": 125.0, "needed_mb": 2.097, "free_mb": 1.049, "planned_s": 130}
    assert numbers == PLAN.numbers
    assert "nothing to do" == Plan("nothing to do").said


def test_too_little_room_is_refused() -> None:
    """In a line with both sizes, that says what to do."""
    with pytest.raises(NoRoom, match=r"^/data has 1\.0 MB free, .* needs up to 2\.1 MB there: nothing was done; make"):
        PLAN.check()


def test_a_disk_is_counted_once(tmp_path: Path) -> None:
    """What folders of one disk need is needed of it together; one may not be there yet, or be none of this machine."""
    [room] = rooms([(tmp_path / "new" / "lake", 5), (tmp_path, 7), (None, 11)])
    assert (str(tmp_path), 12) == (room.folder, room.needed)
