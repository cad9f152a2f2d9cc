"""Feed a job's batches to whoever works them off: a few at a time, action by action, a course's canary first.

`ready` is pure and serves every mode. `go_on` takes a job of the queue one step on: it closes the job when it is at
its end, says when it waits, and returns the bells to ring. It may be called at any time, by anybody, twice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.jobs import completion, lifecycle
from worker.ledger import batches, jobs, queue
from worker.ledger.queue import Bell, Task, Urgency
from worker.model import AT_WORK, STAGES, TO_READ, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from worker.ledger.batches import OpenBatch
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: A batch that may start within this time gets its bell now, to be rung then (seconds); others wait in the ledger.
SOON_SECONDS = 30.0
#: A shorter wait does not show in the job's state (seconds).
NOTICED_SECONDS = 1.0
#: So many workers may die while they hold one batch, before a person is asked.
MOST_DEATHS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """How many bells a job has in the broker at a time, and after how many seconds one counts as lost."""

    batches: int = 8
    lost_after: float = 60.0


def ready(
    open_batches: Sequence[OpenBatch], running: Sequence[OpenBatch], *, at_once: int, at: float
) -> list[OpenBatch]:
    """Return the batches to start at the time `at`, so many at once.

    Those of an action only when none is open of those that come before it (a registration is made before it is
    completed); a course's canary before the rest of it.
    """
    now_due = min((STAGES.index(batch.action) for batch in (*open_batches, *running)), default=0)
    open_batches = [batch for batch in open_batches if STAGES.index(batch.action) == now_due]
    busy = {batch.course_key for batch in running if batch.canary}
    canaries = {batch.course_key: batch.id for batch in reversed(open_batches) if batch.canary}
    at_work = {batch.id for batch in running}
    may_start = [
        batch
        for batch in open_batches
        if batch.id not in at_work
        and not batch.running
        and batch.course_key not in busy
        and canaries.get(batch.course_key, batch.id) == batch.id
        and (batch.not_before or 0) <= at
    ]
    return may_start[: max(0, at_once - len(running))]


def go_on(tx: Transaction, job_id: int, window: Window, at: float) -> list[Bell]:
    """Take a job of the queue one step on and return the bells to ring for it, noted as rung."""
    job = jobs.find_job(tx, job_id)
    if job is None or job.is_taken:
        return []
    if job.state in {JobState.SCHEDULED, *TO_READ} or (job.state in AT_WORK and not job.planned):
        return _ring_to_split(tx, job, window, at)
    if job.state in AT_WORK:
        return _go_on_at_work(tx, job, window, at)
    if job.state is JobState.CANCELLING and not queue.at_work(tx, job_id):
        lifecycle.finish_cancelling(tx, job_id)
        return ring_report(tx, job_id, at)
    if job.has_ended and (job.reported_at or 0) < (job.finished_at or at):
        return _ring_job(tx, job_id, Task.REPORT, window, at)
    return []


def next_batches(tx: Transaction, job_id: int, most: int, at: float, *, besides: Collection[int]) -> list[int]:
    """Return the batches of a job that may start now, those for which no bell was rung before the others."""
    job = jobs.find_job(tx, job_id)
    if job is None or job.state not in AT_WORK:
        return []
    open_batches = batches.open_batches(tx, job_id)
    running = [batch for batch in open_batches if batch.running or batch.id in besides]
    may_start = ready(open_batches, running, at_once=len(open_batches), at=at)
    return [batch.id for batch in sorted(may_start, key=lambda batch: batch.rung_at is not None)][:most]


def _ring_to_split(tx: Transaction, job: Job, window: Window, at: float) -> list[Bell]:
    seconds = max(0.0, (job.not_before or 0) - at)
    if seconds > SOON_SECONDS:
        return []
    if job.state is JobState.SCHEDULED:
        if seconds:
            return []
        jobs.change_job(tx, job.id, only_from=(JobState.SCHEDULED,), state=JobState.UPLOADED, not_before=None)
    urgency = queue.urgency(queue.likely_rows(job.kept_at))
    rung = _ring_job(tx, job.id, Task.SPLIT, window, at + seconds)
    return [replace(bell, urgency=urgency, seconds=seconds) for bell in rung]


def _go_on_at_work(tx: Transaction, job: Job, window: Window, at: float) -> list[Bell]:
    open_batches = batches.open_batches(tx, job.id)
    if not open_batches:
        return ring_report(tx, job.id, at) if completion.settle_job(tx, job.id) else []
    if max(batch.deaths for batch in open_batches) >= MOST_DEATHS:
        reason = f"{MOST_DEATHS} workers died at work on the same rows; look at their logs, then resume"
        completion.hold(tx, job.id, reason, "workers_died")
        return []
    _say_whether_it_waits(tx, job, open_batches, at)
    urgency = queue.urgency(queue.rows_left(tx, job.id))
    return list(_ring_batches(tx, job.id, open_batches, urgency, window=window, at=at))


def _ring_batches(
    tx: Transaction,
    job_id: int,
    open_batches: Sequence[OpenBatch],
    urgency: Urgency,
    *,
    window: Window,
    at: float,
) -> Iterator[Bell]:
    """Ring for as many batches as the window still holds; and again for those whose bell was lost."""
    lost_before = at - window.lost_after
    taken = [batch for batch in open_batches if batch.running or (batch.rung_at or 0) >= lost_before]
    for batch in ready(open_batches, taken, at_once=window.batches, at=at + SOON_SECONDS):
        seconds = max(0.0, (batch.not_before or 0) - at)
        if queue.note_batch(tx, batch.id, at + seconds, older_than=lost_before):
            # Whose bell was lost, or has rung for so long, has waited enough.
            now_first = Urgency.FIRST if batch.rung_at is not None else urgency
            yield Bell(task=Task.REGISTER, id=batch.id, job_id=job_id, seconds=seconds, urgency=now_first)


def ring_report(tx: Transaction, job_id: int, at: float) -> list[Bell]:
    """Ring for the reports of a job that has stopped."""
    return _ring_job(tx, job_id, Task.REPORT, Window(), at, first=True)


def _ring_job(
    tx: Transaction, job_id: int, task: Task, window: Window, at: float, *, first: bool = False
) -> list[Bell]:
    """Ring for a job as a whole; `first`: whatever was rung before was for something else."""
    rung = queue.note_job(tx, job_id, at, older_than=at + 1.0 if first else at - window.lost_after)
    return [Bell(task=task, id=job_id, job_id=job_id)] if rung else []


def _say_whether_it_waits(tx: Transaction, job: Job, open_batches: Sequence[OpenBatch], at: float) -> None:
    """Change the job to `waiting` when every batch waits for a later time, and back when one may go."""
    waits = not any(batch.running for batch in open_batches) and not ready(
        open_batches, (), at_once=1, at=at + NOTICED_SECONDS
    )
    if waits:
        start = min(batch.not_before or at for batch in open_batches)
        reason = job.reason or "the LMS asked for a pause"
        jobs.change_job(tx, job.id, only_from=AT_WORK, state=JobState.WAITING, not_before=start, reason=reason)
    elif job.state is JobState.WAITING:
        jobs.change_job(tx, job.id, only_from=AT_WORK, state=JobState.RUNNING, not_before=None, reason="")
