"""A person's answer on a row in doubt, written to the candidate or the registration that the row hangs on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, select, update

from worker.errors import UsageError
from worker.ledger import jobs
from worker.ledger.candidates import id_key_of
from worker.ledger.database import now, take_turns
from worker.ledger.rows import dump_row, read_row
from worker.ledger.schema import candidate, registration, row
from worker.model import DONE_AS, Action, CandidateState, JobState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class RowInDoubt:
    """A row that waits for a person, with the lines it hangs on."""

    id: int
    action: Action
    status: RowStatus
    candidate_id: int
    candidate_state: CandidateState
    #: Whether it is the creation of the candidate that is in doubt, or a change to one who is there.
    candidate_is_new: bool
    registration_id: int
    registration_state: RegistrationState


def find_row(tx: Transaction, job_id: int, number: int) -> RowInDoubt | None:
    """Return the row that the spreadsheet numbers so, if it was understood."""
    line = tx.execute(
        select(
            row.c.id,
            row.c.action,
            row.c.status,
            row.c.candidate_id,
            candidate.c.state,
            candidate.c.doing,
            row.c.registration_id,
            registration.c.state.label("registered"),
        )
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .join(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job_id, row.c.row == number)
    ).first()
    return line and RowInDoubt(
        id=line.id,
        action=Action(line.action),
        status=RowStatus(line.status),
        candidate_id=line.candidate_id,
        candidate_state=CandidateState(line.state),
        candidate_is_new=line.doing is None,
        registration_id=line.registration_id,
        registration_state=RegistrationState(line.registered),
    )


def record(
    tx: Transaction, job_id: int, doubtful: RowInDoubt, *, candidate_id: str | None, registration_id: str | None
) -> str:
    """Write the answer (neither id given: absent) and return what to tell the person.

    Of another action than to register, an id says that it was done, absent that it was not.
    """
    if doubtful.action is not Action.REGISTER:
        return _record_deed(tx, job_id, doubtful, candidate_id=candidate_id, registration_id=registration_id)
    if registration_id is not None:
        _register(tx, job_id, doubtful, registration_id)
        return "The row is registered"
    if doubtful.registration_state is RegistrationState.IN_DOUBT:
        if candidate_id is not None:
            raise UsageError(
                "It is the registration of this row that is in doubt, not its candidate: "
                "give --registration-id when it is there, --absent when it is not"
            )
        absent = tx.execute(
            update(registration)
            .where(registration.c.id == doubtful.registration_id)
            .where(registration.c.state == RegistrationState.IN_DOUBT, registration.c.claimed_by.is_(None))
            .values(state=RegistrationState.NEW)
        )
        if absent.rowcount == 0:
            raise UsageError("This row's doubt is being settled, or was settled just now; look at it again")
    elif candidate_id is not None:
        _know(tx, doubtful.candidate_id, candidate_id)
    else:
        tx.execute(
            update(candidate)
            .where(candidate.c.id == doubtful.candidate_id, candidate.c.state == CandidateState.IN_DOUBT)
            .values(state=CandidateState.NEW if doubtful.candidate_is_new else CandidateState.KNOWN)
        )
    _reopen(tx, doubtful.id)
    return f"The row is ready to be sent; `roster resume {job_id}` goes on"


def _record_deed(
    tx: Transaction, job_id: int, doubtful: RowInDoubt, *, candidate_id: str | None, registration_id: str | None
) -> str:
    """Write whether a deed was done: the registration's id says so, or the person's when it is about a person."""
    about_a_person = doubtful.action.is_about_a_person
    wrong = registration_id if about_a_person else candidate_id
    if wrong is not None:
        right = "--candidate-id" if about_a_person else "--registration-id"
        raise UsageError(
            f"This row is to {doubtful.action}: give {right} when that was done, --absent when it was not"
        )
    done = candidate_id is not None or registration_id is not None
    _stand(tx, doubtful, done=done)
    if not done:
        _reopen(tx, doubtful.id)
        return f"The row is ready to be sent; `roster resume {job_id}` goes on"
    status = DONE_AS[doubtful.action]
    values = {"status": status, "lms_registration_id": registration_id, "changed_at": now()}
    tx.execute(update(row).where(row.c.id == doubtful.id).values(error="", error_code="", **values))
    return f"The row is {status}"


def _stand(tx: Transaction, doubtful: RowInDoubt, *, done: bool) -> None:
    if doubtful.action.is_about_a_person:
        gone = done and doubtful.action is Action.DEACTIVATE
        person = CandidateState.DEACTIVATED if gone else CandidateState.KNOWN
        tx.execute(update(candidate).where(candidate.c.id == doubtful.candidate_id).values(state=person))
        return
    gone = done and doubtful.action is Action.WITHDRAW
    state = RegistrationState.WITHDRAWN if gone else RegistrationState.REGISTERED
    tx.execute(update(registration).where(registration.c.id == doubtful.registration_id).values(state=state))


def _know(tx: Transaction, line_id: int, lms_id: str) -> None:
    tx.execute(
        update(candidate)
        .where(candidate.c.id == line_id)
        .values(state=CandidateState.KNOWN, lms_id=lms_id, id_key=id_key_of(lms_id))
    )


def _register(tx: Transaction, job_id: int, doubtful: RowInDoubt, registration_id: str) -> None:
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


def _reopen(tx: Transaction, row_id: int) -> None:
    tx.execute(
        update(row)
        .where(row.c.id == row_id)
        .values(status=RowStatus.NOT_ATTEMPTED, error="", error_code="", http_status=None, batch_id=None)
    )


def open_undo(tx: Transaction, job: Job) -> int | None:
    """Open a job with a `withdraw` for each registration that `job` made; None when there is none left.

    One that is open already is returned as it is.
    """
    mark = f"undo:{job.id}"
    take_turns(tx, mark)
    if twin := jobs.find_open_twin(tx, job.connection, mark):
        return twin.id
    made = (
        select(row)
        .join(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job.id, row.c.status == RowStatus.REGISTERED)
        .where(registration.c.job_id == job.id, registration.c.state == RegistrationState.REGISTERED)
    )
    lines = tx.execute(made.order_by(row.c.row)).mappings().all()
    if not lines:
        return None
    undo = jobs.open_job(
        tx,
        connection=job.connection,
        system=job.system,
        roster=f"undo-{job.id}-{job.roster}",
        kept_at="",
        fingerprint=mark,
        options={},
        state=JobState.QUEUED,
        headings=list(job.headings),
        columns=list(job.columns),
        report_dir=job.report_dir,
    )
    tx.execute(insert(row), [_withdrawing(dict(line), undo) for line in lines])
    return undo


def _withdrawing(line: dict[str, Any], undo: int) -> dict[str, Any]:
    kept = ("row", "cells", "candidate_id", "registration_id", "course_key", "lms_registration_id")
    parsed = dump_row(replace(read_row(line["parsed"]), action=Action.WITHDRAW))
    return {
        **{name: line[name] for name in kept},
        "job_id": undo,
        "parsed": parsed,
        "action": Action.WITHDRAW,
        "status": RowStatus.NOT_ATTEMPTED,
    }
