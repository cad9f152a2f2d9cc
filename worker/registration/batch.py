"""Run one batch: claim it, resolve its candidates, register them, record every outcome. Independent of Celery.

The other actions are in `actions`.

If the process dies: before a call its intent is in the ledger, after it the outcome. An expired claim leaves its
`sending` in doubt (`worker.ledger.batches.reopen_abandoned`), and nothing else.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from worker.errors import (
    AnswerLost,
    HeldElsewhere,
    LmsUnavailable,
    LookupFailed,
    Refused,
    RetryLater,
    StaleClaim,
    StopJob,
)
from worker.ledger import batches, intents
from worker.ledger.action_intents import registration_reopened
from worker.ledger.course_change import COURSE_CODES
from worker.ledger.database import now
from worker.ledger.intents import RowOutcome
from worker.ledger.leases import heartbeat
from worker.lms.contract import Enrolment, LookupMiss, RemoteRegistration, bulk
from worker.model import Action, RegistrationState, RowStatus
from worker.registration import actions
from worker.registration.activation import activate_people
from worker.registration.candidates import CandidateResolver, resolve_candidates
from worker.registration.confirmation import confirm_course
from worker.registration.context import CourseStopped, Stopped
from worker.registration.directory import load_course_list, load_existing_registrations
from worker.registration.enrolments import EnrolmentRunner
from worker.registration.idempotency import idempotency_key
from worker.registration.known_people import compare_known_people
from worker.registration.reconcile import confirmed_outcome, look_up_registrations
from worker.registration.update_existing import update_existing_people

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.database import Transaction
    from worker.ledger.intents import WorkItem
    from worker.lms.contract import BulkConnector
    from worker.registration.context import JobContext
    from worker.registration.enrolments import RowEnrolment


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchEnd:
    """How the run of a batch ended, and what that means for the job."""

    #: Another worker has the batch, or took it over meanwhile.
    not_claimed: bool = False
    #: The LMS asked for a pause or could not be reached; continue after its `seconds`.
    retry_later: RetryLater | None = None
    #: The LMS refuses the course.
    course_stopped: CourseStopped | None = None
    #: Every row would fail; a person must do something first.
    stop: StopJob | None = None
    #: A person paused, cancelled or interrupted the job, or the batch yields to other jobs.
    stopped: bool = False

    @property
    def label(self) -> str:
        """Return a short name of the end, for a log."""
        ends = {
            "held": self.stop,
            "course refused": self.course_stopped,
            "later": self.retry_later,
            "stopped": self.stopped,
            "passed over": self.not_claimed,
        }
        return next((word for word, met in ends.items() if met), "done")


async def run_batch(batch_id: int, context: JobContext) -> BatchEnd:
    """Process a batch as far as possible now, and release the claim."""
    claim = await context.ledger.run(lambda tx: batches.claim_batch(tx, batch_id, context.owner))
    if claim is None:
        return BatchEnd(not_claimed=True)
    try:
        async with heartbeat(lambda: context.ledger.run(lambda tx: batches.renew(tx, claim))):
            end = await _process(context, claim)
    except StaleClaim:
        await context.ledger.run(lambda tx: batches.release(tx, claim, closed=False, not_before=now() + 1.0))
        return BatchEnd(not_claimed=True)
    except BaseException:
        await context.ledger.run(lambda tx: batches.release(tx, claim, closed=False))
        raise
    await _release(context, claim, end)
    return end


async def _release(context: JobContext, claim: Claim, end: BatchEnd) -> None:
    finished = end == BatchEnd()
    not_before = now() + end.retry_later.seconds if end.retry_later else None

    def release(tx: Transaction) -> None:
        batches.release(tx, claim, closed=finished or end.course_stopped is not None, not_before=not_before)
        if end.course_stopped is not None:
            # In this transaction, so that no other batch of the course starts.
            course = end.course_stopped
            batches.give_up_course(tx, claim.job_id, course.course_key, course.message, course.code)
        if finished:
            batches.pass_canary_on(tx, claim)
        if isinstance(end.retry_later, HeldElsewhere):
            # Of the other batch's job, nobody else may be checking whether its process is alive.
            batches.reopen_abandoned(tx)

    await context.ledger.run(release)


async def _process(context: JobContext, claim: Claim) -> BatchEnd:
    try:
        if claim.action is Action.REGISTER:
            await load_existing_registrations(context, claim)
    except (AnswerLost, Refused) as error:
        if bulk(context.connector):
            # Nobody is created for a course that cannot be found.
            return _batch_end([await _course_error(context, claim, error)])
        context.check_courses_first.add(claim.course_key)
    except (RetryLater, StopJob, Stopped) as error:
        return _batch_end([error])
    works = await context.ledger.run(lambda tx: intents.load_items(tx, claim))
    resolver = CandidateResolver(context, claim)
    if claim.action is not Action.REGISTER:
        return _batch_end(await actions.run_actions(context, claim, resolver, works))
    connector = bulk(context.connector)
    if connector is not None and not works:
        return await _confirm(context, claim, connector)
    size = context.rows_per_call
    groups = [works[start : start + size] for start in range(0, len(works), size)]
    results = await asyncio.gather(
        *(_process_group(context, claim, resolver, group) for group in groups), return_exceptions=True
    )
    return _batch_end(results)


async def _confirm(context: JobContext, claim: Claim, connector: BulkConnector) -> BatchEnd:
    """Compare what the job registered on the course with its list, in the batch that has no rows for that."""
    try:
        await confirm_course(context, claim, connector)
    except Refused as refused:
        message = f"What was registered could not be compared with the list of the course: {refused}"
        return _batch_end([StopJob("not_allowed", message, refused.status)])
    except (AnswerLost, RetryLater, StopJob, Stopped) as error:
        return _batch_end([error])
    return BatchEnd()


async def _course_error(context: JobContext, claim: Claim, error: AnswerLost | Refused) -> BaseException:
    return await _refuse_course(context, claim, error) if isinstance(error, Refused) else error


async def _refuse_course(context: JobContext, claim: Claim, refused: Refused) -> CourseStopped:
    """Record on a batch's rows that their course cannot be used, unless the job has no other; return the error."""
    if not context.only_course:
        works = await context.ledger.run(lambda tx: intents.load_items(tx, claim))
        code = refused.code if refused.code in COURSE_CODES else "unknown_course"
        outcome = RowOutcome(
            status=RowStatus.REJECTED, error=refused.message, code=code, http_status=refused.status
        )
        waiting = [work for work in works if work.status is RowStatus.NOT_ATTEMPTED]
        await context.ledger.commit(*(intents.row_outcome(claim, work, outcome) for work in waiting))
    return CourseStopped(claim.course_key, "course_refused", refused.message)


