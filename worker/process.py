"""What a worker process keeps between tasks, and the four things a task may ask of it.

One event loop, one line to each account and one desk for each job, kept open from task to task: a line opened anew
for every batch would cost a handshake each. Everything that matters is in the ledger; this process may be killed at
any moment.
"""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from worker import bootstrap, lms
from worker.errors import LedgerError, NothingSent, RetryLater, StopJob
from worker.intake.accept import read_in
from worker.ledger import batches, bells, jobs
from worker.ledger.engine import now
from worker.ledger.owners import LEASE_SECONDS
from worker.model import AT_WORK, Driver, JobState
from worker.registration import conclude, feed, prepare
from worker.registration.attention import Attention
from worker.registration.books import Books
from worker.registration.desk import Stopped
from worker.registration.patience import Patience
from worker.registration.run import run_batch
from worker.reports import filing

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from worker.bootstrap import Services
    from worker.ledger.bells import Bell
    from worker.ledger.jobs import Job
    from worker.lms.http import Wire
    from worker.registration.desk import Desk

Result = TypeVar("Result")
Progress = Callable[[int, int], None]
#: So many jobs keep their desks open.
MOST_DESKS = 64
#: Set in the parent when the worker is told to end; its children, forked before, see it.
ending = multiprocessing.Event()
log = structlog.get_logger("roster")
_here = threading.local()


@dataclass(slots=True)
class Place:
    """A job's place in this process."""

    desk: Desk
    books: Books
    attention: Attention
    patience: Patience = field(default_factory=Patience)


