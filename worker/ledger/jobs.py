"""Jobs: opened, found, moved from state to state, claimed, counted."""

from __future__ import annotations

import os
import socket
import zlib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, case, func, insert, or_, select, update

from worker.ledger.database import insert_of, now, upsert
from worker.ledger.leases import LEASE_SECONDS, is_dead
from worker.ledger.schema import call_count, job
from worker.ledger.transactions import Write
from worker.model import ENDED, SENDING, Driver, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import ClauseElement, Row

    from worker.ledger.database import Transaction

#: How many counters an operation of a job has, and what separates its name from the number of the counter.
COUNTERS, _COUNTER = 16, "/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One roster that is processed for one connection."""

    id: int
    connection: str
    system: str
    roster: str
    stored_path: str
    fingerprint: str
    options: Mapping[str, Any]
    state: JobState
    reason: str
    not_before: float | None
    headings: Sequence[str]
    columns: Sequence[str | None]
    notes: Sequence[str]
    report_dir: str
    report_key: str | None
    created_at: float
    started_at: float | None
    finished_at: float | None
    rate_limited: int
    waited_seconds: float
    bisected_batches: int
    busy_seconds: float
    run_started_at: float | None
    calls_before_run: int
    driver: Driver
    planned: bool
    owner: str | None
    lease_until: float | None
    enqueued_at: float | None
    reported_at: float | None
    purged_at: float | None
    origin: str
    submitted_by: str | None
    reason_code: str | None
    state_at: float | None
    notified_at: float | None
    verified_at: float | None

    @property
    def is_claimed(self) -> bool:
        """Whether a live process imports it or syncs its people."""
        return self.owner is not None and not is_dead(self.owner, self.lease_until or 0.0)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to this job by itself or by `resume`."""
        return self.state.has_ended


def as_job(record: Row[Any]) -> Job:
    """Return a record as a job."""
    values = dict(record._mapping)  # noqa: SLF001 - the documented way to read a record as a mapping
    return Job(**{**values, "state": JobState(values["state"]), "driver": Driver(values["driver"])})


def open_job(tx: Transaction, **values: Any) -> int:
    """Open a job `uploaded` and return its id."""
    record = {"state": JobState.UPLOADED, "created_at": now(), "state_at": now(), **values}
    return int(tx.execute(insert(job).values(**record).returning(job.c.id)).scalar_one())


def state_of(tx: Transaction, job_id: int) -> JobState | None:
    """Return the state of a job; None when there is none of that number."""
    state = tx.execute(select(job.c.state).where(job.c.id == job_id)).scalar()
    return JobState(state) if state else None


def find_job(tx: Transaction, job_id: int) -> Job | None:
    """Return the job, or None when there is none of that number."""
    record = tx.execute(select(job).where(job.c.id == job_id)).first()
    return as_job(record) if record else None


def find_jobs(tx: Transaction, job_ids: Collection[int]) -> list[Job]:
    """Return those of these jobs that there are."""
    return [as_job(record) for record in tx.execute(select(job).where(job.c.id.in_(job_ids)))]


def find_open_duplicate(tx: Transaction, connection: str, fingerprint: str) -> Job | None:
    """Return the job that works on the same bytes with the same options and has not ended."""
    same = select(job).where(
        job.c.connection == connection,
        job.c.fingerprint == fingerprint,
        job.c.state.not_in([state.value for state in ENDED]),
    )
    record = tx.execute(same.order_by(job.c.id.desc())).first()
    return as_job(record) if record else None


def has_changed_since(tx: Transaction, connection: str, at: float) -> bool:
    """Return whether a job of a connection is sending, or has come to its present state since a time."""
    news = or_(job.c.state.in_([state.value for state in SENDING]), job.c.state_at >= at)
    return tx.execute(select(job.c.id).where(job.c.connection == connection, news).limit(1)).first() is not None


def list_jobs(tx: Transaction, limit: int = 1000, *, before: int | None = None) -> list[Job]:
    """Return the newest jobs, newest first; the newest older than the job `before`, when that is given."""
    older = select(job) if before is None else select(job).where(job.c.id < before)
    return [as_job(record) for record in tx.execute(older.order_by(job.c.id.desc()).limit(limit))]


def change_job(tx: Transaction, job_id: int, *, only_from: Collection[JobState] = (), **values: Any) -> bool:
    """Change a job; False when it was in none of the states `only_from`.

    With a state comes the moment since which the job is in it; the code of the reason goes with the old state.
    """
    if "state" in values:
        since = case((job.c.state == values["state"], job.c.state_at), else_=now())
        values = {"reason_code": None, **values, "state_at": since}
    statement = update(job).where(job.c.id == job_id)
    if only_from:
        statement = statement.where(job.c.state.in_([state.value for state in only_from]))
    return tx.execute(statement.values(**values)).rowcount == 1


def claim_job(tx: Transaction, job_id: int, owner: str) -> bool:
    """Claim a job, to import it and sync its people; False when another live process has claimed it."""
    known = find_job(tx, job_id)
    if known is None or known.is_claimed:
        return False
    mine = update(job).where(job.c.id == job_id, job.c.owner.is_not_distinct_from(known.owner))
    values = {"owner": owner, "lease_until": now() + LEASE_SECONDS, "enqueued_at": None}
    return tx.execute(mine.values(**values)).rowcount == 1


def renew_job(tx: Transaction, job_id: int, owner: str) -> bool:
    """Renew the claim on a job; False when another process has claimed it."""
    mine = update(job).where(job.c.id == job_id, job.c.owner == owner)
    return tx.execute(mine.values(lease_until=now() + LEASE_SECONDS)).rowcount == 1


def release_job(tx: Transaction, job_id: int, owner: str) -> None:
    """Release the claim on a job."""
    tx.execute(update(job).where(job.c.id == job_id, job.c.owner == owner).values(owner=None, lease_until=None))


def count_all_calls(tx: Transaction) -> int:
    """Return how many calls all jobs have made."""
    return int(tx.execute(select(func.coalesce(func.sum(call_count.c.calls), 0))).scalar_one())


def begin_run(tx: Transaction, job_id: int) -> None:
    """Record that a job starts or continues now: its progress and speed count from here."""
    before = sum(calls_of(tx, job_id).values())
    tx.execute(update(job).where(job.c.id == job_id).values(run_started_at=now(), calls_before_run=before))


def add_to_counters(
    tx: Transaction,
    job_id: int,
    *,
    rate_limited: int = 0,
    waited_seconds: float = 0.0,
    bisected_batches: int = 0,
    busy_seconds: float = 0.0,
) -> None:
    """Add to the job's counters."""
    tx.execute(
        update(job)
        .where(job.c.id == job_id)
        .values(
            rate_limited=job.c.rate_limited + rate_limited,
            waited_seconds=job.c.waited_seconds + waited_seconds,
            bisected_batches=job.c.bisected_batches + bisected_batches,
            busy_seconds=job.c.busy_seconds + busy_seconds,
        )
    )


