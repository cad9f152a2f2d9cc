"""The queue as the ledger has it: which batches, imports and reports have a task message, and which are unclaimed.

A message in the broker only wakes a worker; what is to be done is in the ledger. A message is recorded before it is
published, so that a job has a few of them in the broker at a time; the sweep publishes a lost one again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select, update

from worker.ledger.batches import OPEN, RUNNING
from worker.ledger.database import now
from worker.ledger.key_value import get
from worker.ledger.schema import batch, job, row
from worker.model import ENDED, PREPARING, SENDING, Driver, JobState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from sqlalchemy import ColumnElement

    from worker.ledger.database import Transaction

    #: Estimates the rows of a roster that is not imported yet, by the path where it is stored.
    EstimateRows = Callable[[str], int]

#: The key under which the time of the last sweep is stored.
LAST_SWEEP = "sweep"
#: Jobs for which the queue may have something to do.
_OPEN_JOBS = tuple(state for state in JobState if not state.has_ended)


class Priority(IntEnum):
    """Which message is handled first: those of jobs with few rows left; lower is first."""

    HIGH = 0
    NORMAL = 1
    LOW = 2


#: A message that is unclaimed for this long is waiting for a free slot (seconds).
WAITING_SECONDS = 1.0
#: A message that is unclaimed for this long finds every process busy (seconds).
BUSY_SECONDS = 5.0
#: A roster that arrived within this time is about to be imported (seconds).
RECENT_SECONDS = 3.0
#: Up to this many rows left a job is small, and up to the second number medium.
SMALL_ROWS, MEDIUM_ROWS = 200, 2_000


def priority_of(rows_left: int) -> Priority:
    """Return the priority of the messages of a job."""
    if rows_left <= SMALL_ROWS:
        return Priority.HIGH
    return Priority.NORMAL if rows_left <= MEDIUM_ROWS else Priority.LOW


class Task(StrEnum):
    """The tasks, by the names that Celery and Flower show."""

    SPLIT = "roster.split"
    REGISTER = "roster.register"
    REPORT = "roster.report"
    SWEEP = "roster.sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMessage:
    """A message to the queue: a task and its argument."""

    task: Task
    #: Of a batch for `roster.register`, of a job for the others.
    id: int
    job_id: int
    #: Publish it to be handled after this time (seconds).
    countdown: float = 0.0
    priority: Priority = Priority.HIGH


def open_jobs(tx: Transaction) -> list[int]:
    """Return the jobs of the queue that have not ended, or whose reports were not written since; oldest first."""
    unreported = or_(job.c.reported_at.is_(None), job.c.reported_at < job.c.finished_at)
    at_work: ColumnElement[bool] = job.c.state.in_(_OPEN_JOBS)
    wanted = select(job.c.id).where(job.c.driver == Driver.QUEUE, or_(at_work, unreported))
    return list(tx.execute(wanted.order_by(job.c.id)).scalars())


def never_enqueued(tx: Transaction) -> list[int]:
    """Return the jobs to be imported for which no message was enqueued yet, oldest first."""
    new = select(job.c.id).where(job.c.driver == Driver.QUEUE, job.c.enqueued_at.is_(None), job.c.owner.is_(None))
    return list(tx.execute(new.where(job.c.state.in_(PREPARING)).order_by(job.c.id)).scalars())


def last_swept(tx: Transaction) -> float:
    """Return when the ledger was last swept, in seconds since 1970; 0 when it never was."""
    return float((get(tx, LAST_SWEEP) or {}).get("at", 0.0))


def count_rows_left(tx: Transaction, job_id: int) -> int:
    """Count the rows of a job that were not sent yet, up to `MEDIUM_ROWS` + 1: enough to tell its priority."""
    left = select(row.c.id).where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED)
    some = left.limit(MEDIUM_ROWS + 1).subquery()
    return tx.execute(select(func.count()).select_from(some)).scalar_one()


def mark_job_enqueued(tx: Transaction, job_id: int, at: float, *, older_than: float) -> bool:
    """Record that a job's message is enqueued at `at`; False when one was enqueued since `older_than`."""
    not_enqueued = or_(job.c.enqueued_at.is_(None), job.c.enqueued_at < older_than)
    return tx.execute(update(job).where(job.c.id == job_id, not_enqueued).values(enqueued_at=at)).rowcount == 1


def mark_batch_enqueued(tx: Transaction, batch_id: int, at: float, *, older_than: float) -> bool:
    """Record that a batch's message is enqueued at `at`; False when it is claimed, or was since `older_than`."""
    not_enqueued = or_(batch.c.enqueued_at.is_(None), batch.c.enqueued_at < older_than)
    open_batch = (
        update(batch).where(batch.c.id == batch_id, batch.c.state == OPEN, not_enqueued).values(enqueued_at=at)
    )
    return tx.execute(open_batch).rowcount == 1


def mark_unsent(tx: Transaction, messages: Sequence[TaskMessage]) -> None:
    """Record that messages could not be published, so that the sweep publishes them when the broker is back."""
    batch_ids = [message.id for message in messages if message.task is Task.REGISTER]
    job_ids = [message.id for message in messages if message.task is not Task.REGISTER]
    tx.execute(update(batch).where(batch.c.id.in_(batch_ids), batch.c.state == OPEN).values(enqueued_at=None))
    tx.execute(update(job).where(job.c.id.in_(job_ids)).values(enqueued_at=None))


