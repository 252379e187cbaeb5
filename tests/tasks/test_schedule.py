"""The schedule that a deployment's runs note."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

from klines.tables.schedules import Schedule
from tasks.schedule import schedule_of

ANCHOR = datetime(2026, 1, 1, 0, 0, 5, tzinfo=UTC)
MINUTELY = IntervalSchedule(interval=timedelta(seconds=60), anchor_date=ANCHOR)
HOURLY = IntervalSchedule(interval=timedelta(hours=1), anchor_date=ANCHOR)
DAILY = CronSchedule(cron="30 7 * * *")


@pytest.mark.parametrize(
    ("schedules", "found"),
    [
        ([(MINUTELY, True)], Schedule(60, 1_767_225_605_000)),
        ([(HOURLY, True), (MINUTELY, False)], Schedule(3600, 1_767_225_605_000)),
        ([(HOURLY, True), (MINUTELY, True)], Schedule(60, 1_767_225_605_000)),
        ([(MINUTELY, True), (DAILY, True)], Schedule()),
        ([(MINUTELY, False)], Schedule()),
        ([], Schedule()),
    ],
)
def test_which_schedule_counts(schedules: list[tuple[IntervalSchedule | CronSchedule, bool]], found: Schedule) -> None:
    """Of those that are on the one that comes most often; none where one of them is not of so many seconds."""
    assert found == schedule_of([DeploymentSchedule(schedule=one, active=is_on) for one, is_on in schedules])
