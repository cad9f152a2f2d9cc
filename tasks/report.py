"""`roster.report`: write the reports of a job."""

from __future__ import annotations

from celery import shared_task

from worker.runtime import report as reporting
from worker.runtime.process import current_process


@shared_task(name="roster.report")
def report(job_id: int) -> None:
    """Write the reports of a job as it is now."""
    reporting.report(current_process(), job_id)
