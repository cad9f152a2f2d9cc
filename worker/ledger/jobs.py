"""Jobs: opened, found, moved from state to state. Every statement on the table `job` stands here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import case, insert, null, select, update

from worker.ledger.database import now, upsert
from worker.ledger.leases import LEASE_SECONDS, is_dead
from worker.ledger.schema import call, job, row
from worker.model import ENDED, Driver, JobState

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from sqlalchemy import Row

    from worker.ledger.database import Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One roster being worked off for one connection."""

    id: int
    connection: str
    system: str
    roster: str
    kept_at: str
    fingerprint: str
    options: Mapping[str, Any]
    state: JobState
    reason: str
    not_before: float | None
    headings: Sequence[str]
    columns: Sequence[str | None]
    notes: Sequence[str]
    report_dir: str
    created_at: float
    started_at: float | None
    finished_at: float | None
    rate_limited: int
    waited_seconds: float
    bisected_batches: int
    busy_seconds: float
    driver: Driver
    planned: bool
    owner: str | None
    lease_until: float | None
    rung_at: float | None
    reported_at: float | None
    purged_at: float | None
    origin: str
    dropped_by: str | None
    reason_code: str | None
    state_at: float | None
    told_at: float | None
    verified_at: float | None

    @property
    def is_taken(self) -> bool:
        """Whether somebody who lives reads it in or looks for its people."""
        return self.owner is not None and not is_dead(self.owner, self.lease_until or 0.0)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to this job by itself or by `resume`."""
        return self.state in ENDED


def _as_job(line: Row[Any]) -> Job:
    values = dict(line._mapping)  # noqa: SLF001 - the documented way to read a line as a mapping
    return Job(**{**values, "state": JobState(values["state"]), "driver": Driver(values["driver"])})


def open_job(tx: Transaction, **values: Any) -> int:
    """Open a job `uploaded` and return its id."""
    line = {"state": JobState.UPLOADED, "created_at": now(), "state_at": now(), **values}
    return int(tx.execute(insert(job).values(**line).returning(job.c.id)).scalar_one())


def state_of(tx: Transaction, job_id: int) -> JobState | None:
    """Return where a job stands; None when there is none of that number."""
    state = tx.execute(select(job.c.state).where(job.c.id == job_id)).scalar()
    return JobState(state) if state else None


def find_job(tx: Transaction, job_id: int) -> Job | None:
    """Return the job, or None when there is none of that number."""
    line = tx.execute(select(job).where(job.c.id == job_id)).first()
    return _as_job(line) if line else None


def find_open_twin(tx: Transaction, connection: str, fingerprint: str) -> Job | None:
    """Return the job that works on the same bytes with the same options and has not ended."""
    same = select(job).where(
        job.c.connection == connection,
        job.c.fingerprint == fingerprint,
        job.c.state.not_in([state.value for state in ENDED]),
    )
    line = tx.execute(same.order_by(job.c.id.desc())).first()
    return _as_job(line) if line else None


def list_jobs(tx: Transaction, limit: int = 1000, *, before: int | None = None) -> list[Job]:
    """Return the newest jobs, newest first; the newest older than the job `before`, when that is given."""
    older = select(job) if before is None else select(job).where(job.c.id < before)
    return [_as_job(line) for line in tx.execute(older.order_by(job.c.id.desc()).limit(limit))]


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


def take_job(tx: Transaction, job_id: int, owner: str) -> bool:
    """Claim a job, to read it in and look for its people; False when somebody else does so."""
    known = find_job(tx, job_id)
    if known is None or known.is_taken:
        return False
    mine = update(job).where(job.c.id == job_id, job.c.owner.is_not_distinct_from(known.owner))
    values = {"owner": owner, "lease_until": now() + LEASE_SECONDS, "rung_at": None}
    return tx.execute(mine.values(**values)).rowcount == 1


def renew_job(tx: Transaction, job_id: int, owner: str) -> bool:
    """Renew the claim on a job; False when it has gone to somebody else."""
    mine = update(job).where(job.c.id == job_id, job.c.owner == owner)
    return tx.execute(mine.values(lease_until=now() + LEASE_SECONDS)).rowcount == 1


def leave_job(tx: Transaction, job_id: int, owner: str) -> None:
    """Give the claim on a job back."""
    tx.execute(update(job).where(job.c.id == job_id, job.c.owner == owner).values(owner=None, lease_until=None))


def add_to_job(
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


def count_calls(tx: Transaction, job_id: int, calls: Mapping[str, int]) -> None:
    """Add to the number of calls of each operation."""
    for operation, count in sorted(calls.items()):
        key = {"job_id": job_id, "operation": operation}
        upsert(tx, call, key, {"calls": count}, {"calls": call.c.calls + count})


def calls_of(tx: Transaction, job_id: int) -> dict[str, int]:
    """Return how many calls of each operation the job has made."""
    lines = tx.execute(select(call.c.operation, call.c.calls).where(call.c.job_id == job_id))
    return dict(sorted(lines.all()))


def purge_job(tx: Transaction, job_id: int) -> None:
    """Empty the rows of a job: cells, what was understood of them, and sentences in which a name may stand."""
    emptied = {"cells": [], "parsed": null(), "error": "", "column": ""}
    tx.execute(update(row).where(row.c.job_id == job_id).values(**emptied))
    tx.execute(update(job).where(job.c.id == job_id).values(purged_at=now(), notes=[], kept_at=""))


def ended_before(tx: Transaction, moment: float) -> list[tuple[int, str]]:
    """Return (job, where its roster is kept) of the jobs that ended before a moment and were not purged."""
    old = select(job.c.id, job.c.kept_at).where(
        job.c.state.in_([state.value for state in ENDED]), job.c.created_at < moment, job.c.purged_at.is_(None)
    )
    late = job.c.finished_at.is_(None) | (job.c.finished_at < moment)
    return [(line.id, line.kept_at) for line in tx.execute(old.where(late).order_by(job.c.id))]


def is_kept_for_another(tx: Transaction, kept_at: str) -> bool:
    """Tell whether a kept roster belongs to a job that was not purged."""
    return tx.execute(select(job.c.id).where(job.c.kept_at == kept_at).limit(1)).first() is not None
