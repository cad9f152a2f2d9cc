"""The progress of jobs as server-sent events. The ledger is polled once for all clients together."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from worker.errors import LedgerError, UnknownJob
from worker.jobs.estimate import calls_left, time_left
from worker.ledger import jobs
from worker.model import JobState, RowStatus
from worker.web.summaries import summary_of

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: How often the ledger is polled (seconds); the pause after a slow poll is this many times its duration.
POLL_SECONDS, POLL_LOAD = 0.5, 5.0
#: How often a comment is sent, so that a proxy does not close an idle stream (seconds).
PING_SECONDS = 15
#: How long a stream may take to end when the server stops (seconds).
SHUTDOWN_SECONDS = 1.0
#: Keys that change with every poll although nothing has happened.
_CLOCK_KEYS = {"duration_seconds"}
#: A job's summary, with `calls_made` and `calls_left` of this run, `rate` (calls per second), `rows_per_second` and
#: `seconds_left`; None when unknown.
Progress = dict[str, Any]


@dataclass(slots=True)
class _WatchedJob:
    """A job with at least one client."""

    latest: Progress
    processed: int
    at: float
    made: int = 0
    was_sending: bool = False
    rows_per_second: float | None = None
    calls_per_second: float | None = None
    queues: set[asyncio.Queue[Progress | None]] = field(default_factory=set)

    def update(self, progress: Progress) -> None:
        """Publish the progress if it has changed."""
        self._measure(progress)
        if _content(progress) != _content(self.latest):
            self.latest = progress
            self.publish(progress)

    def publish(self, progress: Progress | None) -> None:
        """Give all clients the newest progress, in place of one not sent yet; None ends their streams."""
        for queue in self.queues:
            _put(queue, progress)

    def _measure(self, progress: Progress) -> None:
        """Measure the speed between two polls in both of which rows were being sent: reading is no speed."""
        is_sending = JobState(progress["state"]).is_sending
        processed, made, at = _processed(progress), progress["calls_made"], time.monotonic()
        if is_sending and self.was_sending:
            seconds = max(at - self.at, 0.001)
            self.rows_per_second = _smoothed(self.rows_per_second, max(0.0, processed - self.processed) / seconds)
            self.calls_per_second = _smoothed(self.calls_per_second, max(0.0, made - self.made) / seconds)
            progress["rows_per_second"] = round(self.rows_per_second, 1)
            if progress["seconds_left"] is None and progress["calls_left"] and self.calls_per_second:
                progress["seconds_left"] = round(progress["calls_left"] / self.calls_per_second)
        self.processed, self.made, self.at, self.was_sending = processed, made, at, is_sending


class ProgressFeed:
    """Polls all jobs that have clients, and publishes their progress."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._jobs: dict[int, _WatchedJob] = {}
        self._poller: asyncio.Task[None] | None = None

    async def stream(self, job_id: int) -> EventSourceResponse:
        """Return the stream of a job's progress. Raises UnknownJob."""
        first = await run_in_threadpool(self._read, [job_id])
        if job_id not in first:
            raise UnknownJob(f"There is no job {job_id}")
        shutdown = asyncio.Event()
        return EventSourceResponse(
            self._events(job_id, first[job_id], shutdown),
            ping=PING_SECONDS,
            sep="\n",
            shutdown_event=cast("Any", shutdown),  # it is only set: asyncio's own event works as well as anyio's
            shutdown_grace_period=SHUTDOWN_SECONDS,
        )

    async def _events(
        self, job_id: int, first: Progress, shutdown: asyncio.Event
    ) -> AsyncIterator[ServerSentEvent]:
        queue: asyncio.Queue[Progress | None] = asyncio.Queue(maxsize=1)
        end = asyncio.create_task(_end_on_shutdown(shutdown, queue))
        job = self._jobs.setdefault(job_id, _WatchedJob(first, _processed(first), time.monotonic()))
        job.queues.add(queue)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            progress: Progress | None = job.latest
            while progress is not None:
                yield ServerSentEvent(_text(progress), retry=3000)
                if not JobState(progress["state"]).is_moving:
                    yield ServerSentEvent(_text(progress), event="end")
                    return
                progress = await queue.get()
        finally:
            end.cancel()
            job.queues.discard(queue)
            if not job.queues:
                self._jobs.pop(job_id, None)

    async def _poll(self) -> None:
        took = 0.0
        try:
            while self._jobs:
                await asyncio.sleep(max(POLL_SECONDS, POLL_LOAD * took))
                began = time.monotonic()
                with suppress(LedgerError):
                    self._publish(await run_in_threadpool(self._read, list(self._jobs)))
                took = time.monotonic() - began
        finally:
            for watched in self._jobs.values():
                watched.publish(None)

    def _publish(self, seen: Mapping[int, Progress]) -> None:
        for job_id, progress in seen.items():
            watched = self._jobs.get(job_id)
            if watched is not None:
                watched.update(progress)

    def _read(self, job_ids: Iterable[int]) -> dict[int, Progress]:
        seen = {}
        with self._services.ledger.read() as tx:
            for job_id in job_ids:
                job = jobs.find_job(tx, job_id)
                if job is not None:
                    seen[job_id] = _progress(self._services, tx, job)
        return seen


def _progress(services: Services, tx: Transaction, job: Job) -> Progress:
    left = calls_left(services, tx, job) if job.state.is_sending else None
    ahead = time_left(services, tx, job, left) if left else None
    summary = summary_of(services, job, tx)
    return {
        **summary,
        "calls_made": max(0, sum(summary["calls"].values()) - job.calls_before_run),
        "calls_left": left.most if left else None,
        "rate": round(ahead.rate, 2) if ahead else None,
        "rows_per_second": None,
        "seconds_left": round(ahead.seconds) if ahead else None,
    }


async def _end_on_shutdown(shutdown: asyncio.Event, queue: asyncio.Queue[Progress | None]) -> None:
    await shutdown.wait()
    _put(queue, None)


def _smoothed(before: float | None, measured: float) -> float:
    return measured if before is None else (2 * before + measured) / 3


def _put(queue: asyncio.Queue[Progress | None], progress: Progress | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(progress)


def _processed(progress: Mapping[str, Any]) -> int:
    return int(progress["total"]) - int(progress["by_status"][RowStatus.NOT_ATTEMPTED])


def _content(progress: Progress) -> Progress:
    return {name: value for name, value in progress.items() if name not in _CLOCK_KEYS}


def _text(progress: Progress) -> str:
    return json.dumps(progress, ensure_ascii=False)
