"""What a worker process keeps between tasks: its event loop, a line to each account, a desk for each job.

A line opened anew for every batch would cost a handshake each. Everything that matters is in the ledger; this
process may be killed at any moment.
"""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from worker import bootstrap
from worker.errors import LedgerError
from worker.jobs import advance, planning
from worker.ledger import jobs
from worker.notifications.sender import Sender
from worker.registration.breaker import Patience
from worker.registration.counters import Books
from worker.registration.stop_signals import Attention

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.jobs import Job
    from worker.lms.http import Wire
    from worker.registration.context import Desk

Result = TypeVar("Result")
#: So many jobs keep their desks open, each for so long after it was last used (seconds).
MOST_DESKS, STALE_SECONDS = 64, 600.0
#: For so long at most a thread that reads a long roster keeps the processor from the calls (seconds).
SWITCH_SECONDS = 0.0005
#: Threads for what would hold up the calls: of each job at work one that reads its roster in, and others that look.
THREADS = 40
#: Messages under way when a process ends have so long to arrive (seconds).
LAST_MESSAGES_SECONDS = 5.0
#: Set in the parent when the worker is told to end; its children, forked before, see it.
ending = multiprocessing.Event()
_here = threading.local()
log = structlog.get_logger("roster")


@dataclass(slots=True)
class Place:
    """A job's place in this process."""

    desk: Desk
    books: Books
    attention: Attention
    patience: Patience = field(default_factory=Patience)
    used_at: float = field(default_factory=time.monotonic)

    @property
    def is_stale(self) -> bool:
        """Whether what was learnt at this desk may have changed at the LMS meanwhile."""
        return self.desk.halted or time.monotonic() - self.used_at > STALE_SECONDS

    async def rest(self) -> None:
        """Leave nothing half done before the loop stands still."""
        await self.desk.door.wire.gate.rest()
        await self.books.write(self.desk)
        self.used_at = time.monotonic()


class Workplace:
    """One process of a worker."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.ledger = services.ledger
        self.window = advance.Window(batches=services.settings.window)
        self.sender = Sender(services.ledger)
        self._loop = asyncio.Runner()
        self._loop.get_loop().set_default_executor(ThreadPoolExecutor(THREADS, "aside"))
        self._wires: dict[str, Wire] = {}
        self._places: OrderedDict[int, Place] = OrderedDict()
        self._aside: dict[str, threading.Thread] = {}
        self._said: dict[str, tuple[str, str]] = {}
        sys.setswitchinterval(SWITCH_SECONDS)

    def begin_aside(self, name: str, work: Callable[[], object]) -> None:
        """Begin work that may hang in a thread of its own, unless the last of that name is still at it."""
        last = self._aside.get(name)
        if last is None or not last.is_alive():
            self._aside[name] = threading.Thread(target=work, name=name, daemon=True)
            self._aside[name].start()

    def say_once(self, about: str, event: str, **values: Any) -> None:
        """Log a warning, unless the last one about the same was the same."""
        if self._said.get(about) != (said := (event, repr(values))):
            self._said[about] = said
            log.warning(event, **values)

    def is_well_again(self, about: str) -> None:
        """Forget what was said, so that it is said again when it comes again."""
        self._said.pop(about, None)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run one task's work on the loop that stays."""
        return self._loop.run(work, context=contextvars.copy_context())

    async def job(self, job_id: int) -> Job:
        """Return a job; raises LedgerError when there is none of that number."""
        job = await self.ledger.run(lambda tx: jobs.find_job(tx, job_id))
        if job is None:
            raise LedgerError(f"There is no job {job_id}")
        return job

    async def place(self, job_id: int) -> Place:
        """Return the job's place; a job that was held, or was left alone for long, gets a new one."""
        place = self._places.get(job_id)
        if place is None or place.is_stale:
            place = self._places[job_id] = self._open(await self.job(job_id))
            await planning.look_ahead(place.desk)
            while len(self._places) > MOST_DESKS:
                self._places.popitem(last=False)
        self._places.move_to_end(job_id)
        return place

    def close(self) -> None:
        """Let go of everything."""
        self.rest()
        self.ledger.close()

    def rest(self) -> None:
        """Let go of everything but the ledger, which others of this process may use."""
        self.run(self._close())
        self._loop.close()
        self.sender.finish(LAST_MESSAGES_SECONDS)

    async def _close(self) -> None:
        for wire in self._wires.values():
            await wire.close()

    def _open(self, job: Job) -> Place:
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


def here() -> Workplace:
    """Return this process's own; opened at the first task, after the fork."""
    workplace: Workplace | None = getattr(_here, "workplace", None)
    if workplace is None:
        workplace = _here.workplace = Workplace(bootstrap.open_services(None))
    return workplace


def leave() -> None:
    """Close this process's own, if it was opened."""
    workplace: Workplace | None = getattr(_here, "workplace", None)
    if workplace is not None:
        workplace.close()
        _here.workplace = None
