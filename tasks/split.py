"""`roster.split`: read a roster into the ledger, find its people, cut it into batches."""

from __future__ import annotations

from celery import Task, shared_task

from worker import dispatch, duties, workplace


@shared_task(name="roster.split", bind=True)
def split(self: Task, job_id: int) -> None:
    """Make a job ready and ring for its first batches."""
    here = workplace.here()
    duties.forget(here, dispatch.ring(self.app, here.run(duties.split(here, job_id))))
