"""Run one batch: claim it, make sure of its candidates, register them, record every outcome. Knows no Celery.

What the other actions ask for is done in `deeds`.

What if the process dies here? Before a call its intent is in the ledger, after it the outcome; a claim that died
leaves its `sending` in doubt (`worker.ledger.batches.reap`), and nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import AnswerLost, LmsUnavailable, Refused, RetryLater, StaleClaim, StopJob
from worker.ledger import batches, intents
from worker.ledger.action_intents import registration_anew
from worker.ledger.database import now
from worker.ledger.intents import Outcome
from worker.ledger.leases import heartbeat
from worker.lms.contract import Enrolment, Registered
from worker.model import Action, RegistrationState, RowStatus
from worker.registration import actions
from worker.registration.candidates import Candidates, sort_out
from worker.registration.context import CourseStopped, Stopped
from worker.registration.directory import find_standing
from worker.registration.enrolments import Enrolling
from worker.registration.idempotency import key_of
from worker.registration.reconcile import look_up_registrations, outcome_of
from worker.registration.update_existing import refresh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.intents import Work
    from worker.registration.context import Desk
    from worker.registration.enrolments import Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnd:
    """How the work on a batch ended, and what that means for the job."""

    #: Another worker has the batch, or had it when this one came back.
    passed_over: bool = False
    #: Go on after this, when the LMS asked for a pause or could not be reached.
    later: RetryLater | None = None
    #: The LMS refuses the course.
    course: CourseStopped | None = None
    #: Every row would fail; a person must do something first.
    stop: StopJob | None = None
    #: A person paused, cancelled or interrupted the job, or the batch gave way to others.
    stopped: bool = False

    @property
    def word(self) -> str:
        """Return the end in a word, for a log."""
        ends = {
            "held": self.stop,
            "course refused": self.course,
            "later": self.later,
            "stopped": self.stopped,
            "passed over": self.passed_over,
        }
        return next((word for word, met in ends.items() if met), "done")


async def run_batch(batch_id: int, desk: Desk) -> BatchEnd:
    """Work a batch off as far as it goes now, and give the claim back."""
    claim = await desk.ledger.run(lambda tx: batches.claim_batch(tx, batch_id, desk.owner))
    if claim is None:
        return BatchEnd(passed_over=True)
    try:
        async with heartbeat(lambda: desk.ledger.run(lambda tx: batches.renew(tx, claim))):
            end = await _work_off(desk, claim)
    except StaleClaim:
        await desk.ledger.run(lambda tx: batches.release(tx, claim, closed=False, not_before=now() + 1.0))
        return BatchEnd(passed_over=True)
    except BaseException:
        await desk.ledger.run(lambda tx: batches.release(tx, claim, closed=False))
        raise
    await _release(desk, claim, end)
    return end


async def _release(desk: Desk, claim: Claim, end: BatchEnd) -> None:
    finished = end == BatchEnd()
    not_before = now() + end.later.seconds if end.later else None
    await desk.ledger.run(
        lambda tx: batches.release(tx, claim, closed=finished or end.course is not None, not_before=not_before)
    )


async def _work_off(desk: Desk, claim: Claim) -> BatchEnd:
    try:
        if claim.action is Action.REGISTER:
            await find_standing(desk, claim)
    except (AnswerLost, Refused):
        desk.look_before.add(claim.course_key)
    except (RetryLater, StopJob, Stopped) as error:
        return _end([error])
    works = await desk.ledger.run(lambda tx: intents.load_work(tx, claim))
    candidates = Candidates(desk, claim)
    if claim.action is not Action.REGISTER:
        return _end(await actions.work_off(desk, claim, candidates, works))
    size = desk.rows_per_call
    groups = [works[start : start + size] for start in range(0, len(works), size)]
    results = await asyncio.gather(
        *(_work_off_group(desk, claim, candidates, group) for group in groups), return_exceptions=True
    )
    return _end(results)


def _end(results: Sequence[BaseException | None]) -> BatchEnd:
    """Return the gravest of what the groups of a batch ended with."""
    ends: dict[type[BaseException], BaseException] = {}
    for result in results:
        if result is None:
            continue
        if isinstance(result, AnswerLost | Refused):
            result = LmsUnavailable(5.0, f"A look-up got no answer that could be used ({result})")  # noqa: PLW2901
        if not isinstance(result, StopJob | CourseStopped | Stopped | RetryLater):
            raise result
        kind = RetryLater if isinstance(result, RetryLater) else type(result)
        earlier = ends.get(kind)
        if isinstance(earlier, RetryLater) and isinstance(result, RetryLater) and earlier.seconds > result.seconds:
            continue
        ends[kind] = result
    stop, course, later = ends.get(StopJob), ends.get(CourseStopped), ends.get(RetryLater)
    return BatchEnd(
        stop=stop if isinstance(stop, StopJob) else None,
        course=course if isinstance(course, CourseStopped) else None,
        later=later if isinstance(later, RetryLater) else None,
        stopped=Stopped in ends,
    )


async def _work_off_group(desk: Desk, claim: Claim, candidates: Candidates, works: Sequence[Work]) -> None:
    """Work off the rows of one registering call; on the first trouble that stops the group, raise it at the end."""
    ready, trouble = await sort_out(desk, claim, candidates, works)
    if desk.update_existing:
        ready, untidy = await refresh(desk, claim, ready)
        trouble = trouble or untidy
    pairs = [await _pair(desk, claim, work, who) for work, who in ready]
    pairs, elsewhere = await _leave_to_others(desk, claim, pairs)
    trouble = trouble or elsewhere
    if not isinstance(trouble, StopJob | Stopped) and _worth_it(trouble, pairs, works):
        await _register(desk, claim, pairs)
        desk.rows_left -= len(pairs)
    if trouble is not None:
        raise trouble


async def _leave_to_others(desk: Desk, claim: Claim, pairs: Sequence[Pair]) -> tuple[list[Pair], RetryLater | None]:
    """Record what another job has registered meanwhile; leave for later what another is at work on."""
    mine: list[Pair] = []
    elsewhere = None
    for work, enrolment in pairs:
        if work.registration.state is RegistrationState.REGISTERED:
            outcome = Outcome(status=RowStatus.ALREADY_REGISTERED, registration_id=work.registration.lms_id)
            await desk.ledger.commit(intents.settled(claim, work, outcome))
        elif work.registration.mine:
            mine.append((work, enrolment))
        else:
            elsewhere = RetryLater(1.0, "Another job is at work on the same registration")
    return mine, elsewhere


def _worth_it(trouble: BaseException | None, pairs: Sequence[Pair], works: Sequence[Work]) -> bool:
    """Tell whether to register those that are ready, or to wait for the others and register all in one call."""
    if trouble is None:
        return bool(pairs)
    waits = isinstance(trouble, RetryLater) and not isinstance(trouble, LmsUnavailable)
    return not waits and len(pairs) == len(works)


async def _register(desk: Desk, claim: Claim, pairs: Sequence[Pair]) -> None:
    enrolling = Enrolling(desk, claim)
    doubtful = [pair for pair in pairs if pair[0].registration.state is RegistrationState.IN_DOUBT]
    absent: list[Pair] = []
    if doubtful:
        await _mark_in_doubt(desk, claim, doubtful)
        absent = [
            await _after_a_deed(desk, claim, pair) for pair in await look_up_registrations(desk, claim, doubtful)
        ]
    fresh = [pair for pair in pairs if pair[0].registration.state is RegistrationState.NEW]
    fresh = await _take_out_standing(desk, claim, fresh)
    await enrolling.enrol([*absent, *fresh])


async def _after_a_deed(desk: Desk, claim: Claim, pair: Pair) -> Pair:
    """Take the next number for a registration that turned out to be withdrawn, whose end had been in doubt."""
    work, enrolment = pair
    if work.registration.is_being_made:
        return pair
    return await _next_of_series(desk, claim, work, enrolment.candidate_id)


async def _take_out_standing(desk: Desk, claim: Claim, pairs: Sequence[Pair]) -> list[Pair]:
    """Record those who are registered already, as the list of the course says; return the others."""
    standing = desk.standing.get(claim.course_key, {})
    left = []
    for work, enrolment in pairs:
        known = standing.get(enrolment.candidate_id)
        if known is not None:
            found = Registered(registration_id=known or None, already=True)
            await desk.ledger.commit(*intents.registered(claim, work, outcome_of(found)))
        elif claim.course_key in desk.look_before and await _stands(desk, claim, work, enrolment):
            continue
        else:
            left.append((work, enrolment))
    return left


async def _stands(desk: Desk, claim: Claim, work: Work, enrolment: Enrolment) -> bool:
    if work.candidate.job_id == claim.job_id or work.candidate.id in desk.created:
        return False
    found = (await desk.connector.find_registrations([enrolment])).get(work.row_id)
    if not isinstance(found, Registered):
        return False
    if found.course_id is not None:
        desk.course_ids.setdefault(claim.course_key, found.course_id)
    await desk.ledger.commit(*intents.registered(claim, work, outcome_of(found)))
    return True


async def _mark_in_doubt(desk: Desk, claim: Claim, pairs: Sequence[Pair]) -> None:
    """Say on rows whose registration an earlier job left in doubt that nothing was sent for them now."""
    outcome = Outcome(
        status=RowStatus.IN_DOUBT,
        error="This registration was sent before and its answer was lost; "
        "look for it at the LMS, then use `roster resolve`",
        code="answer_lost",
    )
    fresh = [work for work, _ in pairs if work.status is not RowStatus.IN_DOUBT]
    await desk.ledger.commit(*(intents.settled(claim, work, outcome) for work in fresh))


async def _pair(desk: Desk, claim: Claim, work: Work, candidate_id: str) -> Pair:
    """Return a row with its enrolment; a withdrawn registration keeps our key, so the next number is taken."""
    if work.registration.state is RegistrationState.WITHDRAWN and work.registration.mine:
        return await _next_of_series(desk, claim, work, candidate_id)
    return work, _enrolment(desk, work, candidate_id)


async def _next_of_series(desk: Desk, claim: Claim, work: Work, candidate_id: str) -> Pair:
    writes, work = registration_anew(claim, work)
    await desk.ledger.commit(*writes)
    return work, _enrolment(desk, work, candidate_id)


def _enrolment(desk: Desk, work: Work, candidate_id: str) -> Enrolment:
    return Enrolment(
        row_id=work.row_id, candidate_id=candidate_id, row=work.row, key=key_of(desk, work, candidate_id)
    )
