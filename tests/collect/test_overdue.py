"""That nothing is collected, which no run can tell."""

from __future__ import annotations

from dataclasses import replace

import pytest

from klines.collect.overdue import NOT_COLLECTED, Overdue, follow_overdue, overdue
from klines.tables.schedules import Collected

MINUTE = 60_000
HOUR = 60 * MINUTE
MINUTELY = Collected("spot", "klines", "1m", "", 60, 5_000, 0, "every-minute")
HOURLY = Collected("coinm", "klines", "1h", "", 4 * 3600, 50 * MINUTE, HOUR, "coinm")


@pytest.mark.parametrize(
    ("one", "minutes", "is_overdue"),
    [
        (MINUTELY, 11, False),  # the run of minute 1 is ten minutes late in minute 11
        (MINUTELY, 12, True),
        (HOURLY, 4 * 60 + 59, False),  # runs come at 0:50 and 4:50
        (HOURLY, 5 * 60 + 1, True),
        (replace(HOURLY, every_s=None), 9000, False),
        (replace(MINUTELY, interval="4h", every_s=3600), 4 * 60 + 9, False),  # a run an hour, a kline each four
    ],
)
def test_ten_minutes_after_a_run_was_due_that_had_something_to_collect(
    one: Collected, minutes: int, is_overdue: bool
) -> None:
    """Whatever comes more often, the runs or the klines; a cron, whose times nobody knows, never is."""
    assert is_overdue == bool(overdue([one], minutes * MINUTE))


def test_it_is_told_once_and_its_end() -> None:
    """It names all parts of the market and since when. Where runs tell already why, it does not begin."""
    late = overdue([MINUTELY, replace(MINUTELY, kind="mark", shard="3/10"), HOURLY], 12 * MINUTE)["spot"]
    assert Overdue(["1m", "mark 1m 3/10"], 0) == late
    began = follow_overdue([], "spot", late, 12 * MINUTE, is_told=False)
    [alarm] = began.alarms(12 * MINUTE)
    assert alarm.message.startswith("spot: 1m, mark 1m 3/10: nothing has been collected for 12 min, since 1970-01-01")
    assert [] == follow_overdue([], "spot", late, 12 * MINUTE, is_told=True).changed
    assert [] == follow_overdue(began.changed, "spot", late, 13 * MINUTE, is_told=False).changed
    ended = follow_overdue(began.changed, "spot", None, 15 * MINUTE, is_told=False)
    assert [(NOT_COLLECTED, True)] == [(alarm.incident, alarm.is_end) for alarm in ended.alarms(15 * MINUTE)]
