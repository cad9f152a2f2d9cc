"""Run a job's batches in a worker, for one time slice."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import structlog

from worker.errors import LedgerError
from worker.jobs import advance, completion
from worker.ledger import rows
from worker.ledger.database import now
from worker.model import Driver
from worker.runtime.batch_loop import run_batches
from worker.runtime.failures import hold_on_failure
from worker.runtime.publishing import publish_async

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.errors import StopJob
    from worker.ledger.database import Transaction
    from worker.ledger.queue import TaskMessage
    from worker.registration.batch import BatchEnd
    from worker.runtime.process import WorkerProcess
    from worker.runtime.publishing import Publisher
    from worker.runtime.session import JobSession

log = structlog.get_logger("roster")


async def run_time_slice(
    process: WorkerProcess,
    job_id: int,
    batch_id: int,
    publisher: Publisher,
    progress: Callable[[int, int], None],
) -> None:
    """Run a batch of a job, and the job's next ones until its time slice ends; publish what comes next.

    `progress` is called with the number of rows of the job that are done, and of all.
    """
    if (await process.job(job_id)).driver is not Driver.QUEUE:
        return
    async with hold_on_failure(process, job_id):
        session = await process.session(job_id)
        session.stop_signals.progress = partial(_progressed, session, progress)
        try:
            async with session.stop_signals.watching():
                await run_batches(session, [batch_id], partial(_on_end, process, session, publisher))
            with suppress(LedgerError):
                session.stop_signals.progress(*await process.ledger.query(lambda tx: _how_far(tx, job_id)))
        finally:
            await session.flush()


def _how_far(tx: Transaction, job_id: int) -> tuple[int, int]:
    tally = rows.count_rows(tx, job_id)
    return tally.total - tally.pending, tally.total


def _progressed(session: JobSession, progress: Callable[[int, int], None], done: int, total: int) -> None:
    session.context.rows_left = total - done
    progress(done, total)


async def _on_end(
    process: WorkerProcess, session: JobSession, publisher: Publisher, batch_id: int, end: BatchEnd
) -> None:
    """Apply the end of a batch to its job and publish the next messages."""
    log.info("batch left", job=session.job_id, batch=batch_id, end=end.label)
    stop = completion.reason_to_hold(session.context, session.outage_budget, end)
    if stop is not None:
        log.warning("job held", job=session.job_id, code=stop.code)
    due = await process.ledger.run(lambda tx: _apply(tx, process, session.job_id, end, stop))
    await publish_async(process, due, publisher)


def _apply(
    tx: Transaction, process: WorkerProcess, job_id: int, end: BatchEnd, stop: StopJob | None
) -> list[TaskMessage]:
    completion.apply_batch_end(tx, job_id, end, stop)
    if stop is not None:
        return advance.enqueue_report(tx, job_id, now())
    return advance.advance(tx, job_id, process.window, now())
