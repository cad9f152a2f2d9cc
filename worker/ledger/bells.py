"""What of a job must be rung for: batches to work off, rosters to read in, reports to write.

The broker only rings the bell; what is to be done stands here. A bell is noted before it is rung, so that a job has
a few of them in the broker at a time; one that nobody answered is rung again by the sweep.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING

from sqlalchemy import func, or_, select, update

from worker.ledger.batches import OPEN, RUNNING
from worker.ledger.engine import now
from worker.ledger.schema import batch, job, row
from worker.model import ENDED, TO_READ, Driver, JobState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import ColumnElement, Connection

#: Under this name the ledger remembers when it was last swept.
SWEPT = "sweep"
#: Jobs that the queue may have something to do for.
_OPEN_JOBS = tuple(state for state in JobState if state not in ENDED)


class Urgency(IntEnum):
    """Whose bell is answered first: jobs with few rows left, so that twelve do not wait behind twenty thousand."""

    FIRST = 0
    NEXT = 1
    LAST = 2


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


def open_jobs(tx: Connection) -> list[int]:
    """Return the jobs of the queue that have not ended, or whose reports were not written since; oldest first."""
    unreported = or_(job.c.reported_at.is_(None), job.c.reported_at < job.c.finished_at)
    at_work: ColumnElement[bool] = job.c.state.in_(_OPEN_JOBS)
    wanted = select(job.c.id).where(job.c.driver == Driver.QUEUE, or_(at_work, unreported))
    return list(tx.execute(wanted.order_by(job.c.id)).scalars())


def unheard(tx: Connection) -> list[int]:
    """Return the jobs to be read in for which no bell was rung yet, oldest first."""
    new = select(job.c.id).where(job.c.driver == Driver.QUEUE, job.c.rung_at.is_(None), job.c.owner.is_(None))
    return list(tx.execute(new.where(job.c.state.in_(TO_READ)).order_by(job.c.id)).scalars())


def rows_left(tx: Connection, job_id: int) -> int:
    """Count the rows of a job that were not sent yet."""
    left = select(func.count()).where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED)
    return tx.execute(left).scalar_one()


def note_job(tx: Connection, job_id: int, at: float, *, older_than: float) -> bool:
    """Note that a job's bell is rung at `at`; False when it was rung since `older_than`."""
    unrung = or_(job.c.rung_at.is_(None), job.c.rung_at < older_than)
    return tx.execute(update(job).where(job.c.id == job_id, unrung).values(rung_at=at)).rowcount == 1


def note_batch(tx: Connection, batch_id: int, at: float, *, older_than: float) -> bool:
    """Note that a batch's bell is rung at `at`; False when somebody has come, or it was rung since `older_than`."""
    unrung = or_(batch.c.rung_at.is_(None), batch.c.rung_at < older_than)
    noted = update(batch).where(batch.c.id == batch_id, batch.c.state == OPEN, unrung).values(rung_at=at)
    return tx.execute(noted).rowcount == 1


def unring(tx: Connection, bells: Sequence[Bell]) -> None:
    """Forget bells that could not be rung, so that the sweep rings them as soon as the broker is back."""
    batch_ids = [bell.id for bell in bells if bell.task is Task.REGISTER]
    job_ids = [bell.id for bell in bells if bell.task is not Task.REGISTER]
    tx.execute(update(batch).where(batch.c.id.in_(batch_ids), batch.c.state == OPEN).values(rung_at=None))
    tx.execute(update(job).where(job.c.id.in_(job_ids)).values(rung_at=None))


def unring_all(tx: Connection) -> None:
    """Forget every bell that nobody has answered."""
    tx.execute(update(batch).where(batch.c.state == OPEN, batch.c.rung_at.is_not(None)).values(rung_at=None))
    tx.execute(update(job).where(job.c.rung_at.is_not(None)).values(rung_at=None))


def others_wait(tx: Connection, job_id: int) -> bool:
    """Tell whether a bell of another job was rung that is as urgent as this job's, and nobody has come yet."""
    rung = select(batch.c.job_id).where(batch.c.state == OPEN, batch.c.rung_at <= now())
    unread = select(job.c.id).where(job.c.rung_at <= now(), job.c.owner.is_(None), job.c.state.in_(TO_READ))
    if tx.execute(unread.where(job.c.id != job_id).limit(1)).first() is not None:
        return True
    waiting = tx.execute(rung.where(batch.c.job_id != job_id).distinct()).scalars().all()
    mine = urgency(rows_left(tx, job_id)) if waiting else Urgency.FIRST
    return any(urgency(rows_left(tx, other)) <= mine for other in waiting)


def at_work(tx: Connection, job_id: int) -> bool:
    """Tell whether a worker holds a batch of the job."""
    held = select(batch.c.id).where(batch.c.job_id == job_id, batch.c.state == RUNNING)
    return tx.execute(held.limit(1)).first() is not None
