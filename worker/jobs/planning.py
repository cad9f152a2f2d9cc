"""Make a job ready to be sent: find out what and whom its rows mean, then cut them into batches. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import AnswerLost, LmsUnavailable, Refused, StopJob
from worker.ledger import batches, jobs
from worker.ledger.batches import PlannedBatch
from worker.ledger.rows import outlook
from worker.model import STAGES, Action
from worker.registration import directory, external_ids

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from worker.ledger.database import Transaction
    from worker.registration.context import Desk

#: The rows of a batch of another action than to register are looked at together, by lists where that takes fewer
#: calls: larger ones are cheaper.
LEAST_OF_DEEDS = 500


def plan_batches(
    tx: Transaction,
    job_id: int,
    *,
    batch_size: int,
    rows_per_call: int,
    rows_per_deed: int = 1,
    proven: Collection[str] = (),
) -> int:
    """Put the rows that are to be sent, and are in no open batch, into batches. Return how many batches.

    A course in `proven`, on which somebody was registered before, needs no canary. What comes first within a job
    stands first.
    """
    together: dict[tuple[Action, str], list[int]] = {}
    for row_id, course_key, action in batches.rows_to_plan(tx, job_id):
        together.setdefault((action, course_key), []).append(row_id)
    planned = []
    for action, course_key in sorted(together, key=lambda each: STAGES.index(each[0])):
        registers = action is Action.REGISTER
        planned += cut(
            course_key,
            together[action, course_key],
            batch_size=batch_size if registers else max(batch_size, LEAST_OF_DEEDS),
            rows_per_call=rows_per_call if registers else rows_per_deed,
            canary=course_key not in proven,
            action=action,
        )
    batches.save_plan(tx, job_id, planned)
    return len(planned)


def cut(
    course_key: str,
    row_ids: Sequence[int],
    *,
    batch_size: int,
    rows_per_call: int,
    canary: bool = True,
    action: Action = Action.REGISTER,
) -> list[PlannedBatch]:
    """Return the batches of one course and action, the canary first.

    The canary is the odd piece: what is over when the rows are cut into whole calls. So it costs no call of its
    own; ceil(rows / rows_per_call) calls register them all.
    """
    first = canary_size(len(row_ids), rows_per_call)
    rest = row_ids[first:]
    return [
        PlannedBatch(course_key=course_key, canary=canary, row_ids=row_ids[:first], action=action),
        *(
            PlannedBatch(
                course_key=course_key, canary=False, row_ids=rest[start : start + batch_size], action=action
            )
            for start in range(0, len(rest), batch_size)
        ),
    ]


def canary_size(rows: int, rows_per_call: int) -> int:
    """Return how many rows the first call for a course carries."""
    return rows % rows_per_call or min(rows, rows_per_call)


async def prepare(desk: Desk, batch_size: int) -> None:
    """Find the job's registrations and people and plan its batches; may be done again at any time.

    Raises RetryLater when the LMS asks for a pause or is away, StopJob when it refuses to be read.
    """
    await look_ahead(desk)
    await external_ids.find_named(desk)
    await _find_people(desk)
    await desk.ledger.aside(lambda tx: _plan(tx, desk, batch_size))
    await look_ahead(desk)


async def look_ahead(desk: Desk) -> None:
    """Note at the desk how much of the job is ahead."""
    ahead = await desk.ledger.look(lambda tx: outlook(tx, desk.job_id))
    desk.rows_left = sum(ahead.rows_by_course.values()) + ahead.deeds
    desk.only_course = len(ahead.rows_by_course) == 1 and not ahead.deeds


async def _find_people(desk: Desk) -> None:
    try:
        await directory.find_people(desk)
    except AnswerLost as lost:
        raise LmsUnavailable(2.0, str(lost)) from None
    except Refused as refused:
        message = f"The LMS refused to list its people ({refused}); check what this account may do, then resume"
        raise StopJob("not_allowed", message, refused.status) from None


def _plan(tx: Transaction, desk: Desk, batch_size: int) -> None:
    plan_batches(
        tx,
        desk.job_id,
        batch_size=batch_size,
        rows_per_call=desk.rows_per_call,
        rows_per_deed=desk.connector.rules.rows_per_deed,
        proven=desk.breaker.proven,
    )
    jobs.change_job(tx, desk.job_id, planned=True)
