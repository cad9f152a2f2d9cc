"""Beat publishes no second message while one waits: they would pile up in Redis while every slot is taken."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError


class Beat(Scheduler):  # type: ignore[misc]
    """Celery's scheduler, but a message that still waits is not published again."""

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Publish an entry of the beat table, unless its last message still waits for a worker."""
        if not self._waits(entry.task):
            super().apply_entry(entry, producer=producer)

    def _waits(self, task: str) -> bool:
        conf = self.app.conf
        # The most urgent messages have the queue's bare name as key. Kombu's client puts the prefix before the keys
        # of some commands, and `lrange` is not among them.
        key = conf.broker_transport_options["global_keyprefix"] + conf.task_default_queue
        # Whether Redis is away shows when the message is published.
        with suppress(OperationalError, RedisError, OSError), self.app.connection_for_write() as connection:
            waiting = connection.default_channel.client.lrange(key, 0, -1)
            return any(_task_of(message) == task for message in waiting)
        return False


def _task_of(message: bytes) -> str:
    """Return the task of a message in the queue; empty when it is no message of Celery's."""
    try:
        return str(json.loads(message)["headers"]["task"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
