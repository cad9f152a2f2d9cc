"""Who is to be told of what: read from the states of the jobs, put into the outbox once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.ledger import outbox, rows
from worker.ledger.database import now, take_lock
from worker.ledger.outbox import Incident
from worker.model import JobState, RowStatus
from worker.notifications import reasons
from worker.settings import Event

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.rows import RowCounts
    from worker.settings import MessageSettings, Receiver

#: What was sent, or given up, is forgotten after this (seconds).
KEPT_SECONDS = 30 * 24 * 3600.0


def put_due(tx: Transaction, post: MessageSettings) -> None:
    """Put into the outbox what happened since the last time; one process at a time."""
    take_lock(tx, "messages")
    for job in outbox.jobs_to_notify(tx):
        if outbox.mark_notified(tx, job):
            _put_job(tx, post, job)
    for trouble in outbox.open_incidents(tx):
        _put_well(tx, post, trouble)
    outbox.delete_before(tx, now() - KEPT_SECONDS)


def mark_of(job: Job) -> str:
    """Return what tells this state of a job apart from an earlier one."""
    return f"job-{job.id}-{job.state_at!r}"


def mark_of_trouble(trouble: Incident) -> str:
    """Return what tells this trouble apart from an earlier one of the same connection."""
    return f"trouble-{trouble.job_id}-{trouble.since!r}"


def needs_person(job: Job, tally: RowCounts) -> bool:
    """Tell whether nothing more happens unless a person does something."""
    return job.state.needs_person or job.state is JobState.WAITING or bool(tally.by_status[RowStatus.IN_DOUBT])


def percent_not_done(tally: RowCounts) -> float:
    """Return how many per cent of the rows are not done; all of them where nothing could be read."""
    not_done = sum(count for status, count in tally.by_status.items() if status.is_open)
    return 100.0 * not_done / tally.total if tally.total else 100.0


def _put_job(tx: Transaction, post: MessageSettings, job: Job) -> None:
    tally = rows.count_rows(tx, job.id)
    trouble, fresh = _note_trouble(tx, job)
    for name, receiver in post.receivers.items():
        if job.has_ended:
            event = _event_of_end(tx, receiver, job, tally)
        else:
            event = _event_of_stop(receiver, job, trouble, fresh=fresh)
        if event is not None:
            mark = mark_of_trouble(trouble) if event is Event.TROUBLE and trouble else mark_of(job)
            outbox.add(tx, receiver=name, event=event, connection=job.connection, dedup_key=mark, job_id=job.id)


def _note_trouble(tx: Transaction, job: Job) -> tuple[Incident | None, bool]:
    """Return the trouble that a job was held for, and whether it is the first to meet it."""
    if job.state is not JobState.HELD or job.reason_code is None or job.reason_code not in reasons.TROUBLE:
        return None, False
    for standing in outbox.open_incidents(tx):
        if standing.connection == job.connection:
            return standing, False
    trouble = Incident(connection=job.connection, since=job.state_at or now(), job_id=job.id, code=job.reason_code)
    outbox.open_incident(tx, trouble)
    return trouble, True


def _event_of_end(tx: Transaction, receiver: Receiver, job: Job, tally: RowCounts) -> Event | None:
    limit = receiver.threshold_percent
    bad = limit is None or percent_not_done(tally) > limit
    if bad and receiver.wants(Event.ENDED, job.connection):
        return Event.ENDED
    if needs_person(job, tally) and receiver.wants(Event.NEEDS_PERSON, job.connection):
        return Event.NEEDS_PERSON
    if not bad and job.state.went_through and receiver.wants(Event.RECOVERED, job.connection):
        seen = (Event.ENDED, Event.TROUBLE, Event.RECOVERED)
        last = outbox.last_event(tx, receiver.name, job.connection, seen)
        return Event.RECOVERED if last == Event.ENDED else None
    return None


def _event_of_stop(receiver: Receiver, job: Job, trouble: Incident | None, *, fresh: bool) -> Event | None:
    if trouble is not None and receiver.wants(Event.TROUBLE, job.connection):
        if fresh:
            return Event.TROUBLE
        if trouble.job_id != job.id and trouble.code == job.reason_code:
            return None
    return Event.NEEDS_PERSON if receiver.wants(Event.NEEDS_PERSON, job.connection) else None


def _put_well(tx: Transaction, post: MessageSettings, trouble: Incident) -> None:
    """Tell those who heard of a trouble that it is over, once a job has gone through."""
    job = outbox.first_success_since(tx, trouble)
    if job is None:
        return
    outbox.close_incident(tx, trouble)
    told = mark_of_trouble(trouble)
    for name, receiver in post.receivers.items():
        if receiver.wants(Event.RECOVERED, job.connection) and outbox.was_attempted(tx, name, told):
            mark = f"well-{told}"
            outbox.add(
                tx, receiver=name, event=Event.RECOVERED, connection=job.connection, dedup_key=mark, job_id=job.id
            )
