"""The audit: who did what to which job, and when. Lines are added and read, never changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import insert, select

from worker.ledger.database import now
from worker.ledger.schema import audit

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One act of a person."""

    at: float
    who: str
    act: str
    job_id: int | None
    detail: str


def note(tx: Connection, *, who: str, act: str, job_id: int | None = None, detail: str = "") -> None:
    """Add a line; `who` is an account's name, or `-` where nobody signs in."""
    tx.execute(insert(audit).values(at=now(), who=who, act=act, job_id=job_id, detail=detail))


def lines(tx: Connection, *, job_id: int | None = None, most: int = 200) -> list[Line]:
    """Return the newest lines, newest first; of one job alone when it is named."""
    query = select(audit.c.at, audit.c.who, audit.c.act, audit.c.job_id, audit.c.detail)
    if job_id is not None:
        query = query.where(audit.c.job_id == job_id)
    found = tx.execute(query.order_by(audit.c.id.desc()).limit(most))
    return [Line(**line._mapping) for line in found]  # noqa: SLF001 - the documented way to read a line as a mapping
