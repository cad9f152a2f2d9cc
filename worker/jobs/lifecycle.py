"""Change the state of a job: pause, resume, cancel, retry, hold, hand it to the workers."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from worker.errors import UnknownJob, UsageError
from worker.ledger import batches, course_change, jobs, queue, relations, rows
from worker.ledger.database import now
from worker.model import NOBODY_CAN_BE_CREATED, PREPARING, SENDING, Driver, JobState, Relation, RowStatus
from worker.quantities import counted
from worker.reports.labels import STATE_INFO
from worker.safe_errors import without_addresses

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.model import Course

CANCELLED_BY_A_PERSON = "cancelled by a person"


def get_job(tx: Transaction, job_id: int) -> Job:
    """Return the job; raises UnknownJob when there is none of that number."""
    job = jobs.find_job(tx, job_id)
    if job is None:
        raise UnknownJob(f"There is no job {job_id}; `roster jobs` lists those there are")
    return job


def get_unpurged_job(tx: Transaction, job_id: int) -> Job:
    """Return the job; raises UsageError when there is none of that number, or its rows were purged."""
    job = get_job(tx, job_id)
    if job.purged_at is not None:
        day = datetime.fromtimestamp(job.purged_at).astimezone().date()
        raise UsageError(
            f"The rows of job {job_id} were purged on {day}; its counts are in `roster status {job_id}`"
        )
    return job


def get_job_to_continue(tx: Transaction, job_id: int) -> Job:
    """Return the job; raises UsageError when it was purged, or all that it registered was withdrawn."""
    job = get_unpurged_job(tx, job_id)
    if job.state is JobState.UNDONE:
        by = relations.related(tx, job_id).jobs[Relation.UNDONE_BY]
        who = f"job {by[-1]}" if by else "a later job"
        raise UsageError(f"Job {job_id} was undone by {who}; to register its people, run or upload its file again")
    return job


def _shown(job: Job) -> str:
    """Return the state of a job as people see it."""
    return STATE_INFO[job.state].label


def pause(tx: Transaction, job_id: int) -> str:
    """Pause a job: calls in progress finish, nothing more is sent. Return a sentence for the person."""
    job = get_job(tx, job_id)
    if job.has_ended:
        raise UsageError(f"Job {job_id} has ended ({_shown(job)}); there is nothing to pause")
    if job.state is JobState.CANCELLING:
        raise UsageError(f"Job {job_id} is being cancelled; that cannot be paused")
    planned = job.not_before if job.state is JobState.SCHEDULED else None
    _change(tx, job, state=JobState.PAUSED, reason="paused by a person", not_before=planned)
    return f"Job {job_id} is paused; `roster resume {job_id}` continues it"


def _change(tx: Transaction, job: Job, **values: Any) -> None:
    """Change a job that is still in the state it was read in; raises UsageError when it is not."""
    if not jobs.change_job(tx, job.id, only_from=(job.state,), **values):
        raise UsageError(f"Job {job.id} is no longer {_shown(job)}; check it, and try again if need be")


def cancel(tx: Transaction, job_id: int) -> str:
    """Cancel a job: calls in progress finish, the rest is never sent. Return a sentence for the person."""
    job = job_to_cancel(tx, job_id)
    batches.reopen_abandoned(tx, job_id)
    if any(batch.running for batch in batches.open_batches(tx, job_id)):
        _change(tx, job, state=JobState.CANCELLING, reason=CANCELLED_BY_A_PERSON)
        return (
            f"Job {job_id} is being cancelled: calls in progress finish, nothing more is sent. "
            f"So far: {_how_far(tx, job_id)}"
        )
    finish_cancelling(tx, job_id)
    return f"Job {job_id} is cancelled: {_how_far(tx, job_id)}"


def job_to_cancel(tx: Transaction, job_id: int) -> Job:
    """Return the job; raises UsageError when there is nothing to cancel."""
    job = get_job(tx, job_id)
    if job.has_ended:
        raise UsageError(f"Job {job_id} has ended ({_shown(job)}); there is nothing to cancel")
    return job


def _how_far(tx: Transaction, job_id: int) -> str:
    """Return what became of a job's rows so far, in numbers."""
    counts, stages = rows.count_rows(tx, job_id), rows.count_stages(tx, job_id)
    unsent = counts.by_status[RowStatus.NOT_ATTEMPTED]
    created, found = stages.unsent_created, stages.unsent_found
    parts = [f"{counts.total - unsent:,} processed", f"{counted(created, 'person')} created but not registered"]
    parts += [f"{counted(found, 'person')} found in the LMS and not registered"] if found else []
    return ", ".join([*parts, f"{unsent - created - found:,} not sent"])