def _batch_end(results: Sequence[BaseException | None]) -> BatchEnd:
    """Return the most serious of the errors that the groups of a batch ended with."""
    ends: dict[type[BaseException], BaseException] = {}
    for result in results:
        if result is None:
            continue
        if isinstance(result, AnswerLost | Refused):
            result = LmsUnavailable(5.0, f"A look-up got no usable answer ({result})")  # noqa: PLW2901
        if not isinstance(result, StopJob | CourseStopped | Stopped | RetryLater):
            raise result
        kind = RetryLater if isinstance(result, RetryLater) else type(result)
        earlier = ends.get(kind)
        if isinstance(earlier, RetryLater) and isinstance(result, RetryLater) and _outlasts(earlier, result):
            continue
        ends[kind] = result
    stop, course, later = ends.get(StopJob), ends.get(CourseStopped), ends.get(RetryLater)
    return BatchEnd(
        stop=stop if isinstance(stop, StopJob) else None,
        course_stopped=course if isinstance(course, CourseStopped) else None,
        retry_later=later if isinstance(later, RetryLater) else None,
        stopped=Stopped in ends,
    )


def _outlasts(earlier: RetryLater, later: RetryLater) -> bool:
    """Return whether the first of two reasons to wait is the one to report: a longer one, and rather the LMS's."""
    is_held = isinstance(earlier, HeldElsewhere)
    return earlier.seconds > later.seconds if is_held == isinstance(later, HeldElsewhere) else not is_held


async def _process_group(
    context: JobContext, claim: Claim, resolver: CandidateResolver, works: Sequence[WorkItem]
) -> None:
    """Process the rows of one registering call; an error that interrupts the group is raised at the end."""
    ready, error = await resolve_candidates(context, claim, resolver, works)
    ready, inactive = await activate_people(context, claim, ready)
    error = error or inactive
    if context.update_existing:
        ready, failed = await update_existing_people(context, claim, ready)
    else:
        ready, failed = await compare_known_people(context, claim, ready)
    error = error or failed
    pairs = [await _with_enrolment(context, claim, work, candidate_id) for work, candidate_id in ready]
    pairs, busy = await _claimed_only(context, claim, pairs)
    error = error or busy
    if not isinstance(error, StopJob | Stopped) and _can_register_now(error, pairs, works):
        await _register_group(context, claim, pairs)
        context.rows_left -= len(pairs)
    if error is not None:
        raise error


