"""What a worker process keeps between tasks: its event loop, an LMS session per account, a session per job.

New connections for every batch would cost a handshake each. Everything that matters is in the ledger; the process
may be killed at any moment.
"""

from __future__ import annotations

import asyncio
import contextvars
import multiprocessing
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from worker import bootstrap
from worker.errors import LedgerError
from worker.jobs import advance, planning
from worker.ledger import jobs
from worker.notifications.sender import Sender
from worker.runtime.session import open_session

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.jobs import Job
    from worker.lms.http import LmsSession
    from worker.runtime.session import JobSession

Result = TypeVar("Result")
#: Sessions of jobs that are kept open.
MAX_SESSIONS = 64
#: A thread that imports a long roster keeps the interpreter from the calls for up to this long (seconds).
SWITCH_SECONDS = 0.0005
#: Threads for what would block the calls: one for each job that imports its roster, and some for queries.
THREADS = 40
#: Notifications that are being sent when a process ends have this long to arrive (seconds).
LAST_NOTIFICATIONS_SECONDS = 5.0
#: Set in the parent when the worker is to shut down; its children, forked before, see it.
shutting_down = multiprocessing.Event()
_current = threading.local()
log = structlog.get_logger("roster")


class WorkerProcess:
    """One process of a worker."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.ledger = services.ledger
        self.window = advance.Window(batches=services.settings.window)
        self.sender = Sender(services.ledger)
        self._loop = asyncio.Runner()
        self._loop.get_loop().set_default_executor(ThreadPoolExecutor(THREADS, "worker"))
        self._lms_sessions: dict[str, LmsSession] = {}
        self._sessions: OrderedDict[int, JobSession] = OrderedDict()
        self._threads: dict[str, threading.Thread] = {}
        self._warnings: dict[str, tuple[str, str]] = {}
        sys.setswitchinterval(SWITCH_SECONDS)

    def start_thread(self, name: str, work: Callable[[], object]) -> None:
        """Start work that may hang in a thread of its own, unless the last one of that name still runs."""
        last = self._threads.get(name)
        if last is None or not last.is_alive():
            self._threads[name] = threading.Thread(target=work, name=name, daemon=True)
            self._threads[name].start()

    def warn_once(self, about: str, event: str, **values: Any) -> None:
        """Log a warning, unless the last one about the same was the same."""
        if self._warnings.get(about) != (warning := (event, repr(values))):
            self._warnings[about] = warning
            log.warning(event, **values)

    def clear_warning(self, about: str) -> None:
        """Forget the last warning, so that it is logged when it comes again."""
        self._warnings.pop(about, None)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run one task's work on the event loop of the process."""
        return self._loop.run(work, context=contextvars.copy_context())

    async def job(self, job_id: int) -> Job:
        """Return a job; raises LedgerError when there is none of that number."""
        job = await self.ledger.run(lambda tx: jobs.find_job(tx, job_id))
        if job is None:
            raise LedgerError(f"There is no job {job_id}")
        return job

    async def session(self, job_id: int) -> JobSession:
        """Return the job's session; a job that was held, or was not used for long, gets a new one."""
        session = self._sessions.get(job_id)
        if session is None or session.is_stale:
            session = self._sessions[job_id] = self._open(await self.job(job_id))
            await planning.update_remaining(session.context)
            while len(self._sessions) > MAX_SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(job_id)
        return session

    def close(self) -> None:
        """Close everything."""
        self.close_connections()
        self.ledger.close()

    def close_connections(self) -> None:
        """Close everything but the ledger, which other parts of this process may use."""
        self.run(self._close_lms_sessions())
        self._loop.close()
        self.sender.stop(LAST_NOTIFICATIONS_SECONDS)

    async def _close_lms_sessions(self) -> None:
        for lms_session in self._lms_sessions.values():
            await lms_session.close()

    def _open(self, job: Job) -> JobSession:
        connection = self.services.connection(job.connection)
        credential = bootstrap.credential_of(connection)
        if credential not in self._lms_sessions:
            self._lms_sessions[credential] = bootstrap.open_lms_session(self.services, connection)
        lms_session = self._lms_sessions[credential]
        return open_session(self.services, connection, job.id, lms_session, ending=shutting_down.is_set)


def current_process() -> WorkerProcess:
    """Return this process's own WorkerProcess, opened at the first task, after the fork."""
    process: WorkerProcess | None = getattr(_current, "process", None)
    if process is None:
        process = _current.process = WorkerProcess(bootstrap.open_services(None))
    return process


def shutdown() -> None:
    """Close this process's own WorkerProcess, if it was opened."""
    process: WorkerProcess | None = getattr(_current, "process", None)
    if process is not None:
        process.close()
        _current.process = None
