"""Decide from what the LMS shows whether a row's action is needed, done, or impossible. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from worker.errors import AnswerLost, Refused
from worker.ledger.intents import RowOutcome
from worker.lms.contract import ActionRequest, LookupMiss, RemoteState
from worker.model import Action, CandidateState, RegistrationState, RowStatus
from worker.registration.candidates import UNKNOWN_CANDIDATE
from worker.registration.idempotency import idempotency_key

if TYPE_CHECKING:
    from worker.ledger.intents import WorkItem
    from worker.registration.context import JobContext

Lookup: TypeAlias = "RemoteState | LookupMiss | Refused"
RequestedAction: TypeAlias = "tuple[WorkItem, ActionRequest]"
ObservedAction: TypeAlias = "tuple[WorkItem, ActionRequest, RemoteState]"
#: The error of a call that was in doubt before this process began.
INTERRUPTED = AnswerLost("The call for this row was interrupted, or its answer was lost; it may have taken effect")
#: The actions after which the LMS may no longer show the registration or person.
_REMOVALS = frozenset({Action.WITHDRAW, Action.DEACTIVATE})


def action_request_for(context: JobContext, work: WorkItem, candidate_id: str, action: Action) -> ActionRequest:
    """Return the connector's request for a row's action."""
    about_a_person = action.is_about_person
    course = work.row.course
    if course is not None:
        course = course.with_id(context.course_ids.get(course.key))
    return ActionRequest(
        row_id=work.row_id,
        action=action,
        row=replace(work.row, course=course),
        candidate_id=candidate_id,
        idempotency_key="" if about_a_person else idempotency_key(context, work, candidate_id),
        registration_id=None if about_a_person else work.registration.lms_id,
    )


def is_removal(action: Action) -> bool:
    """Return whether the LMS may no longer show the registration or person once this is done."""
    return action in _REMOVALS


def is_claimed(work: WorkItem, action: Action) -> bool:
    """Return whether this claim holds the registration or person that the action changes."""
    return work.candidate.is_claimed if action.is_about_person else work.registration.is_claimed


def last_sent_action(work: WorkItem, request: ActionRequest) -> Action | None:
    """Return the action that was sent last for the same registration or person."""
    return work.candidate.pending_action if request.action.is_about_person else work.registration.pending_action


def is_in_doubt(work: WorkItem, request: ActionRequest) -> bool:
    """Return whether an earlier call for this row may or may not have taken effect."""
    if request.action.is_about_person:
        entry_in_doubt = work.candidate.state is CandidateState.IN_DOUBT
    else:
        entry_in_doubt = work.registration.state is RegistrationState.IN_DOUBT
    return entry_in_doubt or (work.status is RowStatus.IN_DOUBT and work.row.action is request.action)


def sent_time_of(work: WorkItem, request: ActionRequest) -> float | None:
    """Return when the last call for what an action changes was sent (seconds since 1970); None before the first."""
    return (work.candidate if request.action.is_about_person else work.registration).sent_at


def existed_before(work: WorkItem, request: ActionRequest) -> bool:
    """Return whether the registration or person existed according to the ledger; then an LMS may just lag."""
    if request.action.is_about_person:
        return work.candidate.job_id is not None and work.candidate.state is CandidateState.KNOWN
    return work.registration.state is RegistrationState.REGISTERED


def was_removed_by_us(work: WorkItem, request: ActionRequest) -> bool:
    """Return whether the registration or person was withdrawn or deactivated through this ledger."""
    if request.action is Action.WITHDRAW:
        return work.registration.state is RegistrationState.WITHDRAWN
    return request.action is Action.DEACTIVATE and work.candidate.state is CandidateState.DEACTIVATED


def with_observed_id(observed: ObservedAction) -> RequestedAction:
    """Return a request with the LMS's id of the registration that was read for it."""
    work, request, state = observed
    return work, request if request.action.is_about_person else replace(request, registration_id=state.lms_id)


def lms_id_of(request: ActionRequest) -> str | None:
    """Return the LMS's id of the registration or person of a request, if it is known."""
    return request.candidate_id if request.action.is_about_person else request.registration_id


def rejected_outcome(refused: Refused) -> RowOutcome:
    """Return the outcome of a row that the LMS refused, or would refuse."""
    code = "action_refused" if refused.code == "already_so" else refused.code
    status = RowStatus.INVALID if code == "other_person" else RowStatus.REJECTED
    return RowOutcome(status=status, error=refused.message, code=code, http_status=refused.status)


def not_found_outcome(request: ActionRequest, lookup: Lookup) -> RowOutcome:
    """Return the outcome of a row for which nothing was found that could be changed."""
    if isinstance(lookup, Refused):
        return rejected_outcome(lookup)
    if request.action.is_about_person:
        return UNKNOWN_CANDIDATE
    if lookup is LookupMiss.ABSENT:
        return NOT_REGISTERED
    return SEVERAL_REGISTRATIONS if lookup is LookupMiss.AMBIGUOUS else UNCLEAR_REGISTRATION


NOT_REGISTERED = RowOutcome(
    status=RowStatus.REJECTED,
    error="This account shows no registration of this person on this course; register them first",
    code="not_registered",
)
SEVERAL_REGISTRATIONS = RowOutcome(
    status=RowStatus.REJECTED,
    error="This person has several registrations on this course; give the registration_external_id of one",
    code="ambiguous_registration",
)
UNCLEAR_REGISTRATION = RowOutcome(
    status=RowStatus.REJECTED,
    error="The LMS does not show which registration is meant; give the registration_external_id or the course_id",
    code="registration_not_found",
)
