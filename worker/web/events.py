"""How a job gets on, as server-sent events. However many watch, the ledger is asked once for all of them."""

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
from worker.ledger import jobs
from worker.metrics import ahead_of
from worker.model import AT_WORK, ENDED, JobState, RowStatus
from worker.web.summaries import summary_of

if TYPE_CHECKING:
    from worker.bootstrap import Services
    from worker.ledger.database import Transaction
    from worker.ledger.jobs import Job

#: How often the ledger is asked (seconds); less often when the answer takes its time.
LOOK_SECONDS, PATIENCE = 0.5, 5.0
#: A line without meaning goes out so often, lest a proxy takes the silence for the end (seconds).
PING_SECONDS = 15
#: When the server ends, so long a stream has to end by itself (seconds).
GRACE_SECONDS = 1.0
#: A job in one of these moves no more by itself.
RESTING = frozenset({*ENDED, JobState.PAUSED, JobState.HELD})
#: These change at every look and say nothing new.
_TICKING = {"duration_seconds"}
#: A job's summary, with `rate` (calls a second), `rows_per_second` and `seconds_left`, each None when unknown.
Progress = dict[str, Any]


@dataclass(slots=True)
class _Watched:
    """A job that somebody watches."""

    latest: Progress
    settled: int
    at: float
    rows_per_second: float | None = None
    queues: set[asyncio.Queue[Progress | None]] = field(default_factory=set)

    def note(self, progress: Progress) -> None:
        """Tell the watchers what is new, if anything."""
        self._measure(progress)
        if _said(progress) != _said(self.latest):
            self.latest = progress
            self.tell(progress)

    def tell(self, progress: Progress | None) -> None:
        """Hand the watchers the newest, in place of what they have not taken yet; None ends their streams."""
        for queue in self.queues:
            _put(queue, progress)

    def _measure(self, progress: Progress) -> None:
        settled, at = _settled(progress), time.monotonic()
        speed = max(0.0, (settled - self.settled) / max(at - self.at, 0.001))
        self.rows_per_second = speed if self.rows_per_second is None else (2 * self.rows_per_second + speed) / 3
        self.settled, self.at = settled, at
        if JobState(progress["state"]) in AT_WORK:
            progress["rows_per_second"] = round(self.rows_per_second, 1)
            if progress["seconds_left"] is None and progress["rows_per_second"]:
                progress["seconds_left"] = round((progress["total"] - settled) / self.rows_per_second)


class Watching:
    """Looks at all watched jobs at once and tells each watcher what is new of theirs."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._watched: dict[int, _Watched] = {}
        self._looking: asyncio.Task[None] | None = None

    async def stream(self, job_id: int) -> EventSourceResponse:
        """Return the stream of a job's progress; raises UnknownJob."""
        first = await run_in_threadpool(self._look, [job_id])
        if job_id not in first:
            raise UnknownJob(f"There is no job {job_id}")
        ending = asyncio.Event()
        return EventSourceResponse(
            self._events(job_id, first[job_id], ending),
            ping=PING_SECONDS,
            sep="\n",
            shutdown_event=cast("Any", ending),  # it is set and nothing else: asyncio's own will do
            shutdown_grace_period=GRACE_SECONDS,
        )

    async def _events(self, job_id: int, first: Progress, ending: asyncio.Event) -> AsyncIterator[ServerSentEvent]:
        queue: asyncio.Queue[Progress | None] = asyncio.Queue(maxsize=1)
        end = asyncio.create_task(_end_with_the_server(ending, queue))
        watched = self._watched.setdefault(job_id, _Watched(first, _settled(first), time.monotonic()))
        watched.queues.add(queue)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._keep_looking())
        try:
            told: Progress | None = watched.latest
            while told is not None:
                yield ServerSentEvent(_text(told), retry=3000)
                if JobState(told["state"]) in RESTING:
                    yield ServerSentEvent(_text(told), event="end")
                    return
                told = await queue.get()
        finally:
            end.cancel()
            watched.queues.discard(queue)
            if not watched.queues:
                self._watched.pop(job_id, None)

    async def _keep_looking(self) -> None:
        took = 0.0
        try:
            while self._watched:
                await asyncio.sleep(max(LOOK_SECONDS, PATIENCE * took))
                began = time.monotonic()
                with suppress(LedgerError):
                    self._tell(await run_in_threadpool(self._look, list(self._watched)))
                took = time.monotonic() - began
        finally:
            for watched in self._watched.values():
                watched.tell(None)

    def _tell(self, seen: Mapping[int, Progress]) -> None:
        for job_id, progress in seen.items():
            watched = self._watched.get(job_id)
            if watched is not None:
                watched.note(progress)

    def _look(self, job_ids: Iterable[int]) -> dict[int, Progress]:
        seen = {}
        with self._services.ledger.read() as tx:
            for job_id in job_ids:
                job = jobs.find_job(tx, job_id)
                if job is not None:
                    seen[job_id] = _progress(self._services, tx, job)
        return seen


def _progress(services: Services, tx: Transaction, job: Job) -> Progress:
    ahead = ahead_of(services, tx, job) if job.state in AT_WORK else None
    return {
        **summary_of(services, job, tx),
        "rate": round(ahead.rate, 2) if ahead else None,
        "rows_per_second": None,
        "seconds_left": round(ahead.seconds) if ahead else None,
    }


async def _end_with_the_server(ending: asyncio.Event, queue: asyncio.Queue[Progress | None]) -> None:
    await ending.wait()
    _put(queue, None)


def _put(queue: asyncio.Queue[Progress | None], progress: Progress | None) -> None:
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(progress)


def _settled(progress: Mapping[str, Any]) -> int:
    return int(progress["total"]) - int(progress["by_status"][RowStatus.NOT_ATTEMPTED])


def _said(progress: Progress) -> Progress:
    return {name: value for name, value in progress.items() if name not in _TICKING}


def _text(progress: Progress) -> str:
    return json.dumps(progress, ensure_ascii=False)
