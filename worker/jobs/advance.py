"""Decide what a job needs next: which batches may start, action by action, a course's canary first.

`startable` is pure. `advance` moves a job of the queue one step on: it closes a job that is done, records that it
waits, and returns the task messages to publish. Any process may call it at any time, also twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.intake.storage import estimate_rows
from worker.jobs import completion, lifecycle
from worker.ledger import batches, jobs, queue
from worker.ledger.queue import Priority, Task, TaskMessage
from worker.model import SENDING, STAGES, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from worker.ledger.batches import OpenBatch
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: A batch that may start within this time gets a message with a countdown now (seconds); others wait in the ledger.
SOON_SECONDS = 30.0
#: A shorter wait does not show in the job's state (seconds).
VISIBLE_WAIT_SECONDS = 1.0
#: Why a job waits of which no batch has said why.
WAITS = "the next call may not go yet"
#: A job is held when this many workers died while they held the same batch.
MAX_DEATHS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How many messages of a job are in the broker at a time, and after how many seconds one counts as lost."""

    batches: int = 8
    lost_after: float = 60.0


def startable(
    open_batches: Sequence[OpenBatch], running: Sequence[OpenBatch], *, at_once: int, at: float
) -> list[OpenBatch]:
    """Return the batches to start at the time `at`, so that up to `at_once` run.

    Batches of an action start only when none is open of the actions before it (a registration is made before it is
    completed), and the batches of a course only after its canary; the one that confirms a course comes last.
    """
    now_due = min((STAGES.index(batch.action) for batch in (*open_batches, *running)), default=0)
    open_batches = [batch for batch in open_batches if STAGES.index(batch.action) == now_due]
    busy = {batch.course_key for batch in running if batch.canary}
    unconfirmed = {batch.course_key for batch in (*open_batches, *running) if not batch.confirms}
    canaries = {batch.course_key: batch.id for batch in reversed(open_batches) if batch.canary}
    at_work = {batch.id for batch in running}
    may_start = [
        batch
        for batch in open_batches
        if batch.id not in at_work
        and not batch.running
        and not (batch.confirms and batch.course_key in unconfirmed)
        and batch.course_key not in busy
        and canaries.get(batch.course_key, batch.id) == batch.id
        and (batch.not_before or 0) <= at
    ]
    return may_start[: max(0, at_once - len(running))]


def advance(tx: Transaction, job_id: int, window: Window, at: float) -> list[TaskMessage]:
    """Move a job of the queue one step on and return the messages to publish for it, recorded as enqueued."""
    job = jobs.find_job(tx, job_id)
    if job is None or job.is_claimed:
        return []
    if job.state.is_preparing or job.state is JobState.SCHEDULED or (job.state.is_sending and not job.planned):
        return _enqueue_import(tx, job, window, at)
    if job.state.is_sending:
        return _advance_running(tx, job, window, at)
    if job.state is JobState.CANCELLING and not queue.has_running_batch(tx, job_id):
        lifecycle.finish_cancelling(tx, job_id)
        return enqueue_report(tx, job_id, at)
    if job.has_ended and (job.reported_at or 0) < (job.finished_at or at):
        return _enqueue_job(tx, job_id, Task.REPORT, window, at)
    return []


def next_batches(tx: Transaction, job_id: int, limit: int, at: float, *, besides: Collection[int]) -> list[int]:
    """Return the batches of a job that may start now, those without a message in the broker first."""
    job = jobs.find_job(tx, job_id)
    if job is None or not job.state.is_sending:
        return []
    open_batches = batches.open_batches(tx, job_id)
    running = [batch for batch in open_batches if batch.running or batch.id in besides]
    may_start = startable(open_batches, running, at_once=len(open_batches), at=at)
    return [batch.id for batch in sorted(may_start, key=lambda batch: batch.enqueued_at is not None)][:limit]


def _enqueue_import(tx: Transaction, job: Job, window: Window, at: float) -> list[TaskMessage]:
    seconds = max(0.0, (job.not_before or 0) - at)
    if seconds > SOON_SECONDS:
        return []
    if job.state is JobState.SCHEDULED:
        if seconds:
            return []
        jobs.change_job(tx, job.id, only_from=(JobState.SCHEDULED,), state=JobState.UPLOADED, not_before=None)
    priority = queue.priority_of(estimate_rows(job.stored_path))
    messages = _enqueue_job(tx, job.id, Task.SPLIT, window, at + seconds)
    return [replace(message, priority=priority, countdown=seconds) for message in messages]


def _advance_running(tx: Transaction, job: Job, window: Window, at: float) -> list[TaskMessage]:
    open_batches = batches.open_batches(tx, job.id)
    if not open_batches:
        return enqueue_report(tx, job.id, at) if completion.close_if_done(tx, job.id) else []
    if max(batch.deaths for batch in open_batches) >= MAX_DEATHS:
        reason = f"{MAX_DEATHS} workers died while they sent the same rows; check their logs, then resume"
        lifecycle.hold(tx, job.id, reason, "workers_died")
        return []
    _update_waiting(tx, job, open_batches, at)
    priority = queue.priority_of(queue.count_rows_left(tx, job.id))
    return list(_enqueue_batches(tx, job.id, open_batches, priority, window=window, at=at))


def _enqueue_batches(
    tx: Transaction,
    job_id: int,
    open_batches: Sequence[OpenBatch],
    priority: Priority,
    *,
    window: Window,
    at: float,
) -> Iterator[TaskMessage]:
    """Enqueue as many batches as the window allows, and those again whose message was lost."""
    lost_before = at - window.lost_after
    taken = [batch for batch in open_batches if batch.running or (batch.enqueued_at or 0) >= lost_before]
    for batch in startable(open_batches, taken, at_once=window.batches, at=at + SOON_SECONDS):
        seconds = max(0.0, (batch.not_before or 0) - at)
        if queue.mark_batch_enqueued(tx, batch.id, at + seconds, older_than=lost_before):
            # A batch whose message was lost, or was not claimed for so long, has waited enough.
            first = Priority.HIGH if batch.enqueued_at is not None else priority
            yield TaskMessage(task=Task.REGISTER, id=batch.id, job_id=job_id, countdown=seconds, priority=first)


def enqueue_report(tx: Transaction, job_id: int, at: float) -> list[TaskMessage]:
    """Enqueue the reports of a job that has stopped."""
    return _enqueue_job(tx, job_id, Task.REPORT, Window(), at, first=True)


def _enqueue_job(
    tx: Transaction, job_id: int, task: Task, window: Window, at: float, *, first: bool = False
) -> list[TaskMessage]:
    """Enqueue a task of a job as a whole; `first`: an earlier message was for something else."""
    enqueued = queue.mark_job_enqueued(tx, job_id, at, older_than=at + 1.0 if first else at - window.lost_after)
    return [TaskMessage(task=task, id=job_id, job_id=job_id)] if enqueued else []


def _update_waiting(tx: Transaction, job: Job, open_batches: Sequence[OpenBatch], at: float) -> None:
    """Set the job to `waiting` when every batch waits for a later time, and back when one may start."""
    waits = not any(batch.running for batch in open_batches) and not startable(
        open_batches, (), at_once=1, at=at + VISIBLE_WAIT_SECONDS
    )
    if waits:
        start = min(batch.not_before or at for batch in open_batches)
        reason = job.reason or WAITS
        jobs.change_job(tx, job.id, only_from=SENDING, state=JobState.WAITING, not_before=start, reason=reason)
    elif job.state is JobState.WAITING:
        jobs.change_job(tx, job.id, only_from=SENDING, state=JobState.RUNNING, not_before=None, reason="")
