"""What a look at the LMS means for a row that wants something done to what is there. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from worker.errors import AnswerLost, Refused
from worker.ledger.intents import Outcome
from worker.ledger.people import with_id
from worker.lms.contract import Deed, Seen, Unfound
from worker.model import Action, CandidateState, RegistrationState, RowStatus
from worker.registration.candidates import UNKNOWN
from worker.registration.idempotency import key_of

if TYPE_CHECKING:
    from worker.ledger.intents import Work
    from worker.registration.context import Desk

Looked: TypeAlias = "Seen | Unfound | Refused"
Pair: TypeAlias = "tuple[Work, Deed]"
Sight: TypeAlias = "tuple[Work, Deed, Seen]"
#: What was in doubt before this process began.
CUT_OFF = AnswerLost("The call for this row was cut off, or its answer was lost; perhaps it had its effect")
#: The aims after which the LMS may show nothing any more.
_ENDS = frozenset({Action.WITHDRAW, Action.DEACTIVATE})


def a_deed(desk: Desk, work: Work, candidate_id: str, action: Action) -> Deed:
    """Return what a row wants done, as the connector is to be asked for it."""
    about_a_person = action.is_about_a_person
    course = work.row.course
    if course is not None:
        course = with_id(course, desk.course_ids.get(course.key))
    return Deed(
        row_id=work.row_id,
        action=action,
        row=replace(work.row, course=course),
        candidate_id=candidate_id,
        key="" if about_a_person else key_of(desk, work, candidate_id),
        registration_id=None if about_a_person else work.registration.lms_id,
    )


def ends(action: Action) -> bool:
    """Tell whether the LMS may show nothing any more when this is done."""
    return action in _ENDS


def is_mine(work: Work, action: Action) -> bool:
    """Tell whether the claim holds what this changes."""
    return work.candidate.mine if action.is_about_a_person else work.registration.mine


def doing(work: Work, deed: Deed) -> Action | None:
    """Return what was sent last for the same registration or person."""
    return work.candidate.doing if deed.action.is_about_a_person else work.registration.doing


def is_in_doubt(work: Work, deed: Deed) -> bool:
    """Tell whether a call was sent before of which nobody knows whether it had its effect."""
    if deed.action.is_about_a_person:
        line_in_doubt = work.candidate.state is CandidateState.IN_DOUBT
    else:
        line_in_doubt = work.registration.state is RegistrationState.IN_DOUBT
    return line_in_doubt or (work.status is RowStatus.IN_DOUBT and work.row.action is deed.action)


def was_there(work: Work, deed: Deed) -> bool:
    """Tell whether the ledger knows that what this is about was there: then an LMS that lags is asked again."""
    if deed.action.is_about_a_person:
        return work.candidate.job_id is not None and work.candidate.state is CandidateState.KNOWN
    return work.registration.state is RegistrationState.REGISTERED


def is_gone_by_us(work: Work, deed: Deed) -> bool:
    """Tell whether what is gone was withdrawn or deactivated through this ledger."""
    if deed.action is Action.WITHDRAW:
        return work.registration.state is RegistrationState.WITHDRAWN
    return deed.action is Action.DEACTIVATE and work.candidate.state is CandidateState.DEACTIVATED


def knowing(sight: Sight) -> Pair:
    """Return a deed with the id under which what it is about was seen."""
    work, deed, seen = sight
    return work, deed if deed.action.is_about_a_person else replace(deed, registration_id=seen.lms_id)


def lms_id_of(deed: Deed) -> str | None:
    """Return the LMS's id of what a deed is about, as far as it is known."""
    return deed.candidate_id if deed.action.is_about_a_person else deed.registration_id


def rejected(refused: Refused) -> Outcome:
    """Return what the report says of a row that the LMS refused, or would."""
    code = "action_refused" if refused.code == "already_so" else refused.code
    return Outcome(status=RowStatus.REJECTED, error=refused.message, code=code, http_status=refused.status)


def not_found(deed: Deed, sight: Looked) -> Outcome:
    """Return what the report says of a row for which nothing was found that could be changed."""
    if isinstance(sight, Refused):
        return rejected(sight)
    if deed.action.is_about_a_person:
        return UNKNOWN
    if sight is Unfound.ABSENT:
        return NOT_REGISTERED
    return SEVERAL if sight is Unfound.SEVERAL else UNCLEAR


NOT_REGISTERED = Outcome(
    status=RowStatus.REJECTED,
    error="This person is not registered on this course, as far as this account can see; register them first",
    code="not_registered",
)
SEVERAL = Outcome(
    status=RowStatus.REJECTED,
    error="This person has several registrations on this course; say which by registration_external_id",
    code="ambiguous_registration",
)
UNCLEAR = Outcome(
    status=RowStatus.REJECTED,
    error="The LMS does not show which registration is meant; give the registration_external_id or the course_id",
    code="registration_not_found",
)
