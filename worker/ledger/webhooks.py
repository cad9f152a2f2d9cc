"""Events that an LMS sent by webhooks: stored once, and matched with the registrations of the ledger.

Only hashes and ids are stored, never the body.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import Row, delete, func, insert, select, update

from worker.ledger.candidates import id_key_of
from worker.ledger.database import now, take_lock
from worker.ledger.schema import candidate, job, registration, row, webhook_event
from worker.model import DONE, Action, JobState, RegistrationState, RowStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction

#: A webhook received this long before our call was about something else, even if the clocks differ (seconds).
CLOCK_SKEW_SECONDS = 60.0
#: An event that matches nothing yet may still resolve a registration in doubt within this time (seconds).
WAITING_SECONDS = 7 * 86_400.0
#: After this, events are deleted (seconds).
RETENTION_SECONDS = 30 * 86_400.0
#: Events that are applied in one transaction.
MAX_EVENTS = 500


class EventStatus(StrEnum):
    """What became of an event."""

    #: The registration is being sent, or is not in the ledger yet.
    WAITING = "waiting"
    #: It resolved a registration in doubt.
    RESOLVED = "settled"
    #: It agreed with the ledger.
    CONFIRMED = "confirmed"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrationEvent:
    """A registration that a webhook reports, by the LMS's ids."""

    candidate_id: str
    course_id: str
    legal_entity_id: str | None
    registration_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingEvent:
    """A stored event that is still to be matched with the ledger."""

    id: int
    connection: str
    candidate_key: str
    course_id: str
    legal_entity_id: str | None
    registration_id: str | None
    received_at: float


def save_events(tx: Transaction, connection: str, body_hash: str, events: Sequence[RegistrationEvent]) -> bool:
    """Store the events of one webhook, or that it had none; False when the same one was received before."""
    take_lock(tx, f"webhook_events:{connection}")
    same = select(webhook_event.c.id).where(
        webhook_event.c.connection == connection, webhook_event.c.body_hash == body_hash
    )
    if tx.execute(same.limit(1)).first():
        return False
    common = {"connection": connection, "body_hash": body_hash, "received_at": now()}
    records = [
        common
        | {
            "position": position,
            "candidate_key": id_key_of(each.candidate_id),
            "course_id": each.course_id,
            "legal_entity_id": each.legal_entity_id,
            "lms_registration_id": each.registration_id,
            "status": EventStatus.WAITING,
        }
        for position, each in enumerate(events)
    ]
    nothing = {"position": 0, "candidate_key": None, "course_id": None, "legal_entity_id": None}
    empty = common | nothing | {"lms_registration_id": None, "status": EventStatus.IGNORED}
    tx.execute(insert(webhook_event), records or [empty])
    return True


def pending_events(tx: Transaction) -> list[PendingEvent]:
    """Return the events to be applied, newest first; ignore and later delete those that waited too long."""
    at = now()
    tx.execute(
        update(webhook_event)
        .where(webhook_event.c.status == EventStatus.WAITING, webhook_event.c.received_at < at - WAITING_SECONDS)
        .values(status=EventStatus.IGNORED)
    )
    tx.execute(delete(webhook_event).where(webhook_event.c.received_at < at - RETENTION_SECONDS))
    # An LMS may report all of its registrations: only events that may concern one of ours are returned.
    ours = (
        select(registration.c.id)
        .join(candidate, candidate.c.id == registration.c.candidate_id)
        .where(
            candidate.c.connection == webhook_event.c.connection,
            candidate.c.id_key == webhook_event.c.candidate_key,
        )
        .where(registration.c.state.in_((RegistrationState.IN_DOUBT, RegistrationState.REGISTERED)))
    )
    pending = (
        select(webhook_event)
        .where(webhook_event.c.status == EventStatus.WAITING, ours.exists())
        .order_by(webhook_event.c.id.desc())
    )
    records = tx.execute(pending.limit(MAX_EVENTS)).all()
    return [
        PendingEvent(
            id=record.id,
            connection=record.connection,
            candidate_key=record.candidate_key,
            course_id=record.course_id,
            legal_entity_id=record.legal_entity_id,
            registration_id=record.lms_registration_id,
            received_at=record.received_at,
        )
        for record in records
    ]