async def _claimed_only(
    context: JobContext, claim: Claim, pairs: Sequence[RowEnrolment]
) -> tuple[list[RowEnrolment], HeldElsewhere | None]:
    """Record what another job has registered meanwhile; leave what another job is processing for later."""
    claimed: list[RowEnrolment] = []
    busy = None
    for work, enrolment in pairs:
        if _is_known(work):
            outcome = RowOutcome(status=RowStatus.ALREADY_REGISTERED, registration_id=work.registration.lms_id)
            await context.ledger.commit(intents.row_outcome(claim, work, outcome))
        elif work.registration.is_claimed:
            claimed.append((work, enrolment))
        else:
            busy = HeldElsewhere(1.0, "Another job is processing the same registration")
    return claimed, busy


def _is_known(work: WorkItem) -> bool:
    """Return whether a row's person is registered as far as is known, and the row itself makes nothing again."""
    if work.registration.is_repeat:
        return work.repeats != work.registration.series
    return work.registration.state is RegistrationState.REGISTERED


def _can_register_now(
    error: BaseException | None, pairs: Sequence[RowEnrolment], works: Sequence[WorkItem]
) -> bool:
    """Return whether to register those that are ready, rather than wait for the others and use one call for all."""
    if error is None or isinstance(error, LookupFailed):
        return bool(pairs)
    waits = isinstance(error, RetryLater) and not isinstance(error, LmsUnavailable)
    return not waits and len(pairs) == len(works)


async def _register_group(context: JobContext, claim: Claim, pairs: Sequence[RowEnrolment]) -> None:
    runner = EnrolmentRunner(context, claim)
    in_doubt = [pair for pair in pairs if _is_to_be_looked_up(context, pair[0])]
    absent: list[RowEnrolment] = []
    failed: LookupFailed | None = None
    if in_doubt:
        await _mark_in_doubt(context, claim, in_doubt)
        try:
            found_absent = await look_up_registrations(context, claim, in_doubt)
            absent = [await _renumber_if_withdrawn(context, claim, pair) for pair in found_absent]
        except LookupFailed as error:
            failed = error
    fresh = [pair for pair in pairs if _is_fresh(context, pair[0])]
    fresh = await _skip_inactive(context, claim, fresh)
    fresh = await _skip_existing(context, claim, fresh)
    await runner.enrol([*absent, *fresh])
    if failed:
        raise failed


def _is_to_be_looked_up(context: JobContext, work: WorkItem) -> bool:
    """Return whether a registration is in doubt; of a person who was created just now there is none yet."""
    in_doubt = work.registration.state is RegistrationState.IN_DOUBT
    return in_doubt and not (work.registration.is_suspected and work.candidate.id in context.created)


def _is_fresh(context: JobContext, work: WorkItem) -> bool:
    if work.registration.state is RegistrationState.IN_DOUBT:
        return not _is_to_be_looked_up(context, work)
    return work.registration.is_repeat or work.registration.state is RegistrationState.NEW


async def _renumber_if_withdrawn(context: JobContext, claim: Claim, pair: RowEnrolment) -> RowEnrolment:
    """Take the next number of the series for a registration whose withdrawal was in doubt and is done."""
    work, enrolment = pair
    if work.registration.is_being_made:
        return pair
    return await _next_of_series(context, claim, work, enrolment.candidate_id)


async def _skip_existing(context: JobContext, claim: Claim, pairs: Sequence[RowEnrolment]) -> list[RowEnrolment]:
    """Record candidates who are registered already, as the list of the course shows; return the others."""
    existing = context.existing.get(claim.course_key, {})
    left = []
    for work, enrolment in pairs:
        known = existing.get(enrolment.candidate_id)
        if known is not None:
            found = RemoteRegistration(registration_id=known or None, existed=True)
            await context.ledger.commit(*intents.registered(claim, work, confirmed_outcome(found)))
        elif claim.course_key in context.check_courses_first and await _record_if_existing(
            context, claim, work, enrolment
        ):
            continue
        else:
            left.append((work, enrolment))
    return left


