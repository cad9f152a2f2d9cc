"""Read a job's done rows back at the LMS and record whether it agrees. Reads only; nothing is sent again.

Lists of courses and people are read where they take fewer calls than single look-ups (the connector decides). What
the LMS does not show as expected is read again after pauses, since it may lag behind its own writes.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from worker import bootstrap
from worker.errors import AnswerLost, LmsError, LmsUnavailable, Refused, RetryLater, StopJob, UsageError
from worker.jobs import expected, lifecycle
from worker.jobs.expected import cannot_be_verified, judge
from worker.ledger import verify as verifying
from worker.ledger.people import with_id
from worker.ledger.verify import Finding
from worker.lms.contract import ActionRequest, LookupMiss, RemoteState
from worker.model import Verdict
from worker.registration.breaker import OutageBudget
from worker.registration.counters import JobCounters
from worker.registration.idempotency import idempotency_key

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.bootstrap import Services
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
    if not job.has_ended and job.state not in lifecycle.STOPPED:
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
) -> LmsError | None:
    """Read rows of a job back over a session of its own, at the shared pace; return what stopped it, if so.

    `report` is called with a sentence about the progress.
    """
    wire = bootstrap.open_lms_session(services, connection)
    door = bootstrap.open_lms_client(wire, job_id)
    memory = bootstrap.pace_key(connection)
    books = JobCounters(ledger=services.ledger, job_id=job_id, client=door, pace_key=memory)
    desk = bootstrap.open_job_context(services, connection, job_id, door, lambda: None)
    desk.rows_left = len(rows)
    try:
        await verify_rows(desk, rows, longest_pause=connection.longest_pause_seconds, report=report)
    except LmsError as error:
        return error
    finally:
        await books.flush(desk)
        await wire.close()
    return None


async def verify_rows(
    desk: JobContext, rows: Sequence[DoneRow], *, longest_pause: float, report: Callable[[str], None]
) -> None:
    """Read these rows back, course by course, and record the findings of each course.

    Raises StopJob when the LMS refuses the credentials, is away for long or asks for a long pause.
    """
    groups: dict[tuple[str, str], list[RequestedAction]] = {}
    unclear: list[Finding] = []
    for done in rows:
        wanted = expected.expected_row(done)
        if isinstance(wanted, str):
            unclear.append(cannot_be_verified(done.work, wanted))
        elif done.work.candidate.lms_id is None:
            unclear.append(cannot_be_verified(done.work, expected.UNKNOWN))
        else:
            course = wanted.course.key if wanted.course and not wanted.action.is_about_a_person else ""
            deed = _request_for(desk, done.work, wanted)
            groups.setdefault((wanted.action, course), []).append((done.work, deed))
    await desk.ledger.run(lambda tx: verifying.save_findings(tx, desk.job_id, unclear))
    reading = _Verification(desk, OutageBudget(), longest_pause)
    count = len(unclear)
    for pairs in groups.values():
        findings = await reading.findings(pairs)
        await desk.ledger.run(lambda tx, findings=findings: verifying.save_findings(tx, desk.job_id, findings))  # type: ignore[misc]
        count += len(findings)
        report(f"{count} of {len(rows)} rows read back")


class _Verification:
    """The reads of one verification."""

    def __init__(self, desk: JobContext, patience: OutageBudget, longest_pause: float) -> None:
        self.desk = desk
        self.patience = patience
        self.longest_pause = longest_pause

    async def findings(self, pairs: Sequence[RequestedAction]) -> list[Finding]:
        """Read rows of one course and action; after each pause, read those again that differ."""
        pairs = await self._with_course_id(pairs)
        found: dict[int, Finding] = {}
        waiting = pairs
        for pause in (0.0, *self.desk.lookup_pauses):
            await asyncio.sleep(pause)
            sights = await self._read_states([deed for _, deed in waiting])
            found |= {work.row_id: judge(work, deed, sights[work.row_id]) for work, deed in waiting}
            waiting = [pair for pair in waiting if found[pair[0].row_id].verdict is Verdict.DIFFERS]
            if not waiting:
                break
        return list(found.values())

    async def _with_course_id(self, pairs: Sequence[RequestedAction]) -> Sequence[RequestedAction]:
        """Set the LMS's id of the course, which reading one row shows: lists are by that id."""
        first = pairs[0][1]
        course = None if first.action.is_about_a_person else first.row.course
        if len(pairs) == 1 or course is None or course.course_id is not None:
            return pairs
        sight = (await self._read_states([first]))[first.row_id]
        if not isinstance(sight, RemoteState) or sight.course_id is None:
            return pairs
        by_id = with_id(course, sight.course_id)
        return [(work, replace(deed, row=replace(deed.row, course=by_id))) for work, deed in pairs]

    async def _read_states(self, deeds: Sequence[ActionRequest]) -> Mapping[int, Lookup]:
        """Read the state of rows, waiting out pauses of the LMS; a refusal is returned for each row."""
        while True:
            try:
                sights = await self.desk.connector.read_states(deeds)
            except Refused as refused:
                return {deed.row_id: refused for deed in deeds}
            except AnswerLost as lost:
                await self._wait(LmsUnavailable(2.0, str(lost)))
            except RetryLater as later:
                await self._wait(later)
            else:
                self.patience.reset()
                return {deed.row_id: sights.get(deed.row_id, LookupMiss.NO_LOOKUP) for deed in deeds}

    async def _wait(self, later: RetryLater) -> None:
        self.patience.record_failure(later, answered=self.desk.client.session.has_responded)
        if later.seconds > self.longest_pause:
            raise StopJob(
                "refused_for_long", f"{later.message} of {later.seconds:,.0f} seconds; verify the job later"
            )
        await asyncio.sleep(later.seconds)


def _request_for(desk: JobContext, work: WorkItem, wanted: RosterRow) -> ActionRequest:
    """Return what is to be read; by the LMS's id where that is known, so that a list can be used."""
    candidate_id = work.candidate.lms_id or ""
    if wanted.action.is_about_a_person:
        return ActionRequest(row_id=work.row_id, action=wanted.action, row=wanted, candidate_id=candidate_id)
    known = work.registration.lms_id
    return ActionRequest(
        row_id=work.row_id,
        action=wanted.action,
        row=replace(wanted, registration_external_id=None) if known else wanted,
        candidate_id=candidate_id,
        idempotency_key=idempotency_key(desk, work, candidate_id),
        registration_id=known,
    )
