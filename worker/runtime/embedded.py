"""Run one job in this process, without a broker: what `roster run` does. The workers' batch loop, for one job.

Everything that matters is in the ledger; the process may be killed at any moment and the job run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from worker import bootstrap
from worker.errors import RetryLater, StopJob, UsageError
from worker.jobs import advance, completion, lifecycle, planning
from worker.ledger import batches, jobs
from worker.ledger.database import now
from worker.model import SENDING, Driver, JobState
from worker.registration.context import Stopped
from worker.reports.labels import STATE_INFO
from worker.runtime.batch_loop import run_batches, startable
from worker.runtime.session import JobSession, open_session
from worker.safe_errors import without_addresses

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.batches import OpenBatch
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.registration.batch import BatchEnd
    from worker.settings import Connection

#: How often a waiting job checks what a person asked for (seconds).
POLL_SECONDS = 0.3
#: A shorter pause does not show in the job's state (seconds).
NOTICED_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class Runner:
    """One job that runs in this process."""

    services: Services
    job_id: int
    connection: Connection
    #: The state in which the job was last seen; it is not run from another one. None for any.
    expected_state: JobState | None = None
    #: Set when a person interrupts this process.
    interrupted: asyncio.Event = field(default_factory=asyncio.Event)
    #: Called with each change of the job's state, in a sentence.
    on_change: Callable[[str], None] = lambda _: None
    session: JobSession = field(init=False)

    async def run(self) -> Job:
        """Run the job as far as it can go now and return it as it then is.

        Raises UsageError when another process works on it.
        """
        ledger, lms_session = self.services.ledger, bootstrap.open_lms_session(self.services, self.connection)
        try:
            await ledger.run(lambda tx: _take(tx, self.job_id, self.expected_state))
            self.session = open_session(
                self.services, self.connection, self.job_id, lms_session, ending=self.interrupted.is_set
            )
            try:
                async with self.session.stop_signals.watching(may_yield=False):
                    await self._retry_while_away(
                        lambda: planning.prepare(self.session.context, self.connection.batch_size)
                    )
                    await self._run_to_the_end()
            except StopJob as stop:
                await self._hold(stop)
            except Stopped:
                await self._stop_as_asked()
            finally:
                await self.session.flush()
        finally:
            await lms_session.close()
        return await self._job()

    @property
    def has_session(self) -> bool:
        """Whether the job was opened, so that `session` is there."""
        return hasattr(self, "session")

    async def _run_to_the_end(self) -> None:
        while True:
            await run_batches(self.session, await startable(self.session), self._on_end)
            await self._raise_if_stopped()
            open_batches = await self.services.ledger.run(lambda tx: batches.open_batches(tx, self.job_id))
            if not open_batches:
                break
            await self._wait_for(open_batches)
        if await self.services.ledger.run(lambda tx: completion.close_if_done(tx, self.job_id)):
            job = await self._job()
            self.on_change(f"Job {self.job_id} has ended: {STATE_INFO[job.state].label}")

    async def _on_end(self, _batch_id: int, end: BatchEnd) -> None:
        stop = completion.reason_to_hold(self.session.context, self.session.outage_budget, end)
        if stop is not None:
            await self._hold(stop)
            return
        if end.course_stopped is not None:
            self.on_change(end.course_stopped.message)
        await self.services.ledger.run(lambda tx: completion.apply_batch_end(tx, self.job_id, end, None))

    async def _hold(self, stop: StopJob) -> None:
        reason, code = stop.message, stop.code
        if await self.services.ledger.run(lambda tx: lifecycle.hold(tx, self.job_id, reason, code)):
            self.on_change(f"Job {self.job_id} is {JobState.HELD}: {reason}")

    async def _retry_while_away(self, step: Callable[[], Awaitable[None]]) -> None:
        """Do a step that only reads; again after a pause while the LMS is away or asks for one."""
        while True:
            try:
                await step()
            except RetryLater as later:
                self.session.record_failure(later)
                await self._wait_until(now() + later.seconds, without_addresses(later.reason))
            else:
                self.session.outage_budget.reset()
                return

    async def _wait_for(self, open_batches: list[OpenBatch]) -> None:
        """Wait until the first batch may start; the job is `waiting` meanwhile, with the time."""
        next_ones = advance.startable(open_batches, (), at_once=len(open_batches), at=float("inf"))
        start = min((batch.not_before or 0.0 for batch in next_ones), default=now() + 1.0)
        await self._wait_until(start)

    async def _wait_until(self, start: float, why: str = "") -> None:
        began = now()
        if start - began > NOTICED_SECONDS:
            reason = why or (await self._job()).reason or advance.WAITS
            await self._change(JobState.WAITING, reason=reason, not_before=start)
        if start - began > self.connection.longest_pause_seconds:
            raise Stopped("the next call may only go after a long wait")
        while now() < start:
            await asyncio.sleep(min(POLL_SECONDS, max(0.0, start - now())))
            await self._raise_if_stopped()
        if start - began > NOTICED_SECONDS:
            await self._change(JobState.RUNNING, reason="", not_before=None)
        await self.services.ledger.run(
            lambda tx: jobs.add_to_counters(tx, self.job_id, waited_seconds=now() - began)
        )

    async def _raise_if_stopped(self) -> None:
        """Raise Stopped when a person asked for it, here or in another process, or the job is held."""
        job = await self._job()
        if not job.state.is_sending:
            raise Stopped(f"the job is {job.state}")
        if reason := self.session.stop_signals.stop_reason():
            raise reason

    async def _stop_as_asked(self) -> None:
        job = await self._job()
        if job.state is JobState.CANCELLING or self.interrupted.is_set():
            stopped = await self.services.ledger.run(lambda tx: lifecycle.stop_interrupted(tx, self.job_id))
            if job.state.is_sending and stopped.state is JobState.PAUSED:
                self.on_change(f"Job {self.job_id} is {stopped.state}: {stopped.reason}")

    async def _change(self, state: JobState, *, reason: str, **values: Any) -> None:
        """Change the state of the job, unless a person did meanwhile."""
        changed = await self.services.ledger.run(
            lambda tx: jobs.change_job(tx, self.job_id, only_from=SENDING, state=state, reason=reason, **values)
        )
        if changed:
            self.on_change(f"Job {self.job_id} is {state}{f': {reason}' if reason else ''}")

    async def _job(self) -> Job:
        return await self.services.ledger.run(lambda tx: lifecycle.get_job(tx, self.job_id))


def _take(tx: Transaction, job_id: int, expected_state: JobState | None) -> None:
    """Take a job into this process: what a dead process held is opened again, what a live one has is left."""
    batches.reopen_abandoned(tx, job_id)
    owner = batches.running_owner(tx, job_id)
    if owner is not None:
        raise UsageError(f"Job {job_id} is being worked on already, by process {owner.split('/')[1]}")
    job = lifecycle.get_job(tx, job_id)
    if job.is_claimed:
        raise UsageError(f"Job {job_id} is being read by another process already")
    taken = jobs.change_job(
        tx,
        job_id,
        only_from=(expected_state or job.state,),
        driver=Driver.PROCESS,
        state=JobState.RUNNING,
        reason="",
        not_before=None,
        finished_at=None,
        started_at=job.started_at or now(),
    )
    jobs.begin_run(tx, job_id)
    if not taken:
        raise UsageError(f"Job {job_id} is {job.state} now; check it, then resume it if need be")
