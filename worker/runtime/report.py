"""Write the reports of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from worker.intake.accept import own_folder
from worker.jobs import reporting
from worker.ledger import jobs

if TYPE_CHECKING:
    from worker.runtime.process import Workplace

log = structlog.get_logger("roster")


def report(here: Workplace, job_id: int) -> None:
    """Write the reports of a job."""
    with here.ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
    if job is None:
        return
    summary = reporting.file_reports(here.ledger, job, own_folder(here.services.files, job_id))
    log.info("reports written", job=job_id, state=summary.state, total=summary.total)
