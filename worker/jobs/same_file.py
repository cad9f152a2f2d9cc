"""Whether a file that is about to be sent is a job already, for `check` and for the review on the page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.ledger import jobs, relations
from worker.model import JobState

if TYPE_CHECKING:
    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class SameFile:
    """The job of the same bytes, connection and options."""

    job_id: int
    state: JobState
    #: Seconds since 1970.
    uploaded_at: float
    #: When it starts, if it is scheduled (seconds since 1970).
    starts_at: float | None

    @property
    def is_open(self) -> bool:
        """Return whether the job has not ended, so that sending the file again opens no other job."""
        return not self.state.has_ended


def find(tx: Transaction, connection: str, fingerprint: str) -> SameFile | None:
    """Return the newest job of the same file, one that has not ended first; None when there is none."""
    job_id = relations.find_same_file(tx, connection, fingerprint)
    job = jobs.find_job(tx, job_id) if job_id is not None else None
    if job is None:
        return None
    return SameFile(
        job_id=job.id,
        state=job.state,
        uploaded_at=job.created_at,
        starts_at=job.not_before if job.state is JobState.SCHEDULED else None,
    )
