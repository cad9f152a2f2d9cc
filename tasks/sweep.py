"""`roster.sweep`: lost messages, batches whose worker died, jobs whose time has come."""

from __future__ import annotations

from celery import Task, shared_task

from worker import dispatch, workplace
from worker.duties import sweep as duty


@shared_task(name="roster.sweep", bind=True)
def sweep(self: Task) -> None:
    """Find what nobody was asked to do, or nobody did, and ring for it."""
    here = workplace.here()
    bells = duty.sweep(here, forgotten=dispatch.has_forgotten(self.app))
    duty.forget(here, dispatch.ring(self.app, bells))
