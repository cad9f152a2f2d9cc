"""The worker inside `roster serve` without a broker: one thread that runs the task messages of the ledger.

It does what the Celery tasks do. It may be killed at any moment: what it was doing is in the ledger, and the next
process continues with it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING

from worker.jobs import advance
from worker.ledger import queue
from worker.ledger.database import now
from worker.ledger.queue import Task
from worker.runtime import sweep
from worker.runtime.messages import run_message
from worker.runtime.process import WorkerProcess, shutting_down
from worker.safe_errors import left_to_next_sweep

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.bootstrap import Services
    from worker.ledger.queue import TaskMessage

#: How often the ledger is asked for new jobs (seconds).
POLL_SECONDS = 0.3
#: How often drop folders and schedules are checked, if sweeps are less frequent (seconds).
INCOMING_SECONDS = 2.0
#: How many messages of each kind run at a time.
SLOTS = {Task.SPLIT: 2, Task.REGISTER: 16, Task.REPORT: 2}


@dataclass(slots=True)
class LocalWorker:
    """Runs the jobs of the ledger in a thread of its own, until it is stopped."""

    services: Services
    #: Messages that were published, by any thread, with the time at which each is due.
    _published: SimpleQueue[tuple[float, TaskMessage]] = field(default_factory=SimpleQueue)
    _waiting: list[tuple[float, TaskMessage]] = field(default_factory=list)
    _running: dict[asyncio.Task[None], TaskMessage] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _incoming: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._run, name="local worker", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Finish the calls in progress, release the claims, and end the thread."""
        self._stopping.set()
        shutting_down.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        process = WorkerProcess(self.services)
        try:
            process.run(self._work(process))
        finally:
            process.close_connections()

    async def _work(self, process: WorkerProcess) -> None:
        swept, checked, begun = 0.0, 0.0, False
        every = self.services.settings.sweep_seconds
        while not self._stopping.is_set():
            if not begun:
                with left_to_next_sweep("messages of an earlier process"):
                    await process.ledger.run(queue.mark_all_unsent)
                    begun = True
            if time.monotonic() - swept > every:
                with left_to_next_sweep("lost work"):
                    self._publish(await asyncio.to_thread(sweep.recover, process, messages_lost=False))
                swept = time.monotonic()
            if time.monotonic() - checked > min(every, INCOMING_SECONDS) and not self._incoming:
                self._incoming = asyncio.create_task(self._open_incoming(process))
                checked = time.monotonic()
            with left_to_next_sweep("new jobs"):
                self._publish(await _messages_of_new_jobs(process))
            self._start_due(process)
            await asyncio.sleep(POLL_SECONDS)
        if self._incoming:
            await self._incoming
        if self._running:
            await asyncio.wait(self._running)

    async def _open_incoming(self, process: WorkerProcess) -> None:
        """Check drop folders and schedules in a thread: a share that hangs must not block the jobs."""
        with left_to_next_sweep("folders and schedules"):
            self._publish(await asyncio.to_thread(sweep.open_incoming, process))
        self._incoming = None

    def _publish(self, due: Sequence[TaskMessage]) -> list[TaskMessage]:
        """Queue messages; as a publisher it returns those that could not be published: none."""
        for message in due:
            self._published.put((now() + message.countdown, message))
        return []

    def _start_due(self, process: WorkerProcess) -> None:
        """Start what is due, small jobs first; of each job one time slice at a time."""
        while not self._published.empty():
            self._waiting.append(self._published.get())
        later: list[tuple[float, TaskMessage]] = []
        for at, message in sorted(self._waiting, key=lambda each: (each[1].priority, each[0])):
            if at <= now() and self._has_slot_for(message):
                self._start(process, message)
            else:
                later.append((at, message))
        self._waiting = later

    def _has_slot_for(self, message: TaskMessage) -> bool:
        same = [other.job_id for other in self._running.values() if other.task is message.task]
        return len(same) < SLOTS[message.task] and (message.task is not Task.REGISTER or message.job_id not in same)

    def _start(self, process: WorkerProcess, message: TaskMessage) -> None:
        work = asyncio.create_task(self._run_message(process, message))
        self._running[work] = message
        work.add_done_callback(self._running.pop)

    async def _run_message(self, process: WorkerProcess, message: TaskMessage) -> None:
        with left_to_next_sweep("job", job=message.job_id):
            await run_message(process, message, self._publish)


async def _messages_of_new_jobs(process: WorkerProcess) -> list[TaskMessage]:
    """Return the messages of jobs that were submitted since."""
    new = await process.ledger.run(queue.never_enqueued)
    due: list[TaskMessage] = []
    for job_id in new:
        due += await process.ledger.run(partial(advance.advance, job_id=job_id, window=process.window, at=now()))
    return due
