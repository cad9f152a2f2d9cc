"""`roster.split`: read a roster into the ledger, find its people, cut it into batches."""

from __future__ import annotations

from functools import partial

from celery import Task, shared_task

from worker import dispatch
from worker.runtime import multiplexer, process


@shared_task(name="roster.split", bind=True)
def split(self: Task, job_id: int) -> None:
    """Make a job ready and ring for its first batches."""
    here = process.here()
    here.run(multiplexer.split(here, job_id, partial(dispatch.ring, self.app)))
