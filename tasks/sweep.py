"""`roster.sweep`: lost messages, batches whose worker died, jobs whose time has come."""

from __future__ import annotations

from celery import Task, shared_task

from worker import dispatch, process


@shared_task(name="roster.sweep", bind=True)
def sweep(self: Task) -> None:
    """Find what nobody was asked to do, or nobody did, and ring for it."""
    here = process.here()
    here.forget(dispatch.ring(self.app, here.sweep()))
