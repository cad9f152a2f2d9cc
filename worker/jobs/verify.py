"""Read back what a job says it did, and write down whether the LMS agrees. Only reads; nothing is ever sent again.

By the lists of courses and people where these take fewer calls than single look-ups (the connector counts). What
the LMS does not show as expected is looked at again after pauses, since it may lag behind its own writes.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from worker.errors import AnswerLost, LmsUnavailable, Refused, RetryLater, StopJob, UsageError
from worker.jobs import expected, lifecycle
from worker.jobs.expected import cannot, judge
from worker.ledger import verify as verifying
from worker.ledger.people import with_id
from worker.ledger.verify import Finding
from worker.lms.contract import Deed, Seen, Unfound
from worker.model import Verdict
from worker.registration.breaker import Patience
from worker.registration.idempotency import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.ledger.database import Transaction
    from worker.ledger.intents import Work
    from worker.ledger.verify import DoneRow
    from worker.model import RosterRow
    from worker.registration.action_rules import Looked, Pair
    from worker.registration.context import Desk


def rows_to_verify(tx: Transaction, job_id: int) -> list[DoneRow]:
    """Return the rows of a job that are said to be done.

    Raises UsageError when the job is still at work, was purged, or has done nothing.
    """
    job = lifecycle.get_whole_job(tx, job_id)
    if not job.has_ended and job.state not in lifecycle.STOPPED:
        raise UsageError(
            f"Job {job_id} is {job.state}; verify it when it has ended, or `roster pause {job_id}` first"
        )
    rows = verifying.done_rows(tx, job_id)
    if not rows:
        raise UsageError(f"Job {job_id} has no row that is done: there is nothing to verify")
    return rows


async def verify(desk: Desk, rows: Sequence[DoneRow], *, longest_pause: float, tell: Callable[[str], None]) -> None:
    """Read these rows back, course by course, and write each course's findings to the ledger as they come.

    Raises StopJob when the LMS refuses the credentials, is away for long or asks for a long pause.
    """
    groups: dict[tuple[str, str], list[Pair]] = {}
    unclear: list[Finding] = []
    for done in rows:
        wanted = expected.expected(done)
        if isinstance(wanted, str):
            unclear.append(cannot(done.work, wanted))
        elif done.work.candidate.lms_id is None:
            unclear.append(cannot(done.work, expected.UNKNOWN))
        else:
            course = wanted.course.key if wanted.course and not wanted.action.is_about_a_person else ""
            deed = _as_deed(desk, done.work, wanted)
            groups.setdefault((wanted.action, course), []).append((done.work, deed))
    await desk.ledger.run(lambda tx: verifying.record(tx, desk.job_id, unclear))
    reading = _Reading(desk, Patience(), longest_pause)
    count = len(unclear)
    for pairs in groups.values():
        findings = await reading.findings(pairs)
        await desk.ledger.run(lambda tx, findings=findings: verifying.record(tx, desk.job_id, findings))  # type: ignore[misc]
        count += len(findings)
        tell(f"{count} of {len(rows)} rows read back")


class _Reading:
    """The looks of one verification."""

    def __init__(self, desk: Desk, patience: Patience, longest_pause: float) -> None:
        self.desk = desk
        self.patience = patience
        self.longest_pause = longest_pause

    async def findings(self, pairs: Sequence[Pair]) -> list[Finding]:
        """Look at rows of one course and action; again after each pause at those that do not show as said."""
        pairs = await self._with_course_id(pairs)
        found: dict[int, Finding] = {}
        waiting = pairs
        for pause in (0.0, *self.desk.lookup_pauses):
            await asyncio.sleep(pause)
            sights = await self._look([deed for _, deed in waiting])
            found |= {work.row_id: judge(work, deed, sights[work.row_id]) for work, deed in waiting}
            waiting = [pair for pair in waiting if found[pair[0].row_id].verdict is Verdict.DIFFERS]
            if not waiting:
                break
        return list(found.values())

    async def _with_course_id(self, pairs: Sequence[Pair]) -> Sequence[Pair]:
        """Name the course of several rows by the LMS's id, which one look at a row shows: lists are by that id."""
        first = pairs[0][1]
        course = None if first.action.is_about_a_person else first.row.course
        if len(pairs) == 1 or course is None or course.course_id is not None:
            return pairs
        sight = (await self._look([first]))[first.row_id]
        if not isinstance(sight, Seen) or sight.course_id is None:
            return pairs
        by_id = with_id(course, sight.course_id)
        return [(work, replace(deed, row=replace(deed.row, course=by_id))) for work, deed in pairs]

    async def _look(self, deeds: Sequence[Deed]) -> Mapping[int, Looked]:
        """Look once, waiting while the LMS asks for a pause or is away; a look refused shows why for each row."""
        while True:
            try:
                sights = await self.desk.connector.look(deeds)
            except Refused as refused:
                return {deed.row_id: refused for deed in deeds}
            except AnswerLost as lost:
                await self._wait(LmsUnavailable(2.0, str(lost)))
            except RetryLater as later:
                await self._wait(later)
            else:
                self.patience.restore()
                return {deed.row_id: sights.get(deed.row_id, Unfound.NO_LOOKUP) for deed in deeds}

    async def _wait(self, later: RetryLater) -> None:
        self.patience.lose(later, answered=self.desk.door.wire.answered)
        if later.seconds > self.longest_pause:
            raise StopJob(
                "refused_for_long", f"{later.message} of {later.seconds:,.0f} seconds; verify the job later"
            )
        await asyncio.sleep(later.seconds)


def _as_deed(desk: Desk, work: Work, wanted: RosterRow) -> Deed:
    """Return what is to be looked at; by the LMS's id where that is known, so that a list serves."""
    candidate_id = work.candidate.lms_id or ""
    if wanted.action.is_about_a_person:
        return Deed(row_id=work.row_id, action=wanted.action, row=wanted, candidate_id=candidate_id)
    known = work.registration.lms_id
    return Deed(
        row_id=work.row_id,
        action=wanted.action,
        row=replace(wanted, registration_external_id=None) if known else wanted,
        candidate_id=candidate_id,
        key=key_of(desk, work, candidate_id),
        registration_id=known,
    )
