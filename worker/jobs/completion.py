"""Close a job when its last batch is done; hold it when the end of a batch asks for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import StopJob
from worker.jobs import lifecycle
from worker.ledger import batches, jobs, relations, rows
from worker.ledger.database import now
from worker.model import SENDING, JobState
from worker.registration.batch import BatchEnd
from worker.safe_errors import without_addresses

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.registration.breaker import OutageBudget
    from worker.registration.context import JobContext


def close_if_done(tx: Transaction, job_id: int) -> bool:
    """Close the job, changing it to `succeeded` or `completed_with_errors`; False when batches are open.

    Of two workers that finish the last batches at the same time, exactly one gets True.
    """
    if batches.open_batches(tx, job_id):
        return False
    rows.restore_outcomes(tx, job_id)
    relations.record_withdrawals(tx, job_id)
    for other in relations.ended_jobs_with_news(tx, job_id):
        mark_succeeded_if_done(tx, other)
    state = JobState.SUCCEEDED if _all_done(tx, job_id) else JobState.COMPLETED_WITH_ERRORS
    is_closed = jobs.change_job(
        tx, job_id, only_from=SENDING, state=state, reason="", not_before=None, finished_at=now()
    )
    relations.mark_undone(tx, [job_id])
    return is_closed


def mark_succeeded_if_done(tx: Transaction, job_id: int) -> None:
    """Change a job that ended with errors to `succeeded` if all its rows are done now; its report is due again."""
    relations.record_withdrawals(tx, job_id)
    if _all_done(tx, job_id):
        ended = (JobState.COMPLETED_WITH_ERRORS,)
        jobs.change_job(tx, job_id, only_from=ended, state=JobState.SUCCEEDED, reason="", finished_at=now())


def _all_done(tx: Transaction, job_id: int) -> bool:
    by_status = rows.count_rows(tx, job_id).by_status
    return all(count == 0 or not status.is_open for status, count in by_status.items())


def reason_to_hold(context: JobContext, outage_budget: OutageBudget, batch_end: BatchEnd) -> StopJob | None:
    """Return why the job must be held, if so; nothing more is sent for it then."""
    stop = _find_reason(context, outage_budget, batch_end)
    if stop is not None:
        context.halted = True
    return stop


def _find_reason(context: JobContext, outage_budget: OutageBudget, end: BatchEnd) -> StopJob | None:
    if end.stop is not None:
        return end.stop
    if end.course_stopped is not None and context.only_course:
        return StopJob(end.course_stopped.code, end.course_stopped.message)
    if end.retry_later is not None:
        try:
            outage_budget.record_failure(end.retry_later, answered=context.client.session.has_responded)
        except StopJob as stop:
            return stop
    elif end == BatchEnd():
        outage_budget.reset()
    return None


def apply_batch_end(tx: Transaction, job_id: int, end: BatchEnd, stop: StopJob | None) -> None:
    """Record what the end of a batch means for its job; a course that is refused was given up with the batch."""
    if stop is not None:
        lifecycle.hold(tx, job_id, stop.message, stop.code)
        return
    state = jobs.state_of(tx, job_id)
    if state is not None and not state.is_sending:
        # A job that was paused may have withdrawn all of another one before.
        relations.record_withdrawals(tx, job_id)
    if end.retry_later is not None:
        reason = without_addresses(end.retry_later.reason)
        jobs.change_job(tx, job_id, only_from=SENDING, reason=reason)
    else:
        batches.end_reason_to_wait(tx, job_id)
