"""`roster.split`: import a roster into the ledger, find its people, plan its batches."""

from __future__ import annotations

from functools import partial

from celery import Task, shared_task

from worker import dispatch
from worker.runtime import multiplexer
from worker.runtime.process import current_process


@shared_task(name="roster.split", bind=True)
def split(self: Task, job_id: int) -> None:
    """Import a roster and publish the first batches."""
    process = current_process()
    process.run(multiplexer.run_split_message(process, job_id, partial(dispatch.publish, self.app)))
