"""Read a roster in, find its people, cut it into batches."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from worker import lms
from worker.errors import NothingSent, RetryLater, StopJob
from worker.intake.importing import read_in
from worker.jobs import advance, completion, planning
from worker.ledger import jobs
from worker.ledger.database import now
from worker.ledger.leases import heartbeat
from worker.model import AT_WORK, JobState
from worker.registration.context import Stopped
from worker.runtime.failures import held_on_trouble
from worker.runtime.yielding import Courtesy

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.queue import Bell
    from worker.runtime.process import Place, Workplace

log = structlog.get_logger("roster")


async def split(here: Workplace, job_id: int) -> list[Bell]:
    """Read a job's roster in, find its people, cut it into batches."""
    owner = here.services.owner
    if not await here.ledger.run(lambda tx: jobs.take_job(tx, job_id, owner)):
        return []
    try:
        async with (
            # Beside the commits: a piece of the roster that is being written holds the job's line.
            heartbeat(lambda: here.ledger.aside(lambda tx: jobs.renew_job(tx, job_id, owner))),
            held_on_trouble(here, job_id),
        ):
            await _make_ready(here, job_id)
    finally:
        await here.ledger.run(lambda tx: jobs.leave_job(tx, job_id, owner))
    return await here.ledger.run(lambda tx: advance.go_on(tx, job_id, here.window, now()))


async def _make_ready(here: Workplace, job_id: int) -> None:
    job = await here.job(job_id)
    connection = here.services.connection(job.connection)
    if job.state in {JobState.UPLOADED, JobState.VALIDATING}:
        try:
            await asyncio.to_thread(
                read_in,
                here.ledger,
                job_id,
                lms.rules_of(connection),
                owner=here.services.owner,
                turn=Courtesy.of(here.ledger, job).turn,
            )
        except NothingSent as error:
            log.warning("roster refused", job=job_id, reason=type(error).__name__)
            return
        log.info("roster read", job=job_id, connection=job.connection)
    await here.ledger.run(lambda tx: _begin(tx, job_id))
    place = await here.place(job_id)
    try:
        async with place.attention.paid(in_turn=False):
            await planning.prepare(place.desk, connection.batch_size)
    except Stopped:
        return
    except (RetryLater, StopJob) as trouble:
        await _wait_or_hold(here, place, trouble)
    finally:
        await place.rest()


def _begin(tx: Transaction, job_id: int) -> None:
    job = jobs.find_job(tx, job_id)
    started = (job.started_at if job else None) or now()
    jobs.change_job(
        tx,
        job_id,
        only_from=(JobState.QUEUED, *AT_WORK),
        state=JobState.RUNNING,
        reason="",
        not_before=None,
        started_at=started,
    )


async def _wait_or_hold(here: Workplace, place: Place, trouble: RetryLater | StopJob) -> None:
    """Let a job whose people could not be found wait for the LMS, or hold it."""
    job_id = place.desk.job_id
    try:
        if isinstance(trouble, StopJob):
            raise trouble
        place.patience.lose(trouble, answered=place.desk.door.wire.answered)
    except StopJob as stop:
        reason, code = stop.message, stop.code
        await here.ledger.run(lambda tx: completion.hold(tx, job_id, reason, code))
        log.warning("job held", job=job_id, code=code)
        return
    start, reason = now() + trouble.seconds, trouble.message
    await here.ledger.run(
        lambda tx: jobs.change_job(
            tx, job_id, only_from=AT_WORK, state=JobState.WAITING, not_before=start, reason=reason
        )
    )
    log.info("job waits", job=job_id, seconds=round(trouble.seconds, 1))
