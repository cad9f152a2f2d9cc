"""Jobs worked off beside what a process is at: short ones wait neither for a slot nor for the end of a long one.

A task of the queue has its process to itself while it lasts, and a long roster is read in for many seconds. So a
process looks up now and then for jobs whose bell nobody has answered, and answers them beside its own work; their
messages, when they come, find nothing left to do. Claims in the ledger see to it that nobody else does, and the
pace lets the calls of the shortest job through first.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from worker.errors import LedgerError
from worker.ledger import batches, queue
from worker.ledger.database import now
from worker.ledger.queue import Task, Urgency
from worker.runtime import process
from worker.runtime import register as registering
from worker.runtime import split as splitting
from worker.runtime.report import report
from worker.runtime.sending import ring_aside
from worker.runtime.sweep import sweep
from worker.safe_errors import place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from worker.ledger.queue import Bell
    from worker.runtime.process import Workplace
    from worker.runtime.sending import Ring

#: How often to look (seconds), and how many jobs a process has beside its own work at most.
LOOK_SECONDS, MOST = 0.3, 12
#: Rosters begun to be read at one look: whoever took all that wait would leave nothing to processes that are idle.
ROSTERS_A_LOOK = 1
#: The same bell of a job is answered again after this (seconds).
AGAIN_SECONDS = 2.0
#: A process that has company goes on so long after its own work has ended (seconds); then its task ends.
LONGER_SECONDS = 300.0
#: When nobody has swept for so many times the interval, since every slot is taken, this process does.
OVERDUE = 3
log = structlog.get_logger("roster")


async def register(here: Workplace, batch_id: int, ring: Ring, progress: Callable[[int, int], None]) -> None:
    """Work a batch off, and the job's next ones while the turn lasts (`worker.runtime.register`), in company."""
    job_id = await here.ledger.run(lambda tx: batches.job_of(tx, batch_id))
    if job_id is not None:
        await Company(here, ring).beside(registering.register(here, job_id, batch_id, ring, progress), job_id)


async def split(here: Workplace, job_id: int, ring: Ring) -> None:
    """Make a job ready and ring for its first batches, in company."""
    company = Company(here, ring, _reading_long=True)
    await company.beside(_split(here, job_id, ring), job_id)


@dataclass(slots=True)
class Company:
    """The jobs beside a process's own work."""

    here: Workplace
    ring: Ring
    #: Whether a long roster is read in here; two at once would take the processor from the calls.
    _reading_long: bool = False
    #: What was answered is not answered again before: it may be that nothing could be done.
    _not_before: dict[tuple[Task, int], float] = field(default_factory=dict)
    _at_work: dict[asyncio.Task[None], int] = field(default_factory=dict)

    async def beside(self, own: Coroutine[Any, Any, None], job_id: int) -> None:
        """Do a process's own work, on the job `job_id`, and other jobs beside it."""
        main = asyncio.create_task(own)
        until = math.inf
        try:
            while (at_work := self._busy(main)) and time.monotonic() < until:
                await asyncio.wait(at_work, timeout=LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if main.done():
                    until = min(until, time.monotonic() + LONGER_SECONDS)
                await self._look_up(job_id)
        finally:
            # Nothing may be left half done on a loop that stands still.
            await asyncio.gather(main, *self._at_work, return_exceptions=True)
        main.result()

    async def _look_up(self, job_id: int) -> None:
        try:
            await self._welcome(job_id)
            await self._sweep_if_nobody_does()
        except LedgerError:
            pass  # the commits' trouble, and theirs to tell
        except Exception as error:  # noqa: BLE001 - whatever it is, what is at work goes on
            log.error("could not look up", place=place_of(error))  # noqa: TRY400 - a traceback may tell names

    def _busy(self, main: asyncio.Task[None]) -> set[asyncio.Task[None]]:
        return {work for work in (main, *self._at_work) if not work.done()}

    async def _welcome(self, job_id: int) -> None:
        """Answer bells to which nobody has come, those of short jobs first; one long roster is read at a time."""
        besides = (job_id, *self._at_work.values())
        if len(besides) > MOST or process.ending.is_set():
            return
        waiting = await self.here.ledger.look(lambda tx: queue.unanswered(tx, besides=besides))
        due = [bell for bell in waiting if time.monotonic() > self._not_before.get((bell.task, bell.job_id), 0.0)]
        for bell in in_turn(due)[: MOST + 1 - len(besides)]:
            self._not_before[bell.task, bell.job_id] = time.monotonic() + AGAIN_SECONDS
            reads_long = bell.task is Task.SPLIT and bell.urgency is Urgency.LAST
            if not (reads_long and self._reading_long):
                answered = asyncio.create_task(self._answer(bell, reads_long=reads_long))
                self._at_work[answered] = bell.job_id
                answered.add_done_callback(self._leave)

    async def _sweep_if_nobody_does(self) -> None:
        interval = self.here.services.settings.sweep_seconds
        if await self.here.ledger.look(queue.last_swept) < now() - OVERDUE * interval:
            await asyncio.to_thread(sweep, self.here, self.ring, forgotten=False)

    def _leave(self, answered: asyncio.Task[None]) -> None:
        job_id = self._at_work.pop(answered)
        if not answered.cancelled() and (error := answered.exception()):
            log.warning("left to the next sweep", job=job_id, reason=type(error).__name__)

    async def _answer(self, bell: Bell, *, reads_long: bool) -> None:
        self._reading_long |= reads_long
        try:
            await self._do(bell)
        finally:
            self._reading_long &= not reads_long

    async def _do(self, bell: Bell) -> None:
        if bell.task is Task.REGISTER:
            await registering.register(self.here, bell.job_id, bell.id, self.ring, lambda _settled, _total: None)
        elif bell.task is Task.REPORT:
            await asyncio.to_thread(report, self.here, bell.id)
        else:
            await _split(self.here, bell.id, self.ring)


def in_turn(due: Sequence[Bell]) -> list[Bell]:
    """Return the bells to answer now: the most urgent first, and of rosters to be read in a few at a time."""
    by_urgency = sorted(due, key=lambda bell: bell.urgency)
    unread = [bell for bell in by_urgency if bell.task is Task.SPLIT]
    return [bell for bell in by_urgency if bell not in unread[ROSTERS_A_LOOK:]]


async def _split(here: Workplace, job_id: int, ring: Ring) -> None:
    await ring_aside(here, await splitting.split(here, job_id), ring)