def resume(tx: Transaction, job_id: int) -> Job:
    """Make a job that stopped, or whose process died, ready to continue; return it as it then is.

    Of a job that has ended only the rows continue that a person has opened again. Raises UsageError when the job
    cannot continue.
    """
    job = get_job_to_continue(tx, job_id)
    batches.reopen_abandoned(tx, job_id)
    if job.state is JobState.INVALID:
        raise UsageError(f"Job {job_id} sent nothing: {job.reason}")
    if job.state is JobState.CANCELLED:
        raise UsageError(f"Job {job_id} was cancelled; `roster retry {job_id}` sends the rows that were not sent")
    if job.state is JobState.CANCELLING:
        raise UsageError(f"Job {job_id} is being cancelled; wait for its end, then `roster retry {job_id}`")
    if not job.headings and job.state.is_idle:
        jobs.change_job(tx, job_id, state=JobState.UPLOADED, reason="", not_before=None)
    return get_job(tx, job_id)


def change_course(tx: Transaction, job_id: int, course: Course) -> int:
    """Give the rows of a stopped job that are not done another course. Return how many.

    Raises UsageError while the job is running, or when no row can get another course.
    """
    job = get_unpurged_job(tx, job_id)
    batches.reopen_abandoned(tx, job_id)
    if job.is_claimed or any(batch.running for batch in batches.open_batches(tx, job_id)):
        raise UsageError(f"Job {job_id} is running; pause it before its course is changed")
    count = course_change.change_course(tx, job, course)
    if not count:
        raise UsageError(f"Job {job_id} has no rows that are still to be registered; its course was not changed")
    batches.close_batches(tx, job_id)
    jobs.change_job(tx, job_id, planned=False)
    return count


def hand_to_queue(tx: Transaction, job_id: int) -> str:
    """Hand a job that stopped to the workers. Return a sentence for the person.

    Raises UsageError when nothing is left to do.
    """
    planned = get_job(tx, job_id)
    if planned.state is JobState.PAUSED and (planned.not_before or 0) > now():
        jobs.change_job(tx, job_id, state=JobState.SCHEDULED, reason="", driver=Driver.QUEUE)
        return f"Job {job_id} starts when it was scheduled to"
    job = resume(tx, job_id)
    if job.has_ended and not queue.count_rows_left(tx, job_id) and not batches.rows_to_plan(tx, job_id):
        raise UsageError(f"Job {job_id} has ended ({_shown(job)}); nothing is left to do")
    if (job.state.is_sending or job.state.is_preparing) and (job.driver is Driver.QUEUE or _has_owner(tx, job)):
        queue.mark_job_unsent(tx, job_id)
        return f"Job {job_id} is running"
    _give_to_queue(tx, job)
    return f"Job {job_id} continues"


def take_over(tx: Transaction, job_id: int) -> str:
    """Hand the workers a job whose command has died, when the same roster is submitted again.

    A job that waits for a person keeps waiting. Return a sentence for the person.
    """
    batches.reopen_abandoned(tx, job_id)
    job = get_job(tx, job_id)
    if not (job.state.is_sending or job.state.is_preparing):
        return f"job {job_id} of this roster is {job.state}; `roster resume {job_id}` continues it"
    if job.driver is Driver.QUEUE or _has_owner(tx, job):
        return f"already running, as job {job_id}"
    _give_to_queue(tx, job)
    return f"the workers continue job {job_id}, whose process had stopped"


def _has_owner(tx: Transaction, job: Job) -> bool:
    """Return whether a live process imports the job, or holds a batch of it."""
    return job.is_claimed or batches.running_owner(tx, job.id) is not None


