"""What of a job is still ahead, counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import distinct, func, select

from worker.ledger.schema import candidate, registration, row
from worker.model import Action, CandidateState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """Rows that were not sent, by course, and the candidates among them whom the ledger does not know."""

    rows_by_course: Mapping[str, int]
    new_candidates: int
    #: Rows of other actions than to register; `rows_by_course` does not count them.
    deeds: int
    #: Those of them of which only an external id says which registration is meant.
    to_find: int = 0


def proven_courses(tx: Connection, connection: str) -> set[str]:
    """Return the courses on which somebody was registered through this connection before."""
    query = select(registration.c.course_key).where(
        registration.c.connection == connection, registration.c.state == RegistrationState.REGISTERED
    )
    return set(tx.execute(query.distinct()).scalars())


def outlook(tx: Connection, job_id: int) -> Outlook:
    """Count what is ahead of a job."""
    waiting = (
        select(row.c.course_key, func.count())
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.candidate_id.is_not(None))
        .where(row.c.action == Action.REGISTER)
        .group_by(row.c.course_key)
    )
    deeds = (
        select(func.count())
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED)
        .where(row.c.action != Action.REGISTER)
    )
    new = (
        select(func.count(distinct(candidate.c.id)))
        .join(row, row.c.candidate_id == candidate.c.id)
        .where(row.c.job_id == job_id, row.c.status == RowStatus.NOT_ATTEMPTED, row.c.action == Action.REGISTER)
        .where(candidate.c.state == CandidateState.NEW)
    )
    return Outlook(
        rows_by_course=dict(tx.execute(waiting).all()),
        new_candidates=tx.execute(new).scalar_one(),
        deeds=tx.execute(deeds).scalar_one(),
        to_find=tx.execute(deeds.where(row.c.candidate_id.is_(None))).scalar_one(),
    )
