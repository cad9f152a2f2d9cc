"""Rows with their outcomes, as the report tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, or_, select

from worker.ledger.schema import candidate, registration, row
from worker.model import CandidateState, RegistrationState, RowStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from sqlalchemy import Connection, Row, Select


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRow:
    """A row with its outcome, as the report tells it."""

    row: int
    cells: Sequence[str]
    status: RowStatus
    error: str
    code: str
    column: str
    candidate_id: str | None
    registration_id: str | None
    created: bool
    attempts: int
    http_status: int | None
    changed_at: float | None
    differs: bool


def reported_rows(tx: Connection, job_id: int) -> Iterator[ReportedRow]:
    """Yield the rows of a job in roster order."""
    for line in tx.execute(_rows_of(job_id)).yield_per(1_000):
        yield _as_reported(line)


def some_rows(
    tx: Connection,
    job_id: int,
    *,
    statuses: Collection[RowStatus] = (),
    number: int | None = None,
    offset: int = 0,
    limit: int = 50,
) -> list[ReportedRow]:
    """Return a part of a job's rows in roster order: those of these statuses, or the one of this number."""
    query = _rows_of(job_id)
    if statuses:
        query = query.where(row.c.status.in_([status.value for status in statuses]))
    if number is not None:
        query = query.where(row.c.row == number)
    return [_as_reported(line) for line in tx.execute(query.offset(offset).limit(limit))]


def _rows_of(job_id: int) -> Select[Any]:
    found = select(row, candidate.c.lms_id).outerjoin(candidate, candidate.c.id == row.c.candidate_id)
    return found.where(row.c.job_id == job_id).order_by(row.c.row)


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """What moves in a job just now."""

    #: Rows for which a call is under way.
    in_flight: int
    #: Rows that got their outcome since the moment that was asked for.
    settled: int


def movement(tx: Connection, job_id: int, since: float) -> Movement:
    """Count a job's rows that are under way, and those that got their outcome since then (seconds since 1970)."""
    sent = or_(
        candidate.c.state == CandidateState.SENDING,
        registration.c.state == RegistrationState.SENDING,
    )
    under_way = (
        select(func.count())
        .select_from(row)
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .outerjoin(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, sent)
    )
    settled = select(func.count()).where(
        row.c.job_id == job_id, row.c.changed_at > since, row.c.status != RowStatus.NOT_ATTEMPTED
    )
    return Movement(in_flight=tx.execute(under_way).scalar_one(), settled=tx.execute(settled).scalar_one())


def _as_reported(line: Row[Any]) -> ReportedRow:
    return ReportedRow(
        row=line.row,
        cells=line.cells,
        status=RowStatus(line.status),
        error=line.error,
        code=line.error_code,
        column=line.column,
        candidate_id=line.lms_id,
        registration_id=line.lms_registration_id,
        created=line.created,
        attempts=line.attempts,
        http_status=line.http_status,
        changed_at=line.changed_at,
        differs=line.verified == Verdict.DIFFERS,
    )
