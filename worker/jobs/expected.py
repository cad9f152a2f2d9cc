"""What the LMS should show of a row that is done, and what it means that it shows something else. Pure."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

from worker.errors import Refused
from worker.ledger.verify import Finding
from worker.lms.contract import Seen, Unfound
from worker.model import Action, CandidateState, RegistrationState, Verdict
from worker.registration.action_rules import ends

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.intents import Work
    from worker.ledger.verify import DoneRow, Later
    from worker.lms.contract import Deed
    from worker.model import Candidate, RosterRow
    from worker.registration.action_rules import Looked

#: A registration under way of which nobody knows how it stands.
_UNCLEAR = frozenset({RegistrationState.IN_DOUBT, RegistrationState.SENDING})
#: Refusals of a look that say what the LMS has, and not that one may not look.
_ANSWERS = frozenset({"not_registered", "unknown_candidate"})
_CONTRADICTIONS = frozenset({"registration_mismatch", "ambiguous_registration"})


def expected(done: DoneRow) -> RosterRow | str:
    """Return the row as it should show now, what was done since included; or why that cannot be said."""
    work = done.work
    if work.row.action.is_about_a_person:
        return _expected_of_person(work, done.later)
    if work.registration.state in _UNCLEAR:
        return "Another job has sent something for the same registration, and whether it was done is in doubt"
    if work.registration.state is RegistrationState.WITHDRAWN:
        return replace(work.row, action=Action.WITHDRAW)
    if any(since.action is Action.WITHDRAW for since in done.later) or work.row.action is Action.WITHDRAW:
        # Registered again since, through this ledger: what came before the withdrawal shows no more.
        return replace(work.row, action=Action.REGISTER)
    completions = [since.row for since in done.later if since.action is Action.COMPLETE]
    if work.row.action is Action.COMPLETE and completions:
        last = completions[-1]
        return replace(work.row, score=last.score, success=last.success) if last else PURGED
    return work.row


PURGED = "It was changed since by a job whose rows were purged"
CAME_BACK = "This person was created anew since, under another id"
UNKNOWN = "The ledger does not know the LMS's id of this person"


def _expected_of_person(work: Work, later: Sequence[Later]) -> RosterRow | str:
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
        person = _overlaid(person, since.row.candidate)
    return replace(work.row, candidate=person)


def _overlaid(person: Candidate, newer: Candidate) -> Candidate:
    """Return somebody with what a later row says of the same things."""
    given = {each.name: getattr(newer, each.name) for each in fields(newer) if each.name != "fields"}
    values = {name: value for name, value in given.items() if value is not None}
    return replace(person, **values, fields={**person.fields, **newer.fields})


def judge(work: Work, deed: Deed, sight: Looked) -> Finding:
    """Return what a look at the LMS means for a row that is said to be done."""
    if isinstance(sight, Refused) and sight.code in _ANSWERS:
        sight = Unfound.ABSENT
    if isinstance(sight, Refused):
        if sight.code in _CONTRADICTIONS:
            return _differs(work, "verified_otherwise", sight.message)
        return cannot(work, f"The LMS does not let us look ({sight.message})")
    if sight is Unfound.SEVERAL:
        message = "The LMS shows several registrations of this person on this course; withdraw those too many there"
        return _differs(work, "verified_otherwise", message)
    if sight is Unfound.NO_LOOKUP:
        return cannot(work, "This LMS offers no look-up for it")
    if sight is Unfound.ABSENT:
        return _absent(work, deed)
    return _seen(work, deed, sight)


def _absent(work: Work, deed: Deed) -> Finding:
    if ends(deed.action):
        return _confirmed(work)
    if work.candidate.state is CandidateState.DEACTIVATED:
        return cannot(work, "This person was deactivated since, and the LMS shows nothing of them any more")
    what = "person" if deed.action.is_about_a_person else "registration"
    return _differs(work, "verified_absent", f"The LMS does not show this {what} (any more). {AGAIN}")


def _seen(work: Work, deed: Deed, seen: Seen) -> Finding:
    known = None if deed.action.is_about_a_person else deed.registration_id
    if not seen.reached:
        what = "person" if deed.action.is_about_a_person else "registration"
        shown = "still there" if deed.action is Action.DEACTIVATE else seen.shown
        return _differs(work, "verified_otherwise", f"The LMS shows this {what} otherwise: {shown}. {AGAIN}")
    if known and seen.lms_id and known != seen.lms_id and not ends(deed.action):
        message = f"The LMS shows it under another id ({seen.lms_id}): somebody made it anew there"
        return _differs(work, "verified_otherwise", message)
    return _confirmed(work)


AGAIN = (
    "Nothing was sent. If it should be as this row says, drop the file of these rows (.differs.csv) with `--again`"
)


def _confirmed(work: Work) -> Finding:
    return Finding(row_id=work.row_id, verdict=Verdict.CONFIRMED)


def _differs(work: Work, code: str, message: str) -> Finding:
    return Finding(row_id=work.row_id, verdict=Verdict.DIFFERS, error=message, code=code)


def cannot(work: Work, why: str) -> Finding:
    """Return the finding that a row cannot be verified."""
    return Finding(
        row_id=work.row_id,
        verdict=Verdict.CANNOT_BE_VERIFIED,
        error=f"Cannot be verified: {why[0].lower()}{why[1:]}",
        code="cannot_be_verified",
    )
