"""Reconcile calls in doubt, whose response is missing: look them up; what cannot be looked up waits for a person.

"Absent" is final only after several delayed reads. A look-up that fails decides nothing: it is repeated, in place
and then by a later run of the batch, until the connection's `doubt_minutes` after the call are over.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from worker.errors import AnswerLost, LmsError, LookupFailed, RetryLater, StopJob
from worker.ledger import intents
from worker.ledger.action_intents import registration_reopened
from worker.ledger.database import now
from worker.ledger.intents import RowOutcome
from worker.lms.contract import Enrolment, LookupMiss, RemoteRegistration
from worker.model import CandidateState, RegistrationState, RowStatus
from worker.quantities import counted
from worker.registration.context import combined

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import RegistrationRecord, WorkItem
    from worker.ledger.transactions import Write
    from worker.lms.contract import CandidateLookup, RegistrationLookup
    from worker.registration.context import JobContext


#: Total number of attempts of a call that was lost and certainly not done.
MAX_TRIES = 3
#: Between two runs of a batch whose look-ups fail: half the age of the doubt, within these bounds (seconds).
MIN_LOOKUP_WAIT, MAX_LOOKUP_WAIT = 2.0, 60.0


async def mark_candidate_in_doubt(context: JobContext, claim: Claim, work: WorkItem, lost: AnswerLost) -> None:
    """Record that the creation of this candidate is in doubt, on the candidate and on the row it was sent for."""
    writes = intents.state_changed(claim, work, work.candidate, CandidateState.IN_DOUBT)
    await context.ledger.commit(*writes, intents.row_outcome(claim, work, in_doubt_outcome(lost)))


async def reconcile_candidate(context: JobContext, claim: Claim, work: WorkItem) -> str | None:
    """Look a candidate in doubt up: return their id, or None when it remains in doubt or is new again.

    When it was certainly not created the candidate is `new` again; the caller reads that from the ledger.
    """
    found = await _find_candidate(context, work)
    if isinstance(found, str):
        ours = work.candidate.job_id == claim.job_id
        known = intents.candidate_created if ours else intents.candidate_found
        await context.ledger.commit(*known(claim, work, found))
        return found
    if found is LookupMiss.ABSENT:
        await context.ledger.commit(*intents.state_changed(claim, work, work.candidate, CandidateState.NEW))
    return None


async def _find_candidate(context: JobContext, work: WorkItem) -> CandidateLookup:
    """Look the candidate up until found, refused, or absent at the last pause. Raises LookupFailed."""
    found: CandidateLookup | None = None
    for pause in context.lookup_pauses:
        await context.sleep(pause)
        try:
            found = await context.connector.find_candidate(work.row.candidate, work.candidate.sent_at)
        except (RetryLater, StopJob):
            raise
        except AnswerLost:
            found = None
        except LmsError:
            return LookupMiss.NO_LOOKUP
        if found is not None and found is not LookupMiss.ABSENT:
            return found
    if found is None:
        raise_lookup_failed(context, work.candidate.sent_at)
    return found or LookupMiss.NO_LOOKUP


def raise_lookup_failed(context: JobContext, *sent_at: float | None) -> None:
    """Raise LookupFailed while one of the calls, sent at these times, is to be looked up again.

    `sent_at` is in seconds since 1970; returns when `doubt_seconds` are over for all of them.
    """
    age = now() - max((at for at in sent_at if at is not None), default=0.0)
    if age < context.doubt_seconds:
        wait = min(max(age / 2, MIN_LOOKUP_WAIT), MAX_LOOKUP_WAIT)
        raise LookupFailed(wait, LOOKUP_FAILED)


#: Why a job waits whose look-ups fail, as a person reads it.
LOOKUP_FAILED = "The LMS did not answer when a call without an answer was looked up; it is looked up again"


async def reconcile_registrations(
    context: JobContext, claim: Claim, pairs: Sequence[tuple[WorkItem, Enrolment]], lost: AnswerLost
) -> list[tuple[WorkItem, Enrolment]]:
    """Mark these rows in doubt, look them up, and return those that certainly were not registered."""
    await context.ledger.commit(
        *(
            write
            for work, _ in pairs
            for write in (
                *intents.state_changed(claim, work, work.registration, RegistrationState.IN_DOUBT),
                intents.row_outcome(claim, work, in_doubt_outcome(lost)),
            )
        )
    )
    return await look_up_registrations(context, claim, pairs, sent_at=now())


async def look_up_registrations(
    context: JobContext,
    claim: Claim,
    pairs: Sequence[tuple[WorkItem, Enrolment]],
    *,
    sent_at: float | None = None,
) -> list[tuple[WorkItem, Enrolment]]:
    """Look registrations in doubt up, delayed and repeated; return those that are absent for certain.

    `sent_at`: when they were sent (seconds since 1970), if the ledger was read before that. Raises LookupFailed.
    """
    waiting = list(pairs)
    for attempt, pause in enumerate(context.lookup_pauses, start=1):
        await context.sleep(pause)
        last = attempt == len(context.lookup_pauses)
        try:
            found = await context.connector.find_registrations([enrolment for _, enrolment in waiting])
        except (RetryLater, StopJob):
            raise
        except AnswerLost:
            if last:
                raise_lookup_failed(context, sent_at, *(work.registration.sent_at for work, _ in waiting))
            continue
        except LmsError:
            return []
        waiting = await _record_found(context, claim, waiting, found, is_just_sent=sent_at is not None)
        absent = [pair for pair in waiting if found.get(pair[0].row_id) is LookupMiss.ABSENT]
        if last and absent:
            settled = [(_absent(claim, work), enrolment) for work, enrolment in absent]
            await context.ledger.commit(*combined(writes for (writes, _), _ in settled))
            return [(work, enrolment) for (_, work), enrolment in settled]
        waiting = absent
        if not waiting:
            break
    return []


def _absent(claim: Claim, work: WorkItem) -> tuple[tuple[Write, ...], WorkItem]:
    """Record that a registration is not at the LMS; nor is the one that it would have repeated."""
    if work.registration.is_repeat:
        return registration_reopened(claim, work)
    return intents.state_changed(claim, work, work.registration, RegistrationState.NEW), work


async def _record_found(
    context: JobContext,
    claim: Claim,
    waiting: Sequence[tuple[WorkItem, Enrolment]],
    found: Mapping[int, RegistrationLookup],
    *,
    is_just_sent: bool,
) -> list[tuple[WorkItem, Enrolment]]:
    """Record those that were found; return the others.

    `is_just_sent`: the claim's own job sent them, since the ledger was read.
    """
    left = []
    for work, enrolment in waiting:
        registration = found.get(work.row_id, LookupMiss.NO_LOOKUP)
        if isinstance(registration, RemoteRegistration):
            existed = registration.existed or _is_older(work.registration, registration)
            sender = claim.job_id if is_just_sent else work.registration.sender
            is_ours = sender in {None, claim.job_id}
            outcome = confirmed_outcome(replace(registration, existed=existed or not is_ours))
            made_by = None if existed else sender
            settled = intents.doubt_settled(work, outcome, made_by=made_by)
            await context.ledger.commit(*intents.registered(claim, work, outcome, made_by=made_by), settled)
        else:
            left.append((work, enrolment))
    return left


def _is_older(known: RegistrationRecord, found: RemoteRegistration) -> bool:
    """Return whether a registration that was found is an older one than the one in doubt.

    A withdrawal of it may be in doubt, instead of a new one, or the one that a repeat would have followed.
    """
    is_repeated = known.is_repeat and known.lms_id is not None and found.registration_id == known.lms_id
    return is_repeated or not known.is_being_made


def confirmed_outcome(found: RemoteRegistration) -> RowOutcome:
    """Return the outcome of a registration that the LMS confirms."""
    status = RowStatus.ALREADY_REGISTERED if found.existed else RowStatus.REGISTERED
    return RowOutcome(status=status, registration_id=found.registration_id, http_status=found.http_status)


def gave_up_outcome(lost: AnswerLost, tries: int) -> RowOutcome:
    """Return the outcome of a row that was sent several times, lost each time and never done."""
    return RowOutcome(
        status=RowStatus.NOT_ATTEMPTED,
        error=f"Sent {counted(tries, 'time')}, lost each time and not found at the LMS; retry the job to resend it",
        code="lost_each_time",
        http_status=lost.status,
    )


def in_doubt_outcome(lost: AnswerLost) -> RowOutcome:
    """Return the outcome of a row whose answer was lost, until a look-up or a person resolves it."""
    error = f"{lost}. Check it at the LMS, then use `roster resolve`"
    return RowOutcome(status=RowStatus.IN_DOUBT, error=error, code=lost.code, http_status=lost.status)
