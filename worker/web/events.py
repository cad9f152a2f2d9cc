"""The progress of jobs as server-sent events. The ledger is polled once for all clients together."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.concurrency import run_in_threadpool

from worker.errors import LedgerError, UnknownJob
from worker.jobs.estimate import calls_left, time_left
from worker.ledger import jobs
from worker.model import JobState, RowStatus
from worker.web.problems import HttpProblem
from worker.web.summaries import summaries_of

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job
    from worker.web.caller import Viewer

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamLimits:
    """How many streams may be open, and for how long (seconds); a browser opens a new one by itself."""

    per_account: int = 20
    total: int = 200
    seconds: float = 3600.0


@dataclass(slots=True, eq=False)
class _Stream:
    """The stream of one client."""

    viewer: Viewer
    has_ended: bool = False
    #: At most the newest progress that is not sent yet; None wakes the stream at its end.
    queue: asyncio.Queue[Progress | None] = field(default_factory=lambda: asyncio.Queue(maxsize=1))

    def put(self, progress: Progress | None) -> None:
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait(progress)

    def end(self) -> None:
        """End the stream, whatever is published after that."""
        self.has_ended = True
        self.put(None)


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
    streams: set[_Stream] = field(default_factory=set)

    def update(self, progress: Progress) -> None:
        """Publish the progress if it has changed."""
        self._measure(progress)
        if _content(progress) != _content(self.latest):
            self.latest = progress
            self.publish(progress)

    def publish(self, progress: Progress) -> None:
        """Give all clients the newest progress, in place of one not sent yet."""
        for stream in self.streams:
            stream.put(progress)

    def _measure(self, progress: Progress) -> None:
        """Measure the speed between two polls in both of which rows were being sent: reading is no speed."""
        is_sending = JobState(progress["state"]).is_sending
        processed, made, at = _processed(progress), progress["calls_made"], time.monotonic()
        if is_sending and self.was_sending:
            seconds = max(at - self.at, 0.001)
            self.rows_per_second = _smoothed(self.rows_per_second, max(0.0, processed - self.processed) / seconds)
            self.calls_per_second = _smoothed(self.calls_per_second, max(0.0, made - self.made) / seconds)
            progress["rows_per_second"] = round(self.rows_per_second, 1)
            is_unknown = progress["seconds_left"] is None and progress["rate"] is None
            if is_unknown and progress["calls_left"] and self.calls_per_second:
                progress["seconds_left"] = round(progress["calls_left"] / self.calls_per_second)
        self.processed, self.made, self.at, self.was_sending = processed, made, at, is_sending


class ProgressFeed:
    """Polls all jobs that have clients, and publishes their progress."""

    def __init__(self, services: Services, limits: StreamLimits | None = None) -> None:
        self._services = services
        self._limits = limits or StreamLimits()
        self._open: Counter[str] = Counter()
        self._jobs: dict[int, _WatchedJob] = {}
        self._poller: asyncio.Task[None] | None = None

    async def stream(self, job_id: int, viewer: Viewer) -> EventSourceResponse:
        """Return the stream of a job's progress; it ends when they may not view it any more.

        Raises UnknownJob; HttpProblem 429 when too many streams are open.
        """
        self._count(viewer.name)
        try:
            first = await self._first(job_id)
        except BaseException:
            self._discount(viewer.name)
            raise
        shutdown = asyncio.Event()
        return _CountedResponse(
            self._events(job_id, first, _Stream(viewer), shutdown),
            on_end=partial(self._discount, viewer.name),
            ping=PING_SECONDS,
            sep="\n",
            shutdown_event=cast("Any", shutdown),  # it is only set: asyncio's own event works as well as anyio's
            shutdown_grace_period=SHUTDOWN_SECONDS,
        )

    async def _first(self, job_id: int) -> Progress:
        found = await run_in_threadpool(self._read, [job_id])
        if job_id not in found:
            raise UnknownJob(f"There is no job {job_id}")
        return found[job_id]

    async def _events(
        self, job_id: int, first: Progress, stream: _Stream, shutdown: asyncio.Event
    ) -> AsyncIterator[ServerSentEvent]:
        end = asyncio.create_task(_end_on_shutdown(shutdown, stream))
        time_limit = asyncio.get_running_loop().call_later(self._limits.seconds, stream.end)
        job = self._jobs.setdefault(job_id, _WatchedJob(first, _processed(first), time.monotonic()))
        job.streams.add(stream)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            progress: Progress | None = job.latest
            while progress is not None and not stream.has_ended:
                yield ServerSentEvent(_text(progress), retry=3000)
                if not JobState(progress["state"]).is_moving:
                    yield ServerSentEvent(_text(progress), event="end")
                    return
                progress = await stream.queue.get()
        finally:
            end.cancel()
            time_limit.cancel()
            job.streams.discard(stream)
            if not job.streams:
                self._jobs.pop(job_id, None)

    async def _poll(self) -> None:
        took = 0.0
        try:
            while self._jobs:
                await asyncio.sleep(max(POLL_SECONDS, POLL_LOAD * took))
                began = time.monotonic()
                with suppress(LedgerError):
                    await self._look()
                took = time.monotonic() - began
        finally:
            for stream in self._streams():
                stream.end()

    async def _look(self) -> None:
        """Publish what has changed, and end the streams of those who may not view it any more."""
        viewers = {stream.viewer.credentials: stream.viewer for stream in self._streams()}
        allowed = await run_in_threadpool(lambda: {shown for shown, each in viewers.items() if each.may_view()})
        for stream in self._streams():
            if stream.viewer.credentials in viewers.keys() - allowed:
                stream.end()
        self._publish(await run_in_threadpool(self._read, list(self._jobs)))

    def _streams(self) -> list[_Stream]:
        return [stream for watched in self._jobs.values() for stream in watched.streams]

    def _count(self, account: str) -> None:
        limits = self._limits
        if self._open[account] >= limits.per_account:
            raise _too_many(f"You have {limits.per_account} event streams open already. Close one and try again")
        if self._open.total() >= limits.total:
            raise _too_many(f"{limits.total} event streams are open already. Try again later")
        self._open[account] += 1

    def _discount(self, account: str) -> None:
        self._open[account] -= 1
        if not self._open[account]:
            del self._open[account]

    def _publish(self, seen: Mapping[int, Progress]) -> None:
        for job_id, progress in seen.items():
            watched = self._jobs.get(job_id)
            if watched is not None:
                watched.update(progress)

    def _read(self, job_ids: Collection[int]) -> dict[int, Progress]:
        with self._services.ledger.read() as tx:
            found = jobs.find_jobs(tx, job_ids)
            summaries = summaries_of(tx, found)
            return {
                job.id: _progress(self._services, tx, job, summary)
                for job, summary in zip(found, summaries, strict=True)
            }


def _progress(services: Services, tx: Transaction, job: Job, summary: dict[str, Any]) -> Progress:
    left = calls_left(services, tx, job) if job.state.is_sending else None
    ahead = time_left(services, tx, job, left) if left else None
    return {
        **summary,
        "calls_made": max(0, sum(summary["calls"].values()) - job.calls_before_run),
        "calls_left": left.most if left else None,
        "rate": round(ahead.rate, 2) if ahead else None,
        "rows_per_second": None,
        "seconds_left": round(ahead.seconds) if ahead and ahead.seconds is not None else None,
    }


class _CountedResponse(EventSourceResponse):
    """A stream that says when it has ended, also when it never began."""

    def __init__(self, *args: Any, on_end: Callable[[], None], **options: Any) -> None:
        super().__init__(*args, **options)
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()


def _too_many(text: str) -> HttpProblem:
    return HttpProblem(429, text, {"Retry-After": "10"})


async def _end_on_shutdown(shutdown: asyncio.Event, stream: _Stream) -> None:
    await shutdown.wait()
    stream.end()


def _smoothed(before: float | None, measured: float) -> float:
    return measured if before is None else (2 * before + measured) / 3


def _processed(progress: Mapping[str, Any]) -> int:
    return int(progress["total"]) - int(progress["by_status"][RowStatus.NOT_ATTEMPTED])


def _content(progress: Progress) -> Progress:
    return {name: value for name, value in progress.items() if name not in _CLOCK_KEYS}


def _text(progress: Progress) -> str:
    return json.dumps(progress, ensure_ascii=False)
