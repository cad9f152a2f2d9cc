"""Beat rings no second bell while one waits: they would pile up in Redis while every slot is taken for minutes."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from celery.beat import ScheduleEntry, Scheduler
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError


class Beat(Scheduler):  # type: ignore[misc]
    """Celery's own, but for a bell that still waits: it is not rung again."""

    def apply_entry(self, entry: ScheduleEntry, producer: Any = None) -> None:
        """Ring for an entry of the table, unless its last bell waits to be answered."""
        if not self._waits(entry.task):
            super().apply_entry(entry, producer=producer)

    def _waits(self, task: str) -> bool:
        conf = self.app.conf
        # The most urgent messages stand under the queue's bare name. Kombu's client puts the prefix before the keys
        # of some commands, and `lrange` is not among them.
        key = conf.broker_transport_options["global_keyprefix"] + conf.task_default_queue
        # Whether Redis is away shows when the bell is rung.
        with suppress(OperationalError, RedisError, OSError), self.app.connection_for_write() as connection:
            waiting = connection.default_channel.client.lrange(key, 0, -1)
            return any(json.loads(message)["headers"]["task"] == task for message in waiting)
        return False
