"""Write the reports of a job in a worker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.intake.accept import report_folder
from worker.jobs import reporting
from worker.ledger import jobs

if TYPE_CHECKING:
    from worker.runtime.process import WorkerProcess

log = structlog.get_logger("roster")


def report(process: WorkerProcess, job_id: int) -> None:
    """Write the reports of a job as it is now; do nothing when there is no such job, or it was purged."""
    with process.ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
    if job is None or job.purged_at is not None:
        return
    summary = reporting.write_job_reports(process.ledger, job, report_folder(process.services.files, job_id))
    log.info("reports written", job=job_id, state=summary.state, total=summary.total)
