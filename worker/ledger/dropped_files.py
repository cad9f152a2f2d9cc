"""Files of drop folders: seen, claimed, at work, laid aside. Every statement on the table `dropped` stands here."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from worker.ledger.database import now
from worker.ledger.schema import dropped, job
from worker.model import ENDED

if TYPE_CHECKING:
    from sqlalchemy import Row

    from worker.ledger.database import Transaction


class DropState(StrEnum):
    """How far a dropped file is."""

    #: It lies in the folder, and may still grow.
    SEEN = "seen"
    #: It is ours, in `processing/` or on its way there.
    CLAIMED = "claimed"
    #: It has a job.
    TAKEN = "taken"
    #: It lies in `done/` or `failed/`.
    ENDED = "ended"


@dataclass(frozen=True, slots=True, kw_only=True)
class Drop:
    """A dropped file."""

    id: int
    #: The folder's name in roster.toml.
    folder: str
    #: The file's name as it was dropped.
    name: str
    path: str
    #: Where it is being moved to.
    goal: str | None
    job_id: int | None
    state: DropState
    size: int
    changed: float
    #: When size or time were last seen to change, or it was claimed (seconds since 1970, `clock`).
    at: float
    error: str


def _as_drop(line: Row[Any]) -> Drop:
    values = dict(line._mapping)  # noqa: SLF001 - the documented way to read a line as a mapping
    return Drop(**{**values, "state": DropState(values["state"])})


def clock(tx: Transaction) -> float:
    """Return the time of the database's machine: those who share a ledger look at one clock."""
    if tx.dialect.name != "postgresql":
        return now()
    return float(tx.execute(select(func.extract("epoch", func.clock_timestamp()))).scalar_one())


def drops_of(tx: Transaction, folder: str, state: DropState) -> list[Drop]:
    """Return the files of a folder in one state, oldest first."""
    query = select(dropped).where(dropped.c.folder == folder, dropped.c.state == state)
    return [_as_drop(line) for line in tx.execute(query.order_by(dropped.c.id))]


def find(tx: Transaction, drop_id: int) -> Drop | None:
    """Return a file, or None when it was forgotten."""
    line = tx.execute(select(dropped).where(dropped.c.id == drop_id)).first()
    return _as_drop(line) if line else None


def note(tx: Transaction, folder: str, name: str, *, path: str, size: int, changed: float) -> Drop:
    """Note a file that was not there before."""
    values = {"folder": folder, "name": name, "path": path, "size": size, "changed": changed}
    line = insert(dropped).values(**values, state=DropState.SEEN, at=clock(tx), error="").returning(dropped)
    return _as_drop(tx.execute(line).one())


def note_change(tx: Transaction, drop: Drop, size: int, changed: float) -> None:
    """Note that a file has changed since it was last looked at."""
    tx.execute(_same(drop).values(size=size, changed=changed, at=clock(tx)))


def forget(tx: Transaction, drop: Drop) -> bool:
    """Forget a file that is gone; False when somebody has moved it on meanwhile."""
    same = delete(dropped).where(dropped.c.id == drop.id, dropped.c.state == drop.state, dropped.c.at == drop.at)
    return tx.execute(same.where(dropped.c.goal.is_not_distinct_from(drop.goal))).rowcount == 1


def aim(tx: Transaction, drop: Drop, state: DropState, goal: str | None) -> Drop | None:
    """Say where a file is to be moved; None when somebody else has moved it on meanwhile."""
    line = tx.execute(_same(drop).values(state=state, goal=goal, at=clock(tx)).returning(dropped)).first()
    return _as_drop(line) if line else None


def arrive(tx: Transaction, drop: Drop, state: DropState) -> Drop | None:
    """Note that a file lies where it was to be moved; None when somebody else has noted so."""
    line = tx.execute(_same(drop).values(state=state, path=drop.goal, goal=None).returning(dropped)).first()
    return _as_drop(line) if line else None


def take(tx: Transaction, drop: Drop, job_id: int) -> bool:
    """Note the job of a claimed file; False when it has one."""
    free = update(dropped).where(dropped.c.id == drop.id, dropped.c.state == DropState.CLAIMED)
    taken = {"job_id": job_id, "state": DropState.TAKEN, "error": ""}
    return tx.execute(free.where(dropped.c.job_id.is_(None)).values(**taken)).rowcount == 1


def explain(tx: Transaction, drop: Drop, error: str) -> None:
    """Note why a claimed file has no job yet."""
    tx.execute(update(dropped).where(dropped.c.id == drop.id).values(error=error))


def goals(tx: Transaction) -> set[str]:
    """Return the places to which files are being moved."""
    return set(tx.execute(select(dropped.c.goal).where(dropped.c.goal.is_not(None))).scalars())


def drops_of_job(tx: Transaction, job_id: int) -> list[Drop]:
    """Return the files that are one job, in the order in which they came."""
    query = select(dropped).where(dropped.c.job_id == job_id).order_by(dropped.c.id)
    return [_as_drop(line) for line in tx.execute(query)]


def ended_but_not_aside(tx: Transaction) -> list[int]:
    """Return the jobs that have ended and whose files still lie in `processing/`."""
    query = select(job.c.id).join(dropped, dropped.c.job_id == job.c.id).where(dropped.c.state == DropState.TAKEN)
    return list(tx.execute(query.where(job.c.state.in_(tuple(ENDED))).distinct().order_by(job.c.id)).scalars())


def _same(drop: Drop) -> Any:
    """Return an update that hits the file's line as long as nobody has moved it on."""
    same = update(dropped).where(dropped.c.id == drop.id, dropped.c.state == drop.state, dropped.c.at == drop.at)
    return same.where(dropped.c.goal.is_not_distinct_from(drop.goal))
