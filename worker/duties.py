"""The four things a task may ask for: an id in, the bells to ring out. They know no Celery."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from worker import lms
from worker.errors import LedgerError, NothingSent, RetryLater, StopJob, TurnTaken
from worker.intake.accept import read_in
from worker.ledger import batches, bells, directory, jobs
from worker.ledger.bells import SWEPT
from worker.ledger.engine import now
from worker.ledger.owners import LEASE_SECONDS
from worker.model import AT_WORK, Driver, JobState
from worker.registration import conclude, feed, prepare
from worker.registration.desk import Stopped
from worker.registration.run import run_batch
from worker.reports import filing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sqlalchemy import Connection

    from worker.ledger.bells import Bell
    from worker.registration.run import BatchEnd
    from worker.workplace import Place, Workplace

#: A roster that must wait for another one of its connection to be read is tried again after this (seconds).
TURN_SECONDS = 1.0
#: Batches of one job at work in one process.
BATCHES_AT_ONCE = 3
log = structlog.get_logger("roster")


async def split(here: Workplace, job_id: int) -> list[Bell]:
    """Read a job's roster in, find its people, cut it into batches."""
    owner = here.services.owner
    if not await here.ledger.run(lambda tx: jobs.take_job(tx, job_id, owner)):
        return []
    beating = asyncio.create_task(_hold_job(here, job_id))
    try:
        await _make_ready(here, job_id)
    finally:
        beating.cancel()
        await here.ledger.run(lambda tx: jobs.leave_job(tx, job_id, owner))
    return await here.ledger.run(lambda tx: feed.go_on(tx, job_id, here.window, now()))


async def register(
    here: Workplace, batch_id: int, ring: Callable[[list[Bell]], list[Bell]], progress: Callable[[int, int], None]
) -> None:
    """Work a batch off as far as it goes now, and the job's next ones for as long as the turn lasts.

    A few at a time: while the last calls of one are under way, those of the next fill the line. `ring` sends bells
    and returns those that could not be sent; `progress` is told how many rows of the job are settled, of all.
    """
    job_id = await here.ledger.run(lambda tx: batches.job_of(tx, batch_id))
    if job_id is None or (await here.job(job_id)).driver is not Driver.QUEUE:
        return
    place = await here.place(job_id)
    place.attention.progress = progress
    try:
        async with place.attention.paid():
            await _take_turn(here, place, batch_id, ring)
    finally:
        await place.rest()


async def _take_turn(
    here: Workplace, place: Place, batch_id: int, ring: Callable[[list[Bell]], list[Bell]]
) -> None:
    running = {_begin_batch(place, batch_id)}
    try:
        while running:
            running |= {_begin_batch(place, further) for further in await _next_batches(here, place, running)}
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for each in done:
                if unrung := ring(await _leave_batch(here, place, each)):
                    await here.ledger.run(lambda tx, unrung=unrung: bells.unring(tx, unrung))  # type: ignore[misc]
    finally:
        await asyncio.gather(*running, return_exceptions=True)


def _begin_batch(place: Place, batch_id: int) -> asyncio.Task[BatchEnd]:
    return asyncio.create_task(run_batch(batch_id, place.desk), name=str(batch_id))


async def _leave_batch(here: Workplace, place: Place, batch: asyncio.Task[BatchEnd]) -> list[Bell]:
    """Conclude a batch that ended and return the bells to ring."""
    end, job_id = batch.result(), place.desk.job_id
    if end.passed_over:
        return []
    log.info("batch left", job=job_id, batch=int(batch.get_name()), end=end.word)
    await place.books.write(place.desk)
    stop = conclude.weigh(place.desk, place.patience, end)
    if stop is not None:
        log.warning("job held", job=job_id, code=stop.code)
    return await here.ledger.run(lambda tx: _conclude(tx, here, job_id, end, stop))


async def _next_batches(here: Workplace, place: Place, running: Collection[asyncio.Task[BatchEnd]]) -> list[int]:
    """Return the job's next batches, while this turn lasts."""
    most = BATCHES_AT_ONCE - len(running)
    if most < 1 or place.attention.stopping() or place.desk.halted:
        return []
    mine = {int(batch.get_name()) for batch in running}
    return await here.ledger.run(lambda tx: feed.next_batches(tx, place.desk.job_id, most, now(), besides=mine))


def report(here: Workplace, job_id: int) -> None:
    """Write the reports of a job."""
    with here.ledger.read() as tx:
        job = jobs.find_job(tx, job_id)
    if job is None:
        return
    summary = filing.file_reports(here.ledger, job, here.services.files / "reports" / str(job_id))
    log.info("reports written", job=job_id, state=summary.state, total=summary.total)


def sweep(here: Workplace, *, forgotten: bool) -> list[Bell]:
    """Find what nobody was asked to do, or nobody did; `forgotten`: the broker has lost every bell."""
    with here.ledger.write() as tx:
        if forgotten:
            bells.unring_all(tx)
        opened = batches.reap(tx)
        directory.remember(tx, SWEPT, {"at": now()})
        open_jobs = bells.open_jobs(tx)
    if opened:
        log.warning("claims of dead workers opened again", batches=opened)
    rung: list[Bell] = []
    for job_id in open_jobs:
        with here.ledger.write() as tx:
            rung += feed.go_on(tx, job_id, here.window, now())
    return rung


def forget(here: Workplace, unrung: list[Bell]) -> None:
    """Note that these bells could not be rung, so that a later sweep rings them."""
    if unrung:
        with here.ledger.write() as tx:
            bells.unring(tx, unrung)


async def _hold_job(here: Workplace, job_id: int) -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS / 6)
        with suppress(LedgerError):
            await here.ledger.run(lambda tx: jobs.renew_job(tx, job_id, here.services.owner))


async def _make_ready(here: Workplace, job_id: int) -> None:
    job = await here.job(job_id)
    connection = here.services.connection(job.connection)
    if job.state in {JobState.UPLOADED, JobState.VALIDATING}:
        try:
            await asyncio.to_thread(read_in, here.ledger, job_id, lms.rules_of(connection), wait=False)
        except TurnTaken:
            start = now() + TURN_SECONDS
            await here.ledger.run(lambda tx: jobs.change_job(tx, job_id, not_before=start))
            return
        except NothingSent as error:
            log.warning("roster refused", job=job_id, reason=type(error).__name__)
            return
        log.info("roster read", job=job_id, connection=job.connection)
    await here.ledger.run(lambda tx: _begin(tx, job_id))
    place = await here.place(job_id)
    try:
        async with place.attention.paid():
            await prepare.prepare(place.desk, connection.batch_size)
    except Stopped:
        return
    except (RetryLater, StopJob) as trouble:
        await _wait_or_hold(here, place, trouble)
    finally:
        await place.rest()


def _begin(tx: Connection, job_id: int) -> None:
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
        reason = stop.message
        await here.ledger.run(lambda tx: conclude.hold(tx, job_id, reason))
        log.warning("job held", job=job_id, code=stop.code)
        return
    start, reason = now() + trouble.seconds, trouble.message
    await here.ledger.run(
        lambda tx: jobs.change_job(
            tx, job_id, only_from=AT_WORK, state=JobState.WAITING, not_before=start, reason=reason
        )
    )
    log.info("job waits", job=job_id, seconds=round(trouble.seconds, 1))


def _conclude(tx: Connection, here: Workplace, job_id: int, end: BatchEnd, stop: StopJob | None) -> list[Bell]:
    conclude.conclude(tx, job_id, end, stop)
    if stop is not None:
        return feed.ring_report(tx, job_id, now())
    return feed.go_on(tx, job_id, here.window, now())
