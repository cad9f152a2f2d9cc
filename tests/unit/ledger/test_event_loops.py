"""Event loops of a process, each in a thread, share a ledger: the worker of `roster serve`, verifications."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import select

from worker.ledger import schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

    from worker.ledger.transactions import Ledger

#: A caller that has no answer after this will never have one (seconds).
NEVER_SECONDS = 15.0


class HeldWork:
    """Work of a commit that ends when it is let go."""

    def __init__(self) -> None:
        self.has_begun, self.may_end = threading.Event(), threading.Event()

    def run(self, _: Any) -> str:
        self.has_begun.set()
        self.may_end.wait(NEVER_SECONDS)
        return "held"


@pytest.fixture
def held() -> Iterator[HeldWork]:
    work = HeldWork()
    yield work
    work.may_end.set()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    """Return threads, which are left alone when a test has failed: their event loops would wait for ever."""
    pool = ThreadPoolExecutor(8)
    yield pool
    pool.shutdown(wait=False)


def jobs_counted(ledger: Ledger, is_waiting: threading.Event) -> int:
    """Count the jobs from an event loop of its own; `is_waiting` is set when the commit is asked for."""

    async def count() -> int:
        asked = asyncio.create_task(ledger.run(lambda tx: len(tx.execute(select(schema.job.c.id)).all())))
        await asyncio.sleep(0)
        is_waiting.set()
        return await asked

    return asyncio.run(count())


def counted_elsewhere(ledger: Ledger, threads: ThreadPoolExecutor) -> Future[int]:
    """Return the count of another event loop, when its commit was asked for."""
    is_waiting = threading.Event()
    counted = threads.submit(jobs_counted, ledger, is_waiting)
    assert is_waiting.wait(NEVER_SECONDS)
    return counted


def test_a_caller_whose_commit_waited_for_that_of_another_event_loop_gets_its_result(
    ledger: Ledger, held: HeldWork, threads: ThreadPoolExecutor
) -> None:
    first = threads.submit(lambda: asyncio.run(ledger.run(held.run)))
    assert held.has_begun.wait(NEVER_SECONDS)
    waiting = [counted_elsewhere(ledger, threads) for _ in range(3)]

    held.may_end.set()

    assert [each.result(NEVER_SECONDS) for each in waiting] == [0, 0, 0]
    assert first.result(NEVER_SECONDS) == "held"


def test_an_event_loop_that_ends_during_its_commit_leaves_no_other_waiting(
    ledger: Ledger, held: HeldWork, threads: ThreadPoolExecutor
) -> None:
    async def leave() -> None:
        abandoned = asyncio.create_task(ledger.run(held.run))
        await asyncio.to_thread(held.has_begun.wait, NEVER_SECONDS)
        abandoned.cancel()

    threads.submit(lambda: asyncio.run(leave()))
    assert held.has_begun.wait(NEVER_SECONDS)
    waiting = counted_elsewhere(ledger, threads)

    held.may_end.set()

    assert waiting.result(NEVER_SECONDS) == 0
    assert counted_elsewhere(ledger, threads).result(NEVER_SECONDS) == 0


def test_a_caller_that_is_cancelled_may_still_commit_before_its_event_loop_ends(
    ledger: Ledger, held: HeldWork, threads: ThreadPoolExecutor
) -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await ledger.run(held.run)
        finally:
            ended.append(await ledger.run(lambda _: "flushed"))

    async def leave() -> None:
        working = asyncio.create_task(work())
        await asyncio.to_thread(held.has_begun.wait, NEVER_SECONDS)
        held.may_end.set()
        assert not working.done()

    threads.submit(lambda: asyncio.run(leave())).result(NEVER_SECONDS)

    assert ended == ["flushed"]
