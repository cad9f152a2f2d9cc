"""The two commits around a call that changes what is there: a registration or a person of the LMS.

As in `calls`, each function returns the `Write`s of one event, fenced by the claim. What a deed is about stands on
the registration's line, or on the candidate's when it is about the person.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sqlalchemy import bindparam, delete

from worker.ledger.database import now
from worker.ledger.intents import COUNT_ATTEMPT, TAKE_BACK_ATTEMPT, fenced, settled, write
from worker.ledger.schema import candidate, person, registration
from worker.ledger.transactions import Write
from worker.model import Action, CandidateState, RegistrationState

if TYPE_CHECKING:
    from worker.ledger.batches import Claim
    from worker.ledger.intents import Outcome, Work

_SEND_PERSON = fenced(candidate, "state", "doing", "row_id", "sent_at")
_TURN_PERSON = fenced(candidate, "state")
_SEND_REGISTRATION = fenced(registration, "state", "doing", "row_id", "sent_at", "lms_id")
_TURN_REGISTRATION = fenced(registration, "state")
_KNOW_REGISTRATION = fenced(registration, "state", "lms_id")
_FORGET_PERSON = fenced(candidate, "state", "lms_id", "id_key")
_ANEW = fenced(registration, "state", "lms_id", "series")
_LEAVE_LIST = delete(person).where(
    person.c.connection == bindparam("b_connection"), person.c.lms_id == bindparam("b_lms_id")
)


def sending(claim: Claim, work: Work, action: Action, lms_id: str | None) -> tuple[Write, ...]:
    """Note that this is about to be sent, for what the LMS knows as `lms_id`."""
    count = Write(COUNT_ATTEMPT, {"b_id": work.row_id})
    values = {"b_doing": action, "b_row_id": work.row_id, "b_sent_at": now()}
    if action.is_about_a_person:
        sent = values | {"b_state": CandidateState.SENDING}
        return (write(_SEND_PERSON, work.candidate.id, claim, sent), count)
    sent = values | {"b_state": RegistrationState.SENDING, "b_lms_id": lms_id}
    return (write(_SEND_REGISTRATION, work.registration.id, claim, sent), count)


def undone(claim: Claim, work: Work, action: Action, *, unsent: bool = False) -> tuple[Write, ...]:
    """Note that nothing was done, to somebody or something that is there; `unsent`: not even an attempt."""
    if action.is_about_a_person:
        turned = write(_TURN_PERSON, work.candidate.id, claim, {"b_state": CandidateState.KNOWN})
    else:
        values = {"b_state": RegistrationState.REGISTERED}
        turned = write(_TURN_REGISTRATION, work.registration.id, claim, values)
    return (turned, Write(TAKE_BACK_ATTEMPT, {"b_id": work.row_id})) if unsent else (turned,)


def in_doubt(claim: Claim, work: Work, action: Action, outcome: Outcome) -> tuple[Write, ...]:
    """Note that nobody knows whether it was done, on the line and on the row."""
    if action.is_about_a_person:
        turned = write(_TURN_PERSON, work.candidate.id, claim, {"b_state": CandidateState.IN_DOUBT})
    else:
        values = {"b_state": RegistrationState.IN_DOUBT}
        turned = write(_TURN_REGISTRATION, work.registration.id, claim, values)
    return (turned, settled(claim, work, outcome))


def registration_is(claim: Claim, work: Work, state: RegistrationState, lms_id: str | None) -> tuple[Write, ...]:
    """Note how the LMS shows a registration, whoever made it so."""
    return (write(_KNOW_REGISTRATION, work.registration.id, claim, {"b_state": state, "b_lms_id": lms_id}),)


def person_is_there(claim: Claim, work: Work) -> tuple[Write, ...]:
    """Note that the LMS shows a person who was in doubt, or deactivated."""
    return (write(_TURN_PERSON, work.candidate.id, claim, {"b_state": CandidateState.KNOWN}),)


def person_left(claim: Claim, work: Work, connection: str, lms_id: str) -> tuple[Write, ...]:
    """Note that a person is deactivated; they leave the list of the LMS's people too."""
    return (
        write(_TURN_PERSON, work.candidate.id, claim, {"b_state": CandidateState.DEACTIVATED}),
        Write(_LEAVE_LIST, {"b_connection": connection, "b_lms_id": lms_id}),
    )


def person_is_new(claim: Claim, work: Work) -> tuple[Write, ...]:
    """Note that the LMS does not have them any more, so that they may be created anew."""
    values = {"b_state": CandidateState.NEW, "b_lms_id": None, "b_id_key": None}
    return (write(_FORGET_PERSON, work.candidate.id, claim, values),)


def registration_anew(claim: Claim, work: Work) -> tuple[tuple[Write, ...], Work]:
    """Note that a withdrawn registration is to be made again, under the next number; return the row as it is."""
    series = work.registration.series + 1
    values = {"b_state": RegistrationState.NEW, "b_lms_id": None, "b_series": series}
    line = replace(work.registration, state=RegistrationState.NEW, lms_id=None, series=series)
    return (write(_ANEW, work.registration.id, claim, values),), replace(work, registration=line)
