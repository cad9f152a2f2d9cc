"""Close a job when its last batch is done and the books balance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import StopJob
from worker.ledger import batches, jobs, rows
from worker.ledger.database import now
from worker.model import AT_WORK, DONE, JobState, RowStatus
from worker.registration.batch import BatchEnd

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.registration.breaker import Patience
    from worker.registration.context import CourseStopped, Desk


def give_up_course(tx: Transaction, job_id: int, course: CourseStopped) -> None:
    """Close the batches of a course that the LMS refuses; its rows say why they were not sent."""
    rows.explain_rows(tx, job_id, course.course_key, f"Not sent: {course.message}", course.code)
    batches.close_batches(tx, job_id, course.course_key)


def settle_job(tx: Transaction, job_id: int) -> bool:
    """Close the job, changing it to `succeeded` or `completed_with_errors`; False when it is not at its end.

    Of two workers that finish the last batches at the same time, exactly one gets True.
    """
    if batches.open_batches(tx, job_id):
        return False
    state = JobState.SUCCEEDED if _all_done(tx, job_id) else JobState.COMPLETED_WITH_ERRORS
    return jobs.change_job(
        tx, job_id, only_from=AT_WORK, state=state, reason="", not_before=None, finished_at=now()
    )


def end_anew(tx: Transaction, job_id: int) -> None:
    """Let a job that ended with errors read `succeeded` when all its rows are done by now; a report is due anew."""
    if _all_done(tx, job_id):
        ended = (JobState.COMPLETED_WITH_ERRORS,)
        jobs.change_job(tx, job_id, only_from=ended, state=JobState.SUCCEEDED, reason="", finished_at=now())


def _all_done(tx: Transaction, job_id: int) -> bool:
    by_status = rows.tally(tx, job_id).by_status
    return all(count == 0 or status in DONE or status is RowStatus.SKIPPED for status, count in by_status.items())


def weigh(desk: Desk, patience: Patience, end: BatchEnd) -> StopJob | None:
    """Return why the job must be held, if so; the desk then sends nothing more."""
    stop = _reason_to_hold(desk, patience, end)
    if stop is not None:
        desk.halted = True
    return stop


def _reason_to_hold(desk: Desk, patience: Patience, end: BatchEnd) -> StopJob | None:
    if end.stop is not None:
        return end.stop
    if end.course is not None and desk.only_course:
        return StopJob(end.course.code, end.course.message)
    if end.later is not None:
        try:
            patience.lose(end.later, answered=desk.door.wire.answered)
        except StopJob as stop:
            return stop
    elif end == BatchEnd():
        patience.restore()
    return None


def conclude(tx: Transaction, job_id: int, end: BatchEnd, stop: StopJob | None) -> None:
    """Write to the ledger what the end of a batch means for its job."""
    if stop is not None:
        hold(tx, job_id, stop.message, stop.code)
    elif end.course is not None:
        give_up_course(tx, job_id, end.course)


def hold(tx: Transaction, job_id: int, reason: str, code: str) -> bool:
    """Hold a job at work until a person says go; False when it was not at work."""
    held = {"state": JobState.HELD, "reason": reason, "reason_code": code, "not_before": None}
    return jobs.change_job(tx, job_id, only_from=AT_WORK, **held)
