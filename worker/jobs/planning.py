"""Make a job ready to be sent: find out what and whom its rows mean, then cut them into batches. Reads only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.errors import AnswerLost, LmsUnavailable, Refused, StopJob
from worker.jobs import plan
from worker.ledger import jobs, outlook
from worker.registration import directory, external_ids

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.registration.context import Desk


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
    ahead = await desk.ledger.look(lambda tx: outlook.outlook(tx, desk.job_id))
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


def _plan(tx: Connection, desk: Desk, batch_size: int) -> None:
    plan.plan_batches(
        tx,
        desk.job_id,
        batch_size=batch_size,
        rows_per_call=desk.rows_per_call,
        rows_per_deed=desk.connector.rules.rows_per_deed,
        proven=desk.breaker.proven,
    )
    jobs.change_job(tx, desk.job_id, planned=True)
