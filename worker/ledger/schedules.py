"""Schedules: stored, found due, claimed, advanced. Every statement on `schedule` is in this module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, or_, select, update

from worker.ledger import sources
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
    """A roster that is imported at set times. Times are seconds since 1970."""

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
    last_seen_file: Mapping[str, Any] | None
    owner: str | None
    lease_until: float | None
    #: By when a new file must have come; empty when nothing is expected.
    expect_by: str
    ignore_unchanged: bool
    #: Since when it is paused; None when it is not.
    paused_at: float | None


def _as_schedule(record: Row[Any]) -> Schedule:
    return Schedule(**dict(record._mapping))  # noqa: SLF001 - the documented way to read a record as a mapping


def add(tx: Transaction, **values: Any) -> int:
    """Store a schedule. Return its id."""
    record = {"created_at": now(), "last_error": "", **values}
    return int(tx.execute(insert(schedule).values(**record).returning(schedule.c.id)).scalar_one())


def remove(tx: Transaction, name: str) -> bool:
    """Remove a schedule, but not its jobs; False when there is none of that name."""
    sources.remove(tx, sources.schedule_source(name))
    return tx.execute(delete(schedule).where(schedule.c.name == name)).rowcount == 1


def list_schedules(tx: Transaction) -> list[Schedule]:
    """Return every schedule, by name."""
    return [_as_schedule(record) for record in tx.execute(select(schedule).order_by(schedule.c.name))]


def find(tx: Transaction, name: str) -> Schedule | None:
    """Return the schedule of that name."""
    record = tx.execute(select(schedule).where(schedule.c.name == name)).first()
    return _as_schedule(record) if record else None


def due(tx: Transaction, at: float) -> list[Schedule]:
    """Return the schedules that are due and not paused, the longest waiting first."""
    is_due = (schedule.c.next_at <= at, schedule.c.paused_at.is_(None))
    waiting = select(schedule).where(*is_due).order_by(schedule.c.next_at)
    return [_as_schedule(record) for record in tx.execute(waiting)]


def change(tx: Transaction, run: Schedule, **values: Any) -> bool:
    """Change a schedule; False while a live process fetches the roster of its run."""
    if run.owner is not None and not is_dead(run.owner, run.lease_until or 0.0):
        return False
    unclaimed = _same_run(run).where(or_(schedule.c.owner.is_(None), schedule.c.owner == run.owner))
    return tx.execute(unclaimed.values(owner=None, lease_until=None, **values)).rowcount == 1


def record_extra_run(tx: Transaction, schedule_id: int, job_id: int) -> None:
    """Record a run that a person asked for; the next one is due as planned."""
    values = {"last_at": now(), "last_job_id": job_id, "last_error": ""}
    tx.execute(update(schedule).where(schedule.c.id == schedule_id).values(**values))


def claim(tx: Transaction, run: Schedule, owner: str) -> bool:
    """Claim a due run, to fetch its roster; False when a live process has it, or it was done."""
    if run.owner is not None and run.owner != owner and not is_dead(run.owner, run.lease_until or 0.0):
        return False
    mine = _same_run(run).where(or_(schedule.c.owner.is_(None), schedule.c.owner == run.owner))
    return tx.execute(mine.values(owner=owner, lease_until=now() + LEASE_SECONDS)).rowcount == 1


def release(tx: Transaction, run: Schedule, owner: str, last_seen_file: Mapping[str, Any] | None) -> None:
    """Release the claim on a run that is not done yet, with the file that was last seen in its folder."""
    mine = _same_run(run).where(schedule.c.owner == owner)
    tx.execute(mine.values(owner=None, lease_until=None, last_seen_file=last_seen_file))


def finish_run(
    tx: Transaction, run: Schedule, next_at: float, *, job_id: int | None = None, error: str = ""
) -> bool:
    """Record the result of a run and when the next one is due; False when another process has done so.

    Called in the transaction that opens the job of the run, so that a run opens one job at most.
    """
    values: dict[str, Any] = {"next_at": next_at, "last_at": run.next_at, "last_error": error}
    if job_id is not None:
        values["last_job_id"] = job_id
    return (
        tx.execute(_same_run(run).values(**values, owner=None, lease_until=None, last_seen_file=None)).rowcount == 1
    )


def _same_run(run: Schedule) -> Any:
    """Return an update of the schedule that matches only while this run is its next."""
    return update(schedule).where(schedule.c.id == run.id, schedule.c.next_at == run.next_at)
