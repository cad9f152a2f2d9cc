"""Read a job's done rows back at the LMS and record whether it agrees. Reads only; nothing is sent again.

Lists of courses and people are read where they take fewer calls than single look-ups (the connector decides). What
the LMS does not show as expected is read again after pauses, where it may lag behind its own writes.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from worker import bootstrap
from worker.errors import (
    AnswerLost,
    LmsError,
    LmsUnavailable,
    RateLimited,
    Refused,
    RetryLater,
    StopJob,
    UsageError,
)
from worker.jobs import expected, lifecycle
from worker.jobs.expected import cannot_be_verified, judge
from worker.jobs.time_limits import within
from worker.ledger import verify as verifying
from worker.ledger.verify import Finding
from worker.lms.contract import ActionRequest, LookupMiss, RemoteState, bulk
from worker.model import Verdict
from worker.quantities import counted
from worker.registration.breaker import OutageBudget
from worker.registration.counters import JobCounters
from worker.registration.idempotency import idempotency_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.bootstrap import Services
    from worker.jobs.time_limits import TimeLimits
    from worker.ledger.database import Transaction
    from worker.ledger.intents import WorkItem
    from worker.ledger.verify import DoneRow
    from worker.model import RosterRow
    from worker.registration.action_rules import Lookup, RequestedAction
    from worker.registration.context import JobContext
    from worker.settings import Connection


def rows_to_verify(tx: Transaction, job_id: int) -> list[DoneRow]:
    """Return the rows of a job whose status says that they are done.

    Raises UsageError when the job is still running, was purged, or has no such row.
    """
    job = lifecycle.get_unpurged_job(tx, job_id)
    if not job.has_ended and not job.state.is_idle:
        raise UsageError(
            f"Job {job_id} is {job.state}; verify it when it has ended, or `roster pause {job_id}` first"
        )
    rows = verifying.done_rows(tx, job_id)
    if not rows:
        raise UsageError(f"Job {job_id} has no row that is done: there is nothing to verify")
    return rows


async def verify_job(
    services: Services,
    job_id: int,
    connection: Connection,
    rows: Sequence[DoneRow],
    report: Callable[[str], None],
    *,
    limits: TimeLimits | None = None,
) -> LmsError | None:
    """Read rows of a job back over a session of its own, at the shared pace; return what stopped it, if so.

    `report` is called with a sentence about the progress. Without `limits` it takes as long as it takes.
    """
    lms_session = bootstrap.open_lms_session(services, connection)
    client = bootstrap.open_lms_client(lms_session, job_id)
    memory = bootstrap.pace_key(connection)
    counters = JobCounters(ledger=services.ledger, job_id=job_id, client=client, pace_key=memory)
    context = bootstrap.open_job_context(services, connection, job_id, client, lambda: None)
    context.rows_left = len(rows)
    longest_pause, budget = connection.longest_pause_seconds, OutageBudget()
    if limits is not None:
        longest_pause = min(longest_pause, limits.silent_seconds)
        budget = OutageBudget(unreachable_seconds=limits.silent_seconds)
    reading = verify_rows(_Verification(context, budget, longest_pause), rows, report=report)
    try:
        await (reading if limits is None else within(limits, reading, lms_session, row_count=len(rows)))
    except LmsError as error:
        return error
    finally:
        await counters.flush(context)
        await lms_session.close()
    return None


async def verify_rows(
    verification: _Verification, rows: Sequence[DoneRow], *, report: Callable[[str], None]
) -> None:
    """Read these rows back, course by course, and record the findings of each course.

    Raises StopJob when the LMS refuses the credentials, is away for long or asks for a long pause.
    """
    context = verification.context
    groups: dict[tuple[str, str], list[RequestedAction]] = {}
    unclear: list[Finding] = []
    for done in rows:
        wanted = expected.expected_row(done)
        if isinstance(wanted, str):
            unclear.append(cannot_be_verified(done.work, wanted))
        elif done.work.candidate.lms_id is None:
            unclear.append(cannot_be_verified(done.work, expected.UNKNOWN))
        else:
            course = wanted.course.key if wanted.course and not wanted.action.is_about_person else ""
            request = _request_for(context, done.work, wanted)
            groups.setdefault((wanted.action, course), []).append((done.work, request))
    await context.ledger.run(lambda tx: verifying.save_findings(tx, context.job_id, unclear))
    count = len(unclear)
    for pairs in groups.values():
        findings = await verification.findings(pairs)
        await context.ledger.run(partial(verifying.save_findings, job_id=context.job_id, findings=findings))
        count += len(findings)
        report(f"{count} of {counted(len(rows), 'row')} read back")


class _Verification:
    """The reads of one verification."""

    def __init__(self, context: JobContext, outage_budget: OutageBudget, longest_pause: float) -> None:
        self.context = context
        self.outage_budget = outage_budget
        self.longest_pause = longest_pause

    async def findings(self, pairs: Sequence[RequestedAction]) -> list[Finding]:
        """Read rows of one course and action; after each pause, read those again that differ."""
        pairs = await self._with_course_id(pairs)
        found: dict[int, Finding] = {}
        waiting = pairs
        for pause in (0.0, *(self.context.lookup_pauses if self.context.connector.rules.lags else ())):
            await self._pause(pause)
            states = await self._read_states([request for _, request in waiting])
            found |= {work.row_id: judge(work, request, states[work.row_id]) for work, request in waiting}
            waiting = [pair for pair in waiting if found[pair[0].row_id].verdict is Verdict.DIFFERS]
            if not waiting:
                break
        return list(found.values())

    async def _with_course_id(self, pairs: Sequence[RequestedAction]) -> Sequence[RequestedAction]:
        """Set the LMS's id of the course, which reading one row shows: lists are by that id.

        Where many people are looked up in a call, so are courses, by whatever names them.
        """
        first = pairs[0][1]
        course = None if first.action.is_about_person or bulk(self.context.connector) else first.row.course
        if len(pairs) == 1 or course is None or course.course_id is not None:
            return pairs
        state = (await self._read_states([first]))[first.row_id]
        if not isinstance(state, RemoteState) or state.course_id is None:
            return pairs
        by_id = course.with_id(state.course_id)
        return [(work, replace(request, row=replace(request.row, course=by_id))) for work, request in pairs]

    async def _read_states(self, requests: Sequence[ActionRequest]) -> Mapping[int, Lookup]:
        """Read the state of rows, waiting out pauses of the LMS; a refusal is returned for each row."""
        while True:
            try:
                states = await self.context.connector.read_states(requests)
            except Refused as refused:
                return {request.row_id: refused for request in requests}
            except AnswerLost as lost:
                await self._wait(LmsUnavailable(2.0, str(lost)))
            except RetryLater as later:
                await self._wait(later)
            else:
                self.outage_budget.reset()
                return {request.row_id: states.get(request.row_id, LookupMiss.NO_LOOKUP) for request in requests}

    async def _wait(self, later: RetryLater) -> None:
        self.outage_budget.record_failure(later, answered=self.context.client.session.has_responded)
        if later.seconds > self.longest_pause:
            reason, ahead = later.message.partition(";")[0], counted(round(later.seconds), "second")
            raise StopJob("refused_for_long", f"{reason}: the next call may go in {ahead}")
        if isinstance(later, RateLimited):
            await self._pause(later.seconds)
        else:
            await asyncio.sleep(later.seconds)

    async def _pause(self, seconds: float) -> None:
        """Wait while no answer of the LMS is expected."""
        self.context.client.session.quiet_since = time.monotonic() + seconds
        await asyncio.sleep(seconds)


def _request_for(context: JobContext, work: WorkItem, wanted: RosterRow) -> ActionRequest:
    """Return what is to be read; by the LMS's id where that is known, so that a list can be used."""
    candidate_id = work.candidate.lms_id or ""
    if wanted.action.is_about_person:
        return ActionRequest(row_id=work.row_id, action=wanted.action, row=wanted, candidate_id=candidate_id)
    known = work.registration.lms_id
    return ActionRequest(
        row_id=work.row_id,
        action=wanted.action,
        row=replace(wanted, registration_external_id=None) if known else wanted,
        candidate_id=candidate_id,
        idempotency_key=idempotency_key(context, work, candidate_id),
        registration_id=known,
    )
