"""What runs at a time: requests of a caller and of all, passwords, downloads, and the look at the ledger's health.

What is slow has threads of its own, so that it delays nothing else.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar
from weakref import WeakValueDictionary

from anyio import CapacityLimiter, to_thread

from worker.web.problems import HttpProblem

Found = TypeVar("Found")
#: Threads for callers, passwords and reports, and for verifications. A password takes 64 MB while it is checked.
IDENTITIES, PASSWORDS, DOWNLOADS = 8, 4, 2
#: Threads in which an LMS is asked about a connection, or an answer of a person: other requests do not wait for it.
QUESTIONS = 8
#: Requests in progress of one account, of one address without an account, and of all.
PER_ACCOUNT, PER_ADDRESS, IN_ALL = 200, 100, 1_000
#: Downloads that an account may have waiting, and how long one waits (seconds).
WAITING_DOWNLOADS, WAITING_SECONDS = 10, 300.0
#: How long a look at the ledger may take before the last one counts, and how long that counts (seconds).
HEALTH_SECONDS, TRUST_SECONDS = 2.0, 30.0


class RequestsInProgress:
    """Counts the requests in progress, and refuses further ones."""

    def __init__(self, in_all: int = IN_ALL) -> None:
        self._in_all = in_all
        self._count = 0
        self._of_caller: Counter[str] = Counter()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a request until the block ends. Raises HttpProblem 503 when there are too many."""
        if self._count >= self._in_all:
            raise HttpProblem(503, "The server is busy. Try again in a moment", {"Retry-After": "2"})
        self._count += 1
        try:
            yield
        finally:
            self._count -= 1

    @contextmanager
    def counted_for(self, account: str, address: str) -> Iterator[None]:
        """Count a request of an account, or of an address without one (`account` is empty).

        Raises HttpProblem 429 when there are too many.
        """
        caller, limit = (f"name:{account}", PER_ACCOUNT) if account else (f"host:{address}", PER_ADDRESS)
        if self._of_caller[caller] >= limit:
            raise HttpProblem(
                429, f"{limit} of your requests are in progress already. Try again later", {"Retry-After": "2"}
            )
        self._of_caller[caller] += 1
        try:
            yield
        finally:
            self._of_caller[caller] -= 1
            if not self._of_caller[caller]:
                del self._of_caller[caller]


class _KeyedLocks:
    """A lock for each key, for as long as it is used."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()

    def lock(self, key: Hashable) -> asyncio.Lock:
        return self._locks.setdefault(key, asyncio.Lock())


class JobSlots:
    """One download, or verification, of an account and of a job at a time; what waits takes no thread."""

    def __init__(self, noun: str, wait_seconds: float = WAITING_SECONDS) -> None:
        self._noun = noun
        self._wait_seconds = wait_seconds
        self._threads = asyncio.Semaphore(DOWNLOADS)
        self._waiting: Counter[str] = Counter()
        self._accounts = _KeyedLocks()
        self._jobs = _KeyedLocks()

    async def run(
        self, account: str, job_id: int, make: Callable[[], Found], *, stop: Callable[[], None] = lambda: None
    ) -> Found:
        """Run `make` in a thread. When this is cancelled, `stop` is called, and the slot is free once `make` ends.

        Raises HttpProblem 429 when the account has too many of them waiting, 503 when this one waited too long.
        """
        if self._waiting[account] > WAITING_DOWNLOADS:
            raise HttpProblem(
                429,
                f"You have too many {self._noun} waiting. Try again when they have ended",
                {"Retry-After": "5"},
            )
        self._waiting[account] += 1
        try:
            async with AsyncExitStack() as held:
                await self._wait_for_slot(account, job_id, held)
                return await in_thread(make, stop)
        finally:
            self._waiting[account] -= 1
            if not self._waiting[account]:
                del self._waiting[account]

    async def _wait_for_slot(self, account: str, job_id: int, held: AsyncExitStack) -> None:
        """Wait for what one of an account, of a job and of a thread needs, and leave it to be freed by `held`."""
        needed = self._accounts.lock(account), self._jobs.lock(job_id), self._threads
        try:
            async with asyncio.timeout(self._wait_seconds):
                for each in needed:
                    await held.enter_async_context(each)
        except TimeoutError:
            raise HttpProblem(
                503,
                f"Other {self._noun} take too long. Try again when they have ended",
                {"Retry-After": "30"},
            ) from None


async def in_thread(make: Callable[[], Found], stop: Callable[[], None]) -> Found:
    """Run `make` in a thread of its own; when cancelled, call `stop` and wait until `make` has ended."""
    running = asyncio.ensure_future(to_thread.run_sync(make, limiter=CapacityLimiter(1)))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        stop()
        await asyncio.gather(running, return_exceptions=True)
        raise


class HealthCheck:
    """Whether the ledger can be read: one look at a time, whose result all requests share."""

    def __init__(self, can_read: Callable[[], bool], wait_seconds: float = HEALTH_SECONDS) -> None:
        self._can_read = can_read
        self._wait_seconds = wait_seconds
        self._threads = CapacityLimiter(1)
        self._look: asyncio.Task[bool] | None = None
        self._read_at = float("-inf")

    async def is_readable(self) -> bool:
        """Return whether it can be read; while a look takes too long, whether it could a moment ago."""
        if self._look is None or self._look.done():
            self._look = asyncio.create_task(self._check())
        look = self._look
        await asyncio.wait({look}, timeout=self._wait_seconds)
        return look.result() if look.done() else time.monotonic() - self._read_at < TRUST_SECONDS

    async def _check(self) -> bool:
        readable = await to_thread.run_sync(self._can_read, limiter=self._threads)
        if readable:
            self._read_at = time.monotonic()
        return readable


@dataclass(frozen=True, slots=True)
class Slots:
    """All of them, for an application."""

    in_progress: RequestsInProgress = field(default_factory=RequestsInProgress)
    downloads: JobSlots = field(default_factory=lambda: JobSlots("downloads"))
    verifications: JobSlots = field(default_factory=lambda: JobSlots("verifications"))
    questions: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(QUESTIONS))
    identities: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(IDENTITIES))
    passwords: CapacityLimiter = field(default_factory=lambda: CapacityLimiter(PASSWORDS))
