"""A person's answer on a row in doubt, written to the candidate or the registration that the row hangs on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select, update

from worker.errors import UsageError
from worker.ledger.candidates import id_key_of
from worker.ledger.engine import now
from worker.ledger.schema import candidate, registration, row
from worker.model import CandidateState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection


@dataclass(frozen=True, slots=True, kw_only=True)
class RowInDoubt:
    """A row that waits for a person, with the lines it hangs on."""

    id: int
    status: RowStatus
    candidate_id: int
    candidate_state: CandidateState
    registration_id: int
    registration_state: RegistrationState


def find_row(tx: Connection, job_id: int, number: int) -> RowInDoubt | None:
    """Return the row that the spreadsheet numbers so, if it was understood."""
    line = tx.execute(
        select(
            row.c.id,
            row.c.status,
            row.c.candidate_id,
            candidate.c.state,
            row.c.registration_id,
            registration.c.state.label("registered"),
        )
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .join(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job_id, row.c.row == number)
    ).first()
    return line and RowInDoubt(
        id=line.id,
        status=RowStatus(line.status),
        candidate_id=line.candidate_id,
        candidate_state=CandidateState(line.state),
        registration_id=line.registration_id,
        registration_state=RegistrationState(line.registered),
    )


def record(
    tx: Connection, job_id: int, doubtful: RowInDoubt, *, candidate_id: str | None, registration_id: str | None
) -> str:
    """Write the answer (neither id given: absent) and return what to tell the person."""
    if registration_id is not None:
        _register(tx, job_id, doubtful, registration_id)
        return "The row is registered"
    if doubtful.registration_state is RegistrationState.IN_DOUBT:
        if candidate_id is not None:
            raise UsageError(
                "It is the registration of this row that is in doubt, not its candidate: "
                "give --registration-id when it is there, --absent when it is not"
            )
        tx.execute(
            update(registration)
            .where(registration.c.id == doubtful.registration_id)
            .values(state=RegistrationState.NEW)
        )
    elif candidate_id is not None:
        _know(tx, doubtful.candidate_id, candidate_id)
    else:
        tx.execute(
            update(candidate)
            .where(candidate.c.id == doubtful.candidate_id, candidate.c.state == CandidateState.IN_DOUBT)
            .values(state=CandidateState.NEW)
        )
    _reopen(tx, doubtful.id)
    return f"The row is ready to be sent; `roster resume {job_id}` goes on"


def _know(tx: Connection, line_id: int, lms_id: str) -> None:
    tx.execute(
        update(candidate)
        .where(candidate.c.id == line_id)
        .values(state=CandidateState.KNOWN, lms_id=lms_id, id_key=id_key_of(lms_id))
    )


def _register(tx: Connection, job_id: int, doubtful: RowInDoubt, registration_id: str) -> None:
    tx.execute(
        update(registration)
        .where(registration.c.id == doubtful.registration_id)
        .values(state=RegistrationState.REGISTERED, lms_id=registration_id, job_id=job_id)
    )
    tx.execute(
        update(row)
        .where(row.c.id == doubtful.id)
        .values(
            status=RowStatus.REGISTERED,
            error="",
            error_code="",
            lms_registration_id=registration_id,
            changed_at=now(),
        )
    )


def _reopen(tx: Connection, row_id: int) -> None:
    tx.execute(
        update(row)
        .where(row.c.id == row_id)
        .values(status=RowStatus.NOT_ATTEMPTED, error="", error_code="", http_status=None, batch_id=None)
    )
