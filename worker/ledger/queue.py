"""What of a job must be rung for: batches to work off, rosters to read in, reports to write.

The broker only rings the bell; what is to be done stands here. A bell is noted before it is rung, so that a job has
a few of them in the broker at a time; one that nobody answered is rung again by the sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import and_, func, or_, select, update

from worker.ledger.batches import OPEN, RUNNING
from worker.ledger.database import now
from worker.ledger.key_value import recall
from worker.ledger.schema import batch, job, row
from worker.model import AT_WORK, ENDED, TO_READ, Driver, JobState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from sqlalchemy import ColumnElement

    from worker.ledger.database import Transaction

#: Under this name the ledger remembers when it was last swept.
SWEPT = "sweep"
#: Jobs that the queue may have something to do for.
_OPEN_JOBS = tuple(state for state in JobState if state not in ENDED)


class Urgency(IntEnum):
    """Whose bell is answered first: jobs with few rows left, so that twelve do not wait behind twenty thousand."""

    FIRST = 0
    NEXT = 1
    LAST = 2


#: A bell to which nobody has come within this waits for a slot (seconds).
SLOW_SECONDS = 1.0
#: One to which nobody has come within this finds every process full (seconds).
LONG_SECONDS = 5.0
#: A roster that came in so lately is about to be read (seconds).
JUST_COME_SECONDS = 3.0
#: A row of a roster takes about so many bytes.
BYTES_PER_ROW = 80
#: Jobs with at most so many rows left are answered first, and next those with so many.
SMALL, MIDDLING = 200, 2_000


def urgency(rows_left: int) -> Urgency:
    """Return how urgent the bells of a job are."""
    if rows_left <= SMALL:
        return Urgency.FIRST
    return Urgency.NEXT if rows_left <= MIDDLING else Urgency.LAST


class Task(StrEnum):
    """What a bell asks for; the names that Celery and Flower show (contract §7)."""

    SPLIT = "roster.split"
    REGISTER = "roster.register"
    REPORT = "roster.report"
    SWEEP = "roster.sweep"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bell:
    """One message to the queue: a task and the id that it is given."""

    task: Task
    #: Of a batch for `roster.register`, of a job for the others.
    id: int
    job_id: int
    #: Ring it so many seconds later.
    seconds: float = 0.0
    urgency: Urgency = Urgency.FIRST


def open_jobs(tx: Transaction) -> list[int]:
    """Return the jobs of the queue that have not ended, or whose reports were not written since; oldest first."""
    unreported = or_(job.c.reported_at.is_(None), job.c.reported_at < job.c.finished_at)
    at_work: ColumnElement[bool] = job.c.state.in_(_OPEN_JOBS)
    wanted = select(job.c.id).where(job.c.driver == Driver.QUEUE, or_(at_work, unreported))
    return list(tx.execute(wanted.order_by(job.c.id)).scalars())


def unheard(tx: Transaction) -> list[int]:
    """Return the jobs to be read in for which no bell was rung yet, oldest first."""
    new = select(job.c.id).where(job.c.driver == Driver.QUEUE, job.c.rung_at.is_(None), job.c.owner.is_(None))
    return list(tx.execute(new.where(job.c.state.in_(TO_READ)).order_by(job.c.id)).scalars())


def last_swept(tx: Transaction) -> float:
    """Return when the ledger was last swept, in seconds since 1970; 0 when it never was."""
    return float((recall(tx, SWEPT) or {}).get("at", 0.0))


def rows_left(tx: Transaction, job_id: int) -> int:
    """Count the rows of a job that were not sent yet, as far as its urgency asks: up to one beyond `MIDDLING`."""
    left = select(row.c.id).where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED)
    some = left.limit(MIDDLING + 1).subquery()
    return tx.execute(select(func.count()).select_from(some)).scalar_one()


def note_job(tx: Transaction, job_id: int, at: float, *, older_than: float) -> bool:
    """Note that a job's bell is rung at `at`; False when it was rung since `older_than`."""
    unrung = or_(job.c.rung_at.is_(None), job.c.rung_at < older_than)
    return tx.execute(update(job).where(job.c.id == job_id, unrung).values(rung_at=at)).rowcount == 1


def note_batch(tx: Transaction, batch_id: int, at: float, *, older_than: float) -> bool:
    """Note that a batch's bell is rung at `at`; False when somebody has come, or it was rung since `older_than`."""
    unrung = or_(batch.c.rung_at.is_(None), batch.c.rung_at < older_than)
    noted = update(batch).where(batch.c.id == batch_id, batch.c.state == OPEN, unrung).values(rung_at=at)
    return tx.execute(noted).rowcount == 1


def unring(tx: Transaction, bells: Sequence[Bell]) -> None:
    """Forget bells that could not be rung, so that the sweep rings them as soon as the broker is back."""
    batch_ids = [bell.id for bell in bells if bell.task is Task.REGISTER]
    job_ids = [bell.id for bell in bells if bell.task is not Task.REGISTER]
    tx.execute(update(batch).where(batch.c.id.in_(batch_ids), batch.c.state == OPEN).values(rung_at=None))
    tx.execute(update(job).where(job.c.id.in_(job_ids)).values(rung_at=None))