def _give_to_queue(tx: Transaction, job: Job) -> None:
    unread = job.state.is_unread
    jobs.change_job(
        tx,
        job.id,
        driver=Driver.QUEUE,
        planned=False,
        state=job.state if unread else JobState.QUEUED,
        reason="",
        not_before=None,
        finished_at=None,
    )
    queue.mark_job_unsent(tx, job.id)


def finish_cancelling(tx: Transaction, job_id: int) -> None:
    """Close what is left of a cancelled job, once no call of it is in progress."""
    rows.restore_outcomes(tx, job_id)
    relations.record_withdrawals(tx, job_id)
    rows.explain_cancelled(tx, job_id)
    batches.close_batches(tx, job_id)
    # The reason of the state before, such as how to resume the job, is no longer true.
    jobs.change_job(
        tx, job_id, state=JobState.CANCELLED, reason=CANCELLED_BY_A_PERSON, not_before=None, finished_at=now()
    )
    relations.mark_undone(tx, [job_id])


def stop_interrupted(tx: Transaction, job_id: int) -> Job:
    """Pause a job whose process was interrupted, or finish cancelling it; return the job."""
    if get_job(tx, job_id).state is JobState.CANCELLING:
        finish_cancelling(tx, job_id)
    else:
        # What an undo has withdrawn by now undoes the other job already.
        relations.record_withdrawals(tx, job_id)
        jobs.change_job(tx, job_id, only_from=SENDING, state=JobState.PAUSED, reason="interrupted")
    return get_job(tx, job_id)


def reopen(tx: Transaction, job_id: int, *, rejected: bool = False) -> int:
    """Make the rows of an ended or stopped job ready that were never sent. Return how many.

    `rejected`: those that the LMS rejected too.

    Raises UsageError when the job is still running, or the file itself must be fixed first.
    """
    job = get_job_to_continue(tx, job_id)
    if job.state is JobState.INVALID:
        raise UsageError(f"Job {job_id} sent nothing, since its roster must be fixed first; upload the fixed file")
    if not job.has_ended and not job.state.is_idle:
        raise UsageError(f"Job {job_id} has not ended ({_shown(job)}); use `roster resume {job_id}`")
    batches.reopen_abandoned(tx, job_id)
    if any(batch.running for batch in batches.open_batches(tx, job_id)):
        raise UsageError(f"Calls of job {job_id} are still in progress; try again in a moment")
    count = rows.reopen_rows(tx, job_id, rejected=rejected)
    if job.has_ended:
        state = JobState.QUEUED if job.headings else JobState.UPLOADED
        jobs.change_job(tx, job_id, state=state, reason="", finished_at=None)
    return count


def has_nothing_to_resume(tx: Transaction, job_id: int) -> bool:
    """Return whether a job has ended and none of its rows is to be sent or looked up."""
    job = get_job_to_continue(tx, job_id)
    left = queue.count_rows_left(tx, job_id) or batches.rows_to_plan(tx, job_id)
    return job.state.went_through and not left


def has_nothing_to_retry(tx: Transaction, job_id: int, *, rejected: bool = False) -> bool:
    """Return whether a job has ended and none of its rows can be retried."""
    job = get_job_to_continue(tx, job_id)
    by_status = rows.count_rows(tx, job_id).by_status
    ended = job.has_ended and job.state is not JobState.INVALID and bool(job.headings)
    retriable = [status for status in RowStatus if status.is_retriable] + [RowStatus.REJECTED] * rejected
    return ended and not any(by_status[status] for status in retriable)


def hold(tx: Transaction, job_id: int, reason: str, code: str) -> bool:
    """Hold a job until a person resumes it. False when its rows were neither being read nor being sent.

    A job that no resuming would help, since its file must be fixed, is `invalid`. E-mail addresses are left out of
    the reason: it may have an LMS's words in it.
    """
    relations.record_withdrawals(tx, job_id)
    must_be_fixed = code == NOBODY_CAN_BE_CREATED
    return jobs.change_job(
        tx,
        job_id,
        only_from=(*PREPARING, *SENDING),
        state=JobState.INVALID if must_be_fixed else JobState.HELD,
        reason=without_addresses(reason),
        reason_code=code,
        not_before=None,
    )
