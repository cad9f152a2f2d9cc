"""What a person may do to a job: pause, cancel, retry, and settle a row in doubt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from worker.errors import UnknownJob, UsageError
from worker.ledger import batches, jobs, queue, resolutions, rows
from worker.ledger.database import now
from worker.model import AT_WORK, ENDED, TO_READ, Driver, JobState, RowStatus

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: `retry` sends these again: their status says that nothing was done.
NOTHING_DONE = (RowStatus.REJECTED, RowStatus.NOT_ATTEMPTED)
STOPPED = (JobState.PAUSED, JobState.HELD, JobState.SCHEDULED)


def get_job(tx: Transaction, job_id: int) -> Job:
    """Return the job; raises UnknownJob when there is none of that number."""
    job = jobs.find_job(tx, job_id)
    if job is None:
        raise UnknownJob(f"There is no job {job_id}; `roster jobs` lists those there are")
    return job


def get_whole_job(tx: Transaction, job_id: int) -> Job:
    """Return the job; raises UsageError when there is none of that number, or its rows were purged."""
    job = get_job(tx, job_id)
    if job.purged_at is not None:
        day = datetime.fromtimestamp(job.purged_at).astimezone().date()
        raise UsageError(
            f"The rows of job {job_id} were purged on {day}; its counts are in `roster status {job_id}`"
        )
    return job


def pause(tx: Transaction, job_id: int) -> str:
    """Pause a job: calls under way finish, nothing more is sent. Return what to tell the person."""
    job = get_job(tx, job_id)
    if job.has_ended:
        raise UsageError(f"Job {job_id} has ended ({job.state}); there is nothing to pause")
    if job.state is JobState.CANCELLING:
        raise UsageError(f"Job {job_id} is being cancelled; that cannot be paused")
    planned = job.not_before if job.state is JobState.SCHEDULED else None
    _change(tx, job, state=JobState.PAUSED, reason="paused by a person", not_before=planned)
    return f"Job {job_id} is paused; `roster resume {job_id}` goes on"


def _change(tx: Transaction, job: Job, **values: Any) -> None:
    """Change a job that stands as it was just seen; raises UsageError when it does not."""
    if not jobs.change_job(tx, job.id, only_from=(job.state,), **values):
        raise UsageError(f"Job {job.id} is no longer {job.state}; look again, and try again if need be")


def cancel(tx: Transaction, job_id: int) -> str:
    """Cancel a job: calls under way finish, the rest is never sent. Return what to tell the person."""
    job = get_job(tx, job_id)
    if job.has_ended:
        raise UsageError(f"Job {job_id} has ended ({job.state}); there is nothing to cancel")
    batches.reap(tx, job_id)
    if any(batch.running for batch in batches.open_batches(tx, job_id)):
        _change(tx, job, state=JobState.CANCELLING, reason="cancelled by a person")
        return f"Job {job_id} is being cancelled: calls under way finish, nothing more is sent"
    finish_cancelling(tx, job_id)
    counts = rows.tally(tx, job_id).by_status
    unsent = counts[RowStatus.NOT_ATTEMPTED]
    return f"Job {job_id} is cancelled: {sum(counts.values()) - unsent} rows had an outcome, {unsent} never sent"


def resume(tx: Transaction, job_id: int) -> Job:
    """Make a job that stopped, or was left behind, ready to go on; return it as it then stands.

    Of a job that has ended only what a person has opened again goes on. Raises UsageError when there is nothing to
    go on with, or somebody is at work on it.
    """
    job = get_whole_job(tx, job_id)
    batches.reap(tx, job_id)
    if job.state is JobState.INVALID:
        raise UsageError(f"Job {job_id} sent nothing: {job.reason}")
    if job.state is JobState.CANCELLED:
        raise UsageError(f"Job {job_id} was cancelled; `roster retry {job_id}` sends what was never sent")
    if job.state is JobState.CANCELLING:
        raise UsageError(f"Job {job_id} is being cancelled; wait for its end, then `roster retry {job_id}`")
    if not job.headings and job.state in {JobState.PAUSED, JobState.SCHEDULED, JobState.HELD}:
        jobs.change_job(tx, job_id, state=JobState.UPLOADED, reason="", not_before=None)
    return get_job(tx, job_id)


def hand_to_queue(tx: Transaction, job_id: int) -> str:
    """Let those who work in the background go on with a job that stopped. Return what to tell the person.

    Raises UsageError when there is nothing to go on with.
    """
    planned = get_job(tx, job_id)
    if planned.state is JobState.PAUSED and (planned.not_before or 0) > now():
        jobs.change_job(tx, job_id, state=JobState.SCHEDULED, reason="", driver=Driver.QUEUE)
        return f"Job {job_id} begins when it was planned to"
    job = resume(tx, job_id)
    if job.has_ended and not queue.rows_left(tx, job_id) and not batches.rows_to_plan(tx, job_id):
        raise UsageError(f"Job {job_id} has ended ({job.state}); there is nothing to go on with")
    if job.state in {*AT_WORK, *TO_READ} and (job.driver is Driver.QUEUE or _has_owner(tx, job)):
        jobs.change_job(tx, job_id, rung_at=None)
        return f"Job {job_id} is at work"
    _give_to_queue(tx, job)
    return f"Job {job_id} goes on"


def adopt(tx: Transaction, job_id: int) -> str:
    """Let the background go on with a job that a command left behind, its roster being dropped again.

    One that waits for a person goes on waiting. Return what to tell the person.
    """
    batches.reap(tx, job_id)
    job = get_job(tx, job_id)
    if job.state not in {*AT_WORK, *TO_READ}:
        return f"job {job_id} of this roster is {job.state}; `roster resume {job_id}` goes on"
    if job.driver is Driver.QUEUE or _has_owner(tx, job):
        return f"at work already, as job {job_id}"
    _give_to_queue(tx, job)
    return f"the queue goes on with job {job_id}, which was left behind"


def _has_owner(tx: Transaction, job: Job) -> bool:
    """Tell whether somebody who lives reads the job in, or holds a batch of it."""
    return job.is_taken or batches.running_owner(tx, job.id) is not None


def _give_to_queue(tx: Transaction, job: Job) -> None:
    unread = job.state in {JobState.UPLOADED, JobState.VALIDATING}
    jobs.change_job(
        tx,
        job.id,
        driver=Driver.QUEUE,
        planned=False,
        state=job.state if unread else JobState.QUEUED,
        reason="",
        not_before=None,
        finished_at=None,
        rung_at=None,
    )


def finish_cancelling(tx: Transaction, job_id: int) -> None:
    """Close what is left of a cancelled job, once nothing of it is under way."""
    rows.explain_rows(tx, job_id, None, rows.CANCELLED, "cancelled")
    batches.close_batches(tx, job_id)
    jobs.change_job(tx, job_id, state=JobState.CANCELLED, not_before=None, finished_at=now())


def reopen(tx: Transaction, job_id: int) -> int:
    """Make the rows of an ended job that nothing was done for ready to be sent again. Return how many.

    Raises UsageError when the job is still at work, or the file itself must be mended first.
    """
    job = get_whole_job(tx, job_id)
    if job.state is JobState.INVALID:
        raise UsageError(f"Job {job_id} sent nothing, since its roster must be mended first; drop the mended file")
    if not job.has_ended and job.state not in STOPPED:
        raise UsageError(f"Job {job_id} has not ended ({job.state}); use `roster resume {job_id}`")
    batches.reap(tx, job_id)
    if any(batch.running for batch in batches.open_batches(tx, job_id)):
        raise UsageError(f"Calls of job {job_id} are still under way; try again in a moment")
    count = rows.reopen_rows(tx, job_id, NOTHING_DONE)
    if job.state in ENDED:
        state = JobState.QUEUED if job.headings else JobState.UPLOADED
        jobs.change_job(tx, job_id, state=state, reason="", finished_at=None)
    return count


def has_nothing_to_retry(tx: Transaction, job_id: int) -> bool:
    """Tell whether a job has ended, and something was done, or must be done by a person, for all of its rows."""
    job = get_whole_job(tx, job_id)
    by_status = rows.tally(tx, job_id).by_status
    ended = job.has_ended and job.state is not JobState.INVALID and bool(job.headings)
    return ended and not any(by_status[status] for status in NOTHING_DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A person's answer on a row in doubt; exactly one of the three."""

    candidate_id: str | None = None
    registration_id: str | None = None
    absent: bool = False


def resolve(tx: Transaction, job_id: int, number: int, answer: Answer) -> str:
    """Settle a row in doubt by what a person found at the LMS. Return what to tell the person.

    A candidate's id: they are there, and the row is sent on to be registered. A registration's id: the row is done.
    Absent: nothing was done, and the row may be sent again.
    """
    get_whole_job(tx, job_id)
    return settle(tx, job_id, number, answer, resolutions.find_row(tx, job_id, number))


def settle(tx: Transaction, job_id: int, number: int, answer: Answer, row: resolutions.RowInDoubt | None) -> str:
    """Settle a row that was found, if it is in doubt and the answer is one. Return what to tell the person."""
    if sum((answer.candidate_id is not None, answer.registration_id is not None, answer.absent)) != 1:
        raise UsageError("Give exactly one of --candidate-id, --registration-id and --absent")
    if row is None:
        raise UsageError(f"Job {job_id} has no row {number} that could be in doubt")
    if row.status is not RowStatus.IN_DOUBT:
        raise UsageError(f"Row {number} of job {job_id} is not in doubt; it is {row.status}")
    return resolutions.record(
        tx, job_id, row, candidate_id=answer.candidate_id, registration_id=answer.registration_id
    )
