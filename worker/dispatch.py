"""Publish task messages: the one place from which they go to the broker, by name and with ids only."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.addresses import masked
from worker.celery import make_app
from worker.jobs import advance
from worker.ledger import queue
from worker.ledger.database import now
from worker.ledger.queue import Priority, Task, TaskMessage
from worker.reports.labels import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery
    from celery import Task as CeleryTask

    from worker.bootstrap import Services

#: The priority of each urgency: Redis has a queue for each of the `priority_steps` in celery.py.
PRIORITY = {Priority.HIGH: 0, Priority.NORMAL: 3, Priority.LOW: 6}
#: A message that no worker took within this expires; the sweep has published it again by then (seconds).
EXPIRES_SECONDS = 3600
#: A Redis without this key has lost the messages too.
MARKER_KEY = "mark"
log = structlog.get_logger("roster")


def publish(app: Celery, due: Sequence[TaskMessage]) -> list[TaskMessage]:
    """Publish messages; return those that could not be published, since the broker is away."""
    for sent, message in enumerate(due):
        log.debug("message published", message=message.task.value, about=message.id, seconds=message.countdown)
        signature = app.signature(message.task.value, args=(message.id,))
        try:
            signature.apply_async(
                countdown=message.countdown or None,
                priority=PRIORITY[message.priority],
                expires=message.countdown + EXPIRES_SECONDS,
                argsrepr=_shown_arguments(message),
            )
        except (OperationalError, RedisError):
            log.warning("the broker is away; the sweep publishes later", messages=len(due) - sent)
            return list(due[sent:])
    return []


@dataclass(slots=True)
class Progress:
    """What Flower shows as the result of a task: how far its job is. Errors of the broker are ignored."""

    task: CeleryTask
    #: The last that was shown; the task returns it, since Flower then shows what was returned.
    text: str | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show how many rows of the job are done, and how many it has."""
        self.text = f"{done:,} of {counted(total, 'row')} of the job processed"
        # An event is published without what turns errors of Redis into those of kombu.
        with suppress(OperationalError, RedisError, OSError):
            self.task.send_event("task-registering", retry=False, result=self.text)


def start(services: Services, job_id: int) -> bool:
    """Publish what a job needs now; False when the broker is away: the job then starts with a later sweep."""
    window = advance.Window(batches=services.settings.window)
    with services.ledger.write() as tx:
        due = advance.advance(tx, job_id, window, now())
    if unsent := publish(make_app(services.settings), due):
        with services.ledger.write() as tx:
            queue.mark_unsent(tx, unsent)
    return not unsent


def has_lost_messages(app: Celery) -> bool:
    """Return whether the broker has lost everything since the last call: its marker is gone, and is set again."""
    with app.connection_for_write() as connection:
        return bool(connection.default_channel.client.set(MARKER_KEY, "here", nx=True))


def ping(services: Services) -> tuple[bool, str]:
    """Return whether workers answer, and a sentence about the broker without its password."""
    app = make_app(services.settings)
    try:
        replies = app.control.ping(timeout=1.0)
    except (OperationalError, RedisError, OSError) as error:
        return False, f"broker: {masked(services.settings.broker)} cannot be reached ({type(error).__name__})"
    return bool(replies), f"broker: {masked(services.settings.broker)}, {counted(len(replies), 'worker')} online"


def _shown_arguments(message: TaskMessage) -> str:
    """Return what Flower shows as the arguments."""
    if message.task is Task.REGISTER:
        return f"batch {message.id} of job {message.job_id}"
    return f"job {message.job_id}"
