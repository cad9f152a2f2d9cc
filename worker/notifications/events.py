"""Decide which notifications are due, from the states of the jobs, and add each to the outbox once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.ledger import outbox, rows
from worker.ledger.database import now, take_lock
from worker.ledger.outbox import Incident
from worker.model import JobState, RowStatus
from worker.notifications import reasons, sources
from worker.settings import Event

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.ledger.rows import RowCounts
    from worker.settings import MessageSettings, Receiver

#: Messages that were sent or given up are deleted after this (seconds).
RETENTION_SECONDS = 30 * 24 * 3600.0


def enqueue_due(tx: Transaction, settings: MessageSettings) -> None:
    """Add to the outbox what happened since the last call; one process at a time."""
    take_lock(tx, "messages")
    for job in outbox.jobs_to_notify(tx):
        if outbox.mark_notified(tx, job):
            _enqueue_for_job(tx, settings, job)
    for incident in outbox.open_incidents(tx):
        _enqueue_recovered(tx, settings, incident)
    sources.enqueue(tx, settings)
    outbox.delete_before(tx, now() - RETENTION_SECONDS)


def dedup_key_of(job: Job) -> str:
    """Return the deduplication key of a job's current state."""
    return f"job-{job.id}-{job.state_at!r}"


def incident_key(incident: Incident) -> str:
    """Return the deduplication key of an incident."""
    return f"trouble-{incident.job_id}-{incident.since!r}"


def needs_person(job: Job, counts: RowCounts) -> bool:
    """Return whether nothing more happens unless a person does something."""
    return job.state.needs_person or job.state is JobState.WAITING or bool(counts.by_status[RowStatus.IN_DOUBT])


def percent_not_done(counts: RowCounts) -> float:
    """Return the percentage of rows that are not done; 100 when no row could be read."""
    not_done = sum(count for status, count in counts.by_status.items() if status.is_open)
    return 100.0 * not_done / counts.total if counts.total else 100.0


def _enqueue_for_job(tx: Transaction, settings: MessageSettings, job: Job) -> None:
    counts = rows.count_rows(tx, job.id)
    incident, is_new = _find_incident(tx, job)
    for name, receiver in settings.receivers.items():
        if job.has_ended:
            event = _event_of_end(tx, receiver, job, counts)
        else:
            event = _event_of_stop(receiver, job, incident, is_new=is_new)
        if event is not None:
            key = incident_key(incident) if event is Event.TROUBLE and incident else dedup_key_of(job)
            outbox.add(tx, receiver=name, event=event, connection=job.connection, dedup_key=key, job_id=job.id)


def _find_incident(tx: Transaction, job: Job) -> tuple[Incident | None, bool]:
    """Return the incident for which a job is held, and whether this job is the first with it."""
    if (
        job.state is not JobState.HELD
        or job.reason_code is None
        or job.reason_code not in reasons.CONNECTION_REASONS
    ):
        return None, False
    for known in outbox.open_incidents(tx):
        if known.connection == job.connection:
            return known, False
    incident = Incident(connection=job.connection, since=job.state_at or now(), job_id=job.id, code=job.reason_code)
    outbox.open_incident(tx, incident)
    return incident, True


def _event_of_end(tx: Transaction, receiver: Receiver, job: Job, counts: RowCounts) -> Event | None:
    limit = receiver.threshold_percent
    is_bad = limit is None or percent_not_done(counts) > limit
    if is_bad and receiver.wants(Event.ENDED, job.connection):
        return Event.ENDED
    if needs_person(job, counts) and receiver.wants(Event.NEEDS_PERSON, job.connection):
        return Event.NEEDS_PERSON
    if not is_bad and job.state.went_through and receiver.wants(Event.RECOVERED, job.connection):
        seen = (Event.ENDED, Event.TROUBLE, Event.RECOVERED)
        last = outbox.last_event(tx, receiver.name, job.connection, seen)
        return Event.RECOVERED if last == Event.ENDED else None
    return None


def _event_of_stop(receiver: Receiver, job: Job, incident: Incident | None, *, is_new: bool) -> Event | None:
    if incident is not None and receiver.wants(Event.TROUBLE, job.connection):
        if is_new:
            return Event.TROUBLE
        if incident.job_id != job.id and incident.code == job.reason_code:
            return None
    return Event.NEEDS_PERSON if receiver.wants(Event.NEEDS_PERSON, job.connection) else None


def _enqueue_recovered(tx: Transaction, settings: MessageSettings, incident: Incident) -> None:
    """Notify the receivers of an incident that it is over, once a job has completed."""
    job = outbox.first_success_since(tx, incident)
    if job is None:
        return
    outbox.close_incident(tx, incident)
    about = incident_key(incident)
    for name, receiver in settings.receivers.items():
        if receiver.wants(Event.RECOVERED, job.connection) and outbox.was_attempted(tx, name, about):
            key = f"well-{about}"
            outbox.add(
                tx, receiver=name, event=Event.RECOVERED, connection=job.connection, dedup_key=key, job_id=job.id
            )
