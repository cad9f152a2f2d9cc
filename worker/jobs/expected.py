"""Decide what the LMS should show of a row that is done, and what a difference means. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.errors import Refused
from worker.ledger.known_data import overlaid
from worker.ledger.verify import Finding
from worker.lms.contract import LookupMiss, RemoteState
from worker.model import Action, CandidateState, RegistrationState, Verdict
from worker.registration.action_rules import is_removal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.intents import WorkItem
    from worker.ledger.verify import DoneRow, LaterAction
    from worker.lms.contract import ActionRequest
    from worker.model import RosterRow
    from worker.registration.action_rules import Lookup

#: The states of a registration that another job is changing, or whose state at the LMS is unknown.
_UNCLEAR = frozenset({RegistrationState.IN_DOUBT, RegistrationState.SENDING})
#: Refusals of a read that show what the LMS has, rather than that reading is not allowed.
_ANSWERS = frozenset({"not_registered", "unknown_candidate"})
_CONTRADICTIONS = frozenset({"registration_mismatch", "ambiguous_registration"})


def expected_row(done: DoneRow) -> RosterRow | str:
    """Return the row as the LMS should show it now, later changes included; or why that is unknown."""
    work = done.work
    if work.row.action.is_about_person:
        return _expected_of_person(work, done.later)
    if work.registration.state in _UNCLEAR:
        return "Another job has sent something for the same registration, and whether it was done is in doubt"
    if work.registration.state is RegistrationState.WITHDRAWN:
        return replace(work.row, action=Action.WITHDRAW)
    if any(since.action is Action.WITHDRAW for since in done.later) or work.row.action is Action.WITHDRAW:
        # Registered again since, through this ledger: what came before the withdrawal is not shown.
        return replace(work.row, action=Action.REGISTER)
    completions = [since.row for since in done.later if since.action is Action.COMPLETE]
    if work.row.action is Action.COMPLETE and completions:
        last = completions[-1]
        return replace(work.row, score=last.score, success=last.success) if last else PURGED
    return work.row


PURGED = "It was changed since by a job whose rows were purged"
CAME_BACK = "This person was created again since, under another id, or their account was activated again"
UNKNOWN = "The ledger does not know the LMS's id of this person"


def _expected_of_person(work: WorkItem, later: Sequence[LaterAction]) -> RosterRow | str:
    if work.candidate.state is CandidateState.DEACTIVATED:
        return replace(work.row, action=Action.DEACTIVATE)
    if work.row.action is Action.DEACTIVATE:
        return CAME_BACK
    person = work.row.candidate
    for since in later:
        if since.action is not Action.UPDATE:
            continue
        if since.row is None:
            return PURGED
        person = overlaid(person, since.row.candidate)
    return replace(work.row, candidate=person)


def judge(work: WorkItem, request: ActionRequest, state: Lookup) -> Finding:
    """Return what the state at the LMS means for a row that is done according to its status."""
    if isinstance(state, Refused) and state.code in _ANSWERS:
        state = LookupMiss.ABSENT
    if isinstance(state, Refused):
        if state.code in _CONTRADICTIONS:
            return _differs(work, "verified_otherwise", state.message)
        return cannot_be_verified(work, f"The LMS does not allow the look-up ({state.message})")
    if state is LookupMiss.AMBIGUOUS:
        message = (
            "The LMS shows several registrations of this person on this course; withdraw the surplus ones there"
        )
        return _differs(work, "verified_otherwise", message)
    if state is LookupMiss.ABSENT:
        return _absent(work, request)
    if not isinstance(state, RemoteState):
        return cannot_be_verified(work, "This LMS offers no look-up for it")
    return _seen(work, request, state)


def _absent(work: WorkItem, request: ActionRequest) -> Finding:
    if is_removal(request.action):
        return _confirmed(work)
    if work.candidate.state is CandidateState.DEACTIVATED:
        return cannot_be_verified(work, "This person was deactivated since, and the LMS no longer shows them")
    what = "person" if request.action.is_about_person else "registration"
    return _differs(work, "verified_absent", f"The LMS does not show this {what}. {AGAIN}")


def _seen(work: WorkItem, request: ActionRequest, seen: RemoteState) -> Finding:
    known = None if request.action.is_about_person else request.registration_id
    if not seen.is_done:
        what = "person" if request.action.is_about_person else "registration"
        shown = "still there" if request.action is Action.DEACTIVATE else seen.description
        return _differs(work, "verified_otherwise", f"The LMS shows this {what} differently: {shown}. {AGAIN}")
    if known and seen.lms_id and known != seen.lms_id and not is_removal(request.action):
        message = f"The LMS shows it under another id ({seen.lms_id}): it was made again there"
        return _differs(work, "verified_otherwise", message)
    return _confirmed(work)


AGAIN = "Nothing was sent. If this row is right, upload the file of these rows (.differs.csv) with `--again`"


def _confirmed(work: WorkItem) -> Finding:
    return Finding(row_id=work.row_id, verdict=Verdict.CONFIRMED)


def _differs(work: WorkItem, code: str, message: str) -> Finding:
    return Finding(row_id=work.row_id, verdict=Verdict.DIFFERS, error=message, code=code)


def cannot_be_verified(work: WorkItem, why: str) -> Finding:
    """Return the finding that a row cannot be verified."""
    return Finding(
        row_id=work.row_id,
        verdict=Verdict.CANNOT_BE_VERIFIED,
        error=f"Cannot be verified: {why[0].lower()}{why[1:]}",
        code="cannot_be_verified",
    )
