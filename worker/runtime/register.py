"""Work a job's batches off, for as long as this process's turn lasts."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import structlog

from worker.jobs import advance, completion
from worker.ledger.database import now
from worker.model import Driver
from worker.registration.batch import run_batch
from worker.runtime.failures import held_on_trouble
from worker.runtime.sending import ring_aside

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from worker.errors import StopJob
    from worker.ledger.database import Transaction
    from worker.ledger.queue import Bell
    from worker.registration.batch import BatchEnd
    from worker.runtime.process import Place, Workplace
    from worker.runtime.sending import Ring

#: Batches of one job at work in one process.
BATCHES_AT_ONCE = 3
#: While no batch ends, what was counted is written so often (seconds).
COUNT_SECONDS = 2.0
log = structlog.get_logger("roster")


async def register(
    here: Workplace, job_id: int, batch_id: int, ring: Ring, progress: Callable[[int, int], None]
) -> None:
    """Work a batch of a job off as far as it goes now, and the job's next ones for as long as the turn lasts.

    A few at a time: while the last calls of one are under way, those of the next fill the line.
    `progress` is told how many rows of the job are settled, of all.
    """
    if (await here.job(job_id)).driver is not Driver.QUEUE:
        return
    async with held_on_trouble(here, job_id):
        place = await here.place(job_id)
        place.attention.progress = partial(_tell, place, progress)
        try:
            async with place.attention.paid():
                await _take_turn(here, place, batch_id, ring)
        finally:
            await place.rest()


def _tell(place: Place, progress: Callable[[int, int], None], settled: int, total: int) -> None:
    place.desk.rows_left = total - settled
    progress(settled, total)


async def _take_turn(here: Workplace, place: Place, batch_id: int, ring: Ring) -> None:
    running = {_begin_batch(place, batch_id)}
    try:
        while running:
            running |= {_begin_batch(place, further) for further in await _next_batches(here, place, running)}
            done, running = await asyncio.wait(running, timeout=COUNT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await place.books.write(place.desk)
            for each in done:
                await ring_aside(here, await _leave_batch(here, place, each), ring)
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
    stop = completion.weigh(place.desk, place.patience, end)
    if stop is not None:
        log.warning("job held", job=job_id, code=stop.code)
    return await here.ledger.run(lambda tx: _conclude(tx, here, job_id, end, stop))


async def _next_batches(here: Workplace, place: Place, running: Collection[asyncio.Task[BatchEnd]]) -> list[int]:
    """Return the job's next batches, while this turn lasts."""
    most = BATCHES_AT_ONCE - len(running)
    if most < 1 or place.attention.stopping() or place.desk.halted:
        return []
    mine = {int(batch.get_name()) for batch in running}
    return await here.ledger.run(lambda tx: advance.next_batches(tx, place.desk.job_id, most, now(), besides=mine))


def _conclude(tx: Transaction, here: Workplace, job_id: int, end: BatchEnd, stop: StopJob | None) -> list[Bell]:
    completion.conclude(tx, job_id, end, stop)
    if stop is not None:
        return advance.ring_report(tx, job_id, now())
    return advance.go_on(tx, job_id, here.window, now())
