"""The embedded mode: work a job off in this process, without a broker. Drives the same functions as the tasks.

One job at a time, several batches of it at once, the canary of each course alone. Everything that matters is in the
ledger; this loop may be killed at any moment and started again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker import bootstrap, lms
from worker.errors import AnswerLost, LmsUnavailable, Refused, RetryLater, RosterError, StopJob, UsageError
from worker.ledger import batches, directory, jobs, outlook
from worker.ledger.engine import now
from worker.model import JobState
from worker.registration import feed, people, plan, settle, steer
from worker.registration.breaker import Breaker
from worker.registration.desk import CourseStopped, Desk, Stopped
from worker.registration.patience import Patience
from worker.registration.run import BatchEnd, run_batch

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker import settings
    from worker.bootstrap import Services
    from worker.ledger.batches import OpenBatch
    from worker.ledger.jobs import Job
    from worker.lms.http import Door

#: Batches at work at the same time: while one ends, the next keeps the line busy.
BATCHES_AT_ONCE = 3
#: How often the loop looks at what a person asked for (seconds).
POLL_SECONDS = 0.3
#: A shorter pause does not show in the job's state (seconds).
NOTICED_SECONDS = 1.0
#: From these this process may change the job's state; what a person asked for meanwhile stands.
_AT_WORK = (JobState.RUNNING, JobState.WAITING)


@dataclass(slots=True, kw_only=True)
class Runner:
    """One job at work in this process."""

    services: Services
    job_id: int
    connection: settings.Connection
    #: Set when a person interrupts this process.
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    #: Told each change of the job's state, in a plain sentence.
    tell: Callable[[str], None] = lambda _: None
    desk: Desk = field(init=False)
    door: Door = field(init=False)
    patience: Patience = field(default_factory=Patience)
    _asked: JobState | None = None
    _waited_before: float = 0.0
    _calls: int = 0
    _began: float = field(default_factory=now)

    async def work_off(self) -> Job:
        """Work the job off as far as it goes now and return it as it then stands.

        Raises UsageError when another process is at work on it.
        """
        wire = bootstrap.open_wire(self.services.ledger, self.connection)
        self.door = bootstrap.open_door(wire, self.job_id)
        try:
            await self._prepare()
            await self._drive()
        except StopJob as stop:
            await self._hold(stop.message)
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
        return self._calls / max(now() - self._began, 0.001)

    async def _prepare(self) -> None:
        ledger, job_id = self.services.ledger, self.job_id
        await ledger.run(lambda tx: _take_up(tx, job_id))
        connector = lms.connect(self.connection, self.door)
        self.desk = Desk(
            job_id=job_id,
            connection=self.connection.name,
            owner=self.services.owner,
            ledger=ledger,
            connector=connector,
            door=self.door,
            breaker=Breaker(self.connection.breaker, proven=await ledger.run(self._proven_courses)),
            lookup_pauses=self.connection.lookup_pauses,
            rows_per_call=connector.rules.rows_per_call,
            stopping=self._stopping,
        )
        await self._until_reached(lambda: people.find_people(self.desk))
        await ledger.run(
            lambda tx: plan.plan_batches(
                tx,
                job_id,
                batch_size=self.connection.batch_size,
                rows_per_call=connector.rules.rows_per_call,
                proven=self.desk.breaker.proven,
            )
        )
        ahead = await ledger.run(lambda tx: outlook.outlook(tx, job_id))
        self.desk.rows_left = sum(ahead.rows_by_course.values())
        self.desk.only_course = len(ahead.rows_by_course) == 1

    def _proven_courses(self, tx: Connection) -> set[str]:
        return outlook.proven_courses(tx, self.connection.name)

    async def _drive(self) -> None:
        running: dict[asyncio.Task[BatchEnd], OpenBatch] = {}
        try:
            while True:
                await self._look()
                open_batches = await self.services.ledger.run(lambda tx: batches.open_batches(tx, self.job_id))
                for batch in feed.ready(open_batches, list(running.values()), at_once=BATCHES_AT_ONCE, at=now()):
                    running[asyncio.create_task(run_batch(batch.id, self.desk))] = batch
                if running:
                    done, _ = await asyncio.wait(running, timeout=POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                    await self._flush()
                    for task in done:
                        await self._ended(running.pop(task), task.result())
                elif open_batches:
                    await self._wait_for(open_batches)
                else:
                    break
        finally:
            await _finish(running)
        await self._settle()

    async def _ended(self, batch: OpenBatch, end: BatchEnd) -> None:
        if end.stop is not None:
            self.desk.halted = True
            raise end.stop
        if end.course is not None:
            await self._stop_course(end.course)
        if end.later is not None:
            await self._put_off(batch, end.later)
        elif end == BatchEnd():
            self.patience.restore()

    async def _stop_course(self, course: CourseStopped) -> None:
        if self.desk.only_course:
            self.desk.halted = True
            raise StopJob(course.code, course.message)
        self.tell(course.message)
        await self.services.ledger.run(lambda tx: settle.give_up_course(tx, self.job_id, course))

    async def _put_off(self, batch: OpenBatch, later: RetryLater) -> None:
        """Note that a batch goes on later."""
        self.patience.lose(later, answered=self.door.wire.answered)
        await self.services.ledger.run(lambda tx: batches.put_off(tx, batch.id, now() + later.seconds))

    async def _until_reached(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do a step that only reads; again after a pause while the LMS is away or asks for one."""
        later: RetryLater
        while True:
            try:
                await step()
            except AnswerLost as lost:
                later = LmsUnavailable(2.0, str(lost))
            except RetryLater as error:
                later = error
            except Refused as refused:
                message = (
                    f"The LMS refused to list its people ({refused}); check what this account may do, then resume"
                )
                raise StopJob("not_allowed", message, refused.status) from None
            else:
                self.patience.restore()
                return
            self.patience.lose(later, answered=self.door.wire.answered)
            await self._wait_until(now() + later.seconds)

    async def _wait_for(self, open_batches: list[OpenBatch]) -> None:
        """Wait until the first batch may go on; the job is `waiting` meanwhile, with the time."""
        next_ones = feed.ready(open_batches, (), at_once=len(open_batches), at=float("inf"))
        start = min((batch.not_before or 0.0 for batch in next_ones), default=now() + 1.0)
        await self._wait_until(start)

    async def _wait_until(self, start: float) -> None:
        begun = now()
        if start - begun > NOTICED_SECONDS:
            await self._change(
                JobState.WAITING, only_from=_AT_WORK, reason="the LMS asked for a pause", not_before=start
            )
        if start - begun > self.connection.longest_pause_seconds:
            self._asked = JobState.WAITING
            raise Stopped("The LMS asked for a long pause")
        while now() < start:
            await asyncio.sleep(min(POLL_SECONDS, max(0.0, start - now())))
            await self._look()
        if start - begun > NOTICED_SECONDS:
            await self._change(JobState.RUNNING, only_from=_AT_WORK, reason="", not_before=None)
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
            await self.services.ledger.run(lambda tx: steer.finish_cancelling(tx, self.job_id))
        elif self.interrupted.is_set() and self._asked is None:
            await self._change(JobState.PAUSED, only_from=_AT_WORK, reason="interrupted")

    async def _hold(self, reason: str) -> None:
        await self._change(JobState.HELD, only_from=_AT_WORK, reason=reason, not_before=None)

    async def _settle(self) -> None:
        if await self.services.ledger.run(lambda tx: settle.settle_job(tx, self.job_id)):
            job = await self._job()
            self.tell(f"Job {self.job_id} has ended: {job.state}")

    async def _change(self, state: JobState, **values: Any) -> None:
        changed = await self.services.ledger.run(lambda tx: jobs.change_job(tx, self.job_id, state=state, **values))
        if changed:
            reason = f": {values['reason']}" if values.get("reason") else ""
            self.tell(f"Job {self.job_id} is {state}{reason}")

    async def _job(self) -> Job:
        return await self.services.ledger.run(lambda tx: steer.get_job(tx, self.job_id))

    async def _flush(self) -> None:
        """Write the counters of this process to the job, and the pace that held to the ledger."""
        calls, self.door.calls = self.door.calls, type(self.door.calls)()
        self._calls += calls.total()
        refused, self.door.rate_limited = self.door.rate_limited, 0
        waited = self.door.wire.gate.snapshot().waited_seconds
        waited, self._waited_before = waited - self._waited_before, waited
        bisected = 0
        if self.at_work:
            bisected, self.desk.bisected = self.desk.bisected, 0
        memory = self.door.wire.gate.to_memory()

        def write(tx: Connection) -> None:
            jobs.count_calls(tx, self.job_id, calls)
            jobs.add_to_job(tx, self.job_id, rate_limited=refused, waited_seconds=waited, bisected_batches=bisected)
            directory.remember(tx, bootstrap.pace_memory(self.connection), memory)

        await self.services.ledger.run(write)


def _take_up(tx: Connection, job_id: int) -> None:
    """Begin or go on with a job: what a dead worker left is opened again; a live one keeps it."""
    batches.reap(tx, job_id)
    owner = batches.running_owner(tx, job_id)
    if owner is not None:
        raise UsageError(f"Job {job_id} is being worked on already, by process {owner.split('/')[1]}")
    job = steer.get_job(tx, job_id)
    jobs.change_job(
        tx,
        job_id,
        state=JobState.RUNNING,
        reason="",
        not_before=None,
        finished_at=None,
        started_at=job.started_at or now(),
    )


async def _finish(running: Collection[asyncio.Task[BatchEnd]]) -> None:
    """Let the calls under way finish: nothing new is sent meanwhile."""
    if running:
        await asyncio.gather(*running, return_exceptions=True)
