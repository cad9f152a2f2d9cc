"""Compare what a job registered on a course with the list of the course, when all of its batches have ended.

Some systems confirm a call with a bare "done", whatever became of its rows. A batch without rows does this, so that
it is done after a crash too, once, and before the job is closed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import StopJob
from worker.ledger import confirming
from worker.ledger.intents import RowOutcome
from worker.model import RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.confirming import MadeRegistration
    from worker.lms.contract import BulkConnector
    from worker.registration.context import JobContext

NOT_LISTED = RowOutcome(
    status=RowStatus.REJECTED,
    error="The LMS accepted the registration, but the list of the course does not show this person",
    code="registration_not_listed",
)
EMPTY_LIST = (
    "The LMS accepted the registrations, but shows the list of the course as empty: the account may not see it. "
    "Check what it may see, then resume the job"
)


async def confirm_course(context: JobContext, claim: Claim, connector: BulkConnector) -> None:
    """Read the list of the batch's course; reject the rows whose person is not on it, after some delayed reads.

    Raises StopJob when the list cannot be believed, Refused, AnswerLost or RetryLater when it cannot be read.
    """
    made = await context.ledger.query(lambda tx: confirming.made_on_course(tx, context.job_id, claim.course_key))
    missing = await _missing(context, claim, connector, made) if made else []
    if missing:
        await context.ledger.run(lambda tx: confirming.take_back(tx, missing, NOT_LISTED))


async def _missing(
    context: JobContext, claim: Claim, connector: BulkConnector, made: Sequence[MadeRegistration]
) -> list[MadeRegistration]:
    course_id = context.course_ids[claim.course_key]
    missing = list(made)
    for pause in (0.0, *context.lookup_pauses):
        await context.sleep(pause)
        listed = await connector.list_members(course_id)
        missing = [each for each in made if each.lms_id not in listed]
        if not missing:
            break
    if missing and not listed:
        raise StopJob("list_empty", EMPTY_LIST)
    return missing
