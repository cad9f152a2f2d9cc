"""The outbox: what is still to be told, to whom, and what became of it. All statements on `message` stand here.

What happened to a job is put here once, in the transaction that notes so on the job: a process that dies before it
loses nothing, and of two that look at the same time one finds nothing left to do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, delete, func, insert, or_, select, update

from worker.ledger.database import now
from worker.ledger.jobs import find_job
from worker.ledger.key_value import remember
from worker.ledger.schema import call, job, memory, message
from worker.model import ENDED, Driver, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import Row

    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: A job that waits for so long, or will, is told of (seconds).
LONG_WAIT_SECONDS = 6 * 3600.0
#: Under this prefix and a connection's name the ledger remembers that something is the matter with it.
_TROUBLE = "trouble:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message to one receiver."""

    id: int
    receiver: str
    event: str
    connection: str
    job_id: int | None
    mark: str
    at: float
    not_before: float
    attempts: int
    ended_at: float | None
    sent: bool
    error: str

    @property
    def state(self) -> str:
        """Return where it stands: `waiting`, `sent`, `given up`, or `passed over` when it was true no more."""
        if self.ended_at is None:
            return "waiting"
        if self.sent:
            return "sent"
        return "given up" if self.error else "passed over"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Something is the matter with a connection, since a moment; this job met it first."""

    connection: str
    since: float
    job_id: int
    code: str


def untold(tx: Transaction) -> list[Job]:
    """Return the jobs that came into a state of which people are told, and were not; oldest first.

    Only jobs that work in the background: whoever runs one in a terminal sits before it.
    """
    at = now()
    long = or_(job.c.state_at < at - LONG_WAIT_SECONDS, job.c.not_before - job.c.state_at > LONG_WAIT_SECONDS)
    worth = or_(job.c.state.in_([JobState.HELD, *sorted(ENDED)]), and_(job.c.state == JobState.WAITING, long))
    new = or_(job.c.told_at.is_(None), job.c.told_at != job.c.state_at)
    query = select(job.c.id).where(job.c.driver == Driver.QUEUE, job.c.state_at.is_not(None), worth, new)
    found = (find_job(tx, job_id) for job_id in tx.execute(query.order_by(job.c.state_at)).scalars().all())
    return [each for each in found if each is not None]


def note_told(tx: Transaction, told: Job) -> bool:
    """Note that what a job came to is in the outbox; False when it is so already, or the job has gone on."""
    same = update(job).where(job.c.id == told.id, job.c.state_at == told.state_at)
    new = or_(job.c.told_at.is_(None), job.c.told_at != told.state_at)
    return tx.execute(same.where(new).values(told_at=told.state_at)).rowcount == 1


def put(tx: Transaction, *, receiver: str, event: str, connection: str, mark: str, job_id: int) -> None:
    """Put a message into the outbox, to be sent at once; one with this mark is there once for each receiver."""
    same = select(message.c.id).where(message.c.receiver == receiver, message.c.mark == mark)
    if tx.execute(same).first() is not None:
        return
    at = now()
    line = {"receiver": receiver, "event": event, "connection": connection, "mark": mark, "job_id": job_id}
    tx.execute(insert(message).values(**line, at=at, not_before=at))


def due(tx: Transaction, most: int, receiver: str | None = None) -> list[Message]:
    """Return messages whose time has come, to anybody or to one receiver, oldest first."""
    waiting = select(message).where(message.c.ended_at.is_(None), message.c.not_before <= now())
    if receiver is not None:
        waiting = waiting.where(message.c.receiver == receiver)
    return [_as_message(line) for line in tx.execute(waiting.order_by(message.c.id).limit(most))]


def claim(tx: Transaction, wanted: Message, until: float) -> Message | None:
    """Claim a message: nobody else sends it before `until`. None when somebody else has."""
    won = tx.execute(
        update(message)
        .where(message.c.id == wanted.id, message.c.ended_at.is_(None), message.c.attempts == wanted.attempts)
        .values(not_before=until, attempts=message.c.attempts + 1)
    )
    return find(tx, wanted.id) if won.rowcount else None


def find(tx: Transaction, message_id: int) -> Message | None:
    """Return a message; None when there is none of that number."""
    line = tx.execute(select(message).where(message.c.id == message_id)).first()
    return _as_message(line) if line else None


def end(tx: Transaction, claimed: Message, *, sent: bool, error: str = "") -> bool:
    """Note that a message was sent, or is given up; False when the claim has gone to somebody else."""
    return _change(tx, claimed, ended_at=now(), sent=sent, error=error)


def postpone(tx: Transaction, claimed: Message, until: float, error: str) -> bool:
    """Note that a message could not be sent and is tried again; False when the claim has gone to somebody else."""
    return _change(tx, claimed, not_before=until, error=error)


def _change(tx: Transaction, claimed: Message, **values: Any) -> bool:
    mine = update(message).where(message.c.id == claimed.id, message.c.attempts == claimed.attempts)
    return tx.execute(mine.where(message.c.ended_at.is_(None)).values(**values)).rowcount == 1


def newest(tx: Transaction, most: int) -> list[Message]:
    """Return the newest messages, newest first."""
    return [_as_message(line) for line in tx.execute(select(message).order_by(message.c.id.desc()).limit(most))]


def count_waiting(tx: Transaction) -> int:
    """Count the messages that are still to be sent."""
    return tx.execute(select(func.count()).where(message.c.ended_at.is_(None))).scalar_one()


def last_failed(tx: Transaction, receiver: str, since: float) -> Message | None:
    """Return the newest message, given up or still tried, that a receiver did not get since the last they got."""
    sent = select(func.max(message.c.id)).where(message.c.receiver == receiver, message.c.sent.is_(True))
    failed = select(message).where(message.c.receiver == receiver, message.c.error != "", message.c.sent.is_(False))
    later = failed.where(message.c.id > func.coalesce(sent.scalar_subquery(), 0), message.c.at > since)
    line = tx.execute(later.order_by(message.c.id.desc()).limit(1)).first()
    return _as_message(line) if line else None


def last_event(tx: Transaction, receiver: str, connection: str, events: Collection[str]) -> str | None:
    """Return of which of these events a receiver was last told, of a connection."""
    told = select(message.c.event).where(message.c.receiver == receiver, message.c.connection == connection)
    return tx.execute(told.where(message.c.event.in_(events)).order_by(message.c.id.desc()).limit(1)).scalar()


def was_told(tx: Transaction, receiver: str, mark: str) -> bool:
    """Tell whether a message may have reached its receiver: it was sent, or at least tried."""
    same = select(message.c.id).where(
        message.c.receiver == receiver, message.c.mark == mark, message.c.attempts > 0
    )
    return tx.execute(same).first() is not None


def forget_before(tx: Transaction, moment: float) -> None:
    """Remove the messages that ended before a moment."""
    tx.execute(delete(message).where(message.c.ended_at < moment))


def troubles(tx: Transaction) -> list[Trouble]:
    """Return the connections with which something is the matter."""
    lines = tx.execute(select(memory.c.name, memory.c.value).where(memory.c.name.startswith(_TROUBLE)))
    return [Trouble(connection=line.name.removeprefix(_TROUBLE), **line.value) for line in lines]


def begin_trouble(tx: Transaction, trouble: Trouble) -> None:
    """Remember that something is the matter with a connection."""
    value = {"since": trouble.since, "job_id": trouble.job_id, "code": trouble.code}
    remember(tx, f"{_TROUBLE}{trouble.connection}", value)


def end_trouble(tx: Transaction, trouble: Trouble) -> None:
    """Forget what was the matter with a connection."""
    tx.execute(delete(memory).where(memory.c.name == f"{_TROUBLE}{trouble.connection}"))


def went_through(tx: Transaction, trouble: Trouble) -> Job | None:
    """Return the job of a connection in trouble that has since ended with calls to its LMS, if there is one."""
    called = select(call.c.job_id).where(call.c.job_id == job.c.id, call.c.calls > 0).exists()
    well = (JobState.SUCCEEDED, JobState.COMPLETED_WITH_ERRORS)
    later = select(job.c.id).where(job.c.connection == trouble.connection, job.c.state.in_(well), called)
    found = tx.execute(later.where(job.c.state_at > trouble.since).order_by(job.c.state_at).limit(1)).scalar()
    return None if found is None else find_job(tx, found)


def held_jobs(tx: Transaction, connection: str) -> Sequence[int]:
    """Return the jobs of a connection that are held, oldest first."""
    held = select(job.c.id).where(job.c.connection == connection, job.c.state == JobState.HELD)
    return tx.execute(held.order_by(job.c.id)).scalars().all()


def _as_message(line: Row[Any]) -> Message:
    return Message(**line._mapping)  # noqa: SLF001 - the documented way to read a line as a mapping
