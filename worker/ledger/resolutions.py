"""What a person found out about a row in doubt, saved to its candidate or registration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import select, update

from worker.errors import UsageError
from worker.ledger.candidates import id_key_of
from worker.ledger.database import now
from worker.ledger.intents import WORK_ITEMS, as_work_item
from worker.ledger.schema import candidate, registration, row
from worker.model import STATUS_WHEN_DONE, Action, CandidateState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.intents import WorkItem


@dataclass(frozen=True, slots=True, kw_only=True)
class RowInDoubt:
    """A row that a person must resolve, with the state of its candidate and registration."""

    id: int
    action: Action
    status: RowStatus
    candidate_id: int
    candidate_state: CandidateState
    #: Whether it is the creation of the candidate that is in doubt, not a change to an existing one.
    candidate_is_new: bool
    registration_id: int
    registration_state: RegistrationState
    #: The LMS's id of the registration, as far as one is known.
    known_id: str | None
    #: Whether another registration after a known one is in doubt; and whether this row makes it.
    is_repeat: bool
    makes_repeat: bool
    #: The job that sent the registration that is in doubt; None where none is, or it repeats a known one.
    sent_by: int | None
    #: How the row was before the answer that it has, as `answers.remember` saved it; None without an answer.
    before_answer: dict[str, Any] | None


def work_item(tx: Transaction, job_id: int, number: int) -> WorkItem | None:
    """Return a row with its candidate and registration, to compare an answer with; None when it is invalid."""
    row_id = tx.execute(
        select(row.c.id).where(row.c.job_id == job_id, row.c.row == number, row.c.registration_id.is_not(None))
    ).scalar()
    return None if row_id is None else as_work_item(tx.execute(WORK_ITEMS.where(row.c.id == row_id)).one(), "")


def find_row(tx: Transaction, job_id: int, number: int) -> RowInDoubt | None:
    """Return the row with this number in the spreadsheet; None when there is none, or it is invalid."""
    record = tx.execute(
        select(
            row.c.id,
            row.c.action,
            row.c.status,
            row.c.candidate_id,
            candidate.c.state,
            candidate.c.pending_action,
            row.c.registration_id,
            row.c.before_answer,
            registration.c.state.label("registered"),
            registration.c.lms_id.label("known_id"),
            registration.c.pending_action.label("pending"),
            registration.c.job_id.label("sent_by"),
            (row.c.repeats == registration.c.series).label("makes_repeat"),
        )
        .join(candidate, candidate.c.id == row.c.candidate_id)
        .join(registration, registration.c.id == row.c.registration_id)
        .where(row.c.job_id == job_id, row.c.row == number)
    ).first()
    if record is None:
        return None
    is_in_doubt = record.registered == RegistrationState.IN_DOUBT
    return RowInDoubt(
        id=record.id,
        action=Action(record.action),
        status=RowStatus(record.status),
        candidate_id=record.candidate_id,
        candidate_state=CandidateState(record.state),
        candidate_is_new=record.pending_action is None,
        registration_id=record.registration_id,
        registration_state=RegistrationState(record.registered),
        known_id=record.known_id,
        is_repeat=is_in_doubt and record.pending == Action.REGISTER,
        makes_repeat=bool(record.makes_repeat),
        sent_by=record.sent_by if is_in_doubt and record.pending is None else None,
        before_answer=record.before_answer,
    )


def rows_in_doubt(tx: Transaction, job_id: int) -> list[int]:
    """Return the numbers of a job's rows in doubt, in order."""
    waiting = select(row.c.row).where(row.c.job_id == job_id, row.c.status == RowStatus.IN_DOUBT)
    return list(tx.execute(waiting.order_by(row.c.row)).scalars())


def save_resolution(
    tx: Transaction, job_id: int, found: RowInDoubt, *, candidate_id: str | None, registration_id: str | None
) -> str:
    """Save what a person found (neither id given: absent) and return a message for them.

    For other actions than register an id means that it was done, absent that it was not.
    """
    if found.action is not Action.REGISTER:
        return _save_action_resolution(
            tx, job_id, found, candidate_id=candidate_id, registration_id=registration_id
        )
    if registration_id is not None:
        _register(tx, job_id, found, registration_id)
        return "The row is registered"
    is_candidate_in_doubt = found.candidate_is_new and found.candidate_state is CandidateState.IN_DOUBT
    if found.registration_state is RegistrationState.IN_DOUBT and not is_candidate_in_doubt:
        if candidate_id is not None:
            raise UsageError(
                "The registration of this row is in doubt, not its candidate: "
                "give --registration-id if it exists, --absent if it does not"
            )
        absent = tx.execute(
            update(registration)
            .where(registration.c.id == found.registration_id)
            .where(registration.c.state == RegistrationState.IN_DOUBT, registration.c.claimed_by.is_(None))
            .values(**_when_absent(found))
        )
        if absent.rowcount == 0:
            raise UsageError("This row is being confirmed, or was confirmed just now; check it again")
    else:
        _save_candidate(tx, found, candidate_id)
    _reopen(tx, found.id)
    return f"The row is ready to be sent; continue with `roster resume {job_id}`"


