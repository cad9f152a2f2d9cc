"""`roster.sweep`: lost messages, batches whose worker died, jobs whose time has come."""

from __future__ import annotations

from functools import partial

from celery import Task, shared_task

from worker import dispatch
from worker.runtime import sweep as sweeping
from worker.runtime.process import current_process


# Without events: in Flower, one every ten seconds would hide the tasks of jobs.
@shared_task(name="roster.sweep", bind=True, send_events=False)
def sweep(self: Task) -> None:
    """Re-enqueue lost or unclaimed work; import files of drop folders and run due schedules."""
    publisher = partial(dispatch.publish, self.app)
    sweeping.sweep(current_process(), publisher, messages_lost=dispatch.has_lost_messages(self.app))
