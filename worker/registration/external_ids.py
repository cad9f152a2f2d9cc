"""Resolve rows that identify their registration by an external id alone. Reads only.

A resolved row has a person and a course, and is processed like every other row. Results are committed to the ledger
in groups: after a crash only the rest is looked up again.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from worker.errors import AnswerLost, LmsUnavailable, Refused, RetryLater, StopJob
from worker.ledger import external_ids
from worker.ledger.external_ids import ExternalIdRow, LinkTarget, LookupResults
from worker.ledger.intents import RowOutcome
from worker.lms.contract import LookupMiss
from worker.model import Course, RowStatus
from worker.registration.action_rules import rejected_outcome
from worker.registration.anonymous import without_people
from worker.registration.context import Stopped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.registration.context import JobContext

    Resolution: TypeAlias = ExternalIdRow | LinkTarget | RowOutcome

#: Rows that are looked up together; their results share a commit.
GROUP_SIZE = 50
#: The subject under which the breaker counts refused look-ups.
BREAKER_SUBJECT = "registrations by external id"
NOT_FOUND = RowOutcome(
    status=RowStatus.REJECTED,
    error="This account shows no registration with this registration_external_id; correct it, or name the person "
    "and the course",
    code="not_registered",
)
UNCLEAR_REGISTRATION = RowOutcome(
    status=RowStatus.REJECTED,
    error="The LMS does not show whose registration this is; name the person and the course",
    code="registration_not_found",
)


async def resolve_external_ids(context: JobContext) -> None:
    """Set the person and the course of each row of the job that gives only the external id of its registration.

    Raises RetryLater when the LMS asks for a pause or is unreachable, StopJob when it refuses one look-up after the
    other, Stopped when a person stopped the job; results until then are saved.
    """
    while waiting := await context.ledger.query(
        lambda tx: external_ids.unlinked_rows(tx, context.job_id, GROUP_SIZE)
    ):
        if reason := context.stop_reason():
            raise reason
        found = await asyncio.gather(*(_resolve(context, each) for each in waiting), return_exceptions=True)
        await _record(context, list(zip(waiting, found, strict=True)))
        if error := _most_serious(found):
            raise error


async def _resolve(context: JobContext, row_to_link: ExternalIdRow) -> Resolution:
    """Return the row with its person and its course, what the ledger knows of it, or the outcome if neither."""
    try:
        owner = await context.connector.find_by_external_id(row_to_link.row)
    except AnswerLost as lost:
        raise LmsUnavailable(2.0, str(lost)) from None
    except Refused as refused:
        _count_refusal(context, row_to_link, refused)
        return rejected_outcome(refused)
    context.breaker.record_success(BREAKER_SUBJECT)
    if owner is LookupMiss.ABSENT:
        known = await context.ledger.query(
            lambda tx: external_ids.known_registration(tx, context.connection, row_to_link.row)
        )
        return known or NOT_FOUND
    if isinstance(owner, LookupMiss):
        return UNCLEAR_REGISTRATION
    candidate = replace(row_to_link.row.candidate, candidate_id=owner.candidate_id)
    return replace(
        row_to_link,
        row=replace(
            row_to_link.row, candidate=candidate, course=row_to_link.row.course or Course(course_id=owner.course_id)
        ),
    )


def _count_refusal(context: JobContext, row_to_link: ExternalIdRow, refused: Refused) -> None:
    """Raise StopJob when the LMS (not a mismatch found by us) has refused too often in the same way."""
    by_the_lms = refused.status is not None
    if by_the_lms and context.is_refused_too_often(BREAKER_SUBJECT, refused):
        raise context.halt(
            "breaker_open",
            "The LMS refused look-ups of registrations in a row in the same way "
            f"({without_people(refused.message, [row_to_link.row.candidate])}); fix the cause, then resume the job",
            refused.status,
        )


async def _record(context: JobContext, pairs: Sequence[tuple[ExternalIdRow, Resolution | BaseException]]) -> None:
    findings = LookupResults(
        found=[found for _, found in pairs if isinstance(found, ExternalIdRow)],
        known=[(each, found) for each, found in pairs if isinstance(found, LinkTarget)],
        rejected=[(each, found) for each, found in pairs if isinstance(found, RowOutcome)],
    )
    await context.ledger.run_separately(
        lambda tx: external_ids.save_results(tx, context.job_id, context.connection, findings)
    )


def _most_serious(found: Sequence[object]) -> BaseException | None:
    """Return the most serious error; the longest pause if there are only pauses."""
    errors = [each for each in found if isinstance(each, BaseException)]
    for kind in (StopJob, Stopped):
        if stop := next((each for each in errors if isinstance(each, kind)), None):
            return stop
    pauses = [each for each in errors if isinstance(each, RetryLater)]
    if len(pauses) < len(errors):
        return next(each for each in errors if not isinstance(each, RetryLater))
    return max(pauses, key=lambda pause: pause.seconds, default=None)
