"""Registrations that the LMS accepted without saying whose they are, and those that its list then does not show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from worker.ledger.chunks import chunks
from worker.ledger.database import now
from worker.ledger.schema import candidate, registration, row
from worker.model import Action, RegistrationState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.intents import RowOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeRegistration:
    """A registration that a job made: its row with its batch, its record, and the LMS's id of its person."""

    row_id: int
    batch_id: int | None
    registration_id: int
    lms_id: str


def made_on_course(tx: Transaction, job_id: int, course_key: str) -> list[MadeRegistration]:
    """Return the registrations that a job made on a course and that nobody has changed since."""
    query = (
        select(row.c.id, row.c.batch_id, row.c.registration_id, candidate.c.lms_id)
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .join(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job_id, row.c.course_key == course_key, row.c.action == Action.REGISTER)
        .where(row.c.status == RowStatus.REGISTERED, registration.c.state == RegistrationState.REGISTERED)
        .where(candidate.c.lms_id.is_not(None), registration.c.claimed_by.is_(None))
    )
    return [
        MadeRegistration(
            row_id=record.id,
            batch_id=record.batch_id,
            registration_id=record.registration_id,
            lms_id=record.lms_id,
        )
        for record in tx.execute(query)
    ]


def take_back(tx: Transaction, missing: Sequence[MadeRegistration], outcome: RowOutcome) -> None:
    """Record that registrations do not exist although the LMS accepted them; their rows get this outcome."""
    for chunk in chunks(missing):
        mine = registration.c.id.in_([each.registration_id for each in chunk])
        is_unchanged = (
            registration.c.state == RegistrationState.REGISTERED,
            registration.c.claimed_by.is_(None),
        )
        tx.execute(update(registration).where(mine, *is_unchanged).values(state=RegistrationState.NEW, lms_id=None))
        tx.execute(
            update(row)
            .where(row.c.id.in_([each.row_id for each in chunk]), row.c.status == RowStatus.REGISTERED)
            .values(
                status=outcome.status,
                kept_status=None,
                error=outcome.error,
                error_code=outcome.code,
                http_status=outcome.http_status,
                changed_at=now(),
            )
        )
