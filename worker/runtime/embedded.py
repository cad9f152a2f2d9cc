"""The embedded mode: work a job off in this process, without a broker. Drives the same functions as the tasks.

One job at a time, several batches of it at once, the canary of each course alone. Everything that matters is in the
ledger; this loop may be killed at any moment and started again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker import bootstrap
from worker.errors import RetryLater, RosterError, StopJob, UsageError
from worker.jobs import advance, completion, lifecycle, planning
from worker.ledger import batches, jobs
from worker.ledger.database import now
from worker.model import AT_WORK, Driver, JobState
from worker.registration.batch import BatchEnd, run_batch
from worker.registration.breaker import Patience
from worker.registration.context import Desk, Stopped
from worker.registration.counters import Books

if TYPE_CHECKING:
    from worker import settings
    from worker.bootstrap import Services
    from worker.ledger.batches import OpenBatch
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.lms.http import Door

#: Batches at work at the same time: while one ends, the next keeps the line busy.
BATCHES_AT_ONCE = 3
#: How often the loop looks at what a person asked for (seconds).
POLL_SECONDS = 0.3
#: A shorter pause does not show in the job's state (seconds).
NOTICED_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class Runner:
    """One job at work in this process."""

    services: Services
    job_id: int
    connection: settings.Connection
    #: In which state the job was found; None for whatever it is.
    seen: JobState | None = None
    #: Set when a person interrupts this process.
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    #: Told each change of the job's state, in a plain sentence.
    tell: Callable[[str], None] = lambda _: None
    desk: Desk = field(init=False)
    door: Door = field(init=False)
    patience: Patience = field(default_factory=Patience)
    books: Books = field(init=False)
    _asked: JobState | None = None

    async def work_off(self) -> Job:
        """Work the job off as far as it goes now and return it as it then stands.

        Raises UsageError when another process is at work on it.
        """
        wire = bootstrap.open_wire(self.services, self.connection)
        self.door = bootstrap.open_door(wire, self.job_id)
        self.books = Books(
            ledger=self.services.ledger,
            job_id=self.job_id,
            door=self.door,
            pace_memory=bootstrap.pace_memory(self.connection),
        )
        try:
            await self._prepare()
            await self._drive()
        except StopJob as stop:
            await self._hold(stop)
        except Stopped:
            await self._stop_as_asked()
        finally:
            await self._flush()
            await wire.close()
        return await self._job()

    @property
    def at_work(self) -> bool:
        """Whether the job's rows are planned and being sent."""
        return hasattr(self, "desk")

    def calls_per_second(self) -> float:
        """Return how fast this process has called so far."""
        return self.books.calls_per_second()

    async def _prepare(self) -> None:
        ledger, job_id = self.services.ledger, self.job_id
        await ledger.run(lambda tx: _take_up(tx, job_id, self.seen))
        self.desk = bootstrap.open_desk(self.services, self.connection, job_id, self.door, self._stopping)
        await self._until_reached(lambda: planning.prepare(self.desk, self.connection.batch_size))

    async def _drive(self) -> None:
        running: dict[asyncio.Task[BatchEnd], OpenBatch] = {}
        try:
            while True:
                await self._look()
                open_batches = await self.services.ledger.run(lambda tx: batches.open_batches(tx, self.job_id))
                for batch in advance.ready(open_batches, list(running.values()), at_once=BATCHES_AT_ONCE, at=now()):
                    running[asyncio.create_task(run_batch(batch.id, self.desk))] = batch
                if running:
                    done, _ = await asyncio.wait(running, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    await self._flush()
                    for task in done:
                        running.pop(task)
                        await self._ended(task.result())
                elif open_batches:
                    await self._wait_for(open_batches)
                else:
                    break
        finally:
            await _finish(running)
        await self._settle()

    async def _ended(self, end: BatchEnd) -> None:
        stop = completion.weigh(self.desk, self.patience, end)
        if stop is not None:
            raise stop
        if end.course is not None:
            self.tell(end.course.message)
        await self.services.ledger.run(lambda tx: completion.conclude(tx, self.job_id, end, None))

    async def _until_reached(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do a step that only reads; again after a pause while the LMS is away or asks for one."""
        while True:
            try:
                await step()
            except RetryLater as later:
                self.patience.lose(later, answered=self.door.wire.answered)
                await self._wait_until(now() + later.seconds)
            else:
                self.patience.restore()
                return

    async def _wait_for(self, open_batches: list[OpenBatch]) -> None:
        """Wait until the first batch may go on; the job is `waiting` meanwhile, with the time."""
        next_ones = advance.ready(open_batches, (), at_once=len(open_batches), at=float("inf"))
        start = min((batch.not_before or 0.0 for batch in next_ones), default=now() + 1.0)
        await self._wait_until(start)

    async def _wait_until(self, start: float) -> None:
        begun = now()
        if start - begun > NOTICED_SECONDS:
            await self._change(
                JobState.WAITING, only_from=AT_WORK, reason="the LMS asked for a pause", not_before=start
            )
        if start - begun > self.connection.longest_pause_seconds:
            self._asked = JobState.WAITING
            raise Stopped("The LMS asked for a long pause")
        while now() < start:
            await asyncio.sleep(min(POLL_SECONDS, max(0.0, start - now())))
            await self._look()
        if start - begun > NOTICED_SECONDS:
            await self._change(JobState.RUNNING, only_from=AT_WORK, reason="", not_before=None)
        await self.services.ledger.run(lambda tx: jobs.add_to_job(tx, self.job_id, waited_seconds=now() - begun))

    def _stopping(self) -> RosterError | None:
        """Return why nothing more may be sent, if so."""
        if self.interrupted.is_set():
            return Stopped("interrupted")
        return Stopped("stopped") if self._asked else None

    async def _look(self) -> None:
        """Look at what a person asked for, here or from another process."""
        job = await self._job()
        if job.state in {JobState.PAUSED, JobState.CANCELLING, JobState.CANCELLED}:
            self._asked = job.state
        if reason := self._stopping():
            raise reason

    async def _stop_as_asked(self) -> None:
        if self._asked is JobState.CANCELLING:
            await self.services.ledger.run(lambda tx: lifecycle.finish_cancelling(tx, self.job_id))
        elif self.interrupted.is_set() and self._asked is None:
            await self._change(JobState.PAUSED, only_from=AT_WORK, reason="interrupted")

    async def _hold(self, stop: StopJob) -> None:
        values = {"reason": stop.message, "reason_code": stop.code, "not_before": None}
        await self._change(JobState.HELD, only_from=AT_WORK, **values)

    async def _settle(self) -> None:
        if await self.services.ledger.run(lambda tx: completion.settle_job(tx, self.job_id)):
            job = await self._job()
            self.tell(f"Job {self.job_id} has ended: {job.state}")

    async def _change(self, state: JobState, **values: Any) -> None:
        changed = await self.services.ledger.run(lambda tx: jobs.change_job(tx, self.job_id, state=state, **values))
        if changed:
            reason = f": {values['reason']}" if values.get("reason") else ""
            self.tell(f"Job {self.job_id} is {state}{reason}")

    async def _job(self) -> Job:
        return await self.services.ledger.run(lambda tx: lifecycle.get_job(tx, self.job_id))

    async def _flush(self) -> None:
        await self.books.write(self.desk if self.at_work else None)


def _take_up(tx: Transaction, job_id: int, seen: JobState | None) -> None:
    """Begin or go on with a job: what a dead worker left is opened again; a live one keeps it."""
    batches.reap(tx, job_id)
    owner = batches.running_owner(tx, job_id)
    if owner is not None:
        raise UsageError(f"Job {job_id} is being worked on already, by process {owner.split('/')[1]}")
    job = lifecycle.get_job(tx, job_id)
    if job.is_taken:
        raise UsageError(f"Job {job_id} is being read by another process already")
    taken = jobs.change_job(
        tx,
        job_id,
        only_from=(seen or job.state,),
        driver=Driver.PROCESS,
        state=JobState.RUNNING,
        reason="",
        not_before=None,
        finished_at=None,
        started_at=job.started_at or now(),
    )
    if not taken:
        raise UsageError(f"Job {job_id} is {job.state} by now; look at it, then resume it if need be")


async def _finish(running: Collection[asyncio.Task[BatchEnd]]) -> None:
    """Let the calls under way finish: nothing new is sent meanwhile."""
    if running:
        await asyncio.gather(*running, return_exceptions=True)
