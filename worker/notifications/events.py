"""Who is to be told of what: read from the states of the jobs, put into the outbox once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.ledger import outbox, rows
from worker.ledger.database import now, take_turns
from worker.ledger.outbox import Trouble
from worker.model import DONE, JobState, RowStatus
from worker.notifications import reasons
from worker.settings import Event

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.rows import Tally
    from worker.settings import Post, Receiver

#: What was sent, or given up, is forgotten after this (seconds).
KEPT_SECONDS = 30 * 24 * 3600.0
_WENT_THROUGH = (JobState.SUCCEEDED, JobState.COMPLETED_WITH_ERRORS)


def put_due(tx: Transaction, post: Post) -> None:
    """Put into the outbox what happened since the last time; one process at a time."""
    take_turns(tx, "messages")
    for job in outbox.untold(tx):
        if outbox.note_told(tx, job):
            _put_job(tx, post, job)
    for trouble in outbox.troubles(tx):
        _put_well(tx, post, trouble)
    outbox.forget_before(tx, now() - KEPT_SECONDS)


def mark_of(job: Job) -> str:
    """Return what tells this state of a job apart from an earlier one."""
    return f"job-{job.id}-{job.state_at!r}"


def mark_of_trouble(trouble: Trouble) -> str:
    """Return what tells this trouble apart from an earlier one of the same connection."""
    return f"trouble-{trouble.job_id}-{trouble.since!r}"


def needs_person(job: Job, tally: Tally) -> bool:
    """Tell whether nothing more happens unless a person does something."""
    waits = job.state in {JobState.HELD, JobState.WAITING, JobState.INVALID, JobState.FAILED}
    return waits or bool(tally.by_status[RowStatus.IN_DOUBT])


def percent_not_done(tally: Tally) -> float:
    """Return how many per cent of the rows are not done; all of them where nothing could be read."""
    done = sum(tally.by_status[status] for status in (*DONE, RowStatus.SKIPPED))
    return 100.0 * (tally.total - done) / tally.total if tally.total else 100.0


def _put_job(tx: Transaction, post: Post, job: Job) -> None:
    tally = rows.tally(tx, job.id)
    trouble, fresh = _note_trouble(tx, job)
    for name, receiver in post.receivers.items():
        if job.has_ended:
            event = _event_of_end(tx, receiver, job, tally)
        else:
            event = _event_of_stop(receiver, job, trouble, fresh=fresh)
        if event is not None:
            mark = mark_of_trouble(trouble) if event is Event.TROUBLE and trouble else mark_of(job)
            outbox.put(tx, receiver=name, event=event, connection=job.connection, mark=mark, job_id=job.id)


def _note_trouble(tx: Transaction, job: Job) -> tuple[Trouble | None, bool]:
    """Return the trouble that a job was held for, and whether it is the first to meet it."""
    if job.state is not JobState.HELD or job.reason_code is None or job.reason_code not in reasons.TROUBLE:
        return None, False
    for standing in outbox.troubles(tx):
        if standing.connection == job.connection:
            return standing, False
    trouble = Trouble(connection=job.connection, since=job.state_at or now(), job_id=job.id, code=job.reason_code)
    outbox.begin_trouble(tx, trouble)
    return trouble, True


def _event_of_end(tx: Transaction, receiver: Receiver, job: Job, tally: Tally) -> Event | None:
    limit = receiver.threshold_percent
    bad = limit is None or percent_not_done(tally) > limit
    if bad and receiver.wants(Event.ENDED, job.connection):
        return Event.ENDED
    if needs_person(job, tally) and receiver.wants(Event.NEEDS_PERSON, job.connection):
        return Event.NEEDS_PERSON
    if not bad and job.state in _WENT_THROUGH and receiver.wants(Event.WELL, job.connection):
        seen = (Event.ENDED, Event.TROUBLE, Event.WELL)
        last = outbox.last_event(tx, receiver.name, job.connection, seen)
        return Event.WELL if last == Event.ENDED else None
    return None


def _event_of_stop(receiver: Receiver, job: Job, trouble: Trouble | None, *, fresh: bool) -> Event | None:
    if trouble is not None and receiver.wants(Event.TROUBLE, job.connection):
        if fresh:
            return Event.TROUBLE
        if trouble.job_id != job.id and trouble.code == job.reason_code:
            return None
    return Event.NEEDS_PERSON if receiver.wants(Event.NEEDS_PERSON, job.connection) else None


def _put_well(tx: Transaction, post: Post, trouble: Trouble) -> None:
    """Tell those who heard of a trouble that it is over, once a job has gone through."""
    job = outbox.went_through(tx, trouble)
    if job is None:
        return
    outbox.end_trouble(tx, trouble)
    told = mark_of_trouble(trouble)
    for name, receiver in post.receivers.items():
        if receiver.wants(Event.WELL, job.connection) and outbox.was_told(tx, name, told):
            mark = f"well-{told}"
            outbox.put(tx, receiver=name, event=Event.WELL, connection=job.connection, mark=mark, job_id=job.id)