def add_calls(tx: Transaction, job_id: int, calls: Mapping[str, int]) -> None:
    """Add to the number of calls of each operation."""
    for operation, count in sorted(calls.items()):
        key = {"job_id": job_id, "operation": _counted_as(operation, tx.dialect.name)}
        upsert(tx, call_count, key, {"calls": count}, {"calls": call_count.c.calls + count})


@cache
def _count_calls(dialect: str) -> ClauseElement:
    record = insert_of(dialect)(call_count).values(
        job_id=bindparam("b_job"), operation=bindparam("b_operation"), calls=bindparam("b_calls")
    )
    more = {"calls": call_count.c.calls + record.excluded.calls}
    counted: ClauseElement = record.on_conflict_do_update(index_elements=["job_id", "operation"], set_=more)
    return counted


def calls_made(dialect: str, job_id: int, calls: Mapping[str, int]) -> tuple[Write, ...]:
    """Return what adds to the number of calls of each operation, for the commit of an intent or outcome."""
    return tuple(
        Write(
            _count_calls(dialect),
            {"b_job": job_id, "b_operation": _counted_as(operation, dialect), "b_calls": count},
            order=(job_id, operation),
        )
        for operation, count in calls.items()
    )


def _counted_as(operation: str, dialect: str) -> str:
    """Return under which name this process counts an operation: on PostgreSQL with the number of its counter.

    Commits of several workers would wait for each other at one record; SQLite has one writer at a time anyway.
    """
    return f"{operation}{_COUNTER}{_counter_of(os.getpid())}" if dialect == "postgresql" else operation


@cache
def _counter_of(pid: int) -> int:
    return zlib.crc32(f"{socket.gethostname()}/{pid}".encode()) % COUNTERS


def calls_of(tx: Transaction, job_id: int) -> dict[str, int]:
    """Return how many calls of each operation the job has made."""
    return calls_of_all(tx, [job_id])[job_id]


def calls_of_all(tx: Transaction, job_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return how many calls of each operation jobs have made, in one statement."""
    query = select(call_count.c.job_id, call_count.c.operation, call_count.c.calls)
    calls: dict[int, Counter[str]] = {job_id: Counter() for job_id in job_ids}
    for job_id, operation, count in tx.execute(query.where(call_count.c.job_id.in_(job_ids))):
        calls[job_id][operation.partition(_COUNTER)[0]] += count
    return {job_id: dict(sorted(counted.items())) for job_id, counted in calls.items()}


def is_roster_in_use(tx: Transaction, stored_path: str) -> bool:
    """Return whether a stored roster belongs to a job that was not purged."""
    return tx.execute(select(job.c.id).where(job.c.stored_path == stored_path).limit(1)).first() is not None
