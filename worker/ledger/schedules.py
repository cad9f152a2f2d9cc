"""Schedules: kept, found due, claimed, moved on. Every statement on the table `schedule` stands here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, or_, select, update

from worker.ledger.database import now
from worker.ledger.leases import LEASE_SECONDS, is_dead
from worker.ledger.schema import schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Row

    from worker.ledger.database import Transaction


#: `missed` of a schedule whose missed runs are not caught up.
SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A roster that is taken again and again. Times are seconds since 1970."""

    id: int
    name: str
    cron: str
    zone: str
    source: str
    connection: str
    options: Mapping[str, Any]
    missed: str
    created_at: float
    next_at: float
    last_at: float | None
    last_job_id: int | None
    last_error: str
    report_dir: str
    look: Mapping[str, Any] | None
    owner: str | None
    lease_until: float | None


def _as_schedule(line: Row[Any]) -> Schedule:
    return Schedule(**dict(line._mapping))  # noqa: SLF001 - the documented way to read a line as a mapping


def add(tx: Transaction, **values: Any) -> int:
    """Keep a schedule and return its id."""
    line = {"created_at": now(), "last_error": "", **values}
    return int(tx.execute(insert(schedule).values(**line).returning(schedule.c.id)).scalar_one())


def remove(tx: Transaction, name: str) -> bool:
    """Remove a schedule; False when there is none of that name. Its jobs stay."""
    return tx.execute(delete(schedule).where(schedule.c.name == name)).rowcount == 1


def list_schedules(tx: Transaction) -> list[Schedule]:
    """Return every schedule, by name."""
    return [_as_schedule(line) for line in tx.execute(select(schedule).order_by(schedule.c.name))]


def find(tx: Transaction, name: str) -> Schedule | None:
    """Return the schedule of that name."""
    line = tx.execute(select(schedule).where(schedule.c.name == name)).first()
    return _as_schedule(line) if line else None


def due(tx: Transaction, at: float) -> list[Schedule]:
    """Return the schedules whose time has come, the longest waiting first."""
    waiting = select(schedule).where(schedule.c.next_at <= at).order_by(schedule.c.next_at)
    return [_as_schedule(line) for line in tx.execute(waiting)]


def claim(tx: Transaction, run: Schedule, owner: str) -> bool:
    """Claim a due run, to fetch its roster; False when somebody who lives has it, or it was done."""
    if run.owner is not None and run.owner != owner and not is_dead(run.owner, run.lease_until or 0.0):
        return False
    mine = _same_run(run).where(or_(schedule.c.owner.is_(None), schedule.c.owner == run.owner))
    return tx.execute(mine.values(owner=owner, lease_until=now() + LEASE_SECONDS)).rowcount == 1


def give_back(tx: Transaction, run: Schedule, owner: str, look: Mapping[str, Any] | None) -> None:
    """Give a claimed run back, undone, with what was seen of its source."""
    mine = _same_run(run).where(schedule.c.owner == owner)
    tx.execute(mine.values(owner=None, lease_until=None, look=look))


def move_on(tx: Transaction, run: Schedule, next_at: float, *, job_id: int | None = None, error: str = "") -> bool:
    """Note what became of a run and when the next one is due; False when somebody else has done so.

    In the transaction that opens the job of the run, this is what makes it one job.
    """
    values: dict[str, Any] = {"next_at": next_at, "last_at": run.next_at, "last_error": error}
    if job_id is not None:
        values["last_job_id"] = job_id
    return tx.execute(_same_run(run).values(**values, owner=None, lease_until=None, look=None)).rowcount == 1


def _same_run(run: Schedule) -> Any:
    """Return an update that hits the schedule's line as long as this run is its next."""
    return update(schedule).where(schedule.c.id == run.id, schedule.c.next_at == run.next_at)
