"""`roster.register`: run one batch."""

from __future__ import annotations

from functools import partial

from celery import Task, shared_task

from worker import dispatch
from worker.runtime import multiplexer
from worker.runtime.process import current_process


@shared_task(name="roster.register", bind=True)
def register(self: Task, batch_id: int) -> str | None:
    """Run a batch, and the job's next ones for one time slice; return how far the job is, for Flower."""
    process, progress = current_process(), dispatch.Progress(self)
    process.run(multiplexer.run_batch_message(process, batch_id, partial(dispatch.publish, self.app), progress))
    return progress.text
