"""The work behind `roster serve` without a broker: one thread that answers the ledger's bells by itself.

The same duties as the Celery tasks, in turn over the open jobs. It may be killed at any moment: what it was at
is in the ledger, and the next one goes on with it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from worker.jobs import advance
from worker.ledger import queue
from worker.ledger.database import now
from worker.ledger.queue import Task
from worker.runtime import process, register, report, split, sweep
from worker.runtime.process import Workplace
from worker.safe_errors import left_to_next_sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.ledger.queue import Bell

#: How often the ledger is asked for jobs that came in (seconds).
LOOK_SECONDS = 0.3
#: How often drop folders are looked into, if not oftener swept (seconds).
ATTEND_SECONDS = 2.0
#: Jobs that are read in, and jobs whose rows are sent, at a time.
SLOTS = {Task.SPLIT: 2, Task.REGISTER: 16, Task.REPORT: 2}


@dataclass(slots=True)
class Standalone:
    """Works the jobs of the ledger off in a thread of its own, until told to end."""

    services: Services
    _waiting: list[tuple[float, Bell]] = field(default_factory=list)
    _at_work: dict[asyncio.Task[None], Bell] = field(default_factory=dict)
    _ending: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _attending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, name="standalone", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Finish the calls under way, give the claims back, and stop."""
        self._ending.set()
        process.ending.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        here = Workplace(self.services)
        try:
            here.run(self._work(here))
        finally:
            here.rest()

    async def _work(self, here: Workplace) -> None:
        swept, attended, begun = 0.0, 0.0, False
        every = self.services.settings.sweep_seconds
        while not self._ending.is_set():
            if not begun:
                with left_to_next_sweep("bells of an earlier process"):
                    await here.ledger.run(queue.unring_all)
                    begun = True
            if time.monotonic() - swept > every:
                with left_to_next_sweep("what nobody did"):
                    self._take(await asyncio.to_thread(sweep.recover, here, forgotten=False))
                swept = time.monotonic()
            if time.monotonic() - attended > min(every, ATTEND_SECONDS) and not self._attending:
                self._attending = asyncio.create_task(self._attend(here))
                attended = time.monotonic()
            with left_to_next_sweep("jobs that came in"):
                self._take(await _newly_come(here))
            self._begin(here)
            await asyncio.sleep(LOOK_SECONDS)
        if self._attending:
            await self._attending
        if self._at_work:
            await asyncio.wait(self._at_work)

    async def _attend(self, here: Workplace) -> None:
        """Look into drop folders, beside the work: a share that hangs must not hold up the jobs."""
        with left_to_next_sweep("what comes by itself"):
            self._take(await asyncio.to_thread(sweep.attend, here))
        self._attending = None

    def _take(self, due: Sequence[Bell]) -> list[Bell]:
        """Take bells in; as `ring` of a turn it says which could not be sent: none."""
        self._waiting += [(now() + bell.seconds, bell) for bell in due]
        return []

    def _begin(self, here: Workplace) -> None:
        """Begin what is due, the small jobs first; one turn of a job at a time."""
        later: list[tuple[float, Bell]] = []
        for at, bell in sorted(self._waiting, key=lambda each: (each[1].urgency, each[0])):
            if at <= now() and self._has_room_for(bell):
                self._answer(here, bell)
            else:
                later.append((at, bell))
        self._waiting = later

    def _has_room_for(self, bell: Bell) -> bool:
        same = [other.job_id for other in self._at_work.values() if other.task is bell.task]
        return len(same) < SLOTS[bell.task] and (bell.task is not Task.REGISTER or bell.job_id not in same)

    def _answer(self, here: Workplace, bell: Bell) -> None:
        work = asyncio.create_task(self._duty(here, bell))
        self._at_work[work] = bell
        work.add_done_callback(self._at_work.pop)

    async def _duty(self, here: Workplace, bell: Bell) -> None:
        with left_to_next_sweep("job", job=bell.job_id):
            if bell.task is Task.SPLIT:
                self._take(await split.split(here, bell.id))
            elif bell.task is Task.REGISTER:
                await register.register(here, bell.job_id, bell.id, self._take, lambda _done, _total: None)
            else:
                await asyncio.to_thread(report.report, here, bell.id)


async def _newly_come(here: Workplace) -> list[Bell]:
    """Return the bells of jobs that were handed over since."""
    unheard = await here.ledger.run(queue.unheard)
    rung: list[Bell] = []
    for job_id in unheard:
        rung += await here.ledger.run(lambda tx, job_id=job_id: advance.go_on(tx, job_id, here.window, now()))  # type: ignore[misc]
    return rung