async def _skip_inactive(context: JobContext, claim: Claim, pairs: Sequence[RowEnrolment]) -> list[RowEnrolment]:
    """Read who is on the course, and reject those whose registration somebody made inactive; return the others."""
    connector = bulk(context.connector)
    if connector is None or all(_is_surely_absent(context, work) for work, _ in pairs):
        return list(pairs)
    try:
        sent_at = max((work.registration.sent_at or 0.0 for work, _ in pairs), default=0.0)
        await load_course_list(context, claim, connector, since=sent_at)
    except Refused as refused:
        raise await _refuse_course(context, claim, refused) from None
    inactive = context.inactive.get(claim.course_key, frozenset())
    left = [pair for pair in pairs if pair[1].may_activate or pair[1].candidate_id not in inactive]
    rejected = [pair for pair in pairs if pair not in left]
    await context.ledger.commit(*(intents.row_outcome(claim, work, INACTIVE) for work, _ in rejected))
    return left


def _is_surely_absent(context: JobContext, work: WorkItem) -> bool:
    """Return whether a person is new and no call was sent to register them, whatever was answered about it."""
    return work.candidate.id in context.created and work.registration.sent_at is None


INACTIVE = RowOutcome(
    status=RowStatus.REJECTED,
    error="This person is on the course already and is not active there: somebody suspended the enrolment, or its "
    "dates are over or to come. Run the row with `--again` to activate it",
    code="enrolment_inactive",
)


async def _record_if_existing(context: JobContext, claim: Claim, work: WorkItem, enrolment: Enrolment) -> bool:
    if work.candidate.job_id == claim.job_id or work.candidate.id in context.created:
        return False
    found = (await context.connector.find_registrations([enrolment])).get(work.row_id)
    if found is LookupMiss.AMBIGUOUS:
        await _record_ambiguous(context, claim, work, enrolment)
        return True
    if not isinstance(found, RemoteRegistration):
        return False
    if found.course_id is not None:
        context.course_ids.setdefault(claim.course_key, found.course_id)
    await context.ledger.commit(*intents.registered(claim, work, confirmed_outcome(found)))
    return True


async def _record_ambiguous(context: JobContext, claim: Claim, work: WorkItem, enrolment: Enrolment) -> None:
    """Record a candidate with several registrations on the course, or with one on a course of the same name."""
    if enrolment.course.course_id is not None:
        several = RemoteRegistration(registration_id=None, existed=True)
        await context.ledger.commit(*intents.registered(claim, work, confirmed_outcome(several)))
        return
    await context.ledger.commit(intents.row_outcome(claim, work, AMBIGUOUS_COURSE))


AMBIGUOUS_COURSE = RowOutcome(
    status=RowStatus.REJECTED,
    error="This person is registered on a course of this name, and the LMS does not show whether it is the only "
    "course of that name; give the course_id",
    code="ambiguous_course",
)


async def _mark_in_doubt(context: JobContext, claim: Claim, pairs: Sequence[RowEnrolment]) -> None:
    """Record on rows whose registration an earlier job left in doubt that nothing was sent for them now."""
    outcome = RowOutcome(
        status=RowStatus.IN_DOUBT,
        error="This registration was sent before and its answer was lost; "
        "check it at the LMS, then use `roster resolve`",
        code="answer_lost",
    )
    fresh = [work for work, _ in pairs if work.status is not RowStatus.IN_DOUBT]
    await context.ledger.commit(*(intents.row_outcome(claim, work, outcome) for work in fresh))


async def _with_enrolment(context: JobContext, claim: Claim, work: WorkItem, candidate_id: str) -> RowEnrolment:
    """Return a row with its enrolment; a withdrawn registration keeps its key, so the next number is used."""
    if work.registration.state is RegistrationState.WITHDRAWN and work.registration.is_claimed:
        return await _next_of_series(context, claim, work, candidate_id)
    work = work.repeated() or work
    return work, _enrolment(context, work, candidate_id)


async def _next_of_series(context: JobContext, claim: Claim, work: WorkItem, candidate_id: str) -> RowEnrolment:
    writes, work = registration_reopened(claim, work)
    await context.ledger.commit(*writes)
    return work, _enrolment(context, work, candidate_id)


def _enrolment(context: JobContext, work: WorkItem, candidate_id: str) -> Enrolment:
    """Return the registration to make for a row, on the course by its id where the LMS has shown it."""
    course = work.row.course
    known = context.course_ids.get(course.key) if course else None
    return Enrolment(
        row_id=work.row_id,
        candidate_id=candidate_id,
        row=replace(work.row, course=course.with_id(known)) if course and known else work.row,
        idempotency_key=idempotency_key(context, work, candidate_id),
        # A number above 0 has a registration that Roster withdrew, or that is made again because a person said so.
        may_activate=context.again or work.registration.number > 0,
    )