def unring_all(tx: Transaction) -> None:
    """Forget every bell that nobody has answered."""
    tx.execute(update(batch).where(batch.c.state == OPEN, batch.c.rung_at.is_not(None)).values(rung_at=None))
    tx.execute(update(job).where(job.c.rung_at.is_not(None)).values(rung_at=None))


def others_wait(tx: Transaction, job_id: int) -> bool:
    """Tell whether a bell of a shorter job has rung for a while, and nobody has come."""
    mine = urgency(rows_left(tx, job_id))
    if mine is Urgency.FIRST:
        return False
    return any(bell.urgency < mine for bell in unanswered(tx, besides=(job_id,), for_seconds=LONG_SECONDS))


def short_at_work(tx: Transaction, job_id: int, *, most: int = SMALL) -> bool:
    """Tell whether another job is at work, being read in or just come in, with `most` rows left or fewer."""
    others = select(job.c.id, job.c.state, job.c.kept_at).where(job.c.driver == Driver.QUEUE, job.c.id != job_id)
    # One to which nobody comes may wait for the very slot of whoever asks.
    soon_read = or_(job.c.owner.is_not(None), job.c.created_at > now() - JUST_COME_SECONDS)
    unread = and_(job.c.state.in_(TO_READ), soon_read)
    for other in tx.execute(others.where(or_(unread, job.c.state == JobState.RUNNING))):
        rows = likely_rows(other.kept_at) if other.state in TO_READ else rows_left(tx, other.id)
        if 0 < rows <= most:
            return True
    return False


def unanswered(tx: Transaction, *, besides: Collection[int], for_seconds: float = 0.0) -> list[Bell]:
    """Return the bells of jobs, but for `besides`, to which nobody has come for so long; one for each job.

    Of rosters to be read in, the shortest is first.
    """
    before = now() - for_seconds
    rung = select(job.c.id, func.min(batch.c.id), _has_left(SMALL), _has_left(MIDDLING))
    rung = rung.join(batch, batch.c.job_id == job.c.id)
    rung = rung.where(job.c.driver == Driver.QUEUE, job.c.state.in_(AT_WORK))
    rung = rung.where(batch.c.state == OPEN, batch.c.rung_at <= before, job.c.id.not_in(besides))
    found = [
        Bell(task=Task.REGISTER, id=batch_id, job_id=job_id, urgency=Urgency(more_than_small + more_than_middling))
        for job_id, batch_id, more_than_small, more_than_middling in tx.execute(rung.group_by(job.c.id))
    ]
    return found + _unread(tx, besides, before) + _unreported(tx, besides, min(before, now() - SLOW_SECONDS))


def _has_left(more_than: int) -> ColumnElement[bool]:
    """Say whether a job has more rows left than so many, without counting further."""
    left = select(row.c.id).where(row.c.job_id == job.c.id, row.c.status == RowStatus.NOT_ATTEMPTED)
    return left.offset(more_than).limit(1).correlate(job).exists()


def _unread(tx: Transaction, besides: Collection[int], before: float) -> list[Bell]:
    rung = select(job.c.id, job.c.kept_at).where(job.c.rung_at <= before, job.c.owner.is_(None))
    rung = rung.where(job.c.driver == Driver.QUEUE)
    lines = tx.execute(rung.where(job.c.state.in_(TO_READ), job.c.id.not_in(besides)))
    by_length = sorted((likely_rows(line.kept_at), line.id, line.kept_at) for line in lines)
    return [_bell_of_job(Task.SPLIT, job_id, kept_at) for _, job_id, kept_at in by_length]


def _unreported(tx: Transaction, besides: Collection[int], before: float) -> list[Bell]:
    ended = select(job.c.id, job.c.kept_at).where(job.c.state.in_(ENDED), job.c.rung_at <= before)
    unwritten = or_(job.c.reported_at.is_(None), job.c.reported_at < job.c.finished_at)
    lines = tx.execute(ended.where(unwritten, job.c.driver == Driver.QUEUE, job.c.id.not_in(besides)))
    return [_bell_of_job(Task.REPORT, line.id, line.kept_at) for line in lines]


def _bell_of_job(task: Task, job_id: int, kept_at: str) -> Bell:
    return Bell(task=task, id=job_id, job_id=job_id, urgency=urgency(likely_rows(kept_at)))


def likely_rows(kept_at: str) -> int:
    """Return about how many rows a roster has, by its size; 0 where this machine does not see the file."""
    try:
        return Path(kept_at).stat().st_size // BYTES_PER_ROW
    except OSError:
        return 0


def at_work(tx: Transaction, job_id: int) -> bool:
    """Tell whether a worker holds a batch of the job."""
    held = select(batch.c.id).where(batch.c.job_id == job_id, batch.c.state == RUNNING)
    return tx.execute(held.limit(1)).first() is not None
