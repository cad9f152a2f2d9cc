"""The one loop that runs the batches of a job, a few at a time: for the workers and for `roster run` alike."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from worker.jobs import advance
from worker.ledger.database import now
from worker.registration.batch import run_batch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from worker.registration.batch import BatchEnd
    from worker.runtime.session import JobSession

#: Batches of one job that run in one process: while the last calls of one finish, the next keeps the LMS busy.
BATCHES_AT_ONCE = 3
#: While no batch ends, the counts are written this often (seconds).
WRITE_SECONDS = 2.0


async def run_batches(
    session: JobSession, first: Collection[int], on_end: Callable[[int, BatchEnd], Awaitable[None]]
) -> None:
    """Run the batches `first`, and then others that may start, until none of them runs any more.

    `on_end` is awaited with the id and the end of each batch, but for those that another process has.
    """
    running = {_start(session, batch_id) for batch_id in first}
    try:
        while running:
            running |= {_start(session, batch_id) for batch_id in await startable(session, running)}
            done, running = await asyncio.wait(running, timeout=WRITE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                await session.flush_counters()
            for batch in done:
                end = batch.result()
                if not end.not_claimed:
                    await session.flush_counters()
                    await on_end(int(batch.get_name()), end)
    except asyncio.CancelledError:
        for batch in running:
            batch.cancel()
        raise
    finally:
        # Calls in progress finish; nothing new is sent meanwhile.
        await asyncio.gather(*running, return_exceptions=True)


async def startable(session: JobSession, running: Collection[asyncio.Task[BatchEnd]] = ()) -> list[int]:
    """Return the batches of the job that may start now next to those that are `running`."""
    most = BATCHES_AT_ONCE - len(running)
    if most < 1 or session.stop_signals.stop_reason() or session.context.halted:
        return []
    mine = {int(batch.get_name()) for batch in running}
    return await session.context.ledger.run(
        lambda tx: advance.next_batches(tx, session.job_id, most, now(), besides=mine)
    )


def _start(session: JobSession, batch_id: int) -> asyncio.Task[BatchEnd]:
    return asyncio.create_task(run_batch(batch_id, session.context), name=str(batch_id))
