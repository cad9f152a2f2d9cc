"""Close a job when its last batch is done and the books balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.ledger import batches, jobs, rows
from worker.ledger.database import now
from worker.model import AT_WORK, DONE, JobState, RowStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.registration.context import CourseStopped


def give_up_course(tx: Connection, job_id: int, course: CourseStopped) -> None:
    """Close the batches of a course that the LMS refuses; its rows say why they were not sent."""
    rows.explain_rows(tx, job_id, course.course_key, f"Not sent: {course.message}", course.code)
    batches.close_batches(tx, job_id, course.course_key)


def settle_job(tx: Connection, job_id: int) -> bool:
    """Close the job, changing it to `succeeded` or `completed_with_errors`; False when it is not at its end.

    Of two workers that finish the last batches at the same time, exactly one gets True.
    """
    if batches.open_batches(tx, job_id):
        return False
    state = JobState.SUCCEEDED if _all_done(tx, job_id) else JobState.COMPLETED_WITH_ERRORS
    return jobs.change_job(
        tx, job_id, only_from=AT_WORK, state=state, reason="", not_before=None, finished_at=now()
    )


def end_anew(tx: Connection, job_id: int) -> None:
    """Let a job that ended with errors read `succeeded` when all its rows are done by now; a report is due anew."""
    if _all_done(tx, job_id):
        ended = (JobState.COMPLETED_WITH_ERRORS,)
        jobs.change_job(tx, job_id, only_from=ended, state=JobState.SUCCEEDED, reason="", finished_at=now())


def _all_done(tx: Connection, job_id: int) -> bool:
    by_status = rows.tally(tx, job_id).by_status
    return all(count == 0 or status in DONE or status is RowStatus.SKIPPED for status, count in by_status.items())
