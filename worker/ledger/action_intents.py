"""The two commits around a call that changes what exists: a registration or a person of the LMS.

As in `intents`, each function returns the `Write`s of one event, fenced by the claim. The pending action is on the
registration's record, or on the candidate's when it is about the person.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete

from worker.ledger.database import now
from worker.ledger.intents import (
    COUNT_ATTEMPT,
    SET_LMS_ID,
    fenced_update,
    fenced_write,
    row_outcome,
    state_changed,
)
from worker.ledger.schema import candidate, person, registration
from worker.ledger.transactions import Write
from worker.model import Action, CandidateState, RegistrationState

if TYPE_CHECKING:
    from worker.ledger.batches import Claim
    from worker.ledger.intents import CandidateRecord, RegistrationRecord, RowOutcome, WorkItem

_INTENT = {
    candidate: fenced_update(candidate, "state", "pending_action", "row_id", "sent_at"),
    registration: fenced_update(registration, "state", "pending_action", "row_id", "sent_at", "lms_id"),
}
_SET_OBSERVED = fenced_update(registration, "state", "lms_id")
_REOPEN = fenced_update(registration, "state", "lms_id", "series")
_DELETE_PERSON = delete(person).where(
    person.c.connection == bindparam("b_connection"), person.c.lms_id == bindparam("b_lms_id")
)


def action_intent(claim: Claim, work: WorkItem, action: Action, lms_id: str | None) -> tuple[Write, ...]:
    """Record that an action is about to be sent; of a registration also the id that the LMS knows it by."""
    record = _record_of(work, action)
    values = {
        "b_state": record.states.SENDING,
        "b_pending_action": action,
        "b_row_id": work.row_id,
        "b_sent_at": now(),
        **({} if action.is_about_person else {"b_lms_id": lms_id}),
    }
    return (
        fenced_write(_INTENT[record.table], record.id, claim, values),
        Write(COUNT_ATTEMPT, {"b_id": work.row_id}),
    )


def action_not_done(claim: Claim, work: WorkItem, action: Action, *, unsent: bool = False) -> tuple[Write, ...]:
    """Record that nothing was done to what exists; `unsent`: nothing was sent either."""
    record = _record_of(work, action)
    return state_changed(claim, work, record, record.exists, unsent=unsent)


def action_in_doubt(claim: Claim, work: WorkItem, action: Action, outcome: RowOutcome) -> tuple[Write, ...]:
    """Record that it is unknown whether an action was done, on the record and on the row."""
    record = _record_of(work, action)
    return (*state_changed(claim, work, record, record.states.IN_DOUBT), row_outcome(claim, work, outcome))


def _record_of(work: WorkItem, action: Action) -> CandidateRecord | RegistrationRecord:
    return work.candidate if action.is_about_person else work.registration


def registration_observed(
    claim: Claim, work: WorkItem, state: RegistrationState, lms_id: str | None
) -> tuple[Write, ...]:
    """Record the state of a registration at the LMS, no matter who changed it."""
    return (fenced_write(_SET_OBSERVED, work.registration.id, claim, {"b_state": state, "b_lms_id": lms_id}),)


def person_exists(claim: Claim, work: WorkItem) -> tuple[Write, ...]:
    """Record that a person who was in doubt or deactivated exists at the LMS."""
    return state_changed(claim, work, work.candidate, CandidateState.KNOWN)


def person_updated(claim: Claim, work: WorkItem, connection: str, lms_id: str) -> tuple[Write, ...]:
    """Record that a person was updated; what the LMS's list showed of them is deleted until it is read again."""
    return (*person_exists(claim, work), Write(_DELETE_PERSON, {"b_connection": connection, "b_lms_id": lms_id}))


def person_deactivated(claim: Claim, work: WorkItem, connection: str, lms_id: str) -> tuple[Write, ...]:
    """Record that a person is deactivated, and delete them from the LMS's list of people."""
    return (
        *state_changed(claim, work, work.candidate, CandidateState.DEACTIVATED),
        Write(_DELETE_PERSON, {"b_connection": connection, "b_lms_id": lms_id}),
    )


def activation_intent(claim: Claim, work: WorkItem) -> tuple[Write, ...]:
    """Record that a deactivated person's account is about to be activated, so that they can be registered."""
    values = {
        "b_state": CandidateState.SENDING,
        "b_pending_action": Action.REGISTER,
        "b_row_id": work.row_id,
        "b_sent_at": now(),
    }
    return (
        fenced_write(_INTENT[candidate], work.candidate.id, claim, values),
        Write(COUNT_ATTEMPT, {"b_id": work.row_id}),
    )


def activation_not_done(claim: Claim, work: WorkItem, *, unsent: bool = False) -> tuple[Write, ...]:
    """Record that a person's account was not activated; `unsent`: nothing was sent either."""
    return state_changed(claim, work, work.candidate, CandidateState.DEACTIVATED, unsent=unsent)


def person_missing(claim: Claim, work: WorkItem) -> tuple[Write, ...]:
    """Record that a person no longer exists at the LMS, so that they may be created again."""
    values = {"b_state": CandidateState.NEW, "b_lms_id": None, "b_id_key": None}
    return (fenced_write(SET_LMS_ID, work.candidate.id, claim, values),)


def registration_reopened(claim: Claim, work: WorkItem) -> tuple[tuple[Write, ...], WorkItem]:
    """Record that a registration which is gone is to be made again, under the next number; return the item too."""
    series = work.registration.series + 1
    values = {"b_state": RegistrationState.NEW, "b_lms_id": None, "b_series": series}
    record = replace(work.registration, state=RegistrationState.NEW, lms_id=None, series=series, is_repeat=False)
    return (fenced_write(_REOPEN, work.registration.id, claim, values),), replace(work, registration=record)