def _save_candidate(tx: Transaction, found: RowInDoubt, candidate_id: str | None) -> None:
    """Save the id of a row's candidate, or that there is none; in both cases they are not registered."""
    if candidate_id is not None:
        _set_candidate_id(tx, found.candidate_id, candidate_id)
    else:
        tx.execute(
            update(candidate)
            .where(candidate.c.id == found.candidate_id, candidate.c.state == CandidateState.IN_DOUBT)
            .values(state=CandidateState.NEW if found.candidate_is_new else CandidateState.KNOWN)
        )
    # In a restored ledger both are in doubt.
    tx.execute(
        update(registration)
        .where(registration.c.id == found.registration_id, registration.c.state == RegistrationState.IN_DOUBT)
        .values(**_when_absent(found))
    )


def _when_absent(found: RowInDoubt) -> dict[str, Any]:
    """Return what to save of a registration that is not there; one that it was to repeat is another one."""
    if not found.is_repeat:
        return {"state": RegistrationState.NEW}
    if found.makes_repeat:
        return {"state": RegistrationState.REGISTERED}
    return {"state": RegistrationState.NEW, "lms_id": None, "series": registration.c.series + 1}


def _save_action_resolution(
    tx: Transaction, job_id: int, found: RowInDoubt, *, candidate_id: str | None, registration_id: str | None
) -> str:
    """Save whether an action was done: given by the registration's id, or the person's if it is about a person."""
    about_a_person = found.action.is_about_person
    wrong = registration_id if about_a_person else candidate_id
    if wrong is not None:
        right = "--candidate-id" if about_a_person else "--registration-id"
        raise UsageError(
            f"The action of this row is {found.action}: give {right} if it was done, --absent if it was not"
        )
    done = candidate_id is not None or registration_id is not None
    _set_state(tx, found, done=done)
    if not done:
        _reopen(tx, found.id)
        return f"The row is ready to be sent; continue with `roster resume {job_id}`"
    status = STATUS_WHEN_DONE[found.action]
    values = {"status": status, "lms_registration_id": registration_id or None, "changed_at": now()}
    tx.execute(update(row).where(row.c.id == found.id).values(error="", error_code="", **values))
    return f"The row is {status}"


def _set_state(tx: Transaction, found: RowInDoubt, *, done: bool) -> None:
    if found.action.is_about_person:
        removed = done and found.action is Action.DEACTIVATE
        person = CandidateState.DEACTIVATED if removed else CandidateState.KNOWN
        tx.execute(update(candidate).where(candidate.c.id == found.candidate_id).values(state=person))
        return
    removed = done and found.action is Action.WITHDRAW
    state = RegistrationState.WITHDRAWN if removed else RegistrationState.REGISTERED
    tx.execute(update(registration).where(registration.c.id == found.registration_id).values(state=state))


def _set_candidate_id(tx: Transaction, record_id: int, lms_id: str) -> None:
    tx.execute(
        update(candidate)
        .where(candidate.c.id == record_id)
        .values(state=CandidateState.KNOWN, lms_id=lms_id, id_key=id_key_of(lms_id))
    )


def _register(tx: Transaction, job_id: int, found: RowInDoubt, registration_id: str) -> None:
    """Save the registration of a row: the one in doubt, of whatever job, or the known one that it was to repeat."""
    lms_id = registration_id or None
    is_older = found.sent_by not in {None, job_id} or (found.is_repeat and lms_id == found.known_id)
    made = {"job_id": job_id, "series": registration.c.series + int(found.is_repeat)}
    tx.execute(
        update(registration)
        .where(registration.c.id == found.registration_id)
        .values(state=RegistrationState.REGISTERED, lms_id=lms_id, **({} if is_older else made))
    )
    tx.execute(
        update(row)
        .where(row.c.id == found.id)
        .values(
            status=RowStatus.ALREADY_REGISTERED if is_older else RowStatus.REGISTERED,
            error="",
            error_code="",
            lms_registration_id=lms_id,
            changed_at=now(),
        )
    )


def _reopen(tx: Transaction, row_id: int) -> None:
    tx.execute(
        update(row)
        .where(row.c.id == row_id)
        .values(status=RowStatus.NOT_ATTEMPTED, error="", error_code="", http_status=None, batch_id=None)
    )
