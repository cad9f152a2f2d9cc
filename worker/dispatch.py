"""Ring the bells: the one place from which messages go to the queue, by name and with ids only."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import structlog
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from worker.celery import make_app
from worker.jobs import advance
from worker.ledger import queue
from worker.ledger.database import now
from worker.ledger.queue import Bell, Task, Urgency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery import Celery
    from celery import Task as CeleryTask

    from worker.bootstrap import Services

#: Of Redis's queues (`priority_steps` in celery.py), the one for each urgency.
PRIORITY = {Urgency.FIRST: 0, Urgency.NEXT: 3, Urgency.LAST: 6}
#: A bell that nobody answered within this is void; the sweep has rung again by then (seconds).
VOID_AFTER = 3600
#: A Redis without this key has forgotten the bells too.
MARK = "mark"
log = structlog.get_logger("roster")


def ring(app: Celery, due: Sequence[Bell]) -> list[Bell]:
    """Send the messages; return those that could not be sent, since the broker is away."""
    for place, bell in enumerate(due):
        message = app.signature(bell.task.value, args=(bell.id,))
        try:
            message.apply_async(
                countdown=bell.seconds or None,
                priority=PRIORITY[bell.urgency],
                expires=bell.seconds + VOID_AFTER,
                argsrepr=_words(bell),
            )
        except OperationalError:
            log.warning("the broker is away; the sweep rings later", bells=len(due) - place)
            return list(due[place:])
    return []


def show(task: CeleryTask, done: int, total: int) -> None:
    """Tell Flower how far the job of a task is; that it cannot be told stops nobody."""
    with suppress(OperationalError, OSError):
        task.send_event("task-registering", retry=False, result=f"{done} of {total} rows of the job settled")


def start(services: Services, job_id: int) -> bool:
    """Ask the queue to work a job off; False when the broker is away: the job then begins with a later sweep."""
    window = advance.Window(batches=services.settings.window)
    with services.ledger.write() as tx:
        due = advance.go_on(tx, job_id, window, now())
    if unrung := ring(make_app(services.settings), due):
        with services.ledger.write() as tx:
            queue.unring(tx, unrung)
    return not unrung


def has_forgotten(app: Celery) -> bool:
    """Tell whether the broker has lost everything since this was last asked: its mark is gone, and is set again."""
    with app.connection_for_write() as connection:
        return bool(connection.default_channel.client.set(MARK, "here", nx=True))


def look(services: Services) -> tuple[bool, str]:
    """Return whether the broker can be reached and how many workers answer, in a sentence without its password."""
    app = make_app(services.settings)
    try:
        answers = app.control.ping(timeout=1.0)
    except (OperationalError, RedisError, OSError) as error:
        return False, f"broker: {app.connection().as_uri()} cannot be reached ({type(error).__name__})"
    return bool(answers), f"broker: {app.connection().as_uri()}, {len(answers)} workers answer"


def _words(bell: Bell) -> str:
    """Return what Flower shows as the arguments."""
    return f"batch {bell.id} of job {bell.job_id}" if bell.task is Task.REGISTER else f"job {bell.job_id}"
