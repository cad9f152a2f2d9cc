"""In doubt: a call was sent and its answer is missing. Look it up; what cannot be looked up waits for a person.

"Absent" is believed only after several delayed reads. A look-up that fails settles nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.errors import AnswerLost, LmsError, RetryLater, StopJob
from worker.ledger import intents
from worker.ledger.intents import Outcome
from worker.lms.contract import Enrolment, Registered, Unfound
from worker.model import CandidateState, RegistrationState, RowStatus

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import Work
    from worker.lms.contract import FoundCandidate, FoundRegistration
    from worker.registration.context import Desk


#: What was lost and surely not done is sent again so often in all.
LONGEST_TRY = 3


async def doubt_candidate(desk: Desk, claim: Claim, work: Work, lost: AnswerLost) -> None:
    """Note that the creation of this candidate is in doubt, on the candidate and on the row it was sent for."""
    turned = intents.candidate_turned(claim, work, CandidateState.IN_DOUBT)
    await desk.ledger.commit(*turned, intents.settled(claim, work, doubtful(lost)))


async def settle_candidate(desk: Desk, claim: Claim, work: Work) -> str | None:
    """Look a candidate in doubt up: return their id, or None when it stays in doubt or is new again.

    When it was surely not created the candidate is `new` again; the caller sees that in the ledger's line.
    """
    found = await _look_again(desk, work)
    if isinstance(found, str):
        ours = work.candidate.job_id == claim.job_id
        known = intents.candidate_created if ours else intents.candidate_found
        await desk.ledger.commit(*known(claim, work, found))
        return found
    if found is Unfound.ABSENT:
        await desk.ledger.commit(*intents.candidate_turned(claim, work, CandidateState.NEW))
    return None


async def _look_again(desk: Desk, work: Work) -> FoundCandidate:
    found: FoundCandidate = Unfound.NO_LOOKUP
    for pause in desk.lookup_pauses:
        await desk.sleep(pause)
        try:
            found = await desk.connector.find_candidate(work.row.candidate, work.candidate.sent_at)
        except (RetryLater, StopJob):
            raise
        except LmsError:
            found = Unfound.NO_LOOKUP
        if found is not Unfound.ABSENT:
            return found
    return found


async def settle_registrations(
    desk: Desk, claim: Claim, pairs: Sequence[tuple[Work, Enrolment]], lost: AnswerLost
) -> list[tuple[Work, Enrolment]]:
    """Mark these rows in doubt, look them up, and return those that surely were not registered."""
    await desk.ledger.commit(
        *(
            write
            for work, _ in pairs
            for write in (
                *intents.registration_turned(claim, work, RegistrationState.IN_DOUBT),
                intents.settled(claim, work, doubtful(lost)),
            )
        )
    )
    return await look_up_registrations(desk, claim, pairs)


async def look_up_registrations(
    desk: Desk, claim: Claim, pairs: Sequence[tuple[Work, Enrolment]]
) -> list[tuple[Work, Enrolment]]:
    """Look registrations in doubt up, delayed and repeated; return those that are believed absent."""
    waiting = list(pairs)
    for turn, pause in enumerate(desk.lookup_pauses, start=1):
        await desk.sleep(pause)
        found = await _find(desk, waiting)
        if found is None:
            return []
        last = turn == len(desk.lookup_pauses)
        waiting = await _settle_found(desk, claim, waiting, found)
        absent = [pair for pair in waiting if found.get(pair[0].row_id) is Unfound.ABSENT]
        if last and absent:
            turned = [intents.registration_turned(claim, work, RegistrationState.NEW) for work, _ in absent]
            await desk.ledger.commit(*(write for writes in turned for write in writes))
            return absent
        waiting = absent
        if not waiting:
            break
    return []


async def _find(desk: Desk, waiting: Sequence[tuple[Work, Enrolment]]) -> Mapping[int, FoundRegistration] | None:
    try:
        return await desk.connector.find_registrations([enrolment for _, enrolment in waiting])
    except (RetryLater, StopJob):
        raise
    except LmsError:
        return None


async def _settle_found(
    desk: Desk,
    claim: Claim,
    waiting: Sequence[tuple[Work, Enrolment]],
    found: Mapping[int, FoundRegistration],
) -> list[tuple[Work, Enrolment]]:
    """Record those that were found; return the others."""
    left = []
    for work, enrolment in waiting:
        what = found.get(work.row_id, Unfound.NO_LOOKUP)
        if isinstance(what, Registered):
            # What is in doubt may be what became of a registration that had been there before.
            what = replace(what, already=what.already or not work.registration.is_being_made)
            await desk.ledger.commit(*intents.registered(claim, work, outcome_of(what)))
        else:
            left.append((work, enrolment))
    return left


def outcome_of(found: Registered) -> Outcome:
    """Return what the report says of a registration that the LMS confirms."""
    status = RowStatus.ALREADY_REGISTERED if found.already else RowStatus.REGISTERED
    return Outcome(status=status, registration_id=found.registration_id, http_status=found.http_status)


def given_up(lost: AnswerLost, tries: int) -> Outcome:
    """Return what the report says of a row that was sent several times, lost each time and never done."""
    return Outcome(
        status=RowStatus.NOT_ATTEMPTED,
        error=f"Sent {tries} times, lost each time and not found at the LMS; resume the job to try again",
        code="answer_lost",
        http_status=lost.status,
    )


def doubtful(lost: AnswerLost) -> Outcome:
    """Return what the report says of a row whose answer was lost, until a look-up or a person settles it."""
    error = f"{lost}. Look for them at the LMS, then use `roster resolve`"
    return Outcome(status=RowStatus.IN_DOUBT, error=error, code=lost.code, http_status=lost.status)
