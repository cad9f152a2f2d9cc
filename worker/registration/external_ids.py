"""Find out which registrations rows mean that name them by an external id alone. Reads only.

Once it is found a row has a person and a course, and goes the way of every other row: looked at, sent, looked at
again. What was found is in the ledger: killed in the middle, only the rest is asked for again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from worker.errors import AnswerLost, LmsUnavailable, Refused, RetryLater, StopJob
from worker.ledger import external_ids
from worker.ledger.external_ids import Findings, Line, NamedRow
from worker.ledger.intents import Outcome
from worker.lms.contract import Unfound
from worker.model import Course, RowStatus
from worker.registration.action_rules import rejected
from worker.registration.context import Stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.registration.context import Desk

    Found: TypeAlias = NamedRow | Line | Outcome

#: So many rows are asked for together; what they showed shares a commit.
TOGETHER = 50
#: What the breaker counts refused look-ups under.
LOOK_UPS = "registrations by external id"
NOT_FOUND = Outcome(
    status=RowStatus.REJECTED,
    error="No registration has this registration_external_id, as far as this account can see; mend it, or name the "
    "person and the course",
    code="not_registered",
)
UNCLEAR = Outcome(
    status=RowStatus.REJECTED,
    error="The LMS does not show whose registration this is; name the person and the course",
    code="registration_not_found",
)


async def find_named(desk: Desk) -> None:
    """Give each row of the job that names a registration by its external id alone its person and its course.

    Raises RetryLater when the LMS asks for a pause or is away, StopJob when it refuses one look-up after the other,
    Stopped when a person said so; what was found until then is kept.
    """
    while waiting := await desk.ledger.look(lambda tx: external_ids.rows_to_find(tx, desk.job_id, TOGETHER)):
        if reason := desk.stopping():
            raise reason
        found = await asyncio.gather(*(_find(desk, each) for each in waiting), return_exceptions=True)
        await _keep(desk, list(zip(waiting, found, strict=True)))
        if trouble := _gravest(found):
            raise trouble


async def _find(desk: Desk, each: NamedRow) -> Found:
    """Return the row with its person and its course, what the ledger knows of it, or why there is none."""
    try:
        shown = await desk.connector.find_named(each.row)
    except AnswerLost as lost:
        raise LmsUnavailable(2.0, str(lost)) from None
    except Refused as refused:
        _stop_if_too_many(desk, refused)
        return rejected(refused)
    desk.breaker.succeeded(LOOK_UPS)
    if shown is Unfound.ABSENT:
        known = await desk.ledger.look(lambda tx: external_ids.known_as(tx, desk.connection, each.row))
        return known or NOT_FOUND
    if isinstance(shown, Unfound):
        return UNCLEAR
    who = replace(each.row.candidate, candidate_id=shown.candidate_id)
    return replace(
        each, row=replace(each.row, candidate=who, course=each.row.course or Course(course_id=shown.course_id))
    )


def _stop_if_too_many(desk: Desk, refused: Refused) -> None:
    """Raise StopJob when the LMS, and not the row that contradicts it, has refused too often in the same way."""
    by_the_lms = refused.status is not None
    if by_the_lms and desk.breaker.refused(LOOK_UPS, refused) and desk.rows_left > desk.breaker.limit:
        raise desk.stop(
            "breaker_open",
            f"The LMS refused look-ups of registrations in a row in the same way ({refused.message}); "
            "mend the cause, then resume the job",
            refused.status,
        )


async def _keep(desk: Desk, pairs: Sequence[tuple[NamedRow, Found | BaseException]]) -> None:
    findings = Findings(
        shown=[found for _, found in pairs if isinstance(found, NamedRow)],
        known=[(each, found) for each, found in pairs if isinstance(found, Line)],
        refused=[(each, found) for each, found in pairs if isinstance(found, Outcome)],
    )
    await desk.ledger.aside(lambda tx: external_ids.record(tx, desk.job_id, desk.connection, findings))


def _gravest(found: Sequence[object]) -> BaseException | None:
    """Return what stands in the way of going on, the longest pause if it is pauses alone."""
    errors = [each for each in found if isinstance(each, BaseException)]
    for kind in (StopJob, Stopped):
        if stop := next((each for each in errors if isinstance(each, kind)), None):
            return stop
    pauses = [each for each in errors if isinstance(each, RetryLater)]
    if len(pauses) < len(errors):
        return next(each for each in errors if not isinstance(each, RetryLater))
    return max(pauses, key=lambda pause: pause.seconds, default=None)
