"""`roster.sweep`: lost messages, batches whose worker died, jobs whose time has come."""

from __future__ import annotations

from functools import partial

from celery import Task, shared_task

from worker import dispatch
from worker.runtime import process
from worker.runtime import sweep as duty


@shared_task(name="roster.sweep", bind=True)
def sweep(self: Task) -> None:
    """Find what nobody was asked to do, or nobody did, and ring for it."""
    here = process.here()
    duty.sweep(here, partial(dispatch.ring, self.app), forgotten=dispatch.has_forgotten(self.app))
