"""Rows of rosters: counted, opened again, explained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from sqlalchemy import func, select, update

from worker.ledger.schema import row
from worker.model import RosterRow, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_ROW = TypeAdapter(RosterRow)
#: What a person reads of a row that was not sent when its job was cancelled.
CANCELLED = "The job was cancelled before this row was sent"


def read_row(parsed: str) -> RosterRow:
    """Return a row as it was understood when the roster was read."""
    return _ROW.validate_json(parsed)


def dump_row(understood: RosterRow) -> str:
    """Return a row as the ledger keeps it."""
    return _ROW.dump_json(understood).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """The counts of a job's rows."""

    by_status: dict[RowStatus, int]
    candidates_created: int
    registrations_created: int

    @property
    def total(self) -> int:
        """Return the number of rows."""
        return sum(self.by_status.values())


def tally(tx: Connection, job_id: int) -> Tally:
    """Count the rows of a job by status, every status with its number, zeros included."""
    lines = tx.execute(select(row.c.status, func.count()).where(row.c.job_id == job_id).group_by(row.c.status))
    counted: dict[str, int] = dict(lines.all())
    created = tx.execute(select(func.count()).where(row.c.job_id == job_id, row.c.created.is_(True))).scalar_one()
    return Tally(
        by_status={status: counted.get(status, 0) for status in RowStatus},
        candidates_created=created,
        registrations_created=counted.get(RowStatus.REGISTERED, 0),
    )


def reopen_rows(tx: Connection, job_id: int, statuses: Sequence[RowStatus]) -> int:
    """Make rows of these statuses `not_attempted` again, to be sent anew. Return how many."""
    return tx.execute(
        update(row)
        .where(row.c.job_id == job_id, row.c.status.in_(statuses), row.c.parsed.is_not(None))
        .values(status=RowStatus.NOT_ATTEMPTED, error="", error_code="", http_status=None, batch_id=None)
    ).rowcount


def explain_rows(tx: Connection, job_id: int, course_key: str | None, error: str, code: str) -> None:
    """Say on the rows that were not sent why they were not."""
    statement = update(row).where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED)
    if course_key is not None:
        statement = statement.where(row.c.course_key == course_key)
    tx.execute(statement.values(error=error, error_code=code))