def mark_job_unsent(tx: Transaction, job_id: int) -> None:
    """Record that no message of a job is in the broker: one that came while the job was paused did nothing."""
    tx.execute(update(batch).where(batch.c.job_id == job_id, batch.c.state == OPEN).values(enqueued_at=None))
    tx.execute(update(job).where(job.c.id == job_id).values(enqueued_at=None))


def mark_all_unsent(tx: Transaction) -> None:
    """Record that no unclaimed message is in the broker."""
    tx.execute(
        update(batch).where(batch.c.state == OPEN, batch.c.enqueued_at.is_not(None)).values(enqueued_at=None)
    )
    tx.execute(update(job).where(job.c.enqueued_at.is_not(None)).values(enqueued_at=None))


def shorter_job_waits(tx: Transaction, job_id: int, estimate_rows: EstimateRows) -> bool:
    """Return whether the message of a shorter job has been unclaimed for `BUSY_SECONDS`."""
    mine = priority_of(count_rows_left(tx, job_id))
    if mine is Priority.HIGH:
        return False
    waiting = unclaimed(tx, estimate_rows, exclude=(job_id,), for_seconds=BUSY_SECONDS)
    return any(message.priority < mine for message in waiting)


def short_job_is_running(
    tx: Transaction, job_id: int, estimate_rows: EstimateRows, *, max_rows: int = SMALL_ROWS
) -> bool:
    """Return whether another job with up to `max_rows` rows left is running, being imported or about to be."""
    others = select(job.c.id, job.c.state, job.c.stored_path).where(
        job.c.driver == Driver.QUEUE, job.c.id != job_id
    )
    # An import that no worker claims may be waiting for the slot of the job that asks.
    soon_read = or_(job.c.owner.is_not(None), job.c.created_at > now() - RECENT_SECONDS)
    unread = and_(job.c.state.in_(PREPARING), soon_read)
    for other in tx.execute(others.where(or_(unread, job.c.state == JobState.RUNNING))):
        rows = estimate_rows(other.stored_path) if other.state in PREPARING else count_rows_left(tx, other.id)
        if 0 < rows <= max_rows:
            return True
    return False


def unclaimed(
    tx: Transaction, estimate_rows: EstimateRows, *, exclude: Collection[int], for_seconds: float = 0.0
) -> list[TaskMessage]:
    """Return messages that no worker has claimed for this long: one for each job that is not in `exclude`.

    Of rosters to be imported, the shortest is first.
    """
    before = now() - for_seconds
    enqueued = select(
        job.c.id, func.min(batch.c.id), _has_more_rows_left(SMALL_ROWS), _has_more_rows_left(MEDIUM_ROWS)
    )
    enqueued = enqueued.join(batch, batch.c.job_id == job.c.id)
    enqueued = enqueued.where(job.c.driver == Driver.QUEUE, job.c.state.in_(SENDING))
    enqueued = enqueued.where(batch.c.state == OPEN, batch.c.enqueued_at <= before, job.c.id.not_in(exclude))
    found = [
        TaskMessage(
            task=Task.REGISTER, id=batch_id, job_id=job_id, priority=Priority(more_than_small + more_than_medium)
        )
        for job_id, batch_id, more_than_small, more_than_medium in tx.execute(enqueued.group_by(job.c.id))
    ]
    return (
        found
        + _unclaimed_imports(tx, estimate_rows, exclude, before)
        + _unclaimed_reports(tx, estimate_rows, exclude, min(before, now() - WAITING_SECONDS))
    )


def _has_more_rows_left(more_than: int) -> ColumnElement[bool]:
    """Return the condition that a job has more than this many rows left, without counting all of them."""
    left = select(row.c.id).where(row.c.job_id == job.c.id, row.c.status == RowStatus.NOT_ATTEMPTED)
    return left.offset(more_than).limit(1).correlate(job).exists()


def _unclaimed_imports(
    tx: Transaction, estimate_rows: EstimateRows, exclude: Collection[int], before: float
) -> list[TaskMessage]:
    enqueued = select(job.c.id, job.c.stored_path).where(job.c.enqueued_at <= before, job.c.owner.is_(None))
    enqueued = enqueued.where(job.c.driver == Driver.QUEUE)
    records = tx.execute(enqueued.where(job.c.state.in_(PREPARING), job.c.id.not_in(exclude)))
    by_length = sorted((estimate_rows(record.stored_path), record.id) for record in records)
    return [_message_for_job(Task.SPLIT, job_id, rows) for rows, job_id in by_length]


def _unclaimed_reports(
    tx: Transaction, estimate_rows: EstimateRows, exclude: Collection[int], before: float
) -> list[TaskMessage]:
    ended = select(job.c.id, job.c.stored_path).where(job.c.state.in_(ENDED), job.c.enqueued_at <= before)
    unwritten = or_(job.c.reported_at.is_(None), job.c.reported_at < job.c.finished_at)
    records = tx.execute(ended.where(unwritten, job.c.driver == Driver.QUEUE, job.c.id.not_in(exclude)))
    return [_message_for_job(Task.REPORT, record.id, estimate_rows(record.stored_path)) for record in records]


def _message_for_job(task: Task, job_id: int, rows: int) -> TaskMessage:
    return TaskMessage(task=task, id=job_id, job_id=job_id, priority=priority_of(rows))


def has_running_batch(tx: Transaction, job_id: int) -> bool:
    """Return whether a worker has claimed a batch of the job."""
    held = select(batch.c.id).where(batch.c.job_id == job_id, batch.c.state == RUNNING)
    return tx.execute(held.limit(1)).first() is not None
