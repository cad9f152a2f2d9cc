"""The outbox: notifications to be sent, and what became of them. Every statement on `message` is in this module.

The messages about a job are added in the transaction that marks the job as notified: a process that dies before
loses nothing, and of two processes that check at the same time one finds nothing left to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, insert, or_, select, update

from worker.ledger.database import now
from worker.ledger.jobs import find_job
from worker.ledger.key_value import put
from worker.ledger.schema import call_count, job, key_value, message, row
from worker.model import DONE, ENDED, WENT_THROUGH, Driver, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Row

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: People are notified of a job that waits for longer than this (seconds).
LONG_WAIT_SECONDS = 6 * 3600.0
#: Prefix of the keys, with a connection's name, under which open incidents are stored.
_INCIDENT = "trouble:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one receiver."""

    id: int
    receiver: str
    event: str
    connection: str
    job_id: int | None
    dedup_key: str
    created_at: float
    not_before: float
    attempts: int
    ended_at: float | None
    sent: bool
    error: str
    #: What a message about a source of rosters says; None for one about a job.
    detail: Mapping[str, Any] | None

    @property
    def state(self) -> str:
        """Return `waiting`, `sent`, `given up`, or `passed over` when it was no longer true."""
        if self.ended_at is None:
            return "waiting"
        if self.sent:
            return "sent"
        return "given up" if self.error else "passed over"

    @property
    def about(self) -> str:
        """Return what it is about: `job 7`, `schedule nightly`."""
        return f"job {self.job_id}" if self.detail is None else str(self.detail.get("label", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """A problem of a connection since a moment, with the job that met it first."""

    connection: str
    since: float
    job_id: int
    code: str


def jobs_to_notify(tx: Transaction) -> list[Job]:
    """Return the jobs whose state warrants a notification that is not in the outbox yet; oldest first.

    Only jobs of the queue: a person who runs one in a terminal sees its result there.
    """
    at = now()
    long = or_(job.c.state_at < at - LONG_WAIT_SECONDS, job.c.not_before - job.c.state_at > LONG_WAIT_SECONDS)
    worth = or_(job.c.state.in_([JobState.HELD, *sorted(ENDED)]), and_(job.c.state == JobState.WAITING, long))
    new = or_(job.c.notified_at.is_(None), job.c.notified_at != job.c.state_at)
    query = select(job.c.id).where(job.c.driver == Driver.QUEUE, job.c.state_at.is_not(None), worth, new)
    found = (find_job(tx, job_id) for job_id in tx.execute(query.order_by(job.c.state_at)).scalars().all())
    return [each for each in found if each is not None]


def mark_notified(tx: Transaction, notified: Job) -> bool:
    """Record that a job's state is notified; False when it was already, or the state has changed."""
    same = update(job).where(job.c.id == notified.id, job.c.state_at == notified.state_at)
    new = or_(job.c.notified_at.is_(None), job.c.notified_at != notified.state_at)
    return tx.execute(same.where(new).values(notified_at=notified.state_at)).rowcount == 1


def add(
    tx: Transaction,
    *,
    receiver: str,
    event: str,
    connection: str,
    dedup_key: str,
    job_id: int | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add a message about a job or about a source, to be sent now, unless the receiver has one with this key."""
    same = select(message.c.id).where(message.c.receiver == receiver, message.c.dedup_key == dedup_key)
    if tx.execute(same).first() is not None:
        return
    at = now()
    record = {"receiver": receiver, "event": event, "connection": connection, "dedup_key": dedup_key}
    tx.execute(insert(message).values(**record, job_id=job_id, detail=detail, created_at=at, not_before=at))


def due(tx: Transaction, most: int, receiver: str | None = None) -> list[Message]:
    """Return messages that are due, to all receivers or to one, oldest first."""
    waiting = select(message).where(message.c.ended_at.is_(None), message.c.not_before <= now())
    if receiver is not None:
        waiting = waiting.where(message.c.receiver == receiver)
    return [_as_message(record) for record in tx.execute(waiting.order_by(message.c.id).limit(most))]


def claim(tx: Transaction, wanted: Message, until: float) -> Message | None:
    """Claim a message: no other process sends it before `until`. None when another has claimed it."""
    won = tx.execute(
        update(message)
        .where(message.c.id == wanted.id, message.c.ended_at.is_(None), message.c.attempts == wanted.attempts)
        .values(not_before=until, attempts=message.c.attempts + 1)
    )
    return find(tx, wanted.id) if won.rowcount else None


def find(tx: Transaction, message_id: int) -> Message | None:
    """Return a message; None when there is none of that id."""
    record = tx.execute(select(message).where(message.c.id == message_id)).first()
    return _as_message(record) if record else None


def end(tx: Transaction, claimed: Message, *, sent: bool, error: str = "") -> bool:
    """Record that a message was sent, or is given up; False when another process has claimed it."""
    return _change(tx, claimed, ended_at=now(), sent=sent, error=error)


def postpone(tx: Transaction, claimed: Message, until: float, error: str) -> bool:
    """Record that sending failed and is retried at `until`; False when another process has claimed it."""
    return _change(tx, claimed, not_before=until, error=error)


def _change(tx: Transaction, claimed: Message, **values: Any) -> bool:
    mine = update(message).where(message.c.id == claimed.id, message.c.attempts == claimed.attempts)
    return tx.execute(mine.where(message.c.ended_at.is_(None)).values(**values)).rowcount == 1


def newest(tx: Transaction, most: int) -> list[Message]:
    """Return the newest messages, newest first."""
    return [_as_message(record) for record in tx.execute(select(message).order_by(message.c.id.desc()).limit(most))]


def count_waiting(tx: Transaction) -> int:
    """Count the messages that are still to be sent."""
    return tx.execute(select(func.count()).where(message.c.ended_at.is_(None))).scalar_one()


def last_failed(tx: Transaction, receiver: str, since: float) -> Message | None:
    """Return the newest message that failed since the last one that a receiver got, and since `since`."""
    sent = select(func.max(message.c.id)).where(message.c.receiver == receiver, message.c.sent.is_(True))
    failed = select(message).where(message.c.receiver == receiver, message.c.error != "", message.c.sent.is_(False))
    later = failed.where(message.c.id > func.coalesce(sent.scalar_subquery(), 0), message.c.created_at > since)
    record = tx.execute(later.order_by(message.c.id.desc()).limit(1)).first()
    return _as_message(record) if record else None


def last_event(tx: Transaction, receiver: str, connection: str, events: Collection[str]) -> str | None:
    """Return which of these events of a connection a receiver was last notified of."""
    notified = select(message.c.event).where(message.c.receiver == receiver, message.c.connection == connection)
    return tx.execute(notified.where(message.c.event.in_(events)).order_by(message.c.id.desc()).limit(1)).scalar()


def was_attempted(tx: Transaction, receiver: str, dedup_key: str) -> bool:
    """Return whether a message may have reached its receiver: it was sent, or sending was attempted."""
    same = select(message.c.id).where(
        message.c.receiver == receiver, message.c.dedup_key == dedup_key, message.c.attempts > 0
    )
    return tx.execute(same).first() is not None


def delete_before(tx: Transaction, moment: float) -> None:
    """Delete the messages that ended before a moment."""
    tx.execute(delete(message).where(message.c.ended_at < moment))


def open_incidents(tx: Transaction) -> list[Incident]:
    """Return the open incidents of all connections."""
    records = tx.execute(select(key_value.c.key, key_value.c.value).where(key_value.c.key.startswith(_INCIDENT)))
    return [Incident(connection=record.key.removeprefix(_INCIDENT), **record.value) for record in records]


def open_incident(tx: Transaction, incident: Incident) -> None:
    """Store an incident of a connection."""
    value = {"since": incident.since, "job_id": incident.job_id, "code": incident.code}
    put(tx, f"{_INCIDENT}{incident.connection}", value)


def close_incident(tx: Transaction, incident: Incident) -> None:
    """Delete the incident of a connection."""
    tx.execute(delete(key_value).where(key_value.c.key == f"{_INCIDENT}{incident.connection}"))


def first_success_since(tx: Transaction, incident: Incident) -> Job | None:
    """Return the first job of the connection that has since got rows done with calls to its LMS, if any."""
    called = select(call_count.c.job_id).where(call_count.c.job_id == job.c.id, call_count.c.calls > 0).exists()
    done = select(row.c.id).where(row.c.job_id == job.c.id, row.c.status.in_(DONE)).exists()
    through = job.c.state.in_(WENT_THROUGH) & called & done
    later = select(job.c.id).where(job.c.connection == incident.connection, through)
    found = tx.execute(later.where(job.c.state_at > incident.since).order_by(job.c.state_at).limit(1)).scalar()
    return None if found is None else find_job(tx, found)


def held_jobs(tx: Transaction, connection: str) -> Sequence[int]:
    """Return the jobs of a connection that are held, oldest first."""
    held = select(job.c.id).where(job.c.connection == connection, job.c.state == JobState.HELD)
    return tx.execute(held.order_by(job.c.id)).scalars().all()


def _as_message(record: Row[Any]) -> Message:
    return Message(**record._mapping)  # noqa: SLF001 - the documented way to read a record as a mapping
