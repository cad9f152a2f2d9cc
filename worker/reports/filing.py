"""Write the reports of a job where it wants them, or where this machine can."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import RosterError
from worker.ledger import jobs
from worker.ledger.engine import now
from worker.reports import gather, write

if TYPE_CHECKING:
    from worker.ledger.access import Ledger
    from worker.ledger.jobs import Job
    from worker.reports.lines import Summary


def file_reports(ledger: Ledger, job: Job, otherwise: Path | None = None) -> Summary:
    """Write the reports of a job as it stands now and return its summary with their paths.

    They go to the job's own folder; where this machine cannot write there, into the folder `otherwise`, and the job
    remembers that. Raises RosterError when neither can be written.
    """
    at = now()
    try:
        summary = write_into(ledger, job, Path(job.report_dir))
    except RosterError:
        if otherwise is None:
            raise
        summary = write_into(ledger, job, otherwise)
        with ledger.write() as tx:
            jobs.change_job(tx, job.id, report_dir=str(otherwise.absolute()))
    with ledger.write() as tx:
        jobs.change_job(tx, job.id, reported_at=at)
    return summary


def write_into(ledger: Ledger, job: Job, folder: Path) -> Summary:
    """Write the reports of a job as it stands now into a folder; raises RosterError when that cannot be."""
    with ledger.read() as tx:
        summary = gather.summarise(tx, job)
    return write.write_reports(folder, job.roster, job.headings, lambda: gather.lines_of(ledger, job), summary)
