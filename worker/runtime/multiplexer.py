"""While a worker process is busy with one job, it also runs other waiting jobs, short ones first.

A Celery task has its process to itself while it lasts, and importing a long roster takes many seconds. So a process
asks the ledger now and then for task messages that no worker has claimed yet, and runs them next to its own work;
when a worker receives them later, nothing is left to do. Claims in the ledger see to it that no other process does
the same, and the rate limiter lets the calls of the shortest job through first.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from worker.errors import LedgerError
from worker.intake.storage import estimate_rows
from worker.ledger import batches, queue
from worker.ledger.database import now
from worker.ledger.queue import Priority, Task, TaskMessage
from worker.runtime.messages import run_message
from worker.runtime.process import shutting_down
from worker.runtime.sweep import sweep
from worker.safe_errors import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.runtime.process import WorkerProcess
    from worker.runtime.publishing import Publisher

#: How often to ask for unclaimed messages (seconds), and how many side jobs a process has at most.
POLL_SECONDS, MAX_SIDE_JOBS = 0.3, 12
#: Imports started at one time: a process that took all of them would leave nothing to idle processes.
IMPORTS_AT_ONCE = 1
#: The same message of a job is not run again within this (seconds).
AGAIN_SECONDS = 2.0
#: A process with side jobs continues this long after its own work has ended (seconds); then its task ends.
LONGER_SECONDS = 300.0
#: When no process has swept for this many intervals, since every slot is taken, this one does.
OVERDUE_INTERVALS = 3
log = structlog.get_logger("roster")


async def run_batch_message(
    process: WorkerProcess, batch_id: int, publisher: Publisher, progress: Callable[[int, int], None]
) -> None:
    """Run a batch and, for one time slice, the job's next ones; and side jobs."""
    job_id = await process.ledger.run(lambda tx: batches.job_of(tx, batch_id))
    if job_id is not None:
        message = TaskMessage(task=Task.REGISTER, id=batch_id, job_id=job_id)
        await Multiplexer(process, publisher).run_with_side_jobs(message, progress)


async def run_split_message(process: WorkerProcess, job_id: int, publisher: Publisher) -> None:
    """Import a job's roster and plan its batches; and run side jobs."""
    message = TaskMessage(task=Task.SPLIT, id=job_id, job_id=job_id)
    await Multiplexer(process, publisher, _imports_long=True).run_with_side_jobs(message)


@dataclass(slots=True)
class Multiplexer:
    """The jobs that a process runs next to its own work."""

    process: WorkerProcess
    publisher: Publisher
    #: Whether a long roster is imported in this process; two at once would take the CPU from the calls.
    _imports_long: bool = False
    #: A message that was run is not run again before this: perhaps nothing could be done.
    _not_before: dict[tuple[Task, int], float] = field(default_factory=dict)
    _side_jobs: dict[asyncio.Task[None], int] = field(default_factory=dict)

    async def run_with_side_jobs(
        self, message: TaskMessage, progress: Callable[[int, int], None] = lambda _done, _total: None
    ) -> None:
        """Run a message of this process's own, and side jobs meanwhile."""
        main = asyncio.create_task(run_message(self.process, message, self.publisher, progress))
        until = math.inf
        try:
            while (running := self._running(main)) and time.monotonic() < until:
                await asyncio.wait(running, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if main.done():
                    until = min(until, time.monotonic() + LONGER_SECONDS)
                await self._poll(message.job_id)
        finally:
            # Nothing may be left half done on an event loop that stops.
            await asyncio.gather(main, *self._side_jobs, return_exceptions=True)
        main.result()

    async def _poll(self, job_id: int) -> None:
        try:
            await self._start_side_jobs(job_id)
            await self._sweep_if_overdue()
        except LedgerError:
            pass  # the commits meet it too, and report it
        except Exception as error:  # noqa: BLE001 - whatever it is, what runs goes on
            log.error("could not look for side jobs", place=place_of(error))  # noqa: TRY400 - a traceback may have names

    def _running(self, main: asyncio.Task[None]) -> set[asyncio.Task[None]]:
        return {work for work in (main, *self._side_jobs) if not work.done()}

    async def _start_side_jobs(self, job_id: int) -> None:
        """Run the messages no worker has claimed yet, shortest job first; import only one long roster at a time."""
        taken = (job_id, *self._side_jobs.values())
        if len(taken) > MAX_SIDE_JOBS or shutting_down.is_set():
            return
        unclaimed = await self.process.ledger.query(lambda tx: queue.unclaimed(tx, estimate_rows, exclude=taken))
        due = [each for each in unclaimed if time.monotonic() > self._not_before.get((each.task, each.job_id), 0.0)]
        for message in in_order(due)[: MAX_SIDE_JOBS + 1 - len(taken)]:
            self._not_before[message.task, message.job_id] = time.monotonic() + AGAIN_SECONDS
            is_long = message.task is Task.SPLIT and message.priority is Priority.LOW
            if not (is_long and self._imports_long):
                side_job = asyncio.create_task(self._run(message, is_long=is_long))
                self._side_jobs[side_job] = message.job_id
                side_job.add_done_callback(self._ended)

    async def _sweep_if_overdue(self) -> None:
        interval = self.process.services.settings.sweep_seconds
        if await self.process.ledger.query(queue.last_swept) < now() - OVERDUE_INTERVALS * interval:
            await asyncio.to_thread(sweep, self.process, self.publisher, messages_lost=False)

    def _ended(self, side_job: asyncio.Task[None]) -> None:
        job_id = self._side_jobs.pop(side_job)
        if not side_job.cancelled() and (error := side_job.exception()):
            log.warning("left to the next sweep", job=job_id, reason=type(error).__name__)

    async def _run(self, message: TaskMessage, *, is_long: bool) -> None:
        self._imports_long |= is_long
        try:
            await run_message(self.process, message, self.publisher)
        finally:
            self._imports_long &= not is_long


def in_order(due: Sequence[TaskMessage]) -> list[TaskMessage]:
    """Return the messages to run now: the most urgent first, and only a few imports."""
    by_urgency = sorted(due, key=lambda message: message.priority)
    imports = [message for message in by_urgency if message.task is Task.SPLIT]
    return [message for message in by_urgency if message not in imports[IMPORTS_AT_ONCE:]]
