"""`roster.split`: read a roster into the ledger, find its people, cut it into batches."""

from __future__ import annotations

from celery import Task, shared_task

from worker import dispatch, workplace
from worker.duties import split as duty
from worker.duties.sweep import forget


@shared_task(name="roster.split", bind=True)
def split(self: Task, job_id: int) -> None:
    """Make a job ready and ring for its first batches."""
    here = workplace.here()
    forget(here, dispatch.ring(self.app, here.run(duty.split(here, job_id))))
