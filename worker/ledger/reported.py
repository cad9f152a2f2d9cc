"""Rows with their outcomes, as the report tells them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from worker.ledger.schema import candidate, row
from worker.model import RowStatus, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Row


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
    query = (
        select(row, candidate.c.lms_id)
        .outerjoin(candidate, candidate.c.id == row.c.candidate_id)
        .where(row.c.job_id == job_id)
        .order_by(row.c.row)
    )
    for line in tx.execute(query).yield_per(1_000):
        yield _as_reported(line)


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