def apply_event(tx: Transaction, event: PendingEvent) -> list[int]:
    """Apply one event: resolve a registration in doubt, confirm it, or leave the event pending.

    Return the jobs with a row that it resolved.
    """
    record = _matching_registration(tx, event)
    if record is None:
        return []
    if record.state == RegistrationState.IN_DOUBT:
        return _resolve_doubt(tx, event, record)
    if record.state == RegistrationState.REGISTERED:
        return _confirm(tx, event, record)
    return []


def _matching_registration(tx: Transaction, event: PendingEvent) -> Row[tuple[object, ...]] | None:
    """Return the one registration of the ledger that matches; None when there is none, or more than one."""
    records = tx.execute(
        select(registration)
        .join(candidate, candidate.c.id == registration.c.candidate_id)
        .where(candidate.c.connection == event.connection, candidate.c.id_key == event.candidate_key)
    ).all()
    places = [record.course_key.partition("/") for record in records]
    matching = [
        record
        for record, (entity, _, course) in zip(records, places, strict=True)
        if course == event.course_id and event.legal_entity_id in {None, entity}
    ]
    return matching[0] if len(matching) == 1 else None


def _resolve_doubt(tx: Transaction, event: PendingEvent, record: Row[tuple[object, ...]]) -> list[int]:
    """Record that a registration in doubt was made, unless a batch has claimed it or the event is older than it."""
    is_repeat = record.pending_action == Action.REGISTER and event.registration_id not in {None, record.lms_id}
    if not (record.pending_action is None or is_repeat):
        return []
    if event.received_at < (record.sent_at or 0) - CLOCK_SKEW_SECONDS:
        return []
    sender = select(row.c.job_id).where(row.c.id == record.row_id)
    made_by = tx.execute(sender).scalar() if is_repeat else record.job_id
    won = tx.execute(
        update(registration)
        .where(registration.c.id == record.id, registration.c.state == RegistrationState.IN_DOUBT)
        .where(registration.c.claimed_by.is_(None))
        .values(
            state=RegistrationState.REGISTERED,
            lms_id=event.registration_id,
            job_id=made_by,
            series=registration.c.series + int(is_repeat),
        )
    )
    if won.rowcount == 0:
        return []
    in_doubt = select(row.c.id, row.c.job_id).where(
        row.c.registration_id == record.id, row.c.status == RowStatus.IN_DOUBT, row.c.action == Action.REGISTER
    )
    jobs = []
    for each in tx.execute(in_doubt).all():
        status = RowStatus.REGISTERED if each.job_id == made_by else RowStatus.ALREADY_REGISTERED
        values = {"status": status, "error": "", "error_code": "", "lms_registration_id": event.registration_id}
        tx.execute(update(row).where(row.c.id == each.id).values(**values, changed_at=now(), **_confirmed()))
        jobs.append(int(each.job_id))
    _note(tx, event, EventStatus.RESOLVED, jobs)
    return jobs


def _confirm(tx: Transaction, event: PendingEvent, record: Row[tuple[object, ...]]) -> list[int]:
    """Mark rows that were never verified as confirmed by the LMS; an event with another id confirms nothing."""
    if event.registration_id is not None and record.lms_id not in {None, event.registration_id}:
        return []
    mine = (row.c.registration_id == record.id, row.c.status.in_(DONE), row.c.action == Action.REGISTER)
    jobs = list(tx.execute(select(row.c.job_id).where(*mine, row.c.verified.is_(None)).distinct()).scalars())
    tx.execute(update(row).where(*mine, row.c.verified.is_(None)).values(**_confirmed()))
    _note(tx, event, EventStatus.CONFIRMED, jobs)
    return []


def _confirmed() -> dict[str, object]:
    return {"verified": Verdict.CONFIRMED, "verified_at": now()}


def _note(tx: Transaction, event: PendingEvent, status: EventStatus, jobs: Sequence[int]) -> None:
    tx.execute(update(webhook_event).where(webhook_event.c.id == event.id).values(status=status))
    tx.execute(update(job).where(job.c.id.in_(jobs)).values(verified_at=now()))


def ended_with_errors(tx: Transaction, job_id: int) -> bool:
    """Return whether a job completed with errors."""
    state = tx.execute(select(job.c.state).where(job.c.id == job_id)).scalar()
    return state == JobState.COMPLETED_WITH_ERRORS


def count_events(tx: Transaction) -> dict[tuple[str, str], int]:
    """Count events by connection and status."""
    records = tx.execute(
        select(webhook_event.c.connection, webhook_event.c.status, func.count()).group_by(
            webhook_event.c.connection, webhook_event.c.status
        )
    )
    return {(record[0], record[1]): record[2] for record in records}
