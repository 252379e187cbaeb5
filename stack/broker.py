"""Prefect's own message broker, in memory; it keeps events of task runs and heartbeats out of the database.

They are most of what Prefect would write, 12 kB each, and nobody reads them there. What acts on them (the recorder of
task runs, automations, whoever listens) gets them from the broker before. prefect.toml names this module.
"""

from __future__ import annotations

from typing import Any

from prefect.server.utilities.messaging import Message, MessageHandler, memory
from prefect.server.utilities.messaging.memory import Publisher, break_topic, ephemeral_subscription

__all__ = ["Consumer", "Publisher", "break_topic", "ephemeral_subscription"]

KEEPER = "event-persister"
"""The consumer that writes events into the database."""
NOT_KEPT = ("prefect.task-run.", "prefect.flow-run.heartbeat")


class Consumer(memory.Consumer):
    """Takes events; the one that writes them into the database takes only those that are to be kept."""

    def __init__(self, topic: str, group: str = "", **options: Any) -> None:
        super().__init__(topic, group=group, **options)
        self._is_keeper = group == KEEPER

    async def run(self, handler: MessageHandler) -> None:
        """Hand over the events as they come."""

        async def keep(message: Message) -> None:
            if not str(message.attributes.get("event", "")).startswith(NOT_KEPT):
                await handler(message)

        await super().run(keep if self._is_keeper else handler)
