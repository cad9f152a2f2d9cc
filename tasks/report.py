"""`roster.report`: write the reports of a job."""

from __future__ import annotations

from celery import shared_task

from worker.runtime import process
from worker.runtime import report as duty


@shared_task(name="roster.report")
def report(job_id: int) -> None:
    """Write the reports of a job as it stands now."""
    duty.report(process.here(), job_id)
