"""Beat: it rings `roster.sweep`, and nothing else. People's schedules stand in the ledger."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.ledger.bells import Task

#: The queue of all tasks (`task_default_queue`); the most urgent messages stand under its bare name.
QUEUE = "roster"

#: Longer than a batch keeps its slot: a sweep finds its turn before it is void.
VOID_AFTER_SECONDS = 60.0


def beat_table(every_seconds: float) -> dict[str, dict[str, Any]]:
    """Return what beat rings, and how often; a bell that nobody answered in time is void."""
    return {
        "sweep": {
            "task": Task.SWEEP.value,
            "schedule": every_seconds,
            "options": {"expires": VOID_AFTER_SECONDS, "priority": 0},
        }
    }


class Beat(Scheduler):  # type: ignore[misc]
    """Celery's own, but for a bell that still waits: it is not rung again.

    While every slot is taken for minutes, bells would pile up in Redis.
    """

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Ring for an entry of the table, unless its last bell waits to be answered."""
        if not self._waits(entry.task):
            super().apply_entry(entry, producer=producer)

    def _waits(self, task: str) -> bool:
        # Kombu's client puts the prefix before the keys of some commands, and `lrange` is not among them.
        key = self.app.conf.broker_transport_options["global_keyprefix"] + QUEUE
        # Whether Redis is away shows when the bell is rung.
        with suppress(OperationalError, RedisError, OSError), self.app.connection_for_write() as connection:
            waiting = connection.default_channel.client.lrange(key, 0, -1)
            return any(json.loads(message)["headers"]["task"] == task for message in waiting)
        return False
