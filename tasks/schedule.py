"""The schedule of a run's deployment, noted so that all know when a kline is due."""

from __future__ import annotations

from collections.abc import Iterable

from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.schedules import IntervalSchedule

from klines.collect.review import Review
from klines.tables.schedules import Schedule
from tasks.deployment import deployment


def note_schedule(its: Review) -> None:
    """Enter the schedule of the deployment that the run is of, if it is of one, and that was not done lately."""
    if its.is_schedule_old() and (found := deployment()):
        its.note_schedule(schedule_of(found.schedules))


def schedule_of(schedules: Iterable[DeploymentSchedule]) -> Schedule:
    """Of those that are on the one that comes most often, if all are of so many seconds."""
    active = [one.schedule for one in schedules if one.active]
    every = [one for one in active if isinstance(one, IntervalSchedule)]
    if not every or len(every) < len(active):
        return Schedule()
    often = min(every, key=lambda one: one.interval)
    return Schedule(int(often.interval.total_seconds()), int(often.anchor_date.timestamp() * 1000))
