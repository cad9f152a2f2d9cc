"""Compare what a job registered on a course with the list of the course, when all of its batches have ended.

Some systems confirm a call with a bare "done", whatever became of its rows. A batch without rows does this, so that
it is done after a crash too, once, and before the job is closed. Where the server cut a call off, as PHP does after
a number of form fields, those at its end are put into new batches, each a smaller call, and compared again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import StopJob
from worker.ledger import batches, confirming
from worker.ledger.batches import BatchPlan
from worker.ledger.intents import RowOutcome
from worker.model import RowStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.batches import Claim
    from worker.ledger.confirming import MadeRegistration
    from worker.ledger.database import Transaction
    from worker.lms.contract import BulkConnector
    from worker.registration.context import JobContext

NOT_LISTED = RowOutcome(
    status=RowStatus.REJECTED,
    error="The LMS accepted the registration, but the list of the course does not show this person",
    code="registration_not_listed",
)
CUT_OFF = RowOutcome(
    status=RowStatus.NOT_ATTEMPTED,
    error="The LMS accepted a call of several registrations without carrying this one out; it is sent again in a "
    "smaller call",
    code="call_cut_off",
)
EMPTY_LIST = (
    "The LMS accepted the registrations, but shows the list of the course as empty: the account may not see it. "
    "Check what it may see, then resume the job"
)


async def confirm_course(context: JobContext, claim: Claim, connector: BulkConnector) -> None:
    """Read the list of the batch's course; plan or reject the rows whose person is not on it after delayed reads.

    Raises StopJob when the list cannot be believed, Refused, AnswerLost or RetryLater when it cannot be read.
    """
    made = await context.ledger.query(lambda tx: confirming.made_on_course(tx, context.job_id, claim.course_key))
    missing = await _missing(context, claim, connector, made) if made else []
    if not missing:
        return
    again = _cut_off(made, missing)
    sent_again = [each for part in again for each in part.rows]
    arrived = min((part.arrived for part in again if part.arrived), default=None)
    plans = [plan for part in again for plan in part.plans(claim.course_key)]

    def save(tx: Transaction) -> None:
        confirming.take_back(tx, [each for each in missing if each not in sent_again], NOT_LISTED)
        if plans:
            confirming.take_back(tx, sent_again, CUT_OFF)
            batches.save_plan(tx, claim.job_id, plans)
            batches.replace_confirmations(tx, claim.job_id, [claim.course_key])

    await context.ledger.run(save)
    context.rows_left += len(sent_again)
    if arrived is not None:
        await context.learn_rows_per_call(arrived)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Again:
    """Registrations of one batch that are to be sent again, this number in a call."""

    rows: Sequence[MadeRegistration]
    size: int
    #: How many rows of a call arrived; None when the list does not show that it was cut off at its end.
    arrived: int | None

    def plans(self, course_key: str) -> list[BatchPlan]:
        ids = [each.row_id for each in self.rows]
        pieces = [ids[start : start + self.size] for start in range(0, len(ids), self.size)]
        return [BatchPlan(course_key=course_key, canary=False, row_ids=piece) for piece in pieces]


def _cut_off(made: Sequence[MadeRegistration], missing: Sequence[MadeRegistration]) -> list[_Again]:
    """Return those to send again: of a batch of which some are on the course.

    At least the first row of every call arrives: each round is of smaller calls, and one that was sent alone is not
    sent again.
    """
    lost = {each.row_id for each in missing}
    together: dict[int | None, list[MadeRegistration]] = defaultdict(list)
    for each in sorted(made, key=lambda each: each.row_id):
        together[each.batch_id].append(each)
    found = []
    for batch in together.values():
        rows = [each for each in batch if each.row_id in lost]
        arrived = len(batch) - len(rows)
        if rows and arrived:
            at_its_end = rows == batch[arrived:]
            size = arrived if at_its_end else len(batch) // 2
            found.append(_Again(rows=rows, size=size, arrived=arrived if at_its_end else None))
    return found


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