class Process:
    """One process of a worker."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.window = feed.Window(batches=services.settings.window)
        self._loop = asyncio.Runner()
        self._wires: dict[str, Wire] = {}
        self._places: OrderedDict[int, Place] = OrderedDict()

    def split(self, job_id: int) -> list[Bell]:
        """Read a job's roster in, find its people, cut it into batches; return the bells to ring."""
        return self._run(self._split(job_id))

    def register(self, batch_id: int, progress: Progress = lambda _done, _total: None) -> list[Bell]:
        """Work a batch off as far as it goes now; return the bells to ring."""
        return self._run(self._register(batch_id, progress))

    def report(self, job_id: int) -> None:
        """Write the reports of a job."""
        with self.services.ledger.read() as tx:
            job = jobs.find_job(tx, job_id)
        if job is None:
            return
        summary = filing.file_reports(self.services.ledger, job, self.services.files / "reports" / str(job_id))
        log.info("reports written", job=job_id, state=summary.state, total=summary.total)

    def sweep(self) -> list[Bell]:
        """Find what nobody was asked to do, or nobody did; return the bells to ring."""
        with self.services.ledger.write() as tx:
            opened = batches.reap(tx)
            open_jobs = bells.open_jobs(tx)
        if opened:
            log.warning("claims of dead workers opened again", batches=opened)
        rung: list[Bell] = []
        for job_id in open_jobs:
            with self.services.ledger.write() as tx:
                rung += feed.go_on(tx, job_id, self.window, now())
        return rung

    def forget(self, unrung: list[Bell]) -> None:
        """Note that these bells could not be rung."""
        with self.services.ledger.write() as tx:
            bells.unring(tx, unrung)

    def close(self) -> None:
        """Let go of everything."""
        self._run(self._close())
        self._loop.close()
        self.services.ledger.close()

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self._loop.run(work, context=contextvars.copy_context())

    async def _close(self) -> None:
        for wire in self._wires.values():
            await wire.close()

    async def _split(self, job_id: int) -> list[Bell]:
        ledger, owner = self.services.ledger, self.services.owner
        if not await ledger.run(lambda tx: jobs.take_job(tx, job_id, owner)):
            return []
        beating = asyncio.create_task(self._hold_job(job_id))
        try:
            await self._make_ready(job_id)
        finally:
            beating.cancel()
            await ledger.run(lambda tx: jobs.leave_job(tx, job_id, owner))
        return await ledger.run(lambda tx: feed.go_on(tx, job_id, self.window, now()))

    async def _hold_job(self, job_id: int) -> None:
        while True:
            await asyncio.sleep(LEASE_SECONDS / 6)
            await self.services.ledger.run(lambda tx: jobs.renew_job(tx, job_id, self.services.owner))

    async def _make_ready(self, job_id: int) -> None:
        job = await self._job(job_id)
        connection = self.services.connection(job.connection)
        if job.state in {JobState.UPLOADED, JobState.VALIDATING}:
            try:
                await asyncio.to_thread(read_in, self.services.ledger, job_id, lms.rules_of(connection))
            except NothingSent as error:
                log.warning("roster refused", job=job_id, reason=type(error).__name__)
                return
            log.info("roster read", job=job_id, connection=job.connection)
        await self.services.ledger.run(lambda tx: _begin(tx, job_id))
        place = await self._place(job_id)
        try:
            async with place.attention.paid():
                await prepare.prepare(place.desk, connection.batch_size)
        except Stopped:
            return
        except (RetryLater, StopJob) as trouble:
            await self._wait_or_hold(place, trouble)
        finally:
            await self._rest(place)

    async def _rest(self, place: Place) -> None:
        """Leave nothing half done when the loop stands still."""
        await place.desk.door.wire.gate.rest()
        await place.books.write(place.desk)

    async def _wait_or_hold(self, place: Place, trouble: RetryLater | StopJob) -> None:
        """Let a job whose people could not be found wait for the LMS, or hold it."""
        job_id = place.desk.job_id
        try:
            if isinstance(trouble, StopJob):
                raise trouble
            place.patience.lose(trouble, answered=place.desk.door.wire.answered)
        except StopJob as stop:
            reason = stop.message
            await self.services.ledger.run(lambda tx: conclude.hold(tx, job_id, reason))
            log.warning("job held", job=job_id, code=stop.code)
            return
        start = now() + trouble.seconds
        values = {"state": JobState.WAITING, "not_before": start, "reason": trouble.message}
        await self.services.ledger.run(lambda tx: jobs.change_job(tx, job_id, only_from=AT_WORK, **values))
        log.info("job waits", job=job_id, seconds=round(trouble.seconds, 1))

    async def _register(self, batch_id: int, progress: Progress) -> list[Bell]:
        ledger = self.services.ledger
        job_id = await ledger.run(lambda tx: batches.job_of(tx, batch_id))
        if job_id is None or (await self._job(job_id)).driver is not Driver.QUEUE:
            return []
        place = await self._place(job_id)
        place.attention.progress = progress
        began = time.monotonic()
        try:
            async with place.attention.paid():
                end = await run_batch(batch_id, place.desk)
        finally:
            await self._rest(place)
        if end.passed_over:
            return []
        log.info("batch left", job=job_id, batch=batch_id, seconds=round(time.monotonic() - began, 2), end=end.word)
        stop = conclude.weigh(place.desk, place.patience, end)
        if stop is not None:
            log.warning("job held", job=job_id, code=stop.code)
        return await ledger.run(lambda tx: self._conclude(tx, job_id, end, stop))

    def _conclude(self, tx: Connection, job_id: int, end: Any, stop: StopJob | None) -> list[Bell]:
        conclude.conclude(tx, job_id, end, stop)
        if stop is not None:
            return feed.ring_report(tx, job_id, now())
        return feed.go_on(tx, job_id, self.window, now())

    async def _job(self, job_id: int) -> Job:
        job = await self.services.ledger.run(lambda tx: jobs.find_job(tx, job_id))
        if job is None:
            raise LedgerError(f"There is no job {job_id}")
        return job

    async def _place(self, job_id: int) -> Place:
        """Return the job's place; a job that was held or paused and goes on gets a new one."""
        place = self._places.get(job_id)
        if place is None or place.desk.halted:
            place = self._places[job_id] = self._open_place(await self._job(job_id))
            await prepare.look_ahead(place.desk)
            while len(self._places) > MOST_DESKS:
                self._places.popitem(last=False)
        self._places.move_to_end(job_id)
        return place

    def _open_place(self, job: Job) -> Place:
        services, connection = self.services, self.services.connection(job.connection)
        credential = bootstrap.credential_of(connection)
        if credential not in self._wires:
            self._wires[credential] = bootstrap.open_wire(services, connection)
        door = bootstrap.open_door(self._wires[credential], job.id)
        attention = Attention(ledger=services.ledger, job_id=job.id, ending=ending.is_set)
        desk = bootstrap.open_desk(services, connection, job.id, door, attention.stopping)
        memory = bootstrap.pace_memory(connection)
        books = Books(ledger=services.ledger, job_id=job.id, door=door, pace_memory=memory)
        return Place(desk, books, attention)


def _begin(tx: Connection, job_id: int) -> None:
    job = jobs.find_job(tx, job_id)
    jobs.change_job(
        tx,
        job_id,
        only_from=(JobState.QUEUED, *AT_WORK),
        state=JobState.RUNNING,
        reason="",
        not_before=None,
        started_at=(job.started_at if job else None) or now(),
    )


def here() -> Process:
    """Return this process's own; opened at the first task, after the fork."""
    process: Process | None = getattr(_here, "process", None)
    if process is None:
        process = _here.process = Process(bootstrap.open_services(None))
    return process


def leave() -> None:
    """Close this process's own, if it was opened."""
    process: Process | None = getattr(_here, "process", None)
    if process is not None:
        process.close()
        _here.process = None
