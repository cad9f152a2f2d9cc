"""Import a roster, find its people at the LMS and plan its batches, in a worker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from worker import lms
from worker.errors import NothingSent, RetryLater, StopJob
from worker.intake.importing import import_roster
from worker.jobs import advance, lifecycle, planning
from worker.ledger import jobs
from worker.ledger.database import now
from worker.ledger.leases import heartbeat
from worker.model import SENDING, JobState
from worker.registration.context import Stopped
from worker.runtime.failures import hold_on_failure
from worker.runtime.yielding import YieldBudget
from worker.safe_errors import without_addresses

if TYPE_CHECKING:
    from worker.ledger.database import Transaction
    from worker.ledger.queue import TaskMessage
    from worker.runtime.process import WorkerProcess
    from worker.runtime.session import JobSession

log = structlog.get_logger("roster")


async def split(process: WorkerProcess, job_id: int) -> list[TaskMessage]:
    """Import a job's roster, find its people and plan its batches; return the messages to publish."""
    owner = process.services.owner
    if not await process.ledger.run(lambda tx: jobs.claim_job(tx, job_id, owner)):
        return []
    try:
        async with (
            # In a transaction of its own: a chunk of the roster that is being written holds the job's row.
            heartbeat(lambda: process.ledger.run_separately(lambda tx: jobs.renew_job(tx, job_id, owner))),
            hold_on_failure(process, job_id),
        ):
            await _make_ready(process, job_id)
    finally:
        await process.ledger.run(lambda tx: jobs.release_job(tx, job_id, owner))
    return await process.ledger.run(lambda tx: advance.advance(tx, job_id, process.window, now()))


async def _make_ready(process: WorkerProcess, job_id: int) -> None:
    job = await process.job(job_id)
    connection = process.services.connection(job.connection)
    if job.state.is_unread:
        try:
            await asyncio.to_thread(
                import_roster,
                process.ledger,
                job_id,
                lms.rules_of(connection),
                owner=process.services.owner,
                chunk_context=YieldBudget.of(process.ledger, job).chunk_slot,
                in_child=True,
            )
        except NothingSent as error:
            log.warning("roster rejected", job=job_id, reason=type(error).__name__)
            return
        log.info("roster read", job=job_id, connection=job.connection)
    await process.ledger.run(lambda tx: _begin(tx, job_id))
    session = await process.session(job_id)
    try:
        async with session.stop_signals.watching(may_yield=False):
            await planning.prepare(session.context, connection.batch_size)
    except Stopped:
        return
    except (RetryLater, StopJob) as trouble:
        await _wait_or_hold(process, session, trouble)
    finally:
        await session.flush()


def _begin(tx: Transaction, job_id: int) -> None:
    job = jobs.find_job(tx, job_id)
    started = (job.started_at if job else None) or now()
    if job is not None and job.state is JobState.QUEUED:
        jobs.begin_run(tx, job_id)
    jobs.change_job(
        tx,
        job_id,
        only_from=(JobState.QUEUED, *SENDING),
        state=JobState.RUNNING,
        reason="",
        not_before=None,
        started_at=started,
    )


async def _wait_or_hold(process: WorkerProcess, session: JobSession, trouble: RetryLater | StopJob) -> None:
    """Let a job whose people could not be found wait for the LMS, or hold it."""
    job_id = session.context.job_id
    try:
        if isinstance(trouble, StopJob):
            raise trouble
        session.record_failure(trouble)
    except StopJob as stop:
        reason, code = stop.message, stop.code
        await process.ledger.run(lambda tx: lifecycle.hold(tx, job_id, reason, code))
        log.warning("job held", job=job_id, code=code)
        return
    start, reason = now() + trouble.seconds, without_addresses(trouble.reason)
    await process.ledger.run(
        lambda tx: jobs.change_job(
            tx, job_id, only_from=SENDING, state=JobState.WAITING, not_before=start, reason=reason
        )
    )
    log.info("job waits", job=job_id, seconds=round(trouble.seconds, 1))
