"""`roster.register`: work one batch off."""

from __future__ import annotations

from functools import partial

from celery import Task, shared_task

from worker import dispatch
from worker.runtime import multiplexer, process


@shared_task(name="roster.register", bind=True)
def register(self: Task, batch_id: int) -> None:
    """Work a batch off as far as it goes now and ring for what comes next."""
    here = process.here()
    here.run(multiplexer.register(here, batch_id, partial(dispatch.ring, self.app), partial(dispatch.show, self)))
